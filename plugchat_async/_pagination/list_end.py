"""The end of a list: whether a page that is short, empty, or one that came before is the last one.

By the vendor's contract, a page with fewer chats than requested is the last one. These servers break it:

- Some cap `pageSize`: each page looks short. Such a page is as long as the longest page that the server ever had.
- Some hide rows after they have cut the page: short pages come in the middle.
- A gateway that has lost its phone for a moment answers with an empty list, or with a part of it.
- Past the end, some have an error such as 404, and some a page that came before.
- Some ignore `page`.

So what looks like the end is doubted until the server is known, see `ServerTraits`. What the checks need are requests
that walks can do without: if one fails, the contract is believed, but the walk is not verified.
"""

from collections.abc import Generator
from typing import Final

from attrs import define, field

from plugchat_async._pagination.page_cap import MAX_LOOKS, CapChecks
from plugchat_async._pagination.page_numbers import FAR_PAGES, is_counted, page_repeated
from plugchat_async._pagination.server_traits import honours, may_be_cut, record_end
from plugchat_async._pagination.walk_context import EMPTY, Verdict, WalkContext, whole_size
from plugchat_async._pagination.walk_state import WalkState
from plugchat_async._pagination.walk_steps import CheckConnection, FetchPage, Step, chat_keys, rows_of
from plugchat_async._pagination.windows import next_window
from plugchat_async.errors import NotConnectedError
from plugchat_async.models import Page

# Some servers refuse deep pages, but ignore `page` in near ones: at which repeat to probe once more, nearer.
_SECOND_LOOK: Final = 16
_NEAR_PAGES: Final = 1000
_SECOND_PAGE: Final = 2


