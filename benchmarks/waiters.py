"""The contenders of `benchmarks.waiting`. Each opens a session, and yields a function that does its job once.

The code by hand is typical for this call: aiohttp, orjson, and a loop until a page is short.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from itertools import count
from typing import Any, Literal

import aiohttp
import orjson

from benchmarks.by_hand import chat_of
from benchmarks.walkers import HEADERS, PATH, TOKEN
from plugchat_async import PENDING_CHATS, Account, Chat, PlugChatSession, WatchState, fetch_many

# The pages that code by hand requests at a time.
AT_ONCE = 16
# The accounts that are fetched at a time, and the requests in flight.
CONCURRENCY = 64
PENDING_PATH = PENDING_CHATS.path

Read = Callable[[], Awaitable[Any]]
Opened = AsyncGenerator[Read]
# The base URL -> the job.
Contender = Callable[[str], AbstractAsyncContextManager[Read]]


async def page_of(session: aiohttp.ClientSession, url: str, number: int, size: int, **headers: str) -> list[Any]:
    """Return the rows of a page."""
    params = {"page": number, "pageSize": size}
    async with session.get(url, params=params, headers=headers) as response:
        response.raise_for_status()
        rows: list[Any] = orjson.loads(await response.read())
        return rows


async def rows_of(session: aiohttp.ClientSession, url: str, size: int, **headers: str) -> list[Any]:
    """Return all rows, one page after the other."""
    rows: list[Any] = []
    for number in count(1):
        page = await page_of(session, url, number, size, **headers)
        rows += page
        if len(page) < size:
            break
    return rows


@asynccontextmanager
async def by_hand(base_url: str, *, size: int) -> Opened:
    """Read one page after the other."""
    async with aiohttp.ClientSession(headers=HEADERS) as session:

        async def read() -> list[Chat]:
            return [chat_of(row) for row in await rows_of(session, base_url + PATH, size)]

        yield read


@asynccontextmanager
async def by_hand_gather(base_url: str, *, size: int) -> Opened:
    """Read several pages at a time, until one is short."""
    async with aiohttp.ClientSession(headers=HEADERS) as session:

        async def read() -> list[Chat]:
            chats: list[Chat] = []
            for first in count(1, AT_ONCE):
                numbers = range(first, first + AT_ONCE)
                pages = await asyncio.gather(*(page_of(session, base_url + PATH, number, size) for number in numbers))
                chats += [chat_of(row) for page in pages for row in page]
                if any(len(page) < size for page in pages):
                    break
            return chats

        yield read


@asynccontextmanager
async def ours(base_url: str, *, size: int, consistency: Literal["exact", "strict"], prefetch: int) -> Opened:
    """Read with this SDK."""
    async with PlugChatSession(TOKEN, base_url=base_url) as session:
        yield partial(session.list_chats, size, consistency=consistency, prefetch=prefetch)


@asynccontextmanager
async def unread_by_hand(base_url: str, *, size: int, path: str = PATH) -> Opened:
    """Read all chats and keep those that are unread, or read the list of pending chats."""
    field = "unread" if path == PATH else "unreadMessagesCount"
    async with aiohttp.ClientSession(headers=HEADERS) as session:

        async def read() -> list[tuple[str, int]]:
            rows = await rows_of(session, base_url + path, size)
            return [(row["phone"] or row["lid"], int(row[field])) for row in rows if row[field] != "0"]

        yield read


@asynccontextmanager
async def unread_ours(base_url: str, *, size: int, prefetch: int) -> Opened:
    """Read all chats with this SDK, and keep those that are unread."""
    async with PlugChatSession(TOKEN, base_url=base_url) as session:

        async def read() -> list[tuple[str, int]]:
            chats = session.iter_chats(size, prefetch=prefetch)
            return [(chat.id, chat.unread) async for chat in chats if chat.unread]

        yield read


@asynccontextmanager
async def pending_ours(base_url: str, *, size: int) -> Opened:
    """Read the pending chats with this SDK."""
    async with PlugChatSession(TOKEN, base_url=base_url) as session:

        async def read() -> list[tuple[str, int]]:
            return [(chat.id, chat.unread_messages_count) async for chat in session.iter_pending_chats(size)]

        yield read


@asynccontextmanager
async def many_by_hand(base_url: str, *, accounts: Mapping[str, str], size: int) -> Opened:
    """Read many accounts, by their names and tokens, with a semaphore."""
    async with aiohttp.ClientSession(headers=HEADERS) as session:
        semaphore = asyncio.Semaphore(CONCURRENCY)

        async def account(name: str, token: str) -> tuple[str, list[Chat]]:
            async with semaphore:
                rows = await rows_of(session, base_url + PATH, size, Authorization=token)
                return name, [chat_of(row) for row in rows]

        async def read() -> list[tuple[str, list[Chat]]]:
            return await asyncio.gather(*(account(name, token) for name, token in accounts.items()))

        yield read


@asynccontextmanager
async def many_ours(base_url: str, *, accounts: Mapping[str, str], size: int, prefetch: int) -> Opened:
    """Read many accounts with this SDK."""

    async def read() -> list[tuple[str, tuple[Chat, ...]]]:
        named = (Account(name, token) for name, token in accounts.items())
        results = fetch_many(
            named, base_url=base_url, concurrency=CONCURRENCY, page_size=size, prefetch=prefetch, on_error="raise"
        )
        return [(result.account.name, result.chats) async for result in results]

    yield read


@asynccontextmanager
async def first_page_by_hand(base_url: str, *, size: int) -> Opened:
    """Read the first page."""
    async with aiohttp.ClientSession(headers=HEADERS) as session:

        async def read() -> list[Chat]:
            return [chat_of(row) for row in await page_of(session, base_url + PATH, 1, size)]

        yield read


@asynccontextmanager
async def poll(base_url: str, *, size: int) -> Opened:
    """Poll once with a watch, and return its state. The first poll reads the whole list."""
    logging.getLogger("plugchat_async.watch").setLevel(logging.ERROR)  # it warns once that a list is not sorted
    state = WatchState()
    async with PlugChatSession(TOKEN, base_url=base_url) as session:

        async def read() -> WatchState:
            async for event in session.watch_chats(state=state, page_size=size, max_polls=1):
                raise SystemExit(f"the account is not quiet: {event}")
            return state

        yield read
