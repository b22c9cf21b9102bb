"""`plugchat doctor`: what it prints, and its exit codes."""

import io
import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from faults.matrix.peers import authority, server_tls
from plugchat_async import ServerTraits
from plugchat_async.cli import app as cli
from plugchat_async.doctor import CHECKS, MAX_REQUESTS
from plugchat_async.testing import Fault, PlugChatSimulator, Quirks
from support.fakes import RawServer, answering, http, served

ROOT = Path(__file__).parents[2]
PLUGCHAT = [sys.executable, "-W", "error", "-m", "plugchat_async"]
TOKEN = "s3cret-t0ken"


def serving(monkeypatch: pytest.MonkeyPatch, sim: PlugChatSimulator) -> None:
    monkeypatch.setenv("PLUGCHAT_TOKEN", sim.token)
    monkeypatch.setenv("PLUGCHAT_BASE_URL", sim.base_url)
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.delenv("NO_COLOR", raising=False)


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[PlugChatSimulator]:
    """An account of 250 chats, and the environment to reach it."""
    with served(PlugChatSimulator(250, seed=7, token=TOKEN)) as sim:
        serving(monkeypatch, sim)
        yield sim


def examine(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *faults: Fault, **quirks: Any
) -> tuple[int, str]:
    """Run the command against a simulator that misbehaves: exit code, and what it prints."""
    with served(PlugChatSimulator(250, seed=7, token=TOKEN, quirks=Quirks(**quirks))) as sim:
        serving(monkeypatch, sim)
        sim.script(*faults)
        code = cli.run(["doctor"])
    out, err = capsys.readouterr()
    assert err == ""
    assert TOKEN not in out
    return code, out


