"""The command line in processes of their own: how they are started, waited for and stopped."""

import re
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

from support.terminal import PLUGCHAT

# Seconds in which a command must come to what it is waited for.
PATIENCE = 30.0


def heed_signals() -> None:
    """Let signals end this process, and the commands that it starts, whatever has started it.

    A plain sh starts a job in the background with SIGINT ignored, nohup with SIGHUP. All that it starts inherits that.
    """
    for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, handler)


def after(script: str) -> list[str]:
    """What starts a command from a plain sh, after a script there."""
    return ["sh", "-c", f'{script}; exec "$0" "$@"']


def start(*command: str, out: int | IO[str] = subprocess.PIPE, prefix: Sequence[str] = ()) -> subprocess.Popen[str]:
    """Start `plugchat` with some arguments. prefix: what starts it."""
    return subprocess.Popen([*prefix, *PLUGCHAT, *command], stdout=out, stderr=subprocess.PIPE, text=True)


def run(*command: str, out: int | IO[str] = subprocess.PIPE, prefix: Sequence[str] = ()) -> tuple[int, str]:
    """Run it to its end; give its exit code, and what it says on stderr."""
    process = start(*command, out=out, prefix=prefix)
    _, err = process.communicate(timeout=PATIENCE)
    return process.returncode, err


def after_greeting(err: str) -> str:
    """What `plugchat watch` says on stderr after it has said that it watches."""
    greeting, _, rest = err.partition("\n")
    assert re.fullmatch(r"watching http://\S+: a poll every \S+ s; press Ctrl-C to stop", greeting), err
    return rest


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def handles_sigterm(pid: int) -> bool:
    """Whether a command that was started has come so far. False where there is no /proc, or if it has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    found = re.search(r"^SigCgt:\s*(\w+)$", status, re.MULTILINE)
    return found is not None and bool(int(found[1], 16) >> (signal.SIGTERM - 1) & 1)


def said(number: signal.Signals) -> str:
    """How the line on stderr begins."""
    return "interrupted" if number == signal.SIGINT else f"stopped by {number.name}"
