"""Programs that are not ours, on loopback: nginx and prism as processes, and a TCP proxy that spoils connections.

A test that needs a program which is not there is skipped with "needs …". Where PLUGCHAT_REQUIRE_PEERS is 1 it fails
instead: a machine that is to run all tests can't lose some of them unnoticed.
"""

import asyncio
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import chain, repeat
from pathlib import Path
from typing import NamedTuple, TypeVar

import pytest

from support.fakes import reset
from support.proxies import TcpServer

T = TypeVar("T")

# For a machine that is busy with other things; nothing waits so long where all is well.
PATIENCE = 30.0


def program(name: str) -> str:
    """Give the path of a program: what PLUGCHAT_<NAME> says, or what is on PATH or in /usr/sbin."""
    # Debian has its servers in /usr/sbin, which is on root's PATH alone.
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin"])
    found = shutil.which(os.environ.get(f"PLUGCHAT_{name.upper()}") or name, path=path)
    if found is not None:
        return found
    if os.environ.get("PLUGCHAT_REQUIRE_PEERS") == "1":
        pytest.fail(f"needs {name}")
    pytest.skip(f"needs {name}")


class Peer:
    """A program in the background, in a process group of its own. What it prints goes into the file `log`."""

    def __init__(
        self, command: Sequence[str | Path], log: Path, *, env: Mapping[str, str], fds: Sequence[int] = ()
    ) -> None:
        self.log = log
        self._name = str(command[0])
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**os.environ, **env},
                pass_fds=fds,
                start_new_session=True,
            )
        self.pid = self._process.pid

    def wait_for(self, what: Callable[[], T | None]) -> T:
        """Wait until `what` gives something, while the program runs."""
        end = time.monotonic() + PATIENCE
        while (result := what()) is None:
            status = self._process.poll()
            if status is not None or time.monotonic() > end:
                self.stop()
                state = "did not get so far" if status is None else f"ended with status {status}"
                pytest.fail(f"{self._name} {state}:\n{self.log.read_text(errors='replace')}")
            time.sleep(0.002)
        return result

    def stop(self, gently: signal.Signals = signal.SIGTERM) -> None:
        """End the program and whatever it has started, with a signal first. Stopping it twice does no harm."""
        if self._process.poll() is None:
            self._process.send_signal(gently)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(10)
        # Children that have outlived it are still in its group.
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()


class Logged(NamedTuple):
    """A request, as nginx's access log has it. `nth`: which request of its connection it is, from 1."""

    worker: str
    port: str
    connection: str
    nth: str
    method: str
    uri: str
    status: str
    protocol: str
    tls: str
    encoding: str
    gzip_ratio: str


_NGINX = """
daemon off;
worker_processes 1;
worker_shutdown_timeout 5s;
@user@
pid @folder@/nginx.pid;
error_log @folder@/error.log info;
events { worker_connections 256; }
http {
    log_format peers "$pid\t$server_port\t$connection\t$connection_requests\t$request_method\t$request_uri\t$status\t"
                     "$server_protocol\t$ssl_protocol\t$sent_http_content_encoding\t$gzip_ratio";
    access_log @folder@/access.log peers;
    client_body_temp_path @folder@/client_body;
    proxy_temp_path @folder@/proxy;
    fastcgi_temp_path @folder@/fastcgi;
    uwsgi_temp_path @folder@/uwsgi;
    scgi_temp_path @folder@/scgi;
    @http@
}
"""


class Nginx:
    """An nginx with one worker, as root or not, all of whose files are in `folder`.

    http: what is inside its `http` block. @name@ stands for an address there: one that nginx listens on, if it is among
        `listens`, else one of `addresses`. @folder@ is the folder.
    """

    def __init__(self, folder: Path, http: str, *, listens: Sequence[str], addresses: Mapping[str, str]) -> None:
        self._folder = folder
        self._ports: dict[str, int] = dict.fromkeys(listens, 0)
        self._http = http
        self._addresses = addresses
        self._peer: Peer | None = None
        self.start()

    def start(self) -> None:
        """Start it; again, on the same ports, if it was stopped. It is ready when this returns."""
        sockets = [socket.create_server(("127.0.0.1", port)) for port in self._ports.values()]
        self._ports = {name: s.getsockname()[1] for name, s in zip(self._ports, sockets, strict=True)}
        # So nginx hands its sockets on to its own next version: nobody can take a port between the choice and its use.
        inherited = "".join(f"{s.fileno()};" for s in sockets)
        named = {**self._addresses, **{name: self.address(name) for name in self._ports}}
        named |= {"folder": str(self._folder), "user": _user()}
        text = re.sub("@([a-z]+)@", lambda match: named[match[1]], _NGINX.replace("@http@", self._http))
        config, pid = self._folder / "nginx.conf", self._folder / "nginx.pid"
        config.write_text(text)
        pid.unlink(missing_ok=True)
        try:
            self._peer = Peer(
                [program("nginx"), "-p", self._folder, "-c", config],
                self._folder / "error.log",
                env={"NGINX": inherited},
                fds=[s.fileno() for s in sockets],
            )
        finally:
            for s in sockets:
                s.close()
        # It is written when the configuration was read and all sockets listen.
        self._peer.wait_for(lambda: True if pid.exists() else None)

    def address(self, name: str) -> str:
        """Where it listens: 127.0.0.1:port."""
        return f"127.0.0.1:{self._ports[name]}"

    def reload(self) -> None:
        """Let a new worker take over, gracefully. It returns at once."""
        assert self._peer is not None
        os.kill(self._peer.pid, signal.SIGHUP)

    def stop(self) -> None:
        """Stop it, when it has seen to all that has arrived."""
        if self._peer is not None:
            self._peer.stop(signal.SIGQUIT)

    @property
    def errors(self) -> str:
        """Its error log."""
        return (self._folder / "error.log").read_text(errors="replace")

    @property
    def requests(self) -> list[Logged]:
        """The requests that it has logged. It does so when an answer is out, so stop it first: then all are here."""
        self.stop()
        log = self._folder / "access.log"
        return [Logged(*line.split("\t")) for line in log.read_text().splitlines()]


