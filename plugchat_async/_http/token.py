"""Tokens that change: a function knows the newest one. And what users give as a token, wrapped."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from pathlib import PurePath
from typing import Final, TypeAlias, cast

from attrs import define

from plugchat_async._http.secret import Secret
from plugchat_async._http.wire import token_problem
from plugchat_async.errors import InvalidTypeError, InvalidValueError, TokenError

_THE_FUNCTION: Final = "the function that gives the token"
# So many of the tokens before are not shown, either.
_MAX_FORMER: Final = 3

TokenFunction: TypeAlias = Callable[[], str | Awaitable[str]]


@define(eq=False, repr=False)
class TokenProvider:
    """Asks a function for the newest token."""

    _function: TokenFunction
    _last: Secret | None = None

    async def newest(self, seconds: float) -> Secret | TokenError:
        """Give the token for the next request, or the error that says why there is none. The function is asked once.

        Not raised here: tracebacks may show the frames, and these know the token. Nor is it said what the function's
        own error says, which may hold it, too.

        seconds: how long an async function may take.
        """
        task = asyncio.current_task()
        assert task is not None, "requests are made by tasks"
        cancelling = task.cancelling()
        waiting = asyncio.timeout(seconds)
        cancelled = False
        given: object = None
        try:
            given = self._function()
            if inspect.isawaitable(given):
                async with waiting:
                    # Others may wait for the same future: it is not ours to cancel.
                    given = await (asyncio.shield(given) if asyncio.isfuture(given) else given)
        except asyncio.CancelledError:
            cancelled = True
        except Exception as cause:  # noqa: BLE001 - a user's function may raise anything
            if isinstance(cause, TimeoutError) and waiting.expired():
                return TokenError(f"{_THE_FUNCTION} took longer than {seconds:g} s")
            return TokenError(f"{_THE_FUNCTION} failed: {_name(cause)}")
        if cancelled:
            if task.cancelling() > cancelling:
                raise asyncio.CancelledError  # anew: the frames of the first one may hold the token
            return TokenError(f"{_THE_FUNCTION} was cancelled by somebody else")
        return self._wrapped(given)

    def _wrapped(self, given: object) -> Secret | TokenError:
        value = _plain_text(given)
        problem = token_problem(value)
        if problem is not None:
            return TokenError(f"{_THE_FUNCTION} gave none that can be sent: {problem.message}")
        if self._last is None or self._last.value != value:
            # What is answered to a new token may still speak of those before.
            former = () if self._last is None else (self._last.value, *self._last.former)
            self._last = Secret(str(value), former[:_MAX_FORMER])
        return self._last


def hidden_token(token: object) -> Secret | TokenProvider | InvalidValueError | InvalidTypeError:
    """Wrap what a user gives as the token, so that nothing prints it, or say what is wrong with it."""
    if callable(token):
        return TokenProvider(cast("TokenFunction", token))
    if not isinstance(token, str):
        return InvalidTypeError(f"token must be a str, or a function that gives one, got {type(token).__name__}")
    value = _plain_text(token)
    return token_problem(value) or Secret(str(value))


def _plain_text(token: object) -> object:
    """Give a str as it is, without what a class derived from it makes of that: so what is checked is what is sent."""
    return str.__str__(token) if isinstance(token, str) else token


def _name(cause: Exception) -> str:
    """Give an error's class, and the place in the code that raised it."""
    place = cause.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    assert place is not None, "it was raised"
    return f"{type(cause).__name__} in {PurePath(place.tb_frame.f_code.co_filename).name}, line {place.tb_lineno}"
