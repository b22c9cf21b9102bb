"""Watching: what is told, what it costs, what it survives, and what a state remembers."""

import asyncio
import base64
import json
import logging
import os
import pickle
import re
import stat
import zlib
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Unpack

import attrs
import pytest
from attrs import evolve

from plugchat_async import (
    AuthenticationError,
    Chat,
    ChatAdded,
    ChatChanged,
    ChatEvent,
    ChatRemoved,
    Clock,
    ConfigurationError,
    ConnectionFailedError,
    DecodeError,
    InvalidTypeError,
    InvalidValueError,
    NotConnectedError,
    NotJSONError,
    Outage,
    OutputError,
    PageRepeatedError,
    PlugChatError,
    PlugChatSession,
    RateLimitedError,
    RetryPolicy,
    ServerError,
    SessionStateError,
    UnexpectedStatusError,
    WatchOptions,
    WatchState,
)
from plugchat_async.converter import converter
from plugchat_async.testing import Fault, PlugChatSimulator, Quirks
from support.fakes import FakeTime, RawServer, answering, http

ONE_TRY = RetryPolicy(attempts=1)
# The requests of a poll that reads the list for the first time, in one page, if the server is not known yet.
FIRST_POLL = 4


class WatchTime(FakeTime):
    """Both kinds of clock, moved by sleeping only. `set_back`: by how many seconds the wall's was."""

    def __init__(self) -> None:
        super().__init__()
        self.set_back = 0.0
        self.clock = evolve(self.clock, time=lambda: 1_000_000_000.0 + self.now - self.set_back)


@pytest.fixture
async def sim() -> AsyncIterator[PlugChatSimulator]:
    """A simulator whose chats all have a time. What differs on today's gateway has tests of its own, further down."""
    async with PlugChatSimulator(chats=250, seed=7, dialect="documented") as simulator:
        yield simulator


@pytest.fixture
def clock() -> WatchTime:
    return WatchTime()


@pytest.fixture
async def session(sim: PlugChatSimulator, clock: WatchTime) -> AsyncIterator[PlugChatSession]:
    async with PlugChatSession(sim.token, base_url=sim.base_url, clock=clock.clock, retry=ONE_TRY) as opened:
        yield opened


async def poll(session: PlugChatSession, known: WatchState, **options: Unpack[WatchOptions]) -> list[ChatEvent]:
    """Return the events of one poll, or of `max_polls`."""
    wanted: WatchOptions = {"max_polls": 1, "page_size": 20, **options, "state": known}
    return [event async for event in session.watch_chats(**wanted)]


def count_requests(sim: PlugChatSimulator) -> int:
    """Return the number of requests since the last call."""
    count = len(sim.requests)
    sim.requests.clear()
    return count


async def test_what_is_there_at_first_is_no_event(sim: PlugChatSimulator, session: PlugChatSession) -> None:
    """It is known, in the list's order."""
    state = WatchState()
    assert await poll(session, state) == []
    assert state.chats == sim.chats
    assert repr(state) == "<WatchState 250 chats>"


async def test_what_is_there_at_first_can_be_told(sim: PlugChatSimulator, session: PlugChatSession) -> None:
    """Each chat as added, the oldest first."""
    events = await poll(session, WatchState(), emit_existing=True)
    assert sorted(event.chat.id for event in events) == sorted(chat.id for chat in sim.chats)
    assert all(isinstance(event, ChatAdded) for event in events)
    times = [event.chat.last_message_time for event in events[-20:]]
    assert times == sorted(times, key=str)


async def test_messages_are_told(sim: PlugChatSimulator, session: PlugChatSession) -> None:
    """With what was and what is, and which fields differ; the oldest message first, once."""
    state = WatchState()
    await poll(session, state)
    old = sim.chats[200]
    new = sim.receive_message(old.id)
    first = sim.new_chat()
    assert await poll(session, state) == [
        ChatChanged(old, new, ("unread", "last_message_time")),
        ChatAdded(first),
    ]
    assert await poll(session, state) == []
    assert state.chats == sim.chats


async def test_a_quiet_poll_is_one_request(sim: PlugChatSimulator, session: PlugChatSession) -> None:
    """However long the list is."""
    state = WatchState()
    await poll(session, state)
    count_requests(sim)
    assert await poll(session, state) == []
    assert count_requests(sim) == 1


@pytest.mark.parametrize(("messages", "pages"), [(1, 1), (18, 1), (19, 2), (45, 3)])
async def test_a_poll_reads_what_has_changed(
    sim: PlugChatSimulator, session: PlugChatSession, messages: int, pages: int
) -> None:
    """Pages of 20, until one ends with a chat that is older than the newest one was."""
    state = WatchState()
    await poll(session, state)
    for chat in sim.chats[100 : 100 + messages]:
        sim.receive_message(chat.id)
    count_requests(sim)
    assert len(await poll(session, state)) == messages
    assert count_requests(sim) == pages


async def test_a_change_on_the_first_page_is_told_at_once(sim: PlugChatSimulator, session: PlugChatSession) -> None:
    """The owner has read a chat: no message, but it is among those that are looked at anyway."""
    state = WatchState()
    await poll(session, state)
    sim.receive_message(sim.chats[100].id)
    [event] = await poll(session, state)
    sim.mark_read(event.chat.id)
    count_requests(sim)
    [event] = await poll(session, state)
    assert isinstance(event, ChatChanged)
    assert event.fields == ("unread",)
    assert event.new.unread == 0 < event.old.unread
    assert count_requests(sim) == 1


async def test_a_change_deeper_down_is_told_by_the_next_full_scan(
    sim: PlugChatSimulator, session: PlugChatSession, clock: WatchTime
) -> None:
    """The list is read as a whole when `full_scan_interval` is over, by the clock."""
    state = WatchState()
    await poll(session, state)
    phone = next(chat.id for chat in sim.chats[100:] if chat.unread)
    sim.mark_read(phone)
    clock.now += 599
    assert await poll(session, state) == []
    clock.now += 1
    [event] = await poll(session, state)
    assert event.chat.id == phone
    count_requests(sim)
    await poll(session, state)
    assert count_requests(sim) == 1
    await poll(session, state, full_scan_interval=0.0)
    assert count_requests(sim) == 2


async def test_a_clock_that_was_set_back_does_not_put_off_full_scans(
    sim: PlugChatSimulator, session: PlugChatSession, clock: WatchTime
) -> None:
    """What was read last in the future was read at a time that nobody knows."""
    state = WatchState()
    await poll(session, state)
    clock.set_back = 1.0
    count_requests(sim)
    await poll(session, state)
    assert count_requests(sim) == 2


async def test_a_deleted_chat_among_those_that_are_read_is_told_soon(
    sim: PlugChatSimulator, session: PlugChatSession
) -> None:
    """It is missing, so the whole list is read, which proves that it is gone. The next poll confirms that."""
    state = WatchState()
    await poll(session, state)
    gone = sim.delete_chat(sim.chats[7].id)
    assert await poll(session, state) == []
    state = WatchState.loads(state.dumps())
    assert await poll(session, state) == [ChatRemoved(gone)]
    count_requests(sim)
    assert await poll(session, state) == []
    assert count_requests(sim) == 1
    assert state.chats == sim.chats


