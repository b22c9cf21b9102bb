"""Reading pages in order: which are asked for, what `plain` yields, and where `max_pages` ends it."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugchat_async import PageLimitError, ServerTraits
from support.moving import Walked, begun, walk_over
from support.servers import Ids, answering, capped, hiding, honest


def ids(walked: Walked) -> list[int]:
    return [int(name) for name in walked.got]


def known() -> ServerTraits:
    return ServerTraits(longest_page=1000, short_pages="end", past_end="empty")


def plain(server: Ids, size: int, *, max_pages: int = 1000, start_page: int = 1) -> Walked:
    walk = begun(size, "plain", start_page=start_page, traits=known())
    return walk.run(answering(server), max_pages=max_pages)


@given(st.integers(0, 200), st.integers(1, 50))
def test_an_honest_list_is_read_once_in_order(total: int, size: int) -> None:
    """Pages 1, 2, … until one is short, and no request but for those. An empty list is asked for twice."""
    walked = plain(honest(total), size)
    assert ids(walked) == list(range(total))
    pages = total // size + 1
    assert walked.asked == [(number, size) for number in range(1, pages + 1)] + ([] if total else [(1, size)])


@given(st.integers(1, 100), st.integers(1, 20))
def test_stop_on_empty_asks_until_a_page_is_empty(total: int, size: int) -> None:
    """A short page is followed by one more request."""
    walked = walk_over(answering(honest(total)), size, "plain", stop_on="empty", traits=known())
    assert ids(walked) == list(range(total))
    assert walked.asked == [(number, size) for number in range(1, -(-total // size) + 2)]


def test_stop_on_empty_goes_past_short_pages() -> None:
    """A server that filters after paging sends short pages in the middle."""
    server = answering(hiding(10, range(0, 10, 2)))
    assert ids(walk_over(server, 4, "plain", traits=known())) == [1, 3]
    assert ids(walk_over(server, 4, "plain", stop_on="empty", traits=known())) == [1, 3, 5, 7, 9]


def test_a_walk_begins_where_it_is_told() -> None:
    """start_page=3 asks for page 3 first."""
    walked = plain(honest(45), 10, start_page=3)
    assert ids(walked) == list(range(20, 45))
    assert walked.asked == [(3, 10), (4, 10), (5, 10)]


def test_max_pages_is_the_last_resort() -> None:
    """A list that never ends is an error that says where to go on; one that ends there is none."""
    walk = begun(10, "plain", start_page=5, traits=known())
    with pytest.raises(PageLimitError, match="max_pages=3") as caught:
        walk.run(answering(lambda page, size: range(page * size, page * size + size)), max_pages=3)
    assert (caught.value.page, caught.value.page_size) == (8, 10)
    assert len(walk.got) == 30
    assert ids(plain(honest(25), 10, max_pages=3)) == list(range(25))


def test_max_pages_holds_for_a_capped_list() -> None:
    """The page that showed the cap is not delivered beyond the limit; checks are not counted."""
    walk = begun(100, "plain")
    with pytest.raises(PageLimitError):
        walk.run(answering(capped(120, 50)), max_pages=1)
    assert ids(walk) == list(range(50))


def test_more_chats_than_asked_for_are_delivered() -> None:
    """A server that sends what it likes is read to its end."""
    assert ids(plain(lambda page, _: honest(250)(page, 100), 10)) == list(range(250))


def test_the_same_chat_twice_on_a_page_is_delivered_twice() -> None:
    """The vendor's own example shows it; `plain` gives every row as it comes."""
    assert ids(plain(lambda page, _: [7, 7] if page == 1 else [], 5)) == [7, 7]


@given(st.data())
def test_plain_loses_chats_while_the_list_moves(data: st.DataObject) -> None:
    """What other consistencies are for: after a bump of an unread chat, plain repeats one and misses the bumped one."""
    total, size = data.draw(st.integers(5, 40)), data.draw(st.integers(2, 4))
    listed = list(range(total))

    def server(page: int, asked: int) -> Sequence[int]:
        if page == 2 and listed[0] == 0:
            listed.insert(0, listed.pop())
        return listed[(page - 1) * asked : page * asked]

    walked = plain(server, size)
    assert total - 1 not in ids(walked)
    assert ids(walked).count(size - 1) == 2
    assert walked.stats.reason == 'consistency="plain" proves nothing'
