"""The log of a command, on stderr: warnings, with `-v` or PLUGCHAT_LOG=info each request, with `-vv` each walk."""

import logging
import os
from collections.abc import Generator
from contextlib import contextmanager
from typing import Annotated, Final

from attrs import frozen
from cyclopts import Parameter

from plugchat_async._http.telemetry import Reason
from plugchat_async.cli.terminal import printable, tell, warn
from plugchat_async.errors import InvalidValueError, PlugChatError
from plugchat_async.models import WalkReport

LOG_VARIABLE: Final = "PLUGCHAT_LOG"
_LEVELS: Final = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}

VerboseOption = Annotated[
    int,
    Parameter(
        name=["--verbose", "-v"],
        count=True,
        negative=(),
        show_default=False,
        help="Log each request and each retry on stderr; -vv: also a report of each walk. "
        f"{LOG_VARIABLE}=info or debug does the same for all commands; {LOG_VARIABLE}=error silences warnings.",
    ),
]

logger = logging.getLogger("plugchat_async.cli")
_package_logger: Final = logging.root.getChild("plugchat_async")


class _Handler(logging.Handler):
    """Writes records on stderr in the manner of the command's other text."""

    _formatter = logging.Formatter(datefmt="%H:%M:%S")

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record, with its account where there are many. What a server sent must not control the terminal."""
        account = vars(record).get("plugchat_account")
        text = f"{'' if account is None else f'{account}: '}{record.getMessage()}"
        if record.levelno >= logging.WARNING:
            warn(text)
        else:
            time = self._formatter.formatTime(record, self._formatter.datefmt)
            tell(f"{printable(f'{time} {text}')}\n")


@contextmanager
def log_on_stderr() -> Generator[None]:
    """Log on stderr in this block, from the level of PLUGCHAT_LOG.

    Raises:
        InvalidValueError: PLUGCHAT_LOG is not a level.
    """
    name = os.environ.get(LOG_VARIABLE, "").strip().lower() or "warning"
    if name not in _LEVELS:
        raise InvalidValueError(f"{LOG_VARIABLE} is not a level", f"Use one of {', '.join(_LEVELS)}.")
    before = _package_logger.level
    handler = _Handler()
    _package_logger.addHandler(handler)
    _package_logger.setLevel(_LEVELS[name])
    try:
        yield
    finally:
        _package_logger.removeHandler(handler)
        _package_logger.setLevel(before)


def be_verbose(count: int) -> None:
    """Log more until the command ends: 1 for each request and retry, 2 also for each walk."""
    if count:
        level = logging.INFO if count == 1 else logging.DEBUG
        _package_logger.setLevel(min(level, _package_logger.level or level))


@frozen
class RequestLog:
    """A `Telemetry` that logs each request when it has ended."""

    _account: str | None = None

    @staticmethod
    def is_shown() -> bool:
        """Whether requests are logged."""
        return logger.isEnabledFor(logging.INFO)

    def walk(self, *, consistency: str, page_size: int, prefetch: int, account: str | None) -> "RequestLog":  # noqa: ARG002 - of the protocol
        """Begin a walk."""
        return RequestLog(account)

    def page(self, number: int, size: int) -> "_PageLog":  # noqa: ARG002 - of the protocol
        """Begin a page."""
        return _PageLog(self._account)

    def end(self, report: WalkReport, error: PlugChatError | None) -> None:
        """End a walk: its report has a record of its own."""


@frozen
class _PageLog:
    _account: str | None

    def attempt(self, *, url: str, path: str, server: str, port: int, resends: int) -> "_AttemptLog":  # noqa: ARG002 - of the protocol
        return _AttemptLog(url, self._account)

    def resend(self, reason: Reason, error: PlugChatError, *, wait: float, repair: str) -> None:
        """A resend has a record of its own."""

    def hold(self, seconds: float) -> None:
        """The record of the 429 has said it."""

    def end(self, chats: int | None, error: BaseException | None) -> None:
        """A page ends with its last attempt."""


@frozen
class _AttemptLog:
    _url: str
    _account: str | None

    def end(self, status: int | None, error: BaseException | None, seconds: float) -> None:
        log_request(self._url, status, type(error).__name__, seconds, account=self._account)


def log_request(url: str, status: int | None, error: str, seconds: float, *, account: str | None = None) -> None:
    """Log a request that has ended, with its status or the name of its error."""
    fields = {"plugchat_account": account, "plugchat_status": status, "plugchat_elapsed": seconds}
    outcome = f"HTTP {status}" if status else error
    logger.info("GET %s: %s in %.3f s", url, outcome, seconds, extra=fields)
