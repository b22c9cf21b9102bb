"""The application's sessions: opened and closed by its lifespan."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, nullcontext
from typing import Any, TypeAlias, Unpack

from attrs import field, frozen
from fastapi import FastAPI

from plugchat_async._http.options import SessionOptions
from plugchat_async._http.secret import SecretText
from plugchat_async._http.token import TokenFunction
from plugchat_async._internal.validation import check_type
from plugchat_async.bulk.accounts import Account
from plugchat_async.errors import PlugChatError
from plugchat_async.integrations.fastapi.dependencies import ACCOUNTS, SESSION, STOPPING
from plugchat_async.integrations.fastapi.openapi import describe
from plugchat_async.session import PlugChatSession

AppLifespan: TypeAlias = Callable[[FastAPI], AbstractAsyncContextManager[Mapping[str, Any] | None]]
Accounts: TypeAlias = Mapping[str, str | SecretText | TokenFunction | Account]


def plugchat_lifespan(
    token: str | SecretText | TokenFunction | None = None,
    *,
    accounts: Accounts | Callable[[], Accounts] | None = None,
    lifespan: AppLifespan | None = None,
    **options: Unpack[SessionOptions],
) -> Callable[[FastAPI], AbstractAsyncContextManager[Mapping[str, Any]]]:
    """Return a lifespan for `FastAPI(lifespan=...)` that opens a session at startup and closes it at shutdown.

    At startup it raises the errors of `PlugChatSession` and `PlugChatSession.from_env`.

    Args:
        token: The token, as for `PlugChatSession` (default None: that of PLUGCHAT_TOKEN; no such session if there are
            `accounts`). The environment is read at startup.
        accounts: The tokens of several accounts by their names, or `Account`s (default None), or a function that
            returns them, which is called at startup. Each gets a session of its own, for `plugchat_account` and
            `PlugChatAccountDep`.
        lifespan: The application's own lifespan (default None). It runs while the sessions are open, as
            `app.state.plugchat` and `app.state.plugchat_accounts`. The state that it yields is kept, except for keys
            that begin with `plugchat`.
        options: The options of `PlugChatSession`, for all sessions.
    """
    factory = _SessionFactory(token, accounts, options)
    del token, accounts, options

    @asynccontextmanager
    async def run(app: FastAPI) -> AsyncGenerator[Mapping[str, Any]]:
        describe(app)
        async with AsyncExitStack() as stack:
            opened: dict[str, Any] = {}
            session = factory.session()
            if session is not None:
                opened[SESSION] = await stack.enter_async_context(session)
            sessions = factory.accounts_sessions()
            if sessions is not None:
                opened[ACCOUNTS] = {name: await stack.enter_async_context(session) for name, session in sessions}
            # An application can run twice at a time, as in tests.
            before = {key: getattr(app.state, key, None) for key in opened}
            opened[STOPPING] = stopping = asyncio.Event()
            _set_state(app, opened)
            try:
                # The state of a lifespan also reaches mounted applications and websockets.
                async with nullcontext() if lifespan is None else lifespan(app) as state:
                    yield {**(state or {}), **opened}
            finally:
                stopping.set()
                _set_state(app, before)

    return run


def _set_state(app: FastAPI, values: Mapping[str, object]) -> None:
    for key, value in values.items():
        setattr(app.state, key, value)


@frozen(repr=False)
class _SessionFactory:
    """Makes the sessions. Frames in tracebacks hold this object, not a token or a proxy's password."""

    token: str | SecretText | TokenFunction | None = field(repr=False)
    accounts: Accounts | Callable[[], Accounts] | None = field(repr=False)
    options: SessionOptions = field(repr=False)

    def session(self) -> PlugChatSession | None:
        """Return the session of the one account, or None if there are only named ones."""
        if self.token is not None:
            return PlugChatSession(self.token, **self.options)
        return PlugChatSession.from_env(**self.options) if self.accounts is None else None

    def accounts_sessions(self) -> list[tuple[str, PlugChatSession]] | None:
        """Return the session of each named account, or None if the application has only the one account."""
        if self.accounts is None:
            return None
        accounts = _Hidden(self.accounts() if callable(self.accounts) else self.accounts)
        check_type("accounts", accounts.value, Mapping)
        return [(name, self._session_of(name, accounts)) for name in accounts.value]

    def _session_of(self, name: str, accounts: "_Hidden") -> PlugChatSession:
        check_type("the name of an account", name, str)
        options = _Hidden(dict(self.options))
        token = _Hidden(accounts.value[name])
        if isinstance(token.value, Account):
            if token.value.base_url is not None:
                options.value["base_url"] = token.value.base_url
            token = _Hidden(token.value.token)
        try:
            session = _NamedSession(token.value, **options.value)
        except PlugChatError as error:
            error.account = name
            raise
        session.name_account(name)
        return session


class _NamedSession(PlugChatSession):
    """A session that is one of several."""

    def name_account(self, name: str) -> None:
        """Name its account in logs, errors and telemetry, before its first request."""
        self._fetcher.account = name


@frozen(repr=False)
class _Hidden:
    """A value that tracebacks must not show."""

    value: Any
