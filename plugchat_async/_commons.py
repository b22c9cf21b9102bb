"""What the requests of all accounts have in common: settings, connections, slots, rate and retry budget."""

import asyncio
import ssl

import aiohttp

from plugchat_async._arguments import check_int, check_seconds, check_type
from plugchat_async._exchange import Exchange, TimeSource
from plugchat_async._limits import Limits, rate_limiter
from plugchat_async._retry import RetryBudget, RetryPolicy
from plugchat_async._secret import Secret
from plugchat_async._transport import Transport
from plugchat_async._wire import RequestShape
from plugchat_async.errors import InvalidValueError


class Commons:
    """Makes the exchanges of accounts, one for each, over what they share.

    The arguments are those of `PlugChatSession`, which describes them, but for the proxy, which is checked already.
    rate_limit: requests a second of all accounts together. account_rate_limit: of each one.

    InvalidValueError or InvalidTypeError if one is wrong.
    """

    def __init__(
        self,
        *,
        client_session: aiohttp.ClientSession | None,
        timeout: float,
        retry: RetryPolicy,
        repair: bool,
        max_concurrency: int,
        rate_limit: float | None,
        account_rate_limit: float | None = None,
        max_response_bytes: int,
        proxy: Secret | None,
        ssl_context: ssl.SSLContext | None,
        time_source: TimeSource,
    ) -> None:
        check_type("client_session", client_session, aiohttp.ClientSession, optional=True)
        check_type("ssl_context", ssl_context, ssl.SSLContext, optional=True)
        check_type("retry", retry, RetryPolicy)
        check_type("repair", repair, bool)
        check_type("time_source", time_source, TimeSource)
        if client_session is not None and ssl_context is not None:
            raise InvalidValueError(
                "ssl_context can't be set on an injected client_session",
                "Give it to that session's connector.",
            )
        self.time_source = time_source
        self._client_session = client_session
        self._timeout = check_seconds("timeout", timeout, zero=False)
        self._policy = retry
        self._repair = repair
        self._slots = asyncio.Semaphore(check_int("max_concurrency", max_concurrency, least=1))
        self._rate = rate_limiter("rate_limit", rate_limit)
        rate_limiter("account_rate_limit", account_rate_limit)  # checked now, made for each account
        self._account_rate = account_rate_limit
        self._max_response_bytes = check_int("max_response_bytes", max_response_bytes, least=1)
        self._proxy = proxy
        self._ssl_context = ssl_context
        self._budget = RetryBudget()

    def transport(self) -> Transport:
        """Make a transport, with connections of its own unless there is an injected session."""
        return Transport(
            borrowed=self._client_session,
            proxy=self._proxy,
            ssl_context=self._ssl_context,
            max_response_bytes=self._max_response_bytes,
        )

    def exchange(self, transport: Transport, token: Secret, origin: str, *, reserve: int = 0) -> Exchange:
        """Make an account's exchange. `reserve`: how many tokens of the retry budget are its own."""
        return Exchange(
            transport=transport,
            token=token,
            # Only an injected session can add anything to a request.
            shape=RequestShape(origin, bare=self._client_session is None),
            policy=self._policy,
            repair=self._repair,
            timeout=self._timeout,
            limits=Limits(
                self._slots, self._rate, rate_limiter("account_rate_limit", self._account_rate, catch_up=False)
            ),
            time_source=self.time_source,
            budget=RetryBudget(reserve, self._budget) if reserve else self._budget,
        )
