"""A real nginx in front of the simulator: what it does to requests and answers, and what comes of it."""

import asyncio
import re
import ssl
import time
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import trustme

from plugchat_async import (
    AccessDeniedError,
    AuthenticationError,
    Chat,
    Clock,
    ConnectionFailedError,
    MethodNotAllowedError,
    NotJSONError,
    PageRepeatedError,
    PlugChatError,
    PlugChatSession,
    RateLimitedError,
    RedirectedError,
    ServerError,
    UnexpectedStatusError,
    UnsupportedMediaTypeError,
    WalkReport,
)
from plugchat_async.testing import PlugChatSimulator
from plugchat_async.testing.dialects import Dialect
from support import peers
from support.fakes import FakeTime
from support.peers import Logged, Nginx, nginx
from support.traits import KNOWN_SERVER

pytestmark = pytest.mark.external

TOKEN = "s3cret-t0ken"

# A base_url's path says what nginx is to do. What it does to page 2 alone lets page 3 show that all is well again.
CONFIG = """
upstream simulator { server @simulator@; keepalive 16; }
proxy_http_version 1.1;
proxy_set_header Connection "";
limit_req_zone $server_port zone=minute:32k rate=1r/m;
limit_req_zone $server_port zone=fast:32k rate=200r/s;
proxy_cache_path @folder@/cache keys_zone=cache:32k;

server {
    listen @plain@;
    keepalive_requests 100000;
    types { }
    default_type application/json;

    # nginx's names of groups hold no hyphens.
    location ~ ^/page2/(?<fault>[a-z0-9-]+)/ {
        if ($arg_page = 2) { rewrite ^ /fault/$fault last; }
        rewrite ^/page2/[^/]+(/.*)$ $1 break;
        proxy_pass http://simulator;
    }
    location /fault/ { internal; return 500 "no such fault"; }
    location = /fault/405 { return 405; }
    location = /fault/405-allow { add_header Allow "POST, GET, $http_authorization" always; return 405; }
    location = /fault/413 { return 413; }
    location = /fault/401 { return 401; }
    location = /fault/404 { root @folder@/nowhere; }
    location = /fault/444 { return 444; }
    location = /fault/echo { return 418 "who are you, $http_authorization?"; }
    location = /fault/welcome { default_type text/html; return 200 "<!DOCTYPE html><h1>Welcome to nginx!</h1>"; }
    location = /fault/limit-except { limit_except POST { deny all; } proxy_pass http://simulator; }
    location = /fault/limited {
        limit_req zone=minute; limit_req_status 429;
        rewrite ^ /api/whatsapp/chats break; proxy_pass http://simulator;
    }
    location = /fault/busy {
        limit_req zone=minute;
        rewrite ^ /api/whatsapp/chats break; proxy_pass http://simulator;
    }
    location = /fault/refused { proxy_pass http://@nobody@; }
    location = /fault/slow { proxy_pass http://@silent@; proxy_read_timeout 50ms; }
    location = /fault/no-token {
        proxy_set_header Authorization "";
        rewrite ^ /api/whatsapp/chats break; proxy_pass http://simulator;
    }
    location = /fault/no-type {
        proxy_set_header Content-Type "";
        rewrite ^ /api/whatsapp/chats break; proxy_pass http://simulator;
    }
    location = /fault/301 { return 301 https://@secure@$request_uri&token=$http_authorization; }
    location = /fault/302 { return 302 https://@secure@$request_uri; }
    location = /fault/307 { return 307 https://@secure@$request_uri; }
    location = /fault/308 { return 308 https://@secure@$request_uri; }

    location /few-requests/ { keepalive_requests 3; proxy_pass http://simulator/; }
    location /gzip/ {
        gzip on; gzip_types application/json; gzip_min_length 1;
        proxy_pass http://simulator/;
    }
    location /small-buffers/ { proxy_buffering off; proxy_buffer_size 1k; proxy_pass http://simulator/; }
    location /static/ { alias @folder@/static/; }
    location /paced/ { limit_req zone=fast burst=5 nodelay; limit_req_status 429; proxy_pass http://simulator/; }
    location /cached/ {
        # What many a configuration has: a key without the query.
        proxy_cache cache; proxy_cache_key $uri; proxy_cache_valid 200 1m;
        proxy_pass http://simulator/;
    }
    location /body/ { client_max_body_size 10; proxy_pass http://simulator/; }
    location / { proxy_pass http://simulator; }
}

server {
    listen @secure@ ssl;
    ssl_certificate @folder@/server.pem;
    ssl_certificate_key @folder@/server.pem;
    location / { proxy_pass http://simulator; }
}

server {
    listen @narrow@;
    large_client_header_buffers 2 1k;
    location / { proxy_pass http://simulator; }
}
"""


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


