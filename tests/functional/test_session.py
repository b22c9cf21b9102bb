import asyncio
import gc
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import aiohttp
import pytest

from plugchat_async import (
    AuthenticationError,
    Chat,
    Clock,
    ConfigurationError,
    DecodeError,
    InvalidTypeError,
    InvalidValueError,
    Page,
    PageLimitError,
    PageRepeatedError,
    PlugChatError,
    PlugChatSession,
    RateLimitedError,
    RetryPolicy,
    ServerError,
    SessionStateError,
    UnsupportedMediaTypeError,
)
from plugchat_async.testing import Fault, PlugChatSimulator, Quirks
from support.fakes import FakeTime, RawServer, answering, http, what_frames_show
from support.requests import requested_pages
from support.traits import KNOWN_SERVER

# The main job.


async def test_all_chats_of_an_account(sim: PlugChatSimulator, plugchat: PlugChatSession) -> None:
    """250 chats in three pages, each once, in order, with all their fields."""
    assert [chat async for chat in plugchat.iter_chats(page_size=100)] == list(sim.chats)
    assert requested_pages(sim) == [(1, 100), (2, 100), (3, 100)]


async def test_pages_carry_their_chats_and_their_bytes(sim: PlugChatSimulator, plugchat: PlugChatSession) -> None:
    """The same walk, a Page at a time."""
    pages = [page async for page in plugchat.iter_pages(100)]
    assert [(page.number, page.size, len(page.chats), page.is_short) for page in pages] == [
        (1, 100, 100, False),
        (2, 100, 100, False),
        (3, 100, 50, True),
    ]
    assert sim.chats[249].id.encode() in pages[2].raw
    assert f"raw=<{len(pages[2].raw)} bytes>" in repr(pages[2])


async def test_a_page_is_asked_for_only_when_it_is_wanted(sim: PlugChatSimulator, plugchat: PlugChatSession) -> None:
    """The hundredth chat needs one page, the next one two."""
    async with aclosing(plugchat.iter_chats(100)) as chats:
        for _ in range(100):
            await anext(chats)
        assert len(sim.requests) == 1
        await anext(chats)
        assert len(sim.requests) == 2


@pytest.mark.parametrize(("limit", "requests"), [(0, 0), (1, 1), (99, 1), (100, 1), (101, 2), (250, 3), (999, 3)])
async def test_limit_asks_for_no_page_that_it_does_not_need(
    sim: PlugChatSimulator, plugchat: PlugChatSession, limit: int, requests: int
) -> None:
    """As many chats as wanted, from as few pages as hold them."""
    assert await plugchat.list_chats(100, limit=limit) == list(sim.chats[:limit])
    assert len(sim.requests) == requests


async def test_limit_spares_the_check_of_a_round_page() -> None:
    """Fifty chats that were wanted came: whether there are more doesn't matter."""
    async with (
        PlugChatSimulator(120, quirks=Quirks(max_page_size=50)) as sim,
        PlugChatSession(sim.token, base_url=sim.base_url) as session,
    ):
        assert len(await session.list_chats(100, limit=50)) == 50
        assert len(sim.requests) == 1


async def test_a_capped_page_size_loses_nothing() -> None:
    """The cap is found out once: later walks ask for pages of that size."""
    async with (
        PlugChatSimulator(120, dialect="documented", quirks=Quirks(max_page_size=50)) as sim,
        PlugChatSession(sim.token, base_url=sim.base_url) as session,
    ):
        assert await session.list_chats(100) == list(sim.chats)
        assert session.server_traits.max_page_size == 50
        sim.requests.clear()
        assert await session.list_chats(100) == list(sim.chats)
        assert requested_pages(sim) == [(1, 50), (2, 50), (3, 50)]


async def test_on_page_sees_each_page_before_its_chats(plugchat: PlugChatSession) -> None:
    """A progress display is told first."""
    told: list[int] = []
    seen: list[tuple[int, int]] = []
    async for page in plugchat.iter_pages(100, on_page=lambda page: told.append(page.number)):
        seen.append((page.number, len(told)))
    assert seen == [(1, 1), (2, 2), (3, 3)]
    told.clear()
    await plugchat.list_chats(100, on_page=lambda page: told.append(page.number))
    assert told == [1, 2, 3]


