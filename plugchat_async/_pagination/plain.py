"""`plain`: the pages as the server sends them, until one is short. The vendor's contract, and nothing else."""

from attrs import define, evolve, field

from plugchat_async._pagination.until_last_page import PageResult, read_pages
from plugchat_async._pagination.walk_context import EMPTY, Verdict, WalkContext
from plugchat_async._pagination.walk_state import WalkState
from plugchat_async._pagination.walk_steps import Walk, chat_keys, ordered_keys
from plugchat_async.models import Page


def plain(state: WalkState, context: WalkContext) -> Walk:
    """Read pages in order until one is short, or empty with stop_on="empty"."""
    yield from read_pages(state, context, _Plain(context), ahead=context.ahead, by_contract=True)
    if context.stats.reason != EMPTY:
        context.stats.reason = 'consistency="plain" proves nothing'


@define(eq=False, repr=False)
class _Plain:
    """Takes pages as they are, and remembers just enough to recognise a repeated one.

    Attributes:
        _fingerprints: One for each page, not for each chat: a walk of a million chats keeps ten thousand ints.
        _first: The key of the first chat.
        _last: The page that was read last: its number and length.
    """

    _context: WalkContext
    _fingerprints: set[int] = field(factory=set[int])
    _first: str | None = None
    _last: tuple[int, int] = (0, 0)

    def read(self, page: Page) -> PageResult:
        """Read a page. One that comes again, since it was cut before, is yielded from there on."""
        number, length = self._last
        self._last = page.number, len(page.chats)
        if page.number == number:
            page = evolve(page, chats=page.chats[length:])
            self._context.stats.chats += len(page.chats)
            return PageResult(page, repeats=False)
        keys = chat_keys(page)
        # A list that starts again has its first chat at any place of a page.
        repeats = hash(keys) in self._fingerprints or self._first in keys
        self._fingerprints.add(hash(keys))
        if self._first is None:
            self._first = ordered_keys(page)[0]
        self._context.stats.chats += len(page.chats)
        return PageResult(page, repeats)

    def end(self, rows: int, verdict: Verdict) -> None:
        """Nothing follows from it: the contract proves nothing."""
