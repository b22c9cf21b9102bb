"""`plain`: every chat as it comes. The vendor's contract, nothing else."""

from attrs import define, field

from plugchat_async._pagination.sequential import PageResult, WalkContext, read_pages
from plugchat_async._pagination.state import WalkState
from plugchat_async._pagination.steps import Walk, chat_keys, key_of
from plugchat_async.models import Page


def plain(state: WalkState, context: WalkContext) -> Walk:
    """Pages in order until one is short (or, if asked so, empty)."""
    context.stats.reason = 'consistency="plain" proves nothing'
    yield from read_pages(state, context, _Plain(context), ahead=context.ahead)


@define(eq=False, repr=False)
class _Plain:
    """Takes pages as they are, and remembers just enough to know one again.

    _fingerprints: of pages, not of chats: a walk of a million chats keeps ten thousand ints.
    """

    _context: WalkContext
    _fingerprints: set[int] = field(factory=set[int])
    _first: str | None = None

    def take(self, page: Page) -> PageResult:
        """Read a page."""
        keys = chat_keys(page)
        # A list that goes round comes back to its first chat, on whichever place of a page.
        repeats = hash(keys) in self._fingerprints or self._first in keys
        self._fingerprints.add(hash(keys))
        if self._first is None:
            self._first = key_of(page.chats[0])
        self._context.stats.chats += len(page.chats)
        return PageResult(page, repeats)
