"""`plugchat doctor`: diagnose the connection between this machine and an account."""

import json
import sys
from collections import Counter
from typing import Annotated, Final, TextIO

from cyclopts import Parameter

from plugchat_async._http.urls import DEFAULT_BASE_URL
from plugchat_async.cli.connection import Connection, ConnectionOption
from plugchat_async.cli.log import be_verbose
from plugchat_async.cli.options import (
    EXIT_ANSWER,
    EXIT_CONFIGURATION,
    EXIT_OK,
    EXIT_SERVICE,
    BaseURLOption,
    TokenOption,
)
from plugchat_async.cli.progress import waiting
from plugchat_async.cli.signals import run_async
from plugchat_async.cli.terminal import marked_line
from plugchat_async.doctor import Category, Finding, Report, Status, examine
from plugchat_async.doctor.findings import counted

DOCTOR_EXAMPLES: Final = (
    "Examples: `plugchat doctor`; `plugchat doctor --base-url https://www.plugchat.com.br`; "
    "`plugchat doctor --json | jq '.findings[] | select(.status == \"failed\")'`."
)

_EXIT_CODES: Final[dict[Category, int]] = {
    "configuration": EXIT_CONFIGURATION,
    "service": EXIT_SERVICE,
    "answer": EXIT_ANSWER,
}
_STYLES: Final[dict[Status, str]] = {
    "ok": "bold green",
    "warning": "bold yellow",
    "failed": "bold red",
    "skipped": "dim",
}
_MARKS: Final[dict[Status, str]] = {"ok": "✓", "warning": "!", "failed": "✗", "skipped": "–"}  # noqa: RUF001 - a dash
# For terminals that can't show ticks.
_PLAIN_MARKS: Final[dict[Status, str]] = {"ok": "+", "warning": "!", "failed": "x", "skipped": "-"}


def doctor(
    *,
    token: TokenOption = None,
    base_url: BaseURLOption = DEFAULT_BASE_URL,
    as_json: Annotated[
        bool, Parameter(name="--json", negative=(), help="Print one JSON object at the end, for programs.")
    ] = False,
    connection: ConnectionOption = Connection(),  # noqa: B008 - frozen
) -> int:
    """Check token, proxy, DNS, TLS, host, headers, phone, pages and rows, and print what is wrong and what to do.

    Each check prints a tick, an exclamation mark (a warning), a cross (a failure), or a dash (skipped). At most 16
    requests are sent, one after the other, and nothing is changed. The token is not printed.

    The exit code is that of the first failure: 2 for the configuration, 3 for the service or the network, 4 for an
    unexpected answer; 0 without a failure.

    --json prints the keys healthy, base_url, requests, elapsed (seconds), and findings: a list of objects with check,
    status (ok, warning, failed, skipped), found, advice, category (configuration, service, answer, or null), and facts.
    It contains shapes and counts only, without names, phones and texts of the gateway, so you can attach it to a bug
    report. It contains the rows' keys that look like identifiers: check that none is private, such as a key "ana".
    """
    be_verbose(connection.verbose)
    options = connection.request_options()
    marks = _MARKS if _can_show(sys.stdout, "".join(_MARKS.values())) else _PLAIN_MARKS

    with waiting("checking") as line:

        def show(finding: Finding) -> None:
            with line.hidden():
                text = f"{finding.check}: {finding.found}"
                sys.stdout.write(marked_line(marks[finding.status], _STYLES[finding.status], text, sys.stdout))
                if finding.advice:
                    sys.stdout.write(marked_line(" ", "", finding.advice, sys.stdout))
                sys.stdout.flush()  # the next check may take long

        report = run_async(
            examine(
                token or "",
                base_url=base_url or DEFAULT_BASE_URL,
                timeout=connection.timeout,
                proxy=connection.proxy or None,
                ssl_context=options.get("ssl_context"),
                trust_env=connection.trust_env,
                insecure_http=connection.insecure_http,
                quotes=not as_json,
                on_finding=None if as_json else show,
            )
        )
    print(_to_json(report) if as_json else _verdict(report))
    failures: list[Category] = [finding.category for finding in report.findings if finding.category is not None]
    return _EXIT_CODES[failures[0]] if failures else EXIT_OK


def _can_show(out: TextIO, text: str) -> bool:
    try:
        text.encode(out.encoding or "ascii")
    except UnicodeEncodeError:
        return False
    return True


def _verdict(report: Report) -> str:
    counts = Counter(finding.status for finding in report.findings)
    words: tuple[tuple[Status, str, str], ...] = (
        ("failed", "check failed", "checks failed"),
        ("warning", "warning", "warnings"),
        ("skipped", "skipped", "skipped"),
    )
    parts = [
        f"{counts[status]} {one if counts[status] == 1 else more}" for status, one, more in words if counts[status]
    ]
    verdict = "Healthy" if report.healthy else "Not healthy"
    details = f": {', '.join(parts)}" if parts else ""
    return f"{verdict}{details} ({counted(report.requests, 'request')}, {report.elapsed:.1f} s)."


def _to_json(report: Report) -> str:
    findings = [
        {
            "check": finding.check,
            "status": finding.status,
            "found": finding.found,
            "advice": finding.advice,
            "category": finding.category,
            "facts": {fact.name: fact.value for fact in finding.facts},
        }
        for finding in report.findings
    ]
    content = {
        "healthy": report.healthy,
        "base_url": report.base_url,
        "requests": report.requests,
        "elapsed": round(report.elapsed, 6),
        "findings": findings,
    }
    return json.dumps(content, ensure_ascii=False, indent=2)
