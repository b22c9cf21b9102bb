"""Live lines at the bottom of a terminal: what a command waits for, pages, accounts and rates."""

import os
import stat
import sys
from collections.abc import Generator
from contextlib import contextmanager, nullcontext

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from plugchat_async import Page
from plugchat_async.cli.signals import is_stopping, shielded
from plugchat_async.cli.terminal import live_line
from plugchat_async.export.results import AccountExport, OnExport


class LiveLine:
    """A live line, or nothing where none can be shown."""

    def __init__(self, display: Progress | None = None) -> None:
        self._display = display

    def close(self) -> None:
        """Remove it."""
        if self._display is not None:
            _stop(self._display)

    @contextmanager
    def hidden(self) -> Generator[None]:
        """Remove it in this block, which writes to stdout: that may be the same terminal."""
        if self._display is None or not self._display.live.is_started or not sys.stdout.isatty():
            yield
            return
        _stop(self._display)
        yield
        with shielded():
            self._display.start()


class WalkLine(LiveLine):
    """A live line with the pages and chats of a walk."""

    def on_page(self, page: Page) -> None:
        """Count a page."""
        if self._display is not None:
            [task] = self._display.tasks
            seen = task.completed + len(page.chats)
            rate = seen / elapsed if (elapsed := task.elapsed) else 0.0
            self._display.update(task.id, completed=seen, pages=task.fields["pages"] + 1, rate=rate)


def _console() -> Console | None:
    """Return stderr, if it is a terminal that can show a live line."""
    console = Console(stderr=True)
    # If FORCE_COLOR is set, such as for coloured logs of CI, rich takes anything for a terminal. What reads a pipe
    # usually writes to the same terminal, and its lines would be mixed with ours.
    return console if console.is_interactive and console.file.isatty() and not _writes_into_a_pipe() else None


def _writes_into_a_pipe() -> bool:
    try:
        mode = os.fstat(sys.stdout.fileno()).st_mode
    except (OSError, ValueError):  # ValueError: it is no file, or closed
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)


@contextmanager
def _shown(*columns: ProgressColumn) -> Generator[Progress | None]:
    console = _console()
    if console is None:
        yield None
        return
    # Without this, rich would redirect stdout, which is for data.
    display = Progress(
        SpinnerColumn(), *columns, console=console, transient=True, redirect_stdout=False, redirect_stderr=False
    )
    with live_line(console):
        try:
            # In its middle, a signal would leave a terminal without a cursor.
            with shielded():
                display.start()
            yield display
        finally:
            _stop(display)


def _stop(display: Progress) -> None:
    # A second signal waits for nothing, such as a terminal that has stopped its output.
    with nullcontext() if is_stopping() else shielded():
        display.stop()


@contextmanager
def waiting(text: str) -> Generator[LiveLine]:
    """Show on stderr what the command waits for, and for how long, if stderr is a terminal."""
    # Text, not markup: it may contain a URL or a name.
    with _shown(_PlainColumn(), TimeElapsedColumn()) as display:
        if display is not None:
            display.add_task(text, total=None)
        yield LiveLine(display)


class _PlainColumn(ProgressColumn):
    def render(self, task: Task) -> Text:
        """Return the task's description."""
        return Text(task.description)


@contextmanager
def walk_progress(noun: str = "chat") -> Generator[WalkLine]:
    """Show pages, items and rate on stderr while a walk runs, if stderr is a terminal.

    Args:
        noun: The name of an item, in the singular (default "chat").
    """
    text = f"{{task.fields[pages]}} pages, {{task.completed:.0f}} {noun}s, {{task.fields[rate]:,.0f}} {noun}s/s"
    with _shown(TextColumn(text), TimeElapsedColumn()) as display:
        if display is not None:
            display.add_task("", total=None, pages=0, rate=0.0)
        yield WalkLine(display)


@contextmanager
def bulk_progress(accounts: int) -> Generator[OnExport | None]:
    """Show finished and failed accounts, chats per second and the remaining time on stderr, if it is a terminal."""
    columns = (
        TextColumn("{task.completed:.0f} of {task.total:.0f} accounts, {task.fields[failed]} failed"),
        BarColumn(bar_width=10),
        TextColumn("{task.fields[rate]:,.0f} chats/s,"),
        TimeRemainingColumn(),
        TextColumn("left"),
    )
    with _shown(*columns) as display:
        if display is None:
            yield None
            return
        task_id = display.add_task("", total=accounts, failed=0, rate=0.0)
        task = display.tasks[0]
        chats = 0

        def on_result(export: AccountExport) -> None:
            nonlocal chats
            if export.skipped:  # takes no time, so it is left out of the estimate
                display.update(task_id, total=(task.total or 0) - 1)
                return
            chats += export.chats
            rate = chats / elapsed if (elapsed := task.elapsed) else 0.0
            failed = task.fields["failed"] + (export.error is not None)
            display.update(task_id, advance=1, failed=failed, rate=rate)

        yield on_result
