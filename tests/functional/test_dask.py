"""fetch_many_dask with a real scheduler and two worker processes, some of which are killed."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import distributed
import pyarrow.parquet as pq
import pytest

from plugchat_async import (
    CONTACTS,
    Account,
    AccountExport,
    Clock,
    Contact,
    InvalidTypeError,
    InvalidValueError,
    RetryPolicy,
    ServiceError,
    export_many,
    to_arrow,
)
from plugchat_async.integrations.dask import fetch_many_dask
from plugchat_async.integrations.opentelemetry import OpenTelemetry
from plugchat_async.testing import Fault, PlugChatSimulator
from support.dask_cluster import TOKEN, accounts, counted, hidden, rows, thirty_accounts, two_workers, whole
from support.exports import FAILURES, MANIFEST, only
from support.traits import KNOWN_SERVER

pytestmark = [
    pytest.mark.timeout(120),
    # A worker that is killed takes its sockets with it.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    yield from two_workers()


@pytest.fixture
def sim() -> Iterator[PlugChatSimulator]:
    yield from thirty_accounts()


@pytest.mark.slow
def test_batches_become_parts(client: Any, sim: PlugChatSimulator, tmp_path: Path) -> None:
    """One Parquet file for each, by both workers; a summary and a manifest as of any export."""
    told: list[AccountExport] = []
    summary = fetch_many_dask(
        accounts(sim), client=client, out=tmp_path, batch_size=5, page_size=20, on_result=told.append
    )
    assert (summary.finished, summary.failed, summary.chats, summary.unverified) == (30, 0, 1500, 0)
    assert rows(tmp_path) == whole(sim)
    parts = list(tmp_path.glob("part-*.parquet"))
    assert len(parts) == 6
    assert {export.file for export in told} == set(parts)
    assert all(export.report is not None and export.report.verified for export in told)
    lines = [json.loads(line) for line in (tmp_path / MANIFEST).read_text().splitlines()]
    export = lines[0].pop("id")
    assert lines[0] == {"plugchat_export": 1, "format": "parquet", "layout": "parts", "limit": None}
    assert all(part.name.startswith(f"part-{export}-") for part in parts)
    assert sorted(len(line["chats"]) for line in lines[1:]) == [5] * 6
    assert hidden(tmp_path) == []
    asked = len(sim.requests)
    again = fetch_many_dask(accounts(sim), client=client, out=tmp_path)
    assert (again.finished, again.skipped) == (0, 30)
    assert len(sim.requests) == asked


@pytest.mark.slow
def test_parts_of_another_list(client: Any, sim: PlugChatSimulator, tmp_path: Path) -> None:
    """With `call`, the parts have the columns of its items."""
    summary = fetch_many_dask(accounts(sim), client=client, out=tmp_path, call=CONTACTS)
    assert (summary.finished, summary.failed, summary.chats) == (30, 0, 1500)
    table = pq.read_table(next(tmp_path.glob("part-*.parquet")))
    assert table.column_names == ["account", *to_arrow([], item=Contact).column_names]
    assert {request.path for request in sim.requests} == {CONTACTS.path}
    with pytest.raises(InvalidValueError, match="already holds all items of /api/whatsapp/contacts"):
        fetch_many_dask(accounts(sim), client=client, out=tmp_path)


@pytest.mark.slow
def test_failed_accounts_leave_nothing_in_the_parts(client: Any, sim: PlugChatSimulator, tmp_path: Path) -> None:
    """They are listed with reason and hint; a part of failures alone is none."""
    sim.script(Fault.none(), Fault.status(401, body=f"no token {TOKEN}-3"), token=f"{TOKEN}-3")
    wrong = [Account(f"wrong {number}", f"Bearer {TOKEN}", sim.base_url) for number in range(3)]
    summary = fetch_many_dask([*accounts(sim, 6), *wrong], client=client, out=tmp_path, batch_size=3, page_size=20)
    assert (summary.finished, summary.failed) == (5, 4)
    assert summary.errors == {"AuthenticationError": 1, "InvalidValueError": 3}
    good = whole(sim, 6)
    assert rows(tmp_path) == Counter({row: count for row, count in good.items() if row[0] != "a3"})
    assert len(list(tmp_path.glob("part-*"))) == 2
    text = (tmp_path / FAILURES).read_text()
    assert {json.loads(line)["account"] for line in text.splitlines()} == {"a3", "wrong 0", "wrong 1", "wrong 2"}
    assert TOKEN not in text
    summary = fetch_many_dask(accounts(sim, 6), client=client, out=tmp_path)
    assert (summary.finished, summary.skipped) == (1, 5)
    assert rows(tmp_path) == good


@pytest.mark.slow
def test_a_lost_workers_batch_is_run_again(client: Any, sim: PlugChatSimulator, tmp_path: Path) -> None:
    """One of the two is killed in the middle: each chat is there once, and nothing half-written."""
    killed: list[int] = []

    def kill() -> None:
        while len(sim.requests) < 40:
            time.sleep(0.01)
        pids: dict[str, int] = client.run(os.getpid)
        killed.append(next(iter(pids.values())))
        os.kill(killed[0], signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    summary = fetch_many_dask(
        accounts(sim),
        client=client,
        out=tmp_path,
        batch_size=8,
        concurrency=1,
        page_size=10,
        account_requests_per_second=30.0,
    )
    killer.join()
    assert killed
    assert (summary.finished, summary.failed) == (30, 0)
    assert rows(tmp_path) == whole(sim)
    assert len(sim.requests) > 30 * 6  # some were fetched again
    assert hidden(tmp_path) == []


@pytest.mark.slow
def test_an_interruption_between_accounts_of_a_part_duplicates_nothing(
    client: Any, sim: PlugChatSimulator, tmp_path: Path
) -> None:
    """A part's accounts are all finished, or none; parts that were not counted are removed."""

    def on_result(_: AccountExport) -> None:
        raise KeyboardInterrupt

    wrong = Account("wrong", "Bearer x", sim.base_url)
    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            fetch_many_dask([wrong, *accounts(sim, 12)], client=client, out=tmp_path, batch_size=3, on_result=on_result)
        assert hidden(tmp_path) == []
        assert set(rows(tmp_path).values()) <= {1}
    summary = fetch_many_dask(accounts(sim, 12), client=client, out=tmp_path, batch_size=5)
    assert summary.skipped >= 2
    assert rows(tmp_path) == whole(sim, 12)


