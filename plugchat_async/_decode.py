"""JSON bytes -> the chats of a page: a cattrs converter with a fast lane and an exact lane.

The vendor's table and its example disagree about types, so both spellings are read everywhere. The fast lane lets
msgspec parse the whole page into structs made from `Chat`, and either gives all chats or refuses. Only then the exact
lane reads the page again, value by value, and accepts it or says of each bad value where it is and what was expected.

Both lanes read a value with the same parser and the same type, so that what the fast lane accepts, the exact lane
accepts alike. The exact lane accepts a little more: null for an optional field, a byte order mark, a lone surrogate.
"""

import codecs
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from types import GenericAlias
from typing import Annotated, Any, TypeVar, cast

import msgspec
from attrs import fields, frozen
from cattrs import ClassValidationError, IterableValidationError
from cattrs.gen import make_dict_structure_fn, override
from cattrs.preconf.msgspec import MsgspecJsonConverter
from msgspec import UNSET, Meta, Raw, Struct

from plugchat_async._evidence import Problem
from plugchat_async._secret import Secret
from plugchat_async._wire import excerpt, one_line
from plugchat_async.errors import DecodeError, NotAListError, NotJSONError, ResponseError
from plugchat_async.models import Chat

T = TypeVar("T")

# A bad value's share of an error message, and how much of it is looked at for that.
_VALUE_CHARS = 60
_SHOWN_BYTES = 512

# Where the exact lane stops to look for more problems, and how many chats it reads at a time.
MOST_PROBLEMS = 1000
_SLICE = 128


@frozen
class _WireField:
    """How one field of `Chat` is spelled: the type that msgspec reads it with (`strict=False`), and that in words."""

    type: Any
    expected: str


# A time without an offset is another moment in each time zone.
_AWARE: Any = Annotated[datetime, Meta(tz=True)]

# `strict=False` reads numbers and booleans from strings too, as the vendor's example spells them.
_WIRE_FIELDS = {
    # Table and example: string. It is the chat's id, so an empty one can't be told from others.
    "phone": _WireField(Annotated[str, Meta(min_length=1)], "a non-empty string"),
    "name": _WireField(str | None, "a string or null"),
    # Table: string. Example: "0".
    "unread": _WireField(int, "an integer"),
    # Table: string, "timestamp with date and time". Example: "1622991687". RFC 3339 with an offset is as clear.
    "last_message_time": _WireField(_AWARE | None, "epoch seconds"),
    # Table: string, 0 or 1. Example: "0".
    "is_muted": _WireField(bool, "0 or 1, true or false"),
    # Table: boolean. Example: "false".
    "is_marked_spam": _WireField(bool, "true or false, 0 or 1"),
    # Table: string. Example: a URL, or null.
    "profile_thumbnail": _WireField(str | None, "a string or null"),
    # Table: integer, discontinued. Example: 0.
    "messages_unread": _WireField(int | None, "an integer or null"),
}


class _MalformedError(ValueError):
    """A hook's refusal: what was expected, and the value's own bytes."""

    def __init__(self, expected: str, got: bytes) -> None:
        super().__init__(expected, got)
        self.expected = expected
        self.got = got


def _struct(name: str, value_type: Callable[[str], Any], *, required: bool) -> type[Struct]:
    """Make a struct with `Chat`'s fields, in its order, under the vendor's names."""
    return msgspec.defstruct(
        name,
        [
            (a.name, value_type(a.name))
            if required and a.name == "phone"
            else (a.name, value_type(a.name), a.default if required else UNSET)
            for a in fields(Chat)
        ],
        rename="camel",
        gc=False,  # rows hold no containers: the collector has nothing to find in them
    )


Row = _struct("Row", lambda name: _WIRE_FIELDS[name].type, required=True)
_RawRow = _struct("_RawRow", lambda _: Raw | msgspec.UnsetType, required=False)
_VENDOR_NAMES = dict(zip(Row.__struct_fields__, Row.__struct_encode_fields__, strict=True))

# What msgspec raises on input: DecodeError for syntax and types; UnicodeDecodeError, and ValueError for the year
# 10000, are ValueErrors; RecursionError for nested arrays.
_REFUSALS = (msgspec.DecodeError, ValueError, RecursionError)

_decode_rows: Callable[[bytes], list[Any]] = msgspec.json.Decoder(GenericAlias(list, Row), strict=False).decode
_decode_raws = msgspec.json.Decoder(list[Raw]).decode
_decode_raw_row = msgspec.json.Decoder(_RawRow).decode


