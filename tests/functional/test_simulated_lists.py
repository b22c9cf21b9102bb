"""What moves in a simulated list: single events, and traffic."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from inspect import signature
from typing import Any

import pytest
from attrs import evolve

from plugchat_async import Chat, ConfigurationError
from plugchat_async.testing import PlugChatSimulator
from support.simulated import ask, assert_sorted, key_of, read


async def page(sim: PlugChatSimulator, number: int = 1, size: int = 1000) -> list[Chat]:
    """The chats of a page."""
    status, rows, _ = await ask(sim, f"page={number}&pageSize={size}")
    assert status == 200
    return read(rows)


def keys(chats: Sequence[Chat]) -> list[str]:
    return [key_of(chat) for chat in chats]


# Single events.


def test_a_late_message() -> None:
    """The chat goes to the place of the message's time, or stays where it has a newer one."""
    sim = PlugChatSimulator(20, dialect="documented")
    new = sim.new_chat()
    before = sim.chats
    assert new.last_message_time
    assert before[5].last_message_time
    late = new.last_message_time - before[5].last_message_time
    moved = sim.receive_message(before[15], late=late.total_seconds())
    assert sim.chats.index(moved) == 5
    assert moved.unread == before[15].unread + 1
    assert_sorted(sim.chats)
    stays = sim.receive_message(before[1], late=1e8)
    assert stays == evolve(before[1], unread=before[1].unread + 1)
    assert sim.chats[1] == stays


def test_a_message_that_is_dated_ahead() -> None:
    """The chat stays in front of those with newer messages, until they are newer."""
    sim = PlugChatSimulator(20)
    ahead = sim.receive_message(sim.chats[9], ahead=3.5)
    other = sim.receive_message(sim.chats[5])
    assert sim.chats[:2] == (ahead, other)
    again = sim.receive_message(ahead)
    assert again.last_message_time == ahead.last_message_time
    sim.new_chat()
    newest = sim.new_chat()
    assert sim.chats[0] == newest
    assert again in sim.chats[1:3]


def test_messages_within_a_second() -> None:
    """All have the same time, and are newer than all others."""
    sim = PlugChatSimulator(20)
    before = sim.chats
    moved = sim.receive_messages([before[3], before[12].id, before[19]])
    assert {chat.last_message_time for chat in moved} == {sim.chats[0].last_message_time}
    assert set(sim.chats[:3]) == set(moved)
    assert sim.chats[3].last_message_time != sim.chats[0].last_message_time
    with pytest.raises(KeyError):
        sim.receive_messages(["nobody"])


def test_a_deleted_message_puts_its_chat_back() -> None:
    """To the place of the one before; without one it has no time."""
    sim = PlugChatSimulator(20, dialect="documented")
    front = sim.receive_message(sim.chats[9])
    back = sim.delete_message(front, gap=1e4)
    assert front.last_message_time
    assert back.last_message_time == front.last_message_time - timedelta(seconds=1e4)
    assert back.unread == front.unread - 1
    assert sim.chats.index(back) > 5
    assert_sorted(sim.chats)
    bare = sim.delete_message(sim.mark_read(back), gap=None)
    assert (bare.last_message_time, bare.unread) == (None, 0)
    assert sim.chats[-1] == bare
    assert sim.delete_message(bare) == bare
    with pytest.raises(KeyError):
        sim.delete_message("nobody")


async def test_a_list_that_is_synced() -> None:
    """From a few chats to all, which come in any order, each to its place; a second sync loses none."""
    async with PlugChatSimulator(100) as sim:
        everything = sim.chats
        sim.start_sync(10)
        assert await page(sim) == list(everything[:10])
        added = sim.sync_chats(30)
        assert len(added) == 30
        assert len(await page(sim)) == 40
        assert_sorted(sim.chats)
        assert set(sim.chats) == {*everything[:10], *added}
        assert not set(added) <= set(everything[:60])
        sim.start_sync()
        assert len(sim.chats) == 10
        assert len(sim.sync_chats()) == 90
        assert sim.sync_chats() == sim.sync_chats(5) == []
        assert_sorted(sim.chats)
        assert set(sim.chats) == set(everything)


@pytest.mark.parametrize(
    ("event", "name"),
    [
        (lambda sim: sim.receive_message(sim.chats[0], late=-1), "late"),
        (lambda sim: sim.receive_message(sim.chats[0], ahead=1e9), "ahead"),
        (lambda sim: sim.delete_message(sim.chats[0], gap="x"), "gap"),
        (lambda sim: sim.pin_chat(sim.chats[0], pinned=1), "pinned"),
        (lambda sim: sim.archive_chat(sim.chats[0], archived=None), "archived"),
        (lambda sim: sim.start_sync(-1), "chats"),
        (lambda sim: sim.sync_chats(-1), "count"),
    ],
)
def test_events_check_their_arguments(event: Callable[[PlugChatSimulator], object], name: str) -> None:
    """And change nothing then."""
    sim = PlugChatSimulator(5)
    before = sim.chats
    with pytest.raises(ConfigurationError, match=name):
        event(sim)
    assert sim.chats == before


