"""Shared parts of the benchmarks: rounds, results, and the description of the machine."""

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

from attrs import asdict, frozen

T = TypeVar("T")
Value = str | int | float | None

# The packages that the figures depend on.
PACKAGES = (
    *("plugchat-async", "aiohttp", "attrs", "cattrs", "msgspec", "multidict", "yarl", "uvloop"),
    *("httpx", "httpx2", "niquests", "orjson", "pydantic"),
)


@frozen
class Result:
    """A table of figures.

    Attributes:
        name: The name of the file.
        title: The subject of the measurement.
        about: How it was measured.
        columns: The headings of the columns, by the keys of `rows`.
        rows: The figures.
    """

    name: str
    title: str
    about: str
    columns: dict[str, str]
    rows: list[dict[str, Value]]

    def text(self) -> str:
        """Return the result as a table for a terminal."""
        cells = [list(self.columns.values())]
        cells += [[_shown(row.get(key)) for key in self.columns] for row in self.rows]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines = [
            "  ".join(
                cell.ljust(width) if isinstance(self.rows[0].get(key), str) else cell.rjust(width)
                for key, cell, width in zip(self.columns, line, widths, strict=True)
            ).rstrip()
            for line in cells
        ]
        return "\n".join([self.title, *lines, "", self.about, ""])

    def save(self, folder: Path) -> None:
        """Save the result as JSON, with the machine, the date and the versions."""
        folder.mkdir(parents=True, exist_ok=True)
        content = {**asdict(self), "measured": surroundings()}
        (folder / f"{self.name}.json").write_text(json.dumps(content, indent=1) + "\n")


def load(path: Path) -> Result:
    """Load a saved result."""
    content = json.loads(path.read_text())
    return Result(**{name: content[name] for name in ("name", "title", "about", "columns", "rows")})


def surroundings() -> dict[str, Value | dict[str, str]]:
    """Return the machine, the date and the versions of a measurement."""
    return {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "processor": _processor(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.release().partition('-')[0]}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "packages": {name: version(name) for name in PACKAGES},
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def interleaved(contenders: Mapping[str, Callable[[], T]], rounds: int) -> dict[str, list[T]]:
    """Run all contenders in turn in each round, so that changes of the machine's speed affect all of them equally."""
    measured: dict[str, list[T]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, once in contenders.items():
            measured[name].append(once())
    return measured


def ratios(own: Iterable[float], base: Iterable[float]) -> list[float]:
    """Return the ratio of each round."""
    return [mine / others for mine, others in zip(own, base, strict=True)]


def spread(key: str, values: Iterable[float]) -> dict[str, Value]:
    """Return the median, under `key`, the minimum and the maximum, for a row of a result."""
    values = list(values)
    return {key: statistics.median(values), f"{key}_min": min(values), f"{key}_max": max(values)}


def cpu_seconds_of(call: Callable[[], object], repeats: int = 1) -> float:
    """Return the CPU time of a call in seconds, as the average of some repeats."""
    started = time.process_time()
    for _ in range(repeats):
        call()
    return (time.process_time() - started) / repeats


def in_a_process(module: str, *arguments: object, environment: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Run a module of the benchmarks in a new process. Return the JSON that it prints."""
    command = [sys.executable, "-m", f"benchmarks.{module}", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    printed: dict[str, Any] = json.loads(done.stdout)
    return printed


def _shown(value: Value) -> str:
    match value:
        case None:
            return ""
        case float():
            return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
        case int():
            return f"{value:,}"
        case _:
            return str(value)
