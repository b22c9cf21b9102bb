"""A Dask cluster with two workers, and thirty accounts to export with it."""

import gc
import json
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import distributed
import pyarrow.parquet as pq

from plugchat_async import Account
from plugchat_async.testing import PlugChatSimulator
from support.exports import MANIFEST, parts
from support.fakes import served

TOKEN = "s3cr3t-t0ken"


def two_workers() -> Iterator[Any]:
    """A client of a scheduler with two workers of one thread, each in a process of its own."""
    options: dict[str, Any] = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": "127.0.0.1:0"}
    with distributed.LocalCluster(**options) as cluster, distributed.Client(cluster) as made:
        yield made
    gc.collect()  # what killed workers leave is found here, where it is expected, and in no other test


def thirty_accounts() -> Iterator[PlugChatSimulator]:
    """A simulator with thirty accounts of 50 chats."""
    with served(PlugChatSimulator(1, latency=0.01)) as simulator:
        for number in range(30):
            simulator.add_account(f"{TOKEN}-{number}", 50, seed=number)
        yield simulator


def accounts(sim: PlugChatSimulator, count: int = 30) -> list[Account]:
    return [Account(f"a{number}", f"{TOKEN}-{number}", sim.base_url) for number in range(count)]


def rows(folder: Path) -> Counter[tuple[str, str]]:
    """How often each chat of each account is in the parts."""
    found: Counter[tuple[str, str]] = Counter()
    for part in folder.glob("*.parquet"):
        table = pq.read_table(part)
        found.update(
            (str(row["account"]), str(row["phone"] or (row["lid"], row["name"])))
            for row in table.select(["account", "phone", "lid", "name"]).to_pylist()
        )
    return found


def counted(folder: Path) -> Counter[tuple[str, str]]:
    """The same, but of each account only in the part that the last line about it in the manifest names."""
    part_of: dict[str, str] = {}
    for line in (folder / MANIFEST).read_text().splitlines()[1:]:
        entry = json.loads(line)
        part_of.update(dict.fromkeys([*entry["chats"], *entry.get("kept", [])], entry["file"]))
    found: Counter[tuple[str, str]] = Counter()
    for file in set(part_of.values()):
        if (folder / file).exists():
            for row in pq.read_table(folder / file).to_pylist():
                if part_of[row["account"]] == file:
                    found[row["account"], str(row["phone"] or (row["lid"], row["name"]))] += 1
    return found


def whole(sim: PlugChatSimulator, count: int = 30) -> Counter[tuple[str, str]]:
    return Counter(
        (f"a{number}", str(chat.phone or (chat.lid, chat.name)))
        for number in range(count)
        for chat in sim._accounts[f"{TOKEN}-{number}"].chats
    )


def hidden(folder: Path) -> list[str]:
    """What is left of temporary files, once workers that are still at it have come to their end."""
    until = time.monotonic() + 30
    while (names := parts(folder)) and time.monotonic() < until:
        time.sleep(0.01)
    return names
