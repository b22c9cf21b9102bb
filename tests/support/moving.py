"""A list of chats that moves while it is read, and the walkers run over it without I/O."""

from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from attrs import define, field

from plugchat_async import Chat, Page
from plugchat_async._http.urls import CHATS_PATH
from plugchat_async._internal.clock import Clock
from plugchat_async.server_traits import ServerTraits
from plugchat_async._pagination.strategy import walk
from plugchat_async._pagination.walk_context import WalkContext, WalkStats
from plugchat_async._pagination.walk_state import Consistency, StopOn, WalkConfig, WalkState
from plugchat_async._pagination.walk_steps import FetchPage, Step, YieldPage, advance

EPOCH = datetime(2021, 6, 6, tzinfo=UTC)
# What happens to the list: "bump", "insert", "delete", "demote" or "late", and to which place of it.
Event = tuple[str, int]


class MovingList:
    """Chats named by numbers, newest first: (name, time). It keeps who was there all the while."""

    def __init__(self, chats: int, *, ties: int = 1) -> None:
        # `ties` neighbours share a time.
        self.items = [(str(name), -(name // ties)) for name in range(chats)]
        self.there = {name for name, _ in self.items}
        self.now = 0
        self.jumped: set[str] = set()

    def happen(self, event: Event) -> None:
        """Let something happen. Places count from 0, and past the end from the front again."""
        kind, place = event
        place %= max(1, len(self.items))
        self.now += 1
        if kind == "insert":
            self.items.insert(0, (f"new{self.now}", self.now))
        elif self.items:
            name, time = self.items.pop(place)
            match kind:
                case "bump":
                    self.jumped.add(name)
                    self.items.insert(0, (name, self.now))
                case "delete":
                    self.there.discard(name)
                case "demote":
                    # One that jumped and falls back is behind the reader again: no proof covers that.
                    self._put(name, time if name in self.jumped else time - 3)
                case "late":
                    self._put(name, min(time + 3, self.items[0][1] if self.items else time))
                case _:
                    raise AssertionError(kind)

    def _put(self, name: str, time: int) -> None:
        place = next((i for i, (_, other) in enumerate(self.items) if other < time), len(self.items))
        self.items.insert(place, (name, time))

    def page(self, number: int, size: int) -> Page:
        """Give one instant's page."""
        return page_of(number, size, self.items[(number - 1) * size : number * size])


def page_of(number: int, size: int, items: Iterable[tuple[str, int | None]]) -> Page:
    """Make a page of names and times."""
    chats = (
        Chat(name, last_message_time=None if time is None else EPOCH + timedelta(seconds=time)) for name, time in items
    )
    return Page(number, size, tuple(chats), b"")


@define
class PagesOf:
    """The pages of a list in memory, as a walk of the runner's takes them."""

    fetch: Callable[..., Awaitable[Page]]
    monotonic: Callable[[], float] = lambda: 0.0
    account: str | None = None
    path: str = CHATS_PATH
    item: type[Any] = Chat

    @property
    def clock(self) -> Clock:
        return Clock(monotonic=self.monotonic)

    def observe_walk(self) -> None:
        """Nobody looks on."""


# Answers page `number` of `size`.
Read = Callable[[int, int], Page]


@define
class Walked:
    """A walk over a list in memory, and what it asked for and delivered."""

    state: WalkState
    sizes: ServerTraits = field(factory=ServerTraits)
    stats: WalkStats = field(factory=WalkStats)
    asked: list[tuple[int, int]] = field(factory=list[tuple[int, int]])
    got: list[str] = field(factory=list[str])
    pages: list[Page] = field(factory=list[Page])

    @property
    def twice(self) -> int:
        """How many chats were delivered again."""
        return len(self.got) - len(set(self.got))

    def run(self, read: Read, *, ahead: int = 0, order: Random | None = None, max_pages: int = 1000) -> "Walked":
        """Walk on. `ahead` pages are read before they are wanted, in an `order` that chance chooses."""
        context = WalkContext(max_pages, self.sizes, ahead=ahead > 0, stats=self.stats)
        steps = walk(self.state, context)
        arrived: dict[tuple[int, int], Page] = {}
        taken = 0
        step: Step | None = next(steps)
        while step is not None:
            page = Page(1, 1, (), b"")
            if isinstance(step, FetchPage):
                # Each error names the page at which it can be gone on.
                assert step.resume_page >= 1
                # What is read again, or one page after the other, is not asked for ahead.
                assert step.next_key is None or (ahead and not self.state.scan.bound and self.state.stage != "passes")
            match step:
                case YieldPage():
                    self.pages.append(step.page)
                    self.got += [chat.id for chat in step.page.chats]
                case PeekPage():
                    page = arrived.get((step.number, step.size), page)
                case _ if step.next_key is None:
                    arrived.clear()
                    self.asked.append((step.number, step.size))
                    page = read(step.number, step.size)
                case _:
                    key = wanted = (step.number, step.size)
                    taken += 1
                    missing = [] if key in arrived else [key]
                    for _ in range(min(ahead, taken)):
                        wanted = step.next_key(*wanted)
                        missing += [] if wanted in arrived else [wanted]
                    if order is not None:
                        order.shuffle(missing)
                    for number, size in missing:
                        self.asked.append((number, size))
                        arrived[number, size] = read(number, size)
                    page = arrived.pop(key)
            step = advance(steps, page)
        return self


def walk_over(
    read: Read,
    page_size: int,
    consistency: Consistency,
    *,
    stop_on: StopOn = "short",
    start_page: int = 1,
    ahead: int = 0,
    order: Random | None = None,
    max_pages: int = 1000,
    sizes: ServerTraits | None = None,
) -> Walked:
    """Walk from the beginning."""
    walked = begun(page_size, consistency, stop_on=stop_on, start_page=start_page, ahead=ahead)
    walked.sizes = ServerTraits() if sizes is None else sizes
    return walked.run(read, ahead=ahead, order=order, max_pages=max_pages)


def begun(
    page_size: int, consistency: Consistency, *, stop_on: StopOn = "short", start_page: int = 1, ahead: int = 0
) -> Walked:
    """Give a walk that stands at its beginning."""
    config = WalkConfig(
        path=CHATS_PATH, page_size=page_size, consistency=consistency, stop_on=stop_on, start_page=start_page
    )
    return Walked(WalkState.at_start(config, ahead=ahead > 0))


def moving(chats: MovingList, script: Iterable[tuple[int, Event]]) -> Read:
    """Answer from a list to which things happen: (before which request, what). Requests count from 0."""
    waiting = sorted(script, key=lambda entry: entry[0])
    request = 0

    def read(number: int, size: int) -> Page:
        nonlocal request
        while waiting and waiting[0][0] <= request:
            chats.happen(waiting.pop(0)[1])
        request += 1
        return chats.page(number, size)

    return read
