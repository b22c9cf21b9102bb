"""`plugchat watch`: print changes of an account's chats as they happen."""

import sys
import time
from collections.abc import Callable
from contextlib import aclosing, nullcontext
from datetime import datetime
from pathlib import Path
from typing import Annotated, Final, Literal

from cyclopts import Parameter

from plugchat_async import (
    FOREVER,
    Chat,
    ChatAdded,
    ChatChanged,
    ChatEvent,
    InvalidValueError,
    NotConnectedError,
    Outage,
    OutputError,
    PlugChatSession,
    WatchOptions,
    WatchState,
)
from plugchat_async._http.urls import DEFAULT_BASE_URL
from plugchat_async.cli.connection import Connection, ConnectionOption
from plugchat_async.cli.line_output import LineOutput
from plugchat_async.cli.log import be_verbose
from plugchat_async.cli.options import (
    EXIT_OK,
    BaseURLOption,
    IntOption,
    NoSyncOption,
    OnBadValueOption,
    PageSizeOption,
    TokenOption,
    require_token,
)
from plugchat_async.cli.problems import ProblemCollector, collect_problems
from plugchat_async.cli.progress import waiting
from plugchat_async.cli.signals import is_ctrl_c, run_async, shielded
from plugchat_async.cli.terminal import escape_json, marked_line, tell, warn
from plugchat_async.export.csv_and_json import event_to_json

# Within a poll, the state is saved again after this many times the duration of the last save.
_SAVE_PAUSE: Final = 20

# How the line of an event begins.
_EVENT: Final = b'{"event":'

WATCH_EXAMPLES: Final = (
    "Examples: `plugchat watch`; `plugchat watch --state watch.state >> events.jsonl`; "
    "from cron: `plugchat watch --state watch.state --max-polls 1`."
)


def watch(
    *,
    token: TokenOption = None,
    base_url: BaseURLOption = DEFAULT_BASE_URL,
    interval: Annotated[float, Parameter(help="Seconds between polls.")] = 30.0,
    page_size: PageSizeOption = 100,
    full_scan_interval: Annotated[float, Parameter(help="Seconds between full scans of the list.")] = 600.0,
    state: Annotated[
        Path | None,
        Parameter(
            help="Keep the state in this file, and continue from it next time. No event is printed twice, unless the "
            "process is killed by SIGKILL, or the reader of its pipe ends before it."
        ),
    ] = None,
    account: Annotated[
        str | None,
        Parameter(
            help="A name of your own for the account. A state can only be used for the account that it is of, which is "
            "recognised by its token; if the token changes, pass a name, each time the same."
        ),
    ] = None,
    emit_existing: Annotated[bool, Parameter(negative=(), help="Print the existing chats as added first.")] = False,
    no_sync: NoSyncOption = False,
    max_polls: Annotated[IntOption | None, Parameter(help="Number of polls. Default: until Ctrl-C.")] = None,
    on_bad_value: OnBadValueOption = "warn",
    format: Annotated[  # noqa: A002 - the option's name
        Literal["text", "jsonl"] | None, Parameter(help="Default: text on a terminal, jsonl in a pipe.")
    ] = None,
    connection: ConnectionOption = Connection(),  # noqa: B008 - frozen
) -> int:
    """Print added, changed and removed chats of the account as it happens, until Ctrl-C.

    During an outage it keeps polling, and prints a warning on stderr. In a pipe, each line is a JSON object.
    """
    be_verbose(connection.verbose)
    if account is not None and state is None:
        raise InvalidValueError("--account is for --state only", "Add --state FILE, or omit --account.")
    session = PlugChatSession(require_token(token), **connection.session_options(base_url, on_bad_value))
    as_text = format == "text" or (format is None and sys.stdout.isatty())
    # Locked before it is read: another process may be writing to it.
    with nullcontext(WatchState()) if state is None else WatchState.locked(state) as known:
        options = WatchOptions(
            interval=interval,
            page_size=page_size,
            full_scan_interval=full_scan_interval,
            state=known,
            emit_existing=emit_existing,
            max_polls=max_polls,
            account=account,
            on_outage=_tell_what_to_do,
        )
        line_of = _line if as_text else _json_line
        printer = _EventPrinter(known, state, line_of, sync=not no_sync)
        return _print_events(session, options, printer, saved=state is not None)


