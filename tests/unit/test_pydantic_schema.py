"""Chats, pages, events and reports in pydantic: as fields of models, as JSON, and in schemas that clients read."""

import dataclasses
import inspect
import re
import subprocess
import sys
import typing
from datetime import UTC, datetime
from typing import Annotated, Any

import attrs
import pytest
from pydantic import (
    BaseModel,
    Field,
    PydanticSchemaGenerationError,
    PydanticUserError,
    TypeAdapter,
    ValidationError,
)
from pydantic_core import to_json

from plugchat_async import (
    FOREVER,
    AccountStatus,
    Chat,
    ChatAdded,
    ChatChanged,
    ChatEvent,
    ChatRemoved,
    Contact,
    ItemList,
    Page,
    PendingChat,
    Problem,
    WalkReport,
)
from plugchat_async._pydantic_schema import ClientSchema, described_by
from plugchat_async.export.csv_and_json import event_to_json

TIME = datetime(2021, 6, 6, tzinfo=UTC)
CHAT = Chat("5511999999999", "Ana", 3, TIME, is_muted=True, lid="1@lid", is_pinned=True, muted_until=FOREVER)
OLD = attrs.evolve(CHAT, unread=0)
EVENTS = [ChatAdded(CHAT), ChatChanged(OLD, CHAT, ("unread",)), ChatRemoved(CHAT)]
PROBLEM = Problem(0, "unread", "a number", "'x'")
PAGE = Page(2, 100, (CHAT, OLD), b'[{"secret":1}]', 3, ("digest",), (PROBLEM,), 1)
REPORT = WalkReport(1, 2, 3, 4, 5, 6, verified=True, reason="", elapsed=0.5)
VALUES = [
    CHAT,
    PAGE,
    PROBLEM,
    AccountStatus(connected=True),
    REPORT,
    Contact("1", short="A"),
    PendingChat("1", is_muted=True),
    *EVENTS,
]
# Fields that clients do not see: what the vendor's server sent, and digests of it.
HIDDEN = {"raw", "unreadable_keys", "raw_headers", "status"}


def of_class(value: object) -> str:
    return type(value).__name__


class Board(BaseModel):
    """A model of a user's own."""

    chats: list[Chat]
    status: AccountStatus | None = None
    event: ChatEvent | None = None


@pytest.mark.parametrize("value", VALUES, ids=of_class)
def test_values_are_taken_as_they_are_and_read_back_equal(value: Any) -> None:
    """Not copied; and from JSON all that clients see comes back."""
    adapter = TypeAdapter[Any](type(value))
    assert adapter.validate_python(value) is value
    hidden = {"raw": b"", "unreadable_keys": ()} if isinstance(value, Page) else {}
    assert adapter.validate_json(adapter.dump_json(value)) == attrs.evolve(value, **hidden)
    assert adapter.validate_python(adapter.dump_python(value)) == attrs.evolve(value, **hidden)


def test_a_chat_is_what_an_export_has() -> None:
    """The same names, order and times."""
    assert TypeAdapter(Chat).dump_python(CHAT, mode="json") == CHAT.to_dict()
    assert list(TypeAdapter(Chat).dump_python(CHAT)) == list(CHAT.to_dict())


@pytest.mark.parametrize("event", EVENTS, ids=of_class)
def test_an_event_is_what_plugchat_watch_prints(event: ChatEvent) -> None:
    """It says which it is, so that it is read back as itself out of a union."""
    adapter = TypeAdapter[Any](ChatEvent)
    assert adapter.dump_json(event).decode() == event_to_json(event)
    assert adapter.validate_json(event_to_json(event)) == event


def test_events_are_a_union_with_a_discriminator() -> None:
    """Of JSON and of the objects: then an error is of the one event that it is, and the schema says so."""
    events: TypeAdapter[Any] = TypeAdapter(list[Annotated[ChatEvent, Field(discriminator="event")]])
    known: list[ChatEvent] = [ChatAdded(CHAT), ChatChanged(CHAT, CHAT, ("name",)), ChatRemoved(CHAT)]
    assert events.validate_python(known) == events.validate_json(events.dump_json(known)) == known
    assert [event.event for event in known] == [event["event"] for event in events.dump_python(known)]
    with pytest.raises(ValidationError, match="1 validation error"):
        events.validate_python([{"event": "added"}])
    assert events.json_schema()["items"]["discriminator"]["propertyName"] == "event"