class Front:
    """The nginx, the simulator behind it, and the fake time of the sessions on them."""

    def __init__(self, server: Nginx, sim: PlugChatSimulator, authority: trustme.CA) -> None:
        self.nginx = server
        self.sim = sim
        self.time = FakeTime()
        self.trusting = ssl.create_default_context()
        authority.configure_trust(self.trusting)

    def session(self, prefix: str = "", *, listener: str = "plain", **options: Any) -> PlugChatSession:
        """A session on one of nginx's listeners, below a prefix."""
        scheme = "https" if listener == "secure" else "http"
        options.setdefault("clock", self.time.clock)
        options.setdefault("server_traits", KNOWN_SERVER)
        base_url = f"{scheme}://{self.nginx.address(listener)}{prefix}"
        return PlugChatSession(self.sim.token, base_url=base_url, **options)

    def requests(self, listener: str = "plain") -> list[Logged]:
        """What nginx has logged there. It stops nginx."""
        port = self.nginx.address(listener).rpartition(":")[2]
        return [request for request in self.nginx.requests if request.port == port]


@asynccontextmanager
async def fronted(
    folder: Path, authority: trustme.CA, *, chats: int = 250, token: str = TOKEN, dialect: Dialect = "documented"
) -> AsyncGenerator[Front]:
    """An nginx in front of a simulator."""
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(folder / "server.pem")
    async with PlugChatSimulator(chats=chats, seed=7, token=token, dialect=dialect) as sim:
        with peers.unanswering() as (nobody, silent):
            addresses = {"simulator": sim.base_url.removeprefix("http://"), "nobody": nobody, "silent": silent}
            with nginx(folder, CONFIG, listens=("plain", "secure", "narrow"), **addresses) as server:
                yield Front(server, sim, authority)


@pytest.fixture
async def front(tmp_path: Path, authority: trustme.CA) -> AsyncGenerator[Front]:
    async with fronted(tmp_path, authority) as running:
        yield running


def connections(requests: list[Logged]) -> int:
    return len({(request.worker, request.connection) for request in requests})


@pytest.mark.parametrize("variable", ["", "nowhere/no-such-program"])
def test_a_program_that_is_missing_skips(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    """With the same few words for each of them, also if a variable names one that is not there."""
    monkeypatch.delenv("PLUGCHAT_REQUIRE_PEERS", raising=False)
    monkeypatch.setenv("PLUGCHAT_NO-SUCH-PROGRAM", variable)
    with pytest.raises(pytest.skip.Exception) as caught:
        peers.program("no-such-program")
    assert str(caught.value) == "needs no-such-program"


def test_a_program_that_is_missing_fails_where_all_are_required(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that no test is lost unnoticed there."""
    monkeypatch.setenv("PLUGCHAT_REQUIRE_PEERS", "1")
    with pytest.raises(pytest.fail.Exception) as caught:
        peers.program("no-such-program")
    assert str(caught.value) == "needs no-such-program"


def test_a_program_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where a variable says it is, or else on PATH."""
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "peer").touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "one"))
    assert peers.program("peer") == str(tmp_path / "one" / "peer")
    monkeypatch.setenv("PLUGCHAT_PEER", str(tmp_path / "two" / "peer"))
    assert peers.program("peer") == str(tmp_path / "two" / "peer")


