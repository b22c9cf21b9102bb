"""How many chats walks miss and repeat on the lists that gateways have, and the cost of avoiding it.

The walks run over the simulator's account, without HTTP: a request is an interval in which its list changes. Each kind
of list is read in pages of 20, in two variants: one answer of `max_page_size` can hold it ("short"), or it can't
("long"). Every other walk meets a server of which nothing is known; the others share what earlier ones have learned.

A chat is missed if it was in the list during the whole walk and was not yielded, and doubled if it was yielded more
often than the list ever held it. The least number of requests is that of a reader who only ends at a short page.
"""

import asyncio
import logging
import math
import random
import statistics
from collections import Counter
from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import Any, Final

from attrs import define, field, frozen

from benchmarks.measure import Result, Value
from plugchat_async import (
    AccountStatus,
    Chat,
    Clock,
    Page,
    PlugChatError,
    ServerTraits,
    UnexpectedStatusError,
    WalkReport,
)
from plugchat_async._pagination.chat_walk import ChatWalk
from plugchat_async._pagination.options import WalkSettings
from plugchat_async._pagination.server_traits import ListMemory
from plugchat_async._pagination.walk_state import Consistency
from plugchat_async.testing import Quirks
from plugchat_async.testing.account import SimulatedAccount
from plugchat_async.testing.chance import chance
from plugchat_async.testing.dialects import Dialect
from plugchat_async.testing.listing import listed_chats, page_of
from plugchat_async.testing.traffic import Traffic

Row = dict[str, Value]

CLOCK = Clock()
# How a list is read: `consistency` and `prefetch`.
MODES: Final[Mapping[str, tuple[Consistency, int]]] = {
    "plain": ("plain", 0),
    "exact": ("exact", 0),
    "exact, prefetch=4": ("exact", 4),
    "exact, prefetch=16": ("exact", 16),
    "strict": ("strict", 0),
}
# Those that are measured on all lists.
USUAL: Final = ("plain", "exact", "exact, prefetch=4", "strict")
PAGE_SIZE: Final = 20
# For each variant, the least and the largest number of chats, and `max_page_size`.
VARIANTS: Final[Mapping[str, tuple[int, int, int]]] = {"short": (15, 160, 1000), "long": (60, 160, 50)}
_INTERVALS_BEFORE: Final = 20


@frozen(kw_only=True)
class Kind:
    """A kind of list.

    Attributes:
        name: What happens to it, or how its server behaves.
        dialect: As for the simulator. In "gateway" a person has several rows, and 59 % of the rows have no time.
        traffic: What happens between two requests.
        before: What happens in 20 intervals before the walk.
        quirks: How its server behaves.
        capped: Whether the server cuts pages to a size below `PAGE_SIZE`, another one for each walk.
        known: Whether the session has read the account before.
    """

    name: str
    dialect: Dialect = "documented"
    traffic: Traffic = field(default=Traffic())
    before: Traffic = field(default=Traffic())
    quirks: Quirks = field(default=Quirks())
    capped: bool = False
    known: bool = False

    def quirks_of(self, seed: int) -> Quirks:
        """Return the quirks of the server for one walk."""
        if not self.capped:
            return self.quirks
        return Quirks(max_page_size=random.Random(seed).randrange(4, PAGE_SIZE))


