"""Rows of pages that do not add up to a list, and of concurrent calls."""

import asyncio
import json
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import aclosing, suppress
from functools import partial
from itertools import count
from typing import Any

from faults.matrix.cell import Call, Row, counted
from faults.matrix.peers import HONEST, PagesPeer, Peer, chat, in_turn, sends, window
from plugchat_async import (
    Account,
    DecodeError,
    NotAListError,
    NotConnectedError,
    PageRepeatedError,
    PlugChatSession,
    Problem,
    SessionStateError,
    fetch_many,
)
from support.fakes import FakeTime, http
from support.traits import KNOWN_SERVER

CHATS = [chat(number) for number in range(25)]
NO_STATUS = http(b"", status="404 Not Found")
CONNECTED = http(b'{"connected": true}')
DISCONNECTED = http(b'{"connected": false, "error": "the phone is off"}')


async def all_chats(session: PlugChatSession, size: int = 10, **options: Any) -> object:
    """Walk the list, and return how many different chats there are, and why the walk is not verified, if it is not."""
    problems: list[Problem] = []
    async with session.walk_chats(size, on_page=lambda page: problems.extend(page.problems), **options) as walk:
        chats = await walk.to_list()
    assert len({found.phone for found in chats}) == len(chats)
    given = counted(len(chats), problems)
    if walk.report.verified:
        return given
    return f"{counted(len(chats), problems)} chats, not verified: {walk.report.reason}"


def pages(
    name: str,
    give: Callable[[int, int], object],
    call: Call = all_chats,
    *,
    status: bytes = NO_STATUS,
    known: bool = False,
    **expected: Any,
) -> Row:
    """Return a row of pages. With `known`, the session has been told how the server ends a list."""
    if known:
        expected["options"] = {**expected.get("options", {}), "server_traits": KNOWN_SERVER}
    # RawServer closes no connection by itself, so all pages use one.
    return Row("Pages", name, lambda: PagesPeer(give, status), call=call, **expected)


def for_a_moment(answer: object, give: Callable[[int, int], object], at: int = 1) -> Callable[[], Peer]:
    """Return what makes a peer that has another answer to one of its requests, counted from 1."""

    def peer() -> Peer:
        requests = count(1)
        return PagesPeer(lambda page, size: answer if next(requests) == at else give(page, size), CONNECTED)

    return peer


def honest(page: int, size: int, total: int = 25) -> list[dict[str, object]]:
    return window(CHATS[:total], page, size)


def moving() -> Peer:
    """Return a peer whose last chat gets a message before each answer, and jumps to the front."""
    chats = deque(CHATS)
    clock = count(2_000_000_001)

    def give(page: int, size: int) -> object:
        answer = window(chats, page, size)
        chats.appendleft(chats.pop() | {"lastMessageTime": str(next(clock))})
        return answer

    return PagesPeer(give)


def refusing_above(most: int) -> Callable[[int, int], object]:
    """Return pages of a server that refuses larger ones."""
    return lambda page, size: http(b"", status="400 Bad Request") if size > most else honest(page, size)


def failing_above(most: int) -> Callable[[int, int], object]:
    """Return pages of a server that breaks at larger ones."""
    return lambda page, size: http(b"", status="501 Not Implemented") if size > most else honest(page, size)


def refusing_past_the_end(total: int) -> Callable[[int, int], object]:
    """Return pages of a server that has a status for those that do not exist."""
    return lambda page, size: honest(page, size, total) or http(b"", status="404 Not Found")


def hiding(page: int, size: int) -> object:
    """Return pages of a server that leaves out chat 3."""
    return [row for row in honest(page, size) if row != CHATS[3]]


def one_of(bad: object) -> Callable[[int, int], object]:
    """Return pages of thirteen good chats and a bad one."""
    return lambda page, size: window([*CHATS[:13], bad], page, size)


def without(chats: list[dict[str, object]], name: str) -> list[dict[str, object]]:
    return [{key: value for key, value in each.items() if key != name} for each in chats]


