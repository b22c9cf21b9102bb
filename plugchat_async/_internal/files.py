"""Files that appear whole or not at all: written under a temporary name, and renamed when they are complete."""

import errno
import io
import os
import re
import shutil
import socket
import stat
import time
from collections.abc import Generator
from contextlib import ExitStack, contextmanager, suppress
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from secrets import token_hex
from typing import IO, Any, BinaryIO

from plugchat_async._internal.tasks import raise_if_cancelled
from plugchat_async.errors import OutputError, PlugChatError

# File systems take names of 255 bytes; what is added to one here is less than 40.
_NAME_BYTES = 200
# Seconds between two looks whether a named pipe has a reader.
_PIPE_PAUSE = 0.02
UNICODE_HINT = 'Replace the invalid part first, such as with text.encode("utf-8", "replace").decode().'
_DESCRIPTOR = re.compile(r"/dev/std(?:(out)|err)|/(?:dev|proc/self)/fd/([0-9]{1,6})")
# The largest round number that the system's call for locks can go to.
_LOCKED_BYTE = 1 << 30
# The temporary names that this process writes to now.
_open: set[str] = set()
# Identifies this machine or container, among others that may share a folder.
_HOST = sha256(socket.gethostname().encode()).hexdigest()[:8]
_PART = re.compile(rf"\..*\.{_HOST}-([0-9]{{1,9}})-[0-9a-f]{{8}}\.part")


@contextmanager
def output_errors(path: Path) -> Generator[None]:
    """Raise an OutputError for what the system raises while `path` is written."""
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
            hint = "Lower the concurrency, or raise this process's limit of open files."
    if trouble:
        raise OutputError(f"can't write {path}: {trouble}", hint, path=str(path))


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read. It changes wholly or not at all.

    Raises:
        OutputError: It can't be written, or the path is not a regular file: to replace a device would do harm.
    """
    with output_errors(path):
        if path.exists() and not path.is_file():
            raise OutputError(f"can't write {path}: not a regular file", path=str(path))
        target = Path(os.path.realpath(path))  # a link stays one
        part = temporary_name(target)
        try:
            part.touch(mode=0o600)
            part.write_text(text, "utf-8")
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)


def flush_to_disk(file: int | IO[Any]) -> None:
    """Write what the system holds of an open file to its disk, so that it outlasts a loss of power.

    What is not a regular file, such as a pipe or a terminal, has nothing to write.

    Args:
        file: The file, or its descriptor. A file object is flushed first.

    Raises:
        OSError: It can't be written, as when the disk is full.
    """
    if not isinstance(file, int):
        file.flush()
        try:
            file = file.fileno()
        except (AttributeError, io.UnsupportedOperation):  # a file in memory
            return
    if stat.S_ISREG(os.fstat(file).st_mode):
        os.fsync(file)


class AtomicFile:
    """A file that appears when it is committed. Write bytes into `file`, then call `commit` or `discard`.

    A path that is not a regular file, such as a pipe, is written directly. `/dev/stdout` and other descriptors are
    shared, so that what others write there comes before and after it.

    Attributes:
        path: The path of the file.
        file: The open file to write to.

    Raises:
        OutputError: The folder does not allow it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._part: Path | None = None
        with output_errors(path):
            descriptor = _descriptor_of(path)
            if descriptor is not None:
                self.file: BinaryIO = _shared(descriptor)
                return
            if path.exists() and not path.is_file():
                self.file = _open_special(path)
                return
            self._target = Path(os.path.realpath(path))  # a link stays one
            self._part = temporary_name(self._target)
            _open.add(self._part.name)
            try:
                self.file = self._part.open("xb")
            except BaseException:
                _open.discard(self._part.name)
                raise
            try:
                with suppress(FileNotFoundError):
                    shutil.copymode(self._target, self._part)  # before it holds anything
            except BaseException:
                self.discard()
                raise

    def commit(self) -> None:
        """Replace what had the file's name, or raise OutputError."""
        try:
            with output_errors(self.path):
                self.file.close()
                if self._part is not None:
                    self._part.replace(self._target)
                    _open.discard(self._part.name)
                    self._part = None
        finally:
            self.discard()

    def discard(self) -> None:
        """Remove the file. After a commit this does nothing."""
        with suppress(OSError):  # what can't be flushed is not needed
            self.file.close()
        if self._part is not None:
            with suppress(OSError):
                self._part.unlink()
            _open.discard(self._part.name)
            self._part = None


def _open_special(path: Path) -> BinaryIO:
    """Open a path that is not a regular file. A named pipe waits for its reader, unless the task is cancelled."""
    while path.is_fifo():
        # A plain `open` would wait in the system, where a first Ctrl-C does not end it: it cancels the task.
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
        except OSError as error:
            if error.errno != errno.ENXIO:  # it has a reader
                raise
        else:
            os.set_blocking(descriptor, True)
            return os.fdopen(descriptor, "wb")
        time.sleep(_PIPE_PAUSE)
        raise_if_cancelled()
    return path.open("wb")


def _descriptor_of(path: Path) -> int | None:
    """Return the descriptor that a path stands for, perhaps over links, or None."""
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


def temporary_name(target: Path) -> Path:
    """Return a hidden, unused name in the folder of `target`, for the file that will be renamed to it."""
    name = target.name.encode(errors="surrogateescape")[:_NAME_BYTES].decode(errors="ignore")
    return target.with_name(f".{name}.{_HOST}-{os.getpid()}-{token_hex(4)}.part")


def remove_stale_parts(folder: Path) -> None:
    """Remove the half-written files that killed processes of this machine have left in a folder."""
    with suppress(OSError):
        for path in folder.iterdir():
            found = _PART.fullmatch(path.name)
            if found is not None and path.name not in _open and not _runs_elsewhere(int(found[1])):
                path.unlink(missing_ok=True)


def _runs_elsewhere(pid: int) -> bool:
    """Return whether another process has this number. Where that can't be known, True."""
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
    msvcrt = import_module("msvcrt")
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


@contextmanager
def lock_beside(path: Path) -> Generator[bool]:
    """Lock a path against other processes, by a file beside it that is there meanwhile.

    Yields whether no other had locked it. Where no such file can be made, True: the lock is a help, not a guarantee.
    """
    with ExitStack() as stack:
        while True:
            try:
                target = Path(os.path.realpath(path))
                beside = target.with_name(target.name + ".lock")
                file = stack.enter_context(beside.open("ab"))
            except (OSError, ValueError):  # a folder that can't be written, a path with NUL
                yield True
                return
            if not lock(file):
                yield False
                return
            with suppress(OSError):
                if os.path.samestat(os.fstat(file.fileno()), beside.stat()):
                    break
            # The one who had it has removed it since it was opened here.
        try:
            yield True
        finally:
            with suppress(OSError):
                beside.unlink()
