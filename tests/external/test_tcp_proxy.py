"""The simulator's answers, over a TCP connection that is slow, breaks off or drips."""

import asyncio
import ssl
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trustme

from plugchat_async import (
    ConnectionFailedError,
    PlugChatSession,
    RequestTimeoutError,
    RetryPolicy,
    SessionStateError,
    WalkReport,
)
from plugchat_async.testing import PlugChatSimulator
from plugchat_async.testing.dialects import write_page
from support.fakes import FakeTime, RawServer, answering, http
from support.peers import HONEST, TcpProxy, Trouble
from support.traits import KNOWN_SERVER

# In bytes of an answer: nothing, half a status line, half a head, the head and some of the body.
IN_NOTHING, IN_STATUS_LINE, IN_HEAD, IN_BODY = 0, 12, 60, 5000
CUTS = [
    pytest.param(Trouble(cut=IN_NOTHING), "closed", id="nothing-closed"),
    pytest.param(Trouble(cut=IN_NOTHING, reset=True), "reset", id="nothing-reset"),
    pytest.param(Trouble(cut=IN_STATUS_LINE), "closed", id="status-line-closed"),
    pytest.param(Trouble(cut=IN_STATUS_LINE, reset=True), "reset", id="status-line-reset"),
    pytest.param(Trouble(cut=IN_HEAD), "closed", id="head-closed"),
    pytest.param(Trouble(cut=IN_HEAD, reset=True), "reset", id="head-reset"),
    pytest.param(Trouble(cut=IN_BODY), "truncated", id="body-closed"),
    pytest.param(Trouble(cut=IN_BODY, reset=True), "truncated", id="body-reset"),
]


@asynccontextmanager
async def proxied(
    sim: PlugChatSimulator, *troubles: Trouble, rest: Trouble = HONEST, **options: Any
) -> AsyncGenerator[tuple[TcpProxy, PlugChatSession]]:
    """A proxy to the simulator, and a session through it."""
    options.setdefault("clock", FakeTime().clock)
    options.setdefault("server_traits", KNOWN_SERVER)
    async with TcpProxy(int(sim.base_url.rpartition(":")[2]), *troubles, rest=rest) as proxy:
        base_url = f"http://127.0.0.1:{proxy.port}"
        async with PlugChatSession(sim.token, base_url=base_url, **options) as session:
            yield proxy, session


async def test_a_walk_goes_over_one_connection(sim: PlugChatSimulator) -> None:
    """Through a proxy that does no harm, page after page over the connection that is open."""
    async with proxied(sim) as (proxy, session):
        assert await session.list_chats(page_size=10) == list(sim.chats)
    assert (proxy.connections, len(sim.requests)) == (1, 27)


async def test_pages_ahead_share_connections(sim: PlugChatSimulator) -> None:
    """With prefetch there are no more connections than pages in flight."""
    async with proxied(sim) as (proxy, session):
        assert await session.list_chats(page_size=5, prefetch=4) == list(sim.chats)
    assert 1 < proxy.connections <= 5


@pytest.mark.parametrize(("trouble", "reason"), CUTS)
async def test_an_answer_that_always_breaks_off(sim: PlugChatSimulator, trouble: Trouble, reason: str) -> None:
    """Three connections, three requests, and an error that says how they ended."""
    fake = FakeTime()
    async with proxied(sim, rest=trouble, clock=fake.clock) as (proxy, session):
        with pytest.raises(ConnectionFailedError) as caught:
            await session.fetch_page(1, 100)
    assert caught.value.reason == reason
    assert len(caught.value.attempts) == proxy.connections == len(sim.requests) == 3
    assert fake.sleeps == [0.25, 0.5]
    assert sim.token not in f"{caught.value} {caught.value!r}"


@pytest.mark.parametrize(("trouble", "reason"), CUTS)
async def test_an_answer_that_breaks_off_once(sim: PlugChatSimulator, trouble: Trouble, reason: str) -> None:
    """One retry, for the page that broke; the walk gives all chats."""
    fake = FakeTime()
    async with proxied(sim, trouble, clock=fake.clock) as (proxy, session):
        assert await session.list_chats() == list(sim.chats)
    assert [request.page for request in sim.requests] == ["1", "1", "2", "3"]
    assert proxy.connections == 2
    assert fake.sleeps == [0.25]


async def test_a_connection_that_breaks_off_in_the_middle_of_a_walk(sim: PlugChatSimulator) -> None:
    """The page that it held is asked for again over another connection, no other page is."""
    async with proxied(sim, Trouble(cut=100_000)) as (proxy, session):
        reports: list[WalkReport] = []
        assert await session.list_chats(page_size=1, on_report=reports.append) == list(sim.chats)
    assert proxy.connections == 2
    assert len(sim.requests) == 252 + 1
    assert reports[0].requests == 252
    assert reports[0].verified


async def test_connections_that_break_off_under_pages_ahead(sim: PlugChatSimulator) -> None:
    """Each broken connection costs one request, and no chat; order stays."""
    troubles = [Trouble(cut=2000 * n, reset=n % 2 == 0) for n in range(1, 7)]
    async with proxied(sim, *troubles) as (proxy, session):
        reports: list[WalkReport] = []
        chats = await session.list_chats(page_size=10, prefetch=4, on_report=reports.append)
    assert chats == list(sim.chats)
    assert len(sim.requests) == reports[0].requests + 6
    assert proxy.connections > 6


