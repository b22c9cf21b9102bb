"""A list of chats that moves while it is read, and the walkers run over it without I/O."""

from collections.abc import Awaitable, Callable, Generator, Iterable
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, Protocol

from attrs import define, evolve, field

from plugchat_async import AccountStatus, Chat, Page, PlugChatError, ServerError, ServerTraits, UnexpectedStatusError
from plugchat_async._http.urls import CHATS_PATH
from plugchat_async._internal.clock import Clock
from plugchat_async._pagination.prefetch import IN_ORDER, is_long
from plugchat_async._pagination.server_traits import ListMemory, size_up_to
from plugchat_async._pagination.strategy import walk
from plugchat_async._pagination.walk_context import WalkContext, WalkStats
from plugchat_async._pagination.walk_state import Consistency, StopOn, WalkConfig, WalkState
from plugchat_async._pagination.walk_steps import CheckConnection, FetchPage, Step, YieldPage, advance

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


class Bodies:
    """Gives pages that were made of chats a body, and reads their chats again from it: equal ones, not the same."""

    def __init__(self) -> None:
        self._chats: dict[bytes, tuple[Any, ...]] = {}

    def added(self, page: Page) -> Page:
        if not page.chats:
            return page  # as the walk itself makes one of a refusal
        raw = str(hash(page.chats)).encode()
        self._chats[raw] = page.chats
        object.__setattr__(page, "raw", raw)  # not another page: some tests look whether this one is freed
        return page

    def reread(self, raw: bytes) -> Generator[None, None, tuple[Any, ...]]:
        yield
        return tuple(evolve(chat) for chat in self._chats[raw])


@define
class PagesOf:
    """The pages of a list in memory, as `ChatWalk` takes them.

    connected: whether the phone is connected, or None if the status can't be had.
    """

    fetch: Callable[..., Awaitable[Page]]
    monotonic: Callable[[], float] = lambda: 0.0
    connected: bool | None = None
    account: str | None = None
    path: str = CHATS_PATH
    item: type[Any] = Chat
    bodies: Bodies = field(factory=Bodies)

    def __attrs_post_init__(self) -> None:
        fetch = self.fetch

        async def with_body(*args: Any, **options: Any) -> Page:
            return self.bodies.added(await fetch(*args, **options))

        self.fetch = with_body

    def reread(self, raw: bytes) -> Generator[None, None, tuple[Any, ...]]:
        return self.bodies.reread(raw)

    @property
    def clock(self) -> Clock:
        return Clock(monotonic=self.monotonic)

    def observe_walk(self) -> None:
        """Nobody looks on."""

    async def fetch_status(self) -> AccountStatus:
        if self.connected is None:
            raise ServerError("no status")
        return AccountStatus(self.connected)


# Answers page `number` of `size`, or raises the error of the request.
Read = Callable[[int, int], Page]
_NOTHING = Page(1, 1, (), b"")


@define
class Walked:
    """A walk over a list in memory, and what it asked for and delivered.

    max_page_size: the largest page that it may ask for (None: page_size). connected: what the status says, if anything.
    status_checks: how often it was asked. checks: the requests that it could have done without.
    """

    state: WalkState
    traits: ServerTraits = field(factory=ServerTraits)
    stats: WalkStats = field(factory=WalkStats)
    asked: list[tuple[int, int]] = field(factory=list[tuple[int, int]])
    got: list[str] = field(factory=list[str])
    pages: list[Page] = field(factory=list[Page])
    max_page_size: int | None = None
    memory: ListMemory = field(factory=ListMemory)
    connected: bool | None = None
    status_checks: int = 0
    checks: list[tuple[int, int]] = field(factory=list[tuple[int, int]])

    @property
    def twice(self) -> int:
        """How many chats were delivered again."""
        return len(self.got) - len(set(self.got))

    def run(self, read: Read, *, ahead: int = 0, order: Random | None = None, max_pages: int = 1000) -> "Walked":
        """Walk on. Up to `ahead` pages are asked for before they are wanted.

        With an `order`, chance chooses when pages that are asked for ahead are answered.
        """
        page_size, bodies = self.state.config.page_size, Bodies()
        context = WalkContext(
            max_pages,
            self.traits,
            self.memory,
            max(self.max_page_size or 0, page_size),
            ahead=ahead > 0,
            stats=self.stats,
            reread=bodies.reread,
        )
        expected = self.memory.length
        pages = _Pages(lambda number, size: bodies.added(read(number, size)), self.asked, ahead, order, expected)
        steps = walk(self.state, context)
        step: Step | None = next(steps)
        while step is not None:
            page = _NOTHING
            match step:
                case YieldPage():
                    self.pages.append(step.page)
                    self.got += [chat.id for chat in step.page.chats]
                case CheckConnection():
                    self.status_checks += 1
                    step.connected = self.connected
                case FetchPage():
                    # Each error names the page at which it can be gone on.
                    assert step.resume_page >= 1
                    # What is read again, or one page after the other, is not asked for ahead.
                    assert step.next_key is None or (
                        ahead and not self.state.scan.bound and self.state.stage != "passes"
                    )
                    if step.probe == "check":
                        self.checks.append((step.number, step.size))
                    page = _answer(step, pages)
            step = advance(steps, page)
        return self


