"""One HTTP attempt over aiohttp: a capped read, and aiohttp's errors turned into ours.

An attempt gives back a response or a failure, and raises nothing but CancelledError: an error that is raised inside
`except` would carry aiohttp's error as its context, whose repr prints the Authorization header.
"""

import asyncio
import ssl
from types import SimpleNamespace
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp
from attrs import define, frozen
from yarl import URL

from plugchat_async._wire import Secret, WireRequest, WireResponse
from plugchat_async.errors import (
    ConfigurationError,
    ConnectionFailedError,
    PlugChatError,
    RequestTimeoutError,
    SessionStateError,
)

# Of an answer other than 200 only an excerpt is shown.
ERROR_BODY_BYTES: Final = 64 * 1024

# `timeout` bounds an attempt as a whole. aiohttp's own clocks would count the wait for a connection, restart at each
# byte, and round up beyond five seconds.
_NO_TIMEOUT: Final = aiohttp.ClientTimeout(total=None, connect=None, sock_connect=None, sock_read=None)


@frozen
class Failure:
    """An attempt without a response. `stale`: an idle connection turned out to be closed, so nothing was answered."""

    error: PlugChatError
    stale: bool = False


class Transport:
    """Sends single requests, over aiohttp sessions of its own or one that it borrows.

    `bare` requests go past a borrowed session's default headers, middlewares and cookies, over its connector.
    """

    def __init__(
        self,
        *,
        borrowed: aiohttp.ClientSession | None,
        proxy: Secret | None,
        ssl_context: ssl.SSLContext | None,
        max_response_bytes: int,
    ) -> None:
        self._borrowed = borrowed
        self._proxy = proxy
        self._ssl_context = ssl_context
        self._max_response_bytes = max_response_bytes
        self._own: aiohttp.ClientSession | None = None

    def open(self) -> None:
        """Make what is ours. It belongs to the running event loop."""
        self._own = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=0, ssl=self._ssl_context or True
            )  # the session limits what is in flight
            if self._borrowed is None
            else self._borrowed.connector,
            connector_owner=self._borrowed is None,
            # The default jar would send one account's cookies with another's requests.
            cookie_jar=aiohttp.DummyCookieJar(),
            middlewares=(_send_once,),
            trace_configs=[_trace_reuse()],
        )

    async def close(self) -> None:
        """Close what is ours, and leave what was borrowed."""
        if self._own is not None:
            await self._own.close()

    async def send(self, request: WireRequest, *, timeout: float) -> WireResponse | Failure:  # noqa: ASYNC109 - bounds the attempt, body included
        """Send one request and read its answer, in `timeout` seconds."""
        client, options = self._client_for(request)
        if client is None or client.closed:
            return Failure(
                SessionStateError("the injected client_session is closed", "Keep it open as long as this session.")
            )
        state = _AttemptState()
        url = URL(request.url, encoded=True)
        error: PlugChatError
        try:
            async with (
                asyncio.timeout(timeout),
                client.request(
                    "GET",
                    url,
                    headers=request.headers,
                    allow_redirects=False,
                    raise_for_status=False,
                    auto_decompress=True,
                    timeout=_NO_TIMEOUT,
                    proxy=None if self._proxy is None else self._proxy.value,
                    trace_request_ctx=state,
                    **options,
                ) as answer,
            ):
                state.answer = answer
                body, complete = await self._read(answer)
                return _response(answer, url, body, complete=complete)
        except TimeoutError:
            error = RequestTimeoutError(f"no complete answer within {timeout:g} s")
        except (aiohttp.ClientError, _DroppedError, OSError, ValueError, RuntimeError) as cause:
            if isinstance(cause, RuntimeError) and not client.closed:
                raise
            error = _translate(cause, request)
        if state.answer is not None and state.answer.status != 200:
            # The status says more than how its body was cut.
            return _response(state.answer, url, b"", complete=False)
        error.url = request.url
        lost = isinstance(error, ConnectionFailedError) and error.reason in ("closed", "reset")
        return Failure(error, stale=lost and state.reused and state.answer is None)

    def _client_for(self, request: WireRequest) -> tuple[aiohttp.ClientSession | None, dict[str, Any]]:
        if request.shape.bare or self._borrowed is None:
            return self._own, {}
        # Middlewares given with a request replace the session's, which aiohttp has no public name for.
        theirs = getattr(self._borrowed, "_middlewares", ())
        return self._borrowed, {"middlewares": (_send_once, *theirs)}

    async def _read(self, answer: aiohttp.ClientResponse) -> tuple[bytes, bool]:
        """Read the body, decompressed, up to the limit. Whether it is complete comes with it."""
        if answer.status < 200:
            return b"", True  # 101: what follows is another protocol
        limit = self._max_response_bytes if answer.status == 200 else ERROR_BODY_BYTES
        if (answer.content_length or 0) > limit and answer.status == 200:
            return b"", False
        chunks: list[bytes] = []
        size = 0
        # Chunks come decompressed, a few hundred kilobytes at a time: a bomb is met at the limit, not after it.
        async for chunk in answer.content.iter_any():
            chunks.append(chunk)
            size += len(chunk)
            if size > limit:
                return b"".join(chunks)[:limit], False
        return b"".join(chunks), True


