"""Report values that could not be read: in one line at the end, not in a warning for each walk."""

import logging
from collections.abc import Callable, Generator
from contextlib import contextmanager

from plugchat_async._pagination.reporting import PROBLEM_WARNING
from plugchat_async._pagination.reporting import logger as walks
from plugchat_async.cli.output import warn
from plugchat_async.watch.watcher import logger as watches


class ProblemNotes(logging.Filter):
    """Collects the warnings about values that could not be read, instead of logging them.

    on_first: called with the first problem of each walk (default None).
    """

    def __init__(self, on_first: Callable[[str], object] | None = None) -> None:
        super().__init__()
        self.first = ""
        self._on_first = on_first

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether a record is logged: it is not, if it is one of those warnings."""
        if record.msg != PROBLEM_WARNING or not isinstance(record.args, tuple):
            return True
        page, problem = record.args
        account = vars(record).get("plugchat_account")
        text = f"{'' if account is None else f'account {account!r}, '}page {page}, {problem}"
        self.first = self.first or text
        if self._on_first is not None:
            self._on_first(text)
        return False


@contextmanager
def kept_problems(notes: ProblemNotes) -> Generator[None]:
    """Keep those warnings off stderr, where they would be mixed into a display."""
    for tells in (walks, watches):
        tells.addFilter(notes)
    try:
        yield
    finally:
        for tells in (walks, watches):
            tells.removeFilter(notes)


def print_problems(count: int, first: str) -> None:
    """Print on stderr how many values could not be read, and the first of them, if it is known."""
    if count:
        values = "1 value" if count == 1 else f"{count} values"
        warn(f"{values} could not be read{f', such as: {first}' if first else ''}")
