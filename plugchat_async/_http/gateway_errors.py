"""Refusals: the gateway's own texts, and the pages of firewalls in front of it, as errors.

The gateway refuses with a JSON object, `{"error": "..."}`, with status 200, 400, 401, 403 or 404. So the text is looked
at before the status. Pure.
"""

import ipaddress
import re
from typing import Final, NamedTuple

import msgspec
from msgspec import Raw

from plugchat_async._http.response import Response, excerpt, one_line, status_line
from plugchat_async._http.secret import Secret
from plugchat_async._internal.lenient_json import mend
from plugchat_async.errors import (
    AccessDeniedError,
    AuthenticationError,
    NotConnectedError,
    PlugChatError,
    UnexpectedStatusError,
)

# A refusal is short; a larger body is not searched for one.
_MAX_BODY_BYTES: Final = 64 * 1024
_MAX_TEXT_CHARS: Final = 1000
# These statuses have a meaning and a wait of their own, whatever the text says.
_TEMPORARY: Final = frozenset({408, 425, 429})


class _Refusal(NamedTuple):
    """A known text.

    Attributes:
        pattern: Is searched for in the text. `re` compiles it when it is first used, and keeps it: most programs never
            see a refusal.
        error: The class of the error, or None if the text is about neither connection nor token: then the error is an
            UnexpectedStatusError.
        hint: What to do.
    """

    pattern: str
    error: type[PlugChatError] | None
    hint: str = ""


_DEVICE: Final = r"(?:phone|smartphone|device|whatsapp|instance|session)"
# First match wins. Each pattern also matches close variants of the text that was seen.
_REFUSALS: Final = (
    # "your client-token is not configured", "Client-Token ... not allowed"
    _Refusal(
        r"\bclient[ _-]?token\b",
        AuthenticationError,
        "Copy the token again from the Plug Chat panel, and check there that the account is active and that its token "
        "is switched on.",
    ),
    # "Instance not found"
    _Refusal(
        r"\binstance\b.{0,40}(?:\bnot found|\bnot exist|n't exist)\b|\bunknown instance\b",
        AuthenticationError,
        "Check in the Plug Chat panel that the token's account still exists, and copy its token again.",
    ),
    # "203.0.113.9 not allowed"; an address is written as "<address>" before it is looked for.
    _Refusal(
        r"(?:<address>|\bip\b).{0,40}?\b(?:not allowed|not authorized|denied|blocked)\b",
        AccessDeniedError,
        "Add this machine's public address to the account's list of allowed addresses in the Plug Chat panel.",
    ),
    # "You are not connected.", "You need to be connected", "You need to restore the session."
    _Refusal(
        rf"\byou(?: are|'re) (?:not connected|disconnected)\b|\byou aren't connected\b|\bneed to be connected\b"
        rf"|\b{_DEVICE} (?:is )?(?:not connected|disconnected)\b|\brestore (?:the |your )?session\b",
        NotConnectedError,
    ),
    # "Does not work in multi device version". This is about the call, not about the connection or the token.
    _Refusal(
        r"\bmulti[ -]?device\b",
        None,
        "The gateway does not offer this call to accounts that use WhatsApp with several devices: "
        "ask Plug Chat's support.",
    ),
)

# Cloudflare's pages in plain text: 1006 to 1020 refuse an address, a country or a client.
_FIREWALL_CODE: Final = re.compile(rb"\s*error code: 1[0-9]{3}\b", re.IGNORECASE)
_FIREWALL_HINT: Final = (
    "A firewall in front of the service, or a proxy, refused this request. Try from another network, or ask "
    "Plug Chat's support to allow this machine's public address."
)
_UNKNOWN_HINT: Final = "Do as the gateway's text says; if that does not help, ask Plug Chat's support."


def is_refusal(response: Response) -> bool:
    """Return whether the same request, repeated or changed, would be refused again."""
    return _find(_text_of(response), response.status) is not None or _is_from_firewall(response)


def gateway_error(response: Response, token: Secret, otherwise: PlugChatError) -> PlugChatError:
    """Return the error for a response without a result.

    Args:
        response: The response.
        token: The token to take out of texts.
        otherwise: The error by the response's status and body.

    Returns:
        An error of the class that the gateway's text stands for, or of a firewall's page. If neither is known,
        `otherwise`, with the gateway's text as its message if there is one.
    """
    status, text = response.status, _text_of(response)
    found = _find(text, status)
    shown = one_line(text, token)
    message = f"the gateway says: '{shown}' (HTTP {status_line(status)})"
    if found is not None and not (found.error is None and status == 200):
        error = (found.error or UnexpectedStatusError)(message, found.hint, status)
    elif _is_from_firewall(response):
        page = excerpt(response.body, token)
        error = AccessDeniedError(f"refused by a firewall: HTTP {status_line(status)}: {page}", _FIREWALL_HINT, status)
    else:
        if shown and (status == 200 or 400 <= status < 500):
            otherwise.message = message
            if status == 200:
                otherwise.hint = _UNKNOWN_HINT if found is None else found.hint
        return otherwise
    error.url = token.redact(response.sent_url)
    return error


def _find(text: str, status: int) -> _Refusal | None:
    if not (status == 200 or 400 <= status < 600) or status in _TEMPORARY:
        return None
    words = " ".join("<address>" if _is_address(word) else word for word in text.split())
    flags = re.IGNORECASE | re.ASCII
    found = next((refusal for refusal in _REFUSALS if re.search(refusal.pattern, words, flags)), None)
    # In an outage the gateway may be wrong about tokens and addresses.
    return found if status < 500 or (found is not None and found.error is NotConnectedError) else None


def _is_address(word: str) -> bool:
    word = word.strip("()[]<>\"',;.")
    if not ("." in word or ":" in word) or len(word) > 45:
        return False
    try:
        ipaddress.ip_address(word.partition("%")[0])
    except ValueError:
        return False
    return True


def _text_of(response: Response) -> str:
    """Return the text of a JSON object's `error`, or of its `message`; "" if there is none."""
    body = response.body
    if not response.complete or len(body) > _MAX_BODY_BYTES:
        return ""
    values = _object(mend(body))
    nested = _object(values.get("error", b""))
    candidates = (values.get("error"), nested.get("message"), nested.get("error"), values.get("message"))
    return next((text for text in map(_string, candidates) if text and not text.isspace()), "")[:_MAX_TEXT_CHARS]


def _object(json: bytes | Raw) -> dict[str, Raw]:
    try:
        return msgspec.json.decode(json, type=dict[str, Raw])
    except (msgspec.DecodeError, ValueError, RecursionError):
        return {}


def _string(json: Raw | None) -> str:
    try:
        return "" if json is None else msgspec.json.decode(json, type=str)
    except (msgspec.DecodeError, ValueError):
        return ""


def _is_from_firewall(response: Response) -> bool:
    status, body = response.status, response.body
    if status in (400, 401, 403, 404) and _FIREWALL_CODE.match(body):
        return True
    if status != 403 or _is_json(body):
        return False
    from_cloudflare = "cloudflare" in response.headers.get("server", "").lower()
    is_html = "html" in response.headers.get("content-type", "").lower() or body.lstrip().startswith(b"<")
    return from_cloudflare or (is_html and body.strip() != b"")


def _is_json(body: bytes) -> bool:
    try:
        msgspec.json.decode(body, type=Raw)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return False
    return True
