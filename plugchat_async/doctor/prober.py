"""Send single requests and keep their results. Nothing is repaired or retried."""

import logging
import re
from collections.abc import Mapping
from typing import Final

from attrs import Factory, define, evolve, field, frozen

from plugchat_async._error_details import Problem
from plugchat_async._http.account_status import read_status
from plugchat_async._http.decode import Decoded
from plugchat_async._http.gateway_errors import gateway_error
from plugchat_async._http.request import Request, RequestBuilder, RequestTemplate
from plugchat_async._http.response import Response, one_line, status_error, status_line
from plugchat_async._http.retry import parse_wait
from plugchat_async._http.secret import Secret
from plugchat_async._http.transport import AttemptFailed, Transport
from plugchat_async._http.urls import STATUS_PATH
from plugchat_async._internal.clock import Clock
from plugchat_async._internal.steps import finish
from plugchat_async._pagination.step_answers import NO_SUCH_PAGE
from plugchat_async._pagination.walk_steps import key_of
from plugchat_async.converter import converter
from plugchat_async.doctor.findings import counted
from plugchat_async.doctor.value_shapes import shapes_of_headers, strip_quotes
from plugchat_async.errors import (
    NotConnectedError,
    PlugChatError,
    RateLimitedError,
    ResponseError,
    ResponseTooLargeError,
    UnexpectedStatusError,
)
from plugchat_async.models import AccountStatus, Chat

logger = logging.getLogger("plugchat_async.doctor")

# The page size of requests where the size does not matter.
SAMPLE_SIZE: Final = 10
# The default page size of walks.
DEFAULT_SIZE: Final = 100
TOO_FEW: Final = "too few chats to tell"
# A normal run takes 15 at most, and one more for each closed idle connection. This limit holds for any server.
MAX_REQUESTS: Final = 16
# After two requests without any answer no more are sent.
_MAX_SILENCES: Final = 2

# Retry-After is RFC 9110, 10.2.3. RateLimit and RateLimit-Policy, and before them RateLimit-Limit, -Remaining and
# -Reset, are the IETF's draft-ietf-httpapi-ratelimit-headers; those with an X are a convention.
_RATE_HEADER: Final = re.compile(r"retry-after|(?:x-)?rate-?limit(?:-[a-z-]+)?")


class StoppedError(Exception):
    """No more requests are sent. The prober's `stopped` is the reason."""


