"""A server in another process that writes prepared bytes: `python -m benchmarks.server` prints its base URL.

It accepts any token. A token that names a fault causes it, and one that begins with "own-" changes the names of the
chats. The rows are those of `benchmarks.rows`.
"""

import argparse
import asyncio
import os
import re
import ssl
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import cast

import trustme

from benchmarks.rows import body_of

# The bytes for requests whose token is the fault's name; then the connection is closed. None: no response.
FAULTS: dict[bytes, bytes | None] = {
    **{
        b"status-%d" % status: b"HTTP/1.1 %d X\r\nContent-Length: 2\r\n%s\r\nno" % (status, headers)
        for status, headers in {
            302: b"Location: https://elsewhere.example/\r\n",
            400: b"",
            401: b"",
            403: b"",
            404: b"",
            408: b"",
            405: b"Allow: GET\r\n",
            415: b"",
            418: b"",
            425: b"",
            429: b"",
            500: b"",
            502: b"",
            503: b"Retry-After: 3600\r\n",
            504: b"",
        }.items()
    },
    b"close": b"",
    b"hang": None,
    b"garbage": b"\x16\x03\x01\x00 not HTTP at all\r\n\r\n",
    b"too-large": b"HTTP/1.1 200 OK\r\nContent-Length: 999999999\r\n\r\n[",
    b"truncated": b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n[",
    **{
        name: b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
        for name, body in {
            b"html": b"<html>log in</html>",
            b"object": b"{}",
            b"empty": b"",
            b"broken": b'[{"phone": "1", ]',
            b"malformed": b'[{"name": "nobody"}]',
        }.items()
    },
}
_FAULT = re.compile(rb"^Authorization: ([a-z0-9-]+)\r?$", re.MULTILINE | re.IGNORECASE)
_QUERY = re.compile(rb"page=(\d+)&pageSize=(\d+)")


class Server(asyncio.Protocol):
    """Sends each requested page of a list of `chats` chats after `latency` seconds."""

    def __init__(self, chats: int, latency: float, answers: dict[bytes, bytes], *, odd: bool) -> None:
        self._chats = chats
        self._latency = latency
        self._odd = odd
        # Prepared responses, by the query.
        self._answers = answers
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport for responses."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Respond to each request whose head is complete."""
        self._received += data
        while b"\r\n\r\n" in self._received:
            head, _, self._received = self._received.partition(b"\r\n\r\n")
            token = _FAULT.search(head)
            if token is not None and token[1] in FAULTS:
                self._fail(FAULTS[token[1]])
                return
            own = token is not None and token[1].startswith(b"own-")
            found = _QUERY.search(head)
            assert found is not None, head
            answer = self._answer(found)
            if own and token is not None:
                # Of the same length, because of Content-Length.
                answer = answer.replace(b'"name":"Chat ', b'"name":"%5s' % token[1][4:])
            if self._latency:
                asyncio.get_running_loop().call_later(self._latency, self._write, answer)
            else:
                self._write(answer)

    def _fail(self, answer: bytes | None) -> None:
        if answer is not None:
            self._write(answer)
            self._transport.close()

    def _answer(self, found: re.Match[bytes]) -> bytes:
        answer = self._answers.get(found[0])
        if answer is None:
            number, size = int(found[1]), int(found[2])
            body = body_of(min((number - 1) * size, self._chats), min(number * size, self._chats), odd=self._odd)
            answer = (
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body
            )
            if self._chats <= 100_000:
                self._answers[found[0]] = answer
        return answer

    def _write(self, answer: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(answer)


@contextmanager
def running(chats: int, *, latency: float = 0.0, odd: bool = False, certificate: Path | None = None) -> Generator[str]:
    """Run a server in another process, and yield its base URL."""
    command = [sys.executable, "-m", "benchmarks.server", str(chats), str(latency), *(["--odd"] if odd else [])]
    command += [] if certificate is None else ["--certificate", str(certificate)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.communicate()  # closes its standard input


@contextmanager
def running_tls(chats: int) -> Generator[tuple[str, dict[str, str]]]:
    """Run a server with TLS. Yield its base URL, and the environment in which processes trust it."""
    with TemporaryDirectory() as folder:
        certificate, authority = Path(folder) / "server.pem", Path(folder) / "authority.pem"
        made = trustme.CA()
        made.cert_pem.write_to_path(authority)
        made.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(certificate)
        with running(chats, certificate=certificate) as base_url:
            yield base_url, {**os.environ, "SSL_CERT_FILE": str(authority)}


async def serve(chats: int, latency: float, *, odd: bool, certificate: str | None) -> None:
    """Serve until standard input is closed, also by the end of the parent process."""
    context = None
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
    answers: dict[bytes, bytes] = {}
    server = await asyncio.get_running_loop().create_server(
        lambda: Server(chats, latency, answers, odd=odd), "127.0.0.1", 0, ssl=context
    )
    origin = "http://127.0.0.1" if context is None else "https://localhost"
    print(f"{origin}:{server.sockets[0].getsockname()[1]}", flush=True)
    await asyncio.to_thread(sys.stdin.read)


def main() -> None:
    """Parse the arguments, and serve."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("chats", type=int)
    parser.add_argument("latency", type=float, help="seconds before each response")
    parser.add_argument("--odd", action="store_true", help="send a null in each row, which the fast path refuses")
    parser.add_argument("--certificate", help="use TLS, with this file of the key and its certificates")
    arguments = parser.parse_args()
    serving = serve(arguments.chats, arguments.latency, odd=arguments.odd, certificate=arguments.certificate)
    asyncio.run(serving)


if __name__ == "__main__":
    main()
