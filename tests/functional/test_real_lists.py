"""Walks over HTTP on lists as servers really have them: what they lose, what they ask for, and what they say of it."""

from collections import Counter
from typing import Any, Literal

import pytest

from plugchat_async import (
    Account,
    Chat,
    NotConnectedError,
    PlugChatSession,
    RetryPolicy,
    ServerTraits,
    WalkReport,
    fetch_many,
)
from plugchat_async.testing import Fault, PlugChatSimulator, Quirks
from support.fakes import FakeTime
from support.requests import requested_pages

Proving = Literal["exact", "strict"]
both = pytest.mark.parametrize("consistency", ["exact", "strict"])
EMPTY = Fault.answer("[]")


class Walked:
    """A walk over a simulator that is over: what it missed and doubled, its report, and what it asked for."""

    def __init__(self, sim: PlugChatSimulator, found: list[Any], report: WalkReport, traits: ServerTraits) -> None:
        listed = Counter(sim.listed_chats)
        self.missed = (listed - Counter(found)).total()
        self.doubled = (Counter(found) - listed).total()
        self.report = report
        self.traits = traits
        self.asked = requested_pages(sim)
        self.status_calls = sum(request.path.endswith("/status") for request in sim.requests)

    @property
    def lost(self) -> tuple[int, int]:
        return self.missed, self.doubled


async def walk_over(
    sim: PlugChatSimulator, page_size: int = 100, *, token: str | None = None, **options: Any
) -> Walked:
    """Walk once, in a session of its own."""
    sim.requests.clear()
    traits = options.pop("server_traits", None)
    session_options: Any = {"clock": FakeTime().clock, "retry": RetryPolicy(attempts=1), "server_traits": traits}
    session_options["timeout"] = options.pop("timeout", 30.0)
    async with (
        PlugChatSession(token or sim.token, base_url=sim.base_url, **session_options) as session,
        session.walk_chats(page_size, **options) as walk,
    ):
        found = await walk.to_list()
        return Walked(sim, found, walk.report, session.server_traits)


# Trace 1: persons in several rows.


@both
@pytest.mark.parametrize("chats", [30, 250, 900])
async def test_persons_in_several_rows_are_each_a_chat(consistency: Proving, chats: int) -> None:
    """Whatever the page size; one page with all rows proves it, and costs one request more than plain."""
    async with PlugChatSimulator(chats, seed=7) as sim:
        for page_size in (7, 33, 100, 1000):
            walked = await walk_over(sim, page_size, consistency=consistency)
            assert walked.lost == (0, 0)
            assert walked.report.verified
        plain = await walk_over(sim, consistency="plain")
        known = await walk_over(
            sim, consistency=consistency, server_traits=ServerTraits(longest_page=1000, short_pages="end")
        )
        assert known.report.verified
        assert len(known.asked) <= len(plain.asked) + 1


@pytest.mark.slow
@both
async def test_persons_in_several_rows_of_a_long_list(consistency: Proving) -> None:
    """Windows of a quiet list find a row in common at once, though most of its chats have no time."""
    async with PlugChatSimulator(9000, seed=7) as sim:
        walked = await walk_over(sim, consistency=consistency)
    assert walked.lost == (0, 0)
    assert walked.report.verified
    # Two scans of ten windows each, page 1 once more, and two requests for a server that is not known.
    assert len(walked.asked) <= (24 if consistency == "strict" else 105)


