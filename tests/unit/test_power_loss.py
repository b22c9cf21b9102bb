"""A loss of power: whatever is left of a folder, what was told to be finished is there, and the rest is redone."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from plugchat_async import Account, AccountExport, Chat, WatchState, export_many, write_jsonl
from plugchat_async.export.manifest import Manifest
from plugchat_async.testing import Fault, PlugChatSimulator
from plugchat_async.watch.snapshot import Snapshot
from support.exports import FAILURES, MANIFEST, account, emptied, failures, only
from support.power import Disk, Left, restore, states

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """The disk of the folder `out`. What it has when a test begins to watch it is flushed."""
    (tmp_path / "out").mkdir()
    made = Disk(tmp_path / "out")
    yield made
    made.close()


async def exported(
    disk: Disk, monkeypatch: pytest.MonkeyPatch, accounts: list[Account], out: Path, **options: Any
) -> None:
    told: set[str] = set()

    def on_result(export: AccountExport) -> None:
        if export.error is None and not export.kept:
            told.add(export.account)
        disk.promise(frozenset(told))

    with monkeypatch.context() as patch:
        disk.watch(patch)
        await export_many(accounts, out, on_result=on_result, page_size=10, **options)


def check_export(left: Left, promised: frozenset[str], folder: Path, whole: dict[str, set[bytes]]) -> None:
    """What counts as finished is whole, and what was told to be finished counts."""
    restore(left, folder)
    manifest = Manifest(folder, "jsonl", "accounts", restart=False)
    manifest.close()
    for name, done in manifest.finished.items():
        assert left[done.file] in whole[name]
    assert promised <= set(manifest.finished)


@pytest.mark.slow
async def test_an_export_claims_only_what_is_on_disk(
    tmp_path: Path, sim: PlugChatSimulator, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At any moment. What is not claimed is fetched by the next run, whatever is in its file."""
    accounts = [account(number, sim, 12) for number in range(4)]
    sim.script(Fault.status(401), token="token-3")
    out = tmp_path / "out"
    await exported(disk, monkeypatch, accounts, out)
    whole = {f"account {number}": {(out / f"account {number}.jsonl").read_bytes()} for number in range(3)}
    found = states(disk)
    assert len(found) > 20
    for promised, left in found:
        check_export(left, promised or frozenset(), tmp_path / "left", whole)
    assert [line["account"] for line in failures(out)] == ["account 3"]
    restore(found[-1][1], tmp_path / "left")
    assert FAILURES in only(tmp_path / "left")
    for _, left in found[:: len(found) // 10]:
        restore(left, tmp_path / "left")
        await export_many(accounts, tmp_path / "left", page_size=10)
        assert only(tmp_path / "left") == [MANIFEST, *(f"account {number}.jsonl" for number in range(4))]
        for name, content in whole.items():
            assert {(tmp_path / "left" / f"{name}.jsonl").read_bytes()} == content


@pytest.mark.slow
async def test_without_sync_a_loss_of_power_costs_accounts(
    tmp_path: Path, sim: PlugChatSimulator, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So this test sees it. Sizes tell it afterwards: nothing that is cut off counts as finished."""
    accounts = [account(number, sim, 12) for number in range(3)]
    await exported(disk, monkeypatch, accounts, tmp_path / "out", sync=False)
    assert not any(name == "fsync" for name, _ in disk.calls)
    whole = {f"account {number}": {(tmp_path / "out" / f"account {number}.jsonl").read_bytes()} for number in range(3)}
    lost = 0
    for promised, left in states(disk):
        check_export(left, frozenset(), tmp_path / "left", whole)
        try:
            check_export(left, promised or frozenset(), tmp_path / "left", whole)
        except AssertionError:
            lost += 1
    assert lost


@pytest.mark.slow
@pytest.mark.parametrize("earlier", ["jsonl", "csv"])
async def test_starting_over_loses_no_account(
    tmp_path: Path, sim: PlugChatSimulator, monkeypatch: pytest.MonkeyPatch, earlier: Any
) -> None:
    """At any moment each account has its old file or its new one, and the manifest knows which."""
    accounts = [account(number, sim, 12) for number in range(3)]
    out = tmp_path / "out"
    await export_many(accounts, out, format=earlier)
    before = {name: (out / name).read_bytes() for name in only(out)}
    accounts[2] = emptied(accounts[2], sim)
    for number in range(2):
        sim._accounts[f"token-{number}"].new_chat()
    disk = Disk(out)
    await exported(disk, monkeypatch, accounts, out, restart=True)
    after = {name: (out / name).read_bytes() for name in only(out)}
    for promised, left in states(disk):
        restore(left, tmp_path / "left")
        kind = "jsonl" if b'"format":"jsonl"' in left[MANIFEST].splitlines()[0] else earlier
        manifest = Manifest(tmp_path / "left", kind, "accounts", restart=False)
        manifest.close()
        assert (promised or set()) <= set(manifest.finished)
        for number in range(3):
            name = f"account {number}"
            done = manifest.finished.get(name)
            file = manifest.kept[name] if done is None else done.file
            assert (tmp_path / "left" / file).read_bytes() in (before.get(file), after.get(file))
    disk.close()


async def test_what_is_told_is_flushed_in_order(
    tmp_path: Path, sim: PlugChatSimulator, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file, its name, the folder, then the manifest, and the log of failures."""
    accounts = [account(0, sim, 12)]
    with monkeypatch.context() as patch:
        disk.watch(patch)
        await export_many(accounts, tmp_path / "out", page_size=10)
        sim.script(Fault.status(401), token="token-0")
        await export_many(accounts, tmp_path / "out", restart=True, page_size=10)
    below, manifest = MANIFEST.split("/")
    calls = [(call, "part" if name.endswith(".part") else name) for call, name in disk.calls]
    assert calls == [
        *[("mkdir", below), ("fsync", "out"), ("fsync", manifest), ("fsync", below)],
        *[("fsync", "part"), ("replace", "account 0.jsonl"), ("fsync", "out"), ("fsync", manifest)],
        *[("fsync", "part"), ("replace", manifest), ("fsync", below)],
        *[("fsync", Path(FAILURES).name), ("fsync", below)],
    ]


async def test_new_folders_above_an_export_are_flushed(
    tmp_path: Path, sim: PlugChatSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before an account is told to be finished: else it would be gone with the folder."""
    flushed: set[int] = set()
    monkeypatch.setattr(os, "fsync", lambda descriptor: flushed.add(os.fstat(descriptor).st_ino))
    out = tmp_path / "a" / "b"

    def on_result(_: AccountExport) -> None:
        assert {path.stat().st_ino for path in (tmp_path, tmp_path / "a", out)} <= flushed

    assert (await export_many([account(0, sim, 5)], out, on_result=on_result)).finished == 1


async def test_a_single_file_is_flushed_before_it_has_its_name(
    tmp_path: Path, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And its folder after that."""
    with monkeypatch.context() as patch:
        disk.watch(patch)
        await write_jsonl([Chat("1")], tmp_path / "out" / "x")
    assert [call for call, _ in disk.calls] == ["fsync", "replace", "fsync"]
    assert disk.calls[1:] == [("replace", "x"), ("fsync", "out")]
    for _, left in states(disk):
        assert left.get("x") in (None, (tmp_path / "out" / "x").read_bytes())


def state_of(count: int) -> WatchState:
    state = WatchState()
    state._snapshot = Snapshot(chats={f"{number}\n": Chat(str(number)) for number in range(count)})
    return state


@pytest.mark.parametrize("links", [True, False])
def test_a_saved_state_is_never_lost(
    tmp_path: Path, disk: Disk, monkeypatch: pytest.MonkeyPatch, *, links: bool
) -> None:
    """The last one that was saved is there, or the one that was being saved; also without second names for files."""

    def refuse(*_: object) -> None:
        raise PermissionError

    path = tmp_path / "out" / "state"
    with monkeypatch.context() as patch:
        if not links:
            patch.setattr(os, "link", refuse)
        disk.watch(patch)
        for count in range(1, 5):
            state_of(count).save(path)
            disk.promise(count)
    assert only(tmp_path / "out") == ["state", "state.previous"]
    assert [(file.stat().st_mode & 0o777) for file in (tmp_path / "out").iterdir()] == [0o600, 0o600]
    assert len(WatchState.load(f"{path}.previous").chats) == 3
    for promised, left in states(disk):
        restore(left, tmp_path / "left")
        assert (promised or 0) <= len(WatchState.load(tmp_path / "left" / "state").chats) <= (promised or 0) + 1


@pytest.mark.parametrize("torn", [b"", b"\0" * 40, b"\0" * 40 + b"\n", None])
def test_a_torn_state_is_replaced_by_the_one_before(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, torn: bytes | None
) -> None:
    """With a warning. It is kept beside the next one that is saved, too; a torn one is not."""
    path = tmp_path / "state"
    for count in (1, 2):
        state_of(count).save(path, sync=False)
    path.write_bytes(path.read_bytes()[:-9] if torn is None else torn)
    assert len(WatchState.load(path).chats) == 1
    assert caplog.messages == [f"the state {path} is damaged, so the one before it is used"]
    if torn is None or not torn.endswith(b"\n"):
        state_of(3).save(path)
        assert len(WatchState.load(f"{path}.previous").chats) == 1
    assert len(caplog.messages) == 1


def test_what_is_no_state_is_not_replaced(tmp_path: Path) -> None:
    """It is another file of the user's, or there is none before it."""
    path = tmp_path / "state"
    path.write_bytes(b"half")
    with pytest.raises(ValueError, match="does not hold a watch state"):
        WatchState.load(path)
    path.unlink()
    for count in (1, 2):
        state_of(count).save(path)
    path.write_text("notes\n")
    with pytest.raises(ValueError, match="does not hold a watch state"):
        WatchState.load(path)
