"""Threads for calls that block, such as writing to a slow disk: the event loop goes on meanwhile."""

import asyncio
import sys
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, asynccontextmanager
from typing import ParamSpec, TypeVar

from plugchat_async._internal.tasks import waiting_task

P = ParamSpec("P")
T = TypeVar("T")


class Threads:
    """Some threads of their own: those of the event loop also look up host names, which a slow disk must not delay.

    Args:
        count: The number of calls at a time. Further ones wait.
    """

    def __init__(self, count: int) -> None:
        self._pool = ThreadPoolExecutor(count, "plugchat-files")

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a function in a thread, and return what it returns.

        A call can't be interrupted, unless it looks with `raise_if_cancelled`: if this is cancelled, it is waited for
        all the same.
        """
        task = asyncio.current_task()

        def call() -> T:
            token = waiting_task.set(task)
            try:
                return function(*args, **kwargs)
            finally:
                waiting_task.reset(token)

        return await _returned(asyncio.wrap_future(self._pool.submit(call)))

    @asynccontextmanager
    async def entered(self, make: Callable[[], AbstractContextManager[T]]) -> AsyncGenerator[T, None]:
        """Make, enter and leave a context manager in threads."""
        stack = ExitStack()  # is left also if this is cancelled while a thread enters it
        try:
            yield await self.run(lambda: stack.enter_context(make()))
        except BaseException:
            await self.run(stack.__exit__, *sys.exc_info())
            raise
        else:
            await self.run(stack.close)

    def close(self) -> None:
        """End the threads, once no call runs."""
        self._pool.shutdown()


async def finish_in_thread(function: Callable[[], T]) -> T:
    """Call a function in a thread that is made for it, as `Threads.run` does: for calls that are rare."""
    threads = Threads(1)
    try:
        return await threads.run(function)
    finally:
        threads.close()


async def _returned(call: asyncio.Future[T]) -> T:
    """Wait until a thread has returned, even if the wait is cancelled: no thread can be."""
    cancelled: asyncio.CancelledError | None = None
    while not call.done():
        try:
            await asyncio.wait([call])
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        call.exception()  # else it would be told as one that nobody has seen
        raise cancelled
    return call.result()
