"""Rows of `plugchat bulk`: three accounts, of which the third one is under way when it is stopped."""

import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from textwrap import dedent

from faults.stops.cell import TOKEN, Ended, Place, Row, compared, files
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
    shell_code,
    stopped,
)
from plugchat_async import AuthenticationError
from plugchat_async.testing import Fault, SimulatedAccount
from support.commands import PATIENCE, wait_until
from support.exports import MANIFEST, Style, ids

# How many chats they have. Those of the third one do not fit on the small disk.
ACCOUNTS = {"ana": 5, "bia": 5, "eva": 1000}


class Bulk(Work):
    """An export into a folder."""

    options: tuple[str, ...] = ()

    def __init__(self, place: Place, style: Style = "jsonl") -> None:
        super().__init__(place)
        self.style = style
        self.accounts: dict[str, SimulatedAccount] = {
            name: self.sim.add_account(f"{TOKEN}-{name}", count, seed=count + len(name))
            for name, count in ACCOUNTS.items()
        }
        listed = place.folder.parent / "accounts.csv"
        listed.write_text("".join(["name,token\n", *(f"{name},{TOKEN}-{name}\n" for name in ACCOUNTS)]))
        self.folder = place.folder / "out"
        self.folder.mkdir()
        self.plain: Sequence[str] = [
            "bulk",
            str(listed),
            "-o",
            str(self.folder),
            "--format",
            style,
            "--concurrency",
            "1",
        ]
        self.arguments = [*self.plain, "--page-size", "100", "--max-page-size", "0", *self.options]

    def prepare(self, fault: Fault | None) -> None:
        if fault is not None:
            self.sim.script(*[Fault.none()] * 7, fault, token=f"{TOKEN}-eva")

    def asked(self) -> list[str]:
        """The names of the accounts that were asked for, in order."""
        return [request.headers["authorization"].removeprefix(f"{TOKEN}-") for request in self.sim.requests]

    def is_in_the_middle(self) -> bool:
        # Files are written while requests go on, those of Parquet after an import.
        if self.asked().count("eva") < 8 or "hidden" not in files(self.folder):
            return False
        manifest = self.folder / MANIFEST
        if not manifest.exists() or not all(f'"{name}"' in manifest.read_text() for name in ("ana", "bia")):
            return False
        time.sleep(0.1)  # nothing tells that the second account is counted
        return True

    def left(self) -> str:
        return files(self.folder, but=[MANIFEST])

    def again(self) -> str:
        self.sim.requests.clear()
        code, said = self.place.run(*self.plain)
        fetched = sorted(set(self.asked()))
        told = f"fetches {' and '.join(fetched) or 'nothing'}: {self.compared()}"
        rest = files(self.folder, but=[MANIFEST, *(f"{name}.{self.style}" for name in ACCOUNTS)])
        return told if code == 0 and not rest else f"{told}; {code}: {said}; {rest}"

    def compared(self) -> str:
        came: list[str] = []
        wanted: list[str] = []
        for name, account in self.accounts.items():
            file = self.folder / f"{name}.{self.style}"
            came += [f"{name} {chat}" for chat in ids(file)] if file.exists() else []
            wanted += [f"{name} {chat.id}" for chat in account.chats]
        return compared(came, wanted)


class Restarted(Bulk):
    """The same with `--restart`, of accounts that have a chat more than their files."""

    options = ("--restart",)

    def prepare(self, fault: Fault | None) -> None:
        assert self.place.run(*self.plain)[0] == 0
        for account in self.accounts.values():
            account.new_chat()
        self.sim.requests.clear()
        super().prepare(fault)

    def left(self) -> str:
        told: list[str] = []
        for name, account in self.accounts.items():
            file = self.folder / f"{name}.{self.style}"
            count = len(ids(file)) if file.exists() else -1
            age = {len(account): "the new", len(account) - 1: "the old"}.get(count, f"{count} chats in")
            told.append(f"{age} `{file.name}`")
        rest = files(self.folder, but=[MANIFEST, *(f"{name}.{self.style}" for name in ACCOUNTS)])
        return ", ".join([*told, *([rest] if rest else [])])


def closed_pipe(place: Place) -> Ended:
    """Nobody reads the summary."""
    work = Bulk(place)
    process = work.start()
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    with process.stderr as errors:
        said = place.plain(errors.read())
    return Ended(process.wait(PATIENCE), said, work.left(), work.again())


def refused(place: Place) -> Ended:
    """The token of one account is refused."""
    work = Restarted(place)
    work.prepare(None)
    place.sim.script(Fault.status(401), token=f"{TOKEN}-eva")
    code, said = place.run(*work.arguments)
    left = work.left()
    return Ended(code, said, left, work.again())