KILLED = """
import sys
from distributed import Client
from plugchat_async import Account
from plugchat_async.integrations.dask import fetch_many_dask
if __name__ == "__main__":
    accounts = [Account(f"a{n}", f"s3cr3t-t0ken-{n}", sys.argv[1]) for n in range(30)]
    with Client(sys.argv[2]) as client:
        fetch_many_dask(accounts, client=client, out=sys.argv[3], batch_size=4, page_size=10, restart=len(sys.argv) > 4)
"""


def kill_clients(client: Any, sim: PlugChatSimulator, out: Path, *options: str) -> None:
    """Export with two clients, one after the other, which are killed in the middle."""
    scheduler: str = client.scheduler.address
    command = [sys.executable, "-c", KILLED, sim.base_url, scheduler, str(out), *options]
    before = len(sim.requests)
    for wanted in (40, 80):
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            deadline = time.monotonic() + 60
            while len(sim.requests) < before + wanted and time.monotonic() < deadline:
                time.sleep(0.005)
            process.kill()


def wait_for_workers(client: Any) -> None:
    """What a worker was in the middle of goes on when nobody wants it any more."""
    deadline = time.monotonic() + 60
    while sum(client.run(lambda dask_worker: dask_worker.state.executing_count).values()):
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.mark.slow
def test_a_killed_client_is_gone_on_with(client: Any, sim: PlugChatSimulator, tmp_path: Path) -> None:
    """Its workers live on, but write nothing that is counted twice."""
    kill_clients(client, sim, tmp_path)
    summary = fetch_many_dask(accounts(sim), client=client, out=tmp_path, batch_size=7)
    assert summary.finished + summary.skipped == 30
    wait_for_workers(client)
    assert rows(tmp_path) == whole(sim)
    assert hidden(tmp_path) == []


