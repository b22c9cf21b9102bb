"""export_many: the chats of many accounts into a folder, a file for each account."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Unpack, get_args

from attrs import frozen

from plugchat_async._internal.files import FileOptions, output_errors
from plugchat_async._internal.iterables import Source
from plugchat_async._internal.threads import Threads
from plugchat_async._internal.validation import check_choice
from plugchat_async.bulk.accounts import Account
from plugchat_async.bulk.fetch import Accounts, accounts_hint
from plugchat_async.bulk.names import file_name
from plugchat_async.errors import InvalidValueError
from plugchat_async.export.account_files import WRITERS, AccountFiles
from plugchat_async.export.csv_and_json import CsvDialect
from plugchat_async.export.folder import make_folder
from plugchat_async.export.results import AccountExport, ExportSummary
from plugchat_async.export.run import ExportOptions, ExportRun, ExportSettings, check_export_options
from plugchat_async.export.writers import ChatWriter, FileFormat, PathLike, has_chats, open_writer, require_library


async def export_many(
    accounts: Accounts,
    folder: PathLike,
    *,
    format: FileFormat = "jsonl",  # noqa: A002 - the usual name
    dialect: CsvDialect = "rfc4180",
    **options: Unpack[ExportOptions],
) -> ExportSummary:
    """Write the chats of many accounts to a folder, a file for each account.

    A file has the name of its account, and appears when it is complete. Its first column is `account`, the account's
    name; the others are the fields of `Chat`, or of the items of `call`. In file names, characters that a file system
    may refuse are written as "%" and two hexadecimal digits. A failed account gets no new file, but a line in
    `.plugchat/failures.ndjson`, which lists the failures of the last run. `.plugchat/manifest.ndjson` lists the
    finished accounts: if an export was interrupted, call this again, and it fetches only the others.

    While an account's phone is not connected, its list may be empty. So a file with chats is never replaced by one
    without: the account is kept as it was, listed among the failures, and fetched again by the next run. An account
    that has no such file gets one without chats, and is fetched again by the next run, too. With `allow_empty` an empty
    list is believed.

    Args:
        accounts: An iterable or async iterable of Account, as for `fetch_many`.
        folder: The folder, which is created if necessary.
        format: "jsonl" (default), "csv", "parquet" or "xlsx"; the last two need the extras `parquet` and `xlsx`.
        dialect: That of CSV: "rfc4180" (default), or "excel", see `write_csv`.
        options: See `ExportOptions`.

    Returns:
        The summary. Failed and kept accounts are not an error, but counted in it.

    Raises:
        InvalidValueError: An option is wrong; two accounts have the same name, or names that some file system does not
            distinguish; the folder holds an export of another `call`, in another format or dialect, or with another
            `limit` or `merge_people`; or another run is writing to it.
        InvalidTypeError: An option has the wrong type.
        OutputError: The folder can't be written, as when the disk is full.
        MissingExtraError: The extra that the format needs is not installed.
    """
    settings, bulk = check_export_options(options)
    check_choice("format", format, get_args(FileFormat))
    check_choice("dialect", dialect, get_args(CsvDialect))
    if dialect != "rfc4180" and format != "csv":
        raise InvalidValueError(f"dialect={dialect!r} is one of CSV, not of {format}", 'Use format="csv".')
    require_library(format)
    out = Path(folder)

    def needs_fetching(account: Account) -> bool:
        return run.needs(account)

    # Before anything is written, since it checks its arguments.
    source = Source("accounts", accounts, Account, needs_fetching, hint=accounts_hint)
    pool = bulk.pool(source, concurrency=settings.concurrency, pages=not settings.merge_people)

    def begin() -> ExportRun:
        make_folder(out, sync=settings.sync)
        limit, clock = bulk.walk.limit, bulk.requests.clock
        return ExportRun(
            out,
            settings,
            file_format=format,
            layout="accounts",
            limit=limit,
            dialect=dialect,
            call=bulk.call,
            clock=clock,
        )

    threads = Threads(WRITERS)
    try:
        async with threads.entered(begin) as run:
            files = _Folder(out, format, dialect, settings, run, bulk.call.item)
            writing = AccountFiles(threads, files.writer_for, files.write_down, run.tell, files.file_to_keep)
            await writing.write_all(pool)
    finally:
        threads.close()
    return run.summary


@frozen
class _Folder:
    """The files of an export, one for each account."""

    path: Path
    format: FileFormat
    dialect: CsvDialect
    settings: ExportSettings
    run: ExportRun
    item: type[Any]

    def writer_for(self, name: str) -> ChatWriter:
        """Start the file of an account."""
        # The run has swept the folder.
        options = FileOptions(sync=self.settings.sync, sweep=False, parts=self.run.parts)
        return open_writer(self.format, self._path_of(name), name, self.item, dialect=self.dialect, **options)

    def file_to_keep(self, name: str) -> Path | None:
        """Return the file of an account that has no chats any more, if there is one with chats."""
        if self.settings.allow_empty:
            return None
        file = self._path_of(name)
        if has_chats(file):
            return file
        earlier = self.run.manifest.kept.get(name)  # perhaps in another format, or in a part with other accounts
        if earlier is not None and has_chats(self.path / earlier, name):
            return self.path / earlier
        return None

    def write_down(self, exports: Sequence[AccountExport]) -> None:
        """Record the results of some accounts."""
        manifest = self.run.manifest
        for export in exports:
            if export.error is not None and manifest.existed and export.account not in manifest.kept:
                file = self._path_of(export.account)
                if has_chats(file):  # a run that was killed has finished the file, but not recorded it
                    manifest.keep(export.account, file.name)
                else:
                    with output_errors(self.path):
                        file.unlink(missing_ok=True)
        self.run.write_down(exports)

    def _path_of(self, name: str) -> Path:
        return self.path / f"{file_name(name)}.{self.format}"
