"""The options of a walk: a TypedDict for callers, and a class with their defaults and checks."""

from collections.abc import Callable
from typing import TypedDict

from attrs import frozen

from plugchat_async._internal.validation import (
    check_choice,
    check_function,
    check_int,
    check_optional_int,
    check_type,
)
from plugchat_async._pagination.account_mark import check_account_name
from plugchat_async._pagination.checkpoint import unpack
from plugchat_async._pagination.walk_state import Consistency, StopOn, WalkConfig, WalkState
from plugchat_async.errors import InvalidValueError
from plugchat_async.models import Page, WalkReport

OnPage = Callable[[Page], object]
OnReport = Callable[[WalkReport], object]

# More requests than that at once are not for one account.
MAX_PREFETCH = 1000


class CommonWalkOptions(TypedDict, total=False):
    """The options that walks over one account and over many accounts have in common.

    Attributes:
        limit: The number of chats to yield at most (default None: all). No page is requested beyond them.
        stop_on: "short" (default) ends the walk at a page with fewer chats than `page_size`, the vendor's contract.
            "empty" continues until an empty page. Empty pages are not yielded.
        consistency: The guarantee while the list changes.
            "exact" (default): yields every chat that exists for the whole walk exactly once, however the list moves, if
            no chat is deleted. Costs no extra request for a quiet account, usually one if chats move.
            "strict": also if chats are deleted. Begins with a page of `max_page_size`: one request for a list that is
            shorter. A longer list is read twice, in such pages, and must be sorted by `last_message_time`.
            "plain": whatever the server sends. While a list changes, chats come twice or are missed.
        prefetch: The number of pages to request ahead of the caller (default 0: each page is requested when it is
            needed). Pages come in order. Nothing is requested ahead of page 2, one page ahead of page 3, and one more
            with each page; of a long list that the session has read before, all from page 2 on. Up to prefetch + 1
            pages are held in memory. At most `max_concurrency` of the session are in flight.
        max_pages: The number of pages to read before PageLimitError (default 100,000). Checks are not counted.
        max_page_size: The largest `pageSize` to request (default 1,000). One page with the whole list proves that no
            chat was missed: "strict" begins with it, "exact" ends its doubts with it. None: never more than
            `page_size`. A server that refuses it, or sends less, is noticed.
        require_verified: Whether ConsistencyError is raised at the end if it is not proven that no chat was missed
            (default False: a warning is logged). A walk that the caller leaves, or that ends at its `limit`, is not
            checked.
    """

    limit: int | None
    stop_on: StopOn
    consistency: Consistency
    prefetch: int
    max_pages: int
    max_page_size: int | None
    require_verified: bool


class WalkOptions(CommonWalkOptions, total=False):
    """The keyword options of `PlugChatSession.walk_chats`, for functions that pass them on.

    Attributes:
        start_page: The first page, from 1 (default 1); more than 1 only with consistency="plain".
        resume: The `checkpoint` of an error or of a `ChatWalk`, to resume that walk: chats that it yielded are not
            yielded again. `page_size`, `start_page`, `stop_on` and `consistency` are those of the checkpoint, and
            `max_page_size` is not larger than there; a `limit` counts from 0 again. The guarantees of "exact" and
            "strict" cover both walks and the time between.
        account: A name of your own for the account, such as its number (default None). A checkpoint is marked with a
            hash of the base URL and the token, and can't be resumed with another account. If either changes, pass a
            name, each time the same: the checkpoint is marked with that instead.
        on_page: A plain function, called with each Page before it is yielded, as for progress displays (default None).
            If it raises an exception, the walk ends with it.
        on_report: A plain function, called with the WalkReport when a walk that has requested something ends, for
            whatever reason (default None).
    """

    start_page: int
    resume: str | None
    account: str | None
    on_page: OnPage | None
    on_report: OnReport | None


@frozen(kw_only=True, eq=False, repr=False)
class WalkSettings:
    """`WalkOptions` and `page_size` with their defaults, not yet checked. See `state`."""

    page_size: int = 100
    limit: int | None = None
    stop_on: StopOn = "short"
    consistency: Consistency = "exact"
    prefetch: int = 0
    max_pages: int = 100_000
    max_page_size: int | None = 1000
    require_verified: bool = False
    start_page: int = 1
    resume: str | None = None
    account: str | None = None
    on_page: OnPage | None = None
    on_report: OnReport | None = None

    def state(self, path: str) -> WalkState:
        """Check the settings, and return the state in which a walk starts.

        Args:
            path: The path of the call that is walked.

        Raises:
            InvalidValueError: A setting has a wrong value, or two of them contradict each other.
            InvalidTypeError: A setting has a wrong type.
        """
        check_int("page_size", self.page_size, minimum=1)
        check_optional_int("limit", self.limit, minimum=0)
        check_int("start_page", self.start_page, minimum=1)
        check_int("max_pages", self.max_pages, minimum=1)
        check_optional_int("max_page_size", self.max_page_size, minimum=1)
        check_int("prefetch", self.prefetch, minimum=0, maximum=MAX_PREFETCH)
        check_choice("stop_on", self.stop_on, ("short", "empty"))
        check_choice("consistency", self.consistency, ("exact", "strict", "plain"))
        check_type("require_verified", self.require_verified, bool)
        check_type("resume", self.resume, str, optional=True)
        check_account_name(self.account)
        check_function("on_page", self.on_page, "a Page")
        check_function("on_report", self.on_report, "a WalkReport")
        state = self._resumed(self.resume, path) if self.resume is not None else self._new(path)
        if self.require_verified and state.config.consistency == "plain":
            raise InvalidValueError(
                'consistency="plain" proves nothing, so it cannot be verified',
                'Use consistency="exact" or "strict", or leave out require_verified.',
            )
        return state

    def largest_page(self, config: WalkConfig) -> int:
        """Return the largest page size that the walk may request: a page that may hold the whole list.

        With a `limit` that is smaller, no chat beyond it should be requested, and nothing is proven anyway.

        Args:
            config: How the list is to be read, as the walk began. What it may not request, a resumed walk may not.
        """
        size, first = self.max_page_size, config.max_page_size
        if size is None or first is None or (self.limit is not None and self.limit < size):
            return config.page_size
        return max(min(size, first or size), config.page_size)

    def _new(self, path: str) -> WalkState:
        if self.start_page > 1 and self.consistency != "plain":
            raise InvalidValueError(
                f"consistency={self.consistency!r} reads the whole list: start_page must be 1, got {self.start_page}",
                'To resume after an error, use resume=error.checkpoint; else use consistency="plain".',
            )
        config = WalkConfig(
            path=path,
            page_size=self.page_size,
            consistency=self.consistency,
            stop_on=self.stop_on,
            start_page=self.start_page,
            max_page_size=self.max_page_size,
        )
        return WalkState.at_start(config, ahead=self.prefetch > 0)

    def _resumed(self, checkpoint: str, path: str) -> WalkState:
        state = unpack(checkpoint, path)
        if self.prefetch and state.stage == "passes" and not state.passes:
            state.stage = "ahead"  # pages that were read in order are as good as those that were not
        return state
