"""fetch_many: the chats of many accounts, several accounts at a time."""

import logging
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterable
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, Unpack, cast, overload

from attrs import AttrsInstance, field, fields, frozen

from plugchat_async._http.options import HiddenOptions, RequestOptions, RequestSettings
from plugchat_async._http.shared_resources import SharedResources
from plugchat_async._http.urls import DEFAULT_BASE_URL, UrlText
from plugchat_async._internal.iterables import Source
from plugchat_async._internal.validation import check_choice, check_function, check_options, check_type
from plugchat_async._pagination.options import CommonWalkOptions, WalkSettings
from plugchat_async.bulk.accounts import Account
from plugchat_async.bulk.workers import AccountResult, WorkerPool
from plugchat_async.calls import CHATS, Call
from plugchat_async.errors import PlugChatError
from plugchat_async.models import Page
from plugchat_async.server_traits import ServerTraits

if TYPE_CHECKING:
    from yarl import URL

logger = logging.getLogger("plugchat_async.bulk")

Accounts: TypeAlias = Iterable[Account] | AsyncIterable[Account]
OnError = Literal["collect", "raise"]
OnResult = Callable[[AccountResult], object]


def accounts_hint(got: type) -> str:
    """Return what to do, in words, about something of a class in place of accounts, or of one."""
    one = "Pass a list of accounts, also of a single one." if issubclass(got, Account) else ""
    return one or 'Pass Account(name, token) objects; of a CSV file, read_accounts("accounts.csv").'


class BulkOptions(CommonWalkOptions, RequestOptions, total=False):
    """The keyword options of `fetch_many` for walks and requests, for functions that pass them on.

    Attributes:
        call: What to list of each account: CHATS (default), CONTACTS, PENDING_CHATS, or a `Call` of your own. Its items
            are then in place of chats: for a type checker, they need a cast.
        page_size: The number of chats per request (default 100).
        base_url: The base URL of accounts that have none, as for `SessionOptions`.
        account_requests_per_second: The maximum number of requests per second of each account, evenly spaced (default
            None: no limit). Use it with `prefetch` if the service limits the rate of an account: after a 429, all
            requests of the account wait, and are then sent together.
        isolate_connections: Whether each account has connections of its own (default False: accounts share them, one
            after the other). No cookie, header or error of one account reaches another in any case. But if a server
            sends an unrequested answer just when the next request is sent, it is taken for the answer to that one.
        server_traits: What is known of the server at `base_url`, such as the `server_traits` of a session (default
            None: nothing). Those of a session are of its call for chats: leave them out with another `call`. Accounts
            with one base URL share what is found out.
    """

    call: Call[Any]
    page_size: int
    base_url: "str | URL | UrlText | None"
    account_requests_per_second: float | None
    isolate_connections: bool
    server_traits: ServerTraits | None


@frozen
class BulkSettings:
    """`BulkOptions` with their defaults, checked: those of walks, those of requests, and those of many accounts."""

    walk: WalkSettings = field(default=WalkSettings())
    requests: RequestSettings = field(default=RequestSettings())
    base_url: str = DEFAULT_BASE_URL
    isolate_connections: bool = False
    server_traits: ServerTraits | None = None
    call: Call[Any] = CHATS

    def __attrs_post_init__(self) -> None:
        check_type("isolate_connections", self.isolate_connections, bool)
        check_type("server_traits", self.server_traits, ServerTraits, optional=True)
        self.walk.state(self.call.path)

    def pool(self, accounts: Source[Account], *, concurrency: int, pages: bool) -> WorkerPool:
        """Return the workers that walk `accounts`."""
        return WorkerPool(
            accounts,
            SharedResources(self.requests),
            self.walk,
            concurrency=concurrency,
            origin=self.base_url,
            isolate_connections=self.isolate_connections,
            pages=pages,
            server_traits=self.server_traits,
            call=self.call,
        )


def settings_of(options: BulkOptions) -> BulkSettings:
    """Return the settings of options. The proxy is hidden first: tracebacks may show the frames."""
    check_options(list(options), BulkOptions)
    hidden = HiddenOptions(cast("dict[str, Any]", options))
    address = hidden.take_address()
    if isinstance(address, PlugChatError):
        raise address
    call = options.get("call", CHATS)
    check_type("call", call, Call)
    walk: dict[str, Any] = {"consistency": call.consistency, **_options_of(WalkSettings, options)}
    return BulkSettings(
        WalkSettings(**walk),
        RequestSettings(proxy=address.proxy, environment=address.environment, **_options_of(RequestSettings, options)),
        address.origin,
        options.get("isolate_connections", False),
        options.get("server_traits"),
        call,
    )


def _options_of(kind: type[AttrsInstance], options: BulkOptions) -> dict[str, Any]:
    """Return the options that a class takes."""
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

    Accounts share a retry budget; when it is used up, each account still has two retries of its own. At most one
    request of an account waits for its turn at a time, so that accounts with many prefetched pages do not delay others.
    This is an async generator: leave it with `contextlib.aclosing`, and all requests in flight are cancelled.

    Args:
        accounts: An iterable or async iterable of Account, of any length: they are taken one by one, when they are
            needed. A plain iterable is iterated in the event loop, so it should not block. Names may repeat.
        concurrency: The number of accounts that are fetched at a time (default 64). Only their chats are held in
            memory: all of an account, or, with `stream`, its next page and `prefetch` more.
        on_error: "collect" (default) returns a failed account as a result with its error, and continues. "raise" raises
            the first error, with the account's name as its `account`, and cancels the other accounts.
        stream: Whether to yield pairs of an account and a Page as they come, instead of whole accounts (default False).
            A failed account is then passed to `on_result`, or logged as a warning if there is none.
        on_result: A plain function, called with each AccountResult before it is yielded or, with `stream`, after the
            account's last page (default None).
        **options: See `BulkOptions`. `max_concurrency` and `requests_per_second` count the requests of all accounts
            together.

    Raises:
        InvalidValueError: At once, if an argument has a wrong value.
        InvalidTypeError: At once, if an argument has a wrong type; later, if `accounts` yields something other than an
            Account.
        PlugChatError: With on_error="raise", the error of an account.
        ConfigurationError: `accounts` cancels the task that iterates it, as a timeout across a yield does (PEP 789).
    """
    settings = settings_of(options)
    check_choice("on_error", on_error, ("collect", "raise"))
    check_type("stream", stream, bool)
    check_function("on_result", on_result, "an AccountResult")
    pool = settings.pool(
        Source("accounts", accounts, Account, hint=accounts_hint), concurrency=concurrency, pages=stream
    )
    handle = _handler(on_error, on_result, warn=stream and on_result is None)
    return _pairs(pool, handle) if stream else _results(pool, handle)


def _handler(on_error: OnError, on_result: OnResult | None, *, warn: bool) -> Callable[[AccountResult], None]:
    """Return a function that handles each result."""

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
