"""Time in which this process did not run: it was stopped, or its machine slept, or other code kept the event loop.

That is not the server's silence, so it does not count against the time that an attempt has.
"""

import asyncio
from typing import Final

# Seconds between two looks at the clock, while there is anything to look after.
_INTERVAL: Final = 1.0
# A look may be so many seconds late on a busy machine.
_LATE: Final = 1.0


class Pauses:
    """Notices pauses of this process, and gives the time back to the limits that run meanwhile.

    Attributes:
        lost: The seconds of all pauses so far.
    """

    def __init__(self) -> None:
        self.lost = 0.0
        self._limits: set[asyncio.Timeout] = set()
        self._due = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def add(self, limit: asyncio.Timeout) -> float:
        """Look after a limit that is about to be entered, until it is removed. Return `lost`."""
        lost = self.note()  # in a pause before the limit
        if self._timer is None:
            self._look_later()
        self._limits.add(limit)
        return lost

    def note(self) -> float:
        """Note a pause that has ended but was not noticed yet. Return `lost`."""
        if self._timer is not None:
            self._note_pause()
        return self.lost

    def remove(self, limit: asyncio.Timeout) -> None:
        """Look after a limit no more."""
        self._limits.discard(limit)

    def stop(self) -> None:
        """Look after no limit any more."""
        self._limits.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look_later(self) -> None:
        loop = asyncio.get_running_loop()
        self._due = loop.time() + _INTERVAL
        self._timer = loop.call_at(self._due, self._look)

    def _look(self) -> None:
        self._note_pause()
        if self._limits:
            self._look_later()
        else:
            self._timer = None

    def _note_pause(self) -> None:
        now = asyncio.get_running_loop().time()
        late = now - self._due
        if late <= _LATE:
            return
        self._due = now
        self.lost += late
        for limit in self._limits:
            end = limit.when()
            # One that has just expired may not be changed: who waits for it sees that time was lost.
            if end is not None and not limit.expired():
                limit.reschedule(end + late)
