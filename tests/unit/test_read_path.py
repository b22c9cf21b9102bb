"""Whatever a server sends, there is a page or an error of ours, soon, small and without the token.

The whole path is read, from a byte-exact server on loopback up to the session, and apart from that what a page fetcher
makes of any sequence of outcomes. One event loop is kept for all examples, which is what makes them quick.
"""

import asyncio
import codecs
import gc
import html
import json
import logging
import pickle
import re
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager
from typing import Any, TypeVar
from urllib.parse import quote, unquote

import pytest
from attrs import define, field, frozen
from hypothesis import HealthCheck, event, example, given, settings
from hypothesis import strategies as st

from plugchat_async import (
    Clock,
    ConnectionFailedError,
    NotJSONError,
    Page,
    PlugChatError,
    PlugChatSession,
    RequestTimeoutError,
    ResponseTooLargeError,
    RetryPolicy,
    SessionStateError,
)
from plugchat_async._http.proxy import Proxies
from plugchat_async._http.request import Request
from plugchat_async._http.response import Response
from plugchat_async._http.transport import AttemptFailed, Transport
from plugchat_async._http.urls import DOCUMENTED_ORIGINS
from support.fakes import FakeTime, RawServer, http

T = TypeVar("T")

pytestmark = pytest.mark.timeout(240)  # a machine may have much else to do

TOKEN = "s3cr3t-t0ken/that-nobody&may-see"
# A body may be so large, decompressed.
LIMIT = 64 * 1024
# Far more than any example takes, even on a machine that has much else to do.
PATIENCE = 30.0
HONEST = http(b'[{"phone":"5511999999999","name":"honest"}]', "Content-Type: application/json")


# What a server sends.

# Servers echo what they were sent: as it is, in JSON, in URLs, in HTML, in another case, and cut off.
ECHOES = [
    TOKEN,
    TOKEN.upper(),
    TOKEN[:12],
    TOKEN.replace("/", "\\/"),
    "".join(f"\\u{ord(c):04x}" for c in TOKEN),
    quote(TOKEN, safe=""),
    "".join(f"%{ord(c):02X}" for c in TOKEN),
    html.escape(TOKEN),
    "".join(f"&#{ord(c)};" for c in TOKEN),
    "".join(f"&#x{ord(c):x};" for c in TOKEN),
    " ".join(TOKEN),
    "\x00".join(TOKEN),
]
TEXTS = (
    st.text(max_size=12)
    | st.sampled_from(ECHOES)
    | st.builds("{}{}".format, st.text("x \u00e7\U0001f600", max_size=220), st.sampled_from(ECHOES))
)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | TEXTS
    | st.sampled_from(
        ["0", "1", "true", "1622991687", 10**30, 1622991687, 253402300800, "2021-06-06T12:00:00-03:00", "NaN", [], {}]
    )
)
FIELDS = ["name", "unread", "lastMessageTime", "isMuted", "isMarkedSpam", "profileThumbnail", "messagesUnread", "x"]
CHATS = st.fixed_dictionaries({"phone": st.text("0123456789@-", min_size=1, max_size=15)})
NEARLY_CHATS = st.dictionaries(st.sampled_from(["phone", *FIELDS]), SCALARS, max_size=9) | SCALARS
PAGES = st.lists(CHATS, max_size=5) | st.lists(CHATS | NEARLY_CHATS, max_size=5) | NEARLY_CHATS
DOCUMENTS = st.builds(
    lambda page, escaped, encoding: json.dumps(page, ensure_ascii=escaped).encode(encoding, "surrogatepass"),
    PAGES,
    st.booleans(),
    st.sampled_from(["utf-8"] * 5 + ["utf-8-sig", "utf-16", "utf-32"]),
)
ODD_BODIES = st.sampled_from(
    [
        b"",
        b" ",
        b"null",
        b"[]",
        b"[" * 5000,
        b"[" * 5000 + b"]" * 5000,
        b'[{"phone":"1","x":' * 200,
        b'[{"phone":"1","unread":' + b"9" * 5000 + b"}]",
        b'[{"phone":"1","unread":1e999}]',
        rb'[{"phone":"1","name":"\ud83d"}]',
        codecs.BOM_UTF8 + b'[{"phone":"1"}]',
        b'[{"phone":"' + TOKEN.encode() + b'"',
        b"<html>" + html.escape(TOKEN).encode() + b"</html>",
        b"[" + b" " * LIMIT + b"]",
        b"\\" * 5000,
    ]
)
BODIES = DOCUMENTS | DOCUMENTS | ODD_BODIES | st.binary(max_size=100) | st.sampled_from(ECHOES).map(str.encode)

