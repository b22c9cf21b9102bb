"""One row of the matrix: a peer misbehaves, a call is made, and everything that must hold afterwards is checked."""

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

# Seconds that a row may take on a slow machine. Its waits between retries are injected, and take no time.
MAX_SECONDS = 20.0
# Seconds until tasks and sockets must be gone: they go in the next iterations of the event loop.
MAX_WAIT = 2.0
# Seconds for one page, its waits included: RetryPolicy's default.
DEADLINE = 60.0
# Seconds for which a 429 holds an account at most.
MAX_HOLD = 600.0


def counted(chats: int, problems: Sequence[Problem]) -> object:
    """Return how many chats there are, and the first value that could not be read."""
    return f"{chats} chat{'' if chats == 1 else 's'}; {problems[0]}" if problems else chats


async def first_page(session: PlugChatSession) -> object:
    """Fetch one page, and return how many chats it has."""
    page = await session.fetch_page(1, 10)
    return counted(len(page.chats), page.problems)


@frozen
class Row:
    """A fault, and the required outcome.

    Attributes:
        group: The section of the page.
        name: The fault.
        peer: Makes the server that causes it.
        error: The class of the error, or None if the call succeeds.
        says: A part of the error's text.
        gives: The result of the call, if it succeeds.
        requests: The number of requests that the peer gets, or None if it depends on timing.
        connections: The number of its connections, or None.
        waits: The waits in seconds, in order.
        call: The call that is made. Default: fetch one page.
        options: Options of the session.
        usable: Whether the session works afterwards; False if the row closes it.
        label: The name on the page, shared with neighbours of the same label. Default: `name`.
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
    label: str = ""

    @property
    def id(self) -> str:
        return f"{self.group}: {self.name}"


@define
class Verdict:
    """The outcome of a row, and its differences from the required one.

    Attributes:
        row: The row.
        said: The error's text.
        happened: The same without its context and the hint.
        requests: The number of requests that the peer got.
        connections: The number of its connections.
        seconds: The real time that the row took.
        problems: The differences, as text.
    """

    row: Row
    said: str = ""
    happened: str = ""
    requests: int = 0
    connections: int = 0
    seconds: float = 0.0
    problems: list[str] = Factory(list[str])

    def expect(self, what: str, got: object, wanted: object) -> None:
        """Record a difference."""
        if got != wanted:
            self.problems.append(f"{what}: {got!r} instead of {wanted!r}")


async def check(row: Row) -> Verdict:
    """Run a row, and check everything about it."""
    verdict = Verdict(row)
    fake, log, peer = FakeTime(), io.StringIO(), row.peer()
    handler = logging.StreamHandler(log)
    logger = logging.getLogger("plugchat_async")
    level, propagates = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    logger.propagate = False  # expected warnings are not shown
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
        except Exception as caught:  # noqa: BLE001 - any error is judged
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
            fake.now += MAX_HOLD
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
    """Let the loop and its threads open their descriptors, before these are counted."""
    await loop.getaddrinfo("localhost", None)


def _descriptors() -> set[Path]:
    """Return the open descriptors. Those that were open before and are closed now do not matter."""
    return set(Path("/dev/fd").iterdir())


async def _left(find: Callable[[], set[Any]]) -> set[Any]:
    """Return what is still there after `MAX_WAIT`."""
    until = time.monotonic() + MAX_WAIT
    while (found := find()) and time.monotonic() < until:
        await asyncio.sleep(0.005)
    return found
