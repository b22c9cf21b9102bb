"""What holds requests back: slots, rates, a 429's "not before", and the retry budget. On a clock that jumps."""

import asyncio
import math
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugchat_async import (
    Account,
    AccountResult,
    Clock,
    InvalidTypeError,
    InvalidValueError,
    PlugChatSession,
    RateLimitedError,
    RetryPolicy,
    ServerError,
    ServerTraits,
    fetch_many,
)
from plugchat_async._http.page_fetcher import PageFetcher
from plugchat_async._http.proxy import Proxies
from plugchat_async._http.rate_limit import Limits, rate_limiter
from plugchat_async._http.request import Request, RequestTemplate
from plugchat_async._http.response import Response
from plugchat_async._http.retry import RetryBudget
from plugchat_async._http.secret import Secret
from plugchat_async._http.shared_resources import SharedResources
from plugchat_async._http.transport import AttemptFailed, Transport
from plugchat_async.models import Page
from plugchat_async.testing import Fault, PlugChatSimulator
from support.fakes import FakeTime, run_apart

PAGE = Response(200, {}, b'[{"phone":"1"}]')


def limited(retry_after: object = None) -> Response:
    return Response(429, {} if retry_after is None else {"retry-after": str(retry_after)}, b"")


class Clocked(Transport):
    """Gives outcomes in turn, then pages, each after some seconds of the loop's clock; notes when it was asked."""

    def open(self) -> None:
        """There is nothing to open."""

    def check(self) -> None:
        """It is open."""

    def __init__(self, *outcomes: Response, seconds: float = 0.0) -> None:
        super().__init__(borrowed=None, proxies=Proxies(), ssl_context=None, max_response_bytes=1)
        self.outcomes = list(outcomes)
        self.seconds = seconds
        self.asked: list[float] = []
        self.asked_by: dict[str, list[float]] = {}
        self.fates: dict[str, list[Response]] = {}
        self.timeouts: list[float] = []
        self.in_flight = 0
        self.most = 0

    async def send(self, request: Request, *, timeout: float) -> Response | AttemptFailed:
        self.asked.append(asyncio.get_running_loop().time())
        self.timeouts.append(timeout)
        token = request.headers["Authorization"]
        self.asked_by.setdefault(token, []).append(self.asked[-1])
        outcomes = self.fates.get(token) or self.outcomes
        outcome = outcomes.pop(0) if outcomes else PAGE
        self.in_flight += 1
        self.most = max(self.most, self.in_flight)
        await asyncio.sleep(self.seconds)
        self.in_flight -= 1
        return outcome


def page_fetcher(transport: Transport, limits: Limits, policy: RetryPolicy | None = None) -> PageFetcher:
    """A page fetcher on the running loop's clock; chance is always 0.5."""
    return PageFetcher(
        transport=transport,
        token=Secret("s3cret"),
        template=RequestTemplate("https://x.example", bare=True),
        policy=policy or RetryPolicy(),
        repair=True,
        timeout=30.0,
        limits=limits,
        clock=Clock(monotonic=asyncio.get_running_loop().time, random=lambda: 0.5),
        budget=RetryBudget(),
    )


def played(
    *outcomes: Response,
    body: Callable[[PageFetcher, Clocked], Awaitable[object]],
    seconds: float = 0.0,
    slots: int = 64,
    own: float | None = None,
    overall: float | None = None,
    policy: RetryPolicy | None = None,
) -> Clocked:
    """Run `body` on a page fetcher over a clocked transport, and give the transport."""
    transport = Clocked(*outcomes, seconds=seconds)

    async def main() -> None:
        limits = Limits(asyncio.Semaphore(slots), rate_limiter(overall), rate_limiter(own, catch_up=False))
        await body(page_fetcher(transport, limits, policy), transport)

    run_apart(main(), virtually=True)
    return transport


def fetch_all(count: int) -> Callable[[PageFetcher, Clocked], Awaitable[list[Page]]]:
    """Fetch so many pages at once."""

    async def body(work: PageFetcher, _: Clocked) -> list[Page]:
        return await asyncio.gather(*(work.fetch(number, 10) for number in range(1, count + 1)))

    return body


