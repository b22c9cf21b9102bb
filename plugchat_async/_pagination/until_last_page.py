"""Read pages in order until one is short: the part that all walkers have in common.

The rule: a page with fewer chats than requested is the last one. Two kinds of servers break it, and are
detected: those that cap `pageSize` silently (every page looks short), and those that ignore `page` (no page does).
"""

from typing import Protocol

from msgspec import Struct

from plugchat_async._pagination.server_traits import ServerTraits, check_cap, check_middle, next_page, probe_past_end
from plugchat_async._pagination.walk_state import WalkState
from plugchat_async._pagination.walk_steps import FetchPage, Walk, YieldPage
from plugchat_async.errors import PageLimitError
from plugchat_async.models import Page


class WalkStats(Struct):
    """The part of a `WalkReport` that the walkers count; see there."""

    pages: int = 0
    chats: int = 0
    duplicates: int = 0
    recovered: int = 0
    passes: int = 0
    verified: bool = False
    reason: str = ""


class WalkContext(Struct):
    """What a walker needs in addition to its state.

    Attributes:
        max_pages: The number of pages to read in one pass, at most.
        traits: What is known of the server.
        ahead: Whether pages may be prefetched.
        stats: What the walker counts.
    """

    max_pages: int
    traits: ServerTraits
    ahead: bool
    stats: WalkStats


class PageResult(Struct):
    """The result of handling a page.

    Attributes:
        page: The part of it that the caller gets.
        repeats: Whether an earlier page had the same chats.
        enough: Whether the pass may end here.
    """

    page: Page
    repeats: bool
    enough: bool = False


class PageHandler(Protocol):
    """Handles the pages of a pass."""

    def read(self, page: Page) -> PageResult:
        """Read a page."""
        ...


def read_pages(state: WalkState, context: WalkContext, handler: PageHandler, *, ahead: bool) -> Walk:
    """Read pages in order, from the walk's page to the end of the list or until the handler has enough.

    Raises:
        PageRepeatedError: The server ignores `page`.
        PageLimitError: The list has not ended after `max_pages`.
        PaginationError: The server caps the size, so that `start_page` means another page.
    """
    next_key = next_page if ahead else None
    repeated = 0
    left = context.max_pages
    context.stats.passes += 1
    page = yield FetchPage(state.page, state.size, resume_page=state.page, next_key=next_key)
    while page.chats:
        ends = page.is_short and state.config.stop_on == "short"
        context.stats.pages += 1
        result = handler.read(page)
        if result.repeats and not ends:
            # Small pages of a busy account may repeat, too; only the server knows.
            repeated += 1
            yield from probe_past_end(page, repeated)
        yield from _check_start_page(page, state, context)
        if result.page.chats:
            yield YieldPage(result.page)
        if result.enough:
            return
        state.page += 1
        left -= 1
        following: Page | None = None
        if not page.is_short:
            context.traits.record_full(page)
        elif state.page == 2 and state.config.start_page == 1 and context.traits.may_be_capped(page):
            following = yield from check_cap(page, state, context.traits)
        if ends and following is None:
            return
        if not left:
            raise PageLimitError(
                f"the list had not ended after max_pages={context.max_pages} pages",
                page=state.page,
                page_size=state.size,
            )
        if following is None:
            del page, result  # not needed while the next page is awaited
            page = yield FetchPage(state.page, state.size, resume_page=state.page, next_key=next_key)
        else:
            page = following


def _check_start_page(page: Page, state: WalkState, context: WalkContext) -> Walk:
    """Raise PaginationError if the server caps a first page that is not page 1.

    That is before it is yielded, so that a walk that is resumed here checks it again.
    """
    if state.page == state.config.start_page > 1 and page.is_short and context.traits.may_be_capped(page):
        yield from check_middle(page, state)
