"""What has happened so far to a request for a page, or for another result: which attempts were made, and with what."""

from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from attrs import Factory, define, evolve, field

from plugchat_async._evidence import Attempt
from plugchat_async._http.repair import Repair
from plugchat_async._http.secret import Secret
from plugchat_async._http.telemetry import PageObserver, Reason, resend_fields
from plugchat_async._http.transport import AttemptFailed
from plugchat_async._http.wire import Request, RequestTemplate, Response, status_line
from plugchat_async.errors import NotConnectedError, PlugChatError, SessionStateError

T = TypeVar("T")
# Reads the body of a response with the status 200. It returns an error instead of raising it.
ReadBody = Callable[[bytes, Secret], Awaitable[T | PlugChatError]]


@define(eq=False, repr=False)
class PageRequest(Generic[T]):
    """What happened so far to one page, or to the result of a call that has no pages.

    read: makes the result of a body. number, size: of the page, or None.
    shape: what the page is asked for with now. began: what it was asked for with at first.
    attempt: how many of the policy's attempts were begun; repairs and a replaced idle connection don't count.
    token: what the next request is sent with; not there before it has been seen to.
    refused: the token that was refused, once a newer one was looked for. renewed: the newer one, until it is sent.
    repairs: those that were tried, each with the error that it was to mend.
    """

    read: ReadBody[T]
    number: int | None
    size: int | None
    account: str | None
    shape: RequestTemplate
    began: RequestTemplate
    token: Secret = field(init=False)
    attempt: int = 1
    elapsed: float = 0.0
    replaced_stale: bool = False
    refused: Secret | None = None
    renewed: Secret | None = None
    repairs: list[tuple[Repair, PlugChatError]] = Factory(list[tuple[Repair, PlugChatError]])
    attempts: list[Attempt] = Factory(list[Attempt])
    told: PageObserver | None = None

    @property
    def name(self) -> str:
        """The page, or the call's path, for logs."""
        return self.shape.path if self.number is None else f"page {self.number}"

    def note(self, request: Request, outcome: Response | AttemptFailed, error: PlugChatError) -> None:
        """Write down a failed attempt."""
        if isinstance(outcome, AttemptFailed):
            method, url, content_type, said = "GET", request.url, request.shape.content_type, error.message
        else:
            # An injected session may have put anything into the URL.
            method, url, content_type = (
                outcome.sent_method,
                request.token.redact(outcome.sent_url),
                outcome.sent_content_type,
            )
            said = error.message if outcome.status == 200 else status_line(outcome.status)
        self.attempts.append(Attempt(method, url, content_type, said, " and ".join(self.names)))

    def resends(self, reason: Reason, error: PlugChatError, wait: float = 0.0, repair: str = "") -> dict[str, object]:
        """Tell why there will be another attempt. Gives the fields of a log record that says so."""
        if self.told is not None:
            self.told.resend(reason, error, wait=wait, repair=repair)
        return resend_fields(self.account, self.number, self.size, len(self.attempts), error, wait, repair)

    def begin(self, repair: Repair, error: PlugChatError) -> None:
        """Go on with a changed request."""
        self.shape = repair.shape
        self.repairs.append((repair, error))

    @property
    def names(self) -> list[str]:
        """What the repairs are called."""
        return [repair.name for repair, _ in self.repairs]

    def cause_of(self, error: PlugChatError) -> PlugChatError:
        """Give the error to raise, where one of the repairs has only made it worse: what came before that one.

        That the phone is not connected, or that the session is closed, has nothing to do with repairs.
        """
        if isinstance(error, NotConnectedError | SessionStateError):
            return error
        for repair, before in reversed(self.repairs):
            if not repair.explains(error.status):
                error = before
        return error

    def wait(self, seconds: float) -> None:
        """Go on with the same request, after a wait."""
        self.attempts[-1] = evolve(self.attempts[-1], wait=seconds)
        self.attempt += 1
        self.elapsed += seconds

    def located(self, error: PlugChatError) -> PlugChatError:
        """Give the error, with what is known of the page and its attempts."""
        error.page, error.page_size = self.number, self.size
        error.attempts, error.elapsed = tuple(self.attempts), self.elapsed
        return error
