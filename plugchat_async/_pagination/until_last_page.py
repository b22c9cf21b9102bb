"""Read pages in order until the list ends: the part that all walkers have in common."""

from collections.abc import Generator
from typing import Literal, Protocol

from attrs import define, field
from msgspec import Struct

from plugchat_async._pagination.list_end import EndChecks
from plugchat_async._pagination.page_numbers import check_middle
from plugchat_async._pagination.server_traits import may_be_cut, record_page
from plugchat_async._pagination.walk_context import Verdict, WalkContext, refuse_size
from plugchat_async._pagination.walk_state import WalkState
from plugchat_async._pagination.walk_steps import FetchPage, Step, Walk, YieldPage, next_page
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
    context.stats.passes += 1
    reading = _Reading(state, context, handler, EndChecks(state, context, by_contract=by_contract), ahead=ahead)
    following: Page | None = None
    while True:
        page = yield from reading.fetch() if following is None else _given(following)
        if page is None:
            return
        result = yield from reading.read(page)
        if result.enough:
            return
        verdict = yield from reading.look_for_end(page, result)
        if verdict in ("end", "unproven"):
            return
        following = verdict if isinstance(verdict, Page) else None
        reading.check_limit()
        del page, result, verdict  # not needed while the next page is awaited


def _given(page: Page) -> Generator[Step, Page, Page]:
    """Return a page that was read already."""
    yield from ()
    return page


@define(eq=False, repr=False)
class _Reading:
    """A pass over the pages, see `read_pages`."""

    _state: WalkState
    _context: WalkContext
    _handler: PageHandler
    _checks: EndChecks
    _ahead: bool = field(kw_only=True, alias="ahead")
    _read: int = field(default=0, init=False)
    _repeats: int = field(default=0, init=False)

    def fetch(self) -> Generator[Step, Page, Page | None]:
        """Return the next page, or None if the list has ended before it."""
        state = self._state
        next_key = next_page if self._ahead else None
        while True:
            number, size = state.page, state.size
            step = FetchPage(number, size, resume_page=number, probe=_probe_of(state), next_key=next_key)
            page = yield step
            if step.probe != "check" or not step.outcome:
                break
            refuse_size(state, self._context, refused=step.outcome == "refused")
        if page.length:
            return page
        verdict = yield from self._checks.empty(page, refused=step.outcome == "refused")
        if isinstance(verdict, Page):
            return verdict
        self._handler.end((page.number - 1) * page.size, verdict)
        return None

    def read(self, page: Page) -> Generator[Step, Page, PageResult]:
        """Handle a page, and yield what the caller gets."""
        state, traits = self._state, self._context.traits
        self._context.stats.pages += 1
        self._read += 1
        if page.number == state.config.start_page > 1 and page.is_short and may_be_cut(traits, page):
            # Before it is yielded, so that a walk that is resumed here checks it again.
            yield from check_middle(page, state)
        result = self._handler.read(page)
        if result.page.chats:
            yield YieldPage(result.page)
        if not result.enough:
            state.page = page.number + 1
            record_page(traits, page)
        return result

    def look_for_end(self, page: Page, result: PageResult) -> Generator[Step, Page, Verdict]:
        """Return whether the list ends with a page, or before it."""
        verdict: Verdict = "more"
        before = (page.number - 1) * page.size
        rows = before + page.length
        if page.is_short:
            verdict = yield from self._checks.short(page)
        if verdict == "more" and result.repeats:
            self._repeats += 1
            verdict, rows = (yield from self._checks.repeated(page, self._repeats)), before
        if verdict in ("end", "unproven"):
            self._handler.end(rows, verdict)
        return verdict

    def check_limit(self) -> None:
        """Raise PageLimitError if no more pages may be read."""
        if self._read >= self._context.max_pages:
            raise PageLimitError(
                f"the list had not ended after max_pages={self._context.max_pages} pages",
                page=self._state.page,
                page_size=self._state.size,
            )


def _probe_of(state: WalkState) -> Literal["", "exists", "check"]:
    """Return what an error of the next request may mean: that there is no such page, or that its size is too large."""
    if state.page > state.config.start_page:
        return "exists"
    return "check" if state.size > state.config.page_size else ""
