"""One run of a command that lists something: the walk, the output, and what is said about it on stderr."""

import sys
from collections.abc import AsyncGenerator, AsyncIterable, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any, Final

from attrs import define, field

from plugchat_async import CHATS, Call, Chat, PlugChatSession, WalkOptions, WalkReport
from plugchat_async._internal.files import appears_whole
from plugchat_async._items import noun_of
from plugchat_async.cli.chat_filter import ChatFilter, filtered
from plugchat_async.cli.output import CHAT_COLUMNS, Columns, OutputStyle, write_chats
from plugchat_async.cli.problems import ProblemCollector, print_problems
from plugchat_async.cli.progress import LiveLine, walk_progress
from plugchat_async.cli.stream import ChatStream
from plugchat_async.cli.terminal import printable, tell, warn
from plugchat_async.export.people import merge_people

# What a signal leaves of an output that is complete or not there, and of one that is not.
_NOTHING_WRITTEN: Final = "nothing was written. Run the same command again."
_INCOMPLETE: Final = "the output is not complete. Run the same command again."


@define
class ListRun:
    """One run of the command.

    Attributes:
        written: What has been written when a signal comes, and how to go on; of chats that go out while they come, the
            stream says it.
    """

    _session: PlugChatSession
    _options: WalkOptions
    _page_size: int
    _style: OutputStyle
    _output: Path | None
    _call: Call[Any] = CHATS
    _columns: Columns = CHAT_COLUMNS
    _wanted: ChatFilter = field(factory=ChatFilter, alias="wanted")
    _merge_people: bool = field(default=False, alias="merge_people")
    written: str = field(init=False, default=_NOTHING_WRITTEN)

    async def fetch(self, stream: ChatStream | None = None) -> None:
        """Write the list into the stream, if there is one, else into the output."""
        async with self._session:
            with walk_progress(self._noun) as line:
                options: WalkOptions = {**self._options, "on_page": line.on_page}
                async with self._session.walk(self._call, self._page_size, **options) as walk:
                    if stream is not None:
                        await stream.write(walk, line)
                    else:
                        await self._write(walk, line)

    async def _write(self, walk: AsyncIterable[Any], line: LiveLine) -> None:
        is_whole = self._output is not None and appears_whole(self._output)
        if self._output is not None and not is_whole:
            self.written = _INCOMPLETE

        def begin_output() -> None:
            line.close()
            if not is_whole:
                self.written = _INCOMPLETE

        async with aclosing(filtered(_merged(walk) if self._merge_people else walk, self._wanted)) as found:
            await write_chats(self._style, found, self._output, when_read=begin_output, columns=self._columns)
        sys.stdout.flush()
        self.written = f"all {self._noun}s were written."

    def print_result(self) -> None:
        """Print on stderr how many items are in the file, and whether none matched."""
        wanted = self._wanted
        if self._output is not None:
            tell(f"wrote {self._counted(wanted.found)} to {printable(str(self._output))}\n")
        if wanted.is_active and wanted.seen and not wanted.found:
            tell(f"none of the {self._counted(wanted.seen)} matches\n")

    def _counted(self, count: int) -> str:
        return f"{count} {self._noun}" if count == 1 else f"{count} {self._noun}s"

    @property
    def _noun(self) -> str:
        item: Any = self._call.item
        return noun_of(item)


async def _merged(walk: AsyncIterable[Chat]) -> AsyncGenerator[Chat, None]:
    """Yield one chat for each person, after the whole walk."""
    for person in merge_people([chat async for chat in walk]):
        yield person


def print_reports(reports: Sequence[WalkReport], problems: ProblemCollector, *, report: bool) -> None:
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


def warn_if_empty(reports: Sequence[WalkReport], options: WalkOptions) -> None:
    """Warn on stderr if a walk from the beginning found nothing: it may not be known if the phone is connected."""
    from_beginning = options.get("resume") is None and options.get("start_page") == 1
    for report in reports:
        if from_beginning and report.requests and not report.chats:
            # Verified means that the gateway says so: else the error would have said that it is not.
            connected = "the phone is connected" if report.verified else "see `plugchat status`"
            warn(f"the list is empty: {connected}")
