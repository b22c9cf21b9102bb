"""Polls a list, yields what has changed since the last poll, and retries through outages."""

import logging
import math
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from datetime import UTC, datetime, timedelta
from typing import Final, TypeVar

from attrs import frozen

from plugchat_async._internal.clock import Clock
from plugchat_async._pagination.chat_walk import ChatWalk
from plugchat_async._pagination.options import WalkSettings
from plugchat_async._pagination.prefetch import FetchFunction
from plugchat_async._pagination.server_traits import may_be_cut
from plugchat_async._pagination.walk_reporter import PROBLEM_WARNING
from plugchat_async._pagination.walk_steps import key_of
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
from plugchat_async.server_traits import ServerTraits
from plugchat_async.watch.options import Outage, WatchSettings
from plugchat_async.watch.scan import FrontScan, FullScan
from plugchat_async.watch.snapshot import OLDEST, Snapshot
from plugchat_async.watch.state import WatchState

logger = logging.getLogger("plugchat_async.watch")

T = TypeVar("T")

# The service is down, or something in front of it answers instead: this can pass.
_TEMPORARY: Final = (ServiceError, ResponseError)
# Seconds between two polls during an outage, unless `interval` is longer.
_MAX_WAIT: Final = 300.0
# However long a server asks to wait.
_MAX_RETRY_AFTER: Final = 86_400.0
_NEWEST: Final = datetime.max.replace(tzinfo=UTC)
# How many seconds are counted back from the newest message.
_MAX_LOOKBACK: Final = 86_400.0


@frozen
class WatchDeps:
    """The parts of a session that a watch uses.

    Attributes:
        fetch: Fetches a page.
        walk: Starts a walk over the whole list.
        pause: Waits for some seconds, or raises SessionStateError as soon as the session is closed.
        traits: What the session has learned about the server's page sizes.
        clock: The session's clock.
    """

    fetch: FetchFunction
    walk: Callable[[WalkSettings], ChatWalk]
    pause: Callable[[float], Awaitable[object]]
    traits: ServerTraits
    clock: Clock


