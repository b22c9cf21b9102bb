"""Which row of a reading is which known chat. Pure.

A chat is identified by its phone and lid. The gateway lists some persons in several rows that share both, or have the
same lid and no phone. Rows of one answer that differ are different chats. They are told apart by what they were: a row
that is as before is the same chat; one that is not is the chat with its last message, then the one with its name, then
the one with the newest message. If only a part of the list was read, a chat that changed may be any of those that are
not in that part: then only a reading of the whole list decides.
"""

from collections.abc import Callable, Generator, Iterable, Mapping
from datetime import UTC, datetime
from typing import Final, TypeAlias

from attrs import define, field, frozen

from plugchat_async.models import COLUMNS, Chat, values_of

# Sorts before all other times, as chats without a message do.
OLDEST: Final = datetime.min.replace(tzinfo=UTC)

# How many rows are looked at in one step.
ROWS_AT_ONCE: Final = 1000
# A nonsensical phone may stand in any number of rows. So many of them are compared with each other.
MAX_ROWS: Final = 100

Groups: TypeAlias = Mapping[str, tuple[str, ...]]
"""The keys of known chats, by `group_of`."""


def time_of(chat: Chat) -> datetime:
    """Return the time of the last message, `OLDEST` if there is none."""
    return chat.last_message_time or OLDEST


def datetime_of(time: float) -> datetime:
    """Return a time of the clock as a datetime, `OLDEST` if it is out of range."""
    try:
        return datetime.fromtimestamp(time, UTC)
    except (ValueError, OverflowError, OSError):
        return OLDEST


def group_of(chat: Chat) -> str:
    """Return what all rows that may be the same chat share: the phone, else the lid. A lid may become known later."""
    return chat.phone or f"\n{chat.lid}"


def identity_of(chat: Chat) -> str:
    """Return phone and lid. It is the key of the first row that has them."""
    return f"{chat.phone or ''}\n{chat.lid or ''}"


def changed_fields(old: Chat, new: Chat) -> tuple[str, ...]:
    """Return the names of the fields in which two states of a chat differ, in `Chat`'s order."""
    return tuple(name for name, was, now in zip(COLUMNS, values_of(old), values_of(new), strict=True) if was != now)


@define(eq=False, repr=False)
class NewKeys:
    """Makes keys for chats that are not known.

    Attributes:
        taken: What has the keys that are in use.
    """

    taken: tuple[Mapping[str, object], ...]
    _numbers: dict[str, int] = field(factory=dict[str, int], init=False)

    def make(self, chat: Chat) -> str:
        """Return a key that is not in use."""
        identity = identity_of(chat)
        number = self._numbers.get(identity, 1)
        while any((key := identity if number == 1 else f"{identity}\n{number}") in keys for keys in self.taken):
            number += 1
        self._numbers[identity] = number + 1  # the caller uses it
        return key


@frozen
class Matched:
    """The rows of a reading, as chats.

    Attributes:
        seen: The chats by key, in the order of the list.
        unsure: Whether rows are left out because only a reading of the whole list can tell which chats they are.
    """

    seen: dict[str, Chat]
    unsure: bool


@define(eq=False, repr=False)
class _Row:
    """A row of a reading.

    Attributes:
        place: Its place in the reading.
        chat: The row itself.
        answer: The number of the answer that had it.
        key: The key of the chat that it is, "" while that is not known.
        is_sure: Whether no other known chat can be this one.
    """

    place: int
    chat: Chat
    answer: int
    key: str = ""
    is_sure: bool = True


@frozen
class _Context:
    """The arguments of `match_rows` that are not rows."""

    must_be_seen: Callable[[Chat], bool]
    complete: bool
    is_missing: Callable[[str], bool]

    def may_be(self, new: Chat, old: Chat, *, alone: bool = False) -> bool:
        """Return whether two rows of a group may be one chat: no lid becomes another one.

        Args:
            new: The row that was read.
            old: The known chat.
            alone: Whether there is no other row, neither a known nor a read one.
        """
        if new.lid is not None and old.lid is not None and new.lid != old.lid:
            return False
        if new.name == old.name:
            return True
        return (self.complete or bool(new.phone)) and (alone or time_of(new) >= time_of(old))


def match_rows(
    reading: Iterable[tuple[Chat, int]],
    chats: Mapping[str, Chat],
    groups: Groups,
    must_be_seen: Callable[[Chat], bool] = lambda _: True,
    *,
    complete: bool = True,
    is_missing: Callable[[str], bool] = lambda _: False,
) -> Generator[None, None, Matched]:
    """Return which chats the rows of a reading are, in steps of a few milliseconds.

    Args:
        reading: The rows, in order, with the number of the answer that had them. Equal rows are one.
        chats: The known chats by key.
        groups: Their keys by `group_of`.
        must_be_seen: Returns whether a known chat would be in the part of the list that was read, if it had not
            changed. Default: all of the list was read.
        complete: Whether all chats of the list were known. If not, a row without a phone and with another name is
            another chat, not a renamed one: one lid may have five rows. Default True.
        is_missing: Returns whether the last reading did not have a known chat, by its key. A row is rather another one.
            Default: it had all.
    """
    read, answers, repeated = yield from _read_rows(reading)
    yield
    found: list[str | None] = [None] * len(read)  # the key of each row, "" of a new one, None to leave it out
    unclear: dict[str, list[int]] = {}
    for place, chat in enumerate(read):
        if place % ROWS_AT_ONCE == ROWS_AT_ONCE - 1:
            yield
        group = group_of(chat)
        keys = groups.get(group, ())
        if group not in repeated and (not keys or _are_equal(chats[keys[0]], chat)):  # as nearly always
            found[place] = keys[0] if keys else ""
        else:
            unclear.setdefault(group, []).append(place)
    context = _Context(must_be_seen, complete, is_missing)
    unsure = False
    for number, (group, places) in enumerate(unclear.items(), 1):
        if number % ROWS_AT_ONCE == 0:
            yield
        rows = [_Row(place, read[place], answers[place]) for place in places]
        matched = _match_group(rows, {key: chats[key] for key in groups.get(group, ())}, context)
        if not all(row.is_sure for row in matched):
            unsure = True
            matched = [row for row in matched if chats.get(row.key) == row.chat]
        for row in matched:
            found[row.place], read[row.place] = row.key, row.chat
    return Matched((yield from _by_key(read, found, chats)), unsure)


