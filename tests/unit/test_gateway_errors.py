"""The gateway's own texts, and firewalls' pages: class, text, and one request."""

import json
import pickle
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugchat_async import (
    AccessDeniedError,
    AuthenticationError,
    MethodNotAllowedError,
    NotAListError,
    NotConnectedError,
    PlugChatError,
    PlugChatSession,
    RateLimitedError,
    ServerError,
    UnexpectedStatusError,
    UnsupportedMediaTypeError,
)
from plugchat_async._http.gateway_errors import gateway_error, is_refusal
from plugchat_async._http.response import Response, status_error, status_line
from plugchat_async._http.secret import Secret
from plugchat_async.testing import Fault, PlugChatSimulator
from support.fakes import FakeTime, RawServer, answering, http

TOKEN = Secret("1nEFbU3EktLnV7LIIzX")
STATUSES = (200, 400, 401, 403, 404)
# The text, its class (None: that of no text), and what the hint tells to do.
TEXTS: list[tuple[str, type[PlugChatError] | None, str]] = [
    ("your client-token is not configured", AuthenticationError, "Copy the token again"),
    ("Instance not found", AuthenticationError, "Check in the Plug Chat panel that the token's account still exists"),
    ("203.0.113.9 not allowed", AccessDeniedError, "Add this machine's public address"),
    ("You need to be connected", NotConnectedError, "Connect the phone again in the Plug Chat panel"),
    ("You are not connected.", NotConnectedError, "Connect the phone again in the Plug Chat panel"),
    ("You need to restore the session.", NotConnectedError, "Connect the phone again in the Plug Chat panel"),
    ("Does not work in multi device version", None, "The gateway does not offer this call"),
]


def response(status: int, body: object, **headers: str) -> Response:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Response(status, headers, data, sent_url="https://x.example/api")


def read(status: int, body: object, **headers: str) -> PlugChatError:
    """The error that a response becomes."""
    answer = response(status, body, **headers)
    by_status = NotAListError("not a list", status=200) if status == 200 else status_error(answer, TOKEN, None)
    return gateway_error(answer, TOKEN, by_status)


def expected(cls: type[PlugChatError] | None, status: int) -> type[PlugChatError]:
    return cls or (NotAListError if status == 200 else UnexpectedStatusError)


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize(("text", "cls", "hint"), TEXTS, ids=[text for text, _, _ in TEXTS])
async def test_each_text_has_its_class_under_each_status(
    sim: PlugChatSimulator, status: int, text: str, cls: type[PlugChatError] | None, hint: str, fake_time: FakeTime
) -> None:
    """The gateway's text comes first and the advice last; nothing is repeated, and no newer token is looked for."""
    tokens: Iterator[str] = iter([sim.token])
    sim.script(Fault.status(status, body=json.dumps({"error": text})))
    async with PlugChatSession(lambda: next(tokens), base_url=sim.base_url, clock=fake_time.clock) as session:
        with pytest.raises(PlugChatError) as caught:
            await session.fetch_page(1, 10)
    error = caught.value
    assert type(error) is expected(cls, status)
    assert str(error).startswith(f"the gateway says: '{text}' (HTTP {status_line(status)})")
    assert error.hint.startswith(hint)
    assert str(error).endswith(error.hint)
    assert (error.status, error.page, error.page_size, len(error.attempts)) == (status, 1, 10, 1)
    assert len(sim.requests) == 1
    assert fake_time.sleeps == []
    assert type(pickle.loads(pickle.dumps(error))) is type(error)


@pytest.mark.parametrize(
    ("text", "cls"),
    [
        ("YOUR CLIENT-TOKEN IS NOT CONFIGURED.", AuthenticationError),
        ("Client-Token 8d2f not allowed", AuthenticationError),
        ("your client token is missing", AuthenticationError),
        ("instance 3EA00D was not found", AuthenticationError),
        ("Instance does not exist!", AuthenticationError),
        ("This instance doesn't exist", AuthenticationError),
        ("unknown instance", AuthenticationError),
        ("IP 203.0.113.9 is not allowed.", AccessDeniedError),
        ("2001:db8::9 not allowed", AccessDeniedError),
        ("::ffff:203.0.113.9 not allowed", AccessDeniedError),
        ("your IP is blocked", AccessDeniedError),
        ("access from 203.0.113.9, denied", AccessDeniedError),
        ("you're not connected", NotConnectedError),
        ("You are disconnected", NotConnectedError),
        ("the phone is disconnected", NotConnectedError),
        ("WhatsApp not connected", NotConnectedError),
        ("restore your session", NotConnectedError),
        ("not supported in multi-device", UnexpectedStatusError),
    ],
)
def test_close_variants_are_known(text: str, cls: type[PlugChatError]) -> None:
    """Case, a point at the end and a few other words do not matter."""
    assert type(read(400, {"error": text})) is cls
    assert is_refusal(response(400, {"error": text}))


