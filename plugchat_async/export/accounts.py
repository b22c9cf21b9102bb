"""export_many: the chats of many accounts into a folder, a file for each; what is finished is not fetched again."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final, Self, Unpack

import msgspec
from attrs import define, field, frozen

from plugchat_async._internal.files import output_errors, remove_stale_parts
from plugchat_async._internal.iterables import Source
from plugchat_async._internal.validation import check_choice, check_function, check_type
from plugchat_async._pagination.runner import LEFT
from plugchat_async.bulk.accounts import Account
from plugchat_async.bulk.fetch import Accounts, BulkOptions, settings_of
from plugchat_async.bulk.names import AccountNames, file_name
from plugchat_async.bulk.workers import AccountResult, WorkerPool
from plugchat_async.errors import InvalidValueError, NotConnectedError, PlugChatError
from plugchat_async.export.manifest import Entry, Layout, Manifest
from plugchat_async.export.merge_people import merge_people as merged
from plugchat_async.export.writers import FileFormat, PathLike, Sink, need_pyarrow, open_sink
from plugchat_async.models import Chat, WalkReport

FAILURES: Final = "failures.jsonl"


@frozen
class AccountExport:
    """What came of one account of an export.

    account: its name. file: where its chats are, or None if it failed. chats: how many. error: why it failed, or None.
    verified: whether its walk is known to have missed nothing, see `WalkReport`; one that the `limit` has ended is not.
    report: what its walk did, if one began. earlier: whether an earlier run had finished it (default False).
    problems: how many of its values could not be read (default 0), see `WalkReport`.
    """

    account: str
    file: Path | None
    chats: int
    error: PlugChatError | None = None
    verified: bool = False
    report: WalkReport | None = None
    skipped: bool = False
    problems: int = 0


@define
class ExportSummary:
    """What came of an export.

    folder: where it is. finished: accounts that this run has fetched. failed: those that it could not. earlier: those
    that an earlier run had finished. chats: how many this run has fetched. unverified: accounts that it has fetched,
    but not verified, those apart that the `limit` has cut off. errors: how many accounts failed by which class of
    error. elapsed: seconds. problems: how many values of the accounts that it has fetched could not be read.
    `not_connected` counts the failed accounts whose phone is not connected to WhatsApp.
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

    @property
    def not_connected(self) -> int:
        """How many of the failed accounts have a phone that is not connected to WhatsApp."""
        return self.errors.get(NotConnectedError.__name__, 0)

    def count(self, export: AccountExport, *, limit: int | None) -> None:
        """Add an account."""
        if export.skipped:
            self.skipped += 1
        elif export.error is not None:
            self.failed += 1
            kind = type(export.error).__name__
            self.errors[kind] = self.errors.get(kind, 0) + 1
        else:
            self.finished += 1
            self.chats += export.chats
            self.problems += export.problems
            # A walk that was left has met the limit, however many chats its rows were merged into; of 0 none begins.
            cut_off = limit is not None and (export.report is None or export.report.reason == LEFT)
            self.unverified += not (export.verified or cut_off)


OnExport = Callable[[AccountExport], object]


async def export_many(
    accounts: Accounts,
    folder: PathLike,
    *,
    format: FileFormat = "jsonl",  # noqa: A002 - what it is
    restart: bool = False,
    merge_people: bool = False,
    concurrency: int = 64,
    on_result: OnExport | None = None,
    **options: Unpack[BulkOptions],
) -> ExportSummary:
    """Write the chats of many accounts into a folder, a file for each, as they come.

    accounts, concurrency, options: as for `fetch_many`.
    folder: where to; it is made if need be. Each account's file bears its name, and appears when it is complete; its
        first column is `account`, the account's name; see `plugchat_async.export` for the others. Characters that file
        systems do not take are written as "%" and two hexadecimal digits. Accounts that fail leave no file, but a line
        in `failures.jsonl`, of this run: account, error, message, hint, status, page.
    format: "jsonl" (default), "csv" or "parquet", which needs the extra `parquet`.
    fresh: fetch all accounts anew, and remove the files of the earlier export (default False: what an earlier run into
        this folder has finished is not fetched again, so an interrupted export goes on when it is called again;
        `_manifest.ndjson` keeps count).
    merge_people: write one chat for each person, as the function `merge_people` makes it (default False: a chat for
        each row of the list). The chats of `concurrency` accounts are then in memory. A `limit` counts rows.
    on_result: a plain function, called with an AccountExport for each account when it is done (default None).

    A failed account is no error. InvalidValueError if two accounts have one name, or names that some file systems can't
    tell apart, or if the folder holds an export in another format or with another `limit` or `merge_people`;
    OutputError if it can't be written, as when the disk is full, or another run writes there; ConfigurationError
    without the extra. In any case finished accounts stay finished, and no half file is left.
    """
    settings = settings_of(options)
    check_choice("format", format, ("jsonl", "csv", "parquet"))
    check_type("restart", restart, bool)
    check_type("merge_people", merge_people, bool)
    check_function("on_result", on_result, "an AccountExport")
    if format == "parquet":
        need_pyarrow("Parquet")
    out = Path(folder)
    names = AccountNames()

    def wanted(account: Account) -> bool:
        names.add(account.name)
        return not record.is_finished(account.name)

    # Checked before anything is written.
    source = Source("accounts", accounts, Account, wanted)
    pool = settings.pool(source, concurrency=concurrency, pages=not merge_people)
    make_folder(out)
    with Record(
        out,
        format,
        "accounts",
        limit=settings.walk.limit,
        merge_people=merge_people,
        restart=restart,
        on_result=on_result,
    ) as record:

        def path_of(name: str) -> Path:
            return out / f"{file_name(name)}.{format}"

        def done(export: AccountExport) -> None:
            if export.error is not None and record.manifest.existed:
                with output_errors(out):  # one that a killed run had finished, but not written down
                    path_of(export.account).unlink(missing_ok=True)
            record.add([export])

        await run_export(pool, lambda name: open_sink(format, path_of(name), name), done)
    return record.summary


