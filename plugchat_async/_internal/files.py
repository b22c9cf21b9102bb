"""Files that appear whole or not at all: written under a temporary name, and renamed when they are complete."""

import errno
import io
import os
import re
import stat
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, BinaryIO, Final, TypedDict

from plugchat_async._internal.links import follow, resolve
from plugchat_async._internal.parts import in_use, remove_stale_parts, temporary_name
from plugchat_async._internal.tasks import raise_if_cancelled
from plugchat_async.errors import OutputError, PlugChatError

UNICODE_HINT = 'Replace the invalid part first, such as with text.encode("utf-8", "replace").decode().'
_DESCRIPTOR = re.compile(r"/dev/std(?:(out)|err)|/(?:dev|proc/self)/fd/([0-9]{1,6})")
# Seconds between two looks whether a named pipe has a reader.
_PIPE_PAUSE = 0.02
# Where Linux shows the umask.
_STATUS: Final = Path("/proc/self/status")
# Not on Windows.
OPEN_FILES_CAN_BE_REPLACED: Final = os.name == "posix"
# What systems answer that can't write the names in a folder to disk, or whose folder may not be read.
_NO_SYNC: Final = (errno.EINVAL, errno.ENOTSUP, errno.EBADF, errno.EACCES, errno.EPERM)
# What file systems answer that keep no permissions, as those of memory cards.
_NO_PERMISSIONS: Final = (errno.EPERM, errno.ENOTSUP, errno.ENOSYS)


def open_files_hint(error: Exception) -> str:
    """Return what to do about too many open files, or "" if that is not the error."""
    if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
        return "Lower the concurrency, or raise this process's limit of open files."
    return ""


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
        trouble = str(error) or type(error).__name__
    except OSError as error:
        trouble = error.strerror or str(error) or type(error).__name__
        hint = open_files_hint(error)
    if trouble:
        raise OutputError(f"can't write {path}: {trouble}", hint, path=str(path))


def write_private(path: Path, text: str, *, sync: bool = True, keep_previous: bool = False) -> None:
    """Write a file that only its owner may read. It changes wholly or not at all.

    Args:
        path: The file.
        text: What it will hold.
        sync: Whether it is on disk afterwards (default True), so that it outlasts a loss of power.
        keep_previous: Whether what it held before stays beside it, see `previous_of` (default False).

    Raises:
        OutputError: It can't be written, or the path is not a regular file: to replace a device would do harm.
    """
    with output_errors(path):
        target = resolve(path)  # a link stays one
        if target.exists() and not target.is_file():
            raise OutputError(f"can't write {path}: not a regular file", path=str(path))
        remove_stale_parts(target.parent, of=target)
        part = temporary_name(target)
        in_use.add(part.name)
        try:
            with open(part, "xb", opener=_private) as file:
                file.write(text.encode())
                if sync:
                    flush_to_disk(file)
            if keep_previous:
                _keep(target)
            part.replace(target)
            if sync:
                flush_folder(target.parent)
        finally:
            part.unlink(missing_ok=True)
            in_use.discard(part.name)


def previous_of(path: Path) -> Path:
    """Return where `write_private` keeps what a file held before."""
    target = resolve(path)
    return target.with_name(target.name + ".previous")


def _keep(target: Path) -> None:
    """Let what a file holds have a second name, unless it is torn: then what is there is better."""
    try:
        with target.open("rb") as file:
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                return
    except OSError:  # it is not there, or empty
        return
    previous = previous_of(target)
    remove_stale_parts(previous.parent, of=previous)
    second = temporary_name(previous)
    in_use.add(second.name)
    try:
        try:
            os.link(target, second)
        except OSError:  # some file systems have no second names
            second.touch(mode=0o600)
            second.write_bytes(target.read_bytes())
        second.replace(previous)
    finally:
        second.unlink(missing_ok=True)
        in_use.discard(second.name)


def _private(path: str, flags: int) -> int:
    """Open a file as `open` would, but a new one for its owner only."""
    return os.open(path, flags, 0o600)


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


def flush_folder(folder: Path) -> None:
    """Write the names in a folder to its disk, so that new and renamed files are found after a loss of power.

    Where the system has no such thing, or does not allow it, this does nothing.

    Raises:
        OSError: The disk fails, or too many files are open.
    """
    if os.name != "posix":
        return
    try:
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno not in _NO_SYNC:
            raise


def appears_whole(path: Path) -> bool:
    """Return whether an `AtomicFile` appears when it is complete: not if the path is a pipe, or `/dev/stdout`.

    Raises:
        OutputError: The path can't be a file's, or is another user's link in a folder like /tmp.
    """
    with output_errors(path):
        return _descriptor_of(follow(path)) is None and (path.is_file() or not path.exists())


