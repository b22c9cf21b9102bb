"""The application's sessions as dependencies: of the one account, of one by its name, of one by the request's path."""

import asyncio
from collections.abc import Mapping
from typing import Annotated, Any, Final

from attrs import frozen
from fastapi import Depends, HTTPException, Path, WebSocketException
from starlette.requests import HTTPConnection

from plugchat_async.errors import InvalidValueError, SessionStateError
from plugchat_async.session import PlugChatSession

# Names in the state of the application and in that of its lifespan: the session, the accounts' sessions, and the event
# that the application stops.
SESSION: Final = "plugchat"
ACCOUNTS: Final = "plugchat_accounts"
STOPPING: Final = "plugchat_stopping"
# RFC 6455, for refusals without a code of their own.
_POLICY_VIOLATION: Final = 1008
NO_ACCOUNT: Final = "There is no account of this name."


class UnknownAccountError(HTTPException):
    """The path of a request names an account that does not exist."""


def is_stopping(connection: HTTPConnection) -> bool:
    """Return whether the application is stopping, so that its sessions are closed."""
    stopping: asyncio.Event | None = _from_state(connection, STOPPING)
    return stopping is not None and stopping.is_set()


def get_plugchat(connection: HTTPConnection) -> PlugChatSession:
    """Return the application's session, for requests and websockets.

    `PlugChatDep` depends on this function. In tests, use `app.dependency_overrides[get_plugchat]` to replace it.

    Raises:
        SessionStateError: The application has no session.
    """
    session: PlugChatSession | None = _from_state(connection, SESSION)
    if session is None and _from_state(connection, ACCOUNTS):
        raise SessionStateError(
            "the application's sessions are those of named accounts",
            "Use Depends(plugchat_account(name)) or PlugChatAccountDep instead of PlugChatDep.",
        )
    if session is None:
        raise SessionStateError(
            "the application has no Plug Chat session",
            "Create it with FastAPI(lifespan=plugchat_lifespan()), of the outermost application if some are mounted; "
            "in tests, use `with TestClient(app)`.",
        )
    return session


def get_plugchat_account(
    connection: HTTPConnection, account: Annotated[str, Path(description="The name of the account.")]
) -> PlugChatSession:
    """Return the session of the account that the path parameter `account` names. `PlugChatAccountDep` depends on it.

    Raises:
        HTTPException: 404, there is no account of this name. `add_problem_handlers` makes it a problem, too.
        WebSocketException: 1008, the same for a websocket: older versions of Starlette leave that without an answer
            after an HTTPException.
        SessionStateError: The application has no accounts.
    """
    sessions = _sessions(connection)
    if account not in sessions:
        if connection.scope["type"] == "websocket":
            raise WebSocketException(_POLICY_VIOLATION, NO_ACCOUNT)
        raise UnknownAccountError(404, NO_ACCOUNT)
    return sessions[account]


@frozen
class plugchat_account:  # noqa: N801 - it is used as a function
    """A dependency on the session of one account: `Annotated[PlugChatSession, Depends(plugchat_account("sales"))]`.

    In tests, use `app.dependency_overrides[plugchat_account("sales")]` to replace it.

    Args:
        name: The account's name in `plugchat_lifespan(accounts={...})`.
    """

    name: str

    def __call__(self, connection: HTTPConnection) -> PlugChatSession:
        """Return the session. Raise SessionStateError without accounts, InvalidValueError without this one."""
        sessions = _sessions(connection)
        if self.name not in sessions:
            raise InvalidValueError(
                f"there is no account {self.name!r}, only {', '.join(map(repr, sessions)) or 'none'}",
                "Name it in plugchat_lifespan(accounts={...}).",
            )
        return sessions[self.name]


def _sessions(connection: HTTPConnection) -> Mapping[str, PlugChatSession]:
    sessions: Mapping[str, PlugChatSession] | None = _from_state(connection, ACCOUNTS)
    if sessions is None:
        raise SessionStateError(
            "the application has no accounts",
            "Create them with FastAPI(lifespan=plugchat_lifespan(accounts={...})), of the outermost application if "
            "some are mounted; in tests, use `with TestClient(app)`.",
        )
    return sessions


def _from_state(connection: HTTPConnection, key: str) -> Any:
    """Return a value of the lifespan's state, else of the application's, or None."""
    for state in (connection.state, connection.app.state):
        value = getattr(state, key, None)
        if value is not None:
            return value
    return None


PlugChatDep = Annotated[PlugChatSession, Depends(get_plugchat)]
PlugChatAccountDep = Annotated[PlugChatSession, Depends(get_plugchat_account)]
