"""Threads for calls that block, such as writing to a slow disk: the event loop goes on meanwhile."""

import asyncio
import sys
import threading
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, asynccontextmanager
from typing import ParamSpec, TypeVar

from plugchat_async._internal.tasks import call_for_task

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

        A call that has begun can't be interrupted: if this is cancelled, it is waited for all the same. It may look
        for that itself, see `raise_if_cancelled`.
        """
        cancelled = threading.Event()
        call = self._pool.submit(call_for_task, cancelled, function, *args, **kwargs)
        return await _returned(asyncio.wrap_future(call), cancelled)

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
    """Call a function in a thread of the event loop, as `Threads.run` does: for calls that are rare."""
    cancelled = threading.Event()
    call = asyncio.get_running_loop().run_in_executor(None, call_for_task, cancelled, function)
    return await _returned(call, cancelled)


async def _returned(call: asyncio.Future[T], told: threading.Event) -> T:
    """Wait until a thread has returned, even if the wait is cancelled: no thread can be, but it is told."""
    cancelled: asyncio.CancelledError | None = None
    while not call.done():
        try:
            await asyncio.wait([call])
        except asyncio.CancelledError as error:
            cancelled = error
            told.set()
    if cancelled is not None:
        call.exception()  # else it would be told as one that nobody has seen
        raise cancelled
    return call.result()
