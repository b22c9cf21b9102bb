"""A response that streams chats, one on each line, and stops when the client disconnects."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing, suppress
from typing import Any, ClassVar, Final

from attrs import frozen
from fastapi.responses import Response
from starlette.background import BackgroundTask
from starlette.types import Message, Receive, Scope, Send

from plugchat_async._internal.tasks import cancel_all
from plugchat_async._items import ListItem
from plugchat_async._pagination.chat_walk import ChatWalk
from plugchat_async.errors import InvalidTypeError, InvalidValueError, PlugChatError
from plugchat_async.export.csv_and_json import to_json
from plugchat_async.integrations.fastapi.log import log_response
from plugchat_async.models import Chat, Page

# The name is nginx's.
_CLIENT_CLOSED_REQUEST: Final = 499


class BrokenStreamError(RuntimeError):
    """A ChatStream has failed after its first chats. It is raised to the server, which then closes the connection."""


class _DisconnectedError(Exception):
    """The client has disconnected. Servers raise an OSError on sending since ASGI 2.4."""


class ChatStream(Response):
    """A response with a chat on each line, as JSON (application/x-ndjson), sent while the chats arrive.

    The first chats are fetched before the response begins, so an error until then is answered like any other. A later
    error is logged and breaks the connection, so that no client takes a partial list for the whole: the server gets a
    BrokenStreamError. The walk is closed at the end, and at once when the client disconnects. A ChatStream can be sent
    once; a second time raises InvalidValueError.

    For another list, derive a class with `item = Contact`: it streams `iter_contacts()`.

    Args:
        walk: `iter_pages(...)`, `iter_chats(...)` or `walk_chats(...)` of a session. Pages cost less: each is sent as a
            whole.
        status_code: The response's status (default 200).
        headers: The response's headers (default None).
        background: A task to run after the response (default None).

    Attributes:
        item: The class of what is streamed: Chat, or in a derived class that of another list.

    Raises:
        InvalidTypeError: `walk` is none, such as a list.
    """

    media_type = "application/x-ndjson"
    item: ClassVar[type[Any]] = Chat

    def __init__(
        self,
        walk: AsyncGenerator[ListItem, None] | AsyncGenerator[Page[Any], None] | ChatWalk[Any],
        status_code: int = 200,
        headers: Mapping[str, str] | None = None,
        background: BackgroundTask | None = None,
    ) -> None:
        if not _is_walk(walk):
            raise InvalidTypeError(
                f"{type(self).__name__} takes a walk, got {type(walk).__name__}",
                "Pass what iter_pages(...), iter_chats(...) or walk_chats(...) returns, without `await`.",
            )
        super().__init__(None, status_code, headers, background=background)
        # Set for the empty body above. The length of a stream is not known.
        del self.headers["content-length"]
        self._walk = walk

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the response (ASGI)."""
        walk = self._walk
        # A finished generator has no frame.
        if walk.ended if isinstance(walk, ChatWalk) else getattr(walk, "ag_frame", self) is None:
            raise InvalidValueError("the walk of this ChatStream has ended", "Pass a new walk to each ChatStream.")
        streaming = asyncio.create_task(self._stream(scope, _reporting_disconnect(send)))
        listening = asyncio.create_task(_until_disconnect(receive))
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
        """Send the response. An error before it has begun is raised; a later one breaks it off."""
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
            except _DisconnectedError:
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
            chats = _chats_of(item)
            for wrong in (chat for chat in chats if not isinstance(chat, self.item)):
                name = type(wrong).__name__
                raise InvalidTypeError(
                    f"{type(self).__name__} streams {self.item.__name__}, got {name}",
                    f"Derive a class from ChatStream with `item = {name}`.",
                )
            body = "".join(f"{to_json(chat)}\n" for chat in chats).encode()
            del item, chats  # not kept in memory while the next one is fetched
            await send({"type": "http.response.body", "body": body, "more_body": True})


def _chats_of(item: Page[Any] | ListItem) -> tuple[Any, ...]:
    return item.chats if isinstance(item, Page) else (item,)


def _is_walk(value: object) -> bool:
    return isinstance(value, AsyncGenerator | ChatWalk)


async def _give_up(send: Send) -> None:
    """Send a response to a client that has disconnected: a middleware may be waiting for one."""
    with suppress(Exception):
        await send({"type": "http.response.start", "status": _CLIENT_CLOSED_REQUEST, "headers": []})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _break_off(scope: Scope, send: Send, error: Exception) -> None:
    """Break the connection, and raise BrokenStreamError. Exception handlers would answer the error itself."""
    ours = isinstance(error, PlugChatError)
    message = f"the stream was broken off: {error if ours else type(error).__name__}"
    # Starlette's middlewares end a response properly before they raise its error. So sending is made to fail.
    with suppress(Exception):
        await send({"type": "http.response.body", "body": _Unsendable(message), "more_body": True})
    if not isinstance(error, PlugChatError):
        raise BrokenStreamError(message) from error
    log_response(error, scope, "broken off")
    raise BrokenStreamError(message) from None


@frozen
class _Unsendable:
    """A body that can't be sent: whoever looks at its length gets a BrokenStreamError, which is then in the log."""

    message: str

    def __len__(self) -> int:
        raise BrokenStreamError(self.message)


def _reporting_disconnect(send: Send) -> Send:
    """Raise _DisconnectedError if sending fails. An OSError could also come from the walk, such as a TimeoutError."""

    async def send_or_disconnect(message: Message) -> None:
        try:
            await send(message)
        except OSError:
            raise _DisconnectedError from None

    return send_or_disconnect


async def _until_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        """The rest of the request's body is ignored."""
