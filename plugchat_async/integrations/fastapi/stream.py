"""Chats as a FastAPI response: one a line, sent as they come, and no longer than somebody reads them."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing, suppress
from typing import Final

from plugchat_async._extras import needing
from plugchat_async._internal.tasks import cancel_all
from plugchat_async.errors import InvalidValueError, PlugChatError
from plugchat_async.export.rows import to_json
from plugchat_async.integrations.fastapi.problems import log_answer
from plugchat_async.models import Chat, Page

with needing("fastapi", __name__):
    from fastapi.responses import Response
    from starlette.background import BackgroundTask
    from starlette.types import Message, Receive, Scope, Send

# As nginx calls it.
_CLIENT_CLOSED_REQUEST: Final = 499


class BrokenStreamError(RuntimeError):
    """A ChatStream could not go on, and was broken off. Raised to the server, which then closes the connection."""


class _GoneError(Exception):
    """The client is gone: servers of ASGI 2.4 say so when something is sent."""


class ChatStream(Response):
    """A response with a chat on each line, as JSON (application/x-ndjson), sent as the chats come.

    walk: `iter_chats(...)` or `iter_pages(...)` of a session. A page goes out as a whole, which costs less.
    status_code, headers, background: of the response (defaults 200, none, and none).

    The first chats are fetched before the response begins: an error till then is answered as any other. Later ones are
    logged and break the connection off, so that no client takes half a list for the whole: BrokenStreamError tells the
    server, or behind Starlette's middlewares what it says of a body that can't be sent. The walk is closed when the
    client goes away, also while a page is waited for, and however else it ends.

    It is sent once. InvalidValueError, when it is sent, if the walk is over already.
    """

    media_type = "application/x-ndjson"

    def __init__(
        self,
        walk: AsyncGenerator[Chat, None] | AsyncGenerator[Page, None],
        status_code: int = 200,
        headers: Mapping[str, str] | None = None,
        background: BackgroundTask | None = None,
    ) -> None:
        super().__init__(None, status_code, headers, background=background)
        # A body that is not there has a length; a stream has none.
        del self.headers["content-length"]
        self._walk = walk

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the response (ASGI)."""
        if getattr(self._walk, "ag_frame", self) is None:  # a generator that is over has none
            raise InvalidValueError("the walk of a ChatStream is over", "Give each ChatStream a walk of its own.")
        streaming = asyncio.create_task(self._stream(scope, _noticing(send)))
        listening = asyncio.create_task(_until_gone(receive))
        try:
            await asyncio.wait({streaming, listening}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            ended = streaming.done()
            await cancel_all([streaming, listening])
        if ended:
            await streaming  # for its error
        else:
            await listening  # for its error
        if self.background is not None:
            await self.background()

    async def _stream(self, scope: Scope, send: Send) -> None:
        """Send all of it. What goes wrong before its beginning is raised, what comes later breaks it off."""
        started = False

        async def send_started(message: Message) -> None:
            nonlocal started
            if not started:
                started = True
                await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            await send(message)

        async with aclosing(self._walk):
            try:
                if scope["method"] != "HEAD":
                    await self._send_chats(send_started)
                await send_started({"type": "http.response.body", "body": b"", "more_body": False})
            except _GoneError:
                return
            except asyncio.CancelledError:
                if not started:
                    await _give_up(send)
                raise
            except Exception as error:  # the walk may be any generator
                if not started:
                    raise
                broken = error
            else:
                return
        await _break_off(scope, send, broken)

    async def _send_chats(self, send: Send) -> None:
        async for item in self._walk:
            chats = item.chats if isinstance(item, Page) else (item,)
            body = "".join(f"{to_json(chat)}\n" for chat in chats).encode()
            del item, chats  # while the next one is waited for
            await send({"type": "http.response.body", "body": body, "more_body": True})


async def _give_up(send: Send) -> None:
    """Answer a client that is gone: a middleware may wait for a response that nobody will see."""
    with suppress(Exception):
        await send({"type": "http.response.start", "status": _CLIENT_CLOSED_REQUEST, "headers": []})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _break_off(scope: Scope, send: Send, error: Exception) -> None:
    """Let the response end without an end. Not with the error itself, which exception handlers would answer."""
    # Starlette's middlewares end a response properly before they raise what came out of it. So it is made to fail
    # where it is sent: no server takes a text.
    with suppress(Exception):
        await send({"type": "http.response.body", "body": "broken off", "more_body": True})
    if not isinstance(error, PlugChatError):
        raise BrokenStreamError(f"the stream was broken off: {type(error).__name__}") from error
    log_answer(error, scope, "broken off")
    raise BrokenStreamError(f"the stream was broken off: {error}") from None


def _noticing(send: Send) -> Send:
    """Tell a lost client from what else may be an OSError, as a TimeoutError of the walk is."""

    async def send_or_notice(message: Message) -> None:
        try:
            await send(message)
        except OSError:
            raise _GoneError from None

    return send_or_notice


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        """What is left of the request's body does not matter."""
