"""One run of an export: its options, and its record of finished and failed accounts."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path, PurePath
from secrets import token_hex
from types import TracebackType
from typing import Any, BinaryIO, Final, Self, cast

import msgspec
from attrs import fields, frozen

from plugchat_async._internal.clock import Clock
from plugchat_async._internal.files import flush_folder, flush_to_disk, output_errors
from plugchat_async._internal.links import resolve
from plugchat_async._internal.validation import check_function, check_int, check_options, check_type
from plugchat_async._items import columns_of
from plugchat_async.bulk.accounts import Account
from plugchat_async.bulk.fetch import BulkOptions, BulkSettings, settings_of
from plugchat_async.bulk.names import AccountNames, file_name
from plugchat_async.bulk.workers import MAX_CONCURRENCY
from plugchat_async.calls import CALLS, CHATS, Call
from plugchat_async.errors import InvalidValueError
from plugchat_async.export.csv_and_json import ACCOUNT, CsvDialect, json_line
from plugchat_async.export.folder import FAILURES, parts_folder, remove_parts
from plugchat_async.export.manifest import Manifest
from plugchat_async.export.manifest_lines import Layout, ManifestEntry
from plugchat_async.export.results import AccountExport, ExportSummary, OnExport
from plugchat_async.models import Chat

_EMPTY_HINT: Final = (
    "Check that the account's phone is connected, for example with `plugchat status`. If the account really has no "
    "chats, delete its file, or use --allow-empty (allow_empty=True in Python)."
)


class ExportOptions(BulkOptions, total=False):
    """The keyword options of `export_many` and `fetch_many_dask`, for functions that pass them on.

    All `BulkOptions` belong to them.

    Attributes:
        concurrency: The number of accounts to fetch at a time (default 64).
        restart: Whether to fetch all accounts again (default False: an account that an earlier run has finished is
            skipped). The earlier file of an account is kept until the new one is complete. A part of `fetch_many_dask`
            is deleted at the end of a complete run when each of its accounts has a new one, or is not in `accounts`.
        prune: Whether to delete, at the end of a complete run, the files of accounts that are not in `accounts`, but
            were in those of earlier runs (default False: they stay).
        allow_empty: Whether to believe that an account has no chats (default False: its list is also empty while its
            phone is not connected, so it does not replace a file that has chats, and an account without chats is
            fetched again by the next run).
        merge_people: Whether to write one chat for each person, as the function `merge_people` does (default False: one
            for each row of the list). The chats of `concurrency` accounts are then held in memory. A `limit` counts
            rows.
        sync: Whether the files of an account are on disk before it counts as finished (default True), so that finished
            accounts outlast a loss of power. Without, an export of many small accounts is faster.
        on_result: A plain function, called with the AccountExport of each account (default None).
    """

    concurrency: int
    restart: bool
    prune: bool
    allow_empty: bool
    merge_people: bool
    sync: bool
    on_result: OnExport | None


@frozen(kw_only=True)
class ExportSettings:
    """The values of `ExportOptions` other than those of `BulkOptions`, checked."""

    concurrency: int = 64
    restart: bool = False
    prune: bool = False
    allow_empty: bool = False
    merge_people: bool = False
    sync: bool = True
    on_result: OnExport | None = None

    def __attrs_post_init__(self) -> None:
        check_int("concurrency", self.concurrency, minimum=1, maximum=MAX_CONCURRENCY)
        check_type("restart", self.restart, bool)
        check_type("prune", self.prune, bool)
        check_type("allow_empty", self.allow_empty, bool)
        check_type("merge_people", self.merge_people, bool)
        check_type("sync", self.sync, bool)
        check_function("on_result", self.on_result, "an AccountExport")


def check_export_options(options: ExportOptions) -> tuple[ExportSettings, BulkSettings]:
    """Check options, and return their values.

    Takes them out of `options`, where they may hold a password: tracebacks may show the caller's frame.
    """
    check_options(list(options), ExportOptions)
    values = cast("dict[str, Any]", options)
    own = {field.name: values.pop(field.name) for field in fields(ExportSettings) if field.name in values}
    bulk = settings_of(options)
    settings = ExportSettings(**own)
    if settings.merge_people and bulk.call.item is not Chat:
        raise InvalidValueError("merge_people merges chats, not the items of another call", "Leave out merge_people.")
    item: Any = bulk.call.item
    if ACCOUNT in columns_of(item):
        raise InvalidValueError(
            f"{item.__name__} has a field `{ACCOUNT}`, the name of the column with the account's name",
            "Rename the field, or write one account with write_jsonl, write_csv or write_parquet.",
        )
    return settings, bulk


def _name_of(call: Call[Any]) -> str:
    """Return what distinguishes exports of a call: its path and, as it chooses the columns, a class of one's own."""
    known = any((call.path, call.item) == (one.path, one.item) for one in CALLS)
    return call.path if known else f"{call.path} as {call.item.__name__}"


def _is_own_file(file: str, account: str) -> bool:
    """Return whether a file is not a part with several accounts."""
    return PurePath(file).stem == file_name(account)