@define(eq=False, repr=False)
class EndChecks(CapChecks):
    """Checks what looks like the end of the list, for one pass over it.

    Attributes:
        by_contract: Whether only that is checked which breaks the contract: caps, repeated pages, an empty list.
    """

    _by_contract: bool = field(default=False, alias="by_contract")
    _first_repeat: int = 0

    def short(self, page: Page) -> Generator[Step, Page, Verdict]:
        """Check a page that has fewer rows than requested."""
        state, traits, memory = self._state, self._context.traits, self._context.memory
        first = page.number == 1 == state.config.start_page
        whole = first and bool(memory.keys) and (memory.length, memory.keys) == (page.length, chat_keys(page))
        verdict: Verdict = "end"
        if not whole and first and memory.is_shorter(page.length) and self._looks < MAX_LOOKS:
            again = yield from self.look_again(page)
            if again.length > page.length:
                return again
        if not whole and first and may_be_cut(traits, page):
            verdict = yield from self.check_cap(page)
        elif state.config.stop_on == "empty" or traits.short_pages == "anywhere":
            verdict = "more"
        elif not whole and traits.short_pages is None and not self._by_contract:
            verdict = yield from self._hidden_rows(page)
        return "more" if verdict in ("end", "unproven") and state.config.stop_on == "empty" else verdict

    def empty(self, page: Page, *, refused: bool) -> Generator[Step, Page, Verdict]:
        """Check a page without rows.

        Args:
            page: The page.
            refused: Whether the server said that it does not exist.

        Raises:
            NotConnectedError: It is page 1, since the phone is not connected.
        """
        state, traits = self._state, self._context.traits
        if page.number == 1:
            return (yield from confirm_empty(state, self._context))
        before = (page.number - 1) * page.size
        was_end = self._context.memory.length == before
        if traits.past_end == "error" if refused else self._by_contract or was_end:
            return "end"
        if refused and was_end:  # perhaps by a fault that passes
            return (yield from self._overlapping(page, before, refused=True))
        if state.config.stop_on == "empty" or traits.short_pages == "anywhere":
            return (yield from self._one_further(page))
        if whole_size(state, self._context) > before and not self._by_contract:
            return "unproven"  # a page with all rows will show it
        return (yield from self._overlapping(page, before, refused=refused))

    def repeated(self, page: Page, repeats: int) -> Generator[Step, Page, Verdict]:
        """Check a page that has no chats that are new.

        Small pages of a busy account may do that, too: only a page far past any end shows more.

        Args:
            page: The page.
            repeats: How many such pages there were.

        Raises:
            PageRepeatedError: The server ignores `page`.
        """
        traits = self._context.traits
        if repeats == 1:
            self._first_repeat = page.number
        if repeats > 2 * _SECOND_LOOK and traits.past_end == "repeated":
            return "unproven"  # the list moves faster than it is read
        if repeats in (1, _SECOND_LOOK) or traits.past_end == "repeated":
            distance = FAR_PAGES if repeats == 1 else _NEAR_PAGES
            far = yield FetchPage(page.number + distance, page.size, resume_page=page.number, probe="check")
            if far.length and (yield from self._repeats_past_end(page, far, repeats)):
                before = (page.number - 1) * page.size
                if self._by_contract:
                    return "end"
                if whole_size(self._state, self._context) > before:
                    return "unproven"  # a page with all rows will show it
                return (yield from self._overlapping(page, before, refused=False))
        return "more"

    def _repeats_past_end(self, page: Page, far: Page, repeats: int) -> Generator[Step, Page, bool]:
        """Return whether a page that was read before, and comes far past any end, too, is past the end."""
        traits = self._context.traits
        known = traits.past_end == "repeated"
        if rows_of(far) != rows_of(page) and (repeats == 1 or known):
            # A list may be that long, but then it has other chats there; or the last page has moved.
            traits.past_end = "repeated"
            return False
        # If page 2 was another one than page 1, the pages are counted.
        if not known and self._first_repeat <= _SECOND_PAGE:
            if not rows_of(far) <= rows_of(page):
                return False
            if not (yield from is_counted(page)):
                raise page_repeated(page, far)
        traits.past_end = "repeated"
        return True

    def _one_further(self, page: Page) -> Generator[Step, Page, Verdict]:
        """Check an empty page of a server that hides rows: it was empty for a moment, or all its rows are hidden."""
        step = FetchPage(page.number + 1, page.size, resume_page=page.number, probe="check")
        if (yield step).length:
            self._state.page = page.number
            return (yield FetchPage(page.number, page.size, resume_page=page.number, probe="exists"))
        return "unproven" if step.outcome == "failed" else "end"

    def _hidden_rows(self, page: Page) -> Generator[Step, Page, Verdict]:
        """Find out whether a short page is one in the middle. The server is known from then on."""
        state, traits = self._state, self._context.traits
        if page.number > 1 and whole_size(state, self._context) > page.number * page.size:
            return "unproven"  # a page with all rows will show it
        step = FetchPage(page.number + 1, page.size, resume_page=page.number + 1, probe="check")
        following = yield step
        if step.outcome == "failed":
            return "unproven"
        again = yield from self.look_again(page)
        if again.length > page.length:
            return again
        if not rows_of(following) <= rows_of(page):
            if not state.seen.has_all(chat_keys(following)):
                return self.hidden(page)
            # An earlier page, as some servers have it past the end; or the list has moved.
            far = yield FetchPage(page.number + FAR_PAGES, page.size, resume_page=page.number + 1, probe="check")
            if not far.length:
                return "unproven"
            traits.past_end = "repeated"
        self._state.page = page.number + 1
        record_end(traits, refused=step.outcome == "refused", empty=not following.length)
        return "end"

    def _overlapping(self, page: Page, before: int, *, refused: bool) -> Generator[Step, Page, Verdict]:
        """Check an empty page with one that begins before it, so that it can't be empty."""
        number, size = next_window(before, page.size, 1)
        step = FetchPage(number, size, resume_page=page.number, probe="check")
        window = yield step
        end = (number - 1) * size + window.length
        if (window.length == size or end > before) and page.length:
            return "more"  # it is one of the list's pages, and was read before under another number
        if window.length == size or end > before:
            self._state.page = page.number
            return (yield FetchPage(page.number, page.size, resume_page=page.number, probe="exists"))
        # A walk that is resumed behind a short page has read no further than that.
        rows_read = self._state.scan.rows_read
        expected = rows_read if before - page.size < rows_read < before else before
        if not window.length or end < expected:
            return "unproven"
        traits = self._context.traits
        if not page.length and (may_be_cut(traits, window) or not honours(traits, size)):
            # Where pages have one or two rows, the window is larger than those. If it is cut, it is another part of the
            # list, so look again whether the page is empty.
            again = yield FetchPage(page.number, page.size, resume_page=page.number, probe="exists")
            if again.length:
                self._state.page = page.number
                return again
        if refused:
            traits.past_end = "error"
        return "end"


def confirm_empty(state: WalkState, context: WalkContext) -> Generator[Step, Page, Verdict]:
    """Check an empty page 1: once more, and whether the phone is connected.

    Raises:
        NotConnectedError: It is not.
    """
    confirmed = False
    # In the largest size: of a small page, all rows may be hidden.
    for size in dict.fromkeys((whole_size(state, context), state.size)):
        step = FetchPage(1, size, resume_page=1, probe="check")
        again = yield step
        if again.length:
            state.page, state.size = 1, size
            return again
        confirmed = not step.outcome
        if confirmed:
            break
    status = CheckConnection()
    yield status
    if status.connected is False:
        raise empty_list_error(status.error)
    context.stats.reason = EMPTY
    return "end" if confirmed and status.connected else "unproven"


def empty_list_error(said: str | None) -> NotConnectedError:
    """Return the error of an empty list whose phone is not connected, with the gateway's own text if there is any."""
    return NotConnectedError(
        f"the list is empty, and the phone is not connected to WhatsApp{f': {said}' if said else ''}"
    )
