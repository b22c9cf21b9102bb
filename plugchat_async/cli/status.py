"""`plugchat status`: show whether an account's phone is connected to WhatsApp."""

import json
import sys
import time
from typing import Annotated, Final

from attrs import asdict
from cyclopts import Parameter

from plugchat_async import AccountStatus, NotConnectedError, PlugChatError, PlugChatSession
from plugchat_async._http.urls import DEFAULT_BASE_URL, STATUS_PATH
from plugchat_async.cli.connection import Connection, ConnectionOption
from plugchat_async.cli.log import be_verbose, log_request
from plugchat_async.cli.options import EXIT_OK, EXIT_SERVICE, BaseURLOption, TokenOption, require_token
from plugchat_async.cli.progress import waiting
from plugchat_async.cli.signals import run_async
from plugchat_async.cli.terminal import escape_json, marked_line

STATUS_EXAMPLES: Final = (
    "Examples: `plugchat status`; `plugchat status --json | jq .connected`; "
    "`plugchat status && plugchat chats -o chats.csv`."
)


def status(
    *,
    token: TokenOption = None,
    base_url: BaseURLOption = DEFAULT_BASE_URL,
    as_json: Annotated[
        bool, Parameter(name="--json", negative=(), help="Print one JSON object, for programs.")
    ] = False,
    connection: ConnectionOption = Connection(),  # noqa: B008 - frozen
) -> int:
    """Print whether the account's phone is connected to WhatsApp.

    The exit code is 0 if it is, else 3. --json prints the keys connected, session, smartphone_connected (true, false,
    or null if unknown) and error (the service's text, or null).
    """
    be_verbose(connection.verbose)
    session = PlugChatSession(require_token(token), **connection.session_options(base_url))

    async def fetch() -> AccountStatus:
        async with session:
            started = time.monotonic()
            result: AccountStatus | PlugChatError
            with waiting("asking for the account's status"):
                try:
                    result = await session.fetch_status()
                except PlugChatError as error:
                    result = error
            # Telemetry is of pages only. A request that is sent again has a record of its own.
            status = result.status if isinstance(result, PlugChatError) else 200
            seconds = time.monotonic() - started
            log_request(f"{session.base_url}{STATUS_PATH}", status, type(result).__name__, seconds)
            if isinstance(result, PlugChatError):
                raise result
            return result

    found = run_async(fetch())
    if as_json:
        text = json.dumps(asdict(found), ensure_ascii=False, indent=2)
        print(escape_json(text) if sys.stdout.isatty() else text)
    else:
        sys.stdout.write(_lines(found))
    return EXIT_OK if found.connected else EXIT_SERVICE


def _lines(found: AccountStatus) -> str:
    rows = [
        ("connected", _words(value=found.connected)),
        ("session", _words(value=found.session)),
        ("phone online", _words(value=found.smartphone_connected)),
    ]
    if found.error is not None:
        rows.append(("service says", found.error))
    if not found.connected:
        rows.append(("what to do", NotConnectedError.advice))
    width = max(len(name) for name, _ in rows) + 1
    return "".join(marked_line(f"{name + ':':{width}}", "bold", text, sys.stdout) for name, text in rows)


def _words(*, value: bool | None) -> str:
    return "unknown" if value is None else "yes" if value else "no"