async def test_max_pages_and_stop_on_reach_the_walk(sim: PlugChatSimulator, plugchat: PlugChatSession) -> None:
    """The options of a walk are those of the walker."""
    with pytest.raises(PageLimitError):
        await plugchat.list_chats(100, max_pages=2)
    sim.requests.clear()
    assert len(await plugchat.list_chats(100, stop_on="empty", start_page=2, consistency="plain")) == 150
    assert requested_pages(sim) == [(2, 100), (3, 100), (4, 100)]


# Retries, on the wire.


async def test_503_twice_is_three_requests_with_these_waits(
    sim: PlugChatSimulator, plugchat: PlugChatSession, fake_time: FakeTime
) -> None:
    """Half of 0.5 s and half of 1 s, chance being 0.5; the page is read in the end."""
    sim.script(Fault.status(503), Fault.status(503))
    assert len((await plugchat.fetch_page(1, 10)).chats) == 10
    assert len(sim.requests) == 3
    assert fake_time.sleeps == [0.25, 0.5]


async def test_a_retry_repeats_one_page_not_the_walk(
    sim: PlugChatSimulator, plugchat: PlugChatSession, fake_time: FakeTime
) -> None:
    """A fault on each page: each is asked for twice, each chat comes once."""
    sim.script(*[Fault.status(502), Fault.none()] * 3)
    assert await plugchat.list_chats(100) == list(sim.chats)
    assert [page for page, _ in requested_pages(sim)] == [1, 1, 2, 2, 3, 3]
    assert fake_time.sleeps == [0.25] * 3


async def test_retry_after_is_waited_for(
    sim: PlugChatSimulator, plugchat: PlugChatSession, fake_time: FakeTime
) -> None:
    """Seconds, or a date by the server's own clock."""
    sim.script(
        Fault.status(429, headers={"Retry-After": "7"}),
        Fault.status(
            503,
            headers={"Retry-After": "Sun, 06 Nov 1994 08:49:40 GMT", "Date": "Sun, 06 Nov 1994 08:49:37 GMT"},
        ),
    )
    await plugchat.fetch_page(1, 10)
    assert fake_time.sleeps == [7.0, 3.0]


async def test_a_long_retry_after_is_raised_at_once(
    sim: PlugChatSimulator, plugchat: PlugChatSession, fake_time: FakeTime
) -> None:
    """The error says for how long to stay away."""
    sim.script(Fault.status(429, headers={"Retry-After": "3600"}))
    with pytest.raises(RateLimitedError, match="the server asks to wait 3600 s") as caught:
        await plugchat.fetch_page(1, 10)
    assert caught.value.retry_after == 3600.0
    assert len(sim.requests) == 1
    assert fake_time.sleeps == []


@pytest.mark.parametrize("fault", [Fault.reset(), Fault.close(), Fault.truncate(), Fault.raw(b"?"), Fault.status(500)])
async def test_faults_that_pass_cost_one_retry(sim: PlugChatSimulator, fault: Fault) -> None:
    """On a fresh connection, so that nothing is free."""
    fake = FakeTime()
    sim.script(fault)
    async with PlugChatSession(sim.token, base_url=sim.base_url, clock=fake.clock) as session:
        assert len((await session.fetch_page(1, 10)).chats) == 10
    assert len(sim.requests) == 2
    assert fake.sleeps == [0.25]


async def test_a_fault_that_stays_is_an_error_with_its_attempts(
    sim: PlugChatSimulator, plugchat: PlugChatSession
) -> None:
    """Three attempts, what each was answered, how long was waited."""
    sim.script(*[Fault.status(503, body="<b>down</b>")] * 3)
    with pytest.raises(ServerError) as caught:
        await plugchat.fetch_page(4, 10)
    error = caught.value
    assert (error.status, error.page, error.page_size, error.elapsed) == (503, 4, 10, 0.75)
    assert error.url == f"{sim.base_url}/api/whatsapp/chats?page=4&pageSize=10"
    assert [(a.outcome, a.wait) for a in error.attempts] == [
        ("503 Service Unavailable", 0.25),
        ("503 Service Unavailable", 0.5),
        ("503 Service Unavailable", 0.0),
    ]
    assert "<b>down</b>" in str(error)
    assert error.__cause__ is None
    assert error.__context__ is None


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 413, 418, 451, 501, 505, 520, 204, 302])
async def test_what_will_not_pass_is_one_request(
    sim: PlugChatSimulator, plugchat: PlugChatSession, status: int
) -> None:
    """No status is repeated but those of the list."""
    sim.script(Fault.status(status))
    with pytest.raises(PlugChatError) as caught:
        await plugchat.fetch_page(1, 10)
    assert caught.value.status == status
    assert len(sim.requests) == 1


