"""A row that looks like a later state of a chat that was yielded: what is read after it may deny that."""

import gc
import re
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

import pytest
from attrs import define

from plugchat_async import Chat, DecodeError, Page, ServerError, ServerTraits
from plugchat_async._http.urls import CHATS_PATH
from plugchat_async._pagination import remember
from plugchat_async._pagination.checkpoint import CheckpointPacker, unpack
from plugchat_async._pagination.remember import Remembered
from plugchat_async._pagination.same_chat import label_of, name_label
from plugchat_async._pagination.server_traits import ListMemory
from plugchat_async._pagination.walk_context import WalkContext, WalkStats
from plugchat_async._pagination.walk_state import WalkConfig, WalkState
from support.gateway_list import GatewayList, has_missed, make_rows, names_of
from support.moving import EPOCH, Walked, begun, walk_over
from support.servers import failing_at

NOT_CHECKED = "a short page is not known to be the end of the list"
AMBIGUOUS = "a chat was read in two states, which may be two chats of one person"
KEY = "\n1@lid"


def row(name: str | None, time: int | None = None, lid: str = "1@lid", **fields: Any) -> Chat:
    last = None if time is None else EPOCH + timedelta(seconds=time)
    return Chat(None, name, last_message_time=last, lid=lid, **fields)


def reading(state: WalkState | None = None) -> tuple[Remembered, WalkState]:
    state = state or WalkState.at_start(WalkConfig(path=CHATS_PATH, page_size=3), ahead=False)
    return Remembered(state, WalkContext(100, ServerTraits(), ListMemory(), 3, ahead=False, stats=WalkStats())), state


def reading_strict(state: WalkState | None = None) -> tuple[Remembered, WalkState]:
    config = WalkConfig(path=CHATS_PATH, page_size=3, consistency="strict")
    return reading(state or WalkState.at_start(config, ahead=False))


def page(*rows: Chat, number: int = 1, size: int = 3) -> Page:
    return Page(number, size, rows, b"")


# What denies it.


@pytest.mark.parametrize(
    ("yielded", "answers", "doubtful"),
    [
        pytest.param([row("A")], [[row("A", 9)]], False, id="it got its first message"),
        pytest.param([row("A", 5)], [[row("A", 9)], [row("A", 12)]], False, id="it got two"),
        pytest.param([row("A", 5)], [[row("A", 9)], [row("A", 9, unread=3)]], False, id="it was read, too"),
        pytest.param([row("A")], [[row("B", 9)], [row("A")]], True, id="what was yielded comes after it"),
        pytest.param([row("A", 5)], [[row("A", 9)], [row("A", 5)]], True, id="or its last message is deleted"),
        pytest.param([row("A", 5)], [[row("A", 9)], [row("A", 7)]], True, id="an older one comes after it"),
        pytest.param([row("A", 5), row("B")], [[row("C", 9)], [row("A", 5)]], False, id="one of two comes after it"),
        pytest.param([row("A", 5), row("B")], [[row("C", 9)], [row("A", 5)], [row("B")]], True, id="both do"),
        pytest.param([row("A", 5), row("B")], [[row("B"), row("C", 9)], [row("A", 5)]], True, id="one comes with it"),
        pytest.param(
            [row("A", 5), row("B")],
            [[row("A", 9)], [row("B")], [row("B", 12)], [row("A", 9)]],
            False,
            id="both got a message",
        ),
    ],
)
def test_what_comes_after_a_newer_row(yielded: list[Chat], answers: list[list[Chat]], *, doubtful: bool) -> None:
    """A chat does not go back to what it was: if all that were yielded come, too, it is another one."""
    remembered, _ = reading()
    remembered.read(page(*yielded))
    for rows in answers:
        assert not remembered.read(page(*rows))[0].chats
    assert remembered.unconfirmed.doubtful == ({KEY} if doubtful else set())


def test_an_answer_with_both_ends_the_doubt() -> None:
    """Then the other one is yielded, and what comes after that is looked at anew."""
    remembered, _ = reading()
    remembered.read(page(row("A")))
    remembered.read(page(row("B", 9)))
    remembered.read(page(row("A")))
    assert remembered.unconfirmed.doubtful == {KEY}
    found, _ = remembered.read(page(row("B", 9), row("A")))
    assert found.chats == (row("B", 9),)
    for chat in (row("B", 9), row("A")):
        remembered.read(page(chat))
    assert remembered.unconfirmed.doubtful == set()


