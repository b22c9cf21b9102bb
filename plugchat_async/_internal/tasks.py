"""The end of tasks."""

import asyncio
import threading
from collections.abc import Callable, Collection
from typing import Any, Final, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

# `cancelled`: whether the task that this thread works for was cancelled.
_thread: Final = threading.local()


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


def call_for_task(cancelled: threading.Event, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a function in a thread for a task. `cancelled` is set when that is cancelled, see `raise_if_cancelled`."""
    _thread.cancelled = cancelled
    try:
        return function(*args, **kwargs)
    finally:
        del _thread.cancelled


def raise_if_cancelled() -> None:
    """Raise CancelledError if the task that waits for this was cancelled: for code that waits without `await`.

    That is the current task, or the one that a thread works for, if there is one.
    """
    try:
        task = asyncio.current_task()
    except RuntimeError:  # no event loop
        cancelled: threading.Event | None = getattr(_thread, "cancelled", None)
        if cancelled is not None and cancelled.is_set():
            raise asyncio.CancelledError from None
        return
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
