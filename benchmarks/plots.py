"""Draw the results as SVG."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl
from attrs import evolve
from matplotlib.figure import Figure

from benchmarks.measure import Result

OURS, OTHERS, BASE = "#0b7a4b", "#9aa5b1", "#d0d7de"
WIDTH = 8.0


def draw(result: Result, folder: Path) -> None:
    """Draw a result into a folder, if it has a picture."""
    if result.name not in PICTURES:
        return
    library: Any = mpl  # partially typed
    with library.rc_context({"svg.hashsalt": "plugchat_async", "svg.fonttype": "none", "font.size": 9}):
        figure: Any = PICTURES[result.name](result)
        figure.suptitle(result.title, fontsize=11)
        figure.savefig(folder / f"{result.name}.svg", metadata={"Date": None}, bbox_inches="tight")


def _groups(result: Result, key: str) -> dict[Any, list[Any]]:
    groups: dict[Any, list[Any]] = {}
    for row in result.rows:
        groups.setdefault(row.get(key), []).append(row)
    return groups


def _panels(columns: int, height: float) -> tuple[Any, list[Any]]:
    figure: Any = Figure(figsize=(WIDTH, height), layout="constrained")
    return figure, list(figure.subplots(1, columns, squeeze=False)[0])


def _bars(result: Result, by: str, name: str, value: str, xlabel: str) -> Any:
    """Draw horizontal bars with minimum and maximum, in a panel for each value of `by`, or in one if it is ""."""
    groups = _groups(result, by)
    figure, panels = _panels(len(groups), 0.9 + 0.27 * max(map(len, groups.values())))
    for panel, (group, rows) in zip(panels, groups.items(), strict=True):
        names = [row[name] for row in rows]
        values = [row[value] for row in rows]
        errors = [
            [row[value] - row[f"{value}_min"] for row in rows],
            [row[f"{value}_max"] - row[value] for row in rows],
        ]
        colours = [OURS if "plugchat" in each else BASE if each == "floor" else OTHERS for each in names]
        panel.barh(names, values, color=colours, xerr=errors, error_kw={"lw": 0.8})
        panel.invert_yaxis()
        panel.set(xlabel=xlabel, xlim=(0, None))
        panel.set_title(f"{group:,} {result.columns[by]}" if by else "", fontsize=9)
        panel.spines[["top", "right"]].set_visible(False)
        if panel is not panels[0]:
            panel.set_yticklabels([])
    return figure


def _walk(result: Result) -> Any:
    rows = [row for row in result.rows if row["over"] == "http"]
    return _bars(evolve(result, rows=rows), "page_size", "contender", "cpu", "us of CPU a page")


def _waiting(result: Result) -> Any:
    """Draw how long the two longest lists take a session that knows the server, each in its smallest pages."""
    known = [row for row in result.rows if (row["job"], row["state"]) == ("all chats", "known")]
    longest = sorted(_groups(evolve(result, rows=known), "chats").items())[-2:]
    rows = [
        {
            **row,
            "contender": row["contender"] if "by hand" in row["contender"] else f"plugchat_async, {row['contender']}",
        }
        for _, of_list in longest
        for row in of_list
        if row["page_size"] == min(one["page_size"] for one in of_list)
    ]
    return _bars(evolve(result, rows=rows), "chats", "contender", "seconds", "seconds")


def _prefetch(result: Result) -> Any:
    figure, [panel] = _panels(1, 3.4)
    for latency, rows in _groups(result, "latency").items():
        depths, faster = [row["prefetch"] for row in rows], [row["faster"] for row in rows]
        panel.plot(depths, faster, marker="o", label=f"{latency} ms, {rows[0]['pages']:,} pages")
    panel.plot([0, 64], [1, 65], color=BASE, linestyle="--", label="pages in flight", zorder=0)
    panel.set_xscale("symlog", base=2, linthresh=1)
    panel.set_yscale("log", base=2)
    ticks = sorted({row["prefetch"] for row in result.rows}, key=lambda depth: depth or 0)
    panel.set_xticks(ticks, [str(tick) for tick in ticks])
    panel.set_yticks([1, 2, 4, 8, 16, 32, 64], ["1", "2", "4", "8", "16", "32", "64"])
    panel.set(xlabel="prefetch", ylabel="times as fast as without")
    panel.grid(visible=True, color="#eeeeee")
    panel.legend(frameon=False)
    return figure


def _growth(result: Result) -> Any:
    figure, panels = _panels(3, 3.2)
    for panel, (key, label) in zip(
        panels, (("seconds", "seconds"), ("cpu", "CPU seconds"), ("peak", "peak memory, MB")), strict=True
    ):
        for of, rows in _groups(result, "of").items():
            panel.plot([row["chats"] for row in rows], [max(row[key], 0.001) for row in rows], marker=".", label=of)
        panel.set(xscale="log", yscale="log", xlabel="chats", title=label)
        panel.grid(visible=True, color="#eeeeee")
    panels[0].legend(frameon=False, fontsize=7)
    return figure


def _journey(result: Result) -> Any:
    groups = _groups(result, "page_size")
    figure, panels = _panels(len(groups), 3.2)
    for panel, (size, rows) in zip(panels, groups.items(), strict=True):
        names, added = [row["layer"] for row in rows], [row["added"] for row in rows]
        starts = [sum(added[:number]) for number in range(len(added))]
        panel.barh(names, added, left=starts, color=[BASE] + [OURS] * (len(rows) - 1))
        panel.invert_yaxis()
        panel.set(xlabel="us of CPU a page", xlim=(0, None))
        panel.set_title(f"{size:,} chats a page", fontsize=9)
        panel.spines[["top", "right"]].set_visible(False)
        if panel is not panels[0]:
            panel.set_yticklabels([])
    return figure


PICTURES: dict[str, Callable[[Result], Any]] = {
    "decode": lambda result: _bars(result, "page_size", "contender", "us", "us a chat"),
    "walk": _walk,
    "waiting": _waiting,
    "prefetch": _prefetch,
    "growth": _growth,
    "journey": _journey,
    "startup": lambda result: _bars(result, "", "imports", "ms", "ms, the whole process"),
}
