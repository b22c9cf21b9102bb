"""What errors carry besides text: the requests that were sent, the values that could not be read."""

from attrs import frozen


@frozen
class Attempt:
    """One request that went out, and what came back.

    `outcome` is a status line such as "503 Service Unavailable", or what failed, in words; `repair` names what was
    changed against the first request ("" if nothing was); `wait` is the pause after it in seconds (0.0 if none).
    """

    method: str
    url: str
    content_type: str | None
    outcome: str
    repair: str = ""
    wait: float = 0.0


@frozen
class Problem:
    """One value of a page that can't be read. `index` counts the page's chats from 0; `field` is the vendor's name."""

    index: int
    field: str
    expected: str
    got: str

    def __str__(self) -> str:
        where = f"chat {self.index}, {self.field}" if self.field else f"chat {self.index}"
        return f"{where}: expected {self.expected}, got {self.got}"
