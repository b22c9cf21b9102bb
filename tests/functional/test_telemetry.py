"""Spans and metrics as OpenTelemetry's in-memory exporters get them, and a telemetry that fails."""

import asyncio
import gc
import subprocess
import sys
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import trustme
from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import HistogramDataPoint, InMemoryMetricReader, NumberDataPoint
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode, Tracer

from plugchat_async import (
    Account,
    AuthenticationError,
    ConsistencyError,
    InvalidTypeError,
    PlugChatError,
    PlugChatSession,
    RetryPolicy,
    SessionStateError,
    WalkReport,
    export_many,
    fetch_many,
)
from plugchat_async.integrations.opentelemetry import OpenTelemetry, error_type
from plugchat_async.testing import Fault, PlugChatSimulator
from support.fakes import DOCUMENTED, FakeTime, RawServer, answering, http, move_too_fast
from support.proxies import BASE_URL, ConnectProxy, tls_of
from support.telemetries import Broken
from support.traits import KNOWN_SERVER

ATTEMPT = "GET /api/whatsapp/chats"


class Telescope:
    """Tracers, meters and a telemetry of a test's own, and what came of them."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self.tracers = TracerProvider()
        self.tracers.add_span_processor(SimpleSpanProcessor(self._exporter))
        self._reader = InMemoryMetricReader()
        self.meters = MeterProvider([self._reader])
        self.telemetry = OpenTelemetry(tracer_provider=self.tracers, meter_provider=self.meters)
        self.tracer: Tracer = self.tracers.get_tracer("user")

    def spans(self, name: str | None = None) -> list[ReadableSpan]:
        """Those that have ended, in the order in which they did."""
        return [span for span in self._exporter.get_finished_spans() if name in (None, span.name)]

    def tree(self) -> list[str]:
        """Each span's name behind those that it is within, sorted."""
        spans = {span.context.span_id: span for span in self.spans() if span.context is not None}

        def path(span: ReadableSpan) -> str:
            if span.parent is None:
                return span.name
            return f"{path(spans[span.parent.span_id])} > {span.name}"

        return sorted(path(span) for span in spans.values())

    def metrics(self) -> dict[str, Any]:
        """Each metric by its name."""
        data = self._reader.get_metrics_data()
        assert data is not None
        scopes = [scope for resource in data.resource_metrics for scope in resource.scope_metrics]
        return {metric.name: metric for scope in scopes for metric in scope.metrics}

    def counts(self, name: str) -> list[tuple[dict[str, Any], float]]:
        """A counter's values, each with its attributes."""
        points: list[NumberDataPoint] = self.metrics()[name].data.data_points
        return sorted(((dict(point.attributes or {}), point.value) for point in points), key=repr)

    def everything(self) -> str:
        """All that was exported."""
        return "".join(span.to_json() for span in self.spans()) + repr(self.metrics())


@pytest.fixture
def scope() -> Iterator[Telescope]:
    telescope = Telescope()
    yield telescope
    telescope.tracers.shutdown()
    telescope.meters.shutdown()


@pytest.fixture
async def session(
    sim: PlugChatSimulator, fake_time: FakeTime, scope: Telescope
) -> AsyncGenerator[PlugChatSession, None]:
    async with PlugChatSession(
        sim.token, base_url=sim.base_url, clock=fake_time.clock, telemetry=scope.telemetry, server_traits=KNOWN_SERVER
    ) as plugchat:
        yield plugchat


