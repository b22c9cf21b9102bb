"""Report a walk to telemetry, to the log, and to the caller's `on_report`."""

import logging
from typing import Final

from attrs import asdict, define, field

from plugchat_async._pagination.options import WalkSettings
from plugchat_async._pagination.page_source import WalkObserver
from plugchat_async._pagination.walk_state import WalkConfig
from plugchat_async.errors import ConsistencyError, PlugChatError
from plugchat_async.models import Page, WalkReport

logger = logging.getLogger("plugchat_async.walk")

# Logged once a walk: the page, and its first problem. A gateway that has changed its spelling would fill the log.
PROBLEM_WARNING: Final = (
    "page %d, %s. Such values are read as the field's default, such rows are left out; `Page.problems` has the others"
)


@define(eq=False, repr=False)
class WalkReporter:
    """Reports one walk.

    Attributes:
        account: The account's name, where there are many.
        settings: The options of the walk.
        observer: Follows the walk, if there is telemetry.
        problems: The number of values that could not be read.
        saw_unreadable: Whether a page had rows that could not be read as chats.
    """

    _account: str | None
    _settings: WalkSettings
    _observer: WalkObserver | None
    problems: int = field(default=0, init=False)
    saw_unreadable: bool = field(default=False, init=False)

    def begin(self, config: WalkConfig) -> None:
        """Report that the walk begins."""
        if self._observer is not None:
            self._observer.begin(
                consistency=config.consistency,
                page_size=config.page_size,
                prefetch=self._settings.prefetch,
                account=self._account,
            )

    def note_problems(self, page: Page) -> None:
        """Count the values of a page that could not be read, and log the first one of the walk."""
        if not page.problems:
            return
        if not self.problems:
            fields = {"plugchat_account": self._account, "plugchat_page": page.number}
            logger.warning(PROBLEM_WARNING, page.number, page.problems[0], extra=fields)
        self.problems += page.problem_count
        self.saw_unreadable = self.saw_unreadable or page.unreadable > 0

    def end(self, report: WalkReport, error: PlugChatError | None, *, left: bool, provable: bool) -> None:
        """Report that the walk has ended.

        Args:
            report: What it has done.
            error: The error that ended it, if one did.
            left: Whether it ended before the end of the list.
            provable: Whether it could have been verified.

        Raises:
            ConsistencyError: The walk should be verified, and is not.
        """
        unverified = provable and not left and not report.verified
        if unverified and self._settings.require_verified:
            error = ConsistencyError(f"the walk is not verified: {report.reason}", reason=report.reason)
        if self._observer is not None:
            self._observer.end(report, error)
        account = {"plugchat_account": self._account}
        if logger.isEnabledFor(logging.DEBUG):
            fields = account | {f"plugchat_{name}": value for name, value in asdict(report).items()}
            logger.debug("%r", report, extra=fields)
        if self._settings.on_report is not None:
            try:
                self._settings.on_report(report)
            except Exception as failure:  # the caller's function may raise anything
                if not left:
                    raise
                # It must not take the place of the error that ended the walk.
                fields = account | {"plugchat_error": type(failure).__name__, "plugchat_reason": report.reason}
                logger.exception("on_report failed", extra=fields)
        if isinstance(error, ConsistencyError):
            raise error
        if unverified:
            fields = account | {"plugchat_reason": report.reason}
            logger.warning("the walk is not verified, items may have been missed: %s", report.reason, extra=fields)
