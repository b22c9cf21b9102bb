"""Rows as the gateway sends them today: about 255 bytes and up to fourteen keys each, the same in every run.

Counts, most flags and times (in milliseconds) are texts. Of a hundred rows, 52 have no phone but a lid, 59 have no time
("0"), and two are groups. All rows have twelve keys; only muted chats have the end of the muting, and only three of a
hundred have a picture. A row's name contains its number, so all keys differ, and a walk must find all rows. Rows are
counted from 0, newest first; those without a time are between the others, unless `by_time` puts them at the end.
"""

import json
from collections.abc import Iterable

# The newest chat's time, in milliseconds.
_NOW = 1_768_497_607_000
_NAMES = ("Ana", "João Pedro", "Larissa", "Conceição", "Marcos", "Valentina", "Thiago ⚽", "Beatriz")
_PICTURE = (
    "https://pps.whatsapp.net/v/t61.24694-24/170931400_202212650511993_3423338295209291992_n.jpg"
    "?ccb=11-4&oh=4b96b3bf7114122667f80d021b194f2c&oe=60C179E2"
)


def row_of(number: int, *, odd: bool = False) -> str:
    """Return the JSON of a row. If `odd`, its count is null, so that the decoder uses its slow path."""
    # The multipliers differ, so that rows without a phone are not the same as rows without a time.
    if number % 50 == 7:
        phone, lid, group = f"120363{number:012d}-group", "null", "true"
    else:
        phone = "" if number * 37 % 100 < 53 else f"55119{number:08d}"
        lid, group = f'"{111_000_000_000_000 + number}@lid"', "false"
    time = str(_NOW - 1000 * number) if has_time(number) else "0"
    unread = "null" if odd else f'"{unread_of(number)}"'
    muted = number % 20 == 5
    more = f',"muteEndTime":{-1 if number % 40 == 5 else _NOW + 86_400_000}' if muted else ""
    more += f',"profileThumbnail":"{_PICTURE}"' if number % 33 == 3 else ""
    return (
        f'{{"pinned":"{"true" if number < 3 else "false"}","messagesUnread":"0","unread":{unread},"lid":{lid},'
        f'"lastMessageTime":"{time}","isGroupAnnouncement":false,"archived":"{"true" if number % 9 == 8 else "false"}",'
        f'"phone":"{phone}","name":"Chat {_NAMES[number % len(_NAMES)]} {number}","isGroup":{group},'
        f'"isMuted":"{1 if muted else 0}","isMarkedSpam":"false"{more}}}'
    )


def has_time(number: int) -> bool:
    """Return whether a row has the time of a last message."""
    return number * 61 % 100 >= 59


def unread_of(number: int) -> int:
    """Return a row's number of unread messages."""
    return number % 9 if number % 4 == 0 else 0


def by_time(numbers: Iterable[int]) -> list[int]:
    """Return the numbers of rows with those that have no time at the end, as the simulator lists chats."""
    return sorted(numbers, key=has_time, reverse=True)


def pending_row_of(number: int) -> str:
    """Return the JSON of a row as the call for pending chats has it."""
    row = json.loads(row_of(number))
    pending = {key: row[key] for key in ("phone", "lid", "name", "lastMessageTime", "isMuted")}
    more = {"unreadMessagesCount": row["unread"], "isMarkedAsUnread": "false"}
    return json.dumps({**pending, **more}, ensure_ascii=False, separators=(",", ":"))


def body_of(first: int, stop: int, *, odd: bool = False) -> bytes:
    """Return the body of a page with the rows from `first` to before `stop`."""
    return body_with(row_of(number, odd=odd) for number in range(first, stop))


def body_with(rows: Iterable[str]) -> bytes:
    """Return the body of a page with some rows."""
    return f"[{','.join(rows)}]".encode()
