"""Chats and events as text: JSON, JSON lines, CSV. One of them, one line. Pure."""

import csv
import io
from typing import Any

import msgspec

from plugchat_async.errors import InvalidValueError
from plugchat_async.models import COLUMNS, Chat, ChatAdded, ChatChanged, ChatEvent, values_of

# The column that comes first in files that hold chats of many accounts.
ACCOUNT = "account"

# What a spreadsheet may take for the beginning of a formula, full-width forms included (OWASP, "CSV Injection").
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # noqa: RUF001 - meant


def from_json(line: str | bytes) -> Chat:
    """Return the chat of a line that `to_json` wrote. InvalidValueError if it is not one."""
    try:
        values = _decode_object(line)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        reason = str(error)
    else:
        return Chat.from_dict(values)
    raise InvalidValueError(f"it is not a JSON object: {reason}", "Name a file of JSON lines, with a chat in each.")


_decode_object = msgspec.json.Decoder(dict[str, Any]).decode


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
