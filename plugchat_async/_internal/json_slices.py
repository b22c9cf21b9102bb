"""JSON arrays of any size, split into their elements in steps of a few milliseconds at most.

A parser keeps the event loop for as long as one call of it takes, in a thread as well. So a large body is cut into
pieces, and only these are parsed. How much a body may cost is bounded by its size: a small one that decompresses to
millions of rows, or of brackets, is refused. Pure.
"""

import codecs
import re
from collections.abc import Callable, Generator, Sized
from typing import Final, TypeVar

from msgspec import ValidationError

from plugchat_async._internal.lenient_json import REFUSALS, decode_array, is_cut, split_array

T = TypeVar("T")

# The worst piece, of nothing but NaN and halves of emojis, takes some milliseconds.
PIECE_BYTES: Final = 32 * 1024
# A larger element is refused, and one larger than the second is not mended. A row of the gateway has 250 bytes.
MAX_ELEMENT_BYTES: Final = 512 * 1024
MAX_MENDED_BYTES: Final = 96 * 1024
# A body may have so many elements or, if it is large, one for so many bytes.
_MAX_ELEMENTS: Final = 100_000
_ELEMENT_BYTES: Final = 64
# How many brackets and commas may be gone through or, in a large body, one for so many bytes: half a microsecond each.
_MAX_STEPS: Final = 1_000_000
_STEP_BYTES: Final = 8
_PAUSE_STEPS: Final = 2048
# The parser itself allows no more up to CPython 3.13; since then, as much as the stack of the thread has room for.
_MAX_DEPTH: Final = 1024
# How many guesses of an element's end may be wrong before ends are looked for.
_MAX_MISSES: Final = 16

# Between two objects of an array, or in a string that looks like it.
_BETWEEN: Final = re.compile(rb"\}[ \t\r\n]*,[ \t\r\n]*\{")
_ARRAY: Final = re.compile(rb"(?:%b)?[ \t\r\n]*+\[" % codecs.BOM_UTF8)
_BLANKS: Final = re.compile(rb"[ \t\r\n]*+")
_STRING: Final = rb'"(?:[^"\\]++|\\.)*+"'
# Up to the next bracket (between elements: or comma), or to a string that does not end here.
_INSIDE: Final = re.compile(rb'(?:[^"\[\]{}]++|%b)*+' % _STRING, re.DOTALL)
_BETWEEN_ELEMENTS: Final = re.compile(rb'(?:[^"\[\]{},]++|%b)*+' % _STRING, re.DOTALL)
_IN_STRING: Final = re.compile(rb'(?:[^"\\]++|\\.)*+', re.DOTALL)
_QUOTE, _COMMA, _OPENING, _CLOSING = b'"'[0], b","[0], b"[{", b"]}"


class RefusedError(ValueError):
    """A body, or a row, can't be read in this way; perhaps in another."""


class CutError(ValueError):
    """A body is the beginning of a JSON array."""


