"""PlugChatSession: owns or borrows the aiohttp session, fetches pages, and walks them."""

import os
import ssl
from collections import defaultdict
from collections.abc import AsyncGenerator
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self, Unpack

import aiohttp

from plugchat_async._http.account_status import read_status
from plugchat_async._http.decode import OnBadValue
from plugchat_async._http.page_fetcher import PageFetcher
from plugchat_async._http.resources import (
    HiddenOptions,
    RequestOptions,
    SessionOptions,
    SharedResources,
    hidden_address,
)
from plugchat_async._http.retry import RetryPolicy
from plugchat_async._http.telemetry import Telemetry
from plugchat_async._http.token import TokenFunction, hidden_token
from plugchat_async._http.urls import DEFAULT_BASE_URL, STATUS_PATH
from plugchat_async._internal.clock import Clock
from plugchat_async._internal.validation import check_int
from plugchat_async._pagination import Consistency, ServerTraits, StopOn
from plugchat_async._pagination.runner import ChatsOptions, ChatWalk, OnPage, OnReport, WalkOptions
from plugchat_async.errors import InvalidValueError, PlugChatError
from plugchat_async.models import AccountStatus, Chat, ChatEvent, Page

if TYPE_CHECKING:
    from plugchat_async.watch.options import WatchOptions

TOKEN_VARIABLE: Final = "PLUGCHAT_TOKEN"  # noqa: S105 - the name of the variable
BASE_URL_VARIABLE: Final = "PLUGCHAT_BASE_URL"


