"""Work in steps: generators that yield every few milliseconds, so that others may run."""

import asyncio
from collections.abc import Callable, Generator
from typing import TypeVar

T = TypeVar("T")


def finish(steps: Generator[None, None, T]) -> T:
    """Run a generator to its end, without pauses, and return its value."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: T = end.value
            return result


async def finish_in_turns(steps: Generator[None, None, T]) -> T:
    """Run a generator to its end, and let other tasks run at each step. Return its value."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: T = end.value
            return result
        await asyncio.sleep(0)


async def finish_in_thread(function: Callable[[], T]) -> T:
    """Call a function in a thread, and wait until it has returned, even if the wait is cancelled: no thread can be."""
    returned = asyncio.get_running_loop().run_in_executor(None, function)
    cancelled: asyncio.CancelledError | None = None
    while not returned.done():
        try:
            await asyncio.wait((returned,))
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        returned.exception()  # else it is logged as one that nobody has seen
        raise cancelled
    return returned.result()
