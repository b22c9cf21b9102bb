"""The chats of many accounts with a Dask cluster: batches of accounts go to its workers, each batch becomes a file.

Batches, not single accounts: a task keeps its slot until it is done, so that one of a single account would do nothing
but wait most of the time. In each batch the accounts are fetched side by side, as `fetch_many` does.

Workers need this package with the extra `dask`, and the output's folder at the same path. Accounts with their tokens
go to them through the scheduler: on a network, let the cluster speak TLS.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# Neither Dask's nor pyarrow's types are known in full.

import asyncio
import json
import os
from collections.abc import Iterable, Iterator, Sequence, Sized
from contextlib import suppress
from hashlib import sha256
from itertools import islice
from pathlib import Path
from secrets import token_hex
from typing import Any, Final, Unpack

import attrs

from plugchat_async._extras import needing
from plugchat_async._http.resources import RequestOptions
from plugchat_async._internal.files import output_errors
from plugchat_async._internal.iterables import Source
from plugchat_async._internal.validation import check_function, check_int, check_optional_int, check_type
from plugchat_async.bulk.accounts import Account
from plugchat_async.bulk.fetch import BulkOptions, BulkSettings, settings_of
from plugchat_async.bulk.names import AccountNames
from plugchat_async.bulk.workers import MAX_CONCURRENCY
from plugchat_async.errors import (
    ConfigurationError,
    InvalidTypeError,
    InvalidValueError,
    OutputError,
    PlugChatError,
    ServiceError,
)
from plugchat_async.export.accounts import (
    AccountExport,
    ExportSummary,
    OnExport,
    Record,
    make_folder,
    run_export,
)
from plugchat_async.export.writers import PathLike
from plugchat_async.models import Chat

with needing("dask", __name__):
    import pyarrow as pa
    from distributed import Client, as_completed
    from distributed.scheduler import KilledWorker

    from plugchat_async.export.parquet import ParquetSink, batch_of
    from plugchat_async.integrations.dask.cluster import reaching_cluster

# Batches for each slot of the cluster that are handed out at a time: one to work on, one to go on with.
_AHEAD: Final = 2
_BATCHES_PER_SLOT: Final = 4
_MAX_IN_BATCH: Final = 100
# What can't be handed to another machine.
_LOCAL: Final = ("ssl_context", "telemetry", "clock")


def fetch_many_dask(
    accounts: Iterable[Account],
    *,
    client: Client,
    out: PathLike,
    batch_size: int | None = None,
    restart: bool = False,
    merge_people: bool = False,
    concurrency: int = 64,
    on_result: OnExport | None = None,
    **options: Unpack[BulkOptions],
) -> ExportSummary:
    """Write the chats of many accounts into a folder as Parquet, with the workers of a Dask cluster.

    accounts: an iterable of Account, of any length; it is read as batches are wanted.
    client: a Client of the cluster, not an asynchronous one. Workers with one thread each make best use of their cores.
    out: the folder, which all workers and this process see at the same path. Each batch becomes a file
        `part-….parquet`, whose first column is `account`. Failed accounts, which leave nothing in it, are listed in
        `failures.jsonl`, as by `export_many`.
    batch_size: accounts in a batch (default None: 100, or fewer if `accounts` says how many it has, so that there are
        four batches for each of the cluster's threads). If a worker is lost, its batch is fetched anew by another one,
        and its part still written once.
    concurrency: accounts under way at a time in each batch (default 64). Their chats are in the worker's memory, as
        columns, until they are complete.
    fresh, merge_people, on_result, options: as for `export_many`, but for `ssl_context`, `telemetry` and
        `clock`, which can't be handed on. `max_concurrency`, `requests_per_second` and the retry budget are those of each
        batch that is under way.

    This function blocks; in an event loop, call it with `asyncio.to_thread`. It raises what `export_many` does, and
    ConfigurationError if workers can't run a batch, and ServiceError if the cluster is lost. If it is interrupted,
    workers write nothing any more, and the same call goes on.
    """
    settings = settings_of(options)
    check_type("client", client, Client)
    if client.asynchronous:
        raise InvalidTypeError("client must not be asynchronous", "Call this in a thread, with a Client of its own.")
    check_type("accounts", accounts, Iterable)
    check_optional_int("batch_size", batch_size, minimum=1)
    check_int("concurrency", concurrency, minimum=1, maximum=MAX_CONCURRENCY)
    check_type("restart", restart, bool)
    check_type("merge_people", merge_people, bool)
    check_function("on_result", on_result, "an AccountExport")
    for name in _LOCAL:
        if options.get(name) is not None:
            raise InvalidValueError(f"{name} can't be handed to workers", f"Leave out {name}.")
    with output_errors(Path(out)):
        folder = Path(os.path.realpath(out))
    make_folder(folder)
    with Record(
        folder,
        "parquet",
        "parts",
        limit=settings.walk.limit,
        merge_people=merge_people,
        restart=restart,
        on_result=on_result,
    ) as record:
        job = _Job(str(folder), record.manifest.id, concurrency, _plain(settings), merge_people)
        with output_errors(job.lease):
            job.lease.touch()
        try:
            size = batch_size or _batch_size(accounts, client)
            _run(client, _batches(accounts, size, record), job, record)
        finally:
            with suppress(PlugChatError):  # what is there to say was said
                record.manifest.remove_uncounted()
    return record.summary


@attrs.frozen
class _Job:
    """What is the same for all batches. A run is over when its lease, a file in the folder, is gone."""

    folder: str
    export: str
    concurrency: int
    settings: dict[str, Any]
    merge_people: bool = False
    run: str = attrs.Factory(lambda: token_hex(4))

    @property
    def lease(self) -> Path:
        """The file that is there as long as the run goes on."""
        return Path(self.folder) / f".run-{self.export}-{self.run}"

    def key_of(self, batch: Sequence[Account]) -> str:
        """Name a batch by its accounts."""
        names = json.dumps([account.name for account in batch])
        return f"part-{self.export}-{sha256(names.encode()).hexdigest()[:16]}"


def _plain(settings: BulkSettings) -> dict[str, Any]:
    """Give the settings as what can be handed on: clocks and chance are the workers' own."""
    requests = attrs.asdict(settings.requests, recurse=False, filter=lambda field, _: field.name not in _LOCAL)
    return {**attrs.asdict(settings, recurse=False), "requests": requests}


def _settings(plain: dict[str, Any]) -> BulkSettings:
    others = {**plain}
    return BulkSettings(requests=RequestOptions(**others.pop("requests")), **others)


def _batch_size(accounts: Iterable[Account], client: Any) -> int:
    """Give how many accounts make a batch."""
    if not isinstance(accounts, Sized):
        return _MAX_IN_BATCH
    threads: dict[str, int] = client.nthreads()
    batches = _BATCHES_PER_SLOT * max(1, sum(threads.values()))
    return max(1, min(_MAX_IN_BATCH, -(-len(accounts) // batches)))


def _batches(accounts: Iterable[Account], size: int, record: Record) -> Iterator[tuple[Account, ...]]:
    """Give the accounts that are to be fetched, in batches."""
    names = AccountNames()

    def wanted(account: object) -> bool:
        if not isinstance(account, Account):
            raise InvalidTypeError(f"accounts must yield Account, got {type(account).__name__}")
        names.add(account.name)
        return not record.is_finished(account.name)

    left = filter(wanted, accounts)
    while batch := tuple(islice(left, size)):
        yield batch


def _run(client: Any, batches: Iterator[tuple[Account, ...]], job: _Job, record: Record) -> None:
    """Hand out batches, some ahead, and record what comes back."""
    pending: dict[Any, tuple[Account, ...]] = {}
    done: Any = as_completed(loop=client.loop)

    def hand_out() -> None:
        with reaching_cluster(client):
            slots = max(1, sum(client.nthreads().values()))
        while len(pending) < _AHEAD * slots and (batch := next(batches, None)) is not None:
            with reaching_cluster(client):
                future = client.submit(
                    _fetch_batch, batch, job, key=f"plugchat-{job.key_of(batch)}-{job.run}", pure=False
                )
            pending[future] = batch
            done.add(future)

    try:
        hand_out()
        while pending:
            with reaching_cluster(client):
                future = next(done)
            batch = pending.pop(future)
            record.add(_outcome(client, future, batch))
            del future
            hand_out()
    finally:
        with suppress(Exception):  # it may be gone
            client.cancel(list(pending))


def _outcome(client: Any, future: Any, batch: Sequence[Account]) -> list[AccountExport]:
    """Give what came of a batch."""
    exports: list[AccountExport] = []
    error: object = None
    with reaching_cluster(client):
        if future.status == "error":
            error = future.exception()
        else:
            exports = future.result()
    if isinstance(error, PlugChatError):
        raise error
    if isinstance(error, KilledWorker):
        return [AccountExport(account.name, None, 0, _lost(account)) for account in batch]
    if error is not None:
        raise ConfigurationError(
            f"a worker can't run a batch: {type(error).__name__}",
            "Look at the worker's log, and install the same version of this package there, with the extra 'dask'.",
        )
    return exports


def _lost(account: Account) -> ServiceError:
    error = ServiceError(
        "the workers that fetched this account's batch were lost",
        "Look at their logs, for memory above all; smaller batches may help. The same call tries these accounts again.",
    )
    error.account = account.name
    return error


def _fetch_batch(batch: Sequence[Account], job: _Job) -> list[AccountExport]:
    """Fetch a batch on a worker, in an event loop of its own."""
    return asyncio.run(_fetch(batch, job))


async def _fetch(batch: Sequence[Account], job: _Job) -> list[AccountExport]:
    exports: list[AccountExport] = []
    # Each attempt has a file of its own: one that was given up, but still runs, must not replace what was counted.
    # With the column `account`, whatever is in it.
    part = ParquetSink(Path(job.folder) / f"{job.key_of(batch)}-{token_hex(4)}.parquet", "")
    try:
        source = Source("accounts", batch, Account)
        pool = _settings(job.settings).pool(source, concurrency=job.concurrency, pages=not job.merge_people)
        await run_export(pool, lambda name: _AccountOfPart(part, name), exports.append)
        if not job.lease.exists():
            raise OutputError(
                f"the run in {job.folder} is over", "Let no two runs write into one folder.", path=str(part.path)
            )
        if any(export.error is None for export in exports):
            part.commit()
    finally:
        part.discard()
    return exports


class _AccountOfPart:
    """A sink that holds an account's chats as columns, and puts them into its part when they are all there."""

    def __init__(self, part: ParquetSink, account: str) -> None:
        self.path = part.path
        self.rows = 0
        self._part = part
        self._account = account
        self._held: list[pa.RecordBatch] = []

    def write(self, chats: Sequence[Chat]) -> None:
        """Hold some chats."""
        self._held.append(batch_of(chats, self._account))
        self.rows += len(chats)

    def commit(self) -> None:
        """Put them into the part."""
        for held in self._held:
            self._part.add(held)
        self._held.clear()

    def discard(self) -> None:
        """Forget them."""
        self._held.clear()
