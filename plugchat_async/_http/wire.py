"""What goes over the wire: the request to send, the response as read, and what a response means.

Rules from the vendor's "get chats" page unless an RFC is named. Pure: nothing here does I/O.
"""

import ipaddress
import re
from collections.abc import Mapping
from http import HTTPStatus
from urllib.parse import urljoin, urlsplit

from attrs import define, evolve, field, frozen

from plugchat_async._http.secret import Secret
from plugchat_async.errors import (
    EXCERPT_CHARS,
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

__version__ = "0.1.0"

CHATS_PATH = "/api/whatsapp/chats"
STATUS_PATH = "/api/whatsapp/status"
# The vendor's page names the first on its method line and the second in its URL example.
DOCUMENTED_ORIGINS = ("https://app.plugchat.com.br", "https://www.plugchat.com.br")
DEFAULT_BASE_URL = DOCUMENTED_ORIGINS[0]
JSON_TYPE = "application/json"
USER_AGENT = f"plugchat-async/{__version__}"

_BASE_URL_HINT = f"Give an origin such as {DOCUMENTED_ORIGINS[0]}, with a path prefix at most."
_VISIBLE_ASCII = re.compile(r"[!-~]+")
# Stricter than RFC 3986: what parsers read differently (backslashes, quotes, text after a bracket) is not let through.
_BASE_URL = re.compile(
    r"""(?P<scheme> https? ) ://
        (?P<host> [a-z0-9._-]+ | \[ [0-9a-f:.]+ \] )
        (?: : (?P<port> [0-9]{1,5} ) )?
        (?P<path> (?: / [!$%&'()*+,./0-9:;=a-z_~-]* )? )""",
    re.IGNORECASE | re.VERBOSE | re.ASCII,
)


def token_problem(token: object) -> InvalidValueError | InvalidTypeError | None:
    """Say why `token` can't be sent in a header, or None if it can.

    This check and the two below give the error back instead of raising it: no frame of a traceback then holds what
    may be a secret.
    """
    if not isinstance(token, str):
        return InvalidTypeError(f"token must be a str, got {type(token).__name__}")
    if not token:
        return InvalidValueError("token is empty", "Copy the token from the Plug Chat panel.")
    if token.lower().startswith("bearer "):
        return InvalidValueError(
            "token begins with 'Bearer'", "Plug Chat takes the raw token: give it without 'Bearer'."
        )
    # RFC 9110, 5.5 allows blanks inside a field's value; no token has them, a bad copy does.
    if not _VISIBLE_ASCII.fullmatch(token):
        return InvalidValueError(
            "token holds blanks, control characters or characters outside ASCII",
            "Copy the token again, without the space around it.",
        )
    return None


def parse_base_url(base_url: object) -> str | InvalidValueError | InvalidTypeError:
    """Check a base URL and trim what users paste with it. Gives it without a trailing slash, or says what is wrong.

    A path prefix stays, for gateways. `http` is for loopback only: the token would travel in clear text.
    """
    if not isinstance(base_url, str):
        return InvalidTypeError(f"base_url must be a str, got {type(base_url).__name__}")
    text = base_url.strip()
    # Neither a password nor a query, which may hold a secret, is shown; nor what is no URL, but may be a token.
    if not text.lower().startswith(("https://", "http://")):
        return InvalidValueError("base_url does not begin with https://", _BASE_URL_HINT)
    for mark, what in (("@", "user information"), ("?", "a query"), ("#", "a fragment")):
        if mark in text:
            return InvalidValueError(f"base_url holds {what}", _BASE_URL_HINT)
    parts = _BASE_URL.fullmatch(text)
    if parts is None or not _is_host(parts["host"]) or int(parts["port"] or 1) not in range(1, 65536):
        return InvalidValueError(f"base_url is not a URL: {base_url!r}", _BASE_URL_HINT)
    scheme, host = parts["scheme"].lower(), parts["host"].lower()
    if scheme == "http" and not _is_loopback(host):
        return InvalidValueError(
            f"base_url must be https, except on loopback: {base_url!r}", "Use https: http shows the token."
        )
    is_default = parts["port"] in (None, {"https": "443", "http": "80"}[scheme])
    return f"{scheme}://{host}{'' if is_default else ':' + parts['port']}{_trim_path(parts['path'])}"


def proxy_problem(proxy: object) -> InvalidValueError | InvalidTypeError | None:
    """Say why `proxy` is no HTTP proxy's URL, or None if it is. It may hold a password: its value is not shown."""
    if proxy is None:
        return None
    if not isinstance(proxy, str):
        return InvalidTypeError(f"proxy must be a str, got {type(proxy).__name__}")
    if not re.match(r"https?://[^/?#\s]", proxy, re.IGNORECASE):
        return InvalidValueError("proxy must begin with http:// or https:// and name a host", "Give the proxy's URL.")
    return None


def _trim_path(path: str) -> str:
    trimmed = path.rstrip("/")
    for documented in (CHATS_PATH, CHATS_PATH.rpartition("/")[0]):
        if trimmed.endswith(documented):
            return trimmed.removesuffix(documented).rstrip("/")
    return trimmed


def _is_host(host: str) -> bool:
    """Tell whether `host` is a DNS name in ASCII, an IPv4 address, or an IPv6 address in brackets (RFC 3986, 3.2.2)."""
    if not host.startswith("["):
        return all(0 < len(label) <= 63 for label in host.removesuffix(".").split("."))
    try:
        return bool(ipaddress.IPv6Address(host[1:-1]))
    except ValueError:
        return False


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


@frozen
class RequestTemplate:
    """What is the same in all of a session's requests. A repair changes one thing of it.

    path: of the call, below the base URL.
    bare: send past whatever an injected client session adds: its default headers and middlewares.
    """

    base_url: str
    path: str = CHATS_PATH
    content_type: str | None = JSON_TYPE
    bare: bool = False

    def with_other_origin(self) -> "RequestTemplate | None":
        """Give the documented shape for the other documented host, or None if this one's is not a documented one."""
        if self.base_url not in DOCUMENTED_ORIGINS:
            return None
        first, second = DOCUMENTED_ORIGINS
        return evolve(self, base_url=second if self.base_url == first else first, content_type=JSON_TYPE)

    def headers(self, token: Secret) -> dict[str, str]:
        """Build the headers that every request carries.

        The vendor sends Content-Type on this GET without a body, and documents its absence as the cause of 415.
        Accept-Encoding names only what is decoded everywhere: br and zstd need codecs that may be missing.
        """
        content_type = {} if self.content_type is None else {"Content-Type": self.content_type}
        return {
            "Authorization": token.value,
            **content_type,
            "Accept": JSON_TYPE,
            "Accept-Encoding": "gzip, deflate",
            "User-Agent": USER_AGENT,
        }


@frozen(eq=False)
class Request:
    """One request to send. `repr` leaves out the headers: they hold the token."""

    shape: RequestTemplate
    token: Secret
    url: str
    headers: Mapping[str, str] = field(repr=False)


class RequestBuilder:
    """The requests of an account for one call, one for each page. What they have in common is built once."""

    def __init__(self) -> None:
        self._shape: RequestTemplate | None = None
        self._token: Secret | None = None
        self._url = ""
        self._headers: Mapping[str, str] = {}

    def build(
        self, shape: RequestTemplate, token: Secret, page: int | None = None, page_size: int | None = None
    ) -> Request:
        """Build the request for a page, or without parameters if there is no page. Pages count from 1."""
        if shape is not self._shape or token is not self._token:
            self._shape, self._token = shape, token
            self._url, self._headers = f"{shape.base_url}{shape.path}", shape.headers(token)
        query = "" if page is None else f"?page={page}&pageSize={page_size}"
        return Request(shape, token, f"{self._url}{query}", self._headers)


@define(eq=False)
class Response:
    """A response as read. Its body is filled in when it has been.

    `repr` leaves out what the server or an injected session chose: it may hold the token.

    body: its first bytes if `complete` is False (it was larger than what the caller allows), else all of them,
        decoded from the content encoding.
    headers: names in lower case; lines of one name joined by ", " (RFC 9110, 5.2).
    sent_method, sent_url, sent_content_type: what really went out, after an injected session's changes.
    altered: whether method or URL then differed from the request's.
    """

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    complete: bool = True
    sent_method: str = "GET"
    sent_url: str = field(default="", repr=False)
    sent_content_type: str | None = JSON_TYPE
    altered: bool = False

    @property
    def allow(self) -> tuple[str, ...] | None:
        """The methods of the Allow header, upper case; None without one; empty means that none is allowed."""
        value = self.headers.get("allow")
        return None if value is None else tuple(m.strip().upper() for m in value.split(",") if m.strip())


def status_line(status: int) -> str:
    """Give "503 Service Unavailable", or the number alone where it has no registered name."""
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def excerpt(body: bytes, token: Secret) -> str:
    """Give the start of a body as one printable line, quoted, at most 200 characters, without the token."""
    start = body.lstrip()[:_EXCERPT_BYTES]
    return f"'{one_line(start.decode('utf-8', 'replace'), token)}'" if start else "an empty body"


def one_line(text: str, token: Secret, most: int = EXCERPT_CHARS) -> str:
    """Give text that a server sent as one printable line of at most `most` characters, without the token."""
    printable = "".join(c if c.isprintable() else " " for c in text)
    # Redacted when all else is done: what was between the token's characters may just have been taken out.
    line = token.redact(" ".join(printable.split()))
    return line if len(line) <= most else line[: most - 1] + "…"


# Enough for 200 characters behind some blanks; a body may have megabytes.
_EXCERPT_BYTES = 4096


# A single status goes before its range; what is in neither is an UnexpectedStatusError.
_STATUSES: dict[int, type[PlugChatError]] = {
    304: UnexpectedStatusError,  # "not modified", which nobody asked
    401: AuthenticationError,
    403: AuthenticationError,
    405: MethodNotAllowedError,
    408: RequestTimeoutError,
    415: UnsupportedMediaTypeError,
    425: ServerError,
    429: RateLimitedError,
}
_STATUS_RANGES: dict[range, type[PlugChatError]] = {
    range(300, 400): RedirectedError,
    range(500, 600): ServerError,
}
_STATUS_HINTS = {
    400: "The server refused page, page_size or the headers: read what it says, and check base_url.",
    404: "There is no such call there: check base_url.",
    407: "The proxy wants credentials: check the proxy option.",
}


def status_class(status: int) -> type[PlugChatError]:
    """Say which error a status other than 200 is for this call."""
    in_range = (error for statuses, error in _STATUS_RANGES.items() if status in statuses)
    return _STATUSES.get(status) or next(in_range, UnexpectedStatusError)


def status_error(response: Response, token: Secret, retry_after: float | None) -> PlugChatError:
    """Turn a response with a status other than 200 into its error. `retry_after` is its Retry-After in seconds."""
    status = response.status
    error = status_class(status)(
        f"HTTP {status_line(status)}: {excerpt(response.body, token)}", _STATUS_HINTS.get(status, ""), status
    )
    error.url = token.redact(response.sent_url)
    match error:
        case MethodNotAllowedError():
            allow = response.allow
            error.allow = None if allow is None else tuple(one_line(method, token) for method in allow)
        case UnsupportedMediaTypeError():
            accept = response.headers.get("accept")
            error.sent_content_type = response.sent_content_type
            error.accept = None if accept is None else one_line(accept, token)
        case RedirectedError():
            error.target = _redirect_target(response, token)
            error.message = f"HTTP {status_line(status)}: redirected to {error.target or 'nowhere'}"
        case RateLimitedError() | ServerError():
            error.retry_after = retry_after
        case _:
            """The others carry nothing of their own."""
    return error


def _redirect_target(response: Response, token: Secret) -> str | None:
    """Give the origin alone: path and query of a redirect may hold anything, secrets too."""
    location = token.redact(response.headers.get("location", ""))
    try:
        # A relative Location stays on the origin that was asked (RFC 9110, 10.2.2).
        url = urlsplit(urljoin(response.sent_url, location))
    except ValueError:
        return None
    if not location or url.scheme not in ("https", "http") or not url.netloc:
        return None
    return one_line(f"{url.scheme}://{url.netloc.rpartition('@')[2]}", token)