def _read_rows(reading: Iterable[tuple[Chat, int]]) -> Generator[None, None, tuple[list[Chat], list[int], set[str]]]:
    """Return the rows, the numbers of their answers, and the groups that have several rows."""
    # Lists of texts and numbers, not a tuple for each row: of those the garbage collector would take long. A set, not a
    # dictionary: to grow, one of 200,000 texts blocks the event loop for 2 ms instead of 6.
    read: list[Chat] = []
    answers: list[int] = []
    groups: set[str] = set()
    repeated: set[str] = set()
    for place, (chat, answer) in enumerate(reading):
        if place % ROWS_AT_ONCE == ROWS_AT_ONCE - 1:
            yield
        read.append(chat)
        answers.append(answer)
        group = group_of(chat)
        if group in groups:
            repeated.add(group)
        groups.add(group)
    return read, answers, repeated


def _are_equal(known: Chat, read: Chat) -> bool:
    return known is read or known == read  # mostly they are one, see `scan_all`; attrs would compare all values


def _by_key(
    read: list[Chat], found: list[str | None], known: Mapping[str, Chat]
) -> Generator[None, None, dict[str, Chat]]:
    """Return the rows by key, and make keys for new ones. Empties the lists."""
    seen: dict[str, Chat] = {}
    new = NewKeys((known, seen))
    for place, key in enumerate(found):
        if place % ROWS_AT_ONCE == ROWS_AT_ONCE - 1:
            yield
        if key is not None:
            seen[key or new.make(read[place])] = read[place]
    # Each takes some milliseconds to free.
    yield
    read.clear()
    yield
    found.clear()
    yield
    return seen


def _match_group(rows: list[_Row], known: dict[str, Chat], context: _Context) -> list[_Row]:
    """Set the keys of the rows of a group that are known chats. Return the rows without repetitions."""
    alone = len(known) == 1 and len(rows) == 1
    first: dict[Chat, _Row] = {}
    for row in rows:
        first.setdefault(row.chat, row)
    as_before = {chat: key for key, chat in known.items()}
    for row in first.values():
        row.key = as_before.get(row.chat, "")
        known.pop(row.key, None)
    _pair([row for row in first.values() if not row.key], known, context, alone=alone)
    if rows[0].answer == rows[-1].answer:
        return list(first.values())
    merged: list[_Row] = []
    for row in first.values():
        _merge(row, merged)
    return merged


def _pair(rows: list[_Row], known: dict[str, Chat], context: _Context, *, alone: bool) -> None:
    """Set the keys of rows that are known chats, but have changed. The most similar ones are paired first."""

    def likeness(row: _Row, key: str) -> tuple[object, ...]:
        new, old = row.chat, known[key]
        return (
            new.last_message_time is not None and new.last_message_time == old.last_message_time,
            new.name == old.name,
            new.lid == old.lid,
            time_of(new) >= time_of(old),
            not context.is_missing(key),
            context.must_be_seen(old),
            time_of(old),
            time_of(new),
        )

    pairs = [
        (row, key)
        for row in rows[:MAX_ROWS]
        for key in list(known)[:MAX_ROWS]
        if context.may_be(row.chat, known[key], alone=alone)
    ]
    for row, key in sorted(pairs, key=lambda pair: likeness(*pair), reverse=True):
        if row.key or key not in known:
            continue
        row.key, old = key, known.pop(key)
        if not context.must_be_seen(old):
            # It may as well be another one of those that were not read.
            rivals = [
                other for other in known.values() if context.may_be(row.chat, other) and not context.must_be_seen(other)
            ]
            same_message = (
                row.chat.last_message_time is not None and row.chat.last_message_time == old.last_message_time
            )
            row.is_sure = same_message or (
                row.chat.name == old.name and all(other.name != old.name for other in rivals)
            )


def _merge(row: _Row, merged: list[_Row]) -> None:
    """Add a row, or make it one with a row of an earlier answer, if both show the same chat at different moments."""
    for place, other in enumerate(merged):
        if _is_same_chat(other, row):
            later = time_of(row.chat) >= time_of(other.chat)
            kept = row if later else other
            kept.key, kept.place, kept.is_sure = row.key or other.key, other.place, row.is_sure and other.is_sure
            merged[place] = kept
            return
    merged.append(row)


def _is_same_chat(earlier: _Row, later: _Row) -> bool:
    """Return whether a row of a later answer is a chat that an earlier one had.

    Further down in the list others are older, unless that answer is older, too: then it has what was known before.
    """
    if earlier.answer >= later.answer or (earlier.key and later.key):
        return False
    same_time = later.chat.last_message_time == earlier.chat.last_message_time
    if later.chat.lid != earlier.chat.lid or (later.chat.name != earlier.chat.name and not same_time):
        return False
    if time_of(later.chat) < time_of(earlier.chat):
        return bool(later.key)
    return later.chat.last_message_time is not None
