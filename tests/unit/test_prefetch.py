"""Pages that are asked for ahead: how many, in which order they come, and that nothing is left of them."""

import asyncio
import gc
import weakref
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from typing import Any, TypeVar

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from plugchat_async import (
    AuthenticationError,
    Chat,
    ConsistencyError,
    InvalidTypeError,
    Page,
    PageLimitError,
    PlugChatError,
    PlugChatSession,
    ServerError,
    ServerTraits,
    UnexpectedStatusError,
    WalkOptions,
    WalkReport,
)
from plugchat_async._pagination.chat_walk import ChatWalk
from plugchat_async._pagination.options import WalkSettings
from plugchat_async._pagination.server_traits import ListMemory
from plugchat_async._pagination.walk_state import Consistency
from plugchat_async.testing import Fault, PlugChatSimulator
from support.fakes import DOCUMENTED, FakeTime, move_too_fast, run_apart
from support.moving import MovingList, PagesOf

T = TypeVar("T")

KINDS: list[Consistency] = ["plain", "exact", "strict"]


class Pages:
    """Pages of a quiet list, each of which arrives when it is told to. `faults` are raised instead of pages."""

    def __init__(self, chats: int, *, faults: dict[int, PlugChatError] | None = None) -> None:
        self.listed = MovingList(chats)
        self.faults = faults or {}
        self.asked: list[int] = []
        self.in_flight = 0
        self.most_in_flight = 0
        self.alive: weakref.WeakSet[Page] = weakref.WeakSet()
        self.most_alive = 0
        self.cancelled: list[int] = []
        self.arrivals: dict[int, asyncio.Event] = {}

    def arrive(self, number: int) -> None:
        self.arrivals.setdefault(number, asyncio.Event()).set()

    async def fetch(self, number: int, size: int) -> Page:
        self.asked.append(number)
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            await asyncio.sleep(0)
            await self.arrivals.setdefault(number, asyncio.Event()).wait()
        except asyncio.CancelledError:
            self.cancelled.append(number)
            raise
        finally:
            self.in_flight -= 1
        if number in self.faults:
            raise self.faults[number]
        return self.born(self.listed.page(number, size))

    async def fetch_at_once(self, number: int, size: int) -> Page:
        self.asked.append(number)
        await asyncio.sleep(0)
        return self.born(self.listed.page(number, size))

    def born(self, page: Page) -> Page:
        self.alive.add(page)
        self.most_alive = max(self.most_alive, len(self.alive))
        return page


async def driven(fetch: Any, traits: ServerTraits | None = None, **options: Any) -> AsyncGenerator[Page, None]:
    """The pages of a walk; its server is known, so that nothing is checked."""
    traits = traits or ServerTraits(longest_page=10, short_pages="end", past_end="empty")
    walk = ChatWalk(PagesOf(fetch), WalkSettings(page_size=10, **options), traits)
    try:
        async for page in walk.pages():
            yield page
            del page
    finally:
        await walk.discard()


@pytest.mark.lazy
@pytest.mark.parametrize(("seen", "pauses"), [(10, 0), (39, 0), (41, 1), (1000, 48)])
async def test_a_long_memory_is_freed_with_pauses(monkeypatch: pytest.MonkeyPatch, seen: int, pauses: int) -> None:
    """Others have their turn meanwhile, and there is no pause where there is little to free."""
    monkeypatch.setattr("plugchat_async._pagination.seen_keys._FREE_AT_ONCE", 20)
    walk = ChatWalk(PagesOf(Pages(1).fetch), WalkSettings(page_size=10), ServerTraits())
    state = walk._state
    state.seen.add(list(map(str, range(seen))))
    closing = asyncio.create_task(walk.discard())
    turn = 0
    while not closing.done():
        await asyncio.sleep(0)
        turn += 1
    assert turn - 1 == pauses
    assert len(state.seen) == seen - 20 * pauses


async def turns(count: int = 20) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


# How many.


