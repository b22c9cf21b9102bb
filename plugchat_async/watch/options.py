"""The options of a watch, and the outages that it reports."""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from datetime import timedelta
from typing import TypedDict

from attrs import field, frozen
from attrs.converters import optional

from plugchat_async._internal.validation import (
    check_choice,
    check_int,
    check_optional_int,
    check_seconds,
    check_type,
    to_seconds,
)
from plugchat_async._pagination.account_mark import check_account_name
from plugchat_async.errors import InvalidTypeError, PlugChatError
from plugchat_async.models import COLUMNS
from plugchat_async.watch.state import WatchState


@frozen
class Outage:
    """A poll of a watch has failed, or polls work again.

    A list that is empty since the phone is not connected is an outage, too: its error is a NotConnectedError.
    A watch retries after a ServiceError or a ResponseError. After a first successful poll it also retries after a 4xx,
    except for a refused token or address. All other errors are raised at once. The wait doubles with each failure, up
    to the longer of `interval` and five minutes; it is never shorter than the server's Retry-After.

    Attributes:
        error: Why the last poll failed, or None if the outage is over.
        failures: The number of polls in a row that have failed.
        lasted: Seconds since the first of these polls began.
        wait: Seconds until the next poll.
        is_new: Whether there is something to tell: no earlier poll of this outage has failed with an error of this
            class, or the outage is over (default True).
    """

    error: PlugChatError | None
    failures: int
    lasted: float
    wait: float
    is_new: bool = True


OnOutage = Callable[[Outage], object | Awaitable[object]]
OnPoll = Callable[[WatchState], object | Awaitable[object]]


class WatchOptions(TypedDict, total=False):
    """The keyword options of `PlugChatSession.watch_chats`, for functions that pass them on.

    Attributes:
        interval: Seconds from the start of one poll to the start of the next (default 30.0).
        page_size: Chats to request at a time (default 100).
        state: The chats that you know already (default None: none). The watch keeps it up to date. Save it after you
            have handled an event, or in `on_poll`, and pass it again after a restart.
        full_scan_interval: Seconds after which the whole list is read again (default 600.0; 0.0: at each poll).
        emit_existing: Whether a watch without a state starts with a ChatAdded for each chat (default False). Chats that
            existed before, but appear later, get one, too.
        ignore: Names of `Chat` fields. A chat in which only these have changed causes no event, such as
            "profile_thumbnail" (default: none).
        max_polls: The number of polls after which the watch ends (default None: it never ends). If the last one fails,
            its error is raised.
        max_outage: Seconds of an outage after which its error is raised (default None: the watch retries forever).
        stop: An asyncio.Event that ends the watch when you set it, as at SIGTERM (default None). Requests and waits are
            cancelled at once, but never what you do with an event: the watch ends when you ask for the next one. If
            anything is not saved yet, `on_poll` is called once more.
        on_outage: A function, plain or async, called with an Outage when a poll has failed, and when polls work again
            (default None). Both are logged as warnings in any case.
        on_poll: A function, plain or async, called with the state after each poll that has read the newest chats, when
            its events are handled, if there are any (default None). Save here: `WatchState.save` writes only what has
            changed. To save only here is faster where many chats change; a process that dies during a poll then
            receives the events of that poll again.
        account: A name of your own for the account, such as its number (default None). A state is marked with a hash of
            the base URL and the token, and can't be used for another account. If either changes, pass a name, each
            time the same: the state is marked with that instead.
    """

    interval: float | timedelta
    page_size: int
    state: WatchState | None
    full_scan_interval: float | timedelta
    emit_existing: bool
    ignore: Collection[str]
    max_polls: int | None
    max_outage: float | timedelta | None
    stop: asyncio.Event | None
    on_outage: OnOutage | None
    on_poll: OnPoll | None
    account: str | None


@frozen(kw_only=True, eq=False, repr=False)
class WatchSettings:
    """The values of all `WatchOptions`, checked.

    Raises:
        InvalidValueError: A value is out of range.
        InvalidTypeError: A value has the wrong type.
    """

    interval: float = field(default=30.0, converter=to_seconds)
    page_size: int = 100
    state: WatchState | None = None
    full_scan_interval: float = field(default=600.0, converter=to_seconds)
    emit_existing: bool = False
    ignore: Collection[str] = ()
    max_polls: int | None = None
    max_outage: float | None = field(default=None, converter=optional(to_seconds))
    stop: asyncio.Event | None = None
    on_outage: OnOutage | None = None
    on_poll: OnPoll | None = None
    account: str | None = None

    def __attrs_post_init__(self) -> None:
        check_seconds("interval", self.interval, zero=False)
        check_int("page_size", self.page_size, minimum=1)
        check_type("state", self.state, WatchState, optional=True)
        check_seconds("full_scan_interval", self.full_scan_interval, zero=True)
        check_type("emit_existing", self.emit_existing, bool)
        check_type("ignore", self.ignore, Collection)
        if isinstance(self.ignore, str):
            raise InvalidTypeError(f"ignore must be a list, got {self.ignore!r}", f"Pass ignore=[{self.ignore!r}].")
        for name in self.ignore:
            check_choice("ignore", name, COLUMNS)
        check_optional_int("max_polls", self.max_polls, minimum=1)
        if self.max_outage is not None:
            check_seconds("max_outage", self.max_outage, zero=True)
        check_type("stop", self.stop, asyncio.Event, optional=True)
        for name, function, argument in (
            ("on_outage", self.on_outage, "an Outage"),
            ("on_poll", self.on_poll, "a WatchState"),
        ):
            if function is not None and not callable(function):
                raise InvalidTypeError(f"{name} must be a function of {argument}")
        check_account_name(self.account)
