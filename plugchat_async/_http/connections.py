"""The connections of a session: which of them were used before, which proxy they go through, and no hidden retry."""

from functools import cached_property
from typing import cast
from weakref import WeakSet

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.tracing import Trace

from plugchat_async._http.aiohttp_errors import DroppedError
from plugchat_async._http.proxy import NoProxyError, Proxies, Proxy
from plugchat_async.errors import PlugChatError


class TrackedRequest(aiohttp.ClientRequest):
    """A request of our own session. `reused`: it is sent over a connection that an earlier request has used."""

    reused = False


class TrackingConnector(aiohttp.TCPConnector):
    """Notes which requests reuse a connection, and closes connections on which something came unasked.

    `through`: the proxies of the requests, or None.

    aiohttp's tracing would report the first as well, but takes 12 µs a request for it, whether anything fails or not.
    """

    through: Proxies | None = None

    @cached_property
    def _used(self) -> WeakSet[ResponseHandler]:
        """The connections that a request was sent over."""
        return WeakSet()

    async def connect(
        self,
        req: aiohttp.ClientRequest,
        traces: list[Trace],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - aiohttp's argument
    ) -> Connection:
        while True:
            proxy = None
            if self.through is not None and req.proxy is not None and req.is_ssl():  # http has no tunnel to ask for
                proxy = self.through.at(req.proxy)
            if proxy is None:
                connection = await super().connect(req, traces, timeout)
            else:
                connection = await self._connect_through(proxy, req, traces, timeout)
            protocol = connection.protocol
            assert protocol is not None, "it was not released yet"
            if protocol not in self._used:
                self._used.add(protocol)
                return connection
            # An answer more than was asked for, late on an idle connection, would be taken for the next request's,
            # perhaps another account's. aiohttp looks for it when a request ends, but not when the next one begins.
            if not protocol.should_close:
                cast("TrackedRequest", req).reused = True
                return connection
            connection.close()

    async def _connect_through(
        self,
        proxy: Proxy,
        req: aiohttp.ClientRequest,
        traces: list[Trace],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - aiohttp's argument
    ) -> Connection:
        """Connect through a proxy, and raise NoProxyError for what would read like an answer of the server."""
        try:
            async with proxy.connecting():
                return await super().connect(req, traces, timeout)
        except (aiohttp.ClientConnectorError, aiohttp.ClientHttpProxyError):
            raise  # they say more
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError, aiohttp.ClientResponseError):
            raise NoProxyError from None


class MiddlewareError(Exception):
    """Carries an error of ours from a middleware of a borrowed session: aiohttp would replace OSErrors."""

    def __init__(self, error: PlugChatError) -> None:
        super().__init__()
        self.error = error


async def send_once(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """Middleware that keeps aiohttp from silently repeating a GET whose connection was lost.

    aiohttp has no switch for it (its issue 10790), but repeats only on these classes. The session itself retries:
    counted, delayed, and paid from its budget.
    """
    try:
        return await handler(request)
    except aiohttp.ClientConnectorError:
        raise  # never repeated by aiohttp, and says more
    except PlugChatError as error:
        raise MiddlewareError(error) from None
    except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError) as cause:
        dropped = isinstance(cause, aiohttp.ServerDisconnectedError)
    raise DroppedError(closed=dropped, reused=isinstance(request, TrackedRequest) and request.reused)
