"""What is done next, against a transport that plays outcomes one after the other."""

import asyncio

import pytest

from plugchat_async import (
    AuthenticationError,
    Clock,
    ConnectionFailedError,
    MethodNotAllowedError,
    PlugChatError,
    RequestTimeoutError,
    RetryPolicy,
    SessionStateError,
    UnsupportedMediaTypeError,
)
from plugchat_async._http.page_fetcher import PageFetcher
from plugchat_async._http.proxy import Proxies
from plugchat_async._http.rate_limit import Limits
from plugchat_async._http.request import Request, RequestTemplate
from plugchat_async._http.response import Response
from plugchat_async._http.retry import RetryBudget
from plugchat_async._http.secret import Secret
from plugchat_async._http.transport import AttemptFailed, Transport
from support.fakes import FakeTime

PAGE = Response(200, {}, b'[{"phone":"1"}]')
CLOSED = AttemptFailed(ConnectionFailedError("closed", reason="closed"))
STALE = AttemptFailed(ConnectionFailedError("closed", reason="closed"), stale=True)


class Player(Transport):
    """Gives the next outcome for each request, each taking `seconds` of fake time."""

    def __init__(self, *outcomes: Response | AttemptFailed, fake: FakeTime, seconds: float = 0.0) -> None:
        super().__init__(borrowed=None, proxies=Proxies(), ssl_context=None, max_response_bytes=1)
        self.outcomes = list(outcomes)
        self.fake = fake
        self.seconds = seconds
        self.sent: list[Request] = []
        self.timeouts: list[float] = []

    def check(self) -> None:
        """It is open."""

    async def send(self, request: Request, *, timeout: float) -> Response | AttemptFailed:
        self.sent.append(request)
        self.timeouts.append(timeout)
        self.fake.now += self.seconds
        await asyncio.sleep(0)
        return self.outcomes.pop(0)


def page_fetcher(player: Player, policy: RetryPolicy | None = None, base_url: str = "https://x.example") -> PageFetcher:
    """A page fetcher over a player."""
    return PageFetcher(
        transport=player,
        token=Secret("s3cret"),
        template=RequestTemplate(base_url, bare=True),
        policy=policy or RetryPolicy(),
        repair=True,
        timeout=30.0,
        limits=Limits(asyncio.Semaphore(1)),
        clock=player.fake.clock,
        budget=RetryBudget(),
    )


async def test_a_stale_connection_is_free_once(fake_time: FakeTime) -> None:
    """The first one costs nothing; the second counts as an attempt."""
    player = Player(STALE, STALE, CLOSED, PAGE, fake=fake_time)
    page = await page_fetcher(player).fetch(1, 10)
    assert len(page.chats) == 1
    assert len(player.sent) == 4
    assert fake_time.sleeps == [0.25, 0.5]


async def test_an_attempt_gets_what_is_left_of_the_deadline(fake_time: FakeTime) -> None:
    """40 s and a wait spent leave less than 20 s of 60; then there is no time for another wait."""
    timeout = AttemptFailed(RequestTimeoutError("late"))
    player = Player(timeout, timeout, timeout, fake=fake_time, seconds=20.0)
    work = page_fetcher(player, RetryPolicy(attempts=9, deadline=60.0))
    with pytest.raises(RequestTimeoutError, match=r"the deadline of 60 s leaves no time") as caught:
        await work.fetch(1, 10)
    assert player.timeouts == [30.0, 30.0, 19.25]
    assert caught.value.elapsed == 60.75


async def test_waiting_for_a_slot_counts_for_nothing(fake_time: FakeTime) -> None:
    """A page that waited an hour for its turn still has its whole deadline."""
    player = Player(CLOSED, PAGE, fake=fake_time)
    work = page_fetcher(player)
    await work.limits.slots.acquire()
    fetching = asyncio.create_task(work.fetch(1, 10))
    await asyncio.sleep(0)
    fake_time.now += 3600.0
    work.limits.slots.release()
    await fetching
    assert player.timeouts == [30.0, 30.0]


async def test_no_slot_is_held_while_waiting_for_a_retry(fake_time: FakeTime) -> None:
    """Others may go on meanwhile."""
    player = Player(CLOSED, PAGE, fake=fake_time)
    work = page_fetcher(player)
    free: list[bool] = []

    async def sleep(seconds: float) -> None:
        free.append(not work.limits.slots.locked())

    work.clock = Clock(sleep=sleep)
    await work.fetch(1, 10)
    assert free == [True]


