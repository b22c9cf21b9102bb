"""Work in steps: generators that yield every few milliseconds, so that others may run."""

import asyncio
from collections.abc import Generator
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
