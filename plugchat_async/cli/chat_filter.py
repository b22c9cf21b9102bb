"""Which chats `plugchat chats` shows: those with a text, with unread messages, groups, people. Pure."""

import re
import unicodedata
from collections.abc import AsyncGenerator, AsyncIterable
from typing import Final

from attrs import define, field

from plugchat_async import Chat

# Fewer digits than this are in too many phones.
_MIN_DIGITS: Final = 4
# Whether the character before is shown as an emoji: keyboards differ in it.
_EMOJI_STYLES: Final = "\ufe0e\ufe0f"


@define
class ChatFilter:
    """A filter of chats. Without conditions, all chats match, and all items of other lists.

    Attributes:
        search: A text in the name, the phone or the lid, in any case and with or without accents. A phone may be
            written with spaces, dashes, brackets and a plus.
        unread: Whether only chats with unread messages match.
        groups: Whether only groups match; with `people`, groups and people.
        people: Whether only people match; with `groups`, groups and people.
        limit: The maximum number of chats that match, None for any number.
        seen: The number of chats so far.
        found: The number of those that matched.
    """

    search: str | None = None
    unread: bool = False
    groups: bool = False
    people: bool = False
    limit: int | None = None
    seen: int = field(default=0, init=False)
    found: int = field(default=0, init=False)

    @property
    def is_active(self) -> bool:
        """Whether there is a condition."""
        return bool(self.search) or self.unread or self.groups or self.people

    @property
    def options(self) -> str:
        """The options that make its conditions, "" without any."""
        flags = [("--unread", self.unread), ("--groups", self.groups), ("--people", self.people)]
        search = [f"--search {self.search!r}"] if self.search else []
        return " ".join([*search, *(name for name, on in flags if on)])

    @property
    def is_done(self) -> bool:
        """Whether no more chats can match, because of the limit."""
        return self.limit is not None and self.found >= self.limit

    def matches(self, chat: Chat) -> bool:
        """Count a chat, and return whether it matches."""
        kinds = [kind for kind, wanted in (("group", self.groups), ("person", self.people)) if wanted]
        is_wanted = (not self.unread or chat.unread > 0) and (not kinds or chat.kind in kinds) and self._has_text(chat)
        self.seen += 1
        self.found += is_wanted
        return is_wanted

    def _has_text(self, chat: Chat) -> bool:
        if not self.search:
            return True
        text = folded(self.search)
        if any(value is not None and text in folded(value) for value in (chat.name, chat.phone, chat.lid)):
            return True
        digits = re.sub(r"[\s()+./-]", "", self.search)
        return len(digits) >= _MIN_DIGITS and digits.isdecimal() and digits in (chat.phone or "")


async def filtered(chats: AsyncIterable[Chat], wanted: ChatFilter) -> AsyncGenerator[Chat, None]:
    """Yield the chats that match, up to the filter's limit."""
    if wanted.limit == 0:
        return
    async for chat in chats:
        if wanted.matches(chat):
            yield chat
            if wanted.is_done:
                return


def folded(text: str) -> str:
    """Return a text without case and accents: people type "joao" for "João", and letters for those of mathematics."""
    plain = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
    return "".join(c for c in plain if not unicodedata.combining(c) and c not in _EMOJI_STYLES)
