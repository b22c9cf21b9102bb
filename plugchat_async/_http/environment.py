"""What is read from the environment: tokens, base URLs, and, with `trust_env`, proxies."""

import os
import re
from collections.abc import Mapping
from typing import Final
from urllib.request import getproxies

from attrs import frozen

from plugchat_async._http.secret import Secret
from plugchat_async._http.urls import DEFAULT_BASE_URL, proxy_problem
from plugchat_async._internal.validation import check_type
from plugchat_async.errors import InvalidTypeError, InvalidValueError

PREFIX: Final = "PLUGCHAT_"
TOKEN_VARIABLE: Final = f"{PREFIX}TOKEN"
BASE_URL_VARIABLE: Final = f"{PREFIX}BASE_URL"


@frozen(repr=False)
class FromEnvironment:
    """An account of the environment: a token that is not given is that of its variable.

    None is not taken for it: `PlugChatSession(os.environ.get("SALES"))` must not read another account.

    Attributes:
        prefix: What the names of its variables begin with.
    """

    prefix: str = PREFIX

    def __attrs_post_init__(self) -> None:
        check_type("prefix", self.prefix, str)
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", self.prefix):
            raise InvalidValueError(
                f"prefix must be letters, digits and underscores, got {self.prefix!r}", "Use one such as SALES_."
            )

    def __repr__(self) -> str:
        return f"{self.prefix}TOKEN"

    def token(self) -> str | InvalidValueError:
        """Return the token, or the error if it is not set or empty."""
        name = f"{self.prefix}TOKEN"
        return os.environ.get(name) or InvalidValueError(
            f"the environment variable {name} is {'empty' if name in os.environ else 'not set'}",
            f"Set {name} to the account's token, or pass the token itself.",
        )

    def base_url(self) -> tuple[str, str]:
        """Return the base URL for a session that is given none, and what errors call it.

        Without a variable of its own, an account has the base URL of PLUGCHAT_BASE_URL: where that names a server for
        tests, no account's token must go to production.
        """
        for name in (f"{self.prefix}BASE_URL", BASE_URL_VARIABLE):
            if value := os.environ.get(name):
                return value, name
        return DEFAULT_BASE_URL, "base_url"


def environment_proxies(*, insecure_http: bool) -> Mapping[str, Secret] | InvalidValueError | InvalidTypeError:
    """Return the proxies of the environment by scheme, or the first's error.

    The error is returned instead of raised: a traceback could show the passwords in this frame.

    Args:
        insecure_http: Whether requests may be for http as well. What is not used is not checked: many have an ALL_PROXY
            of SOCKS beside an HTTPS_PROXY.
    """
    found = getproxies()
    proxies: dict[str, Secret] = {}
    for scheme in ("https", "http") if insecure_http else ("https",):
        name = scheme if found.get(scheme) else "all"
        if address := found.get(name):
            # Most programs take a variable without a scheme.
            url = address if "://" in address else f"http://{address}"
            if (problem := proxy_problem(url, f"{name.upper()}_PROXY")) is not None:
                return problem
            proxies[scheme] = Secret(url)
    return proxies
