"""Text for terminals: errors and warnings on stderr, tables and coloured lines, without control characters."""

import io
import json
import os
import sys
from collections.abc import Generator
from contextlib import contextmanager, suppress
from typing import Final, TextIO

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

# Parts of emoji, though Python calls them not printable.
_JOINERS: Final = "\u200d\ufe0f"
# The width of tables outside of a terminal, so that rows stay whole.
_WIDTH: Final = 160


def printable(text: str) -> str:
    """Replace characters that can control a terminal, since names are other people's text. Joiners in emoji stay."""
    return "".join(c if c.isprintable() or c in _JOINERS else "\ufffd" for c in text)


def escape_json(text: str) -> str:
    """Return equivalent JSON with escapes for characters that can control a terminal. Line ends and joiners stay."""
    return "".join(c if c.isprintable() or c in f"{_JOINERS}\n" else json.dumps(c)[1:-1] for c in text)


# The console of the live line at the bottom of the terminal, while there is one.
_live: Console | None = None


@contextmanager
def live_line(console: Console) -> Generator[None]:
    """Keep a live line of this console below all that is told in this block."""
    global _live  # noqa: PLW0603 - a process has one stderr
    _live = console
    try:
        yield
    finally:
        _live = None


def tell(text: str) -> None:
    """Write on stderr, above a live line. If nobody reads it, what the command does for stdout and files goes on."""
    try:
        if _live is None:
            sys.stderr.write(text)
        else:
            _live.out(text, end="", highlight=False)
    except OSError:
        discard(sys.stderr)


def discard(stream: TextIO) -> None:
    """Redirect stdout or stderr to the null device: Python flushes it at exit, and ends with 120 if that fails."""
    with suppress(io.UnsupportedOperation):  # it is not a file
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def print_failure(what_happened: str, hint: str) -> None:
    """Print on stderr what happened and what to do."""
    tell(_marked("error: ", "bold red", what_happened, sys.stderr))
    tell(_marked("what to do: ", "bold", hint, sys.stderr))


def warn(text: str) -> None:
    """Print a warning on stderr, in one line."""
    tell(_marked("warning: ", "bold yellow", printable(text), sys.stderr))


def marked_line(mark: str, style: str, text: str, out: TextIO) -> str:
    """Return a line for `out` that begins with a mark, which is coloured if `out` is a terminal with colours."""
    return _marked(mark, style, f" {printable(text)}", out)


def _marked(mark: str, style: str, text: str, out: TextIO) -> str:
    # Text, because if rich wrote to a closed pipe itself, it would end the process with code 1.
    console = Console(file=out, soft_wrap=True, highlight=False)
    line = mark + text
    shown = Text(_broken(line, console.width) if out.isatty() else line)
    shown.stylize(style, 0, len(mark))
    with console.capture() as captured:
        console.print(shown)
    return captured.get()


def _broken(line: str, width: int) -> str:
    """Return a line broken between words, where terminals break it anywhere. A long URL stays whole, to be copied."""
    first, *words = line.split(" ")
    lines = [first]
    for word in words:
        if cell_len(lines[-1]) + 1 + cell_len(word) <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(f"  {word}")
    return "\n".join(lines)


def render_table(table: Table, out: TextIO) -> str:
    """Return a table as text for `out`."""
    # As text, for the same reason.
    console = Console(file=out, width=None if out.isatty() else _WIDTH)
    unlimited = console.options.update(max_width=_WIDTH)
    if console.measure(table, options=unlimited).maximum > console.width:
        # rich would take room from all columns alike, and then cut off what has its smallest width.
        for column in table.columns[1:]:
            column.width = column.min_width
    # In a very narrow terminal, lines wrap rather than cut off phones.
    first = table.columns[0]
    first.max_width = first.min_width
    minimum = console.measure(table, options=unlimited).minimum
    first.max_width = None
    if minimum > console.width:
        console.width, first.width = minimum, first.min_width
    with console.capture() as captured:
        console.print(table)
    return captured.get()
