"""How long a watch waits after a poll, and the outages that it reports."""

import inspect
import logging
import math
from typing import Final

from attrs import define, field

from plugchat_async._internal.clock import Clock
from plugchat_async.errors import PlugChatError, RateLimitedError, ServerError
from plugchat_async.watch.options import Outage, WatchSettings

logger = logging.getLogger("plugchat_async.watch")

# Seconds between two polls during an outage, unless `interval` is longer.
_MAX_WAIT: Final = 300.0
# However long a server asks to wait.
_MAX_RETRY_AFTER: Final = 86_400.0


@define(eq=False, repr=False)
class Outages:
    """The outages of a watch.

    Attributes:
        settings: The watch's options.
        clock: The session's clock.
        full_scan_not_before: When the next full scan may start, by the monotonic clock: later, if one has failed.
    """

    settings: WatchSettings
    clock: Clock
    full_scan_not_before: float = field(default=0.0, init=False)
    _failures: int = field(default=0, init=False)
    _started: float = field(default=0.0, init=False)
    _told: set[type[PlugChatError]] = field(factory=set[type[PlugChatError]], init=False)

    async def wait_after(
        self, error: PlugChatError | None, started: float, *, full_scan: bool, full_scan_postponed: bool
    ) -> float:
        """Return how long to wait after a poll, and report outages. An error that lasts too long is raised.

        Args:
            error: The error of the poll, if it has failed.
            started: When the poll began, by the monotonic clock.
            full_scan: Whether the poll included a full scan. If only that has failed, only that waits longer; the next
                poll for messages comes as usual.
            full_scan_postponed: Whether the poll did without a full scan because one has failed.
        """
        now = self.clock.monotonic()
        rest = max(0.0, self.settings.interval - (now - started))
        if error is None:
            if self._failures and not full_scan_postponed:
                await self._report(Outage(None, self._failures, now - self._started, rest))
                self._failures = 0
                self._told.clear()
            return rest
        if not self._failures:
            self._started = started
        self._failures += 1
        lasted = now - self._started
        left = math.inf if self.settings.max_outage is None else self.settings.max_outage - lasted
        retry_after = error.retry_after if isinstance(error, RateLimitedError | ServerError) else None
        if left <= 0 or (retry_after is not None and retry_after > left):
            raise error
        # Randomness keeps many watches from coming back at the same moment, as with retries.
        longest = min(
            max(self.settings.interval, _MAX_WAIT), self.settings.interval * 2.0 ** min(self._failures - 1, 64)
        )
        wait = longest * (1 + self.clock.random()) / 2
        if retry_after is not None:
            wait = max(wait, min(retry_after, _MAX_RETRY_AFTER))
        wait = min(wait, left)
        is_new = type(error) not in self._told
        self._told.add(type(error))
        await self._report(Outage(error, self._failures, lasted, wait, is_new))
        if full_scan and retry_after is None:
            self.full_scan_not_before = now + wait
            return min(wait, rest)
        return wait

    async def _report(self, outage: Outage) -> None:
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
        if self.settings.on_outage is not None:
            waiting = self.settings.on_outage(outage)
            if inspect.isawaitable(waiting):
                await waiting
