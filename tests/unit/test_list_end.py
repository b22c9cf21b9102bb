"""What looks like the end of a list, and how that is checked: caps, hidden rows, repeated, missing and empty pages."""

from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugchat_async import (
    Chat,
    NotConnectedError,
    Page,
    PageLimitError,
    PageRepeatedError,
    PaginationError,
    ServerTraits,
    UnexpectedStatusError,
)
from plugchat_async._http.urls import CHATS_PATH
from plugchat_async._pagination.checkpoint import unpack
from plugchat_async._pagination.page_numbers import FAR_PAGES
from plugchat_async._pagination.server_traits import ListMemory
from plugchat_async._pagination.walk_state import Consistency
from support.moving import MovingList, Read, Walked, begun, moving, page_of, walk_over
from support.packed import packed_walk
from support.servers import (
    Ids,
    answering,
    capped,
    ending,
    failing_at,
    hiding,
    honest,
    in_turn,
    limit_only,
    refusing,
)

EMPTY = "the list is empty"
HIDDEN = "the server sends short pages in the middle of the list"
NOT_CHECKED = "a short page is not known to be the end of the list"
BOTH: list[Consistency] = ["plain", "exact"]


def ids(walked: Walked) -> list[int]:
    return [int(name) for name in walked.got]


def known() -> ServerTraits:
    return ServerTraits(longest_page=1000, short_pages="end", past_end="empty")


# A short first page.


@pytest.mark.parametrize("consistency", BOTH)
@pytest.mark.parametrize(("total", "check"), [(1, (2, 1)), (2, (2, 2)), (3, (2, 2)), (5, (2, 4)), (50, (2, 49))])
def test_the_first_short_page_of_a_server_is_doubted(
    consistency: Consistency, total: int, check: tuple[int, int]
) -> None:
    """By one request, which begins with its last row; after that, the server is known."""
    traits = ServerTraits()
    walked = walk_over(answering(honest(total)), 100, consistency, traits=traits)
    assert walked.asked == [(1, 100), check]
    assert walked.checks == [check]
    assert ids(walked) == list(range(total))
    assert walked.stats.verified == (consistency == "exact")
    # One or two rows have no page that begins with the last one: theirs is empty.
    assert traits == ServerTraits(short_pages="end", past_end="empty" if total < 3 else None, longest_page=total)


@pytest.mark.parametrize("consistency", BOTH)
def test_a_server_that_is_known_costs_nothing(consistency: Consistency) -> None:
    """A page that is shorter than the longest one is not cut."""
    traits = ServerTraits()
    walk_over(answering(honest(20)), 100, consistency, traits=traits)
    assert walk_over(answering(honest(19)), 100, consistency, traits=traits).asked == [(1, 100)]
    # As long as the longest one: that may be a cap.
    assert walk_over(answering(honest(20)), 100, consistency, traits=traits).asked == [(1, 100), (2, 19)]
    assert walk_over(answering(honest(21)), 100, consistency, traits=traits).asked == [(1, 100), (2, 20)]


def test_a_list_that_was_seen_as_a_whole_is_known() -> None:
    """With the same chats, it is not cut now if it was not then; other chats are checked."""
    traits, memory = ServerTraits(), ListMemory()
    walk_over(answering(honest(20)), 100, "exact", traits=traits, memory=memory)
    assert walk_over(answering(honest(20)), 100, "exact", traits=traits, memory=memory).asked == [(1, 100)]
    others = answering(lambda page, size: [i + 100 for i in honest(20)(page, size)])
    assert len(walk_over(others, 100, "exact", traits=traits, memory=memory).asked) == 2


@pytest.mark.parametrize("consistency", BOTH)
@pytest.mark.parametrize("server", [capped, limit_only])
@pytest.mark.parametrize("cap", [1, 2, 3, 10, 33, 64, 99])
@pytest.mark.parametrize("total", [100, 131, 230])
def test_a_cap_of_any_number_loses_nothing(
    consistency: Consistency, server: Callable[[int, int], Ids], cap: int, total: int
) -> None:
    """It is found in three requests, and known for later walks."""
    traits = ServerTraits()
    walked = walk_over(answering(server(total, cap)), 100, consistency, traits=traits)
    assert ids(walked) == list(range(total))
    # Pages of one row have no larger ones that could check the last of them.
    assert walked.stats.verified == (consistency == "exact") or cap == 1
    assert walked.asked[:5] == [(1, 100), (2, max(cap - 1, 1) if cap > 2 else cap), (1, 100), (1, cap), (2, cap)]
    assert traits.max_page_size == cap
    again = walk_over(answering(server(total, cap)), 100, consistency, traits=traits)
    assert ids(again) == list(range(total))
    assert again.asked[:2] == [(1, cap), (2, cap)]


