"""Stand-ins for time and for misbehaving servers."""

import asyncio
import socket
import ssl
import struct
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from traceback import walk_tb
from types import TracebackType
from typing import Any, Self, TypeVar

import pytest

from plugchat_async import Clock
from plugchat_async.testing import PlugChatSimulator

T = TypeVar("T")
# For tests of what only a list can show whose chats all have a time: its order, and what a walk makes of that.
DOCUMENTED = pytest.mark.parametrize("sim", ["documented"], indirect=True)
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class FakeTime:
    """A clock that only sleeping moves. `sleeps` lists the waits; chance is always 0.5."""

    def __init__(self) -> None:
        self.now = 0.0
        self.sleeps: list[float] = []
        self.clock = Clock(
            monotonic=lambda: self.now, time=lambda: 1_000_000_000.0, sleep=self._sleep, random=lambda: 0.5
        )

    async def _sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock jumps to the next timer when there is nothing else to do. For code without sockets."""

    _now = 0.0

    def time(self) -> float:
        return self._now

    def _run_once(self) -> None:
        handles: Any = self
        if not handles._ready:
            times = [timer.when() for timer in handles._scheduled if not timer.cancelled()]
            # As on a real clock some time passes: else a timer that is set again for a rounding error never ends.
            self._now = max(self._now + 1e-9, min(times, default=self._now))
        run_once: Callable[[], None] = getattr(super(), "_run_once")  # noqa: B009 - it is private
        run_once()


def run_apart(main: Coroutine[Any, Any, T], *, virtually: bool = False) -> T:
    """Run in an event loop of its own, in a thread of its own: pytest-asyncio keeps one for this thread.

    virtually: let its clock jump, so that nothing is waited for.
    """

    def run() -> T:
        with asyncio.Runner(loop_factory=VirtualLoop if virtually else None) as runner:
            return runner.run(main)

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(run).result()


class RawServer:
    """A byte-exact server on loopback that counts connections and requests.

    `handler` is called for each request, after its head was read; the connection closes when it returns.
    """

    def __init__(self, handler: Handler, *, ssl_context: ssl.SSLContext | None = None, port: int = 0) -> None:
        self._handler = handler
        self._ssl_context = ssl_context
        self._port = port
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.connections = 0
        self.requests: list[bytes] = []

    @property
    def port(self) -> int:
        assert self._server is not None
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    @property
    def base_url(self) -> str:
        return f"{'https' if self._ssl_context else 'http'}://localhost:{self.port}"

    @property
    def open_connections(self) -> int:
        return len(self._tasks)

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._accept, "127.0.0.1", self._port, ssl=self._ssl_context)
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self) -> asyncio.StreamReaderProtocol:
        self.connections += 1  # before the TLS handshake, which may fail
        return asyncio.StreamReaderProtocol(asyncio.StreamReader(), self._serve)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            while not writer.is_closing():
                self.requests.append(await reader.readuntil(b"\r\n\r\n"))
                await self._handler(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            return  # the client, or the test, is done
        finally:
            self._tasks.discard(task)
            writer.close()


def reset(writer: asyncio.StreamWriter) -> None:
    """End a connection with RST instead of FIN."""
    # To linger for no seconds is how a socket is told so.
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def http(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    """Give a whole HTTP/1.1 response."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode("latin-1") + body


def answering(*answers: bytes, close: bool = True) -> Handler:
    """Answer with these bytes in turn, the last one again and again. `close` ends the connection after each."""
    left = list(answers)

    async def handler(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(left.pop(0) if len(left) > 1 else left[0])
        await writer.drain()
        if close:
            writer.close()

    return handler


def what_frames_show(error: BaseException) -> str:
    """Give the locals of the package's frames, as a traceback that shows locals has them."""
    frames = [frame for frame, _ in walk_tb(error.__traceback__) if "plugchat_async/" in frame.f_code.co_filename]
    assert frames
    return repr([frame.f_locals for frame in frames])


def keep_few(sim: PlugChatSimulator) -> None:
    """Delete all chats but the first 60."""
    for chat in sim.chats[60:]:
        sim.delete_chat(chat)


def move_too_fast(sim: PlugChatSimulator) -> None:
    """Let the list grow faster than a walk in pages of five can follow. Of few chats, so that it soon gives up."""
    keep_few(sim)
    sim.traffic(inserts=2.5, seed=1)


@contextmanager
def served(sim: PlugChatSimulator) -> Iterator[PlugChatSimulator]:
    """Run a simulator in a thread, for commands that have an event loop of their own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(sim.__aenter__(), loop).result(10)
        try:
            yield sim
        finally:
            asyncio.run_coroutine_threadsafe(sim.__aexit__(None, None, None), loop).result(10)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