# Rates.


@pytest.mark.parametrize("rate", [0.5, 5.0, 64.0])
def test_an_accounts_requests_are_evenly_spaced(rate: float) -> None:
    """Never two closer than 1/rate, from the first on; and none later than that."""
    transport = played(body=fetch_all(20), seconds=0.01, own=rate)
    gaps = [later - earlier for earlier, later in zip(transport.asked, transport.asked[1:], strict=False)]
    assert transport.asked[0] == pytest.approx(0.0, abs=1e-6)
    assert gaps == pytest.approx([1 / rate] * 19)


@pytest.mark.parametrize("rate", [0.5, 5.0, 64.0, 900.0])
def test_all_requests_are_spaced_but_for_a_hundredth_of_a_second(rate: float) -> None:
    """So much may go out closer, to make up for timers that are late."""
    asked = played(body=fetch_all(50), seconds=0.01, overall=rate, slots=20).asked
    for first, start in enumerate(asked):
        for count, end in enumerate(asked[first:], 1):
            assert count <= 1 + (end - start + 0.01) * rate + 1e-6
    assert asked[-1] <= 49 / rate + 0.01 * 3


@pytest.mark.slow
@given(st.lists(st.floats(0, 3), min_size=1, max_size=30), st.sampled_from([0.7, 3.0, 10.0]), st.integers(1, 3))
def test_no_second_has_more_requests_than_the_rate(begins: list[float], rate: float, slots: int) -> None:
    """Whenever they are wanted, and however rare slots are."""

    async def body(work: PageFetcher, _: Clocked) -> None:
        async def later(seconds: float) -> None:
            await asyncio.sleep(seconds)
            await work.fetch(1, 10)

        await asyncio.gather(*map(later, begins))

    transport = played(body=body, seconds=0.4, own=rate, slots=slots)
    assert len(transport.asked) == len(begins)
    for start in transport.asked:
        assert sum(start <= other < start + 1 - 1e-6 for other in transport.asked) <= math.ceil(rate)


def test_turns_do_not_pile_up_while_slots_are_rare() -> None:
    """A slot that is busy for ten seconds lets no burst through afterwards."""
    transport = Clocked()

    async def main() -> None:
        limits = Limits(asyncio.Semaphore(1), None, rate_limiter(2.0, catch_up=False))
        work = page_fetcher(transport, limits)
        await limits.slots.acquire()
        fetching = [asyncio.create_task(work.fetch(number, 10)) for number in range(1, 7)]
        await asyncio.sleep(10.0)
        limits.slots.release()
        await asyncio.gather(*fetching)

    run_apart(main(), virtually=True)
    assert transport.asked == pytest.approx([10.0, 10.5, 11.0, 11.5, 12.0, 12.5])


def test_waiting_for_a_turn_counts_for_nothing() -> None:
    """Neither against the attempt's timeout nor against the page's deadline: the last one waits for 100 s."""
    transport = played(body=fetch_all(11), own=0.1)
    assert transport.asked == pytest.approx([10.0 * number for number in range(11)])
    assert set(transport.timeouts) == {30.0}


def test_slots_bound_what_is_in_flight() -> None:
    """Three at a time, and each attempt has its whole timeout, though the last one waited for 70 s."""
    transport = played(body=fetch_all(24), seconds=10.0, slots=3)
    assert transport.most == 3
    assert set(transport.timeouts) == {30.0}


def test_a_cancelled_wait_for_the_overall_rate_gives_its_slot_back() -> None:
    """As does one for the account's own rate, or for a slot."""

    async def main() -> None:
        for limits in (
            Limits(asyncio.Semaphore(1), rate_limiter(0.01)),
            Limits(asyncio.Semaphore(1), None, rate_limiter(0.01, catch_up=False)),
            Limits(asyncio.Semaphore(1), rate_limiter(0.01), rate_limiter(0.01, catch_up=False)),
        ):
            enter = partial(limits.enter, asyncio.get_running_loop().time, partial(asyncio.sleep, 0))
            await enter()
            limits.slots.release()
            waiting = asyncio.create_task(enter())
            await asyncio.sleep(1.0)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            assert not limits.slots.locked()
            await enter()  # after its turn

    run_apart(main(), virtually=True)


