"""Calls that block: the event loop goes on, and none of them outlives who has made it."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from plugchat_async._internal.threads import Threads


async def test_a_call_is_waited_for_though_it_is_cancelled() -> None:
    """Its error then is not told. Without a cancellation, it is."""
    begun, go_on, ended = threading.Event(), threading.Event(), threading.Event()

    def call() -> None:
        begun.set()
        assert go_on.wait(10)
        ended.set()
        raise KeyError("lost")

    threads = Threads(1)
    calling = asyncio.create_task(threads.run(call))
    while not begun.is_set():
        await asyncio.sleep(0)
    for _ in range(3):
        calling.cancel()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not calling.done()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await calling
    assert ended.is_set()
    with pytest.raises(KeyError, match="lost"):
        await threads.run(call)
    threads.close()
    assert not any(thread.name.startswith("plugchat-files") for thread in threading.enumerate())


@pytest.mark.parametrize("how", ["end", "error", "cancelled"])
async def test_what_was_entered_is_left(how: str) -> None:
    """Also if that was cancelled while a thread entered it."""
    seen: list[str] = []
    begun, go_on = threading.Event(), threading.Event()
    if how != "cancelled":
        go_on.set()

    @contextmanager
    def manager() -> Iterator[str]:
        begun.set()
        assert go_on.wait(10)
        try:
            yield "it"
        except KeyError:
            seen.append("error")
            raise
        finally:
            seen.append("left")

    threads = Threads(1)

    async def use() -> None:
        async with threads.entered(manager) as found:
            seen.append(found)
            if how == "error":
                raise KeyError("mine")

    using = asyncio.create_task(use())
    if how == "cancelled":
        while not begun.is_set():
            await asyncio.sleep(0)
        using.cancel()
        await asyncio.sleep(0)
        go_on.set()
    await asyncio.wait([using])
    assert using.cancelled() == (how == "cancelled")
    assert using.cancelled() or isinstance(using.exception(), KeyError) == (how == "error")
    assert seen == {"end": ["it", "left"], "error": ["it", "error", "left"], "cancelled": ["left"]}[how]
    threads.close()
