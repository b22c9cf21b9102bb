"""The exact lane: a page is read value by value, and of each bad value it is said where it is and what was expected.

cattrs does it, with a hook for each field, on values that msgspec has cut out of the JSON. It takes some 4 µs a chat,
and few pages need it: so it is loaded with the first one that does, not with the package.
"""

import codecs
import re
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache
from types import GenericAlias
from typing import Any, TypeVar, cast

import msgspec
from attrs import fields, frozen
from cattrs import ClassValidationError, Converter, IterableValidationError
from cattrs.gen import make_dict_structure_fn, override
from msgspec import UNSET, Raw, Struct, UnsetType

from plugchat_async._evidence import Problem
from plugchat_async._secret import Secret
from plugchat_async._wire import excerpt, one_line
from plugchat_async.errors import DecodeError, NotAListError, NotJSONError, ResponseError
from plugchat_async.models import EXPECTED

T = TypeVar("T")

# A bad value's share of an error message, and how much of it is looked at for that.
_VALUE_CHARS = 60
_SHOWN_BYTES = 512

# Where the exact lane stops to look for more problems, and how many chats it reads at a time.
MOST_PROBLEMS = 1000
_SLICE = 128


class _MalformedError(ValueError):
    """A hook's refusal: what was expected, and the value's own bytes."""

    def __init__(self, expected: str, got: bytes) -> None:
        super().__init__(expected, got)
        self.expected = expected
        self.got = got


# What msgspec raises on input: DecodeError for syntax and types; UnicodeDecodeError, and ValueError for the year
# 10000, are ValueErrors; RecursionError for nested arrays.
_REFUSALS = (msgspec.DecodeError, ValueError, RecursionError)

_decode_raws = msgspec.json.Decoder(list[Raw]).decode


@frozen
class _Spelling:
    """How an item is spelled.

    names: the vendor's name of each field. expected: what is expected of a field, in words. converter: reads items, and
    a page of them, page_type.
    """

    names: Mapping[str, str]
    expected: Mapping[str, str]
    converter: Converter
    page_type: Any


@cache
def _spelling_of(item: Any) -> _Spelling:
    wire_fields = msgspec.structs.fields(cast("type[Struct]", item))
    names = {wire.name: wire.encode_name for wire in wire_fields}
    expected = {a.name: a.metadata[EXPECTED] for a in fields(item)}
    converter = _build_converter(item, wire_fields, expected)
    return _Spelling(names, expected, converter, GenericAlias(tuple, (item, ...)))


def decode_exactly(body: bytes, token: Secret, item: type[T]) -> Generator[None, None, tuple[T, ...] | ResponseError]:
    """Read the body of a page, and pause after every few hundred microseconds.

    Gives an error back instead of raising it, see `decode_slices`.
    """
    spelling = _spelling_of(item)  # type: ignore[arg-type]  # to mypy a type variable is not Hashable
    try:
        return (yield from _read(body, spelling))
    except (_UnreadableError, *_REFUSALS) as cause:
        return _error_of(cause, body, token, spelling)


def _read(body: bytes, spelling: _Spelling) -> Generator[None, None, tuple[Any, ...]]:
    """Read a page, some items at a time. _UnreadableError, or what msgspec raises, if it can't be read."""
    try:
        raws = _decode_raws(body)
    except _REFUSALS:
        raws = _decode_raws(_mend(body))
    items: list[Any] = []
    problems: list[tuple[int, str, Exception]] = []
    # Each problem costs some 50 µs, and a small body may hold a million of them.
    for start in range(0, len(raws), _SLICE):
        if start:
            yield
        try:
            items += spelling.converter.structure(raws[start : start + _SLICE], spelling.page_type)
        except IterableValidationError as error:
            problems += [(start + index, field, cause) for index, field, cause in _flatten(error, spelling)]
            if len(problems) >= MOST_PROBLEMS:
                break
    if problems:
        raise _UnreadableError(problems)
    return tuple(items)


