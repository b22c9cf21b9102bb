"""Which rows of a page are chats that the walk has not yielded yet.

A walk remembers chats by their keys, see `key_of`. Rows of one answer that have one key and differ are different chats;
rows that are equal are one. Across answers a known key says less: the row may be the chat that was read before, pushed
down the list or changed by a message, or another chat with the same key. What is certain:

- An answer with more rows of a key than chats of it were yielded has other chats: as many as that.
- A page that holds the whole list has all rows of each key. Which of them were yielded, shows what these looked like:
  equal rows are the same, then those of the same name and picture, then those of the same time.

What is likely, if no page can hold the whole list and its pages are read one after another: a row whose time is older
than all that was read before has been further down the list all the time, since a chat's time never goes back unless
its last message is deleted; and a row without a time does not move. Such rows are kept apart. They are yielded if a
second pass shows them again, beside another row of their key.

A list that shows the same rows at the same places in two passes stands still: then all rows that differ are chats.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime

from attrs import define, evolve, field

from plugchat_async._pagination.checkpoint import label_of
from plugchat_async._pagination.walk_context import WalkContext
from plugchat_async._pagination.walk_state import WalkState
from plugchat_async._pagination.walk_steps import Walk, YieldPage, key_of, ordered_keys
from plugchat_async.models import Chat, Page

# How many rows may have been pushed down past the end of a page, at least.
_RECENT = 64
# Up to how many chats are kept to compare them with other rows of the same key.
_COMPARED = 5000
# Up to how many rows of one key are compared; a person has a handful.
_COMPARED_ROWS = 100


@define(eq=False, repr=False)
class Remembered:
    """What a walk has read, beyond the keys in its state.

    Attributes:
        state: The state of the walk.
        context: What the walk needs besides.
        others: Rows of known keys that are probably other chats, by key.
        copies: The number of rows that were equal to another row of their page, where they were first read.
        guessed: Keys of which rows were yielded without what was yielded before in sight, after resuming.
        doubtful: Keys of which an older row was read than the chat that was yielded: another one, or one put back.
        _again: The rows that a later scan has read of the keys of `others`.
        _rows: The rows of this pass, of a list that is not long. None: they are too many.
        _last_rows: The rows of the last pass that went to the end.
        _is_long: Whether more chats were yielded than are compared.
        _recent: The keys of the page before, and some more.
        _top: The keys of the chats that may be pinned.
        _oldest: The oldest time at the end of a page.
        _end: The place in the list up to which its pages were read one after another. None: one was read again.
    """

    _state: WalkState
    _context: WalkContext
    others: dict[str, list[Chat]] = field(factory=dict[str, list[Chat]], init=False)
    copies: int = field(default=0, init=False)
    guessed: set[str] = field(factory=set[str], init=False)
    doubtful: set[str] = field(factory=set[str], init=False)
    _again: dict[str, set[Chat]] = field(factory=dict[str, set[Chat]], init=False)
    _rows: list[Chat] | None = field(factory=list[Chat], init=False)
    _last_rows: list[Chat] | None = field(default=None, init=False)
    _is_long: bool = field(default=False, init=False)
    _recent: list[str] = field(factory=list[str], init=False)
    _top: frozenset[str] = field(default=frozenset(), init=False)
    _oldest: datetime | None = field(default=None, init=False)
    _end: int | None = field(default=0, init=False)

    def read(self, page: Page) -> tuple[Page, set[str]]:
        """Mark all rows of a page as read, and count.

        Args:
            page: The page.

        Returns:
            The page without the chats that were read before, and the known keys.
        """
        state = self._state
        # A list, since a set that is fed with sets grows twice as slowly.
        keys = ordered_keys(page)
        if state.old_keys:
            keys = [
                chat.phone if chat.phone in state.seen else key for chat, key in zip(page.chats, keys, strict=False)
            ]
            keys += page.unreadable_keys
        known = state.seen.intersection(keys)
        before = len(state.seen)
        state.seen.update(keys)
        if len(state.seen) - before == len(keys):
            new = page.chats
            state.delivered += len(keys)
        else:
            new = self._new_chats(page, keys, known)
            if known and self._follows(page):
                self._sift(page, keys, known, set(map(id, new)))
        self._note_again(page, keys)
        if state.delivered > _COMPARED:
            self._is_long = True
            state.yielded.clear()
            state.labels.clear()
        self._keep(new)
        self._note(page, keys)
        return self._without_others(page, new), known

    def begin_scan(self) -> None:
        """Begin a pass. From now on, look whether it shows the rows that were kept apart again."""
        self._again = {key: set[Chat]() for key in self.others}
        self._rows = [] if self._rows is not None or self._state.delivered <= _COMPARED else None

    def stands_still(self, rows: int | None = None) -> bool:
        """Return whether this pass, which went to the end, has shown the same rows as the last one that did.

        Tied chats may change places in step with the pages, and then one row comes twice, and another one never.

        Args:
            rows: The number of rows that differ, if none came twice. None: pages overlap, which shows that.
        """
        last, self._last_rows = self._last_rows, self._rows
        return last is not None and last == self._rows and rows in (None, len(set(last)))

    def yield_rest(self) -> Walk:
        """Yield the rows of a list that stands still that were not yielded."""
        state = self._state
        groups: dict[str, dict[Chat, None]] = {}
        for chat in self._rows or ():
            groups.setdefault(key_of(chat), {}).setdefault(chat)
        chats: list[Chat] = []
        for key, rows in groups.items():
            yielded = state.several.get(key, 1)
            if len(rows) > yielded:
                rest = self._without_yielded(key, list(rows), yielded)
                state.several[key] = yielded + len(rest)
                chats += rest
            if all(chat in rows for chat in self._state.yielded.get(key, ())):
                self.doubtful.discard(key)
        yield from self._yield_late(chats)

    def drop_unconfirmed(self) -> None:
        """Forget the rows that the last scan has not shown again, or shown as the only row of their key."""
        for key, seen in self._again.items():
            rows = self.others.pop(key, [])
            confirmed = [row for row in rows if row in seen and len(seen) > 1]
            self.doubtful.discard(key)
            if len(confirmed) < len(rows):
                self.doubtful.add(key)
            if confirmed:
                self.others[key] = confirmed

    def yield_others(self) -> Walk:
        """Yield the rows that were kept apart, as chats of their own."""
        state = self._state
        chats: list[Chat] = []
        for key, rows in self.others.items():
            state.several[key] = state.several.get(key, 1) + len(rows)
            chats += rows
        yield from self._yield_late(chats)

    def _yield_late(self, chats: list[Chat]) -> Walk:
        """Yield chats that were read before they were known to be chats of their own."""
        state = self._state
        self.others.clear()
        self._keep(chats)
        state.delivered += len(chats)
        self._count(chats)
        if chats:
            yield YieldPage(Page(max(1, state.page - 1), state.size, tuple(chats), b"[]"))

    def _keep(self, chats: Iterable[Chat]) -> None:
        """Keep chats that are yielded, to compare them with other rows of their key."""
        if not self._is_long:
            for chat in chats:
                self._state.yielded.setdefault(key_of(chat), []).append(chat)

    def _note_again(self, page: Page, keys: list[str]) -> None:
        """Note what may tell later which rows are chats of their own."""
        if self._rows is not None:
            self._rows += page.chats
            if len(self._rows) > _COMPARED:
                self._rows = None
        if self._again:
            for chat, key in zip(page.chats, keys, strict=False):
                if key in self._again:
                    self._again[key].add(chat)

    def _new_chats(self, page: Page, keys: list[str], known: set[str]) -> tuple[Chat, ...]:
        """Return the chats of a page with known keys, or several rows of one key, that are new."""
        state = self._state
        several = known | {key for key, count in Counter(keys).items() if count > 1}
        groups: dict[str, dict[Chat, None]] = {}
        new: set[int] = set()
        for chat, key in zip(page.chats, keys, strict=False):
            if key not in several:
                new.add(id(chat))
                continue
            rows = groups.setdefault(key, {})
            if chat in rows:
                state.scan.copies += 1  # an equal row is the same chat
                self.copies += key not in known
            rows.setdefault(chat)
        unreadable = page.unreadable_keys
        state.scan.copies += len(unreadable) - len(set(unreadable))
        state.delivered += len(set(unreadable) - known) + len(new)
        for key, rows in groups.items():
            yielded = state.several.get(key, 1) if key in known else 0
            if key in self.guessed and set(state.labels.get(key, (0,))) <= set(map(label_of, rows)):
                self.guessed.discard(key)
            if len(rows) > yielded:
                chats = self._without_yielded(key, list(rows), yielded)
                state.several[key] = yielded + len(chats)
                state.delivered += len(chats)
                new.update(map(id, chats))
                self.doubtful.discard(key)
            elif any(
                _may_be_another(row, state.yielded.get(key, ())) and not self._was_yielded(row, key) for row in rows
            ):
                self.doubtful.add(key)
        return tuple(chat for chat in page.chats if id(chat) in new)

    def _without_yielded(self, key: str, rows: list[Chat], yielded: int) -> list[Chat]:
        """Return the rows of a key without those that are most like the chats that were yielded."""
        others = self.others.pop(key, [])
        may_be_gone = self._state.config.consistency == "strict"  # for which chats may be deleted
        before: list[Chat] = [] if len(rows) > _COMPARED_ROWS else self._state.yielded.get(key, [])[:yielded]
        for label in self._state.labels.get(key, ()):
            same = [row for row in rows if label_of(row) == label]
            if same:
                rows.remove(same[0])
                yielded -= 1
        if len(before) < yielded:
            self.guessed.add(key)
        for chat in sorted(before, key=lambda chat: chat not in rows):
            same = [row for row in rows if not _may_be_another(row, (chat,))]
            if same or not may_be_gone:
                rows.remove(max(same or rows, key=lambda row: (*_likeness(row, chat), row not in others)))
        rows.sort(key=lambda row: row in others)
        rows = rows[yielded - len(before) :]
        for row in rows:
            self._take_out(others, row)
        if others:
            self.others[key] = others
        return rows

    def _take_out(self, others: list[Chat], row: Chat) -> None:
        """Take a row that is yielded out of those that are kept apart: itself, or what it was before a message."""
        state = self._state
        since, time = state.since or state.scan.newest, row.last_message_time
        if row in others:
            others.remove(row)
        elif others and since is not None and time is not None and time >= since:
            others.remove(max(others, key=lambda other: _likeness(other, row)))

    def _was_yielded(self, chat: Chat, key: str) -> bool:
        """Return whether a row is equal to a chat that was yielded, in this process or before the walk was resumed."""
        labels = self._state.labels.get(key, ())
        return chat in self._state.yielded.get(key, ()) or (bool(labels) and label_of(chat) in labels)

    def _follows(self, page: Page) -> bool:
        """Return whether a page goes further down the list than all before it, each of which was read once.

        It begins among the recent rows: a window may have stepped back behind them.
        """
        if self._end is None or self._state.passes or page.number == 1:
            return False
        begin = (page.number - 1) * page.size
        return self._end - len(self._recent) <= begin and self._end <= begin + page.length

    def _note(self, page: Page, keys: list[str]) -> None:
        """Note how far down the list was read."""
        end = (page.number - 1) * page.size + page.length
        if self._end is not None:
            self._end = end if end > self._end and (page.number == 1) == (self._end == 0) else None
        self._recent = (self._recent + keys)[-max(_RECENT, len(keys)) :] if self._end is not None else []
        if page.number == 1:
            self._top = _pinned_keys(page)
        time = next((chat.last_message_time for chat in reversed(page.chats) if chat.last_message_time), None)
        if time is not None:
            self._oldest = time if self._oldest is None else min(self._oldest, time)

    def _sift(self, page: Page, keys: list[str], known: set[str], new: set[int]) -> None:
        """Keep apart the rows that are probably other chats with a known key. `new` has the ids of those yielded."""
        scan = self._state.scan
        pushed_down = True  # so far, all rows of the page may have been on the page before
        for chat, key in zip(page.chats, keys, strict=False):
            if key not in known or key not in self._recent:
                pushed_down = False
            if key not in known or key in self._top or id(chat) in new or self._was_yielded(chat, key):
                continue
            time = chat.last_message_time
            older = time is not None and scan.ordered and self._oldest is not None and time < self._oldest
            if older and any(row.last_message_time is None for row in self._state.yielded.get(key, ())):
                continue  # it may have got its first message, late
            if older or (time is None and not pushed_down):
                rows = self.others.setdefault(key, [])
                if chat not in rows:
                    rows.append(chat)

    def _without_others(self, page: Page, new: tuple[Chat, ...]) -> Page:
        skipped = len(page.chats) - len(new)
        self._context.stats.duplicates += skipped
        self._count(new)
        return evolve(page, chats=new, skipped=skipped) if skipped else page

    def _count(self, new: "tuple[Chat, ...] | list[Chat]") -> None:
        self._context.stats.chats += len(new)
        if self._state.passes:
            self._context.stats.recovered += len(new)


def _pinned_keys(page: Page) -> frozenset[str]:
    """Return the keys of the chats on page 1 that stand above newer ones, or say that they are pinned."""
    newest: datetime | None = None
    keys: set[str] = set()
    for chat in reversed(page.chats):
        time = chat.last_message_time
        if getattr(chat, "is_pinned", None) or (time is not None and newest is not None and time < newest):
            keys.add(key_of(chat))
        if time is not None and (newest is None or time > newest):
            newest = time
    return frozenset(keys)


def _may_be_another(row: Chat, yielded: Sequence[Chat]) -> bool:
    """Return whether a row is no later state of any chat that was yielded: it is older, or has another name."""
    time = row.last_message_time
    return bool(yielded) and not any(
        row == chat
        or (time == chat.last_message_time and getattr(row, "name", None) == getattr(chat, "name", None))
        or (time is not None and (chat.last_message_time is None or time > chat.last_message_time))
        for chat in yielded
    )


def _likeness(row: Chat, chat: Chat) -> tuple[bool, bool, bool]:
    """Return how like a row is to a chat: equal, of the same name and picture, of the same time."""
    of_row, of_chat = ((getattr(x, "name", None), getattr(x, "profile_thumbnail", None)) for x in (row, chat))
    return row == chat, of_row == of_chat, row.last_message_time == chat.last_message_time
