"""Chats and events as text: JSON, JSON lines, CSV. One of them, one line. Pure."""

import csv
import io
from collections.abc import Mapping
from datetime import UTC
from operator import attrgetter
from typing import Any, TypeVar

import attrs
import msgspec

from plugchat_async.errors import InvalidValueError
from plugchat_async.models import Chat, ChatAdded, ChatChanged, ChatEvent

T = TypeVar("T", bound=Chat)

COLUMNS = tuple(a.name for a in attrs.fields(Chat))
# The column that comes first in files that hold chats of many accounts.
ACCOUNT = "account"
values_of = attrgetter(*COLUMNS)

# What a spreadsheet may take for the beginning of a formula, full-width forms included (OWASP, "CSV Injection").
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # noqa: RUF001 - meant


def to_dict(chat: Chat) -> dict[str, Any]:
    """Return a chat as JSON has it: `Chat`'s own names in order, times as RFC 3339 texts in UTC."""
    values: dict[str, Any] = msgspec.to_builtins(dict(zip(COLUMNS, values_of(chat), strict=True)))
    return values


def from_dict(values: Mapping[str, Any], cls: type[T]) -> T:
    """Return the chat that `to_dict` made these of. `cls`: Chat, or a class that is derived from it.

    Raises:
        InvalidValueError: A value is of another type than the field, or there is neither a phone nor a lid.

    """
    try:
        return _checked(msgspec.convert(dict(values), cls))
    except (msgspec.ValidationError, ValueError, TypeError) as error:
        reason = str(error)
    raise InvalidValueError(f"these values are no chat: {reason}", _READ_BACK_HINT)


def from_json(line: str | bytes) -> Chat:
    """Return the chat of a line that `to_json` wrote. InvalidValueError, as for `from_dict`."""
    try:
        return _checked(_decode_chat(line))
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        reason = str(error)
    raise InvalidValueError(f"it is no chat: {reason}", _READ_BACK_HINT)


_READ_BACK_HINT = (
    "Chats are read back as they were exported, with `Chat`'s own names. "
    "To read a row as the gateway sends it, use plugchat_async.converter."
)
_decode_chat = msgspec.json.Decoder(Chat).decode


def _checked(chat: T) -> T:
    """Return a chat that was read, with its times in UTC. ValueError if it has no id, or a time without an offset."""
    if not chat.id:
        raise ValueError("there is neither a phone nor a lid")
    times = {name: time for name in _TIMES if (time := getattr(chat, name)) is not None and time.tzinfo is not UTC}
    for name, time in times.items():
        if time.tzinfo is None:
            raise ValueError(f"{name} has no offset from UTC")
    return attrs.evolve(chat, **{name: time.astimezone(UTC) for name, time in times.items()}) if times else chat


_TIMES = ("last_message_time", "muted_until")


def to_json(chat: Chat, account: str | None = None) -> str:
    """Give a chat as a JSON object on one line: `Chat`'s own names, times as RFC 3339 in UTC.

    account: the name of its account, which then comes first.
    """
    # Not the chat itself: the account comes first.
    fields = {} if account is None else {ACCOUNT: account}
    fields |= zip(COLUMNS, values_of(chat), strict=True)
    return msgspec.json.encode(fields).decode()


def event_to_json(event: ChatEvent) -> str:
    """Give an event as a JSON object on one line: `event` ("added", "changed", "removed"), `chat` as it is or was last.

    A change also has `fields`, the names of those that differ, and `old`, what the chat was.
    """
    match event:
        case ChatAdded(chat):
            return f'{{"event":"added","chat":{to_json(chat)}}}'
        case ChatChanged(old, new, fields):
            names = msgspec.json.encode(fields).decode()
            return f'{{"event":"changed","fields":{names},"chat":{to_json(new)},"old":{to_json(old)}}}'
        case _:
            return f'{{"event":"removed","chat":{to_json(event.chat)}}}'


def csv_header(*, account: bool = False) -> str:
    """Give CSV's first line, without its end."""
    return ",".join((ACCOUNT, *COLUMNS) if account else COLUMNS)


def to_csv(chat: Chat, account: str | None = None) -> str:
    """Give a chat as a line of CSV, without its end. RFC 4180, but for cells that could be run as a formula.

    Those begin with an apostrophe, which spreadsheets take for "this is text". None is an empty cell, times are
    RFC 3339 in UTC, booleans `true` and `false`.

    account: the name of its account, which then comes first.
    """
    line = io.StringIO()
    values = values_of(chat) if account is None else (account, *values_of(chat))
    # With this end both of its characters are quoted in cells; with none, "\r" would not be.
    csv.writer(line, lineterminator="\r\n").writerow([_cell(value) for value in values])
    return line.getvalue().removesuffix("\r\n")


def _cell(value: object) -> object:
    match value:
        case str() if value.startswith(_FORMULA_STARTS):
            return f"'{value}"
        case None | str() | int() if not isinstance(value, bool):
            return value
        case _:  # a boolean or a time, as JSON spells it
            return msgspec.json.encode(value).decode().strip('"')
