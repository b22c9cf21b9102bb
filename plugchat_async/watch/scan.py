"""The two ways in which a poll reads the list: its front, or all of it. Pure."""

from collections.abc import Collection, Generator
from datetime import datetime
from heapq import nlargest
from itertools import takewhile
from typing import ClassVar, Final

from attrs import define, field, frozen

from plugchat_async._internal.steps import finish
from plugchat_async._pagination.order import MAX_PINNED, is_sorted
from plugchat_async.models import Chat, Page
from plugchat_async.watch.identity import OLDEST, ROWS_AT_ONCE, Matched, datetime_of, identity_of, time_of
from plugchat_async.watch.snapshot import MAX_AHEAD, Snapshot

# A busy account with pages of a few chats can honestly repeat this many pages.
_MAX_REPEATS: Final = 5


@define(eq=False, repr=False)
class FrontScan:
    """The front of the list, read page by page until all chats with a message since the last poll are covered.

    Attributes:
        since: The `since` of the snapshot.
        started: When the poll began, in epoch seconds.
        short_ends: Whether a short page ends the list. If not, only an empty one does.
        rows: The rows that were read, in order, and the number of the page that had each.
        has_unreadable: Whether a page had unreadable rows, one of which may be a missing chat.
        newest_times: The times on page 1.
        newest: The newest time on page 1.
        read_until: The last time that was read; `OLDEST` if only chats without a time follow.
        in_order: Whether the pages so far are sorted by time.
        ended: Whether the last page was the last one of the list, or may be.
        pages: The number of pages.
        last_length: The number of rows of the last page.
        is_whole_list: Whether page 1 is known to be the whole list.
        repeats: How many pages in a row had no chat that this scan had not read before.
        names: Identity and name of all rows that were read.
    """

    since: datetime | None
    started: float
    short_ends: bool = True
    rows: dict[Chat, int] = field(factory=dict[Chat, int], init=False)
    has_unreadable: bool = field(default=False, init=False)
    newest_times: list[datetime] = field(factory=list[datetime], init=False)
    newest: datetime | None = field(default=None, init=False)
    read_until: datetime | None = field(default=None, init=False)
    in_order: bool = field(default=True, init=False)
    ended: bool = field(default=False, init=False)
    pages: int = field(default=0, init=False)
    last_length: int = field(default=0, init=False)
    is_whole_list: bool = field(default=False, init=False)
    repeats: int = field(default=0, init=False)
    names: set[tuple[str, str | None]] = field(factory=set[tuple[str, str | None]], init=False)

    def add(self, page: Page) -> bool:
        """Add a page, and return whether the next one is needed."""
        self.pages += 1
        self.ended, self.last_length = page.is_short if self.short_ends else not page.length, page.length
        self.has_unreadable = self.has_unreadable or bool(page.unreadable)
        known = len(self.names)
        for chat in page.chats:
            self.rows.setdefault(chat, page.number)
            self.names.add((identity_of(chat), chat.name))
        times, ends_without_times = _times_of(page)
        if not times and not (ends_without_times and self.newest is not None):
            self.in_order = self.in_order and not page.chats
            return False
        if page.number == 1:
            # A time in the future would keep later polls from reading on. If all are in the future, our clock is wrong.
            self.newest_times = times
            self.newest = max((time for time in times if time <= self.now), default=max(times))
        self.read_until = OLDEST if ends_without_times else times[-1]
        self.in_order = self.in_order and is_sorted(page.number, times)
        self.repeats = 0 if len(self.names) > known else self.repeats + 1
        if self.ended or self.since is None or not self.in_order or self.is_stuck:
            return False
        return self.read_until >= self.since or page.number * page.size <= MAX_PINNED

    @property
    def now(self) -> datetime:
        """When the poll began, by this machine's clock."""
        return datetime_of(self.started)

    @property
    def is_proven(self) -> bool:
        """Whether, if page 1 is the whole list, the list has no other chats."""
        return not self.has_unreadable

    def match(self, snapshot: Snapshot) -> Matched:
        """Return which chats the rows are."""
        return finish(snapshot.match(self.rows.items(), self._must_have))

    def _must_have(self, chat: Chat) -> bool:
        """Return whether a known chat would have been read, if it had not changed."""
        if self.is_whole_list:
            return True
        return self.in_order and self.read_until is not None and time_of(chat) > self.read_until

    @property
    def is_stuck(self) -> bool:
        """Whether the server seems to return the same page for every number.

        A few repeats are normal: new messages push chats down to the next page.
        """
        return self.repeats >= _MAX_REPEATS

    def lacks_known_chat(self, snapshot: Snapshot, seen: Collection[str]) -> bool:
        """Return whether a known chat is missing in the part of the list that was read.

        Args:
            snapshot: The known chats.
            seen: The keys of the chats that were read.
        """
        if self.ended:
            return any(key not in seen and not snapshot.is_missing(key) for key in snapshot.chats)
        return self.read_until is None or snapshot.lacks_newer(self.read_until, seen)


def _times_of(page: Page) -> tuple[list[datetime], bool]:
    """Return the times of a page, and whether it ends with chats without a time.

    The gateway lists chats without a message after all others; they can't have moved. If one comes before a chat with
    a time, no times are returned.
    """
    times = [chat.last_message_time for chat in page.chats]
    above = list(takewhile(lambda time: time is not None, times))
    ends_without_times = len(above) < len(times)
    if ends_without_times and any(time is not None for time in times[len(above) :]):
        return [], False
    return [time for time in above if time is not None], ends_without_times


@frozen
class FullScan:
    """The whole list, read by a walk.

    Attributes:
        rows: The rows, in order. Those that are as known are the snapshot's own chats, see `scan_all`.
        is_proven: Whether it is proven that no other chat has existed during the whole scan.
        started: When it started, in epoch seconds.
    """

    rows: list[Chat]
    is_proven: bool
    started: float
    is_whole_list: ClassVar[bool] = True

    def match(self, snapshot: Snapshot) -> Generator[None, None, Matched]:
        """Return which chats the rows are, in steps."""
        return snapshot.match((chat, 0) for chat in self.rows)  # the walk has sorted out which rows are different chats

    def newest_times(self) -> Generator[None, None, list[datetime]]:
        """Return the times that `Snapshot.cover` needs of a list that is not sorted, in steps."""
        now = datetime_of(self.started)
        past: list[datetime] = []
        ahead: list[datetime] = []
        for first in range(0, len(self.rows), ROWS_AT_ONCE):
            yield
            rows = self.rows[first : first + ROWS_AT_ONCE]
            times = [chat.last_message_time for chat in rows if chat.last_message_time is not None]
            past = nlargest(1, [*past, *(time for time in times if time <= now)])
            ahead = nlargest(MAX_AHEAD + 1, [*ahead, *(time for time in times if time > now)])
        return [*past, *ahead]

    def continues_behind(self, front: FrontScan) -> bool:
        """Return whether there are more chats behind a front scan that ended at a short page 1."""
        until = front.read_until
        return (
            front.ended
            and until is not None
            and front.pages == 1
            and any(
                chat.last_message_time is not None
                and chat.last_message_time <= until
                and (identity_of(chat), chat.name) not in front.names
                for chat in self.rows
            )
        )