LIKELY = [200, 301, 302, 304, 400, 401, 403, 404, 405, 408, 415, 418, 425, 429, 500, 502, 503, 504, 599]
LINES = st.one_of(
    st.just(b"HTTP/1.1 200 OK"),
    st.just(b"HTTP/1.1 200 OK"),
    st.just(b"HTTP/1.1 200 OK"),
    st.sampled_from(LIKELY).map(lambda status: b"HTTP/1.1 %d X" % status),
    st.integers(100, 999).map(lambda status: b"HTTP/1.1 %d" % status),
    st.sampled_from(
        [
            b"HTTP/1.0 200 OK",
            b"HTTP/1.1 2000 OK",
            b"HTTP/1.1 -20 OK",
            b"HTTP/9.9 200 OK",
            b"ICY 200 OK",
            b"",
            b"{}",
            b"HTTP/1.1 200 " + TOKEN.encode(),
            b"HTTP/1.1 " + TOKEN.encode(),
            b"HTTP/1.1 200 \xff",
            b"HTTP/1.1 2\xb20 OK",
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK",
            b"HTTP/1.1 103 Early Hints\r\n\r\n" * 20 + b"HTTP/1.1 500 X",
        ]
    ),
)
# Most of what is odd is no HTTP, which hides all else.
CLEAN = TEXTS.map(lambda text: "".join(c if c.isprintable() else "?" for c in text).encode("utf-8", "replace"))
VALUES = st.one_of(
    CLEAN,
    CLEAN,
    CLEAN,
    st.binary(max_size=12)
    | st.sampled_from([b"", b"0", b"1", b"-1", b"2.5", b"9" * 400, b"x" * 2000, b"x" * 9000, b"\xff\xfe", b"a\x00b"]),
)
RETRY_AFTER = st.sampled_from([b"0", b"1", b"59", b"61", b"9" * 20, b"Sun, 09 Sep 2001 01:46:45 GMT", b"\xd9\xa3"])
NAMED = st.one_of(
    st.tuples(st.just(b"Retry-After"), RETRY_AFTER | VALUES),
    st.tuples(st.just(b"Date"), st.sampled_from([b"Sun, 09 Sep 2001 01:46:40 GMT", b"soon"]) | VALUES),
    st.tuples(st.just(b"Location"), st.sampled_from([b"/", b"//x", b"https://[", b"http://\xff/"]) | VALUES),
    st.tuples(st.just(b"Allow"), st.sampled_from([b"GET", b"POST, PUT", b",,"]) | VALUES),
    st.tuples(st.just(b"Content-Type"), st.sampled_from([b"application/json", b"text/html; charset=x"]) | VALUES),
    st.tuples(st.just(b"Connection"), st.sampled_from([b"close", b"keep-alive", b"upgrade"]) | VALUES),
    st.tuples(
        st.sampled_from([b"Set-Cookie", b"Accept", b"X", b"Upgrade", b"Trailer", b"WWW-Authenticate", b"", b"a b"]),
        VALUES,
    ),
)
CODINGS = [b"gzip", b"deflate", b"br", b"zstd", b"compress", b"identity", b"gzip, deflate", b"\xff", b""]


