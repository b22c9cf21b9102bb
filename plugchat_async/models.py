"""The results: `Chat`, `Page`, the `WalkReport` of a whole walk, `AccountStatus`, and the events of a watch."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, ClassVar, Final, Generic, Literal, Self, SupportsIndex, TypeAlias, overload

from attrs import asdict, field, frozen, has

from plugchat_async._client_schemas import (
    ACCOUNT_STATUS,
    CHAT,
    CHAT_ADDED,
    CHAT_CHANGED,
    CHAT_REMOVED,
    PAGE,
    WALK_REPORT,
)
from plugchat_async._error_details import Problem, read_headers, request_id_of
from plugchat_async._internal.html import html_table
from plugchat_async._internal.lenient_json import parse_rows
from plugchat_async._items import ItemT, ListItem, columns_of, getter_of, naive_utc, noun_of
from plugchat_async._pydantic_schema import described_as_list, described_by, like_dataclass

ChatKind: TypeAlias = Literal["person", "group", "broadcast", "channel", "status"]

FOREVER: Final = datetime.max.replace(tzinfo=UTC)
"""`Chat.muted_until` of a chat that is muted without an end."""

# Ids of chats that are not persons: "120363…-group", "5544…-1598…" (groups of older accounts),
# "…@g.us"; "…@broadcast"; "…@newsletter"; "status". First match wins.
_KINDS: Final[tuple[tuple[re.Pattern[str], ChatKind], ...]] = (
    (re.compile(r"status(@broadcast)?"), "status"),
    (re.compile(r".*(-group|@g\.us)|[0-9]+-[0-9]+"), "group"),
    (re.compile(r".*@broadcast"), "broadcast"),
    (re.compile(r".*@newsletter"), "channel"),
)


@like_dataclass
@described_by(CHAT)
@frozen
class Chat(ListItem):
    """One chat of an account: a person, a group, a broadcast list, a channel, or the account's status.

    A field that the gateway leaves out, or sends as null or as an empty string, has its default.

    Attributes:
        phone: A phone number or the id of a group, broadcast list or channel, as the gateway sends it; None if it
            sends none. Never parsed as a phone number: Brazilian mobiles come with and without their ninth digit.
        name: The name of the chat, or None.
        unread: The number of unread messages (default 0). A chat that is only marked as unread has 0.
        last_message_time: The time of the last message, aware and in UTC, or None if there is no message yet.
        is_muted: Whether the account's owner has muted the chat (default False).
        is_marked_spam: Whether the owner has marked the chat as spam (default False).
        profile_thumbnail: The URL of the chat's picture, or None. WhatsApp deletes the picture after 48 hours.
        messages_unread: Discontinued by the vendor; use `unread`.
        lid: WhatsApp's other id of a person, such as "111000000000001@lid", or None. One person may have several rows
            in a list, of which at most one has the phone: see `merge_people`.
        is_pinned: Whether the chat is pinned to the top of the list, or None if the gateway does not say.
        is_archived: Whether the chat is archived, or None.
        is_group: Whether the chat is a group, or None. `kind` is known in any case.
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
    def kind(self) -> ChatKind:
        """The kind of the chat, from the gateway's flags, else from the form of the id."""
        if self.is_group or self.is_group_announcement:
            return "group"
        return kind_of_id(self.id)


COLUMNS: Final = columns_of(Chat)
"""The names of a chat's fields, in order: the columns of an export."""
values_of: Final = getter_of(Chat)


def kind_of_id(text: str) -> ChatKind:
    """Return the kind of chat that has an id of this form."""
    for pattern, kind in _KINDS:
        if pattern.fullmatch(text):
            return kind
    return "person"


@described_by(PAGE)
@frozen
class Page(Generic[ItemT]):
    """One page of a list, from one response: `Page` of chats, `Page[Contact]` of contacts.

    Attributes:
        number: The number of the page, from 1.
        size: How many chats were requested.
        chats: The chats, or the items of another call, in the server's order. A server that ignores `pageSize` may send
            more than `size`.
        raw: The response's body, decoded from its content encoding, with all keys that `Chat` does not have.
        skipped: How many chats of the response are not in `chats`, since the walk yielded them before (default 0).
        unreadable_keys: A digest of each row of the response that is not in `chats`, since it is not a chat.
        problems: The values that could not be read, a thousand at most. In its chat such a value is the field's
            default.
        problem_count: How many values could not be read in all (default 0).
        raw_headers: The lines of the response's headers, without cookies.
        status: The HTTP status of the response, which is 200.
    """

    number: int
    size: int
    chats: tuple[ItemT, ...]
    raw: bytes = field(repr=lambda raw: f"<{len(raw)} bytes>")
    skipped: int = 0
    unreadable_keys: tuple[str, ...] = field(default=(), repr=False)
    problems: tuple[Problem, ...] = ()
    problem_count: int = 0
    raw_headers: tuple[tuple[bytes, bytes], ...] = field(default=(), repr=False, eq=False)
    status: int = 200

    @cached_property
    def headers(self) -> Mapping[str, str]:
        """The response's headers, names in lower case, without cookies. Lines of one name are joined by ", ".

        A value is cut after 2,048 characters; `raw_headers` are whole.
        """
        return read_headers(self.raw_headers)

    @property
    def request_id(self) -> str | None:
        """The id that the service gave the request, such as its X-Request-ID header; None without one."""
        return request_id_of(self.headers)

    @property
    def items(self) -> tuple[ItemT, ...]:
        """The same as `chats`: a better name for the items of another call."""
        return self.chats

    @property
    def unreadable(self) -> int:
        """The number of rows that are not chats: they have neither a phone nor a lid, or are not objects."""
        return len(self.unreadable_keys)

    @property
    def length(self) -> int:
        """The number of rows in the response, skipped and unreadable ones included."""
        return len(self.chats) + self.skipped + self.unreadable

    @property
    def is_short(self) -> bool:
        """Whether the page has fewer rows than requested, which by the vendor's contract ends the list."""
        return self.length < self.size

    @cached_property
    def rows(self) -> tuple[Mapping[str, Any], ...]:
        """The response's rows with all keys. They are parsed when they are first used.

        `rows[problem.index]` is the row of a problem. A row that is not an object is an empty mapping, and a value that
        Python can't represent, such as a number of 6,000 digits, is its bytes.
        """
        return parse_rows(self.raw)


