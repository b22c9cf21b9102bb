"""The vendor's spelling of chats: one cattrs converter, and all rules about the wire.

    from plugchat_async.converter import converter

    converter.structure(row, Chat)    # from a row: a dict of a webhook, a file, a test
    converter.unstructure(chat)       # to a row that is read back the same
    converter.loads(body)             # from the body of a page

The vendor's page of 2021 and the gateway of today spell values differently, and neither keeps to its own types. So each
value is read in every spelling that was documented or seen:

- Names are camelCase on the wire; `pinned`, `archived` and `muteEndTime` are called otherwise here.
- null, "" and, but for texts, "null" are as good as an absent key.
- A text may be a number: it is read as its digits.
- A count may be a text, a number or a boolean. -1 means "marked as unread", with no message to count: 0.
- A flag may be a boolean, "true" or "false" in any case, 0 or 1, as a number or a text.
- A time may be in seconds, milliseconds or microseconds, as a number or a text, told apart by size; or RFC 3339 with an
  offset. 0 is "no message yet". `muteEndTime` -1 is "for ever".

To read more than the vendor's rows, copy it: `mine = converter.copy()` knows all of this, and takes hooks of your own,
such as for an attrs class that has a Chat among its fields.
"""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, Final, TypeVar, cast, get_args, overload

import attrs
from cattrs import Converter
from cattrs.gen import make_dict_structure_fn, make_dict_unstructure_fn, override

from plugchat_async._evidence import Problem
from plugchat_async.models import FOREVER, Chat

T = TypeVar("T")

# More than any chat has; files of columns have no more bits.
MAX_COUNT: Final = 2**63 - 1
# A time below the first is in seconds, below the second in milliseconds, else in microseconds: each of them goes from
# about 1973 to the year 5138.
MIN_MILLISECONDS: Final = 100_000_000_000
MIN_MICROSECONDS: Final = 1000 * MIN_MILLISECONDS
MAX_TIME: Final = 253_402_300_799_999_999  # the last microsecond of the year 9999

# What a row is known by. The gateway leaves one of them empty in half of its rows.
ID_FIELDS: Final = ("phone", "lid")

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

_RENAMED: Final = {"is_pinned": "pinned", "is_archived": "archived", "muted_until": "muteEndTime"}
_FLAGS: Final = {"true": True, "false": False, "1": True, "0": False}
_NUMBER: Final = re.compile(r"-?[0-9]{1,20}(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?")
# RFC 3339; `datetime` reads more than that, such as week dates.
_TIMESTAMP: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?([Zz]|[+-][0-9]{2}:[0-9]{2})"
)


class MalformedValueError(ValueError):
    """A value that no rule reads. `expected` says what would be read, in words."""

    def __init__(self, expected: str) -> None:
        super().__init__(f"expected {expected}")
        self.expected = expected


@cache
def wire_name(name: str) -> str:
    """Return how a field is called on the wire."""
    first, *others = name.split("_")
    return _RENAMED.get(name) or "".join([first, *(word.title() for word in others)])


def structure_text(value: object, _: object = str) -> str:
    """Read a text, or a number as its digits: the gateway sends a phone as either."""
    if isinstance(value, str):
        return value
    # The name of a chat may be a number; it has not thousands of digits, which Python would refuse to print.
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) <= MAX_COUNT:
        return str(value)
    raise MalformedValueError("a text")


def structure_count(value: object, _: object = int) -> int:
    """Read a count: "2", 2, or true. -1 is "marked as unread", which is no message."""
    number = _number(value)
    if number is None or not -1 <= number <= MAX_COUNT or number != int(number):
        raise MalformedValueError("a count")
    return max(0, int(number))


def structure_flag(value: object, _: object = bool) -> bool:
    """Read a flag: true, "true", "TRUE", 1 or "1"."""
    if isinstance(value, str):
        flag = _FLAGS.get(value.lower())
        if flag is not None:
            return flag
    elif isinstance(value, bool | int | float) and value in (0, 1):
        return bool(value)
    raise MalformedValueError("true or false, 1 or 0")


def structure_time(value: object, _: object = datetime) -> datetime | None:
    """Read a time: epoch seconds, milliseconds or microseconds, or RFC 3339. 0 is "no message yet": None."""
    if isinstance(value, datetime):  # of a dict that was made by hand
        return _in_utc(value)
    number = None if isinstance(value, bool) else _number(value)
    if number is not None and 0 <= number <= MAX_TIME:
        return time_from_epoch(number) if number else None
    if isinstance(value, str) and _TIMESTAMP.fullmatch(value):
        return _in_utc(_parse_timestamp(value))
    raise MalformedValueError("a time in epoch seconds or milliseconds")


def structure_mute_end(value: object, _: object = datetime) -> datetime | None:
    """Read the end of a muting: a time, or -1, which is "for ever"."""
    return FOREVER if _number(value) == -1 else structure_time(value)


