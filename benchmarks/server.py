"""A server in another process that writes prepared bytes: `python -m benchmarks.server` prints its base URL.

It accepts any token. A token that names a fault causes it, and one that begins with "own-" changes the names of the
chats; if it ends with "-of-" and a number, the account has so many chats. The rows are those of `benchmarks.rows`. Each
path is the list of chats, but that of the call for pending chats, which lists those with unread messages.

`/counts` responds with the number of requests, apart from its own, and of bytes that were written.
"""

import argparse
import asyncio
import json
import os
import re
import ssl
import subprocess
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import cast
from urllib.request import urlopen

import trustme
from attrs import define, field

from benchmarks.rows import body_with, by_time, pending_row_of, row_of, unread_of

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
_LENGTH = re.compile(rb"-of-(\d+)$")
_QUERY = re.compile(rb"page=(\d+)&pageSize=(\d+)")
# Longer lists would take too much memory: this one takes about 260 MB.
_MAX_PREPARED = 1_000_000


@define
class Lists:
    """The lists of the accounts, and what was sent of them.

    Attributes:
        chats: The number of chats of an account whose token says no other one.
        latency: Seconds before each response.
        per_row: Seconds more for each row of a page.
        odd: Whether each row has a null, which the fast path refuses.
        sorted: Whether chats without a time are at the end of the list.
        requests: The number of requests so far.
        written: The number of bytes that were written so far.
    """

    chats: int
    latency: float = 0.0
    per_row: float = 0.0
    odd: bool = False
    sorted: bool = False
    requests: int = field(default=0, init=False)
    written: int = field(default=0, init=False)
    # Prepared responses.
    _answers: dict[tuple[bool, bool, int, int], bytes] = field(
        factory=dict[tuple[bool, bool, int, int], bytes], init=False
    )
    _numbers: Sequence[int] = field(init=False)
    _pending: Sequence[int] | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        self._numbers = by_time(range(self.chats)) if self.sorted else range(self.chats)

    def answer(self, head: bytes, length: int | None) -> tuple[bytes, float]:
        """Return the response to a request, and the seconds to wait before it.

        Args:
            head: The request.
            length: The number of chats of its account, if it has its own.
        """
        found = _QUERY.search(head)
        assert found is not None, head
        pending = b"pending-chats" in head
        numbers = self._pending_numbers() if pending else self._numbers if length is None else range(length)
        number, size = int(found[1]), int(found[2])
        first, stop = min((number - 1) * size, len(numbers)), min(number * size, len(numbers))
        key = (pending, self.sorted and length is None, first, stop)  # those of their own length are not sorted
        answer = self._answers.get(key)
        if answer is None:
            answer = self._prepared(numbers[first:stop], pending=pending)
            if self.chats <= _MAX_PREPARED:
                self._answers[key] = answer
        return answer, self.latency + self.per_row * (stop - first)

    def _pending_numbers(self) -> Sequence[int]:
        if self._pending is None:
            self._pending = [number for number in self._numbers if unread_of(number)]
        return self._pending

    def _prepared(self, numbers: Sequence[int], *, pending: bool) -> bytes:
        rows = map(pending_row_of, numbers) if pending else (row_of(number, odd=self.odd) for number in numbers)
        return _response(body_with(rows))


def _response(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body


class Server(asyncio.Protocol):
    """Sends each requested page of a list after the list's latency."""

    def __init__(self, lists: Lists) -> None:
        self._lists = lists
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport for responses."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Respond to each request whose head is complete."""
        self._received += data
        while b"\r\n\r\n" in self._received:
            head, _, self._received = self._received.partition(b"\r\n\r\n")
            if head.startswith(b"GET /counts "):
                counts = {"requests": self._lists.requests, "bytes": self._lists.written}
                self._transport.write(_response(json.dumps(counts).encode()))
                continue
            self._lists.requests += 1
            token = _FAULT.search(head)
            if token is not None and token[1] in FAULTS:
                self._fail(FAULTS[token[1]])
                return
            own = token[1] if token is not None and token[1].startswith(b"own-") else None
            length = _LENGTH.search(own) if own is not None else None
            answer, wait = self._lists.answer(head, int(length[1]) if length is not None else None)
            if own is not None:
                # Of the same length, because of Content-Length.
                answer = answer.replace(b'"name":"Chat ', b'"name":"%5s' % _LENGTH.sub(b"", own)[4:])
            if wait:
                asyncio.get_running_loop().call_later(wait, self._write, answer)
            else:
                self._write(answer)

    def _fail(self, answer: bytes | None) -> None:
        if answer is not None:
            self._write(answer)
            self._transport.close()

    def _write(self, answer: bytes) -> None:
        if not self._transport.is_closing():
            self._lists.written += len(answer)
            self._transport.write(answer)


@contextmanager
def running(
    chats: int,
    *,
    latency: float = 0.0,
    per_row: float = 0.0,
    odd: bool = False,
    by_time: bool = False,
    certificate: Path | None = None,
) -> Generator[str]:
    """Run a server in another process, and yield its base URL."""
    command = [sys.executable, "-m", "benchmarks.server", str(chats), str(latency), "--per-row", str(per_row)]
    command += [*(["--odd"] if odd else []), *(["--by-time"] if by_time else [])]
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


def counts(base_url: str) -> tuple[int, int]:
    """Return the number of requests to a server so far, and of bytes that it has written."""
    with urlopen(f"{base_url}/counts") as response:  # noqa: S310 - of a server of our own
        found = json.load(response)
    return found["requests"], found["bytes"]


async def serve(lists: Lists, certificate: str | None) -> None:
    """Serve until standard input is closed, also by the end of the parent process."""
    context = None
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
    server = await asyncio.get_running_loop().create_server(lambda: Server(lists), "127.0.0.1", 0, ssl=context)
    origin = "http://127.0.0.1" if context is None else "https://localhost"
    print(f"{origin}:{server.sockets[0].getsockname()[1]}", flush=True)
    await asyncio.to_thread(sys.stdin.read)


def main() -> None:
    """Parse the arguments, and serve."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("chats", type=int)
    parser.add_argument("latency", type=float, help="seconds before each response")
    parser.add_argument("--per-row", type=float, default=0.0, help="seconds more for each row of a page")
    parser.add_argument("--odd", action="store_true", help="send a null in each row, which the fast path refuses")
    parser.add_argument("--by-time", action="store_true", help="list chats without a time at the end")
    parser.add_argument("--certificate", help="use TLS, with this file of the key and its certificates")
    arguments = parser.parse_args()
    lists = Lists(arguments.chats, arguments.latency, arguments.per_row, odd=arguments.odd, sorted=arguments.by_time)
    asyncio.run(serve(lists, arguments.certificate))


if __name__ == "__main__":
    main()
