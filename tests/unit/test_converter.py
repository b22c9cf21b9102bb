"""The public converter: all rules about the wire, for rows, for pages, and for users' own classes."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from unittest.mock import patch

import attrs
import pytest
from cattrs import ClassValidationError, transform_error
from hypothesis import example, given
from hypothesis import strategies as st

from plugchat_async import FOREVER, Chat, DecodeError, NotAListError, NotJSONError, Problem
from plugchat_async._http.decode_fast import fast_lane
from plugchat_async._http.decode_values import MalformedValueError, wire_name
from plugchat_async._internal.json_slices import RefusedError
from plugchat_async.converter import WireConverter, converter
from support import PAYLOADS

PAGE = (PAYLOADS / "gateway_page.json").read_text("utf-8")

TEXTS = st.text(min_size=1, max_size=10)
FIRST = datetime(1970, 1, 1, 0, 0, 0, 1)  # noqa: DTZ001 - hypothesis adds the zone
TIMES = st.datetimes(min_value=FIRST, timezones=st.just(UTC))
FLAGS = st.none() | st.booleans()
CHATS = st.builds(
    Chat,
    phone=st.none() | TEXTS,
    name=st.none() | TEXTS,
    unread=st.integers(0, 2**63 - 1),
    last_message_time=st.none() | TIMES | TIMES.map(lambda time: time.replace(microsecond=0)),
    is_muted=st.booleans(),
    is_marked_spam=st.booleans(),
    profile_thumbnail=st.none() | TEXTS,
    messages_unread=st.none() | st.integers(0, 2**63 - 1),
    lid=st.none() | TEXTS,
    is_pinned=FLAGS,
    is_archived=FLAGS,
    is_group=FLAGS,
    is_group_announcement=FLAGS,
    muted_until=st.none() | TIMES | st.just(FOREVER),
).filter(lambda chat: bool(chat.id))


def test_a_row_is_read() -> None:
    """From a dict, as of a webhook or a file: the first row of the gateway's page."""
    row = json.loads(PAGE)[0]
    assert converter.structure(row, Chat) == Chat(
        "551190000001",
        "Ana",
        2,
        datetime(2026, 1, 15, 17, 20, 7, tzinfo=UTC),
        is_muted=False,
        is_marked_spam=False,
        profile_thumbnail=None,
        messages_unread=0,
        lid="111000000000001@lid",
        is_pinned=True,
        is_archived=False,
        is_group=False,
        is_group_announcement=False,
    )


def test_a_page_of_today_is_read() -> None:
    """Rows without a phone, without a time, with a name alone: who they are, and of which kind."""
    assert [(chat.id, chat.kind, chat.name, chat.last_message_time is None) for chat in converter.loads(PAGE)] == [
        ("551190000001", "person", "Ana", False),
        ("111000000000001@lid", "person", "Ana", True),
        ("120363000000000001-group", "group", "Vendas", False),
        ("111000000000002@lid", "person", None, True),
    ]


@pytest.mark.slow
@given(CHATS)
@example(Chat("1", last_message_time=datetime(5138, 11, 16, 9, 46, 39, 999_000, tzinfo=UTC)))
@example(Chat("1", last_message_time=datetime(1973, 3, 3, 9, 46, 40, tzinfo=UTC)))
@example(Chat("1", last_message_time=datetime(1973, 3, 3, 9, 46, 39, 999_000, tzinfo=UTC)))
@example(Chat("null", name="null"))
@example(Chat("1", last_message_time=FOREVER, muted_until=FOREVER))
def test_what_is_written_is_read_back(chat: Chat) -> None:
    """A row, through JSON and without it, by the converter and by its copy."""
    row = converter.unstructure(chat)
    assert converter.structure(row, Chat) == chat
    assert converter.loads(json.dumps([row])) == (chat,)
    assert converter.copy().loads(json.dumps([row])) == (chat,)


def test_a_row_is_written_as_the_gateway_does() -> None:
    """Texts for flags, counts and milliseconds; nothing for what is not known."""
    chat = Chat("1", "Ana", 2, datetime(2026, 1, 15, 17, 20, 7, tzinfo=UTC), is_pinned=True, is_group=False)
    assert converter.unstructure(chat) == {
        "phone": "1",
        "name": "Ana",
        "unread": "2",
        "lastMessageTime": "1768497607000",
        "isMuted": "0",
        "isMarkedSpam": "false",
        "pinned": "true",
        "isGroup": False,
    }
    assert converter.unstructure(Chat("1", muted_until=FOREVER))["muteEndTime"] == -1
    odd = Chat("1", last_message_time=datetime(2026, 1, 1, 3, 0, 0, 1, tzinfo=timezone(timedelta(hours=3))))
    assert converter.unstructure(odd)["lastMessageTime"] == "2026-01-01T00:00:00.000001+00:00"


