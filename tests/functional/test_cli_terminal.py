"""What one sees of the commands: tables that fit, live lines, and what they say of what they did."""

import os
import pty
import re
import signal
import subprocess
import termios
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len

from plugchat_async.cli import app as cli
from plugchat_async.testing import Fault, PlugChatSimulator
from support.commands import wait_until
from support.fakes import served
from support.gateway import Gateway
from support.rows import ids_in
from support.terminal import PLUGCHAT, raw_on_terminal, screen_of

TOKEN = "s3cret-t0ken"


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[PlugChatSimulator]:
    """An account of 250 chats."""
    with served(PlugChatSimulator(250, seed=7, token=TOKEN)) as sim:
        monkeypatch.setenv("PLUGCHAT_TOKEN", sim.token)
        monkeypatch.setenv("PLUGCHAT_BASE_URL", sim.base_url)
        yield sim


@pytest.fixture
def accounts(account: PlugChatSimulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of five accounts, of which the first is known to the service."""
    file = tmp_path / "accounts.csv"
    file.write_text("name,token\n" + "".join(f"shop {n},{TOKEN}{'-wrong' * (n > 0)}\n" for n in range(5)))
    monkeypatch.setenv("COLUMNS", "120")
    return file


def lines_at(columns: int, command: Sequence[str]) -> list[str]:
    """What a terminal of that width gets on stdout."""
    raw = raw_on_terminal(command, stderr=False, COLUMNS=str(columns), NO_COLOR="1", TERM="xterm")
    return re.sub(r"\x1b\[[0-9;]*m", "", raw).splitlines()


def assert_fits(lines: Sequence[str], columns: int) -> None:
    """Each line fits, and those of a table are equally long, so that its border is whole."""
    assert max(map(cell_len, lines)) <= columns
    rows = [line for line in lines if line and line[0] in "┏┡│└┃┌"]
    assert len({cell_len(row) for row in rows}) == 1


@pytest.mark.slow
@pytest.mark.parametrize("columns", [50, 80])
def test_lines_break_between_words(monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    """Terminals break them anywhere."""
    with served(PlugChatSimulator(250, seed=7)) as sim:
        monkeypatch.setenv("PLUGCHAT_TOKEN", sim.token)
        lines = lines_at(columns, ["doctor", "--base-url", sim.base_url, "--timeout", "5"])
    assert "Healthy" in lines[-1]
    assert max(map(cell_len, lines)) <= columns


@pytest.mark.slow
@pytest.mark.parametrize("columns", [80, 120])
@pytest.mark.parametrize(
    "command",
    [["chats"], ["contacts"], ["pending"], ["demo"], ["demo", "--busy"], ["bulk", "accounts.csv", "-o", "out"]],
)
def test_tables_fit(
    account: PlugChatSimulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: list[str], columns: int
) -> None:
    """Into 80 columns as into 120, and so does the text around them."""
    monkeypatch.chdir(tmp_path)
    Path("accounts.csv").write_text(f"name,token\nAna,{TOKEN}\n")
    assert_fits(lines_at(columns, command), columns)


@pytest.mark.slow
@pytest.mark.parametrize("digits", [15, 29, 60])
def test_long_ids_and_names_fit(monkeypatch: pytest.MonkeyPatch, digits: int) -> None:
    """An old group's id stays in one piece; a longer one is broken within its cell."""
    row = {"phone": "1" * digits, "name": "Comunicados da Administração " * 3, "unread": "99999", "isGroup": True}
    rows = [{**row, "lastMessageTime": "1622991687", "pinned": "true", "isMuted": "1", "archived": "true"}]
    server: Any = Gateway(rows)
    with served(server):
        monkeypatch.setenv("PLUGCHAT_TOKEN", TOKEN)
        monkeypatch.setenv("PLUGCHAT_BASE_URL", server.base_url)
        lines = lines_at(80, ["chats"])
    assert_fits(lines, 80)
    assert ("1" * digits in "".join(lines)) is (digits < 30)
    for whole in ("2021-06-06 15:01", "99999", "archived", "pinned", "muted"):
        assert whole in "".join(lines)


def on_terminal(
    command: Sequence[str], *, pipe: bool = False, stop_after: str = "", code: int = 0, **environment: str
) -> str:
    """All that a terminal of 80 columns gets, which is stderr and, unless it is a pipe into `cat`, stdout.

    Args:
        command: The arguments.
        pipe: Whether stdout is a pipe whose reader writes on the same terminal.
        stop_after: The text to press Ctrl-C after.
        code: The exit code that it must have.
        environment: Variables.
    """
    main, sub = pty.openpty()
    termios.tcsetwinsize(sub, (24, 80))
    variables = {**os.environ, "TERM": "xterm", **environment}
    variables.pop("COLUMNS", None)
    started = subprocess.Popen(
        [*PLUGCHAT, *command], stdout=subprocess.PIPE if pipe else sub, stderr=sub, env=variables
    )
    reader = subprocess.Popen(["cat"], stdin=started.stdout, stdout=sub) if pipe else None
    if started.stdout is not None:
        started.stdout.close()
    os.close(sub)
    shown, deadline = b"", time.monotonic() + 30
    with suppress(OSError):  # how Linux reports the other side's end
        while chunk := os.read(main, 65536):
            shown += chunk
            if stop_after and stop_after in shown.decode(errors="replace"):
                stop_after = ""
                started.send_signal(signal.SIGINT)
            assert time.monotonic() < deadline
    os.close(main)
    assert started.wait(30) == code
    if reader is not None:
        assert reader.wait(30) == 0
    return re.sub(r"\x1b\[[0-9;]*m", "", shown.decode())


HIDES_CURSOR = "\x1b[?25l"


@pytest.mark.slow
@pytest.mark.parametrize("style", ["jsonl", "csv", "json", "table"])
def test_no_live_line_beside_a_pipe(account: PlugChatSimulator, style: str) -> None:
    """As in `plugchat chats | jq`: what the terminal shows is the rows, and nothing else."""
    account.script(*[Fault.delay(0.2)] * 3)
    shown = on_terminal(["chats", "--format", style], pipe=True)
    assert HIDES_CURSOR not in shown
    assert "chats/s" not in shown
    assert sorted(ids_in(style, shown.replace("\r\n", "\n"))) == sorted(chat.id for chat in account.chats)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "told"),
    [
        (["status"], "asking for the account's status"),
        (["doctor"], "checking"),
        (["chats"], "chats/s"),
        (["chats", "--format", "jsonl"], "chats/s"),
        (["chats", "--format", "csv", "--merge-people"], "chats/s"),
        (["contacts"], "contacts/s"),
        (["contacts", "--format", "jsonl"], "contacts/s"),
        (["pending"], "pending chats/s"),
        (["watch", "--max-polls", "1"], "reading the list of chats"),
        (["demo", "--busy"], "strict: reading a list that changes"),
        (["bulk", "accounts.csv", "-o", "out"], "1 accounts, 0 failed"),
    ],
)
def test_waiting_is_seen(
    account: PlugChatSimulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: list[str], told: str
) -> None:
    """A live line moves while a command waits, and is gone when something is printed."""
    monkeypatch.chdir(tmp_path)
    Path("accounts.csv").write_text(f"name,token\nAna,{TOKEN}\n")
    account.script(Fault.delay(0.4))
    shown = on_terminal(command)
    assert told in shown
    assert HIDES_CURSOR in shown
    assert shown.rstrip().count(HIDES_CURSOR) <= shown.count("\x1b[?25h"), "the cursor is back"
    assert told not in screen_of(shown)


