"""Polls a list, yields what has changed since the last poll, and retries through outages."""

import asyncio
import inspect
import logging
from collections.abc import AsyncGenerator, Awaitable, Collection, Generator, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Final, TypeVar

from attrs import evolve

from plugchat_async._internal.steps import finish_in_turns
from plugchat_async._pagination.options import WalkSettings
from plugchat_async._pagination.server_traits import may_be_cut, size_up_to
from plugchat_async._pagination.walk_reporter import PROBLEM_WARNING
from plugchat_async.errors import (
    AccessDeniedError,
    AuthenticationError,
    PlugChatError,
    ResponseError,
    ServiceError,
)
from plugchat_async.models import Chat, ChatEvent, Page
from plugchat_async.watch import phone
from plugchat_async.watch.deps import WatchDeps
from plugchat_async.watch.full_scan import scan_all
from plugchat_async.watch.identity import Matched, datetime_of, time_of
from plugchat_async.watch.losses import NO_LOSSES, Losses
from plugchat_async.watch.options import WatchSettings
from plugchat_async.watch.ordering import sorted_by_time
from plugchat_async.watch.origin import check_account, mark_account, restore_traits, save_traits
from plugchat_async.watch.outages import Outages
from plugchat_async.watch.scan import FrontScan, FullScan
from plugchat_async.watch.snapshot import Snapshot
from plugchat_async.watch.state import WatchState
from plugchat_async.watch.stopping import Stopped, unless_stopped

logger = logging.getLogger("plugchat_async.watch")

T = TypeVar("T")

# The service is down, or something in front of it answers instead: this can pass.
_TEMPORARY: Final = (ServiceError, ResponseError)
# Seconds between two full scans while many chats are missing: it must be known for how long without a break.
_LARGE_LOSS_INTERVAL: Final = 60.0
# How often in a row the list must go on behind a short page 1. Once, the page may have been a part of it for a moment.
_MAX_CONTRADICTED: Final = 2


def _bounds_of(snapshot: Snapshot) -> tuple[object, ...]:
    """Return what a scan changes at its end. A save at a pause before does not have it."""
    return snapshot.proven, snapshot.since, snapshot.covered, snapshot.began


