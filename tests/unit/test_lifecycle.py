"""The life of sessions as chance would have it: opened, walked, cancelled, left, closed and made anew, among faults.

Two accounts are served by one simulator. One is asked at its address, the other at its name, so that each request says
whose session has sent it.
"""

import asyncio
import gc
import itertools
from collections import Counter
from collections.abc import AsyncGenerator, Coroutine
from typing import Any, TypeVar
from unittest.mock import patch

import hypothesis.strategies as st
import pytest
from attrs import define, field
from hypothesis import HealthCheck, event, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from plugchat_async import (
    Account,
    AccountResult,
    Chat,
    Clock,
    Page,
    PlugChatError,
    PlugChatSession,
    RetryPolicy,
    SessionStateError,
    WalkReport,
    fetch_many,
)
from plugchat_async._http.request import Request
from plugchat_async._http.response import Response
from plugchat_async._http.transport import AttemptFailed, Transport
from plugchat_async._pagination.walk_context import NOT_CHECKED
from plugchat_async.testing import Fault, PlugChatSimulator, SimulatedAccount

T = TypeVar("T")

TOKENS = {"a": "token-of-account-a", "b": "token-of-account-b"}
HOSTS = {"a": "127.0.0.1", "b": "localhost"}
# Small enough for requests to wait for one another.
CONCURRENCY = 2
POLICY = RetryPolicy(max_delay=4.0, max_retry_after=30.0)
# How long anything may take that is waited for, on a machine that has much else to do.
PATIENCE = 15.0

NAMES = st.sampled_from(sorted(TOKENS))
CHATS = st.sampled_from([1, 2, 6, 100])
FAULTS = st.sampled_from(
    [
        Fault.none(),
        Fault.status(503),
        Fault.status(500, headers={"Retry-After": "20"}),
        Fault.status(503, headers={"Retry-After": "Fri, 31 Dec 2100 00:00:00 GMT"}),
        Fault.status(429),
        Fault.status(429, headers={"Retry-After": "3"}),
        Fault.status(429, headers={"Retry-After": "45"}),
        Fault.status(401),
        Fault.status(404),
        Fault.status(405, headers={"Allow": "GET"}),
        Fault.status(415),
        Fault.reset(),
        Fault.close(),
        Fault.truncate(),
        Fault.raw(b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"),
        Fault.answer("<html>"),
        Fault.answer('[{"name":"no one"}]'),
        Fault.delay(0.001),
    ]
)


class Machine:
    """A clock that sleeping and the machine's rules move: the monotonic one forward, the other one anywhere."""

    def __init__(self) -> None:
        self.now = 0.0
        self.wall = 1.8e9
        self.sleeps: list[float] = []
        chances = itertools.cycle([0.5, 0.0, 0.99])
        self.clock = Clock(lambda: self.now, lambda: self.wall, self._sleep, lambda: next(chances))

    async def _sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)


@define(eq=False)
class Walk:
    """A walk under way. found: what it and those that it goes on with have yielded."""

    name: str
    options: dict[str, Any]
    chats: AsyncGenerator[Chat, None]
    found: list[Chat] = field(factory=list[Chat])
    # The chats that are to come, and whether the list has moved since it began.
    there: set[str] = field(factory=set[str])
    moved: bool = False
    reports: list[WalkReport] = field(factory=list[WalkReport])
    checkpoint: str | None = None


