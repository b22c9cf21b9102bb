"""Servers that break the contract: some cap `pageSize` silently, some ignore `page`."""

import logging
from collections.abc import Generator
from datetime import datetime
from itertools import zip_longest

from attrs import define, field

from plugchat_async._pagination.walk_state import WalkState
from plugchat_async._pagination.walk_steps import FetchPage, PeekPage, Step, chat_keys, ordered_keys
from plugchat_async.errors import PageRepeatedError, PaginationError
from plugchat_async.models import Page

logger = logging.getLogger("plugchat_async.walk")

# No list is that long: a server that counts pages has nothing there.
FAR_PAGES = 1_000_000
# Some servers refuse deep pages, but ignore `page` in near ones: at which repeat to probe once more, nearer.
_SECOND_LOOK = 16
_NEAR_PAGES = 1000


@define(eq=False, repr=False)
class ServerTraits:
    """What is known of a server's page sizes, so that not every walk has to check them."""

    _honoured: int = field(default=0, init=False)
    _whole: frozenset[tuple[str, datetime | None]] = field(default=frozenset(), init=False)
    _caps: set[int] = field(factory=set[int], init=False)

    def may_be_capped(self, page: Page) -> bool:
        """Return whether a short first page may be a full page of a smaller size than was asked for.

        Caps are round numbers. It is not capped if its size, or a larger one, was honoured before, or if the same chats
        were checked, were the whole list, and have not moved since.
        """
        return page.size > self._honoured and is_round(page.length) and _state_of(page) != self._whole

    def record_full(self, page: Page) -> None:
        """Remember that a page had as many chats as were asked for."""
        self._honoured = max(self._honoured, page.size)

    def record_whole(self, page: Page) -> None:
        """Remember that a page was checked, and is the whole list."""
        self._whole = _state_of(page)

    def record_cap(self, asked: int, length: int) -> None:
        """Remember that the server caps a page size to a length, and log it the first time."""
        if length not in self._caps:
            self._caps.add(length)
            fields = {"plugchat_page_size": asked, "plugchat_capped_to": length}
            logger.warning(
                "the server caps pageSize=%d to %d: continuing with pages of %d", asked, length, length, extra=fields
            )


def _state_of(page: Page) -> frozenset[tuple[str, datetime | None]]:
    """Return the chats with their times: while these do not change, no other chat can have come before them."""
    times = [chat.last_message_time for chat in page.chats]
    return frozenset(zip_longest(ordered_keys(page), times))


def is_round(length: int) -> bool:
    """Return whether people choose `length` as a cap: a multiple of 5, or a power of two from 16."""
    return length > 0 and (length % 5 == 0 or (length >= 16 and length.bit_count() == 1))


def next_page(number: int, size: int) -> tuple[int, int]:
    """Return the key of the page after a page of the same size."""
    return number + 1, size


def probe_past_end(page: Page, repeated: int = 1) -> Generator[Step, Page, None]:
    """Probe a page far past any end, at the first repeated page and at a later one.

    Raises:
        PageRepeatedError: There are chats.
    """
    if repeated not in (1, _SECOND_LOOK):
        return
    distance = FAR_PAGES if repeated == 1 else _NEAR_PAGES
    far = yield FetchPage(page.number + distance, page.size, resume_page=page.number, probe="far")
    # A list may be that long, but then it has other chats there.
    if far.chats and (repeated == 1 or chat_keys(far) <= chat_keys(page)):
        raise PageRepeatedError(
            f"page {page.number} repeats an earlier page, and page {far.number} is not empty",
            page=page.number,
            page_size=page.size,
        )


def check_cap(page: Page, state: WalkState, traits: ServerTraits) -> Generator[Step, Page, Page | None]:
    """Find out whether a short first page is a full one of a capped size.

    Returns:
        The page after it if the size is capped; `state.size` is the cap then. Else None.
    """
    length, number, size = page.length, page.number + 1, state.size
    # In pages of this length: some servers cap the rows, but count the pages in the size that was asked for. A walk
    # that is resumed from here on continues in them, too, as if this page had been full.
    state.size, state.scan.short = length, False
    if state.config.stop_on == "short":
        # A prefetched page may show the cap already. If it is empty, that shows nothing, see below.
        arrived = yield PeekPage(number, page.size)
        if not chat_keys(arrived) <= chat_keys(page):
            _continue_capped(page, state, traits)
            return (yield FetchPage(number, length, resume_page=number, next_key=next_page))
    following = yield FetchPage(number, length, resume_page=number, probe="check")
    if (yield from _is_capped(page, following, state)):
        _continue_capped(page, state, traits)
        return following
    state.size, state.scan.short = size, True
    if not following.chats:
        traits.record_whole(page)
    return None


def _is_capped(page: Page, following: Page, state: WalkState) -> Generator[Step, Page, bool]:
    """Return whether the page after a short one, in pages of its length, shows that it was a full one."""
    length = page.length
    if not following.chats:
        return False
    if chat_keys(following) <= chat_keys(page):
        if following.length >= length:
            yield from probe_past_end(following)
        # The list has moved: if its size is not capped, it has grown.
        again = yield FetchPage(1, page.size, resume_page=following.number, probe="check")
        return again.length == length
    if state.config.stop_on == "empty":
        # Servers that filter after paging send short pages, too, and shorter ones of smaller sizes.
        again = yield FetchPage(1, length, resume_page=following.number, probe="check")
        return again.length >= length
    return True


def _continue_capped(page: Page, state: WalkState, traits: ServerTraits) -> None:
    traits.record_cap(page.size, page.length)
    state.size = page.length
    state.scan.short = False  # it was full


def check_middle(page: Page, state: WalkState) -> Generator[Step, Page, None]:
    """Raise PaginationError if the server caps a page that is not the first."""
    # The pages before this one were counted in another size, so it is not the page that was meant.
    if state.config.stop_on == "empty":
        return
    length = page.length
    beyond = yield FetchPage(page.number + 1, page.size, resume_page=page.number + 1, probe="check")
    # A server that has page 1 again past the end may send more.
    if beyond.length <= length and not chat_keys(beyond) <= chat_keys(page):
        raise PaginationError(
            f"the server caps pageSize={page.size} to {length}: page {page.number} is not the requested one",
            f"Start at start_page=1, or use page_size={length} and count pages of that size.",
            page=page.number,
            page_size=length,
        )
