"""Rows of chats that were read before, which may be other chats: whether later answers confirm that.

If no page can hold the whole list and its pages are read one after another, a row whose time is older than all that was
read before has been further down the list all the time, since a chat's time never goes back unless its last message is
deleted; and a row without a time does not move. Such a row of a known key is probably another chat. It is kept, and is
yielded if a second pass shows it again, beside another row of its key.

A list that shows the same rows at the same places in two passes stands still: then all rows that differ are chats.
"""

from datetime import datetime

from attrs import define, field

from plugchat_async._pagination.kept_chats import KeptPage, KeptRows
from plugchat_async._pagination.same_chat import likeness_of, was_yielded
from plugchat_async._pagination.walk_state import WalkState
from plugchat_async._pagination.walk_steps import key_of
from plugchat_async.models import Chat, Page

# How many rows may have been pushed down past the end of a page, at least.
_RECENT = 64


@define(eq=False, repr=False)
class Unconfirmed:
    """The rows that are probably other chats, and what shows whether they are.

    Attributes:
        state: The state of the walk.
        most: Up to how many rows of a pass are kept, to compare them with the next one.
        rows: The rows, by key.
        doubtful: Keys of which an older row was read than the chat that was yielded: another one, or one put back.
        listed: The rows of this pass, of a list that is not long. None: they are too many.
        groups: The rows of this pass that differ, by key, of the keys in `_grouped` and `doubtful`.
        _grouped: The keys that several rows have in the last pass, and those of `rows`.
        _last: The rows of the last pass that went to the end.
        _is_same: Whether this pass has shown the same rows as that one so far.
        _again: The rows that a later pass has read of the keys of `rows`.
        _recent: The keys of the last two pages, or some more.
        _top: The keys of the chats that may be pinned.
        _oldest: The oldest time at the end of a page.
        _end: The place in the list up to which it was read. None: page 1 was not the first one, or was read again, also
            by a walk that was resumed there.
    """

    _state: WalkState
    _most: int
    rows: dict[str, list[Chat]] = field(factory=dict[str, list[Chat]], init=False)
    doubtful: set[str] = field(factory=set[str], init=False)
    listed: KeptRows | None = field(factory=KeptRows, init=False)
    groups: dict[str, dict[Chat, None]] = field(factory=dict[str, dict[Chat, None]], init=False)
    _grouped: set[str] = field(factory=set[str], init=False)
    _last: KeptRows | None = field(default=None, init=False)
    _is_same: bool = field(default=False, init=False)
    _again: dict[str, set[Chat]] = field(factory=dict[str, set[Chat]], init=False)
    _recent: list[str] = field(factory=list[str], init=False)
    _top: frozenset[str] = field(default=frozenset(), init=False)
    _oldest: datetime | None = field(default=None, init=False)
    _end: int | None = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._end = None if self._state.delivered else 0

    def begin_pass(self, *, is_long: bool) -> None:
        """Begin a pass. From now on, note whether it shows the rows again."""
        self._again = {key: set[Chat]() for key in self.rows}
        self.listed = None if self.listed is None and is_long else KeptRows()
        self.groups, self._grouped = {}, set(self.rows)
        self._is_same = self._last is not None
        if self._last is not None:
            self._grouped |= self._last.repeated_keys()

    def note(self, page: Page, keys: list[str], rows: KeptPage) -> None:
        """Note the rows of a page, and how far down the list it goes."""
        if self.listed is not None:
            self._compare(page, rows)
        if self._again:
            for chat, key in zip(page.chats, keys, strict=False):
                if key in self._again:
                    self._again[key].add(chat)
        end = (page.number - 1) * page.size + page.length
        if self._end is not None and (page.number == 1) != (self._end == 0):
            self._end, self._recent = None, []
        elif self._end is not None and end > self._end:  # else a window has stepped back
            self._end, self._recent = end, (self._recent + keys)[-max(_RECENT, 2 * len(keys)) :]
        if page.number == 1:
            self._top = _pinned_keys(page)
        time = next((chat.last_message_time for chat in reversed(page.chats) if chat.last_message_time), None)
        if time is not None:
            self._oldest = time if self._oldest is None else min(self._oldest, time)

    def sift(self, page: Page, keys: list[str], known: set[str], new: set[int]) -> None:
        """Keep the rows of a page that are probably other chats with a known key.

        Args:
            page: The page.
            keys: The keys of its rows.
            known: Those that were read before.
            new: The ids of the rows that are yielded.
        """
        state = self._state
        if not self._follows(page):
            return
        recent = set(self._recent)
        pushed_down = True  # so far, all rows of the page may have been on the page before
        for chat, key in zip(page.chats, keys, strict=False):
            pushed_down = pushed_down and key in known and key in recent
            if key not in known or key in self._top or id(chat) in new or was_yielded(state, chat, key):
                continue
            time = chat.last_message_time
            older = time is not None and state.scan.ordered and self._oldest is not None and time < self._oldest
            if older and any(row.last_message_time is None for row in state.yielded.of(key)):
                continue  # it may have got its first message, late
            if older or (time is None and not pushed_down):
                rows = self.rows.setdefault(key, [])
                if chat not in rows:
                    rows.append(chat)

    def take_out(self, key: str, row: Chat) -> None:
        """Forget a row that is yielded: itself, or what it was before a message."""
        rows = self.rows.get(key, [])
        since, time = self._state.since or self._state.scan.newest, row.last_message_time
        if row in rows:
            rows.remove(row)
        elif rows and since is not None and time is not None and time >= since:
            rows.remove(max(rows, key=lambda other: likeness_of(other, row)))
        if not rows:
            self.rows.pop(key, None)

    def drop(self) -> None:
        """Forget the rows that the last pass has not shown again, or shown as the only row of their key."""
        for key, seen in self._again.items():
            rows = self.rows.pop(key, [])
            confirmed = [row for row in rows if row in seen and len(seen) > 1]
            self.doubtful.discard(key)
            if len(confirmed) < len(rows):
                self.doubtful.add(key)
            if confirmed:
                self.rows[key] = confirmed

    def stands_still(self, rows: int | None = None) -> bool:
        """Return whether this pass, which went to the end, has shown the same rows as the last one that did.

        Tied chats may change places in step with the pages, and then one row comes twice, and another one never.

        Args:
            rows: The number of rows that differ, if none came twice. None: pages overlap, which shows that.
        """
        last, self._last = self._last, self.listed
        if last is None or self.listed is None or not self._is_same or last.length != self.listed.length:
            return False
        if rows is None:
            return True
        return rows == self.listed.count_keys() + sum(len(group) - 1 for group in self.groups.values())

    def _compare(self, page: Page, rows: KeptPage) -> None:
        """Compare the rows of a page with those at their place in the last pass, page by page: all would take long."""
        assert self.listed is not None
        if self._is_same and self._last is not None:
            self._is_same = self._last.has_at(self.listed.length, rows, page.chats)
            for key, chat in zip(rows.keys, page.chats, strict=True):
                if key in self._grouped or key in self.doubtful:
                    self.groups.setdefault(key, {}).setdefault(chat)
        self.listed.add(rows)
        if self.listed.length > self._most:
            self.listed = None

    def _follows(self, page: Page) -> bool:
        """Return whether a page goes further down the list than all before it, each of which was read once.

        It begins among the recent rows: a window may have stepped back behind them.
        """
        if self._end is None or self._state.passes or page.number == 1:
            return False
        begin = (page.number - 1) * page.size
        return self._end - len(self._recent) <= begin and self._end <= begin + page.length


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
