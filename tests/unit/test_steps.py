"""Work in steps and in threads: others run meanwhile, and nothing is left behind."""

import asyncio
import gc
import threading
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor

import pytest

from plugchat_async._internal.steps import finish, finish_in_turns
from plugchat_async._internal.threads import finish_in_thread


def counting(steps: int) -> Generator[None, None, str]:
    for _ in range(steps):
        yield
    return "done"


@pytest.mark.parametrize("steps", [0, 5])
async def test_other_tasks_run_between_two_steps(steps: int) -> None:
    """As often as there are steps; without pauses, nobody does."""
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counter = asyncio.create_task(count())
    assert finish(counting(steps)) == "done"
    before = turns
    assert await finish_in_turns(counting(steps)) == "done"
    assert steps - 1 <= turns - before <= steps
    counter.cancel()


async def test_a_thread_is_waited_for() -> None:
    """Its result, and what it raises, come back."""
    mine = threading.get_ident()
    assert await finish_in_thread(threading.get_ident) != mine
    with pytest.raises(ZeroDivisionError):
        await finish_in_thread(lambda: 1 // 0)


async def test_a_thread_begins_though_those_of_the_event_loop_are_all_in_use() -> None:
    """Such as by names of hosts that are looked up."""
    loop, go = asyncio.get_running_loop(), threading.Event()
    loop.set_default_executor(ThreadPoolExecutor(1))
    looking_up = loop.run_in_executor(None, go.wait, 10)
    try:
        assert await asyncio.wait_for(finish_in_thread(lambda: "done"), 5) == "done"
    finally:
        go.set()
        assert await looking_up


@pytest.mark.parametrize("fails", [False, True])
async def test_a_thread_is_waited_for_even_by_who_is_cancelled(fails: bool, caplog: pytest.LogCaptureFixture) -> None:
    """Twice, even. An error that nobody gets is not logged as one that was forgotten."""
    go, done = threading.Event(), threading.Event()

    def work() -> None:
        assert go.wait(10)
        done.set()
        if fails:
            raise LookupError

    task = asyncio.create_task(finish_in_thread(work))
    for _ in range(2):
        await asyncio.sleep(0.01)
        task.cancel()
    await asyncio.sleep(0.01)
    assert not task.done()
    go.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert done.is_set()
    del task
    gc.collect()
    assert caplog.text == ""
