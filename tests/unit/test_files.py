"""Files that appear whole: who may read them until then, what is flushed, and whose links are followed."""

import errno
import os
import stat
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from plugchat_async import InvalidValueError, OutputError, WatchState, read_jsonl, write_jsonl
from plugchat_async._internal import files, links
from plugchat_async._internal.files import AtomicFile, flush_folder, flush_to_disk, previous_of, write_private
from plugchat_async._internal.links import resolve
from plugchat_async._internal.locks import lock_beside
from plugchat_async._internal.parts import temporary_name
from plugchat_async.export.folder import BOOKKEEPING, make_folder
from plugchat_async.export.manifest import Manifest
from support.chats import CHATS

needs_posix = pytest.mark.skipif(os.name != "posix", reason="needs permissions")


def only(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


# Who may read them.


@needs_posix
@pytest.mark.parametrize("shown", [True, False])
@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_a_file_is_private_until_it_appears(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, umask: int, mode: int, *, shown: bool
) -> None:
    """Then it has the permissions of what it replaces, or of new files, whether or not the system shows the umask."""
    if not shown:
        monkeypatch.setattr(files, "_STATUS", tmp_path / "none")
    before = os.umask(umask)
    try:
        for wanted in (mode, 0o640):
            whole = AtomicFile(tmp_path / "x")
            [part] = [path for path in tmp_path.iterdir() if path.name.startswith(".")]
            assert mode_of(part) == 0o600
            whole.commit()
            assert mode_of(tmp_path / "x") == wanted
            (tmp_path / "x").chmod(0o640)
    finally:
        os.umask(before)
    assert only(tmp_path) == ["x"]


@needs_posix
@pytest.mark.parametrize("number", [errno.EPERM, errno.ENOTSUP, errno.EIO])
def test_a_file_system_without_permissions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Takes files all the same; a disk that fails does not."""

    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    whole = AtomicFile(tmp_path / "x")
    monkeypatch.setattr(Path, "chmod", refuse)
    with pytest.raises(OutputError) if number == errno.EIO else nullcontext():
        whole.commit()
    assert only(tmp_path) == ([] if number == errno.EIO else ["x"])


@needs_posix
def test_a_part_that_can_not_be_removed_is_private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a folder that has become read-only, just before it would have appeared."""

    def refuse(*_: object) -> None:
        raise PermissionError

    whole = AtomicFile(tmp_path / "x")
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", refuse)
        patch.setattr(Path, "unlink", refuse)
        with pytest.raises(OutputError, match=r"can't write .*x: PermissionError"):  # it has no text
            whole.commit()
    [part] = tmp_path.iterdir()
    assert mode_of(part) == 0o600


@needs_posix
def test_a_system_that_shows_no_umask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As old ones, whose list of what they show lacks it."""
    (tmp_path / "status").write_text("Name:\tpython\n")
    monkeypatch.setattr(files, "_STATUS", tmp_path / "status")
    AtomicFile(tmp_path / "x").commit()
    (tmp_path / "y").touch()
    assert mode_of(tmp_path / "x") == mode_of(tmp_path / "y")


@needs_posix
def test_what_is_no_file_is_not_replaced_by_a_private_one(tmp_path: Path) -> None:
    """That would do harm."""
    for path in (tmp_path, Path("/dev/null")):
        with pytest.raises(OutputError, match="not a regular file"):
            write_private(path, "text")


# What killed processes leave.


@pytest.mark.parametrize("write", [lambda path: AtomicFile(path).commit(), lambda path: write_private(path, "text\n")])
def test_what_was_left_of_a_file_is_swept_by_its_next_writer(tmp_path: Path, write: Callable[[Path], None]) -> None:
    """Not what another file has left, or another process is writing."""
    left = [temporary_name(tmp_path / name).name for name in ("x", "y", "x.y")]
    alive = left[0].replace(f"-{os.getpid()}-", f"-{os.getppid()}-")
    for name in (*left, alive):
        (tmp_path / name).touch()
    write(tmp_path / "x")
    assert only(tmp_path) == sorted([*left[1:], alive, "x"])
    whole = AtomicFile(tmp_path / "y", sweep=False)
    write_private(tmp_path / "y", "")
    whole.commit()
    assert only(tmp_path) == sorted([left[2], alive, "x", "y"])


def test_what_was_left_of_a_second_name_is_swept(tmp_path: Path) -> None:
    """It holds as much as the file itself."""
    path = tmp_path / "x"
    write_private(path, "text\n")
    left = temporary_name(previous_of(path))
    left.hardlink_to(path)
    write_private(path, "other\n", keep_previous=True)
    assert only(tmp_path) == ["x", "x.previous"]


# What is flushed.


def test_what_is_no_file_has_nothing_to_flush() -> None:
    """A pipe, and a file in memory."""
    import io

    reading, writing = os.pipe()
    with os.fdopen(reading), os.fdopen(writing, "w") as file:
        flush_to_disk(writing)
        flush_to_disk(file)
    flush_to_disk(io.StringIO())


@needs_posix
def test_a_folder_is_flushed_where_the_system_can(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some network file systems can't, nor can Windows. A disk that fails is told."""
    code = errno.EINVAL
    calls = 0

    def fail(_: int) -> None:
        nonlocal calls
        calls += 1
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", fail)
    flush_folder(tmp_path)
    code = errno.EIO
    with pytest.raises(OSError, match="Input/output error"):
        flush_folder(tmp_path)
    assert calls == 2
    monkeypatch.setattr(os, "name", "nt")
    flush_folder(tmp_path)
    assert calls == 2


@pytest.mark.parametrize("sync", [True, False])
def test_what_was_written_without_waiting_is_not_flushed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, sync: bool
) -> None:
    """Nor are its folders. A new folder is on disk when its name is in the folder above, for each that is new."""
    flushed: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: flushed.append(os.fstat(descriptor).st_ino))
    make_folder(tmp_path / "a" / "b", sync=sync)
    assert sorted(flushed) == sorted(path.stat().st_ino for path in ((tmp_path, tmp_path / "a") if sync else ()))
    flushed.clear()
    AtomicFile(tmp_path / "x", sync=sync).commit()
    write_private(tmp_path / "y", "text\n", sync=sync)
    WatchState().save(tmp_path / "z", sync=sync)
    Manifest(tmp_path / "a", "csv", "accounts", restart=False, sync=sync).close()
    assert bool(flushed) == sync


