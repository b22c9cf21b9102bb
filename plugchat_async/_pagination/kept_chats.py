"""Chats that a walk keeps, to compare them with rows that it reads later.

Most are never looked at again. So the body of their page is kept, and is read again when one of them is needed: that
saves `exact` 0.6 µs a chat, and long garbage collections. `strict` reads all rows again in its second scan, so it keeps
the chats.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from itertools import chain
from typing import Final, TypeAlias

from msgspec import Struct

from plugchat_async._internal.steps import finish
from plugchat_async.models import Chat, Page

# Reads the chats of a page's body again, in steps.
Reread: TypeAlias = Callable[[bytes], Generator[None, None, tuple[Chat, ...]]]

# Bodies with more bytes for each chat are not kept: they have keys that chats have not.
_MAX_BYTES: Final = 1024


class KeptPage(Struct):
    """The chats of a page.

    Attributes:
        keys: The key of each chat.
        raw: The body of the page, or b"" if the chats are kept.
        chats: The chats, or None if the body is kept.
        reread: Reads them.
    """

    keys: list[str]
    raw: bytes
    chats: Sequence[Chat] | None
    reread: Reread | None

    def read(self) -> Sequence[Chat]:
        """Return the chats. They are kept from now on: who needs one of them usually needs them again."""
        if self.chats is None:
            self.chats, self.raw = finish(self.read_in_steps()), b""
        return self.chats

    def read_in_steps(self) -> Generator[None, None, Sequence[Chat]]:
        """Return the chats, with a pause after every few hundred microseconds."""
        if self.chats is not None:
            return self.chats
        assert self.reread is not None
        return (yield from self.reread(self.raw))


def kept(page: Page, keys: list[str], reread: Reread | None) -> KeptPage:
    """Return all chats of a page, to keep them.

    Args:
        page: The page, as it was fetched.
        keys: The keys of its rows; those behind its chats' are left out.
        reread: Reads its body again. None: the chats are kept, as they are where the body is large for them, or slow
            to read since it has values that can't be read.
    """
    keys = keys if len(keys) == len(page.chats) else keys[: len(page.chats)]
    if reread is None or not page.raw or page.problem_count or len(page.raw) > _MAX_BYTES * len(page.chats):
        return KeptPage(keys, b"", page.chats, None)
    return KeptPage(keys, page.raw, None, reread)


class YieldedChats:  # noqa: PLW1641 - it changes
    """The chats that a walk has yielded, by key.

    Attributes:
        pages: The kept pages, in the order in which they were yielded.
    """

    def __init__(self) -> None:
        self.pages: list[KeptPage] = []
        self._found = 0  # of how many pages `_first` has the chats
        # The first chat of each key, or its page if that was not read again; and the others.
        self._first: dict[str, Chat | KeptPage] = {}
        self._others: dict[str, list[Chat]] = {}

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, YieldedChats):
            return NotImplemented
        return [(page.keys, page.read()) for page in self.pages] == [(page.keys, page.read()) for page in other.pages]

    def keep(self, keys: list[str], chats: Sequence[Chat]) -> None:
        """Keep chats of any keys."""
        if chats:
            self.pages.append(KeptPage(keys, b"", chats, None))

    def keep_page(self, page: KeptPage) -> None:
        """Keep a page of which each key is new: no chat of it was kept before."""
        if page.keys:
            self.pages.append(page)

    def of(self, key: str) -> Sequence[Chat]:
        """Return the chats of a key, in the order in which they were yielded."""
        while self._found < len(self.pages):
            self._find(self.pages[self._found])
            self._found += 1
        first = self._first.get(key)
        if first is None:
            return ()
        if isinstance(first, KeptPage):
            # Its neighbours are usually needed next.
            self._first.update(zip(first.keys, first.read(), strict=True))
            return self.of(key)
        others = self._others.get(key) if self._others else None
        return (first, *others) if others else (first,)

    def clear(self) -> None:
        """Forget all chats."""
        self.pages.clear()
        self._first.clear()
        self._others.clear()
        self._found = 0

    def _find(self, page: KeptPage) -> None:
        if page.chats is None:
            self._first.update(dict.fromkeys(page.keys, page))
            return
        for key, chat in zip(page.keys, page.chats, strict=True):
            if key in self._first:
                self._others.setdefault(key, []).append(chat)
            else:
                self._first[key] = chat


class KeptRows:
    """The rows of a pass, in the order of the list.

    Attributes:
        pages: The kept pages.
        length: The number of rows.
    """

    def __init__(self) -> None:
        self.pages: list[KeptPage] = []
        self.length = 0
        self._begins: list[int] = []  # how many rows are before each page

    def add(self, page: KeptPage) -> None:
        """Add the next page."""
        self.pages.append(page)
        self._begins.append(self.length)
        self.length += len(page.keys)

    def has_at(self, place: int, page: KeptPage, chats: Sequence[Chat]) -> bool:
        """Return whether it has the rows of a page of another pass, at the same place.

        Args:
            place: The number of rows before the page.
            page: The page.
            chats: Its chats.
        """
        number = bisect_right(self._begins, place) - 1
        if page.raw and number >= 0 and self._begins[number] == place and page.raw == self.pages[number].raw:
            return True
        while chats and 0 <= number < len(self.pages):
            part = self.pages[number].read()[place - self._begins[number] :][: len(chats)]
            if tuple(part) != tuple(chats[: len(part)]):
                return False
            place, chats, number = place + len(part), chats[len(part) :], number + 1
        return not chats

    def repeated_keys(self) -> set[str]:
        """Return the keys that several rows have."""
        return {key for key, count in Counter(self._keys()).items() if count > 1}

    def count_keys(self) -> int:
        """Return the number of keys."""
        return len(set(self._keys()))

    def _keys(self) -> Iterator[str]:
        return chain.from_iterable(page.keys for page in self.pages)
