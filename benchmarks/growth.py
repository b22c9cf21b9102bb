"""Growth of time, CPU and memory with the length of a list, and with the number of accounts (on Linux).

Each walk runs in a new process, which keeps no chats:

    python -m benchmarks.growth --walk BASE_URL CONSISTENCY PREFETCH
    python -m benchmarks.growth --accounts BASE_URL NUMBER

Memory is the peak of the resident memory above that after the imports. The server is another process.
"""

import argparse
import asyncio
import json
import time
from pathlib import Path

from benchmarks.bulk import fetch_all
from benchmarks.measure import Result, Value, in_a_process
from benchmarks.server import running
from plugchat_async import PlugChatSession
from plugchat_async._pagination.walk_state import Consistency

PAGE_SIZE = 1000
CHATS = (1000, 10_000, 100_000, 1_000_000)
ACCOUNTS = (1, 10, 100, 1000, 10_000)
CHATS_OF_AN_ACCOUNT = 500
WALKS: tuple[tuple[Consistency, int], ...] = (("plain", 0), ("exact", 0), ("exact", 8), ("strict", 0))


def peak() -> int:
    """Return the peak of this process's resident memory so far, in bytes."""
    # Not from `getrusage`: it includes the peak of the parent process.
    [line] = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) * 1024


async def walk(base_url: str, consistency: Consistency, prefetch: int) -> int:
    """Walk the whole list, and return the number of chats."""
    async with PlugChatSession("benchmark", base_url=base_url) as session:
        count = 0
        async for _ in session.iter_chats(PAGE_SIZE, consistency=consistency, prefetch=prefetch):
            count += 1
    return count


def row(of: str, count: int, chats: int, measured: dict[str, float]) -> dict[str, Value]:
    """Return a row of the result, after a check of the number of chats."""
    if measured["chats"] != chats:
        raise SystemExit(f"{of}: {measured['chats']} chats instead of {chats}")
    return {
        "of": of,
        "count": count,
        "chats": chats,
        "seconds": measured["seconds"],
        "cpu": measured["cpu"],
        "cpu_chat": measured["cpu"] / chats * 1e6,
        "peak": measured["peak"] / 1e6,
    }


def measure(chats: tuple[int, ...] = CHATS, accounts: tuple[int, ...] = ACCOUNTS) -> Result:
    """Measure lists of growing length, and growing numbers of accounts."""
    rows: list[dict[str, Value]] = []
    for consistency, prefetch in WALKS:
        for count in chats:
            with running(count) as base_url:
                measured = in_a_process("growth", "--walk", base_url, consistency, prefetch)
            rows.append(
                row(f"chats, {consistency}{f', prefetch {prefetch}' if prefetch else ''}", count, count, measured)
            )
    with running(CHATS_OF_AN_ACCOUNT) as base_url:
        for count in accounts:
            measured = in_a_process("growth", "--accounts", base_url, count)
            rows.append(row("accounts", count, count * CHATS_OF_AN_ACCOUNT, measured))
    return Result(
        "growth",
        "Growth",
        f"Lists of so many chats, {PAGE_SIZE:,} a page, each walked once by a process that keeps none; and so many "
        f"accounts of {CHATS_OF_AN_ACCOUNT} chats, 100 a page, by fetch_many with concurrency=64. CPU: that of the "
        "client. Memory: the peak above that after the imports.",
        {
            "of": "what grows",
            "count": "number",
            "chats": "chats",
            "seconds": "seconds",
            "cpu": "CPU, s",
            "cpu_chat": "CPU a chat, us",
            "peak": "memory, MB",
        },
        rows,
    )


def main() -> None:
    """Run one measurement, in its own process."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--walk", nargs=3, metavar=("BASE_URL", "CONSISTENCY", "PREFETCH"))
    parser.add_argument("--accounts", nargs=2, metavar=("BASE_URL", "NUMBER"))
    arguments = parser.parse_args()
    if arguments.walk:
        base_url, consistency, prefetch = arguments.walk
        work = walk(base_url, consistency, int(prefetch))
    else:
        base_url, number = arguments.accounts
        work = fetch_all(base_url, int(number))
    before, started, cpu = peak(), time.perf_counter(), time.process_time()
    chats = asyncio.run(work)
    took, cpu = time.perf_counter() - started, time.process_time() - cpu
    print(json.dumps({"chats": chats, "seconds": took, "cpu": cpu, "peak": peak() - before}))


if __name__ == "__main__":
    main()
