"""Walks over lists that do what gateways' lists do, by chance: what is verified is complete, and what it costs."""

import math
from random import Random
from statistics import mean
from typing import Any

import pytest
from attrs import frozen
from hypothesis import given, settings
from hypothesis import strategies as st

from plugchat_async import Page, ServerTraits
from plugchat_async._pagination.walk_state import Consistency
from support.gateway_list import Event, GatewayList, Server, has_missed, make_rows, names_of
from support.moving import Read, Walked, begun, walk_over


@frozen
class Mode:
    """How a list is read.

    Attributes:
        max_page_size: None: no page is larger than `page_size`. 1000: one page may hold the whole list.
    """

    consistency: Consistency
    prefetches: bool
    max_page_size: int | None

    def __str__(self) -> str:
        return f"{self.consistency}{'-ahead' * self.prefetches}-{self.max_page_size}"


MODES = [
    *(Mode("exact", prefetches, max_page_size) for prefetches in (False, True) for max_page_size in (None, 1000)),
    *(Mode("strict", False, max_page_size) for max_page_size in (None, 1000)),
]
EACH_MODE = pytest.mark.parametrize("mode", MODES, ids=str)
# All in all a minute; hypothesis chooses others each time.
FEW = settings(max_examples=30)

# What is the matter with a list, as arguments of `make_rows`: the values that chance may choose.
LISTS: dict[str, dict[str, Any]] = {
    "sorted": {},
    "ties": {"ties": st.integers(2, 8)},
    "pinned": {"pinned": st.integers(1, 3)},
    "ahead": {"ahead": st.integers(1, 4), "untimed": st.sampled_from([0, 0.3])},
    "untimed": {"untimed": st.sampled_from([0.1, 0.59, 1])},
    "unsorted": {"is_sorted": st.just(False), "untimed": st.sampled_from([0, 0.3])},
    "persons": {"persons": st.sampled_from([0.1, 0.4]), "untimed": st.sampled_from([0, 0.59])},
    "all": {
        "ties": st.integers(1, 3),
        "pinned": st.integers(0, 3),
        "ahead": st.integers(0, 2),
        "untimed": st.sampled_from([0, 0.59]),
        "persons": st.sampled_from([0, 0.3]),
    },
}
JUMPS = ("bump", "burst", "insert")
# What moves a chat elsewhere than to the front.
ELSEWHERE = ("late", "pin", "unpin", "archive", "swap", "ahead")


def draw_list(data: st.DataObject, kind: str, server: Server | None = None, *, moves: bool) -> GatewayList:
    """Return a list of up to 50 rows."""
    options = {name: data.draw(values, name) for name, values in LISTS[kind].items()}
    seed = data.draw(st.integers(0, 1000), "seed")
    count = data.draw(st.integers(0, 50), "count")
    restless_ties = moves and data.draw(st.booleans(), "restless_ties")
    return GatewayList(make_rows(count, seed=seed, **options), server, restless_ties=restless_ties, seed=seed)


def draw_script(data: st.DataObject, kinds: tuple[str, ...], most: int = 20) -> list[tuple[int, Event]]:
    """Return events after each of the first ten answers."""
    event = st.tuples(st.sampled_from(kinds), st.integers(0, 50))
    return data.draw(st.lists(st.tuples(st.integers(1, 10), event), max_size=most), "script")


def draw_traits(data: st.DataObject, server: Server | None = None) -> ServerTraits:
    """Return what is known of a server: nothing, or what a walk over a long list has shown."""
    traits = ServerTraits()
    if data.draw(st.booleans(), "is_known"):
        walk_over(GatewayList(make_rows(130), server).page, 20, "exact", max_page_size=1000, traits=traits)
    return traits


def walk(
    data: st.DataObject, mode: Mode, listed: GatewayList, script: list[tuple[int, Event]], traits: ServerTraits
) -> Walked:
    """Walk in pages of some size, in a number of requests that is bounded."""
    play = listed.play(script)
    requests = 0

    def read(number: int, size: int) -> Page:
        nonlocal requests
        requests += 1
        # Ten passes over fifty pages, and their checks.
        assert requests < 1500
        return play(number, size)

    return walk_over(
        read,
        data.draw(st.integers(1, 20), "page_size"),
        mode.consistency,
        ahead=data.draw(st.sampled_from([1, 3, 16]), "ahead") if mode.prefetches else 0,
        order=Random(data.draw(st.integers(0, 100), "order")),
        max_page_size=mode.max_page_size,
        traits=traits,
        connected=True,
    )


