"""The vendor's other lists, and a `Call` of one's own: all that a walk of chats has, apart from it."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, cast

import attrs
import pytest
from attrs import define, frozen

from plugchat_async import (
    CHATS,
    CONTACTS,
    PENDING_CHATS,
    Call,
    Contact,
    DecodeError,
    InvalidTypeError,
    InvalidValueError,
    Page,
    PendingChat,
    PlugChatError,
    PlugChatSession,
    RateLimitedError,
    RetryPolicy,
    ServerError,
    SessionStateError,
    WalkReport,
)
from plugchat_async.converter import converter
from support.fakes import FakeTime, RawServer, answering, http
from support.requests import requested_targets


@frozen
class Business:
    """What a list of the vendor that this package does not know may hold."""

    phone: str
    name: str | None = None
    is_business: bool = False

    @property
    def last_message_time(self) -> None:
        """It is sorted by nothing that is known."""


BUSINESSES = Call("/api/whatsapp/businesses", Business)


def answer(*rows: Mapping[str, object]) -> bytes:
    return http(json.dumps(rows).encode())


def session(server: RawServer, **options: Any) -> PlugChatSession:
    return PlugChatSession("t0ken", base_url=server.base_url, clock=FakeTime().clock, **options)


async def test_a_call_of_your_own_is_walked() -> None:
    """With all that a walk of chats has: typed, in both lanes, verified by counting."""
    first = answer({"phone": "1", "name": "Ana", "isBusiness": "true"}, {"phone": "2", "name": None})
    reports: list[WalkReport] = []
    async with RawServer(answering(first, answer({"phone": "3"}), close=False)) as server, session(server) as plugchat:
        walk = plugchat.walk(BUSINESSES, 2, on_report=reports.append)
        assert [item async for item in walk] == [Business("1", "Ana", True), Business("2"), Business("3")]
        # The server's first short page is doubted.
        assert requested_targets(server)[:2] == [f"{BUSINESSES.path}?page={n}&pageSize=2" for n in (1, 2)]
    assert reports[0].verified
    assert repr(walk) == "<ChatWalk /api/whatsapp/businesses closed>"


async def test_its_bad_values_are_told() -> None:
    """With the words of its own class, as is a field that must be there."""
    rows = answer({"phone": "1", "isBusiness": "perhaps"}, {"name": "x"})
    async with (
        RawServer(answering(rows, close=False)) as server,
        session(server, on_bad_value="raise") as plugchat,
    ):
        with pytest.raises(DecodeError) as caught:
            await plugchat.walk(BUSINESSES, 5).to_list()
    told = [(problem.index, problem.field, problem.expected) for problem in caught.value.problems]
    assert told == [(0, "isBusiness", "true or false, 1 or 0"), (1, "phone", "a text")]
    assert str(caught.value.problems[1]) == "business 1, phone: expected a text, got nothing"


@frozen
class Order:
    """A class whose fields have names of what reads them, and two of them one key."""

    phone: str
    times: datetime | None = None
    rows: datetime | None = None
    new: datetime | None = None
    last_message_time: datetime | None = None


@frozen
class Pinned:
    phone: str
    pinned: bool = False
    isPinned: bool = False  # noqa: N815 - the gateway's own name
    is_pinned: bool = False
    last_message_time: datetime | None = None


@frozen
class Paid:
    phone: str
    paid_at: datetime
    last_message_time: datetime | None = None


async def test_fields_may_have_any_names() -> None:
    """Those of what reads them, and two for one key of the gateway."""
    row = {
        "phone": "1",
        "times": "1768497607000",
        "rows": 0,
        "pinned": "1",
        "isPinned": 1,
        "lastMessageTime": 1768497607,
    }
    time = datetime(2026, 1, 15, 17, 20, 7, tzinfo=UTC)
    rows = answer(row)
    for item, expected in (
        (Order, Order("1", times=time, last_message_time=time)),
        (Pinned, Pinned("1", pinned=True, isPinned=True, is_pinned=True, last_message_time=time)),
    ):
        async with RawServer(answering(rows, *[answer()] * 3, close=False)) as server, session(server) as plugchat:
            assert await plugchat.walk(Call("/x", item)).to_list() == [expected]


async def test_a_time_that_must_be_there() -> None:
    """0, "none", is not a time: such a row can't be read, and is counted, as one without the key."""
    rows = answer({"phone": "1", "paidAt": 1768497607}, {"phone": "2", "paidAt": 0}, {"phone": "3", "paidAt": "1"})
    call = Call("/x", Paid)
    async with RawServer(answering(rows, *[answer()] * 3, close=False)) as server, session(server) as plugchat:
        [page] = [page async for page in plugchat.walk(call).pages()]
    assert [item.phone for item in page.items] == ["1", "3"]
    assert [(problem.index, problem.field, problem.got) for problem in page.problems] == [(1, "paidAt", "0")]
    assert page.problems[0].expected.startswith("a time: epoch seconds")
    async with RawServer(answering(answer({"phone": "1"}), close=False)) as server, session(server) as plugchat:
        with pytest.raises(DecodeError) as caught:
            await plugchat.walk(call).to_list()
    told = (
        "not a page of paids: of 1 rows, at least 1 can't be read: page 1, paid 0, paidAt: expected a time, got nothing"
    )
    assert str(caught.value).startswith(told)


