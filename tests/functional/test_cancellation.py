"""Cancelled at every point where it can be: nothing is left behind, and the session works on.

How every point is met. A task can only be cancelled where it, or a task that works for it, waits. So the calls here run
in tasks whose coroutines are wrapped in `Counted`: an object that passes `send` and `throw` on, and counts each time
that something to wait for comes back. The event loop's task factory wraps the tasks that a call makes of its own, too
(pages ahead, workers), with the same counter; a context variable tells them from the simulator's. At the k-th wait the
call is cancelled, for k = 0 (before it has begun), 1, 2, ... until a run ends before its k-th wait. That is exact:
turns of the event loop, which vary with the sockets, are not looked at. At each wait it is cancelled in two ways:

- "waiting": at once, while what is waited for has not come;
- "woken": when that has just come, and the task is not awake yet. Then a slot, a lock or an answer is given to somebody
  who is cancelled, and must not be lost with it.
"""

import asyncio
import functools
import gc
import time
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Coroutine,
    Generator,
    Iterable,
    Iterator,
)
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, contextmanager
from contextvars import Context, ContextVar, copy_context
from pathlib import Path
from typing import Any, Literal, TypeVar

import aiohttp
import pytest
from attrs import define, field, frozen

import plugchat_async
from plugchat_async import (
    Account,
    Chat,
    Clock,
    PlugChatSession,
    RetryPolicy,
    SessionStateError,
    WalkReport,
    fetch_many,
)
from plugchat_async.testing import Fault, PlugChatSimulator
from support.traits import KNOWN_SERVER

T = TypeVar("T")

PACKAGE = str(Path(plugchat_async.__file__).parent)
TOKEN = "simulated-token"
# Pages of ten: three of them.
CHATS = 25
# A thousand times as fast as the real one: waits are real timers, but short.
FAST = Clock(
    monotonic=lambda: time.monotonic() * 1000,
    sleep=lambda seconds: asyncio.sleep(seconds / 1000),
    random=lambda: 0.5,
)
# On that clock a busy machine's hiccups are minutes; and they may be longer than a short timeout, again and again.
PATIENT = RetryPolicy(attempts=30, deadline=1e7)


# Steps.


_steps: ContextVar["Steps | None"] = ContextVar("steps", default=None)


@define(eq=False)
class Steps:
    """Counts the waits of a task, and of the tasks that come of it, and does something at some of them.

    at: at which. act: what. woken: not at once, but when what is waited for has come.
    last: the last one at which it did. places: the package's functions that were waiting. followed: generators that are
    looked into, too.
    """

    at: Callable[[int], bool]
    act: Callable[[], object] = field(default=lambda: None)
    woken: bool = False
    count: int = 0
    last: int = 0
    places: set[str] = field(factory=set[str])
    followed: list[Any] = field(factory=list[Any])

    def suspended(self, coroutine: Any, awaited: Any) -> None:
        self.count += 1
        for thing in (coroutine, *self.followed):
            self.places |= places(thing)
        if not self.at(self.count):
            return
        self.last = self.count
        if self.woken and awaited is not None:
            # Called before the task's own callback, which is added after this returns.
            awaited.add_done_callback(lambda _: self.act())
        else:
            self.act()


def places(thing: Any) -> set[str]:
    """Give the package's functions in a chain of awaits."""
    found: set[str] = set()
    while thing is not None:
        code = getattr(thing, "cr_code", None) or getattr(thing, "ag_code", None)
        if code is not None and code.co_filename.startswith(PACKAGE):
            found.add(code.co_qualname)
        # What `async for` and `anext` await shows nothing of the generator: that is followed by itself.
        thing = getattr(thing, "cr_await", None) or getattr(thing, "ag_await", None)
    return found


