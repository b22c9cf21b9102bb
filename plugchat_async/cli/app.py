"""The command line, `plugchat`, and its commands for one account. Data goes to stdout, all else to stderr."""

import io
import os
import sys
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import ExitStack, aclosing, suppress
from pathlib import Path
from typing import Annotated, Literal, cast

from cyclopts import App, CycloptsError, Parameter, UnusedCliTokensError

from plugchat_async import (
    Chat,
    ChatsOptions,
    InvalidValueError,
    PlugChatError,
    PlugChatSession,
    WalkReport,
    __version__,
)
from plugchat_async._http.urls import DEFAULT_BASE_URL
from plugchat_async.cli.bulk import BULK_EXAMPLES, bulk, spell_out_dask
from plugchat_async.cli.doctor import DOCTOR_EXAMPLES, doctor
from plugchat_async.cli.options import (
    EXIT_BROKEN_PIPE,
    EXIT_CODES,
    EXIT_CONFIGURATION,
    EXIT_INTERRUPTED,
    EXIT_LOCAL,
    EXIT_OK,
    BaseURLOption,
    ConsistencyOption,
    LimitOption,
    MergePeopleOption,
    OnBadValueOption,
    PageSizeOption,
    PrefetchOption,
    RequireVerifiedOption,
    TokenOption,
    Whole,
    exit_code_of,
    needed,
    run_async,
)
from plugchat_async.cli.output import (
    Format,
    complain,
    forget_checkpoint,
    going_on,
    print_error,
    print_report,
    read_checkpoint,
    style_for,
    warn,
    write_chats,
)
from plugchat_async.cli.problems import ProblemNotes, kept_problems, print_problems
from plugchat_async.cli.progress import progress
from plugchat_async.cli.simulate import DEMO_EXAMPLES, SIMULATE_EXAMPLES, demo, simulate
from plugchat_async.cli.status import STATUS_EXAMPLES, status
from plugchat_async.cli.watch import WATCH_EXAMPLES, watch
from plugchat_async.export.merge_people import merge_people as merge_rows

_CHATS_EXAMPLES = (
    "Examples: `plugchat chats --limit 20`; `plugchat chats -o chats.csv`; `plugchat chats | jq -r .name`."
)
_COMPLETION_EXAMPLES = (
    "Examples: `source <(plugchat completion bash)` in ~/.bashrc; "
    "`plugchat completion zsh > ~/.zfunc/_plugchat`, with ~/.zfunc in fpath; "
    "`plugchat completion fish > ~/.config/fish/completions/plugchat.fish`."
)

# cyclopts' script defines a function and leaves it at that. zsh autoloads it as the file's name, or it is sourced.
_ZSH_CALL = """
if [[ "${funcstack[1]}" == _plugchat ]]; then
  _cyclopts_plugchat "$@"
else
  compdef _cyclopts_plugchat plugchat
fi
"""

app = App(
    name="plugchat",
    help="All chats of a Plug Chat account.",
    version=__version__,
    help_epilogue=EXIT_CODES,
    suppress_keyboard_interrupt=False,
    result_action="return_value",
)


FormatOption = Annotated[
    Format | None,
    Parameter(help="Default: what the name of --output ends in, else a table on a terminal and jsonl in a pipe."),
]
OutputOption = Annotated[
    Path | None,
    Parameter(name=["--output", "-o"], help="Write to this file, which appears whole or not at all."),
]


@app.command(help_epilogue=f"{_CHATS_EXAMPLES}\n\n{EXIT_CODES}")
def chats(
    *,
    token: TokenOption = None,
    base_url: BaseURLOption = DEFAULT_BASE_URL,
    page_size: PageSizeOption = 100,
    start_page: Annotated[Whole, Parameter(help="The page to begin with; only with --consistency plain.")] = 1,
    limit: LimitOption = None,
    consistency: ConsistencyOption = "exact",
    prefetch: PrefetchOption = 0,
    require_verified: RequireVerifiedOption = False,
    on_bad_value: OnBadValueOption = "warn",
    merge_people: MergePeopleOption = False,
    report: Annotated[bool, Parameter(negative=(), help="Say on stderr what the walk did.")] = False,
    checkpoint: Annotated[
        Path | None,
        Parameter(
            help="If the walk fails, keep in this file where it was; if there is such a file, go on from there. "
            "For jsonl and csv, appended to one file with >>."
        ),
    ] = None,
    format: FormatOption = None,  # noqa: A002 - the option's name
    output: OutputOption = None,
) -> int:
    """Fetch the account's chats, in the service's order."""
    known_token = needed(token)
    style = style_for(format, output)
    session = PlugChatSession(known_token, base_url=base_url or DEFAULT_BASE_URL, on_bad_value=on_bad_value)
    streams = output is None and style in ("jsonl", "csv") and not merge_people
    if checkpoint is not None and merge_people:
        raise InvalidValueError(
            "--merge-people needs the whole list, of which a --checkpoint has a part", "Leave one of them out."
        )
    if checkpoint is not None and not streams:
        raise InvalidValueError(
            "--checkpoint is for lines that go to standard output: all else is written whole or not at all",
            "Leave it out, or use --format jsonl or csv, and no --output.",
        )
    if checkpoint is not None and limit is not None:
        raise InvalidValueError("--limit would begin anew behind a --checkpoint", "Leave one of them out.")
    resume = read_checkpoint(checkpoint)
    reports: list[WalkReport] = []
    notes = ProblemNotes()
    options: ChatsOptions = {
        "start_page": start_page,
        "limit": limit,
        "consistency": consistency,
        "prefetch": prefetch,
        "require_verified": require_verified,
        "resume": resume,
        "on_report": reports.append,
    }

    async def fetch() -> None:
        # A display and streamed lines would write over each other on one terminal.
        async with session:
            with ExitStack() as display:
                options["on_page"] = display.enter_context(progress(shown=not (streams and sys.stdout.isatty())))
                async with aclosing(session.iter_chats(page_size, **options)) as walk:
                    chats = _merged(walk, display.close) if merge_people else walk
                    await write_chats(style, chats, output, header=resume is None, when_read=display.close)

    try:
        try:
            with kept_problems(notes):
                run_async(fetch())
        finally:
            for ended in reports:  # when the display is gone
                print_problems(ended.problems, notes.first)
                if report:
                    print_report(ended)
    except PlugChatError as error:
        # Of a file nothing is kept, of a stream all that went out: only then can a reader go on.
        print_error(error, going_on(error, checkpoint, consistency) if streams else "")
        return exit_code_of(error)
    except KeyboardInterrupt:
        forget_checkpoint(checkpoint)  # more has gone out than it knows
        raise
    except OSError:  # stdout's: `run` knows what to say of it
        forget_checkpoint(checkpoint)
        raise
    sys.stdout.flush()
    _warn_if_empty(reports, options)
    forget_checkpoint(checkpoint)
    return EXIT_OK