class Lifecycle(RuleBasedStateMachine):
    """What may happen to two sessions. Each rule runs in the machine's own event loop, until nothing is left to do."""

    def __init__(self) -> None:
        super().__init__()
        # Given a factory, the runner leaves alone which loop pytest-asyncio has for this thread.
        self.runner = asyncio.Runner(loop_factory=asyncio.new_event_loop)
        # Python's development mode would keep a traceback for each callback, which takes longer than all else.
        self.runner.get_loop().set_debug(False)
        self.lost: list[str] = []
        self.runner.get_loop().set_exception_handler(lambda _, context: self.lost.append(repr(context)))
        self.machine = Machine()
        self.sim = PlugChatSimulator(23, token=TOKENS["a"], seed=1, dialect="documented")
        self.accounts: dict[str, SimulatedAccount] = {}
        self.sessions: dict[str, PlugChatSession] = {}
        self.walks: list[Walk] = []
        # Requests in flight, and the most there were, of each transport.
        self.in_flight: Counter[int] = Counter()
        self.most: Counter[int] = Counter()
        self.patched = patch.object(Transport, "send", self._counted(Transport.send))
        self.patched.start()

    def _counted(self, send: Any) -> Any:
        in_flight, most = self.in_flight, self.most

        async def counted(transport: Transport, request: Request, *, timeout: float) -> Response | AttemptFailed:
            key = id(transport)
            in_flight[key] += 1
            most[key] = max(most[key], in_flight[key])
            try:
                outcome: Response | AttemptFailed = await send(transport, request, timeout=timeout)
            finally:
                in_flight[key] -= 1
            return outcome

        return counted

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        async def bounded() -> T:
            async with asyncio.timeout(PATIENCE):
                return await work

        return self.runner.run(bounded())

    @initialize()
    def start(self) -> None:
        self.run(self.sim.__aenter__())
        self.accounts = {"a": self.sim._account, "b": self.sim.add_account(TOKENS["b"], 17, seed=2)}
        for name in TOKENS:
            self.open(name)

    def base_url(self, name: str) -> str:
        return self.sim.base_url.replace("127.0.0.1", HOSTS[name])

    # Sessions.

    @rule(name=NAMES)
    def open(self, name: str) -> None:
        """Make a session anew, or open the one that is open again."""

        async def open_() -> None:
            if name not in self.sessions:
                self.sessions[name] = PlugChatSession(
                    TOKENS[name],
                    base_url=self.base_url(name),
                    retry=POLICY,
                    max_concurrency=CONCURRENCY,
                    clock=self.machine.clock,
                )
            await self.sessions[name].open()

        self.run(open_())

    @precondition(lambda self: self.sessions)
    @rule(name=NAMES, twice=st.booleans())
    def close(self, name: str, twice: bool) -> None:
        """Close a session, whatever its walks are doing: they end, and what they had asked for is given up."""
        session = self.sessions.pop(name, None)
        if session is None:
            return

        async def close_() -> None:
            await session.close()
            if twice:
                await session.close()
            await self.quiet()
            try:
                await session.fetch_page(1, 5)
            except SessionStateError:
                return
            raise AssertionError("a closed session has fetched a page")

        self.run(close_())
        assert session._fetcher.limits.slots._value == CONCURRENCY

    @precondition(lambda self: self.sessions)
    @rule(name=NAMES, number=st.integers(1, 6), size=st.sampled_from([1, 5, 100]))
    def fetch_page(self, name: str, number: int, size: int) -> None:
        """A page is what the account's list has there, or there is an error."""
        name = name if name in self.sessions else next(iter(self.sessions))
        session = self.sessions[name]

        async def fetch() -> Page | None:
            try:
                return await session.fetch_page(number, size)
            except PlugChatError:
                return None

        page = self.run(fetch())
        assert page is None or list(page.chats) == self.accounts[name].window(number, size)

    # Walks.

    @precondition(lambda self: self.sessions)
    @rule(
        name=NAMES,
        size=st.sampled_from([3, 5, 100]),
        consistency=st.sampled_from(["exact", "strict", "plain"]),
        prefetch=st.sampled_from([0, 0, 1, 8]),
        chats=CHATS,
    )
    def begin_walk(self, name: str, size: int, consistency: str, prefetch: int, chats: int) -> None:
        """Several may be under way, in one session too."""
        name = name if name in self.sessions else next(iter(self.sessions))
        if len(self.walks) < 4:
            options = {"page_size": size, "consistency": consistency, "prefetch": prefetch}
            self.walks.append(self.new_walk(name, options, None))
            self.go_on(self.walks[-1], chats)

    def new_walk(self, name: str, options: dict[str, Any], resume: str | None) -> Walk:
        reports: list[WalkReport] = []
        chats = self.sessions[name].iter_chats(**options, resume=resume, on_report=reports.append)
        there = {chat.id for chat in self.accounts[name].chats}
        return Walk(name, options, chats, there=there, reports=reports)

    @precondition(lambda self: self.walks)
    @rule(index=st.integers(0, 3), chats=CHATS)
    def advance(self, index: int, chats: int) -> None:
        """Some chats more. A walk that ends has given all of them; one that fails can be gone on with."""
        walk = self.walks[index % len(self.walks)]
        if walk.checkpoint is None:
            self.go_on(walk, chats)
        elif walk.name in self.sessions and walk.checkpoint:
            self.walks[self.walks.index(walk)] = self.resumed(walk)

    def go_on(self, walk: Walk, chats: int) -> None:

        async def advance_() -> bool:
            for _ in range(chats):
                try:
                    walk.found.append(await anext(walk.chats))
                except StopAsyncIteration:
                    return True
                except PlugChatError as error:
                    event(f"a walk failed: {type(error).__name__}")
                    walk.checkpoint = error.checkpoint or ""
                    return False
            return False

        if self.run(advance_()):
            self.walks.remove(walk)
            self.look_at(walk)

    def look_at(self, walk: Walk) -> None:
        """See whether a walk that has reached its end has given what it promises."""
        ids = [chat.id for chat in walk.found]
        [report] = walk.reports
        event(f"a walk ended: {walk.options['consistency']}, {'moved' if walk.moved else 'not moved'}")
        if not walk.moved:
            assert ids == [chat.id for chat in self.accounts[walk.name].chats]
            # A check that fails does not end a walk, but the walk is not verified then.
            assert report.verified or walk.options["consistency"] == "plain" or report.reason == NOT_CHECKED
        elif walk.options["consistency"] != "plain":
            assert len(set(ids)) == len(ids)
            assert walk.there <= set(ids) or not report.verified

    def resumed(self, walk: Walk) -> Walk:
        """Go on with what failed, in whichever session the account has now."""
        event("a walk was resumed")
        again = self.new_walk(walk.name, walk.options, walk.checkpoint)
        again.found, again.there, again.moved = walk.found, walk.there, walk.moved
        return again

    @precondition(lambda self: self.walks)
    @rule(index=st.integers(0, 3), how=st.sampled_from(["close", "abandon"]))
    def leave(self, index: int, how: str) -> None:
        """Close a walk in the middle, or leave it to Python to find it."""
        walk = self.walks.pop(index % len(self.walks))

        async def leave_() -> None:
            if how == "close":
                await walk.chats.aclose()
            else:
                del walk.chats
            await self.quiet()

        self.run(leave_())

    @precondition(lambda self: self.walks)
    @rule(index=st.integers(0, 3), turns=st.integers(0, 30), hangs=st.booleans())
    def cancel(self, index: int, turns: int, hangs: bool) -> None:
        """Cancel a task that walks, wherever it is after some turns of the event loop. That walk is over."""
        walk = self.walks.pop(index % len(self.walks))
        if walk.checkpoint is not None:
            return  # it has failed, and so is over
        # Pages that another walk asks for ahead would meet it, too, and nobody cancels them.
        hangs = hangs and not any(other.name == walk.name and other.options["prefetch"] for other in self.walks)
        if hangs:
            self.sim._script.faults[TOKENS[walk.name], None].appendleft(Fault.hang())

        async def go_on() -> None:
            async for chat in walk.chats:
                walk.found.append(chat)

        async def cancel_() -> None:
            task = asyncio.create_task(go_on())
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            event("a walk was cancelled" if task.cancelled() else "a walk was not there to be cancelled")
            assert task.cancelled() or task.exception() is None or isinstance(task.exception(), PlugChatError)
            await walk.chats.aclose()
            await self.quiet()
            if hangs:  # nobody else shall wait for it
                script = self.sim._script.faults[TOKENS[walk.name], None]
                self.sim._script.faults[TOKENS[walk.name], None] = type(script)(
                    fault for fault in script if fault.kind != "hang"
                )

        self.run(cancel_())

    @rule(names=st.lists(NAMES, max_size=4), prefetch=st.sampled_from([0, 3]), leave=st.none() | st.integers(0, 2))
    def fetch_many(self, names: list[str], prefetch: int, leave: int | None) -> None:
        """Beside the sessions: whole accounts, or errors; or the caller leaves in the middle."""

        async def fetch() -> list[AccountResult]:
            results: list[AccountResult] = []
            fetching = fetch_many(
                [Account(name, TOKENS[name], self.base_url(name)) for name in names],
                concurrency=3,
                page_size=5,
                prefetch=prefetch,
                retry=POLICY,
                max_concurrency=CONCURRENCY,
                clock=self.machine.clock,
            )
            async for result in fetching:
                results.append(result)
                if len(results) == leave:
                    break
            await fetching.aclose()
            await self.quiet()
            return results

        before = {name: list(account.chats) for name, account in self.accounts.items()}
        results = self.run(fetch())
        assert leave is not None or sorted(result.account.name for result in results) == sorted(names)
        for result in results:
            assert list(result.chats) == (before[result.account.name] if result.error is None else [])

    # What happens to them.

    @rule(name=st.none() | NAMES, faults=st.lists(FAULTS, min_size=1, max_size=4))
    def break_down(self, name: str | None, faults: list[Fault]) -> None:
        """The next requests, of one account or of any, do not go well."""
        self.sim.script(*faults, token=None if name is None else TOKENS[name])

    @rule()
    def recover(self) -> None:
        """All is well again."""
        self.sim._script.faults.clear()

    @rule(name=NAMES, place=st.integers(0, 22), new=st.booleans())
    def message(self, name: str, place: int, new: bool) -> None:
        """A chat jumps to the front, or a new one comes."""
        account = self.accounts[name]
        if new:
            account.new_chat()
        else:
            account.receive_message(account.chats[place % len(account)])
        for walk in self.walks:
            walk.moved |= walk.name == name

    @rule(seconds=st.sampled_from([0.0, 0.1, 5.0, 60.0, 1e6]), wall=st.floats(-1e9, 1e9))
    def time_passes(self, seconds: float, wall: float) -> None:
        """The monotonic clock goes forward, the other one is set."""
        self.machine.now += seconds
        self.machine.wall += wall

    # What always holds.

    @invariant()
    def budgets_are_within_bounds(self) -> None:
        for session in self.sessions.values():
            assert 0 <= session._fetcher.budget.tokens <= session._fetcher.budget.capacity

    @invariant()
    def slots_are_kept_to(self) -> None:
        assert all(most <= CONCURRENCY for most in self.most.values()), self.most
        for session in self.sessions.values():
            free = session._fetcher.limits.slots._value
            assert 0 <= free <= CONCURRENCY
            assert free == CONCURRENCY or any(walk.options["prefetch"] for walk in self.walks)

    @invariant()
    def waits_are_within_the_caps(self) -> None:
        assert all(0.0 <= wait <= max(POLICY.max_delay, POLICY.max_retry_after) for wait in self.machine.sleeps)
        self.machine.sleeps.clear()

    @invariant()
    def no_token_is_on_anothers_request(self) -> None:
        owners = {host: TOKENS[name] for name, host in HOSTS.items()}
        for request in self.sim.requests:
            assert request.headers["authorization"] == owners[request.headers["host"].partition(":")[0]]
        self.sim.requests.clear()

    @invariant()
    def no_error_is_lost(self) -> None:
        assert self.lost == []

    # The end.

    def others(self) -> set[asyncio.Task[Any]]:
        """Tasks that are neither this one, nor the simulator's."""
        return {
            task
            for task in asyncio.all_tasks() - {asyncio.current_task()}
            if "RequestHandler" not in (coroutine := repr(task.get_coro())) and "bounded" not in coroutine
        }

    async def quiet(self) -> None:
        """Wait until walks without a consumer have gone; those of others may still have pages on their way."""
        if any(walk.options["prefetch"] for walk in self.walks):
            await asyncio.sleep(0)
            return
        left = self.others()
        if left:
            _, left = await asyncio.wait(left, timeout=PATIENCE / 2)
        assert not left, left

    def teardown(self) -> None:
        async def end() -> None:
            walks, self.walks = self.walks, []
            for walk in walks:
                await walk.chats.aclose()
            for session in self.sessions.values():
                await session.close()
            assert not self.others()
            await self.sim.__aexit__(None, None, None)

        try:
            if self.accounts:
                self.run(end())
            slots = [session._fetcher.limits.slots._value for session in self.sessions.values()]
            assert slots == [CONCURRENCY] * len(slots)
            assert not +self.in_flight
        finally:
            self.patched.stop()
            self.runner.close()
        assert self.lost == []


@pytest.mark.slow
@pytest.mark.timeout(240)  # a machine may have much else to do
def test_lives_end_well() -> None:
    """Whatever happens to two sessions: each keeps its limits and its token, gives whole lists, and leaves nothing."""
    run_state_machine_as_test(
        Lifecycle,
        settings=settings(max_examples=80, stateful_step_count=80, suppress_health_check=[HealthCheck.too_slow]),
    )
    gc.collect()  # a task whose error nobody has looked at says so when it is freed
