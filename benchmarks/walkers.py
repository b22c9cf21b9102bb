"""Whole walks over an account with different stacks, each in its own process.

    python -m benchmarks.walkers NAME BASE_URL PAGE_SIZE PAGES

walks twice, and prints as JSON the chats of the first walk and the time of the second one. The contenders are typical
code for this call: they request pages until one is short, and yield their chats. All send the same headers and keep
their connection.

- `floor`: aiohttp; the bodies are read and ignored. The number of pages is an argument.
- `dicts`: aiohttp and orjson; the rows are dicts, with unchanged texts.
- `by hand`: the same, with a loop that makes a `Chat` from each dict.
- `by hand, cattrs`: the same, with a plain cattrs converter that makes objects of the user's own class of the dicts.
- `httpx + pydantic`, `httpx2 + pydantic`: like the page iterators of generated SDKs (Stainless, Fern, Speakeasy), which
  pass `response.json()` to pydantic, but without their layers in between.
- `httpx + pydantic, bytes`: the same with `validate_json`.
- `niquests + msgspec`: msgspec structs from the bytes, with times as numbers.
- `plugchat_async`, also on uvloop, and as `plain`, which does not remember the chats that it has seen.
"""

import argparse
import asyncio
import hashlib
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from importlib import import_module
from itertools import count
from typing import Any

from plugchat_async import PlugChatSession
from plugchat_async._pagination.walk_state import Consistency

TOKEN = "benchmark"  # noqa: S105 - of no account
PATH = "/api/whatsapp/chats"
HEADERS = {"Authorization": TOKEN, "Content-Type": "application/json", "Accept": "application/json"}

# (base URL, page size, number of pages) -> the chats.
Walk = Callable[[str, int, int], AbstractAsyncContextManager[AsyncIterator[Any]]]


@asynccontextmanager
async def floor(base_url: str, page_size: int, pages: int) -> AsyncGenerator[AsyncIterator[Any]]:
    """Read the bodies of `pages` pages."""
    import aiohttp

    async with aiohttp.ClientSession(headers=HEADERS) as session:

        async def bodies() -> AsyncIterator[bytes]:
            for page in range(1, pages + 1):
                params = {"page": page, "pageSize": page_size}
                async with session.get(f"{base_url}{PATH}", params=params) as response:
                    yield await response.read()

        yield bodies()


@asynccontextmanager
async def by_hand(base_url: str, page_size: int, _: int) -> AsyncGenerator[AsyncIterator[Any]]:
    """Walk with aiohttp and orjson, and make a `Chat` from each dict."""
    from benchmarks.by_hand import chat_of

    async with as_dicts(base_url, page_size, 0) as rows:
        yield (chat_of(row) async for row in rows)


@asynccontextmanager
async def with_cattrs(base_url: str, page_size: int, _: int) -> AsyncGenerator[AsyncIterator[Any]]:
    """Walk with aiohttp, orjson and cattrs."""
    import aiohttp

    from benchmarks.by_hand import OwnChat, own_chats

    async with aiohttp.ClientSession(headers=HEADERS) as session:

        async def chats() -> AsyncIterator[OwnChat]:
            for page in count(1):
                params = {"page": page, "pageSize": page_size}
                async with session.get(f"{base_url}{PATH}", params=params) as response:
                    found = own_chats(await response.read())
                for chat in found:
                    yield chat
                if len(found) < page_size:
                    return

        yield chats()


@asynccontextmanager
async def as_dicts(base_url: str, page_size: int, _: int) -> AsyncGenerator[AsyncIterator[dict[str, Any]]]:
    """Walk with aiohttp and orjson."""
    import aiohttp
    import orjson

    async with aiohttp.ClientSession(headers=HEADERS) as session:

        async def dicts() -> AsyncIterator[dict[str, Any]]:
            for page in count(1):
                params = {"page": page, "pageSize": page_size}
                async with session.get(f"{base_url}{PATH}", params=params) as response:
                    rows: list[dict[str, Any]] = orjson.loads(await response.read())
                for row in rows:
                    yield row
                if len(rows) < page_size:
                    return

        yield dicts()


