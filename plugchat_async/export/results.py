"""The results of an export: one for each account, and a summary."""

from collections.abc import Callable
from pathlib import Path

from attrs import asdict, define, field, frozen

from plugchat_async._internal.html import html_table
from plugchat_async._pagination.chat_walk import LEFT
from plugchat_async.errors import NotConnectedError, PlugChatError
from plugchat_async.models import WalkReport


@frozen
class AccountExport:
    """The result of one account of an export.

    Attributes:
        account: The account's name.
        file: The file with its chats, or None if it failed.
        chats: The number of chats (0 if the file was kept).
        error: Why it failed, or None.
        verified: Whether its walk is known to have missed nothing, see `WalkReport`. A walk that was ended by `limit`
            is not verified.
        report: The report of its walk, or None if no walk began.
        skipped: Whether an earlier run had finished it (default False).
        problems: The number of its values that could not be read (default 0), see `WalkReport`.
        kept: Whether its list was empty, and `file` is the file of an earlier run, as it was (default False).
    """

    account: str
    file: Path | None
    chats: int
    error: PlugChatError | None = None
    verified: bool = False
    report: WalkReport | None = None
    skipped: bool = False
    problems: int = 0
    kept: bool = False

    @property
    def empty(self) -> bool:
        """Whether this run has read its list, and found no chats. With a limit of 0 nothing is read."""
        return self.error is None and self.report is not None and not self.chats


OnExport = Callable[[AccountExport], object]


@define
class ExportSummary:
    """The result of an export.

    Attributes:
        folder: The folder of the export.
        finished: The number of accounts that this run has fetched and written.
        failed: The number of accounts that this run could not fetch.
        skipped: The number of accounts that an earlier run had finished.
        chats: The number of chats that this run has fetched.
        unverified: The number of fetched accounts that are not verified. Accounts that `limit` has cut off don't count.
        errors: The number of failed accounts by the name of the error's class.
        elapsed: The duration in seconds.
        problems: The number of values in the fetched accounts that could not be read.
        empty: The number of fetched accounts that have no chats: those of `kept`, and some of `finished`.
        kept: The number of accounts whose list was empty, and whose file of an earlier run was kept as it was. They
            count neither as finished nor as failed.
        others: The number of accounts that this run was not given, but which earlier runs have finished: their files
            stay as they were, unless `prune` is given.
        deleted: The number of files of such accounts that were deleted.
    """

    folder: Path
    finished: int = 0
    failed: int = 0
    skipped: int = 0
    chats: int = 0
    unverified: int = 0
    errors: dict[str, int] = field(factory=dict[str, int])
    elapsed: float = 0.0
    problems: int = 0
    empty: int = 0
    kept: int = 0
    others: int = 0
    deleted: int = 0

    @property
    def not_connected(self) -> int:
        """The number of failed accounts whose phone is not connected to WhatsApp."""
        return self.errors.get(NotConnectedError.__name__, 0)

    def _repr_html_(self) -> str:
        return html_table((asdict(self, recurse=False) | {"not_connected": self.not_connected}).items())

    def count(self, export: AccountExport, *, limit: int | None) -> None:
        """Add an account."""
        if export.skipped:
            self.skipped += 1
        elif export.error is not None:
            self.failed += 1
            name = type(export.error).__name__
            self.errors[name] = self.errors.get(name, 0) + 1
        else:
            self.empty += export.empty
            if export.kept:
                self.kept += 1
                return
            self.finished += 1
            self.chats += export.chats
            self.problems += export.problems
            # A walk that was left has reached the limit, even if its rows were merged into fewer chats. With a limit of
            # 0 no walk begins.
            cut_off = limit is not None and (export.report is None or export.report.reason == LEFT)
            self.unverified += not (export.verified or cut_off)
