"""`strict`: every chat once, whatever is deleted during the walk.

What proves it is a *cover*. A response is one instant's window of a list that is sorted by time. If its first chat has
time `hi` and its last one `lo`, every chat whose time was strictly between them at that instant was in it; on page 1
`hi` is infinite, and on a short page `lo` is minus infinity. If such intervals overlap, from the newest time W when the
walk began down to minus infinity, then every chat that kept its time was read, whatever was deleted or inserted, and in
whichever order chats of the same time came. A chat that got a message is newer than W: it is on page 1, read at last
and alone, if that page goes down beyond W; if it does not, another cover down to W follows.

Neighbouring pages leave a gap between the last time of one and the first of the next. So the windows overlap here:
`number` and `size` are chosen for each so that it begins some chats before the end of the one before it, and goes down
as far as it can. If too many chats were deleted in between, they don't overlap, and the walk steps back, twice as far
each time.

Read one after another, newest first, windows also find a chat that is put back because its last message was deleted:
the part of the list that is still to be read only grows. Asked for ahead of time, they don't, and neither way do they
find one that jumped to the front and was put back, both during the walk, or one that moves up, but not to the front.
"""

from collections.abc import Callable, Generator
from datetime import datetime
from functools import lru_cache

from attrs import define, field

from plugchat_async._pagination.exact import MAX_PASSES, MAX_PINNED, is_sorted, times_of, without_seen
from plugchat_async._pagination.server_traits import is_round, probe_past_end
from plugchat_async._pagination.until_last_page import WalkContext
from plugchat_async._pagination.walk_state import WalkState
from plugchat_async._pagination.walk_steps import FetchPage, Step, YieldPage, chat_keys
from plugchat_async.errors import PageLimitError
from plugchat_async.models import Page

# How often in one scan windows may fail to overlap, or to get further down.
MAX_MISSES = 20
# Pages by which a list may have grown since a page that was short.
_MAX_PAGES_TO_THE_END = 3
# Where pages are tiny, windows may have to be larger than them.
_TINY = 32


TOO_FAST = f"the list moved too fast: no page 1 reached back within {MAX_PASSES} passes"


def scan_windows(state: WalkState, context: WalkContext) -> Generator[Step, Page, str]:
    """Read the list in windows until it is covered.

    Returns:
        "" if it is covered, else why it can not be. TOO_FAST: it was covered once, but chats that jumped to its front
        since were not.
    """
    if state.config.stop_on == "empty":
        return 'stop_on="empty" does not accept a short page as the end, so the end is not proven'
    if state.passes:
        state.restart_pass()
    state.windows.overlap = state.windows.overlap or min_overlap(state.size)
    for _ in range(MAX_PASSES):
        context.stats.passes += 1
        scan = _WindowScan(state, context)
        yield from scan.read()
        if scan.reason:
            return scan.reason
        if scan.count == 1:
            return ""
        if scan.level:
            return "more chats have the newest time than page 1 shows"
        state.begin_pass(state.scan.newest)
    return TOO_FAST


