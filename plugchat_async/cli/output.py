"""How the command line shows things: chats in four formats, files that appear whole, progress, errors."""

import io
import json
import sys
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Literal, TextIO

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from plugchat_async import (
    Chat,
    ConsistencyError,
    InvalidValueError,
    OutputError,
    PlugChatError,
    WalkReport,
)
from plugchat_async._internal.files import AtomicFile, output_errors, write_private
from plugchat_async._pagination import Consistency, unpack
from plugchat_async.errors import NotConnectedError
from plugchat_async.export.accounts import ExportSummary
from plugchat_async.export.rows import csv_header, to_csv, to_json
from plugchat_async.export.writers import need_pyarrow, write_parquet

Format = Literal["table", "json", "jsonl", "csv", "parquet"]

_BY_SUFFIX: Final[dict[str, Format]] = {
    "": "jsonl",
    ".jsonl": "jsonl",
    ".json": "json",
    ".csv": "csv",
    ".txt": "table",
    ".parquet": "parquet",
}


def complain(what_happened: str, hint: str) -> None:
    """Say on stderr what happened and what to do."""
    console = Console(stderr=True, soft_wrap=True, highlight=False)
    console.print(Text.assemble(("error: ", "bold red"), what_happened))
    console.print(Text.assemble(("what to do: ", "bold"), hint))


def print_error(error: PlugChatError, going_on: str = "") -> None:
    """Say on stderr what an error says, and how to go on."""
    complain(error.what_happened, error.hint + going_on)


def warn(text: str) -> None:
    """Say on stderr, in a line, what is to be looked at. Nothing in the text can steer the terminal."""
    console = Console(stderr=True, soft_wrap=True, highlight=False)
    console.print(Text.assemble(("warning: ", "bold yellow"), printable(text)))


def print_report(report: WalkReport) -> None:
    """Say on stderr what a walk did."""
    verdict = "verified" if report.verified else f"not verified: {report.reason}"
    sys.stderr.write(
        f"report: rows read {report.chats}, pages {report.pages}, requests {report.requests}, passes {report.passes}, "
        f"duplicates left out {report.duplicates}, late finds {report.recovered}, "
        f"values that could not be read {report.problems}, seconds {report.elapsed:.2f}; {verdict}\n"
    )


def read_checkpoint(file: Path | None) -> str | None:
    """Give what `going_on` has written, or None if it has not. InvalidValueError for what can't be read."""
    if file is None:
        return None
    if not file.parent.is_dir():
        raise InvalidValueError(f"there is no folder for the checkpoint {file}", "Name another --checkpoint.")
    try:
        if not file.exists():
            return None
        text = file.read_text("ascii").strip()
        unpack(text)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it holds none"
        raise InvalidValueError(f"can't read the checkpoint {file}: {reason}", "Name another --checkpoint.") from None
    return text


def forget_checkpoint(file: Path | None) -> None:
    """Remove a checkpoint from which nothing is to be gone on."""
    if file is not None:
        file.unlink(missing_ok=True)


def going_on(error: PlugChatError, file: Path | None, consistency: Consistency) -> str:
    """Say how to go on with a walk whose chats went out; the checkpoint is written into `file` for that."""
    if isinstance(error, ConsistencyError):
        forget_checkpoint(file)  # all went out
        return ""
    if file is not None and error.checkpoint is not None:
        forget_checkpoint(file)  # the one before is too old already
        sys.stdout.flush()  # what does not arrive must not be passed over next time
        try:
            write_private(file, error.checkpoint + "\n")  # it holds phones, lids and names
        except OutputError as problem:
            return f" What was written is good, but the checkpoint is lost: {problem.message}."
        return " The same command goes on behind what was written."
    if error.page is None or error.page == 1:
        return ""
    if consistency == "plain":
        return (
            " What was written is good; go on with "
            f"--consistency plain --start-page {error.page} --page-size {error.page_size}."
        )
    return " What was written is good; with --checkpoint FILE it can be gone on with next time."


def style_for(style: Format | None, output: Path | None) -> Format:
    """Give the format that was asked for, or that fits stdout or a file's name.

    InvalidValueError for a name that says none, and for Parquet on stdout; MissingExtraError without pyarrow.
    """
    if style is None and output is None:
        return "table" if sys.stdout.isatty() else "jsonl"
    if style is None and output is not None:
        style = _BY_SUFFIX.get(output.suffix.lower())
        if style is None:
            raise InvalidValueError(f"no format is known by the name {output.suffix}", "Give --format.")
    assert style is not None, "it was given, or found"
    if style == "parquet":
        if output is None:
            raise InvalidValueError("Parquet is no text for standard output", "Name an --output.")
        need_pyarrow("Parquet")
    return style


@contextmanager
def opened(output: Path | None) -> Generator[TextIO]:
    """Give stdout, or a file that takes its name only when it is complete. OutputError if that can't be written."""
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


