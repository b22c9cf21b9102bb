"""Chats on standard output as lines, page by page while the walk runs, with the checkpoint that covers them."""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from plugchat_async import Chat, ConsistencyError, OutputError, PlugChatError
from plugchat_async._pagination.chat_walk import ChatWalk
from plugchat_async._pagination.walk_state import Consistency, WalkConfig
from plugchat_async.cli.chat_filter import ChatFilter
from plugchat_async.cli.checkpoint import CheckpointFile, locked_checkpoint
from plugchat_async.cli.line_output import LineOutput
from plugchat_async.cli.output import LineFormat, header_line, line_maker
from plugchat_async.cli.progress import LiveLine
from plugchat_async.cli.signals import shielded


class ChatStream:
    """The lines of a walk's chats on stdout. Make one with `open_stream`.

    Attributes:
        chats: The number of chats that have gone out.
    """

    def __init__(
        self,
        style: LineFormat,
        output: LineOutput,
        file: CheckpointFile | None,
        wanted: ChatFilter,
        asked: WalkConfig,
    ) -> None:
        self.chats = 0
        self._passed = 0
        self._style: LineFormat = style
        self._output = output
        self._file = file
        self._wanted = wanted
        self._asked = asked
        self._walk: ChatWalk | None = None

    @property
    def resume(self) -> str | None:
        """The checkpoint to resume the walk with, None to start it."""
        return None if self._file is None else self._file.resume

    async def write(self, walk: ChatWalk, line: LiveLine) -> None:
        """Write the chats of a walk. Where the checkpoint can't be saved, nothing is requested.

        Args:
            walk: The walk.
            line: The live line to hide while chats go out.

        Raises:
            OSError: Standard output can't be written.
            OutputError: The checkpoint can't be saved.
            PlugChatError: The walk has failed.
        """
        self._walk = walk
        wanted = self._wanted
        line_of = line_maker(self._style, terminal=self._output.is_terminal)
        goes_on = self._file is not None and self._file.begun and not self._output.is_empty_file
        head = [] if self._style == "jsonl" or goes_on else [header_line(self._style)]
        if self._file is not None:
            self._file.save(walk)
            self._file.tell_resumed(self._asked)
        more = not wanted.is_done
        if not more:
            self._output.write(head)
        while more:
            chats: tuple[Chat, ...] = ()
            places: list[int] = []
            self._output.written = 0
            try:
                with shielded():  # the walk takes a page for yielded before its chats are here
                    page = await walk.next_page()
                    more = page is not None
                    chats = () if page is None else page.chats
                    places = [i for i, chat in enumerate(chats) if not wanted.is_done and wanted.matches(chat)]
                with line.hidden():
                    self._output.write([*head, *(line_of(chats[place]) for place in places)])
            finally:
                out = max(0, self._output.written - len(head))
                self.chats += out
                passed = places[out] if out < len(places) else len(chats)
                self._passed += passed
                if passed < len(chats):
                    walk.put_back(chats[passed:])
                if self._file is not None and self._output.written:
                    self._file.begun = True
                    self._file.lines = None if self._file.lines is None else self._file.lines + out
            head = []
            more = more and not wanted.is_done
            if self._file is not None and more:
                self._file.save_if_due(walk)

    def end(self) -> None:
        """Remove the checkpoint of a walk that has reached the end of the list.

        Raises:
            OutputError: It can't be removed.
        """
        if self._file is not None:
            self._file.remove()

    def keep(self) -> str:
        """Save the checkpoint of a walk that has not reached the end. Return what was written, and how to go on."""
        written = f"{self.chats} chats were written"
        if self._file is None:
            return f"{written}; with --checkpoint FILE, a run can be resumed."
        try:
            if not self._can_resume:
                self._file.remove()
                return "nothing was written. Run the same command again."
            if self._walk is not None:  # else the checkpoint is as it was
                self._file.save(self._walk, running=False)
        except OutputError as problem:
            return f"{written}, but the checkpoint could not be saved: {problem.message}."
        return f"{written}. Run the same command again to resume."

    @property
    def _can_resume(self) -> bool:
        """Whether a checkpoint saves something: lines that went out, or chats that were read and are not wanted."""
        return self._file is not None and (self._file.begun or self._file.resume is not None or self._passed > 0)

    def keep_after(self, error: PlugChatError, consistency: Consistency) -> str:
        """Do the same after an error of the walk, and return a hint how to resume it, perhaps ""."""
        if isinstance(error, ConsistencyError):
            self.end()  # all chats were written
            return ""
        if self._walk is None:
            return ""
        if self._file is not None:
            kept = self.keep()
            return f"{kept[0].upper()}{kept[1:]}" if self._can_resume else ""
        if error.page is None or error.page == 1:
            return ""
        if consistency == "plain":
            return (
                "The chats written so far are valid; to resume, use "
                f"--consistency plain --start-page {error.page} --page-size {error.page_size}."
            )
        return "The chats written so far are valid; with --checkpoint FILE, a failed run can be resumed."


@contextmanager
def open_stream(
    style: LineFormat, checkpoint: Path | None, wanted: ChatFilter, asked: WalkConfig, *, sync: bool
) -> Generator[ChatStream]:
    """Open stdout for the lines of a walk, and lock and read the checkpoint.

    Args:
        style: The format.
        checkpoint: The file of `--checkpoint`, if given.
        wanted: The chats to write.
        asked: How to read the list, unless an earlier run goes on.
        sync: Whether to flush the lines to the disk before the checkpoint that covers them.

    Raises:
        InvalidValueError: The checkpoint can't be read, is in use, or does not belong to this output.
    """
    output = LineOutput()
    if checkpoint is None:
        yield ChatStream(style, output, None, wanted, asked)
        return
    with locked_checkpoint(checkpoint, style, output, wanted.options, sync=sync) as file:
        yield ChatStream(style, output, file, wanted, asked)