class Counted(Coroutine[Any, Any, T]):
    """A coroutine that tells each time that it waits."""

    def __init__(self, coroutine: Coroutine[Any, Any, T], steps: Steps) -> None:
        self._coroutine = self.cr_await = coroutine
        self._steps = steps

    def send(self, value: Any) -> Any:
        awaited = self._coroutine.send(value)
        self._steps.suspended(self._coroutine, awaited)
        return awaited

    def throw(self, *error: Any) -> Any:
        awaited = self._coroutine.throw(*error)
        self._steps.suspended(self._coroutine, awaited)
        return awaited

    def close(self) -> None:
        self._coroutine.close()

    def __await__(self) -> Generator[Any, Any, T]:
        raise NotImplementedError  # tasks send and throw


def counting_factory(
    loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, T] | Generator[Any, None, T], **options: Any
) -> asyncio.Task[T]:
    """Make a task, counted if the one that makes it is."""
    assert isinstance(coroutine, Coroutine)
    steps = (options.get("context") or copy_context()).get(_steps)
    return asyncio.Task(coroutine if steps is None else Counted(coroutine, steps), loop=loop, **options)


def start(coroutine: Coroutine[Any, Any, T], steps: Steps) -> asyncio.Task[T]:
    """Run a coroutine, counted, in a task."""
    context = Context()
    context.run(_steps.set, steps)
    return asyncio.get_running_loop().create_task(coroutine, context=context)


# What is left.


def descriptors() -> int:
    return sum(1 for _ in Path("/dev/fd").iterdir())


def tasks() -> set[asyncio.Task[Any]]:
    """Give the tasks that are not the simulator's."""
    return {task for task in asyncio.all_tasks() if "RequestHandler" not in repr(task.get_coro())}


async def until(condition: Callable[[], bool]) -> bool:
    """Wait until something holds; False if it does not within some seconds."""
    end = time.monotonic() + 10
    while not condition():
        if time.monotonic() > end:
            return False
        await asyncio.sleep(0 if time.monotonic() < end - 9.9 else 0.01)
    return True


@contextmanager
def complaints() -> Iterator[list[str]]:
    """Collect what the event loop has to complain about, as exceptions that nobody has looked at."""
    loop = asyncio.get_running_loop()
    heard: list[str] = []
    loop.set_exception_handler(lambda _, context: heard.append(repr(context)))
    loop.set_task_factory(counting_factory)
    try:
        yield heard
    finally:
        loop.set_task_factory(None)
        loop.set_exception_handler(None)


@frozen
class Stage:
    """Where a call runs: a simulator, a session with it, three accounts, and the reports of walks."""

    sim: PlugChatSimulator
    session: PlugChatSession
    accounts: tuple[Account, ...]
    steps: Steps
    reports: list[WalkReport]

    def follow(self, generator: AsyncGenerator[T, None]) -> AsyncGenerator[T, None]:
        """Have it looked into where it waits."""
        self.steps.followed.append(generator)
        return generator

    def chats_of(self, account: Account) -> tuple[Chat, ...]:
        return self.sim._accounts[str(account.token)].chats

    async def check(self) -> None:
        """Check that no slot, lock or connection is kept, and that the session gives the right page."""
        limits = self.session._fetcher.limits
        async with asyncio.timeout(20):
            assert (await self.session.fetch_page(1, 10)).chats == self.sim.chats[:10]
        assert not limits._turn.locked()
        client = self.session._transport._own
        assert client is not None
        assert client.connector is not None
        assert not client.connector._acquired


