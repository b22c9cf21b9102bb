"""The cost of importing, in whole processes: this SDK, its dependencies, and other stacks.

Byte code is compiled in advance, as by pip.
"""

import os
import subprocess
import sys
import time
from functools import partial

from benchmarks.measure import Result, Value, interleaved, spread

IMPORTS = {
    "nothing": "pass",
    "aiohttp, cattrs, msgspec": "import aiohttp, cattrs, msgspec",
    "plugchat_async": "from plugchat_async import PlugChatSession",
    "plugchat_async, many accounts, files": "from plugchat_async import PlugChatSession, export_many, fetch_many",
    "httpx, pydantic": "import httpx, pydantic",
    "httpx2, pydantic": "import httpx2, pydantic",
    "niquests, msgspec": "import niquests, msgspec",
}
BASE = "aiohttp, cattrs, msgspec"


def start(code: str) -> float:
    """Return the duration of a process that only imports, in milliseconds."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
    return (time.perf_counter() - started) * 1000


def measure(rounds: int = 21) -> Result:
    """Measure processes in turn."""
    interleaved({name: partial(start, code) for name, code in IMPORTS.items()}, 1)
    times = interleaved({name: partial(start, code) for name, code in IMPORTS.items()}, rounds)
    rows: list[dict[str, Value]] = []
    for name, own in times.items():
        over = [mine - others for mine, others in zip(own, times[BASE], strict=True)]
        rows.append({"imports": name, **spread("ms", own), **spread("over", over)})
    return Result(
        "startup",
        "Starting a process and importing",
        f"Medians of {rounds} rounds, each import in a new process in each round. What is over '{BASE}' is that of one "
        "round.",
        {
            "imports": "imports",
            "ms": "ms",
            "ms_min": "least",
            "ms_max": "most",
            "over": f"over {BASE}, ms",
            "over_min": "least",
            "over_max": "most",
        },
        rows,
    )
