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
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from typing import Annotated, Any

from litestar import Litestar, Request, Response, get
from litestar.datastructures import State
from litestar.di import NamedDependency, Provide
from litestar.params import Parameter
from litestar.response import Stream

from plugchat_async import (
    Chat,
    NotConnectedError,
    PlugChatError,
    PlugChatSession,
    RateLimitedError,
    RequestTimeoutError,
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


def problem(request: Request[Any, Any, Any], error: PlugChatError) -> Response[dict[str, Any]]:
    """Answer an error with a problem (RFC 9457). Its text is for the log: it may say what the client must not know."""
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
    body = {"type": error.docs_url, "title": title, "status": status}
    return Response(body, status_code=status, media_type="application/problem+json")


@get("/chats")
async def newest(
    plugchat: NamedDependency[PlugChatSession], limit: Annotated[int, Parameter(ge=1, le=1000)] = 20
) -> list[Chat]:
    """Return the chats with the newest messages."""
    return await plugchat.list_chats(limit=limit)


@get("/chats.ndjson")
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
