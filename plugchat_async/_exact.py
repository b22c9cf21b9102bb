"""The exact lane: a page is read value by value, and of each bad value it is said where it is and what was expected.

cattrs does it, with a hook for each field, on values that msgspec has cut out of the JSON. It takes some 4 µs a chat,
and few pages need it: so it is loaded with the first one that does, not with the package.
"""

import codecs
import re
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, cast

import msgspec
from cattrs import ClassValidationError, Converter, IterableValidationError
from cattrs.gen import make_dict_structure_fn, override
from msgspec import UNSET, Raw, Struct, UnsetType

from plugchat_async._evidence import Problem
from plugchat_async._secret import Secret
from plugchat_async._wire import excerpt, one_line
from plugchat_async.errors import DecodeError, NotAListError, NotJSONError, ResponseError
from plugchat_async.models import Chat

# A bad value's share of an error message, and how much of it is looked at for that.
_VALUE_CHARS = 60
_SHOWN_BYTES = 512

# Where the exact lane stops to look for more problems, and how many chats it reads at a time.
MOST_PROBLEMS = 1000
_SLICE = 128


# How `Chat`'s fields are spelled, and what they are read with: not strictly, since numbers and booleans may be strings,
# as in the vendor's example.
_WIRE_FIELDS = msgspec.structs.fields(cast("type[Struct]", Chat))
_VENDOR_NAMES = {wire.name: wire.encode_name for wire in _WIRE_FIELDS}
# What is expected of a field, in words.
_EXPECTED = {
    # Table and example: string. It is the chat's id, so an empty one can't be told from others.
    "phone": "a non-empty string",
    "name": "a string or null",
    # Table: string. Example: "0".
    "unread": "an integer",
    # Table: string, "timestamp with date and time". Example: "1622991687". RFC 3339 with an offset is as clear; a time
    # without one is another moment in each time zone.
    "last_message_time": "epoch seconds",
    # Table: string, 0 or 1. Example: "0".
    "is_muted": "0 or 1, true or false",
    # Table: boolean. Example: "false".
    "is_marked_spam": "true or false, 0 or 1",
    # Table: string. Example: a URL, or null.
    "profile_thumbnail": "a string or null",
    # Table: integer, discontinued. Example: 0.
    "messages_unread": "an integer or null",
}


class _MalformedError(ValueError):
    """A hook's refusal: what was expected, and the value's own bytes."""

    def __init__(self, expected: str, got: bytes) -> None:
        super().__init__(expected, got)
        self.expected = expected
        self.got = got


# A chat whose values are still to be read.
_RawRow = msgspec.defstruct("_RawRow", [(name, Raw | UnsetType, UNSET) for name in _VENDOR_NAMES], rename=_VENDOR_NAMES)

# What msgspec raises on input: DecodeError for syntax and types; UnicodeDecodeError, and ValueError for the year
# 10000, are ValueErrors; RecursionError for nested arrays.
_REFUSALS = (msgspec.DecodeError, ValueError, RecursionError)

_CHATS = tuple[Chat, ...]
_decode_raws = msgspec.json.Decoder(list[Raw]).decode
_decode_raw_row = msgspec.json.Decoder(_RawRow).decode


def decode_exactly(body: bytes, token: Secret) -> Generator[None, None, tuple[Chat, ...] | ResponseError]:
    """Read the body of a page, and pause after every few hundred microseconds.

    Gives an error back instead of raising it, see `decode_slices`.
    """
    try:
        return (yield from _read(body))
    except (_UnreadableError, *_REFUSALS) as cause:
        return _error_of(cause, body, token)


def _read(body: bytes) -> Generator[None, None, tuple[Chat, ...]]:
    """Read a page, some chats at a time. _UnreadableError, or what msgspec raises, if it can't be read."""
    try:
        raws = _decode_raws(body)
    except _REFUSALS:
        raws = _decode_raws(_mend(body))
    chats: list[Chat] = []
    problems: list[tuple[int, str, Exception]] = []
    # Each problem costs some 50 µs, and a small body may hold a million of them.
    for start in range(0, len(raws), _SLICE):
        if start:
            yield
        try:
            chats += _converter.structure(raws[start : start + _SLICE], _CHATS)
        except IterableValidationError as error:
            problems += [(start + index, field, cause) for index, field, cause in _flatten(error)]
            if len(problems) >= MOST_PROBLEMS:
                break
    if problems:
        raise _UnreadableError(problems)
    return tuple(chats)


class _UnreadableError(Exception):
    """What the exact lane could not read: (index, field, hook's error) of each value."""

    def __init__(self, problems: list[tuple[int, str, Exception]]) -> None:
        super().__init__(problems)
        self.problems = problems


def _flatten(page_error: IterableValidationError) -> Iterator[tuple[int, str, Exception]]:
    """Take cattrs' groups apart: index, the vendor's name of the field ("" for the chat as a whole), error."""
    for chat_error, note in page_error.group_exceptions()[0]:
        if isinstance(chat_error, ClassValidationError):
            for value_error, attribute in chat_error.group_exceptions()[0]:
                yield int(note.index), _VENDOR_NAMES[attribute.name], value_error
        else:
            yield int(note.index), "", chat_error


