"""Does what a walk asks for: requests its pages, some of them ahead of time, and hands them on."""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial
from itertools import islice
from typing import Final, TypedDict

from attrs import asdict, frozen

from plugchat_async._http.telemetry import Dispatcher, WalkObserver
from plugchat_async._http.urls import CHATS_PATH
from plugchat_async._internal.validation import check_choice, check_function, check_int, check_optional_int, check_type
from plugchat_async._pagination import (
    Consistency,
    FetchPage,
    PeekPage,
    ServerTraits,
    Step,
    StopOn,
    WalkContext,
    WalkState,
    WalkStats,
    advance,
    begin,
    pack,
    unpack,
    walk,
)
from plugchat_async._pagination.prefetch import Prefetcher
from plugchat_async.errors import (
    ConsistencyError,
    InvalidValueError,
    PlugChatError,
    SessionStateError,
    TokenError,
    UnexpectedStatusError,
)
from plugchat_async.models import Page, WalkReport

logger = logging.getLogger("plugchat_async.walk")

OnPage = Callable[[Page], object]
OnReport = Callable[[WalkReport], object]

# How a server may say that a page does not exist.
_NO_SUCH_PAGE = frozenset({400, 404, 410, 416, 422})
# More requests than that at once are not for one account.
MAX_PREFETCH = 1000
# The steps that are answered with a page. A union would be made anew for each one.
_ASKING: Final = (FetchPage, PeekPage)
# What the walk is sent where it does not look.
_NOTHING = Page(1, 1, (), b"")
# How many texts to free at a time, which takes a millisecond; up to twice as many are freed without a pause.
_AT_A_TIME = 10_000
# `WalkReport.reason` of a walk that was left, as by a `limit`.
LEFT: Final = "the caller ended the walk"
# Logged once a walk: the page, and its first problem. A gateway that has changed its spelling would fill the log.
PROBLEM_WARNING: Final = (
    "page %d, %s. Such values are read as the field's default, such rows are left out; `Page.problems` has the others"
)


class ChatsOptions(TypedDict, total=False):
    """The keyword options of `PlugChatSession.iter_chats`, for functions that pass them on."""

    limit: int | None
    start_page: int
    stop_on: StopOn
    consistency: Consistency
    prefetch: int
    max_pages: int
    require_verified: bool
    resume: str | None
    on_page: OnPage | None
    on_report: OnReport | None


@frozen(kw_only=True, eq=False, repr=False)
class WalkOptions:
    """The options of a walk, as the session's methods take and describe them."""

    page_size: int = 100
    start_page: int = 1
    limit: int | None = None
    stop_on: StopOn = "short"
    consistency: Consistency = "exact"
    prefetch: int = 0
    max_pages: int = 100_000
    require_verified: bool = False
    resume: str | None = None
    on_page: OnPage | None = None
    on_report: OnReport | None = None

    def state(self, path: str = CHATS_PATH) -> WalkState:
        """Check the options, and give where a walk over a call begins, whose path it is.

        InvalidValueError or InvalidTypeError if one is wrong.
        """
        check_int("page_size", self.page_size, minimum=1)
        check_optional_int("limit", self.limit, minimum=0)
        check_int("start_page", self.start_page, minimum=1)
        check_int("max_pages", self.max_pages, minimum=1)
        check_int("prefetch", self.prefetch, minimum=0, maximum=MAX_PREFETCH)
        check_choice("stop_on", self.stop_on, ("short", "empty"))
        check_choice("consistency", self.consistency, ("exact", "strict", "plain"))
        check_type("require_verified", self.require_verified, bool)
        check_type("resume", self.resume, str, optional=True)
        check_function("on_page", self.on_page, "a Page")
        check_function("on_report", self.on_report, "a WalkReport")
        if self.resume is None and self.start_page > 1 and self.consistency != "plain":
            raise InvalidValueError(
                f"consistency={self.consistency!r} reads the whole list: start_page must be 1, got {self.start_page}",
                'To go on after an error, give resume=error.checkpoint; else give consistency="plain".',
            )
        if self.resume is not None:
            state = unpack(self.resume, path)
            if self.prefetch and state.stage == "passes" and not state.phase:
                state.stage = "ahead"  # what was read in order is as good as what was not
        else:
            state = WalkState(
                consistency=self.consistency,
                page_size=self.page_size,
                stop_on=self.stop_on,
                start_page=self.start_page,
                path=path,
                size=self.page_size,
                number=self.start_page,
            )
            begin(state, ahead=self.prefetch > 0)
        if self.require_verified and state.consistency == "plain":
            raise InvalidValueError(
                'consistency="plain" proves nothing: it can not be verified',
                'Give consistency="exact" or "strict", or leave out require_verified.',
            )
        return state


