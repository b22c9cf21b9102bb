"""`strict`: every chat once, whatever is deleted during the walk.

What proves it is one of two things.

**A whole answer**, see `whole_answer`: the walk begins with a page of `max_page_size`, and if it is short, that is all.

**Anchors**, if the list is longer. The pages are windows that overlap. An *anchor* is a row that two windows have in
common, and that has not moved: it has the same time in both. A chat that was not in the first window was behind its
last row, so behind the anchor; so it is in the second window, or behind that, too. If there is an anchor between each
window and the next one, and the last window is the end of the list, every chat that has not moved was read, whatever
was deleted or inserted. Two rules make a row an anchor for all chats behind it:

- Chats of equal times may come in any order. So its time is newer than the last one of the first window,
- or it has no time, like a second row in common, in the same order: such chats don't move.

What moves during a scan may escape it. One that got a message is newer than the beginning of the scan: page 1 shows it,
read at last and alone, if that page goes down to older chats; if it does not, another scan down to these follows. One
that moved elsewhere, since it was pinned, unpinned, archived, or got a late message, is found by a second scan. The
walk is verified when a scan, at least the second one, adds no chat but those that have got a message since. What can
still escape is a chat that moves up, but not to the front, in each of the scans, just where they are reading.

If too many chats were deleted between two windows, there is no anchor, and the walk steps back, twice as far each time.
"""

from collections.abc import Callable, Generator
from datetime import datetime

from attrs import define, field

from plugchat_async._pagination.anchors import is_anchored, rows_to_anchor
from plugchat_async._pagination.exact import AMBIGUOUS, MAX_PASSES
from plugchat_async._pagination.order import MAX_PINNED, is_sorted, safe_newest, times_of
from plugchat_async._pagination.page_numbers import FAR_PAGES, is_counted, page_repeated
from plugchat_async._pagination.remember import Remembered
from plugchat_async._pagination.server_traits import may_be_cut, record_end, record_hidden_rows, record_page
from plugchat_async._pagination.walk_context import (
    HIDDEN_ROWS,
    SHRUNK,
    WalkContext,
)
from plugchat_async._pagination.walk_state import WalkState
from plugchat_async._pagination.walk_steps import FetchPage, Step, YieldPage, chat_keys, ordered_keys
from plugchat_async._pagination.whole_answer import WholeAnswer
from plugchat_async._pagination.windows import min_overlap, next_window
from plugchat_async.errors import PageLimitError
from plugchat_async.models import Page

# How often in one scan windows may fail to overlap, or to get further down.
MAX_MISSES = 20
# Pages by which a list may have grown since a page that was short.
_MAX_PAGES_TO_THE_END = 3
# After how many scans rows that may be of one chat are left in doubt.
_DOUBTFUL_SCANS = 3
# How many rows of a window are remembered as anchors.
_TAIL = 64

TOO_FAST = f"the list moved too fast: chats still changed places after {MAX_PASSES} passes"
NO_OVERLAP = "the list moved too fast: windows of it did not overlap"
ODD_SIZES = "the server does not honour every pageSize"


def scan_windows(state: WalkState, context: WalkContext, remembered: Remembered) -> Generator[Step, Page, str]:
    """Read the list as one page, or in windows until it is covered.

    Returns:
        "" if it is covered, else why it can not be. EMPTY if there are no chats; `stats.verified` is set then.
    """
    if state.config.stop_on == "empty":
        return 'stop_on="empty" does not accept a short page as the end, so the end is not proven'
    if context.traits.short_pages == "anywhere":
        return HIDDEN_ROWS
    first: Page | None = None
    remembered.begin_pass()
    if state.passes:
        state.restart_pass()
    elif not state.windows.position:
        answer = yield from WholeAnswer(state, context, remembered).read()
        if isinstance(answer, str):
            return answer or _doubt_of(remembered)
        first = answer
    state.windows.overlap = state.windows.overlap or min_overlap(state.size)
    for _ in range(MAX_PASSES):
        context.stats.passes += 1
        scan = _WindowScan(state, context, remembered)
        yield from scan.read(first)
        first = None
        if scan.reason or (state.scan.bound is not None and scan.count == 1):
            return scan.reason or _doubt_of(remembered)
        settled = state.scan.bound is not None or (yield from _is_settled(scan, state, remembered))
        if settled and state.scan.newest is None:
            return _doubt_of(remembered)  # no chat has a time, so none has got a message
        state.begin_pass(state.scan.newest if settled else None)
        remembered.begin_pass()
    return TOO_FAST


