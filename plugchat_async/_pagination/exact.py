"""`exact`: every chat once, although chats move while the list is read.

What proves it is a *count*. A page, number k of size s with r rows, that is the last one says that the list held
(k-1)·s + r rows at that instant. If no chat is deleted, all chats that were read until then are still in the list: so
if as many were read, it is those. In which order the list stands does not enter, nor in which order its pages were
read, nor how it moved: chats may jump to the front, move up elsewhere, be pinned or unpinned, have equal times in any
order, or none.

- A *pass* that reads the pages one after another and no chat twice has read as many chats as it has counted.
- If it has read a chat twice, another one may have jumped from the unread part of the list to the part that was read.
  The next pass asks for pages of `max_page_size`. If the first one is short, it is a *whole answer*, the list of one
  instant, and nothing can be missing in it.
- If the list is longer than that, the next pass goes down only to the chats that are older than the beginning of the
  pass before, if the list is sorted by time. This finds the chats that jumped; then the last page is *counted* again.
  The order matters only for the number of requests: what is proven, is proven by the count.

With `prefetch`, pages of a pass may be read in any order, so the count must come after all others: the list is read
again in a whole answer, or its last page is. The first three pages are never in flight before the one before them has
come, so a list of up to three pages has been read in order, unless it was longer at the last walk.

What a pass can't see is a deletion: the list moves up, and the next page begins one chat too late. A whole answer has
that chat, a count may not notice. See `strict`.
"""

from collections.abc import Generator

from attrs import define, field

from plugchat_async._pagination.order import MAX_PINNED, is_sorted, safe_newest, times_of
from plugchat_async._pagination.page_cap import may_be_capped
from plugchat_async._pagination.prefetch import IN_ORDER, is_long
from plugchat_async._pagination.remember import Remembered
from plugchat_async._pagination.server_traits import is_much_shorter, may_be_cut, record_hidden_rows
from plugchat_async._pagination.until_last_page import PageResult, read_pages
from plugchat_async._pagination.walk_context import (
    EMPTY,
    HIDDEN_ROWS,
    NOT_CHECKED,
    SHRUNK,
    Verdict,
    WalkContext,
    WalkStats,
    whole_size,
)
from plugchat_async._pagination.walk_state import WalkState
from plugchat_async._pagination.walk_steps import FetchPage, Step, Walk, YieldPage, chat_keys, ordered_keys
from plugchat_async._pagination.windows import next_window
from plugchat_async.models import Page

MAX_PASSES = 10
# How many passes over the whole list are worth it where its order can't be trusted.
MAX_BLIND_PASSES = 5
# How many passes in a row may find nothing until rows are taken for rows of one chat that can't be told apart.
MAX_IDLE_PASSES = 3

AMBIGUOUS = "a chat was read in two states, which may be two chats of one person"
MORE_ROWS = "the list has more rows than chats were read, and reading it again finds no more"
UNSORTED = "the list moved, and is not sorted by time: so it is unknown which chats moved"
TOO_FAST = f"the list moved too fast: chats still changed places after {MAX_PASSES} passes"
OTHER_LENGTHS = "pages had other lengths than requested"


def passes(state: WalkState, context: WalkContext, remembered: Remembered) -> Walk:
    """Read the list in as many passes as it takes. `context.stats` has whether no chat can have been missed."""
    if state.passes:
        state.restart_pass()
    context.stats.reason = TOO_FAST
    proven = yield from _passes(state, context, remembered)
    if proven and remembered.guessed:
        context.stats.reason = AMBIGUOUS
    elif proven:
        context.stats.verified = True
        if context.stats.reason != EMPTY:
            context.stats.reason = ""