@pytest.mark.parametrize("server", [capped, limit_only])
@pytest.mark.parametrize("total", [49, 50, 51, 500])
def test_a_cap_of_a_walk_to_an_empty_page(server: Callable[[int, int], Ids], total: int) -> None:
    """stop_on="empty" is not fooled either."""
    for consistency in BOTH:
        walked = walk_over(answering(server(total, 50)), 100, consistency, stop_on="empty")
        assert ids(walked) == list(range(total))


def test_a_size_that_is_too_large_may_fall_back_to_a_default() -> None:
    """100 was honoured, 500 becomes 20: what a smaller size showed clears no larger one."""
    traits = ServerTraits()
    server = answering(lambda page, size: honest(500)(page, 20 if size > 100 else size))
    assert ids(walk_over(server, 100, "plain", traits=traits)) == list(range(500))
    assert ids(walk_over(server, 500, "exact", traits=traits))[:20] == list(range(20))


def test_a_list_that_grows_during_the_check_goes_on_with_the_longer_page() -> None:
    """A new chat pushes a known one to the checked page."""
    for consistency in BOTH:
        listed = MovingList(50)
        walked = walk_over(moving(listed, [(1, ("insert", 0))]), 100, consistency)
        assert walked.asked[:3] == [(1, 100), (2, 49), (1, 100)]
        assert walked.got[:50] == [str(name) for name in range(50)]
        assert walked.got[50:] == ["new1" if consistency == "exact" else "49"]


@pytest.mark.parametrize("consistency", BOTH)
def test_a_capped_list_that_moves_during_the_check_is_seen(consistency: Consistency) -> None:
    """The chats behind the cap jump one after another: no walk is taken for complete that is not."""
    for jumps in range(1, 4):
        listed = MovingList(60)
        read = moving(listed, [(request, ("bump", 55)) for request in range(1, jumps + 1)])
        walked = walk_over(cutting(read, 50), 100, consistency)
        if consistency == "exact":
            assert walked.stats.verified <= (listed.there <= set(walked.got))


def cutting(read: Read, cap: int) -> Read:
    def answer(number: int, size: int) -> Page:
        return Page(number, size, read(number, size).chats[:cap], b"")

    return answer


@pytest.mark.parametrize("consistency", BOTH)
def test_rows_in_another_order_are_no_cap(consistency: Consistency) -> None:
    """Tied chats change places between two answers: the row at the end is another one, though nothing follows."""
    rows: list[tuple[str, int | None]] = [("a", 3), ("b", 2), ("c", 1), ("d", 1)]
    answers = [rows, [*rows[:2], rows[3], rows[2]], rows]

    def read(number: int, size: int) -> Page:
        listed = answers.pop(0) if len(answers) > 1 else answers[0]
        return page_of(number, size, listed[(number - 1) * size : number * size])

    walked = walk_over(read, 10, consistency)
    assert sorted(walked.got) == ["a", "b", "c", "d"]
    assert walked.traits.max_page_size is None
    assert walked.traits.short_pages == "end"
    assert walked.stats.verified == (consistency == "exact")


@pytest.mark.parametrize("consistency", BOTH)
def test_rows_that_can_not_be_read_show_a_cap(consistency: Consistency) -> None:
    """They are behind those of page 1, as chats would be."""

    def read(number: int, size: int) -> Page:
        places = range(60)[(number - 1) * min(size, 5) : number * min(size, 5)]
        chats = tuple(Chat(str(place)) for place in places if place < 5)
        return Page(number, size, chats, b"", unreadable_keys=tuple(f"?{i}" for i in places if i >= 5))

    walked = walk_over(read, 10, consistency)
    assert walked.traits.max_page_size == 5
    assert len(walked.asked) >= 14


# A shorter list than before.


