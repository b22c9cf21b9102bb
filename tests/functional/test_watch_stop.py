"""The end of a watch by an event: at once, but never in the middle of what its caller does, and nothing is doubled."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest

from plugchat_async import ChatEvent, Outage, PlugChatSession, RequestTimeoutError, RetryPolicy, WatchState
from plugchat_async.testing import Fault, PlugChatSimulator


@pytest.fixture
async def sim() -> AsyncIterator[PlugChatSimulator]:
    async with PlugChatSimulator(chats=60, seed=7, dialect="documented") as simulator:
        yield simulator


@pytest.fixture
async def session(sim: PlugChatSimulator) -> AsyncIterator[PlugChatSession]:
    async with PlugChatSession(sim.token, base_url=sim.base_url, retry=RetryPolicy(attempts=1)) as opened:
        yield opened


@pytest.fixture
async def state(sim: PlugChatSimulator, session: PlugChatSession) -> WatchState:
    """What is known of the account, before three chats get a message."""
    known = WatchState()
    assert [event async for event in session.watch_chats(state=known, max_polls=2, interval=0.01, page_size=20)] == []
    for chat in sim.chats[30:33]:
        sim.receive_message(chat.id)
    sim.requests.clear()
    return known


async def ended(
    session: PlugChatSession, state: WatchState, stop: asyncio.Event, full_scan_interval: float = 600.0
) -> list[ChatEvent]:
    """Watch until the event ends it, which takes no time, although nothing would happen for an hour."""
    events: list[ChatEvent] = []
    async with asyncio.timeout(10):
        async for event in session.watch_chats(
            state=state, interval=3600.0, page_size=20, stop=stop, full_scan_interval=full_scan_interval
        ):
            events.append(event)
    return events


async def until_requested(sim: PlugChatSimulator, pages: int) -> None:
    async with asyncio.timeout(10):
        while len(sim.requests) < pages:
            await asyncio.sleep(0.001)


@pytest.mark.parametrize("handled", [1, 2, 3])
async def test_it_ends_after_the_event_that_is_handled(
    session: PlugChatSession, state: WatchState, tmp_path: Path, handled: int
) -> None:
    """That takes as long as it takes. `on_poll` can save it, and the next watch tells the others: none is doubled."""
    stop = asyncio.Event()
    told: list[str] = []

    async with aclosing(
        session.watch_chats(state=state, page_size=20, stop=stop, on_poll=lambda known: known.save(tmp_path / "state"))
    ) as events:
        async for event in events:
            if len(told) == handled - 1:
                stop.set()
            await asyncio.sleep(0.01)
            told.append(event.chat.id)
    assert len(told) == handled
    later = WatchState.load(tmp_path / "state")
    told += [event.chat.id async for event in session.watch_chats(state=later, page_size=20, max_polls=1)]
    assert len(told) == len(set(told)) == 3


async def test_it_ends_while_it_waits_for_the_next_poll(
    sim: PlugChatSimulator, session: PlugChatSession, state: WatchState
) -> None:
    """After the poll's events."""
    stop = asyncio.Event()
    watching = asyncio.create_task(ended(session, state, stop))
    await until_requested(sim, 1)
    await asyncio.sleep(0.05)
    stop.set()
    assert len(await watching) == 3


@pytest.mark.parametrize(
    ("faults", "told"), [([Fault.hang()], 0), ([Fault.none(), Fault.hang()], 3)], ids=["front", "full scan"]
)
async def test_it_ends_while_it_waits_for_an_answer(
    sim: PlugChatSimulator, session: PlugChatSession, state: WatchState, faults: list[Fault], told: int
) -> None:
    """What the request would have told is told by the next watch."""
    stop = asyncio.Event()
    sim.script(*faults)
    watching = asyncio.create_task(ended(session, state, stop, full_scan_interval=0.0))
    await until_requested(sim, len(faults))
    stop.set()
    assert len(await watching) == told
    later = WatchState.loads(state.dumps())
    rest = [event async for event in session.watch_chats(state=later, page_size=20, max_polls=1)]
    assert len(rest) == 3 - told


async def test_it_ends_while_it_asks_for_the_phone(sim: PlugChatSimulator, session: PlugChatSession) -> None:
    """Whose status a watch wants to know when a list is empty, and when many chats are gone for long."""
    for chat in sim.chats:
        sim.delete_chat(chat)
    stop = asyncio.Event()
    sim.connected = False
    sim.script(Fault.none(), Fault.hang())
    watching = asyncio.create_task(ended(session, WatchState(), stop))
    await until_requested(sim, 2)
    stop.set()
    assert await watching == []


async def test_a_watch_that_is_stopped_already_requests_nothing(
    sim: PlugChatSimulator, session: PlugChatSession, state: WatchState
) -> None:
    """Nor does it save what it has not learnt."""
    stop = asyncio.Event()
    stop.set()
    saved: list[WatchState] = []
    state = WatchState.loads(state.dumps())
    assert [event async for event in session.watch_chats(state=state, stop=stop, on_poll=saved.append)] == []
    assert (sim.requests, saved) == ([], [])


async def test_functions_are_not_cancelled(sim: PlugChatSimulator, session: PlugChatSession) -> None:
    """They may be sending a message, or saving."""
    stop = asyncio.Event()
    done: list[str] = []

    async def on_outage(outage: Outage) -> None:
        await asyncio.sleep(0.01)
        done.append(f"outage {outage.failures}")

    async def on_poll(_: WatchState) -> None:
        stop.set()
        await asyncio.sleep(0.01)
        done.append("poll")

    sim.script(Fault.status(503))
    watch = session.watch_chats(interval=0.01, stop=stop, on_poll=on_poll, on_outage=on_outage)
    assert [event async for event in watch] == []
    assert done[:3] == ["outage 1", "poll", "outage 1"]


async def test_what_is_cancelled_is_cancelled(
    sim: PlugChatSimulator, session: PlugChatSession, state: WatchState
) -> None:
    """A watch that can be stopped does not take that for its end."""
    watching = asyncio.create_task(ended(session, state, asyncio.Event()))
    await until_requested(sim, 1)
    watching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await watching


async def test_a_timeout_is_no_stop(sim: PlugChatSimulator) -> None:
    """The error of a request is a TimeoutError, too. It is an outage."""
    sim.script(Fault.hang())
    outages: list[Outage] = []
    async with PlugChatSession(
        sim.token, base_url=sim.base_url, timeout=0.1, retry=RetryPolicy(attempts=1)
    ) as impatient:
        watch = impatient.watch_chats(interval=0.01, max_polls=2, stop=asyncio.Event(), on_outage=outages.append)
        assert [event async for event in watch] == []
    assert [type(outage.error) for outage in outages] == [RequestTimeoutError, type(None)]


async def test_a_timeout_of_the_caller_is_raised(session: PlugChatSession, state: WatchState) -> None:
    """It is the caller's own."""
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            async for _ in session.watch_chats(state=state, stop=asyncio.Event()):
                pass


def test_an_event_of_another_loop_is_a_mistake() -> None:
    """It is said, and not taken for a stop."""
    stop = asyncio.Event()

    async def wait_for_it() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(stop.wait(), 0.001)

    async def watch() -> None:
        async with PlugChatSimulator(3) as sim, PlugChatSession(sim.token, base_url=sim.base_url) as session:
            _ = [event async for event in session.watch_chats(stop=stop)]

    asyncio.run(wait_for_it())
    with pytest.raises(RuntimeError, match="different event loop"):
        asyncio.run(watch())
