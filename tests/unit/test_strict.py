"""`strict`: what joins two windows, and what a scan of them proves."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from attrs import evolve

from plugchat_async import (
    Chat,
    Page,
    PageLimitError,
    PageRepeatedError,
    ServerError,
    ServerTraits,
    UnexpectedStatusError,
)
from plugchat_async._pagination.anchors import is_anchored, tail_of
from plugchat_async._pagination.order import is_sorted, safe_newest
from plugchat_async._pagination.server_traits import ListMemory
from plugchat_async._pagination.walk_state import WindowState
from plugchat_async._pagination.walk_steps import ordered_keys
from support.gateway_list import GatewayList, Script, Server, has_missed, make_rows
from support.moving import EPOCH, MovingList, Read, moving, page_of, walk_over

# Names and times of rows.
Rows = list[tuple[str, int | None]]


def known() -> ServerTraits:
    """A server that is known to have nothing behind a short page."""
    return ServerTraits(longest_page=1000, short_pages="end", past_end="empty")


def time_of(seconds: int) -> datetime:
    return EPOCH + timedelta(seconds=seconds)


def serving(rows: Rows) -> Read:
    return lambda number, size: page_of(number, size, rows[(number - 1) * size : number * size])


# Anchors.


def behind(page: Page, oldest: datetime | None = None) -> WindowState:
    """What is known of a window that was read."""
    return WindowState(last_rows=list(zip(ordered_keys(page), page.chats, strict=False)), oldest=oldest)


@pytest.mark.parametrize(
    ("tail", "window", "oldest", "anchored"),
    [
        pytest.param([("a", 9), ("b", 8)], [("a", 9), ("b", 8), ("c", 7)], 8, True, id="a row newer than the last one"),
        pytest.param([("a", 9), ("b", 8)], [("b", 8), ("c", 7)], 8, False, id="the last time may have ties"),
        pytest.param([("a", 9), ("b", 8)], [("a", 10), ("c", 7)], 8, False, id="a row that got a message"),
        pytest.param([("a", None), ("b", None)], [("a", None), ("b", None)], None, True, id="two rows without a time"),
        pytest.param([("a", None), ("b", None)], [("b", None), ("c", None)], None, False, id="one row without a time"),
        pytest.param([("a", None), ("b", None)], [("b", None), ("a", None)], None, False, id="in another order"),
        pytest.param([("a", 9), ("b", None)], [("a", 9), ("b", None)], None, True, id="no time at the end of a page"),
        pytest.param([("a", 9)], [("c", 7), ("d", 6)], 9, False, id="nothing in common"),
        pytest.param([], [("a", 9)], 9, False, id="no row of the window before is known"),
        pytest.param(
            [("a", None), ("x", None), ("a", None), ("y", None)],
            [("a", None), ("x", None), ("a", None), ("y", None), ("z", None)],
            None,
            True,
            id="between several rows of one key, which tell nothing",
        ),
        pytest.param(
            [("a", None), ("a", None), ("x", None)],
            [("a", None), ("a", None), ("x", None)],
            None,
            False,
            id="several rows of one key are no row that has not moved",
        ),
        pytest.param(
            [("a", None), ("x", None)],
            [("a", None), ("x", None), ("a", None)],
            None,
            False,
            id="a second row of the key is in the window only",
        ),
    ],
)
def test_anchors(tail: Rows, window: Rows, oldest: int | None, anchored: bool) -> None:
    """A row in common holds for all chats behind it if it can't have moved, and no other one can be meant."""
    page = page_of(1, 10, window)
    before = page_of(1, 10, tail)
    windows = behind(before, None if oldest is None else time_of(oldest))
    assert is_anchored(windows, ordered_keys(page), page) == anchored
    resumed = WindowState(tail=tail_of(windows), oldest=windows.oldest)
    assert is_anchored(resumed, ordered_keys(page), page) == anchored


