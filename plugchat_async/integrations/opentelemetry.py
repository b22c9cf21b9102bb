"""Spans and metrics of walks, pages and attempts, by OpenTelemetry. Extra: `otel`.

    PlugChatSession(token, telemetry=OpenTelemetry())

    plugchat.walk                      INTERNAL   what was current when the walk began is its parent
    └─ plugchat.page                   INTERNAL   also of a single page; then it hangs on what is current
       └─ GET /api/whatsapp/chats      CLIENT     one for each request

An attempt's span is current while its request is sent, so that what instruments aiohttp hangs below it, and at no other
time. The others are never current: a loop's body sees its own span.

Names are those of the semantic conventions for HTTP, stable since their version 1.23
(https://opentelemetry.io/docs/specs/semconv/http/), and "plugchat." for what these do not know. Nothing that a server
has sent is quoted: chats are personal, and servers echo what they were sent. Neither is what an injected session makes
of a URL.
"""

from asyncio import CancelledError
from typing import Final

from plugchat_async._extras import needing
from plugchat_async._http.request import __version__
from plugchat_async._http.response import status_line
from plugchat_async._http.telemetry import Reason
from plugchat_async.errors import PlugChatError
from plugchat_async.models import WalkReport

with needing("otel", __name__):
    from opentelemetry import metrics, trace
    from opentelemetry.context import Context, attach, detach, get_current
    from opentelemetry.trace import Span, SpanKind, StatusCode, set_span_in_context

Attributes = dict[str, str | bool | int | float]

_NAME: Final = "plugchat_async"
_SCHEMA: Final = "https://opentelemetry.io/schemas/1.30.0"
# What the conventions advise for http.client.request.duration, in seconds.
_BOUNDARIES: Final = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)


class OpenTelemetry:
    """What a session's `telemetry` takes to make spans and metrics. One may serve any number of sessions.

    tracer_provider, meter_provider: where they go (default None: the global ones, also if those are set later).
    account_names: whether the walks of `fetch_many` and `export_many` say whose they are, as `plugchat.account.name`
        (default False: names may be personal data).

    The metrics, by what they have as attributes:

    http.client.request.duration (histogram, s): http.request.method, server.address, server.port,
        http.response.status_code and error.type. Requests that were cancelled are not in it.
    plugchat.requests ({request}): http.response.status_code, and error.type where it failed.
    plugchat.retries ({retry}): plugchat.resend.reason, error.type.
    plugchat.pages ({page}): error.type where it failed. Cancelled ones are not counted.
    plugchat.chats ({chat}): none. Chats on the pages that were read, repeated ones included.
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
        """Begin a span that is the current one's child."""
        attributes: Attributes = {
            "plugchat.walk.consistency": consistency,
            "plugchat.walk.page_size": page_size,
            "plugchat.walk.prefetch": prefetch,
        }
        if account is not None and self._account_names:
            attributes["plugchat.account.name"] = account
        return _Walk(self._instruments, get_current(), attributes)

    def page(self, number: int, size: int) -> "_Page":
        """Begin a span that is the current one's child."""
        return _Page(self._instruments, get_current(), number, size)


