"""A soak: a thousand walks at a time, for minutes, while everything goes wrong now and then.

    python tests/soak.py --seconds 60
    python tests/soak.py --minutes 15 --seed 7

Nothing of it leaves this machine: a simulator answers, in a process of its own, so that memory and descriptors are the
client's alone. Walks of all kinds (sessions of their own, shared ones, `fetch_many`; each consistency; with pages ahead
or not) read accounts that are quiet, or move; requests meet faults by chance; walks are cancelled, left and abandoned,
sessions are closed under them. Whatever happens:

- a walk ends whole, or with a PlugChatError, or as it was told to end. Nothing else comes out, and none hangs;
- whole means all chats of a quiet account, and of a moving one all that existed all the while; no chat comes twice, and
  none that the account never had, however a walk ends;
- what began is what ended, and no walk says that it read more pages than the simulator was asked for;
- no account has more requests in flight than its session may have;
- memory, tasks, descriptors and objects stay what they are, and at the end none is left;
- no exception is lost, nothing is left open, and no token is in any error or log.

It prints what it saw, and what was violated, and exits with 1 if anything was.
"""

import argparse
import asyncio
import contextlib
import gc
import json
import logging
import math
import os
import pickle
import random
import resource
import sys
import time
import traceback
import warnings
from collections import Counter, deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any, Final

from aiohttp import web
from attrs import define, field, frozen

from plugchat_async import (
    Account,
    AccountResult,
    Chat,
    PlugChatError,
    PlugChatSession,
    RetryPolicy,
    SessionStateError,
    WalkReport,
    fetch_many,
)
from plugchat_async._walk import Consistency
from plugchat_async.testing import Fault, PlugChatSimulator, SimulatedAccount

# All tokens begin with it, and so do the secrets that faulty answers tell.
MARK: Final = "t0ken-that-nobody-may-see"
# Chats that come to a moving account at most. Which ones is known beforehand, from its seed.
MOST_NEW: Final = 40
# Accounts that a `fetch_many` is given, and how many of them are under way at a time.
BULK_ACCOUNTS, BULK_WIDTH = 16, 8
SHARED_WIDTH: Final = 13
POLICY: Final = RetryPolicy(base=0.05, cap=0.5, deadline=30.0, max_retry_after=2.0)

# Accounts. What moves is a matter of the kind: chats that are there from the beginning are never deleted.


@frozen
class Spec:
    """A simulated account: "quiet", "growing" (messages and new chats) or "shrinking" (some of these are deleted)."""

    token: str
    chats: int
    seed: int
    kind: str

    def make(self) -> SimulatedAccount:
        return SimulatedAccount(self.chats, seed=self.seed, token=self.token)


def specs(count: int, seed: int) -> list[Spec]:
    """Give accounts for a soak; the same ones in both processes."""
    chance = random.Random(f"accounts {seed}")
    kinds = ("quiet", "quiet", "quiet", "growing", "shrinking")
    return [
        Spec(f"{MARK}-{number}", min(300, int(chance.expovariate(1 / 60))), seed * 100_003 + number, kinds[number % 5])
        for number in range(count)
    ]


@define(eq=False)
class Known:
    """What is known of an account: the phones that it has all the while, and those that it may have."""

    spec: Spec
    always: frozenset[str]
    ever: frozenset[str]
    pages: int = 0

    @classmethod
    def of(cls, spec: Spec) -> "Known":
        account = spec.make()
        always = frozenset(chat.phone for chat in account.chats)
        new = [] if spec.kind == "quiet" else [account.new_chat().phone for _ in range(MOST_NEW)]
        return cls(spec, always, always | frozenset(new))


# The simulator's process.


