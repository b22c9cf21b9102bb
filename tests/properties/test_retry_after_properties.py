"""What holds for any Retry-After, and for any decision that follows on it."""

import math
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import assume, example, given
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
from plugchat_async._http.retry import GiveUp, is_transient, next_wait, parse_reset, parse_retry_after

DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


# The three forms of RFC 9110, 5.6.7, written without strftime, which speaks the locale's language.


def imf_fixdate(moment: datetime) -> str:
    """Sun, 06 Nov 1994 08:49:37 GMT."""
    return f"{DAYS[moment.weekday()][:3]}, {moment.day:02} {MONTHS[moment.month - 1]} {moment:%Y %H:%M:%S} GMT"


def rfc850(moment: datetime) -> str:
    """Sunday, 06-Nov-94 08:49:37 GMT."""
    return f"{DAYS[moment.weekday()]}, {moment.day:02}-{MONTHS[moment.month - 1]}-{moment:%y %H:%M:%S} GMT"


def asctime(moment: datetime) -> str:
    """Sun Nov  6 08:49:37 1994."""
    return f"{DAYS[moment.weekday()][:3]} {MONTHS[moment.month - 1]} {moment.day:2} {moment:%H:%M:%S %Y}"


Form = Callable[[datetime], str]
FORMS: tuple[Form, ...] = (imf_fixdate, rfc850, asctime)
# The years whose two last digits Python's parser and RFC 9110 both take for the same ones.
FIRST = datetime(1977, 1, 1, tzinfo=UTC)
LAST = datetime(2068, 12, 31, tzinfo=UTC)
MOMENTS = st.integers(int(FIRST.timestamp()), int(LAST.timestamp())).map(lambda time: datetime.fromtimestamp(time, UTC))
NOWS = st.floats(-1e12, 1e12)
# What dates are made of, in any order, and what only looks like it.
PIECES = st.sampled_from(
    [
        "GMT",
        "UTC",
        "+0000",
        "-9999",
        "EST",
        ",",
        ", ",
        " ",
        "  ",
        "-",
        ":",
        *DAYS,
        *(day[:3] for day in DAYS),
        *MONTHS,
        "0",
        "6",
        "06",
        "31",
        "99",
        "1994",
        "94",
        "08:49:37",
        "24:00:00",
        "23:59:60",
        "10000",
        "٣",
        "\u00a0",
        "\x1f",
    ]
)
NEARLY = st.lists(PIECES, max_size=12).map("".join) | st.builds(
    "{}{}, {} {} {}{} {}:{}:{} GMT".format,
    st.sampled_from(DAYS).map(lambda day: day[:3]),
    st.sampled_from(["", "day", "x", " "]),
    st.integers(-1, 40),
    st.sampled_from(MONTHS) | st.sampled_from(["Foo", "nov", "NOV", ""]),
    st.integers(0, 99999),
    st.sampled_from(["", " ", "+"]),
    st.integers(0, 99),
    st.integers(0, 99),
    st.integers(0, 99),
)


def read(value: str | None, *, now: float = 0.0, date: str | None = None) -> float | None:
    """What becomes of a header, which is never anything else than None or a wait."""
    seconds = parse_retry_after(value, now=now, date=date)
    assert seconds is None or (type(seconds) is float and seconds >= 0.0)
    return seconds


@given(st.none() | st.text() | NEARLY, NOWS, st.none() | st.text() | NEARLY)
@example("Mon, 31 Dec 9999 23:59:59 GMT", -1e12, None)
@example("Sat, 01 Jan 0000 00:00:00 GMT", 0.0, None)
@example("Sat Jan  1 00:00:00 0001", 0.0, "Sat Jan  1 00:00:00 9999")
@example("Sun, 06 Nov 1994 08:49:37.5 GMT", 0.0, None)
def test_no_text_makes_it_fail(value: str | None, now: float, date: str | None) -> None:
    """Whatever Retry-After and Date hold, there is no wait, or one that is not negative."""
    read(value, now=now, date=date)


@given(
    st.none() | st.text() | NEARLY | st.integers().map(str) | st.floats().map(str), NOWS, st.none() | st.text() | NEARLY
)
@example("9" * 16, -1e12, None)
def test_no_reset_makes_it_fail(value: str | None, now: float, date: str | None) -> None:
    """Whatever RateLimit-Reset and Date hold, there is no wait, or one that is not negative."""
    seconds = parse_reset(value, now=now, date=date)
    assert seconds is None or (type(seconds) is float and seconds >= 0.0)


