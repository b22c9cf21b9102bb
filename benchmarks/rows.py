"""Rows as the gateway sends them today: about 255 bytes each, fourteen keys that `Chat` knows, the same in every run.

Texts stand for counts, most flags and times, which are in milliseconds. Of a hundred rows 52 have no phone but a lid,
59 have no time ("0"), and two are groups. Twelve keys stand in all rows; only muted chats have the end of the muting,
and only three of a hundred a picture. A row's name holds its number, so each row is known by another key, and a walk
must find all of them. Rows are counted from 0, newest first; those without a time stand between the others.
"""

# The newest chat's time, in milliseconds.
_NOW = 1_768_497_607_000
_NAMES = ("Ana", "João Pedro", "Larissa", "Conceição", "Marcos", "Valentina", "Thiago ⚽", "Beatriz")
_PICTURE = (
    "https://pps.whatsapp.net/v/t61.24694-24/170931400_202212650511993_3423338295209291992_n.jpg"
    "?ccb=11-4&oh=4b96b3bf7114122667f80d021b194f2c&oe=60C179E2"
)


def row_of(number: int, *, odd: bool = False) -> str:
    """Return the JSON of one row. If `odd`, its count is null, so that the decoder reads the row in its slow path."""
    # Different steps through each hundred: whether a row has a phone, and whether it has a time, are not the same rows.
    if number % 50 == 7:
        phone, lid, group = f"120363{number:012d}-group", "null", "true"
    else:
        phone = "" if number * 37 % 100 < 53 else f"55119{number:08d}"
        lid, group = f'"{111_000_000_000_000 + number}@lid"', "false"
    time = "0" if number * 61 % 100 < 59 else str(_NOW - 1000 * number)
    unread = "null" if odd else f'"{number % 9 if number % 4 == 0 else 0}"'
    muted = number % 20 == 5
    more = f',"muteEndTime":{-1 if number % 40 == 5 else _NOW + 86_400_000}' if muted else ""
    more += f',"profileThumbnail":"{_PICTURE}"' if number % 33 == 3 else ""
    return (
        f'{{"pinned":"{"true" if number < 3 else "false"}","messagesUnread":"0","unread":{unread},"lid":{lid},'
        f'"lastMessageTime":"{time}","isGroupAnnouncement":false,"archived":"{"true" if number % 9 == 8 else "false"}",'
        f'"phone":"{phone}","name":"Chat {_NAMES[number % len(_NAMES)]} {number}","isGroup":{group},'
        f'"isMuted":"{1 if muted else 0}","isMarkedSpam":"false"{more}}}'
    )


def body_of(first: int, stop: int, *, odd: bool = False) -> bytes:
    """Return the body of a page: the rows from `first` up to `stop`."""
    return f"[{','.join(row_of(number, odd=odd) for number in range(first, stop))}]".encode()
