"""Files that appear whole or not at all: they are written beside, and take their name when they are complete."""

import errno
import os
import re
import shutil
import socket
from collections.abc import Generator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from secrets import token_hex
from typing import BinaryIO

from plugchat_async.errors import OutputError, PlugChatError

# File systems take names of 255 bytes; what is added to one here is less than 40.
_NAME_BYTES = 200
UNICODE_HINT = 'Replace the invalid part first, such as with text.encode("utf-8", "replace").decode().'
_DESCRIPTOR = re.compile(r"/dev/std(?:(out)|err)|/(?:dev|proc/self)/fd/([0-9]{1,6})")
# The names of those that this process writes now.
_open: set[str] = set()
# This machine or container, of those that may share a folder.
_HOST = sha256(socket.gethostname().encode()).hexdigest()[:8]
_PART = re.compile(rf"\..*\.{_HOST}-([0-9]{{1,9}})-[0-9a-f]{{8}}\.part")


@contextmanager
def writing(path: Path) -> Generator[None]:
    """Turn what the system says while `path` is written into an OutputError."""
    trouble = hint = ""
    try:
        yield
    except PlugChatError:
        raise
    except UnicodeEncodeError:
        trouble, hint = "a text is not valid Unicode: it holds half of a surrogate pair", UNICODE_HINT
    except ValueError as error:  # a path with NUL
        trouble = str(error)
    except OSError as error:
        trouble = error.strerror or str(error)
        if error.errno == errno.EMFILE:
            hint = "Let fewer accounts be under way at a time, or raise this process's limit of open files."
    if trouble:
        raise OutputError(f"can't write {path}: {trouble}", hint, path=str(path))


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read. It changes wholly or not at all; OutputError if that fails.

    OutputError, too, for what is no regular file: to take the place of a device would do harm.
    """
    with writing(path):
        if path.exists() and not path.is_file():
            raise OutputError(f"can't write {path}: it is no regular file", path=str(path))
        target = Path(os.path.realpath(path))  # a link stays one
        part = beside(target)
        try:
            part.touch(mode=0o600)
            part.write_text(text, "utf-8")
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)


class AtomicFile:
    """A file to be. Write into `file`, in bytes; then `commit`, or `discard`, which does nothing after a commit.

    OutputError if the folder does not allow it. What is not a regular file, like a pipe, is written as it is.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._beside: Path | None = None
        with writing(path):
            descriptor = _descriptor_of(path)
            if descriptor is not None:
                # Shared, so that what others write there goes before and behind it.
                self.file: BinaryIO = _shared(descriptor)
                return
            if path.exists() and not path.is_file():
                self.file = path.open("wb")
                return
            self._target = Path(os.path.realpath(path))  # a link stays one
            self._beside = beside(self._target)
            _open.add(self._beside.name)
            try:
                self.file = self._beside.open("xb")
            except BaseException:
                _open.discard(self._beside.name)
                raise
            try:
                with suppress(FileNotFoundError):
                    shutil.copymode(self._target, self._beside)  # before it holds anything
            except BaseException:
                self.discard()
                raise

    def commit(self) -> None:
        """Let the file appear, in place of what had its name. OutputError if that fails."""
        try:
            with writing(self.path):
                self.file.close()
                if self._beside is not None:
                    self._beside.replace(self._target)
                    _open.discard(self._beside.name)
                    self._beside = None
        finally:
            self.discard()

    def discard(self) -> None:
        """Leave nothing."""
        with suppress(OSError):  # what can't be flushed is not wanted
            self.file.close()
        if self._beside is not None:
            with suppress(OSError):
                self._beside.unlink()
            _open.discard(self._beside.name)
            self._beside = None


def _descriptor_of(path: Path) -> int | None:
    """Give the descriptor that a path stands for, perhaps over links, or None."""
    name = os.fspath(path)
    for _ in range(40):  # as many as Linux follows
        found = _DESCRIPTOR.fullmatch(name)
        if found is not None:
            return int(found[2]) if found[2] else 1 if found[1] else 2
        try:
            name = os.path.join(os.path.dirname(name), os.readlink(name))  # noqa: PTH115, PTH118, PTH120 - links, one by one
        except (OSError, ValueError):
            break
    return None


def _shared(descriptor: int) -> BinaryIO:
    copy = os.dup(descriptor)
    try:
        return os.fdopen(copy, "wb")
    except BaseException:
        os.close(copy)
        raise


def beside(target: Path) -> Path:
    """Give a name in the same folder for a file that is to become `target`, hidden and not used by any other."""
    name = target.name.encode(errors="surrogateescape")[:_NAME_BYTES].decode(errors="ignore")
    return target.with_name(f".{name}.{_HOST}-{os.getpid()}-{token_hex(4)}.part")


def sweep(folder: Path) -> None:
    """Remove what killed processes of this machine have left half-written."""
    with suppress(OSError):
        for path in folder.iterdir():
            found = _PART.fullmatch(path.name)
            if found is not None and path.name not in _open and not _runs_elsewhere(int(found[1])):
                path.unlink(missing_ok=True)


def _runs_elsewhere(pid: int) -> bool:
    """Tell whether another process has this number; where that can't be known, it does."""
    if pid == os.getpid():  # in a container each run may have the same
        return False
    if os.name != "posix":
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def lock(file: BinaryIO) -> bool:
    """Keep other processes from locking the same file while this one has it open. False if another one has done so.

    True, too, where the system knows no such locks: it is a help, not a promise.
    """
    try:
        import fcntl  # noqa: PLC0415 - not on Windows
    except ModuleNotFoundError:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # some network file systems
        return True
    return True