async def test_the_retry_budget_is_the_sessions(sim: PlugChatSimulator, fake_time: FakeTime) -> None:
    """An outage is met with 35 retries at first, however many walks run; then each error is raised at once."""
    policy = RetryPolicy(attempts=2)
    async with PlugChatSession(sim.token, base_url=sim.base_url, retry=policy, clock=fake_time.clock) as session:
        sim.script(*[Fault.status(503)] * 200)
        results = await asyncio.gather(*(session.fetch_page(1, 1) for _ in range(50)), return_exceptions=True)
        assert all(isinstance(result, ServerError) for result in results)
        assert len(sim.requests) == 50 + 35
        with pytest.raises(ServerError, match="the retry budget is used up"):
            await session.fetch_page(1, 1)


# Repairs against a real server.


async def test_415_is_repaired_for_an_injected_session_that_replaces_headers(sim: PlugChatSimulator) -> None:
    """A middleware that changes Content-Type is gone past, from the second request on."""

    async def meddle(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        request.headers["Content-Type"] = "text/plain"
        return await handler(request)

    async with (
        aiohttp.ClientSession(middlewares=(meddle,)) as client,
        PlugChatSession(sim.token, base_url=sim.base_url, client_session=client, server_traits=KNOWN_SERVER) as session,
    ):
        assert await session.list_chats(100) == list(sim.chats)
        assert [request.headers["content-type"] for request in sim.requests] == [
            "text/plain",
            *["application/json"] * 3,
        ]
        assert not client.closed


async def test_405_is_repaired_for_an_injected_session_that_changes_the_method(sim: PlugChatSimulator) -> None:
    """A middleware that makes a POST of it: two requests, then one a page."""

    async def meddle(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        request.method = "POST"
        return await handler(request)

    async with (
        aiohttp.ClientSession(middlewares=(meddle,)) as client,
        PlugChatSession(sim.token, base_url=sim.base_url, client_session=client, server_traits=KNOWN_SERVER) as session,
    ):
        assert await session.list_chats(200) == list(sim.chats)
    assert [request.method for request in sim.requests] == ["POST", "GET", "GET"]


async def test_a_repair_is_tried_once_a_page(sim: PlugChatSimulator, plugchat: PlugChatSession) -> None:
    """415 for good: two requests for each page that is asked for, and nothing is remembered."""
    sim.script(*[Fault.status(415)] * 4)
    for _ in range(2):
        with pytest.raises(UnsupportedMediaTypeError):
            await plugchat.fetch_page(1, 10)
    assert ["content-type" in request.headers for request in sim.requests] == [True, False, True, False]


async def test_a_repair_may_uncover_another_error(sim: PlugChatSimulator, plugchat: PlugChatSession) -> None:
    """Without Content-Type the server gets as far as the token: that is the error then."""
    sim.script(Fault.status(415), Fault.status(401))
    with pytest.raises(AuthenticationError) as caught:
        await plugchat.fetch_page(1, 10)
    assert [a.outcome for a in caught.value.attempts] == ["415 Unsupported Media Type", "401 Unauthorized"]


async def test_a_repaired_request_is_retried_as_repaired(
    sim: PlugChatSimulator, plugchat: PlugChatSession, fake_time: FakeTime
) -> None:
    """415, then 503 on the changed request: the third one is the changed one again."""
    sim.script(Fault.status(415), Fault.status(503), Fault.answer("[]"))
    assert (await plugchat.fetch_page(1, 10)).chats == ()
    assert ["content-type" in request.headers for request in sim.requests] == [True, False, False]
    assert fake_time.sleeps == [0.25]


# Going on after an error.


async def test_a_failed_walk_says_where_to_go_on(sim: PlugChatSimulator) -> None:
    """What was yielded is good, and page and page_size of the error continue it."""
    sim.script(Fault.none(), Fault.answer('[{"phone":"1","lastMessageTime":"abc"}]'))
    got: list[Chat] = []
    async with PlugChatSession(sim.token, base_url=sim.base_url, on_bad_value="raise") as session:
        with pytest.raises(
            DecodeError, match="page 2, chat 0, lastMessageTime: expected a time: epoch seconds.*, got 'abc'"
        ) as caught:
            async for chat in session.iter_chats(100):
                got.append(chat)
        assert (caught.value.page, caught.value.page_size) == (2, 100)
        rest = [chat async for chat in session.iter_chats(100, start_page=2, consistency="plain")]
    assert got + rest == list(sim.chats)


@pytest.mark.parametrize("status", [403, 503])
@pytest.mark.parametrize("failing", [2, 3, 4])
async def test_a_failed_check_ends_no_walk(fake_time: FakeTime, status: int, failing: int) -> None:
    """If what finds out a cap is not answered, chats may be missed, but the walk does not say that none was."""
    async with (
        PlugChatSimulator(120, dialect="documented", quirks=Quirks(max_page_size=50)) as sim,
        PlugChatSession(
            sim.token, base_url=sim.base_url, clock=fake_time.clock, retry=RetryPolicy(attempts=1)
        ) as session,
    ):
        sim.script(*[Fault.none()] * (failing - 1), Fault.status(status))
        async with session.walk_chats(100) as walk:
            found = await walk.to_list()
        assert set(found) <= set(sim.chats)
        assert walk.report.verified <= (len(found) == 120)


async def test_a_failed_look_far_ahead_ends_no_walk() -> None:
    """A server may refuse deep pages in any way; it is looked at once more, nearer, when pages go on repeating."""
    async with (
        PlugChatSimulator(40, quirks=Quirks(ignore_page=True)) as sim,
        PlugChatSession(sim.token, base_url=sim.base_url) as session,
    ):
        sim.script(Fault.none(), Fault.none(), Fault.status(403))
        with pytest.raises(PageRepeatedError) as caught:
            await session.list_chats(10)
        assert (caught.value.page, caught.value.page_size) == (17, 10)
        assert requested_pages(sim)[2][0] == 1_000_002
        assert (1017, 10) in requested_pages(sim)


async def test_closing_during_a_look_far_ahead_is_told() -> None:
    """That error is ours, and no answer of the server."""
    async with (
        PlugChatSimulator(40, quirks=Quirks(ignore_page=True)) as sim,
        PlugChatSession(sim.token, base_url=sim.base_url) as session,
    ):
        sim.script(Fault.none(), Fault.none(), Fault.hang())
        walking = asyncio.create_task(session.list_chats(10))
        async with asyncio.timeout(5):
            while len(sim.requests) < 3:
                await asyncio.sleep(0)
            await session.close()
            with pytest.raises(SessionStateError):
                await walking


@pytest.mark.parametrize("status", [403, 409, 451])
async def test_a_check_that_is_refused_otherwise_is_tolerated(status: int) -> None:
    """Those statuses say nothing about the page: the list is looked at in another way."""
    async with (
        PlugChatSimulator(50) as sim,
        PlugChatSession(sim.token, base_url=sim.base_url) as session,
    ):
        sim.script(Fault.none(), Fault.status(status))
        assert len(await session.list_chats(100)) == 50
        assert session.server_traits.past_end != "error"


def test_time_and_chance_are_pythons_own_by_default() -> None:
    """What a session uses where no test gives its own."""
    source = Clock()
    assert (source.monotonic, source.time, source.sleep) == (time.monotonic, time.time, asyncio.sleep)
    assert len({source.random() for _ in range(9)}) == 9


@pytest.mark.parametrize("status", [400, 404, 410, 416, 422])
async def test_a_page_past_the_end_may_be_refused(status: int) -> None:
    """A server that answers 404 there has no more chats: the check of a round first page takes that for the end."""
    async with (
        PlugChatSimulator(50) as sim,
        PlugChatSession(sim.token, base_url=sim.base_url) as session,
    ):
        sim.script(Fault.none(), Fault.status(status))
        assert len(await session.list_chats(100)) == 50


@pytest.mark.parametrize("options", [{}, {"max_page_size": None}, {"prefetch": 3}, {"consistency": "strict"}])
async def test_404_in_the_middle_of_the_list_loses_nothing(
    sim: PlugChatSimulator, plugchat: PlugChatSession, options: dict[str, Any]
) -> None:
    """A page after a full one may not exist, but that is checked."""
    sim.script(Fault.none(), Fault.status(404))
    assert sorted(await plugchat.list_chats(100, **options), key=id_of) == sorted(sim.chats, key=id_of)


async def test_404_for_the_first_page_is_an_error(sim: PlugChatSimulator, plugchat: PlugChatSession) -> None:
    """Each list has one."""
    sim.script(Fault.status(404))
    with pytest.raises(PlugChatError) as caught:
        await plugchat.list_chats(100)
    assert caught.value.status == 404


def id_of(chat: Chat) -> str:
    return chat.id


# Arguments, before any I/O.


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"base_url": "http://app.plugchat.com.br"}, InvalidValueError, "https"),
        ({"timeout": 0}, InvalidValueError, "timeout must be a finite number above 0, got 0"),
        ({"timeout": "30"}, InvalidTypeError, "timeout must be a number of seconds, got '30'"),
        ({"max_concurrency": 0}, InvalidValueError, "max_concurrency must be at least 1, got 0"),
        ({"max_response_bytes": 1.5}, InvalidTypeError, "max_response_bytes must be an int, got 1.5"),
        ({"retry": 3}, InvalidTypeError, "retry must be of type plugchat_async.RetryPolicy, got int"),
        (
            {"client_session": object()},
            InvalidTypeError,
            "client_session must be of type aiohttp.ClientSession, got object",
        ),
        ({"ssl_context": False}, InvalidTypeError, "ssl_context must be of type ssl.SSLContext, got bool"),
        (
            {"clock": None},
            InvalidTypeError,
            "clock must be of type plugchat_async.Clock, got NoneType",
        ),
        ({"repair": "no"}, InvalidTypeError, "repair must be of type bool, got str"),
        (
            {"base_url": "http://mock:8765", "insecure_http": "true"},
            InvalidTypeError,
            "insecure_http must be of type bool, got str",
        ),
        (
            {"timout": 3},
            InvalidTypeError,
            "unexpected option 'timout': it is none of SessionOptions. Did you mean timeout",
        ),
        ({"proxy": 1}, InvalidTypeError, "proxy must be a str or a URL, got int"),
        ({"proxy": "socks5://u:hunter2@x"}, InvalidValueError, "proxy must begin with http"),
    ],
)
def test_bad_options_are_refused_by_the_constructor(
    options: dict[str, Any], error: type[ConfigurationError], message: str
) -> None:
    """Named, without the token or a proxy's password."""
    with pytest.raises(error, match=message) as caught:
        PlugChatSession("s3cret-token", **options)
    assert "s3cret" not in str(caught.value)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("token", ["", " s3cret", "s3crét", None])