@asynccontextmanager
async def stage(steps: Steps, heard: list[str], scenario: "Scenario") -> AsyncIterator[Stage]:
    """Set a stage, and check at its end that it is empty: no task, no descriptor, no complaint."""
    before = tasks()
    async with PlugChatSimulator(scenario.size, seed=7, token=TOKEN, dialect="documented") as sim:
        accounts = tuple(Account(f"a{number}", f"token-{number}", sim.base_url) for number in range(3))
        for number, account in enumerate(accounts):
            sim.add_account(str(account.token), (CHATS, 5, 12)[number], seed=number)
        open_before = descriptors()
        async with AsyncExitStack() as stack:
            client = await stack.enter_async_context(aiohttp.ClientSession()) if scenario.borrowed else None
            session = PlugChatSession(
                scenario.token,
                base_url=sim.base_url,
                client_session=client,
                clock=FAST,
                retry=PATIENT,
                server_traits=KNOWN_SERVER,
                **scenario.options,
            )
            await stack.enter_async_context(session)
            slots = session._fetcher.limits.slots._value
            yield Stage(sim, session, accounts, steps, [])
            assert await until(lambda: tasks() <= before), tasks() - before
            assert session._fetcher.limits.slots._value == slots
        assert await until(lambda: descriptors() == open_before), (descriptors(), open_before)
    gc.collect()
    await asyncio.sleep(0)
    assert heard == []


# Calls, and what they give.


Call = Callable[[Stage], Awaitable[Any]]


@frozen
class Scenario:
    """A call, what it gives, how many waits it has at least, and functions that wait in some of them.

    faults: what its first requests meet, or those of the account with the token `fault_of`. size: the list's.
    options, token: the session's. borrowed: whether it sends through an aiohttp.ClientSession of its user's.
    """

    call: Call
    gives: Callable[[Stage], object]
    at_least: int
    waits_in: frozenset[str]
    faults: tuple[Fault, ...] = ()
    fault_of: str | None = None
    size: int = CHATS
    options: dict[str, Any] = field(factory=dict[str, Any])
    token: Any = TOKEN
    borrowed: bool = False


def page(number: int = 1, size: int = 10) -> Call:
    async def call(stage: Stage) -> tuple[Chat, ...]:
        return (await stage.session.fetch_page(number, size)).chats

    return call


async def two_pages(stage: Stage) -> tuple[Chat, ...]:
    """At the same time."""
    first, second = await asyncio.gather(*[stage.session.fetch_page(number, 10) for number in (1, 2)])
    return first.chats + second.chats


def chats(**options: Any) -> Call:
    async def call(stage: Stage) -> tuple[Chat, ...]:
        walk = stage.follow(stage.session.iter_chats(10, on_report=stage.reports.append, **options))
        return tuple([chat async for chat in walk])

    return call


def pages(**options: Any) -> Call:
    async def call(stage: Stage) -> tuple[Chat, ...]:
        walk = stage.follow(stage.session.iter_pages(10, on_report=stage.reports.append, **options))
        return tuple([chat async for page in walk for chat in page.chats])

    return call


def first_chats(number: int) -> Call:
    """Leave a walk while pages ahead are under way."""

    async def call(stage: Stage) -> tuple[Chat, ...]:
        got: tuple[Chat, ...] = ()
        async with aclosing(stage.session.iter_chats(10, prefetch=3, on_report=stage.reports.append)) as walk:
            stage.follow(walk)
            async for chat in walk:
                got += (chat,)
                if len(got) == number:
                    break
        return got

    return call


async def arriving(accounts: Iterable[Account]) -> AsyncIterator[Account]:
    """Give accounts as they come out of a slow database."""
    for account in accounts:
        await asyncio.sleep(0.002)
        yield account


def many(
    *,
    leave_after: int = 3,
    source: Callable[[Iterable[Account]], Iterable[Account] | AsyncIterable[Account]] = tuple,
    **options: Any,
) -> Call:
    """Fetch three accounts, two at a time, slowly."""

    async def call(stage: Stage) -> dict[str, tuple[Chat, ...]]:
        found: dict[str, tuple[Chat, ...]] = {}
        options.update(page_size=10, concurrency=2, clock=FAST, retry=PATIENT)
        options.update(base_url=stage.sim.base_url, server_traits=KNOWN_SERVER)
        results = fetch_many(source(stage.accounts), **options)
        async with aclosing(results):
            stage.follow(results)
            async for result in results:
                assert result.error is None
                found[result.account.name] = result.chats
                if len(found) == leave_after:
                    break
                await asyncio.sleep(0.002)
        return found if leave_after == 3 else {}

    return call


