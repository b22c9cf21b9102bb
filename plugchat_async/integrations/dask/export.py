"""fetch_many_dask: hands out batches of accounts to the workers of a cluster, and records their results."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# Dask's types are incomplete.

from collections.abc import Iterable, Iterator, Sequence, Sized
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any, Final, Unpack

from attrs import evolve
from distributed import Client, as_completed
from distributed.scheduler import KilledWorker

from plugchat_async._internal.files import output_errors
from plugchat_async._internal.links import resolve
from plugchat_async._internal.validation import check_optional_int, check_type
from plugchat_async.bulk.accounts import Account
from plugchat_async.bulk.fetch import accounts_hint
from plugchat_async.errors import (
    ConfigurationError,
    InvalidTypeError,
    InvalidValueError,
    PlugChatError,
    ServiceError,
)
from plugchat_async.export.folder import make_folder
from plugchat_async.export.results import AccountExport, ExportSummary
from plugchat_async.export.run import ExportOptions, ExportRun, check_export_options
from plugchat_async.export.writers import PathLike, has_chats
from plugchat_async.integrations.dask.cluster import cluster_errors
from plugchat_async.integrations.dask.worker import LOCAL_OPTIONS, BatchJob, fetch_batch, to_plain

# Batches for each thread of the cluster that are handed out at a time: one that is being fetched, and the next one.
_BATCHES_IN_FLIGHT: Final = 2
_BATCHES_PER_THREAD: Final = 4
_MAX_BATCH_SIZE: Final = 100


def fetch_many_dask(
    accounts: Iterable[Account],
    *,
    client: Client,
    out: PathLike,
    batch_size: int | None = None,
    **options: Unpack[ExportOptions],
) -> ExportSummary:
    """Write the chats of many accounts to a folder as Parquet, with the workers of a Dask cluster.

    Each batch of accounts becomes a file `part-….parquet`, whose first column is `account`. The accounts of a batch are
    fetched concurrently, as by `fetch_many`. Failed accounts are listed in `.plugchat/failures.ndjson`, as by
    `export_many`. If a worker is lost, another one fetches its batch again, and no chat is written twice. An
    interrupted export continues when it is called again.

    This function blocks. In an event loop, call it with `asyncio.to_thread`.

    Args:
        accounts: An iterable of Account. The next batch is taken when a worker needs it.
        client: A Client of the cluster that is not asynchronous. Workers with one thread each make best use of their
            cores.
        out: The folder. All workers and this process must see it at the same path.
        batch_size: The number of accounts in a batch (default None: 100, or fewer if `accounts` has a length, so that
            each thread of the cluster gets four batches).
        options: See `ExportOptions`. `concurrency`, `max_concurrency`, `requests_per_second` and the retry budget apply
            to each batch in flight. `ssl_context`, `telemetry` and `clock` can't be sent to workers.

    Returns:
        The summary, as of `export_many`.

    Raises:
        ConfigurationError: A worker can't run a batch; or as for `export_many`.
        OutputError: As for `export_many`.
        ServiceError: The cluster was lost.
    """
    not_sendable = [name for name in LOCAL_OPTIONS if options.get(name) is not None]
    settings, bulk = check_export_options(options)
    check_type("client", client, Client)
    if client.asynchronous:
        raise InvalidTypeError("client must not be asynchronous", "Call this in a thread, with a Client of its own.")
    check_type("accounts", accounts, Iterable)
    check_optional_int("batch_size", batch_size, minimum=1)
    if not_sendable:
        raise InvalidValueError(f"{not_sendable[0]} can't be sent to workers", f"Leave out {not_sendable[0]}.")
    with output_errors(Path(out)):
        folder = resolve(Path(out))
    make_folder(folder, sync=settings.sync)
    limit = bulk.walk.limit
    with ExportRun(folder, settings, file_format="parquet", layout="parts", limit=limit, call=bulk.call) as run:
        job = BatchJob(
            str(folder),
            run.manifest.id,
            settings.concurrency,
            to_plain(bulk),
            run.id,
            merge_people=settings.merge_people,
            sync=settings.sync,
        )
        with output_errors(job.lease):
            job.lease.touch()
        try:
            size = batch_size or choose_batch_size(accounts, client)
            _run(client, _batches(accounts, size, run), job, run, allow_empty=settings.allow_empty)
        finally:
            with suppress(PlugChatError):  # it must not replace the error of the run
                run.manifest.remove_unlisted_parts()
    return run.summary


def choose_batch_size(accounts: Iterable[Account], client: Any) -> int:
    """Return how many accounts to put into a batch."""
    if not isinstance(accounts, Sized):
        return _MAX_BATCH_SIZE
    batches = _BATCHES_PER_THREAD * _count_threads(client)
    return max(1, min(_MAX_BATCH_SIZE, -(-len(accounts) // batches)))


def _count_threads(client: Any) -> int:
    threads: dict[str, int] = client.nthreads()
    return max(1, sum(threads.values()))


def _batches(accounts: Iterable[Account], size: int, run: ExportRun) -> Iterator[tuple[Account, ...]]:
    """Yield the accounts that must be fetched, in batches."""

    def needs_fetching(account: object) -> bool:
        if not isinstance(account, Account):
            kind = type(account)
            raise InvalidTypeError(f"accounts must yield Account, got {kind.__name__}", accounts_hint(kind))
        return run.needs(account)

    remaining = filter(needs_fetching, accounts)
    while batch := tuple(islice(remaining, size)):
        yield batch


def _run(
    client: Any, batches: Iterator[tuple[Account, ...]], job: BatchJob, run: ExportRun, *, allow_empty: bool
) -> None:
    """Submit batches, a few ahead, and record their results."""
    pending: dict[Any, tuple[Account, ...]] = {}
    completed: Any = as_completed(loop=client.loop)

    def submit_batches() -> None:
        with cluster_errors(client):
            threads = _count_threads(client)
        while len(pending) < _BATCHES_IN_FLIGHT * threads and (batch := next(batches, None)) is not None:
            key = f"plugchat-{job.part_name(batch)}-{job.run_id}"
            with cluster_errors(client):
                future = client.submit(fetch_batch, batch, job, key=key, pure=False)
            pending[future] = batch
            completed.add(future)

    try:
        submit_batches()
        while pending:
            with cluster_errors(client):
                future = next(completed)
            batch = pending.pop(future)
            exports = _result_of(client, future, batch)
            if not allow_empty:
                exports = [_kept_if_empty(export, run) for export in exports]
            run.write_down(exports)
            run.tell(exports)
            del future
            submit_batches()
    finally:
        with suppress(Exception):  # the cluster may be lost
            client.cancel(list(pending))


def _result_of(client: Any, future: Any, batch: Sequence[Account]) -> list[AccountExport]:
    """Return the results of the accounts of a batch."""
    exports: list[AccountExport] = []
    error: object = None
    with cluster_errors(client):
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
            "Check the worker's log, and install the same version of this package there, with the extra 'dask'.",
        )
    return exports


def _kept_if_empty(export: AccountExport, run: ExportRun) -> AccountExport:
    """Return the result of an account that keeps its part of an earlier run, because it has no chats any more."""
    file = run.manifest.kept.get(export.account)
    if not export.empty or file is None:
        return export
    part = run.summary.folder / file
    return evolve(export, file=part, verified=False, kept=True) if has_chats(part, export.account) else export


def _lost(account: Account) -> ServiceError:
    error = ServiceError(
        "the workers that fetched this account's batch were lost",
        "Check their logs, memory first; smaller batches may help. Call fetch_many_dask again to retry these accounts.",
    )
    error.account = account.name
    return error
