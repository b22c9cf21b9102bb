"""Tables in HTML, as notebooks show them. Pure."""

from collections.abc import Iterable, Sequence
from html import escape


def html_table(rows: Iterable[Sequence[object]], *, header: Sequence[str] = (), note: str = "") -> str:
    """Return a table. All texts are escaped.

    Args:
        rows: The cells of each row. None is an empty cell.
        header: The names of the columns (default: no header).
        note: A line below the table (default: none).
    """
    head = f"<thead>{_row('th', header)}</thead>" if header else ""
    below = f"<p>{escape(note)}</p>" if note else ""
    return f"<table>{head}<tbody>{''.join(_row('td', row) for row in rows)}</tbody></table>{below}"


def _row(tag: str, cells: Sequence[object]) -> str:
    return "<tr>" + "".join(f"<{tag}>{'' if cell is None else escape(str(cell))}</{tag}>" for cell in cells) + "</tr>"