def check(walked: Walked, listed: GatewayList) -> None:
    """Check that no chat has come twice, and that none was missed if the walk is verified."""
    assert not (has_missed(walked, listed) and walked.stats.verified)


# What is verified has missed nothing.


@pytest.mark.slow
@EACH_MODE
@pytest.mark.parametrize("kind", LISTS)
@FEW
@given(data=st.data())
def test_what_is_verified_has_missed_nothing(kind: str, mode: Mode, data: st.DataObject) -> None:
    """Chats jump and, in `strict`, are deleted; others move elsewhere, in `strict` only where one answer holds all."""
    moves = mode.consistency == "exact" or mode.max_page_size is not None
    deletes = mode.consistency == "strict"
    listed = draw_list(data, kind, moves=moves)
    kinds = (*JUMPS, *ELSEWHERE * moves, *("delete",) * deletes)
    check(walk(data, mode, listed, draw_script(data, kinds), draw_traits(data)), listed)


@pytest.mark.slow
@EACH_MODE
@FEW
@given(data=st.data(), cap=st.integers(1, 30), counts_by_cap=st.booleans())
def test_caps_hide_nothing(mode: Mode, data: st.DataObject, cap: int, counts_by_cap: bool) -> None:
    """Of any number, of the pages or of their rows only."""
    server = Server(cap=cap, counts_by_cap=counts_by_cap)
    listed = draw_list(data, "sorted", server, moves=False)
    kinds = (*JUMPS, *("delete",) * (mode.consistency == "strict"))
    check(walk(data, mode, listed, draw_script(data, kinds), draw_traits(data, server)), listed)


@pytest.mark.slow
@EACH_MODE
@FEW
@given(data=st.data(), past_end=st.sampled_from(["error", "first", "last"]))
def test_whatever_comes_past_the_end_hides_nothing(mode: Mode, data: st.DataObject, past_end: Any) -> None:
    """A status such as 404, or a page again."""
    server = Server(past_end=past_end)
    listed = draw_list(data, "sorted", server, moves=False)
    kinds = (*JUMPS, *("delete",) * (mode.consistency == "strict"))
    check(walk(data, mode, listed, draw_script(data, kinds), draw_traits(data, server)), listed)


@pytest.mark.slow
@EACH_MODE
@FEW
@given(data=st.data(), every=st.integers(4, 15), still=st.booleans())
def test_hidden_rows_hide_no_others(mode: Mode, data: st.DataObject, every: int, still: bool) -> None:
    """Short pages come in the middle of the list. That all rows of a page are hidden can't be known."""
    listed = draw_list(data, "sorted", moves=False)
    for row in listed.rows[1::every]:
        row.hidden = True
        listed.there.discard(row.name)
    script = [] if still else draw_script(data, ("insert",), most=3)
    walked = walk(data, mode, listed, script, ServerTraits())
    if walked.state.config.page_size > 1:
        check(walked, listed)
        assert not (still and has_missed(walked, listed))


@pytest.mark.slow
@EACH_MODE
@FEW
@given(data=st.data(), answers=st.integers(0, 12), moment=st.sampled_from(["empty", "partial"]))
def test_an_answer_that_is_wrong_for_a_moment_is_not_believed(
    mode: Mode, data: st.DataObject, answers: int, moment: str
) -> None:
    """Empty, or half of the list, which shows only on a server that is not known yet: the guarantees page says so."""
    listed = draw_list(data, "sorted", moves=False)
    script = [*draw_script(data, JUMPS, most=3), (answers, (moment, 0))]
    traits = ServerTraits() if moment == "partial" else draw_traits(data)
    check(walk(data, mode, listed, script, traits), listed)


# A list that stands still.


