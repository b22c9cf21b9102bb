"""`plugchat bulk`: the chats of many accounts, one file per account."""

import json
import re
import sys
from collections.abc import Sequence
from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import Annotated, Final, cast

from attrs import asdict
from cyclopts import Parameter
from rich.table import Column, Table
from rich.text import Text

from plugchat_async._http.urls import DEFAULT_BASE_URL
from plugchat_async.bulk.accounts import Account, read_accounts
from plugchat_async.cli.connection import Connection, ConnectionOption
from plugchat_async.cli.log import be_verbose
from plugchat_async.cli.options import (
    EXIT_ALL_FAILED,
    EXIT_OK,
    EXIT_SOME_FAILED,
    BaseURLOption,
    ConsistencyOption,
    CsvOption,
    IntOption,
    LimitOption,
    MaxPageSizeOption,
    MergePeopleOption,
    NoSyncOption,
    OnBadValueOption,
    PageSizeOption,
    PrefetchOption,
    RequireVerifiedOption,
)
from plugchat_async.cli.output import check_excel, check_folder
from plugchat_async.cli.problems import ProblemCollector, collect_problems, print_problems
from plugchat_async.cli.progress import bulk_progress
from plugchat_async.cli.signals import run_async, shielded
from plugchat_async.cli.terminal import escape_json, marked_line, printable, render_table, tell
from plugchat_async.errors import InvalidValueError, NotConnectedError
from plugchat_async.export.accounts import export_many
from plugchat_async.export.folder import FAILURES, remove_parts
from plugchat_async.export.results import AccountExport, ExportSummary
from plugchat_async.export.run import ExportOptions
from plugchat_async.export.writers import FileFormat

BULK_EXAMPLES: Final = (
    "Examples: `plugchat bulk accounts.csv -o out/`; `plugchat bulk accounts.csv -o out/ --format parquet "
    "--requests-per-second 50`; `plugchat bulk accounts.csv -o out/ --json | jq .failed`; "
    "every night: `plugchat bulk accounts.csv -o out/ --restart`; "
    "`plugchat bulk accounts.csv -o out/ --format parquet --dask`."
)
# The value of --dask for a cluster on this machine, for this run.
_LOCAL: Final = "local"
# How many failed accounts are shown with their reasons. A file lists all of them.
_FAILURES_SHOWN: Final = 3
_ADDRESS: Final = re.compile(r"[a-z]+://.+|[A-Za-z0-9_.-]+:[0-9]+")


