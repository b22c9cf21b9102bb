"""The README is true: its examples run against the simulator, its tables name what there is."""

import inspect
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import plugchat_async
from fakes import served
from plugchat_async import PlugChatError, PlugChatSession, RetryPolicy
from plugchat_async.testing import Fault, PlugChatSimulator

README = (Path(__file__).parent.parent / "README.md").read_text()
EXAMPLES = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def example(word: str) -> str:
    """The one Python example that holds `word`."""
    [found] = [str(code) for code in EXAMPLES if word in code]
    return found


@pytest.fixture
def account() -> Iterator[PlugChatSimulator]:
    """A running simulator."""
    with served(PlugChatSimulator(250, seed=7)) as sim:
        yield sim


@pytest.fixture
def environment(account: PlugChatSimulator) -> dict[str, str]:
    """The variables that lead to it."""
    return {**os.environ, "PLUGCHAT_TOKEN": account.token, "PLUGCHAT_BASE_URL": account.base_url}


def run(code: str, environment: dict[str, str]) -> str:
    """Run code in a process of its own, warnings being errors, and give what it prints."""
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_the_main_example(environment: dict[str, str]) -> None:
    """It prints a line a chat."""
    assert len(run(example("iter_chats(page_size=100)"), environment).splitlines()) == 250


def test_the_testing_example(environment: dict[str, str]) -> None:
    """It passes."""
    assert run(example("Fault.reset()"), environment) == ""


def test_the_walk_that_goes_on(environment: dict[str, str], account: PlugChatSimulator) -> None:
    """It goes on after an error, prints each chat once, and its report says so."""
    account.script(Fault.none(), Fault.status(401))
    lines = run(example("resume=checkpoint"), environment).splitlines()
    phones = [line for line in lines if not line.startswith("WalkReport")]
    assert sorted(phones) == sorted(chat.phone for chat in account.chats)
    assert [line.rpartition("reason=")[2].partition(",")[0] for line in lines if line not in phones] == [
        "'the walk failed: AuthenticationError'",
        "''",
    ]


def test_the_bot(environment: dict[str, str]) -> None:
    """It prints unread chats and goes on until it is stopped."""
    bot = subprocess.Popen(
        [sys.executable, "-c", example("asyncio.sleep(30)")],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert bot.stdout is not None
    assert bot.stdout.readline().endswith(" unread\n")
    assert bot.poll() is None
    bot.send_signal(signal.SIGINT)
    bot.communicate(timeout=30)


def test_the_fastapi_backend(environment: dict[str, str]) -> None:
    """Its endpoint answers with the unread chats, and with 502 when the token is refused."""
    client = """
import json, os
from fastapi.testclient import TestClient
with TestClient(app) as client:
    answer = client.get("/unread")
print(answer.status_code, json.dumps(answer.json()))
"""
    code = example("FastAPI(lifespan=lifespan)") + client
    status, _, body = run(code, environment).partition(" ")
    assert status == "200"
    assert all(count > 0 for count in json.loads(body).values())
    assert run(code, {**environment, "PLUGCHAT_TOKEN": "wrong"}) == (
        '502 {"detail": "Plug Chat failed: AuthenticationError"}\n'
    )


def test_every_error_is_in_the_table() -> None:
    """All classes but the base, and no other."""
    section = README.partition("## When something goes wrong")[2].partition("### Retries")[0]
    rows = [row.split("|")[1] for row in section.splitlines() if row.startswith("| ")]
    named = set(re.findall(r"`(\w+Error)`", " ".join(rows)))
    assert named == {
        name
        for name, value in vars(plugchat_async).items()
        if inspect.isclass(value) and issubclass(value, PlugChatError) and value is not PlugChatError
    }


def test_every_option_is_in_the_table() -> None:
    """With its default."""
    section = README.partition("## Configuration")[2].partition("## Testing")[0]
    rows = dict(re.findall(r"^\| `(\w+)` \|([^|]*)\|", section, re.MULTILINE))
    parameters = dict(list(inspect.signature(PlugChatSession).parameters.items()))
    assert list(rows) == list(parameters)
    for name, shown in rows.items():
        default = parameters[name].default
        said = shown.strip(" `")
        match name:
            case "token":
                assert said == ""
            case "base_url":
                assert said == default
            case "max_response_bytes":
                assert said == f"{default // 2**20} MiB"
            case "retry" | "time_source":
                assert said == f"{type(default).__name__}()"
            case _:
                assert said == str(default)


def test_the_retry_policy_is_as_told() -> None:
    """All of its arguments, with their defaults."""
    assert f"`{RetryPolicy()}`" in README


def test_the_two_commands_are_marked_for_ci() -> None:
    """CI runs what a reader would paste."""
    for name in ("demo", "tests"):
        assert re.search(rf"<!-- run: {name} -->\n```sh\npython3 -m venv \.venv && .+\n```", README)
