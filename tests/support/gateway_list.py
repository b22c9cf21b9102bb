"""A chat list with all that gateways' lists do: its rows, the server that answers from it, and what happens to both."""

from collections.abc import Iterable
from datetime import timedelta
from functools import cache
from random import Random
from typing import Literal

from attrs import define

from plugchat_async import Chat, Page, UnexpectedStatusError
from support.moving import EPOCH, Read, Walked, moving

# What happens, and to which row: places count from 0, and past the end from the front again.
Event = tuple[str, int]
# Each event with the number of answers that come before it.
Script = Iterable[tuple[int, Event]]
# As many as WhatsApp lets one pin.
MAX_PINNED = 3
_FAR_AHEAD = 10**6


@define(eq=False)
class Row:
    """A row of the list. Several rows may have one identity, phone and lid: `name` tells them apart."""

    name: str
    time: int | None
    phone: str | None
    lid: str | None = None
    pinned: bool = False
    archived: bool = False
    hidden: bool = False

    def as_chat(self) -> Chat:
        """Return the row as the SDK reads it."""
        return _chat(self.phone, self.name, self.time, self.lid)


@cache
def _chat(phone: str | None, name: str, time: int | None, lid: str | None) -> Chat:
    last = None if time is None else EPOCH + timedelta(seconds=time)
    return Chat(phone, name, last_message_time=last, lid=lid)


@define(kw_only=True)
class Server:
    """What a server makes of a request for a page.

    Attributes:
        cap: The number of rows that a page has at most.
        counts_by_cap: Whether pages are counted in the capped size; else only their rows are cut.
        past_end: What comes past the end: an empty page, a status such as 404, or the first or last page again.
    """

    cap: int | None = None
    counts_by_cap: bool = True
    past_end: Literal["empty", "error", "first", "last"] = "empty"