def test_a_long_list_is_not_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    """What its rows looked like is not kept, so nothing is known of any."""
    monkeypatch.setattr(remember, "_COMPARED", 2)
    remembered, _ = reading()
    remembered.read(page(row("A"), row("", 1, "2@lid"), row("", 1, "3@lid")))
    for chat in (row("B", 9), row("A")):
        remembered.read(page(chat))
    assert remembered.unconfirmed.doubtful == set()


def test_a_window_scan_whose_persons_move_is_not_verified() -> None:
    """One row of a person moves from the unread part to the front, and the next scans show all of his rows apart."""
    rows = [*(row("", 50 - number, f"{number + 10}@lid") for number in range(30)), row("A"), row("B")]
    asked = 0

    def read(number: int, size: int) -> Page:
        nonlocal asked
        asked += 1
        if asked == 2:
            rows.insert(0, row("A", 300 * asked))
            rows.remove(row("A"))
            rows.pop(3)  # which was read: so as many chats are read as the list has
        elif number == 1:
            # Somebody else gets a message between two scans.
            rows.insert(0, row("", 300 * asked, rows.pop(25).lid or ""))
        return Page(number, size, tuple(rows[(number - 1) * size : number * size]), b"")

    walked = walk_over(read, 8, "strict")
    assert len(walked.got) == 31
    assert (walked.stats.verified, walked.stats.reason) == (False, AMBIGUOUS)


@pytest.mark.parametrize(
    ("seed", "reason"),
    [
        pytest.param(373, "", id="another scan shows it beside one that was yielded"),
        pytest.param(208, AMBIGUOUS, id="none does"),
    ],
)
def test_a_row_that_is_deleted_does_not_make_up_for_one_that_is_missing(seed: int, reason: str) -> None:
    """As many chats are read as the list has, but a row of a person has a name that was not yielded."""
    listed = GatewayList(make_rows(25, ties=3, persons=0.3, seed=seed))
    walked = walk_over(listed.play([(1, ("insert", 0)), (1, ("delete", 1))]), 8, "strict")
    assert walked.stats.passes > 3
    assert walked.stats.reason == reason
    assert walked.stats.verified == (not reason)
    assert has_missed(walked, listed) == bool(reason)


@pytest.mark.parametrize(
    ("answers", "in_doubt"),
    [
        pytest.param([[row("A", 9)], [row("A", 12)]], False, id="a row gets messages"),
        pytest.param([[row("A", 9, profile_thumbnail="x")]], False, id="and a picture"),
        pytest.param([[row("B", 9)]], True, id="or it is another one"),
        pytest.param([[row("B", 9)], [row("A", 12)]], True, id="which the next message does not change"),
        pytest.param([[row("B", 9)], [row("A", 12), row("B", 9)]], False, id="an answer with both ends it"),
        pytest.param(
            [[row("B", 9)], [row("A", 12), row("B", 9)], [row("B", 15)]], False, id="and what comes later is known"
        ),
        pytest.param([[row("B", 9), row("C", 9)]], True, id="not one with other rows"),
        pytest.param([[row("A", 5), row("A", 4)], [row("B", 9)]], True, id="nor are two of one name two names"),
        pytest.param([[row("B", 9)], [row("A", 12), row("C", 9)]], True, id="nor one with one of both"),
        pytest.param([[row("B", 9)], [row("A", 5), row("B", 9), row("C")]], False, id="but one with all"),
    ],
)
def test_a_name_that_was_not_yielded_is_in_doubt(answers: list[list[Chat]], *, in_doubt: bool) -> None:
    """In `strict`, where the number of rows does not tell. A walk that is resumed in between knows the names, too."""
    for resumes in (False, True):
        remembered, state = reading_strict()
        remembered.read(page(row("A", 5), row("", 4, "2@lid")))
        for rows in answers:
            if resumes:
                remembered, state = reading_strict(unpack(CheckpointPacker(state).pack(), CHATS_PATH))
            remembered.read(page(*rows))
        assert remembered.in_doubt == in_doubt


def test_a_row_that_is_taken_for_one_of_another_name_is_in_doubt() -> None:
    """The last message of what was yielded was deleted, so a newer row beside it seems to be its later state."""
    remembered, _ = reading_strict()
    remembered.read(page(row("A", 5)))
    assert remembered.read(page(row("B", 9), row("A", 3)))[0].chats == (row("A", 3),)
    assert remembered.in_doubt