@pytest.mark.slow
def test_the_log_goes_above_the_live_line(account: PlugChatSimulator) -> None:
    """Neither is in the middle of the other."""
    account.script(*[Fault.delay(0.3)] * 2)
    shown = on_terminal(["chats", "-v", "-o", os.devnull, "--format", "csv"])
    record = r"^\d\d:\d\d:\d\d GET http://\S+: HTTP 200 in \d\.\d{3} s$"
    assert len(re.findall(record, screen_of(shown), re.MULTILINE)) == len(account.requests)
    assert "chats/s" in shown
    assert "chats/s" not in screen_of(shown)


def test_watch_says_that_it_watches(account: PlugChatSimulator, capsys: pytest.CaptureFixture[str]) -> None:
    """On stderr, with the way to end it; but not in cron's mails."""
    told = f"watching {account.base_url}: a poll every 30 s; press Ctrl-C to stop"
    assert cli.run(["watch", "--max-polls", "1"]) == 0
    assert capsys.readouterr().err == ""
    for wrong in ("--interval", "--page-size"):
        assert cli.run(["watch", wrong, "0"]) == 2
        assert "watching" not in capsys.readouterr().err
    shown = on_terminal(["watch"], stop_after="reading the list")
    assert told in shown


def test_a_file_is_named(account: PlugChatSimulator, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With the number of chats in it."""
    file = tmp_path / "chats.csv"
    for options, told in (([], "250 chats"), (["--limit", "1"], "1 chat"), (["--limit", "0"], "0 chats")):
        assert cli.run(["chats", "-o", str(file), *options]) == 0
        assert capsys.readouterr() == ("", f"wrote {told} to {file}\n")
    for command, told in (("contacts", f"{len(account.contacts)} contacts"), ("pending", "1 pending chat")):
        limit = [] if command == "contacts" else ["--limit", "1"]
        assert cli.run([command, "-o", str(file), *limit]) == 0
        assert capsys.readouterr() == ("", f"wrote {told} to {file}\n")


@pytest.mark.parametrize("style", ["jsonl", "csv", "json", "table"])
@pytest.mark.parametrize("into_file", [False, True])
def test_filters(
    account: PlugChatSimulator, tmp_path: Path, capsys: pytest.CaptureFixture[str], style: str, into_file: bool
) -> None:
    """Each format, on stdout and in files; --limit counts what matches."""
    unread = [chat.id for chat in account.chats if chat.unread and chat.kind == "person"]
    file = tmp_path / "out.txt"
    command = ["chats", "--format", style, "--unread", "--people", *(["-o", str(file)] if into_file else [])]
    for more, expected in (([], sorted(unread)), (["--limit", "3"], sorted(unread[:3]))):
        assert cli.run([*command, *more]) == 0
        out, err = capsys.readouterr()
        found = ids_in(style, file.read_text() if into_file else out)
        assert sorted(found) == expected
        assert (f"wrote {len(found)} chats" in err) is into_file
    asked = len(account.requests)
    without: list[str] = []
    for shown in (command, ["chats", "--format", style, *command[5:]]):
        assert cli.run([*shown, "--limit", "0"]) == 0
        out = capsys.readouterr().out
        without.append(file.read_text() if into_file else out)
    assert without[0] == without[1], "a filter does not change what is there without chats"
    assert len(account.requests) == asked
    assert cli.run([*command, "--search", "nobody of that name"]) == 0
    assert "none of the 250 chats matches" in capsys.readouterr().err


def test_filters_of_merged_rows(account: PlugChatSimulator, capsys: pytest.CaptureFixture[str]) -> None:
    """The people are merged first."""
    assert cli.run(["chats", "--merge-people", "--groups"]) == 0
    found = ids_in("jsonl", capsys.readouterr().out)
    assert found == [chat.id for chat in account.chats if chat.kind == "group"]


def test_a_filter_and_a_checkpoint(
    account: PlugChatSimulator, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A run that failed in the middle is gone on with: each match once. With --limit it is refused, as without."""
    command = ["chats", "--unread", "--format", "jsonl", "--checkpoint", str(tmp_path / "walk"), "--page-size", "20"]
    account.script(*[Fault.none()] * 4, Fault.status(401))
    assert cli.run(command) == 2
    first = ids_in("jsonl", capsys.readouterr().out)
    assert cli.run(command) == 0
    found = first + ids_in("jsonl", capsys.readouterr().out)
    assert first
    assert sorted(found) == sorted(chat.id for chat in account.chats if chat.unread)
    assert cli.run([*command, "--limit", "3"]) == 2
    assert "--limit can't be combined with --checkpoint" in capsys.readouterr().err


@pytest.mark.parametrize("style", ["jsonl", "csv"])
@pytest.mark.parametrize(("fault", "code"), [(Fault.status(401), 2), (Fault.hang(), 143)], ids=["error", "signal"])
def test_a_search_that_found_nothing_yet_is_gone_on_with(
    account: PlugChatSimulator,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    style: str,
    fault: Fault,
    code: int,
) -> None:
    """The pages that were read are not read again, whether an error or a signal ended the run."""
    last, file = account.chats[-1], tmp_path / "walk"
    options = ["--format", style, "--page-size", "20", "--max-page-size", "0", "--checkpoint", str(file)]
    command = ["chats", "--search", last.name or last.id, "--people", *options]
    account.script(*[Fault.none()] * 8, fault)

    def stop_ninth_request() -> None:
        wait_until(lambda: len(account.requests) > 8)
        os.kill(os.getpid(), signal.SIGTERM)

    stopper = threading.Thread(target=stop_ninth_request)
    if code == 143:
        stopper.start()
    assert cli.run(command) == code
    if code == 143:
        stopper.join()
    out, err = capsys.readouterr()
    assert ids_in(style, out) == []
    assert "0 chats were written. Run the same command again to resume." in err
    before = len(account.requests)
    assert cli.run(command) == 0
    assert last.id in ids_in(style, out + capsys.readouterr().out)
    assert account.requests[before].page not in {str(page) for page in range(1, 8)}
    assert not file.exists()


def test_a_checkpoint_is_of_one_choice(
    account: PlugChatSimulator, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With other filters, its output would be half of each."""
    file = tmp_path / "walk"
    options = ["--format", "jsonl", "--page-size", "20", "--checkpoint", str(file)]
    account.script(*[Fault.none()] * 4, Fault.status(401))
    assert cli.run(["chats", "--unread", "--search", "a", *options]) == 2
    asked = len(account.requests)
    capsys.readouterr()
    for other in ([], ["--unread"], ["--unread", "--search", "b"], ["--unread", "--search", "a", "--people"]):
        assert cli.run(["chats", *other, *options]) == 2
        assert f"the checkpoint {file} is of a run with --search 'a' --unread" in capsys.readouterr().err
    assert len(account.requests) == asked
    assert cli.run(["chats", "--search", "a", "--unread", *options]) == 0
    account.script(*[Fault.none()] * 4, Fault.status(401))
    assert cli.run(["chats", *options]) == 2
    assert cli.run(["chats", "--groups", *options]) == 2
    assert f"the checkpoint {file} is of a run for all chats" in capsys.readouterr().err


def test_the_first_failures_are_shown(accounts: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Three of them, with reason, and the hint once where it is the same; some failed, so the exit code is 5."""
    assert cli.run(["bulk", str(accounts), "-o", str(accounts.parent / "out")]) == 5
    out, err = capsys.readouterr()
    assert "accounts failed" in out
    failed = re.findall(r"^failed: (shop \d): (.*)$", err, re.MULTILINE)
    assert len(failed) == 3
    assert {reason for _, reason in failed} == {
        "the gateway says: 'the token is missing or unknown' (HTTP 401 Unauthorized)"
    }
    assert re.findall(r"^what to do: Check the token", err, re.MULTILINE) == ["what to do: Check the token"]
    assert "1 more account failed\n" in err
    assert TOKEN not in err


def test_all_failed(account: PlugChatSimulator, accounts: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 6; and 5 as soon as an earlier run has finished one."""
    account.script(Fault.status(401), token=TOKEN)
    command = ["bulk", str(accounts), "-o", str(accounts.parent / "out")]
    assert cli.run(command) == 6
    assert "2 more accounts failed\n" in capsys.readouterr().err
    assert cli.run(command) == 5
    assert cli.run(command) == 5


@pytest.mark.slow
@pytest.mark.parametrize("options", [[], ["--format", "json"], ["-o", "chats.csv"], ["--merge-people"]])
def test_ctrl_c_in_chats(
    account: PlugChatSimulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str]
) -> None:
    """It says that nothing was written, and how to go on."""
    monkeypatch.chdir(tmp_path)
    account.script(Fault.none(), Fault.hang())
    shown = on_terminal(["chats", *options], stop_after="100 chats,", code=130)
    assert "interrupted: nothing was written. Run the same command again.\r\n" in shown
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_ctrl_c_in_bulk(account: PlugChatSimulator, accounts: Path) -> None:
    """It says how many accounts are finished, and how to fetch the others."""
    account.add_account("hangs")
    account.script(Fault.hang().always(), token="hangs")
    accounts.write_text(f"name,token\nAna,{TOKEN}\nBia,hangs\n")
    command = ["bulk", str(accounts), "-o", str(accounts.parent / "out")]
    shown = on_terminal(command, stop_after="1 of 2 accounts", code=130)
    assert "interrupted: 1 of 2 accounts are finished. Run the same command again to fetch the others." in shown
