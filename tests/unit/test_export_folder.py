"""The folder of an export: bookkeeping and parts are below `.plugchat/`, and that of older versions is moved there."""

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest

from plugchat_async import InvalidValueError, OutputError, export_many
from plugchat_async._internal.files import AtomicFile
from plugchat_async._internal.locks import open_locked
from plugchat_async._internal.parts import temporary_name
from plugchat_async.export.folder import BOOKKEEPING, OLDER_MANIFEST, make_bookkeeping, parts_folder
from plugchat_async.export.manifest import Manifest
from plugchat_async.testing import Fault, PlugChatSimulator
from support.exports import MANIFEST, account, only, parts
from support.power import Disk, restore, states

HEADING = '{"plugchat_export":1,"format":"jsonl","layout":"accounts","limit":null,"id":"01234567"}\n'
ENTRY = '{"file":"account 0.jsonl","chats":{"account 0":1},"unverified":[],"size":12}\n'


def make_older(folder: Path) -> None:
    """What an older version leaves that was killed after a run in which an account had failed."""
    dead = temporary_name(folder / "account 1.jsonl").name.replace(f"-{os.getpid()}-", "-999999999-")
    for name, text in {
        OLDER_MANIFEST: HEADING + ENTRY,
        "account 0.jsonl": '{"phone":1}\n',
        "failures.jsonl": "{}\n",
        dead: "half",
        ".run-01234567-89abcdef": "",
        "part-01234567-0123456789abcdef-01234567.parquet": "",
    }.items():
        (folder / name).write_text(text)


async def test_the_folder_of_an_older_version_is_moved_and_gone_on_with(tmp_path: Path, sim: PlugChatSimulator) -> None:
    """Only its files stay where they are; what it had finished is not fetched again."""
    make_older(tmp_path)
    (tmp_path / "notes.jsonl").write_text("mine")
    summary = await export_many([account(number, sim) for number in range(2)], tmp_path)
    assert (summary.finished, summary.skipped) == (1, 1)
    assert only(tmp_path) == [MANIFEST, "account 0.jsonl", "account 1.jsonl", "notes.jsonl"]
    assert (tmp_path / MANIFEST).read_text().startswith(HEADING + ENTRY)


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
@pytest.mark.parametrize("sync", [True, False])
def test_moving_loses_no_finished_account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, sync: bool) -> None:
    """Whenever the power fails, also without `sync`: what was finished was on disk."""
    out = tmp_path / "out"
    out.mkdir()
    make_older(out)
    disk = Disk(out)
    with monkeypatch.context() as patch:
        disk.watch(patch)
        Manifest(out, "jsonl", "accounts", restart=False, sync=sync).close()
    disk.close()
    found = states(disk)
    assert len(found) > 5
    for _, left in found:
        restore(left, tmp_path / "left")
        for _ in range(2):
            manifest = Manifest(tmp_path / "left", "jsonl", "accounts", restart=False)
            manifest.close()
            assert set(manifest.finished) == {"account 0"}
        whole = [name for name in only(tmp_path / "left") if not name.endswith(".part")]
        assert whole == [MANIFEST, "account 0.jsonl"]


def test_a_run_of_an_older_version_keeps_this_one_out(tmp_path: Path) -> None:
    """It has locked its own manifest."""
    make_older(tmp_path)
    older = open_locked(tmp_path / OLDER_MANIFEST)
    assert older is not None
    with older, pytest.raises(InvalidValueError, match="another run is exporting to"):
        Manifest(tmp_path, "jsonl", "accounts", restart=False)
    Manifest(tmp_path, "jsonl", "accounts", restart=False).close()
    assert OLDER_MANIFEST not in only(tmp_path)


@pytest.mark.parametrize("older", [HEADING, "", "half", "\0\0\0\n"])
def test_an_older_manifest_that_is_there_again_is_removed(tmp_path: Path, older: str) -> None:
    """After a loss of power, or after an older version has run in between; so is one in which nothing is."""
    make_older(tmp_path)
    Manifest(tmp_path, "jsonl", "accounts", restart=False).close()
    (tmp_path / OLDER_MANIFEST).write_text(older)
    manifest = Manifest(tmp_path, "jsonl", "accounts", restart=False)
    manifest.close()
    assert set(manifest.finished) == {"account 0"}
    assert OLDER_MANIFEST not in only(tmp_path)


