"""Proxies: who gets the password and the token, how often, and who is blamed."""

import asyncio
import pickle
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import nullcontext
from typing import Any

import aiohttp
import pytest
import trustme

from plugchat_async import (
    Account,
    ConfigurationError,
    ConnectionFailedError,
    Page,
    PlugChatSession,
    ProxyAuthenticationError,
    RetryPolicy,
    fetch_many,
)
from plugchat_async._http.proxy import Proxy
from plugchat_async._http.secret import Secret
from support.fakes import FakeTime, RawServer, answering, http, what_frames_show
from support.proxies import BASE_URL, HOST, ConnectProxy, TcpServer, tls_of
from support.seen import texts

TOKEN = "s3cr3t-t0ken"
ONE_CHAT = http(b'[{"phone":"1"}]')
AUTHORITY = trustme.CA()
SERVED, TRUSTING = tls_of(AUTHORITY)
WRONG = "user:wr0ng-passw0rd"
ENCODED = "dXNlcjp3cjBuZy1wYXNzdzByZA=="


@pytest.fixture
async def server() -> AsyncIterator[RawServer]:
    async with RawServer(answering(ONE_CHAT, close=False), ssl_context=SERVED) as server:
        yield server


def through(proxy: str, **options: Any) -> PlugChatSession:
    """A session that asks a host which only the proxy can reach."""
    options = {"base_url": BASE_URL, "ssl_context": TRUSTING, "clock": FakeTime().clock, **options}
    return PlugChatSession(TOKEN, proxy=proxy, **options)


async def test_user_name_and_password_are_sent_to_the_proxy_only(server: RawServer) -> None:
    """In a header of CONNECT; pages after it use the same tunnel, and the token is within it."""
    async with ConnectProxy(server.port, credentials="us r:p@ss/é") as proxy:
        async with through(proxy.url("us%20r:p%40ss%2F%C3%A9"), retry=RetryPolicy(attempts=1)) as session:
            with pytest.raises(ProxyAuthenticationError):  # the proxy of this test wants UTF-8
                await session.fetch_page(1, 10)
        proxy.credentials = "us r:p@ss"
        async with through(proxy.url("us%20r:p%40ss")) as session:
            for page in (1, 2):
                assert len((await session.fetch_page(page, 10)).chats) == 1
    assert [head.split("\r\n")[0] for head in proxy.heads] == [f"CONNECT {HOST}:443 HTTP/1.1"] * 2
    assert not any(TOKEN in head for head in proxy.heads)
    assert len(server.requests) == 2
    assert not any(b"Proxy-Authorization" in request for request in server.requests)


@pytest.mark.parametrize("credentials", ["", "only-a-user:", "日本:本"], ids=repr)
def test_what_is_sent_without_or_with_odd_names(credentials: str) -> None:
    proxy = Proxy(Secret(f"http://{credentials}{'@' if credentials else ''}localhost:3128"))
    assert str(proxy.url) == "http://localhost:3128"
    assert (proxy.headers is None) == (not credentials)
    assert "***" in repr(proxy.headers) or not credentials


@pytest.mark.parametrize("accepts", [True, False])
async def test_the_password_is_in_nothing_that_aiohttp_shows(
    monkeypatch: pytest.MonkeyPatch, server: RawServer, accepts: bool
) -> None:
    """Neither in the key of a connection, which a warning shows if it is left open, nor in what its tracing is told."""
    shown: list[str] = []

    async def see(_: aiohttp.ClientSession, __: object, told: object) -> None:
        shown.append(repr(told))
        error = getattr(told, "exception", None)
        if error is not None:
            shown.extend([repr(error), str(error), repr(vars(error))])

    trace = aiohttp.TraceConfig()
    for signal in (trace.on_request_start, trace.on_request_exception, trace.on_request_end):
        signal.append(see)
    keys: list[object] = []
    connect = aiohttp.TCPConnector.connect

    async def noted(connector: aiohttp.TCPConnector, request: aiohttp.ClientRequest, **options: Any) -> Any:
        keys.append(request.connection_key)
        return await connect(connector, request, **options)

    monkeypatch.setattr(aiohttp.TCPConnector, "connect", noted)
    async with (
        ConnectProxy(server.port) as proxy,
        aiohttp.ClientSession(trace_configs=[trace], connector=aiohttp.TCPConnector(ssl=TRUSTING)) as client,
        through(proxy.url() if accepts else proxy.url(WRONG), ssl_context=None, client_session=client) as session,
    ):
        with nullcontext() if accepts else pytest.raises(ProxyAuthenticationError):
            await session.fetch_page(1, 10)
    assert len(keys) == 1
    assert proxy.address in repr(keys)
    assert shown
    for secret in ("hunter2", "wr0ng", "dXNlcj"):
        assert secret not in repr([*shown, *keys])