def many_pages(**options: Any) -> Call:
    """Fetch three accounts' pages, two accounts at a time, slowly."""

    async def call(stage: Stage) -> dict[str, tuple[Chat, ...]]:
        found: dict[str, tuple[Chat, ...]] = {}
        options.update(page_size=10, concurrency=2, clock=FAST, retry=PATIENT)
        options.update(base_url=stage.sim.base_url, server_traits=KNOWN_SERVER)
        pairs = fetch_many(stage.accounts, stream=True, **options)
        async with aclosing(pairs):
            stage.follow(pairs)
            async for account, page in pairs:
                found[account.name] = found.get(account.name, ()) + page.chats
                await asyncio.sleep(0.001)
        return found

    return call


def of_accounts(stage: Stage) -> dict[str, tuple[Chat, ...]]:
    return {account.name: stage.chats_of(account) for account in stage.accounts}


def first(number: int) -> Callable[[Stage], tuple[Chat, ...]]:
    return lambda stage: stage.sim.chats[:number]


async def slow_token() -> str:
    await asyncio.sleep(0.001)
    return TOKEN


RETRY, HANG, HONEST = Fault.status(503), Fault.hang(), Fault.none()
HOLD = Fault.status(429, headers={"Retry-After": "2"})

SENDING = frozenset({"PageFetcher._complete", "PageFetcher._attempt", "Transport.send", "Transport._ask"})
WALKING = SENDING | {"ChatWalk._read_page", "Prefetcher.get"}
AHEAD = WALKING | {"Prefetcher._run", "ChatWalk._end", "Prefetcher.close", "cancel_all"}
CREW = WALKING | {"WorkerPool.next", "WorkerPool._supervise", "WorkerPool._work"}
# Whether two whole accounts are there at the same time is up to the machine; pages always have to wait for their turn.
CREW_OF_PAGES = CREW | {"WorkerPool._hand_over"}
ONE_SLOT = {"max_concurrency": 1}
IN_WINDOWS: dict[str, Any] = {"consistency": "strict", "max_page_size": None}

SCENARIOS = {
    "fetch_page": Scenario(page(), first(10), 3, SENDING),
    "fetch_page, repeated": Scenario(page(), first(10), 8, SENDING, (RETRY, Fault.truncate())),
    "fetch_page, large": Scenario(
        page(1, 2000), first(2000), 6, SENDING | {"Transport._read_body", "PageFetcher._read_result"}, size=2000
    ),
    "fetch_page, two over one slot, held": Scenario(
        two_pages,
        first(20),
        10,
        SENDING | {"Limits.enter", "PageFetcher._wait_for_account"},
        (HOLD, RETRY),
        options=ONE_SLOT,
    ),
    "fetch_page, two at a rate": Scenario(
        two_pages, first(20), 6, SENDING | {"Limits._pass_rates"}, options={"requests_per_second": 50}
    ),
    "fetch_page, an async token": Scenario(
        page(), first(10), 6, SENDING | {"TokenProvider.get"}, (RETRY,), token=slow_token
    ),
    "fetch_page, timed out": Scenario(page(), first(10), 5, SENDING, (HANG,), options={"timeout": 0.05}),
    "fetch_page, borrowed": Scenario(page(), first(10), 5, SENDING, (RETRY,), borrowed=True),
    "iter_chats": Scenario(chats(), first(CHATS), 6, WALKING, (HONEST, RETRY)),
    "iter_chats, ahead": Scenario(chats(prefetch=3), first(60), 16, AHEAD, size=60),
    "iter_chats, ahead, one slot, held": Scenario(
        chats(prefetch=3),
        first(60),
        18,
        AHEAD | {"Limits.enter", "PageFetcher._wait_for_account"},
        (*[HONEST] * 3, HOLD, RETRY),
        size=60,
        options=ONE_SLOT,
    ),
    "iter_chats, ahead, left": Scenario(first_chats(22), first(22), 9, AHEAD, (*[HONEST] * 3, HANG), size=60),
    "iter_pages, strict": Scenario(pages(**IN_WINDOWS), first(CHATS), 6, WALKING, (HONEST, RETRY)),
    "iter_pages, strict, ahead": Scenario(pages(prefetch=3, **IN_WINDOWS), first(80), 16, AHEAD, size=80),
    "fetch_many": Scenario(
        many(max_concurrency=1), of_accounts, 20, CREW | {"Limits.enter"}, (RETRY, HOLD), fault_of="token-0"
    ),
    "fetch_many, pages": Scenario(
        many_pages(prefetch=2), of_accounts, 35, CREW_OF_PAGES | {"Prefetcher._run"}, (RETRY,), fault_of="token-1"
    ),
    "fetch_many, apart": Scenario(many(isolate_connections=True), of_accounts, 20, CREW | {"Transport.close"}),
    "fetch_many, apart, pages": Scenario(
        many_pages(isolate_connections=True),
        of_accounts,
        20,
        CREW_OF_PAGES | {"Transport.close"},
        (RETRY,),
        fault_of="token-1",
    ),
    "fetch_many, at rates, of accounts that come": Scenario(
        many(source=arriving, requests_per_second=150, account_requests_per_second=300),
        of_accounts,
        20,
        CREW | {"Source.next", "Limits.enter", "Limits._pass_rates"},
    ),
    "fetch_many, left": Scenario(
        many(leave_after=1),
        lambda _: {},
        10,
        WALKING | {"WorkerPool.close", "cancel_all"},
        (HANG,) * 3,
        fault_of="token-0",
    ),
}


