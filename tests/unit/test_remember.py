"""Which rows of a page are chats that were not yielded yet: each rule, and how chats are counted."""

from datetime import timedelta
from typing import Any

import pytest

from plugchat_async import Chat, Page, ServerTraits
from plugchat_async._http.urls import CHATS_PATH
from plugchat_async._pagination import remember, unconfirmed
from plugchat_async._pagination.remember import Remembered
from plugchat_async._pagination.seen_keys import SeenKeys
from plugchat_async._pagination.server_traits import ListMemory
from plugchat_async._pagination.walk_context import WalkContext, WalkStats
from plugchat_async._pagination.walk_state import WalkConfig, WalkState
from plugchat_async._pagination.walk_steps import YieldPage
from support.moving import EPOCH, walk_over


def late_of(remembered: Remembered) -> tuple[Chat, ...]:
    """Return the unconfirmed rows that are yielded."""
    return tuple(
        chat for step in remembered.yield_confirmed() if isinstance(step, YieldPage) for chat in step.page.chats
    )


def row(phone: str | None, time: int | None = None, name: str | None = None, **fields: Any) -> Chat:
    last = None if time is None else EPOCH + timedelta(seconds=time)
    return Chat(phone, name, last_message_time=last, **fields)


def reading(size: int = 3) -> tuple[Remembered, WalkState, WalkStats]:
    """Nothing that was read yet."""
    state = WalkState.at_start(WalkConfig(path=CHATS_PATH, page_size=size), ahead=False)
    stats = WalkStats()
    context = WalkContext(100, ServerTraits(), ListMemory(), size, ahead=False, stats=stats)
    return Remembered(state, context), state, stats


def page(number: int, *rows: Chat, size: int = 3, unreadable: tuple[str, ...] = ()) -> Page:
    return Page(number, size, rows, b"", unreadable_keys=unreadable)


# One answer.


def test_rows_of_one_key_that_differ_are_different_chats() -> None:
    """As on the vendor's page: one phone, two names."""
    remembered, state, stats = reading()
    rows = [row("1", 9, "Ana"), row("1", 8, "Bea"), row("2", 7)]
    fresh, known = remembered.read(page(1, *rows))
    assert list(fresh.chats) == rows
    assert known == set()
    assert (state.delivered, state.several, state.scan.copies) == (3, {"1\n": 2}, 0)
    assert (stats.chats, stats.duplicates) == (3, 0)


def test_equal_rows_are_one_chat() -> None:
    """They take a place each, so they are counted."""
    remembered, state, stats = reading()
    fresh, _ = remembered.read(page(1, row("1", 9), row("1", 9), row("2", 7)))
    assert list(fresh.chats) == [row("1", 9), row("2", 7)]
    assert (state.delivered, state.several.get("1\n", 1), state.scan.copies) == (2, 1, 1)
    assert remembered.copies == 1
    assert (stats.chats, stats.duplicates, fresh.skipped) == (2, 1, 1)
    remembered.read(page(1, row("1", 9), row("1", 9), row("2", 7)))
    assert remembered.copies == 1  # only where they were first read


def test_the_phone_and_the_lid_are_the_key() -> None:
    """A person's rows with and without the phone are two chats; so are two persons of one lid that have a phone."""
    remembered, state, _ = reading()
    rows = [row("1", 9, lid="a@lid"), row(None, 8, lid="a@lid"), row("1", 7)]
    fresh, _ = remembered.read(page(1, *rows))
    assert list(fresh.chats) == rows
    assert set(state.seen) == {"1\na@lid", "\na@lid", "1\n"}


# Across answers.


def test_a_known_key_is_the_chat_that_was_read() -> None:
    """Whatever changed of it."""
    remembered, state, stats = reading()
    remembered.read(page(1, row("1", 9), row("2", 8), row("3", 7)))
    fresh, known = remembered.read(page(2, row("3", 7), row("2", 10, "renamed"), row("4", 5)))
    assert list(fresh.chats) == [row("4", 5)]
    assert known == {"3\n", "2\n"}
    assert (state.delivered, stats.duplicates) == (4, 2)


def test_more_rows_of_a_key_than_were_yielded_are_other_chats() -> None:
    """As many as that; those that are most like what was yielded are what was yielded."""
    remembered, state, stats = reading()
    remembered.read(page(1, row("1", 9, "Ana")))
    rows = [row("1", 12, "Ana"), row("1", 5, "Bea"), row("1", 4, "Cleo")]
    fresh, _ = remembered.read(page(1, *rows))
    assert list(fresh.chats) == rows[1:]
    assert state.several == {"1\n": 3}
    assert (state.delivered, stats.duplicates) == (3, 1)
    again, _ = remembered.read(page(1, *rows))
    assert list(again.chats) == []


