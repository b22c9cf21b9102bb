"""`exact`: what its count proves, and how few requests that takes."""

from random import Random

import pytest

from plugchat_async import Chat, Page, ServerTraits
from plugchat_async._pagination.server_traits import ListMemory
from support.moving import EPOCH, MovingList, moving, page_of, walk_over
from support.servers import capped, in_turn


def known() -> ServerTraits:
    """A server that is known to have nothing behind a short page."""
    return ServerTraits(longest_page=10, short_pages="end", past_end="empty")


@pytest.mark.parametrize(
    ("chats", "ahead", "requests"),
    [(0, 0, 2), (5, 0, 1), (5, 4, 1), (15, 0, 2), (15, 4, 2), (25, 0, 3), (25, 4, 4), (35, 4, 7)],
)
def test_a_quiet_list_of_a_known_server(chats: int, ahead: int, requests: int) -> None:
    """It costs its pages, and with prefetch a whole answer behind the third page. An empty list is asked for again."""
    walked = walk_over(
        MovingList(chats).page, 10, "exact", ahead=ahead, max_page_size=1000, traits=known(), connected=True
    )
    assert walked.stats.verified
    assert len(walked.got) == chats
    assert len(walked.asked) == requests


@pytest.mark.parametrize("chats", [38, 39, 40, 41, 50, 60, 99, 100])
@pytest.mark.parametrize("max_page_size", [None, 20, 40])
def test_a_quiet_list_of_any_length_is_counted_with_prefetch(chats: int, max_page_size: int | None) -> None:
    """Also if its length is a multiple of the page size: the page that counts it is never an empty one."""
    walked = walk_over(MovingList(chats).page, 10, "exact", ahead=4, max_page_size=max_page_size, traits=known())
    assert walked.stats.verified
    assert len(walked.got) == chats
    assert len(walked.asked) <= chats // 10 + 1 + 4 + 2


@pytest.mark.parametrize("size", [1, 2, 3])
def test_tiny_pages_are_counted(size: int) -> None:
    """In a page that is larger than those, if need be."""
    walked = walk_over(MovingList(12).page, size, "exact", ahead=4, traits=known())
    assert walked.stats.verified


@pytest.mark.parametrize(("chats", "requests"), [(25, 4), (245, 27)])
def test_a_chat_that_jumps_costs_one_request(chats: int, requests: int) -> None:
    """A whole answer, or page 1 in the largest size and the page that counts."""
    listed = MovingList(chats)
    walked = walk_over(moving(listed, [(1, ("bump", chats - 1))]), 10, "exact", max_page_size=100, traits=known())
    assert walked.stats.verified
    assert listed.there == set(walked.got)
    assert len(walked.asked) == requests


def test_a_list_that_is_much_shorter_than_before_is_not_believed_at_once() -> None:
    """An answer may have had only a part of it. It is if another one says the same."""
    memory = ListMemory(length=60)
    walked = walk_over(MovingList(25).page, 10, "exact", max_page_size=1000, traits=known(), memory=memory)
    assert walked.stats.verified
    assert walked.asked[3:] == [(1, 1000)]
    assert memory.length == 25


def test_what_is_known_of_a_list_is_kept() -> None:
    """Its length; and its keys, if one page held it."""
    memory = ListMemory()
    walk_over(MovingList(25).page, 10, "exact", traits=known(), memory=memory)
    assert (memory.length, memory.keys) == (25, frozenset())
    walk_over(MovingList(2).page, 10, "exact", traits=known(), memory=ListMemory())
    walk_over(MovingList(5).page, 10, "exact", traits=known(), memory=memory)
    assert (memory.length, memory.keys) == (5, frozenset(f"{name}\n" for name in range(5)))