def test_bad_tokens_are_refused_by_the_constructor(token: Any) -> None:
    """Before anything else, and unseen."""
    with pytest.raises(ConfigurationError, match="token") as caught:
        PlugChatSession(token)
    assert "s3cr" not in str(caught.value)


async def test_tls_options_belong_to_a_session_of_our_own() -> None:
    """An injected session has a connector of its own."""
    import ssl

    async with aiohttp.ClientSession() as client:
        with pytest.raises(InvalidValueError, match="ssl_context cannot be set"):
            PlugChatSession("s3cret", client_session=client, ssl_context=ssl.create_default_context())


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"page_size": 0}, InvalidValueError, "page_size must be at least 1, got 0"),
        ({"page_size": -1}, InvalidValueError, "page_size must be at least 1, got -1"),
        ({"page_size": True}, InvalidTypeError, "page_size must be an int, got True"),
        ({"page_size": "10"}, InvalidTypeError, "page_size must be an int, got '10'"),
        ({"limit": -1}, InvalidValueError, "limit must be at least 0, got -1"),
        ({"limit": 1.5}, InvalidTypeError, "limit must be an int, got 1.5"),
        ({"start_page": 0}, InvalidValueError, "start_page must be at least 1, got 0"),
        ({"max_pages": 0}, InvalidValueError, "max_pages must be at least 1, got 0"),
        ({"stop_on": "never"}, InvalidValueError, "stop_on must be 'short' or 'empty', got 'never'"),
        ({"consistency": "exactly"}, InvalidValueError, "must be 'exact' or 'strict' or 'plain', got 'exactly'"),
        ({"start_page": 2}, InvalidValueError, "consistency='exact' reads the whole list: start_page must be 1, got 2"),
        ({"prefetch": -1}, InvalidValueError, "prefetch must be at least 0, got -1"),
        ({"prefetch": 1001}, InvalidValueError, "prefetch must be at most 1000, got 1001"),
        ({"require_verified": 1}, InvalidTypeError, "require_verified must be of type bool, got int"),
        (
            {"require_verified": True, "consistency": "plain"},
            InvalidValueError,
            "proves nothing, so it cannot be verified",
        ),
        ({"resume": 3}, InvalidTypeError, "resume must be of type str, got int"),
        ({"resume": "3"}, InvalidValueError, "resume is not a checkpoint"),
        ({"limits": 3}, InvalidTypeError, "unexpected option 'limits': it is none of WalkOptions. Did you mean limit?"),
        ({"nothing": 3}, InvalidTypeError, "none of WalkOptions. Use one of account, consistency, limit"),
        ({"on_report": 5}, InvalidTypeError, "on_report must be a plain function of a WalkReport"),
        ({"on_page": 5}, InvalidTypeError, "on_page must be a plain function"),
        ({"on_page": asyncio.sleep}, InvalidTypeError, "on_page must be a plain function"),
        ({"page_size": 0, "limit": 0}, InvalidValueError, "page_size must be at least 1, got 0"),
    ],
)
async def test_bad_arguments_of_a_walk_are_refused_before_any_request(
    sim: PlugChatSimulator,
    plugchat: PlugChatSession,
    options: dict[str, Any],
    error: type[ConfigurationError],
    message: str,
) -> None:
    """Argument and value are named."""
    with pytest.raises(error, match=message):
        await plugchat.list_chats(**options)
    assert sim.requests == []