class _ChatsConverter(MsgspecJsonConverter):
    """cattrs' converter for msgspec, with a fast lane in the loads hook for the chats of a page."""

    def loads(self, data: bytes, cl: type[T], **kwargs: Any) -> T:
        """Read a page: the fast lane, and if that refuses, the exact one."""
        if cl is not _CHATS:
            return super().loads(data, cl, **kwargs)
        try:
            rows = _decode_rows(data)
        except _REFUSALS:
            return cast("T", self._load_exactly(data))
        if not _all_utc(rows):
            return cast("T", self._load_exactly(data))
        # 0.22 µs a chat; calling a frozen class, which sets each field past its own __setattr__, takes 0.52.
        return msgspec.convert(rows, cl, from_attributes=True)

    def _load_exactly(self, data: bytes) -> tuple[Chat, ...]:
        try:
            raws = _decode_raws(data)
        except _REFUSALS:
            raws = _decode_raws(_mend(data))
        chats: list[Chat] = []
        problems: list[tuple[int, str, Exception]] = []
        # In slices: each problem costs some 50 µs, and a small body may hold a million of them.
        for start in range(0, len(raws), _SLICE):
            try:
                chats += self.structure(raws[start : start + _SLICE], _CHATS)
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


def _all_utc(rows: Iterable[Any]) -> bool:
    """Tell whether all times are in UTC: epoch seconds always are, RFC 3339 may say otherwise."""
    for row in rows:  # 0.04 µs a row; all() over a generator takes 0.06
        time = row.last_message_time
        if time is not None and time.tzinfo is not UTC:
            return False
    return True


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


def _build_converter() -> _ChatsConverter:
    converter = _ChatsConverter()
    overrides: dict[str, Any] = {
        name: override(rename=_VENDOR_NAMES[name], struct_hook=_structure_value(name)) for name in _WIRE_FIELDS
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


def _structure_value(name: str) -> Callable[[bytes, Any], Any]:
    wire = _WIRE_FIELDS[name]
    decode = msgspec.json.Decoder(wire.type, strict=False).decode

    def structure(raw: bytes, _: Any) -> Any:
        try:
            value = decode(raw)
            return value.astimezone(UTC) if isinstance(value, datetime) else value
        except (*_REFUSALS, OverflowError):  # OverflowError: an offset moved the time out of the calendar
            raise _MalformedError(wire.expected, raw) from None

    return structure


_CHATS = tuple[Chat, ...]
_load_chats = _build_converter().get_loads_hook(_CHATS)


def decode_chats(body: bytes, token: Secret) -> tuple[Chat, ...] | ResponseError:
    """Read the body of a page. Gives the error back instead of raising it: no traceback then holds the body.

    NotJSONError, NotAListError, or DecodeError with a problem for each value that can't be read, a thousand or so at
    most.
    """
    try:
        return _load_chats(body)
    except _UnreadableError as error:
        problems = tuple(_problem(index, field, cause, token) for index, field, cause in error.problems)
        count = f"{'at least ' if len(problems) >= MOST_PROBLEMS else ''}{len(problems)}"
        return DecodeError(f"{count} value{'' if len(problems) == 1 else 's'} can't be read", problems=problems)
    except RecursionError:
        return NotJSONError(f"the body is nested too deeply: {excerpt(body, token)}")
    except msgspec.ValidationError:
        return NotAListError(f"the body is not a JSON array: {excerpt(body, token)}")
    except (msgspec.DecodeError, ValueError):
        if _is_cut(body):
            message = f"the JSON ends in the middle, after {len(body)} bytes"
            return NotJSONError(message, "The answer was cut: try again later.", truncated=True)
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
    except msgspec.DecodeError as error:
        complaint = str(error)
    return complaint


# msgspec has no error class of its own for it; a test holds this text to the installed version.
_TRUNCATED = "Input data was truncated"


def _problem(index: int, field: str, error: Exception, token: Secret) -> Problem:
    match error:
        case _MalformedError(expected=expected, got=got):
            return Problem(index, field, expected, _shown(got, token))
        case _:  # cattrs' KeyError for the one field that must be there
            return Problem(index, field, _WIRE_FIELDS["phone"].expected, "nothing")


def _shown(raw: bytes, token: Secret) -> str:
    """Give a JSON value as people read it: strings as Python writes them, all else as it came."""
    text = raw[:_SHOWN_BYTES].decode("utf-8", "replace")
    if raw.startswith(b'"') and len(raw) <= _SHOWN_BYTES:
        with suppress(*_REFUSALS):
            # Redacted before Python's own escapes come in between.
            text = repr(token.redact(msgspec.json.decode(raw, type=str)))
    return one_line(text, token, _VALUE_CHARS)
