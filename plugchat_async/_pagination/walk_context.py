"""What a walker needs in addition to its state, and the reasons for which a walk is not verified."""

from typing import Final, Literal

from msgspec import Struct

from plugchat_async._pagination.kept_chats import Reread
from plugchat_async._pagination.server_traits import ListMemory, honours, record_refused, size_up_to
from plugchat_async._pagination.walk_state import WalkState
from plugchat_async.models import Page
from plugchat_async.server_traits import ServerTraits

EMPTY: Final = "the list is empty"
NOT_CHECKED: Final = "a short page is not known to be the end of the list"
HIDDEN_ROWS: Final = "the server sends short pages in the middle of the list"
SHRUNK: Final = "the list became shorter while it was read: chats were deleted, or an answer had only a part of them"

Verdict = Literal["end", "unproven", "more"] | Page
"""What a check of a page says: "end", "more" pages follow, "unproven": it is taken for the end, but nothing shows that.
A page: the list goes on with it."""


class WalkStats(Struct):
    """The part of a `WalkReport` that the walkers count; see there."""

    pages: int = 0
    chats: int = 0
    duplicates: int = 0
    recovered: int = 0
    passes: int = 0
    verified: bool = False
    reason: str = ""


class WalkContext(Struct):
    """What a walker needs in addition to its state.

    Attributes:
        max_pages: The number of pages to read in one pass, at most.
        traits: What is known of the server.
        memory: What is known of the list.
        max_page_size: The largest page size to request, at least `page_size`.
        ahead: Whether pages may be prefetched.
        stats: What the walker counts.
        reread: Reads the body of a page again. None: chats are kept where they may be needed again.
        expected: The number of rows that the list had at the last walk, when this one began. Another walk of the
            session may change `memory` meanwhile.
    """

    max_pages: int
    traits: ServerTraits
    memory: ListMemory
    max_page_size: int
    ahead: bool
    stats: WalkStats
    reread: Reread | None = None
    expected: int | None = None

    def __post_init__(self) -> None:
        self.expected = self.memory.length


def whole_size(state: WalkState, context: WalkContext) -> int:
    """Return the size of the page that may hold the whole list: more than `page_size`, or as many."""
    size = max(context.max_page_size, state.config.page_size)
    return size if honours(context.traits, size) else state.size


def refuse_size(state: WalkState, context: WalkContext, *, refused: bool) -> None:
    """Go on with pages of `page_size`, since a larger page has failed."""
    if refused:
        record_refused(context.traits, state.size)
    context.max_page_size = state.config.page_size
    state.size = size_up_to(context.traits, state.config.page_size)
