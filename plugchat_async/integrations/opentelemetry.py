"""Spans and metrics of walks, pages and attempts for OpenTelemetry. It needs the extra `otel`.

    PlugChatSession(token, telemetry=OpenTelemetry())

    plugchat.walk                      INTERNAL   a child of the span that was current when the walk began
    └─ plugchat.page                   INTERNAL   for a single page, a child of the current span
       └─ GET /api/whatsapp/chats      CLIENT     one for each request

The span of an attempt is current while its request is sent, so that spans of an instrumented aiohttp are its children.
The other spans are never current: the body of a loop sees its own span.

Names are those of the semantic conventions for HTTP, stable since version 1.23
(https://opentelemetry.io/docs/specs/semconv/http/), and start with "plugchat." for everything else. No text from a
server is quoted: chats are personal data, and servers echo requests. The same is true of URLs that an injected session
has changed.
"""

from asyncio import CancelledError
from typing import Final

from plugchat_async._http.request import __version__
from plugchat_async._http.response import status_line
from plugchat_async._http.telemetry import Reason
from plugchat_async._optional_extras import needing
from plugchat_async.errors import PlugChatError
from plugchat_async.models import WalkReport

with needing("otel", __name__):
    from opentelemetry import metrics, trace
    from opentelemetry.context import Context, attach, detach, get_current
    from opentelemetry.trace import Span, SpanKind, StatusCode, set_span_in_context

Attributes = dict[str, str | bool | int | float]

_NAME: Final = "plugchat_async"
_SCHEMA: Final = "https://opentelemetry.io/schemas/1.30.0"
# In seconds, as the conventions advise for http.client.request.duration.
_BOUNDARIES: Final = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)


class OpenTelemetry:
    """Makes spans and metrics, as the `telemetry` of a session. One can serve any number of sessions.

    The metrics and their attributes:

    - `http.client.request.duration` (histogram, s): http.request.method, server.address, server.port,
      http.response.status_code and error.type. Cancelled requests are not counted.
    - `plugchat.requests` ({request}): http.response.status_code, and error.type if the request failed.
    - `plugchat.retries` ({retry}): plugchat.resend.reason, error.type.
    - `plugchat.pages` ({page}): error.type if the page failed. Cancelled pages are not counted.
    - `plugchat.chats` ({chat}): none. Counts the chats on all pages that were read, repeated ones included.

    Args:
        tracer_provider: The provider of spans (default None: the global one, even if that is set later).
        meter_provider: The provider of metrics (default None: the global one, even if that is set later).
        account_names: Whether walks of `fetch_many` and `export_many` have the name of their account, as
            `plugchat.account.name` (default False, since names can be personal data).
    """

    def __init__(
        self,
        *,
        tracer_provider: trace.TracerProvider | None = None,
        meter_provider: metrics.MeterProvider | None = None,
        account_names: bool = False,
    ) -> None:
        self._instruments = _Instruments(tracer_provider, meter_provider)
        self._account_names = account_names

    def walk(self, *, consistency: str, page_size: int, prefetch: int, account: str | None) -> "_Walk":
        """Start a span as a child of the current one."""
        attributes: Attributes = {
            "plugchat.walk.consistency": consistency,
            "plugchat.walk.page_size": page_size,
            "plugchat.walk.prefetch": prefetch,
        }
        if account is not None and self._account_names:
            attributes["plugchat.account.name"] = account
        return _Walk(self._instruments, get_current(), attributes)

    def page(self, number: int, size: int) -> "_Page":
        """Start a span as a child of the current one."""
        return _Page(self._instruments, get_current(), number, size)


class _Instruments:
    """The tracer and the metrics."""

    def __init__(
        self, tracer_provider: trace.TracerProvider | None, meter_provider: metrics.MeterProvider | None
    ) -> None:
        self.tracer = trace.get_tracer(_NAME, __version__, tracer_provider, _SCHEMA)
        meter = metrics.get_meter(_NAME, __version__, meter_provider, _SCHEMA)
        self.duration = meter.create_histogram(
            "http.client.request.duration",
            "s",
            "Duration of HTTP client requests.",
            explicit_bucket_boundaries_advisory=_BOUNDARIES,
        )
        self.requests = meter.create_counter("plugchat.requests", "{request}", "Requests that were sent.")
        self.retries = meter.create_counter("plugchat.retries", "{retry}", "Requests that are sent once more.")
        self.pages = meter.create_counter("plugchat.pages", "{page}", "Pages that were read, or failed.")
        self.chats = meter.create_counter("plugchat.chats", "{chat}", "Chats on the pages that were read.")


class _Walk:
    """The span of a walk."""

    def __init__(self, instruments: _Instruments, parent: Context, attributes: Attributes) -> None:
        self._instruments = instruments
        self._span = instruments.tracer.start_span("plugchat.walk", parent, attributes=attributes)
        self._context = set_span_in_context(self._span, parent)

    def page(self, number: int, size: int) -> "_Page":
        """Start the span of a page as a child of this one, in any context."""
        return _Page(self._instruments, self._context, number, size)

    def end(self, report: WalkReport, error: PlugChatError | None) -> None:
        """End the span with the values of the report. A walk that the caller left is not an error."""
        self._span.set_attributes(
            {
                "plugchat.walk.requests": report.requests,
                "plugchat.walk.pages": report.pages,
                "plugchat.walk.chats": report.chats,
                "plugchat.walk.duplicates": report.duplicates,
                "plugchat.walk.recovered": report.recovered,
                "plugchat.walk.passes": report.passes,
                "plugchat.walk.verified": report.verified,
                "plugchat.walk.reason": report.reason,
            }
        )
        if error is not None:
            _fail(self._span, error)
        self._span.end()


