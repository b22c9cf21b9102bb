"""The addresses that requests are sent to: base URLs, paths and proxies. Pure.

Checks return their error instead of raising it: then no frame of a traceback holds what may be a secret.
"""

import ipaddress
import re
from functools import lru_cache
from typing import Final, Protocol
from urllib.parse import urlsplit

from plugchat_async.calls import CALLS, CHATS
from plugchat_async.errors import InvalidTypeError, InvalidValueError

CHATS_PATH: Final = CHATS.path
STATUS_PATH: Final = "/api/whatsapp/status"
# The vendor's page names the first on its method line and the second in its URL example.
DOCUMENTED_ORIGINS: Final = ("https://app.plugchat.com.br", "https://www.plugchat.com.br")
DEFAULT_BASE_URL: Final = DOCUMENTED_ORIGINS[0]

# What a pasted URL of the documentation may end with: the path of a call, or its folder.
_DOCUMENTED_PATHS: Final = (*(call.path for call in CALLS), *(call.path.rpartition("/")[0] for call in CALLS))

_BASE_URL_HINT: Final = f"Use an origin such as {DOCUMENTED_ORIGINS[0]}, optionally with a path prefix."
_PROXY_HINT: Final = "Use a URL such as http://127.0.0.1:3128."
# Stricter than RFC 3986: parsers read backslashes, quotes, and text after a bracket in different ways.
_BASE_URL: Final = re.compile(
    r"""(?P<scheme> https? ) ://
        (?P<host> [a-z0-9._-]+ | \[ [0-9a-f:.]+ \] )
        (?: : (?P<port> [0-9]{1,5} ) )?
        (?P<path> (?: / [!$%&'()*+,./0-9:;=a-z_~-]* )? )""",
    re.IGNORECASE | re.VERBOSE | re.ASCII,
)


class UrlText(Protocol):
    """A URL of pydantic."""

    def unicode_string(self) -> str:
        """Return the text."""
        ...


def parse_base_url(
    base_url: object, *, insecure_http: bool = False, name: str = "base_url"
) -> str | InvalidValueError | InvalidTypeError:
    """Return a base URL without a trailing slash and without the call's path, or the error if it can't be used.

    A path prefix stays, for gateways. `http` is for loopback only: the token would travel in clear text.

    Args:
        base_url: A text, or a URL of yarl or pydantic.
        insecure_http: Whether `http` is allowed for any host (default False).
        name: What the error calls it (default "base_url").
    """
    base_url = plain_url(base_url)
    if not isinstance(base_url, str):
        return InvalidTypeError(f"{name} must be a str or a URL, got {type(base_url).__name__}")
    text = base_url.strip()
    # Not shown: passwords and queries, which may hold a secret, and texts that are not URLs, which may be tokens.
    if not text.lower().startswith(("https://", "http://")):
        return InvalidValueError(f"{name} does not begin with https://", _BASE_URL_HINT)
    for mark, what in (("@", "user information"), ("?", "a query"), ("#", "a fragment")):
        if mark in text:
            return InvalidValueError(f"{name} contains {what}", _BASE_URL_HINT)
    parts = _BASE_URL.fullmatch(text)
    if parts is None or not _is_host(parts["host"]) or int(parts["port"] or 1) not in range(1, 65536):
        return InvalidValueError(f"{name} is not a URL: {base_url!r}", _BASE_URL_HINT)
    scheme, host = parts["scheme"].lower(), parts["host"].lower()
    if scheme == "http" and not insecure_http and not _is_loopback(host):
        return InvalidValueError(
            f"{name} must be https, except on loopback: {base_url!r}",
            "Use https: http would expose the token. For a test server in your own network, pass insecure_http=True.",
        )
    is_default = parts["port"] in (None, {"https": "443", "http": "80"}[scheme])
    return f"{scheme}://{host}{'' if is_default else ':' + parts['port']}{_trim_path(parts['path'])}"


def proxy_problem(proxy: object, name: str = "proxy") -> InvalidValueError | InvalidTypeError | None:
    """Return the error if `proxy` is not the URL of an HTTP proxy. It does not show the URL: it may hold a password.

    `name`: what the error calls it (default "proxy").
    """
    if proxy is None:
        return None
    if not isinstance(proxy, str):
        return InvalidTypeError(f"{name} must be a str or a URL, got {type(proxy).__name__}")
    if not re.match(r"https?://[^/?#\s]", proxy, re.IGNORECASE):
        return InvalidValueError(f"{name} must begin with http:// or https:// and name a host", _PROXY_HINT)
    from yarl import URL  # noqa: PLC0415 - only who has a proxy needs it here

    try:
        url = URL(proxy)
        host = url.host or "."
        is_host = ":" in host or ("%" not in host and _is_host(host))
        valid = is_host and url.port != 0 and not re.search(r"[\s\x00-\x1f\x7f]", proxy)
    except ValueError:
        valid = False
    return None if valid else InvalidValueError(f"{name} has no valid host and port", _PROXY_HINT)


@lru_cache(maxsize=64)
def is_loopback_url(base_url: str) -> bool:
    """Return whether a checked base URL names this machine."""
    return _is_loopback(urlsplit(base_url).hostname or "")


def plain_url(url: object) -> object:
    """Return the text of a URL of yarl or pydantic; anything else as it is."""
    text = None if isinstance(url, type) else getattr(url, "unicode_string", None)
    if callable(text):
        return text()
    # yarl is not imported for this: who passes such a URL has done it.
    return str(url) if type(url).__module__.partition(".")[0] == "yarl" else url


def _trim_path(path: str) -> str:
    trimmed = path.rstrip("/")
    for documented in _DOCUMENTED_PATHS:
        if trimmed.endswith(documented):
            return trimmed.removesuffix(documented).rstrip("/")
    return trimmed


def _is_host(host: str) -> bool:
    """Return whether `host` is an ASCII DNS name, an IPv4 address, or an IPv6 address in brackets (RFC 3986, 3.2.2)."""
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
