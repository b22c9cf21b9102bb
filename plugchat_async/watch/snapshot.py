"""What is known of a list that is watched, and what a new look at it says: events. Pure.

The list is sorted by the last message, newest first, and messages make chats jump to its front. So a look reads the
front, down to where times are older than the newest one of the look before: all chats with messages since then have
been seen. What it can't see is what happens deeper down without a message: chats that are deleted, read, muted or
renamed. For that the whole list is swept now and then, by a walk; and at once if a chat is missing among those that
were read.
"""

from collections.abc import Collection, Generator, Iterable
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from typing import Annotated, Any

import msgspec
from attrs import define, field

from plugchat_async._internal.serialization import from_text, to_text
from plugchat_async._pagination.exact import MAX_PINNED, is_sorted
from plugchat_async._pagination.steps import key_of
from plugchat_async.errors import InvalidValueError
from plugchat_async.models import COLUMNS, Chat, ChatAdded, ChatChanged, ChatEvent, ChatRemoved, Page, values_of

STATE_VERSION = 2
# With pages of a few chats a busy account repeats them honestly.
_MAX_REPEATS = 5
# The fields that states of version 1 do not have.
_NEW_FIELDS = frozenset(COLUMNS[8:])
# Of all times the first, which chats without one have.
OLDEST = datetime.min.replace(tzinfo=UTC)
# How many times in a row a chat is missing before it is gone: if nothing proves it, and if a list does that has less
# than half of the chats.
_MISSED = 3
_MISSED_FEW = 2
# By how much the service's clock may be ahead.
_AHEAD = timedelta(days=1)


@define(kw_only=True)
class Snapshot:
    """The list as it was when it was looked at last.

    chats: by their keys, see `key_of`, the newest message first. begun: whether all chats are in it.
    bound: messages since the last look are not older than this (None: nothing is known of their times).
    swept: when the whole list was read last, in epoch seconds (None: it is to be read again).
    doubted: chats that were not seen by what proves nothing, and how many times in a row. They may be gone.
    dated: keys of chats that are known from a state of version 1: fields that it did not have are no change.
    learnt: something of this has changed since it was set to False, but for the order, and when the list was read.
    """

    chats: dict[str, Chat] = field(factory=dict[str, Chat])
    begun: bool = False
    bound: datetime | None = None
    swept: float | None = None
    doubted: dict[str, int] = field(factory=dict[str, int])
    dated: set[str] = field(factory=set[str])
    learnt: bool = field(default=False, eq=False)

    def begin(self, seen: Iterable[Chat], quiet_until: datetime | None) -> None:
        """Take all chats into the snapshot that were there before, at once: who is not in it from now on is new.

        seen: the whole list. quiet_until: as for `events`.
        """
        for chat in seen:
            if _is_quiet(chat, quiet_until):
                self.chats.setdefault(key_of(chat), chat)
        if not self.begun:
            self.begun = self.learnt = True

    def events(
        self, seen: Iterable[Chat], ignored: Collection[str], quiet_until: datetime | None = None
    ) -> Generator[ChatEvent, None, None]:
        """Take what was seen into the snapshot, chat by chat, and give what that means, the oldest message first.

        A chat is in the snapshot before its event is given: so at each event the snapshot is what the caller knows.

        ignored: names of fields whose changes mean nothing. quiet_until: chats that are not in the snapshot, and whose
        message is not newer than this, mean nothing, either: they were there before (default None: all mean something).
        """
        for chat in sorted(seen, key=_time_of):
            key = key_of(chat)
            old, unknown = self.chats.get(key), self._take_dated(key)
            self.doubted.pop(key, None)
            self.chats[key] = chat
            if old == chat:
                continue
            self.learnt = True
            if old is None:
                if not _is_quiet(chat, quiet_until):
                    yield ChatAdded(chat)
            else:
                names = changed_fields(old, chat)
                if not set(names) <= {*ignored, *unknown}:
                    yield ChatChanged(old, chat, names)

    def _take_dated(self, key: str) -> frozenset[str]:
        """Return the fields that were not known of a chat. From now on they are."""
        if key not in self.dated:
            return frozenset()
        self.dated.remove(key)
        self.learnt = True
        return _NEW_FIELDS

    def removals_but(self, seen: Collection[str], *, proven: bool) -> Generator[ChatEvent, None, None]:
        """Take the chats off the snapshot that are not among those seen, and give that they are gone, the oldest first.

        proven: no other chat is in the list. If not, a chat is gone when it was not seen three times in a row: where
        chats are deleted while they are read, one is missed now and then, and now and then twice. It is the second time
        if all is proven, but less than half was seen, or nothing at all: a gateway that has lost its phone for a while,
        or has just found it again, shows a short or an empty list.
        """
        missing = self.chats.keys() - seen
        few = 2 * len(missing) > len(self.chats)
        needed = (_MISSED_FEW if few else 1) if proven else _MISSED
        missed = {phone: self.doubted.get(phone, 0) + 1 for phone in missing}
        gone = [phone for phone, times in missed.items() if times >= needed]
        for chat in sorted((self.chats[phone] for phone in gone), key=_time_of):
            self.learnt = True
            key = key_of(chat)
            del missed[key]
            self.dated.discard(key)
            yield ChatRemoved(self.chats.pop(key))
        self.learnt = self.learnt or self.doubted != missed
        self.doubted = missed

    def bring_forward(self, seen: Iterable[str]) -> None:
        """Put chats in front, in this order."""
        front = {phone: self.chats[phone] for phone in seen}
        if list(front) != [phone for phone, _ in zip(self.chats, front, strict=False)]:
            self.chats = front | {phone: chat for phone, chat in self.chats.items() if phone not in front}

    def sorted_chats(self) -> tuple[Chat, ...]:
        """Give the chats, the newest message first."""
        return tuple(sorted(self.chats.values(), key=_time_of, reverse=True))

    def sort(self) -> None:
        """Put the newest message first."""
        self.chats = {key_of(chat): chat for chat in self.sorted_chats()}

    def missing_above(self, until: datetime, seen: Collection[str]) -> bool:
        """Tell whether a chat whose message is newer than `until` is not among those seen."""
        older = 0
        for phone, chat in self.chats.items():
            if _time_of(chat) <= until:
                older += 1
                if older > MAX_PINNED:  # those may be on top, whatever their times
                    break
            elif phone not in seen and phone not in self.doubted:
                return True
        return False


