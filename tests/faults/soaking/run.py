"""A run: all walks at a time, samples beside them, and, when they have ended, a look at what is left."""

import asyncio
import gc
import random
import time
from typing import Any

from faults.soaking.bulk import BULK_WIDTH, bulk
from faults.soaking.descriptors import descriptors
from faults.soaking.ground import Ground
from faults.soaking.growth import Sample, grown
from faults.soaking.listening import complaint
from faults.soaking.process import Server
from faults.soaking.sessions import SHARED_WIDTH, alone, share
from faults.soaking.stopped import stop_exports, stop_walks, warm_up
from plugchat_async import PlugChatSession


class Soak:
    """Walks all the time, and notes what there is meanwhile, and what is left."""

    def __init__(self, ground: Ground) -> None:
        self.ground = ground
        self.tally = ground.tally
        self.samples: list[Sample] = []

    async def run(self, server: Server) -> dict[str, Any]:
        """Soak, and give what the server saw."""
        order, violated = self.ground.order, self.tally.violated
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: violated(f"the event loop complains: {complaint(context)}"))
        self.ground.base_url = server.base_url
        await warm_up()
        gc.collect()
        tasks_before, descriptors_before = asyncio.all_tasks(), descriptors()
        began = time.monotonic()
        self.ground.end = began + order.seconds
        sampling = asyncio.create_task(self.sample(began))
        working = self.begin()
        self.ground.plants.sow(self.ground.accounts[0])
        done, hanging = await asyncio.wait(working, timeout=order.seconds + order.grace)
        for task in done:
            task.result()  # a mistake of the soak's own
        for task in hanging:
            frames = "; ".join(f"{frame.f_code.co_qualname}:{frame.f_lineno}" for frame in task.get_stack())
            violated(f"it hangs: {frames}")
            task.cancel()
        sampling.cancel()
        await asyncio.wait([sampling, *hanging], timeout=5)
        await self.settle(tasks_before, descriptors_before)
        self.samples.append(Sample.take(time.monotonic() - began, self.tally.under_way))
        told = await server.told()
        self.tally.add_up(told, self.ground.accounts)
        if order.seconds >= 30:  # it takes some until it is what it will be
            for growth in grown([sample for sample in self.samples if sample.second < order.seconds]):
                violated(growth)
        return told

    def begin(self) -> list[asyncio.Task[None]]:
        """Begin all walks, and what is stopped.

        A fifth are of `fetch_many`, a quarter of shared sessions, and the others alone.
        """
        walks = self.ground.order.walks
        bulks = max(1, walks // 5 // BULK_WIDTH)
        shares = max(1, walks // 4 // SHARED_WIDTH)
        # A sixth more than is left, since there are moments between two walks.
        others = max(1, walks - bulks * BULK_WIDTH - shares * SHARED_WIDTH + walks // 6)
        # A command takes a second of CPU to start: there is one at a time of each kind.
        jobs = [stop_exports, stop_walks] + [bulk] * bulks + [share] * shares + [alone] * others
        return [
            asyncio.create_task(job(self.ground, random.Random(f"{self.ground.order.seed} {number}")))
            for number, job in enumerate(jobs)
        ]

    async def sample(self, began: float) -> None:
        while True:
            self.samples.append(Sample.take(time.monotonic() - began, self.tally.under_way))
            self.ground.plants.leak()
            await asyncio.sleep(min(1.0, self.ground.order.seconds / 10))

    async def settle(self, tasks: set[asyncio.Task[Any]], open_before: int) -> None:
        """Check that nothing is left, after a while in which what is closed may go."""
        gc.collect()
        left: set[asyncio.Task[Any]] = set()
        end = time.monotonic() + min(10.0, self.ground.order.grace)
        while time.monotonic() < end:
            left = asyncio.all_tasks() - tasks
            if not left and descriptors() <= open_before:
                break
            await asyncio.sleep(0.05)
        gc.collect()
        if left:
            self.tally.violated(f"{len(left)} tasks are left: {min(map(repr, left))}")
        if (count := descriptors()) > open_before:
            self.tally.violated(f"{count - open_before} descriptors are left of {open_before} before")
        for session in gc.get_objects():
            if isinstance(session, PlugChatSession) and "closed" not in repr(session):
                self.tally.violated("a session is left")
