"""The writers of files: rows, files that appear whole, and what is left of dead processes."""

import asyncio
import csv
import errno
import gc
import json
import os
import re
import sys
from collections.abc import Callable, Coroutine
from contextlib import aclosing
from pathlib import Path
from typing import Any, Literal

import msgspec
import pyarrow.parquet as pq
import pytest
from cattrs.preconf.msgspec import make_converter
from hypothesis import given
from hypothesis import strategies as st

from plugchat_async import (
    Chat,
    OutputError,
    PlugChatSession,
    read_jsonl,
    write_csv,
    write_jsonl,
    write_parquet,
)
from plugchat_async._internal.files import AtomicFile
from plugchat_async._internal.parts import remove_stale_parts, temporary_name
from plugchat_async.export.csv_and_json import from_json, to_json
from plugchat_async.export.writers import has_chats, open_writer
from support.chats import ANY_CHAT, CHATS, TEXTS

Write = Callable[[Any, Any], Coroutine[Any, Any, int]]


Style = Literal["jsonl", "csv", "parquet"]


WRITES: list[Write] = [write_jsonl, write_csv, write_parquet]


def only(folder: Path) -> list[str]:
    """The names of all files, hidden ones too."""
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("style", ["jsonl", "csv", "parquet"])
def test_files_of_many_accounts_name_the_account_first(tmp_path: Path, style: Style) -> None:
    """In each row."""
    path = tmp_path / f"x.{style}"
    writer = open_writer(style, path, "=Ana")
    writer.write(CHATS[:1])
    writer.write([])
    writer.write(CHATS[1:3])
    writer.commit()
    assert writer.rows == 3
    match style:
        case "jsonl":
            rows = [json.loads(line) for line in path.read_text().splitlines()]
        case "csv":
            with path.open(newline="") as file:
                rows = list(csv.DictReader(file))
        case "parquet":
            rows = pq.read_table(path).to_pylist()
    assert list(rows[0])[:2] == ["account", "phone"]
    assert [row["account"] for row in rows] == ["'=Ana" if style == "csv" else "=Ana"] * 3
    assert [row["phone"] for row in rows] == ["1", "2", "3"]


async def test_what_was_written_as_lines_is_read_back_equal(tmp_path: Path) -> None:
    """One at a time, also from files of many accounts, whose names are left out."""
    await write_jsonl(CHATS, tmp_path / "x.jsonl")
    assert list(read_jsonl(tmp_path / "x.jsonl")) == CHATS
    assert next(read_jsonl(str(tmp_path / "x.jsonl"))) == CHATS[0]
    writer = open_writer("jsonl", tmp_path / "y.jsonl", "Ana")
    writer.write(CHATS)
    writer.commit()
    assert list(read_jsonl(tmp_path / "y.jsonl")) == CHATS


@pytest.mark.slow
@given(ANY_CHAT, st.none() | TEXTS)
def test_a_line_is_read_back_by_everybody(chat: Chat, account: str | None) -> None:
    """By us, by plain msgspec, by plain cattrs, as a dict: the same chat, whatever is in it."""
    line = to_json(chat, account)
    assert from_json(line, Chat) == chat
    assert Chat.from_dict(json.loads(line)) == chat
    assert msgspec.json.decode(line, type=Chat) == chat
    assert make_converter().loads(line.encode(), Chat) == chat
    assert Chat.from_dict(chat.to_dict()) == chat


