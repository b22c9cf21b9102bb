"""Exports and commands that are cancelled, killed or find no room on the disk, and are run again until all is whole."""

import asyncio
import contextlib
import os
import random
import signal
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import IO, Any, Final, get_args

from attrs import frozen

from faults.soaking.accounts import MARK, Known
from faults.soaking.ground import POLICY, Ground
from plugchat_async import Account, Chat, export_many, write_parquet
from support.commands import after, handles_sigterm
from support.exports import MANIFEST, Style, rows
from support.terminal import PLUGCHAT

# Accounts of one export, of which a part is quiet: these are exported.
LEASED: Final = 8
# A run may fail, since requests meet faults. So often must not.
MOST_RUNS: Final = 40
# Seconds in which a command must have begun its work, and in which it must end after a signal.
PATIENCE: Final = 30.0
SIGNALS: Final = {number.name: number for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL)}
# With these no part of a file may be left.
TIDY: Final = ("cancelled", "SIGINT", "SIGTERM", "SIGHUP", "a full disk")
PAGES: Final = ("--page-size", "5")


async def warm_up() -> None:
    """Write and read a Parquet file. The libraries that this loads take 60 MB, which would look like growth."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / "x.parquet"
        await write_parquet([Chat("1")], file)
        rows(file)


async def stop_exports(ground: Ground, chance: random.Random) -> None:
    """Export some quiet accounts after others."""
    while ground.left:
        with contextlib.ExitStack() as stack:
            leased = [stack.enter_context(ground.lease()) for _ in range(LEASED)]
            quiet = [known for known in leased if known.spec.kind == "quiet" and known.always]
            folder = Path(stack.enter_context(TemporaryDirectory()))
            if quiet:
                await Exporter(ground, chance, folder, quiet, chance.choice(get_args(Style))).export()
            await asyncio.sleep(0)


async def stop_walks(ground: Ground, chance: random.Random) -> None:
    """Walk one quiet account after the other with `plugchat chats --checkpoint`."""
    while ground.left:
        with ground.lease() as known, TemporaryDirectory() as folder:
            if known.spec.kind == "quiet":
                await walk_onto_file(ground, chance, Path(folder), known)
            await asyncio.sleep(0)


async def walk_onto_file(ground: Ground, chance: random.Random, folder: Path, known: Known) -> None:
    """Append the chats of an account to a file, until it has all. Each command is stopped, until time is short."""
    file = folder / "all.jsonl"
    arguments = ["chats", "--format", "jsonl", "--checkpoint", str(folder / "c"), *PAGES]
    environment = {"PLUGCHAT_TOKEN": known.spec.token, "PLUGCHAT_BASE_URL": ground.base_url}
    for _ in range(MOST_RUNS):
        fate = chance.choice((*SIGNALS, "a full disk")) if ground.left else "SIGTERM"
        with file.open("a") as out:
            command = Command(arguments, fate, out, environment)
            code = await command.run(ground, chance.expovariate(2.0) if ground.left else 3.0, folder / "c")
        if code == 0 or (file.stat().st_size and not (folder / "c").exists()):
            break  # it has ended, perhaps just before the signal
    ground.tally.violated_by(wrong_files(folder, {"all": known}, "jsonl"))


@frozen
class Exporter:
    """An export of quiet accounts into a folder."""

    ground: Ground
    chance: random.Random
    folder: Path
    quiet: Sequence[Known]
    style: Style

    async def export(self) -> None:
        """Stop some runs, go on until one is whole, and check what it has written."""
        for _ in range(self.chance.randrange(1, 4)):
            if self.ground.left:
                await self.stop(self.chance.choice(("cancelled", *SIGNALS, "a full disk")))
        for _ in range(MOST_RUNS):
            summary = await export_many(self.accounts(), self.out, **self.options())
            if not summary.failed:
                break
        files = {self.name_of(known): known for known in self.quiet}
        if self.ground.plants.take("file"):
            (self.out / f"{min(files)}.{self.style}").unlink()
        if self.ground.plants.take("part"):
            (self.out / ".planted.part").touch()
        self.ground.tally.violated_by(wrong_files(self.out, files, self.style))

    @property
    def out(self) -> Path:
        return self.folder / "out"

    async def stop(self, fate: str) -> None:
        """Run it, and stop it in this way; what it leaves must be tidy."""
        if fate == "cancelled":
            task = asyncio.create_task(export_many(self.accounts(), self.out, **self.options()))
            await asyncio.wait([task], timeout=self.chance.expovariate(3.0))
            task.cancel()
            await asyncio.wait([task])
            self.ground.tally.stops[fate if task.cancelled() else "too late"] += 1
        else:
            listed = self.folder / "accounts.csv"
            lines = [f"{account.name},{account.token},{account.base_url}\n" for account in self.accounts()]
            listed.write_text("".join(["name,token,base_url\n", *lines]))
            rate = ["--requests-per-second", "50"]  # so that there is something to stop
            arguments = ["bulk", str(listed), "-o", str(self.out), "--format", self.style, *rate, *PAGES]
            begun = self.out / MANIFEST
            await Command(arguments, fate).run(self.ground, self.chance.expovariate(2.0), begun)
        if fate in TIDY and (left := parts_in(self.out)):
            self.ground.tally.violated(f"{len(left)} parts of files were left by {fate}")

    def name_of(self, known: Known) -> str:
        return f"account {known.spec.seed}"  # a name is shown: it holds no token

    def accounts(self) -> list[Account]:
        return [Account(self.name_of(known), known.spec.token, self.ground.base_url) for known in self.quiet]

    def options(self) -> dict[str, Any]:
        return {
            "format": self.style,
            "concurrency": 2,
            "page_size": 5,
            "timeout": self.ground.order.timeout,
            "retry": POLICY,
            "max_concurrency": self.ground.order.most,
        }


@frozen
class Command:
    """A command that is to end in a way: by a signal, or because the disk is full."""

    arguments: Sequence[str]
    fate: str
    out: IO[str] | int = asyncio.subprocess.DEVNULL
    environment: Mapping[str, str] = MappingProxyType({})

    async def run(self, ground: Ground, seconds: float, begun: Path) -> int:
        """Run it; send its signal so many seconds after a file has appeared. Give its exit code."""
        # 16 blocks of 512 bytes: some accounts have less.
        prefix = after("ulimit -f 16") if self.fate == "a full disk" else []
        process = await asyncio.create_subprocess_exec(
            *(*prefix, *PLUGCHAT, *self.arguments),
            stdout=self.out,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, **self.environment},
        )
        ending = asyncio.create_task(process.communicate())
        try:
            end = time.monotonic() + PATIENCE
            while not (ending.done() or (handles_sigterm(process.pid) and begun.exists())) and time.monotonic() < end:
                await asyncio.sleep(0.02)
            await asyncio.wait([ending], timeout=seconds)
            # On a full disk, too: a request may hang, for longer than there is time.
            with contextlib.suppress(ProcessLookupError):  # it may have ended just now
                process.send_signal(SIGNALS.get(self.fate, signal.SIGTERM))
            await asyncio.wait([ending], timeout=PATIENCE)
        finally:
            if process.returncode is None:
                process.kill()
            _, err = await ending
        code = await process.wait()
        self.look_at(ground, err.decode(), code)
        return code

    def look_at(self, ground: Ground, said: str, code: int) -> None:
        """Count how it has ended, and check what it has said."""
        stopped = code in (-signal.SIGKILL, 128 + SIGNALS.get(self.fate, signal.SIGTERM))
        full = self.fate == "a full disk" and code == 1
        ground.tally.stops[self.fate if stopped or full else f"code {code}"] += 1
        if MARK in said:
            ground.tally.violated("a token is in what a command says")
        if code == 2 and "HTTP" not in said:  # nothing is wrong but what the server answers
            ground.tally.violated(f"a command is refused: {said[-3000:]}")
        if "Traceback" in said:
            ground.tally.violated(f"a command ends with a traceback: {said[-3000:]}")
        if code == -signal.SIGKILL and self.fate != "SIGKILL":
            ground.tally.violated(f"a command does not end by {self.fate}")


def parts_in(folder: Path) -> list[Path]:
    """Return the parts of files and the locks that are left in a folder, and below `.plugchat/`."""
    return [path for path in folder.rglob("*") if path.suffix in (".part", ".lock")]


def wrong_files(folder: Path, files: dict[str, Known], style: Style) -> list[str]:
    """Say what is wrong with the files of quiet accounts, by their names, and what else is left."""
    found: list[str] = []
    for name, known in files.items():
        file = folder / f"{name}.{style}"
        came = [row["phone"] or f"{row['lid']} {row['name'] or None}" for row in (rows(file) if file.exists() else [])]
        lost = len(known.always - set(came))
        if lost or len(came) > len(known.always):
            found.append(f"of {len(known.always)} chats of a file {lost} were lost, and {len(came)} came (stopped)")
    if left := parts_in(folder):
        found.append(f"{len(left)} parts of files are left")
    return found
