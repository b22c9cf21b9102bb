"""What a caller gets: a `Chat`, the `Page` it came on, the `WalkReport` of a whole walk, and what happens to chats."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cached_property
from operator import attrgetter
from typing import Any, Final, Literal, Self, TypeAlias, TypeVar

import msgspec
from attrs import asdict, evolve, field, fields, frozen

from plugchat_async._evidence import Problem
from plugchat_async._internal.lenient_json import parse_rows
from plugchat_async.errors import InvalidValueError

ChatKind: TypeAlias = Literal["person", "group", "broadcast", "channel", "status"]

FOREVER: Final = datetime.max.replace(tzinfo=UTC)
"""`Chat.muted_until` of a chat that is muted without an end."""

# How the gateway spells the id of what is not a person: "120363…-group", "5544…-1598…" (groups of older accounts),
# "…@g.us"; "…@broadcast"; "…@newsletter"; "status". First match wins.
_KINDS: Final[tuple[tuple[re.Pattern[str], ChatKind], ...]] = (
    (re.compile(r"status(@broadcast)?"), "status"),
    (re.compile(r".*(-group|@g\.us)|[0-9]+-[0-9]+"), "group"),
    (re.compile(r".*@broadcast"), "broadcast"),
    (re.compile(r".*@newsletter"), "channel"),
)


@frozen
class Chat:
    """One chat of an account: a person, a group, a broadcast list, a channel, or the account's status.

    A field that the gateway leaves out, or gives as null or as an empty text, has its default.

    Attributes:
        phone: A phone number or the id of a group, broadcast list or channel, as the gateway gives it; None if it
            gives none. Never parsed as a phone number: Brazilian mobiles come with and without their ninth digit.
        name: The name of the chat, or None.
        unread: The number of unread messages (default 0). 0, too, if the chat is only marked as unread.
        last_message_time: The time of the last message, aware and in UTC, or None if there is no message yet.
        is_muted: Whether the account's owner has muted the chat (default False).
        is_marked_spam: Whether the owner has marked the chat as spam (default False).
        profile_thumbnail: The URL of the chat's picture, or None. WhatsApp deletes the picture after 48 hours.
        messages_unread: Discontinued by the vendor; use `unread`.
        lid: WhatsApp's other id of a person, such as "111000000000001@lid", or None. One person may stand in several
            rows of a list, of which at most one has the phone: see `merge_people`.
        is_pinned: Whether the chat is pinned to the top of the list, or None if the gateway does not say.
        is_archived: Whether the chat is archived, or None.
        is_group: Whether the chat is a group, or None. `kind` also knows what the gateway does not say.
        is_group_announcement: Whether only admins may write in the group, or None.
        muted_until: The end of the muting, aware and in UTC; `FOREVER` without an end; None if there is none.

    """

    phone: str | None = None
    name: str | None = None
    unread: int = 0
    last_message_time: datetime | None = None
    is_muted: bool = False
    is_marked_spam: bool = False
    profile_thumbnail: str | None = None
    messages_unread: int | None = None
    lid: str | None = None
    is_pinned: bool | None = None
    is_archived: bool | None = None
    is_group: bool | None = None
    is_group_announcement: bool | None = None
    muted_until: datetime | None = None

    @property
    def id(self) -> str:
        """The address of the chat: the phone, else the lid. Messages can be sent to it. "" if there is neither."""
        return self.phone or self.lid or ""

    @property
    def kind(self) -> ChatKind:
        """The kind of the chat, from the gateway's flags, else from the form of the id."""
        if self.is_group or self.is_group_announcement:
            return "group"
        return kind_of_id(self.id)

    def to_dict(self) -> dict[str, Any]:
        """Return the chat as JSON has it: `Chat`'s own names in order, times as RFC 3339 texts in UTC."""
        values: dict[str, Any] = msgspec.to_builtins(asdict(self, recurse=False))
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Return the chat that `to_dict`, or a line of an export, was made of.

        Args:
            values: `Chat`'s own names and their values. Names that are missing have their defaults, names that `Chat`
                does not know are ignored. To read a row as the gateway sends it, use `plugchat_async.converter`.

        Raises:
            InvalidValueError: A value is of another type than the field, or there is neither a phone nor a lid.

        """
        try:
            return _checked(msgspec.convert(dict(values), cls))
        except (msgspec.ValidationError, ValueError, TypeError, OverflowError) as error:
            reason = str(error)
        raise InvalidValueError(f"it is no chat: {reason}", _FROM_DICT_HINT)


COLUMNS: Final = tuple(a.name for a in fields(Chat))
"""The names of a chat's fields, in order: the columns of an export."""
values_of: Final = attrgetter(*COLUMNS)

