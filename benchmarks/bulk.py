"""Many accounts at once: `python -m benchmarks.bulk` (on Linux).

Against a server in a process of its own, over loopback:

- *speed*: many accounts, compared with one session that reads one account of the same total with `prefetch`. Each
  round does one after the other; the ratio is that of one round, its median is printed, and its range.
- *memory*: the peak of resident memory above that after the imports, in a process for each number of accounts.
- *failures*: every tenth account fails, each in one of all ways that the server and the addresses know; the others'
  chats are compared with those of a run in which none fails.
"""

import argparse
import asyncio
import hashlib
import json
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator

from benchmarks.memory import peak
from benchmarks.server import FAULTS, running
from plugchat_async import Account, BulkOptions, Chat, PlugChatSession, RetryPolicy, fetch_many

CHATS = 500
PAGE_SIZE = 100
PREFETCH = 16
CONCURRENCY = 64


def some_accounts(count: int) -> Iterator[Account]:
    """Give accounts, one by one, each with chats of its own."""
    return (Account(f"account {number}", f"own-{number}") for number in range(count))


async def fetch_all(base_url: str, count: int) -> int:
    """Fetch many accounts and keep nothing; gives the number of chats."""
    chats = 0
    results = fetch_many(some_accounts(count), base_url=base_url, concurrency=CONCURRENCY, page_size=PAGE_SIZE)
    async for result in results:
        if result.error is not None:
            raise result.error
        chats += len(result.chats)
    return chats


async def fetch_one(base_url: str) -> int:
    """Fetch one account and keep nothing; gives the number of chats."""
    chats = 0
    async with PlugChatSession("token", base_url=base_url) as session:
        async for _ in session.iter_chats(PAGE_SIZE, prefetch=PREFETCH):
            chats += 1
    return chats


async def speed(many_url: str, one_url: str, count: int, rounds: int) -> None:
    """Print chats a second of both, and their ratio."""
    rates: dict[str, list[float]] = {"many": [], "one": []}
    for number in range(rounds + 1):
        for name, coroutine in (("many", fetch_all(many_url, count)), ("one", fetch_one(one_url))):
            started = time.perf_counter()
            chats = await coroutine
            seconds = time.perf_counter() - started
            if chats != count * CHATS:
                raise SystemExit(f"{name}: {chats} chats instead of {count * CHATS}")
            if number:  # in the first round the server prepares its answers
                rates[name].append(chats / seconds)
    ratios = [many / one for many, one in zip(rates["many"], rates["one"], strict=True)]
    print(f"{count} accounts of {CHATS} chats, {PAGE_SIZE} a page, {rounds} rounds, medians")
    print(f"  many accounts: {statistics.median(rates['many']):,.0f} chats/s")
    print(f"  one account, prefetch {PREFETCH}: {statistics.median(rates['one']):,.0f} chats/s")
    print(f"  ratio: {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})", flush=True)


def memory(base_url: str, counts: list[int]) -> None:
    """Print the peak memory for each number of accounts."""
    print(f"{CHATS} chats each, {CONCURRENCY} accounts at a time: peak memory above that after the imports")
    for count in counts:
        command = [sys.executable, "-m", "benchmarks.bulk", "--peak", base_url, str(count)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        print(f"  {count:>6} accounts: {json.loads(done.stdout) / 1e6:.1f} MB", flush=True)


def digest(chats: tuple[Chat, ...]) -> str:
    """Give a text that is the same for the same chats."""
    return hashlib.sha256(repr(chats).encode()).hexdigest()


async def digests(accounts: list[Account], options: BulkOptions) -> tuple[dict[str, str], Counter[str]]:
    """Give the digests of the accounts that were fetched, and how many failed by which error."""
    found: dict[str, str] = {}
    errors: Counter[str] = Counter()
    async for result in fetch_many(accounts, concurrency=CONCURRENCY, **options):
        if result.error is None:
            found[result.account.name] = digest(result.chats)
        else:
            errors[type(result.error).__name__] += 1
    return found, errors


async def failures(base_url: str, count: int) -> None:
    """Print what became of the accounts that did not fail, beside a tenth that did."""
    options: BulkOptions = {"base_url": base_url, "page_size": PAGE_SIZE, "timeout": 2.0}
    options["retry"] = RetryPolicy(base=0.05, cap=0.1)
    ways = [Account("", name.decode()) for name in FAULTS]
    ways += [Account("", "refused", "http://127.0.0.1:9"), Account("", "no name", "https://no.such.host.invalid")]
    ways += [Account("", ""), Account("", "token", "http://example.com")]
    accounts: list[Account] = []
    used: set[str] = set()
    for number, good in enumerate(some_accounts(count)):
        way = ways[number // 10 % len(ways)]
        used.add(way.token + str(way.base_url))
        accounts.append(good if number % 10 else Account(good.name, way.token, way.base_url))
    alone, none_failed = await digests(list(some_accounts(count)), options)
    beside, failed = await digests(accounts, options)
    good_names = {account.name for number, account in enumerate(accounts) if number % 10}
    if len(set(alone.values())) != count:
        raise SystemExit("accounts have the same chats")
    if none_failed or failed.total() != count - len(good_names):
        raise SystemExit(f"{none_failed.total()} and {failed.total()} accounts failed")
    same = sum(alone[name] == beside.get(name) for name in good_names)
    print(f"{count} accounts, {failed.total()} of which fail, in {len(used)} ways")
    print(f"  the others: {len(good_names)}, with the same chats as without failures: {same}")
    print(f"  errors: {', '.join(f'{name} {number}' for name, number in sorted(failed.items()))}")


def main() -> None:
    """Read the arguments, and measure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--accounts", type=int, default=1000, help="how many accounts (default 1000)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of the comparison (default 5)")
    parser.add_argument("--most", type=int, default=10_000, help="the most accounts for the memory (default 10,000)")
    parser.add_argument("--peak", nargs=2, metavar=("BASE_URL", "ACCOUNTS"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.peak:
        base_url, count = arguments.peak
        before = peak()
        asyncio.run(fetch_all(base_url, int(count)))
        print(peak() - before)
        return
    with running(CHATS) as many_url, running(arguments.accounts * CHATS) as one_url:
        asyncio.run(speed(many_url, one_url, arguments.accounts, arguments.rounds))
    with running(CHATS) as base_url:
        memory(base_url, [count for count in (100, 1000, 10_000) if count <= arguments.most])
        asyncio.run(failures(base_url, arguments.accounts))


if __name__ == "__main__":
    main()
