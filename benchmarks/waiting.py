"""How long a user waits for typical jobs, compared with code written by hand.

The server, in another process, responds after 50 ms and 3 ms more for each 100 rows. It counts the requests, and the
bytes that it writes. Each job is done by all contenders in turn, in each round.

- *all chats* of an account, as a list. "First" is a new session, which knows nothing of the server; opening it counts.
  "Known" is the second time of the same session, as in a bot or a backend; code by hand keeps its connections, too.
  `by hand` requests one page after the other, `by hand, gather` 16 at a time until one is short.
- *unread chats*, by filtering all chats, or with the gateway's call for pending chats. 22 % of the chats are unread,
  which is more than usual, and makes the list of pending chats long.
- *many accounts*, of log-normally distributed lengths. All contenders have at most 64 requests in flight. Two limits
  are computed: the requests of the code by hand, always 64 in flight, and those of the longest account, one after the
  other. Only requests ahead are faster than the second.
- *a poll* of a watch of a quiet account, compared with a request for its first page. The chats without a time are at
  the end of the list; if they are anywhere, a watch reads the whole list at each poll.
"""

import asyncio
import json
import math
import random
import statistics
import time
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from attrs import frozen

from benchmarks import waiters
from benchmarks.by_hand import chat_of
from benchmarks.measure import Result, Value, interleaved, ratios, spread
from benchmarks.rows import by_time, row_of, unread_of
from benchmarks.server import counts, running
from benchmarks.waiters import CONCURRENCY, PENDING_PATH, Contender
from plugchat_async import Chat, WatchState

LATENCY, PER_ROW = 0.05, 0.00003
BY_HAND = "by hand"
FIRST, KNOWN = "first", "known"
PREFETCH = (0, 4, 16)
# The number of chats: the page sizes. No length is a multiple of a page size, as usual.
LISTS: Mapping[int, tuple[int, ...]] = {50: (100, 1000), 470: (100, 1000), 4970: (100, 1000), 49_970: (1000,)}
# Longer lists have three rounds, and don't fit into one page; still longer ones have two: each round takes a minute.
LONG, VERY_LONG = 1000, 10_000
UNREAD_LISTS = (970, 4970)
POLLED = 4970
PAGE_SIZE = 100
# The lengths of accounts: the median, the standard deviation of the logarithm, and the longest.
MEDIAN, SIGMA, LONGEST = 150, 1.3, 10_000


@frozen
class Wait:
    """What a job took.

    Attributes:
        seconds: The wall time.
        cpu: Seconds of the client's CPU.
        requests: The number of requests.
        megabytes: What the server has written.
    """

    seconds: float
    cpu: float
    requests: int
    megabytes: float


@frozen
class Job:
    """Something that a user wants, and how each contender does it.

    Attributes:
        name: Its name.
        chats: The number of chats that there are.
        page_size: The page size.
        contenders: How it is done, by name; one is `BY_HAND`.
        sign: Returns something of what was read that is the same for all contenders.
        expected: What `sign` must return, if that is known.
        states: The times that each session does it, and what they are called. None: that time is not told.
    """

    name: str
    chats: int
    page_size: int
    contenders: Mapping[str, Contender]
    sign: Callable[[Any], Hashable]
    expected: Hashable = None
    states: tuple[str | None, ...] = (FIRST, KNOWN)

    def measured(self, base_url: str, rounds: int) -> list[dict[str, Value]]:
        """Return a row for each contender and state."""
        # The server prepares its responses. The contenders need different ones.
        interleaved(self._once(base_url, times=1), 1)
        found = interleaved(self._once(base_url, times=len(self.states)), rounds)
        signs = {sign for each in found.values() for sign, _ in each}
        if len(signs) != 1 or (self.expected is not None and signs != {frozenset([self.expected])}):
            raise SystemExit(f"{self.name}, {self.chats} chats: the contenders did not read the same")
        rows: list[dict[str, Value]] = []
        for number, state in enumerate(self.states):
            if state is None:
                continue
            base = [waits[number].seconds for _, waits in found[BY_HAND]]
            for name, each in found.items():
                own = [waits[number] for _, waits in each]
                seconds = [wait.seconds for wait in own]
                rows.append(
                    {
                        "job": self.name,
                        "chats": self.chats,
                        "page_size": self.page_size,
                        "contender": name,
                        "state": state,
                        "rounds": rounds,
                        **spread("seconds", seconds),
                        "cpu": statistics.median(wait.cpu for wait in own),
                        "requests": statistics.median(wait.requests for wait in own),
                        "megabytes": statistics.median(wait.megabytes for wait in own),
                        **spread("faster", ratios(base, seconds)),
                    }
                )
        return rows

    def _once(self, base_url: str, times: int) -> dict[str, Callable[[], tuple[Hashable, list[Wait]]]]:
        return {name: partial(self._waits_of, one, base_url, times) for name, one in self.contenders.items()}

    def _waits_of(self, contender: Contender, base_url: str, times: int) -> tuple[Hashable, list[Wait]]:
        """Let a contender do the job some times in one session. Return what was read, and what it took each time."""

        async def job() -> tuple[Hashable, list[Wait]]:
            waits: list[Wait] = []
            signs: set[Hashable] = set()
            requests, written = counts(base_url)
            started, cpu = time.perf_counter(), time.process_time()
            async with contender(base_url) as read:
                for _ in range(times):
                    found = await read()
                    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
                    signs.add(self.sign(found))
                    del found
                    before = requests, written
                    requests, written = counts(base_url)
                    waits.append(Wait(seconds, cpu, requests - before[0], (written - before[1]) / 1e6))
                    started, cpu = time.perf_counter(), time.process_time()
            return frozenset(signs), waits

        return asyncio.run(job())


