"""`plugchat bulk`: the chats of many accounts, a file for each."""

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

from cyclopts import Parameter

from plugchat_async._http.urls import DEFAULT_BASE_URL
from plugchat_async.bulk.accounts import Account, read_accounts
from plugchat_async.bulk.fetch import BulkOptions
from plugchat_async.cli.options import (
    EXIT_OK,
    EXIT_SOME_FAILED,
    BaseURLOption,
    ConsistencyOption,
    LimitOption,
    MergePeopleOption,
    OnBadValueOption,
    PageSizeOption,
    PrefetchOption,
    RequireVerifiedOption,
    Whole,
    run_async,
)
from plugchat_async.cli.output import drawn, summary_table
from plugchat_async.cli.problems import ProblemNotes, kept_problems, print_problems
from plugchat_async.cli.progress import bulk_progress
from plugchat_async.errors import InvalidValueError
from plugchat_async.export.accounts import FAILURES, ExportSummary, OnExport, export_many
from plugchat_async.export.writers import FileFormat

BULK_EXAMPLES: Final = (
    "Examples: `plugchat bulk accounts.csv -o out/`; `plugchat bulk accounts.csv -o out/ --format parquet "
    "--requests-per-second 50`; `plugchat bulk accounts.csv -o out/ --format parquet --dask`."
)
# Stands for "a cluster on this machine, for this run".
_LOCAL: Final = "local"
_ADDRESS: Final = re.compile(r"[a-z]+://.+|[A-Za-z0-9_.-]+:[0-9]+")


def bulk(
    accounts: Annotated[
        Path,
        Parameter(
            help="A CSV file whose first line names its columns: name, token or token_env (the name of an "
            "environment variable that holds the token), and base_url."
        ),
    ],
    *,
    output: Annotated[
        Path, Parameter(name=["--output", "-o"], help="The folder to write into; it is made if need be.")
    ],
    format: Annotated[  # noqa: A002 - the option's name
        FileFormat | None, Parameter(help="What to write; jsonl without it, with --dask parquet.")
    ] = None,
    concurrency: Annotated[Whole, Parameter(help="Accounts to fetch at a time.")] = 64,
    restart: Annotated[
        bool, Parameter(negative=(), help="Fetch those again that an earlier run into this folder has finished.")
    ] = False,
    base_url: BaseURLOption = DEFAULT_BASE_URL,
    page_size: PageSizeOption = 100,
    limit: LimitOption = None,
    consistency: ConsistencyOption = "exact",
    prefetch: PrefetchOption = 0,
    require_verified: RequireVerifiedOption = False,
    on_bad_value: OnBadValueOption = "warn",
    merge_people: MergePeopleOption = False,
    max_concurrency: Annotated[Whole, Parameter(help="Requests in flight at most.")] = 64,
    requests_per_second: Annotated[float | None, Parameter(help="Requests a second at most.")] = None,
    account_requests_per_second: Annotated[
        float | None, Parameter(help="Requests a second at most of an account.")
    ] = None,
    isolate_connections: Annotated[
        bool, Parameter(negative=(), help="Let no two accounts use one connection, one after the other.")
    ] = False,
    dask: Annotated[
        str | None,
        Parameter(
            metavar="[ADDRESS]",
            help="Let the workers of a Dask cluster do it, such as tcp://10.0.0.1:8786; without an address those of "
            "one on this machine, a process for each core. All must see the folder at the same path.",
        ),
    ] = None,
) -> int:
    """Fetch the chats of many accounts into a folder, a file for each; with --dask, a part for each batch of them.

    Finished accounts are not fetched again when the same command is run again. Those that fail are listed in
    failures.jsonl, with the reason and what to do.
    """
    options: BulkOptions = {
        "base_url": base_url or DEFAULT_BASE_URL,
        "page_size": page_size,
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
    if dask is not None and format not in (None, "parquet"):
        raise InvalidValueError(f"--dask writes Parquet, not {format}", "Leave out --format, or --dask.")
    listed = read_accounts(accounts)
    notes = ProblemNotes()
    with kept_problems(notes), bulk_progress(len(listed)) as on_result:
        if dask is not None:
            summary = _with_dask(
                dask,
                listed,
                output,
                restart=restart,
                merge_people=merge_people,
                concurrency=concurrency,
                on_result=on_result,
                options=options,
            )
        else:
            summary = run_async(
                export_many(
                    listed,
                    output,
                    format=format or "jsonl",
                    restart=restart,
                    merge_people=merge_people,
                    concurrency=concurrency,
                    on_result=on_result,
                    **options,
                )
            )
    sys.stdout.write(drawn(summary_table(summary), sys.stdout))
    print_problems(summary.problems, notes.first)
    if summary.skipped:
        sys.stderr.write("Accounts that an earlier run had finished were not fetched again; --restart does that.\n")
    if summary.failed:
        sys.stderr.write(f"Why accounts failed, and what to do: {output / FAILURES}\n")
        return EXIT_SOME_FAILED
    return EXIT_OK


def _with_dask(
    address: str,
    accounts: list[Account],
    output: Path,
    *,
    restart: bool,
    merge_people: bool,
    concurrency: int,
    on_result: OnExport | None,
    options: BulkOptions,
) -> ExportSummary:
    """Export with a cluster: the one at an address, or one of this machine."""
    from plugchat_async.integrations.dask import fetch_many_dask  # noqa: PLC0415 - as above
    from plugchat_async.integrations.dask.cluster import connected  # noqa: PLC0415 - the extra may be missing

    with connected(None if address in ("", _LOCAL) else address) as client:
        if not client.nthreads():
            sys.stderr.write("The cluster has no workers yet: waiting for one.\n")
        return fetch_many_dask(
            accounts,
            client=client,
            out=output,
            restart=restart,
            merge_people=merge_people,
            concurrency=concurrency,
            on_result=on_result,
            **options,
        )


def spell_out_dask(arguments: Sequence[str]) -> list[str]:
    """Give `--dask` a value where it has none, which cyclopts can't."""
    spelled: list[str] = []
    for index, argument in enumerate(arguments):
        spelled.append(argument)
        if argument == "--dask" and not any(map(_ADDRESS.fullmatch, arguments[index + 1 : index + 2])):
            spelled.append(_LOCAL)
    return spelled