def test_parts_that_an_older_version_has_written_since_are_not_beside_others(tmp_path: Path) -> None:
    """A folder with both would have the chats of an account twice: it is told, and a restart replaces both."""
    with_parts = HEADING.replace("accounts", "parts").replace("jsonl", "parquet")

    def entry(name: str, **chats: int) -> str:
        (tmp_path / name).write_text("x")
        return json.dumps({"file": name, "chats": chats, "unverified": [], "size": 1}) + "\n"

    make_bookkeeping(tmp_path, sync=False)
    ours, theirs, third = (f"part-{number * 8}-0123456789abcdef-01234567.parquet" for number in "123")
    (tmp_path / MANIFEST).write_text(with_parts.replace("01234567", "1" * 8) + entry(ours, a=1, b=1))
    older = with_parts.replace("01234567", "2" * 8) + entry(theirs, b=1, c=1) + entry(third, a=1)
    (tmp_path / OLDER_MANIFEST).write_text(older)
    for _ in range(2):
        with pytest.raises(InvalidValueError, match=f"an older version has exported to .* has written {theirs}"):
            Manifest(tmp_path, "parquet", "parts", restart=False)
    assert only(tmp_path) == [MANIFEST, OLDER_MANIFEST, ours, theirs, third]
    Manifest(tmp_path, "parquet", "parts", restart=True).close()
    assert only(tmp_path) == [MANIFEST, ours, theirs]  # nothing is lost before it is fetched again
    manifest = Manifest(tmp_path, "parquet", "parts", restart=False)
    assert manifest.kept == {"a": ours, "b": ours, "c": theirs}
    assert manifest.remove(["a", "b", "c"]) == 2
    manifest.close()
    assert only(tmp_path) == [MANIFEST]


def test_a_file_of_the_users_is_not_taken_for_a_manifest(tmp_path: Path) -> None:
    """It is told once, and never touched."""
    (tmp_path / OLDER_MANIFEST).write_text("notes\n")
    with pytest.raises(InvalidValueError, match=r"line 1 of .*_manifest.ndjson is not part of an export manifest"):
        Manifest(tmp_path, "jsonl", "accounts", restart=False)
    for restart in (True, False):
        Manifest(tmp_path, "jsonl", "accounts", restart=restart).close()
        assert (tmp_path / OLDER_MANIFEST).read_text() == "notes\n"


def test_bookkeeping_must_be_where_files_can_be_renamed_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither behind a link nor on another file system; and it must be a folder."""
    out, other = tmp_path / "out", tmp_path / "other"
    out.mkdir()
    other.mkdir()
    (out / BOOKKEEPING).symlink_to(other)
    with pytest.raises(OutputError, match=r"can't use .*\.plugchat: it is a link, or on another file system") as caught:
        make_bookkeeping(out, sync=True)
    assert caught.value.hint.startswith("Remove the link")
    (out / BOOKKEEPING).unlink()
    (out / BOOKKEEPING).touch()
    with pytest.raises(OutputError, match="File exists"):
        make_bookkeeping(out, sync=True)
    (out / BOOKKEEPING).unlink()
    make_bookkeeping(out, sync=False)
    real = Path.stat

    def elsewhere(path: Path, **options: bool) -> os.stat_result:
        values = list(real(path, **options))
        values[2] += path.name == BOOKKEEPING  # st_dev
        return os.stat_result(values)

    monkeypatch.setattr(Path, "stat", elsewhere)
    with pytest.raises(OutputError, match="another file system"):
        make_bookkeeping(out, sync=True)


async def test_half_files_are_never_among_the_others(tmp_path: Path, sim: PlugChatSimulator) -> None:
    """While they are written; and nowhere afterwards."""
    sim.script(*[Fault.none()] * 2, Fault.hang(), token="token-0")
    exporting = asyncio.create_task(
        export_many([account(0, sim, 1500)], tmp_path, page_size=500, max_page_size=None, timeout=60.0)
    )
    async with asyncio.timeout(30):
        while not parts(tmp_path):
            await asyncio.sleep(0.01)
    assert only(tmp_path) == [f"{BOOKKEEPING}/{parts(tmp_path)[0]}", MANIFEST]
    exporting.cancel()
    await asyncio.wait([exporting])
    assert only(tmp_path) == [MANIFEST]


def test_a_file_is_below_until_it_is_whole(tmp_path: Path) -> None:
    """It has its permissions then. One behind a link out of the folder is beside what is behind that."""
    out, far = tmp_path / "out", tmp_path / "far"
    far.mkdir()
    out.mkdir()
    (tmp_path / "link").symlink_to(out)
    (out / "y").symlink_to(far / "y")
    make_bookkeeping(out, sync=True)
    for folder in (out, tmp_path / "link"):
        below = parts_folder(folder)
        output = AtomicFile(folder / "x", parts=below)
        assert [path.parent for path in tmp_path.rglob(".x.*")] == [out / BOOKKEEPING]
        output.commit()
        assert only(out) == ["x", "y"]
        output = AtomicFile(folder / "y", parts=below)
        assert [path.parent for path in tmp_path.rglob(".y.*")] == [far]
        output.discard()
    (tmp_path / "plain").touch()
    assert (out / "x").stat().st_mode == (tmp_path / "plain").stat().st_mode