def test_rows_of_one_key_are_told_apart_by_what_they_hold() -> None:
    """The first window ends with other rows of the persons that the second one has further down: those say nothing."""
    names = ("A", "B", "C")
    persons = [Chat(None, "Ana", lid=f"{name}@lid") for name in names]
    others = [Chat(None, "Bia", lid=f"{name}@lid") for name in reversed(names)]
    shared = [Chat(f"{number}") for number in range(4)]
    before, after = Page(1, 7, (*persons, *shared), b""), Page(2, 7, (*shared, *others), b"")
    rows = behind(before)
    assert is_anchored(rows, ordered_keys(after), after)
    alone = Page(2, 7, tuple(others), b"")
    assert not is_anchored(rows, ordered_keys(alone), alone)
    changed = Page(2, 7, tuple(evolve(chat, unread=1) for chat in shared), b"")
    assert not is_anchored(rows, ordered_keys(changed), changed)


def test_rows_that_can_not_be_read_are_no_anchors() -> None:
    """They have keys, but no times."""
    page = Page(1, 3, (Chat("a"),), b"", unreadable_keys=("?1", "?2"))
    assert not is_anchored(WindowState(tail=[("?1", None), ("?2", None)]), ordered_keys(page), page)


# The order of times.


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ([5], 5),
        ([5, 4, 3], 3),
        ([9, 8, 7, 6, 5], 6),
        ([6, 9, 8, 7, 5], 6),
        (list(range(19, 0, -1)), 16),
        (list(range(20, 0, -1)), 11),
        (list(range(100, 0, -1)), 91),
    ],
)
def test_a_safe_time_is_not_the_newest(times: list[int], expected: int) -> None:
    """Three chats may be dated ahead of now, on a page of twenty or more nine; they stay above new messages."""
    assert safe_newest([time_of(time) for time in times]) == time_of(expected)


@pytest.mark.parametrize(
    ("number", "times", "expected"),
    [
        (1, [3, 2, 1], True),
        (1, [1, 9, 8], True),
        (1, [1, 2, 1, 9, 8], True),
        (1, [1, 2, 1, 0, 9, 8], False),
        (1, [1, 2], True),
        (2, [1, 9, 8], False),
        (2, [9, 9, 8], True),
    ],
)
def test_three_chats_may_be_pinned_on_page_1(number: int, times: list[int], expected: bool) -> None:
    """Behind them, and on other pages, the newest one is first."""
    assert is_sorted(number, [time_of(time) for time in times]) == expected


# A whole answer.


def test_a_list_of_one_page_is_one_request() -> None:
    """Of a server that is known; ties, rows without a time and the order do not matter."""
    rows: Rows = [("a", 1), ("b", None), ("c", 9), ("d", 1), ("e", None)]
    walked = walk_over(serving(rows), 2, "strict", max_page_size=1000, traits=known())
    assert (walked.asked, walked.stats.verified) == ([(1, 1000)], True)
    assert sorted(walked.got) == ["a", "b", "c", "d", "e"]


def test_a_new_server_costs_two_more() -> None:
    """One that shows that nothing follows, and the page once more: chats may have been deleted during that."""
    traits = ServerTraits()
    for asked in ([(1, 1000), (2, 19), (1, 1000)], [(1, 1000)]):
        walked = walk_over(MovingList(20).page, 5, "strict", max_page_size=1000, traits=traits, memory=ListMemory())
        assert (walked.asked, walked.stats.verified) == (asked, True)
        traits = walked.traits
        traits.longest_page = 1000


def test_a_list_that_was_read_before_is_known_by_its_chats() -> None:
    """Though no page of its server was ever longer."""
    traits, memory = ServerTraits(), ListMemory()
    for asked in (3, 1):
        walked = walk_over(MovingList(20).page, 5, "strict", max_page_size=1000, traits=traits, memory=memory)
        assert (len(walked.asked), walked.stats.verified) == (asked, True)


def test_a_list_that_moves_during_the_check_is_read_until_it_is_the_same_twice() -> None:
    """Each answer is of one instant, but what a cap hid in one may be deleted before the next."""
    listed = MovingList(20)
    walked = walk_over(moving(listed, [(2, ("insert", 0))]), 5, "strict", max_page_size=1000)
    assert walked.asked == [(1, 1000), (2, 19), (1, 1000), (2, 20), (1, 1000)]
    assert walked.stats.verified
    assert sorted(walked.got) == sorted([*map(str, range(20)), "new1"])


def test_a_chat_that_is_deleted_during_the_check() -> None:
    """The list is shorter than the longest page by then, so it is not cut: two checks more, not two scans."""
    listed = MovingList(11)
    walked = walk_over(moving(listed, [(1, ("delete", 10))]), 3, "strict", max_page_size=1000)
    assert walked.stats.verified
    assert walked.asked == [(1, 1000), (2, 10), (1, 1000), (2, 1000), (1, 1000), (1, 1000)]


