"""FastAPI: one session for the application, its injection, errors as problem responses, and chats as a stream.

app = FastAPI(lifespan=plugchat_lifespan())
add_problem_handlers(app)

@app.get("/chats.ndjson")
async def chats(plugchat: PlugChatDep) -> ChatStream:
    return ChatStream(plugchat.iter_pages())
"""

import asyncio
import logging
import math
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager, nullcontext
from datetime import datetime
from typing import Annotated, Any, Final, TypeAlias, Unpack, cast

from attrs import frozen
from fastapi import Depends, FastAPI, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import HTTPConnection
from starlette.types import Receive, Scope, Send

from plugchat_async._ahead import cancel_all
from plugchat_async._commons import SessionOptions
from plugchat_async._formats import to_json
from plugchat_async._token import TokenFunction
from plugchat_async.errors import (
    AuthenticationError,
    ConfigurationError,
    ConnectionFailedError,
    MethodNotAllowedError,
    OutputError,
    PaginationError,
    PlugChatError,
    RateLimitedError,
    RedirectedError,
    RequestTimeoutError,
    ResponseError,
    ServerError,
    ServiceError,
    SessionStateError,
    UnexpectedStatusError,
    UnsupportedMediaTypeError,
)
from plugchat_async.models import Chat, Page
from plugchat_async.session import PlugChatSession

logger = logging.getLogger("plugchat_async.fastapi")

# The name of the session in the application's state and in that of its lifespan.
_STATE: Final = "plugchat"
# Seconds; what asks for more is as good as "not today".
_MOST_RETRY_AFTER: Final = 86_400

AppLifespan: TypeAlias = Callable[[FastAPI], AbstractAsyncContextManager[Mapping[str, Any] | None]]


def plugchat_lifespan(
    token: str | TokenFunction | None = None, *, lifespan: AppLifespan | None = None, **options: Unpack[SessionOptions]
) -> Callable[[FastAPI], AbstractAsyncContextManager[Mapping[str, Any]]]:
    """Give what `FastAPI(lifespan=...)` takes: it opens a session when the application starts, and closes it again.

    token: as for `PlugChatSession` (default None: PLUGCHAT_TOKEN, and PLUGCHAT_BASE_URL if it is set). It is looked at
        when the application starts, not when it is imported.
    lifespan: the application's own one (default None). It begins when the session is open, as `app.state.plugchat`,
        and ends before that is closed. The state that it yields is kept.
    options: those of `PlugChatSession`.

    When the application starts: what `PlugChatSession` and `PlugChatSession.from_env` raise.
    """
    recipe = _Recipe(token, options)
    del token, options

    @asynccontextmanager
    async def run(app: FastAPI) -> AsyncGenerator[Mapping[str, Any]]:
        async with recipe.session() as session:
            app.state.plugchat = session
            # What comes with a lifespan's state is there in mounted applications and websockets, too.
            async with nullcontext() if lifespan is None else lifespan(app) as state:
                yield {**(state or {}), _STATE: session}

    return run


@frozen(repr=False)
class _Recipe:
    """How the session is made. Frames that tracebacks show hold this, not the token, nor a proxy's password."""

    token: str | TokenFunction | None
    options: SessionOptions

    def session(self) -> PlugChatSession:
        if self.token is None:
            return PlugChatSession.from_env(**self.options)
        return PlugChatSession(self.token, **self.options)


def get_plugchat(connection: HTTPConnection) -> PlugChatSession:
    """Give the application's session, for requests and websockets.

    It is what `PlugChatDep` depends on: tests put another in its place with `app.dependency_overrides[get_plugchat]`.
    SessionStateError if the application has none.
    """
    for state in (connection.state, connection.app.state):
        session = getattr(state, _STATE, None)
        if session is not None:
            return cast("PlugChatSession", session)
    raise SessionStateError(
        "the application has no Plug Chat session",
        "Make it with FastAPI(lifespan=plugchat_lifespan()); in tests, use `with TestClient(app)`.",
    )


PlugChatDep = Annotated[PlugChatSession, Depends(get_plugchat)]


@frozen
class _Problem:
    """What the application's own client is told: a status, and what has happened, without what only operators need."""

    status: int
    title: str
    detail: str


_MISCONFIGURED = "The request to Plug Chat was refused. Those who run this service know more from its log."
_OWN_FAULT = "Those who run this service know more from its log."
# That of the nearest class counts.
_PROBLEMS: Final[Mapping[type, _Problem]] = {
    RateLimitedError: _Problem(
        429, "Plug Chat is asked too often", "Plug Chat limits how often it may be asked. Try again later."
    ),
    RequestTimeoutError: _Problem(504, "Plug Chat does not answer in time", "Plug Chat is slow. Try again later."),
    ConnectionFailedError: _Problem(502, "Plug Chat can't be reached", "There was no answer. Try again later."),
    ServerError: _Problem(502, "Plug Chat fails", "Plug Chat has a fault of its own. Try again later."),
    ServiceError: _Problem(502, "Plug Chat fails", "Try again later."),
    AuthenticationError: _Problem(502, "Plug Chat refuses the token", _MISCONFIGURED),
    MethodNotAllowedError: _Problem(502, "Plug Chat refuses the method", _MISCONFIGURED),
    UnsupportedMediaTypeError: _Problem(502, "Plug Chat refuses the content type", _MISCONFIGURED),
    RedirectedError: _Problem(502, "Plug Chat redirects", _MISCONFIGURED),
    UnexpectedStatusError: _Problem(502, "Plug Chat gives an unexpected answer", _MISCONFIGURED),
    ResponseError: _Problem(502, "Plug Chat gives an unexpected answer", "What came is no list of chats."),
    PaginationError: _Problem(502, "Plug Chat gives an inconsistent list", "The pages do not make up a list."),
    SessionStateError: _Problem(503, "This service is not ready", "It is starting or ending. Try again later."),
    OutputError: _Problem(500, "This service can't write a file", _OWN_FAULT),
    ConfigurationError: _Problem(500, "This service is misconfigured", _OWN_FAULT),
    PlugChatError: _Problem(500, "This service has failed", _OWN_FAULT),
}


