"""Every error that this package raises, split first by whose fault it is.

PlugChatError
├─ ConfigurationError             yours: fix it and deploy again
│  ├─ InvalidValueError           an argument's value; also a ValueError, raised before any I/O
│  ├─ InvalidTypeError            an argument's type; also a TypeError, raised before any I/O
│  ├─ MissingExtraError           a library is not installed; also an ImportError
│  ├─ TokenError                  the token callable returned no valid token
│  ├─ SessionStateError           the session is not open here; also a RuntimeError
│  ├─ AuthenticationError         401, 403; a token or an account that the gateway does not know
│  ├─ AccessDeniedError           an address that is not on the account's list; a firewall
│  ├─ ProxyAuthenticationError    407: the proxy does not accept the user name or password
│  ├─ MethodNotAllowedError       405, after the repairs
│  ├─ UnsupportedMediaTypeError   415, after the repairs
│  └─ RedirectedError             3xx, never followed
├─ ServiceError                   theirs or the network's: may pass
│  ├─ ConnectionFailedError       no answer, or half of one; also a ConnectionError
│  ├─ RequestTimeoutError         no answer in time; 408; also a TimeoutError
│  ├─ RateLimitedError            429
│  ├─ ServerError                 5xx, 425
│  └─ NotConnectedError           the phone is not connected to WhatsApp
├─ UnexpectedStatusError          any other status except 200
├─ ResponseError                  200, but not what is documented
│  ├─ NotJSONError
│  ├─ NotAListError
│  ├─ DecodeError                 .problems: index, field, what was expected, what was received
│  └─ ResponseTooLargeError
├─ PaginationError                the pages do not add up to a list
│  ├─ PageRepeatedError
│  ├─ PageLimitError
│  └─ ConsistencyError
└─ OutputError                    a file can't be written

`str(error)` says what happened and what to do about it. No error holds the token or an aiohttp object,
and each one survives pickling: fields are positional, and all of them are plain values.
"""

from collections.abc import Mapping
from typing import ClassVar

from attrs import define, field, fields

from plugchat_async._error_details import PROBLEMS_SHOWN, Attempt, Problem

DOCS_URL = "https://plugchat-async.readthedocs.io/en/stable/"


# `slots=False` throughout: exceptions keep a __dict__, which pickling and `add_note` rely on. Fields stay positional,
# since unpickling calls the class with them. Classes without fields of their own inherit all of it.
@define(slots=False, repr=False)
class PlugChatError(Exception):
    """The base of all errors of this package. Fields that are not known are None.

    Attributes:
        message: What happened, with the value.
        hint: What to do about it.
        status: The HTTP status.
        url: The URL of the request.
        page: The number of the page that failed.
        page_size: The page size by which that number is counted.
        attempts: Each request for the page, and its outcome.
        elapsed: Seconds spent on the page.
        checkpoint: Pass it as `resume` to continue the walk. It holds no token, but, unless the walk's consistency is
            "plain", ids and names of chats.
        account: The name of the account, where there are many.
        headers: The response's headers, names in lower case, without cookies; empty if there was no response.
        request_id: The id that the service gave the request, for its support.
        docs_url: The address of the class's documentation.
    """

    advice: ClassVar[str] = "Read the message."
    docs_url: ClassVar[str] = f"{DOCS_URL}reference/errors.html#plugchat_async.PlugChatError"

    message: str = ""
    hint: str = ""
    status: int | None = None
    url: str | None = None
    page: int | None = None
    page_size: int | None = None
    attempts: tuple[Attempt, ...] = ()
    elapsed: float | None = None
    checkpoint: str | None = field(default=None, repr=False)
    account: str | None = None
    headers: Mapping[str, str] = field(factory=dict[str, str], repr=False)
    request_id: str | None = None

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if cls.__module__ == __name__:  # a caller's own class has the entry of the nearest of ours
            cls.docs_url = f"{DOCS_URL}reference/errors.html#plugchat_async.{cls.__name__}"

    def __attrs_post_init__(self) -> None:
        if not self.hint:
            self.hint = self.advice

    def __str__(self) -> str:
        happened = self.what_happened
        stop = "" if happened.endswith((".", "!", "?")) else "."  # it may end in the gateway's own sentence
        return f"{happened}{stop} {self.hint}"

    def __repr__(self) -> str:
        # One for all: attrs would write one for each class, which is most of the time that importing them takes.
        shown = ", ".join(f"{a.name}={getattr(self, a.name)!r}" for a in fields(type(self)) if a.repr)
        return f"{type(self).__name__}({shown})"

    @property
    def what_happened(self) -> str:
        """The message with its context, without the hint: one line."""
        repeated = len(self.attempts) > 1
        known = (
            (f"account {self.account!r}", self.account is not None),
            (f"page {self.page}", self.page is not None),
            (f"page_size {self.page_size}", self.page_size is not None),
            (f"{len(self.attempts)} requests", repeated),
            (f"{self.elapsed or 0.0:.1f} s", repeated and self.elapsed is not None),
            (f"{self.url}", self.url is not None),
            (f"request id {self.request_id}", self.request_id is not None),
        )
        context = ", ".join(text for text, is_known in known if is_known)
        return f"{self.message}{f' ({context})' if context else ''}"


