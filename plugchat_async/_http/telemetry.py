"""The hooks that measure or trace a session's work. This module uses no tracing library.

    Telemetry
    ├─ WalkTelemetry            a walk, from its first request until it is closed
    │  └─ PageTelemetry         a page of it, until it has arrived or failed
    │     └─ AttemptTelemetry   a request, from when it has its slot until its response is read
    └─ PageTelemetry            a page that belongs to no walk

All calls are plain, and made in the event loop. A part begins and ends within the part above it, and each one ends
once, in every case. `plugchat_async.integrations.opentelemetry` turns them into spans and metrics.
"""

import logging
from collections.abc import Awaitable, Callable
from functools import lru_cache
from typing import Literal, ParamSpec, Protocol, TypeVar, runtime_checkable
from urllib.parse import urlsplit

from plugchat_async._http.request import Request
from plugchat_async._http.response import Response
from plugchat_async._http.transport import AttemptFailed
from plugchat_async.errors import PlugChatError
from plugchat_async.models import Page, WalkReport

logger = logging.getLogger("plugchat_async.telemetry")

P = ParamSpec("P")
T = TypeVar("T")

# Why there is another attempt: after a wait; with a changed request; with a newer token; since an idle connection had
# been closed.
Reason = Literal["retry", "repair", "token", "connection"]


@runtime_checkable
class Telemetry(Protocol):
    """Notified when walks and pages begin. None of its calls may block, nor those of the objects that it returns.

    The first error that one of them raises is logged as a warning; walks are not affected.
    """

    def walk(self, *, consistency: str, page_size: int, prefetch: int, account: str | None) -> "WalkTelemetry":
        """Begin a walk.

        Args:
            consistency: The walk's option.
            page_size: The walk's option.
            prefetch: The walk's option.
            account: The name of the account, where many are fetched.
        """
        ...

    def page(self, number: int, size: int) -> "PageTelemetry":
        """Begin a page that belongs to no walk."""
        ...


class WalkTelemetry(Protocol):
    """Notified of the parts of a walk."""

    def page(self, number: int, size: int) -> "PageTelemetry":
        """Begin a page. A prefetched page begins in a task of its own."""
        ...

    def end(self, report: WalkReport, error: PlugChatError | None) -> None:
        """End the walk.

        Args:
            report: The walk's report.
            error: The error that it failed with, or None if it reached its end or the caller left it.
        """
        ...


class PageTelemetry(Protocol):
    """Notified of the parts of a page."""

    def attempt(self, *, url: str, path: str, server: str, port: int, resends: int) -> "AttemptTelemetry":
        """Begin an attempt, just before it is sent.

        Args:
            url: The URL, without an injected session's changes, and without the token.
            path: The path of the call, as the vendor documents it.
            server: The host.
            port: The port.
            resends: How many attempts at this page were sent before.
        """
        ...

    def resend(self, reason: Reason, error: PlugChatError, *, wait: float, repair: str) -> None:
        """Note that there will be another attempt.

        Args:
            reason: Why.
            error: The error of the last attempt.
            wait: Seconds until the next one.
            repair: What it changes, or "".
        """
        ...

    def hold(self, seconds: float) -> None:
        """Note that the page waits for some seconds, since a 429 holds back the whole account."""
        ...

    def end(self, chats: int | None, error: BaseException | None) -> None:
        """End the page.

        Args:
            chats: How many chats it has, or None if it failed.
            error: The error, perhaps CancelledError, or None.
        """
        ...


class AttemptTelemetry(Protocol):
    """Notified of the end of an attempt."""

    def end(self, status: int | None, error: BaseException | None, seconds: float) -> None:
        """End the attempt, in the task that began it.

        Args:
            status: The response's status, or None.
            error: The error if there is no response, or None.
            seconds: How long it took, by the session's clock.
        """
        ...


