"""The part of fetch_many_dask that runs on the workers: fetches a batch of accounts, and writes it to a file.

Batches rather than single accounts: a task occupies a thread of the cluster until it is done, and with one account it
would mostly wait.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# The types of pyarrow are incomplete.

import asyncio
import json
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from secrets import token_hex
from typing import Any, Final

import attrs
import pyarrow as pa

from plugchat_async._http.options import RequestSettings
from plugchat_async._internal.iterables import Source
from plugchat_async._internal.threads import Threads
from plugchat_async.bulk.accounts import Account
from plugchat_async.bulk.fetch import BulkSettings
from plugchat_async.errors import OutputError
from plugchat_async.export.account_files import AccountFiles
from plugchat_async.export.folder import BOOKKEEPING
from plugchat_async.export.parquet import ParquetChatWriter, batch_of
from plugchat_async.export.results import AccountExport

# Options whose values can't be sent to another machine.
LOCAL_OPTIONS: Final = ("ssl_context", "telemetry", "clock")


@attrs.frozen
class BatchJob:
    """The parameters that all batches of a run share.

    A run has a lease, a file below `.plugchat/`. When it is gone, the run is over, and its workers write nothing.

    Attributes:
        folder: The folder of the export, without links.
        export_id: The id in the manifest.
        concurrency: The number of accounts to fetch at a time in each batch.
        settings: The settings of walks and requests, from `to_plain`.
        run_id: The id of this run.
        merge_people: Whether to write one chat for each person (default False).
        sync: Whether the file is on disk when the batch is done (default True).
    """

    folder: str
    export_id: str
    concurrency: int
    settings: dict[str, Any]
    run_id: str
    merge_people: bool = False
    sync: bool = True

    @property
    def lease(self) -> Path:
        """The file that exists until the run is over."""
        return Path(self.folder) / BOOKKEEPING / f".run-{self.export_id}-{self.run_id}"

    def part_name(self, batch: Sequence[Account]) -> str:
        """Return the first part of a batch's file name, which identifies its accounts."""
        names = json.dumps([account.name for account in batch])
        return f"part-{self.export_id}-{sha256(names.encode()).hexdigest()[:16]}"


def to_plain(settings: BulkSettings) -> dict[str, Any]:
    """Return settings in a form that can be sent to workers, which have a clock of their own."""
    requests = attrs.asdict(settings.requests, recurse=False, filter=lambda field, _: field.name not in LOCAL_OPTIONS)
    return {**attrs.asdict(settings, recurse=False), "requests": requests}


def _from_plain(plain: dict[str, Any]) -> BulkSettings:
    settings: dict[str, Any] = {**plain, "requests": RequestSettings(**plain["requests"])}
    return BulkSettings(**settings)


def fetch_batch(batch: Sequence[Account], job: BatchJob) -> list[AccountExport]:
    """Fetch a batch in an event loop of its own, and return the results of its accounts.

    Raises:
        OutputError: The file can't be written, or the run is over.
    """
    return asyncio.run(_fetch_batch(batch, job))


async def _fetch_batch(batch: Sequence[Account], job: BatchJob) -> list[AccountExport]:
    exports: list[AccountExport] = []
    # Each attempt has a file of its own: one that was given up, but still runs, must not replace a recorded file. ""
    # for an account adds the column; its values come from the batches.
    path = Path(job.folder) / f"{job.part_name(batch)}-{token_hex(4)}.parquet"
    parts = Path(job.folder) / BOOKKEEPING
    settings = _from_plain(job.settings)
    item = settings.call.item
    part = ParquetChatWriter(path, "", item, sync=job.sync, sweep=False, parts=parts)  # the run has swept
    threads = Threads(1)
    try:
        source = Source("accounts", batch, Account)
        pool = settings.pool(source, concurrency=job.concurrency, pages=not job.merge_people)
        # One thread: the accounts share a file, and nothing else goes on in this event loop.
        await AccountFiles(
            threads, lambda name: _PartOfAccount(part, name, item), exports.extend, lambda _: None
        ).write_all(pool)
        if not job.lease.exists():
            raise OutputError(
                f"the run in {job.folder} is over", "Let only one run write to a folder.", path=str(part.path)
            )
        if any(export.error is None for export in exports):
            part.commit()
    finally:
        part.discard()
        threads.close()
    return exports


class _PartOfAccount:
    """The chats of one account, as columns. `commit` adds them to the batch's file, when they are complete."""

    def __init__(self, part: ParquetChatWriter, account: str, item: type[Any]) -> None:
        self.path = part.path
        self.rows = 0
        self._part = part
        self._account = account
        self._item = item
        self._pending: list[pa.RecordBatch] = []

    def write(self, chats: Sequence[Any]) -> None:
        """Convert some chats."""
        self._pending.append(batch_of(chats, self._account, self._item))
        self.rows += len(chats)

    def commit(self) -> None:
        """Add them to the batch's file."""
        for columns in self._pending:
            self._part.add(columns)
        self._pending.clear()

    def discard(self) -> None:
        """Drop them."""
        self._pending.clear()
