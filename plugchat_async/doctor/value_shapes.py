"""Describe a server's data by its shape, without values, so that it can be shown to anybody. Pure."""

import re
from collections import Counter
from collections.abc import Iterable
from typing import Any, Final, cast

from attrs import evolve

from plugchat_async._http.response import Response, status_line
from plugchat_async._http.secret import Secret
from plugchat_async._internal.lenient_json import mend, value_of
from plugchat_async.errors import DecodeError, MethodNotAllowedError, PlugChatError, RateLimitedError, ServerError

# A name that a programmer would choose. With more digits in a row it may be a phone number.
_PLAIN_NAME: Final = re.compile(r"(?![A-Za-z0-9_]*[0-9]{5})[A-Za-z][A-Za-z0-9_]{0,39}")
# The most names that are shown.
MAX_NAMES: Final = 40
# A number with more digits may be a phone number.
MAX_NUMBER: Final = 99_999
# Python refuses to print much longer ones.
_MAX_INTEGER: Final = 10**18

_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_RATE_HEADER: Final = re.compile(
    r"retry-after|(?:x-)?rate-?limit(?:-(?:limit|remaining|reset|policy|used))?(?:-(?:second|minute|hour|day|month))?"
)


def is_plain_name(name: str, token: Secret) -> bool:
    """Return whether a key may be shown: it looks like an identifier, and contains neither a phone nor the token."""
    return _PLAIN_NAME.fullmatch(name) is not None and token.redact(name) == name


def plain_names(counts: Counter[str], token: Secret) -> tuple[tuple[str, ...], int]:
    """Return the names that may be shown, the most frequent first, and the number of the others."""
    shown: list[str] = []
    # Names with equal counts are sorted by name: the server's order is arbitrary.
    for name, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        if len(shown) == MAX_NAMES:
            break
        if is_plain_name(name, token):
            shown.append(name)
    return tuple(shown), len(counts) - len(shown)


# The types that `value_of` returns. A value that Python can't represent stays as bytes.
_TYPES: Final[dict[type, str]] = {
    type(None): "null",
    bool: "boolean",
    int: "number",
    float: "number",
    str: "text",
    list: "list",
    dict: "object",
    bytes: "unreadable",
}


def type_of(value: Any) -> str:
    """Return the JSON type of a value; an empty string is a type of its own."""
    return "empty text" if value == "" else _TYPES[type(value)]


def shape_of(value: Any) -> str:
    """Return the shape of a JSON value, as `value_of` returns it, such as "a text of 3 letters"."""
    kind = type_of(value)
    match kind:
        case "text":
            shape = f"a text of {len(value)} {_kind_of_text(value)}"
        case "number":
            shape = _shape_of_number(value)
        case "list":
            shape = f"a list of {len(value)}"
        case "object":
            shape = f"an object of {len(value)} keys"
        case "unreadable":
            shape = "a text that is not UTF-8" if value.startswith(b'"') else "a value that Python does not have"
        case _:
            shape = {"boolean": "a boolean", "empty text": "an empty text"}.get(kind, kind)
    return shape


def _shape_of_number(number: Any) -> str:
    if isinstance(number, float):
        return "a number with a fraction or an exponent"
    return f"a number of {len(str(abs(number)))} digits" if abs(number) < _MAX_INTEGER else "a number of many digits"


def _kind_of_text(text: str) -> str:
    if text.isascii() and text.isdigit():
        return "digits"
    return "letters" if text.isalpha() else "characters"


def shape_of_body(body: bytes, token: Secret) -> str:
    """Return the shape of a response's body: its JSON type, and the keys of an object."""
    if not body.strip():
        return "an empty body"
    value = value_of(mend(body))
    if isinstance(value, bytes):
        return f"{'HTML' if body.lstrip().startswith(b'<') else 'no JSON'}, {len(body)} bytes"
    if not isinstance(value, dict):
        return shape_of(value)
    names, others = plain_names(Counter(cast("dict[str, Any]", value).keys()), token)
    return f"an object of the keys {listed(names, others)}"


def listed(names: Iterable[str], others: int) -> str:
    """Return names separated by commas, with the number of the others."""
    more = f"{others} other{'' if others == 1 else 's'}" if others else ""
    return ", ".join([*names, *([more] if more else [])]) or "none"


def strip_quotes(error: PlugChatError, response: Response, token: Secret) -> None:
    """Remove all text of the server from an error. What remains is the kind of the answer."""
    shape = shape_of_body(response.body, token) if response.complete else "a body that is too long"
    error.message = f"{type(error).__name__}: HTTP {status_line(response.status)}, {shape}"
    if isinstance(error, DecodeError):
        error.problems = tuple(evolve(problem, got="something else") for problem in error.problems)
    if isinstance(error, MethodNotAllowedError) and error.allow is not None:
        error.allow = tuple(method for method in error.allow if method in _METHODS)
    if isinstance(error, RateLimitedError | ServerError) and error.retry_after is not None:
        error.retry_after = min(error.retry_after, float(MAX_NUMBER))


def shapes_of_headers(headers: dict[str, str]) -> dict[str, str]:
    """Return the known headers about rate limits, with the shapes of their values; small numbers stay as they are."""
    return {name: _shape_of_header(value) for name, value in headers.items() if _RATE_HEADER.fullmatch(name)}


def _shape_of_header(value: str) -> str:
    if value.isascii() and value.isdigit() and len(value) <= len(str(MAX_NUMBER)):
        return value
    return shape_of(value)