def test_all_is_well(account: PlugChatSimulator, capsys: pytest.CaptureFixture[str]) -> None:
    """A line for each check on stdout, with a tick in front, and the verdict; exit code 0."""
    assert cli.run(["doctor"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    lines = [line for line in out.splitlines() if not line.startswith("  ")]
    assert [line[2:].partition(":")[0] for line in lines[:-1]] == list(CHECKS)
    assert {line[0] for line in lines[:-1]} == {"✓", "–"}  # noqa: RUF001 - a dash
    assert re.fullmatch(r"Healthy: 1 skipped \(10 requests, \d\.\d s\)\.", lines[-1])
    assert TOKEN not in out


@pytest.mark.parametrize(
    ("quirks", "faults", "code", "line", "advice", "verdict"),
    [
        (
            {"max_page_size": 33},
            [],
            0,
            "! page_size: it is capped at 33",
            "Use page_size=33",
            "Healthy: 1 warning, ",
        ),
        (
            {"hidden_share": 0.05},
            [],
            0,
            "✓ server_traits: the longest page had 242 rows; short pages come in the middle",
            'ServerTraits(longest_page=242, short_pages="anywhere", past_end="empty", page_zero="error").',
            "Healthy: 1 warning, ",
        ),
        ({"first_page": 0, "fixed_page_size": 33}, [], 4, "✗ first_page: ", "Walks begin", "1 check failed, 1 warning"),
        (
            {"order": "oldest", "duplicates": 200},
            [],
            0,
            "! order: ",
            "finds every chat",
            "Healthy: 2 warnings, ",
        ),
        ({"max_requests": 0}, [], 3, "✗ rate_limit: ", "Run this again", "Not healthy: 1 check failed"),
        (
            {"method": "POST"},
            [],
            2,
            "✗ method: the gateway says: 'GET is not allowed here, use POST' (HTTP 405",
            "The call is GET",
            "Not healthy: 1 check failed, 20 skipped",
        ),
        ({}, [Fault.status(401, body=TOKEN)], 2, "✗ authorization: HTTP 401", "Check the token", "Not healthy"),
        ({}, [Fault.status(500)], 3, "✗ host: ", "try again later", "Not healthy"),
        ({}, [Fault.answer("<html>\x1b[2J")], 4, "✗ answer: ", "Check base_url", "Not healthy"),
    ],
)
def test_what_is_wrong_is_told_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    quirks: dict[str, Any],
    faults: list[Fault],
    code: int,
    line: str,
    advice: str,
    verdict: str,
) -> None:
    """A cross or an exclamation mark, the advice below it, and the exit code of the first cross."""
    status, out = examine(monkeypatch, capsys, *faults, **quirks)
    assert status == code
    lines = out.splitlines()
    [place] = [place for place, said in enumerate(lines) if said.startswith(line)]
    assert lines[place + 1].startswith("  ")
    assert advice in lines[place + 1]
    assert verdict in lines[-1]
    assert "\x1b" not in out


def test_json_for_programs(account: PlugChatSimulator, capsys: pytest.CaptureFixture[str]) -> None:
    """One object with stable keys, and nothing else; the same exit codes."""
    account.script(Fault.none(), Fault.none(), Fault.none(), Fault.status(503))
    assert cli.run(["doctor", "--json"]) == 3
    out, err = capsys.readouterr()
    told = json.loads(out)
    assert err == ""
    assert list(told) == ["healthy", "base_url", "requests", "elapsed", "findings"]
    assert (told["healthy"], told["base_url"], told["requests"]) == (False, account.base_url, len(account.requests))
    assert told["elapsed"] > 0
    assert [finding["check"] for finding in told["findings"]] == list(CHECKS)
    keys = {tuple(finding) for finding in told["findings"]}
    assert keys == {("check", "status", "found", "advice", "category", "facts")}
    page = told["findings"][CHECKS.index("page")]
    assert (page["status"], page["category"], page["facts"]) == ("failed", "service", {"honoured": None})
    assert told["findings"][0]["category"] is None


def test_json_holds_what_sessions_take(account: PlugChatSimulator, capsys: pytest.CaptureFixture[str]) -> None:
    """The facts of one finding are what `ServerTraits.from_dict` takes."""
    assert cli.run(["doctor", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    saved = told["findings"][CHECKS.index("server_traits")]["facts"]
    assert ServerTraits.from_dict(saved) == ServerTraits(
        longest_page=250, short_pages="end", past_end="empty", page_zero="error"
    )
    assert saved == ServerTraits.from_dict(saved).to_dict()


@pytest.mark.parametrize(
    ("options", "check", "found"),
    [
        ([], "token", "token is empty"),
        (["--token", f"Bearer {TOKEN}"], "token", "begins with 'Bearer'"),
        (["--token", TOKEN, "--base-url", f"http://x.example/{TOKEN}"], "base_url", "must be https"),
    ],
)
def test_a_configuration_that_is_wrong(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], options: list[str], check: str, found: str
) -> None:
    """It is a cross and exit code 2, as JSON, too, and the token is not shown."""
    monkeypatch.delenv("PLUGCHAT_TOKEN", raising=False)
    monkeypatch.setenv("PLUGCHAT_BASE_URL", "http://127.0.0.1:1")
    for style in ([], ["--json"]):
        assert cli.run(["doctor", *options, *style]) == 2
        out, err = capsys.readouterr()
        assert found in out
        assert (f"✗ {check}: " in out) is (not style)
        assert TOKEN not in out + err


@pytest.mark.parametrize("options", [["--timeout", "0"], ["--timeout", "x"], ["--frob"], [TOKEN]])
def test_wrong_options(account: PlugChatSimulator, capsys: pytest.CaptureFixture[str], options: list[str]) -> None:
    """Exit code 2, on stderr, and nothing is asked."""
    assert cli.run(["doctor", *options]) == 2
    out, err = capsys.readouterr()
    assert err.startswith("error: ")
    assert TOKEN not in out + err
    assert account.requests == []


def test_the_timeout_reaches_the_requests(
    monkeypatch: pytest.MonkeyPatch, account: PlugChatSimulator, capsys: pytest.CaptureFixture[str]
) -> None:
    """In seconds."""
    account.script(Fault.hang())
    assert cli.run(["doctor", "--timeout", "0.1"]) == 3
    assert "no complete answer within 0.1 s" in capsys.readouterr().out


def test_help_tells_all(capsys: pytest.CaptureFixture[str]) -> None:
    """Options, variables, keys, examples, and how many requests it sends at most."""
    assert cli.run(["doctor", "--help"]) == 0
    text = " ".join(re.sub(r"[│\s]+", " ", capsys.readouterr().out).split())
    for word in (
        *("--json", "--timeout", "PLUGCHAT_TOKEN", "PLUGCHAT_BASE_URL", "Examples: plugchat doctor"),
        *("healthy, base_url, requests, elapsed", f"At most {MAX_REQUESTS} requests"),
    ):
        assert word in text


def on_a_terminal(sim: PlugChatSimulator, **environment: str) -> str:
    """What a terminal shows of it."""
    main, sub = pty.openpty()
    variables = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    variables |= {"TERM": "xterm", "PLUGCHAT_TOKEN": sim.token, "PLUGCHAT_BASE_URL": sim.base_url, **environment}
    with subprocess.Popen([*PLUGCHAT, "doctor"], stdout=sub, stderr=sub, env=variables) as process:
        os.close(sub)
        shown = b""
        while True:
            try:
                chunk = os.read(main, 10_000)
            except OSError:  # how Linux reports the other side's end
                break
            if not chunk:
                break
            shown += chunk
        os.close(main)
        assert process.wait(30) == 0
    return shown.decode()


@pytest.mark.slow
def test_colours_on_a_terminal(account: PlugChatSimulator) -> None:
    """The marks have some; with NO_COLOR they have not."""
    assert "\x1b[1;32m✓\x1b[0m token: " in on_a_terminal(account, PYTHONIOENCODING="utf-8")
    plain = on_a_terminal(account, NO_COLOR="1", PYTHONIOENCODING="utf-8")
    assert "32m" not in plain
    assert "✓" in plain


@pytest.mark.slow
def test_a_terminal_without_ticks(account: PlugChatSimulator) -> None:
    """Where its encoding has none, there are plain marks."""
    shown = on_a_terminal(account, NO_COLOR="1", PYTHONIOENCODING="ascii")
    assert "+ token: it can be sent" in re.sub(r"\x1b\[\d*m", "", shown)
    assert "- tls: " in re.sub(r"\x1b\[\d*m", "", shown)


@pytest.mark.slow
def test_a_closed_pipe_ends_quietly(account: PlugChatSimulator) -> None:
    """`plugchat doctor | head -1`: no traceback, and the code that shells give."""
    process = subprocess.Popen([*PLUGCHAT, "doctor"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == ""
    process.stderr.close()
    assert process.wait(30) == 141


@pytest.mark.slow
def test_lines_come_as_they_are_found(account: PlugChatSimulator) -> None:
    """Who watches sees what is done before what takes its time is over."""
    account.script(Fault.hang())
    command = [*PLUGCHAT, "doctor", "--timeout", "30"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        first = process.stdout.readline().decode()
        process.kill()
    assert first.startswith("✓ token: ")


@pytest.mark.slow
def test_an_authority_of_ones_own(tmp_path: Path) -> None:
    """SSL_CERT_FILE names it, as the advice says; and the handshake is uvloop's, where that is installed."""
    server: Any = RawServer(answering(http(b"[]")), ssl_context=server_tls(authority()))
    with served(server):
        command = [*PLUGCHAT, "doctor", "--base-url", server.base_url]
        environment = {name: value for name, value in os.environ.items() if name != "SSL_CERT_FILE"}
        environment["PLUGCHAT_TOKEN"] = TOKEN
        lost = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=30, check=False)
        authority().cert_pem.write_to_path(str(tmp_path / "authority.pem"))
        environment["SSL_CERT_FILE"] = str(tmp_path / "authority.pem")
        done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=30, check=False)
    assert (lost.returncode, lost.stderr) == (3, "")
    assert "✗ tls: localhost: unable to get local issuer certificate" in lost.stdout
    assert (done.returncode, done.stderr) == (0, "")
    assert "✓ tls: localhost: TLSv1.3, trusted certificate" in done.stdout


def test_the_documentation_shows_what_is_printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its example is what comes of that simulator, but for port and times; it names all checks."""
    text = (ROOT / "docs" / "how-to" / "doctor.md").read_text()
    shown = re.search(r"```text\n\$ plugchat doctor\n(.*?)```", text, re.DOTALL)
    assert shown is not None
    status, out = examine(monkeypatch, capsys, max_page_size=33)
    assert status == 0

    def steady(printed: str) -> str:
        return re.sub(r":\d{4,5}\b|\d\.\d+ s|\(page=\d+, pageSize=\d+\)", "#", printed)

    assert steady(shown[1]) == steady(out)
    assert all(f"`{check}`" in text for check in CHECKS)


def test_marks_without_an_encoding(account: PlugChatSimulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stdout that does not say how it encodes gets plain ones."""
    out = io.StringIO()
    monkeypatch.setattr(sys, "stdout", out)
    assert cli.run(["doctor"]) == 0
    assert out.getvalue().startswith("+ token: ")
