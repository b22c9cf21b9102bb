"""Single traces, every small trace, and the refutations: what a walk proves, and what it can not."""

from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from itertools import combinations_with_replacement, product
from random import Random
from typing import Any

import pytest

from plugchat_async import NotConnectedError, Page, ServerTraits
from plugchat_async._pagination import exact, strategy
from plugchat_async._pagination.list_end import EndChecks
from plugchat_async._pagination.remember import Remembered
from plugchat_async._pagination.server_traits import ListMemory
from plugchat_async._pagination.strict import _WindowScan
from plugchat_async._pagination.walk_context import Verdict, WalkContext
from plugchat_async._pagination.walk_state import Consistency, WalkState
from plugchat_async._pagination.walk_steps import Step
from support.gateway_list import Event, GatewayList, Row, Server, has_missed, make_rows, names_of
from support.moving import Walked, walk_over

# Many traces, on machines that may be slow, with coverage measured.
pytestmark = pytest.mark.timeout(300)

PROVING: list[Consistency] = ["exact", "strict"]
# No page larger than `page_size`, and one that may hold the whole list.
SIZES = pytest.mark.parametrize("max_page_size", [None, 1000])


def known() -> ServerTraits:
    """Return what is known of a server after a long list: it cuts no pages, and hides no rows."""
    return ServerTraits(longest_page=1000, short_pages="end", past_end="empty")


def rows(**times: int) -> list[Row]:
    """Return rows by name and time. Those whose names have one letter in common are one person's."""
    return [Row(name, time, name[0]) for name, time in times.items()]


def walk(
    listed: GatewayList,
    size: int,
    consistency: Consistency,
    *events: tuple[int, Event],
    ahead: int = 0,
    order: int = 0,
    max_page_size: int | None = None,
    traits: ServerTraits | None = None,
    connected: bool | None = None,
    length: int | None = None,
) -> Walked:
    return walk_over(
        listed.play(events),
        size,
        consistency,
        ahead=ahead,
        order=Random(order),
        max_page_size=max_page_size,
        traits=known() if traits is None else traits,
        memory=ListMemory(length),
        connected=connected,
    )


# Traces in which walkers have lost chats, doubled them, or cost too much.


@pytest.mark.parametrize("ahead", [0, 4])
@SIZES
@pytest.mark.parametrize("consistency", PROVING)
def test_a_person_in_two_rows_is_no_movement(consistency: Consistency, max_page_size: int | None, ahead: int) -> None:
    """The rows stand on different pages, and differ: both are yielded, for one request more if it may be large."""
    listed = GatewayList(rows(A1=90, B=80, A2=70, C=60))
    walked = walk(listed, 2, consistency, max_page_size=max_page_size, ahead=ahead)
    assert not has_missed(walked, listed)
    assert walked.stats.verified
    if max_page_size:
        assert len(walked.asked) <= (1 if consistency == "strict" else 4 + bool(ahead))


@pytest.mark.parametrize("swaps", [(1,), (1, 2), (1, 2, 3), (2,)])
@pytest.mark.parametrize("is_known", [False, True])
@SIZES
@pytest.mark.parametrize("consistency", PROVING)
def test_equal_times_in_another_order_hide_no_chat(
    consistency: Consistency, max_page_size: int | None, is_known: bool, swaps: tuple[int, ...]
) -> None:
    """D and E have one time, and page 2 of four chats has D again: the pass has read four chats of five."""
    listed = GatewayList(rows(A=9, B=8, C=7, D=5, E=5))
    traits = known() if is_known else ServerTraits()
    events = [(answers, ("swap", 3)) for answers in swaps]
    walked = walk(listed, 4, consistency, *events, max_page_size=max_page_size, traits=traits)
    assert not has_missed(walked, listed)
    assert walked.stats.verified
    assert traits.short_pages == "end"


@SIZES
@pytest.mark.parametrize("consistency", PROVING)
def test_a_chat_dated_ahead_does_not_end_the_search(consistency: Consistency, max_page_size: int | None) -> None:
    """It stays in front while four others jump behind it: the newest time is no bound."""
    listed = GatewayList(make_rows(9, ahead=1))
    jumps = [(2, ("bump", 8))] * 4
    walked = walk(listed, 4, consistency, *jumps, max_page_size=max_page_size)
    assert not has_missed(walked, listed)
    assert walked.stats.verified


