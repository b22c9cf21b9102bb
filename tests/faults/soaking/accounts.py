"""The accounts of a soak: the same ones in both processes, so that the client knows what the simulator may serve."""

import random
from typing import Final

from attrs import define, frozen

from plugchat_async.testing import SimulatedAccount
from support.simulated import key_of

# All tokens begin with it, and so do the secrets that faulty answers tell.
MARK: Final = "t0ken-that-nobody-may-see"
# Chats that come to a moving account at most. Which ones is known beforehand, from its seed.
MAX_NEW: Final = 40


@frozen
class Spec:
    """A simulated account: "quiet", "growing" (messages and new chats) or "shrinking" (some of these are deleted).

    Chats that are there from the beginning are never deleted.
    """

    token: str
    chats: int
    seed: int
    kind: str

    def make(self) -> SimulatedAccount:
        return SimulatedAccount(self.chats, seed=self.seed, token=self.token)


def specs(count: int, seed: int) -> list[Spec]:
    """Give accounts for a soak; the same ones in both processes."""
    chance = random.Random(f"accounts {seed}")
    kinds = ("quiet", "quiet", "quiet", "growing", "shrinking")
    return [
        Spec(f"{MARK}-{number}", min(300, int(chance.expovariate(1 / 60))), seed * 100_003 + number, kinds[number % 5])
        for number in range(count)
    ]


@define(eq=False)
class Known:
    """What is known of an account: the keys of the chats that it has all the while, and of those that it may have."""

    spec: Spec
    always: frozenset[str]
    ever: frozenset[str]
    pages: int = 0

    @classmethod
    def of(cls, spec: Spec) -> "Known":
        account = spec.make()
        always = frozenset(key_of(chat) for chat in account.chats)
        new = [] if spec.kind == "quiet" else [key_of(account.new_chat()) for _ in range(MAX_NEW)]
        return cls(spec, always, always | frozenset(new))