@pytest.mark.parametrize("consistency", BOTH)
def test_a_part_of_the_list_is_asked_for_again(consistency: Consistency) -> None:
    """A gateway that has lost its phone for a moment has sent it; the walk goes on with the longer page."""
    memory = ListMemory(length=25)
    server = in_turn(5, 25)
    walked = walk_over(server, 30, consistency, traits=known(), memory=memory)
    assert walked.asked == [(1, 30), (1, 30)]
    assert ids(walked) == list(range(25))


@pytest.mark.parametrize(("length", "asked"), [(22, 1), (21, 2), (0, 2)])
def test_a_few_chats_may_be_deleted(length: int, asked: int) -> None:
    """More than three, or a tenth, are not believed at once."""
    memory = ListMemory(length=25)
    walked = walk_over(answering(honest(length)), 30, "exact", traits=known(), memory=memory, connected=True)
    assert len(walked.asked) == asked
    assert walked.stats.verified
    assert memory.length == (length or 25)


def test_a_page_that_grows_each_time_is_taken_at_last() -> None:
    """As of a phone that is syncing its history."""
    walked = walk_over(in_turn(1, 2, 3, 4, 5, 6), 100, "exact", traits=known(), memory=ListMemory(length=50))
    assert walked.asked == 4 * [(1, 100)]
    assert ids(walked) == list(range(4))


# Short pages in the middle.


@pytest.mark.parametrize("hidden", [[1], [0, 1, 2], [6], [9], [5, 6, 7, 8], range(0, 20, 3)])
def test_rows_that_are_hidden_lose_no_others(hidden: list[int]) -> None:
    """The walk goes on to an empty page, then and later, and is not verified."""
    traits = ServerTraits()
    left = [i for i in range(20) if i not in hidden]
    for first in (True, False):
        walked = walk_over(answering(hiding(20, hidden)), 4, "exact", traits=traits)
        assert ids(walked) == left
        assert (walked.stats.verified, walked.stats.reason) == (False, HIDDEN)
        assert traits.short_pages == "anywhere"
        # The server is doubted once.
        assert first or all(number == 1 or number > 5 for number, _ in walked.checks)


def test_a_page_whose_rows_are_all_hidden_is_no_end() -> None:
    """The page behind it shows that."""
    traits = ServerTraits(longest_page=4, short_pages="anywhere")
    walked = walk_over(answering(hiding(20, range(4, 8))), 4, "exact", traits=traits)
    assert ids(walked) == [*range(4), *range(8, 20)]
    assert not walked.stats.verified


def test_hidden_rows_of_a_tiny_page_are_seen_by_a_larger_one() -> None:
    """Though all of page 2 is hidden."""
    traits = ServerTraits()
    walked = walk_over(answering(hiding(20, range(2, 10))), 4, "exact", max_page_size=100, traits=traits)
    assert sorted(ids(walked)) == [0, 1, *range(10, 20)]
    assert walked.stats.verified  # one page has them all
    assert traits.short_pages == "anywhere"


def test_hidden_rows_of_a_tiny_page_are_seen_by_the_next_one() -> None:
    """If there is no larger one."""
    walked = walk_over(answering(hiding(20, [2, 3])), 4, "exact")
    assert ids(walked) == [0, 1, *range(4, 20)]
    assert walked.stats.reason == HIDDEN


def test_a_plain_walk_believes_the_contract() -> None:
    """A short page that is not the first ends it; where a server is known to hide rows, it goes on."""
    server = answering(hiding(20, [6]))
    assert ids(walk_over(server, 4, "plain")) == [0, 1, 2, 3, 4, 5, 7]
    traits = ServerTraits(longest_page=4, short_pages="anywhere")
    assert len(ids(walk_over(server, 4, "plain", traits=traits))) == 19
    assert len(ids(walk_over(server, 4, "plain", stop_on="empty"))) == 19


def test_a_larger_page_is_the_check_of_a_later_short_one() -> None:
    """It shows whatever the next page would show, and proves the walk."""
    walked = walk_over(answering(honest(25)), 10, "exact", max_page_size=1000)
    assert walked.asked == [(1, 10), (2, 10), (3, 10), (1, 1000)]
    assert walked.stats.verified
    without = walk_over(answering(honest(25)), 10, "exact")
    assert without.asked == [(1, 10), (2, 10), (3, 10), (4, 10), (3, 10)]
    assert without.stats.verified
    assert without.traits.short_pages == "end"