@define
class _AttemptState:
    """What became known of an attempt, whether it succeeds or not."""

    answer: aiohttp.ClientResponse | None = None
    reused: bool = False


def _response(answer: aiohttp.ClientResponse, url: URL, body: bytes, *, complete: bool) -> WireResponse:
    if answer.status == 200:
        return WireResponse(200, {}, body, complete, sent_url=str(url))
    sent = answer.request_info
    headers: dict[str, str] = {}
    for name, value in answer.headers.items():
        key = name.lower()
        headers[key] = f"{headers[key]}, {value}" if key in headers else value
    return WireResponse(
        answer.status,
        headers,
        body,
        complete,
        sent_method=sent.method,
        sent_url=str(sent.url),
        sent_content_type=sent.headers.get("Content-Type"),
        altered=sent.method != "GET" or sent.url != url,
    )


async def _send_once(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """Middleware that keeps aiohttp from silently repeating a GET whose connection was lost.

    aiohttp has no switch for it (its issue 10790), but repeats only on these classes. Retrying is the session's work:
    counted, delayed, and paid from its budget.
    """
    try:
        return await handler(request)
    except aiohttp.ClientConnectorError:
        raise  # never repeated by aiohttp, and says more
    except aiohttp.ServerDisconnectedError:
        raise _DroppedError("closed", "the server closed the connection without an answer") from None
    except aiohttp.ClientOSError:
        raise _DroppedError("reset", "the connection was reset") from None


class _DroppedError(Exception):
    """A lost connection, on its way past aiohttp's own retry: a ConnectionFailedError's reason, and its message."""


def _trace_reuse() -> aiohttp.TraceConfig:
    """Trace whether an attempt went over a connection that an earlier request left open."""

    async def on_reuse(_: aiohttp.ClientSession, context: SimpleNamespace, __: object) -> None:
        context.trace_request_ctx.reused = True

    trace = aiohttp.TraceConfig()
    trace.on_connection_reuseconn.append(on_reuse)
    return trace


# First match wins: a certificate error is a ClientSSLError, which is a ClientConnectorError, which is an OSError.
_REASONS: Final[tuple[tuple[type[Exception], str, str], ...]] = (
    (aiohttp.ClientConnectorCertificateError, "certificate", "the server's certificate can't be verified"),
    (aiohttp.ServerFingerprintMismatch, "certificate", "the server's certificate has another fingerprint"),
    (aiohttp.ClientProxyConnectionError, "proxy", "the proxy can't be reached"),
    (aiohttp.ClientHttpProxyError, "proxy", "the proxy refused the connection"),
    (aiohttp.ClientConnectorDNSError, "dns", "the host name can't be resolved"),
    (aiohttp.ClientSSLError, "tls", "the TLS handshake failed"),
    (aiohttp.ClientConnectorError, "unreachable", "the server can't be reached"),
    (aiohttp.ClientPayloadError, "truncated", "the connection broke in the middle of the answer"),
    (aiohttp.ClientOSError, "reset", "the connection was reset"),
    (aiohttp.ClientConnectionError, "closed", "the connection was closed"),
    (OSError, "reset", "the connection was reset"),
)
# A ClientResponseError is left: aiohttp calls what it can't parse a status 400, which nobody sent.
_MALFORMED: Final = ("malformed", "the answer is not valid HTTP")
_HINTS: Final = {
    "certificate": (
        "Check base_url and this machine's clock; if the server's authority is your own, "
        "give an ssl_context that trusts it."
    ),
    "dns": "Check the host name in base_url, and this machine's DNS.",
    "proxy": "Check the proxy option.",
}


def _translate(cause: Exception, request: WireRequest) -> PlugChatError:
    """The one place where foreign errors become ours. Their text is not taken over: it may hold headers."""
    match cause:
        case _DroppedError(args=(reason, message)):
            return _connection_failed(request, reason, message)
        case RuntimeError():
            return SessionStateError("the session was closed during a request")
        case aiohttp.ClientConnectorCertificateError(certificate_error=ssl.SSLCertVerificationError() as verify):
            return _connection_failed(request, "certificate", verify.verify_message)
        # aiohttp.InvalidURL, or an injected session's auth beside our Authorization. A certificate error is one, too.
        case ValueError() if not isinstance(cause, aiohttp.ClientConnectorCertificateError):
            return ConfigurationError(
                "aiohttp refused to send the request",
                "Check base_url; an injected client_session must not have `auth`, nor a netrc entry with trust_env.",
            )
        case aiohttp.ClientConnectorError(os_error=ConnectionRefusedError()) if not isinstance(
            cause, aiohttp.ClientProxyConnectionError
        ):
            return _connection_failed(request, "refused", "the connection was refused")
        case _:
            reason, message = next(((r, m) for kind, r, m in _REASONS if isinstance(cause, kind)), _MALFORMED)
            return _connection_failed(request, reason, message)


def _connection_failed(request: WireRequest, reason: str, message: str) -> ConnectionFailedError:
    host = urlsplit(request.url).netloc
    return ConnectionFailedError(f"{host}: {message}", _HINTS.get(reason, ""), reason=reason)
