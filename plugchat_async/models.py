"""What a caller gets: a `Chat`, the `Page` it came on, the `WalkReport` of a whole walk, and what happens to chats."""

from datetime import datetime
from typing import Annotated, Any, Final, TypeAlias, TypeVar, cast, final

from attrs import NOTHING, Attribute, Factory, field, fields, frozen, has
from msgspec import Meta, defstruct

T = TypeVar("T")

EXPECTED: Final = "expected"


def expects(words: str) -> dict[str, str]:
    """Give a field's metadata: what is expected of its value, in the words of a DecodeError."""
    return {EXPECTED: words}


def laid_out_as_struct(cls: type[T]) -> type[T]:
    """Give an attrs class the memory layout of a msgspec struct; to its users it stays the attrs class that it is.

    JSON is parsed straight into such objects: a page of 100 chats takes 27 µs instead of 48, which is what reading it
    into rows and copying those to an attrs class takes. They are 24 bytes smaller, and no work for the garbage
    collector, since none of their values can lead back to them. The price is that they can't be referred to weakly,
    that no class can be derived from theirs, and that msgspec itself writes them under the vendor's names.

    The fields' annotations say what msgspec accepts. Construction, comparison and repr are the struct's, which do what
    attrs' do.
    """
    assert has(cls)
    _check_fields(fields(cls))
    members = [(a.name, a.type) if a.default is NOTHING else (a.name, a.type, a.default) for a in fields(cls)]
    of_attrs = ("__doc__", "__attrs_attrs__", "__attrs_props__", "__setattr__", "__delattr__", "__hash__")
    kept = {name: value for name, value in cls.__dict__.items() if name in of_attrs or isinstance(value, property)}
    struct = defstruct(cls.__name__, members, namespace=kept, module=cls.__module__, rename="camel", gc=False)
    return cast("type[T]", struct)


def _check_fields(members: "tuple[Attribute[Any], ...]") -> None:
    """Refuse what a struct would take for something else, or what would show only with a page that can't be read."""
    for member in members:
        called = any(getattr(member, name) is not None for name in ("converter", "validator"))
        if called or member.kw_only or isinstance(member.default, cast("type", Factory)):
            raise TypeError(f"{member.name}: a struct's field has a plain default, and nothing that is called")
        if EXPECTED not in member.metadata:
            raise TypeError(f"{member.name}: say what is expected of it, with metadata=expects(...)")
        if "datetime" in repr(member.type) and member.name != "last_message_time":
            raise TypeError(f"{member.name}: only last_message_time is read as a time, and turned into UTC")


@final
@laid_out_as_struct
@frozen
class Chat:
    """One chat of an account, as the vendor's "get chats" page describes it.

    Only the phone is always there; another field that the service leaves out, or gives as null, has its default.

    phone: the chat's id: a number, a group's id or a broadcast list's id. Never parsed as a phone number.
    name: the name given to the chat, or None.
    unread: how many messages are unread (default 0).
    last_message_time: when the last message came or went, aware and in UTC, or None if the service did not say.
    is_muted, is_marked_spam: as set by the account's owner (default False).
    profile_thumbnail: URL of the chat's picture, or None. WhatsApp deletes the picture after 48 hours.
    messages_unread: discontinued by the vendor; use `unread`.
    """

    # How a value is spelled: by the vendor's table, and by its example. Both are read, see `_decode`.
    # Table and example: string. It is the chat's id, so an empty one can't be told from others.
    phone: Annotated[str, Meta(min_length=1)] = field(metadata=expects("a non-empty string"))
    name: str | None = field(default=None, metadata=expects("a string or null"))
    # Table: string. Example: "0".
    unread: int = field(default=0, metadata=expects("an integer"))
    # Table: string, "timestamp with date and time". Example: "1622991687". RFC 3339 with an offset is as clear; a time
    # without one is another moment in each time zone.
    last_message_time: Annotated[datetime, Meta(tz=True)] | None = field(
        default=None, metadata=expects("epoch seconds")
    )
    # Table: string, 0 or 1. Example: "0".
    is_muted: bool = field(default=False, metadata=expects("0 or 1, true or false"))
    # Table: boolean. Example: "false".
    is_marked_spam: bool = field(default=False, metadata=expects("true or false, 0 or 1"))
    # Table: string. Example: a URL, or null.
    profile_thumbnail: str | None = field(default=None, metadata=expects("a string or null"))
    # Table: integer, discontinued. Example: 0.
    messages_unread: int | None = field(default=None, metadata=expects("an integer or null"))


@frozen
class Page:
    """One page of chats, as one response gave it.

    number: which page, counted from 1.
    size: how many chats were asked for.
    chats: what came, in the server's order. A server that ignores `pageSize` may send more than `size`.
    raw: the response's body, decoded from its content encoding, with all keys that `Chat` does not know.
    left_out: how many chats of the response are not in `chats`, since the walk yielded them before (default 0).
    """

    number: int
    size: int
    chats: tuple[Chat, ...]
    raw: bytes = field(repr=lambda raw: f"<{len(raw)} bytes>")
    left_out: int = 0

    @property
    def is_last(self) -> bool:
        """Whether the page came back short, which by the vendor's contract ends the list."""
        return len(self.chats) + self.left_out < self.size


@frozen
class AccountStatus:
    """Whether an account's phone is connected to WhatsApp, as the vendor's "status" call tells.

    Attributes:
        connected: Whether the account is connected to WhatsApp. If it is not, its list of chats comes back empty.
        session: Whether the gateway has a session for the account, or None if it did not say.
        smartphone_connected: Whether the phone has a connection to the internet, or None if the gateway did not say.
        error: The gateway's own text about this state, or None.
    """

    connected: bool
    session: bool | None = None
    smartphone_connected: bool | None = None
    error: str | None = None


@frozen
class WalkReport:
    """What a walk did, and whether it is known to have missed nothing.

    A walk that was resumed has a report of its own.

    requests: pages that were asked for, checks and pages fetched ahead in vain included; repeated requests are not.
    pages: pages that were read. chats: how many chats they held, those left out not counted.
    duplicates: chats that were read again and left out, as where pages overlap; "plain" leaves out none.
    late_finds: chats that were yielded after the first pass over the list, because they had jumped to its front.
    phases: passes over the list, or over the front of it.
    verified: whether it is proven, under what `consistency` assumes, that each chat that existed all the while was
        yielded. reason: why not, or "".
    elapsed: seconds from the walk's beginning to its end, the caller's own time included.
    """

    requests: int
    pages: int
    chats: int
    duplicates: int
    late_finds: int
    phases: int
    verified: bool
    reason: str
    elapsed: float


@frozen
class ChatAdded:
    """A chat that was not there when the list was looked at before: somebody has written for the first time."""

    chat: Chat


@frozen
class ChatChanged:
    """A chat that is not as it was: messages have come or were read, it was muted or renamed.

    old, new: what it was when it was looked at before, and what it is. fields: the names of the fields in which the two
    differ, in `Chat`'s order.
    """

    old: Chat
    new: Chat
    fields: tuple[str, ...]

    @property
    def chat(self) -> Chat:
        """The chat as it is, as the other events have it."""
        return self.new


@frozen
class ChatRemoved:
    """A chat that is not there any more. `chat`: what it was when it was looked at last."""

    chat: Chat


ChatEvent: TypeAlias = ChatAdded | ChatChanged | ChatRemoved
