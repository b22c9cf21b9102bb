"""Run all benchmarks, or some: `python -m benchmarks [NAME ...]`. They print tables, and write JSON and pictures."""

import argparse
import time
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks.measure import Result, load

RESULTS = Path(__file__).parent / "results"

# The options of each `measure` for a quick run, which only shows that the benchmark works.
QUICK: dict[str, dict[str, Any]] = {
    "decode": {"rounds": 3},
    "walk": {"rounds": 1, "lists": {10: 20, 100: 20, 1000: 5}},
    "journey": {"rounds": 1, "lists": {100: 20}},
    "prefetch": {"rounds": 1, "lists": {0.005: 20}},
    "growth": {"chats": (1000, 20_000), "accounts": (1, 100), "rounds": 1},
    "startup": {"rounds": 1},
    "responsiveness": {"rounds": 1, "lists": ((100, 10), (10_000, 2)), "checkpoints": (2000,)},
    "watching": {"rounds": 1, "chats": (200, 2000), "polls": 3, "scans": 1, "saves": 1},
    "consistency": {"walks": 4, "accounts": 20},
    "bulk": {"accounts": 100, "rounds": 1},
    "waiting": {
        "rounds": 1,
        "lists": {50: (100,)},
        "unread_lists": (470,),
        "accounts": 20,
        "polled": 470,
        "latency": 0.005,
    },
    "dask": {"accounts": 16, "rounds": 1},
}


def main() -> None:
    """Parse the arguments, measure, print and save."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("name", nargs="*", choices=[[], *QUICK], help="which ones (default: all)")
    parser.add_argument("--quick", action="store_true", help="only show that they work; the figures mean nothing")
    parser.add_argument(
        "--results",
        type=Path,
        help=f"folder for the results (default: {RESULTS.name}/ here; with --quick: none)",
    )
    parser.add_argument("--draw", action="store_true", help="only draw pictures and write pages of saved results")
    arguments = parser.parse_args()
    folder: Path | None = arguments.results or (None if arguments.quick else RESULTS)
    for name in arguments.name or QUICK:
        result: Result
        if arguments.draw:
            result = load((folder or RESULTS) / f"{name}.json")
        else:
            started = time.monotonic()
            result = import_module(f"benchmarks.{name}").measure(**(QUICK[name] if arguments.quick else {}))
            print(result.text(), f"({time.monotonic() - started:.0f} s)\n", sep="\n", flush=True)
        if folder is not None:
            if not arguments.draw:
                result.save(folder)
            from benchmarks.plots import draw  # noqa: PLC0415 - matplotlib would count as memory of the benchmarks

            draw(result, folder)
            if name == "consistency" and folder == RESULTS:
                from benchmarks import measured_page  # noqa: PLC0415 - needed by this benchmark only

                measured_page.PAGE.write_text(measured_page.page(result))


if __name__ == "__main__":
    main()