@pytest.mark.parametrize("changed", [{"name": "B"}, {"last_message_time": EPOCH}])
def test_a_chat_that_changes_between_two_equal_answers_is_no_other_one(changed: dict[str, Any]) -> None:
    """It got another name, or its last message was deleted: both answers had all chats, so there is no other row."""
    row = Chat("1", "A", last_message_time=time_of(9))
    answers = 0

    def read(number: int, size: int) -> Page:
        nonlocal answers
        answers += 1
        last = row if answers < 3 else evolve(row, **changed)
        rows = [Chat("2", last_message_time=time_of(10)), Chat("3", last_message_time=time_of(10)), last]
        return Page(number, size, tuple(rows[(number - 1) * size : number * size]), b"")

    walked = walk_over(read, 3, "strict", max_page_size=1000)
    assert len(walked.asked) == 3
    assert walked.stats.verified
    assert walked.got == ["2", "3", "1"]


def test_a_list_that_never_is_the_same_twice_is_read_in_windows() -> None:
    """Each answer has a chat more."""
    listed = MovingList(20)
    script = [(request, ("insert", 0)) for request in range(1, 100)]
    walked = walk_over(moving(listed, script), 5, "strict", max_page_size=1000)
    assert walked.twice == 0
    assert listed.there <= set(walked.got)


@pytest.mark.parametrize("refused", [False, True])
def test_a_page_that_is_too_large_for_the_server(refused: bool) -> None:
    """Windows of page_size follow; a refusal is remembered, a failure is not."""

    def read(number: int, size: int) -> Page:
        if size > 100:
            raise UnexpectedStatusError("HTTP 404", status=404) if refused else ServerError("HTTP 500")
        return MovingList(20).page(number, size)

    walked = walk_over(read, 10, "strict", max_page_size=1000, traits=known())
    assert walked.asked[:2] == [(1, 1000), (1, 10)]
    assert walked.stats.verified
    assert walked.traits.refused_page_size == (1000 if refused else None)
    again = walk_over(read, 10, "strict", max_page_size=1000, traits=walked.traits)
    assert (again.asked[0] == (1, 1000)) != refused


def test_a_short_list_that_was_longer_is_looked_at_again() -> None:
    """An answer may have only a part of the list for a moment."""
    memory = ListMemory(length=20)
    answers = iter([5, 20])

    def read(number: int, size: int) -> Page:
        page = MovingList(20).page(number, size)
        return Page(number, size, page.chats[: next(answers, 20)], b"")

    walked = walk_over(read, 5, "strict", max_page_size=1000, traits=known(), memory=memory)
    assert walked.asked == [(1, 1000), (1, 1000)]
    assert len(walked.got) == 20
    assert walked.stats.verified
    assert memory.length == 20


def test_an_unknown_end_proves_nothing() -> None:
    """The check of the cap has failed."""

    def read(number: int, size: int) -> Page:
        if (number, size) == (2, 19):
            raise ServerError("down")
        return MovingList(20).page(number, size)

    walked = walk_over(read, 5, "strict", max_page_size=1000)
    assert not walked.stats.verified
    assert walked.stats.reason.startswith("a short page is not known to be the end")
    assert len(walked.got) == 20


# Windows.


def test_a_longer_list_is_read_twice() -> None:
    """In windows that overlap, and page 1 at the end."""
    walked = walk_over(MovingList(30).page, 10, "strict", traits=known())
    assert walked.asked == 2 * [(1, 10), (2, 8), (3, 7), (3, 9), (4, 8)] + [(1, 10)]
    assert walked.stats.verified
    assert walked.got == [str(name) for name in range(30)]


def test_persons_in_several_rows_do_not_keep_windows_apart() -> None:
    """The gateway has several rows of one person, of which most have no time."""
    rows: Rows = [(str(i), -i) for i in range(10)]
    rows += [(str(100 + i - i % 3), None) for i in range(30)]
    chats = [
        Chat(name, f"row {place}", last_message_time=None if time is None else time_of(time))
        for place, (name, time) in enumerate(rows)
    ]

    def read(number: int, size: int) -> Page:
        return Page(number, size, tuple(chats[(number - 1) * size : number * size]), b"")

    walked = walk_over(read, 20, "strict", traits=known())
    got = [chat for page in walked.pages for chat in page.chats]
    assert len(set(got)) == len(got)


