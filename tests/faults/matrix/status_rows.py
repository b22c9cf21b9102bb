"""Rows of statuses, and of Retry-After."""

from typing import Any

from faults.matrix.cell import Row
from faults.matrix.peers import TOKEN, Peer, sends, status
from faults.matrix.transport_rows import RETRIED, failed
from plugchat_async import (
    AuthenticationError,
    MethodNotAllowedError,
    ProxyAuthenticationError,
    RateLimitedError,
    RedirectedError,
    RequestTimeoutError,
    ServerError,
    UnexpectedStatusError,
    UnsupportedMediaTypeError,
)
from support.fakes import http

# The connection is kept alive, so the retries use it.
KEPT: dict[str, Any] = {**RETRIED, "connections": 1}
ASKED = "/api/whatsapp/chats?page=1&pageSize=10"


def answer(line: str, *headers: str, body: str = "", name: str = "", **expected: Any) -> Row:
    """Return a row of a status, whose body echoes the token."""
    return Row("Statuses", name or line, lambda: Peer(status(line, *headers, body=body)), **expected)


def redirects() -> list[Row]:
    rows: list[Row] = []
    for where, headers, target in (
        ("to the same origin", ["Location: /elsewhere"], "to http://localhost"),
        ("to another origin", [f"Location: https://evil.example/{TOKEN}"], "to https://evil.example"),
        ("to itself", [f"Location: {ASKED}"], "to http://localhost"),
        ("to no URL", ["Location: http://["], "without a valid Location"),
        ("without Location", [], "without a valid Location"),
    ):
        for line in ("301 Moved", "302 Found", "303 See Other", "307 Temporary Redirect", "308 Permanent Redirect"):
            row = answer(
                line,
                *headers,
                name=f"{line[:3]} {where}",
                error=RedirectedError,
                says=f"redirected {target}",
                label=f"301, 302, 303, 307, 308 {where}",
            )
            rows.append(row)
    return rows


def bodiless(line: str, **expected: Any) -> Row:
    """Return a row of a status that has no body (RFC 9110, 6.4.1)."""
    return Row("Statuses", line, lambda: Peer(sends(f"HTTP/1.1 {line}\r\n\r\n".encode(), end="keep")), **expected)


HTML = "<html><body>cloudflare</body></html>"
STATUSES = [
    *redirects(),
    answer("300 Multiple Choices", error=RedirectedError),
    bodiless("304 Not Modified", error=UnexpectedStatusError),
    bodiless("204 No Content", error=UnexpectedStatusError),
    answer("204 No Content", name="204 with a body", **failed("not valid HTTP")),
    answer("206 Partial Content", body="[", error=UnexpectedStatusError, says="HTTP 206"),
    answer("201 Created", body="[]", error=UnexpectedStatusError),
    answer("400 Bad Request", error=UnexpectedStatusError, says="you sent ***"),
    answer("401 Unauthorized", "WWW-Authenticate: Bearer", error=AuthenticationError, says="without 'Bearer'"),
    answer("403 Forbidden", error=AuthenticationError),
    answer("404 Not Found", error=UnexpectedStatusError, says="check base_url"),
    answer("405 Method Not Allowed", name="405 without Allow", error=MethodNotAllowedError),
    answer("405 Method Not Allowed", "Allow: POST", name="405, only POST is allowed", error=MethodNotAllowedError),
    answer("405 Method Not Allowed", "Allow: GET", name="405 although GET is allowed", error=MethodNotAllowedError),
    answer("407 Proxy Authentication Required", error=ProxyAuthenticationError, says="in the proxy option"),
    answer("408 Request Timeout", error=RequestTimeoutError, **KEPT),
    answer("409 Conflict", error=UnexpectedStatusError),
    answer("410 Gone", error=UnexpectedStatusError),
    answer("413 Content Too Large", error=UnexpectedStatusError),
    # The same request would be refused again, so it is sent once more without its Content-Type.
    answer("415 Unsupported Media Type", error=UnsupportedMediaTypeError, says="Content-Type", requests=2),
    answer("418 I'm a teapot", error=UnexpectedStatusError),
    answer("425 Too Early", error=ServerError, **KEPT),
    answer("429 Too Many Requests", error=RateLimitedError, **KEPT),
    answer("451 Unavailable For Legal Reasons", error=UnexpectedStatusError),
    *(
        answer(line, error=ServerError, **KEPT)
        for line in ("500 Internal Server Error", "502 Bad Gateway", "503 Unavailable", "504 Gateway Timeout")
    ),
    answer("501 Not Implemented", error=ServerError),
    *(
        answer(
            f"{number} Origin trouble",
            "Content-Type: text/html",
            body=HTML,
            error=ServerError,
            says="cloudflare",
            label="520 to 526",
        )
        for number in range(520, 527)
    ),
    answer("599 Unknown", error=ServerError),
    answer("999 Denied", error=UnexpectedStatusError),
    Row(
        "Statuses",
        "503, then the connection breaks",
        lambda: Peer(sends(b"HTTP/1.1 503 Busy\r\nContent-Length: 100\r\n\r\nhalf")),
        error=ServerError,
        **RETRIED,
    ),
    Row(
        "Statuses",
        "500, with a body of 10 MB",
        lambda: Peer(sends(http(b"x" * 10_000_000, status="500 Internal Server Error"))),
        error=ServerError,
        says="xxx…",
        **RETRIED,
    ),
]