async def test_it_begins_slowly() -> None:
    """Pages 1 and 2 are alone in flight, page 3 with the next one, and one more ahead of each page, up to k."""
    pages = Pages(1000)
    in_flight: list[int] = []
    async with aclosing(driven(pages.fetch, consistency="plain", prefetch=10)) as walk:
        while len(in_flight) < 7:
            taking = asyncio.ensure_future(anext(walk))
            await turns()
            if not taking.done():
                in_flight.append(pages.in_flight)
                # All that is under way arrives at the same time.
                for number in pages.asked:
                    pages.arrive(number)
            await taking
    assert in_flight == [1, 1, 2, 4, 8, 11, 11]
    assert pages.asked == sorted(set(pages.asked))


async def test_a_list_that_was_read_before_is_requested_at_full_depth() -> None:
    """From the second page on, down to where it ended; further down it is as unknown as any other."""
    pages = Pages(1000)
    traits = ServerTraits(longest_page=10, short_pages="end", past_end="empty")
    settings = WalkSettings(page_size=10, consistency="plain", prefetch=10)
    walk = ChatWalk(PagesOf(pages.fetch), settings, traits, ListMemory(length=155))
    in_flight: list[tuple[int, int]] = []
    async with walk:
        while len(in_flight) < 5:
            taking = asyncio.ensure_future(walk.next_page())
            await turns()
            if not taking.done():
                in_flight.append((pages.in_flight, max(pages.asked)))
                for number in pages.asked:
                    pages.arrive(number)
            await taking
    assert in_flight == [(1, 1), (11, 12), (11, 23), (11, 34), (11, 45)]
    assert pages.asked == sorted(set(pages.asked))


async def test_a_list_that_was_of_three_pages_is_read_in_order() -> None:
    """As one of which nothing is known."""
    pages = Pages(1000)
    traits = ServerTraits(longest_page=10, short_pages="end", past_end="empty")
    settings = WalkSettings(page_size=10, consistency="plain", prefetch=10)
    async with ChatWalk(PagesOf(pages.fetch_at_once), settings, traits, ListMemory(length=30)) as walk:
        for expected in (1, 2, 4):
            await walk.next_page()
            await turns()
            assert max(pages.asked) == expected


@pytest.mark.slow
@given(chats=st.integers(0, 400), prefetch=st.integers(0, 20), consistency=st.sampled_from(KINDS))
def test_never_twice_the_pages_that_were_needed(chats: int, prefetch: int, consistency: Consistency) -> None:
    """Whatever the list's length."""

    async def walk(depth: int) -> tuple[int, int]:
        pages = Pages(chats)
        reports: list[WalkReport] = []
        options: dict[str, Any] = {"consistency": consistency, "prefetch": depth, "on_report": reports.append}
        found = [chat async for page in driven(pages.fetch_at_once, **options) for chat in page.chats]
        assert len(found) == chats
        assert reports[0].requests == len(pages.asked)
        return len(pages.asked), reports[0].pages

    needed, _ = run_apart(walk(0))
    asked, _ = run_apart(walk(prefetch))
    certificate = 1 if consistency == "exact" and prefetch else 0
    assert asked <= 2 * needed + certificate


@pytest.mark.parametrize("consistency", ["plain", "exact"])
async def test_a_short_list_costs_no_request_more(consistency: Consistency) -> None:
    """One or two pages are read as without prefetch; of three pages, one more is in flight."""
    for chats, asked in ((7, [1]), (17, [1, 2]), (27, [1, 2, 3, 4])):
        pages = Pages(chats)
        async for _ in driven(pages.fetch_at_once, consistency=consistency, prefetch=16):
            pass
        assert pages.asked == asked


async def test_a_row_of_pages_begins_again_behind_a_request_of_another_kind() -> None:
    """As after a cap was found: nothing is known of the pages that follow."""
    listed = MovingList(60)
    asked: list[tuple[int, int]] = []
    in_flight = 0

    async def capped(number: int, size: int) -> Page:
        nonlocal in_flight
        asked.append((number, size))
        in_flight += 1
        await asyncio.sleep(0)
        in_flight -= 1
        return evolve(listed.page(number, min(size, 5)), size=size)

    async with aclosing(driven(capped, ServerTraits(), consistency="plain", prefetch=4)) as walk:
        got = [await anext(walk) for _ in range(4)]
        assert asked == [(1, 10), (2, 4), (1, 10), (1, 5), (2, 5), (3, 5), (4, 5), (5, 5)]
        assert [page.number for page in got] == [1, 2, 3, 4]
    assert in_flight == 0