async def test_a_wrong_password_is_sent_once_by_a_session(server: RawServer) -> None:
    """Not retried, and not by later requests either; those that wait meanwhile fail with it."""
    async with ConnectProxy(server.port) as proxy, through(proxy.url(WRONG)) as session:
        found = await asyncio.gather(*(session.fetch_page(page, 10) for page in range(1, 9)), return_exceptions=True)
        with pytest.raises(ProxyAuthenticationError) as caught:
            await session.list_chats()
    assert {type(error) for error in found} == {ProxyAuthenticationError}
    assert (len(proxy.heads), proxy.refused) == (1, 1)
    error = caught.value
    assert error.message == f"the proxy {proxy.address} refuses the user name or password"
    assert error.status == 407
    assert "proxy option" in error.hint
    for text in (*texts(error), what_frames_show(error), repr(pickle.loads(pickle.dumps(error)))):
        assert "wr0ng" not in text
        assert ENCODED not in text


@pytest.mark.parametrize("trusted", [True, False])
async def test_a_proxy_by_https_is_blamed_for_its_own_certificate(server: RawServer, trusted: bool) -> None:
    """Not the service, whose certificate may be right. Nothing changes while one waits."""
    own = trustme.CA()
    served, trusting = tls_of(own, "127.0.0.1")
    AUTHORITY.configure_trust(trusting)
    async with (
        ConnectProxy(server.port, ssl_context=served) as proxy,
        through(proxy.url(scheme="https"), ssl_context=trusting if trusted else TRUSTING) as session,
    ):
        if trusted:
            assert len((await session.fetch_page(1, 10)).chats) == 1
            return
        with pytest.raises(ConnectionFailedError) as caught:
            await session.fetch_page(1, 10)
    error = caught.value
    assert error.reason == "certificate"
    assert f"the certificate of the proxy {proxy.address}: unable to get local issuer" in error.message
    assert "proxy option" in error.hint
    assert "base_url" not in error.hint
    assert len(error.attempts) == 1
    assert "hunter2" not in repr(texts(error))


class PlainProxy(TcpServer):
    """Answers a TLS handshake as a proxy without TLS does."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve a connection: its first bytes are no request."""
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()


async def test_a_proxy_that_speaks_no_tls_is_reached_by_http() -> None:
    """The usual mistake: the scheme of a proxy is taken for the one of the requests that go through it."""
    policy = RetryPolicy(attempts=1)
    async with PlainProxy() as proxy, through(f"https://127.0.0.1:{proxy.port}", retry=policy) as session:
        with pytest.raises(ConnectionFailedError) as caught:
            await session.fetch_page(1, 10)
    assert caught.value.reason == "proxy"
    assert f"the TLS handshake with the proxy 127.0.0.1:{proxy.port} failed" in caught.value.message
    assert "http://" in caught.value.hint


@pytest.mark.parametrize("whose", ["option", "injected"])
async def test_a_wrong_password_is_sent_once_through_an_injected_session(server: RawServer, whose: str) -> None:
    """Whether the proxy is ours or that session's; and the right one is not asked for twice."""
    async with ConnectProxy(server.port) as proxy:
        for credentials in (WRONG, "user:hunter2"):
            url = proxy.url(credentials)
            async with (
                aiohttp.ClientSession(
                    connector=aiohttp.TCPConnector(ssl=TRUSTING), proxy=url if whose == "injected" else None
                ) as client,
                PlugChatSession(
                    TOKEN, base_url=BASE_URL, client_session=client, proxy=url if whose == "option" else None
                ) as session,
            ):
                found = await asyncio.gather(*(session.fetch_page(n, 10) for n in range(1, 9)), return_exceptions=True)
            assert len({type(result) for result in found}) == 1
            assert isinstance(found[0], ProxyAuthenticationError) == (credentials == WRONG)
            assert proxy.refused == 1


@pytest.mark.parametrize("isolate_connections", [False, True])
async def test_a_wrong_password_is_sent_once_for_many_accounts(server: RawServer, isolate_connections: bool) -> None:
    """Each of them fails with it."""
    accounts = [Account(f"account {number}", TOKEN) for number in range(50)]
    async with ConnectProxy(server.port) as proxy:
        many = fetch_many(
            accounts,
            base_url=BASE_URL,
            proxy=proxy.url(WRONG),
            ssl_context=TRUSTING,
            isolate_connections=isolate_connections,
        )
        results = [result async for result in many]
    assert [type(result.error) for result in results] == [ProxyAuthenticationError] * 50
    assert len(proxy.heads) == 1


