"""The one answer that holds the whole list: page 1 in the largest size.

If it is short, it is the list of one instant: no chat can be missing, whatever is deleted, archived, tied, pinned,
without a time, or in any order. That needs only that its shortness is no cap. Where the server is not known yet, that
is checked; and since chats may be deleted during the check, the page is then read once more. If both have the same
chats, and nothing came after them in between, no row was hidden behind a cap.
"""

from collections.abc import Generator

from attrs import define

from plugchat_async._pagination.list_end import EndChecks, confirm_empty
from plugchat_async._pagination.remember import Remembered
from plugchat_async._pagination.server_traits import record_page
from plugchat_async._pagination.walk_context import (
    EMPTY,
    HIDDEN_ROWS,
    NOT_CHECKED,
    WalkContext,
    refuse_size,
    whole_size,
)
from plugchat_async._pagination.walk_state import WalkState
from plugchat_async._pagination.walk_steps import FetchPage, Step, YieldPage, chat_keys
from plugchat_async.models import Page

# How often it is read until it has the same chats twice.
_MAX_LOOKS = 4


@define(eq=False, repr=False)
class WholeAnswer:
    """Reads page 1 in the largest size."""

    _state: WalkState
    _context: WalkContext
    _remembered: Remembered

    def read(self) -> Generator[Step, Page, str | Page | None]:
        """Read it until it is proven to be the whole list, or is not.

        Returns:
            "" if it is the whole list, or why nothing can be proven. EMPTY if there are no chats; `stats.verified` is
            set then. A page that is full: the list is longer. None: pages of another size are needed.
        """
        state, context = self._state, self._context
        context.stats.passes += 1
        state.size = whole_size(state, context)
        step = FetchPage(1, state.size, resume_page=1, probe="check" if state.size > state.config.page_size else "")
        page = yield step
        if step.outcome:
            # Too large for the server, or for the time there is.
            refuse_size(state, context, refused=step.outcome == "refused")
            return None
        checked: Page | None = None
        for _ in range(_MAX_LOOKS):
            if not page.length:
                verdict = yield from confirm_empty(state, context)
                if not isinstance(verdict, Page):
                    context.stats.verified = verdict == "end"
                    return EMPTY
                page = verdict
            doubtful, other_names = set(self._remembered.unconfirmed.doubtful), state.other_names.copy()
            yield from self._deliver(page)
            if not page.is_short:
                return page
            if self._is_whole(page, checked):
                if _are_alike(page, checked):
                    # Both had all chats, so what looks like another one has changed in between.
                    self._remembered.unconfirmed.doubtful &= doubtful
                    state.other_names = other_names
                context.memory.record(page.length, chat_keys(page))
                return ""
            following = yield from self._check(page)
            if not isinstance(following, tuple):
                return following
            page, checked = following
        return None

    def _check(self, page: Page) -> Generator[Step, Page, tuple[Page, Page | None] | str | None]:
        """Check whether a short page is the end of the list.

        Returns:
            The page that was read after that, with `page` if nothing follows it. Else what `read` returns.
        """
        state = self._state
        size = state.size
        checks = EndChecks(state, self._context)
        verdict = yield from checks.short(page)
        if isinstance(verdict, Page):
            return verdict, None
        if verdict == "end":
            return (yield FetchPage(1, state.size, resume_page=1)), page
        if verdict == "unproven" and checks.shorter is not None and checks.shorter.length:
            return checks.shorter, None  # it is not cut, since a longer one has come
        # Capped, so that windows of that size follow. Or short pages are in the middle, or the check failed.
        state.page = 1
        return None if state.size != size else HIDDEN_ROWS if verdict == "more" else NOT_CHECKED

    def _deliver(self, page: Page) -> Generator[Step, Page, None]:
        self._context.stats.pages += 1
        fresh, _ = self._remembered.read(page)
        if fresh.chats:
            yield YieldPage(fresh)
        record_page(self._context.traits, page)

    def _is_whole(self, page: Page, checked: Page | None) -> bool:
        """Return whether a short page is known to be the whole list.

        Args:
            page: The page.
            checked: The same page as it was before a check has shown that nothing follows it.
        """
        traits, memory, keys = self._context.traits, self._context.memory, chat_keys(page)
        if _are_alike(page, checked):
            return True
        if (memory.length, memory.keys) == (page.length, keys):
            return True
        known = traits.short_pages == "end" and page.length < traits.longest_page
        return known and not memory.is_shorter(page.length)


def _are_alike(page: Page, checked: Page | None) -> bool:
    """Return whether two pages have as many rows, of the same keys."""
    return checked is not None and (checked.length, chat_keys(checked)) == (page.length, chat_keys(page))