def marked(names: Iterable[str]) -> list[Any]:
    """Mark those with many waits as slow."""
    many_waits = ("fetch_many", "ahead", "large", "strict", "two", "timed out", "repeated", "token")
    return [
        pytest.param(name, marks=[pytest.mark.slow] if any(word in name for word in many_waits) else [])
        for name in names
    ]


@frozen
class Ran:
    """A run: how it ended ("whole", "cancelled", "closed", "timed out"), and where it waited.

    reports: how many walks it reported. last: the last wait at which something was done, 0 if there was none.
    """

    ended: str
    reports: int
    last: int
    places: frozenset[str]


Way = Literal["cancel", "close", "time out"]


async def run(
    scenario: Scenario,
    heard: list[str],
    at: Callable[[int], bool],
    *,
    woken: bool = False,
    way: Way = "cancel",
    again: bool = False,
) -> Ran:
    """Run a call that is cancelled at some waits, and check what is left of it.

    way: or the session is closed there, or the time is over that its caller has given it. again: make it once more.
    """
    steps = Steps(at, woken=woken)
    async with stage(steps, heard, scenario) as here:
        here.sim.script(*scenario.faults, token=scenario.fault_of)
        expected = scenario.gives(here)
        limit = asyncio.timeout(None)
        task = start(called(scenario.call, here, limit), steps)
        loop = asyncio.get_running_loop()
        closings: list[asyncio.Task[None]] = []
        acts: dict[Way, Callable[[], object]] = {
            "cancel": task.cancel,
            # In a context of its own: what closing waits for is not counted.
            "close": lambda: closings.append(loop.create_task(here.session.close(), context=Context())),
            "time out": lambda: limit.reschedule(loop.time()),
        }
        steps.act = acts[way]
        if at(0):
            steps.act()
        done, _ = await asyncio.wait([task], timeout=20)
        assert done, f"it hangs in {set().union(*map(places, (task.get_coro(), *steps.followed)))}"
        steps.at = lambda _: False
        reports = len(here.reports)
        if task.cancelled():
            ended = "cancelled"
        elif task.exception() is None:
            ended = "whole"
            assert task.result() == expected
        else:
            ended = "closed" if way == "close" else "timed out"
            assert isinstance(task.exception(), SessionStateError if way == "close" else TimeoutError)
        if way == "cancel":
            assert ended == ("cancelled" if at(0) or steps.last else "whole")
        if closings:
            await asyncio.gather(*closings)
            with pytest.raises(SessionStateError):
                await here.session.fetch_page(1, 10)
        else:
            here.sim._script.faults.clear()  # what the call did not come to
            await here.check()
            if again:
                async with asyncio.timeout(20):
                    assert await scenario.call(here) == expected
    return Ran(ended, reports, steps.last, frozenset(steps.places))


