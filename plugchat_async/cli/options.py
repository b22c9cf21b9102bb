"""What the commands have in common: options, exit codes, and how a coroutine is run."""

import asyncio
import re
from collections.abc import Coroutine, Sequence
from typing import Annotated, Any, Final, TypeVar

from cyclopts import Parameter, Token

from plugchat_async._http.decode import OnBadValue
from plugchat_async._pagination.state import Consistency
from plugchat_async.errors import ConfigurationError, InvalidValueError, OutputError, PlugChatError, ServiceError
from plugchat_async.session import BASE_URL_VARIABLE, TOKEN_VARIABLE

T = TypeVar("T")

EXIT_OK: Final = 0
EXIT_LOCAL: Final = 1
EXIT_CONFIGURATION: Final = 2
EXIT_SERVICE: Final = 3
EXIT_ANSWER: Final = 4
EXIT_SOME_FAILED: Final = 5
# 128 + the signal's number, as shells report it.
EXIT_INTERRUPTED: Final = 130
EXIT_BROKEN_PIPE: Final = 141

EXIT_CODES: Final = (
    "Exit codes: 0 done; 1 the output can't be written; 2 the configuration or the command is wrong; "
    "3 the service or the network failed, try again later; 4 the service answered something unexpected; "
    "5 accounts of many failed; 130 interrupted (0 where Ctrl-C is the way to end); 141 the reader of a pipe is gone."
)


def _whole(_: object, tokens: Sequence[Token]) -> int:
    """Read an int as people write it; cyclopts alone would round 1.5."""
    [token] = tokens
    if not re.fullmatch(r"-?[0-9]{1,18}", token.value):
        raise ValueError("not a whole number")
    return int(token.value)


TokenOption = Annotated[
    str | None,
    Parameter(
        env_var=TOKEN_VARIABLE,
        help="The account's token. Others on this machine can see a command's options: prefer the variable.",
    ),
]


def needed(token: str | None) -> str:
    """Give the token. InvalidValueError if there is none."""
    if not token:
        raise InvalidValueError("there is no token", f"Set {TOKEN_VARIABLE}, or give --token.")
    return token


Whole = Annotated[int, Parameter(converter=_whole)]
BaseURLOption = Annotated[str, Parameter(env_var=BASE_URL_VARIABLE, help="Where the service is.")]
PageSizeOption = Annotated[Whole, Parameter(help="Chats to ask for at a time.")]
LimitOption = Annotated[
    Whole | None,
    Parameter(
        help="Chats to fetch at most from each account; default: all. With --merge-people it limits the rows that are "
        "merged."
    ),
]
ConsistencyOption = Annotated[
    Consistency,
    Parameter(
        help="exact: every chat once while the list changes; strict: also if chats are deleted; plain: whatever the "
        "server sends."
    ),
]
PrefetchOption = Annotated[Whole, Parameter(help="Pages to ask for ahead of time.")]
OnBadValueOption = Annotated[
    OnBadValue,
    Parameter(help="warn: report values that can't be read, and use the field's default; raise: end with an error."),
]
MergePeopleOption = Annotated[
    bool,
    Parameter(
        negative=(),
        help="Write one chat for each person: rows with the same lid become one, unless they have "
        "different phones. Keeps the whole list in memory.",
    ),
]
RequireVerifiedOption = Annotated[
    bool, Parameter(negative=(), help="Fail at the end of the list if chats may have been missed.")
]


def run_async(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine, on uvloop where the extra `speed` has brought it, and give what it does."""
    try:
        import uvloop  # noqa: PLC0415 - the extra may be missing
    except ModuleNotFoundError:
        return asyncio.run(main)
    return uvloop.run(main)


def exit_code_of(error: PlugChatError) -> int:
    """Say with which code a command ends that ends with `error`."""
    match error:
        case ConfigurationError():
            return EXIT_CONFIGURATION
        case ServiceError():
            return EXIT_SERVICE
        case OutputError():
            return EXIT_LOCAL
        case _:
            return EXIT_ANSWER