class TooLargeError(Exception):
    """A body costs more than an array of its size may. `what`: what it has too much of."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what


def split_slices(body: bytes) -> Generator[None, None, list[bytes]]:
    """Return the elements of a JSON array, each as its bytes, and pause every few milliseconds.

    Raises:
        CutError: It is the beginning of a JSON array.
        TooLargeError: It has more elements, a larger element, or more brackets, than a body of its size may have.
        msgspec.ValidationError, RecursionError: It is not an array, or nested too deeply.
        msgspec.DecodeError, ValueError: It is not JSON.
    """
    if len(body) <= 2 * PIECE_BYTES:
        yield from _check_depth(body)
        return _split(body)
    try:
        return (yield from read_slices(body, _split_array, PIECE_BYTES))
    except RefusedError:
        """The guesses were wrong, or it is not valid: look closely."""
    elements: list[bytes] = []
    start = yield from _skip_blanks(body, len(codecs.BOM_UTF8) if body.startswith(codecs.BOM_UTF8) else 0)
    if body[start : start + 1] in (b"{", b'"'):
        raise ValidationError("not an array")
    if body[start : start + 1] != b"[":
        raise ValueError("not JSON")
    start += 1
    ends = _ElementEnds(body, start)
    while (end := (yield from ends.next(PIECE_BYTES))) is not None:
        found = _split(b"[%b]" % body[start:end])
        if not found and (elements or not ends.closed):
            raise ValueError("not JSON: an element is missing")
        elements += found
        start = end + 1
        _check_count(elements, start)
        yield
    if not ends.closed:
        return _split(b"[%b" % body[start : start + MAX_ELEMENT_BYTES])  # raises: it is not closed
    if (yield from _skip_blanks(body, start)) < len(body):
        raise ValueError("not JSON: something follows")
    return elements


def read_slices(body: bytes, read: Callable[[bytes], list[T]], size: int) -> Generator[None, None, list[T]]:
    """Read an array of objects, a slice at a time, where guesses of where an object ends are soon right.

    Args:
        body: The array.
        read: Reads a whole array. It raises one of REFUSALS if it can't be read.
        size: The bytes of a slice; twice as many at most.

    Raises:
        RefusedError: It can't be read in this way.
        TooLargeError: It has more elements than a body of its size may have.
    """
    if len(body) <= 2 * size:
        return read(body)
    items: list[T] = []
    opening, start = b"", 0
    place, misses = size, 0
    while len(body) - start > 2 * size:
        cut = _BETWEEN.search(body, place, start + 2 * size)
        if cut is None:
            raise RefusedError
        try:
            items += read(b"%b%b]" % (opening, body[start : cut.start() + 1]))
        except REFUSALS:
            # If the cut is within a string, or between objects of one element, the slice is not valid. So a slice that
            # can be read ends between two elements, and the next one begins there.
            misses += 1
            if misses > _MAX_MISSES:
                raise RefusedError from None
            place = cut.end()
        else:
            opening, start = b"[", cut.end() - 1
            place, misses = start + size, 0
            _check_count(items, start)
        yield
    try:
        items += read(opening + body[start:])
    except REFUSALS:
        raise RefusedError from None
    return items


def _check_count(elements: Sized, size: int) -> None:
    """Raise TooLargeError if there are more elements than `size` bytes may have."""
    most = max(_MAX_ELEMENTS, size // _ELEMENT_BYTES)
    if len(elements) > most:
        raise TooLargeError(f"more than {most:,} rows")


def _check_depth(body: bytes) -> Generator[None, None, None]:
    """Raise RecursionError if an array is nested too deeply for any version of Python."""
    if body.count(b"[") + body.count(b"{") <= _MAX_DEPTH:
        return
    start = _ARRAY.match(body)
    if start is not None:
        yield from _ElementEnds(body, start.end()).next(len(body))


def _split(body: bytes) -> list[bytes]:
    if len(body) > MAX_MENDED_BYTES:
        try:
            return [bytes(element) for element in decode_array(body)]
        except REFUSALS:
            raise TooLargeError(f"a row of more than {MAX_MENDED_BYTES // 1024} KiB that is not valid JSON") from None
    try:
        elements = _split_array(body)
    except (ValidationError, RecursionError):
        raise
    except REFUSALS:
        if is_cut(body):
            raise CutError from None
        raise
    return elements


def _split_array(body: bytes) -> list[bytes]:
    # The garbage collector would go through a hundred thousand Raw objects.
    return [bytes(element) for element in split_array(body)]


def _skip_blanks(body: bytes, place: int) -> Generator[None, None, int]:
    while (end := _end_of(_BLANKS, body, place)) == place + PIECE_BYTES:
        place = end
        yield
    return end


def _end_of(pattern: re.Pattern[bytes], body: bytes, place: int) -> int:
    match = pattern.match(body, place, place + PIECE_BYTES)
    assert match is not None, "it matches nothing as well"
    return match.end()


class _ElementEnds:
    """Finds the ends of an array's elements, without looking at what they are."""

    def __init__(self, body: bytes, start: int) -> None:
        """Begin behind the array's opening bracket."""
        self._body = body
        self._place = self._element = start
        self._depth = 1
        self._in_string = False
        self._pattern = _BETWEEN_ELEMENTS
        self._steps = max(_MAX_STEPS, len(body) // _STEP_BYTES)

    @property
    def closed(self) -> bool:
        """Whether the end that was found last is the array's."""
        return self._depth == 0

    def next(self, size: int) -> Generator[None, None, int | None]:
        """Return the place of a comma between elements, `size` bytes or more from here, or of the array's end.

        None if the body ends before it.

        Raises:
            TooLargeError: There are too many brackets, or an element is too large.
            RecursionError: There are too many nested brackets.
        """
        body, wanted = self._body, self._place + size
        pause = self._place + PIECE_BYTES
        while self._place < len(body) and self._depth:
            before = self._place
            self._place = _end_of(self._pattern, body, before)
            if self._place - self._element > MAX_ELEMENT_BYTES:
                raise TooLargeError(f"a row of more than {MAX_ELEMENT_BYTES // 1024} KiB")
            if self._place == len(body):
                break
            mark = body[self._place]
            if self._is_mark(mark):
                self._place += 1
                self._steps -= 1
                if self._steps < 0:
                    raise TooLargeError("too many brackets and commas")
                if self._depth == 0 or (mark == _COMMA and self._place > wanted):
                    return self._place - 1
                if not self._steps % _PAUSE_STEPS or self._place > pause:
                    pause = self._place + PIECE_BYTES
                    yield
            elif self._place == before:  # half an escape at the end
                break
            else:
                yield  # a piece without a mark
        return None

    def _is_mark(self, mark: int) -> bool:
        """Return whether a byte means something where it is, and note what it changes."""
        if mark == _QUOTE:  # of a string that is not within one piece
            self._in_string = not self._in_string
        elif self._in_string:
            return False
        elif mark in _OPENING:
            self._depth += 1
            if self._depth > _MAX_DEPTH:
                raise RecursionError
        elif mark in _CLOSING:
            self._depth -= 1
            if self._depth == 0 and mark != _CLOSING[0]:
                raise ValueError("not JSON: an array ends like an object")
        elif mark == _COMMA and self._depth == 1:
            self._element = self._place + 1
        else:
            return False
        self._pattern = _IN_STRING if self._in_string else _INSIDE if self._depth > 1 else _BETWEEN_ELEMENTS
        return True