async def test_a_deleted_chat_deeper_down_is_told_after_the_next_full_scan(
    sim: PlugChatSimulator, session: PlugChatSession
) -> None:
    """Not before, since nothing shows it; one more confirms it; the oldest one first."""
    state = WatchState()
    await poll(session, state)
    gone = [sim.delete_chat(sim.chats[place].id) for place in (100, 200)]
    assert await poll(session, state) == []
    assert await poll(session, state, full_scan_interval=0.0) == []
    assert await poll(session, state) == [ChatRemoved(chat) for chat in reversed(gone)]


async def test_an_account_of_one_page_is_seen_whole(clock: WatchTime) -> None:
    """Changes are told at once, removals by the second poll. A poll is one request, unless a chat is missing."""
    async with (
        PlugChatSimulator(chats=13, seed=3) as sim,
        PlugChatSession(sim.token, base_url=sim.base_url, clock=clock.clock) as session,
    ):
        state = WatchState()
        assert await poll(session, state) == []
        assert count_requests(sim) == 4  # the server is not known yet
        assert await poll(session, state) == []
        assert count_requests(sim) == 1
        gone = sim.delete_chat(sim.chats[12])
        read = sim.mark_read(next(chat for chat in sim.chats if chat.unread))
        [changed] = await poll(session, state)
        assert changed.chat == read
        assert count_requests(sim) == 2
        assert await poll(session, state) == [ChatRemoved(gone)]
        assert count_requests(sim) == 1


async def test_an_empty_account_fills(clock: WatchTime) -> None:
    """From nothing to one chat, and to nothing again."""
    async with (
        PlugChatSimulator(chats=0) as sim,
        PlugChatSession(sim.token, base_url=sim.base_url, clock=clock.clock) as session,
    ):
        state = WatchState()
        assert await poll(session, state) == []
        chat = sim.new_chat()
        assert await poll(session, state) == [ChatAdded(chat)]
        sim.delete_chat(chat.id)
        assert await poll(session, state, max_polls=20, interval=30.0) == []
        assert await poll(session, state) == []
        clock.now += 30
        assert await poll(session, state) == [ChatRemoved(chat)]


async def test_a_list_that_is_empty_at_first_adds_nobody(
    sim: PlugChatSimulator, session: PlugChatSession, clock: WatchTime
) -> None:
    """As of a gateway that has not found its phone yet. What has come since is told, by the list's own times."""
    sim.script(Fault.answer("[]"))
    state = WatchState()
    assert await poll(session, state) == []
    state = WatchState.loads(state.dumps())
    clock.now += 30
    added = sim.new_chat()
    newest = added.last_message_time
    assert newest is not None
    since = [c for c in sim.chats if c.last_message_time and (newest - c.last_message_time).total_seconds() <= 30]
    events = await poll(session, state)
    assert [event.chat for event in events] == since[::-1]
    assert len(since) < 5
    assert state.chats == sim.chats


async def test_an_empty_account_is_believed_the_second_time(clock: WatchTime) -> None:
    """From then on all chats with a later message are new. The time of the list is years ahead of this clock's."""
    async with (
        PlugChatSimulator(chats=0) as sim,
        PlugChatSession(sim.token, base_url=sim.base_url, clock=clock.clock) as session,
    ):
        state = WatchState()
        assert await poll(session, state, max_polls=2) == []
        chats = [sim.new_chat() for _ in range(3)]
        clock.now += 1
        assert [event.chat for event in await poll(session, state)] == chats


async def test_a_list_that_is_short_for_a_while_removes_nobody(
    sim: PlugChatSimulator, session: PlugChatSession, clock: WatchTime
) -> None:
    """As of a gateway that has just found its phone. What comes back is no event, also if it had been believed gone."""
    state = WatchState()
    await poll(session, state, page_size=100)
    chats, read = sim.chats, sim._account.window
    setattr(sim._account, "window", lambda page, size: read(page, size)[:3] if page == 1 else [])  # noqa: B010 - a method
    assert await poll(session, state, page_size=100, max_polls=20) == []
    setattr(sim._account, "window", read)  # noqa: B010
    assert await poll(session, state, page_size=100, full_scan_interval=0.0) == []
    assert await poll(session, state, page_size=100) == []
    setattr(sim._account, "window", lambda page, size: read(page, size)[:3] if page == 1 else [])  # noqa: B010
    gone = await poll(session, state, page_size=100, max_polls=22)
    assert [type(event) for event in gone] == [ChatRemoved] * 247
    setattr(sim._account, "window", read)  # noqa: B010
    changed = sim.receive_message(chats[200])
    # One that is older than the last poll says that there may be others: all are known again.
    assert await poll(session, state, page_size=100) == [ChatAdded(changed)]
    assert state.chats == sim.chats