def test_a_page_that_is_longer_when_it_is_checked_goes_on() -> None:
    """New chats came to it in between."""
    walked = walk_over(in_turn(honest(25), honest(25), honest(25), honest(25), honest(28)), 10, "exact")
    assert walked.asked[3:5] == [(4, 10), (3, 10)]
    assert ids(walked) == list(range(28))
    assert walked.stats.verified


# Past the end.


@pytest.mark.parametrize("consistency", BOTH)
@pytest.mark.parametrize("total", [20, 25, 7, 1])
def test_a_page_that_does_not_exist_is_the_end(consistency: Consistency, total: int) -> None:
    """Some servers answer 404. It is known then, and costs nothing later."""
    traits = ServerTraits()
    walked = None
    for _ in range(2):
        walked = walk_over(refusing(honest(total), total), 10, consistency, traits=traits)
        assert ids(walked) == list(range(total))
        assert walked.stats.verified == (consistency == "exact")
    if total == 20 and walked is not None:
        assert traits.past_end == "error"
        assert walked.asked == [(1, 10), (2, 10), (3, 10)]


@pytest.mark.parametrize("consistency", BOTH)
def test_a_page_that_is_refused_for_a_moment_is_not_the_end(consistency: Consistency) -> None:
    """Though the list had ended before it when it was read last: it has got chats since."""
    asked: list[int] = []

    def read(number: int, size: int) -> Page:
        asked.append(number)
        if asked == [1, 2]:
            raise UnexpectedStatusError("there is no such page", status=404)
        return answering(honest(13))(number, size)

    walked = walk_over(read, 10, consistency, traits=known(), memory=ListMemory(length=10))
    assert ids(walked) == list(range(13))
    assert walked.stats.verified == (consistency == "exact")
    assert walked.traits.past_end == "empty"


@pytest.mark.parametrize("max_page_size", [None, 1000])
def test_a_page_that_does_not_exist_is_checked_once_where_a_list_had_ended(max_page_size: int | None) -> None:
    """Then the server is known."""
    traits, memory = ServerTraits(), ListMemory()
    read = refusing(honest(40), 40)
    walks = [
        walk_over(read, 10, "exact", max_page_size=max_page_size, traits=traits, memory=memory).asked for _ in range(4)
    ]
    assert walks[2:] == [[(number, 10) for number in range(1, 6)]] * 2
    assert traits.past_end == "error"


@pytest.mark.parametrize("past_end", [lambda last: last, lambda _: 1, lambda last: max(1, last - 1)])
@pytest.mark.parametrize("total", [1, 2, 3, 7, 10, 20, 25, 40])
@pytest.mark.parametrize("max_page_size", [None, 1000])
def test_an_earlier_page_past_the_end_is_the_end(
    past_end: Callable[[int], int], total: int, max_page_size: int | None
) -> None:
    """The last one, the first one, or any other: no chat comes twice, none is missed."""
    traits = ServerTraits()
    for _ in range(2):
        server = answering(ending(honest(total), total, past_end))
        walked = walk_over(server, 10, "exact", max_page_size=max_page_size, traits=traits)
        assert ids(walked) == list(range(total))
        assert walked.stats.verified


def test_a_plain_walk_yields_a_page_that_comes_again() -> None:
    """It does not know its chats; it ends there all the same."""
    traits = ServerTraits()
    walked = walk_over(answering(ending(honest(20), 20, lambda last: last)), 10, "plain", traits=traits)
    assert walked.asked == [(1, 10), (2, 10), (3, 10), (3 + FAR_PAGES, 10)]
    assert ids(walked) == [*range(20), *range(10, 20)]
    assert traits.past_end == "repeated"


@pytest.mark.parametrize("consistency", ["plain", "exact", "strict"])
@pytest.mark.parametrize("most", [1000, 50, 2])
def test_a_server_that_ignores_page_is_found_out(consistency: Consistency, most: int) -> None:
    """A repeated page, a far one that is not empty, and halves of a page that are the same: an error."""
    with pytest.raises(PageRepeatedError, match="repeats an earlier page, and page 10000"):
        walk_over(answering(lambda _, size: range(100)[: min(size, most)]), 100, consistency, max_pages=50)


def test_a_server_that_ignores_page_is_found_out_after_one_page() -> None:
    """Its error names the page."""
    with pytest.raises(PageRepeatedError, match="page 2 repeats") as caught:
        walk_over(answering(lambda _, size: range(size)), 10, "exact")
    assert (caught.value.page, caught.value.page_size) == (2, 10)