class _UnreadableError(Exception):
    """What the exact lane could not read: (index, field, hook's error) of each value."""

    def __init__(self, problems: list[tuple[int, str, Exception]]) -> None:
        super().__init__(problems)
        self.problems = problems


def _flatten(page_error: IterableValidationError, spelling: _Spelling) -> Iterator[tuple[int, str, Exception]]:
    """Take cattrs' groups apart: index, the vendor's name of the field ("" for the item as a whole), error."""
    for item_error, note in page_error.group_exceptions()[0]:
        if isinstance(item_error, ClassValidationError):
            for value_error, attribute in item_error.group_exceptions()[0]:
                yield int(note.index), spelling.names[attribute.name], value_error
        else:
            yield int(note.index), "", item_error


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


def _build_converter(
    item: type[T], wire_fields: tuple[msgspec.structs.FieldInfo, ...], expected: Mapping[str, str]
) -> Converter:
    converter = Converter()
    overrides: dict[str, Any] = {
        wire.name: override(rename=wire.encode_name, struct_hook=_structure_value(wire.type, expected[wire.name]))
        for wire in wire_fields
    }
    structure_values = make_dict_structure_fn(item, converter, **overrides)
    names = {wire.name: wire.encode_name for wire in wire_fields}
    required = {wire.name for wire in wire_fields if wire.required}
    # An item whose values are still to be read.
    row_type = msgspec.defstruct("_Row", [(name, Raw | UnsetType, UNSET) for name in names], rename=names)
    decode_row = msgspec.json.Decoder(row_type).decode

    def _structure_item(raw: Raw, _: type[T]) -> T:
        try:
            row = decode_row(raw)
        except _REFUSALS:
            raise _MalformedError("an object", bytes(raw)) from None
        values = {
            vendor_name: bytes(value)
            for name, vendor_name in names.items()
            # An optional field that is null is as good as absent.
            if (value := getattr(row, name)) is not UNSET and (name in required or bytes(value) != b"null")
        }
        return structure_values(values, item)

    converter.register_structure_hook(item, _structure_item)
    return converter


def _structure_value(wire_type: Any, expected: str) -> Callable[[bytes, Any], Any]:
    # Not strictly, since numbers and booleans may be strings, as in the vendor's example.
    decode = msgspec.json.Decoder(wire_type, strict=False).decode

    def structure(raw: bytes, _: Any) -> Any:
        try:
            value = decode(raw)
            return value.astimezone(UTC) if isinstance(value, datetime) else value
        except (*_REFUSALS, OverflowError):  # OverflowError: an offset moved the time out of the calendar
            raise _MalformedError(expected, raw) from None

    return structure


def _error_of(cause: Exception, body: bytes, token: Secret, spelling: _Spelling) -> ResponseError:
    """Say why a body could not be read."""
    match cause:
        case _UnreadableError():
            problems = tuple(_problem(index, field, error, token, spelling) for index, field, error in cause.problems)
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


def _problem(index: int, field: str, error: Exception, token: Secret, spelling: _Spelling) -> Problem:
    match error:
        case _MalformedError(expected=expected, got=got):
            return Problem(index, field, expected, _shown(got, token))
        case _:  # cattrs' KeyError for a field that must be there
            [expected] = (
                spelling.expected[name] for name, vendor_name in spelling.names.items() if vendor_name == field
            )
            return Problem(index, field, expected, "nothing")


def _shown(raw: bytes, token: Secret) -> str:
    """Give a JSON value as people read it: strings as Python writes them, all else as it came."""
    text = raw[:_SHOWN_BYTES].decode("utf-8", "replace")
    if raw.startswith(b'"') and len(raw) <= _SHOWN_BYTES:
        with suppress(*_REFUSALS):
            # Redacted before Python's own escapes come in between.
            text = repr(token.redact(msgspec.json.decode(raw, type=str)))
    return one_line(text, token, _VALUE_CHARS)
