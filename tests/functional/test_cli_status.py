"""`plugchat status`."""

import json
from collections.abc import Iterator

import pytest

from plugchat_async.cli import app as cli
from plugchat_async.testing import Fault, PlugChatSimulator
from support.fakes import served

TOKEN = "s3cret-token"


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[PlugChatSimulator]:
    """An account, and the environment to reach it."""
    with served(PlugChatSimulator(5, token=TOKEN)) as sim:
        monkeypatch.setenv("PLUGCHAT_TOKEN", sim.token)
        monkeypatch.setenv("PLUGCHAT_BASE_URL", sim.base_url)
        yield sim


def run(capsys: pytest.CaptureFixture[str], *options: str) -> tuple[int, str, str]:
    """The exit code, stdout and stderr."""
    code = cli.run(["status", *options])
    out, err = capsys.readouterr()
    return code, out, err


def test_a_connected_phone(account: PlugChatSimulator, capsys: pytest.CaptureFixture[str]) -> None:
    """Short lines, exit code 0, and one request."""
    code, out, err = run(capsys)
    assert (code, err) == (0, "")
    assert out == "connected:    yes\nsession:      yes\nphone online: yes\n"
    assert [request.path for request in account.requests] == ["/api/whatsapp/status"]


def test_a_phone_that_is_not_connected(account: PlugChatSimulator, capsys: pytest.CaptureFixture[str]) -> None:
    """The service's text, what to do, and the exit code of a service that failed."""
    account.connected = False
    code, out, err = run(capsys)
    assert (code, err) == (3, "")
    assert out.splitlines() == [
        "connected:    no",
        "session:      no",
        "phone online: no",
        "service says: You are not connected.",
        "what to do:   Connect the phone again in the Plug Chat panel, then try again.",
    ]


def test_what_is_not_said_is_unknown(account: PlugChatSimulator, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither yes nor no; and no text steers a terminal."""
    account.script(Fault.answer('{"connected": "true", "error": "\\u001b[2Jalready [red]connected[/red]"}'))
    code, out, _ = run(capsys)
    assert code == 0
    assert out.splitlines() == [
        "connected:    yes",
        "session:      unknown",
        "phone online: unknown",
        "service says: [2Jalready [red]connected[/red]",
    ]


@pytest.mark.parametrize("connected", [True, False])
def test_json(account: PlugChatSimulator, capsys: pytest.CaptureFixture[str], connected: bool) -> None:
    """One object with all keys, and the same exit codes."""
    account.connected = connected
    code, out, err = run(capsys, "--json")
    assert (code, err) == (0 if connected else 3, "")
    assert json.loads(out) == {
        "connected": connected,
        "session": connected,
        "smartphone_connected": connected,
        "error": None if connected else "You are not connected.",
    }


@pytest.mark.parametrize(
    ("fault", "code", "said"),
    [
        (
            Fault.status(400, body='{"error": "You are not connected."}'),
            3,
            "the gateway says: 'You are not connected.'",
        ),
        (Fault.status(400, body='{"error": "Instance not found"}'), 2, "the gateway says: 'Instance not found'"),
        (Fault.status(403, body="error code: 1010"), 2, "refused by a firewall"),
        (Fault.status(404), 4, "HTTP 404"),
        (Fault.answer("[]"), 4, "the body is not an account's status: '[]'"),
    ],
)
@pytest.mark.parametrize("options", [[], ["--json"]])
def test_an_error_says_what_happened(
    account: PlugChatSimulator,
    capsys: pytest.CaptureFixture[str],
    fault: Fault,
    code: int,
    said: str,
    options: list[str],
) -> None:
    """On stderr, with what to do and the exit code of its kind; nothing on stdout."""
    account.script(fault)
    got, out, err = run(capsys, *options)
    assert (got, out) == (code, "")
    assert err.startswith(f"error: {said}")
    assert "\nwhat to do: " in err
    assert TOKEN not in err


def test_a_token_is_needed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """As by the other commands."""
    monkeypatch.delenv("PLUGCHAT_TOKEN", raising=False)
    code, _, err = run(capsys)
    assert code == 2
    assert "no token" in err
