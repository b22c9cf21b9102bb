import pytest

from plugchat_async import (
    AuthenticationError,
    InvalidTypeError,
    InvalidValueError,
    MethodNotAllowedError,
    PlugChatError,
    RateLimitedError,
    RedirectedError,
    RequestTimeoutError,
    ServerError,
    UnexpectedStatusError,
    UnsupportedMediaTypeError,
)
from plugchat_async._http.request import RequestBuilder, RequestTemplate
from plugchat_async._http.response import Response, excerpt, status_error
from plugchat_async._http.secret import Secret
from plugchat_async._http.token import token_problem
from plugchat_async._http.urls import parse_base_url, proxy_problem

TOKEN = Secret("1nEFbU3EktLnV7LIIzX")


def test_the_request_is_the_vendors() -> None:
    """URL, parameters and headers as the vendor's page gives them."""
    request = RequestBuilder().build(RequestTemplate("https://app.plugchat.com.br"), TOKEN, 3, 50)
    assert request.url == "https://app.plugchat.com.br/api/whatsapp/chats?page=3&pageSize=50"
    headers = dict(request.headers)
    assert headers.pop("User-Agent").startswith("plugchat-async/")
    assert headers == {
        "Authorization": "1nEFbU3EktLnV7LIIzX",
        "Content-Type": "application/json",
        "Accept": "application/json",
        "Accept-Encoding": "gzip, deflate",
    }
    assert "1nEF" not in repr(request)


def test_what_requests_have_in_common_is_built_once() -> None:
    """Until a repair or a new token changes it; and then it is changed."""
    requests, template = RequestBuilder(), RequestTemplate("https://x.example")
    assert requests.build(template, TOKEN, 1, 10).headers is requests.build(template, TOKEN, 2, 10).headers
    repaired = requests.build(RequestTemplate("https://y.example", content_type=None), TOKEN, 3, 10)
    assert repaired.url == "https://y.example/api/whatsapp/chats?page=3&pageSize=10"
    assert "Content-Type" not in repaired.headers
    assert requests.build(template, TOKEN, 4, 10).url.startswith("https://x.example/")
    assert requests.build(template, Secret("newer"), 5, 10).headers["Authorization"] == "newer"
    assert "1nEF" not in repr(requests)


def test_a_shape_may_leave_out_the_content_type() -> None:
    """The repair for 415 sends no Content-Type."""
    assert "Content-Type" not in RequestTemplate("https://x.example", content_type=None).headers(TOKEN)


@pytest.mark.parametrize(
    ("given", "parsed"),
    [
        ("https://app.plugchat.com.br", "https://app.plugchat.com.br"),
        ("https://app.plugchat.com.br/", "https://app.plugchat.com.br"),
        ("  HTTPS://App.Plugchat.com.br/ ", "https://app.plugchat.com.br"),
        ("https://www.plugchat.com.br/api/whatsapp/chats", "https://www.plugchat.com.br"),
        ("https://www.plugchat.com.br/api/whatsapp/", "https://www.plugchat.com.br"),
        ("https://gateway.example:8443/plug/chat/", "https://gateway.example:8443/plug/chat"),
        ("https://gateway.example/v1/api/whatsapp/chats", "https://gateway.example/v1"),
        ("http://localhost:8080", "http://localhost:8080"),
        ("https://app.plugchat.com.br:443/", "https://app.plugchat.com.br"),
        ("http://localhost:80", "http://localhost"),
        ("https://app.plugchat.com.br.", "https://app.plugchat.com.br."),
        ("http://127.0.0.1:1", "http://127.0.0.1:1"),
        ("http://127.9.9.9", "http://127.9.9.9"),
        ("http://[::1]:8080", "http://[::1]:8080"),
        ("https://[1:2:3:4:5:6:7:8]", "https://[1:2:3:4:5:6:7:8]"),
        ("https://x.example:65535", "https://x.example:65535"),
        (f"https://{'a' * 63}.example", f"https://{'a' * 63}.example"),
        ("https://gateway.example/X/", "https://gateway.example/X"),
        ("https://gateway.example/X//api/whatsapp/chats/", "https://gateway.example/X"),
    ],
)
def test_base_urls_are_trimmed(given: str, parsed: str) -> None:
    """An origin, a prefix, or what users paste from the vendor's page."""
    assert parse_base_url(given) == parsed


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("http://app.plugchat.com.br", "must be https"),
        ("http://localhost.evil.example", "must be https"),
        ("http://x.localhost", "must be https"),  # whatever a resolver makes of it
        ("http://192.168.0.1", "must be https"),
        ("http://127.1", "must be https"),
        ("http://[v1.localhost]", "is not a URL"),
        ("http://[::1]evil.example", "is not a URL"),
        ("http://evil.example[::1]", "is not a URL"),
        ("https://app.plugchat.com.br\\evil.example", "is not a URL"),
        ("ftp://app.plugchat.com.br", "does not begin with https://"),
        ("app.plugchat.com.br", "does not begin with https://"),
        ("hunter2", "does not begin with https://"),
        ("", "does not begin with https://"),
        ("https://", "is not a URL"),
        ("https://.", "is not a URL"),
        ("https://a..b", "is not a URL"),
        (f"https://{'a' * 64}.example", "is not a URL"),
        ("https://a b", "is not a URL"),
        ("https://a\nb", "is not a URL"),
        ("https://plug.chat.çom", "is not a URL"),
        ("https://x.example/a b", "is not a URL"),
        ("https://[::1", "is not a URL"),
        ("https://[::1%25eth0]", "is not a URL"),
        ("https://[::1::2]", "is not a URL"),
        ("https://x.example:", "is not a URL"),
        ("https://x.example:99999", "is not a URL"),
        ("https://x.example:65536", "is not a URL"),
        ("https://x.example:0", "is not a URL"),
        ("https://user:hunter2@x.example", "holds user information."),
        ("https://x.example/?key=hunter2", "holds a query."),
        ("https://x.example/#hunter2", "holds a fragment."),
    ],
)
def test_bad_base_urls_are_refused(given: str, message: str) -> None:
    """https only, but for loopback; it is said what to give, and nothing that may be a secret is shown."""
    problem = parse_base_url(given)
    assert isinstance(problem, InvalidValueError)
    assert str(problem).startswith(f"base_url {message}")
    assert problem.hint.startswith("Use https:" if message == "must be https" else "Give an origin such as https:")
    assert "hunter2" not in str(problem)