async def called(call: Call, here: Stage, limit: asyncio.Timeout) -> Any:
    task = asyncio.current_task()
    assert task is not None
    try:
        async with limit:
            return await call(here)
    finally:
        # Whoever cancels for a reason of his own counts on it that nobody else has taken it for his.
        assert task.cancelling() == 0 or not limit.expired()


def only(*waits: int) -> Callable[[int], bool]:
    return lambda count: count in waits


def from_on(wait: int) -> Callable[[int], bool]:
    return lambda count: count >= wait


async def exhausted(
    scenario: Scenario, heard: list[str], at: Callable[[int], Callable[[int], bool]], *, after: int = 0, **options: Any
) -> list[Ran]:
    """Run a call for each k from after + 1 on, until it ends before its k-th wait. `at` says where it is cancelled."""
    runs = [await run(scenario, heard, at(after + 1), **options)]
    while runs[-1].last >= after + len(runs):
        runs.append(await run(scenario, heard, at(after + len(runs) + 1), **options))
    return runs


def walks_once(name: str) -> bool:
    return name.startswith("iter_")


@pytest.mark.parametrize("woken", [False, True], ids=["waiting", "woken"])
@pytest.mark.parametrize("name", marked(SCENARIOS))
async def test_cancelled_at_every_wait(name: str, woken: bool) -> None:
    """CancelledError comes out; no task, slot, lock or descriptor is kept; the same session does all of it again."""
    scenario = SCENARIOS[name]
    with complaints() as heard:
        unbegun = await run(scenario, heard, only(0))
        runs = await exhausted(scenario, heard, only, woken=woken, again=True)
    assert (unbegun.ended, unbegun.reports) == ("cancelled", 0)
    # Each k up to the last wait, and one more, at which there was nothing to cancel.
    assert len(runs) > scenario.at_least
    assert runs[-1].ended == "whole"
    assert {ran.reports for ran in runs} == {int(walks_once(name))}
    assert {place for ran in runs for place in ran.places} >= scenario.waits_in


TWICE = [name for name in SCENARIOS if "ahead" in name or "fetch_many" in name]


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in TWICE if "fetch_many" not in name or "pages" not in name])
async def test_cancelled_again_while_it_cleans_up(name: str) -> None:
    """At every wait, and once more at each wait that follows until it is gone."""
    scenario = SCENARIOS[name]
    cleanings: list[int] = []
    with complaints() as heard:
        for k in range(1, len(await exhausted(scenario, heard, only))):
            runs = await exhausted(scenario, heard, functools.partial(only, k), after=k)
            cleanings.append(len(runs) - 1)
    assert len(cleanings) >= scenario.at_least
    assert sum(cleanings) > scenario.at_least


@pytest.mark.slow
@pytest.mark.parametrize("name", TWICE)
async def test_cancelled_at_each_wait_from_one_on(name: str) -> None:
    """Somebody who has no patience: cleaning up goes on all the same."""
    scenario = SCENARIOS[name]
    with complaints() as heard:
        runs = await exhausted(scenario, heard, from_on)
    assert len(runs) > scenario.at_least
    assert runs[-1].ended == "whole"


