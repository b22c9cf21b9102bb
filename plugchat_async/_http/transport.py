"""One HTTP attempt over aiohttp: a limit on the body, no hidden retry, one timeout for the whole attempt.

An attempt returns a response or a failure, and raises nothing but CancelledError: an error that is raised inside
`except` would carry aiohttp's error as its context, whose repr prints the Authorization header.
"""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from io import BytesIO
from typing import Any, Final, Literal, TypeVar
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
from msgspec import Struct
from yarl import URL

from plugchat_async._error_details import read_headers
from plugchat_async._http.aiohttp_errors import DroppedError, translate
from plugchat_async._http.connections import MiddlewareError, TrackedRequest, TrackingConnector, send_once
from plugchat_async._http.pauses import Pauses
from plugchat_async._http.proxy import NoProxyError, Proxies, Proxy, ProxyRefusedError
from plugchat_async._http.request import Request
from plugchat_async._http.response import Response
from plugchat_async._http.secret import Secret
from plugchat_async._http.urls import is_loopback_url
from plugchat_async.errors import (
    ConfigurationError,
    PlugChatError,
    RequestTimeoutError,
    ServiceError,
    SessionStateError,
)

T = TypeVar("T")

# Of a response other than 200 only an excerpt is shown.
ERROR_BODY_BYTES: Final = 64 * 1024

# After so many bytes of a body other tasks run between its chunks.
_UNPAUSED_BYTES: Final = 192 * 1024

_OPEN_HINT: Final = "Use it inside `async with PlugChatSession(...)`, or call `await session.open()` before."

# `timeout` bounds an attempt as a whole. aiohttp's own clocks would count the wait for a connection, restart at each
# byte, and round up beyond five seconds.
_NO_TIMEOUT: Final = aiohttp.ClientTimeout(total=None, connect=None, sock_connect=None, sock_read=None)


# aiohttp has no public names for these attributes of a ClientSession. A test fails first if one of them goes.
PRIVATE_NAMES: Final = ("_loop", "_middlewares", "_default_proxy", "_default_proxy_auth")
_LOOP, _MIDDLEWARES, _PROXY, _PROXY_AUTH = PRIVATE_NAMES


class AttemptFailed(Struct, frozen=True):
    """An attempt without a response.

    Attributes:
        error: The error. It is not raised yet.
        stale: Whether an idle connection turned out to be closed, so that the server never saw the request.
        sent: Whether anything was sent.
        paused: Whether this process did not run for some time meanwhile, so that the server may not be to blame.
    """

    error: PlugChatError
    stale: bool = False
    sent: bool = True
    paused: bool = False