class GatewayList:
    """A list that moves between answers.

    Attributes:
        rows: The rows, in the list's order: pinned ones, then the newest first, if it is sorted.
        there: The names of the rows that a walk must find: those that were there all the time, and can be seen.
    """

    def __init__(
        self, rows: Iterable[Row], server: Server | None = None, *, restless_ties: bool = False, seed: int = 0
    ) -> None:
        self.rows = list(rows)
        self.there = {row.name for row in self.rows if not row.hidden}
        self._server = server or Server()
        self._restless_ties = restless_ties
        self._random = Random(seed)
        self._now = max((row.time or 0 for row in self.rows if (row.time or 0) < _FAR_AHEAD), default=0)
        self._inserted = 0
        self._next_answer = ""

    def happen(self, event: Event) -> None:
        """Let something happen."""
        kind, place = event
        self._now += 1
        if kind in ("empty", "partial"):
            self._next_answer = kind
        elif kind == "insert":
            self._inserted += 1
            name = f"new{self._inserted}"
            self._put(Row(name, self._now, name))
        elif kind == "burst":
            for _ in range(2 + place % 9):
                self.happen(("bump", self._random.randrange(1000)))
        elif self.rows:
            self._change(kind, place % len(self.rows))

    def _change(self, kind: str, place: int) -> None:
        row = self.rows[place]
        if kind == "swap":
            # Chats of one time come in any order.
            if place + 1 < len(self.rows) and not row.pinned and self.rows[place + 1].time == row.time is not None:
                self.rows[place : place + 2] = self.rows[place + 1], row
            return
        if kind == "pin" and (row.pinned or sum(row.pinned for row in self.rows) == MAX_PINNED):
            return
        if kind == "unpin" and not row.pinned:
            return
        del self.rows[place]
        if kind == "delete":
            self.there.discard(row.name)
            return
        if kind in ("pin", "unpin"):
            row.pinned = not row.pinned
        elif kind == "archive":
            row.archived = not row.archived
        else:
            row.time = self._time_after(kind, row.time)
        self._put(row)

    def _time_after(self, kind: str, time: int | None) -> int | None:
        """Return the time of a row to which a message came: a new one, one dated ahead of now, or a late one."""
        if kind == "bump":
            return max(self._now, time or 0)
        if kind == "ahead":
            return _FAR_AHEAD + self._now
        assert kind == "late"
        # Up, but not to the front.
        return time if time is None else min(time + 5, max(time, self._now - 1))

    def _put(self, row: Row) -> None:
        """Put a row where it belongs by its time. One without a time comes anywhere."""
        pinned = sum(row.pinned for row in self.rows)
        if row.pinned:
            place = 0
        elif row.archived:
            place = len(self.rows)
        elif row.time is None:
            place = self._random.randint(pinned, len(self.rows))
        else:
            older = (i for i, other in enumerate(self.rows) if other.time is not None and other.time < row.time)
            place = next((i for i in older if i >= pinned), len(self.rows))
        self.rows.insert(place, row)

    def page(self, number: int, size: int) -> Page:
        """Return a page of this instant's list."""
        if self._restless_ties:
            self._shuffle_ties()
        rows = self.rows
        answer, self._next_answer = self._next_answer, ""
        if answer:
            rows = rows[: len(rows) // 2] if answer == "partial" else []
        server = self._server
        step = min(size, server.cap) if server.cap and server.counts_by_cap else size
        if (number - 1) * step >= len(rows) and number > 1:
            if server.past_end == "error":
                raise UnexpectedStatusError("there is no such page", status=404)
            if rows and server.past_end != "empty":
                number_there = 1 if server.past_end == "first" else -(-len(rows) // step)
                return Page(number, size, self._chats(rows, number_there, step), b"")
        return Page(number, size, self._chats(rows, number, step), b"")

    def _chats(self, rows: list[Row], number: int, step: int) -> tuple[Chat, ...]:
        shown = rows[(number - 1) * step : number * step][: self._server.cap]
        return tuple(row.as_chat() for row in shown if not row.hidden)

    def _shuffle_ties(self) -> None:
        begin = sum(row.pinned for row in self.rows)
        while begin < len(self.rows):
            end, time = begin + 1, self.rows[begin].time
            while time is not None and end < len(self.rows) and self.rows[end].time == time:
                end += 1
            if end - begin > 1:
                tied = self.rows[begin:end]
                self._random.shuffle(tied)
                self.rows[begin:end] = tied
            begin = end

    def play(self, script: Script) -> Read:
        """Return a function that answers from the list, while a script happens to it."""
        return moving(self, script)


def make_rows(
    count: int,
    *,
    ties: int = 1,
    untimed: float = 0,
    persons: float = 0,
    ahead: int = 0,
    pinned: int = 0,
    hidden: float = 0,
    is_sorted: bool = True,
    seed: int = 0,
) -> list[Row]:
    """Return the rows of a list.

    Args:
        count: How many.
        ties: How many neighbours have one time.
        untimed: The share of rows without a time, which stand anywhere.
        persons: The share of rows that belong to a person who has a row already.
        ahead: How many are dated ahead of now.
        pinned: How many are pinned.
        hidden: The share of rows that the server hides after it has cut a page.
        is_sorted: Whether the list is sorted by time.
        seed: For what is left to chance.
    """
    random = Random(seed)
    rows: list[Row] = []
    for place in range(count):
        time = None if random.random() < untimed else -(place // ties)
        row = Row(str(place), time, str(place), hidden=random.random() < hidden)
        if rows and random.random() < persons:
            # The gateway's rows of one person, of which one has the phone; or the vendor's two names of one phone.
            other = random.choice(rows)
            other.lid = other.lid or f"{other.name}@lid"
            row.phone, row.lid = random.choice([None, other.phone]), other.lid
        rows.append(row)
    if not is_sorted:
        random.shuffle(rows)
    for row in rows[:ahead]:
        row.time = _FAR_AHEAD
    for row in random.sample(rows, min(pinned, count)):
        rows.remove(row)
        rows.insert(0, row)
        row.pinned = True
    return rows


def names_of(walked: Walked) -> list[str]:
    """Return the names of the chats that a walk has delivered."""
    return [chat.name or "" for page in walked.pages for chat in page.chats]


def has_missed(walked: Walked, listed: GatewayList) -> bool:
    """Return whether a walk has missed a row that was there all the time. None may come twice, in any case."""
    names = names_of(walked)
    assert len(names) == len(set(names)), walked.asked
    # It says why it is not verified, or that an empty list is one.
    assert walked.stats.verified or walked.stats.reason
    return not listed.there <= set(names)
