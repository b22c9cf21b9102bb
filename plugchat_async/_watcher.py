"""Looks at a list again and again, and tells what has happened to its chats, through outages, too."""

import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from typing import Final, TypeVar

from attrs import frozen

from plugchat_async._ahead import FetchPage
from plugchat_async._driver import Drive, WalkOptions
from plugchat_async._exchange import TimeSource
from plugchat_async._snapshot import Front, Snapshot
from plugchat_async._walk import PageSizes
from plugchat_async.errors import (
    ConsistencyError,
    PlugChatError,
    RateLimitedError,
    ResponseError,
    ServerError,
    ServiceError,
)
from plugchat_async.models import Chat, ChatEvent
from plugchat_async.watch import Outage, WatchSettings, WatchState

logger = logging.getLogger("plugchat_async.watch")

T = TypeVar("T")

# What may pass: the service is down, or something in front of it answers in its place.
_OUTAGES: Final = (ServiceError, ResponseError)
# Seconds between two looks during an outage, unless looks are rarer anyway.
_MOST_WAIT: Final = 300.0
# However long a server asks to wait.
_MOST_RETRY_AFTER: Final = 86_400.0


@frozen
class WatchTools:
    """What a watch needs of a session.

    fetch, walk: give a page, and a walk over the whole list. pause: waits so many seconds, or raises SessionStateError
    as soon as the session is closed. sizes: what the session has learnt of page sizes.
    """

    fetch: FetchPage
    walk: Callable[[WalkOptions], Drive]
    pause: Callable[[float], Awaitable[object]]
    sizes: PageSizes
    time_source: TimeSource


