"""The chats of a watched list as of the last poll, and the events that follow from reading it again. Pure.

The list is sorted by the last message, newest first, and a message moves its chat to the front. So a poll reads only
the front, down to where messages are older than the newest one of the previous poll: this covers all chats with a
message since then. Changes without a message (a chat was deleted, read, muted or renamed) can be anywhere in the list.
To find them, a walk reads the whole list every `full_scan_interval`, and at once if a known chat is missing in the part
that was read.

A list is not always what it was a moment ago, though nothing has happened: an answer may come from a replica that lags,
and a phone that has just been connected sends its history little by little. So a chat that is older than it was is
believed the second time, and a chat that appears with an old message was there before. For removed chats, see `losses`.
"""

from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any, Final

from attrs import define, field
from msgspec import structs

from plugchat_async._pagination.order import MAX_PINNED
from plugchat_async.models import COLUMNS, Chat, ChatAdded, ChatChanged, ChatEvent, ChatRemoved
from plugchat_async.watch.copy_on_write import Readers
from plugchat_async.watch.identity import (
    MAX_ROWS,
    OLDEST,
    ROWS_AT_ONCE,
    Matched,
    changed_fields,
    datetime_of,
    group_of,
    identity_of,
    match_rows,
    time_of,
)
from plugchat_async.watch.losses import Losses, Missed, find_losses
from plugchat_async.watch.ordering import oldest_first
from plugchat_async.watch.tombstones import Tombstones, bury, drop_tombstones

NEWEST: Final = datetime.max.replace(tzinfo=UTC)
# The fields that states of version 1 do not have.
_FIELDS_SINCE_V2: Final = frozenset(COLUMNS[8:])
# By how many seconds this machine's clock may be ahead of the service's when the watch begins.
_CLOCK_SKEW: Final = 300.0
# A list is taken to have the times of this machine's clock if its newest message is not further away, in seconds.
_MAX_AGE: Final = 86_400.0
# How many chats of a list may have a message that is dated ahead.
MAX_AHEAD: Final = 3


