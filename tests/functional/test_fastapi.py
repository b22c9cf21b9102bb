"""The FastAPI integration: one session, its injection, problem responses, and streams that end with their client."""

import asyncio
import json
import logging
import subprocess
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import anyio.from_thread
import attrs
import pytest
from fastapi import APIRouter, BackgroundTasks, FastAPI, WebSocket, WebSocketDisconnect
from fastapi.testclient import TestClient
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message

from plugchat_async import (
    CONTACTS,
    Chat,
    ConfigurationError,
    ConsistencyError,
    Contact,
    InvalidTypeError,
    InvalidValueError,
    ItemList,
    OutputError,
    Page,
    PlugChatError,
    PlugChatSession,
    RateLimitedError,
    ServerError,
    SessionStateError,
    UnexpectedStatusError,
)
from plugchat_async.integrations.fastapi import (
    BrokenStreamError,
    ChatStream,
    PlugChatDep,
    add_problem_handlers,
    get_plugchat,
    plugchat_lifespan,
)
from plugchat_async.testing import Fault, PlugChatSimulator
from support.fakes import FakeTime, served, what_frames_show
from support.rows import lines_of

TOKEN = "s3cret-token"
# Typed loosely: what a test client gives is looked at as it is.
Client = Any


@pytest.fixture
def account() -> Iterator[PlugChatSimulator]:
    with served(PlugChatSimulator(chats=250, seed=7, token=TOKEN, dialect="documented")) as sim:
        yield sim


@pytest.fixture
def app(account: PlugChatSimulator) -> FastAPI:
    """An application with an endpoint of each kind; its session retries without waiting."""
    app = FastAPI(lifespan=plugchat_lifespan(account.token, base_url=account.base_url, clock=FakeTime().clock))
    add_problem_handlers(app)

    @app.get("/count")
    async def count(plugchat: PlugChatDep) -> int:
        return len(await plugchat.list_chats())

    @app.get("/chats")
    async def chats(plugchat: PlugChatDep) -> list[Chat]:
        return await plugchat.list_chats()

    @app.get("/stream")
    async def stream(plugchat: PlugChatDep) -> ChatStream:
        return ChatStream(plugchat.iter_chats(page_size=100))

    @app.get("/pages")
    async def pages(plugchat: PlugChatDep) -> ChatStream:
        return ChatStream(plugchat.iter_pages(page_size=100), 203, {"X-Mine": "yes"})

    return app


@pytest.fixture
def client(app: FastAPI) -> Iterator[Client]:
    with TestClient(app) as client:
        yield client


# --- the session


def test_the_session_is_opened_and_closed_with_the_application(app: FastAPI) -> None:
    """It is the same one in each request."""
    sessions: list[PlugChatSession] = []

    @app.get("/session")
    async def session(plugchat: PlugChatDep) -> None:
        sessions.append(plugchat)

    with TestClient(app) as client:
        client.get("/session")
        client.get("/session")
        assert "open" in repr(sessions[0])
    assert sessions[0] is sessions[1]
    assert "closed" in repr(sessions[0])


def test_it_composes_with_the_applications_own_lifespan(account: PlugChatSimulator) -> None:
    """Which may use the session when it begins and when it ends, and whose state is kept."""
    counts: list[int] = []

    @asynccontextmanager
    async def own(app: FastAPI) -> AsyncGenerator[dict[str, Any]]:
        plugchat: PlugChatSession = app.state.plugchat
        counts.append(len(await plugchat.list_chats()))
        yield {"mine": "kept"}
        counts.append(len(await plugchat.list_chats()))

    app = FastAPI(lifespan=plugchat_lifespan(account.token, base_url=account.base_url, lifespan=own))

    @app.get("/mine")
    async def mine(request: Request, plugchat: PlugChatDep) -> tuple[str, int]:
        return request.state.mine, len(await plugchat.list_chats())

    with TestClient(app) as client:
        assert client.get("/mine").json() == ["kept", 250]
    assert counts == [250, 250]


