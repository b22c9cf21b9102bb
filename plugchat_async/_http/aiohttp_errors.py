"""aiohttp's errors, translated into ours. Their text is not used: it may hold headers."""

import errno
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp
from yarl import URL

from plugchat_async._http.aiohttp_version import check_aiohttp
from plugchat_async._http.proxy import NoProxyError, Proxy, ProxyRefusedError
from plugchat_async._http.request import Request
from plugchat_async._http.response import status_line
from plugchat_async.errors import (
    ConfigurationError,
    ConnectionFailedError,
    PlugChatError,
    ProxyAuthenticationError,
)

# Here, since all modules that use more of aiohttp than a ClientSession import this one first.
check_aiohttp(aiohttp.__version__)


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


FILES_HINT: Final = "Lower the concurrency, or raise the limit of open files (ulimit -n): each connection is one."
_CLOSED: Final = ("closed", "the server closed the connection without an answer")
_RESET: Final = ("reset", "the connection was reset")
# First match wins: a ClientSSLError is a ClientConnectorError, which is an OSError.
_REASONS: Final[tuple[tuple[type[Exception], str, str], ...]] = (
    (aiohttp.ServerFingerprintMismatch, "certificate", "the server's certificate has another fingerprint"),
    (aiohttp.ClientConnectorDNSError, "dns", "the host name can't be resolved"),
    (aiohttp.ClientSSLError, "tls", "the TLS handshake failed"),
    (aiohttp.ClientConnectorError, "unreachable", "the server can't be reached"),
    (aiohttp.ClientPayloadError, "truncated", "the connection broke in the middle of the answer"),
    (OSError, *_RESET),
    (aiohttp.ClientConnectionError, "closed", "the connection was closed"),
)
# ClientResponseErrors: aiohttp reports answers that it can't parse as a status 400 that the server never sent.
_MALFORMED: Final = ("malformed", "the answer is not valid HTTP")
# What aiohttp says of an encoding whose package is not installed. A test holds it to the installed version.
_ENCODINGS: Final = (("(br)", "br", "Brotli"), ("(zstd)", "zstd", "backports.zstd"))
_HINTS: Final = {
    "certificate": (
        "Check base_url and this machine's clock; if the certificate is from your own CA, "
        "pass an ssl_context that trusts it."
    ),
    "dns": "Check the host name in base_url, and this machine's DNS.",
    "files": FILES_HINT,
    "tls": (
        "Check the port in base_url, and whether it speaks https at all: a test server is often reached by http://. If "
        "it does, look for a firewall or proxy in between that interrupts TLS, and try again later."
    ),
    "proxy": "Check the address in the proxy option, and that the proxy may connect to this host.",
}
_PROXY_TLS_HINT: Final = (
    "Check the proxy option: many proxies are reached by http://. If the proxy's certificate is from your own CA, pass "
    "an ssl_context that trusts it."
)


def translate(cause: Exception, request: Request, proxy: Proxy | None = None) -> PlugChatError:
    """Return our error for aiohttp's. This is the only place that translates them.

    Args:
        cause: The error.
        request: The request.
        proxy: The proxy that it was sent through, if that is known (default None).
    """
    files = files_problem(cause)
    if files:
        return _connection_failed(request, "files", files)
    error = _proxy_error(cause, request, proxy) or _proxy_tls_error(cause, request)
    if error is not None:
        return error
    match cause:
        case DroppedError():
            reason, message = _CLOSED if cause.closed else _RESET
        # Before ValueError, its base class.
        case aiohttp.ClientConnectorCertificateError():
            reason, message = "certificate", _why_not_trusted(cause)
        # aiohttp.InvalidURL, or an injected session's auth beside our Authorization.
        case ValueError():
            return ConfigurationError(
                "aiohttp refused to send the request",
                "Check base_url; an injected client_session must not have `auth`, nor a netrc entry with trust_env.",
            )
        case aiohttp.ClientConnectorError(os_error=ConnectionRefusedError()):
            reason, message = "refused", "the connection was refused"
        # The server was reached, and the handshake was broken off, by the server or by something in between.
        case aiohttp.ClientConnectorError(os_error=ConnectionResetError() | ConnectionAbortedError()):
            reason, message = "tls", "the connection was lost in the TLS handshake"
        case aiohttp.ClientResponseError() if any(encoding := _encoding_of(cause)):
            name, package = encoding
            message = f"the answer is compressed with {name}, which was not asked for and can't be read here"
            hint = f"Install {package} (pip install {package}), or look what in between ignores Accept-Encoding."
            return _connection_failed(request, "encoding", message, hint)
        case _:
            reason, message = next(((r, m) for kind, r, m in _REASONS if isinstance(cause, kind)), _MALFORMED)
    return _connection_failed(request, reason, message)


