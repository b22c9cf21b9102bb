"""The README and the documentation's tables are true: their examples run, the tables name what there is.

`test_docs` runs every example of the documentation. Here are those whose output is checked.
"""

import inspect
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pyarrow.parquet as pq
import pytest

import plugchat_async
from plugchat_async import (
    BulkOptions,
    Chat,
    PlugChatError,
    PlugChatSession,
    RetryPolicy,
    SessionOptions,
    WalkOptions,
    fetch_many,
    to_arrow,
)
from plugchat_async._http.options import RequestSettings
from plugchat_async.testing import Fault, PlugChatSimulator
from support.fakes import served

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")


def page(name: str) -> str:
    """Return the text of a page of the documentation."""
    return (ROOT / "docs" / f"{name}.md").read_text("utf-8")


def example(word: str, text: str = README) -> str:
    """Return the one Python example of a text that holds `word`."""
    [found] = [str(code) for code in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if word in code]
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
    """Run code in a process of its own, in a folder, with warnings as errors, and return what it prints."""
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=folder, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


# The README


def test_it_is_short() -> None:
    """A reader gets through it; all else is in the documentation."""
    assert len(README.splitlines()) <= 170


def test_its_links_lead_somewhere() -> None:
    """Within the repository to a file that is there."""
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", README)
    assert [link for link in links if "://" not in link and not (ROOT / link).exists()] == []


def test_the_main_example(environment: dict[str, str]) -> None:
    """It is the first one, which CI runs, and prints a line a chat."""
    code = example("iter_chats(page_size=100)")
    assert README.index(code) < README.index("```python", README.index("```python") + 1)
    assert len(run(code, environment).splitlines()) == 250


@pytest.mark.slow
def test_the_testing_example(environment: dict[str, str], tmp_path: Path) -> None:
    """It passes."""
    (tmp_path / "test_example.py").write_text(example("Fault.reset()"))
    command = [*(sys.executable, "-m", "pytest", "-q"), *("-o", "asyncio_mode=auto", "-p", "no:cacheprovider")]
    options = {name: value for name, value in environment.items() if not name.startswith("PYTEST_")}
    options["PYTHONPATH"] = str(ROOT)
    done = subprocess.run(command, capture_output=True, text=True, env=options, cwd=tmp_path, timeout=60, check=False)
    assert "1 passed" in done.stdout, done.stdout + done.stderr


@pytest.mark.slow
def test_the_bot(environment: dict[str, str], account: PlugChatSimulator, tmp_path: Path) -> None:
    """It reports what happened since its state was saved, and runs until it is stopped."""
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
    """Its endpoint answers with chats, and with a problem when the token is refused."""
    client = """
import json, logging
from fastapi.testclient import TestClient
logging.getLogger("plugchat_async.fastapi").disabled = True  # it logs what is refused on stderr
with TestClient(app) as client:
    stream = client.get("/chats.ndjson")
print(json.dumps([stream.status_code, stream.text.splitlines()]))
"""
    code = example("FastAPI(lifespan=plugchat_lifespan())") + client
    status, lines = json.loads(run(code, environment))
    assert (status, len(lines)) == (200, 250)
    status, lines = json.loads(run(code, {**environment, "PLUGCHAT_TOKEN": "wrong"}))
    assert (status, json.loads(lines[0])["title"]) == (502, "Plug Chat refused the token")


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


@pytest.mark.slow
@pytest.mark.parametrize("text", [README, page("how-to/bulk")], ids=["README", "bulk"])
def test_many_accounts(text: str, environment: dict[str, str], folder: Path) -> None:
    """A line for each, with its chats or why it failed."""
    lines = run(
        example('fetch_many(read_accounts("accounts.csv"), concurrency', text), environment, folder
    ).splitlines()
    assert {"simulated-token 250 chats", "second 30 chats"} <= set(lines)
    assert len(lines) == 3
    assert any(
        line.startswith("x failed: the gateway says: 'the token is missing or unknown' (HTTP 401") for line in lines
    )


