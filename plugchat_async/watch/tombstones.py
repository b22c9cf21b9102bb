"""Removed chats, remembered: one that comes back is new only if its message is newer than its last. Pure."""

from datetime import datetime
from typing import Final, TypeAlias

from plugchat_async.models import Chat
from plugchat_async.watch.identity import OLDEST, identity_of, time_of

# How many removed chats are remembered, and for how many seconds: 90 days.
_MAX_TOMBSTONES: Final = 10_000
_TOMBSTONE_LASTS: Final = 90 * 86_400.0

Tombstones: TypeAlias = dict[str, tuple[datetime, float]]
"""Last message and time of removal, in epoch seconds, by `identity_of`. The one that was removed first is first."""


def bury(tombstones: Tombstones, chat: Chat, now: float) -> None:
    """Remember a chat that is removed now."""
    last, _ = tombstones.pop(identity_of(chat), (OLDEST, now))
    tombstones[identity_of(chat)] = (max(last, time_of(chat)), now)
    drop_tombstones(tombstones, now)


def drop_tombstones(tombstones: Tombstones, now: float) -> None:
    """Forget the chats that were removed first, if they are too many, or were removed long ago."""
    while tombstones:
        key, (_, removed) = next(iter(tombstones.items()))
        if len(tombstones) <= _MAX_TOMBSTONES and now - removed <= _TOMBSTONE_LASTS:
            return
        del tombstones[key]
