"""The vendor's "status" call: what is read, and that it goes the way of a page."""

import json
import pickle

import pytest

from plugchat_async import (
    AccountStatus,
    AuthenticationError,
    NotConnectedError,
    NotJSONError,
    PlugChatError,
    PlugChatSession,
    RateLimitedError,
    ResponseError,
    ResponseTooLargeError,
    RetryPolicy,
    ServerError,
    SessionStateError,
    UnexpectedStatusError,
)
from plugchat_async._http.account_status import read_status
from plugchat_async._http.secret import Secret
from support.fakes import FakeTime, RawServer, answering, http

TOKEN = Secret("1nEFbU3EktLnV7LIIzX")
CONNECTED = http(b'{"connected": true, "session": true, "smartphoneConnected": true}')


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"connected": True}, AccountStatus(True)),
        ({"connected": False, "session": True, "smartphoneConnected": False}, AccountStatus(False, True, False)),
        ({"connected": "true", "session": "FALSE", "smartphoneConnected": "1"}, AccountStatus(True, False, True)),
        ({"connected": 1, "session": 0, "smartphoneConnected": "True"}, AccountStatus(True, False, True)),
        ({"connected": "0", "session": None, "smartphoneConnected": ""}, AccountStatus(False)),
        ({"connected": True, "session": "perhaps", "smartphoneConnected": [True]}, AccountStatus(True)),
        ({"connected": True, "error": ""}, AccountStatus(True)),
        ({"connected": True, "error": 7}, AccountStatus(True, error="7")),
        ({"connected": True, "error": [7]}, AccountStatus(True)),
        (
            {"connected": False, "error": "You are not connected."},
            AccountStatus(False, error="You are not connected."),
        ),
        (
            {"connected": True, "error": f"You are \n{TOKEN.value}.", "new": {}},
            AccountStatus(True, error="You are ***."),
        ),
    ],
)
def test_a_status_is_read_in_any_spelling(body: object, status: AccountStatus) -> None:
    """Flags as booleans, numbers and texts; what is absent or can't be read is None; no text shows the token."""
    assert read_status(json.dumps(body).encode(), TOKEN) == status
    assert read_status(b"\xef\xbb\xbf" + json.dumps(body).encode(), TOKEN) == status
    assert pickle.loads(pickle.dumps(status)) == status


@pytest.mark.parametrize(
    ("body", "cls", "message"),
    [
        (b"", NotJSONError, "the body is not JSON: an empty body"),
        (b"<html>", NotJSONError, "the body is not JSON: '<html>'"),
        (b'{"connected": true', NotJSONError, "the body is not JSON: "),
        (b'{"connected": ' + b"[" * 50_000, NotJSONError, "the body is not JSON: "),
        (b'{"connected": true, "x": "%b"}' % (b"x" * 65536), ResponseError, "the body is not an account's status: "),
        (b" " * 65537, ResponseError, "the body is not an account's status: blanks"),
        (b"[]", ResponseError, "the body is not an account's status: '[]'"),
        (b"true", ResponseError, "the body is not an account's status: 'true'"),
        (b"{}", ResponseError, "the body is not an account's status: '{}'"),
        (b'{"connected": null}', ResponseError, "the body is not an account's status: "),
        (b'{"connected": ""}', ResponseError, "the body is not an account's status: "),
        (b'{"connected": 2}', ResponseError, "the body is not an account's status: "),
        (b'{"connected": 1.5}', ResponseError, "the body is not an account's status: "),
        (b'{"connected": "' + TOKEN.value.encode() + b'"}', ResponseError, "the body is not an account's status: "),
    ],
)
def test_a_body_that_is_no_status_is_an_error(body: bytes, cls: type[ResponseError], message: str) -> None:
    """It shows how the body begins, without the token."""
    error = read_status(body, TOKEN)
    assert isinstance(error, ResponseError)
    assert type(error) is cls
    assert error.message.startswith(message)
    assert TOKEN.value not in str(error)


async def fetch(
    *answers: bytes,
    fake: FakeTime,
    limit: int = 1000,
) -> tuple[AccountStatus | PlugChatError, list[str]]:
    """The status, or the error; and what was asked for."""
    async with RawServer(answering(*answers, close=False)) as server:
        async with PlugChatSession(
            "t0ken", base_url=server.base_url, clock=fake.clock, max_response_bytes=limit
        ) as session:
            try:
                result: AccountStatus | PlugChatError = await session.fetch_status()
            except PlugChatError as error:
                result = error
        return result, [request.split()[1].decode() for request in server.requests]


async def test_one_request_gives_the_status(fake_time: FakeTime) -> None:
    """It has the headers of a page's request, and no parameters."""
    async with RawServer(answering(CONNECTED, close=False)) as server:
        async with PlugChatSession("t0ken", base_url=server.base_url, clock=fake_time.clock) as session:
            assert await session.fetch_status() == AccountStatus(True, True, True)
        [request] = server.requests
    assert request.startswith(b"GET /api/whatsapp/status HTTP/1.1\r\n")
    for header in (b"Authorization: t0ken", b"Content-Type: application/json", b"Accept: application/json"):
        assert header in request


