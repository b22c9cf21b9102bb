"""The command line: `plugchat chats`, `plugchat simulate`, `plugchat demo`. Data goes to stdout, all else to stderr."""

import asyncio
import os
import sys
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator, Sequence
from contextlib import aclosing, contextmanager
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TextIO

from cyclopts import App, CycloptsError, Parameter
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Column, Table
from rich.text import Text

from plugchat_async import (
    Chat,
    ConfigurationError,
    InvalidValueError,
    Page,
    PlugChatError,
    PlugChatSession,
    ServiceError,
    __version__,
)
from plugchat_async._formats import csv_header, to_csv, to_json
from plugchat_async.session import BASE_URL_VARIABLE, DEFAULT_BASE_URL, TOKEN_VARIABLE
from plugchat_async.testing import Fault, PlugChatSimulator

Format = Literal["table", "json", "jsonl", "csv"]

EXIT_OK: Final = 0
EXIT_LOCAL: Final = 1
EXIT_CONFIGURATION: Final = 2
EXIT_SERVICE: Final = 3
EXIT_ANSWER: Final = 4
# 128 + the signal's number, as shells report it.
EXIT_INTERRUPTED: Final = 130
EXIT_BROKEN_PIPE: Final = 141

_EXIT_CODES = (
    "Exit codes: 0 done; 1 the output can't be written; 2 the configuration or the command is wrong; "
    "3 the service or the network failed, try again later; 4 the service answered something unexpected; "
    "130 interrupted; 141 the reader of a pipe is gone."
)
_CHATS_EXAMPLES = (
    "Examples: `plugchat chats --limit 20`; `plugchat chats -o chats.csv`; `plugchat chats | jq -r .name`."
)

app = App(
    name="plugchat",
    help="All chats of a Plug Chat account.",
    version=__version__,
    help_epilogue=_EXIT_CODES,
    suppress_keyboard_interrupt=False,
    result_action="return_value",
)

TokenOption = Annotated[
    str | None,
    Parameter(
        env_var=TOKEN_VARIABLE,
        help="The account's token. Others on this machine can see a command's options: prefer the variable.",
    ),
]
FormatOption = Annotated[
    Format | None,
    Parameter(help="Default: what FILE ends in, else a table on a terminal and jsonl in a pipe."),
]
OutputOption = Annotated[
    Path | None,
    Parameter(name=["--output", "-o"], help="Write to this file, which appears whole or not at all."),
]


@app.command(help_epilogue=f"{_CHATS_EXAMPLES}\n\n{_EXIT_CODES}")
def chats(
    *,
    token: TokenOption = None,
    base_url: Annotated[str, Parameter(env_var=BASE_URL_VARIABLE, help="Where the service is.")] = DEFAULT_BASE_URL,
    page_size: Annotated[int, Parameter(help="Chats to ask for at a time.")] = 100,
    start_page: Annotated[int, Parameter(help="The page to begin with.")] = 1,
    limit: Annotated[int | None, Parameter(help="Chats to fetch at most; all without it.")] = None,
    format: FormatOption = None,  # noqa: A002 - the option's name
    output: OutputOption = None,
) -> int:
    """Fetch the account's chats, newest first."""
    style = format or _format_for(output)

    async def fetch() -> None:
        if token is None:
            raise InvalidValueError("there is no token", f"Set {TOKEN_VARIABLE}, or give --token.")
        async with PlugChatSession(token, base_url=base_url) as session:
            with _progress() as on_page, _opened(output) as out:
                walk = session.iter_chats(page_size, start_page=start_page, limit=limit, on_page=on_page)
                async with aclosing(walk):
                    await _write(style, walk, out)

    try:
        _run(fetch())
    except PlugChatError as error:
        # Of a file nothing is kept, of a stream all that went out: only then can a reader go on.
        _print_error(error, resumable=output is None and style in ("jsonl", "csv"))
        return _exit_code(error)
    except BrokenPipeError:
        raise
    except OSError as error:
        target = "to standard output" if output is None else output
        _complain(f"can't write {target}: {error.strerror}", "Check the folder, its permissions and the free space.")
        return EXIT_LOCAL
    return EXIT_OK