def test_max_pages_counts_windows() -> None:
    """The checkpoint begins behind what was yielded."""
    with pytest.raises(PageLimitError, match="max_pages=2"):
        walk_over(MovingList(60).page, 10, "strict", traits=known(), max_pages=2)


def test_a_server_that_ignores_page_is_found_out_in_windows() -> None:
    """The far page has the same chats."""

    def read(number: int, size: int) -> Page:
        return Page(number, size, MovingList(60).page(1, size).chats, b"")

    with pytest.raises(PageRepeatedError, match="repeats an earlier page"):
        walk_over(read, 10, "strict", traits=known())


def test_the_last_page_again_past_the_end_is_no_server_that_ignores_page() -> None:
    """Though the last page begins with the chat that was the first one on page 1, before others jumped over it."""
    server = Server(past_end="last")
    traits = ServerTraits()
    walk_over(GatewayList(make_rows(130), server).page, 20, "exact", max_page_size=1000, traits=traits)
    listed = GatewayList(make_rows(7), server)
    script: Script = [(1, ("burst", 0)), (7, ("burst", 3)), (7, ("insert", 0))]
    walked = walk_over(listed.play(script), 3, "strict", traits=traits)
    assert not has_missed(walked, listed)


def test_a_list_that_is_gone_in_the_middle_proves_nothing() -> None:
    """Page 1 is empty when it is read again."""
    requests = 0

    def read(number: int, size: int) -> Page:
        nonlocal requests
        requests += 1
        return MovingList(30 if requests <= 6 else 0).page(number, size)

    walked = walk_over(read, 10, "strict", traits=known(), connected=True)
    assert not walked.stats.verified
    assert len(walked.got) == 30


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ([(str(i), i) for i in range(30)], "the list is not sorted by time"),
        ([(str(i), 0) for i in range(200)], "too many chats have the same time for pages to overlap"),
    ],
)
def test_lists_that_windows_prove_nothing_for(rows: Rows, reason: str) -> None:
    """The passes of `exact` read them all the same."""
    walked = walk_over(serving(rows), 10, "strict", traits=known())
    assert walked.stats.reason == reason
    assert not walked.stats.verified
    assert sorted(walked.got) == sorted(name for name, _ in rows)


def test_more_chats_than_requested_prove_nothing() -> None:
    """The pages are others than those that were meant."""

    def read(number: int, size: int) -> Page:
        page = MovingList(60).page(number, 20)
        return Page(number, size, page.chats, b"")

    walked = walk_over(read, 10, "strict", traits=known())
    assert walked.stats.reason == "the server does not honour every pageSize"


def test_hidden_rows_prove_nothing() -> None:
    """A server that is known for them is not asked for windows, one that is new is found out at its first short one."""

    def read(number: int, size: int) -> Page:
        page = MovingList(60).page(number, size)
        return Page(number, size, tuple(chat for chat in page.chats if chat.id != "15"), b"")

    traits = ServerTraits()
    for _ in range(2):
        walked = walk_over(read, 10, "strict", traits=traits)
        assert walked.stats.reason == "the server sends short pages in the middle of the list"
        assert not walked.stats.verified
        assert len(walked.got) == 59
        assert traits.short_pages == "anywhere"


def test_hidden_rows_behind_a_tiny_page_prove_nothing() -> None:
    """Page 2 shows them, but it is not the one from which windows could begin."""
    listed = GatewayList(make_rows(8))
    for row in listed.rows[1::4]:
        row.hidden = True
        listed.there.discard(row.name)
    walked = walk_over(listed.page, 2, "strict", max_page_size=2)
    assert walked.stats.reason == "the server sends short pages in the middle of the list"
    assert not has_missed(walked, listed)


def test_a_walk_to_an_empty_page_is_not_proven() -> None:
    """A short window is no end for it."""
    walked = walk_over(MovingList(30).page, 10, "strict", stop_on="empty", traits=known())
    assert walked.stats.reason.startswith('stop_on="empty" does not accept a short page')
    assert len(walked.got) == 30


