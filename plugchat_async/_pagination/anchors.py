"""Anchors: the rows that two overlapping windows have in common, see `strict`. Pure."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from plugchat_async._pagination.same_chat import label_of
from plugchat_async._pagination.walk_state import WindowState
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


def tail_of(windows: WindowState) -> list[Row]:
    """Return the last rows of a window. A label takes 2 µs, and most windows need none, so they are made here."""
    return windows.tail or [
        (key if chat.last_message_time else _labelled(key, label_of(chat)), chat.last_message_time)
        for key, chat in windows.last_rows
    ]


def _labelled(key: str, label: int) -> str:
    """Return what tells a row without a time from others of its key, which stand anywhere."""
    return f"{key}\n{label}"


def is_anchored(windows: WindowState, keys: Sequence[str], page: Page) -> bool:
    """Return whether a window has a row in common with the one before it that holds for all chats behind that.

    Args:
        windows: What is known of the window before.
        keys: The keys of the window's rows.
        page: The window.
    """
    oldest = windows.oldest
    rows_before = {(key, chat.last_message_time) for key, chat in windows.last_rows} or set(windows.tail)
    newer = {row for row in rows_before if row[1] is not None and (oldest is None or row[1] > oldest)}
    if any((key, chat.last_message_time) in newer for key, chat in zip(keys, page.chats, strict=False)):
        return True
    tail = tail_of(windows)
    untimed = {text.rpartition("\n")[0] for text, time in tail if time is None}
    rows: list[Row] = []
    for key, chat in zip(keys, page.chats, strict=False):
        time = chat.last_message_time
        rows.append((_labelled(key, label_of(chat)) if time is None and key in untimed else key, time))
    places = {row: place for place, row in enumerate(rows)}
    common = [row for row in tail if row in places]
    # Several equal rows can't be told apart.
    counts, tail_counts = Counter(rows), Counter(tail)
    still = [places[row] for row in common if row[1] is None and counts[row] == tail_counts[row] == 1]
    return len(still) >= _UNTIMED_ANCHORS and still == sorted(still)
