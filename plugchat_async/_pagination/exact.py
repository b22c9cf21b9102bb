"""`exact`: every chat once, although chats jump to the front while the list is read.

The proofs count.

- *As many chats were seen as the list holds.* A short page, number k with r chats, says that the list holds
  (k-1)·size + r chats at that instant. None that was seen before has been deleted: so if as many were seen, it is
  those. In which order the list stands does not enter, nor in which order its pages were read, nor how it moved. A pass
  over the list that reads no chat twice is of this kind.
- *A pass that reads a chat twice* shows that chats moved down, so another may have jumped from the unread part to the
  front. If the list is sorted by time, that one has a newer time than any chat had when the pass began: the *next pass*
  goes down from the front until the times are older than that. If it reads no chat twice, it has seen as many chats as
  there are in the part of the list that it went through; if it does, another pass follows.

What no pass can see is a deletion: the list moves up, and the next page begins one chat too late. See `strict`.
"""

from collections.abc import Generator
from datetime import datetime

from attrs import define, evolve, field

from plugchat_async._pagination.until_last_page import PageResult, WalkContext, read_pages
from plugchat_async._pagination.walk_state import WalkState
from plugchat_async._pagination.walk_steps import FetchPage, Step, Walk, YieldPage, key_of, ordered_keys
from plugchat_async.models import Page

MAX_PASSES = 10
# How many passes over the whole list are worth it where its order can't be trusted.
MAX_BLIND_PASSES = 5
# How often to read the front and the end of a list again before it is read in windows instead.
MAX_COUNTS = 3
# As many chats as WhatsApp lets one pin on top of the list, whatever their times.
MAX_PINNED = 3


def passes(state: WalkState, context: WalkContext) -> Walk:
    """Read the list in as many passes as it takes. `context.stats` has whether no chat can have been missed."""
    stats = context.stats
    blind = 0
    if state.passes:
        state.restart_pass()
    for _ in range(MAX_PASSES):
        recovered = stats.recovered
        reader = PassReader(state, context)
        yield from read_pages(state, context, reader, ahead=False)
        if not state.scan.countable:
            stats.reason = "pages had other lengths than requested"
            return
        if not state.scan.repeated or reader.saw_all:
            stats.verified, stats.reason = True, ""  # whatever another walker said before
            return
        bound = state.scan.bound
        if state.scan.ordered:
            bound = state.scan.newest
        else:
            blind += 1
            if blind == MAX_BLIND_PASSES or (state.passes and stats.recovered == recovered):
                stats.reason = "the list moved, and is not sorted by time: so it is unknown which chats moved"
                return
        state.begin_pass(bound)
    stats.reason = f"the list moved too fast: chats still changed places after {MAX_PASSES} passes"


def pass_ahead(state: WalkState, context: WalkContext) -> Generator[Step, Page, bool]:
    """Read the list in one pass of prefetched pages. Return whether no chat can have been missed.

    Pages may be read in any order then. So the last one is read again after all others, and counted; if the list has
    moved, after its front was read again.
    """
    if not state.passes:
        reader = PassReader(state, context)
        yield from read_pages(state, context, reader, ahead=True)
        if not state.scan.countable:
            return False
        if state.page == 1 + state.scan.short:
            return True  # one page was all
    for _ in range(MAX_COUNTS):
        if state.passes:
            state.restart_pass()
            yield from read_pages(state, context, PassReader(state, context), ahead=False)
        if (state.passes or not state.scan.repeated) and (yield from _count(state, context)):
            return True
        if not state.scan.ordered:
            return False
        state.begin_pass(state.scan.newest)
    return False


def _count(state: WalkState, context: WalkContext) -> Generator[Step, Page, bool]:
    """Read the page on which the list must end if all its chats were seen. Return whether it does."""
    number = state.delivered // state.size + 1
    page = yield FetchPage(number, state.size, resume_page=number)
    context.stats.pages += 1
    fresh = without_seen(page, state, context)
    if fresh.chats:
        yield YieldPage(fresh)
    return page.is_short and (number - 1) * state.size + page.length == state.delivered