@SIZES
def test_a_first_message_makes_no_other_row_of_a_chat(max_page_size: int | None) -> None:
    """A has no time, and comes behind two chats dated ahead when it gets a message: it is read again, not doubled."""
    listed = GatewayList([Row("A", None, "A"), *rows(B=10**6, C=10**6, D=0)])
    walked = walk(listed, 2, "exact", (1, ("bump", 0)), max_page_size=max_page_size)
    assert not has_missed(walked, listed)
    assert walked.stats.verified


@SIZES
def test_a_row_stays_another_chat_when_the_first_row_of_its_person_is_deleted(max_page_size: int | None) -> None:
    """From then on there is one row of that phone, which nothing tells from the one that was yielded, but its time."""
    listed = GatewayList(rows(A1=9, B=8, C=7, D=6, E=5, F=4, G=3, H=2, A2=1))
    walked = walk(listed, 8, "strict", (1, ("delete", 0)), max_page_size=max_page_size)
    assert not (has_missed(walked, listed) and walked.stats.verified)


@SIZES
@pytest.mark.parametrize("consistency", PROVING)
@pytest.mark.parametrize("answers", range(6))
def test_an_answer_that_is_empty_for_a_moment_is_no_end(
    answers: int, consistency: Consistency, max_page_size: int | None
) -> None:
    """Whichever answer it is, on a server that is known or not: the chats are found."""
    for traits in (known(), ServerTraits()):
        listed = GatewayList(make_rows(4))
        walked = walk(listed, 2, consistency, (answers, ("empty", 0)), max_page_size=max_page_size, traits=traits)
        assert not has_missed(walked, listed)


@SIZES
@pytest.mark.parametrize("consistency", PROVING)
@pytest.mark.parametrize("connected", [True, None])
def test_an_empty_list_is_believed_only_of_a_connected_phone(
    connected: bool | None, consistency: Consistency, max_page_size: int | None
) -> None:
    """It is requested twice. Where the status is unknown, the walk is not verified."""
    walked = walk(GatewayList([]), 2, consistency, max_page_size=max_page_size, connected=connected)
    assert (len(walked.asked), walked.status_checks) == (2, 1)
    assert (walked.stats.verified, walked.stats.reason) == (connected is True, "the list is empty")


@SIZES
@pytest.mark.parametrize("consistency", PROVING)
def test_a_phone_that_is_not_connected_has_no_empty_list(consistency: Consistency, max_page_size: int | None) -> None:
    """The gateway answers with an empty list; the walk fails."""
    with pytest.raises(NotConnectedError):
        walk(GatewayList([]), 2, consistency, max_page_size=max_page_size, connected=False)


@SIZES
@pytest.mark.parametrize("consistency", PROVING)
def test_short_pages_in_the_middle_are_no_end(consistency: Consistency, max_page_size: int | None) -> None:
    """Rows are hidden after the page was cut: the first page of two has one."""
    listed = GatewayList([*rows(A=9), Row("B", 8, "B", hidden=True), *rows(C=7, D=6)])
    walked = walk(listed, 2, consistency, max_page_size=max_page_size, traits=ServerTraits())
    assert names_of(walked) == ["A", "C", "D"]


@SIZES
@pytest.mark.parametrize("consistency", PROVING)
@pytest.mark.parametrize("count", [4, 8, 15])
def test_a_short_list_says_nothing_of_short_pages_in_the_middle(
    count: int, consistency: Consistency, max_page_size: int | None
) -> None:
    """One page has all its rows, and one of them is hidden. Another account of the server has more pages."""
    traits = ServerTraits()
    for chats, size in ((count, 10), (40, 10), (371, 100)):
        listed = GatewayList(make_rows(chats))
        for row in listed.rows[2::8]:
            row.hidden = True
            listed.there.discard(row.name)
        walked = walk(listed, size, consistency, max_page_size=max_page_size, traits=traits)
        assert not has_missed(walked, listed)


@pytest.mark.parametrize("counts_by_cap", [True, False])
@pytest.mark.parametrize("cap", [1, 2, 3, 7, 33, 50, 99])
@SIZES
@pytest.mark.parametrize("consistency", ["plain", *PROVING])
def test_a_cap_of_any_number_is_no_end(
    consistency: Consistency, max_page_size: int | None, cap: int, counts_by_cap: bool
) -> None:
    """Of 100 chats requested, the first 33 come, which is as many as the server sends at once."""
    listed = GatewayList(make_rows(100), Server(cap=cap, counts_by_cap=counts_by_cap))
    traits = ServerTraits()
    walked = walk(listed, 100, consistency, max_page_size=max_page_size, traits=traits)
    assert sorted(names_of(walked), key=int) == [str(name) for name in range(100)]
    # Windows that overlap can hardly be as small as that.
    if consistency == "exact" or (consistency == "strict" and cap > 7):
        assert walked.stats.verified
    assert traits.max_page_size == cap


