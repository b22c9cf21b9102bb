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
        probe: "exists" asks for a page that may not exist: if a status such as 404 says that it does not, an empty page
            is sent in. "check" asks for a page that the walk can do without: whatever fails, an empty page is sent in.
        next_key: Returns number and size of the request that follows a page if all goes well, so that it can be
            prefetched. None: prefetched pages are stale, and this page is to be requested now.
        outcome: Set by who answers: "refused" if a status said that the page does not exist, "failed" if the request
            failed otherwise. Then the page that is sent in is empty.
    """

    number: int
    size: int
    resume_page: int
    probe: Literal["", "exists", "check"] = ""
    next_key: Callable[[int, int], tuple[int, int]] | None = None
    outcome: Literal["", "refused", "failed"] = ""


class CheckConnection(Struct):
    """Find out whether the phone is connected to WhatsApp. What is sent in is not looked at.

    Attributes:
        connected: Set by who answers: whether it is, or None if nobody knows.
        error: The gateway's own text about it, or None.
    """

    connected: bool | None = None
    error: str | None = None


class YieldPage(Struct):
    """Yield a page to the caller. What is sent in is not looked at."""

    page: Page


Step = FetchPage | CheckConnection | YieldPage
Walk = Generator[Step, Page, None]


def advance(walk: Walk, page: Page) -> Step | None:
    """Send a page into a walk. Return its next step, or None if the list has ended."""
    try:
        return walk.send(page)
    except StopIteration:
        return None


def next_page(number: int, size: int) -> tuple[int, int]:
    """Return the key of the page after a page of the same size."""
    return number + 1, size


def key_of(chat: Chat) -> str:
    """Return the key that a walk remembers a chat by: its identity, which is phone and lid.

    The gateway lists a person in several rows, and the vendor's page has two chats of one phone: how rows of one key
    are told apart is in `remember`. What other calls list may have no lid.
    """
    return f"{chat.phone or ''}\n{getattr(chat, 'lid', None) or ''}"


def ordered_keys(page: Page) -> list[str]:
    """Return the keys of a page's chats, in order, then those of its unreadable rows, which take places, too."""
    try:
        # As `key_of`: a call for each chat would take 0.05 µs more.
        keys = [f"{chat.phone or ''}\n{chat.lid or ''}" for chat in page.chats]
    except AttributeError:
        keys = [key_of(chat) for chat in page.chats]
    keys += page.unreadable_keys
    return keys


def chat_keys(page: Page) -> frozenset[str]:
    """Return the keys of a page's chats."""
    return frozenset(ordered_keys(page))


def rows_of(page: Page) -> frozenset[object]:
    """Return the rows of a page, to compare it with another one of nearly the same instant."""
    return frozenset([*page.chats, *page.unreadable_keys])