@pytest.mark.parametrize(
    ("status", "cls", "hint"),
    [
        (200, NotAListError, "Do as the gateway's text says"),
        (400, UnexpectedStatusError, "The server refused page"),
        (401, AuthenticationError, "Check the token"),
        (403, AuthenticationError, "Check the token"),
        (404, UnexpectedStatusError, "The server has no such path"),
        (405, MethodNotAllowedError, "The call is GET"),
        (415, UnsupportedMediaTypeError, "The vendor documents"),
        (429, RateLimitedError, "Wait before"),
    ],
)
@pytest.mark.parametrize("text", ["unknown token", "GET not allowed", "database not connected", "user not found"])
def test_another_text_leaves_the_class_and_comes_first(
    status: int, cls: type[PlugChatError], hint: str, text: str
) -> None:
    """The class is that of the status, and the hint is too where it has one."""
    error = read(status, {"error": text})
    assert type(error) is cls
    assert error.message == f"the gateway says: '{text}' (HTTP {status_line(status)})"
    assert error.hint.startswith(hint)
    assert not is_refusal(response(status, {"error": text}))


@pytest.mark.parametrize("status", [408, 425, 429])
def test_a_temporary_status_keeps_its_meaning(status: int) -> None:
    """It has a wait of its own, whatever the text."""
    body = {"error": "You are not connected."}
    assert not isinstance(read(status, body), NotConnectedError)
    assert not is_refusal(response(status, body))


def test_a_fault_of_the_server_is_known_by_its_text_alone() -> None:
    """Under 500 it is believed that the phone is not connected; other texts may be a proxy's, or an outage's."""
    assert type(read(500, {"error": "You are not connected."})) is NotConnectedError
    for text in ("Instance not found", "your client-token is not configured", "203.0.113.9 not allowed"):
        assert type(read(503, {"error": text})) is ServerError
        assert not is_refusal(response(503, {"error": text}))
    error = read(502, {"error": "no upstream"})
    assert type(error) is ServerError
    assert error.message == 'HTTP 502 Bad Gateway: \'{"error": "no upstream"}\''


def test_a_redirect_is_one_whatever_its_text() -> None:
    """Its message names the target."""
    assert read(302, {"error": "You are not connected."}).message.startswith("HTTP 302 Found: redirected")


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"error": "You are not connected.", "message": "other"}, "You are not connected."),
        ({"message": "You are not connected."}, "You are not connected."),
        ({"error": None, "message": "You are not connected."}, "You are not connected."),
        ({"error": " ", "message": "You are not connected."}, "You are not connected."),
        ({"error": True, "message": "You are not connected."}, "You are not connected."),
        ({"error": {"code": 7, "message": "You are not connected."}}, "You are not connected."),
        ({"error": {"error": "You are not connected."}}, "You are not connected."),
        (b'\xef\xbb\xbf {"error": "You are not connected."}', "You are not connected."),
        (b'{"error": "You are not\\u001b[31m\\r\\nconnected."}', "You are not [31m connected."),
    ],
)
def test_the_text_is_found(body: object, text: str) -> None:
    """In `error`, in an object there, or in `message`; as one printable line."""
    assert read(400, body).message == f"the gateway says: '{text}' (HTTP 400 Bad Request)"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"You are not connected.",
        b'"You are not connected."',
        b'["You are not connected."]',
        b'[{"error": "You are not connected."}]',
        b'{"error": "You are not connected."',
        b'{"error": ["You are not connected."]}',
        b'{"error": {"message": {"error": "You are not connected."}}}',
        b'{"error": 7}',
        b'{"error": ""}',
        b'{"error": "You are not connected. \xff"}',
        b'{"error": "You are not connected.", "more": "' + b"x" * 70_000 + b'"}',
        b'{"error":' * 20_000,
        b'{"error":' + b"9" * 6000 + b"}",
    ],
)
def test_what_is_no_text_is_left_alone(body: bytes) -> None:
    """The error is that of the status, with the body's beginning; nothing crashes."""
    error = read(400, body)
    assert type(error) is UnexpectedStatusError
    assert error.message.startswith("HTTP 400 Bad Request: ")


def test_half_an_emoji_hides_no_text() -> None:
    """Nor does a byte order mark."""
    for body in (b'{"error": "\\ud83d You are not connected."}', b'\xef\xbb\xbf{"error": "You are not connected."}'):
        assert type(read(400, body)) is NotConnectedError


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("203.0.113.9 not allowed", True),
        ("Address (2001:db8::1) is not allowed here", True),
        ("IP not allowed", True),
        ("ERR:: operation not allowed", False),
        ("12:30:45 request not allowed", False),
        ("2026-01-01T12:30:45Z method not allowed", False),
        ("std::out_of_range access denied", False),
        ("version 1.2.3.4.5 not allowed", False),
        ("a:b:c:d:e:f:a:b:" * 60 + " not allowed", False),
    ],
)
def test_an_address_is_known_as_one(text: str, is_one: bool) -> None:
    """Colons and points alone make none."""
    assert (type(read(403, {"error": text})) is AccessDeniedError) == is_one


def test_a_body_that_was_cut_has_no_text() -> None:
    """Its beginning may be an object all the same."""
    answer = response(400, {"error": "You are not connected."})
    answer.complete = False
    assert not is_refusal(answer)


