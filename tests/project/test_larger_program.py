"""The page "In a larger program" is true: its programs run beside stand-ins, and end in order at SIGTERM."""

import asyncio
import configparser
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from plugchat_async import WatchState
from plugchat_async.testing import Fault, PlugChatSimulator
from support.messengers import CHANNEL, OWNER, Discord, Telegram, serving
from support.pages import BLOCKS, Block

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform == "win32", reason="it has no SIGTERM")]

PAGE = [block for block in BLOCKS if block.is_service]


def shown(language: str, word: str = "") -> Block:
    """Return the one block of the page that holds `word`; its libraries must be there."""
    [found] = [block for block in PAGE if block.language == language and word in block.text]
    if language == "python" and found.missing:
        pytest.skip(f"needs {', '.join(found.missing)}")
    return found


@asynccontextmanager
async def running(text: str, sim: PlugChatSimulator, folder: Path, variables: Mapping[str, str]) -> AsyncIterator[str]:
    """Run a program as it is shown, but for its waits, with warnings as errors. At the end SIGTERM must end it well."""
    text = text.replace("interval=30.0", "interval=0.05").replace("stop.wait(), 600.0", "stop.wait(), 0.05")
    (folder / "shop.py").write_text(text)
    printed = folder / "printed"
    with printed.open("w") as out:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-X", "dev", "-W", "error", "shop.py"),
            stdout=out,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env={
                **os.environ,
                "PYTHONASYNCIODEBUG": "0",  # it tells of slow steps, and machines are slow now and then
                "PYTHONPATH": str(Path(__file__).parents[2]),
                "PLUGCHAT_TOKEN": sim.token,
                "PLUGCHAT_BASE_URL": sim.base_url,
                **variables,
            },
        )
        try:
            yield str(printed)
            process.send_signal(signal.SIGTERM)
            await asyncio.wait_for(process.wait(), 20)
        except TimeoutError:
            pytest.fail(f"{process.returncode}: {printed.read_text()}")
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
    assert process.returncode == 0, printed.read_text()
    assert "Traceback" not in printed.read_text()
    assert "Unclosed" not in printed.read_text()


async def until(condition: Callable[[], object]) -> None:
    """Wait for what a program does, for 30 s at most."""
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.05)


async def test_a_watch_in_the_background_goes_on_after_a_refusal(tmp_path: Path) -> None:
    """What a watch raises is logged, and it begins again; its state is saved, and the signal ends it in order."""
    async with PlugChatSimulator(50, seed=7, dialect="documented") as sim:
        async with running(shown("python", "AccessDeniedError").text, sim, tmp_path, {}) as file:
            await until((tmp_path / "shop.state").exists)
            sim.script(Fault.status(403), Fault.status(403))
            await until(lambda: "the watch has stopped: " in Path(file).read_text())
            sim.traffic(every=0.1, bumps=2.0)
            await until(lambda: Path(file).read_text().count(" changed") > 2)
        printed = Path(file).read_text()
        assert printed.startswith("started\n")
        assert printed.endswith("stopped\n")
        assert sim.token not in printed
        WatchState.load(tmp_path / "shop.state")


async def test_a_signal_in_the_middle_of_an_event_doubles_nothing(tmp_path: Path) -> None:
    """It is handled and saved before the program ends; the next one goes on behind it."""
    print_it = 'print(event.chat.id, "changed", flush=True)'
    text = shown("python", "AccessDeniedError").text
    assert print_it in text
    text = text.replace(print_it, f"{print_it}; await asyncio.sleep(1.0)")
    told: list[str] = []
    printed = tmp_path / "printed"
    async with PlugChatSimulator(50, seed=7, dialect="documented") as sim:
        async with running(text, sim, tmp_path, {}):
            await until((tmp_path / "shop.state").exists)
        chats = [sim.receive_message(chat).id for chat in sim.chats[10:12]]
        while len(told) < len(chats):
            async with running(text, sim, tmp_path, {}):
                await until(lambda: " changed" in printed.read_text())
            told += re.findall("(.*) changed", printed.read_text())
    assert told == chats