def test_events_of_other_accounts() -> None:
    """They are methods of each account."""
    sim = PlugChatSimulator(5)
    other = sim.add_account("other", 5)
    before = sim.chats
    assert other.pin_chat(other.chats[0]).is_pinned
    assert other.receive_message(other.chats[3], late=1.0) in other.chats
    assert sim.chats == before


# Traffic.


async def after_traffic(requests: int = 40, chats: int = 100, **rates: Any) -> tuple[list[Chat], list[Chat]]:
    """The chats of an account before and after so many intervals."""
    async with PlugChatSimulator(chats) as sim:
        before = list(sim.chats)
        sim.traffic(seed=3, **rates)
        for _ in range(requests):
            await ask(sim)
        assert_sorted(sim.chats)
        return before, list(sim.chats)


async def test_traffic_of_late_messages() -> None:
    """Chats move up, never to the front: nothing is newer than before."""
    before, after = await after_traffic(late_bumps=2.0)
    assert after[0] == before[0]
    assert sum(chat.unread for chat in after) > sum(chat.unread for chat in before) + 40
    assert keys(after) != keys(before)


async def test_traffic_of_messages_ahead() -> None:
    """The newest is further ahead than time has passed."""
    before, after = await after_traffic(ahead_bumps=1.0)
    newest, first = after[0].last_message_time, before[0].last_message_time
    assert newest
    assert first
    assert timedelta(minutes=20) < newest - first < timedelta(hours=1, minutes=5)


async def test_traffic_of_first_messages() -> None:
    """Only chats without a time get them, until none is left."""
    before, after = await after_traffic(chats=20, first_bumps=3.0)
    known = [chat for chat in before if chat.last_message_time]
    assert len(known) < 15
    assert after[-len(known) :] == known
    assert all(chat.last_message_time for chat in after)


async def test_traffic_of_bursts() -> None:
    """So many chats with one time; never more than there are."""
    _, after = await after_traffic(bursts=0.2, burst_size=15)
    assert len({chat.last_message_time for chat in after[:15]}) == 1
    _, after = await after_traffic(chats=5, bursts=1.0)
    assert len({chat.last_message_time for chat in after}) == 1


async def test_traffic_of_deleted_messages() -> None:
    """Chats move down, and some have no time any more; nothing is newer."""
    before, after = await after_traffic(put_backs=2.0)
    without = [sum(not chat.last_message_time for chat in chats) for chats in (before, after)]
    assert without[0] < without[1] < 100
    times = {key_of(chat): chat.last_message_time for chat in before}
    changed = [
        (old, chat.last_message_time) for chat in after if (old := times[key_of(chat)]) != chat.last_message_time
    ]
    assert len(changed) > 15
    assert all(old and (new is None or new < old) for old, new in changed)


async def test_traffic_of_archiving() -> None:
    """Into the archive and out of it."""
    before, after = await after_traffic(archives=2.0)
    old = {key_of(chat) for chat in before if chat.is_archived}
    new = {key_of(chat) for chat in after if chat.is_archived}
    assert old - new
    assert new - old


async def test_traffic_of_a_sync() -> None:
    """The list grows to all of its chats, and ends there."""
    async with PlugChatSimulator(100) as sim:
        everything = set(sim.chats)
        sim.start_sync(5)
        sim.traffic(syncs=10.0, seed=1)
        lengths = [len(await page(sim)) for _ in range(30)]
        assert lengths == sorted(lengths)
        assert lengths[0] == 5
        assert len(set(lengths)) > 5
        assert set(sim.chats) == everything


KINDS = sorted(signature(PlugChatSimulator.traffic).parameters.keys() - {"self", "seed", "every", "burst_size"})


@pytest.mark.parametrize("kind", KINDS)
async def test_traffic_of_each_kind(kind: str) -> None:
    """The same seed makes the same things happen, without a chat nothing does, and rates are checked."""
    options: dict[str, Any] = {kind: 1.0}
    lists: list[tuple[Chat, ...]] = []
    for chats in (0, 1, 2, 30, 30):
        async with PlugChatSimulator(chats) as sim:
            sim.start_sync(chats // 2)
            sim.traffic(**options)
            for _ in range(20):
                await page(sim)
            lists.append(sim.chats)
            last = len(sim.chats)
    assert lists[-1] == lists[-2]
    assert last > 0 or kind == "deletes"
    for wrong in (-1, 10_001, "x"):
        options[kind] = wrong
        with pytest.raises(ConfigurationError, match=kind):
            sim.traffic(**options)


@pytest.mark.parametrize("size", [0, 10_001, 1.5])
def test_the_size_of_a_burst_is_checked(size: Any) -> None:
    """A number of chats."""
    with pytest.raises(ConfigurationError, match="burst_size"):
        PlugChatSimulator(5).traffic(burst_size=size)
