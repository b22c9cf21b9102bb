"""Responses as they were read, and the errors of those with a status other than 200. Pure.

Rules from the vendor's "get chats" page unless an RFC is named.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Final, TypeAlias, TypeVar
from urllib.parse import urljoin, urlsplit

from attrs import define, field

from plugchat_async._error_details import EXCERPT_CHARS, read_headers, request_id_of
from plugchat_async._http.request import JSON_TYPE
from plugchat_async._http.secret import Secret
from plugchat_async.errors import (
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

RawHeaders: TypeAlias = tuple[tuple[bytes, bytes], ...]
_Error = TypeVar("_Error", bound=PlugChatError)

# Enough for 200 characters, and so many blanks may be before them; a body may have megabytes.
_EXCERPT_BYTES: Final = 4096
_BLANK_BYTES: Final = 64 * 1024

# A single status goes before its range; a status in neither is an UnexpectedStatusError.
_STATUSES: Final[dict[int, type[PlugChatError]]] = {
    304: UnexpectedStatusError,  # "not modified", without a condition in the request
    401: AuthenticationError,
    403: AuthenticationError,
    405: MethodNotAllowedError,
    407: ProxyAuthenticationError,
    408: RequestTimeoutError,
    415: UnsupportedMediaTypeError,
    425: ServerError,
    429: RateLimitedError,
}
_STATUS_RANGES: Final[dict[range, type[PlugChatError]]] = {
    range(300, 400): RedirectedError,
    range(500, 600): ServerError,
}
_STATUS_HINTS: Final = {
    400: "The server refused page, page_size or the headers: read what it says, and check base_url.",
    404: "The server has no such path: check base_url.",
}


@define(eq=False)
class Response:
    """A response as it was read. Its status is 0, and its body empty, until they have been.

    `repr` leaves out what the server or an injected session chose: it may hold the token.

    Attributes:
        status: The HTTP status.
        headers: The headers, names in lower case; lines of one name joined by ", " (RFC 9110, 5.2).
        body: The body, decoded from its content encoding; only its first bytes if it is not complete.
        complete: Whether the whole body was read. False: it is larger than the caller allows.
        sent_method: The method that was really sent, after an injected session's changes.
        sent_url: The URL that was really sent.
        sent_content_type: The Content-Type header that was really sent, or None.
        altered: Whether method or URL differed from the request's.
        raw_headers: The lines of all headers, as they came.
    """

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    complete: bool = True
    sent_method: str = "GET"
    sent_url: str = field(default="", repr=False)
    sent_content_type: str | None = JSON_TYPE
    altered: bool = False
    raw_headers: RawHeaders = field(default=(), repr=False)

    @property
    def allow(self) -> tuple[str, ...] | None:
        """The methods of the Allow header, upper case; None without one; empty if no method is allowed."""
        value = self.headers.get("allow")
        return None if value is None else tuple(m.strip().upper() for m in value.split(",") if m.strip())


def shown_headers(response: Response, token: Secret) -> RawHeaders:
    """Return the lines of a response's headers that callers get: without cookies and without the token."""
    lines = tuple(line for line in response.raw_headers if line[0].lower() != b"set-cookie")
    # All at once, since this is done for each page, and next to never is the token there.
    if not token.may_be_in(b"\n".join([b"%b: %b" % line for line in lines]).decode("utf-8", "replace")):
        return lines
    # In the names, too: a server may send anything.
    return tuple((_redact(name, token), _redact(value, token)) for name, value in lines)


def with_headers(error: _Error, response: Response, token: Secret) -> _Error:
    """Return the error, with the headers of its response and the id of its request."""
    error.headers = read_headers(shown_headers(response, token))
    request_id = request_id_of(error.headers)
    error.request_id = None if request_id is None else one_line(request_id, token)
    return error


def _redact(text: bytes, token: Secret) -> bytes:
    return token.redact(text.decode("utf-8", "replace")).encode()


def status_line(status: int) -> str:
    """Return "503 Service Unavailable", or the number alone if it has no registered name."""
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def excerpt(body: bytes, token: Secret) -> str:
    """Return the start of a body as one printable line, quoted, at most 200 characters, without the token."""
    start = body[:_BLANK_BYTES].lstrip()[:_EXCERPT_BYTES]
    if not start:
        return "an empty body" if len(body) <= _BLANK_BYTES else "blanks"
    return f"'{one_line(start.decode('utf-8', 'replace'), token)}'"


def one_line(text: str, token: Secret, max_chars: int = EXCERPT_CHARS) -> str:
    """Return text that a server sent as one printable line of at most `max_chars` characters, without the token."""
    printable = "".join(c if c.isprintable() else " " for c in text)
    # Redacted last: characters between those of the token may just have been taken out.
    line = token.redact(" ".join(printable.split()))
    return line if len(line) <= max_chars else line[: max_chars - 1] + "…"


def status_class(status: int) -> type[PlugChatError]:
    """Return the class of the error for a status other than 200."""
    in_range = (error for statuses, error in _STATUS_RANGES.items() if status in statuses)
    return _STATUSES.get(status) or next(in_range, UnexpectedStatusError)


def status_error(response: Response, token: Secret, retry_after: float | None) -> PlugChatError:
    """Return the error for a response with a status other than 200.

    Args:
        response: The response.
        token: The token to take out of texts.
        retry_after: Seconds that the response asks to wait, or None.
    """
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
            target = f"to {error.target}" if error.target else "without a valid Location"
            error.message = f"HTTP {status_line(status)}: redirected {target}"
        case RateLimitedError() | ServerError():
            error.retry_after = retry_after
        case _:
            """The others have no fields of their own."""
    return error


def _redirect_target(response: Response, token: Secret) -> str | None:
    """Return the origin of a redirect. Its path and query may hold secrets."""
    location = token.redact(response.headers.get("location", ""))
    try:
        # A relative Location stays on the origin that was asked (RFC 9110, 10.2.2).
        url = urlsplit(urljoin(response.sent_url, location))
    except ValueError:
        return None
    if not location or url.scheme not in ("https", "http") or not url.netloc:
        return None
    return one_line(f"{url.scheme}://{url.netloc.rpartition('@')[2]}", token)