def _is_quiet(chat: Chat, until: datetime | None) -> bool:
    """Tell whether a chat's message is not newer than a time; None is before all of them."""
    return until is not None and _time_of(chat) <= until


def _time_of(chat: Chat) -> datetime:
    return chat.last_message_time or OLDEST


def changed_fields(old: Chat, new: Chat) -> tuple[str, ...]:
    """Name the fields in which two states of a chat differ, in `Chat`'s order."""
    return tuple(name for name, was, now in zip(COLUMNS, values_of(old), values_of(new), strict=True) if was != now)


@define(eq=False, repr=False)
class Front:
    """The front of the list, read page by page as far as is needed to know all that got a message.

    bound: that of the snapshot. now: the time, by this machine's clock.

    seen: the chats of its pages by their keys; of one that was read twice what was read first.
    unreadable: a page had rows that are no chats, so who is missing may be one of them.
    newest: the newest time on page 1.
    until: the last time that was read; OLDEST if there are only chats without a time behind it.
    ordered: nothing speaks against the list being sorted by time.
    ended: a page was short.
    pages: how many were read. length: how many rows the last one had.
    whole: page 1 is known to be the whole list.
    repeats: how many pages in a row had no chat that is new to this look.
    """

    bound: datetime | None
    now: datetime
    seen: dict[str, Chat] = field(factory=dict[str, Chat], init=False)
    unreadable: bool = field(default=False, init=False)
    newest: datetime | None = field(default=None, init=False)
    until: datetime | None = field(default=None, init=False)
    ordered: bool = field(default=True, init=False)
    ended: bool = field(default=False, init=False)
    pages: int = field(default=0, init=False)
    length: int = field(default=0, init=False)
    whole: bool = field(default=False, init=False)
    repeats: int = field(default=0, init=False)

    def take(self, page: Page) -> bool:
        """Read a page, and tell whether the next one is wanted."""
        self.pages += 1
        self.ended, self.length = page.is_short, page.length
        self.unreadable = self.unreadable or bool(page.unreadable)
        known = len(self.seen)
        for chat in page.chats:
            self.seen.setdefault(key_of(chat), chat)
        times, is_tail = _times_above_tail(page)
        if not times and not (is_tail and self.newest is not None):
            self.ordered = self.ordered and not page.chats
            return False
        if page.number == 1:
            # A time that is still to come would keep looks from reading on. If all are, the clock is wrong.
            self.newest = max((time for time in times if time <= self.now + _AHEAD), default=max(times))
        self.until = OLDEST if is_tail else times[-1]
        self.ordered = self.ordered and is_sorted(page, times)
        self.repeats = 0 if len(self.seen) > known else self.repeats + 1
        if self.ended or self.bound is None or not self.ordered or self.stuck:
            return False
        return self.until >= self.bound or page.number * page.size <= MAX_PINNED

    @property
    def stuck(self) -> bool:
        """Whether the server seems to give the same page again and again; chats that are pushed down repeat, too."""
        return self.repeats >= _MAX_REPEATS

    def has_strays(self, snapshot: Snapshot) -> bool:
        """Tell whether a chat is not in the snapshot, though its message is older than the last look.

        It came back without a message, so others may have, too, as after a list that was short for a while.
        """
        return self.bound is not None and any(
            phone not in snapshot.chats and _time_of(chat) < self.bound for phone, chat in self.seen.items()
        )

    def leaves_out(self, snapshot: Snapshot) -> bool:
        """Tell whether a chat that should be among those seen is not."""
        if self.ended:
            return any(phone not in self.seen and phone not in snapshot.doubted for phone in snapshot.chats)
        return self.until is None or snapshot.missing_above(self.until, self.seen)


