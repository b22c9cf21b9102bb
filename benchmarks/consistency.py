"""What walks miss and repeat while the list moves, and what it costs not to: `python -m benchmarks.consistency`.

The walks run over the simulator's account, without HTTP: one request is one interval, in which so many chats are active
on average: nine of ten get a message, one is new. With deletions, one of ten is deleted instead of getting a message.
"""

import argparse
import asyncio
import statistics
from collections import Counter

from attrs import frozen

from plugchat_async import Page, WalkReport
from plugchat_async._driver import Drive, WalkOptions
from plugchat_async._walk import Consistency, PageSizes
from plugchat_async.testing.account import SimulatedAccount, Traffic

CHATS, PAGE_SIZE = 1000, 100
RATES = (0.0, 0.1, 1.0, 10.0)
KINDS: tuple[Consistency, ...] = ("plain", "exact", "strict")


@frozen
class Outcome:
    """What one walk brought: how many chats it missed and repeated, and its report."""

    missed: int
    twice: int
    report: WalkReport


async def walk(consistency: Consistency, prefetch: int, rate: float, seed: int, *, deletes: bool) -> Outcome:
    """Walk over one account."""
    account = SimulatedAccount(CHATS, seed=seed)
    before = {chat.phone for chat in account.chats}
    deleted = rate / 10 if deletes else 0.0
    account.begin_traffic(Traffic(bumps=0.9 * rate - deleted, inserts=0.1 * rate, deletes=deleted), seed=seed)

    async def fetch(number: int, size: int) -> Page:
        page = Page(number, size, tuple(account.window(number, size)), b"")
        account.pass_interval()
        return page

    reports: list[WalkReport] = []
    options = WalkOptions(page_size=PAGE_SIZE, consistency=consistency, prefetch=prefetch, on_report=reports.append)
    under_way = Drive(options.standing(), options, fetch=fetch, sizes=PageSizes(), monotonic=lambda: 0.0)
    found = Counter[str]()
    while (page := await under_way.next()) is not None:
        found.update(chat.phone for chat in page.chats)
    await under_way.close()
    there = before & {chat.phone for chat in account.chats}
    return Outcome(len(there - found.keys()), found.total() - len(found), reports[0])


async def print_table(seeds: int, prefetch: int) -> None:
    """Measure, and print."""
    print(
        f"{CHATS} chats, {PAGE_SIZE} a page, prefetch {prefetch}, {seeds} seeds; a quiet plain walk takes 11 requests"
    )
    print(
        f"{'deletions':<10}{'active a request':>17}  {'consistency':<12}{'missed':>8}{'repeated':>10}"
        f"{'extra requests':>16}{'most':>6}{'verified':>10}{'wrongly':>9}"
    )
    print(f"{'':<41}{'per 1000 chats':>18}{'mean':>16}{'':>6}{'%':>10}{'%':>9}")
    for deletes in (False, True):
        for rate in RATES:
            for kind in KINDS:
                outcomes = [await walk(kind, prefetch, rate, seed, deletes=deletes) for seed in range(seeds)]
                extra = [outcome.report.requests - 11 for outcome in outcomes]
                verified = [outcome for outcome in outcomes if outcome.report.verified]
                wrongly = [outcome for outcome in verified if outcome.missed]
                print(
                    f"{'yes' if deletes else 'no':<10}{rate:>17g}  {kind:<12}"
                    f"{statistics.mean(outcome.missed for outcome in outcomes) * 1000 / CHATS:>8.2f}"
                    f"{statistics.mean(outcome.twice for outcome in outcomes) * 1000 / CHATS:>10.2f}"
                    f"{statistics.mean(extra):>16.2f}{max(extra):>6}"
                    f"{100 * len(verified) / seeds:>10.1f}{100 * len(wrongly) / seeds:>9.1f}",
                    flush=True,
                )


def main() -> None:
    """Read the arguments."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=200, help="walks for each row (default 200)")
    parser.add_argument("--prefetch", type=int, default=0, help="pages to ask for ahead (default 0)")
    arguments = parser.parse_args()
    asyncio.run(print_table(arguments.seeds, arguments.prefetch))


if __name__ == "__main__":
    main()
