"""Chats, items of other lists, and events as lines of text: JSON and CSV. Pure."""

import csv
import io
import re
from datetime import datetime
from typing import Any, Final, Literal

import msgspec
from attrs import AttrsInstance

from plugchat_async._items import T, columns_of, getter_of, item_from_dict, naive_utc
from plugchat_async.errors import InvalidValueError
from plugchat_async.models import Chat, ChatAdded, ChatChanged, ChatEvent

# The first column in files with chats of many accounts.
ACCOUNT = "account"

CsvDialect = Literal["rfc4180", "excel"]
# Excel takes a file for UTF-8 if it begins so.
_BOM: Final = "\ufeff"
# From here on, a spreadsheet does not keep all digits of a number.
MAX_CELL_NUMBER: Final = 10**15
# What a spreadsheet would take for a number, a date or a time, and show as another: 5.512E+12 for a phone.
_NUMBER_LIKE: Final = re.compile(r"(?=.*[0-9])[-+0-9 .,:/()%$eE]{1,255}")

# A spreadsheet may evaluate a cell that starts with one of these, full-width forms included (OWASP, "CSV Injection").
_FORMULA_STARTS = frozenset("=+-@\t\r\n＝＋－＠")  # noqa: RUF001 - meant
_PLAIN_START = re.compile(r"[0-9A-Za-z]")  # of most cells
# What looks like nothing, though Python calls it printable: fillers, and marks that change the character before them.
_UNSEEN = frozenset(" \u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0" + "".join(map(chr, range(0xFE00, 0xFE10))))
# Line ends to `str.splitlines`, and so to programs that read lines with it, though not to JSON.
_LINE_ENDS = {"\x85": "\\u0085", "\u2028": "\\u2028", "\u2029": "\\u2029"}


def from_json(line: str | bytes, item: type[T]) -> T:
    """Return the item of a line from `to_json`.

    Args:
        line: The line.
        item: The class of the item.

    Raises:
        InvalidValueError: The line is not such an item.
    """
    try:
        values = _decode_object(line)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        reason = str(error)
    else:
        return item_from_dict(item, values)
    raise InvalidValueError(f"not a JSON object: {reason}", "Use a file of JSON lines, with a chat on each line.")


_decode_object = msgspec.json.Decoder(dict[str, Any]).decode


def to_json(chat: AttrsInstance, account: str | None = None, item: Any = None) -> str:
    """Return a chat, or another item, as a JSON object on one line: the names of its class, times in RFC 3339 and UTC.

    Other line ends in a name, such as U+2028, are escapes, so that all programs take the line for one.

    Args:
        chat: The chat, or an item of another call.
        account: The name of its account, for a first member `account` (default None: no such member).
        item: The class whose fields are written (default None: its own, which may have more).
    """
    # msgspec could encode the chat itself, but not put the account before it.
    fields = {} if account is None else {ACCOUNT: account}
    item = item or type(chat)
    fields |= zip(columns_of(item), getter_of(item)(chat), strict=True)
    return json_line(fields)


def json_line(value: object) -> str:
    """Return a value as JSON, without its line end. Other line ends in texts, such as U+2028, are escapes."""
    text = msgspec.json.encode(value).decode()
    if not text.isascii():
        for line_end, escape in _LINE_ENDS.items():
            text = text.replace(line_end, escape)
    return text


def event_to_json(event: ChatEvent) -> str:
    """Return an event as a JSON object on one line.

    Its members are `event` ("added", "changed" or "removed") and `chat`, the chat as it is now or was last. A change
    also has `fields`, the names of the fields that differ, and `old`, the chat as it was before.
    """
    match event:
        case ChatAdded(chat):
            return f'{{"event":"added","chat":{to_json(chat)}}}'
        case ChatChanged(old, new, fields):
            names = msgspec.json.encode(fields).decode()
            return f'{{"event":"changed","fields":{names},"chat":{to_json(new)},"old":{to_json(old)}}}'
        case _:
            return f'{{"event":"removed","chat":{to_json(event.chat)}}}'


def csv_header(item: Any = Chat, *, account: bool = False, dialect: CsvDialect = "rfc4180") -> str:
    """Return the first line of a CSV file of items of a class, without its line end."""
    columns = (ACCOUNT, *columns_of(item)) if account else columns_of(item)
    return _BOM + ";".join(columns) if dialect == "excel" else ",".join(columns)


def to_csv(chat: AttrsInstance, account: str | None = None, dialect: CsvDialect = "rfc4180", item: Any = None) -> str:
    """Return a chat, or another item, as a line of CSV, without its line end.

    None is an empty cell, times are in RFC 3339 and UTC, booleans are `true` and `false`. A cell that a spreadsheet
    could evaluate as a formula, also behind blanks, starts with an apostrophe, which spreadsheets read as "this is
    text".

    Args:
        chat: The chat, or an item of another call.
        account: The name of its account, for a first cell (default None: no such cell).
        dialect: "rfc4180" (default), or "excel": cells are separated by semicolons, times are such as
            `2021-06-06 15:01:27`, and a text of digits is a formula whose value is that text, such as `="5511…"`, as is
            a number of more than 15 digits.
        item: The class whose fields are written, as in the header (default None: its own).
    """
    line = io.StringIO()
    values = getter_of(item or type(chat))(chat)
    if account is not None:
        values = (account, *values)
    cell_of, delimiter = (_excel_cell, ";") if dialect == "excel" else (_cell, ",")
    # With this line end, both of its characters are quoted in cells. Without one, "\r" would not be.
    csv.writer(line, delimiter=delimiter, lineterminator="\r\n").writerow(map(cell_of, values))
    return line.getvalue().removesuffix("\r\n")


def _excel_cell(value: object) -> object:
    match value:
        case datetime():
            return naive_utc(value).isoformat(" ", "seconds")
        case int() if abs(value) >= MAX_CELL_NUMBER:
            return f'="{value}"'
        case str() if _NUMBER_LIKE.fullmatch(value):
            return f'="{value}"'
        case _:
            return _cell(value)


def _cell(value: object) -> object:
    match value:
        case str() if not _PLAIN_START.match(value) and _may_be_formula(value):
            return f"'{value}"
        case None | str() | int() if not isinstance(value, bool):
            return value
        case _:  # a boolean or a time, as in JSON
            return msgspec.json.encode(value).decode().strip('"')


def _may_be_formula(text: str) -> bool:
    """Return whether the first character that can be seen, or one before it, starts a formula."""
    for character in text:
        if character in _FORMULA_STARTS:
            return True
        if character.isprintable() and character not in _UNSEEN:
            return False
    return False
