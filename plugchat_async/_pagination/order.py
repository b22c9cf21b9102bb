"""The order of a list: newest first, chats without a time aside. Pure."""

from datetime import datetime
from typing import Final

from plugchat_async.models import Page

# As many chats as WhatsApp lets one pin on top of the list, whatever their times.
MAX_PINNED: Final = 3
# How many chats, dated ahead of now, may stand above those that get a message: few on a short page.
_AHEAD: Final = 10
_AHEAD_SHORT: Final = 4
_SHORT: Final = 20


def safe_newest(times: list[datetime]) -> datetime:
    """Return a time of page 1 that no message can be older than that comes from now on.

    That is not the newest one: a chat may be dated ahead of now, and stay above those that get a message. Four such
    chats are expected, on a long page ten. An older time costs nothing but, rarely, one more page.
    """
    index = _AHEAD_SHORT if len(times) < _SHORT else _AHEAD
    return sorted(times, reverse=True)[min(index, len(times)) - 1]


def times_of(page: Page) -> list[datetime]:
    """Return the times of a page's chats, without those that have none."""
    return [time for chat in page.chats if (time := chat.last_message_time) is not None]


def is_sorted(number: int, times: list[datetime]) -> bool:
    """Return whether the newest chat is first. Pinned chats may be on top of page 1."""
    pinned = min(MAX_PINNED, len(times) - 1) if number == 1 else 0
    # Sorting what is sorted takes half the time of comparing all neighbours.
    return any(times[top:] == sorted(times[top:], reverse=True) for top in range(pinned + 1))
