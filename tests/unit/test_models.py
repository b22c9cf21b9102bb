import copy
import gc
import inspect
import json
import pickle
import typing
import weakref
from datetime import UTC, datetime
from typing import Any

import attrs
import cattrs
import msgspec
import pytest
from cattrs.preconf.msgspec import make_converter

from plugchat_async import (
    FOREVER,
    Chat,
    ChatAdded,
    ChatChanged,
    ChatRemoved,
    InvalidValueError,
    Page,
    Problem,
    WalkReport,
)
from plugchat_async.converter import converter

TIME = datetime(2021, 6, 6, tzinfo=UTC)
CHAT = Chat("5511999999999", "Plug-suporte", 3, TIME, is_muted=True, lid="1@lid", is_pinned=True, muted_until=FOREVER)


def test_a_chat_is_a_frozen_value() -> None:
    """Equal by its fields, hashable, not to be changed, picklable."""
    again = Chat(
        "5511999999999", "Plug-suporte", 3, TIME, is_muted=True, lid="1@lid", is_pinned=True, muted_until=FOREVER
    )
    assert again == CHAT
    assert len({CHAT, copy.copy(CHAT)}) == 1
    assert pickle.loads(pickle.dumps(CHAT)) == CHAT
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        setattr(CHAT, "unread", 0)  # noqa: B010 - type checkers know that it is frozen
    assert not hasattr(CHAT, "__dict__")


def read_chat() -> Chat:
    """A chat that came on a page, by the fast lane, which makes its objects in a way of its own."""
    return converter.loads('[{"phone":"1","name":"a","lastMessageTime":"1622991687"}]')[0]


def test_a_chat_that_was_read_is_as_any_other() -> None:
    """Of the class itself, frozen, equal to one that was made by hand, known to the garbage collector."""
    chat = read_chat()
    assert type(chat) is Chat
    assert chat == Chat("1", "a", last_message_time=datetime(2021, 6, 6, 15, 1, 27, tzinfo=UTC))
    assert hash(chat) == hash(attrs.evolve(chat))
    assert gc.is_tracked(chat) == gc.is_tracked(CHAT)
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        setattr(chat, "unread", 0)  # noqa: B010 - type checkers know that it is frozen
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        delattr(chat, "unread")
    assert pickle.loads(pickle.dumps(chat)) == chat


def test_a_chat_is_an_attrs_class() -> None:
    """All that attrs offers works on it."""
    assert [a.name for a in attrs.fields(Chat)][:3] == ["phone", "name", "unread"]
    assert attrs.evolve(CHAT, unread=4) != CHAT
    assert Chat(**attrs.asdict(CHAT)) == CHAT
    assert Chat(*attrs.astuple(CHAT)) == CHAT
    match CHAT:
        case Chat(phone, name, unread=3):
            assert (phone, name) == (CHAT.phone, CHAT.name)
        case _:
            pytest.fail("patterns do not match")
    assert repr(Chat("1")).startswith("Chat(phone='1', name=None, unread=0, last_message_time=None, is_muted=False,")
    assert inspect.getdoc(Chat) == inspect.cleandoc(Chat.__doc__ or "")
    assert (Chat.__module__, Chat.__qualname__) == ("plugchat_async.models", "Chat")
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        delattr(CHAT, "unread")


@pytest.mark.parametrize(
    "value",
    [
        CHAT,
        ChatAdded(CHAT),
        ChatChanged(CHAT, CHAT, ("unread",)),
        ChatRemoved(CHAT),
        Page(1, 2, (CHAT,), b"[]"),
        WalkReport(1, 1, 1, 0, 0, 1, True, "", 0.1),
    ],
    ids=lambda value: type(value).__name__,
)
def test_all_values_are_plain_classes(value: attrs.AttrsInstance) -> None:
    """They can be referred to weakly, be derived from, and are described by plain annotations."""
    assert weakref.ref(value)() is value
    assert attrs.has(type(value))
    members: dict[str, Any] = {"__annotations__": {"note": str}, "note": attrs.field(default="")}
    derived: Any = attrs.frozen(type("Derived", (type(value),), members))
    assert derived(*(getattr(value, a.name) for a in attrs.fields(type(value)))).note == ""
    assert "Annotated" not in str(typing.get_type_hints(type(value), include_extras=True))


def test_other_libraries_know_a_chat_by_its_own_names() -> None:
    """msgspec and cattrs write snake_case, and read it back without losing a field."""
    for document in (msgspec.json.encode(CHAT), json.dumps(CHAT.to_dict()).encode()):
        assert set(json.loads(document)) == {a.name for a in attrs.fields(Chat)}
        assert msgspec.json.decode(document, type=Chat) == CHAT
        assert make_converter().loads(document, Chat) == CHAT
    assert cattrs.structure({"phone": "1", "unread": 2}, Chat) == Chat("1", unread=2)