@pytest.mark.parametrize("total", [30, 31, 251])
def test_a_list_that_goes_round_ends_on_its_second_round(total: int) -> None:
    """Whether its length is a multiple of the page size or not."""
    round_and_round = answering(lambda page, size: [i % total for i in range((page - 1) * size, page * size)])
    walked = walk_over(round_and_round, 10, "exact", max_pages=1000)
    assert ids(walked) == list(range(total))


def test_a_server_that_refuses_deep_pages_is_probed_nearer() -> None:
    """Its far page is empty, but it has the same page again and again."""
    with pytest.raises(PageRepeatedError):
        walk_over(answering(lambda page, size: range(size) if page < 10_000 else []), 10, "plain")


def test_an_honest_repetition_is_cleared_by_one_request() -> None:
    """With small pages a busy list repeats honestly: asked once, the far page is empty, and the walk goes on."""
    served = {1: [1], 2: [1], 3: [2], 4: [2], 5: []}
    walked = walk_over(answering(lambda page, _: served.get(page, [])), 1, "plain")
    assert ids(walked) == [1, 1, 2, 2]
    assert walked.asked == [(1, 1), (2, 1), (2 + FAR_PAGES, 1), (3, 1), (4, 1), (5, 1)]


def test_a_list_that_has_other_chats_far_away_repeats_past_its_end() -> None:
    """That page is one of its own: it has moved."""
    requests = 0

    def server(page: int, size: int) -> list[int]:
        nonlocal requests
        requests += 1
        if page > 100:
            return [7] if requests < 5 else []
        return [1, 2] if page <= 2 else []

    traits = ServerTraits()
    walked = walk_over(answering(server), 2, "plain", traits=traits)
    assert traits.past_end == "repeated"
    assert ids(walked) == [1, 2, 1, 2]


def test_a_list_that_moves_faster_than_it_is_read_ends() -> None:
    """Each page has the same chat, but the server counts pages."""
    traits = ServerTraits(past_end="repeated", longest_page=1)
    walked = walk_over(answering(lambda page, _: [1] if page < 1000 else [2]), 1, "exact", traits=traits, max_pages=500)
    assert not walked.stats.verified
    assert walked.got == ["1"]


# Empty pages.


@pytest.mark.parametrize("consistency", ["plain", "exact", "strict"])
@pytest.mark.parametrize("connected", [True, None])
def test_an_empty_list_is_asked_for_again(consistency: Consistency, connected: bool | None) -> None:
    """Then the phone's status; it is verified only if that says that the phone is connected."""
    walked = walk_over(answering(honest(0)), 10, consistency, connected=connected)
    assert walked.asked == [(1, 10), (1, 10)]
    assert walked.status_checks == 1
    assert walked.stats.reason == EMPTY
    assert walked.stats.verified == (connected is True and consistency != "plain")
    assert walked.got == []


@pytest.mark.parametrize("consistency", ["plain", "exact", "strict"])
def test_a_phone_that_is_not_connected_is_an_error(consistency: Consistency) -> None:
    """And no empty account."""
    with pytest.raises(NotConnectedError, match="the list is empty, and the phone is not connected"):
        walk_over(answering(honest(0)), 10, consistency, connected=False)


@pytest.mark.parametrize("consistency", ["plain", "exact", "strict"])
def test_a_list_that_was_empty_for_a_moment_is_read(consistency: Consistency) -> None:
    """Nobody asks for the status."""
    walked = walk_over(in_turn(0, MovingList(25).page), 10, consistency)
    assert ids(walked) == list(range(25))
    assert walked.status_checks == 0
    assert walked.stats.verified == (consistency != "plain")


def test_an_empty_list_is_asked_for_again_in_the_largest_size() -> None:
    """Of a small page, all rows may be hidden. A size that fails is none."""
    hidden = answering(hiding(20, range(5)))
    walked = walk_over(hidden, 5, "exact", max_page_size=100)
    assert walked.asked[:2] == [(1, 5), (1, 100)]
    assert ids(walked) == list(range(5, 20))
    failed = walk_over(failing_at(answering(honest(0)), 1), 5, "exact", max_page_size=100, connected=True)
    assert failed.asked == [(1, 5), (1, 100), (1, 5)]
    assert failed.stats.verified


