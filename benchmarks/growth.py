"""Growth of time, CPU and memory with the length of a list, and with the number of accounts (on Linux).

Each walk runs in a new process, which keeps no chats. All take turns in each round:

    python -m benchmarks.growth --walk BASE_URL CONSISTENCY PREFETCH
    python -m benchmarks.growth --accounts BASE_URL NUMBER

Memory is the peak of the resident memory above that after the imports. The server is another process. Whether growth is
linear is shown by the residuals: how far each row is from the straight line through all rows of its kind, see `fit`.
"""

import argparse
import asyncio
import json
import statistics
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from attrs import frozen

from benchmarks.bulk import fetch_all
from benchmarks.measure import Result, Value, in_a_process, interleaved, spread
from benchmarks.server import running
from plugchat_async import PlugChatSession
from plugchat_async._pagination.walk_state import Consistency

PAGE_SIZE = 1000
CHATS = (1000, 10_000, 100_000, 1_000_000)
ACCOUNTS = (1, 10, 100, 1000, 10_000)
CHATS_OF_AN_ACCOUNT = 470  # as in `bulk`
# More chats are measured in one round.
LONGEST = 1_000_000
WALKS: tuple[tuple[Consistency, int], ...] = (("plain", 0), ("exact", 0), ("exact", 8), ("strict", 0))


def peak() -> int:
    """Return the peak of this process's resident memory so far, in bytes."""
    # Not from `getrusage`: it includes the peak of the parent process.
    [line] = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) * 1024


async def walk(base_url: str, consistency: Consistency, prefetch: int) -> int:
    """Walk the whole list, and return the number of chats."""
    async with PlugChatSession("benchmark", base_url=base_url) as session:
        count = 0
        async for _ in session.iter_chats(PAGE_SIZE, consistency=consistency, prefetch=prefetch):
            count += 1
    return count


@frozen
class Case:
    """What a process measures.

    Attributes:
        of: What grows.
        count: Its number.
        chats: The number of chats.
        arguments: The process's arguments.
    """

    of: str
    count: int
    chats: int
    arguments: tuple[object, ...]

    def measured(self) -> dict[str, float]:
        """Measure once in a new process, and check the number of chats."""
        found = in_a_process("growth", *self.arguments)
        if found["chats"] != self.chats:
            raise SystemExit(f"{self.of}: {found['chats']} chats instead of {self.chats}")
        return found

    def row(self, rounds: Sequence[dict[str, float]]) -> dict[str, Value]:
        """Return a row of the result."""
        return {
            "of": self.of,
            "count": self.count,
            "chats": self.chats,
            "rounds": len(rounds),
            **spread("seconds", [one["seconds"] for one in rounds]),
            **spread("cpu", [one["cpu"] for one in rounds]),
            "cpu_chat": statistics.median(one["cpu"] for one in rounds) / self.chats * 1e6,
            **spread("peak", [one["peak"] / 1e6 for one in rounds]),
        }


