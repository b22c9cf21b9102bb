"""WatchState: the chats that a watch knows, and how they are saved and loaded."""

import asyncio
import logging
from collections.abc import Generator
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Self

from attrs import frozen

from plugchat_async._internal.files import open_files_hint, previous_of, write_private
from plugchat_async._internal.locks import lock_beside
from plugchat_async._internal.steps import finish, finish_in_turns
from plugchat_async._internal.threads import finish_in_thread
from plugchat_async._internal.validation import check_type
from plugchat_async.errors import InvalidValueError
from plugchat_async.models import Chat
from plugchat_async.watch.snapshot import Snapshot
from plugchat_async.watch.state_text import pack, unpack

logger = logging.getLogger("plugchat_async.watch")


@frozen
class _Written:
    """How a file was left by a save.

    Attributes:
        sync: Whether it is on disk.
        stamp: Which file it is, and its time and size. None if that can't be known.
    """

    sync: bool
    stamp: tuple[int, ...] | None


class WatchState:
    """All chats of an account, as a watch has reported them so far.

    Pass one to `watch_chats` to keep it. At every event, the state covers exactly the events you have received,
    including this one. A watch that starts with it later, even in another process, reports what has happened since, and
    nothing twice. The state holds names, phones and lids, but no token: of that, and the base URL, it has a keyed hash,
    so that it is not used for another account.
    """

    def __init__(self) -> None:
        self._snapshot = Snapshot()
        self._in_use = False
        self._path: Path | None = None
        self._saving = asyncio.Lock()
        self._written: dict[Path, _Written] = {}  # the files that hold the state as it is now

    def __repr__(self) -> str:
        return f"<WatchState {len(self._snapshot.chats)} chats>"

    @property
    def chats(self) -> tuple[Chat, ...]:
        """All known chats, newest message first."""
        return self._snapshot.sorted_chats()

    def dumps(self) -> str:
        """Return the state as ASCII text for `loads`.

        The text has about 60 to 200 bytes for each chat, and takes about 2 ms for each thousand chats. Removed chats
        are remembered in it, too.
        """
        return finish(pack(self._snapshot))

    @classmethod
    def loads(cls, text: str) -> Self:
        """Return the state that `dumps` has written.

        Raises:
            InvalidValueError: The text is not a state, or comes from a newer version of this package.
        """
        check_type("text", text, str)
        state = cls()
        state._snapshot = unpack(text)
        return state

    def save(self, path: str | Path, *, sync: bool = True) -> None:
        """Write the state to a file that only its owner may read. The file is replaced completely or not at all.

        The state that the file held before stays beside it, in a file whose name ends with `.previous`. `load` takes it
        if the file is damaged. If nothing has changed since it was saved there, nothing is written. (The time of the
        last full scan is no change: a restart may read the whole list once more.)

        Args:
            path: The file.
            sync: Whether the state is on disk afterwards (default True), so that it outlasts a loss of power.

        Raises:
            OutputError: The file can't be written.
        """
        path = Path(path)
        if not self._is_written(path, sync=sync):
            with self._writing(path, sync=sync):
                _write(path, self.dumps(), sync=sync)

    async def save_async(self, path: str | Path, *, sync: bool = True) -> None:
        """Do what `save` does, without keeping the event loop: in steps of a few milliseconds, and in a thread.

        It saves the state of the moment when it begins. If a chat changes before all are packed, the others are copied
        in one step. Saves that overlap are made one after the other. Once it writes, it ends only when the file is
        written, even if it is cancelled.

        Raises:
            OutputError: The file can't be written.
        """
        path = Path(path)
        async with self._saving:
            if not self._is_written(path, sync=sync):
                with self._writing(path, sync=sync):
                    text = await finish_in_turns(pack(self._snapshot))
                    await finish_in_thread(partial(_write, path, text, sync=sync))

    def _is_written(self, path: Path, *, sync: bool) -> bool:
        """Return whether a file holds the state as it is now, on disk if `sync`, and is as it was written."""
        written = self._written.get(path)
        if written is None or self._snapshot.dirty or sync > written.sync:
            return False
        return written.stamp is not None and written.stamp == _stamp_of(path)

    @contextmanager
    def _writing(self, path: Path, *, sync: bool) -> Generator[None]:
        """Note which files hold the state as it is now: after a change none, and afterwards this one."""
        if self._snapshot.dirty:
            self._snapshot.dirty = False
            self._written = {}
        noted = self._written
        try:
            yield
            noted[path] = _Written(sync, _stamp_of(path))
        finally:
            if noted is not self._written:  # a later state was written meanwhile, and the file may hold either
                self._written.pop(path, None)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Return the state that `save` has written, or an empty one if the file does not exist.

        If the file is empty or damaged, the state before is taken, and a warning is logged. While a watch uses the
        state, no other one, also of another process, can use a state from the same file.

        Raises:
            InvalidValueError: The file can't be read, or does not hold a state.
        """
        return cls._load(Path(path), lock=True)

    @classmethod
    def _load(cls, path: Path, *, lock: bool) -> Self:
        """Load a state whose file is locked by the watches that use it, or not."""
        reason: str | None = "not a regular file"  # reading a pipe would wait for a writer
        hint = "Use another file, or delete this one to start from scratch."
        try:
            if path.is_file() or path.is_dir() or not path.exists():
                state = cls()
                state._path = path if lock else None
                if path.exists():
                    state._snapshot = _read(path)
                return state
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it does not hold a watch state"
            hint = open_files_hint(error) or hint
        raise InvalidValueError(f"can't read the state {path}: {reason}", hint)

    @classmethod
    @contextmanager
    def locked(cls, path: str | Path) -> Generator[Self]:
        """Lock the file of a state, and load it: until the end of the block no other process can watch with it.

        Raises:
            InvalidValueError: As `load` raises, or another watch is using the file.
        """
        path = Path(path)
        with _file_lock(path):
            yield cls._load(path, lock=False)  # it is locked already

    @contextmanager
    def borrow(self) -> Generator[Snapshot]:
        """Lend the snapshot to one watch at a time, and lock the file that it was loaded from.

        Raises:
            InvalidValueError: Another watch is using the state, or the file.
        """
        if self._in_use:
            raise InvalidValueError(
                "state is in use by another watch",
                "Use one state for each watch, and close watches with `aclosing`.",
            )
        with nullcontext() if self._path is None else _file_lock(self._path):
            self._in_use = True
            try:
                yield self._snapshot
            finally:
                self._in_use = False


def _stamp_of(path: Path) -> tuple[int, ...] | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_dev, stat.st_ino, stat.st_mtime_ns, stat.st_size


def _write(path: Path, text: str, *, sync: bool) -> None:
    write_private(path, text + "\n", sync=sync, keep_previous=True)


def _read(path: Path) -> Snapshot:
    """Return the snapshot in a file, or the one before if the file is torn, as a loss of power may leave it."""
    text = path.read_bytes()
    try:
        return unpack(text.decode("ascii").strip())
    except ValueError:
        previous = previous_of(path)
        if text.endswith(b"\n") and b"\0" not in text:  # not torn, but something else
            raise
        if not previous.is_file():
            raise
        snapshot = unpack(previous.read_text("ascii").strip())
        fields = {"plugchat_path": str(path)}
        logger.warning("the state %s is damaged, so the one before it is used", path, extra=fields)
        return snapshot


@contextmanager
def _file_lock(path: Path) -> Generator[None]:
    with lock_beside(path) as is_ours:
        if not is_ours:
            raise InvalidValueError(
                f"the state {path} is in use by another watch", "Wait until it has ended, or use another file."
            )
        yield