@pytest.mark.slow
@EACH_MODE
@pytest.mark.parametrize("kind", LISTS)
@FEW
@given(data=st.data(), past_end=st.sampled_from(["empty", "error"]))
def test_a_still_list_is_the_same_however_it_is_read(kind: str, mode: Mode, data: st.DataObject, past_end: Any) -> None:
    """Each row is yielded once, and `plain` yields them all; the walk is verified where that can be.

    Other servers are in `test_a_still_list_teaches_nothing_wrong_of_its_server`.
    """
    server = Server(past_end=past_end)
    listed = draw_list(data, kind, server, moves=False)
    walked = walk(data, mode, listed, [], draw_traits(data, server))
    assert not has_missed(walked, listed)
    size = walked.state.config.page_size
    plain = walk_over(listed.page, size, "plain", connected=True)
    assert sorted(names_of(plain)) == sorted(listed.there)
    # Windows need an order, and a page of eight chats.
    if mode.consistency == "exact" or mode.max_page_size or (size > 7 and kind in ("sorted", "pinned")):
        assert walked.stats.verified


@pytest.mark.parametrize("count", range(1, 20))
def test_pages_of_one_row_are_requested_ahead_on_a_new_server(count: int) -> None:
    """The page on which the list must end is larger than those, so it may be cut by a cap: that is checked."""
    listed = GatewayList(make_rows(count))
    walked = walk_over(listed.page, 1, "exact", ahead=3, traits=ServerTraits(), connected=True)
    assert names_of(walked) == [row.name for row in listed.rows]
    assert walked.stats.verified


# What it costs.


def least(count: int, size: int) -> int:
    """Return the number of pages that a list has: no walk needs fewer, without larger pages."""
    return count // size + 1


def known(consistency: Consistency = "exact") -> ServerTraits:
    """Return what is known of a server after a walk over a list of more than a page."""
    longest = 1000 if consistency == "strict" else 100
    return ServerTraits(longest_page=longest, short_pages="end", past_end="empty")


@pytest.mark.parametrize("consistency", ["exact", "strict"])
def test_a_walk_over_a_long_list_shows_what_is_assumed_here(consistency: Consistency) -> None:
    """After one, a short page of that server is known to be the last one."""
    traits = ServerTraits()
    walk_over(GatewayList(make_rows(1130)).page, 100, consistency, max_page_size=1000, traits=traits)
    traits.past_end = traits.past_end or "empty"  # a check may see the end without looking past it
    assert traits == known(consistency)


def busy(listed: GatewayList, each: int, seed: int) -> Read:
    """Answer from a list in which chats jump between answers, so many each time."""
    random = Random(seed)
    return listed.play([(answers, ("bump", random.randrange(1000))) for answers in range(1, 200) for _ in range(each)])


def extra(walked: Walked, listed: GatewayList, count: int) -> int:
    """Return how many requests more than the least a walk has made. It must be verified, and complete."""
    assert walked.stats.verified
    assert not has_missed(walked, listed)
    return len(walked.asked) - least(count, walked.state.config.page_size)


@pytest.mark.parametrize("ahead", [0, 4, 16])
@pytest.mark.parametrize("count", [1, 20, 50, 99])
def test_a_list_of_one_page_costs_one_request(count: int, ahead: int) -> None:
    """Once the server is known."""
    walked = walk_over(
        GatewayList(make_rows(count)).page, 100, "exact", ahead=ahead, max_page_size=1000, traits=known()
    )
    assert (len(walked.asked), walked.stats.verified) == (1, True)


@pytest.mark.parametrize("count", [1, 99, 100, 371, 999])
def test_strict_costs_one_request_where_one_page_holds_all(count: int) -> None:
    """Once the server is known to honour that size."""
    traits = known("strict")
    walked = walk_over(GatewayList(make_rows(count)).page, 100, "strict", max_page_size=1000, traits=traits)
    assert (len(walked.asked), walked.stats.verified) == (1, True)


@pytest.mark.parametrize("ahead", [4, 16])
@pytest.mark.parametrize("count", [200, 250])
def test_short_lists_cost_five_requests_at_most_with_prefetch(count: int, ahead: int) -> None:
    """In whatever order they are answered."""
    for seed in range(20):
        listed = GatewayList(make_rows(count))
        walked = walk_over(
            listed.page, 100, "exact", ahead=ahead, order=Random(seed), max_page_size=1000, traits=known()
        )
        assert walked.stats.verified
        assert len(walked.asked) <= 5


