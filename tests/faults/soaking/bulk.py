"""Walks of `fetch_many`: many accounts in one call, streamed or not, isolated or not; left, cancelled, or whole."""

import asyncio
import contextlib
import random
from collections.abc import AsyncGenerator, Iterator
from typing import Any, Final

from attrs import define, field

from faults.soaking.accounts import Known, Spec
from faults.soaking.ground import POLICY, Ground
from faults.soaking.walk import Plan, Walk
from plugchat_async import Account, AccountResult, fetch_many
from support.simulated import key_of

# Accounts that a `fetch_many` is given, and how many of them are under way at a time.
BULK_ACCOUNTS: Final = 16
BULK_WIDTH: Final = 8
# The kinds of accounts of which a walk must lose nothing.
FITS: Final = {"plain": ("quiet",), "exact": ("quiet", "growing"), "strict": ("quiet", "growing", "shrinking")}


async def bulk(ground: Ground, chance: random.Random) -> None:
    """Fetch some accounts after others."""
    while ground.left:
        with contextlib.ExitStack() as leases:
            leased = [leases.enter_context(ground.lease()) for _ in range(BULK_ACCOUNTS)]
            plan = Plan.draw(chance, Spec("", 10, 0, chance.choice(("growing", "quiet", "shrinking"))))
            fitting = [known for known in leased if known.spec.kind in FITS[plan.consistency]]
            await Fetcher(ground, chance, plan, fitting).fetch()


@define(eq=False)
class Fetcher:
    """One `fetch_many`, as planned.

    walks: those that have begun and had no result so far, by token. is_over: whether they were counted; one that was
    left may still ask for an account, until it is collected.
    """

    ground: Ground
    chance: random.Random
    plan: Plan
    leased: list[Known]
    walks: dict[str, Walk] = field(factory=dict[str, Walk])
    is_over: bool = False

    async def fetch(self) -> None:
        """Fetch, and count the walks of all accounts that were begun."""
        task = asyncio.create_task(self.fetch_once())
        # There is no session that could be closed under it.
        cancels = self.plan.fate in ("cancel", "close")
        if cancels:
            await asyncio.wait([task], timeout=min(self.chance.expovariate(0.5), self.ground.left))
            task.cancel()
        await asyncio.wait([task])
        self.is_over = True
        error = None if task.cancelled() else task.exception()
        for walk in self.walks.values():
            # Those that had no result when it was left.
            walk.left = self.plan.fate in ("abandon", "leave")
            if cancels:
                walk.told.add("cancelled")
            if error is None and not task.cancelled() and not walk.left:
                error = AssertionError("fetch_many gave no result for an account")
            self.ground.tally.finish(walk, error, cancelled=task.cancelled())

    def accounts(self) -> Iterator[Account]:
        for known in self.leased:
            if self.is_over:
                return
            self.walks[known.spec.token] = self.ground.tally.begin(known, self.plan.consistency)
            # A name is shown: it holds no token.
            yield Account(f"account {known.spec.seed}", known.spec.token, self.ground.base_url)

    def over(self, result: AccountResult) -> None:
        walk = self.walks.pop(str(result.account.token))
        walk.keys += map(key_of, result.chats)
        walk.reports += [] if result.report is None else [result.report]
        self.ground.tally.finish(walk, result.error)

    async def fetch_once(self) -> None:
        options: dict[str, Any] = {
            "concurrency": BULK_WIDTH,
            "isolate_connections": self.chance.random() < 0.3,
            "page_size": self.plan.page_size,
            "consistency": self.plan.consistency,
            "prefetch": self.plan.prefetch,
            "timeout": self.ground.order.timeout,
            "retry": POLICY,
            "max_concurrency": self.ground.order.most,
            "on_result": self.over,
        }
        stream = self.chance.random() < 0.5
        things: AsyncGenerator[Any, None] = fetch_many(self.accounts(), stream=stream, **options)
        if self.plan.fate == "abandon":
            await self.take(things)  # and never close it
            return
        async with contextlib.aclosing(things):
            await self.take(things)

    async def take(self, things: AsyncGenerator[Any, None]) -> None:
        taken = 0
        async for thing in things:
            if isinstance(thing, tuple):
                account, page = thing
                self.walks[account.token].keys += map(key_of, page.chats)
            taken += 1
            if self.plan.fate in ("abandon", "leave") and taken >= self.plan.after:
                return
            if taken % 4 == 0:
                await self.ground.dawdle(self.chance)
