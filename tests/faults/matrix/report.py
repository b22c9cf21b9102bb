"""The matrix as a report, and as the documentation's page "What happens when …"."""

import re
from collections.abc import Sequence
from itertools import groupby

from faults.matrix.cell import Row, Verdict
from faults.matrix.list_rows import CONCURRENCY, PAGES
from faults.matrix.refusal_rows import REFUSALS
from faults.matrix.status_rows import RATE_LIMIT_RESET, RETRY_AFTER, STATUSES
from faults.matrix.transport_rows import BODY, CONNECT, HEAD

ROWS: Sequence[Row] = [
    *(*CONNECT, *HEAD, *BODY, *STATUSES, *REFUSALS),
    *(*RETRY_AFTER, *RATE_LIMIT_RESET, *PAGES, *CONCURRENCY),
]

_PAGE = """\
# What happens when …

… a server, a network or a caller does something wrong? Each line is a test against a server that misbehaves in this
way, byte for byte. `python tests/fault_matrix.py` runs all of them and prints the results, and
`python tests/fault_matrix.py --markdown` writes this page.

*Requests* is the number of requests that reach the server. Retries wait a random part of 0.5 s and then of 1 s. In
these tests the random part is one half, so the *waits* are 0.25 s and 0.5 s. In every case the session works afterwards
(unless the line says that it is closed), no task, connection or descriptor is left open, and no text contains the
token, which most of these servers echo. Each error ends with what to do; see also [Errors](reference/errors.md).
"""
_INTROS = {
    "Connecting": "",
    "Before the answer": "",
    "In the body": "The status is 200.",
    "Statuses": "The connection is kept alive, and the body echoes the token.",
    "Refusals": (
        'The gateway refuses with a text, `{"error": …}`, under 200, 400, 401, 403 or 404. Each line\n'
        "was tested with all five, unless it names one."
    ),
    "Retry-After": (
        "The status is 429. The fault is the header's value. The date is Sun, 09 Sep 2001 01:46:40 GMT. A longer wait\n"
        "than the policy allows holds the account, for ten minutes at most: until then, nothing is sent."
    ),
    "RateLimit-Reset": "The status is 429, the date is the same. There is no Retry-After, unless the line names one.",
    "Pages": (
        "A list of 25 chats is read in pages of 10, except in the last line. The first walk over a server checks how\n"
        "its lists end. The requests for that are counted, but in the lines about rows and values."
    ),
    "Concurrency": "",
}


def lines(verdicts: Sequence[Verdict]) -> list[str]:
    """Return the report: a line for each row, its problems below it, and the totals."""
    report: list[str] = []
    for verdict in verdicts:
        row = verdict.row
        outcome = "a result" if row.error is None else row.error.__name__
        report.append(
            f"{'FAIL' if verdict.problems else 'ok':4}  {row.id[:64]:64}  {outcome:26}"
            f"  {verdict.requests:4} requests  {verdict.connections:4} connections  {verdict.seconds:5.2f} s"
        )
        report += [f"        {problem}" for problem in verdict.problems]
    failed = sum(bool(verdict.problems) for verdict in verdicts)
    return [*report, f"{len(verdicts)} rows, {failed} failed"]


def page(verdicts: Sequence[Verdict]) -> str:
    """Return the page of the documentation."""
    parts = [_PAGE]
    for group, members in groupby(verdicts, key=lambda verdict: verdict.row.group):
        parts.append(f"\n## {group}\n")
        if _INTROS[group]:
            parts.append(f"\n{_INTROS[group]}\n")
        parts.append("\n| fault | result | requests | waits |\n|---|---|---|---|\n")
        for _, same in groupby(members, key=lambda verdict: verdict.row.label or verdict.row.name):
            parts.append(_line(next(same)))
    return "".join(parts)


def _line(verdict: Verdict) -> str:
    row = verdict.row
    if row.error is None:
        counted = isinstance(row.gives, int)
        unit = "" if not counted else " chat" if row.gives == 1 else " chats"
        given = f"success: {_escaped(str(row.gives))}{unit}"
    else:
        given = f"`{row.error.__name__}`: {_escaped(verdict.happened)}"
    requests = "" if row.requests is None else row.requests
    waits = ", ".join(f"{seconds:g} s" for seconds in row.waits)
    return f"| {_escaped(row.label or row.name)} | {given} | {requests} | {waits} |\n"


def _escaped(text: str) -> str:
    text = re.sub(r"localhost:[0-9]+", "localhost", text)  # ports change from run to run
    text = re.sub(r"^(HTTP [0-9]+)[^:]*:", r"\1:", text)  # Python versions name some statuses differently
    return re.sub(r"([|<>*_`\\])", r"\\\1", text) if "`" not in text else text.replace("|", r"\|")
