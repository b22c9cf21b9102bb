"""Whether the account's phone is connected: if it is not, the gateway returns an empty list under a 200."""

from collections.abc import Awaitable, Callable

from plugchat_async._pagination.list_end import empty_list_error
from plugchat_async.errors import PlugChatError
from plugchat_async.models import AccountStatus


async def is_connected(fetch_status: Callable[[], Awaitable[AccountStatus]]) -> bool:
    """Return whether the phone is connected, True if that can't be known."""
    try:
        return (await fetch_status()).connected
    except PlugChatError:
        return True


async def refuse_empty_list(fetch_status: Callable[[], Awaitable[AccountStatus]]) -> None:
    """Check an empty list before it is taken for an account without chats.

    A watch that knows chats doubts an empty list anyway. One that knows none would wait for its first chat for ever,
    and take all that the phone sends after it is connected for new.

    Raises:
        NotConnectedError: The phone is not connected.
    """
    try:
        status = await fetch_status()
    except PlugChatError:
        return
    if not status.connected:
        raise empty_list_error(status.error)
