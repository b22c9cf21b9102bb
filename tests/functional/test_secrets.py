"""The token is in no text: not in str, repr, logs, pickles, nor in a traceback with its frames' locals."""

import asyncio
import io
import json
import logging
import sys
from collections.abc import Callable, Iterator
from typing import Any
from unittest.mock import patch

import aiohttp
import pytest

from plugchat_async import Account, PlugChatError, PlugChatSession, errors, export_many, fetch_many
from plugchat_async.testing import Fault, PlugChatSimulator, Quirks
from support.fakes import FakeTime, RawServer, answering, http
from support.seen import texts

TOKEN = "s3cr3t-t0ken-that-nobody-may-see"
ECHO = f"no such token: {TOKEN}"
ECHO_HEADERS = {"X-Secret": TOKEN, "Location": f"https://{TOKEN}.example/{TOKEN}", "Allow": f"GET, {TOKEN}"}
ECHO_HEADERS |= {"Accept": TOKEN, "Retry-After": TOKEN, "Date": TOKEN, "Content-Type": f"text/{TOKEN}"}


@pytest.fixture(autouse=True)
def logged() -> Iterator[io.StringIO]:
    """All that this package logs, down to DEBUG."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    logger = logging.getLogger("plugchat_async")
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    yield stream
    logger.removeHandler(handler)
    logger.setLevel(logging.NOTSET)


def assert_unseen(error: BaseException, logged: io.StringIO) -> None:
    for text in [*texts(error), logged.getvalue()]:
        assert TOKEN not in text
        assert TOKEN.lower() not in text.lower()


FAULTS: dict[str, Fault] = {
    **{
        f"status {status}": Fault.status(status, headers=ECHO_HEADERS, body=ECHO)
        for status in (302, 400, 401, 403, 404, 405, 407, 408, 415, 425, 429, 500, 503, 599)
    },
    "clipped status": Fault.status(500, body="x" * 190 + TOKEN),
    "html": Fault.answer(f"<html>{ECHO}</html>"),
    "object": Fault.answer(f'{{"error": "{ECHO}"}}'),
    "not connected": Fault.status(400, body=json.dumps({"error": f"You are not connected. {ECHO}"})),
    "not allowed": Fault.status(403, body=json.dumps({"error": f"192.0.2.1 not allowed. {ECHO}"})),
    "firewall": Fault.status(403, headers=ECHO_HEADERS, body=f"<html>{ECHO}</html>"),
    "broken": Fault.answer(f'[{{"phone": "{TOKEN}"'),
    "malformed chat": Fault.answer(f'["{TOKEN}"]'),
    "malformed values": Fault.answer(f'[{{"phone": ["{TOKEN}"], "unread": "{"x" * 50}{TOKEN}"}}]'),
    "upper case": Fault.answer(f'[{{"phone": "1", "unread": "{TOKEN.upper()}"}}]'),
    "escaped": Fault.status(400, body=json.dumps({"error": ECHO}).replace("-", "\\u002d")),
    "escaped chat": Fault.answer(f'[{{"phone": ["{TOKEN.replace("-", chr(92) + "u002d")}"]}}]'),
    "cut in the middle of it": Fault.status(400, body=ECHO[:-3]),
    "behind many blanks": Fault.status(400, body=" " * 65_520 + TOKEN),
    "reset": Fault.reset(),
    "close": Fault.close(),
    "truncate": Fault.truncate(),
    "garbage": Fault.raw(ECHO.encode()),
    "bad header": Fault.raw(b"HTTP/1.1 200 OK\r\n" + TOKEN.encode() + b"\r\n\r\n"),
    "bad status line": Fault.raw(b"HTTP/1.1 " + TOKEN.encode() + b"\r\n\r\n"),
}


def assert_no_part_seen(error: BaseException) -> None:
    """Not even the first eight characters, which give a token away."""
    assert TOKEN[:8] not in str(error)


@pytest.mark.parametrize("name", FAULTS)
async def test_no_fault_shows_the_token(name: str, logged: io.StringIO) -> None:
    """A server that echoes the token wherever it can."""
    async with (
        PlugChatSimulator(10, token=TOKEN) as sim,
        PlugChatSession(TOKEN, base_url=sim.base_url, clock=FakeTime().clock, on_bad_value="raise") as session,
    ):
        sim.script(*[FAULTS[name]] * 9)
        with pytest.raises(PlugChatError) as caught:
            await session.list_chats()
        assert_unseen(caught.value, logged)
        assert_no_part_seen(caught.value)
        assert TOKEN not in repr(session)


@pytest.mark.parametrize("value", [TOKEN.upper(), "x" * 50 + TOKEN, TOKEN.replace("-", "\\u002d")])
async def test_no_bad_value_shows_the_token(value: str, logged: io.StringIO) -> None:
    """Nor does the warning of a walk that goes on, nor the page that tells of it."""
    async with (
        PlugChatSimulator(10, token=TOKEN) as sim,
        PlugChatSession(TOKEN, base_url=sim.base_url, clock=FakeTime().clock) as session,
    ):
        sim.script(Fault.answer(f'[{{"phone": "1", "unread": "{value}"}}, {{"phone": "2", "pinned": ["{value}"]}}]'))
        pages = [page async for page in session.iter_pages(100)]
    assert len(pages[0].problems) == 2
    text = f"{pages[0].problems!r} {logged.getvalue()}".lower()
    assert "expected a count" in text
    assert TOKEN[:8].lower() not in text


async def test_a_url_that_a_middleware_changed_does_not_show_the_token(logged: io.StringIO) -> None:
    """Some put it into the query."""

    async def meddle(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        request.url = request.url.update_query(token=TOKEN)
        return await handler(request)

    async with (
        PlugChatSimulator(10, token=TOKEN) as sim,
        aiohttp.ClientSession(middlewares=(meddle,)) as client,
        PlugChatSession(TOKEN, base_url=sim.base_url, client_session=client) as session,
    ):
        for fault in (Fault.status(401), Fault.answer("{}")):
            sim.script(fault)
            with pytest.raises(PlugChatError) as caught:
                await session.list_chats()
            assert_unseen(caught.value, logged)


async def test_a_cancelled_request_does_not_show_the_token() -> None:
    """Nor do the frames behind the TimeoutError that asyncio makes of a cancellation."""
    async with (
        PlugChatSimulator(10, token=TOKEN) as sim,
        PlugChatSession(TOKEN, base_url=sim.base_url) as session,
    ):
        sim.script(Fault.hang())
        with pytest.raises(TimeoutError) as caught:
            async with asyncio.timeout(0.05):
                await session.list_chats()
        for text in texts(caught.value):
            assert TOKEN not in text


async def fetch_from(base_url: str, **options: Any) -> None:
    async with PlugChatSession(TOKEN, base_url=base_url, clock=FakeTime().clock, **options) as session:
        await session.fetch_page(1, 10)


async def refused() -> None:
    async with RawServer(answering(b"")) as server:
        base_url = server.base_url
    await fetch_from(base_url)


async def bad_certificate() -> None:
    import ssl

    import trustme

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("localhost").configure_cert(context)
    async with RawServer(answering(b""), ssl_context=context) as server:
        await fetch_from(server.base_url)


async def times_out() -> None:
    async def hang(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read()

    async with RawServer(hang) as server:
        await fetch_from(server.base_url, timeout=0.01)


async def too_large() -> None:
    async with RawServer(answering(http(b"[" + b" " * 100 + b"]"))) as server:
        await fetch_from(server.base_url, max_response_bytes=10)


async def auth_of_its_own() -> None:
    with pytest.warns(DeprecationWarning):
        client = aiohttp.ClientSession(auth=aiohttp.BasicAuth("user", TOKEN))
    async with RawServer(answering(http(b"[]"))) as server, client:
        await fetch_from(server.base_url, client_session=client)


async def page_repeated() -> None:
    async with (
        PlugChatSimulator(20, token=TOKEN, quirks=Quirks(ignore_page=True)) as sim,
        PlugChatSession(TOKEN, base_url=sim.base_url) as session,
    ):
        await session.list_chats(10)


async def page_limit() -> None:
    async with (
        PlugChatSimulator(20, token=TOKEN) as sim,
        PlugChatSession(TOKEN, base_url=sim.base_url) as session,
    ):
        await session.list_chats(10, max_pages=1)


async def never_quiet() -> None:
    async with (
        PlugChatSimulator(20, token=TOKEN) as sim,
        PlugChatSession(TOKEN, base_url=sim.base_url) as session,
    ):
        sim.traffic(inserts=2)
        await session.list_chats(4, max_page_size=None, require_verified=True)


async def not_open() -> None:
    await PlugChatSession(TOKEN).list_chats()


async def bad_argument() -> None:
    async with PlugChatSession(TOKEN) as session:
        await session.list_chats(0)


def constructed(token: Any = TOKEN, **options: Any) -> Callable[[], Any]:
    async def construct() -> None:
        PlugChatSession(token, **options)

    return construct


async def without_an_extra() -> None:
    with patch.dict(sys.modules, {"pyarrow": None}):
        await export_many([Account("a", TOKEN)], "/dev/null/nowhere", format="parquet")


async def export_into_nowhere() -> None:
    await export_many([Account("a", TOKEN)], "/dev/null/nowhere")


def bulk(accounts: Any = None, **options: Any) -> Callable[[], Any]:
    async def fetch() -> None:
        fake = FakeTime()
        async for _ in fetch_many(accounts or [Account("a", TOKEN)], clock=fake.clock, **options):
            """The error is what is wanted."""

    return fetch


def token_function(*, gives: bool) -> Callable[[], Any]:
    def token() -> str:
        if gives:
            return f"{TOKEN}\n"
        raise ValueError(TOKEN)

    async def fetch() -> None:
        async with PlugChatSession(token) as session:
            await session.fetch_page(1, 10)

    return fetch


MAKERS: list[Callable[[], Any]] = [
    refused,
    bad_certificate,
    times_out,
    too_large,
    auth_of_its_own,
    page_repeated,
    page_limit,
    never_quiet,
    not_open,
    bad_argument,
    constructed(f" {TOKEN}"),
    constructed(f"{TOKEN}\r\n"),
    constructed(f"Bearer {TOKEN}"),
    constructed(TOKEN + "é"),
    constructed(TOKEN.encode()),
    token_function(gives=True),
    token_function(gives=False),
    constructed(base_url="http://app.plugchat.com.br"),
    constructed(base_url=f"https://user:{TOKEN}@app.plugchat.com.br"),
    constructed(base_url=f"https://app.plugchat.com.br/?token={TOKEN}"),
    constructed(proxy=f"socks5://user:{TOKEN}@x.example"),
    constructed(timeout=-1),
    constructed(requests_per_second=0),
    export_into_nowhere,
    without_an_extra,
    bulk(on_error="never", proxy=f"http://user:{TOKEN}@x.example"),
    bulk(stream=5, base_url=f"https://user:{TOKEN}@x.example"),
    bulk(on_result=5, proxy=f"http://user:{TOKEN}@x.example"),
    bulk(limit=-1, proxy=f"http://user:{TOKEN}@x.example"),
    bulk(on_error="raise", base_url="http://127.0.0.1:1"),
    bulk([TOKEN]),
    bulk([(TOKEN,)]),
]


@pytest.mark.slow
@pytest.mark.parametrize("make", MAKERS, ids=lambda make: make.__name__)
async def test_no_other_error_shows_the_token(make: Callable[[], Any], logged: io.StringIO) -> None:
    """Errors of the connection, of arguments, of the session's state, of the walk."""
    with pytest.raises(PlugChatError) as caught:
        await make()
    assert_unseen(caught.value, logged)


@pytest.mark.slow
async def test_every_error_there_is_was_made(logged: io.StringIO) -> None:
    """The two tests above make an error of each class that is raised."""
    made: set[type] = set()

    async def collect(awaitable: Any) -> None:
        try:
            await awaitable
        except PlugChatError as error:
            made.add(type(error))

    for make in MAKERS:
        await collect(make())
    for fault in FAULTS.values():
        async with (
            PlugChatSimulator(10, token=TOKEN) as sim,
            PlugChatSession(TOKEN, base_url=sim.base_url, clock=FakeTime().clock) as session,
        ):
            sim.script(*[fault] * 9)
            await collect(session.list_chats())
    concrete = {
        cls
        for cls in vars(errors).values()
        if isinstance(cls, type) and issubclass(cls, PlugChatError) and not cls.__subclasses__()
    }
    assert concrete <= made
