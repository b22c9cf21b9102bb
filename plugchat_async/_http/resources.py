"""What the requests of all accounts have in common: settings, connections, slots, rate and retry budget."""

import asyncio
import ssl
from typing import TypedDict

import aiohttp
from attrs import field, frozen

from plugchat_async._http.decode import OnBadValue
from plugchat_async._http.page_fetcher import PageFetcher
from plugchat_async._http.rate_limit import Limits, check_rate, rate_limiter
from plugchat_async._http.request import RequestTemplate
from plugchat_async._http.retry import RetryBudget, RetryPolicy
from plugchat_async._http.secret import Secret
from plugchat_async._http.telemetry import Dispatcher, Telemetry
from plugchat_async._http.token import TokenProvider
from plugchat_async._http.transport import Transport
from plugchat_async._http.urls import parse_base_url, proxy_problem
from plugchat_async._internal.clock import Clock
from plugchat_async._internal.validation import check_choice, check_int, check_seconds, check_type
from plugchat_async.errors import InvalidTypeError, InvalidValueError, PlugChatError


class SessionOptions(TypedDict, total=False):
    """The keyword options of `PlugChatSession`, for functions that pass them on."""

    base_url: str
    client_session: aiohttp.ClientSession | None
    timeout: float
    retry: RetryPolicy
    repair: bool
    on_bad_value: OnBadValue
    max_concurrency: int
    requests_per_second: float | None
    max_response_bytes: int
    proxy: str | None
    ssl_context: ssl.SSLContext | None
    telemetry: Telemetry | None
    clock: Clock


@frozen(eq=False)
class HiddenOptions:
    """The same, where a traceback may show them."""

    options: SessionOptions = field(repr=False)


def hidden_address(base_url: object, proxy: object) -> tuple[str, Secret | None] | PlugChatError:
    """Return a checked base URL and a hidden proxy, which may hold a password; or the error, which shows neither."""
    origin, problem = parse_base_url(base_url), proxy_problem(proxy)
    if isinstance(origin, PlugChatError):
        return origin
    return problem or (origin, None if proxy is None else Secret(str(proxy)))


@frozen(kw_only=True, eq=False, repr=False)
class RequestOptions:
    """The options of requests, as `PlugChatSession` and `fetch_many` take and describe them.

    The proxy is hidden already: its URL may hold a password. InvalidValueError or InvalidTypeError if one is wrong.
    """

    timeout: float = 30.0
    retry: RetryPolicy = field(default=RetryPolicy())
    repair: bool = True
    on_bad_value: OnBadValue = "warn"
    max_concurrency: int = 64
    requests_per_second: float | None = None
    account_requests_per_second: float | None = None
    max_response_bytes: int = 16 * 1024 * 1024
    proxy: Secret | None = None
    ssl_context: ssl.SSLContext | None = None
    telemetry: Telemetry | None = None
    clock: Clock = field(default=Clock())

    def __attrs_post_init__(self) -> None:
        check_seconds("timeout", self.timeout, zero=False)
        check_type("retry", self.retry, RetryPolicy)
        check_type("repair", self.repair, bool)
        check_choice("on_bad_value", self.on_bad_value, ("warn", "raise"))
        check_int("max_concurrency", self.max_concurrency, minimum=1)
        check_rate("requests_per_second", self.requests_per_second)
        check_rate("account_requests_per_second", self.account_requests_per_second)
        check_int("max_response_bytes", self.max_response_bytes, minimum=1)
        check_type("ssl_context", self.ssl_context, ssl.SSLContext, optional=True)
        _check_verifies(self.ssl_context)
        _check_telemetry(self.telemetry)
        check_type("clock", self.clock, Clock)


def _check_verifies(context: ssl.SSLContext | None) -> None:
    if context is not None and not (context.verify_mode == ssl.CERT_REQUIRED and context.check_hostname):
        raise InvalidValueError(
            "ssl_context does not verify servers: who answers would get the token",
            "Give ssl.create_default_context(cafile=...), with the certificate of your own authority, if you have one.",
        )


def _check_telemetry(telemetry: object) -> None:
    # A class has the methods, too.
    if telemetry is not None and (isinstance(telemetry, type) or not isinstance(telemetry, Telemetry)):
        given = telemetry.__name__ if isinstance(telemetry, type) else type(telemetry).__name__
        raise InvalidTypeError(
            f"telemetry must be an object that is told of walks and pages, got {given}",
            "Give OpenTelemetry(), from plugchat_async.integrations.opentelemetry.",
        )


class SharedResources:
    """Makes the exchanges of accounts, one for each, over what they share.

    client_session: what all are sent through (default None: connections of our own). InvalidValueError or
    InvalidTypeError if it is none, or does not go with the options.
    """

    def __init__(self, options: RequestOptions, client_session: aiohttp.ClientSession | None = None) -> None:
        check_type("client_session", client_session, aiohttp.ClientSession, optional=True)
        if client_session is not None and options.ssl_context is not None:
            raise InvalidValueError(
                "ssl_context can't be set on an injected client_session",
                "Give it to that session's connector.",
            )
        self.clock = options.clock
        telemetry = options.telemetry
        self.dispatcher = None if telemetry is None else Dispatcher(telemetry, self.clock.monotonic)
        self._options = options
        self._client_session = client_session
        self._slots = asyncio.Semaphore(options.max_concurrency)
        self._rate = rate_limiter(options.requests_per_second)
        self._budget = RetryBudget()

    def transport(self) -> Transport:
        """Make a transport, with connections of its own unless there is an injected session."""
        return Transport(
            borrowed=self._client_session,
            proxy=self._options.proxy,
            ssl_context=self._options.ssl_context,
            max_response_bytes=self._options.max_response_bytes,
        )

    def exchange(
        self,
        transport: Transport,
        token: Secret | TokenProvider,
        origin: str,
        *,
        reserve: int = 0,
        account: str | None = None,
    ) -> PageFetcher:
        """Make an account's exchange.

        reserve: how many tokens of the retry budget are its own. account: its name, where there are many.
        """
        return PageFetcher(
            transport=transport,
            token=token,
            # Only an injected session can add anything to a request.
            template=RequestTemplate(origin, bare=self._client_session is None),
            policy=self._options.retry,
            repair=self._options.repair,
            on_bad_value=self._options.on_bad_value,
            timeout=self._options.timeout,
            limits=Limits(
                self._slots, self._rate, rate_limiter(self._options.account_requests_per_second, catch_up=False)
            ),
            clock=self.clock,
            budget=RetryBudget(reserve, self._budget) if reserve else self._budget,
            account=account,
            dispatcher=self.dispatcher,
        )