def rate_limited(name: str, *values: str, waits: tuple[float, ...] | None = None, **expected: Any) -> Row:
    """Return a row of a 429 with these Retry-After headers.

    Args:
        name: The name of the row.
        values: The values of the headers.
        waits: The waits in seconds. None if the headers are ignored, () if they ask for too long a wait.
        expected: Other fields of the row.
    """
    kept = KEPT if waits is None else {"waits": waits, "requests": len(waits) + 1}
    headers = [f"Retry-After: {value}" for value in values]
    row = {"error": RateLimitedError, **kept, **expected}
    return Row("Retry-After", name, lambda: Peer(status("429 Too Many Requests", *headers)), **row)


# FakeTime's date is Sun, 09 Sep 2001 01:46:40 GMT.
RETRY_AFTER = [
    rate_limited("none"),
    rate_limited("0", "0"),
    rate_limited("1", "1", waits=(1.0, 1.0)),
    rate_limited("1.5", "1.5"),
    rate_limited("-1", "-1"),
    rate_limited("1e9", "1e9"),
    rate_limited("a billion seconds", "1000000000", waits=(), says="the server asks to wait 1e+09 s"),
    rate_limited("61 seconds", "61", waits=(), says="the server asks to wait 61 s"),
    # Two such waits would pass the deadline of 60 s.
    rate_limited("50 seconds", "50", waits=(50.0,), says="the deadline of 60 s leaves no time"),
    rate_limited("20 digits", "9" * 20, waits=(), says="the server asks to wait 1e+20 s"),
    rate_limited("5,000 digits", "9" * 5000, waits=(), says="the server asks to wait inf s"),
    rate_limited("NaN", "NaN"),
    rate_limited("inf", "inf"),
    rate_limited("empty", ""),
    rate_limited("two headers", "1", "2"),
    rate_limited("digits of another alphabet", "\u0663".encode().decode("latin-1")),  # UTF-8, on the wire
    rate_limited("words", "in a while"),
    rate_limited("a date in the past", "Sun, 09 Sep 2001 01:46:39 GMT"),
    rate_limited("a date five seconds from now", "Sun, 09 Sep 2001 01:46:45 GMT", waits=(5.0, 5.0)),
    rate_limited("the same date with a wrong weekday", "Mon, 09 Sep 2001 01:46:45 GMT", waits=(5.0, 5.0)),
    rate_limited("the same date in the format of RFC 850", "Sunday, 09-Sep-01 01:46:45 GMT", waits=(5.0, 5.0)),
    rate_limited("the same date in the format of asctime", "Sun Sep  9 01:46:45 2001", waits=(5.0, 5.0)),
    rate_limited("a date in the year 2101", "Fri, 09 Sep 2101 01:46:45 GMT", waits=(), says="the server asks to wait"),
    rate_limited("a date that does not exist", "Sun, 31 Sep 2001 01:46:45 GMT"),
    Row(
        "Retry-After",
        "a date five seconds after the server's own",
        lambda: Peer(
            status("503 Busy", "Date: Fri, 01 Jan 2100 00:00:00 GMT", "Retry-After: Fri, 01 Jan 2100 00:00:05 GMT")
        ),
        error=ServerError,
        **{**KEPT, "waits": (5.0, 5.0)},
    ),
]


def reset(name: str, *headers: str, waits: tuple[float, ...] | None = None, **expected: Any) -> Row:
    """Return a row of a 429 with these headers; `waits` as for `rate_limited`."""
    kept = KEPT if waits is None else {"waits": waits, "requests": len(waits) + 1}
    row = {"error": RateLimitedError, **kept, **expected}
    return Row("RateLimit-Reset", name, lambda: Peer(status("429 Too Many Requests", *headers)), **row)


RATE_LIMIT_RESET = [
    reset("`RateLimit-Reset: 7`", "RateLimit-Reset: 7", waits=(7.0, 7.0)),
    reset("`X-RateLimit-Reset: 7`", "X-RateLimit-Reset: 7", waits=(7.0, 7.0)),
    reset(
        "`RateLimit-Reset: 8` and `X-RateLimit-Reset: 7`",
        "X-RateLimit-Reset: 7",
        "RateLimit-Reset: 8",
        waits=(8.0, 8.0),
    ),
    reset("with `Retry-After: 1`", "Retry-After: 1", "RateLimit-Reset: 7", waits=(1.0, 1.0)),
    reset("with a Retry-After that can't be read", "Retry-After: soon", "RateLimit-Reset: 7", waits=(7.0, 7.0)),
    reset("five seconds from now, in epoch seconds", "X-RateLimit-Reset: 1000000005", waits=(5.0, 5.0)),
    reset("the same in milliseconds", "X-RateLimit-Reset: 1000000005000", waits=(5.0, 5.0)),
    reset("a time in the past", "X-RateLimit-Reset: 1000000000"),
    reset("61 seconds", "RateLimit-Reset: 61", waits=(), says="the server asks to wait 61 s"),
    reset("words", "RateLimit-Reset: soon"),
    reset("-1", "RateLimit-Reset: -1"),
    reset("20 digits", f"RateLimit-Reset: {'9' * 20}"),
]