def test_a_list_that_becomes_empty_proves_nothing() -> None:
    """Chats were deleted, or the phone was lost for a moment."""
    requests = 0

    def read(number: int, size: int) -> Page:
        nonlocal requests
        requests += 1
        listed = MovingList(25)
        if requests == 2:
            listed.happen(("bump", 24))
        return (listed if requests <= 3 else MovingList(0)).page(number, size)

    walked = walk_over(read, 10, "exact", max_page_size=1000, traits=known(), connected=True)
    assert not walked.stats.verified
    assert walked.stats.reason.startswith("the list became shorter while it was read")


def test_a_server_that_sends_more_than_requested_proves_nothing() -> None:
    """Its pages do not follow each other."""

    def read(number: int, size: int) -> Page:
        chats = MovingList(60).page(1, 60).chats[(number - 1) * size : (number - 1) * size + 2 * size]
        return Page(number, size, chats, b"")

    walked = walk_over(read, 10, "exact", traits=known())
    assert not walked.stats.verified
    assert walked.stats.reason == "pages had other lengths than requested"
    assert set(walked.got) == {str(name) for name in range(60)}


def test_a_count_by_a_window_that_is_cut_proves_nothing() -> None:
    """24 chats in pages of 4 end with a full one, so a larger page counts them; but that is cut, and begins earlier."""
    chats = [(str(place), -10 * place) for place in range(25)]
    answers = 0

    def read(number: int, size: int) -> Page:
        nonlocal answers
        answers += 1
        if answers == 6:
            chats.insert(9, ("24", -85))  # a late message: from the part that was not read to the one that was
            del chats[-1]
        cut = min(size, 4)
        return page_of(number, size, chats[(number - 1) * cut : number * cut])

    traits = ServerTraits(max_page_size=4, longest_page=4, short_pages="end", past_end="empty")
    walked = walk_over(read, 20, "exact", traits=traits)
    assert walked.stats.verified == (len(walked.got) == 25)


