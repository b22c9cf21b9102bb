"""The contacts of a simulated account, and its pending chats."""

from collections.abc import Sequence

from attrs import evolve

from plugchat_async.calls import Contact, PendingChat
from plugchat_async.models import Chat
from plugchat_async.testing.chance import chance
from plugchat_async.testing.fake_chats import ChatFactory


class ContactList:
    """Made-up contacts, sorted by name, those that are not in the address book last.

    Args:
        factory: Makes persons. It must not be the one of the account's chats.
        count: The number of contacts. They are made when they are first needed.
    """

    def __init__(self, factory: ChatFactory, count: int) -> None:
        self._factory = factory
        self._count = count
        self._made: list[Contact] | None = None

    @property
    def contacts(self) -> Sequence[Contact]:
        """The contacts. Not a copy."""
        return self._contacts()

    def add(self) -> Contact:
        """Add a contact, and return it."""
        contact = self._make()
        self._place(contact)
        return contact

    def remove(self, contact: Contact | str) -> Contact:
        """Remove a contact, given itself or its id, and return it. Raise KeyError if there is none."""
        contacts = self._contacts()
        if isinstance(contact, Contact) and contact in contacts:
            return contacts.pop(contacts.index(contact))
        # By its address: since it was read, it may have another name.
        wanted = contact if isinstance(contact, str) else (contact.phone, contact.lid)
        for index, known in enumerate(contacts):
            if wanted in (known.id, (known.phone, known.lid)):
                return contacts.pop(index)
        raise KeyError(contact if isinstance(contact, str) else contact.id)

    def rename(self, contact: Contact | str, name: str | None) -> Contact:
        """Rename a contact, which moves to the place of its new name. Raise KeyError if there is none."""
        renamed = evolve(self.remove(contact), name=name, short=_first_word(name))
        self._place(renamed)
        return renamed

    def _contacts(self) -> list[Contact]:
        if self._made is None:
            self._made = sorted((self._make() for _ in range(self._count)), key=_place_of)
        return self._made

    def _place(self, contact: Contact) -> None:
        contacts = self._contacts()
        contacts.append(contact)
        contacts.sort(key=_place_of)

    def _make(self) -> Contact:
        person = self._factory.chat()
        while person.kind != "person":
            person = self._factory.chat()
        short = _first_word(person.name)
        return Contact(
            phone=person.phone,
            name=person.name,
            short=short,
            vname=person.name if chance("vname", person.id) < 0.2 else None,
            notify=(short or "~") if chance("notify", person.id) < 0.7 else None,
            lid=person.lid,
        )


def pending_chats(chats: Sequence[Chat]) -> Sequence[PendingChat]:
    """Return the rows of the chats that have unread messages."""
    return [
        PendingChat(
            phone=chat.phone,
            name=chat.name,
            unread_messages_count=chat.unread,
            last_message_time=chat.last_message_time,
            is_muted=chat.is_muted,
            profile_thumbnail=chat.profile_thumbnail,
            lid=chat.lid,
        )
        for chat in chats
        if chat.unread
    ]


def _first_word(name: str | None) -> str | None:
    return next(iter((name or "").split()), None)


def _place_of(contact: Contact) -> tuple[bool, str, str]:
    return contact.name is None, (contact.name or "").casefold(), contact.id
