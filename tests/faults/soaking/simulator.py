"""The simulator of a soak: it serves accounts that move, spoils answers, and counts what is asked of it."""

import asyncio
import math
import random
from collections import Counter, deque
from collections.abc import Sequence
from typing import Any

from aiohttp import web

from faults.soaking.accounts import MARK, MAX_NEW, Spec
from faults.soaking.faults import draw
from plugchat_async import Chat
from plugchat_async.testing import PlugChatSimulator


class Served(PlugChatSimulator):
    """A simulator that counts, and remembers no requests."""

    def __init__(self, accounts: Sequence[Spec], seed: int, most: int) -> None:
        super().__init__(0, token=f"{MARK}-nobody")
        self.accounts = [self.add_account(spec.token, spec.chats, seed=spec.seed) for spec in accounts]
        self.kinds = [spec.kind for spec in accounts]
        self.new: list[list[Chat]] = [[] for _ in accounts]
        self.came = [0] * len(accounts)
        self.most = most
        self.chance = random.Random(f"faults {seed}")
        self.asked: Counter[str] = Counter()
        self.in_flight: Counter[str] = Counter()
        self.together = self.peak = 0
        self.scripted: deque[str] = deque()
        self.faults: Counter[str] = Counter()
        self.over: Counter[str] = Counter()
        self.refused: set[str] = set()
        self.violations: list[str] = []

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        if len(self.scripted) < 10:
            self.prepare()
        name = self.scripted.popleft()
        self.faults[name] += 1
        token = request.headers.get("Authorization", "")
        if name == "404":
            self.refused.add(token)
        self.asked[token] += 1
        self.in_flight[token] += 1
        self.together += 1
        self.peak = max(self.peak, self.together)
        try:
            return await super()._handle(request)
        finally:
            self.in_flight[token] -= 1
            self.together -= 1
            self.requests.clear()  # they would be all that grows

    def prepare(self) -> None:
        """Script the fates of the next requests: a script is taken from in the order in which they arrive."""
        drawn = draw(self.chance, 500)
        self.scripted += [name for name, _ in drawn]
        self.script(*[fault for _, fault in drawn])

    async def move(self) -> None:
        """Let chats get messages, come and go, about every other second in each moving account."""
        moving = [number for number, kind in enumerate(self.kinds) if kind != "quiet"]
        while True:
            await asyncio.sleep(0.05)
            for number in self.chance.choices(moving, k=math.ceil(len(moving) * 0.05 / 2)):
                self.move_one(number)

    def move_one(self, number: int) -> None:
        account, new, what = self.accounts[number], self.new[number], self.chance.random()
        if what < 0.2 and self.came[number] < MAX_NEW:
            self.came[number] += 1
            new.append(account.new_chat())
        elif what < 0.3 and new and self.kinds[number] == "shrinking":
            account.delete_chat(new.pop(self.chance.randrange(len(new))))
        elif len(account):
            account.receive_message(self.chance.choice(account.chats))

    async def watch(self) -> None:
        while True:
            await asyncio.sleep(0.25)
            self.look()

    def look(self) -> None:
        """Look whether an account has more requests in flight than its session may have.

        Eight times in a row: a client that gives up on a request makes the next one before this end of the old one is
        gone.
        """
        for token, count in self.in_flight.items():
            self.over[token] = self.over[token] + 1 if count > self.most else 0
            if self.over[token] == 8:
                self.violations.append(f"{count} requests in flight of an account that may have {self.most}")

    def told(self) -> dict[str, Any]:
        return {
            "asked": self.asked,
            "peak": self.peak,
            "refused": sorted(self.refused),
            "faults": {name: count for name, count in self.faults.items() if name != "none"},
            "violations": self.violations,
        }
