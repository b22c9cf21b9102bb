"""Lines on standard output, of which is known what has gone out, however the command ends."""

import os
import select
import stat
import sys
from collections.abc import Generator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, Literal

from attrs import evolve, field, frozen
from attrs.validators import in_

from plugchat_async import OutputError
from plugchat_async._internal.files import flush_to_disk, output_errors

# As errors name it.
_STDOUT: Final = Path("standard output")
# A pipe takes so many bytes as a whole or not at all, so it never gets half a line.
_PIPE_BYTES: Final[int] = getattr(select, "PIPE_BUF", 4096)

# No line is longer.
_LINE_BYTES: Final = 1 << 20


@frozen
class FilePlace:
    """A place in a regular file.

    Attributes:
        device: The device of the file, and
        inode: its number there: together they identify it.
        size: The bytes before the place.
    """

    device: int
    inode: int
    size: int

    def is_in(self, other: "FilePlace") -> bool:
        """Return whether both are in the same file."""
        return (self.device, self.inode) == (other.device, other.inode)


@frozen
class Target:
    """What lines go to.

    Attributes:
        kind: What it is; anything else that is no terminal counts as a pipe.
        inode: The number of a file on its device, 0 of all else. Devices have other numbers after a restart.
    """

    kind: Literal["file", "pipe", "terminal"] = field(validator=in_(("file", "pipe", "terminal")))
    inode: int = 0


class LineOutput:
    """Standard output, for lines.

    In a regular file, the lines of a `write` are there all or not at all, unless the process is killed: when the disk
    is full, what had arrived of them is cut. A pipe gets whole lines.

    Attributes:
        written: The number of lines of the last `write` that have gone out.
        place: The end of the lines in a regular file. None if stdout is none, or if others write to it, too.
        target: What stdout is.
        is_terminal: Whether it is a terminal.
    """

    def __init__(self) -> None:
        self.written = 0
        self.place: FilePlace | None = None
        self._synced = True
        self._sync_error: OSError | None = None
        self.is_terminal = sys.stdout.isatty()
        # A terminal has its own encoding.
        self._descriptor = None if self.is_terminal else _descriptor_of_stdout()
        self.target = Target("terminal" if self.is_terminal else "pipe")
        if self._descriptor is not None:
            sys.stdout.flush()
            found = os.fstat(self._descriptor)
            self._is_file = stat.S_ISREG(found.st_mode)
            if self._is_file:
                self.target = Target("file", found.st_ino)
                _seek_if_appending(self._descriptor)
                self.place = self._find_place()

    @property
    def is_empty_file(self) -> bool:
        """Whether it is a file that has nothing in it."""
        return self.place is not None and self.place.size == 0

    def write(self, lines: Sequence[str]) -> None:
        """Write lines, which include their ends, and flush them.

        Raises:
            OSError: They can't be written. `written` says how many were.
        """
        self.written = 0
        if not lines:
            return
        self._synced = False
        if self._descriptor is None:
            sys.stdout.write("".join(lines))
            sys.stdout.flush()
            self.written = len(lines)
            return
        encoding, errors = sys.stdout.encoding, sys.stdout.errors or "strict"
        data = [line.encode(encoding, errors) for line in lines]
        if not self._is_file:
            for count, chunk in _chunks(data):
                _write_all(self._descriptor, chunk)
                self.written += count
            return
        if self.place is not None and os.fstat(self._descriptor).st_size != self.place.size:
            self.place = None  # others write to the file, so its end is not ours to cut
        try:
            _write_all(self._descriptor, b"".join(data))
            end = None if self.place is None else self._find_place()
        except BaseException:
            if self.place is not None:
                with suppress(OutputError):
                    self.cut(self.place)
            raise
        self.place, self.written = end, len(lines)

    def sync(self) -> None:
        """Flush lines that were written to the disk, if they go to a regular file.

        Raises:
            OutputError: They can't be written. So says each later call, too: the system tells of it once only.
        """
        if self._descriptor is None or self._synced:
            return
        with output_errors(_STDOUT):
            if self._sync_error is not None:
                raise self._sync_error
            try:
                flush_to_disk(self._descriptor)
            except OSError as error:
                self._sync_error = error
                raise
        self._synced = True

    def cut(self, place: FilePlace) -> None:
        """Remove what is behind a place in the file.

        Raises:
            OutputError: The system does not allow it.
        """
        assert self._descriptor is not None, "places are in files"
        self._synced = False  # a loss of power must not bring back what was cut
        with output_errors(_STDOUT):
            os.ftruncate(self._descriptor, place.size)
            os.lseek(self._descriptor, place.size, os.SEEK_SET)
        self.place = place

    def end_half_line(self, begins: bytes) -> int:
        """See to it that lines begin on a line of their own: a loss of power may have left half of one in the file.

        Args:
            begins: How lines begin. Half a line that begins so is cut; anything else gets its end.

        Returns:
            The number of bytes that were cut.

        Raises:
            OutputError: The system does not allow it.
        """
        if self.place is None or self._descriptor is None:
            return 0
        with output_errors(_STDOUT):
            tail = _tail(self._descriptor, self.place)
            half = tail[tail.rfind(b"\n") + 1 :]
            if half.startswith(begins):
                self.cut(evolve(self.place, size=self.place.size - len(half)))
                return len(half)
            if half:
                self.write(["\n"])
        return 0

    def _find_place(self) -> FilePlace | None:
        """Return the place that was written last, None if that is not the end of the file."""
        assert self._descriptor is not None, "places are in files"
        found = os.fstat(self._descriptor)
        if os.lseek(self._descriptor, 0, os.SEEK_CUR) != found.st_size:
            return None
        return FilePlace(found.st_dev, found.st_ino, found.st_size)


def _descriptor_of_stdout() -> int | None:
    """Return the descriptor of stdout, None if it is not a file of the system."""
    try:
        return sys.stdout.fileno()
    except (OSError, ValueError):  # io.UnsupportedOperation is both
        return None


def _seek_if_appending(descriptor: int) -> None:
    """Go to the end of a file that was opened for appending: the system does so only with the first write."""
    try:
        import fcntl  # noqa: PLC0415 - not on Windows, where shells do it
    except ModuleNotFoundError:
        return
    if fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_APPEND:
        os.lseek(descriptor, 0, os.SEEK_END)


def _tail(descriptor: int, place: FilePlace) -> bytes:
    """Return the end of a file that may be open for writing only; b"" where the system does not allow to read it."""
    try:
        with open(f"/proc/self/fd/{descriptor}", "rb") as file:  # noqa: PTH123 - no path of a file
            file.seek(max(0, place.size - _LINE_BYTES))
            return file.read()
    except OSError:  # no Linux, or a file that may only be written
        return b""


def _chunks(lines: Sequence[bytes]) -> Generator[tuple[int, bytes]]:
    """Yield lines together as far as a pipe takes them as a whole, with their number."""
    chunk: list[bytes] = []
    size = 0
    for line in lines:
        if chunk and size + len(line) > _PIPE_BYTES:
            yield len(chunk), b"".join(chunk)
            chunk, size = [], 0
        chunk.append(line)
        size += len(line)
    if chunk:
        yield len(chunk), b"".join(chunk)


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