FAULTS: Final[dict[str, tuple[float, Callable[[random.Random], Fault]]]] = {
    # How many of a thousand requests meet them.
    "429": (6, lambda chance: Fault.status(429, headers={"Retry-After": chance.choice(("0", "1"))}, body=MARK)),
    "500": (6, lambda _: Fault.status(500, body=f"it was {MARK}-1")),
    "503": (6, lambda chance: Fault.status(503, headers=chance.choice(({}, {"Retry-After": "1"})))),
    "401": (2, lambda _: Fault.status(401, body=f'{{"error": "{MARK}-2"}}')),
    "405": (2, lambda _: Fault.status(405, headers={"Allow": "GET"})),
    "415": (2, lambda _: Fault.status(415, headers={"Accept": "application/json"})),
    "302": (1, lambda _: Fault.status(302, headers={"Location": f"http://127.0.0.1:9/{MARK}-3"})),
    "404": (1, lambda _: Fault.status(404)),
    "html": (2, lambda _: Fault.answer(f"<html>{MARK}-4</html>", content_type="text/html")),
    "object": (2, lambda _: Fault.answer('{"error": "none of your business"}')),
    "no chats": (2, lambda _: Fault.answer(f'[{{"phone": 5, "name": "{MARK}-5"}}, null]')),
    "close": (6, lambda _: Fault.close()),
    "reset": (6, lambda _: Fault.reset()),
    "truncate": (6, lambda _: Fault.truncate()),
    "raw": (4, lambda chance: Fault.raw(chance.randbytes(chance.randrange(1, 2000)))),
    "half a head": (2, lambda _: Fault.raw(b"HTTP/1.1 200 OK\r\nContent-Le")),
    "bad chunks": (2, lambda _: Fault.raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n[")),
    "bad gzip": (
        2,
        lambda _: Fault.raw(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 9\r\n\r\nnot-gzip!"),
    ),
    "delay": (40, lambda chance: Fault.delay(chance.uniform(0.01, 0.5))),
    "hang": (2, lambda _: Fault.hang()),
}


class Served(PlugChatSimulator):
    """A simulator that counts, and remembers no requests."""

    def __init__(self, accounts: Sequence[Spec], seed: int, most: int) -> None:
        super().__init__(0, token=f"{MARK}-nobody")
        self.accounts = [self.add_account(spec.token, spec.chats, seed=spec.seed) for spec in accounts]
        self.kinds = [spec.kind for spec in accounts]
        self.new: list[list[str]] = [[] for _ in accounts]
        self.came = [0] * len(accounts)
        self.most = most
        self.chance = random.Random(f"faults {seed}")
        self.asked: Counter[str] = Counter()
        self.in_flight: Counter[str] = Counter()
        self.together = self.peak = 0
        self.scripted: deque[str] = deque()
        self.faults: Counter[str] = Counter()
        self.over: Counter[str] = Counter()
        self.violations: list[str] = []

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        if len(self.scripted) < 10:
            self.prepare()
        self.faults[self.scripted.popleft()] += 1
        token = request.headers.get("Authorization", "")
        self.asked[token] += 1
        self.in_flight[token] += 1
        self.together += 1
        self.peak = max(self.peak, self.together)
        try:
            return await super()._handle(request)
        finally:
            self.in_flight[token] -= 1
            self.together -= 1
            self.requests.clear()  # they would be all that grows

    def prepare(self) -> None:
        """Script the fates of the next requests: a script is taken from in the order in which they arrive."""
        names = ["none", *FAULTS]
        weights = [1000 - sum(weight for weight, _ in FAULTS.values()), *(weight for weight, _ in FAULTS.values())]
        drawn = self.chance.choices(names, weights, k=500)
        self.scripted += drawn
        self.script(*[FAULTS[name][1](self.chance) if name in FAULTS else Fault.none() for name in drawn])

    async def move(self) -> None:
        """Let chats get messages, come and go, about every other second in each moving account."""
        moving = [number for number, kind in enumerate(self.kinds) if kind != "quiet"]
        while True:
            await asyncio.sleep(0.05)
            for number in self.chance.choices(moving, k=math.ceil(len(moving) * 0.05 / 2)):
                self.move_one(number)

    def move_one(self, number: int) -> None:
        account, new, what = self.accounts[number], self.new[number], self.chance.random()
        if what < 0.2 and self.came[number] < MOST_NEW:
            self.came[number] += 1
            new.append(account.new_chat().phone)
        elif what < 0.3 and new and self.kinds[number] == "shrinking":
            account.delete_chat(new.pop(self.chance.randrange(len(new))))
        elif len(account):
            account.receive_message(self.chance.choice(account.chats).phone)

    async def watch(self) -> None:
        while True:
            await asyncio.sleep(0.25)
            self.look()

    def look(self) -> None:
        """Look whether an account has more requests in flight than its session may have.

        Eight times in a row: a client that gives up on a request makes the next one before this end of the old one is
        gone.
        """
        for token, count in self.in_flight.items():
            self.over[token] = self.over[token] + 1 if count > self.most else 0
            if self.over[token] == 8:
                self.violations.append(f"{count} requests in flight of an account that may have {self.most}")

    def told(self) -> dict[str, Any]:
        return {
            "asked": self.asked,
            "peak": self.peak,
            "faults": {name: count for name, count in self.faults.items() if name != "none"},
            "violations": self.violations,
        }


async def serve(accounts: int, seed: int, most: int) -> None:
    """Serve until stdin ends. Each line of it is answered with what was seen so far."""
    async with Served(specs(accounts, seed), seed, most) as sim:
        helpers = [asyncio.create_task(sim.move()), asyncio.create_task(sim.watch())]
        lines = asyncio.StreamReader()
        pipe, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(lines), sys.stdin
        )
        sys.stdout.write(f"{sim.base_url}\n")
        sys.stdout.flush()
        while await lines.readline():
            sys.stdout.write(f"{json.dumps(sim.told())}\n")
            sys.stdout.flush()
        pipe.close()
        for helper in helpers:
            helper.cancel()


@contextlib.asynccontextmanager
async def served(accounts: int, seed: int, most: int) -> AsyncIterator["Server"]:
    """Run the simulator in a process of its own."""
    arguments = ["--serve", "--accounts", str(accounts), "--seed", str(seed), "--most", str(most)]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        __file__,
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=2**24,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield Server(process.stdin, process.stdout, (await process.stdout.readline()).decode().strip())
    finally:
        process.stdin.close()
        await process.wait()


@frozen
class Server:
    """The simulator's process, seen from the client's."""

    stdin: asyncio.StreamWriter
    stdout: asyncio.StreamReader
    base_url: str

    async def told(self) -> dict[str, Any]:
        self.stdin.write(b"\n")
        return dict(json.loads(await self.stdout.readline()))


# Measures.


@frozen
class Sample:
    """What there is at a moment. Objects are the package's that the collector knows, so not chats."""

    second: float
    walks: int
    tasks: int
    descriptors: int
    objects: int
    rss: int

    @classmethod
    def take(cls, second: float, walks: int) -> "Sample":
        objects = sum(str(type(thing).__module__).startswith("plugchat_async") for thing in gc.get_objects())
        return cls(second, walks, len(asyncio.all_tasks()), descriptors(), objects, rss())


# What there may be more of in the last quarter than in the second one: this part of it, and this much in any case.
# Memory is lost to fragments for some minutes, and to the regular expressions that `re` keeps, up to 512 of them.
SLACK: Final = {"tasks": (0.15, 100), "descriptors": (0.15, 100), "objects": (0.15, 1000), "rss": (0.1, 18_000_000)}


def grown(samples: Sequence[Sample]) -> list[str]:
    """Say what has grown from the second quarter to the last."""
    quarter = len(samples) // 4
    found: list[str] = []
    for name, (part, much) in SLACK.items():
        before, after = (
            median(getattr(sample, name) for sample in some)
            for some in (samples[quarter : 2 * quarter], samples[-quarter:])
        )
        if after - before > max(part * before, much):
            found.append(f"{name} grew from {before:,.0f} in the second quarter to {after:,.0f} in the last one")
    return found


def descriptors() -> int:
    return sum(1 for _ in Path("/dev/fd").iterdir())


def rss() -> int:
    """Bytes of memory. Where there is no /proc, the most there ever was."""
    statm = Path("/proc/self/statm")
    if statm.exists():
        return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


# Walks.


@frozen
class Plan:
    """What a walk is to do, and how it is to end: "finish", "cancel", "abandon", "leave" or "close"."""

    way: str
    consistency: Consistency
    prefetch: int
    page_size: int
    fate: str
    after: int
    resumes: int

    @classmethod
    def draw(cls, chance: random.Random, spec: Spec) -> "Plan":
        kinds: dict[str, list[Consistency]] = {
            "quiet": ["exact", "exact", "strict", "plain"],
            "growing": ["exact", "strict"],
            "shrinking": ["strict"],
        }
        return cls(
            chance.choice(("chats", "chats", "pages", "list")),
            chance.choice(kinds[spec.kind]),
            chance.choice((0, 0, 1, 3, 8)),
            chance.choice((5, 10, 20, 33, 100)),
            chance.choices(("finish", "cancel", "abandon", "leave", "close"), (70, 12, 6, 6, 6))[0],
            chance.randrange(1, max(2, spec.chats)),
            chance.choice((0, 3)),
        )


@define(eq=False)
class Walk:
    """A walk that is under way. `told`: how it was told to end, "cancelled" or "closed". `left`: it was left."""

    known: Known
    consistency: Consistency
    told: set[str] = field(factory=set[str])
    left: bool = False
    resumed: bool = False
    phones: list[str] = field(factory=list[str])
    reports: list[WalkReport] = field(factory=list[WalkReport])

    def wrong(self, *, whole: bool) -> str:
        """Say what is wrong with the chats that came, "" if nothing is."""
        came = set(self.phones)
        about = f"({self.consistency}, {self.known.spec.kind}, {'resumed' if self.resumed else 'not resumed'})"
        if len(came) < len(self.phones):
            return f"{len(self.phones) - len(came)} chats came twice {about}"
        if not came <= self.known.ever:
            return f"{len(came - self.known.ever)} chats came that the account never had {about}"
        if whole and (self.verified or self.known.spec.kind == "quiet") and not came >= self.known.always:
            return f"{len(self.known.always - came)} of {len(self.known.always)} chats were lost {about}"
        return ""

    @property
    def verified(self) -> bool:
        return bool(self.reports) and self.reports[-1].verified


@define(eq=False)
class Opened:
    """A session, and the walks that use it. closed: whether one of them has closed it."""

    known: Known
    session: PlugChatSession
    closed: bool = False
    walks: list[Walk] = field(factory=list[Walk])


class Soak:
    """Walks all the time, counts how they end, and notes what is violated."""

    def __init__(
        self, *, walks: int, seconds: float, grace: float, seed: int, most: int, plants: frozenset[str]
    ) -> None:
        self.walks = walks
        self.seconds = seconds
        self.grace = grace
        self.timeout = min(3.0, max(0.5, seconds / 6))
        self.seed = seed
        self.most = most
        self.plants = plants
        self.chance = random.Random(f"walks {seed}")
        # Each account is one session's at a time, so that its requests in flight are that session's.
        self.free = [Known.of(spec) for spec in specs(2 * walks + 100, seed)]
        self.known = {known.spec.token: known for known in self.free}
        self.started = 0
        self.ended: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()
        self.under_way = self.most_under_way = 0
        self.chats = self.resumed = self.pages = 0
        self.samples: list[Sample] = []
        self.violations: Counter[str] = Counter()
        self.base_url = ""
        self.end = 0.0
        self.kept: list[Any] = []

    # Notes.

    def violated(self, what: str) -> None:
        self.violations[what] += 1

    def begin(self, known: Known, consistency: Consistency) -> Walk:
        self.started += 1
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        return Walk(known, consistency)

    def finish(self, walk: Walk, error: BaseException | None, *, cancelled: bool = False) -> None:
        """Count a walk, and check what came of it."""
        self.under_way -= 1
        whole = False
        if cancelled:
            if "cancelled" not in walk.told:
                self.violated("a walk was cancelled that nobody had cancelled")
            end = "cancelled"
        elif isinstance(error, PlugChatError):
            self.look_at(error)
            end = "closed" if isinstance(error, SessionStateError) else "failed"
            self.errors[type(error).__name__] += 1
            if end == "closed" and "closed" not in walk.told:
                self.violated("a session was closed that nobody had closed")
        elif error is not None:
            self.violated("a foreign error came out: " + "".join(traceback.format_exception(error))[-3000:])
            end = "foreign"
        elif walk.left:
            end = "left"
        else:
            whole = True
            end = "whole" if walk.verified or walk.consistency == "plain" else "whole, unverified"
            if "chat" in self.plants and len(walk.phones) > 1:
                walk.phones.pop()
                self.plants -= {"chat"}
        self.ended[end] += 1
        self.resumed += whole and walk.resumed
        self.chats += len(walk.phones)
        walk.known.pages += sum(report.pages for report in walk.reports)
        if wrong := walk.wrong(whole=whole):
            self.violated(wrong)

    def look_at(self, error: PlugChatError) -> None:
        if MARK in str(error) + repr(error) or MARK.encode() in pickle.dumps(error):
            self.violated(f"a token is in the text of {type(error).__name__}")

    # Time.

    @property
    def left(self) -> float:
        """Seconds until nothing new is begun, and nobody dawdles."""
        return max(0.0, self.end - time.monotonic())

    async def dawdle(self, chance: random.Random) -> None:
        """Be a slow reader, so that a thousand walks are no more requests than two cores can make and answer."""
        await asyncio.sleep(min(chance.expovariate(1.0) * min(2.0, self.seconds / 15), self.left))

    # Walks of sessions.

    def session(self, known: Known) -> PlugChatSession:
        return PlugChatSession(
            known.spec.token, base_url=self.base_url, timeout=self.timeout, retry=POLICY, max_concurrency=self.most
        )

    @contextlib.contextmanager
    def lease(self) -> Iterator[Known]:
        known = self.free.pop(self.chance.randrange(len(self.free)))
        try:
            yield known
        finally:
            self.free.append(known)

    async def alone(self, chance: random.Random) -> None:
        """Walk one account after the other, each with a session of its own."""
        while self.left:
            with self.lease() as known:
                async with self.session(known) as session:
                    await self.walk(chance, Opened(known, session))

    async def share(self, chance: random.Random) -> None:
        """Walk one account several times at once, with one session, and another one when that has been closed."""
        while self.left:
            with self.lease() as known:
                async with self.session(known) as session:
                    opened = Opened(known, session)
                    seeds = [chance.random() for _ in range(SHARED_WIDTH)]
                    await asyncio.gather(*[self.walk_beside(random.Random(seed), opened) for seed in seeds])

    async def walk_beside(self, chance: random.Random, opened: Opened) -> None:
        while self.left and not opened.closed:
            await self.walk(chance, opened)
            await self.dawdle(chance)

    async def walk(self, chance: random.Random, opened: Opened) -> None:
        """Draw a plan, and do as planned."""
        plan = Plan.draw(chance, opened.known.spec)
        walk = self.begin(opened.known, plan.consistency)
        opened.walks.append(walk)
        task = asyncio.create_task(self.read(chance, opened.session, plan, walk))
        if plan.fate in ("cancel", "close"):
            await asyncio.wait([task], timeout=min(chance.expovariate(0.5), self.left))
            if plan.fate == "cancel":
                walk.told.add("cancelled")
                task.cancel()
                if chance.random() < 0.3:
                    await asyncio.sleep(0)
                    task.cancel()
            elif len(opened.walks) == 1 or chance.random() < 0.05:
                opened.closed = True
                for other in opened.walks:
                    other.told.add("closed")
                await opened.session.close()
        await asyncio.wait([task])
        opened.walks.remove(walk)
        cancelled = task.cancelled()
        self.finish(walk, None if cancelled else task.exception(), cancelled=cancelled)

    async def read(self, chance: random.Random, session: PlugChatSession, plan: Plan, walk: Walk) -> None:
        checkpoint: str | None = None
        for time_left in range(plan.resumes, -1, -1):
            try:
                await self.read_once(chance, session, plan, walk, checkpoint)
            except PlugChatError as error:
                self.look_at(error)
                checkpoint = error.checkpoint
                if not time_left or checkpoint is None or "closed" in walk.told:
                    raise
                walk.resumed = True
            else:
                return
        raise AssertionError("unreachable")

    async def read_once(
        self, chance: random.Random, session: PlugChatSession, plan: Plan, walk: Walk, checkpoint: str | None
    ) -> None:
        if "foreign" in self.plants:
            self.plants -= {"foreign"}
            raise KeyError("planted")
        if "hang" in self.plants:
            self.plants -= {"hang"}
            await asyncio.Event().wait()
        options: dict[str, Any] = {
            "consistency": plan.consistency,
            "prefetch": plan.prefetch,
            "resume": checkpoint,
            "on_report": walk.reports.append,
        }
        if plan.way == "list":
            walk.phones += [chat.phone for chat in await session.list_chats(plan.page_size, **options)]
            return
        chats: AsyncGenerator[Any, None] = (
            session.iter_chats(plan.page_size, **options)
            if plan.way == "chats"
            else session.iter_pages(plan.page_size, **options)
        )
        if plan.fate == "abandon":
            await self.take(chance, plan, walk, chats)  # and never close it
            return
        async with contextlib.aclosing(chats):
            await self.take(chance, plan, walk, chats)

    async def take(self, chance: random.Random, plan: Plan, walk: Walk, things: AsyncGenerator[Any, None]) -> None:
        number = 0
        async for thing in things:
            walk.phones += [thing.phone] if isinstance(thing, Chat) else [chat.phone for chat in thing.chats]
            if plan.fate in ("abandon", "leave") and len(walk.phones) >= plan.after:
                walk.left = True
                return
            number += 1
            if plan.way == "pages" or number % plan.page_size == 0:
                await self.dawdle(chance)

    # Walks of fetch_many.

    async def bulk(self, chance: random.Random) -> None:
        while self.left:
            with contextlib.ExitStack() as leases:
                leased = [leases.enter_context(self.lease()) for _ in range(BULK_ACCOUNTS)]
                await self.fetch(chance, leased)

    async def fetch(self, chance: random.Random, leased: list[Known]) -> None:
        """Fetch some accounts, of all kinds, and so "strict" if any is shrinking."""
        plan = Plan.draw(chance, Spec("", 10, 0, chance.choice(("growing", "quiet", "shrinking"))))
        fits = {"plain": ("quiet",), "exact": ("quiet", "growing"), "strict": ("quiet", "growing", "shrinking")}
        leased = [known for known in leased if known.spec.kind in fits[plan.consistency]]
        walks: dict[str, Walk] = {}

        def accounts() -> Iterator[Account]:
            for known in leased:
                walks[known.spec.token] = self.begin(known, plan.consistency)
                # A name is shown: it holds no token.
                yield Account(f"account {known.spec.seed}", known.spec.token, self.base_url)

        task = asyncio.create_task(self.fetch_once(chance, plan, accounts(), walks))
        fate = {"close": "cancel"}.get(plan.fate, plan.fate)
        if fate == "cancel":
            await asyncio.wait([task], timeout=min(chance.expovariate(0.5), self.left))
            task.cancel()
        await asyncio.wait([task])
        error = None if task.cancelled() else task.exception()
        for walk in walks.values():
            # Those that had no result when it was left.
            walk.left = fate in ("abandon", "leave")
            walk.told |= {"cancelled"} if fate == "cancel" else set[str]()
            if error is None and not task.cancelled() and not walk.left:
                error = AssertionError("fetch_many gave no result for an account")
            self.finish(walk, error, cancelled=task.cancelled())
        # Those that were never begun are no walks.

    async def fetch_once(
        self, chance: random.Random, plan: Plan, accounts: Iterator[Account], walks: dict[str, Walk]
    ) -> None:
        def over(result: AccountResult) -> None:
            walk = walks.pop(str(result.account.token))
            walk.phones += [chat.phone for chat in result.chats]
            walk.reports += [] if result.report is None else [result.report]
            self.finish(walk, result.error)

        options: dict[str, Any] = {
            "concurrency": BULK_WIDTH,
            "isolate": chance.random() < 0.3,
            "page_size": plan.page_size,
            "consistency": plan.consistency,
            "prefetch": plan.prefetch,
            "timeout": self.timeout,
            "retry": POLICY,
            "max_concurrency": self.most,
            "on_result": over,
        }
        stream = chance.random() < 0.5
        things: AsyncGenerator[Any, None] = fetch_many(accounts, stream=stream, **options)
        if plan.fate == "abandon":
            await self.take_many(chance, plan, things, walks)
            return
        async with contextlib.aclosing(things):
            await self.take_many(chance, plan, things, walks)

    async def take_many(
        self, chance: random.Random, plan: Plan, things: AsyncGenerator[Any, None], walks: dict[str, Walk]
    ) -> None:
        taken = 0
        async for thing in things:
            if isinstance(thing, tuple):
                account, page = thing
                walks[account.token].phones += [chat.phone for chat in page.chats]
            taken += 1
            if plan.fate in ("abandon", "leave") and taken >= plan.after:
                return
            if taken % 4 == 0:
                await self.dawdle(chance)

    # The whole.

    async def run(self, server: Server) -> dict[str, Any]:
        """Soak, and give what the server saw."""
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: self.violated(f"the event loop complains: {complaint(context)}"))
        self.base_url = server.base_url
        gc.collect()
        tasks_before, descriptors_before = asyncio.all_tasks(), descriptors()
        began = time.monotonic()
        self.end = began + self.seconds
        sampling = asyncio.create_task(self.sample(began))
        bulks = max(1, self.walks // 5 // BULK_WIDTH)
        shares = max(1, self.walks // 4 // SHARED_WIDTH)
        # A sixth more than is left, since there are moments between two walks.
        alone = max(1, self.walks - bulks * BULK_WIDTH - shares * SHARED_WIDTH + self.walks // 6)
        jobs = [self.bulk] * bulks + [self.share] * shares + [self.alone] * alone
        working = [asyncio.create_task(job(random.Random(f"{self.seed} {number}"))) for number, job in enumerate(jobs)]
        self.plant()
        done, hanging = await asyncio.wait(working, timeout=self.seconds + self.grace)
        for task in done:
            task.result()  # a mistake of the soak's own
        for task in hanging:
            frames = "; ".join(f"{frame.f_code.co_qualname}:{frame.f_lineno}" for frame in task.get_stack())
            self.violated(f"it hangs: {frames}")
            task.cancel()
        sampling.cancel()
        await asyncio.wait([sampling, *hanging], timeout=5)
        await self.settle(tasks_before, descriptors_before)
        self.samples.append(Sample.take(time.monotonic() - began, self.under_way))
        told = await server.told()
        self.add_up(told)
        return told

    async def sample(self, began: float) -> None:
        while True:
            self.samples.append(Sample.take(time.monotonic() - began, self.under_way))
            if "memory" in self.plants:
                self.kept.append(bytearray(os.urandom(1 << 20)))
            await asyncio.sleep(min(1.0, self.seconds / 10))

    def plant(self) -> None:
        """Do what must not be done, so that a test sees that it is noticed."""
        loop = asyncio.get_running_loop()
        if "task" in self.plants:
            self.kept.append(loop.create_task(asyncio.Event().wait(), name="planted"))
        if "descriptor" in self.plants:
            self.kept.append(os.open("/dev/null", os.O_RDONLY))
        if "exception" in self.plants:
            loop.create_future().set_exception(ValueError("planted"))
        if "warning" in self.plants:
            open("/dev/null")  # noqa: PTH123, SIM115 - never closed
        if "token" in self.plants:
            logging.getLogger("plugchat_async.planted").warning("%s", self.free[0].spec.token)
        if "count" in self.plants:
            self.started += 1
        if "pages" in self.plants:
            self.free[0].pages += 10**9

    async def settle(self, tasks: set[asyncio.Task[Any]], open_before: int) -> None:
        """Check that nothing is left, after a while in which what is closed may go."""
        gc.collect()
        left: set[asyncio.Task[Any]] = set()
        end = time.monotonic() + min(10.0, self.grace)
        while time.monotonic() < end:
            left = asyncio.all_tasks() - tasks
            if not left and descriptors() <= open_before:
                break
            await asyncio.sleep(0.05)
        gc.collect()
        if left:
            self.violated(f"{len(left)} tasks are left: {min(map(repr, left))}")
        if (count := descriptors()) > open_before:
            self.violated(f"{count - open_before} descriptors are left of {open_before} before")
        for session in gc.get_objects():
            if isinstance(session, PlugChatSession) and "closed" not in repr(session):
                self.violated("a session is left")

    def add_up(self, told: dict[str, Any]) -> None:
        for violation in told["violations"]:
            self.violated(violation)
        if self.under_way or self.started != self.ended.total():
            self.violated(f"{self.started} walks began, and {self.ended.total()} ended")
        for token, known in self.known.items():
            self.pages += known.pages
            if known.pages > told["asked"].get(token, 0):
                self.violated("walks read more pages of an account than were asked for")
        if self.seconds >= 30:  # it takes some until it is what it will be
            for growth in grown([sample for sample in self.samples if sample.second < self.seconds]):
                self.violated(growth)

    def report(self, told: dict[str, Any], seconds: float) -> str:
        """Say what was seen."""
        asked, faults = sum(told["asked"].values()), told["faults"]
        lines = [
            f"{seconds:.0f} s, seed {self.seed}; Python {sys.version.split()[0]}",
            f"walks      {self.started:,} begun, {self.most_under_way:,} at a time at most: {listed(self.ended)}",
            f"           {self.resumed:,} of the whole ones went on after errors; {self.chats:,} chats came",
            f"errors     {listed(self.errors)}",
            f"requests   {asked:,}, {asked / seconds:,.0f} a second, {told['peak']:,} in flight at most",
            f"pages      {self.pages:,} read",
            f"faults     {sum(faults.values()):,}: {listed(faults)}",
            "",
            f"{'second':>8}{'walks':>8}{'tasks':>8}{'open':>8}{'objects':>10}{'MB':>8}",
        ]
        step = max(1, len(self.samples) // 15)
        lines += [row(f"{sample.second:.0f}", sample) for sample in self.samples[:-1:step]]
        lines += [row("at end", self.samples[-1]), ""]
        lines += [f"VIOLATED {count} times: {what}" for what, count in self.violations.most_common()]
        lines += [] if self.violations else ["nothing was violated"]
        return "\n".join(lines)


def row(name: str, sample: Sample) -> str:
    counts = f"{sample.walks:>8,}{sample.tasks:>8,}{sample.descriptors:>8,}{sample.objects:>10,}"
    return f"{name:>8}{counts}{sample.rss / 1e6:>8.1f}"


def listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in sorted(counts.items(), key=lambda item: -item[1])) or "none"


def complaint(context: dict[str, Any]) -> str:
    error = context.get("exception")
    return str(context["message"]) + ("" if error is None else "".join(traceback.format_exception(error))[-3000:])


class Listener(logging.Handler):
    """Looks for tokens in what is logged."""

    def __init__(self, violated: Callable[[str], None]) -> None:
        super().__init__()
        self._violated = violated

    def emit(self, record: logging.LogRecord) -> None:
        if MARK in self.format(record):
            self._violated(f"a token is in the log of {record.name}")


@contextlib.contextmanager
def listening(violated: Callable[[str], None]) -> Iterator[None]:
    """Hear of warnings, lost exceptions, and tokens in logs."""
    listener = Listener(violated)
    logger = logging.getLogger("plugchat_async")
    logger.addHandler(listener)
    logger.setLevel(logging.DEBUG)
    logger.propagate = False  # it would say so, ten thousand times
    hook = sys.unraisablehook
    sys.unraisablehook = lambda lost: violated(f"an exception was lost: {lost.exc_value!r} in {lost.object!r}")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = lambda message, kind, *_: violated(f"{kind.__name__}: {message}")
        try:
            yield
        finally:
            sys.unraisablehook = hook
            logger.removeHandler(listener)


def event_loop(*, uvloop: bool) -> Callable[[], asyncio.AbstractEventLoop] | None:
    if uvloop:
        import uvloop as fast

        return fast.new_event_loop
    return None


def room(walks: int, most: int) -> int:
    """Raise the limit of descriptors if need be, and say how many requests a session may have in flight under it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = walks * most + 200
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    while most > 1 and soft != resource.RLIM_INFINITY and walks * most + 200 > soft:
        most -= 1
    return most


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 1 if anything was violated."""
    parser = argparse.ArgumentParser(description="A thousand walks at a time, with faults, for as long as you like.")
    duration = parser.add_mutually_exclusive_group()
    duration.add_argument("--minutes", type=float, help="how long (default: a minute)")
    duration.add_argument("--seconds", type=float)
    parser.add_argument(
        "--seed",
        type=int,
        default=1,
        help="draws accounts, walks and faults (default 1); which meets which is up to the order of arrival",
    )
    parser.add_argument("--walks", type=int, default=1000, help="how many at a time (default 1000)")
    parser.add_argument("--most", type=int, default=4, help="requests in flight of a session at most (default 4)")
    parser.add_argument("--uvloop", action="store_true", help="on uvloop instead of asyncio's own event loop")
    parser.add_argument(
        "--grace", type=float, default=60.0, help="seconds in which the last walks must end (default 60)"
    )
    parser.add_argument("--plant", action="append", default=[], help=argparse.SUPPRESS)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--accounts", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.serve:
        asyncio.run(serve(options.accounts, options.seed, options.most))
        return 0
    seconds: float = options.seconds or 60.0 * (options.minutes or 1.0)
    most = room(options.walks, options.most)
    if most < options.most:
        sys.stdout.write(f"few descriptors: {most} instead of {options.most} requests in flight a session\n")
    soak = Soak(
        walks=options.walks,
        seconds=seconds,
        grace=options.grace,
        seed=options.seed,
        most=most,
        plants=frozenset(options.plant),
    )

    async def soaked() -> dict[str, Any]:
        async with served(len(soak.known), soak.seed, soak.most) as server:
            return await soak.run(server)

    began = time.monotonic()
    with listening(soak.violated), asyncio.Runner(loop_factory=event_loop(uvloop=options.uvloop)) as runner:
        told = runner.run(soaked())
        gc.collect()
        text = soak.report(told, time.monotonic() - began)
    sys.stdout.write(f"{text}\n")
    return 1 if soak.violations else 0


if __name__ == "__main__":
    sys.exit(main())
