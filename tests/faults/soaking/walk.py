"""A walk: what it is to do, what came of it, and whether that is right."""

import random

from attrs import define, field, frozen

from faults.soaking.accounts import Known, Spec
from plugchat_async import WalkReport
from plugchat_async._pagination.walk_state import Consistency


@frozen
class Plan:
    """What a walk is to do, and how it is to end: "finish", "cancel", "abandon", "leave" or "close"."""

    way: str
    consistency: Consistency
    prefetch: int
    page_size: int
    fate: str
    after: int
    resumes: int

    @classmethod
    def draw(cls, chance: random.Random, spec: Spec) -> "Plan":
        kinds: dict[str, list[Consistency]] = {
            "quiet": ["exact", "exact", "strict", "plain"],
            "growing": ["exact", "strict"],
            "shrinking": ["strict"],
        }
        return cls(
            chance.choice(("chats", "chats", "pages", "list")),
            chance.choice(kinds[spec.kind]),
            chance.choice((0, 0, 1, 3, 8)),
            chance.choice((5, 10, 20, 33, 100)),
            chance.choices(("finish", "cancel", "abandon", "leave", "close"), (70, 12, 6, 6, 6))[0],
            chance.randrange(1, max(2, spec.chats)),
            chance.choice((0, 3)),
        )


@define(eq=False)
class Walk:
    """A walk that is under way. `told`: how it was told to end, "cancelled" or "closed". `left`: it was left."""

    known: Known
    consistency: Consistency
    told: set[str] = field(factory=set[str])
    left: bool = False
    resumed: bool = False
    keys: list[str] = field(factory=list[str])
    reports: list[WalkReport] = field(factory=list[WalkReport])

    def wrong(self, *, whole: bool) -> str:
        """Say what is wrong with the chats that came, "" if nothing is."""
        came = set(self.keys)
        about = f"({self.consistency}, {self.known.spec.kind}, {'resumed' if self.resumed else 'not resumed'})"
        if len(came) < len(self.keys):
            return f"{len(self.keys) - len(came)} chats came twice {about}"
        if not came <= self.known.ever:
            return f"{len(came - self.known.ever)} chats came that the account never had {about}"
        if whole and (self.verified or self.is_plain_and_quiet) and not came >= self.known.always:
            return f"{len(self.known.always - came)} of {len(self.known.always)} chats were lost {about}"
        return ""

    @property
    def is_plain_and_quiet(self) -> bool:
        """Whether it reads the list as it comes, and nothing happens to that."""
        return self.consistency == "plain" and self.known.spec.kind == "quiet"

    @property
    def verified(self) -> bool:
        return bool(self.reports) and self.reports[-1].verified