async def test_a_configuration_that_nginx_refuses_is_shown(tmp_path: Path) -> None:
    """The failure holds what nginx says of it."""
    peers.program("nginx")
    with pytest.raises(pytest.fail.Exception, match='unknown directive "nonsense"'), nginx(tmp_path, "nonsense on;"):
        """It does not get here."""


async def test_a_whole_walk_with_pages_ahead(tmp_path: Path, authority: trustme.CA) -> None:
    """5,000 chats, each once and in order, over no more kept-alive connections than there are pages in flight."""
    async with fronted(tmp_path, authority, chats=5000) as front:
        reports: list[WalkReport] = []
        async with front.session() as session:
            chats = await session.list_chats(prefetch=8, on_report=reports.append)
        requests = front.requests()
        assert chats == list(front.sim.chats)
    assert reports[0].verified
    # At the end of the list those that are under way are given up, which is nginx's 499.
    assert 51 <= Counter(request.status for request in requests)["200"] <= len(requests) <= reports[0].requests
    assert {request.status for request in requests} <= {"200", "499"}
    assert front.time.sleeps == []
    assert connections(requests) <= 9
    assert max(int(request.nth) for request in requests) > 1


async def test_a_moving_list(tmp_path: Path, authority: trustme.CA) -> None:
    """Chats that jump to the front while pages are read through nginx: each comes, and comes once."""
    async with fronted(tmp_path, authority, chats=2000, dialect="documented") as front:
        front.sim.traffic(bumps=1.0, seed=7)
        ids = {chat.id for chat in front.sim.chats}
        async with front.session() as session:
            chats = await session.list_chats(prefetch=4, require_verified=True)
    assert Counter(chat.id for chat in chats) == Counter(ids)


async def test_pages_come_a_few_bytes_at_a_time(front: Front) -> None:
    """From an nginx that passes on what it gets as it gets it."""
    async with front.session("/small-buffers") as session:
        assert await session.list_chats() == list(front.sim.chats)


async def test_tls_with_a_certificate_of_a_trusted_authority(front: Front) -> None:
    """A walk over TLS, HTTP/1.1, one connection."""
    async with front.session(listener="secure", ssl_context=front.trusting) as session:
        assert await session.list_chats(page_size=50) == list(front.sim.chats)
    requests = front.requests("secure")
    assert {(request.tls[:5], request.protocol, request.status) for request in requests} == {
        ("TLSv1", "HTTP/1.1", "200")
    }
    assert (len(requests), connections(requests)) == (7, 1)


async def test_tls_with_a_certificate_of_an_unknown_authority(front: Front) -> None:
    """Refused at once, not retried, and no request goes out: nginx sees a handshake that the client gives up."""
    async with front.session(listener="secure") as session:
        with pytest.raises(ConnectionFailedError) as caught:
            await session.fetch_page(1, 10)
    assert caught.value.reason == "certificate"
    assert len(caught.value.attempts) == 1
    assert front.time.sleeps == []
    assert TOKEN not in f"{caught.value} {caught.value!r}"
    assert front.requests("secure") == []
    assert front.sim.requests == []
    assert front.nginx.errors.count("while SSL handshaking") == 1


async def test_http_on_the_tls_port(tmp_path: Path, authority: trustme.CA, front: Front) -> None:
    """nginx's own 400 for it is an unexpected status, with what nginx says."""
    base_url = f"http://{front.nginx.address('secure')}"
    async with PlugChatSession(TOKEN, base_url=base_url, clock=front.time.clock) as session:
        with pytest.raises(UnexpectedStatusError, match="The plain HTTP request was sent to HTTPS port") as caught:
            await session.fetch_page(1, 10)
    assert caught.value.status == 400
    assert len(front.requests("secure")) == 1


