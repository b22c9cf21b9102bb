"""The spelling of chats in JSON: as in the vendor's page of 2021, or as the gateway sends them today."""

import json
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, Literal, TypeAlias, get_args

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


def write_page(chats: Iterable[Chat], dialect: Dialect) -> bytes:
    """Return the body of a page."""
    rows = list(map(_ROW[dialect], chats))
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


_ROW: Final[Mapping[Dialect, Callable[[Chat], dict[str, object]]]] = {
    "gateway": _gateway_row,
    "documented": _documented_row,
}
