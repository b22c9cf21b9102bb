"""What is known of a server and of a list: told, learned, saved and copied."""

from typing import Any

import pytest

from plugchat_async import InvalidTypeError, InvalidValueError, Page, PlugChatSession, ServerTraits, fetch_many
from plugchat_async._pagination.server_traits import (
    ListMemory,
    honours,
    may_be_cut,
    record_cap,
    record_end,
    record_hidden_rows,
    record_page,
    record_refused,
    size_up_to,
)
from support.moving import MovingList

ALL = ServerTraits(
    max_page_size=50,
    longest_page=50,
    refused_page_size=500,
    short_pages="anywhere",
    past_end="error",
    page_zero="first",
)


def page(length: int, size: int, number: int = 1) -> Page:
    return Page(number, size, MovingList(length).page(1, max(1, length)).chats, b"")


# As JSON.


@pytest.mark.parametrize("traits", [ALL, ServerTraits()])
def test_traits_are_saved_and_read(traits: ServerTraits) -> None:
    """All of them, as values that JSON has."""
    values = traits.to_dict()
    assert set(values) == {
        "max_page_size",
        "longest_page",
        "refused_page_size",
        "short_pages",
        "past_end",
        "page_zero",
    }
    assert ServerTraits.from_dict(values) == traits


def test_traits_of_other_versions_are_read() -> None:
    """Names that are unknown are ignored, names that are missing have their defaults."""
    assert ServerTraits.from_dict({"max_page_size": 50, "colour": "blue"}) == ServerTraits(max_page_size=50)
    assert ServerTraits.from_dict({}) == ServerTraits()


@pytest.mark.parametrize(
    "values",
    [
        {"max_page_size": "50"},
        {"longest_page": None},
        {"short_pages": "nowhere"},
        {"past_end": 5},
        {"page_zero": "last"},
        [("max_page_size",)],
        5,
    ],
)
def test_what_is_no_traits_is_refused(values: Any) -> None:
    """With an error that says what to pass."""
    with pytest.raises(InvalidValueError, match="these are not the traits of a server") as caught:
        ServerTraits.from_dict(values)
    assert "`ServerTraits.to_dict`" in caught.value.hint


def test_an_update_takes_what_is_not_known() -> None:
    """What is known stays; of the longest pages, the longer one counts."""
    traits = ServerTraits(short_pages="end", longest_page=100)
    traits.update(ALL)
    assert traits == ServerTraits(
        max_page_size=50,
        longest_page=100,
        refused_page_size=500,
        short_pages="end",
        past_end="error",
        page_zero="first",
    )
    before = traits.copy()
    traits.update(ServerTraits())
    assert traits == before
    traits.max_page_size = 5
    assert before.max_page_size == 50


# What walks record.


@pytest.mark.parametrize(
    ("length", "size", "longest", "cut"),
    [(50, 100, 0, True), (50, 100, 50, True), (50, 100, 51, False), (100, 100, 0, False), (0, 100, 0, True)],
)
def test_a_page_may_be_cut_if_none_was_longer(length: int, size: int, longest: int, cut: bool) -> None:
    """A full page is none that was cut."""
    assert may_be_cut(ServerTraits(longest_page=longest), page(length, size)) == cut


def test_the_longest_page_is_remembered() -> None:
    """A server that ignores pageSize may send more than were requested: that shows nothing about larger sizes."""
    traits = ServerTraits()
    for length, size, longest in ((5, 10, 5), (3, 10, 5), (10, 10, 10), (60, 20, 20)):
        record_page(traits, page(length, size))
        assert traits.longest_page == longest


def test_a_cap_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """And again if it is another one."""
    traits = ServerTraits()
    for length in (33, 33, 20):
        record_cap(traits, 100, length)
        assert traits.max_page_size == length
    assert caplog.messages == [
        "the server caps pageSize=100 to 33: continuing with pages of 33",
        "the server caps pageSize=100 to 20: continuing with pages of 20",
    ]
    assert vars(caplog.records[0])["plugchat_capped_to"] == 33


