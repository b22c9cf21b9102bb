"""Events that a test makes happen to an account's chats, one at a time."""

import operator
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Final

from plugchat_async._internal.validation import check_int, check_number, check_type
from plugchat_async.calls import Contact, PendingChat
from plugchat_async.models import Chat
from plugchat_async.testing.chat_list import ChatList
from plugchat_async.testing.contacts import ContactList, pending_chats
from plugchat_async.testing.fake_chats import row_key

# The most by which a message is older or newer than now, in seconds: three years.
_MAX_SECONDS: Final = 10**8


class ChatEvents:
    """Changes an account's chats.

    Methods that take a chat accept a `Chat` or its id. Rows of one person without a phone share their id: the id means
    the first of them, a `Chat` exactly that row.
    """

    def __init__(self, chats: ChatList, contacts: ContactList) -> None:
        self._list = chats
        self._contacts = contacts

    @property
    def chats(self) -> tuple[Chat, ...]:
        """All current chats, newest first, those without a time last. `Quirks` do not change it."""
        return tuple(self._list.chats)

    @property
    def pending_chats(self) -> tuple[PendingChat, ...]:
        """The current chats with unread messages, in the order of `chats`."""
        return tuple(pending_chats(self._list.chats))

    @property
    def contacts(self) -> tuple[Contact, ...]:
        """All current contacts, sorted by name, those without a name last. `Quirks` do not change it."""
        return tuple(self._contacts.contacts)

    def new_contact(self) -> Contact:
        """Add a contact, at the place of its name."""
        return self._contacts.add()

    def delete_contact(self, contact: Contact | str) -> Contact:
        """Delete a contact, given itself or its id.

        Raises:
            KeyError: If there is no such contact.
        """
        return self._contacts.remove(contact)

    def rename_contact(self, contact: Contact | str, name: str | None) -> Contact:
        """Rename a contact, given itself or its id: it moves to the place of its new name.

        Raises:
            KeyError: If there is no such contact.
        """
        return self._contacts.rename(contact, name)

    def receive_message(self, chat: Chat | str, *, late: float = 0.0, ahead: float = 0.0) -> Chat:
        """Receive a message: the chat moves to the front, with one more unread.

        Args:
            chat: The chat, or its id.
            late: How long ago the message was sent, in seconds. The chat moves up to the place of that time, or stays
                if it has a newer message. Default 0.0.
            ahead: How far the sender's clock is ahead, in seconds. The chat stays in front of others until their
                messages are newer. Default 0.0.

        Raises:
            KeyError: If there is no such chat.
            InvalidValueError: An argument is out of range.
        """
        offset = _check_seconds("ahead", ahead) - _check_seconds("late", late)
        index = self._index(chat)
        return self._list.receive(index, self._list.now() + timedelta(seconds=offset))

    def receive_messages(self, chats: Iterable[Chat | str]) -> list[Chat]:
        """Receive a message in each of several chats within one second: they move to the front with the same time.

        Raises:
            KeyError: If there is no such chat.
        """
        time = self._list.now()
        return [self._list.receive(self._index(chat), time) for chat in chats]

    def delete_message(self, chat: Chat | str, *, gap: float | None = 600.0) -> Chat:
        """Delete the last message: the chat moves down to the place of the message before, with one less unread.

        A chat without a time has no message, and stays as it is.

        Args:
            chat: The chat, or its id.
            gap: How much older the message before is, in seconds; None if there is none, so that the chat has no time
                any more. Default 600.0.

        Raises:
            KeyError: If there is no such chat.
            InvalidValueError: `gap` is out of range.
        """
        older = None if gap is None else timedelta(seconds=_check_seconds("gap", gap))
        index = self._index(chat)
        time = self._list[index].last_message_time
        if time is None:
            return self._list[index]
        return self._list.put_back(index, None if older is None else time - older)

    def new_chat(self) -> Chat:
        """Add a new chat to the front, with one unread message."""
        return self._list.add()

    def delete_chat(self, chat: Chat | str) -> Chat:
        """Remove a chat from the list and return it.

        Raises:
            KeyError: If there is no such chat.
        """
        return self._list.remove(self._index(chat))

    def mark_read(self, chat: Chat | str) -> Chat:
        """Mark a chat as read: it has no unread messages, and keeps its position.

        Raises:
            KeyError: If there is no such chat.
        """
        return self._list.mark_read(self._index(chat))

    def pin_chat(self, chat: Chat | str, *, pinned: bool = True) -> Chat:
        """Pin a chat, so that it is listed on top, or unpin it. In `chats` it keeps its place.

        Args:
            chat: The chat, or its id.
            pinned: Whether it is pinned. Default True.

        Raises:
            KeyError: If there is no such chat.
            InvalidTypeError: `pinned` is not a bool.
        """
        check_type("pinned", pinned, bool)
        return self._list.set_pinned(self._index(chat), pinned=pinned)

    def archive_chat(self, chat: Chat | str, *, archived: bool = True) -> Chat:
        """Archive a chat, or take it out of the archive. `Quirks.archived` is where it is listed then.

        Args:
            chat: The chat, or its id.
            archived: Whether it is archived. Default True.

        Raises:
            KeyError: If there is no such chat.
            InvalidTypeError: `archived` is not a bool.
        """
        check_type("archived", archived, bool)
        return self._list.set_archived(self._index(chat), archived=archived)

    def start_sync(self, chats: int = 10) -> None:
        """Cut the list to its first chats, as while a newly connected phone syncs its history.

        The others come back with `sync_chats`, or with `PlugChatSimulator.traffic(syncs=…)`, each at the place of its
        time and in no particular order.

        Args:
            chats: The number of chats that stay. Default 10.

        Raises:
            InvalidValueError: `chats` is negative.
        """
        self._list.start_sync(check_int("chats", chats, minimum=0))

    def sync_chats(self, count: int | None = None) -> list[Chat]:
        """Add chats that are not synced to the list, and return them.

        Args:
            count: Their number; fewer are added if there are no more. Default None: all of them.

        Raises:
            InvalidValueError: `count` is negative.
        """
        if count is not None:
            check_int("count", count, minimum=0)
        added: list[Chat] = []
        while (count is None or len(added) < count) and (chat := self._list.sync()) is not None:
            added.append(chat)
        return added

    def _index(self, wanted: Chat | str) -> int:
        name_of: Callable[[Chat], str] = operator.attrgetter("id") if isinstance(wanted, str) else row_key
        name = wanted if isinstance(wanted, str) else row_key(wanted)
        for index, chat in enumerate(self._list.chats):
            if name_of(chat) == name:
                return index
        raise KeyError(name)


def _check_seconds(name: str, value: object) -> float:
    return check_number(name, value, maximum=_MAX_SECONDS, unit=" of seconds")