class Watch:
    """A running watch."""

    def __init__(self, deps: WatchDeps, settings: WatchSettings) -> None:
        self._deps = deps
        self._settings = settings
        self._state = WatchState() if settings.state is None else settings.state
        self._snapshot = Snapshot()
        self._page_size = settings.page_size
        self._polls = 0
        self._has_worked = False  # whether any poll has
        self._failures = 0
        self._outage_started = 0.0
        self._warned_unsorted = False
        self._warned_problems = False
        self._next_full_scan = 0.0  # not earlier than this, by the session's clock
        self._full_scan_postponed = False

    async def events(self) -> AsyncGenerator[ChatEvent, None]:
        """Poll the list, yield what has changed, wait, and poll again."""
        with self._state.borrow() as self._snapshot:
            while True:
                started = self._deps.clock.monotonic()
                # Read completely before anything is yielded: no request is in flight while the caller has an event.
                front = await self._result_or_error(self._scan_front())
                error = front if isinstance(front, PlugChatError) else None
                full_scan_due = False
                if isinstance(front, FrontScan):
                    existing_until = self._existing_until(front)
                    has_old_unknown = front.has_old_unknown_chat(self._snapshot)
                    for event in self._events_of_front(front, existing_until):
                        yield event
                    full_scan_due = self._is_full_scan_due(front, has_old_unknown=has_old_unknown)
                    if full_scan_due:
                        full = await self._result_or_error(self._scan_all())
                        if isinstance(full, FullScan):
                            if full.continues_behind(front):
                                self._page_size = front.last_length  # the server's cap
                            for event in self._events_of_full_scan(full, existing_until):
                                yield event
                        else:
                            error = full
                        del full
                del front  # not kept in memory during the wait
                self._has_worked = self._has_worked or error is None
                self._finish_poll()
                is_last = self._polls == self._settings.max_polls
                if is_last and error is not None:
                    raise error
                wait = self._wait_after(error, started, full_scan=full_scan_due)
                if is_last:
                    return
                await self._deps.pause(wait)

    async def _result_or_error(self, scan: Awaitable[T]) -> T | PlugChatError:
        """Return the result of a scan, or its error if the watch retries after it."""
        try:
            return await scan
        except PlugChatError as error:
            if not self._is_retryable(error):
                raise
            return error

    def _is_retryable(self, error: PlugChatError) -> bool:
        """Return whether the watch retries. After a 4xx it does if a poll has worked: the request was right then."""
        if isinstance(error, _TEMPORARY):
            return True
        if not self._has_worked or isinstance(error, AccessDeniedError | AuthenticationError):
            return False
        return error.status is not None and 400 <= error.status < 500 and error.status not in (401, 403)

    async def _scan_front(self) -> FrontScan:
        front = FrontScan(self._snapshot.since, _datetime_of(self._deps.clock.time()))
        page = await self._fetch(1)
        # A short page of a round length may come from a server that caps the page size: a full scan finds out.
        front.is_whole_list = page.is_short and not may_be_cut(self._deps.traits, page)
        while front.add(page):
            page = await self._fetch(front.pages + 1)
        return front

    async def _fetch(self, number: int) -> Page:
        """Return a page. Values that can't be read are logged once a watch."""
        page = await self._deps.fetch(number, self._page_size)
        if page.problems and not self._warned_problems:
            self._warned_problems = True
            logger.warning(PROBLEM_WARNING, number, page.problems[0], extra={"plugchat_page": number})
        return page

    def _existing_until(self, front: FrontScan) -> datetime | None:
        """Return the time up to which unknown chats count as older than the watch. None: all of them are new.

        Before the whole list was read once, a chat with a message since the last poll is reported as new, although it
        may be an old one: otherwise its message would be lost.
        """
        snapshot = self._snapshot
        if snapshot.complete or self._settings.emit_existing:
            return None
        if snapshot.since is not None:
            return snapshot.since
        if snapshot.last_full_scan is None or front.newest is None:
            return _NEWEST
        # The last poll saw an empty list. Either these chats are new, or the list is back: then only a few are as new.
        # The list's times are in whole seconds.
        elapsed = min(max(0.0, self._deps.clock.time() - snapshot.last_full_scan), _MAX_LOOKBACK) + 1
        return front.newest - min(timedelta(seconds=elapsed), front.newest - OLDEST)

    def _events_of_front(self, front: FrontScan, existing_until: datetime | None) -> Generator[ChatEvent, None, None]:
        """Yield the events of a front scan. Only then does the next poll start where this one has started."""
        snapshot = self._snapshot
        # An empty list is believed the second time.
        if front.is_whole_list and (front.seen or snapshot.last_full_scan is not None):
            snapshot.add_existing(front.seen.values(), existing_until)
        yield from snapshot.events(front.seen.values(), self._settings.ignore, existing_until)
        if front.is_whole_list:
            yield from snapshot.removals(front.seen, proven=not front.has_unreadable)
            snapshot.dirty = snapshot.dirty or snapshot.last_full_scan is None
            snapshot.last_full_scan = self._deps.clock.time()
        snapshot.move_to_front(front.seen)
        if not front.is_stuck:
            snapshot.since = front.newest if front.in_order else None

    def _is_full_scan_due(self, front: FrontScan, *, has_old_unknown: bool) -> bool:
        """Return whether to read the whole list now. After a failure it stays due, but is not tried at each poll."""
        snapshot = self._snapshot
        self._full_scan_postponed = False
        if front.is_whole_list:
            return False
        if not front.in_order and not self._warned_unsorted:
            self._warned_unsorted = True
            fields = {"plugchat_page_size": self._settings.page_size}
            logger.warning("the list is not sorted by time: each poll reads all of it", extra=fields)
        covers_all_messages = front.in_order and front.since is not None and not front.is_stuck
        if not snapshot.complete or not covers_all_messages or has_old_unknown or front.lacks_known_chat(snapshot):
            snapshot.last_full_scan = None
        clock = self._deps.clock
        if (
            snapshot.last_full_scan is not None
            and 0 <= clock.time() - snapshot.last_full_scan < self._settings.full_scan_interval
        ):
            return False
        self._full_scan_postponed = clock.monotonic() < self._next_full_scan
        return not self._full_scan_postponed

    async def _scan_all(self) -> FullScan:
        started = self._deps.clock.time()
        seen: dict[str, Chat] = {}
        # Only "strict" proves that a missing chat is gone.
        walk = self._deps.walk(
            WalkSettings(page_size=self._settings.page_size, consistency="strict", require_verified=True)
        )
        verified = True
        try:
            try:
                async for page in walk.pages():
                    for chat in page.chats:
                        seen.setdefault(key_of(chat), chat)
            finally:
                await walk.discard()
        except ConsistencyError:
            verified = False
        except PlugChatError as error:
            error.checkpoint = None  # the caller can't resume this walk
            raise
        # A row that could not be read may be a missing chat.
        return FullScan(seen, verified and not walk.saw_unreadable, started)

    def _events_of_full_scan(self, full: FullScan, existing_until: datetime | None) -> Generator[ChatEvent, None, None]:
        """Yield the events of a full scan."""
        snapshot = self._snapshot
        if full.seen:
            snapshot.add_existing(full.seen.values(), existing_until)
        yield from snapshot.events(full.seen.values(), self._settings.ignore, existing_until)
        yield from snapshot.removals(full.seen, proven=full.verified)
        snapshot.sort()
        snapshot.last_full_scan = full.started

    def _finish_poll(self) -> None:
        """Count the poll, and call `on_poll` if the state has changed. The caller has handled all its events."""
        self._polls += 1
        if self._snapshot.dirty:
            self._snapshot.dirty = False
            if self._settings.on_poll is not None:
                self._settings.on_poll(self._state)

    def _wait_after(self, error: PlugChatError | None, started: float, *, full_scan: bool) -> float:
        """Return how long to wait after a poll, and report outages. An error that lasts too long is raised.

        Args:
            error: The error of the poll, if it has failed.
            started: When the poll began.
            full_scan: Whether the poll included a full scan. If only that has failed, only that waits longer; the next
                poll for messages comes as usual.
        """
        now = self._deps.clock.monotonic()
        rest = max(0.0, self._settings.interval - (now - started))
        if error is None:
            if self._failures and not self._full_scan_postponed:
                self._report(Outage(None, self._failures, now - self._outage_started, rest))
                self._failures = 0
            return rest
        if not self._failures:
            self._outage_started = started
        self._failures += 1
        lasted = now - self._outage_started
        left = math.inf if self._settings.max_outage is None else self._settings.max_outage - lasted
        retry_after = error.retry_after if isinstance(error, RateLimitedError | ServerError) else None
        if left <= 0 or (retry_after is not None and retry_after > left):
            raise error
        # Randomness keeps many watches from coming back at the same moment, as with retries.
        longest = min(
            max(self._settings.interval, _MAX_WAIT), self._settings.interval * 2.0 ** min(self._failures - 1, 64)
        )
        wait = longest * (1 + self._deps.clock.random()) / 2
        if retry_after is not None:
            wait = max(wait, min(retry_after, _MAX_RETRY_AFTER))
        wait = min(wait, left)
        self._report(Outage(error, self._failures, lasted, wait))
        if full_scan and retry_after is None:
            self._next_full_scan = now + wait
            return min(wait, rest)
        return wait

    def _report(self, outage: Outage) -> None:
        """Log an outage or its end, and call `on_outage`."""
        error = outage.error
        fields = {
            "plugchat_error": None if error is None else type(error).__name__,
            "plugchat_status": None if error is None else error.status,
            "plugchat_failures": outage.failures,
            "plugchat_lasted": outage.lasted,
            "plugchat_wait": outage.wait,
        }
        if error is None:
            text = "polls work again, after %d failures in %.1f s"
            logger.warning(text, outage.failures, outage.lasted, extra=fields)
        else:
            text = "could not fetch the chats (%s); retrying in %.1f s"
            logger.warning(text, error.message, outage.wait, extra=fields)
        if self._settings.on_outage is not None:
            self._settings.on_outage(outage)


def _datetime_of(time: float) -> datetime:
    """Return a time of the clock as a datetime, `OLDEST` if it is out of range."""
    try:
        return datetime.fromtimestamp(time, UTC)
    except (ValueError, OverflowError, OSError):
        return OLDEST