def same(rows: Iterable[Any]) -> Hashable:
    """Return what is the same of equal rows in any order."""
    rows = list(rows)
    return len(rows), hash(frozenset(rows))


def same_of_accounts(accounts: Iterable[tuple[str, Sequence[Chat]]]) -> Hashable:
    """Return what is the same of equal accounts in any order."""
    return hash(frozenset((name, same(chats)) for name, chats in accounts))


def chats_of(numbers: Iterable[int]) -> list[Chat]:
    """Return the chats of rows."""
    return [chat_of(json.loads(row_of(number))) for number in numbers]


def whole_list(chats: int, size: int) -> Job:
    """Return the job of reading all chats."""
    walks: dict[str, Contender] = {
        BY_HAND: partial(waiters.by_hand, size=size),
        "by hand, gather": partial(waiters.by_hand_gather, size=size),
    }
    for consistency in ("exact", "strict"):
        # A list of one page has nothing to request ahead.
        one_page = chats < (size if consistency == "exact" else LONG)
        for prefetch in PREFETCH[:1] if one_page else PREFETCH:
            name = f"{consistency}{f', prefetch {prefetch}' if prefetch else ''}"
            walks[name] = partial(waiters.ours, size=size, consistency=consistency, prefetch=prefetch)
    return Job("all chats", chats, size, walks, same, same(chats_of(range(chats))))


def unread(chats: int) -> Job:
    """Return the job of reading the unread chats."""
    size = PAGE_SIZE
    walks: dict[str, Contender] = {
        BY_HAND: partial(waiters.unread_by_hand, size=size),
        "by hand, pending chats": partial(waiters.unread_by_hand, size=size, path=PENDING_PATH),
        "iter_chats": partial(waiters.unread_ours, size=size, prefetch=0),
        "iter_chats, prefetch 16": partial(waiters.unread_ours, size=size, prefetch=16),
        "iter_pending_chats": partial(waiters.pending_ours, size=size),
    }
    expected = same((chat.id, chat.unread) for chat in chats_of(filter(unread_of, range(chats))))
    return Job("unread chats", chats, size, walks, same, expected)


def polls(base_order: str, numbers: Sequence[int]) -> Job:
    """Return the job of one poll of a quiet account."""
    front = frozenset(chats_of(numbers[:PAGE_SIZE]))

    def front_of(found: WatchState | list[Chat]) -> Hashable:
        chats = found.chats if isinstance(found, WatchState) else found
        return same(chat for chat in chats if chat in front)

    both: dict[str, Contender] = {
        BY_HAND: partial(waiters.first_page_by_hand, size=PAGE_SIZE),
        "watch_chats": partial(waiters.poll, size=PAGE_SIZE),
    }
    return Job(f"a poll, {base_order}", len(numbers), PAGE_SIZE, both, front_of, same(front), (None, KNOWN))


