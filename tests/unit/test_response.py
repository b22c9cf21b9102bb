import pytest

from plugchat_async import (
    AuthenticationError,
    MethodNotAllowedError,
    PlugChatError,
    ProxyAuthenticationError,
    RateLimitedError,
    RedirectedError,
    RequestTimeoutError,
    ServerError,
    UnexpectedStatusError,
    UnsupportedMediaTypeError,
)
from plugchat_async._http.response import Response, excerpt, status_error
from plugchat_async._http.secret import Secret

TOKEN = Secret("1nEFbU3EktLnV7LIIzX")


@pytest.mark.parametrize(
    ("status", "cls"),
    [
        (204, UnexpectedStatusError),
        (206, UnexpectedStatusError),
        (101, UnexpectedStatusError),
        *[(status, RedirectedError) for status in (300, 301, 302, 303, 305, 307, 308, 399)],
        (304, UnexpectedStatusError),
        *[(status, UnexpectedStatusError) for status in (400, 402, 404, 409, 413, 418, 426, 451)],
        (401, AuthenticationError),
        (403, AuthenticationError),
        (405, MethodNotAllowedError),
        (407, ProxyAuthenticationError),
        (408, RequestTimeoutError),
        (415, UnsupportedMediaTypeError),
        (425, ServerError),
        (429, RateLimitedError),
        *[(status, ServerError) for status in (500, 501, 502, 503, 504, 505, 520, 526, 599)],
        (600, UnexpectedStatusError),
        (999, UnexpectedStatusError),
    ],
)
def test_each_status_has_its_error(status: int, cls: type[PlugChatError]) -> None:
    """The table of statuses, and what each error carries."""
    response = Response(status, {}, b"<h1>Oh no</h1>", sent_url="https://x.example/")
    error = status_error(response, TOKEN, 7.0)
    assert type(error) is cls
    assert (error.status, error.url) == (status, "https://x.example/")
    assert str(status) in error.message
    assert "Oh no" in error.message or cls is RedirectedError
    assert getattr(error, "retry_after", 7.0) == 7.0


def test_405_tells_what_is_allowed() -> None:
    """Allow is read as a list; an empty one allows nothing, a missing one says nothing."""

    def allow(headers: dict[str, str]) -> tuple[str, ...] | None:
        error = status_error(Response(405, headers, b""), TOKEN, None)
        assert isinstance(error, MethodNotAllowedError)
        return error.allow

    assert allow({"allow": "get, POST,"}) == ("GET", "POST")
    assert allow({"allow": ""}) == ()
    assert allow({}) is None


def test_415_tells_what_was_sent_and_what_is_accepted() -> None:
    """Both sides of the disagreement are in the error."""
    response = Response(415, {"accept": "application/xml"}, b"", sent_content_type="text/plain")
    error = status_error(response, TOKEN, None)
    assert isinstance(error, UnsupportedMediaTypeError)
    assert (error.sent_content_type, error.accept) == ("text/plain", "application/xml")


@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("https://other.example:8443/path?token=x", "https://other.example:8443"),
        ("//other.example/path", "https://other.example"),
        ("/login", "https://app.plugchat.com.br"),
        ("http://[::1]:8443/x", "http://[::1]:8443"),
        ("https://user:x@other.example/", "https://other.example"),
        (f"https://{'a' * 5000}.example/", f"https://{'a' * 191}…"),
        ("", None),
        ("https://[::1", None),
        ("javascript:alert(1)", None),
        ("ftp://other.example/x", None),
    ],
)
def test_a_redirect_names_the_targets_origin_only(location: str, target: str | None) -> None:
    """Path and query of a Location may hold anything."""
    response = Response(302, {"location": location}, b"", sent_url="https://app.plugchat.com.br/api")
    error = status_error(response, TOKEN, None)
    assert isinstance(error, RedirectedError)
    assert error.target == target
    redirected = f"to {target}" if target else "without a valid Location"
    assert error.message == f"HTTP 302 Found: redirected {redirected}"


def test_a_redirect_without_a_location_has_no_target() -> None:
    """Not even the origin that was asked."""
    error = status_error(Response(302, {}, b"", sent_url="https://app.plugchat.com.br/api"), TOKEN, None)
    assert isinstance(error, RedirectedError)
    assert error.target is None


@pytest.mark.parametrize(
    ("status", "hint"),
    [
        (400, "The server refused page, page_size or the headers"),
        (404, "The server has no such path: check base_url"),
        (407, "Check user name and password in the proxy option"),
        (401, AuthenticationError.advice),
        (418, UnexpectedStatusError.advice),
        (503, ServerError.advice),
    ],
)
def test_a_status_has_its_hint(status: int, hint: str) -> None:
    """Some say more than their error's class does about what to do."""
    assert status_error(Response(status, {}, b""), TOKEN, None).hint.startswith(hint)


def test_what_the_server_says_is_shown_without_the_token() -> None:
    """A server that echoes the token, in a body or in headers, does not bring it into an error."""
    echo = f"no such token: {TOKEN.value}"
    headers = {"allow": TOKEN.value, "accept": TOKEN.value, "location": f"https://{TOKEN.value}.example/"}
    for status in (401, 405, 415, 302, 500):
        error = status_error(Response(status, headers, echo.encode()), TOKEN, None)
        assert TOKEN.value.lower() not in repr(error).lower()


def test_a_token_is_known_between_what_is_taken_out() -> None:
    """Blanks, NULs and zero-width characters between its characters are folded first."""
    token = Secret("abcdefghijkl")
    for between in ("\n" + " " * 50, "\0", "\u200b"):
        assert "efgh" not in excerpt(between.join(token.value).encode(), token).replace(" ", "")


def test_an_excerpt_is_one_printable_line_of_200_characters() -> None:
    """A token at the cut is replaced before the cut."""
    assert excerpt(b"  a\r\n\tb\x00\x1b[31m c ", TOKEN) == "'a b [31m c'"
    assert excerpt(b"", TOKEN) == "an empty body"
    assert excerpt(b" " * 5000 + b"<h1>", TOKEN) == "'<h1>'"
    assert excerpt(b"x" * 200, TOKEN) == f"'{'x' * 200}'"
    assert excerpt(b"x" * 1000, TOKEN) == f"'{'x' * 199}…'"
    cut = excerpt(b"x" * 190 + TOKEN.value.encode() + b"y" * 100, TOKEN)
    assert "1nEF" not in cut
    assert "\ufffd" in excerpt(b"\xff", TOKEN)
