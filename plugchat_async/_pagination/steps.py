"""The steps that a walk is made of. A walk is a generator that does no I/O: it yields steps, and is sent pages."""

from collections.abc import Callable, Generator
from typing import Literal

from msgspec import Struct

from plugchat_async.models import Chat, Page


class FetchPage(Struct):
    """Ask for a page, and send it back into the walk.

    resume_page: what an error that comes of it gives as its `page`.
    probe: "check" asks whether the page exists: where a status such as 404 says that it does not, an empty page is sent
        back. "far" asks past any end: there every error may mean so, and an empty page is sent back.
    after: gives the number and size of the request that will follow a page, if all goes well; so it can be made ahead
        of time. None: what was asked for ahead is of no use any more, and this page is to be read now.
    """

    number: int
    size: int
    resume_page: int
    probe: Literal["", "check", "far"] = ""
    after: Callable[[int, int], tuple[int, int]] | None = None


class PeekPage(Struct):
    """Send back a page if it has already arrived, having been asked for ahead; if not, an empty one."""

    number: int
    size: int


class YieldPage(Struct):
    """Give a page to the caller. What is sent back is not looked at."""

    page: Page


Step = FetchPage | PeekPage | YieldPage
Walk = Generator[Step, Page, None]


def advance(walk: Walk, page: Page) -> Step | None:
    """Send a page into the walk and give its next step, or None if the list has ended."""
    try:
        return walk.send(page)
    except StopIteration:
        return None


def key_of(chat: Chat) -> str:
    """Return what tells a row of a list from all others: its phone, else its lid with its name.

    The gateway lists one person in several rows without a phone, all with the same lid.
    """
    return chat.phone or f"{chat.lid}\n{chat.name or ''}"


def ordered_keys(page: Page) -> list[str]:
    """Return the keys of a page's chats, in order, and then those of its unreadable rows, which take places, too."""
    keys = [chat.phone or key_of(chat) for chat in page.chats]  # a call for each would take 0.05 µs more
    keys += page.unreadable_keys
    return keys


def chat_keys(page: Page) -> frozenset[str]:
    """Return the keys of a page's chats."""
    return frozenset(ordered_keys(page))
