"""One row: a command is stopped in the middle of its work, and what it leaves and does the next time is checked."""

import contextlib
import io
import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO
from unittest import mock

from attrs import Factory, asdict, define, frozen

from plugchat_async.cli import app as cli
from plugchat_async.testing import PlugChatSimulator
from support.fakes import served

TOKEN = "s3cret-token-of-all-rows"
# Seconds that a row may take on a slow machine.
MAX_SECONDS = 30.0


@frozen
class Place:
    """Where a command runs: a folder, the file for the number of a process in the background, and an account."""

    folder: Path
    pid_file: Path
    sim: PlugChatSimulator

    def run(self, *arguments: str, out: IO[str] | None = None) -> tuple[int, str]:
        """Run a command in this process, to its end; give its exit code, and what it says on stderr."""
        err = io.StringIO()
        with contextlib.redirect_stdout(out or io.StringIO()), contextlib.redirect_stderr(err):
            code = cli.run(arguments)
        return code, self.plain(err.getvalue())

    def plain(self, text: str) -> str:
        """Give a text in one line, without what differs from run to run, and what each watch says at first."""
        lines = text.replace(f"{self.folder}/", "").splitlines()
        return " / ".join(line for line in lines if not line.startswith("watching "))


@frozen
class Ended:
    """How a command has ended.

    Attributes:
        code: The exit code, as a shell has it; None if the machine went with the process.
        said: What was said on stderr, with " / " between lines.
        left: The files that were left.
        then: What the next run does.
    """

    code: int | None = None
    said: str = ""
    left: str = ""
    then: str = ""


@frozen
class Row:
    """A stop, and the required outcome.

    Attributes:
        command: The command, which is the section of the page.
        stop: What stops it.
        play: Runs it, stops it, and runs it again.
        wanted: The outcome.
    """

    command: str
    stop: str
    play: Callable[[Place], Ended]
    wanted: Ended

    @property
    def id(self) -> str:
        return f"{self.command}: {self.stop}"


@define
class Verdict:
    """The outcome of a row, and its differences from the required one."""

    row: Row
    ended: Ended
    seconds: float
    problems: list[str] = Factory(list[str])


@contextlib.contextmanager
def placed() -> Iterator[Place]:
    """A new folder, and an account of 250 chats with the environment to reach it."""
    with (
        TemporaryDirectory() as folder,
        served(PlugChatSimulator(250, seed=7, token=TOKEN, dialect="documented")) as sim,
    ):
        place = Place(Path(folder).resolve() / "here", Path(folder) / "pid", sim)
        place.folder.mkdir()
        known = {"PLUGCHAT_TOKEN": sim.token, "PLUGCHAT_BASE_URL": sim.base_url, "PID_FILE": str(place.pid_file)}
        with mock.patch.dict(os.environ, known):
            yield place


def check(row: Row) -> Verdict:
    """Run a row, and check everything about it."""
    began = time.monotonic()
    with placed() as place:
        ended = row.play(place)
    verdict = Verdict(row, ended, time.monotonic() - began)
    got, wanted = asdict(ended), asdict(row.wanted)
    verdict.problems += [
        f"{name}: {got[name]!r} instead of {wanted[name]!r}" for name in got if got[name] != wanted[name]
    ]
    if TOKEN in ended.said:
        verdict.problems.append("it shows the token")
    if verdict.seconds > MAX_SECONDS:
        verdict.problems.append(f"it took {verdict.seconds:.1f} s")
    return verdict


def compared(came: Sequence[str], wanted: Sequence[str]) -> str:
    """Say how many chats are missing, and how many came twice."""
    return f"{len(set(wanted) - set(came))} missing, {len(came) - len(set(came))} doubled"


def files(folder: Path, *, but: Sequence[str] = ()) -> str:
    """Name the files in a folder. Hidden ones are not named, but their mode is told, unless only their owner reads."""
    there = [path for path in folder.rglob("*") if path.is_file()]
    names = {path.relative_to(folder).as_posix() for path in there if not path.name.startswith(".")}
    told = [f"`{name}`" for name in sorted(names.difference(but))]
    for path in there:
        if path.name.startswith("."):
            try:
                mode = path.stat().st_mode & 0o777
            except FileNotFoundError:
                continue  # a command that runs has just given it its name
            told.append("a hidden part" if mode == 0o600 else f"a hidden part of mode {mode:o}")
    return ", ".join(told)
