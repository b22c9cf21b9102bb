"""The list of a simulated account, and what can happen to its rows."""

import math
from bisect import bisect_left
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from attrs import evolve, frozen

from plugchat_async.models import Chat
from plugchat_async.testing.chance import chance
from plugchat_async.testing.fake_chats import ChatFactory, row_key


@frozen(kw_only=True)
class ListState:
    """A list at one moment.

    Attributes:
        chats: The rows, newest first, those without a time last.
        pinned: The keys of the pinned rows.
        archived: The keys of the archived rows.
        oldest: The oldest time of the list when it was made, None if no row had one.
        newest: The newest.
    """

    chats: Sequence[Chat]
    pinned: frozenset[str]
    archived: frozenset[str]
    oldest: datetime | None
    newest: datetime | None


class ChatList:
    """Rows sorted by time, newest first, those without a time last. Each is changed by its index.

    Args:
        factory: Makes the rows, and has the clock.
        count: The number of rows.
        has_flags: Whether rows say that they are pinned or archived.
        pinned: The number of rows at the end that are pinned. Default 0.
    """

    def __init__(self, factory: ChatFactory, count: int, *, has_flags: bool, pinned: int = 0) -> None:
        self._factory = factory
        self._has_flags = has_flags
        self._chats = factory.chats(count)
        self._not_synced: list[Chat] = []
        self._pinned: set[str] = set()
        self._archived = {row_key(chat) for chat in self._chats if chat.is_archived}
        times = [chat.last_message_time for chat in self._chats if chat.last_message_time is not None]
        self._oldest, self._newest = min(times, default=None), max(times, default=None)
        for index in range(max(0, count - pinned), count):
            self.set_pinned(index, pinned=True)

    def __len__(self) -> int:
        return len(self._chats)

    def __getitem__(self, index: int) -> Chat:
        return self._chats[index]

    @property
    def chats(self) -> Sequence[Chat]:
        """The rows. Not a copy."""
        return self._chats

    @property
    def timed(self) -> int:
        """The number of rows with a time. They are in front."""
        return bisect_left(self._chats, math.inf, key=_age)

    @property
    def state(self) -> ListState:
        """A copy of the list as it is now."""
        return ListState(
            chats=tuple(self._chats),
            pinned=frozenset(self._pinned),
            archived=frozenset(self._archived),
            oldest=self._oldest,
            newest=self._newest,
        )

    @property
    def has_pinned(self) -> bool:
        """Whether a row is pinned."""
        return bool(self._pinned)

    @property
    def pinned(self) -> Sequence[int]:
        """The indices of pinned rows."""
        return self._indices(self._pinned)

    @property
    def archived(self) -> Sequence[int]:
        """The indices of archived rows."""
        return self._indices(self._archived)

    def now(self) -> datetime:
        """Return the simulated time, a second later at each call."""
        return self._factory.now()

    def receive(self, index: int, time: datetime) -> Chat:
        """Add a message of a time to a row, which moves to the place of its newest message."""
        chat = self._chats.pop(index)
        known = chat.last_message_time
        newest = time if known is None else max(known, time)
        return self._place(evolve(chat, unread=chat.unread + 1, last_message_time=newest))

    def put_back(self, index: int, time: datetime | None) -> Chat:
        """Remove the last message of a row, which moves to the place of its message before that, if there is one."""
        chat = self._chats.pop(index)
        return self._place(evolve(chat, unread=max(0, chat.unread - 1), last_message_time=time))

    def add(self) -> Chat:
        """Add a new row, with one unread message."""
        return self._place(evolve(self._factory.chat(), unread=1, last_message_time=self.now()))

    def remove(self, index: int) -> Chat:
        """Remove a row, and return it."""
        chat = self._chats.pop(index)
        self._pinned.discard(row_key(chat))
        self._archived.discard(row_key(chat))
        return chat

    def mark_read(self, index: int) -> Chat:
        """Set a row's number of unread messages to 0."""
        return self._change(index, unread=0)

    def set_pinned(self, index: int, *, pinned: bool) -> Chat:
        """Pin a row, or unpin it."""
        _set(self._pinned, row_key(self._chats[index]), member=pinned)
        return self._change(index, is_pinned=pinned) if self._has_flags else self._chats[index]

    def set_archived(self, index: int, *, archived: bool) -> Chat:
        """Archive a row, or take it out of the archive."""
        _set(self._archived, row_key(self._chats[index]), member=archived)
        return self._change(index, is_archived=archived) if self._has_flags else self._chats[index]

    def start_sync(self, keep: int) -> None:
        """Take all rows but the first `keep` out of the list, until they are synced."""
        self._not_synced += self._chats[keep:]
        self._not_synced.sort(key=lambda chat: chance("sync", row_key(chat)))
        del self._chats[keep:]

    def sync(self) -> Chat | None:
        """Put one of the rows that are not synced at the place of its time. Return None if there is none."""
        return self._place(self._not_synced.pop()) if self._not_synced else None

    def _indices(self, keys: set[str]) -> Sequence[int]:
        return [index for index, chat in enumerate(self._chats) if row_key(chat) in keys] if keys else ()

    def _change(self, index: int, **changes: Any) -> Chat:
        self._chats[index] = evolve(self._chats[index], **changes)
        return self._chats[index]

    def _place(self, chat: Chat) -> Chat:
        self._chats.insert(bisect_left(self._chats, _age(chat), key=_age), chat)
        return chat


def _age(chat: Chat) -> float:
    """Return what rows are sorted by."""
    return math.inf if chat.last_message_time is None else -chat.last_message_time.timestamp()


def _set(keys: set[str], key: str, *, member: bool) -> None:
    if member:
        keys.add(key)
    else:
        keys.discard(key)
