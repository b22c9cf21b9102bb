"""Slow disks: files are written by threads of their own, in order, and none of them outlives its call."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from plugchat_async import Chat, OutputError, export_many, write_csv, write_jsonl, write_parquet
from plugchat_async._internal.files import AtomicFile
from plugchat_async.testing import PlugChatSimulator
from support.exports import MANIFEST, Style, account, entries, ids, only

WRITES: list[Callable[[Any, Any], Coroutine[Any, Any, int]]] = [write_jsonl, write_csv, write_parquet]
STYLES: list[Style] = ["jsonl", "csv", "parquet"]


class SlowDisk:
    """Lets each write and commit take a while, and knows which thread has made it.

    Attributes:
        seconds: How long one takes.
        held: Whether it takes until `release` is called, but ten seconds at most.
        threads: The threads that have written.
        busy: How many are being written now.
        most: How many were being written at a time, at most.
        turns: How often the event loop has turned.
        stuck: How many writes it has not turned in.
        error: What each write raises.
    """

    def __init__(self) -> None:
        self.seconds = 0.05
        self.threads: set[int] = set()
        self.busy = self.most = self.turns = self.stuck = 0
        self.error: OSError | None = None
        self.held = False
        self._released = threading.Event()
        self._lock = threading.Lock()

    def release(self) -> None:
        self._released.set()

    async def is_writing(self, count: int, task: asyncio.Task[Any]) -> None:
        """Wait until so many writes are held at a time. The task must not end before."""
        while self.most < count:
            assert not task.done()
            await asyncio.sleep(0.001)

    def work(self) -> None:
        with self._lock:
            self.busy += 1
            self.most = max(self.most, self.busy)
        self.threads.add(threading.get_ident())
        before = self.turns
        try:
            if self.held:
                self._released.wait(10)
            time.sleep(self.seconds)
            self.stuck += self.turns == before
            if self.error is not None:
                raise self.error
        finally:
            with self._lock:
                self.busy -= 1


class SlowFile:
    """A file on it. Only two writes are slow: Parquet has dozens."""

    def __init__(self, disk: SlowDisk, file: Any) -> None:
        self._disk = disk
        self._file = file
        self._slow = 2

    def write(self, data: bytes) -> int:
        if self._slow:
            self._slow -= 1
            self._disk.work()
        return int(self._file.write(data))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> SlowDisk:
    """A slow disk for all files but the manifest."""
    disk = SlowDisk()
    init, commit = AtomicFile.__init__, AtomicFile.commit

    def slow_init(self: AtomicFile, *arguments: Any, **options: Any) -> None:
        init(self, *arguments, **options)
        file: Any = SlowFile(disk, self.file)
        self.file = file

    def slow_commit(self: AtomicFile) -> None:
        disk.work()
        commit(self)

    monkeypatch.setattr(AtomicFile, "__init__", slow_init)
    monkeypatch.setattr(AtomicFile, "commit", slow_commit)
    return disk


async def turning(disk: SlowDisk, work: Coroutine[Any, Any, Any]) -> None:
    """Do something, and count how often the event loop turns meanwhile."""
    task = asyncio.create_task(work)
    while not task.done():
        await asyncio.sleep(0.001)
        disk.turns += 1
    await task


@pytest.mark.slow
@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("merge_people", [False, True])
async def test_an_export_leaves_the_event_loop_alone(
    tmp_path: Path, sim: PlugChatSimulator, slow: SlowDisk, style: Style, *, merge_people: bool
) -> None:
    """No write is its thread's; several accounts are written at a time, each in the order of its pages."""
    slow.seconds = 0.3
    accounts = [account(number, sim, 600 if number < 2 else 20) for number in range(8)]
    exporting = export_many(accounts, tmp_path, format=style, page_size=300, merge_people=merge_people)
    await turning(slow, exporting)
    assert slow.stuck == 0
    assert threading.get_ident() not in slow.threads
    assert slow.most >= 4
    if not merge_people:
        for number in (0, 7):
            chats = sim._accounts[f"token-{number}"].chats
            assert sorted(ids(tmp_path / f"account {number}.{style}")) == sorted(chat.id for chat in chats)


