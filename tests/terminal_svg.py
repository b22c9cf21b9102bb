"""Records a command in a terminal of 80 columns as a drawing.

    python tests/terminal_svg.py > docs/_static/demo.svg

The command is really run. Ports and seconds, which differ from run to run, are replaced, so that the drawing is the
same each time. A test compares it with what the command prints now.
"""

import html
import re
import sys
from itertools import accumulate
from pathlib import Path

from rich.cells import cell_len, chop_cells
from rich.console import Console
from rich.style import Style
from rich.text import Text

if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]

from support.terminal import raw_on_terminal

COLUMNS = 80
COMMAND = ("demo",)
# The size of a character, and what is around the text.
WIDTH, HEIGHT, MARGIN, BAR = 8, 18, 14, 30

_SAME = ((re.compile(r"127\.0\.0\.1:\d+"), "127.0.0.1:8080"), (re.compile(r"\b\d+\.\d\d s\b"), "0.05 s"))
# Words between lines of a table, or two blanks.
_PIECE = re.compile(r"[│┃]|[^\s│┃]+(?: [^\s│┃]+)*")
_HEAD = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" \
aria-labelledby="demo-title demo-text" class="demo">
  <title id="demo-title">{title} in a terminal</title>
  <desc id="demo-text">It fetches all chats of a simulated account, and shows the requests and a table of the first
    ten chats with their names, phones, unread messages and times.</desc>
  <style>
    .demo text {{ font: 13px ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace;
      fill: #e6edf3; white-space: pre; }}
    .demo .b {{ font-weight: 700; }}
    .demo .d {{ fill: #9da7b3; }}
    .demo .i {{ font-style: italic; }}
    .demo .p {{ fill: #7ee787; }}
  </style>
  <rect width="{width}" height="{height}" rx="8" fill="#0d1117"/>
  <circle cx="20" cy="17" r="5" fill="#ff5f57"/>
  <circle cx="38" cy="17" r="5" fill="#febc2e"/>
  <circle cx="56" cy="17" r="5" fill="#28c840"/>
"""


def recorded() -> str:
    """Run the command in a terminal, and return what it writes, with its styles."""
    written = raw_on_terminal(
        COMMAND, stderr=True, TERM="xterm-256color", COLUMNS=str(COLUMNS), PYTHONIOENCODING="utf-8", NO_COLOR=""
    )
    for pattern, same in _SAME:
        written = pattern.sub(same, written)
    return written.replace("\r\n", "\n")


def drawing_of(written: str) -> str:
    """Return the drawing of what a command has written."""
    title = " ".join(("plugchat", *COMMAND))
    console = Console(width=COLUMNS)
    lines = [Text.assemble(("$ ", "green"), (title, "bold"))]
    for line in Text.from_ansi(written.rstrip("\n")).split(allow_blank=True):
        lines += line.divide(_breaks(line.plain))
    width, height = COLUMNS * WIDTH + 2 * MARGIN, len(lines) * HEIGHT + BAR + MARGIN
    rows = (_row(line, console, y=BAR + number * HEIGHT - 4) for number, line in enumerate(lines, start=1))
    return f"{_HEAD.format(width=width, height=height, title=title)}{''.join(rows)}</svg>\n"


def _breaks(text: str) -> list[int]:
    """Return where a terminal begins a new line: in the middle of a word, too."""
    ends = list(accumulate(len(part) for part in chop_cells(text, COLUMNS)))
    return ends[:-1]


def _row(line: Text, console: Console, *, y: int) -> str:
    """Return a line of the terminal. Each piece has its place, whatever the width of the reader's letters."""
    pieces: list[str] = []
    column = 0
    for segment in line.render(console):
        for found in _PIECE.finditer(segment.text):
            x = MARGIN + (column + cell_len(segment.text[: found.start()])) * WIDTH
            size = f'textLength="{cell_len(found[0]) * WIDTH}" lengthAdjust="spacingAndGlyphs"'
            kinds = _kinds(segment.style or Style())
            pieces.append(f'<tspan x="{x}" {size}{kinds}>{html.escape(found[0], quote=False)}</tspan>')
        column += cell_len(segment.text)
    return f'  <text y="{y}">{"".join(pieces)}</text>\n' if pieces else ""


def _kinds(style: Style) -> str:
    """Return the classes of a style."""
    green = style.color is not None and style.color.name == "green"
    kinds = [kind for kind, there in (("b", style.bold), ("d", style.dim), ("i", style.italic), ("p", green)) if there]
    return f' class="{" ".join(kinds)}"' if kinds else ""


if __name__ == "__main__":
    sys.stdout.buffer.write(drawing_of(recorded()).encode())
