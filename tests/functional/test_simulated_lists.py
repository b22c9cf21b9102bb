"""Lists as real servers have them: short pages, ends that are errors, parts, old states, and what moves in them."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from inspect import signature
from typing import Any, Literal

import pytest
from attrs import evolve

from plugchat_async import Chat, ConfigurationError
from plugchat_async.testing import Fault, PlugChatSimulator, Quirks
from support.simulated import ask, assert_sorted, key_of, read

Dialect = Literal["gateway", "documented"]
DIALECTS: list[Dialect] = ["gateway", "documented"]


async def page(sim: PlugChatSimulator, number: int = 1, size: int = 1000) -> list[Chat]:
    """The chats of a page."""
    status, rows, _ = await ask(sim, f"page={number}&pageSize={size}")
    assert status == 200
    return read(rows)


def keys(chats: Sequence[Chat]) -> list[str]:
    return [key_of(chat) for chat in chats]


# What a page leaves out, and what comes past the end.


async def test_hidden_chats_leave_short_pages_in_the_middle() -> None:
    """The same chats on each page size; what is left is what `listed_chats` says, in order."""
    async with PlugChatSimulator(400, quirks=Quirks(hidden_share=0.1)) as sim:
        pages = [await page(sim, number, 100) for number in range(1, 6)]
        assert all(80 < len(chats) < 100 for chats in pages[:4])
        assert pages[4] == []
        listed = [chat for chats in pages for chat in chats]
        assert listed == await page(sim) == list(sim.listed_chats)
        assert 20 < len(sim.chats) - len(listed) < 60
        assert set(listed) < set(sim.chats)
        moved = sim.receive_message(sim.chats[200])
        assert (moved in sim.listed_chats) == (key_of(moved) in keys(listed))


async def test_all_chats_may_be_hidden() -> None:
    """Pages are empty then, and past the end they are an error."""
    async with PlugChatSimulator(8, quirks=Quirks(hidden_share=1.0, past_end="error")) as sim:
        assert await page(sim, 2, 4) == []
        assert (await ask(sim, "page=3&pageSize=4"))[0] == 404


@pytest.mark.parametrize(("chats", "pages"), [(8, 2), (9, 3), (0, 1), (1, 1)])
async def test_an_end_that_is_an_error(chats: int, pages: int) -> None:
    """404 for a page that does not exist; the first one always does."""
    async with PlugChatSimulator(chats, quirks=Quirks(past_end="error")) as sim:
        answers = [await ask(sim, f"page={number}&pageSize=4") for number in range(1, pages + 2)]
        assert [status for status, _, _ in answers] == [*[200] * pages, 404]
        assert answers[-1][1] == {"error": f"there is no page {pages + 1}"}


async def test_no_page_is_past_the_end_of_a_server_that_ignores_page() -> None:
    """It answers each number with the first page."""
    async with PlugChatSimulator(8, quirks=Quirks(past_end="error", ignore_page=True)) as sim:
        assert await page(sim, 9, 4) == list(sim.chats[:4])


# Answers that know only a part of the list, nothing of it, or how it was.


async def test_a_part_of_the_list_for_a_request(sim: PlugChatSimulator) -> None:
    """It ends after so many of its chats, on whichever page; the next request gets all."""
    sim.script(Fault.partial(), Fault.partial(0.4), Fault.partial(0.0), Fault.partial(1.0))
    assert await page(sim) == list(sim.chats[:125])
    assert await page(sim, 2, 60) == list(sim.chats[60:100])
    assert await page(sim, 1, 60) == []
    assert await page(sim) == list(sim.chats)
    assert await page(sim) == list(sim.chats)


async def test_a_part_of_the_list_has_an_end_of_its_own() -> None:
    """Past it comes what comes past any end."""
    async with PlugChatSimulator(20, quirks=Quirks(past_end="error")) as sim:
        sim.script(Fault.partial(0.5))
        assert (await ask(sim, "page=3&pageSize=5"))[0] == 404
        assert len(await page(sim, 3, 5)) == 5


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan"), "x"])
def test_a_part_is_a_share(share: Any) -> None:
    """From 0 to 1."""
    with pytest.raises(ConfigurationError, match="share"):
        Fault.partial(share)


@pytest.mark.parametrize(("quirks", "length"), [({"empty_share": 0.3}, 0), ({"partial_share": 0.3}, 15)])
async def test_a_share_of_answers_knows_less(quirks: dict[str, Any], length: int) -> None:
    """The others are whole; which ones they are is the same in each run."""
    runs: list[list[int]] = []
    for _ in range(2):
        async with PlugChatSimulator(30, quirks=Quirks(**quirks)) as sim:
            runs.append([len(await page(sim)) for _ in range(100)])
    assert runs[0] == runs[1]
    assert set(runs[0]) == {length, 30}
    assert 15 < runs[0].count(length) < 45


async def test_a_lagging_replica() -> None:
    """Some answers are what the list was two answers ago, all pages of it; the others are what it is."""
    async with PlugChatSimulator(30, quirks=Quirks(lagging_share=0.5, replica_lag=2)) as sim:
        past: list[list[Chat]] = []
        lagging = 0
        for number in range(60):
            past.append(list(sim.chats))
            found = await page(sim, 2, 10)
            old = past[max(0, number - 2)][10:20]
            assert found in (past[-1][10:20], old)
            lagging += found == old != past[-1][10:20]
            sim.receive_message(sim.chats[15])
        assert 15 < lagging < 45


async def test_each_account_lags_behind_itself() -> None:
    """At first, and while nothing happens, there is nothing older."""
    async with PlugChatSimulator(3, quirks=Quirks(lagging_share=1.0)) as sim:
        other = sim.add_account("other", 2)
        for _ in range(3):
            assert await page(sim) == list(sim.chats)
            assert len((await ask(sim, Authorization=other.token))[1]) == 2
        before = sim.chats
        sim.new_chat()
        assert await page(sim) == list(before)
        assert await page(sim) == list(sim.chats)


# The order of the list.


async def test_chats_without_a_time_first() -> None:
    """All of them on top, and the others in order."""
    async with PlugChatSimulator(50, quirks=Quirks(without_time="first")) as sim:
        timed = [chat for chat in sim.chats if chat.last_message_time]
        untimed = [chat for chat in sim.chats if not chat.last_message_time]
        assert len(untimed) > 10 < len(timed)
        assert await page(sim) == [*untimed, *timed] == list(sim.listed_chats)


async def test_chats_without_a_time_scattered() -> None:
    """Among the others, which are in order; they keep their places while another chat moves."""
    async with PlugChatSimulator(200, quirks=Quirks(without_time="scattered")) as sim:
        found = await page(sim)
        assert sorted(found, key=repr) == sorted(sim.chats, key=repr)
        assert [chat for chat in found if chat.last_message_time] == [c for c in sim.chats if c.last_message_time]
        thirds = [found[:60], found[60:120], found[120:]]
        assert all(10 < sum(not chat.last_message_time for chat in third) < 60 for third in thirds)
        moved = next(chat for chat in found[100:] if chat.last_message_time)
        sim.receive_message(moved)
        sim.new_chat()
        assert keys(await page(sim))[2:] == [key for key in keys(found) if key != key_of(moved)]


async def test_scattered_among_nothing() -> None:
    """Where no chat has a time the list stays as it is."""
    async with PlugChatSimulator(6, quirks=Quirks(without_time="scattered")) as sim:
        for chat in sim.chats:
            if chat.last_message_time:
                sim.delete_message(chat, gap=None)
        assert len(await page(sim)) == 6
    async with PlugChatSimulator(0, quirks=Quirks(without_time="scattered")) as sim:
        assert await page(sim) == []


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_chat_is_pinned_and_unpinned(dialect: Dialect) -> None:
    """On top of the list, and back at its place; it says so only in today's dialect."""
    async with PlugChatSimulator(20, dialect=dialect) as sim:
        before = list(sim.chats)
        pinned = sim.pin_chat(before[7])
        assert pinned.is_pinned is (True if dialect == "gateway" else None)
        assert keys(sim.chats) == keys(before)
        expected = keys([before[7], *before[:7], *before[8:]])
        assert keys(await page(sim)) == keys(sim.listed_chats) == expected
        new = sim.new_chat()
        assert keys(await page(sim)) == [expected[0], key_of(new), *expected[1:]]
        sim.pin_chat(pinned, pinned=False)
        assert keys(await page(sim)) == keys([new, *before])
        sim.pin_chat(pinned)
        sim.delete_chat(pinned)
        assert len(await page(sim)) == 20


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("archived", ["listed", "last", "omitted"])
async def test_a_chat_is_archived(archived: Any, dialect: Dialect) -> None:
    """It stays, goes to the end, or is in the list no more; taken out of the archive it is back."""
    async with PlugChatSimulator(20, dialect=dialect, quirks=Quirks(archived=archived)) as sim:
        for chat in sim.chats:
            sim.archive_chat(chat, archived=False)
        before = list(sim.chats)
        gone = sim.archive_chat(before[2])
        assert gone.is_archived is (True if dialect == "gateway" else None)
        rest = [*before[:2], *before[3:]]
        expected = {"listed": before, "last": [*rest, gone], "omitted": rest}
        assert keys(await page(sim)) == keys(expected[archived])
        assert (await page(sim, 2, 10)) == (await page(sim))[10:]
        sim.archive_chat(gone, archived=False)
        assert await page(sim) == before