@pytest.mark.slow
@pytest.mark.parametrize("write", WRITES)
async def test_a_full_disk_leaves_no_file(tmp_path: Path, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """At whichever write it fills up, the last ones too; the error says so, and nothing is left open."""
    done = 0

    class Disk:
        """A file on a disk that takes so many writes."""

        def __init__(self, file: Any, room: int) -> None:
            self.file = file
            self.room = room

        def write(self, data: bytes) -> int:
            if self.room == 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            self.room -= 1
            return int(self.file.write(data))

        def __getattr__(self, name: str) -> Any:
            return getattr(self.file, name)

    before = AtomicFile.__init__
    for room in range(200):

        def init(self: AtomicFile, path: Path, room: int = room, **options: Any) -> None:
            before(self, path, **options)
            disk: Any = Disk(self.file, room)
            self.file = disk

        monkeypatch.setattr(AtomicFile, "__init__", init)
        error: OutputError | None = None
        try:
            await write([Chat(str(number)) for number in range(3000)], tmp_path / "x")
        except OutputError as caught:
            error = caught
        if error is None:
            break
        assert "No space left on device" in str(error)
        assert str(error).endswith("Check the folder, its permissions and the free space.")
        assert error.path == str(tmp_path / "x")
        assert only(tmp_path) == []
        done += 1
    assert only(tmp_path) == ["x"]
    assert done >= 3
    gc.collect()


def test_leftovers_of_dead_processes_are_swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not those of living ones, nor those that this one writes, nor files of other names."""
    own = temporary_name(tmp_path / "x").name
    alive, dead = (own.replace(f"-{os.getpid()}-", f"-{pid}-") for pid in (os.getppid(), 999_999_999))
    elsewhere = re.sub(r"[0-9a-f]{8}-", "01234567-", dead, count=1)
    names = [alive, elsewhere, ".x.part", own[1:], own.upper()]
    gone = [dead, own]
    for name in [*names, *gone]:
        (tmp_path / name).touch()
    mine = AtomicFile(tmp_path / "z")
    remove_stale_parts(tmp_path)
    assert set(only(tmp_path)) == {*names, mine._part.name if mine._part else ""}
    mine.discard()
    remove_stale_parts(tmp_path / "none")
    assert set(only(tmp_path)) == set(names)
    (tmp_path / gone[0]).touch()

    def another_users(*_: object) -> None:
        raise PermissionError

    with monkeypatch.context() as patch:
        patch.setattr(os, "kill", another_users)
        remove_stale_parts(tmp_path)
        assert gone[0] in only(tmp_path)
    monkeypatch.setattr(os, "name", "nt")
    (tmp_path / gone[0]).touch()
    remove_stale_parts(tmp_path)
    assert gone[0] in only(tmp_path)


def test_a_name_beside_fits_into_file_systems(tmp_path: Path) -> None:
    """A long one is cut."""
    assert len(temporary_name(tmp_path / ("é" * 127)).name.encode()) < 255
    assert temporary_name(tmp_path / "x") != temporary_name(tmp_path / "x")


async def test_a_generator_that_is_left_half_way_leaves_nothing(tmp_path: Path, plugchat: PlugChatSession) -> None:
    """A writer that is discarded, twice."""
    async with aclosing(plugchat.iter_chats(10)) as walk:
        writer = open_writer("parquet", tmp_path / "x")
        writer.write([await anext(walk)])
        writer.discard()
        writer.discard()
    assert only(tmp_path) == []
    assert sys.getrefcount(writer) < 5


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "parquet"])
def test_a_file_that_may_not_be_read_may_have_chats(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    """One that is not there has none, nor has a folder of its name."""

    real = Path.open

    def refuse(path: Path, *arguments: Any, **options: Any) -> Any:
        if path == file:
            raise PermissionError(errno.EACCES, "Permission denied")
        return real(path, *arguments, **options)

    file = tmp_path / f"a.{suffix}"
    assert not has_chats(file)
    assert not has_chats(tmp_path)
    file.write_text("x")
    monkeypatch.setattr(Path, "open", refuse)
    assert has_chats(file)


async def test_a_pipe_waits_for_its_reader(tmp_path: Path) -> None:
    """In small steps; then it is written to as any file."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    pauses: list[float] = []
    readers: list[int] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            readers.append(os.open(path, os.O_RDONLY | os.O_NONBLOCK))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("plugchat_async._internal.files.time.sleep", pause)
        output = AtomicFile(path)
    assert len(pauses) == 3
    assert os.get_blocking(output.file.fileno())
    output.file.write(b"x")
    output.commit()
    assert os.read(readers[0], 10) == b"x"
    os.close(readers[0])


async def test_a_cancelled_task_does_not_wait_for_a_reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C cancels it from a signal's handler, while nothing else can run."""
    path = tmp_path / "pipe"
    os.mkfifo(path)

    async def wait() -> None:
        AtomicFile(path)

    waiting = asyncio.create_task(wait())
    monkeypatch.setattr("plugchat_async._internal.files.time.sleep", lambda _: waiting.cancel())
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_a_cancelled_task_does_not_wait_for_a_thread_that_waits_for_a_reader(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The thread looks whether the task is cancelled that waits for it."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    loop, looks = asyncio.get_running_loop(), 0

    async def cancel() -> None:
        writing.cancel()

    def pause(_: float) -> None:
        nonlocal looks
        looks += 1
        asyncio.run_coroutine_threadsafe(cancel(), loop).result(10)
        if looks == 5:
            path.unlink()  # else it would wait for ever

    monkeypatch.setattr("plugchat_async._internal.files.time.sleep", pause)
    writing = asyncio.create_task(write_jsonl([], path))
    with pytest.raises(asyncio.CancelledError):
        await writing
    assert looks == 1
    assert path.is_fifo()


def test_a_pipe_that_can_not_be_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also without an event loop, in which a task could be cancelled; and a pipe that has gone is a file to make."""
    path = tmp_path / "pipe"
    os.mkfifo(path)

    def refuse(*_: object) -> int:
        raise PermissionError(errno.EACCES, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refuse)
        with pytest.raises(OutputError, match="Permission denied"):
            AtomicFile(path)
    monkeypatch.setattr("plugchat_async._internal.files.time.sleep", lambda _: path.unlink())
    output = AtomicFile(path)
    output.commit()
    assert path.is_file()
