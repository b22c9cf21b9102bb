"""What the walkers have in common: pages in order, until one is short.

The rule: a page with fewer chats than were asked for is the last. Two kinds of servers would break it, and are
recognised: one that silently caps `pageSize` (every page looks short), and one that ignores `page` (none ever does).
"""

from typing import Protocol

from msgspec import Struct

from plugchat_async._pagination.server_traits import ServerTraits, check_cap, next_page, probe_past_end
from plugchat_async._pagination.state import WalkState
from plugchat_async._pagination.steps import FetchPage, Walk, YieldPage
from plugchat_async.errors import PageLimitError
from plugchat_async.models import Page


class WalkStats(Struct):
    """What a walk has done so far: its side of a `WalkReport`; see there."""

    pages: int = 0
    chats: int = 0
    duplicates: int = 0
    recovered: int = 0
    passes: int = 0
    verified: bool = False
    reason: str = ""


class WalkContext(Struct):
    """What a walker works with besides its standing.

    max_pages: how many pages to read at most in one pass. ahead: whether pages may be asked for ahead of time.
    """

    max_pages: int
    sizes: ServerTraits
    ahead: bool
    stats: WalkStats


class PageResult(Struct):
    """What a reader made of a page.

    page: what the caller is to get of it. repeats: an earlier page held the same. enough: the pass may end here.
    """

    page: Page
    repeats: bool
    enough: bool = False


class PageHandler(Protocol):
    """What is done with each page of a pass."""

    def take(self, page: Page) -> PageResult:
        """Read a page."""
        ...


def read_pages(state: WalkState, context: WalkContext, reader: PageHandler, *, ahead: bool) -> Walk:
    """Read pages in order from where the walk stands: to the end of the list, or until the reader has enough.

    Raises PageRepeatedError, PageLimitError, and PaginationError where a cap makes `start_page` mean another page; each
    has `page` set to where the walk stands.
    """
    after = next_page if ahead else None
    repeated = 0
    left = context.max_pages
    context.stats.passes += 1
    page = yield FetchPage(state.number, state.size, resume_page=state.number, after=after)
    while page.chats:
        ends = page.is_short and state.stop_on == "short"
        context.stats.pages += 1
        taken = reader.take(page)
        if taken.repeats and not ends:
            # Small pages of a busy account repeat honestly, too; only the server knows.
            repeated += 1
            yield from probe_past_end(page, repeated)
        if taken.page.chats:
            yield YieldPage(taken.page)
        if taken.enough:
            return
        state.number += 1
        left -= 1
        following: Page | None = None
        if not page.is_short:
            context.sizes.record_full(page)
        elif state.number == state.start_page + 1 and context.sizes.may_be_capped(page):
            following = yield from check_cap(page, state, context.sizes)
        if ends and following is None:
            return
        if not left:
            raise PageLimitError(
                f"the list had not ended after max_pages={context.max_pages} pages",
                page=state.number,
                page_size=state.size,
            )
        if following is None:
            del page, taken  # while the next page is waited for, nobody needs to hold this one
            page = yield FetchPage(state.number, state.size, resume_page=state.number, after=after)
        else:
            page = following