def test_a_row_that_is_none_says_why() -> None:
    """In cattrs' own way, with the path of each value; a row without an id, or that is no object, is none."""
    with pytest.raises(ClassValidationError) as caught:
        converter.structure({"phone": "1", "unread": "many", "pinned": "perhaps"}, Chat)
    assert transform_error(caught.value, format_exception=lambda error, _: str(error)) == [
        "expected a count @ $.unread",
        "expected true or false, 1 or 0 @ $.is_pinned",
    ]
    for row in ({"name": "x"}, {"phone": "", "lid": None}):
        with pytest.raises(MalformedValueError, match="expected a phone or a lid"):
            converter.structure(row, Chat)
    nothings: list[object] = [None, 7, "x", []]
    for nothing in nothings:
        with pytest.raises(MalformedValueError, match="expected an object"):
            converter.structure(nothing, Chat)


def test_a_class_of_your_own_may_need_a_time() -> None:
    """0 and null, "none", are one only for a field that may be None."""

    @attrs.frozen
    class Message:
        last_message_time: datetime

    @attrs.frozen
    class Muted:
        muted_until: datetime | None

    assert converter.structure({"muteEndTime": None}, Muted) == Muted(None)
    message = converter.structure({"lastMessageTime": 1768497607}, Message)
    assert message.last_message_time == datetime(2026, 1, 15, 17, 20, 7, tzinfo=UTC)
    with pytest.raises(ClassValidationError) as caught:
        converter.structure({"lastMessageTime": 0}, Message)
    assert "expected" in transform_error(caught.value)[0]


def test_a_dict_made_by_hand_may_hold_datetimes() -> None:
    """As a test's does; one without an offset is refused."""
    time = datetime(2026, 1, 1, 3, tzinfo=timezone(timedelta(hours=3)))
    chat = converter.structure({"phone": "1", "lastMessageTime": time}, Chat)
    assert chat.last_message_time is not None
    assert chat.last_message_time == datetime(2026, 1, 1, tzinfo=UTC)
    assert chat.last_message_time.tzinfo is UTC
    with pytest.raises(ClassValidationError):
        converter.structure({"phone": "1", "lastMessageTime": time.replace(tzinfo=None)}, Chat)


def test_a_page_with_bad_values() -> None:
    """They are raised, unless there is a list to take them."""
    body = '[{"phone":"1","unread":"many"},{"phone":"2"},{"name":"x"}]'
    with pytest.raises(DecodeError) as caught:
        converter.loads(body)
    problems: list[Problem] = []
    assert converter.loads(body, problems=problems) == (Chat("1"), Chat("2"))
    assert tuple(problems) == caught.value.problems
    assert [problem.index for problem in problems] == [0, 2]
    assert converter.loads(body.encode(), Chat, problems=[]) == (Chat("1"), Chat("2"))


@pytest.mark.parametrize(
    ("body", "error"),
    [("<html>", NotJSONError), ("{}", NotAListError), ("[{}]", DecodeError)],
)
def test_what_is_no_page_is_an_error(body: str, error: type[Exception]) -> None:
    """Also where bad values are taken."""
    with pytest.raises(error):
        converter.loads(body, problems=[])


def test_a_copy_without_details_tells_them_all_the_same() -> None:
    """Of a page it is always said which value can't be read, and the others are read."""
    problems: list[Problem] = []
    terse = converter.copy(detailed_validation=False)
    assert terse.loads('[{"phone":"1","unread":"many"}]', problems=problems) == (Chat("1"),)
    assert [str(problem) for problem in problems] == ["chat 0, unread: expected a count, got 'many'"]


@attrs.frozen
class Lead:
    """What a user builds around a chat."""

    chat: Chat
    score: int
    first_seen: datetime | None = None
    colour: complex = 0j


def test_a_copy_takes_hooks_of_its_own() -> None:
    """It knows all rules, and more; the converter that it was copied from does not change."""
    mine = converter.copy()
    assert isinstance(mine, WireConverter)
    mine.register_structure_hook(complex, lambda value, _: complex(value))
    mine.register_unstructure_hook(complex, str)
    mine.register_structure_hook(str, lambda value, _: str(value).strip().upper())
    row = {"chat": {"phone": " x ", "unread": "3"}, "score": "7", "firstSeen": "1768497607000", "colour": "1+2j"}
    lead = mine.structure(row, Lead)
    assert lead == Lead(Chat("X", unread=3), 7, datetime(2026, 1, 15, 17, 20, 7, tzinfo=UTC), 1 + 2j)
    assert mine.structure(mine.unstructure(lead), Lead) == lead
    # Pages, too: its hooks are asked, not the accelerator.
    assert mine.loads('[{"phone":" x "}]') == (Chat("X"),)
    assert converter.loads('[{"phone":" x "}]') == (Chat(" x "),)