class Watch:
    """A running watch."""

    def __init__(self, deps: WatchDeps, settings: WatchSettings) -> None:
        self._deps = deps
        self._settings = settings
        self._state = WatchState() if settings.state is None else settings.state
        self._snapshot = Snapshot()
        self._outages = Outages(settings, deps.clock)
        self._page_size = settings.page_size
        self._short_ends = True  # a short page is the last one
        self._contradicted = 0  # how often in a row the whole list went on behind a short page 1
        self._polls = 0
        self._has_answered = self._has_worked = False  # whether any page was read, and whether any poll has worked
        self._warned_unsorted = False
        self._warned_problems = False
        self._full_scan_postponed = False

    async def events(self) -> AsyncGenerator[ChatEvent, None]:
        """Poll the list, yield what has changed, wait, and poll again."""
        with self._state.borrow() as self._snapshot:
            check_account(self._snapshot, self._deps.fingerprint)
            restore_traits(self._snapshot, self._deps.traits)
            with suppress(Stopped):
                while not self._is_stopped:
                    started = self._deps.clock.monotonic()
                    # Read completely before anything is yielded: no request is in flight while the caller has an event.
                    front = await self._result_or_error(self._scan_front())
                    error = front if isinstance(front, PlugChatError) else None
                    full_scan_due = False
                    if isinstance(front, FrontScan):
                        old_before = self._old_before(front)
                        matched = self._match(front)
                        is_as_known = self._is_as_known(front, matched.seen)
                        full_scan_due = matched.unsure or self._has_come_back(front, matched.seen)
                        losses = await self._losses_of(front, matched.seen)
                        for event in self._events_of_front(front, matched.seen, old_before, losses):
                            if event is not None:
                                yield event
                                self._go_on()
                            else:  # a long list takes a second: other tasks run in between
                                await asyncio.sleep(0)
                        full_scan_due = self._is_full_scan_due(
                            front, matched.seen, needed=full_scan_due, is_as_known=is_as_known
                        )
                        if full_scan_due:
                            full = await self._result_or_error(self._scan_all())
                            if isinstance(full, FullScan):
                                self._learn_short_pages(front, full)
                                seen = (await finish_in_turns(full.match(self._snapshot))).seen
                                losses = await self._losses_of(full, seen)
                                for event in self._events_of_full_scan(front, full, seen, old_before, losses):
                                    if event is not None:
                                        yield event
                                        self._go_on()
                                    else:
                                        await asyncio.sleep(0)
                                del seen
                                await asyncio.sleep(0)  # to free this took some milliseconds
                            else:
                                error = full
                            del full
                        del matched, losses
                        save_traits(self._snapshot, self._deps.traits)
                        await self._call_on_poll()
                    del front  # not kept in memory during the wait
                    wait = await self._finish_poll(error, started, full_scan=full_scan_due)
                    if wait is None:
                        return
                    async with unless_stopped(self._settings.stop):
                        await self._deps.pause(wait)
            await self._end()

    @property
    def _is_stopped(self) -> bool:
        return self._settings.stop is not None and self._settings.stop.is_set()

    def _go_on(self) -> None:
        """Go on after an event, unless the watch was stopped. What is left of the poll is saved after it."""
        if self._is_stopped:
            raise Stopped
        self._snapshot.dirty = True

    async def _result_or_error(self, scan: Awaitable[T]) -> T | PlugChatError:
        """Return the result of a scan, or its error if the watch retries after it."""
        try:
            async with unless_stopped(self._settings.stop):
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
        self._snapshot.begin_poll()
        traits = self._deps.traits
        self._page_size = size_up_to(traits, self._settings.page_size)
        self._short_ends = traits.short_pages != "anywhere" and self._contradicted < _MAX_CONTRADICTED
        front = FrontScan(self._snapshot.since, self._deps.clock.time(), self._short_ends)
        page = await self._fetch(1)
        if not self._has_answered:
            # Now the token is known, also that of a function.
            check_account(self._snapshot, self._deps.fingerprint)
            mark_account(self._snapshot, self._deps.fingerprint)
            self._has_answered = True
        # A short page may come from a server that caps the page size: a full scan finds out.
        cut = page.length > 0 and may_be_cut(traits, page)
        front.is_whole_list = page.is_short and self._short_ends and not cut
        if not (page.length or self._snapshot.chats):
            await phone.refuse_empty_list(self._deps.fetch_status)
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

    def _match(self, front: FrontScan) -> Matched:
        """Return which chats the rows of a front scan are.

        A short page 1 that lacks a chat for the first time is not taken for the list: a full scan asks in another size.
        """
        matched = front.match(self._snapshot)
        if front.is_whole_list and front.lacks_known_chat(self._snapshot, matched.seen):
            front.is_whole_list = False
            return front.match(self._snapshot)
        return matched

    def _is_as_known(self, front: FrontScan, seen: Collection[str]) -> bool:
        """Return whether a short page 1 has just the known chats. Then it does not matter whether it is cut."""
        snapshot = self._snapshot
        return (
            snapshot.proven
            and front.ended
            and front.pages == 1
            and all(key in snapshot.chats for key in seen)
            and not front.lacks_known_chat(snapshot, seen)
        )

    def _old_before(self, front: FrontScan) -> datetime | None:
        """Return the time before which unknown chats are not new. None: all of them are new."""
        if self._settings.emit_existing:
            return None
        return self._snapshot.old_before(front.newest, front.started)

    def _has_come_back(self, front: FrontScan, seen: Mapping[str, Chat]) -> bool:
        """Return whether a chat was read again after a list that was short for a while. Others may be back, too.

        It was part of a large loss, or is not in the snapshot, although its message is older than the last poll.
        """
        missing, chats, since = self._snapshot.missing, self._snapshot.chats, front.since
        return any(key in missing and missing[key].large for key in seen) or (
            since is not None and any(key not in chats and time_of(chat) < since for key, chat in seen.items())
        )

    async def _losses_of(self, scan: FrontScan | FullScan, seen: Collection[str]) -> Losses:
        """Return which chats count as removed after a scan. If many are missing, the phone must be connected."""
        if not scan.is_whole_list:
            return NO_LOSSES
        excused: Collection[str] = ()
        if isinstance(scan, FullScan) and not scan.is_proven:
            excused = await finish_in_turns(self._snapshot.other_rows(seen))
        losses = await finish_in_turns(
            self._snapshot.note_missing(seen, excused, proven=scan.is_proven, now=scan.started)
        )
        if losses.if_connected:
            async with unless_stopped(self._settings.stop):
                if not await phone.is_connected(self._deps.fetch_status):
                    return evolve(losses, if_connected=())
        return losses

    def _events_of_front(
        self, front: FrontScan, seen: dict[str, Chat], old_before: datetime | None, losses: Losses
    ) -> Generator[ChatEvent | None, None, None]:
        """Yield the events of a front scan, and pauses. Only then does the next poll start where this one started."""
        snapshot = self._snapshot
        before = _bounds_of(snapshot)
        # An empty list is believed the second time.
        if front.is_whole_list and (front.rows or snapshot.began is not None):
            yield from snapshot.add_existing(seen, old_before)
        yield from snapshot.events(seen, self._settings.ignore, old_before)
        yield from snapshot.remove((*losses.certain, *losses.if_connected), front.started)
        if front.is_whole_list:
            snapshot.proven = snapshot.proven or (front.is_proven and bool(seen))
            snapshot.dirty = snapshot.dirty or snapshot.last_full_scan is None
            snapshot.last_full_scan = None if losses.confirmable else front.started
        snapshot.move_to_front(seen)
        if not front.is_stuck:
            snapshot.since = front.newest if front.in_order else None
            snapshot.cover(front.newest_times if front.in_order else (), front.now)
        if snapshot.began is None:
            snapshot.began = front.started
        snapshot.dirty = snapshot.dirty or _bounds_of(snapshot) != before

    def _is_full_scan_due(self, front: FrontScan, seen: Collection[str], *, needed: bool, is_as_known: bool) -> bool:
        """Return whether to read the whole list now. After a failure it stays due, but is not tried at each poll.

        Args:
            front: The front scan of this poll.
            seen: The keys of its chats.
            needed: Whether what the front scan has read needs it.
            is_as_known: Whether they are just the known chats.
        """
        snapshot = self._snapshot
        self._full_scan_postponed = False
        if front.is_whole_list:
            return False
        if not front.in_order and not is_as_known and not self._warned_unsorted:
            self._warned_unsorted = True
            fields = {"plugchat_page_size": self._settings.page_size}
            logger.warning("the list is not sorted by time: each poll reads all of it", extra=fields)
        covers_all_messages = is_as_known or (front.in_order and front.since is not None and not front.is_stuck)
        if not snapshot.complete or not covers_all_messages or needed or front.lacks_known_chat(snapshot, seen):
            snapshot.last_full_scan = None
        clock = self._deps.clock
        interval = self._settings.full_scan_interval
        if snapshot.has_large_loss:
            interval = min(interval, _LARGE_LOSS_INTERVAL)
        if snapshot.last_full_scan is not None and 0 <= clock.time() - snapshot.last_full_scan < interval:
            return False
        self._full_scan_postponed = clock.monotonic() < self._outages.full_scan_not_before
        return not self._full_scan_postponed

    async def _scan_all(self) -> FullScan:
        settings = WalkSettings(page_size=self._settings.page_size, consistency="strict", require_verified=True)
        return await scan_all(self._deps.walk(settings), self._snapshot, self._deps.clock.time())

    def _learn_short_pages(self, front: FrontScan, full: FullScan) -> None:
        """Learn that page 1 may be short although the list goes on behind it: some servers hide rows of a page.

        Walks find out that, and caps, for themselves, unless they ask for pages that are larger than the list.
        """
        if self._contradicted < _MAX_CONTRADICTED:
            self._contradicted = self._contradicted + 1 if full.continues_behind(front) else 0

    def _events_of_full_scan(
        self, front: FrontScan, full: FullScan, seen: dict[str, Chat], old_before: datetime | None, losses: Losses
    ) -> Generator[ChatEvent | None, None, None]:
        """Yield the events of a full scan, and None every few milliseconds."""
        snapshot = self._snapshot
        before = _bounds_of(snapshot)
        # An empty list is believed in the second poll.
        if seen or snapshot.began != front.started:
            yield from snapshot.add_existing(seen, old_before)
        yield from snapshot.events(seen, self._settings.ignore, old_before)
        yield from snapshot.remove((*losses.certain, *losses.if_connected), full.started)
        snapshot.proven = snapshot.proven or (full.is_proven and bool(seen))
        snapshot.chats = yield from sorted_by_time(snapshot.chats, seen)
        if not front.in_order:
            snapshot.cover((yield from full.newest_times()), datetime_of(full.started))
        snapshot.last_full_scan = None if losses.confirmable else full.started
        snapshot.dirty = snapshot.dirty or _bounds_of(snapshot) != before

    async def _finish_poll(self, error: PlugChatError | None, started: float, *, full_scan: bool) -> float | None:
        """Count the poll, and return how long to wait, None after the last."""
        self._polls += 1
        self._has_worked = self._has_worked or error is None
        is_last = self._polls == self._settings.max_polls
        if is_last and error is not None:
            raise error
        postponed = self._full_scan_postponed
        wait = await self._outages.wait_after(error, started, full_scan=full_scan, full_scan_postponed=postponed)
        return None if is_last else wait

    async def _end(self) -> None:
        """Let what is not saved yet be saved."""
        if self._snapshot.dirty:
            await self._call_on_poll()

    async def _call_on_poll(self) -> None:
        if self._settings.on_poll is not None:
            waiting = self._settings.on_poll(self._state)
            if inspect.isawaitable(waiting):
                await waiting
