"""Whether a server counts pages at all: some ignore `page`, and some have an earlier page again past the end."""

from collections.abc import Generator
from typing import Final

from plugchat_async._pagination.walk_state import WalkState
from plugchat_async._pagination.walk_steps import FetchPage, Step, chat_keys, rows_of
from plugchat_async.errors import PageRepeatedError, PaginationError
from plugchat_async.models import Page

# No list is that long: a server that counts pages has nothing there.
FAR_PAGES: Final = 1_000_000
# How often the halves of a page are compared: those of a few chats may be the same if the list moves in between.
_MAX_HALVES: Final = 6


def is_counted(page: Page) -> Generator[Step, Page, bool]:
    """Return whether the server counts pages, if a page and the one after it are the same.

    Either there is nothing after it, and the server has it again, or the server ignores `page`. Then the halves of the
    page are the same, too, however often they are read.
    """
    if page.length == 1:
        return (yield from _is_second_counted(page))
    half = page.length // 2
    for _ in range(_MAX_HALVES):
        first = yield FetchPage(1, half, resume_page=page.number, probe="check")
        second = yield FetchPage(2, half, resume_page=page.number, probe="check")
        if rows_of(first) != rows_of(second):
            return True
    # If it has lost its second half, that was past the end.
    return (yield FetchPage(1, page.size, resume_page=page.number, probe="check")).length < 2 * half


def _is_second_counted(page: Page) -> Generator[Step, Page, bool]:
    """Return whether a server counts pages, if pages of one row are the same."""
    for _ in range(_MAX_HALVES):
        first = yield FetchPage(1, 2, resume_page=page.number, probe="check")
        second = yield FetchPage(2, 1, resume_page=page.number, probe="check")
        if first.length <= 1 or not rows_of(second) or rows_of(second) != frozenset([*first.chats][:1]):
            return True
    return False


def page_repeated(page: Page, far: Page) -> PageRepeatedError:
    """Return the error for a server that ignores `page`."""
    return PageRepeatedError(
        f"page {page.number} repeats an earlier page, and page {far.number} is not empty",
        page=page.number,
        page_size=page.size,
    )


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
