"""One of an account's lists, and shortcuts for a walk over it that is used once: they begin it, and discard it."""

from collections.abc import AsyncGenerator, Callable
from typing import Any

from attrs import Factory, frozen

from plugchat_async._items import ItemT
from plugchat_async._pagination.account_mark import Fingerprint
from plugchat_async._pagination.chat_walk import ChatWalk
from plugchat_async._pagination.options import WalkSettings
from plugchat_async._pagination.page_source import PageSource
from plugchat_async._pagination.server_traits import ListMemory
from plugchat_async.models import Page
from plugchat_async.server_traits import ServerTraits


@frozen(eq=False)
class AccountList:
    """One of an account's lists, with what walks share that read it one after another.

    Attributes:
        source: Its pages.
        traits: What is known of its pages.
        memory: What is known of its rows.
    """

    source: PageSource
    traits: ServerTraits = Factory(ServerTraits)
    memory: ListMemory = Factory(ListMemory)

    def walk(self, settings: WalkSettings, fingerprint: Fingerprint) -> ChatWalk[Any]:
        """Return a walk over the list."""
        return ChatWalk(self.source, settings, self.traits, self.memory, fingerprint)


async def items_of(begin: Callable[[], ChatWalk[ItemT]]) -> AsyncGenerator[ItemT, None]:
    """Yield the items of a walk."""
    walk = begin()
    try:
        while (page := await walk.next_page()) is not None:
            for item in page.chats:
                yield item
            del page  # while the next one is awaited
    finally:
        await walk.discard()


async def pages_of(begin: Callable[[], ChatWalk[ItemT]]) -> AsyncGenerator[Page[ItemT], None]:
    """Yield the pages of a walk."""
    walk = begin()
    try:
        while (page := await walk.next_page()) is not None:
            yield page
            del page  # while the next one is awaited
    finally:
        await walk.discard()


async def list_of(begin: Callable[[], ChatWalk[ItemT]]) -> list[ItemT]:
    """Return the items of a walk."""
    walk = begin()
    try:
        return await walk.to_list()
    finally:
        await walk.discard()
