"""The application's session: opened and closed by its lifespan, and injected into endpoints."""

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from typing import Annotated, Any, Final, TypeAlias, Unpack, cast

from attrs import field, frozen
from fastapi import Depends, FastAPI
from starlette.requests import HTTPConnection

from plugchat_async._http.options import SessionOptions
from plugchat_async._http.token import TokenFunction
from plugchat_async.errors import SessionStateError
from plugchat_async.session import PlugChatSession

# The name of the session in the state of the application, and in that of its lifespan.
_STATE: Final = "plugchat"

AppLifespan: TypeAlias = Callable[[FastAPI], AbstractAsyncContextManager[Mapping[str, Any] | None]]


def plugchat_lifespan(
    token: str | TokenFunction | None = None, *, lifespan: AppLifespan | None = None, **options: Unpack[SessionOptions]
) -> Callable[[FastAPI], AbstractAsyncContextManager[Mapping[str, Any]]]:
    """Return a lifespan for `FastAPI(lifespan=...)` that opens a session at startup and closes it at shutdown.

    At startup it raises the errors of `PlugChatSession` and `PlugChatSession.from_env`.

    Args:
        token: The token, as for `PlugChatSession` (default None: PLUGCHAT_TOKEN, and PLUGCHAT_BASE_URL if it is set).
            The environment is read at startup.
        lifespan: The application's own lifespan (default None). It runs while the session is open, as
            `app.state.plugchat`. The state that it yields is kept, except for the key `plugchat`, which is the session.
        options: The options of `PlugChatSession`.
    """
    factory = _SessionFactory(token, options)
    del token, options

    @asynccontextmanager
    async def run(app: FastAPI) -> AsyncGenerator[Mapping[str, Any]]:
        async with factory.session() as session:
            before = getattr(app.state, _STATE, None)  # an application can run twice at a time, as in tests
            app.state.plugchat = session
            try:
                # The state of a lifespan also reaches mounted applications and websockets.
                async with nullcontext() if lifespan is None else lifespan(app) as state:
                    yield {**(state or {}), _STATE: session}
            finally:
                app.state.plugchat = before

    return run


@frozen(repr=False)
class _SessionFactory:
    """Makes the session. Frames in tracebacks hold this object, not the token or a proxy's password."""

    token: str | TokenFunction | None = field(repr=False)
    options: SessionOptions = field(repr=False)

    def session(self) -> PlugChatSession:
        if self.token is None:
            return PlugChatSession.from_env(**self.options)
        return PlugChatSession(self.token, **self.options)


def get_plugchat(connection: HTTPConnection) -> PlugChatSession:
    """Return the application's session, for requests and websockets.

    `PlugChatDep` depends on this function. In tests, use `app.dependency_overrides[get_plugchat]` to replace it.

    Raises:
        SessionStateError: The application has no session.
    """
    for state in (connection.state, connection.app.state):
        session = getattr(state, _STATE, None)
        if session is not None:
            return cast("PlugChatSession", session)
    raise SessionStateError(
        "the application has no Plug Chat session",
        "Create it with FastAPI(lifespan=plugchat_lifespan()), of the outermost application if some are mounted; in "
        "tests, use `with TestClient(app)`.",
    )


PlugChatDep = Annotated[PlugChatSession, Depends(get_plugchat)]
