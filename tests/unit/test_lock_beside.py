"""The lock on a path, by a file beside it."""

import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import BinaryIO

import pytest

from plugchat_async._internal import locks
from plugchat_async._internal.locks import lock_beside


def test_the_file_beside_is_there_meanwhile(tmp_path: Path) -> None:
    """A second one does not get the lock; links lead to the same one."""
    path, link = tmp_path / "x", tmp_path / "link"
    link.symlink_to(path)
    with lock_beside(path) as first, lock_beside(link) as second:
        assert (first, second) == (True, False)
        assert (tmp_path / "x.lock").exists()
    assert not (tmp_path / "x.lock").exists()
    with lock_beside(link) as again:
        assert again


@pytest.mark.parametrize("replaced", [True, False])
def test_a_file_that_its_owner_has_removed_meanwhile_locks_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, replaced: bool
) -> None:
    """It was opened before, and locked after that: it is tried again with the file of now."""
    real, calls = locks.lock, 0

    def lock(file: BinaryIO) -> bool:
        nonlocal calls
        calls += 1
        if calls == 1:
            (tmp_path / "x.lock").unlink()
            if replaced:
                (tmp_path / "x.lock").touch()
        return real(file)

    monkeypatch.setattr(locks, "lock", lock)
    with lock_beside(tmp_path / "x") as ours:
        assert ours
        assert calls == 2
        with lock_beside(tmp_path / "x") as others:
            assert not others


@pytest.mark.parametrize("path", ["none/x", "x\0y"])
def test_where_no_file_can_be_made_there_is_no_lock(tmp_path: Path, path: str) -> None:
    """It is a help, not a guarantee."""
    with lock_beside(tmp_path / path) as first, lock_beside(tmp_path / path) as second:
        assert first
        assert second
    with pytest.raises(KeyError) as caught, lock_beside(tmp_path / path):
        raise KeyError("of the caller")
    assert caught.value.__context__ is None  # why there is no lock is not why that failed


def test_on_windows_a_byte_behind_the_end_is_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is in the file can be read by others meanwhile, and is written where it would have been."""
    trouble: OSError | None = None
    locked: list[tuple[int, int, int]] = []

    def locking(descriptor: int, mode: int, size: int) -> None:
        locked.append((os.lseek(descriptor, 0, os.SEEK_CUR), mode, size))
        if trouble is not None:
            raise trouble

    monkeypatch.setitem(sys.modules, "fcntl", None)
    monkeypatch.setitem(sys.modules, "msvcrt", SimpleNamespace(locking=locking, LK_NBLCK=2))
    with (tmp_path / "x").open("wb+") as file:
        file.write(b"abc")
        file.flush()
        assert locks.lock(file)
        trouble = PermissionError(13, "Permission denied")
        assert not locks.lock(file)
        trouble = OSError(22, "Invalid argument")  # some network file systems
        assert locks.lock(file)
        file.write(b"d")
    assert (tmp_path / "x").read_bytes() == b"abcd"
    assert locked == [(1 << 30, 2, 1)] * 3
