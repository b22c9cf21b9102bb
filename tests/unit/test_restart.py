"""Starting over: whatever ends the run, each account has its old file until its new one is whole."""

import asyncio
import json
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from plugchat_async import Account, Chat, export_many
from plugchat_async.export.manifest import Manifest
from plugchat_async.export.manifest_lines import ManifestEntry
from plugchat_async.export.parquet import ParquetChatWriter
from plugchat_async.testing import Fault, PlugChatSimulator
from support.exports import FAILURES, MANIFEST, Style, account, emptied, failures, only
from support.fakes import FakeTime, served

STYLES: list[Style] = ["jsonl", "csv", "parquet"]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name.startswith("account")}


def runs(folder: Path) -> dict[str, tuple[str, str]]:
    """The run that each file is of, and its start, by the last line that names the file."""
    lines = [json.loads(line) for line in (folder / MANIFEST).read_text().splitlines()[1:]]
    return {line["file"]: (line["run"], line["run_started"]) for line in lines}


@pytest.mark.parametrize("now", STYLES)
@pytest.mark.parametrize("trouble", ["service down", "token refused", "network gone", "not connected"])
async def test_a_run_that_gets_nothing_costs_nothing(
    tmp_path: Path, sim: PlugChatSimulator, fake_time: FakeTime, trouble: str, now: Style
) -> None:
    """In the format of before, or another. The next run that gets something replaces what it gets."""
    accounts = [account(number, sim) for number in range(3)]
    await export_many(accounts, tmp_path, clock=fake_time.clock)
    before, of_run = contents(tmp_path), runs(tmp_path)
    broken = accounts
    match trouble:
        case "service down":
            for number in range(3):
                sim.script(*[Fault.status(503)] * 30, token=f"token-{number}")
        case "token refused":
            sim.script(*[Fault.status(401)] * 3)
        case "network gone":
            broken = [Account(each.name, each.token, "http://127.0.0.1:1") for each in accounts]
        case _:
            sim.script(*[Fault.status(400, body='{"error": "You are not connected."}')] * 3)
    fake_time.now += 86_400.0
    summary = await export_many(broken, tmp_path, format=now, restart=True, clock=fake_time.clock)
    assert (summary.finished, summary.failed) == (0, 3)
    assert contents(tmp_path) == before
    assert runs(tmp_path) == of_run
    assert len(failures(tmp_path)) == 3
    later = [emptied(accounts[0], sim), *[account(number, sim) for number in (10, 11)]]
    later = [Account(each.name, after.token, sim.base_url) for each, after in zip(accounts, later, strict=True)]
    summary = await export_many(later, tmp_path, format=now, clock=fake_time.clock)
    assert (summary.finished, summary.kept) == (2, 1)
    assert only(tmp_path) == sorted([FAILURES, MANIFEST, "account 0.jsonl", f"account 1.{now}", f"account 2.{now}"])
    assert runs(tmp_path)["account 0.jsonl"] == of_run["account 0.jsonl"]
    assert runs(tmp_path)[f"account 1.{now}"] != of_run["account 1.jsonl"]


async def test_a_file_names_its_run(tmp_path: Path, sim: PlugChatSimulator) -> None:
    """Its id, and when it began; also where only some accounts could be fetched again."""
    accounts = [account(number, sim) for number in range(2)]
    await export_many(accounts, tmp_path)
    first = runs(tmp_path)
    assert len(set(first.values())) == 1
    sim.script(Fault.status(401), token="token-1")
    await export_many(accounts, tmp_path, restart=True)
    second = runs(tmp_path)
    assert second["account 1.jsonl"] == first["account 1.jsonl"]
    assert second["account 0.jsonl"][0] != first["account 0.jsonl"][0]


