"""What a walk needs of an account: its pages, and somebody who observes the walk."""

from collections.abc import Awaitable, Callable, Generator
from typing import Any, Generic, Protocol, Self

from attrs import frozen

from plugchat_async._internal.clock import Clock
from plugchat_async._items import ItemT
from plugchat_async.errors import PlugChatError, SessionStateError
from plugchat_async.models import AccountStatus, Page, WalkReport


class WalkObserver(Protocol):
    """Follows a walk, for telemetry."""

    def begin(self, *, consistency: str, page_size: int, prefetch: int, account: str | None) -> None:
        """Note that the walk begins."""

    def end(self, report: WalkReport, error: PlugChatError | None) -> None:
        """Note that the walk has ended."""


class PageSource(Protocol):
    """The pages of one call of an account. `PageFetcher` requests them over HTTP."""

    @property
    def account(self) -> str | None:
        """The account's name, where there are many."""

    @property
    def path(self) -> str:
        """The path of the call."""
        ...

    @property
    def item(self) -> type[Any]:
        """The class of what its pages hold."""
        ...

    @property
    def clock(self) -> Clock:
        """The clock."""
        ...

    def observe_walk(self) -> WalkObserver | None:
        """Return an observer of a new walk, if there is telemetry. It is passed to `fetch`."""

    def fetch(self, number: int, size: int, walk: Any = None) -> Awaitable[Page]:
        """Return a page, or raise a PlugChatError."""
        ...

    def reread(self, raw: bytes) -> Generator[None, None, tuple[Any, ...]]:
        """Return the chats of a page from its body, as `fetch` did, and pause after every few hundred microseconds."""
        ...

    def fetch_status(self) -> Awaitable[AccountStatus]:
        """Return whether the account's phone is connected, or raise a PlugChatError."""
        ...


@frozen
class PageIterator(Generic[ItemT]):
    """Iterates over pages. Not a generator: that would be over after a step that was cancelled.

    Attributes:
        next_page: Returns the next page, or None at the end.
    """

    _next_page: Callable[[], Awaitable[Page[ItemT] | None]]

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Page[ItemT]:
        page = await self._next_page()
        if page is None:
            raise StopAsyncIteration
        return page


def walk_closed() -> SessionStateError:
    """Return the error of a walk that is iterated after it was closed."""
    return SessionStateError(
        "this walk was closed: it yields no more",
        "Keep what it has yielded, begin another walk, or go on with `resume=walk.checkpoint`.",
    )
