"""Lists of hundreds of thousands: no step of the event loop does work for all of their chats."""

import asyncio
import gc
from collections.abc import Callable, Generator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from threading import Event
from typing import Any, TypeVar

import pytest
from attrs import evolve

from plugchat_async import (
    Chat,
    ChatAdded,
    ChatChanged,
    ChatRemoved,
    OutputError,
    Page,
    PlugChatSession,
    ServerError,
    WatchState,
)
from plugchat_async._internal.serialization import PackedText
from plugchat_async._internal.steps import finish
from plugchat_async._pagination import chat_walk, checkpoint
from plugchat_async._pagination.chat_walk import ChatWalk
from plugchat_async._pagination.checkpoint import CheckpointPacker, unpack
from plugchat_async._pagination.options import WalkSettings
from plugchat_async._pagination.order import MAX_PINNED
from plugchat_async._pagination.seen_keys import SeenKeys
from plugchat_async._pagination.walk_state import WalkConfig, WalkState
from plugchat_async.server_traits import ServerTraits
from plugchat_async.testing import PlugChatSimulator
from plugchat_async.watch import full_scan, identity, losses, ordering, scan, snapshot, state_text
from plugchat_async.watch import state as state_module
from plugchat_async.watch.full_scan import scan_all
from plugchat_async.watch.losses import Missed
from plugchat_async.watch.ordering import sorted_by_time
from plugchat_async.watch.scan import FullScan
from plugchat_async.watch.snapshot import Snapshot
from support.fakes import FakeTime
from support.moving import MovingList, PagesOf

T = TypeVar("T")
NOW = datetime(2026, 1, 15, tzinfo=UTC)
CHATS = [Chat(str(number), last_message_time=NOW - timedelta(seconds=number)) for number in range(95)]
KNOWN = {f"{chat.phone}\n": chat for chat in reversed(CHATS)}