PAGES = [
    pages("no fault, and the server is known", honest, known=True, gives=25, requests=3),
    pages("no fault, and the server is not known yet", honest, gives=25, requests=4),
    pages("`page` is ignored", lambda _, size: honest(1, size), error=PageRepeatedError, requests=16),
    pages(
        "`pageSize` is ignored, and pages are longer",
        lambda page, _: honest(page, 20),
        gives="25 chats, not verified: pages had other lengths than requested",
        requests=2,
    ),
    pages(
        "`pageSize` is ignored, and all chats come at once",
        lambda page, _: CHATS if page == 1 else [],
        gives="25 chats, not verified: pages had other lengths than requested",
        requests=2,
    ),
    pages("`pageSize` is capped to 5", lambda page, size: honest(page, min(size, 5)), gives=25, requests=10),
    pages("`pageSize` above 10 is refused", refusing_above(10), gives=25, requests=9),
    pages("`pageSize` above 10 fails", failing_above(10), gives=25, requests=9),
    pages(
        "rows are left out after the list was cut into pages",
        hiding,
        gives=24,
        requests=14,
    ),
    pages("an empty list, and the phone is connected", lambda _, __: [], status=CONNECTED, gives=0, requests=3),
    pages(
        "an empty list, and the phone is not connected",
        lambda _, __: [],
        status=DISCONNECTED,
        error=NotConnectedError,
        says="the phone is off",
        requests=3,
    ),
    pages(
        "an empty list, and the call for the status fails",
        lambda _, __: [],
        gives="0 chats, not verified: the list is empty",
        requests=3,
    ),
    Row("Pages", "an empty list for a moment", for_a_moment([], honest), gives=25, requests=3, call=all_chats),
    Row("Pages", "an empty page 2 for a moment", for_a_moment([], honest, 2), gives=25, requests=4, call=all_chats),
    Row(
        "Pages", "half of the list for a moment", for_a_moment(CHATS[:4], honest), gives=25, requests=6, call=all_chats
    ),
    pages("the last page is full", lambda page, size: honest(page, size, 20), gives=20, requests=4),
    pages("404 after the last page, which is full", refusing_past_the_end(20), gives=20, requests=4),
    pages("404 after the last page, which is short", refusing_past_the_end(25), gives=25, requests=4),
    pages(
        "an empty page in the middle",
        lambda page, size: [] if (page, size) == (2, 10) else honest(page, size),
        gives=25,
        requests=4,
    ),
    pages(
        "the first page again after the end",
        lambda page, size: honest(page if page < 3 else 1, size, 20),
        gives=20,
        requests=5,
    ),
    pages(
        "the last page again after the end",
        lambda page, size: honest(min(page, 2), size, 20),
        gives=20,
        requests=5,
    ),
    Row("Pages", "chats that move during the walk", moving, gives=25, requests=4, call=all_chats),
    pages("an object around the list", lambda page, size: {"chats": honest(page, size)}, error=NotAListError),
    pages(
        "null instead of a chat",
        one_of(None),
        known=True,
        gives="13 chats; chat 3: expected an object, got null",
        requests=2,
    ),
    pages(
        "a list instead of a chat",
        one_of([]),
        known=True,
        gives="13 chats; chat 3: expected an object, got []",
        requests=2,
    ),
    pages(
        "neither phone nor lid",
        one_of({"name": "x"}),
        known=True,
        gives="13 chats; chat 3: expected a phone or a lid, got neither",
        requests=2,
    ),
    pages(
        "`phone` is renamed in all rows",
        lambda page, size: [{"telefone": each["phone"]} for each in honest(page, size)],
        error=DecodeError,
        says="not a page of chats: of 10 rows, at least 6 have neither a phone nor a lid",
    ),
    pages(
        "an unread count in words",
        one_of(chat(99, unread="many")),
        known=True,
        gives="14 chats; chat 3, unread: expected a count, got 'many'",
        requests=2,
    ),
    pages(
        'an unread count in words, with `on_bad_value="raise"`',
        one_of(chat(99, unread="many")),
        known=True,
        options={"on_bad_value": "raise"},
        error=DecodeError,
        says="page 2, chat 3, unread: expected a count, got 'many'",
        requests=2,
    ),
    pages(
        "unknown fields",
        lambda page, size: [{**each, "labels": {"a": [1]}} for each in CHATS][(page - 1) * size : page * size],
        known=True,
        gives=25,
        requests=3,
    ),
    pages(
        "rows with a phone only",
        lambda page, size: window(without(CHATS, "lastMessageTime"), page, size),
        known=True,
        gives=25,
        requests=3,
    ),
    pages(
        "a page of 100,000 chats",
        lambda page, size: json.dumps(window([chat(n) for n in range(100_000)], page, size)).encode(),
        known=True,
        gives=100_000,
        requests=3,
        call=partial(all_chats, size=100_000),
    ),
]


async def cancelled_everywhere(session: PlugChatSession) -> object:
    """Cancel a request after 0, 1, 2, … iterations of the event loop, until one succeeds."""
    turns = 0
    while True:
        task = asyncio.create_task(session.fetch_page(1, 10))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        with suppress(asyncio.CancelledError):
            return len((await task).chats)
        turns += 1


async def closed_during_a_walk(session: PlugChatSession) -> object:
    """Close the session at the first chat."""
    async for _ in session.iter_chats(10):
        await session.close()
    return None


