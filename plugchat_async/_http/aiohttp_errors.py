"""aiohttp's errors, translated into ours. Their text is not used: it may hold headers."""

from typing import Final
from urllib.parse import urlsplit

import aiohttp

from plugchat_async._http.request import Request
from plugchat_async.errors import ConfigurationError, ConnectionFailedError, PlugChatError


class DroppedError(Exception):
    """A connection was lost before there was an answer. It replaces aiohttp's error, so that aiohttp does not retry.

    Attributes:
        closed: Whether the server closed it in good order; otherwise it was reset.
        reused: Whether an earlier request had left it open.
    """

    def __init__(self, *, closed: bool, reused: bool) -> None:
        super().__init__()
        self.closed = closed
        self.reused = reused


_CLOSED: Final = ("closed", "the server closed the connection without an answer")
_RESET: Final = ("reset", "the connection was reset")
# First match wins: a ClientSSLError is a ClientConnectorError, which is an OSError.
_REASONS: Final[tuple[tuple[type[Exception], str, str], ...]] = (
    (aiohttp.ServerFingerprintMismatch, "certificate", "the server's certificate has another fingerprint"),
    (aiohttp.ClientHttpProxyError, "proxy", "the proxy refused the connection"),
    (aiohttp.ClientConnectorDNSError, "dns", "the host name can't be resolved"),
    (aiohttp.ClientSSLError, "tls", "the TLS handshake failed"),
    (aiohttp.ClientConnectorError, "unreachable", "the server can't be reached"),
    (aiohttp.ClientPayloadError, "truncated", "the connection broke in the middle of the answer"),
    (OSError, *_RESET),
    (aiohttp.ClientConnectionError, "closed", "the connection was closed"),
)
# ClientResponseErrors: aiohttp reports answers that it can't parse as a status 400 that the server never sent.
_MALFORMED: Final = ("malformed", "the answer is not valid HTTP")
_HINTS: Final = {
    "certificate": (
        "Check base_url and this machine's clock; if the certificate is from your own CA, "
        "pass an ssl_context that trusts it."
    ),
    "dns": "Check the host name in base_url, and this machine's DNS.",
    "proxy": "Check the proxy option.",
}


def translate(cause: Exception, request: Request) -> PlugChatError:
    """Return our error for aiohttp's. This is the only place that translates them."""
    match cause:
        case DroppedError():
            reason, message = _CLOSED if cause.closed else _RESET
        # Before ValueError, its base class.
        case aiohttp.ClientConnectorCertificateError():
            # Only OpenSSL's own errors have the reason.
            verify_message: str = getattr(
                cause.certificate_error, "verify_message", "the server's certificate can't be verified"
            )
            reason, message = "certificate", verify_message
        # aiohttp.InvalidURL, or an injected session's auth beside our Authorization.
        case ValueError():
            return ConfigurationError(
                "aiohttp refused to send the request",
                "Check base_url; an injected client_session must not have `auth`, nor a netrc entry with trust_env.",
            )
        case aiohttp.ClientProxyConnectionError():
            reason, message = "proxy", "the proxy can't be reached"
        case aiohttp.ClientConnectorError(os_error=ConnectionRefusedError()):
            reason, message = "refused", "the connection was refused"
        # The server was reached, and the handshake was broken off, by the server or by something in between.
        case aiohttp.ClientConnectorError(os_error=ConnectionResetError() | ConnectionAbortedError()):
            reason, message = "tls", "the connection was lost in the TLS handshake"
        case _:
            reason, message = next(((r, m) for kind, r, m in _REASONS if isinstance(cause, kind)), _MALFORMED)
    return _connection_failed(request, reason, message)


def _connection_failed(request: Request, reason: str, message: str) -> ConnectionFailedError:
    host = urlsplit(request.url).netloc
    return ConnectionFailedError(f"{host}: {message}", _HINTS.get(reason, ""), reason=reason)