@SIZES
@pytest.mark.parametrize("consistency", ["plain", *PROVING])
@pytest.mark.parametrize("past_end", ["error", "first", "last"])
@pytest.mark.parametrize(("count", "size"), [(2, 2), (4, 2), (10, 10), (30, 10), (300, 100)])
def test_past_the_end_may_be_an_error_or_a_page_again(
    count: int, size: int, past_end: Any, consistency: Consistency, max_page_size: int | None
) -> None:
    """The list is a multiple of the page long, so a page past its end is requested; again, if the walk is repeated."""
    server = Server(past_end=past_end)
    traits = ServerTraits()
    for _ in range(2):
        listed = GatewayList(make_rows(count), server)
        walked = walk(listed, size, consistency, max_page_size=max_page_size, traits=traits)
        assert names_of(walked)[:count] == [str(name) for name in range(count)]
        assert consistency == "plain" or not has_missed(walked, listed)
        # Windows that overlap are larger than such pages, so their sizes are in doubt.
        if consistency == "exact" or (consistency == "strict" and (count > 10 or max_page_size)):
            assert walked.stats.verified


@SIZES
@pytest.mark.parametrize("consistency", PROVING)
@pytest.mark.parametrize("past_end", ["empty", "error", "first", "last"])
@pytest.mark.parametrize("cap", [None, 5, 12])
def test_a_still_list_teaches_nothing_wrong_of_its_server(
    cap: int | None, past_end: Any, consistency: Consistency, max_page_size: int | None
) -> None:
    """Lists of all lengths, in pages of some sizes. No row is hidden, so a page in the middle never looks short."""
    for count, size in product((*range(10), 13, 24, 25, 36), (2, 3, 10)):
        traits = ServerTraits()
        listed = GatewayList(make_rows(count), Server(cap=cap, past_end=past_end))
        walked = walk(listed, size, consistency, max_page_size=max_page_size, traits=traits, connected=True)
        assert not has_missed(walked, listed), (count, size)
        assert traits.short_pages != "anywhere", (count, size)
        assert walked.stats.verified or consistency == "strict", (count, size)


@pytest.mark.parametrize(("consistency", "ahead"), [("exact", 0), ("exact", 1), ("exact", 16), ("strict", 0)])
@pytest.mark.parametrize("count", [1, 5, 10, 20, 50, 99])
def test_small_accounts_cost_one_request(count: int, consistency: Consistency, ahead: int) -> None:
    """Whatever their length, and with `prefetch`, too: nothing is requested ahead of page 2."""
    walked = walk(GatewayList(make_rows(count)), 100, consistency, ahead=ahead, max_page_size=1000)
    assert walked.stats.verified
    assert len(walked.asked) == 1


@pytest.mark.slow
def test_strict_proves_lists_in_which_most_rows_have_no_time() -> None:
    """59 % of up to 900, while a chat jumps and one is deleted: one answer holds them all."""
    verified = 0
    for seed in range(300):
        random = Random(seed)
        listed = GatewayList(make_rows(random.randint(1, 900), untimed=0.59, persons=0.3, seed=seed))
        events = [(answers, (kind, random.randrange(900))) for answers in range(1, 9) for kind in ("bump", "delete")]
        walked = walk(listed, 100, "strict", *events, max_page_size=1000)
        assert not walked.stats.verified or not has_missed(walked, listed)
        verified += walked.stats.verified
    assert verified >= 285


# Every small trace.

Script = Sequence[tuple[int, Event]]


def scripts(chats: int, answers: int, most: int, kinds: tuple[str, ...]) -> Iterator[Script]:
    """All scripts of up to `most` events of these kinds, to each chat, after each of so many answers."""
    events: list[Event] = [(kind, place) for kind in kinds for place in range(1 if kind == "insert" else chats)]
    for count in range(most + 1):
        for times in combinations_with_replacement(range(1, answers + 1), count):
            for chosen in product(events, repeat=count):
                yield tuple(zip(times, chosen, strict=True))


def outcome(
    script: Script,
    consistency: Consistency,
    chats: int,
    size: int,
    *,
    ahead: int = 0,
    order: int = 0,
    ties: int = 1,
    max_page_size: int | None = None,
    is_known: bool = True,
    length: int | None = None,
) -> tuple[bool, bool]:
    """Return whether a walk missed a chat that was there all the time, and whether it is verified."""
    listed = GatewayList(make_rows(chats, ties=ties))
    walked = walk(
        listed,
        size,
        consistency,
        *script,
        ahead=ahead,
        order=order,
        max_page_size=max_page_size,
        traits=known() if is_known else ServerTraits(),
        length=length,
    )
    if consistency == "plain":
        return not listed.there <= set(names_of(walked)), walked.stats.verified
    return has_missed(walked, listed), walked.stats.verified


