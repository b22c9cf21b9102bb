"""What the walkers have in common: pages in order, until one is short.

The rule: a page with fewer chats than were asked for is the last. Two kinds of servers would break it, and are
recognised: one that silently caps `pageSize` (every page looks short), and one that ignores `page` (none ever does).
"""

from typing import Protocol

from msgspec import Struct

from plugchat_async._pagination.server_traits import PageSizes, check_cap, look_far_ahead, next_page
from plugchat_async._pagination.state import Standing
from plugchat_async._pagination.steps import Deliver, Fetch, Walk
from plugchat_async.errors import PageLimitError
from plugchat_async.models import Page


class Ledger(Struct):
    """What a walk has done so far: its side of a `WalkReport`; see there."""

    pages: int = 0
    chats: int = 0
    duplicates: int = 0
    late_finds: int = 0
    phases: int = 0
    verified: bool = False
    reason: str = ""


class Terms(Struct):
    """What a walker works with besides its standing.

    max_pages: how many pages to read at most in one pass. ahead: whether pages may be asked for ahead of time.
    """

    max_pages: int
    sizes: PageSizes
    ahead: bool
    ledger: Ledger


class Taken(Struct):
    """What a reader made of a page.

    page: what the caller is to get of it. repeats: an earlier page held the same. enough: the pass may end here.
    """

    page: Page
    repeats: bool
    enough: bool = False


class Reader(Protocol):
    """What is done with each page of a pass."""

    def take(self, page: Page) -> Taken:
        """Read a page."""
        ...


def read_pages(standing: Standing, terms: Terms, reader: Reader, *, ahead: bool) -> Walk:
    """Read pages in order from where the walk stands: to the end of the list, or until the reader has enough.

    Raises PageRepeatedError, PageLimitError, and PaginationError where a cap makes `start_page` mean another page; each
    has `page` set to where the walk stands.
    """
    after = next_page if ahead else None
    repeated = 0
    left = terms.max_pages
    terms.ledger.phases += 1
    page = yield Fetch(standing.number, standing.size, resume_page=standing.number, after=after)
    while page.chats:
        ends = page.is_last and standing.stop_on == "short"
        terms.ledger.pages += 1
        taken = reader.take(page)
        if taken.repeats and not ends:
            # Small pages of a busy account repeat honestly, too; only the server knows.
            repeated += 1
            yield from look_far_ahead(page, repeated)
        if taken.page.chats:
            yield Deliver(taken.page)
        if taken.enough:
            return
        standing.number += 1
        left -= 1
        following: Page | None = None
        if not page.is_last:
            terms.sizes.saw_full(page)
        elif standing.number == standing.start_page + 1 and terms.sizes.suspects(page):
            following = yield from check_cap(page, standing, terms.sizes)
        if ends and following is None:
            return
        if not left:
            raise PageLimitError(
                f"the list had not ended after max_pages={terms.max_pages} pages",
                page=standing.number,
                page_size=standing.size,
            )
        if following is None:
            del page, taken  # while the next page is waited for, nobody needs to hold this one
            page = yield Fetch(standing.number, standing.size, resume_page=standing.number, after=after)
        else:
            page = following
