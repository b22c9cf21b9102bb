"""Watching lists as they really are: empty or partial for a while, lagging, syncing, with persons in several rows."""

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import aclosing, suppress
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, cast

import pytest
from attrs import define, evolve, field
from hypothesis import given, settings
from hypothesis import strategies as st

from plugchat_async import (
    AccountStatus,
    Chat,
    ChatAdded,
    ChatChanged,
    ChatEvent,
    NotConnectedError,
    Page,
    ServerError,
    WatchState,
)
from plugchat_async._internal.clock import Clock
from plugchat_async._pagination.options import WalkSettings
from plugchat_async.server_traits import ServerTraits
from plugchat_async.watch.deps import WatchDeps
from plugchat_async.watch.options import WatchSettings
from plugchat_async.watch.watcher import Watch
from support.fakes import run_apart

INTERVAL = 30.0
START = 1_768_000_000.0


@define(slots=False)
class Gateway:
    """A list in memory, and what an answer shows of it. A chat's picture is its number, which identifies it."""

    seed: int
    size: int
    twins: bool
    clock_is_right: bool
    trusting: bool
    now: float = START
    chats: list[Chat] = field(factory=list[Chat])  # in the list's order
    before: list[Chat] = field(factory=list[Chat])  # as a replica that lags has them
    hidden: set[str] = field(factory=set[str])
    empty: bool = False
    lagging: bool = False
    connected: bool = True
    syncs: bool = False
    requests: int = 0
    made: int = 0
    deleted: set[str] = field(factory=set[str])
    written: set[str] = field(factory=set[str])
    changed: dict[tuple[str | None, ...], set[str]] = field(factory=dict[tuple[str | None, ...], set[str]])

    def __attrs_post_init__(self) -> None:
        self.chance = Random(self.seed)
        # Else a short page may always be cut.
        self.traits = ServerTraits(longest_page=10**6, short_pages="end") if self.trusting else ServerTraits()

    def time(self) -> datetime:
        return datetime.fromtimestamp(self.now, UTC)

    def make(self, time: datetime | None, like: Chat | None = None) -> Chat:
        """Make a chat, or another row of one that is there."""
        self.made += 1
        phone = f"55{self.made}" if self.chance.random() < 0.5 else None
        chat = Chat(phone, f"n{self.made}", 0, time, lid=f"{self.made}@lid")
        if like is not None:
            name = self.chance.choice([like.name, None, f"n{self.made}"])
            chat = evolve(like, name=name, last_message_time=time)
        return evolve(chat, profile_thumbnail=str(self.made))

    def fill(self, count: int) -> None:
        for number in range(count):
            time = self.time() - timedelta(hours=1 + 2 * number, seconds=self.chance.randrange(3600))
            no_time = self.chance.random() < 0.4
            like = self.chance.choice(self.chats) if self.twins and self.chats and self.chance.random() < 0.4 else None
            self.chats.append(self.make(None if no_time else time, like))
        self.sort()

    def sort(self) -> None:
        oldest = datetime.min.replace(tzinfo=UTC)
        self.chats.sort(key=lambda chat: (bool(chat.is_pinned), chat.last_message_time or oldest), reverse=True)

    def move(self, kinds: str) -> None:
        """Let something happen to the list."""
        self.now += 1
        kind = self.chance.choice(kinds)
        chat = self.chance.choice(self.chats) if self.chats else None
        if kind == "n" or chat is None:
            self.chats.append(self.make(self.time()))
        elif not self.is_doubtful(kind, chat):
            self.change(kind, chat)
        self.sort()

    def change(self, kind: str, chat: Chat) -> None:
        if kind == "d":
            self.chats.remove(chat)
            self.deleted.add(number_of(chat))
        else:
            self.written |= {number_of(chat)} if kind == "m" else set()
            pinned = sum(bool(other.is_pinned) for other in self.chats)
            self.chats[self.chats.index(chat)] = {
                "m": evolve(chat, unread=chat.unread + 1, last_message_time=self.time()),
                "r": evolve(chat, unread=0),
                "p": evolve(chat, is_pinned=not chat.is_pinned and pinned < 3),
                "t": evolve(chat, name=f"renamed {self.now}"),
            }[kind]

    def is_doubtful(self, kind: str, chat: Chat) -> bool:
        """Return whether nobody could tell which row changed: two of a person, or its name and its time, at once."""
        rows = [other for other in self.chats if person_of(other) == person_of(chat)]
        if len(rows) > 1 and (kind == "d" or self.syncs or self.hidden or self.lagging or self.empty):
            return True
        kinds = self.changed.setdefault(person_of(chat), set())
        if kinds and (kinds != {kind} or len(rows) > 1 or kind == "d"):
            return True
        kinds.add(kind)
        return False

    def begin_interval(self) -> None:
        """Note what a replica that lags has from now on, and let the time to the next poll pass."""
        self.before = list(self.chats)
        if not (self.hidden or self.lagging or self.empty):
            self.changed.clear()
        self.now += INTERVAL

    def show_all(self) -> None:
        self.hidden, self.empty, self.lagging, self.connected = set(), False, False, True

    def shown(self) -> list[Chat]:
        if self.empty:
            return []
        chats = self.before if self.lagging and self.chance.random() < 0.5 else self.chats
        return [chat for chat in chats if chat.profile_thumbnail not in self.hidden]

    async def fetch(self, number: int, size: int) -> Page:
        self.requests += 1
        rows = self.shown()[(number - 1) * size : number * size]
        return Page(number, size, tuple(rows), b"")

    def walk(self, _: WalkSettings) -> "OneAnswer":
        return OneAnswer(self)

    async def status(self) -> AccountStatus:
        if self.connected and self.chance.random() < 0.2:
            raise ServerError("down")
        return AccountStatus(connected=self.connected)

    async def pause(self, _: float) -> None:
        """Nothing waits: each watch polls once."""

    def watch(self, state: WatchState) -> Watch:
        offset = 0.0 if self.clock_is_right else -7e8
        clock = Clock(monotonic=lambda: self.now, time=lambda: self.now + offset)
        walk = cast("Any", self.walk)
        deps = WatchDeps(self.fetch, walk, self.pause, self.traits, clock, self.status)
        return Watch(deps, WatchSettings(page_size=self.size, state=state, max_polls=1, interval=INTERVAL))