async def test_chats_that_are_archived_from_the_start() -> None:
    """Today's rows say who they are."""
    async with PlugChatSimulator(200, quirks=Quirks(archived="omitted")) as sim:
        assert await page(sim) == [chat for chat in sim.chats if not chat.is_archived]
        assert len(await page(sim)) < 195


async def test_two_rows_of_a_chat_on_different_pages() -> None:
    """The second is further down, with a time that fits there, or at the end of a short list."""
    async with PlugChatSimulator(
        12, dialect="documented", quirks=Quirks(duplicates=2, duplicate_distance=5, reorder_ties=False)
    ) as sim:
        chats = list(sim.chats)
        second = [evolve(chats[i], last_message_time=chats[i + 4].last_message_time) for i in range(2)]
        assert await page(sim) == [*chats[:5], second[0], chats[5], second[1], *chats[6:]]
        assert await page(sim, 2, 5) == [second[0], chats[5], second[1], *chats[6:8]]
    async with PlugChatSimulator(3, dialect="documented", quirks=Quirks(duplicates=1, duplicate_distance=9)) as sim:
        assert keys(await page(sim)) == keys([*sim.chats, sim.chats[0]])


@pytest.mark.parametrize(
    "options",
    [
        *({name: share} for name in ("hidden_share", "empty_share", "partial_share") for share in (-0.1, 1.1, True)),
        {"lagging_share": 2},
        {"replica_lag": 0},
        {"replica_lag": 1001},
        {"without_time": "x"},
        {"archived": "x"},
        {"duplicate_distance": 0},
    ],
)
def test_quirks_of_lists_check_their_values(options: dict[str, Any]) -> None:
    """As all others."""
    with pytest.raises(ConfigurationError, match=next(iter(options))):
        Quirks(**options)


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


async def test_traffic_of_pins() -> None:
    """Between none and three are on top, and not always the same."""
    async with PlugChatSimulator(30) as sim:
        sim.traffic(pins=1.0, seed=1)
        tops: set[tuple[str, ...]] = set()
        for _ in range(40):
            chats = await page(sim)
            pinned = [chat for chat in chats if chat.is_pinned]
            assert pinned == chats[: len(pinned)]
            tops.add(tuple(keys(pinned)))
        assert {len(top) for top in tops} == {0, 1, 2, 3}


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
