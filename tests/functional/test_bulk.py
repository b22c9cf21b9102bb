"""fetch_many over HTTP: many simulated accounts, some of which fail."""

import asyncio
import contextlib
import gc
import itertools
import logging
import pickle
import ssl
import traceback
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from typing import Any

import pytest
import trustme

from plugchat_async import (
    Account,
    AccountResult,
    AuthenticationError,
    Chat,
    ConfigurationError,
    ConsistencyError,
    InvalidTypeError,
    InvalidValueError,
    Page,
    PlugChatError,
    RetryPolicy,
    ServerError,
    export_many,
    fetch_many,
)
from plugchat_async.testing import Fault, PlugChatSimulator
from support.fakes import FakeTime, RawServer, answering, http
from support.proxies import BASE_URL, ConnectProxy, tls_of
from support.traits import KNOWN_SERVER


def account(number: int, sim: PlugChatSimulator, chats: int = 25) -> Account:
    """Add an account to the simulator, and give it."""
    sim.add_account(f"token-{number}", chats, seed=number)
    return Account(f"account {number}", f"token-{number}", sim.base_url)


def chats_of(sim: PlugChatSimulator, number: int) -> tuple[Chat, ...]:
    return sim._accounts[f"token-{number}"].chats


async def collect(accounts: Any, **options: Any) -> dict[str, AccountResult]:
    return {result.account.name: result async for result in fetch_many(accounts, **options)}


def others() -> set[Any]:
    """Tasks that are neither this one's nor the simulator's."""
    return {
        task
        for task in asyncio.all_tasks() - {asyncio.current_task()}
        if not any(word in repr(task.get_coro()) for word in ("RequestHandler", "RawServer"))
    }


# What comes.


async def test_each_account_gives_its_own_chats(sim: PlugChatSimulator) -> None:
    """With a report; a result for each account, in the order in which they finish."""
    accounts = [account(number, sim, number) for number in range(30)]
    results = await collect(accounts, concurrency=4, page_size=10)
    assert {name: Counter(result.chats) for name, result in results.items()} == {
        f"account {number}": Counter(chats_of(sim, number)) for number in range(30)
    }
    for result in results.values():
        assert result.error is None
        assert result.report is not None
        assert result.report.verified
        assert result.report.chats == len(result.chats)
        assert repr(result) == (
            f"AccountResult(account={result.account!r}, chats=<{len(result.chats)} chats>, error=None, "
            f"report={result.report!r})"
        )


async def test_pages_come_as_they_are_read(sim: PlugChatSimulator) -> None:
    """With stream=True: pairs of account and page, and a result at the end of each, which holds no chats."""
    accounts = [account(number, sim, 25) for number in range(6)]
    chats: dict[str, list[Chat]] = {each.name: [] for each in accounts}
    done: list[AccountResult] = []
    async for one, page in fetch_many(accounts, stream=True, page_size=10, on_result=done.append):
        assert isinstance(page, Page)
        assert one.name not in {result.account.name for result in done}
        chats[one.name] += page.chats
    assert {name: Counter(found) for name, found in chats.items()} == {
        f"account {number}": Counter(chats_of(sim, number)) for number in range(6)
    }
    assert {result.account.name for result in done} == set(chats)
    assert {(result.chats, result.error) for result in done} == {((), None)}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("limit", [0, 7, 10, 15, 100])
