"""Looks at a list again and again, and tells what has happened to its chats, through outages, too."""

import logging
import math
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from datetime import UTC, datetime, timedelta
from typing import Final, TypeVar

from attrs import frozen

from plugchat_async._internal.clock import Clock
from plugchat_async._pagination import ServerTraits
from plugchat_async._pagination.prefetch import PageSource
from plugchat_async._pagination.runner import PROBLEM_WARNING, ChatWalk, WalkOptions
from plugchat_async._pagination.steps import key_of
from plugchat_async.errors import (
    AccessDeniedError,
    AuthenticationError,
    ConsistencyError,
    PlugChatError,
    RateLimitedError,
    ResponseError,
    ServerError,
    ServiceError,
)
from plugchat_async.models import Chat, ChatEvent, Page
from plugchat_async.watch.options import Outage, WatchSettings, WatchState
from plugchat_async.watch.snapshot import OLDEST, Front, Snapshot

logger = logging.getLogger("plugchat_async.watch")

T = TypeVar("T")

# What may pass: the service is down, or something in front of it answers in its place.
_OUTAGES: Final = (ServiceError, ResponseError)
# Seconds between two looks during an outage, unless looks are rarer anyway.
_MAX_WAIT: Final = 300.0
# However long a server asks to wait.
_MAX_RETRY_AFTER: Final = 86_400.0
_NEWEST: Final = datetime.max.replace(tzinfo=UTC)
# How many seconds are counted back from the newest message.
_MAX_SINCE: Final = 86_400.0


@frozen
class WatchDeps:
    """What a watch needs of a session.

    fetch, walk: give a page, and a walk over the whole list. pause: waits so many seconds, or raises SessionStateError
    as soon as the session is closed. sizes: what the session has learnt of page sizes.
    """

    fetch: PageSource
    walk: Callable[[WalkOptions], ChatWalk]
    pause: Callable[[float], Awaitable[object]]
    sizes: ServerTraits
    clock: Clock