@pytest.mark.parametrize("total", [1, 10, 20, 60])
def test_an_empty_page_behind_a_full_one_is_checked_from_its_last_row(total: int) -> None:
    """An empty answer may be one for a moment; the window that begins before it can't be empty."""
    walked = walk_over(answering(honest(total)), total if total == 1 else 10, "exact")
    assert ids(walked) == list(range(total))
    assert walked.stats.verified
    # A page of one row is checked by a larger one, which might be cut: so it is requested once more.
    assert walked.asked[-1] == ((2, 1) if total == 1 else walked.checks[0])
    assert len(walked.checks) == 1
    last = walked.checks[0]
    assert (last[0] - 1) * last[1] < total < last[0] * last[1]


def test_a_larger_page_that_shows_hidden_rows_is_read() -> None:
    """What it has may have jumped to the front by the time it comes again."""
    shown = [[0], [], [1, 0], [0]]

    def ids_of(page: int, size: int) -> list[int]:
        return shown.pop(0) if shown else [0] if page == 1 else []

    walked = walk_over(answering(ids_of), 2, "exact", max_page_size=1000)
    assert walked.asked[:4] == [(1, 2), (2, 1), (1, 1000), (1, 2)]
    assert sorted(ids(walked)) == [0, 1]
    assert walked.traits.short_pages == "anywhere"


def test_a_check_that_is_empty_for_a_moment_is_made_again() -> None:
    """It should have begun with the last row, so it proves nothing while the list stands still."""
    served = capped(25, 10)
    walked = walk_over(in_turn(served, 0, served), 20, "exact")
    assert walked.asked[:4] == [(1, 20), (2, 9), (1, 20), (2, 20)]
    assert ids(walked) == list(range(25))
    assert walked.stats.verified
    assert walked.traits.max_page_size == 10


def test_a_tiny_page_that_was_short_for_a_moment_hides_no_rows() -> None:
    """It has them when it is read again."""
    walked = walk_over(in_turn(lambda page, _: [0] if page == 1 else [], 0, 2), 2, "exact", max_page_size=1000)
    assert walked.asked[:4] == [(1, 2), (2, 1), (1, 1000), (1, 2)]
    assert ids(walked) == [0, 1]
    assert walked.traits.short_pages == "end"


@pytest.mark.parametrize("cap", [2, 3])
def test_an_empty_page_that_a_capped_window_checks_is_read_again(cap: int) -> None:
    """Pages of one row are checked by a larger one; if that is cut, it may end just there, and prove nothing."""
    capped_to = capped(9, cap)
    walked = walk_over(in_turn(*[capped_to] * 6, honest(0), capped_to), 1, "exact")
    assert ids(walked) == list(range(9))


def test_a_page_that_was_empty_for_a_moment_is_read_again() -> None:
    """The window shows that there is more."""
    walked = walk_over(in_turn(honest(25), honest(0), honest(25)), 10, "exact")
    assert walked.asked[:4] == [(1, 10), (2, 10), (2, 9), (2, 10)]
    assert ids(walked) == list(range(25))


def test_a_list_that_is_shorter_in_the_window_proves_nothing() -> None:
    """Chats were deleted, or the answer is another empty one."""
    for rest in (0, 8):
        walked = walk_over(in_turn(honest(10), honest(10), honest(rest), honest(rest)), 10, "exact", connected=True)
        assert len(walked.got) == 10
        assert not walked.stats.verified


def test_an_empty_page_where_the_list_ended_before_is_the_end() -> None:
    """Its length is known from an earlier walk."""
    memory = ListMemory(length=20)
    walked = walk_over(answering(honest(20)), 10, "exact", memory=memory, traits=known())
    assert walked.asked == [(1, 10), (2, 10), (3, 10)]
    assert walked.stats.verified


@pytest.mark.parametrize("stop_on", ["short", "empty"])
def test_an_empty_page_of_a_walk_to_an_empty_one_is_looked_behind(stop_on: str) -> None:
    """All its rows may be hidden, or it was empty for a moment."""
    traits = ServerTraits(longest_page=10, short_pages="anywhere" if stop_on == "short" else "end")
    walked = walk_over(
        in_turn(honest(30), honest(0), honest(30)),
        10,
        "exact",
        stop_on="empty" if stop_on == "empty" else "short",
        traits=traits,
    )
    assert walked.asked[:4] == [(1, 10), (2, 10), (3, 10), (2, 10)]
    assert ids(walked) == list(range(30))