@pytest.mark.parametrize("consistency", KINDS)
@pytest.mark.parametrize("prefetch", [1, 2, 5])
async def test_memory_is_bounded_by_a_page_more_than_k(consistency: Consistency, prefetch: int) -> None:
    """However slow the caller is."""
    pages = Pages(500)
    async with aclosing(driven(pages.fetch_at_once, consistency=consistency, prefetch=prefetch)) as walk:
        async for page in walk:
            del page
            await turns()
            assert len(pages.alive) <= prefetch + 1
    assert pages.most_alive <= prefetch + 1


async def test_the_sessions_generators_hold_no_page_either(sim: PlugChatSimulator, plugchat: PlugChatSession) -> None:
    """iter_pages and iter_chats let go of a page before they wait for the next."""
    alive: weakref.WeakSet[Page] = weakref.WeakSet()
    most = 0
    fetch = plugchat.fetch_page

    async def watched(number: int, page_size: int) -> Page:
        nonlocal most
        page = await fetch(number, page_size)
        alive.add(page)
        most = max(most, len(alive))
        return page

    plugchat.fetch_page = watched  # type: ignore[method-assign] # a stand-in that watches
    async for _ in plugchat.iter_chats(10, prefetch=3):
        pass
    assert most <= 4
    async for page in plugchat.iter_pages(10, prefetch=0):
        del page
    assert most <= 4


@DOCUMENTED
@pytest.mark.parametrize(("limit", "pages"), [(1, 1), (100, 1), (101, 2), (200, 2), (250, 3)])
async def test_limit_asks_for_no_page_that_it_does_not_need(
    sim: PlugChatSimulator, plugchat: PlugChatSession, limit: int, pages: int
) -> None:
    """Nor ahead."""
    assert await plugchat.list_chats(100, limit=limit, prefetch=16) == list(sim.chats[:limit])
    assert len(sim.requests) == pages


async def test_limit_counts_from_where_a_walk_goes_on() -> None:
    """And so do the pages that are asked for ahead."""
    first = Pages(1000, faults={51: ServerError("down")})
    for number in range(1, 60):
        first.arrive(number)
    with pytest.raises(ServerError) as caught:
        async for _ in driven(first.fetch, consistency="exact", prefetch=2):
            pass
    second = Pages(1000)
    walk = driven(second.fetch, resume=caught.value.checkpoint, limit=100, prefetch=8)
    for number in range(51, 70):
        second.arrive(number)
    asked: list[int] = []
    async with aclosing(walk):
        for _ in range(10):
            await anext(walk)
            asked.append(len(second.asked))
    assert second.asked == list(range(51, 61))
    assert asked == [1, 2, 4, 6, 8, 10, 10, 10, 10, 10]


async def test_short_pages_are_no_end_for_a_walk_to_an_empty_one() -> None:
    """A server that filters after paging: what is asked for ahead goes on behind them."""
    pages = Pages(200)

    async def filtering(number: int, size: int) -> Page:
        page = await pages.fetch(number, size)
        return evolve(page, chats=tuple(chat for chat in page.chats if int(chat.id) % 3))

    for number in range(40):
        pages.arrive(number)
    traits = ServerTraits(longest_page=10, short_pages="anywhere")
    walk = driven(filtering, traits, consistency="plain", stop_on="empty", prefetch=8)
    asked: list[int] = []
    found = 0
    async for page in walk:
        asked.append(len(pages.asked))
        found += len(page.chats)
    assert found == 133
    assert asked[:11] == [1, 2, 4, 6, 8, 10, 12, 14, 16, 18, 19]
    assert len(pages.asked) <= 29


async def test_nothing_is_asked_for_past_a_page_that_is_known_to_be_short() -> None:
    """Page 5 has arrived, and is short, while the caller still looks at page 4."""
    pages = Pages(45)
    async with aclosing(driven(pages.fetch_at_once, consistency="plain", prefetch=8)) as walk:
        for _ in range(4):
            await anext(walk)
            await turns()
        assert pages.asked == [1, 2, 3, 4, 5, 6]
        assert (await anext(walk)).number == 5
        assert pages.asked == [1, 2, 3, 4, 5, 6]


# Order.