def _warn_if_empty(reports: Sequence[WalkReport], options: ChatsOptions) -> None:
    """Say on stderr if a walk from the beginning found no chats: so it is while the phone is not connected."""
    from_beginning = options.get("resume") is None and options.get("start_page") == 1
    if from_beginning and any(report.requests and not report.chats for report in reports):
        warn("the list is empty: see `plugchat status`")


async def _merged(walk: AsyncGenerator[Chat, None], when_read: Callable[[], object]) -> AsyncGenerator[Chat, None]:
    """Give one chat for each person of a walk, when it has been read as a whole. `when_read` is called then."""
    people = merge_rows([chat async for chat in walk])
    when_read()
    for person in people:
        yield person


app.command(bulk, help_epilogue=f"{BULK_EXAMPLES}\n\n{EXIT_CODES}")
app.command(watch, help_epilogue=f"{WATCH_EXAMPLES}\n\n{EXIT_CODES}")
app.command(status, help_epilogue=f"{STATUS_EXAMPLES}\n\n{EXIT_CODES}")
app.command(doctor, help_epilogue=f"{DOCTOR_EXAMPLES}\n\n{EXIT_CODES}")


app.command(simulate, help_epilogue=SIMULATE_EXAMPLES)
app.command(demo, help_epilogue=DEMO_EXAMPLES)


@app.command(help_epilogue=_COMPLETION_EXAMPLES)
def completion(
    shell: Annotated[Literal["bash", "zsh", "fish", "powershell"], Parameter(help="Which shell is to complete.")], /
) -> int:
    """Print a script with which a shell completes commands and options of `plugchat`."""
    sys.stdout.write(app.generate_completion(shell=shell))
    if shell == "zsh":
        sys.stdout.write(_ZSH_CALL)
    return EXIT_OK


def run(arguments: Sequence[str]) -> int:
    """Run a command and give its exit code. Ctrl-C and a closed pipe end it without a traceback."""
    _prepare_stdout()
    try:
        code: object = app(spell_out_dask(arguments), exit_on_error=False, print_error=False)
        sys.stdout.flush()  # here, where a closed pipe is still caught
    except UnusedCliTokensError:
        # Not shown: it may be a token that was given without its option.
        complain("there is an argument too many", "Options have names: see plugchat COMMAND --help.")
        code = EXIT_CONFIGURATION
    except CycloptsError as error:
        complain(str(error).rstrip("."), "See plugchat COMMAND --help.")
        code = EXIT_CONFIGURATION
    except PlugChatError as error:
        print_error(error)
        code = exit_code_of(error)
    except KeyboardInterrupt:
        code = EXIT_INTERRUPTED
    except BrokenPipeError:
        _discard_stdout()
        code = EXIT_BROKEN_PIPE
    except OSError as error:
        complain(f"can't write to standard output: {error.strerror}", "Check where it goes, and the free space.")
        _discard_stdout()
        code = EXIT_LOCAL
    return code if isinstance(code, int) else EXIT_OK


def _discard_stdout() -> None:
    """Python flushes stdout once more at exit: let it flush into nothing."""
    with suppress(io.UnsupportedOperation):  # a stdout that is no file
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _prepare_stdout() -> None:
    """Make stdout take any name: as UTF-8 in a pipe or file, with "?" for what a terminal can't show."""
    stdout: object = sys.stdout
    if stdout is None:  # closed by the caller
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115 - open as long as the process
    elif isinstance(stdout, io.TextIOWrapper):
        # In a file or pipe UTF-8, whatever the locale; on a terminal what that can show.
        wrapper = cast("io.TextIOWrapper[io.BufferedWriter]", stdout)
        if wrapper.isatty():
            wrapper.reconfigure(errors="replace")
        else:
            wrapper.reconfigure(encoding="utf-8")