def add_problem_handlers(app: FastAPI) -> None:
    """Let the application answer PlugChatErrors with problem details (RFC 9457, application/problem+json).

    An upstream 429 stays one, and keeps its Retry-After; a timeout is a 504, an upstream fault with Retry-After a 503;
    refusals (401, 403, 405, 415), lost connections and unexpected answers are 502s; a wrong argument or configuration
    is a 500. `type` is the error's page in the documentation. Neither token nor URL nor anything that came from the
    service is in the response: the error's own text goes to the log `plugchat_async.fastapi`, as an error where it is
    the application's fault, else as a warning.
    """
    app.add_exception_handler(PlugChatError, _respond)


async def _respond(request: Request, error: Exception) -> Response:
    assert isinstance(error, PlugChatError), "it is registered for no other"
    problem = _problem_of(error)
    status = problem.status
    headers: dict[str, str] = {}
    retry_after = error.retry_after if isinstance(error, RateLimitedError | ServerError) else None
    if retry_after is not None:
        headers["Retry-After"] = str(math.ceil(min(retry_after, _MOST_RETRY_AFTER)))
        status = 503 if isinstance(error, ServerError) else status
    _log(error, f"{request.method} {request.url.path}", status)
    told = {"type": error.docs_url, "title": problem.title, "status": status, "detail": problem.detail}
    return JSONResponse(told, status, headers, media_type="application/problem+json")


def _problem_of(error: PlugChatError) -> _Problem:
    return next(_PROBLEMS[kind] for kind in type(error).__mro__ if kind in _PROBLEMS)


def _log(error: PlugChatError, where: str, answered: int | str) -> None:
    level = logging.ERROR if isinstance(error, ConfigurationError | OutputError) else logging.WARNING
    fields = {"plugchat_error": type(error).__name__, "plugchat_status": error.status, "plugchat_answered": answered}
    logger.log(level, "%s: %s (answered: %s)", where, error, answered, extra=fields)


class ChatModel(BaseModel):
    """A Chat for FastAPI's schemas: with `response_model=list[ChatModel]` an endpoint may return Chats."""

    model_config = ConfigDict(from_attributes=True)

    phone: str = Field(description="The chat's id: a number, a group's id or a broadcast list's id.")
    name: str | None = Field(None, description="The name given to the chat.")
    unread: int = Field(0, description="How many messages are unread.")
    last_message_time: datetime | None = Field(None, description="When the last message came or went, in UTC.")
    is_muted: bool = Field(False, description="Whether the account's owner has muted the chat.")  # noqa: FBT003 - pydantic's way
    is_marked_spam: bool = Field(False, description="Whether the account's owner has marked the chat as spam.")  # noqa: FBT003
    profile_thumbnail: str | None = Field(
        None, description="URL of the chat's picture. WhatsApp deletes the picture after 48 hours."
    )
    messages_unread: int | None = Field(None, description="Discontinued by the vendor; use `unread`.")


class BrokenStreamError(RuntimeError):
    """A ChatStream could not go on, and was broken off. Raised to the server, which then closes the connection."""


class ChatStream(Response):
    """A response with a chat on each line, as JSON (application/x-ndjson), sent as the chats come.

    walk: `iter_chats(...)` or `iter_pages(...)` of a session. A page goes out as a whole, which costs less.
    status_code, headers: of the response (defaults 200 and none).

    The first chats are fetched before the response begins: an error till then is answered as any other. Later ones are
    logged and break the connection off, so that no client takes half a list for the whole: BrokenStreamError tells the
    server. The walk is closed when the client goes away, also while a page is waited for, and however else it ends.
    """

    media_type = "application/x-ndjson"

    def __init__(
        self,
        walk: AsyncGenerator[Chat, None] | AsyncGenerator[Page, None],
        status_code: int = 200,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(None, status_code, headers)
        # A body that is not there has a length; a stream has none.
        del self.headers["content-length"]
        self._walk = walk

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the response (ASGI)."""
        streaming = asyncio.create_task(self._stream(f"{scope['method']} {scope['path']}", send))
        listening = asyncio.create_task(_until_gone(receive))
        try:
            await asyncio.wait({streaming, listening}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            ended = streaming.done()
            await cancel_all([streaming, listening])
        if ended:
            await streaming  # for its error
        elif not listening.cancelled():
            await listening

    async def _stream(self, where: str, send: Send) -> None:
        started = False
        broken: PlugChatError | None = None
        async with aclosing(self._walk) as walk:
            try:
                async for item in walk:
                    chats = item.chats if isinstance(item, Page) else (item,)
                    lines = "".join(f"{to_json(chat)}\n" for chat in chats)
                    if not started:
                        started = await self._start(send)
                    await send({"type": "http.response.body", "body": lines.encode(), "more_body": True})
            except PlugChatError as error:
                if not started:
                    raise
                broken = error
            except OSError:
                return  # the client is gone: servers of ASGI 2.4 say so
        if broken is not None:
            _log(broken, where, "broken off")
            # Another class, since an exception handler would try to answer what has been answered.
            raise BrokenStreamError(f"the stream was broken off: {broken}") from None
        if not started:
            await self._start(send)
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _start(self, send: Send) -> bool:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        return True


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        """What is left of the request's body does not matter."""