def _times_above_tail(page: Page) -> tuple[list[datetime], bool]:
    """Return a page's times, and whether it ends in chats without one; no times if there are some in between.

    The gateway lists chats without a message behind all others. They can't have jumped.
    """
    times = [chat.last_message_time for chat in page.chats]
    above = list(takewhile(lambda time: time is not None, times))
    is_tail = len(above) < len(times)
    if is_tail and any(time is not None for time in times[len(above) :]):
        return [], False
    return [time for time in above if time is not None], is_tail


# A chat as a row of its values: of a state of version 1, which knew eight of them, and of today's.
_Time = Annotated[datetime, msgspec.Meta(tz=True)] | None
_Flag = bool | None
_Phone = Annotated[str, msgspec.Meta(min_length=1)]
_FirstRow = tuple[_Phone, str | None, int, _Time, bool, bool, str | None, int | None]
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


class _PackedFields(msgspec.Struct, kw_only=True):
    begun: bool
    bound: _Time
    swept: float | None
    doubted: dict[str, int]


class _FirstPacked(_PackedFields, kw_only=True):
    """The JSON of a snapshot of version 1."""

    chats: list[_FirstRow]


class _Packed(_PackedFields, kw_only=True):
    """A snapshot's JSON."""

    chats: list[_Row]
    dated: set[str]


def pack(snapshot: Snapshot) -> str:
    """Give a snapshot as a text that `unpack` reads: some hundred bytes for each chat."""
    rows = [values_of(chat) for chat in snapshot.chats.values()]
    packed = _Packed(
        chats=rows,
        begun=snapshot.begun,
        bound=snapshot.bound,
        swept=snapshot.swept,
        doubted=snapshot.doubted,
        dated=snapshot.dated,
    )
    return to_text(STATE_VERSION, packed)


def unpack(text: str) -> Snapshot:
    """Read a snapshot. InvalidValueError if it is none, or one of another version of this package."""
    hint = "Give what `dumps` gave, as it was; without it, a watch begins anew."
    kinds: dict[int, type[_FirstPacked | _Packed]] = {1: _FirstPacked, STATE_VERSION: _Packed}
    packed = from_text(text, kinds, name="the text", what="the state of a watch", hint=hint)
    rows: list[Any] = [*packed.chats]
    chats = {key_of(chat): chat for chat in (Chat(*row) for row in rows)}
    if not all(chat.id for chat in chats.values()):
        raise InvalidValueError("the text is not the state of a watch", hint)
    return Snapshot(
        chats=chats,
        begun=packed.begun,
        bound=packed.bound,
        swept=packed.swept,
        doubted=packed.doubted,
        dated=packed.dated if isinstance(packed, _Packed) else set(chats),
    )
