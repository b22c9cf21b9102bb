"""`plugchat chats`: all chats of an account."""

from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Final

from cyclopts import Parameter

from plugchat_async import (
    InvalidValueError,
    PlugChatError,
    PlugChatSession,
    WalkOptions,
    WalkReport,
)
from plugchat_async._http.urls import CHATS_PATH, DEFAULT_BASE_URL
from plugchat_async._internal.validation import check_optional_int
from plugchat_async._pagination.walk_state import WalkConfig
from plugchat_async.cli.chat_filter import ChatFilter, folded
from plugchat_async.cli.connection import Connection, ConnectionOption
from plugchat_async.cli.list_run import ListRun, print_reports, warn_if_empty
from plugchat_async.cli.log import be_verbose
from plugchat_async.cli.options import (
    EXIT_OK,
    BaseURLOption,
    ConsistencyOption,
    CsvOption,
    IntOption,
    MaxPageSizeOption,
    MergePeopleOption,
    NoSyncOption,
    OnBadValueOption,
    PageSizeOption,
    PrefetchOption,
    RequireVerifiedOption,
    TokenOption,
    require_token,
)
from plugchat_async.cli.output import OutputFormat, choose_format, line_format
from plugchat_async.cli.problems import ProblemCollector, collect_problems
from plugchat_async.cli.signals import run_async
from plugchat_async.cli.stream import open_stream

CHATS_EXAMPLES: Final = (
    "Examples: `plugchat chats --limit 20`; `plugchat chats --unread --people`; `plugchat chats --search ana`; "
    "`plugchat chats -o chats.csv`; `plugchat chats | jq -r .name`."
)


def chats(
    *,
    token: TokenOption = None,
    base_url: BaseURLOption = DEFAULT_BASE_URL,
    page_size: PageSizeOption = 100,
    max_page_size: MaxPageSizeOption = 1000,
    start_page: Annotated[IntOption, Parameter(help="The first page to fetch; only with --consistency plain.")] = 1,
    limit: Annotated[
        IntOption | None,
        Parameter(
            help="Maximum number of chats; default: all. With --merge-people it limits the rows that are merged, with "
            "--search and its like the chats that match."
        ),
    ] = None,
    search: Annotated[
        str | None,
        Parameter(
            help="Only chats with this text in their name, phone or lid, in any case and with or without accents."
        ),
    ] = None,
    unread: Annotated[bool, Parameter(negative=(), help="Only chats with unread messages.")] = False,
    groups: Annotated[bool, Parameter(negative=(), help="Only groups; with --people: groups and people.")] = False,
    people: Annotated[bool, Parameter(negative=(), help="Only people; with --groups: groups and people.")] = False,
    consistency: ConsistencyOption = "exact",
    prefetch: PrefetchOption = 0,
    require_verified: RequireVerifiedOption = False,
    on_bad_value: OnBadValueOption = "warn",
    merge_people: MergePeopleOption = False,
    report: Annotated[bool, Parameter(negative=(), help="Print a summary of the walk on stderr.")] = False,
    checkpoint: Annotated[
        Path | None,
        Parameter(
            help="Save the walk's position in this file while it runs; if the file exists, resume there. "
            "For jsonl and csv, appended to one file with >>."
        ),
    ] = None,
    account: Annotated[
        str | None,
        Parameter(
            help="With --checkpoint, if the token changes: a name of your own for the account, each time the same."
        ),
    ] = None,
    no_sync: NoSyncOption = False,
    format: Annotated[  # noqa: A002 - the option's name
        OutputFormat | None,
        Parameter(help="Default: by the suffix of --output; else table on a terminal and jsonl in a pipe."),
    ] = None,
    csv: CsvOption = "rfc4180",
    output: Annotated[
        Path | None,
        Parameter(name=["--output", "-o"], help="Write to this file, which appears complete or not at all."),
    ] = None,
    connection: ConnectionOption = Connection(),  # noqa: B008 - frozen
) -> int:
    """Fetch the account's chats, in the service's order.

    --search, --unread, --groups and --people choose among the fetched chats: the whole list is read, unless --limit
    chats match before its end.
    """
    be_verbose(connection.verbose)
    known_token = require_token(token)
    style = choose_format(format, output, csv)
    session = PlugChatSession(known_token, **connection.session_options(base_url, on_bad_value))
    check_optional_int("limit", limit, minimum=0)
    if search is not None and not folded(search):
        raise InvalidValueError("--search has no text", "Omit it for all chats.")
    if account is not None and checkpoint is None:
        raise InvalidValueError("--account is for --checkpoint only", "Add --checkpoint FILE, or omit --account.")
    wanted = ChatFilter(search, unread, groups, people)
    if wanted.is_active:
        wanted.limit, limit = limit, None  # it counts what is shown
    line_style = None if output is not None or merge_people else line_format(style)
    if checkpoint is not None:
        is_limited = (limit, wanted.limit) != (None, None)
        _check_combination(streams=line_style is not None, merge_people=merge_people, is_limited=is_limited)
    reports: list[WalkReport] = []
    problems = ProblemCollector()
    options: WalkOptions = {
        "start_page": start_page,
        "limit": limit,
        "max_page_size": max_page_size or None,
        "consistency": consistency,
        "prefetch": prefetch,
        "require_verified": require_verified,
        "account": account,
        "on_report": reports.append,
    }
    run = ListRun(session, options, page_size, style, output, wanted=wanted, merge_people=merge_people)
    asked = WalkConfig(
        path=CHATS_PATH,
        page_size=page_size,
        consistency=consistency,
        start_page=start_page,
        max_page_size=max_page_size or None,
    )
    opened = (
        nullcontext() if line_style is None else open_stream(line_style, checkpoint, wanted, asked, sync=not no_sync)
    )
    with opened as stream:
        options["resume"] = None if stream is None else stream.resume
        try:
            try:
                with collect_problems(problems):
                    run_async(run.fetch(stream))
            finally:
                print_reports(reports, problems, report=report)  # after the display is removed
            if stream is not None:
                stream.end()
        except PlugChatError as error:
            if stream is not None and (hint := stream.keep_after(error, consistency)):
                error.add_note(hint)
            raise
        except (KeyboardInterrupt, OSError) as stop:
            stop.add_note(run.written if stream is None else stream.keep())
            raise
    run.print_result()
    warn_if_empty(reports, options)
    return EXIT_OK


def _check_combination(*, streams: bool, merge_people: bool, is_limited: bool) -> None:
    """Raise InvalidValueError for an option that can't be combined with --checkpoint."""
    if merge_people:
        raise InvalidValueError(
            "--merge-people needs the whole list, so it can't be combined with --checkpoint", "Omit one of them."
        )
    if not streams:
        raise InvalidValueError(
            "--checkpoint works only with jsonl or csv on standard output",
            "Omit it, or use --format jsonl or csv, and no --output.",
        )
    if is_limited:
        raise InvalidValueError("--limit can't be combined with --checkpoint", "Omit one of them.")
