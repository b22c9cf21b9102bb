"""CSV for Excel and workbooks, from the command line."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path

import pytest

from plugchat_async.cli import app as cli
from plugchat_async.testing import Fault, PlugChatSimulator
from support.exports import MANIFEST, only
from support.fakes import served

HEAD = "\ufeffphone;name;unread;"


@pytest.fixture
def sim(monkeypatch: pytest.MonkeyPatch) -> Iterator[PlugChatSimulator]:
    """An account, and the environment to reach it."""
    with served(PlugChatSimulator(40, seed=7, token="s3cret-token")) as simulator:
        monkeypatch.setenv("PLUGCHAT_TOKEN", simulator.token)
        monkeypatch.setenv("PLUGCHAT_BASE_URL", simulator.base_url)
        yield simulator


def count(text: str) -> int:
    return len(list(csv.reader(io.StringIO(text, newline=""), delimiter=";")))


def test_chats_for_excel(sim: PlugChatSimulator, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """On stdout without --format, and in a file; merged people as well."""
    assert cli.run(["chats", "--csv", "excel"]) == 0
    out = capsys.readouterr().out
    assert out.startswith(HEAD)
    assert count(out) == 41
    assert cli.run(["chats", "--csv", "excel", "-o", str(tmp_path / "x.csv")]) == 0
    assert (tmp_path / "x.csv").read_text() == out
    assert cli.run(["chats", "--csv", "excel", "--merge-people"]) == 0
    assert capsys.readouterr().out.startswith(HEAD)
    assert cli.run(["chats", "--csv", "rfc4180", "--format", "csv"]) == 0
    assert capsys.readouterr().out.startswith("phone,name,")


def test_csv_for_excel_is_csv(sim: PlugChatSimulator, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Another format is a mistake; nothing is requested."""
    for arguments in (["--format", "json"], ["-o", str(tmp_path / "x.parquet")]):
        assert cli.run(["chats", "--csv", "excel", *arguments]) == 2
        assert "--csv excel is for csv, not for" in capsys.readouterr().err
    accounts = tmp_path / "accounts.csv"
    accounts.write_text("name,token\nana,s3cret-token\n")
    assert cli.run(["bulk", str(accounts), "-o", str(tmp_path / "out"), "--format", "jsonl", "--csv", "excel"]) == 2
    assert "--csv excel is for csv, not for jsonl" in capsys.readouterr().err
    assert cli.run(["bulk", str(accounts), "-o", str(tmp_path / "out"), "--dask", "--csv", "excel"]) == 2
    assert "--dask writes Parquet, not csv" in capsys.readouterr().err
    assert sim.requests == []


def test_a_checkpoint_is_of_one_dialect(
    sim: PlugChatSimulator, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The other one would not fit to what went out; the same one goes on without a second header."""
    command = ["chats", "--checkpoint", str(tmp_path / "c"), "--page-size", "10", "--max-page-size", "0"]
    sim.script(*[Fault.none()] * 2, Fault.status(401))
    assert cli.run([*command, "--csv", "excel"]) == 2
    first = capsys.readouterr().out
    assert cli.run([*command, "--format", "csv"]) == 2
    assert "Use --format csv --csv excel, or delete the checkpoint" in capsys.readouterr().err
    assert cli.run([*command, "--csv", "excel"]) == 0
    both = first + capsys.readouterr().out
    assert both.count(HEAD) == 1
    assert count(both) == 41


def test_a_folder_for_excel(sim: PlugChatSimulator, tmp_path: Path) -> None:
    """A file for each account, without --format."""
    accounts = tmp_path / "accounts.csv"
    accounts.write_text("name,token\nana,s3cret-token\n")
    assert cli.run(["bulk", str(accounts), "-o", str(tmp_path / "out"), "--csv", "excel"]) == 0
    assert only(tmp_path / "out") == [MANIFEST, "ana.csv"]
    assert (tmp_path / "out" / "ana.csv").read_text("utf-8").startswith("\ufeffaccount;phone;")


def test_workbooks(sim: PlugChatSimulator, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By the name of the file, and only into one."""
    openpyxl = pytest.importorskip("openpyxl")
    pytest.importorskip("xlsxwriter")
    assert cli.run(["chats", "-o", str(tmp_path / "x.xlsx")]) == 0
    assert openpyxl.load_workbook(tmp_path / "x.xlsx")["chats"].max_row == 41
    assert cli.run(["chats", "--format", "xlsx"]) == 2
    assert "xlsx can't be written to standard output" in capsys.readouterr().err