def test_the_four_families_of_errors() -> None:
    """The README's table has all direct subclasses of the base, and the one of which waiting is no help."""
    section = README.partition("## Errors")[2].partition("\n## ")[0]
    rows = [row.split("|")[1] for row in section.splitlines() if row.startswith("| ")]
    families = {kind.__name__ for kind in PlugChatError.__subclasses__()}
    assert set(re.findall(r"`(\w+Error)`", " ".join(rows))) == families | {"NotConnectedError"}


def test_its_figures_are_those_of_the_benchmarks() -> None:
    """As they are committed."""

    def rows(name: str, **chosen: object) -> list[dict[str, Any]]:
        found = json.loads((ROOT / "benchmarks" / "results" / f"{name}.json").read_text())["rows"]
        return [row for row in found if chosen.items() <= row.items()]

    text = " ".join(README.split())
    [walk] = rows("walk", over="http", page_size=100, contender="plugchat_async")
    assert f"At 100 chats a page it reads {walk['httpx']:.1f} times as many chats a CPU second as httpx" in text
    by_hand, first, known = (
        row["seconds"]
        for contender, state in (("by hand", "first"), ("exact, prefetch 16", "first"), ("exact, prefetch 16", "known"))
        for row in rows("waiting", job="all chats", chats=4970, page_size=100, contender=contender, state=state)
    )
    waits = f"take {first:.1f} s instead of {by_hand:.1f}, the next time {known:.1f}."
    assert f"With `prefetch=16`, 5,000 chats at 50 ms {waits}" in text
    [many] = rows("growth", of="accounts", count=10_000)
    assert f"10,000 accounts take {many['peak']:.0f} MB" in text


def test_the_two_commands_are_marked_for_ci() -> None:
    """CI runs what a reader would paste."""
    for name in ("demo", "tests"):
        assert re.search(rf"<!-- run: {name} -->\n```sh\npython3 -m venv \.venv && .+\n```", README)


def test_no_figure_is_left_to_be_filled_in() -> None:
    """Names in capitals with underscores are those of variables."""
    assert set(re.findall(r"\b[A-Z]+_[A-Z_]+\b", README)) == {"PLUGCHAT_TOKEN", "PLUGCHAT_BASE_URL"}


# The documentation's examples


@pytest.mark.slow
def test_the_walk_that_is_resumed(environment: dict[str, str], account: PlugChatSimulator) -> None:
    """It goes on after an error, prints each chat once, and its report says so."""
    account.script(Fault.none(), Fault.status(401))
    code = example("resume=checkpoint", page("how-to/resume"))
    code = code.replace("resume=checkpoint)", "resume=checkpoint, on_report=print)")
    lines = run(code, environment).splitlines()
    ids = [line for line in lines if not line.startswith("WalkReport")]
    assert sorted(ids) == sorted(chat.id for chat in account.chats)
    assert [line.rpartition("reason=")[2].partition(",")[0] for line in lines if line not in ids] == [
        "'the walk failed: AuthenticationError'",
        "''",
    ]


@pytest.mark.slow
def test_tokens_that_change(environment: dict[str, str], account: PlugChatSimulator, tmp_path: Path) -> None:
    """The file's token is sent."""
    code = example("newest_token", page("how-to/token"))
    (tmp_path / "token").write_text(f"{account.token}\n")
    for shown, used in (
        ("/run/secrets/plugchat", str(tmp_path / "token")),
        ("(newest_token)", f"(newest_token, base_url={account.base_url!r})"),
    ):
        assert shown in code
        code = code.replace(shown, used)
    assert run(code, environment) == "250 chats\n"


@pytest.mark.slow
def test_files(environment: dict[str, str], folder: Path) -> None:
    """A walk in three formats, and a folder of accounts."""
    assert run(example("write_parquet", page("how-to/export")), environment, folder) == "250 chats\n" * 3
    assert pq.read_table(folder / "chats.parquet").num_rows == 250
    out = run(example("export_many(read_accounts", page("how-to/bulk")), environment, folder)
    assert out.startswith("2 finished, 1 failed, 0 ")
    assert (folder / "out" / "second.csv").exists()


