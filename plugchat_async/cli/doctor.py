"""`plugchat doctor`: what is wrong between this machine and an account, and what to do about it."""

import json
import sys
from collections import Counter
from typing import Annotated, Final, TextIO

from cyclopts import Parameter

from plugchat_async._http.urls import DEFAULT_BASE_URL
from plugchat_async.cli.options import (
    EXIT_ANSWER,
    EXIT_CONFIGURATION,
    EXIT_OK,
    EXIT_SERVICE,
    BaseURLOption,
    TokenOption,
    run_async,
)
from plugchat_async.cli.output import marked
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
# For terminals whose encoding has no ticks.
_PLAIN_MARKS: Final[dict[Status, str]] = {"ok": "+", "warning": "!", "failed": "x", "skipped": "-"}


def doctor(
    *,
    token: TokenOption = None,
    base_url: BaseURLOption = DEFAULT_BASE_URL,
    timeout: Annotated[float, Parameter(help="Seconds that one request, look-up or handshake may take.")] = 30.0,
    as_json: Annotated[
        bool, Parameter(name="--json", negative=(), help="Print one JSON object when all is done, for programs.")
    ] = False,
) -> int:
    """Check token, DNS, TLS, host, headers, phone, pages and rows of the list; say what is wrong, and what to do.

    Each check prints a tick, an exclamation mark (it works, but know this), a cross, or a dash (it could not be told).
    It sends 16 requests at most, one after the other, and changes nothing. No token is printed.

    The exit code is that of the first cross: 2 for the configuration, 3 for the service or the network, 4 for an
    answer that is not as it should be; 0 without one.

    --json has the keys healthy, base_url, requests, elapsed (seconds), and findings: a list of objects with check,
    status (ok, warning, failed, skipped), found, advice, blame (configuration, service, answer, or null), and facts.
    It holds shapes and counts only, no name, no phone and no text that the gateway sent: attach it to a report. It
    shows the names of the rows' keys that look like identifiers: check that none is private, such as a key "ana".
    """
    marks = _MARKS if _can_show(sys.stdout, "".join(_MARKS.values())) else _PLAIN_MARKS

    def show(finding: Finding) -> None:
        line = f"{finding.check}: {finding.found}"
        sys.stdout.write(marked(marks[finding.status], _STYLES[finding.status], line, sys.stdout))
        if finding.advice:
            sys.stdout.write(marked(" ", "", finding.advice, sys.stdout))
        sys.stdout.flush()  # the next one may take its time

    checkup = run_async(
        examine(
            token or "",
            base_url=base_url or DEFAULT_BASE_URL,
            timeout=timeout,
            quotes=not as_json,
            on_finding=None if as_json else show,
        )
    )
    print(_to_json(checkup) if as_json else _verdict(checkup))
    blame: Category | None = next((finding.blame for finding in checkup.findings if finding.blame is not None), None)
    return EXIT_OK if blame is None else _EXIT_CODES[blame]


def _can_show(out: TextIO, text: str) -> bool:
    try:
        text.encode(out.encoding or "ascii")
    except UnicodeEncodeError:
        return False
    return True


def _verdict(checkup: Report) -> str:
    counts = Counter(finding.status for finding in checkup.findings)
    words: tuple[tuple[Status, str, str], ...] = (
        ("failed", "check failed", "checks failed"),
        ("warning", "warning", "warnings"),
        ("skipped", "skipped", "skipped"),
    )
    parts = [
        f"{counts[status]} {one if counts[status] == 1 else more}" for status, one, more in words if counts[status]
    ]
    verdict = "Healthy" if checkup.healthy else "Not healthy"
    told = f": {', '.join(parts)}" if parts else ""
    return f"{verdict}{told} ({counted(checkup.requests, 'request')}, {checkup.elapsed:.1f} s)."


def _to_json(checkup: Report) -> str:
    findings = [
        {
            "check": finding.check,
            "status": finding.status,
            "found": finding.found,
            "advice": finding.advice,
            "blame": finding.blame,
            "facts": {fact.name: fact.value for fact in finding.facts},
        }
        for finding in checkup.findings
    ]
    told = {
        "healthy": checkup.healthy,
        "base_url": checkup.base_url,
        "requests": checkup.requests,
        "elapsed": round(checkup.elapsed, 6),
        "findings": findings,
    }
    return json.dumps(told, ensure_ascii=False, indent=2)
