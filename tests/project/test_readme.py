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

import pyarrow.parquet as pq
import pytest

import plugchat_async
from plugchat_async import BulkOptions, PlugChatError, PlugChatSession, RetryPolicy, to_arrow
from plugchat_async.testing import Fault, PlugChatSimulator
from support.fakes import served

README = (Path(__file__).parents[2] / "README.md").read_text()
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


def run(code: str, environment: dict[str, str], folder: Path | None = None) -> str:
    """Run code in a process of its own, in a folder, warnings being errors, and give what it prints."""
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=folder, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_the_main_example(environment: dict[str, str]) -> None:
    """It prints a line a chat."""
    assert len(run(example("iter_chats(page_size=100)"), environment).splitlines()) == 250


@pytest.mark.slow
def test_the_testing_example(environment: dict[str, str]) -> None:
    """It passes."""
    assert run(example("Fault.reset()"), environment) == ""


def test_the_walk_that_goes_on(environment: dict[str, str], account: PlugChatSimulator) -> None:
    """It goes on after an error, prints each chat once, and its report says so."""
    account.script(Fault.none(), Fault.status(401))
    lines = run(example("resume=checkpoint"), environment).splitlines()
    ids = [line for line in lines if not line.startswith("WalkReport")]
    assert sorted(ids) == sorted(chat.id for chat in account.chats)
    assert [line.rpartition("reason=")[2].partition(",")[0] for line in lines if line not in ids] == [
        "'the walk failed: AuthenticationError'",
        "''",
    ]


@pytest.mark.slow
def test_the_bot(environment: dict[str, str], account: PlugChatSimulator, tmp_path: Path) -> None:
    """It tells of what happened since its state was saved, and goes on until it is stopped."""
    learn = [sys.executable, "-m", "plugchat_async", "watch", "--max-polls", "1", "--state", "bot.state"]
    subprocess.run(learn, env=environment, cwd=tmp_path, timeout=60, check=True)
    chat = account.receive_message(account.chats[100])
    bot = subprocess.Popen(
        [sys.executable, "-c", example('WatchState.load("bot.state")')],
        env=environment,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert bot.stdout is not None
    assert bot.stdout.readline() == f"{chat.name or chat.id}: {chat.unread} unread\n"
    assert bot.poll() is None
    bot.send_signal(signal.SIGINT)
    bot.communicate(timeout=30)


@pytest.mark.slow
def test_the_fastapi_backend(environment: dict[str, str]) -> None:
    """Its endpoints answer with chats, and with a problem when the token is refused."""
    client = """
import json, logging
from fastapi.testclient import TestClient
logging.getLogger("plugchat_async.fastapi").disabled = True  # it tells of what is refused on stderr
with TestClient(app) as client:
    unread, stream = client.get("/unread"), client.get("/chats.ndjson")
print(json.dumps([unread.status_code, stream.status_code, unread.json(), len(stream.text.splitlines())]))
"""
    code = example("FastAPI(lifespan=plugchat_lifespan())") + client
    status, streamed, body, lines = json.loads(run(code, environment))
    assert (status, streamed, lines) == (200, 200, 250)
    assert all(count > 0 for count in body.values())
    status, streamed, body, _ = json.loads(run(code, {**environment, "PLUGCHAT_TOKEN": "wrong"}))
    assert (status, streamed, body["title"]) == (502, 502, "Plug Chat refuses the token")


@pytest.fixture
def folder(account: PlugChatSimulator, tmp_path: Path) -> Path:
    """A folder with a file of three accounts, one of which fails."""
    account.add_account("second", 30, seed=1)
    lines = [
        "name,token,base_url",
        *(f"{token},{token},{account.base_url}" for token in (account.token, "second", "x")),
    ]
    (tmp_path / "accounts.csv").write_text("\n".join(lines))
    return tmp_path


def test_tokens_that_change(environment: dict[str, str], account: PlugChatSimulator, tmp_path: Path) -> None:
    """The file's token is sent."""
    code = example("newest_token")
    (tmp_path / "token").write_text(f"{account.token}\n")
    for shown, used in (
        ("/run/secrets/plugchat", str(tmp_path / "token")),
        ("(newest_token)", f"(newest_token, base_url={account.base_url!r})"),
    ):
        assert shown in code
        code = code.replace(shown, used)
    assert run(code, environment) == "250 chats\n"


def test_many_accounts(environment: dict[str, str], folder: Path) -> None:
    """A line for each, with its chats or why it failed."""
    lines = run(example("fetch_many(read_accounts"), environment, folder).splitlines()
    assert {"simulated-token 250 chats", "second 30 chats"} <= set(lines)
    assert len(lines) == 3
    assert any(
        line.startswith("x failed: the gateway says: 'the token is missing or unknown' (HTTP 401") for line in lines
    )


def test_files(environment: dict[str, str], folder: Path) -> None:
    """A walk as Parquet, and a folder of accounts."""
    out = run(example("export_many(read_accounts"), environment, folder)
    assert out.startswith("250 chats\n")
    assert "finished=2, failed=1" in out
    assert pq.read_table(folder / "chats.parquet").num_rows == 250
    assert (folder / "out" / "second.parquet").exists()


@pytest.mark.slow
def test_dask(environment: dict[str, str], folder: Path) -> None:
    """A file of its own, as processes need it."""
    (folder / "example.py").write_text(example("fetch_many_dask(read_accounts"))
    command = [sys.executable, "example.py"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=folder, timeout=100, check=True)
    assert "finished=2, failed=1" in done.stdout
    assert sum(pq.read_table(part).num_rows for part in (folder / "parts").glob("*.parquet")) == 280


def test_the_schema_is_as_told() -> None:
    """Each column of the table is there, and no other."""
    section = README.partition("| column | type |")[2].partition("In CSV")[0]
    told = [
        str(name)
        for row in section.splitlines()
        for name in re.findall(r"`(\w+)`", row.partition("| ")[2].split("|")[0])
    ]
    assert sorted(told) == sorted(["account", *to_arrow([]).column_names])


def test_every_option_of_fetch_many_is_told() -> None:
    """Those that others have not, with their defaults; the rest by a reference."""
    section = README.partition("| option of `fetch_many`")[2].partition("After a 429")[0]
    own = {
        "concurrency",
        "on_error",
        "stream",
        "on_result",
        "max_concurrency",
        "requests_per_second",
        "account_requests_per_second",
    }
    for name in own | {"isolate_connections", "base_url"}:
        assert f"`{name}`" in section
    others = set(BulkOptions.__annotations__) - own - {"isolate_connections", "base_url"}
    elsewhere = {
        *inspect.signature(PlugChatSession).parameters,
        *inspect.signature(PlugChatSession.iter_chats).parameters,
    }
    assert others <= elsewhere


def test_every_error_is_in_the_table() -> None:
    """All classes but the base, and no other."""
    section = README.partition("## When something goes wrong")[2].partition("### Retries")[0]
    rows = [row.split("|")[1] for row in section.splitlines() if row.startswith("| ")]
    named = set(re.findall(r"`(\w+Error)`", " ".join(rows)))
    assert named == {
        name
        for name in plugchat_async.__all__
        if inspect.isclass(value := getattr(plugchat_async, name))
        and issubclass(value, PlugChatError)
        and value is not PlugChatError
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
            case "retry" | "clock":
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


def test_no_figure_is_left_to_be_filled_in() -> None:
    """Names in capitals with underscores are those of variables."""
    assert set(re.findall(r"\b[A-Z]+_[A-Z_]+\b", README)) == {"PLUGCHAT_TOKEN", "PLUGCHAT_BASE_URL"}