def test_a_chat_as_a_dict() -> None:
    """JSON's types in `Chat`'s order, read back equal; what is missing has its default, what is unknown is ignored."""
    told = CHAT.to_dict()
    assert list(told) == [a.name for a in attrs.fields(Chat)]
    assert told["last_message_time"] == "2021-06-06T00:00:00Z"
    assert Chat.from_dict(told) == CHAT
    assert Chat.from_dict({"phone": "1", "account": "sales"}) == Chat("1")
    assert Chat.from_dict(attrs.asdict(CHAT)) == CHAT
    elsewhere = Chat.from_dict({"phone": "1", "last_message_time": "2021-06-06T03:00:00+03:00"})
    assert elsewhere == Chat("1", last_message_time=TIME)
    assert elsewhere.last_message_time is not None
    assert elsewhere.last_message_time.tzinfo is UTC


def test_a_derived_chat_is_read_as_itself() -> None:
    """`from_dict` is a constructor of the class that it is called on."""

    @attrs.frozen
    class Lead(Chat):
        score: int = 0

    assert Lead.from_dict({"phone": "1", "score": 7}) == Lead("1", score=7)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "there is neither a phone nor a lid"),
        ({"phone": None, "lid": ""}, "there is neither a phone nor a lid"),
        ({"phone": 55}, "Expected `str | null`, got `int`"),
        ({"phone": "1", "unread": "2"}, "Expected `int`, got `str`"),
        ({"phone": "1", "last_message_time": "2021-06-06T00:00:00"}, "last_message_time has no offset from UTC"),
        ({"phone": "1", "muted_until": "9999-12-31T23:59:59-01:00"}, "date value out of range"),
    ],
)
def test_what_is_no_chat_is_refused(values: dict[str, object], message: str) -> None:
    """With the reason, and where to read rows as the gateway sends them."""
    with pytest.raises(InvalidValueError) as caught:
        Chat.from_dict(values)
    assert message in caught.value.message
    assert "plugchat_async.converter" in caught.value.hint


@pytest.mark.parametrize(
    ("chat", "id_"),
    [(Chat("1", lid="2@lid"), "1"), (Chat(lid="2@lid"), "2@lid"), (Chat("1"), "1"), (Chat(), "")],
)
def test_an_id_is_what_one_can_write_to(chat: Chat, id_: str) -> None:
    """The phone, else the lid."""
    assert chat.id == id_


@pytest.mark.parametrize(
    ("chat", "kind"),
    [
        (Chat("5511999999999"), "person"),
        (Chat(lid="111000000000001@lid"), "person"),
        (Chat("111000000000001@lid"), "person"),
        (Chat("0"), "person"),
        (Chat("120363000000000001-group"), "group"),
        (Chat("120363000000000001-group", is_group=False), "group"),
        (Chat("5544999999999-1598000000"), "group"),
        (Chat("120363000000000001@g.us"), "group"),
        (Chat("x", is_group=True), "group"),
        (Chat("x", is_group_announcement=True), "group"),
        (Chat("5511999999999@broadcast"), "broadcast"),
        (Chat("120363000000000001@newsletter"), "channel"),
        (Chat("status"), "status"),
        (Chat("status@broadcast"), "status"),
        (Chat("my-group-of-friends"), "person"),
    ],
)
def test_a_kind_is_told_by_flags_or_by_the_id(chat: Chat, kind: str) -> None:
    """A flag that is set decides, else the form of the id."""
    assert chat.kind == kind


@pytest.mark.parametrize(("count", "last"), [(0, True), (1, True), (2, False), (3, False)])
def test_a_short_page_is_the_last(count: int, last: bool) -> None:
    """Fewer rows than asked for; a server that sends more has not ended."""
    page = Page(1, 2, (CHAT,) * count, b"[]")
    assert page.is_short == last
    assert pickle.loads(pickle.dumps(page)) == page
    assert "raw=<2 bytes>" in repr(page)


def test_rows_that_could_not_be_read_count_for_the_length() -> None:
    """So do those that were yielded before: both stood on the page."""
    page = Page(
        1, 4, (CHAT,), b"[]", skipped=1, unreadable_keys=("a", "b"), problems=(Problem(0, "", "an object", "3"),)
    )
    assert page.length == 4
    assert not page.is_short


def test_the_rows_of_a_page_have_all_keys() -> None:
    """As the server sent them, by their index; also what is no object, or can't be read."""
    raw = '[{"phone":"1","tags":["a"],"communityId":""},3,{"unread":1e999,"name":"\\ud83d"},{"x":NaN}]'
    page = Page(1, 4, (), raw.encode())
    assert page.rows == (
        {"phone": "1", "tags": ["a"], "communityId": ""},
        {},
        {"unread": b"1e999", "name": "\ufffd"},
        {"x": "NaN"},
    )
    assert page.rows is page.rows
    assert pickle.loads(pickle.dumps(page)).rows == page.rows
