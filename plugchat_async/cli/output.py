"""The output of `plugchat chats`: five formats, to stdout or to a file that appears complete or not at all."""

import io
import sys
from collections.abc import AsyncIterable, Callable, Generator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Final, Literal, TextIO

from rich.cells import cell_len
from rich.table import Column, Table
from rich.text import Text

from plugchat_async import Chat, InvalidValueError
from plugchat_async._internal.files import AtomicFile, output_errors
from plugchat_async.cli.terminal import escape_json, printable, render_table
from plugchat_async.export.csv_and_json import csv_header, to_csv, to_json
from plugchat_async.export.writers import require_pyarrow, write_parquet

LineFormat = Literal["jsonl", "csv"]
OutputFormat = Literal["table", "json", "jsonl", "csv", "parquet"]

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
}


def choose_format(given: OutputFormat | None, output: Path | None) -> OutputFormat:
    """Return the given format, or the one that fits the file's name or stdout.

    Raises:
        InvalidValueError: The file's name has an unknown suffix, or the format is Parquet for stdout.
        MissingExtraError: Parquet needs pyarrow.
    """
    if given is None and output is None:
        return "table" if sys.stdout.isatty() else "jsonl"
    if given is None and output is not None:
        given = _BY_SUFFIX.get(output.suffix.lower())
        if given is None:
            raise InvalidValueError(f"unknown format {output.suffix}", "Use --format.")
    assert given is not None, "both cases are handled above"
    if given == "parquet":
        if output is None:
            raise InvalidValueError("Parquet can't be written to standard output", "Use --output.")
        require_pyarrow("Parquet")
    return given


def line_format(style: OutputFormat) -> LineFormat | None:
    """Return a format in which chats go out one by one, None if it needs all of them."""
    return style if style in ("jsonl", "csv") else None


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


def line_maker(style: LineFormat, *, terminal: bool) -> Callable[[Chat], str]:
    """Return a function that makes a line of a chat, with its end. Only lines for terminals have names changed."""
    match style, terminal:
        case "jsonl", False:
            return lambda chat: to_json(chat) + "\n"
        case "jsonl", _:
            return lambda chat: escape_json(to_json(chat)) + "\n"
        case _, False:
            return lambda chat: to_csv(chat) + "\n"
        case _:
            return lambda chat: printable(to_csv(chat)) + "\n"


async def write_chats(
    style: OutputFormat,
    walk: AsyncIterable[Chat],
    output: Path | None,
    *,
    when_read: Callable[[], object],
) -> None:
    """Write chats: jsonl and csv while they come, json and table when all are there.

    Args:
        style: The format.
        walk: The chats.
        output: The file, None for stdout.
        when_read: Called when the walk is complete, before json and table are written, to remove a progress display.
    """
    if style == "parquet":
        assert output is not None, "`choose_format` checks it"
        await write_parquet(walk, output)
        return
    with open_output(output) as out:
        await _write_text(style, walk, out, when_read=when_read)


async def _write_text(
    style: Literal["table", "json", "jsonl", "csv"],
    walk: AsyncIterable[Chat],
    out: TextIO,
    *,
    when_read: Callable[[], object],
) -> None:
    begun = False
    match style:
        case "jsonl" | "csv":
            line_of = line_maker(style, terminal=out.isatty())
            head = csv_header() + "\n" if style == "csv" else ""
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
            out.write(render_table(chats_table(found), out))


def chats_table(found: Sequence[Chat]) -> Table:
    """Return a table of chats."""
    # Rows fit into 80 columns, whatever is in them: where room is short, all but the name have their smallest width.
    longest = max((cell_len(chat.id) for chat in found), default=0)
    flags = [_flags_of(chat) for chat in found]
    table = Table(
        Column("name", min_width=9 if longest <= _USUAL_ID else 4, overflow="fold"),
        Column("id", overflow="fold", min_width=_USUAL_ID) if longest > _LONG_ID else Column("id", no_wrap=True),
        Column("unread", justify="right", no_wrap=True),
        Column("last message", no_wrap=True, min_width=16),
        Column("flags", min_width=max(map(len, ["flags", *chain.from_iterable(flags)]))),
        caption="Times are in UTC.",
    )
    for chat, chat_flags in zip(found, flags, strict=True):
        time_ = chat.last_message_time
        # Text, not str: a name in brackets is not markup.
        table.add_row(
            Text(printable(chat.name or "")),
            Text(printable(chat.id)),
            str(chat.unread),
            "" if time_ is None else f"{time_:%Y-%m-%d %H:%M}",
            " ".join(chat_flags),
        )
    return table


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
