"""`plugchat chats --checkpoint`: however a walk ends, the next one goes on, and each chat is there once."""

import contextlib
import fcntl
import json
import os
import signal
import stat
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from plugchat_async import ChatWalk, Page
from plugchat_async.cli import app as cli
from plugchat_async.testing import Fault, PlugChatSimulator
from support.commands import after, run, start, wait_until
from support.fakes import keep_few, move_too_fast, served
from support.rows import ids_in
from support.terminal import run_onto


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[PlugChatSimulator]:
    """An account of 250 chats, and the environment to reach it."""
    with served(PlugChatSimulator(250, seed=7, token="s3cret-token")) as sim:
        monkeypatch.setenv("PLUGCHAT_TOKEN", sim.token)
        monkeypatch.setenv("PLUGCHAT_BASE_URL", sim.base_url)
        yield sim


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    return tmp_path / "checkpoint"


@pytest.fixture
def command(checkpoint: Path) -> list[str]:
    """A walk in pages of ten."""
    return ["chats", "--page-size", "10", "--max-page-size", "0", "--format", "jsonl", "--checkpoint", str(checkpoint)]


def assert_each_once(account: PlugChatSimulator, out: str) -> None:
    assert sorted(ids_in("jsonl", out)) == sorted(chat.id for chat in account.chats)


@pytest.mark.parametrize("style", ["jsonl", "csv"])
@pytest.mark.parametrize("consistency", ["exact", "strict", "plain"])
def test_a_checkpoint_is_gone_on_from(
    account: PlugChatSimulator, capsys: pytest.CaptureFixture[str], tmp_path: Path, consistency: str, style: str
) -> None:
    """The same command twice gives the whole, though the list moves; then the file is gone."""
    checkpoint = tmp_path / "checkpoint"
    command = ["chats", "--format", style, "--consistency", consistency, "--checkpoint", str(checkpoint)]
    account.script(Fault.none(), Fault.none(), Fault.status(401))
    assert cli.run(command) == 2
    out, err = capsys.readouterr()
    assert "Run the same command again to resume" in err
    assert checkpoint.stat().st_mode & 0o777 == 0o600
    assert account.token not in checkpoint.read_text()
    ids = [chat.id for chat in account.chats]
    if consistency != "plain":
        account.receive_message(ids[249])
    assert cli.run(command) == 0
    out += capsys.readouterr().out
    lines = out.splitlines()
    if style == "csv":
        assert [line.startswith("phone") for line in lines] == [True] + [False] * 250
    assert sorted(ids_in(style, out)) == sorted(ids)
    assert not checkpoint.exists()


