"""When to retry a request, and how long to wait first.

(policy, error, attempt, seconds spent) -> seconds to wait, or `GiveUp`. Pure: time and chance are passed in.
"""

import re
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final

from attrs import define, field, frozen
from msgspec import Struct

from plugchat_async._internal.validation import check_int, check_seconds, to_seconds
from plugchat_async.errors import (
    ConnectionFailedError,
    NotJSONError,
    PlugChatError,
    RateLimitedError,
    RequestTimeoutError,
    ServerError,
)

# The statuses that may pass; 408, 425 and 429 by their definition in RFC 9110, 8470 and 6585.
RETRIED_STATUSES: Final = frozenset({408, 425, 429, 500, 502, 503, 504})

# The three forms of RFC 9110, 5.6.7: they begin with a day's name and end in GMT, or in asctime's case in the year.
# The standard library's parser reads them all, but much else too.
_HTTP_DATE = re.compile(r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]*,? (?:[ -~]{18,20} GMT|[ -~]{15} [0-9]{4})")

# Seconds, with an optional fraction, and not more digits than a time has.
_RESET = re.compile(r"[0-9]{1,16}(?:\.[0-9]{1,9})?")
# Smaller numbers count seconds from now, larger ones from 1970: this one is in 2001, and as a wait it is 31 years.
_MIN_EPOCH_SECONDS: Final = 1e9
# In seconds it is the year 5138, in milliseconds 1973.
_MIN_EPOCH_MILLISECONDS: Final = 1e11
_MAX_EPOCH_MILLISECONDS: Final = 1e14

# Seconds. Then one request asks again: a nonsensical Retry-After must not lock an account out.
_MAX_HOLD: Final = 600.0


def parse_wait(status: int, headers: Mapping[str, str], *, now: float) -> float | None:
    """Return how long a response asks to wait: its Retry-After or, for a 429 without one, its rate limit's reset.

    Args:
        status: The response's status.
        headers: Its headers, names in lower case.
        now: The time in epoch seconds, see `parse_retry_after`.

    Returns:
        Seconds, or None if no header can be read.
    """
    date = headers.get("date")
    wait = parse_retry_after(headers.get("retry-after"), now=now, date=date)
    if wait is not None or status != 429:
        return wait
    resets = (parse_reset(headers.get(name), now=now, date=date) for name in ("ratelimit-reset", "x-ratelimit-reset"))
    return next((reset for reset in resets if reset is not None), None)


def parse_reset(value: str | None, *, now: float, date: str | None = None) -> float | None:
    """Return the seconds until a rate limit is reset, or None if `value` is absent or can't be read.

    RateLimit-Reset and X-RateLimit-Reset hold seconds from now, or a time in epoch seconds or milliseconds,
    distinguished by size. A time in the past is 0.0. For `now` and `date` see `parse_retry_after`.
    """
    text = (value or "").strip(" \t")
    if not _RESET.fullmatch(text):
        return None
    number = float(text)
    if number < _MIN_EPOCH_SECONDS:
        return number
    if number >= _MAX_EPOCH_MILLISECONDS:
        return None
    moment = number if number < _MIN_EPOCH_MILLISECONDS else number / 1000.0
    return max(0.0, moment - _server_time(now, date))


def parse_retry_after(value: str | None, *, now: float, date: str | None = None) -> float | None:
    """Return the seconds of a Retry-After header (RFC 9110, 10.2.3), or None if it is absent or can't be read.

    Args:
        value: Digits or an HTTP date; a date in the past is 0.0.
        now: The time in epoch seconds.
        date: The response's Date header. If it can be read, it replaces `now`: the client's clock may be wrong.
    """
    text = (value or "").strip(" \t")
    if text.isascii() and text.isdigit():
        return float(text)  # too many digits become inf
    moment = _parse_http_date(text)
    if moment is None:
        return None
    return max(0.0, moment - _server_time(now, date))


def _server_time(now: float, date: str | None) -> float:
    server_now = _parse_http_date((date or "").strip(" \t"))
    return now if server_now is None else server_now


def _parse_http_date(text: str) -> float | None:
    if not _HTTP_DATE.fullmatch(text):
        return None
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    # Of the three forms only asctime's names no zone; all three mean GMT.
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def is_transient(error: PlugChatError) -> bool:
    """Return whether the same request may succeed when it is retried."""
    match error:
        case ConnectionFailedError():
            return error.reason != "certificate"
        case RequestTimeoutError():
            return True
        case NotJSONError():
            return error.truncated
        case _:
            return error.status in RETRIED_STATUSES


class GiveUp(Struct, frozen=True):
    """The request is not retried. `reason`: why, for the error's message, or ""."""

    reason: str = ""