@pytest.mark.slow
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["error", "message", "x"]), inner),
    ),
    st.sampled_from([200, 302, 400, 403, 500]),
)
def test_any_json_gives_an_error(body: object, status: int) -> None:
    """Whatever `error` holds, there is an error with a message."""
    error = read(status, body)
    assert error.message
    assert error.message.isprintable()


def test_the_text_shows_no_token_and_is_clipped() -> None:
    """A gateway may echo what it was sent, at any length."""
    error = read(403, {"error": f"Client-Token {TOKEN.value} not allowed"})
    assert error.message == "the gateway says: 'Client-Token *** not allowed' (HTTP 403 Forbidden)"
    error = read(400, {"error": "You are not connected. " * 50})
    assert len(error.message) < 260
    assert "…" in error.message


CLOUDFLARE = b"<!DOCTYPE html><html><head><title>Attention Required! | Cloudflare</title></head></html>"


@pytest.mark.parametrize(
    ("status", "body", "headers"),
    [
        (403, CLOUDFLARE, {"content-type": "text/html; charset=UTF-8", "server": "cloudflare"}),
        (403, CLOUDFLARE, {}),
        (403, b"Forbidden", {"content-type": "text/html"}),
        (403, b"error code: 1010", {"server": "cloudflare"}),
        (403, b"error code: 1020\n", {}),
        (400, b"error code: 1003", {}),
        (403, b"", {"server": "cloudflare"}),
        (403, b"Forbidden", {"server": "Cloudflare"}),
    ],
)
def test_a_firewalls_page_says_nothing_about_the_token(status: int, body: bytes, headers: dict[str, str]) -> None:
    """It is an AccessDeniedError, whose text does not send anybody after the token."""
    error = read(status, body, **headers)
    assert type(error) is AccessDeniedError
    assert error.message.startswith(f"refused by a firewall: HTTP {status_line(status)}: ")
    assert "token" not in str(error).lower()
    assert error.url == "https://x.example/api"
    assert is_refusal(response(status, body, **headers))


@pytest.mark.parametrize(
    ("status", "body", "headers", "cls"),
    [
        (401, CLOUDFLARE, {"server": "cloudflare"}, AuthenticationError),
        (403, b"", {}, AuthenticationError),
        (403, b"", {"content-type": "text/html"}, AuthenticationError),
        (403, b"Forbidden", {"content-type": "text/plain"}, AuthenticationError),
        (403, b'{"code": 1}', {"server": "cloudflare"}, AuthenticationError),
        (403, b'{"error": "unknown token"}', {"server": "cloudflare"}, AuthenticationError),
        (404, CLOUDFLARE, {"server": "cloudflare"}, UnexpectedStatusError),
        (429, b"error code: 1015", {"server": "cloudflare"}, RateLimitedError),
        (503, b"error code: 1102", {"server": "cloudflare"}, ServerError),
    ],
)
def test_what_is_no_firewalls_page(status: int, body: bytes, headers: dict[str, str], cls: type[PlugChatError]) -> None:
    """Another status has its own meaning, and JSON is the gateway's."""
    assert type(read(status, body, **headers)) is cls
    assert not is_refusal(response(status, body, **headers))


async def test_another_401_still_gets_a_newer_token(sim: PlugChatSimulator, fake_time: FakeTime) -> None:
    """Only a known text says that a newer one would not help."""
    tokens = iter(["replaced", sim.token])
    async with PlugChatSession(lambda: next(tokens), base_url=sim.base_url, clock=fake_time.clock) as session:
        assert len((await session.fetch_page(1, 10)).chats) == 10
    assert len(sim.requests) == 2


@pytest.mark.parametrize(
    "status", ["405 Method Not Allowed", "415 Unsupported Media Type", "500 Internal Server Error"]
)
async def test_a_known_text_is_neither_repaired_nor_retried(status: str, fake_time: FakeTime) -> None:
    """Under a status that would be, too."""
    said = http(b'{"error": "You are not connected."}', status=status)
    async with (
        RawServer(answering(said, close=False)) as server,
        PlugChatSession("t0ken", base_url=server.base_url, clock=fake_time.clock) as session,
    ):
        with pytest.raises(NotConnectedError):
            await session.fetch_page(1, 10)
        assert len(server.requests) == 1


async def test_a_repair_does_not_hide_that_the_phone_is_not_connected(fake_time: FakeTime) -> None:
    """A 400 to the request without Content-Type says so, though it departs from what the vendor documents."""
    refused = http(b"no", status="415 Unsupported Media Type")
    said = http(b'{"error": "You are not connected."}', status="400 Bad Request")
    async with (
        RawServer(answering(refused, said, close=False)) as server,
        PlugChatSession("t0ken", base_url=server.base_url, clock=fake_time.clock) as session,
    ):
        with pytest.raises(NotConnectedError) as caught:
            await session.fetch_page(1, 10)
    assert [attempt.outcome for attempt in caught.value.attempts] == ["415 Unsupported Media Type", "400 Bad Request"]
