"""Walks of sessions: alone with one, or beside each other; whole, resumed, left, cancelled, or closed under."""

import asyncio
import contextlib
import random
from collections.abc import AsyncGenerator
from typing import Any, Final

from attrs import define, field

from faults.soaking.accounts import Known
from faults.soaking.ground import POLICY, Ground
from faults.soaking.walk import Plan, Walk
from plugchat_async import Chat, Page, PlugChatError, PlugChatSession
from support.simulated import key_of

# Walks that share a session.
SHARED_WIDTH: Final = 13


@define(eq=False)
class Opened:
    """A session, and the walks that use it. closed: whether one of them has closed it."""

    known: Known
    session: PlugChatSession
    closed: bool = False
    walks: list[Walk] = field(factory=list[Walk])


def open_session(ground: Ground, known: Known) -> PlugChatSession:
    return PlugChatSession(
        known.spec.token,
        base_url=ground.base_url,
        timeout=ground.order.timeout,
        retry=POLICY,
        max_concurrency=ground.order.most,
    )


async def alone(ground: Ground, chance: random.Random) -> None:
    """Walk one account after the other, each with a session of its own."""
    while ground.left:
        with ground.lease() as known:
            async with open_session(ground, known) as session:
                await walk_once(ground, chance, Opened(known, session))


async def share(ground: Ground, chance: random.Random) -> None:
    """Walk one account several times at once, with one session, and another one when that has been closed."""
    while ground.left:
        with ground.lease() as known:
            async with open_session(ground, known) as session:
                opened = Opened(known, session)
                seeds = [chance.random() for _ in range(SHARED_WIDTH)]
                await asyncio.gather(*[walk_beside(ground, random.Random(seed), opened) for seed in seeds])


async def walk_beside(ground: Ground, chance: random.Random, opened: Opened) -> None:
    while ground.left and not opened.closed:
        await walk_once(ground, chance, opened)
        await ground.dawdle(chance)


async def walk_once(ground: Ground, chance: random.Random, opened: Opened) -> None:
    """Draw a plan, and do as planned."""
    plan = Plan.draw(chance, opened.known.spec)
    walk = ground.tally.begin(opened.known, plan.consistency)
    opened.walks.append(walk)
    task = asyncio.create_task(PageHandler(ground, chance, opened.session, plan, walk).read())
    if plan.fate in ("cancel", "close"):
        await asyncio.wait([task], timeout=min(chance.expovariate(0.5), ground.left))
        if plan.fate == "cancel":
            walk.told.add("cancelled")
            task.cancel()
            if chance.random() < 0.3:
                await asyncio.sleep(0)
                task.cancel()
        elif len(opened.walks) == 1 or chance.random() < 0.05:
            opened.closed = True
            for other in opened.walks:
                other.told.add("closed")
            await opened.session.close()
    await asyncio.wait([task])
    opened.walks.remove(walk)
    cancelled = task.cancelled()
    ground.tally.finish(walk, None if cancelled else task.exception(), cancelled=cancelled)


@define(eq=False)
class PageHandler:
    """Reads for one walk, as planned."""

    ground: Ground
    chance: random.Random
    session: PlugChatSession
    plan: Plan
    walk: Walk

    async def read(self) -> None:
        """Read, and go on after errors, as often as planned."""
        checkpoint: str | None = None
        for resumes_left in range(self.plan.resumes, -1, -1):
            try:
                await self.read_once(checkpoint)
            except PlugChatError as error:
                self.ground.tally.look_at(error)
                checkpoint = error.checkpoint
                if not resumes_left or checkpoint is None or "closed" in self.walk.told:
                    raise
                self.walk.resumed = True
            else:
                return

    async def read_once(self, checkpoint: str | None) -> None:
        if self.ground.plants.take("foreign"):
            raise KeyError("planted")
        if self.ground.plants.take("hang"):
            await asyncio.Event().wait()
        options: dict[str, Any] = {
            "consistency": self.plan.consistency,
            "prefetch": self.plan.prefetch,
            "resume": checkpoint,
            "on_report": self.walk.reports.append,
        }
        page_size = self.plan.page_size
        if self.plan.way == "list":
            self.walk.keys += map(key_of, await self.session.list_chats(page_size, **options))
            return
        things: AsyncGenerator[Chat | Page, None] = (
            self.session.iter_chats(page_size, **options)
            if self.plan.way == "chats"
            else self.session.iter_pages(page_size, **options)
        )
        if self.plan.fate == "abandon":
            await self.take(things)  # and never close it
            return
        async with contextlib.aclosing(things):
            await self.take(things)

    async def take(self, things: AsyncGenerator[Chat | Page, None]) -> None:
        number = 0
        async for thing in things:
            self.walk.keys += map(key_of, [thing] if isinstance(thing, Chat) else thing.chats)
            if self.plan.fate in ("abandon", "leave") and len(self.walk.keys) >= self.plan.after:
                self.walk.left = True
                return
            number += 1
            if self.plan.way == "pages" or number % self.plan.page_size == 0:
                await self.ground.dawdle(self.chance)