def test_a_lifespan_without_state(account: PlugChatSimulator) -> None:
    """Most yield nothing."""

    @asynccontextmanager
    async def own(_: FastAPI) -> AsyncIterator[None]:
        yield

    app = FastAPI(lifespan=plugchat_lifespan(account.token, base_url=account.base_url, lifespan=own))

    @app.get("/")
    async def root(plugchat: PlugChatDep) -> str:
        return repr(plugchat)

    with TestClient(app) as client:
        assert "open" in client.get("/").json()


def test_the_environment_is_looked_at_when_it_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    """An application can be imported without a token; to start without one is an error that says what to do."""
    monkeypatch.delenv("PLUGCHAT_TOKEN", raising=False)
    app = FastAPI(lifespan=plugchat_lifespan())
    with pytest.raises(InvalidValueError, match="PLUGCHAT_TOKEN is not set"), TestClient(app):
        raise AssertionError("it has started")
    monkeypatch.setenv("PLUGCHAT_TOKEN", TOKEN)
    monkeypatch.setenv("PLUGCHAT_BASE_URL", "http://127.0.0.1:1")
    with TestClient(app):
        assert "http://127.0.0.1:1 open" in repr(app.state.plugchat)


def test_mounted_applications_routers_and_websockets_have_it(app: FastAPI) -> None:
    """The session comes with the connection, not with the application that answers it."""
    inner = FastAPI()
    router = APIRouter()

    @inner.get("/count")
    @router.get("/routed")
    async def count(plugchat: PlugChatDep) -> int:
        return len(await plugchat.list_chats())

    @app.websocket("/socket")
    async def socket(websocket: WebSocket, plugchat: PlugChatDep) -> None:
        await websocket.accept()
        await websocket.send_json(len(await plugchat.list_chats()))
        await websocket.close()

    app.mount("/inner", inner)
    app.include_router(router)
    with TestClient(app) as client:
        assert client.get("/inner/count").json() == client.get("/routed").json() == 250
        with client.websocket_connect("/socket") as websocket:
            assert websocket.receive_json() == 250


def test_an_endpoint_in_a_thread_asks_the_event_loop(app: FastAPI) -> None:
    """As the guide says: the session belongs to the loop."""

    @app.get("/plain")
    def plain(plugchat: PlugChatDep) -> int:
        return len(anyio.from_thread.run(plugchat.list_chats))

    with TestClient(app) as client:
        assert client.get("/plain").json() == 250


def test_it_is_overridden_as_any_dependency(app: FastAPI) -> None:
    """A test gives another session, or what looks like one; no lifespan is needed then."""

    class Two:
        async def list_chats(self) -> list[Chat]:
            return [Chat("1"), Chat("2")]

    app.dependency_overrides[get_plugchat] = Two
    assert TestClient(app).get("/count").json() == 2


def test_without_a_lifespan_it_is_said_what_to_do(caplog: pytest.LogCaptureFixture) -> None:
    """In the log. It is the application's fault: 503 would make a load balancer ask again and again."""
    app = FastAPI()
    add_problem_handlers(app)

    @app.get("/count")
    async def count(plugchat: PlugChatDep) -> int:
        return len(await plugchat.list_chats())

    answer = TestClient(app).get("/count")
    assert answer.status_code == 500
    assert "Create it with FastAPI(lifespan=plugchat_lifespan())" in caplog.text
    assert "in tests, use `with TestClient(app)`" in caplog.text


def test_no_frame_shows_the_token(account: PlugChatSimulator) -> None:
    """Not where the application's own lifespan fails, nor where the session can't be made."""

    @asynccontextmanager
    async def failing(_: FastAPI) -> AsyncGenerator[None]:
        yield
        raise RuntimeError("mine")

    wrong: Any = {"timeout": "soon"}
    for lifespan in (
        plugchat_lifespan(TOKEN, base_url=account.base_url, lifespan=failing, proxy="http://u:s3cret-pw@localhost"),
        plugchat_lifespan(TOKEN, proxy="http://u:s3cret-pw@localhost", **wrong),
    ):

        async def run(made: Callable[[FastAPI], Any] = lifespan) -> None:
            async with made(FastAPI()):
                """It fails at the end, or did so before."""

        with pytest.raises((RuntimeError, ConfigurationError)) as caught:
            asyncio.run(run())
        assert "s3cret" not in what_frames_show(caught.value)