@pytest.fixture(autouse=True)
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten rows a step."""
    for module in (full_scan, identity, losses, ordering, scan, snapshot):
        monkeypatch.setattr(module, "ROWS_AT_ONCE", 10)
    monkeypatch.setattr(state_text, "_CHATS_AT_ONCE", 10)
    monkeypatch.setattr(checkpoint, "_KEYS_AT_ONCE", 10)


def counted(steps: Generator[Any, None, T]) -> tuple[int, list[Any], T]:
    """How many pauses there are, what else is yielded, and the result."""
    yielded: list[Any] = []
    while True:
        try:
            yielded.append(next(steps))
        except StopIteration as end:
            return yielded.count(None), [thing for thing in yielded if thing is not None], end.value


async def turns_during(work: Any) -> tuple[int, Any]:
    """How often another task runs meanwhile, and the result or the error."""
    task = asyncio.ensure_future(work)
    turns = 0
    while not task.done():
        turns += 1
        await asyncio.sleep(0)
    return turns, task.exception() or task.result()


# A poll.


def test_chats_are_moved_to_the_front_without_the_others() -> None:
    """The dictionary of all chats stays the same one."""
    known = Snapshot(chats=dict(KNOWN))
    before = known.chats
    seen = ["50\n", "0\n", "1\n", "2\n"]
    for _ in range(2):
        known.move_to_front(seen)
        assert known.chats is before
        assert list(reversed(known.chats))[:5] == [*seen, "3\n"]
        assert len(known.chats) == 95
    state = state_of(known)
    assert [chat.phone for chat in state.chats][:3] == ["0", "1", "2"]  # by time
    loaded = WatchState.loads(state.dumps())._snapshot
    assert list(loaded.chats) == list(known.chats)
    assert not loaded.lacks_newer(NOW - timedelta(seconds=2), {"50\n", "0\n", "1\n"})
    assert loaded.lacks_newer(NOW - timedelta(seconds=4), {"50\n", "0\n", "1\n"})


def state_of(known: Snapshot) -> WatchState:
    made = WatchState()
    made._snapshot = known
    return made


def test_a_full_scan_is_read_in_steps() -> None:
    """The first one adds all chats, a later one finds the changes, oldest message first, and sorts."""
    known = Snapshot()
    pauses, _, matched = counted(known.match((chat, 0) for chat in CHATS))
    assert pauses == 3 * 9 + 4  # 95 rows are read, looked up, and keyed, and what that has taken is freed
    assert matched.seen == KNOWN
    pauses, events, _ = counted(known.add_existing(matched.seen, NOW + timedelta(days=1)))
    assert (pauses, events, known.chats) == (9, [], KNOWN)
    assert counted(known.events(matched.seen, ()))[:2] == (9, [])
    assert counted(sorted_by_time(known.chats, matched.seen)) == (2 * 9, [], known.chats)
    pauses, _, lost = counted(known.note_missing(matched.seen.keys() - {"3\n"}, proven=True, now=5.0))
    assert (pauses, set(lost.missing)) == (9, {"3\n"})
    known.missing.clear()
    changed = [evolve(chat, unread=1, last_message_time=NOW + timedelta(seconds=5)) for chat in CHATS[60:75]]
    rows = [*changed, *CHATS[:60], *CHATS[75:]]
    _, _, matched = counted(known.match((chat, 0) for chat in rows))
    pauses, events, _ = counted(known.events(matched.seen, ()))
    assert pauses == 9 + 3 * 1  # what was read is compared, and fifteen changes are collected, sorted, and reported
    fields = ("unread", "last_message_time")
    assert events == [ChatChanged(old, new, fields) for old, new in zip(CHATS[60:75], changed, strict=True)]
    pauses, _, ordered = counted(sorted_by_time(known.chats, matched.seen))
    assert pauses == 2 * 9 + 9 + 9
    assert ordered == known.chats
    assert list(reversed(ordered.values())) == rows  # though fifteen have one time
    del matched.seen["3\n"]  # one that was not read stays where its time is
    assert list(counted(sorted_by_time(ordered, matched.seen))[2]) == list(ordered)


def test_a_large_loss_is_noted_and_saved_in_steps() -> None:
    """Chat by chat, it may be of all of them. One that is seen while the state is saved is saved as missing."""
    known = Snapshot(chats=dict(KNOWN))
    pauses, _, losses = counted(known.note_missing((), proven=True, now=5.0))
    assert pauses == 2 * 9
    assert losses.missing == dict.fromkeys(KNOWN, Missed(1, 5.0, large=True))
    assert known.dirty
    pauses, _, losses = counted(known.note_missing((), proven=True, now=5.0))
    assert (pauses, list(losses.certain), losses.confirmable) == (3 * 9, [], False)
    saved = dict(known.missing)
    steps = state_text.pack(known)
    for _ in range(14):  # the chats, and some of those that are missing
        next(steps)
    known.begin_poll()
    assert not any(known.events(KNOWN, ()))
    assert not any(known.is_missing(key) for key in KNOWN)
    pauses, _, text = counted(steps)
    assert pauses == 7
    assert WatchState.loads(text)._snapshot.missing == saved
    known.dirty = False
    assert finish(known.note_missing(KNOWN, proven=True, now=6.0)).missing == {}
    assert known.dirty
    known.dirty = False
    assert finish(known.note_missing(KNOWN, proven=True, now=6.0)).missing == {}
    assert not known.dirty


def test_a_large_loss_is_removed_in_steps() -> None:
    """In the order of one long sort: the oldest message first, and where times are equal, as the keys are given."""
    chats = {
        f"{number}": Chat(f"{number}", last_message_time=NOW + timedelta(seconds=number % 7)) for number in range(95)
    }
    known = Snapshot(chats=dict(chats), missing={key: Missed(2, 5.0, large=True) for key in chats})
    pauses, events, _ = counted(known.remove(list(chats), 5.0))
    assert pauses == 3 * 9
    expected = sorted(chats.values(), key=lambda chat: chat.last_message_time or NOW)
    assert events == [ChatRemoved(chat) for chat in expected]
    assert (known.chats, known.missing) == ({}, {})


def test_changes_of_a_whole_list_are_reported_in_steps() -> None:
    """Also if all of its chats have changed."""
    known = Snapshot(chats=dict(KNOWN))
    changed = {key: evolve(chat, unread=1) for key, chat in reversed(KNOWN.items())}
    pauses, events, _ = counted(known.events(changed, ()))
    assert pauses == 4 * 9
    assert events == [ChatChanged(KNOWN[key], chat, ("unread",)) for key, chat in reversed(changed.items())]


def test_persons_with_several_rows_are_known() -> None:
    """As long as they have: no search through all others is needed for them."""
    rows = [Chat(None, name, lid="1@lid") for name in ("Ana", "Bia", "Carla")]
    known = Snapshot()
    first = finish(known.match((row, 0) for row in rows)).seen
    assert [event.chat for event in known.events(first, ()) if event is not None] == rows
    key, *others = first
    for count in (2, 1):
        assert finish(known.other_rows({key})) == set(others[:count])
        gone = others.pop()
        known.missing[gone] = Missed(2, 0.0, large=False)
        assert [type(event) for event in known.remove([gone], 1.0)] == [ChatRemoved]
    assert finish(known.other_rows({key, "x"})) == finish(known.other_rows({"x"})) == set()
    several = Snapshot(chats={f"{number}{row}": Chat(str(number), row) for number in range(15) for row in "ab"})
    assert counted(several.other_rows({"3a"})) == (1, [], {"3b"})


@pytest.mark.parametrize("pinned", [0, 3, 25])
@pytest.mark.parametrize("unread", [0, 1, 40])
def test_chats_are_sorted_in_short_runs(pinned: int, unread: int) -> None:
    """As by one long sort: those that were not read first, equal times in the order of the list."""
    for seed in range(20):
        random = Random(seed)
        spread = random.choice((0, 3, 200))
        times = {str(number): NOW - timedelta(seconds=number + random.randint(0, spread) // 2) for number in range(95)}
        chats = {key: Chat(key, last_message_time=time) for key, time in reversed(times.items())}
        listed = [*random.sample(list(times), pinned)]
        listed += [key for key in times if key not in listed]
        seen = {key: chats[key] for key in listed if int(key) % 95 >= unread}
        expected = [*(key for key in chats if key not in seen), *reversed(seen)]
        expected.sort(key=lambda key: chats[key].last_message_time or NOW)
        pauses, _, ordered = counted(sorted_by_time(chats, seen))
        assert list(ordered) == expected
        assert ordered == chats
        assert pauses >= 2 * 9


@pytest.mark.parametrize(("pinned", "stays"), [(1, True), (MAX_PINNED, True), (MAX_PINNED + 1, False)])
def test_pinned_chats_stay_on_top(pinned: int, stays: bool) -> None:
    """Only because of them the others are not put into a new dictionary."""
    listed = [*CHATS[50 : 50 + pinned], *CHATS[:50], *CHATS[50 + pinned :]]
    seen = {f"{chat.phone}\n": chat for chat in listed}
    chats = dict(reversed(seen.items()))
    ordered = finish(sorted_by_time(chats, seen))
    assert (ordered is chats) is stays
    assert ordered == chats
    known = Snapshot(chats=ordered)
    for place in (3, 49, 60):  # of what is newer than the last chat of the front, nothing is overlooked
        front = seen.keys() - {f"{CHATS[place].phone}\n"}
        assert known.lacks_newer(NOW - timedelta(seconds=70), front)
        assert not known.lacks_newer(NOW - timedelta(seconds=place), front)


async def test_a_full_scan_keeps_no_second_copy_of_what_is_known() -> None:
    """Neither for the garbage collector to go through, nor to free."""
    listed = MovingList(95)
    known = Snapshot(chats={f"{chat.phone}\n": chat for chat in reversed(listed.page(1, 95).chats)})
    listed.happen(("bump", 50))

    async def fetch(number: int, size: int) -> Page:
        return listed.page(number, size)

    walk = ChatWalk(PagesOf(fetch), WalkSettings(page_size=95, consistency="strict"), ServerTraits())
    full = await scan_all(walk, known, 5.0)
    assert full.rows == list(listed.page(1, 95).chats)
    assert [row for row in full.rows if known.chats[f"{row.phone}\n"] is not row] == full.rows[:1]
    assert full.is_proven


@pytest.mark.parametrize("now", [NOW - timedelta(days=1), NOW - timedelta(seconds=50), NOW])
def test_the_times_of_a_long_list_cover_the_same(now: datetime) -> None:
    """As all of them would, in any order, but in steps."""
    rows = [*CHATS, Chat("no time")]
    Random(1).shuffle(rows)
    all_times, newest = Snapshot(), Snapshot()
    all_times.cover([chat.last_message_time for chat in CHATS if chat.last_message_time is not None], now)
    pauses, _, times = counted(FullScan(rows, is_proven=True, started=now.timestamp()).newest_times())
    newest.cover(times, now)
    assert newest.covered == all_times.covered
    assert pauses == 10
    assert len(times) <= 5


async def test_a_watch_pauses_and_tells_the_same() -> None:
    """Of a front scan and a full scan, with and without events."""
    async with (
        PlugChatSimulator(95) as sim,
        PlugChatSession(sim.token, base_url=sim.base_url, clock=FakeTime().clock) as session,
    ):
        for emit_existing, events in ((False, 0), (True, len(sim.listed_chats))):
            state = WatchState()
            watch = session.watch_chats(state=state, page_size=20, max_polls=1, emit_existing=emit_existing)
            assert len([event async for event in watch]) == events
            assert set(state.chats) == set(sim.listed_chats)


# A state.


def remove_one(known: Snapshot) -> None:
    known.missing = {"3\n": Missed(2, 5.0, large=False)}
    assert [type(event) for event in known.remove(["3\n"], 5.0)] == [ChatRemoved]


def add_one(known: Snapshot) -> None:
    assert [type(event) for event in known.events({"new\n": Chat("new")}, ())] == [ChatAdded]


def change_one(known: Snapshot) -> None:
    later = evolve(CHATS[94], unread=5)
    assert [type(event) for event in known.events({"94\n": later}, ())] == [ChatChanged]


def move_one(known: Snapshot) -> None:
    known.move_to_front(["50\n"])
    known.dirty = True  # the order alone is no reason to save


def change_all(known: Snapshot) -> None:
    for change in (remove_one, add_one, change_one, move_one):
        change(known)


@pytest.mark.parametrize("change", [remove_one, add_one, change_one, move_one, change_all])
@pytest.mark.parametrize("turns_before", [1, 2, 8])
async def test_a_state_is_saved_in_steps(tmp_path: Path, change: Callable[[Snapshot], None], turns_before: int) -> None:
    """As it was at the beginning, whatever changes meanwhile."""
    state = state_of(Snapshot(chats=dict(KNOWN), complete=True))
    text = state.dumps()
    path = tmp_path / "state"
    saving = asyncio.create_task(state.save_async(path))
    for _ in range(turns_before):
        await asyncio.sleep(0)
    change(state._snapshot)
    turns, _ = await turns_during(saving)
    assert turns_before + turns >= 10
    assert path.read_text() == text + "\n"
    await state.save_async(path)
    saved = list(WatchState.load(path)._snapshot.chats.items())
    assert saved == list(state._snapshot.chats.items()) != list(KNOWN.items())


def test_a_state_is_saved_without_a_copy() -> None:
    """Unless it changes. A save that was given up copies nothing afterwards."""
    known = Snapshot(chats=dict(KNOWN))
    with known.readers.read(known.chats) as items:
        assert [key for key, _ in items.take(2)] == ["0\n", "1\n"]
        before = items._items
        assert list(known.events({"0\n": CHATS[0]}, ())) == []
        assert items._items is before
    add_one(known)
    assert items._items is before


def test_a_copy_has_no_object_for_each_chat() -> None:
    """The garbage collector would go through them, in the same step."""
    known = Snapshot(chats=dict(KNOWN))
    with known.readers.read(known.chats) as items:
        taken = items.take(2)
        gc.collect()
        before = len(gc.get_objects())
        items.copy_now()
        assert len(gc.get_objects()) - before < 20
        add_one(known)
        assert [*taken, *items.take(5), *items.take(1000)] == list(reversed(KNOWN.items()))
        assert items.take(1) == []


async def test_saves_that_overlap_are_made_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last one has the last word, however slow the disk is; who is cancelled waits for the file."""
    path, go = tmp_path / "file", Event()
    write, written = state_module._write, list[int]()

    def slowly(path: Path, text: str, *, sync: bool) -> None:
        assert go.wait(10)
        write(path, text, sync=sync)
        written.append(len(WatchState.load(path).chats))

    monkeypatch.setattr(state_module, "_write", slowly)
    saved = state_of(Snapshot(chats={"1\n": Chat("1")}))
    first = asyncio.create_task(saved.save_async(path))
    await asyncio.sleep(0.02)
    assert [type(event) for event in saved._snapshot.events({"2\n": Chat("2")}, ())] == [ChatAdded]
    second = asyncio.create_task(saved.save_async(path))
    await asyncio.sleep(0.01)
    first.cancel()
    await asyncio.sleep(0.01)
    assert not first.done()
    go.set()
    await asyncio.wait([first, second], timeout=10)
    assert first.cancelled()
    assert written == [1, 2]


