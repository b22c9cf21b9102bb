"""Check the network before any request is sent: a host's addresses and its certificate."""

import asyncio
import ipaddress
import socket
import ssl
from typing import Final, Self, cast
from urllib.parse import urlsplit

from attrs import frozen

from plugchat_async._http.aiohttp_errors import FILES_HINT, files_problem
from plugchat_async._http.urls import is_loopback_url
from plugchat_async.doctor.findings import Finding, failed, ok, skipped, warning

# Automatic renewal replaces a certificate some weeks before it expires. Later than that, nobody may have noticed.
SOON_DAYS: Final = 14
_DAY: Final = 86_400
_CERTIFICATE_ADVICE: Final = (
    "Check base_url and this machine's clock; if the certificate is from your own CA, pass an ssl_context that trusts "
    "it, or set SSL_CERT_FILE to the CA's file."
)
_CONNECTION_ADVICE: Final = (
    "Check base_url, and that no firewall is in between; if both are right, the service is down: try again later."
)


@frozen
class Host:
    """The host that a base URL names.

    Attributes:
        base_url: The base URL.
        name: The host name or address.
        port: The port, also if the base URL does not contain it.
        secure: Whether it is reached over TLS.
    """

    base_url: str
    name: str
    port: int
    secure: bool

    @classmethod
    def of(cls, base_url: str) -> Self:
        """Parse a checked base URL."""
        parts = urlsplit(base_url)
        assert parts.hostname is not None, "a base URL names one"
        secure = parts.scheme == "https"
        return cls(base_url, parts.hostname, parts.port or (443 if secure else 80), secure)


async def check_dns(host: Host, timeout: float) -> Finding:  # noqa: ASYNC109 - a bound on the look-up, in seconds
    """Look up a host's addresses."""
    if _is_address(host.name):
        return ok("dns", f"{host.name} is an address, not a name", host=host.name, addresses=(host.name,))
    loop = asyncio.get_running_loop()
    files = ""
    try:
        async with asyncio.timeout(timeout):
            infos = await loop.getaddrinfo(host.name, host.port, type=socket.SOCK_STREAM)
    except TimeoutError:
        reason = f"no answer within {timeout:g} s"
    # A name that IDNA can't encode is a UnicodeError.
    except (OSError, UnicodeError) as error:
        files = files_problem(error)
        reason = files or (error.strerror if isinstance(error, OSError) else None) or "it is not a host name"
    else:
        addresses = tuple(dict.fromkeys(str(info[4][0]) for info in infos))
        return ok("dns", f"{host.name} is {', '.join(addresses)}", host=host.name, addresses=addresses)
    return failed(
        "dns",
        f"{host.name} can't be resolved: {reason}",
        FILES_HINT if files else "Check the host name in base_url, and this machine's DNS and network.",
        "service",
        host=host.name,
        addresses=(),
    )


async def check_tls(
    host: Host,
    context: ssl.SSLContext,
    *,
    timeout: float,  # noqa: ASYNC109 - a bound on the handshake, in seconds
    now: float,
) -> Finding:
    """Connect to a host, and check the TLS version and the certificate.

    Args:
        host: The host.
        context: The TLS settings to connect with.
        timeout: The limit for the connection and the handshake, in seconds.
        now: The current time in epoch seconds. The certificate's remaining days are counted from it.
    """
    if not host.secure:
        if is_loopback_url(host.base_url):
            return skipped("tls", f"{host.base_url} is http on this machine, without TLS", host=host.name)
        found = f"{host.base_url} is http: the token is sent in clear text"
        return warning("tls", found, "Use https, unless this is a test server in your own network.", host=host.name)
    advice = _CONNECTION_ADVICE
    try:
        async with asyncio.timeout(timeout):
            _, writer = await asyncio.open_connection(host.name, host.port, ssl=context, server_hostname=host.name)
    except ssl.SSLCertVerificationError as error:
        reason, advice = error.verify_message, _CERTIFICATE_ADVICE
    except ssl.SSLError as error:
        reason = f"the TLS handshake failed: {(error.reason or 'no reason given').replace('_', ' ').lower()}"
        advice = "Check the port in base_url, and that no proxy is in between: that port may not speak TLS."
    except TimeoutError:
        reason = f"no connection within {timeout:g} s"
    except ConnectionRefusedError:
        reason = "the connection was refused"
    except ConnectionError:
        reason = "the connection was lost during the TLS handshake"
        advice = "Check for a firewall or proxy in between that interrupts TLS; if there is none, try again later."
    except OSError as error:
        reason = files_problem(error)
        advice = FILES_HINT if reason else advice
        reason = reason or "the server can't be reached"
    else:
        try:
            tls = cast("ssl.SSLObject", writer.get_extra_info("ssl_object"))
            return _handshake(host, tls, now)
        finally:
            # No request was sent, so there is nothing to wait for.
            writer.transport.abort()
    return failed("tls", f"{host.name}: {reason}", advice, "service", host=host.name)


def _handshake(host: Host, tls: ssl.SSLObject, now: float) -> Finding:
    certificate = tls.getpeercert() or {}
    expiry = ssl.cert_time_to_seconds(str(certificate["notAfter"]))
    days = int((expiry - now) // _DAY)
    found = f"{host.name}: {tls.version()}, trusted certificate, valid for another {days} days"
    if days < SOON_DAYS:
        return warning(
            "tls",
            found,
            "Ask the operator of that host to renew it: no request is sent once it has expired.",
            host=host.name,
            version=tls.version(),
            days_left=days,
        )
    return ok("tls", found, host=host.name, version=tls.version(), days_left=days)


def _is_address(name: str) -> bool:
    try:
        return bool(ipaddress.ip_address(name))
    except ValueError:
        return False