@st.composite
def answers(draw: st.DrawFn) -> bytes:
    """One answer: a line, headers, a body, encoded and framed rightly or not."""
    body = draw(BODIES)
    headers = [b"%b: %b" % pair for pair in draw(st.lists(NAMED, max_size=4))]
    coding = draw(st.sampled_from(["", "", "", "", "gzip", "deflate", "said", "cut", "bomb"]))
    if coding == "said":
        headers.append(b"Content-Encoding: " + draw(st.sampled_from(CODINGS)))
    elif coding:
        body = bytes(2_000_000) if coding == "bomb" else body
        packer = zlib.compressobj(wbits=zlib.MAX_WBITS if coding == "deflate" else 16 + zlib.MAX_WBITS)
        body = packer.compress(body) + packer.flush()
        body = body[: draw(st.integers(0, len(body)))] if coding == "cut" else body
        headers.append(b"Content-Encoding: " + (b"deflate" if coding == "deflate" else b"gzip"))
    length = len(body)
    match draw(st.sampled_from(["right"] * 6 + ["wrong", "none", "chunked", "chunked", "bad chunks", "both"])):
        case "right":
            headers.append(b"Content-Length: %d" % length)
        case "wrong":
            lengths = st.sampled_from(
                [b"-1", b"x", b"1, 1", b"9" * 30, b"0x10", b"+5", b"", b"%d\r\nContent-Length: 0"]
            )
            nearly = st.integers(-3, 3).map(lambda more: b"%d" % (length + more))
            headers.append(b"Content-Length: " + draw(nearly | lengths))
        case "chunked" | "both" | "bad chunks" as how:
            if how == "both":
                headers.append(b"Content-Length: %d" % length)
            headers.append(
                b"Transfer-Encoding: " + draw(st.sampled_from([b"chunked"] * 4 + [b"gzip", b"gzip, chunked"]))
            )
            sizes = st.sampled_from(
                [b"%x" % length] if how != "bad chunks" else [b"-1", b"zz", b"f" * 30, b"", b"0;x=y"]
            )
            body = b"%b\r\n%b\r\n0\r\n%b\r\n" % (
                draw(sizes),
                body,
                draw(st.sampled_from([b"", b"", b"X: y\r\n", b"x"])),
            )
        case _:
            """The end of the connection ends it."""
    more = draw(st.sampled_from([0] * 12 + [20, 200]))
    headers += [b"X-Many-%d: %d" % (number, number) for number in range(more)]
    return b"\r\n".join([draw(LINES), *draw(st.permutations(headers)), b"", body])


VALID = [
    HONEST,
    http(b"[]", f"Set-Cookie: {TOKEN}", "Retry-After: 3", "Location: /x", status="503 Service Unavailable"),
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Encoding: gzip\r\n\r\n"
    b"1d\r\n" + zlib.compress(b'[{"phone":"1"}]', wbits=16 + zlib.MAX_WBITS)[:29] + b"\r\n0\r\n\r\n",
    http(f'{{"error":"{TOKEN}"}}'.encode(), "Allow: GET, POST", "Connection: keep-alive", status="405 No"),
]
PIECES = st.binary(min_size=1, max_size=4) | st.sampled_from(
    [
        b"\r\n",
        b"\n",
        b"\r\n\r\n",
        b"\x00",
        b":",
        b"Content-Length: 3\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"HTTP/1.1 ",
        b'"',
        b"[",
        b"0",
        TOKEN.encode(),
    ]
)


@st.composite
def mutants(draw: st.DrawFn) -> bytes:
    """A valid answer, bytes of which were changed, put in, taken out, doubled, or cut off."""
    data = draw(st.sampled_from(VALID) | answers())
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(data)))
        end = min(len(data), start + draw(st.integers(0, 20)))
        match draw(st.sampled_from(["flip", "insert", "delete", "double", "cut"])):
            case "flip" if start < len(data):
                data = data[:start] + bytes([data[start] ^ 1 << draw(st.integers(0, 7))]) + data[start + 1 :]
            case "insert":
                data = data[:start] + draw(PIECES) + data[start:]
            case "delete":
                data = data[:start] + data[end:]
            case "double":
                data = data[:end] + data[start:]
            case _:
                data = data[:start]
    return data


