"""The spellings of values on the wire: a function for each type, which the converter uses as its hooks.

Each reads every spelling that was documented or seen, and raises MalformedValueError for others. Pure.
"""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from types import NoneType
from typing import Any, Final, get_args

from plugchat_async.models import FOREVER

# More than any chat has; files of columns have no more bits.
MAX_COUNT: Final = 2**63 - 1
# A time below the first is in seconds, below the second in milliseconds, else in microseconds: each unit covers about
# 1973 to the year 5138.
MIN_MILLISECONDS: Final = 100_000_000_000
MIN_MICROSECONDS: Final = 1000 * MIN_MILLISECONDS
MAX_TIME: Final = 253_402_300_799_999_999  # the last microsecond of the year 9999

# The fields that identify a row. The gateway leaves one of them empty in half of its rows.
ID_FIELDS: Final = ("phone", "lid")

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

_RENAMED: Final = {"is_pinned": "pinned", "is_archived": "archived", "muted_until": "muteEndTime"}
_FLAGS: Final = {"true": True, "false": False, "1": True, "0": False, "-0": False}
_NUMBER: Final = re.compile(r"-?[0-9]{1,20}(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?")
_EXPECTED_TIME: Final = "a time: epoch seconds, milliseconds or microseconds, or RFC 3339 with an offset"
_SURROGATES: Final = re.compile(r"[\ud800-\udfff]")
# RFC 3339; `datetime` reads more than that, such as week dates.
_TIMESTAMP: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?([Zz]|[+-][0-9]{2}:[0-9]{2})"
)


class MalformedValueError(ValueError):
    """A value that no rule reads. `expected`: what would be read, in words."""

    def __init__(self, expected: str) -> None:
        super().__init__(f"expected {expected}")
        self.expected = expected


@cache
def wire_name(name: str) -> str:
    """Return the name of a field on the wire."""
    first, *others = name.split("_")
    return _RENAMED.get(name) or "".join([first, *(word.title() for word in others)])


def structure_text(value: object, _: object = str) -> str:
    """Return a text, or the digits of a number: the gateway sends phones as either."""
    if isinstance(value, str):
        return whole_text(value)
    # The name of a chat may be a number, but not of thousands of digits: Python would refuse to print it.
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) <= MAX_COUNT:
        return str(value)
    raise MalformedValueError("a text")


def whole_text(text: str) -> str:
    """Return a text with the replacement character for each half of an emoji, which can't be encoded."""
    return _SURROGATES.sub("\ufffd", text)


def structure_count(value: object, _: object = int) -> int:
    """Return a count: "2", 2, or true. -1, "marked as unread" without a message, is 0."""
    number = _number(value)
    if number is None or not -1 <= number <= MAX_COUNT or number != int(number):
        raise MalformedValueError("a count")
    return max(0, int(number))


def structure_flag(value: object, _: object = bool) -> bool:
    """Return a flag: true, "true", "TRUE", 1 or "1"."""
    if isinstance(value, str):
        flag = _FLAGS.get(value.lower())
        if flag is not None:
            return flag
    elif isinstance(value, bool | int | float) and value in (0, 1):
        return bool(value)
    raise MalformedValueError("true or false, 1 or 0")


def structure_time(value: object, _: object = datetime) -> datetime | None:
    """Return a time: epoch seconds, milliseconds or microseconds, or RFC 3339. 0, "no message yet", is None."""
    if isinstance(value, datetime):  # from a dict that was made by hand
        return _in_utc(value)
    number = None if isinstance(value, bool) else _number(value)
    if number is not None and 0 <= number <= MAX_TIME:
        return time_from_epoch(number) if number else None
    if isinstance(value, str) and _TIMESTAMP.fullmatch(value):
        return _in_utc(_parse_timestamp(value))
    raise MalformedValueError(_EXPECTED_TIME)


def may_be_none(kind: Any) -> bool:
    """Return whether a field of a type may be None."""
    return NoneType in get_args(kind)


def required_time(read: Callable[[Any, Any], object], value: object, of: object) -> object:
    """Return a time that may not be None: as a hook `read` reads it, but 0, "none", can't be read."""
    time = read(value, of)
    if time is None:
        raise MalformedValueError(_EXPECTED_TIME)
    return time


def structure_mute_end(value: object, _: object = datetime) -> datetime | None:
    """Return the end of a muting: a time, or -1, "forever"; None is none."""
    if value is None:
        return None
    return FOREVER if _number(value) == -1 else structure_time(value)


def time_from_epoch(number: float) -> datetime:
    """Return the time of epoch seconds, milliseconds or microseconds. `number`: above 0, up to MAX_TIME."""
    if number < MIN_MILLISECONDS:
        return datetime.fromtimestamp(number, UTC)
    unit = 1000 if number < MIN_MICROSECONDS else 1_000_000
    # A quotient would be off by microseconds after a few thousand years. The gateway's have no remainder.
    seconds, rest = divmod(int(number), unit)
    time = datetime.fromtimestamp(seconds, UTC)
    return time.replace(microsecond=rest * 1_000_000 // unit) if rest else time


def _number(value: object) -> float | None:
    """Return a number, a text or a boolean as a number, or None for other values."""
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
        raise MalformedValueError(_EXPECTED_TIME) from None


def _in_utc(time: datetime) -> datetime:
    # A time without an offset is a different moment in each time zone.
    if time.tzinfo is not None:
        try:
            return time.astimezone(UTC)
        except OverflowError:  # the offset moves it out of the calendar
            pass
    raise MalformedValueError(_EXPECTED_TIME)


def write_time(time: datetime) -> str:
    """Return a time as the gateway writes it, a text of milliseconds; RFC 3339 if that would be ambiguous."""
    milliseconds, rest = divmod(time - _EPOCH, timedelta(milliseconds=1))
    if rest or not MIN_MILLISECONDS <= milliseconds < MIN_MICROSECONDS:
        return time.astimezone(UTC).isoformat()
    return str(milliseconds)


def write_mute_end(time: datetime | None) -> str | int | None:
    """Return the end of a muting as the gateway writes it."""
    if time is None:
        return None
    return -1 if time == FOREVER else write_time(time)


# Fields whose reading depends on the name, not only on the type.
READ_BY_NAME: Final[Mapping[str, Callable[[object, object], object]]] = {"muted_until": structure_mute_end}
# Fields that the gateway writes in another way than others of their type.
WRITTEN_BY_NAME: Final[Mapping[str, Callable[[Any], object]]] = {
    "is_muted": lambda flag: "1" if flag else "0",
    "muted_until": write_mute_end,
    "is_group": lambda flag: flag,
    "is_group_announcement": lambda flag: flag,
}
