"""The command line in a company: proxies, certificates of its own, timeouts and logs; the same for each command."""

import re
import ssl
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Self

import pytest
import trustme

from plugchat_async.cli import app as cli
from plugchat_async.testing import Fault, PlugChatSimulator, Quirks
from support.fakes import RawServer, answering, http, served
from support.proxies import BASE_URL, CREDENTIALS, ConnectProxy, tls_of

TOKEN = "s3cret-t0ken"
ROWS = b'[{"phone":"5511999999999","lastMessageTime":"1622991687"}]'


class Company:
    """A service that only a proxy can reach, with a certificate of the company's own CA."""

    def __init__(self, tls: ssl.SSLContext) -> None:
        self._tls = tls

    async def __aenter__(self) -> Self:
        self._stack = AsyncExitStack()
        server = await self._stack.enter_async_context(RawServer(answering(http(ROWS)), ssl_context=self._tls))
        self.proxy = await self._stack.enter_async_context(ConnectProxy(server.port))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()


@pytest.fixture
def company(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Company]:
    """The service, `ca.pem` in the working folder, and one account in `accounts.csv`."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    (tmp_path / "accounts.csv").write_text(f"name,token\nAna,{TOKEN}\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PLUGCHAT_TOKEN", TOKEN)
    monkeypatch.setenv("PLUGCHAT_BASE_URL", BASE_URL)
    for name in ("HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    made: Any = Company(tls_of(authority)[0])
    with served(made):
        yield made


COMMANDS = {
    "chats": ["chats", "--limit", "1"],
    "contacts": ["contacts", "--limit", "1"],
    "pending": ["pending", "--limit", "1"],
    "bulk": ["bulk", "accounts.csv", "-o", "out", "--limit", "1"],
    "watch": ["watch", "--max-polls", "1"],
    "status": ["status"],
    "doctor": ["doctor"],
}


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
@pytest.mark.parametrize("way", ["options", "variables", "environment", "all by variables"])
def test_requests_go_through_the_proxy(
    company: Company,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: list[str],
    way: str,
) -> None:
    """That of the option, of its variable, or with --trust-env that of the environment; no password is shown."""
    options = ["--timeout", "5"]
    match way:
        case "options":
            options += ["--proxy", company.proxy.url(), "--ca-file", "ca.pem"]
        case "variables":
            monkeypatch.setenv("PLUGCHAT_PROXY", company.proxy.url())
            monkeypatch.setenv("PLUGCHAT_CA_FILE", "ca.pem")
        case "all by variables":
            monkeypatch.setenv("HTTPS_PROXY", company.proxy.url())
            monkeypatch.setenv("PLUGCHAT_TRUST_ENV", "1")
            monkeypatch.setenv("PLUGCHAT_CA_FILE", "ca.pem")
        case _:
            monkeypatch.setenv("HTTPS_PROXY", company.proxy.url())
            options += ["--trust-env", "--ca-file", "ca.pem"]
    code = cli.run([*command, *options])
    out, err = capsys.readouterr()
    assert code == (4 if command[0] == "status" else 0), err  # the rows are no status
    assert company.proxy.heads
    assert company.proxy.refused == 0
    assert "certificate" not in out + err
    assert CREDENTIALS not in out + err


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_the_environments_proxy_is_not_used_unasked(
    company: Company, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    """The name is one that only the proxy knows."""
    monkeypatch.setenv("HTTPS_PROXY", company.proxy.url())
    assert cli.run([*command, "--ca-file", "ca.pem", "--timeout", "1"]) != 0
    assert company.proxy.heads == []


def test_http_in_a_file_of_accounts(company: Company, capsys: pytest.CaptureFixture[str]) -> None:
    """As for --base-url, only with --insecure-http."""
    Path("accounts.csv").write_text(f"name,token,base_url\nAna,{TOKEN},http://mock:8765\n")
    command = ["bulk", "accounts.csv", "-o", "out", "--limit", "0"]  # nothing is requested
    assert cli.run(command) == 2
    assert "base_url must be https" in capsys.readouterr().err
    assert cli.run([*command, "--insecure-http"]) == 0
    assert "the token is sent to http://mock:8765 in clear text" in capsys.readouterr().err


def test_empty_variables_are_not_set(
    account: PlugChatSimulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As a compose file passes them on; and a wrong one is named."""
    names = ("PLUGCHAT_CA_FILE", "PLUGCHAT_PROXY", "PLUGCHAT_TRUST_ENV", "PLUGCHAT_LOG")
    for name in names:
        monkeypatch.setenv(name, "")
    assert cli.run(["chats", "--limit", "1"]) == 0
    assert capsys.readouterr().err == ""
    for name, told in zip(names, ("can't be used: ", "must begin with", "", "is not a level"), strict=True):
        with monkeypatch.context() as patch:
            patch.setenv(name, "nowhere")
            assert cli.run(["chats", "--limit", "1"]) == 2
            assert f"{name} {told}".strip() in capsys.readouterr().err


