"""One page, from the request to its chats: attempts, repairs and retries, until there is a page or an error.

A call without pages goes the same way.

What to do next is decided by the pure modules; this one does it.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Generator
from functools import partial
from typing import Any, TypeVar

from attrs import Factory, define, evolve, field

from plugchat_async._http.decode import Decoded, OnBadValue
from plugchat_async._http.gateway_errors import gateway_error, is_refusal
from plugchat_async._http.page_request import PageRequest
from plugchat_async._http.rate_limit import Limits
from plugchat_async._http.repair import Repair, next_repair
from plugchat_async._http.retry import GiveUp, RetryBudget, RetryPolicy, next_wait, parse_wait
from plugchat_async._http.secret import Secret
from plugchat_async._http.telemetry import Dispatcher, WalkObserver
from plugchat_async._http.token import TokenProvider
from plugchat_async._http.transport import AttemptFailed, Transport
from plugchat_async._http.wire import Request, RequestBuilder, RequestTemplate, Response, status_error
from plugchat_async._internal.clock import Clock
from plugchat_async.converter import converter
from plugchat_async.errors import (
    AuthenticationError,
    PlugChatError,
    RateLimitedError,
    ResponseTooLargeError,
    SessionStateError,
    TokenError,
)
from plugchat_async.models import Chat, Page

logger = logging.getLogger("plugchat_async.http")

T = TypeVar("T")


@define(eq=False, repr=False)
class PageFetcher:
    """Fetches the pages of an account. It keeps what they share: the request's shape, the limits, the retry budget.

    item: the class of what a page holds: Chat, or that of another call, which a Page calls its chats all the same.
    timeout: seconds for one attempt, body included, counted from when it has its slot.
    on_bad_value: whether a value that can't be read is told of ("warn") or is an error ("raise").
    account: its name, where many are fetched. teller: whom to tell what is done, if anybody wants to know.
    """

    transport: Transport
    token: Secret | TokenProvider
    shape: RequestTemplate
    policy: RetryPolicy
    repair: bool
    timeout: float
    limits: Limits
    clock: Clock
    budget: RetryBudget
    item: type[Chat] = Chat
    on_bad_value: OnBadValue = "warn"
    account: str | None = None
    dispatcher: Dispatcher | None = None
    _requests: RequestBuilder = field(init=False, default=Factory(RequestBuilder))

    @property
    def path(self) -> str:
        """The path of the call, below the base URL."""
        return self.shape.path

    def observe_walk(self) -> WalkObserver | None:
        """Return an observer of a new walk, if there is telemetry."""
        return None if self.dispatcher is None else WalkObserver(self.dispatcher)

    def for_endpoint(self, path: str, item: type[Any]) -> "PageFetcher":
        """Return the account's fetcher for another call of the vendor: the same limits, token and retry budget.

        Args:
            path: The path of the call.
            item: The class of what its pages hold.

        Returns:
            A fetcher that finds for itself which repairs the call needs.
        """
        return evolve(self, shape=evolve(self.shape, path=path), item=item)

    def fetch(self, number: int, size: int, walk: WalkObserver | None = None) -> Coroutine[Any, Any, Page]:
        """Fetch one page, or raise the error that is left after repairs and retries. `walk`: whose it is, if told."""
        self.transport.check()
        work = PageRequest(partial(self._read_page, number, size), number, size, self.account, self.shape, self.shape)
        if self.dispatcher is None:
            return self._complete(work)
        work.told = self.dispatcher.page(walk, number, size)
        return work.told.until(self._complete(work))

    def fetch_result(self, read: Callable[[bytes, Secret], T | PlugChatError]) -> Coroutine[Any, Any, T]:
        """Fetch the result of a call that has no pages, by the rules of a page. Telemetry is not told.

        Args:
            read: Reads the result from the body of a response with the status 200, or returns an error.

        Returns:
            The result.

        Raises:
            PlugChatError: The error that is left after repairs and retries. Its `page` is None.
        """

        async def read_body(body: bytes, token: Secret) -> T | PlugChatError:
            return read(body, token)

        self.transport.check()
        return self._complete(PageRequest(read_body, None, None, self.account, self.shape, self.shape))

    async def _complete(self, work: PageRequest[T]) -> T:
        while True:
            request, outcome = await self._attempt(work)
            result = await self._read(outcome, work, request.token)
            if not isinstance(result, PlugChatError):
                self.budget.refund()
                self._keep(work)
                return result
            if not isinstance(outcome, AttemptFailed) or outcome.sent:
                work.note(request, outcome, result)
            if isinstance(result, SessionStateError) or (
                not isinstance(outcome, AttemptFailed) and is_refusal(outcome)
            ):
                raise work.located(work.cause_of(result))
            if isinstance(outcome, AttemptFailed) and outcome.stale and not work.replaced_stale:
                # An idle connection had been closed: the server never saw the request, and is not to blame.
                work.replaced_stale = True
                work.resends("connection", result)
                continue
            if isinstance(result, AuthenticationError) and await self._renew(work, result):
                fields = work.resends("token", result)
                logger.info("%s: %s: trying the newest token", work.name, result.message, extra=fields)
                continue
            repair = self._next_repair(work, outcome)
            if repair is not None:
                fields = work.resends("repair", result, repair=repair.name)
                logger.warning("%s: %s: trying %s", work.name, result.message, repair.name, extra=fields)
                work.begin(repair, result)
                continue
            wait = self._next_wait(work, result)
            if isinstance(result, RateLimitedError):
                self._hold(result, wait)
            if wait is None:
                raise work.located(work.cause_of(result))
            fields = work.resends("retry", result, wait=wait)
            logger.info("%s: %s: retrying in %.2f s", work.name, result.message, wait, extra=fields)
            work.wait(wait)
            await self._sleep(work, wait)

    async def _attempt(self, work: PageRequest[Any]) -> tuple[Request, Response | AttemptFailed]:
        # The wait for a slot is nobody's fault: it counts neither against the attempt nor against the deadline.
        await self.limits.enter(self.clock.monotonic, partial(self._get_ready, work))
        try:
            request = self._requests.build(work.shape, work.token, work.number, work.size)
            started = self.clock.monotonic()
            sending = self.transport.send(request, timeout=self._time_for(work))
            outcome = await (sending if work.told is None else work.told.send(request, len(work.attempts), sending))
            work.elapsed += self.clock.monotonic() - started
        finally:
            self.limits.leave()
        return request, outcome

    def _time_for(self, work: PageRequest[Any]) -> float:
        return min(self.timeout, max(0.0, self.policy.deadline - work.elapsed))

    async def _get_ready(self, work: PageRequest[Any]) -> None:
        """Wait until the account may be asked, and see which token it is asked with.

        Before the slot and the rates, since a function may take its time to give one, and so that one request of an
        account asks it at a time.
        """
        await self._wait_until_allowed(work)
        if isinstance(self.token, Secret):
            work.token = self.token
        elif work.renewed is not None:
            work.token, work.renewed = work.renewed, None
        else:
            token = await self._newest(work, self.token)
            if not isinstance(token, Secret):
                raise work.located(token)
            work.token = token.following(work.refused) if work.refused else token

    async def _newest(self, work: PageRequest[Any], source: TokenProvider) -> Secret | TokenError:
        started = self.clock.monotonic()
        token = await source.newest(self._time_for(work))
        work.elapsed += self.clock.monotonic() - started
        return token

    async def _renew(self, work: PageRequest[Any], error: PlugChatError) -> bool:
        """Tell whether there is a newer token than the one that was refused. A page is tried with one more at most."""
        if isinstance(self.token, Secret) or work.refused is not None or self._time_for(work) <= 0:
            return False
        work.refused = work.token
        newest = await self._newest(work, self.token)
        if isinstance(newest, TokenError):
            error.message += f"; there is no newer token: {newest.message}"
            return False
        work.renewed = newest.following(work.refused)
        return newest.value != work.refused.value

    async def pause(self, seconds: float) -> None:
        """Wait for some seconds, or raise SessionStateError as soon as the session is closed."""
        await self.transport.wait(self.clock.sleep, seconds)

    async def _sleep(self, work: PageRequest[Any], seconds: float) -> None:
        try:
            await self.pause(seconds)
        except SessionStateError as closed:
            work.located(closed)
            raise

    def _hold(self, error: RateLimitedError, wait: float | None) -> None:
        """Hold back all of the account's requests for as long as a 429 asks, as one of them waits, or would have."""
        seconds = error.retry_after if wait is None else wait
        if seconds is not None and seconds <= self.policy.max_retry_after:
            self.limits.hold(self.clock.monotonic() + seconds)

    async def _wait_until_allowed(self, work: PageRequest[Any]) -> None:
        """Wait for what another request's 429 has asked for. RateLimitedError if the page's deadline is before that."""
        while (wait := self.limits.not_before - self.clock.monotonic()) > 0:
            if work.elapsed + wait >= self.policy.deadline:
                raise work.located(
                    RateLimitedError(
                        f"not asked for: the service limits this account's rate for another {wait:.1f} s, "
                        f"and the deadline of {self.policy.deadline:g} s is before that",
                        retry_after=wait,
                    )
                )
            work.elapsed += wait
            if work.told is not None:
                work.told.hold(wait)
            await self._sleep(work, wait)

    async def _read(self, outcome: Response | AttemptFailed, work: PageRequest[T], token: Secret) -> T | PlugChatError:
        """Turn an outcome into a result or an error, which is not raised yet."""
        if isinstance(outcome, AttemptFailed):
            return outcome.error
        if outcome.status != 200:
            wait = parse_wait(outcome.status, outcome.headers, now=self.clock.time())
            return gateway_error(outcome, token, status_error(outcome, token, wait))
        if not outcome.complete:
            limit = self.transport.max_response_bytes
            result: T | PlugChatError = ResponseTooLargeError(
                f"the body is larger than max_response_bytes={limit}", limit=limit
            )
        else:
            result = await work.read(outcome.body, token)
        if not isinstance(result, PlugChatError):
            return result
        result.status, result.url = outcome.status, token.redact(outcome.sent_url)
        return gateway_error(outcome, token, result)

    async def _read_page(self, number: int, size: int, body: bytes, token: Secret) -> Page | PlugChatError:
        """Read a page. Others have their turn meanwhile."""
        read = await _with_pauses(converter.decode_slices(body, token, self.item, self.on_bad_value))
        if not isinstance(read, Decoded):
            return read
        return Page(
            number,
            size,
            read.items,
            body,
            unreadable_keys=read.unreadable,
            problems=read.problems,
            problem_count=read.problem_count,
        )

    def _next_repair(self, work: PageRequest[Any], outcome: Response | AttemptFailed) -> Repair | None:
        if not self.repair or isinstance(outcome, AttemptFailed) or work.elapsed >= self.policy.deadline:
            return None
        return next_repair(work.shape, outcome, work.names, work.began)

    def _next_wait(self, work: PageRequest[Any], error: PlugChatError) -> float | None:
        """Return the seconds to wait before the next attempt, or None if there is none; the error then says why."""
        wait = next_wait(self.policy, error, attempt=work.attempt, elapsed=work.elapsed, chance=self.clock.random())
        if not isinstance(wait, GiveUp) and not self.budget.take(error):
            wait = GiveUp("the retry budget is used up")
        if not isinstance(wait, GiveUp):
            return wait
        if wait.reason:
            error.message += f"; not repeated: {wait.reason}"
        return None

    def _keep(self, work: PageRequest[Any]) -> None:
        """A repair that worked is kept for the rest of the session."""
        if work.repairs and work.shape != self.shape:
            names = " and ".join(work.names)
            self.shape = work.shape
            fields = {"plugchat_account": self.account, "plugchat_repair": names}
            logger.warning("repaired by %s: kept for this session", names, extra=fields)


async def _with_pauses(steps: Generator[None, None, T]) -> T:
    """Give what a generator returns. Whenever it yields, all else that is ready to run does."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: T = end.value
            return result
        await asyncio.sleep(0)
