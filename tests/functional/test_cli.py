import contextlib
import csv
import io
import json
import os
import pty
import re
import select
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from attrs import asdict

from plugchat_async import PlugChatSession, __version__
from plugchat_async import __main__ as main_module
from plugchat_async.cli import app as cli
from plugchat_async.testing import Fault, PlugChatSimulator, Quirks
from support.fakes import move_too_fast, served
from support.gateway import Gateway
from support.peers import program
from support.rows import ids_in
from support.terminal import PLUGCHAT, STEERING, STEERING_NAMES, on_terminal, raw_on_terminal, screen_of


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[PlugChatSimulator]:
    """An account of 250 chats, and the environment to reach it."""
    with served(PlugChatSimulator(250, seed=7, token="s3cret-token")) as sim:
        monkeypatch.setenv("PLUGCHAT_TOKEN", sim.token)
        monkeypatch.setenv("PLUGCHAT_BASE_URL", sim.base_url)
        monkeypatch.setenv("COLUMNS", "120")
        yield sim


@contextmanager
def listing(monkeypatch: pytest.MonkeyPatch, rows: str | Sequence[object]) -> Iterator[Gateway]:
    """Serve these rows to the commands, page by page."""
    server: Any = Gateway(json.loads(rows) if isinstance(rows, str) else rows)
    with served(server):
        monkeypatch.setenv("PLUGCHAT_TOKEN", "s3cret-token")
        monkeypatch.setenv("PLUGCHAT_BASE_URL", server.base_url)
        monkeypatch.setenv("COLUMNS", "120")
        yield server


def test_chats_in_a_pipe_are_json_lines(account: PlugChatSimulator, capsys: pytest.CaptureFixture[str]) -> None:
    """One chat a line on stdout, nothing on stderr, exit code 0."""
    assert cli.run(["chats"]) == 0
    out, err = capsys.readouterr()
    # More rows of one person on later pages come at the end.
    ids = [chat.id for chat in account.chats]
    assert ids_in("jsonl", out)[:100] == ids[:100]
    assert sorted(ids_in("jsonl", out)) == sorted(ids)
    assert err == ""


@pytest.mark.parametrize("style", ["table", "json", "jsonl", "csv"])
def test_each_format(account: PlugChatSimulator, capsys: pytest.CaptureFixture[str], style: str) -> None:
    """The same chats in each."""
    assert cli.run(["chats", "--format", style, "--limit", "7", "--page-size", "5"]) == 0
    out = capsys.readouterr().out
    assert ids_in(style, out) == [chat.id for chat in account.chats[:7]]
    assert [(r.page, r.page_size) for r in account.requests] == [("1", "5"), ("2", "5")]


def test_a_name_can_not_steer_the_terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither escape sequences nor rich's markup nor line ends in a name do anything; emoji stay whole."""
    names = ["[red]red[/red]", *STEERING_NAMES]
    with listing(monkeypatch, [{"phone": str(i), "name": name} for i, name in enumerate(names)]):
        assert cli.run(["chats", "--format", "table"]) == 0
    out = capsys.readouterr().out
    assert not set(out) & STEERING
    assert "[red]red[/red]" in out
    assert "👩\u200d👧 ❤\ufe0f" in out
    assert len([line for line in out.splitlines() if line.startswith("│")]) == len(names)


@pytest.mark.slow
@pytest.mark.parametrize("style", ["json", "jsonl", "csv", "table"])
def test_a_name_can_not_steer_a_real_terminal(monkeypatch: pytest.MonkeyPatch, style: str) -> None:
    """JSON stays the same JSON, CSV has a replacement character; a pipe gets each name as it is."""
    command = ["chats", "--format", style]
    with listing(monkeypatch, [{"phone": str(i), "name": name} for i, name in enumerate(STEERING_NAMES)]):
        shown = on_terminal(command)
        piped = subprocess.run([*PLUGCHAT, *command], capture_output=True, timeout=30, check=True).stdout.decode()
    assert not set(shown) & STEERING
    assert "👩\u200d👧 ❤\ufe0f" in shown
    match style:
        case "json" | "jsonl":
            assert names_in(style, shown) == names_in(style, piped) == STEERING_NAMES
            assert "\u202eevil" in piped
        case "csv":
            assert names_in(style, shown) == ["".join(map(replaced, name)) for name in STEERING_NAMES]
            assert names_in(style, piped) == STEERING_NAMES
        case _:
            assert len([line for line in shown.splitlines() if line.startswith("│")]) == len(STEERING_NAMES)


def replaced(character: str) -> str:
    """The replacement character for what steers a terminal, and for line ends."""
    return "\ufffd" if character in STEERING | {"\n"} else character


def names_in(style: str, out: str) -> list[str]:
    """The name of each chat that was printed."""
    match style:
        case "csv":
            rows: list[dict[str, str]] = list(csv.DictReader(io.StringIO(out, newline="")))
        case "json":
            rows = json.loads(out)
        case _:
            rows = [json.loads(line) for line in out.splitlines()]
    return [row["name"] for row in rows]


@pytest.mark.parametrize("options", [[], ["--format", "json"], ["--merge-people"], ["--report"]])
def test_an_empty_list_is_told(
    account: PlugChatSimulator, capsys: pytest.CaptureFixture[str], options: list[str]
) -> None:
    """If it is not known whether the phone is connected, with the command that says it; not where there are chats."""
    unknown, connected = "see `plugchat status`", "the phone is connected"
    for status, told in ((Fault.status(404), unknown), (Fault.answer('{"connected": true}'), connected)):
        account.script(*[Fault.answer("[]")] * 2, status)
        assert cli.run(["chats", *options]) == 0
        out, err = capsys.readouterr()
        assert out == ("[]\n" if options == ["--format", "json"] else "")
        assert err.endswith(f"warning: the list is empty: {told}\n")
    for more in (["--limit", "0"], ["--consistency", "plain", "--start-page", "9"], ["--limit", "1"]):
        assert cli.run(["chats", *options, *more]) == 0
        assert "the list is empty" not in capsys.readouterr().err


