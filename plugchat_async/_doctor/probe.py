"""Single requests, as they are, and what comes back: nothing is repaired, retried or hidden."""

import re
from collections.abc import Generator, Mapping
from typing import Final, TypeVar

from attrs import Factory, define, field, frozen

from plugchat_async._decode import Decoded
from plugchat_async._exchange import TimeSource
from plugchat_async._gateway_errors import gateway_error
from plugchat_async._retry import parse_wait
from plugchat_async._secret import Secret
from plugchat_async._transport import Failure, Transport
from plugchat_async._wire import Requests, RequestShape, WireResponse, one_line, status_error
from plugchat_async.converter import converter
from plugchat_async.errors import PlugChatError, RateLimitedError, ResponseTooLargeError
from plugchat_async.models import Chat, Page

T = TypeVar("T")

# How many chats are asked for where nothing else is to be seen.
SAMPLE: Final = 10
# What walks ask for where nothing else is said.
DEFAULT_SIZE: Final = 100
TOO_FEW: Final = "too few chats to tell"
# A checkup takes 14 at most, and one more for each idle connection that was closed; this holds whatever a server does.
MOST_REQUESTS: Final = 16
# A service that has twice not answered at all is not asked on.
_MOST_SILENCES: Final = 2

# Retry-After is RFC 9110, 10.2.3. RateLimit and RateLimit-Policy, and before them RateLimit-Limit, -Remaining and
# -Reset, are the IETF's draft-ietf-httpapi-ratelimit-headers; those with an X are a convention.
_RATE_HEADER: Final = re.compile(r"retry-after|(?:x-)?rate-?limit(?:-[a-z-]+)?")


class StoppedError(Exception):
    """No more requests are sent; the prober's `stopped` says why."""


@frozen(eq=False)
class Answer:
    """What came of a probe.

    status: None if there was no answer. error: what is wrong with it, None if it is a page. seconds: until it was read.
    rates: headers about rates, names in lower case.
    """

    number: int
    size: int
    seconds: float
    status: int | None = None
    chats: tuple[Chat, ...] = ()
    error: PlugChatError | None = None
    rates: Mapping[str, str] = field(factory=dict[str, str])

    @property
    def phones(self) -> tuple[str, ...]:
        """Which chats it holds, in order."""
        return tuple(chat.id for chat in self.chats)

    @property
    def page(self) -> Page:
        """The page that it is."""
        return Page(self.number, self.size, self.chats, b"")

    @property
    def is_full(self) -> bool:
        """Whether it holds as many chats as were asked for."""
        return len(self.chats) >= self.size


@define(eq=False, repr=False)
class Prober:
    """Sends probes, one after the other, and remembers their answers. None is sent once `stopped` says why not."""

    transport: Transport
    token: Secret
    timeout: float
    time_source: TimeSource
    sent: int = field(default=0, init=False)
    stopped: str = field(default="", init=False)
    answers: list[Answer] = field(init=False, default=Factory(list[Answer]))
    _requests: Requests = field(init=False, default=Factory(Requests))
    _known: dict[tuple[RequestShape, int, int], Answer] = field(
        init=False, default=Factory(dict[tuple[RequestShape, int, int], Answer])
    )

    async def ask(self, shape: RequestShape, number: int, size: int, *, again: bool = False) -> Answer:
        """Ask for a page, unless it was asked for before. StoppedError if nothing is asked for any more.

        again: ask even so, for what may have changed.
        """
        key = (shape, number, size)
        if again or key not in self._known:
            if self.stopped:
                raise StoppedError
            await self.send(shape, number, size)
        answer = self._known[key]
        if isinstance(answer.error, RateLimitedError):
            raise StoppedError
        return answer

    async def send(self, shape: RequestShape, number: int, size: int) -> Answer:
        """Send one request, whatever comes of it."""
        answer, stale = await self._send(shape, number, size)
        if stale and self.sent < MOST_REQUESTS:
            # An idle connection had been closed: the server never saw the request.
            answer, _ = await self._send(shape, number, size)
        self.answers.append(answer)
        self._known[shape, number, size] = answer
        if isinstance(answer.error, RateLimitedError):
            self.stopped = "the service limits the rate (HTTP 429), so it was not asked any further"
        elif sum(answer.status is None for answer in self.answers) >= _MOST_SILENCES:
            self.stopped = "the service no longer answers"
        elif self.sent >= MOST_REQUESTS:
            self.stopped = f"that would take more than {MOST_REQUESTS} requests"
        return answer

    async def _send(self, shape: RequestShape, number: int, size: int) -> tuple[Answer, bool]:
        """Send one request. Tell also whether a connection turned out to be stale."""
        monotonic = self.time_source.monotonic
        request = self._requests.build(shape, self.token, number, size)
        started = monotonic()
        outcome = await self.transport.send(request, timeout=self.timeout)
        seconds = monotonic() - started
        self.sent += 1
        if isinstance(outcome, Failure):
            outcome.error.url = None  # that of a probe says nothing
            return Answer(number, size, seconds, error=outcome.error), outcome.stale
        return self._read(outcome, number, size, seconds), False

    def _read(self, response: WireResponse, number: int, size: int, seconds: float) -> Answer:
        headers, status = response.headers, response.status
        rates = {name: one_line(headers[name], self.token) for name in headers if _RATE_HEADER.fullmatch(name)}
        error: PlugChatError
        if status != 200:
            wait = parse_wait(status, headers, now=self.time_source.time())
            error = gateway_error(response, self.token, status_error(response, self.token, wait))
            error.url = None
            return Answer(number, size, seconds, status, error=error, rates=rates)
        if not response.complete:
            limit = self.transport.max_response_bytes
            error = ResponseTooLargeError(f"the body is larger than {limit} bytes", limit=limit)
            return Answer(number, size, seconds, status, error=error, rates=rates)
        read = _finish(converter.decode_slices(response.body, self.token, Chat, "warn"))
        if isinstance(read, Decoded):
            return Answer(number, size, seconds, status, read.items, rates=rates)
        error = gateway_error(response, self.token, read)
        error.url = None
        return Answer(number, size, seconds, status, error=error, rates=rates)


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
    return f"HTTP {answer.status}, {len(answer.chats)} chats"
