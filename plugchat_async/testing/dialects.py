"""The spelling of the lists' items in JSON: as in the vendor's pages of 2021, or as the gateway sends them today."""

import json
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, Literal, TypeAlias, get_args

from plugchat_async.calls import Contact, PendingChat
from plugchat_async.converter import converter
from plugchat_async.models import Chat
from plugchat_async.testing.fake_chats import row_key

Dialect: TypeAlias = Literal["gateway", "documented"]
DIALECTS: Final[tuple[str, ...]] = get_args(Dialect)

# The order of keys in the gateway's rows. Groups have most of those without a field in `Chat`, other rows a few.
_KEYS: Final = (
    "pinned", "messagesUnread", "unread", "lid", "about", "lastMessageTime", "isGroupAnnouncement", "archived",
    "phone", "name", "communityId", "isGroup", "isMuted", "isMarkedSpam", "profileThumbnail", "muteEndTime",
    "ephemeralExpiration", "notes", "tags",
)  # fmt: skip
_OF_GROUPS: Final[Mapping[str, object]] = {
    "about": "",
    "communityId": "",
    "muteEndTime": None,
    "ephemeralExpiration": 0,
}
# The extra keys of persons' rows, with their frequency among 16 rows.
_OF_PERSONS: Final[Sequence[tuple[int, Mapping[str, object]]]] = (
    (3, {}),
    (5, {"muteEndTime": None}),
    (4, {"muteEndTime": None, "about": ""}),
    (2, {"muteEndTime": None, "tags": ()}),
    (1, {"muteEndTime": None, "about": "", "notes": None}),
    (1, {"muteEndTime": None, "about": "Oi", "ephemeralExpiration": 604800, "notes": {"id": "1"}, "tags": ("7",)}),
)
_EXTRAS: Final = tuple(extra for times, extra in _OF_PERSONS for _ in range(times))
# The time of a chat without messages is mostly "0", and now and then another value.
_NO_TIMES: Final[Mapping[int, Mapping[str, object]]] = {
    0: {},
    1: {"lastMessageTime": None},
    2: {"lastMessageTime": 0},
    3: {"lastMessageTime": ""},
}
_NO_TIME: Final[Mapping[str, object]] = {"lastMessageTime": "0"}


def write_page(items: Iterable[Chat | Contact | PendingChat], dialect: Dialect) -> bytes:
    """Return the body of a page."""
    row_of, other_row_of = _ROW[dialect], _OTHER_ROW[dialect]
    rows = [row_of(item) if isinstance(item, Chat) else other_row_of(item) for item in items]
    separators = None if dialect == "documented" else (",", ":")
    return json.dumps(rows, ensure_ascii=False, separators=separators).encode()


def _documented_row(chat: Chat) -> dict[str, object]:
    """Return a chat as in the vendor's example: nearly all values are strings."""
    time = chat.last_message_time
    return {
        "name": chat.name,
        "phone": chat.phone,
        "unread": str(chat.unread),
        "lastMessageTime": None if time is None else str(int(time.timestamp())),
        "isMuted": "1" if chat.is_muted else "0",
        "isMarkedSpam": "true" if chat.is_marked_spam else "false",
        "profileThumbnail": chat.profile_thumbnail,
        "messagesUnread": chat.messages_unread,
    }


def _gateway_row(chat: Chat) -> dict[str, object]:
    """Return a chat as the gateway sends it today: as the converter writes it, with the gateway's extra keys."""
    row: dict[str, Any] = converter.unstructure(chat)
    chance = zlib.crc32(row_key(chat).encode())  # a row keeps its rare values
    row.setdefault("phone", "")
    if chat.is_pinned is None:  # a row with few keys
        del row["isMuted"], row["isMarkedSpam"]
    else:
        extra = _OF_GROUPS if chat.lid is None else _EXTRAS[chance % len(_EXTRAS)]
        row = {**extra, **(_NO_TIME if chat.last_message_time is None else {}), **row}
        _add_rare_values(row, chat, chance // len(_EXTRAS) % 200)
    return {key: row[key] for key in _KEYS if key in row}


def _add_rare_values(row: dict[str, Any], chat: Chat, chance: int) -> None:
    """Replace values in a few of 200 rows by spellings that the gateway rarely uses."""
    if chat.last_message_time is None and chance in _NO_TIMES:
        del row["lastMessageTime"]
        row |= _NO_TIMES[chance]
    elif chat.last_message_time is not None and chance < 4 and row["lastMessageTime"].isdigit():
        row["lastMessageTime"] = int(row["lastMessageTime"])
    elif chance < 8:  # text and boolean swapped
        row |= {"pinned": chat.is_pinned, "isGroup": "true" if chat.is_group else "false"}
    elif chance == 8 and not chat.unread:
        row["unread"] = "-1"  # marked as unread


def _documented_other_row(item: Contact | PendingChat) -> dict[str, object]:
    """Return a contact or a pending chat as in the vendor's pages, which know no lid."""
    if isinstance(item, Contact):
        row = {"name": item.name, "short": item.short, "vname": item.vname, "notify": item.notify}
        return {**{key: value for key, value in row.items() if value is not None}, "phone": item.phone}
    time = item.last_message_time
    return {
        "name": item.name,
        "phone": item.phone,
        "profileThumbnail": item.profile_thumbnail,
        "lastMessageTime": None if time is None else str(int(time.timestamp())),
        "unreadMessagesCount": str(item.unread_messages_count),
        "isMarkedAsUnread": "true" if item.is_marked_as_unread else "false",
        "isMuted": "1" if item.is_muted else "0",
    }


def _gateway_other_row(item: Contact | PendingChat) -> dict[str, object]:
    """Return a contact or a pending chat in today's spelling of chats: what no live account has shown is assumed."""
    row: dict[str, object] = converter.unstructure(item)
    row.setdefault("phone", "")
    return row


_OTHER_ROW: Final[Mapping[Dialect, Callable[[Contact | PendingChat], dict[str, object]]]] = {
    "gateway": _gateway_other_row,
    "documented": _documented_other_row,
}
_ROW: Final[Mapping[Dialect, Callable[[Chat], dict[str, object]]]] = {
    "gateway": _gateway_row,
    "documented": _documented_row,
}
