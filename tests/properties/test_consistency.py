"""The same traces over real HTTP, against the simulator, with faults and retries in between.

The lists are those of 2021, in which each chat has a time: where some have none, no walk can prove as much.
"""

from collections import Counter
from typing import Any

import pytest
from test_walk_traces import JUMPS, Script, scripts

from plugchat_async import Chat, Page, PlugChatError, PlugChatSession, RetryPolicy, ServerTraits, WalkReport
from plugchat_async._pagination.walk_state import Consistency
from plugchat_async.testing import Fault, PlugChatSimulator
from support.fakes import DOCUMENTED, FakeTime
from support.gateway import Gateway
from support.gateway_list import Event

# What a walk over a long list shows.
KNOWN = ServerTraits(longest_page=1000, short_pages="end", past_end="empty")


def play(sim: PlugChatSimulator, script: Script, monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Let a script happen between the requests. Gives the phones that are there all the while, kept up to date."""
    account = sim._account
    there = {chat.id for chat in account.chats}
    waiting = sorted(script)
    answered = 0

    def happen(event: Event) -> None:
        kind, place = event
        phones = [chat.id for chat in account.chats]
        if kind == "insert":
            account.new_chat()
        elif phones:
            phone = phones[place % len(phones)]
            if kind == "bump":
                account.receive_message(phone)
            else:
                there.discard(account.delete_chat(phone).id)

    def pass_interval() -> None:
        nonlocal answered
        answered += 1
        while waiting and waiting[0][0] <= answered:
            happen(waiting.pop(0)[1])

    monkeypatch.setattr(account, "pass_interval", pass_interval)
    return there


@pytest.mark.slow
@pytest.mark.parametrize("prefetch", [0, 3])
@pytest.mark.parametrize(("consistency", "kinds"), [("exact", JUMPS), ("strict", (*JUMPS, "delete"))])
async def test_the_small_traces_over_http(
    consistency: Consistency, kinds: tuple[str, ...], prefetch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One trace in many, a fault in two requests of three: nothing is missed, and each walk knows it."""
    faults = (Fault.status(503), Fault.none(), Fault.reset(), Fault.truncate(), Fault.none(), Fault.status(502))
    # Of many requests in flight one may meet several of them.
    policy = RetryPolicy(attempts=6)
    # In `strict`, so many that they are no single window.
    chats, every = (9, 41) if consistency == "strict" else (5, 7)
    for number, script in enumerate(list(scripts(chats, 6, 2, kinds))[::every]):
        fake = FakeTime()
        async with (
            PlugChatSimulator(chats, seed=number, dialect="documented") as sim,
            PlugChatSession(
                sim.token, base_url=sim.base_url, retry=policy, clock=fake.clock, server_traits=KNOWN.copy()
            ) as session,
        ):
            sim.script(*faults[number % 3 :], Fault.none(), *faults)
            there = play(sim, script, monkeypatch)
            reports: list[WalkReport] = []
            found = await session.list_chats(
                2, consistency=consistency, prefetch=prefetch, max_page_size=None, on_report=reports.append
            )
            phones = [chat.id for chat in found]
            assert len(set(phones)) == len(phones)
            assert there <= set(phones), script
            assert reports[0].verified, (script, reports)
            assert fake.sleeps


async def lost(
    consistency: Consistency,
    seed: int,
    *,
    prefetch: int = 0,
    max_page_size: int | None = None,
    every: float | None = None,
    bumps: float = 0,
    inserts: float = 0,
    deletes: float = 0,
) -> tuple[int, int, WalkReport]:
    """Return how many chats a walk over a busy account missed and repeated, and its report."""
    reports: list[WalkReport] = []
    async with (
        PlugChatSimulator(400, seed=seed, dialect="documented") as sim,
        PlugChatSession(sim.token, base_url=sim.base_url, server_traits=KNOWN.copy()) as session,
    ):
        before = {chat.id for chat in sim.chats}
        sim.traffic(bumps=bumps, inserts=inserts, deletes=deletes, seed=seed, every=every)
        found = Counter(
            [
                chat.id
                async for chat in session.iter_chats(
                    50,
                    consistency=consistency,
                    prefetch=prefetch,
                    max_page_size=max_page_size,
                    on_report=reports.append,
                )
            ]
        )
        there = before & {chat.id for chat in sim.chats}
    return len(there - set(found)), found.total() - len(found), reports[0]


@pytest.mark.parametrize("max_page_size", [None, 1000])
@pytest.mark.parametrize("prefetch", [0, 4])
@pytest.mark.parametrize(
    ("consistency", "traffic"),
    [
        ("exact", {"bumps": 1.0}),
        ("exact", {"bumps": 5.0, "inserts": 1.0}),
        ("strict", {"bumps": 5.0, "inserts": 1.0, "deletes": 1.0}),
    ],
)
async def test_a_busy_account_is_read_wholly(
    consistency: Consistency, traffic: dict[str, float], prefetch: int, max_page_size: int | None
) -> None:
    """Ten seeds: none missed, none twice, and each walk knows it; also without one answer that holds all."""
    recovered = 0
    for seed in range(10):
        missed, twice, report = await lost(consistency, seed, prefetch=prefetch, max_page_size=max_page_size, **traffic)
        if consistency == "exact" and prefetch and max_page_size is None:
            # Chats are pushed past pages that have come before: it is known that some are missing.
            assert twice == 0
            assert not (missed and report.verified)
        else:
            assert (missed, twice, report.verified) == (0, 0, True)
        recovered += report.recovered
    assert recovered > 0 or (consistency == "strict" and max_page_size is not None)


async def test_plain_loses_and_repeats() -> None:
    """Or the test above could not see it."""
    outcomes = [await lost("plain", seed, bumps=5.0) for seed in range(5)]
    assert all(missed > 0 for missed, _, _ in outcomes)
    assert all(twice > 0 for _, twice, _ in outcomes)


async def test_exact_loses_where_chats_are_deleted() -> None:
    """And can't know it: that is what strict is for."""
    outcomes = [await lost("exact", seed, deletes=2.0) for seed in range(5)]
    assert any(missed > 0 and report.verified for missed, _, report in outcomes)


async def test_traffic_by_the_clock() -> None:
    """Things happen whether anyone asks or not."""
    missed, twice, report = await lost("exact", 1, bumps=3.0, every=0.0005)
    assert (missed, twice) == (0, 0)
    assert report.verified


@pytest.mark.parametrize("consistency", ["exact", "strict"])
async def test_a_walk_goes_on_after_an_outage(consistency: Consistency, fake_time: FakeTime) -> None:
    """With the error's checkpoint, and much having happened meanwhile."""
    async with (
        PlugChatSimulator(400, seed=3, dialect="documented") as sim,
        PlugChatSession(sim.token, base_url=sim.base_url, clock=fake_time.clock, server_traits=KNOWN.copy()) as session,
    ):
        before = {chat.id for chat in sim.chats}
        sim.traffic(bumps=2.0, seed=3)
        got: list[Chat] = []
        checkpoint: str | None = None
        for down_at in (2, 5):
            sim.script(*[Fault.none()] * down_at, *[Fault.status(503)] * 3)
            with pytest.raises(PlugChatError) as caught:
                async for chat in session.iter_chats(
                    50, consistency=consistency, max_page_size=None, resume=checkpoint
                ):
                    got.append(chat)
            checkpoint = caught.value.checkpoint
            for _ in range(20):
                sim._account.pass_interval()
        reports: list[Any] = []
        async for chat in session.iter_chats(resume=checkpoint, max_page_size=None, on_report=reports.append):
            got.append(chat)
        phones = [chat.id for chat in got]
        assert len(set(phones)) == len(phones)
        assert before <= set(phones)
        assert reports[0].verified


async def test_list_chats_has_no_checkpoint(sim: PlugChatSimulator, plugchat: PlugChatSession) -> None:
    """What it had read is lost with it, so nothing can be gone on from."""
    sim.script(Fault.none(), Fault.status(401))
    with pytest.raises(PlugChatError) as caught:
        await plugchat.list_chats(100)
    assert caught.value.checkpoint is None


@DOCUMENTED
async def test_pages_say_how_many_chats_they_leave_out(sim: PlugChatSimulator, plugchat: PlugChatSession) -> None:
    """The page that ends a doubt holds only what is new, and its bytes hold all."""
    last = sim.chats[-1].id
    pages: list[Page] = []
    async for page in plugchat.iter_pages(100):
        if page.number == 1 and not pages:
            sim.receive_message(last)
        pages.append(page)
    assert [(page.number, len(page.chats), page.skipped, page.is_short) for page in pages] == [
        (1, 100, 0, False),
        (2, 99, 1, False),
        (3, 50, 0, True),
        (1, 1, 249, True),
    ]
    assert pages[-1].chats[0].id == last
    assert pages[-1].raw.count(b'"phone"') == 250


def namesakes(*places: int) -> list[dict[str, object]]:
    """A list of 30 rows, newest first; those at `places` have no phone, and share lid and name."""
    return [
        {
            "phone": "" if place in places else str(1000 + place),
            "lid": "9@lid" if place in places else f"{place}@lid",
            "name": "Ana" if place in places else None,
            "lastMessageTime": str(1_768_497_607_000 - 60_000 * place),
        }
        for place in range(30)
    ]


@pytest.mark.parametrize("places", [(3, 5), (3, 15), (3, 15, 25, 26)])
@pytest.mark.parametrize("page_size", [3, 10, 29, 100])
@pytest.mark.parametrize("consistency", ["exact", "strict"])
async def test_rows_that_only_their_times_tell_apart(
    consistency: Consistency, page_size: int, places: tuple[int, ...]
) -> None:
    """All of them come, whether they stand on one page or not."""
    reports: list[WalkReport] = []
    async with Gateway(namesakes(*places)) as server, PlugChatSession("t0ken", base_url=server.base_url) as session:
        chats = await session.list_chats(page_size, consistency=consistency, on_report=reports.append)
    assert len(set(chats)) == len(chats) == 30
    assert reports[0].verified
