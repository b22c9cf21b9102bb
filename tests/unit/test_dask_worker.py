"""A batch on a worker of a Dask cluster, and a cluster that is lost."""

import asyncio
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cloudpickle
import distributed
import pyarrow.parquet as pq
import pytest

from plugchat_async import (
    Account,
    AccountExport,
    ConfigurationError,
    OutputError,
    ServiceError,
)
from plugchat_async.bulk.fetch import settings_of
from plugchat_async.integrations.dask import export as dask_export
from plugchat_async.integrations.dask import fetch_many_dask
from plugchat_async.integrations.dask.cluster import cluster_errors
from plugchat_async.integrations.dask.worker import BatchJob, fetch_batch, to_plain
from plugchat_async.testing import Fault, PlugChatSimulator
from support.dask_cluster import TOKEN, accounts, hidden, rows, thirty_accounts, two_workers, whole
from support.exports import FAILURES, only


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    yield from two_workers()


@pytest.fixture
def sim() -> Iterator[PlugChatSimulator]:
    yield from thirty_accounts()


@pytest.mark.slow
def test_a_batch_is_fetched_side_by_side(client: Any, sim: PlugChatSimulator, tmp_path: Path) -> None:
    """Ten accounts of one batch, each of which takes 0.5 s, take no five seconds; the size is chosen to fit."""
    for number in range(10):
        sim.script(Fault.delay(0.5), token=f"{TOKEN}-{number}")
    started = time.monotonic()
    fetch_many_dask(accounts(sim, 10), client=client, out=tmp_path, batch_size=10)
    assert time.monotonic() - started < 4.0
    assert len(list(tmp_path.glob("part-*"))) == 1
    assert dask_export.choose_batch_size(accounts(sim), client) == 4
    many: Any = range(100_000)
    assert dask_export.choose_batch_size(many, client) == 100
    assert dask_export.choose_batch_size(iter(accounts(sim)), client) == 100


@pytest.mark.slow
def test_a_batch_whose_workers_are_lost_again_and_again_fails(
    client: Any, sim: PlugChatSimulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its accounts are listed; the others are finished. The same call tries them again."""
    real = fetch_batch

    def deadly(batch: Any, job: Any) -> list[AccountExport]:
        if any(account.name == "a4" for account in batch):
            os.kill(os.getpid(), signal.SIGKILL)
        return real(batch, job)

    # Sent as it is, since workers do not know this module.
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    monkeypatch.setattr(dask_export, "fetch_batch", deadly)
    try:
        summary = fetch_many_dask(accounts(sim, 9), client=client, out=tmp_path, batch_size=3)
    finally:
        cloudpickle.unregister_pickle_by_value(sys.modules[__name__])
    assert summary.errors == {"ServiceError": summary.failed}
    listed = [json.loads(line) for line in (tmp_path / FAILURES).read_text().splitlines()]
    assert {"a3", "a4", "a5"} <= {line["account"] for line in listed}
    assert all("were lost" in line["message"] for line in listed)
    assert hidden(tmp_path) == []
    monkeypatch.undo()
    client.wait_for_workers(2, timeout=30)
    fetch_many_dask(accounts(sim, 9), client=client, out=tmp_path, batch_size=3)
    assert rows(tmp_path) == whole(sim, 9)


def test_an_attempt_that_was_given_up_replaces_nothing(sim: PlugChatSimulator, tmp_path: Path) -> None:
    """A worker may be taken for lost, and yet go on: what the other one has written, and was counted, stays."""
    job = BatchJob(str(tmp_path), "01234567", 4, to_plain(settings_of({"page_size": 20})), "run")
    job.lease.parent.mkdir()
    job.lease.touch()
    counted = fetch_batch(accounts(sim, 2), job)
    sim.script(Fault.status(401), token=f"{TOKEN}-1")
    late = fetch_batch(accounts(sim, 2), job)
    assert [export.error is None for export in counted] == [True, True]
    [part] = {export.file for export in counted}
    assert part is not None
    assert pq.read_table(part).num_rows == 100
    assert part not in {export.file for export in late}


@pytest.mark.slow
def test_a_batch_of_a_run_that_is_over_writes_nothing(client: Any, sim: PlugChatSimulator, tmp_path: Path) -> None:
    """Its lease is gone."""
    job = BatchJob(str(tmp_path), "01234567", 4, to_plain(settings_of({})), "run")
    job.lease.parent.mkdir()
    with pytest.raises(OutputError, match="is over"):
        fetch_batch(accounts(sim, 2), job)
    assert only(tmp_path) == []


def test_names_with_nul_are_told_apart() -> None:
    """A part's name is made of all of its accounts' names."""
    one = [Account("x", "t"), Account("y", "t")]
    job = BatchJob("out", "01234567", 1, {}, "run")
    assert job.part_name(one) != job.part_name([Account("x\0y", "t")])
    assert job.part_name(one) == job.part_name(list(one))


@pytest.mark.slow
def test_what_a_worker_can_not_do_is_told(
    client: Any, sim: PlugChatSimulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It lacks the package, perhaps; or the folder, which is an OutputError there as here."""
    monkeypatch.setattr(dask_export, "fetch_batch", int)
    with pytest.raises(ConfigurationError, match="a worker can't run a batch: TypeError") as caught:
        fetch_many_dask(accounts(sim, 2), client=client, out=tmp_path / "a")
    assert "same version of this package" in caught.value.hint
    monkeypatch.undo()

    def remove(_: AccountExport) -> None:
        shutil.rmtree(tmp_path / "b", ignore_errors=True)

    with pytest.raises(OutputError):
        fetch_many_dask(accounts(sim, 30), client=client, out=tmp_path / "b", batch_size=2, on_result=remove)


@pytest.mark.slow
@pytest.mark.parametrize("error", [OSError("gone"), distributed.CancelledError("x"), asyncio.CancelledError()])
def test_what_dask_raises_for_a_lost_cluster_is_ours(client: Any, error: BaseException) -> None:
    """One class, with a hint."""
    with pytest.raises(ServiceError, match="the Dask cluster was lost"), cluster_errors(client):
        raise error


def test_no_token_is_in_a_tasks_text(sim: PlugChatSimulator) -> None:
    """A worker that fails logs its arguments."""
    settings = settings_of({"proxy": f"http://u:{TOKEN}@proxy.example"})
    job = BatchJob("out", "01234567", 1, to_plain(settings), "run")
    assert TOKEN not in repr((accounts(sim, 2), job))