def _proxy_error(cause: Exception, request: Request, proxy: Proxy | None) -> PlugChatError | None:
    """Return the error of a proxy, or None if it has nothing to do with one."""
    match cause:
        case ProxyRefusedError():
            assert proxy is not None, "it has refused"
            return proxy.refusal()
        case NoProxyError():
            assert proxy is not None, "it was asked"
            message = f"what listens at {proxy.name} closed the connection, or is no HTTP proxy"
        case aiohttp.ClientHttpProxyError() if cause.status == 407:
            if proxy is not None:
                return proxy.refusal()
            message = "the proxy refuses the user name or password, or was given none"
            return ProxyAuthenticationError(message, status=407)
        case aiohttp.ClientHttpProxyError():
            name = "the proxy" if proxy is None else f"the proxy {proxy.name}"
            message = f"{name} did not connect: HTTP {status_line(cause.status)}"
        case aiohttp.ClientProxyConnectionError():
            message = f"the proxy {cause.host}:{cause.port} can't be reached"
        # Only a proxy has another name than the host of the request.
        case aiohttp.ClientConnectorDNSError() if cause.host != urlsplit(request.url).hostname:
            message = f"the host name of the proxy {cause.host}:{cause.port} can't be resolved"
        case _:
            return None
    return _connection_failed(request, "proxy", message)


def _proxy_tls_error(cause: Exception, request: Request) -> PlugChatError | None:
    """Return the error of a proxy that is reached by https, or None if it has nothing to do with that."""
    if not isinstance(cause, aiohttp.ClientConnectorCertificateError | aiohttp.ClientConnectorSSLError):
        return None
    reached: Any = cause  # its types are incomplete
    url, address = URL(request.url), f"{reached.host}:{reached.port}"
    if (reached.host, reached.port) == (url.raw_host, url.port):
        return None
    if isinstance(cause, aiohttp.ClientConnectorCertificateError):
        message = f"the certificate of the proxy {address}: {_why_not_trusted(cause)}"
        return _connection_failed(request, "certificate", message, _PROXY_TLS_HINT)
    return _connection_failed(request, "proxy", f"the TLS handshake with the proxy {address} failed", _PROXY_TLS_HINT)


def _why_not_trusted(cause: aiohttp.ClientConnectorCertificateError) -> str:
    """Return why a certificate was refused. Only OpenSSL's own errors have the reason."""
    message: str = getattr(cause.certificate_error, "verify_message", "the server's certificate can't be verified")
    return message


def files_problem(cause: Exception) -> str:
    """Return in words that a connection could not be made because too many files are open, or ""."""
    error = cause.os_error if isinstance(cause, aiohttp.ClientConnectorError) else cause
    number = error.errno if isinstance(error, OSError) else None
    if number in (errno.EMFILE, getattr(errno, "WSAEMFILE", errno.EMFILE)):
        return "this process has too many open files"
    return "this machine has too many open files" if number == errno.ENFILE else ""


def _encoding_of(cause: aiohttp.ClientResponseError) -> tuple[str, str]:
    """Return the encoding of an answer that can't be read here, and the package that reads it, or two ""."""
    if "content-encoding" in cause.message:
        for mark, name, package in _ENCODINGS:
            if mark in cause.message:
                return name, package
    return "", ""


def _connection_failed(request: Request, reason: str, message: str, hint: str = "") -> ConnectionFailedError:
    host = urlsplit(request.url).netloc
    return ConnectionFailedError(f"{host}: {message}", hint or _HINTS.get(reason, ""), reason=reason)