class _Pages:
    """Asks for the pages of steps, ahead of them as a Prefetcher does."""

    def __init__(
        self, read: Read, asked: list[tuple[int, int]], ahead: int, order: Random | None, expected: int | None
    ) -> None:
        self._read = read
        self._asked = asked
        self._ahead = ahead
        self._order = order
        self._expected = expected
        # In the order in which they were asked for, and will be wanted. None: not answered yet.
        self._requests: dict[tuple[int, int], Page | PlugChatError | None] = {}
        self._following: tuple[int, int] | None = None
        self._taken = 0

    def _depth(self, number: int, size: int) -> int:
        if self._taken and is_long(self._expected, size) and number * size < (self._expected or 0):
            return self._ahead
        return min(self._ahead, self._taken + 2 - IN_ORDER)

    def get(self, step: FetchPage) -> Page | PlugChatError:
        key = (step.number, step.size)
        if step.next_key is None:
            self._requests.clear()
            self._following = None
            self._asked.append(key)
            return self._answer(*key)
        if key != next(iter(self._requests), self._following):
            self._requests.clear()
            self._taken = 0
        self._ask(key)
        wanted = list(self._requests)[-1]
        while len(self._requests) - 1 < self._depth(*wanted):
            wanted = step.next_key(*wanted)
            self._ask(wanted)
        waiting = [other for other, answer in self._requests.items() if answer is None]
        if self._order is not None:
            waiting = [other for other in waiting if other == key or self._order.random() < 0.5]
            self._order.shuffle(waiting)
        for other in waiting:
            self._requests[other] = self._answer(*other)
        self._taken += 1
        self._following = step.next_key(*key)
        answer = self._requests.pop(key)
        assert answer is not None
        return answer

    def _ask(self, key: tuple[int, int]) -> None:
        if key not in self._requests:
            self._asked.append(key)
            self._requests[key] = None

    def _answer(self, number: int, size: int) -> Page | PlugChatError:
        try:
            return self._read(number, size)
        except PlugChatError as error:
            return error


def _answer(step: FetchPage, pages: _Pages) -> Page:
    """Answer a step as `ChatWalk` does."""
    answer = pages.get(step)
    if isinstance(answer, Page):
        return answer
    if step.probe and isinstance(answer, UnexpectedStatusError) and answer.status == 404:
        step.outcome = "refused"
    elif step.probe == "check":
        step.outcome = "failed"
    else:
        raise answer
    return Page(step.number, step.size, (), b"")


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
    max_page_size: int | None = None,
    traits: ServerTraits | None = None,
    memory: ListMemory | None = None,
    connected: bool | None = None,
) -> Walked:
    """Walk from the beginning."""
    walked = begun(
        page_size,
        consistency,
        stop_on=stop_on,
        start_page=start_page,
        ahead=ahead,
        max_page_size=max_page_size,
        traits=traits,
        memory=memory,
        connected=connected,
    )
    return walked.run(read, ahead=ahead, order=order, max_pages=max_pages)


def begun(
    page_size: int,
    consistency: Consistency,
    *,
    stop_on: StopOn = "short",
    start_page: int = 1,
    ahead: int = 0,
    max_page_size: int | None = None,
    traits: ServerTraits | None = None,
    memory: ListMemory | None = None,
    connected: bool | None = None,
) -> Walked:
    """Give a walk that stands at its beginning."""
    config = WalkConfig(
        path=CHATS_PATH, page_size=page_size, consistency=consistency, stop_on=stop_on, start_page=start_page
    )
    state = WalkState.at_start(config, ahead=ahead > 0)
    traits = ServerTraits() if traits is None else traits
    if start_page == 1:
        state.size = size_up_to(traits, state.size)
    memory = ListMemory() if memory is None else memory
    return Walked(state, traits, max_page_size=max_page_size, memory=memory, connected=connected)


class Listed(Protocol):
    """A list to which things happen."""

    def happen(self, event: Event, /) -> None:
        """Change the list."""

    def page(self, number: int, size: int, /) -> Page:
        """Answer from the list."""
        ...


def moving(chats: Listed, script: Iterable[tuple[int, Event]]) -> Read:
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
