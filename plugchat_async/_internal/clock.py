"""The clock of a session: time, sleep and random numbers, which tests replace."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable

from attrs import frozen


@frozen
class Clock:
    """Time, sleep and random numbers of a session. Pass your own to test without waiting.

    Attributes:
        monotonic: Returns seconds on a clock that never goes back (default `time.monotonic`).
        time: Returns epoch seconds (default `time.time`).
        sleep: Waits for a number of seconds (default `asyncio.sleep`).
        random: Returns a float in [0, 1) (default `random.random`).
    """

    monotonic: Callable[[], float] = time.monotonic
    time: Callable[[], float] = time.time
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep
    random: Callable[[], float] = random.random
