"""Rows of `plugchat chats`, with a checkpoint and into a file of its own."""

from pathlib import Path

from attrs import evolve

from faults.stops.cell import Ended, Place, Row, compared, files
from faults.stops.work import (
    BACKGROUND,
    CHECK_DISK,
    FULL,
    HUP,
    INT,
    INT_TWICE,
    KILL,
    NONE,
    READ_ONLY,
    TERM,
    How,
    Work,
    beside,
    stopped,
)
from plugchat_async.testing import Fault
from support.commands import PATIENCE, start
from support.rows import ids_in

ONTO_FILE = "plugchat chats --checkpoint c >> all.jsonl"
INTO_PIPE = "plugchat chats --checkpoint c | …"
TO_FILE = "plugchat chats -o x.csv"
PAGES = ("--page-size", "10", "--max-page-size", "0")


class OntoFile(Work):
    """Chats that are appended to a file, with a checkpoint."""

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self.arguments = ["chats", *PAGES, "--format", "jsonl", "--checkpoint", str(self.folder / "c")]
        self.target = self.file = self.folder / "all.jsonl"

    def prepare(self, fault: Fault | None) -> None:
        if fault is not None:
            self.sim.script(*[Fault.none()] * 5, fault)

    def is_in_the_middle(self) -> bool:
        return len(self.sim.requests) == 6

    def left(self) -> str:
        text = self.file.read_text("utf-8") if self.file.exists() else ""
        half = "" if text.endswith("\n") or not text else " and a half"
        return ", ".join(filter(None, (f"{text.count(chr(10))} lines{half}", files(self.folder, but=["all.jsonl"]))))

    def again(self) -> str:
        self.target = self.file
        code, said = self.append()
        told = self.compared()
        rest = files(self.folder, but=["all.jsonl"])
        return told if code == 0 and not rest else f"{told}; {code}: {said}; {rest}"

    def compared(self) -> str:
        return compared(ids_in("jsonl", self.file.read_text("utf-8")), [chat.id for chat in self.sim.chats])


class OntoFullDevice(OntoFile):
    """The same, onto a disk that takes nothing."""

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self.target = Path("/dev/full")


def closed_pipe(place: Place) -> Ended:
    """Read three pages of five from a pipe, close it, and read all else from another one."""
    work = OntoFile(place)
    place.sim.script(*[Fault.none()] * 3, Fault.delay(0.5))
    process = start(*work.arguments)
    assert process.stdout is not None
    assert process.stderr is not None
    came = [process.stdout.readline() for _ in range(30)]
    process.stdout.close()
    with process.stderr as errors:
        said = place.plain(errors.read())
    code = process.wait(PATIENCE)
    left = files(place.folder)
    came += start(*work.arguments).communicate(timeout=PATIENCE)[0].splitlines(keepends=True)
    return Ended(code, said, left, compared(ids_in("jsonl", "".join(came)), [chat.id for chat in place.sim.chats]))


class ToFile(Work):
    """Chats into a file that appears complete or not at all, in the place of an older one."""

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self.file = self.folder / "x.csv"
        self.arguments = ["chats", *PAGES, "-o", str(self.file)]

    def prepare(self, fault: Fault | None) -> None:
        self.file.write_text("old\n")
        if fault is not None:
            self.sim.script(Fault.none(), fault)

    def is_in_the_middle(self) -> bool:
        return len(self.sim.requests) == 2 and len(list(self.folder.iterdir())) == 2

    def left(self) -> str:
        age = "old" if self.file.read_text("utf-8") == "old\n" else "new"
        return ", ".join(filter(None, (f"the {age} `x.csv`", files(self.folder, but=["x.csv"]))))

    def again(self) -> str:
        code, said = self.place.run(*self.arguments)
        told = compared(ids_in("csv", self.file.read_text("utf-8")), [chat.id for chat in self.sim.chats])
        rest = files(self.folder, but=["x.csv"])
        return told if code == 0 and not rest else f"{told}; {code}: {said}; {rest}"


def onto_file(how: How, code: int | None, said: str, left: str) -> Row:
    return Row(ONTO_FILE, how.name, stopped(OntoFile, how), Ended(code, said, left, NONE))


def to_file(how: How, code: int | None, said: str, left: str = "the old `x.csv`") -> Row:
    return Row(TO_FILE, how.name, stopped(ToFile, how), Ended(code, said, left, NONE))


RESUME = "50 chats were written. Run the same command again to resume."
STDOUT = "error: can't write to standard output:"
CHECK_TARGET = "/ what to do: Check its target and the free disk space."
STDOUT_FULL = f"{STDOUT} File too large {CHECK_TARGET}"
NO_SPACE = f"{STDOUT} No space left on device {CHECK_TARGET}"
IN_USE = (
    "error: the checkpoint c is in use by another process / what to do: Wait until it has ended, or use another file."
)
CHATS = [
    onto_file(INT, 130, f"interrupted: {RESUME}", "50 lines, `c`"),
    onto_file(INT_TWICE, 130, f"interrupted: {RESUME}", "50 lines, `c`"),
    onto_file(TERM, 143, f"stopped by SIGTERM: {RESUME}", "50 lines, `c`"),
    onto_file(HUP, 129, f"stopped by SIGHUP: {RESUME}", "50 lines, `c`"),
    onto_file(KILL, 137, "", "50 lines, `c`, `c.lock`"),
    onto_file(BACKGROUND, 143, f"stopped by SIGTERM: {RESUME}", "50 lines, `c`"),
    onto_file(FULL, 1, f"{STDOUT_FULL} {RESUME}", "50 lines, `c`"),
    onto_file(
        READ_ONLY,
        1,
        f"error: can't write c: Permission denied {CHECK_DISK} 60 chats were written, but the checkpoint could not be "
        "saved: can't write c: Permission denied.",
        "60 lines, `c`, `c.lock`",
    ),
    Row(
        ONTO_FILE,
        "a disk that takes nothing (`/dev/full`)",
        stopped(OntoFullDevice, evolve(FULL, prefix=())),
        Ended(1, f"{NO_SPACE} Nothing was written. Run the same command again.", "0 lines", NONE),
    ),
    Row(ONTO_FILE, "a second run meanwhile", beside(OntoFile), Ended(2, IN_USE, "50 lines, `c`", NONE)),
    Row(INTO_PIPE, "a closed pipe", closed_pipe, Ended(141, "", "`c`", NONE)),
    to_file(INT, 130, "interrupted: nothing was written. Run the same command again."),
    to_file(INT_TWICE, 130, "interrupted: nothing was written. Run the same command again."),
    to_file(TERM, 143, "stopped by SIGTERM: nothing was written. Run the same command again."),
    to_file(HUP, 129, "stopped by SIGHUP: nothing was written. Run the same command again."),
    to_file(KILL, 137, "", "the old `x.csv`, a hidden part"),
    to_file(BACKGROUND, 143, "stopped by SIGTERM: nothing was written. Run the same command again."),
    to_file(FULL, 1, f"error: can't write x.csv: File too large {CHECK_DISK}"),
    to_file(
        READ_ONLY, 1, f"error: can't write x.csv: Permission denied {CHECK_DISK}", "the old `x.csv`, a hidden part"
    ),
    Row(
        TO_FILE, "a second run meanwhile", beside(ToFile), Ended(0, "wrote 250 chats to x.csv", "the new `x.csv`", NONE)
    ),
]