# The command line has no option for the time that a request may take.
PAUSED = """
    import asyncio, sys
    from plugchat_async import RetryPolicy, export_many, read_accounts

    retry = RetryPolicy(attempts=1)
    options = {"base_url": sys.argv[3], "timeout": 1.0, "retry": retry, "page_size": 100, "max_page_size": None}
    summary = asyncio.run(export_many(read_accounts(sys.argv[1]), sys.argv[2], **options))
    sys.exit(bool(summary.failed))
"""


def paused(place: Place) -> Ended:
    """The machine sleeps while answers are awaited."""
    work = Bulk(place)
    place.sim.script(*[Fault.delay(3.0)] * 3)
    command = [sys.executable, "-W", "error", "-c", dedent(PAUSED), work.plain[1], str(work.folder), place.sim.base_url]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        wait_until(lambda: len(place.sim.requests) >= 3)
        process.send_signal(signal.SIGSTOP)
        time.sleep(2.5)
        process.send_signal(signal.SIGCONT)
        _, err = process.communicate(timeout=PATIENCE)
    finally:
        process.kill()
    return Ended(shell_code(process.returncode), place.plain(err), work.left(), work.again())


def unwritable(file: str, why: str = "File too large") -> str:
    return f"error: can't write out/{file}: {why} {CHECK_DISK}"


def command(style: Style, options: str = "") -> str:
    return f"plugchat bulk accounts.csv -o out --format {style}{options}"


def bulk(how: How, code: int | None, said: str, left: str = "", *, style: Style = "jsonl") -> Row:
    left = left or f"`ana.{style}`, `bia.{style}`"
    made = partial(Bulk, style=style)
    return Row(
        command(style),
        how.name,
        stopped(made, how),
        Ended(code, said, left, f"fetches eva: {NONE}"),
    )


def other(name: str, play: Callable[[Place], Ended], code: int, said: str, left: str, then: str) -> Row:
    return Row(command("jsonl"), name, play, Ended(code, said, left, f"fetches {then}: {NONE}"))


def restarted(name: str, play: Callable[[Place], Ended], code: int, said: str, rest: str = "") -> Row:
    left = f"the new `ana.jsonl`, the new `bia.jsonl`, the old `eva.jsonl`{rest}"
    return Row(command("jsonl", " --restart"), name, play, Ended(code, said, left, f"fetches eva: {NONE}"))


IN_USE = "error: another run is exporting to out / what to do: Wait until it has ended, or use another folder."
FAILED = (
    f"failed: eva: HTTP 401 Unauthorized: an empty body / what to do: {AuthenticationError.advice} / "
    "See out/.plugchat/failures.ndjson for the accounts that failed: the reasons, and what to do."
)
ALL = "`ana.jsonl`, `bia.jsonl`, `eva.jsonl`"
GO_ON = "2 of 3 accounts are finished. Run the same command again to fetch the others."
PART = "`ana.jsonl`, `bia.jsonl`, a hidden part"
BULK = [
    bulk(INT, 130, f"interrupted: {GO_ON}"),
    bulk(INT_TWICE, 130, f"interrupted: {GO_ON}"),
    bulk(TERM, 143, f"stopped by SIGTERM: {GO_ON}"),
    bulk(HUP, 129, f"stopped by SIGHUP: {GO_ON}"),
    bulk(KILL, 137, "", PART),
    bulk(BACKGROUND, 143, f"stopped by SIGTERM: {GO_ON}"),
    bulk(FULL, 1, unwritable("eva.jsonl")),
    bulk(READ_ONLY, 1, unwritable("eva.jsonl", "Permission denied")),
    other("a closed pipe, for the summary", closed_pipe, 141, "", ALL, "nothing"),
    other("a second run meanwhile", beside(Bulk), 2, IN_USE, "`ana.jsonl`, `bia.jsonl`", "eva"),
    other("a machine that sleeps for longer than `timeout`", paused, 0, "", ALL, "nothing"),
    *(bulk(how, code, said, style="csv") for how, code, said in [(TERM, 143, f"stopped by SIGTERM: {GO_ON}")]),
    bulk(KILL, 137, "", re.sub("jsonl", "csv", PART), style="csv"),
    bulk(FULL, 1, unwritable("eva.csv"), style="csv"),
    bulk(TERM, 143, f"stopped by SIGTERM: {GO_ON}", style="parquet"),
    bulk(KILL, 137, "", re.sub("jsonl", "parquet", PART), style="parquet"),
    bulk(FULL, 1, unwritable("eva.parquet"), style="parquet"),
    restarted(
        TERM.name,
        stopped(Restarted, TERM),
        143,
        f"stopped by SIGTERM: {GO_ON}".replace("again", "again without --restart"),
    ),
    restarted(KILL.name, stopped(Restarted, KILL), 137, "", ", a hidden part"),
    restarted(FULL.name, stopped(Restarted, FULL), 1, unwritable("eva.jsonl")),
    restarted("a token that is refused", refused, 5, FAILED, ", `.plugchat/failures.ndjson`"),
]