def summary_table(summary: ExportSummary) -> Table:
    """Lay out what came of an export."""
    # Text, not str: a folder's name is no markup.
    table = Table("", Column("", justify="right"), title=Text(printable(str(summary.folder))), show_header=False)
    table.add_row("accounts finished", str(summary.finished))
    if summary.skipped:
        table.add_row("finished by an earlier run", str(summary.skipped))
    table.add_row("accounts failed", str(summary.failed))
    if summary.not_connected:
        table.add_row("  phone not connected", str(summary.not_connected))
    for error, count in sorted(summary.errors.items()):
        if error != NotConnectedError.__name__:
            table.add_row(f"  {error}", str(count))
    if summary.unverified:
        table.add_row("finished, but chats may be missing", str(summary.unverified))
    if summary.problems:
        table.add_row("values that could not be read", str(summary.problems))
    table.add_row("chats", f"{summary.chats:,}")
    table.add_row("seconds", f"{summary.elapsed:.1f}")
    table.add_row("chats a second", f"{summary.chats / summary.elapsed:,.0f}" if summary.elapsed else "")
    return table


async def write_chats(
    style: Format,
    walk: AsyncGenerator[Chat, None],
    output: Path | None,
    *,
    header: bool,
    when_read: Callable[[], object],
) -> None:
    """Write a walk's chats to a file or stdout; jsonl and csv as they come, json and table when all are there.

    header: whether csv begins with the names of its columns. when_read: called when all are there, before they are
    written: it takes a display off the terminal.
    """
    if style == "parquet":
        assert output is not None, "`style_for` asks for it"
        await write_parquet(walk, output)
        return
    with opened(output) as out:
        await _write_text(style, walk, out, header=header, when_read=when_read)


async def _write_text(
    style: Literal["table", "json", "jsonl", "csv"],
    walk: AsyncGenerator[Chat, None],
    out: TextIO,
    *,
    header: bool,
    when_read: Callable[[], object],
) -> None:
    head = csv_header() + "\n" if header else ""
    # Pipes and files get each text as it is.
    safe_json, safe_text = (escaped_json, printable) if out.isatty() else (str, str)
    match style:
        case "jsonl":
            async for chat in walk:
                out.write(safe_json(to_json(chat)) + "\n")
        case "csv":
            async for chat in walk:
                out.write(head + safe_text(to_csv(chat)) + "\n")
                head = ""
            out.write(head)
        case "json":
            # Whole or not at all: half an array is no JSON.
            lines = [safe_json(to_json(chat)) async for chat in walk]
            when_read()
            out.write("[\n" + ",\n".join(lines) + "\n]\n" if lines else "[]\n")
        case "table":
            found = [chat async for chat in walk]
            when_read()
            out.write(drawn(chats_table(found), out))


def drawn(table: Table, out: TextIO) -> str:
    """Draw a table into a text for `out`: where rich writes itself, a closed pipe ends the process with code 1."""
    # Without a terminal to fit into, rows stay whole.
    console = Console(file=out, width=None if out.isatty() else 160)
    # What is too narrow for it breaks lines, which is better than phones that are cut off. Long words may be folded.
    folding = [column for column in table.columns if column.overflow == "fold"]
    for column in folding:
        column.max_width = column.min_width
    needed = console.measure(table, options=console.options.update(max_width=160)).minimum
    for column in folding:
        column.max_width = None
    console.width = max(console.width, needed)
    with console.capture() as captured:
        console.print(table)
    return captured.get()


def marked(mark: str, style: str, text: str, out: TextIO) -> str:
    """Give a line for `out` that begins with a mark, in colour where `out` is a terminal that shows any."""
    console = Console(file=out, soft_wrap=True, highlight=False)
    with console.capture() as captured:
        console.print(Text.assemble((mark, style), " ", printable(text)))
    return captured.get()


def chats_table(found: Sequence[Chat]) -> Table:
    """Lay chats out as a table."""
    table = Table(
        # With the id of a group, of 24 characters, and the longest of the flags, a row fits into 80.
        Column("name", min_width=9, overflow="fold"),
        Column("id", no_wrap=True),
        Column("unread", justify="right", no_wrap=True),
        Column("last message", no_wrap=True, min_width=16),
        Column("flags", min_width=5),
        caption="Times are in UTC.",
    )
    for chat in found:
        time_ = chat.last_message_time
        # Text, not str: a name in brackets is no markup.
        table.add_row(
            Text(printable(chat.name or "")),
            Text(printable(chat.id)),
            str(chat.unread),
            "" if time_ is None else f"{time_:%Y-%m-%d %H:%M}",
            " ".join(_flags_of(chat)),
        )
    return table


def _flags_of(chat: Chat) -> list[str]:
    """Return what is unusual about a chat: its kind, unless it is a person, and the flags that are set."""
    flags = (
        (chat.kind, chat.kind != "person"),
        ("pinned", chat.is_pinned),
        ("archived", chat.is_archived),
        ("muted", chat.is_muted),
        ("spam", chat.is_marked_spam),
    )
    return [name for name, on in flags if on]


# They are not printable, but parts of emoji.
_JOINERS: Final = "\u200d\ufe0f"


def printable(text: str) -> str:
    """Take out what would steer a terminal: a name is another person's text. Joiners, as in emoji, stay."""
    return "".join(c if c.isprintable() or c in _JOINERS else "\ufffd" for c in text)


def escaped_json(text: str) -> str:
    """Return the same JSON, with escapes for all that would steer a terminal. Line ends and joiners stay."""
    return "".join(c if c.isprintable() or c in f"{_JOINERS}\n" else json.dumps(c)[1:-1] for c in text)
