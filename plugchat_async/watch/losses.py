"""Which chats are removed: what a list no longer has is doubted first. Pure.

A gateway whose phone is disconnected, or has just come back, returns an empty or a partial list under a 200. So one
reading never removes a chat. A few chats that are missing are believed after a second reading if it proves that they
are gone, and after a third one without proof. If many are missing at once, or all, they must be missing for ten
minutes, and the phone must be connected.
"""

from collections.abc import Collection, Generator, Mapping, Sequence
from typing import Final

from attrs import frozen
from msgspec import Struct

from plugchat_async._pagination.server_traits import is_much_shorter
from plugchat_async.watch.identity import ROWS_AT_ONCE

# How many readings in a row must miss a chat: a proof needs the second one, since an answer may be partial.
_READINGS_PROVEN: Final = 2
_READINGS_UNPROVEN: Final = 3
# How long a large loss must last, in seconds.
_LARGE_LASTS: Final = 600.0


class Missed(Struct, frozen=True, array_like=True):
    """A chat that the last readings of the whole list did not have.

    Attributes:
        times: The number of readings in a row that did not have it. 0: a poll that read a part of the list has seen it.
        since: When the first of them began, in epoch seconds.
        large: Whether it was part of a large loss in one of them.
    """

    times: int
    since: float
    large: bool


@frozen
class Losses:
    """The chats that count as removed after a reading.

    Attributes:
        missing: All chats that the reading does not have, by key.
        certain: The keys of those that are removed.
        if_connected: The keys of those that are removed if the phone is connected.
        confirmable: Whether the next reading, if it proves the same, removes others.
    """

    missing: dict[str, Missed]
    certain: Sequence[str]
    if_connected: Sequence[str]
    confirmable: bool


NO_LOSSES: Final = Losses({}, (), (), confirmable=False)


def find_losses(
    known: Collection[str],
    missing: Mapping[str, Missed],
    seen: Collection[str],
    excused: Collection[str] = (),
    *,
    proven: bool,
    now: float,
) -> Generator[None, None, Losses]:
    """Return which chats count as removed after a reading of the whole list, in steps.

    A chat of a large loss stays in it until it is seen again: a list that fills up is nearly complete before it is. If
    others of the same loss come back, the ten minutes begin anew.

    Args:
        known: The keys of all known chats.
        missing: The chats that the readings before did not have.
        seen: The keys of the chats that were read.
        excused: The keys of chats that were not, but count as read (default: none).
        proven: Whether it is proven that the list has no other chats.
        now: When the reading began, in epoch seconds.
    """
    unseen = yield from _those(known, seen, excused, read=False)
    large = not seen or is_much_shorter(len(known) - len(unseen), len(known))
    back = yield from _those(missing, seen, excused, read=True)
    recovering = {missing[key].since for key in back if missing[key].large}
    needed = _READINGS_PROVEN if proven else _READINGS_UNPROVEN
    found: dict[str, Missed] = {}
    certain: list[str] = []
    if_connected: list[str] = []
    confirmable = False
    for number, key in enumerate(unseen, 1):
        if number % ROWS_AT_ONCE == 0:
            yield
        before = missing.get(key)
        if before is None or not before.times:
            before = Missed(0, now, large=False)
        # A clock that was set back must not make it last for years.
        since = now if before.since > now or (before.large and before.since in recovering) else before.since
        found[key] = missed = Missed(before.times + 1, since, large or before.large)
        if not missed.large:
            confirmable = confirmable or (proven and missed.times == 1)
            if missed.times >= needed:
                certain.append(key)
        elif missed.times >= needed and now - since >= _LARGE_LASTS:
            if_connected.append(key)
    return Losses(found, certain, if_connected, confirmable)


def _those(
    keys: Collection[str], seen: Collection[str], excused: Collection[str], *, read: bool
) -> Generator[None, None, list[str]]:
    """Return those keys that were read, or count as read, or those that were not."""
    those: list[str] = []
    for number, key in enumerate(keys, 1):
        if number % ROWS_AT_ONCE == 0:
            yield
        if (key in seen or key in excused) is read:
            those.append(key)
    return those
