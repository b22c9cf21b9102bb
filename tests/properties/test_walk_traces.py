"""Every small trace, and the refutations: what a walk promises, and what it can not."""

from collections import Counter
from collections.abc import Generator, Iterator
from itertools import combinations_with_replacement, product
from random import Random

import pytest

from plugchat_async import Page
from plugchat_async._pagination import strategy as walker
from plugchat_async._pagination.exact import PassReader
from plugchat_async._pagination.until_last_page import WalkContext, read_pages
from plugchat_async._pagination.walk_state import Consistency, WalkState
from plugchat_async._pagination.walk_steps import Step
from support.moving import Event, MovingList, begun, moving, walk_over

# Many traces, on machines that may be slow, with coverage measured.
pytestmark = pytest.mark.timeout(300)

Script = tuple[tuple[int, Event], ...]


def traces(chats: int, requests: int, most: int, kinds: tuple[str, ...]) -> Iterator[Script]:
    """All scripts of up to `most` events of these kinds, on each chat, before each of the requests."""
    events: list[Event] = [(kind, place) for kind in kinds for place in range(1 if kind == "insert" else chats)]
    for count in range(most + 1):
        for times in combinations_with_replacement(range(1, requests), count):
            for chosen in product(events, repeat=count):
                yield tuple(zip(times, chosen, strict=True))


def missed(
    script: Script, consistency: Consistency, chats: int, size: int, *, ahead: int = 0, order: int = 0, ties: int = 1
) -> tuple[bool, bool]:
    """Whether the walk missed a chat that was there all the while, and whether it claims to have missed none."""
    listed = MovingList(chats, ties=ties)
    walked = walk_over(moving(listed, script), size, consistency, ahead=ahead, order=Random(order))
    if consistency != "plain":
        assert walked.twice == 0, script
    return bool(listed.there - set(walked.got)), walked.stats.verified


# What the walkers promise: each trace, all of them. The last number is how many there are.

BUMPS = ("bump", "insert")
ANY = ("bump", "insert", "delete")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("consistency", "kinds", "chats", "size", "most", "count"),
    [
        ("exact", BUMPS, 5, 2, 3, 8131),
        ("exact", BUMPS, 6, 3, 3, 12776),
        ("exact", BUMPS, 4, 1, 3, 11236),
        ("exact", BUMPS, 3, 2, 4, 10417),
        ("strict", ANY, 9, 4, 2, 5511),
        ("strict", ANY, 9, 2, 2, 10242),
        ("strict", ANY, 8, 1, 2, 19262),
        ("strict", ("delete",), 8, 4, 3, 18921),
        ("strict", (*ANY, "demote"), 13, 8, 2, 16161),
    ],
)
def test_whatever_happens_nothing_is_missed(
    consistency: Consistency, kinds: tuple[str, ...], chats: int, size: int, most: int, count: int
) -> None:
    """One request after the other, all traces of up to `most` events: nothing is missed, and the walk knows."""
    outcomes = Counter(
        missed(script, consistency, chats, size) for script in traces(chats, chats // size + 4, most, kinds)
    )
    assert outcomes == {(False, True): count}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("consistency", "kinds", "chats", "size", "most", "count"),
    [
        ("exact", BUMPS, 5, 2, 2, 2379),
        ("exact", BUMPS, 7, 2, 2, 5547),
        ("strict", ANY, 9, 4, 2, 23088),
    ],
)
def test_whatever_happens_nothing_is_missed_by_pages_ahead(
    consistency: Consistency, kinds: tuple[str, ...], chats: int, size: int, most: int, count: int
) -> None:
    """Three pages are asked for ahead, and answered in any order: three of them for each trace."""
    outcomes = Counter(
        missed(script, consistency, chats, size, ahead=3, order=order)
        for script in traces(chats, chats // size + 5, most, kinds)
        for order in range(3)
    )
    assert outcomes == {(False, True): count}


@pytest.mark.parametrize("ahead", [0, 3])
@pytest.mark.parametrize("ties", [2, 3])
@pytest.mark.parametrize("size", [4, 5, 8])
def test_equal_times_are_no_hole_in_a_cover(size: int, ties: int, ahead: int) -> None:
    """Windows overlap in their times, not only in their chats."""
    scripts = list(traces(2 * size, 6, 1, ANY))
    outcomes = Counter(missed(script, "strict", 2 * size, size, ties=ties, ahead=ahead) for script in scripts)
    assert outcomes == {(False, True): len(scripts)}


@pytest.mark.parametrize("ties", [2, 3, 6])
def test_equal_times_keep_their_order_for_exact(ties: int) -> None:
    """So they are no hole, either."""
    outcomes = Counter(missed(script, "exact", 6, 2, ties=ties) for script in traces(6, 6, 2, BUMPS))
    assert outcomes[True, True] == 0


# What they can't: these must be missed, or the tests above can't see.


def test_plain_misses_under_bumps() -> None:
    """A chat that jumps to the front while the rest is read."""
    assert Counter(missed(script, "plain", 5, 2) for script in traces(5, 4, 1, ("bump",)))[True, False] > 0


def test_exact_misses_under_deletions() -> None:
    """And it does not know: the list moves up without a sign."""
    outcomes = Counter(missed(script, "exact", 5, 2) for script in traces(5, 4, 1, ("delete",)))
    assert outcomes[True, True] > 0


@pytest.mark.slow
def test_strict_misses_a_chat_that_comes_late() -> None:
    """One that moves up, but not to the front, goes past every window; so does one that jumps and is put back."""
    outcomes = Counter(missed(script, "strict", 12, 3) for script in traces(12, 8, 2, ("late",)))
    assert outcomes[True, True] > 0


def test_an_empty_page_is_the_last_one_only_while_it_is_empty() -> None:
    """Page 2 is empty when it is read, then two chats come, and page 1 is full: 2 is on neither, and jumps."""
    script = ((1, ("insert", 0)), (1, ("insert", 0)), (2, ("bump", 4)))
    outcomes = {missed(script, "exact", 3, 4, ahead=1, order=order) for order in range(20)}
    assert outcomes == {(False, True)}


def test_pages_ahead_miss_unless_the_last_is_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Page 2 is read, a chat comes, page 1 is read: one was pushed from it to page 2, unread, and none came twice."""
    script = ((1, ("insert", 0)),)
    outcomes = {missed(script, "exact", 3, 2, ahead=1, order=order) for order in range(20)}
    assert outcomes == {(False, True)}

    def careless(state: WalkState, context: WalkContext) -> Generator[Step, Page, bool]:
        yield from read_pages(state, context, PassReader(state, context), ahead=True)
        return not state.scan.repeated

    monkeypatch.setattr(walker, "pass_ahead", careless)
    outcomes = {missed(script, "exact", 3, 2, ahead=1, order=order) for order in range(20)}
    assert outcomes == {(False, True), (True, True)}


@pytest.mark.parametrize("script", list(traces(5, 5, 1, BUMPS)))
def test_where_the_first_page_stays_as_it_was_the_last_one_does(script: Script) -> None:
    """What other proofs ask for, page 1 unchanged from before all others to after them, is more than ours does."""
    for order in range(10):
        listed = MovingList(5)
        before = listed.page(1, 2)
        walked = begun(2, "exact", ahead=3)
        walked.run(moving(listed, script), ahead=3, order=Random(order))
        if listed.page(1, 2) == before:
            assert walked.stats.verified
            assert walked.stats.passes == 1
