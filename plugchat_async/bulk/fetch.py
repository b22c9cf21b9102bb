"""fetch_many: the chats of many accounts, several accounts at a time."""

import logging
import ssl
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterable
from typing import Any, Literal, TypeAlias, TypedDict, Unpack, overload

from attrs import AttrsInstance, field, fields, frozen

from plugchat_async._http.decode import OnBadValue
from plugchat_async._http.resources import RequestOptions, SharedResources, hidden_address
from plugchat_async._http.retry import RetryPolicy
from plugchat_async._http.telemetry import Telemetry
from plugchat_async._http.urls import DEFAULT_BASE_URL
from plugchat_async._internal.clock import Clock
from plugchat_async._internal.iterables import Source
from plugchat_async._internal.validation import check_choice, check_function, check_type
from plugchat_async._pagination import Consistency, StopOn
from plugchat_async._pagination.runner import WalkOptions
from plugchat_async.bulk.accounts import Account
from plugchat_async.bulk.workers import AccountResult, WorkerPool
from plugchat_async.errors import PlugChatError
from plugchat_async.models import Page

logger = logging.getLogger("plugchat_async.bulk")

Accounts: TypeAlias = Iterable[Account] | AsyncIterable[Account]
OnError = Literal["collect", "raise"]
OnResult = Callable[[AccountResult], object]


class BulkOptions(TypedDict, total=False):
    """The keyword options of `fetch_many` that are about walks and requests, for functions that pass them on."""

    page_size: int
    limit: int | None
    stop_on: StopOn
    consistency: Consistency
    prefetch: int
    max_pages: int
    require_verified: bool
    isolate_connections: bool
    base_url: str
    timeout: float
    retry: RetryPolicy
    repair: bool
    on_bad_value: OnBadValue
    max_concurrency: int
    requests_per_second: float | None
    account_requests_per_second: float | None
    max_response_bytes: int
    proxy: str | None
    ssl_context: ssl.SSLContext | None
    telemetry: Telemetry | None
    clock: Clock


@frozen
class BulkSettings:
    """The same, with their defaults, checked: those of each walk, those of requests, a trimmed base URL."""

    walk: WalkOptions = field(default=WalkOptions())
    requests: RequestOptions = field(default=RequestOptions())
    base_url: str = DEFAULT_BASE_URL
    isolate_connections: bool = False

    def __attrs_post_init__(self) -> None:
        check_type("isolate_connections", self.isolate_connections, bool)
        self.walk.state()

    def pool(self, accounts: Source[Account], *, concurrency: int, pages: bool) -> WorkerPool:
        """Make the workers that walk `accounts`."""
        return WorkerPool(
            accounts,
            SharedResources(self.requests),
            self.walk,
            concurrency=concurrency,
            origin=self.base_url,
            isolate_connections=self.isolate_connections,
            pages=pages,
        )


def settings_of(options: BulkOptions) -> BulkSettings:
    """Check options. What may hold a password is taken out of them first: tracebacks may show the frames."""
    address = hidden_address(options.pop("base_url", DEFAULT_BASE_URL), options.pop("proxy", None))
    if isinstance(address, PlugChatError):
        raise address
    origin, hidden = address
    unknown = options.keys() - BulkOptions.__optional_keys__
    if unknown:
        raise TypeError(f"unexpected keyword arguments: {', '.join(sorted(unknown))}")
    return BulkSettings(
        WalkOptions(**_taken(options, WalkOptions)),
        RequestOptions(proxy=hidden, **_taken(options, RequestOptions)),
        origin,
        options.get("isolate_connections", False),
    )


def _taken(options: BulkOptions, kind: type[AttrsInstance]) -> dict[str, Any]:
    """Give those of the options that a class takes."""
    names = {field.name for field in fields(kind)}
    return {name: value for name, value in options.items() if name in names}


@overload
def fetch_many(
    accounts: Accounts,
    *,
    concurrency: int = ...,
    on_error: OnError = ...,
    stream: Literal[False] = ...,
    on_result: OnResult | None = ...,
    **options: Unpack[BulkOptions],
) -> AsyncGenerator[AccountResult, None]: ...


@overload
def fetch_many(
    accounts: Accounts,
    *,
    concurrency: int = ...,
    on_error: OnError = ...,
    stream: Literal[True],
    on_result: OnResult | None = ...,
    **options: Unpack[BulkOptions],
) -> AsyncGenerator[tuple[Account, Page], None]: ...


@overload
def fetch_many(
    accounts: Accounts,
    *,
    concurrency: int = ...,
    on_error: OnError = ...,
    stream: bool,
    on_result: OnResult | None = ...,
    **options: Unpack[BulkOptions],
) -> AsyncGenerator[AccountResult, None] | AsyncGenerator[tuple[Account, Page], None]: ...


