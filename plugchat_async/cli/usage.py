"""What is said of arguments that are none, or that are missing."""

from collections.abc import Collection, Mapping, Sequence
from difflib import get_close_matches
from typing import Final

from cyclopts import CycloptsError, MissingArgumentError, UnknownCommandError, UnknownOptionError, UnusedCliTokensError

# Options that people expect, and what stands for them.
_INSTEAD: Final = {"--json": "--format json", "--jsonl": "--format jsonl", "--persons": "--people"}
# Of all commands.
_COMMON: Final = ("--help", "--version")
# The least likeness of a name that is suggested: "--token" is not meant by "--json".
_LIKENESS: Final = 0.8


def explain(error: CycloptsError, arguments: Sequence[str], commands: Mapping[str, Collection[str]]) -> tuple[str, str]:
    """Return what is wrong with the arguments of a command, and what to do.

    Args:
        error: The error.
        arguments: The arguments, with that of the command.
        commands: The names of the options of each command.
    """
    command = arguments[0] if arguments and arguments[0] in commands else ""
    see = f"see plugchat {command} --help." if command else "see plugchat --help."
    match error:
        case UnusedCliTokensError():
            # The argument is not shown: it may be a token without its option.
            return "unexpected argument", f"Options have names: {see}"
        case UnknownOptionError():
            name = (error.token.keyword or error.token.value).partition("=")[0]
            return f"unknown option {name}", _suggestion(name, commands.get(command, ())) + _capital(see)
        case UnknownCommandError():
            [name, *_] = error.unused_tokens or [""]
            known = f"The commands are {', '.join(commands)}: {see}"
            return f'unknown command "{name}"', _suggestion(name, commands) + known
        case MissingArgumentError():
            given, argument = error.keyword, error.argument
            name = argument.name if argument is not None else "an argument"
            return f"{given} needs a value" if given else f"{name} is missing", _capital(see)
        case _:
            return str(error).rstrip("."), _capital(see)


def _suggestion(name: str, names: Collection[str]) -> str:
    instead = _INSTEAD.get(name, "")
    if instead.partition(" ")[0] not in names:
        instead = next(iter(get_close_matches(name, [*names, *_COMMON], n=1, cutoff=_LIKENESS)), "")
    return f"Did you mean {instead}? " if instead else ""


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