@given(st.integers(0), st.sampled_from(["", " ", "\t ", "  "]), st.integers(0, 30))
@example(10**400, "", 0)
def test_digits_are_seconds(number: int, blanks: str, zeros: int) -> None:
    """n means n seconds, with zeros before it and blanks around it; more than a float holds is infinity."""
    seconds = read(f"{blanks}{'0' * zeros}{number}{blanks}")
    try:
        assert seconds == float(number)
    except OverflowError:
        assert seconds == math.inf


@given(
    st.integers(0),
    st.sampled_from(["+{}", "-{}", "{}.", "{}.0", "{}e0", "{}s", "{} s", "{},{}", "0x{}", "_{}", "{}_0"]),
)
def test_digits_alone_are_seconds(number: int, form: str) -> None:
    """Signs, fractions, units and lists are none of RFC 9110's."""
    assert read(form.format(number, number)) is None


@given(st.text(st.characters(categories=["Nd", "Nl", "No"], max_codepoint=0x1FFFF), min_size=1, max_size=8))
def test_only_ascii_has_digits(text: str) -> None:
    """Other scripts' digits, superscripts and fractions are refused, even among ASCII's own."""
    assume(not text.isascii())
    assert read(text) is None


@pytest.mark.parametrize("form", FORMS)
@given(moment=MOMENTS, before=st.integers(-100_000, 10**9))
def test_a_date_is_the_time_until_then(form: Form, moment: datetime, before: int) -> None:
    """In each of the three forms; a moment that is past is no wait."""
    now = moment.timestamp() - before
    assert read(form(moment), now=now) == max(0.0, float(before))


@given(MOMENTS, st.integers(0, 10**8), st.sampled_from(FORMS), st.sampled_from(FORMS), NOWS)
def test_the_answers_own_date_is_preferred(moment: datetime, before: int, form: Form, other: Form, now: float) -> None:
    """With a Date header, in whichever form, a client's clock does not matter."""
    sent = moment - timedelta(seconds=before)
    assume(sent.year >= 1977)
    assert read(form(moment), now=now, date=other(sent)) == before


@given(MOMENTS, NOWS, st.text())
def test_a_date_that_is_none_leaves_the_clients_clock(moment: datetime, now: float, date: str) -> None:
    """Text in the Date header changes nothing."""
    assert read(imf_fixdate(moment), now=now, date=f"{date}?") == read(imf_fixdate(moment), now=now)


@given(MOMENTS, MOMENTS, NOWS, st.sampled_from(FORMS), st.sampled_from(FORMS))
def test_a_later_date_is_no_shorter_wait(one: datetime, two: datetime, now: float, form: Form, other: Form) -> None:
    """In any two forms, and the other way round for the client's clock."""
    first, second = read(form(min(one, two)), now=now), read(other(max(one, two)), now=now)
    later = read(form(min(one, two)), now=now + 1000.0)
    assert first is not None
    assert second is not None
    assert later is not None
    assert later <= first <= second


@given(MOMENTS, st.sampled_from(FORMS), st.integers(0, 40), st.characters())
def test_one_more_character_makes_no_other_date_of_it(moment: datetime, form: Form, place: int, more: str) -> None:
    """What is put into a date makes it another one or none, and fails in no case."""
    text = form(moment)
    read(text[:place] + more + text[place:])


@pytest.mark.parametrize(
    "text",
    [
        "9" * 1_000_000,
        "0" * 1_000_000 + "1",
        " " * 1_000_000 + "1",
        "1" + " " * 1_000_000 + "1",
        "Mon" + "d" * 1_000_000,
        "Mon, " + " " * 1_000_000 + " GMT",
        "Mon, " + "x" * 20 + " GMT" * 250_000,
        "Sun, 06 Nov 1994 08:49:37 GMT" * 40_000,
        "Mon " * 250_000,
        "(" * 1_000_000,
        "٣" * 1_000_000,
    ],
    ids=lambda text: repr(text[:10]),
)
def test_a_million_characters_take_no_time(text: str) -> None:
    """As Retry-After or as Date: some milliseconds, where anything that goes back and forth would take minutes."""
    started = time.process_time()
    read(text)
    read("Sun, 06 Nov 1994 08:49:37 GMT", date=text)
    assert time.process_time() - started < 2.0