class ChatWalk:
    """A walk that is under way. `next` gives its pages, `close` must be called at the end, and gives its report.

    It is no async generator: where one stands within another, Python closes both at the same time, and they collide.

    account: whose it is, where many are fetched. teller: whom to tell of it, if anybody wants to know; `fetch` then
    takes the walk as `walk`, too.
    """

    def __init__(
        self,
        state: WalkState,
        options: WalkOptions,
        *,
        fetch: Callable[..., Awaitable[Page]],
        sizes: ServerTraits,
        monotonic: Callable[[], float],
        account: str | None = None,
        dispatcher: Dispatcher | None = None,
    ) -> None:
        self._state = state
        self._options = options
        self._monotonic = monotonic
        self._account = account
        self._told = None if dispatcher is None else WalkObserver(dispatcher)
        self._stats = WalkStats()
        of_walk = fetch if self._told is None else partial(fetch, walk=self._told)
        self._ahead = Prefetcher(of_walk, options.prefetch, state.stop_on, _stop_at(state, options.limit))
        self._steps = walk(state, WalkContext(options.max_pages, sizes, ahead=options.prefetch > 0, stats=self._stats))
        self._started: float | None = None
        self._unfinished = LEFT
        self._error: PlugChatError | None = None
        self._problems = 0
        self.saw_unreadable = False
        """Whether a page that was read had rows that are no chats."""

    async def next(self) -> Page | None:
        """Give the next page, or None at the end of the list.

        A page is fetched wholly, then given: only requests made ahead of time are under way meanwhile.
        """
        try:
            step = self._advance(_NOTHING)
            while isinstance(step, _ASKING):
                page = await self._answer(step)
                step = self._advance(page)
                del page
        except PlugChatError as error:
            self._unfinished = f"the walk failed: {type(error).__name__}"
            self._error = error
            raise
        if step is None:
            self._unfinished = ""
            return None
        if self._options.on_page is not None:
            self._options.on_page(step.page)
        return step.page

    async def close(self) -> None:
        """End the walk: cancel what is under way, and report, whatever else happens. Closing it twice does no harm.

        ConsistencyError if the walk has reached its end, was to be verified, and is not.
        """
        self._steps.close()
        try:
            await self._ahead.close()
        finally:
            started, self._started = self._started, None
            if started is not None:
                self._report(self._monotonic() - started)
        await self._forget()

    async def _forget(self) -> None:
        """Let go of who was seen, with pauses: to free a million texts in one go keeps the event loop for 50 ms."""
        seen = self._state.seen
        while len(seen) > 2 * _AT_A_TIME:
            deque(islice(iter(seen.pop, None), _AT_A_TIME), maxlen=0)  # a loop of Python's takes 1.7 times as long
            await asyncio.sleep(0)

    def _advance(self, page: Page) -> Step | None:
        try:
            if self._started is None:
                self._started = self._monotonic()
                if self._told is not None:
                    state = self._state
                    self._told.begin(
                        consistency=state.consistency,
                        page_size=state.page_size,
                        prefetch=self._options.prefetch,
                        account=self._account,
                    )
                return next(self._steps)
            return advance(self._steps, page)
        except PlugChatError as error:
            error.checkpoint = pack(self._state)
            raise

    async def _answer(self, step: FetchPage | PeekPage) -> Page:
        """Give the page that a step asks for; an error says where the walk goes on."""
        if isinstance(step, PeekPage):
            return self._ahead.peek(step)
        try:
            page = await self._ahead.get(step)
        except PlugChatError as error:
            refused = isinstance(error, UnexpectedStatusError) and error.status in _NO_SUCH_PAGE
            unknown = step.probe == "far" and not isinstance(error, SessionStateError | TokenError)
            if unknown or (step.probe == "check" and refused):
                return Page(step.number, step.size, (), b"")
            error.page = step.resume_page
            if error.page_size is None:
                error.page_size = step.size
            error.checkpoint = pack(self._state)
            raise
        if page.problems:
            self._note_problems(page)
        return page

    def _note_problems(self, page: Page) -> None:
        """Count what could not be read, and warn of the first of it."""
        if not self._problems:
            fields = {"plugchat_account": self._account, "plugchat_page": page.number}
            logger.warning(PROBLEM_WARNING, page.number, page.problems[0], extra=fields)
        self._problems += page.problem_count
        self.saw_unreadable = self.saw_unreadable or page.unreadable > 0

    def _report(self, elapsed: float) -> None:
        stats, unfinished = self._stats, self._unfinished
        report = WalkReport(
            self._ahead.requests,
            stats.pages,
            stats.chats,
            stats.duplicates,
            stats.recovered,
            stats.passes,
            stats.verified and not unfinished,
            unfinished or stats.reason,
            elapsed,
            self._problems,
        )
        unsure = not (unfinished or stats.verified or self._state.consistency == "plain")
        unverified = None
        if unsure and self._options.require_verified:
            unverified = ConsistencyError(f"the walk is not verified: {stats.reason}", reason=stats.reason)
        error, self._error = self._error or unverified, None
        if self._told is not None:
            self._told.end(report, error)
        account = {"plugchat_account": self._account}
        if logger.isEnabledFor(logging.DEBUG):
            fields = account | {f"plugchat_{name}": value for name, value in asdict(report).items()}
            logger.debug("%r", report, extra=fields)
        if self._options.on_report is not None:
            try:
                self._options.on_report(report)
            except Exception as failure:  # the caller's function may raise anything
                if not unfinished:
                    raise
                # It must not take the place of what ended the walk.
                fields = account | {"plugchat_error": type(failure).__name__, "plugchat_reason": unfinished}
                logger.exception("on_report failed", extra=fields)
        if unverified is not None:
            raise unverified
        if unsure:
            fields = account | {"plugchat_reason": stats.reason}
            logger.warning("it is not certain that no chat was missed: %s", stats.reason, extra=fields)


def _stop_at(state: WalkState, limit: int | None) -> int | None:
    """Give the place in the list from which on no chat is wanted, or None if all are."""
    if limit is None:
        return None
    return limit + (state.end if state.stage == "cover" else (state.number - 1) * state.size)