# --- problems


@pytest.mark.parametrize(
    ("faults", "status", "title"),
    [
        ([Fault.status(401)], 502, "Plug Chat refused the token"),
        ([Fault.status(403)], 502, "Plug Chat refused the token"),
        ([Fault.status(403, body="<html>")], 502, "Plug Chat refused this service's address"),
        ([Fault.status(403, body="error code: 1010")], 502, "Plug Chat refused this service's address"),
        *(
            ([Fault.status(code, body=f'{{"error": "{text}"}}')], status, title)
            for code in (200, 400, 401, 403, 404)
            for text, status, title in (
                ("your client-token is not configured", 502, "Plug Chat refused the token"),
                ("Instance not found", 502, "Plug Chat refused the token"),
                ("203.0.113.9 not allowed", 502, "Plug Chat refused this service's address"),
                ("You need to be connected", 503, "The phone is not connected to WhatsApp"),
                ("You are not connected.", 503, "The phone is not connected to WhatsApp"),
                ("You need to restore the session.", 503, "The phone is not connected to WhatsApp"),
                ("Does not work in multi device version", 502, "Unexpected response from Plug Chat"),
            )
        ),
        ([Fault.status(405, headers={"Allow": "POST"})], 502, "Plug Chat refused the method"),
        ([Fault.status(415)] * 3, 502, "Plug Chat refused the content type"),
        (
            [Fault.status(301, headers={"Location": "https://s3cret-token.example"})],
            502,
            "Plug Chat redirected the request",
        ),
        ([Fault.status(400)], 502, "Unexpected response from Plug Chat"),
        ([Fault.answer("{}")], 502, "Unexpected response from Plug Chat"),
        ([Fault.status(500)] * 3, 502, "Plug Chat has failed"),
        ([Fault.reset()] * 4, 502, "Plug Chat can't be reached"),
        ([Fault.status(408)] * 3, 504, "Plug Chat timed out"),
        ([Fault.status(429)] * 3, 429, "Too many requests to Plug Chat"),
    ],
)
@pytest.mark.parametrize("path", ["/count", "/stream", "/pages"])
def test_errors_are_problem_responses(
    client: Client,
    account: PlugChatSimulator,
    caplog: pytest.LogCaptureFixture,
    faults: list[Fault],
    status: int,
    title: str,
    path: str,
) -> None:
    """RFC 9457, also for a stream that has not begun. The client learns nothing that came from the service."""
    account.script(*[attrs.evolve(fault, body=fault.body or f"{TOKEN} said".encode()) for fault in faults])
    answer = client.get(path)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert list(problem) == ["type", "title", "status", "detail"]
    assert (problem["status"], problem["title"]) == (status, title)
    assert problem["type"].startswith("https://")
    seen = f"{answer.text} {answer.headers} {caplog.text}"
    assert TOKEN not in seen
    assert account.base_url not in answer.text
    [record] = [record for record in caplog.records if record.name == "plugchat_async.fastapi"]
    assert record.getMessage().startswith(f"GET {path}: ")
    assert record.getMessage().endswith(f"(answered: {status})")


@pytest.mark.parametrize(
    ("upstream", "after", "status", "told"),
    [
        (429, "100", 429, "100"),
        (429, "9" * 20, 429, "86400"),
        (503, "61", 503, "61"),
        (503, None, 502, None),
        (429, None, 429, None),
    ],
)
def test_retry_after_is_kept(
    client: Client, account: PlugChatSimulator, upstream: int, after: str | None, status: int, told: str | None
) -> None:
    """Of a 429, and of an upstream fault, which then is one that passes; a day at most."""
    account.script(*[Fault.status(upstream, headers={} if after is None else {"Retry-After": after})] * 3)
    answer = client.get("/count")
    assert answer.status_code == status
    assert answer.headers.get("retry-after") == told


