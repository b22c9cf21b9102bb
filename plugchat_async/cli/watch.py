"""`plugchat watch`: what happens to an account's chats, printed as it happens."""

import signal
import sys
import time
from collections.abc import Callable, Generator
from contextlib import aclosing, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Annotated, Final, Literal

from cyclopts import Parameter

from plugchat_async import FOREVER, Chat, ChatAdded, ChatChanged, ChatEvent, PlugChatSession, WatchState
from plugchat_async._http.urls import DEFAULT_BASE_URL
from plugchat_async.cli.options import (
    EXIT_OK,
    BaseURLOption,
    OnBadValueOption,
    PageSizeOption,
    TokenOption,
    Whole,
    needed,
    run_async,
)
from plugchat_async.cli.output import escaped_json, marked, warn
from plugchat_async.cli.problems import ProblemNotes, kept_problems
from plugchat_async.export.rows import event_to_json

# How many times as long as saving takes is waited before it is saved again, within a look.
_SAVING: Final = 20

WATCH_EXAMPLES: Final = (
    "Examples: `plugchat watch`; `plugchat watch --state watch.state >> events.jsonl`; "
    "from cron: `plugchat watch --state watch.state --looks 1`."
)


def watch(
    *,
    token: TokenOption = None,
    base_url: BaseURLOption = DEFAULT_BASE_URL,
    interval: Annotated[float, Parameter(help="Seconds from one look to the next.")] = 30.0,
    page_size: PageSizeOption = 100,
    full_scan_interval: Annotated[float, Parameter(help="Seconds after which the whole list is read again.")] = 600.0,
    state: Annotated[
        Path | None,
        Parameter(
            help="Keep in this file what is known, and go on from there next time. Unless killed, nothing comes twice."
        ),
    ] = None,
    emit_existing: Annotated[bool, Parameter(negative=(), help="Begin with the chats that are there.")] = False,
    max_polls: Annotated[Whole | None, Parameter(help="How many times to look; without it, until Ctrl-C.")] = None,
    on_bad_value: OnBadValueOption = "warn",
    format: Annotated[  # noqa: A002 - the option's name
        Literal["text", "jsonl"] | None, Parameter(help="Default: text on a terminal, jsonl in a pipe.")
    ] = None,
) -> int:
    """Print what happens to the account's chats: added, changed and removed ones, as it happens, until Ctrl-C.

    An outage is waited for, and told on stderr. A pipe gets a JSON object on each line.
    """
    session = PlugChatSession(needed(token), base_url=base_url or DEFAULT_BASE_URL, on_bad_value=on_bad_value)
    known = WatchState() if state is None else WatchState.load(state)
    if state is not None:
        known.save(state)  # a file that can't be written is known now, not after the first event
    as_text = format == "text" or (format is None and sys.stdout.isatty())

    saved = 0.0  # when, and how long it took
    took = 0.0
    dealt_with = True

    def save(_: WatchState) -> None:
        nonlocal saved, took
        if state is not None:
            started = time.monotonic()
            known.save(state)
            saved = time.monotonic()
            took = saved - started

    async def show() -> None:
        nonlocal dealt_with
        async with (
            session,
            aclosing(
                session.watch_chats(
                    interval=interval,
                    page_size=page_size,
                    full_scan_interval=full_scan_interval,
                    state=known,
                    emit_existing=emit_existing,
                    max_polls=max_polls,
                    on_poll=save,  # what was learnt without an event, too
                )
            ) as events,
        ):
            async for event in events:
                dealt_with = False
                sys.stdout.write(_line(event) if as_text else _json_line(event))
                sys.stdout.flush()  # who reads along wants it now; and only what went out is known
                dealt_with = True
                # Of thousands of events at once, saving after each would take most of the time.
                if time.monotonic() - saved >= _SAVING * took:
                    save(known)

    try:
        with _ended_by_sigterm(), kept_problems(ProblemNotes(_each_once())):
            run_async(show())
    except KeyboardInterrupt:
        return EXIT_OK  # the way to end it
    finally:
        # The state holds the event that could not be printed: the one that was saved before does not.
        if dealt_with:
            save(known)
    return EXIT_OK


def _each_once() -> Callable[[str], None]:
    """Give what warns of a walk's first value that could not be read, unless the walk before had the same one."""
    told = ""

    def tell(problem: str) -> None:
        nonlocal told
        if problem != told:
            told = problem
            warn(f"a value could not be read: {problem}")

    return tell


@contextmanager
def _ended_by_sigterm() -> Generator[None]:
    """Take SIGTERM, with which services are stopped, for Ctrl-C."""

    def interrupt(_signal: int, _frame: object) -> None:
        signal.raise_signal(signal.SIGINT)

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _json_line(event: ChatEvent) -> str:
    text = event_to_json(event)
    return (escaped_json(text) if sys.stdout.isatty() else text) + "\n"


def _line(event: ChatEvent) -> str:
    """Tell an event in a line, with the time of this machine."""
    chat = event.chat
    who = f"{datetime.now().astimezone():%H:%M:%S}  {chat.name or chat.id}"
    match event:
        case ChatAdded():
            return marked("+", "bold green", f"{who}: new, {chat.unread} unread", sys.stdout)
        case ChatChanged(old, new, fields):
            changes = ", ".join(_change(old, new, name) for name in fields)
            return marked("~", "bold yellow", f"{who}: {changes}", sys.stdout)
        case _:
            return marked("-", "bold red", f"{who}: removed", sys.stdout)


def _change(old: Chat, new: Chat, name: str) -> str:
    match name:
        case "last_message_time":
            time = new.last_message_time
            return f"last message {'unknown' if time is None else f'{time:%Y-%m-%d %H:%M:%S} UTC'}"
        case "muted_until":
            end = new.muted_until
            if end == FOREVER:
                return "muted for ever"
            return "no end date for muting" if end is None else f"muted until {end:%Y-%m-%d %H:%M:%S} UTC"
        case "profile_thumbnail":
            return "picture changed"  # the URLs would fill the screen
        case _ if name in _FLAG_WORDS:
            return _FLAG_WORDS[name][getattr(new, name)]
        case _:
            return _difference(name.replace("_", " "), getattr(old, name), getattr(new, name))


# What is said of a flag that is now set, not set, or not known.
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