@app.command
def simulate(
    *,
    chats: Annotated[int, Parameter(help="How many chats the simulated account has.")] = 1000,
    seed: Annotated[int, Parameter(help="The same seed makes the same chats.")] = 0,
    port: Annotated[int, Parameter(help="Where to listen on loopback; 0 takes any free port.")] = 8765,
    latency: Annotated[float, Parameter(help="Seconds before each answer.")] = 0.0,
) -> int:
    """Serve a simulated account until Ctrl-C, to try code and commands against.

    It prints the variables to set in another terminal.
    """

    async def serve() -> None:
        async with PlugChatSimulator(chats, seed=seed, latency=latency, port=port) as sim:
            print(f"export {BASE_URL_VARIABLE}={sim.base_url}")
            print(f"export {TOKEN_VARIABLE}={sim.token}", flush=True)
            print(f"serving {chats} chats, Ctrl-C ends it", file=sys.stderr)
            await asyncio.Event().wait()

    try:
        _run(serve())
    except KeyboardInterrupt:
        return EXIT_OK  # the way to end it
    except OSError as error:
        _complain(f"can't listen on port {port}: {error.strerror}", "Choose another --port, or 0 for any.")
        return EXIT_LOCAL
    return EXIT_OK


@app.command
def demo(
    *,
    chats: Annotated[int, Parameter(help="How many chats the simulated account has.")] = 250,
    seed: Annotated[int, Parameter(help="The same seed makes the same chats.")] = 7,
    page_size: Annotated[int, Parameter(help="Chats to ask for at a time.")] = 100,
) -> int:
    """Fetch all chats of a simulated account inside this process: no token and no network needed.

    One of its requests is answered 503 on purpose, to show a retry.
    """

    async def fetch() -> list[Chat]:
        async with PlugChatSimulator(chats, seed=seed) as sim:
            sim.script(Fault.none(), Fault.status(503))
            async with PlugChatSession(sim.token, base_url=sim.base_url) as session:
                started = time.perf_counter()
                found = await session.list_chats(page_size)
                seconds = time.perf_counter() - started
            if found != list(sim.chats):
                raise AssertionError("the demo's chats are not the simulator's")
            _print_demo(sim, found, seconds)
        return found

    try:
        _run(fetch())
    except PlugChatError as error:
        _print_error(error, resumable=False)
        return _exit_code(error)
    return EXIT_OK


def run(arguments: Sequence[str]) -> int:
    """Run a command and give its exit code. Ctrl-C and a closed pipe end it without a traceback."""
    try:
        code = app(arguments, exit_on_error=False, print_error=True)
        sys.stdout.flush()  # here, where a closed pipe is still caught
    except CycloptsError:
        return EXIT_CONFIGURATION
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # Python flushes stdout once more at exit: let it flush into nothing.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_BROKEN_PIPE
    return code if isinstance(code, int) else EXIT_OK


def _run(main: Coroutine[Any, Any, object]) -> None:
    """Run a coroutine, on uvloop where the extra `speed` has brought it."""
    try:
        import uvloop  # noqa: PLC0415 - the extra may be missing
    except ModuleNotFoundError:
        asyncio.run(main)
    else:
        uvloop.run(main)


def _exit_code(error: PlugChatError) -> int:
    match error:
        case ConfigurationError():
            return EXIT_CONFIGURATION
        case ServiceError():
            return EXIT_SERVICE
        case _:
            return EXIT_ANSWER


def _complain(what_happened: str, hint: str) -> None:
    """Say on stderr what happened and what to do."""
    console = Console(stderr=True, soft_wrap=True, highlight=False)
    console.print(Text.assemble(("error: ", "bold red"), what_happened))
    console.print(Text.assemble(("what to do: ", "bold"), hint))


def _print_error(error: PlugChatError, *, resumable: bool) -> None:
    going_on = ""
    if resumable and error.page is not None and error.page > 1:
        going_on = f" What was written is good; go on with --start-page {error.page} --page-size {error.page_size}."
    _complain(error.what_happened, error.hint + going_on)


