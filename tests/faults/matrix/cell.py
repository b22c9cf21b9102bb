"""One cell of the matrix: a peer misbehaves, a call is made, and all that must hold afterwards is checked."""

import asyncio
import gc
import io
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from attrs import Factory, define, frozen

from faults.matrix.peers import TOKEN, Peer, authority, trust
from plugchat_async import DecodeError, PlugChatError, PlugChatSession, Problem
from support.fakes import FakeTime
from support.seen import texts

Call = Callable[[PlugChatSession], Awaitable[object]]

# Seconds that a row may take on a slow machine. What a row waits for is asked from an injected sleep.
MAX_SECONDS = 20.0
# Seconds that tasks and sockets have to go away: they do in the event loop's next turns.
MAX_WAIT = 2.0
# Seconds for one page, its waits included: RetryPolicy's default.
DEADLINE = 60.0


def told(chats: int, problems: Sequence[Problem]) -> object:
    """Say how many chats there are, and which value could not be read."""
    return f"{chats} chat{'' if chats == 1 else 's'}; {problems[0]}" if problems else chats


async def first_page(session: PlugChatSession) -> object:
    """Fetch one page, and say how many chats it has."""
    page = await session.fetch_page(1, 10)
    return told(len(page.chats), page.problems)


@frozen
class Row:
    """What is done wrong, and what must come of it.

    error: its class, None if it works. says: what its text holds. gives: what the call gives, if it works.
    requests, connections: how many the peer sees, exactly; None where that depends on timing.
    waits: seconds that are waited for, in order.
    usable: whether the session works afterwards; False if the row closes it.
    told: what the documentation calls it, together with its neighbours of the same name (default: its own name).
    """

    group: str
    name: str
    peer: Callable[[], Peer]
    error: type[Exception] | None = None
    says: str = ""
    gives: object = None
    requests: int | None = 1
    connections: int | None = 1
    waits: tuple[float, ...] = ()
    call: Call = first_page
    options: Mapping[str, Any] = MappingProxyType({})
    usable: bool = True
    told: str = ""

    @property
    def id(self) -> str:
        return f"{self.group}: {self.name}"


@define
class Verdict:
    """What came of a row, and what is wrong with that.

    said: the error's text. happened: the same without its context and the hint.
    """

    row: Row
    said: str = ""
    happened: str = ""
    requests: int = 0
    connections: int = 0
    seconds: float = 0.0
    problems: list[str] = Factory(list[str])

    def expect(self, what: str, got: object, wanted: object) -> None:
        """Note what is not as it should be."""
        if got != wanted:
            self.problems.append(f"{what}: {got!r} instead of {wanted!r}")


async def check(row: Row) -> Verdict:
    """Run a row, and check all of its cells."""
    verdict = Verdict(row)
    fake, log, peer = FakeTime(), io.StringIO(), row.peer()
    handler = logging.StreamHandler(log)
    logger = logging.getLogger("plugchat_async")
    level, propagates = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    logger.propagate = False  # what is expected need not be read by whoever runs this
    loop = asyncio.get_running_loop()
    await _warm_up(loop)
    tasks, descriptors = asyncio.all_tasks(), _descriptors()
    loop.set_exception_handler(lambda _, context: verdict.problems.append(f"not retrieved: {context['message']}"))
    try:
        await peer.start()
        try:
            await _try(row, peer, fake, verdict)
        finally:
            await peer.stop()
        verdict.expect("tasks left", await _left(lambda: asyncio.all_tasks() - tasks), set())
        verdict.expect("descriptors left", await _left(lambda: _descriptors() - descriptors), set())
        gc.collect()
        await asyncio.sleep(0)
    finally:
        loop.set_exception_handler(None)
        logger.removeHandler(handler)
        logger.setLevel(level)
        logger.propagate = propagates
    if TOKEN.lower() in log.getvalue().lower():
        verdict.problems.append("the log shows the token")
    return verdict


async def _try(row: Row, peer: Peer, fake: FakeTime, verdict: Verdict) -> None:
    options = dict(row.options)
    if peer.https:
        options.setdefault("ssl_context", trust(authority()))
    began = time.monotonic()
    async with PlugChatSession(TOKEN, base_url=peer.base_url, clock=fake.clock, **options) as session:
        error: Exception | None = None
        given: object = None
        try:
            given = await row.call(session)
        except Exception as caught:  # noqa: BLE001 - whichever comes out is judged
            error = caught
        verdict.requests, verdict.connections = len(peer.requests), peer.connections
        verdict.seconds = time.monotonic() - began
        _judge(verdict, row, error, given)
        verdict.expect("waits", tuple(fake.sleeps), row.waits)
        if fake.now >= DEADLINE:
            verdict.problems.append(f"it waited for {fake.now:.1f} s")
        if verdict.seconds > MAX_SECONDS:
            verdict.problems.append(f"it took {verdict.seconds:.1f} s")
        if row.usable:
            await peer.heal()
            verdict.expect("the session afterwards", await _afterwards(session), "works")


def _judge(verdict: Verdict, row: Row, error: Exception | None, given: object) -> None:
    verdict.said = "" if error is None else str(error)
    verdict.happened = verdict.said
    if isinstance(error, DecodeError):
        verdict.happened = error.what_happened
    elif isinstance(error, PlugChatError):
        verdict.happened = error.message
    verdict.expect("error", None if error is None else type(error), row.error)
    if row.says not in verdict.said:
        verdict.problems.append(f"it says {verdict.said!r}, without {row.says!r}")
    verdict.expect("result", given, row.gives)
    for what, got, wanted in (
        ("requests", verdict.requests, row.requests),
        ("connections", verdict.connections, row.connections),
    ):
        if wanted is not None:
            verdict.expect(what, got, wanted)
    if error is not None and any(TOKEN.lower() in text.lower() for text in texts(error)):
        verdict.problems.append("the error shows the token")
    if isinstance(error, PlugChatError) and not (error.hint and verdict.said.endswith(error.hint)):
        verdict.problems.append("it does not say what to do")


async def _afterwards(session: PlugChatSession) -> str:
    try:
        page = await session.fetch_page(1, 10)
    except PlugChatError as error:
        return str(error)
    return "works" if [chat.phone for chat in page.chats] == ["5511999999999"] else repr(page)


async def _warm_up(loop: asyncio.AbstractEventLoop) -> None:
    """Let the loop and its threads open what they keep, before descriptors are counted."""
    await loop.getaddrinfo("localhost", None)


def _descriptors() -> set[Path]:
    """The open descriptors. What was open before and is closed meanwhile does not matter."""
    return set(Path("/dev/fd").iterdir())


async def _left(find: Callable[[], set[Any]]) -> set[Any]:
    """What does not go away."""
    until = time.monotonic() + MAX_WAIT
    while (found := find()) and time.monotonic() < until:
        await asyncio.sleep(0.005)
    return found
