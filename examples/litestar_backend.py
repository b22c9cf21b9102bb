"""A backend with Litestar: one session for all requests, problem responses, and chats as a stream.

Try it on a simulated account:

    plugchat simulate --chats 500                   # in one terminal; it prints two lines with variables
    export PLUGCHAT_BASE_URL=... PLUGCHAT_TOKEN=... # in another one
    pip install "litestar[standard]"
    litestar --app litestar_backend:app run         # in this folder
    curl http://127.0.0.1:8000/chats.ndjson
"""

import json
import logging
import math
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, Any

from litestar import Litestar, Request, Response, get
from litestar.datastructures import State
from litestar.di import NamedDependency, Provide
from litestar.openapi import ResponseSpec
from litestar.params import Parameter
from litestar.response import Stream

from plugchat_async import (
    Chat,
    NotConnectedError,
    PlugChatError,
    PlugChatSession,
    RateLimitedError,
    RequestTimeoutError,
    ServerError,
    ServiceError,
)

logger = logging.getLogger(__name__)


@asynccontextmanager
async def lifespan(app: Litestar) -> AsyncGenerator[None]:
    """Open the session at startup, and close it at shutdown."""
    async with PlugChatSession.from_env() as plugchat:
        app.state.plugchat = plugchat
        yield


async def provide_plugchat(state: State) -> PlugChatSession:
    """Return the application's session."""
    session: PlugChatSession = state.plugchat
    return session


@dataclass
class Problem:
    """Why a request could not be answered (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str


PROBLEMS = {
    status: ResponseSpec(
        Problem, description=description, media_type="application/problem+json", generate_examples=False
    )
    for status, description in {
        429: "Plug Chat limits the number of requests.",
        502: "Plug Chat can't be reached, has failed, or has refused the request.",
        503: "The account's phone is not connected to WhatsApp.",
        504: "Plug Chat timed out.",
    }.items()
}


def problem(request: Request[Any, Any, Any], error: PlugChatError) -> Response[Problem]:
    """Answer an error with a problem. Its text is for the log: it may say what the client must not know."""
    logger.warning("%s %r: %s", request.method, request.url.path, error)
    if isinstance(error, RateLimitedError):
        status, title = 429, "Too many requests to Plug Chat"
    elif isinstance(error, RequestTimeoutError):
        status, title = 504, "Plug Chat timed out"
    elif isinstance(error, NotConnectedError):
        status, title = 503, "The phone is not connected to WhatsApp"
    elif isinstance(error, ServiceError) or error.status is not None:
        status, title = 502, "Plug Chat has failed or refused the request"
    else:
        status, title = 500, "This service has failed"
    after = error.retry_after if isinstance(error, RateLimitedError | ServerError) else None
    headers = {} if after is None else {"Retry-After": str(math.ceil(min(after, 86_400)))}  # a day at most
    detail = "Try again later." if isinstance(error, ServiceError) else "Details are in the server's log."
    body = Problem(error.docs_url, title, status, detail)
    return Response(body, status_code=status, media_type="application/problem+json", headers=headers)


@get("/chats", responses=PROBLEMS)
async def newest(
    plugchat: NamedDependency[PlugChatSession], limit: Annotated[int, Parameter(ge=1, le=1000)] = 20
) -> list[Chat]:
    """Return the chats with the newest messages."""
    return await plugchat.list_chats(limit=limit)


@get(
    "/chats.ndjson",
    media_type="application/x-ndjson",
    responses=PROBLEMS | {200: ResponseSpec(Chat, description="A chat a line.", media_type="application/x-ndjson")},
)
async def every_chat(plugchat: NamedDependency[PlugChatSession]) -> Stream:
    """Stream all chats, one a line."""
    pages = plugchat.iter_pages(prefetch=1)
    first = await anext(pages, None)  # an error until here is a problem; a later one breaks the connection

    async def lines() -> AsyncGenerator[str]:
        async with aclosing(pages):
            page = first
            while page is not None:
                yield "".join(f"{json.dumps(chat.to_dict())}\n" for chat in page.chats)
                page = await anext(pages, None)

    return Stream(lines(), media_type="application/x-ndjson")


app = Litestar(
    [newest, every_chat],
    lifespan=[lifespan],
    dependencies={"plugchat": Provide(provide_plugchat)},
    exception_handlers={PlugChatError: problem},
)
