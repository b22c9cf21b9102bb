"""`exact`: every chat once, although chats jump to the front while the list is read.

The model: the list is sorted by time, newest first. A chat that gets a message, or a new one, goes to the front. The
proofs count, and need little of that.

- *A pass over the whole list that reads no chat twice has read them all.* If its last page, the short one, is number k
  and holds r chats, the list holds (k-1)·size + r chats at that instant. As many were read, all different, and none
  has been deleted since: so it is those. The order of the list does not enter, nor does the order of reading, but that
  the last page must be read last.
- *A pass that reads a chat twice* shows that chats moved down, so another may have jumped from the unread part to the
  front. It has a newer time then than any chat had when the pass began: the *next pass* goes down from the front until
  the times are older than that. If it reads no chat twice, the first argument holds for the part of the list that it
  went through; if it does, another pass follows. For this the list must be sorted.

What no pass can see is a deletion: the list moves up, and the next page begins one chat too late. See `strict`.
"""

from collections.abc import Generator
from datetime import datetime
from operator import ge

from attrs import define, evolve, field

from plugchat_async._walk.pages import Taken, Terms, read_pages
from plugchat_async._walk.standing import Standing
from plugchat_async._walk.steps import Deliver, Fetch, Step, Walk, phones_of
from plugchat_async.models import Chat, Page

MOST_PASSES = 10
# How many passes over the whole list are worth it where its order can't be trusted.
MOST_BLIND_PASSES = 5
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
        yield from read_pages(standing, terms, Pass(standing, terms), ahead=False)
        if not standing.repeated or not standing.countable:
            ledger.verified = not standing.repeated and standing.countable
            ledger.reason = "" if ledger.verified else "pages had other lengths than were asked for"
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

    Pages may be read in any order then, so the last one is read again when all the others have been.
    """
    reader = Pass(standing, terms)
    yield from read_pages(standing, terms, reader, ahead=True)
    if standing.repeated or not standing.countable:
        return False
    # The last page is the short one, or the empty one behind a last full one.
    number, of_last_page = (
        (standing.number - 1, reader.phones) if standing.short else (standing.number, frozenset[str]())
    )
    if number == 1:
        return True
    page = yield Fetch(number, standing.size, resume_page=standing.number)
    terms.ledger.pages += 1
    known = phones_of(page) & standing.seen
    taken = reader.take(page)
    if taken.page.chats:
        yield Deliver(taken.page)
    return page.is_last and known <= of_last_page


@define
class Pass:
    """Takes the pages of a pass: leaves out what was delivered before, and watches for what the proofs need.

    phones: the keys of the last page that was taken.
    """

    _standing: Standing
    _terms: Terms
    _read: set[str] = field(init=False)
    phones: frozenset[str] = field(default=frozenset(), init=False)

    def __attrs_post_init__(self) -> None:
        # What was read in this pass; in the first one that is what was ever seen.
        self._read = set() if self._standing.phase else self._standing.seen

    def take(self, page: Page) -> Taken:
        """Read a page."""
        standing = self._standing
        self.phones = phones = phones_of(page)
        again = phones & self._read
        self._watch(page, again)
        fresh = without_seen(page, phones, standing, self._terms)
        if standing.phase:
            self._read |= phones
        return Taken(fresh, repeats=bool(again) and again == phones, enough=self._is_enough(page))

    def _is_enough(self, page: Page) -> bool:
        """Tell whether all chats behind this page are older than the bound."""
        bound = self._standing.bound
        # The last chat of a tiny page 1 may be pinned, and older than those behind it.
        if bound is None or not self._standing.ordered or page.number * page.size <= MOST_PINNED:
            return False
        last = page.chats[-1].last_message_time
        return last is not None and last < bound

    def _watch(self, page: Page, again: frozenset[str]) -> None:
        """Note what speaks against the pass. The same chat twice in one page is the server's doing, and does not."""
        standing = self._standing
        standing.repeated |= bool(again)
        standing.countable &= len(page.chats) <= page.size and not standing.short
        standing.short |= page.is_last
        times = times_of(page)
        if not times:
            standing.ordered = False
            return
        if page.number == 1:
            standing.newest = max(times)
        standing.ordered = standing.ordered and is_sorted(page, times) and not self._is_odd(page, times, again)
        standing.oldest = times[-1] if standing.oldest is None else min(standing.oldest, times[-1])

    def _is_odd(self, page: Page, times: list[datetime], again: frozenset[str]) -> bool:
        """Tell whether a page does not go on where those before it ended: down from the oldest chat that was read."""
        oldest, newest = self._standing.oldest, self._standing.newest
        if oldest is None or newest is None:
            return False
        if again and any(chat.phone in again and time < oldest for chat, time in zip(page.chats, times, strict=True)):
            # A chat that was read before and is older now has been put back, its last message deleted.
            return True
        return (
            # What is newer than that has been pushed down, and was read before, or has jumped.
            (oldest < times[0] < newest and page.chats[0].phone not in again)
            # A time that more chats have than a page holds says nothing of their order.
            or (times[0] == times[-1] == oldest and len(again) < len(page.chats))
        )


def without_seen(page: Page, phones: frozenset[str], standing: Standing, terms: Terms) -> Page:
    """Leave out the chats that were delivered before, count, and take all `phones` of the page for delivered now."""
    ledger, seen = terms.ledger, standing.seen
    new: tuple[Chat, ...] = page.chats
    if not seen.isdisjoint(phones):
        new = tuple(chat for chat in page.chats if chat.phone not in seen)
    seen |= phones
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
    return any(all(map(ge, times[top:], times[top + 1 :])) for top in range(pinned + 1))
