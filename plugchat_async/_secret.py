"""What must not be seen: tokens, and URLs with passwords. How they print, and how they are found in others' text."""

import re
from functools import cached_property

from attrs import frozen


@frozen(slots=False, repr=False, eq=False)
class Secret:
    """A token, or a URL that may hold a password. It prints as `***`; `redact` takes it out of what a server sent.

    former: the token that it has replaced, which is taken out, too (default None).
    """

    value: str
    former: str | None = None

    def __repr__(self) -> str:
        return "***"

    def redact(self, text: str) -> str:
        """Give `text` with the secret replaced by `***`, however it is spelled there.

        Servers echo in JSON (PHP escapes each "/"), in HTML, in URLs, as host names in another case, or cut off: so
        characters may be escaped, and the first eight, with all that hangs on them, are enough.
        """
        return self._pattern.sub("***", text) if self._head.search(text) else text

    @cached_property
    def _head(self) -> re.Pattern[str]:
        # Most texts hold no token, and to compile the pattern of a long one takes up to 30 ms.
        return self._compiled(_TELLING)

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        return self._compiled(None)

    def _compiled(self, most: int | None) -> re.Pattern[str]:
        values = (self.value, self.former)
        return re.compile("|".join(_pattern_of(value, most) for value in values if value is not None), re.IGNORECASE)


# So many characters of a secret give it away; fewer would take ordinary words for it.
_TELLING = 8
# Repetitions are bounded and possessive throughout: a body of backslashes or blanks must not keep the search busy.
_FOLD = r"\s{0,8}+"


def _pattern_of(value: str, most: int | None) -> str:
    """Give the pattern for a secret, or for so many of its characters."""
    # A run of backslashes is one unit: how many there are depends on how often it was escaped.
    units = [_any_spelling(unit) for unit in re.findall(r"\\+|[^\\]", value)[:most]]
    head, rest = _FOLD.join(units[:_TELLING]), _FOLD.join(units[_TELLING:])
    tail = rf"(?:{_FOLD}{rest}|[^\s\"'<>]*)" if rest else ""
    return head + tail


def _any_spelling(unit: str) -> str:
    """Give a pattern for a character as it is, behind backslashes, or in the escapes of JSON, URLs and HTML."""
    code = ord(unit[0])
    if unit[0] == "\\":
        return r"(?:\\(?:u005c)?|%5c|&\#0{0,4}92;|&\#x0{0,4}5c;){1,64}+"
    name = {"&": "amp", "<": "lt", ">": "gt", '"': "quot", "'": "apos"}.get(unit)
    named = f"|&{name};" if name else ""
    return (
        rf"(?:\\{{0,8}}+{re.escape(unit)}|\\{{1,8}}+u00{code:02x}|%{code:02x}"
        rf"|&\#0{{0,4}}{code};|&\#x0{{0,4}}{code:x};{named})"
    )
