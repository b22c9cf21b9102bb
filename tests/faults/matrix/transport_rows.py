"""Rows of connections, of faults before the status, and of bodies."""

import asyncio
import gzip
import json
import socket
import zlib
from functools import partial
from typing import Any

from faults.matrix.cell import Row, first_page
from faults.matrix.peers import (
    HONEST,
    TOKEN,
    End,
    NamelessPeer,
    Peer,
    authority,
    endlessly,
    expired,
    in_turn,
    self_signed,
    sends,
    server_tls,
    until_gone,
)
from plugchat_async import (
    ConnectionFailedError,
    NotAListError,
    NotJSONError,
    PlugChatSession,
    RequestTimeoutError,
    ResponseTooLargeError,
    UnexpectedStatusError,
)
from support.fakes import Handler, http

# A retried page is requested three times, with half of the full jitter in between.
RETRIED: dict[str, Any] = {"requests": 3, "connections": 3, "waits": (0.25, 0.5)}
# Three attempts take this long; the servers hang for ever.
SHORTLY = {"timeout": 0.15}
TIMED_OUT: dict[str, Any] = {
    "error": RequestTimeoutError,
    "says": "no complete answer within 0.15 s",
    "options": SHORTLY,
    **RETRIED,
}
JSON = "Content-Type: application/json"
OK = b"HTTP/1.1 200 OK\r\n"


def failed(reason: str, **changed: Any) -> dict[str, Any]:
    """Return what is expected of a ConnectionFailedError that was retried."""
    return {"error": ConnectionFailedError, "says": reason, **RETRIED, **changed}


UNVERIFIED: dict[str, Any] = {"requests": 0, "connections": 1, "waits": ()}

BROKEN_OFF: list[tuple[str, End]] = [("that is closed", "close"), ("that is reset", "reset")]

CONNECT = [
    Row("Connecting", "nobody listens", Peer, **failed("the connection was refused", requests=0, connections=0)),
    Row(
        "Connecting",
        "there is no such name",
        partial(NamelessPeer, socket.EAI_NONAME),
        **failed("the host name can't be resolved", requests=0, connections=0),
    ),
    Row(
        "Connecting",
        "the resolver does not answer",
        partial(NamelessPeer, socket.EAI_AGAIN),
        **failed("the host name can't be resolved", requests=0, connections=0),
    ),
    Row(
        "Connecting",
        "a self-signed certificate",
        lambda: Peer(tls=self_signed(), https=True),
        **failed("certificate", **UNVERIFIED),
    ),
    Row(
        "Connecting",
        "an expired certificate",
        lambda: Peer(tls=expired(), https=True),
        **failed("certificate has expired", **UNVERIFIED),
    ),
    Row(
        "Connecting",
        "a certificate for another host",
        lambda: Peer(tls=server_tls(authority(), "other.example"), https=True),
        **failed("Hostname mismatch", **UNVERIFIED),
    ),
    Row(
        "Connecting",
        "https to a server that speaks http",
        lambda: Peer(raw=sends(http(b"", status="400 Bad Request")), https=True),
        **failed("TLS", requests=0),
    ),
    Row(
        "Connecting",
        "http to a server that speaks https",
        lambda: Peer(sends(HONEST), tls=server_tls(authority())),
        **failed("localhost", requests=0),
    ),
    *(
        Row(
            "Connecting",
            f"a TLS handshake {name}",
            partial(Peer, raw=sends(end=end), https=True),
            **failed("the connection was lost in the TLS handshake", requests=0),
        )
        for name, end in BROKEN_OFF
    ),
    Row(
        "Connecting",
        "a TLS handshake that stalls",
        lambda: Peer(raw=lambda reader, _: until_gone(reader), https=True),
        **{**TIMED_OUT, "requests": 0},
    ),
]


def before(name: str, *pieces: bytes, end: Any = "close", **expected: Any) -> Row:
    return Row("Before the answer", name, lambda: Peer(sends(*pieces, end=end)), **expected)


async def two_pages(session: PlugChatSession) -> object:
    """Fetch two pages, one after the other."""
    return [await first_page(session), await first_page(session)]


NOT_ASKED_FOR = http(b'[{"phone":"of somebody else"}]')