@pytest.mark.slow
@pytest.mark.parametrize("write", WRITES)
async def test_a_single_file_leaves_the_event_loop_alone(tmp_path: Path, slow: SlowDisk, write: Any) -> None:
    """Its chats are written in order."""
    slow.seconds = 0.3
    await turning(slow, write((Chat(str(number)) for number in range(2500)), tmp_path / "x.csv"))
    assert slow.stuck == 0
    assert threading.get_ident() not in slow.threads
    assert slow.most == 1
    if write is write_csv:
        assert ids(tmp_path / "x.csv") == [str(number) for number in range(2500)]


@pytest.mark.slow
async def test_few_chats_are_in_memory(tmp_path: Path, sim: PlugChatSimulator, slow: SlowDisk) -> None:
    """A disk that can't follow holds up the requests."""
    slow.held, slow.seconds = True, 0.0
    one = account(0, sim, 3000)
    accounts = [evolve(one, name=f"account {number}") for number in range(40)]
    exporting = asyncio.create_task(export_many(accounts, tmp_path, page_size=500, concurrency=40))
    await slow.is_writing(8, exporting)
    pages = len(sim.requests)
    await asyncio.sleep(0.1)
    # Those that are written, the one that waits, those of the workers, and what they ask for next.
    assert len(sim.requests) - pages <= 2 * (40 + 1) + 16
    exporting.cancel()
    slow.release()
    await asyncio.wait([exporting])


@pytest.mark.slow
@pytest.mark.parametrize("style", STYLES)
async def test_cancelling_waits_for_what_is_being_written(
    tmp_path: Path, sim: PlugChatSimulator, slow: SlowDisk, style: Style
) -> None:
    """Nothing is half-written, no thread is left, and what is finished is written down."""
    slow.held = True
    accounts = [account(number, sim, 600) for number in range(6)]
    exporting = asyncio.create_task(export_many(accounts, tmp_path, format=style, page_size=600))
    await slow.is_writing(3, exporting)
    exporting.cancel()
    slow.release()
    with pytest.raises(asyncio.CancelledError):
        await exporting
    assert slow.busy == 0
    assert not any(thread.name.startswith("plugchat-files") for thread in threading.enumerate())
    assert only(tmp_path) == sorted([MANIFEST, *(entry["file"] for entry in entries(tmp_path))])
    slow.seconds, finished = 0.0, len(entries(tmp_path))
    summary = await export_many(accounts, tmp_path, format=style)
    assert (summary.skipped, summary.finished) == (finished, 6 - finished)


@pytest.mark.parametrize("write", WRITES)
async def test_cancelling_a_single_file_waits_for_its_write(tmp_path: Path, slow: SlowDisk, write: Any) -> None:
    """In whatever it is."""

    async def chats() -> AsyncIterator[Chat]:
        for number in range(100_000):
            yield Chat(str(number))

    writing = asyncio.create_task(write(chats(), tmp_path / "x"))
    while not slow.busy:
        await asyncio.sleep(0.001)
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    assert slow.busy == 0
    assert only(tmp_path) == []
    assert not any(thread.name.startswith("plugchat-files") for thread in threading.enumerate())


async def test_a_disk_that_fails_ends_an_export_at_once(tmp_path: Path, sim: PlugChatSimulator, slow: SlowDisk) -> None:
    """Also while it waits for accounts that don't come."""
    slow.error = OSError(5, "Input/output error")

    async def accounts() -> AsyncIterator[Any]:
        yield account(1, sim)
        await asyncio.sleep(3600)

    with pytest.raises(OutputError, match="Input/output error"):
        await asyncio.wait_for(export_many(accounts(), tmp_path), 20)
    assert only(tmp_path) == [MANIFEST]
