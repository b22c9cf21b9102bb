"""export_many: the chats of many accounts into a folder, a file for each account."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Unpack

from attrs import evolve

from plugchat_async._internal.files import output_errors
from plugchat_async._internal.iterables import Source
from plugchat_async._internal.validation import check_choice
from plugchat_async.bulk.accounts import Account
from plugchat_async.bulk.fetch import Accounts
from plugchat_async.bulk.names import file_name
from plugchat_async.bulk.workers import AccountResult, WorkerPool
from plugchat_async.errors import InvalidValueError, PlugChatError
from plugchat_async.export.people import merge_people
from plugchat_async.export.results import AccountExport, ExportSummary, OnExport
from plugchat_async.export.run import ExportOptions, ExportRun, check_export_options
from plugchat_async.export.writers import ChatWriter, FileFormat, PathLike, has_chats, open_writer, require_pyarrow
from plugchat_async.models import Chat


async def export_many(
    accounts: Accounts,
    folder: PathLike,
    *,
    format: FileFormat = "jsonl",  # noqa: A002 - the usual name
    **options: Unpack[ExportOptions],
) -> ExportSummary:
    """Write the chats of many accounts to a folder, a file for each account.

    A file has the name of its account, and appears when it is complete. Its first column is `account`, the account's
    name; the others are the fields of `Chat`. In file names, characters that a file system may refuse are written as
    "%" and two hexadecimal digits. A failed account gets no file, but a line in `failures.jsonl`, which lists the
    failures of the last run. `_manifest.ndjson` lists the finished accounts: if an export was interrupted, call this
    again, and it fetches only the others.

    While an account's phone is not connected, its list may be empty. So a file with chats is never replaced by one
    without: the account is kept as it was, listed in `failures.jsonl`, and fetched again by the next run. An account
    that has no such file gets one without chats, and is fetched again by the next run, too. With `allow_empty` an empty
    list is believed.

    Args:
        accounts: An iterable or async iterable of Account, as for `fetch_many`.
        folder: The folder, which is created if necessary.
        format: "jsonl" (default), "csv" or "parquet"; "parquet" needs the extra `parquet`.
        options: See `ExportOptions`.

    Returns:
        The summary. Failed and kept accounts are not an error, but counted in it.

    Raises:
        InvalidValueError: An option is wrong; two accounts have the same name, or names that some file system does not
            distinguish; or the folder holds an export in another format, or with another `limit` or `merge_people`.
        InvalidTypeError: An option has the wrong type.
        OutputError: The folder can't be written, as when the disk is full, or another run is writing to it.
        MissingExtraError: The extra `parquet` is not installed.
    """
    settings, bulk = check_export_options(options)
    check_choice("format", format, ("jsonl", "csv", "parquet"))
    if format == "parquet":
        require_pyarrow("Parquet")
    out = Path(folder)

    def needs_fetching(account: Account) -> bool:
        return run.needs(account)

    # Before anything is written, since it checks its arguments.
    source = Source("accounts", accounts, Account, needs_fetching)
    pool = bulk.pool(source, concurrency=settings.concurrency, pages=not settings.merge_people)
    make_folder(out)
    with ExportRun(out, settings, file_format=format, layout="accounts", limit=bulk.walk.limit) as run:

        def path_of(name: str) -> Path:
            return out / f"{file_name(name)}.{format}"

        def file_to_keep(name: str) -> Path | None:
            if settings.allow_empty:
                return None
            earlier = run.manifest.kept.get(name)  # perhaps in another format
            files = [path_of(name)] if earlier is None else [path_of(name), out / earlier]
            return next(filter(has_chats, files), None)

        def on_export(export: AccountExport) -> None:
            if export.error is not None and run.manifest.existed and export.account not in run.manifest.kept:
                with output_errors(out):  # a run that was killed may have finished the file, but not recorded it
                    path_of(export.account).unlink(missing_ok=True)
            run.record([export])

        await write_accounts(pool, lambda name: open_writer(format, path_of(name), name), on_export, file_to_keep)
    return run.summary


async def write_accounts(
    pool: WorkerPool,
    writer_for: Callable[[str], ChatWriter],
    on_export: OnExport,
    file_to_keep: Callable[[str], Path | None] = lambda _: None,
) -> None:
    """Write the accounts of a pool, each with a writer of its own.

    If the pool returns pages, they are written one by one. If it returns whole accounts, the rows of each person are
    merged.

    Args:
        pool: The pool. It is closed at the end.
        writer_for: Opens the writer of an account, by its name.
        on_export: Called with the result of each account.
        file_to_keep: Called with the name of an account whose list is empty. Returns the file to keep in place of one
            without chats, or None (default: always None).
    """
    writers: dict[str, ChatWriter | PlugChatError] = {}
    try:
        while (item := await pool.next()) is not None:
            if isinstance(item, AccountResult):
                name = item.account.name
                writer = writers.pop(name, None)
                if writer is None and item.error is None:  # a whole account, or one without pages
                    writer = _write(writer_for(name), merge_people(item.chats))
                on_export(_finish(item, writer, file_to_keep))
            else:
                account, page = item
                writer = writers.get(account.name)
                if writer is None:
                    writer = writers[account.name] = writer_for(account.name)
                if not isinstance(writer, PlugChatError):
                    writers[account.name] = _write(writer, page.chats)
                del page
            del item, writer  # not kept in memory while the next item is fetched
    finally:
        try:
            await pool.close()
        finally:
            for left in writers.values():
                if not isinstance(left, PlugChatError):
                    left.discard()


def _write(writer: ChatWriter, chats: Sequence[Chat]) -> ChatWriter | PlugChatError:
    """Write chats. Return the writer, or the error if the format can't represent a chat."""
    try:
        writer.write(chats)
    except InvalidValueError as error:
        writer.discard()
        return error
    return writer


def _finish(
    result: AccountResult,
    writer: ChatWriter | PlugChatError | None,
    file_to_keep: Callable[[str], Path | None],
) -> AccountExport:
    """Commit or discard an account's file, and return the account's result."""
    name, error = result.account.name, result.error
    if isinstance(writer, PlugChatError):
        error = writer
        error.account = name
    elif writer is not None and error is None:
        verified = result.report is not None and result.report.verified
        problems = 0 if result.report is None else result.report.problems
        export = AccountExport(
            name, writer.path, writer.rows, verified=verified, report=result.report, problems=problems
        )
        kept = file_to_keep(name) if export.empty else None
        if kept is not None:
            writer.discard()
            return evolve(export, file=kept, verified=False, kept=True)
        writer.commit()
        return export
    elif writer is not None:
        writer.discard()
    assert error is not None, "an account without an error has a writer"
    error.__traceback__ = None  # its frames hold pages
    error.checkpoint = None  # the chats before it were discarded
    return AccountExport(name, None, 0, error, report=result.report)


def make_folder(folder: Path) -> None:
    """Create the folder if it does not exist.

    Raises:
        OutputError: It can't be created.
    """
    with output_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