def test_a_checkpoint_that_does_not_tell_names_raises_no_doubt() -> None:
    """One of an older version: each row that got a message would seem to be another one."""
    _, state = reading_strict()
    state.seen.add([KEY])
    state.delivered = 1
    remembered, _ = reading_strict(state)
    remembered.read(page(row("A", 9)))
    assert not remembered.in_doubt


def test_exact_compares_no_names() -> None:
    """It would have to read bodies again. As many chats as rows are proof enough, for nothing is deleted."""
    remembered, state = reading()
    remembered.read(page(row("A", 5)))
    remembered.read(page(row("B", 9)))
    assert state.other_names == {}


def test_names_of_a_long_list_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor those that were, when it becomes long."""
    monkeypatch.setattr(remember, "_COMPARED", 2)
    remembered, state = reading_strict()
    remembered.read(page(row("A", 5)))
    remembered.read(page(row("B", 9)))
    assert list(state.other_names) == [KEY]
    remembered.read(page(row("", 1, "2@lid"), row("", 1, "3@lid"), row("C", 12)))
    remembered.read(page(row("D", 15), row("E", 15)))
    assert state.other_names == {}
    assert not remembered.in_doubt


def test_a_row_that_gets_a_name_between_two_whole_answers_is_no_other_one() -> None:
    """Each of them has all rows."""
    rows = [row("A", 9), row("", 8, "2@lid")]
    asked: list[int] = []

    def read(number: int, size: int) -> Page:
        asked.append(number)
        if number == 2:
            rows[0] = row("B", 12)
        return Page(number, size, tuple(rows) if number == 1 else (), b"")

    walked = walk_over(read, 5, "strict", max_page_size=1000)
    assert asked == [1, 2, 1]
    assert len(walked.got) == 2
    assert (walked.stats.verified, walked.stats.reason) == (True, "")


@pytest.mark.parametrize(("rows", "doubtful"), [([row("A", 12)], True), ([row("A", 9)], False)])
def test_a_list_that_stands_still_ends_the_doubt_of_what_it_shows(rows: list[Chat], *, doubtful: bool) -> None:
    """Not that of a chat which it does not show as it was yielded."""
    remembered, _ = reading()
    remembered.read(page(row("A", 9)))
    remembered.unconfirmed.doubtful.add(KEY)
    still = remembered.unconfirmed.stands_still()
    for _ in range(2):
        remembered.begin_pass()
        remembered.read(page(*rows))
        still = remembered.unconfirmed.stands_still()
    assert still
    assert list(remembered.yield_rest()) == []
    assert remembered.unconfirmed.doubtful == ({KEY} if doubtful else set())


def test_a_list_that_becomes_long_forgets_what_its_rows_looked_like(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a walk of a million chats would keep them."""
    monkeypatch.setattr(remember, "_COMPARED", 2)
    remembered, _ = reading()
    remembered.read(page(row("A")))
    later = row("B", 9)

    def is_kept() -> bool:
        return any(isinstance(found, dict) and KEY in found for found in gc.get_referrers(later))

    remembered.read(page(later))
    assert is_kept()
    remembered.read(page(row("", 1, "2@lid"), row("", 1, "3@lid"), number=2))
    assert not is_kept()


# Walks that are resumed.


def test_a_row_that_got_a_message_since_is_known_by_its_name() -> None:
    """Else which of two rows was yielded before the walk was resumed would be a guess, and one would come twice."""
    remembered, state = reading()
    remembered.read(page(row("B", 5), row("", 4, "2@lid")))
    remembered, _ = reading(unpack(CheckpointPacker(state).pack(), CHATS_PATH))
    found, _ = remembered.read(page(row("A"), row("B", 9)))
    assert found.chats == (row("A"),)
    assert remembered.guessed == {KEY}  # it may as well be another one of that name