async def answers_twice(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer, and send a second answer a moment later."""
    writer.write(HONEST)
    await writer.drain()
    await asyncio.sleep(0.01)
    writer.write(NOT_ASKED_FOR)


async def slowly_two_pages(session: PlugChatSession) -> object:
    """Fetch two pages, with a pause in which more data may arrive."""
    first = await session.fetch_page(1, 10)
    await asyncio.sleep(0.1)
    second = await session.fetch_page(2, 10)
    return [chat.phone for chat in (*first.chats, *second.chats)]


async def seven_pages(session: PlugChatSession) -> object:
    """Fetch seven pages, one after the other."""
    return sum([len((await session.fetch_page(1, 10)).chats) for _ in range(7)])


def then_honest(*handlers: Handler) -> Peer:
    """Handle one request with each of these, and later requests honestly."""
    return Peer(in_turn(*handlers, sends(HONEST, end="keep")))


ENDS: list[tuple[str, End]] = [("closes", "close"), ("is reset", "reset")]
TWICE = [("late on a kept-alive connection", answers_twice), ("at once", sends(HONEST + NOT_ASKED_FOR, end="keep"))]
HEADERS = b"".join(b"X-%d: x\r\n" % number for number in range(129))
HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n"
HEAD = [
    before("the server closes the connection", **failed("closed the connection without an answer")),
    before("the server resets the connection", end="reset", **failed("reset")),
    before("no answer", end="hang", **TIMED_OUT),
    before("half a status line", b"HTTP/1.1 2", **failed("without an answer")),
    before("half of the headers", OK + b"Content-Le", **failed("without an answer")),
    before("no HTTP", b"220 mail.example ESMTP\r\n\r\n", **failed("not valid HTTP")),
    before("a status that is not a number", b"HTTP/1.1 " + TOKEN.encode() + b"\r\n\r\n", **failed("not valid HTTP")),
    before("129 headers", OK + HEADERS + b"\r\n", **failed("not valid HTTP")),
    before("a header of 9 kB", OK + b"X-Long: " + b"x" * 9000 + b"\r\n\r\n", **failed("not valid HTTP")),
    before("a header line without a name", OK + b": x\r\n\r\n", **failed("not valid HTTP")),
    before(
        "an unrequested 101",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
        error=UnexpectedStatusError,
        says="HTTP 101",
    ),
    before("1,000 times 103, then the page", HINTS * 1000 + HONEST, gives=1),
    Row(
        "Before the answer",
        "endless 103",
        lambda: Peer(endlessly(HINTS, HINTS * 100)),
        **TIMED_OUT,
    ),
    *(
        Row(
            "Before the answer",
            f"a kept-alive connection that {ends} while the second request is written",
            partial(then_honest, sends(HONEST, end="keep"), sends(end=end)),
            gives=[1, 1],
            call=two_pages,
            requests=3,
            connections=2,
        )
        for ends, end in ENDS
    ),
    *(
        Row(
            "Before the answer",
            f"an unrequested second answer, {when}",
            partial(then_honest, twice),
            gives=["5511999999999"] * 2,
            call=slowly_two_pages,
            requests=2,
            connections=2,
        )
        for when, twice in TWICE
    ),
    Row(
        "Before the answer",
        "a connection that is closed after every three requests",
        lambda: Peer(in_turn(*[sends(HONEST, end="keep"), sends(HONEST, end="keep"), sends(HONEST)] * 3)),
        gives=7,
        call=seven_pages,
        requests=7,
        connections=3,
    ),
]


def body(name: str, *pieces: bytes, end: Any = "close", **expected: Any) -> Row:
    return Row("In the body", name, lambda: Peer(sends(*pieces, end=end)), **expected)


CUT = OK + b"Content-Length: 100\r\n\r\n["
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
TRUNCATED = failed("broke in the middle")
BODY = [
    body("the server closes the connection", CUT, **TRUNCATED),
    body("the server resets the connection", CUT, end="reset", **failed("")),
    body("the server stops", CUT, end="hang", **TIMED_OUT),
    body("the server closes the connection between chunks", CHUNKED + b"1\r\n[\r\n", **TRUNCATED),
    body("the server closes the connection in a chunk's size", CHUNKED + b"1\r\n[\r\n1", **TRUNCATED),
    body("the server stops between chunks", CHUNKED + b"1\r\n[\r\n", end="hang", **TIMED_OUT),
    body("a chunk's size that is not a number", CHUNKED + b"ZZ\r\n", **failed("not valid HTTP")),
    body("a chunk that is longer than its size", CHUNKED + b"1\r\n[]\r\n0\r\n\r\n", **failed("not valid HTTP")),
    body("129 trailers", CHUNKED + b"2\r\n[]\r\n0\r\n" + HEADERS + b"\r\n", **failed("not valid HTTP")),
    body(
        "Content-Length and Transfer-Encoding",
        OK + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n[]",
        **failed("not valid HTTP"),
    ),
    body("two lengths", OK + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n[] ", **failed("not valid HTTP")),
    body("a negative length", OK + b"Content-Length: -1\r\n\r\n[]", **failed("not valid HTTP")),
    Row(
        "In the body",
        "one byte at a time",
        lambda: Peer(endlessly(CUT, b" ", seconds=0.01)),
        **TIMED_OUT,
    ),
    Row(
        "In the body",
        "endless chunks",
        lambda: Peer(endlessly(CHUNKED, b"10000\r\n" + b" " * 65536 + b"\r\n")),
        error=ResponseTooLargeError,
        says="max_response_bytes=16777216",
    ),
    Row(
        "In the body",
        "no length, and an endless body",
        lambda: Peer(endlessly(OK + b"\r\n", b" " * 65536)),
        error=ResponseTooLargeError,
        says="max_response_bytes=16777216",
    ),
    Row(
        "In the body",
        "endless trailers",
        lambda: Peer(endlessly(CHUNKED + b"2\r\n[]\r\n0\r\n", b"X: x\r\n" * 10)),
        **failed("broke in the middle"),
    ),
    body(
        "a length of a million gigabytes",
        OK + b"Content-Length: 1000000000000000\r\n\r\n[",
        end="hang",
        error=ResponseTooLargeError,
        says="larger than max_response_bytes",
    ),
    body(
        "a page in a million chunks of one byte",
        CHUNKED,
        b"1\r\n \r\n" * 999_998,
        b"1\r\n[\r\n1\r\n]\r\n0\r\n\r\n",
        end="keep",
        gives=0,
    ),
    body(
        "a gzip bomb: 60 kB that are 60 MB",
        http(gzip.compress(b" " * 60_000_000), "Content-Encoding: gzip"),
        error=ResponseTooLargeError,
        says="larger than max_response_bytes",
    ),
    body(
        "a deflate bomb",
        http(zlib.compress(b" " * 60_000_000), "Content-Encoding: deflate"),
        error=ResponseTooLargeError,
        says="larger than max_response_bytes",
    ),
    body(
        "14 kB of gzip that are 14 MB of backslashes and half an emoji",
        http(gzip.compress(b'["%b\\ud83d"]' % (b"\\\\" * 7_000_000)), "Content-Encoding: gzip"),
        error=ResponseTooLargeError,
        says="a row of more than 512 KiB",
    ),
    body(
        "a million rows that are none",
        http(gzip.compress(b"[%b0]" % (b"0," * 1_000_000)), "Content-Encoding: gzip"),
        error=ResponseTooLargeError,
        says="more than 100,000 rows",
    ),
    body(
        "ten thousand gzip streams, one after the other",
        http(gzip.compress(b" ") * 10_000, "Content-Encoding: gzip"),
        **failed(""),
    ),
    body(
        "half a gzip stream, with the right length",
        http(
            gzip.compress(json.dumps([{"phone": str(n)} for n in range(999)]).encode())[:-200], "Content-Encoding: gzip"
        ),
        error=NotJSONError,
        says="ends in the middle",
        **RETRIED,
    ),
    body("`Content-Encoding: gzip`, but no gzip", http(b"[]", "Content-Encoding: gzip"), **failed("")),
    body("HTTP/1.0, cut off", b"HTTP/1.0 200 OK\r\n\r\n[{", error=NotJSONError, says="ends in the middle", **RETRIED),
    body(
        "half of the JSON, with the right length",
        http(b'[{"phone":"1"},{"pho'),
        error=NotJSONError,
        says="ends in the middle",
        **RETRIED,
    ),
    body("an empty body", http(b""), error=NotJSONError, says="empty"),
    body("only whitespace", http(b" \r\n"), error=NotJSONError, says="empty"),
    body(
        "an HTML page",
        http(f"<!DOCTYPE html><html>Sign in, {TOKEN}".encode(), "Content-Type: text/html"),
        error=NotJSONError,
        says="<!DOCTYPE html><html>Sign in, ***",
    ),
    body("JSON with `Content-Type: text/plain`", http(b'[{"phone":"1"}]', "Content-Type: text/plain"), gives=1),
    body("JSON without Content-Type", http(b'[{"phone":"1"}]'), gives=1),
    body("JSON and other text after it", http(b'[{"phone":"1"}] <!-- 3 ms -->', JSON), error=NotJSONError),
    body("a byte order mark", http(b'\xef\xbb\xbf[{"phone":"1"}]', JSON), gives=1),
    body("UTF-16", http('[{"phone":"1"}]'.encode("utf-16"), JSON), error=NotJSONError),
    body(
        "a byte that is not UTF-8",
        http(b'[{"phone":"1","name":"Jos\xe9"}]', f"{JSON}; charset=latin-1"),
        gives='1 chat; chat 0, name: expected a text, got "Jos\ufffd"',
    ),
    body("a lone surrogate", http(b'[{"phone":"1","name":"\\ud800"}]', JSON), gives=1),
    body(
        "NaN",
        http(b'[{"phone":"1","unread":NaN}]', JSON),
        gives="1 chat; chat 0, unread: expected a count, got 'NaN'",
    ),
    body(
        "1e999",
        http(b'[{"phone":"1","lastMessageTime":1e999}]', JSON),
        gives="1 chat; chat 0, lastMessageTime: "
        "expected a time: epoch seconds, milliseconds or microseconds, or RFC 3339 with an offset, got 1e999",
    ),
    body(
        "an integer of 5,000 digits",
        http(b'[{"phone":"1","unread":' + b"9" * 5000 + b"}]", JSON),
        gives=f"1 chat; chat 0, unread: expected a count, got {'9' * 59}…",
    ),
    body(
        "100,000 nested arrays",
        http(b"[" * 100_000 + b"]" * 100_000, JSON),
        error=NotJSONError,
        says="nested too deeply",
    ),
    body(
        "a JSON object",
        http(f'{{"error": "unknown token {TOKEN}"}}'.encode(), JSON),
        error=NotAListError,
        says="unknown token ***",
    ),
]
