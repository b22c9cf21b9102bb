"""What walks learn about a server, see `ServerTraits`, and about an account's list."""

import logging

from attrs import define, field

from plugchat_async._pagination.account_mark import new_salt
from plugchat_async.models import Page
from plugchat_async.server_traits import ServerTraits

logger = logging.getLogger("plugchat_async.walk")


def may_be_cut(traits: ServerTraits, page: Page) -> bool:
    """Return whether a short page may be a full one of a size that the server caps."""
    return page.length < page.size and page.length >= traits.longest_page


def record_page(traits: ServerTraits, page: Page) -> None:
    """Remember how many rows a page had. A server that ignores `pageSize` may send more than were requested."""
    traits.longest_page = max(traits.longest_page, min(page.length, page.size))


def record_cap(traits: ServerTraits, asked: int, length: int) -> None:
    """Remember that the server caps a page size to a length, and log it the first time."""
    if traits.max_page_size != length:
        traits.max_page_size = length
        fields = {"plugchat_page_size": asked, "plugchat_capped_to": length}
        logger.warning(
            "the server caps pageSize=%d to %d: continuing with pages of %d", asked, length, length, extra=fields
        )


def record_hidden_rows(traits: ServerTraits, page: Page) -> None:
    """Remember that a page in the middle of a list was short, and log it the first time."""
    if traits.short_pages != "anywhere":
        traits.short_pages = "anywhere"
        fields = {"plugchat_page": page.number, "plugchat_page_size": page.size}
        logger.warning(
            "page %d has %d of %d chats, and is not the last one: walks go on to an empty page from now on",
            page.number,
            page.length,
            page.size,
            extra=fields,
        )


def record_refused(traits: ServerTraits, size: int) -> None:
    """Remember that the server refuses a page size."""
    traits.refused_page_size = min(size, traits.refused_page_size or size)


def record_end(traits: ServerTraits, *, refused: bool = False, empty: bool = False) -> None:
    """Remember that a short page was checked, and is the end, and whether what follows it was refused or empty."""
    if traits.short_pages is None:
        traits.short_pages = "end"
    if refused:
        traits.past_end = "error"
    elif empty and traits.past_end is None:
        traits.past_end = "empty"


def size_up_to(traits: ServerTraits, wanted: int) -> int:
    """Return the page size to request instead of a wanted one: the cap, if that is smaller."""
    return wanted if traits.max_page_size is None else min(wanted, traits.max_page_size)


def honours(traits: ServerTraits, size: int) -> bool:
    """Return whether nothing is known that speaks against a page size."""
    return size_up_to(traits, size) == size and (traits.refused_page_size is None or size < traits.refused_page_size)


def is_much_shorter(length: int, before: int) -> bool:
    """Return whether a list has lost more rows than people delete in a while: more than three, and than a tenth."""
    return before - length > max(3, before // 10)


@define(eq=False, repr=False)
class ListMemory:
    """What is known of one account's list from an earlier walk of the session.

    Attributes:
        length: The number of rows that the list had when it was last read as a whole, or None.
        keys: The keys of its rows if one page held it, else nothing.
        salt: The key with which the session marks checkpoints.
    """

    length: int | None = None
    keys: frozenset[str] = frozenset()
    salt: str = field(factory=new_salt, eq=False, repr=False)

    def is_shorter(self, length: int) -> bool:
        """Return whether the list has lost more rows than people delete between two walks."""
        return self.length is not None and is_much_shorter(length, self.length)

    def record(self, length: int, keys: frozenset[str] = frozenset()) -> None:
        """Remember a list that was read as a whole."""
        self.length, self.keys = length, keys
