"""The CPU time of each layer of a page: the same pages are fetched with one more layer each time.

    python -m benchmarks.journey BASE_URL PAGE_SIZE PAGES

is the process of one round. It runs all layers in turn, several times, and prints the CPU time of each as JSON.
"""

import argparse
import asyncio
import json
import statistics
import time
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from benchmarks.decode import read
from benchmarks.measure import Result, Value, in_a_process, interleaved, spread
from benchmarks.server import running
from benchmarks.walkers import TOKEN, Walk, floor, ours
from plugchat_async import PlugChatSession
from plugchat_async._http.proxy import Proxies
from plugchat_async._http.request import RequestBuilder, RequestTemplate
from plugchat_async._http.secret import Secret
from plugchat_async._http.transport import Transport
from plugchat_async._pagination.walk_state import Consistency

# The page size: the number of pages.
LISTS = {10: 300, 100: 300, 1000: 60}
TIMES = 5
SECRET = Secret(TOKEN)
Layer = Callable[[str, int, int], Coroutine[Any, Any, None]]


def draining(walk: Walk) -> Layer:
    """Return the layer of a contender's walk that keeps no chats."""

    async def layer(base_url: str, size: int, pages: int) -> None:
        async with walk(base_url, size, pages) as found:
            async for _ in found:
                pass

    return layer


def sending(*, decode: bool) -> Layer:
    """Return the layer of the transport: a size limit, no hidden retry, one timeout."""

    async def layer(base_url: str, size: int, pages: int) -> None:
        requests, template = RequestBuilder(), RequestTemplate(base_url, bare=True)
        transport = Transport(borrowed=None, proxies=Proxies(), ssl_context=None, max_response_bytes=2**24)
        transport.open()
        for page in range(1, pages + 1):
            outcome = await transport.send(requests.build(template, SECRET, page, size), timeout=30.0)
            if decode:
                read(getattr(outcome, "body", b""))
        await transport.close()

    return layer


async def fetching(base_url: str, size: int, pages: int) -> None:
    """Fetch a session's pages: slots, deadline, retries, repairs."""
    async with PlugChatSession(TOKEN, base_url=base_url) as session:
        for page in range(1, pages + 1):
            await session.fetch_page(page, size)


def walking(consistency: Consistency) -> Layer:
    """Return the layer of a walk by pages."""

    async def layer(base_url: str, size: int, _: int) -> None:
        async with PlugChatSession(TOKEN, base_url=base_url) as session:
            async for _page in session.iter_pages(size, consistency=consistency):
                pass

    return layer


LAYERS: dict[str, Layer] = {
    "aiohttp, body read (the floor)": draining(floor),
    "transport": sending(decode=False),
    "decoding": sending(decode=True),
    "slots, deadline, retries": fetching,
    "the walk": walking("plain"),
    "each chat once": walking("exact"),
    "chats instead of pages": draining(ours()),
}


def cpu_of(layer: Layer, base_url: str, size: int, pages: int) -> float:
    """Return the CPU time of a page, in microseconds."""
    started = time.process_time()
    asyncio.run(layer(base_url, size, pages))
    return (time.process_time() - started) / pages * 1e6


def measure(rounds: int = 7, lists: dict[int, int] = LISTS) -> Result:
    """Measure pages of 10, 100 and 1,000 chats."""
    rows: list[dict[str, Value]] = []
    for size, pages in lists.items():
        with running(pages * size - 1) as base_url:
            found = [in_a_process("journey", base_url, size, pages) for _ in range(rounds)]
        before: list[float] = [0.0] * rounds
        for name in LAYERS:
            own = [of_round[name] for of_round in found]
            added = [mine - less for mine, less in zip(own, before, strict=True)]
            before = own
            rows.append({"page_size": size, "layer": name, **spread("added", added), "all": statistics.median(own)})
    return Result(
        "journey",
        "A page's journey: CPU that each layer adds",
        f"Microseconds a page, of the client. Medians of {rounds} processes, in each of which all layers had "
        f"{TIMES} turns; what a layer adds is the difference to the one above it, in the same process.",
        {
            "page_size": "chats a page",
            "layer": "layer",
            "added": "adds, us",
            "added_min": "least",
            "added_max": "most",
            "all": "so far, us",
        },
        rows,
    )


def main() -> None:
    """Run one round, in its own process."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("base_url")
    parser.add_argument("page_size", type=int)
    parser.add_argument("pages", type=int)
    arguments = parser.parse_args()
    where = arguments.base_url, arguments.page_size, arguments.pages
    took = interleaved({name: partial(cpu_of, layer, *where) for name, layer in LAYERS.items()}, TIMES + 1)
    print(json.dumps({name: statistics.median(own[1:]) for name, own in took.items()}))


if __name__ == "__main__":
    main()