def test_a_row_that_has_not_changed_since_is_known_by_its_label() -> None:
    """Whatever else has its name."""
    remembered, state = reading()
    remembered.read(page(row("A", 5), row("", 4, "2@lid")))
    remembered, _ = reading(unpack(CheckpointPacker(state).pack(), CHATS_PATH))
    found, _ = remembered.read(page(row("A", 9), row("A", 5)))
    assert found.chats == (row("A", 9),)
    assert remembered.guessed == set()
    # A message that came since leaves it to the next answer which of both was yielded.
    remembered, _ = reading(unpack(CheckpointPacker(state).pack(), CHATS_PATH))
    remembered.read(page(row("A", 9), row("B")))
    assert remembered.guessed == {KEY}
    remembered.read(page(row("A", 5), row("A", 9), row("B")))
    assert remembered.guessed == set()


def test_a_class_of_its_own_has_labels_of_its_fields() -> None:
    """Whatever else its objects hold, now or later: the label is the same in every process."""

    @define(frozen=True)
    class Call:
        phone: str
        _secret: str = "s"
        last_message_time: datetime | None = None

        @cached_property
        def pattern(self) -> re.Pattern[str]:
            return re.compile(self.phone)

    call = Call("1")
    label = label_of(call)
    assert call.pattern.pattern == "1"
    assert label_of(call) == label != label_of(Call("1", "t"))
    assert label == label_of(Call("1"))


def test_a_label_has_a_part_for_the_name() -> None:
    """That part stays when the chat gets a message or a picture, as pictures change all the time."""
    labels = [label_of(chat) for chat in (row("A", 5), row("A", 9), row("B", 5), row("A", 5, profile_thumbnail="x"))]
    assert len(set(labels)) == 4
    names = list(map(name_label, labels))
    assert names[0] == names[1] == names[3] != names[2]
    assert all(0 <= label < 2**32 for label in labels)


@pytest.mark.parametrize("seed", range(3))
def test_a_quiet_list_is_proven_wherever_its_walk_is_resumed(seed: int) -> None:
    """Its persons have several rows."""
    listed = GatewayList(make_rows(25, persons=0.3, seed=seed))
    whole = walk_over(listed.page, 8, "strict")
    for fails_at in range(1, len(whole.asked)):
        first = begun(8, "strict")
        with pytest.raises(ServerError):
            first.run(failing_at(listed.page, fails_at))
        second = Walked(unpack(CheckpointPacker(first.state).pack(), CHATS_PATH), first.traits).run(listed.page)
        assert second.stats.verified
        assert sorted(names_of(first) + names_of(second)) == sorted(names_of(whole))


def test_a_row_that_was_pushed_down_since_is_not_another_one() -> None:
    """All rows were yielded, page 1 is read again, and a chat that got a message is now older than those above it."""
    rows = [*(row("", 50 - number, f"{number + 10}@lid") for number in range(20)), row("A"), row("B")]
    fails = False

    def read(number: int, size: int) -> Page:
        if fails and size > 100:
            raise DecodeError("not a list")
        return Page(number, size, tuple(rows[(number - 1) * size : number * size]), b"")

    def read_twice(number: int, size: int) -> Page:
        nonlocal fails
        fails = number == 1 and bool(first.got)
        return read(number, size)

    first = begun(5, "strict", max_page_size=1000)
    with pytest.raises(DecodeError):
        first.run(read_twice)
    assert len(first.got) == 22
    rows.remove(row("A"))
    rows.insert(0, row("A", 60))
    rows[:0] = [row("", 70 + number, f"{number + 40}@lid") for number in reversed(range(12))]
    second = Walked(unpack(CheckpointPacker(first.state).pack(), CHATS_PATH), first.traits).run(read)
    assert [chat.lid for got in second.pages for chat in got.chats] == [
        f"{number + 40}@lid" for number in range(11, -1, -1)
    ]


# A list that stands still.


def test_a_list_that_stands_still_is_whole_though_its_end_was_not_checked() -> None:
    """All rows of persons come if two passes show the same ones; but nobody knows whether that was the end."""
    rows = [row("A", 9), row("", 8, "2@lid"), row("", 7, "3@lid"), row("B"), row("C"), row("", None, "4@lid")]

    def read(number: int, size: int) -> Page:
        if size > 3 or number > 2:
            raise DecodeError("not a list")
        return Page(number, size, tuple(rows[: size * number][(number - 1) * size :][: 3 if number == 1 else 2]), b"")

    walked = walk_over(read, 3, "exact", max_page_size=1000)
    assert {chat for got in walked.pages for chat in got.chats} == set(rows[:5])
    assert len(walked.got) == 5
    assert (walked.stats.verified, walked.stats.reason) == (False, NOT_CHECKED)