class Transport:
    """Sends single requests, over an aiohttp session of its own or one that it borrows.

    `bare` requests bypass a borrowed session's default headers, middlewares and cookies, but use its connector.

    Args:
        borrowed: The session to borrow, or None.
        proxies: The proxies. Requests to this machine don't go through them.
        ssl_context: Verifies servers, or None for Python's default.
        max_response_bytes: The largest body of a 200 that is read, after decompression.
        keep_headers: Whether to keep the headers of every response (default False: not of a 200).

    Attributes:
        state: "new", "open" in one event loop, or "closed" for good.
        pauses: Gives attempts the time back in which this process did not run.
    """

    def __init__(
        self,
        *,
        borrowed: aiohttp.ClientSession | None,
        proxies: Proxies,
        ssl_context: ssl.SSLContext | None,
        max_response_bytes: int,
        keep_headers: bool = False,
    ) -> None:
        self._borrowed = borrowed
        self._proxies = proxies
        self._ssl_context = ssl_context
        self.max_response_bytes = max_response_bytes
        self._keep_headers = keep_headers
        self.state: Literal["new", "open", "closed"] = "new"
        self.pauses = Pauses()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._own: aiohttp.ClientSession | None = None
        self._borrowed_proxy: Proxy | None = None
        # The timeouts of attempts and waits that run now, each with its task: closing ends them.
        self._running: dict[asyncio.Timeout, asyncio.Task[Any] | None] = {}

    def open(self) -> None:
        """Open the transport in the running event loop, to which it belongs from now on. Opening it twice does no harm.

        Raises:
            SessionStateError: It was closed, or it or the borrowed session belongs to another event loop.
        """
        if self.state != "new":
            self.check()
            return
        options: dict[str, Any] = {}
        if self._borrowed is None:
            # The session limits what is in flight, so the connector need not.
            own = TrackingConnector(limit=0, ssl=self._ssl_context or True)
            own.through = self._proxies
            connector: aiohttp.BaseConnector | None = own
        else:
            loop, proxy, auth = (getattr(self._borrowed, name, None) for name in (_LOOP, _PROXY, _PROXY_AUTH))
            if loop not in (None, asyncio.get_running_loop()):
                raise SessionStateError(
                    "the injected client_session belongs to another event loop",
                    "Create both sessions in the event loop that uses them.",
                )
            # The proxy is the way out of a closed network: bare requests take it as well.
            options = {"trust_env": self._borrowed.trust_env}
            if proxy is not None:
                self._borrowed_proxy = Proxy(Secret(str(proxy)), None if auth is None else (auth.login, auth.password))
            connector = self._borrowed.connector
        self._own = aiohttp.ClientSession(
            connector=connector,
            connector_owner=self._borrowed is None,
            # The default jar would send one account's cookies with another's requests.
            cookie_jar=aiohttp.DummyCookieJar(),
            middlewares=(send_once,),
            # Only our own connector notes what it knows of a request.
            request_class=TrackedRequest if self._borrowed is None else aiohttp.ClientRequest,
            **options,
        )
        self.state = "open"
        self._loop = asyncio.get_running_loop()

    def check(self) -> None:
        """Raise SessionStateError unless the transport is open, and belongs to the running event loop."""
        if self.state == "closed":
            raise _closed()
        if self.state == "new":
            raise SessionStateError("the session is not open", _OPEN_HINT)
        if self._loop is not asyncio.get_running_loop():
            raise SessionStateError(
                "the session belongs to another event loop",
                "Create a session for each event loop, inside that loop.",
            )

    async def close(self) -> None:
        """Close what is ours, and leave what was borrowed."""
        self.state = "closed"
        self.pauses.stop()
        loop, current = asyncio.get_running_loop(), asyncio.current_task()
        for limit, task in self._running.items():
            # A task that closes the transport in the middle of its own request is not interrupted.
            if task is not current and not limit.expired():
                limit.reschedule(loop.time())
        if self._own is not None:
            await self._own.close()

    async def wait(self, begin: Callable[..., Awaitable[T]], *args: Any) -> T:
        """Return what `begin(*args)` returns, or raise SessionStateError as soon as the transport is closed."""
        if self.state == "closed":
            raise _closed()
        limit = asyncio.timeout(None)
        self._running[limit] = asyncio.current_task()
        try:
            async with limit:
                return await begin(*args)
        except TimeoutError:
            if not limit.expired():
                raise  # it is the clock's own
        finally:
            del self._running[limit]
        raise _closed()

    async def send(self, request: Request, *, timeout: float) -> Response | AttemptFailed:  # noqa: ASYNC109 - bounds the attempt, body included
        """Send one request and read its response, within `timeout` seconds."""
        client = self._own if request.template.bare or self._borrowed is None else self._borrowed
        assert client is not None, "callers check that it is open"
        proxy = self._proxy_for(request)
        refused = self._closed_error(client) or self._proxy_error(request, proxy)
        if refused is not None:
            return AttemptFailed(refused, sent=False)
        response = Response(0, {}, b"", complete=False, sent_url=request.url)
        error: PlugChatError | None = None
        stale = False
        raised: BaseException | None = None
        limit = asyncio.timeout(timeout)
        self._running[limit] = asyncio.current_task()
        lost = self.pauses.add(limit)
        try:
            async with limit:
                await self._ask(client, request, response)
        except asyncio.CancelledError as cancelled:
            # A new one: the frames of the first one hold the headers, and error reports may show frames.
            raised = asyncio.CancelledError(*cancelled.args)
        except TimeoutError:
            # Closing ends it as well: aiohttp would leave a request that waits for its body waiting.
            error = self._closed_error(client) or RequestTimeoutError(f"no complete answer within {timeout:g} s")
        except MiddlewareError as carrier:
            raised = carrier.error
        except Exception as cause:  # errors of neither aiohttp nor the network are raised again
            error = self._error_for(cause, client, request, proxy)
            if error is None:
                raise
            stale = isinstance(cause, DroppedError) and cause.reused and not isinstance(error, SessionStateError)
        finally:
            del self._running[limit]
            self.pauses.remove(limit)
        if raised is not None:
            raise raised  # here, where no error of aiohttp is its context
        if proxy is not None:
            proxy.note(response.status, error)
        # A status says more than how its body was cut.
        if error is None or response.status not in (0, 200):
            return response
        error.url = request.url
        paused = self.pauses.lost > lost and isinstance(error, ServiceError)
        return AttemptFailed(error, stale, paused=paused)

    def _error_for(
        self, cause: Exception, client: aiohttp.ClientSession, request: Request, proxy: Proxy | None
    ) -> PlugChatError | None:
        """Return our error for one of aiohttp or the network, or None for one of other code."""
        # aiohttp does not promise what a session raises that is closed in the middle of a request.
        if (closed := self._closed_error(client)) is not None:
            return closed
        if isinstance(cause, (aiohttp.ClientError, DroppedError, NoProxyError, ProxyRefusedError, OSError)) or (
            # Other ValueErrors of a borrowed session are its own code's.
            isinstance(cause, ValueError) and (client is self._own or "AUTHORIZATION" in str(cause))
        ):
            return translate(cause, request, proxy)
        return None

    def _proxy_for(self, request: Request) -> Proxy | None:
        """Return the proxy of a request."""
        return self._proxies.for_url(request.template.base_url) or self._borrowed_proxy

    def _proxy_error(self, request: Request, proxy: Proxy | None) -> ConfigurationError | None:
        if proxy is not None and proxy.refused:
            return proxy.refusal()
        http = request.url.startswith("http:") and is_loopback_url(request.template.base_url)
        if self._borrowed is None or not http:
            return None
        # aiohttp can't send a request of such a session without its proxy.
        if proxy is None and not (self._borrowed.trust_env and _environment_proxy(request.template.base_url)):
            return None
        return ConfigurationError(
            f"not sent: {request.template.base_url} would be asked through the proxy of the injected client_session, "
            "which could read the token",
            "Use a client_session without a proxy; with trust_env, set NO_PROXY=localhost,127.0.0.1,::1.",
        )

    async def _ask(self, client: aiohttp.ClientSession, request: Request, response: Response) -> None:
        """Send the request, and fill in the response. aiohttp's objects stay in this frame, which no error leads to."""
        url = URL(request.url, encoded=True)
        proxy = self._proxy_for(request)
        headers, tunnel = request.headers, url.scheme == "https"
        if proxy is not None and proxy.headers and not tunnel:
            headers = {**headers, **proxy.headers}  # aiohttp sends the others with CONNECT only

        def begin() -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
            return client.request(
                "GET",
                url,
                headers=headers,
                allow_redirects=False,
                raise_for_status=False,
                auto_decompress=True,
                timeout=_NO_TIMEOUT,
                proxy=None if proxy is None else proxy.url,
                proxy_headers=None if proxy is None else proxy.headers,
                # Given with a request they replace the session's own.
                middlewares=None if client is self._own else (send_once, *getattr(client, _MIDDLEWARES, ())),
            )

        held_back = tunnel and self._borrowed is None  # by our own connector
        async with begin() if proxy is None or held_back else proxy.answering(begin) as answer:
            response.status, response.raw_headers = answer.status, answer.raw_headers
            if answer.status != 200 or self._keep_headers:
                _fill_in_headers(response, answer, url)
            response.body, response.complete = await self._read_body(answer)

    async def _read_body(self, answer: aiohttp.ClientResponse) -> tuple[bytes, bool]:
        """Return the body, decompressed, up to the limit, and whether it is complete."""
        if answer.status < 200:
            return b"", True  # 101: what follows is another protocol
        limit = self.max_response_bytes if answer.status == 200 else ERROR_BODY_BYTES
        if (answer.content_length or 0) > limit and answer.status == 200:
            return b"", False
        body = BytesIO()  # which gives its bytes without a copy: one of 16 MB takes ten milliseconds
        size = 0
        # Chunks come decompressed, a few hundred kilobytes at a time: a bomb is met at the limit, not after it.
        while chunk := await answer.content.readany():
            size += body.write(chunk)
            if size > limit:
                # A page that is too large is not used; of an error the beginning is shown.
                return b"" if answer.status == 200 else body.getvalue()[:limit], False
            if size > _UNPAUSED_BYTES:
                await asyncio.sleep(0)  # a chunk is decompressed when it is read, a millisecond each
        return body.getvalue(), True

    def _closed_error(self, client: aiohttp.ClientSession) -> SessionStateError | None:
        if self.state == "closed":
            return _closed()
        if client.closed:
            return SessionStateError("the injected client_session is closed", "Keep it open as long as this session.")
        return None


def _environment_proxy(base_url: str) -> bool:
    """Return whether the environment has a proxy for an http URL."""
    return "http" in getproxies() and not proxy_bypass(urlsplit(base_url).hostname or "")


def _closed() -> SessionStateError:
    return SessionStateError(
        "the session is closed", "A closed session can't be opened again: create a new one, or close this one later."
    )


def _fill_in_headers(response: Response, answer: aiohttp.ClientResponse, url: URL) -> None:
    """Fill in the response's headers, and what was really sent."""
    sent = answer.request_info
    response.headers = read_headers(answer.raw_headers)
    response.sent_method, response.sent_url = sent.method, str(sent.url)
    response.sent_content_type = sent.headers.get("Content-Type")
    response.altered = sent.method != "GET" or sent.url != url
