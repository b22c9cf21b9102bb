"""Request pages before they are needed, so that the caller's work and the waiting overlap."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

from attrs import define, field

from plugchat_async._internal.tasks import cancel_all
from plugchat_async._pagination.walk_state import StopOn, WalkState
from plugchat_async._pagination.walk_steps import FetchPage
from plugchat_async.models import Page

FetchFunction: TypeAlias = Callable[[int, int], Awaitable[Page]]
# A page's number and size.
Key = tuple[int, int]
# The first pages are requested one after the other: most lists have no more, and need none that is requested ahead.
IN_ORDER: Final = 3


@define(eq=False, repr=False)
class Prefetcher:
    """Requests pages, up to `depth` of them before they are needed.

    It starts slowly: nothing is ahead of the second page, one page of the third, and one more with each page that was
    taken. So a short list costs no request that is not needed, and a walk never requests twice the pages that it needs.
    If the session has read the list before, and it was long, the pages down to where it ended are requested `depth`
    ahead from the second one on. Then a list that has become much shorter costs up to `depth` requests in vain.

    Attributes:
        fetch: Returns a page, given its number and size.
        depth: The number of pages to request ahead.
        stop_on: As for a walk.
        stop_at: The place in the list from which on no chat is needed (None: all are).
        expected: The number of rows that the list had at the last walk, or None.
        requests: The number of requests that were made.
        _ahead: The requests that are in flight or have arrived, in the order in which they will be needed.
        _last: The last request that was made.
        _taken: The number of pages that were taken in a row.
        _following: The request that continues this row, or None.
        _exhausted: Whether a page that ends the list has arrived, or has failed.
    """

    _fetch: FetchFunction
    _depth: int
    _stop_on: StopOn
    _stop_at: int | None
    _expected: int | None = None
    requests: int = field(default=0, init=False)
    _ahead: dict[Key, asyncio.Task[Page]] = field(factory=dict[Key, "asyncio.Task[Page]"], init=False)
    _last: Key = field(default=(0, 0), init=False)
    _taken: int = field(default=0, init=False)
    _following: Key | None = field(default=None, init=False)
    _exhausted: bool = field(default=False, init=False)

    async def get(self, step: FetchPage) -> Page:
        """Return the page of a step, or raise its error. If this is cancelled, it can be called again."""
        if self._depth == 0 or step.next_key is None:
            await self.close()
            self._following = None
            self.requests += 1
            return await self._fetch(step.number, step.size)
        key = (step.number, step.size)
        if key != next(iter(self._ahead), None):
            await self.close()
            if key != self._following:
                self._taken = 0
            self._exhausted = False
            self._begin(key)
        arrived = self._ahead[key].done()
        if self._begin_more(step.next_key) and arrived:
            await asyncio.sleep(0)  # let them begin before the caller goes to work
        task = self._ahead[key]
        if not task.done():
            # To await the task itself would cancel it, and lose its page, if the caller is cancelled.
            await asyncio.wait((task,))
        if task.cancelled():
            del self._ahead[key]  # by other code: the next step requests the page again
        page = task.result()
        ends = self._ends(page)
        if ends:
            await self._cancel({other for other, task in self._ahead.items() if not task.done()})
        del self._ahead[key]
        self._taken += 1
        self._following = None if ends else step.next_key(*key)
        return page

    async def close(self) -> None:
        """Cancel all requests in flight, and wait until they have ended."""
        if self._ahead:
            await self._cancel(set(self._ahead))

    def _begin_more(self, next_key: Callable[[int, int], Key]) -> bool:
        """Make the requests that may be made now. Return whether there were any."""
        made = False
        slowly = min(self._depth, self._taken + 2 - IN_ORDER)
        while not self._exhausted:
            number, size = self._last
            is_expected = self._taken > 0 and is_long(self._expected, size) and number * size < (self._expected or 0)
            # The first one ahead is the page that is needed now.
            if len(self._ahead) - 1 >= (self._depth if is_expected else slowly):
                break
            if self._stop_at is not None and number * size >= self._stop_at:
                break
            self._begin(next_key(number, size))
            made = True
        return made

    def _begin(self, key: Key) -> None:
        self._last = key
        self._ahead[key] = asyncio.create_task(self._run(key))
        # An error that nobody waits for any more is not lost.
        self._ahead[key].add_done_callback(_retrieve_exception)

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


def is_long(expected: int | None, size: int) -> bool:
    """Return whether a list is expected to have so many rows that no page but the first one is requested alone."""
    return expected is not None and expected > IN_ORDER * size


def _retrieve_exception(task: asyncio.Task[Page]) -> None:
    if not task.cancelled():
        task.exception()


def place_to_stop(state: WalkState, left: int | None) -> int | None:
    """Return the place in the list from which on no chat is needed if `left` are wanted, or None if all are."""
    if left is None:
        return None
    begin = state.windows.position if state.stage == "windows" else (state.page - 1) * state.size
    return begin + left
