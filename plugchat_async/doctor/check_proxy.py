"""Which proxy requests go through, and whether the environment names one that they don't."""

import os
from typing import Final
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from plugchat_async._http.urls import is_loopback_url
from plugchat_async.doctor.findings import Finding, ok, warning

_ADVICE: Final = (
    "If this machine needs that proxy to reach the service, use --trust-env or --proxy (trust_env=True or proxy= in "
    "Python)."
)


def environment_proxy(base_url: str) -> str | None:
    """Return the name of the variable with the environment's proxy for a base URL, or None if there is none.

    On Windows and macOS, the system's settings count as well.
    """
    parts = urlsplit(base_url)
    if is_loopback_url(base_url) or not getproxies().get(parts.scheme) or proxy_bypass(parts.hostname or ""):
        return None
    name = f"{parts.scheme}_proxy"
    return next((known for known in (name, name.upper()) if os.environ.get(known)), "the system's proxy")


def check_proxy(base_url: str, *, is_given: bool, trust_env: bool) -> Finding:
    """Return the finding about proxies. It shows the name of a variable, not its value, which may hold a password.

    Args:
        base_url: The checked base URL.
        is_given: Whether a proxy was given.
        trust_env: Whether the environment's proxy is used.
    """
    if is_loopback_url(base_url):
        return ok("proxy", "requests to this machine go through none", used=False, variable=None)
    if is_given:
        return ok("proxy", "requests go through the given proxy", used=True, variable=None)
    variable = environment_proxy(base_url)
    if variable is None:
        return ok("proxy", "none is set", used=False, variable=None)
    if trust_env:
        return ok("proxy", f"requests go through the proxy of {variable}", used=True, variable=variable)
    return warning("proxy", f"{variable} is set, but not used", _ADVICE, used=False, variable=variable)
