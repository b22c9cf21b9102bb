"""What ends by an event, in the same step of the loop or not."""

import asyncio
from contextlib import suppress
from typing import Any

import pytest

from plugchat_async.watch.stopping import Stopped, unless_stopped


@pytest.mark.parametrize("steps", range(6))
async def test_a_block_that_ends_as_it_is_stopped_ends_well(steps: int) -> None:
    """It is cancelled or not, and nothing goes on behind it."""
    unexpected: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: unexpected.append(context))
    stop = asyncio.Event()
    with suppress(Stopped):
        async with unless_stopped(stop):
            await asyncio.sleep(0)  # the event is waited for
            stop.set()
            for _ in range(steps):
                await asyncio.sleep(0)
    for _ in range(3):
        await asyncio.sleep(0)
    assert unexpected == []
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_without_an_event_nothing_is_begun() -> None:
    """Most watches have none."""
    async with unless_stopped(None):
        assert asyncio.all_tasks() == {asyncio.current_task()}