_QUIET: Final = Kind(name="nothing moves")
_JUMPS: Final = Traffic(bumps=0.9, inserts=0.1)
_JUMPS_TODAY: Final = Traffic(bumps=0.6, first_bumps=0.3, inserts=0.1)
_SECONDS: Final = Traffic(bursts=1.0, burst_size=8)
KINDS: Final[Sequence[Kind]] = (
    _QUIET,
    Kind(name="chats move to the front", traffic=_JUMPS),
    Kind(name="bursts of 20", traffic=Traffic(bumps=0.5, bursts=0.2)),
    Kind(name="equal times, in any order", traffic=_JUMPS, before=_SECONDS, quirks=Quirks(reorder_ties=True)),
    Kind(name="late messages", traffic=Traffic(bumps=0.5, late_bumps=0.5)),
    Kind(name="chats dated ahead", traffic=Traffic(bumps=0.8, ahead_bumps=0.2)),
    Kind(name="pinned and unpinned", traffic=Traffic(bumps=0.5, pins=0.5), quirks=Quirks(pinned=2)),
    Kind(name="last messages deleted", traffic=Traffic(bumps=0.5, put_backs=0.5)),
    Kind(name="rows without a time, at the end", dialect="gateway", traffic=_JUMPS_TODAY),
    Kind(
        name="rows without a time, anywhere",
        dialect="gateway",
        traffic=_JUMPS_TODAY,
        quirks=Quirks(without_time="scattered"),
    ),
    Kind(name="not sorted, chats are added", traffic=Traffic(inserts=0.5), quirks=Quirks(order="shuffled")),
    Kind(name="oldest first", traffic=_JUMPS, quirks=Quirks(order="oldest")),
    Kind(name="persons in several rows, nothing moves", dialect="gateway"),
    Kind(name="chats in two rows, nothing moves", quirks=Quirks(duplicates=8, duplicate_distance=40)),
    Kind(name="empty answers for a moment", traffic=_JUMPS, quirks=Quirks(empty_share=0.1)),
    Kind(name="a part for a moment, first walk", traffic=_JUMPS, quirks=Quirks(partial_share=0.1)),
    Kind(name="a part for a moment, later walk", traffic=_JUMPS, quirks=Quirks(partial_share=0.1), known=True),
    Kind(name="capped to any number", traffic=_JUMPS, capped=True),
    Kind(name="short pages in the middle", traffic=_JUMPS, quirks=Quirks(hidden_share=0.03)),
    Kind(name="404 past the end", traffic=_JUMPS, quirks=Quirks(past_end="error")),
    Kind(name="the last page again past the end", traffic=_JUMPS, quirks=Quirks(past_end="last")),
    Kind(name="the first page again past the end", traffic=_JUMPS, quirks=Quirks(past_end="first")),
    Kind(name="chats deleted", traffic=Traffic(bumps=0.7, inserts=0.1, deletes=0.2)),
    Kind(name="archived to the end", traffic=Traffic(bumps=0.7, archives=0.3), quirks=Quirks(archived="last")),
    Kind(name="archived out of the list", traffic=Traffic(archives=0.4), quirks=Quirks(archived="omitted")),
    Kind(name="lagging replicas", traffic=_JUMPS, quirks=Quirks(lagging_share=0.5, replica_lag=3)),
)


@frozen(kw_only=True)
class Outcome:
    """The result of one walk.

    Attributes:
        missed: The number of chats that it missed.
        doubled: The number of chats that it yielded too often.
        least: The least number of requests for the list.
        report: Its report.
        failed: The error that ended it, or "".
    """

    missed: int
    doubled: int
    least: int
    report: WalkReport
    failed: str = ""


@define
class _Account:
    """The pages of an account in memory, as a walk takes them.

    Attributes:
        simulated: The account.
        quirks: How its server behaves.
        seed: Of the order in which prefetched pages arrive.
        turn: A number that differs from response to response.
        lasting: The chats that were in the list at each request so far, None before the first one.
        most: How often each chat was in the list, at most.
    """

    simulated: SimulatedAccount
    quirks: Quirks
    seed: int
    turn: int = 0
    lasting: Counter[str] | None = None
    most: Counter[str] = field(factory=Counter[str])
    account: str | None = None
    path: str = ""
    item: type[Any] = Chat
    clock: Clock = CLOCK
    _listed: frozenset[str] = field(default=frozenset(), init=False)
    _bodies: dict[bytes, tuple[Chat, ...]] = field(factory=dict[bytes, tuple[Chat, ...]], init=False)

    def observe_walk(self) -> None:
        """There is no telemetry."""

    def note(self) -> None:
        """Note which chats are in the list."""
        rows = list(map(_identity, listed_chats(self.simulated, self.quirks)))
        listed = frozenset(rows)
        if self.lasting is not None and listed == self._listed and len(rows) == self.lasting.total():
            return
        self._listed = listed
        chats = Counter(rows)
        self.lasting = chats if self.lasting is None else self.lasting & chats
        self.most |= chats

    async def fetch(self, number: int, size: int, walk: object = None) -> Page:  # noqa: ARG002 - telemetry's
        """Return a page; then the list changes. Pages that are requested at once arrive in any order."""
        for _ in range(int(4 * chance("arrival", (self.seed, number, size)))):
            await asyncio.sleep(0)
        self.note()
        self.turn += 1
        rows = page_of(self.simulated, number, size, self.quirks, self.turn)
        self.simulated.pass_interval()
        if rows is None:
            raise UnexpectedStatusError("HTTP 404", status=404)
        raw = str(hash(chats := tuple(rows))).encode()
        self._bodies[raw] = chats
        return Page(number, size, chats, raw)

    def reread(self, raw: bytes) -> Generator[None, None, tuple[Chat, ...]]:
        """Return the chats of a page that was read before."""
        yield
        return self._bodies[raw]

    async def fetch_status(self) -> AccountStatus:
        """Return that the phone is connected."""
        return AccountStatus(connected=True)


