"""What a scripted request meets instead of an honest answer."""

import asyncio
import socket
import struct
from collections.abc import Mapping
from typing import Literal, Self

from aiohttp import web
from attrs import field, frozen

Kind = Literal["none", "answer", "delay", "hang", "close", "reset", "truncate", "raw"]


@frozen
class Fault:
    """One request's fate. Make one with a class method, and give them to `PlugChatSimulator.script` in order."""

    kind: Kind
    code: int = 200
    headers: Mapping[str, str] = field(factory=dict[str, str])
    body: bytes = b""
    seconds: float = 0.0

    @classmethod
    def none(cls) -> Self:
        """No fault: the request is answered honestly. It fills a place in a script."""
        return cls("none")

    @classmethod
    def status(cls, code: int, *, headers: Mapping[str, str] | None = None, body: bytes | str = b"") -> Self:
        """Answer with a status, such as 503 with {"Retry-After": "2"}."""
        return cls("answer", code, dict(headers or {}), _to_bytes(body))

    @classmethod
    def answer(cls, body: bytes | str, *, content_type: str = "application/json") -> Self:
        """Answer 200 with a body of any kind: HTML, an object, half a list."""
        return cls("answer", 200, {"Content-Type": content_type}, _to_bytes(body))

    @classmethod
    def delay(cls, seconds: float) -> Self:
        """Answer honestly, but so many seconds late."""
        return cls("delay", seconds=seconds)

    @classmethod
    def hang(cls) -> Self:
        """Never answer. It ends when the client gives up, or with the simulator."""
        return cls("hang")

    @classmethod
    def close(cls) -> Self:
        """Close the connection without an answer."""
        return cls("close")

    @classmethod
    def reset(cls) -> Self:
        """Reset the connection (TCP RST) without an answer."""
        return cls("reset")

    @classmethod
    def truncate(cls) -> Self:
        """Begin to answer 200 with the honest body, and close the connection in the middle of it."""
        return cls("truncate")

    @classmethod
    def raw(cls, data: bytes) -> Self:
        """Put bytes on the connection as they are, HTTP or not, and close it."""
        return cls("raw", body=data)

    async def apply(self, request: web.Request, honest: web.Response) -> web.StreamResponse:
        """Give the response for `request`, or end its connection. `honest` is what it would have been answered."""
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
                await _end(request, _half(honest))
            case "none":
                pass
        return honest


def _to_bytes(body: bytes | str) -> bytes:
    return body.encode() if isinstance(body, str) else body


def _half(honest: web.Response) -> bytes:
    body = honest.body if isinstance(honest.body, bytes) else b""
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body) + 1}\r\n\r\n"
    return head.encode() + body[: len(body) // 2]


async def _end(request: web.Request, data: bytes = b"", *, reset: bool = False) -> None:
    """Write `data` past aiohttp.web and end the connection."""
    transport = request.transport
    assert transport is not None, "a request that is being handled has a connection"
    if reset:
        # To linger for no seconds is how a socket is told to send RST instead of FIN.
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
    else:
        transport.write(data)
        transport.close()
    # aiohttp.web cancels a handler whose connection is gone; there is nothing left to answer.
    await asyncio.Event().wait()
