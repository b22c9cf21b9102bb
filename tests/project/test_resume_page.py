"""The page "Resume" is true: the program that keeps a checkpoint goes on where Ctrl-C has stopped it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from plugchat_async.testing import PlugChatSimulator
from support.fakes import served
from support.pages import PROGRAMS, ROOT

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C is no signal there")]

[PROGRAM] = [block.text for block in PROGRAMS if block.page.stem == "resume" and "CHECKPOINT" in block.text]


def test_ctrl_c_keeps_a_checkpoint(tmp_path: Path) -> None:
    """The file then has what it covers, and in the end each chat once."""
    (tmp_path / "program.py").write_text(PROGRAM)
    with served(PlugChatSimulator(1000, seed=7, latency=0.2, dialect="documented")) as sim:
        environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "PLUGCHAT_TOKEN": sim.token,
            "PLUGCHAT_BASE_URL": sim.base_url,
        }
        command = [sys.executable, "-W", "error", "program.py"]
        with subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.DEVNULL) as process:
            deadline = time.monotonic() + 30
            while len(sim.requests) < 5 and time.monotonic() < deadline:
                time.sleep(0.01)
            process.send_signal(signal.SIGINT)
            assert process.wait(20) != 0
        assert (tmp_path / "walk.checkpoint").exists()
        found = (tmp_path / "ids.txt").read_text().splitlines()
        assert 0 < len(found) < 1000
        subprocess.run(command, cwd=tmp_path, env=environment, check=True, timeout=50)
        found = (tmp_path / "ids.txt").read_text().splitlines()
        assert sorted(found) == sorted(chat.id for chat in sim.chats)
    assert not (tmp_path / "walk.checkpoint").exists()