@pytest.mark.slow
def test_a_checkpoint_is_of_no_use_when_all_went_out(
    account: PlugChatSimulator, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """The walk that goes on ends, but is not verified: the next one begins anew."""
    checkpoint = tmp_path / "checkpoint"
    command = ["chats", "--page-size", "5", "--max-page-size", "0", "--checkpoint", str(checkpoint)]
    command.append("--require-verified")
    keep_few(account)
    account.script(*[Fault.none()] * 5, Fault.status(401))
    assert cli.run(command) == 2
    assert checkpoint.exists()
    move_too_fast(account)
    assert cli.run(command) == 4
    assert not checkpoint.exists()


def test_a_checkpoint_that_is_of_no_use(
    account: PlugChatSimulator, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """It can't be read, is none, or is asked for where output appears whole."""
    assert cli.run(["chats", "--checkpoint", str(tmp_path)]) == 2
    assert "can't read the checkpoint" in capsys.readouterr().err
    os.mkfifo(tmp_path / "pipe")
    assert cli.run(["chats", "--checkpoint", str(tmp_path / "pipe")]) == 2
    assert "not a regular file" in capsys.readouterr().err
    (tmp_path / "x").write_text("no checkpoint")
    assert cli.run(["chats", "--checkpoint", str(tmp_path / "x")]) == 2
    assert "can't read the checkpoint" in capsys.readouterr().err
    assert cli.run(["chats", "--checkpoint", str(tmp_path / "no" / "folder")]) == 2
    assert "no folder for the checkpoint" in capsys.readouterr().err
    assert cli.run(["chats", "--checkpoint", str(tmp_path / "y"), "--limit", "5"]) == 2
    assert "--limit can't be combined with --checkpoint" in capsys.readouterr().err
    assert cli.run(["chats", "--checkpoint", str(tmp_path / "x" / "y")]) == 2
    assert "no folder for the checkpoint" in capsys.readouterr().err
    for options in (["--format", "json"], ["-o", str(tmp_path / "chats.jsonl")]):
        assert cli.run(["chats", "--checkpoint", str(tmp_path / "y"), *options]) == 2
        assert "--checkpoint works only with jsonl or csv on standard output" in capsys.readouterr().err


ENDS = [[signal.SIGINT], [signal.SIGINT, signal.SIGINT], [signal.SIGTERM], [signal.SIGHUP], [signal.SIGKILL]]


@pytest.mark.slow
@pytest.mark.parametrize("signals", ENDS, ids=lambda signals: "-".join(each.name for each in signals))
def test_a_signal_loses_and_doubles_nothing(
    account: PlugChatSimulator, tmp_path: Path, checkpoint: Path, command: list[str], signals: list[signal.Signals]
) -> None:
    """While the sixth page is awaited, after an earlier run that has failed."""
    target = tmp_path / "all.jsonl"
    account.script(*[Fault.none()] * 2, Fault.status(401), *[Fault.none()] * 5, Fault.hang())
    with target.open("a") as out:
        assert run(*command, out=out)[0] == 2
        process = start(*command, out=out)
        wait_until(lambda: len(account.requests) == 9)
        for each in signals:
            process.send_signal(each)
        _, err = process.communicate(timeout=30)
        assert process.returncode == (-9 if signals == [signal.SIGKILL] else 128 + signals[0])
        if signals[0] != signal.SIGKILL:
            assert len(target.read_text().splitlines()) == 70
            assert err.endswith("50 chats were written. Run the same command again to resume.\n")
        assert stat.S_IMODE(checkpoint.stat().st_mode) == 0o600
        code, err = run(*command, out=out)
        assert code == 0
        assert "were cut" not in err or signals == [signal.SIGKILL]
    assert_each_once(account, target.read_text())
    assert not checkpoint.exists()


@pytest.mark.slow
@pytest.mark.parametrize("signal_", [signal.SIGTERM, signal.SIGKILL])
def test_a_signal_loses_nothing_of_a_pipe(
    account: PlugChatSimulator, command: list[str], signal_: signal.Signals
) -> None:
    """Only SIGKILL may double what came since the last page that was saved."""
    account.script(*[Fault.none()] * 5, Fault.hang())
    process = start(*command)
    wait_until(lambda: len(account.requests) == 6)
    process.send_signal(signal_)
    first, _ = process.communicate(timeout=30)
    last = start(*command)
    out = first + last.communicate(timeout=30)[0]
    if signal_ == signal.SIGTERM:
        assert_each_once(account, out)
    assert set(ids_in("jsonl", out)) == {chat.id for chat in account.chats}


@pytest.mark.slow
def test_a_closed_pipe_loses_and_doubles_nothing(account: PlugChatSimulator, command: list[str]) -> None:
    """What its reader got is covered; the page that did not arrive comes again."""
    account.script(*[Fault.none()] * 3, Fault.delay(1.0))
    process = start(*command)
    assert process.stdout is not None
    assert process.stderr is not None
    first = "".join(process.stdout.readline() for _ in range(30))
    process.stdout.close()
    with process.stderr as errors:
        assert errors.read() == ""
    assert process.wait(30) == 141
    rest = start(*command).communicate(timeout=30)[0]
    assert_each_once(account, first + rest)


@pytest.mark.slow
def test_a_closed_pipe_for_both_outputs(account: PlugChatSimulator, checkpoint: Path, command: list[str]) -> None:
    """`2>&1 | head`: the warning of a value that could not be read has no reader, and what went out is covered."""
    bad = [{"phone": str(number), "unread": "x"} for number in range(10)]
    account.script(Fault.answer(json.dumps(bad)), *[Fault.none()] * 3, Fault.delay(1.0))
    process = start(*command, "--consistency", "plain", prefix=["sh", "-c", 'exec "$0" "$@" 2>&1'])
    assert process.stdout is not None
    first = "".join(process.stdout.readline() for _ in range(40))
    process.stdout.close()
    process.communicate(timeout=30)
    assert process.returncode == 141
    rest = start(*command).communicate(timeout=30)[0]
    expected = [*(str(number) for number in range(10)), *(chat.id for chat in account.chats[10:])]
    assert sorted(ids_in("jsonl", first + rest)) == sorted(expected)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(fcntl, "F_SETPIPE_SZ"), reason="needs a small pipe, which Linux has")
def test_a_second_signal_ends_a_write_that_nobody_reads(account: PlugChatSimulator, checkpoint: Path) -> None:
    """The first one can't. The pipe has whole lines, and exactly these are covered."""
    command = ["chats", "--page-size", "250", "--checkpoint", str(checkpoint)]
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 16384)
    process = start(*command, out=writer)
    os.close(writer)

    def waiting() -> int:
        return int.from_bytes(fcntl.ioctl(reader, termios.FIONREAD, b"\0" * 4), sys.byteorder)

    wait_until(lambda: waiting() > 12000)
    for _ in range(2):
        time.sleep(0.2)
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 130
    with os.fdopen(reader, encoding="utf-8") as pipe:
        first = pipe.read()
    assert first.endswith("\n")
    assert len(first.splitlines()) < 250
    rest = start(*command).communicate(timeout=30)[0]
    assert_each_once(account, first + rest)


