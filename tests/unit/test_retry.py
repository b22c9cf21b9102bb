import math
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugchat_async import (
    AuthenticationError,
    ConnectionFailedError,
    DecodeError,
    NotJSONError,
    PlugChatError,
    RateLimitedError,
    RequestTimeoutError,
    RetryPolicy,
    ServerError,
)
from plugchat_async._http.response import Response, status_error
from plugchat_async._http.retry import (
    RETRIED_STATUSES,
    GiveUp,
    RetryBudget,
    is_transient,
    next_wait,
    parse_reset,
    parse_retry_after,
    parse_wait,
)
from plugchat_async._http.secret import Secret

NOW = 784_111_777.0  # Sun, 06 Nov 1994 08:49:37 GMT, the date of RFC 9110's examples


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("", None),
        ("0", 0.0),
        ("1", 1.0),
        (" 120\t", 120.0),
        ("007", 7.0),
        ("9" * 20, 1e20),
        ("9" * 5000, math.inf),
        ("1000000000", 1e9),
        *[
            (text, None)
            for text in ("1.5", "-1", "+1", "1e9", "NaN", "inf", "1, 2", "soon", "٣", "1 s", "0x10", "1X", "\xa01")
        ],
        ("Sun, 06 Nov 1994 08:49:47 GMT", 10.0),
        ("Sunday, 06-Nov-94 08:49:47 GMT", 10.0),
        ("Sun Nov  6 08:49:47 1994", 10.0),
        ("Mon, 06 Nov 1994 08:49:47 GMT", 10.0),  # a wrong weekday does not move the moment
        ("Sun, 06 Nov 1994 08:49:27 GMT", 0.0),
        ("Sun, 99 Nov 1994 08:49:37 GMT", None),
        ("Sun, 06 Nov 1994 08:49:47 +0300", None),
        ("06 Nov 1994 08:49:47 GMT", None),
        ("Sun, 06 Nov 1994 08:49:47 GMT, Sun, 06 Nov 1994 08:49:47 GMT", None),
    ],
)
def test_retry_after_is_digits_or_a_date(value: str | None, seconds: float | None) -> None:
    """ASCII digits or one of the three HTTP dates; anything else is ignored."""
    assert parse_retry_after(value, now=NOW) == seconds


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("", None),
        ("0", 0.0),
        ("30", 30.0),
        (" 30\t", 30.0),
        ("007", 7.0),
        ("0.25", 0.25),
        ("999999999", 999_999_999.0),
        ("1000000000", 0.0),  # from here on it is a moment, which may be past
        ("1600000010", 10.0),
        ("1600000010.5", 10.5),
        ("1599999990", 0.0),
        ("99999999999", 98_399_999_999.0),
        ("1600000010000", 10.0),
        ("1600000010250", 10.25),
        ("1599999990000", 0.0),
        ("99999999999999", 98_399_999_999.999),
        *[
            (text, None)
            for text in (
                *("100000000000000", "1600000010000000", "9" * 17, "9" * 5000, "1" + "0" * 400, "1." + "0" * 10),
                *("-1", "+1", "1e9", "NaN", "inf", "1, 2", "1;w=60", "soon", "٣", "1 s", "0x10", "1.", ".5", "\xa01"),
                *("Sun, 06 Nov 1994 08:49:47 GMT", "2026-11-26T10:00:00Z"),
            )
        ],
    ],
)
def test_a_reset_is_seconds_or_a_moment(value: str | None, seconds: float | None) -> None:
    """Its size tells seconds, epoch seconds and epoch milliseconds apart; anything else is ignored."""
    assert parse_reset(value, now=1_600_000_000.0) == (None if seconds is None else pytest.approx(seconds))


def test_a_reset_is_counted_by_the_servers_clock() -> None:
    """From the response's Date header, if it can be read."""
    date = "Sun, 13 Sep 2020 12:26:40 GMT"  # 1,600,000,000
    assert parse_reset("1600000010", now=0.0, date=date) == 10.0
    assert parse_reset("1600000010", now=1_600_000_000.0, date="long ago") == 10.0