class _Page:
    """The span of a page."""

    def __init__(self, instruments: _Instruments, parent: Context, number: int, size: int) -> None:
        self._instruments = instruments
        attributes = {"plugchat.page.number": number, "plugchat.page.size": size}
        self._span = instruments.tracer.start_span("plugchat.page", parent, attributes=attributes)
        self._context = set_span_in_context(self._span, parent)
        self._resends = 0

    def attempt(self, *, url: str, path: str, server: str, port: int, resends: int) -> "_Attempt":
        """Start the span of an attempt as a child of this one, and make it current."""
        return _Attempt(self._instruments, self._context, url, path, server, port, resends)

    def resend(self, reason: Reason, error: PlugChatError, *, wait: float, repair: str) -> None:
        """Add an event, and count the retry."""
        self._resends += 1
        labels = {"plugchat.resend.reason": reason, "error.type": error_type(error)}
        self._instruments.retries.add(1, labels, self._context)
        event: Attributes = {**labels, "plugchat.resend.wait": wait}
        if repair:
            event["plugchat.resend.repair"] = repair
        self._span.add_event("plugchat.resend", event)

    def hold(self, seconds: float) -> None:
        """Add an event for a wait because of the account's rate limit."""
        self._span.add_event("plugchat.hold", {"plugchat.hold.wait": seconds})

    def end(self, chats: int | None, error: BaseException | None) -> None:
        """End the span."""
        self._span.set_attribute("plugchat.page.retries", self._resends)
        if chats is not None:
            self._span.set_attribute("plugchat.page.chats", chats)
            self._instruments.pages.add(1, None, self._context)
            self._instruments.chats.add(chats, None, self._context)
        elif error is not None and not _is_cancelled(self._span, error):
            self._instruments.pages.add(1, {"error.type": error_type(error)}, self._context)
            _fail(self._span, error)
        self._span.end()


class _Attempt:
    """The span of an attempt, which is current until it ends."""

    def __init__(
        self, instruments: _Instruments, parent: Context, url: str, path: str, server: str, port: int, resends: int
    ) -> None:
        self._instruments = instruments
        self._labels: Attributes = {"http.request.method": "GET", "server.address": server, "server.port": port}
        # Attributes that samplers use must be there from the start. Names and templates must have few values, and the
        # prefix of a base URL can be an account's own.
        attributes: Attributes = {**self._labels, "url.full": url, "url.template": path}
        if resends:
            attributes["http.request.resend_count"] = resends
        self._span = instruments.tracer.start_span(f"GET {path}", parent, SpanKind.CLIENT, attributes)
        self._context = set_span_in_context(self._span, parent)
        self._token = attach(self._context)

    def end(self, status: int | None, error: BaseException | None, seconds: float) -> None:
        """End the span, as ERROR for 4xx, 5xx and requests without a response, but not for cancelled ones."""
        # A discarded coroutine is closed in any context, where this span is not current.
        if not isinstance(error, GeneratorExit):
            detach(self._token)
        outcome: Attributes = {}
        if status is not None:
            outcome["http.response.status_code"] = status
            if status >= 400:
                outcome["error.type"] = str(status)
                self._span.set_status(StatusCode.ERROR)  # without a description, by the conventions
            self._span.set_attributes(outcome)
        elif error is not None and not _is_cancelled(self._span, error):
            outcome["error.type"] = error_type(error)
            _fail(self._span, error)
        self._instruments.requests.add(1, outcome, self._context)
        if outcome:
            self._instruments.duration.record(seconds, {**self._labels, **outcome}, self._context)
        self._span.end()


def error_type(error: BaseException) -> str:
    """Return the value of `error.type`: the name of an error of this package, the full name of any other."""
    kind = type(error)
    foreign = not isinstance(error, PlugChatError) and kind.__module__ != "builtins"
    return f"{kind.__module__}.{kind.__qualname__}" if foreign else kind.__qualname__


def _is_cancelled(span: Span, error: BaseException) -> bool:
    """Return whether the work was cancelled, and if so set an attribute.

    It is not an error: many successful walks cancel prefetched pages, and only the caller knows whether a
    timeout is a failure. The conventions leave that open.
    """
    if not isinstance(error, CancelledError | GeneratorExit):
        return False
    span.set_attribute("plugchat.cancelled", value=True)
    return True


def _fail(span: Span, error: BaseException) -> None:
    """Mark a span as failed, without the exception: its message and traceback can quote the server."""
    span.set_attribute("error.type", error_type(error))
    span.set_status(StatusCode.ERROR, _description(error))


def _description(error: BaseException) -> str | None:
    """Return a description of the error without any text from the server."""
    if not isinstance(error, PlugChatError) or error.status == 200:
        return None
    return error.message if error.status is None else f"HTTP {status_line(error.status)}"