def test_an_empty_list_of_a_phone_that_is_not_connected(
    account: PlugChatSimulator, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is an error, which says what to do, and no empty account."""
    account.connected = False
    assert cli.run(["chats", "--format", "json"]) == 3
    out, err = capsys.readouterr()
    assert out == ""
    assert "the list is empty, and the phone is not connected to WhatsApp" in err


def test_no_chats_are_an_empty_array(capsys: pytest.CaptureFixture[str], account: PlugChatSimulator) -> None:
    """Also as JSON; and --limit 0 asks for nothing."""
    assert cli.run(["chats", "--format", "json", "--limit", "0"]) == 0
    assert json.loads(capsys.readouterr().out) == []
    assert account.requests == []


@pytest.mark.parametrize(
    ("name", "style"), [("a.json", "json"), ("a.CSV", "csv"), ("a.jsonl", "jsonl"), ("a.txt", "table"), ("a", "jsonl")]
)
def test_a_file_is_written_in_the_format_that_its_name_says(
    account: PlugChatSimulator, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, style: str
) -> None:
    """The same bytes as on stdout, and nothing else in the folder."""
    assert cli.run(["chats", "-o", str(tmp_path / name), "--limit", "3"]) == 0
    assert capsys.readouterr().out == ""
    assert cli.run(["chats", "--format", style, "--limit", "3"]) == 0
    assert (tmp_path / name).read_text() == capsys.readouterr().out
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_file_appears_whole_or_not_at_all(
    account: PlugChatSimulator, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An error in the middle leaves an older file as it was, and nothing beside it."""
    target = tmp_path / "chats.jsonl"
    target.write_text("older")
    account.script(Fault.none(), Fault.status(401))
    assert cli.run(["chats", "-o", str(target)]) == 2
    assert target.read_text() == "older"
    assert [path.name for path in tmp_path.iterdir()] == ["chats.jsonl"]
    assert "--start-page" not in capsys.readouterr().err


def test_a_file_that_cannot_be_written(
    account: PlugChatSimulator, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is known before anything is fetched."""
    for target in (tmp_path / "nowhere" / "x.csv", tmp_path, "/", ""):
        assert cli.run(["chats", "-o", str(target), "--format", "csv"]) == 1
        assert "can't write" in capsys.readouterr().err
    assert account.requests == []


@pytest.mark.parametrize(
    "options", [["--page-size", "0"], ["--max-page-size", "-1"], ["--start-page", "2"], ["--prefetch", "5000"]]
)
def test_a_wrong_option_is_not_taken_for_a_disk_that_is_full(
    account: PlugChatSimulator, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str]
) -> None:
    """With -o, too."""
    assert cli.run(["chats", "-o", str(tmp_path / "x.csv"), *options]) == 2
    err = capsys.readouterr().err
    assert "can't write" not in err
    assert "free space" not in err
    assert list(tmp_path.iterdir()) == []


def test_a_link_stays_a_link_and_a_mode_stays(account: PlugChatSimulator, tmp_path: Path) -> None:
    """What is written is the file behind it, readable by whom it was before."""
    target, link = tmp_path / "private.jsonl", tmp_path / "link.jsonl"
    target.write_text("older")
    target.chmod(0o600)
    link.symlink_to(target)
    assert cli.run(["chats", "-o", str(link)]) == 0
    assert link.is_symlink()
    assert len(target.read_text().splitlines()) == 250
    assert target.stat().st_mode & 0o777 == 0o600


def test_a_pipe_as_file_is_written_to(account: PlugChatSimulator, tmp_path: Path) -> None:
    """What is no regular file is not replaced by one."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()))
    reader.start()
    assert cli.run(["chats", "-o", str(pipe), "--format", "jsonl"]) == 0
    reader.join(10)
    assert pipe.is_fifo()
    assert len(read[0].splitlines()) == 250


@pytest.mark.parametrize(
    ("faults", "code", "said"),
    [
        ([Fault.status(401)], 2, "HTTP 401"),
        ([Fault.status(302)], 2, "HTTP 302"),
        ([Fault.status(503, headers={"Retry-After": "900"})], 3, "HTTP 503"),
        ([Fault.status(404)], 4, "HTTP 404"),
        ([Fault.answer("<html>")], 4, "not JSON"),
        ([Fault.status(403, body="<html>")], 2, "refused by a firewall: HTTP 403"),
        *(
            (
                [Fault.status(status, body=json.dumps({"error": text}))],
                code,
                f"error: the gateway says: '{text}' (HTTP {status}",
            )
            for status in (200, 400, 401, 403, 404)
            for text, code in (
                ("your client-token is not configured", 2),
                ("Instance not found", 2),
                ("203.0.113.9 not allowed", 2),
                ("You need to be connected", 3),
                ("You are not connected.", 3),
                ("You need to restore the session.", 3),
                ("Does not work in multi device version", 4),
            )
        ),
    ],
)
def test_an_error_says_what_happened_and_what_to_do(
    account: PlugChatSimulator, capsys: pytest.CaptureFixture[str], faults: list[Fault], code: int, said: str
) -> None:
    """On stderr, without a traceback or the token, with an exit code for scripts."""
    account.script(*faults)
    assert cli.run(["chats"]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert said in err
    assert "\nwhat to do: " in err
    assert "Traceback" not in err
    assert account.token not in err


def test_what_was_written_before_an_error_can_be_gone_on_from(
    account: PlugChatSimulator, capsys: pytest.CaptureFixture[str]
) -> None:
    """The message names the options, and with them the rest comes."""
    account.script(Fault.none(), Fault.status(401))
    assert cli.run(["chats", "--consistency", "plain"]) == 2
    out, err = capsys.readouterr()
    found = re.search(r"to resume, use (--consistency plain --start-page 2 --page-size 100)\.", err)
    assert found
    assert cli.run(["chats", *found[1].split()]) == 0
    out += capsys.readouterr().out
    assert len(out.splitlines()) == 250


def test_a_stream_that_failed_says_how_to_go_on_next_time(
    account: PlugChatSimulator, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a checkpoint there is nothing to go on from; nor if nothing was written."""
    account.script(Fault.none(), Fault.status(401), Fault.status(401))
    assert cli.run(["chats"]) == 2
    assert "with --checkpoint FILE, a failed run can be resumed" in capsys.readouterr().err
    assert cli.run(["chats"]) == 2
    assert "can be resumed" not in capsys.readouterr().err


def test_a_report(account: PlugChatSimulator, capsys: pytest.CaptureFixture[str]) -> None:
    """One line on stderr; also of a walk that failed."""
    assert cli.run(["chats", "--report"]) == 0
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 250
    numbers = "rows read 250, pages 4, requests 5, passes 2, duplicates skipped 250, recovered 25"
    numbers += ", values that could not be read 0"
    assert re.fullmatch(rf"report: {numbers}, seconds \d\.\d\d; verified\n", err)
    account.script(Fault.none(), Fault.status(401))
    assert cli.run(["chats", "--report", "--consistency", "plain", "--limit", "150"]) == 2
    assert "not verified: the walk failed: AuthenticationError" in capsys.readouterr().err


def test_consistency_and_prefetch_reach_the_walk(
    account: PlugChatSimulator, capsys: pytest.CaptureFixture[str]
) -> None:
    """As the requests show."""
    assert cli.run(["chats", "--consistency", "strict", "--page-size", "50"]) == 0
    assert account.requests[0].page_size == "1000"
    account.requests.clear()
    strictly = ["chats", "--consistency", "strict", "--page-size", "50", "--max-page-size", "0", "--limit", "250"]
    assert cli.run(strictly) == 0
    assert account.requests[0].page_size == "50"
    account.requests.clear()
    assert cli.run(["chats", "--prefetch", "4", "--page-size", "25"]) == 0
    assert 12 <= len(account.requests) <= 22
    assert len(capsys.readouterr().out.splitlines()) >= 700


@pytest.mark.slow
def test_a_walk_that_must_be_verified(account: PlugChatSimulator, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 4 if it is not, after all chats."""
    move_too_fast(account)
    assert cli.run(["chats", "--page-size", "5", "--max-page-size", "0", "--require-verified"]) == 4
    out, err = capsys.readouterr()
    assert len(out.splitlines()) > 200
    assert "the walk is not verified" in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["chats", "--token", "s3cret\n"], "token contains spaces"),
        (["chats", "--token", "s3cret", "--base-url", "http://x.example"], "--base-url must be https"),
        (["chats", "--token", "s3cret", "--page-size", "0"], "--page-size must be at least 1"),
        (["chats", "--token", "s3cret", "--limit", "-1"], "limit must be at least 0"),
        (["chats", "--token", "s3cret", "--limit", "x"], "limit"),
        (["chats", "--token", "s3cret", "--format", "xml"], "format"),
        (["chats", "--token", "s3cret", "--frob"], "--frob"),
        (["chats", "--token", "s3cret", "--limit", "1.5"], "limit"),
        (["chats", "--token", "s3cret", "-o", "chats.xls"], "unknown format .xls"),
        (["chats", "--token", "s3cret", "-o", "chats.csv.gz"], "files are not compressed"),
        (["chats", "--token", "s3cret", "-o", "chats.csv.gz", "--format", "csv"], "files are not compressed"),
        (["chats", "s3cret"], "unexpected argument"),
        (["simulate", "--port", "99999"], "port must be at most 65535"),
        (["simulate", "--chats", "-3"], "chats must be at least 0"),
        (["frob"], "frob"),
        (["chats"], "PLUGCHAT_TOKEN"),
    ],
)
def test_a_wrong_command_is_exit_code_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    """With what is wrong, and without the token."""
    monkeypatch.delenv("PLUGCHAT_TOKEN", raising=False)
    assert cli.run(arguments) == 2
    out, err = capsys.readouterr()
    assert said in err
    assert "s3cret" not in out + err


def test_a_full_disk_behind_a_redirection(
    account: PlugChatSimulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What happened, and no traceback."""

    def full(_: str) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(sys.stdout, "write", full)
    assert cli.run(["chats"]) == 1
    assert "can't write to standard output: No space left on device" in capsys.readouterr().err


def test_the_demo_runs_without_token_or_network(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It fetches all chats of the simulator, with a retry on the way, and shows them."""
    monkeypatch.delenv("PLUGCHAT_TOKEN", raising=False)
    assert cli.run(["demo"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert out.count("GET /api/whatsapp/chats") == 6
    assert "answered 503 on purpose" in out
    assert "250 chats" in out


def test_the_demo_of_an_empty_account(capsys: pytest.CaptureFixture[str]) -> None:
    """The request for the status has no page."""
    assert cli.run(["demo", "--chats", "0"]) == 0
    out = capsys.readouterr().out
    assert "  GET /api/whatsapp/status\n" in out
    assert "None" not in out


def test_the_demo_checks_what_it_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    """If a chat were lost, it would not pass in silence."""

    async def lose(*_: object, **__: object) -> list[object]:
        return []

    monkeypatch.setattr(PlugChatSession, "list_chats", lose)
    with pytest.raises(AssertionError, match="are not the simulator's"):
        cli.run(["demo"])


def test_the_busy_demo(capsys: pytest.CaptureFixture[str]) -> None:
    """plain loses chats and exact does not, side by side."""
    assert cli.run(["demo", "--busy"]) == 0
    out = capsys.readouterr().out
    rows = {cells[1]: cells for line in out.splitlines() if len(cells := re.split(r"\s*│\s*", line)) > 8}
    assert list(rows) == ["plain", "exact", "strict"]
    missed = {name: int(cells[4]) for name, cells in rows.items()}
    twice = {name: int(cells[5]) for name, cells in rows.items()}
    assert missed["plain"] > 0 == missed["exact"] == missed["strict"]
    assert twice["plain"] > 0 == twice["exact"] == twice["strict"]
    assert [cells[7] for cells in rows.values()] == ["no", "yes", "yes"]
    assert out.endswith('plain is not verified: consistency="plain" proves nothing.\n')


def test_the_demo_says_what_is_wrong_with_its_options(capsys: pytest.CaptureFixture[str]) -> None:
    """As for chats."""
    assert cli.run(["demo", "--page-size", "0"]) == 2
    assert "--page-size must be at least 1, got 0" in capsys.readouterr().err


@pytest.mark.parametrize("columns", [80, 120])
def test_help_breaks_no_name_of_an_option(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], columns: int
) -> None:
    """So that it can be copied; and the panels keep their order."""
    monkeypatch.setenv("COLUMNS", str(columns))
    for command in ("chats", "contacts", "pending", "bulk", "watch", "status", "doctor", "simulate", "demo"):
        assert cli.run([command, "--help"]) == 0
        text = capsys.readouterr().out
        assert max(map(len, text.splitlines())) <= columns
        known = {name for found in cli.app[command].assemble_argument_collection() for name in found.names} - {"*"}
        assert known <= set(text.split()), known.difference(text.split())
        assert -1 < text.find("─ Parameters ─") < text.find("─ Connection ─") or command in ("simulate", "demo")


@pytest.mark.slow
@pytest.mark.parametrize("command", [["--help"], ["chats", "--help"], ["--version"]])
def test_help_that_nobody_reads(command: list[str]) -> None:
    """Ends as other output into a closed pipe, and says nothing."""
    reader, writer = os.pipe()
    os.close(reader)
    ended = subprocess.run([*PLUGCHAT, *command], check=False, stdout=writer, stderr=subprocess.PIPE, timeout=30)
    os.close(writer)
    assert (ended.returncode, ended.stderr) == (141, b"")


def test_the_version_needs_no_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Its libraries take most of the time. The text is that of the whole command line."""
    code = (
        "import sys; from plugchat_async.__main__ import main; main();"
        "print([name for name in ('cyclopts', 'rich', 'aiohttp', 'asyncio') if name in sys.modules])"
    )
    command = [sys.executable, "-c", code, "--version"]
    ended = subprocess.run(command, check=True, capture_output=True, text=True, timeout=30)
    assert cli.run(["--version"]) == 0
    assert (ended.stdout, ended.stderr) == (f"{capsys.readouterr().out}[]\n", "")


def test_a_version_that_can_not_be_printed_is_not_printed_twice() -> None:
    """The full command line tries again. Here the pipe is full, until that begins."""
    code = """
import os, sys
from contextlib import suppress
from plugchat_async import __main__
from plugchat_async.cli import app

reader, writer = os.pipe()
os.set_blocking(reader, False)
os.set_blocking(writer, False)
with suppress(BlockingIOError):
    while os.write(writer, b" " * 65536): pass
with suppress(BlockingIOError):
    while os.write(writer, b" "): pass
os.dup2(writer, 1)
run = app.run

def run_later(arguments):
    with suppress(BlockingIOError):
        while os.read(reader, 65536): pass
    return run(arguments)

app.run = run_later
with suppress(SystemExit):
    __main__.main()
sys.stdout.flush()
os.write(2, os.read(reader, 1000))
"""
    command = [sys.executable, "-c", code, "--version"]
    ended = subprocess.run(command, check=True, capture_output=True, text=True, timeout=30)
    assert ended.stderr == f"{__version__}\n"


def test_a_version_for_a_closed_output_is_printed_nowhere() -> None:
    """The null device takes the place of what the caller has closed, as in all other commands."""
    command = f"{' '.join(PLUGCHAT)} --version <&- >&-"
    ended = subprocess.run(["sh", "-c", command], timeout=30, check=True, capture_output=True)
    assert ended.stderr == b""


def test_help_and_version(capsys: pytest.CaptureFixture[str]) -> None:
    """Options, environment variables, examples; exit codes only in the command's own help."""
    assert cli.run(["chats", "--help"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    for word in ("PLUGCHAT_TOKEN", "--page-size", "--limit", "--format", "--output", "plugchat chats -o"):
        assert word in text
    for command in (
        "chats",
        "contacts",
        "pending",
        "bulk",
        "watch",
        "status",
        "doctor",
        "simulate",
        "demo",
        "completion",
    ):
        assert cli.run([command, "--help"]) == 0
        assert "Exit codes" not in capsys.readouterr().out
    assert cli.run(["--help"]) == 0
    assert "Exit codes: 0 success" in " ".join(capsys.readouterr().out.split())
    assert cli.run(["--version"]) == 0
    assert capsys.readouterr().out.strip() == __version__
    assert cli.run([]) == 0


@pytest.mark.parametrize("speed", [True, False])
def test_uvloop_is_used_where_it_is_installed(
    account: PlugChatSimulator,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    speed: bool,
) -> None:
    """And asyncio's own loop where it is not."""
    if not speed:
        monkeypatch.setitem(sys.modules, "uvloop", None)
    assert cli.run(["chats", "--limit", "1"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_without_the_extra_the_command_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other missing modules are not blamed on it."""
    for name in ("cli.app", "cli.simulate"):
        monkeypatch.delitem(sys.modules, f"plugchat_async.{name}")
    monkeypatch.setitem(sys.modules, "cyclopts", None)
    with pytest.raises(SystemExit, match=r"pip install 'plugchat-async\[cli\]'"):
        main_module.main()
    monkeypatch.delitem(sys.modules, "cyclopts")
    monkeypatch.delitem(sys.modules, "plugchat_async.testing", raising=False)
    monkeypatch.setitem(sys.modules, "plugchat_async.testing", None)
    with pytest.raises(ModuleNotFoundError):
        main_module.main()


def test_main_exits_with_the_commands_code(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The entry point hands on arguments and exit code, also to what ends the process if a signal comes then."""
    monkeypatch.setattr(sys, "argv", ["plugchat", "frob"])
    codes: list[int] = []
    monkeypatch.setattr("plugchat_async.cli.signals.end_with", codes.append)
    with pytest.raises(SystemExit) as caught:
        main_module.main()
    assert caught.value.code == 2
    assert codes == [2]
    assert "frob" in capsys.readouterr().err


# As a user runs it: a process of its own.


@pytest.mark.slow
@pytest.mark.parametrize(("dialect", "have_lids"), [("gateway", True), ("documented", False)])
def test_simulate_serves_chats_until_interrupted(dialect: str, have_lids: bool) -> None:
    """What it prints can be given to a shell; Ctrl-C ends it with 0 and no traceback."""
    server = subprocess.Popen(
        [*PLUGCHAT, "simulate", "--port", "0", "--chats", "20", "--dialect", dialect],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert server.stdout is not None
    exports = dict(server.stdout.readline().removeprefix("export ").strip().split("=", 1) for _ in range(2))
    assert set(exports) == {"PLUGCHAT_BASE_URL", "PLUGCHAT_TOKEN"}
    done = subprocess.run(
        [*PLUGCHAT, "chats"], capture_output=True, text=True, env={**os.environ, **exports}, timeout=30, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == 20
    assert ("@lid" in done.stdout) == have_lids
    server.send_signal(signal.SIGINT)
    _, err = server.communicate(timeout=30)
    assert server.returncode == 0
    assert err == "serving 20 chats; press Ctrl-C to stop\n"


@pytest.mark.slow
def test_simulate_disconnected(tmp_path: Path) -> None:
    """All its accounts have an empty list and a status that says why."""
    accounts = tmp_path / "accounts.csv"
    server = subprocess.Popen(
        [*PLUGCHAT, "simulate", "--port", "0", "--disconnected", "--accounts", "2", "--accounts-file", str(accounts)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert server.stdout is not None
    exports = dict(server.stdout.readline().removeprefix("export ").strip().split("=", 1) for _ in range(2))
    for account in csv.DictReader(accounts.read_text().splitlines()):
        exports["PLUGCHAT_TOKEN"] = account["token"]
        chats, status = (
            subprocess.run(
                [*PLUGCHAT, command], capture_output=True, text=True, env={**os.environ, **exports}, check=False
            )
            for command in ("chats", "status")
        )
        assert (chats.returncode, chats.stdout) == (3, "")
        assert (status.returncode, status.stdout.splitlines()[0]) == (3, "connected:    no")
    server.send_signal(signal.SIGINT)
    _, err = server.communicate(timeout=30)
    assert err == "serving 1000 chats each of 2 accounts, phone not connected; press Ctrl-C to stop\n"


def test_simulate_on_a_port_that_is_taken(account: PlugChatSimulator, capsys: pytest.CaptureFixture[str]) -> None:
    """Says so, and what to do."""
    port = account.base_url.rpartition(":")[2]
    assert cli.run(["simulate", "--port", port]) == 2
    assert f"can't listen on port {port}" in capsys.readouterr().err


def test_simulate_on_an_address_of_another_machine(capsys: pytest.CaptureFixture[str]) -> None:
    """Names it. 203.0.113.0/24 is for documentation: no machine has it."""
    assert cli.run(["simulate", "--host", "203.0.113.9", "--port", "0"]) == 2
    err = capsys.readouterr().err
    assert "can't listen on 203.0.113.9, port 0" in err
    assert "--host must be an address of this machine" in err


@pytest.mark.parametrize(("host", "reason"), [("a..b", "it is not a host name"), ("nowhere", "no name")])
def test_simulate_on_what_is_no_host(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], host: str, reason: str
) -> None:
    """Names it, with the reason of the look-up."""

    def look_up(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "nowhere":
            raise socket.gaierror(socket.EAI_NONAME, "no name")
        return known(name, *args, **kwargs)

    known = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    monkeypatch.setitem(sys.modules, "uvloop", None)  # it has a look-up of its own
    assert cli.run(["simulate", "--host", host, "--port", "0"]) == 2
    assert f"can't listen on {host}, port 0: {reason}\n" in capsys.readouterr().err


@pytest.mark.slow
def test_simulate_serves_though_nobody_reads_what_it_says() -> None:
    """Its stderr is a pipe without a reader."""
    reader, writer = os.pipe()
    os.close(reader)
    command = [*PLUGCHAT, "simulate", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=writer, text=True) as process:
        os.close(writer)
        assert process.stdout is not None
        sim_url = process.stdout.readline().strip().partition("=")[2]
        process.stdout.readline()  # the token; what it says on stderr comes next
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.5)
        headers = {"Authorization": "simulated-token", "Content-Type": "application/json"}
        with urllib.request.urlopen(
            urllib.request.Request(f"{sim_url}/api/whatsapp/status", headers=headers)
        ) as answer:
            assert answer.status == 200
        process.terminate()
    assert process.returncode == 143


@pytest.fixture
def simulated(account: PlugChatSimulator, monkeypatch: pytest.MonkeyPatch) -> Callable[..., PlugChatSimulator]:
    """What `plugchat simulate` would serve with options, if its port were not taken."""
    made: list[PlugChatSimulator] = []

    def make(*args: Any, **options: Any) -> PlugChatSimulator:
        made.append(PlugChatSimulator(*args, **options))
        return made[-1]

    def simulate(*options: str) -> PlugChatSimulator:
        assert cli.run(["simulate", "--port", account.base_url.rpartition(":")[2], *options]) == 2
        return made.pop()

    monkeypatch.setattr("plugchat_async.cli.simulate.PlugChatSimulator", make)
    return simulate


def test_simulate_with_quirks(simulated: Callable[..., PlugChatSimulator], capsys: pytest.CaptureFixture[str]) -> None:
    """Each option is the quirk of its name; without them there are none."""
    assert simulated()._quirks == Quirks()
    quirks = Quirks(
        past_end="error",
        without_time="scattered",
        hidden_share=0.1,
        empty_share=0.2,
        partial_share=0.3,
        lagging_share=0.4,
    )
    options = [
        f"--{name.replace('_', '-')}={value}"
        for name, value in asdict(quirks).items()
        if value != asdict(Quirks())[name]
    ]
    assert len(options) == 6
    assert simulated(*options)._quirks == quirks
    assert cli.run(["simulate", "--hidden-share", "2"]) == 2
    assert "--hidden-share must be at most 1" in capsys.readouterr().err


def test_simulate_a_sync(simulated: Callable[..., PlugChatSimulator]) -> None:
    """Each account starts with ten chats, and has all of them after a minute or so; nothing else happens."""
    sim = simulated("--syncing", "--accounts", "2", "--chats", "300")
    assert [len(account) for account in sim._accounts.values()] == [10, 10]
    for account in sim._accounts.values():
        for _ in range(30):
            account.pass_interval()
        assert 100 < len(account) < 250
        for _ in range(60):
            account.pass_interval()
        assert len(account) == 300


@pytest.mark.slow
def test_a_closed_pipe_ends_quietly(account: PlugChatSimulator) -> None:
    """`plugchat chats | head -1`: no traceback, and the code that shells give."""
    process = subprocess.Popen(
        [*PLUGCHAT, "chats", "--page-size", "1"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    err = process.stderr.read()
    process.stderr.close()
    assert process.wait(30) == 141
    assert err == ""


@pytest.mark.slow
def test_ctrl_c_ends_without_a_traceback(account: PlugChatSimulator) -> None:
    """In the middle of a request: exit code 130, and a line that says how a run can be resumed."""
    account.script(Fault.hang())
    process = subprocess.Popen([*PLUGCHAT, "chats"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 30
    while not account.requests and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (130, "")
    assert err == "interrupted: 0 chats were written; with --checkpoint FILE, a run can be resumed.\n"


@pytest.mark.slow
@pytest.mark.parametrize("style", ["json", "jsonl", "csv", "table"])
def test_data_goes_to_a_pipe_while_the_display_is_on_a_terminal(account: PlugChatSimulator, style: str) -> None:
    """`plugchat chats > file`, typed in a terminal: the data is in the file, and only there."""
    terminal, err = pty.openpty()
    process = subprocess.Popen([*PLUGCHAT, "chats", "--format", style], stdout=subprocess.PIPE, stderr=err, text=True)
    os.close(err)
    out, _ = process.communicate(timeout=30)
    shown = b""
    with contextlib.suppress(OSError):  # how Linux reports the other side's end
        while chunk := os.read(terminal, 65536):
            shown += chunk
    os.close(terminal)
    assert process.returncode == 0
    assert all(chat.id in out for chat in account.chats)
    assert account.chats[0].id.encode() not in shown


@pytest.mark.slow
@pytest.mark.parametrize("style", ["json", "jsonl", "csv", "table"])
def test_any_name_can_be_written_in_any_locale(account: PlugChatSimulator, style: str) -> None:
    """Emoji and accents, where Python would have taken ASCII for a pipe."""
    environment = {**os.environ, "LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = subprocess.run(
        [*PLUGCHAT, "chats", "--format", style], capture_output=True, env=environment, timeout=30, check=False
    )
    assert (done.returncode, done.stderr) == (0, b"")
    name = next(chat.name for chat in account.chats if chat.name is not None and not chat.name.isascii())
    assert name.split()[0] in done.stdout.decode()


@pytest.mark.slow
@pytest.mark.slow
def test_an_error_that_nobody_reads_changes_no_exit_code() -> None:
    """What could not be written stays in the buffer, and Python would end with 120 when it flushes that."""
    reading, writing = os.pipe()
    os.close(reading)
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    try:
        ran = subprocess.run(
            [*PLUGCHAT, "chats", "--limit", "x"], stderr=writing, env=buffered, timeout=60, check=False
        )
    finally:
        os.close(writing)
    assert ran.returncode == 2


def test_closed_descriptors_do_no_harm(account: PlugChatSimulator, tmp_path: Path) -> None:
    """As some schedulers start their jobs."""
    target = tmp_path / "chats.jsonl"
    command = f"{' '.join(PLUGCHAT)} chats -o {target} <&- >&- 2>&-"
    assert subprocess.run(["sh", "-c", command], timeout=30, check=False).returncode == 0
    assert len(target.read_text().splitlines()) == 250


@pytest.mark.slow
@pytest.mark.parametrize("command", [["chats", "--format", "table"], ["demo"]])
def test_a_table_into_a_closed_pipe_ends_quietly(account: PlugChatSimulator, command: list[str]) -> None:
    """As do lines."""
    process = subprocess.Popen([*PLUGCHAT, *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == ""
    process.stderr.close()
    assert process.wait(30) == 141


def on_one_terminal(command: list[str], *, columns: int = 80) -> str:
    """Run a command whose stdout and stderr are the same terminal; give what is left to be seen on it."""
    return screen_of(raw_on_terminal(command, stderr=True, COLUMNS=str(columns), NO_COLOR="1", TERM="xterm"))


@pytest.mark.slow
@pytest.mark.parametrize(("style", "first"), [("table", "┏"), ("json", "[")])
def test_the_display_is_gone_before_data_comes(account: PlugChatSimulator, style: str, first: str) -> None:
    """On a terminal that has both, the first line is the data's alone."""
    account.script(*[Fault.delay(0.15)] * 3)
    seen = on_one_terminal(["chats", "--format", style])
    assert seen.startswith(first)
    assert "chats/s" not in seen
    assert account.chats[249].id in seen


@pytest.mark.slow
def test_a_narrow_terminal_shows_whole_values(account: PlugChatSimulator) -> None:
    """Lines are broken by the terminal, rather than ids cut off."""
    seen = on_one_terminal(["chats", "--limit", "3"], columns=20)
    assert seen.splitlines()[0].endswith("┓")
    for chat in account.chats[:3]:
        assert chat.id in seen
        assert (chat.name or "unread").split()[0] in seen


@pytest.mark.slow
def test_forced_colours_force_no_display(account: PlugChatSimulator) -> None:
    """Continuous integration sets FORCE_COLOR for its logs: a display would fill them with control codes."""
    environment = {**os.environ, "FORCE_COLOR": "1"}
    done = subprocess.run([*PLUGCHAT, "chats"], capture_output=True, env=environment, timeout=30, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert len(done.stdout.splitlines()) == len(account.chats)


@pytest.mark.slow
def test_on_a_terminal_there_are_a_table_and_a_progress_display(account: PlugChatSimulator) -> None:
    """The display counts pages, chats and rate, on stderr; the table goes to stdout."""
    out_terminal, out = pty.openpty()
    err_terminal, err = pty.openpty()
    account.script(*[Fault.delay(0.15)] * 3)
    process = subprocess.Popen([*PLUGCHAT, "chats"], stdout=out, stderr=err)
    os.close(out)
    os.close(err)
    shown = {out_terminal: b"", err_terminal: b""}
    open_terminals = set(shown)
    while open_terminals:
        for terminal in select.select(list(open_terminals), [], [], 30)[0]:
            try:
                chunk = os.read(terminal, 65536)
            except OSError:  # how Linux reports the other side's end
                chunk = b""
            shown[terminal] += chunk
            if not chunk:
                open_terminals.discard(terminal)
                os.close(terminal)
    assert process.wait(30) == 0
    assert account.chats[0].id in shown[out_terminal].decode()
    assert re.search(r"[12] pages, [12]00 chats, [\d,]+ chats/s", shown[err_terminal].decode())
    assert "last message" not in shown[err_terminal].decode()


BAD = (
    (
        '[{"phone":"1","name":"Ana","unread":"\x1b]0;owned\x07"},{"phone":"2","pinned":"[red]maybe"},'
        '{"name":"nobody"},{"phone":"4"}]'
    )
    .replace("\x1b", "\\u001b")
    .replace("\x07", "\\u0007")
)


@pytest.mark.parametrize("style", ["table", "json", "jsonl", "csv"])
def test_values_that_could_not_be_read_are_told_in_a_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], style: str
) -> None:
    """How many, and the first, at the end of the walk, on stderr: the chats come all the same."""
    with listing(monkeypatch, BAD):
        assert cli.run(["chats", "--format", style]) == 0
    out, err = capsys.readouterr()
    assert ids_in(style, out) == ["1", "2", "4"]
    assert err.count("\n") == 1
    assert err.startswith(
        "warning: 3 values could not be read, such as: page 1, chat 0, unread: expected a count, got "
    )
    assert err.rstrip("\n").isprintable()
    with listing(monkeypatch, '[{"phone":"1","unread":"many"}]'):
        assert cli.run(["chats", "--limit", "1"]) == 0
    assert capsys.readouterr().err.startswith("warning: 1 value could not be read, such as: page 1, chat 0, unread:")


def test_a_report_counts_values_that_could_not_be_read(
    account: PlugChatSimulator, capsys: pytest.CaptureFixture[str]
) -> None:
    """Behind the warning; also of a walk that fails later."""
    account.script(Fault.answer(BAD), Fault.status(401))
    assert cli.run(["chats", "--report", "--page-size", "4"]) == 2
    warning, report, error, _ = capsys.readouterr().err.splitlines()
    assert warning.startswith("warning: 3 values could not be read")
    assert "values that could not be read 3," in report
    assert error.startswith("error: ")


def test_a_bad_value_can_be_an_error(account: PlugChatSimulator, capsys: pytest.CaptureFixture[str]) -> None:
    """With --on-bad-value raise; nothing else is an answer to the option."""
    account.script(Fault.answer(BAD))
    assert cli.run(["chats", "--on-bad-value", "raise"]) == 4
    out, err = capsys.readouterr()
    assert out == ""
    assert "3 values can't be read" in err
    assert "warning" not in err
    assert "\x1b" not in err
    assert cli.run(["chats", "--on-bad-value", "ignore"]) == 2


@pytest.mark.slow
def test_a_warning_is_not_mixed_into_the_display(account: PlugChatSimulator) -> None:
    """On a terminal, where pages are still counted when the first bad value comes."""
    account.script(Fault.answer(BAD), Fault.delay(0.15), Fault.delay(0.15))
    seen = on_one_terminal(["chats", "--format", "table", "--page-size", "4", "--limit", "6"], columns=150)
    lines = seen.rstrip("\n").splitlines()
    assert lines[0].startswith("┏")
    assert lines[-1].startswith("warning: 3 values could not be read")
    assert seen.count("could not be read") == 1


ROWS = (
    '[{"phone":"","lid":"7@lid","name":"Ana","unread":"1"},{"phone":"120-group","name":"Team"},'
    '{"phone":"551190000007","lid":"7@lid","unread":"3"},{"lid":"8@lid"}]'
)
PEOPLE = ["551190000007", "120-group", "8@lid"]


@pytest.mark.parametrize("style", ["table", "json", "jsonl", "csv"])
def test_one_chat_for_each_person(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], style: str
) -> None:
    """In each format, on stdout and in a file; without the option each row is a chat."""
    with listing(monkeypatch, ROWS):
        assert cli.run(["chats", "--merge-people", "--format", style]) == 0
        assert ids_in(style, capsys.readouterr().out) == PEOPLE
        assert cli.run(["chats", "--format", style]) == 0
    assert ids_in(style, capsys.readouterr().out) == ["7@lid", "120-group", "551190000007", "8@lid"]


def test_one_row_of_parquet_for_each_person(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The phone of the row that has it, the most unread messages, the name that there is."""
    with listing(monkeypatch, ROWS):
        assert cli.run(["chats", "--merge-people", "-o", str(tmp_path / "x.parquet")]) == 0
    rows = pq.read_table(tmp_path / "x.parquet").to_pylist()
    assert [row["phone"] or row["lid"] for row in rows] == PEOPLE
    assert (rows[0]["name"], rows[0]["unread"], rows[0]["lid"]) == ("Ana", 3, "7@lid")


def test_a_limit_counts_rows_before_they_are_merged(
    account: PlugChatSimulator, capsys: pytest.CaptureFixture[str]
) -> None:
    """As the help says."""
    account.script(Fault.answer(ROWS))
    assert cli.run(["chats", "--merge-people", "--limit", "3"]) == 0
    assert ids_in("jsonl", capsys.readouterr().out) == PEOPLE[:2]
    assert cli.run(["chats", "--help"]) == 0
    assert "With --merge-people it limits the rows that are merged" in re.sub(r"[\s│]+", " ", capsys.readouterr().out)


def test_merged_people_are_whole_or_not_at_all(
    account: PlugChatSimulator, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A walk that fails prints nothing, so there is nothing to go on from, and no checkpoint is taken."""
    account.script(Fault.none(), Fault.status(401))
    assert cli.run(["chats", "--merge-people"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "resume" not in err
    for style in ("jsonl", "table"):
        command = ["chats", "--merge-people", "--format", style, "--checkpoint", str(tmp_path / "x")]
        assert cli.run(command) == 2
        assert "so it can't be combined with --checkpoint" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_merged_lines_do_not_meet_the_display(account: PlugChatSimulator) -> None:
    """It is gone from the terminal before the first line comes."""
    account.script(Fault.delay(0.15))
    seen = on_one_terminal(["chats", "--merge-people", "--format", "jsonl", "--limit", "3"], columns=150)
    assert seen.startswith("{")
    assert "chats/s" not in seen


@pytest.mark.slow
def test_a_table_tells_kinds_and_flags(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """What is no person, what is pinned, archived, muted or spam; the id, whichever a row has; within 80 columns."""
    rows: list[dict[str, Any]] = [
        {"phone": "5511999999999", "lid": "111000000000001@lid", "name": "Ana", "lastMessageTime": "1768497607000"},
        {"lid": "111000000000002@lid", "name": "Bia", "pinned": "true", "archived": "true", "isMuted": "1"},
        {"phone": "120363000000000001-group", "name": "Vendas do Sul", "isGroup": True, "isMarkedSpam": "true"},
        {"phone": "5511999999998-1598000000", "name": "Condomínio", "lastMessageTime": "1757985737000"},
        {"phone": "5511999999999@broadcast", "name": "Novidades"},
        {"phone": "120363000000001@newsletter", "name": "Canal"},
        {"phone": "status", "name": "Status", "unread": "12345"},
    ]
    with listing(monkeypatch, rows):
        assert cli.run(["chats", "--format", "table"]) == 0
    cells = [[cell.strip() for cell in line.split("│")[1:-1]] for line in capsys.readouterr().out.splitlines()[3:-2]]
    assert [(row[1], row[4]) for row in cells] == [
        ("5511999999999", ""),
        ("111000000000002@lid", "pinned archived muted"),
        ("120363000000000001-group", "group spam"),
        ("5511999999998-1598000000", "group"),
        ("5511999999999@broadcast", "broadcast"),
        ("120363000000001@newsletter", "channel"),
        ("status", "status"),
    ]
    assert cells[0][3] == "2026-01-15 17:20"
    with listing(monkeypatch, [row for row in rows if "newsletter" not in row.get("phone", "")]):
        seen = on_one_terminal(["chats"], columns=80).splitlines()
    assert {len(line) for line in seen if line.startswith("│")} == {80}
    words = "".join(seen)
    for word in ("archived", "broadcast", "120363000000000001-group", "2026-01-15 17:20", "Condomíni", "Vendas do"):
        assert word in words


COMPLETE = """
source <(cat)
COMP_WORDS=({words}); COMP_CWORD=$(( ${{#COMP_WORDS[@]}} - 1 ))
{function}
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        ("plugchat wa", {"watch"}),
        ("plugchat d", {"demo", "doctor"}),
        ("plugchat watch --ful", {"--full-scan-interval"}),
        ("plugchat chats --consistency st", {"strict"}),
        ("plugchat chats --on-bad-value r", {"raise"}),
        ("plugchat bulk --merge", {"--merge-people"}),
    ],
)
def test_bash_completes(words: str, completed: set[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Commands, options, and what an option takes, with the script that is printed."""
    assert cli.run(["completion", "bash"]) == 0
    script = capsys.readouterr().out
    found = re.search(r"complete .*-F (\w+) plugchat", script)
    assert found is not None
    # A shell with options of its own may not know `compopt` outside a completion.
    program = "compopt() { :; }\n" + COMPLETE.format(words=words, function=found[1])
    done = subprocess.run(
        ["bash", "--norc", "-c", program], input=script, capture_output=True, text=True, timeout=30, check=True
    )
    assert {line.strip() for line in done.stdout.splitlines() if line.strip()} == completed


@pytest.mark.external
@pytest.mark.parametrize("load", ["compinit -u -D; source {}/_plugchat", "fpath=({} $fpath); compinit -u -D"])
def test_zsh_completes(load: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """With the script sourced, or in a folder of `fpath`: an interactive shell, in which Tab is pressed."""
    zsh = program("zsh")
    assert cli.run(["completion", "zsh"]) == 0
    (tmp_path / "_plugchat").write_text(capsys.readouterr().out)
    terminal, slave = pty.openpty()
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "TERM": "dumb"}
    process = subprocess.Popen([zsh, "-f", "-i"], stdin=slave, stdout=slave, stderr=slave, env=environment)
    os.close(slave)
    try:
        os.write(terminal, f"autoload -Uz compinit; {load.format(tmp_path)}\n".encode())
        os.write(terminal, b"print -r -- rea''dy\n")
        read_until(terminal, b"ready\r")
        os.write(terminal, b"plugchat wa\t")
        read_until(terminal, b"plugchat watch ")
    finally:
        process.kill()
        process.wait()
        os.close(terminal)


def read_until(terminal: int, wanted: bytes) -> None:
    """Read what a terminal shows, until it has shown what is wanted."""
    seen = b""
    while wanted not in seen:
        assert select.select([terminal], [], [], 30)[0], f"not shown: {wanted!r}, but {seen!r}"
        seen += os.read(terminal, 65536)


@pytest.mark.external
def test_fish_completes(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """As it would on Tab."""
    fish = program("fish")
    assert cli.run(["completion", "fish"]) == 0
    (tmp_path / "plugchat.fish").write_text(capsys.readouterr().out)
    for words, completed in (("plugchat wa", "watch"), ("plugchat watch --ful", "--full-scan-interval")):
        done = subprocess.run(
            [fish, "--no-config", "-c", f"source {tmp_path}/plugchat.fish; complete -C '{words}'"],
            capture_output=True,
            env={**os.environ, "HOME": str(tmp_path)},
            text=True,
            timeout=30,
            check=True,
        )
        assert [line.split("\t")[0] for line in done.stdout.splitlines()] == [completed]


def test_powershell_has_a_script(capsys: pytest.CaptureFixture[str]) -> None:
    """It names the commands and options."""
    assert cli.run(["completion", "powershell"]) == 0
    script = capsys.readouterr().out
    assert "Register-ArgumentCompleter" in script
    assert "full-scan-interval" in script


@pytest.mark.parametrize("command", ["chats", "bulk", "watch", "status", "doctor", "simulate", "demo", "completion"])
def test_help_has_examples(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Of each command."""
    assert cli.run([command, "--help"]) == 0
    assert f"Examples: plugchat {command}" in capsys.readouterr().out.replace("source <(", "")
