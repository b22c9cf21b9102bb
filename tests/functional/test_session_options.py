"""What a session is given: from the environment, in the types that people have, and what it says of itself."""

import asyncio
import logging
import pickle
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp.abc import AbstractResolver, ResolveResult
from pydantic import HttpUrl, SecretBytes, SecretStr
from yarl import URL

from plugchat_async import (
    Account,
    DecodeError,
    InvalidTypeError,
    InvalidValueError,
    PlugChatSession,
    RetryPolicy,
    ServerError,
    SessionStateError,
    TokenError,
    fetch_many,
    read_accounts,
)
from plugchat_async.doctor import examine
from plugchat_async.testing import PlugChatSimulator
from support.fakes import FakeTime, RawServer, answering, http, what_frames_show

ONE_CHAT = http(b'[{"phone":"1"}]')
REMOTE = "http://mock.test:8765"


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PLUGCHAT_TOKEN", "PLUGCHAT_BASE_URL", "SALES_TOKEN", "SALES_BASE_URL"):
        monkeypatch.delenv(name, raising=False)


def user_agents(server: RawServer) -> list[str]:
    """The User-Agent headers of all requests."""
    lines = [line for request in server.requests for line in request.decode().split("\r\n")]
    return [line.removeprefix("User-Agent: ") for line in lines if line.startswith("User-Agent: ")]


# The environment.