JUMPS = ("bump", "insert")
MOVES = ("bump", "insert", "late", "pin", "swap", "archive")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kinds", "chats", "size", "most", "ties"),
    [
        (JUMPS, 5, 2, 3, 1),
        (JUMPS, 3, 1, 3, 1),
        (MOVES, 3, 1, 2, 2),
        (MOVES, 4, 2, 2, 2),
        (MOVES, 5, 2, 2, 2),
        (("bump", "late"), 3, 2, 3, 1),
        (("bump", "pin"), 3, 2, 3, 1),
        (("insert", "swap", "late"), 3, 2, 3, 3),
        (("swap",), 5, 2, 3, 5),
    ],
)
@SIZES
def test_no_small_trace_misses_a_chat(
    max_page_size: int | None, kinds: tuple[str, ...], chats: int, size: int, most: int, ties: int
) -> None:
    """All traces of a list that moves, one request after another: what is verified has missed nothing, and most is."""
    outcomes = Counter(
        outcome(script, "exact", chats, size, ties=ties, max_page_size=max_page_size)
        for script in scripts(chats, chats // size + 2, most, kinds)
    )
    assert outcomes[True, True] == 0
    assert outcomes[False, True] > 0.9 * outcomes.total()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("max_page_size", "kinds", "chats", "size", "most", "ties"),
    [
        (1000, ("bump", "insert", "delete"), 5, 2, 2, 1),
        (1000, ("delete",), 4, 1, 3, 2),
        (1000, ("delete", "swap", "late"), 3, 2, 2, 3),
        # In windows. Page 1 has seven chats at least, whatever `page_size` is.
        (None, ("bump", "insert", "delete"), 8, 2, 2, 1),
        (None, ("delete",), 9, 1, 2, 1),
        (None, ("delete", "swap"), 9, 3, 1, 3),
        (None, ("delete",), 14, 8, 2, 1),
    ],
)
def test_no_small_trace_with_deletions_misses_a_chat_in_strict(
    max_page_size: int | None, kinds: tuple[str, ...], chats: int, size: int, most: int, ties: int
) -> None:
    """Chats are deleted, too, during the checks as well: the server is not known, where one answer holds all."""
    outcomes = Counter(
        outcome(script, "strict", chats, size, ties=ties, max_page_size=max_page_size, is_known=not max_page_size)
        for script in scripts(chats, 4, most, kinds)
    )
    assert outcomes[True, True] == 0
    # Checks that are disturbed prove nothing.
    assert outcomes[False, True] > (0.4 if max_page_size else 0.9) * outcomes.total()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["late", "pin", "archive"])
def test_strict_finds_a_chat_that_moves_elsewhere_during_one_scan(kind: str) -> None:
    """And anything that jumps or is deleted besides."""
    others = [(), *(((answers, (other, 8)),) for answers in (1, 2, 4) for other in ("bump", "delete"))]
    outcomes = Counter(
        outcome((*script, *other), "strict", 12, 3) for script in scripts(12, 6, 1, (kind,)) for other in others
    )
    assert outcomes[True, True] == 0
    assert outcomes[False, True] > 0