async def test_a_success_refunds_the_budget(fake_time: FakeTime) -> None:
    """One token, after a retry has taken fourteen."""
    work = page_fetcher(Player(CLOSED, PAGE, fake=fake_time))
    await work.fetch(1, 10)
    assert work.budget.tokens == 500 - 14 + 1


async def test_a_lost_connection_to_the_other_host_is_retried_but_does_not_replace_the_405(fake_time: FakeTime) -> None:
    """It may be the host that works; if it is not, the error is about the one that was asked for."""
    player = Player(Response(405, {}, b"no"), CLOSED, PAGE, fake=fake_time)
    work = page_fetcher(player, base_url="https://app.plugchat.com.br")
    await work.fetch(1, 10)
    assert work.template.base_url == "https://www.plugchat.com.br"
    player = Player(Response(405, {}, b"no"), *[CLOSED] * 3, fake=fake_time)
    with pytest.raises(MethodNotAllowedError) as caught:
        await page_fetcher(player, base_url="https://app.plugchat.com.br").fetch(1, 10)
    assert [attempt.outcome for attempt in caught.value.attempts] == ["405 Method Not Allowed", *["closed"] * 3]


async def test_a_429_of_the_other_host_is_waited_for(fake_time: FakeTime) -> None:
    """By all of the account's requests, as a 429 of the first host would be."""
    busy = Response(429, {"retry-after": "5"}, b"no")
    player = Player(Response(405, {}, b"no"), busy, PAGE, fake=fake_time)
    work = page_fetcher(player, base_url="https://app.plugchat.com.br")
    await work.fetch(1, 10)
    assert fake_time.sleeps == [5.0]
    assert work.limits.not_before == 5.0


async def test_the_other_host_is_asked_as_documented(fake_time: FakeTime) -> None:
    """Though the first one was, at last, without Content-Type."""
    player = Player(Response(415, {}, b"no"), Response(405, {}, b"no"), PAGE, fake=fake_time)
    await page_fetcher(player, base_url="https://app.plugchat.com.br").fetch(1, 10)
    assert [request.headers.get("Content-Type") for request in player.sent] == [
        "application/json",
        None,
        "application/json",
    ]


async def test_an_attempt_that_closing_has_ended_is_told(fake_time: FakeTime) -> None:
    """What was sent is among the attempts; what was not is not."""
    for sent, attempts in ((True, 1), (False, 0)):
        player = Player(AttemptFailed(SessionStateError("closed"), sent=sent), fake=fake_time)
        with pytest.raises(SessionStateError) as caught:
            await page_fetcher(player).fetch(1, 10)
        assert len(caught.value.attempts) == attempts


async def test_closing_ends_a_wait(fake_time: FakeTime) -> None:
    """Whoever waits to repeat a request is told at once."""

    async def sleep(_: float) -> None:
        await asyncio.Event().wait()

    player = Player(CLOSED, fake=fake_time)
    work = page_fetcher(player)
    work.clock = Clock(sleep=sleep)
    task = asyncio.create_task(work.fetch(1, 10))
    while not player.sent or player.outcomes:
        await asyncio.sleep(0)
    for _ in range(5):
        await asyncio.sleep(0)
    await player.close()
    with pytest.raises(SessionStateError, match="the session is closed") as caught:
        await task
    assert len(caught.value.attempts) == 1
    assert caught.value.__context__ is None


async def test_a_sleep_that_fails_is_the_time_sources_own_affair(fake_time: FakeTime) -> None:
    """It comes out as it is."""

    async def sleep(_: float) -> None:
        raise TimeoutError("mine")

    work = page_fetcher(Player(CLOSED, fake=fake_time))
    work.clock = Clock(sleep=sleep)
    with pytest.raises(TimeoutError, match="mine"):
        await work.fetch(1, 10)


async def test_a_bad_request_without_content_type_does_not_replace_the_415(fake_time: FakeTime) -> None:
    """It is no request that the vendor's page knows."""
    player = Player(Response(415, {}, b"no"), Response(400, {}, b"what?"), fake=fake_time)
    with pytest.raises(UnsupportedMediaTypeError) as caught:
        await page_fetcher(player).fetch(1, 10)
    assert [attempt.outcome for attempt in caught.value.attempts] == ["415 Unsupported Media Type", "400 Bad Request"]


