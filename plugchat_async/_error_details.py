"""What errors and pages carry apart from text: requests that were sent, values that could not be read, headers."""

from collections.abc import Iterable, Mapping

import attrs
from attrs import frozen

from plugchat_async._client_schemas import PROBLEM
from plugchat_async._pydantic_schema import described_by

# Enough of a body to recognise a gateway's error page, too little to flood a log.
EXCERPT_CHARS = 200
PROBLEMS_SHOWN = 10

# Those of gateways, proxies and content networks, in lower case. The first that is there counts.
_REQUEST_ID_HEADERS = ("x-request-id", "request-id", "x-correlation-id", "x-amzn-requestid", "x-trace-id", "cf-ray")


# No header that is read is longer; a hundred lines of one may be.
_HEADER_CHARS = 2048


def read_headers(lines: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Return the lines of headers, names in lower case; lines of one name joined by ", " (RFC 9110, 5.2)."""
    headers: dict[str, str] = {}
    for name, raw in lines:
        key, value = name.decode("utf-8", "replace").lower(), raw.decode("utf-8", "replace")
        headers[key] = (f"{headers[key]}, {value}" if key in headers else value)[:_HEADER_CHARS]
    return headers


def request_id_of(headers: Mapping[str, str]) -> str | None:
    """Return the id that a service gave a request, from the response's headers, or None if there is none."""
    return next((headers[name] for name in _REQUEST_ID_HEADERS if headers.get(name)), None)


@frozen
class Attempt:
    """One request, and its outcome.

    Attributes:
        method: The HTTP method.
        url: The URL.
        content_type: The Content-Type header, or None without one.
        outcome: A status line such as "503 Service Unavailable", or what failed, in words.
        repair: The names of the repairs that had changed it ("" if none).
        wait: Seconds until the next request (0.0 if none).
    """

    method: str
    url: str
    content_type: str | None
    outcome: str
    repair: str = ""
    wait: float = 0.0


@described_by(PROBLEM)
@frozen
class Problem:
    """One value of a page that can't be read.

    Attributes:
        index: The index of the row on the page, from 0.
        field: The vendor's name of the field, or "" for the row as a whole.
        expected: What would be read, in words.
        got: What came, shortened.
        item: What the row should be, in words (default "chat").
    """

    index: int
    field: str
    expected: str
    got: str
    item: str = attrs.field(default="chat", repr=False)

    def __str__(self) -> str:
        where = f"{self.item} {self.index}, {self.field}" if self.field else f"{self.item} {self.index}"
        return f"{where}: expected {self.expected}, got {self.got}"
