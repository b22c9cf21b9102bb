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

from plugchat_async._pagination.sequential import Taken, Terms, read_pages
from plugchat_async._pagination.state import Standing
from plugchat_async._pagination.steps import Deliver, Fetch, Step, Walk, key_of, keys_in_order
from plugchat_async.models import Page

MOST_PASSES = 10
# How many passes over the whole list are worth it where its order can't be trusted.
MOST_BLIND_PASSES = 5
# How often to read the front and the end of a list again before it is covered instead.
MOST_COUNTS = 3
# As many chats as WhatsApp lets one pin on top of the list, whatever their times.
MOST_PINNED = 3


def passes(standing: Standing, terms: Terms) -> Walk:
    """Read the list in as many passes as it takes; say in the ledger whether that proves that no chat was missed."""
    ledger = terms.ledger
    blind = 0
    if standing.phase:
        standing.restart_pass()
    for _ in range(MOST_PASSES):
        late_finds = ledger.late_finds
        reader = Pass(standing, terms)
        yield from read_pages(standing, terms, reader, ahead=False)
        if not standing.countable:
            ledger.reason = "pages had other lengths than were asked for"
            return
        if not standing.repeated or reader.saw_all:
            ledger.verified, ledger.reason = True, ""  # whatever another walker said before
            return
        bound = standing.bound
        if standing.ordered:
            bound = standing.newest
        else:
            blind += 1
            if blind == MOST_BLIND_PASSES or (standing.phase and ledger.late_finds == late_finds):
                ledger.reason = "the list moved, and is not sorted by time: so it is not known which chats did"
                return
        standing.begin_pass(bound)
    ledger.reason = f"the list moved too fast: chats still changed places after {MOST_PASSES} passes"


def pass_ahead(standing: Standing, terms: Terms) -> Generator[Step, Page, bool]:
    """Read the list in one pass, pages being asked for ahead of time. Tell whether that proves that none was missed.

    Pages may be read in any order then. So the last one is read again when all the others have been, and counted; if
    the list has moved, after its front was read again.
    """
    if not standing.phase:
        reader = Pass(standing, terms)
        yield from read_pages(standing, terms, reader, ahead=True)
        if not standing.countable:
            return False
        if standing.number == 1 + standing.short:
            return True  # one page was all
    for _ in range(MOST_COUNTS):
        if standing.phase:
            standing.restart_pass()
            yield from read_pages(standing, terms, Pass(standing, terms), ahead=False)
        if (standing.phase or not standing.repeated) and (yield from _count(standing, terms)):
            return True
        if not standing.ordered:
            return False
        standing.begin_pass(standing.newest)
    return False


def _count(standing: Standing, terms: Terms) -> Generator[Step, Page, bool]:
    """Read the page on which the list must end if all its chats were seen, and tell whether it does."""
    number = standing.delivered // standing.size + 1
    page = yield Fetch(number, standing.size, resume_page=number)
    terms.ledger.pages += 1
    fresh = without_seen(page, standing, terms)
    if fresh.chats:
        yield Deliver(fresh)
    return page.is_last and (number - 1) * standing.size + page.length == standing.delivered


@define(eq=False, repr=False)
class Pass:
    """Takes the pages of a pass: leaves out what was delivered before, and watches for what the proofs need."""

    _standing: Standing
    _terms: Terms
    _read: set[str] = field(factory=set[str], init=False)
    _enough: bool = field(default=False, init=False)

    def take(self, page: Page) -> Taken:
        """Read a page."""
        standing = self._standing
        # A list, since a set that is fed with sets grows twice as slowly.
        keys = keys_in_order(page)
        known = standing.seen.intersection(keys)
        # In the first pass what was read is what was ever seen.
        again = self._read.intersection(keys) if standing.phase else known
        self._watch(page, again)
        fresh = without_known(page, keys, known, standing, self._terms)
        if standing.phase:
            self._read.update(keys)
        self._enough = self._is_enough(page)
        return Taken(fresh, repeats=bool(again) and again.issuperset(keys), enough=self._enough)

    @property
    def saw_all(self) -> bool:
        """Whether the pass has come to the end of the list, and as many chats were seen as there are places in it."""
        return not self._enough and self._standing.delivered == self._standing.places

    def _is_enough(self, page: Page) -> bool:
        """Tell whether all chats behind this page are older than the bound."""
        bound = self._standing.bound
        # The last chat of a tiny page 1 may be pinned, and older than those behind it.
        if bound is None or not self._standing.ordered or page.number * page.size <= MOST_PINNED:
            return False
        last = page.chats[-1].last_message_time
        return last is not None and last < bound

    def _watch(self, page: Page, again: set[str]) -> None:
        """Note what speaks against the pass. The same chat twice in one page is the server's doing, and does not."""
        standing = self._standing
        standing.repeated |= bool(again)
        standing.places += page.length
        standing.countable &= page.length <= page.size and not standing.short
        standing.short |= page.is_last
        times = times_of(page)
        if not times:
            standing.ordered = False
            return
        if page.number == 1:
            standing.newest = max(times)
        standing.ordered = standing.ordered and is_sorted(page, times) and not self._is_odd(page, times, again)
        standing.oldest = times[-1] if standing.oldest is None else min(standing.oldest, times[-1])

    def _is_odd(self, page: Page, times: list[datetime], again: set[str]) -> bool:
        """Tell whether a page does not go on where those before it ended: down from the oldest chat that was read."""
        oldest, newest = self._standing.oldest, self._standing.newest
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


def without_seen(page: Page, standing: Standing, terms: Terms) -> Page:
    """Leave out the chats that were delivered before, and take all chats of the page for delivered now."""
    keys = keys_in_order(page)
    return without_known(page, keys, standing.seen.intersection(keys), standing, terms)


def without_known(page: Page, keys: list[str], known: set[str], standing: Standing, terms: Terms) -> Page:
    """Leave out the chats whose keys are known, count, and take all `keys` of the page for delivered now."""
    ledger = terms.ledger
    new = page.chats
    if known:
        # Behind the keys of the chats stand those of the unreadable rows.
        new = tuple(chat for chat, key in zip(page.chats, keys, strict=False) if key not in known)
    standing.seen.update(keys)
    standing.delivered += len(new) + sum(key not in known for key in page.unreadable_keys)
    left_out = len(page.chats) - len(new)
    ledger.chats += len(new)
    ledger.duplicates += left_out
    if standing.phase:
        ledger.late_finds += len(new)
    return evolve(page, chats=new, left_out=left_out) if left_out else page


def times_of(page: Page) -> list[datetime]:
    """Give the times of a page's chats, or none if one has none."""
    times = [time for chat in page.chats if (time := chat.last_message_time) is not None]
    return times if len(times) == len(page.chats) else []


def is_sorted(page: Page, times: list[datetime]) -> bool:
    """Tell whether the newest is first. Pinned chats may be on top of page 1."""
    pinned = min(MOST_PINNED, len(times) - 1) if page.number == 1 else 0
    # Sorting what is sorted takes half the time of comparing all neighbours.
    return any(times[top:] == sorted(times[top:], reverse=True) for top in range(pinned + 1))
