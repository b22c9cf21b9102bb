"""Requests pages before they are wanted, so that the caller's work and the waiting overlap."""

import asyncio
from collections.abc import Awaitable, Callable

from attrs import define, field

from plugchat_async._walk import Fetch, Peek, StopOn
from plugchat_async.models import Page

FetchPage = Callable[[int, int], Awaitable[Page]]
# A page's number and size.
Key = tuple[int, int]


@define
class PagesAhead:
    """Requests pages, up to `depth` of them before they are wanted.

    It begins slowly: no more are ahead than were taken, so that a walk never asks for twice the pages that it needs.

    horizon: the place in the list from which on no chat is wanted (None: there is none).
    requests: how many were made.
    """

    _fetch: FetchPage
    _depth: int
    _stop_on: StopOn
    _horizon: int | None
    requests: int = 0
    _taken: int = 0
    _tasks: dict[Key, asyncio.Task[Page]] = field(factory=dict[Key, "asyncio.Task[Page]"])

    async def get(self, step: Fetch) -> Page:
        """Give the page that a step asks for, or raise what came of it."""
        key = (step.number, step.size)
        if self._depth == 0 or step.after is None:
            await self.close()
            return await self._run(key)
        self._taken = self._taken + 1 if key in self._tasks else 1
        wanted = self._wanted(step.after, key)
        await self._cancel(self._tasks.keys() - wanted)
        fresh = [other for other in wanted if other not in self._tasks]
        for other in fresh:
            task = self._tasks[other] = asyncio.create_task(self._run(other))
            # What nobody waits for any more is no lost error.
            task.add_done_callback(_look_at_exception)
        if fresh and key not in fresh:
            await asyncio.sleep(0)  # let them begin before the caller goes to work
        page = await self._tasks[key]
        del self._tasks[key]
        if self._ends(page):
            await self._cancel({other for other, task in self._tasks.items() if not task.done()})
        return page

    def peek(self, step: Peek) -> Page:
        """Give a page that has arrived, else an empty one."""
        return self._arrived((step.number, step.size)) or Page(step.number, step.size, (), b"")

    async def close(self) -> None:
        """Cancel all that is under way, and wait until it is gone."""
        await self._cancel(set(self._tasks))

    async def _run(self, key: Key) -> Page:
        self.requests += 1
        return await self._fetch(*key)

    def _wanted(self, after: Callable[[int, int], Key], key: Key) -> list[Key]:
        """Give the page that is asked for, and those after it that may be asked for now."""
        wanted = [key]
        for _ in range(min(self._depth, self._taken)):
            number, size = key
            arrived = self._arrived(key)
            if (arrived and self._ends(arrived)) or self._has_failed(key):
                break  # there will be no page after it
            if self._horizon is not None and number * size >= self._horizon:
                break
            key = after(number, size)
            wanted.append(key)
        return wanted

    def _ends(self, page: Page) -> bool:
        return not page.chats or (page.is_last and self._stop_on == "short")

    def _arrived(self, key: Key) -> Page | None:
        task = self._tasks.get(key)
        return task.result() if task and task.done() and not self._has_failed(key) else None

    def _has_failed(self, key: Key) -> bool:
        task = self._tasks.get(key)
        return task is not None and task.done() and (task.cancelled() or task.exception() is not None)

    async def _cancel(self, keys: set[Key]) -> None:
        """Cancel requests, and wait until they are gone, even if the waiting is cancelled itself."""
        tasks = [self._tasks.pop(key) for key in keys]
        for task in tasks:
            task.cancel()
        cancelled: asyncio.CancelledError | None = None
        while pending := [task for task in tasks if not task.done()]:
            try:
                await asyncio.wait(pending)
            except asyncio.CancelledError as error:
                cancelled = error
        if cancelled is not None:
            raise cancelled


def _look_at_exception(task: asyncio.Task[Page]) -> None:
    if not task.cancelled():
        task.exception()