ANSWERS = answers() | mutants()


# Where it is read.


class Complaints(logging.Handler):
    """What nobody should have to say: of the event loop, that an error was lost; in logs, the token."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lost: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if shows_token(text := record.getMessage()):
            self.lost.append(text)

    def note(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self.lost.append(repr(context))


@define
class Arena:
    """An event loop and a server in it, for all examples of this module."""

    runner: asyncio.Runner
    complaints: Complaints
    server: RawServer = field(init=False)
    left: list[bytes] = field(factory=list[bytes])
    hanging: bool = False

    def __attrs_post_init__(self) -> None:
        self.server = RawServer(self.answer)

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Send what is next, the last one again and again; then hang up, or hang."""
        writer.write(self.left.pop(0) if len(self.left) > 1 else self.left[0])
        await writer.drain()
        if self.hanging:
            await reader.read()  # until the client has enough of it
        writer.close()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)


@pytest.fixture(scope="module")
def arena() -> Iterator[Arena]:
    # Given a factory, the runner leaves alone which loop pytest-asyncio has for this thread.
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        complaints = Complaints()
        # Python's development mode would keep a traceback for each callback, which takes longer than all else.
        runner.get_loop().set_debug(False)
        runner.get_loop().set_exception_handler(complaints.note)
        logger, level = logging.getLogger("plugchat_async"), logging.getLogger("plugchat_async").level
        logger.addHandler(complaints)
        logger.setLevel(logging.DEBUG)
        arena = Arena(runner, complaints)
        runner.run(arena.server.__aenter__())
        try:
            yield arena
        finally:
            runner.run(arena.server.__aexit__(None, None, None))
            logger.removeHandler(complaints)
            logger.setLevel(level)
        gc.collect()  # a task whose error nobody has looked at says so when it is freed
        assert complaints.lost == []


def shows_token(text: str) -> bool:
    """Whether the token, or what gives it away, is in a text in any spelling that servers use."""
    spellings = [text, unquote(text), html.unescape(text), re.sub(r"\\+u00([0-9a-f]{2})", _character, text)]
    spellings += [spelling.replace("\\", "") for spelling in spellings]
    return TOKEN[:8] in text or any(TOKEN.lower() in spelling.lower() for spelling in spellings)


def _character(match: re.Match[str]) -> str:
    return chr(int(match[1], 16))


def assert_good_error(error: PlugChatError) -> None:
    """It pickles, is printable, and shows the token nowhere."""
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert (str(again), repr(again)) == (str(error), repr(error))
    assert str(error).isprintable()
    assert len(str(error)) < 3000
    for text in (str(error), repr(error), repr(vars(error)), pickle.dumps(error).decode("latin-1")):
        assert not shows_token(text), text
    assert error.__cause__ is None
    assert error.__context__ is None


async def outcome_of(session: PlugChatSession) -> Page | PlugChatError:
    """What comes of page 1, within the bound."""
    try:
        async with asyncio.timeout(PATIENCE):
            return await session.fetch_page(1, 10)
    except PlugChatError as error:
        return error


@asynccontextmanager
async def opened(arena: Arena, fake: FakeTime, **options: Any) -> AsyncIterator[PlugChatSession]:
    """A session on the arena's server; when it is closed, it has left nothing behind."""
    arena.server.requests.clear()
    before = asyncio.all_tasks()
    async with PlugChatSession(
        TOKEN, base_url=arena.server.base_url, clock=fake.clock, max_response_bytes=LIMIT, **options
    ) as session:
        yield session
    left = {task for task in asyncio.all_tasks() - before if "_serve" not in repr(task.get_coro())}
    assert not left


async def hang_up(arena: Arena) -> None:
    """Let the server close all connections, and the client notice it."""
    for task in list(arena.server._tasks):
        task.cancel()
    while arena.server.open_connections:
        await asyncio.sleep(0)
    for _ in range(3):
        await asyncio.sleep(0)


