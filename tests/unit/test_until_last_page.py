from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugchat_async import Chat, Page, PageLimitError, PageRepeatedError, PaginationError
from plugchat_async._pagination.server_traits import FAR_PAGES, ServerTraits, is_round
from plugchat_async._pagination.strategy import walk as walker_of
from plugchat_async._pagination.until_last_page import WalkContext, WalkStats
from plugchat_async._pagination.walk_state import StopOn, WalkConfig, WalkState
from plugchat_async._pagination.walk_steps import PeekPage, Step, YieldPage, advance

Server = Callable[[int, int], Sequence[int]]


class Walked:
    """What a walk over a server in memory asked for and delivered."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, int]] = []
        # What is asked for with each request, whether it is a probe, and which page its error names.
        self.requests: list[tuple[int, int, str, int]] = []
        self.chats: list[int] = []


def walk(
    server: Server,
    page_size: int,
    *,
    start_page: int = 1,
    stop_on: StopOn = "short",
    max_pages: int = 1000,
    sizes: ServerTraits | None = None,
    walked: Walked | None = None,
) -> Walked:
    """Run the walker against `server(page, size) -> ids`."""
    walked = Walked() if walked is None else walked
    config = WalkConfig(path="", page_size=page_size, consistency="plain", stop_on=stop_on, start_page=start_page)
    state = WalkState.at_start(config, ahead=False)
    walker = walker_of(
        state, WalkContext(max_pages, ServerTraits() if sizes is None else sizes, ahead=False, stats=WalkStats())
    )
    step: Step | None = next(walker)
    while step is not None:
        page = Page(1, 1, (), b"")
        if isinstance(step, YieldPage):
            walked.chats.extend(int(chat.id) for chat in step.page.chats)
        elif not isinstance(step, PeekPage):
            walked.asked.append((step.number, step.size))
            walked.requests.append((step.number, step.size, step.probe, step.resume_page))
            ids = server(step.number, step.size)
            page = Page(step.number, step.size, tuple(Chat(str(i)) for i in ids), b"")
        step = advance(walker, page)
    return walked


def honest(total: int) -> Server:
    """A server that does what was agreed."""
    return lambda page, size: range(total)[(page - 1) * size : page * size]


@given(st.integers(0, 200), st.integers(1, 50))
def test_an_honest_list_is_read_once_in_order(total: int, size: int) -> None:
    """Pages 1, 2, … until one is short, and no request but for that, or for the check of a round first page."""
    walked = walk(honest(total), size)
    assert walked.chats == list(range(total))
    pages = total // size + 1
    check = [(2, total)] if 0 < total < size and is_round(total) else []
    assert walked.asked == [(number, size) for number in range(1, pages + 1)] + check


@given(st.integers(0, 100), st.integers(1, 20))
def test_stop_on_empty_asks_until_a_page_is_empty(total: int, size: int) -> None:
    """A short page is followed by one more request, and by the check where it is the first one and round."""
    walked = walk(honest(total), size, stop_on="empty")
    assert walked.chats == list(range(total))
    check = [(2, total)] if 0 < total < size and is_round(total) else []
    assert walked.asked == [(1, size), *check, *((number, size) for number in range(2, -(-total // size) + 2))]


def test_stop_on_empty_goes_past_short_pages() -> None:
    """A server that filters after paging sends short pages in the middle."""

    def filtering(page: int, size: int) -> Sequence[int]:
        return [i for i in honest(10)(page, size) if i % 2]

    assert walk(filtering, 4).chats == [1, 3]
    assert walk(filtering, 4, stop_on="empty").chats == [1, 3, 5, 7, 9]


def test_a_walk_begins_where_it_is_told() -> None:
    """start_page=3 asks for page 3 first."""
    walked = walk(honest(45), 10, start_page=3)
    assert walked.chats == list(range(20, 45))
    assert walked.asked == [(3, 10), (4, 10), (5, 10)]


@pytest.mark.parametrize(
    ("length", "expected"),
    [
        *[(n, True) for n in (5, 10, 15, 16, 20, 25, 30, 32, 50, 64, 75, 100, 128, 250, 500, 1000, 1024)],
        *[(n, False) for n in (0, 1, 2, 4, 8, 9, 11, 17, 33, 99, 101)],
    ],
)
def test_round_numbers(length: int, expected: bool) -> None:
    """Multiples of 5, and powers of two from 16."""
    assert is_round(length) == expected


def capped(total: int, cap: int) -> Server:
    """A server that takes a larger pageSize for its cap, in limit and offset."""
    return lambda page, size: honest(total)(page, min(size, cap))


def limit_only(total: int, cap: int) -> Server:
    """A server that caps the number of rows, but not the offset."""
    return lambda page, size: honest(total)(page, size)[:cap]


@pytest.mark.parametrize("server", [capped, limit_only])
@pytest.mark.parametrize("cap", [10, 25, 50, 64])
@pytest.mark.parametrize("total", [26, 51, 65, 99, 150, 230])
def test_a_capped_page_size_loses_nothing(server: Callable[[int, int], Server], cap: int, total: int) -> None:
    """Once the cap is found pages are asked for in it: no request more than if it had been known."""
    sizes = ServerTraits()
    for _ in range(2):
        walked = walk(server(total, cap), 100, sizes=sizes)
        assert walked.chats == list(range(total))
        if total > cap:
            assert walked.asked == [(1, 100)] + [(n, cap) for n in range(2, total // cap + 2)]


@pytest.mark.parametrize("server", [capped, limit_only])
@pytest.mark.parametrize("total", [49, 50, 51, 500])
def test_a_capped_page_size_loses_nothing_when_walking_to_an_empty_page(
    server: Callable[[int, int], Server], total: int
) -> None:
    """stop_on="empty" is not fooled either."""
    assert walk(server(total, 50), 100, stop_on="empty").chats == list(range(total))


def test_a_size_that_is_too_large_may_fall_back_to_a_default() -> None:
    """100 was honoured, 500 becomes 20: what a smaller size showed clears no larger one."""

    def server(page: int, size: int) -> Sequence[int]:
        return honest(500)(page, 20 if size > 100 else size)

    sizes = ServerTraits()
    assert walk(server, 100, sizes=sizes).chats == list(range(500))
    assert walk(server, 500, sizes=sizes).chats == list(range(500))


@given(st.integers(1, 40), st.integers(2, 5), st.sampled_from([10, 20, 100]))
def test_a_walk_from_the_middle_of_an_honest_list(tens: int, start_page: int, size: int) -> None:
    """Resumed at a page that happens to be short and round: the rest of the list, and later walks as ever."""
    total = tens * 10
    sizes = ServerTraits()
    assert walk(honest(total), size, start_page=start_page, sizes=sizes).chats == list(
        range((start_page - 1) * size, total)
    )
    assert walk(honest(total), size, sizes=sizes).asked[1:] in (
        [(2, total)],
        [(n, size) for n in range(2, total // size + 2)],
    )


@pytest.mark.parametrize("server", [capped, limit_only])
def test_a_capped_list_can_not_be_begun_in_the_middle(server: Callable[[int, int], Server]) -> None:
    """What was meant by page 3 of 100 is not what pages of 50 count: an error that says how to go on."""
    with pytest.raises(PaginationError, match="caps pageSize=100 to 50: page 3 is not the requested one") as caught:
        walk(server(500, 50), 100, start_page=3)
    assert "start_page=1" in caught.value.hint
    assert (caught.value.page, caught.value.page_size) == (3, 50)


def test_a_short_page_served_again_is_no_cap_in_the_middle() -> None:
    """What follows it is no other page, so none was missed."""
    assert walk(lambda page, size: honest(50)(min(page, 3), size), 20, start_page=3).chats == list(range(40, 50))


def test_a_walk_to_an_empty_page_may_begin_in_the_middle() -> None:
    """Short pages mean nothing then."""
    assert walk(honest(50), 20, start_page=3, stop_on="empty").asked == [(3, 20), (4, 20)]


@pytest.mark.parametrize(
    ("total", "size", "start_page", "requests"),
    [
        (25, 10, 1, [(1, 10, "", 1), (2, 10, "", 2), (3, 10, "", 3)]),
        (5, 10, 1, [(1, 10, "", 1), (2, 5, "check", 2)]),
        (30, 20, 2, [(2, 20, "", 2), (3, 20, "check", 3)]),
        (50, 20, 3, [(3, 20, "", 3), (4, 20, "check", 4)]),
    ],
)
def test_a_check_is_known_as_one(
    total: int, size: int, start_page: int, requests: list[tuple[int, int, str, int]]
) -> None:
    """A server may answer it with 404, which ends the list; any other error names the page where the walk goes on."""
    assert walk(honest(total), size, start_page=start_page).requests == requests


def test_a_cap_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """The user learns, once, that pages are smaller than asked for."""
    sizes = ServerTraits()
    walk(capped(120, 50), 100, sizes=sizes)
    walk(capped(120, 50), 100, sizes=sizes)
    assert caplog.messages == ["the server caps pageSize=100 to 50: continuing with pages of 50"]


def test_the_check_is_made_once_for_the_same_list() -> None:
    """A list of fifty chats is checked in the first walk only; when others are on it, it is checked again."""
    sizes = ServerTraits()
    ids = list(range(50))

    def server(page: int, size: int) -> Sequence[int]:
        return ids[(page - 1) * size : page * size]

    assert walk(server, 100, sizes=sizes).asked == [(1, 100), (2, 50)]
    ids.reverse()
    assert walk(server, 100, sizes=sizes).asked == [(1, 100)]
    ids[0] = 99
    assert walk(server, 100, sizes=sizes).asked == [(1, 100), (2, 50)]


def test_a_full_page_clears_its_size() -> None:
    """Once a page of 100 has come back full, a short page of 50 is the end."""
    sizes = ServerTraits()
    walk(honest(100), 100, sizes=sizes)
    assert walk(honest(50), 100, sizes=sizes).asked == [(1, 100)]
    assert walk(honest(50), 60, sizes=sizes).asked == [(1, 60)]
    assert walk(honest(50), 101, sizes=sizes).asked == [(1, 101), (2, 50)]


def test_a_list_that_moves_during_the_check_is_no_cap() -> None:
    """A new chat pushes a known one to the checked page: page 1 has grown, so there is no cap; nothing is repeated."""
    lists = iter([list(range(50)), [99, *range(50)], [99, *range(50)]])

    def server(page: int, size: int) -> Sequence[int]:
        return next(lists)[(page - 1) * size : page * size]

    assert walk(server, 100).chats == list(range(50))


def test_a_capped_list_that_moves_during_the_check_is_seen() -> None:
    """The one chat behind the cap jumps: the checked page shows one that is known, but page 1 has not grown."""
    ids = list(range(51))
    asked = 0

    def server(page: int, size: int) -> Sequence[int]:
        nonlocal asked
        asked += 1
        if asked == 2:
            ids.insert(0, ids.pop())
        return ids[(page - 1) * min(size, 50) : page * min(size, 50)]

    walked = walk(server, 100)
    assert walked.requests == [(1, 100, "", 1), (2, 50, "check", 2), (1, 100, "check", 2)]
    assert walked.chats == [*range(50), 49]


def test_a_short_page_of_a_server_that_ignores_page_is_found_out(caplog: pytest.LogCaptureFixture) -> None:
    """The checked page is full and the same: that is no end, nor a cap, and the far page shows it."""
    with pytest.raises(PageRepeatedError):
        walk(lambda _page, size: honest(500)(1, min(size, 50)), 100)
    assert not caplog.messages


def test_a_filtering_server_is_not_taken_for_a_capping_one() -> None:
    """It sends fewer chats still when asked for fewer, and the walk to an empty page stays in its size."""

    def filtering(page: int, size: int) -> Sequence[int]:
        return [i for i in honest(100)(page, size) if i % 4 != 3]

    walked = walk(filtering, 40, stop_on="empty")
    assert walked.chats == [i for i in range(100) if i % 4 != 3]
    checks = [(2, 30, "check", 2), (1, 30, "check", 2)]
    assert walked.requests == [(1, 40, "", 1), *checks, *((number, 40, "", number) for number in (2, 3, 4))]


def test_a_server_that_ignores_page_is_found_out() -> None:
    """A repeated page, then a far one with chats: an error that says so, after one page of chats."""
    walked = Walked()
    with pytest.raises(PageRepeatedError, match="page 2 repeats an earlier page") as caught:
        walk(lambda _, size: range(size), 10, walked=walked)
    assert (caught.value.page, caught.value.page_size) == (2, 10)
    assert walked.chats == list(range(10))
    assert walked.requests == [(1, 10, "", 1), (2, 10, "", 2), (2 + FAR_PAGES, 10, "far", 2)]


def test_a_cycle_of_pages_is_found_out() -> None:
    """A server that goes round in three pages is asked four times, and once far away."""
    walked = Walked()
    with pytest.raises(PageRepeatedError):
        walk(lambda page, size: honest(30)((page - 1) % 3 + 1, size), 10, walked=walked)
    assert walked.chats == list(range(30))
    assert walked.asked[-1] == (4 + FAR_PAGES, 10)


@pytest.mark.parametrize("total", [31, 251, 997])
def test_a_list_that_goes_round_is_found_out_on_its_second_round(total: int) -> None:
    """Also where its length is no multiple of the page size, so that no page is ever the same."""
    walked = Walked()
    with pytest.raises(PageRepeatedError):
        walk(lambda page, size: [i % total for i in range((page - 1) * size, page * size)], 10, walked=walked)
    assert len(walked.chats) < total + 10


@pytest.mark.parametrize("past_end", [1, 3])
def test_a_page_served_again_past_the_end_is_found_out(past_end: int) -> None:
    """An exact multiple of the page size, then the first or the last page again."""
    with pytest.raises(PageRepeatedError):
        walk(lambda page, size: honest(30)(page if page <= 3 else past_end, size), 10)


def test_a_short_page_served_again_is_found_out_when_walking_to_an_empty_one() -> None:
    """stop_on="empty" does not go on for ever, either."""
    walked = Walked()
    with pytest.raises(PageRepeatedError):
        walk(lambda page, size: honest(25)(min(page, 3), size), 10, stop_on="empty", walked=walked)
    assert walked.chats == list(range(25))


def test_an_honest_repetition_is_cleared_by_one_request() -> None:
    """With small pages a busy list repeats honestly: asked once, the far page is empty, and the walk goes on."""
    served = {1: [1], 2: [1], 3: [2], 4: [2], 5: []}
    walked = walk(lambda page, _: served.get(page, []), 1)
    assert walked.chats == [1, 1, 2, 2]
    assert walked.asked == [(1, 1), (2, 1), (2 + FAR_PAGES, 1), (3, 1), (4, 1), (5, 1)]


def test_max_pages_is_the_last_resort() -> None:
    """A list that never ends is an error that says where to go on; one that ends there is none."""
    walked = Walked()
    with pytest.raises(PageLimitError, match="max_pages=3") as caught:
        walk(lambda page, size: range(page * size, page * size + size), 10, max_pages=3, start_page=5, walked=walked)
    assert (caught.value.page, caught.value.page_size) == (8, 10)
    assert len(walked.chats) == 30
    assert walk(honest(25), 10, max_pages=3).chats == list(range(25))


def test_max_pages_holds_for_a_capped_list() -> None:
    """The page that showed the cap is not delivered beyond the limit."""
    walked = Walked()
    with pytest.raises(PageLimitError):
        walk(capped(120, 50), 100, max_pages=1, walked=walked)
    assert walked.chats == list(range(50))


def test_more_chats_than_asked_for_are_delivered() -> None:
    """A server that sends what it likes is read to its end."""
    assert walk(lambda page, _: honest(250)(page, 100), 10).chats == list(range(250))


def test_the_same_chat_twice_on_a_page_is_delivered_twice() -> None:
    """The vendor's own example shows it; `plain` gives every item as it comes."""
    assert walk(lambda page, _: [7, 7] if page == 1 else [], 5).chats == [7, 7]