async def test_an_empty_account_keeps_a_part_only_if_its_own_chats_are_in_it(
    tmp_path: Path, sim: PlugChatSimulator
) -> None:
    """Not those of others, when an export of a cluster is replaced by files of single accounts."""
    manifest = Manifest(tmp_path, "parquet", "parts", restart=False)
    part = tmp_path / f"part-{manifest.id}-0123456789abcdef-01234567.parquet"
    writer = ParquetChatWriter(part, "account 1")
    writer.write([Chat("1")])
    writer.commit()
    manifest.add(ManifestEntry(part.name, {"account 0": 0, "account 1": 1}, size=part.stat().st_size))
    manifest.close()
    summary = await export_many([account(number, sim, 0) for number in range(2)], tmp_path, restart=True)
    assert (summary.finished, summary.kept) == (1, 1)
    assert only(tmp_path) == [FAILURES, MANIFEST, "account 0.jsonl", part.name]


async def test_a_part_does_not_stay_for_accounts_that_are_not_passed(tmp_path: Path, sim: PlugChatSimulator) -> None:
    """It has chats of the others, too, which a reader of the folder would get twice."""
    manifest = Manifest(tmp_path, "parquet", "parts", restart=False)
    for name in ("x", "y"):
        (tmp_path / name).write_bytes(b"123")
    manifest.add(ManifestEntry("x", {"account 0": 1, "gone": 1}, size=3))
    manifest.add(ManifestEntry("y", {"account 1": 1, "account 0": 1}, size=3))
    manifest.close()
    sim.script(Fault.status(401), token="token-1")
    summary = await export_many([account(number, sim) for number in range(2)], tmp_path, restart=True)
    assert (summary.finished, summary.failed, summary.others, summary.deleted) == (1, 1, 0, 1)
    assert only(tmp_path) == [FAILURES, MANIFEST, "account 0.jsonl", "y"]


@pytest.mark.slow
@pytest.mark.parametrize("now", ["jsonl", "parquet"])
async def test_a_run_that_is_killed_leaves_each_account_a_file(tmp_path: Path, now: Style) -> None:
    """By kill -9, again and again, at any time: an old one or a new one, which the manifest names, and no half one."""
    code = """
import asyncio, sys
from plugchat_async import Account, ServerTraits, export_many
accounts = [Account(f"account {n}", f"t{n}") for n in range(30)]
known = {"base_url": sys.argv[1], "server_traits": ServerTraits(longest_page=1000, short_pages="end")}
options = {"format": sys.argv[3], "concurrency": 4, "page_size": 20, "restart": sys.argv[4] == "restart"}
asyncio.run(export_many(accounts, sys.argv[2], **options, **known))
"""
    with served(PlugChatSimulator(1, latency=0.005, dialect="documented")) as sim:
        for number in range(30):
            sim.add_account(f"t{number}", 40, seed=number)
        arguments = [sys.executable, "-c", code, sim.base_url, str(tmp_path)]
        await asyncio.to_thread(subprocess.run, [*arguments, "jsonl", "first"], check=True, timeout=50)
        before = contents(tmp_path)
        for number in range(30):
            sim._accounts[f"t{number}"].new_chat()
        for requests in (1, 15, 40):
            with subprocess.Popen([*arguments, now, "restart"], stderr=subprocess.DEVNULL) as process:
                asked, deadline = len(sim.requests), time.monotonic() + 30
                while len(sim.requests) < asked + requests and time.monotonic() < deadline:
                    await asyncio.sleep(0.001)
                process.kill()
            manifest = Manifest(tmp_path, now, "accounts", restart=False)
            manifest.close()
            for number in range(30):
                name = f"account {number}"
                if name in manifest.finished:
                    assert manifest.finished[name].chats == 41
                else:
                    kept = manifest.kept[name]
                    assert rows(tmp_path / kept) in (40, 41)
                    assert rows(tmp_path / kept) == 41 or contents(tmp_path)[kept] == before[kept]
        await asyncio.to_thread(subprocess.run, [*arguments, now, "go on"], check=True, timeout=50)
        assert only(tmp_path) == sorted([MANIFEST, *(f"account {number}.{now}" for number in range(30))])
        assert {rows(tmp_path / f"account {number}.{now}") for number in range(30)} == {41}


def rows(file: Path) -> int:
    if file.suffix == ".parquet":
        return pq.read_metadata(file).num_rows
    return len(file.read_text().splitlines())