@pytest.mark.parametrize("count", [5, 99, 230, 1001])
def test_a_quiet_list_costs_exact_what_it_costs_plain(count: int) -> None:
    """The same pages, in the same order."""
    listed = GatewayList(make_rows(count))
    plain = walk_over(listed.page, 100, "plain", traits=known())
    walked = walk_over(listed.page, 100, "exact", traits=known())
    assert walked.asked == plain.asked
    assert extra(walked, listed, count) == 0


@pytest.mark.parametrize("count", [0, 100, 300, 1000])
def test_an_empty_last_page_is_not_believed_at_once(count: int) -> None:
    """It may be empty for a moment: one request more."""
    listed = GatewayList(make_rows(count))
    walked = walk_over(listed.page, 100, "exact", traits=known(), connected=True)
    assert extra(walked, listed, count) == 1


@pytest.mark.parametrize("ahead", [1, 4, 16])
@pytest.mark.parametrize("consistency", ["plain", "exact", "strict"])
def test_nothing_is_requested_ahead_of_page_2(consistency: Consistency, ahead: int) -> None:
    """Most lists have no more, so such a request would be for nothing; and there is one ahead of page 3 at most."""
    listed = GatewayList(make_rows(95))
    walked = begun(10, consistency, ahead=ahead, traits=known())
    # How many pages had been requested when one was answered.
    requested: list[int] = []

    def read(number: int, size: int) -> Page:
        requested.append(len(walked.asked))
        return listed.page(number, size)

    walked.run(read, ahead=ahead, order=Random(3))
    assert requested[:2] == [1, 2]
    assert requested[2] <= 4


@pytest.mark.slow
def test_jumps_cost_one_request_at_most() -> None:
    """One for each request; of 371 chats, on average over 300 walks."""
    costs: dict[Consistency, list[int]] = {"exact": [], "strict": []}
    for seed in range(300):
        for consistency, extras in costs.items():
            listed = GatewayList(make_rows(371))
            read = busy(listed, 1, seed)
            walked = walk_over(read, 100, consistency, max_page_size=1000, traits=known(consistency))
            extras.append(extra(walked, listed, 371))
    assert mean(costs["exact"]) <= 1
    assert mean(costs["strict"]) <= 0


@pytest.mark.slow
def test_persons_in_several_rows_cost_one_request_at_most() -> None:
    """While the list stands still."""
    for seed in range(300):
        count = Random(seed).randint(1, 900)
        listed = GatewayList(make_rows(count, persons=0.3, untimed=0.59, seed=seed))
        walked = walk_over(listed.page, 100, "exact", max_page_size=1000, traits=known())
        assert extra(walked, listed, count) <= 1


@pytest.mark.slow
@pytest.mark.parametrize(("ahead", "most"), [(0, 1), (4, 10)])
def test_a_busy_list_costs_ten_requests_at_most(ahead: int, most: int) -> None:
    """Three chats of the ten on a page jump between two answers; on average over 300 walks."""
    extras: list[int] = []
    for seed in range(300):
        count = Random(seed).randint(100, 371)
        listed = GatewayList(make_rows(count))
        read = busy(listed, 3, seed)
        traits = known()
        walked = walk_over(read, 10, "exact", ahead=ahead, order=Random(seed), max_page_size=1000, traits=traits)
        extras.append(extra(walked, listed, count))
    assert mean(extras) <= most


@pytest.mark.slow
@pytest.mark.parametrize(("consistency", "ahead", "most"), [("exact", 0, 0.03), ("exact", 4, 0.1), ("strict", 0, 0.03)])
def test_many_accounts_on_a_server_cost_little_more_than_their_pages(
    consistency: Consistency, ahead: int, most: float
) -> None:
    """A thousand, most of them small. They share what is known of the server."""
    traits, random = ServerTraits(), Random(1)
    requests = pages = 0
    for _ in range(1000):
        count = round(random.lognormvariate(math.log(30), 1.2))
        listed = GatewayList(make_rows(count))
        walked = walk_over(listed.page, 100, consistency, ahead=ahead, order=random, max_page_size=1000, traits=traits)
        requests += extra(walked, listed, count) + least(count, 100)
        pages += least(count, 100)
    assert requests <= (1 + most) * pages