@given(st.data())
def test_plain_loses_chats_while_the_list_moves(data: st.DataObject) -> None:
    """What other consistencies are for: after a bump of an unread chat, plain repeats one and misses the bumped one."""
    total, size = data.draw(st.integers(5, 40)), data.draw(st.integers(2, 4))
    ids = list(range(total))

    def server(page: int, asked: int) -> Sequence[int]:
        if page == 2 and ids[0] == 0:
            ids.insert(0, ids.pop())
        return ids[(page - 1) * asked : page * asked]

    walked = walk(server, size)
    assert total - 1 not in walked.chats
    assert walked.chats.count(size - 1) == 2


def test_a_server_that_refuses_deep_pages_is_found_out_nearer() -> None:
    """Its far page is empty, but it goes round all the same."""
    walked = Walked()
    with pytest.raises(PageRepeatedError):
        walk(lambda page, size: range(size) if page < 10_000 else [], 10, walked=walked)
    assert walked.asked[2] == (2 + FAR_PAGES, 10)
    assert walked.asked[-1] == (17 + 1000, 10)


def test_page_one_served_again_past_the_end_is_no_cap() -> None:
    """A walk that begins in the middle ends at its short page."""
    assert walk(lambda page, size: honest(50)(page if page <= 3 else 1, size), 20, start_page=3).chats == [
        *range(40, 50)
    ]
