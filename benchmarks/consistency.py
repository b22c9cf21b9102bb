"""How many chats walks miss and repeat while the list changes, and the cost of avoiding it.

The walks run over the simulator's account, without HTTP. A request is an interval with an average number of active
chats: nine of ten get a message, one is new. With deletions, one of ten is deleted instead of getting a message.

The lists are those of the vendor's page, in which each chat has a time, newest first: the guarantees of `consistency`
are about such lists. The gateway's lists, in which most rows have no time, are not measured here.
"""

import asyncio
import statistics
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

from attrs import frozen

from benchmarks.measure import Result, Value
from plugchat_async import Chat, Clock, Page, WalkReport
from plugchat_async._pagination.chat_walk import ChatWalk
from plugchat_async._pagination.options import WalkSettings
from plugchat_async._pagination.server_traits import ServerTraits
from plugchat_async._pagination.walk_state import Consistency
from plugchat_async._pagination.walk_steps import key_of
from plugchat_async.testing.account import SimulatedAccount
from plugchat_async.testing.traffic import Traffic

CHATS, PAGE_SIZE = 1000, 100
CLOCK = Clock()
RATES = (0.0, 0.1, 1.0, 10.0)
KINDS: tuple[Consistency, ...] = ("plain", "exact", "strict")


@frozen
class Outcome:
    """The result of one walk.

    Attributes:
        missed: The number of chats that it missed.
        twice: The number of chats that it repeated.
        report: Its report.
    """

    missed: int
    twice: int
    report: WalkReport


@frozen
class _Pages:
    """The pages of an account in memory, as a walk takes them."""

    fetch: Callable[..., Awaitable[Page]]
    account: str | None = None
    path: str = ""
    item: type[Any] = Chat
    clock: Clock = CLOCK

    def observe_walk(self) -> None:
        """There is no telemetry."""


async def walk_once(consistency: Consistency, prefetch: int, rate: float, seed: int, *, deletes: bool) -> Outcome:
    """Walk over one changing account."""
    account = SimulatedAccount(CHATS, seed=seed, dialect="documented")
    before = {key_of(chat) for chat in account.chats}
    deleted = rate / 10 if deletes else 0.0
    account.start_traffic(Traffic(bumps=0.9 * rate - deleted, inserts=0.1 * rate, deletes=deleted), seed=seed)

    async def fetch(number: int, size: int) -> Page:
        page = Page(number, size, tuple(account.window(number, size)), b"")
        account.pass_interval()
        return page

    settings = WalkSettings(page_size=PAGE_SIZE, consistency=consistency, prefetch=prefetch)
    walk = ChatWalk(_Pages(fetch), settings, ServerTraits())
    found = Counter(key_of(chat) for chat in await walk.to_list())
    there = before & {key_of(chat) for chat in account.chats}
    return Outcome(len(there - found.keys()), found.total() - len(found), walk.report)


async def outcomes_of(seeds: int, prefetch: int) -> list[dict[str, Value]]:
    """Walk with each consistency at each rate, with and without deletions."""
    rows: list[dict[str, Value]] = []
    for deletes in (False, True):
        for rate in RATES:
            for kind in KINDS:
                outcomes = [await walk_once(kind, prefetch, rate, seed, deletes=deletes) for seed in range(seeds)]
                extra = [outcome.report.requests - 11 for outcome in outcomes]
                verified = [outcome for outcome in outcomes if outcome.report.verified]
                rows.append(
                    {
                        "prefetch": prefetch,
                        "deletions": "yes" if deletes else "no",
                        "active": rate,
                        "consistency": kind,
                        "missed": statistics.mean(outcome.missed for outcome in outcomes) * 1000 / CHATS,
                        "repeated": statistics.mean(outcome.twice for outcome in outcomes) * 1000 / CHATS,
                        "extra": statistics.mean(extra),
                        "most": max(extra),
                        "verified": 100 * len(verified) / seeds,
                        "wrongly": 100 * sum(outcome.missed > 0 for outcome in verified) / seeds,
                    }
                )
    return rows


def measure(seeds: int = 200, prefetches: tuple[int, ...] = (0, 8)) -> Result:
    """Measure walks over changing lists."""
    return Result(
        "consistency",
        "What walks miss and repeat while the list moves",
        f"{seeds} walks each over {CHATS:,} chats, {PAGE_SIZE} a page. Missed and repeated: of 1,000 chats. A quiet "
        "plain walk takes 11 requests. Verified wrongly: although a chat was missed.",
        {
            "prefetch": "prefetch",
            "deletions": "deletions",
            "active": "active chats a request",
            "consistency": "consistency",
            "missed": "missed",
            "repeated": "repeated",
            "extra": "extra requests",
            "most": "at most",
            "verified": "verified, %",
            "wrongly": "wrongly, %",
        },
        [row for prefetch in prefetches for row in asyncio.run(outcomes_of(seeds, prefetch))],
    )