async def test_pages_come_in_order_in_whichever_order_they_arrive() -> None:
    """The last one first."""
    pages = Pages(55)
    for number in (1, 2, 3, 4):
        pages.arrive(number)
    async with aclosing(driven(pages.fetch, consistency="plain", prefetch=5)) as walk:
        got = [await anext(walk) for _ in range(2)]
        taking = asyncio.ensure_future(anext(walk))
        await turns()
        for number in (6, 5):
            pages.arrive(number)
            await turns()
        got.append(await taking)
        async for page in walk:
            got.append(page)
    assert [page.number for page in got] == [1, 2, 3, 4, 5, 6]


async def test_a_slow_caller_does_not_wait() -> None:
    """While it works on a page the next ones arrive."""
    pages = Pages(100)
    async with aclosing(driven(pages.fetch_at_once, consistency="plain", prefetch=2)) as walk:
        for _ in range(3):
            await anext(walk)
        await turns()
        assert pages.asked == [1, 2, 3, 4]
        assert len(pages.alive) == 2


async def test_without_prefetch_nothing_is_asked_for_ahead() -> None:
    """However long the caller takes."""
    pages = Pages(100)
    async with aclosing(driven(pages.fetch_at_once, consistency="exact")) as walk:
        await anext(walk)
        await turns()
        assert pages.asked == [1]


# Errors.


@pytest.mark.parametrize("consistency", ["plain", "exact"])
async def test_the_first_error_in_page_order_is_raised(consistency: Consistency) -> None:
    """After the pages before it were yielded, though a later one failed earlier."""
    pages = Pages(100, faults={3: ServerError("three"), 4: ServerError("four")})
    for number in (1, 2, 4):
        pages.arrive(number)
    got: list[int] = []
    reports: list[WalkReport] = []
    walk = driven(pages.fetch, consistency=consistency, prefetch=5, on_report=reports.append)
    with pytest.raises(ServerError, match="three") as caught:
        async for page in walk:
            got.append(page.number)
            if page.number == 2:
                await turns()
                pages.arrive(3)
    assert got == [1, 2]
    assert (caught.value.page, caught.value.page_size) == (3, 10)
    assert pages.in_flight == 0
    assert reports[0].reason == "the walk failed: ServerError"
    # The checkpoint goes on there.
    resumed = Pages(100)
    rest = [
        chat.id async for page in driven(resumed.fetch_at_once, resume=caught.value.checkpoint) for chat in page.chats
    ]
    assert rest == [str(name) for name in range(20, 100)]


async def test_an_error_behind_the_end_is_none() -> None:
    """Some servers refuse pages that do not exist: whoever asks ahead must not mind."""
    pages = Pages(15, faults={3: UnexpectedStatusError("HTTP 404"), 4: UnexpectedStatusError("HTTP 404")})
    for number in (3, 4, 1, 2):
        pages.arrive(number)
    found = [chat async for page in driven(pages.fetch, consistency="exact", prefetch=3) for chat in page.chats]
    assert len(found) == 15


async def test_what_is_in_flight_behind_the_end_is_cancelled() -> None:
    """And not waited for."""
    pages = Pages(25)
    for number in (1, 2, 3):
        pages.arrive(number)
    async for _ in driven(pages.fetch, consistency="plain", prefetch=3):
        pass
    assert pages.in_flight == 0
    assert sorted(pages.cancelled) == [number for number in pages.asked if number > 3]
    assert pages.cancelled


# Nothing is left.


def tasks() -> set[Any]:
    """Give the tasks that are not the simulator's."""
    return {task for task in asyncio.all_tasks() if "RequestHandler" not in repr(task.get_coro())}


async def left_over(session: PlugChatSession, before: set[Any]) -> None:
    """Check that no task, slot or connection is held any more, and that the session works."""
    await turns(50)
    assert tasks() == before
    assert session._fetcher.limits.slots._value == 64
    client = session._transport._own
    assert client is not None
    assert client.connector is not None
    assert not client.connector._acquired
    assert len((await session.fetch_page(1, 10)).chats) == 10


@pytest.mark.slow
@pytest.mark.parametrize("prefetch", [0, 4])
async def test_closing_after_any_chat_leaves_nothing(prefetch: int) -> None:
    """aclose while pages are under way."""
    async with PlugChatSimulator(60, seed=1) as sim, PlugChatSession(sim.token, base_url=sim.base_url) as session:
        await session.fetch_page(1, 10)
        before = tasks()
        for taken in range(61):
            walk = session.iter_chats(10, prefetch=prefetch)
            for _ in range(taken):
                await anext(walk)
            await walk.aclose()
            await left_over(session, before)


