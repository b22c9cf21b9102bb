"""`plugchat contacts` and `plugchat pending`: the vendor's other lists, with the options and formats of `chats`."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

from attrs import frozen
from cyclopts import Parameter
from rich.table import Column, Table
from rich.text import Text

from plugchat_async import (
    CONTACTS,
    PENDING_CHATS,
    Call,
    Contact,
    PendingChat,
    PlugChatError,
    PlugChatSession,
    WalkOptions,
    WalkReport,
)
from plugchat_async._http.urls import DEFAULT_BASE_URL
from plugchat_async._pagination.walk_state import Consistency
from plugchat_async.cli.connection import Connection, ConnectionOption
from plugchat_async.cli.list_run import ListRun, print_reports, warn_if_empty
from plugchat_async.cli.log import be_verbose
from plugchat_async.cli.options import (
    EXIT_OK,
    BaseURLOption,
    CsvOption,
    IntOption,
    MaxPageSizeOption,
    OnBadValueOption,
    PrefetchOption,
    RequireVerifiedOption,
    TokenOption,
    require_token,
)
from plugchat_async.cli.output import Columns, OutputFormat, choose_format, id_columns, message_table
from plugchat_async.cli.problems import ProblemCollector, collect_problems
from plugchat_async.cli.signals import run_async
from plugchat_async.cli.terminal import printable

CONTACTS_EXAMPLES: Final = (
    "Examples: `plugchat contacts`; `plugchat contacts -o contacts.csv`; `plugchat contacts | jq -r .phone`."
)
PENDING_EXAMPLES: Final = "Examples: `plugchat pending`; `plugchat pending -o pending.csv`; `plugchat pending | wc -l`."


@Parameter(name="*")
@frozen(kw_only=True)
class ListOptions:
    """The options of both commands."""

    token: TokenOption = None
    base_url: BaseURLOption = DEFAULT_BASE_URL
    page_size: Annotated[IntOption, Parameter(help="Items per request.")] = 100
    max_page_size: MaxPageSizeOption = 1000
    limit: Annotated[IntOption | None, Parameter(help="Maximum number of items; default: all.")] = None
    consistency: Annotated[
        Consistency | None,
        Parameter(
            help="exact: every item once while the list changes; strict: also if items leave it; plain: whatever the "
            "server sends. Default: exact for contacts, strict for pending."
        ),
    ] = None
    prefetch: PrefetchOption = 0
    require_verified: RequireVerifiedOption = False
    on_bad_value: OnBadValueOption = "warn"
    report: Annotated[bool, Parameter(negative=(), help="Print a summary of the walk on stderr.")] = False
    format: Annotated[
        OutputFormat | None,
        Parameter(help="Default: by the suffix of --output; else table on a terminal and jsonl in a pipe."),
    ] = None
    csv: CsvOption = "rfc4180"
    output: Annotated[
        Path | None,
        Parameter(name=["--output", "-o"], help="Write to this file, which appears complete or not at all."),
    ] = None


_DEFAULTS: Final = ListOptions()


def contacts(
    *,
    options: ListOptions = _DEFAULTS,
    connection: ConnectionOption = Connection(),  # noqa: B008 - frozen
) -> int:
    """Fetch the account's contacts, in the service's order."""
    return _write_list(CONTACTS, contacts_table, options, connection)


def pending(
    *,
    options: ListOptions = _DEFAULTS,
    connection: ConnectionOption = Connection(),  # noqa: B008 - frozen
) -> int:
    """Fetch the account's chats with unread messages, in the service's order."""
    return _write_list(PENDING_CHATS, pending_table, options, connection)


def _write_list(
    call: Call[Any], table: Callable[[Sequence[Any]], Table], options: ListOptions, connection: Connection
) -> int:
    be_verbose(connection.verbose)
    token = require_token(options.token)
    style = choose_format(options.format, options.output, options.csv)
    session = PlugChatSession(token, **connection.session_options(options.base_url, options.on_bad_value))
    reports: list[WalkReport] = []
    problems = ProblemCollector()
    walk_options: WalkOptions = {
        "limit": options.limit,
        "max_page_size": options.max_page_size or None,
        "consistency": options.consistency or call.consistency,
        "prefetch": options.prefetch,
        "require_verified": options.require_verified,
        "on_report": reports.append,
        "start_page": 1,
    }
    columns = Columns(call.item, table)
    run = ListRun(session, walk_options, options.page_size, style, options.output, call, columns)
    try:
        try:
            with collect_problems(problems):
                run_async(run.fetch())
        finally:
            print_reports(reports, problems, report=options.report)  # after the display is removed
    except PlugChatError:  # some are also an OSError
        raise
    except (KeyboardInterrupt, OSError) as stop:
        stop.add_note(run.written)
        raise
    run.print_result()
    warn_if_empty(reports, walk_options)
    return EXIT_OK


def contacts_table(found: Sequence[Contact]) -> Table:
    """Return a table of contacts."""
    table = Table(
        *id_columns([contact.id for contact in found]),
        Column("own name", min_width=9, overflow="fold"),
        Column("vCard", min_width=9, overflow="fold"),
    )
    for contact in found:
        texts = (contact.name or contact.short, contact.id, contact.notify, contact.vname)
        # Text, not str: a name in brackets is not markup.
        table.add_row(*(Text(printable(text or "")) for text in texts))
    return table


def pending_table(found: Sequence[PendingChat]) -> Table:
    """Return a table of pending chats."""
    return message_table(found, [chat.unread_messages_count for chat in found], list(map(_flags_of, found)))


def _flags_of(chat: PendingChat) -> list[str]:
    flags = (("marked", chat.is_marked_as_unread), ("muted", chat.is_muted))
    return [name for name, on in flags if on]
