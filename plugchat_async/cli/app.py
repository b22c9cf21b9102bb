"""The command line, `plugchat`: its commands, and how they end. Data goes to stdout, all other text to stderr."""

import io
import os
import sys
from collections.abc import Sequence
from functools import cache
from typing import Annotated, Final, Literal, cast

from cyclopts import App, CycloptsError, Parameter

from plugchat_async import InvalidTypeError, InvalidValueError, PlugChatError, __version__
from plugchat_async.cli.bulk import BULK_EXAMPLES, add_dask_value, bulk
from plugchat_async.cli.chats import CHATS_EXAMPLES, chats
from plugchat_async.cli.clip import clip_tokens
from plugchat_async.cli.connection import CA_FILE_VARIABLE, PROXY_VARIABLE
from plugchat_async.cli.doctor import DOCTOR_EXAMPLES, doctor
from plugchat_async.cli.help_panels import OPTIONS, HelpConsole
from plugchat_async.cli.lists import CONTACTS_EXAMPLES, PENDING_EXAMPLES, contacts, pending
from plugchat_async.cli.log import log_on_stderr
from plugchat_async.cli.option_names import name_options
from plugchat_async.cli.options import (
    EXIT_BROKEN_PIPE,
    EXIT_CODES,
    EXIT_CONFIGURATION,
    EXIT_LOCAL,
    EXIT_OK,
    exit_code_of,
)
from plugchat_async.cli.signals import ended_by_signals, print_stop
from plugchat_async.cli.simulate import DEMO_EXAMPLES, SIMULATE_EXAMPLES, demo, simulate
from plugchat_async.cli.status import STATUS_EXAMPLES, status
from plugchat_async.cli.terminal import discard, print_failure
from plugchat_async.cli.usage import explain
from plugchat_async.cli.watch import WATCH_EXAMPLES, watch
from plugchat_async.session import BASE_URL_VARIABLE, TOKEN_VARIABLE

_COMPLETION_EXAMPLES = (
    "Examples: `source <(plugchat completion bash)` in ~/.bashrc; "
    "`plugchat completion zsh > ~/.zfunc/_plugchat`, with ~/.zfunc in fpath; "
    "`plugchat completion fish > ~/.config/fish/completions/plugchat.fish`."
)

# The options that are also read from the environment.
_VARIABLES: Final = {
    "--token": TOKEN_VARIABLE,
    "--base-url": BASE_URL_VARIABLE,
    "--proxy": PROXY_VARIABLE,
    "--ca-file": CA_FILE_VARIABLE,
}

# cyclopts' script only defines a function. zsh autoloads it by the name of the file, or users source it.
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
    group_parameters=OPTIONS,
    suppress_keyboard_interrupt=False,
    result_action="return_value",
)
app.command(chats, help_epilogue=CHATS_EXAMPLES)
app.command(contacts, help_epilogue=CONTACTS_EXAMPLES)
app.command(pending, help_epilogue=PENDING_EXAMPLES)
app.command(bulk, help_epilogue=BULK_EXAMPLES)
app.command(watch, help_epilogue=WATCH_EXAMPLES)
app.command(status, help_epilogue=STATUS_EXAMPLES)
app.command(doctor, help_epilogue=DOCTOR_EXAMPLES)
app.command(simulate, help_epilogue=SIMULATE_EXAMPLES)
app.command(demo, help_epilogue=DEMO_EXAMPLES)


@app.command(help_epilogue=_COMPLETION_EXAMPLES)
def completion(shell: Annotated[Literal["bash", "zsh", "fish", "powershell"], Parameter(help="The shell.")], /) -> int:
    """Print a script with which a shell completes commands and options of `plugchat`."""
    sys.stdout.write(app.generate_completion(shell=shell))
    if shell == "zsh":
        sys.stdout.write(_ZSH_CALL)
    return EXIT_OK


def run(arguments: Sequence[str]) -> int:
    """Run a command and return its exit code. Signals and a closed pipe end it without a traceback."""
    with ended_by_signals():
        try:
            _prepare_output()
            return _run(arguments)
        except KeyboardInterrupt as stop:
            code = print_stop(stop)
            try:
                sys.stdout.flush()
            except OSError:  # its reader or its terminal is gone as well
                discard(sys.stdout)
            return code


def _run(arguments: Sequence[str]) -> int:
    def clip(text: str, *, names: bool = True) -> str:
        return clip_tokens(text, arguments, os.environ.get(TOKEN_VARIABLE), _option_names(), names=names)

    try:
        with log_on_stderr():
            code: object = app(add_dask_value(arguments), console=HelpConsole(), exit_on_error=False, print_error=False)
        sys.stdout.flush()  # here, so that a closed pipe is handled below
    except CycloptsError as error:
        what_happened, hint = explain(error, arguments, _options_by_command())
        print_failure(clip(what_happened, names=False), hint)
        code = EXIT_CONFIGURATION
    except PlugChatError as error:
        hint = " ".join((error.hint, *getattr(error, "__notes__", ())))
        what_happened = error.what_happened
        if isinstance(error, (InvalidValueError, InvalidTypeError)):
            what_happened, hint = (_named(text, arguments) for text in (what_happened, hint))
        print_failure(clip(what_happened), clip(hint))
        code = exit_code_of(error)
    except BrokenPipeError:
        discard(sys.stdout)
        code = EXIT_BROKEN_PIPE
    except OSError as error:
        notes = (f"{note[:1].upper()}{note[1:]}" for note in getattr(error, "__notes__", ()))
        hint = " ".join(("Check its target and the free disk space.", *notes))
        print_failure(f"can't write to standard output: {error.strerror}", clip(hint))
        discard(sys.stdout)
        code = EXIT_LOCAL
    return code if isinstance(code, int) else EXIT_OK


def _named(text: str, arguments: Sequence[str]) -> str:
    return name_options(text, _option_names(), arguments, {o: v for o, v in _VARIABLES.items() if os.environ.get(v)})


def _option_names() -> set[str]:
    """Return the names of the options of all commands."""
    return {name for names in _options_by_command().values() for name in names}


@cache
def _options_by_command() -> dict[str, list[str]]:
    return {
        command: [name for found in app[command].assemble_argument_collection() for name in found.names]
        for command in app
        if not command.startswith("-")
    }


def _prepare_output() -> None:
    """Make stdout accept any name: with UTF-8 in pipes and files, with "?" for unsupported characters on terminals.

    What the caller has closed, stdout or stderr, is replaced by the null device.
    """
    stderr: object = sys.stderr
    if stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115 - open until the process ends
    stdout: object = sys.stdout
    if stdout is None:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115 - open until the process ends
    elif isinstance(stdout, io.TextIOWrapper):
        wrapper = cast("io.TextIOWrapper[io.BufferedWriter]", stdout)
        if wrapper.isatty():
            wrapper.reconfigure(errors="replace")
        else:
            wrapper.reconfigure(encoding="utf-8")
