"""What is common to the commands of all rows, and the ways in which they are stopped."""

import os
import signal
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from attrs import frozen

from faults.stops.cell import Ended, Place
from plugchat_async.testing import Fault
from support.commands import PATIENCE, after, start, wait_until


class Work(ABC):
    """A command in a place.

    Attributes:
        place: The place.
        arguments: Those of the command.
        target: The file to which its stdout is appended; None for a pipe.
        folder: Where it writes files.
    """

    arguments: Sequence[str] = ()
    target: Path | None = None

    def __init__(self, place: Place) -> None:
        self.place = place
        self.sim = place.sim
        self.folder = place.folder

    @abstractmethod
    def prepare(self, fault: Fault | None) -> None:
        """Make what the command finds. `fault` is what it meets in the middle of its work."""

    @abstractmethod
    def is_in_the_middle(self) -> bool:
        """Say whether it is there."""

    @abstractmethod
    def left(self) -> str:
        """Say what was left."""

    @abstractmethod
    def again(self) -> str:
        """Run it again, and say what came of both runs."""

    def start(self, prefix: Sequence[str] = ()) -> subprocess.Popen[str]:
        with ExitStack() as stack:
            out = subprocess.PIPE if self.target is None else stack.enter_context(self.target.open("a"))
            return start(*self.arguments, out=out, prefix=prefix)

    def append(self) -> tuple[int, str]:
        """Run it in this process, and append what it writes to the target."""
        assert self.target is not None
        with self.target.open("a", encoding="utf-8") as out:
            return self.place.run(*self.arguments, out=out)


HANG = Fault.hang()


@frozen
class How:
    """A way to stop a command.

    Attributes:
        name: The name on the page.
        act: What is done when the command is in the middle; None if it is stopped by what it was started with.
        prefix: What starts it.
        fault: What holds it in the middle.
    """

    name: str
    act: Callable[[Work, subprocess.Popen[str]], None] | None
    prefix: Sequence[str] = ()
    fault: Fault | None = HANG


def sending(*numbers: signal.Signals) -> Callable[[Work, subprocess.Popen[str]], None]:
    def act(_: Work, process: subprocess.Popen[str]) -> None:
        for number in numbers:
            process.send_signal(number)

    return act


def sent_to_the_background(work: Work, _: subprocess.Popen[str]) -> None:
    pid = int(work.place.pid_file.read_text())
    os.kill(pid, signal.SIGINT)
    time.sleep(0.2)  # nothing tells that it is ignored
    os.kill(pid, signal.SIGTERM)  # which fails if it has ended


def without_rights(work: Work, _: subprocess.Popen[str]) -> None:
    work.folder.chmod(0o500)


INT, TERM, HUP, KILL = (
    How(number.name, sending(number)) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL)
)
INT_TWICE = How("SIGINT twice", sending(signal.SIGINT, signal.SIGINT))
BACKGROUND = How(
    "SIGTERM, in the background of a plain `sh`",
    sent_to_the_background,
    ("sh", "-c", '"$0" "$@" & echo $! > "$PID_FILE"; wait $!'),
)
# Its blocks are of 512 bytes. The limit is that of one file, which is as good as a small disk.
FULL = How("a full disk", None, after("ulimit -f 40"), None)
# root may write everywhere, unless it is without that right.
READ_ONLY = How(
    "a folder that becomes read-only",
    without_rights,
    ("setpriv", "--bounding-set=-dac_override") if os.geteuid() == 0 else (),
    Fault.delay(0.5),
)


def stopped(make: Callable[[Place], Work], how: How) -> Callable[[Place], Ended]:
    """Stop a command in the middle of its work."""

    def play(place: Place) -> Ended:
        work = make(place)
        work.prepare(how.fault)
        process = work.start(how.prefix)
        try:
            if how.act is not None:
                wait_until(work.is_in_the_middle)
                how.act(work, process)
            _, err = process.communicate(timeout=PATIENCE)
        finally:
            process.kill()
            work.folder.chmod(0o700)
        return Ended(shell_code(process.returncode), place.plain(err), work.left(), work.again())

    return play


def beside(make: Callable[[Place], Work]) -> Callable[[Place], Ended]:
    """Run a command while it is in the middle of its work; tell how the second run ends, and stop the first."""

    def play(place: Place) -> Ended:
        work = make(place)
        work.prepare(Fault.hang())
        first = work.start()
        try:
            wait_until(work.is_in_the_middle)
            if work.target is None:
                code, said = place.run(*work.arguments)
            else:
                code, said = work.append()
            first.send_signal(signal.SIGTERM)
            first.communicate(timeout=PATIENCE)
        finally:
            first.kill()
        return Ended(code, said, work.left(), work.again())

    return play


# What a run comes to.
NONE = "0 missing, 0 doubled"
# What errors of files end with.
CHECK_DISK = "/ what to do: Check the folder, its permissions and the free space."


def shell_code(returncode: int) -> int:
    """Give an exit code as a shell has it."""
    return returncode if returncode >= 0 else 128 - returncode
