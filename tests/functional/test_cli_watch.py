"""`plugchat watch`, and `plugchat simulate --busy` that it can be tried on."""

import json
import os
import signal
import stat
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from pkgutil import resolve_name

import pytest

from plugchat_async import Chat, OutputError, WatchState
from plugchat_async.cli import app as cli
from plugchat_async.testing import Fault, PlugChatSimulator
from support.commands import after_greeting
from support.fakes import served
from support.rows import objects_of
from support.terminal import PLUGCHAT, STEERING, STEERING_NAMES, on_terminal, run_onto


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[PlugChatSimulator]:
    """An account of 30 chats, and the environment to reach it."""
    with served(PlugChatSimulator(30, seed=7, token="s3cret-token", dialect="documented")) as sim:
        monkeypatch.setenv("PLUGCHAT_TOKEN", sim.token)
        monkeypatch.setenv("PLUGCHAT_BASE_URL", sim.base_url)
        yield sim


def test_what_is_there_can_be_shown(account: PlugChatSimulator, capsys: pytest.CaptureFixture[str]) -> None:
    """In a pipe as JSON lines, the oldest first."""
    assert cli.run(["watch", "--emit-existing", "--max-polls", "1"]) == 0
    out, err = capsys.readouterr()
    events = [json.loads(line) for line in out.splitlines()]
    assert [event["event"] for event in events] == ["added"] * 30
    ids = [event["chat"]["phone"] or event["chat"]["lid"] for event in events]
    assert ids == [chat.id for chat in reversed(account.chats)]
    assert err == ""


