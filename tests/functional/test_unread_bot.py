"""`examples/unread_bot.py`: it runs against `plugchat simulate --busy`, and tells what is new, once."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from plugchat_async.testing import Fault, PlugChatSimulator
from support.fakes import served

BOT = Path(__file__).parents[2] / "examples" / "unread_bot.py"


@contextmanager
def bot(environment: dict[str, str], folder: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    """The bot, stopped at the end as a container is."""
    process = subprocess.Popen(
        [sys.executable, "-X", "dev", "-W", "error", str(BOT), "--interval", "0.1", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment, "PYTHONASYNCIODEBUG": "0"},
        cwd=folder,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=30)
    if process.returncode == 0:
        assert out.endswith("good night\n")
        assert "Traceback" not in err


def line_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().rstrip()


@pytest.mark.slow
def test_it_runs_against_a_busy_account(tmp_path: Path) -> None:
    """As its docstring tells to try it."""
    simulator = subprocess.Popen(
        [sys.executable, "-m", "plugchat_async", "simulate", "--busy", "--chats", "500", "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert simulator.stdout is not None
    try:
        variables = dict(simulator.stdout.readline().removeprefix("export ").strip().split("=", 1) for _ in range(2))
        with bot(variables, tmp_path) as running:
            assert line_of(running).endswith(("unread", "writes for the first time"))
        assert running.returncode == 0
        assert (tmp_path / "unread_bot.state").exists()
    finally:
        simulator.send_signal(signal.SIGINT)
        simulator.communicate(timeout=30)


@pytest.fixture
def account() -> Iterator[PlugChatSimulator]:
    with served(PlugChatSimulator(chats=250, seed=7, token="s3cret-token")) as sim:
        yield sim


@pytest.mark.slow
def test_it_tells_what_happened_while_it_was_stopped(account: PlugChatSimulator, tmp_path: Path) -> None:
    """Of chats that are not muted, once; and of an outage, and its end."""
    environment = {"PLUGCHAT_TOKEN": account.token, "PLUGCHAT_BASE_URL": account.base_url}
    loud = [chat for chat in account.chats if not chat.is_muted and chat.phone]
    muted = next(chat for chat in account.chats if chat.is_muted)
    with bot(environment, tmp_path, "--state", "s") as running:
        wait_for_requests(account, 5)
        account.receive_message(muted)
        first = account.receive_message(loud[90])
        assert line_of(running) == f"{first.name or first.id}: 1 new, {first.unread} unread"
        wait_for_requests(account, 2)
    second = account.receive_message(loud[50])
    account.script(*[Fault.answer("<html>down</html>")])
    with bot(environment, tmp_path, "--state", "s") as running:
        assert line_of(running).startswith("outage: the body is not JSON: '<html>down</html>'; retrying in 0 s")
        assert line_of(running) == f"{second.name or second.id}: 1 new, {second.unread} unread"
        assert line_of(running).startswith("back after ")
        added = account.new_chat()
        assert line_of(running) == f"{added.name or added.id} writes for the first time"


def wait_for_requests(sim: PlugChatSimulator, more: int) -> None:
    """Until the bot has looked again."""
    looked = len(sim.requests)
    while len(sim.requests) < looked + more:
        os.sched_yield()


@pytest.mark.slow
def test_a_refused_token_ends_it(account: PlugChatSimulator, tmp_path: Path) -> None:
    """With what to do."""
    with bot({"PLUGCHAT_TOKEN": "wrong", "PLUGCHAT_BASE_URL": account.base_url}, tmp_path) as running:
        _, err = running.communicate(timeout=30)
    assert running.returncode == 1
    assert err.startswith("unread_bot: the gateway says: 'the token is missing or unknown' (HTTP 401 Unauthorized)")
    assert "Check the token" in err