async def test_a_fault_is_retried(fake_time: FakeTime) -> None:
    """As often, and after the same waits, as a page."""
    busy = http(b"", status="503 Busy")
    result, asked = await fetch(busy, busy, CONNECTED, fake=fake_time)
    assert result == AccountStatus(True, True, True)
    assert asked == ["/api/whatsapp/status"] * 3
    assert fake_time.sleeps == [0.25, 0.5]


async def test_an_error_names_no_page(fake_time: FakeTime) -> None:
    """It has the call's URL and its attempts."""
    result, _ = await fetch(*[http(b"", status="503 Busy")] * 3, fake=fake_time)
    assert isinstance(result, ServerError)
    assert (result.page, result.page_size, len(result.attempts), result.elapsed) == (None, None, 3, 0.75)
    assert "page" not in result.what_happened
    assert (result.url or "").endswith("/api/whatsapp/status")


async def test_a_415_is_repaired(fake_time: FakeTime) -> None:
    """As for a page, and the repair is kept."""
    refused = http(b"no", status="415 Unsupported Media Type")
    async with RawServer(answering(refused, CONNECTED, CONNECTED, close=False)) as server:
        async with PlugChatSession("t0ken", base_url=server.base_url, clock=fake_time.clock) as session:
            await session.fetch_status()
            await session.fetch_status()
        assert [b"Content-Type" in request for request in server.requests] == [True, False, False]


async def test_a_refused_token_is_renewed(fake_time: FakeTime) -> None:
    """Once, by the function that gives it."""
    tokens = iter(["first-token", "second-token"])
    async with RawServer(answering(http(b"", status="401 Unauthorized"), CONNECTED, close=False)) as server:
        async with PlugChatSession(lambda: next(tokens), base_url=server.base_url, clock=fake_time.clock) as session:
            assert (await session.fetch_status()).connected
        assert [b"second-token" in request for request in server.requests] == [False, True]


async def test_a_429_holds_back_chats_too(fake_time: FakeTime) -> None:
    """The limit is the account's."""
    limited = http(b"", "Retry-After: 7", status="429 Too Many Requests")
    chats = http(b'[{"phone": "1"}]')
    async with (
        RawServer(answering(limited, chats, close=False)) as server,
        PlugChatSession(
            "t0ken", base_url=server.base_url, clock=fake_time.clock, retry=RetryPolicy(attempts=1)
        ) as session,
    ):
        with pytest.raises(RateLimitedError):
            await session.fetch_status()
        await session.fetch_page(1, 10)
        assert fake_time.sleeps == [7.0]


@pytest.mark.parametrize(
    ("answer", "cls", "message"),
    [
        (http(b'{"error": "You are not connected."}'), NotConnectedError, "the gateway says: 'You are not connected.'"),
        (http(b'{"error": "Instance not found"}'), AuthenticationError, "the gateway says: 'Instance not found'"),
        (http(b'{"error": "no idea"}'), ResponseError, "the gateway says: 'no idea' (HTTP 200 OK)"),
        (http(b'{"connected": null, "error": "no idea"}'), ResponseError, "the gateway says: 'no idea' (HTTP 200 OK)"),
        (http(b"[]"), ResponseError, "the body is not an account's status: '[]'"),
        (http(b"<html>"), NotJSONError, "the body is not JSON: '<html>'"),
        (http(b" " * 1001), ResponseTooLargeError, "the body is larger than max_response_bytes=1000"),
        (http(b"{}", status="404 Not Found"), UnexpectedStatusError, "HTTP 404 Not Found: '{}'"),
        (
            http(b'{"connected": false, "error": "You are not connected."}', status="400 Bad Request"),
            NotConnectedError,
            "the gateway says: 'You are not connected.' (HTTP 400 Bad Request)",
        ),
    ],
)
async def test_what_is_no_status_is_raised(
    answer: bytes, cls: type[PlugChatError], message: str, fake_time: FakeTime
) -> None:
    """With the status and the URL, after one request."""
    result, asked = await fetch(answer, fake=fake_time)
    assert isinstance(result, PlugChatError)
    assert type(result) is cls
    assert result.message.startswith(message)
    assert len(asked) == 1
    assert result.status is not None
    assert (result.url or "").endswith("/api/whatsapp/status")


async def test_an_account_that_is_not_connected_has_a_status(fake_time: FakeTime) -> None:
    """The gateway's text beside `connected` is no error."""
    result, _ = await fetch(http(b'{"connected": false, "error": "You are not connected."}'), fake=fake_time)
    assert result == AccountStatus(False, error="You are not connected.")


async def test_a_session_that_is_not_open_sends_nothing() -> None:
    """As with pages."""
    with pytest.raises(SessionStateError, match="not open"):
        await PlugChatSession("t0ken").fetch_status()
