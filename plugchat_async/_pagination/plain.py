"""`plain`: every chat as it comes. The vendor's contract, nothing else."""

from attrs import define, field

from plugchat_async._pagination.sequential import Taken, Terms, read_pages
from plugchat_async._pagination.state import Standing
from plugchat_async._pagination.steps import Walk, key_of, keys_of
from plugchat_async.models import Page


def plain(standing: Standing, terms: Terms) -> Walk:
    """Pages in order until one is short (or, if asked so, empty)."""
    terms.ledger.reason = 'consistency="plain" proves nothing'
    yield from read_pages(standing, terms, _Plain(terms), ahead=terms.ahead)


@define(eq=False, repr=False)
class _Plain:
    """Takes pages as they are, and remembers just enough to know one again.

    _fingerprints: of pages, not of chats: a walk of a million chats keeps ten thousand ints.
    """

    _terms: Terms
    _fingerprints: set[int] = field(factory=set[int])
    _first: str | None = None

    def take(self, page: Page) -> Taken:
        """Read a page."""
        keys = keys_of(page)
        # A list that goes round comes back to its first chat, on whichever place of a page.
        repeats = hash(keys) in self._fingerprints or self._first in keys
        self._fingerprints.add(hash(keys))
        if self._first is None:
            self._first = key_of(page.chats[0])
        self._terms.ledger.chats += len(page.chats)
        return Taken(page, repeats)
