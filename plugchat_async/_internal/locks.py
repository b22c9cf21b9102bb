"""Locks of files against other processes: a help, not a guarantee, since some systems have none."""

import os
from collections.abc import Generator
from contextlib import ExitStack, contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import BinaryIO, Final

from plugchat_async._internal.files import open_files_hint, output_errors
from plugchat_async._internal.links import resolve

# The largest round number that the system's call for locks can go to.
_LOCKED_BYTE: Final = 1 << 30


def lock(file: BinaryIO) -> bool:
    """Lock an open file against other processes. Return whether no other process had locked it.

    Where the system has no such locks, return True: the lock is a help, not a guarantee.
    """
    try:
        import fcntl  # noqa: PLC0415 - not on Windows
    except ModuleNotFoundError:
        return _lock_on_windows(file.fileno())
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # some network file systems
        return True
    return True


def _lock_on_windows(descriptor: int) -> bool:
    """Lock a byte far behind the end of a file, since nobody else can read what is locked."""
    try:
        msvcrt = import_module("msvcrt")
    except ModuleNotFoundError:  # another system without fcntl
        return True
    position = os.lseek(descriptor, 0, os.SEEK_CUR)
    try:
        os.lseek(descriptor, _LOCKED_BYTE, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
    except PermissionError:
        return False
    except OSError:  # some network file systems
        return True
    finally:
        os.lseek(descriptor, position, os.SEEK_SET)
    return True


def open_locked(path: Path) -> BinaryIO | None:
    """Open a file for reading and appending, and lock it against other processes.

    Returns:
        The file, or None if another process had locked it.
    """
    while True:
        file = path.open("ab+")
        with ExitStack() as stack:
            stack.callback(file.close)
            if not lock(file):
                return None
            with suppress(OSError):
                if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                    stack.pop_all()
                    return file
        # The one who had it has removed or replaced it since it was opened here.


@contextmanager
def lock_beside(path: Path) -> Generator[bool]:
    """Lock a path against other processes, by a file beside it that is there meanwhile.

    Yields whether no other had locked it. Where no such file can be made, True: the lock is a help, not a guarantee.

    Raises:
        OutputError: Too many files are open, or the path is another user's link in a folder like /tmp.
    """
    file, beside, can_lock = None, path, True
    try:
        target = resolve(path)
        beside = resolve(target.with_name(target.name + ".lock"))
        file = open_locked(beside)
    except (OSError, ValueError) as error:  # a folder that can't be written, a path with NUL
        if open_files_hint(error):  # a moment later there may be a lock
            with output_errors(path):
                raise
        can_lock = False
    if file is None:
        yield not can_lock
        return
    with file:
        try:
            yield True
        finally:
            with suppress(OSError):
                beside.unlink()