class ExportRun:
    """The record of a run: the manifest of finished accounts, the log of failed ones, and the summary.

    Use it in a `with` statement, which also measures the time. Only `needs` and `tell` do not write to the disk.

    Attributes:
        id: The id of this run.
        manifest: The finished accounts, those of earlier runs included.
        parts: Where files are until they are complete.
        summary: The counts of this run.

    Raises:
        InvalidValueError: The folder holds another kind of export.
        OutputError: The folder can't be written, or another run is writing to it.
    """

    def __init__(
        self,
        folder: Path,
        settings: ExportSettings,
        *,
        file_format: str,
        layout: Layout,
        limit: int | None,
        dialect: CsvDialect = "rfc4180",
        call: Call[Any] = CHATS,
        clock: Clock | None = None,
    ) -> None:
        self.id = token_hex(4)
        self.summary = ExportSummary(folder)
        self._settings = settings
        self._limit = limit
        self._names = AccountNames()
        self._clock = clock or Clock()
        self._started = self._clock.monotonic()
        self._run_started = f"{datetime.fromtimestamp(self._clock.time(), UTC):%Y-%m-%dT%H:%M:%SZ}"
        self.manifest = Manifest(
            folder,
            file_format,
            layout,
            limit=limit,
            dialect=dialect,
            merge_people=settings.merge_people,
            call=_name_of(call),
            restart=settings.restart,
            sync=settings.sync,
        )
        try:
            with output_errors(folder):
                self.parts = parts_folder(folder)
            remove_parts(folder)  # the lock of the manifest keeps other runs out
            self._failures = FailureLog(folder, sync=settings.sync)
        except BaseException:
            self.manifest.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.summary.elapsed = self._clock.monotonic() - self._started
        try:
            if exc_type is None:
                self._tidy()
        finally:
            try:
                self.manifest.close()
            finally:
                self._failures.close()

    def _tidy(self) -> None:
        """Count the accounts that this run was not given, and delete those of their files that shall not stay."""
        others = {name: file for name, file in self.manifest.files().items() if name not in self._names}
        restart, prune = self._settings.restart, self._settings.prune
        # After a restart, a part would have other accounts' chats twice.
        gone = [name for name, file in others.items() if prune or (restart and not _is_own_file(file, name))]
        self.summary.deleted = self.manifest.remove(gone)
        self.summary.others = len(others) - len(gone)

    def needs(self, account: Account) -> bool:
        """Return whether to fetch an account. If an earlier run has finished it, count it as skipped.

        An account that had no chats then is fetched again: perhaps its phone was not connected.

        Raises:
            InvalidValueError: The account has no valid name, or the name of an earlier one.
        """
        self._names.add(account.name)
        found = self.manifest.finished.get(account.name)
        if found is None or not (found.chats or self._settings.allow_empty or self._limit == 0):
            return True
        file = self.summary.folder / found.file
        self.tell(
            [
                AccountExport(
                    account.name, file, found.chats, verified=found.verified, skipped=True, problems=found.problems
                )
            ]
        )
        return False

    def write_down(self, exports: Sequence[AccountExport]) -> None:
        """Write the results of some accounts to the manifest and the log. Their files must be on disk.

        Raises:
            OutputError: It can't be written, or a file is gone.
        """
        files: defaultdict[Path, list[AccountExport]] = defaultdict(list)
        for export in exports:
            if export.file is not None and not export.kept:
                files[export.file].append(export)
        # All accounts of a file are in one line, so that all of them are finished, or none.
        self.manifest.add_all([self._entry(file, finished) for file, finished in files.items()])
        for export in exports:
            if export.kept and export.file is not None:
                self.manifest.keep(export.account, export.file.name)
        self._failures.add([export for export in exports if export.kept or export.error is not None])

    def _entry(self, file: Path, finished: Sequence[AccountExport]) -> ManifestEntry:
        with output_errors(file):
            size = file.stat().st_size
        return ManifestEntry(
            file.name,
            {export.account: export.chats for export in finished},
            [export.account for export in finished if not export.verified],
            {export.account: export.problems for export in finished if export.problems} or msgspec.UNSET,
            size=size,
            run=self.id,
            run_started=self._run_started,
        )

    def tell(self, exports: Sequence[AccountExport]) -> None:
        """Count the results of some accounts, and pass them to `on_result`."""
        for export in exports:
            self.summary.count(export, limit=self._limit)
            if self._settings.on_result is not None:
                self._settings.on_result(export)


class FailedAccount(msgspec.Struct, frozen=True):
    """A line of the failure log.

    Attributes:
        account: The account's name.
        error: The name of the error's class; "empty" for an account whose file was kept.
        message: What happened.
        hint: What to do.
        status: The HTTP status, or None.
        page: The page's number, or None.
    """

    account: str
    error: str
    message: str
    hint: str
    status: int | None
    page: int | None


class FailureLog:
    """The failed and kept accounts of a run: a file with a JSON object on each line. If there are none, no file."""

    def __init__(self, folder: Path, *, sync: bool) -> None:
        self._path = folder / FAILURES
        self._sync = sync
        self._file: BinaryIO | None = None
        with output_errors(self._path):
            self._path.unlink(missing_ok=True)  # from the run before

    def add(self, exports: Sequence[AccountExport]) -> None:
        """Write failed or kept accounts to the file at once.

        Raises:
            OutputError: The file can't be written.
        """
        if not exports:
            return
        with output_errors(self._path):
            is_new = self._file is None
            if self._file is None:
                self._file = resolve(self._path).open("ab")
            self._file.write("".join(json_line(_failed(export)) + "\n" for export in exports).encode())
            self._file.flush()
            if self._sync:
                flush_to_disk(self._file)
                if is_new:
                    flush_folder(self._path.parent)

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            with output_errors(self._path):
                self._file.close()


def _failed(export: AccountExport) -> FailedAccount:
    error = export.error
    if error is None:
        return FailedAccount(export.account, "empty", "empty, kept as it was", _EMPTY_HINT, None, None)
    return FailedAccount(
        export.account, type(error).__name__, error.what_happened, error.hint, error.status, error.page
    )
