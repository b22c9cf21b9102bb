"""WatchState: the chats that a watch knows, and how they are saved and loaded."""

from collections.abc import Generator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Final, Self

import msgspec

from plugchat_async._internal.files import write_private
from plugchat_async._internal.serialization import from_text, to_text
from plugchat_async._internal.validation import check_type
from plugchat_async._pagination.walk_steps import key_of
from plugchat_async.errors import InvalidValueError
from plugchat_async.models import Chat, values_of
from plugchat_async.watch.snapshot import Snapshot

STATE_VERSION: Final = 2


class WatchState:
    """All chats of an account, as a watch has reported them so far.

    Pass one to `watch_chats` to keep it. At every event, the state covers exactly the events you have received,
    including this one. A watch that starts with it later, even in another process, reports what has happened since, and
    nothing twice. The state holds names, phones and lids, but no token.
    """

    def __init__(self) -> None:
        self._snapshot = Snapshot()
        self._in_use = False

    def __repr__(self) -> str:
        return f"<WatchState {len(self._snapshot.chats)} chats>"

    @property
    def chats(self) -> tuple[Chat, ...]:
        """All known chats, newest message first."""
        return self._snapshot.sorted_chats()

    def dumps(self) -> str:
        """Return the state as ASCII text for `loads`.

        The text has about 60 to 200 bytes for each chat, and takes about 2 ms for each thousand chats.
        """
        return pack(self._snapshot)

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

    def save(self, path: str | Path) -> None:
        """Write the state to a file that only its owner may read. The file is replaced completely or not at all.

        Raises:
            OutputError: The file can't be written.
        """
        write_private(Path(path), self.dumps() + "\n")

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Return the state that `save` has written, or an empty one if the file does not exist.

        Raises:
            InvalidValueError: The file can't be read, or does not hold a state.
        """
        path = Path(path)
        reason: str | None = "not a regular file"  # reading a pipe would wait for a writer
        try:
            if not path.exists():
                return cls()
            if path.is_file() or path.is_dir():
                return cls.loads(path.read_text("ascii").strip())
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it does not hold a watch state"
        raise InvalidValueError(
            f"can't read the state {path}: {reason}", "Use another file, or delete this one to start from scratch."
        )

    @contextmanager
    def borrow(self) -> Generator[Snapshot]:
        """Lend the snapshot to one watch at a time.

        Raises:
            InvalidValueError: Another watch is using the state.
        """
        if self._in_use:
            raise InvalidValueError(
                "state is in use by another watch",
                "Use one state for each watch, and close watches with `aclosing`.",
            )
        self._in_use = True
        try:
            yield self._snapshot
        finally:
            self._in_use = False


# A chat as a row of its values: the eight fields of version 1, and the fields of today.
_Time = Annotated[datetime, msgspec.Meta(tz=True)] | None
_Flag = bool | None
_Phone = Annotated[str, msgspec.Meta(min_length=1)]
_RowV1 = tuple[_Phone, str | None, int, _Time, bool, bool, str | None, int | None]
_Row = tuple[
    str | None,
    str | None,
    int,
    _Time,
    bool,
    bool,
    str | None,
    int | None,
    str | None,
    _Flag,
    _Flag,
    _Flag,
    _Flag,
    _Time,
]
# The names of the fields in saved states, where they differ from those in `Snapshot`.
_SAVED_NAMES: Final = {
    "complete": "begun",
    "since": "bound",
    "last_full_scan": "swept",
    "missing": "doubted",
    "partial": "dated",
}


class _SavedFields(msgspec.Struct, kw_only=True, rename=_SAVED_NAMES):
    complete: bool
    since: _Time
    last_full_scan: float | None
    missing: dict[str, int]


class _SavedV1(_SavedFields, kw_only=True):
    chats: list[_RowV1]


class _Saved(_SavedFields, kw_only=True, rename=_SAVED_NAMES):
    chats: list[_Row]
    partial: set[str]


def pack(snapshot: Snapshot) -> str:
    """Return a snapshot as text for `unpack`."""
    saved = _Saved(
        chats=[values_of(chat) for chat in snapshot.chats.values()],
        complete=snapshot.complete,
        since=snapshot.since,
        last_full_scan=snapshot.last_full_scan,
        missing=snapshot.missing,
        partial=snapshot.partial,
    )
    return to_text(STATE_VERSION, saved)


def unpack(text: str) -> Snapshot:
    """Return the snapshot of a text from `pack`, or from version 1 of it.

    Raises:
        InvalidValueError: The text is not a state, or comes from a newer version of this package.
    """
    hint = "Pass the text exactly as `dumps` returned it, or start a watch without a state."
    kinds: dict[int, type[_SavedV1 | _Saved]] = {1: _SavedV1, STATE_VERSION: _Saved}
    saved = from_text(text, kinds, name="the text", what="a watch state", hint=hint)
    rows: list[Any] = [*saved.chats]
    chats = {key_of(chat): chat for chat in (Chat(*row) for row in rows)}
    if not all(chat.id for chat in chats.values()):
        raise InvalidValueError("the text is not a watch state", hint)
    return Snapshot(
        chats=chats,
        complete=saved.complete,
        since=saved.since,
        last_full_scan=saved.last_full_scan,
        missing=saved.missing,
        partial=saved.partial if isinstance(saved, _Saved) else set(chats),
    )
