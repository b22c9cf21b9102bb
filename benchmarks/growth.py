"""How time, CPU and memory grow with the length of a list, and with the number of accounts (on Linux).

Each walk runs in a process of its own, which keeps no chat:

    python -m benchmarks.growth --walk BASE_URL CONSISTENCY PREFETCH
    python -m benchmarks.growth --accounts BASE_URL NUMBER

Memory is the peak of what is resident, less what it was after the imports. The server is another process.
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
from plugchat_async._pagination.state import Consistency

PAGE_SIZE = 1000
CHATS = (1000, 10_000, 100_000, 1_000_000)
ACCOUNTS = (1, 10, 100, 1000, 10_000)
CHATS_OF_AN_ACCOUNT = 500
WALKS: tuple[tuple[Consistency, int], ...] = (("plain", 0), ("exact", 0), ("exact", 8), ("strict", 0))


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


def row(of: str, count: int, chats: int, told: dict[str, float]) -> dict[str, Value]:
    """Give a row, after a look at the number of chats."""
    if told["chats"] != chats:
        raise SystemExit(f"{of}: {told['chats']} chats instead of {chats}")
    return {
        "of": of,
        "count": count,
        "chats": chats,
        "seconds": told["seconds"],
        "cpu": told["cpu"],
        "cpu_chat": told["cpu"] / chats * 1e6,
        "peak": told["peak"] / 1e6,
    }


def measure(chats: tuple[int, ...] = CHATS, accounts: tuple[int, ...] = ACCOUNTS) -> Result:
    """Walk longer and longer lists, and more and more accounts."""
    rows: list[dict[str, Value]] = []
    for consistency, prefetch in WALKS:
        for count in chats:
            with running(count) as base_url:
                told = in_a_process("growth", "--walk", base_url, consistency, prefetch)
            rows.append(row(f"chats, {consistency}{f', prefetch {prefetch}' if prefetch else ''}", count, count, told))
    with running(CHATS_OF_AN_ACCOUNT) as base_url:
        for count in accounts:
            told = in_a_process("growth", "--accounts", base_url, count)
            rows.append(row("accounts", count, count * CHATS_OF_AN_ACCOUNT, told))
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
    """Be the process in which something is measured."""
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