async def test_https_on_the_plain_port(front: Front) -> None:
    """A handshake that nginx answers with HTTP is a TLS failure."""
    base_url = f"https://{front.nginx.address('plain')}"
    async with PlugChatSession(TOKEN, base_url=base_url, clock=front.time.clock) as session:
        with pytest.raises(ConnectionFailedError) as caught:
            await session.fetch_page(1, 10)
    assert caught.value.reason == "tls"
    assert front.sim.requests == []


@pytest.mark.parametrize(
    ("fault", "kind", "status", "logged", "tries"),
    [
        ("401", AuthenticationError, 401, "401", 1),
        ("404", UnexpectedStatusError, 404, "404", 1),
        ("405", MethodNotAllowedError, 405, "405", 1),
        ("405-allow", MethodNotAllowedError, 405, "405", 1),
        ("413", UnexpectedStatusError, 413, "413", 1),
        ("echo", UnexpectedStatusError, 418, "418", 1),
        ("limit-except", AccessDeniedError, 403, "403", 1),
        ("limited", RateLimitedError, 429, "429", 3),
        ("busy", ServerError, 503, "503", 3),
        ("refused", ServerError, 502, "502", 3),
        ("slow", ServerError, 504, "504", 3),
        # nginx's word for closing a connection without an answer. It had been idle: the first time costs no attempt.
        ("444", ConnectionFailedError, None, "444", 4),
        ("welcome", NotJSONError, 200, "200", 1),
        ("no-token", AuthenticationError, 401, "401", 1),
        # The second one is the repair, without Content-Type.
        ("no-type", UnsupportedMediaTypeError, 415, "415", 2),
        ("301", RedirectedError, 301, "301", 1),
        ("302", RedirectedError, 302, "302", 1),
        ("307", RedirectedError, 307, "307", 1),
        ("308", RedirectedError, 308, "308", 1),
    ],
)
async def test_what_nginx_answers(
    front: Front, fault: str, kind: type[PlugChatError], status: int | None, logged: str, tries: int
) -> None:
    """The error that fits, after as many requests as it is worth; the session works on, the token is shown nowhere."""
    limits = fault in ("limited", "busy")
    async with front.session(f"/page2/{fault}") as session:
        assert (await session.fetch_page(1, 100)).chats == front.sim.chats[:100]
        if limits:
            # The one request of this minute.
            assert (await session.fetch_page(2, 100)).chats == front.sim.chats[100:200]
        with pytest.raises(PlugChatError) as caught:
            await session.fetch_page(2, 100)
        assert (await session.fetch_page(3, 100)).chats == front.sim.chats[200:]
    error = caught.value
    assert type(error) is kind
    assert (error.status, error.page, len(error.attempts)) == (status, 2, tries)
    assert TOKEN not in f"{error} {error!r} {error.attempts!r}"
    assert len(front.time.sleeps) == (2 if tries >= 3 else 0)
    secure = front.nginx.address("secure")
    if isinstance(error, RedirectedError):
        assert error.target == f"https://{secure}"
    if isinstance(error, MethodNotAllowedError):
        assert error.allow == (None if fault == "405" else ("POST", "GET", "***"))
    requests = front.requests()
    assert [request.status for request in requests] == ["200", *["200"] * limits, *[logged] * tries, "200"]
    assert all(request.method == "GET" for request in requests)
    assert front.requests("secure") == []  # no redirect was followed


@pytest.mark.parametrize("fault", ["405", "413", "limited", "busy", "refused", "slow"])
async def test_nginxs_own_pages_are_quoted(front: Front, fault: str) -> None:
    """The error's text holds the beginning of nginx's HTML, on one line."""
    async with front.session(f"/page2/{fault}") as session:
        with pytest.raises(PlugChatError, match=r"HTTP (\d\d\d) [A-Z].*: '<html> <head><title>\1 [A-Z]") as caught:
            for _ in range(2):
                await session.fetch_page(2, 100)
    assert "\n" not in str(caught.value)