async def test_the_whole_list_is_read_when_a_list_that_was_short_is_back(
    sim: PlugChatSimulator, session: PlugChatSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else nobody would know since when others are missing, if some are missing again later."""
    state = WatchState()
    await poll(session, state)
    read = sim._account.window
    monkeypatch.setattr(sim._account, "window", lambda page, size: read(page, size)[4:7] if page == 1 else [])
    assert await poll(session, state) == []
    monkeypatch.undo()
    count_requests(sim)
    assert await poll(session, state) == []
    assert count_requests(sim) > 1
    assert await poll(session, state) == []
    assert count_requests(sim) == 1


async def test_the_whole_list_is_read_each_minute_while_many_chats_are_missing(
    sim: PlugChatSimulator, session: PlugChatSession, clock: WatchTime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They must be missing for ten minutes without a break. What full_scan_interval says counts if it is shorter."""
    state = WatchState()
    await poll(session, state)
    monkeypatch.setattr(
        sim._account, "window", lambda page, size: list(sim.chats[:107][(page - 1) * size : page * size])
    )
    await poll(session, state, full_scan_interval=0.0)
    for seconds, requests in ((59, 1), (1, 2), (30, 1), (31, 2)):
        clock.now += seconds
        count_requests(sim)
        assert await poll(session, state) == []
        assert count_requests(sim) == requests
    clock.now += 500
    assert len(await poll(session, state)) == 250 - 107
    clock.now += 100
    count_requests(sim)
    await poll(session, state)
    assert count_requests(sim) == 1


async def test_a_second_poll_confirms_a_removal_though_the_list_has_grown(clock: WatchTime) -> None:
    """It reads the whole list, which is longer than a page now: it may be that nobody was removed."""
    async with (
        PlugChatSimulator(chats=14, seed=3, dialect="documented") as sim,
        PlugChatSession(sim.token, base_url=sim.base_url, clock=clock.clock) as session,
    ):
        state = WatchState()
        await poll(session, state)
        gone = sim.delete_chat(sim.chats[9])
        assert await poll(session, state) == []
        added = [sim.new_chat() for _ in range(10)]
        assert await poll(session, state) == [*map(ChatAdded, added), ChatRemoved(gone)]


async def test_a_message_that_is_dated_in_the_future_hides_no_others(
    sim: PlugChatSimulator, session: PlugChatSession, clock: WatchTime
) -> None:
    """A poll reads down to where the others were."""
    clock.set_back = -(10.0**9)  # in the year 2033
    ahead = evolve(sim.chats[0], last_message_time=datetime(2039, 1, 1, tzinfo=UTC))

    def window(page: int, size: int) -> list[Chat]:
        chats = [ahead, *(chat for chat in sim.chats if chat.id != ahead.id)]
        return chats[(page - 1) * size : page * size]

    setattr(sim._account, "window", window)  # noqa: B010 - it is a method
    state = WatchState()
    await poll(session, state)
    for chat in sim.chats[100:160]:
        sim.receive_message(chat.id)
    assert len(await poll(session, state)) == 60


@pytest.mark.parametrize("ahead", [1e11, 1e20, -1e20])
async def test_a_clock_may_say_anything(
    sim: PlugChatSimulator, session: PlugChatSession, clock: WatchTime, ahead: float
) -> None:
    """A year that no calendar has hides no message."""
    clock.set_back = -ahead
    state = WatchState()
    await poll(session, state)
    changed = sim.receive_message(sim.chats[100].id)
    assert [event.chat for event in await poll(session, state)] == [changed]


async def test_a_list_that_is_empty_for_a_moment_removes_nobody(
    sim: PlugChatSimulator, session: PlugChatSession
) -> None:
    """As of a gateway that has lost its phone."""
    state = WatchState()
    await poll(session, state)
    empty = Fault.answer("[]")
    for faults in ([empty], [Fault.none(), empty]):  # the front, and the whole list
        sim.script(*faults)
        assert await poll(session, state, full_scan_interval=0.0) == []
        changed = sim.receive_message(sim.chats[9].id)
        [event] = await poll(session, state)
        assert event.chat == changed
        assert len(state.chats) == 250
        assert not sim._script.faults[None, None]


async def test_a_capped_page_is_not_taken_for_the_list(clock: WatchTime) -> None:
    """A short first page, of a server that caps sizes, makes nobody disappear; once known, the cap costs nothing."""
    async with PlugChatSimulator(chats=50, seed=3, dialect="documented", quirks=Quirks(max_page_size=50)) as sim:
        state = WatchState()
        for chats in (50, 51, 52):
            # Each session begins knowing nothing of the server.
            async with PlugChatSession(sim.token, base_url=sim.base_url, clock=clock.clock) as session:
                events = await poll(session, state, page_size=100)
                assert [type(event) for event in events] == [ChatAdded] * (chats > 50)
                assert len(state.chats) == chats
                count_requests(sim)
                assert await poll(session, state, page_size=100, max_polls=1) == []
                first = count_requests(sim)
                assert await poll(session, state, page_size=100, max_polls=5) == []
                assert count_requests(sim) == first + 4
            sim.new_chat()


@pytest.mark.parametrize("name", ["profile_thumbnail", "unread"])
async def test_changes_can_be_ignored(sim: PlugChatSimulator, session: PlugChatSession, name: str) -> None:
    """If nothing else has changed; they are known all the same."""
    state = WatchState()
    await poll(session, state, page_size=500)
    phone = next(chat.id for chat in sim.chats if chat.unread)
    read = sim.mark_read(phone)
    events = await poll(session, state, page_size=500, ignore=[name])
    assert len(events) == (name != "unread")
    assert read in state.chats
    sim.receive_message(phone)
    [event] = await poll(session, state, page_size=500, ignore=[name])
    assert isinstance(event, ChatChanged)
    assert event.fields == ("unread", "last_message_time")


@pytest.mark.slow
async def test_it_polls_again_after_the_interval(
    sim: PlugChatSimulator, session: PlugChatSession, clock: WatchTime
) -> None:
    """Counted from the beginning of a poll, the caller's own time included; not at all if that is over."""
    took = iter([4.0, 400.0, 0.0])
    sim.traffic(inserts=1000.0, seed=1)  # something happens at each poll
    polled = clock.now
    async with aclosing(session.watch_chats(interval=10.0, page_size=10_000, max_polls=4)) as events:
        async for _ in events:
            if clock.now != polled:  # the first event of a poll
                clock.now += next(took)
                polled = clock.now
    assert clock.sleeps == [10.0, 6.0, 0.0]


async def test_a_watch_that_is_left_leaves_nothing(sim: PlugChatSimulator, session: PlugChatSession) -> None:
    """The session goes on working, the state can be given to another watch."""
    state = WatchState()
    await poll(session, state)
    for chat in sim.chats[:3]:
        sim.receive_message(chat.id)
    async with aclosing(session.watch_chats(state=state)) as events:
        async for _ in events:
            break
    assert len(await poll(session, state)) == 2
    assert len(asyncio.all_tasks()) == 1 + len([t for t in asyncio.all_tasks() if t is not asyncio.current_task()])


async def test_a_state_has_one_watch(session: PlugChatSession) -> None:
    """A second one says so, and takes nothing."""
    state = WatchState()
    async with aclosing(session.watch_chats(state=state, emit_existing=True)) as first:
        await anext(first)
        with pytest.raises(InvalidValueError, match=r"^state is in use by another watch\. Use one state for each"):
            await poll(session, state)
        await anext(first)
    await poll(session, state)


async def test_a_restart_in_the_first_poll_hides_nobody_who_comes_meanwhile(
    sim: PlugChatSimulator, session: PlugChatSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has an event if a chat changes between its two readings; at that, all that was there is known already."""
    read, answers = sim._account.window, 0

    def window(page: int, size: int) -> list[Chat]:
        nonlocal answers
        answers += 1
        if answers == 2:  # the front was read, the whole list is next
            sim.mark_read(next(chat for chat in sim.chats if chat.unread))
            sim.receive_message(sim.chats[100].id)
        return read(page, size)

    monkeypatch.setattr(sim._account, "window", window)
    state = WatchState()
    async with aclosing(session.watch_chats(state=state, page_size=20)) as events:
        event = await anext(events)
        text = state.dumps()
    assert isinstance(event, ChatChanged)
    new = [sim.new_chat(), sim.new_chat()]
    told = await poll(session, WatchState.loads(text), max_polls=2)
    assert [event for event in told if isinstance(event, ChatAdded)] == [ChatAdded(chat) for chat in new]


async def test_each_poll_says_so(sim: PlugChatSimulator, session: PlugChatSession) -> None:
    """With the state, when its events are dealt with; not if it could read nothing, so that it is a sign of life."""
    known: list[int] = []
    dealt_with: list[ChatEvent] = []

    def on_poll(given: WatchState) -> None:
        assert given is state
        known.append(len(dealt_with))

    state = WatchState()
    async with aclosing(session.watch_chats(state=state, page_size=20, max_polls=5, on_poll=on_poll)) as events:
        sim.script(Fault.none())
        async for event in events:
            dealt_with.append(event)
    assert known == [0] * 5
    for chat in sim.chats[30:33]:
        sim.receive_message(chat.id)
    sim.script(Fault.status(503), Fault.status(503))
    async for event in session.watch_chats(state=state, page_size=20, max_polls=4, on_poll=on_poll):
        dealt_with.append(event)
    assert known == [0] * 5 + [3] * 2


async def test_a_poll_whose_full_scan_fails_says_so(sim: PlugChatSimulator, session: PlugChatSession) -> None:
    """Its messages were told, and are to be saved."""
    state = WatchState()
    await poll(session, state, max_polls=2)
    sim.receive_message(sim.chats[30].id)
    sim.script(Fault.none(), Fault.status(503).always())
    polls: list[WatchState] = []
    with pytest.raises(ServerError):
        await poll(session, state, full_scan_interval=0.0, on_poll=polls.append)
    assert polls == [state]


async def test_a_state_is_written_only_if_it_has_changed(
    sim: PlugChatSimulator, session: PlugChatSession, tmp_path: Path
) -> None:
    """To save it after each poll costs nothing, and the file has all of it in the end, also what follows an event."""
    file = tmp_path / "state"
    written: list[tuple[int, int]] = []

    def save(state: WatchState) -> None:
        state.save(file)
        found = file.stat()
        if written[-1:] != [(found.st_ino, found.st_mtime_ns)]:
            written.append((found.st_ino, found.st_mtime_ns))

    state = WatchState()
    await poll(session, state, max_polls=4, on_poll=save)
    assert len(written) == 1
    for number in (30, 60):
        sim.receive_message(sim.chats[number].id)
    async for _ in session.watch_chats(state=state, page_size=20, max_polls=2, on_poll=save):
        save(state)
    assert len(written) == 4  # after each event, and after their poll
    assert file.read_text().strip() == state.dumps()


async def test_an_async_function_is_waited_for_after_a_poll(
    sim: PlugChatSimulator, session: PlugChatSession, tmp_path: Path
) -> None:
    """Such as one that saves the state. The next poll comes afterwards; what it raises ends the watch."""
    known: list[tuple[int, int]] = []

    async def on_poll(given: WatchState) -> None:
        asked = len(sim.requests)
        await given.save_async(tmp_path / "state")
        known.append((len(WatchState.load(tmp_path / "state").chats), len(sim.requests) - asked))
        if len(known) == 2:
            raise LookupError
        sim.receive_message(sim.chats[30].id)

    with pytest.raises(LookupError):
        _ = [event async for event in session.watch_chats(max_polls=5, on_poll=on_poll)]
    assert known == [(250, 0), (250, 0)]


async def test_a_poll_gives_the_state_that_nobody_gave(session: PlugChatSession) -> None:
    """To save one there, none need be made."""
    states: list[WatchState] = []
    assert [event async for event in session.watch_chats(max_polls=2, on_poll=states.append)] == []
    assert [len(state.chats) for state in states] == [250, 250]


async def test_a_restart_loses_nothing_and_repeats_nothing(
    sim: PlugChatSimulator, session: PlugChatSession, tmp_path: Path
) -> None:
    """Left in the middle of a poll, saved, and gone on with later: what happened meanwhile is told, too."""
    path = tmp_path / "watch.state"
    state = WatchState.load(path)  # there is none yet
    assert state.chats == ()
    await poll(session, state)
    phones = [chat.id for chat in sim.chats[50:53]]
    for phone in phones:
        sim.receive_message(phone)
    told: list[str] = []
    async with aclosing(session.watch_chats(state=state, page_size=20)) as events:
        async for event in events:
            told.append(event.chat.id)
            state.save(path)
            if len(told) == 2:
                break
    phones.append(sim.new_chat().id)
    told += [event.chat.id for event in await poll(session, WatchState.load(path))]
    assert told == phones


def test_a_saved_state_is_private(tmp_path: Path) -> None:
    """It holds names: only its owner may read the file, also if it was there before; so is the one before it."""
    path = tmp_path / "state"
    path.touch(mode=0o644)
    WatchState().save(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    WatchState().save(str(path))
    assert {found.name for found in tmp_path.iterdir()} == {"state", "state.previous"}
    assert stat.S_IMODE((tmp_path / "state.previous").stat().st_mode) == 0o600
    assert WatchState.load(str(path)).chats == ()


def test_a_state_is_saved_where_a_link_leads(tmp_path: Path) -> None:
    """The link stays one."""
    (tmp_path / "elsewhere").mkdir()
    link = tmp_path / "watch.state"
    link.symlink_to(tmp_path / "elsewhere" / "real.state")
    WatchState().save(link)
    assert link.is_symlink()
    assert WatchState.load(tmp_path / "elsewhere" / "real.state").chats == ()
    assert [path.name for path in (tmp_path / "elsewhere").iterdir()] == ["real.state"]


def test_a_state_does_not_take_the_place_of_a_device(tmp_path: Path) -> None:
    """Nor of a pipe: whoever may, would replace /dev/null."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OutputError, match="not a regular file"):
        WatchState().save(tmp_path / "pipe")
    with pytest.raises(InvalidValueError, match="not a regular file"):
        WatchState.load(tmp_path / "pipe")
    assert (tmp_path / "pipe").is_fifo()
    assert len(list(tmp_path.iterdir())) == 1


def test_a_state_that_can_not_be_saved(tmp_path: Path) -> None:
    """An OutputError; what was there stays."""
    with pytest.raises(OutputError, match="can't write .*/none/state: No such file or directory"):
        WatchState().save(tmp_path / "none" / "state")
    with pytest.raises(OutputError, match="not a regular file"):
        WatchState().save(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"no state", "ação".encode()])
def test_a_file_that_is_no_state(tmp_path: Path, content: bytes) -> None:
    """Says which file, and what to do. A folder is none, either."""
    path = tmp_path / "state"
    path.write_bytes(content)
    with pytest.raises(InvalidValueError) as caught:
        WatchState.load(path)
    assert str(caught.value) == (
        f"can't read the state {path}: it does not hold a watch state. "
        "Use another file, or delete this one to start from scratch."
    )
    with pytest.raises(InvalidValueError, match="Is a directory"):
        WatchState.load(tmp_path)


def test_a_text_that_is_no_state() -> None:
    """Nor is a text of another version, nor no text."""
    wrong: Any = b"x"
    with pytest.raises(InvalidValueError, match=r"^the text is not a watch state\. Pass the text exactly"):
        WatchState.loads("x")
    newer = base64.urlsafe_b64encode(zlib.compress(json.dumps({"version": 4, "value": {}}).encode())).decode()
    with pytest.raises(InvalidValueError, match=r"^the text is a watch state of version 4\. "):
        WatchState.loads(newer)
    with pytest.raises(InvalidTypeError, match="text must be of type str"):
        WatchState.loads(wrong)


# --- outages


async def test_an_outage_is_survived_and_told(
    sim: PlugChatSimulator, session: PlugChatSession, clock: WatchTime, caplog: pytest.LogCaptureFixture
) -> None:
    """Longer waits, half of them by chance; then it goes on where it was, and nothing is lost."""
    state = WatchState()
    await poll(session, state)
    phone = sim.receive_message(sim.chats[99].id).id
    sim.script(Fault.status(503), Fault.truncate(), Fault.answer("<html>maintenance</html>"))
    outages: list[Outage] = []
    [event] = await poll(session, state, interval=100.0, max_polls=5, on_outage=outages.append)
    assert event.chat.id == phone
    assert [type(outage.error) for outage in outages] == [ServerError, ConnectionFailedError, NotJSONError, type(None)]
    # Chance is a half: three quarters of 100, 200 and 300.
    assert clock.sleeps == [75.0, 150.0, 225.0, 100.0]
    assert [outage.failures for outage in outages] == [1, 2, 3, 3]
    assert [outage.lasted for outage in outages] == [0.0, 75.0, 225.0, 450.0]
    assert [outage.wait for outage in outages] == clock.sleeps
    texts = [record.getMessage() for record in caplog.records if record.name == "plugchat_async.watch"]
    assert texts[0].startswith("could not fetch the chats (HTTP 503 Service Unavailable")
    assert texts[0].endswith("); retrying in 75.0 s")
    assert texts[-1] == "polls work again, after 3 failures in 450.0 s"
    assert all(record.levelno == logging.WARNING for record in caplog.records if record.name == "plugchat_async.watch")


async def test_an_outage_is_new_once_for_each_reason(sim: PlugChatSimulator, session: PlugChatSession) -> None:
    """So a phone that is found disconnected in the middle of an outage is told, and each thing only once."""
    busy, gone = Fault.status(503), Fault.status(400, body='{"error": "You are not connected."}')
    sim.script(busy, gone, busy, gone)
    outages: list[Outage] = []
    await poll(session, WatchState(), max_polls=6, on_outage=outages.append)
    assert [(type(outage.error), outage.failures, outage.is_new) for outage in outages] == [
        (ServerError, 1, True),
        (NotConnectedError, 2, True),
        (ServerError, 3, False),
        (NotConnectedError, 4, False),
        (type(None), 4, True),
    ]
    sim.script(busy)
    await poll(session, WatchState(), max_polls=2, on_outage=outages.append)
    assert [outage.is_new for outage in outages[5:]] == [True, True]


async def test_an_async_function_is_waited_for_in_an_outage(sim: PlugChatSimulator, session: PlugChatSession) -> None:
    """Such as one that sends a message. The next poll comes afterwards; what it raises ends the watch."""
    told: list[tuple[bool, int]] = []

    async def on_outage(outage: Outage) -> None:
        asked = len(sim.requests)
        await asyncio.sleep(0)
        told.append((outage.error is None, len(sim.requests) - asked))
        if outage.error is None:
            raise LookupError

    sim.script(Fault.status(503))
    with pytest.raises(LookupError):
        await poll(session, WatchState(), max_polls=5, on_outage=on_outage)
    assert told == [(False, 0), (True, 0)]


# The gateway's text, and whether it is waited for at the first poll, and after one that worked: under which statuses.
REFUSALS: list[tuple[str, set[int], set[int]]] = [
    ("your client-token is not configured", set(), set()),
    ("Instance not found", set(), set()),
    ("203.0.113.9 not allowed", set(), set()),
    ("You need to be connected", {200, 400, 401, 403, 404}, {200, 400, 401, 403, 404}),
    ("You are not connected.", {200, 400, 401, 403, 404}, {200, 400, 401, 403, 404}),
    ("You need to restore the session.", {200, 400, 401, 403, 404}, {200, 400, 401, 403, 404}),
    ("Does not work in multi device version", {200}, {200, 400, 404}),
    ("another text", {200}, {200, 400, 404}),
]


@pytest.mark.parametrize("status", [200, 400, 401, 403, 404])
@pytest.mark.parametrize(("text", "at_once", "later"), REFUSALS, ids=[text for text, _, _ in REFUSALS])
async def test_which_refusals_are_waited_for(
    sim: PlugChatSimulator, session: PlugChatSession, status: int, text: str, at_once: set[int], later: set[int]
) -> None:
    """A phone that is not connected always, a refused token or address never, another 4xx after a poll that worked."""
    await poll(session, WatchState(), page_size=1000)  # so that the server is known
    refusal = Fault.status(status, body=json.dumps({"error": text}))
    for before, waited_for in ((False, at_once), (True, later)):
        outages: list[Outage] = []
        sim.script(*[Fault.none()] * 2 * before, refusal)
        polling = poll(session, WatchState(), page_size=1000, max_polls=2 + before, on_outage=outages.append)
        if status in waited_for:
            await polling
            assert [outage.error is None for outage in outages] == [False, True]
        else:
            with pytest.raises(PlugChatError, match=f"the gateway says: '{re.escape(text)}'"):
                await polling
            assert outages == []


@pytest.mark.parametrize("status", [402, 404, 405, 409, 410, 415, 418, 451])
async def test_a_4xx_is_waited_for_after_a_poll_that_worked(
    sim: PlugChatSimulator, session: PlugChatSession, status: int
) -> None:
    """The request was right before; at the first poll it may be wrong."""
    refusals = [Fault.status(status)] * (2 if status == 415 else 1)  # one more for the repair
    sim.script(*refusals)
    with pytest.raises(PlugChatError):
        await poll(session, WatchState(), page_size=1000, max_polls=2)
    outages: list[Outage] = []
    sim.script(*[Fault.none()] * FIRST_POLL, *refusals)
    await poll(session, WatchState(), page_size=1000, max_polls=3, on_outage=outages.append)
    assert [outage.error is None for outage in outages] == [False, True]


@pytest.mark.parametrize(
    "fault", [Fault.status(401), Fault.status(403), Fault.status(403, body="<html>"), Fault.status(302)]
)
async def test_what_does_not_pass_is_raised_after_a_poll_that_worked(
    sim: PlugChatSimulator, session: PlugChatSession, fault: Fault
) -> None:
    """A refused token or address, and what is no 4xx at all."""
    sim.script(*[Fault.none()] * FIRST_POLL, fault)
    with pytest.raises(ConfigurationError):
        await poll(session, WatchState(), page_size=1000, max_polls=3)


async def test_a_poll_whose_full_scan_failed_has_not_worked(
    sim: PlugChatSimulator, session: PlugChatSession, clock: WatchTime
) -> None:
    """So a 4xx at the first reading of the whole list is raised."""
    sim.script(Fault.none(), Fault.status(404))
    with pytest.raises(UnexpectedStatusError):
        await poll(session, WatchState(), page_size=1000, max_polls=3)


async def test_waits_in_an_outage_have_an_end(
    sim: PlugChatSimulator, session: PlugChatSession, clock: WatchTime
) -> None:
    """Five minutes, or the interval if that is longer."""
    sim.script(*[Fault.status(500)] * 12)
    with pytest.raises(ServerError):
        await poll(session, WatchState(), interval=1.0, max_polls=12)
    assert clock.sleeps == [0.75 * min(300, 2**n) for n in range(11)]
    clock.sleeps.clear()
    sim.script(*[Fault.status(500)] * 3)
    with pytest.raises(ServerError):
        await poll(session, WatchState(), interval=1000.0, max_polls=3)
    assert clock.sleeps == [750.0, 750.0]


@pytest.mark.parametrize(
    ("status", "after", "wait"),
    [(429, "1000", 1000.0), (503, "70", 75.0), (503, "80", 80.0), (429, "9" * 99, 86_400.0)],
)
async def test_what_the_server_asks_is_waited_for(
    sim: PlugChatSimulator, session: PlugChatSession, clock: WatchTime, status: int, after: str, wait: float
) -> None:
    """If it is longer than the watch's own wait; a day at most."""
    sim.script(Fault.status(status, headers={"Retry-After": after}))
    await poll(session, WatchState(), interval=100.0, max_polls=2)
    assert clock.sleeps == [wait]


async def test_an_outage_that_lasts_too_long_is_raised(
    sim: PlugChatSimulator, session: PlugChatSession, clock: WatchTime
) -> None:
    """After `max_outage` seconds, with a last poll then; with 0 at once."""
    sim.script(*[Fault.status(500)] * 3)
    with pytest.raises(ServerError):
        await poll(session, WatchState(), interval=10.0, max_polls=None, max_outage=20.0)
    assert clock.sleeps == [7.5, 12.5]
    sim.script(Fault.status(500))
    with pytest.raises(ServerError):
        await poll(session, WatchState(), max_polls=None, max_outage=0)
    assert clock.now == 20.0


async def test_a_server_that_asks_for_more_than_max_outage_is_not_waited_for(
    sim: PlugChatSimulator, session: PlugChatSession, clock: WatchTime
) -> None:
    """It is raised at once: there will be no poll in time."""
    sim.script(Fault.status(503, headers={"Retry-After": "86000"}))
    with pytest.raises(ServerError) as caught:
        await poll(session, WatchState(), max_polls=None, max_outage=60.0)
    assert caught.value.retry_after == 86000.0
    assert clock.sleeps == []


async def test_an_outage_in_a_full_scan_repeats_the_full_scan(
    sim: PlugChatSimulator, session: PlugChatSession, clock: WatchTime
) -> None:
    """What the front has told is not told again; the error holds no checkpoint of a walk that is over."""
    state = WatchState()
    await poll(session, state)
    sim.delete_chat(sim.chats[3].id)
    sim.receive_message(sim.chats[100].id)
    sim.script(Fault.none(), Fault.none(), Fault.status(502))
    outages: list[Outage] = []
    changed, removed = await poll(session, state, max_polls=3, on_outage=outages.append)
    assert isinstance(changed, ChatChanged)
    assert isinstance(removed, ChatRemoved)
    assert outages[0].error is not None
    assert outages[0].error.checkpoint is None
    assert outages[1].error is None


async def test_a_list_that_can_not_be_read_whole_is_watched_all_the_same(
    sim: PlugChatSimulator, session: PlugChatSession, clock: WatchTime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A chat deep down is unreadable: each poll tells of messages, and the whole list is tried more rarely."""
    read = sim._account.window

    def window(page: int, size: int) -> list[Chat]:
        deep = evolve(sim.chats[200], phone="", lid=None)
        return [deep if chat.id == sim.chats[200].id else chat for chat in read(page, size)]

    monkeypatch.setattr(sim._account, "window", window)
    outages: list[Outage] = []
    told: list[str] = []
    options: WatchOptions = {"interval": 30.0, "page_size": 20, "max_polls": 40, "on_outage": outages.append}
    wrote: list[str] = []

    async def sleep(seconds: float) -> None:
        clock.now += seconds
        clock.sleeps.append(seconds)
        wrote.append(sim.receive_message(sim.chats[50].id).id)

    source = evolve(clock.clock, sleep=sleep)
    async with PlugChatSession(
        sim.token, base_url=sim.base_url, clock=source, retry=ONE_TRY, on_bad_value="raise"
    ) as slow:
        async for event in slow.watch_chats(**options):
            told.append(event.chat.id)
            assert isinstance(event, ChatAdded | ChatChanged)
    assert told == wrote
    assert set(clock.sleeps) == {22.5, 30.0}
    assert all(isinstance(outage.error, DecodeError) for outage in outages)
    waits = [outage.wait for outage in outages]
    assert waits[:5] == [22.5, 45.0, 90.0, 180.0, 225.0]
    assert set(waits[4:]) == {225.0}
    assert len(outages) == 8  # of 40 polls


def state_of_version_1(*chats: Chat) -> str:
    """What `dumps` of an older version gave: eight values of each chat."""
    rows = [[getattr(chat, a.name) for a in attrs.fields(Chat)[:8]] for chat in chats]
    value = {"chats": rows, "begun": True, "bound": chats[0].last_message_time, "swept": 1e9, "doubted": {}}
    text = json.dumps({"version": 1, "value": value}, default=datetime.isoformat)
    return base64.urlsafe_b64encode(zlib.compress(text.encode())).decode()


async def test_an_old_state_is_read(
    today: tuple[PlugChatSimulator, PlugChatSession], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fields that it did not know are no change, not even when it was saved in between; messages and later ones are."""
    sim, session = today
    time = datetime(2026, 1, 15, tzinfo=UTC)
    old = [Chat(str(number), last_message_time=time) for number in range(4)]
    now = [evolve(chat, is_pinned=False, lid=f"{chat.id}@lid") for chat in old]
    later = [evolve(now[0], is_pinned=True), evolve(now[1], unread=1), *now[2:]]
    known = WatchState.loads(state_of_version_1(*old))
    assert known.chats == tuple(old)
    for rows, changes in (
        (old[:0], []),  # an empty list, which is not believed at once
        (now, []),
        (later, [("0", ("is_pinned",)), ("1", ("unread",))]),
    ):
        known = WatchState.loads(known.dumps())
        monkeypatch.setattr(sim._account, "window", lambda page, size, rows=rows: rows[(page - 1) * size : page * size])
        events = [event for event in await poll(session, known, page_size=100) if isinstance(event, ChatChanged)]
        assert [(event.chat.id, event.fields) for event in events] == changes
    assert set(known.chats) == set(later)


@pytest.fixture
async def today(clock: WatchTime) -> AsyncIterator[tuple[PlugChatSimulator, PlugChatSession]]:
    """An account as the gateway lists it today, and a session on it."""
    async with (
        PlugChatSimulator(chats=250, seed=7) as simulator,
        PlugChatSession(simulator.token, base_url=simulator.base_url, clock=clock.clock, retry=ONE_TRY) as opened,
    ):
        yield simulator, opened


async def test_a_quiet_poll_at_todays_list_is_one_request(
    today: tuple[PlugChatSimulator, PlugChatSession], caplog: pytest.LogCaptureFixture
) -> None:
    """The chats without a time stand behind all others: that the list ends in them is no disorder."""
    sim, session = today
    known = WatchState()
    timed = sum(chat.last_message_time is not None for chat in sim.chats)
    for size in (20, timed, timed + 5):
        caplog.clear()
        assert await poll(session, known, page_size=size) == []
        count_requests(sim)
        assert await poll(session, known, page_size=size, max_polls=3) == []
        assert count_requests(sim) == 3
        moved = sim.receive_message(sim.chats[-1])
        [event] = await poll(session, known, page_size=size)
        assert event.chat == moved
        assert not [record for record in caplog.records if "not sorted" in record.getMessage()]


async def test_rows_of_one_person_are_watched_apart(today: tuple[PlugChatSimulator, PlugChatSession]) -> None:
    """A message to one of them changes nothing of the others, though all have the same id."""
    sim, session = today
    known = WatchState()
    await poll(session, known, page_size=300)
    assert set(known.chats) == set(sim.chats)
    ids = Counter(chat.id for chat in sim.chats)
    rows = [chat for chat in sim.chats if ids[chat.id] > 1]
    assert len(rows) > 20
    for row in rows[:20]:
        moved = sim.receive_message(row)
        [event] = await poll(session, known, page_size=300)
        assert event == ChatChanged(row, moved, ("unread", "last_message_time"))


@pytest.mark.parametrize("size", [20, 300])
async def test_who_can_not_be_read_is_not_removed(
    today: tuple[PlugChatSimulator, PlugChatSession], monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    """For a poll or two its row has no id; when it has one again, nothing was lost, and nothing is new."""
    sim, session = today
    known = WatchState()
    await poll(session, known, page_size=size, full_scan_interval=0.0)
    read, lost = sim._account.window, sim.chats[7]

    def window(page: int, size: int) -> list[Chat]:
        return [evolve(chat, phone=None, lid=None) if chat == lost else chat for chat in read(page, size)]

    monkeypatch.setattr(sim._account, "window", window)
    assert await poll(session, known, page_size=size, full_scan_interval=0.0, max_polls=2) == []
    monkeypatch.undo()
    assert await poll(session, known, page_size=size, full_scan_interval=0.0) == []
    assert lost in known.chats


async def test_an_old_state_knows_what_a_poll_has_seen(session: PlugChatSession, sim: PlugChatSimulator) -> None:
    """A field that a state of version 1 did not have is known from the first poll on, also if it was None then."""
    time = datetime(2026, 1, 15, tzinfo=UTC)
    old = Chat("1", last_message_time=time)
    known = WatchState.loads(state_of_version_1(old, Chat("2", last_message_time=time)))
    pages = [[old, Chat("2", last_message_time=time)], [evolve(old, is_pinned=True), Chat("2", last_message_time=time)]]
    told: list[ChatEvent] = []
    for rows in pages:
        sim.script(Fault.answer(json.dumps([converter.unstructure(chat) for chat in rows])))
        told += await poll(session, known, page_size=100)
    assert told == [ChatChanged(old, evolve(old, is_pinned=True), ("is_pinned",))]


async def test_rows_that_can_not_be_read_do_not_end_a_watch(
    session: PlugChatSession, sim: PlugChatSimulator, caplog: pytest.LogCaptureFixture
) -> None:
    """A row without an id is left out, a value that can't be read is the default; it is said once, not at each poll."""
    rows = [converter.unstructure(chat) for chat in sim.chats[:4]]
    rows[1] = {"name": "nobody"}
    rows[2]["unread"] = "many"
    await poll(session, WatchState(), page_size=100)  # so that the server is known
    sim.script(*[Fault.answer(json.dumps(rows))] * 3)
    known = WatchState()
    assert await poll(session, known, page_size=100, max_polls=3) == []
    assert [chat.id for chat in known.chats] == [sim.chats[index].id for index in (0, 2, 3)]
    told = [
        record.getMessage() for record in caplog.records if "chat 1: expected a phone or a lid" in record.getMessage()
    ]
    assert len(told) == 1


async def test_a_full_scan_that_works_again_ends_its_outage(
    sim: PlugChatSimulator, session: PlugChatSession, clock: WatchTime
) -> None:
    """Not before: polls that do without it end nothing."""
    sim.script(Fault.none(), Fault.status(500), Fault.none(), Fault.status(500))
    outages: list[Outage] = []
    await poll(session, WatchState(), page_size=1000, interval=10.0, max_polls=6, on_outage=outages.append)
    assert [type(outage.error) for outage in outages] == [ServerError, ServerError, type(None)]
    assert [outage.wait for outage in outages[:2]] == [7.5, 15.0]
    assert clock.sleeps == [7.5, 10.0, 10.0, 10.0, 10.0]


async def test_a_poll_that_is_the_last_raises_its_error(sim: PlugChatSimulator, session: PlugChatSession) -> None:
    """Else nobody would know."""
    sim.script(Fault.status(500))
    with pytest.raises(ServerError):
        await poll(session, WatchState())


async def test_a_misconfiguration_is_raised_at_once(
    sim: PlugChatSimulator, session: PlugChatSession, clock: WatchTime
) -> None:
    """It does not pass."""
    sim.script(Fault.status(401))
    with pytest.raises(AuthenticationError):
        await poll(session, WatchState(), max_polls=None)
    assert clock.sleeps == []


async def test_a_server_that_ignores_page_is_recognised(clock: WatchTime) -> None:
    """By the first reading of the whole list."""
    async with (
        PlugChatSimulator(chats=100, quirks=Quirks(ignore_page=True)) as sim,
        PlugChatSession(sim.token, base_url=sim.base_url, clock=clock.clock) as session,
    ):
        with pytest.raises(PageRepeatedError):
            await poll(session, WatchState(), max_polls=None)


async def test_a_server_that_stops_counting_pages_is_recognised() -> None:
    """A poll that gets the same page again and again gives up, and reads the whole list, which says so."""
    with pytest.raises(PageRepeatedError):
        first = page(("1", 10))
        await events_of(first, first, page(), first, page(("3", 21), ("2", 20)), max_polls=2)


async def test_a_watch_ends_when_the_session_is_closed() -> None:
    """While it waits, at once."""

    async def sleep(_: float) -> None:
        waiting.set()
        await asyncio.Event().wait()

    waiting = asyncio.Event()
    async with PlugChatSimulator(chats=5) as sim:
        session = PlugChatSession(sim.token, base_url=sim.base_url, clock=Clock(sleep=sleep))
        await session.open()
        watch = asyncio.create_task(poll(session, WatchState(), max_polls=None))
        await waiting.wait()
        await session.close()
        with pytest.raises(SessionStateError, match="the session is closed"):
            await watch


async def test_cancelling_ends_a_watch_and_frees_its_state(session: PlugChatSession, sim: PlugChatSimulator) -> None:
    """In the middle of a request."""
    state = WatchState()
    sim.script(Fault.hang())
    watch = asyncio.create_task(poll(session, state))
    while not sim.requests:
        await asyncio.sleep(0)
    watch.cancel()
    with pytest.raises(asyncio.CancelledError):
        await watch
    assert await poll(session, state) == []


async def test_a_closed_session_says_so(session: PlugChatSession) -> None:
    """At the first poll."""
    await session.close()
    with pytest.raises(SessionStateError):
        await poll(session, WatchState())


# --- odd lists


def page(*chats: tuple[str, int | None]) -> bytes:
    return http(json.dumps([{"phone": phone, "lastMessageTime": time} for phone, time in chats]).encode())


async def events_of(*answers: bytes, max_polls: int, size: int = 2) -> tuple[list[ChatEvent], int]:
    """Return the events of polls that get these answers, and the number of requests."""
    clock = WatchTime()
    async with (
        RawServer(answering(*answers, close=False)) as server,
        PlugChatSession("t0ken", base_url=server.base_url, clock=clock.clock) as session,
    ):
        events = [event async for event in session.watch_chats(max_polls=max_polls, page_size=size)]
        return events, len(server.requests)


def window_of(sim: PlugChatSimulator) -> Callable[[int, int], list[Chat]]:
    """Pages of a list that is sorted by phones."""
    return lambda page, size: sorted(sim.chats, key=lambda chat: chat.id)[(page - 1) * size : page * size]


async def test_a_list_that_is_not_sorted_is_read_whole(caplog: pytest.LogCaptureFixture) -> None:
    """At each poll, which is said once; changes are told, and who is missing twice is gone."""
    clock = WatchTime()
    async with PlugChatSimulator(chats=40, seed=1) as sim:
        setattr(sim._account, "window", window_of(sim))  # noqa: B010 - it is a method
        async with PlugChatSession(sim.token, base_url=sim.base_url, clock=clock.clock) as session:
            state = WatchState()
            assert await poll(session, state, page_size=13) == []
            phone = sim.chats[30].id
            sim.receive_message(phone)
            [event] = await poll(session, state, page_size=13, max_polls=2)
            assert event.chat.id == phone
            gone = sim.delete_chat(phone)
            assert await poll(session, state, page_size=13) == []
            assert await poll(session, state, page_size=13) == [ChatRemoved(gone)]
            assert count_requests(sim) == FIRST_POLL + 4 * 2
    texts = [record.getMessage() for record in caplog.records if "not sorted" in record.getMessage()]
    assert len(texts) == 4  # one for each watch, not for each poll
    assert not [record for record in caplog.records if record.name == "plugchat_async.walk"]


async def test_an_old_chat_of_a_list_that_is_not_sorted_is_not_new(monkeypatch: pytest.MonkeyPatch) -> None:
    """The newest message of the whole list counts, not that of the first page."""
    clock = WatchTime()
    async with (
        PlugChatSimulator(chats=40, seed=1, dialect="documented") as sim,
        PlugChatSession(sim.token, base_url=sim.base_url, clock=clock.clock) as session,
    ):
        read = window_of(sim)
        hidden = sim.chats[20]
        shown = lambda page, size: [chat for chat in read(page, size) if chat != hidden]  # noqa: E731
        monkeypatch.setattr(sim._account, "window", shown)
        state = WatchState()
        assert await poll(session, state, page_size=13) == []
        setattr(sim._account, "window", read)  # noqa: B010 - it is a method
        added = sim.new_chat()
        assert await poll(session, state, page_size=13) == [ChatAdded(added)]
        assert hidden in state.chats


async def test_a_phone_that_comes_twice_is_two_chats(
    sim: PlugChatSimulator, session: PlugChatSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in the vendor's example; nothing changes back and forth."""
    both = [Chat("5511999999999", last_message_time=datetime.fromtimestamp(1622990503 + n, UTC)) for n in (1184, 0)]
    monkeypatch.setattr(sim._account, "window", lambda page, size: both[(page - 1) * size : page * size])
    known = WatchState()
    assert await poll(session, known, page_size=100, max_polls=3) == []
    assert known.chats == tuple(both)
    assert count_requests(sim) == FIRST_POLL + 2


async def test_chats_without_times_are_watched_too() -> None:
    """All of them are on one page here, so all is known."""
    events, _ = await events_of(page(("1", None), ("2", None)), page(("1", None)), max_polls=3, size=3)
    assert events == [ChatRemoved(Chat("2"))]


# --- arguments and values


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"interval": 0}, InvalidValueError, "interval must be a finite number above 0"),
        ({"interval": "1"}, InvalidTypeError, "interval must be a number of seconds"),
        ({"page_size": 0}, InvalidValueError, "page_size must be at least 1"),
        ({"state": "x"}, InvalidTypeError, "state must be of type plugchat_async.WatchState"),
        ({"full_scan_interval": -1}, InvalidValueError, "full_scan_interval must be"),
        ({"emit_existing": 1}, InvalidTypeError, "emit_existing must be of type bool"),
        ({"ignore": "name"}, InvalidTypeError, "ignore must be a list, got 'name'. Pass ignore=['name']."),
        ({"ignore": None}, InvalidTypeError, "ignore must be of type Collection"),
        ({"ignore": iter(["name"])}, InvalidTypeError, "ignore must be of type Collection"),
        ({"ignore": ["nane"]}, InvalidValueError, "ignore must be 'phone' or 'name'"),
        ({"max_polls": 0}, InvalidValueError, "max_polls must be at least 1"),
        ({"max_outage": -1}, InvalidValueError, "max_outage must be"),
        ({"account": 3}, InvalidTypeError, "account must be of type str"),
        ({"account": ""}, InvalidValueError, "account is empty"),
        ({"stop": 3}, InvalidTypeError, "stop must be of type asyncio.Event"),
        ({"on_poll": 3}, InvalidTypeError, "on_poll must be a function of a WatchState"),
        ({"on_outage": 3}, InvalidTypeError, "on_outage must be a function of an Outage"),
        ({"intervall": 3}, InvalidTypeError, "unexpected option 'intervall': it is none of WatchOptions. Did you mean"),
    ],
)
async def test_wrong_options_are_refused_at_once(
    session: PlugChatSession, options: Any, kind: type[Exception], message: str
) -> None:
    """Before anything is asked for, and before it is iterated."""
    with pytest.raises(kind, match=f"{re.escape(message)}"):
        session.watch_chats(**options)


async def test_it_is_an_async_generator(session: PlugChatSession) -> None:
    """So `aclosing` closes it, also before it has begun."""
    watch = session.watch_chats()
    assert isinstance(watch, AsyncGenerator)
    await watch.aclose()


def test_events_are_values() -> None:
    """They compare, pickle, and match."""
    old, new = Chat("1"), Chat("1", unread=2)
    for event in (ChatAdded(old), ChatChanged(old, new, ("unread",)), ChatRemoved(old)):
        assert pickle.loads(pickle.dumps(event)) == event
    assert ChatChanged(old, new, ("unread",)).chat is new
    outage = Outage(RateLimitedError("x"), 1, 0.0, 2.0)
    assert repr(pickle.loads(pickle.dumps(outage))) == repr(outage)