def time_from_epoch(number: float) -> datetime:
    """Return a time that is given in epoch seconds, milliseconds or microseconds. `number`: above 0, up to MAX_TIME."""
    if number < MIN_MILLISECONDS:
        return datetime.fromtimestamp(number, UTC)
    unit = 1000 if number < MIN_MICROSECONDS else 1_000_000
    # A quotient would be off by microseconds after some thousand years. The gateway's have no rest.
    seconds, rest = divmod(int(number), unit)
    time = datetime.fromtimestamp(seconds, UTC)
    return time.replace(microsecond=rest * 1_000_000 // unit) if rest else time


def _number(value: object) -> float | None:
    """Return a number that is given as such, as a text, or as a boolean; None for all else."""
    if isinstance(value, int | float):
        return value if -MAX_COUNT <= value <= MAX_COUNT else None  # NaN is in no range
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        number = int(value) if value.lstrip("-").isdigit() else float(value)
        return number if -MAX_COUNT <= number <= MAX_COUNT else None
    return None


def _parse_timestamp(text: str) -> datetime:
    try:
        # Nine digits of a second are one of the field's spellings; Python 3.11 cuts them itself.
        return datetime.fromisoformat(text.upper())
    except ValueError:  # such as the 30th of February
        raise MalformedValueError("a time in epoch seconds or milliseconds") from None


def _in_utc(time: datetime) -> datetime:
    # A time without an offset is another moment in each time zone.
    if time.tzinfo is not None:
        try:
            return time.astimezone(UTC)
        except OverflowError:  # the offset moves it out of the calendar
            pass
    raise MalformedValueError("a time in epoch seconds or milliseconds")


def write_time(time: datetime) -> str | int:
    """Write a time as the gateway does: in milliseconds, as a text. RFC 3339 where that would be read as another."""
    if time == FOREVER:
        return -1
    milliseconds, rest = divmod(time - _EPOCH, timedelta(milliseconds=1))
    if rest or not MIN_MILLISECONDS <= milliseconds < MIN_MICROSECONDS:
        return time.astimezone(UTC).isoformat()
    return str(milliseconds)


# How a field is read if its name says more than its type.
_BY_NAME: Final[Mapping[str, Callable[[object, object], object]]] = {"muted_until": structure_mute_end}
# How the gateway writes a field, if not as others of its type.
_WRITTEN_BY_NAME: Final[Mapping[str, Callable[[Any], object]]] = {
    "is_muted": lambda flag: "1" if flag else "0",
    "is_group": lambda flag: flag,
    "is_group_announcement": lambda flag: flag,
}


def _structure_class(cls: Any, converter: Converter) -> Callable[[object, object], object]:
    """Return a hook that reads objects of the vendor's into an attrs class."""
    members = attrs.fields(attrs.resolve_types(cls))
    spelled: dict[str, Any] = {
        a.name: override(rename=wire_name(a.name), struct_hook=_BY_NAME.get(a.name)) for a in members
    }
    structure = make_dict_structure_fn(cls, converter, **spelled)
    is_text = {wire_name(a.name): str in (a.type, *get_args(a.type)) for a in members}
    ids = [a.name for a in members if a.name in ID_FIELDS]

    def structure_object(row: object, _: object) -> object:
        if not isinstance(row, Mapping):
            raise MalformedValueError("an object")
        rows = cast("Mapping[str, object]", row)
        told = {name: value for name, text in is_text.items() if not _is_absent(value := rows.get(name), text=text)}
        item = structure(told, cls)
        if ids and not any(getattr(item, name) for name in ids):
            raise MalformedValueError("a phone or a lid")
        return item

    return structure_object


def _is_absent(value: object, *, text: bool) -> bool:
    return value is None or value == "" or (not text and isinstance(value, str) and value.lower() == "null")


def _unstructure_class(cls: Any, converter: Converter) -> Callable[[Any], dict[str, Any]]:
    """Return a hook that writes objects of an attrs class as the vendor's."""
    members = attrs.fields(attrs.resolve_types(cls))
    spelled: dict[str, Any] = {
        a.name: override(rename=wire_name(a.name), unstruct_hook=_WRITTEN_BY_NAME.get(a.name)) for a in members
    }
    write = make_dict_unstructure_fn(cls, converter, **spelled)
    return lambda item: {name: value for name, value in write(item).items() if value is not None}


class WireConverter(Converter):
    """A cattrs converter that knows the vendor's rules; see the module. Get one with `converter.copy()`."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.register_structure_hook(str, structure_text)
        self.register_structure_hook(int, structure_count)
        self.register_structure_hook(bool, structure_flag)
        self.register_structure_hook(datetime, structure_time)
        self.register_structure_hook_factory(attrs.has, _structure_class)
        self.register_unstructure_hook(bool, lambda flag: "true" if flag else "false")
        self.register_unstructure_hook(int, str)
        self.register_unstructure_hook(datetime, write_time)
        self.register_unstructure_hook_factory(attrs.has, _unstructure_class)

    @overload
    def loads(self, body: bytes | str, *, problems: list[Problem] | None = ...) -> tuple[Chat, ...]: ...

    @overload
    def loads(self, body: bytes | str, item: type[T], *, problems: list[Problem] | None = ...) -> tuple[T, ...]: ...

    def loads(
        self, body: bytes | str, item: type[Any] = Chat, *, problems: list[Problem] | None = None
    ) -> tuple[Any, ...]:
        """Read the body of a page.

        Args:
            body: A JSON array of rows, UTF-8 if it is bytes.
            item: The attrs class of the rows (default Chat).
            problems: A list that takes a Problem for each value that can't be read (a thousand at most); the value is
                the field's default then, and a row that is no chat is left out. None (default): they are raised.

        Returns:
            The chats in the order of the rows.

        Raises:
            NotJSONError: The body is not JSON. NotAListError: It is not an array.
            DecodeError: Values can't be read, or, with `problems`, more than half of the rows are no chats.

        """
        from plugchat_async._decode import decode  # noqa: PLC0415 - it is built on this module

        return decode(body.encode() if isinstance(body, str) else body, self, item, problems)


converter: Final = WireConverter()