# What follows on it.

ERRORS = st.one_of(
    st.builds(RateLimitedError, status=st.just(429), retry_after=st.none() | st.floats(0.0, allow_nan=False)),
    st.builds(
        ServerError,
        status=st.sampled_from([425, 500, 501, 502, 503, 504, 599]),
        retry_after=st.none() | st.floats(0.0, allow_nan=False),
    ),
    st.builds(
        ConnectionFailedError, reason=st.sampled_from(["refused", "dns", "certificate", "truncated", "malformed"])
    ),
    st.builds(RequestTimeoutError, status=st.sampled_from([None, 408])),
    st.builds(NotJSONError, status=st.just(200), truncated=st.booleans()),
    st.builds(DecodeError, status=st.just(200)),
    st.builds(AuthenticationError, status=st.sampled_from([401, 403])),
)
SECONDS = st.floats(0.0, 1e5)
POLICIES = st.builds(
    RetryPolicy,
    attempts=st.integers(1, 12),
    initial_delay=SECONDS,
    max_delay=SECONDS,
    deadline=st.floats(1e-3, 1e5),
    max_retry_after=SECONDS,
)
CHANCES = st.floats(0.0, 1.0, exclude_max=True)


@given(POLICIES, ERRORS, st.integers(1, 14), st.floats(0.0, 2e5), CHANCES)
def test_a_decision_keeps_to_the_policy(
    policy: RetryPolicy, error: PlugChatError, attempt: int, elapsed: float, chance: float
) -> None:
    """A wait is within the caps, no shorter than asked for, ends before the deadline, and is not begun for nothing."""
    decision = next_wait(policy, error, attempt=attempt, elapsed=elapsed, chance=chance)
    asked = error.retry_after if isinstance(error, (RateLimitedError, ServerError)) else None
    if not isinstance(decision, GiveUp):
        assert is_transient(error)
        assert attempt < policy.attempts
        assert 0.0 <= decision <= max(policy.max_delay, policy.max_retry_after)
        assert elapsed + decision < policy.deadline
        assert asked is None or asked <= decision
        assert decision <= max(policy.max_delay, asked or 0.0)
    elif is_transient(error) and attempt < policy.attempts:
        assert isinstance(decision, GiveUp)
        assert "the server asks to wait" in decision.reason or "the deadline" in decision.reason
        assert (
            elapsed + max(policy.max_delay, asked or 0.0) >= policy.deadline or (asked or 0.0) > policy.max_retry_after
        )


@pytest.mark.slow
@given(POLICIES, st.lists(st.tuples(ERRORS, st.floats(0.0, 100.0), CHANCES), min_size=12, max_size=12))
def test_a_page_ends_in_time(policy: RetryPolicy, outcomes: list[tuple[PlugChatError, float, float]]) -> None:
    """Whatever goes wrong: at most so many attempts, and no wait that would end after the deadline."""
    elapsed, attempt = 0.0, 1
    for error, seconds, chance in outcomes:
        elapsed += seconds
        decision = next_wait(policy, error, attempt=attempt, elapsed=elapsed, chance=chance)
        if isinstance(decision, GiveUp):
            break
        elapsed += decision
        attempt += 1
        assert elapsed < policy.deadline
    assert attempt <= policy.attempts


@given(MOMENTS, st.integers(0, 10**6), st.sampled_from(FORMS), st.booleans(), POLICIES, CHANCES)
def test_a_date_in_the_header_is_waited_for_or_told(
    moment: datetime, before: int, form: Form, as_digits: bool, policy: RetryPolicy, chance: float
) -> None:
    """Whether it comes as a date or as digits, the same seconds are waited for, or given up as too many."""
    seconds = read(str(before) if as_digits else form(moment), now=moment.timestamp() - before)
    error = RateLimitedError(status=429, retry_after=seconds)
    assert error.retry_after == before
    decision = next_wait(policy, error, attempt=1, elapsed=0.0, chance=chance)
    if before > policy.max_retry_after or policy.attempts == 1:
        assert isinstance(decision, GiveUp)
    elif not isinstance(decision, GiveUp):
        assert before <= decision < policy.deadline