def test_a_file_that_can_not_be_flushed_does_not_appear(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was there stays."""

    def fail(_: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    (tmp_path / "x").write_text("before")
    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OutputError, match="Input/output error"):
        AtomicFile(tmp_path / "x").commit()
    with pytest.raises(OutputError, match="Input/output error"):
        write_private(tmp_path / "x", "after")
    assert (only(tmp_path), (tmp_path / "x").read_text()) == (["x"], "before")


# Too many open files.


@pytest.mark.parametrize("code", [errno.EMFILE, errno.ENFILE])
async def test_too_many_open_files_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    """Whatever is read or written; nobody is told to delete a state for it, or does without a lock."""
    state, lines = tmp_path / "state", tmp_path / "x.jsonl"
    WatchState().save(state)
    await write_jsonl(CHATS, lines)

    def full(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    def locked() -> None:
        with lock_beside(state):
            pass

    monkeypatch.setattr(os, "open", full)
    monkeypatch.setattr(Path, "open", full)
    monkeypatch.setattr(Path, "read_bytes", full)
    calls: list[Callable[[], Any]] = [
        lambda: AtomicFile(state),
        lambda: write_private(state, ""),
        locked,
        lambda: Manifest(tmp_path, "csv", "accounts", restart=False),
        lambda: WatchState.load(state),
        lambda: next(read_jsonl(lines)),
    ]
    for call in calls:
        with pytest.raises((OutputError, InvalidValueError), match="Too many open files") as caught:
            call()
        assert caught.value.hint == "Lower the concurrency, or raise this process's limit of open files."


# Links of others.


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    """A folder like /tmp."""
    folder = tmp_path / "shared"
    folder.mkdir()
    folder.chmod(0o1777)
    return folder


@needs_posix
@pytest.mark.parametrize("there", [True, False])
async def test_another_users_link_in_a_shared_folder_is_not_followed(
    tmp_path: Path, shared: Path, monkeypatch: pytest.MonkeyPatch, *, there: bool
) -> None:
    """To a file, to a lock, to a folder, or over a link of one's own."""
    target, link, mine = tmp_path / "target", shared / "link", tmp_path / "mine"
    if there:
        target.write_text("mine")
    for name in ("link", "x.lock", BOOKKEEPING):
        (shared / name).symlink_to(target)
    mine.symlink_to(link)
    others = {shared / name for name in ("link", "x.lock", BOOKKEEPING)}
    owner_of: Callable[[Path], int] = getattr(links, "_owner_of")  # noqa: B009 - it is private
    monkeypatch.setattr(links, "_owner_of", lambda path: owner_of(path) + (path in others))

    def locked(path: Path) -> None:
        with lock_beside(path):
            pass

    calls: list[Callable[[], Any]] = [
        lambda: AtomicFile(link),
        lambda: AtomicFile(mine),
        lambda: write_private(link, "text"),
        lambda: WatchState().save(link),
        lambda: locked(link),
        lambda: locked(shared / "x"),
        lambda: make_folder(link, sync=False),
        lambda: Manifest(shared, "csv", "accounts", restart=False),
    ]
    for call in calls:
        with pytest.raises(OutputError, match="is a link of another user, in a folder that everybody") as caught:
            call()
        assert caught.value.hint == "Use a folder of your own, or the path that the link leads to."
    with pytest.raises(OutputError, match="is a link of another user"):
        await write_jsonl(CHATS, link)
    assert target.exists() == there
    assert not there or target.read_text() == "mine"
    assert only(shared) == sorted(path.name for path in others)


@needs_posix
@pytest.mark.parametrize("mode", [0o1777, 0o777, 0o1775])
def test_links_that_the_system_would_follow_are_followed(
    tmp_path: Path, shared: Path, monkeypatch: pytest.MonkeyPatch, mode: int
) -> None:
    """One's own, those of the folder's owner, and any in other folders."""
    (shared / "link").symlink_to("../target")
    owner, offset = (tmp_path / "target", 1)
    AtomicFile(shared / "link").commit()
    shared.chmod(mode)
    owner_of: Callable[[Path], int] = getattr(links, "_owner_of")  # noqa: B009 - it is private
    if mode == 0o1777:  # another user's, as its link
        monkeypatch.setattr(links, "_owner_of", lambda path: owner_of(path) + offset)
    else:
        monkeypatch.setattr(links, "_owner_of", lambda path: owner_of(path) + (path.name == "link"))
    write_private(shared / "link", "text")
    assert owner.read_text() == "text"
    assert resolve(shared / "link") == tmp_path / "target"


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() != 0, reason="needs root")
def test_a_link_that_really_is_another_users(tmp_path: Path, shared: Path) -> None:
    """As the system tells it."""
    (shared / "link").symlink_to(tmp_path / "target")
    os.chown(shared / "link", 12345, 12345, follow_symlinks=False)
    with pytest.raises(OutputError, match="is a link of another user"):
        AtomicFile(shared / "link")
    os.chown(shared, 12345, 12345)
    AtomicFile(shared / "link").commit()
    assert (tmp_path / "target").exists()