def test_a_base_url_is_a_str() -> None:
    """Another type is named."""
    problem = parse_base_url(b"https://x.example")
    assert isinstance(problem, InvalidTypeError)
    assert "base_url must be a str, got bytes" in str(problem)


EMPTY = "token is empty. Copy the token from the Plug Chat panel."
BEARER = "token begins with 'Bearer'. Plug Chat takes the raw token: give it without 'Bearer'."
BLANKS = (
    "token holds blanks, control characters or characters outside ASCII. "
    "Copy the token again, without the space around it."
)


@pytest.mark.parametrize(
    ("token", "said"),
    [
        ("", EMPTY),
        (" s3cret", BLANKS),
        ("s3cret ", BLANKS),
        ("s3 cret", BLANKS),
        ("s3cret\r\n", BLANKS),
        ("s3cret\0", BLANKS),
        ("s3crét", BLANKS),
        ("Bearer s3cret", BEARER),
        ("bEARER s3cret", BEARER),
        (b"s3cret", "token must be a str, got bytes. Correct the argument."),
        (None, "token must be a str, got NoneType. Correct the argument."),
    ],
)
def test_bad_tokens_are_refused_without_being_shown(token: object, said: str) -> None:
    """The error says what is wrong and what to do, not what was given."""
    assert str(token_problem(token)) == said


@pytest.mark.parametrize(
    ("proxy", "said"),
    [
        (None, None),
        ("http://proxy.example:8080", None),
        ("HTTPS://user:hunter2@proxy.example/", None),
        (7, "proxy must be a str, got int. Correct the argument."),
        *[
            (proxy, "proxy must begin with http:// or https:// and name a host. Give the proxy's URL.")
            for proxy in ("", "proxy.example:8080", "socks5://user:hunter2@x", "http://", "http:///hunter2")
        ],
    ],
)
def test_a_proxy_is_an_http_url(proxy: object, said: str | None) -> None:
    """What is none is refused without being shown, since it may hold a password."""
    problem = proxy_problem(proxy)
    assert (None if problem is None else str(problem)) == said


def test_a_good_token_has_no_problem_and_prints_as_stars() -> None:
    """Whatever prints a Secret prints three stars."""
    assert token_problem("1nEFbU3EktLnV7LIIzX") is None
    assert repr(TOKEN) == str(TOKEN) == f"{TOKEN}" == "***"


@pytest.mark.parametrize(
    ("status", "cls"),
    [
        (204, UnexpectedStatusError),
        (206, UnexpectedStatusError),
        (101, UnexpectedStatusError),
        *[(status, RedirectedError) for status in (300, 301, 302, 303, 305, 307, 308, 399)],
        (304, UnexpectedStatusError),
        *[(status, UnexpectedStatusError) for status in (400, 402, 404, 407, 409, 413, 418, 426, 451)],
        (401, AuthenticationError),
        (403, AuthenticationError),
        (405, MethodNotAllowedError),
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
    assert error.message == f"HTTP 302 Found: redirected to {target or 'nowhere'}"


def test_a_redirect_without_a_location_has_no_target() -> None:
    """Not even the origin that was asked."""
    error = status_error(Response(302, {}, b"", sent_url="https://app.plugchat.com.br/api"), TOKEN, None)
    assert isinstance(error, RedirectedError)
    assert error.target is None


@pytest.mark.parametrize(
    ("status", "hint"),
    [
        (400, "The server refused page, page_size or the headers"),
        (404, "There is no such call there: check base_url"),
        (407, "The proxy wants credentials"),
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


def test_only_documented_hosts_have_another_one() -> None:
    """app and www stand for each other; nothing else does."""
    app = RequestTemplate("https://app.plugchat.com.br")
    www = app.with_other_origin()
    assert www is not None
    assert www == RequestTemplate("https://www.plugchat.com.br")
    assert www.with_other_origin() == app
    assert RequestTemplate("https://app.plugchat.com.br/prefix").with_other_origin() is None
