"""`plugchat contacts` and `plugchat pending`, against the simulator."""

import csv
import io
import json
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from plugchat_async import Contact, PendingChat, read_jsonl
from plugchat_async.cli import app as cli
from plugchat_async.testing import Fault, PlugChatSimulator
from support.commands import said, start, wait_until
from support.fakes import served
from support.terminal import STEERING, STEERING_NAMES, on_terminal

COMMANDS = ["contacts", "pending"]
Output = pytest.CaptureFixture[str]


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[PlugChatSimulator]:
    """An account, and the environment to reach it."""
    with served(PlugChatSimulator(60, contacts=45, seed=7)) as sim:
        monkeypatch.setenv("PLUGCHAT_TOKEN", sim.token)
        monkeypatch.setenv("PLUGCHAT_BASE_URL", sim.base_url)
        yield sim


def items(sim: PlugChatSimulator, command: str) -> list[Any]:
    return list(sim.contacts if command == "contacts" else sim.pending_chats)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_pipe_gets_json_lines(account: PlugChatSimulator, capsys: Output, command: str) -> None:
    """One item a line on stdout, nothing on stderr."""
    assert cli.run([command, "--page-size", "100"]) == 0
    out, err = capsys.readouterr()
    assert [json.loads(line) for line in out.splitlines()] == [item.to_dict() for item in items(account, command)]
    assert err == ""


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("style", ["json", "csv", "table"])
def test_other_formats(account: PlugChatSimulator, capsys: Output, command: str, style: str) -> None:
    """The same items in each, `--limit` of them."""
    assert cli.run([command, "--format", style, "--limit", "7", "--report"]) == 0
    out, err = capsys.readouterr()
    expected = items(account, command)[:7]
    match style:
        case "json":
            assert json.loads(out) == [item.to_dict() for item in expected]
        case "csv":
            rows = list(csv.DictReader(io.StringIO(out, newline="")))
            assert [row["phone"] or row["lid"] for row in rows] == [item.id for item in expected]
            assert list(rows[0]) == list(expected[0].to_dict())
        case _:
            lines = [line for line in out.splitlines() if line.startswith("│")]
            assert len(lines) == 7
            assert all(item.id in row for item, row in zip(expected, lines, strict=True))
    assert "report: rows read 7, pages 1" in err


@pytest.mark.parametrize("command", COMMANDS)
def test_files(account: PlugChatSimulator, tmp_path: Path, command: str) -> None:
    """The suffix chooses the format, as for chats."""
    kind: Any = Contact if command == "contacts" else PendingChat
    assert cli.run([command, "-o", str(tmp_path / "x.jsonl")]) == 0
    assert list(read_jsonl(tmp_path / "x.jsonl", item=kind)) == items(account, command)
    assert cli.run([command, "-o", str(tmp_path / "x.parquet")]) == 0
    assert [kind(**row) for row in pq.read_table(tmp_path / "x.parquet").to_pylist()] == items(account, command)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.jsonl", "x.parquet"]


def _excel(phone: str | None) -> str:
    """Return a phone's cell in CSV for Excel: what looks like a number is a formula that is a text."""
    return f'="{phone}"' if phone and not re.search("[a-z]", phone) else phone or ""


@pytest.mark.parametrize("command", COMMANDS)
def test_files_for_spreadsheets(account: PlugChatSimulator, capsys: Output, tmp_path: Path, command: str) -> None:
    """CSV for Excel, and workbooks, as of chats."""
    openpyxl: Any = pytest.importorskip("openpyxl")
    assert cli.run([command, "-o", str(tmp_path / "x.csv"), "--csv", "excel"]) == 0
    text = (tmp_path / "x.csv").read_text("utf-8-sig")
    rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=";"))
    assert rows[0] == list(items(account, command)[0].to_dict())
    assert [row[0] for row in rows[1:]] == [_excel(x.phone) for x in items(account, command)]
    assert cli.run([command, "-o", str(tmp_path / "x.xlsx")]) == 0
    [titles, *cells] = openpyxl.load_workbook(tmp_path / "x.xlsx").active.values
    assert list(titles) == list(items(account, command)[0].to_dict())
    assert [row[0] for row in cells] == [item.phone for item in items(account, command)]
    assert cli.run([command, "--csv", "excel", "--format", "json"]) == 2
    assert "--csv excel is for csv, not for json" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_failures(account: PlugChatSimulator, capsys: Output, tmp_path: Path, command: str) -> None:
    """Exit codes and hints are those of chats, and a failed run leaves no file."""
    requests = 1 if command == "contacts" else 2  # a page with the whole list, which may fail, comes before the others
    account.script(*[Fault.status(401)] * requests)
    assert cli.run([command, "-o", str(tmp_path / "x.csv")]) == 2
    assert not list(tmp_path.iterdir())
    assert "the output is not complete" not in capsys.readouterr().err  # nothing was begun
    account.connected = False
    assert cli.run([command]) == 3
    assert "the phone is not connected" in capsys.readouterr().err
    assert cli.run([command, "--page-size", "0"]) == 2
    assert cli.run([command, "--token", ""]) == 2
    assert cli.run([command, "x"]) == 2


def test_nothing_is_pending(account: PlugChatSimulator, capsys: Output) -> None:
    """An empty list says on stderr that the phone is connected."""
    for chat in account.chats:
        account.mark_read(chat)
    assert cli.run(["pending", "--format", "json"]) == 0
    out, err = capsys.readouterr()
    assert out == "[]\n"
    assert "warning: the list is empty: the phone is connected" in err


@pytest.mark.slow
def test_names_on_a_terminal(account: PlugChatSimulator) -> None:
    """Other people's names can't steer it, and rows fit into 80 columns."""
    for contact, name in zip(account.contacts, STEERING_NAMES, strict=False):
        account.rename_contact(contact, name)
    shown = on_terminal(["contacts"])
    assert not set(shown) & STEERING
    assert len([line for line in shown.splitlines() if line.startswith("│")]) >= 45


@pytest.mark.slow
@pytest.mark.parametrize("target", ["x.jsonl", None])
def test_a_signal_ends_it(account: PlugChatSimulator, tmp_path: Path, target: str | None) -> None:
    """It says what was written, and leaves no hidden part."""
    account.script(Fault.none(), Fault.hang())
    output = [] if target is None else ["-o", str(tmp_path / target)]
    process = start("contacts", "--page-size", "10", "--max-page-size", "0", *output)
    wait_until(lambda: len(account.requests) == 2)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=30)
    written = "the output is not complete" if target is None else "nothing was written"
    assert (process.returncode, err) == (143, f"{said(signal.SIGTERM)}: {written}. Run the same command again.\n")
    assert list(tmp_path.iterdir()) == []