@pytest.mark.parametrize(("number", "page_size"), [(0, 10), (True, 10), (1, 0), (1, "10")])
async def test_bad_arguments_of_fetch_page_are_refused_before_any_request(
    sim: PlugChatSimulator, plugchat: PlugChatSession, number: Any, page_size: Any
) -> None:
    """As for walks."""
    with pytest.raises(ConfigurationError):
        await plugchat.fetch_page(number, page_size)
    assert sim.requests == []


# Life.


def test_the_constructor_needs_no_event_loop() -> None:
    """A session may be made at import time."""
    session = PlugChatSession("s3cret")
    assert repr(session) == "<PlugChatSession https://app.plugchat.com.br new>"


async def test_a_session_that_was_never_opened() -> None:
    """Says how to open it."""
    session = PlugChatSession("s3cret")
    with pytest.raises(SessionStateError, match="not open.*async with") as caught:
        await session.fetch_page(1, 10)
    assert isinstance(caught.value, RuntimeError)


async def test_a_closed_session_stays_closed(sim: PlugChatSimulator) -> None:
    """For pages, walks, and opening; closing again does no harm."""
    session = PlugChatSession(sim.token, base_url=sim.base_url)
    async with session:
        assert repr(session).endswith("open>")
    assert repr(session).endswith("closed>")
    await session.close()
    for call in (lambda: session.fetch_page(1, 10), session.list_chats, session.open):
        with pytest.raises(SessionStateError, match="the session is closed"):
            await call()
    assert sim.requests == []


