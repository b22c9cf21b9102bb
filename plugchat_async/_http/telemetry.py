"""What a session tells of its work to whoever measures or traces it. It knows no library for that.

    Telemetry
    ├─ WalkTelemetry            a walk, from the first page that it asks for until it is closed
    │  └─ PageTelemetry         a page of it, until it is there or has failed
    │     └─ AttemptTelemetry   a request, from when it has its slot until its answer is read
    └─ PageTelemetry            a page that no walk asks for

All calls are plain, and made in the event loop. A part begins and ends within what it is a part of, and each ends once,
whatever happens. `plugchat_async.integrations.opentelemetry` makes spans and metrics of it.
"""

import logging
from collections.abc import Awaitable, Callable
from functools import lru_cache
from typing import Literal, ParamSpec, Protocol, TypeVar, runtime_checkable
from urllib.parse import urlsplit

from plugchat_async._http.transport import AttemptFailed
from plugchat_async._http.wire import Request, Response
from plugchat_async.errors import PlugChatError
from plugchat_async.models import Page, WalkReport

logger = logging.getLogger("plugchat_async.telemetry")

P = ParamSpec("P")
T = TypeVar("T")

# Why a page is asked for once more: after a wait; with a changed request; with a newer token; since an idle connection
# had been closed.
Reason = Literal["retry", "repair", "token", "connection"]


@runtime_checkable
class Telemetry(Protocol):
    """Is told that walks and pages begin. None of its calls, nor of what they give, may wait.

    What one of them raises is logged as a warning, the first time, and changes nothing else.
    """

    def walk(self, *, consistency: str, page_size: int, prefetch: int, account: str | None) -> "WalkTelemetry":
        """Begin a walk. `account`: the account's name, where many are fetched."""
        ...

    def page(self, number: int, size: int) -> "PageTelemetry":
        """Begin a page that no walk asks for."""
        ...


class WalkTelemetry(Protocol):
    """Is told what becomes of a walk."""

    def page(self, number: int, size: int) -> "PageTelemetry":
        """Begin a page, perhaps ahead of time: then in a task of its own."""
        ...

    def end(self, report: WalkReport, error: PlugChatError | None) -> None:
        """End the walk. `error`: what it failed with, or None if it came to its end or was left."""
        ...


class PageTelemetry(Protocol):
    """Is told what becomes of a page."""

    def attempt(self, *, url: str, path: str, server: str, port: int, resends: int) -> "AttemptTelemetry":
        """Begin an attempt: now it is sent, and what is sent within it is its part.

        url: what is asked for, without what an injected session makes of it, and without the token. path: the call's,
        as the vendor documents it. server, port: the host and port. resends: how many attempts at this page were sent
        before.
        """
        ...

    def resend(self, reason: Reason, error: PlugChatError, *, wait: float, repair: str) -> None:
        """Note that there will be another attempt. `wait`: seconds until then. `repair`: what it changes, or ""."""
        ...

    def hold(self, seconds: float) -> None:
        """Note that it waits so many seconds for what a 429 has asked of the whole account."""
        ...

    def end(self, chats: int | None, error: BaseException | None) -> None:
        """End the page: how many chats it has, or what came instead, perhaps CancelledError."""
        ...


class AttemptTelemetry(Protocol):
    """Is told what becomes of an attempt."""

    def end(self, status: int | None, error: BaseException | None, seconds: float) -> None:
        """End the attempt, in the task that it was begun in: the answer's status, or why there is none.

        seconds: how long it took, by the session's clock.
        """
        ...


class Dispatcher:
    """Tells a telemetry, and keeps what that raises from walks: it only watches them."""

    def __init__(self, telemetry: Telemetry, monotonic: Callable[[], float]) -> None:
        self.telemetry = telemetry
        self.monotonic = monotonic
        self._warned = False

    def page(self, walk: "WalkObserver | None", number: int, size: int) -> "PageObserver":
        """Begin a page, of a walk if there is one."""
        parent = self.telemetry if walk is None else walk.told
        return PageObserver(self, None if parent is None else self.tell(parent.page, number, size))

    def tell(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
        """Give what a call gives, or None if it raises. To have said so once is enough: it will be the same again."""
        try:
            return call(*args, **kwargs)
        except Exception as error:  # the caller's own code may raise anything
            if not self._warned:
                self._warned = True
                fields = {"plugchat_error": type(error).__name__}
                logger.warning("telemetry failed: told once, the walk goes on", exc_info=True, extra=fields)
            return None


class WalkObserver:
    """Tells of one walk. told: what is told, None before it has begun."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self._teller = dispatcher
        self.told: WalkTelemetry | None = None

    def begin(self, *, consistency: str, page_size: int, prefetch: int, account: str | None) -> None:
        """Begin it."""
        begin = self._teller.telemetry.walk
        self.told = self._teller.tell(
            begin, consistency=consistency, page_size=page_size, prefetch=prefetch, account=account
        )

    def end(self, report: WalkReport, error: PlugChatError | None) -> None:
        """End it."""
        if self.told is not None:
            self._teller.tell(self.told.end, report, error)


class PageObserver:
    """Tells of one page."""

    def __init__(self, dispatcher: Dispatcher, told: PageTelemetry | None) -> None:
        self._teller = dispatcher
        self._told = told

    async def until(self, fetching: Awaitable[Page]) -> Page:
        """Give the page that comes, and end it."""
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
        """Give what comes of an attempt, which it begins and ends."""
        tell, monotonic = self._teller.tell, self._teller.monotonic
        attempt = None
        if self._told is not None:
            server, port, prefix = _parts_of(request.shape.base_url)
            # All of it is ours, but for a prefix, which may be anything. To look through all of them takes 20 us.
            url = request.token.redact(request.url) if prefix else request.url
            path = request.shape.path
            attempt = tell(self._told.attempt, url=url, path=path, server=server, port=port, resends=resends)
        if attempt is None:
            return await sending
        started = monotonic()
        try:
            outcome = await sending
        except BaseException as error:
            tell(attempt.end, None, error, monotonic() - started)
            raise
        took = monotonic() - started
        status, failure = (None, outcome.error) if isinstance(outcome, AttemptFailed) else (outcome.status, None)
        tell(attempt.end, status, failure, took)
        return outcome

    def resend(self, reason: Reason, error: PlugChatError, *, wait: float = 0.0, repair: str = "") -> None:
        """Note that there will be another attempt."""
        if self._told is not None:
            self._teller.tell(self._told.resend, reason, error, wait=wait, repair=repair)

    def hold(self, seconds: float) -> None:
        """Note that it is held back."""
        if self._told is not None:
            self._teller.tell(self._told.hold, seconds)

    def _end(self, chats: int | None, error: BaseException | None) -> None:
        if self._told is not None:
            self._teller.tell(self._told.end, chats, error)


def resend_fields(
    account: str | None,
    page: int | None,
    page_size: int | None,
    attempt: int,
    error: PlugChatError,
    wait: float,
    repair: str,
) -> dict[str, object]:
    """Give the fields of a log record that says why a page is asked for once more, or a call without pages (None)."""
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
    """Give host, port and path prefix of a base URL that was checked."""
    parts = urlsplit(base_url)
    return parts.hostname or "", parts.port or {"https": 443, "http": 80}[parts.scheme], parts.path
