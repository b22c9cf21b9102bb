"""The file of `--checkpoint`: where a walk can be resumed that has not reached the end of the list."""

import json
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Self

from attrs import asdict, frozen

from plugchat_async import InvalidValueError
from plugchat_async._http.urls import CHATS_PATH
from plugchat_async._internal.files import output_errors, write_private
from plugchat_async._internal.locks import lock_beside
from plugchat_async._pagination.chat_walk import ChatWalk
from plugchat_async._pagination.checkpoint import unpack
from plugchat_async.cli.line_output import FilePlace, LineOutput
from plugchat_async.cli.signals import shielded
from plugchat_async.cli.terminal import warn

# While a walk runs, it is saved again after this many times the duration of the last save.
SAVE_PAUSE: Final = 20


@frozen
class _Saved:
    """What the file holds: the walk's checkpoint in its first line, all else in its second one.

    Attributes:
        walk: The checkpoint.
        format: The format of the lines, None if it is not known.
        begun: Whether lines have gone out.
        running: Whether the walk went on after this was saved, so that more may have gone out.
        place: Where the lines end in the output, if that is a regular file.
        wanted: The options that choose among the chats, "" for all of them.
    """

    walk: str
    format: str | None = None
    begun: bool = True
    running: bool = False
    place: FilePlace | None = None
    wanted: str = ""

    def dumps(self) -> str:
        place = None if self.place is None else asdict(self.place)
        return f"{self.walk}\n{json.dumps({**asdict(self), 'walk': None, 'place': place})}\n"

    @classmethod
    def loads(cls, text: str) -> Self:
        """Return what `dumps` has written, or an earlier version, which wrote the first line only."""
        walk, _, more = text.partition("\n")
        unpack(walk.strip(), CHATS_PATH)
        values: dict[str, Any] = json.loads(more) if more.strip() else {}
        place = values.get("place")
        return cls(
            walk.strip(),
            values.get("format"),
            bool(values.get("begun", True)),
            bool(values.get("running")),
            None if place is None else FilePlace(*(int(place[name]) for name in ("device", "inode", "size"))),
            str(values.get("wanted", "")),
        )


class CheckpointFile:
    """The checkpoint of a walk whose chats go to stdout, in a file that only its owner may read.

    It covers what has gone out: lines are written first, then flushed to the disk, and then the file is saved.

    Attributes:
        resume: The checkpoint to resume the walk with, None to start it.
        begun: Whether lines have gone out.
    """

    def __init__(self, path: Path, style: str, output: LineOutput, wanted: str, *, sync: bool) -> None:
        """Read the file, and cut from the output what is not covered, if an earlier run was killed.

        Raises:
            InvalidValueError: The file can't be read, or does not belong to this output.
        """
        self._path = path
        self._style = style
        self._output = output
        self._wanted = wanted
        self._sync = sync
        self._saved_at = self._duration = 0.0
        saved = _read(path)
        self.resume = None if saved is None else saved.walk
        self.begun = saved is not None and saved.begun
        if saved is not None:
            self._continue(saved)

    def save(self, walk: ChatWalk, *, running: bool = True) -> None:
        """Save what the walk has yielded, which must have gone out.

        Args:
            walk: The walk.
            running: Whether it goes on (default True).

        Raises:
            OutputError: The file can't be written, or the output can't be flushed to the disk.
        """
        started = time.monotonic()
        with shielded():
            if self._sync:
                self._output.sync()
            saved = _Saved(walk.checkpoint, self._style, self.begun, running, self._output.place, self._wanted)
            write_private(self._path, saved.dumps(), sync=self._sync)  # it contains phones, lids and names
        self._saved_at = time.monotonic()
        self._duration = self._saved_at - started

    def save_if_due(self, walk: ChatWalk) -> None:
        """Save the walk, unless that would take too much of the time: a checkpoint grows with the list."""
        if time.monotonic() - self._saved_at >= SAVE_PAUSE * self._duration:
            self.save(walk)

    def remove(self) -> None:
        """Remove the file, which is of no use any more: the output has all that it was for, also on the disk.

        Raises:
            OutputError: The folder does not allow it, or the output can't be flushed to the disk.
        """
        if self._sync:
            self._output.sync()
        with output_errors(self._path):
            self._path.unlink(missing_ok=True)

    def _continue(self, saved: _Saved) -> None:
        if saved.format not in (None, self._style):
            options = "csv --csv excel" if saved.format == "excel" else f"{saved.format}"
            raise InvalidValueError(
                f"the checkpoint {self._path} is of lines in the format {saved.format}",
                f"Use --format {options}, or delete the checkpoint to begin again.",
            )
        if saved.wanted != self._wanted:
            chosen = f"with {saved.wanted}" if saved.wanted else "for all chats"
            raise InvalidValueError(
                f"the checkpoint {self._path} is of a run {chosen}",
                "Choose the same chats, or delete the checkpoint to begin again.",
            )
        end = self._output.place
        if saved.place is None or end is None or not end.is_in(saved.place):
            return
        more = end.size - saved.place.size
        if more < 0:
            raise InvalidValueError(
                f"the output has {end.size} bytes, but {saved.place.size} of the checkpoint {self._path}",
                "Append to the file with >>, or delete the checkpoint to begin again.",
            )
        # After the end of a run that was not killed, what is there is of others.
        if more and saved.running:
            self._output.cut(saved.place)
            warn(f"the last {more} bytes of the output were cut, and come again: the earlier run was killed")


@contextmanager
def locked_checkpoint(
    path: Path, style: str, output: LineOutput, wanted: str, *, sync: bool
) -> Generator[CheckpointFile]:
    """Read the file of `--checkpoint`, which no other process can use until the end of the block.

    Raises:
        InvalidValueError: It can't be read, does not belong to this output, or is in use.
    """
    with lock_beside(path) as is_ours:
        if not is_ours:
            raise InvalidValueError(
                f"the checkpoint {path} is in use by another process", "Wait until it has ended, or use another file."
            )
        yield CheckpointFile(path, style, output, wanted, sync=sync)


def _read(path: Path) -> _Saved | None:
    if not path.parent.is_dir():
        raise InvalidValueError(f"no folder for the checkpoint {path}", "Use another path for --checkpoint.")
    reason = "not a regular file"  # reading a pipe would wait for a writer
    try:
        if not path.exists():
            return None
        if path.is_file():
            return _Saved.loads(path.read_text("ascii"))
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or "it is not a checkpoint"
    raise InvalidValueError(f"can't read the checkpoint {path}: {reason}", "Use another path for --checkpoint.")