class _EventPrinter:
    """Prints the events of a watch, and keeps its state in a file, if there is one: never ahead of what is printed."""

    def __init__(
        self, known: WatchState, path: Path | None, line_of: Callable[[ChatEvent], str], *, sync: bool
    ) -> None:
        if path is not None:
            known.save(path, sync=sync)  # fail now if the file can't be written, not after the first event
        self._known = known
        self._path = path
        self._line_of = line_of
        self._sync = sync
        self._output = LineOutput()
        if path is not None and (cut := self._output.end_half_line(_EVENT)):
            warn(f"the last {cut} bytes of the output were cut: half of an event that comes again")
        self._saved_place = self._output.place
        self._printed = True
        self._saved_at = self._save_duration = 0.0

    async def print_events(self, session: PlugChatSession, options: WatchOptions) -> None:
        """Print events until the watch ends."""
        with waiting("reading the list of chats") as line:

            def on_poll(state: WatchState) -> None:
                line.close()
                self.save(state)  # it also changes without an event

            wanted: WatchOptions = {**options, "on_poll": on_poll}
            async with session, aclosing(session.watch_chats(**wanted)) as events:
                if options.get("max_polls") is None or sys.stderr.isatty():  # not in a mail of cron
                    interval = options.get("interval")
                    tell(f"watching {session.base_url}: a poll every {interval:g} s; press Ctrl-C to stop\n")
                async for event in events:
                    line.close()
                    self._printed = False
                    self._output.write([self._line_of(event)])
                    self._printed = True
                    # For thousands of events at once, saving after each would take most of the time.
                    if time.monotonic() - self._saved_at >= _SAVE_PAUSE * self._save_duration:
                        self.save()

    def save(self, _: WatchState | None = None) -> None:
        """Save the state. If an event could not be printed, the state contains it; the last saved one does not."""
        if self._path is None:
            return
        if not self._printed:
            self._take_back()
            return
        started = time.monotonic()
        with shielded():
            try:
                if self._sync:  # a loss of power must not take events that the state covers
                    self._output.sync()
                self._known.save(self._path, sync=self._sync)
            except OutputError:
                self._take_back()
                raise
            self._saved_place = self._output.place
        self._saved_at = time.monotonic()
        self._save_duration = self._saved_at - started

    def _take_back(self) -> None:
        """Cut from a file the events that the saved state does not cover: they come again."""
        if self._output.place is not None and self._saved_place is not None:
            self._printed = False  # from now on, the state has events that are not in the file
            self._output.cut(self._saved_place)


def _print_events(session: PlugChatSession, options: WatchOptions, printer: _EventPrinter, *, saved: bool) -> int:
    """Print events until the watch ends, and save its state. Return the exit code."""
    try:
        with collect_problems(ProblemCollector(_warn_of_changes())):
            run_async(printer.print_events(session, options))
    except KeyboardInterrupt as stop:
        if not is_ctrl_c(stop):  # which is the normal end
            stop.add_note(
                "run the same command again to resume"
                if saved
                else "what happens now is not printed later; with --state FILE it is"
            )
            raise
    finally:
        printer.save()
    return EXIT_OK


def _tell_what_to_do(outage: Outage) -> None:
    """Say once in an outage what to do about it, if it is for the user to do: other ones pass."""
    if outage.failures == 1 and isinstance(outage.error, NotConnectedError):
        tell(marked_line("what to do:", "bold", outage.error.hint, sys.stderr))


def _warn_of_changes() -> Callable[[str], None]:
    """Return a function that warns of a value that could not be read, unless the last warning was the same."""
    last = ""

    def warn_once(problem: str) -> None:
        nonlocal last
        if problem != last:
            last = problem
            warn(f"a value could not be read: {problem}")

    return warn_once


def _json_line(event: ChatEvent) -> str:
    text = event_to_json(event)
    return (escape_json(text) if sys.stdout.isatty() else text) + "\n"


def _line(event: ChatEvent) -> str:
    """Return an event as a line of text, with the local time."""
    chat = event.chat
    prefix = f"{datetime.now().astimezone():%H:%M:%S}  {chat.name or chat.id}"
    match event:
        case ChatAdded():
            return marked_line("+", "bold green", f"{prefix}: new, {chat.unread} unread", sys.stdout)
        case ChatChanged(old, new, fields):
            changes = ", ".join(_change(old, new, name) for name in fields)
            return marked_line("~", "bold yellow", f"{prefix}: {changes}", sys.stdout)
        case _:
            return marked_line("-", "bold red", f"{prefix}: removed", sys.stdout)


def _change(old: Chat, new: Chat, name: str) -> str:
    match name:
        case "last_message_time":
            time = new.last_message_time
            return f"last message {'unknown' if time is None else f'{time:%Y-%m-%d %H:%M:%S} UTC'}"
        case "muted_until":
            end = new.muted_until
            if end == FOREVER:
                return "muted forever"
            return "no end date for muting" if end is None else f"muted until {end:%Y-%m-%d %H:%M:%S} UTC"
        case "profile_thumbnail":
            return "picture changed"  # the URLs are too long
        case _ if name in _FLAG_WORDS:
            return _FLAG_WORDS[name][getattr(new, name)]
        case _:
            return _difference(name.replace("_", " "), getattr(old, name), getattr(new, name))


# The words for a flag that is now set, not set, or unknown.
_FLAG_WORDS: Final[dict[str, dict[bool | None, str]]] = {
    "is_muted": {True: "muted", False: "not muted"},
    "is_marked_spam": {True: "marked as spam", False: "not marked as spam"},
    "is_pinned": {True: "pinned", False: "not pinned", None: "not known whether pinned"},
    "is_archived": {True: "archived", False: "not archived", None: "not known whether archived"},
    "is_group": {True: "a group", False: "not a group", None: "not known whether a group"},
    "is_group_announcement": {
        True: "only admins can write",
        False: "everybody can write",
        None: "not known who can write",
    },
}


def _difference(label: str, old: object, new: object) -> str:
    if new is None:
        return f"no {label}"
    return f"{label} {new}" if old is None else f"{label} {old} → {new}"
