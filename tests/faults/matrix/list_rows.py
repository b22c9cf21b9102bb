"""Rows of pages that do not add up to a list, and of callers who do several things at once."""

import asyncio
import json
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import aclosing, suppress
from functools import partial
from itertools import count
from typing import Any

from faults.matrix.cell import Call, Row, told
from faults.matrix.peers import HONEST, PagesPeer, Peer, chat, in_turn, sends, window
from plugchat_async import (
    Account,
    DecodeError,
    NotAListError,
    PageRepeatedError,
    PlugChatSession,
    Problem,
    SessionStateError,
    fetch_many,
)
from support.fakes import FakeTime, http

CHATS = [chat(number) for number in range(25)]


async def all_chats(session: PlugChatSession, size: int = 10, **options: Any) -> object:
    """Walk the list, and say how many chats there are, each counted once."""
    problems: list[Problem] = []
    chats = await session.list_chats(size, on_page=lambda page: problems.extend(page.problems), **options)
    assert len({found.phone for found in chats}) == len(chats)
    return told(len(chats), problems)


def pages(name: str, give: Callable[[int, int], object], call: Call = all_chats, **expected: Any) -> Row:
    # RawServer closes no connection by itself, so all pages come over one.
    return Row("Pages", name, lambda: PagesPeer(give), call=call, **expected)


def honest(page: int, size: int, total: int = 25) -> list[dict[str, object]]:
    return window(CHATS[:total], page, size)


def moving() -> Peer:
    """Before each answer the last chat gets a message, and jumps to the front."""
    chats = deque(CHATS)
    clock = count(2_000_000_001)

    def give(page: int, size: int) -> object:
        answer = window(chats, page, size)
        chats.appendleft(chats.pop() | {"lastMessageTime": str(next(clock))})
        return answer

    return PagesPeer(give)


def one_of(bad: object) -> Callable[[int, int], object]:
    """Thirteen good chats, and a bad one."""
    return lambda page, size: window([*CHATS[:13], bad], page, size)


def without(chats: list[dict[str, object]], name: str) -> list[dict[str, object]]:
    return [{key: value for key, value in each.items() if key != name} for each in chats]


PAGES = [
    pages("honest", honest, gives=25, requests=3),
    pages("`page` is ignored", lambda _, size: honest(1, size), error=PageRepeatedError, requests=3),
    pages(
        "`pageSize` is ignored, and more comes than was asked for",
        lambda page, _: honest(page, 20),
        gives=25,
        requests=2,
    ),
    pages(
        "`pageSize` is ignored, and all comes at once", lambda page, _: CHATS if page == 1 else [], gives=25, requests=2
    ),
    pages("`pageSize` is capped to 5", lambda page, size: honest(page, min(size, 5)), gives=25, requests=6),
    pages("an empty first page", lambda _, __: [], gives=0),
    pages("as many chats as fit into pages", lambda page, size: honest(page, size, 20), gives=20, requests=3),
    pages(
        "an empty page in the middle", lambda page, size: [] if page == 2 else honest(page, size), gives=10, requests=2
    ),
    pages(
        "the first page again past the end",
        lambda page, size: honest(page if page < 3 else 1, size, 20),
        error=PageRepeatedError,
        requests=4,
    ),
    pages(
        "the last page again past the end",
        lambda page, size: honest(min(page, 2), size, 20),
        error=PageRepeatedError,
        requests=4,
    ),
    Row("Pages", "chats that move meanwhile", moving, gives=25, requests=4, call=all_chats),
    pages("an object around the list", lambda page, size: {"chats": honest(page, size)}, error=NotAListError),
    pages("null instead of a chat", one_of(None), gives="13 chats; chat 3: expected an object, got null", requests=2),
    pages("a list instead of a chat", one_of([]), gives="13 chats; chat 3: expected an object, got []", requests=2),
    pages(
        "neither phone nor lid",
        one_of({"name": "x"}),
        gives="13 chats; chat 3: expected a phone or a lid, got neither",
        requests=2,
    ),
    pages(
        "a renamed field, all over",
        lambda page, size: [{"telefone": each["phone"]} for each in honest(page, size)],
        error=DecodeError,
        says="not a page of chats: of 10 rows, at least 6 have neither a phone nor a lid",
    ),
    pages(
        "an unread count in words",
        one_of(chat(99, unread="many")),
        gives="14 chats; chat 3, unread: expected a count, got 'many'",
        requests=2,
    ),
    pages(
        'an unread count in words, with `on_bad_value="raise"`',
        one_of(chat(99, unread="many")),
        options={"on_bad_value": "raise"},
        error=DecodeError,
        says="page 2, chat 3, unread: expected a count, got 'many'",
        requests=2,
    ),
    pages(
        "fields that nobody knows",
        lambda page, size: [{**each, "labels": {"a": [1]}} for each in CHATS][(page - 1) * size : page * size],
        gives=25,
        requests=3,
    ),
    pages(
        "phones and nothing else",
        lambda page, size: window(without(CHATS, "lastMessageTime"), page, size),
        gives=25,
        requests=3,
    ),
    pages(
        "a page of 100,000 chats",
        lambda page, size: json.dumps(window([chat(n) for n in range(100_000)], page, size)).encode(),
        gives=100_000,
        requests=2,
        call=partial(all_chats, size=100_000),
    ),
]