@pytest.mark.parametrize("seed", range(4))
def test_a_pass_ends_where_the_last_page_comes_again_in_another_order(seed: int) -> None:
    """Tied chats may stand in any order, so that no page past the end has quite the chats of another one."""
    random = Random(seed)

    def read(number: int, size: int) -> Page:
        names = [str(name) for name in range(129)]
        random.shuffle(names)
        last = min(number, -(-129 // size))
        return page_of(number, size, [(name, 0) for name in names[(last - 1) * size : last * size]])

    walked = walk_over(read, 100, "strict", max_page_size=100)
    assert not walked.stats.verified
    assert len(walked.asked) < 500


@pytest.mark.parametrize("chats", [35, 60])
@pytest.mark.parametrize("seed", range(12))
def test_a_chat_that_is_pushed_down_between_prefetched_pages_is_found(seed: int, chats: int) -> None:
    """Page 4 comes before page 3, and a chat that was on page 3 is on page 4 by then: it is older than any bound."""
    listed = MovingList(chats)
    read = moving(listed, [(3, ("insert", 0))])
    walked = walk_over(read, 10, "exact", ahead=1, order=Random(seed), traits=known())
    assert walked.stats.verified
    assert listed.there <= set(walked.got)


@pytest.mark.parametrize("rows", [25, 26])
def test_a_second_row_of_a_person_is_no_sign_of_hidden_rows(rows: int) -> None:
    """It comes with the whole answer, since it was taken for the first one; the list is as long as it was counted."""
    chats = [Chat("x", last_message_time=EPOCH), *MovingList(rows - 2).page(1, rows).chats, Chat("x", "another")]
    traits = ServerTraits()
    for _ in range(2):
        walked = walk_over(
            lambda number, size: Page(number, size, tuple(chats[(number - 1) * size : number * size]), b""),
            10,
            "exact",
            max_page_size=1000,
            traits=traits,
        )
        assert len(walked.got) == rows
        assert walked.stats.verified
        assert traits.short_pages == "end"
        assert len(walked.asked) <= 5


def test_hidden_rows_are_learned_from_a_whole_answer() -> None:
    """A page was short, and the list is longer than that."""
    chats = MovingList(40).page(1, 40).chats

    def read(number: int, size: int) -> Page:
        page = chats[(number - 1) * size : number * size]
        return Page(number, size, tuple(chat for chat in page if chat.id != "15"), b"")

    traits = ServerTraits(longest_page=10)
    walked = walk_over(read, 10, "exact", max_page_size=1000, traits=traits)
    assert len(walked.got) == 39
    assert traits.short_pages == "anywhere"


@pytest.mark.parametrize(
    ("times", "reason"),
    [
        (True, "the list moved, and is not sorted by time: so it is unknown which chats moved"),
        (False, "the list has more rows than chats were read, and reading it again finds no more"),
    ],
)
def test_a_list_that_hides_a_chat_by_moving_is_given_up(times: bool, reason: str) -> None:
    """One chat is always on another page than the one that is read."""
    rows: list[tuple[str, int | None]] = [(str(i), i if times else None) for i in range(40)]
    ghost = rows[15]

    def read(number: int, size: int) -> Page:
        if ghost in rows[(number - 1) * size : number * size]:
            rows.remove(ghost)
            rows.insert(0 if number > 1 else 39, ghost)
        return page_of(number, size, rows[(number - 1) * size : number * size])

    walked = walk_over(read, 10, "exact", traits=known())
    assert not walked.stats.verified
    assert walked.stats.reason == reason
    assert (len(walked.got), walked.twice) == (39, 0)


def test_chats_without_a_time_may_come_first() -> None:
    """Then nothing is known of the order, and nothing is needed if the list stands still."""
    rows: list[tuple[str, int | None]] = [(str(i), None if i < 12 else -i) for i in range(35)]
    walked = walk_over(
        lambda number, size: page_of(number, size, rows[(number - 1) * size : number * size]),
        10,
        "exact",
        traits=known(),
    )
    assert walked.stats.verified
    assert walked.asked == [(1, 10), (2, 10), (3, 10), (4, 10)]
    assert not walked.state.scan.ordered


def test_a_page_that_was_short_for_a_moment_is_no_sign_of_hidden_rows() -> None:
    """It is longer when it is read again."""
    whole = MovingList(40).page
    requests = 0

    def read(number: int, size: int) -> Page:
        nonlocal requests
        requests += 1
        return Page(number, size, whole(number, size).chats[: 5 if requests == 3 else None], b"")

    traits = ServerTraits(longest_page=10)
    walked = walk_over(read, 10, "exact", max_page_size=1000, traits=traits)
    assert walked.asked[:4] == [(1, 10), (2, 10), (3, 10), (1, 1000)]
    assert len(walked.got) == 40
    assert walked.stats.verified
    assert traits.short_pages == "end"


@pytest.mark.parametrize(("deleted", "believed"), [(3, True), (5, False)])
def test_a_list_that_has_become_shorter_is_believed_the_second_time(*, deleted: int, believed: bool) -> None:
    """Chats were deleted while it was read: two whole answers say the same. So many are not, in so short a time."""
    listed = MovingList(25)
    script = [(2, ("bump", 24)), *((3, ("delete", place)) for place in range(deleted))]
    walked = walk_over(moving(listed, script), 10, "exact", max_page_size=1000, traits=known())
    assert walked.asked[3] == (1, 1000)
    assert walked.asked[3:].count((1, 1000)) == 2
    assert walked.stats.verified == believed
    assert walked.stats.reason.startswith("" if believed else "the list became shorter")
    assert listed.there <= set(walked.got)


def test_a_whole_answer_as_long_as_the_pages_may_be_cut_to_their_size() -> None:
    """The server caps pages to just the size of the walk's, and the second one was empty for a moment."""
    served = capped(25, 10)
    walked = walk_over(in_turn(served, 0, served), 10, "exact", max_page_size=1000)
    assert len(walked.got) == 25
    assert walked.stats.verified
    assert walked.traits.max_page_size == 10