async def test_a_session_without_a_token_reads_the_environment(
    sim: PlugChatSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `from_env` does."""
    monkeypatch.setenv("PLUGCHAT_TOKEN", sim.token)
    monkeypatch.setenv("PLUGCHAT_BASE_URL", sim.base_url)
    async with PlugChatSession() as session:
        assert len(await session.list_chats()) == 250


def test_without_a_token_anywhere_the_variable_is_named() -> None:
    """It is an error of ours, before any I/O."""
    with pytest.raises(InvalidValueError, match="PLUGCHAT_TOKEN is not set.*or pass the token"):
        PlugChatSession()


@pytest.mark.parametrize("quote", ["'", '"'])
def test_quotes_are_no_part_of_a_token(monkeypatch: pytest.MonkeyPatch, quote: str) -> None:
    """`docker --env-file` keeps them, and each request would be refused."""
    monkeypatch.setenv("PLUGCHAT_TOKEN", f"{quote}s3cret{quote}")
    with pytest.raises(InvalidValueError, match=r"^PLUGCHAT_TOKEN is in quotes.*docker") as caught:
        PlugChatSession()
    assert "s3cret" not in what_frames_show(caught.value) + str(caught.value)


def test_a_bad_token_of_the_environment_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """By its variable, of which there may be several, and not shown."""
    monkeypatch.setenv("PLUGCHAT_TOKEN", "0ther")
    monkeypatch.setenv("SALES_TOKEN", "s3cret\n")
    with pytest.raises(InvalidValueError, match="^SALES_TOKEN contains spaces") as caught:
        PlugChatSession.from_env(prefix="SALES_")
    assert "s3cret" not in what_frames_show(caught.value) + str(caught.value)


def test_none_is_no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable that is not set must not lead to another account's chats."""
    monkeypatch.setenv("PLUGCHAT_TOKEN", "other")
    lost: Any = None
    with pytest.raises(InvalidTypeError, match="token must be a str"):
        PlugChatSession(lost)


@pytest.mark.parametrize("given", [{}, {"base_url": None}])
async def test_the_base_url_is_read_whenever_it_is_not_given(
    sim: PlugChatSimulator, monkeypatch: pytest.MonkeyPatch, given: dict[str, Any]
) -> None:
    """With a token as well, for many accounts, and for the doctor: no test's token goes to production."""
    monkeypatch.setenv("PLUGCHAT_BASE_URL", f"{sim.base_url}/")
    assert PlugChatSession(sim.token, **given).base_url == sim.base_url
    assert PlugChatSession(sim.token, base_url="https://x.example").base_url == "https://x.example"
    results = [result async for result in fetch_many([Account("a", sim.token)], **given)]
    assert [len(result.chats) for result in results] == [250]
    assert (await examine(sim.token, **given)).base_url == sim.base_url
    monkeypatch.setenv("PLUGCHAT_BASE_URL", "")
    assert PlugChatSession(sim.token, **given).base_url == "https://app.plugchat.com.br"


def test_a_bad_base_url_of_the_environment_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """By its variable, since nobody passed a base_url."""
    monkeypatch.setenv("PLUGCHAT_BASE_URL", "app.plugchat.com.br")
    with pytest.raises(InvalidValueError, match="^PLUGCHAT_BASE_URL does not begin with https://"):
        PlugChatSession("t0ken")


async def test_several_accounts_have_prefixes(sim: PlugChatSimulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Token and base URL of their own; without the latter, that of PLUGCHAT_BASE_URL, never production."""
    sales = sim.add_account("sales-t0ken", 30)
    monkeypatch.setenv("PLUGCHAT_TOKEN", sim.token)
    monkeypatch.setenv("SALES_TOKEN", sales.token)
    monkeypatch.setenv("PLUGCHAT_BASE_URL", sim.base_url)
    async with PlugChatSession.from_env(prefix="SALES_") as session:
        assert len(await session.list_chats()) == 30
    monkeypatch.setenv("SALES_BASE_URL", "https://sales.example")
    assert PlugChatSession.from_env(prefix="SALES_").base_url == "https://sales.example"
    assert PlugChatSession.from_env().base_url == sim.base_url


def test_a_missing_variable_of_a_prefix_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The token of PLUGCHAT_TOKEN is another account's."""
    monkeypatch.setenv("PLUGCHAT_TOKEN", "other")
    with pytest.raises(InvalidValueError, match="SALES_TOKEN is not set"):
        PlugChatSession.from_env(prefix="SALES_")


@pytest.mark.parametrize(
    ("prefix", "error"), [("", InvalidValueError), ("a b", InvalidValueError), (1, InvalidTypeError)]
)
def test_a_prefix_begins_names(prefix: Any, error: type[Exception]) -> None:
    """Others are refused."""
    with pytest.raises(error, match="prefix must be"):
        PlugChatSession.from_env(prefix=prefix)


# Types of other libraries.


class GatewayUrl(HttpUrl):
    """A class of a user's own, as pydantic's documentation has it."""


@pytest.mark.parametrize("kind", [URL, HttpUrl, GatewayUrl])
async def test_urls_of_others_are_taken(sim: PlugChatSimulator, kind: Any) -> None:
    """By a session, and by accounts of many."""
    address = kind(sim.base_url)
    assert PlugChatSession(sim.token, base_url=address, proxy=kind("http://p.example:3128")).base_url == sim.base_url
    results = [result async for result in fetch_many([Account("a", sim.token, address)])]
    assert [result.error for result in results] == [None]


async def test_a_token_may_be_a_secret_str(sim: PlugChatSimulator) -> None:
    """Plain, from a function, and of an account."""
    secret = SecretStr(sim.token)
    for token in (secret, lambda: secret):
        async with PlugChatSession(token, base_url=sim.base_url) as session:
            assert len(await session.list_chats()) == 250
    results = [result async for result in fetch_many([Account("a", secret, sim.base_url)])]
    assert [result.error for result in results] == [None]


async def test_the_doctor_takes_the_same_types(sim: PlugChatSimulator) -> None:
    """Token, base URL and timeout; a proxy is not used for this machine."""
    report = await examine(
        SecretStr(sim.token),
        base_url=URL(sim.base_url),
        timeout=timedelta(seconds=9),
        proxy=SecretStr("http://u:p@p.example:3128"),
    )
    assert report.base_url == sim.base_url
    assert report.healthy


async def test_secrets_that_are_no_texts_are_refused(sim: PlugChatSimulator) -> None:
    """Without being shown."""
    wrong: Any = SecretBytes(b"s3cret")
    with pytest.raises(InvalidTypeError, match="got bytes") as caught:
        PlugChatSession(wrong)
    assert "s3cret" not in what_frames_show(caught.value)
    async with PlugChatSession(lambda: wrong, base_url=sim.base_url) as session:
        with pytest.raises(TokenError, match="got bytes"):
            await session.fetch_page(1, 10)


def test_a_proxy_may_be_a_secret_str() -> None:
    """It is checked as a text is, and not shown."""
    with pytest.raises(InvalidValueError, match="proxy must begin with") as caught:
        PlugChatSession("t", proxy=SecretStr("socks5://u:s3cret@p.example"))
    assert "s3cret" not in what_frames_show(caught.value) + str(caught.value)


@pytest.mark.parametrize("timeout", [0.25, timedelta(milliseconds=250), aiohttp.ClientTimeout(total=0.25)])
async def test_a_timeout_in_any_type(timeout: float | timedelta | aiohttp.ClientTimeout) -> None:
    """The message has the seconds."""

    async def silent(*_: object) -> None:
        await forever.wait()

    forever = asyncio.Event()
    once = RetryPolicy(attempts=1, deadline=timedelta(minutes=1))
    async with (
        RawServer(silent) as server,
        PlugChatSession("t", base_url=server.base_url, timeout=timeout, retry=once) as session,
    ):
        with pytest.raises(TimeoutError, match="within 0.25 s"):
            await session.fetch_page(1, 10)


@pytest.mark.parametrize(
    ("timeout", "given"),
    [
        (aiohttp.ClientTimeout(total=None), "without total"),
        (aiohttp.ClientTimeout(total=9, connect=1), "with connect"),
        (aiohttp.ClientTimeout(total=9, sock_connect=1, sock_read=2), "with sock_connect and sock_read"),
    ],
)
def test_a_timeout_of_another_thing_is_refused(timeout: aiohttp.ClientTimeout, given: str) -> None:
    """Rather than left out without a word."""
    with pytest.raises(InvalidValueError, match=f"timeout is an aiohttp.ClientTimeout {given}"):
        PlugChatSession("t", timeout=timeout)


def test_timedeltas_are_checked_as_seconds() -> None:
    """In each place that takes seconds."""
    assert RetryPolicy(deadline=timedelta(minutes=2), max_delay=timedelta(seconds=1)) == RetryPolicy(
        deadline=120.0, max_delay=1.0
    )
    with pytest.raises(InvalidValueError, match="timeout must be a finite number above 0"):
        PlugChatSession("t", timeout=timedelta(0))
    session = PlugChatSession("t")
    for name in ("interval", "full_scan_interval", "max_outage"):
        options: Any = {name: timedelta(seconds=-1)}
        with pytest.raises(InvalidValueError, match=f"{name} must be"):
            session.watch_chats(**options)


# The User-Agent.


async def test_an_applications_user_agent_comes_before_ours() -> None:
    """For one account and for many; ours stays."""
    async with RawServer(answering(ONE_CHAT)) as server:
        async with PlugChatSession("t", base_url=server.base_url, user_agent="shop-bot/2.1 (sales)") as session:
            await session.fetch_page(1, 10)
        async with PlugChatSession("t", base_url=server.base_url) as session:
            await session.fetch_page(1, 10)
        async for result in fetch_many([Account("a", "t", server.base_url)], page_size=10, user_agent="nightly"):
            assert result.error is None
    first, second, *others = user_agents(server)
    assert second.startswith("plugchat-async/")
    assert first == f"shop-bot/2.1 (sales) {second}"
    assert set(others) == {f"nightly {second}"}


@pytest.mark.parametrize("value", ["", " x", "a  b", "a\r\nX: y", "ç", "x" * 201])
def test_a_user_agent_is_one_header(value: str) -> None:
    """Anything that could be another one is refused."""
    with pytest.raises(InvalidValueError, match="user_agent must be"):
        PlugChatSession("t", user_agent=value)


def test_a_user_agent_is_a_str() -> None:
    """Another type is named."""
    value: Any = 7
    with pytest.raises(InvalidTypeError, match="user_agent must be a str, got int"):
        PlugChatSession("t", user_agent=value)


# http on other hosts.


class _Loopback(AbstractResolver):
    """Each name is this machine's."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        return [ResolveResult(hostname=host, host="127.0.0.1", port=port, family=socket.AF_INET, proto=0, flags=0)]

    async def close(self) -> None:
        """Nothing is open."""


@asynccontextmanager
async def other_host(server: RawServer) -> AsyncIterator[tuple[str, aiohttp.ClientSession]]:
    """A base URL that is not loopback's, and a client session that finds the server there."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(resolver=_Loopback())) as client:
        yield f"http://mock.test:{server.port}", client


async def test_http_on_another_host_needs_a_word_and_warns_once(caplog: pytest.LogCaptureFixture) -> None:
    """Not for each page. On loopback, and with https, there is nothing to warn of."""
    with pytest.raises(InvalidValueError, match="base_url must be https.*insecure_http=True"):
        PlugChatSession("t", base_url=REMOTE)
    async with RawServer(answering(ONE_CHAT)) as server, other_host(server) as (base_url, client):
        async with PlugChatSession("t0k3n", base_url=base_url, client_session=client, insecure_http=True) as session:
            for _ in range(2):
                assert len((await session.fetch_page(1, 10)).chats) == 1
        warned = [record for record in caplog.records if record.levelno == logging.WARNING]
        assert [record.getMessage() for record in warned] == [
            f"insecure_http: the token is sent to {base_url} in clear text"
        ]
        caplog.clear()
        for quiet in (server.base_url, "https://x.example"):
            PlugChatSession("t", base_url=quiet, insecure_http=True)
        assert not caplog.records


async def test_many_accounts_on_another_host_warn_once(caplog: pytest.LogCaptureFixture) -> None:
    """Their own base URLs count as well, and so do those of a file."""
    accounts = [Account(name, "t", REMOTE) for name in "ab"]
    quick = RetryPolicy(attempts=1)
    async for result in fetch_many(accounts):
        assert isinstance(result.error, InvalidValueError)
    assert not caplog.records
    clock = FakeTime().clock
    results = [
        result async for result in fetch_many(accounts, insecure_http=True, retry=quick, clock=clock, proxy=DEAD)
    ]
    assert [type(result.error).__name__ for result in results] == ["ConnectionFailedError"] * 2
    assert [record.levelname for record in caplog.records] == ["WARNING"]


# Where nothing listens: a port below 1024 that no test takes.
DEAD = "http://127.0.0.1:9"


def test_a_file_may_have_http_base_urls(tmp_path: Path) -> None:
    """If that is allowed where it is read."""
    file = tmp_path / "accounts.csv"
    file.write_text(f"name,token,base_url\na,t,{REMOTE}\n", encoding="utf-8")
    with pytest.raises(InvalidValueError, match="line 2: 'a': base_url must be https"):
        read_accounts(file)
    assert [account.base_url for account in read_accounts(file, insecure_http=True)] == [REMOTE]


# What came back.


async def test_a_page_has_its_responses_headers_and_the_requests_id() -> None:
    """Lines of one name together, no cookies, and nothing of it in the repr."""
    answer = http(b'[{"phone":"1"}]', "X-Request-ID: r-17", "Via: a", "Via: b", "Set-Cookie: sid=s3cret")
    async with RawServer(answering(answer)) as server, PlugChatSession("t0k3n", base_url=server.base_url) as session:
        page = await session.fetch_page(1, 10)
    assert page.status == 200
    assert page.request_id == "r-17"
    assert page.headers == {"content-length": "15", "x-request-id": "r-17", "via": "a, b"}
    assert "r-17" not in repr(page)
    assert b"s3cret" not in b"".join(value for _, value in page.raw_headers)
    assert pickle.loads(pickle.dumps(page)).headers == page.headers


async def test_a_page_without_an_id_has_none(plugchat: PlugChatSession) -> None:
    """The simulator sends none."""
    assert (await plugchat.fetch_page(1, 10)).request_id is None


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (http(b"no", "CF-Ray: 8a1", "Set-Cookie: sid=s3cret", status="500 Oh"), ServerError),
        (http(b"[1]", "Request-Id: 8a1"), DecodeError),
    ],
)
async def test_an_error_has_its_responses_headers_and_the_requests_id(answer: bytes, kind: type[ServerError]) -> None:
    """For the service's support: the id is in the message. It survives pickling."""
    once = RetryPolicy(attempts=1)
    async with (
        RawServer(answering(answer)) as server,
        PlugChatSession("t0k3n", base_url=server.base_url, retry=once) as session,
    ):
        with pytest.raises(kind) as caught:
            await session.fetch_page(1, 10)
    error = pickle.loads(pickle.dumps(caught.value))
    assert error.request_id == "8a1"
    assert "8a1" in error.headers.values()
    assert "set-cookie" not in error.headers
    if kind is ServerError:
        assert "request id 8a1" in str(error)


