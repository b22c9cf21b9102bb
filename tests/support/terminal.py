"""A terminal for the command line, and names that would steer one."""

import contextlib
import os
import pty
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from plugchat_async.cli import app as cli

# Not in development mode: its asyncio tells of each slow step on stderr, and machines are slow now and then.
PLUGCHAT = [sys.executable, "-W", "error", "-m", "plugchat_async"]

# ESC, BEL, DEL, CSI, a carriage return, and what turns the direction of text.
STEERING = {"\x1b", "\x07", "\x7f", "\x9b", "\r", "\u202e", "\u2066"}
STEERING_NAMES = ["\x1b[2J\x1b]0;owned\x07", "\x7f\x9b2J", "a\nb\rc", "\u202eevil\u2066", "👩\u200d👧 ❤\ufe0f", "Zoë"]


def raw_on_terminal(arguments: Sequence[str], *, stderr: bool, **environment: str) -> str:
    """Run a command whose stdout, and stderr if asked so, is a terminal; give all that it writes. It must end well."""
    terminal, slave = pty.openpty()
    process = subprocess.Popen(
        [*PLUGCHAT, *arguments],
        stdout=slave,
        stderr=slave if stderr else subprocess.DEVNULL,
        env={**os.environ, **environment},
    )
    os.close(slave)
    raw = b""
    with contextlib.suppress(OSError):  # how Linux reports the other side's end
        while chunk := os.read(terminal, 65536):
            raw += chunk
    os.close(terminal)
    assert process.wait(30) == 0
    return raw.decode()


def screen_of(raw: str) -> str:
    """What is left to be seen, as far as rich draws: it erases a line, goes up, and hides the cursor."""
    lines, row = [""], 0
    for part in re.findall(r"\x1b\[[?0-9;]*[A-Za-z]|\r|\n|[^\x1b\r\n]+", raw):
        if part == "\n":
            row += 1
            lines += [""] * (row + 1 - len(lines))
        elif part == "\x1b[1A":
            row -= 1
        elif part == "\x1b[2K":
            lines[row] = ""
        elif not part.startswith(("\x1b", "\r")):
            lines[row] += part
    return "\n".join(lines)


def on_terminal(arguments: Sequence[str]) -> str:
    """Run a command whose stdout is a terminal, one without styles, and give what it writes."""
    written = raw_on_terminal(arguments, stderr=False, TERM="dumb", PYTHONIOENCODING="utf-8")
    return written.replace("\r\n", "\n")


def run_onto(file: Path, command: Sequence[str], monkeypatch: pytest.MonkeyPatch, *, mode: str = "a") -> int:
    """`plugchat … >> file`, in this process."""
    with file.open(mode, encoding="utf-8") as out, monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", out)
        return cli.run(command)
