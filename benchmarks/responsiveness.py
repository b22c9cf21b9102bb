"""The longest time that a walk blocks the event loop.

A subclass of the event loop measures each iteration's callbacks: the longest time is how long another task, such as a
web server's request, may have to wait. The garbage collector runs as usual. In the lane "row by row" the converter
reads each row, because each has a null that the fast path refuses.
"""

import asyncio
import selectors
import time
from typing import Any

from benchmarks.measure import Result, Value, spread
from benchmarks.server import running
from plugchat_async import PlugChatSession

# The page size, and the number of pages.
LISTS = ((100, 200), (1000, 50), (1000, 1000), (10_000, 10))


class WatchedLoop(asyncio.SelectorEventLoop):
    """Records the longest time between two checks of its sockets, in seconds."""

    longest = 0.0

    def __init__(self) -> None:
        super().__init__(_Watch(self))


class _Watch(selectors.DefaultSelector):
    """The selector: all ready callbacks run between two of its calls."""

    def __init__(self, loop: WatchedLoop) -> None:
        super().__init__()
        self._loop = loop
        self._left = time.perf_counter()

    def select(self, timeout: float | None = None) -> Any:
        self._loop.longest = max(self._loop.longest, time.perf_counter() - self._left)
        try:
            return super().select(timeout)
        finally:
            self._left = time.perf_counter()


def longest_block(base_url: str, page_size: int) -> float:
    """Walk, and return the longest block in milliseconds. Opening the session does not count."""
    loops: list[WatchedLoop] = []

    def loop_factory() -> WatchedLoop:
        loops.append(WatchedLoop())
        return loops[0]

    async def walk() -> None:
        async with PlugChatSession("benchmark", base_url=base_url) as session:
            await asyncio.sleep(0)
            loops[0].longest = 0.0
            async for _ in session.iter_pages(page_size):
                await asyncio.sleep(0)

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(walk())
        return loops[0].longest * 1000


def measure(rounds: int = 15, lists: tuple[tuple[int, int], ...] = LISTS) -> Result:
    """Measure several lists, in the fast path and row by row."""
    rows: list[dict[str, Value]] = []
    for odd in (False, True):
        for size, pages in lists:
            chats = size * pages - size // 2
            with running(chats, odd=odd) as base_url:
                longest_block(base_url, size)  # the server prepares its responses, and modules are loaded
                blocks = [longest_block(base_url, size) for _ in range(rounds)]
            lane = "row by row" if odd else "fast"
            rows.append({"page_size": size, "pages": pages, "lane": lane, **spread("ms", blocks)})
    return Result(
        "responsiveness",
        "The longest block of the event loop in a walk",
        f"Medians of {rounds} walks with consistency='exact', a page at a time; the longest block of each walk.",
        {
            "page_size": "chats a page",
            "pages": "pages",
            "lane": "lane",
            "ms": "ms",
            "ms_min": "least",
            "ms_max": "most",
        },
        rows,
    )