async def closed_during_an_answer(session: PlugChatSession) -> object:
    """Close the session after the headers of an answer, before its body."""
    task = asyncio.create_task(session.fetch_page(1, 10))
    await asyncio.sleep(0.1)
    await session.close()
    return await task


async def abandoned(session: PlugChatSession) -> object:
    """Leave a walk at its first chat, with prefetched pages."""
    async with aclosing(session.iter_chats(10, prefetch=3)) as walk:
        async for found in walk:
            return f"chat {found.phone}"
    return None


async def two_on_one(session: PlugChatSession) -> object:
    """Iterate one walk in two tasks."""
    async with aclosing(session.iter_chats(10)) as walk:
        first = asyncio.create_task(anext(walk))
        await asyncio.sleep(0)
        try:
            return await anext(walk)
        finally:
            await first


async def many_pages_at_once(session: PlugChatSession) -> object:
    """Fetch 200 pages at once, with 16 slots."""
    found = await asyncio.gather(*(session.fetch_page(number, 1) for number in range(1, 201)))
    return f"{[len(page.chats) for page in found].count(1)} pages"


# The faults of an account's requests, by the last digit of its number.
FATES = {
    0: sends(http(b"busy", status="503 Busy"), end="keep"),
    1: sends(end="reset"),
    2: sends(b"garbage\r\n\r\n"),
    3: sends(http(b"{}"), end="keep"),
}


class ManyPeer(Peer):
    """A server of many accounts: the last digit of an account's number, in its path, chooses the fault."""

    def __init__(self) -> None:
        super().__init__(self._by_account)

    async def _by_account(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = int(self.requests[-1].split(b"/", 2)[1])
        answer = HONEST if b"page=1&" in self.requests[-1] else http(b"[]")
        await FATES.get(number % 10, sends(answer, end="keep"))(reader, writer)


async def thousand_accounts(session: PlugChatSession) -> object:
    """Fetch a thousand accounts, 40 % of them with a fault, and return the number of each outcome."""
    origin = repr(session).split()[1]
    accounts = (Account(str(number), f"token-{number}", f"{origin}/{number}") for number in range(1000))
    outcomes: dict[str, int] = {}
    options: dict[str, Any] = {"concurrency": 100, "isolate_connections": True, "clock": FakeTime().clock}
    async for result in fetch_many(accounts, page_size=7, **options):
        name = "all chats" if result.error is None else type(result.error).__name__
        assert (result.error is not None) == (int(result.account.name) % 10 in FATES)
        outcomes[name] = outcomes.get(name, 0) + 1
    return outcomes


def concurrency() -> Iterator[Row]:
    yield Row(
        "Concurrency",
        "1,000 accounts, 40 % of them with a fault",
        ManyPeer,
        call=thousand_accounts,
        gives={"all chats": 600, "ServerError": 100, "ConnectionFailedError": 200, "NotAListError": 100},
        requests=3 * 600 + 3 * 100 + 2 * 3 * 100 + 100,
        connections=600 + 100 + 2 * 3 * 100 + 100,
    )
    yield Row(
        "Concurrency",
        "200 pages at once, with 16 slots",
        lambda: Peer(sends(HONEST, end="keep")),
        call=many_pages_at_once,
        gives="200 pages",
        requests=200,
        connections=16,
        options={"max_concurrency": 16},
    )
    yield Row(
        "Concurrency",
        "a request that is cancelled, at each iteration of the event loop",
        lambda: Peer(sends(HONEST, end="keep")),
        call=cancelled_everywhere,
        gives=1,
        requests=None,
        connections=None,
    )
    yield Row(
        "Concurrency",
        "the session is closed during a walk",
        lambda: PagesPeer(honest),
        call=closed_during_a_walk,
        error=SessionStateError,
        says="the session is closed",
        usable=False,
    )
    yield Row(
        "Concurrency",
        "the session is closed in the middle of an answer",
        lambda: Peer(sends(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n[", end="hang")),
        call=closed_during_an_answer,
        error=SessionStateError,
        says="the session is closed",
        usable=False,
    )
    yield Row(
        "Concurrency",
        "a walk that is left at its first chat, with `prefetch`",
        lambda: PagesPeer(honest),
        call=abandoned,
        gives="chat 0",
        requests=None,
        connections=None,
    )
    yield Row(
        "Concurrency",
        "two tasks iterate one walk",
        lambda: Peer(in_turn(sends(HONEST, end="keep"))),
        call=two_on_one,
        error=RuntimeError,
        says="asynchronous generator is already running",
    )


CONCURRENCY = list(concurrency())