def _identity(chat: Chat) -> str:
    """Return what the simulator's rows are told apart by, whatever happens to them."""
    return f"{chat.phone}\n{chat.lid}\n{chat.name}"


async def walk_once(
    kind: Kind,
    mode: str,
    seed: int,
    *,
    chats: int,
    page_size: int = PAGE_SIZE,
    max_page_size: int | None = 1000,
    traits: ServerTraits | None = None,
) -> Outcome:
    """Walk over one account.

    Args:
        kind: The kind of its list.
        mode: A key of `MODES`.
        seed: Of the account and of what happens to it.
        chats: The number of its chats.
        page_size: The number of chats per request.
        max_page_size: As for a walk.
        traits: What is known of the server (default None: nothing).
    """
    consistency, prefetch = MODES[mode]
    traits = ServerTraits() if traits is None else traits
    quirks = kind.quirks_of(seed)
    account = SimulatedAccount(chats, seed=seed, dialect=kind.dialect, pinned=quirks.pinned)
    account.start_traffic(kind.before, seed=seed)
    for _ in range(_INTERVALS_BEFORE):
        account.pass_interval()
    memory = ListMemory()
    if kind.known:
        settings = WalkSettings(page_size=page_size, max_page_size=max_page_size)
        await ChatWalk(_Account(account, Quirks(), seed), settings, traits, memory).to_list()
    account.start_traffic(kind.traffic, seed=seed)
    source = _Account(account, quirks, seed, turn=seed * 1000)
    settings = WalkSettings(
        page_size=page_size, consistency=consistency, prefetch=prefetch, max_page_size=max_page_size
    )
    walk = ChatWalk(source, settings, traits, memory)
    length = len(listed_chats(account, quirks))
    failed = ""
    found: Counter[str] = Counter()
    try:
        async for chat in walk:
            found[_identity(chat)] += 1
    except PlugChatError as error:
        failed = type(error).__name__
    lasting = source.lasting or Counter[str]()
    size = min(page_size, quirks.max_page_size or page_size)
    return Outcome(
        missed=(lasting - found).total(),
        doubled=(found - source.most).total(),
        least=length // size + 1,
        report=walk.report,
        failed=failed,
    )


def row_of(group: str, name: str, mode: str, outcomes: Sequence[Outcome], first: Sequence[Outcome] = ()) -> Row:
    """Return the figures of a cell.

    Args:
        group: The group of the row.
        name: What was read.
        mode: How.
        outcomes: The walks over a server that was known, or all of them.
        first: The walks over a server of which nothing was known.
    """
    walks = [*outcomes, *first]
    verified = [outcome for outcome in walks if outcome.report.verified]
    extra = [outcome.report.requests - outcome.least for outcome in outcomes]
    return {
        "group": group,
        "list": name,
        "mode": mode,
        "walks": len(walks),
        "wrong": sum(outcome.missed > 0 for outcome in verified),
        "missed": statistics.mean(outcome.missed for outcome in walks),
        "doubled": sum(outcome.doubled for outcome in walks),
        "failed": sum(outcome.failed != "" for outcome in walks),
        "verified": 100 * len(verified) / len(walks),
        "extra": statistics.mean(extra),
        "most": max(extra),
        "over": 100 * (sum(o.report.requests for o in outcomes) / sum(o.least for o in outcomes) - 1),
        "unknown": statistics.mean(o.report.requests - o.least for o in first) if first else None,
    }


async def behaviours(walks: int) -> list[Row]:
    """Walk over each kind of list, in both variants and all modes."""
    rows: list[Row] = []
    for kind in KINDS:
        for variant, (least, most, max_page_size) in VARIANTS.items():
            for mode in USUAL:
                shared = ServerTraits()
                outcomes: list[Outcome] = []
                for seed in range(walks):
                    traits = shared if seed % 2 and not kind.capped else ServerTraits()
                    chats = random.Random(seed).randint(least, most)
                    outcomes.append(
                        await walk_once(kind, mode, seed, chats=chats, max_page_size=max_page_size, traits=traits)
                    )
                # The first walk with the shared traits finds out what the server does.
                first = [outcomes[1], *outcomes[::2]]
                rows.append(row_of(variant, kind.name, mode, outcomes[3::2], first))
    return rows