def bulk(
    accounts: Annotated[
        Path,
        Parameter(
            help="A CSV file with the columns name, token or token_env (the name of an environment variable with the "
            "token), and optionally base_url. The first line contains their names."
        ),
    ],
    *,
    output: Annotated[
        Path, Parameter(name=["--output", "-o"], help="The folder for the files; it is created if missing.")
    ],
    format: Annotated[  # noqa: A002 - the option's name
        FileFormat | None, Parameter(help="The format. Default: jsonl; csv with --csv excel; parquet with --dask.")
    ] = None,
    csv: CsvOption = "rfc4180",
    concurrency: Annotated[IntOption, Parameter(help="Accounts to fetch concurrently.")] = 64,
    restart: Annotated[
        bool,
        Parameter(negative=(), help="Fetch all accounts again, also those that an earlier run finished."),
    ] = False,
    prune: Annotated[
        bool,
        Parameter(negative=(), help="At the end, delete the files of accounts that are no longer in the list."),
    ] = False,
    allow_empty: Annotated[
        bool,
        Parameter(
            negative=(),
            help="Believe that an account has no chats, and replace its file. Default: keep a file that has chats, "
            "because the list is also empty while the phone is not connected.",
        ),
    ] = False,
    no_sync: NoSyncOption = False,
    base_url: BaseURLOption = DEFAULT_BASE_URL,
    page_size: PageSizeOption = 100,
    max_page_size: MaxPageSizeOption = 1000,
    limit: LimitOption = None,
    consistency: ConsistencyOption = "exact",
    prefetch: PrefetchOption = 0,
    require_verified: RequireVerifiedOption = False,
    on_bad_value: OnBadValueOption = "warn",
    merge_people: MergePeopleOption = False,
    max_concurrency: Annotated[IntOption, Parameter(help="Maximum number of concurrent requests.")] = 64,
    requests_per_second: Annotated[float | None, Parameter(help="Maximum rate of requests.")] = None,
    account_requests_per_second: Annotated[
        float | None, Parameter(help="Maximum rate of requests of one account.")
    ] = None,
    isolate_connections: Annotated[
        bool, Parameter(negative=(), help="Use separate connections for each account.")
    ] = False,
    dask: Annotated[
        str | None,
        Parameter(
            metavar="[ADDRESS]",
            help="Use the workers of a Dask cluster, such as tcp://10.0.0.1:8786; without an address, a local cluster "
            "with one process per core. All workers must see the folder at the same path.",
        ),
    ] = None,
    as_json: Annotated[
        bool, Parameter(name="--json", negative=(), help="Print the summary as one JSON object, for programs.")
    ] = False,
    connection: ConnectionOption = Connection(),  # noqa: B008 - frozen
) -> int:
    """Fetch the chats of many accounts into a folder, one file per account; with --dask, one file per batch.

    If the same command is run again, accounts that are finished are skipped. Accounts that failed, or were empty and
    kept as they were, are listed in .plugchat/failures.ndjson in the folder, with the reason and what to do.

    --json prints the keys folder, finished, failed, skipped (finished by an earlier run), chats, unverified, errors
    (the number of failed accounts by the name of the error), elapsed (seconds), problems (values that could not be
    read), empty, kept, others (accounts that are not in the list), deleted (files of such) and not_connected. The chats
    are in the folder's files.
    """
    be_verbose(connection.verbose)
    options: ExportOptions = {
        "concurrency": concurrency,
        "restart": restart,
        "prune": prune,
        "allow_empty": allow_empty,
        "sync": not no_sync,
        "merge_people": merge_people,
        "base_url": base_url or DEFAULT_BASE_URL,
        "page_size": page_size,
        "max_page_size": max_page_size or None,
        "limit": limit,
        "consistency": consistency,
        "prefetch": prefetch,
        "require_verified": require_verified,
        "on_bad_value": on_bad_value,
        "max_concurrency": max_concurrency,
        "requests_per_second": requests_per_second,
        "account_requests_per_second": account_requests_per_second,
        "isolate_connections": isolate_connections,
    }
    options = cast("ExportOptions", {**connection.request_options(), **options})
    if csv == "excel":
        format = format or "csv"  # noqa: A001 - the option's name
        check_excel(format)
    if dask is not None and format not in (None, "parquet"):
        raise InvalidValueError(f"--dask writes Parquet, not {format}", "Omit --format, or --dask.")
    check_folder(output)
    listed = read_accounts(accounts, insecure_http=connection.insecure_http)
    problems = ProblemCollector()
    done = 0
    first_failures: list[AccountExport] = []
    try:
        with collect_problems(problems), bulk_progress(len(listed)) as show:

            def on_result(export: AccountExport) -> None:
                nonlocal done
                done += export.error is None
                if export.error is not None and len(first_failures) < _FAILURES_SHOWN:
                    first_failures.append(export)
                if show is not None:
                    show(export)

            options["on_result"] = on_result
            if dask is not None:
                options.pop("telemetry", None)  # it would log in the workers
                summary = _with_dask(dask, listed, output, options)
            else:
                summary = run_async(export_many(listed, output, format=format or "jsonl", dialect=csv, **options))
    except KeyboardInterrupt as stop:
        # With --restart, the same command would begin again.
        again = "without --restart " if restart else ""
        stop.add_note(
            f"{done} of {len(listed)} accounts are finished. Run the same command again {again}to fetch the others."
        )
        raise
    text = _to_json(summary) if as_json else render_table(_summary_table(summary), sys.stdout)
    sys.stdout.write(text)
    return _print_results(summary, first_failures, problems.first)


