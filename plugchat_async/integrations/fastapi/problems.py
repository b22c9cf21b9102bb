"""What a FastAPI application answers instead of a PlugChatError: problem details (RFC 9457)."""

import logging
import math
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Final, cast
from urllib.parse import quote

from attrs import frozen

from plugchat_async._extras import needing
from plugchat_async.errors import (
    AccessDeniedError,
    AuthenticationError,
    ConfigurationError,
    ConnectionFailedError,
    MethodNotAllowedError,
    NotConnectedError,
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

with needing("fastapi", __name__):
    from fastapi import FastAPI, Request
    from fastapi.responses import JSONResponse, Response
    from starlette.types import Scope
    from starlette.websockets import WebSocket

logger = logging.getLogger("plugchat_async.fastapi")

_INTERNAL_ERROR: Final = 1011
# Seconds; what asks for more is as good as "not today".
_MAX_RETRY_AFTER: Final = 86_400


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
    NotConnectedError: _Problem(
        503, "The phone is not connected to WhatsApp", "Plug Chat needs the account's phone. Try again later."
    ),
    ServiceError: _Problem(502, "Plug Chat fails", "Try again later."),
    AccessDeniedError: _Problem(502, "Plug Chat refuses this service's address", _MISCONFIGURED),
    AuthenticationError: _Problem(502, "Plug Chat refuses the token", _MISCONFIGURED),
    MethodNotAllowedError: _Problem(502, "Plug Chat refuses the method", _MISCONFIGURED),
    UnsupportedMediaTypeError: _Problem(502, "Plug Chat refuses the content type", _MISCONFIGURED),
    RedirectedError: _Problem(502, "Plug Chat redirects", _MISCONFIGURED),
    UnexpectedStatusError: _Problem(502, "Plug Chat gives an unexpected answer", _MISCONFIGURED),
    ResponseError: _Problem(502, "Plug Chat gives an unexpected answer", "What came is no list of chats."),
    PaginationError: _Problem(502, "Plug Chat gives an inconsistent list", "The pages do not make up a list."),
    SessionStateError: _Problem(
        503, "This service is not ready", "It has no open session, as when it is starting or ending. Try again later."
    ),
    OutputError: _Problem(500, "This service can't write a file", _OWN_FAULT),
    ConfigurationError: _Problem(500, "This service is misconfigured", _OWN_FAULT),
    PlugChatError: _Problem(500, "This service has failed", _OWN_FAULT),
}


def add_problem_handlers(app: FastAPI) -> None:
    """Let the application answer PlugChatErrors with problem details (RFC 9457, application/problem+json).

    An upstream 429 stays one, and keeps its Retry-After; a timeout is a 504, an upstream fault with Retry-After a 503;
    a phone that is not connected is a 503; refusals (401, 403, 405, 415), lost connections and unexpected answers are
    502s; a wrong argument or configuration is a 500. `type` is the error's page in the documentation. Neither token nor
    URL nor anything that came from the service is in the response: the error's own text goes to the log
    `plugchat_async.fastapi`, as an error where it is the application's fault, else as a warning. A websocket is closed
    with 1011, "internal error" (RFC 6455).

    Mounted applications have handlers of their own: call it for them, too.
    """
    # Starlette calls it for websockets, too, and does nothing with what it gives for them.
    app.add_exception_handler(PlugChatError, cast("Callable[[Request, Exception], Awaitable[Response]]", _respond))


async def _respond(connection: Request | WebSocket, error: Exception) -> Response | None:
    assert isinstance(error, PlugChatError), "it is registered for no other"
    problem = _problem_of(error)
    status = problem.status
    headers: dict[str, str] = {}
    retry_after = error.retry_after if isinstance(error, RateLimitedError | ServerError) else None
    if retry_after is not None:
        headers["Retry-After"] = str(math.ceil(min(retry_after, _MAX_RETRY_AFTER)))
        status = 503 if isinstance(error, ServerError) else status
    if isinstance(connection, WebSocket):
        log_answer(error, connection.scope, "closed")
        with suppress(RuntimeError):  # it may be closed already
            await connection.close(_INTERNAL_ERROR)
        return None
    log_answer(error, connection.scope, status)
    told = {"type": error.docs_url, "title": problem.title, "status": status, "detail": problem.detail}
    return JSONResponse(told, status, headers, media_type="application/problem+json")


def _problem_of(error: PlugChatError) -> _Problem:
    return next(_PROBLEMS[kind] for kind in type(error).__mro__ if kind in _PROBLEMS)


def log_answer(error: PlugChatError, scope: Scope, answered: int | str) -> None:
    """Write down an error whose text is for operators, and what became of the request."""
    level = logging.ERROR if isinstance(error, ConfigurationError | OutputError) else logging.WARNING
    fields = {"plugchat_error": type(error).__name__, "plugchat_status": error.status, "plugchat_answered": answered}
    # Quoted, since a path may hold the end of a line.
    where = f"{scope.get('method', scope['type'])} {quote(scope['path'])}"
    logger.log(level, "%s: %s (answered: %s)", where, error, answered, extra=fields)