@pytest.mark.parametrize("name", marked(name for name in SCENARIOS if "fetch_many" not in name))
async def test_a_session_that_is_closed_at_any_wait_ends_its_calls(name: str) -> None:
    """With an error that says so, or all that was asked for; nothing hangs, and no descriptor is left."""
    scenario = SCENARIOS[name]
    with complaints() as heard:
        runs = await exhausted(scenario, heard, only, way="close")
    assert len(runs) > scenario.at_least
    assert runs[0].ended == "closed"
    assert runs[-1].ended == "whole"
    assert {ran.reports for ran in runs} == {int(walks_once(name))}


@pytest.mark.parametrize("name", marked(name for name in SCENARIOS if "strict" not in name and "pages" not in name))
async def test_a_callers_own_timeout_is_his(name: str) -> None:
    """Whenever it rings, TimeoutError comes out, and the task is not cancelled any more; or all that was asked for."""
    scenario = SCENARIOS[name]
    with complaints() as heard:
        runs = await exhausted(scenario, heard, only, way="time out")
    assert len(runs) > scenario.at_least
    assert runs[0].ended == "timed out"
    assert runs[-1].ended == "whole"
    assert {ran.ended for ran in runs} == {"timed out", "whole"}
    # It rings a turn of the event loop later: the last time or times it may be too late.
    assert [ran.ended for ran in runs].count("whole") <= 3


def was_asked(here: Stage, times: int) -> bool:
    return len(here.sim.requests) == times


@pytest.mark.parametrize("how", ["cancelled", "cancelled again and again"])
async def test_closing_that_is_cancelled_at_any_wait_closes(how: str) -> None:
    """A session with connections that are idle, and one that is used."""
    idle = Scenario(page(), first(10), 0, frozenset())
    with complaints() as heard:
        k, last = 0, 0
        while last == k:
            k += 1
            steps = Steps(only(k) if how == "cancelled" else from_on(k))
            async with stage(steps, heard, idle) as here:
                await asyncio.gather(*[here.session.fetch_page(number, 5) for number in (1, 2, 3)])
                here.sim.script(HANG)
                using = asyncio.create_task(here.session.fetch_page(1, 5))
                assert await until(functools.partial(was_asked, here, 4))
                closing = start(here.session.close(), steps)
                steps.act = closing.cancel
                await asyncio.wait([closing, using], timeout=20)
                assert closing.cancelled() == (steps.last > 0)
                assert isinstance(using.exception(), SessionStateError)
            last = k if steps.last >= k else 0
    assert k > 0


GENERATORS: dict[str, Callable[[Stage], AsyncGenerator[Any, None]]] = {
    "iter_chats": lambda here: here.session.iter_chats(10),
    "iter_chats, ahead": lambda here: here.session.iter_chats(10, prefetch=3),
    "iter_pages, strict, ahead": lambda here: here.session.iter_pages(5, prefetch=3, **IN_WINDOWS),
    "fetch_many": lambda here: fetch_many(here.accounts, page_size=10, concurrency=2),
    "fetch_many, pages": lambda here: fetch_many(here.accounts, page_size=5, concurrency=2, stream=True, prefetch=2),
    "fetch_many, apart": lambda here: fetch_many(here.accounts, page_size=10, isolate_connections=True),
}


@pytest.mark.slow
@pytest.mark.parametrize("how", ["closed", "thrown into", "dropped"])
@pytest.mark.parametrize("name", GENERATORS)
async def test_a_generator_that_is_left_at_any_yield_leaves_nothing(name: str, how: str) -> None:
    """Before its first one and after its last one, too."""
    nothing = Scenario(page(), first(10), 0, frozenset())
    got = taken = -1
    with complaints() as heard:
        while got == taken:
            taken += 1
            async with stage(Steps(only()), heard, nothing) as here:
                things = GENERATORS[name](here)
                got = 0
                while got < taken and await anext(things, None) is not None:
                    got += 1
                # One that has ended takes no errors.
                if how == "thrown into" and got == taken:
                    with pytest.raises(ZeroDivisionError):
                        await things.athrow(ZeroDivisionError())
                elif how == "closed":
                    await things.aclose()
                del things
                gc.collect()
                await here.check()
    assert got >= 3