class ItemList(list[ItemT]):
    """The list of chats, contacts or other items that `list_chats`, `ChatWalk.to_list` and `merge_people` return.

    Notebooks show it as a table. Its slices are ItemLists, too; of a selection, make one:

        ItemList(chat for chat in chats if chat.unread)
    """

    __slots__ = ()

    @overload
    def __getitem__(self, index: SupportsIndex, /) -> ItemT: ...
    @overload
    def __getitem__(self, index: slice, /) -> Self: ...
    def __getitem__(self, index: SupportsIndex | slice, /) -> ItemT | Self:
        """Return an item, or some of them, which are an ItemList again."""
        return type(self)(super().__getitem__(index)) if isinstance(index, slice) else super().__getitem__(index)

    def _repr_html_(self) -> str | None:
        if not self or not has(type(self[0])):
            return None
        kind: Any = type(self[0])
        names = _CHAT_TABLE if issubclass(kind, Chat) else [name for name in columns_of(kind) if name != _PICTURE]
        rows = [[getattr(item, name, None) for name in names] for item in self[:_SHOWN_ITEMS]]
        is_time = [any(isinstance(value, datetime) for value in column) for column in zip(*rows, strict=True)]
        words = [name.replace("_", " ") for name in names]
        header = [f"{word} (UTC)" if timed else word for word, timed in zip(words, is_time, strict=True)]
        note = f"{len(self):,} {noun_of(kind)}{'' if len(self) == 1 else 's'}"
        if len(self) > _SHOWN_ITEMS:
            note += f", the first {_SHOWN_ITEMS} are shown"
        return html_table(([_cell(value) for value in row] for row in rows), header=header, note=note)

    def _repr_pretty_(self, printer: Any, _cycle: bool) -> None:  # noqa: FBT001 - as IPython calls it
        """Print the first items. A notebook saves this text beside the table, and IPython in a terminal shows it."""
        more = len(self) - _PRINTED_ITEMS
        text = repr(list(self[:_PRINTED_ITEMS]))
        printer.text(f"{text[:-1]}, … {more:,} more]" if more > 0 else text)


_CHAT_TABLE: Final = ("name", "id", "kind", "unread", "last_message_time")
_PICTURE: Final = "profile_thumbnail"  # a long URL
# As many rows as pandas shows.
_SHOWN_ITEMS: Final = 60
_PRINTED_ITEMS: Final = 3


def _cell(value: object) -> object:
    return naive_utc(value).isoformat(" ", "minutes") if isinstance(value, datetime) else value


described_as_list(ItemList)


@described_by(ACCOUNT_STATUS)
@frozen
class AccountStatus:
    """Whether an account's phone is connected to WhatsApp, from the vendor's "status" call.

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


@described_by(WALK_REPORT)
@frozen
class WalkReport:
    """The result of a walk, and whether it is known to have missed nothing. A resumed walk has a report of its own.

    Attributes:
        requests: How many pages were requested, with checks and unused prefetched pages, but without retries.
        pages: How many pages were read.
        chats: How many chats they held, without those that were skipped.
        duplicates: How many chats were read again and skipped, such as where pages overlap; "plain" skips none.
        recovered: How many chats were yielded after the first pass, because they had moved to the front of the list.
        passes: How many passes over the list, or over its front, there were.
        verified: Whether it is proven, under the assumptions of `consistency`, that each chat that existed during the
            whole walk was yielded.
        reason: Why it is not verified, or "".
        elapsed: Seconds from the walk's beginning to its end, the caller's own time included.
        problems: How many values could not be read; `Page.problems` has them. A value that was read twice counts twice.
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

    def _repr_html_(self) -> str:
        return html_table(asdict(self).items())


@described_by(CHAT_ADDED)
@frozen
class ChatAdded:
    """A chat is new in the list: somebody has written for the first time.

    Attributes:
        event: "added", as in JSON.
        chat: The new chat.
    """

    event: ClassVar[Literal["added"]] = "added"
    chat: Chat


@described_by(CHAT_CHANGED)
@frozen
class ChatChanged:
    """A chat has changed: messages have arrived or were read, it was muted or renamed.

    Attributes:
        event: "changed", as in JSON.
        old: The chat at the last poll.
        new: The chat now.
        fields: The names of the fields that differ, in `Chat`'s order.
    """

    event: ClassVar[Literal["changed"]] = "changed"
    old: Chat
    new: Chat
    fields: tuple[str, ...]

    @property
    def chat(self) -> Chat:
        """The chat now. The other events have this field as well."""
        return self.new


@described_by(CHAT_REMOVED)
@frozen
class ChatRemoved:
    """A chat is no longer in the list.

    Attributes:
        event: "removed", as in JSON.
        chat: The chat at the last poll.
    """

    event: ClassVar[Literal["removed"]] = "removed"
    chat: Chat


ChatEvent: TypeAlias = ChatAdded | ChatChanged | ChatRemoved
