"""How a watch ends when it is asked to: its requests and waits are cancelled, what its caller does is not."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any


class Stopped(Exception):  # noqa: N818 - no error: nobody but the watch sees it
    """The watch was asked to end."""


@asynccontextmanager
async def unless_stopped(stop: asyncio.Event | None) -> AsyncGenerator[None]:
    """Cancel what the block awaits as soon as `stop` is set.

    Raises:
        Stopped: It was set.
    """
    if stop is None:
        yield
        return

    limit = asyncio.timeout(None)
    in_block = True

    def end(_: asyncio.Task[Any]) -> None:
        if in_block:  # else it has ended in the same step of the loop
            limit.reschedule(asyncio.get_running_loop().time())

    waiting = asyncio.create_task(stop.wait())
    try:
        async with limit:
            waiting.add_done_callback(end)
            try:
                yield
            finally:
                in_block = False
                waiting.cancel()
    except TimeoutError:  # also one of the block
        if not limit.expired():
            raise
        waiting.result()  # raises if the event is another loop's
        raise Stopped from None
