"""Whether a row is a chat of its key that was yielded: what rows look like tells, and what is read after them."""

import zlib
from collections.abc import Collection, Sequence

import msgspec
from attrs import AttrsInstance, asdict, define, field

from plugchat_async._pagination.walk_state import WalkState
from plugchat_async.models import Chat

_HALF = 0xFFFF


def label_of(chat: AttrsInstance) -> int:
    """Return a number that tells a row from others of its key, in every process.

    Its upper half is `name_of`: a row that got a message since is found by it.
    """
    # msgspec reads the classes of this package as `asdict` does, in half of the time; of others it may read more.
    row = chat if hasattr(chat, "__dataclass_fields__") else asdict(chat, recurse=False)
    return name_of(chat) << 16 | zlib.crc32(msgspec.json.encode(row)) & _HALF


def name_of(chat: AttrsInstance) -> int:
    """Return a number that stands for the name of a row, in every process."""
    return zlib.crc32(msgspec.json.encode(getattr(chat, "name", None))) & _HALF


def name_label(label: int) -> int:
    """Return the part of a label that stays when a chat gets a message: its `name_of`."""
    return label >> 16


def note_names(state: WalkState, key: str, rows: Collection[Chat]) -> None:
    """Note the names of rows that no chat of their key was yielded with before."""
    yielded = _yielded_names(state, key)
    names = set(map(name_of, rows)) - yielded
    if yielded and names:
        state.other_names[key] = sorted(names.union(state.other_names.get(key, ())))


def has_other_names(state: WalkState, key: str) -> bool:
    """Return whether rows of a key had a name that no chat of it was yielded with: it is missing, or a chat got it."""
    return not _yielded_names(state, key).issuperset(state.other_names[key])


def _yielded_names(state: WalkState, key: str) -> set[int]:
    """Return the names with which chats of a key were yielded. A checkpoint of an older version does not have them."""
    return {*map(name_of, state.yielded.of(key)), *map(name_label, state.labels.get(key, ()))}


def was_yielded(state: WalkState, row: Chat, key: str) -> bool:
    """Return whether a row is equal to a chat that was yielded, in this process or before the walk was resumed."""
    labels = state.labels.get(key, ())
    return row in state.yielded.of(key) or (bool(labels) and label_of(row) in labels)


def may_be_another(row: Chat, yielded: Sequence[Chat]) -> bool:
    """Return whether a row is no later state of any chat that was yielded: it is older, or has another name."""
    return bool(yielded) and not any(_is_same(row, chat) or _is_newer(row, chat) for chat in yielded)


def likeness_of(row: Chat, chat: Chat) -> tuple[bool, bool, bool, bool]:
    """Return how like a row is to a chat: equal; of the same name and picture, and not older; of its time; of its name.

    A chat that got another name has the time that it had. One of the same name that is older is another chat, or the
    same one without its last message.
    """
    time, before = row.last_message_time, chat.last_message_time
    of_row, of_chat = ((getattr(x, "name", None), getattr(x, "profile_thumbnail", None)) for x in (row, chat))
    same_name = of_row == of_chat
    not_older = before is None or (time is not None and time >= before)
    return row == chat, same_name and not_older, time == before, same_name


def _is_same(row: Chat, other: Chat) -> bool:
    name, of_other = getattr(row, "name", None), getattr(other, "name", None)
    return row == other or (row.last_message_time == other.last_message_time and name == of_other)


def _is_newer(row: Chat, other: Chat) -> bool:
    time, of_other = row.last_message_time, other.last_message_time
    return time is not None and (of_other is None or time > of_other)


@define(eq=False, repr=False)
class LaterStates:
    """Rows that were taken for chats that were yielded, after a message. What is read after them may deny that.

    A chat does not go back to what it was, unless its last message is deleted. If, after a row that is newer than what
    was yielded, as many older rows of its key are read as were yielded, then it was another chat.

    Attributes:
        _newest: The newest of these rows, by key.
        _older: The rows that were read in the same answer or later, and are older or of another name.
    """

    _newest: dict[str, Chat] = field(factory=dict[str, Chat], init=False)
    _older: dict[str, list[Chat]] = field(factory=dict[str, list[Chat]], init=False)

    def knows(self, key: str) -> bool:
        """Return whether a row of a key was taken for a chat that was yielded."""
        return key in self._newest

    def deny(self, state: WalkState, key: str, rows: Collection[Chat], yielded: int) -> bool:
        """Note the rows of a known key in an answer. Return whether one that was not yielded is another chat.

        Args:
            state: The state of the walk.
            key: The key.
            rows: Its rows.
            yielded: The number of its chats that were yielded.
        """
        for row in rows:
            newest = self._newest.get(key)
            if not was_yielded(state, row, key) if newest is None else _is_newer(row, newest):
                self._newest[key] = row
                self._older[key] = []
        if key not in self._newest:
            return False
        newest, older = self._newest[key], self._older[key]
        older += [row for row in rows if not any(_is_same(row, other) for other in (newest, *older))]
        return len(older) >= yielded

    def forget(self, key: str) -> None:
        """Forget the rows of a key of which others were yielded."""
        self._newest.pop(key, None)
        self._older.pop(key, None)