@pytest.mark.parametrize(
    ("before", "rows", "fresh"),
    [
        pytest.param(row("1", 9, "A"), [row("1", 9, "B"), row("1", 9, "A")], [row("1", 9, "B")], id="equal"),
        pytest.param(row("1", 5, "A"), [row("1", 5, "B"), row("1", 9, "A")], [row("1", 5, "B")], id="name, then time"),
        pytest.param(row("1", 9, "A"), [row("1", 9, "B"), row("1", 3, "A")], [row("1", 3, "A")], id="not an older one"),
        pytest.param(row("1", 9, "A"), [row("1", 3, "B"), row("1", 9, "C")], [row("1", 3, "B")], id="time"),
        pytest.param(row("1", 9, "A"), [row("1", 3, "B"), row("1", 4, "C")], [row("1", 4, "C")], id="the first one"),
        pytest.param(
            row("1", 9, "A", profile_thumbnail="x"),
            [row("1", 2, "A"), row("1", 3, "A", profile_thumbnail="x")],
            [row("1", 2, "A")],
            id="name and picture",
        ),
    ],
)
def test_which_of_several_rows_was_yielded(before: Chat, rows: list[Chat], fresh: list[Chat]) -> None:
    """Equal rows are the same, then those of the same name and picture that are not older, then those of one time."""
    remembered, _, _ = reading()
    remembered.read(page(1, before))
    found, _ = remembered.read(page(1, *rows))
    assert list(found.chats) == fresh


@pytest.mark.parametrize(
    ("rows", "is_doubt"),
    [
        pytest.param([row("1", 19, "A"), row("1", 18, "A")], True, id="two of the same name have moved"),
        pytest.param([row("1", 19, "A"), row("1", 3, "A")], False, id="the older one has not"),
        pytest.param([row("1", 19, "A"), row("1", 18, "B")], False, id="the other one has another name"),
        pytest.param([row("1", 19, "A"), row("1", 9, "A")], False, id="it stands where it stood"),
        pytest.param([row("1", 5, "A"), row("1", 3, "A")], False, id="both are older"),
    ],
)
def test_two_rows_that_may_be_the_one_that_was_yielded(rows: list[Chat], *, is_doubt: bool) -> None:
    """A walk that has to guess which of them it is can't say that it is verified."""
    remembered, _, _ = reading()
    remembered.read(page(1, row("1", 9, "A")))
    remembered.read(page(1, *rows))
    assert remembered.guessed == ({"1\n"} if is_doubt else set())


def test_two_that_were_yielded_leave_the_third() -> None:
    """An equal row is taken first, whatever comes before it."""
    remembered, _, _ = reading()
    remembered.read(page(1, row("1", 9, "A"), row("1", 8, "B")))
    found, _ = remembered.read(page(1, row("1", 7, "A"), row("1", 9, "A"), row("1", 8, "B")))
    assert list(found.chats) == [row("1", 7, "A")]


def test_a_walk_that_is_resumed_knows_how_many_were_yielded() -> None:
    """Not what they looked like: so the first ones are taken for them."""
    remembered, state, _ = reading()
    state.seen, state.several, state.delivered = SeenKeys(["1\n"]), {"1\n": 2}, 2
    found, _ = remembered.read(page(1, row("1", 9, "A"), row("1", 8, "B"), row("1", 7, "C")))
    assert list(found.chats) == [row("1", 7, "C")]
    assert (state.several, state.delivered) == ({"1\n": 3}, 3)


def test_phones_alone_of_an_old_checkpoint_are_keys() -> None:
    """Checkpoints of older versions had no lids."""
    remembered, state, _ = reading()
    state.old_keys, state.seen, state.delivered = True, SeenKeys(["1"]), 1
    rows = page(1, row("1", 9, lid="a@lid"), row("2", 8, lid="b@lid"), unreadable=("?x",))
    found, known = remembered.read(rows)
    assert list(found.chats) == [row("2", 8, lid="b@lid")]
    assert known == {"1"}
    assert set(state.seen) == {"1", "2\nb@lid", "?x"}
    assert state.delivered == 3