def raised_by(app: FastAPI, error: PlugChatError) -> Client:
    """What the application answers where an endpoint raises an error."""

    @app.get("/raise")
    async def fail() -> None:
        raise error

    return TestClient(app).get("/raise")


@pytest.mark.parametrize(
    ("error", "status", "level"),
    [
        (InvalidValueError("page_size must be at least 1"), 500, logging.ERROR),
        (ConfigurationError("x"), 500, logging.ERROR),
        (OutputError("x"), 500, logging.ERROR),
        (SessionStateError("the session is closed"), 500, logging.ERROR),
        (ConsistencyError("x"), 502, logging.WARNING),
        (UnexpectedStatusError("x"), 502, logging.WARNING),
        (PlugChatError("x"), 500, logging.WARNING),
        (RateLimitedError("x", retry_after=0.2), 429, logging.WARNING),
    ],
)
def test_whose_fault_it_is(error: PlugChatError, status: int, level: int, caplog: pytest.LogCaptureFixture) -> None:
    """A wrong argument is the application's, and so logged as an error; its text is for the log alone."""
    app = FastAPI()
    add_problem_handlers(app)
    answer = raised_by(app, error)
    assert answer.status_code == status
    assert answer.headers.get("retry-after") == ("1" if isinstance(error, RateLimitedError) else None)
    [record] = [record for record in caplog.records if record.name == "plugchat_async.fastapi"]
    assert record.levelno == level
    assert error.message in record.getMessage()
    assert error.message == "x" or error.message not in answer.text


# --- streams


@pytest.mark.parametrize("path", ["/stream", "/pages"])
def test_a_stream_has_a_chat_a_line(client: Client, account: PlugChatSimulator, path: str) -> None:
    """In the list's order, as `write_jsonl` writes them; without a length, since nobody knows it."""
    answer = client.get(path)
    assert answer.headers["content-type"] == "application/x-ndjson"
    assert "content-length" not in answer.headers
    assert answer.text == lines_of(account.chats)


def test_status_and_headers_of_a_stream(client: Client) -> None:
    """As of any response."""
    answer = client.get("/pages")
    assert (answer.status_code, answer.headers["x-mine"]) == (203, "yes")


def test_no_chats_are_an_empty_stream() -> None:
    """With status 200."""
    with served(PlugChatSimulator(chats=0)) as sim:
        app = FastAPI(lifespan=plugchat_lifespan(sim.token, base_url=sim.base_url))

        @app.get("/stream")
        async def stream(plugchat: PlugChatDep) -> ChatStream:
            return ChatStream(plugchat.iter_chats())

        with TestClient(app) as client:
            answer = client.get("/stream")
    assert (answer.status_code, answer.content) == (200, b"")


def test_an_error_in_the_middle_breaks_the_stream_off(
    client: Client, account: PlugChatSimulator, caplog: pytest.LogCaptureFixture
) -> None:
    """The server is told so, and closes the connection: nobody takes half a list for the whole."""
    account.script(Fault.none(), Fault.status(401, body=TOKEN))
    with pytest.raises(BrokenStreamError, match="the stream was broken off: HTTP 401") as caught:
        client.get("/pages")
    assert TOKEN not in str(caught.value) + caplog.text
    [record] = [record for record in caplog.records if record.name == "plugchat_async.fastapi"]
    assert record.getMessage().endswith("(answered: broken off)")


def test_a_middleware_may_stand_in_between(app: FastAPI, account: PlugChatSimulator) -> None:
    """Starlette's own kind, which wraps receiving and sending."""

    async def dispatch(request: Request, call_next: RequestResponseEndpoint) -> Response:
        answer = await call_next(request)
        answer.headers["X-Seen"] = "yes"
        return answer

    app.add_middleware(BaseHTTPMiddleware, dispatch=dispatch)
    with TestClient(app) as client:
        answer = client.get("/pages")
    assert answer.headers["x-seen"] == "yes"
    assert len(answer.text.splitlines()) == 250