def _format_for(output: Path | None) -> Format:
    if output is None:
        return "table" if sys.stdout.isatty() else "jsonl"
    by_suffix: dict[str, Format] = {".json": "json", ".csv": "csv", ".txt": "table"}
    return by_suffix.get(output.suffix.lower(), "jsonl")


@contextmanager
def _opened(output: Path | None) -> Generator[TextIO]:
    """Give stdout, or a file that takes its name only when it is complete."""
    if output is None:
        yield sys.stdout
        return
    beside = output.with_name(f".{output.name}.{os.getpid()}.part")
    try:
        with beside.open("w", encoding="utf-8", newline="") as file:
            yield file
        beside.replace(output)
    finally:
        beside.unlink(missing_ok=True)


@contextmanager
def _progress() -> Generator[Callable[[Page], object] | None]:
    """Show pages, chats and rate on stderr while a walk runs, if that is a terminal."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield None
        return
    columns = (
        SpinnerColumn(),
        TextColumn("{task.fields[pages]} pages, {task.completed:.0f} chats, {task.fields[rate]:,.0f} chats/s"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True) as display:
        task_id = display.add_task("", total=None, pages=0, rate=0.0)
        task = display.tasks[0]

        def on_page(page: Page) -> None:
            seen = task.completed + len(page.chats)
            rate = seen / elapsed if (elapsed := task.elapsed) else 0.0
            display.update(task_id, completed=seen, pages=task.fields["pages"] + 1, rate=rate)

        yield on_page


async def _write(style: Format, walk: AsyncGenerator[Chat, None], out: TextIO) -> None:
    match style:
        case "jsonl":
            async for chat in walk:
                out.write(to_json(chat) + "\n")
        case "csv":
            out.write(csv_header() + "\n")
            async for chat in walk:
                out.write(to_csv(chat) + "\n")
        case "json":
            # Whole or not at all: half an array is no JSON.
            lines = [to_json(chat) async for chat in walk]
            out.write("[\n" + ",\n".join(lines) + "\n]\n" if lines else "[]\n")
        case "table":
            found = [chat async for chat in walk]
            # Without a terminal to fit into, rows stay whole.
            Console(file=out, width=None if out.isatty() else 160).print(_table(found))


def _table(found: Sequence[Chat]) -> Table:
    table = Table(
        "name",
        Column("phone", no_wrap=True),
        Column("unread", justify="right", no_wrap=True),
        Column("last message", no_wrap=True),
        Column("flags", no_wrap=True),
        caption="Times are in UTC.",
    )
    for chat in found:
        time_ = chat.last_message_time
        # Text, not str: a name in brackets is no markup.
        table.add_row(
            Text(_printable(chat.name or "")),
            Text(_printable(chat.phone)),
            str(chat.unread),
            "" if time_ is None else f"{time_:%Y-%m-%d %H:%M}",
            " ".join(flag for flag, on in (("muted", chat.is_muted), ("spam", chat.is_marked_spam)) if on),
        )
    return table


def _printable(text: str) -> str:
    """Take out what would steer a terminal: a name is another person's text. Joiners, as in emoji, stay."""
    return "".join(c if c.isprintable() or c in "\u200d\ufe0f" else "\ufffd" for c in text)


def _print_demo(sim: PlugChatSimulator, found: Sequence[Chat], seconds: float) -> None:
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"A simulated account with {len(sim.chats)} chats at {sim.base_url}. What was asked for:")
    for number, request in enumerate(sim.requests, 1):
        scripted = " (answered 503 on purpose, then retried)" if number == 2 else ""
        console.print(f"  {request.method} {request.path}?page={request.page}&pageSize={request.page_size}{scripted}")
    console.print(_table(found[:10]))
    unread = sum(chat.unread for chat in found)
    console.print(
        f"{len(found)} chats, {unread} unread messages, {len(sim.requests)} requests, {seconds:.2f} s. "
        "The table shows the newest ten."
    )
    console.print(f"With a token of your own: {TOKEN_VARIABLE}=... plugchat chats")