def test_rows_that_can_not_be_read_are_counted() -> None:
    """Equal ones are one, and known ones are known."""
    remembered, state, stats = reading()
    remembered.read(page(1, row("1", 9), unreadable=("?x", "?x")))
    assert (state.delivered, state.scan.copies) == (2, 1)
    _, known = remembered.read(page(2, row("1", 9), unreadable=("?x", "?y")))
    assert known == {"1\n", "?x"}
    assert (state.delivered, stats.chats) == (3, 1)


# Rows that are kept apart.


def test_a_row_older_than_all_before_is_another_chat() -> None:
    """A chat's time does not go back; it is yielded at the end of the pass."""
    remembered, state, stats = reading()
    remembered.read(page(1, row("1", 9), row("2", 8), row("3", 7)))
    found, _ = remembered.read(page(2, row("1", 6), row("4", 5), row("2", 4)))
    assert list(found.chats) == [row("4", 5)]
    assert remembered.unconfirmed.rows == {"1\n": [row("1", 6)], "2\n": [row("2", 4)]}
    assert late_of(remembered) == (row("1", 6), row("2", 4))
    assert remembered.unconfirmed.rows == {}
    assert (state.several, state.delivered) == ({"1\n": 2, "2\n": 2}, 6)
    assert stats.chats == 6
    assert late_of(remembered) == ()


def test_a_row_without_a_time_does_not_move() -> None:
    """Behind rows that are new, it can't have been pushed down; at the top of a page it can."""
    remembered, _, _ = reading(2)
    remembered.read(page(1, row("1", 9), row("2", name="A"), size=2))
    remembered.read(page(2, row("2", name="B"), row("3"), size=2))
    assert remembered.unconfirmed.rows == {}
    remembered.read(page(3, row("4"), row("2", name="C"), size=2))
    assert remembered.unconfirmed.rows == {"2\n": [row("2", name="C")]}


@pytest.mark.parametrize(
    ("first", "other"),
    [
        pytest.param([row("1", 5), row("2", 9), row("3", 8)], row("1", 4), id="above newer ones"),
        pytest.param([row("2", 9), row("1", 8, is_pinned=True), row("3", 7)], row("1", 4), id="says so"),
    ],
)
def test_a_pinned_chat_may_be_unpinned(first: list[Chat], other: Chat) -> None:
    """Then it stands where its time says, and is no other one."""
    remembered, _, _ = reading()
    remembered.read(page(1, *first))
    remembered.read(page(2, other, row("5", 3), row("6", 2)))
    assert remembered.unconfirmed.rows == {}


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ([row("4", 6), row("1", 9), row("5", 5)], "an equal row is the chat that was read"),
        ([row("4", 6), row("1", 7), row("5", 5)], "it is not older than what was read"),
    ],
)
def test_rows_that_may_have_moved_are_not_kept(rows: list[Chat], reason: str) -> None:
    """They are not older than all that was read."""
    remembered, _, _ = reading()
    remembered.read(page(1, row("1", 9), row("2", 8), row("3", 7)))
    remembered.read(page(2, *rows))
    assert remembered.unconfirmed.rows == {}, reason


def test_a_first_message_that_comes_late_is_no_other_chat() -> None:
    """The row had no time before."""
    remembered, _, _ = reading()
    remembered.read(page(1, row("1"), row("2", 8), row("3", 7)))
    remembered.read(page(2, row("4", 6), row("1", 5), row("5", 4)))
    assert remembered.unconfirmed.rows == {}


def test_a_window_that_steps_back_changes_nothing() -> None:
    """What it shows again was read; what is behind that is still further down."""
    remembered, _, _ = reading()
    remembered.read(page(1, row("1", 9), row("2", 8), row("3", 7)))
    for _ in range(2):
        remembered.read(page(2, row("4", 6), row("5", 6), row("6", 6)))
        assert remembered.unconfirmed.rows == {}
    remembered.read(page(3, row("7", 5), row("1", 4), row("8", 3)))
    assert remembered.unconfirmed.rows == {"1\n": [row("1", 4)]}


@pytest.mark.parametrize("what", ["unsorted", "a second pass", "page 1 again"])
def test_when_nothing_is_kept(what: str) -> None:
    """Where rows may have any place, an older time says nothing."""
    remembered, state, _ = reading()
    remembered.read(page(1, row("1", 9), row("2", 8), row("3", 7)))
    number = 2
    match what:
        case "unsorted":
            state.scan.ordered = False
        case "a second pass":
            state.passes = 1
        case _:
            number = 1
    remembered.read(page(number, row("7", 5), row("1", 4), row("8", 3)))
    assert remembered.unconfirmed.rows == {}


