"""The command line, `plugchat`: its commands, and how they end. Data goes to stdout, all other text to stderr."""

import io
import os
import sys
from collections.abc import Sequence
from typing import Annotated, Literal, cast

from cyclopts import App, CycloptsError, Parameter, UnusedCliTokensError

from plugchat_async import PlugChatError, __version__
from plugchat_async.cli.bulk import BULK_EXAMPLES, add_dask_value, bulk
from plugchat_async.cli.chats import CHATS_EXAMPLES, chats
from plugchat_async.cli.clip import clip_tokens
from plugchat_async.cli.doctor import DOCTOR_EXAMPLES, doctor
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
from plugchat_async.cli.watch import WATCH_EXAMPLES, watch
from plugchat_async.session import TOKEN_VARIABLE

_COMPLETION_EXAMPLES = (
    "Examples: `source <(plugchat completion bash)` in ~/.bashrc; "
    "`plugchat completion zsh > ~/.zfunc/_plugchat`, with ~/.zfunc in fpath; "
    "`plugchat completion fish > ~/.config/fish/completions/plugchat.fish`."
)

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
    suppress_keyboard_interrupt=False,
    result_action="return_value",
)
app.command(chats, help_epilogue=f"{CHATS_EXAMPLES}\n\n{EXIT_CODES}")
app.command(bulk, help_epilogue=f"{BULK_EXAMPLES}\n\n{EXIT_CODES}")
app.command(watch, help_epilogue=f"{WATCH_EXAMPLES}\n\n{EXIT_CODES}")
app.command(status, help_epilogue=f"{STATUS_EXAMPLES}\n\n{EXIT_CODES}")
app.command(doctor, help_epilogue=f"{DOCTOR_EXAMPLES}\n\n{EXIT_CODES}")
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

    _prepare_output()
    try:
        code: object = app(add_dask_value(arguments), exit_on_error=False, print_error=False)
        sys.stdout.flush()  # here, so that a closed pipe is handled below
    except UnusedCliTokensError:
        # The argument is not printed: it may be a token without its option.
        print_failure("unexpected argument", "Options have names: see plugchat COMMAND --help.")
        code = EXIT_CONFIGURATION
    except CycloptsError as error:
        print_failure(clip(str(error).rstrip("."), names=False), "See plugchat COMMAND --help.")
        code = EXIT_CONFIGURATION
    except PlugChatError as error:
        hint = " ".join((error.hint, *getattr(error, "__notes__", ())))
        print_failure(clip(error.what_happened), clip(hint))
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


def _option_names() -> set[str]:
    """Return the names of the options of all commands."""
    commands = [app[name] for name in app if not name.startswith("-")]
    return {name for command in commands for found in command.assemble_argument_collection() for name in found.names}


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
