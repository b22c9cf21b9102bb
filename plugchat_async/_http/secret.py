"""What must not be seen: tokens, and URLs with passwords. How they print, and how they are found in others' text."""

import re
from collections.abc import Iterator
from functools import lru_cache
from itertools import accumulate

from attrs import field, frozen


@frozen(repr=False, eq=False)
class Secret:
    """A token, or a URL that may hold a password. It prints as `***`; `redact` takes it out of what a server sent.

    former: tokens that it has replaced, which are taken out, too (default: none).
    """

    # Not shown field by field either: rich does so, whatever __repr__ gives.
    value: str = field(repr=False)
    former: tuple[str, ...] = field(default=(), repr=False)

    def __repr__(self) -> str:
        return "***"

    def following(self, *others: "Secret") -> "Secret":
        """Give the same secret, which takes out those others, too."""
        return Secret(self.value, tuple({*self.former, *(other.value for other in others)} - {self.value}))

    def redact(self, text: str) -> str:
        """Give `text` with the secret replaced by `***`, however it is spelled there.

        Servers echo in JSON (PHP escapes each "/"), in HTML, in URLs, as host names in another case, or cut off: so
        characters may be escaped, and the first eight, with all that hangs on them, are enough.
        """
        # One may be another's beginning, so they are all found before any is taken out.
        spans = sorted(span for value in {self.value, *self.former} if value for span in _spans(value, text))
        parts: list[str] = []
        done = 0
        for start, end in spans:
            if start >= done:
                parts += text[done:start], "***"
            done = max(done, end)
        return "".join([*parts, text[done:]])


# So many characters of a secret give it away; fewer would take ordinary words for it.
_TELLING = 8
# As often as a backslash is escaped again.
_MAX_BACKSLASHES = 64
# What hangs on the first eight.
_REST_OF_A_WORD = re.compile(r"[^\s\"'<>]*")


def _spans(value: str, text: str) -> Iterator[tuple[int, int]]:
    """Say where a secret begins and ends, wherever it is in a text."""
    # A run of backslashes is one unit: how many there are depends on how often it was escaped.
    units = re.findall(r"\\+|[^\\]", value)
    done = 0
    for candidate in _spellings(units[0][0]).anywhere.finditer(text):
        start = candidate.start()
        if start >= done and (end := _end_of(units, text, start)):
            done = end
            yield start, end


def _end_of(units: list[str], text: str, start: int) -> int:
    """Say where the secret ends that begins at `start`; 0 if none does."""
    telling = next((n for n, length in enumerate(accumulate(map(len, units)), 1) if length >= _TELLING), len(units))
    ends = _follow(units[:telling], text, {start})
    if not ends or len(units) == telling:
        return max(ends, default=0)
    word = _REST_OF_A_WORD.match(text, max(ends))
    assert word is not None, "it may be empty"
    return max(_follow(units[telling:], text, ends), default=word.end())


def _follow(units: list[str], text: str, places: set[int]) -> set[int]:
    """Give all places where these characters may end that begin at one of `places`.

    "%25" may be one character or three. By hand, since to compile a pattern for a long token takes up to 100 ms.
    """
    for unit in units:
        if not places:
            break
        found = reached = _step(unit[0], text, places)
        for _ in range(_MAX_BACKSLASHES if unit[0] == "\\" else 0):
            reached = _step(unit[0], text, reached) - found
            found |= reached
        places = found
    return places


def _step(character: str, text: str, places: set[int]) -> set[int]:
    spellings = _spellings(character)
    return {
        match.end()
        for place in places
        for pattern in (spellings.plain, spellings.escaped)
        if (match := pattern.match(text, place))
    }


@frozen
class _Spellings:
    """How a character may be spelled: as it is or behind backslashes, or in the escapes of JSON, URLs and HTML.

    anywhere: in either way. The two others may have blanks in front, since servers fold what is long.
    """

    plain: re.Pattern[str]
    escaped: re.Pattern[str]
    anywhere: re.Pattern[str]


# Repetitions are bounded and possessive throughout: a body of backslashes or blanks must not keep the search busy.
_FOLD = r"\s{0,8}+"


@lru_cache(maxsize=256)
def _spellings(character: str) -> _Spellings:
    code = ord(character)
    # A backslash stands for itself here, and its escapes hold one.
    behind, one_or_more = ("", r"\\") if character == "\\" else (r"\\{0,8}+", r"\\{1,8}+")
    plain = behind + re.escape(character)
    name = {"&": "amp", "<": "lt", ">": "gt", '"': "quot", "'": "apos"}.get(character)
    named = f"|{behind}&{name};" if name else ""
    escaped = rf"(?:{one_or_more}u00{code:02x}|%{code:02x}|&\#0{{0,4}}{code};|&\#x0{{0,4}}{code:x};{named})"
    return _Spellings(
        *(re.compile(pattern, re.IGNORECASE) for pattern in (_FOLD + plain, _FOLD + escaped, f"{plain}|{escaped}"))
    )