@pytest.mark.slow
def test_a_full_disk_leaves_no_half_line(account: PlugChatSimulator, tmp_path: Path, command: list[str]) -> None:
    """The page that does not fit is cut, and comes again."""
    target = tmp_path / "all.jsonl"
    with target.open("a") as out:
        code, err = run(*command, out=out, prefix=after("ulimit -f 40"))
    assert code == 1
    assert "can't write to standard output: File too large" in err
    assert "Run the same command again to resume" in err
    lines = target.read_text().splitlines(keepends=True)
    assert 0 < len(lines) < 100
    assert len(lines) % 10 == 0
    with target.open("a") as out:
        assert run(*command, out=out) == (0, f"resumed behind {len(lines)} chats of an earlier run\n")
    assert_each_once(account, target.read_text())


@pytest.mark.slow
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, which Linux has")
def test_what_did_not_go_out_is_not_covered(account: PlugChatSimulator, checkpoint: Path, command: list[str]) -> None:
    """Of a run that could write nothing, nothing is left."""
    with Path("/dev/full").open("w") as full:
        code, err = run(*command, out=full)
    assert code == 1
    assert "Nothing was written." in err
    assert not checkpoint.exists()


def test_what_a_killed_run_wrote_behind_its_checkpoint_is_cut(
    account: PlugChatSimulator,
    tmp_path: Path,
    checkpoint: Path,
    command: list[str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With half of a line at its end; not what others have appended after a run that ended by itself."""
    target = tmp_path / "all.jsonl"
    target.write_text("older\n")
    account.script(*[Fault.none()] * 2, Fault.status(401))
    assert run_onto(target, command, monkeypatch) == 2
    saved, text = checkpoint.read_text(), target.read_text()
    with target.open("a") as out:
        out.write("theirs\n")
    account.script(Fault.status(401))
    assert run_onto(target, command, monkeypatch) == 2
    assert target.read_text() == f"{text}theirs\n"
    target.write_text(f"{text}{text[:100]}")
    checkpoint.write_text(saved.replace('"running": false', '"running": true'))
    capsys.readouterr()
    assert run_onto(target, command, monkeypatch) == 0
    assert "the last 100 bytes of the output were cut" in capsys.readouterr().err
    assert_each_once(account, target.read_text().removeprefix("older\n"))


def test_an_output_that_is_shorter_than_the_checkpoint_says(
    account: PlugChatSimulator,
    tmp_path: Path,
    command: list[str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As with > in place of >>: an error, before anything is requested."""
    target = tmp_path / "all.jsonl"
    account.script(*[Fault.none()] * 2, Fault.status(401))
    assert run_onto(target, command, monkeypatch) == 2
    first = target.read_text()
    account.requests.clear()
    assert run_onto(target, command, monkeypatch, mode="w") == 2
    assert f"the output has 0 bytes, but {len(first.encode())} of the checkpoint" in capsys.readouterr().err
    assert account.requests == []


def test_a_checkpoint_of_another_format(
    account: PlugChatSimulator, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Its lines would not fit to those that are there."""
    account.script(*[Fault.none()] * 2, Fault.status(401))
    assert cli.run(command) == 2
    assert cli.run(["csv" if word == "jsonl" else word for word in command]) == 2
    assert "is of lines in the format jsonl" in capsys.readouterr().err


def test_a_checkpoint_of_an_earlier_version(
    account: PlugChatSimulator, checkpoint: Path, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """It had one line."""
    account.script(*[Fault.none()] * 2, Fault.status(401))
    assert cli.run(command) == 2
    checkpoint.write_text(checkpoint.read_text().splitlines()[0] + "\n")
    assert cli.run(command) == 0
    assert_each_once(account, capsys.readouterr().out)


@pytest.mark.parametrize(
    "more", ["[]", "{", '{"place": 3}', '{"target": {"kind": "x", "inode": 1}}', '{"place": {"device": "x"}}']
)
def test_a_second_line_that_is_none(
    account: PlugChatSimulator, checkpoint: Path, command: list[str], capsys: pytest.CaptureFixture[str], more: str
) -> None:
    """The file is not a checkpoint."""
    account.script(*[Fault.none()] * 2, Fault.status(401))
    assert cli.run(command) == 2
    checkpoint.write_text(checkpoint.read_text().splitlines()[0] + f"\n{more}\n")
    assert cli.run(command) == 2
    assert "it is not a checkpoint" in capsys.readouterr().err


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a folder that nobody can write to")
def test_a_folder_that_can_not_be_written_is_known_before_the_walk(
    account: PlugChatSimulator, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is requested."""
    assert cli.run(["chats", "--checkpoint", "/proc/checkpoint"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "can't write /proc/checkpoint" in err
    assert account.requests == []


def test_a_checkpoint_in_use(
    account: PlugChatSimulator, checkpoint: Path, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Two runs would write the same chats."""
    with checkpoint.with_name("checkpoint.lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert cli.run(command) == 2
    assert "is in use by another process" in capsys.readouterr().err
    assert account.requests == []


def test_a_disk_that_fills_up_under_the_checkpoint(
    account: PlugChatSimulator,
    command: list[str],
    checkpoint: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The one that was saved last stays. Of a file nothing is doubled."""
    target = tmp_path / "all.jsonl"
    replace, left = Path.replace, 3

    def fill_up(path: Path, target: Path) -> Path:
        nonlocal left
        left -= 1
        if left < 0:
            raise OSError(28, "No space left on device")
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", fill_up)
    monkeypatch.setattr("plugchat_async.cli.checkpoint.SAVE_PAUSE", 0)
    assert run_onto(target, command, monkeypatch) == 1
    assert "but the checkpoint could not be saved: can't write" in capsys.readouterr().err
    left = 1000
    assert run_onto(target, command, monkeypatch) == 0
    assert_each_once(account, target.read_text())


def test_lines_are_on_the_disk_before_the_checkpoint(
    account: PlugChatSimulator,
    command: list[str],
    checkpoint: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With --no-sync they need not be."""
    target = tmp_path / "all.jsonl"
    calls: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def recorded_fsync(descriptor: int) -> None:
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(descriptor), target.stat()):
                calls.append("output")
        fsync(descriptor)

    def recorded_replace(path: Path, to: Path) -> Path:
        calls.append(to.name)
        return replace(path, to)

    monkeypatch.setattr(os, "fsync", recorded_fsync)
    monkeypatch.setattr(Path, "replace", recorded_replace)
    monkeypatch.setattr("plugchat_async.cli.checkpoint.SAVE_PAUSE", 0)
    assert run_onto(target, command, monkeypatch) == 0
    assert len(calls) > 50
    assert calls == ["checkpoint", *["output", "checkpoint"] * (len(calls) // 2)]
    calls.clear()
    assert run_onto(target, [*command, "--no-sync"], monkeypatch) == 0
    assert set(calls) == {"checkpoint"}
    calls.clear()
    monkeypatch.setattr("plugchat_async.cli.checkpoint.SAVE_PAUSE", 1e9)
    assert run_onto(target, command, monkeypatch) == 0
    assert calls[-1] == "output"  # before the checkpoint is removed


def test_saving_takes_a_small_part_of_the_time(
    account: PlugChatSimulator, command: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a save takes a second of time that stands still otherwise, only the first page is saved."""
    now, saves = 0.0, 0

    def slow(*_: object, **options: object) -> None:
        nonlocal now, saves
        now += 1.0
        saves += 1

    monkeypatch.setattr("plugchat_async.cli.checkpoint.write_private", slow)
    monkeypatch.setattr("plugchat_async.cli.checkpoint.time.monotonic", lambda: now)
    assert cli.run(command) == 0
    assert saves == 1


def test_signals_lose_no_page_between_the_walk_and_the_output(
    account: PlugChatSimulator, command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The walk takes a page for yielded before its chats are there to be written: just then, two signals come."""
    target = tmp_path / "all.jsonl"
    next_page = ChatWalk.next_page
    pages = 0

    async def stopped(walk: ChatWalk) -> Page | None:
        nonlocal pages
        page = await next_page(walk)
        pages += 1
        if pages == 3:
            signal.raise_signal(signal.SIGTERM)
            signal.raise_signal(signal.SIGTERM)
        return page

    with monkeypatch.context() as patch:
        patch.setattr(ChatWalk, "next_page", stopped)
        assert run_onto(target, command, monkeypatch) == 143
    assert run_onto(target, command, monkeypatch) == 0
    assert_each_once(account, target.read_text())


def test_a_signal_after_the_last_page(
    account: PlugChatSimulator, command: list[str], checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the output is flushed to the disk: the checkpoint covers all of it, and the next run adds nothing."""
    target = tmp_path / "all.jsonl"
    monkeypatch.setattr("plugchat_async.cli.checkpoint.SAVE_PAUSE", 1e9)
    fsync, stopped = os.fsync, False

    def stop_once(descriptor: int) -> None:
        nonlocal stopped
        if not stopped and os.path.samestat(os.fstat(descriptor), target.stat()):
            stopped = True
            signal.raise_signal(signal.SIGTERM)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", stop_once)
    assert run_onto(target, command, monkeypatch) == 143
    assert json.loads(checkpoint.read_text().splitlines()[1])["place"]["size"] == target.stat().st_size
    whole = target.read_text()
    assert run_onto(target, command, monkeypatch) == 0
    assert target.read_text() == whole
    assert_each_once(account, whole)
    assert not checkpoint.exists()


def test_an_error_before_the_walk_has_no_hint_of_it(
    account: PlugChatSimulator, command: list[str], checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Another account's checkpoint: nothing was written, and there is a --checkpoint already."""
    account.add_account("an0ther-token", chats=3)
    account.script(*[Fault.none()] * 3, Fault.status(401))
    assert cli.run(command) == 2
    before = checkpoint.read_text()
    capsys.readouterr()
    assert cli.run([*command, "--token", "an0ther-token"]) == 2
    err = capsys.readouterr().err
    assert "another account" in err
    assert "were written" not in err
    assert checkpoint.read_text() == before


TARGETS = {
    "file": ("a file", "Append to that file with >>"),
    "pipe": ("a pipe", "Write into a pipe, as before"),
    "terminal": ("a terminal", "Write to the terminal, as before"),
}


@pytest.mark.parametrize("first", TARGETS)
@pytest.mark.parametrize("then", TARGETS)
def test_a_checkpoint_is_of_one_target(
    account: PlugChatSimulator,
    checkpoint: Path,
    command: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    first: str,
    then: str,
) -> None:
    """Each would have a half of the list; two pipes can't be told apart. Nothing is requested, and nothing is lost."""

    def run_into(target: str, name: str) -> int:
        if target == "file":
            return run_onto(tmp_path / name, command, monkeypatch)
        monkeypatch.setattr(sys.stdout, "isatty", lambda: target == "terminal")
        return cli.run(command)

    account.script(*[Fault.none()] * 2, Fault.status(401))
    assert run_into(first, "all.jsonl") == 2
    saved, asked = checkpoint.read_text(), len(account.requests)
    capsys.readouterr()
    code = run_into(then, "other.jsonl")
    err = capsys.readouterr().err
    if first == then != "file":
        assert code == 0
        assert err == "resumed behind 20 chats of an earlier run\n"
        return
    assert code == 2
    this = "another file" if first == then else TARGETS[then][0]
    assert f"the checkpoint {checkpoint} is of 20 chats that went to {TARGETS[first][0]}, and this is {this}" in err
    assert f"{TARGETS[first][1]}, or delete the checkpoint to begin again." in err
    assert (checkpoint.read_text(), len(account.requests)) == (saved, asked)
    assert run_into(first, "all.jsonl") == 0


def test_a_file_that_was_moved_away(
    account: PlugChatSimulator,
    checkpoint: Path,
    command: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The rest is not put into a new one; with the first line of the checkpoint alone it is, behind a header."""
    command = ["csv" if word == "jsonl" else word for word in command]
    file, moved = tmp_path / "all.csv", tmp_path / "all.1.csv"
    account.script(*[Fault.none()] * 2, Fault.status(401))
    assert run_onto(file, command, monkeypatch) == 2
    file.rename(moved)
    assert run_onto(file, command, monkeypatch) == 2
    assert file.read_text() == ""
    checkpoint.write_text(checkpoint.read_text().splitlines()[0] + "\n")
    capsys.readouterr()
    assert run_onto(file, command, monkeypatch) == 0
    assert capsys.readouterr().err == "resumed behind the chats of an earlier run\n"
    parts = [path.read_text() for path in (moved, file)]
    assert [part.count("phone,") for part in parts] == [1, 1]
    found = [id_ for part in parts for id_ in ids_in("csv", part)]
    assert sorted(found) == sorted(chat.id for chat in account.chats)


def test_an_earlier_version_told_of_files_only(
    account: PlugChatSimulator,
    checkpoint: Path,
    command: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And of no number of chats."""
    file = tmp_path / "all.jsonl"
    account.script(*[Fault.none()] * 2, Fault.status(401))
    assert run_onto(file, command, monkeypatch) == 2
    walk, more = checkpoint.read_text().splitlines()
    known = {name: value for name, value in json.loads(more).items() if name not in ("target", "lines")}
    checkpoint.write_text(f"{walk}\n{json.dumps(known)}\n")
    capsys.readouterr()
    assert cli.run(command) == 2
    told = f"the checkpoint {checkpoint} is of the chats that went to a file, and this is a pipe"
    assert told in capsys.readouterr().err
    assert run_onto(file, command, monkeypatch) == 0
    assert_each_once(account, file.read_text())


def test_a_target_is_free_before_the_first_line(
    account: PlugChatSimulator,
    checkpoint: Path,
    command: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of a run that was stopped so early, nothing is elsewhere."""
    search = [*command, "--search", account.chats[-1].id]
    account.script(*[Fault.none()] * 2, Fault.status(401))
    assert run_onto(tmp_path / "first", search, monkeypatch) == 2
    capsys.readouterr()
    assert run_onto(tmp_path / "other", search, monkeypatch) == 0
    assert capsys.readouterr().err == "resumed behind 0 chats of an earlier run\n"


def test_chats_of_several_runs_are_counted(
    account: PlugChatSimulator, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Each run says behind how many it goes on."""
    account.script(Fault.none(), Fault.status(401), Fault.none(), Fault.none(), Fault.status(401))
    told = [cli.run(command) and capsys.readouterr().err for _ in range(2)]
    assert "resumed" not in str(told[0])
    assert "resumed behind 10 chats of an earlier run\n" in str(told[1])
    assert "20 chats were written" in str(told[1])
    assert cli.run(command) == 0
    assert capsys.readouterr().err == "resumed behind 30 chats of an earlier run\n"


def test_options_of_the_earlier_run_hold(
    account: PlugChatSimulator, checkpoint: Path, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """What the command would have is not dropped without a word."""
    other = ["chats", "--format", "jsonl", "--checkpoint", str(checkpoint)]
    for options, kept, dropped in (
        (
            ["--page-size", "500", "--consistency", "strict", "--max-page-size", "0"],
            "--page-size 10 --consistency exact",
            "--page-size 500 --consistency strict",
        ),
        (["--page-size", "10"], "--max-page-size 0", "--max-page-size 1000"),
    ):
        account.script(*[Fault.none()] * 2, Fault.status(401))
        assert cli.run(command) == 2
        capsys.readouterr()
        assert cli.run([*other, *options]) == 0
        told = f"{kept} of the earlier run still holds, not {dropped}: delete {checkpoint} to begin again"
        assert f"warning: {told}\n" in capsys.readouterr().err


def test_a_new_walk_behind_an_earlier_one_is_told(
    account: PlugChatSimulator,
    checkpoint: Path,
    command: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The first run is complete, so there is nothing to resume, and >> doubles the file."""
    file = tmp_path / "all.jsonl"
    assert run_onto(file, command, monkeypatch) == 0
    assert capsys.readouterr().err == ""
    size = file.stat().st_size
    assert run_onto(file, command, monkeypatch) == 0
    assert capsys.readouterr().err == (
        f"warning: there is no checkpoint {checkpoint}, so all chats are fetched, and come behind the {size} bytes "
        "that the output has\n"
    )
    assert len(file.read_text().splitlines()) == 500
