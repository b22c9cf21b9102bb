"""The workers of a bulk fetch: their order, their end, their reserve of retries."""

import asyncio
from collections.abc import Iterator
from contextlib import aclosing
from typing import Any

import attrs
import pytest

from plugchat_async import (
    Account,
    AccountResult,
    BulkOptions,
    ConfigurationError,
    PlugChatSession,
    ServerError,
    ServerTraits,
    fetch_many,
)
from plugchat_async._http.options import RequestSettings
from plugchat_async._http.retry import RetryBudget
from plugchat_async._http.transport import Transport
from plugchat_async._internal.iterables import Source
from plugchat_async._pagination.chat_walk import ChatWalk
from plugchat_async._pagination.options import WalkSettings
from plugchat_async.bulk.fetch import BulkSettings
from plugchat_async.testing import PlugChatSimulator
from support.eager import EAGER_TASK_FACTORIES


def account(number: int, sim: PlugChatSimulator, chats: int = 25) -> Account:
    """Add an account to the simulator, and give it."""
    sim.add_account(f"token-{number}", chats, seed=number)
    return Account(f"account {number}", f"token-{number}", sim.base_url)


def others() -> set[Any]:
    """Tasks that are neither this one's nor the simulator's."""
    return {
        task
        for task in asyncio.all_tasks() - {asyncio.current_task()}
        if not any(word in repr(task.get_coro()) for word in ("RequestHandler", "RawServer"))
    }


def test_the_options_are_those_that_are_told() -> None:
    """Each name of the dictionary is an option of walks, of requests or of the settings, and no other is taken."""
    told = {name for kind in (WalkSettings, RequestSettings, BulkSettings) for name in attrs.fields_dict(kind)}
    one_walks = {"start_page", "resume", "account", "on_page", "on_report"}
    assert BulkOptions.__optional_keys__ == told - one_walks - {"walk", "requests", "environment"}
    unknown: Any = {"start_page": 2}
    with pytest.raises(TypeError, match="start_page"):
        fetch_many([], **unknown)


async def test_who_waits_first_hands_over_first() -> None:
    """Another worker that comes just when a place is free does not push in."""
    pool = BulkSettings().pool(Source("accounts", [], Account), concurrency=1, pages=False)
    results = [AccountResult(Account(name, "t"), ()) for name in ("taken", "first", "second")]
    await pool._hand_over(results[0])
    first = asyncio.create_task(pool._hand_over(results[1]))
    await asyncio.sleep(0.01)
    second = asyncio.create_task(pool._hand_over(results[2]))
    assert [pool._found.get_nowait(), await pool._found.get(), await pool._found.get()] == results
    await asyncio.gather(first, second)


async def test_a_crew_that_was_never_begun_can_be_closed() -> None:
    """As one whose connections could not be opened."""
    pool = BulkSettings().pool(Source("accounts", [], Account), concurrency=1, pages=False)
    await pool.close()
    assert others() == set()


async def test_a_supervisor_that_others_cancel_is_told_though_something_waits_to_be_taken(
    sim: PlugChatSimulator,
) -> None:
    """That would be taken, and then nothing would come any more."""
    source = Source("accounts", [account(number, sim, 7) for number in range(5)], Account)
    pool = BulkSettings(base_url=sim.base_url).pool(source, concurrency=2, pages=False)
    await pool.next()
    while pool._found.empty():
        await asyncio.sleep(0.01)
    assert pool._supervisor is not None
    pool._supervisor.cancel()
    await asyncio.wait([pool._supervisor])
    await asyncio.sleep(0)
    with pytest.raises(ConfigurationError, match="were cancelled by other code"):
        await pool.next()
    await pool.close()
    assert others() == set()


def test_the_reserve_is_of_two_retries() -> None:
    """Of any kind."""
    from plugchat_async.bulk.workers import _RESERVE

    budget = RetryBudget(_RESERVE)
    assert [budget.take(ServerError()) for _ in range(3)] == [True, True, False]