def lengths_of(accounts: int) -> list[int]:
    """Return the lengths of accounts, the same in every run."""
    chance = random.Random(1)
    lengths = (round(chance.lognormvariate(math.log(MEDIAN), SIGMA)) for _ in range(accounts))
    return [min(max(1, length), LONGEST) for length in lengths]


def many(lengths: Sequence[int]) -> Job:
    """Return the job of reading many accounts."""
    accounts = {f"account {number}": f"own-{number}-of-{length}" for number, length in enumerate(lengths)}
    both: dict[str, Contender] = {BY_HAND: partial(waiters.many_by_hand, accounts=accounts, size=PAGE_SIZE)}
    for prefetch in PREFETCH:
        name = f"fetch_many{f', prefetch {prefetch}' if prefetch else ''}"
        both[name] = partial(waiters.many_ours, accounts=accounts, size=PAGE_SIZE, prefetch=prefetch)
    return Job(f"{len(lengths):,} accounts", sum(lengths), PAGE_SIZE, both, same_of_accounts, states=(FIRST,))


def limits(rows: Sequence[dict[str, Value]], lengths: Sequence[int], latency: float) -> list[dict[str, Value]]:
    """Return rows with two computed times of the code by hand: no order of its requests is faster than the longer one.

    Args:
        rows: What was measured.
        lengths: The lengths of the accounts.
        latency: The seconds before each response.
    """
    [base] = [row for row in rows if row["contender"] == BY_HAND]
    values: dict[str, Any] = dict(base)
    longest = max(lengths)

    def row_with(name: str, requests: int, seconds: float) -> dict[str, Value]:
        faster = {key: values["seconds" + key.removeprefix("faster")] / seconds for key in values if "faster" in key}
        took = {key: seconds for key in values if key.startswith("seconds")}
        unknown = {"cpu": None, "megabytes": None}
        return {**values, **took, **faster, **unknown, "contender": name, "requests": requests}

    def seconds_of(requests: int, chats: int) -> float:
        return requests * latency + chats * PER_ROW

    requests, pages = values["requests"], longest // PAGE_SIZE + 1  # the last one is short
    busy = seconds_of(requests, values["chats"]) / CONCURRENCY
    return [
        row_with(f"{CONCURRENCY} slots always busy, computed", requests, busy),
        row_with("the longest account, one page after the other, computed", pages, seconds_of(pages, longest)),
    ]


def measure(
    rounds: int = 5,
    lists: Mapping[int, tuple[int, ...]] = LISTS,
    unread_lists: Sequence[int] = UNREAD_LISTS,
    accounts: int = 1000,
    polled: int = POLLED,
    latency: float = LATENCY,
) -> Result:
    """Measure all jobs."""
    rows: list[dict[str, Value]] = []
    jobs = [whole_list(chats, size) for chats, sizes in lists.items() for size in sizes]
    for job in [*jobs, *map(unread, unread_lists)]:
        with running(job.chats, latency=latency, per_row=PER_ROW) as base_url:
            rows += job.measured(
                base_url, min(rounds, 2 if job.chats > VERY_LONG else 3 if job.chats > LONG else rounds)
            )
    with running(LONGEST, latency=latency, per_row=PER_ROW) as base_url:
        lengths = lengths_of(accounts)
        of_many = many(lengths).measured(base_url, min(rounds, 3))
        rows += [*of_many, *limits(of_many, lengths, latency)]
    for order, numbers in (("sorted by time", by_time(range(polled))), ("in any order", range(polled))):
        with running(polled, latency=latency, per_row=PER_ROW, by_time=order == "sorted by time") as base_url:
            rows += polls(order, numbers).measured(base_url, rounds)
    return Result(
        "waiting",
        "What a user waits for",
        f"The server responds after {latency * 1000:.0f} ms, and {PER_ROW * 1e5:.0f} ms more for each 100 rows. "
        "Medians of the rounds; ratios are those of one round, to the code by hand in the same state. First: with a "
        "new session; known: the second time of the same session. Requests and megabytes are those that the server "
        "counts; CPU is that of the client.",
        {
            "job": "job",
            "chats": "chats",
            "page_size": "chats a page",
            "contender": "contender",
            "state": "state",
            "rounds": "rounds",
            "seconds": "seconds",
            "seconds_min": "least",
            "seconds_max": "most",
            "cpu": "CPU, s",
            "requests": "requests",
            "megabytes": "MB",
            "faster": "x as fast as by hand",
            "faster_min": "least",
            "faster_max": "most",
        },
        rows,
    )