def test_hidden_rows_are_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """With the page that has shown them."""
    traits = ServerTraits()
    for _ in range(2):
        record_hidden_rows(traits, page(9, 10, 3))
    assert traits.short_pages == "anywhere"
    assert caplog.messages == [
        "page 3 has 9 of 10 chats, and is not the last one: walks go on to an empty page from now on"
    ]


def test_the_smallest_size_that_was_refused_is_remembered() -> None:
    """Larger ones are refused, too."""
    traits = ServerTraits()
    for size, smallest in ((1000, 1000), (2000, 1000), (500, 500)):
        record_refused(traits, size)
        assert traits.refused_page_size == smallest


@pytest.mark.parametrize(
    ("before", "refused", "after"),
    [
        (ServerTraits(), False, ServerTraits(short_pages="end")),
        (ServerTraits(), True, ServerTraits(short_pages="end", past_end="error")),
        (
            ServerTraits(short_pages="anywhere", past_end="repeated"),
            False,
            ServerTraits(short_pages="anywhere", past_end="repeated"),
        ),
        (ServerTraits(past_end="empty"), True, ServerTraits(short_pages="end", past_end="error")),
    ],
)
def test_an_end_is_remembered(before: ServerTraits, refused: bool, after: ServerTraits) -> None:
    """Rows that were hidden once may be hidden again, whatever one list shows."""
    record_end(before, refused=refused)
    assert before == after


@pytest.mark.parametrize(
    ("traits", "size", "up_to", "honoured"),
    [
        (ServerTraits(), 1000, 1000, True),
        (ServerTraits(max_page_size=50), 1000, 50, False),
        (ServerTraits(max_page_size=50), 50, 50, True),
        (ServerTraits(max_page_size=50), 20, 20, True),
        (ServerTraits(refused_page_size=500), 1000, 1000, False),
        (ServerTraits(refused_page_size=500), 500, 500, False),
        (ServerTraits(refused_page_size=500), 499, 499, True),
    ],
)
def test_sizes_that_a_server_honours(traits: ServerTraits, size: int, up_to: int, honoured: bool) -> None:
    """Nothing speaks against them: they are not cut, nor refused."""
    assert size_up_to(traits, size) == up_to
    assert honours(traits, size) == honoured


# Lists.


@pytest.mark.parametrize(
    ("before", "length", "shorter"),
    [
        (None, 0, False),
        (0, 0, False),
        (5, 2, False),
        (5, 1, True),
        (40, 36, False),
        (40, 35, True),
        (1000, 900, False),
        (1000, 899, True),
        (10, 20, False),
    ],
)
def test_more_chats_than_people_delete(before: int | None, length: int, shorter: bool) -> None:
    """More than three, and more than a tenth."""
    assert ListMemory(before).is_shorter(length) == shorter


def test_a_list_is_remembered_anew() -> None:
    """Keys of a longer list are not kept."""
    memory = ListMemory()
    memory.record(2, frozenset("ab"))
    memory.record(5)
    assert (memory.length, memory.keys) == (5, frozenset())


# Sessions.


async def test_a_session_has_traits_of_its_own() -> None:
    """Neither the option nor what it shows is what it learns in."""
    option = ServerTraits(max_page_size=50)
    async with PlugChatSession("x" * 20, base_url="http://localhost:1", server_traits=option) as session:
        shown = session.server_traits
        assert shown == option
        shown.max_page_size = option.max_page_size = 5
        assert session.server_traits.max_page_size == 50


@pytest.mark.parametrize("traits", [{}, "end", 5])
def test_only_traits_are_traits(traits: Any) -> None:
    """Of a session, and of many accounts."""
    with pytest.raises(InvalidTypeError, match="server_traits must be"):
        PlugChatSession("x" * 20, server_traits=traits)
    with pytest.raises(InvalidTypeError, match="server_traits must be"):
        fetch_many([], server_traits=traits)
