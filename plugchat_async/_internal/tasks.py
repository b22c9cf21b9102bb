"""The end of tasks."""

import asyncio
from collections.abc import Collection
from contextvars import ContextVar
from typing import Any, Final

# In a thread: the task that waits for what runs there.
waiting_task: Final[ContextVar[asyncio.Task[Any] | None]] = ContextVar("waiting_task", default=None)


async def cancel_all(tasks: Collection[asyncio.Task[Any]]) -> None:
    """Cancel tasks and wait until they have ended, even if the wait itself is cancelled."""
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


def raise_if_cancelled() -> None:
    """Raise CancelledError if the current task, if there is one, was cancelled: for code that waits without `await`.

    In a thread of `Threads`, it is the task that waits for the thread.
    """
    task = waiting_task.get()
    if task is None:
        try:
            task = asyncio.current_task()
        except RuntimeError:  # no event loop
            return
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
