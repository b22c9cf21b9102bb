"""Files of chats: what is in them, and that they appear whole or not at all."""

import asyncio
import csv
import errno
import gc
import json
import os
import subprocess
import sys
import tracemalloc
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugchat_async import (
    Chat,
    ConfigurationError,
    InvalidTypeError,
    InvalidValueError,
    MissingExtraError,
    OutputError,
    PlugChatSession,
    read_jsonl,
    to_arrow,
    to_polars,
    write_csv,
    write_jsonl,
    write_parquet,
)
from plugchat_async.testing import Fault, PlugChatSimulator
from support.chats import ANY_CHAT, CHATS, TIME

Write = Callable[[Any, Any], Coroutine[Any, Any, int]]
WRITES: list[Write] = [write_jsonl, write_csv, write_parquet]
COUNT = len(CHATS)


def rows_of(chats: list[Chat]) -> list[dict[str, object]]:
    names = ["phone", "name", "unread", "last_message_time", "is_muted", "is_marked_spam", "profile_thumbnail"]
    names += ("messages_unread", "lid", "is_pinned", "is_archived", "is_group", "is_group_announcement", "muted_until")
    return [{name: getattr(chat, name) for name in names} for chat in chats]


def only(folder: Path) -> list[str]:
    """The names of all files, hidden ones too."""
    return sorted(path.name for path in folder.iterdir())


# What is in them.


async def test_parquet_has_the_documented_schema(tmp_path: Path) -> None:
    """Text, 64-bit integers, UTC timestamps, booleans; null where there is nothing."""
    assert await write_parquet(CHATS, tmp_path / "x.parquet") == COUNT
    table = pq.read_table(tmp_path / "x.parquet")
    assert [(field.name, str(field.type), field.nullable) for field in table.schema] == [
        ("phone", "string", True),
        ("name", "string", True),
        ("unread", "int64", False),
        ("last_message_time", "timestamp[us, tz=UTC]", True),
        ("is_muted", "bool", False),
        ("is_marked_spam", "bool", False),
        ("profile_thumbnail", "string", True),
        ("messages_unread", "int64", True),
        ("lid", "string", True),
        ("is_pinned", "bool", True),
        ("is_archived", "bool", True),
        ("is_group", "bool", True),
        ("is_group_announcement", "bool", True),
        ("muted_until", "timestamp[us, tz=UTC]", True),
    ]
    assert table.to_pylist() == rows_of(CHATS)
    assert table.equals(to_arrow(CHATS))


async def test_jsonl_has_an_object_a_line(tmp_path: Path) -> None:
    """With the same names; times as RFC 3339."""
    assert await write_jsonl(CHATS, str(tmp_path / "x.jsonl")) == COUNT
    lines = (tmp_path / "x.jsonl").read_bytes().decode().splitlines()
    read = [json.loads(line) for line in lines]
    for row in read:
        for name in ("last_message_time", "muted_until"):
            if row[name] is not None:
                row[name] = datetime.fromisoformat(row[name])
    assert read == rows_of(CHATS)


