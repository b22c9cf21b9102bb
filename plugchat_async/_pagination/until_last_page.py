"""Read pages in order until the list ends: the part that all walkers have in common."""

from typing import Literal, Protocol

from msgspec import Struct

from plugchat_async._pagination.list_end import EndChecks, Verdict, WalkContext, check_middle, refuse_size
from plugchat_async._pagination.server_traits import may_be_cut, record_page
from plugchat_async._pagination.walk_state import WalkState
from plugchat_async._pagination.walk_steps import FetchPage, Walk, YieldPage, next_page
from plugchat_async.errors import PageLimitError
from plugchat_async.models import Page


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
        """Read a page. The same page may be read again, longer than before."""
        ...

    def end(self, rows: int, verdict: Verdict) -> None:
        """Note that the list ends after `rows` rows: the verdict says whether that is certain."""


def read_pages(
    state: WalkState, context: WalkContext, handler: PageHandler, *, ahead: bool, by_contract: bool = False
) -> Walk:
    """Read pages in order, from the walk's page to the end of the list or until the handler has enough.

    Args:
        state: The state of the walk.
        context: What the walk needs besides.
        handler: Handles the pages.
        ahead: Whether pages are prefetched.
        by_contract: As for `EndChecks`.

    Raises:
        PageRepeatedError: The server ignores `page`.
        PageLimitError: The list has not ended after `max_pages`.
        PaginationError: The server caps the size, so that `start_page` means another page.
        NotConnectedError: The list is empty, since the phone is not connected.
    """
    next_key = next_page if ahead else None
    checks = EndChecks(state, context, by_contract)
    repeats = 0
    left = context.max_pages
    following: Page | None = None
    context.stats.passes += 1
    while True:
        step: FetchPage | None = None
        if following is None:
            step = FetchPage(
                state.page,
                state.size,
                resume_page=state.page,
                probe=_probe_of(state),
                next_key=next_key,
            )
            page = yield step
            if step.probe == "check" and step.outcome:
                refuse_size(state, context, refused=step.outcome == "refused")
                continue
        else:
            page, following = following, None
        if not page.length:
            before = (page.number - 1) * page.size
            verdict = yield from checks.empty(page, refused=step is not None and step.outcome == "refused")
            if not isinstance(verdict, Page):
                handler.end(before, verdict)
                return
            page = verdict
        context.stats.pages += 1
        if page.number == state.config.start_page > 1 and page.is_short and may_be_cut(context.traits, page):
            # Before it is yielded, so that a walk that is resumed here checks it again.
            yield from check_middle(page, state)
        result = handler.read(page)
        if result.page.chats:
            yield YieldPage(result.page)
        if result.enough:
            return
        state.page = page.number + 1
        left -= 1
        record_page(context.traits, page)
        verdict = "more"
        if page.is_short:
            verdict = yield from checks.short(page)
        if verdict == "more" and result.repeats:
            repeats += 1
            verdict = yield from checks.repeated(page, repeats)
            if verdict in ("end", "unproven"):
                handler.end((page.number - 1) * page.size, verdict)
                return
        if isinstance(verdict, Page):
            following = verdict
        elif verdict != "more":
            handler.end((page.number - 1) * page.size + page.length, verdict)
            return
        if not left:
            raise PageLimitError(
                f"the list had not ended after max_pages={context.max_pages} pages",
                page=state.page,
                page_size=state.size,
            )
        del page, result  # not needed while the next page is awaited


def _probe_of(state: WalkState) -> Literal["", "exists", "check"]:
    """Return what an error of the next request may mean: that there is no such page, or that its size is too large."""
    if state.page > state.config.start_page:
        return "exists"
    return "check" if state.size > state.config.page_size else ""