async def cancelled_everywhere(session: PlugChatSession) -> object:
    """Cancel a request after each number of the event loop's turns, until one gets through."""
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
    """Close the session when the first chat is there."""
    async for _ in session.iter_chats(10):
        await session.close()
    return None


async def closed_during_an_answer(session: PlugChatSession) -> object:
    """Close the session when the head of an answer is there, and its body is waited for."""
    task = asyncio.create_task(session.fetch_page(1, 10))
    await asyncio.sleep(0.1)
    await session.close()
    return await task


async def abandoned(session: PlugChatSession) -> object:
    """Leave a walk at its first chat, with requests made ahead."""
    async with aclosing(session.iter_chats(10, prefetch=3)) as walk:
        async for found in walk:
            return f"the chat {found.phone}"
    return None


async def two_on_one(session: PlugChatSession) -> object:
    """Let two tasks take from one walk."""
    async with aclosing(session.iter_chats(10)) as walk:
        first = asyncio.create_task(anext(walk))
        await asyncio.sleep(0)
        try:
            return await anext(walk)
        finally:
            await first


async def many_pages_at_once(session: PlugChatSession) -> object:
    """Ask for 200 pages at once, with 16 slots."""
    found = await asyncio.gather(*(session.fetch_page(number, 1) for number in range(1, 201)))
    return f"{[len(page.chats) for page in found].count(1)} pages"


# What an account's requests meet, by its number's last digit.
FATES = {
    0: sends(http(b"busy", status="503 Busy"), end="keep"),
    1: sends(end="reset"),
    2: sends(b"garbage\r\n\r\n"),
    3: sends(http(b"{}"), end="keep"),
}


class ManyPeer(Peer):
    """Does to each account, by its base URL's path, what its number's last digit says."""

    def __init__(self) -> None:
        super().__init__(self._by_account)

    async def _by_account(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = int(self.requests[-1].split(b"/", 2)[1])
        await FATES.get(number % 10, sends(HONEST, end="keep"))(reader, writer)


async def thousand_accounts(session: PlugChatSession) -> object:
    """Fetch a thousand accounts, of which four in ten meet a fault. Gives who got what, counted."""
    origin = repr(session).split()[1]
    accounts = (Account(str(number), f"token-{number}", f"{origin}/{number}") for number in range(1000))
    counted: dict[str, int] = {}
    options: dict[str, Any] = {"concurrency": 100, "isolate_connections": True, "clock": FakeTime().clock}
    async for result in fetch_many(accounts, page_size=7, **options):
        name = "all chats" if result.error is None else type(result.error).__name__
        assert (result.error is not None) == (int(result.account.name) % 10 in FATES)
        counted[name] = counted.get(name, 0) + 1
    return counted


def concurrency() -> Iterator[Row]:
    yield Row(
        "At once",
        "a thousand accounts, of which four in ten meet a fault",
        ManyPeer,
        call=thousand_accounts,
        gives={"all chats": 600, "ServerError": 100, "ConnectionFailedError": 200, "NotAListError": 100},
        requests=600 + 3 * 100 + 2 * 3 * 100 + 100,
        connections=600 + 100 + 2 * 3 * 100 + 100,
    )
    yield Row(
        "At once",
        "200 pages, with 16 slots",
        lambda: Peer(sends(HONEST, end="keep")),
        call=many_pages_at_once,
        gives="200 pages",
        requests=200,
        connections=16,
        options={"max_concurrency": 16},
    )
    yield Row(
        "At once",
        "a request that is cancelled, at each turn of the event loop",
        lambda: Peer(sends(HONEST, end="keep")),
        call=cancelled_everywhere,
        gives=1,
        requests=None,
        connections=None,
    )
    yield Row(
        "At once",
        "the session is closed during a walk",
        lambda: PagesPeer(honest),
        call=closed_during_a_walk,
        error=SessionStateError,
        says="the session is closed",
        usable=False,
    )
    yield Row(
        "At once",
        "the session is closed while an answer stops in the middle",
        lambda: Peer(sends(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n[", end="hang")),
        call=closed_during_an_answer,
        error=SessionStateError,
        says="the session is closed",
        usable=False,
    )
    yield Row(
        "At once",
        "a walk that is left at its first chat, with pages asked for ahead",
        lambda: PagesPeer(honest),
        call=abandoned,
        gives="the chat 0",
        requests=None,
        connections=None,
    )
    yield Row(
        "At once",
        "two tasks on one walk",
        lambda: Peer(in_turn(sends(HONEST, end="keep"))),
        call=two_on_one,
        error=RuntimeError,
        says="asynchronous generator is already running",
    )


AT_ONCE = list(concurrency())