class Watch:
    """A watch that is under way."""

    def __init__(self, tools: WatchDeps, settings: WatchSettings) -> None:
        self._tools = tools
        self._settings = settings
        self._state = WatchState() if settings.state is None else settings.state
        self._snapshot = Snapshot()
        self._size = settings.page_size
        self._looks = 0
        self._worked = False  # whether a look ever did
        self._failures = 0
        self._began = 0.0  # when the first of them did
        self._told_unordered = False
        self._told_problems = False
        self._next_sweep = 0.0  # not before, by the session's clock
        self._postponed = False

    async def events(self) -> AsyncGenerator[ChatEvent, None]:
        """Look at the list, give what has happened, wait, and look again."""
        with self._state.lent() as self._snapshot:
            while True:
                started = self._tools.clock.monotonic()
                # Looked at wholly, then told: nothing is under way while an event is given.
                front = await self._outcome(self._read_front())
                error = front if isinstance(front, PlugChatError) else None
                sweeps = False
                if isinstance(front, Front):
                    quiet_until, strays = self._quiet_until(front), front.has_strays(self._snapshot)
                    for event in self._events_of_front(front, quiet_until):
                        yield event
                    sweeps = self._wants_sweep(front, strays=strays)
                    if sweeps:
                        sweep = await self._outcome(self._sweep())
                        if isinstance(sweep, Sweep):
                            self._learn_cap(front, sweep)
                            for event in self._events_of_sweep(sweep, quiet_until):
                                yield event
                        else:
                            error = sweep
                        del sweep
                del front  # while it is waited
                self._worked = self._worked or error is None
                self._end_look()
                is_short = self._looks == self._settings.max_polls
                if is_short and error is not None:
                    raise error
                wait = self._wait_after(error, started, sweeps=sweeps)
                if is_short:
                    return
                await self._tools.pause(wait)

    async def _outcome(self, look: Awaitable[T]) -> T | PlugChatError:
        """Return the look's result, or an error that may pass."""
        try:
            return await look
        except PlugChatError as error:
            if not self._may_pass(error):
                raise
            return error

    def _may_pass(self, error: PlugChatError) -> bool:
        """Return whether an error is waited for. A 4xx is, once a look has worked: the request itself is right then."""
        if isinstance(error, _OUTAGES):
            return True
        if not self._worked or isinstance(error, AccessDeniedError | AuthenticationError):
            return False
        return error.status is not None and 400 <= error.status < 500 and error.status not in (401, 403)

    async def _read_front(self) -> Front:
        front = Front(self._snapshot.bound, _moment(self._tools.clock.time()))
        page = await self._fetch(1)
        # A short page of a round length may be one of a server that caps its size: a sweep finds out.
        front.whole = page.is_short and not self._tools.sizes.may_be_capped(page)
        while front.take(page):
            page = await self._fetch(front.pages + 1)
        return front

    async def _fetch(self, number: int) -> Page:
        """Return a page. What can't be read on it is told once a watch."""
        page = await self._tools.fetch(number, self._size)
        if page.problems and not self._told_problems:
            self._told_problems = True
            logger.warning(PROBLEM_WARNING, number, page.problems[0], extra={"plugchat_page": number})
        return page

    def _quiet_until(self, front: Front) -> datetime | None:
        """Say up to which time the messages of chats that are not known mean that these were there before the watch.

        That is until the whole list was read once. What is newer than the look before is told, though it may be an old
        chat's message: were it not, it would be lost.
        """
        snapshot = self._snapshot
        if snapshot.begun or self._settings.emit_existing:
            return None
        if snapshot.bound is not None:
            return snapshot.bound
        if snapshot.swept is None or front.newest is None:
            return _NEWEST
        # The look before saw an empty list. So they are new, or the list is there again: then but a few are as new.
        # Times are in whole seconds.
        since = min(max(0.0, self._tools.clock.time() - snapshot.swept), _MAX_SINCE) + 1
        return front.newest - min(timedelta(seconds=since), front.newest - OLDEST)

    def _events_of_front(self, front: Front, quiet_until: datetime | None) -> Generator[ChatEvent, None, None]:
        """Give what a front says. When all of it is told, the next look reads down to where this one began."""
        snapshot = self._snapshot
        if front.whole and (front.seen or snapshot.swept is not None):  # an empty list is believed the second time
            snapshot.begin(front.seen.values(), quiet_until)
        yield from snapshot.events(front.seen.values(), self._settings.ignore, quiet_until)
        if front.whole:
            yield from snapshot.removals_but(front.seen, proven=not front.unreadable)
            snapshot.learnt = snapshot.learnt or snapshot.swept is None
            snapshot.swept = self._tools.clock.time()
        snapshot.bring_forward(front.seen)
        if not front.stuck:
            snapshot.bound = front.newest if front.ordered else None

    def _wants_sweep(self, front: Front, *, strays: bool) -> bool:
        """Tell whether the whole list is to be read. If that fails, it stays so, but is not tried at each look."""
        snapshot = self._snapshot
        self._postponed = False
        if front.whole:
            return False
        if not front.ordered and not self._told_unordered:
            self._told_unordered = True
            fields = {"plugchat_page_size": self._settings.page_size}
            logger.warning("the list is not sorted by time: it is read as a whole at each look", extra=fields)
        trusted = front.ordered and front.bound is not None and not front.stuck
        if not snapshot.begun or not trusted or strays or front.leaves_out(snapshot):
            snapshot.swept = None
        clock = self._tools.clock
        if snapshot.swept is None or not 0 <= clock.time() - snapshot.swept < self._settings.full_scan_interval:
            self._postponed = clock.monotonic() < self._next_sweep
            return not self._postponed
        return False

    async def _sweep(self) -> "Sweep":
        began = self._tools.clock.time()
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
                        seen.setdefault(key_of(chat), chat)
            finally:
                await drive.close()
        except ConsistencyError:
            verified = False
        except PlugChatError as error:
            error.checkpoint = None  # of this walk, which nobody can go on with
            raise
        # Who is missing may be one of the rows that could not be read.
        return Sweep(seen, verified and not drive.saw_unreadable, began)

    def _learn_cap(self, front: Front, sweep: "Sweep") -> None:
        """Ask for pages as long as a short one was, where that was not the end of the list."""
        until = front.until
        if front.ended and until is not None and front.pages == 1:
            behind = [
                chat
                for chat in sweep.seen.values()
                if key_of(chat) not in front.seen
                and chat.last_message_time is not None
                and chat.last_message_time <= until
            ]
            if behind:
                self._size = front.length

    def _events_of_sweep(self, sweep: "Sweep", quiet_until: datetime | None) -> Generator[ChatEvent, None, None]:
        """Give what a sweep says."""
        snapshot = self._snapshot
        if sweep.seen:
            snapshot.begin(sweep.seen.values(), quiet_until)
        yield from snapshot.events(sweep.seen.values(), self._settings.ignore, quiet_until)
        yield from snapshot.removals_but(sweep.seen, proven=sweep.verified)
        snapshot.sort()
        snapshot.swept = sweep.began

    def _end_look(self) -> None:
        """Count it, and tell that something was learnt, now that all its events are dealt with."""
        self._looks += 1
        if self._snapshot.learnt:
            self._snapshot.learnt = False
            if self._settings.on_poll is not None:
                self._settings.on_poll(self._state)

    def _wait_after(self, error: PlugChatError | None, started: float, *, sweeps: bool) -> float:
        """Say how long to wait after a look, and tell of outages. An error that lasts too long is raised.

        sweeps: the whole list was to be read. If that alone has failed, it waits alone; messages are looked for.
        """
        now = self._tools.clock.monotonic()
        rest = max(0.0, self._settings.interval - (now - started))
        if error is None:
            if self._failures and not self._postponed:
                self._tell(Outage(None, self._failures, now - self._began, rest))
                self._failures = 0
            return rest
        if not self._failures:
            self._began = started
        self._failures += 1
        lasted = now - self._began
        left = math.inf if self._settings.max_outage is None else self._settings.max_outage - lasted
        asked = error.retry_after if isinstance(error, RateLimitedError | ServerError) else None
        if left <= 0 or (asked is not None and asked > left):
            raise error
        # As with retries, chance keeps many watches from coming back together.
        most = min(
            max(self._settings.interval, _MAX_WAIT), self._settings.interval * 2.0 ** min(self._failures - 1, 64)
        )
        wait = most * (1 + self._tools.clock.random()) / 2
        if asked is not None:
            wait = max(wait, min(asked, _MAX_RETRY_AFTER))
        wait = min(wait, left)
        self._tell(Outage(error, self._failures, lasted, wait))
        if sweeps and asked is None:
            self._next_sweep = now + wait
            return min(wait, rest)
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

    seen: its chats by their keys, see `key_of`.
    verified: whether it is proven that no other has been there all the while.
    began: when it began, in epoch seconds.
    """

    seen: dict[str, Chat]
    verified: bool
    began: float


def _moment(time: float) -> datetime:
    """Give a time of the clock, which may be any number."""
    try:
        return datetime.fromtimestamp(time, UTC)
    except (ValueError, OverflowError, OSError):
        return OLDEST
