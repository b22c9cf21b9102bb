"""Watching, by chance: whatever happens to the list, and whenever, the events tell it, once."""

from contextlib import aclosing, suppress
from random import Random
from typing import Unpack

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from plugchat_async import (
    AccountStatus,
    Chat,
    ChatAdded,
    ChatChanged,
    ChatEvent,
    ChatRemoved,
    Page,
    ServerError,
    WatchOptions,
    WatchState,
)
from plugchat_async._pagination.chat_walk import ChatWalk
from plugchat_async._pagination.options import WalkSettings
from plugchat_async.server_traits import ServerTraits
from plugchat_async.testing import SimulatedAccount
from plugchat_async.testing.dialects import DIALECTS, Dialect
from plugchat_async.watch.deps import WatchDeps
from plugchat_async.watch.options import WatchSettings
from plugchat_async.watch.watcher import Watch
from support.fakes import FakeTime, run_apart
from support.moving import PagesOf


class Service:
    """A list in memory that moves between requests, and fails now and then."""

    def __init__(
        self,
        chats: int,
        *,
        seed: int,
        moves: float,
        faults: float,
        kinds: str,
        cap: int | None = None,
        dialect: Dialect = "documented",
    ) -> None:
        self.account = SimulatedAccount(chats, seed=seed, dialect=dialect)
        self.requests = 0
        self.moves, self.faults, self.kinds, self.cap = moves, faults, kinds, cap
        self.time = FakeTime()
        self.chance = Random(seed)
        self.sizes = ServerTraits()

    async def fetch(self, number: int, size: int) -> Page:
        self.requests += 1
        assert self.requests < 20_000
        while self.chance.random() < self.moves:
            self.move()
        if self.chance.random() < self.faults:
            raise ServerError("down")
        return Page(number, size, tuple(self.account.window(number, min(size, self.cap or size))), b"")

    def move(self) -> None:
        """Let something happen to the list."""
        chats = self.account.chats
        kind = self.chance.choice(self.kinds)
        if kind == "n" or not chats:
            self.account.new_chat()
            return
        chat = self.chance.choice(chats)
        {"m": self.account.receive_message, "d": self.account.delete_chat, "r": self.account.mark_read}[kind](chat)

    def walk(self, settings: WalkSettings) -> ChatWalk:
        return ChatWalk(PagesOf(self.fetch, self.time.clock.monotonic), settings, self.sizes)

    async def status(self) -> AccountStatus:
        return AccountStatus(connected=True)

    def watch(self, **options: Unpack[WatchOptions]) -> Watch:
        clock = evolve(self.time.clock, time=lambda: self.time.now)
        tools = WatchDeps(self.fetch, self.walk, self.time.clock.sleep, self.sizes, clock, self.status)
        return Watch(tools, WatchSettings(**options))

    @property
    def truth(self) -> dict[tuple[str | None, ...], Chat]:
        return {key_of(chat): chat for chat in self.account.chats}


def key_of(chat: Chat) -> tuple[str | None, ...]:
    """What tells the rows of a person apart here."""
    return chat.phone, chat.lid, chat.name


def replayed(known: dict[tuple[str | None, ...], Chat], event: ChatEvent) -> None:
    """Do to what is known what an event tells. It must fit."""
    match event:
        case ChatAdded(chat):
            assert key_of(chat) not in known
            known[key_of(chat)] = chat
        case ChatChanged(old, new, fields):
            assert known[key_of(new)] == old != new
            assert fields
            known[key_of(new)] = new
        case ChatRemoved(chat):
            assert known.pop(key_of(chat)) == chat


@pytest.mark.slow
@settings(max_examples=500)
@given(
    chats=st.integers(0, 60),
    size=st.integers(4, 25),  # smaller pages are outrun by a list that grows
    seed=st.integers(0, 10_000),
    moves=st.sampled_from([0.0, 0.1, 0.3]),
    faults=st.sampled_from([0.0, 0.0, 0.1]),
    kinds=st.sampled_from(["m", "mn", "mnd", "mnrd", "r", "d"]),
    full_scan_interval=st.sampled_from([0.0, 100.0, 1e9]),
    restarts=st.sampled_from([0.0, 0.2]),
    cap=st.sampled_from([None, None, 5, 10, 20]),
    dialect=st.sampled_from(DIALECTS),
)
def test_the_events_are_what_happened(
    chats: int,
    size: int,
    seed: int,
    moves: float,
    faults: float,
    kinds: str,
    full_scan_interval: float,
    restarts: float,
    cap: int | None,
    dialect: Dialect,
) -> None:
    """Replayed they give the list, over restarts within a poll, too; nobody who is there is called removed."""

    async def main() -> None:
        # Of a capped list, walks may take rows of one person on different pages for one.
        whole = None if dialect == "gateway" else cap
        service = Service(chats, seed=seed, moves=moves, faults=faults, kinds=kinds, cap=whole, dialect=dialect)
        chance = Random(seed)
        known: dict[tuple[str | None, ...], Chat] = {}
        state = WatchState()
        options: WatchOptions = {"page_size": size, "full_scan_interval": full_scan_interval, "emit_existing": True}

        async def poll(times: int, stop: float) -> None:
            nonlocal state
            now: WatchOptions = {**options, "state": state, "max_polls": times}
            async with aclosing(service.watch(**now).events()) as events:
                async for event in events:
                    if isinstance(event, ChatRemoved):
                        assert key_of(event.chat) not in service.truth
                    replayed(known, event)
                    assert {key_of(chat): chat for chat in state.chats} == known
                    if chance.random() < stop:
                        break
            state = WatchState.loads(state.dumps())

        for _ in range(5):
            with suppress(ServerError):
                await poll(chance.randrange(1, 4), restarts)
        # From here on nothing happens any more: what is not seen now is never seen.
        service.moves = service.faults = 0.0
        await poll(1, 0)
        # Messages are seen without reading the whole list, if its end was not taken for that of a page that is cut.
        if not set(kinds) & set("rd") and not (faults and cap):
            assert known == service.truth
        for _ in range(4):  # where a cap keeps "strict" from its proof, who is gone must be missed three times
            service.time.now += 2e9
            await poll(1, 0)
        assert known == service.truth
        if dialect == "documented":  # chats without a time have no order of their own
            assert state.chats == service.account.chats

    run_apart(main())