def fetch_many(
    accounts: Accounts,
    *,
    concurrency: int = 64,
    on_error: OnError = "collect",
    stream: bool = False,
    on_result: OnResult | None = None,
    **options: Unpack[BulkOptions],
) -> AsyncGenerator[AccountResult, None] | AsyncGenerator[tuple[Account, Page], None]:
    """Fetch the chats of many accounts, several accounts at a time.

        async for result in fetch_many(accounts, concurrency=64):
            print(result.account.name, len(result.chats), result.error)

    accounts: an iterable or async iterable of Account, of any length: they are taken one by one, as they are wanted. A
        plain iterable is asked in the event loop, so it should not take long. Nothing keeps two from having one name.
    concurrency: how many accounts are under way at a time (default 64). With that many, and no more, chats are held in
        memory: all that an account has, or, with `stream`, its next page (and `prefetch` more).
    on_error: "collect" (default) gives a failed account as a result with its error, and the others go on; "raise"
        raises the first error, whose `account` is the account's name, and cancels the others.
    stream: give pairs of an account and a Page as they come, instead of whole accounts (default False). Then a failed
        account is given to `on_result`, or logged as a warning if there is none.
    on_result: a plain function, called with each AccountResult before it is given or, with `stream`, when the
        account's last page was (default None).

    Of the `options`, these are those of `PlugChatSession.iter_chats`, with the same defaults, for each walk:
    `page_size`, `limit`, `stop_on`, `consistency`, `prefetch`, `max_pages`, `require_verified`. These are those of
    `PlugChatSession`: `base_url` (of accounts that have none), `timeout`, `retry`, `repair`, `on_bad_value`,
    `max_response_bytes`, `proxy`, `ssl_context`, `telemetry`, `clock`. And:

    max_concurrency: requests in flight at most, of all accounts together (default 64).
    requests_per_second, account_requests_per_second: requests a second at most, evenly spaced, of all accounts together (but for a
        hundredth of a second's, which may go out at once) and of each one (default None: no limit). Where the service
        limits an account's rate, `prefetch` wants an `account_requests_per_second`: a 429 makes all of the account's requests
        wait, but then they go out together.
    isolate: give each account connections of its own (default False: accounts share them, one after the other). No
        cookie, header or error of one account reaches another in any case; but if a server sends an answer that nobody
        asked for, just when the next request is on its way, it is taken for that one's.

    Accounts share a retry budget; when that is used up, each one has its own for two retries. At most one request of an
    account waits for its turn at a time, so that those that read many pages ahead delay no other. This is an async
    generator: leave it with `contextlib.aclosing`, and all that is under way is cancelled.

    InvalidValueError and InvalidTypeError at once if an argument is wrong; later what `accounts` or `on_result` raise,
    InvalidTypeError if there is something else than an Account, and with on_error="raise" any PlugChatError.
    ConfigurationError if `accounts` cancels the task that asks for them, as a timeout across a yield does (PEP 789).
    """
    settings = settings_of(options)
    check_choice("on_error", on_error, ("collect", "raise"))
    check_type("stream", stream, bool)
    check_function("on_result", on_result, "an AccountResult")
    pool = settings.pool(Source("accounts", accounts, Account), concurrency=concurrency, pages=stream)
    handle = _handler(on_error, on_result, warn=stream and on_result is None)
    return _pairs(pool, handle) if stream else _results(pool, handle)


def _handler(on_error: OnError, on_result: OnResult | None, *, warn: bool) -> Callable[[AccountResult], None]:
    """Give what is to be done with each result."""

    def handle(result: AccountResult) -> None:
        error = result.error
        if error is not None:
            if on_error == "raise":
                raise error
            # Its frames hold the account's chats.
            error.__traceback__ = None
            if warn:
                fields = {
                    "plugchat_account": result.account.name,
                    "plugchat_error": type(error).__name__,
                    "plugchat_status": error.status,
                    "plugchat_page": error.page,
                }
                logger.warning("account %r failed: %s", result.account.name, error, extra=fields)
        if on_result is not None:
            on_result(result)

    return handle


async def _results(pool: WorkerPool, handle: Callable[[AccountResult], None]) -> AsyncGenerator[AccountResult, None]:
    try:
        while (item := await pool.next()) is not None:
            if isinstance(item, AccountResult):
                handle(item)
                yield item
            del item  # while the next one is waited for
    finally:
        await pool.close()


async def _pairs(
    pool: WorkerPool, handle: Callable[[AccountResult], None]
) -> AsyncGenerator[tuple[Account, Page], None]:
    try:
        while (item := await pool.next()) is not None:
            if isinstance(item, AccountResult):
                handle(item)
            else:
                yield item
            del item
    finally:
        await pool.close()
