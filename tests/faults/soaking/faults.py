"""The faults that requests meet, and how often."""

import random
from collections.abc import Callable
from typing import Final

from faults.soaking.accounts import MARK
from plugchat_async.testing import Fault

FAULTS: Final[dict[str, tuple[int, Callable[[random.Random], Fault]]]] = {
    # How many of a thousand requests meet them.
    "429": (6, lambda chance: Fault.status(429, headers={"Retry-After": chance.choice(("0", "1"))}, body=MARK)),
    "500": (6, lambda _: Fault.status(500, body=f"it was {MARK}-1")),
    "503": (6, lambda chance: Fault.status(503, headers=chance.choice(({}, {"Retry-After": "1"})))),
    "401": (2, lambda _: Fault.status(401, body=f'{{"error": "{MARK}-2"}}')),
    "405": (2, lambda _: Fault.status(405, headers={"Allow": "GET"})),
    "415": (2, lambda _: Fault.status(415, headers={"Accept": "application/json"})),
    "302": (1, lambda _: Fault.status(302, headers={"Location": f"http://127.0.0.1:9/{MARK}-3"})),
    "404": (1, lambda _: Fault.status(404)),
    "html": (2, lambda _: Fault.answer(f"<html>{MARK}-4</html>", content_type="text/html")),
    "object": (2, lambda _: Fault.answer('{"error": "none of your business"}')),
    "no chats": (2, lambda _: Fault.answer(f'[{{"name": "{MARK}-5"}}, null]')),
    "close": (6, lambda _: Fault.close()),
    "reset": (6, lambda _: Fault.reset()),
    "truncate": (6, lambda _: Fault.truncate()),
    "raw": (4, lambda chance: Fault.raw(chance.randbytes(chance.randrange(1, 2000)))),
    "half a head": (2, lambda _: Fault.raw(b"HTTP/1.1 200 OK\r\nContent-Le")),
    "bad chunks": (2, lambda _: Fault.raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n[")),
    "bad gzip": (
        2,
        lambda _: Fault.raw(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 9\r\n\r\nnot-gzip!"),
    ),
    "delay": (40, lambda chance: Fault.delay(chance.uniform(0.01, 0.5))),
    "hang": (2, lambda _: Fault.hang()),
}
# The others are answered as they should be.
WEIGHTS: Final = {"none": 1000 - sum(weight for weight, _ in FAULTS.values())} | {
    name: weight for name, (weight, _) in FAULTS.items()
}


def draw(chance: random.Random, count: int) -> list[tuple[str, Fault]]:
    """Draw what the next requests meet, and the names of it, "none" if they meet nothing."""
    names = chance.choices(list(WEIGHTS), list(WEIGHTS.values()), k=count)
    return [(name, FAULTS[name][1](chance) if name in FAULTS else Fault.none()) for name in names]
