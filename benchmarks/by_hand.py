"""The code that a careful user writes by hand: it makes a `Chat` of a row, or with cattrs an object of their own class.

It reads the rows of `benchmarks.rows` as this SDK does, but is not prepared for other spellings.
"""

from datetime import UTC, datetime
from typing import Any

import orjson
from attrs import fields, frozen
from cattrs import Converter
from cattrs.gen import make_dict_structure_fn, override

from plugchat_async import FOREVER, Chat

FLAGS = {"0": False, "1": True, "false": False, "true": True, False: False, True: True}


def time_of(value: Any) -> datetime | None:
    """Read a time in milliseconds, in simple Python."""
    milliseconds = int(value or 0)
    if milliseconds < 0:
        return FOREVER
    return datetime.fromtimestamp(milliseconds / 1000, UTC) if milliseconds else None


def chat_of(row: dict[str, Any]) -> Chat:
    """Make a `Chat` from a dict."""
    return Chat(
        row["phone"] or None,
        row.get("name"),
        int(row.get("unread", 0)),
        time_of(row.get("lastMessageTime")),
        row.get("isMuted") == "1",
        row.get("isMarkedSpam") == "true",
        row.get("profileThumbnail"),
        int(row.get("messagesUnread", 0)),
        row["lid"] or None,
        row.get("pinned") == "true",
        row.get("archived") == "true",
        row.get("isGroup"),
        row.get("isGroupAnnouncement"),
        time_of(row.get("muteEndTime")),
    )


@frozen
class OwnChat:
    """A class of the user's own. It repeats the fields of `Chat`, since this is the code of a user without this SDK."""

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


_NAMES = {"is_pinned": "pinned", "is_archived": "archived", "muted_until": "muteEndTime"}


def _name_on_the_wire(name: str) -> str:
    first, *others = name.split("_")
    return _NAMES.get(name) or first + "".join(map(str.capitalize, others))


def _converter() -> Converter:
    """Return a plain cattrs converter with one hook per type: counts, flags and times are texts."""
    plain = Converter()
    plain.register_structure_hook(str, lambda value, _: value or None)
    plain.register_structure_hook(bool, lambda value, _: FLAGS[value])
    plain.register_structure_hook(datetime, lambda value, _: time_of(value))
    names: dict[str, Any] = {a.name: override(rename=_name_on_the_wire(a.name)) for a in fields(OwnChat)}
    plain.register_structure_hook(OwnChat, make_dict_structure_fn(OwnChat, plain, **names))
    return plain


_CONVERTER = _converter()


def own_chats(body: bytes) -> list[OwnChat]:
    """Read a page with orjson and cattrs."""
    return _CONVERTER.structure(orjson.loads(body), list[OwnChat])