async def test_a_limit_is_each_accounts(sim: PlugChatSimulator, limit: int, stream: bool) -> None:
    """No more chats, and no page that they do not need."""
    accounts = [account(number, sim, 25) for number in range(3)]
    found: dict[str, int] = dict.fromkeys((each.name for each in accounts), 0)
    options: Any = {"limit": limit, "page_size": 10, "consistency": "plain"}
    options |= {"base_url": sim.base_url, "server_traits": KNOWN_SERVER}
    if stream:
        async for one, page in fetch_many(accounts, stream=True, **options):
            found[one.name] += len(page.chats)
    else:
        found |= {name: len(result.chats) for name, result in (await collect(accounts, **options)).items()}
    assert set(found.values()) == {min(limit, 25)}
    assert len(sim.requests) == 3 * min(-(-limit // 10), 3)


async def test_the_options_reach_the_walks_and_the_requests(sim: PlugChatSimulator, fake_time: FakeTime) -> None:
    """page_size, prefetch, consistency, stop_on, max_pages, require_verified, retry, timeout, base_url."""
    account(1, sim, 40)
    here = Account("here", "token-1")
    results = await collect(
        [here], base_url=sim.base_url, page_size=20, stop_on="empty", consistency="plain", prefetch=2
    )
    assert len(results["here"].chats) == 40
    assert {request.page_size for request in sim.requests} == {"20"}
    assert "3" in {request.page for request in sim.requests}
    results = await collect([here], base_url=sim.base_url, page_size=10, max_pages=2)
    assert "max_pages" in str(results["here"].error)
    sim.script(Fault.status(503))
    results = await collect([here], base_url=sim.base_url, retry=RetryPolicy(attempts=1))
    assert isinstance(results["here"].error, ServerError)
    sim.script(Fault.hang())
    results = await collect([here], base_url=sim.base_url, timeout=0.05, retry=RetryPolicy(attempts=1))
    assert "no complete answer within 0.05 s" in str(results["here"].error)
    results = await collect([here], base_url=sim.base_url, max_response_bytes=10)
    assert "max_response_bytes=10" in str(results["here"].error)
    sim.script(Fault.status(415))
    results = await collect([here], base_url=sim.base_url, repair=False)
    assert "415" in str(results["here"].error)


async def test_an_unverified_account_fails_if_it_must_be_verified(sim: PlugChatSimulator) -> None:
    """Its walk has ended, but chats may be missing."""
    sim.add_account("busy", 100, seed=1)
    sim.traffic(bumps=5.0, deletes=5.0, seed=3)
    [result] = (
        await collect([Account("busy", "busy", sim.base_url)], page_size=10, require_verified=True, max_pages=60)
    ).values()
    assert result.error is None or isinstance(result.error, ConsistencyError) or "max_pages" in str(result.error)
    assert (result.error is None) == (result.report is not None and result.report.verified)


# Where the accounts come from.


async def test_any_iterable_will_do_and_is_never_materialised(sim: PlugChatSimulator) -> None:
    """Of either kind: no more are taken than are under way or done."""
    sim.add_account("one", 5)
    taken = 0

    # It ends, and is ended: whatever goes wrong, no test takes accounts for ever.
    def many() -> Iterator[Account]:
        nonlocal taken
        for number in range(1000):
            taken += 1
            yield Account(f"a{number}", "one", sim.base_url)

    async def many_async() -> AsyncGenerator[Account, None]:
        for each in many():
            await asyncio.sleep(0)
            yield each

    async with contextlib.aclosing(many_async()) as asynchronous:
        for source in (many(), asynchronous):
            taken = 0
            async with contextlib.aclosing(fetch_many(source, concurrency=5)) as results:
                done = 0
                async for _ in results:
                    done += 1
                    # Those that are done, one that waits to be taken, and those under way.
                    assert taken <= done + 1 + 5
                    if done == 20:
                        break
            assert taken >= 20


async def test_no_accounts_give_no_results() -> None:
    """Nor any request."""
    assert await collect([]) == {}
    assert [pair async for pair in fetch_many((), stream=True)] == []


async def test_an_iterable_that_raises_ends_it_all(sim: PlugChatSimulator) -> None:
    """What it raises comes out as it is, after what was finished before."""

    def accounts() -> Iterator[Account]:
        yield account(1, sim)
        raise LookupError("the database is gone")

    async def accounts_async() -> AsyncIterator[Account]:
        yield Account("account 1", "token-1", sim.base_url)
        raise LookupError("the database is gone")

    for source in (accounts(), accounts_async()):
        with pytest.raises(LookupError, match="the database is gone"):
            await collect(source, concurrency=3)
    assert others() == set()


async def test_what_is_no_account_is_refused(sim: PlugChatSimulator) -> None:
    """At once if it is no iterable, else when it comes."""
    wrongs: list[Any] = [None, 5, "accounts.csv", Account("a", "b")]
    for wrong in wrongs:
        with pytest.raises(
            InvalidTypeError, match="accounts must be an iterable or async iterable of Account"
        ) as caught:
            fetch_many(wrong)
        with pytest.raises(InvalidTypeError) as exporting:
            await export_many(wrong, "never")
        assert caught.value.hint.startswith(
            "Pass a list" if isinstance(wrong, Account) else "Pass Account(name, token)"
        )
        assert exporting.value.hint == caught.value.hint
    one = account(1, sim)
    for odd in (None, ("name", "token")):
        with pytest.raises(InvalidTypeError, match=f"accounts must yield Account, got {type(odd).__name__}") as caught:
            await collect([one, odd, one])
        assert "read_accounts" in caught.value.hint


async def test_an_iterable_that_has_ended_is_not_asked_again(sim: PlugChatSimulator) -> None:
    """One that is fed by a queue would wait for ever."""
    queue: asyncio.Queue[Account | None] = asyncio.Queue()
    for number in range(5):
        queue.put_nowait(account(number, sim))
    queue.put_nowait(None)

    class Fed:
        def __aiter__(self) -> "Fed":
            return self

        async def __anext__(self) -> Account:
            found = await queue.get()
            if found is None:
                raise StopAsyncIteration
            return found

    async with asyncio.timeout(10):
        assert len(await collect(Fed(), concurrency=3)) == 5


class Odd(BaseException):
    """What some frameworks raise, as pytest's outcomes."""


@pytest.mark.parametrize("error", [asyncio.CancelledError, Odd, GeneratorExit])
@pytest.mark.parametrize("concurrency", [1, 2, 64])
async def test_even_an_odd_error_of_the_iterable_ends_it_all(
    sim: PlugChatSimulator, error: type[BaseException], concurrency: int
) -> None:
    """It neither hangs nor looks like the end of the list."""

    class Failing:
        left = 3

        def __iter__(self) -> "Failing":
            return self

        def __next__(self) -> Account:
            self.left -= 1
            if self.left < 0:
                raise error
            return account(self.left, sim)

    async with asyncio.timeout(10):
        # A CancelledError would look as if the caller had been cancelled.
        expected = ConfigurationError if error is asyncio.CancelledError else error
        with pytest.raises(expected):
            await collect(Failing(), concurrency=concurrency)
    assert others() == set()


async def test_an_iterable_may_use_tasks_and_cancel_itself(sim: PlugChatSimulator) -> None:
    """A TaskGroup whose child fails cancels its parent, which is nobody's wish to end it all."""
    sim.add_account("one", 7)

    async def look_up(number: int) -> Account:
        await asyncio.sleep(0)
        if number == 25:
            raise LookupError(number)
        return Account(f"a{number}", "one", sim.base_url)

    async def accounts() -> AsyncIterator[Account]:
        for first in range(0, 50, 10):
            async with asyncio.TaskGroup() as group:
                found = [group.create_task(look_up(number)) for number in range(first, first + 10)]
            for task in found:
                yield task.result()

    for concurrency in (1, 4):
        with pytest.raises(ExceptionGroup) as caught:
            await collect(accounts(), concurrency=concurrency)
        assert isinstance(caught.value.exceptions[0], LookupError)

    async def cancels_itself() -> AsyncIterator[Account]:
        yield await look_up(1)
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(0)
        yield await look_up(2)

    with pytest.raises(ConfigurationError, match="were cancelled by other code"):
        await collect(cancels_itself(), concurrency=1)
    assert others() == set()


@pytest.mark.parametrize("concurrency", [1, 2, 64])
async def test_an_iterable_with_a_timeout_across_its_yields_is_no_silent_end(
    sim: PlugChatSimulator, concurrency: int
) -> None:
    """It cancels whoever asks it just then (PEP 789)."""
    sim.add_account("one", 7)

    async def times_out() -> AsyncIterator[Account]:
        async with asyncio.timeout(0.05):
            for number in range(20):
                yield Account(f"a{number}", "one", sim.base_url)
                await asyncio.sleep(0.01)

    with pytest.raises((ConfigurationError, TimeoutError)):
        await collect(times_out(), concurrency=concurrency)
    assert others() == set()


async def test_a_worker_that_is_cancelled_again_and_again_loses_no_error(sim: PlugChatSimulator) -> None:
    """It can't hand it over itself: it comes at the end."""
    accounts = [account(number, sim) for number in range(6)]

    async def source() -> AsyncIterator[Account]:
        for number, each in enumerate(accounts):
            if number == 3:
                task = asyncio.current_task()
                assert task is not None
                for turn in range(8):
                    asyncio.get_running_loop().call_later(0.002 * turn, task.cancel)
            yield each

    for concurrency in (1, 2, 5):
        with pytest.raises(ConfigurationError, match="were cancelled by other code"):
            async for _ in fetch_many(source(), concurrency=concurrency):
                await asyncio.sleep(0.01)
    assert others() == set()


async def test_cancelling_all_other_tasks_does_not_hang_it(sim: PlugChatSimulator) -> None:
    """As some do when they shut down."""
    sim.script(Fault.hang())
    accounts = [account(1, sim)]
    loop = asyncio.get_running_loop()
    mine = asyncio.current_task()
    loop.call_later(0.1, lambda: [task.cancel() for task in others() if task is not mine])
    async with asyncio.timeout(10):
        with pytest.raises(ConfigurationError, match="were cancelled by other code"):
            await collect(accounts)


@pytest.mark.parametrize("answer", ["error", "odd", "account"])
async def test_an_iterable_that_answers_cancelling_otherwise_is_left_all_the_same(
    sim: PlugChatSimulator, answer: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A database's cursor may fail to close, or give one account more."""
    one = account(1, sim)

    async def accounts() -> AsyncIterator[Account]:
        yield one
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            if answer == "error":
                raise ConnectionError("can't close the cursor") from None
            if answer == "odd":
                raise Odd from None
        yield one

    async with asyncio.timeout(10):
        async with contextlib.aclosing(fetch_many(accounts())) as results:
            await anext(results)
            await asyncio.sleep(0.05)
    assert others() == set()
    assert ("ConnectionError" in caplog.text) == (answer == "error")
    assert ("Odd" in caplog.text) == (answer == "odd")


@pytest.mark.parametrize(
    "options",
    [
        {"concurrency": 0},
        {"on_error": "ignore"},
        {"stream": 1},
        {"on_result": 5},
        {"page_size": 0},
        {"limit": -1},
        {"prefetch": -1},
        {"isolate_connections": None},
        {"base_url": "http://example.com"},
        {"timeout": 0},
        {"proxy": "nowhere"},
        {"max_concurrency": 0},
        {"retry": 3},
        {"limits": 3},
        {"consistency": "plain", "require_verified": True},
    ],
)
def test_wrong_options_are_refused_at_once(options: dict[str, Any]) -> None:
    """Before anything is fetched, and before the generator is begun."""
    with pytest.raises((InvalidValueError, InvalidTypeError)):
        fetch_many([], **options)


# Failures.


FATES: dict[str, list[Fault]] = {
    "401": [Fault.status(401)],
    "403": [Fault.status(403)],
    "404": [Fault.status(404)],
    "405": [Fault.status(405)] * 3,
    "415": [Fault.status(415)] * 3,
    "302": [Fault.status(302, headers={"Location": "https://elsewhere.example/"})],
    **{str(code): [Fault.status(code)] * 3 for code in (408, 425, 502, 504)},
    "429": [Fault.status(429)] * 3,
    "429 for an hour": [Fault.status(429, headers={"Retry-After": "3600"})],
    "500": [Fault.status(500)] * 3,
    "503": [Fault.status(503, headers={"Retry-After": "1"})] * 3,
    "reset": [Fault.reset()] * 4,
    "close": [Fault.close()] * 4,
    "truncate": [Fault.truncate()] * 4,
    "garbage": [Fault.raw(b"\x00\x01\r\n\r\n")] * 4,
    "html": [Fault.answer("<html>", content_type="text/html")],
    "object": [Fault.answer("{}")],
    "empty": [Fault.answer("")] * 4,
    "cut": [Fault.answer('[{"phone": "1"')] * 4,
    "malformed": [Fault.answer('[{"phone": 5}]')],
    "418": [Fault.status(418)],
    "later": [Fault.none(), Fault.status(401)],
}


@pytest.mark.slow
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("isolate_connections", [False, True])
async def test_failing_accounts_do_not_disturb_the_others(
    sim: PlugChatSimulator, fake_time: FakeTime, isolate_connections: bool, stream: bool
) -> None:
    """Each fails in a way of its own; the nine tenths that do not come out as if these were not there."""
    accounts: list[Account] = []
    for number, fate in enumerate(itertools.islice(itertools.cycle(FATES), 10 * len(FATES))):
        each = account(number, sim)
        if number % 10 == 0:
            sim.script(*FATES[fate], token=str(each.token))
        accounts.append(each)
    bad = {each.name for each in accounts[::10]}
    options: Any = {
        "page_size": 10,
        "concurrency": 16,
        "isolate_connections": isolate_connections,
        "clock": fake_time.clock,
    }
    results: dict[str, AccountResult] = {}
    chats: dict[str, list[Chat]] = {each.name: [] for each in accounts}
    if stream:

        def on_result(result: AccountResult) -> None:
            results[result.account.name] = result

        async for one, page in fetch_many(accounts, stream=True, on_result=on_result, **options):
            chats[one.name] += page.chats
    else:
        results = await collect(accounts, **options)
        chats = {name: list(result.chats) for name, result in results.items()}
    assert set(results) == set(chats)
    assert {name for name, result in results.items() if result.error is not None} == bad
    for number, each in enumerate(accounts):
        if each.name not in bad:
            assert Counter(chats[each.name]) == Counter(chats_of(sim, number))
    for name in bad:
        error = results[name].error
        assert error is not None
        assert error.account == name
        assert error.__traceback__ is None
        assert repr(name) in str(error)
        assert str(error).endswith(error.hint)
        assert (error.checkpoint is not None) == (stream and error.page is not None)
        assert str(pickle.loads(pickle.dumps(error))) == str(error)
        assert results[name].chats == ()


async def test_every_class_of_fate_is_of_its_own(sim: PlugChatSimulator, fake_time: FakeTime) -> None:
    """The fates above are not all one error."""
    accounts = [account(number, sim) for number in range(len(FATES))]
    for each, fate in zip(accounts, FATES.values(), strict=True):
        sim.script(*fate, token=str(each.token))
    results = await collect(accounts, page_size=10, clock=fake_time.clock)
    assert len({type(result.error) for result in results.values()}) >= 11


async def test_an_account_that_can_not_be_asked_for_fails_alone(sim: PlugChatSimulator) -> None:
    """A bad token, a bad base URL: found when its turn comes."""
    good = account(1, sim)
    five: Any = 5
    results = await collect(
        [
            Account("empty", "", sim.base_url),
            Account("bearer", "Bearer x", sim.base_url),
            Account("number", five, sim.base_url),
            Account("http", "t", "http://example.com"),
            Account("nothing", "t", ""),
            good,
        ]
    )
    assert {name for name, result in results.items() if result.error is None} == {good.name}
    assert isinstance(results["number"].error, InvalidTypeError)
    assert {results[name].report for name in ("empty", "http")} == {None}


@pytest.mark.parametrize("stream", [False, True])
async def test_the_first_error_is_raised_if_asked_for(sim: PlugChatSimulator, stream: bool) -> None:
    """The others are cancelled, and it says whose it is."""
    slow = [account(number, sim) for number in range(3)]
    for each in slow:
        sim.script(Fault.hang(), token=str(each.token))
    bad = Account("bad", "nobody's", sim.base_url)
    with pytest.raises(AuthenticationError) as caught:
        async for _ in fetch_many([*slow, bad], on_error="raise", stream=stream):
            pass
    assert caught.value.account == "bad"
    assert "account 'bad'" in str(caught.value)
    assert others() == set()


async def test_streamed_failures_are_logged_if_nobody_asks_for_them(
    sim: PlugChatSimulator, caplog: pytest.LogCaptureFixture
) -> None:
    """They would be lost else."""
    bad = Account("bad", "nobody's", sim.base_url)
    with caplog.at_level(logging.WARNING, "plugchat_async.bulk"):
        assert [pair async for pair in fetch_many([bad], stream=True)] == []
        assert "account 'bad' failed: the gateway says: 'the token is missing or unknown' (HTTP 401" in caplog.text
        caplog.clear()
        assert [pair async for pair in fetch_many([bad], stream=True, on_result=lambda _: None)] == []
        assert caplog.text == ""


async def test_what_on_result_raises_ends_it_all(sim: PlugChatSimulator) -> None:
    """As it is."""

    def on_result(_: AccountResult) -> None:
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        await collect([account(number, sim) for number in range(9)], on_result=on_result)
    assert others() == set()


# Fairness and bounds.


async def test_a_huge_account_does_not_starve_small_ones(sim: PlugChatSimulator) -> None:
    """With few slots and many pages ahead, twenty small accounts are done while the huge one is still read."""
    huge = account(0, sim, 5000)
    small = [account(number, sim, 30) for number in range(1, 21)]
    order = [
        result.account.name
        async for result in fetch_many(
            [huge, *small], concurrency=4, max_concurrency=4, prefetch=16, page_size=20, consistency="plain"
        )
    ]
    assert order[-1] == huge.name
    asked = [request.headers["authorization"] for request in sim.requests]
    last_small = max(index for index, token in enumerate(asked) if token != huge.token)
    # Of four places at the most one waits for each: a fourth of the requests is the huge one's, and what is in flight.
    assert asked[:last_small].count(str(huge.token)) < 60


async def test_accounts_take_turns_at_a_slow_consumer(sim: PlugChatSimulator) -> None:
    """Of four accounts that all have pages ready, none gives two pages while another one waits."""
    accounts = [account(number, sim, 200) for number in range(4)]
    order: list[str] = []
    async for one, _ in fetch_many(accounts, stream=True, page_size=10):
        order.append(one.name)
        await asyncio.sleep(0.005)  # all others are ready again
    steady = order[8:-8]
    for begin in range(0, len(steady) - 4, 4):
        assert len(set(steady[begin : begin + 4])) == 4


@pytest.mark.parametrize("stream", [False, True])
async def test_no_more_is_held_than_the_workers_hold(sim: PlugChatSimulator, stream: bool) -> None:
    """A consumer that stops taking stops the requests, too."""
    accounts = [account(number, sim, 25) for number in range(40)]
    options: Any = {"consistency": "plain", "base_url": sim.base_url, "server_traits": KNOWN_SERVER}
    results: Any = fetch_many(accounts, concurrency=3, page_size=10, stream=stream, **options)
    async with contextlib.aclosing(results):
        await anext(results)
        await asyncio.sleep(0.2)
        # One taken, one that waits to be, three workers with one in hand: of three pages each, or of one.
        assert len(sim.requests) <= (1 + 1 + 3) * (1 if stream else 3)


@pytest.mark.slow
@pytest.mark.parametrize("stream", [False, True])
async def test_memory_does_not_grow_with_the_number_of_accounts(sim: PlugChatSimulator, stream: bool) -> None:
    """At any time no more chats are there than those of the accounts, or pages, under way, and the one in hand."""
    sim.add_account("one", 30)
    accounts = (Account(f"a{number}", "one", sim.base_url) for number in range(60))
    gc.collect()
    before = chats_alive()
    most = 0
    results = fetch_many(accounts, concurrency=4, page_size=20, stream=stream)
    async for number, _ in enumerate_async(results):
        if number % 7 == 3:
            most = max(most, chats_alive() - before)
    assert 0 < most <= 2 * (4 + 2) * 30  # a walk keeps what it compares rows with


def chats_alive() -> int:
    """How many chats there are. The collector does not know them, nor tuples of them, but what holds these."""
    held = gc.get_referents(*gc.get_objects())
    held += gc.get_referents(*(thing for thing in held if isinstance(thing, tuple)))
    return len({id(thing) for thing in held if isinstance(thing, Chat)})


async def enumerate_async(results: AsyncIterator[Any]) -> AsyncIterator[tuple[int, None]]:
    """Count what comes, and keep none of it."""
    number = 0
    async for _ in results:
        del _
        yield number, None
        number += 1


async def test_a_proxy_is_used_by_all_accounts() -> None:
    """It is asked for a tunnel to their host."""
    served, trusting = tls_of(trustme.CA())
    async with (
        RawServer(answering(http(b'[{"phone":"1"}]')), ssl_context=served) as server,
        ConnectProxy(server.port) as proxy,
    ):
        accounts = [Account(f"a{number}", f"t{number}", BASE_URL) for number in range(3)]
        results = await collect(accounts, proxy=proxy.url(), ssl_context=trusting)
        assert all(result.error is None for result in results.values())
        assert {head.split(" HTTP")[0] for head in proxy.heads} == {"CONNECT plugchat.example:443"}


@pytest.mark.parametrize("isolate_connections", [False, True])
async def test_an_authority_of_ones_own_is_used_by_all_accounts(isolate_connections: bool) -> None:
    """Without it their certificates are refused."""
    authority = trustme.CA()
    served, trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("localhost").configure_cert(served)
    authority.configure_trust(trusting)
    async with RawServer(answering(http(b'[{"phone":"1"}]')), ssl_context=served) as server:
        accounts = [Account(f"a{number}", f"t{number}", server.base_url) for number in range(3)]
        results = await collect(accounts, ssl_context=trusting, isolate_connections=isolate_connections)
        assert all(result.error is None for result in results.values())
        results = await collect(accounts, isolate_connections=isolate_connections)
        assert {getattr(result.error, "reason", "") for result in results.values()} == {"certificate"}


async def test_requests_in_flight_are_bounded_over_all_accounts() -> None:
    """Five, though twenty accounts are under way."""
    in_flight = most = 0

    async def handler(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal in_flight, most
        in_flight += 1
        most = max(most, in_flight)
        await asyncio.sleep(0.01)
        in_flight -= 1
        writer.write(http(b"[" + b",".join([b'{"phone":"%d"}' % number for number in range(3)]) + b"]"))
        await writer.drain()

    async with RawServer(handler) as server:
        accounts = [Account(str(number), "t", server.base_url) for number in range(20)]
        known: Any = {"base_url": server.base_url, "server_traits": KNOWN_SERVER}
        results = await collect(accounts, max_concurrency=5, page_size=4, **known)
    assert {len(result.chats) for result in results.values()} == {3}
    assert most == 5


# The end.


@pytest.mark.parametrize("way", ["break", "cancel", "raise"])
@pytest.mark.parametrize("isolate_connections", [False, True])
@pytest.mark.parametrize("stream", [False, True])
async def test_leaving_cancels_all_within_a_second(
    sim: PlugChatSimulator, way: str, isolate_connections: bool, stream: bool
) -> None:
    """No task, and no request under way, is left."""
    quick = account(0, sim, 5)
    slow = [account(number, sim, 5) for number in range(1, 200)]
    for each in slow:
        sim.script(Fault.hang(), token=str(each.token))
    loop = asyncio.get_running_loop()
    # The quick account must not wait for a slot: those of the others are never free.
    slots: dict[str, Any] = {"concurrency": 100, "max_concurrency": 100}
    results: Any = fetch_many([quick, *slow], isolate_connections=isolate_connections, stream=stream, **slots)
    left = 0.0

    async def consume() -> None:
        nonlocal left
        async with contextlib.aclosing(results):
            async for _ in results:
                while len(sim.requests) < 60:
                    await asyncio.sleep(0.01)
                left = loop.time()
                if way == "break":
                    break
                if way == "raise":
                    raise KeyError("mine")

    consuming = asyncio.create_task(consume())
    while not left:
        await asyncio.sleep(0.01)
    if way == "cancel":
        consuming.cancel()
    await asyncio.wait([consuming])
    with contextlib.suppress(asyncio.CancelledError, KeyError):
        consuming.result()
    assert loop.time() - left < 1.0
    assert others() == set()


async def test_an_abandoned_generator_is_cleaned_up(sim: PlugChatSimulator) -> None:
    """By Python, when nobody can ask it any more."""
    accounts = [account(number, sim, 7) for number in range(5)]
    for each in accounts[1:]:
        sim.script(Fault.hang(), token=str(each.token))
    results = fetch_many(accounts, concurrency=3)
    await anext(results)
    del results
    gc.collect()
    for _ in range(200):
        await asyncio.sleep(0.005)
        if not others():
            break
    assert others() == set()


async def test_a_generator_that_was_never_begun_leaves_nothing() -> None:
    """It has opened nothing yet."""
    await fetch_many([Account("a", "b")]).aclose()
    assert others() == set()


# Isolation.


async def test_nothing_of_one_account_is_sent_with_anothers_requests(sim: PlugChatSimulator) -> None:
    """Cookies that the server sets come back with nobody's; each request has its account's token alone."""
    body = b'[{"phone":"1"}]'
    server = RawServer(answering(http(body, "Set-Cookie: sid=1; Path=/"), close=False))
    async with server:
        accounts = [Account(f"a{number}", f"token-{number}", server.base_url) for number in range(20)]
        await collect(accounts, concurrency=2, base_url=server.base_url, server_traits=KNOWN_SERVER)
        assert len(server.requests) == 20
        assert server.connections <= 2
        assert not any(b"cookie" in request.lower() for request in server.requests)
        tokens = [line for request in server.requests for line in request.split(b"\r\n") if b"uthorization" in line]
        assert sorted(tokens) == sorted(b"Authorization: token-%d" % number for number in range(20))


async def test_isolated_accounts_share_no_connection() -> None:
    """So an answer that nobody has asked for, late on an idle connection, reaches no other account."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(http(b'[{"phone":"mine"}]'))
        await writer.drain()
        await asyncio.sleep(0.01)
        writer.write(http(b'[{"phone":"not yours"}]'))

    async with RawServer(handler) as server:
        accounts = [Account(f"a{number}", f"token-{number}", server.base_url) for number in range(5)]

        async def slowly() -> AsyncIterator[Account]:
            for each in accounts:
                yield each
                await asyncio.sleep(0.03)

        known: Any = {"base_url": server.base_url, "server_traits": KNOWN_SERVER}
        results = await collect(slowly(), concurrency=1, isolate_connections=True, **known)
        assert {result.chats for result in results.values()} == {(Chat("mine"),)}
        assert server.connections == 5
    assert others() == set()


# Secrets.


async def test_no_token_and_no_password_is_shown(sim: PlugChatSimulator, caplog: pytest.LogCaptureFixture) -> None:
    """Not in results, errors, logs, or tracebacks with the frames' locals, of wrong options either."""
    token, password = "s3cr3t-t0ken-that-nobody-may-see", "pr0xy-passw0rd"
    caplog.set_level(logging.DEBUG)
    shown: list[str] = []
    wrong = [Account("a", token, sim.base_url), Account("b", f"Bearer {token}"), Account("c", token, "http://x")]
    sim.script(*[Fault.status(500, body=token)] * 3, token=token)
    kinds: list[Any] = ["collect", "raise"]
    for on_error in kinds:
        try:
            shown += [
                repr(result) + str(result.error)
                async for result in fetch_many(wrong, on_error=on_error, retry=RetryPolicy(initial_delay=0.0))
            ]
        except PlugChatError as error:
            shown.append(texts(error))
    proxy = f"http://u:{password}@x"
    wrongs: list[dict[str, Any]] = [{"limit": -1, "proxy": proxy}, {"proxy": f"socks5://u:{password}@x"}]
    wrongs += [{"timeout": 0, "proxy": proxy}]
    for options in wrongs:
        try:
            fetch_many(wrong, **options)
        except PlugChatError as error:
            shown.append(texts(error))
    assert len(shown) == 3 + 1 + 3
    text = caplog.text + "".join(shown)
    assert token not in text
    assert password not in text


def texts(error: PlugChatError) -> str:
    """What can be read out of an error and the package's frames."""
    trace = traceback.TracebackException.from_exception(error, capture_locals=True)
    frames = [repr(frame.locals) for frame in trace.stack if "/tests/" not in frame.filename]
    return str(error) + repr(error) + pickle.dumps(error).decode("latin-1") + "".join(frames)


def test_an_account_hides_its_token() -> None:
    """In repr; a pickle needs it."""
    one = Account("a", "s3cret", "https://x.example")
    assert repr(one) == "Account(name='a', base_url='https://x.example')"
    assert pickle.loads(pickle.dumps(one)) == one
