"""Single requests, as they are, and what comes back: nothing is repaired, retried or hidden."""

import re
from collections.abc import Generator, Mapping
from typing import Final, TypeVar

from attrs import Factory, define, evolve, field, frozen

from plugchat_async._evidence import Problem
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
from plugchat_async._pagination.steps import key_of
from plugchat_async.converter import converter
from plugchat_async.doctor.findings import counted
from plugchat_async.doctor.shapes import shapes_of_headers, strip_quotes
from plugchat_async.errors import (
    NotConnectedError,
    PlugChatError,
    RateLimitedError,
    ResponseError,
    ResponseTooLargeError,
)
from plugchat_async.models import AccountStatus, Chat

T = TypeVar("T")

# How many chats are asked for where nothing else is to be seen.
SAMPLE: Final = 10
# What walks ask for where nothing else is said.
DEFAULT_SIZE: Final = 100
TOO_FEW: Final = "too few chats to tell"
# A checkup takes 15 at most, and one more for each idle connection that was closed; this holds whatever a server does.
MAX_REQUESTS: Final = 16
# A service that has twice not answered at all is not asked on.
_MAX_SILENCES: Final = 2

# Retry-After is RFC 9110, 10.2.3. RateLimit and RateLimit-Policy, and before them RateLimit-Limit, -Remaining and
# -Reset, are the IETF's draft-ietf-httpapi-ratelimit-headers; those with an X are a convention.
_RATE_HEADER: Final = re.compile(r"retry-after|(?:x-)?rate-?limit(?:-[a-z-]+)?")


class StoppedError(Exception):
    """No more requests are sent; the prober's `stopped` says why."""


@frozen(eq=False)
class Answer:
    """What came of a probe.

    status: None if there was no answer. error: what is wrong with it, None if it is a page. seconds: until it was read.
    rates: headers about rates, names in lower case. unreadable: how many of its rows are no chats. problems: the values
    that can't be read, the first thousand of them; problem_count: how many there are. body: of a page.
    """

    number: int
    size: int
    seconds: float
    status: int | None = None
    chats: tuple[Chat, ...] = ()
    error: PlugChatError | None = None
    rates: Mapping[str, str] = field(factory=dict[str, str])
    unreadable: int = 0
    problems: tuple[Problem, ...] = ()
    problem_count: int = 0
    body: bytes = field(default=b"", repr=False)

    @property
    def keys(self) -> tuple[str, ...]:
        """What walks know its chats by, in order."""
        return tuple(map(key_of, self.chats))

    @property
    def length(self) -> int:
        """The number of its rows, whether or not they can be read."""
        return len(self.chats) + self.unreadable

    @property
    def is_full(self) -> bool:
        """Whether it holds as many rows as were asked for."""
        return self.length >= self.size


@frozen(eq=False)
class StatusAnswer:
    """What came of asking for the account's status.

    told: why nothing is known, or "" if something is. connected, session, smartphone: None if it does not say.
    said: its text about an error, "" if there is none or it is not to be quoted. has_text: whether there is one.
    """

    told: str = ""
    connected: bool | None = None
    session: bool | None = None
    smartphone: bool | None = None
    said: str = ""
    has_text: bool = False