def _print_results(summary: ExportSummary, first_failures: Sequence[AccountExport], first_problem: str) -> int:
    """Print on stderr what there is to know about the summary. Return the exit code."""
    _print_failures(first_failures, summary.failed)
    print_problems(summary.problems, first_problem)
    if summary.skipped:
        tell("Accounts that an earlier run finished were skipped; use --restart to fetch them again.\n")
    if summary.others:
        tell("Files of accounts that are not in the list were kept; use --prune to delete them.\n")
    if summary.failed or summary.kept:
        kept = " or were kept" if summary.kept else ""
        tell(f"See {summary.folder / FAILURES} for the accounts that failed{kept}: the reasons, and what to do.\n")
        good = summary.finished or summary.skipped or summary.kept
        return EXIT_SOME_FAILED if good else EXIT_ALL_FAILED
    return EXIT_OK


def _print_failures(failures: Sequence[AccountExport], total: int) -> None:
    """Print on stderr why the first of all failed accounts failed, and what to do: once where that is the same."""
    hints: dict[str, list[str]] = {}
    for failure in failures:
        if failure.error is not None:
            hints.setdefault(failure.error.hint, []).append(f"{failure.account}: {failure.error.message}")
    for hint, reasons in hints.items():
        for reason in reasons:
            tell(marked_line("failed:", "bold red", reason, sys.stderr))
        tell(marked_line("what to do:", "bold", hint, sys.stderr))
    if more := total - len(failures):
        tell(f"{more} more {'account' if more == 1 else 'accounts'} failed\n")


def _to_json(summary: ExportSummary) -> str:
    content = {**asdict(summary), "folder": str(summary.folder), "not_connected": summary.not_connected}
    text = json.dumps({**content, "elapsed": round(summary.elapsed, 6)}, ensure_ascii=False, indent=2) + "\n"
    return escape_json(text) if sys.stdout.isatty() else text


def _summary_table(summary: ExportSummary) -> Table:
    # Text, not str: a folder's name is not markup.
    table = Table("", Column("", justify="right"), title=Text(printable(str(summary.folder))), show_header=False)
    table.add_row("accounts finished", str(summary.finished))
    if summary.skipped:
        table.add_row("finished by an earlier run", str(summary.skipped))
    table.add_row("accounts failed", str(summary.failed))
    if summary.not_connected:
        table.add_row("  phone not connected", str(summary.not_connected))
    for error, count in sorted(summary.errors.items()):
        if error != NotConnectedError.__name__:
            table.add_row(f"  {error}", str(count))
    if summary.empty:
        table.add_row("accounts with no chats", str(summary.empty))
    if summary.kept:
        table.add_row("  empty, kept as they were", str(summary.kept))
    for row, count in {
        "finished, but chats may be missing": summary.unverified,
        "values that could not be read": summary.problems,
        "not in the list, files kept": summary.others,
        "not in the list, files deleted": summary.deleted,
    }.items():
        if count:
            table.add_row(row, str(count))
    table.add_row("chats", f"{summary.chats:,}")
    table.add_row("seconds", f"{summary.elapsed:.1f}")
    table.add_row("chats per second", f"{summary.chats / summary.elapsed:,.0f}" if summary.elapsed else "")
    return table


def _with_dask(address: str, accounts: list[Account], output: Path, options: ExportOptions) -> ExportSummary:
    """Export with the Dask cluster at an address, or with a local one."""
    from plugchat_async.integrations.dask import fetch_many_dask  # noqa: PLC0415 - the extra may be missing
    from plugchat_async.integrations.dask.cluster import connected  # noqa: PLC0415 - the extra may be missing

    is_local = address in ("", _LOCAL)
    try:
        with ExitStack() as stack:
            # Dask can't end well a cluster of its own that is half started; another one may be slow to answer.
            with shielded() if is_local else nullcontext():
                client = stack.enter_context(connected(None if is_local else address))
            if not client.nthreads():
                tell("The cluster has no workers yet, waiting for one.\n")
            return fetch_many_dask(accounts, client=client, out=output, **options)
    finally:
        if is_local:  # its workers have ended, perhaps in the middle of a file
            remove_parts(output)


def add_dask_value(arguments: Sequence[str]) -> list[str]:
    """Add the value "local" to a `--dask` without an address, because cyclopts has no optional values."""
    complete: list[str] = []
    for index, argument in enumerate(arguments):
        complete.append(argument)
        if argument == "--dask" and not any(map(_ADDRESS.fullmatch, arguments[index + 1 : index + 2])):
            complete.append(_LOCAL)
    return complete