def look_at(found: Page | PlugChatError, session: PlugChatSession, fake: FakeTime, requests: int) -> None:
    """Check all that is promised of one page."""
    policy, budget = RetryPolicy(), session._fetcher.budget
    assert sum(fake.sleeps) < policy.deadline
    assert all(0.0 <= wait <= max(policy.max_delay, policy.max_retry_after) for wait in fake.sleeps)
    assert 0 <= budget.tokens <= budget.capacity
    repairs = 0
    if isinstance(found, PlugChatError):
        assert_good_error(found)
        assert len(found.attempts) >= 1
        repairs = len({attempt.repair for attempt in found.attempts} - {""})
    elif session._fetcher.template.content_type is None:
        repairs = 1
    assert 1 <= requests <= policy.attempts + repairs + 1, found
    assert isinstance(found, PlugChatError) or len(found.raw) <= LIMIT


async def meet(
    arena: Arena, sent: list[bytes], *, timeout: float = PATIENCE, hanging: bool = False
) -> Page | PlugChatError:
    """Fetch a page from a server that sends these answers, then an honest one over the same session."""
    fake = FakeTime()
    async with opened(arena, fake, timeout=timeout) as session:
        arena.left, arena.hanging = list(sent), hanging
        found = await outcome_of(session)
        look_at(found, session, fake, len(arena.server.requests))
        await hang_up(arena)
        arena.left, arena.hanging = [HONEST], False
        session._fetcher.timeout = PATIENCE
        fake.now += 1000.0  # what a 429 has asked for is over
        honest = await session.fetch_page(1, 10)
        assert [chat.name for chat in honest.chats] == ["honest"]
        assert session._fetcher.limits.slots._value == 64
    return found


QUICK = settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


@pytest.mark.slow
@QUICK
@given(sent=st.lists(ANSWERS, min_size=1, max_size=4))
@example(sent=[http(b"[]", "Retry-After: 60", status="429 X")])
@example(sent=[http(b"no", status="415 X"), b"", HONEST])
@example(sent=[b"HTTP/1.1 100 Continue\r\n\r\n"])
@example(sent=[HONEST + HONEST])
def test_whatever_is_sent_there_is_a_page_or_an_error(arena: Arena, sent: list[bytes]) -> None:
    """From a server that closes each connection when it has sent its answer."""
    # aiohttp does not notice that the connection was closed behind a large body of a 1xx, which nobody reads.
    found = arena.run(meet(arena, sent, timeout=0.5))
    event(type(found).__name__)
    assert arena.complaints.lost == []


