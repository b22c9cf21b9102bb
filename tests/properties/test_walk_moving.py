"""Walks over lists that move, larger ones: by chance, step by step, and with what speaks against a proof."""

from random import Random

import hypothesis.strategies as st
import pytest
from attrs import evolve
from hypothesis import given
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from plugchat_async import Page, PageLimitError, PageRepeatedError
from plugchat_async._pagination.exact import MAX_BLIND_PASSES, MAX_PASSES, is_sorted, times_of
from plugchat_async._pagination.server_traits import FAR_PAGES, ServerTraits, is_round
from plugchat_async._pagination.strategy import walk
from plugchat_async._pagination.strict import TOO_FAST, min_overlap, next_window
from plugchat_async._pagination.until_last_page import WalkContext, WalkStats
from plugchat_async._pagination.walk_state import Consistency, StopOn
from plugchat_async._pagination.walk_steps import FetchPage, YieldPage, advance
from support.moving import Event, MovingList, Read, begun, moving, page_of, walk_over

KINDS: dict[Consistency, tuple[str, ...]] = {
    "exact": ("bump", "insert"),
    "strict": ("bump", "insert", "delete", "demote"),
}
PROVING: list[Consistency] = ["exact", "strict"]


def scripts(kinds: tuple[str, ...]) -> st.SearchStrategy[list[tuple[int, Event]]]:
    """Up to thirty events in the first twenty requests."""
    event = st.tuples(st.sampled_from(kinds), st.integers(0, 200))
    return st.lists(st.tuples(st.integers(1, 20), event), max_size=30)


# Chance.


@pytest.mark.parametrize("consistency", PROVING)
@given(data=st.data(), chats=st.integers(0, 120), size=st.integers(1, 40), ties=st.integers(1, 3))
def test_what_is_verified_has_missed_nothing(
    consistency: Consistency, data: st.DataObject, chats: int, size: int, ties: int
) -> None:
    """Any list, any page size, any events that the proof allows: no chat twice, and verified means complete."""
    listed = MovingList(chats, ties=ties)
    walked = walk_over(moving(listed, data.draw(scripts(KINDS[consistency]))), size, consistency)
    assert walked.twice == 0
    if walked.stats.verified:
        assert listed.there <= set(walked.got)
    else:
        assert walked.stats.reason


@pytest.mark.parametrize("consistency", PROVING)
@given(data=st.data(), chats=st.integers(0, 120), size=st.integers(1, 40), ahead=st.integers(1, 8), seed=st.integers(0))
def test_what_is_verified_has_missed_nothing_with_pages_ahead(
    consistency: Consistency, data: st.DataObject, chats: int, size: int, ahead: int, seed: int
) -> None:
    """Several pages in flight, answered in any order."""
    kinds = tuple(kind for kind in KINDS[consistency] if kind != "demote")
    listed = MovingList(chats)
    walked = walk_over(moving(listed, data.draw(scripts(kinds))), size, consistency, ahead=ahead, order=Random(seed))
    assert walked.twice == 0
    if walked.stats.verified:
        assert listed.there <= set(walked.got)