async def test_open_and_close_by_hand(sim: PlugChatSimulator) -> None:
    """For applications with a startup and a shutdown hook; opening twice does no harm."""
    session = PlugChatSession(sim.token, base_url=sim.base_url)
    assert await session.open() is session
    await session.open()
    assert len(await session.list_chats()) == 250
    await session.close()


async def test_closing_a_session_that_was_never_opened() -> None:
    """There is nothing to close."""
    await PlugChatSession("s3cret").close()


def test_a_session_belongs_to_its_event_loop() -> None:
    """Used in another loop, it says so instead of hanging."""
    session = PlugChatSession("s3cret")
    first = asyncio.new_event_loop()
    try:
        first.run_until_complete(session.open())
        for use in (session.list_chats, session.open):
            with pytest.raises(SessionStateError, match="belongs to another event loop"):
                asyncio.run(use())
        first.run_until_complete(session.close())
    finally:
        first.close()


@pytest.mark.parametrize("token", [None, "t0ken"])
def test_from_env_shows_no_proxy(monkeypatch: pytest.MonkeyPatch, token: str | None) -> None:
    """Not in the locals of its frames, whether the token is missing or an option is wrong."""
    monkeypatch.delenv("PLUGCHAT_TOKEN", raising=False)
    if token is not None:
        monkeypatch.setenv("PLUGCHAT_TOKEN", token)
    with pytest.raises(ConfigurationError) as caught:
        PlugChatSession.from_env(proxy="http://u:s3cret-pw@localhost", timeout=-1.0)
    assert "s3cret" not in what_frames_show(caught.value)