def test_a_state_is_gone_on_with(
    account: PlugChatSimulator, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """What happened between two runs is printed by the second, once; the file is private."""
    state = tmp_path / "watch.state"
    command = ["watch", "--state", str(state), "--max-polls", "1"]
    assert cli.run(command) == 0
    assert capsys.readouterr().out == ""
    assert stat.S_IMODE(state.stat().st_mode) == 0o600
    changed = account.receive_message(account.chats[9].id)
    assert cli.run(command) == 0
    [event] = map(json.loads, capsys.readouterr().out.splitlines())
    assert [event["chat"]] == objects_of([changed])
    assert cli.run(command) == 0
    assert capsys.readouterr().out == ""


def test_events_as_text(account: PlugChatSimulator, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """A line for each, with a mark, the time, and what is different."""
    command = ["watch", "--state", str(tmp_path / "s"), "--max-polls", "1", "--format", "text"]
    assert cli.run(command) == 0
    changed, gone = account.receive_message(account.chats[9].id), account.delete_chat(account.chats[20].id)
    added = account.new_chat()
    assert cli.run(command) == 0
    lines = [line.split(maxsplit=2) for line in capsys.readouterr().out.splitlines()]
    assert [mark for mark, _, _ in lines] == ["~", "+"]
    assert lines[0][2].startswith(f"{changed.name or changed.id}: unread {changed.unread - 1} → {changed.unread}, last")
    assert lines[1][2] == f"{added.name or added.id}: new, 1 unread"
    assert cli.run(command) == 0
    [removed] = [line.split(maxsplit=2) for line in capsys.readouterr().out.splitlines()]
    assert (removed[0], removed[2]) == ("-", f"{gone.name or gone.id}: removed")


@pytest.mark.slow
@pytest.mark.parametrize("style", ["jsonl", "text"])
def test_a_name_can_not_steer_a_real_terminal(
    account: PlugChatSimulator, monkeypatch: pytest.MonkeyPatch, style: str
) -> None:
    """JSON stays the same JSON; a pipe gets each name as it is."""
    chats = [Chat(str(number), name) for number, name in enumerate(STEERING_NAMES)]
    monkeypatch.setattr(account._account, "window", lambda page, size: chats[(page - 1) * size : page * size])
    command = ["watch", "--emit-existing", "--max-polls", "1", "--format", style]
    shown = on_terminal(command)
    assert not set(shown) & STEERING
    assert "👩\u200d👧 ❤\ufe0f" in shown
    if style == "jsonl":
        piped = subprocess.run([*PLUGCHAT, *command], capture_output=True, timeout=30, check=True).stdout.decode()
        assert "\u202eevil" in piped
        for out in (shown, piped):
            assert {json.loads(line)["chat"]["name"] for line in out.splitlines()} == set(STEERING_NAMES)


def test_a_bad_value_is_told_once(account: PlugChatSimulator, capsys: pytest.CaptureFixture[str]) -> None:
    """On stderr, not again while it stays; the chat's other values are watched. Or it is an error."""
    rows = Fault.answer('[{"phone":"1","unread":"\\u001b[2J"},{"phone":"2"}]')
    # Each poll reads the front and the whole list, the first one looks behind it, and reads it again.
    account.script(rows, rows, Fault.answer("[]"), rows, rows, rows)
    assert (
        cli.run(["watch", "--emit-existing", "--max-polls", "2", "--interval", "0.01", "--full-scan-interval", "0"])
        == 0
    )
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 2
    told = "warning: a value could not be read: page 1, chat 0, unread: expected a count, got '\\x1b[2J'\n"
    assert err == told + "warning: the list is not sorted by time: each poll reads all of it\n"
    assert "\x1b" not in err
    account.script(*[Fault.answer('[{"phone":"1","unread":"x"}]')] * 6)
    assert cli.run(["watch", "--max-polls", "1", "--on-bad-value", "raise"]) == 4
    assert "1 value can't be read" in capsys.readouterr().err


def test_a_state_that_can_not_be_written(
    account: PlugChatSimulator, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """It is said before anything is asked for."""
    assert cli.run(["watch", "--state", str(tmp_path / "none" / "s")]) == 1
    assert "can't write" in capsys.readouterr().err
    assert account.requests == []


def test_a_file_that_is_no_state(
    account: PlugChatSimulator, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """It is not written over."""
    (tmp_path / "s").write_text("mine")
    assert cli.run(["watch", "--state", str(tmp_path / "s")]) == 2
    assert "it does not hold a watch state" in capsys.readouterr().err
    assert (tmp_path / "s").read_text() == "mine"


def test_a_file_that_is_in_use(account: PlugChatSimulator, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """A second process says so, asks for nothing, and does not write to it."""
    path = tmp_path / "s"
    with WatchState.locked(path):
        assert cli.run(["watch", "--state", str(path), "--max-polls", "1"]) == 2
    assert f"the state {path} is in use by another watch" in capsys.readouterr().err
    assert account.requests == []
    assert not path.exists()
    assert cli.run(["watch", "--state", str(path), "--max-polls", "1"]) == 0
    assert sorted(found.name for found in tmp_path.iterdir()) == ["s", "s.previous"]


def test_a_state_of_another_account(
    account: PlugChatSimulator, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """It is refused, unless the account's name says that it is the same."""
    account.add_account("an0ther-token", chats=3)
    command = ["watch", "--state", str(tmp_path / "s"), "--max-polls", "1"]
    assert cli.run(command) == 0
    other = [*command, "--token", "an0ther-token"]
    assert cli.run(other) == 2
    assert "state belongs to another account" in capsys.readouterr().err
    assert cli.run([*command, "--account", "mine"]) == 0
    assert cli.run([*other, "--account", "mine"]) == 0


def test_without_a_token(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """As with the other commands."""
    monkeypatch.delenv("PLUGCHAT_TOKEN", raising=False)
    assert cli.run(["watch"]) == 2
    assert "no token" in capsys.readouterr().err


def test_the_last_look_failed(account: PlugChatSimulator, capsys: pytest.CaptureFixture[str]) -> None:
    """The exit code says whose fault it was."""
    account.script(Fault.status(401))
    assert cli.run(["watch", "--max-polls", "1"]) == 2
    account.script(Fault.answer("{}"))
    assert cli.run(["watch", "--max-polls", "1"]) == 4
    assert "s3cret" not in capsys.readouterr().err


@pytest.mark.slow
def test_a_phone_that_is_not_connected(account: PlugChatSimulator, capsys: pytest.CaptureFixture[str]) -> None:
    """What to do is said at the first poll, and with the error at the end. Other outages pass by themselves."""
    account.connected = False
    assert cli.run(["watch", "--max-polls", "3", "--interval", "0.01"]) == 3
    lines = capsys.readouterr().err.splitlines()
    kinds = [line.partition(":")[0] for line in lines]
    assert kinds == ["warning", "what to do", "warning", "error", "what to do"]
    assert lines[1] == lines[4] == "what to do: Connect the phone again in the Plug Chat panel, then try again."
    account.connected = True
    account.script(*[Fault.status(503)] * 20)
    assert cli.run(["watch", "--max-polls", "2", "--interval", "0.01"]) in (0, 3)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("warning: could not fetch the chats (HTTP 503")
    assert not lines[1].startswith("what to do")


@pytest.mark.slow
def test_ctrl_c_ends_it(account: PlugChatSimulator, tmp_path: Path) -> None:
    """With exit code 0, and all that was printed is in the state."""
    state = tmp_path / "s"
    command = [*PLUGCHAT, "watch", "--emit-existing", "--interval", "0.05", "--state", str(state)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    printed = [process.stdout.readline() for _ in range(30)]
    process.send_signal(signal.SIGINT)
    rest, err = process.communicate(timeout=30)
    assert (process.returncode, rest, after_greeting(err)) == (0, "", "")
    assert len(printed) == 30
    assert cli.run(["watch", "--state", str(state), "--max-polls", "1"]) == 0


@pytest.mark.slow
def test_sigterm_ends_it_and_the_first_look_is_kept(account: PlugChatSimulator, tmp_path: Path) -> None:
    """Services are stopped with it; what was learnt without an event is in the state already."""
    state = tmp_path / "s"
    command = [*PLUGCHAT, "watch", "--interval", "0.05", "--state", str(state)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 30
    while not (state.exists() and WatchState.load(state).chats):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=30)
    assert (out, after_greeting(err)) == ("", "stopped by SIGTERM: run the same command again to resume.\n")
    assert process.returncode == 143
    assert WatchState.load(state).chats == account.chats


@pytest.mark.slow
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, which Linux has")
def test_an_event_that_could_not_be_printed_comes_again(
    account: PlugChatSimulator, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """It is not in the state, though the watch has given it."""
    state = tmp_path / "s"
    command = ["watch", "--state", str(state), "--max-polls", "1"]
    assert cli.run(command) == 0
    changed = [account.receive_message(account.chats[9].id) for _ in range(2)]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([*PLUGCHAT, *command], stdout=full, stderr=subprocess.PIPE, timeout=30, check=False)
    assert done.returncode == 1
    assert cli.run(command) == 0
    printed = [Chat.from_dict(json.loads(line)["chat"]).id for line in capsys.readouterr().out.splitlines()]
    assert printed == [chat.id for chat in changed]


def test_events_are_on_the_disk_before_the_state(
    account: PlugChatSimulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a loss of power takes events that the state covers. With --no-sync they need not be; none, none."""
    target, state = tmp_path / "events.jsonl", tmp_path / "s"
    calls: list[str] = []
    fsync, save = os.fsync, WatchState.save

    def recorded_fsync(descriptor: int) -> None:
        if os.path.samestat(os.fstat(descriptor), target.stat()):
            calls.append(f"events: {len(target.read_text().splitlines())}")
        fsync(descriptor)

    def recorded_save(known: WatchState, path: str | Path, *, sync: bool) -> None:
        calls.append("state")
        save(known, path, sync=sync)

    monkeypatch.setattr(os, "fsync", recorded_fsync)
    monkeypatch.setattr(WatchState, "save", recorded_save)
    monkeypatch.setattr("plugchat_async.cli.watch._SAVE_PAUSE", 0)
    command = ["watch", "--state", str(state), "--max-polls", "1"]
    assert run_onto(target, [*command, "--emit-existing"], monkeypatch) == 0
    assert calls[:5] == ["state", "events: 1", "state", "events: 2", "state"]
    assert set(calls[calls.index("events: 30") + 1 :]) == {"state"}
    calls.clear()
    account.receive_message(account.chats[9].id)
    assert run_onto(target, [*command, "--no-sync"], monkeypatch) == 0
    assert set(calls) == {"state"}
    assert len(target.read_text().splitlines()) == 31


def test_a_full_disk_leaves_no_half_event(
    account: PlugChatSimulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It comes again, as a line of its own."""
    target, state = tmp_path / "events.jsonl", tmp_path / "s"
    command = ["watch", "--state", str(state), "--max-polls", "1", "--emit-existing"]
    write, lines = os.write, 0

    def fill_up(descriptor: int, data: memoryview) -> int:
        nonlocal lines
        if not bytes(data).startswith(b"{"):  # the event loop's
            return write(descriptor, data)
        lines += 1
        if lines == 4:
            write(descriptor, data[:20])
            raise OSError(28, "No space left on device")
        return write(descriptor, data)

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", fill_up)
        assert run_onto(target, command, monkeypatch) == 1
    assert len([json.loads(line) for line in target.read_text().splitlines()]) < 4
    assert run_onto(target, command, monkeypatch) == 0
    ids = [Chat.from_dict(json.loads(line)["chat"]).id for line in target.read_text().splitlines()]
    assert sorted(ids) == sorted(chat.id for chat in account.chats)


# Before the first poll, the state is saved once.
@pytest.mark.parametrize(
    ("failing", "before"),
    [("plugchat_async.WatchState.save", 1), ("plugchat_async.cli.line_output.LineOutput.sync", 0)],
)
def test_events_that_were_cut_are_not_covered(
    account: PlugChatSimulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str, before: int
) -> None:
    """The state can't be saved, and a moment later it could: the cut events, which made room, would be lost."""
    target = tmp_path / "events.jsonl"
    command = ["watch", "--state", str(tmp_path / "s"), "--max-polls", "1"]
    assert run_onto(target, command, monkeypatch) == 0
    changed = account.receive_message(account.chats[9].id)
    works, calls = resolve_name(failing), 0

    def fail_once(*arguments: object, **options: object) -> None:
        nonlocal calls
        calls += 1
        if calls == before + 1:
            raise OutputError("can't write: No space left on device")
        works(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(failing, fail_once)
        assert run_onto(target, command, monkeypatch) == 1
    assert target.read_text() == ""
    assert run_onto(target, command, monkeypatch) == 0
    [event] = map(json.loads, target.read_text().splitlines())
    assert [event["chat"]] == objects_of([changed])


def test_many_events_are_not_each_saved(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Saving takes a twentieth of the time of a burst, not nearly all; in the end all is saved."""
    saved: list[int] = []
    save = WatchState.save

    def counted(state: WatchState, path: str | Path, *, sync: bool) -> None:
        saved.append(len(state.chats))
        save(state, path, sync=sync)

    monkeypatch.setattr(WatchState, "save", counted)
    with served(PlugChatSimulator(2000, seed=7, token="s3cret-token", dialect="documented")) as sim:
        monkeypatch.setenv("PLUGCHAT_TOKEN", sim.token)
        monkeypatch.setenv("PLUGCHAT_BASE_URL", sim.base_url)
        command = [
            "watch",
            "--emit-existing",
            "--state",
            str(tmp_path / "s"),
            "--max-polls",
            "1",
            "--page-size",
            "1000",
        ]
        assert cli.run(command) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2000
    assert len(saved) < 1000
    assert saved[-1] == 2000


@pytest.mark.slow
def test_a_busy_account() -> None:
    """`simulate --busy` and `watch` together: something happens within seconds."""
    simulator = subprocess.Popen(
        [*PLUGCHAT, "simulate", "--busy", "--port", "0", "--chats", "20"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert simulator.stdout is not None
    try:
        variables = dict(simulator.stdout.readline().removeprefix("export ").strip().split("=", 1) for _ in range(2))
        watch = subprocess.Popen(
            [*PLUGCHAT, "watch", "--interval", "0.1"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, **variables},
        )
        assert watch.stdout is not None
        assert json.loads(watch.stdout.readline())["event"] in ("added", "changed", "removed")
        watch.send_signal(signal.SIGINT)
        watch.communicate(timeout=30)
        assert watch.returncode == 0
    finally:
        simulator.send_signal(signal.SIGINT)
        simulator.communicate(timeout=30)
    assert simulator.returncode == 0
