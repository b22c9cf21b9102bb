"""The options of requests: TypedDicts for callers, and a class with their defaults and checks."""

import ssl
from typing import Any, TypedDict

import aiohttp
from attrs import field, frozen

from plugchat_async._http.decode import OnBadValue
from plugchat_async._http.rate_limit import check_rate
from plugchat_async._http.retry import RetryPolicy
from plugchat_async._http.secret import Secret
from plugchat_async._http.telemetry import Telemetry
from plugchat_async._http.urls import DEFAULT_BASE_URL, parse_base_url, proxy_problem
from plugchat_async._internal.clock import Clock
from plugchat_async._internal.validation import check_choice, check_int, check_seconds, check_type
from plugchat_async.errors import InvalidTypeError, InvalidValueError, PlugChatError
from plugchat_async.server_traits import ServerTraits

__all__ = ["RequestOptions", "SessionOptions"]  # the public ones


class RequestOptions(TypedDict, total=False):
    """The options that requests for one account and for many accounts have in common.

    Attributes:
        timeout: Seconds for one attempt, body included (default 30.0). Time in which this process does not run, as when
            its machine sleeps, does not count.
        retry: When to retry, and how long to wait (default: 3 attempts, 60 s a page).
        repair: Whether a request is changed and sent again after 405 and 415 (default True).
        on_bad_value: "warn" (default) replaces a value that cannot be read by the field's default, and reports it in
            `Page.problems`, `WalkReport.problems` and one warning for each walk. "raise" raises a DecodeError. If more
            than half of a page's rows have neither a phone nor a lid, a DecodeError is raised in any case.
        max_concurrency: The maximum number of requests in flight (default 64).
        requests_per_second: The maximum number of requests per second, evenly spaced by the event loop's clock, except
            that those of 10 ms may be sent at once (default None: no limit).
        max_response_bytes: The largest body, decompressed, that is read (default 16 MiB).
        proxy: The URL of an HTTP proxy, perhaps with a user name and a password (default None: no proxy; environment
            variables are not used). Requests to loopback don't go through it.
        ssl_context: An ssl.SSLContext to verify servers with (default None: Python's default).
        telemetry: Records walks, pages and attempts, such as an OpenTelemetry of
            `plugchat_async.integrations.opentelemetry` (default None).
        clock: Time, sleep and randomness, for tests.
    """

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


class SessionOptions(RequestOptions, total=False):
    """The keyword options of `PlugChatSession`, for functions that pass them on.

    Attributes:
        base_url: An origin, optionally with a path prefix (default https://app.plugchat.com.br). https, or http on
            loopback.
        client_session: An aiohttp.ClientSession to send through instead of one of the session's own (default None). It
            is never closed, and its settings apply: headers, middlewares, cookies (so use a separate one for each
            account). A stale connection of its pool costs an attempt. Exceptions of its own code are not translated.
        server_traits: What is known of the server at `base_url`, such as an earlier session's `server_traits` (default
            None: nothing). It is copied; the session learns more while it walks.
    """

    base_url: str
    client_session: aiohttp.ClientSession | None
    server_traits: ServerTraits | None


@frozen(kw_only=True, eq=False, repr=False)
class RequestSettings:
    """`RequestOptions` with their defaults, checked. The proxy is hidden: its URL may have a password.

    Raises:
        InvalidValueError: An option has a wrong value.
        InvalidTypeError: An option has a wrong type.
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


@frozen(eq=False)
class HiddenOptions:
    """Options that are still to be checked, hidden from tracebacks that show local variables."""

    options: dict[str, Any] = field(repr=False)

    def take_address(self) -> tuple[str, Secret | None] | PlugChatError:
        """Take out the base URL and the proxy, both of which may hold a password.

        Returns:
            The base URL, checked and trimmed, and the hidden proxy. Or the error, which shows neither: it is not raised
            here, where a traceback could show them.
        """
        base_url, proxy = self.options.pop("base_url", DEFAULT_BASE_URL), self.options.pop("proxy", None)
        origin, problem = parse_base_url(base_url), proxy_problem(proxy)
        if isinstance(origin, PlugChatError):
            return origin
        return problem or (origin, None if proxy is None else Secret(str(proxy)))


def _check_verifies(context: ssl.SSLContext | None) -> None:
    if context is not None and not (context.verify_mode == ssl.CERT_REQUIRED and context.check_hostname):
        raise InvalidValueError(
            "ssl_context must verify certificates and host names: any server could read the token",
            "Use ssl.create_default_context(cafile=...), with the certificate of your own CA if you have one.",
        )


def _check_telemetry(telemetry: object) -> None:
    # A class has the methods, too.
    if telemetry is not None and (isinstance(telemetry, type) or not isinstance(telemetry, Telemetry)):
        given = telemetry.__name__ if isinstance(telemetry, type) else type(telemetry).__name__
        raise InvalidTypeError(
            f"telemetry must be an object with the methods of Telemetry, got {given}",
            "Use OpenTelemetry(), from plugchat_async.integrations.opentelemetry.",
        )