@pytest.mark.slow
def test_a_client_that_is_killed_while_it_starts_over_costs_nothing(
    client: Any, sim: PlugChatSimulator, tmp_path: Path
) -> None:
    """Each account has its old part or a new one. A run that continues replaces the rest."""
    fetch_many_dask(accounts(sim), client=client, out=tmp_path, batch_size=5)
    kill_clients(client, sim, tmp_path, "restart")
    assert counted(tmp_path) == whole(sim)
    fetch_many_dask(accounts(sim), client=client, out=tmp_path, batch_size=7)
    wait_for_workers(client)
    assert rows(tmp_path) == counted(tmp_path) == whole(sim)
    assert hidden(tmp_path) == []


@pytest.mark.slow
def test_files_of_others_are_left_alone(client: Any, sim: PlugChatSimulator, tmp_path: Path) -> None:
    """Though their names look like ours."""
    names = ["part-00000-spark.snappy.parquet", "part-mine.txt", ".run-notes", ".hidden"]
    names += ["part-01234567-0123456789abcdef-01234567.parquet", ".run-01234567-01234567"]
    for name in names:
        (tmp_path / name).touch()
    fetch_many_dask(accounts(sim, 2), client=client, out=tmp_path)
    assert all((tmp_path / name).exists() for name in names)
    fetch_many_dask(accounts(sim, 3), client=client, out=tmp_path)
    fetch_many_dask(accounts(sim, 3), client=client, out=tmp_path, restart=True)
    assert all((tmp_path / name).exists() for name in names)


@pytest.mark.slow
def test_parts_of_a_lost_manifest_are_left_alone(client: Any, sim: PlugChatSimulator, tmp_path: Path) -> None:
    """They are nobody's to remove, however often a new export is called."""
    fetch_many_dask(accounts(sim, 3), client=client, out=tmp_path)
    parts = set(tmp_path.glob("part-*"))
    (tmp_path / MANIFEST).unlink()
    for _ in range(2):
        fetch_many_dask(accounts(sim, 6)[3:], client=client, out=tmp_path)
    assert all(part.exists() for part in parts)
    assert rows(tmp_path) == whole(sim, 6)


@pytest.mark.slow
def test_a_fresh_export_of_another_layout_ends_what_still_runs(
    client: Any, sim: PlugChatSimulator, tmp_path: Path
) -> None:
    """Parts and leases of a killed client go, whoever begins anew."""
    fetch_many_dask(accounts(sim, 2), client=client, out=tmp_path)
    export = json.loads((tmp_path / MANIFEST).read_text().splitlines()[0])["id"]
    for name in (f"part-{export}-0123456789abcdef-01234567.parquet", f".run-{export}-01234567"):
        (tmp_path / name).touch()
    asyncio.run(export_many(accounts(sim, 2), tmp_path, restart=True))
    assert only(tmp_path) == [MANIFEST, "a0.jsonl", "a1.jsonl"]