@define(eq=False, repr=False)
class Prober:
    """Sends probes, one after the other, and remembers their answers. None is sent once `stopped` says why not.

    quotes: whether what is remembered may hold texts of the server.
    """

    transport: Transport
    token: Secret
    timeout: float
    clock: Clock
    quotes: bool = True
    sent: int = field(default=0, init=False)
    stopped: str = field(default="", init=False)
    answers: list[Answer] = field(init=False, default=Factory(list[Answer]))
    _status: StatusAnswer | None = field(init=False, default=None)
    _requests: RequestBuilder = field(init=False, default=Factory(RequestBuilder))
    _known: dict[tuple[RequestTemplate, int, int], Answer] = field(
        init=False, default=Factory(dict[tuple[RequestTemplate, int, int], Answer])
    )

    async def ask(self, template: RequestTemplate, number: int, size: int, *, again: bool = False) -> Answer:
        """Ask for a page, unless it was asked for before. StoppedError if nothing is asked for any more.

        again: ask even so, for what may have changed.
        """
        key = (template, number, size)
        if again or key not in self._known:
            if self.stopped:
                raise StoppedError
            await self.send(template, number, size)
        answer = self._known[key]
        if isinstance(answer.error, RateLimitedError):
            raise StoppedError
        return answer

    async def send(self, template: RequestTemplate, number: int, size: int) -> Answer:
        """Send one request for a page, whatever comes of it."""
        request = self._requests.build(template, self.token, number, size)
        outcome, seconds = await self._send(request)
        answer = self._read(outcome, number, size, seconds)
        self.answers.append(answer)
        self._known[template, number, size] = answer
        self._stop_if_enough()
        return answer

    def _stop_if_enough(self) -> None:
        if any(isinstance(answer.error, RateLimitedError) for answer in self.answers):
            self.stopped = "the service limits the rate (HTTP 429), so it was not asked any further"
        elif sum(answer.status is None for answer in self.answers) >= _MAX_SILENCES:
            self.stopped = "the service no longer answers"
        elif self.sent >= MAX_REQUESTS:
            self.stopped = f"that would take more than {MAX_REQUESTS} requests"

    async def ask_status(self, template: RequestTemplate) -> StatusAnswer:
        """Ask whether the account is connected, unless it was asked before. StoppedError if nothing is asked any more.

        template: of the requests for pages.
        """
        if self._status is None:
            if self.stopped:
                raise StoppedError
            template = evolve(template, path=STATUS_PATH)
            url = f"{template.base_url}{template.path}"
            outcome, seconds = await self._send(Request(template, self.token, url, template.headers(self.token)))
            if isinstance(outcome, Response) and outcome.status == 429:
                self.answers.append(self._read(outcome, 0, 0, seconds))
            self._stop_if_enough()
            self._status = self._read_status(outcome)
        return self._status

    async def _send(self, request: Request) -> tuple[Response | AttemptFailed, float]:
        """Send one request. Return what came of it, and the seconds that it took."""
        outcome, seconds = await self._send_once(request)
        # If an idle connection had been closed, the server never saw the request.
        stale = isinstance(outcome, AttemptFailed) and outcome.stale
        return (await self._send_once(request)) if stale and self.sent < MAX_REQUESTS else (outcome, seconds)

    async def _send_once(self, request: Request) -> tuple[Response | AttemptFailed, float]:
        started = self.clock.monotonic()
        outcome = await self.transport.send(request, timeout=self.timeout)
        self.sent += 1
        return outcome, self.clock.monotonic() - started

    def _read(self, outcome: Response | AttemptFailed, number: int, size: int, seconds: float) -> Answer:
        if isinstance(outcome, AttemptFailed):
            outcome.error.url = None  # that of a probe says nothing
            return Answer(number, size, seconds, error=outcome.error)
        headers = outcome.headers
        rates = {name: one_line(headers[name], self.token) for name in headers if _RATE_HEADER.fullmatch(name)}
        read = self._read_page(outcome)
        if isinstance(read, PlugChatError):
            read.url = None
            if not self.quotes:
                strip_quotes(read, outcome, self.token)
        if not self.quotes:
            rates = shapes_of_headers(rates)
        answer = Answer(number, size, seconds, outcome.status, rates=rates)
        if isinstance(read, PlugChatError):
            return evolve(answer, error=read)
        return evolve(
            answer,
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
        read = _finish(converter.decode_slices(response.body, self.token, Chat, "warn"))
        return read if isinstance(read, Decoded) else gateway_error(response, self.token, read)

    def _read_status(self, outcome: Response | AttemptFailed) -> StatusAnswer:
        if isinstance(outcome, AttemptFailed):
            return StatusAnswer(outcome.error.message)
        status = read_status(outcome.body, self.token) if outcome.complete and outcome.status == 200 else None
        if isinstance(status, AccountStatus):
            said = status.error or ""
            return StatusAnswer(
                "",
                status.connected,
                status.session,
                status.smartphone_connected,
                said if self.quotes else "",
                bool(said),
            )
        told = f"HTTP {status_line(outcome.status)}" if outcome.status != 200 else "the answer is not a status"
        refusal = gateway_error(outcome, self.token, ResponseError(told))
        # It may refuse the call itself for that reason.
        return StatusAnswer(told, connected=False if isinstance(refusal, NotConnectedError) else None)


def _finish(steps: Generator[None, None, T]) -> T:
    """Give what a generator returns. Its pauses are for programs that have something else to do."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: T = end.value
            return result


def outcome(answer: Answer) -> str:
    """Say in words what came of a probe."""
    if answer.error is not None:
        return answer.error.what_happened
    return f"HTTP {answer.status}, {counted(answer.length, 'chat')}"
