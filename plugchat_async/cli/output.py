"""The output of `plugchat chats`: seven formats, to stdout or to a file that appears complete or not at all."""

import io
import sys
from collections.abc import AsyncIterable, Callable, Generator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any, Final, Literal, TextIO, get_args

from attrs import AttrsInstance, frozen
from rich.cells import cell_len
from rich.table import Column, Table
from rich.text import Text

from plugchat_async import Chat, InvalidValueError, PendingChat
from plugchat_async._internal.files import AtomicFile, output_errors
from plugchat_async.cli.terminal import escape_json, printable, render_table
from plugchat_async.export.csv_and_json import CsvDialect, csv_header, to_csv, to_json
from plugchat_async.export.writers import check_not_compressed, require_library, write_parquet, write_xlsx

OutputFormat = Literal["table", "json", "jsonl", "csv", "parquet", "xlsx"]
# What --format and --csv say together: excel is CSV for spreadsheets.
LineFormat = Literal["jsonl", "csv", "excel"]
OutputStyle = Literal[OutputFormat, "excel"]

# The ids of groups, today's and old ones. Longer ones are broken.
_USUAL_ID: Final = 24
_LONG_ID: Final = 29
_BY_SUFFIX: Final[dict[str, OutputFormat]] = {
    "": "jsonl",
    ".jsonl": "jsonl",
    ".json": "json",
    ".csv": "csv",
    ".txt": "table",
    ".parquet": "parquet",
    ".xlsx": "xlsx",
}
# Formats that are often found under the suffix of another one.
_ALSO_FITS: Final[dict[str, tuple[OutputFormat, ...]]] = {
    "": ("table", "json", "csv", "parquet", "xlsx"),
    ".txt": ("jsonl", "json", "csv"),
    ".json": ("jsonl",),
}


@frozen
class Columns:
    """How the items of a list are written.

    Attributes:
        item: Their class.
        table: Returns a table of some.
    """

    item: type[Any]
    table: Callable[[Sequence[Any]], Table]


def choose_format(given: OutputFormat | None, output: Path | None, dialect: CsvDialect = "rfc4180") -> OutputStyle:
    """Return the given format, or the one that fits the dialect of CSV, the file's name or stdout.

    Raises:
        InvalidValueError: The file's name has an unknown suffix, or that of a compression or of another format, the
            format can't go to stdout, or the dialect is one of another format.
        MissingExtraError: The format's library is not installed.
    """
    if output is not None:
        check_not_compressed(output)
    if given is None and output is None and dialect == "excel":
        return "excel"
    if given is None and output is None:
        return "table" if sys.stdout.isatty() else "jsonl"
    if output is not None:
        given = _format_of_file(given, output)
    assert given is not None, "both cases are handled above"
    if dialect == "excel":
        check_excel(given)
        return "excel"
    if given in ("parquet", "xlsx"):
        if output is None:
            name = "Parquet" if given == "parquet" else given
            raise InvalidValueError(f"{name} can't be written to standard output", "Use --output.")
        require_library(given)
    return given


def _format_of_file(given: OutputFormat | None, output: Path) -> OutputFormat:
    suffix = output.suffix.lower()
    fitting = _BY_SUFFIX.get(suffix)
    if given is None and fitting is None:
        known = ", ".join(filter(None, _BY_SUFFIX))
        raise InvalidValueError(
            f"unknown format {output.suffix}",
            f"Use a file with a suffix of {known}, or --format {'|'.join(get_args(OutputFormat))}.",
        )
    if given is not None and fitting not in (None, given) and given not in _ALSO_FITS.get(suffix, ()):
        raise InvalidValueError(
            f"--format {given} does not fit the name {output.name}", "Omit --format, or use another suffix."
        )
    found = given or fitting
    assert found is not None, "one of them is there"
    return found


def check_folder(output: Path) -> None:
    """Raise InvalidValueError if a folder that is not there yet has the name of a file.

    "chats.parquet" may be one: so the parts of one table are often called.
    """
    suffix = output.suffix.lower()
    if suffix not in ("", ".parquet") and suffix in _BY_SUFFIX and not output.exists():
        raise InvalidValueError(
            f"--output is a folder, and {output.name} is the name of a file", f"Use a folder, such as {output.stem}."
        )


def check_excel(given: str) -> None:
    """Raise InvalidValueError if the format that goes with `--csv excel` is not CSV."""
    if given != "csv":
        raise InvalidValueError(f"--csv excel is for csv, not for {given}", "Use --format csv, or omit --csv.")


def line_format(style: OutputStyle) -> LineFormat | None:
    """Return a format in which chats go out one by one, None if it needs all of them."""
    return style if style in ("jsonl", "csv", "excel") else None


def header_line(style: LineFormat, item: type[Any] = Chat) -> str:
    """Return the line before the first item with its end, "" if there is none."""
    return "" if style == "jsonl" else csv_header(item, dialect=_dialect_of(style)) + "\n"


def _dialect_of(style: LineFormat) -> CsvDialect:
    return "excel" if style == "excel" else "rfc4180"