@pytest.mark.slow
def test_the_command_uses_a_cluster_that_runs(client: Any, sim: PlugChatSimulator, tmp_path: Path) -> None:
    """By its scheduler's address; --restart and --concurrency reach it."""
    file = tmp_path / "accounts.csv"
    file.write_text("name,token,base_url\n" + "".join(f"{a.name},{a.token},{a.base_url}\n" for a in accounts(sim, 4)))
    command = [sys.executable, "-W", "error", "-m", "plugchat_async", "bulk", str(file), "-o", str(tmp_path / "out")]
    command += ["--dask", client.scheduler.address]
    for options in ([], ["--restart"]):
        done = subprocess.run([*command, *options], capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        assert re.search(r"accounts finished +│ +4 ", done.stdout)
    assert rows(tmp_path / "out") == whole(sim, 4)
    done = subprocess.run([*command, "--concurrency", "0"], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "concurrency must be at least 1" in done.stderr


@pytest.mark.slow
def test_a_client_that_is_not_the_default_will_do(client: Any, sim: PlugChatSimulator, tmp_path: Path) -> None:
    """And an endless iterable is read as batches are wanted."""
    taken = 0

    def endless() -> Iterator[Account]:
        nonlocal taken
        while True:
            taken += 1
            yield Account(f"b{taken}", f"{TOKEN}-1", sim.base_url)

    def on_result(_: AccountExport) -> None:
        raise KeyError("enough")

    with (
        distributed.Client(client.scheduler.address, set_as_default=False) as other,
        pytest.raises(KeyError, match="enough"),
    ):
        fetch_many_dask(endless(), client=other, out=tmp_path, batch_size=2, on_result=on_result)
    assert taken <= 2 * (2 * 2 + 1)


def test_a_lost_cluster_is_told(sim: PlugChatSimulator, tmp_path: Path) -> None:
    """Not as failures of its accounts: what is finished is kept, and the same call goes on."""
    options: dict[str, Any] = {
        "n_workers": 1,
        "threads_per_worker": 1,
        "dashboard_address": "127.0.0.1:0",
        "processes": False,
    }
    with distributed.LocalCluster(**options) as cluster, distributed.Client(cluster) as lost:

        def close(_: AccountExport) -> None:
            lost.close()

        with pytest.raises(ServiceError, match="the Dask cluster was lost") as caught:
            fetch_many_dask(accounts(sim, 9), client=lost, out=tmp_path, batch_size=3, on_result=close)
        assert "make the same call again" in caught.value.hint
    assert not (tmp_path / FAILURES).exists()
    assert hidden(tmp_path) == []
    assert set(rows(tmp_path).values()) == {1}


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        {"batch_size": 0},
        {"concurrency": 0},
        {"restart": 1},
        {"on_result": 5},
        {"client": None},
        {"accounts": None},
        {"accounts": 5},
        {"telemetry": OpenTelemetry()},
        {"clock": Clock()},
        {"page_size": 0},
        {"proxy": "x"},
        {"base_url": "http://x.example"},
    ],
)
def test_wrong_options_are_refused_at_once(client: Any, tmp_path: Path, options: dict[str, Any]) -> None:
    """Before anything is made."""
    given = {"accounts": [], "client": client, "out": tmp_path / "out", **options}
    with pytest.raises((InvalidValueError, InvalidTypeError)):
        fetch_many_dask(given.pop("accounts"), **given)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_what_is_no_account_or_named_twice_is_refused(client: Any, sim: PlugChatSimulator, tmp_path: Path) -> None:
    """When it comes."""
    text: Any = "ab"
    with pytest.raises(InvalidTypeError, match="accounts must yield Account, got str.*read_accounts"):
        fetch_many_dask(text, client=client, out=tmp_path)
    with pytest.raises(InvalidValueError, match="there are two accounts named 'a0'"):
        fetch_many_dask([*accounts(sim, 2), *accounts(sim, 2)], client=client, out=tmp_path)


async def test_an_asynchronous_client_is_refused(tmp_path: Path) -> None:
    """The function blocks."""
    options: dict[str, Any] = {"n_workers": 0, "asynchronous": True, "dashboard_address": "127.0.0.1:0"}
    async with distributed.LocalCluster(**options) as cluster, distributed.Client(cluster, asynchronous=True) as made:
        with pytest.raises(InvalidTypeError, match="must not be asynchronous"):
            fetch_many_dask([], client=made, out=tmp_path)


@pytest.mark.slow
def test_people_are_merged_and_bad_values_counted(sim: PlugChatSimulator, client: Any, tmp_path: Path) -> None:
    """As by export_many; the folder is gone on with as what it is."""
    page = (
        '[{"phone":"","lid":"7@lid","name":"Ana","unread":"many"},{"phone":"120-group"},'
        '{"phone":"551190000007","lid":"7@lid","unread":"3"}]'
    )
    sim.script(Fault.answer(page), token=f"{TOKEN}-0")
    accounts = [Account("a0", f"{TOKEN}-0")]
    known: Any = {"base_url": sim.base_url, "server_traits": KNOWN_SERVER}
    summary = fetch_many_dask(accounts, client=client, out=tmp_path, merge_people=True, **known)
    assert (summary.finished, summary.chats, summary.problems) == (1, 2, 1)
    assert rows(tmp_path) == {("a0", "551190000007"): 1, ("a0", "120-group"): 1}
    with pytest.raises(InvalidValueError, match="one chat for each person"):
        fetch_many_dask(accounts, client=client, out=tmp_path)
    assert fetch_many_dask(accounts, client=client, out=tmp_path, merge_people=True).skipped == 1