@given(chats=st.integers(0, 300), size=st.integers(1, 50), stop_on=st.sampled_from(["short", "empty"]))
def test_in_a_quiet_account_exact_asks_for_what_plain_asks_for(chats: int, size: int, stop_on: StopOn) -> None:
    """The same pages in the same order, and it knows that it has missed nothing."""
    listed = MovingList(chats)
    plain = walk_over(listed.page, size, "plain", stop_on=stop_on)
    exact = walk_over(listed.page, size, "exact", stop_on=stop_on)
    assert exact.asked == plain.asked
    assert exact.got == plain.got == [str(name) for name in range(chats)]
    assert exact.stats == WalkStats(len(exact.pages), chats, 0, 0, 1, verified=True)
    if stop_on == "short" and not (chats < size and is_round(chats)):
        assert len(exact.asked) == -(-(chats + 1) // size)


@given(chats=st.integers(0, 300), size=st.integers(1, 50), ahead=st.integers(1, 10))
def test_with_pages_ahead_a_quiet_account_costs_one_request_more(chats: int, size: int, ahead: int) -> None:
    """The last page again, unless there is only one; and never twice the pages that were needed."""
    listed = MovingList(chats)
    walked = walk_over(listed.page, size, "exact", ahead=ahead)
    pages = chats // size + 1
    assert walked.got == [str(name) for name in range(chats)]
    assert walked.stats.verified
    assert set(walked.asked[-1:]) <= {(pages, size), (2, chats)} or pages == 1
    assert len(walked.asked) <= 2 * pages + 1


@pytest.mark.parametrize(("chats", "size", "most"), [(1000, 100, 13), (10_000, 100, 120), (10_000, 1000, 13)])
def test_strict_costs_less_than_a_fifth_more(chats: int, size: int, most: int) -> None:
    """Windows overlap by little, though only their numbers and sizes can be chosen."""
    walked = walk_over(MovingList(chats).page, size, "strict", max_pages=200)
    assert walked.stats.verified
    assert len(walked.asked) <= most < 1.2 * (chats // size + 1)


@pytest.mark.parametrize("consistency", ["plain", *PROVING])
def test_pages_are_asked_for_before_they_are_wanted(consistency: Consistency) -> None:
    """One before the first page is delivered, then more at a time."""
    listed = MovingList(95)
    delivered: list[int] = []
    walked = begun(10, consistency, ahead=4)

    def read(number: int, size: int) -> Page:
        delivered.append(len(walked.got))
        return listed.page(number, size)

    walked.run(read, ahead=4)
    assert delivered[:4] == [0, 0, 10, 10]


@pytest.mark.parametrize(("ties", "jumps"), [(1, 1), (1, 2), (3, 1)])
@pytest.mark.parametrize(("ahead", "again"), [(0, [(1, 10)]), (3, [(1, 10), (10, 10)])])
def test_what_jumps_costs_exact_one_page_more(ties: int, jumps: int, ahead: int, again: list[tuple[int, int]]) -> None:
    """The front, as far as there is news; with pages ahead the last one is counted, too."""
    script: list[tuple[int, Event]] = [(3, ("bump", 80))] * jumps
    walked = walk_over(moving(MovingList(95, ties=ties), script), 10, "exact", ahead=ahead)
    assert walked.asked[-len(again) :] == again
    pages = 10 + len(again)
    assert walked.stats == WalkStats(pages, 95, 10 * len(again) - 5 * (len(again) - 1), jumps, 2, verified=True)


def test_more_chats_than_a_page_holds_may_jump_within_the_newest_second() -> None:
    """Those behind page 1 are no older than the bound."""
    items = [(str(i), -i) for i in range(20)]

    def read(number: int, size: int) -> Page:
        if number == 3 and items[0] == ("0", 0):
            items[:] = [(name, 0) for name, _ in items[15:]] + items[:15]
        return page_of(number, size, items[(number - 1) * size : number * size])

    walked = walk_over(read, 4, "exact")
    assert len(walked.got) == 20
    assert walked.stats.verified


def test_a_pass_that_saw_no_order_keeps_its_bound() -> None:
    """It went to the end of the list; the next one ends again where nothing can have moved."""
    listed = MovingList(95)
    move = moving(listed, [(3, ("bump", 80)), (11, ("delete", 50)), (11, ("bump", 60))])

    def read(number: int, size: int) -> Page:
        page = move(number, size)
        return evolve(page, chats=page.chats[::-1]) if len(walked.asked) == 11 else page

    walked = begun(10, "exact")
    walked.run(read)
    assert walked.stats.verified
    assert walked.asked[10:] == [(number, 10) for number in range(1, 11)] + [(1, 10)]


@pytest.mark.parametrize("size", [10, 20, 50])
def test_strict_asks_once_past_the_end(size: int) -> None:
    """No window ends where another one has; the last one is short, and page 1 shows what has jumped."""
    walked = walk_over(MovingList(95).page, size, "strict")
    *ends, front = [number * size for number, size in walked.asked]
    assert ends == sorted(set(ends))
    assert [end > 95 for end in ends] == [False] * (len(ends) - 1) + [True]
    assert front == size
    assert walked.stats.pages == len(walked.asked)


class Walk(RuleBasedStateMachine):
    """A walk step by step, while things happen to the list."""

    consistency: Consistency = "exact"
    kinds = KINDS["exact"]

    def __init__(self) -> None:
        super().__init__()
        self.chats = MovingList(23)
        self.walked = begun(5, self.consistency)
        self.steps = walk(self.walked.state, WalkContext(1000, ServerTraits(), ahead=False, stats=self.walked.stats))
        self.step = next(self.steps)
        self.ended = False
        # No faster than the walk: two events for each request.
        self.events = 0

    @precondition(lambda self: not self.ended)
    @rule()
    def go_on(self) -> None:
        page = Page(1, 1, (), b"")
        if isinstance(self.step, YieldPage):
            self.walked.got += [chat.id for chat in self.step.page.chats]
        elif isinstance(self.step, FetchPage):
            page = self.chats.page(self.step.number, self.step.size)
            self.events = 2
        step = advance(self.steps, page)
        if step is None:
            self.ended = True
        else:
            self.step = step

    @precondition(lambda self: self.events > 0 or self.ended)
    @rule(data=st.data())
    def happen(self, data: st.DataObject) -> None:
        self.events -= 1
        self.chats.happen((data.draw(st.sampled_from(self.kinds)), data.draw(st.integers(0, 30))))

    @invariant()
    def none_comes_twice(self) -> None:
        assert self.walked.twice == 0

    @invariant()
    def the_end_is_verified(self) -> None:
        if self.ended and self.walked.stats.verified:
            assert self.chats.there <= set(self.walked.got)
            # What happens from now on is not the walk's business.
            self.chats.there = set()

    def teardown(self) -> None:
        self.steps.close()


class StrictWalk(Walk):
    consistency: Consistency = "strict"
    kinds = KINDS["strict"]


TestExactStepByStep = pytest.mark.slow(Walk.TestCase)
TestStrictStepByStep = pytest.mark.slow(StrictWalk.TestCase)


# What speaks against a proof.


def always(items: list[tuple[str, int | None]]) -> Read:
    """Answer from a list that does not move."""
    return lambda number, size: page_of(number, size, items[(number - 1) * size : number * size])


def restless(items: list[tuple[str, int | None]]) -> Read:
    """Answer from a list whose last chat comes to the front before each request, with no newer time."""

    def read(number: int, size: int) -> Page:
        items.insert(0, items.pop())
        return page_of(number, size, items[(number - 1) * size : number * size])

    return read


UNTIMED: list[tuple[str, int | None]] = [(str(i), None) for i in range(25)]
UNSORTED = "the list moved, and is not sorted by time: so it is unknown which chats moved"
SHUFFLED: list[tuple[str, int | None]] = [(str(i), i * 7 % 25) for i in range(25)]


@pytest.mark.parametrize("items", [UNTIMED, SHUFFLED])
def test_a_quiet_list_needs_no_order(items: list[tuple[str, int | None]]) -> None:
    """Without times, or not sorted by them: read once, it is complete, since no chat was read twice."""
    walked = walk_over(always(items), 10, "exact")
    assert walked.asked == [(1, 10), (2, 10), (3, 10)]
    assert walked.stats.verified


@pytest.mark.parametrize("items", [UNTIMED, SHUFFLED])
def test_a_moving_list_without_order_is_counted(items: list[tuple[str, int | None]]) -> None:
    """It can't be known what jumped, so whole passes follow, until as many chats were seen as the list holds."""
    walked = walk_over(restless(list(items)), 10, "exact")
    assert walked.twice == 0
    assert walked.stats.verified
    assert walked.stats.passes == 2
    assert set(walked.got) == {name for name, _ in items}


def test_a_growing_list_without_order_is_read_again_but_not_verified() -> None:
    """There are always more chats than were seen: five passes at most."""
    items = [(str(i), None) for i in range(30)]

    def read(number: int, size: int) -> Page:
        items.insert(0, (f"new{len(items)}", None))
        return page_of(number, size, items[(number - 1) * size : number * size])

    walked = walk_over(read, 10, "exact")
    assert not walked.stats.verified
    assert walked.stats.reason == UNSORTED
    assert walked.stats.passes == MAX_BLIND_PASSES
    assert {str(i) for i in range(30)} <= set(walked.got)


def test_a_pass_without_order_that_finds_nothing_is_the_last() -> None:
    """A chat is gone, so the count proves nothing, and two that were read jump: more passes would find no more."""
    items = list(UNTIMED)
    requests = 0

    def read(number: int, size: int) -> Page:
        nonlocal requests
        requests += 1
        if requests in (2, 5, 8):
            items.insert(0, items.pop())
        elif requests == 4:
            del items[12]
        return page_of(number, size, items[(number - 1) * size : number * size])

    walked = walk_over(read, 10, "exact")
    assert (walked.stats.verified, walked.stats.reason) == (False, UNSORTED)
    # The second pass found one.
    assert (walked.stats.recovered, walked.stats.passes) == (1, 3)


@pytest.mark.parametrize(
    ("items", "reason"), [(UNTIMED, "there are chats without a time"), (SHUFFLED, "the list is not sorted by time")]
)
def test_strict_needs_order(items: list[tuple[str, int | None]], reason: str) -> None:
    """Without it the list is read as exact reads it, and the report says why it is not verified."""
    walked = walk_over(always(items), 10, "strict")
    assert sorted(walked.got) == sorted(name for name, _ in items)
    assert not walked.stats.verified
    assert walked.stats.reason == reason


@pytest.mark.parametrize("consistency", PROVING)
@pytest.mark.parametrize("pinned", [1, 2, 3])
def test_pinned_chats_may_be_on_top(consistency: Consistency, pinned: int) -> None:
    """Up to three, whatever their times: a chat that jumps goes behind them."""
    listed = MovingList(60)
    tops = [(f"pin{i}", -500 - 100 * (i % 2)) for i in range(pinned)]
    listed.there |= {name for name, _ in tops}

    def read(number: int, size: int) -> Page:
        listed.happen(("bump", 40))
        return page_of(number, size, (tops + listed.items)[(number - 1) * size : number * size])

    walked = walk_over(read, 10, consistency)
    assert walked.twice == 0
    assert listed.there <= set(walked.got)
    assert walked.stats.verified
    assert walked.stats.passes <= 3


def test_four_chats_out_of_order_are_not_pinned() -> None:
    """WhatsApp pins three."""
    tops = [(f"pin{i}", -500) for i in range(4)]
    walked = walk_over(always([*tops, *MovingList(60).items]), 10, "strict")
    assert "not sorted" in walked.stats.reason


def test_a_chat_that_was_put_back_costs_a_whole_pass() -> None:
    """It is read again with an older time: what moved up when it went may have been missed."""
    listed = MovingList(30)
    # The first chat becomes older than all on the first two pages, before page 3 is read.
    listed.items[0] = ("0", 1)

    def read(number: int, size: int) -> Page:
        if number == 3 and listed.items[0][0] == "0":
            listed.items.insert(24, ("0", -24))
            del listed.items[0]
        return listed.page(number, size)

    walked = walk_over(read, 10, "exact")
    assert listed.there == set(walked.got)
    assert walked.stats.verified
    # 20 moved from the head of page 3 to the end of page 2.
    assert walked.stats.recovered == 1
    assert walked.asked[4:] == [(1, 10), (2, 10), (3, 10), (4, 10)]


def test_more_chats_of_a_time_than_a_page_holds_say_nothing_of_their_order() -> None:
    """A list whose times are all alike is not sorted by them."""
    walked = walk_over(restless([(str(i), 0) for i in range(40)]), 10, "exact")
    assert walked.asked[5:] == [(1, 10), (2, 10), (3, 10)] or not walked.state.scan.ordered
    strict = walk_over(always([(str(i), 0) for i in range(140)]), 40, "strict")
    assert strict.stats.reason == "too many chats have the same time for pages to overlap"
    assert len(strict.got) == 140


@pytest.mark.parametrize("consistency", PROVING)
def test_a_list_that_never_stops_is_given_up(consistency: Consistency) -> None:
    """After ten passes, not verified."""
    listed = MovingList(40)

    def read(number: int, size: int) -> Page:
        listed.happen(("insert", 0))
        for _ in range(size):
            listed.happen(("bump", 39))
        return listed.page(number, size)

    walked = walk_over(read, 5, consistency)
    assert not walked.stats.verified
    assert "moved too fast" in walked.stats.reason
    assert walked.stats.passes <= 2 * MAX_PASSES


def test_strict_is_given_up_if_page_1_never_reaches_back() -> None:
    """More chats than it shows jump before each time that it is read; all were read once, so no other pass follows."""
    listed = MovingList(60)

    def read(number: int, size: int) -> Page:
        for _ in range(12 if number == 1 else 0):
            listed.happen(("bump", 50))
        return listed.page(number, size)

    walked = walk_over(read, 10, "strict")
    assert walked.stats.reason == TOO_FAST
    assert walked.stats.passes == MAX_PASSES
    assert listed.there == set(walked.got)


@pytest.mark.parametrize("consistency", PROVING)
def test_the_same_chat_twice_on_a_page_is_the_servers_own_doing(consistency: Consistency) -> None:
    """As in the vendor's example: both are delivered, and nothing is concluded."""
    items: list[tuple[str, int | None]] = [("a", 9), ("b", 8), ("b", 8), ("c", 7), ("d", 6), ("e", 5)]
    walked = walk_over(always(items), 4, consistency)
    assert sorted(walked.got) == ["a", "b", "b", "c", "d", "e"]
    assert walked.stats.verified


@pytest.mark.parametrize("consistency", PROVING)
def test_the_same_chat_twice_on_a_page_costs_no_more_with_pages_ahead(consistency: Consistency) -> None:
    """Both places count."""
    items: list[tuple[str, int | None]] = [(str(i // 2), -(i // 2)) for i in range(50)]
    walked = walk_over(always(items), 10, consistency, ahead=2)
    assert set(walked.got) == {name for name, _ in items}
    assert walked.stats.verified
    if consistency == "exact":
        assert sorted(walked.got) == sorted(name for name, _ in items)
        assert walked.stats.passes == 1
        assert walked.asked[-1] == (6, 10)


def test_a_proof_has_no_reason_against_it() -> None:
    """A cover was given up on the way, since chats have no time; the passes that followed proved it."""
    items: list[tuple[str, int | None]] = list(UNTIMED)
    requests = 0

    def read(number: int, size: int) -> Page:
        nonlocal requests
        requests += 1
        if requests == 3:
            items.insert(0, items.pop())
        return page_of(number, size, items[(number - 1) * size : number * size])

    walked = walk_over(read, 10, "exact", ahead=1)
    assert set(walked.got) == {name for name, _ in UNTIMED}
    assert walked.stats.passes > 1
    assert (walked.stats.verified, walked.stats.reason) == (True, "")


def test_pages_of_other_lengths_prove_nothing() -> None:
    """A server that sends more than it was asked for, or filters after paging."""
    listed = MovingList(25)
    more = walk_over(lambda number, size: evolve(listed.page(number, 2 * size), size=size), 5, "exact")
    assert (more.stats.verified, more.stats.reason) == (False, "pages had other lengths than requested")
    assert len(more.got) == 25

    def filtering(number: int, size: int) -> Page:
        page = listed.page(number, size)
        return evolve(page, chats=tuple(chat for chat in page.chats if int(chat.id) % 3))

    fewer = walk_over(filtering, 5, "exact", stop_on="empty")
    assert (fewer.stats.verified, fewer.stats.reason) == (False, "pages had other lengths than requested")
    assert len(fewer.got) == 16


@pytest.mark.parametrize("consistency", PROVING)
def test_max_pages_holds_for_each_pass(consistency: Consistency) -> None:
    """The walk ends with an error that says so, and where."""
    walked = begun(10, consistency)
    with pytest.raises(PageLimitError, match="max_pages=3") as caught:
        walked.run(MovingList(100).page, max_pages=3)
    assert len(walked.asked) == 3
    assert (caught.value.page, caught.value.page_size) == {"exact": (4, 10), "strict": (3, 9)}[consistency]


# Servers that don't know every size.


DISHONOURED = "the server does not honour every pageSize"
UNJOINED = "the list moved too fast: windows of it did not overlap"


@pytest.mark.parametrize("total", [101, 120, 150, 195, 197, 200, 330])
@pytest.mark.parametrize("known", [(20, 10, 50, 100), (50, 10, 100), (100,), (100, 50), (1000, 100)])
def test_strict_sees_a_server_that_knows_few_sizes(known: tuple[int, ...], total: int) -> None:
    """It loses nothing, and does not claim to know that."""
    listed = MovingList(total)

    def read(number: int, size: int) -> Page:
        return evolve(listed.page(number, size if size in known else known[0]), size=size)

    walked = walk_over(read, 100, "strict")
    assert set(walked.got) == listed.there
    assert walked.twice == 0
    assert not walked.stats.verified
    assert walked.stats.reason in (DISHONOURED, UNJOINED)
    assert walked.stats.reason == DISHONOURED or 10 not in known


@pytest.mark.parametrize("consistency", ["exact", "strict"])
@pytest.mark.parametrize("ahead", [0, 1, 4])
@pytest.mark.parametrize("cap", [10, 25, 50])
@pytest.mark.parametrize("total", [51, 65, 99, 150, 230])
@pytest.mark.parametrize("limit_only", [False, True])
def test_a_capped_page_size_loses_nothing(
    consistency: Consistency, ahead: int, cap: int, total: int, limit_only: bool
) -> None:
    """Both kinds of caps, fetched ahead or not; an overlap needs sizes below the cap only."""
    listed = MovingList(total)

    def read(number: int, size: int) -> Page:
        page = listed.page(number, size if limit_only else min(size, cap))
        return Page(number, size, page.chats[:cap], b"")

    walked = walk_over(read, 100, consistency, ahead=ahead)
    assert set(walked.got) == listed.there
    assert walked.twice == 0
    assert walked.stats.verified
    assert walked.state.size == cap


def capping(read: Read, cap: int, *, limit_only: bool = False) -> Read:
    """Cap pageSize: the rows and the place that they begin at, or the rows only."""

    def capped(number: int, size: int) -> Page:
        page = read(number, size if limit_only else min(size, cap))
        return Page(number, size, page.chats[:cap], b"")

    return capped


@pytest.mark.parametrize(
    ("consistency", "kinds"), [("exact", ("bump", "insert")), ("strict", ("bump", "insert", "delete"))]
)
@pytest.mark.parametrize("cap", [5, 10, 15])
@pytest.mark.parametrize("limit_only", [False, True])
@pytest.mark.parametrize("ahead", [0, 2])
def test_a_list_just_over_a_cap_may_move_during_the_check(
    consistency: Consistency, kinds: tuple[str, ...], cap: int, limit_only: bool, ahead: int
) -> None:
    """Whatever happens between the first requests, and in a second walk of the same session: verified is complete."""
    for chats in (cap, cap + 1, cap + 2):
        for kind in kinds:
            for place in {0, cap - 1, cap}:
                listed = MovingList(chats)
                sizes = ServerTraits()
                for _ in range(3):
                    listed.there = {name for name, _ in listed.items}
                    read = capping(moving(listed, [(1, (kind, place))]), cap, limit_only=limit_only)
                    walked = walk_over(read, 50, consistency, ahead=ahead, sizes=sizes)
                    assert walked.twice == 0
                    if walked.stats.verified:
                        assert listed.there <= set(walked.got), (chats, kind, place, walked.asked)


def test_what_was_whole_is_checked_again_when_it_has_moved() -> None:
    """Five chats were all there are; then one comes, and those five get messages: it is behind the cap."""
    listed = MovingList(5)
    sizes = ServerTraits()
    walk_over(capping(listed.page, 5), 50, "exact", sizes=sizes)
    assert walk_over(capping(listed.page, 5), 50, "exact", sizes=sizes).asked == [(1, 50)]
    listed.happen(("insert", 0))
    for _ in range(5):
        listed.happen(("bump", 5))
    assert len(walk_over(capping(listed.page, 5), 50, "exact", sizes=sizes).got) == 6


@pytest.mark.parametrize(("chats", "reason"), [(12, "more chats have the newest time than page 1 shows"), (5, "")])
def test_many_chats_of_the_newest_time_are_read_ten_times_by_nobody(chats: int, reason: str) -> None:
    """A page 1 of a single time can't go back beyond it."""
    items: list[tuple[str, int | None]] = [(str(i), min(0, chats - 1 - i)) for i in range(200)]
    walked = walk_over(always(items), 10, "strict")
    assert len(walked.got) == 200
    assert walked.stats.reason == reason
    assert len(walked.asked) < 80


def test_a_capped_oversize_window_is_no_end() -> None:
    """Where pages are tiny, page 1 is asked for with seven chats: five may be a cap, whatever was deleted behind."""
    for size in (1, 5, 6):
        for chats, deleted in ((9, 0), (8, 3), (6, 1)):
            listed = MovingList(chats)
            script = [(1, ("delete", 0))] * deleted
            walked = walk_over(capping(moving(listed, script), 5), size, "strict")
            assert listed.there <= set(walked.got) or not walked.stats.verified
            assert walked.stats.reason in ("", DISHONOURED, UNJOINED)


@pytest.mark.parametrize("total", [5, 8, 16, 40, 50])
@pytest.mark.parametrize(("size", "cap"), [(4, 4), (5, 5), (3, 5), (1, 1), (2, 3), (20, 5), (25, 10), (500, 10)])
@pytest.mark.parametrize("limit_only", [False, True])
def test_strict_does_not_take_a_capped_window_for_the_end(total: int, size: int, cap: int, limit_only: bool) -> None:
    """Where pages are tiny it asks for larger windows, which the server may cap, too."""
    listed = MovingList(total)
    for ahead in (0, 3):
        walked = walk_over(capping(listed.page, cap, limit_only=limit_only), size, "strict", ahead=ahead)
        assert set(walked.got) == listed.there
        assert walked.stats.reason in ("", DISHONOURED, UNJOINED)


def test_strict_finds_out_at_once_that_page_is_ignored() -> None:
    """The first window that is wholly above the one before it is reason enough to look."""
    walked = begun(10, "strict")
    with pytest.raises(PageRepeatedError):
        walked.run(lambda number, size: evolve(MovingList(95).page(1, size), number=number))
    assert walked.asked == [(1, 10), (2, 8), (2 + FAR_PAGES, 8)]


def test_strict_tells_of_a_cap_once_and_of_none_where_there_is_none(caplog: pytest.LogCaptureFixture) -> None:
    """Windows are smaller than the pages that were asked for, but those sizes are of its own choice."""
    walk_over(MovingList(95).page, 20, "strict")
    walk_over(MovingList(90).page, 100, "strict")
    assert not caplog.messages
    walk_over(capping(MovingList(230).page, 50), 100, "strict")
    assert caplog.messages == ["the server caps pageSize=100 to 50: continuing with pages of 50"]


def test_strict_overlaps_by_more_once_chats_were_deleted() -> None:
    """So many that two windows did not; by a quarter of a page at most."""
    listed = MovingList(200)
    walked = walk_over(moving(listed, [(2, ("delete", 0))] * 6), 40, "strict")
    assert walked.stats.verified
    assert min_overlap(40) < walked.state.windows.overlap <= 40 // 4
    # The window that came too late is read from farther up.
    begins = [(number - 1) * size for number, size in walked.asked]
    assert begins[2] > begins[3] > begins[1]


@pytest.mark.parametrize("size", [4, 5, 8])
@pytest.mark.parametrize("ties", [2, 3, 4])
def test_deletions_among_equal_times_are_no_hole(size: int, ties: int) -> None:
    """A window that begins with the time that the one before it ends with may have left out others of that time."""
    for request in range(1, 6):
        for deleted in range(1, 9):
            listed = MovingList(4 * size, ties=ties)
            walked = walk_over(moving(listed, [(request, ("delete", 0))] * deleted), size, "strict")
            assert walked.twice == 0
            assert listed.there <= set(walked.got) or not walked.stats.verified


def test_a_page_1_of_one_time_is_got_past_when_chats_jump() -> None:
    """Then it shows two times, and goes down beyond the newer one."""
    items = [(str(i), min(0, 11 - i)) for i in range(60)]
    jumped = False

    def read(number: int, size: int) -> Page:
        nonlocal jumped
        if len(walked.got) == len(items) and not jumped:
            items.insert(0, (items.pop()[0], 1))
            jumped = True
        return page_of(number, size, items[(number - 1) * size : number * size])

    walked = begun(12, "strict")
    walked.run(read)
    assert len(walked.got) == 60
    assert (walked.stats.verified, walked.stats.reason) == (True, "")


def test_strict_does_not_follow_a_list_that_never_ends() -> None:
    """A window is short, but in the size that is known pages go on, with chats that were all read."""
    listed = MovingList(40)

    def read(number: int, size: int) -> Page:
        if size == 10:
            return evolve(listed.page(1, size), number=number)
        return page_of(number, size, listed.items[7:10])

    walked = begun(10, "strict")
    with pytest.raises(PageRepeatedError):
        walked.run(read)
    assert walked.stats.reason == DISHONOURED
    assert [number for number, size in walked.asked if size == 10][:5] == [1, 2, 3, 4, 1]


@pytest.mark.parametrize("ahead", [0, 3])
@pytest.mark.parametrize("consistency", PROVING)
def test_a_filtering_server_is_read_to_its_empty_page_but_not_verified(consistency: Consistency, ahead: int) -> None:
    """Short pages are no end for stop_on="empty", and so nothing can be counted or covered."""
    listed = MovingList(12)

    def filtering(number: int, size: int) -> Page:
        page = listed.page(number, size)
        return evolve(page, chats=tuple(chat for chat in page.chats if int(chat.id) % 4 != 3))

    walked = walk_over(filtering, 4, consistency, stop_on="empty", ahead=ahead)
    assert sorted(map(int, walked.got)) == [i for i in range(12) if i % 4 != 3]
    assert not walked.stats.verified
    assert (
        walked.stats.reason
        == {
            "exact": "pages had other lengths than requested",
            "strict": 'stop_on="empty" does not accept a short page as the end, so the end is not proven',
        }[consistency]
    )


@pytest.mark.parametrize("times", [(1, -60, -3), (-50, -60, -70)])
@pytest.mark.parametrize("size", [1, 2, 3, 4])
@pytest.mark.parametrize("consistency", PROVING)
def test_pinned_chats_may_fill_tiny_pages(consistency: Consistency, size: int, times: tuple[int, ...]) -> None:
    """Their times say nothing of those behind them."""
    tops = [(f"pin{i}", time) for i, time in enumerate(times)]

    def pinning(listed: MovingList, request: int, place: int) -> Read:
        script = moving(listed, [(request, ("bump", place))])

        def read(number: int, size: int) -> Page:
            script(number, size)
            return page_of(number, size, (tops + listed.items)[(number - 1) * size : number * size])

        return read

    for place in range(3, 9):
        for request in range(1, 6):
            listed = MovingList(12)
            listed.there |= {name for name, _ in tops}
            walked = walk_over(pinning(listed, request, place), size, consistency)
            assert walked.twice == 0
            assert listed.there <= set(walked.got)
            assert len(walked.asked) < 60


def test_passes_end_wherever_they_begin() -> None:
    """Also those that follow a cover that was given up late."""
    listed = MovingList(60)
    requests = 0

    def read(number: int, size: int) -> Page:
        nonlocal requests
        requests += 1
        for _ in range(6):
            listed.happen(("bump", 50))
        page = listed.page(number, size)
        return evolve(page, chats=page.chats[::-1]) if requests == 25 else page

    walked = walk_over(read, 10, "strict")
    assert not walked.stats.verified
    assert requests < 500


def test_a_long_busy_list_is_no_server_that_ignores_page() -> None:
    """With tiny pages chats repeat honestly, again and again, and there are other chats a thousand pages on."""
    listed = MovingList(1100)
    requests = 0

    def read(number: int, size: int) -> Page:
        nonlocal requests
        requests += 1
        if requests % 2 and number < 2000:
            listed.happen(("bump", 1000))
        return listed.page(number, size)

    kinds: list[Consistency] = ["plain", "exact"]
    for consistency in kinds:
        walked = walk_over(read, 1, consistency, max_pages=5000)
        assert len(walked.got) > 1000


def test_a_page_ahead_serves_as_the_check_of_a_cap() -> None:
    """Page 2 has arrived with page 1: the walk goes on in pages of the cap, and fetches those ahead at once."""
    listed = MovingList(230)
    # And how many chats had been delivered before it was asked.
    asked: list[tuple[int, int, int]] = []
    walked = begun(100, "plain", ahead=4)

    def read(number: int, size: int) -> Page:
        asked.append((number, size, len(walked.got)))
        return evolve(listed.page(number, min(size, 50)), size=size)

    walked.run(read, ahead=4)
    assert len(walked.got) == 230
    assert asked[:5] == [(1, 100, 0), (2, 100, 0), (2, 50, 50), (3, 50, 50), (4, 50, 50)]


def test_the_same_page_ahead_shows_no_cap(caplog: pytest.LogCaptureFixture) -> None:
    """The server ignores `page`."""
    listed = MovingList(230)
    with pytest.raises(PageRepeatedError):
        walk_over(lambda number, size: evolve(listed.page(1, 50), number=number, size=size), 100, "plain", ahead=4)
    assert not caplog.messages


def test_plain_counts_what_it_reads_and_proves_nothing() -> None:
    """Chats that come twice are counted twice."""
    walked = walk_over(moving(MovingList(25), [(1, ("bump", 24))]), 10, "plain")
    assert walked.stats == WalkStats(3, 25, 0, 0, 1, verified=False, reason='consistency="plain" proves nothing')
    assert walked.twice == 1


def test_an_empty_page_ahead_clears_no_cap() -> None:
    """A server that caps only the rows has nothing on page 2 of 100, and yet fifty chats more."""
    listed = MovingList(99)
    walked = walk_over(
        lambda number, size: evolve(listed.page(number, size), chats=listed.page(number, size).chats[:50]),
        100,
        "plain",
        ahead=4,
    )
    assert len(walked.got) == 99


# Windows.


@given(end=st.integers(1, 100_000), size=st.integers(1, 300), overlap=st.integers(2, 10))
def test_a_window_overlaps_and_gets_on(end: int, size: int, overlap: int) -> None:
    """It begins at least `overlap` before the end, or with the list, and ends behind it."""
    number, chosen = next_window(end, size, overlap)
    if size >= 16 or chosen:
        assert max(0, (number - 1) * chosen) <= max(0, end - overlap)
        assert number * chosen > end
        assert chosen <= max(size, 32)


@given(end=st.integers(1, 400), size=st.integers(1, 60), overlap=st.integers(2, 6))
def test_no_window_goes_down_farther(end: int, size: int, overlap: int) -> None:
    """All windows of all sizes, tried."""
    number, chosen = next_window(end, size, overlap)
    best = max(
        (n * s for s in range(1, size + 1) for n in [max(0, end - overlap) // s + 1]),
        default=0,
    )
    if best > end:
        assert number * chosen == best


@given(end=st.integers(1, 400), size=st.integers(1, 12), overlap=st.integers(2, 40))
def test_a_window_is_larger_than_a_page_only_where_it_must_be(end: int, size: int, overlap: int) -> None:
    """By as little as gets on; where 32 chats don't, there is none."""
    _, chosen = next_window(end, size, overlap)
    start = max(0, end - overlap)
    gets_on = [larger for larger in range(size + 1, 33) if (start // larger + 1) * larger > end]
    assert chosen <= size or chosen == gets_on[0]
    assert chosen or not gets_on


@pytest.mark.parametrize(("size", "margin"), [(1, 2), (16, 2), (24, 3), (32, 4), (1000, 4)])
def test_margins(size: int, margin: int) -> None:
    """Two chats at least, four at most."""
    assert min_overlap(size) == margin


@pytest.mark.parametrize(
    ("number", "times", "in_order"),
    [
        (1, [9, 8, 8, 7], True),
        (2, [9, 8, 8, 7], True),
        (1, [1, 2, 3, 9, 8], True),
        (1, [1, 2, 3, 4, 9, 8], False),
        (1, [1, 2], True),
        (1, [9, 7, 8, 6, 5, 5, 6], False),
        (2, [1, 9, 8], False),
        (2, [8, 9], False),
    ],
)
def test_pinned_chats_are_on_top_of_page_1_only(number: int, times: list[int], in_order: bool) -> None:
    """Up to three of them; everywhere else the newest is first."""
    page = page_of(number, 10, [(str(place), time) for place, time in enumerate(times)])
    assert is_sorted(page, times_of(page)) == in_order


def test_a_page_has_times_if_all_of_its_chats_have() -> None:
    """One without says nothing of its place, so that the others prove nothing, either."""
    assert len(times_of(page_of(1, 10, [("a", 2), ("b", 1)]))) == 2
    assert times_of(page_of(1, 10, [("a", 2), ("b", None)])) == []


def test_a_page_says_how_many_chats_were_left_out() -> None:
    """Those that the walk had yielded before; the others are there."""
    walked = walk_over(moving(MovingList(25), [(1, ("bump", 20))]), 10, "exact")
    assert [(page.number, len(page.chats), page.skipped) for page in walked.pages][:2] == [(1, 10, 0), (2, 9, 1)]
    assert sum(page.skipped for page in walked.pages) == walked.stats.duplicates > 0
