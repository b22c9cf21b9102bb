"""Anchors: the rows that two overlapping windows have in common, see `strict`. Pure."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from plugchat_async._pagination.checkpoint import label_of
from plugchat_async.models import Page

# A row as windows are compared by it: its key, with a label if it has no time, and its time.
Row = tuple[str, datetime | None]

# How many rows without a time are an anchor.
_UNTIMED_ANCHORS: Final = 2


def rows_to_anchor(page: Page, oldest: datetime | None) -> int:
    """Return how many rows at the end of a window hold an anchor for the next one. Some of them may be unreadable."""
    untimed = 0
    for count, chat in enumerate(reversed(page.chats), 1):
        time = chat.last_message_time
        untimed += time is None
        if untimed == _UNTIMED_ANCHORS or (time is not None and (oldest is None or time > oldest)):
            return count
    return len(page.chats) + 1


def tail_of(page: Page, keys: Sequence[str], count: int) -> list[Row]:
    """Return the last rows of a window.

    Args:
        page: The window.
        keys: The keys of its rows.
        count: How many.
    """
    last = list(zip(keys, page.chats, strict=False))[-count:]
    return [
        (key if chat.last_message_time else _labelled(key, label_of(chat)), chat.last_message_time)
        for key, chat in last
    ]


def _labelled(key: str, label: int) -> str:
    """Return what tells a row without a time from others of its key, which stand anywhere."""
    return f"{key}\n{label}"


def is_anchored(tail: Sequence[Row], keys: Sequence[str], page: Page, oldest: datetime | None) -> bool:
    """Return whether a window has a row in common with the one before it that holds for all chats behind that.

    Args:
        tail: The last rows of the window before, see `tail_of`.
        keys: The keys of the window's rows.
        page: The window.
        oldest: The last time of the window before.
    """
    untimed = {text.rpartition("\n")[0] for text, time in tail if time is None}
    rows: list[Row] = []
    for key, chat in zip(keys, page.chats, strict=False):
        time = chat.last_message_time
        rows.append((_labelled(key, label_of(chat)) if time is None and key in untimed else key, time))
    places = {row: place for place, row in enumerate(rows)}
    common = [row for row in tail if row in places]
    if any(time is not None and (oldest is None or time > oldest) for _, time in common):
        return True
    # Several equal rows can't be told apart.
    counts, tail_counts = Counter(rows), Counter(tail)
    still = [places[row] for row in common if row[1] is None and counts[row] == tail_counts[row] == 1]
    return len(still) >= _UNTIMED_ANCHORS and still == sorted(still)