@pytest.mark.parametrize("rate", [0, -1.0, math.nan, math.inf, 1e7])
def test_a_rate_is_a_number_above_0(rate: float) -> None:
    """And not more than there is."""
    with pytest.raises(InvalidValueError, match="requests_per_second must be"):
        PlugChatSession("token", requests_per_second=rate)
    with pytest.raises(InvalidValueError, match="account_requests_per_second must be"):
        fetch_many([], account_requests_per_second=rate)


def test_a_rate_is_a_number() -> None:
    """No text, no bool."""
    text: Any = "5"
    with pytest.raises(InvalidTypeError, match="requests_per_second must be a number of requests a second"):
        PlugChatSession("token", requests_per_second=text)
    with pytest.raises(InvalidTypeError):
        fetch_many([], requests_per_second=True)


def test_a_rate_of_next_to_nothing_is_one_a_day() -> None:
    """Dividing by it must not fail."""
    limiter = rate_limiter(5e-324)
    assert limiter is not None
    assert limiter.max_rate / limiter.time_period == pytest.approx(1 / 86_400)


async def test_a_sessions_rate_is_its_requests() -> None:
    """Over HTTP: five pages at 50 a second take four gaps of 20 ms at least."""
    async with (
        PlugChatSimulator(45) as sim,
        PlugChatSession(sim.token, base_url=sim.base_url, requests_per_second=50.0) as session,
    ):
        started = asyncio.get_running_loop().time()
        assert len(await session.list_chats(10, prefetch=8)) == 45
        assert asyncio.get_running_loop().time() - started >= 4 / 50


# After a 429.


def test_a_429_holds_back_all_of_the_accounts_requests() -> None:
    """One is told to wait for 7 s: those that come later wait as long, those that are under way are not touched."""

    async def body(work: PageFetcher, transport: Clocked) -> None:
        first = asyncio.create_task(work.fetch(1, 10))
        under_way = asyncio.create_task(work.fetch(2, 10))
        await asyncio.sleep(2.0)
        later = [asyncio.create_task(work.fetch(number, 10)) for number in (3, 4)]
        await asyncio.gather(first, under_way, *later)

    transport = played(limited(7), body=body, seconds=1.0)
    assert transport.asked == pytest.approx([0.0, 0.0, 8.0, 8.0, 8.0])


def test_a_429_holds_back_those_that_wait_for_a_slot() -> None:
    """They are looked at again when they have it."""
    transport = played(limited(7), body=fetch_all(2), seconds=1.0, slots=1)
    assert transport.asked == pytest.approx([0.0, 8.0, 9.0])


def test_a_429_without_retry_after_holds_back_for_the_jitter() -> None:
    """As long as the one that met it waits itself: half of 0.5 s."""

    async def body(work: PageFetcher, _: Clocked) -> None:
        first = asyncio.create_task(work.fetch(1, 10))
        await asyncio.sleep(0.1)
        await asyncio.gather(first, work.fetch(2, 10))

    assert played(limited(), body=body).asked == pytest.approx([0.0, 0.25, 0.25])


def test_a_429_that_is_not_repeated_holds_back_the_others() -> None:
    """They know now, too."""

    async def body(work: PageFetcher, _: Clocked) -> None:
        with pytest.raises(RateLimitedError):
            await work.fetch(1, 10)
        await work.fetch(2, 10)

    assert played(limited(5), body=body, policy=RetryPolicy(attempts=1)).asked == pytest.approx([0.0, 5.0])