@pytest.mark.slow
def test_dask(environment: dict[str, str], folder: Path) -> None:
    """A file of its own, as processes need it."""
    (folder / "example.py").write_text(example("fetch_many_dask(read_accounts", page("how-to/bulk")))
    command = [sys.executable, "example.py"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=folder, timeout=100, check=True)
    assert "finished=2, failed=1" in done.stdout
    assert sum(pq.read_table(part).num_rows for part in (folder / "parts").glob("*.parquet")) == 280


# The documentation's tables


def names_in(section: str) -> list[str]:
    """Return the names in the first column of a section's tables."""
    rows = [row.partition("| ")[2].split("|")[0] for row in section.splitlines() if row.startswith("| ")]
    return [str(name) for row in rows for name in re.findall(r"`(\w+)`", row)]


def test_the_schema_has_all_columns() -> None:
    """Each column of the table is there, and no other."""
    section = page("how-to/export").partition("## The columns")[2]
    assert sorted(names_in(section)) == sorted(["account", *to_arrow([]).column_names])


def test_every_field_of_a_chat_is_in_the_table() -> None:
    """With `id` and `kind`, which are made of them."""
    section = page("reference/models").partition("## A chat")[2].partition("\n## ")[0]
    assert sorted(names_in(section)) == sorted([*(field.name for field in attrs.fields(Chat)), "id", "kind"])


def test_every_option_of_fetch_many_is_in_the_table() -> None:
    """Those that others have not, with their defaults; the rest by a reference."""
    section = page("how-to/bulk").partition("## All options")[2].partition("\n## ")[0]
    told = set(names_in(section))
    own = set(inspect.signature(fetch_many).parameters) - {"accounts", "options"}
    own |= set(BulkOptions.__annotations__) - set(SessionOptions.__annotations__) - set(WalkOptions.__annotations__)
    assert own - {"page_size"} <= told
    assert told - {"fetch_many", "PlugChatSession", "iter_chats"} <= own | set(BulkOptions.__annotations__)


def test_every_error_is_in_the_table() -> None:
    """All classes but the base, and no other."""
    section = page("reference/errors").partition("## All errors")[2].partition("\n## ")[0]
    assert set(names_in(section)) == {
        name
        for name in plugchat_async.__all__
        if inspect.isclass(value := getattr(plugchat_async, name))
        and issubclass(value, PlugChatError)
        and value is not PlugChatError
    }


def test_every_option_is_in_the_table() -> None:
    """With its default."""
    section = page("reference/session").partition("## Options")[2].partition("\n## ")[0]
    rows = dict(re.findall(r"^\| `(\w+)` \|([^|]*)\|", section, re.MULTILINE))
    assert sorted(rows) == sorted(["token", *SessionOptions.__annotations__])
    defaults: dict[str, Any] = {field.name: field.default for field in attrs.fields(RequestSettings)}
    defaults |= {"base_url": repr(PlugChatSession("token")).split()[1], "client_session": None, "server_traits": None}
    for name, shown in rows.items():
        said = shown.strip(" `")
        match name:
            case "token":
                assert said == ""
            case "max_response_bytes":
                assert said == f"{defaults[name] // 2**20} MiB"
            case "retry" | "clock":
                assert said == f"{type(defaults[name]).__name__}()"
            case _:
                assert said == str(defaults[name])


def test_the_retry_policy_has_these_defaults() -> None:
    """All of its arguments."""
    assert f"`{RetryPolicy()}`" in page("how-to/timeouts")


@pytest.mark.slow
def test_every_exit_code_is_in_the_table() -> None:
    """Those that `plugchat --help` lists, and no other."""
    command = [sys.executable, "-m", "plugchat_async", "--help"]
    printed = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "COLUMNS": "500"}, timeout=60, check=True
    ).stdout
    listed = re.findall(r"(?:: |; )(\d+) ", printed.partition("Exit codes")[2])
    section = page("reference/cli").partition("## Exit codes")[2]
    assert listed == re.findall(r"^\| (\d+) \|", section, re.MULTILINE)
