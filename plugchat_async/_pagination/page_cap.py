"""Whether a short first page is a full one: some servers cap `pageSize`, and each of their pages looks short."""

from collections.abc import Generator
from typing import Final

from attrs import define

from plugchat_async._pagination.page_numbers import FAR_PAGES, is_counted, page_repeated
from plugchat_async._pagination.server_traits import (
    honours,
    may_be_cut,
    record_cap,
    record_end,
    record_hidden_rows,
    record_page,
)
from plugchat_async._pagination.walk_context import Verdict, WalkContext, whole_size
from plugchat_async._pagination.walk_state import WalkState
from plugchat_async._pagination.walk_steps import FetchPage, Step, chat_keys, key_of, rows_of
from plugchat_async.models import Page

# In pages so small, all rows may be hidden.
_TINY: Final = 8
# Pages of one or two rows have no page that begins with their last row, and goes further.
_PAIR: Final = 2
# How often a page may come back longer than before until it is taken as it is.
MAX_LOOKS: Final = 3


@define(eq=False, repr=False)
class CapChecks:
    """Checks the first page of a pass.

    Attributes:
        state: The state of the walk. Its `page` is the one after the page in question.
        context: What the walk needs besides.
        looks: How often a page was requested again.
        shorter: The page, read again, if chats have been deleted from it.
    """

    _state: WalkState
    _context: WalkContext
    _looks: int = 0
    shorter: Page | None = None

    def check_cap(self, page: Page) -> Generator[Step, Page, Verdict]:
        """Find out whether a short first page is a full one of a capped size.

        Raises:
            PageRepeatedError: The server ignores `page`.
        """
        state = self._state
        length, size = page.length, state.size
        # Pages of about this length: some servers cap the rows, but count the pages in the size that was asked for. A
        # walk that is resumed from here on continues in them, too, as if this page had been full.
        state.size, state.page = length, 2
        # From the last row on, so that it is not empty.
        step = FetchPage(2, length - 1 if length > _PAIR else length, resume_page=2, probe="check")
        following = yield step
        state.size = size
        if step.outcome == "failed":
            return "unproven"
        if following.length == length - step.size and _is_tail(following, page):
            verdict = (yield from self._hidden_behind(page)) if size < _TINY else None
            if verdict is not None:
                return verdict
            record_end(self._context.traits, refused=step.outcome == "refused", empty=not following.length)
            return "end"
        if following.length == step.size and rows_of(following) <= rows_of(page):
            verdict = yield from self._check_repeated(page, step.size)
            if verdict != "more":
                return verdict
        return (yield from self._compare(page, following, length - step.size))

    def hidden(self, page: Page) -> Verdict:
        """Remember that the server hides rows: the walk goes on to an empty page."""
        record_hidden_rows(self._context.traits, page)
        self._state.page = page.number + 1
        return "more"

    def look_again(self, page: Page) -> Generator[Step, Page, Page]:
        """Request a page again. If it is longer now, the walk continues with it."""
        self._looks += 1
        again = yield FetchPage(page.number, page.size, resume_page=page.number, probe="check")
        if again.length > page.length:
            self._state.page = page.number
        return again

    def _check_repeated(self, page: Page, size: int) -> Generator[Step, Page, Verdict]:
        """Check a first page whose rows come again on page 2. "more" if neither the end nor `page` explains that."""
        far = yield FetchPage(2 + FAR_PAGES, size, resume_page=2, probe="check")
        if far.length and not (yield from is_counted(page)):
            raise page_repeated(page, far)
        if not far.length or page.length > _PAIR:
            return "more"  # the list has moved
        self._context.traits.past_end = "repeated"
        size = max(page.length + 1, whole_size(self._state, self._context))
        whole = yield FetchPage(1, size, resume_page=2, probe="check")
        return "end" if whole.length == page.length else "unproven"

    def _compare(self, page: Page, following: Page, overlap: int) -> Generator[Step, Page, Verdict]:
        """Return what a first page and the one after it say, if that is not plainly the end.

        Args:
            page: The first page.
            following: The one after it.
            overlap: The number of rows that they have in common if no row is hidden.
        """
        again = yield from self.look_again(page)
        if again.length != page.length:
            # Shorter, it was so for a moment, or chats were deleted.
            self.shorter = again if again.length < page.length else None
            return again if again.length > page.length else "unproven"
        if _goes_on(following, page, again):
            return (yield from self._check_length(page))
        if again.chats == page.chats:
            # It stands still, but its rows have other places: some are hidden, or tied chats have changed places. If
            # there are none, the server does not know that size, or the page was empty for a moment.
            beyond = yield FetchPage(2, page.size, resume_page=2, probe="check")
            ends = rows_of(beyond) <= rows_of(page)
            if following.length and (following.length > overlap or not ends):
                return self.hidden(page)
            if ends:
                record_end(self._context.traits)
                return "end"
        # The list moves: only rows behind both pages show a cap.
        self._state.page = 1
        return again if self._looks < MAX_LOOKS else "unproven"

    def _check_length(self, page: Page) -> Generator[Step, Page, Verdict]:
        """Return whether the server caps pages to the length of a page that others follow, or hides rows."""
        first = yield FetchPage(1, page.length, resume_page=2, probe="check")
        if not first.length:
            return "unproven"
        if first.length < page.length:
            return self.hidden(page)
        record_cap(self._context.traits, page.size, page.length)
        self._state.size, self._state.page = page.length, 2
        return "more"

    def _hidden_behind(self, page: Page) -> Generator[Step, Page, Verdict | None]:
        """Find out whether rows follow a tiny page, though the next one is empty, since all its rows are hidden.

        Returns:
            None if none do.
        """
        state = self._state
        size = whole_size(state, self._context)
        if size > page.size:
            longer = yield FetchPage(1, size, resume_page=2, probe="check")
            follows = longer.length > page.length
        else:
            longer = yield FetchPage(2, page.size, resume_page=2, probe="check")
            follows = not rows_of(longer) <= rows_of(page)
        if not follows:
            return None
        again = yield from self.look_again(page)
        if again.length > page.length:
            return again
        verdict = self.hidden(page)
        if longer.number > 1:
            return verdict
        # What it has may have moved by the time it comes again.
        state.page, state.size = 1, size
        return longer


