"""Signals that end commands: what is finished is kept, nothing hidden is left, and a line says how to go on."""

import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from plugchat_async import WatchState
from plugchat_async.testing import Fault, PlugChatSimulator
from support.commands import after, after_greeting, handles_sigterm, said, start, wait_until
from support.exports import MANIFEST
from support.fakes import served
from support.terminal import PLUGCHAT

SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]

pytestmark = pytest.mark.slow


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[PlugChatSimulator]:
    """An account of 30 chats, and the environment to reach it."""
    with served(PlugChatSimulator(30, seed=7, token="s3cret-token", dialect="documented")) as sim:
        monkeypatch.setenv("PLUGCHAT_TOKEN", sim.token)
        monkeypatch.setenv("PLUGCHAT_BASE_URL", sim.base_url)
        yield sim


@pytest.mark.parametrize("number", SIGNALS)
def test_a_file_that_is_not_complete_does_not_appear(
    account: PlugChatSimulator, tmp_path: Path, number: signal.Signals
) -> None:
    """Nor is its hidden part left."""
    account.script(Fault.none(), Fault.hang())
    process = start("chats", "--page-size", "10", "--max-page-size", "0", "-o", str(tmp_path / "x.jsonl"))
    wait_until(lambda: len(account.requests) == 2)
    assert len(list(tmp_path.iterdir())) == 1
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (
        128 + number,
        "",
        f"{said(number)}: nothing was written. Run the same command again.\n",
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", SIGNALS)
def test_the_event_loop_of_asyncio_is_ended_as_well(account: PlugChatSimulator, number: signal.Signals) -> None:
    """Which waits in the system for an answer."""
    account.script(Fault.hang())
    code = "import sys; sys.modules['uvloop'] = None; from plugchat_async.__main__ import main; main()"
    process = subprocess.Popen([sys.executable, "-c", code, "chats"], stderr=subprocess.PIPE, text=True)
    wait_until(lambda: account.requests)
    process.send_signal(number)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 128 + number
    assert err.startswith(f"{said(number)}: 0 chats were written")


@pytest.mark.parametrize("number", SIGNALS)
def test_accounts_that_are_finished_are_kept(
    account: PlugChatSimulator, tmp_path: Path, number: signal.Signals
) -> None:
    """The same command fetches the others."""
    for name in ("ana", "bia", "eva"):
        account.add_account(f"{name}-token", chats=5)
    accounts, out = tmp_path / "accounts.csv", tmp_path / "out"
    accounts.write_text("name,token\nana,ana-token\nbia,bia-token\neva,eva-token\n")
    account.script(Fault.hang(), token="eva-token")
    command = ["bulk", str(accounts), "-o", str(out), "--concurrency", "1"]
    process = start(*command)
    wait_until(lambda: account.requests and account.requests[-1].headers["authorization"].endswith("eva-token"))
    manifest = out / MANIFEST
    wait_until(lambda: len(manifest.read_text().splitlines()) == 3)
    time.sleep(0.2)  # nothing tells that the second account is counted
    process.send_signal(number)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 128 + number
    told = "2 of 3 accounts are finished. Run the same command again to fetch the others."
    assert err == f"{said(number)}: {told}\n"
    assert not [*out.rglob("*.part")]
    process = start(*command)
    assert "Accounts that an earlier run finished were skipped" in process.communicate(timeout=30)[1]
    assert process.returncode == 0
    assert len([path for path in out.iterdir() if path.suffix == ".jsonl" and path.stem in ("ana", "bia", "eva")]) == 3


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_watch_in_the_background_of_a_script_can_be_ended(
    account: PlugChatSimulator, tmp_path: Path, number: signal.Signals
) -> None:
    """A plain sh starts such a job with SIGINT ignored. It stays so; the others end it, and its state is saved."""
    state = tmp_path / "s"
    script = f'"$0" "$@" & echo $! > {tmp_path}/pid; wait $!'
    command = ["watch", "--interval", "0.05", "--state", str(state)]
    shell = subprocess.Popen(
        ["sh", "-c", script, *PLUGCHAT, *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    wait_until(lambda: state.exists() and WatchState.load(state).chats)
    pid = int((tmp_path / "pid").read_text())
    os.kill(pid, signal.SIGINT)
    before = len(account.requests)
    wait_until(lambda: len(account.requests) > before + 5)
    os.kill(pid, number)
    out, err = shell.communicate(timeout=30)
    assert (shell.returncode, out) == (128 + number, "")
    assert after_greeting(err) == f"stopped by {number.name}: run the same command again to resume.\n"
    assert WatchState.load(state).chats == account.chats
    assert not (tmp_path / "s.lock").exists()


def test_a_watch_without_a_state_says_what_it_would_have_saved(account: PlugChatSimulator) -> None:
    """Ctrl-C is its normal end, which says nothing."""
    process = start("watch", "--interval", "0.05", "--emit-existing")
    assert process.stdout is not None
    assert json.loads(process.stdout.readline())["event"] == "added"
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 143
    assert (
        after_greeting(err) == "stopped by SIGTERM: what happens now is not printed later; with --state FILE it is.\n"
    )


@pytest.mark.parametrize("command", ["status", "doctor", "simulate"])
def test_other_commands_end_as_well(account: PlugChatSimulator, command: str) -> None:
    """With a line, since the exit code of a job is easily missed."""
    account.script(*[Fault.hang()] * 3)
    process = start(command, *(["--port", "0"] if command == "simulate" else []))
    assert process.stderr is not None
    if command == "simulate":
        assert process.stderr.readline().startswith("serving")
    else:
        wait_until(lambda: account.requests)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (143, "stopped by SIGTERM: run the command again.\n")


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_after_the_end_changes_nothing(number: signal.Signals) -> None:
    """Python takes its time to leave, and the command is done: nobody is to think that it was not."""
    code = (
        "import atexit, time; atexit.register(lambda: (print('leaving', flush=True), time.sleep(30)));"
        "from plugchat_async.__main__ import main; main()"
    )
    command = [sys.executable, "-c", code, "completion", "bash"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert any(line == "leaving\n" for line in process.stdout)
    process.send_signal(number)
    process.communicate(timeout=10)
    assert process.returncode == 0


def test_nohup_is_respected(account: PlugChatSimulator) -> None:
    """SIGHUP, ignored at the start, stays ignored."""
    process = start("watch", "--interval", "0.05", prefix=after("trap '' HUP"))
    wait_until(lambda: account.requests)
    process.send_signal(signal.SIGHUP)
    before = len(account.requests)
    wait_until(lambda: len(account.requests) > before + 5)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == 143


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc, which Linux has")
@pytest.mark.parametrize("number", SIGNALS)
def test_a_pipe_without_a_reader_does_not_keep_a_command(
    account: PlugChatSimulator, tmp_path: Path, number: signal.Signals
) -> None:
    """The first signal ends it."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    process = start("chats", "-o", str(pipe), "--format", "jsonl")
    wait_until(lambda: handles_sigterm(process.pid))
    time.sleep(0.5)  # nothing tells that it waits
    assert process.poll() is None
    process.send_signal(number)
    process.communicate(timeout=30)
    assert process.returncode == 128 + number


@pytest.mark.parametrize("path", ["pipe", "/dev/stdout"])
def test_what_was_written_to_a_pipe_is_not_called_nothing(
    account: PlugChatSimulator, tmp_path: Path, path: str
) -> None:
    """It may have a part of the output."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with open(os.open(pipe, os.O_RDONLY | os.O_NONBLOCK), "rb"):  # noqa: PTH123 - a descriptor
        account.script(*[Fault.none()] * 2, Fault.hang())
        small = ["--page-size", "10", "--max-page-size", "0", "--format", "jsonl"]
        with pipe.open("w") as out:
            process = start("chats", *small, "-o", str(tmp_path / path), out=out)
        wait_until(lambda: len(account.requests) == 3)
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (
        143,
        "stopped by SIGTERM: the output is not complete. Run the same command again.\n",
    )


def test_a_file_that_appears_meanwhile_is_told_of(account: PlugChatSimulator, tmp_path: Path) -> None:
    """A signal while a file is flushed to the disk comes too late for it."""
    target = tmp_path / "x.jsonl"
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW_DISK, "chats", "-o", str(target)], stderr=subprocess.PIPE, text=True
    )
    _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (143, "stopped by SIGTERM: all chats were written.\n")
    assert len(target.read_text().splitlines()) == 30


def test_an_error_stream_that_is_closed(account: PlugChatSimulator) -> None:
    """The exit code is the same."""
    account.script(Fault.hang())
    process = start("chats", prefix=["sh", "-c", 'exec "$0" "$@" 2>&-'])
    wait_until(lambda: account.requests)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == 143


@pytest.mark.parametrize("number", SIGNALS)
def test_a_second_signal_ends_a_last_line_that_nobody_reads(account: PlugChatSimulator, number: signal.Signals) -> None:
    """Nor does Python wait for its reader at the exit. The code is that of the signal."""
    account.script(Fault.hang())
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with suppress(BlockingIOError):
        while True:
            os.write(writer, b"x" * 4096)
    os.set_blocking(writer, True)
    process = subprocess.Popen([*PLUGCHAT, "chats", "--format", "jsonl"], stdout=subprocess.DEVNULL, stderr=writer)
    os.close(writer)
    wait_until(lambda: account.requests)
    for _ in range(2):
        process.send_signal(number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(0.5)
    assert process.wait(10) == 128 + number
    os.close(reader)


SLOW_DISK = """
import os, signal, sys
from plugchat_async.cli import app

fsync = os.fsync

def slow(descriptor):
    signal.raise_signal(signal.SIGTERM)
    os.fsync = fsync
    fsync(descriptor)

os.fsync = slow
sys.exit(app.run(sys.argv[1:]))
"""

ENDLESS = """
import sys, time
from plugchat_async.cli import app, signals
from plugchat_async.cli.signals import ended_by_signals, run_async, shielded

async def main():
    try:
        print("ready", flush=True)
        while True:
            time.sleep(0.01)  # never comes back to the event loop
    finally:
        print("cleaned up", flush=True)
        if "stuck" in sys.argv:
            with shielded():
                time.sleep(60)

signals._GRACE, signals._LAST_GRACE = 0.3, 0.5
with ended_by_signals():
    run_async(main())
"""


@pytest.mark.parametrize(("arguments", "count"), [([], 2), (["stuck"], 2), (["stuck"], 3)])
def test_more_signals_end_what_the_first_one_can_not(arguments: list[str], count: int) -> None:
    """The second one after a while, with cleaning up if that ends; the third one at once, and without."""
    process = subprocess.Popen(
        [sys.executable, "-c", ENDLESS, *arguments], stdout=subprocess.PIPE, text=True, stderr=subprocess.DEVNULL
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    for number in range(count):
        if number == 2:
            assert process.stdout.readline() == "cleaned up\n"
        process.send_signal(signal.SIGTERM)
        if number < count - 1:
            time.sleep(0.2)
            assert process.poll() is None
    process.communicate(timeout=20)  # not the minute that it would sleep
    assert process.returncode != 0


def test_a_terminal_that_is_gone(account: PlugChatSimulator, tmp_path: Path) -> None:
    """The system sends SIGHUP, and what is shown there, such as progress, fails: the exit code is 129 all the same."""
    account.script(Fault.none(), Fault.hang())
    command = [*PLUGCHAT, "chats", "--page-size", "10", "--max-page-size", "0", "-o", str(tmp_path / "x.jsonl")]
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(command[0], command, {**os.environ, "TERM": "xterm"})
    wait_until(lambda: len(account.requests) == 2)
    time.sleep(0.3)  # the display is refreshed
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 129
    assert list(tmp_path.iterdir()) == []
