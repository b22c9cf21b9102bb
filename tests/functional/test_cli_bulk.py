"""`plugchat bulk`, and what else of the command line is about files and many accounts."""

import csv
import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from plugchat_async.cli import app as cli
from plugchat_async.testing import Fault, PlugChatSimulator
from support.exports import FAILURES, only
from support.fakes import served
from support.gateway import Gateway

PLUGCHAT = [sys.executable, "-W", "error", "-m", "plugchat_async"]
SECRET = "s3cr3t-t0ken"


@pytest.fixture
def sim() -> Iterator[PlugChatSimulator]:
    """A simulator with ten accounts."""
    with served(PlugChatSimulator(1)) as simulator:
        for number in range(10):
            simulator.add_account(f"{SECRET}-{number}", 30, seed=number)
        yield simulator


@pytest.fixture
def accounts(sim: PlugChatSimulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of them; the first one's token is in the environment."""
    monkeypatch.setenv("FIRST_TOKEN", f"{SECRET}-0")
    monkeypatch.setenv("PLUGCHAT_BASE_URL", sim.base_url)
    monkeypatch.setenv("COLUMNS", "120")
    lines = ["name,token,token_env", "shop 0,,FIRST_TOKEN", *(f"shop {n},{SECRET}-{n}," for n in range(1, 10))]
    file = tmp_path / "accounts.csv"
    file.write_text("\n".join(lines) + "\n")
    return file


def table(text: str) -> dict[str, str]:
    """The summary's rows."""
    rows = re.findall(r"^│ (.+?) +│ +(.+?) │$", text, re.MULTILINE)
    return {str(name).strip(): str(value) for name, value in rows}


@pytest.mark.slow
@pytest.mark.parametrize("style", ["jsonl", "csv", "parquet"])
def test_accounts_come_into_a_folder(
    sim: PlugChatSimulator, accounts: Path, capsys: pytest.CaptureFixture[str], style: str
) -> None:
    """A file for each, a summary on stdout, exit code 0; the second time nothing is fetched."""
    out = accounts.parent / "out"
    command = ["bulk", str(accounts), "-o", str(out), "--format", style, "--concurrency", "3", "--page-size", "10"]
    assert cli.run(command) == 0
    printed = capsys.readouterr()
    rows = table(printed.out)
    assert (rows["accounts finished"], rows["accounts failed"], rows["chats"]) == ("10", "0", "300")
    assert printed.err == ""
    files = sorted(out.glob(f"*.{style}"))
    assert [file.stem for file in files] == [f"shop {number}" for number in range(10)]
    if style == "parquet":
        assert {pq.read_table(file).num_rows for file in files} == {30}
    asked = len(sim.requests)
    assert {request.page_size for request in sim.requests} > {"10", "1000"}
    command[-2:] = ["--page-size", "10", "--max-page-size", "0"]
    assert cli.run(command) == 0
    printed = capsys.readouterr()
    assert table(printed.out)["finished by an earlier run"] == "10"
    assert "--restart" in printed.err
    assert len(sim.requests) == asked
    assert cli.run([*command, "--restart"]) == 0
    assert table(capsys.readouterr().out)["accounts finished"] == "10"
    assert max(int(request.page_size or 0) for request in sim.requests[asked:]) == 10


def test_files_of_accounts_that_are_not_in_the_list_are_told(
    accounts: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """They are kept, unless --prune is given."""
    out = accounts.parent / "out"
    command = ["bulk", str(accounts), "-o", str(out)]
    assert cli.run(command) == 0
    assert "not in the list" not in capsys.readouterr().out
    accounts.write_text("".join(accounts.read_text().splitlines(keepends=True)[:4]))
    assert cli.run([*command, "--restart"]) == 0
    printed = capsys.readouterr()
    rows = table(printed.out)
    assert (rows["accounts finished"], rows["not in the list, files kept"]) == ("3", "7")
    assert "were kept; use --prune to delete them" in printed.err
    assert len(list(out.glob("*.jsonl"))) == 10
    assert cli.run([*command, "--prune"]) == 0
    printed = capsys.readouterr()
    rows = table(printed.out)
    assert (rows["finished by an earlier run"], rows["not in the list, files deleted"]) == ("3", "7")
    assert "--prune" not in printed.err
    assert len(list(out.glob("*.jsonl"))) == 3


def test_jsonl_is_written_where_nothing_is_said(accounts: Path) -> None:
    """One object a line, with the account's name first."""
    assert cli.run(["bulk", str(accounts), "-o", str(accounts.parent / "out")]) == 0
    first = json.loads((accounts.parent / "out" / "shop 3.jsonl").read_text().splitlines()[0])
    assert list(first)[:2] == ["account", "phone"]
    assert first["account"] == "shop 3"


def test_failed_accounts_are_told_by_the_exit_code_and_a_file(
    sim: PlugChatSimulator, accounts: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With reason and hint; in the summary by their class of error. No token is printed anywhere."""
    sim.script(Fault.status(401, body=f"no such token: {SECRET}-1"), token=f"{SECRET}-1")
    sim.script(Fault.answer("{}"), token=f"{SECRET}-2")
    sim.script(Fault.status(403), token=f"{SECRET}-3")
    sim.script(Fault.status(400, body='{"error": "You are not connected."}'), token=f"{SECRET}-4")
    out = accounts.parent / "out"
    assert cli.run(["bulk", str(accounts), "-o", str(out)]) == 5
    printed = capsys.readouterr()
    rows = table(printed.out)
    assert (rows["accounts finished"], rows["accounts failed"]) == ("6", "4")
    assert rows["phone not connected"] == "1"
    assert "accounts with no chats" not in rows
    assert "NotConnectedError" not in rows
    assert (rows["AuthenticationError"], rows["NotAListError"]) == ("2", "1")
    assert str(out / FAILURES) in printed.err
    listed = [json.loads(line) for line in (out / FAILURES).read_text().splitlines()]
    assert {line["account"] for line in listed} == {"shop 1", "shop 2", "shop 3", "shop 4"}
    assert all(line["error"] and line["message"] and line["hint"] for line in listed)
    texts = [(out / name).read_text() for name in only(out)] + [printed.out, printed.err]
    assert SECRET not in "".join(texts)


def test_empty_accounts_are_told(sim: PlugChatSimulator, accounts: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two rows of the summary, exit code 5 and the file of failures, if one was kept; --allow-empty believes it."""
    sim.add_account(f"{SECRET}-empty", 0)
    out = accounts.parent / "out"
    command = ["bulk", str(accounts), "-o", str(out)]
    full = accounts.read_text()
    accounts.write_text(f"{full}shop new,{SECRET}-empty,\n")
    assert cli.run(command) == 0
    printed = capsys.readouterr()
    assert table(printed.out)["accounts with no chats"] == "1"
    assert "empty, kept as they were" not in table(printed.out)
    assert printed.err == ""
    accounts.write_text(full.replace(f"{SECRET}-3,", f"{SECRET}-empty,"))
    assert cli.run([*command, "--restart"]) == 5
    printed = capsys.readouterr()
    rows = table(printed.out)
    assert (rows["accounts finished"], rows["accounts failed"]) == ("9", "0")
    assert (rows["accounts with no chats"], rows["empty, kept as they were"]) == ("1", "1")
    assert f"See {out / FAILURES} for the accounts that failed or were kept" in printed.err
    assert len((out / "shop 3.jsonl").read_text().splitlines()) == 30
    assert cli.run([*command, "--allow-empty"]) == 0
    rows = table(capsys.readouterr().out)
    assert (rows["accounts finished"], rows["finished by an earlier run"], rows["accounts with no chats"]) == (
        *("1", "9", "1"),
    )
    assert "empty, kept as they were" not in rows
    assert (out / "shop 3.jsonl").read_text() == ""


def test_an_unverified_account_is_told(
    sim: PlugChatSimulator, accounts: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In the summary; `--consistency plain` proves nothing."""
    assert cli.run(["bulk", str(accounts), "-o", str(accounts.parent / "out"), "--consistency", "plain"]) == 0
    assert table(capsys.readouterr().out)["finished, but chats may be missing"] == "10"


ROWS = (
    '[{"phone":"","lid":"7@lid","name":"Ana","unread":"\\u001b[2J"},{"name":"nobody"},'
    '{"phone":"551190000007","lid":"7@lid","unread":"3"}]'
)


def test_values_that_could_not_be_read_are_told(
    sim: PlugChatSimulator, accounts: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A row of the summary counts them, and a line on stderr has the first, however many accounts have some."""
    for number in (1, 2):
        sim.script(Fault.answer(ROWS), token=f"{SECRET}-{number}")
    assert cli.run(["bulk", str(accounts), "-o", str(accounts.parent / "out"), "--concurrency", "1"]) == 0
    printed = capsys.readouterr()
    assert table(printed.out)["values that could not be read"] == "4"
    assert printed.err.count("\n") == 1
    assert printed.err.rstrip("\n").isprintable()
    assert "4 values could not be read, such as: account 'shop 1', page 1, chat 0, unread: expected a" in printed.err


def test_a_bad_value_can_fail_an_account(
    sim: PlugChatSimulator, accounts: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With --on-bad-value raise."""
    sim.script(Fault.answer(ROWS), token=f"{SECRET}-1")
    out = accounts.parent / "out"
    assert cli.run(["bulk", str(accounts), "-o", str(out), "--on-bad-value", "raise"]) == 5
    rows = table(capsys.readouterr().out)
    assert (rows["accounts finished"], rows["DecodeError"]) == ("9", "1")
    assert "values that could not be read" not in rows


def test_people_are_merged(sim: PlugChatSimulator, accounts: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One line for each person; the folder is gone on with as what it is."""
    out = accounts.parent / "out"
    other: Any = Gateway(json.loads(ROWS))
    with served(other):
        lines = accounts.read_text().replace("token_env\n", "token_env,base_url\n").splitlines()
        lines[1:] = [f"{line},{other.base_url if line.startswith('shop 1') else sim.base_url}" for line in lines[1:]]
        accounts.write_text("\n".join(lines) + "\n")
        assert cli.run(["bulk", str(accounts), "-o", str(out), "--merge-people"]) == 0
    [line] = (out / "shop 1.jsonl").read_text().splitlines()
    assert (json.loads(line)["phone"], json.loads(line)["name"]) == ("551190000007", "Ana")
    capsys.readouterr()
    assert cli.run(["bulk", str(accounts), "-o", str(out)]) == 2
    err = capsys.readouterr().err
    assert "already holds all chats of each account (one chat for each person) as jsonl" in err
    assert "start over with --restart" in err
    assert cli.run(["bulk", str(accounts), "-o", str(out), "--merge-people"]) == 0
    assert table(capsys.readouterr().out)["finished by an earlier run"] == "10"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,token\na,{}-1\na,{}-2\n", "line 3: 'a' is also in line 2"),
        ("name,token\na,{} x\n", "line 2: 'a': token contains spaces"),
        ("name,token\na,{},{}\n", "line 2: expected 2 cells, found 3"),
        ("name,token_env\na,{}\n", "line 2: 'a': the environment variable"),
        ("{}\n", "line 1 does not name the columns"),
    ],
)
def test_a_malformed_file_is_told_before_anything_is_fetched(
    sim: PlugChatSimulator, accounts: Path, capsys: pytest.CaptureFixture[str], text: str, message: str
) -> None:
    """Line and reason, exit code 2, no folder, no token."""
    accounts.write_text(text.replace("{}", SECRET))
    assert cli.run(["bulk", str(accounts), "-o", str(accounts.parent / "out")]) == 2
    printed = capsys.readouterr()
    assert message in printed.err
    assert "what to do: " in printed.err
    assert SECRET not in printed.err + printed.out
    assert not (accounts.parent / "out").exists()
    assert sim.requests == []


def test_a_folder_that_can_not_be_written(
    sim: PlugChatSimulator, accounts: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 1, and nothing is fetched."""
    assert cli.run(["bulk", str(accounts), "-o", str(accounts)]) == 1
    assert "can't write" in capsys.readouterr().err
    assert sim.requests == []


@pytest.mark.parametrize(
    "options",
    [
        ["--concurrency", "0"],
        ["--concurrency", "1.5"],
        ["--requests-per-second", "0"],
        ["--account-requests-per-second", "-1"],
        ["--format", "xml"],
        ["--limit", "-1"],
        ["--dask", "--format", "csv"],
    ],
)
def test_wrong_options(accounts: Path, capsys: pytest.CaptureFixture[str], options: list[str]) -> None:
    """Exit code 2, before anything is made."""
    assert cli.run(["bulk", str(accounts), "-o", str(accounts.parent / "out"), *options]) == 2
    assert "error: " in capsys.readouterr().err
    assert not (accounts.parent / "out").exists()


def test_help_tells_all(capsys: pytest.CaptureFixture[str]) -> None:
    """Columns of the file, options, examples, exit codes."""
    assert cli.run(["bulk", "--help"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    for word in (
        "token_env",
        "--concurrency",
        "--restart",
        "--allow-empty",
        "--dask [ADDRESS]",
        "--format parquet",
    ):
        assert word in text


@pytest.mark.slow
def test_a_terminal_shows_progress(accounts: Path) -> None:
    """Accounts done and failed, chats per second, the time left; and no token."""
    out = accounts.parent / "out"
    lines = accounts.read_text().replace(f"{SECRET}-5", "wrong").replace(f"{SECRET}-6", "wrong")
    accounts.write_text(lines)
    main, sub = pty.openpty()
    command = [*PLUGCHAT, "bulk", str(accounts), "-o", str(out), "--requests-per-second", "20"]
    environment = {**os.environ, "COLUMNS": "120", "TERM": "xterm"}
    with (
        (accounts.parent / "summary.txt").open("w") as summary,
        subprocess.Popen(command, stdout=summary, stderr=sub, env=environment) as process,
    ):
        os.close(sub)
        shown = b""
        while True:
            try:
                chunk = os.read(main, 10_000)
            except OSError:  # how Linux reports the other side's end
                break
            shown += chunk
            if not chunk:
                break
        assert process.wait(30) == 5
    os.close(main)
    text = shown.decode()
    assert re.search(r"[1-9] of 10 accounts, 2 failed", text)
    assert re.search(r"[1-9][0-9,]* chats/s", text)
    assert re.search(r"0:00:0\d.*left", text)
    assert SECRET not in text


def test_a_summary_for_programs(
    sim: PlugChatSimulator, accounts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One JSON object on stdout; all else stays on stderr."""
    accounts.write_text(f"{accounts.read_text()}wrong,no-such-token,\n")
    assert cli.run(["bulk", str(accounts), "-o", str(tmp_path / "out"), "--json"]) == 5
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert (found.pop("elapsed") > 0, found.pop("folder")) == (True, str(tmp_path / "out"))
    told = {"finished": 10, "failed": 1, "chats": 300, "errors": {"AuthenticationError": 1}}
    assert found == {**dict.fromkeys(found, 0), **told}
    assert set(found) >= {"skipped", "unverified", "problems", "empty", "kept", "not_connected"}
    assert "failed: wrong: " in err


def test_a_folder_whose_name_looks_like_markup(accounts: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is shown as it is."""
    out = accounts.parent / "o[/b]ut[red]"
    assert cli.run(["bulk", str(accounts), "-o", str(out)]) == 0
    assert "o[/b]ut[red]" in capsys.readouterr().out.replace("\n", "").replace(" ", "")


@pytest.mark.slow
def test_an_interrupted_command_is_gone_on_with(sim: PlugChatSimulator, accounts: Path) -> None:
    """Ctrl-C ends it with 130; the same command does the rest."""
    out = accounts.parent / "out"
    command = [*PLUGCHAT, "bulk", str(accounts), "-o", str(out), "--concurrency", "1", "--page-size", "20"]
    with subprocess.Popen(
        [*command, "--requests-per-second", "20"], stderr=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        deadline = time.monotonic() + 30
        while len(sim.requests) < 8 and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    told = rb"interrupted: \d of 10 accounts are finished\. Run the same command again to fetch the others\.\n"
    assert re.fullmatch(told, err)
    assert not [*out.rglob("*.part")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=50, check=True)
    rows = table(done.stdout)
    skipped = int(rows["finished by an earlier run"])
    assert 2 <= skipped < 10
    assert int(rows["accounts finished"]) == 10 - skipped


# Parquet and whole files of one account.


def test_chats_of_one_account_as_parquet(
    sim: PlugChatSimulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the file's name; not on stdout."""
    monkeypatch.setenv("PLUGCHAT_TOKEN", f"{SECRET}-1")
    monkeypatch.setenv("PLUGCHAT_BASE_URL", sim.base_url)
    target = tmp_path / "x.parquet"
    assert cli.run(["chats", "-o", str(target), "--page-size", "10"]) == 0
    ids = sorted(chat.id for chat in sim._accounts[f"{SECRET}-1"].chats)
    assert sorted(row["phone"] or row["lid"] for row in pq.read_table(target).to_pylist()) == ids
    assert cli.run(["chats", "--format", "parquet"]) == 2
    assert "Use --output" in capsys.readouterr().err
    sim.script(Fault.none(), Fault.status(401))
    assert cli.run(["chats", "-o", str(tmp_path / "y.parquet"), "--page-size", "10"]) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["x.parquet"]
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert cli.run(["chats", "-o", str(target)]) == 2
    assert "plugchat-async[parquet]" in capsys.readouterr().err


# A simulator of many accounts.


@pytest.mark.slow
def test_simulated_accounts_have_a_file(tmp_path: Path) -> None:
    """`plugchat simulate --accounts` writes what `plugchat bulk` reads."""
    file = tmp_path / "accounts.csv"
    command = [*PLUGCHAT, "simulate", "--port", "0", "--chats", "12", "--accounts", "5", "--accounts-file", str(file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.readline()
        with file.open(newline="") as lines:
            assert [row["name"] for row in csv.DictReader(lines)] == [f"account-{number}" for number in range(1, 6)]
        assert cli.run(["bulk", str(file), "-o", str(tmp_path / "out")]) == 0
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert "12 chats each of 5 accounts" in err
    texts = {path.read_text() for path in (tmp_path / "out").glob("account-*.jsonl")}
    assert len(texts) == 5
    assert {len(text.splitlines()) for text in texts} == {12}


def test_a_number_of_accounts_that_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    """At least one."""
    assert cli.run(["simulate", "--accounts", "0"]) == 2
    assert "accounts must be at least 1" in capsys.readouterr().err


# Dask.


def test_dask_without_its_extra_is_told(
    accounts: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the command that installs it."""
    for loaded in [name for name in sys.modules if name.startswith("plugchat_async.integrations.dask")]:
        monkeypatch.delitem(sys.modules, loaded)
    monkeypatch.setitem(sys.modules, "distributed", None)
    assert cli.run(["bulk", str(accounts), "-o", str(accounts.parent / "out"), "--dask"]) == 2
    assert "plugchat-async[dask]" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize(("address", "code"), [("nonsense", 2), ("tcp://127.0.0.1:9", 3)])
def test_a_cluster_that_does_not_answer_is_told(accounts: Path, address: str, code: int) -> None:
    """Exit code 3, as for a service that fails; 2 if that is no address."""
    command = [*PLUGCHAT, "bulk", str(accounts), "-o", str(accounts.parent / "out"), f"--dask={address}"]
    environment = {**os.environ, "DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "1s"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=50, check=False)
    assert done.returncode == code
    assert address in done.stderr
    assert "tcp://HOST:PORT" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_cluster_of_this_machine_is_the_default(sim: PlugChatSimulator, accounts: Path) -> None:
    """Two processes make parts of Parquet; the same command goes on after Ctrl-C, without a word too many."""
    out = accounts.parent / "out"
    command = [*PLUGCHAT, "bulk", "--dask", str(accounts), "-o", str(out), "--page-size", "20"]
    with subprocess.Popen(
        [*command, "--requests-per-second", "3"], stderr=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    ) as process:
        deadline = time.monotonic() + 60
        while len(sim.requests) < 3 and time.monotonic() < deadline:
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    told = rb"interrupted: \d of 10 accounts are finished\. Run the same command again to fetch the others\.\n"
    assert re.fullmatch(told, err)
    assert not [*out.rglob("*.part")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr in (
        "",
        "Accounts that an earlier run finished were skipped; use --restart to fetch them again.\n",
    )
    rows = [str(row) for file in out.glob("part-*.parquet") for row in pq.read_table(file)["account"].to_pylist()]
    assert sorted(rows) == sorted([f"shop {number}" for number in range(10)] * 30)


@pytest.mark.slow
@pytest.mark.parametrize("sync", [True, False])
def test_who_wants_speed_does_not_wait_for_the_disk(
    accounts: Path, monkeypatch: pytest.MonkeyPatch, *, sync: bool
) -> None:
    """With --no-sync."""
    flushed: list[int] = []
    monkeypatch.setattr(os, "fsync", flushed.append)
    options = [] if sync else ["--no-sync"]
    assert cli.run(["bulk", str(accounts), "-o", str(accounts.parent / "out"), *options]) == 0
    assert bool(flushed) == sync