async def test_csv_has_a_heading(tmp_path: Path) -> None:
    """Null is an empty cell."""
    assert await write_csv(CHATS, tmp_path / "x.csv") == COUNT
    with (tmp_path / "x.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["phone"] for row in rows] == ["1", "2", "3", "4", "", "6-group"]
    assert [row["name"] for row in rows[:4]] == [chat.name or "" for chat in CHATS[:4]]
    assert (rows[4]["name"], rows[4]["lid"]) == ("'=1+1", "'=5@lid")
    assert (rows[4]["muted_until"], rows[5]["muted_until"]) == ("9999-12-31T23:59:59.999999Z", "2021-06-06T15:01:27Z")
    assert [rows[4][name] for name in ("is_pinned", "is_archived", "is_group_announcement")] == ["true", "false", ""]
    assert rows[0]["last_message_time"] == "2021-06-06T15:01:27Z"
    assert (rows[0]["is_muted"], rows[0]["is_marked_spam"], rows[2]["messages_unread"]) == ("true", "false", "")


def test_arrow_and_polars_have_the_same_columns() -> None:
    """A line each."""
    frame = to_polars(iter(CHATS))
    assert frame.to_dicts() == rows_of(CHATS)
    assert frame.schema["last_message_time"] == frame.schema["muted_until"] == pl.Datetime("us", "UTC")
    assert to_arrow([]).num_rows == 0
    assert to_polars([]).columns == to_arrow(CHATS).column_names


@pytest.mark.parametrize("write", WRITES)
async def test_a_walk_is_written_as_it_goes(
    tmp_path: Path, write: Write, sim: PlugChatSimulator, plugchat: PlugChatSession
) -> None:
    """An async generator, closed at the end."""
    walk = plugchat.iter_chats(50)
    assert await write(walk, tmp_path / "x") == len(sim.chats)
    assert [chat async for chat in walk] == []
    assert only(tmp_path) == ["x"]


@pytest.mark.parametrize("write", WRITES)
async def test_no_chats_are_a_file_too(tmp_path: Path, write: Write) -> None:
    """With its heading, where there is one."""
    assert await write([], tmp_path / "x") == 0
    text = (tmp_path / "x").read_bytes()
    if write is write_parquet:
        assert pq.read_table(tmp_path / "x").num_rows == 0
    else:
        assert text == (b"" if write is write_jsonl else text.splitlines()[0] + b"\n")


async def test_row_groups_are_written_as_they_fill(tmp_path: Path) -> None:
    """Of 16,384 chats, the last of what is left; none of more, however the chats come."""
    assert await write_parquet((Chat(str(number)) for number in range(40_000)), tmp_path / "x") == 40_000
    metadata = pq.ParquetFile(tmp_path / "x").metadata
    groups = [metadata.row_group(index).num_rows for index in range(metadata.num_row_groups)]
    assert sum(groups) == 40_000
    assert max(groups) <= 16_384
    assert len(groups) == 3
    assert pq.read_table(tmp_path / "x")["phone"].to_pylist() == [str(number) for number in range(40_000)]


@pytest.mark.slow
@pytest.mark.parametrize("write", WRITES)
async def test_the_chats_are_never_all_in_memory(tmp_path: Path, write: Write) -> None:
    """Three times the chats take no more of it."""

    async def peak(count: int) -> int:
        gc.collect()
        tracemalloc.start()
        before = pa.total_allocated_bytes()
        most = 0

        def chats() -> Iterator[Chat]:
            nonlocal most
            for number in range(count):
                if number % 5000 == 0:
                    most = max(most, pa.total_allocated_bytes() - before)
                yield Chat(str(number), f"name {number}")

        await write(chats(), tmp_path / "x")
        most += tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    await peak(10)  # what is imported on the way
    small, large = await peak(17_000), await peak(51_000)
    assert large < 1.5 * small + 1_000_000
    assert large < 8_000_000


async def test_a_disk_that_is_full_from_the_beginning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even the beginning of a Parquet file fits: nothing is left."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(pq, "ParquetWriter", refuse)
    with pytest.raises(OutputError, match="No space left on device"):
        await write_parquet(CHATS, tmp_path / "x")
    assert only(tmp_path) == []


async def test_a_number_of_more_than_64_bits_does_not_fit_into_parquet(tmp_path: Path) -> None:
    """It fits into the others."""
    for chat in (Chat("1", unread=2**63), Chat("1", messages_unread=-(2**63) - 1), Chat("1", unread=10**30)):
        with pytest.raises(InvalidValueError, match="more than 64 bits") as caught:
            await write_parquet([chat], tmp_path / "x")
        assert "jsonl or csv" in caught.value.hint
        with pytest.raises(InvalidValueError, match="more than 64 bits"):
            to_arrow([chat])
        assert only(tmp_path) == []
    assert await write_jsonl([Chat("1", unread=10**30)], tmp_path / "x") == 1


# Read back.


def test_lines_of_an_older_version_are_read(tmp_path: Path) -> None:
    """They have eight of the fields; what is not there has its default. Lines of blanks are none."""
    (tmp_path / "x.jsonl").write_text(
        '{"account":"sales","phone":"1","name":"Ana \U0001f600","unread":3,"last_message_time":"2021-06-06T15:01:27Z",'
        '"is_muted":true,"is_marked_spam":false,"profile_thumbnail":null,"messages_unread":0}\n\n \n',
        "utf-8",
    )
    assert list(read_jsonl(tmp_path / "x.jsonl")) == [Chat("1", "Ana 😀", 3, TIME, is_muted=True, messages_unread=0)]
    (tmp_path / "empty.jsonl").touch()
    assert list(read_jsonl(tmp_path / "empty.jsonl")) == []


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"[]", "Expected `object`"),
        (b'{"phone":"2"', "truncated"),
        (b'{"phone":"\xff"}', "not a JSON object"),
        (b"[" * 10_000, "not a JSON object"),
        (b'{"phone":"2","unread":"3"}', "Expected `int`, got `str`"),
        (b'{"phone":"","lid":null}', "there is neither a phone nor a lid"),
        (b'{"phone":"2","muted_until":"2021-06-06T15:01:27"}', "muted_until has no offset from UTC"),
        (b'{"phone":"2","last_message_time":1622991687}', "Expected `datetime | null`, got `int`"),
    ],
)
def test_a_line_that_is_no_chat_is_named(tmp_path: Path, line: bytes, message: str) -> None:
    """Its number, its file and what to do; the chats before it came."""
    path = tmp_path / "x.jsonl"
    path.write_bytes(b'{"phone":"1"}\n\n' + line + b'\n{"phone":"4"}\n')
    chats = read_jsonl(path)
    assert next(chats) == Chat("1")
    with pytest.raises(InvalidValueError) as caught:
        next(chats)
    assert caught.value.message.startswith(f"line 3 of {path}: ")
    assert message in caught.value.message
    assert caught.value.hint