async def test_a_bot_of_aiogram(tmp_path: Path) -> None:
    """It answers a command, tells of new messages, and ends in order."""
    text = shown("python", "import Bot").text
    telegram = Telegram("/unread")
    async with PlugChatSimulator(50, seed=7, dialect="documented") as sim, serving(telegram.app) as host:
        sim.traffic(every=0.1, bumps=2.0)
        server = f"AiohttpSession(api=TelegramAPIServer.from_base('http://{host}'))"
        text = text.replace('Bot(os.environ["TELEGRAM_TOKEN"])', f'Bot(os.environ["TELEGRAM_TOKEN"], session={server})')
        text = (
            "from aiogram.client.session.aiohttp import AiohttpSession\n"
            f"from aiogram.client.telegram import TelegramAPIServer\n{text}"
        )
        variables = {"TELEGRAM_TOKEN": "42:made-up", "TELEGRAM_OWNER": str(OWNER)}
        async with running(text, sim, tmp_path, variables):
            await until(lambda: any(re.fullmatch(r"\d+ unread messages", line) for line in telegram.written))
            await until(lambda: any(re.search(r": \d+ unread$", line) for line in telegram.written))
            sim.script(Fault.answer("<html>"))
            await until(lambda: "I see new messages again." in telegram.written)
            assert [line for line in telegram.written if line.startswith("the body is not JSON")] != []
        WatchState.load(tmp_path / "shop.state")


async def test_a_bot_of_discord_py(tmp_path: Path) -> None:
    """It connects, tells of new messages, and ends in order."""
    text = shown("python", "import discord").text
    discord = Discord()
    async with PlugChatSimulator(50, seed=7, dialect="documented") as sim, serving(discord.app) as host:
        sim.traffic(every=0.1, bumps=2.0)
        elsewhere = (
            "import warnings\n\nwarnings.filterwarnings('ignore', \"'audioop' is deprecated\")\n"
            "import discord.gateway\nimport discord.http\nimport yarl\n"
            f"discord.http.Route.BASE = 'http://{host}/api'\n"
            f"discord.gateway.DiscordWebSocket.DEFAULT_GATEWAY = yarl.URL('ws://{host}/gateway')\n"
        )
        variables = {"DISCORD_TOKEN": "made-up", "DISCORD_CHANNEL": str(CHANNEL)}
        async with running(elsewhere + text, sim, tmp_path, variables):
            await until(lambda: any(re.search(r": \d+ unread$", line) for line in discord.written))
            sim.script(Fault.answer("<html>"))
            await until(lambda: "I see new messages again." in discord.written)
            assert [line for line in discord.written if line.startswith("the body is not JSON")] != []
        WatchState.load(tmp_path / "shop.state")


def test_the_unit_of_systemd_is_one(tmp_path: Path) -> None:
    """It can be parsed, and systemd finds nothing wrong, where it is there."""
    text = shown("ini").text
    unit = configparser.ConfigParser(interpolation=None)
    unit.read_string(text)
    assert unit.sections() == ["Unit", "Service", "Install"]
    if shutil.which("systemd-analyze"):
        known = text.replace("/opt/shop/.venv/bin/python", sys.executable).replace("User=shop\n", "")
        (tmp_path / "shop.service").write_text(known)
        done = subprocess.run(
            ["systemd-analyze", "verify", "--man=no", str(tmp_path / "shop.service")],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert "shop.service" not in done.stderr


def test_the_dockerfile_lets_signals_through() -> None:
    """Its command is a list: a shell would keep SIGTERM to itself."""
    lines = shown("dockerfile").text.splitlines()
    assert json.loads(lines[-1].removeprefix("CMD ")) == ["python", "/app/shop.py"]