class ConfigurationError(PlugChatError):
    """Yours to fix: the same call will fail again until the configuration or the code changes."""

    advice: ClassVar[str] = "Correct the configuration and try again."


class InvalidValueError(ConfigurationError, ValueError):
    """An argument has a value that can't be used. Raised before any I/O; the message names argument and value."""

    advice: ClassVar[str] = "Correct the argument."


class InvalidTypeError(ConfigurationError, TypeError):
    """An argument has the wrong type. Raised before any I/O; the message names argument and value."""

    advice: ClassVar[str] = "Correct the argument."


class MissingExtraError(ConfigurationError, ImportError):
    """A library is not installed, or too old. Raised by the import, or the call, that needs it."""

    advice: ClassVar[str] = "Install the named extra."


class TokenError(ConfigurationError):
    """The token callable failed, took too long, or returned an invalid token. The request was not sent.

    The class of its own error is shown, but not its text, which may hold the token.
    """

    advice: ClassVar[str] = "Check the function that you passed as the token."


class SessionStateError(ConfigurationError, RuntimeError):
    """The session or walk is not open, is closed, or belongs to another event loop or task."""

    advice: ClassVar[str] = "Use the session inside `async with PlugChatSession(...)`."


class AuthenticationError(ConfigurationError):
    """401, 403, or the gateway's text: the service does not accept the token, or does not know its account."""

    advice: ClassVar[str] = (
        "Check the token: Plug Chat takes the raw token in the Authorization header, without 'Bearer'; "
        "copy it again from the Plug Chat panel, and check that it belongs to this account and host."
    )


class AccessDeniedError(ConfigurationError):
    """The service refuses this machine's address: it is not on the account's list, or a firewall refuses it."""

    advice: ClassVar[str] = "Use an address that the service allows, or have this one added to the account's list."


class ProxyAuthenticationError(ConfigurationError):
    """407: the proxy refuses the user name or password, or was given none. Only one of `trust_env` is asked again."""

    advice: ClassVar[str] = "Check user name and password in the proxy option: percent-encode signs such as % there."


@define(slots=False, repr=False)
class MethodNotAllowedError(ConfigurationError):
    """405, and no repair helped. `allow`: the methods of the Allow header (RFC 9110, 15.5.6), or None without one."""

    advice: ClassVar[str] = "The call is GET: check base_url, and that no proxy or middleware changes the request."

    allow: tuple[str, ...] | None = None


@define(slots=False, repr=False)
class UnsupportedMediaTypeError(ConfigurationError):
    """415, and no repair helped. `sent_content_type`: the last request's; `accept`: the response's; or None."""

    advice: ClassVar[str] = (
        "The vendor documents a missing Content-Type: application/json as the cause: check that no proxy, middleware "
        "or injected client session removes or replaces that header."
    )

    sent_content_type: str | None = None
    accept: str | None = None


@define(slots=False, repr=False)
class RedirectedError(ConfigurationError):
    """3xx. Redirects are never followed: the target would get the token. `target`: the target's origin, or None."""

    advice: ClassVar[str] = "Redirects are never followed. If you trust the target, make it the base_url."

    target: str | None = None


class ServiceError(PlugChatError):
    """Theirs or the network's: the same call may work later. It was retried if that can help."""

    advice: ClassVar[str] = "Try again later."


@define(slots=False, repr=False)
class ConnectionFailedError(ServiceError, ConnectionError):
    """No answer, or only a part of one. Also a ConnectionError.

    `reason`: "refused", "unreachable", "dns", "tls", "certificate", "proxy", "files" (too many are open), "closed",
    "reset", "truncated", "encoding" (one that can't be read) or "malformed". All but "certificate" are retried.
    """

    advice: ClassVar[str] = "Check the network and base_url; if both are right, the service is down: try again later."

    reason: str = ""


