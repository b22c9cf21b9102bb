"""Items one by one, from an iterable or an async iterable."""

import asyncio
import inspect
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from functools import partial
from typing import Final, Generic, TypeVar, cast

from plugchat_async.errors import InvalidTypeError

T = TypeVar("T")
# None may be an item.
_END: Final = object()


class Source(Generic[T]):
    """Returns the items of an iterable or async iterable one by one, to several tasks.

    The iterable is never advanced by two tasks at the same time, nor after it has ended or failed.

    Args:
        name: The name of the argument, for messages.
        things: The iterable.
        kind: The class of the items. InvalidTypeError is raised, here or by `next`, if it is another.
        wanted: Returns whether to keep an item (default None: all are kept).
        hint: Returns what to do, in words, about something of a class that is neither an iterable nor an item (default:
            the error's own advice).
    """

    def __init__(
        self,
        name: str,
        things: object,
        kind: type[T],
        wanted: Callable[[T], bool] | None = None,
        *,
        hint: Callable[[type], str] = lambda _: "",
    ) -> None:
        self._name = name
        self._kind = kind
        self._wanted = wanted
        self._hint = hint
        self._lock = asyncio.Lock()
        self._ended = False
        self._iterator: Iterator[object] | AsyncIterator[object]
        if isinstance(things, AsyncIterable):
            self._iterator = aiter(cast("AsyncIterable[object]", things))
        elif isinstance(things, Iterable) and not isinstance(things, str | bytes):
            self._iterator = iter(cast("Iterable[object]", things))
        else:
            raise InvalidTypeError(
                f"{name} must be an iterable or async iterable of {kind.__name__}, got {type(things).__name__}",
                "Await it first: it comes from a call." if inspect.isawaitable(things) else hint(type(things)),
            )

    def take_all(self) -> list[T]:
        """Return all items that are left, of an iterable that is not async."""
        assert not isinstance(self._iterator, AsyncIterator), "those are awaited"
        return list(iter(partial(self._take, self._iterator), None))

    async def next(self) -> T | None:
        """Return the next item, or None at the end."""
        if isinstance(self._iterator, AsyncIterator):
            async with self._lock:
                return await self._take_async(self._iterator)
        return self._take(self._iterator)

    def _take(self, iterator: Iterator[object]) -> T | None:
        while not self._ended:
            self._ended = True  # reset when there is one more
            found = self._checked(next(iterator, _END))
            if found is not None:
                return found
        return None

    async def _take_async(self, iterator: AsyncIterator[object]) -> T | None:
        while not self._ended:
            self._ended = True
            found = self._checked(await anext(iterator, _END))
            if found is not None:
                return found
        return None

    def _checked(self, thing: object) -> T | None:
        """Return an item, or None if it is not wanted. Raise InvalidTypeError if it is of another class."""
        if thing is _END:
            return None
        if not isinstance(thing, self._kind):
            kind = type(thing)
            del thing  # it may be a token
            problem = f"{self._name} must yield {self._kind.__name__}, got {kind.__name__}"
            raise InvalidTypeError(problem, self._hint(kind))
        self._ended = False
        return thing if self._wanted is None or self._wanted(thing) else None
