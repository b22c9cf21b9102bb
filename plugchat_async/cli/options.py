"""Options and exit codes that the commands share."""

import os
import re
from collections.abc import Sequence
from typing import Annotated, Final

from cyclopts import Parameter, Token

from plugchat_async._http.decode import OnBadValue
from plugchat_async._pagination.walk_state import Consistency
from plugchat_async.errors import ConfigurationError, InvalidValueError, OutputError, PlugChatError, ServiceError
from plugchat_async.export.csv_and_json import CsvDialect
from plugchat_async.session import BASE_URL_VARIABLE, TOKEN_VARIABLE

EXIT_OK: Final = 0
EXIT_LOCAL: Final = 1
EXIT_CONFIGURATION: Final = 2
EXIT_SERVICE: Final = 3
EXIT_ANSWER: Final = 4
EXIT_SOME_FAILED: Final = 5
EXIT_ALL_FAILED: Final = 6
# 128 + the signal's number, as shells report it; those of other signals are in `signals`.
EXIT_BROKEN_PIPE: Final = 141

EXIT_CODES: Final = (
    "Exit codes: 0 success; 1 the output can't be written; 2 wrong configuration or command, or another run uses the "
    "file or folder; 3 the service or the network failed, try again later; 4 unexpected response from the service; "
    "5 some accounts failed, or were empty and kept as they were; 6 all accounts failed; 129 stopped by SIGHUP; "
    "130 interrupted (0 if Ctrl-C is the normal end); 141 broken pipe; 143 stopped by SIGTERM."
)


def _to_int(_: object, tokens: Sequence[Token]) -> int:
    """Parse an integer. cyclopts itself would round 1.5."""
    [token] = tokens
    if not re.fullmatch(r"-?[0-9]{1,18}", token.value):
        raise ValueError("not a whole number")
    return int(token.value)


TokenOption = Annotated[
    str | None,
    Parameter(
        env_var=TOKEN_VARIABLE,
        help="The account's token. Other users of this machine can see options of commands: prefer the variable.",
    ),
]


NoSyncOption = Annotated[
    bool,
    Parameter(
        negative=(),
        help="Don't wait until what is written is on disk. Faster, but a loss of power may lose what was finished.",
    ),
]


def require_token(token: str | None) -> str:
    """Return the token.

    Raises:
        InvalidValueError: There is none.
    """
    if token == "":
        name = TOKEN_VARIABLE if os.environ.get(TOKEN_VARIABLE) == "" else "--token"
        raise InvalidValueError(f"{name} is empty", f"Set {TOKEN_VARIABLE} to the account's token, or use --token.")
    if token is None:
        raise InvalidValueError("no token", f"Set {TOKEN_VARIABLE}, or use --token.")
    return token


CsvOption = Annotated[
    CsvDialect,
    Parameter(
        name="--csv",
        help="excel: for Excel where the comma is the decimal sign: byte order mark, semicolons, phones as text.",
    ),
]
IntOption = Annotated[int, Parameter(converter=_to_int)]
BaseURLOption = Annotated[str, Parameter(env_var=BASE_URL_VARIABLE, help="The service's base URL.")]
PageSizeOption = Annotated[IntOption, Parameter(help="Chats per request.")]
MaxPageSizeOption = Annotated[
    IntOption,
    Parameter(
        help="The largest page to request: one with all chats proves that none was missed. 0: never more than "
        "--page-size."
    ),
]
LimitOption = Annotated[
    IntOption | None,
    Parameter(
        help="Maximum number of chats of each account; default: all. With --merge-people it limits the rows that are "
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
PrefetchOption = Annotated[IntOption, Parameter(help="Pages to fetch in advance.")]
OnBadValueOption = Annotated[
    OnBadValue,
    Parameter(help="warn: report values that can't be read, and use the field's default; raise: stop with an error."),
]
MergePeopleOption = Annotated[
    bool,
    Parameter(
        negative=(),
        help="Write one chat per person: merge rows with the same lid, unless their phones differ. "
        "Keeps the whole list in memory.",
    ),
]
RequireVerifiedOption = Annotated[
    bool, Parameter(negative=(), help="Fail at the end of the list if items may have been missed.")
]


def exit_code_of(error: PlugChatError) -> int:
    """Return the exit code for an error."""
    match error:
        case ConfigurationError():
            return EXIT_CONFIGURATION
        case ServiceError():
            return EXIT_SERVICE
        case OutputError():
            return EXIT_LOCAL
        case _:
            return EXIT_ANSWER
