"""A real HTTP proxy on loopback, and servers behind it that only it can reach by their names."""

import asyncio
import ssl
from base64 import b64encode
from types import TracebackType
from typing import Self

import trustme

# A name that only the proxy knows. Requests to loopback go to no proxy.
HOST = "plugchat.example"
BASE_URL = f"https://{HOST}"
CREDENTIALS = "user:hunter2"


def tls_of(authority: trustme.CA, host: str = HOST) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """The TLS settings of a server with this name, and of a client that trusts it."""
    served, trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert(host).configure_cert(served)
    authority.configure_trust(trusting)
    return served, trusting


class TcpServer:
    """A server on loopback, at `port`, whose connections are served each in a task, and end with it."""

    def __init__(self, ssl_context: ssl.SSLContext | None = None) -> None:
        self._ssl_context = ssl_context
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=self._ssl_context)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self.serve(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            return  # the client, or the test, is done
        finally:
            self._tasks.discard(task)
            writer.close()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve a connection."""
        raise NotImplementedError


class ConnectProxy(TcpServer):
    """Answers CONNECT: with a tunnel to `port`, whatever the host, or, to wrong credentials, with 407.

    Args:
        port: The port on loopback that tunnels lead to.
        credentials: The user name and the password that it wants, or None.
        refuse: The status line to refuse all tunnels with, or None.
        ssl_context: The TLS settings of a proxy that is reached by https, or None.
    """

    def __init__(
        self,
        port: int = 0,
        *,
        credentials: str | None = CREDENTIALS,
        refuse: str | None = None,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        super().__init__(ssl_context)
        self._upstream = port
        self.credentials = credentials
        self.refuse = refuse
        self.heads: list[str] = []
        self.refused = 0

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def url(self, credentials: str = CREDENTIALS, scheme: str = "http") -> str:
        return f"{scheme}://{credentials}@{self.address}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve a connection: its first request, and the tunnel."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.heads.append(head)
        status = self.refuse
        if self.credentials is not None:
            wanted = f"proxy-authorization: basic {b64encode(self.credentials.encode()).decode()}\r\n".lower()
            if wanted not in head.lower():
                status = "407 Proxy Authentication Required"
                self.refused += 1
        if status is not None:
            writer.write(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode())
            await writer.drain()
            return
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._upstream)
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await asyncio.gather(_pour(reader, far_writer), _pour(far_reader, writer))


async def _pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    finally:
        writer.close()
