"""How far one gets towards a host before a request is sent: its addresses, and its certificate."""

import asyncio
import ipaddress
import socket
import ssl
from typing import Final, Self, cast
from urllib.parse import urlsplit

from attrs import frozen

from plugchat_async.doctor.findings import Finding, failed, ok, skipped, warning

# A certificate is renewed some weeks before its end where that is done by itself; one that is not is soon forgotten.
SOON_DAYS: Final = 14
_DAY: Final = 86_400
_CERTIFICATE_ADVICE: Final = (
    "Check base_url and this machine's clock; if the server's authority is your own, give an ssl_context that trusts "
    "it, or name its file in SSL_CERT_FILE."
)
_CONNECTION_ADVICE: Final = (
    "Check base_url, and that no firewall is in between; if both are right, the service is down: try again later."
)


@frozen
class Host:
    """Where a base URL leads to. `secure`: over TLS."""

    base_url: str
    name: str
    port: int
    secure: bool

    @classmethod
    def of(cls, base_url: str) -> Self:
        """Take a checked base URL apart."""
        parts = urlsplit(base_url)
        assert parts.hostname is not None, "a base URL names one"
        secure = parts.scheme == "https"
        return cls(base_url, parts.hostname, parts.port or (443 if secure else 80), secure)


async def look_up(host: Host, seconds: float) -> Finding:
    """Ask for a host's addresses, for so many seconds at most."""
    if _is_address(host.name):
        return ok("dns", f"{host.name} is an address: no name to look up", host=host.name, addresses=(host.name,))
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(seconds):
            infos = await loop.getaddrinfo(host.name, host.port, type=socket.SOCK_STREAM)
    except TimeoutError:
        said = f"no answer within {seconds:g} s"
    # A name that IDNA can't encode is a UnicodeError.
    except (OSError, UnicodeError) as error:
        said = (error.strerror if isinstance(error, OSError) else None) or "it is no host name"
    else:
        addresses = tuple(dict.fromkeys(str(info[4][0]) for info in infos))
        return ok("dns", f"{host.name} is {', '.join(addresses)}", host=host.name, addresses=addresses)
    return failed(
        "dns",
        f"{host.name} can't be resolved: {said}",
        "Check the host name in base_url, and this machine's DNS and network.",
        "service",
        host=host.name,
        addresses=(),
    )


async def shake_hands(host: Host, context: ssl.SSLContext, *, seconds: float, now: float) -> Finding:
    """Connect, and look at version and certificate. `now`: epoch seconds, to count the certificate's days from."""
    if not host.secure:
        return skipped("tls", f"{host.base_url} is http, on this machine: there is no TLS", host=host.name)
    advice = _CONNECTION_ADVICE
    try:
        async with asyncio.timeout(seconds):
            _, writer = await asyncio.open_connection(host.name, host.port, ssl=context, server_hostname=host.name)
    except ssl.SSLCertVerificationError as error:
        said, advice = error.verify_message, _CERTIFICATE_ADVICE
    except ssl.SSLError as error:
        said = f"the TLS handshake failed: {(error.reason or 'no reason given').replace('_', ' ').lower()}"
        advice = "Check the port in base_url, and that no proxy is in between: what answers there may not speak TLS."
    except TimeoutError:
        said = f"no connection within {seconds:g} s"
    except ConnectionRefusedError:
        said = "the connection was refused"
    except ConnectionError:
        said = "the connection was lost in the TLS handshake"
        advice = "Check that no firewall or proxy is in between that breaks off TLS; else try again later."
    except OSError:
        said = "the server can't be reached"
    else:
        try:
            tls = cast("ssl.SSLObject", writer.get_extra_info("ssl_object"))
            return _handshake(host, tls, now)
        finally:
            # Nothing was begun that would have to be ended in good order.
            writer.transport.abort()
    return failed("tls", f"{host.name}: {said}", advice, "service", host=host.name)


def _handshake(host: Host, tls: ssl.SSLObject, now: float) -> Finding:
    certificate = tls.getpeercert() or {}
    expiry = ssl.cert_time_to_seconds(str(certificate["notAfter"]))
    days = int((expiry - now) // _DAY)
    found = f"{host.name}: {tls.version()}, and a certificate that is trusted for another {days} days"
    if days < SOON_DAYS:
        return warning(
            "tls",
            found,
            "Tell whoever runs that host to renew it: from then on no request is sent.",
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