async def test_a_walk_that_meets_a_limit_goes_on_later(front: Front) -> None:
    """What came before the 429 is good, and its checkpoint goes on when another way leads to the same account."""
    chats: list[Chat] = []
    async with front.session("/page2/limited") as session:
        await session.fetch_page(2, 100)
        with pytest.raises(RateLimitedError) as caught:
            async for chat in session.iter_chats(account="Ana"):
                chats.append(chat)
    async with front.session() as session:
        chats += await session.list_chats(account="Ana", resume=caught.value.checkpoint)
    assert chats == list(front.sim.chats)


async def test_a_token_that_is_too_long_for_nginx(tmp_path: Path, authority: trustme.CA) -> None:
    """nginx's 400 for headers that are too large, and not a letter of the token."""
    token = "t0ken" * 500
    async with fronted(tmp_path, authority, token=token) as front:
        async with front.session(listener="narrow") as session:
            with pytest.raises(UnexpectedStatusError, match="Request Header Or Cookie Too Large") as caught:
                await session.fetch_page(1, 10)
        assert [request.status for request in front.requests("narrow")] == ["400"]
        assert front.sim.requests == []
    assert caught.value.status == 400
    assert "t0ken" not in f"{caught.value} {caught.value!r}"


async def test_a_method_that_static_files_do_not_take_is_repaired(front: Front, tmp_path: Path) -> None:
    """A middleware makes a POST of the GET, nginx says 405, and requests go out as they were meant from then on."""
    page = tmp_path / "static" / "api" / "whatsapp" / "chats"
    page.parent.mkdir(parents=True)
    page.write_bytes(b'[{"phone":"1"}]')

    async def post(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        request.method = "POST"
        return await handler(request)

    async with (
        aiohttp.ClientSession(middlewares=(post,)) as client,
        front.session("/static", client_session=client) as session,
    ):
        for number in (1, 2):
            assert [chat.phone for chat in (await session.fetch_page(number, 10)).chats] == ["1"]
    methods = [(request.method, request.status) for request in front.requests()]
    assert methods == [("POST", "405"), ("GET", "200"), ("GET", "200")]


async def test_a_body_that_is_too_large_for_nginx(front: Front) -> None:
    """A middleware adds a body, and nginx refuses it before it is read: 413, once."""

    async def add_body(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        await request.update_body(b"x" * 1000)
        return await handler(request)

    async with (
        aiohttp.ClientSession(middlewares=(add_body,)) as client,
        front.session("/body", client_session=client) as session,
    ):
        with pytest.raises(UnexpectedStatusError) as caught:
            await session.fetch_page(1, 10)
    assert caught.value.status == 413
    assert [request.status for request in front.requests()] == ["413"]


async def test_connections_that_are_closed_after_three_requests(front: Front) -> None:
    """The walk goes on over new ones, and no attempt is lost by it."""
    reports: list[WalkReport] = []
    async with front.session("/few-requests") as session:
        assert await session.list_chats(page_size=10, on_report=reports.append) == list(front.sim.chats)
    requests = front.requests()
    assert len(requests) == reports[0].requests == len(front.sim.requests) == 27
    assert connections(requests) == 9
    assert front.time.sleeps == []


async def test_pages_ahead_over_connections_that_are_closed_after_three_requests(front: Front) -> None:
    """Several connections end at different times, and still no attempt is lost."""
    reports: list[WalkReport] = []
    async with front.session("/few-requests") as session:
        chats = await session.list_chats(page_size=5, prefetch=8, on_report=reports.append)
    assert chats == list(front.sim.chats)
    requests = front.requests()
    assert len(requests) <= reports[0].requests
    assert {request.nth for request in requests} == {"1", "2", "3"}
    assert front.time.sleeps == []


async def test_gzip(front: Front) -> None:
    """What nginx has compressed is read, and it really was compressed on the wire."""
    async with front.session("/gzip") as session:
        page = await session.fetch_page(1, 250)
        assert await session.list_chats(prefetch=2) == list(front.sim.chats)
    assert page.chats == front.sim.chats
    assert page.raw.startswith(b"[{")
    requests = [request for request in front.requests() if request.status == "200"]
    assert {request.encoding for request in requests} == {"gzip"}
    assert float(requests[0].gzip_ratio) > 2
    assert connections(requests) <= 3


async def test_a_cache_that_forgets_the_query(front: Front) -> None:
    """Every page is the first one again: the walk says so instead of going round for ever."""
    chats: list[Chat] = []
    async with front.session("/cached") as session:
        with pytest.raises(PageRepeatedError):
            async for chat in session.iter_chats():
                chats.append(chat)
    assert chats == list(front.sim.chats[:100])
    assert len(front.sim.requests) == 1
    assert len(front.requests()) <= 16


async def test_a_pace_that_keeps_below_nginxs_limit(front: Front) -> None:
    """`requests_per_second` is what a real limiter takes it for: no request of a walk is refused."""
    async with front.session("/paced", requests_per_second=100.0, clock=Clock()) as session:
        began = time.monotonic()
        assert await session.list_chats(page_size=10) == list(front.sim.chats)
        assert time.monotonic() - began > 0.2
    assert Counter(request.status for request in front.requests()) == {"200": 27}


async def test_nginx_reloads_between_the_pages_of_a_walk(front: Front) -> None:
    """A new worker takes over and the old one closes the idle connection: no attempt is lost by it."""
    reports: list[WalkReport] = []
    async with front.session() as session:
        chats: list[Chat] = []
        async for page in session.iter_pages(page_size=10, on_report=reports.append):
            chats += page.chats
            if page.number in (5, 10, 15):
                so_far = len(front.nginx.errors)
                front.nginx.reload()
                async with asyncio.timeout(peers.PATIENCE):
                    while not re.search(r"worker process \d+ exited", front.nginx.errors[so_far:]):
                        await asyncio.sleep(0.002)
    assert chats == list(front.sim.chats)
    requests = front.requests()
    assert len({request.worker for request in requests}) == connections(requests) == 4
    assert len(requests) == len(front.sim.requests) == reports[0].requests == 27
    assert front.time.sleeps == []


async def test_nginx_reloads_under_pages_that_are_on_their_way(tmp_path: Path, authority: trustme.CA) -> None:
    """Whatever a connection was doing when its worker was told to go: no chat is lost, none comes twice."""
    async with fronted(tmp_path, authority, chats=2000) as front:
        # Now and then the old worker is woken for a connection, goes without accepting it, and nobody wakes the new
        # one before the next connection comes: that is the retry of an attempt that has timed out.
        async with front.session(timeout=5.0) as session:
            chats: list[Chat] = []
            async for page in session.iter_pages(page_size=20, prefetch=8):
                chats += page.chats
                if page.number % 10 == 5:
                    front.nginx.reload()
        assert chats == list(front.sim.chats)
        # 499 and 000 are requests that were given up.
        assert {request.status for request in front.requests()} <= {"200", "499", "000"}
    assert "reconfiguring" in front.nginx.errors


async def test_nginx_restarts_in_the_middle_of_a_walk(front: Front) -> None:
    """While it is away the connection is refused; the retry finds it back, and the walk has all chats."""
    waits: list[float] = []

    async def start_again(seconds: float) -> None:
        waits.append(seconds)
        front.nginx.start()

    async with front.session(clock=Clock(sleep=start_again)) as session:
        chats: list[Chat] = []
        async for page in session.iter_pages(page_size=10):
            chats += page.chats
            if page.number == 10:
                front.nginx.stop()
    assert chats == list(front.sim.chats)
    assert len(waits) == 1
    requests = front.requests()
    assert Counter(request.status for request in requests) == {"200": 27}
    assert connections(requests) == 2
