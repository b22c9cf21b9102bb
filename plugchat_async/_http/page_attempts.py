"""What has happened so far to a page, or to another result: the attempts, and what they were sent with."""

from collections.abc import Callable, Generator
from typing import Final, Generic, TypeVar

from attrs import Factory, define, evolve, field

from plugchat_async._error_details import Attempt
from plugchat_async._http.request import Request, RequestTemplate
from plugchat_async._http.request_repair import Repair
from plugchat_async._http.response import Response, status_line
from plugchat_async._http.secret import Secret
from plugchat_async._http.telemetry import PageObserver, Reason, resend_fields
from plugchat_async._http.transport import AttemptFailed
from plugchat_async.errors import NotConnectedError, PlugChatError, SessionStateError

T = TypeVar("T")
# How often a page is asked for again because this process did not run.
_MAX_PAUSES: Final = 3
# Reads a response with the status 200, in steps. It returns an error instead of raising it.
ReadResponse = Callable[[Response, Secret], Generator[None, None, T | PlugChatError]]


@define(eq=False, repr=False)
class PageRequest(Generic[T]):
    """A page that is being fetched, or the result of a call that has no pages.

    Attributes:
        read: Reads the result from a response.
        number: The number of the page, or None.
        size: Its size, or None.
        account: The name of the account, where many are fetched.
        template: The template of the next request. A repair changes it.
        original: The template of the first request.
        token: The token of the next request. It is set before the first one.
        attempt: How many of the policy's attempts were begun. Repairs and a replaced idle connection don't count.
        elapsed: Seconds spent so far: requests and waits, but not the wait for a slot.
        replaced_stale: Whether an idle connection that had been closed was replaced.
        pauses: How many requests were sent again because this process did not run meanwhile.
        refused: The token that was refused, once a newer one was looked for.
        renewed: The newer token, until it is sent.
        repairs: The repairs that were tried, each with the error that it was to mend.
        attempts: The attempts that failed, for the error.
        observer: Notified of what happens, or None.
    """

    read: ReadResponse[T]
    number: int | None
    size: int | None
    account: str | None
    template: RequestTemplate
    original: RequestTemplate
    token: Secret = field(init=False)
    attempt: int = 1
    elapsed: float = 0.0
    replaced_stale: bool = False
    pauses: int = 0
    refused: Secret | None = None
    renewed: Secret | None = None
    repairs: list[tuple[Repair, PlugChatError]] = Factory(list[tuple[Repair, PlugChatError]])
    attempts: list[Attempt] = Factory(list[Attempt])
    observer: PageObserver | None = None

    @property
    def name(self) -> str:
        """The page, or the call's path, for logs."""
        return self.template.path if self.number is None else f"page {self.number}"

    @property
    def repair_names(self) -> list[str]:
        """The names of the repairs that were tried."""
        return [repair.name for repair, _ in self.repairs]

    def is_free(self, outcome: AttemptFailed) -> bool:
        """Return whether a request is sent again at no cost, since the server is not to blame; and count it."""
        if outcome.stale and not self.replaced_stale:
            # An idle connection had been closed: the server never saw the request.
            self.replaced_stale = True
            return True
        if outcome.paused and self.pauses < _MAX_PAUSES:
            # This process did not run for some time: who knows what the server did meanwhile.
            self.pauses += 1
            return True
        return False

    def record_attempt(self, request: Request, outcome: Response | AttemptFailed, error: PlugChatError) -> None:
        """Record a failed attempt."""
        if isinstance(outcome, AttemptFailed):
            method, url, content_type, shown = "GET", request.url, request.template.content_type, error.message
        else:
            # An injected session may have put anything into the URL.
            method, url, content_type = (
                outcome.sent_method,
                request.token.redact(outcome.sent_url),
                outcome.sent_content_type,
            )
            shown = error.message if outcome.status == 200 else status_line(outcome.status)
        self.attempts.append(Attempt(method, url, content_type, shown, " and ".join(self.repair_names)))

    def record_resend(
        self, reason: Reason, error: PlugChatError, wait: float = 0.0, repair: str = ""
    ) -> dict[str, object]:
        """Notify the observer that there will be another attempt. Return the fields of its log record."""
        if self.observer is not None:
            self.observer.resend(reason, error, wait=wait, repair=repair)
        return resend_fields(self.account, self.number, self.size, len(self.attempts), error, wait, repair)

    def record_repair(self, repair: Repair, error: PlugChatError) -> None:
        """Change the next request."""
        self.template = repair.template
        self.repairs.append((repair, error))

    def record_wait(self, seconds: float) -> None:
        """Begin the next attempt, after a wait."""
        self.attempts[-1] = evolve(self.attempts[-1], wait=seconds)
        self.attempt += 1
        self.elapsed += seconds

    def root_error(self, error: PlugChatError) -> PlugChatError:
        """Return the error to raise: the one before a repair, if that repair has only made it worse.

        That the phone is not connected, or that the session is closed, has nothing to do with repairs.
        """
        if isinstance(error, NotConnectedError | SessionStateError):
            return error
        for repair, before in reversed(self.repairs):
            if not repair.explains(error.status):
                error = before
        return error

    def with_context(self, error: PlugChatError) -> PlugChatError:
        """Return the error, with what is known of the page and its attempts."""
        error.account, error.page, error.page_size = self.account, self.number, self.size
        error.attempts, error.elapsed = tuple(self.attempts), self.elapsed
        return error
