"""Options of the command line that are none, contradict each other, or would be dropped without a word."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from plugchat_async.cli import app as cli
from plugchat_async.testing import PlugChatSimulator
from support.fakes import served


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[PlugChatSimulator]:
    """A small account, the environment to reach it, and an empty folder."""
    monkeypatch.chdir(tmp_path)
    with served(PlugChatSimulator(20, seed=7)) as sim:
        monkeypatch.setenv("PLUGCHAT_TOKEN", sim.token)
        monkeypatch.setenv("PLUGCHAT_BASE_URL", sim.base_url)
        yield sim


COMMANDS = (
    "The commands are chats, contacts, pending, bulk, watch, status, doctor, simulate, demo, completion: "
    "see plugchat --help."
)


@pytest.mark.parametrize(
    ("command", "what_happened", "hint"),
    [
        ("chats --json", "unknown option --json", "Did you mean --format json? See plugchat chats --help."),
        ("status --jsn", "unknown option --jsn", "Did you mean --json? See plugchat status --help."),
        ("chats --persons", "unknown option --persons", "Did you mean --people? See plugchat chats --help."),
        ("contacts --persons", "unknown option --persons", "See plugchat contacts --help."),
        ("watch --unread=1", "unknown option --unread", "See plugchat watch --help."),
        ("--versao", 'unknown command "--versao"', f"Did you mean --version? {COMMANDS}"),
        ("chat", 'unknown command "chat"', f"Did you mean chats? {COMMANDS}"),
        ("frob", 'unknown command "frob"', COMMANDS),
        ("chats -o", "-o needs a value", "See plugchat chats --help."),
        ("bulk", "--accounts is missing", "See plugchat bulk --help."),
        ("bulk a.csv", "--output is missing", "See plugchat bulk --help."),
        ("chats frob", "unexpected argument", "Options have names: see plugchat chats --help."),
        ("chats --limit x", "Invalid value for --limit: not a whole number", "See plugchat chats --help."),
        ("chats --search=", "--search has no text", "Omit it for all chats."),
        ("chats --search=\u0301", "--search has no text", "Omit it for all chats."),
        (
            "chats --account a",
            "--account is for --checkpoint only",
            "Add --checkpoint FILE, or omit --account.",
        ),
        ("watch --account a", "--account is for --state only", "Add --state FILE, or omit --account."),
        ("chats --token=", "--token is empty", "Set PLUGCHAT_TOKEN to the account's token, or use --token."),
    ],
)
def test_what_is_said_of_wrong_options(
    account: PlugChatSimulator, capsys: pytest.CaptureFixture[str], command: str, what_happened: str, hint: str
) -> None:
    """In whole sentences, with the option that is meant, and before anything is requested."""
    assert cli.run(command.split(" ")) == 2
    assert capsys.readouterr() == ("", f"error: {what_happened}\nwhat to do: {hint}\n")
    assert account.requests == []


def test_a_variable_that_is_empty(
    account: PlugChatSimulator, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not the same as none: a secret may not have been passed on."""
    monkeypatch.setenv("PLUGCHAT_TOKEN", "")
    assert cli.run(["status"]) == 2
    assert capsys.readouterr().err.startswith("error: PLUGCHAT_TOKEN is empty\n")
    monkeypatch.delenv("PLUGCHAT_TOKEN")
    assert cli.run(["status"]) == 2
    assert capsys.readouterr().err.startswith("error: no token\n")


SUFFIXES = ".jsonl, .json, .csv, .txt, .parquet, .xlsx"
FITTING = [
    "x --format csv",
    "x.txt --format jsonl",
    "x.json --format jsonl",
    "x.log --format csv",
    "x.CSV",
    "x.csv --format csv",
    "x.csv --csv excel",
    "x.txt",
]


@pytest.mark.parametrize("command", ["chats", "pending"])
@pytest.mark.parametrize("options", FITTING)
def test_a_name_that_fits(account: PlugChatSimulator, tmp_path: Path, command: str, options: str) -> None:
    """The name is a hint, and text may be anywhere where it is common."""
    name, *others = options.split()
    assert cli.run([command, "-o", name, *others]) == 0
    assert (tmp_path / name).stat().st_size > 0


@pytest.mark.parametrize(
    ("options", "what_happened", "hint"),
    [
        (
            "x.doc",
            "unknown format .doc",
            f"Use a file with a suffix of {SUFFIXES}, or --format table|json|jsonl|csv|parquet|xlsx.",
        ),
        (
            "x.csv --format parquet",
            "--format parquet does not fit the name x.csv",
            "Omit --format, or use another suffix.",
        ),
        ("x.xlsx --format csv", "--format csv does not fit the name x.xlsx", "Omit --format, or use another suffix."),
        ("x.txt --format xlsx", "--format xlsx does not fit the name x.txt", "Omit --format, or use another suffix."),
    ],
)
def test_a_name_of_something_else(
    account: PlugChatSimulator,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    options: str,
    what_happened: str,
    hint: str,
) -> None:
    """Whoever reads it goes by its name."""
    assert cli.run(["chats", "-o", *options.split()]) == 2
    assert capsys.readouterr() == ("", f"error: {what_happened}\nwhat to do: {hint}\n")
    assert account.requests == []
    assert list(tmp_path.iterdir()) == []


def test_the_folder_of_bulk_has_no_name_of_a_file(
    account: PlugChatSimulator, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Unless it is there, or is one that parts of a table often have."""
    accounts = tmp_path / "accounts"
    accounts.write_text(f"name,token\nana,{account.token}\n")
    for name in ("o.csv", "o.xlsx"):
        assert cli.run(["bulk", str(accounts), "-o", name]) == 2
        told = f"error: --output is a folder, and {name} is the name of a file\nwhat to do: Use a folder, such as o.\n"
        assert capsys.readouterr().err == told
    assert account.requests == []
    (tmp_path / "old.csv").mkdir()
    for name in ("old.csv", "o.parquet", "o.2026", "o"):
        assert cli.run(["bulk", str(accounts), "-o", name]) == 0
        assert (tmp_path / name / "ana.jsonl").exists()