def test_a_class_of_other_types_is_read_by_cattrs_alone() -> None:
    """The accelerator knows texts, counts, flags and times; classes with other fields are read all the same."""
    assert fast_lane(Lead) is None
    mine = converter.copy()
    mine.register_structure_hook(complex, lambda value, _: complex(value))
    problems: list[Problem] = []
    [lead] = mine.loads('[{"chat":{"phone":"1"},"score":1},{"chat":7,"score":1}]', Lead, problems=problems)
    assert lead == Lead(Chat("1"), 1)
    assert [(problem.index, problem.field) for problem in problems] == [(1, "chat")]


def test_the_fast_lane_refuses_what_it_can_not_read() -> None:
    """A page or a row that is spelled in a way of its own is the converter's."""
    lane = fast_lane(Chat)
    assert lane is not None
    assert lane.read_row(b'{"phone":"1"}') == Chat("1")
    for row in (b'{"phone":"1","unread":""}', b'{"name":"x"}', b'{"lid":"","phone":""}', b"7"):
        with pytest.raises(RefusedError):
            lane.read_row(row)
        with pytest.raises(RefusedError):
            lane.read(b"[%b]" % row)


def test_names_on_the_wire() -> None:
    """camelCase, but for three."""
    assert {a.name: wire_name(a.name) for a in attrs.fields(Chat)} == {
        "phone": "phone",
        "name": "name",
        "unread": "unread",
        "last_message_time": "lastMessageTime",
        "is_muted": "isMuted",
        "is_marked_spam": "isMarkedSpam",
        "profile_thumbnail": "profileThumbnail",
        "messages_unread": "messagesUnread",
        "lid": "lid",
        "is_pinned": "pinned",
        "is_archived": "archived",
        "is_group": "isGroup",
        "is_group_announcement": "isGroupAnnouncement",
        "muted_until": "muteEndTime",
    }


def refuse_five(_: object, __: object, value: int) -> None:
    if value > 5:
        raise ValueError("more than five")


def in_capitals(name: str | None) -> str | None:
    return None if name is None else name.upper()


@attrs.frozen
class Checked:
    """A class that checks, changes and makes values itself when it is called."""

    phone: str
    unread: int = attrs.field(default=0, validator=refuse_five)
    name: str | None = attrs.field(default=None, converter=in_capitals)
    labels: str | None = attrs.field(factory=lambda: "made")


@attrs.frozen
class Finished:
    """A class that does something when it has been called."""

    phone: str

    def __attrs_post_init__(self) -> None:
        if self.phone == "0":
            raise ValueError("nobody")


def test_a_class_that_does_more_is_read_as_it_is_called() -> None:
    """With its own checks, changes and factories: by the converter alone, since the accelerator knows none of them."""
    assert fast_lane(Checked) is None
    assert fast_lane(Finished) is None
    problems: list[Problem] = []
    found = converter.loads('[{"phone":"1","unread":"9"},{"phone":"2","name":"a"}]', Checked, problems=problems)
    assert found == (Checked("2", name="A"),)
    assert found[0].labels == "made"
    assert [(problem.index, problem.expected) for problem in problems] == [(0, "values that the class takes")]
    assert converter.loads('[{"phone":"1"},{"phone":"0"}]', Finished, problems=problems) == (Finished("1"),)
    with pytest.raises(DecodeError, match="values that the class takes"):
        converter.loads('[{"phone":"1"},{"phone":"0"}]', Finished)


REGISTER: dict[str, Callable[[WireConverter, Callable[[object, object], Chat]], object]] = {
    "a type": lambda mine, hook: mine.register_structure_hook(Chat, hook),
    "a predicate": lambda mine, hook: mine.register_structure_hook_func(lambda kind: kind is Chat, hook),
    "a factory": lambda mine, hook: mine.register_structure_hook_factory(lambda kind: kind is Chat, lambda _: hook),
}


@pytest.mark.parametrize("by", REGISTER)
def test_hooks_that_are_registered_later_are_asked(by: str) -> None:
    """Also on the public converter itself, for which the accelerator would read otherwise."""
    mine = converter.copy()
    with patch("plugchat_async.converter.converter", mine):
        assert mine.loads('[{"phone":"1"}]') == (Chat("1"),)
        REGISTER[by](mine, lambda _, __: Chat("42"))
        assert mine.structure({"phone": "1"}, Chat) == Chat("42")
        assert mine.loads('[{"phone":"1"}]') == (Chat("42"),)


def test_half_an_emoji_is_one_character_wherever_it_comes_from() -> None:
    """From a row, from a text, from bytes: what is left can be written."""
    chat = Chat("1", "Ana \ufffd")
    text = '[{"phone":"1","name":"Ana \ud83d"}]'
    assert converter.structure({"phone": "1", "name": "Ana \ud83d"}, Chat) == chat
    assert converter.loads(text) == (chat,)
    assert converter.loads(json.dumps(json.loads(text))) == (chat,)