def fit(points: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Return the straight line through points, as its value at 0 and its slope.

    It is the least-squares fit weighted by 1/value², so residuals are relative. Without the weights, the line through
    1,000 to 1,000,000 chats would be that of the largest list, whatever the others are. Points without a positive value
    are left out. Two points are always on their line.
    """
    weighed = [(1 / y**2, x, y) for x, y in points if y > 0]
    total = sum(weight for weight, _, _ in weighed)
    if not total:
        return 0.0, 0.0
    mean_x = sum(weight * x for weight, x, _ in weighed) / total
    mean_y = sum(weight * y for weight, _, y in weighed) / total
    width = sum(weight * (x - mean_x) ** 2 for weight, x, _ in weighed)
    slope = sum(weight * (x - mean_x) * (y - mean_y) for weight, x, y in weighed) / width if width else 0.0
    return mean_y - slope * mean_x, slope


def residuals(points: Sequence[tuple[float, float]]) -> list[float | None]:
    """Return how far each point is above the line of `fit`, in per cent of its value. None: that is 0."""
    start, slope = fit(points)
    return [(y - start - slope * x) / y * 100 if y > 0 else None for x, y in points]


def add_residuals(rows: Sequence[dict[str, Any]]) -> None:
    """Add to each row how far its figures are off the lines through the rows of its kind."""
    for of in {row["of"] for row in rows}:
        kind = [row for row in rows if row["of"] == of]
        for key in ("seconds", "cpu", "peak"):
            off = residuals([(row["count"], row[key]) for row in kind])
            for row, value in zip(kind, off, strict=True):
                row[f"{key}_residual"] = value


def measure(chats: tuple[int, ...] = CHATS, accounts: tuple[int, ...] = ACCOUNTS, rounds: int = 3) -> Result:
    """Measure lists of growing length, and growing numbers of accounts. What has more than a million chats, once."""
    with ExitStack() as stack:
        urls = {count: stack.enter_context(running(count)) for count in {*chats, CHATS_OF_AN_ACCOUNT}}
        cases = [
            Case(
                f"chats, {consistency}{f', prefetch {prefetch}' if prefetch else ''}",
                count,
                count,
                ("--walk", urls[count], consistency, prefetch),
            )
            for consistency, prefetch in WALKS
            for count in chats
        ]
        many = urls[CHATS_OF_AN_ACCOUNT]
        cases += [Case("accounts", one, one * CHATS_OF_AN_ACCOUNT, ("--accounts", many, one)) for one in accounts]
        usual = {str(case.arguments): case.measured for case in cases if case.chats <= LONGEST}
        longer = {str(case.arguments): case.measured for case in cases if case.chats > LONGEST}
        # The servers prepare their responses. Each kind of case needs others; those of more accounts are the same.
        interleaved(usual, 1)
        found = interleaved(usual, rounds) | interleaved(longer, 1)
    rows = [case.row(found[str(case.arguments)]) for case in cases]
    add_residuals(rows)
    return Result(
        "growth",
        "Growth",
        f"Lists of so many chats, {PAGE_SIZE:,} a page, walked by a process that keeps none; and so many "
        f"accounts of {CHATS_OF_AN_ACCOUNT} chats, 100 a page, by fetch_many with concurrency=64. CPU: that of the "
        "client. Memory: the peak above that after the imports. Medians of the rounds. Residual: how far the figure is "
        "above the straight line through the rows of its kind, in per cent of it; the line is the least-squares fit "
        "weighted by 1/value². With two rows of a kind, it is always 0.",
        {
            "of": "what grows",
            "count": "number",
            "chats": "chats",
            "rounds": "rounds",
            "seconds": "seconds",
            "seconds_min": "least",
            "seconds_max": "most",
            "seconds_residual": "residual, %",
            "cpu": "CPU, s",
            "cpu_min": "least",
            "cpu_max": "most",
            "cpu_residual": "residual, %",
            "cpu_chat": "CPU a chat, us",
            "peak": "memory, MB",
            "peak_min": "least",
            "peak_max": "most",
            "peak_residual": "residual, %",
        },
        rows,
    )


def main() -> None:
    """Run one measurement, in its own process."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--walk", nargs=3, metavar=("BASE_URL", "CONSISTENCY", "PREFETCH"))
    parser.add_argument("--accounts", nargs=2, metavar=("BASE_URL", "NUMBER"))
    arguments = parser.parse_args()
    if arguments.walk:
        base_url, consistency, prefetch = arguments.walk
        work = walk(base_url, consistency, int(prefetch))
    else:
        base_url, number = arguments.accounts
        work = fetch_all(base_url, int(number))
    before, started, cpu = peak(), time.perf_counter(), time.process_time()
    chats = asyncio.run(work)
    took, cpu = time.perf_counter() - started, time.process_time() - cpu
    print(json.dumps({"chats": chats, "seconds": took, "cpu": cpu, "peak": peak() - before}))


if __name__ == "__main__":
    main()