@define(eq=False, repr=False)
class _WindowScan:
    """Overlapping windows from the front of the list down, to its end or until chats are older than the bound.

    Attributes:
        count: The number of windows that were read.
        reason: Why the scan proves nothing, or "".
        level: Whether all chats of page 1 have the same time, the bound.
        _honoured: Whether a window of a size that was chosen here came back full.
    """

    _state: WalkState
    _context: WalkContext
    count: int = field(default=0, init=False)
    reason: str = field(default="", init=False)
    level: bool = field(default=False, init=False)
    _misses: int = field(default=0, init=False)
    _back: int = field(default=0, init=False)
    _honoured: bool = field(default=False, init=False)
    _left: int = field(default=0, init=False)

    def read(self) -> Generator[Step, Page, None]:
        """Read the windows."""
        state = self._state
        self.count = 1 if state.windows.position else 0  # before the walk was resumed
        self._left = self._context.max_pages
        # Down to a bound, one page is usually enough.
        next_key = self._next_key if self._context.ahead and state.scan.bound is None else None
        more = True
        while more:
            more = yield from self._window(next_key)

    def _window(self, next_key: Callable[[int, int], tuple[int, int]] | None) -> Generator[Step, Page, bool]:
        """Read the next window. Return whether another one is needed."""
        state = self._state
        number, size = self._choose()
        if not size:
            self.reason = "too many chats have the same time for pages to overlap"
            return False
        self._left -= 1
        if self._left < 0:
            raise PageLimitError(
                f"the list had not ended after max_pages={self._context.max_pages} pages", page=number, page_size=size
            )
        page = yield FetchPage(number, size, resume_page=number, next_key=next_key)
        self.count += 1
        self._context.stats.pages += 1
        times = times_of(page)
        self.reason = _failure_of(page, times)
        yield from self._deliver(page)
        if self.reason or (number == 1 and not times):
            return False
        if self._is_behind_a_gap(number, times):
            return not self.reason
        self.level |= number == 1 and times[0] == times[-1] == state.scan.bound
        if page.is_short and (yield from self._is_end(page)):
            return False
        yield from self._advance(page, times)
        bound, covered_until = state.scan.bound, state.windows.covered_until
        covered = bound is not None and covered_until is not None and covered_until < bound
        return not covered and not self.reason

    def _choose(self) -> tuple[int, int]:
        """Return page number and size of the next window."""
        size, windows = self._state.size, self._state.windows
        if windows.position > self._back:
            # The window must begin before all chats of the same time as the last one.
            overlap = max(windows.overlap, windows.tie_count + 1)
            return next_window(windows.position - self._back, size, overlap)
        # Page 1 must show chats behind those that are pinned and those of the newest time, however tiny pages are.
        return 1, max(size, MAX_PINNED + 2 * windows.overlap)

    def _is_behind_a_gap(self, number: int, times: list[datetime]) -> bool:
        """Return whether a window does not overlap with the one before it; then the next one steps back."""
        windows = self._state.windows
        if number == 1 or windows.covered_until is None or (times and times[0] > windows.covered_until):
            return False
        self._miss()
        self._back = max(windows.overlap, 2 * self._back)
        # There may be more deletions: overlap by more from now on.
        windows.overlap = max(windows.overlap, min(2 * windows.overlap, self._state.size // 4))
        return True

    def _advance(self, page: Page, times: list[datetime]) -> Generator[Step, Page, None]:
        """Mark the list as covered down to the end of a window."""
        state, windows = self._state, self._state.windows
        if windows.covered_until is not None and times[-1] >= windows.covered_until:
            # It is wholly above the end of the one before: that many chats came, or `page` is ignored.
            if page.number > 1 and not self._misses:
                yield from probe_past_end(page)
            self._miss()
        state.scan.newest = state.scan.newest or max(times)
        windows.covered_until = times[-1] if windows.covered_until is None else min(windows.covered_until, times[-1])
        windows.position = (page.number - 1) * page.size + page.length
        windows.tie_count = times.count(times[-1])
        if page.number > 1 and not page.is_short:
            self._honoured |= page.size != state.size
            if state.size < state.config.page_size:
                self._context.traits.record_cap(state.config.page_size, state.size)
        self._back = 0

    def _next_key(self, number: int, size: int) -> tuple[int, int]:
        return next_window(number * size, self._state.size, self._state.windows.overlap)

    def _miss(self) -> None:
        self._misses += 1
        if self._misses == MAX_MISSES:
            self.reason = "the list moved too fast: windows of it did not overlap"

    def _deliver(self, page: Page) -> Generator[Step, Page, None]:
        fresh = without_seen(page, self._state, self._context)
        if fresh.chats:
            yield YieldPage(fresh)

    def _is_end(self, page: Page) -> Generator[Step, Page, bool]:
        """Return whether a short window is the end of the list."""
        state = self._state
        first = not state.windows.position and not state.passes
        if first and self._context.traits.may_be_capped(page):
            # It may be as full as the server lets a page be. That no chat follows it would prove nothing, since chats
            # may have been deleted; that the next window overlaps, and is short, does.
            state.size = min(state.size, page.length)
            state.windows.overlap = min_overlap(state.size)
            return False
        if page.size == state.size or (page.size < state.size and self._honoured):
            return True
        end = (page.number - 1) * page.size + page.length
        if page.size > state.size and is_round(page.length):
            # It, too, may be as full as the server lets it be; then a later window must show the end.
            if end <= state.windows.position:
                self.reason = "the server does not honour every pageSize"
            return False
        # The size is of our own choice, and the server may know only some: look with the size that it knows.
        number = end // state.size + 1
        for again in range(number, number + _MAX_PAGES_TO_THE_END):
            whole = yield FetchPage(again, state.size, resume_page=page.number)
            if not chat_keys(whole) <= state.seen:
                break
            if whole.is_short:
                return True
        self.reason = "the server does not honour every pageSize"
        return True


def _failure_of(page: Page, times: list[datetime]) -> str:
    """Return why a page proves nothing, or "" if it proves something."""
    if page.length > page.size:
        return "the server does not honour every pageSize"
    if len(times) < len(page.chats):
        return "there are chats without a time"
    if times and not is_sorted(page, times):
        return "the list is not sorted by time"
    return ""


def min_overlap(size: int) -> int:
    """Return the number of chats by which windows overlap: at least two, so that the times overlap, too."""
    return max(2, min(4, size // 8))


@lru_cache(maxsize=1024)
def next_window(end: int, size: int, overlap: int) -> tuple[int, int]:
    """Return page number and page size of the window that continues at a place of the list.

    It begins at least `overlap` places before `end`, and of all such windows it goes down farthest. It has at most
    `size` places, or as few more as are needed where `size` is tiny. (1, 0) if there is none.
    """
    start = max(0, end - overlap)
    best = (1, 0)
    for candidate in range(size, 0, -1):
        if start + candidate <= best[0] * best[1]:
            break
        number = start // candidate + 1
        if number * candidate > best[0] * best[1]:
            best = number, candidate
    while best[0] * best[1] <= end:
        size += 1
        if size > _TINY:
            return 1, 0
        best = start // size + 1, size
    return best
