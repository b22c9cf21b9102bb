"""How much faster a walk is that asks for pages ahead: `python -m benchmarks.prefetch`.

Each round walks the same list with each `prefetch` in turn, over loopback, against a server in its own process that
answers after a fixed latency. The ratios are those of one round; their median is printed, and their range.
"""

import argparse
import asyncio
import statistics
import time

from benchmarks.server import running
from plugchat_async import PlugChatSession
from plugchat_async._walk import Consistency

DEPTHS = (0, 2, 4, 8, 16, 64)
KINDS: tuple[Consistency, ...] = ("plain", "exact", "strict")
PAGE_SIZE = 100


async def walk(base_url: str, chats: int, consistency: Consistency, prefetch: int) -> float:
    """Walk once with a fresh session, and give the seconds."""
    async with PlugChatSession("benchmark", base_url=base_url, max_concurrency=128) as session:
        started = time.perf_counter()
        found = await session.list_chats(PAGE_SIZE, consistency=consistency, prefetch=prefetch)
        seconds = time.perf_counter() - started
    if len(found) != chats or len({chat.phone for chat in found}) != chats:
        raise SystemExit(f"{consistency}, prefetch={prefetch}: {len(found)} chats instead of {chats}")
    return seconds


async def measure(base_url: str, chats: int, rounds: int) -> dict[tuple[Consistency, int], list[float]]:
    """Give the seconds of each round for each kind of walk."""
    seconds: dict[tuple[Consistency, int], list[float]] = {(kind, depth): [] for kind in KINDS for depth in DEPTHS}
    for _ in range(rounds):
        for (kind, depth), own in seconds.items():
            own.append(await walk(base_url, chats, kind, depth))
    return seconds


def main() -> None:
    """Read the arguments, measure, and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3, help="how often each walk is made (default 3)")
    parser.add_argument(
        "--pages", type=int, default=200, help=f"pages of {PAGE_SIZE}, the last half full (default 200)"
    )
    parser.add_argument("--latency", type=float, default=0.05, help="seconds before each answer (default 0.05)")
    arguments = parser.parse_args()
    chats = arguments.pages * PAGE_SIZE - PAGE_SIZE // 2
    with running(chats, latency=arguments.latency) as base_url:
        asyncio.run(walk(base_url, chats, "plain", 64))  # the server prepares its answers
        seconds = asyncio.run(measure(base_url, chats, arguments.rounds))
    print(f"{arguments.pages} pages of {PAGE_SIZE}, {arguments.latency * 1000:g} ms latency, {arguments.rounds} rounds")
    print(f"{'consistency':<12}{'prefetch':>9}{'seconds':>9}{'x faster':>10}{'min':>7}{'max':>7}")
    for (kind, depth), own in seconds.items():
        ratios = [base / mine for base, mine in zip(seconds[kind, 0], own, strict=True)]
        print(
            f"{kind:<12}{depth:>9}{statistics.median(own):>9.2f}{statistics.median(ratios):>10.2f}"
            f"{min(ratios):>7.2f}{max(ratios):>7.2f}"
        )


if __name__ == "__main__":
    main()