_FROM_DICT_HINT: Final = (
    "Chats are read back as they were exported, with `Chat`'s own names. "
    "To read a row as the gateway sends it, use plugchat_async.converter."
)
_Chat = TypeVar("_Chat", bound=Chat)


def _checked(chat: _Chat) -> _Chat:
    """Return a chat that was read, with its times in UTC. ValueError if it has no id, or a time without an offset."""
    if not chat.id:
        raise ValueError("there is neither a phone nor a lid")
    times: dict[str, Any] = {}
    for name in ("last_message_time", "muted_until"):
        time: datetime | None = getattr(chat, name)
        if time is not None and time.tzinfo is None:
            raise ValueError(f"{name} has no offset from UTC")
        if time is not None and time.tzinfo is not UTC:
            times[name] = time.astimezone(UTC)
    return evolve(chat, **times) if times else chat


def kind_of_id(text: str) -> ChatKind:
    """Return the kind of chat that has an id of this form."""
    for pattern, kind in _KINDS:
        if pattern.fullmatch(text):
            return kind
    return "person"


@frozen
class Page:
    """One page of chats, as one response gave it.

    number: which page, counted from 1.
    size: how many chats were asked for.
    chats: what came, in the server's order. A server that ignores `pageSize` may send more than `size`.
    raw: the response's body, decoded from its content encoding, with all keys that `Chat` does not know.
    left_out: how many chats of the response are not in `chats`, since the walk yielded them before (default 0).
    unreadable_keys: a digest of each row of the response that is not in `chats`, since it is no chat (default: none).
    problems: the values that could not be read, the first thousand of them (default: none). Such a value is the
        field's default in its chat. problem_count: how many there were in all (default 0).
    """

    number: int
    size: int
    chats: tuple[Chat, ...]
    raw: bytes = field(repr=lambda raw: f"<{len(raw)} bytes>")
    skipped: int = 0
    unreadable_keys: tuple[str, ...] = field(default=(), repr=False)
    problems: tuple[Problem, ...] = ()
    problem_count: int = 0

    @property
    def unreadable(self) -> int:
        """The number of rows that are no chats: they have neither a phone nor a lid, or are not even objects."""
        return len(self.unreadable_keys)

    @property
    def length(self) -> int:
        """The number of rows in the response, whatever became of them."""
        return len(self.chats) + self.skipped + self.unreadable

    @property
    def is_short(self) -> bool:
        """Whether the page came back short, which by the vendor's contract ends the list."""
        return self.length < self.size

    @cached_property
    def rows(self) -> tuple[Mapping[str, Any], ...]:
        """The response's rows as it sent them, with all keys: parsed when they are first asked for.

        `rows[problem.index]` is the row of a problem. A row that is no object is an empty mapping, and a value that
        Python can't have, such as a number of 6,000 digits, is its bytes.
        """
        return parse_rows(self.raw)


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
    recovered: chats that were yielded after the first pass over the list, because they had jumped to its front.
    phases: passes over the list, or over the front of it.
    verified: whether it is proven, under what `consistency` assumes, that each chat that existed all the while was
        yielded. reason: why not, or "".
    elapsed: seconds from the walk's beginning to its end, the caller's own time included.
    problems: how many values of the pages that were read could not be read; `Page.problems` has them. One that was
        read twice counts twice.
    """

    requests: int
    pages: int
    chats: int
    duplicates: int
    recovered: int
    passes: int
    verified: bool
    reason: str
    elapsed: float
    problems: int = 0


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
