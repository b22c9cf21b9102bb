"""Which proxy requests go through, and whether the environment names one that they don't."""

import os
from typing import Final
from urllib.parse import urlsplit

from plugchat_async._http.environment import environment_proxies
from plugchat_async._http.proxy import Proxies
from plugchat_async._http.urls import is_loopback_url
from plugchat_async.doctor.findings import Finding, ok, warning
from plugchat_async.errors import PlugChatError

_ADVICE: Final = (
    "If this machine needs that proxy to reach the service, use --trust-env or --proxy (trust_env=True or proxy= in "
    "Python)."
)


def check_proxy(base_url: str, proxies: Proxies, *, is_given: bool) -> Finding:
    """Return the finding about proxies. It shows the name of a variable, not its value, which may hold a password.

    Args:
        base_url: The checked base URL.
        proxies: The proxies that requests go through.
        is_given: Whether these are not the environment's.
    """
    if is_loopback_url(base_url):
        return ok("proxy", "requests to this machine go through none", used=False, variable=None)
    used = proxies.for_url(base_url) is not None
    if used and is_given:
        return ok("proxy", "requests go through the given proxy", used=True, variable=None)
    variable = _variable(base_url)
    if used:
        return ok("proxy", f"requests go through the proxy of {variable}", used=True, variable=variable)
    if variable is None:
        return ok("proxy", "none is set", used=False, variable=None)
    return warning("proxy", f"{variable} is set, but not used", _ADVICE, used=False, variable=variable)


def _variable(base_url: str) -> str | None:
    """Return the name of the variable with the environment's proxy for a base URL, None if there is none."""
    scheme = urlsplit(base_url).scheme
    known = environment_proxies(insecure_http=scheme == "http")
    if not isinstance(known, PlugChatError) and Proxies(environment=known).for_url(base_url) is None:
        return None
    names = [spelled for name in (f"{scheme}_proxy", "all_proxy") for spelled in (name, name.upper())]
    # On Windows and macOS, the settings of the system count as well.
    return next((name for name in names if os.environ.get(name)), "a proxy of the system's settings")
