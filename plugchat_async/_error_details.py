"""What errors carry apart from text: the requests that were sent, the values that could not be read."""

import attrs
from attrs import frozen

from plugchat_async._client_schemas import PROBLEM
from plugchat_async._pydantic_schema import described_by


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