class Dispatcher:
    """Calls a telemetry, and keeps its errors from walks."""

    def __init__(self, telemetry: Telemetry, monotonic: Callable[[], float]) -> None:
        self.telemetry = telemetry
        self.monotonic = monotonic
        self._warned = False

    def page(self, walk: "WalkObserver | None", number: int, size: int) -> "PageObserver":
        """Begin a page, of a walk if there is one."""
        parent = self.telemetry if walk is None else walk.telemetry
        return PageObserver(self, None if parent is None else self.call(parent.page, number, size))

    def call(self, hook: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
        """Return what a hook returns, or None if it raises. Only the first error is logged: others will be the same."""
        try:
            return hook(*args, **kwargs)
        except Exception as error:  # the caller's own code may raise anything
            if not self._warned:
                self._warned = True
                fields = {"plugchat_error": type(error).__name__}
                logger.warning("telemetry failed (logged once): walks continue", exc_info=True, extra=fields)
            return None


class WalkObserver:
    """Notifies the telemetry of one walk. `telemetry`: the walk's, None before it has begun."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher
        self.telemetry: WalkTelemetry | None = None

    def begin(self, *, consistency: str, page_size: int, prefetch: int, account: str | None) -> None:
        """Begin the walk."""
        begin = self._dispatcher.telemetry.walk
        self.telemetry = self._dispatcher.call(
            begin, consistency=consistency, page_size=page_size, prefetch=prefetch, account=account
        )

    def end(self, report: WalkReport, error: PlugChatError | None) -> None:
        """End the walk."""
        if self.telemetry is not None:
            self._dispatcher.call(self.telemetry.end, report, error)


class PageObserver:
    """Notifies the telemetry of one page."""

    def __init__(self, dispatcher: Dispatcher, telemetry: PageTelemetry | None) -> None:
        self._dispatcher = dispatcher
        self._telemetry = telemetry

    async def until(self, fetching: Awaitable[Page]) -> Page:
        """Return the page that arrives, and end it."""
        try:
            page = await fetching
        except BaseException as error:
            self._end(None, error)
            raise
        self._end(len(page.chats), None)
        return page

    async def send(
        self, request: Request, resends: int, sending: Awaitable[Response | AttemptFailed]
    ) -> Response | AttemptFailed:
        """Begin an attempt, end it, and return its outcome."""
        call, monotonic = self._dispatcher.call, self._dispatcher.monotonic
        attempt = None
        if self._telemetry is not None:
            server, port, prefix = _parts_of(request.template.base_url)
            # Only a path prefix may hold the token. To look through all URLs takes 20 us each.
            url = request.token.redact(request.url) if prefix else request.url
            path = request.template.path
            attempt = call(self._telemetry.attempt, url=url, path=path, server=server, port=port, resends=resends)
        if attempt is None:
            return await sending
        started = monotonic()
        try:
            outcome = await sending
        except BaseException as error:
            call(attempt.end, None, error, monotonic() - started)
            raise
        took = monotonic() - started
        status, failure = (None, outcome.error) if isinstance(outcome, AttemptFailed) else (outcome.status, None)
        call(attempt.end, status, failure, took)
        return outcome

    def resend(self, reason: Reason, error: PlugChatError, *, wait: float = 0.0, repair: str = "") -> None:
        """Note that there will be another attempt."""
        if self._telemetry is not None:
            self._dispatcher.call(self._telemetry.resend, reason, error, wait=wait, repair=repair)

    def hold(self, seconds: float) -> None:
        """Note that the page is held back."""
        if self._telemetry is not None:
            self._dispatcher.call(self._telemetry.hold, seconds)

    def _end(self, chats: int | None, error: BaseException | None) -> None:
        if self._telemetry is not None:
            self._dispatcher.call(self._telemetry.end, chats, error)


def resend_fields(
    account: str | None,
    page: int | None,
    page_size: int | None,
    attempt: int,
    error: PlugChatError,
    wait: float,
    repair: str,
) -> dict[str, object]:
    """Return the fields of a log record about another attempt. `page` and `page_size` are None for other calls."""
    return {
        "plugchat_account": account,
        "plugchat_page": page,
        "plugchat_page_size": page_size,
        "plugchat_attempt": attempt,
        "plugchat_error": type(error).__name__,
        "plugchat_status": error.status,
        "plugchat_wait": wait,
        "plugchat_repair": repair,
    }


@lru_cache(maxsize=1024)
def _parts_of(base_url: str) -> tuple[str, int, str]:
    """Return host, port and path prefix of a base URL that was checked."""
    parts = urlsplit(base_url)
    return parts.hostname or "", parts.port or {"https": 443, "http": 80}[parts.scheme], parts.path