class RequestTimeoutError(ServiceError, TimeoutError):
    """No complete answer within `timeout` seconds, or before the page's deadline; or 408. Also a TimeoutError."""

    advice: ClassVar[str] = "The service is slow: try again later, with smaller pages or a longer timeout and deadline."


@define(slots=False, repr=False)
class RateLimitedError(ServiceError):
    """429, or not sent since an earlier 429 holds the account. `retry_after`: the seconds to wait from now, or None."""

    advice: ClassVar[str] = "Wait before you send more requests, or send fewer of them."

    retry_after: float | None = None


@define(slots=False, repr=False)
class ServerError(ServiceError):
    """5xx or 425. `retry_after`: seconds that the server asks to wait, or None."""

    advice: ClassVar[str] = "The service failed: try again later; if it persists, contact Plug Chat's support."

    retry_after: float | None = None


class NotConnectedError(ServiceError):
    """The gateway says that the phone is not connected to WhatsApp. Not retried: that lasts until it is connected."""

    advice: ClassVar[str] = "Connect the phone again in the Plug Chat panel, then try again."


class UnexpectedStatusError(PlugChatError):
    """A status without an error class of its own, such as 400 or 404."""

    advice: ClassVar[str] = "Check base_url and the arguments; if they are right, report this to Plug Chat's support."


class ResponseError(PlugChatError):
    """200, but not the body that the vendor documents."""

    advice: ClassVar[str] = "Check base_url; if it is right, report the response to Plug Chat's support."


@define(slots=False, repr=False)
class NotJSONError(ResponseError):
    """The body is empty, HTML, or broken JSON. `truncated`: whether it is JSON that ends in the middle (retried)."""

    advice: ClassVar[str] = "Check base_url: a login page, a proxy or a web site seems to answer instead of the API."

    truncated: bool = False


class NotAListError(ResponseError):
    """The body is JSON, but not an array of chats."""

    advice: ClassVar[str] = "Expected a bare JSON array: read the excerpt, it may hold the service's own error."


@define(slots=False, repr=False)
class DecodeError(ResponseError):
    """The body is an array, but some of its chats can't be read. `problems`: the values, a thousand at most."""

    advice: ClassVar[str] = "The service sent undocumented values: report them to Plug Chat's support and this project."

    problems: tuple[Problem, ...] = ()

    @property
    def what_happened(self) -> str:
        """The message and the first ten problems: one line."""
        page = f"page {self.page}, " if self.page is not None else ""
        shown = "; ".join(f"{page}{problem}" for problem in self.problems[:PROBLEMS_SHOWN])
        more = len(self.problems) - PROBLEMS_SHOWN
        account = f" (account {self.account!r})" if self.account is not None else ""
        return f"{self.message}{account}: {shown}{f'; and {more} more' if more > 0 else ''}"


@define(slots=False, repr=False)
class ResponseTooLargeError(ResponseError):
    """The decoded body is too large: reading stopped at `limit` bytes. Or it has far too many rows: `limit` is None."""

    advice: ClassVar[str] = "Use smaller pages, or raise max_response_bytes if pages really are that large."

    limit: int | None = None


class PaginationError(PlugChatError):
    """The pages do not add up to a list that ends."""

    advice: ClassVar[str] = "The chats you already have are valid; report to Plug Chat's support how the pages behave."


class PageRepeatedError(PaginationError):
    """A page repeated an earlier one, and a page far past any end came back with chats: `page` is ignored."""

    advice: ClassVar[str] = "Check base_url and any cache in between: `page` seems to be ignored. Chats may be missing."


class PageLimitError(PaginationError):
    """The walk has requested `max_pages` pages, and the list has not ended."""

    advice: ClassVar[str] = "Raise max_pages, use larger pages, or continue with `resume=error.checkpoint`."


@define(slots=False, repr=False)
class ConsistencyError(PaginationError):
    """The list has ended, but chats may have been missed. `reason`: as in the `WalkReport`."""

    advice: ClassVar[str] = "Walk again when the account is quieter, or with larger pages."

    reason: str = ""


@define(slots=False, repr=False)
class OutputError(PlugChatError):
    """The file `path` can't be written: no such folder, no permission, a full disk. Nothing half-written is left."""

    advice: ClassVar[str] = "Check the folder, its permissions and the free space."

    path: str | None = None