@pytest.mark.slow
def test_accounts_without_chats_are_asked_again(client: Any, sim: PlugChatSimulator, tmp_path: Path) -> None:
    """By each run, unless allow_empty is given. Their parts do not pile up, and no chat is lost or doubled."""
    sim.add_account("empty", 0)
    mixed = [Account("b", "empty", sim.base_url), *accounts(sim, 2)]
    told: list[AccountExport] = []
    summary = fetch_many_dask(mixed, client=client, out=tmp_path, batch_size=3, on_result=told.append)
    assert (summary.finished, summary.empty, summary.kept) == (3, 1, 0)
    assert [export.account for export in told if export.empty] == ["b"]
    for _ in range(3):
        summary = fetch_many_dask(mixed, client=client, out=tmp_path)
        assert (summary.finished, summary.empty, summary.skipped) == (1, 1, 2)
    assert len(list(tmp_path.glob("part-*"))) == 2
    assert rows(tmp_path) == whole(sim, 2)
    summary = fetch_many_dask(mixed, client=client, out=tmp_path, allow_empty=True)
    assert (summary.finished, summary.empty, summary.skipped) == (0, 0, 3)


@pytest.mark.slow
def test_starting_over_keeps_parts_until_all_of_their_accounts_have_new_ones(
    client: Any, sim: PlugChatSimulator, tmp_path: Path
) -> None:
    """Whatever fails. An account has its old part until it has a new one, and the manifest tells which one counts."""
    fetch_many_dask(accounts(sim, 6), client=client, out=tmp_path, batch_size=3)
    old = {part.name: part.read_bytes() for part in tmp_path.glob("part-*")}
    gone = [Account(account.name, account.token, "http://127.0.0.1:1") for account in accounts(sim, 6)]
    refused = [Account(account.name, "refused", sim.base_url) for account in accounts(sim, 6)]
    for broken in (gone, refused):
        summary = fetch_many_dask(broken, client=client, out=tmp_path, restart=True, retry=RetryPolicy(1))
        assert (summary.finished, summary.failed) == (0, 6)
        assert {part.name: part.read_bytes() for part in tmp_path.glob("part-*")} == old
    # a0 fails, a1 to a4 are fetched in other batches, a5 is not passed any more.
    some = [refused[0], *accounts(sim, 5)[1:]]
    summary = fetch_many_dask(some, client=client, out=tmp_path, batch_size=2, restart=True)
    assert (summary.finished, summary.failed) == (4, 1)
    assert counted(tmp_path) == whole(sim, 5)
    assert len(old.keys() & {part.name for part in tmp_path.glob("part-*")}) == 1
    summary = fetch_many_dask(accounts(sim, 5), client=client, out=tmp_path)
    assert (summary.finished, summary.skipped) == (1, 4)
    assert rows(tmp_path) == counted(tmp_path) == whole(sim, 5)
    assert not old.keys() & {part.name for part in tmp_path.glob("part-*")}


@pytest.mark.slow
def test_starting_over_believes_no_empty_list(client: Any, sim: PlugChatSimulator, tmp_path: Path) -> None:
    """Of an account whose part has chats, unless allow_empty is given. In another layout, too."""
    asyncio.run(export_many(accounts(sim, 2), tmp_path))
    full = accounts(sim, 2)
    fetch_many_dask(full, client=client, out=tmp_path, restart=True)
    assert rows(tmp_path) == whole(sim, 2)
    assert list(tmp_path.glob("*.jsonl")) == []
    sim.add_account("empty", 0)
    away = [Account("a0", "empty", sim.base_url), full[1], Account("b", "empty", sim.base_url)]
    for restart in (True, False):
        summary = fetch_many_dask(away, client=client, out=tmp_path, restart=restart)
        assert (summary.kept, summary.finished, summary.skipped) == (1, 1 + restart, 1 - restart)
        assert counted(tmp_path) == whole(sim, 2)
    summary = fetch_many_dask(away, client=client, out=tmp_path, allow_empty=True)
    assert (summary.kept, summary.finished) == (0, 1)
    assert not any(name == "a0" for name, _ in rows(tmp_path))
