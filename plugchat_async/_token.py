"""The token of each request: always the same one, or the newest that a function knows."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from pathlib import PurePath
from typing import TypeAlias, cast

from attrs import define

from plugchat_async._secret import Secret
from plugchat_async._wire import token_problem
from plugchat_async.errors import InvalidTypeError, InvalidValueError, TokenError

TokenFunction: TypeAlias = Callable[[], str | Awaitable[str]]


@define(eq=False, repr=False)
class TokenSource:
    """Asks a function for the newest token."""

    _function: TokenFunction
    _last: Secret | None = None

    async def newest(self, seconds: float) -> Secret | TokenError:
        """Give the token for the next request, or the error that says why there is none. The function is asked once.

        Not raised here: tracebacks may show the frames, and these know the token. Nor is it said what the function's
        own error says, which may hold it, too.

        seconds: how long an async function may take.
        """
        waiting = asyncio.timeout(seconds)
        try:
            given = self._function()
            if inspect.isawaitable(given):
                async with waiting:
                    given = await given
        except Exception as cause:  # noqa: BLE001 - a user's function may raise anything
            if isinstance(cause, TimeoutError) and waiting.expired():
                return TokenError(f"the function that gives the token took longer than {seconds:g} s")
            return TokenError(f"the function that gives the token failed: {_name(cause)}")
        problem = token_problem(given)
        if problem is not None:
            return TokenError(f"the function that gives the token gave none that can be sent: {problem.message}")
        if self._last is None or self._last.value != given:
            # What is answered to a new token may still speak of the one before.
            self._last = Secret(given, None if self._last is None else self._last.value)
        return self._last


def hidden_token(token: object) -> Secret | TokenSource | InvalidValueError | InvalidTypeError:
    """Wrap what a user gives as the token, so that nothing prints it, or say what is wrong with it."""
    if callable(token):
        return TokenSource(cast("TokenFunction", token))
    if not isinstance(token, str):
        return InvalidTypeError(f"token must be a str, or a function that gives one, got {type(token).__name__}")
    return token_problem(token) or Secret(token)


def _name(cause: Exception) -> str:
    """Give an error's class, and the place in the code that raised it."""
    place = cause.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    assert place is not None, "it was raised"
    return f"{type(cause).__name__} in {PurePath(place.tb_frame.f_code.co_filename).name}, line {place.tb_lineno}"
