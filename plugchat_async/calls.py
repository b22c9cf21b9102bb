"""The vendor's lists: a `Call` for each, and the classes of their items other than `Chat`.

    async for contact in plugchat.walk(CONTACTS):
        print(contact.phone, contact.name)

All calls have one contract: `page` and `pageSize`, a bare array, and a short page is the last one. So a `Call` of your
own reads any other list of the gateway.
"""

import re
from datetime import datetime
from typing import Any, Final, Generic, Literal, get_args, get_origin

from attrs import field, fields, fields_dict, frozen, has, resolve_types

from plugchat_async._client_schemas import CONTACT, PENDING_CHAT
from plugchat_async._internal.validation import check_choice, check_type
from plugchat_async._items import ItemT_co, ListItem
from plugchat_async._pydantic_schema import described_by, like_dataclass
from plugchat_async.errors import InvalidTypeError, InvalidValueError
from plugchat_async.models import Chat

# The path is appended to the base URL, so it must not be able to change the host, the parameters or the folder.
_PATH: Final = re.compile(r"(/(?!\.{1,2}(/|$))[A-Za-z0-9._~-]+)+")
_ITEM_HINT: Final = (
    "Use a frozen attrs class with a field `phone`, and with `last_message_time`: a field, or a property that returns "
    "None if the list has no times."
)
_TYPE_HINT: Final = "Use str, int, bool or datetime, each also `| None`, and import them where the class is defined."


@frozen
class Call(Generic[ItemT_co]):
    """A call of the vendor that lists something page by page. `PlugChatSession.walk` reads it.

    The name of a field is snake_case; on the wire it is camelCase, and its type chooses how it is read: str, int, bool
    or datetime, each also `| None`. As in `Chat`, `is_pinned`, `is_archived` and `muted_until` are `pinned`, `archived`
    and `muteEndTime` on the wire; a name without an underscore, such as `isPinned`, is the same there. `phone` (and
    `lid`, if there is one) identifies an item.

        @frozen
        class Tag:
            phone: str
            tag_name: str | None = None  # tagName on the wire

            @property
            def last_message_time(self) -> None: ...  # the list has no times

        TAGS = Call("/api/whatsapp/tags", Tag)

    Attributes:
        path: The path below the base URL, such as "/api/whatsapp/contacts".
        item: The class of the items, a frozen attrs class.
        consistency: The default of that option of walks (default "exact"). "strict" is for lists that items leave while
            they are read.

    Raises:
        InvalidValueError: The path is not a plain one, the class lacks what a walk needs, or the consistency is none.
        InvalidTypeError: The path is not a str, the class is not an attrs class, or a field is of a type that makes the
            items unhashable, such as a list.
    """

    path: str
    item: type[ItemT_co] = field(repr=lambda item: item.__name__)
    consistency: Literal["exact", "strict", "plain"] = "exact"

    def __attrs_post_init__(self) -> None:
        check_type("path", self.path, str)
        if not _PATH.fullmatch(self.path):
            raise InvalidValueError(f"invalid path {self.path[:80]!r}", "Use a path such as /api/whatsapp/contacts.")
        check_choice("consistency", self.consistency, ("exact", "strict", "plain"))
        item: Any = self.item
        if not isinstance(item, type) or not has(item):
            raise InvalidTypeError(f"item must be an attrs class, got {getattr(item, '__name__', item)!r}", _ITEM_HINT)
        names = fields_dict(item)
        for name in ("phone", "last_message_time"):
            if name not in names and (name == "phone" or not hasattr(item, name)):
                raise InvalidValueError(f"{item.__name__} has no {name}", _ITEM_HINT)
        if getattr(item, "__hash__", None) is None:
            raise InvalidValueError(f"{item.__name__} is not hashable", _ITEM_HINT)
        if item.__eq__ is object.__eq__:
            raise InvalidValueError(f"two equal {item.__name__} would be different ones", _ITEM_HINT)
        _check_types(item)


def _check_types(item: Any) -> None:
    """Raise InvalidTypeError if the type of a field is not known, or makes the items unhashable."""
    problem = ""
    try:
        members = fields(resolve_types(item))
    except NameError as error:
        problem = f"the types of {item.__name__} are not known: {error}"
    else:
        for member in members:
            if member.eq and _is_mutable(member.type):
                problem = f"{item.__name__}.{member.name} is of type {member.type}, which is not hashable"
    if problem:
        raise InvalidTypeError(problem, _TYPE_HINT)


def _is_mutable(kind: Any) -> bool:
    return getattr(get_origin(kind) or kind, "__hash__", None) is None or any(map(_is_mutable, get_args(kind)))


@like_dataclass
@described_by(CONTACT)
@frozen
class Contact(ListItem):
    """A contact of an account. A field that the gateway leaves out, or sends as null or "", is None.

    Attributes:
        phone: The contact's phone number as the gateway sends it, or None.
        name: The full name in the phone's address book, or None if the contact is not in it.
        short: The short name in the address book, or None.
        vname: The name of the contact's vCard, or None.
        notify: The name that the contact has chosen in WhatsApp, or None.
        lid: WhatsApp's other id of a person, or None. The vendor's page does not list it; see `Chat.lid`.
    """

    phone: str | None = None
    name: str | None = None
    short: str | None = None
    vname: str | None = None
    notify: str | None = None
    lid: str | None = None

    @property
    def last_message_time(self) -> None:
        """None: contacts have no times, so their list is sorted by nothing that a walk can use."""


@like_dataclass
@described_by(PENDING_CHAT)
@frozen
class PendingChat(ListItem):
    """A chat with messages that nobody has read, or that is marked as unread.

    A field that the gateway leaves out, or sends as null or as an empty string, has its default.

    Attributes:
        phone: A phone number or the id of a group, as the gateway sends it, or None.
        name: The name of the chat, or None.
        unread_messages_count: The number of unread messages (default 0).
        is_marked_as_unread: Whether the owner has marked the chat as unread (default False).
        last_message_time: The time of the last message, aware and in UTC, or None.
        is_muted: Whether the owner has muted the chat (default False).
        profile_thumbnail: The URL of the chat's picture, or None. WhatsApp deletes the picture after 48 hours.
        lid: WhatsApp's other id of a person, or None. The vendor's page does not list it; see `Chat.lid`.
    """

    phone: str | None = None
    name: str | None = None
    unread_messages_count: int = 0
    is_marked_as_unread: bool = False
    last_message_time: datetime | None = None
    is_muted: bool = False
    profile_thumbnail: str | None = None
    lid: str | None = None


CHATS: Final = Call("/api/whatsapp/chats", Chat)
"""All chats, those with the newest messages first."""
CONTACTS: Final = Call("/api/whatsapp/contacts", Contact)
"""All contacts. Their order is not documented."""
PENDING_CHATS: Final = Call("/api/chat/get-pending-chats", PendingChat, consistency="strict")
"""The chats with unread messages. A chat that is read leaves the list, so its walks are "strict" by default."""

CALLS: Final[tuple[Call[Any], ...]] = (CHATS, CONTACTS, PENDING_CHATS)