async def test_a_state_that_can_not_be_saved(tmp_path: Path) -> None:
    """It is told as by `save`."""
    with pytest.raises(OutputError):
        await WatchState().save_async(tmp_path / "nowhere" / "state")


# A checkpoint.


def walk_state(keys: int) -> WalkState:
    config = WalkConfig(path="/chats", page_size=5)
    return WalkState(config=config, size=5, seen=SeenKeys(map(str, range(keys))), delivered=keys)


def test_a_checkpoint_packs_what_is_new() -> None:
    """Nothing twice, and each checkpoint is whole."""
    now = walk_state(95)
    packer = CheckpointPacker(now)
    assert counted(packer.pack_keys())[0] == 10
    for new in (0, 1, 25):
        more = [f"new {new} {number}" for number in range(new)]
        assert now.seen.add(more) == (new, set())
        assert len(list(packer.pack_keys())) == -(-new // 10)
        for _ in range(2):
            assert unpack(packer.pack(), "/chats") == now


@pytest.mark.parametrize(("keys", "packers"), [(10, 0), (11, 1)])
def test_a_short_list_keeps_no_packer(keys: int, packers: int) -> None:
    """A packer takes 90 kB, and there are thousands of walks at a time."""
    now = walk_state(keys)
    packer = CheckpointPacker(now)
    assert unpack(packer.pack(), "/chats") == unpack(packer.pack(), "/chats") == now
    assert sum(isinstance(found, PackedText) for found in gc.get_referents(packer)) == packers


def test_labels_are_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """For each chat that was yielded, until the list is long."""
    made: list[Any] = []

    def label_of(chat: Chat) -> int:
        made.append(chat)
        return len(made)

    monkeypatch.setattr(checkpoint, "label_of", label_of)
    now = walk_state(2)
    now.labels = {"0": [7]}
    now.yielded.keep(["0", "1"], [Chat("0"), Chat("1")])
    packer = CheckpointPacker(now)
    for labels in ({"0": [7, 1], "1": [2]}, {"0": [7, 1], "1": [2]}, {"0": [7, 1], "1": [2, 3]}):
        if labels["1"] == [2, 3]:
            now.yielded.keep(["1"], [Chat("1", "again")])
        assert unpack(packer.pack(), "/chats").labels == labels
    now.yielded.clear()
    now.labels.clear()
    assert unpack(packer.pack(), "/chats").labels == {}


def test_what_was_read_is_in_order() -> None:
    """Each key once, in every kind of page: all new, known rows among them, several rows of one key."""

    async def read() -> None:
        listed = MovingList(60)

        async def fetch(number: int, size: int) -> Page:
            if number == 3:
                listed.happen(("bump", 55))
                listed.happen(("bump", 3))
            return listed.page(number, size)

        walk = ChatWalk(PagesOf(fetch), WalkSettings(page_size=7), ServerTraits())
        await walk.to_list()
        assert walk.report.duplicates
        assert len(walk._state.seen) == len(set(walk._state.seen)) == 60
        assert list(walk._state.seen)[:14] == [f"{number}\n" for number in range(14)]

    asyncio.run(read())


@pytest.mark.parametrize("seed", range(100))
def test_checkpoints_at_once_are_whole(seed: int) -> None:
    """Some that are made in steps, and others meanwhile, while the walk goes on."""
    now = walk_state(35)
    packer = CheckpointPacker(now)
    making = [packer.pack_keys(), packer.pack_keys()]
    chance = Random(seed)
    for turn in range(12):
        action = chance.randrange(5)
        if action < len(making):
            next(making[action], None)
        elif action == len(making):
            making.append(packer.pack_keys())
        elif action == len(making) + 1:
            assert unpack(packer.pack(), "/chats") == now
        now.seen.add([f"new {turn} {place}" for place in range(chance.randrange(15))])
    for steps in making:
        finish(steps)
    assert unpack(packer.pack(), "/chats") == now


@pytest.mark.parametrize("steps", range(4))
def test_labels_that_are_made_at_once_are_whole(monkeypatch: pytest.MonkeyPatch, steps: int) -> None:
    """Also if one checkpoint is given up in the middle of a page, or the list becomes long meanwhile."""
    monkeypatch.setattr(checkpoint, "_LABELS_AT_ONCE", 10)
    now = walk_state(0)
    for page in range(2):
        numbers = [str(number) for number in range(20 * page, 20 * page + 20)]
        now.yielded.keep(numbers, [Chat(number) for number in numbers])
    packer = CheckpointPacker(now)
    slow, given_up = packer.pack_keys(), packer.pack_keys()
    for _ in range(steps):
        next(given_up)
        next(slow)
    given_up.close()
    found = unpack(packer.pack(), "/chats").labels
    assert {key: len(labels) for key, labels in found.items()} == {str(number): 1 for number in range(40)}
    finish(slow)
    assert unpack(packer.pack(), "/chats").labels == found
    begun = CheckpointPacker(now)
    slow = begun.pack_keys()
    for _ in range(steps):
        next(slow)
    now.yielded.clear()
    finish(slow)
    assert unpack(begun.pack(), "/chats").labels == {}


def test_labels_of_a_long_page_are_made_in_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many as of short ones together."""
    monkeypatch.setattr(checkpoint, "_LABELS_AT_ONCE", 10)
    now = walk_state(0)
    for count in (25, 1):
        now.yielded.keep([f"{count}"] * count, [Chat(f"{number}") for number in range(count)])
    assert len(list(CheckpointPacker(now).pack_keys())) == 2


async def test_others_run_before_a_long_page_is_yielded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A step that is cancelled there loses nothing."""
    monkeypatch.setattr(chat_walk, "_LONG_PAGE", 5)

    async def fetch(number: int, size: int) -> Page:
        return MovingList(size - 10).page(number, size)

    def walk_of(length: int) -> ChatWalk:
        traits = ServerTraits(longest_page=100, short_pages="end")
        return ChatWalk(PagesOf(fetch), WalkSettings(page_size=10 + length, consistency="plain"), traits)

    short_turns, _ = await turns_during(walk_of(5).next_page())
    turns, page = await turns_during(walk_of(6).next_page())
    assert turns == short_turns + 1
    for before in range(turns):
        walk = walk_of(6)
        step = asyncio.create_task(walk.next_page())
        for _ in range(before):
            await asyncio.sleep(0)
        step.cancel()
        await asyncio.wait((step,))
        assert await walk.next_page() == page


async def test_a_long_checkpoint_is_made_in_steps() -> None:
    """On demand, and of an error: others run meanwhile."""

    async def fetch(number: int, size: int) -> Page:
        if number == 3:
            raise ServerError("down")
        return MovingList(500).page(number, size)

    traits = ServerTraits(longest_page=100, short_pages="end")
    walk = ChatWalk(PagesOf(fetch), WalkSettings(page_size=100), traits)
    await walk.next_page()
    turns, text = await turns_during(walk.checkpoint_async())
    assert turns >= 10
    assert text == walk.checkpoint
    await walk.next_page()
    turns, error = await turns_during(walk.next_page())
    assert turns >= 10
    assert error.checkpoint == walk.checkpoint
    turns, _ = await turns_during(walk.checkpoint_async())
    assert turns <= 2
