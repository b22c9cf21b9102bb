"""When the state of a watch is written: whenever the file does not hold it, and only then."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from plugchat_async import ChatEvent, OutputError, PlugChatSession, WatchState
from plugchat_async._internal import files
from plugchat_async.testing import PlugChatSimulator
from plugchat_async.watch.snapshot import Snapshot


@pytest.fixture
async def sim() -> AsyncIterator[PlugChatSimulator]:
    async with PlugChatSimulator(chats=7, dialect="documented") as simulator:
        yield simulator


async def poll(sim: PlugChatSimulator, state: WatchState) -> None:
    async with PlugChatSession(sim.token, base_url=sim.base_url) as session:
        async for _ in session.watch_chats(state=state, max_polls=1):
            pass


async def test_a_file_that_does_not_hold_the_state_is_written(sim: PlugChatSimulator, tmp_path: Path) -> None:
    """A second file, one that was deleted or replaced, and after a change all of them."""
    state, (first, second) = WatchState(), (tmp_path / "first", tmp_path / "second")
    await poll(sim, state)
    for file in (first, second, first):
        state.save(file)
    whole = second.read_text()
    second.unlink()
    first.write_text("something else\n")
    for file in (first, second):
        state.save(file)
        assert file.read_text() == whole
    sim.new_chat()
    await poll(sim, state)
    await state.save_async(first)
    await state.save_async(second)
    assert first.read_text() == second.read_text() == state.dumps() + "\n" != whole


@pytest.mark.parametrize(
    ("chats", "name", "before"), [(7, "proven", False), (7, "since", None), (7, "covered", None), (95, "proven", False)]
)
async def test_the_end_of_a_scan_is_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chats: int, name: str, before: bool | None
) -> None:
    """Also if another task has saved the state at a pause of this scan, and no chat has changed since."""
    state, file = WatchState(), tmp_path / "state"
    events = Snapshot.events

    def saved_after(snapshot: Snapshot, *arguments: Any) -> Iterator[ChatEvent | None]:
        yield from events(snapshot, *arguments)
        state.save(file)

    async with PlugChatSimulator(chats, dialect="documented") as sim:
        await poll(sim, state)
        setattr(state._snapshot, name, before)
        state._snapshot.last_full_scan = None
        monkeypatch.setattr(Snapshot, "events", saved_after)
        await poll(sim, state)
    state.save(file)
    assert getattr(WatchState.load(file)._snapshot, name) == getattr(state._snapshot, name) != before


async def test_a_save_that_failed_is_made_again(sim: PlugChatSimulator, tmp_path: Path) -> None:
    """Nothing has changed since, but nothing was written."""
    state, folder = WatchState(), tmp_path / "later"
    await poll(sim, state)
    for _ in range(2):
        with pytest.raises(OutputError):
            state.save(folder / "state")
    folder.mkdir()
    await state.save_async(folder / "state")
    assert len(WatchState.load(folder / "state").chats) == 7


async def test_a_state_that_may_not_be_on_disk_is_written_once_more(
    sim: PlugChatSimulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If it is to be there. What is on disk suffices for those that do not mind."""
    state = WatchState()
    await poll(sim, state)
    synced: list[bool] = []

    def write_private(path: Path, text: str, *, sync: bool, keep_previous: bool) -> None:
        synced.append(sync)
        files.write_private(path, text, sync=sync, keep_previous=keep_previous)

    monkeypatch.setattr("plugchat_async.watch.state.write_private", write_private)
    for sync in (False, False, True, True, False):
        state.save(tmp_path / "state", sync=sync)
        await state.save_async(tmp_path / "state", sync=sync)
    assert synced == [False, True]


async def test_a_save_that_is_overtaken_is_made_again(sim: PlugChatSimulator, tmp_path: Path) -> None:
    """A slow save may write an older state over a newer one. The next save writes the newer one again."""
    state, file = WatchState(), tmp_path / "state"
    await poll(sim, state)
    slow = state._writing(file, sync=True)
    with slow:
        older = state.dumps()
        sim.new_chat()
        await poll(sim, state)
        state.save(file)
        file.write_text(older)
    state.save(file)
    assert file.read_text() == state.dumps() + "\n"