def test_a_file_that_can_not_be_read(tmp_path: Path) -> None:
    """It is not there, or is a folder: the reason, and which."""
    for path, reason in ((tmp_path / "none.jsonl", "No such file"), (tmp_path, "Is a directory")):
        with pytest.raises(InvalidValueError, match=reason) as caught:
            next(read_jsonl(path))
        assert str(path) in caught.value.message
        assert caught.value.hint == "Use a file of JSON lines."


@pytest.mark.slow
@given(st.lists(ANY_CHAT, max_size=5))
def test_columns_hold_any_chat(chats: list[Chat]) -> None:
    """A table gives back what was put into it."""
    assert to_arrow(chats).to_pylist() == rows_of(chats)


# Whole or not at all.


class BoomError(Exception):
    """The caller's own."""


async def failing() -> AsyncIterator[Chat]:
    for number in range(5000):
        yield Chat(str(number))
    raise BoomError


def failing_plainly() -> Iterator[Chat]:
    for number in range(5000):
        yield Chat(str(number))
    raise BoomError


@pytest.mark.parametrize("before", [None, "the file from before"])
@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize("chats", [failing, failing_plainly])
async def test_what_fails_leaves_no_file(
    tmp_path: Path, write: Write, before: str | None, chats: Callable[[], object]
) -> None:
    """And what was there stays."""
    path = tmp_path / "x"
    if before is not None:
        path.write_text(before)
    with pytest.raises(BoomError):
        await write(chats(), path)
    assert only(tmp_path) == ([] if before is None else ["x"])
    assert before is None or path.read_text() == before