def _is_settled(scan: "_WindowScan", state: WalkState, remembered: Remembered) -> Generator[Step, Page, bool]:
    """Return whether a scan of the whole list is the last one: it has added nothing, or shown what the last one did."""
    if state.passes:
        yield from remembered.yield_confirmed()
    if remembered.unconfirmed.stands_still():
        yield from remembered.yield_rest()
        return state.passes > 0
    # One scan more may show that rows which may be of one chat stand still.
    scans = _DOUBTFUL_SCANS if remembered.in_doubt else 1
    return state.passes >= scans and not scan.unexplained


def _doubt_of(remembered: Remembered) -> str:
    """Return why a walk that has read everything is not verified, or ""."""
    return AMBIGUOUS if remembered.in_doubt or remembered.guessed else ""


@define(eq=False, repr=False)
class _WindowScan:
    """Overlapping windows from the front of the list down, to its end or until chats are older than the bound.

    Attributes:
        count: The number of windows that were read.
        reason: Why the scan proves nothing, or "".
        unexplained: How many chats it has added that have not got a message since the walk began.
        _honoured: Whether a window of a size that was chosen here came back full.
        _first: The key of the first row of page 1. A server that ignores `page` has it on each page.
    """

    _state: WalkState
    _context: WalkContext
    _remembered: Remembered
    count: int = field(default=0, init=False)
    reason: str = field(default="", init=False)
    unexplained: int = field(default=0, init=False)
    _misses: int = field(default=0, init=False)
    _back: int = field(default=0, init=False)
    _honoured: bool = field(default=False, init=False)
    _left: int = field(default=0, init=False)
    _first: list[str] = field(factory=list[str], init=False)
    _last_is_short: bool = field(default=False, init=False)

    def read(self, first: Page | None = None) -> Generator[Step, Page, None]:
        """Read the windows, after a first one that may have been read already."""
        state = self._state
        self.count = 1 if state.windows.position else 0  # before the walk was resumed
        self._left = self._context.max_pages
        # Down to a bound, one page is usually enough.
        next_key = self._next_key if self._context.ahead and state.scan.bound is None else None
        more = True
        if first is not None:
            self.count = 1
            more = yield from self._take(first)
        while more:
            more = yield from self._window(next_key)

    def _window(self, next_key: Callable[[int, int], tuple[int, int]] | None) -> Generator[Step, Page, bool]:
        """Read the next window. Return whether another one is needed."""
        number, size = self._choose()
        if not size:
            self.reason = "too many chats have the same time for pages to overlap"
            return False
        self._left -= 1
        if self._left < 0:
            raise PageLimitError(
                f"the list had not ended after max_pages={self._context.max_pages} pages", page=number, page_size=size
            )
        step = FetchPage(number, size, resume_page=number, probe="exists" if number > 1 else "", next_key=next_key)
        page = yield step
        self.count += 1
        self._context.stats.pages += 1
        yield from self._deliver(page)
        return (yield from self._take(page))

    def _take(self, page: Page) -> Generator[Step, Page, bool]:
        """Look at a window whose chats were delivered. Return whether another one is needed."""
        state, number = self._state, page.number
        times, keys = times_of(page), ordered_keys(page)
        self.reason = _failure_of(page, times)
        if self.reason:
            return False
        if number == 1 and not page.length:
            self.reason = SHRUNK
            return False
        if number > 1 and not is_anchored(state.windows, keys, page):
            self._step_back()
            return not self.reason
        record_page(self._context.traits, page)
        if number == 1:
            if times and times[0] == times[-1] == state.scan.bound and not page.is_short:
                self.reason = "more chats have the newest time than page 1 shows"
            state.scan.newest = safe_newest(times) if times else None
            state.since = state.since or state.scan.newest
            state.windows.oldest = None
        if page.is_short and (yield from self._is_end(page)):
            self._note_end(page)
            return False
        yield from self._advance(page, keys, times)
        bound = state.scan.bound
        covered = bound is not None and bool(times) and times[-1] < bound
        return not covered and not self.reason

    def _choose(self) -> tuple[int, int]:
        """Return page number and size of the next window."""
        size, windows = self._state.size, self._state.windows
        if windows.position > self._back:
            # The window must begin before the rows that can be anchors.
            overlap = max(windows.overlap, windows.tie_count)
            return next_window(windows.position - self._back, size, overlap)
        # Page 1 must show chats behind those that are pinned and those of the newest time, however tiny pages are.
        return 1, max(size, MAX_PINNED + 2 * windows.overlap)

    def _step_back(self) -> None:
        """Let the next window begin earlier, since this one has no row in common with the one before it."""
        windows = self._state.windows
        self._miss()
        self._back = max(windows.overlap, 2 * self._back)
        # There may be more deletions: overlap by more from now on.
        windows.overlap = max(windows.overlap, min(2 * windows.overlap, self._state.size // 4))

    def _advance(self, page: Page, keys: list[str], times: list[datetime]) -> Generator[Step, Page, None]:
        """Mark the list as covered down to the end of a window."""
        state, windows = self._state, self._state.windows
        position = (page.number - 1) * page.size + page.length
        if position <= windows.position:
            self._miss()
        if page.number == 1:
            self._first = keys[:1]
        elif keys[:1] == self._first:
            yield from self._check_numbers(page, keys)
        if times:
            windows.oldest = times[-1] if windows.oldest is None else min(windows.oldest, times[-1])
        windows.position = position
        windows.tie_count = page.unreadable + rows_to_anchor(page, windows.oldest)
        windows.tail, windows.last_rows = [], list(zip(keys, page.chats, strict=False))[-_TAIL:]
        if page.number > 1 and not page.is_short:
            self._honoured |= page.size != state.size
        self._back = 0

    def _check_numbers(self, page: Page, keys: list[str]) -> Generator[Step, Page, None]:
        """Raise PageRepeatedError if the server ignores `page`: one far past any end has the same chats."""
        far = yield FetchPage(page.number + FAR_PAGES, page.size, resume_page=page.number, probe="check")
        if far.length and chat_keys(far) <= set(keys) and not (yield from is_counted(page)):
            raise page_repeated(page, far)

    def _next_key(self, number: int, size: int) -> tuple[int, int]:
        return next_window(number * size, self._state.size, self._state.windows.overlap)

    def _miss(self) -> None:
        self._misses += 1
        if self._misses == MAX_MISSES:
            self.reason = NO_OVERLAP

    def _deliver(self, page: Page) -> Generator[Step, Page, None]:
        state = self._state
        fresh, _ = self._remembered.read(page)
        for chat in fresh.chats:
            time = chat.last_message_time
            self.unexplained += time is None or state.since is None or time < state.since
        if fresh.chats:
            yield YieldPage(fresh)

    def _note_end(self, page: Page) -> None:
        """Look whether as many chats were read as the list has rows."""
        state = self._state
        rows = (page.number - 1) * page.size + page.length
        read = state.delivered + sum(map(len, self._remembered.unconfirmed.rows.values())) + self._remembered.copies
        if state.scan.bound is None and read < rows:
            self.unexplained += 1
        self._context.memory.record(rows)

    def _is_end(self, page: Page) -> Generator[Step, Page, bool]:
        """Return whether a short window is the end of the list."""
        state, traits = self._state, self._context.traits
        if page.length == traits.max_page_size:
            return False  # it is cut to the cap
        if traits.short_pages is None:
            # The first short page of this server: some hide rows, and go on.
            step = FetchPage(page.number + 1, page.size, resume_page=page.number, probe="exists")
            if (yield from self._has_unread(step)):
                longer = yield FetchPage(page.number, page.size, resume_page=page.number, probe="exists")
                if longer.length > page.length or may_be_cut(traits, page):
                    # Short for a moment, or cut: the next window begins before its end.
                    return False
                record_hidden_rows(traits, page)
                self.reason = HIDDEN_ROWS
                return True
            record_end(traits, refused=step.outcome == "refused")
        if page.size == state.size or (page.size < state.size and self._honoured):
            return True
        # The size is of our own choice, and the server may know only some: look with the size that it knows.
        end = (page.number - 1) * page.size + page.length
        number = end // state.size + 1
        for again in range(number, number + _MAX_PAGES_TO_THE_END):
            step = FetchPage(again, state.size, resume_page=page.number, probe="exists")
            if (yield from self._has_unread(step)):
                break
            if self._last_is_short:
                return True
        self.reason = ODD_SIZES
        return True

    def _has_unread(self, step: FetchPage) -> Generator[Step, Page, bool]:
        """Read a page, and return whether it has chats that were not read yet."""
        page = yield step
        self._last_is_short = page.is_short
        fresh, _ = self._remembered.read(page)
        if fresh.chats:
            yield YieldPage(fresh)
        return bool(fresh.chats)


def _failure_of(page: Page, times: list[datetime]) -> str:
    """Return why a page proves nothing, or "" if it proves something."""
    if page.length > page.size:
        return ODD_SIZES
    if times and not is_sorted(page.number, times):
        return "the list is not sorted by time"
    return ""
