"""Lines on standard output: what has gone out of them, and where they end."""

import errno
import io
import os
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest
from attrs import evolve

from plugchat_async import OutputError
from plugchat_async.cli import line_output
from plugchat_async.cli.line_output import FilePlace, LineOutput


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "x"


@contextmanager
def onto(file: Path | int, mode: str, monkeypatch: pytest.MonkeyPatch) -> Generator[LineOutput]:
    """Standard output as a file or a descriptor."""
    with open(file, mode, encoding="utf-8") as out, monkeypatch.context() as patch:  # noqa: PTH123 - or a descriptor
        patch.setattr(sys, "stdout", out)
        yield LineOutput()


def size_of(output: LineOutput) -> int:
    assert output.place is not None
    return output.place.size


@pytest.mark.parametrize(("mode", "before"), [("a", "older\n"), ("w", "")])
def test_the_place_is_the_end_of_the_file(file: Path, monkeypatch: pytest.MonkeyPatch, mode: str, before: str) -> None:
    """Also before the first line, though the system goes there with the first write only."""
    file.write_text("older\n")
    with onto(file, mode, monkeypatch) as output:
        assert size_of(output) == len(before)
        output.write(["ã\n", "b\n"])
        assert (output.written, size_of(output)) == (2, len(before) + 5)
        output.sync()
        assert file.read_text() == f"{before}ã\nb\n"


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc to read what is open for writing")
@pytest.mark.parametrize(
    ("before", "after", "count"),
    [
        ('{"a":1}\n{"a', '{"a":1}\n', 3),
        ('{"a', "", 3),
        ("theirs", "theirs\n", 0),
        ('{"a":1}\n', '{"a":1}\n', 0),
        ("", "", 0),
    ],
)
def test_half_a_line_is_cut_or_ended(
    file: Path, monkeypatch: pytest.MonkeyPatch, before: str, after: str, count: int
) -> None:
    """It is cut if it is one of these lines; another one only gets its end."""
    file.write_text(before)
    with onto(file, "a", monkeypatch) as output:
        assert output.end_half_line(b'{"a') == count
        assert (file.read_text(), size_of(output)) == (after, len(after))
        output.write(["next\n"])
    assert file.read_text() == f"{after}next\n"


def test_a_pipe_has_no_half_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is in it has been read."""
    reader, writer = os.pipe()
    with onto(writer, "w", monkeypatch) as output, os.fdopen(reader, "rb"):
        assert output.end_half_line(b"{") == 0


def test_half_a_line_that_can_not_be_read_is_left(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on systems other than Linux."""
    file.write_text("half")

    def refuse(*_: object) -> None:
        raise PermissionError

    with onto(file, "a", monkeypatch) as output:
        monkeypatch.setattr("builtins.open", refuse)
        assert output.end_half_line(b"h") == 0
    assert file.read_text() == "half"


def write_half(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the disk be full behind half of what is written."""
    real, left = os.write, 1

    def write(descriptor: int, data: memoryview) -> int:
        nonlocal left
        left -= 1
        if left < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(descriptor, data[: len(data) // 2])

    monkeypatch.setattr(os, "write", write)


@pytest.mark.parametrize("mode", ["a", "w"])
def test_what_does_not_fit_is_cut(file: Path, monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
    """To the last write that did; the next one goes there."""
    with onto(file, mode, monkeypatch) as output:
        output.write(["a\n"])
        with monkeypatch.context() as patch:
            write_half(patch)
            with pytest.raises(OSError, match="No space left"):
                output.write(["b\n", "c\n"])
        assert (output.written, file.read_text()) == (0, "a\n")
        output.write(["d\n"])
        assert (output.written, file.read_text()) == (1, "a\nd\n")


def test_a_file_that_others_write_to_is_not_cut(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their lines are not ours to cut."""
    with onto(file, "a", monkeypatch) as output, file.open("a") as others:
        output.write(["a\n"])
        others.write("theirs\n")
        others.flush()
        write_half(monkeypatch)
        with pytest.raises(OSError, match="No space left"):
            output.write(["b\n", "c\n"])
        assert output.place is None
        assert file.read_text() == "a\ntheirs\nb\n"


def test_what_is_in_the_middle_of_a_file_is_not_its_end(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As with 1<> of a shell: the rest is not ours to cut."""
    file.write_text("0123456789")
    with onto(file, "r+", monkeypatch) as output:
        assert output.place is None
        output.write(["a\n"])
        assert output.place is None
    assert file.read_text() == "a\n23456789"


def test_a_file_that_can_not_be_cut(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where a file may only grow: the first error is the one that is told."""

    def refuse(*_: int) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    with onto(file, "a", monkeypatch) as output:
        monkeypatch.setattr(os, "ftruncate", refuse)
        with pytest.raises(OutputError, match="can't write standard output: Operation not permitted"):
            output.cut(FilePlace(0, 0, 0))
        write_half(monkeypatch)
        with pytest.raises(OSError, match="No space left"):
            output.write(["b\n", "c\n"])


def test_a_pipe_gets_whole_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many at a time as it takes whole; those before a failure count."""
    monkeypatch.setattr(line_output, "_PIPE_BYTES", 10)
    reader, writer = os.pipe()
    with onto(writer, "w", monkeypatch) as output:
        assert output.place is None
        output.sync()
        real, chunks = os.write, list[bytes]()

        def write(descriptor: int, data: memoryview) -> int:
            chunks.append(bytes(data))
            if len(chunks) == 5:
                raise BrokenPipeError
            return real(descriptor, data)

        monkeypatch.setattr(os, "write", write)
        lines = ["1234\n", "1234\n", "1\n", "123456789012345\n", "", "1\n"]
        output.write(lines)
        assert chunks == [b"1234\n1234\n", b"1\n", b"123456789012345\n", b"1\n"]
        assert output.written == 6
        chunks[:] = [b""] * 3
        with pytest.raises(BrokenPipeError):
            output.write(lines)
        assert output.written == 2
        monkeypatch.undo()
    os.close(reader)


def test_what_is_no_file_of_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a program that calls the command."""
    out = io.StringIO()
    monkeypatch.setattr(sys, "stdout", out)
    output = LineOutput()
    output.write(["a\n", "b\n"])
    output.sync()
    assert (output.written, output.place, output.is_terminal, out.getvalue()) == (2, None, False, "a\nb\n")


def test_what_was_cut_is_cut_on_the_disk(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also if nothing is written behind it: else it is there again after a loss of power."""
    file.write_text("a\nb\n")
    flushed: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: flushed.append(os.fstat(descriptor).st_size))
    with onto(file, "a", monkeypatch) as output:
        output.sync()
        assert flushed == []
        assert output.place is not None
        output.cut(evolve(output.place, size=2))
        output.sync()
        output.sync()
    assert flushed == [2]


def test_a_flush_that_has_failed_never_succeeds(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system tells of lines that could not be written, as to a full disk of another machine, only once."""
    errors = [OSError(errno.ENOSPC, "No space left on device")]

    def fail_once(_: int) -> None:
        if errors:
            raise errors.pop()

    monkeypatch.setattr(os, "fsync", fail_once)
    with onto(file, "w", monkeypatch) as output:
        output.write(["a\n"])
        for _ in range(2):
            with pytest.raises(OutputError, match="No space left"):
                output.sync()
