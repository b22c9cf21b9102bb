"""The chats of a snapshot as they were at one moment, though it changes while they are read. Pure."""

from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from threading import Lock

from plugchat_async.models import Chat


class SteadyItems:
    """The keys and chats of a dictionary as it is now, the last ones first.

    Nothing is copied unless the dictionary changes before all are taken, which must be announced by `detach`: a copy of
    200,000 chats keeps the event loop for 6 to 14 ms, and few saves overlap with a change.

    Args:
        chats: The dictionary.
    """

    def __init__(self, chats: dict[str, Chat]) -> None:
        self._items: Iterator[tuple[str, Chat]] = reversed(chats.items())
        self._taking = Lock()  # a state may be saved in a thread

    def take(self, count: int) -> list[tuple[str, Chat]]:
        """Return the next ones, as many as `count` at most."""
        with self._taking:
            return list(islice(self._items, count))

    def detach(self) -> None:
        """Copy those that were not taken yet. The dictionary may change afterwards."""
        with self._taking:
            self._items = iter(list(self._items))


class Readers:
    """Those that read a dictionary while it may change."""

    def __init__(self) -> None:
        self._reading: list[SteadyItems] = []

    @contextmanager
    def items(self, chats: dict[str, Chat]) -> Generator[SteadyItems]:
        """Lend the keys and chats of the dictionary as it is now, the last ones first."""
        items = SteadyItems(chats)
        self._reading.append(items)
        try:
            yield items
        finally:
            with suppress(ValueError):  # the dictionary has changed
                self._reading.remove(items)

    def before_change(self) -> None:
        """Let them copy what they have not read yet. Call this before each change of the dictionary."""
        while self._reading:
            self._reading.pop().detach()