async def test_an_answer_that_is_late_but_in_time(sim: PlugChatSimulator) -> None:
    """A slow answer is waited for, not repeated."""
    async with proxied(sim, Trouble(delay=0.1)) as (proxy, session):
        assert await session.list_chats() == list(sim.chats)
    assert (proxy.connections, len(sim.requests)) == (1, 3)


async def test_an_answer_that_is_too_late_once(sim: PlugChatSimulator) -> None:
    """It is given up after the timeout, asked for again over another connection, and never read."""
    async with proxied(sim, Trouble(delay=30.0), timeout=0.5) as (proxy, session):
        assert await session.list_chats() == list(sim.chats)
    assert proxy.connections == 2
    assert [request.page for request in sim.requests] == ["1", "1", "2", "3"]


async def test_answers_that_are_always_too_late(sim: PlugChatSimulator) -> None:
    """A timeout for each attempt, and an error that says how long was waited."""
    async with proxied(sim, rest=Trouble(delay=30.0), timeout=0.1) as (proxy, session):
        with pytest.raises(RequestTimeoutError, match=r"no complete answer within 0\.1 s") as caught:
            await session.fetch_page(1, 100)
    assert len(caught.value.attempts) == proxy.connections == 3


@pytest.mark.parametrize("drip", [1, 7, 1000])
async def test_a_dripping_answer_is_put_together(sim: PlugChatSimulator, drip: int) -> None:
    """However small the pieces, the page is the same."""
    async with proxied(sim, rest=Trouble(drip=drip)) as (proxy, session):
        page = await session.fetch_page(1, 20)
    assert page.chats == sim.chats[:20]
    assert proxy.connections == 1


@pytest.mark.parametrize("drip", [1, 100], ids=["in the head", "in the body"])
async def test_the_timeout_bounds_a_dripping_answer(sim: PlugChatSimulator, drip: int) -> None:
    """It counts from the request to the last byte: bytes that come in between do not put it off."""
    page = write_page(sim.chats, "gateway")
    began = time.monotonic()
    async with proxied(sim, rest=Trouble(drip=drip, pause=0.02), timeout=0.15) as (proxy, session):
        with pytest.raises(RequestTimeoutError) as caught:
            await session.fetch_page(1, 250)
    assert len(caught.value.attempts) == proxy.connections == 3
    # The whole page would take longer.
    assert 3 * 0.15 <= time.monotonic() - began < len(page) / drip * 0.02


async def test_a_walk_goes_on_where_the_connection_was_lost(sim: PlugChatSimulator) -> None:
    """The error's checkpoint goes on behind what was yielded, without the troubles that are over."""
    dead = Trouble(cut=0)
    async with proxied(sim, Trouble(cut=20_000), dead, retry=RetryPolicy(attempts=2)) as (proxy, session):
        chats = []
        with pytest.raises(ConnectionFailedError) as caught:
            async for chat in session.iter_chats(page_size=10):
                chats.append(chat)
        assert 0 < len(chats) < 250
        rest = await session.list_chats(resume=caught.value.checkpoint)
    assert chats + rest == list(sim.chats)
    assert proxy.connections == 3


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@asynccontextmanager
async def proxied_tls(authority: trustme.CA, trouble: Trouble) -> AsyncGenerator[tuple[RawServer, PlugChatSession]]:
    """A TLS server with 2000 chats behind a proxy, whose first connection has a trouble, and a session."""
    theirs, ours = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("localhost").configure_cert(theirs)
    authority.configure_trust(ours)
    page = b"[%s]" % b",".join(b'{"phone":"%d"}' % number for number in range(1, 2001))
    async with (
        RawServer(answering(http(page), close=False), ssl_context=theirs) as server,
        TcpProxy(server.port, trouble) as proxy,
        PlugChatSession(
            "s3cret", base_url=f"https://localhost:{proxy.port}", clock=FakeTime().clock, ssl_context=ours
        ) as session,
    ):
        yield server, session
        assert proxy.connections == 2


@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
@pytest.mark.parametrize(
    ("cut", "requests"),
    [(0, 1), (300, 1), (25_000, 2)],
    ids=["before the handshake", "in the handshake", "in the body"],
)
async def test_a_tls_connection_that_breaks_off_once(
    authority: trustme.CA, cut: int, requests: int, reset: bool
) -> None:
    """One retry; in the handshake no request was sent yet, and an end without TLS's own goodbye is no end of a body."""
    async with proxied_tls(authority, Trouble(cut=cut, reset=reset)) as (server, session):
        assert len((await session.fetch_page(1, 2000)).chats) == 2000
    assert len(server.requests) == requests


async def test_closing_the_session_under_a_dripping_answer(sim: PlugChatSimulator) -> None:
    """Nothing hangs and no connection stays: the task that was waiting gets an error."""
    async with proxied(sim, rest=Trouble(drip=1, pause=0.01)) as (proxy, session):
        task = asyncio.create_task(session.fetch_page(1, 100))
        async with asyncio.timeout(10):
            while not proxy.connections:
                await asyncio.sleep(0)
            await session.close()
            with pytest.raises(SessionStateError, match="the session is closed"):
                await task
