"""States of watches: each is one account's, and one watch at a time uses its file."""

import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest

from plugchat_async import ChatAdded, InvalidValueError, PlugChatSession, WatchOptions, WatchState
from plugchat_async.testing import PlugChatSimulator

OTHER_ACCOUNT = r"^state belongs to another account, or this account has a new token or base URL\. Use one state for"
IN_USE = r"is in use by another watch\. Wait until it has ended, or use another file\."


@pytest.fixture
async def sim() -> AsyncIterator[PlugChatSimulator]:
    async with PlugChatSimulator(chats=7, token="first-token", dialect="documented") as simulator:
        simulator.add_account("second-token", chats=8)
        yield simulator


async def poll(
    sim: PlugChatSimulator, state: WatchState, token: str = "first-token", account: str | None = None
) -> list[object]:
    options: WatchOptions = {"state": state, "max_polls": 1, "account": account}
    async with PlugChatSession(token, base_url=sim.base_url) as session:
        return [event async for event in session.watch_chats(**options)]


async def test_a_state_of_another_account_is_refused(sim: PlugChatSimulator) -> None:
    """Before anything is requested. Its chats would be told as removed, the others as new."""
    state = WatchState()
    await poll(sim, state)
    assert "first-token" not in state.dumps()
    state = WatchState.loads(state.dumps())
    sim.requests.clear()
    with pytest.raises(InvalidValueError, match=OTHER_ACCOUNT):
        await poll(sim, state, "second-token")
    assert sim.requests == []
    added = sim.new_chat()
    assert await poll(sim, state) == [ChatAdded(added)]


async def test_a_token_function_is_known_at_the_first_request(sim: PlugChatSimulator) -> None:
    """Then no event is yielded; the function is not called more often."""
    state = WatchState()
    calls: list[str] = []

    async def token(of: str) -> str:
        calls.append(of)
        return of

    async def poll_with(name: str) -> None:
        async with PlugChatSession(lambda: token(name), base_url=sim.base_url) as session:
            assert [event async for event in session.watch_chats(state=state, max_polls=1)] == []

    await poll_with("first-token")
    assert len(calls) == len(sim.requests)
    known = state.chats
    with pytest.raises(InvalidValueError, match=OTHER_ACCOUNT):
        await poll_with("second-token")
    assert state.chats == known
    await poll_with("first-token")


async def test_a_name_of_the_callers_stands_for_a_token_that_changes(sim: PlugChatSimulator) -> None:
    """From when it is given for the first time on. Without it, or with another one, the state is not the account's."""
    state = WatchState()
    await poll(sim, state)
    await poll(sim, state, account="sales")
    sim._accounts["new-token"] = sim._account
    added = sim.new_chat()
    assert await poll(sim, state, "new-token", account="sales") == [ChatAdded(added)]
    assert "sales" not in state.dumps()
    for account in (None, "support"):
        with pytest.raises(InvalidValueError, match=OTHER_ACCOUNT):
            await poll(sim, state, account=account)


async def test_a_state_is_not_marked_before_an_answer(sim: PlugChatSimulator) -> None:
    """A wrong token is no account."""
    state = WatchState()
    with pytest.raises(Exception, match="401"):
        await poll(sim, state, "wrong-token")
    await poll(sim, state)


async def test_a_file_has_one_watch(sim: PlugChatSimulator, tmp_path: Path) -> None:
    """Of whatever process; nothing stays beside it."""
    path = tmp_path / "watch.state"
    first, second = WatchState.load(path), WatchState.load(path)
    first.save(path)
    async with (
        PlugChatSession("first-token", base_url=sim.base_url) as session,
        aclosing(session.watch_chats(state=first, emit_existing=True)) as events,
    ):
        await anext(events)
        assert sorted(found.name for found in tmp_path.iterdir()) == ["watch.state", "watch.state.lock"]
        sim.requests.clear()
        with pytest.raises(InvalidValueError, match=IN_USE):
            await poll(sim, second)
        code = f"from plugchat_async import WatchState\nwith WatchState.locked({str(path)!r}): pass"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert "is in use by another watch" in done.stderr
        assert sim.requests == []
    await poll(sim, second)
    assert [found.name for found in tmp_path.iterdir()] == ["watch.state"]


async def test_a_locked_file_is_used_by_a_watch(sim: PlugChatSimulator, tmp_path: Path) -> None:
    """By the one that has it."""
    path = tmp_path / "watch.state"
    with WatchState.locked(path) as state:
        await poll(sim, state)
        state.save(path)
        with pytest.raises(InvalidValueError, match=IN_USE), WatchState.locked(path):
            pass
    assert len(WatchState.load(path).chats) == 7


async def test_a_folder_that_can_not_be_written_needs_no_lock(sim: PlugChatSimulator, tmp_path: Path) -> None:
    """The lock is a help, not a guarantee."""
    path = tmp_path / "watch.state"
    WatchState().save(path)
    (tmp_path / "watch.state.lock").mkdir()  # as good as a folder that is not ours, also for root
    state = WatchState.load(path)
    assert await poll(sim, state) == []
