"""Report values that could not be read in one line at the end, instead of a logged warning for each walk."""

import logging
from collections.abc import Callable, Generator
from contextlib import contextmanager

from plugchat_async._pagination.walk_reporter import PROBLEM_WARNING
from plugchat_async._pagination.walk_reporter import logger as walk_logger
from plugchat_async.cli.terminal import warn
from plugchat_async.watch.watcher import logger as watch_logger


class ProblemCollector(logging.Filter):
    """Collects the warnings about values that could not be read, instead of logging them.

    Args:
        on_first: Called with the first problem of each walk. Default None.

    Attributes:
        first: The first problem of all walks, "" if there is none.
    """

    def __init__(self, on_first: Callable[[str], object] | None = None) -> None:
        super().__init__()
        self.first = ""
        self._on_first = on_first

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether to log a record: not if it is one of those warnings."""
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
def collect_problems(collector: ProblemCollector) -> Generator[None]:
    """Keep those warnings off stderr, where they would disturb a progress display."""
    for each in (walk_logger, watch_logger):
        each.addFilter(collector)
    try:
        yield
    finally:
        for each in (walk_logger, watch_logger):
            each.removeFilter(collector)


def print_problems(count: int, first: str) -> None:
    """Print on stderr the number of values that could not be read, and the first of them, if known."""
    if count:
        values = "1 value" if count == 1 else f"{count} values"
        warn(f"{values} could not be read{f', such as: {first}' if first else ''}")