@frozen
class RetryPolicy:
    """When a page is retried, and for how long.

    The wait before retry n is a random part of min(max_delay, initial_delay * 2**(n - 1)) seconds ("full jitter").

    Attributes:
        attempts: Requests for one page, the first included (default 3). 1 turns retries off.
        initial_delay: The longest wait before the first retry, in seconds (default 0.5). It doubles with each retry.
        max_delay: The longest wait before any retry, in seconds (default 8.0).
        deadline: Seconds for one page, requests and waits together (default 60.0). No wait is begun that would pass it.
        max_retry_after: The longest Retry-After that is waited for, in seconds (default 60.0). A longer one is raised
            at once, as the error's `retry_after`.

    Raises:
        InvalidValueError: An argument is out of range.
        InvalidTypeError: An argument has the wrong type.
    """

    attempts: int = 3
    initial_delay: float = field(default=0.5, converter=to_seconds)
    max_delay: float = field(default=8.0, converter=to_seconds)
    deadline: float = field(default=60.0, converter=to_seconds)
    max_retry_after: float = field(default=60.0, converter=to_seconds)

    def __attrs_post_init__(self) -> None:
        check_int("RetryPolicy attempts", self.attempts, minimum=1)
        check_seconds("RetryPolicy initial_delay", self.initial_delay, zero=True)
        check_seconds("RetryPolicy max_delay", self.max_delay, zero=True)
        check_seconds("RetryPolicy deadline", self.deadline, zero=False)
        check_seconds("RetryPolicy max_retry_after", self.max_retry_after, zero=True)


def next_wait(
    policy: RetryPolicy, error: PlugChatError, *, attempt: int, elapsed: float, chance: float
) -> float | GiveUp:
    """Return how long to wait before the request is retried, or why it is not.

    Args:
        policy: The policy.
        error: The error of the attempt.
        attempt: The number of the attempt that failed, from 1.
        elapsed: Seconds spent on the page.
        chance: A random number in [0, 1).

    Returns:
        Seconds, or GiveUp.
    """
    if not is_transient(error) or attempt >= policy.attempts:
        return GiveUp()
    # The exponent is bounded: attempts may be many, and 2.0**1024 overflows.
    wait = chance * min(policy.max_delay, policy.initial_delay * 2.0 ** min(attempt - 1, 64))
    retry_after = error.retry_after if isinstance(error, RateLimitedError | ServerError) else None
    if retry_after is not None:
        if retry_after > policy.max_retry_after:
            return GiveUp(f"the server asks to wait {retry_after:g} s")
        wait = max(wait, retry_after)
    if elapsed + wait >= policy.deadline:
        return GiveUp(f"the deadline of {policy.deadline:g} s leaves no time for a wait of {wait:.1f} s")
    return wait


def hold_seconds(policy: RetryPolicy, error: RateLimitedError, wait: float | None) -> float:
    """Return for how many seconds a 429 holds all requests of its account.

    Args:
        policy: The policy.
        error: The error of the 429.
        wait: Seconds until the request that got it is retried, or None if it is not.
    """
    if wait is None:
        return min(error.retry_after or 0.0, _MAX_HOLD)
    return wait if wait <= policy.max_retry_after else 0.0  # a wait of our own, for which others need not fail


def hold_problem(policy: RetryPolicy, wait: float, *, elapsed: float) -> str:
    """Return why a request does not wait until its account is held no more, or "" if it does.

    Args:
        policy: The policy.
        wait: Seconds until then.
        elapsed: Seconds spent on the page.
    """
    if wait > policy.max_retry_after:
        return f"longer than max_retry_after, {policy.max_retry_after:g} s"
    return f"past the page's {policy.deadline:g} s deadline" if elapsed + wait >= policy.deadline else ""


@define(eq=False, repr=False)
class RetryBudget:
    """A bucket of tokens that pays for retries, so that clients do not multiply the load of an outage.

    A retry takes 14 tokens, one after 429 takes 5, and a success returns 1, up to the capacity: about 35 retries are
    paid for in advance, then fourteen successes pay for one. The costs are those of the AWS SDKs' newer standard mode.

    Attributes:
        capacity: The most tokens that it holds (default 500).
        shared: Another bucket, which pays first (default None). This one pays when that is empty. Each success returns
            a token to both.
        tokens: The tokens that it holds now.
    """

    capacity: int = 500
    shared: "RetryBudget | None" = None
    tokens: int = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.tokens = self.capacity

    def take(self, error: PlugChatError) -> bool:
        """Pay for a retry after `error`. Return whether there were enough tokens."""
        if self.shared is not None and self.shared.take(error):
            return True
        cost = 5 if isinstance(error, RateLimitedError) else 14
        if self.tokens < cost:
            return False
        self.tokens -= cost
        return True

    def refund(self) -> None:
        """Return a token, after a success."""
        self.tokens = min(self.capacity, self.tokens + 1)
        if self.shared is not None:
            self.shared.refund()