@pytest.mark.slow
@pytest.mark.parametrize("prefetch", [0, 4])
@pytest.mark.parametrize("consistency", KINDS)
async def test_cancelling_at_any_step_leaves_nothing(prefetch: int, consistency: Consistency) -> None:
    """The task is cancelled after its k-th turn of the loop, for every k until it ends first."""
    async with (
        PlugChatSimulator(60, seed=1, dialect="documented") as sim,
        PlugChatSession(sim.token, base_url=sim.base_url) as session,
    ):
        await session.fetch_page(1, 10)
        before = tasks()
        reports: list[WalkReport] = []
        options: WalkOptions = {
            "consistency": consistency,
            "prefetch": prefetch,
            "max_page_size": None,
            "on_report": reports.append,
        }
        for steps in range(1, 2000):
            task = asyncio.create_task(session.list_chats(10, **options))
            for _ in range(steps):
                await asyncio.sleep(0)
            ended = task.done()
            task.cancel()
            with suppress(asyncio.CancelledError):
                assert await task == list(sim.chats)
            await left_over(session, before)
            if ended:
                break
        else:
            raise AssertionError("the walk never ended")
        assert steps > 20
        assert reports[-1].verified == (consistency != "plain")
        assert {report.reason for report in reports[:-1]} == {"the caller ended the walk"}


async def test_a_walk_that_is_dropped_leaves_nothing() -> None:
    """Without aclose: Python closes it when it is collected."""
    async with PlugChatSimulator(60, seed=1) as sim, PlugChatSession(sim.token, base_url=sim.base_url) as session:
        await session.fetch_page(1, 10)
        before = tasks()
        async for _ in session.iter_chats(10, prefetch=4):
            break
        gc.collect()
        await left_over(session, before)


async def test_a_caller_that_raises_leaves_nothing() -> None:
    """The error is the caller's own."""
    async with PlugChatSimulator(60, seed=1) as sim, PlugChatSession(sim.token, base_url=sim.base_url) as session:
        await session.fetch_page(1, 10)
        before = tasks()
        reports: list[WalkReport] = []
        with pytest.raises(ZeroDivisionError):
            async with aclosing(session.iter_chats(10, prefetch=4, on_report=reports.append)) as walk:
                async for _ in walk:
                    raise ZeroDivisionError
        await left_over(session, before)
        assert [report.reason for report in reports] == ["the caller ended the walk"]


async def test_a_session_that_is_closed_in_the_middle_ends_the_walk() -> None:
    """With an error that says so, and no more."""
    async with PlugChatSimulator(60, seed=1) as sim, PlugChatSession(sim.token, base_url=sim.base_url) as session:
        walk = session.iter_chats(10, prefetch=4)
        await anext(walk)
        await session.close()
        with pytest.raises(PlugChatError):
            async for _ in walk:
                pass
        await turns()


async def test_a_cancellation_while_closing_leaves_nothing() -> None:
    """Requests that take their time to end are waited for, and the report is given."""
    ended = 0

    async def fetch(number: int, size: int) -> Page:
        nonlocal ended
        try:
            if number > 4:
                await asyncio.Event().wait()
        except asyncio.CancelledError:
            await turns(10)
            ended += 1
            raise
        return MovingList(100).page(number, size)

    before = tasks()
    reports: list[WalkReport] = []

    async def leave() -> None:
        async with aclosing(driven(fetch, consistency="plain", prefetch=4, on_report=reports.append)) as walk:
            for _ in range(4):
                await anext(walk)

    leaving = asyncio.create_task(leave())
    await turns(10)
    assert not leaving.done()
    assert ended == 0
    for _ in range(2):
        leaving.cancel()
        await turns(2)
    with pytest.raises(asyncio.CancelledError):
        await leaving
    assert ended > 0
    assert tasks() == before
    assert [report.reason for report in reports] == ["the caller ended the walk"]


