"""One page, from the request to its chats: attempts, repairs and retries, until there is a page or an error.

A call without pages is fetched in the same way. The pure modules decide what to do next; this one does it.
"""

import logging
from collections.abc import Awaitable, Callable, Coroutine, Generator
from functools import partial
from typing import Any, TypeVar

from attrs import Factory, define, evolve, field

from plugchat_async._http.account_status import read_status
from plugchat_async._http.decode import Decoded, OnBadValue
from plugchat_async._http.gateway_errors import gateway_error, is_refusal
from plugchat_async._http.page_attempts import PageRequest
from plugchat_async._http.rate_limit import Limits
from plugchat_async._http.request import Request, RequestBuilder, RequestTemplate
from plugchat_async._http.request_repair import Repair, next_repair
from plugchat_async._http.response import Response, shown_headers, status_error, with_headers
from plugchat_async._http.retry import (
    GiveUp,
    RetryBudget,
    RetryPolicy,
    hold_problem,
    hold_seconds,
    next_wait,
    parse_wait,
)
from plugchat_async._http.secret import Secret
from plugchat_async._http.telemetry import Dispatcher, WalkObserver
from plugchat_async._http.token import TokenProvider
from plugchat_async._http.transport import AttemptFailed, Transport
from plugchat_async._http.urls import STATUS_PATH
from plugchat_async._internal.clock import Clock
from plugchat_async._internal.steps import finish_in_turns
from plugchat_async.converter import converter
from plugchat_async.errors import (
    AuthenticationError,
    PlugChatError,
    RateLimitedError,
    ResponseTooLargeError,
    SessionStateError,
    TokenError,
)
from plugchat_async.models import AccountStatus, Chat, Page

logger = logging.getLogger("plugchat_async.http")

T = TypeVar("T")


