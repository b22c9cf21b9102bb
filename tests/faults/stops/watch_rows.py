"""Rows of `plugchat watch`, with a state and the events in a file, and of `plugchat simulate`."""

import json
import time

from attrs import evolve

from faults.stops.cell import Ended, Place, Row, compared, files
from faults.stops.work import (
    BACKGROUND,
    CHECK_DISK,
    FULL,
    HUP,
    INT,
    KILL,
    NONE,
    READ_ONLY,
    TERM,
    How,
    Work,
    beside,
    stopped,
)
from plugchat_async import Chat
from plugchat_async.testing import Fault
from support.commands import PATIENCE, start, wait_until

ONTO_FILE = "plugchat watch --state s >> events.jsonl"
INTO_PIPE = "plugchat watch --state s | …"
SIMULATE = "plugchat simulate --accounts-file accounts.csv"
# What the small disk has room for: 40 blocks.
ROOM = 40 * 512


class Watch(Work):
    """Events that are appended to a file. Three chats get a message before the stop, and two after it."""

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self.target = self.file = self.folder / "events.jsonl"
        self.base = ["watch", "--page-size", "50", "--format", "jsonl", "--state", str(self.folder / "s")]
        self.arguments = [*self.base, "--interval", "0.05"]
        self.touched: list[Chat] = []

    def prepare(self, fault: Fault | None) -> None:
        assert self.once()[0] == 0
        self.touch(0, 3)
        self.sim.requests.clear()

    def once(self) -> tuple[int, str]:
        """Poll once, in this process."""
        with self.file.open("a", encoding="utf-8") as out:
            return self.place.run(*self.base, "--max-polls", "1", out=out)

    def touch(self, first: int, last: int) -> None:
        for chat in [self.sim.chats[250 - 1 - number] for number in range(first, last)]:
            self.sim.receive_message(chat)
            self.touched.append(chat)

    def is_in_the_middle(self) -> bool:
        return len(self.lines()) == 3 and len(self.sim.requests) > 10

    def lines(self) -> list[str]:
        return [line for line in self.file.read_text("utf-8").splitlines() if line.strip("#")]

    def left(self) -> str:
        return ", ".join([f"{len(self.lines())} lines", files(self.folder, but=["events.jsonl"])])

    def again(self) -> str:
        self.touch(5, 7)
        code, said = self.once()
        came = [str(json.loads(line)["chat"]["phone"]) for line in self.lines()]
        rest = files(self.folder, but=["events.jsonl"])
        told = compared(came, [str(chat.phone) for chat in self.touched])
        return told if (code, rest) == (0, "`s`, `s.previous`") else f"{told}; {code}: {said}; {rest}"


def without_rights(work: Work, _: object) -> None:
    """Let two more events happen in a folder that has become read-only."""
    work.folder.chmod(0o500)
    assert isinstance(work, Watch)
    work.touch(3, 5)


class OntoSmallDisk(Watch):
    """The same, onto a disk that has no room left for an event, and from then on has."""

    def prepare(self, fault: Fault | None) -> None:
        super().prepare(fault)
        self.file.write_text("#" * (ROOM - 100) + "\n")


def closed_pipe(place: Place) -> Ended:
    """Read three events, close the pipe, and let two more happen."""
    work = Watch(place)
    work.prepare(None)
    process = start(*work.arguments)
    assert process.stdout is not None
    assert process.stderr is not None
    work.file.write_text("".join(process.stdout.readline() for _ in range(3)), "utf-8")
    process.stdout.close()
    work.touch(3, 5)
    with process.stderr as errors:
        said = place.plain(errors.read())
    code = process.wait(PATIENCE)
    return Ended(code, said, files(place.folder, but=["events.jsonl"]), work.again())


class Simulate(Work):
    """A simulator with a file of its accounts. It has nothing to go on with."""

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self.file = self.folder / "accounts.csv"
        self.arguments = ["simulate", "--port", "0", "--accounts-file", str(self.file)]

    def prepare(self, fault: Fault | None) -> None:
        """It needs nothing."""

    def is_in_the_middle(self) -> bool:
        if not self.file.exists():
            return False
        time.sleep(0.3)  # it says so a moment later
        return True

    def left(self) -> str:
        return files(self.folder)

    def again(self) -> str:
        process = start(*self.arguments)
        try:
            self.file.unlink(missing_ok=True)
            wait_until(self.file.exists)
        finally:
            process.kill()
            process.communicate()
        return "serves again"


def port_in_use(place: Place) -> Ended:
    """Another program listens there: this process's own simulator."""
    port = place.sim.base_url.rpartition(":")[2]
    code, said = place.run("simulate", "--port", port)
    return Ended(code, said.replace(port, "8765"), "", "")


def watch(how: How, code: int, said: str, left: str = "3 lines, `s`, `s.previous`") -> Row:
    return Row(ONTO_FILE, how.name, stopped(Watch, how), Ended(code, said, left, NONE))


def simulate(how: How, code: int, said: str) -> Row:
    return Row(
        SIMULATE,
        how.name,
        stopped(Simulate, how),
        Ended(code, f"{SERVING} / {said}" if said else SERVING, "`accounts.csv`", "serves again"),
    )


RESUME = "run the same command again to resume."
AGAIN = "run the command again."
SERVING = "serving 1000 chats; press Ctrl-C to stop"
PORT_IN_USE = (
    "error: can't listen on port 8765: Address already in use / what to do: Choose another --port, or 0 for any."
)
IN_USE = "error: the state s is in use by another watch / what to do: Wait until it has ended, or use another file."
NO_ROOM = (
    "error: can't write to standard output: File too large / what to do: Check its target and the free disk space."
)
WATCH = [
    watch(INT, 0, ""),
    watch(TERM, 143, f"stopped by SIGTERM: {RESUME}"),
    watch(HUP, 129, f"stopped by SIGHUP: {RESUME}"),
    watch(KILL, 137, "", "3 lines, `s`, `s.lock`, `s.previous`"),
    watch(BACKGROUND, 143, f"stopped by SIGTERM: {RESUME}"),
    Row(
        ONTO_FILE,
        FULL.name,
        stopped(OntoSmallDisk, FULL),
        Ended(1, NO_ROOM, "0 lines, `s`, `s.previous`", NONE),
    ),
    watch(
        evolve(READ_ONLY, act=without_rights),
        1,
        f"error: can't write s: Permission denied {CHECK_DISK}",
        "3 lines, `s`, `s.lock`, `s.previous`",
    ),
    Row(
        ONTO_FILE,
        "a second run meanwhile",
        beside(Watch),
        Ended(2, IN_USE, "3 lines, `s`, `s.previous`", NONE),
    ),
    Row(INTO_PIPE, "a closed pipe", closed_pipe, Ended(141, "", "`s`, `s.previous`", NONE)),
    simulate(INT, 0, ""),
    simulate(TERM, 143, f"stopped by SIGTERM: {AGAIN}"),
    simulate(HUP, 129, f"stopped by SIGHUP: {AGAIN}"),
    simulate(KILL, 137, ""),
    simulate(BACKGROUND, 143, f"stopped by SIGTERM: {AGAIN}"),
    Row(SIMULATE, "a port that is in use", port_in_use, Ended(2, PORT_IN_USE)),
]