@pytest.mark.parametrize(("retry_after", "held"), [(61, 61.0), (10**9, 600.0), ("9" * 400, 600.0)])
def test_a_429_that_is_not_waited_for_holds_the_account(retry_after: object, held: float) -> None:
    """Others are told the seconds left, and nothing is sent; but no nonsensical Retry-After locks it out for long."""

    async def body(work: PageFetcher, transport: Clocked) -> None:
        with pytest.raises(RateLimitedError):
            await work.fetch(1, 10)
        await asyncio.sleep(0.5)
        with pytest.raises(RateLimitedError, match=r"not sent: .* longer than max_retry_after, 60 s") as caught:
            await work.fetch(2, 10)
        assert caught.value.retry_after == pytest.approx(held - 0.5)
        assert len(transport.asked) == 1
        await asyncio.sleep(held - 30.5)
        await work.fetch(2, 10)  # what is left can be waited for

    assert played(limited(retry_after), body=body).asked == pytest.approx([0.0, held])


def test_a_wait_of_our_own_that_is_longer_than_max_retry_after_holds_nobody() -> None:
    """It was not the server's wish, so others need not fail for it."""

    async def body(work: PageFetcher, _: Clocked) -> None:
        first = asyncio.create_task(work.fetch(1, 10))
        await asyncio.sleep(0.1)
        await asyncio.gather(first, work.fetch(2, 10))

    asked = played(limited(), body=body, policy=RetryPolicy(max_retry_after=0.0)).asked
    assert asked == pytest.approx([0.0, 0.1, 0.25])


def test_an_earlier_moment_changes_nothing() -> None:
    """The longer of two waits holds."""

    async def body(work: PageFetcher, _: Clocked) -> None:
        await asyncio.gather(*(asyncio.create_task(work.fetch(number, 10)) for number in (1, 2)))

    assert played(limited(9), limited(3), body=body).asked == pytest.approx([0.0, 0.0, 9.0, 9.0])


def test_a_page_that_would_be_held_past_its_deadline_fails_at_once() -> None:
    """And says how long it would have been."""

    async def body(work: PageFetcher, _: Clocked) -> None:
        with pytest.raises(RateLimitedError, match=r"retry budget|HTTP 429"):
            await work.fetch(1, 10)
        loop = asyncio.get_running_loop()
        before = loop.time()
        with pytest.raises(
            RateLimitedError, match=r"not sent: rate limited for another 20\.0 s, past the page's 15 s deadline"
        ) as caught:
            await work.fetch(2, 10)
        assert caught.value.retry_after == pytest.approx(20.0)
        assert (caught.value.page, caught.value.page_size, caught.value.attempts) == (2, 10, ())
        assert loop.time() == pytest.approx(before, abs=1e-6)

    transport = played(limited(20), body=body, policy=RetryPolicy(attempts=1, deadline=15.0))
    assert transport.asked == pytest.approx([0.0])


def test_the_time_that_a_page_is_held_counts_against_its_deadline() -> None:
    """What is left is what its attempt has."""

    async def body(work: PageFetcher, _: Clocked) -> None:
        with pytest.raises(RateLimitedError):
            await work.fetch(1, 10)
        await work.fetch(2, 10)

    transport = played(limited(40), body=body, policy=RetryPolicy(attempts=1))
    assert transport.timeouts == pytest.approx([30.0, 20.0])


def test_a_429_holds_back_those_that_wait_for_the_overall_rate() -> None:
    """They are looked at again when it lets them."""
    transport = played(limited(30), body=fetch_all(3), overall=0.2)
    assert [moment for moment in transport.asked if 0.0 < moment < 30.0] == []
    assert len(transport.asked) == 4


# All of that through fetch_many.


def many(
    monkeypatch: pytest.MonkeyPatch, *tokens: str, fates: dict[str, list[Response]] | None = None, **options: Any
) -> tuple[Clocked, dict[str, AccountResult]]:
    """Fetch accounts with these tokens over a clocked transport, and give it, and the results."""
    transport = Clocked(seconds=0.01)
    transport.fates = fates or {}
    monkeypatch.setattr(SharedResources, "transport", lambda _: transport)

    async def main() -> dict[str, AccountResult]:
        source = Clock(monotonic=asyncio.get_running_loop().time, random=lambda: 0.5)
        accounts = [Account(token, token) for token in tokens]
        results = fetch_many(accounts, consistency="plain", clock=source, **options)
        return {result.account.name: result async for result in results}

    return transport, run_apart(main(), virtually=True)


