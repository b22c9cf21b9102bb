"""The options of requests: TypedDicts for callers, and a class with their defaults and checks."""

import ssl
from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias, TypedDict

import aiohttp
from attrs import field, frozen

from plugchat_async._http.decode import OnBadValue
from plugchat_async._http.environment import FromEnvironment, environment_proxies
from plugchat_async._http.rate_limit import check_rate
from plugchat_async._http.request import check_user_agent
from plugchat_async._http.retry import RetryPolicy
from plugchat_async._http.secret import Secret, SecretText, reveal
from plugchat_async._http.telemetry import Telemetry
from plugchat_async._http.urls import UrlText, parse_base_url, plain_url, proxy_problem
from plugchat_async._internal.clock import Clock
from plugchat_async._internal.validation import check_choice, check_int, check_seconds, check_type, to_seconds
from plugchat_async.errors import InvalidTypeError, InvalidValueError, PlugChatError
from plugchat_async.server_traits import ServerTraits

if TYPE_CHECKING:
    from yarl import URL

Timeout: TypeAlias = float | timedelta | aiohttp.ClientTimeout

__all__ = ["RequestOptions", "SessionOptions"]  # the public ones


class RequestOptions(TypedDict, total=False):
    """The options that requests for one account and for many accounts have in common.

    Attributes:
        timeout: Seconds for one attempt, body included (default 30.0), also as a timedelta or as the `total` of an
            aiohttp.ClientTimeout. Time in which this process does not run, as when its machine sleeps, does not count.
        retry: When to retry, and how long to wait (default: 3 attempts, 60 s a page).
        repair: Whether a request is changed and sent again after 405 and 415 (default True).
        on_bad_value: "warn" (default) replaces a value that cannot be read by the field's default, and reports it in
            `Page.problems`, `WalkReport.problems` and one warning for each walk. "raise" raises a DecodeError. If more
            than half of a page's rows have neither a phone nor a lid, a DecodeError is raised in any case.
        max_concurrency: The maximum number of requests in flight (default 64).
        requests_per_second: The maximum number of requests per second, evenly spaced by the event loop's clock, except
            that those of 10 ms may be sent at once (default None: no limit).
        max_response_bytes: The largest body, decompressed, that is read (default 16 MiB).
        proxy: The URL of an HTTP proxy, perhaps with a user name and a password (default None: no proxy). Requests to
            loopback don't go through it.
        trust_env: Whether to use the proxies of the environment, if there is no `proxy`: HTTPS_PROXY, HTTP_PROXY,
            ALL_PROXY, except for the hosts in NO_PROXY (default False).
        insecure_http: Whether a base URL may be http on hosts other than loopback, for a test server in your own
            network (default False). The token then travels in clear text, and one warning is logged.
        user_agent: What comes before this package's own User-Agent, such as "shop-bot/2.1" (default None: nothing).
        ssl_context: An ssl.SSLContext to verify servers with (default None: Python's default).
        telemetry: Records walks, pages and attempts, such as an OpenTelemetry of
            `plugchat_async.integrations.opentelemetry` (default None).
        clock: Time, sleep and randomness, for tests.
    """

    timeout: Timeout
    retry: RetryPolicy
    repair: bool
    on_bad_value: OnBadValue
    max_concurrency: int
    requests_per_second: float | None
    max_response_bytes: int
    proxy: "str | URL | UrlText | SecretText | None"
    trust_env: bool
    insecure_http: bool
    user_agent: str | None
    ssl_context: ssl.SSLContext | None
    telemetry: Telemetry | None
    clock: Clock


class SessionOptions(RequestOptions, total=False):
    """The keyword options of `PlugChatSession`, for functions that pass them on.

    Attributes:
        base_url: An origin, optionally with a path prefix: https, or http on loopback. Default None: that of the
            environment variable PLUGCHAT_BASE_URL, or https://app.plugchat.com.br if it is not set.
        client_session: An aiohttp.ClientSession to send through instead of one of the session's own (default None). It
            is never closed, and its settings apply: headers, middlewares, cookies (so use a separate one for each
            account). A stale connection of its pool costs an attempt. Exceptions of its own code are not translated.
        server_traits: What is known of the server at `base_url`, such as an earlier session's `server_traits` (default
            None: nothing). It is copied; the session learns more while it walks.
    """

    base_url: "str | URL | UrlText | None"
    client_session: aiohttp.ClientSession | None
    server_traits: ServerTraits | None


