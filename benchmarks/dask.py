"""Two Dask workers against one: `python -m benchmarks.dask`.

The load is the client's CPU: pages of 1,000 chats are fetched from loopback, decoded, and written as Parquet. The
server runs in a process of its own, which writes prepared bytes; on a machine of two cores it takes its share of them,
which is printed, too. One process (`export_many`, a file for each account), and clusters of one and of two workers of
one thread each (a file for each batch), do the same accounts in turn, each round into new folders; the ratio is that of
one round, its median is printed, and its range. Starting the clusters is not measured.
"""

import argparse
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

from benchmarks.server import running
from plugchat_async import Account, export_many
from plugchat_async.integrations.dask import fetch_many_dask

CHATS = 5000
PAGE_SIZE = 1000
CONCURRENCY = 8


def accounts_at(base_url: str, count: int) -> Iterator[Account]:
    """Give accounts, one by one."""
    return (Account(f"account {number}", "token", base_url) for number in range(count))


def export(client: Any, base_url: str, count: int) -> float:
    """Fetch the accounts into a new folder, and give the seconds. Without a client, in this process."""
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


def main() -> None:
    """Read the arguments, and measure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--accounts", type=int, default=640, help=f"how many accounts of {CHATS} chats (default 640)")
    parser.add_argument("--rounds", type=int, default=5, help="how often it is done (default 5)")
    arguments = parser.parse_args()
    make: Any = partial(LocalCluster, threads_per_worker=1, dashboard_address="127.0.0.1:0")
    seconds: dict[str, list[float]] = {"one process": [], "one worker": [], "two workers": []}
    with (
        make(n_workers=1) as one,
        make(n_workers=2) as two,
        Client(one, set_as_default=False) as one_client,
        Client(two, set_as_default=False) as two_client,
    ):
        clients: dict[str, Any] = {"one process": None, "one worker": one_client, "two workers": two_client}
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        with running(CHATS) as base_url:
            for number in range(arguments.rounds + 1):
                for name, client in clients.items():
                    took = export(client, base_url, arguments.accounts)
                    if number:  # the first round warms up
                        seconds[name].append(took)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    server = (after.ru_utime + after.ru_stime) - (before.ru_utime + before.ru_stime)
    pages = arguments.accounts * (CHATS // PAGE_SIZE + 1)
    chats = arguments.accounts * CHATS
    print(f"{arguments.accounts} accounts of {CHATS} chats, {PAGE_SIZE} a page, {arguments.rounds} rounds, medians")
    for name, own in seconds.items():
        ratios = [alone / both for alone, both in zip(own, seconds["two workers"], strict=True)]
        compared = (
            f"; two workers are {statistics.median(ratios):.2f} times as fast ({min(ratios):.2f} to {max(ratios):.2f})"
        )
        rate = f"{chats / statistics.median(own):,.0f} chats/s"
        print(f"  {name}: {rate}{compared if name != 'two workers' else ''}")
    server_us = server / (3 * (arguments.rounds + 1) * pages) * 1e6
    client_us = statistics.median(seconds["one process"]) / pages * 1e6
    print(
        f"  {os.cpu_count()} cores, shared with the server: {server_us:.0f} us of its CPU a page, "
        f"beside {client_us:.0f} us of one process"
    )


if __name__ == "__main__":
    main()
