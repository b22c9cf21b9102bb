"""The keys of the chats that a walk has read, in the order in which they were read. A walk may read a million."""

from collections import deque
from collections.abc import Collection, Generator, Iterable, Iterator
from itertools import islice
from typing import Any, Final

import msgspec

# A dictionary of one key more grows once more, and copies all keys in 5 ms.
_PART: Final = 349_525
# How many keys are read at a time for a checkpoint.
_READ_AT_ONCE: Final = 40_000
# How many keys are freed at a time, which takes a millisecond; up to twice as many are freed without a pause.
_FREE_AT_ONCE: Final = 10_000


class SeenKeys:  # noqa: PLW1641 - it changes
    """Keys, each once, in the order in which they were added.

    They are the keys of a few dictionaries. A set would be walked through by each full garbage collection: 46 ms for a
    million keys. A dictionary of texts is not, up to Python 3.13. And none grows so large that its growth takes long.

    Args:
        keys: The first keys (default: none).
    """

    __slots__ = ("_last", "_parts")

    def __init__(self, keys: Iterable[str] = ()) -> None:
        self._last: dict[str, None] = {}
        self._parts = [self._last]
        self.add(list(keys))

    def __len__(self) -> int:
        return sum(map(len, self._parts))

    def __contains__(self, key: object) -> bool:
        return any(key in part for part in self._parts)

    def __iter__(self) -> Iterator[str]:
        for part in self._parts:
            yield from part

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SeenKeys) and set(self) == set(other)

    def __repr__(self) -> str:
        return f"<{len(self)} keys>"

    def has_all(self, keys: Collection[str]) -> bool:
        """Return whether all of some keys were added."""
        return all(map(self.__contains__, keys))

    def known(self, keys: Collection[str]) -> set[str]:
        """Return those of some keys that were added before."""
        found: set[str] = set()
        for part in self._parts:
            found |= part.keys() & keys
        return found

    def add(self, keys: list[str]) -> tuple[int, set[str]]:
        """Add keys.

        Args:
            keys: The keys. One may come several times.

        Returns:
            How many of them are new, and those that are not.
        """
        fresh = dict.fromkeys(keys)
        found = self.known(keys)
        for key in found:
            del fresh[key]
        new = list(fresh)
        while len(self._last) + len(new) > _PART:
            room = _PART - len(self._last)
            self._last.update(dict.fromkeys(new[:room]))
            del new[:room]
            self._last = {}
            self._parts.append(self._last)
        self._last.update(fresh if len(new) == len(fresh) else dict.fromkeys(new))
        return len(fresh), found

    def after(self, count: int) -> list[str]:
        """Return keys that were added after the first `count`, 40,000 at most. Empty: there are no more."""
        for part in self._parts:
            left = len(part) - count
            if left > 0:
                # A dictionary can't be read from its middle: from its end, up to 310,000 keys are skipped, in 3 ms.
                return list(islice(reversed(part), max(0, left - _READ_AT_ONCE), left))[::-1]
            count -= len(part)
        return []

    def free(self) -> Generator[None]:
        """Free the keys of a long list in steps of a millisecond: a million at once would take 50."""
        left = len(self)
        for part in reversed(self._parts):
            while len(part) and left > 2 * _FREE_AT_ONCE:
                some = min(_FREE_AT_ONCE, len(part))
                deque(islice(iter(part.popitem, None), some), maxlen=0)  # a loop of Python's takes 1.7 times as long
                left -= some
                yield


def seen_keys_from(kind: type[Any], value: Any) -> Any:
    """Return the keys of a checkpoint: a `dec_hook` of msgspec."""
    if kind is not SeenKeys:
        raise ValueError("no checkpoint has it")
    return SeenKeys(msgspec.convert(value, list[str]))