def told(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def status(span: ReadableSpan) -> tuple[StatusCode, str | None]:
    return span.status.status_code, span.status.description


def events(span: ReadableSpan) -> list[tuple[str, dict[str, Any]]]:
    return [(event.name, dict(event.attributes or {})) for event in span.events]


FINE = (StatusCode.UNSET, None)


# Spans.


@pytest.mark.parametrize("prefetch", [0, 3])
async def test_a_walk_its_pages_and_their_attempts(session: PlugChatSession, scope: Telescope, prefetch: int) -> None:
    """One within the other, under what was current when the walk began, also where pages are fetched ahead."""
    with scope.tracer.start_as_current_span("user"):
        assert len(await session.list_chats(100, prefetch=prefetch)) == 250
    page = "user > plugchat.walk > plugchat.page"
    assert set(scope.tree()) == {"user", "user > plugchat.walk", page, f"{page} > {ATTEMPT}"}
    assert len(scope.spans("plugchat.walk")) == 1
    # Those that were fetched ahead in vain are empty, or were cancelled; some are read again.
    whole = [told(span) for span in scope.spans("plugchat.page") if told(span).get("plugchat.page.chats")]
    found = {(page["plugchat.page.number"], page["plugchat.page.chats"]) for page in whole}
    assert found == {(1, 100), (2, 100), (3, 50)}
    kinds = {span.name: span.kind for span in scope.spans()}
    assert kinds.pop(ATTEMPT) == SpanKind.CLIENT
    assert set(kinds.values()) == {SpanKind.INTERNAL}


@DOCUMENTED
async def test_what_spans_say(sim: PlugChatSimulator, session: PlugChatSession, scope: Telescope) -> None:
    """What the conventions require and what the report says, and nothing else."""
    reports: list[WalkReport] = []
    await session.list_chats(100, consistency="strict", on_report=reports.append)
    [report] = reports
    [walk], page, attempt = (
        scope.spans("plugchat.walk"),
        scope.spans("plugchat.page")[0],
        scope.spans(ATTEMPT)[0],
    )
    assert told(walk) == {
        "plugchat.walk.consistency": "strict",
        "plugchat.walk.page_size": 100,
        "plugchat.walk.prefetch": 0,
        "plugchat.walk.requests": 1,
        "plugchat.walk.pages": 1,
        "plugchat.walk.chats": 250,
        "plugchat.walk.duplicates": report.duplicates,
        "plugchat.walk.recovered": report.recovered,
        "plugchat.walk.passes": report.passes,
        "plugchat.walk.verified": True,
        "plugchat.walk.reason": "",
    }
    assert told(page) == {
        "plugchat.page.number": 1,
        "plugchat.page.size": 1000,
        "plugchat.page.chats": 250,
        "plugchat.page.retries": 0,
    }
    host, _, port = sim.base_url.removeprefix("http://").partition(":")
    assert told(attempt) == {
        "http.request.method": "GET",
        "server.address": host,
        "server.port": int(port),
        "url.full": f"{sim.base_url}/api/whatsapp/chats?page=1&pageSize=1000",
        "url.template": "/api/whatsapp/chats",
        "http.response.status_code": 200,
    }
    assert {status(span) for span in scope.spans()} == {FINE}
    assert attempt.instrumentation_scope is not None
    assert attempt.instrumentation_scope.name == "plugchat_async"


async def test_a_single_page_is_a_child_of_the_current_span(session: PlugChatSession, scope: Telescope) -> None:
    """No walk is needed."""
    with scope.tracer.start_as_current_span("user"):
        await session.fetch_page(1, 10)
    await session.fetch_page(2, 10)
    assert scope.tree() == [
        "plugchat.page",
        f"plugchat.page > {ATTEMPT}",
        "user",
        "user > plugchat.page",
        f"user > plugchat.page > {ATTEMPT}",
    ]


async def test_retries(sim: PlugChatSimulator, session: PlugChatSession, scope: Telescope) -> None:
    """Each attempt says which resend it is, and its own fate; the page has an event for each, and is sound."""
    sim.script(Fault.status(503, headers={"Retry-After": "2"}), Fault.truncate())
    await session.fetch_page(1, 10)
    first, second, third = scope.spans(ATTEMPT)
    assert [told(span).get("http.request.resend_count") for span in (first, second, third)] == [None, 1, 2]
    assert [told(span).get("http.response.status_code") for span in (first, second, third)] == [503, None, 200]
    assert [told(span).get("error.type") for span in (first, second, third)] == ["503", "ConnectionFailedError", None]
    said = f"{sim.base_url.removeprefix('http://')}: the connection broke in the middle of the answer"
    assert [status(span) for span in (first, second, third)] == [
        (StatusCode.ERROR, None),
        (StatusCode.ERROR, said),
        FINE,
    ]
    [page] = scope.spans("plugchat.page")
    assert (status(page), told(page)["plugchat.page.retries"]) == (FINE, 2)
    assert "error.type" not in told(page)
    assert events(page) == [
        (
            "plugchat.resend",
            {"plugchat.resend.reason": "retry", "error.type": "ServerError", "plugchat.resend.wait": 2.0},
        ),
        (
            "plugchat.resend",
            {"plugchat.resend.reason": "retry", "error.type": "ConnectionFailedError", "plugchat.resend.wait": 0.5},
        ),
    ]


async def test_a_repair(sim: PlugChatSimulator, session: PlugChatSession, scope: Telescope) -> None:
    """The event names it."""
    sim.script(Fault.status(415), Fault.answer("[]"))
    await session.fetch_page(1, 10)
    [page] = scope.spans("plugchat.page")
    assert events(page) == [
        (
            "plugchat.resend",
            {
                "plugchat.resend.reason": "repair",
                "error.type": "UnsupportedMediaTypeError",
                "plugchat.resend.wait": 0.0,
                "plugchat.resend.repair": "no Content-Type",
            },
        )
    ]
    assert told(scope.spans(ATTEMPT)[1])["http.request.resend_count"] == 1


async def test_a_newer_token_and_a_closed_connection(sim: PlugChatSimulator, scope: Telescope) -> None:
    """They are resends, too."""
    tokens = iter(["old-token", sim.token, sim.token, sim.token])
    async with PlugChatSession(
        lambda: next(tokens), base_url=sim.base_url, telemetry=scope.telemetry, retry=RetryPolicy(attempts=1)
    ) as session:
        await session.fetch_page(1, 10)
        sim.script(Fault.close())
        await session.fetch_page(2, 10)
    # No variable is named as a function of this module: CPython 3.12.1 then takes one for the other.
    reasons = [fields["plugchat.resend.reason"] for page in scope.spans("plugchat.page") for _, fields in events(page)]
    assert reasons == ["token", "connection"]
    assert [told(span).get("http.request.resend_count") for span in scope.spans(ATTEMPT)] == [None, 1, None, 1]


async def test_an_account_that_is_held_back(sim: PlugChatSimulator, fake_time: FakeTime, scope: Telescope) -> None:
    """A page that waits for what another one's 429 has asked for says so."""
    sim.script(Fault.status(429, headers={"Retry-After": "30"}))
    async with PlugChatSession(
        sim.token,
        base_url=sim.base_url,
        retry=RetryPolicy(attempts=1),
        clock=fake_time.clock,
        telemetry=scope.telemetry,
    ) as session:
        with pytest.raises(PlugChatError):
            await session.fetch_page(1, 10)
        await session.fetch_page(2, 10)
    assert [events(page) for page in scope.spans("plugchat.page")] == [
        [],
        [("plugchat.hold", {"plugchat.hold.wait": 30.0})],
    ]


async def test_a_failure(sim: PlugChatSimulator, session: PlugChatSession, scope: Telescope) -> None:
    """The attempt says the status, page and walk the error; none quotes the server, and there is no traceback."""
    sim.script(Fault.none(), Fault.status(401, body="Maria's chats are hers"))
    with pytest.raises(AuthenticationError):
        await session.list_chats(100)
    attempt, page, walk = scope.spans()[-3:]
    assert [status(span) for span in (attempt, page, walk)] == [
        (StatusCode.ERROR, None),
        (StatusCode.ERROR, "HTTP 401 Unauthorized"),
        (StatusCode.ERROR, "HTTP 401 Unauthorized"),
    ]
    assert [told(span)["error.type"] for span in (attempt, page, walk)] == ["401", *["AuthenticationError"] * 2]
    assert told(walk)["plugchat.walk.reason"] == "the walk failed: AuthenticationError"
    assert told(walk)["plugchat.walk.chats"] == 100
    assert [span for span in scope.spans() if span.events] == []
    assert "Maria" not in scope.everything()


async def test_a_page_that_is_not_what_was_promised(sim: PlugChatSimulator, scope: Telescope) -> None:
    """HTTP went well; the page has failed. A chat's values are not told."""
    sim.script(Fault.answer('[{"phone": "1", "unread": "Maria"}]'))
    async with PlugChatSession(
        sim.token, base_url=sim.base_url, telemetry=scope.telemetry, on_bad_value="raise"
    ) as session:
        with pytest.raises(PlugChatError, match="Maria"):
            await session.fetch_page(1, 10)
    attempt, page = scope.spans()
    assert (status(attempt), told(attempt)["http.response.status_code"]) == (FINE, 200)
    assert (status(page), told(page)["error.type"]) == ((StatusCode.ERROR, None), "DecodeError")
    assert "Maria" not in scope.everything()


async def test_a_value_that_can_not_be_read_is_not_told(
    sim: PlugChatSimulator, session: PlugChatSession, scope: Telescope
) -> None:
    """The page is fine, and what the value was is another person's text."""
    sim.script(Fault.answer('[{"phone": "1", "unread": "Maria"}]'))
    assert len((await session.fetch_page(1, 10)).problems) == 1
    assert [status(span) for span in scope.spans()] == [FINE, FINE]
    assert "Maria" not in scope.everything()


async def test_a_redirect_is_an_error_of_the_page(
    sim: PlugChatSimulator, session: PlugChatSession, scope: Telescope
) -> None:
    """The conventions leave the status of an attempt with 3xx unset."""
    sim.script(Fault.status(302, headers={"Location": "https://x.example"}))
    with pytest.raises(PlugChatError):
        await session.fetch_page(1, 10)
    assert [status(span) for span in scope.spans()] == [FINE, (StatusCode.ERROR, "HTTP 302 Found")]


@pytest.mark.slow
@DOCUMENTED
async def test_a_walk_that_is_not_verified(sim: PlugChatSimulator, session: PlugChatSession, scope: Telescope) -> None:
    """Its span has failed if it was to be verified; else it says why it is not."""
    move_too_fast(sim)
    await session.list_chats(5, max_page_size=None)
    sim.traffic(inserts=25.0, seed=1)  # the list is ten times as long now
    with pytest.raises(ConsistencyError):
        await session.list_chats(50, max_page_size=None, require_verified=True)
    sound, failed = scope.spans("plugchat.walk")
    reason = told(failed)["plugchat.walk.reason"]
    assert reason.startswith("the list moved too fast")
    assert told(sound)["plugchat.walk.reason"] == reason
    assert "error.type" not in told(sound)
    assert told(failed)["error.type"] == "ConsistencyError"
    assert [status(walk) for walk in (sound, failed)] == [
        FINE,
        (StatusCode.ERROR, f"the walk is not verified: {reason}"),
    ]


@pytest.mark.parametrize("prefetch", [0, 3])
async def test_what_is_cancelled_is_no_error(
    sim: PlugChatSimulator, session: PlugChatSession, scope: Telescope, prefetch: int
) -> None:
    """Attempt, page and walk end, and say what happened to them."""
    sim.script(Fault.none(), *[Fault.hang()] * 9)
    task = asyncio.create_task(session.list_chats(100, prefetch=prefetch))
    while len(sim.requests) < 2 or not scope.spans("plugchat.page"):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    assert {status(span) for span in scope.spans()} == {FINE}
    cut = [span for span in scope.spans() if "plugchat.cancelled" in told(span)]
    assert {span.name for span in cut} == {ATTEMPT, "plugchat.page"}
    assert {told(span)["plugchat.cancelled"] for span in cut} == {True}
    [walk] = scope.spans("plugchat.walk")
    assert told(walk)["plugchat.walk.reason"] == "the caller ended the walk"
    assert scope.spans()[-1] is walk
    assert [value for _, value in scope.counts("plugchat.pages")] == [1]
    [point] = scope.metrics()["http.client.request.duration"].data.data_points
    assert point.count == 1


async def test_a_session_that_is_closed_while_it_waits(sim: PlugChatSimulator, scope: Telescope) -> None:
    """The attempt under way has failed."""
    sim.script(Fault.hang())
    session = PlugChatSession(sim.token, base_url=sim.base_url, telemetry=scope.telemetry)
    await session.open()
    task = asyncio.create_task(session.fetch_page(1, 10))
    while not sim.requests:
        await asyncio.sleep(0)
    await session.close()
    with pytest.raises(SessionStateError):
        await task
    assert [(status(span), told(span)["error.type"]) for span in scope.spans()] == [
        ((StatusCode.ERROR, "the session is closed"), "SessionStateError")
    ] * 2


def test_foreign_errors_have_their_full_names() -> None:
    """As the conventions want it; our own are known by their names."""
    assert error_type(AuthenticationError("no")) == "AuthenticationError"
    assert error_type(ValueError()) == "ValueError"
    assert error_type(aiohttp.ClientError()) == "aiohttp.client_exceptions.ClientError"


async def test_what_an_injected_sessions_own_code_raises(sim: PlugChatSimulator, scope: Telescope) -> None:
    """It is named, and not quoted."""

    async def fail(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        raise LookupError("Maria")

    async with (
        aiohttp.ClientSession(middlewares=(fail,)) as client,
        PlugChatSession(sim.token, base_url=sim.base_url, client_session=client, telemetry=scope.telemetry) as session,
    ):
        with pytest.raises(LookupError):
            await session.fetch_page(1, 10)
    assert [(status(span), told(span)["error.type"]) for span in scope.spans()] == [
        ((StatusCode.ERROR, None), "LookupError")
    ] * 2
    assert "Maria" not in scope.everything()


# What is current.


@pytest.mark.parametrize("prefetch", [0, 3])
@pytest.mark.parametrize("unit", ["pages", "chats"])
@pytest.mark.parametrize("leave", ["at the end", "break", "error", "cancel"])
async def test_the_callers_span_is_current_in_the_loop(
    session: PlugChatSession, scope: Telescope, unit: str, leave: str, prefetch: int
) -> None:
    """Ours never is, in the loop or after it, however it is left; a span of the caller's is no child of ours."""
    walk: AsyncGenerator[Any, None] = (session.iter_pages if unit == "pages" else session.iter_chats)(
        30, prefetch=prefetch
    )

    async def loop(user: trace.Span) -> None:
        async with aclosing(walk) as found:
            async for _ in found:
                assert trace.get_current_span() is user
                with scope.tracer.start_as_current_span("work"):
                    await asyncio.sleep(0)
                if leave == "break":
                    break
                if leave == "error":
                    raise LookupError
                if leave == "cancel":
                    current = asyncio.current_task()
                    assert current is not None
                    current.cancel()
                    await asyncio.sleep(0)

    with scope.tracer.start_as_current_span("user") as user:
        task = asyncio.create_task(loop(user))
        await asyncio.wait([task])
        assert trace.get_current_span() is user
    assert trace.get_current_span() is trace.INVALID_SPAN
    if not task.cancelled():
        assert isinstance(task.exception(), LookupError) == (leave == "error")
    assert "user > work" in scope.tree()
    assert [name for name in scope.tree() if "plugchat" in name and name.endswith("work")] == []
    assert len(scope.spans("plugchat.walk")) == 1


async def test_interleaved_walks_of_one_task(session: PlugChatSession, scope: Telescope) -> None:
    """Each keeps its pages, whatever is current when one is fetched."""
    with scope.tracer.start_as_current_span("first"):
        one = session.iter_pages(100)
        await anext(one)
    with scope.tracer.start_as_current_span("second"):
        two = session.iter_pages(100)
        await anext(two)
        await anext(one)
    await anext(two)
    assert trace.get_current_span() is trace.INVALID_SPAN
    await two.aclose()
    await one.aclose()
    for user in ("first", "second"):
        assert scope.tree().count(f"{user} > plugchat.walk > plugchat.page > {ATTEMPT}") == 2
    assert len(scope.spans("plugchat.walk")) == 2


async def test_an_attempt_is_current_while_it_is_sent(sim: PlugChatSimulator, scope: Telescope) -> None:
    """So what instruments aiohttp hangs below it."""

    async def instrument(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        with scope.tracer.start_as_current_span("aiohttp"):
            return await handler(request)

    async with (
        aiohttp.ClientSession(middlewares=(instrument,)) as client,
        PlugChatSession(
            sim.token,
            base_url=sim.base_url,
            client_session=client,
            telemetry=scope.telemetry,
            server_traits=KNOWN_SERVER,
        ) as session,
    ):
        await session.list_chats(200)
    assert scope.tree().count(f"plugchat.walk > plugchat.page > {ATTEMPT} > aiohttp") == 2


async def test_a_walk_that_does_not_begin_has_no_span(session: PlugChatSession, scope: Telescope) -> None:
    """A generator that nobody asks, and a limit of none."""
    await session.iter_pages(100).aclose()
    assert await session.list_chats(100, limit=0) == []
    assert scope.spans() == []


@pytest.mark.slow
async def test_a_walk_that_is_thrown_away_ends_once(
    session: PlugChatSession, scope: Telescope, caplog: pytest.LogCaptureFixture
) -> None:
    """When the loop closes it; the SDK would log if it ended a second time."""
    walk = session.iter_pages(100)
    await anext(walk)
    del walk
    gc.collect()
    for _ in range(9):
        await asyncio.sleep(0)
    assert len(scope.spans("plugchat.walk")) == 1
    assert caplog.records == []


async def test_a_walk_that_is_closed_twice_ends_once(
    session: PlugChatSession, scope: Telescope, caplog: pytest.LogCaptureFixture
) -> None:
    """The second time there is nothing to end."""
    walk = session.walk_chats()
    await anext(walk)
    await walk.aclose()
    await walk.aclose()
    assert len(scope.spans("plugchat.walk")) == 1
    assert caplog.records == []


async def test_a_coroutine_that_is_thrown_away_elsewhere(
    sim: PlugChatSimulator, session: PlugChatSession, scope: Telescope, caplog: pytest.LogCaptureFixture
) -> None:
    """Its spans end; nothing is detached where nothing was attached."""
    sim.script(Fault.hang())
    fetching = session.fetch_page(1, 10)
    task = asyncio.create_task(_forward(fetching))
    while not sim.requests:
        await asyncio.sleep(0)
    with scope.tracer.start_as_current_span("user") as user:
        fetching.close()
        assert trace.get_current_span() is user
    task.cancel()
    await asyncio.wait([task])
    assert [told(span)["plugchat.cancelled"] for span in scope.spans() if span.name != "user"] == [True, True]
    assert caplog.records == []


# Secrets.


SECRETS = ("s3cr3t-t0ken", "pr0xy-passw0rd", "qu3ry-k3y")


@pytest.mark.parametrize(
    "fault",
    [
        *[
            Fault.status(code, headers={"Location": SECRETS[0]}, body=" ".join(SECRETS))
            for code in (302, 401, 405, 503)
        ],
        Fault.answer(f"<html>{' '.join(SECRETS)}</html>"),
        Fault.answer(f'[{{"phone": "1", "unread": "{SECRETS[0]}"}}]'),
        Fault.close(),
        Fault.none(),
    ],
    ids=lambda fault: f"{fault.kind} {fault.code}",
)
async def test_nothing_exported_holds_a_secret(fault: Fault, fake_time: FakeTime, scope: Telescope) -> None:
    """Whatever the server echoes, and whatever an injected session makes of the URL."""

    async def meddle(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        request.url = request.url.update_query(key=SECRETS[2], token=SECRETS[0])
        return await handler(request)

    async with (
        PlugChatSimulator(10, token=SECRETS[0]) as sim,
        aiohttp.ClientSession(middlewares=(meddle,)) as client,
        PlugChatSession(
            SECRETS[0],
            base_url=sim.base_url,
            client_session=client,
            clock=fake_time.clock,
            telemetry=scope.telemetry,
        ) as session,
    ):
        sim.script(*[fault] * 9)
        for fetching in (session.fetch_page(1, 10), session.list_chats()):
            await asyncio.gather(fetching, return_exceptions=True)
    text = scope.everything()
    assert ATTEMPT in text
    for secret in (*SECRETS, "Authorization"):
        assert secret.lower() not in text.lower()


async def test_a_proxys_password_is_not_exported(scope: Telescope) -> None:
    """Whether the proxy serves or refuses."""
    token, password, _ = SECRETS
    served, trusting = tls_of(trustme.CA())
    for wanted in (password, "another"):
        async with (
            RawServer(answering(http(b"[]")), ssl_context=served) as server,
            ConnectProxy(server.port, credentials=f"user:{wanted}") as proxy,
            PlugChatSession(
                token,
                base_url=BASE_URL,
                proxy=proxy.url(f"user:{password}"),
                ssl_context=trusting,
                telemetry=scope.telemetry,
            ) as session,
        ):
            await asyncio.gather(session.fetch_page(1, 10), return_exceptions=True)
            assert len(proxy.heads) == 1
    assert len(scope.spans(ATTEMPT)) == 2
    for secret in (token, password, "Authorization"):
        assert secret not in scope.everything()


async def test_a_token_in_the_base_urls_path_is_not_exported(sim: PlugChatSimulator, scope: Telescope) -> None:
    """Some gateways are told apart by such a path."""
    async with PlugChatSession(sim.token, base_url=f"{sim.base_url}/{sim.token}", telemetry=scope.telemetry) as session:
        with pytest.raises(PlugChatError):
            await session.fetch_page(1, 10)
    [attempt] = scope.spans(ATTEMPT)
    assert told(attempt)["url.full"] == f"{sim.base_url}/***/api/whatsapp/chats?page=1&pageSize=10"
    assert sim.token not in scope.everything()


# Metrics.


async def test_metrics(sim: PlugChatSimulator, scope: Telescope) -> None:
    """Requests, retries, pages and chats, by few attributes; the histogram's boundaries are the conventions'."""
    clock = iter(float(second) for second in range(1000))
    time = FakeTime().clock
    async with PlugChatSession(
        sim.token,
        base_url=sim.base_url,
        clock=type(time)(monotonic=lambda: next(clock), time=time.time, sleep=time.sleep, random=time.random),
        telemetry=scope.telemetry,
        server_traits=KNOWN_SERVER,
    ) as session:
        sim.script(Fault.none(), Fault.status(503))
        await session.list_chats(100)
        sim.script(Fault.status(403))
        with pytest.raises(AuthenticationError):
            await session.fetch_page(1, 10)
    assert scope.counts("plugchat.requests") == [
        ({"http.response.status_code": 200}, 3),
        ({"http.response.status_code": 403, "error.type": "403"}, 1),
        ({"http.response.status_code": 503, "error.type": "503"}, 1),
    ]
    assert scope.counts("plugchat.retries") == [({"plugchat.resend.reason": "retry", "error.type": "ServerError"}, 1)]
    assert scope.counts("plugchat.pages") == [({"error.type": "AuthenticationError"}, 1), ({}, 3)]
    assert scope.counts("plugchat.chats") == [({}, 250)]
    metrics = scope.metrics()
    assert {name: metric.unit for name, metric in metrics.items()} == {
        "http.client.request.duration": "s",
        "plugchat.requests": "{request}",
        "plugchat.retries": "{retry}",
        "plugchat.pages": "{page}",
        "plugchat.chats": "{chat}",
    }
    points: list[HistogramDataPoint] = metrics["http.client.request.duration"].data.data_points
    host, _, port = sim.base_url.removeprefix("http://").partition(":")
    server = {"http.request.method": "GET", "server.address": host, "server.port": int(port)}
    assert sorted((dict(point.attributes or {}) for point in points), key=repr) == [
        {**server, "http.response.status_code": 200},
        {**server, "http.response.status_code": 403, "error.type": "403"},
        {**server, "http.response.status_code": 503, "error.type": "503"},
    ]
    # By the session's clock, which moves a second each time that it is asked.
    assert sum(point.sum for point in points) == 5.0
    bounds = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
    assert {tuple(point.explicit_bounds) for point in points} == {bounds}


async def test_the_guide_names_all_that_is_exported(
    sim: PlugChatSimulator, session: PlugChatSession, scope: Telescope
) -> None:
    """Spans, events, metrics and their attributes, in full or behind their prefix."""
    session._fetcher.limits.hold(1.0)
    sim.script(Fault.status(415), Fault.answer("[]"), Fault.status(401))
    await session.fetch_page(1, 10)
    with pytest.raises(AuthenticationError):
        await session.list_chats(100)
    sim.script(*[Fault.hang()] * 9)
    task = asyncio.create_task(session.fetch_page(1, 10))
    while len(sim.requests) < 4:
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    names = {name for span in scope.spans() for name in (span.name, *told(span))}
    names |= {name for span in scope.spans() for event, its in events(span) for name in (event, *its)}
    for metric, data in scope.metrics().items():
        names |= {metric, *(name for point in data.data.data_points for name in point.attributes or {})}
    guide = (Path(__file__).parents[2] / "docs" / "how-to" / "telemetry.md").read_text()
    for name in names:
        prefix, _, last = name.rpartition(".")
        assert f"`{name}`" in guide or (f"`{prefix}.`" in guide and f"`{last}`" in guide), name
    assert len(names) > 35


# Many accounts.


@pytest.mark.parametrize("names", [False, True])
async def test_many_accounts(sim: PlugChatSimulator, scope: Telescope, names: bool) -> None:
    """Each has its walk, under what was current when the first result was asked for; its name is told if wanted."""
    sim.add_account("second", 30, seed=1)
    accounts = [Account(f"of {token}", token) for token in (sim.token, "second")]
    known: Any = {"base_url": sim.base_url, "server_traits": KNOWN_SERVER}
    telemetry = OpenTelemetry(tracer_provider=scope.tracers, meter_provider=scope.meters, account_names=names)
    with scope.tracer.start_as_current_span("user") as user:
        async with aclosing(fetch_many(accounts, telemetry=telemetry, **known)) as results:
            async for result in results:
                assert result.error is None
                assert trace.get_current_span() is user
    walk = "user > plugchat.walk"
    assert scope.tree().count(walk) == 2
    assert set(scope.tree()) == {"user", walk, f"{walk} > plugchat.page", f"{walk} > plugchat.page > {ATTEMPT}"}
    walks = {told(span).get("plugchat.account.name") for span in scope.spans("plugchat.walk")}
    assert walks == ({"of second", f"of {sim.token}"} if names else {None})
    assert scope.counts("plugchat.chats") == [({}, 280)]


async def test_an_export(sim: PlugChatSimulator, scope: Telescope, tmp_path: Any) -> None:
    """It passes the telemetry on."""
    await export_many([Account("a", sim.token, base_url=sim.base_url)], tmp_path, telemetry=scope.telemetry)
    assert len(scope.spans("plugchat.walk")) == 1


# A telemetry of one's own.


CALLS = ["walk", "page", "attempt", "resend", "hold", "end"]


@pytest.mark.parametrize("broken", [*[(name,) for name in CALLS], tuple(CALLS)], ids="-".join)
async def test_a_telemetry_that_fails_changes_nothing(
    sim: PlugChatSimulator, fake_time: FakeTime, caplog: pytest.LogCaptureFixture, broken: tuple[str, ...]
) -> None:
    """What it raises is logged, once for a session."""
    telemetry = Broken(*broken)
    async with PlugChatSession(sim.token, base_url=sim.base_url, clock=fake_time.clock, telemetry=telemetry) as session:
        session._fetcher.limits.hold(1.0)
        sim.script(Fault.none(), Fault.status(429, headers={"Retry-After": "1"}))
        for _ in range(2):
            assert len(await session.list_chats(100)) == 250
        sim.script(Fault.status(403))
        with pytest.raises(AuthenticationError):
            await session.list_chats(100)
    assert set(broken) & set(telemetry.calls)
    records = [record for record in caplog.records if record.name == "plugchat_async.telemetry"]
    assert [(record.levelname, record.__dict__["plugchat_error"]) for record in records] == [("WARNING", "LookupError")]


async def test_a_telemetry_that_works_is_told_all(sim: PlugChatSimulator, fake_time: FakeTime) -> None:
    """Each part begins within its whole, and ends."""
    telemetry = Broken()
    options: Any = {"clock": fake_time.clock, "telemetry": telemetry, "server_traits": KNOWN_SERVER}
    async with PlugChatSession(sim.token, base_url=sim.base_url, **options) as session:
        sim.script(Fault.status(503))
        await session.list_chats(200)
    page = ["page", "attempt", "end", "end"]
    assert telemetry.calls == ["walk", *page[:3], "resend", *page[1:], *page, "end"]


@pytest.mark.parametrize(("given", "said"), [(5, "int"), (OpenTelemetry, "OpenTelemetry"), (lambda: None, "function")])
def test_what_is_no_telemetry_is_refused(given: Any, said: str) -> None:
    """At once; also the class, where an object of it was meant."""
    with pytest.raises(InvalidTypeError, match=rf"the methods of Telemetry, got {said}. Use OpenTelemetry\(\)"):
        PlugChatSession("token", telemetry=given)
    with pytest.raises(InvalidTypeError, match=said):
        fetch_many([], telemetry=given)


async def test_without_an_sdk_nothing_happens(sim: PlugChatSimulator) -> None:
    """The global providers are those of the API, which do nothing."""
    async with PlugChatSession(sim.token, base_url=sim.base_url, telemetry=OpenTelemetry()) as session:
        assert len(await session.list_chats()) == 250


def test_opentelemetry_is_not_loaded_unasked() -> None:
    """A session without telemetry needs no extra."""
    code = "import plugchat_async, sys; assert not any(name.startswith('opentelemetry') for name in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


async def _forward(coroutine: Any) -> Any:
    return await coroutine
