"""The chats of a watched list as of the last poll, and the events that follow from reading it again. Pure.

The list is sorted by the last message, newest first, and a message moves its chat to the front. So a poll reads only
the front, down to where messages are older than the newest one of the previous poll: this covers all chats with a
message since then. Changes without a message (a chat was deleted, read, muted or renamed) can be anywhere in the list.
To find them, a walk reads the whole list every `full_scan_interval`, and at once if a known chat is missing in the part
that was read.
"""

from collections.abc import Collection, Generator, Iterable
from datetime import UTC, datetime
from typing import Final

from attrs import define, field

from plugchat_async._pagination.remember import MAX_PINNED
from plugchat_async._pagination.walk_steps import key_of
from plugchat_async.models import COLUMNS, Chat, ChatAdded, ChatChanged, ChatEvent, ChatRemoved, values_of

# Sorts before all other times, as chats without a message do.
OLDEST: Final = datetime.min.replace(tzinfo=UTC)
# The fields that states of version 1 do not have.
_FIELDS_SINCE_V2: Final = frozenset(COLUMNS[8:])
# How many times in a row a chat must be missing before it counts as removed: if the reading does not prove it, and if
# it does, but has less than half of the chats.
_MISSED_UNPROVEN: Final = 3
_MISSED_SHORT_LIST: Final = 2


@define(kw_only=True)
class Snapshot:
    """The list as of the last poll.

    Attributes:
        chats: All known chats by `key_of`, newest message first.
        complete: Whether the whole list has been read at least once.
        since: Messages since the last poll are not older than this. None if their times are not known.
        last_full_scan: When the whole list was read last, in epoch seconds. None to read it again at the next poll.
        missing: Chats that the last readings did not have, without proof that they are gone, and how many times in a
            row.
        partial: Keys of chats that come from a state of version 1. For those, the fields that it did not have are
            not compared.
        dirty: Whether anything has changed since this was set to False, other than the order of the chats and the time
            of the last full scan.
    """

    chats: dict[str, Chat] = field(factory=dict[str, Chat])
    complete: bool = False
    since: datetime | None = None
    last_full_scan: float | None = None
    missing: dict[str, int] = field(factory=dict[str, int])
    partial: set[str] = field(factory=set[str])
    dirty: bool = field(default=False, eq=False)

    def add_existing(self, seen: Iterable[Chat], existing_until: datetime | None) -> None:
        """Add the chats that existed before the watch, all at once. Every other chat is new from now on.

        Args:
            seen: The whole list.
            existing_until: As for `events`.
        """
        for chat in seen:
            if _is_not_newer(chat, existing_until):
                self.chats.setdefault(key_of(chat), chat)
        if not self.complete:
            self.complete = self.dirty = True

    def events(
        self, seen: Iterable[Chat], ignored: Collection[str], existing_until: datetime | None = None
    ) -> Generator[ChatEvent, None, None]:
        """Update the snapshot with the chats that were read, and yield the changes, oldest message first.

        The snapshot has a chat before its event is yielded: at each event it is exactly what the caller has received.

        Args:
            seen: The chats that were read.
            ignored: Names of fields. If only these have changed, no event is yielded.
            existing_until: Chats that are not in the snapshot existed before the watch if their message is not newer
                than this; they cause no event (default None: all of them are new).
        """
        for chat in sorted(seen, key=time_of):
            key = key_of(chat)
            old, unknown = self.chats.get(key), self._take_unknown_fields(key)
            self.missing.pop(key, None)
            self.chats[key] = chat
            if old == chat:
                continue
            self.dirty = True
            if old is None:
                if not _is_not_newer(chat, existing_until):
                    yield ChatAdded(chat)
            else:
                names = changed_fields(old, chat)
                if not set(names) <= {*ignored, *unknown}:
                    yield ChatChanged(old, chat, names)

    def _take_unknown_fields(self, key: str) -> frozenset[str]:
        """Return the fields that were not known of a chat. From now on they are known."""
        if key not in self.partial:
            return frozenset()
        self.partial.remove(key)
        self.dirty = True
        return _FIELDS_SINCE_V2

    def removals(self, seen: Collection[str], *, proven: bool) -> Generator[ChatEvent, None, None]:
        """Remove the chats that a reading of the whole list does not have, and yield that, oldest message first.

        Without proof, a chat counts as removed after three such readings in a row: while chats are deleted, a reading
        can skip one, and rarely the next reading skips it too. With proof one reading is enough, but two are needed if
        it has less than half of the chats: a gateway that has just lost its phone, or just found it, returns a short
        or an empty list.

        Args:
            seen: The keys of the chats that were read.
            proven: Whether it is proven that the list has no other chats.
        """
        unseen = self.chats.keys() - seen
        is_short = 2 * len(unseen) > len(self.chats)
        needed = (_MISSED_SHORT_LIST if is_short else 1) if proven else _MISSED_UNPROVEN
        missing = {key: self.missing.get(key, 0) + 1 for key in unseen}
        gone = [key for key, times in missing.items() if times >= needed]
        for chat in sorted((self.chats[key] for key in gone), key=time_of):
            self.dirty = True
            key = key_of(chat)
            del missing[key]
            self.partial.discard(key)
            yield ChatRemoved(self.chats.pop(key))
        self.dirty = self.dirty or self.missing != missing
        self.missing = missing

    def move_to_front(self, seen: Iterable[str]) -> None:
        """Move chats to the front, in the given order."""
        front = {key: self.chats[key] for key in seen}
        if list(front) != [key for key, _ in zip(self.chats, front, strict=False)]:
            self.chats = front | {key: chat for key, chat in self.chats.items() if key not in front}

    def sorted_chats(self) -> tuple[Chat, ...]:
        """Return the chats, newest message first."""
        return tuple(sorted(self.chats.values(), key=time_of, reverse=True))

    def sort(self) -> None:
        """Sort the chats, newest message first."""
        self.chats = {key_of(chat): chat for chat in self.sorted_chats()}

    def lacks_newer(self, until: datetime, seen: Collection[str]) -> bool:
        """Return whether a known chat with a message after `until` is not in `seen`."""
        older = 0
        for key, chat in self.chats.items():
            if time_of(chat) <= until:
                older += 1
                if older > MAX_PINNED:  # pinned chats may be on top with any time
                    break
            elif key not in seen and key not in self.missing:
                return True
        return False


def time_of(chat: Chat) -> datetime:
    """Return the time of the last message, `OLDEST` if there is none."""
    return chat.last_message_time or OLDEST


def _is_not_newer(chat: Chat, until: datetime | None) -> bool:
    return until is not None and time_of(chat) <= until


def changed_fields(old: Chat, new: Chat) -> tuple[str, ...]:
    """Return the names of the fields in which two states of a chat differ, in `Chat`'s order."""
    return tuple(name for name, was, now in zip(COLUMNS, values_of(old), values_of(new), strict=True) if was != now)
