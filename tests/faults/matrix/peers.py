"""Servers that misbehave, byte for byte, until they are healed."""

import asyncio
import functools
import json
import re
import socket
import ssl
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any, Literal, TypeVar

import trustme

from support.fakes import Handler, RawServer, http, reset

TOKEN = "s3cr3t-t0ken-that-nobody-may-see"
HONEST = http(b'[{"phone":"5511999999999"}]')

End = Literal["close", "reset", "hang", "keep"]


@functools.cache
def authority() -> trustme.CA:
    """Return the CA that sessions of the matrix trust."""
    return trustme.CA()


def trust(ca: trustme.CA) -> ssl.SSLContext:
    """Return a client's TLS context that trusts a CA."""
    context = ssl.create_default_context()
    ca.configure_trust(context)
    return context


def server_tls(ca: trustme.CA, host: str = "localhost", **options: Any) -> ssl.SSLContext:
    """Return a server's TLS context, with a certificate for `host`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert(host, **options).configure_cert(context)
    return context


def expired() -> ssl.SSLContext:
    """Return a server's TLS context, with a certificate that expired in 2020."""
    return server_tls(
        authority(), not_before=datetime(2020, 1, 1, tzinfo=UTC), not_after=datetime(2020, 12, 31, tzinfo=UTC)
    )


def self_signed() -> ssl.SSLContext:
    """Return a server's TLS context, with a self-signed certificate."""
    ca = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with ca.cert_pem.tempfile() as certificate, ca.private_key_pem.tempfile() as key:
        context.load_cert_chain(certificate, key)
    return context


class Peer:
    """A server on one port. It misbehaves until it is healed; then it answers with a page of one chat.

    Args:
        trouble: Called after the headers of a request were read. None: the port is closed.
        raw: Called on a new connection before anything is read, instead of `trouble`.
        tls: The TLS context before it is healed.
        https: Whether clients use https; the healed server does too.
    """

    def __init__(
        self,
        trouble: Handler | None = None,
        *,
        raw: Handler | None = None,
        tls: ssl.SSLContext | None = None,
        https: bool = False,
    ) -> None:
        self.trouble = trouble
        self.raw = raw
        self.tls = tls
        self.https = https
        self.healed = False
        self.port = 0
        self.server: RawServer | None = None
        self._raw_server: asyncio.Server | None = None
        self._raw_connections = 0

    @property
    def base_url(self) -> str:
        return f"{'https' if self.https else 'http'}://localhost:{self.port}"

    @property
    def connections(self) -> int:
        return self._raw_connections + (self.server.connections if self.server else 0)

    @property
    def requests(self) -> list[bytes]:
        return self.server.requests if self.server else []

    async def start(self) -> None:
        """Listen, or leave the port closed."""
        if self.raw is not None:
            self._raw_server = await asyncio.start_server(self._misbehave, "127.0.0.1", 0)
            self.port = self._raw_server.sockets[0].getsockname()[1]
            return
        await self._listen(self.tls)
        if self.trouble is None and self.tls is None:
            await self.stop()

    async def heal(self) -> None:
        """Answer honestly from now on, over the same connections if they work."""
        self.healed = True
        if self.trouble is None or self.tls is not None or self.raw is not None:
            await self.stop()
            await self._listen(server_tls(authority()) if self.https else None)

    async def stop(self) -> None:
        """Close the port, and all connections."""
        if self._raw_server is not None:
            self._raw_server.close()
            self._raw_server = None
        if self.server is not None:
            server, self.server = self.server, None
            await server.__aexit__(None, None, None)

    async def _listen(self, context: ssl.SSLContext | None) -> None:
        self.server = await RawServer(self._handle, ssl_context=context, port=self.port).__aenter__()
        self.port = self.server.port

    async def _handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.healed or self.trouble is None:
            writer.write(HONEST)
        else:
            await self.trouble(reader, writer)

    async def _misbehave(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._raw_connections += 1
        assert self.raw is not None
        try:
            await self.raw(reader, writer)
        except (ConnectionError, asyncio.CancelledError):
            return  # the client has disconnected, or the row is over
        finally:
            writer.close()


def sends(*pieces: bytes, end: End = "close") -> Handler:
    """Return a handler that writes these bytes, and then closes, resets, hangs or keeps the connection."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        if end == "close":
            writer.close()
        elif end == "reset":
            await asyncio.sleep(0)  # the bytes are sent first
            reset(writer)
        elif end == "hang":
            await until_gone(reader)

    return handler


async def until_gone(reader: asyncio.StreamReader) -> None:
    """Wait until the client closes the connection."""
    while await reader.read(65536):
        pass
    raise ConnectionResetError


def endlessly(head: bytes, piece: bytes, *, seconds: float = 0.0) -> Handler:
    """Return a handler that writes a head, and then the same piece every `seconds`, without end."""

    async def handler(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        while not writer.is_closing():
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(seconds)
        raise ConnectionResetError

    return handler


def in_turn(*handlers: Handler) -> Handler:
    """Return a handler that uses the first handler for the first request, and the last one for all others."""
    left = list(handlers)

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await (left.pop(0) if len(left) > 1 else left[0])(reader, writer)

    return handler


def status(line: str, *headers: str, body: str = "") -> Handler:
    """Return a handler that answers with this status, keeps the connection, and echoes the token."""
    echo = f"{body}you sent {TOKEN}".encode()
    return sends(http(echo, *headers, f"X-Echo: {TOKEN}", status=line), end="keep")


def chat(number: int, **changed: object) -> dict[str, object]:
    """Return a chat; smaller numbers are newer."""
    return {"phone": str(number), "lastMessageTime": str(2_000_000_000 - number), **changed}


class PagesPeer(Peer):
    """A server whose answer is the result of a function of page and pageSize: chats, any JSON, or bytes.

    pages: the function. Bytes that begin with "HTTP/" are the whole answer. status: the answer to the call for the
    account's status.
    """

    def __init__(self, pages: Callable[[int, int], object], status: bytes = http(b"", status="404 Not Found")) -> None:
        super().__init__(self._page)
        self._pages = pages
        self._status = status

    async def _page(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        found = re.match(rb"GET \S*[?]page=([0-9]+)&pageSize=([0-9]+) ", self.requests[-1])
        if found is None:
            writer.write(self._status)
            return
        given = self._pages(int(found[1]), int(found[2]))
        if isinstance(given, bytes) and given.startswith(b"HTTP/"):
            writer.write(given)
        else:
            writer.write(http(given if isinstance(given, bytes) else json.dumps(given).encode()))


T = TypeVar("T")


def window(chats: Iterable[T], page: int, size: int) -> list[T]:
    """Return the page of an honest server."""
    return list(chats)[(page - 1) * size : page * size]


class NamelessPeer(Peer):
    """A server whose host name can't be resolved."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self._number = number
        self._loop: Any = None

    async def start(self) -> None:
        await super().start()
        self._loop = asyncio.get_running_loop()
        # An instance's attribute hides the class's method. No real name is resolved: this machine may be offline,
        # and its resolver may be slow.
        self._loop.getaddrinfo = self._look_up

    async def heal(self) -> None:
        self._restore()
        await super().heal()

    async def stop(self) -> None:
        if self.healed:
            self._restore()
        await super().stop()

    def _restore(self) -> None:
        if self._loop is not None:
            vars(self._loop).pop("getaddrinfo", None)

    async def _look_up(self, *_: object, **__: object) -> Any:
        raise socket.gaierror(self._number, "as a resolver says it")