@define(eq=False, repr=False)
class PassReader:
    """Handles the pages of a pass: leaves out chats that were yielded before, and checks what the proofs need."""

    _state: WalkState
    _context: WalkContext
    _read: set[str] = field(factory=set[str], init=False)
    _enough: bool = field(default=False, init=False)

    def read(self, page: Page) -> PageResult:
        """Read a page."""
        state = self._state
        # A list, since a set that is fed with sets grows twice as slowly.
        keys = ordered_keys(page)
        known = state.seen.intersection(keys)
        # In the first pass what was read is what was ever seen.
        again = self._read.intersection(keys) if state.passes else known
        self._watch(page, again)
        fresh = without_known(page, keys, known, state, self._context)
        if state.passes:
            self._read.update(keys)
        self._enough = self._is_enough(page)
        return PageResult(fresh, repeats=bool(again) and again.issuperset(keys), enough=self._enough)

    @property
    def saw_all(self) -> bool:
        """Whether the pass has come to the end of the list, and as many chats were seen as there are places in it."""
        return not self._enough and self._state.delivered == self._state.scan.rows_read

    def _is_enough(self, page: Page) -> bool:
        """Return whether all chats behind this page are older than the bound."""
        bound = self._state.scan.bound
        # The last chat of a tiny page 1 may be pinned, and older than those behind it.
        if bound is None or not self._state.scan.ordered or page.number * page.size <= MAX_PINNED:
            return False
        last = page.chats[-1].last_message_time
        return last is not None and last < bound

    def _watch(self, page: Page, again: set[str]) -> None:
        """Note what the pass can not prove. The same chat twice on one page is not such a case."""
        state = self._state
        state.scan.repeated |= bool(again)
        state.scan.rows_read += page.length
        state.scan.countable &= page.length <= page.size and not state.scan.short
        state.scan.short |= page.is_short
        times = times_of(page)
        if not times:
            state.scan.ordered = False
            return
        if page.number == 1:
            state.scan.newest = max(times)
        state.scan.ordered = state.scan.ordered and is_sorted(page, times) and not self._is_odd(page, times, again)
        state.scan.oldest = times[-1] if state.scan.oldest is None else min(state.scan.oldest, times[-1])

    def _is_odd(self, page: Page, times: list[datetime], again: set[str]) -> bool:
        """Return whether a page does not follow those before it: down from the oldest chat that was read."""
        oldest, newest = self._state.scan.oldest, self._state.scan.newest
        if oldest is None or newest is None:
            return False
        if again and any(key_of(chat) in again and time < oldest for chat, time in zip(page.chats, times, strict=True)):
            # A chat that was read before and is older now has been put back, its last message deleted.
            return True
        return (
            # What is newer than that has been pushed down, and was read before, or has jumped.
            (oldest < times[0] < newest and key_of(page.chats[0]) not in again)
            # A time that more chats have than a page holds says nothing of their order.
            or (times[0] == times[-1] == oldest and len(again) < len(page.chats))
        )


def without_seen(page: Page, state: WalkState, context: WalkContext) -> Page:
    """Leave out the chats that were seen before, and mark all chats of the page as seen."""
    keys = ordered_keys(page)
    return without_known(page, keys, state.seen.intersection(keys), state, context)


def without_known(page: Page, keys: list[str], known: set[str], state: WalkState, context: WalkContext) -> Page:
    """Leave out the chats with known keys, count, and mark all `keys` of the page as seen."""
    stats = context.stats
    new = page.chats
    if known:
        # Behind the keys of the chats stand those of the unreadable rows.
        new = tuple(chat for chat, key in zip(page.chats, keys, strict=False) if key not in known)
    state.seen.update(keys)
    state.delivered += len(new) + sum(key not in known for key in page.unreadable_keys)
    skipped = len(page.chats) - len(new)
    stats.chats += len(new)
    stats.duplicates += skipped
    if state.passes:
        stats.recovered += len(new)
    return evolve(page, chats=new, skipped=skipped) if skipped else page


def times_of(page: Page) -> list[datetime]:
    """Return the times of a page's chats, or an empty list if one has no time."""
    times = [time for chat in page.chats if (time := chat.last_message_time) is not None]
    return times if len(times) == len(page.chats) else []


def is_sorted(page: Page, times: list[datetime]) -> bool:
    """Return whether the newest chat is first. Pinned chats may be on top of page 1."""
    pinned = min(MAX_PINNED, len(times) - 1) if page.number == 1 else 0
    # Sorting what is sorted takes half the time of comparing all neighbours.
    return any(times[top:] == sorted(times[top:], reverse=True) for top in range(pinned + 1))