def _user() -> str:
    """As root, keep the workers from becoming somebody who may not write into the folder. Others stay who they are."""
    import grp
    import pwd

    if os.geteuid() != 0:
        return ""
    return f"user {pwd.getpwuid(0).pw_name} {grp.getgrgid(os.getegid()).gr_name};"


@contextmanager
def nginx(folder: Path, http: str, *, listens: Sequence[str] = ("plain",), **addresses: str) -> Iterator[Nginx]:
    """Run an nginx; see there. Its error log is printed, which pytest shows if the test fails."""
    server = Nginx(folder, http, listens=listens, addresses=addresses)
    try:
        yield server
    finally:
        server.stop()
        sys.stdout.write(server.errors)


# Loaded into node first: whatever would leave this machine, or merely connect anywhere, ends the program.
_NO_NETWORK = """
const stop = (what) => function () { console.error(`not allowed here: ${what}`); process.exit(97); };
require("net").Socket.prototype.connect = stop("to connect");
require("dgram").Socket.prototype.send = stop("to send a datagram");
"""


@contextmanager
def prism(description: Path, folder: Path) -> Iterator[str]:
    """Run prism as a mock server of an OpenAPI file: gives its base URL. It may not connect to anything."""
    guard = folder / "no-network.cjs"
    guard.write_text(_NO_NETWORK)
    log = folder / "prism.log"
    command: list[str | Path] = [
        program("prism"),
        "mock",
        "--errors",
        "--host",
        "127.0.0.1",
        "--port",
        "0",
        description,
    ]
    peer = Peer(command, log, env={"NODE_OPTIONS": f"--require={guard}", "NO_COLOR": "1"})
    try:
        listening = re.compile(r"listening on (http://127\.0\.0\.1:[0-9]+)")
        yield peer.wait_for(lambda: listening.search(log.read_text(errors="replace")))[1]
    finally:
        peer.stop()
        sys.stdout.write(log.read_text(errors="replace"))


class Trouble(NamedTuple):
    """What becomes of the answers on a connection.

    delay: seconds before the first byte. cut: after how many bytes the connection ends, with a RST if `reset`.
    drip: how many bytes are passed on at a time, with a `pause` of so many seconds after them.
    """

    delay: float = 0.0
    cut: int | None = None
    reset: bool = False
    drip: int | None = None
    pause: float = 0.0


HONEST = Trouble()


class TcpProxy(TcpServer):
    """Passes connections on to a port, the first ones with a `Trouble` each, all others with `rest`. It counts them."""

    def __init__(self, port: int, *troubles: Trouble, rest: Trouble = HONEST) -> None:
        super().__init__()
        self._upstream = port
        self._troubles = chain(troubles, repeat(rest))
        self.connections = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass a connection on."""
        self.connections += 1
        trouble = next(self._troubles)
        answers, requests = await asyncio.open_connection("127.0.0.1", self._upstream)
        asking = asyncio.create_task(_pour(reader, requests))
        try:
            await _spoil(answers, writer, trouble)
        finally:
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
            requests.close()


async def _pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


async def _spoil(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, trouble: Trouble) -> None:
    data = await reader.read(65536)
    await asyncio.sleep(trouble.delay)
    left = trouble.cut
    while data:
        piece, data = data[: trouble.drip], data[trouble.drip or len(data) :]
        writer.write(piece[:left])
        await writer.drain()
        if left is not None:
            left -= len(piece[:left])
            if left == 0:
                if trouble.reset:
                    reset(writer)
                return
        if trouble.drip is not None:
            await asyncio.sleep(trouble.pause)
        data = data or await reader.read(65536)


@contextmanager
def unanswering() -> Iterator[tuple[str, str]]:
    """Two addresses: one that refuses connections, for sure, and one that takes them and stays silent."""
    with socket.socket() as nobody, socket.create_server(("127.0.0.1", 0)) as silent:
        nobody.bind(("127.0.0.1", 0))  # its port is taken, but it does not listen
        yield f"127.0.0.1:{nobody.getsockname()[1]}", f"127.0.0.1:{silent.getsockname()[1]}"
