"""In which order to ask for pages, and when to stop.

A walk is a generator that does no I/O: it yields `Fetch`, is sent the page, yields `Deliver` for each page that the
caller is to get, and returns when the list has ended. So the same walk runs over HTTP and, in tests, over a list.

The rule: a page with fewer chats than were asked for is the last. Two kinds of servers would break it, and are
recognised: one that silently caps `pageSize` (every page looks short), and one that ignores `page` (none ever does).
"""

import logging
from collections.abc import Generator
from typing import Literal

from attrs import define, field, frozen

from plugchat_async.errors import PageLimitError, PageRepeatedError, PaginationError
from plugchat_async.models import Page

logger = logging.getLogger("plugchat_async.walk")

StopOn = Literal["short", "empty"]

# A server that counts pages answers this far past any end with nothing.
FAR_PAGES = 1_000_000
# At which repeated page to look how far. Some servers refuse deep pages, and yet go round in the near ones.
_LOOKS_AHEAD = {1: FAR_PAGES, 16: 1000}


@frozen
class Fetch:
    """Ask for a page, and send it back into the walk.

    resume_page: where to go on if the request fails.
    probe: "check" asks whether the page exists: where a status such as 404 says that it does not, an empty page is sent
        back. "far" asks past any end: there every error may mean so, and an empty page is sent back.
    """

    number: int
    size: int
    resume_page: int
    probe: Literal["", "check", "far"] = ""


@frozen
class Deliver:
    """Give a page to the caller."""

    page: Page


# What is sent back after `Deliver` is not looked at.
Walk = Generator[Fetch | Deliver, Page, None]


def advance(walk: Walk, page: Page) -> Fetch | Deliver | None:
    """Send a page into the walk and give its next step, or None if the list has ended."""
    try:
        return walk.send(page)
    except StopIteration:
        return None


@define
class PageSizes:
    """What a session has learnt about its server's page sizes, so that a check is not made in every walk."""

    _honoured: int = field(default=0, init=False)
    _whole: frozenset[str] = field(default=frozenset(), init=False)
    _caps: set[int] = field(factory=set[int], init=False)

    def suspects(self, page: Page) -> bool:
        """Tell whether a short first page may be a full page of a smaller size than was asked for.

        Caps are round numbers. What clears a page: that its size, or a larger one, was honoured before, or that these
        same chats were checked and were all there are.
        """
        return page.size > self._honoured and is_round(len(page.chats)) and _phones(page) != self._whole

    def saw_full(self, page: Page) -> None:
        """Note that a page holds as many chats as were asked for."""
        self._honoured = max(self._honoured, page.size)

    def saw_whole(self, page: Page) -> None:
        """Note that the page was checked and is the whole list."""
        self._whole = _phones(page)

    def saw_cap(self, page: Page) -> None:
        """Note that the page's length is a cap, and say so the first time."""
        length = len(page.chats)
        if length not in self._caps:
            self._caps.add(length)
            logger.warning("the server caps pageSize=%d to %d: going on with pages of %d", page.size, length, length)


def is_round(length: int) -> bool:
    """Tell whether people choose `length` as a cap: a multiple of 5, or a power of two from 16."""
    return length > 0 and (length % 5 == 0 or (length >= 16 and length.bit_count() == 1))


def _phones(page: Page) -> frozenset[str]:
    return frozenset(chat.phone for chat in page.chats)


def walk_plain(*, page_size: int, start_page: int, stop_on: StopOn, max_pages: int, sizes: PageSizes) -> Walk:
    """Pages in order until one is short (or, if asked so, empty); every chat as it comes.

    Raises PageRepeatedError, PageLimitError, and PaginationError where a cap makes `start_page` mean another page; each
    has `page` set to where the walk stands.
    """
    size = page_size
    number = start_page
    # Of pages, not of chats: a walk of a million chats keeps ten thousand ints.
    fingerprints: set[int] = set()
    repeated = 0
    page = yield Fetch(number, size, resume_page=number)
    first_phone = page.chats[0].phone if page.chats else ""
    while page.chats:
        ends = page.is_last and stop_on == "short"
        phones = _phones(page)
        # A list that goes round comes back to its first chat, on whichever place of a page.
        repeats = hash(phones) in fingerprints or (number > start_page and first_phone in phones)
        if repeats and not ends:
            # Small pages of a busy account repeat honestly, too; only the server knows.
            repeated += 1
            if repeated in _LOOKS_AHEAD:
                yield from _look_far_ahead(page, _LOOKS_AHEAD[repeated])
        fingerprints.add(hash(phones))
        yield Deliver(page)
        number += 1
        following: Page | None = None
        if not page.is_last:
            sizes.saw_full(page)
        elif number == start_page + 1 and sizes.suspects(page):
            following = yield from _check_cap(page, stop_on, sizes)
            size = size if following is None else following.size
        if ends and following is None:
            return
        if number - start_page == max_pages:
            raise PageLimitError(
                f"the list had not ended after max_pages={max_pages} pages", page=number, page_size=size
            )
        page = following or (yield Fetch(number, size, resume_page=number))


def _look_far_ahead(page: Page, distance: int = FAR_PAGES) -> Generator[Fetch, Page, None]:
    """Raise PageRepeatedError if there are chats far past any end."""
    far = yield Fetch(page.number + distance, page.size, resume_page=page.number, probe="far")
    if far.chats:
        raise PageRepeatedError(
            f"page {page.number} repeats an earlier page, and page {far.number} is not empty",
            page=page.number,
            page_size=page.size,
        )


def _check_cap(page: Page, stop_on: StopOn, sizes: PageSizes) -> Generator[Fetch, Page, Page | None]:
    """Find out whether a short first page is a full one of a capped size. Give the page after it then, else None."""
    length, number = len(page.chats), page.number + 1
    if page.number > 1:
        # The pages before this one were counted in another size, and can't be made up for.
        if stop_on == "short":
            beyond = yield Fetch(number, page.size, resume_page=number, probe="check")
            # A server that serves page 1 again past the end may send more.
            if len(beyond.chats) <= length and not _phones(beyond) <= _phones(page):
                raise PaginationError(
                    f"the server caps pageSize={page.size} to {length}: page {page.number} is not the page meant",
                    f"Begin again at start_page=1, or count pages in page_size={length}.",
                    page=page.number,
                    page_size=length,
                )
        return None
    # In pages of this length: some servers cap the rows, but count the pages in the size that was asked for.
    following = yield Fetch(number, length, resume_page=number, probe="check")
    # A list that moved meanwhile shows a chat again; only a capped one has new chats there.
    if _phones(following) <= _phones(page):
        if len(following.chats) >= length:
            yield from _look_far_ahead(following)
        sizes.saw_whole(page)
        return None
    if stop_on == "empty":
        # Servers that filter after paging send short pages, too: fewer still of fewer.
        again = yield Fetch(1, length, resume_page=number, probe="check")
        if len(again.chats) < length:
            return None
    sizes.saw_cap(page)
    return following
