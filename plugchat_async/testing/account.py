"""The list of chats of a simulated account, and what happens to it while it is read."""

import operator
import random
from collections.abc import Callable

from attrs import evolve, frozen

from plugchat_async._pagination.steps import key_of
from plugchat_async.models import Chat
from plugchat_async.testing.dialects import Dialect
from plugchat_async.testing.fake_chats import GatewayChatFactory, People


@frozen(kw_only=True)
class Traffic:
    """How much happens in an interval, on average: messages to chats that are there, new chats, deleted ones."""

    bumps: float = 0.0
    inserts: float = 0.0
    deletes: float = 0.0


class SimulatedAccount:
    """Made-up chats, newest first, those without a time last. The same seed makes the same ones.

    token: what it is asked for with.
    connected: whether its phone is connected to WhatsApp. Set it at any time: while it is False, the list is empty.

    Methods that take a chat take a `Chat` or its id. Rows without a phone share their id with the other such rows of
    their person: the id means the first of them, the `Chat` exactly that row.
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
        self._people = GatewayChatFactory(seed) if dialect == "gateway" else People(seed)
        self._chats = self._people.chats(chats)
        if dialect == "gateway" and pinned:
            self._chats[-pinned:] = [evolve(chat, is_pinned=True) for chat in self._chats[-pinned:]]
        self._traffic = Traffic()
        self._chance = random.Random(seed)  # noqa: S311 - made-up data

    @property
    def chats(self) -> tuple[Chat, ...]:
        """All chats as they are now."""
        return tuple(self._chats)

    @property
    def status(self) -> dict[str, object]:
        """The answer to the call for the account's status."""
        status: dict[str, object] = dict.fromkeys(("connected", "session", "smartphoneConnected"), self.connected)
        return status if self.connected else {**status, "error": "You are not connected."}

    def __len__(self) -> int:
        return len(self._chats)

    def window(self, page: int, size: int) -> list[Chat]:
        """Give a page, counted from 1, of so many chats."""
        return self._chats[(page - 1) * size : page * size]

    def receive_message(self, chat: Chat | str) -> Chat:
        """Let a message arrive: the chat jumps to the front, one more unread. KeyError if there is no such chat."""
        return self._bump(self._index(chat))

    def new_chat(self) -> Chat:
        """Let somebody write for the first time: a new chat in front."""
        return self._to_front(evolve(self._people.chat(), unread=1, last_message_time=self._people.now()))

    def delete_chat(self, chat: Chat | str) -> Chat:
        """Take a chat off the list and give it back. KeyError if there is no such chat."""
        return self._chats.pop(self._index(chat))

    def mark_read(self, chat: Chat | str) -> Chat:
        """Let the owner read a chat: no more unread, and it stays where it is. KeyError if there is no such chat."""
        index = self._index(chat)
        self._chats[index] = evolve(self._chats[index], unread=0)
        return self._chats[index]

    def begin_traffic(self, traffic: Traffic, *, seed: int) -> None:
        """Choose what happens in each interval from now on."""
        self._traffic = traffic
        self._chance = random.Random(seed)  # noqa: S311 - made-up data

    def pass_interval(self) -> None:
        """Let happen what happens in one interval, in any order."""
        traffic, chance = self._traffic, self._chance
        events: list[Callable[[], object]] = [self._bump_any] * self._count(traffic.bumps)
        events += [self.new_chat] * self._count(traffic.inserts)
        events += [self._delete_any] * self._count(traffic.deletes)
        chance.shuffle(events)
        for event in events:
            event()

    def _count(self, rate: float) -> int:
        """Draw how many events of a rate fall into an interval: a Poisson process has exponential gaps."""
        count, passed = 0, 0.0
        while rate and (passed := passed + self._chance.expovariate(rate)) < 1.0:
            count += 1
        return count

    def _bump_any(self) -> None:
        if self._chats:
            self._bump(self._chance.randrange(len(self._chats)))

    def _delete_any(self) -> None:
        if self._chats:
            self._chats.pop(self._chance.randrange(len(self._chats)))

    def _bump(self, index: int) -> Chat:
        chat = self._chats.pop(index)
        return self._to_front(evolve(chat, unread=chat.unread + 1, last_message_time=self._people.now()))

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
