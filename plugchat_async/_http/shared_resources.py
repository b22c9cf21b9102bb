"""The resources that the requests of all accounts share: connections, slots, rate, retry budget, telemetry."""

import asyncio
import logging

import aiohttp

from plugchat_async._http.options import RequestSettings
from plugchat_async._http.page_fetcher import PageFetcher
from plugchat_async._http.proxy import Proxies
from plugchat_async._http.rate_limit import Limits, rate_limiter
from plugchat_async._http.request import RequestTemplate, full_user_agent
from plugchat_async._http.retry import RetryBudget
from plugchat_async._http.secret import Secret
from plugchat_async._http.telemetry import Dispatcher
from plugchat_async._http.token import TokenProvider
from plugchat_async._http.transport import Transport
from plugchat_async._http.urls import is_loopback_url
from plugchat_async._internal.validation import check_type
from plugchat_async.errors import InvalidValueError

logger = logging.getLogger("plugchat_async.http")


class SharedResources:
    """Makes the page fetchers of accounts, one for each, over the resources that they share.

    Attributes:
        insecure_http: Whether base URLs may be http on any host.
    """

    def __init__(self, settings: RequestSettings, client_session: aiohttp.ClientSession | None = None) -> None:
        """Check `client_session`, through which all requests are sent (default None: connections of our own).

        Raises:
            InvalidValueError: It contradicts the settings.
            InvalidTypeError: It is not an aiohttp.ClientSession.
        """
        check_type("client_session", client_session, aiohttp.ClientSession, optional=True)
        if client_session is not None and settings.ssl_context is not None:
            raise InvalidValueError(
                "ssl_context cannot be set on an injected client_session",
                "Pass it to the connector of that session.",
            )
        if client_session is not None and settings.trust_env:
            raise InvalidValueError(
                "trust_env cannot be set on an injected client_session", "Pass it to aiohttp.ClientSession instead."
            )
        telemetry = settings.telemetry
        self.insecure_http = settings.insecure_http
        self._settings = settings
        self._client_session = client_session
        self._proxies = Proxies(settings.proxy, settings.environment)
        self._warned = False
        self._dispatcher = None if telemetry is None else Dispatcher(telemetry, settings.clock.monotonic)
        self._slots = asyncio.Semaphore(settings.max_concurrency)
        self._rate = rate_limiter(settings.requests_per_second)
        self._budget = RetryBudget()

    def transport(self) -> Transport:
        """Return a new transport, with connections of its own unless there is an injected session."""
        return Transport(
            borrowed=self._client_session,
            proxies=self._proxies,
            ssl_context=self._settings.ssl_context,
            max_response_bytes=self._settings.max_response_bytes,
        )

    def page_fetcher(
        self,
        transport: Transport,
        token: Secret | TokenProvider,
        origin: str,
        *,
        reserve: int = 0,
        account: str | None = None,
    ) -> PageFetcher:
        """Return the page fetcher of an account.

        Args:
            transport: What its requests are sent through.
            token: Its token.
            origin: Its checked base URL.
            reserve: Tokens of the retry budget that no other account can use (default 0).
            account: Its name, where there are many (default None).
        """
        settings = self._settings
        if origin.startswith("http:") and not self._warned and not is_loopback_url(origin):
            self._warned = True
            fields = {"plugchat_account": account}
            logger.warning("insecure_http: the token is sent to %s in clear text", origin, extra=fields)
        own_rate = rate_limiter(settings.account_requests_per_second, catch_up=False)
        return PageFetcher(
            transport=transport,
            token=token,
            # Only an injected session can add anything to a request.
            template=RequestTemplate(
                origin, bare=self._client_session is None, user_agent=full_user_agent(settings.user_agent)
            ),
            policy=settings.retry,
            repair=settings.repair,
            on_bad_value=settings.on_bad_value,
            timeout=settings.timeout,
            limits=Limits(self._slots, self._rate, own_rate),
            clock=settings.clock,
            budget=RetryBudget(reserve, self._budget) if reserve else self._budget,
            account=account,
            dispatcher=self._dispatcher,
        )
