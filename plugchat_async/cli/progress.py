"""Progress displays on a terminal: pages, accounts and rates."""

from collections.abc import Callable, Generator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from plugchat_async import Page
from plugchat_async.export.results import AccountExport, OnExport


def _display() -> Console | None:
    """Return stderr, if it is a terminal that can show a display."""
    console = Console(stderr=True)
    # If FORCE_COLOR is set, such as for coloured logs of CI, rich takes anything for a terminal.
    return console if console.is_terminal and console.file.isatty() else None


@contextmanager
def walk_progress(*, shown: bool) -> Generator[Callable[[Page], object] | None]:
    """Show pages, chats and rate on stderr while a walk runs, if stderr is a terminal and `shown` is true."""
    console = _display()
    if console is None or not shown:
        yield None
        return
    columns = (
        SpinnerColumn(),
        TextColumn("{task.fields[pages]} pages, {task.completed:.0f} chats, {task.fields[rate]:,.0f} chats/s"),
        TimeElapsedColumn(),
    )
    # Without this, rich would redirect stdout, which is for data.
    with Progress(*columns, console=console, transient=True, redirect_stdout=False, redirect_stderr=False) as display:
        task_id = display.add_task("", total=None, pages=0, rate=0.0)
        task = display.tasks[0]

        def on_page(page: Page) -> None:
            seen = task.completed + len(page.chats)
            rate = seen / elapsed if (elapsed := task.elapsed) else 0.0
            display.update(task_id, completed=seen, pages=task.fields["pages"] + 1, rate=rate)

        yield on_page


@contextmanager
def bulk_progress(accounts: int) -> Generator[OnExport | None]:
    """Show finished and failed accounts, chats per second and the remaining time on stderr, if it is a terminal."""
    console = _display()
    if console is None:
        yield None
        return
    columns = (
        SpinnerColumn(),
        TextColumn("{task.completed:.0f} of {task.total:.0f} accounts, {task.fields[failed]} failed"),
        BarColumn(),
        TextColumn("{task.fields[rate]:,.0f} chats/s,"),
        TimeRemainingColumn(elapsed_when_finished=True),
        TextColumn("left"),
    )
    with Progress(*columns, console=console, transient=True, redirect_stdout=False, redirect_stderr=False) as display:
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