# Checks that fail.


@pytest.mark.parametrize("total", [5, 20])
def test_a_check_of_the_first_page_that_fails_is_tolerated(total: int) -> None:
    """The contract is believed, and the walk is not verified; the next walk checks again."""
    traits = ServerTraits()
    walked = walk_over(failing_at(answering(honest(total)), 1), 100, "exact", traits=traits)
    assert ids(walked) == list(range(total))
    assert (walked.stats.verified, walked.stats.reason) == (False, NOT_CHECKED)
    assert traits.short_pages is None
    assert walk_over(answering(honest(total)), 100, "exact", traits=traits).stats.verified


@pytest.mark.parametrize("consistency", ["exact", "strict"])
@pytest.mark.parametrize("total", [33, 100])
def test_a_cap_is_checked_again_if_its_check_fails(consistency: Consistency, total: int) -> None:
    """A larger page that is as long shows nothing: it may be cut, too."""
    walked = walk_over(failing_at(answering(capped(total, 33)), 1), 50, consistency, max_page_size=1000)
    assert ids(walked) == list(range(total))
    assert walked.stats.verified or consistency == "strict"
    first = begun(50, "exact", max_page_size=1000)
    with suppress(PageLimitError):
        first.run(failing_at(answering(capped(total, 33)), 1), max_pages=1)
    resumed = Walked(unpack(packed_walk(first.state), CHATS_PATH), first.traits, max_page_size=1000, got=first.got)
    resumed.run(answering(capped(total, 33)))
    assert ids(resumed) == list(range(total))


@pytest.mark.parametrize(
    ("total", "request_"), [pytest.param(25, 3, id="a short page"), pytest.param(20, 3, id="an empty page")]
)
def test_a_check_of_a_later_page_that_fails_is_tolerated(total: int, request_: int) -> None:
    """As that of the first one."""
    walked = walk_over(failing_at(answering(honest(total)), request_), 10, "exact")
    assert ids(walked) == list(range(total))
    assert (walked.stats.verified, walked.stats.reason) == (False, NOT_CHECKED)


def test_a_check_behind_an_empty_page_that_fails_is_tolerated() -> None:
    """Of a walk to an empty page."""
    walked = walk_over(failing_at(answering(honest(20)), 3), 10, "exact", stop_on="empty", traits=known())
    assert ids(walked) == list(range(20))
    assert not walked.stats.verified


def test_a_whole_answer_that_fails_is_tolerated() -> None:
    """The walk ends its doubts in pages of page_size."""
    listed = MovingList(25)
    read = moving(listed, [(1, ("bump", 24))])

    def server(number: int, size: int) -> Page:
        return failing_at(read, 0)(number, size) if size > 10 else read(number, size)

    traits = ServerTraits(longest_page=10, short_pages="end", past_end="empty")
    walked = walk_over(server, 10, "exact", max_page_size=1000, traits=traits)
    assert (1, 1000) in walked.asked
    assert listed.there <= set(walked.got)
    assert traits.refused_page_size is None


# Walks that begin in the middle.


@given(st.integers(1, 400), st.integers(2, 5), st.sampled_from([10, 20, 100]))
def test_a_walk_from_the_middle_of_an_honest_list(total: int, start_page: int, size: int) -> None:
    """The rest of the list, whatever page it begins with."""
    walked = walk_over(answering(honest(total)), size, "plain", start_page=start_page)
    assert ids(walked) == list(range((start_page - 1) * size, total))


@pytest.mark.parametrize("server", [capped, limit_only])
def test_a_capped_list_can_not_be_begun_in_the_middle(server: Callable[[int, int], Ids]) -> None:
    """What was meant by page 3 of 100 is not what pages of 33 count: an error that says how to go on."""
    with pytest.raises(PaginationError, match="caps pageSize=100 to 33: page 3 is not the requested one") as caught:
        walk_over(answering(server(500, 33)), 100, "plain", start_page=3)
    assert "start_page=1" in caught.value.hint
    assert (caught.value.page, caught.value.page_size) == (3, 33)


