"""Responses for PlugChatErrors: problem details (RFC 9457)."""

import math
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Final, cast

from attrs import evolve, frozen
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from starlette.websockets import WebSocket

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
from plugchat_async.integrations.fastapi.dependencies import UnknownAccountError, is_stopping
from plugchat_async.integrations.fastapi.log import log_response
from plugchat_async.integrations.fastapi.openapi import describe

_INTERNAL_ERROR: Final = 1011
# A day, in seconds. Longer waits are cut.
_MAX_RETRY_AFTER: Final = 86_400


@frozen
class _Problem:
    """A response for the application's own client, without the details that only its operators need."""

    status: int
    title: str
    detail: str


_SEE_LOG = "Details are in the server's log."
_REFUSED = f"Plug Chat refused the request. {_SEE_LOG}"
# For each error, the problem of its nearest class applies.
_PROBLEMS: Final[Mapping[type, _Problem]] = {
    RateLimitedError: _Problem(
        429, "Too many requests to Plug Chat", "Plug Chat limits the number of requests. Try again later."
    ),
    RequestTimeoutError: _Problem(504, "Plug Chat timed out", "Plug Chat is slow. Try again later."),
    ConnectionFailedError: _Problem(502, "Plug Chat can't be reached", "The connection failed. Try again later."),
    ServerError: _Problem(502, "Plug Chat has failed", "Plug Chat has an internal error. Try again later."),
    NotConnectedError: _Problem(
        503, "The phone is not connected to WhatsApp", "Plug Chat needs the account's phone. Try again later."
    ),
    ServiceError: _Problem(502, "Plug Chat has failed", "Try again later."),
    AccessDeniedError: _Problem(502, "Plug Chat refused this service's address", _REFUSED),
    AuthenticationError: _Problem(502, "Plug Chat refused the token", _REFUSED),
    MethodNotAllowedError: _Problem(502, "Plug Chat refused the method", _REFUSED),
    UnsupportedMediaTypeError: _Problem(502, "Plug Chat refused the content type", _REFUSED),
    RedirectedError: _Problem(502, "Plug Chat redirected the request", _REFUSED),
    UnexpectedStatusError: _Problem(502, "Unexpected response from Plug Chat", _REFUSED),
    ResponseError: _Problem(502, "Unexpected response from Plug Chat", "The response is not what Plug Chat documents."),
    PaginationError: _Problem(502, "Inconsistent list from Plug Chat", "The pages do not make up a list."),
    OutputError: _Problem(500, "This service can't write a file", _SEE_LOG),
    ConfigurationError: _Problem(500, "This service is misconfigured", _SEE_LOG),
    PlugChatError: _Problem(500, "This service has failed", _SEE_LOG),
}
_STOPPING: Final = _Problem(503, "This service is stopping", "Its session is closed. Try again later.")


def add_problem_handlers(app: FastAPI) -> None:
    """Make the application respond to PlugChatErrors with problem details (RFC 9457, application/problem+json).

    - 429, with its Retry-After: rate limited.
    - 404: the path names an account that does not exist, for `PlugChatAccountDep`.
    - 500: a wrong argument or configuration, a session that is not open, or a file that can't be written.
    - 502: a refusal (401, 403, 405, 415), a lost connection, an unexpected response, or an upstream fault.
    - 503: an upstream fault with a Retry-After, a phone that is not connected, or an application that is stopping.
    - 504: a timeout.

    `type` is the error's page in the documentation. The response holds neither token nor URL nor anything from the
    service. The error's own text goes to the logger `plugchat_async.fastapi`, as an error if it is the application's
    fault, otherwise as a warning. A websocket is closed with 1011, "internal error" (RFC 6455).

    The OpenAPI document describes 429, 502, 503 and 504 for endpoints that depend on a session or return a ChatStream,
    except for statuses that an endpoint describes in its own `responses`.

    Mounted applications have handlers of their own: call this for each of them.
    """
    # Starlette also calls it for websockets, and ignores its result there.
    app.add_exception_handler(PlugChatError, cast("Callable[[Request, Exception], Awaitable[Response]]", _respond))
    app.add_exception_handler(
        UnknownAccountError, cast("Callable[[Request, Exception], Awaitable[Response]]", _respond_not_found)
    )
    describe(app)


async def _respond_not_found(_: Request, error: Exception) -> Response:
    assert isinstance(error, UnknownAccountError), "it is registered for these only"
    return _response(_Problem(error.status_code, "Not Found", error.detail), "about:blank")


async def _respond(connection: Request | WebSocket, error: Exception) -> Response | None:
    assert isinstance(error, PlugChatError), "it is registered for these only"
    stopping = isinstance(error, SessionStateError) and is_stopping(connection)
    problem = _STOPPING if stopping else _problem_of(error)
    headers: dict[str, str] = {}
    retry_after = error.retry_after if isinstance(error, RateLimitedError | ServerError) else None
    if retry_after is not None:
        headers["Retry-After"] = str(math.ceil(min(retry_after, _MAX_RETRY_AFTER)))
        problem = evolve(problem, status=503) if isinstance(error, ServerError) else problem
    if isinstance(connection, WebSocket):
        log_response(error, connection.scope, "closed")
        with suppress(RuntimeError):  # it may be closed
            await connection.close(_INTERNAL_ERROR)
        return None
    log_response(error, connection.scope, problem.status)
    return _response(problem, error.docs_url, headers)


def _response(problem: _Problem, kind: str, headers: Mapping[str, str] | None = None) -> Response:
    body = {"type": kind, "title": problem.title, "status": problem.status, "detail": problem.detail}
    return JSONResponse(body, problem.status, headers, media_type="application/problem+json")


def _problem_of(error: PlugChatError) -> _Problem:
    return next(_PROBLEMS[kind] for kind in type(error).__mro__ if kind in _PROBLEMS)