class FileOptions(TypedDict, total=False):
    """The options of an `AtomicFile`, for functions that pass them on."""

    sync: bool
    sweep: bool
    parts: Path | None


class AtomicFile:
    """A file that appears when it is committed. Write bytes into `file`, then call `commit` or `discard`.

    Until then, only its owner may read it. It appears with the permissions of the file that it replaces.

    A path that is not a regular file, such as a pipe, is written directly. `/dev/stdout` and other descriptors are
    shared, so that what others write there comes before and after it.

    Args:
        path: The path of the file.
        sync: Whether it is on disk when it is committed (default True), so that it outlasts a loss of power.
        sweep: Whether to remove what killed processes have left of this file (default True).
        parts: A folder below the file's own, on the same file system, where it is until it is committed (default None:
            the file's own). If the path is a link out of its folder, the file is beside what is behind the link.

    Attributes:
        path: The path of the file.
        file: The open file to write to.

    Raises:
        OutputError: The folder does not allow it, or the path is another user's link in a folder like /tmp.
    """

    def __init__(self, path: Path, *, sync: bool = True, sweep: bool = True, parts: Path | None = None) -> None:
        self.path = path
        self._sync = sync
        self._part: Path | None = None
        with output_errors(path):
            followed = follow(path)
            self._target = followed[-1]  # a link stays one
            descriptor = _descriptor_of(followed)
            if descriptor is not None:
                self.file: BinaryIO = _shared(descriptor)
                return
            if path.exists() and not path.is_file():
                self.file = _open_special(path)
                return
            if sweep:
                remove_stale_parts(self._target.parent, of=self._target)
            is_below = parts is not None and parts.parent == self._target.parent
            self._part = temporary_name(self._target, parts if is_below else None)
            in_use.add(self._part.name)
            try:
                self.file = open(self._part, "xb", opener=_private)  # noqa: SIM115 - until `commit`
            except BaseException:
                in_use.discard(self._part.name)
                raise

    def commit(self) -> None:
        """Replace what had the file's name, or raise OutputError."""
        try:
            with output_errors(self.path):
                if self._part is not None and os.name == "posix":
                    _open_to_others(self._part, _mode_for(self._target, self._part))
                if self._sync:
                    flush_to_disk(self.file)
                self.file.close()
                if self._part is not None:
                    self._part.replace(self._target)
                    in_use.discard(self._part.name)
                    self._part = None
                    if self._sync:
                        flush_folder(self._target.parent)
        finally:
            self.discard()

    def discard(self) -> None:
        """Remove the file. After a commit this does nothing."""
        with suppress(OSError):  # what can't be flushed is not needed
            self.file.close()
        if self._part is not None:
            try:
                self._part.unlink()
            except OSError:  # the folder has become read-only
                with suppress(OSError):
                    self._part.chmod(0o600)  # `commit` may have opened it to others
            in_use.discard(self._part.name)
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
        time.sleep(_PIPE_PAUSE)  # not awaited: writers are not coroutines
        raise_if_cancelled()
    return path.open("wb")


def _open_to_others(path: Path, mode: int) -> None:
    """Set the permissions of a file, where its file system keeps any."""
    try:
        path.chmod(mode)
    except OSError as error:
        if error.errno not in _NO_PERMISSIONS:
            raise


def _mode_for(target: Path, part: Path) -> int:
    """Return the permissions of a file, or those of new files in the folder of its part."""
    with suppress(FileNotFoundError):
        return stat.S_IMODE(target.stat().st_mode)
    # Python can't read the umask without changing it, for all threads.
    with suppress(OSError):
        found = re.search(rb"^Umask:\s*([0-7]+)$", _STATUS.read_bytes(), re.MULTILINE)
        if found is not None:
            return 0o666 & ~int(found[1], 8)
    empty = temporary_name(target, part.parent)
    descriptor = os.open(empty, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        return stat.S_IMODE(os.fstat(descriptor).st_mode)
    finally:
        os.close(descriptor)
        empty.unlink()


def _descriptor_of(paths: Sequence[Path]) -> int | None:
    """Return the descriptor that a path stands for, perhaps over links, or None."""
    for path in paths:
        found = _DESCRIPTOR.fullmatch(os.fspath(path))
        if found is not None:
            return int(found[2]) if found[2] else 1 if found[1] else 2
    return None


def _shared(descriptor: int) -> BinaryIO:
    copy = os.dup(descriptor)
    try:
        return os.fdopen(copy, "wb")
    except BaseException:
        os.close(copy)
        raise
