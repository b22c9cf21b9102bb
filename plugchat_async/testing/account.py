"""A simulated account: its chats, contacts and phone, and the traffic that changes its list."""

from collections import deque

from plugchat_async.models import Chat
from plugchat_async.testing.chat_list import ChatList, ListState
from plugchat_async.testing.contacts import ContactList
from plugchat_async.testing.dialects import Dialect
from plugchat_async.testing.events import ChatEvents
from plugchat_async.testing.fake_chats import ChatFactory, GatewayChatFactory
from plugchat_async.testing.traffic import RandomTraffic, Traffic


class SimulatedAccount(ChatEvents):
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
        contacts: int | None = None,
        *,
        seed: int,
        token: str = "",
        dialect: Dialect = "gateway",
        pinned: int = 0,
        connected: bool = True,
    ) -> None:
        is_todays = dialect == "gateway"
        factory = GatewayChatFactory if is_todays else ChatFactory
        super().__init__(
            ChatList(factory(seed), chats, has_flags=is_todays, pinned=pinned),
            ContactList(factory(seed), chats if contacts is None else contacts),
        )
        self.token = token
        self.connected = connected
        self._traffic = RandomTraffic(self._list, Traffic(), seed=seed)
        self._past: deque[ListState] = deque()

    @property
    def status(self) -> dict[str, object]:
        """The response to the call for the account's status."""
        status: dict[str, object] = dict.fromkeys(("connected", "session", "smartphoneConnected"), self.connected)
        return status if self.connected else {**status, "error": "You are not connected."}

    @property
    def chat_list(self) -> ChatList:
        """The list, for what changes it by index."""
        return self._list

    @property
    def contact_list(self) -> ContactList:
        """The contacts, for what changes them."""
        return self._contacts

    @property
    def state(self) -> ListState:
        """The list as it is now."""
        return self._list.state

    @property
    def has_pinned(self) -> bool:
        """Whether a chat is pinned."""
        return self._list.has_pinned

    def __len__(self) -> int:
        return len(self._list)

    def window(self, page: int, size: int) -> list[Chat]:
        """Return a page of `size` chats. Pages are counted from 1."""
        return list(self._list.chats[(page - 1) * size : page * size])

    def record_state(self, lag: int) -> ListState:
        """Record the list as it is now. Return what was recorded `lag` calls ago, or the first that was recorded."""
        self._past.append(self.state)
        while len(self._past) > lag + 1:
            self._past.popleft()
        return self._past[0]

    def start_traffic(self, traffic: Traffic, *, seed: int) -> None:
        """Set the events of each interval from now on."""
        self._traffic = RandomTraffic(self._list, traffic, seed=seed)

    def pass_interval(self) -> None:
        """Make the events of one interval happen, in random order."""
        self._traffic.pass_interval()