@define
class OneAnswer:
    """A walk that gets the whole list in one answer."""

    gateway: Gateway
    saw_unreadable: bool = False

    async def pages(self) -> AsyncIterator[Page]:
        yield await self.gateway.fetch(1, 10_000)

    async def discard(self) -> None:
        """It holds nothing."""


def person_of(chat: Chat) -> tuple[str | None, ...]:
    return chat.phone, chat.lid


def number_of(chat: Chat) -> str:
    return str(chat.profile_thumbnail)


@define
class Reader:
    """What a bot knows of the list from the events alone, and from the state at its beginning."""

    known: dict[str, Chat] = field(factory=dict[str, Chat])
    told: Counter[str] = field(factory=Counter[str])
    removed: Counter[str] = field(factory=Counter[str])

    def take(self, event: ChatEvent, gateway: Gateway) -> None:
        """Take an event, which must be true."""
        number = number_of(event.chat)
        match event:
            case ChatAdded():
                self.told[number] += 1
            case ChatChanged(old):
                # Never what it was before, nor another chat's.
                assert number_of(old) == number
                assert self.known.get(number, old) == old  # the same poll may have added it without an event
            case _:
                self.removed[number] += 1
                assert number in gateway.deleted
        self.known[number] = event.chat


@define
class Story:
    """A watch that is restarted at each poll, and a list that is shown wrongly now and then."""

    gateway: Gateway
    trouble: float
    state: WatchState = field(factory=WatchState)
    reader: Reader = field(factory=Reader)
    left: int = 0  # for how many polls the list is still shown wrongly
    calm: int = 0  # for how many it has been shown as it is

    async def poll(self) -> None:
        """Poll, restart with what was saved, and take what is known without an event."""
        # A watch that knows no chats tells that the phone is gone.
        with suppress(NotConnectedError):
            async with aclosing(self.gateway.watch(self.state).events()) as events:
                async for event in events:
                    self.reader.take(event, self.gateway)
        self.state = WatchState.loads(self.state.dumps())
        self.reader.known = {number_of(chat): chat for chat in self.state.chats}
        assert len(self.reader.known) == len(self.state.chats)
        self.gateway.begin_interval()

    def sync(self) -> None:
        """Show more of the phone's history, the newest chats first."""
        gateway = self.gateway
        if gateway.chance.random() < 0.5:
            shown = 2 * sum(number_of(chat) not in gateway.hidden for chat in gateway.chats)
            gateway.hidden &= {number_of(chat) for chat in gateway.chats[shown:]}

    def pass_interval(self) -> None:
        """Show the list as it is, or begin to show it wrongly."""
        self.left, self.calm = self.left - 1, self.calm + 1
        if self.left <= 0:
            self.gateway.show_all()
            if self.calm > 3:
                self.calm = 0
                if self.gateway.chance.random() < self.trouble:
                    self.left = self.begin_trouble()
                    self.calm = -self.left

    def begin_trouble(self) -> int:
        """Let answers be wrong for some polls, and return for how many."""
        gateway, chance = self.gateway, self.gateway.chance
        kind = chance.choice(["lag", "few", "many", "empty"])
        if kind == "lag":
            gateway.lagging = gateway.clock_is_right  # without a clock, it hides who is new
            return 1
        if kind == "few":
            gateway.hidden = self.chosen(3)
            return 1
        gateway.empty = kind == "empty"
        if kind == "many":
            gateway.hidden = self.chosen(len(gateway.chats) * 2 // 3)
            if len(gateway.hidden) <= max(6, len(gateway.chats) / 4):
                return 1  # no large loss when new chats have come
        gateway.connected = chance.random() < 0.5
        return chance.randrange(1, 18) if gateway.connected else chance.randrange(1, 60)

    def chosen(self, count: int) -> set[str]:
        """Choose old chats of persons who have no other rows."""
        persons = Counter(map(person_of, self.gateway.chats))
        alone = (number_of(chat) for chat in self.gateway.chats if persons[person_of(chat)] == 1)
        old = [number for number in alone if number in self.reader.known and number not in self.reader.told]
        return set(self.gateway.chance.sample(old, min(count, len(old))))


@pytest.mark.slow
@settings(max_examples=80)
@given(
    seed=st.integers(0, 100_000),
    chats=st.sampled_from([0, 1, 2, 3, 8, 30, 60]),
    size=st.sampled_from([3, 5, 10, 33, 100]),
    kinds=st.sampled_from(["n", "mn", "mrn", "mnd", "d", "mrpt", "mnrdpt"]),
    moves=st.sampled_from([0.0, 0.3, 2.0]),
    trouble=st.sampled_from([0.0, 0.3, 0.7]),
    twins=st.booleans(),
    syncing=st.booleans(),
    clock_is_right=st.booleans(),
    trusting=st.booleans(),
)
def test_nothing_is_told_of_who_did_nothing(
    seed: int,
    chats: int,
    size: int,
    kinds: str,
    moves: float,
    trouble: float,
    twins: bool,
    syncing: bool,
    clock_is_right: bool,
    trusting: bool,
) -> None:
    """Each new chat is told once, each deleted one is in the end, and no other; whatever answers show for a while."""
    gateway = Gateway(seed, size, twins, clock_is_right, trusting)
    gateway.fill(chats)
    existing = {number_of(chat) for chat in gateway.chats}
    if syncing:
        gateway.hidden, gateway.syncs = {number_of(chat) for chat in gateway.chats[4:]}, True
    story = Story(gateway, trouble)

    async def main() -> None:
        synced = not syncing
        for _ in range(60):
            await story.poll()
            while gateway.chance.random() < moves / (1 + moves):
                gateway.move(kinds)
            if synced:
                story.pass_interval()
            else:
                story.sync()
                synced = not gateway.hidden
        # From here on nothing happens any more.
        gateway.show_all()
        for _ in range(45):
            await story.poll()
        assert set(story.state.chats) == set(gateway.chats)
        requests = gateway.requests
        for _ in range(10):
            await story.poll()
        if trusting and size > 3 and "p" not in kinds:  # pinned chats may fill pages
            assert gateway.requests <= requests + 11  # with one full scan

    run_apart(main())
    told, removed = story.reader.told, story.reader.removed
    new = {str(number) for number in range(len(existing) + 1, gateway.made + 1)}
    # Who was not shown at first, and then with a later message, may be told.
    assert set(told) <= new | (gateway.written if syncing else set())
    assert new - gateway.deleted <= set(told)
    assert max([*told.values(), *removed.values()], default=1) == 1
    # Who was known is removed, if it is not there any more.
    assert gateway.deleted & (set(told) | (set() if syncing else existing)) <= set(removed)
