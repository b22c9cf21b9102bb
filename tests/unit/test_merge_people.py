"""merge_people: one chat for each person, of lists that hold a person in several rows."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugchat_async import FOREVER, Chat, Contact, InvalidTypeError, merge_people
from plugchat_async.converter import converter
from support import PAYLOADS

PAGE = (PAYLOADS / "gateway_page.json").read_text("utf-8")
TIME = datetime(2026, 1, 15, 17, 20, 7, tzinfo=UTC)
LID = "111000000000001@lid"


def test_the_gateways_page_has_three_who_can_be_written_to() -> None:
    """Ana stands in two rows, of which one has her phone, her time and her unread messages."""
    ana, team, other = merge_people(converter.loads(PAGE))
    assert ana == Chat(
        "551190000001",
        "Ana",
        2,
        TIME,
        messages_unread=0,
        lid=LID,
        is_pinned=True,
        is_archived=False,
        is_group=False,
        is_group_announcement=False,
    )
    assert (team.id, team.kind) == ("120363000000000001-group", "group")
    assert other == Chat(lid="111000000000002@lid", is_archived=True, is_group=False)


def test_a_person_has_the_best_of_each_row() -> None:
    """The phone of the row that has it, its name and picture or the first others, the newest time, the most unread."""
    rows = [
        Chat(None, "Ana (old)", 5, TIME - timedelta(days=1), profile_thumbnail="https://x.example/1.jpg", lid=LID),
        Chat("5511", "Ana", 2, TIME, lid=LID, is_pinned=False, messages_unread=1, muted_until=TIME),
        Chat(None, None, 0, None, is_muted=True, lid=LID, is_pinned=True, muted_until=FOREVER),
        Chat(None, None, 0, None, is_marked_spam=True, lid=LID, is_archived=False, messages_unread=3),
    ]
    assert merge_people(rows) == [
        Chat(
            "5511",
            "Ana",
            5,
            TIME,
            is_muted=True,
            is_marked_spam=True,
            profile_thumbnail="https://x.example/1.jpg",
            messages_unread=3,
            lid=LID,
            is_pinned=True,
            is_archived=False,
            muted_until=FOREVER,
        )
    ]


def test_a_phone_may_be_a_lid() -> None:
    """It is the same person, and a true phone is better."""
    assert merge_people([Chat(LID, unread=1), Chat("5511", lid=LID)]) == [Chat("5511", unread=1, lid=LID)]
    assert merge_people([Chat(LID), Chat(None, "Ana", lid=LID)])[0].id == LID


@pytest.mark.parametrize("chats", [[], [Chat("1")], [Chat("1"), Chat("1")], [Chat("1-group"), Chat(lid=LID)]])
def test_who_has_no_lid_stays(chats: list[Chat]) -> None:
    """Groups, lists, channels, and persons of the page of 2021, which two rows of the vendor's example have as one."""
    assert merge_people(chats) == chats
    assert merge_people(iter(chats)) == chats


LIDS = st.sampled_from([f"{number}@lid" for number in range(4)])
FLAGS = st.none() | st.booleans()
TIMES = st.none() | st.datetimes(timezones=st.just(UTC))
COUNTS = st.integers(0, 9)
OTHERS = st.builds(
    Chat,
    phone=st.sampled_from(["5511", "5512", "1-group", "5544-1598", "1@g.us", "1@broadcast", "1@newsletter", "status"]),
    name=st.none() | st.text(max_size=3),
    unread=COUNTS,
    last_message_time=TIMES,
)
PERSONS = st.builds(
    Chat,
    name=st.none() | st.text(max_size=3),
    unread=COUNTS,
    last_message_time=TIMES,
    is_muted=st.booleans(),
    is_marked_spam=st.booleans(),
    profile_thumbnail=st.none() | st.text(max_size=3),
    messages_unread=st.none() | COUNTS,
    lid=LIDS,
    is_pinned=FLAGS,
    is_archived=FLAGS,
    is_group=st.none() | st.just(value=False),
    is_group_announcement=st.none() | st.just(value=False),
    muted_until=TIMES,
)


def lid_of(chat: Chat) -> str | None:
    return chat.lid or (chat.phone if (chat.phone or "").endswith("@lid") else None)


@st.composite
def lists(draw: st.DrawFn) -> list[Chat]:
    """A list as the gateway has it: any rows of four persons, of which at most one row of each has the phone."""
    rows = draw(st.lists(PERSONS | OTHERS, max_size=12))
    with_phone: set[str] = set()
    for index, row in enumerate(rows):
        if row.lid is None:
            continue
        spelled = draw(st.sampled_from(["lid", "phone", "both"]))
        if spelled == "both" and row.lid not in with_phone:
            with_phone.add(row.lid)
            rows[index] = attrs.evolve(row, phone=f"55{row.lid[0]}")
        elif spelled == "phone":
            rows[index] = attrs.evolve(row, phone=row.lid, lid=None)
    return rows


