"""Requests pages before they are wanted, so that the caller's work and the waiting overlap."""

import asyncio
from collections.abc import Awaitable, Callable

from attrs import define, field

from plugchat_async._internal.tasks import cancel_all
from plugchat_async._pagination import FetchPage, PeekPage, StopOn
from plugchat_async.models import Page

PageSource = Callable[[int, int], Awaitable[Page]]
# A page's number and size.
Key = tuple[int, int]


@define(eq=False, repr=False)
class Prefetcher:
    """Requests pages, up to `depth` of them before they are wanted.

    It begins slowly: no more are ahead than were taken, so that a walk never asks for twice the pages that it needs.

    horizon: the place in the list from which on no chat is wanted (None: there is none).
    requests: how many were made.

    ahead: the requests under way or arrived, in the order in which they will be wanted. last: the last that was made.
    taken: how many pages were taken in a row. no_more: a page has arrived that ends the list, or has failed.
    """

    _fetch: PageSource
    _depth: int
    _stop_on: StopOn
    _stop_at: int | None
    requests: int = field(default=0, init=False)
    _ahead: dict[Key, asyncio.Task[Page]] = field(factory=dict[Key, "asyncio.Task[Page]"], init=False)
    _last: Key = field(default=(0, 0), init=False)
    _taken: int = field(default=0, init=False)
    _exhausted: bool = field(default=False, init=False)

    async def get(self, step: FetchPage) -> Page:
        """Give the page that a step asks for, or raise what came of it."""
        if self._depth == 0 or step.after is None:
            await self.close()
            self.requests += 1
            return await self._fetch(step.number, step.size)
        key = (step.number, step.size)
        if key != next(iter(self._ahead), None):
            await self.close()
            self._taken, self._exhausted = 0, False
            self._begin(key)
        self._taken += 1
        arrived = self._ahead[key].done()
        if self._begin_more(step.after) and arrived:
            await asyncio.sleep(0)  # let them begin before the caller goes to work
        page = await self._ahead[key]
        del self._ahead[key]
        if self._ends(page):
            await self._cancel({other for other, task in self._ahead.items() if not task.done()})
        return page

    def peek(self, step: PeekPage) -> Page:
        """Give a page that has arrived, else an empty one."""
        task = self._ahead.get((step.number, step.size))
        if task is not None and task.done() and task.exception() is None:
            return task.result()
        return Page(step.number, step.size, (), b"")

    async def close(self) -> None:
        """Cancel all that is under way, and wait until it is gone."""
        if self._ahead:
            await self._cancel(set(self._ahead))

    def _begin_more(self, after: Callable[[int, int], Key]) -> bool:
        """Make the requests that may be made now, and tell whether there were any."""
        made = False
        # The first one ahead is the page that is wanted now.
        while len(self._ahead) - 1 < min(self._depth, self._taken) and not self._exhausted:
            number, size = self._last
            if self._stop_at is not None and number * size >= self._stop_at:
                break
            self._begin(after(number, size))
            made = True
        return made

    def _begin(self, key: Key) -> None:
        self._last = key
        self._ahead[key] = asyncio.create_task(self._run(key))
        # What nobody waits for any more is no lost error.
        self._ahead[key].add_done_callback(_look_at_exception)

    async def _run(self, key: Key) -> Page:
        self.requests += 1
        ends = True
        try:
            page = await self._fetch(*key)
            ends = self._ends(page)
        finally:
            self._exhausted |= ends
        return page

    def _ends(self, page: Page) -> bool:
        return not page.chats or (page.is_short and self._stop_on == "short")

    async def _cancel(self, keys: set[Key]) -> None:
        await cancel_all([self._ahead.pop(key) for key in keys])


def _look_at_exception(task: asyncio.Task[Page]) -> None:
    if not task.cancelled():
        task.exception()