@define(kw_only=True)
class Snapshot:
    """The list as of the last poll.

    Attributes:
        chats: All known chats by key, see `identity`, newest message last: to move a chat there takes no time.
        complete: Whether the whole list has been read at least once.
        proven: Whether a reading has proven that it had all chats.
        since: Messages since the last poll are not older than this. None if their times are not known.
        covered: A chat with an older message that was not known at the last poll is not new. None if no time was read.
        began: When the first poll began, in epoch seconds. None before it, and in states of older versions.
        last_full_scan: When the whole list was read last, in epoch seconds. None to read it again at the next poll.
        missing: Chats that the last readings did not have, by key.
        partial: Keys of chats from a state of version 1. The fields that it did not have are not compared.
        receded: Keys of chats that an earlier poll read with an older time than they had. It was not believed.
        tombstones: What is remembered of removed chats, by `identity_of`. See `Tombstones`.
        salt: The key of `account`.
        account: A keyed hash of the account. None before the first answer, and in states of older versions.
        traits: What is known of the server, as `ServerTraits` saves it.
        readers: Those that read `chats` and `missing` while they may change.
        dirty: Whether anything has changed since the last save, other than the order of the chats and the time of the
            last full scan.
    """

    chats: dict[str, Chat] = field(factory=dict[str, Chat])
    complete: bool = False
    proven: bool = False
    since: datetime | None = None
    covered: datetime | None = None
    began: float | None = None
    last_full_scan: float | None = None
    missing: dict[str, Missed] = field(factory=dict[str, Missed])
    partial: set[str] = field(factory=set[str])
    receded: set[str] = field(factory=set[str])
    tombstones: Tombstones = field(factory=dict[str, tuple[datetime, float]])
    salt: str | None = None
    account: str | None = None
    traits: dict[str, Any] | None = None
    dirty: bool = field(default=False, eq=False)
    _receding: set[str] = field(factory=set[str], init=False, eq=False)  # in this poll
    _groups: dict[str, tuple[str, ...]] = field(factory=dict[str, tuple[str, ...]], init=False, eq=False)
    _several: set[str] = field(factory=set[str], init=False, eq=False)  # groups of more than one
    readers: Readers = field(factory=Readers, init=False, eq=False)

    def __attrs_post_init__(self) -> None:
        for key, chat in self.chats.items():
            self._index(key, chat)

    def _index(self, key: str, chat: Chat) -> None:
        group = group_of(chat)
        self._groups[group] = keys = (*self._groups.get(group, ()), key)
        if len(keys) > 1:
            self._several.add(group)

    @property
    def all_receded(self) -> set[str]:
        """The keys of all chats whose older time was not believed yet, this poll's included."""
        return self.receded | self._receding

    @property
    def has_large_loss(self) -> bool:
        """Whether many chats were missing at once, and some of them still are."""
        return any(missed.large for missed in self.missing.values())

    def match(
        self, reading: Iterable[tuple[Chat, int]], must_be_seen: Callable[[Chat], bool] = lambda _: True
    ) -> Generator[None, None, Matched]:
        """Return which chats the rows of a reading are, in steps. For the arguments, see `match_rows`."""
        groups, is_missing = self._groups, self.is_missing
        return match_rows(reading, self.chats, groups, must_be_seen, complete=self.proven, is_missing=is_missing)

    def old_before(self, newest: datetime | None, now: float) -> datetime | None:
        """Return a time: an unknown chat whose last message is older existed before the last poll. None: it is new.

        Args:
            newest: The newest message of the list, as of this poll.
            now: When this poll began, in epoch seconds.
        """
        if self.covered is not None:
            if self.began is None or newest is None or abs(now - newest.timestamp()) > _MAX_AGE:
                return self.covered
            # By the clocks, too: a phone does not always send the newest chats of its history first, and a message that
            # was sent after the watch began is new, also if it arrives late.
            began = datetime_of(self.began)
            return max(datetime_of(self.began - _CLOCK_SKEW), min(began, self.covered))
        if self.complete:
            return None if self.began is None else datetime_of(self.began - _CLOCK_SKEW)
        if self.began is None or newest is None:
            return NEWEST
        # The first poll saw an empty list. Either these chats are new, or the list is back: then only a few are as new.
        # The list's times are in whole seconds.
        elapsed = min(max(0.0, now - self.began), _MAX_AGE) + 1
        return newest - min(timedelta(seconds=elapsed), newest - OLDEST)

    def cover(self, times: Collection[datetime], now: datetime) -> None:
        """Note the times that a poll has read: an unknown chat with an older message is not new from now on.

        A message that is dated ahead does not count. If all are, this machine's clock is wrong, or the list is short.

        Args:
            times: The times of the newest messages.
            now: When they were read.
        """
        if times:
            past = [time for time in times if time <= now]
            newest = max(past) if past else sorted(times, reverse=True)[: MAX_AHEAD + 1][-1]
            self.covered = newest if self.covered is None else max(self.covered, newest)

    def begin_poll(self) -> None:
        """Begin a poll: what was read of a chat before was read at another moment."""
        self.receded |= self._receding
        self._receding.clear()

    def add_existing(self, seen: dict[str, Chat], old_before: datetime | None) -> Generator[None, None, None]:
        """Add the chats that existed before the watch, in steps. Every other chat is new from now on.

        Args:
            seen: The whole list.
            old_before: As for `events`.
        """
        for number, key in enumerate(reversed(seen), 1):
            if number % ROWS_AT_ONCE == 0:
                yield
            if key not in self.chats and self._is_old(seen[key], old_before):
                self._put(key, seen[key])
        if not self.complete:
            self.complete = self.dirty = True

    def events(
        self, seen: Mapping[str, Chat], ignored: Collection[str], old_before: datetime | None = None
    ) -> Generator[ChatEvent | None, None, None]:
        """Update the snapshot with the chats that were read, and yield the changes, oldest message first, and pauses.

        The snapshot has a chat before its event is yielded: at each event it is exactly what the caller has received.

        Args:
            seen: The chats that were read, by key.
            ignored: Names of fields. If only these have changed, no event is yielded.
            old_before: A chat that is not in the snapshot, and whose message is older, causes no event (default None:
                all of them are new). A removed chat that comes back causes one if its message is newer than the last.
        """
        for number, key in enumerate((yield from self._changed(seen)), 1):
            if number % ROWS_AT_ONCE == 0:
                yield None
            chat, old = seen[key], self.chats.get(key)
            if self.is_missing(key):
                self.readers.before_change()
                self.missing[key] = structs.replace(self.missing[key], times=0)
                self.dirty = True
            if old is not None and time_of(chat) < time_of(old) and not self._is_believed_older(key):
                continue
            unknown = self._take_unknown_fields(key)
            self._see(key)
            if old is None:
                is_old = self._is_old(chat, old_before)
                self._put(key, chat)
                self.dirty = True
                if not is_old:
                    yield ChatAdded(chat)
            elif old != chat:
                self.readers.before_change()
                self.chats[key] = chat
                self.dirty = True
                names = changed_fields(old, chat)
                if not set(names) <= {*ignored, *unknown}:
                    yield ChatChanged(old, chat, names)

    def _changed(self, seen: Mapping[str, Chat]) -> Generator[None, None, Iterator[str]]:
        """Return the keys of chats that are not as they were, or have something noted, oldest message first."""
        changed: list[str] = []
        for number, (key, chat) in enumerate(seen.items(), 1):
            if number % ROWS_AT_ONCE == 0:
                yield
            noted = key in self.missing or key in self.receded or key in self._receding or key in self.partial
            if noted or self.chats.get(key) != chat:
                changed.append(key)
        return (yield from oldest_first(seen, changed))

    def _is_old(self, chat: Chat, old_before: datetime | None) -> bool:
        """Return whether an unknown chat is not new."""
        removed = self.tombstones.get(identity_of(chat))
        if removed is not None:
            return time_of(chat) <= removed[0]
        return old_before is not None and time_of(chat) < old_before

    def _is_believed_older(self, key: str) -> bool:
        """Return whether a chat that is older than it was is believed: the second time, in another poll."""
        if key in self.receded:
            return True
        self._receding.add(key)
        self.dirty = True
        return False

    def _see(self, key: str) -> None:
        """Note that a chat was read as it should be."""
        if key in self.receded or key in self._receding:
            self.receded.discard(key)
            self._receding.discard(key)
            self.dirty = True

    def _put(self, key: str, chat: Chat) -> None:
        """Add a chat."""
        self.readers.before_change()
        self.chats[key] = chat
        self._index(key, chat)

    def _take_unknown_fields(self, key: str) -> frozenset[str]:
        """Return the fields that were not known of a chat. From now on they are known."""
        if key not in self.partial:
            return frozenset()
        self.partial.remove(key)
        self.dirty = True
        return _FIELDS_SINCE_V2

    def note_missing(
        self, seen: Collection[str], excused: Collection[str] = (), *, proven: bool, now: float
    ) -> Generator[None, None, Losses]:
        """Note which chats a reading of the whole list does not have. Return which of them count as removed, in steps.

        Args:
            seen: The keys of the chats that were read.
            excused: The keys of chats that were not, but count as read (default: none).
            proven: Whether it is proven that the list has no other chats.
            now: When the reading began, in epoch seconds.
        """
        drop_tombstones(self.tombstones, now)
        losses = yield from find_losses(self.chats, self.missing, seen, excused, proven=proven, now=now)
        self.dirty = self.dirty or bool(self.missing or losses.missing)
        self.missing = losses.missing
        return losses

    def remove(self, keys: Sequence[str], now: float) -> Generator[ChatEvent | None, None, None]:
        """Remove chats, and yield that, oldest message first, and pauses."""
        for number, key in enumerate((yield from oldest_first(self.chats, keys)), 1):
            if number % ROWS_AT_ONCE == 0:
                yield None
            self.readers.before_change()
            chat = self.chats.pop(key)
            group = group_of(chat)
            self._groups[group] = tuple(other for other in self._groups[group] if other != key)
            if len(self._groups[group]) < 2:
                self._several.discard(group)
            if not self._groups[group]:
                del self._groups[group]
            del self.missing[key]
            self.partial.discard(key)
            self._see(key)
            bury(self.tombstones, chat, now)
            self.dirty = True
            yield ChatRemoved(chat)

    def other_rows(self, seen: Collection[str]) -> Generator[None, None, set[str]]:
        """Return the keys of known rows that were not read, but others of the same persons were, in steps.

        A walk over pages of a list that moves may leave out rows of persons that it has read. It proves nothing then.
        """
        others: set[str] = set()
        for number, group in enumerate(self._several, 1):
            if number % ROWS_AT_ONCE == 0:
                yield
            keys = self._groups[group]
            if any(key in seen for key in keys):
                others.update(key for key in keys if key not in seen)
        return others

    def is_missing(self, key: str) -> bool:
        """Return whether the last reading did not have a chat."""
        return key in self.missing and self.missing[key].times > 0

    def move_to_front(self, seen: Iterable[str]) -> None:
        """Move chats to the front, in the given order."""
        front = list(dict.fromkeys(seen))
        if front != list(islice(reversed(self.chats), len(front))):
            self.readers.before_change()
            for key in reversed(front):
                self.chats[key] = self.chats.pop(key)

    def known(self, chat: Chat) -> Chat:
        """Return the known chat that is equal to a row, if it is found among the first of its group, else the row."""
        for key in self._groups.get(group_of(chat), ())[:MAX_ROWS]:
            if self.chats[key] == chat:
                return self.chats[key]
        return chat

    def sorted_chats(self) -> tuple[Chat, ...]:
        """Return the chats, newest message first."""
        return tuple(sorted(self.chats.values(), key=time_of))[::-1]

    def lacks_newer(self, until: datetime, seen: Collection[str]) -> bool:
        """Return whether a known chat with a message after `until` is not in `seen`."""
        older = 0
        for key, chat in reversed(self.chats.items()):
            if time_of(chat) <= until:
                older += 1
                if older > MAX_PINNED:  # pinned chats may be on top with any time
                    break
            elif key not in seen and not self.is_missing(key):
                return True
        return False
