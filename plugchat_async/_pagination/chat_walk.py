"""ChatWalk: a walk over the pages of an account. It makes the requests that the walkers ask for."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from functools import partial
from typing import Any, Final, Generic, Self, cast

from attrs import evolve

from plugchat_async._internal.steps import finish_in_turns
from plugchat_async._items import ItemT
from plugchat_async._pagination.account_mark import Fingerprint, WalkMark
from plugchat_async._pagination.checkpoint import CheckpointPacker, restored
from plugchat_async._pagination.options import WalkSettings
from plugchat_async._pagination.page_source import PageIterator, PageSource, walk_closed
from plugchat_async._pagination.prefetch import Prefetcher, place_to_stop
from plugchat_async._pagination.server_traits import ListMemory, size_up_to
from plugchat_async._pagination.step_answers import NOTHING, REQUESTS, StepAnswers
from plugchat_async._pagination.strategy import walk
from plugchat_async._pagination.walk_context import WalkContext, WalkStats
from plugchat_async._pagination.walk_reporter import WalkReporter
from plugchat_async._pagination.walk_steps import Step, YieldPage, advance
from plugchat_async.errors import PlugChatError, SessionStateError
from plugchat_async.models import ItemList, Page, WalkReport
from plugchat_async.server_traits import ServerTraits

# `WalkReport.reason` of a walk that was left, or that has reached its `limit`.
LEFT: Final = "the caller ended the walk"
_LONG_PAGE: Final = 2000  # rows, which take a millisecond or more: others run before the caller gets them


class ChatWalk(Generic[ItemT]):
    """A walk over an account's chats, returned by `PlugChatSession.walk_chats`, or over another list, by `walk`.

        async with plugchat.walk_chats(page_size=100) as walk:
            async for chat in walk:
                print(chat.name)
        print(walk.report.verified)

    Iterate it over chats, or `pages()` over pages; each continues where the other one stopped. A step that is
    cancelled, by a timeout for example, loses nothing: the next step continues. After an error the walk is over, and
    each further step raises the same error; resume it with `checkpoint`.

    `async with` or `aclose` end a walk early: prefetched requests are cancelled. Without `prefetch`, no request is in
    flight between two steps. One task at a time may iterate. A walk that was closed, also by `to_list` or a function
    that has written it to a file, is not iterated again: it raises a SessionStateError.
    """

    def __init__(
        self,
        source: PageSource,
        settings: WalkSettings,
        traits: ServerTraits,
        memory: ListMemory | None = None,
        fingerprint: Fingerprint = lambda _: None,
    ) -> None:
        """Check the settings. Nothing is requested before the first step.

        Args:
            source: The pages.
            settings: The options.
            traits: What is known of the server, shared with other walks.
            memory: What is known of the list from an earlier walk (default None: nothing).
            fingerprint: Returns a keyed hash of the account (default None: checkpoints are of any account).
        """
        self._source, self._settings = source, settings
        self._began: float | None = None
        self._ending: str | None = None  # why the walk is over, "" at the end of the list
        self._state = state = settings.state(source.path)
        memory = ListMemory() if memory is None else memory
        self._mark = WalkMark(state, fingerprint, memory.salt)
        is_known = self._mark.check()
        self._packer = CheckpointPacker(state)
        self._stats = WalkStats()
        observer = source.observe_walk()
        self._reporter = WalkReporter(source.account, settings, observer)
        fetch = source.fetch if observer is None else partial(source.fetch, walk=observer)
        # The page that was read last, its chats, and how many of them were yielded.
        page: Page[Any] = Page(max(1, state.page - 1), state.size, restored(state, source.item), b"[]")
        # The page of a checkpoint, until the account's token is known.
        self._withheld: Page[ItemT] | None = page if page.chats and not is_known else None
        self._page: Page[ItemT] = page if is_known else NOTHING
        self._chats, self._yielded = self._page.chats, 0
        self._stats.chats += len(self._chats)
        left = None if settings.limit is None else settings.limit - len(page.chats)
        largest, depth = settings.largest_page(state.config), settings.prefetch
        self._prefetcher = Prefetcher(fetch, depth, state.config.stop_on, place_to_stop(state, left), memory.length)
        self._answers = StepAnswers(source, self._prefetcher, self._reporter)
        context = WalkContext(settings.max_pages, traits, memory, largest, depth > 0, self._stats, source.reread)
        if settings.resume is None and settings.start_page == 1:
            state.size = size_up_to(traits, state.size)
        self._steps = walk(state, context)
        # The request or the page that comes next, or None at the end of the list. `_state` is true to it.
        self._step: Step | None = None
        self._left, self._closed = settings.limit, False
        # The task that is waiting for a page, and the event of its end if another task closes the walk.
        self._reader: asyncio.Task[Any] | None = None
        self._interrupted: asyncio.Event | None = None
        self._elapsed: float | None = None
        # The error that has ended it, and one that will when the last page was yielded.
        self._error: Exception | None = None
        self._failure: PlugChatError | None = None

    def __repr__(self) -> str:
        state = "closed" if self._ending is not None else "new" if self._began is None else "open"
        return f"<ChatWalk {self._source.path} {state}>"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __aiter__(self) -> Self:
        self._check_open()
        return self

    async def __anext__(self) -> ItemT:
        """Return the next chat, in the server's order.

        At the end come those that jumped to its front, and further rows of one person.

        Raises:
            PlugChatError: As `PlugChatSession.fetch_page` raises, with a `checkpoint`; also with `prefetch`, only
                after the chats before it were yielded.
            PageRepeatedError: The server ignores `page`.
            PageLimitError: The list has not ended after `max_pages`.
            PaginationError: The server caps `page_size`, so that `start_page` means another page.
            ConsistencyError: `require_verified` is set, and the walk is not verified.
            SessionStateError: Another task is iterating this walk; from `aiter` and `pages`, it was closed.
        """
        if (self._yielded == len(self._chats) or self._left == 0) and not await self._read_page():
            raise StopAsyncIteration
        if self._left is not None:
            self._left -= 1
        self._yielded += 1
        return self._chats[self._yielded - 1]

    def pages(self) -> AsyncIterator[Page[ItemT]]:
        """Return an iterator over the pages that are left, with the chats that were not yielded yet.

        The last page is cut at `limit`. Empty pages are not yielded. It raises what `anext` of the walk raises.
        """
        self._check_open()
        return PageIterator(self.next_page)

    async def next_page(self) -> Page[ItemT] | None:
        """Return the next page, or None at the end of the walk. It raises what `anext` of the walk raises."""
        if (self._yielded == len(self._chats) or self._left == 0) and not await self._read_page():
            return None
        chats = self._chats[self._yielded :][: self._left]
        self._yielded += len(chats)
        if self._left is not None:
            self._left -= len(chats)
        return self._page if len(chats) == len(self._chats) else evolve(self._page, chats=chats)

    async def to_list(self) -> list[ItemT]:
        """Return the chats that are left, and close the walk. It raises what `aiter` and `anext` of the walk raise.

        If it fails, its error has no `checkpoint`, but the walk has: it yields all chats that you have not got.
        """
        self._check_open()
        chats = ItemList[ItemT]()
        try:
            while (page := await self.next_page()) is not None:
                chats += page.chats
                del page  # while the next one is awaited
        except BaseException as error:
            # The caller does not get them, so they belong into the checkpoint.
            self.put_back(chats)
            if isinstance(error, PlugChatError):
                error.checkpoint = None
            raise
        finally:
            await self.aclose()
        return chats

    def put_back(self, chats: Sequence[ItemT]) -> None:
        """Take back chats that were yielded last but not used, as if they had not been yielded."""
        self._chats, self._yielded = (*chats, *self._chats[self._yielded :]), 0

    @property
    def report(self) -> WalkReport:
        """What the walk has done so far, and whether it is known to have missed nothing."""
        stats, ending = self._stats, self._ending
        if ending is None:
            ending = "the walk has not ended"
        next_page = self._step.page.chats if isinstance(self._step, YieldPage) else ()
        elapsed = self._elapsed
        if elapsed is None:
            elapsed = 0.0 if self._began is None else self._source.clock.monotonic() - self._began
        return WalkReport(
            self._prefetcher.requests,
            stats.pages,
            stats.chats - len(next_page) - len(self._chats) + self._yielded,
            stats.duplicates,
            stats.recovered,
            stats.passes,
            stats.verified and not ending,
            ending or stats.reason,
            elapsed,
            self._reporter.problems,
        )

    @property
    def checkpoint(self) -> str:
        """A string to resume the walk with, valid at any moment: it covers exactly the chats that were yielded.

        It has the key of each chat that was read (phone and lid) and, in the middle of a page, the chats that were read
        but not yielded: keep it private. It packs what is new since the last one; the first one of a million chats
        takes a second: use `checkpoint_async`.
        """
        pending: tuple[Any, ...] = self._chats[self._yielded :] if self._withheld is None else self._withheld.chats
        if isinstance(self._step, YieldPage):
            pending += self._step.page.chats
        return self._packer.pack(pending)

    async def checkpoint_async(self) -> str:
        """Return the `checkpoint`, without keeping the event loop: what was not packed is packed in steps."""
        await finish_in_turns(self._packer.pack_keys())
        return self.checkpoint

    @property
    def saw_unreadable(self) -> bool:
        """Whether a page had rows that could not be read as chats."""
        return self._reporter.saw_unreadable

    @property
    def ended(self) -> bool:
        """Whether the walk is over: at the end of the list, at its limit, after an error, or closed."""
        return self._ending is not None

    async def aclose(self) -> None:
        """End the walk: cancel its requests, and report. It can be called again."""
        if self._ending is None:
            self._ending = LEFT
        self._closed, self._left = True, 0  # the chats that are left stay in the checkpoint
        if self._reader not in (None, asyncio.current_task()):
            if self._interrupted is None:
                self._interrupted = asyncio.Event()
                self._reader.cancel()
            await self._interrupted.wait()
        await self._end()

    async def discard(self) -> None:
        """End the walk, for shortcuts that need no checkpoint later, and free its memory in steps."""
        await self.aclose()
        self._error = self._failure = None  # the frames of an error hold the walk
        await finish_in_turns(self._state.free())

    def _check_open(self) -> None:
        if self._closed and self._error is None:  # else that comes again
            raise walk_closed()

    async def _read_page(self) -> bool:
        """Read the next page. Return whether there is one; if not, the walk is over."""
        if self._reader is not None:
            raise SessionStateError(
                "another task is iterating this walk", "Iterate a walk in one task, or start one walk for each task."
            )
        if self._error is not None:
            raise self._error
        if self._ending is not None:
            return False
        self._reader = reader = cast("asyncio.Task[Any]", asyncio.current_task())
        cancelling = reader.cancelling()
        try:
            found = await self._try_to_read()
        except asyncio.CancelledError:
            if self._interrupted is None or reader.cancelling() - 1 > cancelling:
                raise  # the next step continues
            return False
        except Exception as error:  # the caller's functions may raise anything
            self._error, self._left = error, 0
            if self._ending is None:  # else it has failed at the end
                self._ending = f"the walk failed: {type(error).__name__}"
                await self._end()
            raise
        else:
            # Code that swallows the cancellation may still have got a page: it stays in the checkpoint.
            return found and self._interrupted is None
        finally:
            self._reader = None
            if self._interrupted is not None:
                reader.uncancel()
                self._interrupted.set()

    async def _try_to_read(self) -> bool:
        page: Page[ItemT] | None = None
        if self._left != 0:
            self._page, self._chats, self._yielded = NOTHING, (), 0  # not needed while the next page is awaited
            page = await self._next_page()
        if page is None:
            if self._ending is None:  # else it was closed within this step
                self._ending = LEFT if self._left == 0 else ""
                await self._end()
            return False
        self._page, self._chats, self._yielded = page, page.chats, 0
        if self._settings.on_page is not None:
            self._settings.on_page(cast("Page", page))
        return True

    async def _next_page(self) -> Page[ItemT] | None:
        """Answer steps until one yields a page. A step that is cancelled is answered by the next call."""
        if self._began is None:
            self._began = self._source.clock.monotonic()
            self._reporter.begin(self._state.config)
            self._step = next(self._steps, None)
        while isinstance(self._step, REQUESTS):
            try:
                page: Page[Any] = await self._answers.answer(self._step)
            except PlugChatError as error:
                error.checkpoint = await self.checkpoint_async()
                raise
            self._mark.set()
            self._advance(page)
            if self._withheld is not None:
                page, self._withheld = self._withheld, None
                self._stats.chats += len(page.chats)
                return page
            if page.length > _LONG_PAGE:
                await asyncio.sleep(0)
            del page
        if self._failure is not None:
            self._failure.account, self._failure.checkpoint = self._source.account, await self.checkpoint_async()
            raise self._failure
        if self._step is None:
            return None
        found: Page[Any] = self._step.page
        self._advance(NOTHING)
        return found

    def _advance(self, page: Page[Any]) -> None:
        """Go on to the next request or page: only there the state is a checkpoint. An error waits for its turn."""
        try:
            self._step = advance(self._steps, page)
        except PlugChatError as error:
            self._step, self._failure = None, error

    async def _end(self) -> None:
        """Cancel the requests, and report once."""
        self._steps.close()
        try:
            await self._prefetcher.close()
        finally:
            if self._began is not None and self._elapsed is None:
                self._elapsed = self._source.clock.monotonic() - self._began
                provable = self._state.config.consistency != "plain"
                error = self._error if isinstance(self._error, PlugChatError) else None
                self._reporter.end(self.report, error, left=bool(self._ending), provable=provable)