@pytest.mark.parametrize("write", WRITES)
async def test_a_walk_that_fails_or_is_cancelled_leaves_no_file(
    tmp_path: Path, write: Write, sim: PlugChatSimulator, plugchat: PlugChatSession
) -> None:
    """In the middle, with pages under way."""
    sim.script(Fault.none(), Fault.status(401))
    with pytest.raises(ConfigurationError):
        await write(plugchat.iter_chats(10), tmp_path / "x")
    assert only(tmp_path) == []
    sim.script(Fault.none(), Fault.hang())
    writing = asyncio.create_task(write(plugchat.iter_chats(10, prefetch=2), tmp_path / "x"))
    while len(sim.requests) < 4:
        await asyncio.sleep(0.01)
    assert [name[:3] for name in only(tmp_path)] == [".x."]
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    assert only(tmp_path) == []


@pytest.mark.slow
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("write", WRITES)
async def test_a_device_that_is_full(write: Write) -> None:
    """It is written as it is, and the error is the same."""
    with pytest.raises(OutputError, match="No space left"):
        await write([Chat(str(number)) for number in range(100_000)], "/dev/full")


@pytest.mark.parametrize("write", WRITES)
async def test_a_folder_that_does_not_allow_it(tmp_path: Path, write: Write) -> None:
    """None, a file in its place, a path that no system takes."""
    (tmp_path / "file").touch()
    for path in ("none/x", "file/x", "a\0b", "x" * 300):
        with pytest.raises(OutputError, match="can't write"):
            await write(CHATS, tmp_path / path)
    with pytest.raises(OutputError):
        await write(CHATS, tmp_path)
    assert only(tmp_path) == ["file"]


async def test_a_walk_object_is_written_and_closed(
    sim: PlugChatSimulator, plugchat: PlugChatSession, tmp_path: Path
) -> None:
    """Also if the file can't be written: then its chats are in the checkpoint."""
    walk = plugchat.walk_chats(100, prefetch=2)
    assert await write_jsonl(walk, tmp_path / "chats.jsonl") == 250
    assert list(read_jsonl(tmp_path / "chats.jsonl")) == list(sim.chats)
    walk = plugchat.walk_chats(100, prefetch=2)
    with pytest.raises(OutputError):
        await write_jsonl(walk, tmp_path)
    assert walk.ended


async def test_a_walk_is_closed_even_if_the_file_can_not_be_begun(
    tmp_path: Path, sim: PlugChatSimulator, plugchat: PlugChatSession
) -> None:
    """No request is sent, and no generator left open."""
    walk = plugchat.iter_chats()
    with pytest.raises(OutputError):
        await write_jsonl(walk, tmp_path / "none" / "x")
    assert [chat async for chat in walk] == []
    assert sim.requests == []
    plain = (chat for chat in CHATS)
    with pytest.raises(OutputError):
        await write_jsonl(plain, tmp_path / "none" / "x")
    assert list(plain) == []


