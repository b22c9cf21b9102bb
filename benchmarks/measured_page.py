"""The page "Guarantees, measured" of the documentation, written from the results of `consistency`."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final

from benchmarks.consistency import MODES, PAGE_SIZE, USUAL, VARIANTS, Row
from benchmarks.measure import Result

PAGE: Final = Path(__file__).parents[1] / "docs" / "guarantees-measured.md"

_START: Final = """\
# Guarantees, measured

<!-- `python -m benchmarks consistency --draw` writes this page from benchmarks/results/consistency.json. -->

These are the results of `python -m benchmarks consistency`: simulated lists, and what walks make of them.
[Guarantees](guarantees.md) says what is promised, and why.

- **verified**: the share of walks that say `verified`.
- **wrong**: the number of walks that say `verified` although they have missed a chat that was there all the time.
- **doubled**: the number of chats that were yielded twice, in all walks.
- **+n (m)**: the requests beyond those of a reader that only reads up to the short page, on average and at most, once
  the server is known. `strict` needs fewer than that where one answer holds the list.
"""


def page(result: Result) -> str:
    """Return the page."""
    walks = max(int(_number(row, "walks")) for row in result.rows if row["group"] in VARIANTS)
    (least, most, _), (long_least, long_most, largest) = VARIANTS["short"], VARIANTS["long"]
    parts = [
        _START,
        "## Lists that one answer can hold",
        f"{least} to {most} chats, {PAGE_SIZE} a page; {walks} walks a cell, half of them over an unknown server.",
        _table(result.rows, "short", "list", USUAL, _cell),
        "## Longer lists",
        f"{long_least} to {long_most} chats, {PAGE_SIZE} a page, `max_page_size={largest}`.",
        _table(result.rows, "long", "list", USUAL, _cell),
        "## Costs",
        "One server, known after the first walk. The percentage compares the requests of all walks with the least.",
        _table(result.rows, "cost", "list", USUAL, _cost),
        "## Small accounts",
        "Extra requests while nothing moves, 100 chats a page. In brackets: over an unknown server.",
        _table(result.rows, "small", "account", tuple(MODES), _small),
    ]
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def _table(rows: Iterable[Row], group: str, heading: str, modes: Sequence[str], shown: Callable[[Row], str]) -> str:
    lists: dict[str, dict[str, Row]] = {}
    for row in rows:
        if row["group"] == group:
            lists.setdefault(str(row["list"]), {})[str(row["mode"])] = row
    names = [f"`{mode}`".replace(", ", "`, `") for mode in modes]
    lines = [f"| {heading} | {' | '.join(names)} |", "|---" * (len(modes) + 1) + "|"]
    lines += [f"| {name} | {' | '.join(shown(cells[mode]) for mode in modes)} |" for name, cells in lists.items()]
    return "\n".join(lines)


def _cell(row: Row) -> str:
    if row["mode"] == "plain":
        return f"{_number(row, 'missed'):.1f} missed a walk"
    parts = [f"{_number(row, 'verified'):.0f} % verified"]
    parts += [f"{row[name]} {name}" for name in ("wrong", "doubled") if row[name]]
    return f"{', '.join(parts)}, {_extra(row)}"


def _cost(row: Row) -> str:
    parts = [f"{_number(row, 'over'):+.1f} %", _extra(row)]
    if row["mode"] != "plain":
        parts += [f"{_number(row, 'verified'):.0f} % verified"] if row["verified"] != 100 else []
        parts += [f"{row[name]} {name}" for name in ("wrong", "doubled") if row[name]]
    return ", ".join(parts)


def _small(row: Row) -> str:
    known, unknown = _number(row, "extra"), _number(row, "unknown")
    return f"{known:+.0f} ({unknown:+.0f})".replace("+0", "0")


def _extra(row: Row) -> str:
    return f"{_number(row, 'extra'):+.1f} ({row['most']})"


def _number(row: Row, name: str) -> float:
    value = row[name]
    assert isinstance(value, int | float)
    return value
