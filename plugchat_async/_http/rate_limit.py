"""What holds a request back before it is sent: its account's turn, slots, rates, and what a 429 has asked for.

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

# A day between two requests is as good as none.
_MIN_RATE: Final = 1 / 86_400
_MAX_RATE: Final = 1_000_000
# Seconds that timers may be late without loss: at 200 a second those of asyncio lost an eighth of them.
_CATCH_UP: Final = 0.01


def check_rate(name: str, rate: object) -> None:
    """Refuse what is neither None nor a number of requests a second above 0."""
    if rate is not None:
        check_number(name, rate, zero=False, maximum=_MAX_RATE, unit=" of requests a second")


def rate_limiter(rate: float | None, *, catch_up: bool = True) -> "AsyncLimiter | None":
    """Give a limiter of `rate` requests a second, evenly spaced, or None if there is no limit.

    catch_up: whether a hundredth of a second's requests may go out at once, so that timers may be that late.
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
    """What holds back the requests of one account. Some of it is shared with other accounts.

    slots: requests in flight (shared). overall: requests a second, of all accounts together (shared). own: requests a
    second of this account. not_before: the moment, by the session's clock, before which nothing is sent.

    Of each account one request at a time is on its way to a slot, so that those which ask for many pages ahead wait
    no less than the others.
    """

    slots: asyncio.Semaphore
    overall: "AsyncLimiter | None" = None
    own: "AsyncLimiter | None" = None
    not_before: float = field(default=0.0, init=False)
    _turn: asyncio.Lock = field(init=False, default=Factory(asyncio.Lock))

    def hold(self, until: float) -> None:
        """Send nothing before a moment. An earlier one changes nothing."""
        self.not_before = max(self.not_before, until)

    async def enter(self, monotonic: Callable[[], float], get_ready: Callable[[], Awaitable[object]]) -> None:
        """Wait until a request may be sent. `leave` must follow.

        get_ready: waits for `not_before`, and does what else is to be done before a slot is taken; or raises.
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
                        await self._pass_rates(turn_came)
                        if monotonic() >= self.not_before:
                            return
                except BaseException:
                    self.leave()
                    raise
                self.leave()  # a 429 came while it waited for its slot or the rate

    async def _pass_rates(self, turn_came: float) -> None:
        if self.overall is not None:
            await self.overall.acquire()
        if self.own is not None:
            # The account's interval begins now, not when its turn came: what has leaked meanwhile is put back.
            leaked = (asyncio.get_running_loop().time() - turn_came) * self.own.max_rate / self.own.time_period
            await self.own.acquire(min(self.own.max_rate, leaked))

    def leave(self) -> None:
        """Give the slot back."""
        self.slots.release()
