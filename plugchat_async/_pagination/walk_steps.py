"""The steps of a walk. A walk is a generator without I/O: it yields steps, and pages are sent into it."""

from collections.abc import Callable, Generator
from typing import Literal

from msgspec import Struct

from plugchat_async.models import Chat, Page


class FetchPage(Struct):
    """Request a page and send it into the walk.

    Attributes:
        number: The page's number, from 1.
        size: The number of chats to ask for.
        resume_page: The `page` of an error that comes of this request.
        probe: "check" asks whether the page exists: if a status such as 404 says that it does not, an empty page is
            sent in. "far" asks for a page past any end: every error may mean that, and an empty page is sent in.
        next_key: Returns number and size of the request that follows a page if all goes well, so that it can be
            prefetched. None: prefetched pages are stale, and this page is to be requested now.
    """

    number: int
    size: int
    resume_page: int
    probe: Literal["", "check", "far"] = ""
    next_key: Callable[[int, int], tuple[int, int]] | None = None


class PeekPage(Struct):
    """Send in a page if it was prefetched and has arrived; if not, an empty one."""

    number: int
    size: int


class YieldPage(Struct):
    """Yield a page to the caller. What is sent in is not looked at."""

    page: Page


Step = FetchPage | PeekPage | YieldPage
Walk = Generator[Step, Page, None]


def advance(walk: Walk, page: Page) -> Step | None:
    """Send a page into a walk. Return its next step, or None if the list has ended."""
    try:
        return walk.send(page)
    except StopIteration:
        return None


def key_of(chat: Chat) -> str:
    """Return the key that identifies a row of a list: its phone, else its lid with its name.

    The gateway lists one person in several rows without a phone, all with the same lid.
    """
    return chat.phone or f"{chat.lid}\n{chat.name or ''}"


def ordered_keys(page: Page) -> list[str]:
    """Return the keys of a page's chats, in order, then those of its unreadable rows, which take places, too."""
    keys = [chat.phone or key_of(chat) for chat in page.chats]  # a call for each would take 0.05 µs more
    keys += page.unreadable_keys
    return keys


def chat_keys(page: Page) -> frozenset[str]:
    """Return the keys of a page's chats."""
    return frozenset(ordered_keys(page))