def test_the_list_that_a_session_returns_is_a_list() -> None:
    """Of chats, as list[Chat] is."""
    chats, plain = TypeAdapter(ItemList[Chat]), TypeAdapter(list[Chat])
    known = ItemList([CHAT, Chat("2")])
    assert chats.dump_json(known) == plain.dump_json(known)
    read = chats.validate_json(chats.dump_json(known))
    assert (read, type(read)) == (known, ItemList)
    assert chats.validate_python(known) == known
    for mode in ("validation", "serialization"):
        assert chats.json_schema(mode=mode) == plain.json_schema(mode=mode)
    with pytest.raises(ValidationError):
        chats.validate_python([{}])
    assert TypeAdapter(ItemList[Contact]).validate_json('[{"phone":"1"}]') == [Contact("1")]


def test_a_page_does_not_show_what_the_server_sent() -> None:
    """Its bytes would double it, and have keys that are nobody's business."""
    assert b"secret" not in TypeAdapter(Page).dump_json(PAGE)
    assert HIDDEN.isdisjoint(TypeAdapter(Page).dump_python(PAGE))


def test_they_are_fields_of_models() -> None:
    """Made of objects or of JSON, and written with the model's options."""
    board = Board.model_validate({"chats": [CHAT, {"phone": "1"}], "event": {"event": "removed", "chat": {"lid": "2"}}})
    assert board == Board(chats=[CHAT, Chat("1")], event=ChatRemoved(Chat(lid="2")))
    assert Board.model_validate_json(board.model_dump_json()) == board
    assert board.model_dump(mode="json", exclude_defaults=True)["chats"][1] == {"phone": "1"}


def test_a_caller_chooses_members() -> None:
    """With `include` and `exclude`, also of what is further inside; FastAPI's `response_model_exclude` is one."""
    chats = TypeAdapter(list[Chat])
    assert chats.dump_python([CHAT], include={0: {"phone", "unread"}}) == [{"phone": CHAT.phone, "unread": 3}]
    assert b"lid" not in chats.dump_json([CHAT], exclude={"__all__": {"lid"}})
    page = TypeAdapter(Page).dump_python(PAGE, include={"chats": {0: {"name"}}})
    assert page == {"chats": ({"name": "Ana"},)}
    removed = TypeAdapter(ChatRemoved).dump_json(ChatRemoved(CHAT), include={"chat": {"name"}})
    assert removed == b'{"chat":{"name":"Ana"}}'


@pytest.mark.parametrize("value", VALUES, ids=of_class)
def test_they_are_written_without_a_type(value: Any) -> None:
    """In a dict, or where the annotation is Any."""
    known = TypeAdapter[Any](type(value)).dump_json(value)
    assert to_json(value) == TypeAdapter[Any](Any).dump_json(value) == known


@pytest.mark.parametrize(
    ("sent", "message"),
    [
        ({}, "there is neither a phone nor a lid"),
        ({"phone": "1", "last_message_time": "2021-06-06T00:00:00"}, "last_message_time has no offset from UTC"),
        ({"phone": 1}, "Input should be a valid string"),
        ({"phone": "1", "unread": "many"}, "Input should be a valid integer"),
        ("1", "Input should be a valid dictionary"),
    ],
)
def test_what_is_no_chat_is_refused(sent: object, message: str) -> None:
    """By pydantic's own error, which says where."""
    with pytest.raises(ValidationError, match=message):
        TypeAdapter(Chat).validate_python(sent)


def test_a_time_is_in_utc() -> None:
    """Whatever its offset was."""
    chat = TypeAdapter(Chat).validate_python({"phone": "1", "last_message_time": "2021-06-06T03:00:00+03:00"})
    assert chat == Chat("1", last_message_time=TIME)
    assert chat.last_message_time is not None
    assert chat.last_message_time.tzinfo is UTC


def test_a_derived_class_has_a_schema_of_its_own() -> None:
    """With its fields, also where there is no type."""

    @attrs.frozen
    class Lead(Chat):
        score: int = 0
        tags: list[str] = attrs.field(factory=list)
        source: str = attrs.field(kw_only=True)

    lead = Lead("1", score=7, source="web")
    assert TypeAdapter(Lead).validate_json(TypeAdapter(Lead).dump_json(lead)) == lead
    assert TypeAdapter(Lead).json_schema()["properties"]["score"] == {"default": 0, "title": "Score", "type": "integer"}
    assert b'"score":7' in to_json(lead)
    assert b"score" not in to_json(CHAT)