class PlugChatSession:
    """A session with one Plug Chat account.

        async with PlugChatSession(token) as plugchat:
            async for chat in plugchat.iter_chats(page_size=100):
                print(chat.name, chat.unread)

    The constructor checks its arguments (InvalidValueError, InvalidTypeError: both ConfigurationErrors), does no I/O,
    and needs no running event loop. Open the session with `async with`, or with `await open()` and `await close()`;
    it belongs to the event loop that it was opened in.

    token: the account's raw token, as the Authorization header takes it. It is printed nowhere. Or, for tokens that
        change, a function, plain or async, that gives the newest one: asked before each request, one at a time, and
        once for a page after 401 or 403, unless the gateway's text says that another token is of no use. If it fails,
        or takes longer than `timeout`, that is a TokenError.
    base_url: an origin, with a path prefix at most (default https://app.plugchat.com.br). https, or http on loopback.
    client_session: an aiohttp.ClientSession to send through instead of one of our own (default None). It is never
        closed here, and its settings apply: headers, middlewares, cookies (so share it between no two accounts). A
        connection of its pool that has gone stale costs an attempt. What its own code raises comes out as it is.
    timeout: seconds for one attempt, body included (default 30.0).
    retry: a RetryPolicy (default: 3 attempts, 60 s a page).
    repair: whether 405 and 415 are answered with a changed request (default True).
    on_bad_value: "warn" (default) replaces a value that can't be read by the field's default, and reports it in
        `Page.problems`, `WalkReport.problems` and one warning a walk; "raise" raises a DecodeError. If more than half
        of a page's rows have neither a phone nor a lid, a DecodeError is raised in any case.
    max_concurrency: requests in flight at most (default 64).
    requests_per_second: requests a second at most, evenly spaced but for a hundredth of a second's, which may go out at once; by
        the event loop's clock (default None: no limit).
    max_response_bytes: the largest body, decompressed, that is read (default 16 MiB).
    proxy: URL of an HTTP proxy (default None: none; the environment's proxies are not used).
    ssl_context: an ssl.SSLContext to verify servers with (default None: Python's).
    telemetry: what is told of walks, pages and attempts, as an OpenTelemetry of
        `plugchat_async.integrations.opentelemetry` (default None: nothing is told).
    clock: clock, sleep and randomness, for tests.
    """

    def __init__(
        self,
        token: str | TokenFunction,
        *,
        base_url: str = DEFAULT_BASE_URL,
        client_session: aiohttp.ClientSession | None = None,
        timeout: float = 30.0,
        retry: RetryPolicy = RetryPolicy(),  # noqa: B008 - frozen
        repair: bool = True,
        on_bad_value: OnBadValue = "warn",
        max_concurrency: int = 64,
        requests_per_second: float | None = None,
        max_response_bytes: int = 16 * 1024 * 1024,
        proxy: str | None = None,
        ssl_context: ssl.SSLContext | None = None,
        telemetry: Telemetry | None = None,
        clock: Clock = Clock(),  # noqa: B008 - frozen
    ) -> None:
        # First, since a traceback that shows locals asks even a half-made session for its repr.
        self._origin = ""
        # What may be a secret is no local of this frame any more when something is raised.
        hidden, address = hidden_token(token), hidden_address(base_url, proxy)
        del token, base_url, proxy
        if isinstance(hidden, PlugChatError):
            raise hidden
        if isinstance(address, PlugChatError):
            raise address
        self._origin, hidden_proxy = address
        options = RequestOptions(
            timeout=timeout,
            retry=retry,
            repair=repair,
            on_bad_value=on_bad_value,
            max_concurrency=max_concurrency,
            requests_per_second=requests_per_second,
            max_response_bytes=max_response_bytes,
            proxy=hidden_proxy,
            ssl_context=ssl_context,
            telemetry=telemetry,
            clock=clock,
        )
        resources = SharedResources(options, client_session)
        self._transport = resources.transport()
        self._exchange = resources.exchange(self._transport, hidden, self._origin)
        # What is known of the server's page sizes, by the path of the call.
        self._traits = defaultdict[str, ServerTraits](ServerTraits)
        self._status_exchange = self._exchange.for_endpoint(STATUS_PATH, Chat)

    @classmethod
    def from_env(cls, **options: Unpack[SessionOptions]) -> Self:
        """Make a session from PLUGCHAT_TOKEN and, if it is set, PLUGCHAT_BASE_URL. `options`: as for the constructor.

        InvalidValueError if PLUGCHAT_TOKEN is not set; otherwise the constructor's errors.
        """
        options.setdefault("base_url", os.environ.get(BASE_URL_VARIABLE) or DEFAULT_BASE_URL)
        hidden = HiddenOptions(options)
        del options  # a traceback may show this frame, and the proxy's URL may hold a password
        if not os.environ.get(TOKEN_VARIABLE):
            raise InvalidValueError(
                f"the environment variable {TOKEN_VARIABLE} is not set",
                f"Set {TOKEN_VARIABLE} to the account's token.",
            )
        return cls(os.environ[TOKEN_VARIABLE], **hidden.options)

    def __repr__(self) -> str:
        state = self._transport.state if "_transport" in vars(self) else "new"
        return f"<PlugChatSession {self._origin} {state}>"

    async def __aenter__(self) -> Self:
        return await self.open()

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self.close()

    async def open(self) -> Self:
        """Open the session in the running event loop; it sends nothing yet. Opening it twice does no harm.

        SessionStateError if it was closed before (make a new one), or if it or its client_session belongs to another
        event loop.
        """
        self._transport.open()
        return self

    async def close(self) -> None:
        """Close the session, and its connections if they are its own. Closing it twice does no harm.

        Requests that are under way, or wait to be repeated, end with SessionStateError.
        """
        await self._transport.close()

    async def fetch_page(self, number: int, page_size: int) -> Page:
        """Fetch one page. `number` counts from 1; `page_size` is how many chats to ask for.

        Raises any PlugChatError but PaginationError, after repairs and retries; see `plugchat_async.errors`.
        """
        check_int("number", number, minimum=1)
        check_int("page_size", page_size, minimum=1)
        return await self._exchange.fetch(number, page_size)

    async def fetch_status(self) -> AccountStatus:
        """Return whether the account's phone is connected to WhatsApp. It costs one request.

        While it is not, the gateway answers the call for chats with an empty list.

        Raises:
            PlugChatError: As `fetch_page` does. ResponseError if the answer is not a status.
        """
        return await self._status_exchange.fetch_result(read_status)

    async def iter_pages(
        self,
        page_size: int = 100,
        *,
        start_page: int = 1,
        stop_on: StopOn = "short",
        consistency: Consistency = "exact",
        prefetch: int = 0,
        max_pages: int = 100_000,
        require_verified: bool = False,
        resume: str | None = None,
        on_page: OnPage | None = None,
        on_report: OnReport | None = None,
    ) -> AsyncGenerator[Page, None]:
        """Walk the list a page at a time.

        page_size: chats to ask for at a time (default 100). A server that caps it to a round number is recognised, and
            asked for pages of its cap.
        start_page: the page to begin with, from 1 (default 1); more than 1 only with consistency="plain".
        stop_on: "short" (default) ends the walk at a page with fewer chats than were asked for, the vendor's contract;
            "empty" goes on until an empty page. Empty pages are not yielded.
        consistency: what is promised while the list moves.
            "exact" (default): each chat that exists all the while is yielded, and none twice, though chats jump to the
            front when they get messages; if none is deleted meanwhile. Costs no request if the account is quiet, and
            one with `prefetch`.
            "strict": so, too, if chats are deleted. The list must be sorted by `last_message_time`, newest first, and
            the server honour any `pageSize`, since pages of several sizes are asked for. Costs a fifth more requests at
            100 chats a page, twice as many at 10.
            "plain": what the server sends, as it comes. While a list moves, it repeats chats and misses some.
        prefetch: how many pages to ask for ahead of the caller (default 0: a page is asked for when it is wanted). They
            come in order; it begins with one and doubles. Up to prefetch + 1 pages are held in memory. More than the
            session's `max_concurrency` are not in flight.
        max_pages: how many pages to read at most before PageLimitError (default 100,000). Checks are not counted.
        require_verified: raise ConsistencyError at the end if it is not proven that nothing was missed (default False:
            a warning is logged). A walk that the caller leaves, or that `limit` ends, is not looked at.
        resume: `checkpoint` of the error that ended a walk, to go on with it: what was yielded is not yielded again.
            `page_size`, `start_page`, `stop_on` and `consistency` are the checkpoint's then; a `limit` counts anew.
            What "exact" and "strict" promise, they promise for both walks and the time between.
        on_page: a plain function, called with each Page before it is yielded, as for progress displays (default None).
            What it raises ends the walk.
        on_report: a plain function, called with the WalkReport when a walk that has begun ends, in whichever way
            (default None).

        Raises what `fetch_page` raises, with a `checkpoint`; with `prefetch`, too, not before the pages before it
        were yielded. PageRepeatedError if the server does not honour `page`; PageLimitError; ConsistencyError;
        PaginationError if the server caps `page_size` and `start_page` is not 1, since it then counts other pages.
        """
        options = WalkOptions(
            page_size=page_size,
            start_page=start_page,
            stop_on=stop_on,
            consistency=consistency,
            prefetch=prefetch,
            max_pages=max_pages,
            require_verified=require_verified,
            resume=resume,
            on_page=on_page,
            on_report=on_report,
        )
        walk = self._walk(options)
        try:
            while (page := await walk.next()) is not None:
                yield page
                del page  # while the next page is waited for
        finally:
            await walk.close()

    async def iter_chats(
        self,
        page_size: int = 100,
        *,
        limit: int | None = None,
        start_page: int = 1,
        stop_on: StopOn = "short",
        consistency: Consistency = "exact",
        prefetch: int = 0,
        max_pages: int = 100_000,
        require_verified: bool = False,
        resume: str | None = None,
        on_page: OnPage | None = None,
        on_report: OnReport | None = None,
    ) -> AsyncGenerator[Chat, None]:
        """Walk the list a chat at a time: all chats of the account, in the server's order, late finds at the end.

        limit: how many chats to yield at most (default None: all). No page is asked for that it does not need.

        The other options, and what is raised, are those of `iter_pages`. A loop may be left at any time: without
        `prefetch` nothing is under way while a chat is yielded, and with it what is under way is cancelled.
        `contextlib.aclosing` closes the generator at once instead of eventually.
        """
        options = WalkOptions(
            page_size=page_size,
            limit=limit,
            start_page=start_page,
            stop_on=stop_on,
            consistency=consistency,
            prefetch=prefetch,
            max_pages=max_pages,
            require_verified=require_verified,
            resume=resume,
            on_page=on_page,
            on_report=on_report,
        )
        left = limit
        walk = self._walk(options)
        try:
            while left != 0 and (page := await walk.next()) is not None:
                chats = page.chats[:left]
                for chat in chats:
                    yield chat
                left = None if left is None else left - len(chats)
                del page, chats  # while the next page is waited for
        finally:
            await walk.close()

    async def list_chats(self, page_size: int = 100, **options: Unpack[ChatsOptions]) -> list[Chat]:
        """Give what `iter_chats` yields, as a list. `options`: as for `iter_chats`.

        If the walk fails, what was read before is lost with it, and so its error has no `checkpoint`.
        """
        try:
            return [chat async for chat in self.iter_chats(page_size, **options)]
        except PlugChatError as error:
            error.checkpoint = None
            raise

    def watch_chats(self, **options: "Unpack[WatchOptions]") -> AsyncGenerator[ChatEvent, None]:
        """Look at the list now and then, and give what has happened: ChatAdded, ChatChanged, ChatRemoved. Without end.

            async with aclosing(plugchat.watch_chats(state=WatchState.load("watch.state"))) as watch:
                async for event in watch: ...

        A look reads as many pages as have chats with new messages, usually one. What happens to the others without a
        message (deleted, read, muted, renamed) is seen when the whole list is read: every `full_scan_interval`, and when a
        chat is missing among those that were read. The oldest message's event comes first, of the front and then of the
        whole list.

        options: see `WatchOptions`.

        A chat is given as removed if that is proven, as by consistency="strict", or if three readings of the whole list
        in a row did not have it; of a list that is empty, or less than half as long as it was, two. A list that is not
        sorted by time is read as a whole.

        InvalidValueError and InvalidTypeError at once, if an argument is wrong; later, if another watch has the state.
        """
        from plugchat_async.watch.options import WatchSettings  # noqa: PLC0415 - as above
        from plugchat_async.watch.watcher import Watch, WatchDeps  # noqa: PLC0415 - 6 ms that most programs don't need

        exchange = self._exchange
        tools = WatchDeps(
            exchange.fetch, self._walk, exchange.pause, self._traits[exchange.template.path], exchange.clock
        )
        return Watch(tools, WatchSettings(**options)).events()

    def _walk(self, options: WalkOptions, exchange: PageFetcher | None = None) -> ChatWalk:
        """Begin a walk over what a call lists (default: over chats)."""
        exchange = exchange or self._exchange
        state = options.state(exchange.template.path)
        self._transport.check()
        sizes, monotonic, dispatcher = self._traits[state.path], exchange.clock.monotonic, exchange.dispatcher
        return ChatWalk(state, options, fetch=exchange.fetch, sizes=sizes, monotonic=monotonic, dispatcher=dispatcher)
