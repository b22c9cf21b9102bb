"""The ground that walks share: what was ordered, the accounts, the time that is left, and the tally."""

import asyncio
import contextlib
import random
import time
from collections.abc import Iterator
from typing import Final

from attrs import frozen

from faults.soaking.accounts import Known, specs
from faults.soaking.plants import Plants
from faults.soaking.tally import Tally
from plugchat_async import RetryPolicy

POLICY: Final = RetryPolicy(initial_delay=0.05, max_delay=0.5, deadline=30.0, max_retry_after=2.0)


@frozen
class Order:
    """How many walks at a time, for how long, and with how many requests in flight of a session.

    grace: seconds in which the last walks must end. plants: what is done wrong on purpose.
    """

    walks: int
    seconds: float
    grace: float
    seed: int
    most: int
    plants: frozenset[str] = frozenset()

    @property
    def accounts(self) -> int:
        """So many that each walk finds one that nobody reads."""
        return 2 * self.walks + 100

    @property
    def timeout(self) -> float:
        """Seconds for a request: in a short soak a hanging one must end, too."""
        return min(3.0, max(0.5, self.seconds / 6))


class Ground:
    """What all walks of a soak share. The run says where the simulator is, and until when walks begin (`end`)."""

    def __init__(self, order: Order) -> None:
        self.order = order
        self.base_url = ""
        self.plants = Plants(order.plants)
        self.tally = Tally(self.plants)
        self.accounts = [Known.of(spec) for spec in specs(order.accounts, order.seed)]
        self.end = 0.0
        self._free = self.accounts.copy()
        self._chance = random.Random(f"walks {order.seed}")

    @contextlib.contextmanager
    def lease(self) -> Iterator[Known]:
        """Give an account to one session, so that its requests in flight are that session's."""
        known = self._free.pop(self._chance.randrange(len(self._free)))
        try:
            yield known
        finally:
            self._free.append(known)

    @property
    def left(self) -> float:
        """Seconds until nothing new is begun, and nobody dawdles."""
        return max(0.0, self.end - time.monotonic())

    async def dawdle(self, chance: random.Random) -> None:
        """Be a slow reader, so that a thousand walks are no more requests than two cores can make and answer."""
        await asyncio.sleep(min(chance.expovariate(1.0) * min(2.0, self.order.seconds / 15), self.left))