@define(eq=False, repr=False)
class PageFetcher:
    """Fetches the pages of an account. It holds what they share: template, limits, token and retry budget.

    Attributes:
        transport: Sends the requests.
        token: The account's token, or the provider of one that changes.
        template: The template of the next page's requests. A repair that worked changes it.
        policy: When to retry.
        repair: Whether 405 and 415 are answered with a changed request.
        timeout: Seconds for one attempt, body included, counted from when it has its slot.
        limits: What holds requests back before they are sent.
        clock: Time, sleep and random numbers.
        budget: What pays for retries.
        item: The class of what a page holds: Chat, or that of another call.
        on_bad_value: Whether a value that can't be read is reported ("warn") or an error ("raise").
        account: The name of the account, where many are fetched.
        dispatcher: Passes on to the telemetry what happens, or None.
    """

    transport: Transport
    token: Secret | TokenProvider
    template: RequestTemplate
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
    _status: "PageFetcher | None" = field(init=False, default=None)

    @property
    def path(self) -> str:
        """The path of the call, below the base URL."""
        return self.template.path

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
        return evolve(self, template=evolve(self.template, path=path), item=item)

    def fetch(self, number: int, size: int, walk: WalkObserver | None = None) -> Coroutine[Any, Any, Page]:
        """Fetch one page.

        Args:
            number: The number of the page, from 1.
            size: How many chats to ask for.
            walk: The observer of the walk that the page belongs to, or None.

        Raises:
            SessionStateError: The session is not open here. Raised by the call itself.
            PlugChatError: The error that is left after repairs and retries.
        """
        self.transport.check()
        read = partial(self._read_page, number, size)
        work = PageRequest(read, number, size, self.account, self.template, self.template)
        if self.dispatcher is None:
            return self._complete(work)
        work.observer = self.dispatcher.page(walk, number, size)
        return work.observer.until(self._complete(work))

    def reread(self, raw: bytes) -> Generator[None, None, tuple[Any, ...]]:
        """Return the chats of a page from its body, which was read before."""
        return converter.loads_in_steps(raw, self.item)

    def fetch_result(self, read: Callable[[bytes, Secret], T | PlugChatError]) -> Coroutine[Any, Any, T]:
        """Fetch the result of a call that has no pages, by the rules of a page. The telemetry is not notified.

        Args:
            read: Reads the result from the body of a response with the status 200, or returns an error.

        Raises:
            PlugChatError: As `fetch` does. Its `page` is None.
        """

        def read_response(response: Response, token: Secret) -> Generator[None, None, T | PlugChatError]:
            yield from ()
            return read(response.body, token)

        self.transport.check()
        return self._complete(PageRequest(read_response, None, None, self.account, self.template, self.template))

    async def fetch_status(self) -> AccountStatus:
        """Fetch the account's status, by the rules of a page.

        Raises:
            PlugChatError: As `fetch` does. ResponseError if the answer is not a status.
        """
        if self._status is None:
            self._status = self.for_endpoint(STATUS_PATH, Chat)
        return await self._status.fetch_result(read_status)

    async def pause(self, seconds: float) -> None:
        """Wait for some seconds, or raise SessionStateError as soon as the session is closed."""
        await self.transport.wait(self.clock.sleep, seconds)

    async def _complete(self, work: PageRequest[T]) -> T:
        while True:
            request, outcome = await self._attempt(work)
            result = await self._read_result(work, outcome, request.token)
            if not isinstance(result, PlugChatError):
                self.budget.refund()
                if work.repairs:
                    self._remember_repair(work)
                return result
            if not isinstance(outcome, AttemptFailed) or outcome.sent:
                work.record_attempt(request, outcome, result)
            if isinstance(result, SessionStateError) or (
                not isinstance(outcome, AttemptFailed) and is_refusal(outcome)
            ):
                raise work.with_context(work.root_error(result))
            if isinstance(outcome, AttemptFailed) and work.is_free(outcome):
                work.record_resend("connection", result)
                continue
            if isinstance(result, AuthenticationError) and await self._renew_token(work, result):
                fields = work.record_resend("token", result)
                logger.info("%s: %s: trying the newest token", work.name, result.message, extra=fields)
                continue
            repair = self._next_repair(work, outcome)
            if repair is not None:
                fields = work.record_resend("repair", result, repair=repair.name)
                logger.warning("%s: %s: trying %s", work.name, result.message, repair.name, extra=fields)
                work.record_repair(repair, result)
                continue
            wait = self._next_wait(work, result)
            self._pause_account(result, wait)
            if wait is None:
                raise work.with_context(work.root_error(result))
            fields = work.record_resend("retry", result, wait=wait)
            logger.info("%s: %s: retrying in %.2f s", work.name, result.message, wait, extra=fields)
            work.record_wait(wait)
            await self._sleep(work, wait)

    async def _attempt(self, work: PageRequest[Any]) -> tuple[Request, Response | AttemptFailed]:
        # The wait for a slot counts neither against the attempt nor against the deadline.
        enter = partial(self.limits.enter, self.clock.monotonic, partial(self._get_ready, work))
        if isinstance(self.token, Secret) and self.limits.are_free(self.clock.monotonic()):
            await enter()  # waits for nothing
        else:
            await self._until_closed(work, enter)
        try:
            request = self._requests.build(work.template, work.token, work.number, work.size)
            started = self._running_time()
            sending = self.transport.send(request, timeout=self._time_left(work))
            if work.observer is not None:
                sending = work.observer.send(request, len(work.attempts), sending)
            outcome = await sending
            work.elapsed += self._running_time() - started
        finally:
            self.limits.slots.release()
        return request, outcome

    def _running_time(self) -> float:
        """Return the time by the session's clock, without the time in which this process did not run."""
        return self.clock.monotonic() - self.transport.pauses.note()

    def _time_left(self, work: PageRequest[Any]) -> float:
        return min(self.timeout, max(0.0, self.policy.deadline - work.elapsed))

    async def _get_ready(self, work: PageRequest[Any]) -> None:
        """Wait while a 429 holds the account back, and set the token of the next request.

        Before the slot and the rates, since a token function may take its time, and so that one request of an account
        calls it at a time.
        """
        while (wait := self.limits.not_before - self.clock.monotonic()) > 0:
            await self._wait_for_account(work, wait)
        if isinstance(self.token, Secret):
            work.token = self.token
        elif work.renewed is not None:
            work.token, work.renewed = work.renewed, None
        else:
            token = await self._get_token(work, self.token)
            if not isinstance(token, Secret):
                raise work.with_context(token)
            work.token = token.following(work.refused) if work.refused else token

    async def _wait_for_account(self, work: PageRequest[Any], wait: float) -> None:
        """Wait as another request's 429 asks, or raise RateLimitedError if the policy does not allow that."""
        problem = hold_problem(self.policy, wait, elapsed=work.elapsed)
        if problem:
            message = f"not sent: rate limited for another {wait:.1f} s, {problem}"
            raise work.with_context(RateLimitedError(message, retry_after=wait))
        work.elapsed += wait
        if work.observer is not None:
            work.observer.hold(wait)
        await self._sleep(work, wait)

    async def _get_token(self, work: PageRequest[Any], provider: TokenProvider) -> Secret | TokenError:
        started = self._running_time()
        token = await provider.get(self._time_left(work), self.transport.pauses)
        work.elapsed += self._running_time() - started
        return token

    async def _renew_token(self, work: PageRequest[Any], error: PlugChatError) -> bool:
        """Return whether there is a newer token than the one that was refused. A page is tried with one at most."""
        if isinstance(self.token, Secret) or work.refused is not None or self._time_left(work) <= 0:
            return False
        work.refused = work.token
        newest = await self._until_closed(work, self._get_token, work, self.token)
        if isinstance(newest, TokenError):
            error.message += f"; there is no newer token: {newest.message}"
            return False
        work.renewed = newest.following(work.refused)
        return newest.value != work.refused.value

    async def _sleep(self, work: PageRequest[Any], seconds: float) -> None:
        await self._until_closed(work, self.clock.sleep, seconds)

    async def _until_closed(self, work: PageRequest[Any], begin: Callable[..., Awaitable[T]], *args: Any) -> T:
        """Return what `begin(*args)` returns, or raise SessionStateError as soon as the session is closed."""
        try:
            return await self.transport.wait(begin, *args)
        except SessionStateError as closed:
            work.with_context(closed)
            raise

    async def _read_result(
        self, work: PageRequest[T], outcome: Response | AttemptFailed, token: Secret
    ) -> T | PlugChatError:
        """Return the result of an attempt, or its error, which is not raised yet."""
        if isinstance(outcome, AttemptFailed):
            return outcome.error
        if outcome.status != 200:
            wait = parse_wait(outcome.status, outcome.headers, now=self.clock.time())
            return with_headers(gateway_error(outcome, token, status_error(outcome, token, wait)), outcome, token)
        result: T | PlugChatError
        if not outcome.complete:
            limit = self.transport.max_response_bytes
            result = ResponseTooLargeError(f"the body is larger than max_response_bytes={limit}", limit=limit)
        else:
            result = await finish_in_turns(work.read(outcome, token))
        if not isinstance(result, PlugChatError):
            return result
        result.status, result.url = outcome.status, token.redact(outcome.sent_url)
        return with_headers(gateway_error(outcome, token, result), outcome, token)

    def _read_page(
        self, number: int, size: int, response: Response, token: Secret
    ) -> Generator[None, None, Page | PlugChatError]:
        decoded = yield from converter.decode_slices(response.body, token, self.item, self.on_bad_value)
        if not isinstance(decoded, Decoded):
            return decoded
        return Page(
            number,
            size,
            decoded.items,
            response.body,
            unreadable_keys=decoded.unreadable,
            problems=decoded.problems,
            problem_count=decoded.problem_count,
            raw_headers=shown_headers(response, token),
            status=response.status,
        )

    def _next_repair(self, work: PageRequest[Any], outcome: Response | AttemptFailed) -> Repair | None:
        if not self.repair or isinstance(outcome, AttemptFailed) or work.elapsed >= self.policy.deadline:
            return None
        return next_repair(work.template, outcome, work.repair_names, work.original)

    def _next_wait(self, work: PageRequest[Any], error: PlugChatError) -> float | None:
        """Return the seconds to wait before the next attempt, or None if there is none; the error then says why."""
        wait = next_wait(self.policy, error, attempt=work.attempt, elapsed=work.elapsed, chance=self.clock.random())
        if not isinstance(wait, GiveUp) and not self.budget.take(error):
            wait = GiveUp("the retry budget is used up")
        if not isinstance(wait, GiveUp):
            return wait
        if wait.reason:
            error.message += f"; not retried: {wait.reason}"
        return None

    def _pause_account(self, error: PlugChatError, wait: float | None) -> None:
        """Hold back all requests of the account for as long as a 429 asks, whether this one is retried or not."""
        if isinstance(error, RateLimitedError):
            self.limits.hold(self.clock.monotonic() + hold_seconds(self.policy, error, wait))

    def _remember_repair(self, work: PageRequest[Any]) -> None:
        """Keep a repair that worked for the rest of the session."""
        if work.template != self.template:
            self.template, names = work.template, " and ".join(work.repair_names)
            fields = {"plugchat_account": self.account, "plugchat_repair": names}
            logger.warning("repaired by %s: kept for this session", names, extra=fields)
