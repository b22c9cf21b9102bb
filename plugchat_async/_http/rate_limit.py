"""Everything that holds a request back before it is sent: its account's turn, slots, rates, and the wait after a 429.

Rates are aiolimiter's: a small leaky bucket on the event loop's clock. Of its kind it fits: pyrate-limiter counts in
whole milliseconds, waits 50 ms more than is needed, and keeps a thread for its buckets.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

from attrs import Factory, define, field

from plugchat_async._internal.validation import check_number

if TYPE_CHECKING:
    from aiolimiter import AsyncLimiter

# One request a day.
_MIN_RATE: Final = 1 / 86_400
_MAX_RATE: Final = 1_000_000
# Seconds that timers may be late without loss: at 200 a second those of asyncio lost an eighth of them.
_CATCH_UP: Final = 0.01


def check_rate(name: str, rate: object) -> None:
    """Raise InvalidTypeError or InvalidValueError unless `rate` is None or a number of requests a second above 0."""
    if rate is not None:
        check_number(name, rate, zero=False, maximum=_MAX_RATE, unit=" of requests a second")


def rate_limiter(rate: float | None, *, catch_up: bool = True) -> "AsyncLimiter | None":
    """Return a limiter of `rate` requests a second, evenly spaced, or None if there is no limit.

    Args:
        rate: Requests a second, or None.
        catch_up: Whether a hundredth of a second's requests may go out at once, to make up for late timers.
    """
    if rate is None:
        return None
    from aiolimiter import AsyncLimiter  # noqa: PLC0415 - 6 ms of imports, since it reads its own metadata

    number = max(_MIN_RATE, rate)
    # A bucket of one second's requests would let twice as many through in its first second.
    capacity = 1 + number * _CATCH_UP if catch_up else 1.0
    return AsyncLimiter(capacity, capacity / number)


@define(eq=False, repr=False)
class Limits:
    """The limits on the requests of one account. Some are shared with other accounts.

    Only one request of each account waits for a slot at a time: then accounts with much prefetching wait as long as
    the others.

    Attributes:
        slots: Limits the requests in flight (shared).
        overall: Limits the requests a second of all accounts together (shared), or None.
        own: Limits the requests a second of this account, or None.
        not_before: The time, by the session's clock, before which nothing is sent.
    """

    slots: asyncio.Semaphore
    overall: "AsyncLimiter | None" = None
    own: "AsyncLimiter | None" = None
    not_before: float = field(default=0.0, init=False)
    _turn: asyncio.Lock = field(init=False, default=Factory(asyncio.Lock))

    def hold(self, until: float) -> None:
        """Send nothing before a time. An earlier one changes nothing."""
        self.not_before = max(self.not_before, until)

    def are_free(self, now: float) -> bool:
        """Return whether `enter` would wait for nothing but `get_ready`. `now`: the time by the session's clock."""
        limited = self.overall is not None or self.own is not None or now < self.not_before
        return not (limited or self._turn.locked() or self.slots.locked())

    async def enter(self, monotonic: Callable[[], float], get_ready: Callable[[], Awaitable[object]]) -> None:
        """Wait until a request may be sent. The caller must release `slots` afterwards.

        Args:
            monotonic: The session's clock.
            get_ready: Called before a slot is taken: waits for `not_before`, or raises.
        """
        async with self._turn:
            while True:
                await get_ready()
                if self.own is not None:
                    await self.own.acquire()
                turn_came = asyncio.get_running_loop().time()
                await self.slots.acquire()
                try:
                    if monotonic() >= self.not_before:
                        if self.overall is not None or self.own is not None:
                            await self._pass_rates(turn_came)
                        if monotonic() >= self.not_before:
                            return
                except BaseException:
                    self.slots.release()
                    raise
                self.slots.release()  # a 429 came while it waited for its slot or the rate

    async def _pass_rates(self, turn_came: float) -> None:
        if self.overall is not None:
            await self.overall.acquire()
        if self.own is not None:
            # The account's interval begins now, not when its turn came: what has leaked since then is put back.
            leaked = (asyncio.get_running_loop().time() - turn_came) * self.own.max_rate / self.own.time_period
            await self.own.acquire(min(self.own.max_rate, leaked))
