"""Scripted faults that a request gets instead of a correct response."""

import asyncio
import socket
import struct
from collections.abc import Mapping
from typing import Literal, Self

from aiohttp import web
from attrs import evolve, field, frozen

from plugchat_async._internal.validation import check_number

Kind = Literal["none", "answer", "delay", "hang", "close", "reset", "truncate", "raw", "partial"]


@frozen
class Fault:
    """A fault of one request, or with `always` of each. Make it with a class method, for `PlugChatSimulator.script`."""

    kind: Kind
    code: int = 200
    headers: Mapping[str, str] = field(factory=dict[str, str])
    body: bytes = b""
    seconds: float = 0.0
    share: float = 1.0
    lasts: bool = False

    def always(self) -> Self:
        """Return this fault for each request from now on, until the next call of `script` for the same requests."""
        return evolve(self, lasts=True)

    @classmethod
    def none(cls) -> Self:
        """Respond correctly. It takes the place of a request without a fault in a script."""
        return cls("none")

    @classmethod
    def status(cls, code: int, *, headers: Mapping[str, str] | None = None, body: bytes | str = b"") -> Self:
        """Respond with a status, such as 503 with {"Retry-After": "2"}."""
        return cls("answer", code, dict(headers or {}), _to_bytes(body))

    @classmethod
    def answer(cls, body: bytes | str, *, content_type: str = "application/json") -> Self:
        """Respond with 200 and any body: HTML, an object, half a list."""
        return cls("answer", 200, {"Content-Type": content_type}, _to_bytes(body))

    @classmethod
    def delay(cls, seconds: float) -> Self:
        """Respond correctly, after a delay in seconds."""
        return cls("delay", seconds=seconds)

    @classmethod
    def hang(cls) -> Self:
        """Never respond. The request ends when the client disconnects, or with the simulator."""
        return cls("hang")

    @classmethod
    def close(cls) -> Self:
        """Close the connection without a response."""
        return cls("close")

    @classmethod
    def reset(cls) -> Self:
        """Reset the connection (TCP RST) without a response."""
        return cls("reset")

    @classmethod
    def truncate(cls) -> Self:
        """Send the first half of the correct response, and close the connection."""
        return cls("truncate")

    @classmethod
    def raw(cls, data: bytes) -> Self:
        """Send bytes unchanged, HTTP or not, and close the connection."""
        return cls("raw", body=data)

    @classmethod
    def partial(cls, share: float = 0.5) -> Self:
        """Respond as if the list ended after a share of its chats, from 0.0 (an empty list) to 1.0. Default 0.5.

        Raises:
            InvalidValueError: `share` is out of range.
        """
        return cls("partial", share=check_number("share", share, maximum=1))

    async def apply(self, request: web.Request, correct: web.Response) -> web.StreamResponse:
        """Return the response to a request, or end its connection.

        Args:
            request: The request.
            correct: The response without the fault; for "partial", of a part of the list.
        """
        match self.kind:
            case "answer":
                return web.Response(status=self.code, headers=dict(self.headers), body=self.body)
            case "delay":
                await asyncio.sleep(self.seconds)
            case "hang":
                await asyncio.Event().wait()
            case "close" | "raw":
                await _end(request, self.body)
            case "reset":
                await _end(request, reset=True)
            case "truncate":
                await _end(request, _half(correct))
            case "none" | "partial":
                pass
        return correct


def _to_bytes(body: bytes | str) -> bytes:
    return body.encode() if isinstance(body, str) else body


def _half(correct: web.Response) -> bytes:
    body = correct.body if isinstance(correct.body, bytes) else b""
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body) + 1}\r\n\r\n"
    return head.encode() + body[: len(body) // 2]


async def _end(request: web.Request, data: bytes = b"", *, reset: bool = False) -> None:
    """Write bytes to the connection, bypassing aiohttp.web, and end it."""
    transport = request.transport
    assert transport is not None, "a request that is being handled has a connection"
    if reset:
        # With SO_LINGER of 0 seconds, closing a socket sends RST instead of FIN.
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
    else:
        transport.write(data)
        transport.close()
    # aiohttp.web cancels the handler of a closed connection, so there is nothing to return.
    await asyncio.Event().wait()
