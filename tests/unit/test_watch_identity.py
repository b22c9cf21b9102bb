"""Which row of a reading is which known chat."""

from datetime import UTC, datetime, timedelta
from itertools import permutations

import pytest
from attrs import evolve

from plugchat_async import Chat
from plugchat_async._internal.steps import finish
from plugchat_async.watch.identity import Matched, group_of, identity_of, match_rows
from plugchat_async.watch.losses import Missed
from plugchat_async.watch.snapshot import Snapshot

TIME = datetime(2026, 1, 15, tzinfo=UTC)


def row(name: str | None, seconds: int | None = None, *, phone: str | None = None, unread: int = 0) -> Chat:
    """A row of one person."""
    time = None if seconds is None else TIME + timedelta(seconds=seconds)
    return Chat(phone, name, unread, time, lid="1@lid")


def match(
    known: dict[str, Chat],
    *rows: Chat,
    until: int | None = None,
    answers: tuple[int, ...] = (),
    complete: bool = True,
    missing: tuple[str, ...] = (),
) -> Matched:
    """Match rows of answers; `until` is the last time that was read, None if all of the list was."""

    def must_be_seen(chat: Chat) -> bool:
        time = chat.last_message_time
        return until is None or (time is not None and time > TIME + timedelta(seconds=until))

    groups: dict[str, tuple[str, ...]] = {}
    for key, chat in known.items():
        groups[group_of(chat)] = (*groups.get(group_of(chat), ()), key)
    reading = zip(rows, answers or (1,) * len(rows), strict=True)
    return finish(match_rows(reading, known, groups, must_be_seen, complete=complete, is_missing=missing.__contains__))


K1, K2, K3 = "\n1@lid", "\n1@lid\n2", "\n1@lid\n3"


def test_the_first_row_has_phone_and_lid_as_its_key() -> None:
    """Others that differ have a number as well; equal ones are one."""
    rows = [row("Ana", 9), row("Ana", 5), row("Ana", 9), row(None)]
    assert match({}, *rows) == Matched({K1: rows[0], K2: rows[1], K3: rows[3]}, unsure=False)
    assert identity_of(row("Ana", phone="55")) == "55\n1@lid"
    # A number that is free again is used again.
    assert match({K2: rows[1]}, rows[1], rows[3]).seen == {K2: rows[1], K1: rows[3]}


@pytest.mark.parametrize("order", list(permutations(range(4))))
def test_rows_that_are_as_before_keep_their_keys(order: tuple[int, ...]) -> None:
    """In whatever order they come; one that has changed is the one that is left."""
    known = {K1: row("Ana", 9), K2: row("Ana", 5), K3: row("Ana"), "x": row(None)}
    for key, old in known.items():
        now = {**known, key: evolve(old, unread=1, last_message_time=TIME + timedelta(seconds=100))}
        rows = [list(now.values())[place] for place in order]
        assert match(known, *rows).seen == now


def test_the_name_counts_before_the_time() -> None:
    """Two have got a message."""
    known = {K1: row("Ana", 9), K2: row("Bia", 5)}
    ana, bia = row("Ana", 100), row("Bia", 200)
    assert match(known, bia, ana).seen == {K1: ana, K2: bia}


def test_a_renamed_row_is_the_same_chat() -> None:
    """The time tells which; of those with a new time, too, the newest one, if it is the only one left."""
    known = {K1: row("Ana", 9), K2: row("Bia", 5)}
    renamed = row("Carla", 5)
    assert match(known, row("Ana", 9), renamed).seen == {K1: known[K1], K2: renamed}
    assert match(known, row("Carla", 100), row("Bia", 5)).seen == {K1: row("Carla", 100), K2: known[K2]}
    assert match({K1: known[K1]}, row("Carla", 3)).seen == {K1: row("Carla", 3)}


def test_a_row_with_another_name_and_an_older_time_is_another_chat() -> None:
    """Unless there is no other at all."""
    known = {K1: row("Ana", 9), K2: row("Bia", 7)}
    assert set(match(known, row("Carla", 5)).seen) == {K3}


def test_rows_without_a_phone_are_not_renamed_while_others_may_be_unknown() -> None:
    """The gateway lists up to five rows of one lid."""
    known = {K1: row("Ana")}
    assert set(match(known, row("Bia"), complete=False).seen) == {K2}
    assert set(match(known, row("Bia"), complete=True).seen) == {K1}
    assert set(match({"k": row("Ana", phone="55")}, row("Bia", phone="55"), complete=False).seen) == {"k"}


def test_a_row_is_rather_one_that_is_not_missing() -> None:
    """The missing one may be gone."""
    known = {K1: row("Ana", 9), K2: row("Ana", 5)}
    assert set(match(known, row("Ana", 100)).seen) == {K1}
    assert set(match(known, row("Ana", 100), missing=(K1,)).seen) == {K2}