@contextmanager
def open_output(output: Path | None) -> Generator[TextIO]:
    """Open stdout, or a file that appears when it is complete.

    Raises:
        OutputError: The file can't be written.
    """
    if output is None:
        yield sys.stdout
        return
    whole = AtomicFile(output)
    try:
        with output_errors(output):
            out = io.TextIOWrapper(whole.file, encoding="utf-8", newline="")
            yield out
            out.flush()
        whole.commit()
    finally:
        whole.discard()


def line_maker(style: LineFormat, *, terminal: bool) -> Callable[[AttrsInstance], str]:
    """Return a function that makes a line of a chat or another item, with its end.

    Only lines for terminals have names changed.
    """
    dialect = _dialect_of(style)
    match style, terminal:
        case "jsonl", False:
            return lambda chat: to_json(chat) + "\n"
        case "jsonl", _:
            return lambda chat: escape_json(to_json(chat)) + "\n"
        case _, False:
            return lambda chat: to_csv(chat, dialect=dialect) + "\n"
        case _:
            return lambda chat: printable(to_csv(chat, dialect=dialect)) + "\n"


async def write_chats(
    style: OutputStyle,
    walk: AsyncIterable[AttrsInstance],
    output: Path | None,
    *,
    when_read: Callable[[], object],
    columns: Columns,
) -> None:
    """Write chats, or items of another list: lines while they come, json and table when all are there.

    Args:
        style: The format.
        walk: The chats.
        output: The file, None for stdout.
        when_read: Called when the walk is complete, before json and table are written, to remove a progress display.
        columns: The class of the items, and their table.
    """
    if style == "parquet":
        assert output is not None, "`choose_format` checks it"
        await write_parquet(walk, output, item=columns.item)
        return
    if style == "xlsx":
        assert output is not None, "`choose_format` checks it"
        await write_xlsx(walk, output, item=columns.item)
        return
    with open_output(output) as out:
        await _write_text(style, walk, out, columns, when_read=when_read)


async def _write_text(
    style: Literal["table", "json", "jsonl", "csv", "excel"],
    walk: AsyncIterable[Any],
    out: TextIO,
    columns: Columns,
    *,
    when_read: Callable[[], object],
) -> None:
    begun = False
    match style:
        case "jsonl" | "csv" | "excel":
            line_of = line_maker(style, terminal=out.isatty())
            head = header_line(style, columns.item)
            async for chat in walk:
                if out is sys.stdout and not begun:
                    when_read()  # merged chats, which come after the whole walk
                begun = True
                out.write(head + line_of(chat))
                head = ""
            out.write(head)
        case "json":
            # If the walk fails, nothing is written: half of an array is not JSON.
            line_of = line_maker("jsonl", terminal=out.isatty())
            lines = [line_of(chat).rstrip("\n") async for chat in walk]
            when_read()
            out.write("[\n" + ",\n".join(lines) + "\n]\n" if lines else "[]\n")
        case "table":
            found = [chat async for chat in walk]
            when_read()
            out.write(render_table(columns.table(found), out))


def id_columns(ids: Sequence[str]) -> tuple[Column, Column]:
    """Return the columns for names and ids, so that rows fit into 80 columns, whatever is in them.

    Where room is short, all columns but the name have their smallest width.
    """
    longest = max(map(cell_len, ids), default=0)
    name = Column("name", min_width=9 if longest <= _USUAL_ID else 4, overflow="fold")
    if longest > _LONG_ID:
        return name, Column("id", overflow="fold", min_width=_USUAL_ID)
    return name, Column("id", no_wrap=True)


def _flags_column(flags: Sequence[Sequence[str]]) -> Column:
    """Return the column for the flags of some items, which breaks no word."""
    return Column("flags", min_width=max(map(len, ["flags", *chain.from_iterable(flags)])))


def chats_table(found: Sequence[Chat]) -> Table:
    """Return a table of chats."""
    return message_table(found, [chat.unread for chat in found], list(map(_flags_of, found)))


def message_table(found: Sequence[Chat | PendingChat], unread: Sequence[int], flags: Sequence[Sequence[str]]) -> Table:
    """Return a table of chats with their last message.

    Args:
        found: The chats.
        unread: How many messages of each are unread.
        flags: The flags of each.
    """
    table = Table(
        *id_columns([chat.id for chat in found]),
        Column("unread", justify="right", no_wrap=True),
        Column("last message", no_wrap=True, min_width=16),
        _flags_column(flags),
        caption="Times are in UTC.",
    )
    for chat, chat_unread, chat_flags in zip(found, unread, flags, strict=True):
        time_ = chat.last_message_time
        # Text, not str: a name in brackets is not markup.
        table.add_row(
            Text(printable(chat.name or "")),
            Text(printable(chat.id)),
            str(chat_unread),
            "" if time_ is None else f"{time_:%Y-%m-%d %H:%M}",
            " ".join(chat_flags),
        )
    return table


CHAT_COLUMNS: Final = Columns(Chat, chats_table)


def _flags_of(chat: Chat) -> list[str]:
    """Return the kind of a chat, unless it is a person, and its flags."""
    flags = (
        (chat.kind, chat.kind != "person"),
        ("pinned", chat.is_pinned),
        ("archived", chat.is_archived),
        ("muted", chat.is_muted),
        ("spam", chat.is_marked_spam),
    )
    return [name for name, on in flags if on]