class Watch:
    """A watch that is under way."""

    def __init__(self, tools: WatchTools, settings: WatchSettings) -> None:
        self._tools = tools
        self._settings = settings
        self._state = WatchState() if settings.state is None else settings.state
        self._snapshot = Snapshot()
        self._size = settings.page_size
        self._looks = 0
        self._failures = 0
        self._began = 0.0  # when the first of them did
        self._told_unordered = False

    async def events(self) -> AsyncGenerator[ChatEvent, None]:
        """Look at the list, give what has happened, wait, and look again."""
        with self._state.lent() as self._snapshot:
            while True:
                started = self._tools.time_source.monotonic()
                # Looked at wholly, then told: nothing is under way while an event is given.
                front = await _outcome(self._read_front())
                error = front if isinstance(front, PlugChatError) else None
                if isinstance(front, Front):
                    for event in self._events_of_front(front):
                        yield event
                    if self._wants_sweep(front):
                        sweep = await _outcome(self._sweep())
                        if isinstance(sweep, Sweep):
                            self._learn_cap(front, sweep)
                            for event in self._events_of_sweep(sweep):
                                yield event
                        else:
                            error = sweep
                        del sweep
                del front  # while it is waited
                self._looks += 1
                is_last = self._looks == self._settings.looks
                if is_last and error is not None:
                    raise error
                wait = self._wait_after(error, started)
                if is_last:
                    return
                await self._tools.pause(wait)

    async def _read_front(self) -> Front:
        front = Front(self._snapshot.bound)
        page = await self._tools.fetch(1, self._size)
        # A short page of a round length may be one of a server that caps its size: a sweep finds out.
        front.whole = page.is_last and not self._tools.sizes.suspects(page)
        while front.take(page):
            page = await self._tools.fetch(front.pages + 1, self._size)
        return front

    def _events_of_front(self, front: Front) -> Generator[ChatEvent, None, None]:
        """Give what a front says. When all of it is told, the next look reads down to where this one began."""
        snapshot = self._snapshot
        yield from snapshot.events(front.seen.values(), self._settings.ignore, silent=self._is_silent)
        if front.whole:
            yield from snapshot.removals_but(front.seen, proven=True)
            snapshot.begun, snapshot.swept = True, self._tools.time_source.time()
        snapshot.bring_forward(front.seen)
        if not front.stuck:
            snapshot.bound = front.newest if front.ordered else None

    def _wants_sweep(self, front: Front) -> bool:
        """Tell whether the whole list is to be read. If that fails, it stays so."""
        snapshot = self._snapshot
        if front.whole:
            return False
        if not front.ordered and not self._told_unordered:
            self._told_unordered = True
            fields = {"plugchat_page_size": self._settings.page_size}
            logger.warning("the list is not sorted by time: it is read as a whole at each look", extra=fields)
        trusted = front.ordered and front.bound is not None and not front.stuck
        if not snapshot.begun or not trusted or front.leaves_out(snapshot):
            snapshot.swept = None
        return (
            snapshot.swept is None
            or not 0 <= self._tools.time_source.time() - snapshot.swept < self._settings.sweep_interval
        )

    async def _sweep(self) -> "Sweep":
        began = self._tools.time_source.time()
        seen: dict[str, Chat] = {}
        # "strict" alone proves that who is missing is gone.
        drive = self._tools.walk(
            WalkOptions(page_size=self._settings.page_size, consistency="strict", require_verified=True)
        )
        verified = True
        try:
            try:
                while (page := await drive.next()) is not None:
                    for chat in page.chats:
                        seen.setdefault(chat.phone, chat)
            finally:
                await drive.close()
        except ConsistencyError:
            verified = False
        except PlugChatError as error:
            error.checkpoint = None  # of this walk, which nobody can go on with
            raise
        return Sweep(seen, verified, began)

    def _learn_cap(self, front: Front, sweep: "Sweep") -> None:
        """Ask for pages as long as a short one was, where that was not the end of the list."""
        until = front.until
        if front.ended and until is not None and front.pages == 1:
            behind = [
                chat
                for chat in sweep.seen.values()
                if chat.phone not in front.seen
                and chat.last_message_time is not None
                and chat.last_message_time < until
            ]
            if behind:
                self._size = len(front.seen)

    def _events_of_sweep(self, sweep: "Sweep") -> Generator[ChatEvent, None, None]:
        """Give what a sweep says."""
        snapshot = self._snapshot
        yield from snapshot.events(sweep.seen.values(), self._settings.ignore, silent=self._is_silent)
        yield from snapshot.removals_but(sweep.seen, proven=sweep.verified)
        snapshot.sort()
        snapshot.begun, snapshot.swept = True, sweep.began

    @property
    def _is_silent(self) -> bool:
        """Whether chats that are new to the snapshot were there before the watch."""
        return not self._snapshot.begun and not self._settings.report_existing

    def _wait_after(self, error: PlugChatError | None, started: float) -> float:
        """Say how long to wait after a look, and tell of outages. An error that lasts too long is raised."""
        now = self._tools.time_source.monotonic()
        if error is None:
            wait = max(0.0, self._settings.interval - (now - started))
            if self._failures:
                self._tell(Outage(None, self._failures, now - self._began, wait))
                self._failures = 0
            return wait
        if not self._failures:
            self._began = started
        self._failures += 1
        lasted = now - self._began
        if self._settings.max_outage is not None and lasted >= self._settings.max_outage:
            raise error
        # As with retries, chance keeps many watches from coming back together.
        most = min(
            max(self._settings.interval, _MOST_WAIT), self._settings.interval * 2.0 ** min(self._failures - 1, 64)
        )
        wait = most * (1 + self._tools.time_source.random()) / 2
        if isinstance(error, RateLimitedError | ServerError) and error.retry_after is not None:
            wait = max(wait, min(error.retry_after, _MOST_RETRY_AFTER))
        self._tell(Outage(error, self._failures, lasted, wait))
        return wait

    def _tell(self, outage: Outage) -> None:
        error = outage.error
        fields = {
            "plugchat_error": None if error is None else type(error).__name__,
            "plugchat_status": None if error is None else error.status,
            "plugchat_failures": outage.failures,
            "plugchat_lasted": outage.lasted,
            "plugchat_wait": outage.wait,
        }
        if error is None:
            text = "watching again: %d looks had failed, for %.1f s"
            logger.warning(text, outage.failures, outage.lasted, extra=fields)
        else:
            text = "can't look at the list: %s: looking again in %.1f s"
            logger.warning(text, error.message, outage.wait, extra=fields)
        if self._settings.on_outage is not None:
            self._settings.on_outage(outage)


@frozen
class Sweep:
    """The whole list, as a walk has read it.

    seen: its chats by their phones. verified: whether it is proven that no other has been there all the while.
    began: when it began, in epoch seconds.
    """

    seen: dict[str, Chat]
    verified: bool
    began: float


async def _outcome(look: Awaitable[T]) -> T | PlugChatError:
    """Give what a look gives, or the error that may pass."""
    try:
        return await look
    except _OUTAGES as error:
        return error
