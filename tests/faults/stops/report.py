"""The stops as a report, and as the documentation's page "When things stop"."""

from collections.abc import Sequence
from itertools import groupby

from faults.stops.bulk_rows import BULK
from faults.stops.cell import Row, Verdict
from faults.stops.chats_rows import CHATS
from faults.stops.power_rows import POWER
from faults.stops.watch_rows import WATCH

_ALL = [*CHATS, *BULK, *WATCH, *POWER]
_COMMANDS = list(dict.fromkeys(row.command for row in _ALL))
ROWS: Sequence[Row] = sorted(_ALL, key=lambda row: _COMMANDS.index(row.command))

_PAGE = """\
# When things stop

What is left, and what does the next run do, when a signal, a disk, a pipe or the power stops a command? Each line is a
test: the command runs against a simulator, is stopped in the middle of its work, and is run again.
`python tests/fault_matrix.py --stops` runs all of them and prints the results, and
`python tests/fault_matrix.py --stops --markdown` writes this page. See [What happens when …](what-happens-when.md) for
the faults of servers and networks.

- *Ends* is the exit code, as a shell has it, and what is on stderr, unless the second SIGINT comes before it. After a
  loss of power there is neither.
- *Left* are the files that the command leaves. A hidden part is half of a file: only its owner may read it, and the
  next run removes it.
- *Next run* is what comes of the same command, or of the rest of it, as a check of all chats: none may be missing, and
  none may come twice.

Signals are sent by another process. A plain `sh` starts jobs in the background with SIGINT ignored; so it stays. A full
disk is a limit for the size of files. A loss of power is simulated: at any moment, what was not flushed to the disk may
be there, half of it, or not at all.
"""
_INTROS = {
    "plugchat chats --checkpoint c >>": "The list has 250 chats in pages of 10. It is stopped at the sixth page.",
    "plugchat chats --checkpoint c |": (
        "The chats count that the readers of both pipes got and kept. What a reader takes and drops, as `head` does,\n"
        "is missing afterwards: see [Resume](how-to/resume.md#on-the-command-line)."
    ),
    "plugchat chats -o": "There is an older `x.csv`. It is stopped at the second page.",
    "plugchat bulk": "There are three accounts, one after the other. It is stopped in the middle of the third one.",
    "plugchat watch": (
        "Three chats get a message before the stop, and two after it. The lines are events. SIGKILL between an event\n"
        "and the next save of the state, some milliseconds later, repeats this event."
    ),
    "plugchat simulate": "",
}


def lines(verdicts: Sequence[Verdict]) -> list[str]:
    """Return the report: a line for each row, its problems below it, and the totals."""
    report: list[str] = []
    for verdict in verdicts:
        outcome = "FAIL" if verdict.problems else "ok"
        code = "" if verdict.ended.code is None else verdict.ended.code
        report.append(f"{outcome:4}  {verdict.row.id[:100]:100}  {code:>3}  {verdict.seconds:5.2f} s")
        report += [f"        {problem}" for problem in verdict.problems]
    failed = sum(bool(verdict.problems) for verdict in verdicts)
    return [*report, f"{len(verdicts)} stops, {failed} failed"]


def page(verdicts: Sequence[Verdict]) -> str:
    """Return the page of the documentation."""
    parts = [_PAGE]
    told = ""
    for command, members in groupby(verdicts, key=lambda verdict: verdict.row.command):
        parts.append(f"\n## `{command}`\n")
        intro = next(text for name, text in _INTROS.items() if command.startswith(name))
        if intro and intro != told:
            parts.append(f"\n{intro}\n")
        told = intro
        parts.append("\n| stop | ends | left | next run |\n|---|---|---|---|\n")
        parts += [_line(verdict) for verdict in members]
    return "".join(parts)


def _line(verdict: Verdict) -> str:
    ended = verdict.ended
    code = "" if ended.code is None else str(ended.code)
    ends = f"{code}: {_escaped(ended.said)}" if ended.said else code
    return f"| {verdict.row.stop} | {ends} | {ended.left} | {ended.then} |\n"


def _escaped(text: str) -> str:
    for character in "\\|<>*_`":
        text = text.replace(character, f"\\{character}")
    return text
