"""JSON bytes -> the items of a page, in a fast lane and an exact lane. Items are chats, or what another call gives.

The vendor's table and its example disagree about types, so both spellings are read everywhere. The fast lane lets
msgspec parse the page straight into objects, and either gives all of them or refuses. Only then the exact lane reads
the page again, value by value, by cattrs, and accepts it or says of each bad value where it is and what was expected.

Both lanes read a value with the same parser and the same type, so that what the fast lane accepts, the exact lane
accepts alike. The exact lane accepts a little more: null for an optional field, a byte order mark, a lone surrogate.

Neither keeps an event loop waiting: a large page is read in slices, between which the caller may do something else.
"""

import re
from collections.abc import Callable, Generator
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache
from types import GenericAlias
from typing import Any, Protocol, TypeVar

import msgspec

from plugchat_async._secret import Secret
from plugchat_async.errors import ResponseError


class Item(Protocol):
    """What one row of a page is read into: an attrs class in the layout of a struct, see `models`.

    phone: what tells it from others. last_message_time: when the last message came or went, or None: it is what lists
    are sorted by, if by anything.
    """

    @property
    def phone(self) -> str: ...

    @property
    def last_message_time(self) -> datetime | None: ...


T = TypeVar("T", bound=Item)

# A page is read in slices of some thousand chats, which take a third of a millisecond.
_SLICE_BYTES = 256 * 1024
# How many cuts in a row may be no ends of chats before the exact lane has a look.
_MOST_MISSES = 16
# Between two objects of an array, or in a string that looks like it.
_BETWEEN = re.compile(rb"\}[ \t\r\n]*,[ \t\r\n]*\{")


class _RefusedError(Exception):
    """The fast lane can't read a page."""


@cache
def _decoder(item: Any) -> Callable[[bytes], tuple[Any, ...]]:
    # `strict=False` reads numbers and booleans from strings, too, as the vendor's example spells them.
    return msgspec.json.Decoder(GenericAlias(tuple, (item, ...)), strict=False).decode


def decode_slices(body: bytes, token: Secret, item: type[T]) -> Generator[None, None, tuple[T, ...] | ResponseError]:
    """Read the body of a page, and pause after every few hundred microseconds.

    item: the class of its items, an attrs class in the layout of a struct: see `Chat`.

    Gives an error back instead of raising it: no traceback then holds the body. NotJSONError, NotAListError, or
    DecodeError with a problem for each value that can't be read, a thousand or so at most.
    """
    with suppress(_RefusedError):
        return (yield from _read_fast(body, _decoder(item)))
    from plugchat_async._exact import decode_exactly  # noqa: PLC0415 - 7 ms of imports that most programs don't need

    return (yield from decode_exactly(body, token, item))


def _read_fast(body: bytes, decode: Callable[[bytes], tuple[T, ...]]) -> Generator[None, None, tuple[T, ...]]:
    """Read a page in the fast lane, a slice at a time."""
    if len(body) <= 2 * _SLICE_BYTES:
        return _read_slice(body, decode)
    items: list[T] = []
    opening, start = b"", 0
    place, misses = _SLICE_BYTES, 0
    while cut := _BETWEEN.search(body, place):
        try:
            items += _read_slice(b"%b%b]" % (opening, body[start : cut.start() + 1]), decode)
        except _RefusedError:
            # If the cut has hit a string, or objects within a chat, the slice has no end. So one that is read ends
            # between two chats, and the next one begins there.
            misses += 1
            if misses > _MOST_MISSES:
                raise
            place = cut.end()
        else:
            opening, start = b"[", cut.end() - 1
            place, misses = start + _SLICE_BYTES, 0
        yield
    items += _read_slice(opening + body[start:], decode)
    return tuple(items)


def _read_slice(json: bytes, decode: Callable[[bytes], tuple[T, ...]]) -> tuple[T, ...]:
    try:
        items = decode(json)
    except (msgspec.DecodeError, ValueError, RecursionError):
        raise _RefusedError from None
    for item in items:  # 0.03 µs an item; all() over a generator takes 0.05
        time = item.last_message_time
        # Epoch seconds are in UTC, RFC 3339 may say otherwise.
        if time is not None and time.tzinfo is not UTC:
            raise _RefusedError
    return items
