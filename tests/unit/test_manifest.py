"""The manifest of an export: its lock, its entries, and what happens when it or a file can't be written."""

import errno
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from plugchat_async import (
    Chat,
    InvalidValueError,
    OutputError,
    export_many,
)
from plugchat_async._internal.parts import temporary_name
from plugchat_async.export import account_files
from plugchat_async.export import manifest as _manifest
from plugchat_async.export import parquet as _parquet
from plugchat_async.export.manifest import Manifest
from plugchat_async.export.manifest_lines import CompletedAccount, Layout, ManifestEntry
from plugchat_async.testing import PlugChatSimulator
from support.exports import FAILURES, MANIFEST, account, failures, only, parts


async def test_a_run_that_is_refused_leaves_the_other_ones_files_alone(tmp_path: Path, sim: PlugChatSimulator) -> None:
    """Though their process looks dead from here, as one in another container does."""
    manifest = Manifest(tmp_path, "jsonl", "accounts", restart=False)
    name = temporary_name(tmp_path / "x.jsonl").name.replace(str(os.getpid()), "999999999")
    for path in (tmp_path / name, tmp_path / ".y.jsonl.01234567-1-01234567.part"):
        path.touch()
    with pytest.raises(InvalidValueError, match="another run is exporting to"):
        await export_many([account(1, sim)], tmp_path)
    assert (tmp_path / name).exists()
    manifest.close()
    await export_many([account(2, sim)], tmp_path)
    assert only(tmp_path) == [MANIFEST, ".y.jsonl.01234567-1-01234567.part", "account 2.jsonl"]