class ForwardingProxy(TcpServer):
    """Answers requests for http itself, as the server behind it would, but those with wrong credentials with 407."""

    def __init__(self) -> None:
        super().__init__()
        self.refused = 0
        self.heads: list[str] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve a connection: one request after the other."""
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            self.heads.append(head)
            right = f"Proxy-Authorization: Basic {b64encode(b'user:hunter2').decode()}\r\n" in head
            self.refused += not right
            writer.write(ONE_CHAT if right else http(b"", status="407 Proxy Authentication Required"))
            await writer.drain()


@pytest.mark.parametrize("injected", [False, True])
@pytest.mark.parametrize("credentials", ["user:hunter2", WRONG])
async def test_the_password_is_sent_with_each_request_for_http(credentials: str, injected: bool) -> None:
    """There is no CONNECT to send it with. A wrong one is sent once all the same."""
    async with ForwardingProxy() as proxy, aiohttp.ClientSession() as client:
        session = PlugChatSession(
            TOKEN,
            base_url="http://mock.test:8765",
            insecure_http=True,
            proxy=f"http://{credentials}@127.0.0.1:{proxy.port}",
            client_session=client if injected else None,
        )
        async with session:
            found = await asyncio.gather(*(session.fetch_page(n, 10) for n in range(1, 9)), return_exceptions=True)
    wrong = credentials == WRONG
    assert {type(result) for result in found} == {ProxyAuthenticationError if wrong else Page}
    assert (len(proxy.heads), proxy.refused) == ((1, 1) if wrong else (8, 0))
    assert proxy.heads[0].startswith("GET http://mock.test:8765/api/whatsapp/chats?page=")
    assert ENCODED not in repr([what_frames_show(error) for error in found if isinstance(error, Exception)])


async def test_a_watch_ends_with_a_wrong_password(server: RawServer) -> None:
    """It is no outage that may pass."""
    async with ConnectProxy(server.port) as proxy, through(proxy.url(WRONG)) as session:
        with pytest.raises(ProxyAuthenticationError):
            async for _ in session.watch_chats(interval=1.0):
                pytest.fail("no event")
    assert len(proxy.heads) == 1


async def test_a_password_that_is_no_longer_right() -> None:
    """It was accepted before, and so nothing is held back; the first refusal is the last all the same."""
    async with (
        RawServer(answering(ONE_CHAT), ssl_context=SERVED) as server,
        ConnectProxy(server.port) as proxy,
        through(proxy.url()) as session,
    ):
        await session.fetch_page(1, 10)
        proxy.credentials = "user:changed"
        for _ in range(3):
            with pytest.raises(ProxyAuthenticationError):
                await session.fetch_page(1, 10)
    assert proxy.refused == 1


async def test_a_proxy_that_wants_a_password_and_has_got_none(server: RawServer) -> None:
    async with ConnectProxy(server.port) as proxy, through(f"http://{proxy.address}") as session:
        with pytest.raises(ProxyAuthenticationError, match="asks for a user name and a password"):
            await session.fetch_page(1, 10)


async def test_first_connections_come_one_by_one_until_one_is_accepted(server: RawServer) -> None:
    """Then as many at a time as there are requests; a refusal of another kind does not stop the next."""
    async with ConnectProxy(server.port, refuse="503 Service Unavailable") as proxy, through(proxy.url()) as session:
        with pytest.raises(ConnectionFailedError) as caught:
            await session.fetch_page(1, 10)
        assert len(proxy.heads) == 3
        proxy.refuse = None
        await asyncio.gather(*(session.fetch_page(page, 10) for page in range(1, 9)))
    message = f"{HOST}: the proxy {proxy.address} did not connect: HTTP 503 Service Unavailable"
    assert (caught.value.message, caught.value.reason) == (message, "proxy")
    assert "proxy option" in caught.value.hint
    assert "base_url" not in caught.value.hint


@pytest.mark.parametrize("proxy", ["http://no-such-host.invalid:3128", "http://127.0.0.1:9"])
async def test_a_proxy_that_is_not_there_is_named(proxy: str) -> None:
    """Its name or port is wrong, not that of base_url."""
    async with through(proxy) as session:
        with pytest.raises(ConnectionFailedError) as caught:
            await session.fetch_page(1, 10)
    assert caught.value.reason == "proxy"
    assert f"the proxy {proxy.removeprefix('http://')} can't be re" in caught.value.message
    assert "base_url" not in caught.value.hint


@pytest.mark.parametrize("answer", [b"", b"SSH-2.0-OpenSSH_9.6\r\n"], ids=["closed", "not HTTP"])
async def test_what_is_no_proxy_is_named(answer: bytes) -> None:
    """As on a wrong port: the server is not to blame, and base_url need not be checked."""
    async with RawServer(answering(answer)) as other:
        address = f"127.0.0.1:{other.port}"
        async with through(f"http://{address}") as session:
            with pytest.raises(ConnectionFailedError) as caught:
                await session.fetch_page(1, 10)
    assert caught.value.reason == "proxy"
    message = f"{HOST}: what listens at {address} closed the connection, or is no HTTP proxy"
    assert caught.value.message == message
    assert "in the proxy option" in caught.value.hint


@pytest.mark.parametrize("secure", [False, True])
@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
async def test_this_machine_is_asked_without_the_proxy(secure: bool, host: str) -> None:
    """Else the token would travel to the proxy's machine, in clear text with http."""
    served, trusting = tls_of(AUTHORITY, host) if secure else (None, None)
    async with RawServer(answering(ONE_CHAT), ssl_context=served) as server, ConnectProxy(server.port) as proxy:
        base_url = server.base_url.replace("localhost", host)
        async with through(proxy.url(), base_url=base_url, ssl_context=trusting) as session:
            assert len((await session.fetch_page(1, 10)).chats) == 1
        accounts = [Account("a", TOKEN)]
        async for result in fetch_many(accounts, base_url=base_url, ssl_context=trusting, proxy=proxy.url()):
            assert result.error is None
    assert proxy.heads == []


