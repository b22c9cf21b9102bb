"""The requests that are sent. Rules from the vendor's "get chats" page unless an RFC is named. Pure."""

import re
from collections.abc import Mapping
from typing import Final

from attrs import evolve, field, frozen

from plugchat_async._http.secret import Secret
from plugchat_async._http.urls import CHATS_PATH, DOCUMENTED_ORIGINS
from plugchat_async.errors import InvalidTypeError, InvalidValueError

__version__ = "0.1.0"

JSON_TYPE: Final = "application/json"
USER_AGENT: Final = f"plugchat-async/{__version__}"
_MAX_USER_AGENT: Final = 200
# RFC 9110, 10.1.5: products and comments. Visible ASCII and single blanks, which no server takes for another header.
_PRODUCTS: Final = re.compile(r"[!-~]+(?: [!-~]+)*")


def check_user_agent(value: object) -> None:
    """Raise unless `value` is None or can be sent before our own User-Agent."""
    if value is None:
        return
    if not isinstance(value, str):
        raise InvalidTypeError(f"user_agent must be a str, got {type(value).__name__}")
    if not _PRODUCTS.fullmatch(value) or len(value) > _MAX_USER_AGENT:
        raise InvalidValueError(
            f"user_agent must be 1 to {_MAX_USER_AGENT} visible ASCII characters and single blanks: {value[:99]!r}",
            "Use a name and a version, such as shop-bot/2.1.",
        )


def full_user_agent(before: str | None) -> str:
    """Return the User-Agent header, with an application's own products before ours: the more important ones first."""
    return USER_AGENT if before is None else f"{before} {USER_AGENT}"


@frozen
class RequestTemplate:
    """What all requests of a session have in common. A repair changes one thing of it.

    Attributes:
        base_url: The checked base URL.
        path: The path of the call, below the base URL.
        content_type: The Content-Type header, or None to send none.
        bare: Whether requests bypass what an injected client session adds: default headers and middlewares.
        user_agent: The User-Agent header.
    """

    base_url: str
    path: str = CHATS_PATH
    content_type: str | None = JSON_TYPE
    bare: bool = False
    user_agent: str = USER_AGENT

    def with_other_origin(self) -> "RequestTemplate | None":
        """Return the documented template for the other documented host, or None if this host is not documented."""
        if self.base_url not in DOCUMENTED_ORIGINS:
            return None
        first, second = DOCUMENTED_ORIGINS
        return evolve(self, base_url=second if self.base_url == first else first, content_type=JSON_TYPE)

    def headers(self, token: Secret) -> dict[str, str]:
        """Return the headers of every request.

        The vendor sends Content-Type on this GET without a body, and documents its absence as the cause of 415.
        Accept-Encoding names only what is decoded everywhere: br and zstd need codecs that may be missing.
        """
        content_type = {} if self.content_type is None else {"Content-Type": self.content_type}
        return {
            "Authorization": token.value,
            **content_type,
            "Accept": JSON_TYPE,
            "Accept-Encoding": "gzip, deflate",
            "User-Agent": self.user_agent,
        }


@frozen(eq=False)
class Request:
    """One request to send. `repr` leaves out the headers: they hold the token."""

    template: RequestTemplate
    token: Secret
    url: str
    headers: Mapping[str, str] = field(repr=False)


class RequestBuilder:
    """Builds the requests of an account for one call. What they have in common is built once."""

    def __init__(self) -> None:
        self._template: RequestTemplate | None = None
        self._token: Secret | None = None
        self._url = ""
        self._headers: Mapping[str, str] = {}

    def build(
        self, template: RequestTemplate, token: Secret, page: int | None = None, page_size: int | None = None
    ) -> Request:
        """Return the request for a page, from 1, or without parameters if there is no page."""
        if template is not self._template or token is not self._token:
            self._template, self._token = template, token
            self._url, self._headers = f"{template.base_url}{template.path}", template.headers(token)
        query = "" if page is None else f"?page={page}&pageSize={page_size}"
        return Request(template, token, f"{self._url}{query}", self._headers)