@both
async def test_persons_in_several_rows_of_a_list_too_long_to_compare(
    consistency: Proving, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nearly all of them are found, and that it is not proven is told."""
    monkeypatch.setattr("plugchat_async._pagination.remember._COMPARED", 300)
    async with PlugChatSimulator(1500, seed=7) as sim:
        walked = await walk_over(sim, consistency=consistency, max_page_size=200)
    assert walked.missed <= 3
    assert walked.doubled <= 3
    assert not walked.report.verified


@both
@pytest.mark.parametrize("largest", [200, 1000])
@pytest.mark.parametrize("after", [55, 199])
async def test_persons_in_several_rows_survive_a_checkpoint(consistency: Proving, after: int, largest: int) -> None:
    """Which of them came before it was saved, is known to the walk that goes on."""
    for seed in range(4):
        async with (
            PlugChatSimulator(250, seed=seed) as sim,
            PlugChatSession(sim.token, base_url=sim.base_url) as session,
        ):
            options: Any = {"consistency": consistency, "max_page_size": largest}
            async with session.walk_chats(50, **options) as walk:
                found = [await anext(walk) for _ in range(after)]
                checkpoint = walk.checkpoint
            async with session.walk_chats(50, max_page_size=largest, resume=checkpoint) as walk:
                found += await walk.to_list()
            assert (Counter(found) - Counter(sim.chats)).total() == 0
            assert walk.report.verified <= (Counter(found) == Counter(sim.chats))


@pytest.mark.parametrize("chats", [73, 74])
async def test_a_walk_that_is_resumed_behind_the_last_page_goes_on(chats: int) -> None:
    """Rows of one person need more passes: that the page behind the last one is empty is no reason to stop."""
    async with (
        PlugChatSimulator(chats, seed=15) as sim,
        PlugChatSession(sim.token, base_url=sim.base_url) as session,
    ):
        async with session.walk_chats(5, max_page_size=None) as walk:
            found: list[Chat] = []
            for _ in range(15):
                page = await walk.next_page()
                assert page is not None
                found += page.chats
            checkpoint = walk.checkpoint
        async with session.walk_chats(5, max_page_size=None, resume=checkpoint) as walk:
            found += await walk.to_list()
        assert Counter(found) == Counter(sim.chats)
        assert walk.report.verified


# Trace 4: nothing for a moment.


@both
async def test_an_empty_page_1_is_asked_for_again(consistency: Proving) -> None:
    """A phone that is lost for a moment is no empty account."""
    async with PlugChatSimulator(50, seed=7) as sim:
        sim.script(EMPTY)
        walked = await walk_over(sim, consistency=consistency)
        assert walked.lost == (0, 0)
        assert walked.report.verified
        assert walked.status_calls == 0


@both
@pytest.mark.parametrize("place", [2, 3, 4])
async def test_a_later_page_that_is_empty_for_a_moment_is_no_end(consistency: Proving, place: int) -> None:
    """The walk finds the rest, or says that it does not know."""
    async with PlugChatSimulator(250, seed=7, dialect="documented") as sim:
        sim.script(*[Fault.none()] * (place - 1), EMPTY)
        walked = await walk_over(sim, consistency=consistency)
        assert walked.lost == (0, 0)
        assert walked.report.verified


@both
@pytest.mark.parametrize("place", [1, 2, 3])
async def test_a_part_of_the_list_for_a_moment_is_not_verified(consistency: Proving, place: int) -> None:
    """What comes is yielded once; if the rest is missed, the walk does not say that it is not."""
    async with PlugChatSimulator(250, seed=7, dialect="documented") as sim:
        sim.script(*[Fault.none()] * (place - 1), Fault.partial())
        walked = await walk_over(sim, consistency=consistency)
        assert walked.doubled == 0
        assert walked.report.verified <= (walked.missed == 0)


@both
async def test_an_empty_account(consistency: Proving) -> None:
    """If its phone is connected, it has no chats: that is verified, and is said."""
    async with PlugChatSimulator(0) as sim:
        walked = await walk_over(sim, consistency=consistency)
        assert walked.report.verified
        assert walked.report.reason == "the list is empty"
        assert walked.status_calls == 1


@pytest.mark.parametrize("consistency", ["exact", "strict", "plain"])
async def test_an_empty_list_of_a_phone_that_is_not_connected(consistency: Any) -> None:
    """It is an error, and says what to do; so it is for one of many accounts."""
    async with PlugChatSimulator(30, connected=False) as sim:
        with pytest.raises(NotConnectedError, match="the list is empty, and the phone is not connected") as caught:
            await walk_over(sim, consistency=consistency)
        assert caught.value.hint
        accounts = [Account("shop", sim.token, sim.base_url)]
        [result] = [result async for result in fetch_many(accounts, consistency=consistency)]
        assert isinstance(result.error, NotConnectedError)
        assert result.error.account == "shop"


@both
@pytest.mark.parametrize("status", [404, 401, 500])
async def test_an_empty_list_of_a_phone_that_is_not_known(consistency: Proving, status: int) -> None:
    """If the call for the status fails, the list is taken as it is, but not verified."""
    async with PlugChatSimulator(0) as sim:
        sim.script(Fault.none(), Fault.none(), Fault.status(status))
        walked = await walk_over(sim, consistency=consistency)
        assert not walked.report.verified
        assert walked.report.reason == "the list is empty"


# Trace 5: short pages in the middle.


@pytest.mark.parametrize("share", [0.01, 0.05, 0.3])
@pytest.mark.parametrize("chats", [4, 40, 250, 371])
async def test_hidden_rows_end_no_walk(chats: int, share: float) -> None:
    """All that the server ever shows comes, in pages of any size, and the server is known for it."""
    async with PlugChatSimulator(chats, seed=7, quirks=Quirks(hidden_share=share)) as sim:
        for consistency in ("exact", "strict"):
            for page_size in (9, 100):
                walked = await walk_over(sim, page_size, consistency=consistency)
                assert walked.lost == (0, 0)
                # One page that holds all rows, hidden ones included, shows no other.
                if consistency == "exact" and chats == 371 and len(sim.listed_chats) < chats:
                    assert walked.traits.short_pages == "anywhere"


@pytest.mark.parametrize("first", ["exact", "strict"])
async def test_a_list_that_fits_in_one_page_hides_no_hidden_rows(first: Proving) -> None:
    """Whatever a walk learned from one page with all rows, the next one loses nothing without saying so."""
    async with PlugChatSimulator(250, seed=7, dialect="documented", quirks=Quirks(hidden_share=0.05)) as sim:
        sim.add_account("other", 400, seed=1)
        learned = await walk_over(sim, consistency=first)
        for token in (sim.token, "other"):
            async with PlugChatSession(token, base_url=sim.base_url, server_traits=learned.traits) as session:
                walk = session.walk_chats()
                found = await walk.to_list()
            shown = {chat.id for chat in found}
            pages = [await _page(sim, token, number) for number in range(1, 6)]
            missed = {chat.id for page in pages for chat in page} - shown
            assert walk.report.verified <= (not missed)


async def _page(sim: PlugChatSimulator, token: str, number: int) -> list[Any]:
    async with PlugChatSession(token, base_url=sim.base_url) as session:
        return list((await session.fetch_page(number, 100)).chats)


# Trace 6: caps of any number.


@both
@pytest.mark.parametrize("cap", [1, 7, 33, 50, 99])
async def test_a_cap_of_any_number_loses_nothing(consistency: Proving, cap: int) -> None:
    """It is found out once, and later sessions that are told ask for pages of that size."""
    async with PlugChatSimulator(120, seed=7, dialect="documented", quirks=Quirks(max_page_size=cap)) as sim:
        walked = await walk_over(sim, consistency=consistency)
        assert walked.lost == (0, 0)
        assert walked.traits.max_page_size == cap
        told = await walk_over(sim, consistency=consistency, server_traits=walked.traits)
        assert told.lost == (0, 0)
        assert len(told.asked) < len(walked.asked)
        if cap > 7:
            assert walked.report.verified
            assert told.report.verified


async def test_many_accounts_find_a_cap_out_once() -> None:
    """The first account pays for it."""
    async with PlugChatSimulator(120, seed=7, dialect="documented", quirks=Quirks(max_page_size=33)) as sim:
        accounts = [Account("a0", sim.token)]
        for number in range(1, 6):
            sim.add_account(f"token-{number}", 120)
            accounts.append(Account(f"a{number}", f"token-{number}"))
        async for result in fetch_many(accounts, base_url=sim.base_url, concurrency=1):
            assert len(result.chats) == 120
        # Four pages each, their end looked at, and what the first one has found out.
        assert len(requested_pages(sim)) <= 6 * 5 + 6
        assert sum(size > 33 for _, size in requested_pages(sim)) <= 3


# Trace 7: 404 past the end.


@pytest.mark.parametrize("past_end", ["error", "first", "last"])
@pytest.mark.parametrize("chats", [2, 100, 200, 250])
async def test_whatever_comes_past_the_end(past_end: Any, chats: int) -> None:
    """A list whose length is a multiple of the page's ends all the same, verified, and can be resumed."""
    async with PlugChatSimulator(chats, seed=7, dialect="documented", quirks=Quirks(past_end=past_end)) as sim:
        page_size = 2 if chats == 2 else 100
        ways: list[dict[str, Any]] = [{}, {"consistency": "strict"}, {"prefetch": 3}, {"max_page_size": None}]
        for options in ways:
            walked = await walk_over(sim, page_size, **options)
            assert walked.lost == (0, 0)
            assert walked.report.verified
        async with PlugChatSession(sim.token, base_url=sim.base_url) as session:
            walk = session.walk_chats(page_size)
            first = await walk.next_page()
            assert first is not None
            rest = await session.list_chats(page_size, resume=walk.checkpoint)
            await walk.aclose()
        assert Counter([*first.chats, *rest]) == Counter(sim.chats)


# What is known of a server.


@pytest.mark.parametrize("dialect", ["documented", "gateway"])
async def test_what_is_known_of_a_server_saves_requests(dialect: Any) -> None:
    """A session that is told asks for nothing but the pages; and what it was told can be kept as JSON."""
    async with PlugChatSimulator(300, seed=7, dialect=dialect) as sim:
        sim.add_account("other", 60, seed=1)
        first = await walk_over(sim, max_page_size=1000)
        assert first.traits.short_pages == "end"
        kept = ServerTraits.from_dict(first.traits.to_dict())
        untold = await walk_over(sim, token="other")
        told = await walk_over(sim, token="other", server_traits=kept)
        assert told.report.verified
        assert len(told.asked) == 1 < len(untold.asked)
        strict = await walk_over(sim, token="other", consistency="strict", server_traits=kept)
        assert strict.asked == [(1, 1000)]
        assert strict.report.verified


async def test_a_session_keeps_what_it_was_told_to_itself() -> None:
    """Neither does it change the object that it was given, nor does a change of that one reach it."""
    traits = ServerTraits()
    async with (
        PlugChatSimulator(120, dialect="documented", quirks=Quirks(max_page_size=50)) as sim,
        PlugChatSession(sim.token, base_url=sim.base_url, server_traits=traits) as session,
    ):
        await session.list_chats()
        assert traits == ServerTraits()
        session.server_traits.max_page_size = 1
        assert session.server_traits.max_page_size == 50


# One page with the whole list.


@both
async def test_a_server_that_refuses_large_pages(consistency: Proving) -> None:
    """It is asked once, and walks do without."""
    async with PlugChatSimulator(250, seed=7, dialect="documented", quirks=Quirks(refuse_page_size_above=500)) as sim:
        walked = await walk_over(sim, consistency=consistency)
        assert walked.lost == (0, 0)
        assert walked.report.verified
        assert walked.traits.refused_page_size == 1000
        told = await walk_over(sim, consistency=consistency, server_traits=walked.traits)
        assert max(size for _, size in told.asked) <= 500
        assert told.report.verified


@both
@pytest.mark.parametrize(
    "fault", [Fault.hang(), Fault.status(503), Fault.truncate()], ids=["hangs", "503", "truncates"]
)
async def test_a_server_that_fails_at_large_pages(consistency: Proving, fault: Fault) -> None:
    """Whether it is too slow for them or breaks: walks do without, and say no more than they know."""
    async with PlugChatSimulator(250, seed=7, dialect="documented") as sim:
        # "strict" begins with the large page, "exact" ends with it.
        sim.script(*([] if consistency == "strict" else [Fault.none()] * 3), fault)
        walked = await walk_over(sim, consistency=consistency, timeout=0.2)
        assert walked.lost == (0, 0)
        assert walked.traits.refused_page_size is None


@both
async def test_no_page_is_larger_than_allowed(consistency: Proving) -> None:
    """`max_page_size` is the largest size, None never more than `page_size`."""
    async with PlugChatSimulator(250, seed=7, dialect="documented") as sim:
        for largest in (None, 50, 100, 120, 300):
            walked = await walk_over(sim, consistency=consistency, max_page_size=largest)
            assert walked.lost == (0, 0)
            assert walked.report.verified
            assert max(size for _, size in walked.asked) <= max(100, largest or 0)


# Lists that move.


@both
@pytest.mark.parametrize("prefetch", [0, 4])
async def test_deleted_archived_and_pinned_chats_lose_no_others(consistency: Proving, prefetch: int) -> None:
    """ "strict" loses none that stays in the list; "exact" says so if none is deleted."""
    for seed in range(4):
        async with PlugChatSimulator(250, seed=seed, quirks=Quirks(archived="omitted")) as sim:
            before = {(chat.id, chat.name) for chat in sim.listed_chats}
            moves: dict[str, Any] = {"bumps": 0.5, "pins": 0.2, "late_bumps": 0.2, "first_bumps": 0.2}
            if consistency == "strict":
                moves |= {"deletes": 0.3, "archives": 0.3}
            sim.traffic(seed=seed, **moves)
            async with PlugChatSession(sim.token, base_url=sim.base_url) as session:
                walk = session.walk_chats(prefetch=prefetch, consistency=consistency)
                found = await walk.to_list()
            stayed = before & {(chat.id, chat.name) for chat in sim.listed_chats}
            missed = stayed - {(chat.id, chat.name) for chat in found}
            assert walk.report.verified <= (not missed)
