"""A simulated account: its list of chats, and the events that change it."""

import operator
import random
from collections.abc import Callable

from attrs import evolve, frozen

from plugchat_async._pagination.walk_steps import key_of
from plugchat_async.models import Chat
from plugchat_async.testing.dialects import Dialect
from plugchat_async.testing.fake_chats import ChatFactory, GatewayChatFactory


@frozen(kw_only=True)
class Traffic:
    """The average number of events in an interval.

    Attributes:
        bumps: Messages to existing chats. Default 0.0.
        inserts: New chats. Default 0.0.
        deletes: Deleted chats. Default 0.0.
    """

    bumps: float = 0.0
    inserts: float = 0.0
    deletes: float = 0.0


class SimulatedAccount:
    """An account with made-up chats, newest first, those without a time last. The same seed makes the same chats.

    Methods that take a chat accept a `Chat` or its id. Rows of one person without a phone share their id: the id means
    the first of them, a `Chat` exactly that row.

    Attributes:
        token: The token that requests for this account send.
        connected: Whether the phone is connected to WhatsApp. While it is False, the list is empty. Can be set at any
            time.
    """

    def __init__(
        self,
        chats: int,
        *,
        seed: int,
        token: str = "",
        dialect: Dialect = "gateway",
        pinned: int = 0,
        connected: bool = True,
    ) -> None:
        self.token = token
        self.connected = connected
        self._factory = GatewayChatFactory(seed) if dialect == "gateway" else ChatFactory(seed)
        self._chats = self._factory.chats(chats)
        if dialect == "gateway" and pinned:
            self._chats[-pinned:] = [evolve(chat, is_pinned=True) for chat in self._chats[-pinned:]]
        self._traffic = Traffic()
        self._random = random.Random(seed)  # noqa: S311 - made-up data

    @property
    def chats(self) -> tuple[Chat, ...]:
        """All current chats."""
        return tuple(self._chats)

    @property
    def status(self) -> dict[str, object]:
        """The response to the call for the account's status."""
        status: dict[str, object] = dict.fromkeys(("connected", "session", "smartphoneConnected"), self.connected)
        return status if self.connected else {**status, "error": "You are not connected."}

    def __len__(self) -> int:
        return len(self._chats)

    def window(self, page: int, size: int) -> list[Chat]:
        """Return a page of `size` chats. Pages are counted from 1."""
        return self._chats[(page - 1) * size : page * size]

    def receive_message(self, chat: Chat | str) -> Chat:
        """Receive a message: the chat moves to the front, with one more unread.

        Raises:
            KeyError: If there is no such chat.
        """
        return self._bump(self._index(chat))

    def new_chat(self) -> Chat:
        """Add a new chat to the front, with one unread message."""
        return self._to_front(evolve(self._factory.chat(), unread=1, last_message_time=self._factory.now()))

    def delete_chat(self, chat: Chat | str) -> Chat:
        """Remove a chat from the list and return it.

        Raises:
            KeyError: If there is no such chat.
        """
        return self._chats.pop(self._index(chat))

    def mark_read(self, chat: Chat | str) -> Chat:
        """Mark a chat as read: it has no unread messages, and keeps its position.

        Raises:
            KeyError: If there is no such chat.
        """
        index = self._index(chat)
        self._chats[index] = evolve(self._chats[index], unread=0)
        return self._chats[index]

    def start_traffic(self, traffic: Traffic, *, seed: int) -> None:
        """Set the events of each interval from now on."""
        self._traffic = traffic
        self._random = random.Random(seed)  # noqa: S311 - made-up data

    def pass_interval(self) -> None:
        """Make the events of one interval happen, in random order."""
        traffic = self._traffic
        events: list[Callable[[], object]] = [self._bump_any] * self._count(traffic.bumps)
        events += [self.new_chat] * self._count(traffic.inserts)
        events += [self._delete_any] * self._count(traffic.deletes)
        self._random.shuffle(events)
        for event in events:
            event()

    def _count(self, rate: float) -> int:
        """Return a random number of events in an interval. The gaps of a Poisson process are exponential."""
        count, passed = 0, 0.0
        while rate and (passed := passed + self._random.expovariate(rate)) < 1.0:
            count += 1
        return count

    def _bump_any(self) -> None:
        if self._chats:
            self._bump(self._random.randrange(len(self._chats)))

    def _delete_any(self) -> None:
        if self._chats:
            self._chats.pop(self._random.randrange(len(self._chats)))

    def _bump(self, index: int) -> Chat:
        chat = self._chats.pop(index)
        return self._to_front(evolve(chat, unread=chat.unread + 1, last_message_time=self._factory.now()))

    def _index(self, wanted: Chat | str) -> int:
        name_of: Callable[[Chat], str] = operator.attrgetter("id") if isinstance(wanted, str) else key_of
        name = wanted if isinstance(wanted, str) else key_of(wanted)
        for index, chat in enumerate(self._chats):
            if name_of(chat) == name:
                return index
        raise KeyError(name)

    def _to_front(self, chat: Chat) -> Chat:
        self._chats.insert(0, chat)
        return chat