async def test_a_link_stays_one_and_permissions_are_kept(tmp_path: Path) -> None:
    """The file behind it is what is replaced."""
    (tmp_path / "real").write_text("old")
    (tmp_path / "real").chmod(0o600)
    (tmp_path / "link").symlink_to("real")
    await write_jsonl([Chat("1")], tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert '"phone":"1"' in (tmp_path / "real").read_text()
    assert (tmp_path / "real").stat().st_mode & 0o777 == 0o600


async def test_a_link_to_itself_is_told(tmp_path: Path) -> None:
    """It has no file behind it, and nothing is left beside it."""
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(OutputError, match="symbolic links"):
        await write_jsonl([Chat("1")], tmp_path / "loop")
    assert only(tmp_path) == ["loop"]


async def test_a_pipe_is_written_as_it_is(tmp_path: Path) -> None:
    """As /dev/stdout, which a shell may have made one of."""
    reading, writing = os.pipe()
    await write_jsonl([Chat("1")], f"/dev/fd/{writing}")
    os.close(writing)
    assert b'"phone":"1"' in os.read(reading, 1000)
    os.close(reading)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs descriptors")
def test_a_redirected_descriptor_is_shared(tmp_path: Path) -> None:
    """What others write there stays before and behind it, in a file, too."""
    code = "import asyncio, sys; from plugchat_async import Chat, write_csv; "
    code += 'print("head", flush=True); asyncio.run(write_csv([Chat("1")], sys.argv[1])); print("foot")'
    (tmp_path / "link").symlink_to("/dev/stdout")
    for path in ("/dev/stdout", "/dev/fd/1", "/proc/self/fd/1", str(tmp_path / "link")):
        with (tmp_path / "log").open("w") as log:
            log.write("before\n")
            log.flush()
            subprocess.run([sys.executable, "-c", code, path], stdout=log, check=True)
        lines = (tmp_path / "log").read_text().splitlines()
        assert (lines[:2], lines[-2:]) == (["before", "head"], ["1,,0,,false,false,,,,,,,,", "foot"])
    assert only(tmp_path) == ["link", "log"]


async def test_a_descriptor_that_is_not_open(tmp_path: Path) -> None:
    """It is told."""
    with pytest.raises(OutputError, match="Bad file descriptor"):
        await write_csv(CHATS, "/dev/fd/999999")
    folder = os.open("/", os.O_RDONLY)
    with pytest.raises(OutputError, match="Is a directory"):
        await write_csv(CHATS, f"/dev/fd/{folder}")
    os.close(folder)


async def test_what_is_no_unicode_is_refused(tmp_path: Path) -> None:
    """No service sends half a surrogate pair, but a caller may make one."""
    for write in WRITES:
        with pytest.raises((OutputError, InvalidValueError), match="not valid Unicode") as caught:
            await write([Chat("1", "\ud800")], tmp_path / "x")
        assert caught.value.hint.startswith("Replace the invalid part first")
    assert only(tmp_path) == []


async def test_too_many_open_files_have_a_hint_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not the disk."""

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(os, "open", full)
    with pytest.raises(OutputError, match="Too many open files") as caught:
        await write_jsonl(CHATS, tmp_path / "x")
    assert "Lower the concurrency" in caught.value.hint


@pytest.mark.parametrize("write", WRITES)
async def test_a_name_that_says_compressed_is_refused(tmp_path: Path, write: Write) -> None:
    """Other programs believe it, and fail to read the file."""
    for name in ("chats.csv.gz", "chats.jsonl.ZST"):
        with pytest.raises(InvalidValueError, match=f"files are not compressed, but the name {name} says so") as caught:
            await write(CHATS, tmp_path / name)
        assert caught.value.hint.startswith(f"Write {name.rpartition('.')[0]}, and compress that")
    assert only(tmp_path) == []


@pytest.mark.parametrize("write", WRITES)
async def test_what_is_no_chat_is_refused(tmp_path: Path, write: Write) -> None:
    """At once, or when it comes."""
    with pytest.raises(InvalidTypeError, match="chats must be an iterable or async iterable of Chat, got NoneType"):
        await write(None, tmp_path / "x")
    with pytest.raises(InvalidTypeError, match="chats must yield Chat, got str"):
        await write([*CHATS, "5"], tmp_path / "x")
    assert only(tmp_path) == []


@pytest.mark.parametrize("missing", ["pyarrow", "polars"])
async def test_a_missing_extra_is_named(tmp_path: Path, missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the command that installs it."""
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(MissingExtraError, match=r"needs") as caught:
        to_polars(CHATS)
    assert "plugchat-async[polars]" in caught.value.hint  # which brings both
    if missing == "pyarrow":
        with pytest.raises(MissingExtraError, match="Parquet needs pyarrow"):
            await write_parquet(CHATS, tmp_path / "x")
        with pytest.raises(MissingExtraError, match="to_arrow needs pyarrow"):
            to_arrow(CHATS)
    assert only(tmp_path) == []


# What killed processes leave.