def test_a_certificate_of_the_company_is_not_trusted_unasked(
    company: Company, capsys: pytest.CaptureFixture[str]
) -> None:
    """The error says so."""
    assert cli.run(["chats", "--proxy", company.proxy.url()]) != 0
    assert "certificate" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--ca-file", "nowhere.pem"], "--ca-file can't be used: No such file or directory"),
        (["--ca-file", "accounts.csv"], "--ca-file can't be used: it holds no certificates in PEM format"),
        (["--ca-file", "a\0b"], "--ca-file can't be used: "),
        (["--proxy", "socks://ana:hunter2@x"], "--proxy must begin with http:// or https://"),
        (["--proxi", "http://ana:hunter2@x:3128"], "unknown option --proxi"),
        (["--proxy", "http://ana:hunter2@x:3128", "http://ana:hunter2@y"], "unexpected argument"),
        (["--timeout=http://ana:hunter2@x"], "--timeout: unable to convert"),
        (["--timeout", "0"], "--timeout must be a finite number of at least"),
    ],
)
def test_what_is_wrong_is_told_by_the_options_name(
    company: Company, capsys: pytest.CaptureFixture[str], options: list[str], told: str
) -> None:
    """Exit code 2, and no password."""
    assert cli.run(["chats", *options]) == 2
    err = capsys.readouterr().err
    assert told.partition(" of at least")[0] in err
    assert "hunter2" not in err


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[PlugChatSimulator]:
    """An account of 150 chats, on a server that takes requests without Content-Type."""
    with served(PlugChatSimulator(150, seed=7, token=TOKEN, quirks=Quirks(content_type="ignored"))) as sim:
        monkeypatch.setenv("PLUGCHAT_TOKEN", sim.token)
        monkeypatch.setenv("PLUGCHAT_BASE_URL", sim.base_url)
        monkeypatch.delenv("PLUGCHAT_LOG", raising=False)
        yield sim


Run = Callable[..., str]


