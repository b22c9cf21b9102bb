"""Reads the whole list for a watch."""

import asyncio

from plugchat_async._pagination.chat_walk import ChatWalk
from plugchat_async.errors import ConsistencyError, PlugChatError
from plugchat_async.models import Chat
from plugchat_async.watch.identity import ROWS_AT_ONCE
from plugchat_async.watch.scan import FullScan
from plugchat_async.watch.snapshot import Snapshot


async def scan_all(walk: ChatWalk, snapshot: Snapshot, started: float) -> FullScan:
    """Read the whole list.

    A row that is as known is replaced by the known chat. So a scan of a list that has hardly changed keeps no new
    objects. With 200,000 new chats, the collector would run several times, blocking the loop for 80 to 140 ms each, and
    freeing them another 30 ms.

    Args:
        walk: A walk over the list. Only a "strict" one proves that a missing chat is gone.
        snapshot: The known chats.
        started: When the scan began, in epoch seconds.
    """
    rows: list[Chat] = []
    verified = True
    try:
        try:
            async for page in walk.pages():
                for number, chat in enumerate(page.chats, 1):
                    if number % ROWS_AT_ONCE == 0:
                        await asyncio.sleep(0)
                    rows.append(snapshot.known(chat))
        finally:
            await walk.discard()
    except ConsistencyError:
        verified = False
    except PlugChatError as error:
        error.checkpoint = None  # the caller can't resume this walk
        raise
    # A row that could not be read may be a missing chat.
    return FullScan(rows, verified and not walk.saw_unreadable, started)