@pytest.mark.parametrize(
    ("status", "headers", "seconds"),
    [
        (429, {}, None),
        (429, {"retry-after": "5", "ratelimit-reset": "9"}, 5.0),
        (429, {"retry-after": "soon", "ratelimit-reset": "9"}, 9.0),
        (429, {"ratelimit-reset": "9", "x-ratelimit-reset": "8"}, 9.0),
        (429, {"ratelimit-reset": "soon", "x-ratelimit-reset": "8"}, 8.0),
        (429, {"x-ratelimit-reset": "784111787"}, 784_111_787.0),
        (429, {"x-ratelimit-reset": "0"}, 0.0),
        (429, {"x-ratelimit-reset": "NaN"}, None),
        (503, {"retry-after": "5"}, 5.0),
        (503, {"ratelimit-reset": "9", "x-ratelimit-reset": "9"}, None),
    ],
)
def test_a_429_without_retry_after_waits_for_its_reset(
    status: int, headers: dict[str, str], seconds: float | None
) -> None:
    """Retry-After goes first; other statuses carry the reset of a limit that was not met."""
    assert parse_wait(status, headers, now=NOW) == seconds


def test_the_servers_own_clock_is_preferred() -> None:
    """A date is counted from the response's Date header; one that can't be read is ignored."""
    date = "Sun, 06 Nov 1994 08:49:47 GMT"
    assert parse_retry_after(date, now=0.0, date="Sun, 06 Nov 1994 08:49:37 GMT") == 10.0
    for unreadable in ("yesterday", "\xa0Sun, 06 Nov 1994 08:49:46 GMT", "XSun, 06 Nov 1994 08:49:46 GMT"):
        assert parse_retry_after(date, now=NOW, date=unreadable) == 10.0


@pytest.mark.skipif(not hasattr(time, "tzset"), reason="the system has one time zone")
def test_dates_mean_gmt_whatever_the_local_time_zone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also in asctime's form, which names no zone."""
    monkeypatch.setenv("TZ", "XXX+05")
    time.tzset()
    try:
        for text in ("Sun, 06 Nov 1994 08:49:47 GMT", "Sun Nov  6 08:49:47 1994"):
            assert parse_retry_after(text, now=NOW) == 10.0
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.slow
@given(st.text(), st.text())
def test_any_header_gives_none_or_a_wait(value: str, date: str) -> None:
    """No text makes it fail, and no wait is negative."""
    seconds = parse_retry_after(value, now=NOW, date=date)
    assert seconds is None or seconds >= 0.0


@pytest.mark.parametrize("status", [*range(201, 600), 999])
def test_only_some_statuses_are_repeated(status: int) -> None:
    """408, 425, 429, 500, 502, 503 and 504, and no other."""
    error = status_error(Response(status, {}, b""), Secret("x"), None)
    assert is_transient(error) == (status in RETRIED_STATUSES)
    assert frozenset({408, 425, 429, 500, 502, 503, 504}) == RETRIED_STATUSES


@pytest.mark.parametrize(
    ("error", "transient"),
    [
        (ConnectionFailedError(reason="refused"), True),
        (ConnectionFailedError(reason="dns"), True),
        (ConnectionFailedError(reason="truncated"), True),
        (ConnectionFailedError(reason="malformed"), True),
        (ConnectionFailedError(reason="certificate"), False),
        (RequestTimeoutError(), True),
        (NotJSONError(truncated=True, status=200), True),
        (NotJSONError(status=200), False),
        (DecodeError(status=200), False),
        (AuthenticationError(status=401), False),
    ],
)
def test_what_may_pass_is_repeated(error: PlugChatError, transient: bool) -> None:
    """Network faults, timeouts and cut answers may pass; certificates and misread pages do not."""
    assert is_transient(error) == transient


def waits(policy: RetryPolicy, error: PlugChatError, *, chance: float = 1.0) -> list[float]:
    """All waits of a page whose every attempt fails with `error`, taking no time itself."""
    found: list[float] = []
    elapsed = 0.0
    while not isinstance(
        decision := next_wait(policy, error, attempt=len(found) + 1, elapsed=elapsed, chance=chance), GiveUp
    ):
        found.append(decision)
        elapsed += decision
    return found


def test_waits_double_up_to_the_cap_with_full_jitter() -> None:
    """0.5, 1, 2, 4, 8, 8, … times a chance."""
    policy = RetryPolicy(attempts=8, deadline=1000.0)
    error = ServerError(status=503)
    assert waits(policy, error) == [0.5, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0]
    assert waits(policy, error, chance=0.25) == [0.125, 0.25, 0.5, 1.0, 2.0, 2.0, 2.0]
    assert waits(policy, error, chance=0.0) == [0.0] * 7
    assert waits(RetryPolicy(), error) == [0.5, 1.0]
    assert waits(RetryPolicy(attempts=1), error) == []


