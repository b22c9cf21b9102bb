"""Does what a walk asks for: requests its pages, some of them ahead of time, and hands them on."""

import inspect
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import closing

from attrs import frozen

from plugchat_async._ahead import FetchPage, PagesAhead
from plugchat_async._arguments import check_choice, check_int, check_type
from plugchat_async._walk import (
    Consistency,
    Deliver,
    Fetch,
    Ledger,
    PageSizes,
    Peek,
    Standing,
    Step,
    StopOn,
    Terms,
    Walk,
    advance,
    begin,
    pack,
    unpack,
    walk,
)
from plugchat_async.errors import (
    ConsistencyError,
    InvalidTypeError,
    InvalidValueError,
    PlugChatError,
    SessionStateError,
    UnexpectedStatusError,
)
from plugchat_async.models import Page, WalkReport

logger = logging.getLogger("plugchat_async.walk")

OnPage = Callable[[Page], object]
OnReport = Callable[[WalkReport], object]

# How a server may say that a page does not exist.
_NO_SUCH_PAGE = frozenset({400, 404, 410, 416, 422})
# More requests than that at once are not for one account.
MOST_PREFETCH = 1000
# What the walk is sent where it does not look.
_NOTHING = Page(1, 1, (), b"")


@frozen(kw_only=True)
class WalkOptions:
    """The options of a walk, as the session's methods take and describe them."""

    page_size: int
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

    def standing(self) -> Standing:
        """Check the options, and give where the walk begins. InvalidValueError or InvalidTypeError if one is wrong."""
        check_int("page_size", self.page_size, least=1)
        check_int("start_page", self.start_page, least=1)
        check_int("max_pages", self.max_pages, least=1)
        check_int("prefetch", self.prefetch, least=0, most=MOST_PREFETCH)
        check_choice("stop_on", self.stop_on, ("short", "empty"))
        check_choice("consistency", self.consistency, ("exact", "strict", "plain"))
        check_type("require_verified", self.require_verified, bool)
        check_type("resume", self.resume, str, optional=True)
        _check_callback("on_page", self.on_page, "a Page")
        _check_callback("on_report", self.on_report, "a WalkReport")
        if self.start_page > 1 and self.consistency != "plain":
            raise InvalidValueError(
                f"consistency={self.consistency!r} reads the whole list: start_page must be 1, got {self.start_page}",
                'To go on after an error, give resume=error.checkpoint; else give consistency="plain".',
            )
        if self.resume is not None:
            standing = unpack(self.resume)
        else:
            standing = Standing(
                consistency=self.consistency,
                page_size=self.page_size,
                stop_on=self.stop_on,
                start_page=self.start_page,
                size=self.page_size,
                number=self.start_page,
            )
            begin(standing, ahead=self.prefetch > 0)
        if self.require_verified and standing.consistency == "plain":
            raise InvalidValueError(
                'consistency="plain" proves nothing: it can not be verified',
                'Give consistency="exact" or "strict", or leave out require_verified.',
            )
        return standing


def _check_callback(name: str, value: object, argument: str) -> None:
    if value is not None and (not callable(value) or inspect.iscoroutinefunction(value)):
        raise InvalidTypeError(f"{name} must be a plain function of {argument}", "Give a function that is not async.")


async def drive(
    standing: Standing, options: WalkOptions, fetch: FetchPage, sizes: PageSizes, monotonic: Callable[[], float]
) -> AsyncGenerator[Page, None]:
    """Walk. A page is fetched wholly, then yielded; only requests made ahead of time are under way meanwhile."""
    ledger = Ledger()
    terms = Terms(options.max_pages, sizes, ahead=options.prefetch > 0, ledger=ledger)
    horizon = None if options.limit is None else (standing.start_page - 1) * standing.page_size + options.limit
    ahead = PagesAhead(fetch, options.prefetch, horizon)
    started = monotonic()
    unfinished = "the caller ended the walk"
    try:
        with closing(walk(standing, terms)) as steps:
            step: Step | None = next(steps)
            while step is not None:
                page = _NOTHING
                if isinstance(step, Deliver):
                    if options.on_page is not None:
                        options.on_page(step.page)
                    yield step.page
                else:
                    page = await _answer(step, ahead, standing)
                step = _advance(steps, page, standing)
        unfinished = ""
    except PlugChatError as error:
        unfinished = f"the walk failed: {type(error).__name__}"
        raise
    finally:
        await ahead.close()
        report = WalkReport(
            ahead.requests,
            ledger.pages,
            ledger.chats,
            ledger.duplicates,
            ledger.late_finds,
            ledger.phases,
            ledger.verified and not unfinished,
            unfinished or ledger.reason,
            monotonic() - started,
        )
        logger.debug("%r", report)
        if options.on_report is not None:
            options.on_report(report)
    if not ledger.verified and standing.consistency != "plain":
        if options.require_verified:
            raise ConsistencyError(f"the walk is not verified: {ledger.reason}", reason=ledger.reason)
        logger.warning("it is not certain that no chat was missed: %s", ledger.reason)


def _advance(steps: Walk, page: Page, standing: Standing) -> Step | None:
    try:
        return advance(steps, page)
    except PlugChatError as error:
        error.checkpoint = pack(standing)
        raise


async def _answer(step: Fetch | Peek, ahead: PagesAhead, standing: Standing) -> Page:
    """Give the page that a step asks for; an error says where the walk goes on."""
    if isinstance(step, Peek):
        return ahead.peek(step)
    try:
        return await ahead.get(step)
    except PlugChatError as error:
        refused = isinstance(error, UnexpectedStatusError) and error.status in _NO_SUCH_PAGE
        unknown = step.probe == "far" and not isinstance(error, SessionStateError)
        if unknown or (step.probe == "check" and refused):
            return Page(step.number, step.size, (), b"")
        error.page = step.resume_page
        if error.page_size is None:
            error.page_size = step.size
        error.checkpoint = pack(standing)
        raise
