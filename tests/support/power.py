"""A disk that loses its power: what may be left of a folder, at every moment at which something was changed in it."""

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

# The paths in a folder, and what is in their files. Folders are there with the files in them.
Left = dict[str, bytes]


class Disk:
    """Records what a folder would be after a loss of power, with the folders in it, but none in those.

    What was not flushed of a file may be there wholly, half, or not at all; names that were not flushed may each be
    there or not. Flushed names are those that were there when the flush of their own folder began. What is in a folder
    is there only if that is.

    Attributes:
        calls: The calls that changed something, with the name that they are about.
        moments: For each of these moments, what was promised by then, and all that may be left.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.RLock()
        self._held: dict[int, int] = {}  # open files by inode, so that no number is used again
        self._names: dict[str, int] = {}  # flushed: inodes by name
        self._flushed: dict[int, bytes] = {}
        self._seen: dict[int, bytes] = {}
        self._folders: set[int] = set()
        self.promised: Any = None
        self.calls: list[tuple[str, str]] = []
        self.moments: list[tuple[Any, list[Left]]] = []
        self._names = self._look()
        self._flushed = dict(self._seen)

    def watch(self, patch: pytest.MonkeyPatch) -> None:
        """Record until the patches are undone."""
        fsync, replace, unlink, link, mkdir = os.fsync, os.replace, os.unlink, os.link, os.mkdir

        def on_fsync(descriptor: int) -> None:
            with self._lock:
                path = Path(f"/proc/self/fd/{descriptor}").readlink()
                self._moment()
                names = self._look()
                fsync(descriptor)
                if path.is_dir():
                    self._names = {
                        **{name: inode for name, inode in self._names.items() if self._parent(name) != path},
                        **{name: inode for name, inode in names.items() if self._parent(name) == path},
                    }
                elif path.is_relative_to(self._folder):
                    self._flushed[os.fstat(descriptor).st_ino] = path.read_bytes()
                self.calls.append(("fsync", path.name))
                self._moment()

        def changing(name: str, call: Callable[..., None], changed_path: int = -1) -> Callable[..., None]:
            def changed(*arguments: Any, **options: Any) -> None:
                with self._lock:
                    self._moment()
                    call(*arguments, **options)
                    self.calls.append((name, Path(arguments[changed_path]).name))
                    self._moment()

            return changed

        patch.setattr(os, "fsync", on_fsync)
        patch.setattr(os, "replace", changing("replace", replace))
        patch.setattr(os, "unlink", changing("unlink", unlink))
        patch.setattr(os, "link", changing("link", link))
        patch.setattr(os, "mkdir", changing("mkdir", mkdir, 0))

    def promise(self, promised: Any) -> None:
        """Note what has been told to the caller. It must hold from now on."""
        with self._lock:
            self.promised = promised
            self._moment()

    def close(self) -> None:
        """Close what is held."""
        for descriptor in self._held.values():
            os.close(descriptor)

    def _look(self) -> dict[str, int]:
        """Read the folder as it is."""
        names: dict[str, int] = {}
        for path in self._folder.rglob("*"):
            descriptor = os.open(path, os.O_RDONLY)
            inode = os.fstat(descriptor).st_ino
            if self._held.setdefault(inode, descriptor) != descriptor:
                os.close(descriptor)
            names[path.relative_to(self._folder).as_posix()] = inode
            self._seen[inode] = b"" if path.is_dir() else path.read_bytes()
            if path.is_dir():
                self._folders.add(inode)
        return names

    def _parent(self, name: str) -> Path:
        return (self._folder / name).parent

    def _moment(self) -> None:
        now = self._look()
        left: list[Left] = []
        for names in _between(self._names, now):
            for part in (0.0, 0.5, 1.0):
                folders = {".", *(name for name, inode in names.items() if inode in self._folders)}
                state = {
                    name: self._content(inode, part)
                    for name, inode in names.items()
                    if name not in folders and Path(name).parent.as_posix() in folders
                }
                if state not in left:
                    left.append(state)
        self.moments.append((self.promised, left))

    def _content(self, inode: int, part: float) -> bytes:
        flushed, seen = self._flushed.get(inode, b""), self._seen[inode]
        if not seen.startswith(flushed):
            flushed = b""
        return flushed + seen[len(flushed) : len(flushed) + int(part * (len(seen) - len(flushed)))]


def _between(before: dict[str, int], now: dict[str, int]) -> Iterator[dict[str, int]]:
    """Yield the folder with none of its changes, with all, with each alone, and with all but each."""
    changed = sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))
    yield before
    yield now
    for one in changed:
        for base, other in ((before, now), (now, before)):
            names = dict(base)
            names.pop(one, None)
            if one in other:
                names[one] = other[one]
            yield names


def states(disk: Disk) -> list[tuple[Any, Left]]:
    """Everything that may be left, with what was promised, each once."""
    found: dict[tuple[Any, frozenset[tuple[str, bytes]]], tuple[Any, Left]] = {}
    for promised, several in disk.moments:
        for left in several:
            found.setdefault((promised, frozenset(left.items())), (promised, left))
    return list(found.values())


def restore(left: Left, folder: Path) -> None:
    """Make a folder hold what is left, and nothing else. A file that is there keeps its inode, as on a disk."""
    folder.mkdir(exist_ok=True)
    for path in folder.rglob("*"):
        if path.is_file() and (path.relative_to(folder).as_posix() not in left or path.stat().st_nlink > 1):
            path.unlink()
    for path in folder.iterdir():
        if path.is_dir() and not any(path.iterdir()):
            path.rmdir()
    for name, content in left.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)
