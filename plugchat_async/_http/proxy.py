"""The proxies of a session, or of all accounts of a call: address, password, and whether they accept that."""

import asyncio
from base64 import b64encode
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Final
from urllib.parse import urlsplit
from urllib.request import proxy_bypass

import aiohttp
from yarl import URL

from plugchat_async._http.secret import Secret
from plugchat_async._http.urls import is_loopback_url
from plugchat_async.errors import PlugChatError, ProxyAuthenticationError

_HEADER: Final = "Proxy-Authorization"


class ProxyRefusedError(Exception):
    """The proxy has refused its password before: it was not asked again. Companies lock accounts that ask too often."""


class NoProxyError(Exception):
    """What listens at the proxy's address closed the connection, or did not answer as a proxy."""


class _HiddenText(str):
    """A header's value. aiohttp keeps it in objects whose `repr` shows the headers."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"


class Proxy:
    """A proxy. User name and password are sent to it in a header: aiohttp shows the URL in warnings and errors.

    Until it has accepted one connection, one is asked for at a time: so a wrong password is sent once.

    Args:
        address: The URL, perhaps with a user name and a password.
        login: User name and password, where the URL has none (default None).

    Attributes:
        url: The URL without user name and password.
        headers: The headers for it, or None.
        refused: Whether it has refused the user name and password, or asked for them.
    """

    def __init__(self, address: Secret, login: tuple[str, str] | None = None) -> None:
        url = URL(address.value)
        self.url = url.with_user(None)
        self.refused = False
        self._accepted = False
        self._turn = asyncio.Lock()
        user, password = login or (url.user or "", url.password or "")
        self.headers: Mapping[str, str] | None = None
        if user or password:
            self.headers = {_HEADER: _HiddenText(f"Basic {_encode(f'{user}:{password}')}")}

    @property
    def name(self) -> str:
        """Its host and port, for messages."""
        return f"{self.url.host}:{self.url.port}"

    def refusal(self) -> ProxyAuthenticationError:
        """Return the error of a proxy that refuses the user name and password, or that has been given none."""
        if self.headers is None:
            message = f"the proxy {self.name} asks for a user name and a password"
        else:
            message = f"the proxy {self.name} refuses the user name or password"
        return ProxyAuthenticationError(message, status=407)

    def note(self, status: int, error: PlugChatError | None) -> None:
        """Note whether an attempt was refused. `status`: of its response, or 0."""
        self.refused |= status == 407 or isinstance(error, ProxyAuthenticationError)

    @asynccontextmanager
    async def connecting(self) -> AsyncGenerator[None]:
        """Hold back all other connections while the first one is made. Raise ProxyRefusedError if that was refused."""
        if self._accepted:
            yield
            return
        async with self._turn:
            if self.refused:
                raise ProxyRefusedError
            try:
                yield
            except aiohttp.ClientHttpProxyError as error:
                self.refused = error.status == 407
                raise
            self._accepted = not self.refused

    @asynccontextmanager
    async def answering(
        self, begin: Callable[[], AbstractAsyncContextManager[aiohttp.ClientResponse]]
    ) -> AsyncGenerator[aiohttp.ClientResponse]:
        """Enter the response of `begin()`, held back as in `connecting`.

        For connectors of others, which don't tell when they connect, and for http, where no tunnel is asked for: the
        proxy refuses the request itself.
        """
        async with AsyncExitStack() as stack:
            async with self.connecting():
                answer = await stack.enter_async_context(begin())
                self.refused |= answer.status == 407
            yield answer


class Proxies:
    """Which proxy each base URL is reached through: one for all, or those of the environment.

    Args:
        proxy: The one for all, or None.
        environment: Where there is none: proxies by scheme ("https", "http").
    """

    def __init__(self, proxy: Secret | None = None, environment: Mapping[str, Secret] | None = None) -> None:
        addresses = {"all": proxy} if proxy is not None else environment or {}
        self._bypass = proxy is None
        by_address: dict[str, Proxy] = {}
        self._by_scheme = {
            scheme: by_address.setdefault(address.value, Proxy(address)) for scheme, address in addresses.items()
        }
        self._by_base_url: dict[str, Proxy | None] = {}

    def for_url(self, base_url: str) -> Proxy | None:
        """Return the proxy for a base URL, or None. This machine needs none, which would get the token."""
        if not self._by_scheme:
            return None
        if base_url not in self._by_base_url:
            # Once for each: the environment is searched for NO_PROXY.
            self._by_base_url[base_url] = self._find(base_url)
        return self._by_base_url[base_url]

    def at(self, address: URL) -> Proxy | None:
        """Return the proxy with this address, or None."""
        return next((proxy for proxy in self._by_scheme.values() if proxy.url == address), None)

    def _find(self, base_url: str) -> Proxy | None:
        parts = urlsplit(base_url)
        if is_loopback_url(base_url) or (self._bypass and proxy_bypass(parts.netloc)):
            return None
        return self._by_scheme.get(parts.scheme) or self._by_scheme.get("all")


def _encode(credentials: str) -> str:
    try:
        data = credentials.encode("latin-1")  # as aiohttp does
    except UnicodeEncodeError:
        data = credentials.encode()
    return b64encode(data).decode()
