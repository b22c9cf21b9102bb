"""`plugchat chats`: all chats of an account."""

import sys
from collections.abc import AsyncGenerator, AsyncIterable, Sequence
from contextlib import aclosing, nullcontext
from pathlib import Path
from typing import Annotated, Final

from attrs import define, field
from cyclopts import Parameter

from plugchat_async import (
    Chat,
    InvalidValueError,
    PlugChatError,
    PlugChatSession,
    WalkOptions,
    WalkReport,
)
from plugchat_async._http.urls import DEFAULT_BASE_URL
from plugchat_async._internal.files import appears_whole
from plugchat_async._internal.validation import check_optional_int
from plugchat_async.cli.chat_filter import ChatFilter, filtered
from plugchat_async.cli.connection import Connection, ConnectionOption
from plugchat_async.cli.log import be_verbose
from plugchat_async.cli.options import (
    EXIT_OK,
    BaseURLOption,
    ConsistencyOption,
    IntOption,
    LimitOption,
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
from plugchat_async.cli.output import OutputFormat, choose_format, line_format, write_chats
from plugchat_async.cli.problems import ProblemCollector, collect_problems, print_problems
from plugchat_async.cli.progress import LiveLine, walk_progress
from plugchat_async.cli.signals import run_async
from plugchat_async.cli.stream import ChatStream, open_stream
from plugchat_async.cli.terminal import printable, tell, warn
from plugchat_async.export.people import merge_people as merge_rows

CHATS_EXAMPLES: Final = (
    "Examples: `plugchat chats --limit 20`; `plugchat chats --unread --people`; `plugchat chats --search ana`; "
    "`plugchat chats -o chats.csv`; `plugchat chats | jq -r .name`."
)

# What a signal leaves of an output that is complete or not there, and of one that is not.
_NOTHING_WRITTEN: Final = "nothing was written. Run the same command again."
_INCOMPLETE: Final = "the output is not complete. Run the same command again."


def chats(
    *,
    token: TokenOption = None,
    base_url: BaseURLOption = DEFAULT_BASE_URL,
    page_size: PageSizeOption = 100,
    max_page_size: MaxPageSizeOption = 1000,
    start_page: Annotated[IntOption, Parameter(help="The first page to fetch; only with --consistency plain.")] = 1,
    limit: LimitOption = None,
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
    style = choose_format(format, output)
    session = PlugChatSession(known_token, **connection.session_options(base_url, on_bad_value))
    check_optional_int("limit", limit, minimum=0)
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
    run = _Run(session, options, page_size, wanted, style, output, merge_people)
    opened = nullcontext() if line_style is None else open_stream(line_style, checkpoint, sync=not no_sync)
    with opened as stream:
        options["resume"] = None if stream is None else stream.resume
        try:
            try:
                with collect_problems(problems):
                    run_async(run.fetch(stream))
            finally:
                _print_reports(reports, problems, report=report)  # after the display is removed
            if stream is not None:
                stream.end()
        except PlugChatError as error:
            if stream is not None and (hint := stream.keep_after(error, consistency)):
                error.add_note(hint)
            raise
        except (KeyboardInterrupt, OSError) as stop:
            stop.add_note(run.written if stream is None else stream.keep())
            raise
    _print_result(wanted, output)
    _warn_if_empty(reports, options)
    return EXIT_OK


@define
class _Run:
    """One run of the command.

    Attributes:
        written: What has been written when a signal comes, and how to go on; of chats that go out while they come, the
            stream says it.
    """

    _session: PlugChatSession
    _options: WalkOptions
    _page_size: int
    _wanted: ChatFilter
    _style: OutputFormat
    _output: Path | None
    _merge_people: bool
    written: str = field(init=False, default=_NOTHING_WRITTEN)

    async def fetch(self, stream: ChatStream | None) -> None:
        """Write the chats into the stream, if there is one, else into the output."""
        async with self._session:
            with walk_progress() as line:
                options: WalkOptions = {**self._options, "on_page": line.on_page}
                async with self._session.walk_chats(self._page_size, **options) as walk:
                    if stream is not None:
                        await stream.write(walk, self._wanted, line)
                    else:
                        await self._write(walk, line)

    async def _write(self, walk: AsyncIterable[Chat], line: LiveLine) -> None:
        is_whole = self._output is not None and appears_whole(self._output)
        if self._output is not None and not is_whole:
            self.written = _INCOMPLETE

        def begin_output() -> None:
            line.close()
            if not is_whole:
                self.written = _INCOMPLETE

        async with aclosing(filtered(_merged(walk) if self._merge_people else walk, self._wanted)) as chats:
            await write_chats(self._style, chats, self._output, when_read=begin_output)
        sys.stdout.flush()
        self.written = "all chats were written."


def _print_result(wanted: ChatFilter, output: Path | None) -> None:
    """Print on stderr how many chats are in the file, and whether none matched."""
    if output is not None:
        tell(f"wrote {_counted(wanted.found)} to {printable(str(output))}\n")
    if wanted.is_active and wanted.seen and not wanted.found:
        tell(f"none of the {_counted(wanted.seen)} matches\n")


def _counted(chats: int) -> str:
    return "1 chat" if chats == 1 else f"{chats} chats"


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


async def _merged(walk: AsyncIterable[Chat]) -> AsyncGenerator[Chat, None]:
    """Yield one chat for each person, after the whole walk."""
    for person in merge_rows([chat async for chat in walk]):
        yield person


def _print_reports(reports: Sequence[WalkReport], problems: ProblemCollector, *, report: bool) -> None:
    """Print on stderr how many values could not be read in a walk that has ended, and with `report` a summary of it."""
    for finished in reports:
        print_problems(finished.problems, problems.first)
        if report:
            _print_report(finished)


def _print_report(report: WalkReport) -> None:
    """Print a summary of a walk on stderr."""
    verdict = "verified" if report.verified else f"not verified: {report.reason}"
    tell(
        f"report: rows read {report.chats}, pages {report.pages}, requests {report.requests}, passes {report.passes}, "
        f"duplicates skipped {report.duplicates}, recovered {report.recovered}, "
        f"values that could not be read {report.problems}, seconds {report.elapsed:.2f}; {verdict}\n"
    )


def _warn_if_empty(reports: Sequence[WalkReport], options: WalkOptions) -> None:
    """Warn on stderr if a walk from the beginning found no chats: it may not be known if the phone is connected."""
    from_beginning = options.get("resume") is None and options.get("start_page") == 1
    for report in reports:
        if from_beginning and report.requests and not report.chats:
            # Verified means that the gateway says so: else the error would have said that it is not.
            connected = "the phone is connected" if report.verified else "see `plugchat status`"
            warn(f"the list is empty: {connected}")