class Walk:
    """A walk whose pages a test lets come. It notes that it was closed."""

    def __init__(self) -> None:
        self.more = asyncio.Event()
        self.closed = False
        self.waiting = asyncio.Event()

    async def pages(self) -> AsyncGenerator[Page, None]:
        try:
            while True:
                yield Page(1, 1, (Chat("1"),), b"")
                self.waiting.set()
                await self.more.wait()
        finally:
            await asyncio.sleep(0)
            self.closed = True


SCOPE = {"type": "http", "method": "GET", "path": "/"}


async def never() -> dict[str, Any]:
    await asyncio.Event().wait()
    raise AssertionError


async def test_a_walk_object_can_be_streamed_once(sim: PlugChatSimulator, plugchat: PlugChatSession) -> None:
    """As a generator; it is over then, and says so to a second response."""
    walk = plugchat.walk_chats(100)
    response = ChatStream(walk)
    sent: list[Message] = []

    async def receive() -> Message:
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "GET"}
    await response(scope, receive, send)
    lines = b"".join(message.get("body", b"") for message in sent).splitlines()
    assert [json.loads(line)["phone"] for line in lines] == [chat.phone for chat in sim.chats]
    assert walk.report.verified
    with pytest.raises(InvalidValueError, match="the walk of this ChatStream has ended"):
        await ChatStream(walk)(scope, receive, send)


async def test_what_is_no_walk_is_refused(plugchat: PlugChatSession) -> None:
    """At once, in the endpoint: a list, or a coroutine without its await."""
    coroutine = plugchat.list_chats()
    given: list[Any] = [ItemList(), coroutine, None]
    for wrong in given:
        with pytest.raises(InvalidTypeError, match=f"ChatStream takes a walk, got {type(wrong).__name__}. Pass what"):
            ChatStream(wrong)
    coroutine.close()


class ContactStream(ChatStream):
    """A stream of another list."""

    item = Contact


def test_other_lists_are_streamed_by_a_class_of_their_own(app: FastAPI) -> None:
    """Whose items the document then has: a stream that says chats has chats."""

    @app.get("/contacts")
    async def contacts(plugchat: PlugChatDep) -> ContactStream:
        return ContactStream(plugchat.iter_contacts())

    @app.get("/walked")
    async def walked(plugchat: PlugChatDep) -> ContactStream:
        return ContactStream(plugchat.walk(CONTACTS))

    @app.get("/wrong")
    async def wrong(plugchat: PlugChatDep) -> ChatStream:
        return ChatStream(plugchat.iter_contacts())

    with TestClient(app) as client:
        for path in ("/contacts", "/walked"):
            lines = client.get(path).text.splitlines()
            assert len(lines) == 250
            assert json.loads(lines[0]).keys() == {a.name for a in attrs.fields(Contact)}
        assert client.get("/wrong").status_code == 500


async def test_a_client_that_goes_away_ends_the_walk() -> None:
    """At once, while a page is waited for."""
    tasks = asyncio.all_tasks()
    walk = Walk()
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    messages = iter(["http.request", "http.request"])

    async def receive() -> dict[str, Any]:
        with suppress(StopIteration):
            return {"type": next(messages), "body": b""}
        await walk.waiting.wait()
        return {"type": "http.disconnect"}

    await ChatStream(walk.pages())(SCOPE, receive, send)
    assert walk.closed
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]
    assert asyncio.all_tasks() == tasks


async def test_a_server_that_can_not_send_ends_the_walk() -> None:
    """As of ASGI 2.4: `send` raises an OSError. It is no error."""
    walk = Walk()

    async def send(message: Any) -> None:
        if message["type"] == "http.response.body":
            raise OSError("gone")

    await ChatStream(walk.pages())(SCOPE, never, send)
    assert walk.closed