# What is read, the page size, and the least and the largest number of chats.
_FIGURES: Final[Sequence[tuple[Kind, int, tuple[int, int]]]] = (
    (_QUIET, 100, (100, 1500)),
    (Kind(name="1 chat moves from request to request", traffic=_JUMPS), 100, (100, 999)),
    (Kind(name="1 chat moves from request to request", traffic=_JUMPS), 100, (1001, 1500)),
    (Kind(name="3 of 10 chats a page move", traffic=Traffic(bumps=2.7, inserts=0.3)), 10, (100, 400)),
    (Kind(name="persons in several rows, nothing moves", dialect="gateway"), 100, (100, 999)),
    (Kind(name="persons in several rows, nothing moves", dialect="gateway"), 100, (1001, 1500)),
    (
        Kind(
            name="59 % of the rows without a time, 1 chat moves or is deleted",
            dialect="gateway",
            traffic=Traffic(bumps=0.7, inserts=0.1, deletes=0.2),
        ),
        100,
        (10, 900),
    ),
)
# Of small accounts, read in pages of 100.
SMALL: Final = (5, 10, 20, 50, 99, 200, 250)


async def figures(walks: int) -> list[Row]:
    """Walk over the lists of which the costs are watched, on one host, which is known after the first walk."""
    rows: list[Row] = []
    for kind, page_size, (least, most) in _FIGURES:
        for mode in USUAL:
            traits = ServerTraits()
            outcomes = [
                await walk_once(
                    kind,
                    mode,
                    seed,
                    chats=random.Random(seed).randint(least, most),
                    page_size=page_size,
                    traits=traits,
                )
                for seed in range(walks)
            ]
            chats = f"{least:,} to {most:,} chats, {page_size} a page"
            rows.append(row_of("cost", f"{kind.name}: {chats}", mode, outcomes[1:], outcomes[:1]))
    return rows


async def many_accounts(accounts: int) -> list[Row]:
    """Walk over accounts of a usual distribution of sizes, on one host."""
    rows: list[Row] = []
    sizes = list(log_normal(accounts))
    for mode in USUAL:
        traits = ServerTraits()
        outcomes = [
            await walk_once(_QUIET, mode, seed, chats=chats, page_size=100, traits=traits)
            for seed, chats in enumerate(sizes)
        ]
        rows.append(row_of("cost", f"{accounts:,} accounts of 30 chats in the median", mode, outcomes))
    return rows


def log_normal(accounts: int) -> Iterator[int]:
    """Yield the numbers of chats of accounts: their median is 30, and one of 40 has more than 300."""
    sizes = random.Random(7)
    for _ in range(accounts):
        yield max(1, round(sizes.lognormvariate(math.log(30), 1.2)))


async def small_accounts() -> list[Row]:
    """Walk over quiet accounts of some sizes, on a host that is known and on one that is not."""
    rows: list[Row] = []
    for chats in SMALL:
        for mode in MODES:
            traits = ServerTraits()
            first = await walk_once(_QUIET, mode, 0, chats=chats, page_size=100, traits=traits)
            await walk_once(_QUIET, mode, 1, chats=150, page_size=100, traits=traits)
            again = await walk_once(_QUIET, mode, 2, chats=chats, page_size=100, traits=traits)
            rows.append(row_of("small", f"{chats} chats", mode, [again], [first]))
    return rows


async def _all(walks: int, accounts: int) -> list[Row]:
    return [*await behaviours(walks), *await figures(walks), *await many_accounts(accounts), *await small_accounts()]


def measure(walks: int = 300, accounts: int = 1000) -> Result:
    """Measure walks over the lists that gateways have."""
    logger = logging.getLogger("plugchat_async.walk")
    level = logger.level
    logger.setLevel(logging.ERROR)  # walks that are not verified, by the thousand
    try:
        rows = asyncio.run(_all(walks, accounts))
    finally:
        logger.setLevel(level)
    return Result(
        "consistency",
        "What walks miss and repeat on the lists that gateways have",
        f"{walks} walks each. Wrong: walks that say verified although a chat was missed. Missed: chats a walk. "
        "Doubled: chats in all walks. Extra requests: over the least, floor(chats / page size) + 1, once the server is "
        "known; unknown: the mean while it is not.",
        {
            "group": "group",
            "list": "list",
            "mode": "mode",
            "walks": "walks",
            "wrong": "wrong",
            "missed": "missed",
            "doubled": "doubled",
            "failed": "failed",
            "verified": "verified, %",
            "extra": "extra",
            "most": "at most",
            "over": "over, %",
            "unknown": "unknown",
        },
        rows,
    )