async def test_nothing_that_the_other_host_says_replaces_the_405(fake_time: FakeTime) -> None:
    """Not what it says to a request that was changed once more, either."""
    player = Player(
        *(Response(status, {}, b"no") for status in (405, 415, 404)),
        fake=fake_time,
    )
    with pytest.raises(MethodNotAllowedError) as caught:
        await page_fetcher(player, base_url="https://app.plugchat.com.br").fetch(1, 10)
    assert len(caught.value.attempts) == 3


async def test_a_stale_connection_to_the_other_host_is_replaced(fake_time: FakeTime) -> None:
    """Nothing was answered there yet."""
    player = Player(Response(405, {}, b"no"), STALE, PAGE, fake=fake_time)
    work = page_fetcher(player, base_url="https://app.plugchat.com.br")
    await work.fetch(1, 10)
    assert work.template.base_url == "https://www.plugchat.com.br"


async def test_two_pages_at_once_repair_each_for_itself(fake_time: FakeTime) -> None:
    """Neither undoes what the other found."""
    refused = Response(405, {}, b"no")
    player = Player(refused, refused, PAGE, PAGE, PAGE, fake=fake_time)
    work = page_fetcher(player, base_url="https://app.plugchat.com.br")
    work.limits.slots = asyncio.Semaphore(2)
    await asyncio.gather(work.fetch(1, 10), work.fetch(2, 10))
    assert work.template.base_url == "https://www.plugchat.com.br"
    await work.fetch(3, 10)
    assert len(player.sent) == 5


async def test_a_kept_repair_can_be_undone_by_another(fake_time: FakeTime) -> None:
    """When the host that was kept begins to refuse, the first one is tried again."""
    refused = Response(405, {}, b"no")
    player = Player(refused, PAGE, refused, PAGE, fake=fake_time)
    work = page_fetcher(player, base_url="https://app.plugchat.com.br")
    await work.fetch(1, 10)
    await work.fetch(2, 10)
    assert work.template.base_url == "https://app.plugchat.com.br"


async def test_a_kept_repair_that_fails_is_undone(fake_time: FakeTime) -> None:
    """One 415 too many, after which the server wants its Content-Type again."""
    refused = Response(415, {}, b"no")
    without = Response(415, {}, b"no", sent_content_type=None)
    player = Player(refused, PAGE, without, PAGE, fake=fake_time)
    work = page_fetcher(player)
    await work.fetch(1, 10)
    assert work.template.content_type is None
    await work.fetch(2, 10)
    assert work.template.content_type == "application/json"


async def test_no_repair_is_begun_past_the_deadline(fake_time: FakeTime) -> None:
    """What the server said stays the error."""
    player = Player(Response(415, {}, b"no"), fake=fake_time, seconds=61.0)
    with pytest.raises(UnsupportedMediaTypeError):
        await page_fetcher(player).fetch(1, 10)


async def test_the_error_is_the_last_answers(fake_time: FakeTime) -> None:
    """Two lost connections, then 401: the token is what matters now."""
    player = Player(CLOSED, CLOSED, Response(401, {}, b""), fake=fake_time)
    with pytest.raises(AuthenticationError) as caught:
        await page_fetcher(player).fetch(1, 10)
    assert [attempt.outcome for attempt in caught.value.attempts] == ["closed", "closed", "401 Unauthorized"]


async def test_errors_are_raised_without_others_behind_them(fake_time: FakeTime) -> None:
    """No context, no cause: nothing of aiohttp's is reachable."""
    with pytest.raises(PlugChatError) as caught:
        await page_fetcher(Player(CLOSED, fake=fake_time), RetryPolicy(attempts=1)).fetch(1, 10)
    assert (caught.value.__context__, caught.value.__cause__) == (None, None)


async def test_a_large_page_leaves_others_their_turn(fake_time: FakeTime) -> None:
    """While ten thousand chats are decoded the event loop runs what else is ready, several times."""

    async def turns_of(chats: int) -> int:
        body = b"[" + b",".join(b'{"phone":"%d","name":"%s"}' % (i, b"x" * 80) for i in range(chats)) + b"]"
        player = Player(Response(200, {}, body), fake=fake_time)
        fetching = asyncio.create_task(page_fetcher(player).fetch(1, chats))
        turns = 0
        while not fetching.done():
            await asyncio.sleep(0)
            turns += 1
        assert len((await fetching).chats) == chats
        return turns

    assert await turns_of(10_000) >= await turns_of(100) + 3
