"""Bounds on time: late is late, whoever else is at it, and nothing is left of them."""

import asyncio
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from unittest.mock import patch

import pytest

from plugchat_async._http.alarm import Alarm
from support.fakes import run_apart


def timers() -> int:
    """How many timers the event loop still has to ring for."""
    loop = asyncio.get_running_loop()
    return sum(not timer.cancelled() for timer in getattr(loop, "_scheduled"))  # noqa: B009 - it is private


async def outcome(alarm: Alarm, seconds: float, work: float) -> tuple[str, float]:
    """What becomes of so many seconds of work, and when."""
    clock = asyncio.get_running_loop().time
    started = clock()
    try:
        with alarm.within(seconds):
            await asyncio.sleep(work)
    except TimeoutError:
        return "late", round(clock() - started, 3)
    return "done", round(clock() - started, 3)


def test_each_bound_ends_at_its_own_time() -> None:
    """Whatever the order in which they began, and which of them were over before."""

    async def main() -> None:
        alarm = Alarm()
        bounds = [(30.0, 40.0), (10.0, 40.0), (20.0, 5.0), (20.0, 40.0), (10.0, 9.0), (0.0, 1.0), (50.0, 40.0)]
        assert await asyncio.gather(*(outcome(alarm, *each) for each in bounds)) == [
            ("late", 30.0),
            ("late", 10.0),
            ("done", 5.0),
            ("late", 20.0),
            ("done", 9.0),
            ("late", 0.0),
            ("done", 40.0),
        ]
        assert await outcome(alarm, 3.0, 4.0) == ("late", 3.0)

    run_apart(main(), virtually=True)


@pytest.mark.skipif(sys.platform == "win32", reason="needs uvloop, which is not made for Windows")
def test_bounds_on_uvloop() -> None:
    """Its timers ring up to a millisecond early, and some of them can't say when.

    Its clock is not ours to inject: this takes some 30 ms.
    """

    async def main() -> None:
        alarm = Alarm()

        async def late(milliseconds: float) -> None:
            for _ in range(4):
                with pytest.raises(TimeoutError), alarm.within(milliseconds / 1000):
                    await asyncio.Event().wait()
            with alarm.within(30.0):
                await asyncio.sleep(0)

        await asyncio.gather(*(late(0.1 * tenth) for tenth in range(60)))
        assert not getattr(alarm, "_bounds")  # noqa: B009 - nothing is left
        alarm.close()

    import uvloop

    with ThreadPoolExecutor(1) as pool:
        pool.submit(uvloop.run, main()).result()


def test_one_timer_serves_all() -> None:
    """A thousand requests one after another set it once; it rings in vain, and not again."""

    async def main() -> None:
        alarm = Alarm()
        loop = asyncio.get_running_loop()
        with patch.object(loop, "call_at", wraps=loop.call_at) as call_at:
            for _ in range(1000):
                with alarm.within(30.0):
                    await asyncio.sleep(0)
        assert call_at.call_count == 1
        assert timers() == 1
        await asyncio.sleep(31.0)
        assert timers() == 0

    run_apart(main(), virtually=True)


def test_a_closed_alarm_ends_what_is_under_way_and_leaves_no_timer() -> None:
    """Several requests at once; and one that begins only then does not become endless."""

    async def main() -> None:
        alarm = Alarm()
        assert await outcome(alarm, 30.0, 1.0) == ("done", 1.0)
        alarm.close()
        assert timers() == 0
        under_way = [asyncio.create_task(outcome(alarm, seconds, 1e6)) for seconds in (30.0, 20.0)]
        await asyncio.sleep(0)
        alarm.close()
        assert await asyncio.gather(*under_way) == [("late", 0.0)] * 2
        assert timers() == 0
        assert await outcome(alarm, 30.0, 1e6) == ("late", 30.0)
        assert await outcome(alarm, 30.0, 1.0) == ("done", 1.0)
        assert timers() == 0

    run_apart(main(), virtually=True)


def test_who_closes_an_alarm_in_the_middle_of_its_own_work_is_not_interrupted() -> None:
    """Neither then nor later; and it is watched still."""

    async def main() -> None:
        alarm = Alarm()
        with alarm.within(30.0):
            alarm.close()
            await asyncio.sleep(1.0)
        await asyncio.sleep(1.0)
        assert timers() == 0
        with pytest.raises(TimeoutError), alarm.within(30.0):
            alarm.close()
            await asyncio.sleep(1e6)
        assert timers() == 0

    run_apart(main(), virtually=True)


def test_a_cancelled_task_stays_cancelled() -> None:
    """Before the bound, and in the same turn of the event loop: its canceller is not told of a timeout."""

    async def main() -> None:
        alarm = Alarm()
        for at in (1.0, 2.0):
            task = asyncio.create_task(outcome(alarm, 2.0, 10.0))
            await asyncio.sleep(0)
            asyncio.get_running_loop().call_at(asyncio.get_running_loop().time() + at, task.cancel)
            with pytest.raises(asyncio.CancelledError):
                await task
        assert not getattr(alarm, "_bounds")  # noqa: B009 - nothing is left

    run_apart(main(), virtually=True)


def test_other_errors_come_through() -> None:
    """Also where they are what the task makes of its cancellation; and it is not cancelled for good."""

    async def main() -> None:
        alarm = Alarm()
        with pytest.raises(KeyError), alarm.within(5.0):
            raise KeyError
        with pytest.raises(KeyError), alarm.within(5.0):
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(10.0)
            raise KeyError
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0
        await asyncio.sleep(1.0)

    run_apart(main(), virtually=True)


def test_bounds_within_bounds() -> None:
    """The inner one is not taken for the outer one, nor the other way round."""

    async def main() -> None:
        alarm = Alarm()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5.0):
                assert await outcome(alarm, 3.0, 10.0) == ("late", 3.0)
                await asyncio.sleep(10.0)
        with pytest.raises(TimeoutError), alarm.within(5.0):
            async with asyncio.timeout(7.0):
                await asyncio.sleep(10.0)

    run_apart(main(), virtually=True)
