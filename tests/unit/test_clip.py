"""Tokens in the wrong place, and what stays of messages."""

from collections.abc import Sequence

import pytest

from plugchat_async.cli import app as cli
from plugchat_async.cli.clip import clip_tokens

TOKEN = "aB3dE5gH7jK9mN1pQ3sT5"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJlLW9mLWFuYQ"
REAL = ["--token", "another-token"]


@pytest.mark.parametrize("token", [TOKEN, JWT, f"{TOKEN}==", f"-{TOKEN}"])
@pytest.mark.parametrize(
    "arguments",
    [
        ["--token={}", "chats"],
        ["--token", "{}", "chats"],
        ["-t{}", "chats"],
        ["-t", "{}"],
        ["-t={}"],
        ["{}"],
        ["{}", "chats"],
        ["chats", "{}"],
        ["chats", "--{}"],
        ["chats", "-t{}"],
        ["chats", "--tok={}"],
        ["chats", *REAL, "--format", "{}"],
        ["chats", *REAL, "--consistency={}"],
        ["chats", *REAL, "--limit", "{}"],
        ["chats", *REAL, "--report={}"],
        ["chats", *REAL, "--base-url", "{}"],
        ["chats", *REAL, "--base-url", "http://{}"],
        ["chats", *REAL, "--base-url", "https://{}:x/"],
        ["chats", *REAL, "--checkpoint", "{}/x"],
        ["chats", *REAL, "-o", "nowhere/{}"],
        ["chats", *REAL, "-o", "{}"],
        ["chats", *REAL, "-o", "x.{}"],
        ["chats", *REAL, "-o", "{}/x", "--format", "csv"],
        ["watch", *REAL, "--interval", "{}"],
        ["watch", *REAL, "--state", "{}/x"],
        ["bulk", "{}", "-o", "out"],
        ["bulk", "{}", "--output", "out", "--requests-per-second", "x"],
        ["completion", "{}"],
        ["simulate", "--port", "{}"],
    ],
    ids=" ".join,
)
def test_a_token_in_the_wrong_place_is_not_shown(
    arguments: Sequence[str], token: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither all of it nor half."""
    monkeypatch.delenv("PLUGCHAT_TOKEN", raising=False)
    monkeypatch.delenv("PLUGCHAT_BASE_URL", raising=False)
    assert cli.run([argument.format(token) for argument in arguments]) != 0
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    shown = err.lower().replace("\n", "")
    assert token.lower() not in shown
    parts = token.strip("-=").lower().split(".")
    assert not [part for part in parts if part[:8] in shown]


@pytest.mark.parametrize("arguments", [["{}"], ["chats", "--format", "{}"], ["bulk", "x/{}/y", "-o", "out"]])
def test_the_environments_token_is_not_shown_wherever_it_is(
    arguments: Sequence[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A short one, too."""
    monkeypatch.setenv("PLUGCHAT_TOKEN", "t0p-Secret")
    assert cli.run([argument.format("xt0p-secretx") for argument in arguments]) == 2
    err = capsys.readouterr().err
    assert "secret" not in err
    assert "x***x" in err


@pytest.mark.parametrize(
    ("text", "argument"),
    [
        ("Invalid value for --requests-per-second: x", "--requests-per-second=x"),
        ("can't read exports-of-november.csv", "exports-of-november.csv"),
        ("plugchat-gateway.example.com refused", "https://plugchat-gateway.example.com"),
        ("can't write /tmp/test_a_file_that_is_in_use0/s", "/tmp/test_a_file_that_is_in_use0/s"),
        ("account_requests_per_second must be at least 1", "chats"),
    ],
)
def test_names_stay(text: str, argument: str) -> None:
    """Options, files, hosts, folders, and the message's own words."""
    options = {"--requests-per-second"}
    assert clip_tokens(text, [argument], None, options, names=True) == text


def test_what_was_cut_off_is_clipped_as_well() -> None:
    """The start shows which argument it was; what follows stays."""
    assert clip_tokens(f"got '{TOKEN[:15]}…', or {TOKEN}: no", [TOKEN], None) == "got 'aB3d…', or aB3d…: no"


def test_many_dashes_take_no_time() -> None:
    """The check of names does not try all ways to split them."""
    argument = "/" + "-" * 5000 + "!"
    assert clip_tokens(argument, [argument], None, names=True) == "/----…"
