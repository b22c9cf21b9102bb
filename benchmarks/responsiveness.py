"""The longest time that a walk, or its checkpoint, blocks the event loop.

A subclass of the event loop measures each iteration's callbacks: the longest time is how long another task, such as a
web server's request, may have to wait. In the lane "row by row" the converter reads each row, because each has a null
that the fast path refuses. A checkpoint is the first one of a walk that has read all chats.

The garbage collector runs as usual, so what the walk creates is collected while it is measured. What there was before
is collected and frozen (`gc.freeze`): modules of the benchmarks, and what is left of earlier walks, don't count.
"""

import asyncio
import gc
import selectors
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from functools import partial
from typing import Any

from benchmarks.measure import Result, Value, interleaved, spread
from benchmarks.server import running
from plugchat_async import CHATS, PlugChatSession
from plugchat_async._pagination.checkpoint import unpack

# The page size, and the number of pages.
LISTS = ((100, 200), (1000, 50), (1000, 1000), (10_000, 10))
# The number of chats that a checkpoint has.
CHECKPOINTS = (20_000, 1_000_000)
CHECKPOINT_PAGE_SIZE = 1000
# Longer lists have five rounds.
LONG = 100_000


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


def longest_block(base_url: str, work: Callable[[PlugChatSession, WatchedLoop], Awaitable[None]]) -> float:
    """Work with a new session in a new loop, and return the longest block in milliseconds."""
    loop = WatchedLoop()

    async def session() -> float:
        async with PlugChatSession("benchmark", base_url=base_url) as session:
            await asyncio.sleep(0)
            loop.longest = 0.0  # opening the session does not count, nor does closing it
            await work(session, loop)
            await asyncio.sleep(0)  # the end of the last block
            return loop.longest

    gc.collect()
    gc.freeze()
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        return runner.run(session()) * 1000


async def walk(session: PlugChatSession, _: WatchedLoop, *, page_size: int, chats: int) -> None:
    """Walk, and keep no chats."""
    found = 0
    async for page in session.iter_pages(page_size):
        found += len(page.chats)
        await asyncio.sleep(0)
    if found != chats:
        raise SystemExit(f"{found} chats instead of {chats}")


async def checkpoint(session: PlugChatSession, loop: WatchedLoop, *, chats: int) -> None:
    """Walk over some chats. Only the checkpoint after them is measured."""
    async with session.walk_chats(CHECKPOINT_PAGE_SIZE) as walk:
        found = 0
        async for page in walk.pages():
            found += len(page.chats)
            if found == chats:
                break
        await asyncio.sleep(0)
        loop.longest = 0.0
        text = await walk.checkpoint_async()
        await asyncio.sleep(0)
        longest = loop.longest
    if len(unpack(text, CHATS.path).seen) != chats:
        raise SystemExit(f"the checkpoint does not have {chats} chats")
    await asyncio.sleep(0)
    loop.longest = longest


def row_of(what: str, page_size: int, chats: int, *, odd: bool = False) -> dict[str, Value]:
    """Return what a row of the result says of itself."""
    return {"what": what, "page_size": page_size, "chats": chats, "lane": "row by row" if odd else "fast"}


def measure(
    rounds: int = 15, lists: tuple[tuple[int, int], ...] = LISTS, checkpoints: tuple[int, ...] = CHECKPOINTS
) -> Result:
    """Measure several lists, in the fast path and row by row, and checkpoints."""
    with ExitStack() as stack:
        cases: list[tuple[int, dict[str, Value], Callable[[], float]]] = []
        for odd in (False, True):
            for size, pages in lists:
                chats = size * pages - size // 2
                base_url = stack.enter_context(running(chats, odd=odd))
                row = row_of("walk", size, chats, odd=odd)
                cases.append((chats, row, partial(longest_block, base_url, partial(walk, page_size=size, chats=chats))))
        for chats in checkpoints:
            base_url = stack.enter_context(running(chats))
            row = row_of("checkpoint_async", CHECKPOINT_PAGE_SIZE, chats)
            cases.append((chats, row, partial(longest_block, base_url, partial(checkpoint, chats=chats))))
        for _, _, block in cases:
            block()  # the server prepares its responses, and modules are loaded
        found: dict[str, list[float]] = {}
        for long in (False, True):
            alike = {str(row): block for chats, row, block in cases if (chats > LONG) == long}
            found |= interleaved(alike, min(rounds, 5) if long else rounds)
        rows = [{**row, "rounds": len(found[str(row)]), **spread("ms", found[str(row)])} for _, row, _ in cases]
    return Result(
        "responsiveness",
        "The longest block of the event loop",
        "Medians of the rounds: walks with consistency='exact', a page at a time, and the first checkpoint of a walk; "
        "the longest block of each. What there was before is frozen, what a walk creates is collected as usual.",
        {
            "what": "what",
            "page_size": "chats a page",
            "chats": "chats",
            "lane": "lane",
            "rounds": "rounds",
            "ms": "ms",
            "ms_min": "least",
            "ms_max": "most",
        },
        rows,
    )