@pytest.mark.slow
def test_a_loop_may_end_while_a_walk_is_suspended() -> None:
    """Python closes what is open then, without a complaint; also what only the garbage collector finds."""
    complaints: list[dict[str, Any]] = []
    reports: list[WalkReport] = []
    kept: list[Any] = []

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
        async with PlugChatSimulator(60, latency=0.001) as sim:
            session = await PlugChatSession(sim.token, base_url=sim.base_url).open()
            for make in (session.iter_pages, session.iter_chats):
                walk: Any = make(10, prefetch=4, on_report=reports.append)
                kept.append(walk)
                await anext(walk)
                ring: list[Any] = [make(10, prefetch=4, on_report=reports.append)]
                ring.append(ring)
                await anext(ring[0])
                del ring
            gc.collect()
            await asyncio.sleep(0.02)
            await asyncio.get_running_loop().shutdown_asyncgens()
            await session.close()

    run_apart(main())
    assert complaints == []
    assert [report.reason for report in reports] == ["the caller ended the walk"] * 4


async def test_behind_the_end_nothing_is_under_way_while_the_caller_looks_at_the_last_page() -> None:
    """It is cancelled at once, and costs no retries meanwhile."""
    pages = Pages(25)
    for number in (1, 2):
        pages.arrive(number)
    async with aclosing(driven(pages.fetch, consistency="plain", prefetch=3)) as walk:
        await anext(walk)
        await anext(walk)
        taking = asyncio.ensure_future(anext(walk))
        await turns()
        assert pages.in_flight > 1
        pages.arrive(3)
        assert (await taking).number == 3
        assert pages.in_flight == 0


# Options.


@pytest.mark.parametrize("name", ["iter_pages", "iter_chats"])
async def test_options_reach_the_walk(sim: PlugChatSimulator, plugchat: PlugChatSession, name: str) -> None:
    """Those of iter_pages are those of iter_chats."""

    async def requests(**options: Any) -> list[tuple[str | None, str | None]]:
        sim.requests.clear()
        async for _ in getattr(plugchat, name)(100, **options):
            pass
        return [(request.page, request.page_size) for request in sim.requests]

    pages = [("1", "100"), ("2", "100"), ("3", "100")]
    # Persons in several rows are doubts, which the largest page ends; the first short one of a server is checked.
    assert await requests() == [*pages, ("1", "1000"), ("2", "249")]
    assert await requests() == [*pages, ("1", "1000")]
    assert await requests(max_page_size=500) == [*pages, ("1", "500")]
    assert {size for _, size in await requests(max_page_size=None)} == {"100"}
    assert await requests(limit=100) == pages[:1]
    assert ("4", "100") in await requests(stop_on="empty")
    assert ("4", "100") in await requests(prefetch=1)
    assert await requests(consistency="plain", start_page=3) == pages[2:]
    assert await requests(consistency="strict") == [("1", "1000")]
    with pytest.raises(PageLimitError) as caught:
        await requests(max_pages=2)
    assert (await requests(resume=caught.value.checkpoint))[0] == ("3", "100")
    move_too_fast(sim)
    with pytest.raises(ConsistencyError):
        async for _ in getattr(plugchat, name)(5, require_verified=True, max_page_size=None):
            pass


# Reports.


async def report_of(session: PlugChatSession, **options: Any) -> WalkReport:
    reports: list[WalkReport] = []
    with suppress(PlugChatError):
        await session.list_chats(100, on_report=reports.append, **options)
    [report] = reports
    return report


@DOCUMENTED
async def test_a_report_says_what_was_done(
    sim: PlugChatSimulator, plugchat: PlugChatSession, fake_time: FakeTime, caplog: pytest.LogCaptureFixture
) -> None:
    """Its numbers, and that it is verified; a repeated request is one; it is logged at DEBUG."""
    caplog.set_level("DEBUG", "plugchat_async.walk")
    sim.script(Fault.status(503))
    # The first short page of a server is doubted, and the largest page shows that nothing is behind it.
    assert await report_of(plugchat) == WalkReport(4, 4, 250, 250, 0, 2, verified=True, reason="", elapsed=0.25)
    assert "WalkReport(requests=4, pages=4, chats=250," in caplog.messages[-1]
    assert await report_of(plugchat) == WalkReport(3, 3, 250, 0, 0, 1, verified=True, reason="", elapsed=0.0)
    plain = await report_of(plugchat, consistency="plain")
    assert (plain.verified, plain.reason) == (False, 'consistency="plain" proves nothing')
    assert (await report_of(plugchat, consistency="strict")).verified
    ahead = await report_of(plugchat, prefetch=2)
    assert (ahead.requests, ahead.pages, ahead.chats, ahead.verified) == (4, 3, 250, True)