def test_thousands_of_attempts_do_not_overflow() -> None:
    """The doubling stops where floats would."""
    policy = RetryPolicy(attempts=5000)
    assert next_wait(policy, ServerError(status=503), attempt=4000, elapsed=0.0, chance=1.0) == 8.0


def test_no_wait_is_begun_that_would_pass_the_deadline() -> None:
    """The deadline is checked before sleeping, and the reason given."""
    policy = RetryPolicy(attempts=100, deadline=10.0)
    assert sum(waits(policy, ServerError(status=503))) < 10.0
    decision = next_wait(policy, ServerError(status=503), attempt=1, elapsed=9.8, chance=1.0)
    assert decision == GiveUp("the deadline of 10 s leaves no time for a wait of 0.5 s")
    # A request that is sent when the deadline is reached has no time for its answer.
    assert next_wait(policy, ServerError(status=503), attempt=1, elapsed=9.5, chance=1.0) == decision


def test_retry_after_is_the_least_wait() -> None:
    """What the server asks for is waited for, at least; a longer backoff stays."""
    policy = RetryPolicy()
    assert waits(policy, RateLimitedError(status=429, retry_after=3.0)) == [3.0, 3.0]
    assert waits(policy, ServerError(status=503, retry_after=0.75)) == [0.75, 1.0]
    assert waits(policy, RateLimitedError(status=429)) == [0.5, 1.0]


@pytest.mark.parametrize("retry_after", [60.1, 1e9, math.inf])
def test_a_long_retry_after_is_given_up_at_once(retry_after: float) -> None:
    """Coming back early would be refused again."""
    decision = next_wait(
        RetryPolicy(), RateLimitedError(status=429, retry_after=retry_after), attempt=1, elapsed=0.0, chance=0.5
    )
    assert isinstance(decision, GiveUp)
    assert "asks to wait" in decision.reason


def test_a_retry_after_past_the_deadline_is_given_up_at_once() -> None:
    """60 s after 1 s already spent would pass the deadline of 60 s."""
    decision = next_wait(RetryPolicy(), ServerError(status=503, retry_after=60.0), attempt=1, elapsed=1.0, chance=0.5)
    assert isinstance(decision, GiveUp)
    assert "deadline" in decision.reason


@given(
    st.integers(1, 10_000),
    st.floats(0, 1e6),
    st.floats(0, 1, exclude_max=True),
    st.none() | st.floats(0, allow_nan=False),
)
def test_a_wait_is_within_its_bounds(attempt: int, elapsed: float, chance: float, retry_after: float | None) -> None:
    """Never negative, never past the deadline, never shorter than what was asked for."""
    policy = RetryPolicy(attempts=10_001)
    decision = next_wait(
        policy, RateLimitedError(status=429, retry_after=retry_after), attempt=attempt, elapsed=elapsed, chance=chance
    )
    if not isinstance(decision, GiveUp):
        assert 0.0 <= decision < policy.deadline - elapsed
        assert decision >= (retry_after or 0.0)


def test_the_budget_pays_for_35_retries_and_is_refilled_by_successes() -> None:
    """14 tokens a retry, 5 after 429, one back for each success, never above 500."""
    budget = RetryBudget()
    assert [budget.take(ServerError()) for _ in range(36)] == [True] * 35 + [False]
    assert budget.tokens == 500 - 35 * 14
    assert budget.take(RateLimitedError())
    assert not budget.take(ServerError())
    for _ in range(9):
        budget.refund()
    assert budget.take(ServerError())
    for _ in range(1000):
        budget.refund()
    assert budget.tokens == 500


def test_a_shared_budget_pays_first() -> None:
    """The same price; the reserve is touched only when the shared tokens don't suffice, and both are refilled."""
    shared = RetryBudget(capacity=20)
    budget = RetryBudget(capacity=28, shared=shared)
    assert budget.take(RateLimitedError())
    assert (shared.tokens, budget.tokens) == (15, 28)
    assert budget.take(ServerError())
    assert (shared.tokens, budget.tokens) == (1, 28)
    assert [budget.take(ServerError()) for _ in range(3)] == [True, True, False]
    assert (shared.tokens, budget.tokens) == (1, 0)
    budget.refund()
    assert (shared.tokens, budget.tokens) == (2, 1)