def _passes(state: WalkState, context: WalkContext, remembered: Remembered) -> Generator[Step, Page, bool]:
    """Read passes until the list is proven to be read, or can't be. Return whether it is."""
    stats = context.stats
    progress = _Progress()
    for _ in range(MAX_PASSES):
        recovered = stats.recovered
        ahead = state.stage == "ahead" and not state.passes
        remembered.begin_pass()
        reader = PassReader(state, context, remembered, progress.rows)
        yield from read_pages(state, context, reader, ahead=ahead)
        if reader.verdict and state.passes:
            yield from remembered.yield_confirmed()
        rows = state.scan.rows_read
        in_order = not ahead or (rows // state.size < IN_ORDER and not is_long(context.expected, state.size))
        # A list that is much shorter than at the last walk is not believed at once. On page 1 that was looked at.
        believed = state.passes > 0 or rows <= state.size or not context.memory.is_shorter(rows)
        if reader.is_counted and in_order and believed:
            if reader.unexplained and progress.doubtful is not None and rows > _end_of(progress.doubtful):
                yield from _learn_of_hidden_rows(progress.doubtful, context)
            _remember_list(context, rows, reader.keys)
            return True
        proven = progress.look(reader, stats)
        if proven is not None:
            return proven
        can_be_compared = reader.verdict in ("end", "unproven") and state.scan.countable
        if can_be_compared and remembered.unconfirmed.stands_still(rows - state.scan.copies):
            yield from remembered.yield_rest()
            if reader.verdict == "end":
                _remember_list(context, rows, None)
                return True
        uncertain = reader.is_counted and whole_size(state, context) <= state.scan.rows_read
        if (uncertain or reader.is_bounded) and (yield from _count(state, context, remembered)):
            _remember_list(context, state.delivered, None)
            return True
        reason = progress.obstacle(reader, context, recovered=stats.recovered > recovered)
        if reason:
            stats.reason = reason
            return False
        _begin_pass(state, context, remembered, to_end=progress.idle > 0)
    return False


@define(eq=False, repr=False)
class _Progress:
    """What the passes have shown so far.

    Attributes:
        rows: The number of rows that the list had, copies aside.
        doubtful: A short page that is not known to be the end.
        _whole: The keys of the last pass, if its first page was the whole list.
        _blind: The number of passes over a list that is not sorted.
        idle: The number of passes in a row that have found no chats.
    """

    rows: int = field(default=0, init=False)
    doubtful: Page | None = field(default=None, init=False)
    _whole: frozenset[str] | None = field(default=None, init=False)
    _blind: int = field(default=0, init=False)
    idle: int = field(default=0, init=False)

    def look(self, reader: "PassReader", stats: WalkStats) -> bool | None:
        """Return whether a pass proves anything beyond its count: True, False if nothing can be, None if not yet."""
        if stats.reason == EMPTY:
            if reader.saw_before:
                stats.reason = SHRUNK
            return reader.verdict == "end" and not reader.saw_before
        if reader.verdict == "end" and reader.keys and reader.keys == self._whole:
            # The list is shorter than it was, twice. By much, it is not believed at all.
            if is_much_shorter(len(reader.keys), len(reader.state.seen)):
                stats.reason = SHRUNK
                return False
            return True
        self._whole = reader.keys if reader.verdict == "end" else None
        return None

    def obstacle(self, reader: "PassReader", context: WalkContext, *, recovered: bool) -> str:
        """Return why no further pass will prove more, or "".

        Args:
            reader: The pass.
            context: What the walk needs besides.
            recovered: Whether the pass has found chats.
        """
        state, scan = reader.state, reader.state.scan
        if not scan.countable and context.traits.short_pages != "anywhere":
            return OTHER_LENGTHS
        if not scan.countable and state.size >= whole_size(state, context):
            return HIDDEN_ROWS
        if reader.verdict == "unproven" and state.size >= whole_size(state, context):
            return NOT_CHECKED
        if reader.verdict == "unproven":
            self.doubtful = reader.short
        if reader.verdict:
            self.rows = max(self.rows, scan.rows_read - scan.copies)
        self.idle = 0 if recovered or not state.passes else self.idle + 1
        if self.idle == MAX_IDLE_PASSES:
            return MORE_ROWS
        if not scan.ordered:
            self._blind += 1
            if self._blind == MAX_BLIND_PASSES or (self._blind > 1 and not self._whole and not recovered):
                return UNSORTED
        return ""


def _end_of(page: Page) -> int:
    """Return the number of rows that the list has if a page is its last one."""
    return (page.number - 1) * page.size + page.length


def _learn_of_hidden_rows(page: Page, context: WalkContext) -> Walk:
    """Find out whether a page that was short, though the list was longer, was short for a moment only."""
    again = yield FetchPage(page.number, page.size, resume_page=page.number, probe="check")
    if again.length <= page.length:
        record_hidden_rows(context.traits, page)


def _begin_pass(state: WalkState, context: WalkContext, remembered: Remembered, *, to_end: bool) -> None:
    """Begin a pass in pages of the largest size, down to what can have moved in the last one, or to the end.

    To the end if that has found nothing, but chats are missing: prefetched pages may have come before those above them,
    and then chats that were pushed down in between were on none.
    """
    scan = state.scan
    sorted_ = scan.ordered and not remembered.unconfirmed.rows and not to_end
    rows, bound = scan.rows_read, scan.newest if sorted_ else None
    state.size = whole_size(state, context)
    state.begin_pass(bound if rows >= state.size else None)


def _remember_list(context: WalkContext, rows: int, keys: frozenset[str] | None) -> None:
    if context.traits.short_pages is None:
        context.traits.short_pages = "end"
    context.memory.record(rows, keys or frozenset())


def _count(state: WalkState, context: WalkContext, remembered: Remembered) -> Generator[Step, Page, bool]:
    """Read the page on which the list must end if all its chats were read. Return whether it does."""
    if not state.passes:
        state.page = state.scan.rows_read // state.size + 1  # a walk that is resumed here sees the end again
    number, size = state.delivered // state.size + 1, state.size
    if state.delivered % size == 0:
        # The page behind all chats would be empty, and prove nothing.
        number, size = next_window(state.delivered, size, 1)
    resume_page = state.delivered // state.size + 1
    page = yield FetchPage(number, size, resume_page=resume_page, probe="exists")
    context.stats.pages += 1
    copies = state.scan.copies
    fresh, _ = remembered.read(page)
    if fresh.chats:
        yield YieldPage(fresh)
    copies = state.scan.copies - copies
    if not page.is_short or not page.length or (number - 1) * size + page.length - copies != state.delivered:
        return False
    return size <= state.size or not (yield from may_be_capped(page, context, resume_page=resume_page))


@define(eq=False, repr=False)
class PassReader:
    """Handles the pages of a pass: leaves out chats that were yielded before, and checks what the proofs need.

    Attributes:
        state: The state of the walk.
        _counted: The number of rows that the list had in an earlier pass, copies aside.
        verdict: Whether the end of the list is certain, or "" if the pass has ended before it.
        keys: The keys of page 1 if it holds the whole list.
        is_whole: Whether page 1 holds the whole list, and all chats that were read before.
        is_bounded: Whether the pass has gone down to its bound.
        unexplained: How many chats of a whole list an earlier pass should have read.
        short: The last page, if it is short.
    """

    state: WalkState
    _context: WalkContext
    _remembered: Remembered
    _counted: int
    verdict: Verdict | str = field(default="", init=False)
    keys: frozenset[str] | None = field(default=None, init=False)
    is_whole: bool = field(default=False, init=False)
    is_bounded: bool = field(default=False, init=False)
    unexplained: int = field(default=0, init=False)
    short: Page | None = field(default=None, init=False)
    _first: frozenset[str] = field(default=frozenset(), init=False)
    _previous: frozenset[str] = field(default=frozenset(), init=False)

    def read(self, page: Page) -> PageResult:
        """Read a page."""
        state, scan = self.state, self.state.scan
        # A page that comes again is longer than before, and what was counted of it is counted again.
        scan.countable &= page.length <= page.size and scan.rows_read >= (page.number - 1) * page.size
        fresh, read_before = self._remembered.read(page)
        self._watch(page, read_before)
        scan.rows_read = (page.number - 1) * page.size + page.length
        self.short = page if page.is_short else None
        self.keys = chat_keys(page) if page.number == 1 and page.is_short else None
        if state.passes and page.number == 1 and page.is_short and page.size > state.config.page_size:
            # All that was read is in it. If it has more, those have come since, or the pass before has missed them.
            # It is not cut if it is as long as the list was before.
            rows = scan.rows_read - scan.copies
            all_there = state.delivered == rows >= self._counted
            self.unexplained = self._count_unexplained(fresh)
            traits = self._context.traits
            known = traits.short_pages == "end"
            # Where no page has come back full, all may be cut alike; and one as long as those may be cut to their size.
            full = traits.longest_page >= state.config.page_size
            uncut = (full and page.length > state.config.page_size) or not may_be_cut(traits, page)
            self.is_whole = all_there and uncut and (known or not self.unexplained)
        self.is_bounded = self._is_enough(page)
        repeats = self._repeats(page, read_before)
        return PageResult(fresh, repeats, enough=self.is_whole or self.is_bounded)

    def end(self, rows: int, verdict: Verdict) -> None:
        """Note that the list ends after `rows` rows."""
        self.state.scan.rows_read = min(rows, self.state.scan.rows_read)
        self.verdict = verdict

    @property
    def saw_before(self) -> bool:
        """Whether the walk has read any chat."""
        return bool(self.state.seen)

    @property
    def is_counted(self) -> bool:
        """Whether as many chats were read as the list has rows."""
        scan = self.state.scan
        at_end = self.is_whole or (self.verdict == "end" and scan.countable and scan.rows_read > 0)
        return at_end and self.state.delivered == scan.rows_read - scan.copies

    def _repeats(self, page: Page, read_before: set[str]) -> bool:
        """Return whether a page has no chat that was not on an earlier page of the pass."""
        if not self.state.passes:
            return bool(read_before) and read_before.issuperset(ordered_keys(page))
        keys = chat_keys(page)
        # Past the end, some servers have the first or the last page again.
        first, previous = self._first, self._previous
        self._first, self._previous = first or keys, keys
        # Or, where tied chats stand in another order each time, others of the same chats.
        beyond = (page.number - 1) * page.size > 2 * self.state.delivered
        return keys in (first, previous) or (beyond and read_before.issuperset(keys))

    def _count_unexplained(self, fresh: Page) -> int:
        """Return how many chats of a page were there before, and should have been read."""
        since = self.state.since
        times = [chat.last_message_time for chat in fresh.chats]
        return sum(time is None or since is None or time < since for time in times)

    def _is_enough(self, page: Page) -> bool:
        """Return whether all chats behind this page are older than the bound."""
        scan = self.state.scan
        # The last chat of a tiny page 1 may be pinned, and older than those behind it.
        if scan.bound is None or not scan.ordered or page.is_short or page.number * page.size <= MAX_PINNED:
            return False
        times = times_of(page)
        return bool(times) and times[-1] < scan.bound

    def _watch(self, page: Page, known: set[str]) -> None:
        """Note whether the list is sorted by time."""
        scan, times = self.state.scan, times_of(page)
        if not times:
            return
        if page.number == 1:
            scan.newest, scan.oldest = safe_newest(times), None
        elif scan.newest is None:
            scan.ordered = False  # chats without a time come before those that have one
        if scan.ordered:
            follows = scan.oldest is None or times[0] <= scan.oldest or bool(known)
            scan.ordered = follows and is_sorted(page.number, times)
        scan.oldest = times[-1] if scan.oldest is None else min(scan.oldest, times[-1])