@pytest.mark.parametrize(("call", "noun"), [(CHATS, "chats"), (CONTACTS, "contacts"), (PENDING_CHATS, "pending chats")])
async def test_an_error_names_what_is_listed(call: Call[Any], noun: str) -> None:
    """A page of pending chats is not a page of chats."""
    async with RawServer(answering(answer({"x": 1}), close=False)) as server, session(server) as plugchat:
        with pytest.raises(DecodeError, match=f"not a page of {noun}: of 1 rows"):
            await plugchat.walk(call).to_list()


async def test_contacts() -> None:
    """As the vendor's page has them, and with what today's gateway leaves empty."""
    full = {"name": "Ana Lima", "short": "Ana", "vname": "Ana L.", "notify": "aninha", "phone": "5511999999999"}
    rows = answer(full, {"phone": 5511, "name": ""}, {"phone": "", "lid": "1@lid", "notify": None}, {"phone": "2"})
    expected = [
        Contact("5511999999999", "Ana Lima", "Ana", "Ana L.", "aninha"),
        Contact("5511"),
        Contact(lid="1@lid"),
        Contact("2"),
    ]
    async with RawServer(answering(rows, answer(), close=False)) as server, session(server) as plugchat:
        assert [contact async for contact in plugchat.iter_contacts(4)] == expected
        assert requested_targets(server)[0] == "/api/whatsapp/contacts?page=1&pageSize=4"
    assert [contact.id for contact in expected] == ["5511999999999", "5511", "1@lid", "2"]


async def test_pending_chats() -> None:
    """In the spelling of the vendor's page, in today's, and in others that chats were seen in."""
    documented = {
        "name": "Ana", "phone": "1", "profileThumbnail": None, "lastMessageTime": "1622991687",
        "unreadMessagesCount": "2", "isMarkedAsUnread": "false", "isMuted": "1",
    }  # fmt: skip
    today = {
        "phone": "", "lid": "1@lid", "lastMessageTime": 1768497607000, "unreadMessagesCount": -1,
        "isMarkedAsUnread": True,
    }  # fmt: skip
    expected = [
        PendingChat("1", "Ana", 2, False, datetime(2021, 6, 6, 15, 1, 27, tzinfo=UTC), True),
        PendingChat(None, None, 0, True, datetime(2026, 1, 15, 17, 20, 7, tzinfo=UTC), lid="1@lid"),
    ]
    rows = answer(documented, today)
    async with RawServer(answering(rows, answer(), close=False)) as server, session(server) as plugchat:
        assert [chat async for chat in plugchat.iter_pending_chats(2)] == expected
        assert requested_targets(server)[0].startswith("/api/chat/get-pending-chats?page=1&pageSize=")


@pytest.mark.parametrize(
    "item",
    [
        Contact("1", "Ana", "A", "B", "C", "1@lid"),
        PendingChat("1", "Ana", 2, True, datetime(2026, 1, 15, 17, 20, 7, tzinfo=UTC), True, "https://x", "1@lid"),
    ],
)
def test_items_are_read_back(item: Contact | PendingChat) -> None:
    """As JSON has them, and as the gateway spells them."""
    assert type(item).from_dict(json.loads(json.dumps(item.to_dict()))) == item
    assert converter.structure(converter.unstructure(item), type(item)) == item
    with pytest.raises(InvalidValueError, match=r"not a (contact|pending chat): there is neither a phone nor a lid"):
        type(item).from_dict({"name": "x"})


async def test_two_calls_share_limits() -> None:
    """What a 429 asks of one call holds for the other: it is the account's."""
    limited = http(b"", "Retry-After: 7", status="429 Too Many Requests")
    time = FakeTime()
    async with (
        RawServer(answering(limited, answer({"phone": "1"}), answer(), close=False)) as server,
        PlugChatSession("t0ken", base_url=server.base_url, retry=RetryPolicy(attempts=1), clock=time.clock) as plugchat,
    ):
        with pytest.raises(RateLimitedError):
            await plugchat.list_chats()
        assert await plugchat.list_contacts() == [Contact("1")]
        assert sum(time.sleeps) >= 7


