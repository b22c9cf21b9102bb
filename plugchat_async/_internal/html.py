"""Tables in HTML, as notebooks show them. Pure."""

from collections.abc import Iterable, Sequence


def html_table(rows: Iterable[Sequence[object]], *, header: Sequence[str] = (), note: str = "") -> str:
    """Return a table. All texts are escaped.

    Args:
        rows: The cells of each row. None is an empty cell.
        header: The names of the columns (default: no header).
        note: A line below the table (default: none).
    """
    from html import escape  # noqa: PLC0415 - 1.3 ms that only notebooks need

    def row(tag: str, cells: Sequence[object]) -> str:
        texts = ("" if cell is None else escape(str(cell)) for cell in cells)
        return "<tr>" + "".join(f"<{tag}>{text}</{tag}>" for text in texts) + "</tr>"

    head = f"<thead>{row('th', header)}</thead>" if header else ""
    below = f"<p>{escape(note)}</p>" if note else ""
    return f"<table>{head}<tbody>{''.join(row('td', cells) for cells in rows)}</tbody></table>{below}"