class Record:
    """What is written down of an export: the finished accounts, the failures, and the summary.

    Use it in a `with`, which measures the time, too.
    """

    def __init__(
        self,
        folder: Path,
        style: str,
        layout: Layout,
        *,
        limit: int | None,
        merge_people: bool,
        restart: bool,
        on_result: OnExport | None,
    ) -> None:
        self.summary = ExportSummary(folder)
        self._on_result = on_result
        self._limit = limit
        self._started = time.monotonic()
        self.manifest = Manifest(folder, style, layout, limit=limit, merge_people=merge_people, restart=restart)
        try:
            remove_stale_parts(folder)  # no other run writes here now
            self._failures = Failures(folder)
        except BaseException:
            self.manifest.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.summary.elapsed = time.monotonic() - self._started
        try:
            self.manifest.close()
        finally:
            self._failures.close()

    def add(self, exports: Sequence[AccountExport]) -> None:
        """Write down what came of accounts, those that are finished in one file."""
        finished = [export for export in exports if export.file is not None]
        if finished:
            [file] = {export.file.name for export in finished if export.file is not None}
            problems = {export.account: export.problems for export in finished if export.problems}
            # At once, so that all of a file's accounts are finished, or none.
            self.manifest.add(
                Entry(
                    file,
                    {export.account: export.chats for export in finished},
                    [export.account for export in finished if not export.verified],
                    problems or msgspec.UNSET,
                )
            )
        for export in exports:
            if export.error is not None:
                self._failures.add(export)
        for export in exports:
            self._tell(export)

    def is_finished(self, account: str) -> bool:
        """Tell whether an earlier run has finished an account, and count it if so."""
        found = self.manifest.finished.get(account)
        if found is None:
            return False
        file = self.summary.folder / found.file
        self._tell(
            AccountExport(account, file, found.chats, verified=found.verified, skipped=True, problems=found.problems)
        )
        return True

    def _tell(self, export: AccountExport) -> None:
        self.summary.count(export, limit=self._limit)
        if self._on_result is not None:
            self._on_result(export)


async def run_export(pool: WorkerPool, open_: Callable[[str], Sink], done: OnExport) -> None:
    """Write what a crew finds, each account into a sink of its own.

    A crew that gives pages has them written as they come. Of one that gives whole accounts, the rows of each person
    are merged.
    """
    sinks: dict[str, Sink | PlugChatError] = {}
    try:
        while (item := await pool.next()) is not None:
            if isinstance(item, AccountResult):
                name = item.account.name
                sink = sinks.pop(name, None)
                if sink is None and item.error is None:
                    sink = _write(open_(name), merged(item.chats))  # without chats, if it had no pages
                done(_end(item, sink))
            else:
                account, page = item
                sink = sinks.get(account.name)
                if sink is None:
                    sink = sinks[account.name] = open_(account.name)
                if not isinstance(sink, PlugChatError):
                    sinks[account.name] = _write(sink, page.chats)
                del page
            del item, sink
    finally:
        try:
            await pool.close()
        finally:
            for left in sinks.values():
                if not isinstance(left, PlugChatError):
                    left.discard()


def _write(sink: Sink, chats: Sequence[Chat]) -> Sink | PlugChatError:
    """Write some chats. Gives the sink, or the error if the format can't hold them."""
    try:
        sink.write(chats)
    except InvalidValueError as error:
        sink.discard()
        return error
    return sink


def _end(result: AccountResult, sink: Sink | PlugChatError | None) -> AccountExport:
    """End an account's file, as its result says."""
    name, error = result.account.name, result.error
    if isinstance(sink, PlugChatError):
        error = sink
        error.account = name
    elif sink is not None and error is None:
        sink.commit()
        verified = result.report is not None and result.report.verified
        problems = 0 if result.report is None else result.report.problems
        return AccountExport(name, sink.path, sink.rows, verified=verified, report=result.report, problems=problems)
    elif sink is not None:
        sink.discard()
    assert error is not None, "an account without an error has a sink"
    error.__traceback__ = None  # its frames hold pages
    error.checkpoint = None  # what it would go on behind is lost
    return AccountExport(name, None, 0, error, report=result.report)


def make_folder(folder: Path) -> None:
    """Make the folder, if there is none. OutputError if it can't be made."""
    with output_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)


class AttemptFailed(msgspec.Struct, frozen=True):
    """A failed account, as it is written down."""

    account: str
    error: str
    message: str
    hint: str
    status: int | None
    page: int | None


class Failures:
    """The accounts that failed in this run: a file with a line of JSON for each, if there are any."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FAILURES
        self._file: BinaryIO | None = None
        with output_errors(self._path):
            self._path.unlink(missing_ok=True)  # those of the run before

    def add(self, export: AccountExport) -> None:
        """Write one down at once. OutputError if that can't be done."""
        error = export.error
        assert error is not None, "it has failed"
        line = AttemptFailed(
            export.account, type(error).__name__, error.what_happened, error.hint, error.status, error.page
        )
        with output_errors(self._path):
            if self._file is None:
                self._file = self._path.open("ab")
            self._file.write(msgspec.json.encode(line) + b"\n")
            self._file.flush()

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            with output_errors(self._path):
                self._file.close()