@DOCUMENTED
@pytest.mark.parametrize(
    ("consistency", "report"),
    [
        ("exact", WalkReport(4, 4, 250, 250, 1, 2, verified=True, reason="", elapsed=0.0)),
        ("strict", WalkReport(5, 3, 250, 500, 0, 1, verified=True, reason="", elapsed=0.0)),
    ],
)
async def test_a_report_of_a_busy_walk(
    sim: PlugChatSimulator, plugchat: PlugChatSession, consistency: Consistency, report: WalkReport
) -> None:
    """The last chat jumps while page 1 is looked at: one page has the whole list, and brings it.

    In strict that is the first one, which is read again since the server is new.
    """
    reports: list[WalkReport] = []
    async for page in plugchat.iter_pages(100, consistency=consistency, on_report=reports.append):
        if page.number == 1 and page.skipped == 0:
            sim.receive_message(sim.chats[249])
    assert reports == [report]


async def test_a_report_of_a_walk_that_did_not_end(sim: PlugChatSimulator, plugchat: PlugChatSession) -> None:
    """It failed, or the caller had enough."""
    assert (await report_of(plugchat, limit=100)).reason == "the caller ended the walk"
    sim.script(Fault.none(), Fault.status(401))
    report = await report_of(plugchat)
    assert (report.requests, report.pages, report.chats, report.verified) == (2, 1, 100, False)
    assert report.reason == "the walk failed: AuthenticationError"


@pytest.mark.slow
@DOCUMENTED
async def test_a_walk_that_must_be_verified(
    sim: PlugChatSimulator, plugchat: PlugChatSession, caplog: pytest.LogCaptureFixture
) -> None:
    """It raises at the end, after all chats; without require_verified a warning is logged."""
    await plugchat.list_chats(100, require_verified=True)
    move_too_fast(sim)
    got: list[Chat] = []
    with pytest.raises(ConsistencyError, match="the walk is not verified: the list moved too fast") as caught:
        async for chat in plugchat.iter_chats(5, require_verified=True, max_page_size=None):
            got.append(chat)
    assert len(got) > 200
    assert "moved too fast" in caught.value.reason
    caplog.clear()
    await plugchat.list_chats(5, max_page_size=None)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "the walk is not verified, items may have been missed" in caplog.messages[0]


async def test_what_a_callback_raises_comes_out(plugchat: PlugChatSession) -> None:
    """It is the caller's own."""

    def refuse(_: object) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await plugchat.list_chats(100, on_report=refuse)
    with pytest.raises(ZeroDivisionError):
        await plugchat.list_chats(100, on_page=refuse, prefetch=2)


async def test_a_report_that_fails_hides_no_error(
    sim: PlugChatSimulator, plugchat: PlugChatSession, caplog: pytest.LogCaptureFixture
) -> None:
    """What ended the walk comes out; what the callback raised is logged."""

    def refuse(_: object) -> None:
        raise ZeroDivisionError

    sim.script(Fault.status(401))
    with pytest.raises(AuthenticationError):
        await plugchat.list_chats(100, on_report=refuse)
    assert caplog.messages == ["on_report failed"]


class Asynchronous:
    """A callable that is no plain function, though it is not seen at once."""

    async def __call__(self, _: object) -> None:
        raise AssertionError


@pytest.mark.parametrize("name", ["on_page", "on_report"])
async def test_a_callback_is_no_coroutine_function(plugchat: PlugChatSession, name: str) -> None:
    """Nor an object with an asynchronous __call__: nobody would await it. Any other callable is taken."""
    options: dict[str, Any]
    callback: Any
    for callback in (asyncio.sleep, Asynchronous(), 5):
        options = {name: callback}
        with pytest.raises(InvalidTypeError, match=f"{name} must be a plain function"):
            await plugchat.list_chats(100, **options)
    for callback in (repr, list[object]().append, lambda _: None):
        options = {name: callback}
        await plugchat.list_chats(100, **options)