async def test_cancelling_ends_the_walk() -> None:
    """As a server does that is told to stop."""
    walk = Walk()

    async def send(_: Any) -> None:
        """It takes everything."""

    stream = asyncio.create_task(ChatStream(walk.pages())(SCOPE, never, send))
    await walk.waiting.wait()
    stream.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stream
    assert walk.closed


async def test_what_the_server_raises_comes_out() -> None:
    """Whether it is asked for messages, or given some; the walk is closed."""
    for fails_to_send in (True, False):
        walk = Walk()

        async def send(_: Any, fail: bool = fails_to_send) -> None:
            if fail:
                raise ServerError("mine")

        async def receive(fail: bool = fails_to_send, walk: Walk = walk) -> dict[str, Any]:
            if fail:
                return await never()
            await walk.waiting.wait()
            raise ServerError("mine")

        with pytest.raises((ServerError, BrokenStreamError), match="mine"):
            await ChatStream(walk.pages())(SCOPE, receive, send)
        assert walk.closed


def test_it_is_loaded_only_when_it_is_used() -> None:
    """FastAPI and pydantic are nobody's concern who uses neither."""
    code = "from plugchat_async import PlugChatSession\nimport sys\nprint({'fastapi', 'pydantic'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"


@pytest.mark.parametrize("path", ["/stream", "/pages"])
def test_behind_a_middleware_a_broken_stream_has_no_end(app: FastAPI, account: PlugChatSimulator, path: str) -> None:
    """Starlette's kind would end the response properly: it is made to fail where it is sent."""

    async def dispatch(request: Request, call_next: RequestResponseEndpoint) -> Response:
        return await call_next(request)

    app.add_middleware(BaseHTTPMiddleware, dispatch=dispatch)
    account.script(Fault.none(), Fault.status(401))
    messages: list[Any] = []

    async def send(message: Any) -> None:
        len(message.get("body", b""))  # as a server does
        messages.append(message)

    async def run() -> None:
        async with app.router.lifespan_context(app) as state:
            scope: dict[str, Any] = {
                **SCOPE,
                "path": path,
                "raw_path": path.encode(),
                "query_string": b"",
                "headers": [],
                "state": state,
                "asgi": {"version": "3.0"},
            }
            await app(scope, never, send)

    with pytest.raises(BrokenStreamError, match="HTTP 401"):
        asyncio.run(run())
    assert messages[0]["status"] in (200, 203)
    assert messages[-1]["more_body"]


def test_background_tasks_run_after_a_stream(app: FastAPI) -> None:
    """As after any response."""
    ran: list[str] = []

    @app.get("/later")
    async def later(plugchat: PlugChatDep, tasks: BackgroundTasks) -> ChatStream:
        tasks.add_task(ran.append, "yes")
        return ChatStream(plugchat.iter_chats(limit=1))

    with TestClient(app) as client:
        assert len(client.get("/later").text.splitlines()) == 1
    assert ran == ["yes"]


def test_a_websocket_is_closed(app: FastAPI, account: PlugChatSimulator, caplog: pytest.LogCaptureFixture) -> None:
    """With "internal error", before and after it was accepted; the log says why."""

    @app.websocket("/socket/{accepts}")
    async def socket(websocket: WebSocket, accepts: bool, plugchat: PlugChatDep) -> None:
        if accepts:
            await websocket.accept()
        await plugchat.list_chats()

    with TestClient(app) as client:
        for accepts in ("true", "false"):
            account.script(Fault.status(401))
            with (
                pytest.raises(WebSocketDisconnect) as caught,
                client.websocket_connect(f"/socket/{accepts}") as socket_,
            ):
                socket_.receive_json()
            assert caught.value.code in (1011, 1000, 1006)
    assert len([record for record in caplog.records if record.name == "plugchat_async.fastapi"]) == 2


def test_head_asks_for_nothing(app: FastAPI, account: PlugChatSimulator) -> None:
    """Its answer has no body."""

    @app.head("/stream")
    async def stream(plugchat: PlugChatDep) -> ChatStream:
        return ChatStream(plugchat.iter_chats())

    with TestClient(app) as client:
        answer = client.head("/stream")
    assert (answer.status_code, answer.content, account.requests) == (200, b"", [])