async def test_from_env(sim: PlugChatSimulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Secret and base URL from the environment, other options as for the constructor."""
    monkeypatch.setenv("PLUGCHAT_TOKEN", sim.token)
    monkeypatch.setenv("PLUGCHAT_BASE_URL", sim.base_url)
    async with PlugChatSession.from_env(timeout=5.0) as session:
        assert len(await session.list_chats()) == 250
    monkeypatch.delenv("PLUGCHAT_BASE_URL")
    assert "https://app.plugchat.com.br" in repr(PlugChatSession.from_env())
    assert "www" in repr(PlugChatSession.from_env(base_url="https://www.plugchat.com.br"))


@pytest.mark.parametrize(("value", "told"), [(None, "not set"), ("", "empty")])
def test_from_env_without_a_token(monkeypatch: pytest.MonkeyPatch, value: str | None, told: str) -> None:
    """The variable is named."""
    monkeypatch.delenv("PLUGCHAT_TOKEN", raising=False)
    if value is not None:
        monkeypatch.setenv("PLUGCHAT_TOKEN", value)
    with pytest.raises(InvalidValueError, match=f"PLUGCHAT_TOKEN is {told}"):
        PlugChatSession.from_env()


async def test_requests_in_flight_are_limited(sim: PlugChatSimulator) -> None:
    """max_concurrency=3 for ten pages at once."""
    flying = most = 0
    three, go = asyncio.Event(), asyncio.Event()

    async def slow(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal flying, most
        flying += 1
        most = max(most, flying)
        if flying == 3:
            three.set()
        await go.wait()
        flying -= 1
        writer.write(http(b"[]"))
        await writer.drain()

    async with (
        RawServer(slow) as server,
        PlugChatSession("s3cret", base_url=server.base_url, max_concurrency=3) as session,
    ):
        pages = asyncio.gather(*(session.fetch_page(n, 10) for n in range(1, 11)))
        await three.wait()
        await settled(tasks=True)
        go.set()
        await pages
    assert most == 3


@pytest.mark.slow
async def test_more_than_a_hundred_requests_may_fly() -> None:
    """aiohttp's own limit of a hundred connections does not come before ours."""
    flying = 0
    all_there = asyncio.Event()

    async def slow(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal flying
        flying += 1
        if flying == 120:
            all_there.set()
        await all_there.wait()
        writer.write(http(b"[]"))
        await writer.drain()

    async with (
        RawServer(slow) as server,
        PlugChatSession("s3cret", base_url=server.base_url, max_concurrency=120) as session,
    ):
        await asyncio.gather(*(session.fetch_page(n, 10) for n in range(1, 121)))
    assert flying == 120


# Leaving a walk.


async def settled(*, tasks: bool = False) -> None:
    """Wait a few turns of the event loop; then no task is left but the test's own and the server's."""
    for _ in range(10):
        await asyncio.sleep(0)
    if tasks:
        return
    left = {
        task
        for task in asyncio.all_tasks()
        if task is not asyncio.current_task() and "RequestHandler" not in repr(task.get_coro())
    }
    assert left == set()


async def leave_by_break(chats: AsyncGenerator[Chat, None]) -> None:
    async for _ in chats:
        break


async def leave_by_error(chats: AsyncGenerator[Chat, None]) -> None:
    with pytest.raises(ZeroDivisionError):
        async for _ in chats:
            raise ZeroDivisionError


async def leave_by_aclose(chats: AsyncGenerator[Chat, None]) -> None:
    async with aclosing(chats):
        await anext(chats)


async def leave_by_cancellation(chats: AsyncGenerator[Chat, None]) -> None:
    async def consume() -> None:
        async for _ in chats:
            await asyncio.Event().wait()

    task = asyncio.create_task(consume())
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("leave", [leave_by_break, leave_by_error, leave_by_aclose, leave_by_cancellation])
async def test_an_abandoned_walk_leaves_nothing_behind(
    sim: PlugChatSimulator, plugchat: PlugChatSession, leave: Any
) -> None:
    """No task, no open request; the session works on, over the same connection."""
    await leave(plugchat.iter_chats(100))
    gc.collect()
    await settled()
    assert len(sim.requests) == 1
    assert await plugchat.list_chats() == list(sim.chats)
    assert sim._runner is not None
    assert sim._runner.server is not None
    assert len(sim._runner.server.connections) == 1


async def test_cancelling_a_request_frees_its_slot(sim: PlugChatSimulator) -> None:
    """After ten cancelled requests at max_concurrency=1 the eleventh is answered."""
    async with PlugChatSession(sim.token, base_url=sim.base_url, max_concurrency=1) as session:
        for _ in range(10):
            sim.script(Fault.hang())
            task = asyncio.create_task(session.fetch_page(1, 10))
            asked_before = len(sim.requests)
            async with asyncio.timeout(5):
                while len(sim.requests) == asked_before:
                    await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert len((await session.fetch_page(1, 10)).chats) == 10
        await settled()


@pytest.mark.parametrize("steps", range(30))
async def test_cancelling_at_any_step_leaves_the_session_usable(sim: PlugChatSimulator, steps: int) -> None:
    """Cancelled after so many turns of the event loop, wherever the walk stands then."""
    fake = FakeTime()
    async with PlugChatSession(sim.token, base_url=sim.base_url, max_concurrency=1, clock=fake.clock) as session:
        sim.script(Fault.status(503))
        task = asyncio.create_task(session.list_chats(100))
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        await settled()
        assert await session.list_chats(100) == list(sim.chats)


async def test_closing_a_session_during_a_request(sim: PlugChatSimulator) -> None:
    """The request ends with an error of ours, not with aiohttp's, and is not repeated on the closed session."""
    sim.script(Fault.hang())
    session = await PlugChatSession(sim.token, base_url=sim.base_url, clock=FakeTime().clock).open()
    task = asyncio.create_task(session.fetch_page(1, 10))
    async with asyncio.timeout(5):
        while not sim.requests:
            await asyncio.sleep(0)
        await session.close()
        with pytest.raises(PlugChatError):
            await task
    assert len(sim.requests) == 1


async def test_closing_a_session_during_a_walk(plugchat: PlugChatSession) -> None:
    """The next page says that the session is closed."""
    chats = plugchat.iter_chats(100)
    for _ in range(100):
        await anext(chats)
    await plugchat.close()
    with pytest.raises(SessionStateError, match="the session is closed") as caught:
        await anext(chats)
    assert (caught.value.page, caught.value.page_size) == (2, 100)


async def test_a_failing_progress_callback_ends_the_walk(sim: PlugChatSimulator, plugchat: PlugChatSession) -> None:
    """It is the user's own error, and comes out as it is."""

    def broken(_: Page) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await plugchat.list_chats(on_page=broken)
    assert len(await plugchat.list_chats()) == 250


async def test_an_unfinished_answer_is_no_page() -> None:
    """The end of the list is a short page, never an empty or a broken body."""
    async with (
        RawServer(answering(http(b""))) as server,
        PlugChatSession("s3cret", base_url=server.base_url, clock=FakeTime().clock) as session,
    ):
        with pytest.raises(PlugChatError, match="an empty body"):
            await session.list_chats()