def may_be_capped(window: Page, context: WalkContext, *, resume_page: int) -> Generator[Step, Page, bool]:
    """Return whether a short window may be a full one, of a cap that is smaller than its size.

    Then it is another part of the list. Where the walk's pages have one or two rows, windows are larger than those.

    Args:
        window: The window.
        context: What the walk needs besides.
        resume_page: Where a walk that fails here is resumed.
    """
    traits = context.traits
    if not honours(traits, window.size):
        return True
    if not may_be_cut(traits, window):
        return False
    first = yield FetchPage(1, window.size, resume_page=resume_page, probe="check")
    record_page(traits, first)
    return first.is_short


def _is_tail(following: Page, page: Page) -> bool:
    """Return whether a page holds the last rows of another one. Where unreadable rows stand is not known."""
    chats = following.chats
    return chats == page.chats[len(page.chats) - len(chats) :] and rows_of(following) <= rows_of(page)


def _goes_on(following: Page, page: Page, again: Page) -> bool:
    """Return whether a page has rows that are behind those of page 1, which was read before and after it.

    A chat that got a message has another time now, but is no other row.
    """
    known = rows_of(page) | rows_of(again)
    keys = chat_keys(page) | chat_keys(again)
    newest = max((time for chat in page.chats if (time := chat.last_message_time) is not None), default=None)
    for chat in following.chats:
        time = chat.last_message_time
        jumped = time is not None and (newest is None or time > newest) and key_of(chat) in keys
        if not jumped and chat not in known:
            return True
    return any(key not in known for key in following.unreadable_keys)