@pytest.mark.parametrize("past_end", [lambda last: last, lambda _: 1])
def test_a_page_again_past_the_end_is_no_cap_in_the_middle(past_end: Callable[[int], int]) -> None:
    """What follows it is no other page, so none was missed."""
    walked = walk_over(answering(ending(honest(50), 50, past_end)), 20, "plain", start_page=3)
    assert ids(walked) == list(range(40, 50))


def test_a_walk_to_an_empty_page_may_begin_in_the_middle() -> None:
    """Short pages mean nothing then."""
    walked = walk_over(answering(honest(50)), 20, "plain", start_page=3, stop_on="empty")
    assert walked.asked == [(3, 20), (4, 20)]


def test_a_page_of_a_known_server_is_not_checked_in_the_middle() -> None:
    """Pages of its size come back full."""
    walked = walk_over(answering(honest(50)), 20, "plain", start_page=3, traits=known())
    assert walked.asked == [(3, 20)]


def test_an_empty_first_page_in_the_middle_is_the_end() -> None:
    """The list is shorter than that."""
    walked = walk_over(answering(honest(50)), 20, "plain", start_page=4)
    assert walked.asked == [(4, 20)]
    assert walked.got == []


# Rare turns.


def test_other_chats_nearer_than_far_show_that_pages_are_counted() -> None:
    """The sixteenth page that repeats is compared with one that is nearer, and that has others."""

    def server(page: int, _: int) -> list[int]:
        if page <= 40:
            return [1, 2]
        return [7, 8] if 1000 < page < 2000 else []

    walked = walk_over(answering(server), 2, "plain")
    assert ids(walked) == [1, 2] * 40
    assert (17 + 1000, 2) in walked.asked


def test_a_server_that_ignores_page_is_found_out_in_pages_of_one() -> None:
    """A page of two shows that page 2 should be another one."""
    with pytest.raises(PageRepeatedError):
        walk_over(answering(lambda _, size: range(size)), 1, "exact")


def test_chats_that_came_down_for_a_moment_prove_nothing() -> None:
    """The page behind the short one has chats of the page before it, but nothing is far past the end."""
    walked = walk_over(in_turn(25, 25, 25, lambda _, __: range(18, 25), 25), 10, "exact")
    assert walked.asked[3:] == [(4, 10), (3, 10), (3 + FAR_PAGES, 10)]
    assert ids(walked) == list(range(25))
    assert (walked.stats.verified, walked.stats.reason) == (False, NOT_CHECKED)
    assert walked.traits.short_pages is None


def test_an_empty_list_is_not_confirmed_by_requests_that_fail() -> None:
    """Though the phone is connected: the first answer may have been empty for a moment."""
    walked = walk_over(failing_at(answering(honest(0)), 1, 2), 10, "exact", max_page_size=1000, connected=True)
    assert walked.asked == [(1, 10), (1, 1000), (1, 10)]
    assert (walked.stats.verified, walked.stats.reason) == (False, EMPTY)


def test_the_last_check_of_a_cap_may_fail() -> None:
    """The cap is not known then."""
    walked = walk_over(failing_at(answering(capped(100, 33)), 3), 50, "exact")
    assert walked.asked == [(1, 50), (2, 32), (1, 50), (1, 33)]
    assert (walked.stats.verified, walked.stats.reason) == (False, NOT_CHECKED)
    assert walked.traits.max_page_size is None


def test_a_hidden_row_is_no_cap_though_others_follow() -> None:
    """Asked for as many rows as page 1 had, it has fewer still."""
    walked = walk_over(answering(hiding(100, [0])), 40, "exact")
    assert walked.asked[:4] == [(1, 40), (2, 38), (1, 40), (1, 39)]
    assert ids(walked) == list(range(1, 100))
    assert (walked.traits.short_pages, walked.traits.max_page_size) == ("anywhere", None)


def test_a_last_page_that_was_read_before_is_not_past_the_end() -> None:
    """The other chat has jumped over it, and past the end the server has the last page again."""
    answers = 0

    def read(number: int, size: int) -> Page:
        nonlocal answers
        answers += 1
        chats = [("1", 0), ("2", -1)] if answers == 1 else [("2", 1), ("1", 0)]
        last = min(number, -(-len(chats) // size))
        return page_of(number, size, chats[(last - 1) * size : last * size])

    walked = walk_over(read, 1, "exact")
    assert sorted(walked.got) == ["1", "2"]
    assert walked.stats.verified
