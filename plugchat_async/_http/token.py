"""Tokens as users pass them: their check, and functions that return the newest one."""

import asyncio
import inspect
import re
from collections.abc import Awaitable, Callable
from hashlib import blake2b
from pathlib import PurePath
from typing import Final, TypeAlias, cast

from attrs import define

from plugchat_async._http.environment import FromEnvironment
from plugchat_async._http.pauses import Pauses
from plugchat_async._http.secret import Secret, SecretText, reveal
from plugchat_async.errors import InvalidTypeError, InvalidValueError, TokenError

_CALLABLE: Final = "the token callable"
# How many of the previous tokens are kept out of texts as well.
_MAX_FORMER: Final = 3
_VISIBLE_ASCII: Final = re.compile(r"[!-~]+")

TokenFunction: TypeAlias = Callable[[], str | SecretText | Awaitable[str | SecretText]]


def token_problem(token: object, name: str = "token") -> InvalidValueError | InvalidTypeError | None:
    """Return the error if `token` can't be sent in a header, or None if it can.

    The error is returned instead of raised: then no frame of a traceback holds the token.

    `name`: what the error calls it (default "token").
    """
    if not isinstance(token, str):
        return InvalidTypeError(f"{name} must be a str, got {type(token).__name__}")
    if not token:
        return InvalidValueError(f"{name} is empty", "Copy the token from the Plug Chat panel.")
    if token.lower().startswith("bearer "):
        return InvalidValueError(
            f"{name} begins with 'Bearer'", "Plug Chat takes the raw token: pass it without 'Bearer'."
        )
    if token[0] in "\"'" and token[-1] == token[0]:
        return InvalidValueError(
            f"{name} is in quotes", "Pass it without them: a shell takes them away, `docker --env-file` keeps them."
        )
    # RFC 9110, 5.5 allows blanks inside a field's value; no token has them, a bad copy does.
    if not _VISIBLE_ASCII.fullmatch(token):
        return InvalidValueError(
            f"{name} contains spaces, control characters or non-ASCII characters",
            "Copy the token again: without spaces around it, accents or letters of other alphabets.",
        )
    return None


@define(eq=False, repr=False)
class TokenProvider:
    """Gets the newest token from a function."""

    _function: TokenFunction
    _last: Secret | None = None

    @property
    def last(self) -> Secret | None:
        """The token that was returned last, or None before the first one."""
        return self._last

    async def get(self, seconds: float, pauses: Pauses) -> Secret | TokenError:
        """Return the token for the next request, or the error if there is none. The function is called once.

        The error is returned instead of raised: tracebacks may show the frames, and these hold the token. The error
        does not quote the function's own error, which may hold it as well.

        Args:
            seconds: How long an async function may take.
            pauses: Gives it the time back in which this process did not run.
        """
        task = asyncio.current_task()
        assert task is not None, "requests are made by tasks"
        cancelling = task.cancelling()
        waiting = asyncio.timeout(seconds)
        cancelled: tuple[object, ...] | None = None
        returned: object = None
        try:
            returned = self._function()
            if inspect.isawaitable(returned):
                pauses.add(waiting)
                async with waiting:
                    # Others may wait for the same future: it is not ours to cancel.
                    returned = await (asyncio.shield(returned) if asyncio.isfuture(returned) else returned)
        except asyncio.CancelledError as error:
            cancelled = error.args
        except Exception as cause:  # noqa: BLE001 - a user's function may raise anything
            if isinstance(cause, TimeoutError) and waiting.expired():
                return TokenError(f"{_CALLABLE} took longer than {seconds:g} s")
            return TokenError(f"{_CALLABLE} failed: {_describe(cause)}")
        finally:
            pauses.remove(waiting)
        if cancelled is not None:
            if task.cancelling() > cancelling:
                # A new one: the frames of the first one may hold the token. anyio knows its own by the arguments.
                raise asyncio.CancelledError(*cancelled)
            return TokenError(f"{_CALLABLE} was cancelled by other code")
        return self._wrap(returned)

    def _wrap(self, returned: object) -> Secret | TokenError:
        value = _plain_text(reveal(returned))
        problem = token_problem(value)
        if problem is not None:
            return TokenError(f"{_CALLABLE} returned an invalid token: {problem.message}")
        if self._last is None or self._last.value != value:
            # A response to a new token may still quote the previous ones.
            former = () if self._last is None else (self._last.value, *self._last.former)
            self._last = Secret(str(value), former[:_MAX_FORMER])
        return self._last


def hidden_token(token: object) -> Secret | TokenProvider | InvalidValueError | InvalidTypeError:
    """Return a user's token, wrapped so that nothing prints it, or the error if it can't be used."""
    if callable(token):
        return TokenProvider(cast("TokenFunction", token))
    name = "token"
    if isinstance(token, FromEnvironment):
        name, token = repr(token), token.token()
    token = reveal(token)
    if isinstance(token, InvalidValueError):
        return token
    if not isinstance(token, str):
        return InvalidTypeError(f"token must be a str, or a function that returns one, got {type(token).__name__}")
    value = _plain_text(token)
    return token_problem(value, name) or Secret(str(value))


def fingerprint(token: Secret | TokenProvider, base_url: str, name: str | None, key: str) -> str | None:
    """Return a keyed hash of an account, for notes that must not hold its token.

    Args:
        token: The account's token, or its provider.
        base_url: The base URL.
        name: A name of the account to take instead of both, or None.
        key: The key, at most 64 ASCII characters.

    Returns:
        "name:" or "token:", and the hash; None if a provider has not returned a token yet.
    """
    secret = token.last if isinstance(token, TokenProvider) else token
    if name is not None:
        kind, parts = "name", [name]
    elif secret is None:
        return None
    else:
        kind, parts = "token", [base_url, secret.value]
    hashed = blake2b(key=key.encode(), digest_size=16)
    for part in parts:
        hashed.update(part.encode("utf-8", "surrogatepass") + b"\n")
    return f"{kind}:{hashed.hexdigest()}"


def _plain_text(token: object) -> object:
    """Return a str without the methods of a subclass: then the text that is checked is the text that is sent."""
    return str.__str__(token) if isinstance(token, str) else token


def _describe(cause: Exception) -> str:
    """Return an error's class, and the place in the code that raised it."""
    place = cause.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    assert place is not None, "it was raised"
    return f"{type(cause).__name__} in {PurePath(place.tb_frame.f_code.co_filename).name}, line {place.tb_lineno}"