class _Instruments:
    """What spans and metrics are made with."""

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
    """A walk's span."""

    def __init__(self, instruments: _Instruments, parent: Context, attributes: Attributes) -> None:
        self._instruments = instruments
        self._span = instruments.tracer.start_span("plugchat.walk", parent, attributes=attributes)
        self._context = set_span_in_context(self._span, parent)

    def page(self, number: int, size: int) -> "_Page":
        """Begin a span below it, wherever it is called."""
        return _Page(self._instruments, self._context, number, size)

    def end(self, report: WalkReport, error: PlugChatError | None) -> None:
        """End it with what the report says. That the caller left is no error."""
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
    """A page's span."""

    def __init__(self, instruments: _Instruments, parent: Context, number: int, size: int) -> None:
        self._instruments = instruments
        attributes = {"plugchat.page.number": number, "plugchat.page.size": size}
        self._span = instruments.tracer.start_span("plugchat.page", parent, attributes=attributes)
        self._context = set_span_in_context(self._span, parent)
        self._resends = 0

    def attempt(self, *, url: str, path: str, server: str, port: int, resends: int) -> "_Attempt":
        """Begin a span below it, and make it current."""
        return _Attempt(self._instruments, self._context, url, path, server, port, resends)

    def resend(self, reason: Reason, error: PlugChatError, *, wait: float, repair: str) -> None:
        """Add an event, and count it."""
        self._resends += 1
        labels = {"plugchat.resend.reason": reason, "error.type": error_type(error)}
        self._instruments.retries.add(1, labels, self._context)
        event: Attributes = {**labels, "plugchat.resend.wait": wait}
        if repair:
            event["plugchat.resend.repair"] = repair
        self._span.add_event("plugchat.resend", event)

    def hold(self, seconds: float) -> None:
        """Add an event."""
        self._span.add_event("plugchat.hold", {"plugchat.hold.wait": seconds})

    def end(self, chats: int | None, error: BaseException | None) -> None:
        """End it."""
        self._span.set_attribute("plugchat.page.retries", self._resends)
        if chats is not None:
            self._span.set_attribute("plugchat.page.chats", chats)
            self._instruments.pages.add(1, None, self._context)
            self._instruments.chats.add(chats, None, self._context)
        elif error is not None and not _is_left(self._span, error):
            self._instruments.pages.add(1, {"error.type": error_type(error)}, self._context)
            _fail(self._span, error)
        self._span.end()


class _Attempt:
    """An attempt's span, which is current until it ends."""

    def __init__(
        self, instruments: _Instruments, parent: Context, url: str, path: str, server: str, port: int, resends: int
    ) -> None:
        self._instruments = instruments
        self._labels: Attributes = {"http.request.method": "GET", "server.address": server, "server.port": port}
        # Those that samplers look at are to be there from the beginning. Names and templates must be few: a base URL's
        # prefix may be an account's own.
        attributes: Attributes = {**self._labels, "url.full": url, "url.template": path}
        if resends:
            attributes["http.request.resend_count"] = resends
        self._span = instruments.tracer.start_span(f"GET {path}", parent, SpanKind.CLIENT, attributes)
        self._context = set_span_in_context(self._span, parent)
        self._token = attach(self._context)

    def end(self, status: int | None, error: BaseException | None, seconds: float) -> None:
        """End it: ERROR for 4xx, 5xx and where there is no answer, but not for what was cancelled."""
        # A coroutine that is thrown away is closed anywhere, where nothing of it is current.
        if not isinstance(error, GeneratorExit):
            detach(self._token)
        outcome: Attributes = {}
        if status is not None:
            outcome["http.response.status_code"] = status
            if status >= 400:
                outcome["error.type"] = str(status)
                self._span.set_status(StatusCode.ERROR)  # the conventions: no description that the status implies
            self._span.set_attributes(outcome)
        elif error is not None and not _is_left(self._span, error):
            outcome["error.type"] = error_type(error)
            _fail(self._span, error)
        self._instruments.requests.add(1, outcome, self._context)
        if outcome:
            self._instruments.duration.record(seconds, {**self._labels, **outcome}, self._context)
        self._span.end()


def error_type(error: BaseException) -> str:
    """Give what `error.type` says of an error: one of ours by its name, another by its full name."""
    kind = type(error)
    foreign = not isinstance(error, PlugChatError) and kind.__module__ != "builtins"
    return f"{kind.__module__}.{kind.__qualname__}" if foreign else kind.__qualname__


def _is_left(span: Span, error: BaseException) -> bool:
    """Tell whether it was cancelled, and note that.

    No error: a page that was fetched ahead is cancelled in many a sound walk, and whether a timeout or a closed
    program is a failure is for the caller's own span to say. The conventions leave that to who knows more.
    """
    if not isinstance(error, CancelledError | GeneratorExit):
        return False
    span.set_attribute("plugchat.cancelled", value=True)
    return True


def _fail(span: Span, error: BaseException) -> None:
    """Mark a span as failed. No exception is recorded: its message may quote the server, and so may its traceback."""
    span.set_attribute("error.type", error_type(error))
    span.set_status(StatusCode.ERROR, _description(error))


def _description(error: BaseException) -> str | None:
    """Say what happened, in nobody's words but ours."""
    if not isinstance(error, PlugChatError) or error.status == 200:
        return None
    return error.message if error.status is None else f"HTTP {status_line(error.status)}"
