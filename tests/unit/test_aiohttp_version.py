"""An aiohttp that is too old is told as that."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from plugchat_async import MissingExtraError
from plugchat_async._http.aiohttp_version import MIN_VERSION, check_aiohttp

PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"


@pytest.mark.parametrize("version", ["3.9.5", "3.12.15", "3.13.0", "3.14.0", "3.14.0rc1", "2"])
def test_an_old_aiohttp_is_named(version: str) -> None:
    """With the version that is needed, and what to do; it is an ImportError, as of any missing library."""
    with pytest.raises(ImportError, match=f"aiohttp {version} is too old: plugchat-async needs 3.14.1") as caught:
        check_aiohttp(version)
    assert isinstance(caught.value, MissingExtraError)
    assert "pip install -U aiohttp" in str(caught.value)


@pytest.mark.parametrize("version", ["3.14.1", "3.14.5", "3.15.0b1", "4.0.0a2.dev0"])
def test_a_newer_aiohttp_is_taken(version: str) -> None:
    """Also before its release."""
    check_aiohttp(version)


def test_installers_get_no_older_one() -> None:
    """The bound of pyproject.toml is at least as high."""
    [bound] = [
        requirement.removeprefix("aiohttp>=")
        for requirement in tomllib.loads(PYPROJECT.read_text("utf-8"))["project"]["dependencies"]
        if requirement.startswith("aiohttp>=")
    ]
    assert tuple(map(int, bound.split("."))) >= MIN_VERSION


@pytest.mark.slow
@pytest.mark.parametrize(
    "use", ["plugchat_async.PlugChatSession", "plugchat_async.fetch_many", "plugchat_async.doctor"]
)
def test_it_is_told_before_a_name_is_missed(use: str) -> None:
    """aiohttp 3.9 had no middlewares: a program hears of that, not "cannot import name"."""
    program = (
        "import aiohttp\n"
        "aiohttp.__version__ = '3.9.5'\n"
        "del aiohttp.ClientHandlerType, aiohttp.ClientConnectorDNSError\n"
        "import plugchat_async\n"
        f"{use}\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "MissingExtraError: aiohttp 3.9.5 is too old" in done.stderr.replace("plugchat_async.errors.", "")


@pytest.mark.slow
def test_the_command_tells_it_in_a_line() -> None:
    """Without a traceback."""
    program = (
        "import runpy, sys, aiohttp\n"
        "aiohttp.__version__ = '3.9.5'\n"
        "sys.argv = ['plugchat', 'demo']\n"
        "runpy.run_module('plugchat_async', run_name='__main__')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("plugchat: aiohttp 3.9.5 is too old")
