"""How much memory a long walk takes: `python -m benchmarks.memory` (on Linux).

Each walk runs in a process of its own, which keeps no chat. What is printed is the peak of its resident memory, less
what it was after the imports. The server is another process.
"""

import argparse
import asyncio
import json
import subprocess
import sys
from pathlib import Path

from benchmarks.server import running
from plugchat_async import PlugChatSession
from plugchat_async._walk import Consistency

PAGE_SIZE = 1000
WALKS: tuple[tuple[Consistency, int], ...] = (
    ("plain", 0),
    ("plain", 8),
    ("exact", 0),
    ("exact", 8),
    ("strict", 0),
)


def peak() -> int:
    """Give the peak of this process's resident memory so far, in bytes.

    Not `getrusage`, whose peak begins with that of the process that started this one.
    """
    [line] = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) * 1024


async def walk(base_url: str, consistency: Consistency, prefetch: int) -> int:
    """Walk the whole list, and give the number of chats."""
    async with PlugChatSession("benchmark", base_url=base_url) as session:
        count = 0
        async for _ in session.iter_chats(PAGE_SIZE, consistency=consistency, prefetch=prefetch):
            count += 1
    return count


def main() -> None:
    """Measure each walk, or, as such a process, walk and report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--chats", type=int, default=1_000_000, help="how long the list is (default 1,000,000)")
    parser.add_argument("--walk", nargs=3, metavar=("BASE_URL", "CONSISTENCY", "PREFETCH"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.walk:
        base_url, consistency, prefetch = arguments.walk
        before = peak()
        count = asyncio.run(walk(base_url, consistency, int(prefetch)))
        print(json.dumps({"chats": count, "peak": peak() - before}))
        return
    print(f"{arguments.chats:,} chats, {PAGE_SIZE} a page: peak memory above that after the imports")
    print(f"{'consistency':<12}{'prefetch':>9}{'MB':>8}")
    for consistency, prefetch in WALKS:
        with running(arguments.chats) as base_url:
            command = [sys.executable, "-m", "benchmarks.memory", "--walk", base_url, consistency, str(prefetch)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
        outcome = json.loads(done.stdout)
        if outcome["chats"] != arguments.chats:
            raise SystemExit(f"{consistency}: {outcome['chats']} chats instead of {arguments.chats}")
        print(f"{consistency:<12}{prefetch:>9}{outcome['peak'] / 1e6:>8.0f}", flush=True)


if __name__ == "__main__":
    main()