def _mend(data: bytes) -> bytes:
    """Take out what valid enough JSON may hold but msgspec refuses.

    A leading byte order mark may be ignored (RFC 8259, 8.1). A surrogate without its other half (8.2) is what is left
    of an emoji in a name that was cut: it becomes U+FFFD, the replacement character.
    """
    data = data.removeprefix(codecs.BOM_UTF8)
    if not _SURROGATE.search(data):  # megabytes of other escapes need not be gone through
        return data
    return _ESCAPES.sub(lambda match: rb"\ufffd" if match["lone"] else match[0], data)


_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
# Each escape is consumed whole, so that an escaped backslash before a "u" is not taken for one.
_ESCAPES = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(?P<lone>u[dD][89a-fA-F][0-9a-fA-F]{2})|.)",
    re.DOTALL,
)


def _build_converter() -> Converter:
    converter = Converter()
    overrides: dict[str, Any] = {
        wire.name: override(rename=wire.encode_name, struct_hook=_structure_value(wire.name, wire.type))
        for wire in _WIRE_FIELDS
    }
    structure_values = make_dict_structure_fn(Chat, converter, **overrides)

    def _structure_chat(raw: Raw, _: type[Chat]) -> Chat:
        try:
            row = _decode_raw_row(raw)
        except _REFUSALS:
            raise _MalformedError("an object", bytes(raw)) from None
        values = {
            vendor_name: bytes(value)
            for name, vendor_name in _VENDOR_NAMES.items()
            # An optional field that is null is as good as absent.
            if (value := getattr(row, name)) is not UNSET and (name == "phone" or bytes(value) != b"null")
        }
        return structure_values(values, Chat)

    converter.register_structure_hook(Chat, _structure_chat)
    return converter


def _structure_value(name: str, wire_type: Any) -> Callable[[bytes, Any], Any]:
    decode = msgspec.json.Decoder(wire_type, strict=False).decode

    def structure(raw: bytes, _: Any) -> Any:
        try:
            value = decode(raw)
            return value.astimezone(UTC) if isinstance(value, datetime) else value
        except (*_REFUSALS, OverflowError):  # OverflowError: an offset moved the time out of the calendar
            raise _MalformedError(_EXPECTED[name], raw) from None

    return structure


_converter = _build_converter()


def _error_of(cause: Exception, body: bytes, token: Secret) -> ResponseError:
    """Say why a body could not be read."""
    match cause:
        case _UnreadableError():
            problems = tuple(_problem(index, field, error, token) for index, field, error in cause.problems)
            count = f"{'at least ' if len(problems) >= MOST_PROBLEMS else ''}{len(problems)}"
            return DecodeError(f"{count} value{'' if len(problems) == 1 else 's'} can't be read", problems=problems)
        case RecursionError():
            return NotJSONError(f"the body is nested too deeply: {excerpt(body, token)}")
        case msgspec.ValidationError():
            return NotAListError(f"the body is not a JSON array: {excerpt(body, token)}")
        case _ if _is_cut(body):
            message = f"the JSON ends in the middle, after {len(body)} bytes"
            return NotJSONError(message, "The answer was cut: try again later.", truncated=True)
        case _:
            return NotJSONError(f"the body is not JSON: {excerpt(body, token)}")


def _is_cut(body: bytes) -> bool:
    """Tell whether a body that is not JSON is the beginning of an array."""
    mended = _mend(body)
    # After a sign, a point or an "e" the parser misses a digit, not the rest: so it is given one.
    return mended.lstrip().startswith(b"[") and _TRUNCATED in (_complaint(mended), _complaint(mended + b"0"))


def _complaint(text: bytes) -> str:
    complaint = ""
    try:
        _decode_raws(text)
    except (msgspec.DecodeError, RecursionError) as error:  # how deep is too deep depends on how deep the caller is
        complaint = str(error)
    return complaint


# msgspec has no error class of its own for it; a test holds this text to the installed version.
_TRUNCATED = "Input data was truncated"


def _problem(index: int, field: str, error: Exception, token: Secret) -> Problem:
    match error:
        case _MalformedError(expected=expected, got=got):
            return Problem(index, field, expected, _shown(got, token))
        case _:  # cattrs' KeyError for the one field that must be there
            return Problem(index, field, _EXPECTED["phone"], "nothing")


def _shown(raw: bytes, token: Secret) -> str:
    """Give a JSON value as people read it: strings as Python writes them, all else as it came."""
    text = raw[:_SHOWN_BYTES].decode("utf-8", "replace")
    if raw.startswith(b'"') and len(raw) <= _SHOWN_BYTES:
        with suppress(*_REFUSALS):
            # Redacted before Python's own escapes come in between.
            text = repr(token.redact(msgspec.json.decode(raw, type=str)))
    return one_line(text, token, _VALUE_CHARS)
