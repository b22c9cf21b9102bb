"""The speed of walks with `prefetch`.

The server, in another process, responds after a fixed latency. Each round walks the same list with each `prefetch` in
turn, over loopback. A ratio is of one round.
"""

import asyncio
import time
from functools import partial

from benchmarks.measure import Result, Value, interleaved, ratios, spread
from benchmarks.server import running
from plugchat_async import PlugChatSession
from plugchat_async._pagination.walk_steps import key_of

DEPTHS = (0, 1, 2, 4, 8, 16, 32, 64)
PAGE_SIZE = 100
# The latency in seconds: the number of pages. A walk without prefetch takes at most a minute.
LISTS = {0.005: 1000, 0.05: 1000, 0.2: 300}


async def walk(base_url: str, chats: int, prefetch: int) -> float:
    """Walk once with a new session, and return the duration in seconds."""
    async with PlugChatSession("benchmark", base_url=base_url, max_concurrency=128) as session:
        started = time.perf_counter()
        found = await session.list_chats(PAGE_SIZE, prefetch=prefetch)
        seconds = time.perf_counter() - started
    if len({key_of(chat) for chat in found}) != len(found) or len(found) != chats:
        raise SystemExit(f"prefetch={prefetch}: {len(found)} chats instead of {chats}")
    return seconds


def walk_in_a_loop(base_url: str, chats: int, prefetch: int) -> float:
    """Walk in a new event loop."""
    return asyncio.run(walk(base_url, chats, prefetch))


def measure(rounds: int = 3, lists: dict[float, int] = LISTS) -> Result:
    """Measure walks with each `prefetch`, at each latency."""
    rows: list[dict[str, Value]] = []
    for latency, pages in lists.items():
        chats = pages * PAGE_SIZE - PAGE_SIZE // 2
        with running(chats, latency=latency) as base_url:
            walk_in_a_loop(base_url, chats, 64)  # the server prepares its responses
            seconds = interleaved(
                {str(depth): partial(walk_in_a_loop, base_url, chats, depth) for depth in DEPTHS}, rounds
            )
        for depth, own in seconds.items():
            rows.append(
                {
                    "latency": round(latency * 1000),
                    "pages": pages,
                    "prefetch": int(depth),
                    **spread("seconds", own),
                    **spread("faster", ratios(seconds["0"], own)),
                }
            )
    return Result(
        "prefetch",
        "Pages asked for ahead",
        f"A list of so many pages of {PAGE_SIZE} chats, walked with consistency='exact' over loopback. Medians of "
        f"{rounds} rounds; ratios are those of one round.",
        {
            "latency": "latency, ms",
            "pages": "pages",
            "prefetch": "prefetch",
            "seconds": "seconds",
            "seconds_min": "least",
            "seconds_max": "most",
            "faster": "x faster",
            "faster_min": "least",
            "faster_max": "most",
        },
        rows,
    )
