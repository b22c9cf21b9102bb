"""Dictionaries of a snapshot as they were at one moment, though they change while they are read. Pure.

A snapshot, and what reads it, is used in one thread.
"""

from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class CopyOnWriteItems(Generic[T]):
    """The keys and values of a dictionary as it is now, the last ones first.

    Nothing is copied unless the dictionary changes before all are taken, which must be announced by `copy_now`: a copy
    of 200,000 chats blocks the event loop for some 10 ms, and few saves overlap with a change.

    Args:
        items: The dictionary.
    """

    def __init__(self, items: dict[str, T]) -> None:
        self._source = items
        self._taken = 0
        self._items: Iterator[tuple[str, T]] = reversed(items.items())

    def take(self, count: int) -> list[tuple[str, T]]:
        """Return the next ones, as many as `count` at most."""
        taken = list(islice(self._items, count))
        self._taken += len(taken)
        return taken

    def copy_now(self) -> None:
        """Copy those that were not taken yet. The dictionary may change afterwards."""
        # Two lists, not one of pairs: that takes 20 times as long, since the garbage collector goes through the pairs.
        keys = list(islice(reversed(self._source), self._taken, None))
        values = list(islice(reversed(self._source.values()), self._taken, None))
        self._items = zip(keys, values, strict=True)


class Readers:
    """Those that read dictionaries while these may change."""

    def __init__(self) -> None:
        self._reading: list[CopyOnWriteItems[Any]] = []

    @contextmanager
    def read(self, items: dict[str, T]) -> Generator[CopyOnWriteItems[T]]:
        """Lend the keys and values of a dictionary as it is now, the last ones first."""
        lent = CopyOnWriteItems(items)
        self._reading.append(lent)
        try:
            yield lent
        finally:
            with suppress(ValueError):  # there was a change
                self._reading.remove(lent)

    def before_change(self) -> None:
        """Let them copy what they have not read yet. Call this before each change of one of the dictionaries."""
        while self._reading:
            self._reading.pop().copy_now()