def full_pages(count: int) -> list[Response]:
    """So many pages of two chats each, all different."""
    return [Response(200, {}, b'[{"phone":"a%d"},{"phone":"b%d"}]' % (n, n)) for n in range(count)]


@pytest.mark.slow
def test_the_overall_rate_is_that_of_all_accounts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forty accounts of a page each, at five a second, take 39 gaps of 0.2 s."""
    fates = {f"t{number}": [*full_pages(1)] for number in range(40)}
    known = ServerTraits(longest_page=100, short_pages="end")
    transport, results = many(monkeypatch, *fates, fates=fates, requests_per_second=5.0, server_traits=known)
    assert len(results) == 40
    for start in transport.asked:
        assert sum(start <= other < start + 1 - 1e-6 for other in transport.asked) <= 6
    assert transport.asked[-1] == pytest.approx(39 / 5, abs=0.1)


def test_an_accounts_rate_is_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is spaced, and none by the other."""
    fates = {token: full_pages(5) for token in ("a", "b")}
    transport, _ = many(monkeypatch, "a", "b", fates=fates, account_requests_per_second=2.0, page_size=2)
    for asked in transport.asked_by.values():
        assert asked == pytest.approx([0.5 * number for number in range(6)], abs=1e-6)


def test_a_429_holds_back_its_own_account_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """All of its requests, and none of another's."""
    slow_ones = full_pages(6)
    slow_ones.insert(2, limited(30))
    fates = {"slow": slow_ones, "quick": full_pages(8)}
    transport, results = many(monkeypatch, "slow", "quick", fates=fates, page_size=2, prefetch=4)
    assert all(result.error is None for result in results.values())
    assert max(transport.asked_by["quick"]) < 1.0
    slow = transport.asked_by["slow"]
    held_from = slow[3] + 0.01
    assert [moment for moment in slow if held_from < moment < 30.0] == []
    assert max(slow) >= 30.0


def test_accounts_share_a_retry_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sixty accounts with four retries each: 35 are paid by all, and two for each account by its own reserve."""
    failed = Response(503, {}, b"")
    tokens = [f"t{number}" for number in range(60)]
    fates = {token: [failed] * 9 for token in tokens}
    transport, results = many(monkeypatch, *tokens, fates=fates, retry=RetryPolicy(attempts=5))
    assert all(isinstance(result.error, ServerError) for result in results.values())
    assert len(transport.asked) == 60 + 35 + 60 * 2


# The budget.


def test_the_shared_budget_pays_first_and_a_reserve_then() -> None:
    """28 tokens are two retries; a success fills both."""
    shared = RetryBudget(14)
    one, other = RetryBudget(28, shared), RetryBudget(28, shared)
    assert [one.take(ServerError()) for _ in range(4)] == [True, True, True, False]
    assert (one.tokens, shared.tokens) == (0, 0)
    assert [other.take(ServerError()) for _ in range(3)] == [True, True, False]
    one.refund()
    assert (one.tokens, other.tokens, shared.tokens) == (1, 0, 1)


async def test_failing_accounts_do_not_use_up_the_others_retries(fake_time: FakeTime) -> None:
    """After 60 accounts that fail for good, one that is disturbed twice still gets its page."""
    async with PlugChatSimulator(10, token="good") as sim:
        sim.script(Fault.status(503), Fault.status(502), token="good")
        bad = [Account(f"bad {number}", f"bad-{number}", sim.base_url) for number in range(60)]
        for account in bad:
            sim.script(*[Fault.status(503)] * 3, token=str(account.token))
        accounts = [*bad, Account("good", "good", sim.base_url)]
        results = [result async for result in fetch_many(accounts, concurrency=1, clock=fake_time.clock)]
        assert [result.account.name for result in results if result.error is None] == ["good"]
        assert {len(result.error.attempts) for result in results if result.error is not None} == {3}
