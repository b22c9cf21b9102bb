"""The cost of a watch of a quiet account, and of saving its state, by the number of chats.

A new process in each round watches the account until it knows all chats, and then measures:

- *poll*: one that finds nothing new. It reads the first page of 100 chats, and compares it with what is known.
- *full scan*: a poll that also reads the whole list, as every ten minutes by default.
- *save_async* and *save* of the state to a new file, without waiting for the disk.

    python -m benchmarks.watching BASE_URL CHATS POLLS SCANS SAVES

CPU is that of the process, the HTTP client and threads included; the server is another process. The event loop is that
of `benchmarks.responsiveness`, which measures its longest block. What was imported is frozen (`gc.freeze`) before the
watch begins, and what remains of the set-up is collected. The known chats are not frozen: if the garbage collector
looks at them, it counts, as in a program. The chats without a time are at the end of the list.
"""

import argparse
import asyncio
import gc
import json
import statistics
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from attrs import asdict, define, field

from benchmarks.measure import Result, Value, in_a_process, interleaved, spread
from benchmarks.responsiveness import WatchedLoop
from benchmarks.server import running
from plugchat_async import PlugChatSession, WatchState

CHATS = (1000, 20_000, 200_000)
PAGE_SIZE = 100
POLLS, SCANS, SAVES = 50, 2, 5


@define
class Costs:
    """What something took each time, in milliseconds.

    Attributes:
        cpu: CPU of the process.
        wall: Time.
        block: The longest block of the event loop.
    """

    cpu: list[float] = field(factory=list[float])
    wall: list[float] = field(factory=list[float])
    block: list[float] = field(factory=list[float])


@define
class Meter:
    """Notes what was spent since the last note."""

    loop: WatchedLoop
    cpu: float = 0.0
    wall: float = 0.0

    async def start(self) -> None:
        """Begin. What comes before does not count."""
        await asyncio.sleep(0)
        self.loop.longest = 0.0
        self.cpu, self.wall = time.process_time(), time.perf_counter()

    async def note(self, costs: Costs) -> None:
        """Note what was spent, and begin again."""
        costs.cpu.append((time.process_time() - self.cpu) * 1000)
        costs.wall.append((time.perf_counter() - self.wall) * 1000)
        await asyncio.sleep(0)  # the end of this block
        costs.block.append(self.loop.longest * 1000)
        await self.start()


async def watch(
    base_url: str, state: WatchState, polls: int, *, full_scan_interval: float, after: Callable[[], Awaitable[None]]
) -> None:
    """Poll some times, and call a function after each poll."""
    async with PlugChatSession("benchmark", base_url=base_url) as session:
        async for event in session.watch_chats(
            state=state,
            page_size=PAGE_SIZE,
            max_polls=polls,
            interval=1e-6,
            full_scan_interval=full_scan_interval,
            on_poll=lambda _: after(),
        ):
            raise SystemExit(f"the account is not quiet: {event}")


async def costs_of(
    loop: WatchedLoop, base_url: str, chats: int, polls: int, scans: int, saves: int, folder: Path
) -> dict[str, Costs]:
    """Watch until all chats are known. Then measure polls, full scans and saves."""
    costs = {name: Costs() for name in ("poll", "full scan", "save_async", "save")}
    meter, state = Meter(loop), WatchState()

    def noted(name: str) -> Callable[[], Awaitable[None]]:
        return partial(meter.note, costs[name])

    await watch(base_url, state, 1, full_scan_interval=600.0, after=meter.start)
    if len(state.chats) != chats:
        raise SystemExit(f"the watch knows {len(state.chats)} chats instead of {chats}")
    gc.collect()
    for name, times, full_scan_interval in (("poll", polls, 600.0), ("full scan", scans, 0.0)):
        await watch(base_url, state, times + 1, full_scan_interval=full_scan_interval, after=noted(name))
        # The first one opens the session and the connection.
        del costs[name].cpu[0], costs[name].wall[0], costs[name].block[0]
    gc.collect()
    for number in range(saves):
        await meter.start()
        await state.save_async(folder / f"async {number}", sync=False)
        await meter.note(costs["save_async"])
        state.save(folder / f"{number}", sync=False)
        await meter.note(costs["save"])
    return costs


def measure(
    rounds: int = 5, chats: tuple[int, ...] = CHATS, polls: int = POLLS, scans: int = SCANS, saves: int = SAVES
) -> Result:
    """Measure accounts of growing length."""
    with ExitStack() as stack:
        urls = {count: stack.enter_context(running(count, by_time=True)) for count in chats}
        once = {
            str(count): partial(in_a_process, "watching", url, count, polls, scans, saves)
            for count, url in urls.items()
        }
        found = interleaved(once, rounds)
    rows: list[dict[str, Value]] = []
    for what in ("poll", "full scan", "save_async", "save"):
        for count in chats:
            each = [measured[what] for measured in found[str(count)]]
            rows.append(
                {
                    "what": what,
                    "chats": count,
                    **spread("cpu", [statistics.median(one["cpu"]) for one in each]),
                    "wall": statistics.median(statistics.median(one["wall"]) for one in each),
                    **spread("block", [max(one["block"]) for one in each]),
                }
            )
    return Result(
        "watching",
        "A watch of a quiet account",
        f"Medians of {rounds} rounds, each in a new process, which measures {polls} polls, {scans} full scans, and "
        f"{saves} saves one after the other: CPU and time are the median of these, the block is the longest of all. "
        "The server is another process, over loopback. What was imported is frozen, the known chats are not.",
        {
            "what": "what",
            "chats": "chats",
            "cpu": "CPU, ms",
            "cpu_min": "least",
            "cpu_max": "most",
            "wall": "time, ms",
            "block": "longest block, ms",
            "block_min": "least",
            "block_max": "most",
        },
        rows,
    )


def main() -> None:
    """Measure once, in this process."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("base_url")
    for name in ("chats", "polls", "scans", "saves"):
        parser.add_argument(name, type=int)
    given = parser.parse_args()
    loop = WatchedLoop()
    gc.collect()
    gc.freeze()
    with TemporaryDirectory() as folder, asyncio.Runner(loop_factory=lambda: loop) as runner:
        costs = runner.run(
            costs_of(loop, given.base_url, given.chats, given.polls, given.scans, given.saves, Path(folder))
        )
        sizes = {file.stat().st_size for file in Path(folder).iterdir()}
    if len(sizes) != 1:
        raise SystemExit(f"not all files are alike: {sizes}")
    print(json.dumps({name: asdict(one) for name, one in costs.items()}))


if __name__ == "__main__":
    main()