@pytest.mark.slow
@settings(QUICK, max_examples=40)
@given(sent=st.lists(ANSWERS, min_size=1, max_size=3))
@example(sent=[b""])
@example(sent=[b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n["])
def test_a_server_that_hangs_is_not_waited_for(arena: Arena, sent: list[bytes]) -> None:
    """What is not complete when `timeout` is over fails, and the connection is given up."""
    arena.run(meet(arena, sent, timeout=0.02, hanging=True))
    assert arena.complaints.lost == []


@settings(QUICK, max_examples=60)
@given(body=st.sampled_from([b"[" + b" " * LIMIT + b"]", b'[{"phone":"1"}]' * 9000, bytes(LIMIT + 1)]), data=st.data())
def test_a_body_over_the_limit_is_too_large(arena: Arena, body: bytes, data: st.DataObject) -> None:
    """However it is framed and packed: it is not read to its end, and not asked for again."""
    headers: list[str] = []
    if data.draw(st.booleans(), "packed"):
        body, headers = zlib.compress(body, wbits=16 + zlib.MAX_WBITS), ["Content-Encoding: gzip"]
    if data.draw(st.booleans(), "chunked"):
        head = "\r\n".join(["HTTP/1.1 200 OK", "Transfer-Encoding: chunked", *headers, "", ""])
        answer = head.encode() + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    else:
        answer = http(body, *headers)
    found = arena.run(meet(arena, [answer]))
    assert isinstance(found, ResponseTooLargeError)
    assert len(found.attempts) == 1


@pytest.mark.slow
def test_little_memory_is_taken(arena: Arena) -> None:
    """A hundred megabytes of blanks, packed or not, take a few megabytes, whatever the status is."""
    packer = zlib.compressobj(9, wbits=16 + zlib.MAX_WBITS)
    bomb = b"".join(packer.compress(b" " * 1_000_000) for _ in range(100)) + packer.flush()
    head = b"HTTP/1.1 %d X\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n"
    for status in (200, 500, 404):
        sent = [head % (status, len(bomb)) + bomb]
        arena.run(meet(arena, sent))  # what is imported with the first one does not count
        tracemalloc.start()
        try:
            found = arena.run(meet(arena, sent))
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert isinstance(found, PlugChatError)
        assert peak < 16 * 1024 * 1024, (status, peak)


@pytest.mark.slow
@settings(QUICK, max_examples=25)
@given(sent=st.lists(ANSWERS, min_size=1, max_size=4))
def test_what_is_sent_takes_little_memory(arena: Arena, sent: list[bytes]) -> None:
    """Some megabytes at most for any answers, whose bodies are limited to 64 KiB."""
    tracemalloc.start()
    try:
        arena.run(meet(arena, sent, timeout=0.5))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 16 * 1024 * 1024


# What is made of any sequence of outcomes, without a server.


class Player(Transport):
    """Gives these outcomes one after the other, each after some seconds of fake time, then pages."""

    def __init__(self, outcomes: list[tuple[Response | AttemptFailed, float]], fake: FakeTime) -> None:
        super().__init__(borrowed=None, proxies=Proxies(), ssl_context=None, max_response_bytes=LIMIT)
        self._outcomes = list(outcomes)
        self._fake = fake
        self.sent: list[Request] = []
        self.timeouts: list[float] = []

    def check(self) -> None:
        """It is open."""

    async def send(self, request: Request, *, timeout: float) -> Response | AttemptFailed:
        self.sent.append(request)
        self.timeouts.append(timeout)
        outcome, seconds = self._outcomes.pop(0) if self._outcomes else (page(), 0.0)
        self._fake.now += min(seconds, timeout)
        await asyncio.sleep(0)
        return outcome


def page(body: bytes = b'[{"phone":"1"}]') -> Response:
    return Response(200, {}, body, sent_url=f"https://x.example/{TOKEN}")


HEADERS = st.dictionaries(
    st.sampled_from(["retry-after", "date", "allow", "accept", "location", "content-type"]),
    st.sampled_from(
        ["0", "1", "30", "59", "60", "61", "9" * 20, "9" * 400, "GET", "POST", "get, x", "", "/", "https://["]
    )
    | TEXTS,
)
RESPONSES = st.builds(
    Response,
    st.sampled_from([*LIKELY, *[405, 415, 429, 503] * 3]) | st.integers(100, 999),
    HEADERS,
    BODIES,
    complete=st.booleans(),
    sent_url=TEXTS.map(lambda text: f"https://x.example/?echo={quote(text)}"),
    sent_content_type=st.none() | st.sampled_from(["application/json", "text/plain"]),
    altered=st.booleans(),
)
# What is retried, and says when.
LIMITED = st.builds(
    Response,
    st.sampled_from([429, 503]),
    st.sampled_from(["0", "1", "9", "30", "59", "60", "61", "150"]).map(lambda seconds: {"retry-after": seconds}),
    st.just(b""),
)
FAILURES = st.builds(
    AttemptFailed,
    st.builds(
        ConnectionFailedError, st.just("x"), reason=st.sampled_from(["refused", "reset", "certificate", "closed"])
    )
    | st.builds(RequestTimeoutError, st.just("late"))
    | st.builds(SessionStateError, st.just("the session is closed")),
    st.booleans(),
)
DURATIONS = st.sampled_from([0.0, 0.0, 0.01, 1.0, 29.0, 1e9]) | st.floats(0.0, 100.0)
OUTCOMES = st.lists(
    st.tuples(
        RESPONSES | FAILURES | LIMITED | st.builds(NotJSONError).map(AttemptFailed) | BODIES.map(page), DURATIONS
    ),
    max_size=10,
)
SECONDS = st.sampled_from([0.0, 0.5, 8.0, 60.0, 1000.0]) | st.floats(0.0, 200.0)


@frozen
class Situation:
    """What a session is made with, and how chance falls."""

    policy: RetryPolicy
    base_url: str
    repair: bool
    bare: bool
    chance: float


SITUATIONS = st.builds(
    Situation,
    st.just(RetryPolicy())
    | st.builds(RetryPolicy, st.integers(1, 7), SECONDS, SECONDS, st.floats(0.01, 200.0), max_retry_after=SECONDS),
    st.sampled_from([*DOCUMENTED_ORIGINS, "https://x.example"]),
    st.booleans(),
    st.booleans(),
    st.floats(0.0, 1.0, exclude_max=True),
)


async def play(
    outcomes: list[tuple[Response | AttemptFailed, float]], now: Situation, concurrently: bool
) -> tuple[Player, FakeTime, PlugChatSession, list[Page | PlugChatError], list[int]]:
    """Fetch three pages over a player, one after the other or at once. How often each was sent for comes last."""
    fake = FakeTime()
    source = Clock(fake.clock.monotonic, fake.clock.time, fake.clock.sleep, lambda: now.chance)
    session = PlugChatSession(
        TOKEN, base_url=now.base_url, repair=now.repair, retry=now.policy, clock=source, max_concurrency=2
    )
    work, player = session._fetcher, Player(outcomes, fake)
    work.transport = player
    work.template = type(work.template)(now.base_url, bare=now.bare)
    found: list[Page | PlugChatError] = []

    async def fetch(number: int) -> None:
        try:
            found.append(await work.fetch(number, 10))
        except PlugChatError as error:
            found.append(error)

    counts: list[int] = []
    if concurrently:
        await asyncio.gather(*(fetch(number) for number in (1, 2, 3)))
    else:
        for number in (1, 2, 3):
            # Each page has its own time and its own waits.
            waits, sent, started = len(fake.sleeps), len(player.sent), fake.now
            await fetch(number)
            counts.append(len(player.sent) - sent)
            assert sum(fake.sleeps[waits:]) < now.policy.deadline
            assert fake.now - started <= now.policy.deadline + 1e-6
    return player, fake, session, found, counts


@pytest.mark.slow
@settings(max_examples=1000, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(outcomes=OUTCOMES, now=SITUATIONS, concurrently=st.booleans())
def test_any_sequence_of_outcomes_ends_well(
    arena: Arena, outcomes: list[tuple[Response | AttemptFailed, float]], now: Situation, concurrently: bool
) -> None:
    """Pages or errors of ours; waits and attempts within the policy; the budget, slots and attempts counted rightly."""
    player, fake, session, found, counts = arena.run(play(outcomes, now, concurrently))
    work = session._fetcher
    assert len(found) == 3
    assert all(0.0 <= wait <= max(now.policy.max_delay, now.policy.max_retry_after) for wait in fake.sleeps)
    assert all(0.0 <= timeout <= min(30.0, now.policy.deadline) for timeout in player.timeouts)
    assert 0 <= work.budget.tokens <= work.budget.capacity
    assert work.limits.slots._value == 2
    for one in found:
        if isinstance(one, PlugChatError):
            assert_good_error(one)
            # One replaced idle connection, and of the repairs one for 405 and one or two for 415.
            assert len(one.attempts) <= now.policy.attempts + (4 if now.repair else 0) + 1
            assert all(attempt.wait <= max([0.0, *fake.sleeps]) for attempt in one.attempts)
            assert one.page in {1, 2, 3}
    for one, sent in zip(found, counts, strict=False):
        if isinstance(one, PlugChatError):
            assert len(one.attempts) == sent  # also if the session was closed meanwhile
    assert {request.url.partition("?")[0].removesuffix("/api/whatsapp/chats") for request in player.sent} <= {
        now.base_url,
        *DOCUMENTED_ORIGINS,
    }
    assert arena.complaints.lost == []
