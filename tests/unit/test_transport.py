import asyncio
import errno
import gzip
import socket
import ssl
import subprocess
import sys
import textwrap
import tracemalloc
import zlib
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import Any

import aiohttp
import pytest
import trustme
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.client_reqrep import ConnectionKey
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from plugchat_async import (
    Clock,
    ConfigurationError,
    ConnectionFailedError,
    MethodNotAllowedError,
    NotJSONError,
    Page,
    PlugChatError,
    PlugChatSession,
    RequestTimeoutError,
    ResponseTooLargeError,
    RetryPolicy,
    ServerError,
    SessionStateError,
    UnexpectedStatusError,
)
from plugchat_async._http.aiohttp_errors import FILES_HINT, translate
from plugchat_async._http.proxy import Proxies
from plugchat_async._http.request import Request, RequestBuilder, RequestTemplate
from plugchat_async._http.response import Response
from plugchat_async._http.secret import Secret
from plugchat_async._http.transport import PRIVATE_NAMES, AttemptFailed, Transport
from support.fakes import FakeTime, RawServer, answering, http, reset, run_apart
from support.proxies import BASE_URL, CREDENTIALS, ConnectProxy, tls_of
from support.seen import texts

ONE_CHAT = b'[{"phone":"1"}]'


async def test_aiohttp_still_has_the_private_names_that_we_use() -> None:
    """The first test here: if it fails, aiohttp has changed, and requests over an injected session go wrong."""
    assert PRIVATE_NAMES == ("_loop", "_middlewares", "_default_proxy", "_default_proxy_auth")

    async def middleware(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        return await handler(request)

    with pytest.warns(DeprecationWarning):
        auth = aiohttp.BasicAuth("user", "password")
    with pytest.warns(DeprecationWarning):
        client = aiohttp.ClientSession(middlewares=(middleware,), proxy="http://proxy.example", proxy_auth=auth)
    async with client:
        values = [getattr(client, name, "no such attribute") for name in PRIVATE_NAMES]
    assert values == [asyncio.get_running_loop(), (middleware,), "http://proxy.example", auth]


@asynccontextmanager
async def fetching(server: RawServer, **options: Any) -> AsyncGenerator[PlugChatSession]:
    """A session on `server` that waits for nothing."""
    options.setdefault("clock", FakeTime().clock)
    async with PlugChatSession("s3cret", base_url=server.base_url, **options) as session:
        yield session


async def fails(server: RawServer, **options: Any) -> PlugChatError:
    """The error of fetching a page from `server`."""
    async with fetching(server, **options) as session:
        with pytest.raises(PlugChatError) as caught:
            await session.fetch_page(1, 10)
    return caught.value


ONCE = RetryPolicy(attempts=1)


async def hang(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    """Answer nothing until the client closes the connection."""
    while not reader.at_eof():
        await reader.read(1024)
    raise ConnectionResetError


async def test_one_get_is_one_request() -> None:
    """Exactly the bytes of one request, over one connection."""
    async with RawServer(answering(http(ONE_CHAT))) as server, fetching(server) as session:
        page = await session.fetch_page(1, 10)
    assert page.raw == ONE_CHAT
    assert server.connections == len(server.requests) == 1
    assert server.requests[0].startswith(b"GET /api/whatsapp/chats?page=1&pageSize=10 HTTP/1.1\r\n")


@pytest.mark.parametrize("reason", ["closed", "reset"])
async def test_a_lost_connection_is_not_repeated_behind_our_back(reason: str) -> None:
    """aiohttp's own second try is kept from happening: attempts=1 is one request."""

    async def lose(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if reason == "reset":
            reset(writer)
        writer.close()

    async with RawServer(lose) as server:
        error = await fails(server, retry=ONCE)
    assert isinstance(error, ConnectionFailedError)
    assert error.reason == reason
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"", "closed"),
        (b"HTTP/1.1 2", "closed"),
        (b"this is not HTTP\r\n\r\n", "malformed"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n", "malformed"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n[]", "malformed"),
        (b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 9000 + b"\r\n\r\n", "malformed"),
        (b"HTTP/1.1 200 OK\r\n" + b"".join(b"X-%d: x\r\n" % i for i in range(129)) + b"\r\n", "malformed"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n[", "truncated"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n[   ", "truncated"),
        (http(b"not gzip", "Content-Encoding: gzip"), "truncated"),
    ],
)
async def test_broken_http_is_a_failed_connection(answer: bytes, reason: str) -> None:
    """Never "HTTP 400", which aiohttp makes of what it can't parse; and retried."""
    async with RawServer(answering(answer)) as server:
        error = await fails(server)
    assert isinstance(error, ConnectionFailedError)
    assert (error.reason, error.status) == (reason, None)
    assert len(server.requests) == len(error.attempts) == 3


async def test_a_refused_connection() -> None:
    """Nobody listens: three attempts, and a hint to look at the network."""
    async with RawServer(answering(b"")) as server:
        port = server.port
    fake = FakeTime()
    async with PlugChatSession("s3cret", base_url=f"http://127.0.0.1:{port}", clock=fake.clock) as session:
        with pytest.raises(ConnectionFailedError, match=f"127.0.0.1:{port}: the connection was refused") as caught:
            await session.fetch_page(1, 10)
    assert caught.value.reason == "refused"
    assert fake.sleeps == [0.25, 0.5]
    assert caught.value.url == f"http://127.0.0.1:{port}/api/whatsapp/chats?page=1&pageSize=10"


async def test_an_unknown_host() -> None:
    """A name that can't be resolved is named, with a hint to look at DNS."""

    class NoNames(AbstractResolver):
        async def resolve(
            self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
        ) -> list[ResolveResult]:
            raise OSError(socket.EAI_NONAME, "Name or service not known")

        async def close(self) -> None:
            """Nothing is held."""

    connector = aiohttp.TCPConnector(resolver=NoNames())
    async with (
        aiohttp.ClientSession(connector=connector) as client,
        PlugChatSession(
            "s3cret", base_url="https://nowhere.example", client_session=client, clock=FakeTime().clock
        ) as session,
    ):
        with pytest.raises(ConnectionFailedError, match=r"nowhere\.example: the host name can't be resolved") as caught:
            await session.fetch_page(1, 10)
    assert caught.value.reason == "dns"
    assert "DNS" in caught.value.hint
    assert len(caught.value.attempts) == 3


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


def server_tls(authority: trustme.CA, host: str = "localhost") -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(host).configure_cert(context)
    return context


def client_tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


async def test_tls_with_an_authority_of_ones_own(authority: trustme.CA) -> None:
    """An ssl_context that trusts the authority is used."""
    async with (
        RawServer(answering(http(ONE_CHAT)), ssl_context=server_tls(authority)) as server,
        fetching(server, ssl_context=client_tls(authority)) as session,
    ):
        assert len((await session.fetch_page(1, 10)).chats) == 1


@pytest.mark.parametrize("fault", ["unknown authority", "wrong host"])
async def test_a_bad_certificate_is_never_retried(authority: trustme.CA, fault: str) -> None:
    """It will not get better; and the token was not sent."""
    wrong_host = fault == "wrong host"
    context = server_tls(authority, "other.example" if wrong_host else "localhost")
    async with RawServer(answering(http(ONE_CHAT)), ssl_context=context) as server:
        error = await fails(server, ssl_context=client_tls(authority) if wrong_host else None)
    assert isinstance(error, ConnectionFailedError)
    assert error.reason == "certificate"
    assert len(error.attempts) == 1
    assert server.requests == []
    assert "ssl_context" in error.hint


async def test_plain_http_on_a_tls_port() -> None:
    """A handshake that fails is told from a certificate that does not verify."""
    async with RawServer(answering(http(ONE_CHAT))) as server:
        base_url = server.base_url.replace("http:", "https:")
        async with PlugChatSession("s3cret", base_url=base_url, clock=FakeTime().clock) as session:
            task = asyncio.ensure_future(session.fetch_page(1, 10))
            with pytest.raises(ConnectionFailedError) as caught:
                # The plain server waits for a request's end that a handshake does not have.
                async with asyncio.timeout(5):
                    while not task.done():
                        for connection in list(server._tasks):
                            connection.cancel()
                        await asyncio.sleep(0.01)
                await task
    assert caught.value.reason in ("tls", "unreachable", "closed", "reset")
    assert server.requests == []


async def test_a_hanging_server_times_out() -> None:
    """No answer within the timeout: an error of ours, retried, each attempt with its own clock."""

    async with RawServer(hang) as server:
        error = await fails(server, timeout=0.1)
        async with asyncio.timeout(5):
            while server.open_connections:
                await asyncio.sleep(0)
    assert isinstance(error, RequestTimeoutError)
    assert error.message.startswith("no complete answer within 0.1 s")
    assert len(error.attempts) == 3


async def test_a_dripping_body_times_out() -> None:
    """The timeout is for the whole answer, not for each byte."""

    async def drip(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n[")
        while True:
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.005)

    async with RawServer(drip) as server:
        error = await fails(server, timeout=0.05, retry=ONCE)
    assert isinstance(error, RequestTimeoutError)


async def test_an_attempt_gets_no_more_time_than_the_deadline_leaves() -> None:
    """The deadline bounds a page as a whole, attempts included."""

    async with RawServer(hang) as server:
        error = await fails(server, timeout=30.0, retry=RetryPolicy(deadline=0.03))
    assert isinstance(error, RequestTimeoutError)
    assert "within 0.03 s" in error.message


async def test_a_status_is_told_even_if_its_body_breaks() -> None:
    """503 with half a body is a 503."""
    async with RawServer(answering(b"HTTP/1.1 503 Busy\r\nContent-Length: 100\r\n\r\nhalf")) as server:
        error = await fails(server, retry=ONCE)
    assert isinstance(error, ServerError)
    assert error.status == 503


async def test_a_long_error_body_is_not_read_to_its_end() -> None:
    """Of an endless error page only the beginning is read."""

    async def endless(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Type: text/html\r\n\r\n")
        while True:
            writer.write(b"<p>" * 1000)
            await writer.drain()

    async with RawServer(endless) as server:
        error = await fails(server)
    assert isinstance(error, UnexpectedStatusError)
    assert len(error.message) < 300


async def test_an_answer_in_another_protocol_is_not_read() -> None:
    """101 without asking: what follows is no body."""
    answer = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\nwhatever"
    async with RawServer(answering(answer, close=False)) as server:
        error = await fails(server)
    assert isinstance(error, UnexpectedStatusError)
    assert error.status == 101


@pytest.mark.parametrize(
    "answer",
    [
        http(b"[" + b" " * 5000 + b"]"),
        b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000000000\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n[" + b" " * 5000 + b"]",
        http(gzip.compress(b"[" + b" " * 5000 + b"]"), "Content-Encoding: gzip"),
    ],
    ids=["length", "absurd length", "no length", "gzip"],
)
async def test_a_body_over_the_limit_is_refused(answer: bytes) -> None:
    """The limit counts decompressed bytes, and is an error that names it; it is not retried."""
    async with RawServer(answering(answer)) as server:
        error = await fails(server, max_response_bytes=4096)
    assert isinstance(error, ResponseTooLargeError)
    assert (error.limit, error.status) == (4096, 200)
    assert "max_response_bytes=4096" in error.message
    assert len(server.requests) == 1


async def test_a_body_of_exactly_the_limit_is_read() -> None:
    """The limit is the largest body that is taken."""
    async with RawServer(answering(http(ONE_CHAT))) as server:
        async with fetching(server, max_response_bytes=len(ONE_CHAT)) as session:
            assert (await session.fetch_page(1, 10)).raw == ONE_CHAT
        assert isinstance(await fails(server, max_response_bytes=len(ONE_CHAT) - 1), ResponseTooLargeError)


@pytest.mark.slow
async def test_a_gzip_bomb_does_not_fill_the_memory() -> None:
    """256 MB of blanks in 260 kB stop at the limit of 1 MiB."""
    bomb = gzip.compress(b" " * 256_000_000, 9)
    async with RawServer(answering(http(bomb, "Content-Encoding: gzip"))) as server:
        tracemalloc.start()
        try:
            error = await fails(server, max_response_bytes=1024 * 1024)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert isinstance(error, ResponseTooLargeError)
    assert peak < 16 * 1024 * 1024


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
async def test_a_compressed_page_is_read(encoding: str) -> None:
    """What Accept-Encoding names is understood, and `raw` is the decompressed body."""
    body = gzip.compress(ONE_CHAT) if encoding == "gzip" else zlib.compress(ONE_CHAT)
    async with RawServer(answering(http(body, f"Content-Encoding: {encoding}"))) as server, fetching(server) as session:
        assert (await session.fetch_page(1, 10)).raw == ONE_CHAT


async def test_a_silently_cut_body_is_retried() -> None:
    """HTTP/1.0 without a length: only the JSON shows that the body was cut."""
    cut = b'HTTP/1.0 200 OK\r\n\r\n[{"phone":"1"},{"pho'
    async with RawServer(answering(cut, http(ONE_CHAT))) as server, fetching(server) as session:
        assert len((await session.fetch_page(1, 10)).chats) == 1
    assert len(server.requests) == 2
    async with RawServer(answering(cut)) as server:
        error = await fails(server)
    assert isinstance(error, NotJSONError)
    assert len(error.attempts) == 3


async def test_a_stale_connection_is_replaced_at_once_and_for_free() -> None:
    """An idle connection that the server has closed costs neither a wait nor an attempt."""
    closing = asyncio.Event()

    async def once(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(server.requests) == 2:
            writer.close()  # as request 2 arrives on the connection of request 1
        else:
            writer.write(http(ONE_CHAT))
            await writer.drain()
            closing.set()

    fake = FakeTime()
    async with RawServer(once) as server, fetching(server, clock=fake.clock, retry=ONCE) as session:
        await session.fetch_page(1, 10)
        page = await session.fetch_page(2, 10)
    assert isinstance(page, Page)
    assert (len(server.requests), server.connections) == (3, 2)
    assert fake.sleeps == []


async def test_an_answer_that_comes_unasked_is_not_taken_for_the_next_one() -> None:
    """It may be another account's: the idle connection is closed, and another one is made."""
    unasked = http(b'[{"phone":"2"}]')
    idle, late = asyncio.Event(), asyncio.Event()

    async def twice(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(http(ONE_CHAT))
        if len(server.requests) == 1:
            await idle.wait()
            writer.write(unasked)
            await writer.drain()
            late.set()

    async with RawServer(twice) as server, fetching(server) as session:
        await session.fetch_page(1, 10)
        idle.set()
        await late.wait()
        for _ in range(10):
            await asyncio.sleep(0)
        page = await session.fetch_page(2, 10)
    assert page.raw == ONE_CHAT
    assert (len(server.requests), server.connections) == (2, 2)


async def test_only_one_stale_connection_is_replaced_for_free() -> None:
    """A server that always closes is not asked without end."""

    async def first_only(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(server.requests) == 1:
            writer.write(http(ONE_CHAT))
            await writer.drain()
        else:
            writer.close()

    fake = FakeTime()
    async with RawServer(first_only) as server, fetching(server, clock=fake.clock) as session:
        await session.fetch_page(1, 10)
        with pytest.raises(ConnectionFailedError) as caught:
            await session.fetch_page(2, 10)
    assert len(server.requests) == 1 + 1 + 3
    assert len(caught.value.attempts) == 4
    assert fake.sleeps == [0.25, 0.5]


async def test_connections_are_kept_alive() -> None:
    """Pages one after another use one connection; an error with a body that was read does, too."""
    answers = answering(http(ONE_CHAT), http(b"no", status="404 Not Found"), http(ONE_CHAT), close=False)
    async with RawServer(answers) as server, fetching(server) as session:
        await session.fetch_page(1, 10)
        with pytest.raises(UnexpectedStatusError):
            await session.fetch_page(2, 10)
        await session.fetch_page(3, 10)
    assert (server.connections, len(server.requests)) == (1, 3)


async def test_a_borrowed_session_keeps_its_own_middlewares() -> None:
    """They run, and aiohttp's hidden second try stays away all the same."""
    seen: list[str] = []

    async def theirs(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        seen.append(str(request.url))
        return await handler(request)

    async with (
        RawServer(answering(b"")) as server,
        aiohttp.ClientSession(middlewares=(theirs,)) as client,
        fetching(server, client_session=client, retry=ONCE) as session,
    ):
        with pytest.raises(ConnectionFailedError):
            await session.fetch_page(1, 10)
    assert len(seen) == len(server.requests) == 1


async def test_a_borrowed_sessions_settings_do_not_change_the_meaning() -> None:
    """raise_for_status, auto_decompress, timeout and base_url of the borrowed session don't matter."""
    async with (
        RawServer(
            answering(http(gzip.compress(ONE_CHAT), "Content-Encoding: gzip"), http(b"no", status="404 Not Found"))
        ) as server,
        aiohttp.ClientSession(
            base_url="http://elsewhere.example/",
            raise_for_status=True,
            auto_decompress=False,
            timeout=aiohttp.ClientTimeout(total=1e-9),
        ) as client,
        fetching(server, client_session=client) as session,
    ):
        assert (await session.fetch_page(1, 10)).raw == ONE_CHAT
        with pytest.raises(UnexpectedStatusError):
            await session.fetch_page(1, 10)
    assert client.closed


async def test_a_borrowed_session_is_not_closed() -> None:
    """It was lent, and works on; its connector too."""
    async with RawServer(answering(http(ONE_CHAT), close=False)) as server, aiohttp.ClientSession() as client:
        async with fetching(server, client_session=client) as session:
            await session.fetch_page(1, 10)
        assert not client.closed
        async with client.get(server.base_url) as answer:
            assert answer.status == 200
    assert server.connections == 1


async def test_a_borrowed_session_that_its_owner_closed() -> None:
    """An error that says who closed what."""
    async with RawServer(answering(http(ONE_CHAT))) as server:
        client = aiohttp.ClientSession()
        async with fetching(server, client_session=client) as session:
            await client.close()
            with pytest.raises(SessionStateError, match="the injected client_session is closed"):
                await session.fetch_page(1, 10)


async def test_a_borrowed_session_of_another_event_loop() -> None:
    """Found when the session is opened, before anything is sent."""
    other = asyncio.new_event_loop()

    async def make() -> aiohttp.ClientSession:
        return aiohttp.ClientSession()

    client = await asyncio.to_thread(other.run_until_complete, make())
    with pytest.raises(SessionStateError, match="client_session belongs to another event loop"):
        await PlugChatSession("s3cret", client_session=client).open()
    await asyncio.to_thread(other.run_until_complete, client.close())
    other.close()


async def test_a_bare_repair_takes_the_borrowed_sessions_proxy(authority: trustme.CA) -> None:
    """The way out of a closed network stays the way out. The password may be in aiohttp's deprecated argument."""

    async def theirs(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        request.headers["Content-Type"] = "text/plain"
        return await handler(request)

    answers = answering(http(b"", status="415 Unsupported Media Type"), http(ONE_CHAT))
    served, trusting = tls_of(authority)
    async with RawServer(answers, ssl_context=served) as server, ConnectProxy(server.port) as proxy:
        user, _, password = CREDENTIALS.partition(":")
        with pytest.warns(DeprecationWarning):
            client = aiohttp.ClientSession(
                proxy=f"http://{proxy.address}",
                proxy_auth=aiohttp.BasicAuth(user, password),
                middlewares=(theirs,),
                connector=aiohttp.TCPConnector(ssl=trusting),
            )
        async with client, PlugChatSession("s3cret", base_url=BASE_URL, client_session=client) as session:
            assert len((await session.fetch_page(1, 10)).chats) == 1
    assert [head.split(" ", 2)[1] for head in proxy.heads] == ["plugchat.example:443"] * 2


async def test_a_borrowed_sessions_own_tracing_sees_nothing_of_ours() -> None:
    """Its trace_request_ctx is what its owner expects."""
    seen: list[object] = []

    async def on_start(_: aiohttp.ClientSession, context: Any, __: object) -> None:
        seen.append(context.trace_request_ctx)

    trace = aiohttp.TraceConfig()
    trace.on_request_start.append(on_start)
    async with (
        RawServer(answering(http(ONE_CHAT))) as server,
        aiohttp.ClientSession(trace_configs=[trace]) as client,
        fetching(server, client_session=client) as session,
    ):
        await session.fetch_page(1, 10)
    assert seen == [None]


async def test_closing_stops_retries_over_a_borrowed_session() -> None:
    """One request before close(), none after."""
    async with RawServer(answering(http(b"", status="503 Busy"))) as server, aiohttp.ClientSession() as client:

        async def close(_: float) -> None:
            await session.close()

        session = PlugChatSession("s3cret", base_url=server.base_url, client_session=client, clock=Clock(sleep=close))
        async with session:
            with pytest.raises(SessionStateError, match="the session is closed") as caught:
                await session.fetch_page(1, 10)
    assert len(server.requests) == len(caught.value.attempts) == 1


async def test_odd_bytes_in_headers_can_be_printed() -> None:
    """What is not UTF-8 becomes the replacement character."""
    answer = b"HTTP/1.1 405 No\r\nAllow: G\xffT\r\nContent-Length: 0\r\n\r\n"
    async with RawServer(answering(answer)) as server:
        error = await fails(server)
    assert isinstance(error, MethodNotAllowedError)
    assert error.allow == ("G\ufffdT",)
    repr(error).encode()


async def test_a_borrowed_session_with_auth_of_its_own() -> None:
    """aiohttp refuses to send two kinds of authorization: ours to explain."""
    with pytest.warns(DeprecationWarning):
        client = aiohttp.ClientSession(auth=aiohttp.BasicAuth("user", "hunter2"))
    async with (
        RawServer(answering(http(ONE_CHAT))) as server,
        client,
        fetching(server, client_session=client) as session,
    ):
        with pytest.raises(ConfigurationError, match="must not have `auth`") as caught:
            await session.fetch_page(1, 10)
    assert "hunter2" not in str(caught.value)


async def test_a_middlewares_own_error_is_the_users() -> None:
    """What an injected session's code raises is not taken for the network's."""
    errors: list[Exception] = [RuntimeError("a bug of mine"), ValueError("a bug of mine"), KeyError("a bug of mine")]
    # Those of a session that it uses itself.
    errors += [RequestTimeoutError("a bug of mine"), ConnectionFailedError("a bug of mine")]

    async def broken(_: aiohttp.ClientRequest, __: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        raise errors[-1]

    async with (
        RawServer(answering(http(ONE_CHAT))) as server,
        aiohttp.ClientSession(middlewares=(broken,)) as client,
        fetching(server, client_session=client) as session,
    ):
        while errors:
            with pytest.raises(type(errors[-1]), match="a bug of mine") as caught:
                await session.fetch_page(1, 10)
            # Ours come out as they are, but without aiohttp's frames, which hold the headers.
            assert not isinstance(caught.value, PlugChatError) or "s3cret" not in "".join(texts(caught.value))
            errors.pop()


async def test_a_borrowed_session_that_is_closed_under_a_request() -> None:
    """aiohttp's RuntimeError becomes ours, and the next attempt is not made."""

    async def close(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        await client.close()
        raise RuntimeError("Session is closed")

    async with RawServer(answering(http(ONE_CHAT))) as server:
        client = aiohttp.ClientSession(middlewares=(close,))
        async with fetching(server, client_session=client) as session:
            with pytest.raises(SessionStateError, match="the injected client_session is closed"):
                await session.fetch_page(1, 10)


async def test_the_environments_proxies_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the token goes is said by the configuration, not by the shell; a borrowed session may see it otherwise."""
    monkeypatch.setenv("https_proxy", "http://localhost:9")
    monkeypatch.setenv("http_proxy", "http://localhost:9")
    monkeypatch.setenv("no_proxy", "")
    async with RawServer(answering(http(ONE_CHAT))) as server, fetching(server) as session:
        await session.fetch_page(1, 10)
    async with (
        aiohttp.ClientSession(trust_env=True) as client,
        PlugChatSession("s3cret", base_url=BASE_URL, client_session=client, retry=ONCE) as session,
    ):
        with pytest.raises(ConnectionFailedError, match="the proxy localhost:9 can't be reached"):
            await session.fetch_page(1, 10)
        own = session._transport._own
        assert own is not None
        assert own.trust_env


async def test_retries_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    """At INFO, with the page, what happened, and the wait."""
    caplog.set_level("INFO", logger="plugchat_async")
    async with (
        RawServer(answering(http(b"", status="503 Busy"), http(ONE_CHAT))) as server,
        fetching(server) as session,
    ):
        await session.fetch_page(7, 10)
    assert caplog.record_tuples == [
        (
            "plugchat_async.http",
            20,
            "page 7: HTTP 503 Service Unavailable: an empty body: retrying in 0.25 s",
        )
    ]


KEY = ConnectionKey("x.example", 443, True, True, None, None, None)
RESPONSE_ERROR = aiohttp.ClientResponseError(
    aiohttp.RequestInfo(URL("https://x.example"), "GET", CIMultiDictProxy(CIMultiDict())), (), status=400
)

UNREADABLE = aiohttp.ClientResponseError(
    RESPONSE_ERROR.request_info, (), status=400, message="Can not decode content-encoding: gzip"
)


@pytest.mark.parametrize(
    ("cause", "reason"),
    [
        (aiohttp.ClientConnectorCertificateError(KEY, ssl.SSLCertVerificationError()), "certificate"),
        (aiohttp.ClientConnectorCertificateError(KEY, ssl.CertificateError("x")), "certificate"),
        (aiohttp.ServerFingerprintMismatch(b"a", b"b", "x", 1), "certificate"),
        (aiohttp.ClientProxyConnectionError(KEY, ConnectionRefusedError()), "proxy"),
        (aiohttp.ClientConnectorDNSError(KEY, OSError()), "dns"),
        (aiohttp.ClientConnectorSSLError(KEY, OSError()), "tls"),
        (aiohttp.ClientConnectorError(KEY, ConnectionRefusedError()), "refused"),
        (aiohttp.ClientConnectorError(KEY, ConnectionResetError()), "tls"),
        (aiohttp.ClientConnectorError(KEY, ConnectionAbortedError()), "tls"),
        (aiohttp.ClientProxyConnectionError(KEY, ConnectionResetError()), "proxy"),
        (aiohttp.ClientConnectorError(KEY, OSError(101, "Network is unreachable")), "unreachable"),
        (aiohttp.ClientConnectorError(KEY, OSError(errno.EMFILE, "Too many open files")), "files"),
        (aiohttp.ClientConnectorDNSError(KEY, OSError(errno.ENFILE, "Too many open files in system")), "files"),
        (OSError(errno.EMFILE, "Too many open files"), "files"),
        (aiohttp.ClientPayloadError(), "truncated"),
        (aiohttp.ClientOSError(), "reset"),
        (aiohttp.ClientConnectionResetError(), "reset"),
        (OSError(), "reset"),
        (ssl.SSLError(), "reset"),
        (aiohttp.ServerDisconnectedError(), "closed"),
        (aiohttp.ClientConnectionError("Connector is closed"), "closed"),
        (RESPONSE_ERROR, "malformed"),
        (UNREADABLE, "malformed"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_each_of_aiohttps_errors_has_its_reason(cause: Exception, reason: str) -> None:
    """First match wins, where one is also another; the host is named, and no other word of aiohttp's is."""
    template = RequestTemplate("https://x.example", bare=True)
    error = translate(cause, RequestBuilder().build(template, Secret("s3cret"), 1, 10))
    assert isinstance(error, ConnectionFailedError)
    assert error.reason == reason
    assert error.message.startswith("x.example: ")
    assert (error.hint != ConnectionFailedError.advice) == (reason in ("certificate", "dns", "files", "proxy", "tls"))


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit of open files")
def test_too_many_open_files_are_not_the_servers_fault() -> None:
    """Neither where a name has to be resolved, nor at an address."""
    script = """
        import asyncio, resource
        from plugchat_async import ConnectionFailedError, PlugChatSession, RetryPolicy

        async def main():
            for host in ("http://127.0.0.1:9", "https://plugchat.example"):
                async with PlugChatSession("t0ken", base_url=host, retry=RetryPolicy(attempts=1)) as session:
                    await asyncio.to_thread(int)  # a thread may need a file
                    files = []
                    try:
                        while True:
                            files.append(open("/dev/null"))
                    except OSError:
                        pass
                    try:
                        await session.fetch_page(1, 10)
                    except ConnectionFailedError as error:
                        found = error.reason, "this process has too many open files" in str(error), error.hint
                    for file in files:
                        file.close()
                    print(*found)

        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
        asyncio.run(main())
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.splitlines() == [f"files True {FILES_HINT}"] * 2


@pytest.mark.parametrize(("encoding", "package"), [("br", "Brotli"), ("zstd", "backports.zstd")])
async def test_an_encoding_that_nobody_asked_for_is_named(
    monkeypatch: pytest.MonkeyPatch, encoding: str, package: str
) -> None:
    """Where its package is missing: the answer is valid, and the service is not down."""
    monkeypatch.setattr(f"aiohttp.http_parser.HAS_{'BROTLI' if encoding == 'br' else 'ZSTD'}", False)
    for status in ("200 OK", "503 Service Unavailable"):
        async with RawServer(answering(http(b"x", f"Content-Encoding: {encoding}", status=status))) as server:
            error = await fails(server)
        assert b"Accept-Encoding: gzip, deflate\r\n" in server.requests[0]
        assert len(server.requests) == 3  # the status is not known
        assert isinstance(error, ConnectionFailedError)
        assert error.reason == "encoding"
        assert f"the answer is compressed with {encoding}, which was not asked for" in error.message
        assert f"pip install {package}" in error.hint


async def test_of_a_long_error_body_64_kib_are_read() -> None:
    """Then the connection is given up instead of reading on."""
    sent = 0

    async def endless(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 404 Not Found\r\n\r\n")
        while not writer.is_closing():
            writer.write(b"x" * 65536)
            sent += 65536
            await writer.drain()

    async with RawServer(endless) as server:
        error = await fails(server, timeout=30.0)
    assert error.status == 404
    assert sent < 64 * 1024 * 1024


class Slow(Transport):
    """Takes some seconds for each attempt, without a network."""

    def __init__(self, seconds: float) -> None:
        super().__init__(borrowed=None, proxies=Proxies(), ssl_context=None, max_response_bytes=1)
        self.seconds = seconds

    async def _ask(self, client: aiohttp.ClientSession, request: Request, response: Response) -> None:
        await asyncio.sleep(self.seconds)
        raise aiohttp.ClientConnectionError


REQUEST = RequestBuilder().build(RequestTemplate("https://x.example"), Secret("s3cret"), 1, 10)


def timers() -> int:
    """How many timers the event loop still has to ring for."""
    loop = asyncio.get_running_loop()
    return sum(not timer.cancelled() for timer in getattr(loop, "_scheduled"))  # noqa: B009 - it is private


async def outcome(transport: Transport, timeout: float) -> tuple[str, float]:
    """What comes of an attempt, and after how many seconds."""
    clock = asyncio.get_running_loop().time
    started = clock()
    failed = await transport.send(REQUEST, timeout=timeout)
    assert isinstance(failed, AttemptFailed)
    return type(failed.error).__name__, round(clock() - started, 3)


def test_each_attempt_ends_at_its_own_time() -> None:
    """Whatever the order in which they began, and which of them were over before."""

    async def main() -> None:
        transport = Slow(25.0)
        transport.open()
        assert await asyncio.gather(*(outcome(transport, timeout) for timeout in (30.0, 10.0, 20.0, 0.0))) == [
            ("ConnectionFailedError", 25.0),
            ("RequestTimeoutError", 10.0),
            ("RequestTimeoutError", 20.0),
            ("RequestTimeoutError", 0.0),
        ]
        await asyncio.sleep(1.1)  # the last look at the clock
        assert timers() == 0
        await transport.close()

    run_apart(main(), virtually=True)


def test_closing_ends_what_waits_and_leaves_no_timer() -> None:
    """Attempts and waits alike; and what begins only then ends at once."""

    async def main() -> None:
        transport = Slow(1e6)
        transport.open()
        attempts = [asyncio.create_task(outcome(transport, timeout)) for timeout in (30.0, 20.0)]
        waits = [asyncio.create_task(transport.wait(asyncio.sleep, 1e6)) for _ in range(2)]
        await asyncio.sleep(0)
        await transport.close()
        await transport.close()
        assert await asyncio.gather(*attempts) == [("SessionStateError", 0.0)] * 2
        for ended in await asyncio.gather(*waits, return_exceptions=True):
            assert isinstance(ended, SessionStateError)
            assert (ended.__context__, ended.__cause__) == (None, None)
        assert await outcome(transport, 30.0) == ("SessionStateError", 0.0)
        with pytest.raises(SessionStateError, match="the session is closed"):
            await transport.wait(asyncio.sleep, 1e6)
        assert timers() == 0
        assert not transport._running

    run_apart(main(), virtually=True)


def test_a_task_that_closes_the_transport_in_its_own_wait_is_not_interrupted() -> None:
    """Neither then nor later."""

    async def main() -> None:
        transport = Slow(0.0)
        transport.open()

        async def close(seconds: float) -> None:
            await transport.close()
            await asyncio.sleep(seconds)

        await transport.wait(close, 1.0)
        await asyncio.sleep(1.0)
        assert timers() == 0

    run_apart(main(), virtually=True)


def test_a_cancelled_attempt_stays_cancelled() -> None:
    """Before its timeout, and in the same turn of the event loop: its canceller sees no timeout."""

    async def main() -> None:
        transport = Slow(10.0)
        transport.open()
        for at in (1.0, 2.0):
            for work in (outcome(transport, 2.0), transport.wait(asyncio.sleep, 10.0)):
                task = asyncio.create_task(work)
                await asyncio.sleep(0)
                asyncio.get_running_loop().call_at(asyncio.get_running_loop().time() + at, task.cancel)
                with pytest.raises(asyncio.CancelledError):
                    await task
        task = asyncio.create_task(transport.wait(asyncio.sleep, 10.0))
        await asyncio.sleep(0)
        await transport.close()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not transport._running

    run_apart(main(), virtually=True)


def test_what_a_clock_raises_when_it_is_ended_comes_through() -> None:
    """And its task is not cancelled for good."""

    async def main() -> None:
        transport = Slow(0.0)
        transport.open()

        async def stubborn(seconds: float) -> None:
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(seconds)
            raise KeyError

        async def waiting() -> None:
            with pytest.raises(KeyError):
                await transport.wait(stubborn, 10.0)
            task = asyncio.current_task()
            assert task is not None
            assert task.cancelling() == 0
            await asyncio.sleep(1.0)

        task = asyncio.create_task(waiting())
        await asyncio.sleep(0)
        await transport.close()
        await task

    run_apart(main(), virtually=True)


def test_an_attempt_within_its_callers_timeout() -> None:
    """The inner one is not taken for the outer one, nor the other way round."""

    async def main() -> None:
        transport = Slow(10.0)
        transport.open()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5.0):
                assert await outcome(transport, 3.0) == ("RequestTimeoutError", 3.0)
                await asyncio.sleep(10.0)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5.0):
                await outcome(transport, 7.0)
        await transport.close()

    run_apart(main(), virtually=True)
