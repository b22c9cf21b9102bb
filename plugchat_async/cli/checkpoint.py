"""The file of `--checkpoint`: where a walk can be resumed that has not reached the end of the list."""

import json
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Self

from attrs import asdict, frozen
from attrs.filters import exclude

from plugchat_async import InvalidValueError
from plugchat_async._http.urls import CHATS_PATH
from plugchat_async._internal.files import output_errors, write_private
from plugchat_async._internal.locks import lock_beside
from plugchat_async._pagination.chat_walk import ChatWalk
from plugchat_async._pagination.checkpoint import unpack
from plugchat_async._pagination.walk_state import WalkConfig
from plugchat_async.cli.line_output import FilePlace, LineOutput, Target
from plugchat_async.cli.signals import shielded
from plugchat_async.cli.terminal import tell, warn

# While a walk runs, it is saved again after this many times the duration of the last save.
SAVE_PAUSE: Final = 20
# What a walk is begun with; arguments of Python, and options.
_OPTIONS: Final = ("page_size", "consistency", "start_page")
# What the lines of an earlier run went to, and how to go on with it.
_TARGETS: Final = {
    "file": ("a file", "Append to that file with >>"),
    "pipe": ("a pipe", "Write into a pipe, as before"),
    "terminal": ("a terminal", "Write to the terminal, as before"),
}


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
        target: What the lines went to, None if it is not known.
        lines: The number of chats that have gone out, None if it is not known.
        config: How the walk reads the list, which the checkpoint says. Not in the second line.
    """

    walk: str
    format: str | None = None
    begun: bool = True
    running: bool = False
    place: FilePlace | None = None
    wanted: str = ""
    target: Target | None = None
    lines: int | None = None
    config: WalkConfig | None = None

    def dumps(self) -> str:
        return f"{self.walk}\n{json.dumps(asdict(self, filter=exclude('walk', 'config')))}\n"

    @classmethod
    def loads(cls, text: str) -> Self:
        """Return what `dumps` has written, or an earlier version, which wrote the first line only."""
        walk, _, more = text.partition("\n")
        config = unpack(walk.strip(), CHATS_PATH).config
        values: dict[str, Any] = json.loads(more) if more.strip() else {}
        target: dict[str, Any] | None
        place, target, lines = values.get("place"), values.get("target"), values.get("lines")
        if target is None and place is not None:
            target = {**place, "kind": "file"}  # an earlier version told of files only
        return cls(
            walk.strip(),
            values.get("format"),
            bool(values.get("begun", True)),
            bool(values.get("running")),
            None if place is None else FilePlace(*(int(place[name]) for name in ("device", "inode", "size"))),
            str(values.get("wanted", "")),
            None if target is None else Target(target["kind"], int(target["inode"])),
            None if lines is None else int(lines),
            config,
        )


class CheckpointFile:
    """The checkpoint of a walk whose chats go to stdout, in a file that only its owner may read.

    It covers what has gone out: lines are written first, then flushed to the disk, and then the file is saved.

    Attributes:
        resume: The checkpoint to resume the walk with, None to start it.
        begun: Whether lines have gone out.
        lines: The number of chats that have gone out, with those of earlier runs. None if that is not known.
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
        self.lines = 0 if saved is None else saved.lines
        self._config = None if saved is None else saved.config
        if saved is not None:
            self._continue(saved)
        elif output.place is not None and output.place.size:
            found = f"the {output.place.size} bytes that the output has"
            warn(f"there is no checkpoint {path}, so all chats are fetched, and come behind {found}")

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
            output = self._output
            saved = _Saved(
                walk.checkpoint, self._style, self.begun, running, output.place, self._wanted, output.target, self.lines
            )
            write_private(self._path, saved.dumps(), sync=self._sync)  # it contains phones, lids and names
        self._saved_at = time.monotonic()
        self._duration = self._saved_at - started

    def save_if_due(self, walk: ChatWalk) -> None:
        """Save the walk, unless that would take too much of the time: a checkpoint grows with the list."""
        if time.monotonic() - self._saved_at >= SAVE_PAUSE * self._duration:
            self.save(walk)

    def tell_resumed(self, asked: WalkConfig) -> None:
        """Say on stderr that an earlier run goes on, if so, and which options are its own, not those of the command.

        Args:
            asked: How the command would read the list.
        """
        config = self._config
        if config is None:
            return
        tell(f"resumed behind {_chats(self.lines)} of an earlier run\n")
        names = [name for name in _OPTIONS if getattr(config, name) != getattr(asked, name)]
        # A smaller one is used, and any one by a walk of an older version, which has 0.
        if config.max_page_size != 0 and (asked.max_page_size or 0) > (config.max_page_size or 0):
            names.append("max_page_size")
        if names:
            kept, dropped = (
                " ".join(f"--{name.replace('_', '-')} {getattr(each, name) or 0}" for name in names)
                for each in (config, asked)
            )
            warn(f"{kept} of the earlier run still holds, not {dropped}: delete {self._path} to begin again")

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
        self._check_target(saved)
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

    def _check_target(self, saved: _Saved) -> None:
        """Raise InvalidValueError if the chats of the earlier run are elsewhere: the output would be half of a list."""
        before, now = saved.target, self._output.target
        if before is None or before == now or not saved.begun:
            return
        what, hint = _TARGETS[before.kind]
        raise InvalidValueError(
            f"the checkpoint {self._path} is of {_chats(saved.lines)} that went to {what}, and this is "
            f"{'another file' if before.kind == now.kind else _TARGETS[now.kind][0]}",
            f"{hint}, or delete the checkpoint to begin again.",
        )


def _chats(count: int | None) -> str:
    return "the chats" if count is None else "1 chat" if count == 1 else f"{count} chats"


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
