"""Bounds on the time that things take, with one timer for all of them."""

import asyncio
from types import TracebackType
from typing import Any, Final

# Seconds by which uvloop's timers, which count whole milliseconds, may ring too early.
_EARLY: Final = 0.001


class Alarm:
    """Ends what takes too long.

    It does what `asyncio.timeout` does. That sets a timer each time, which the event loop sorts in and throws away
    again: 8 µs a request, of which this takes 2. Here there is one timer, for the bound that ends first; when it rings,
    it is set for the next one. An alarm belongs to the event loop that it is used in.
    """

    def __init__(self) -> None:
        self._bounds: dict[Bound, None] = {}
        self._timer: asyncio.Handle | None = None
        # When it rings. Not asked of the timer: one of uvloop's that rings at once does not know.
        self._rings = 0.0
        self._closed = False

    def within(self, seconds: float) -> "Bound":
        """Give a context manager whose body raises TimeoutError where it waits for longer than so many seconds."""
        return Bound(self, seconds)

    def close(self) -> None:
        """End what is under way, and leave no timer behind in the event loop, then and when what begins later ends."""
        self._closed = True
        for bound in list(self._bounds):
            # Who closes it in the middle of its own work sees to that itself, and need not be interrupted.
            if bound.task is not asyncio.current_task():
                self.forget(bound)
                bound.expire()
        if not self._bounds:
            self._silence()

    def watch(self, bound: "Bound", loop: asyncio.AbstractEventLoop) -> None:
        """See to it that a bound expires."""
        if self._timer is None or bound.end < self._rings:
            self._set(bound.end, loop)
        self._bounds[bound] = None

    def forget(self, bound: "Bound") -> None:
        """Let a bound be. The timer stays: the next one would set it again."""
        self._bounds.pop(bound, None)
        if self._closed and not self._bounds:
            self._silence()

    def _set(self, moment: float, loop: asyncio.AbstractEventLoop) -> None:
        self._silence()
        self._timer, self._rings = loop.call_at(moment, self._ring, loop), moment

    def _silence(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _ring(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        due = loop.time() + _EARLY
        for bound in [bound for bound in self._bounds if bound.end <= due]:
            self.forget(bound)
            bound.expire()
        if self._bounds:
            self._set(min(bound.end for bound in self._bounds), loop)


class Bound:
    """What an alarm watches over: a part of a task's work. `end`: when it must be done, by the event loop's clock."""

    task: asyncio.Task[Any]

    def __init__(self, alarm: Alarm, seconds: float) -> None:
        self._alarm = alarm
        self._seconds = seconds
        self._expired = False
        self.end = 0.0

    def __enter__(self) -> None:
        loop = asyncio.get_running_loop()
        task = asyncio.current_task(loop)
        assert task is not None, "nobody else can be cancelled"
        self.task = task
        self._cancelling = task.cancelling()
        self.end = loop.time() + self._seconds
        self._alarm.watch(self, loop)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._alarm.forget(self)
        # Who cancels the task at the same time is to see it cancelled.
        if self._expired and self.task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def expire(self) -> None:
        """End it."""
        self._expired = True
        self.task.cancel()
