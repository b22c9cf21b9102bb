"""The parts of a session that a watch uses."""

from collections.abc import Awaitable, Callable

from attrs import frozen

from plugchat_async._internal.clock import Clock
from plugchat_async._pagination.account_mark import Fingerprint
from plugchat_async._pagination.chat_walk import ChatWalk
from plugchat_async._pagination.options import WalkSettings
from plugchat_async._pagination.prefetch import FetchFunction
from plugchat_async.models import AccountStatus
from plugchat_async.server_traits import ServerTraits


@frozen
class WatchDeps:
    """The parts of a session that a watch uses.

    Attributes:
        fetch: Fetches a page.
        walk: Starts a walk over the whole list.
        pause: Waits for some seconds, or raises SessionStateError as soon as the session is closed.
        traits: What the session has learned about the server's page sizes.
        clock: The session's clock.
        fetch_status: Fetches the status of the account's phone.
        fingerprint: Returns a keyed hash of the account. Default None: states are not checked.
    """

    fetch: FetchFunction
    walk: Callable[[WalkSettings], ChatWalk]
    pause: Callable[[float], Awaitable[object]]
    traits: ServerTraits
    clock: Clock
    fetch_status: Callable[[], Awaitable[AccountStatus]]
    fingerprint: Fingerprint = lambda _: None