def test_a_row_is_kept_once() -> None:
    """Though it is read twice, as windows that overlap do."""
    remembered, _, _ = reading()
    remembered.read(page(1, row("1", 9), row("2", 8), row("3", 7)))
    remembered.read(page(2, row("4", 6), row("1", 5), row("1", 5)))
    assert remembered.unconfirmed.rows == {"1\n": [row("1", 5)]}


def test_kept_rows_are_yielded_once_if_an_answer_has_all() -> None:
    """The page that holds the whole list yields them, so they are not kept any more."""
    remembered, state, _ = reading()
    remembered.read(page(1, row("1", 9, "A"), row("2", 8), row("3", 7)))
    remembered.read(page(2, row("1", 6, "B"), row("1", 5, "C"), row("4", 4)))
    found, _ = remembered.read(
        page(1, row("1", 9, "A"), row("2", 8), row("3", 7), row("1", 6, "B"), row("1", 5, "C"), row("4", 4), size=10)
    )
    names = [chat.name for chat in found.chats]
    assert sorted(filter(None, names)) == names
    assert state.delivered == 6 - len(remembered.unconfirmed.rows)
    assert state.several == {"1\n": 3}
    assert late_of(remembered) == ()


def test_a_window_that_stepped_back_holds_no_other_chats(monkeypatch: pytest.MonkeyPatch) -> None:
    """A short page ends where its rows end. Of a long list, rows are not compared with what was yielded."""
    monkeypatch.setattr(remember, "_COMPARED", 5)
    monkeypatch.setattr(unconfirmed, "_RECENT", 2)
    remembered, state, _ = reading(10)
    rows = [row(str(i), None, f"name {i}") for i in range(13)]
    remembered.read(page(1, *rows[:10], size=10))
    for number, size in ((2, 9), (2, 8), (2, 7)):
        remembered.read(page(number, *rows[size : 2 * size], size=size))
    assert remembered.unconfirmed.rows == {}
    assert state.delivered == 13


def test_a_long_list_forgets_what_its_chats_looked_like(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a walk of a million chats would keep them all."""
    monkeypatch.setattr(remember, "_COMPARED", 2)
    remembered, _, _ = reading()
    remembered.read(page(1, row("1", 9, "A"), row("2", 8), row("3", 7)))
    found, _ = remembered.read(page(1, row("1", 8, "B"), row("1", 9, "A"), row("2", 8)))
    assert list(found.chats) == [row("1", 9, "A")]
    found, _ = remembered.read(page(1, row("1", 8, "C"), row("1", 9, "D"), row("2", 8)))
    assert found.chats == ()


# In walks.


def test_chats_do_not_depend_on_the_pages() -> None:
    """Persons in several rows, on one page or on several: the same chats come, in any mode that proves."""
    rows = [row("1", 9, "A"), row("2", 8), row("1", 7, "B"), row("3", 6), row("1", None, "C"), row("4", None)]

    def read(number: int, size: int) -> Page:
        return Page(number, size, tuple(rows[(number - 1) * size : number * size]), b"")

    for size in (2, 3, 4, 6, 10):
        walked = walk_over(read, size, "exact", max_page_size=1000)
        assert {chat for got in walked.pages for chat in got.chats} == set(rows)
        assert len(walked.got) == 6
        assert walked.stats.verified
        plain = walk_over(read, size, "plain")
        assert [chat for got in plain.pages for chat in got.chats] == rows


def test_a_kept_row_that_is_yielded_leaves_the_others() -> None:
    """Itself, or what it was before it got a message."""
    remembered, state, _ = reading()
    remembered.read(page(1, row("1", 9, "A"), row("2", 8), row("3", 7)))
    remembered.read(page(2, row("1", 6, "B"), row("4", 5), row("5", 4)))
    remembered.read(page(3, row("1", 3, "C"), row("6", 2), row("7", 1)))
    assert remembered.unconfirmed.rows == {"1\n": [row("1", 6, "B"), row("1", 3, "C")]}
    found, _ = remembered.read(page(1, row("1", 9, "A"), row("1", 6, "B"), size=10))
    assert list(found.chats) == [row("1", 6, "B")]
    assert remembered.unconfirmed.rows == {"1\n": [row("1", 3, "C")]}
    state.since = EPOCH + timedelta(seconds=9)
    found, _ = remembered.read(page(1, row("1", 12, "C"), row("1", 9, "A"), row("1", 6, "B"), size=10))
    assert list(found.chats) == [row("1", 12, "C")]
    assert not remembered.unconfirmed.rows.get("1\n")
