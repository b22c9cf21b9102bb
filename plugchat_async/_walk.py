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

from plugchat_async.errors import PageLimitError, PageRepeatedError
from plugchat_async.models import Page

logger = logging.getLogger("plugchat_async.walk")

StopOn = Literal["short", "empty"]

# A server that counts pages answers this far past any end with nothing.
FAR_PAGES = 1_000_000


@frozen
class Fetch:
    """Ask for a page, and send it back into the walk.

    resume_page: where to go on if the request fails.
    probe: the page is asked for to learn whether it exists. Where a status such as 404 says that it does not, an empty
        page is sent back.
    """

    number: int
    size: int
    resume_page: int
    probe: bool = False


@frozen
class Deliver:
    """Give a page to the caller."""

    page: Page


# What is sent back after `Deliver` is not looked at.
Walk = Generator[Fetch | Deliver, Page, None]


@define
class PageSizes:
    """What a session has learnt about its server's page sizes.

    cap: the size that the server caps pages to, once that has been seen.
    """

    cap: int | None = None
    _longest: int = field(default=0, init=False)
    _whole: frozenset[str] = field(default=frozenset(), init=False)

    def effective(self, page_size: int) -> int:
        """Give the size to ask for: a cap that is known is asked for openly, so that short pages mean the end."""
        return page_size if self.cap is None else min(page_size, self.cap)

    def suspects(self, page: Page) -> bool:
        """Tell whether a short first page may be a full page of a smaller size than was asked for.

        Caps are round numbers. A longer page seen before clears it; so does having checked these same chats.
        """
        length = len(page.chats)
        return is_round(length) and length >= self._longest and _phones(page) != self._whole

    def saw(self, page: Page) -> None:
        """Note a page that holds as many chats as were asked for: sizes up to its own are honoured."""
        self._longest = max(self._longest, len(page.chats))

    def saw_whole(self, page: Page) -> None:
        """Note that the page was checked and is the whole list."""
        self._whole = _phones(page)


def is_round(length: int) -> bool:
    """Tell whether people choose `length` as a cap: a multiple of 10 or 25, or a power of two from 16."""
    return length > 0 and (length % 10 == 0 or length % 25 == 0 or (length >= 16 and length.bit_count() == 1))


def _phones(page: Page) -> frozenset[str]:
    return frozenset(chat.phone for chat in page.chats)


def walk_plain(*, page_size: int, start_page: int, stop_on: StopOn, max_pages: int, sizes: PageSizes) -> Walk:
    """Pages in order until one is short (or, if asked so, empty); every chat as it comes.

    Raises PageRepeatedError and PageLimitError, both with `page` set to where the walk stands.
    """
    size = sizes.effective(page_size)
    number = start_page
    fingerprints: set[int] = set()  # of pages, not of chats: a walk of a million chats keeps ten thousand ints
    probed = False
    page = yield Fetch(number, size, resume_page=number)
    while page.chats:
        ends = page.is_last and stop_on == "short"
        fingerprint = hash(_phones(page))
        if fingerprint in fingerprints and not ends and not probed:
            # Small pages of a busy account repeat honestly, too; only the server knows.
            probed = True
            far = yield Fetch(number + FAR_PAGES, size, resume_page=number, probe=True)
            if far.chats:
                raise PageRepeatedError(
                    f"page {number} repeats an earlier page, and page {far.number} is not empty",
                    page=number,
                    page_size=size,
                )
        fingerprints.add(fingerprint)
        yield Deliver(page)
        number += 1
        following: Page | None = None
        if ends:
            if number > start_page + 1 or not sizes.suspects(page):
                return
            length = len(page.chats)
            following = yield Fetch(number, length, resume_page=number, probe=True)
            # A list that moved meanwhile shows a chat again; only a capped one has new chats there.
            if _phones(following) <= _phones(page):
                sizes.saw_whole(page)
                return
            logger.warning("the server caps pageSize=%d to %d: going on with pages of %d", size, length, length)
            sizes.cap = size = length
        elif not page.is_last:
            sizes.saw(page)
        if number - start_page == max_pages:
            raise PageLimitError(f"the list goes on after max_pages={max_pages} pages", page=number, page_size=size)
        page = following or (yield Fetch(number, size, resume_page=number))