def with_pydantic(library: str, *, from_bytes: bool = False) -> Walk:
    """Return a walk with httpx, or its successor, and pydantic's models."""
    from pydantic import TypeAdapter

    from benchmarks.decode import PydanticChat

    client: Any = import_module(library).AsyncClient
    models = TypeAdapter(list[PydanticChat])
    validate = models.validate_json if from_bytes else models.validate_python

    @asynccontextmanager
    async def walk(base_url: str, page_size: int, _: int) -> AsyncGenerator[AsyncIterator[Any]]:
        async with client(base_url=base_url, headers=HEADERS) as session:

            async def chats() -> AsyncIterator[PydanticChat]:
                for page in count(1):
                    response = await session.get(PATH, params={"page": page, "pageSize": page_size})
                    response.raise_for_status()
                    found = validate(response.content if from_bytes else response.json())
                    for chat in found:
                        yield chat
                    if len(found) < page_size:
                        return

            yield chats()

    return walk


@asynccontextmanager
async def with_niquests(base_url: str, page_size: int, _: int) -> AsyncGenerator[AsyncIterator[Any]]:
    """Walk with niquests and msgspec's structs."""
    import msgspec
    import niquests

    from benchmarks.decode import MsgspecChat

    decode = msgspec.json.Decoder(list[MsgspecChat], strict=False).decode
    async with niquests.AsyncSession() as session:
        session.headers.update(list(HEADERS.items()))

        async def chats() -> AsyncIterator[MsgspecChat]:
            for page in count(1):
                params = {"page": str(page), "pageSize": str(page_size)}
                response = await session.get(f"{base_url}{PATH}", params=params)
                response.raise_for_status()
                found = decode(response.content or b"")
                for chat in found:
                    yield chat
                if len(found) < page_size:
                    return

        yield chats()


def ours(consistency: Consistency = "exact") -> Walk:
    """Return a walk with this SDK."""

    @asynccontextmanager
    async def walk(base_url: str, page_size: int, _: int) -> AsyncGenerator[AsyncIterator[Any]]:
        async with PlugChatSession(TOKEN, base_url=base_url) as session:
            yield session.iter_chats(page_size, consistency=consistency)

    return walk


WALKS: dict[str, Callable[[], Walk]] = {
    "floor": lambda: floor,
    "plugchat_async": ours,
    "plugchat_async, uvloop": ours,
    "plugchat_async, plain": lambda: ours("plain"),
    "dicts": lambda: as_dicts,
    "by hand": lambda: by_hand,
    "by hand, cattrs": lambda: with_cattrs,
    "niquests + msgspec": lambda: with_niquests,
    "httpx2 + pydantic": lambda: with_pydantic("httpx2"),
    "httpx + pydantic, bytes": lambda: with_pydantic("httpx", from_bytes=True),
    "httpx + pydantic": lambda: with_pydantic("httpx"),
}


async def digest_of(walk: Walk, base_url: str, page_size: int, pages: int) -> tuple[int, str]:
    """Return the number of chats and their hash, which is "" for the floor."""
    from benchmarks.decode import as_chat

    digest = hashlib.sha256()
    number = 0
    async with walk(base_url, page_size, pages) as chats:
        async for chat in chats:
            if not isinstance(chat, bytes):
                number += 1
                digest.update(repr(as_chat(chat)).encode())
    return number, digest.hexdigest() if number else ""


async def measure(walk: Walk, base_url: str, page_size: int, pages: int) -> tuple[float, float]:
    """Return the duration and the CPU time, in seconds, of a walk that keeps no chats."""
    started, cpu = time.perf_counter(), time.process_time()
    async with walk(base_url, page_size, pages) as chats:
        async for _ in chats:
            pass
    return time.perf_counter() - started, time.process_time() - cpu


def main() -> None:
    """Parse the arguments, and walk."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("name", choices=WALKS)
    parser.add_argument("base_url")
    parser.add_argument("page_size", type=int)
    parser.add_argument("pages", type=int)
    arguments = parser.parse_args()
    run: Any = import_module("uvloop").run if arguments.name.endswith("uvloop") else asyncio.run
    walk = WALKS[arguments.name]()
    where = arguments.base_url, arguments.page_size, arguments.pages
    number, digest = run(digest_of(walk, *where))
    wall, cpu = run(measure(walk, *where))
    print(json.dumps({"chats": number, "digest": digest, "wall": wall, "cpu": cpu}))


if __name__ == "__main__":
    main()
