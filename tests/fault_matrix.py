"""Run the fault matrix and print the results: python tests/fault_matrix.py [--markdown].

--markdown: print the page "What happens when …" of the documentation instead, docs/what-happens-when.md.
"""

import asyncio
import sys

from faults.matrix.cell import Verdict, check
from faults.matrix.report import ROWS, lines, page


async def run() -> list[Verdict]:
    """Check all rows, one after the other."""
    return [await check(row) for row in ROWS]


def main() -> int:
    """Return 1 if a row failed, else 0."""
    verdicts = asyncio.run(run())
    if "--markdown" in sys.argv[1:]:
        sys.stdout.write(page(verdicts))
    else:
        sys.stdout.write("\n".join([*lines(verdicts), ""]))
    return int(any(verdict.problems for verdict in verdicts))


if __name__ == "__main__":
    sys.exit(main())
