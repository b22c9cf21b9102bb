"""One and two Dask workers.

The load is the client's CPU: pages of 1,000 chats are fetched over loopback, decoded, and written as Parquet. The
server runs in another process, which writes prepared bytes. On a machine with two cores it uses some of their time,
which is printed, too. One process (`export_many`, one file per account) and clusters of one and two workers with one
thread each (one file per batch) export the same accounts in turn, in each round into new folders. Starting the clusters
is not measured.
"""

import asyncio
import os
import resource
import statistics
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from distributed import Client, LocalCluster

from benchmarks.measure import Result, Value, interleaved, ratios, spread
from benchmarks.server import running
from plugchat_async import Account, export_many
from plugchat_async.integrations.dask import fetch_many_dask

CHATS = 5000
PAGE_SIZE = 1000
CONCURRENCY = 8


def accounts_at(base_url: str, count: int) -> Iterator[Account]:
    """Return an iterator over accounts."""
    return (Account(f"account {number}", "token", base_url) for number in range(count))


def export(client: Any, base_url: str, count: int) -> float:
    """Export the accounts into a new folder, without a client in this process. Return the duration in seconds."""
    accounts = accounts_at(base_url, count)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        started = time.perf_counter()
        if client is None:
            summary = asyncio.run(
                export_many(accounts, out, format="parquet", concurrency=CONCURRENCY, page_size=PAGE_SIZE)
            )
        else:
            summary = fetch_many_dask(
                accounts,
                client=client,
                out=out,
                batch_size=16,
                concurrency=CONCURRENCY,
                page_size=PAGE_SIZE,
            )
        seconds = time.perf_counter() - started
    if (summary.finished, summary.chats) != (count, count * CHATS):
        raise SystemExit(f"{summary}")
    return seconds


def measure(accounts: int = 640, rounds: int = 5) -> Result:
    """Measure the export of the same accounts in one process, and on clusters of one and two workers."""
    make: Any = partial(LocalCluster, threads_per_worker=1, dashboard_address="127.0.0.1:0")
    with (
        make(n_workers=1) as one,
        make(n_workers=2) as two,
        Client(one, set_as_default=False) as one_client,
        Client(two, set_as_default=False) as two_client,
    ):
        clients: dict[str, Any] = {"one process": None, "one worker": one_client, "two workers": two_client}
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        with running(CHATS) as base_url:
            contenders = {name: partial(export, client, base_url, accounts) for name, client in clients.items()}
            interleaved(contenders, 1)  # warms up
            took = interleaved(contenders, rounds)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    server = (after.ru_utime + after.ru_stime) - (before.ru_utime + before.ru_stime)
    pages = accounts * (CHATS // PAGE_SIZE + 1)
    rows: list[dict[str, Value]] = [
        {
            "by": name,
            "rate": accounts * CHATS / statistics.median(own),
            **spread("slower", ratios(own, took["two workers"])),
        }
        for name, own in took.items()
    ]
    return Result(
        "dask",
        "Dask workers",
        f"{accounts:,} accounts of {CHATS:,} chats, {PAGE_SIZE:,} a page, into Parquet. Medians of {rounds} "
        f"rounds; the ratio is that of one. {os.cpu_count()} cores, shared with the server, which takes "
        f"{server / (3 * (rounds + 1) * pages) * 1e6:.0f} us of CPU a page, beside "
        f"{statistics.median(took['one process']) / pages * 1e6:.0f} us of one process.",
        {
            "by": "by",
            "rate": "chats/s",
            "slower": "x time of two workers",
            "slower_min": "least",
            "slower_max": "most",
        },
        rows,
    )
