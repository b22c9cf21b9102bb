"""The report of the doctor as JSON, which people show to others: it holds nothing private."""

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plugchat_async.cli.doctor import _to_json
from plugchat_async.doctor import CHECKS, MAX_REQUESTS, Report, examine
from support.fakes import RawServer, http, run_apart
from support.gateway import CONNECTED, Gateway

TOKEN = "s3cret-t0ken"


NOT_FOUND = http(b"", status="404 Not Found")


async def examined(rows: Sequence[object] | bytes, status: bytes = http(CONNECTED), **options: Any) -> Report:
    """Examine an account that has these rows."""
    async with Gateway(rows, status) as server:
        report = await examine(TOKEN, base_url=server.base_url, **options)
    assert [finding.check for finding in report.findings] == list(CHECKS)
    assert report.requests == len(server.requests) < MAX_REQUESTS
    return report


NAME, PHONE, LID, TAG, SAID = "Zulmira", "5511987654321", "111222333444555@lid", "Freguesa-VIP", "Ligue para Zulmira"


PRIVATE = (NAME, PHONE, "987654321", LID, "111222333444555", TAG, SAID, TOKEN)


def shown(server: RawServer) -> str:
    """What `plugchat doctor --json` shows of a server, made apart from the test's event loop."""

    async def main() -> str:
        async with server:
            return _to_json(await examine(TOKEN, base_url=server.base_url, quotes=False))

    return run_apart(main())


def private_in(text: str) -> list[str]:
    return [word for word in PRIVATE if word.lower() in text.lower()]


words = st.sampled_from([NAME, PHONE, int(PHONE), LID, TAG, SAID, TOKEN, f"{SAID} {PHONE}", f"<b>{NAME}", f"{TOKEN}\n"])


values = st.recursive(
    words | st.none() | st.booleans() | st.integers(0, 9), lambda v: st.lists(v, max_size=2), max_leaves=3
)


key_names = st.sampled_from(["phone", "lid", "name", "lastMessageTime", "unread", "isMuted", "pinned", "notes"])


keys = key_names | st.sampled_from([PHONE, LID, TAG, SAID, TOKEN, f"k{PHONE}", f"x {NAME}"])


hostile_rows = st.lists(st.dictionaries(keys, values, max_size=6) | values, max_size=12)


headers = st.lists(
    st.sampled_from(["RateLimit", "X-RateLimit-Reset", "X-RateLimit-Zulmira", "Retry-After", "Allow", "Location"]),
    unique=True,
)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(rows=hostile_rows, status=values, said=words, names=headers)
def test_no_row_is_shown_in_json(rows: list[Any], status: object, said: object, names: list[str]) -> None:
    """Whatever a list, a status and headers hold: no name, no phone, no lid, no tag, no token, no text."""
    lines = [f"{name}: {str(said).strip()}" for name in names]
    told = json.dumps({"connected": False, "error": status, PHONE: said}).encode()
    assert private_in(shown(Gateway(rows, http(told), *lines))) == []


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(
    code=st.sampled_from([200, 302, 400, 401, 403, 404, 405, 415, 429, 500, 503]),
    body=st.dictionaries(keys | st.just("error"), values, max_size=4) | values,
    said=words,
    names=headers,
)
def test_no_error_is_shown_in_json(code: int, body: object, said: object, names: list[str]) -> None:
    """Whatever a refusal holds, in body and headers: the shape of the body alone."""
    lines = [f"{name}: {str(said).strip()}" for name in names]
    answer = http(json.dumps(body).encode(), *lines, status=f"{code} {NAME}")
    assert private_in(shown(Gateway(answer, answer))) == []


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (
            http(b'{"error": "Zulmira", "x y": 1}', status="400 Bad Request"),
            "Bad Request, an object of the keys error, 1 other",
        ),
        (http(b"<html>Zulmira", status="403 Forbidden"), "HTTP 403 Forbidden, HTML, 13 bytes"),
        (
            http(b"Zulmira", status="500 Internal Server Error"),
            "ServerError: HTTP 500 Internal Server Error, no JSON, 7 b",
        ),
        (http(b'"Zulmira"'), "NotAListError: HTTP 200 OK, a text of 7 letters"),
        (http(b" "), "NotJSONError: HTTP 200 OK, an empty body"),
        (
            http(b'[{"name": "Zulmira"}]'),
            "HTTP 200 OK, a list of 1: chat 0: expected a phone or a lid, got something else",
        ),
        (http(b" " * 2**24 + b"[]"), "ResponseTooLargeError: HTTP 200 OK, a body that is too long"),
        (http(b"", "Allow: POST, ZULMIRA", status="405 Method Not Allowed"), '"POST"'),
        (
            http(b"{}", "Location: https://zulmira.example/", status="302 Found"),
            "HTTP 302 Found, an object of the keys none",
        ),
        (http(b"", "Retry-After: 5511987654321", status="429 Too Many Requests"), "Retry-After: 99999 s"),
        (http(b"[]", "X-RateLimit-Remaining: 41"), "x-ratelimit-remaining: 41"),
        (http(b"[]", "X-RateLimit-Reset: 1768497607"), "x-ratelimit-reset: a text of 10 digits"),
        (http(b"", status="405 Method Not Allowed"), '"allow": null'),
    ],
)
async def test_what_is_shown_of_an_error(answer: bytes, told: str) -> None:
    """The shape of its body, and what has only so many values."""
    report = await examined(answer, NOT_FOUND, quotes=False)
    text = _to_json(report)
    assert told in text
    assert "zulmira" not in text.lower()