def test_locks_are_a_help_where_there_are_any(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some network file systems have none, nor has Windows of this kind."""
    import fcntl

    def unsupported(*_: object) -> None:
        raise OSError(errno.ENOLCK, "no locks")

    monkeypatch.setattr(fcntl, "flock", unsupported)
    Manifest(tmp_path, "csv", "accounts", restart=False).close()
    monkeypatch.setitem(sys.modules, "fcntl", None)
    Manifest(tmp_path, "csv", "accounts", restart=False).close()


def test_a_manifest_counts_a_file_with_all_its_accounts(tmp_path: Path) -> None:
    """One line, so all of them or none."""
    manifest = Manifest(tmp_path, "parquet", "parts", restart=False)
    (tmp_path / "part-1").write_bytes(b"1")
    manifest.add(ManifestEntry("part-1", {"a": 1, "b": 2}, ["b"]))
    manifest.add(ManifestEntry("part-2", {"c": 3}))
    manifest.close()
    again = Manifest(tmp_path, "parquet", "parts", restart=False)
    again.close()
    assert again.finished == {
        "a": CompletedAccount("part-1", 1, verified=True),
        "b": CompletedAccount("part-1", 2, verified=False),
    }


def test_an_account_is_finished_or_kept(tmp_path: Path) -> None:
    """Whichever came last, in this run and in the next."""
    manifest = Manifest(tmp_path, "jsonl", "accounts", restart=False)
    for name in ("a", "b", f"part-{manifest.id}-x"):
        (tmp_path / name).write_bytes(b"1")
    manifest.add(ManifestEntry("a", {"a": 0}))
    manifest.keep("a", "a")
    manifest.keep("b", "b")
    manifest.keep("c", f"part-{manifest.id}-x")
    manifest.add(ManifestEntry("b", {"b": 2}))
    manifest.remove_unlisted_parts()
    for _ in range(2):
        assert manifest.kept == {"a": "a", "c": f"part-{manifest.id}-x"}
        assert manifest.finished == {"b": CompletedAccount("b", 2, verified=True)}
        manifest.close()
        manifest = Manifest(tmp_path, "jsonl", "accounts", restart=False)
    manifest.close()


LAYOUTS: list[Layout] = ["accounts", "parts"]


@pytest.mark.parametrize("before", LAYOUTS)
@pytest.mark.parametrize("now", LAYOUTS)
def test_a_file_is_kept_until_each_of_its_accounts_has_a_new_one(tmp_path: Path, before: Layout, now: Layout) -> None:
    """When starting over, also in another layout, and in a later run."""
    manifest = Manifest(tmp_path, "parquet", before, restart=False)
    for name in ("x", "y", "z"):
        (tmp_path / name).write_bytes(b"123")
    manifest.add(ManifestEntry("x", {"a": 1, "b": 2, "c": 0}, size=3, run="01234567", run_started="then"))
    manifest.close()
    for restart in (True, False, True):
        manifest = Manifest(tmp_path, "parquet", now, restart=restart)
        assert (manifest.finished, manifest.kept) == ({}, {"a": "x", "b": "x", "c": "x"})
        [line] = (tmp_path / MANIFEST).read_bytes().splitlines()[1:]
        assert msgspec.json.decode(line, type=ManifestEntry) == ManifestEntry(
            "x", {}, kept=["a", "b", "c"], size=3, run="01234567", run_started="then"
        )
        manifest.close()
    manifest = Manifest(tmp_path, "parquet", now, restart=False)
    manifest.add(ManifestEntry("y", {"a": 1}, size=3))
    assert (tmp_path / "x").exists()
    assert manifest.remove(["c"]) == 0
    assert (tmp_path / "x").exists()
    manifest.close()
    manifest = Manifest(tmp_path, "parquet", now, restart=False)
    assert (set(manifest.finished), set(manifest.kept)) == ({"a"}, {"b", "c"})
    manifest.add(ManifestEntry("z", {"b": 1, "c": 2}, size=3))
    manifest.close()
    assert only(tmp_path) == [MANIFEST, "y", "z"]


@pytest.mark.parametrize(
    ("content", "finished", "kept"),
    [(b"123", {"a"}, set()), (b"1234", set(), {"a"}), (b"12", set(), {"a"}), (b"", set(), set())],
)
def test_a_file_of_another_size_is_not_finished(
    tmp_path: Path, content: bytes, finished: set[str], kept: set[str]
) -> None:
    """A loss of power has cut it off, or somebody has edited it. It is kept until there is a new one, if it has any."""
    manifest = Manifest(tmp_path, "jsonl", "accounts", restart=False)
    (tmp_path / "x").write_bytes(b"1")
    manifest.add(ManifestEntry("x", {"a": 1}, size=1))
    (tmp_path / "x").write_bytes(b"123")
    manifest.add(ManifestEntry("x", {"a": 2}, size=3))
    manifest.close()
    (tmp_path / "x").write_bytes(content)
    manifest = Manifest(tmp_path, "jsonl", "accounts", restart=False)
    manifest.close()
    assert (set(manifest.finished), set(manifest.kept)) == (finished, kept)
    assert (tmp_path / "x").exists()


def test_a_file_without_bytes_is_finished_only_without_chats(tmp_path: Path) -> None:
    """Also where an older version has not noted its size: it did not wait for the disk."""
    manifest = Manifest(tmp_path, "jsonl", "accounts", restart=False)
    for name, chats in (("a", 1), ("b", 0)):
        (tmp_path / name).touch()
        manifest.add(ManifestEntry(name, {name: chats}))
    manifest.close()
    manifest = Manifest(tmp_path, "jsonl", "accounts", restart=False)
    manifest.close()
    assert (set(manifest.finished), manifest.kept) == ({"b"}, {})


def test_a_new_file_of_another_size_does_not_replace_the_kept_one(tmp_path: Path) -> None:
    """What was there before is better than a half."""
    manifest = Manifest(tmp_path, "jsonl", "accounts", restart=False)
    for name in ("old", "new"):
        (tmp_path / name).write_bytes(b"123")
    manifest.keep("a", "old")
    (tmp_path / "old").rename(tmp_path / "hidden")
    manifest.add(ManifestEntry("new", {"a": 1}, size=4))
    manifest.close()
    (tmp_path / "hidden").rename(tmp_path / "old")
    manifest = Manifest(tmp_path, "jsonl", "accounts", restart=False)
    manifest.close()
    assert (manifest.finished, manifest.kept) == ({}, {"a": "old"})
    assert (tmp_path / "old").exists()


def test_zeros_at_the_end_are_dropped(tmp_path: Path) -> None:
    """Some file systems put them where a line was not yet written when the power went, perhaps with its end."""
    manifest = Manifest(tmp_path, "jsonl", "accounts", restart=False)
    (tmp_path / "x").write_bytes(b"1")
    manifest.add(ManifestEntry("x", {"a": 1}))
    manifest.close()
    before = (tmp_path / MANIFEST).read_bytes()
    (tmp_path / MANIFEST).write_bytes(before + b"\0" * 50 + b'"unverified":[]}\n')
    manifest = Manifest(tmp_path, "jsonl", "accounts", restart=False)
    manifest.close()
    assert set(manifest.finished) == {"a"}
    assert (tmp_path / MANIFEST).read_bytes() == before


@pytest.mark.parametrize("replaceable", [True, False])
def test_starting_over_replaces_the_manifest_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, replaceable: bool
) -> None:
    """If that fails, it is as it was. Nobody else gets the lock meanwhile, where systems can replace open files."""
    monkeypatch.setattr(_manifest, "OPEN_FILES_CAN_BE_REPLACED", replaceable)
    manifest = Manifest(tmp_path, "jsonl", "accounts", restart=False)
    (tmp_path / "x").write_bytes(b"1")
    manifest.add(ManifestEntry("x", {"a": 1}))
    manifest.close()
    before = (tmp_path / MANIFEST).read_bytes()

    def fail(_: Path, target: Path) -> None:
        if replaceable:
            with pytest.raises(InvalidValueError, match="another run"):
                Manifest(tmp_path, "jsonl", "accounts", restart=False)
        raise OSError(errno.EIO, os.strerror(errno.EIO), str(target))

    with monkeypatch.context() as patch, pytest.raises(OutputError, match="Input/output error"):
        patch.setattr(Path, "replace", fail)
        Manifest(tmp_path, "jsonl", "accounts", restart=True)
    assert (only(tmp_path), (tmp_path / MANIFEST).read_bytes()) == ([MANIFEST, "x"], before)
    manifest = Manifest(tmp_path, "jsonl", "accounts", restart=True)
    assert manifest.kept == {"a": "x"}
    with pytest.raises(InvalidValueError, match="another run"):
        Manifest(tmp_path, "jsonl", "accounts", restart=False)
    manifest.close()


@pytest.mark.parametrize("merge_people", [False, True])
async def test_what_a_format_can_not_hold_is_its_accounts_failure(
    tmp_path: Path, sim: PlugChatSimulator, monkeypatch: pytest.MonkeyPatch, *, merge_people: bool
) -> None:
    """The others do not see it. No service can send such a chat: a number so large is a value that can't be read."""
    accounts = [account(number, sim) for number in range(3)]
    write = _parquet.batch_of

    def refuse(chats: Sequence[Chat], name: str | None, item: type[Any]) -> Any:
        if name == "account 1":
            chats = [*chats, Chat("1", unread=2**63)]
        return write(chats, name, item)

    monkeypatch.setattr(_parquet, "batch_of", refuse)
    monkeypatch.setattr(account_files, "_BATCH", 2)
    summary = await export_many(accounts, tmp_path, format="parquet", page_size=2, limit=6, merge_people=merge_people)
    assert (summary.finished, summary.failed) == (2, 1)
    assert "64 bits" in failures(tmp_path)[0]["message"]
    assert "'account 1'" in failures(tmp_path)[0]["message"]
    assert only(tmp_path) == [FAILURES, MANIFEST, "account 0.parquet", "account 2.parquet"]


async def test_a_manifest_that_can_not_be_written_ends_it(
    tmp_path: Path, sim: PlugChatSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The account's file is whole, but it is fetched again."""

    def full(*_: object) -> None:
        raise OutputError("can't write it: No space left on device")

    accounts = [account(number, sim) for number in range(4)]
    with monkeypatch.context() as patch:
        patch.setattr(Manifest, "add_all", full)
        with pytest.raises(OutputError):
            await export_many(accounts, tmp_path)
    assert not parts(tmp_path)
    assert (await export_many(accounts, tmp_path)).finished == 4