async def test_a_checkpoint_is_of_its_call() -> None:
    """It goes on with the call that it was of, and with no other."""
    pages = [answer({"phone": "1"}, {"phone": "2"}), *[http(b"", status="503 Service Unavailable")] * 3]
    async with (
        RawServer(answering(*pages, answer({"phone": "3"}), answer(), close=False)) as server,
        session(server) as plugchat,
    ):
        with pytest.raises(ServerError) as caught:
            [contact async for contact in plugchat.iter_contacts(2)]
        checkpoint = caught.value.checkpoint
        with pytest.raises(InvalidValueError, match=f"is a checkpoint of {CONTACTS.path}, not of {CHATS.path}"):
            await plugchat.list_chats(resume=checkpoint)
        assert await plugchat.list_contacts(resume=checkpoint) == [Contact("3")]


async def test_the_session_must_be_open() -> None:
    """As for chats, and only when the generator is iterated."""
    plugchat = PlugChatSession("t0ken")
    contacts = plugchat.iter_contacts()
    with pytest.raises(SessionStateError):
        await anext(contacts)
    with pytest.raises(SessionStateError):
        plugchat.walk(CONTACTS)
    with pytest.raises(InvalidTypeError, match="call must be of type plugchat_async.Call, got str"):
        plugchat.walk(cast("Any", "/api/whatsapp/contacts"))


@frozen
class NoPhone:
    last_message_time: None = None


@frozen
class NoTime:
    phone: str


@define
class NotHashable:
    phone: str
    last_message_time: datetime | None = None


@frozen
class WithTags:
    phone: str
    tags: list[str] | None = None
    last_message_time: datetime | None = None


@frozen
class Unknown:
    phone: str
    colour: "Colour | None" = None  # type: ignore[name-defined]  # noqa: F821 - meant  # pyright: ignore[reportUndefinedVariable]
    last_message_time: datetime | None = None


@frozen(eq=False)
class NotEqual:
    phone: str
    last_message_time: datetime | None = None


@attrs.frozen(slots=False)
class WithoutSlots:
    phone: str
    last_message_time: datetime | None


@pytest.mark.parametrize(
    ("path", "item", "message"),
    [
        ("contacts", Contact, "invalid path 'contacts'"),
        ("/contacts?x=1", Contact, "invalid path '/contacts\\?x=1'"),
        ("//evil.example/contacts", Contact, "invalid path"),
        ("/api/../contacts", Contact, "invalid path"),
        ("/api/..", Contact, "invalid path"),
        ("/api/contacts/", Contact, "invalid path"),
        ("/api/contacts\n", Contact, "invalid path"),
        ("@evil.example/contacts", Contact, "invalid path"),
        (5, Contact, "path must be of type str, got int"),
        ("/x", "Contact", "item must be an attrs class, got 'Contact'"),
        ("/x", dict, "item must be an attrs class, got 'dict'"),
        ("/x", NoPhone, "NoPhone has no phone"),
        ("/x", NoTime, "NoTime has no last_message_time"),
        ("/x", NotHashable, "NotHashable is not hashable"),
        ("/x", NotEqual, "two equal NotEqual would be different ones"),
        ("/x", WithTags, r"WithTags.tags is of type list\[str\] \| None, which is not hashable"),
        ("/x", Unknown, "the types of Unknown are not known: name 'Colour' is not defined"),
    ],
)
def test_a_wrong_call_is_refused(path: Any, item: Any, message: str) -> None:
    """Where it is made, before a token is sent anywhere."""
    with pytest.raises(PlugChatError, match=message) as caught:
        Call(path, item)
    assert caught.value.hint


def test_a_call() -> None:
    """It is a value, whose fields are its path and its class."""
    assert repr(CONTACTS) == "Call(path='/api/whatsapp/contacts', item=Contact, consistency='exact')"
    with pytest.raises(InvalidValueError, match="consistency must be"):
        Call("/x", Contact, consistency=cast("Any", "none"))
    assert Call("/api/v1.2/contacts", WithoutSlots).item is WithoutSlots
    assert {CONTACTS: 1}[Call("/api/whatsapp/contacts", Contact)]


def test_pages_have_items() -> None:
    """A better name than `chats`."""
    assert Page(1, 1, (Contact("1"),), b"").items == (Contact("1"),)
