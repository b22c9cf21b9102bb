"""The two ways in which a poll reads the list: its front, or all of it. Pure."""

from datetime import datetime, timedelta
from itertools import takewhile
from typing import Final

from attrs import define, field, frozen

from plugchat_async._pagination.exact import is_sorted
from plugchat_async._pagination.remember import MAX_PINNED
from plugchat_async._pagination.walk_steps import key_of
from plugchat_async.models import Chat, Page
from plugchat_async.watch.snapshot import OLDEST, Snapshot, time_of

# A busy account with pages of a few chats can honestly repeat this many pages.
_MAX_REPEATS: Final = 5
# How far the service's clock may be ahead.
_MAX_CLOCK_SKEW: Final = timedelta(days=1)


@define(eq=False, repr=False)
class FrontScan:
    """The front of the list, read page by page until all chats with a message since the last poll are covered.

    Attributes:
        since: The `since` of the snapshot.
        now: The time by this machine's clock.
        seen: The chats that were read, by `key_of`. For a chat that was read twice, the first one.
        has_unreadable: Whether a page had unreadable rows, one of which may be a missing chat.
        newest: The newest time on page 1.
        read_until: The last time that was read; `OLDEST` if only chats without a time follow.
        in_order: Whether the pages so far are sorted by time.
        ended: Whether the last page was short.
        pages: The number of pages.
        last_length: The number of rows of the last page.
        is_whole_list: Whether page 1 is known to be the whole list.
        repeats: How many pages in a row had no chat that this scan had not read before.
    """

    since: datetime | None
    now: datetime
    seen: dict[str, Chat] = field(factory=dict[str, Chat], init=False)
    has_unreadable: bool = field(default=False, init=False)
    newest: datetime | None = field(default=None, init=False)
    read_until: datetime | None = field(default=None, init=False)
    in_order: bool = field(default=True, init=False)
    ended: bool = field(default=False, init=False)
    pages: int = field(default=0, init=False)
    last_length: int = field(default=0, init=False)
    is_whole_list: bool = field(default=False, init=False)
    repeats: int = field(default=0, init=False)

    def add(self, page: Page) -> bool:
        """Add a page, and return whether the next one is needed."""
        self.pages += 1
        self.ended, self.last_length = page.is_short, page.length
        self.has_unreadable = self.has_unreadable or bool(page.unreadable)
        known = len(self.seen)
        for chat in page.chats:
            self.seen.setdefault(key_of(chat), chat)
        times, ends_without_times = _times_of(page)
        if not times and not (ends_without_times and self.newest is not None):
            self.in_order = self.in_order and not page.chats
            return False
        if page.number == 1:
            # A time in the future would keep later polls from reading on. If all are in the future, our clock is wrong.
            self.newest = max((time for time in times if time <= self.now + _MAX_CLOCK_SKEW), default=max(times))
        self.read_until = OLDEST if ends_without_times else times[-1]
        self.in_order = self.in_order and is_sorted(page.number, times)
        self.repeats = 0 if len(self.seen) > known else self.repeats + 1
        if self.ended or self.since is None or not self.in_order or self.is_stuck:
            return False
        return self.read_until >= self.since or page.number * page.size <= MAX_PINNED

    @property
    def is_stuck(self) -> bool:
        """Whether the server seems to return the same page for every number.

        A few repeats are normal: new messages push chats down to the next page.
        """
        return self.repeats >= _MAX_REPEATS

    def has_old_unknown_chat(self, snapshot: Snapshot) -> bool:
        """Return whether a chat is not in the snapshot, although its message is older than the last poll.

        Such a chat has come back without a message, as after a list that was short for a while. Others may have, too.
        """
        return self.since is not None and any(
            key not in snapshot.chats and time_of(chat) < self.since for key, chat in self.seen.items()
        )

    def lacks_known_chat(self, snapshot: Snapshot) -> bool:
        """Return whether a known chat is missing in the part of the list that was read."""
        if self.ended:
            return any(key not in self.seen and key not in snapshot.missing for key in snapshot.chats)
        return self.read_until is None or snapshot.lacks_newer(self.read_until, self.seen)


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
        seen: The chats by `key_of`.
        verified: Whether it is proven that no other chat has existed during the whole scan.
        started: When it started, in epoch seconds.
    """

    seen: dict[str, Chat]
    verified: bool
    started: float

    def continues_behind(self, front: FrontScan) -> bool:
        """Return whether there are more chats behind a front scan that ended at a short page 1."""
        until = front.read_until
        return (
            front.ended
            and until is not None
            and front.pages == 1
            and any(
                key not in front.seen and chat.last_message_time is not None and chat.last_message_time <= until
                for key, chat in self.seen.items()
            )
        )