def test_a_walk_that_is_over_is_no_empty_account(app: FastAPI) -> None:
    """It is the application's fault, and so a 500."""

    @app.get("/over")
    async def over(plugchat: PlugChatDep) -> ChatStream:
        walk = plugchat.iter_chats()
        await walk.aclose()
        return ChatStream(walk)

    with TestClient(app) as client:
        assert client.get("/over").status_code == 500


async def test_an_error_of_the_walks_own_breaks_it_off() -> None:
    """Also one that is an OSError, as a TimeoutError is; before the beginning it comes out as it is."""

    async def chats(first: int) -> AsyncGenerator[Chat, None]:
        for number in range(first):
            yield Chat(str(number + 1))
        raise TimeoutError("mine")

    async def send(message: Any) -> None:
        len(message.get("body", b""))  # as a server does

    with pytest.raises(BrokenStreamError, match="TimeoutError"):
        await ChatStream(chats(2))(SCOPE, never, send)
    with pytest.raises(TimeoutError, match="mine"):
        await ChatStream(chats(0))(SCOPE, never, send)


async def test_a_path_is_no_line_of_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """It is quoted."""
    app = FastAPI()
    add_problem_handlers(app)

    @app.get("/{name}")
    async def fail(name: str) -> None:
        raise ServerError("x") if name else AssertionError

    TestClient(app).get("/a%0aFAKE%1b")
    assert "GET /a%0AFAKE%1B: x" in caplog.text


def test_after_the_end_there_is_no_session(app: FastAPI) -> None:
    """So a client without a lifespan is told what to do."""
    with TestClient(app):
        assert app.state.plugchat is not None
    assert app.state.plugchat is None
    assert TestClient(app, raise_server_exceptions=False).get("/count").status_code == 503


def test_a_request_that_outlasts_the_application_is_told_that_it_stops(app: FastAPI) -> None:
    """Another server can answer it. While the application runs, a closed session is a mistake."""
    answers: list[Any] = []
    going_on = asyncio.Event()

    @app.get("/slow")
    async def slow(plugchat: PlugChatDep) -> int:
        await going_on.wait()
        return len(await plugchat.list_chats())

    @app.get("/mistaken")
    async def mistaken(plugchat: PlugChatDep) -> int:
        async with plugchat:
            """It is the application's, and closed by this."""
        return len(await plugchat.list_chats())

    async def ask(path: str, state: Any) -> int:
        async def send(message: Any) -> None:
            answers.append(message)

        scope = {**SCOPE, "path": path, "query_string": b"", "headers": [], "state": dict(state)}
        await app(scope, never, send)
        status: int = answers[-2]["status"]
        return status

    async def run() -> None:
        async with app.router.lifespan_context(app) as state:
            asked = asyncio.create_task(ask("/slow", state))
            await asyncio.sleep(0)
        going_on.set()
        assert await asked == 503
        assert json.loads(answers[-1]["body"])["title"] == "This service is stopping"
        async with app.router.lifespan_context(app) as state:
            assert await ask("/mistaken", state) == 500

    asyncio.run(run())


def test_an_application_may_run_twice_at_a_time(app: FastAPI) -> None:
    """As by tests with two clients: each run has its session, and the first one still has it at its end."""
    with TestClient(app) as first:
        with TestClient(app) as second:
            assert second.get("/count").json() == 250
        assert first.get("/count").json() == 250
        assert app.state.plugchat is not None


def test_two_lifespans_in_one_application_end_in_order(account: PlugChatSimulator) -> None:
    """The outer one's session is injected; both are closed."""
    inner = plugchat_lifespan("another", base_url=account.base_url)
    app = FastAPI(lifespan=plugchat_lifespan(account.token, base_url=account.base_url, lifespan=inner))

    @app.get("/count")
    async def count(plugchat: PlugChatDep) -> int:
        return len(await plugchat.list_chats())

    with TestClient(app) as client:
        assert client.get("/count").json() == 250