@pytest.fixture
def logged(account: PlugChatSimulator, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run `chats`, whose second request gets a 503; return stderr."""

    def run(*options: str, **environment: str) -> str:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        account.script(Fault.none(), Fault.status(503, headers={"Retry-After": "0"}))
        assert cli.run(["chats", *options]) == 0
        return capsys.readouterr().err

    return run


def test_each_request_is_logged(account: PlugChatSimulator, logged: Run) -> None:
    """With time, address, status and duration; and each retry. Without -v nothing is."""
    assert logged() == ""
    before = len(account.requests)
    lines = logged("-v").splitlines()
    requests = [line for line in lines if " GET " in line]
    assert len(requests) == len(account.requests) - before
    address = re.escape(f"{account.base_url}/api/whatsapp/chats?page=1&pageSize=100")
    assert re.fullmatch(rf"\d\d:\d\d:\d\d GET {address}: HTTP 200 in \d+\.\d{{3}} s", requests[0])
    assert any("retrying in" in line for line in lines)
    assert not any("WalkReport" in line for line in lines)
    assert TOKEN not in "".join(lines)
    assert logged() == "", "the next command is quiet"


@pytest.mark.parametrize("command", [["contacts"], ["pending"], ["doctor"], ["status"], ["watch", "--max-polls", "1"]])
def test_each_command_logs_its_requests(
    account: PlugChatSimulator, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    """In the same way."""
    assert cli.run([*command, "-v"]) == 0
    lines = re.findall(
        r"^\d\d:\d\d:\d\d GET http://\S+: HTTP \d+ in \d\.\d{3} s$", capsys.readouterr().err, re.MULTILINE
    )
    assert len(lines) == len(account.requests)


@pytest.mark.parametrize(("fault", "outcome"), [(401, "HTTP 401"), (None, "ConnectionFailedError")])
def test_a_status_that_fails_is_logged(
    account: PlugChatSimulator,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    fault: int | None,
    outcome: str,
) -> None:
    """With the status, or the name of the error."""
    if fault is None:
        monkeypatch.setenv("PLUGCHAT_BASE_URL", "http://127.0.0.1:1")
    else:
        account.script(Fault.status(fault))
    assert cli.run(["status", "-v"]) != 0
    err = capsys.readouterr().err
    assert re.search(rf"^\d\d:\d\d:\d\d GET http://\S+/status: {outcome} in \d\.\d{{3}} s$", err, re.MULTILINE)


def test_each_line_of_the_log_names_its_account(
    account: PlugChatSimulator, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Requests, retries, walks and warnings of `bulk`: there are many accounts at a time."""
    file = tmp_path / "accounts.csv"
    file.write_text(f"name,token\nAna\x1b,{TOKEN}\nBia,other\n")
    account.add_account("other", 30)
    account.script(Fault.status(503, headers={"Retry-After": "0"}), Fault.status(415), token="other")
    assert cli.run(["bulk", str(file), "-o", str(tmp_path / "out"), "-vv"]) == 0
    lines = [line.removeprefix("warning: ") for line in capsys.readouterr().err.splitlines()]
    assert {re.sub(r"^[\d:]{8} ", "", line).partition(": ")[0] for line in lines} == {"Ana\ufffd", "Bia"}
    for word in ("GET http", "retrying in", "WalkReport(", "kept for this session"):
        assert any(word in line for line in lines), word


@pytest.mark.parametrize(
    ("options", "level"), [(["-vv"], ""), (["--verbose", "-v"], ""), ([], "debug"), (["-v"], "DEBUG")]
)
def test_walks_are_logged(logged: Run, options: list[str], level: str) -> None:
    """With -vv, or by the variable."""
    assert "WalkReport(" in logged(*options, PLUGCHAT_LOG=level)


def test_a_level_of_the_variable(
    account: PlugChatSimulator, logged: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`error` silences warnings; other words are refused."""
    assert "GET " in logged(PLUGCHAT_LOG="info")
    account.script(Fault.status(415))
    assert cli.run(["chats", "--limit", "1"]) == 0
    assert "warning: " in capsys.readouterr().err
    monkeypatch.setenv("PLUGCHAT_LOG", "error")
    account.script(Fault.status(415))
    assert cli.run(["chats", "--limit", "1"]) == 0
    assert capsys.readouterr().err == ""
    monkeypatch.setenv("PLUGCHAT_LOG", TOKEN)
    assert cli.run(["chats"]) == 2
    err = capsys.readouterr().err
    assert "PLUGCHAT_LOG is not a level" in err
    assert TOKEN not in err


def test_what_a_server_sends_can_not_steer_the_log(account: PlugChatSimulator, logged: Run) -> None:
    """Its words are shown without control characters."""
    account.script(Fault.status(503, body="\x1b[2J\x07", headers={"Retry-After": "0"}))
    assert not {"\x1b", "\x07"} & set(logged("-v"))


@pytest.mark.parametrize(
    ("variable", "told"),
    [
        ("HTTPS_PROXY", "! proxy: HTTPS_PROXY is set, but not used"),
        ("all_proxy", "! proxy: all_proxy is set, but not used"),
        (None, "proxy: none is set"),
    ],
)
def test_the_doctor_names_an_unused_proxy(
    company: Company,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    variable: str | None,
    told: str,
) -> None:
    """By its variable, and what to do; with NO_PROXY, and with --trust-env, nothing is unused."""
    if variable is not None:
        monkeypatch.setenv(variable, company.proxy.url())
    cli.run(["doctor", "--timeout", "1"])
    out = capsys.readouterr().out
    assert told in out
    assert ("use --trust-env or --proxy" in out) is (variable is not None)
    cli.run(["doctor", "--timeout", "1", "--trust-env", "--ca-file", "ca.pem"])
    used = capsys.readouterr().out
    assert (f"proxy: requests go through the proxy of {variable}" in used) is (variable is not None)
    assert (" dns: requests go through a proxy" in used) is (variable is not None)
    monkeypatch.setenv("NO_PROXY", "plugchat.example")
    cli.run(["doctor", "--timeout", "1"])
    assert "proxy: none is set" in capsys.readouterr().out
    assert CREDENTIALS not in out + used


def test_the_doctor_refuses_a_proxy_that_is_none(
    company: Company, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With --trust-env, where it would be used; else it is named as it is."""
    monkeypatch.setenv("HTTPS_PROXY", "socks://ana:hunter2@x")
    assert cli.run(["doctor", "--timeout", "1", "--trust-env"]) == 2
    assert "HTTPS_PROXY must begin with" in capsys.readouterr().err
    cli.run(["doctor", "--timeout", "1"])
    out = capsys.readouterr().out
    assert "HTTPS_PROXY is set, but not used" in out
    assert "hunter2" not in out


def test_on_this_machine_no_proxy_is_missed(
    account: PlugChatSimulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Requests to it go through none."""
    monkeypatch.setenv("HTTP_PROXY", "http://x:3128")
    assert cli.run(["doctor"]) == 0
    assert "✓ proxy: requests to this machine go through none" in capsys.readouterr().out
