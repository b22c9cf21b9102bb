"""Tokens, and URLs with passwords: how they are printed, and how they are taken out of text that a server sent.

Pure.
"""

import json
import re
from typing import Final, Protocol
from urllib.parse import quote

from attrs import field, frozen

# The first characters of a token give it away; fewer would take ordinary words for it.
_MIN_CHARS: Final = 8
# How often a text may have been escaped.
_MAX_ESCAPED: Final = 4
# Escapes of JSON (behind one backslash, or several if it was escaped again), of URLs and of HTML. Repetitions are
# bounded: a body of backslashes must not keep the search busy.
_ESCAPE: Final = re.compile(
    r"\\{1,8}u00(?P<json>[0-9a-f]{2})|%(?P<url>[0-9a-f]{2})|&#0{0,4}(?P<decimal>[0-9]{1,3});"
    r"|&#x0{0,4}(?P<hex>[0-9a-f]{1,2});|&(?:amp|lt|gt|quot|apos);",
    re.IGNORECASE,
)
_ESCAPE_MARKS: Final = ("\\", "%", "&")
# As `html.escape` writes them. To import `html` takes 1.3 ms, for a table of all of its 2,231 names.
_IN_HTML: Final = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#x27;"})
_NAMED: Final = {"&amp;": "&", "&lt;": "<", "&gt;": ">", "&quot;": '"', "&apos;": "'"}


class SecretText(Protocol):
    """A text that other libraries hide, such as pydantic's SecretStr."""

    def get_secret_value(self) -> str:
        """Return the text."""
        ...


def reveal(value: object) -> object:
    """Return the text that a `SecretText` hides; anything else as it is."""
    get = None if isinstance(value, type) else getattr(value, "get_secret_value", None)
    return get() if callable(get) else value


@frozen(repr=False, eq=False)
class Secret:
    """A token, or a URL that may hold a password. It is printed as `***`.

    Attributes:
        value: The secret itself.
        former: Tokens that it has replaced; `redact` takes them out as well.
    """

    # Not shown field by field either: rich does so, whatever __repr__ returns.
    value: str = field(repr=False)
    former: tuple[str, ...] = field(default=(), repr=False)

    def __repr__(self) -> str:
        return "***"

    def following(self, *others: "Secret") -> "Secret":
        """Return the same secret, which takes out those others as well."""
        return Secret(self.value, tuple({*self.former, *(other.value for other in others)} - {self.value}))

    def may_be_in(self, text: str) -> bool:
        """Return whether a text has the first characters of the secret, in any spelling. It takes some microseconds."""
        return _shows(text, [value for value in (self.value, *self.former) if value])

    def redact(self, text: str) -> str:
        """Return `text` without the secret.

        The usual spellings are replaced by `***`. If the secret is there in another one, or cut off behind its first
        eight characters, the whole text is replaced by `[redacted]`.
        """
        values = [value for value in (self.value, *self.former) if value]
        spellings = {spelling for value in values for spelling in _spellings(value)}
        # The longest first: one may be the beginning of another.
        for spelling in sorted(spellings, key=len, reverse=True):
            text = re.sub(re.escape(spelling), "***", text, flags=re.IGNORECASE)
        return "[redacted]" if _shows(text, values) else text


def _spellings(value: str) -> set[str]:
    """Return a secret as it is, and as JSON, PHP's JSON, URLs and HTML spell it."""
    in_json = json.dumps(value)[1:-1]
    return {value, in_json, in_json.replace("/", r"\/"), quote(value, safe=""), value.translate(_IN_HTML)}


def _shows(text: str, values: list[str]) -> bool:
    """Return whether the first characters of one of the secrets are in a text, however it is escaped or folded."""
    heads = {_plain(value[:_MIN_CHARS]) or value for value in values}
    for _ in range(_MAX_ESCAPED + 1):
        plain = _plain(text)
        if any(head in plain or head in text for head in heads):
            return True
        if not any(mark in text for mark in _ESCAPE_MARKS):
            break  # next to always: this is done for the headers of each page
        text, before = _ESCAPE.sub(_unescape, text), text
        if text == before:
            break
    return False


def _plain(text: str) -> str:
    """Return a text without what servers put into a long one: they fold it, and escape quotes."""
    return "".join(text.split()).replace("\\", "").casefold()


def _unescape(escape: re.Match[str]) -> str:
    kind = escape.lastgroup
    if kind is None:
        name = escape[0].lower()
        return _NAMED.get(name, name)  # a long s is an s to a pattern that ignores case
    return chr(int(escape[kind], 10 if kind == "decimal" else 16))
