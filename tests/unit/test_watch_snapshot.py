"""What a snapshot doubts, without a server."""

from datetime import UTC, datetime, timedelta

import pytest
from attrs import evolve

from plugchat_async import Chat, ChatChanged
from plugchat_async._internal.steps import finish
from plugchat_async.watch.losses import Missed, find_losses
from plugchat_async.watch.snapshot import Snapshot

TIME = datetime(2026, 1, 15, tzinfo=UTC)


def chat(seconds: int) -> Chat:
    return Chat("1", last_message_time=TIME + timedelta(seconds=seconds))


@pytest.mark.parametrize(
    ("known", "unseen", "large"), [(4, 3, False), (5, 4, True), (60, 6, False), (60, 7, True), (2, 2, True)]
)
def test_which_losses_are_large(known: int, unseen: int, large: bool) -> None:
    """More than three, and more than a tenth; and all."""
    keys = [str(number) for number in range(known)]
    losses = finish(find_losses(keys, {}, set(keys[unseen:]), proven=True, now=5.0))
    assert losses.missing == {key: Missed(1, 5.0, large) for key in keys[:unseen]}
    assert losses.confirmable is not large


def test_a_chat_that_was_seen_in_between_is_missed_for_the_first_time() -> None:
    """By a poll that read a part of the list: the readings of the whole list are not in a row."""
    snapshot = Snapshot(chats={"1\n": chat(0)}, missing={"1\n": Missed(1, 5.0, large=True)})
    assert snapshot.is_missing("1\n")
    assert list(snapshot.events({"1\n": chat(0)}, ())) == []
    assert not snapshot.is_missing("1\n")
    losses = finish(snapshot.note_missing({"x"}, proven=True, now=700.0))
    assert losses.missing == {"1\n": Missed(1, 700.0, large=False)}


def test_a_message_that_is_dated_ahead_covers_nothing() -> None:
    """Nor do three, if this machine's clock is behind. What was covered stays so."""
    snapshot = Snapshot()
    snapshot.cover([], TIME)
    assert snapshot.covered is None
    times = [TIME + timedelta(seconds=seconds) for seconds in (900, 30, 20, 10, 5)]
    snapshot.cover(times, TIME + timedelta(seconds=100))
    assert snapshot.covered == times[1]
    snapshot.cover(times[2:], TIME + timedelta(seconds=100))
    assert snapshot.covered == times[1]
    for count, expected in ((5, times[3]), (2, times[1])):
        snapshot = Snapshot()
        snapshot.cover(times[:count], TIME)
        assert snapshot.covered == expected


def test_an_older_row_is_believed_in_another_poll() -> None:
    """Not when it is read twice in one, as at the front and in the whole list."""
    snapshot = Snapshot(chats={"1\n": chat(9)})
    older = {"1\n": chat(5)}
    assert list(snapshot.events(older, ())) == []
    assert list(snapshot.events(older, ())) == []
    assert snapshot.dirty
    snapshot.begin_poll()
    assert list(snapshot.events(older, ())) == [ChatChanged(chat(9), chat(5), ("last_message_time",))]
    assert snapshot.all_receded == set()


def test_rows_that_a_walk_without_a_proof_may_have_left_out() -> None:
    """Other rows of the persons that it has read, not those of other persons."""
    chats = {key: evolve(chat(0), phone=key[:1], name=key) for key in ("1a", "1b", "2a", "3a", "3b")}
    snapshot = Snapshot(chats=chats)
    assert finish(snapshot.other_rows({"1a", "2a"})) == {"1b"}
    assert finish(snapshot.other_rows(())) == set()
    losses = finish(snapshot.note_missing({"1a", "2a"}, {"1b"}, proven=True, now=700.0))
    assert losses.missing.keys() == {"3a", "3b"}