_OTHER_TIMEOUTS: Final = ("connect", "sock_connect", "sock_read")


def _attempt_seconds(timeout: Timeout) -> float:
    """Return the seconds of a timeout, still to be checked.

    Raises:
        InvalidValueError: An aiohttp.ClientTimeout limits something else than an attempt as a whole.
    """
    if not isinstance(timeout, aiohttp.ClientTimeout):
        return to_seconds(timeout)
    others = [name for name in _OTHER_TIMEOUTS if getattr(timeout, name) is not None]
    if timeout.total is None or others:
        given = f"with {' and '.join(others)}" if others else "without total"
        raise InvalidValueError(
            f"timeout is an aiohttp.ClientTimeout {given}",
            "Use ClientTimeout(total=...) or a number of seconds: they limit an attempt as a whole.",
        )
    return timeout.total


@frozen(kw_only=True, eq=False, repr=False)
class RequestSettings:
    """`RequestOptions` with their defaults, checked. Proxies are hidden: their URLs may have passwords.

    `environment`: with `trust_env`, the proxies of the environment by scheme.

    Raises:
        InvalidValueError: An option has a wrong value.
        InvalidTypeError: An option has a wrong type.
    """

    timeout: float = field(default=30.0, converter=_attempt_seconds)
    retry: RetryPolicy = field(default=RetryPolicy())
    repair: bool = True
    on_bad_value: OnBadValue = "warn"
    max_concurrency: int = 64
    requests_per_second: float | None = None
    account_requests_per_second: float | None = None
    max_response_bytes: int = 16 * 1024 * 1024
    proxy: Secret | None = None
    trust_env: bool = False
    environment: Mapping[str, Secret] = field(factory=dict[str, Secret])
    insecure_http: bool = False
    user_agent: str | None = None
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
        check_type("trust_env", self.trust_env, bool)
        check_type("insecure_http", self.insecure_http, bool)
        check_user_agent(self.user_agent)
        check_type("ssl_context", self.ssl_context, ssl.SSLContext, optional=True)
        _check_verifies(self.ssl_context)
        _check_telemetry(self.telemetry)
        check_type("clock", self.clock, Clock)


class Address(NamedTuple):
    """Where requests are sent: the checked and trimmed base URL, and the hidden proxies to go through."""

    origin: str
    proxy: Secret | None
    environment: Mapping[str, Secret]


@frozen(eq=False)
class HiddenOptions:
    """Options that are still to be checked, hidden from tracebacks that show local variables."""

    options: dict[str, Any] = field(repr=False)

    def take_address(self, account: FromEnvironment | None = None) -> Address | PlugChatError:
        """Take out the base URL and the proxies, all of which may hold a password.

        Args:
            account: Has the base URL, if none is given (default: that of PLUGCHAT_BASE_URL).

        Returns:
            The address. Or the error, which shows none of them: it is not raised here, where a traceback could show
            them.

        Raises:
            InvalidTypeError: `insecure_http` is not a bool.
        """
        check_type("insecure_http", self.options.get("insecure_http", False), bool)  # else the URL would be blamed
        options = self.options
        base_url, proxy = options.pop("base_url", None), plain_url(reveal(options.pop("proxy", None)))
        url, name = (account or FromEnvironment()).base_url() if base_url is None else (base_url, "base_url")
        insecure_http = options.get("insecure_http", False)
        origin = parse_base_url(url, insecure_http=insecure_http, name=name)
        if isinstance(origin, PlugChatError):
            return origin
        if (problem := proxy_problem(proxy)) is not None:
            return problem
        if proxy is not None:
            return Address(origin, Secret(str(proxy)), {})
        if options.get("trust_env") is not True:
            return Address(origin, None, {})
        environment = environment_proxies(insecure_http=insecure_http)
        return environment if isinstance(environment, PlugChatError) else Address(origin, None, environment)


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