@pytest.mark.parametrize("of_environment", [True, False])
async def test_a_borrowed_sessions_proxy_gets_no_token_in_clear(
    monkeypatch: pytest.MonkeyPatch, of_environment: bool
) -> None:
    """aiohttp can't be told to leave it out, so nothing is sent. https is encrypted for the proxy as well."""
    async with RawServer(answering(ONE_CHAT)) as server, ConnectProxy(server.port, credentials=None) as proxy:
        for name in ("no_proxy", "NO_PROXY"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("http_proxy", f"http://{proxy.address}")
        options: dict[str, Any] = {"trust_env": True} if of_environment else {"proxy": f"http://{proxy.address}"}
        async with aiohttp.ClientSession(**options) as client:
            for bare in (False, True):
                async with PlugChatSession(TOKEN, base_url=server.base_url, client_session=client) as session:
                    if bare:
                        session._fetcher.template = session._fetcher.template.__class__(server.base_url, bare=True)
                    with pytest.raises(ConfigurationError, match="through the proxy of the injected") as caught:
                        await session.fetch_page(1, 10)
            assert "NO_PROXY" in caught.value.hint
            monkeypatch.setenv("no_proxy", "localhost")
            async with PlugChatSession(TOKEN, base_url=server.base_url, client_session=client) as session:
                if of_environment:
                    await session.fetch_page(1, 10)
    assert proxy.heads == []
    assert len(server.requests) == int(of_environment)


@pytest.mark.parametrize(("credentials", "error"), [("user:hunter2", None), (WRONG, ProxyAuthenticationError)])
async def test_a_borrowed_sessions_proxy_is_taken_with_its_password(
    server: RawServer, credentials: str, error: type[Exception] | None
) -> None:
    """By its own requests and by bare ones; once, if it is wrong."""
    connector = aiohttp.TCPConnector(ssl=TRUSTING)
    async with (
        ConnectProxy(server.port) as proxy,
        aiohttp.ClientSession(proxy=proxy.url(credentials), connector=connector) as client,
        PlugChatSession(TOKEN, base_url=BASE_URL, client_session=client) as session,
    ):
        for bare in (False, True):
            template = session._fetcher.template
            session._fetcher.template = template.__class__(BASE_URL, bare=bare)
            with nullcontext() if error is None else pytest.raises(error):
                await session.fetch_page(1, 10)
    assert proxy.refused == (error is not None)


async def test_a_wrong_password_of_a_proxy_that_only_aiohttp_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    """One from the environment."""
    async with ConnectProxy() as proxy:
        monkeypatch.setenv("https_proxy", proxy.url(WRONG))
        async with (
            aiohttp.ClientSession(trust_env=True) as client,
            PlugChatSession(TOKEN, base_url=BASE_URL, client_session=client) as session,
        ):
            with pytest.raises(ProxyAuthenticationError, match="or was given none"):
                await session.fetch_page(1, 10)
            proxy.credentials, proxy.refuse = None, "502 Bad Gateway"
            with pytest.raises(ConnectionFailedError, match="the proxy did not connect: HTTP 502"):
                await session.fetch_page(1, 10)