async def test_connections_are_closed_even_if_ending_a_walk_is_cancelled(
    sim: PlugChatSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each account's own, too; the account's walk is not to blame."""
    opened: list[Transport] = []
    open_transport = Transport.open

    def noted(transport: Transport) -> None:
        opened.append(transport)
        open_transport(transport)

    async def cancelled(_: ChatWalk) -> None:
        raise asyncio.CancelledError

    monkeypatch.setattr(Transport, "open", noted)
    monkeypatch.setattr(ChatWalk, "discard", cancelled)
    with pytest.raises(ConfigurationError, match="cancelled"):
        async for _ in fetch_many([account(1, sim)], isolate_connections=True):
            raise AssertionError("its walk was not ended")
    assert [transport.state for transport in opened] == ["closed"]


async def requests_of(accounts: list[Account], **options: Any) -> list[int]:
    """How many requests each of them took, one after another."""
    results = fetch_many(accounts, concurrency=1, **options)
    return [result.report.requests async for result in results if result.report is not None]


async def test_the_first_short_page_of_a_server_is_doubted_once() -> None:
    """What it shows holds for all accounts on that base URL, and for no other one."""
    async with PlugChatSimulator(1) as one, PlugChatSimulator(1) as two:
        accounts = [account(number, sim, chats=40 - number) for number, sim in enumerate([one, one, two, two, one])]
        assert await requests_of(accounts) == [2, 1, 2, 1, 1]


async def test_many_accounts_can_be_told_what_is_known() -> None:
    """At their base URL, not at those of accounts that have one of their own. The option is not what they learn in."""
    known = ServerTraits(longest_page=100, short_pages="end")
    before = known.copy()
    async with PlugChatSimulator(1) as one, PlugChatSimulator(1) as two:
        ours = attrs.evolve(account(0, one, chats=5), base_url=None)
        options: dict[str, Any] = {"base_url": one.base_url, "server_traits": known}
        assert await requests_of([ours, account(1, two, chats=5)], **options) == [1, 2]
    assert known == before


async def test_a_session_shows_what_it_has_learned() -> None:
    """For the next one, which is told."""
    async with PlugChatSimulator(40) as sim:
        async with PlugChatSession(sim.token, base_url=sim.base_url) as session:
            await session.list_chats()
            learned = session.server_traits
        assert (learned.short_pages, learned.longest_page) == ("end", 40)
        asked = len(sim.requests)
        learned = ServerTraits.from_dict(learned.to_dict() | {"longest_page": 41})
        async with PlugChatSession(sim.token, base_url=sim.base_url, server_traits=learned) as session:
            await session.list_chats()
        assert (asked, len(sim.requests) - asked) == (2, 1)


@pytest.mark.parametrize("ends", ["done", "left"])
@pytest.mark.parametrize("factory", EAGER_TASK_FACTORIES)
async def test_eager_tasks_do_not_nest(sim: PlugChatSimulator, factory: Any, ends: str) -> None:
    """Each worker that begins within the one before needs a few frames of Python's stack, which ends at a thousand."""
    asyncio.get_running_loop().set_task_factory(factory)
    sim.add_account("one", 5)
    accounts = [Account(str(number), "one", sim.base_url) for number in range(250)]
    found: list[AccountResult] = []
    async with asyncio.timeout(20), aclosing(fetch_many(accounts, concurrency=200)) as results:
        async for result in results:
            assert result.error is None
            found.append(result)
            if ends == "left":
                break
    assert len(found) == (250 if ends == "done" else 1)
    assert others() == set()


@pytest.mark.parametrize("kind", [LookupError, asyncio.CancelledError])
@pytest.mark.parametrize("factory", EAGER_TASK_FACTORIES)
async def test_eager_tasks_hand_over_an_error_of_the_accounts(factory: Any, kind: type[BaseException]) -> None:
    """It comes while the workers are being made."""
    asyncio.get_running_loop().set_task_factory(factory)

    def accounts() -> Iterator[Account]:
        yield Account("bad", "")
        raise kind

    async with asyncio.timeout(20):
        with pytest.raises(ConfigurationError if kind is asyncio.CancelledError else kind):
            async for result in fetch_many(accounts(), concurrency=200):
                assert result.error is not None
    assert others() == set()
