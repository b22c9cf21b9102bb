"""Run the fault matrix and print the results: python tests/fault_matrix.py [--stops] [--markdown].

--stops: run commands that are stopped, by signals, disks, pipes and the power, instead of faults of servers.
--markdown: print the page of the documentation instead: "What happens when …", docs/what-happens-when.md, or
"When things stop", docs/when-things-stop.md.
"""

import asyncio
import sys

from faults.matrix import cell, report
from faults.stops import cell as stops_cell
from faults.stops import report as stops_report


async def run() -> list[cell.Verdict]:
    """Check all rows, one after the other."""
    return [await cell.check(row) for row in report.ROWS]


def main() -> int:
    """Return 1 if a row failed, else 0."""
    markdown = "--markdown" in sys.argv[1:]
    if "--stops" in sys.argv[1:]:
        stopped = [stops_cell.check(row) for row in stops_report.ROWS]
        failed = any(verdict.problems for verdict in stopped)
        text = stops_report.page(stopped) if markdown else "\n".join([*stops_report.lines(stopped), ""])
    else:
        verdicts = asyncio.run(run())
        failed = any(verdict.problems for verdict in verdicts)
        text = report.page(verdicts) if markdown else "\n".join([*report.lines(verdicts), ""])
    sys.stdout.write(text)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