async def test_headers_hold_no_token() -> None:
    """A server may echo it, in a name too."""
    echo = ("X-Request-Id: s3cr3t-t0ken", "X-Echo: token=s3cr3t%2Dt0ken", "X-s3cr3t-t0ken: 1")
    ok, bad = http(b'[{"phone":"1"}]', *echo), http(b"no", *echo, status="404 No")
    async with (
        RawServer(answering(ok, bad)) as server,
        PlugChatSession("s3cr3t-t0ken", base_url=server.base_url) as session,
    ):
        page = await session.fetch_page(1, 10)
        with pytest.raises(Exception, match="404") as caught:
            await session.fetch_page(1, 10)
    error: Any = caught.value
    for headers in (page.headers, error.headers):
        assert headers["x-request-id"] == "***"
        assert "t0ken" not in str(headers)
    assert error.request_id == "***"


# What it says of itself.


async def test_a_session_tells_its_base_url_and_whether_it_is_closed(sim: PlugChatSimulator) -> None:
    """A new one is not closed yet."""
    session = PlugChatSession(sim.token, base_url=f"{sim.base_url}/api/whatsapp/chats")
    assert (session.base_url, session.closed) == (sim.base_url, False)
    async with session:
        assert not session.closed
    assert session.closed


async def test_the_hint_of_a_session_that_is_not_open_names_open() -> None:
    """Programs that can't use `async with` need to know."""
    with pytest.raises(SessionStateError, match=r"not open.*await session\.open\(\)"):
        await PlugChatSession("t").fetch_page(1, 10)
