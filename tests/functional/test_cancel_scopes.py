"""Cancel scopes of anyio, and closed sessions: what waits for a token or for its turn ends with them.

anyio knows its cancellations by their message: one that is raised anew must have it, or it leaves its scope.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import anyio
import pytest

from plugchat_async import Account, PlugChatSession, SessionStateError, fetch_many
from plugchat_async.testing import Fault, PlugChatSimulator

PATIENCE = 15.0


async def never() -> str:
    await asyncio.Event().wait()
    raise AssertionError


async def swallowing() -> str:
    """A token function that notes its cancellation, and raises another one."""
    try:
        return await never()
    except asyncio.CancelledError as error:
        raise asyncio.CancelledError(*error.args) from None


def never_as_future() -> "asyncio.Future[str]":
    return asyncio.get_running_loop().create_future()


async def walk(session: PlugChatSession) -> None:
    async for _ in session.iter_chats(prefetch=2):
        pytest.fail("a chat came")


async def watch(session: PlugChatSession) -> None:
    async for _ in session.watch_chats():
        pytest.fail("an event came")


CALLS: dict[str, Callable[[PlugChatSession], Any]] = {
    "fetch_page": lambda session: session.fetch_page(1, 10),
    "list_chats": lambda session: session.list_chats(),
    "iter_chats": walk,
    "watch_chats": watch,
    "status": lambda session: session.fetch_status(),
}


@pytest.mark.parametrize("token", [never, swallowing, never_as_future])
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
async def test_a_scope_catches_its_own_cancellation(
    sim: PlugChatSimulator, token: Callable[[], Any], call: Callable[[PlugChatSession], Any]
) -> None:
    """While a token is waited for. The task is then as it was before."""
    task = asyncio.current_task()
    assert task is not None
    async with PlugChatSession(token, base_url=sim.base_url) as session:
        with anyio.fail_after(PATIENCE):
            with anyio.move_on_after(0.05) as scope:
                await call(session)
        assert scope.cancelled_caught
        assert task.cancelling() == 0


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
async def test_a_scope_catches_it_in_the_middle_of_a_request(
    sim: PlugChatSimulator, call: Callable[[PlugChatSession], Any]
) -> None:
    """As everywhere else."""
    sim.script(*[Fault.hang()] * 4)
    async with PlugChatSession(sim.token, base_url=sim.base_url) as session:
        with anyio.fail_after(PATIENCE):
            with anyio.move_on_after(0.05) as scope:
                await call(session)
        assert scope.cancelled_caught


async def test_a_scope_around_many_accounts(sim: PlugChatSimulator) -> None:
    """Their walks are tasks of their own, which end with it."""
    with anyio.fail_after(PATIENCE):
        with anyio.move_on_after(0.05) as scope:
            async for _ in fetch_many([Account("a", never)], base_url=sim.base_url):
                pytest.fail("a result came")
    assert scope.cancelled_caught


async def test_the_message_of_a_cancellation_is_kept(sim: PlugChatSimulator) -> None:
    """Whoever gave it may look for it."""
    async with PlugChatSession(never, base_url=sim.base_url) as session:
        task = asyncio.create_task(session.list_chats())
        await asyncio.sleep(0.05)
        task.cancel("the user has left")
        with pytest.raises(asyncio.CancelledError) as caught:
            await task
    assert caught.value.args == ("the user has left",)


@pytest.fixture
async def full(sim: PlugChatSimulator) -> AsyncIterator[PlugChatSession]:
    """A session whose only slot is taken by a request that never ends."""
    sim.script(Fault.hang())
    session = PlugChatSession(sim.token, base_url=sim.base_url, max_concurrency=1)
    async with session:
        first = asyncio.create_task(session.fetch_page(1, 10))
        await asyncio.sleep(0.05)
        yield session
    await asyncio.gather(first, return_exceptions=True)


async def ends_when_closed(session: PlugChatSession, *calls: Any) -> None:
    """Each of them ends with SessionStateError as soon as the session is closed."""
    tasks = [asyncio.ensure_future(call) for call in calls]
    await asyncio.sleep(0.05)
    assert not any(task.done() for task in tasks)
    await session.close()
    async with asyncio.timeout(PATIENCE):
        errors = await asyncio.gather(*tasks, return_exceptions=True)
    for error in errors:
        assert isinstance(error, SessionStateError), error
        assert error.message == "the session is closed"


@pytest.mark.parametrize("token", [never, swallowing, never_as_future])
async def test_closing_ends_the_wait_for_a_token(sim: PlugChatSimulator, token: Callable[[], Any]) -> None:
    """Of the request that asks for it, and of those that wait behind it."""
    session = await PlugChatSession(token, base_url=sim.base_url).open()
    await ends_when_closed(session, session.fetch_page(1, 10), session.list_chats(), session.fetch_status())


async def test_closing_ends_the_wait_for_a_newer_token(sim: PlugChatSimulator) -> None:
    """After a 401, when the function is asked once more."""
    tokens = iter([sim.token])
    sim.script(Fault.status(401))

    async def rotating() -> str:
        return next(tokens, None) or await never()

    session = await PlugChatSession(rotating, base_url=sim.base_url).open()
    await ends_when_closed(session, session.fetch_page(1, 10))


async def test_closing_ends_the_wait_for_a_slot(full: PlugChatSession) -> None:
    """Requests that were not sent yet are not sent any more."""
    await ends_when_closed(full, full.fetch_page(2, 10), full.list_chats())


async def test_closing_ends_the_wait_for_the_rate(sim: PlugChatSimulator) -> None:
    """The next request would be sent in an hour."""
    session = await PlugChatSession(sim.token, base_url=sim.base_url, requests_per_second=1 / 3600).open()
    await session.fetch_page(1, 10)
    await ends_when_closed(session, session.fetch_page(2, 10), session.fetch_page(3, 10))
    assert len(sim.requests) == 1
