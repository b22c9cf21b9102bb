"""Random events that change a list in each interval."""

import random
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Final

from attrs import asdict, frozen

from plugchat_async._internal.validation import check_int, check_number
from plugchat_async.testing.chat_list import ChatList

# The most events of a kind in an interval.
_MAX_EVENTS: Final = 10_000
# The most chats that WhatsApp pins.
_MAX_PINNED: Final = 3
# The most by which a chat is dated ahead, in seconds.
_MAX_AHEAD: Final = 3600


@frozen(kw_only=True)
class Traffic:
    """The average number of events of each kind in an interval, as `PlugChatSimulator.traffic` describes them.

    Raises:
        InvalidValueError: A value is out of range.
        InvalidTypeError: A value has the wrong type.
    """

    bumps: float = 0.0
    inserts: float = 0.0
    deletes: float = 0.0
    late_bumps: float = 0.0
    ahead_bumps: float = 0.0
    first_bumps: float = 0.0
    bursts: float = 0.0
    put_backs: float = 0.0
    pins: float = 0.0
    archives: float = 0.0
    syncs: float = 0.0
    burst_size: int = 20

    def __attrs_post_init__(self) -> None:
        for name, value in asdict(self).items():
            if name != "burst_size":
                check_number(name, value, maximum=_MAX_EVENTS)
        check_int("burst_size", self.burst_size, minimum=1, maximum=_MAX_EVENTS)


class RandomTraffic:
    """Makes the events of a traffic happen to a list. The same seed makes the same events."""

    def __init__(self, chats: ChatList, traffic: Traffic, *, seed: int) -> None:
        self._chats = chats
        self._random = random.Random(seed)  # noqa: S311 - made-up data
        self._burst_size = traffic.burst_size
        self._rates: Sequence[tuple[Callable[[], object], float]] = (
            (self._bump, traffic.bumps),
            (chats.add, traffic.inserts),
            (self._delete, traffic.deletes),
            (self._bump_late, traffic.late_bumps),
            (self._bump_ahead, traffic.ahead_bumps),
            (self._bump_first, traffic.first_bumps),
            (self._burst, traffic.bursts),
            (self._put_back, traffic.put_backs),
            (self._pin, traffic.pins),
            (self._archive, traffic.archives),
            (chats.sync, traffic.syncs),
        )

    def pass_interval(self) -> None:
        """Make the events of one interval happen, in random order. An event without a fitting chat does nothing."""
        events = [event for event, rate in self._rates for _ in range(self._count(rate))]
        self._random.shuffle(events)
        for event in events:
            event()

    def _count(self, rate: float) -> int:
        """Return a random number of events in an interval. The gaps of a Poisson process are exponential."""
        count, passed = 0, 0.0
        while rate and (passed := passed + self._random.expovariate(rate)) < 1.0:
            count += 1
        return count

    def _bump(self) -> None:
        if self._chats:
            self._chats.receive(self._random.randrange(len(self._chats)), self._chats.now())

    def _delete(self) -> None:
        if self._chats:
            self._chats.remove(self._random.randrange(len(self._chats)))

    def _bump_late(self) -> None:
        chats, timed = self._chats, self._chats.timed
        if timed >= 2 and len(chats) > 2:
            index = self._random.randrange(2, len(chats))
            passed = chats[self._random.randrange(1, min(index, timed))].last_message_time
            assert passed is not None, "rows with a time are in front"
            chats.receive(index, passed)

    def _bump_ahead(self) -> None:
        if self._chats:
            ahead = timedelta(seconds=self._random.randint(1, _MAX_AHEAD))
            self._chats.receive(self._random.randrange(len(self._chats)), self._chats.now() + ahead)

    def _bump_first(self) -> None:
        chats, timed = self._chats, self._chats.timed
        if timed < len(chats):
            chats.receive(self._random.randrange(timed, len(chats)), chats.now())

    def _burst(self) -> None:
        chats, time = self._chats, self._chats.now()
        # A row moves up, so that those behind it keep their indices.
        for index in sorted(self._random.sample(range(len(chats)), min(self._burst_size, len(chats)))):
            chats.receive(index, time)

    def _put_back(self) -> None:
        chats, timed = self._chats, self._chats.timed
        if timed:
            index = self._random.randrange(timed)
            behind = self._random.randrange(index + 1, timed + 1)
            chats.put_back(index, chats[behind].last_message_time if behind < timed else None)

    def _pin(self) -> None:
        for index, pinned in self._choose(self._chats.pinned, most=_MAX_PINNED):
            self._chats.set_pinned(index, pinned=pinned)

    def _archive(self) -> None:
        for index, archived in self._choose(self._chats.archived, most=len(self._chats)):
            self._chats.set_archived(index, archived=archived)

    def _choose(self, marked: Sequence[int], most: int) -> Sequence[tuple[int, bool]]:
        """Return one row to mark (True), or one to unmark (False), as likely where both are possible."""
        known = set(marked)
        others = [index for index in range(len(self._chats)) if index not in known] if len(marked) < most else []
        options = [(rows, mark) for rows, mark in ((others, True), (marked, False)) if rows]
        if not options:
            return ()
        rows, mark = self._random.choice(options)
        return ((self._random.choice(rows), mark),)