def test_no_lid_becomes_another_one() -> None:
    """It may become known, or be left out."""
    with_lid, without = row("Ana", 9, phone="55"), Chat("55", "Ana", last_message_time=TIME)
    assert match({"k": without}, with_lid).seen == {"k": with_lid}
    assert match({"k": with_lid}, evolve(without, unread=3)).seen == {"k": evolve(without, unread=3)}
    other = evolve(with_lid, lid="2@lid")
    assert match({"k": with_lid}, other).seen == {"55\n2@lid": other}


def test_the_front_does_not_take_one_row_for_another() -> None:
    """Where more than one may have changed, only the whole list tells. What is as before is sure."""
    known = {K1: row("Ana", 9), K2: row("Ana", 5), K3: row("Bia", 1)}
    moved = row("Ana", 100)
    assert match(known, moved, until=50) == Matched({}, unsure=True)
    assert match(known, moved, row("Ana", 9), until=7) == Matched({K2: moved, K1: known[K1]}, unsure=False)
    # The first one would have been read, if it was where it was.
    assert match(known, moved, until=7) == Matched({K1: moved}, unsure=False)
    assert match(known, row("Bia", 100), until=50) == Matched({K3: row("Bia", 100)}, unsure=False)
    # A name that nobody had may be anybody's.
    assert match(known, row("Carla", 100), until=50).unsure
    assert match({K1: row("Ana"), K2: row("Ana", unread=2)}, row("Ana", unread=1), until=50).unsure
    # One that only changed otherwise is known by its time.
    read = row("Ana", 9, unread=3)
    assert match(known, read, until=9) == Matched({K1: read}, unsure=False)


def test_what_moves_between_two_answers_is_one_row() -> None:
    """It has moved down with a newer time, was read or renamed, or the later answer is of a replica that lags."""
    known = {K1: row("Ana", 9)}
    for first, second, kept in (
        (row("Ana", 100), row("Ana", 200), row("Ana", 200)),
        (row("Ana", 9, unread=1), row("Ana", 9), row("Ana", 9)),
        (row("Ana", 9), row("Carla", 9), row("Carla", 9)),
        (row("Ana", 100), row("Ana", 9), row("Ana", 100)),
    ):
        assert match(known, first, second, until=0, answers=(1, 2)).seen == {K1: kept}
    assert match({}, row("Ana", 100), row("Ana", 200), answers=(1, 2)).seen == {K1: row("Ana", 200)}


def test_what_stands_on_two_pages_is_two_rows() -> None:
    """Older ones come later, and of rows without a time nothing tells that they are one."""
    for first, second in ((row("Ana", 9), row("Ana", 5)), (row("Ana", unread=1), row("Ana"))):
        assert match({}, first, second, answers=(1, 2)).seen == {K1: first, K2: second}
        assert match({K1: first, K2: second}, first, second, until=0, answers=(1, 2)).seen == {K1: first, K2: second}
    assert set(match({}, row("Ana", 9), row("Bia", 10), answers=(1, 2)).seen) == {K1, K2}
    assert set(match({}, row("Ana", 9), row("Ana", 10), answers=(1, 1)).seen) == {K1, K2}


def test_a_nonsensical_phone_takes_no_time() -> None:
    """Thousands of rows with the phone "0" that all change at once."""
    known = {f"0\n{number}": Chat("0", str(number)) for number in range(3000)}
    rows = [Chat("0", str(number), 1) for number in range(3000)]
    assert len(match(known, *rows).seen) == 3000


def test_known_rows_of_a_nonsensical_phone_take_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """To find one among them, it is compared with some only: a full scan looks for each."""
    rows = [Chat("0", str(number)) for number in range(400)]
    snapshot = Snapshot(chats={f"0\n{number}": chat for number, chat in enumerate(rows)})
    compared = 0
    are_equal = Chat.__eq__

    def count(chat: Chat, other: object) -> bool:
        nonlocal compared
        compared += 1
        return are_equal(chat, other)

    monkeypatch.setattr(Chat, "__eq__", count)
    for number in (0, 99, 399):
        compared = 0
        assert snapshot.known(evolve(rows[number])).name == str(number)
        assert compared == min(number + 1, 100)
    assert snapshot.known(evolve(rows[99])) is rows[99]


def test_removed_chats_are_remembered_for_ninety_days() -> None:
    """Ten thousand of them; then a state does not grow for ever."""
    chats = [Chat(str(number), last_message_time=TIME) for number in range(10_002)]
    snapshot = Snapshot(chats={identity_of(chat): chat for chat in chats[1:]})
    snapshot.missing = {key: Missed(2, 0.0, large=False) for key in snapshot.chats}
    assert len([event for event in snapshot.remove(list(snapshot.chats), 5.0) if event is not None]) == 10_001
    assert next(iter(snapshot.tombstones)) == identity_of(chats[2])
    assert len(snapshot.tombstones) == 10_000
    finish(snapshot.note_missing((), proven=True, now=5.0 + 90 * 86_400))
    assert len(snapshot.tombstones) == 10_000
    finish(snapshot.note_missing((), proven=True, now=6.0 + 90 * 86_400))
    assert snapshot.tombstones == {}
