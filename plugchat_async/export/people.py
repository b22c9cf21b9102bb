"""One chat for each person. The gateway lists a person in several rows, of which at most one has the phone. Pure."""

from collections.abc import AsyncIterable, Iterable
from datetime import datetime
from typing import Any, Final, cast

from attrs import evolve

from plugchat_async.errors import InvalidTypeError
from plugchat_async.models import Chat, ItemList

_HINT: Final = "Pass the whole list of an account's chats: merge_people(await plugchat.list_chats())."


def merge_people(chats: Iterable[Chat]) -> list[Chat]:
    """Return one chat for each person: all rows with the same lid become one.

        people = merge_people(await session.list_chats())

    The chat has the phone of the row that has one. The name and the picture are that row's too, or the first ones that
    another row has. The time is the newest, `unread` the largest, and a flag is True if it is True in any row. Groups
    and other chats that are not persons are not changed. Rows of one lid with different phones are not merged; the rows
    without a phone join the first of them.

    Args:
        chats: The chats of one account, in any order.

    Returns:
        The merged chats, each at the place of its first row.

    Raises:
        InvalidTypeError: It is not an iterable of Chat, or an async one: any later row may be the one with the phone.
    """
    rows = _listed(chats)
    first_phones: dict[str, str | None] = {}
    for chat in rows:
        lid = _lid_of(chat)
        if lid is not None and first_phones.get(lid) is None:
            first_phones[lid] = _phone_of(chat)
    people: dict[object, list[Chat]] = {}
    for number, chat in enumerate(rows):
        lid = _lid_of(chat)
        key = number if lid is None else (lid, _phone_of(chat) or first_phones[lid])
        people.setdefault(key, []).append(chat)
    return ItemList(person[0] if len(person) == 1 else _merge(person) for person in people.values())


def _listed(chats: object) -> list[Chat]:
    if not isinstance(chats, Iterable):
        kind = "an async iterable" if isinstance(chats, AsyncIterable) else type(chats).__name__
        raise InvalidTypeError(f"chats must be an iterable of Chat, got {kind}", _HINT)
    rows: list[Chat] = []
    for chat in cast("Iterable[object]", chats):
        if not isinstance(chat, Chat):
            raise InvalidTypeError(f"chats must yield Chat, got {type(chat).__name__}", _HINT)
        rows.append(chat)
    return rows


def _lid_of(chat: Chat) -> str | None:
    """Return the lid of a person, which can be in `phone` instead of `lid`."""
    if chat.kind != "person":
        return None
    return chat.lid or (chat.phone if chat.phone is not None and chat.phone.endswith("@lid") else None)


def _phone_of(chat: Chat) -> str | None:
    """Return the phone of a person, None if the gateway has put a lid, "0" or nothing there."""
    return chat.phone if chat.phone and chat.phone != "0" and not chat.phone.endswith("@lid") else None


def _merge(rows: list[Chat]) -> Chat:
    rows = sorted(rows, key=lambda chat: _phone_of(chat) is None)  # stable: the row with the phone first
    return evolve(
        rows[0],
        lid=_lid_of(rows[0]),
        name=_first(chat.name for chat in rows),
        profile_thumbnail=_first(chat.profile_thumbnail for chat in rows),
        unread=max(chat.unread for chat in rows),
        messages_unread=_largest(chat.messages_unread for chat in rows),
        last_message_time=_newest(chat.last_message_time for chat in rows),
        muted_until=_newest(chat.muted_until for chat in rows),
        is_muted=any(chat.is_muted for chat in rows),
        is_marked_spam=any(chat.is_marked_spam for chat in rows),
        is_pinned=_largest(chat.is_pinned for chat in rows),
        is_archived=_largest(chat.is_archived for chat in rows),
        is_group=_largest(chat.is_group for chat in rows),
        is_group_announcement=_largest(chat.is_group_announcement for chat in rows),
    )


def _first(values: Iterable[str | None]) -> str | None:
    return next((value for value in values if value is not None), None)


def _newest(times: Iterable[datetime | None]) -> datetime | None:
    return max((time for time in times if time is not None), default=None)


def _largest(values: Iterable[Any]) -> Any:
    """Return the largest value that is not None, if there is any: for flags, whether one of them is set."""
    return max((value for value in values if value is not None), default=None)