@frozen(eq=False)
class ProbeResult:
    """The result of one request for a page.

    Attributes:
        number: The page that was requested.
        size: The page size that was requested.
        seconds: The time until the answer was read.
        status: The HTTP status, None if there was no answer.
        chats: The chats of the page.
        error: The error, None if the answer is a page.
        rate_headers: The headers about rate limits, with names in lower case.
        unreadable: The number of rows that are not chats.
        problems: The first thousand values that can't be read.
        problem_count: The number of all values that can't be read.
        body: The body of a page.
    """

    number: int
    size: int
    seconds: float
    status: int | None = None
    chats: tuple[Chat, ...] = ()
    error: PlugChatError | None = None
    rate_headers: Mapping[str, str] = field(factory=dict[str, str])
    unreadable: int = 0
    problems: tuple[Problem, ...] = ()
    problem_count: int = 0
    body: bytes = field(default=b"", repr=False)

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys of its chats, in order. Rows of one person usually differ in their names."""
        return tuple(f"{key_of(chat)}\n{chat.name or ''}" for chat in self.chats)

    @property
    def length(self) -> int:
        """The number of its rows, readable or not."""
        return len(self.chats) + self.unreadable

    @property
    def is_no_page(self) -> bool:
        """Whether the server said, by a status such as 404, that there is no such page."""
        return isinstance(self.error, UnexpectedStatusError) and self.status in NO_SUCH_PAGE

    @property
    def is_full(self) -> bool:
        """Whether it has as many rows as were requested."""
        return self.length >= self.size


@frozen(eq=False)
class StatusResult:
    """The result of the request for the account's status.

    Attributes:
        problem: The reason why the status is not known, "" if it is.
        connected: Whether the account is connected, None if the answer does not contain it.
        session: The same for the session.
        smartphone: The same for the smartphone.
        error_text: The gateway's text about an error; "" if there is none, or if texts are not to be quoted.
        has_error_text: Whether the gateway sent such a text.
    """

    problem: str = ""
    connected: bool | None = None
    session: bool | None = None
    smartphone: bool | None = None
    error_text: str = ""
    has_error_text: bool = False


@define(eq=False, repr=False)
class Prober:
    """Sends requests, one after the other, and keeps their results.

    Attributes:
        transport: An open transport.
        token: The token.
        timeout: The limit of a request, in seconds.
        clock: The clock.
        quotes: Whether results may contain the server's texts.
        sent: The number of requests so far.
        stopped: The reason why no more requests are sent, "" while they are.
        results: The results so far, in order.
    """

    transport: Transport
    token: Secret
    timeout: float
    clock: Clock
    quotes: bool = True
    sent: int = field(default=0, init=False)
    stopped: str = field(default="", init=False)
    results: list[ProbeResult] = field(init=False, default=Factory(list[ProbeResult]))
    _status: StatusResult | None = field(init=False, default=None)
    _requests: RequestBuilder = field(init=False, default=Factory(RequestBuilder))
    _known: dict[tuple[RequestTemplate, int, int], ProbeResult] = field(
        init=False, default=Factory(dict[tuple[RequestTemplate, int, int], ProbeResult])
    )

    async def ask(self, template: RequestTemplate, number: int, size: int, *, again: bool = False) -> ProbeResult:
        """Return the result of a request for a page, which is sent only once.

        Args:
            template: The request without page and size.
            number: The page.
            size: The page size.
            again: Send the request again, because the list may have changed.

        Raises:
            StoppedError: If no more requests are sent.
        """
        key = (template, number, size)
        if again or key not in self._known:
            if self.stopped:
                raise StoppedError
            await self.send(template, number, size)
        result = self._known[key]
        if isinstance(result.error, RateLimitedError):
            raise StoppedError
        return result

    async def send(self, template: RequestTemplate, number: int, size: int) -> ProbeResult:
        """Send one request for a page, and keep its result."""
        request = self._requests.build(template, self.token, number, size)
        outcome, seconds = await self._send(request)
        result = self._read(outcome, number, size, seconds)
        self.results.append(result)
        self._known[template, number, size] = result
        self._stop_if_enough()
        return result

    def _stop_if_enough(self) -> None:
        if any(isinstance(result.error, RateLimitedError) for result in self.results):
            self.stopped = "the service limits the rate (HTTP 429), so no more requests were sent"
        elif sum(result.status is None for result in self.results) >= _MAX_SILENCES:
            self.stopped = "the service no longer answers"
        elif self.sent >= MAX_REQUESTS:
            self.stopped = f"that would take more than {MAX_REQUESTS} requests"

    async def ask_status(self, template: RequestTemplate) -> StatusResult:
        """Return the account's status, which is requested only once.

        Args:
            template: The template of the requests for pages.

        Raises:
            StoppedError: If no more requests are sent.
        """
        if self._status is None:
            if self.stopped:
                raise StoppedError
            template = evolve(template, path=STATUS_PATH)
            url = f"{template.base_url}{template.path}"
            outcome, seconds = await self._send(Request(template, self.token, url, template.headers(self.token)))
            if isinstance(outcome, Response) and outcome.status == 429:
                self.results.append(self._read(outcome, 0, 0, seconds))
            self._stop_if_enough()
            self._status = self._read_status(outcome)
        return self._status

    async def _send(self, request: Request) -> tuple[Response | AttemptFailed, float]:
        """Send one request. Return its outcome and its duration in seconds."""
        outcome, seconds = await self._send_once(request)
        # If the server had closed the idle connection, it never received the request.
        stale = isinstance(outcome, AttemptFailed) and outcome.stale
        return (await self._send_once(request)) if stale and self.sent < MAX_REQUESTS else (outcome, seconds)

    async def _send_once(self, request: Request) -> tuple[Response | AttemptFailed, float]:
        started = self.clock.monotonic()
        outcome = await self.transport.send(request, timeout=self.timeout)
        self.sent += 1
        seconds = self.clock.monotonic() - started
        status = None if isinstance(outcome, AttemptFailed) else outcome.status
        result = outcome.error.message if isinstance(outcome, AttemptFailed) else f"HTTP {status}"
        fields = {"plugchat_status": status, "plugchat_elapsed": seconds}
        logger.info("GET %s: %s in %.3f s", request.url, result, seconds, extra=fields)
        return outcome, seconds

    def _read(self, outcome: Response | AttemptFailed, number: int, size: int, seconds: float) -> ProbeResult:
        if isinstance(outcome, AttemptFailed):
            outcome.error.url = None  # the URL of a probe does not help users
            return ProbeResult(number, size, seconds, error=outcome.error)
        headers = outcome.headers
        rate_headers = {name: one_line(headers[name], self.token) for name in headers if _RATE_HEADER.fullmatch(name)}
        read = self._read_page(outcome)
        if isinstance(read, PlugChatError):
            read.url = None
            if not self.quotes:
                strip_quotes(read, outcome, self.token)
        if not self.quotes:
            rate_headers = shapes_of_headers(rate_headers)
        result = ProbeResult(number, size, seconds, outcome.status, rate_headers=rate_headers)
        if isinstance(read, PlugChatError):
            return evolve(result, error=read)
        return evolve(
            result,
            chats=read.items,
            unreadable=len(read.unreadable),
            problems=read.problems,
            problem_count=read.problem_count,
            body=outcome.body,
        )

    def _read_page(self, response: Response) -> Decoded | PlugChatError:
        headers, status = response.headers, response.status
        if status != 200:
            wait = parse_wait(status, headers, now=self.clock.time())
            return gateway_error(response, self.token, status_error(response, self.token, wait))
        if not response.complete:
            limit = self.transport.max_response_bytes
            return ResponseTooLargeError(f"the body is larger than {limit} bytes", limit=limit)
        read = finish(converter.decode_slices(response.body, self.token, Chat, "warn"))
        return read if isinstance(read, Decoded) else gateway_error(response, self.token, read)

    def _read_status(self, outcome: Response | AttemptFailed) -> StatusResult:
        if isinstance(outcome, AttemptFailed):
            return StatusResult(outcome.error.message)
        status = read_status(outcome.body, self.token) if outcome.complete and outcome.status == 200 else None
        if isinstance(status, AccountStatus):
            text = status.error or ""
            return StatusResult(
                "",
                status.connected,
                status.session,
                status.smartphone_connected,
                text if self.quotes else "",
                bool(text),
            )
        problem = f"HTTP {status_line(outcome.status)}" if outcome.status != 200 else "the answer is not a status"
        refusal = gateway_error(outcome, self.token, ResponseError(problem))
        # The gateway may refuse the call because the phone is not connected.
        return StatusResult(problem, connected=False if isinstance(refusal, NotConnectedError) else None)


def describe(result: ProbeResult) -> str:
    """Describe a result in words."""
    if result.error is not None:
        return result.error.what_happened
    return f"HTTP {result.status}, {counted(result.length, 'chat')}"
