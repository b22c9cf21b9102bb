"""How `--help` is shown: names of options stay in one piece, and a closed pipe ends it as other output."""

import math
from collections.abc import Sequence
from typing import Final, NoReturn

from cyclopts import Group
from cyclopts.help import ColumnSpec, DefaultFormatter, HelpEntry, NameRenderer
from cyclopts.help.specs import AsteriskColumn, DescriptionColumn
from rich.console import Console, ConsoleOptions

# The share of a terminal that cyclopts gives to names. At 80 columns, our longest one needs a little more.
_SHARE: Final = 0.35


def _columns(
    console: Console,
    options: ConsoleOptions,  # noqa: ARG001 - of cyclopts' protocol
    entries: Sequence[HelpEntry],
) -> tuple[ColumnSpec, ...]:
    longest = max(len(name) for entry in entries for name in entry.names)
    width = max(math.ceil(console.width * _SHARE), min(longest, console.width // 2))
    names = ColumnSpec(renderer=NameRenderer(max_width=width), header="Option", style="cyclopts.name", max_width=width)
    marks = (AsteriskColumn,) if any(entry.required for entry in entries) else ()
    return (*marks, names, DescriptionColumn)


class HelpConsole(Console):
    """Stdout for help. If nobody reads it, this is told as for other output."""

    def on_broken_pipe(self) -> NoReturn:
        """Raise the error itself: rich would end the process with code 1."""
        raise BrokenPipeError


OPTIONS: Final = Group("Parameters", sort_key=0, help_formatter=DefaultFormatter(column_specs=_columns))