def test_the_fields_of_a_derived_class_are_pydantics() -> None:
    """With their limits; a time needs an offset there as well; a private name is that of its argument."""

    @attrs.frozen
    class Lead(Chat):
        score: Annotated[int, Field(ge=0, le=10, description="The score.")] = 0
        seen: Annotated[datetime | None, Field(description="When.")] = None

    @attrs.frozen
    class Marked(Page):
        _mark: int = attrs.field(default=0, alias="mark")

    lead, marked = TypeAdapter(Lead), TypeAdapter(Marked)
    assert lead.json_schema()["properties"]["score"]["maximum"] == 10
    with pytest.raises(ValidationError, match="less than or equal to 10"):
        lead.validate_python({"phone": "1", "score": 99})
    with pytest.raises(ValidationError, match="seen has no offset from UTC"):
        lead.validate_python({"phone": "1", "seen": "2021-06-06T00:00:00"})
    page = Marked(1, 10, (), b"", mark=7)
    assert marked.validate_json(marked.dump_json(page)) == page


@attrs.frozen
class Referred(Chat):
    """A chat of somebody whom others have sent."""

    by: "Referred | None" = None
    others: "list[Referred]" = attrs.field(factory=list)


def test_a_class_may_have_fields_of_its_own_type() -> None:
    """As a tree."""
    adapter = TypeAdapter(Referred)
    tree = Referred("1", by=Referred("2"), others=[Referred("3", by=Referred("4"))])
    assert adapter.validate_json(adapter.dump_json(tree)) == tree
    for mode in ("validation", "serialization"):
        members = adapter.json_schema(mode=mode)["$defs"]["Referred"]["properties"]
        assert members["others"]["items"] == {"$ref": "#/$defs/Referred"}


@pytest.mark.parametrize("value", VALUES, ids=of_class)
def test_clients_read_what_each_member_means(value: Any) -> None:
    """Each has a title and a description without Python's words; each field is there, or hidden by a decision."""
    schema = TypeAdapter[Any](type(value)).json_schema(mode="serialization")
    assert schema["title"] == type(value).__name__
    members = schema["properties"]
    assert members.keys() >= {a.name for a in attrs.fields(type(value))} - HIDDEN - {"new"}
    for about in (schema, *members.values()):
        assert about.get("title") or about["$ref"]  # what is referred to has its own title
        assert about["description"].endswith(".")
        assert not re.search(r"`|\b(None|True|False)\b", about["description"])


@pytest.mark.parametrize("value", VALUES, ids=of_class)
def test_what_is_always_sent_is_required(value: Any) -> None:
    """In the schema of what comes; in that of what a client sends, only what has no default."""
    adapter = TypeAdapter[Any](type(value))
    sent = adapter.dump_python(value)
    assert adapter.json_schema(mode="serialization")["required"] == list(sent)
    needed = [a.name for a in attrs.fields(type(value)) if a.default is attrs.NOTHING and a.name not in HIDDEN]
    needed = [{"new": "chat"}.get(name, name) for name in needed]
    received = adapter.json_schema(mode="validation")
    assert set(received.get("required", [])) - {"event"} == set(needed)


@pytest.mark.slow
def test_pydantic_is_imported_when_it_asks() -> None:
    """Not before: most programs have none."""
    code = """
import sys
from plugchat_async import Chat, Page, PlugChatSession, Problem
assert not {"pydantic", "pydantic_core"} & set(sys.modules)
from pydantic import TypeAdapter
assert TypeAdapter(list[Chat]).dump_json([Chat("1")]).startswith(b'[{"phone":"1"')
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_a_chat_passes_for_a_dataclass() -> None:
    """FastAPI takes those for the body of a request; `dataclasses` works on it, also where it is derived."""

    @attrs.frozen
    class Lead(Chat):
        score: int = 0
        tags: list[str] = attrs.field(factory=list)
        name_of_tags: str = attrs.field(default=attrs.Factory(lambda self: str(self.tags), takes_self=True))
        source: str = attrs.field(kw_only=True)

    @dataclasses.dataclass(frozen=True)
    class Noted(Chat):
        note: str = ""

    # Type checkers do not see it.
    with pytest.raises(PydanticUserError, match="Noted is derived by dataclass: use attrs.frozen instead"):
        TypeAdapter(Noted)
    chat, lead, noted, page = (typing.cast("Any", of) for of in (CHAT, Lead, Noted, Page))
    assert Chat(**dataclasses.asdict(chat)) == CHAT
    assert dataclasses.replace(chat, unread=4) == attrs.evolve(CHAT, unread=4)
    assert [field.name for field in dataclasses.fields(lead)] == [a.name for a in attrs.fields(Lead)]
    assert b'"note":"x"' in to_json(noted("1", note="x"))
    assert not dataclasses.is_dataclass(page)


def test_it_can_be_looked_at_without_pydantic() -> None:
    """As documentation tools and mocks do, which read all attributes."""
    code = """