def test_a_list_that_grows_at_its_end_is_never_settled() -> None:
    """As of a phone that is syncing its history: each scan finds chats that got no message since."""
    length = 30

    def read(number: int, size: int) -> Page:
        nonlocal length
        length += 1
        return MovingList(length).page(number, size)

    walked = walk_over(read, 10, "strict", traits=known())
    assert not walked.stats.verified
    assert walked.stats.reason.startswith("the list moved too fast")
    assert walked.twice == 0


def test_a_second_row_of_a_person_is_confirmed_by_the_second_scan() -> None:
    """It is yielded then, though no answer has both."""
    chats = [*MovingList(30).page(1, 30).chats]
    chats[25] = Chat("3", "another row")

    def read(number: int, size: int) -> Page:
        return Page(number, size, tuple(chats[(number - 1) * size : number * size]), b"")

    walked = walk_over(read, 10, "strict", traits=known())
    assert {chat for page in walked.pages for chat in page.chats} == set(chats)
    assert len(walked.got) == 30


def test_more_new_chats_of_one_time_than_page_1_shows() -> None:
    """What is behind them may have moved, too."""
    requests = 0
    before: Rows = [(str(i), -i) for i in range(30)]
    after: Rows = [*((f"new{i}", -3) for i in range(20)), *before[4:]]

    def read(number: int, size: int) -> Page:
        nonlocal requests
        requests += 1
        rows = before if requests <= 10 else after
        return page_of(number, size, rows[(number - 1) * size : number * size])

    walked = walk_over(read, 10, "strict", traits=known())
    assert walked.stats.reason == "more chats have the newest time than page 1 shows"
    assert {name for name, _ in after} <= set(walked.got)


def test_a_window_that_is_short_for_a_moment_is_no_end() -> None:
    """The page behind it has chats, and it is longer when it is read again."""
    requests = 0

    def read(number: int, size: int) -> Page:
        nonlocal requests
        requests += 1
        return Page(number, size, MovingList(30).page(number, size).chats[: 4 if requests == 3 else None], b"")

    walked = walk_over(read, 10, "strict", traits=ServerTraits(longest_page=10))
    assert walked.traits.short_pages == "end"
    assert len(walked.got) == 30
    assert walked.stats.verified


def test_a_server_with_a_page_again_past_the_end_may_not_honour_sizes() -> None:
    """A short window of another size is compared with pages of the size that it knows: they never end."""

    def read(number: int, size: int) -> Page:
        rows = MovingList(10).page(number, size)
        return rows if rows.chats else Page(number, size, MovingList(10).page(1, size).chats, b"")

    walked = walk_over(read, 10, "strict", traits=known())
    assert walked.stats.reason == "the server does not honour every pageSize"
    assert len(walked.got) == 10


def test_windows_that_are_cut_to_the_cap_are_no_end() -> None:
    """A larger window than the cap looks short; the next one begins before its end."""

    def read(number: int, size: int) -> Page:
        return Page(number, size, MovingList(60).page(number, min(size, 5)).chats, b"")

    traits = ServerTraits(max_page_size=5, longest_page=5, short_pages="end")
    walked = walk_over(read, 20, "strict", traits=traits)
    assert len(walked.got) == 60
    assert walked.twice == 0


def test_a_long_list_without_times_is_read_twice() -> None:
    """Nobody has got a message, so nobody has jumped: no page 1 is needed at the end."""
    walked = walk_over(
        lambda n, size: page_of(n, size, [(str(i), None) for i in range(25)][(n - 1) * size : n * size]), 10, "strict"
    )
    assert walked.stats.verified
    assert walked.stats.passes == 3  # the first page, and two scans
    assert sorted(walked.got, key=int) == [str(number) for number in range(25)]


def test_rows_of_a_person_whose_first_row_is_deleted() -> None:
    """Both are older than the one that was yielded, and have other names: neither is that one."""
    last, left = (
        [Chat("1", name, last_message_time=EPOCH - timedelta(seconds=age)) for name, age in (("b", 1), ("c", 2))],
        1,
    )

    def read(number: int, size: int) -> Page:
        nonlocal left
        rows = [Chat("1", "a", last_message_time=EPOCH), *last] if left else last
        left = 0
        return Page(number, size, tuple(rows[(number - 1) * size : number * size]), b"")

    walked = walk_over(read, 1, "strict")
    assert sorted(chat.name or "" for page in walked.pages for chat in page.chats) == ["a", "b", "c"]