@pytest.mark.slow
@pytest.mark.parametrize(("chats", "size", "most", "kinds"), [(9, 2, 1, MOVES), (7, 2, 2, JUMPS), (5, 1, 2, JUMPS)])
@SIZES
def test_no_small_trace_misses_a_chat_with_pages_ahead(
    max_page_size: int | None, chats: int, size: int, most: int, kinds: tuple[str, ...]
) -> None:
    """Three pages are requested ahead, and answered in any order: three orders for each trace."""
    outcomes = Counter(
        outcome(script, "exact", chats, size, ahead=3, order=order, max_page_size=max_page_size)
        for script in scripts(chats, chats // size + 2, most, kinds)
        for order in range(3)
    )
    assert outcomes[True, True] == 0
    assert outcomes[False, True] > 0.9 * outcomes.total()


# What they can't: these must be missed, or the tests above can't see it.


def test_plain_misses_under_jumps() -> None:
    """A chat jumps to the front while the rest is read."""
    assert Counter(outcome(script, "plain", 5, 2) for script in scripts(5, 4, 1, ("bump",)))[True, False] > 0


def test_exact_misses_under_deletions() -> None:
    """And it does not know: the list moves up without a sign."""
    assert Counter(outcome(script, "exact", 5, 2) for script in scripts(5, 4, 1, ("delete",)))[True, True] > 0


def test_strict_misses_a_chat_that_moves_elsewhere_in_each_scan() -> None:
    """It is on top while its page is read, but not when page 1 is, twice; one is deleted, so the count is right."""
    listed = GatewayList(make_rows(30))
    pins: list[tuple[int, Event]] = [(answers, ("pin", 20)) for answers in (2, 6)]
    unpins: list[tuple[int, Event]] = [(answers, ("unpin", 0)) for answers in (5, 10)]
    walked = walk(listed, 10, "strict", *pins, *unpins, (5, ("delete", 29)))
    assert has_missed(walked, listed)
    assert walked.stats.verified


def test_pages_ahead_miss_unless_the_list_is_counted_at_last(monkeypatch: pytest.MonkeyPatch) -> None:
    """Page 5, the last one, is answered before page 4, and chats come in between: they are taken for those missed."""

    def outcomes() -> Counter[tuple[bool, bool]]:
        return Counter(
            outcome([(answers, ("insert", 0))] * 8, "exact", 9, 2, ahead=3, order=order)
            for answers in range(3, 7)
            for order in range(20)
        )

    assert outcomes()[True, True] == 0
    monkeypatch.setattr(exact, "IN_ORDER", 1_000_000)
    assert outcomes()[True, True] > 0


def test_a_list_that_was_long_is_counted_at_last(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of four pages, of which 2 and 3 are requested at once: page 3, now the last one, is answered first."""
    scripts: list[Script] = [
        ((1, ("pin", 5)), (2, ("insert", 0)), (2, ("pin", 2))),
        ((2, ("insert", 0)), (2, ("bump", 4)), (2, ("insert", 0)), (2, ("insert", 0))),
    ]

    def outcomes() -> Counter[tuple[bool, bool]]:
        return Counter(
            outcome(script, "exact", 5, 2, ahead=3, order=order, length=7) for script in scripts for order in range(9)
        )

    def outcome_beside_another_walk(script: Script, order: int) -> tuple[bool, bool]:
        listed, memory = GatewayList(make_rows(5)), ListMemory(7)
        play = listed.play(script)

        def read(number: int, size: int) -> Page:
            memory.length = 5  # as the other walk has found out
            return play(number, size)

        walked = walk_over(read, 2, "exact", ahead=3, order=Random(order), traits=known(), memory=memory)
        return has_missed(walked, listed), walked.stats.verified

    assert outcomes()[True, True] == 0
    assert not any(
        outcome_beside_another_walk(script, order) == (True, True) for script in scripts for order in range(9)
    )
    monkeypatch.setattr(exact, "is_long", lambda *_: False)
    assert outcomes()[True, True] >= 2


def test_strict_misses_without_a_second_scan(monkeypatch: pytest.MonkeyPatch) -> None:
    """A late message moves a chat up past the window that is read next."""

    def outcomes() -> Counter[tuple[bool, bool]]:
        return Counter(outcome(script, "strict", 14, 3) for script in scripts(14, 6, 1, ("late",)))

    def scan_once(state: WalkState, context: WalkContext, remembered: Remembered) -> Generator[Step, Page, str]:
        state.windows.overlap = 2
        scan = _WindowScan(state, context, remembered)
        yield from scan.read()
        return scan.reason

    assert outcomes()[True, True] == 0
    monkeypatch.setattr(strategy, "scan_windows", scan_once)
    assert outcomes()[True, True] > 0


@pytest.mark.parametrize(
    ("consistency", "size", "cap", "hidden"), [("exact", 100, 33, 0), ("strict", 100, 33, 0), ("exact", 10, None, 0.1)]
)
def test_a_walk_that_trusts_the_first_short_page_misses(
    consistency: Consistency, size: int, cap: int | None, hidden: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is as long as the server's longest one, or rows are hidden in it."""

    def trust(checks: EndChecks, page: Page) -> Generator[Step, Page, Verdict]:
        yield from ()
        return "end"

    listed = GatewayList(make_rows(100, hidden=hidden), Server(cap=cap))
    assert not has_missed(walk(listed, size, consistency, traits=ServerTraits()), listed)
    monkeypatch.setattr(EndChecks, "short", trust)
    walked = walk(listed, size, consistency, traits=ServerTraits())
    assert has_missed(walked, listed)
    assert walked.stats.verified