import inspect, sys
sys.modules["pydantic"] = None
from plugchat_async import Chat, Page
for kind in (Chat, Page):
    assert not hasattr(kind, "__pydantic_serializer__")
    inspect.getmembers(kind)
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_without_pydantic_a_class_has_no_serializer(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if there was no such attribute: here for a class that nobody has asked before."""

    @attrs.frozen
    class Lead(Chat):
        score: int = 0

    monkeypatch.setitem(sys.modules, "pydantic", None)
    assert not hasattr(Lead, "__pydantic_serializer__")
    monkeypatch.undo()
    assert hasattr(Lead, "__pydantic_serializer__")


def test_a_class_without_a_schema_can_be_looked_at() -> None:
    """One of its fields is of a class that pydantic does not know."""

    class Unknown:
        pass

    @attrs.frozen
    class Lead(Chat):
        owner: Unknown | None = None

    assert not hasattr(Lead, "__pydantic_serializer__")
    assert dict(inspect.getmembers(Lead))
    with pytest.raises(PydanticSchemaGenerationError, match="Unknown"):
        TypeAdapter(Lead)


ItemT = typing.TypeVar("ItemT")


class Envelope(BaseModel, typing.Generic[ItemT]):
    """A generic model of a user's own."""

    page: Page[ItemT]


@described_by(ClientSchema("A box.", {"things": "The things."}, variables={"ItemT": "Chat"}))
@attrs.frozen
class Box(typing.Generic[ItemT]):
    """A generic class."""

    things: tuple[ItemT, ...]
    newest: ItemT


@pytest.mark.parametrize(
    ("kind", "title", "item"),
    [
        (Box, "Box", "Chat"),
        (Box[Chat], "Box[Chat]", "Chat"),
        (Box[AccountStatus], "Box[AccountStatus]", "AccountStatus"),
        (Box["Contact"], "Box[Contact]", "Contact"),
        (Box[Annotated[Contact, "a note"]], "Box[Contact]", "Contact"),
    ],
    ids=str,
)
def test_a_generic_class_has_a_schema_for_each_argument(kind: Any, title: str, item: str) -> None:
    """Without one, it has that of its default."""
    schema = TypeAdapter[Any](kind).json_schema()
    assert schema["title"] == title
    assert schema["properties"]["things"]["items"] == {"$ref": f"#/$defs/{item}"} == schema["properties"]["newest"]


def test_generic_classes_are_read_back() -> None:
    """Side by side in one model."""

    class Boxes(BaseModel):
        chats: Box[Chat]
        states: Box[AccountStatus]

    boxes = Boxes(chats=Box((CHAT,), OLD), states=Box((), AccountStatus(connected=True)))
    assert Boxes.model_validate_json(boxes.model_dump_json()) == boxes
    assert {"Box_Chat_", "Box_AccountStatus_"} <= Boxes.model_json_schema()["$defs"].keys()


def test_a_generic_class_may_stand_in_another_one() -> None:
    """With a type variable of a model, or with a union."""
    chat_members = TypeAdapter(Chat).dump_python(CHAT)
    both, mixed = TypeAdapter[Any](Page[Chat | Contact]), Page[Any](1, 10, (Contact("1", short="A"), CHAT), b"")
    assert both.json_schema()["title"] == "Page[Chat | Contact]"
    assert both.dump_python(mixed)["chats"] == (TypeAdapter(Contact).dump_python(mixed.chats[0]), chat_members)
    envelope = Envelope[Contact](page=Page(1, 10, (Contact("1", short="A"),), b""))
    assert Envelope[Contact].model_validate_json(envelope.model_dump_json()) == envelope
    assert "Page_Contact_" in Envelope[Contact].model_json_schema()["$defs"]
