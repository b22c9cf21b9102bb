"""Many accounts concurrently, over loopback, with the server in another process.

- *speed*: many accounts, compared with one session that reads one account of the same total with `prefetch`.
- *failures*: every tenth account fails, in turn in each way that the server and the addresses offer. The chats of the
  others are compared with those of a run without failures.

Memory is measured in `benchmarks.growth`.
"""

import asyncio
import hashlib
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from functools import partial
from typing import Any

from benchmarks.measure import Result, Value, interleaved, ratios, spread
from benchmarks.server import FAULTS, running
from plugchat_async import Account, BulkOptions, Chat, PlugChatSession, RetryPolicy, fetch_many

# As usual, no multiple of the page size: `exact` reads such a list twice, since no page of it is short.
CHATS = 470
PAGE_SIZE = 100
PREFETCH = 16
CONCURRENCY = 64


def some_accounts(count: int) -> Iterator[Account]:
    """Return an iterator over accounts, each with different chats."""
    return (Account(f"account {number}", f"own-{number}") for number in range(count))


async def fetch_all(base_url: str, count: int) -> int:
    """Fetch many accounts without keeping their chats. Return the number of chats."""
    chats = 0
    results = fetch_many(some_accounts(count), base_url=base_url, concurrency=CONCURRENCY, page_size=PAGE_SIZE)
    async for result in results:
        if result.error is not None:
            raise result.error
        chats += len(result.chats)
    return chats


async def fetch_one(base_url: str) -> int:
    """Fetch one account without keeping its chats. Return the number of chats."""
    chats = 0
    async with PlugChatSession("token", base_url=base_url) as session:
        async for _ in session.iter_chats(PAGE_SIZE, prefetch=PREFETCH):
            chats += 1
    return chats


def seconds_for(work: Callable[[], Coroutine[Any, Any, int]], chats: int) -> float:
    """Return the duration of fetching, in seconds, after a check of the number of chats."""
    started = time.perf_counter()
    found = asyncio.run(work())
    seconds = time.perf_counter() - started
    if found != chats:
        raise SystemExit(f"{found} chats instead of {chats}")
    return seconds


def digest(chats: tuple[Chat, ...]) -> str:
    """Return a hash of chats."""
    return hashlib.sha256(repr(chats).encode()).hexdigest()


async def digests(accounts: list[Account], options: BulkOptions) -> tuple[dict[str, str], Counter[str]]:
    """Return the digests of the fetched accounts, and the number of failures by error."""
    found: dict[str, str] = {}
    errors: Counter[str] = Counter()
    async for result in fetch_many(accounts, concurrency=CONCURRENCY, **options):
        if result.error is None:
            found[result.account.name] = digest(result.chats)
        else:
            errors[type(result.error).__name__] += 1
    return found, errors


async def failures(base_url: str, count: int) -> dict[str, Value]:
    """Return a row with the number of accounts that have the same chats although a tenth of all accounts fails."""
    options: BulkOptions = {"base_url": base_url, "page_size": PAGE_SIZE, "timeout": 2.0}
    options["retry"] = RetryPolicy(initial_delay=0.05, max_delay=0.1)
    ways = [Account("", name.decode()) for name in FAULTS]
    ways += [Account("", "refused", "http://127.0.0.1:9"), Account("", "no name", "https://no.such.host.invalid")]
    ways += [Account("", ""), Account("", "token", "http://example.com")]
    accounts: list[Account] = []
    used: set[str] = set()
    for number, good in enumerate(some_accounts(count)):
        way = ways[number // 10 % len(ways)]
        used.add(f"{way.token} {way.base_url}")
        accounts.append(good if number % 10 else Account(good.name, way.token, way.base_url))
    alone, none_failed = await digests(list(some_accounts(count)), options)
    beside, failed = await digests(accounts, options)
    good_names = {account.name for number, account in enumerate(accounts) if number % 10}
    if len(set(alone.values())) != count:
        raise SystemExit("accounts have the same chats")
    if none_failed or failed.total() != count - len(good_names):
        raise SystemExit(f"{none_failed.total()} and {failed.total()} accounts failed")
    same = sum(alone[name] == beside.get(name) for name in good_names)
    return {
        "what": f"of {count - failed.total():,} accounts the same chats, beside {failed.total():,} that fail "
        f"in {len(used)} ways",
        "value": same,
    }


def measure(accounts: int = 1000, rounds: int = 7) -> Result:
    """Measure many accounts, and one with the same number of chats."""
    chats = accounts * CHATS
    with running(CHATS) as many_url, running(chats) as one_url:
        contenders = {
            "many": partial(seconds_for, partial(fetch_all, many_url, accounts), chats),
            "one": partial(seconds_for, partial(fetch_one, one_url), chats),
        }
        interleaved(contenders, 1)  # the servers prepare their responses
        took = interleaved(contenders, rounds)
    with running(CHATS) as base_url:
        failing = asyncio.run(failures(base_url, accounts))
    rows: list[dict[str, Value]] = [
        {"what": f"{accounts:,} accounts, chats/s", **spread("value", [chats / seconds for seconds in took["many"]])},
        {"what": f"one account, prefetch {PREFETCH}, chats/s", **spread("value", [chats / s for s in took["one"]])},
        {"what": "ratio", **spread("value", ratios(took["one"], took["many"]))},
        failing,
    ]
    return Result(
        "bulk",
        "Many accounts at once",
        f"{accounts:,} accounts of {CHATS} chats, {PAGE_SIZE} a page, by fetch_many with concurrency={CONCURRENCY}, "
        f"beside one session that reads one account of the same total. Medians of {rounds} rounds; the ratio is that "
        "of one round.",
        {"what": "what", "value": "value", "value_min": "least", "value_max": "most"},
        rows,
    )