@pytest.mark.slow
@given(lists())
def test_each_person_is_there_once(rows: list[Chat]) -> None:
    """Nobody is lost or twice there, and no phone is lost; all others stay as they are, and the order is the rows'."""
    people = merge_people(rows)
    lids = [lid for lid in map(lid_of, people) if lid is not None]
    assert sorted(lids) == sorted({lid for lid in map(lid_of, rows) if lid is not None})
    assert [chat for chat in people if lid_of(chat) is None] == [row for row in rows if lid_of(row) is None]
    assert [lid_of(chat) or chat for chat in people] == first_ones(rows)
    assert merge_people(people) == people
    phones = {row.lid: row.phone for row in rows if row.phone is not None and row.lid is not None}
    assert phones == {chat.lid: chat.phone for chat in people if chat.lid in phones}


def first_ones(rows: list[Chat]) -> list[object]:
    seen: list[object] = []
    for row in rows:
        if lid_of(row) is None or lid_of(row) not in seen:
            seen.append(lid_of(row) or row)
    return seen


@pytest.mark.slow
@given(lists())
def test_a_person_is_the_sum_of_the_rows(rows: list[Chat]) -> None:
    """The newest time, the latest end of a muting, the most unread, each flag that is set anywhere; a name of a row."""
    for chat in merge_people(rows):
        if (lid := lid_of(chat)) is None:
            continue
        own = [row for row in rows if lid_of(row) == lid]
        assert chat.unread == max(row.unread for row in own)
        for name in ("last_message_time", "muted_until", "messages_unread"):
            values = [value for row in own if (value := getattr(row, name)) is not None]
            assert getattr(chat, name) == max(values, default=None)
        for name in ("is_muted", "is_marked_spam", "is_pinned", "is_archived"):
            assert bool(getattr(chat, name)) == any(getattr(row, name) for row in own)
            assert (getattr(chat, name) is None) == all(getattr(row, name) is None for row in own)
        for name in ("name", "profile_thumbnail"):
            values = [value for row in own if (value := getattr(row, name)) is not None]
            assert getattr(chat, name) in (values or [None])


def test_the_measured_account_has_as_many_people_as_lids() -> None:
    """732 rows, 720 of persons with 332 different lids, and 12 others: 344 chats."""
    rows = [Chat(None, f"person {number % 332}", lid=f"{number % 332}@lid") for number in range(720)]
    rows += [Chat(f"{number}-group") for number in range(12)]
    assert len(merge_people(rows)) == 344


def test_it_reads_as_json_as_well() -> None:
    """Chats of an export are merged as those of a walk."""
    chats = [Chat.from_dict(json.loads(json.dumps(chat.to_dict()))) for chat in converter.loads(PAGE)]
    assert merge_people(chats) == merge_people(converter.loads(PAGE))


def test_no_phone_is_lost() -> None:
    """Rows of one lid with different phones stay apart; those without one join the first."""
    rows = [Chat(lid=LID, unread=3), Chat("2", lid=LID), Chat("1", lid=LID), Chat("2", lid=LID, is_muted=True)]
    assert merge_people(rows) == [Chat("2", unread=3, is_muted=True, lid=LID), Chat("1", lid=LID)]


@pytest.mark.parametrize("nothing", ["", "0", LID, None])
def test_what_is_no_phone_takes_no_phones_place(nothing: str | None) -> None:
    """The gateway may put nothing, "0" or the lid into its place."""
    assert merge_people([Chat(nothing, "Ana", lid=LID), Chat("5511", lid=LID)]) == [Chat("5511", "Ana", lid=LID)]


def test_only_people_are_merged() -> None:
    """A group that has a person's lid stays a group."""
    rows = [Chat("1-1", lid=LID), Chat("5511", lid=LID), Chat(lid=LID, is_group=True)]
    assert merge_people(rows) == rows


@pytest.mark.parametrize("name", [a.name for a in attrs.fields(Chat)])
def test_each_field_is_merged(name: str) -> None:
    """What only a row without the phone knows is not lost: a new field must be merged, too."""
    values: dict[str, Any] = {
        "phone": None,
        "name": "Ana",
        "unread": 2,
        "last_message_time": TIME,
        "profile_thumbnail": "https://x.example/1.jpg",
        "messages_unread": 1,
        "lid": LID,
        "muted_until": TIME,
    }
    # A group that all rows say to be one is no person.
    flags = dict.fromkeys((a.name for a in attrs.fields(Chat) if a.name not in values), True)
    value = {**values, **flags}[name]
    if name in ("is_group", "is_group_announcement"):
        value = False
    [person] = merge_people([Chat("5511", lid=LID), attrs.evolve(Chat(lid=LID), **{name: value})])
    assert getattr(person, name) == ("5511" if name == "phone" else value)


async def test_what_is_no_list_of_chats_is_refused() -> None:
    """By an error of ours that says how it is done: a walk, a call that was not awaited, and other items."""

    async def coming() -> AsyncIterator[Chat]:
        yield Chat("1")

    for wrong, kind in [(coming(), "an async iterable"), (None, "NoneType"), ([Chat("1"), Contact("2")], "Contact")]:
        with pytest.raises(InvalidTypeError, match=f"chats must .* Chat, got {kind}") as caught:
            merge_people(cast("Any", wrong))
        assert "merge_people(await plugchat.list_chats())" in caught.value.hint
