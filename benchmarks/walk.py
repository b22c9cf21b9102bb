"""The cost of a chat, from the first request to the caller's loop, with this SDK and with other stacks.

Each contender of `benchmarks.walkers` runs in a new process in each round, because the memory layout of a process makes
more of a difference than most improvements. Its first walk is not measured, but checked: all contenders must find the
same chats. The server is another process, which writes prepared bytes.
"""

import statistics
from contextlib import ExitStack
from functools import partial

from benchmarks.measure import Result, Value, in_a_process, interleaved, ratios, spread
from benchmarks.server import running, running_tls
from benchmarks.walkers import WALKS

# The page size: the number of pages.
LISTS = {10: 400, 100: 300, 1000: 60}
# The contenders over TLS. The others have their own stores of trusted authorities.
TLS = ("floor", "plugchat_async", "dicts", "by hand", "by hand, cattrs")


def rows_of(over: str, size: int, pages: int, rounds: int) -> list[dict[str, Value]]:
    """Return the rows of one list: each contender's walk, compared with others."""
    chats = pages * size - size // 2
    with ExitStack() as stack:
        if over == "http":
            names, environment, base_url = tuple(WALKS), None, stack.enter_context(running(chats))
        else:
            names, (base_url, environment) = TLS, stack.enter_context(running_tls(chats))
        process = partial(in_a_process, environment=environment)
        once = {name: partial(process, "walkers", name, base_url, size, pages) for name in names}
        found = interleaved(once, rounds)
    seen = {(each["chats"], each["digest"]) for name in names if name != "floor" for each in found[name]}
    if len(seen) != 1 or {count for count, _ in seen} != {chats}:
        raise SystemExit(f"the contenders did not find the same chats: {seen}")
    cpu = {name: [each["cpu"] / pages * 1e6 for each in found[name]] for name in names}
    httpx = cpu.get("httpx + pydantic, bytes")
    return [
        {
            "over": over,
            "page_size": size,
            "contender": name,
            **spread("cpu", own),
            "cpu_chat": statistics.median(own) / size,
            "rate": statistics.median(chats / each["wall"] for each in found[name]),
            **spread("floor", ratios(own, cpu["floor"])),
            **(spread("httpx", ratios(httpx, own)) if httpx else {}),
        }
        for name, own in cpu.items()
    ]


def measure(rounds: int = 9, lists: dict[int, int] = LISTS) -> Result:
    """Measure walks in pages of 10, 100 and 1,000 chats, over plain HTTP, and some over TLS."""
    rows = [
        row for over in ("http", "https") for size, pages in lists.items() for row in rows_of(over, size, pages, rounds)
    ]
    return Result(
        "walk",
        "Walks: CPU of the client",
        f"Medians of {rounds} rounds, each contender in a new process in each round, side by side on one machine. CPU: "
        "microseconds of the client's process. Ratios are those of one round; httpx: with pydantic, "
        "from the bytes. Goals: 3.6 times httpx at 100 chats a page and 2.1 at 1,000; 2.3 times the floor at 100.",
        {
            "over": "over",
            "page_size": "chats a page",
            "contender": "contender",
            "cpu": "CPU a page",
            "cpu_min": "least",
            "cpu_max": "most",
            "cpu_chat": "CPU a chat",
            "rate": "chats/s",
            "floor": "x floor's CPU",
            "floor_min": "least",
            "floor_max": "most",
            "httpx": "chats a CPU second, x httpx",
            "httpx_min": "least",
            "httpx_max": "most",
        },
        rows,
    )
