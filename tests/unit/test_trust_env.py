"""The proxies of the environment: which base URL goes through which, and that no password is shown."""

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
import trustme

from plugchat_async import Account, InvalidTypeError, InvalidValueError, PlugChatSession, fetch_many
from plugchat_async._http.environment import environment_proxies
from plugchat_async._http.proxy import Proxies
from plugchat_async._http.secret import Secret
from support.fakes import RawServer, answering, http, what_frames_show
from support.proxies import BASE_URL, HOST, ConnectProxy, tls_of

SERVED, TRUSTING = tls_of(trustme.CA())
VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        for spelled in (name, name.upper()):
            monkeypatch.delenv(spelled, raising=False)


@pytest.fixture
async def proxy() -> AsyncIterator[ConnectProxy]:
    page = http(b'[{"phone":"1"}]')
    async with (
        RawServer(answering(page, close=False), ssl_context=SERVED) as server,
        ConnectProxy(server.port) as proxy,
    ):
        yield proxy


@pytest.mark.parametrize("variable", ["https_proxy", "HTTPS_PROXY", "ALL_PROXY"])
async def test_the_environments_proxy_is_used_if_asked_for(
    proxy: ConnectProxy, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    """With its password, by one account and by many."""
    monkeypatch.setenv(variable, proxy.url())
    options: dict[str, Any] = {"base_url": BASE_URL, "ssl_context": TRUSTING, "trust_env": True}
    async with PlugChatSession("t0k3n", **options) as session:
        assert len((await session.fetch_page(1, 10)).chats) == 1
    async for result in fetch_many([Account("a", "t0k3n")], page_size=10, **options):
        assert result.error is None
    assert [head.split("\r\n")[0] for head in proxy.heads] == [f"CONNECT {HOST}:443 HTTP/1.1"] * 2


def test_an_explicit_proxy_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also before a variable that no proxy can be read from."""
    monkeypatch.setenv("HTTPS_PROXY", "socks5://p.example")
    PlugChatSession("t", proxy="http://mine.example:3128", trust_env=True)


def test_without_trust_env_the_environment_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """As before."""
    monkeypatch.setenv("HTTPS_PROXY", "socks5://p.example")
    PlugChatSession("t")


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"])
def test_a_bad_variable_is_named_and_not_shown(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    """Its password is in no frame."""
    monkeypatch.setenv(variable, "socks5://u:s3cret@p.example")
    with pytest.raises(InvalidValueError, match=f"^{variable} must begin with http") as caught:
        PlugChatSession("t", trust_env=True, insecure_http=True)
    assert "s3cret" not in what_frames_show(caught.value) + str(caught.value)


@pytest.mark.parametrize("unused", ["HTTP_PROXY", "ALL_PROXY"])
def test_a_variable_that_is_not_used_may_be_anything(monkeypatch: pytest.MonkeyPatch, unused: str) -> None:
    """Many have all three, and the one for everything else is of SOCKS."""
    monkeypatch.setenv("HTTPS_PROXY", "http://p.example:3128")
    monkeypatch.setenv(unused, "socks5://p.example:1080")
    PlugChatSession("t", trust_env=True)
    monkeypatch.setenv("HTTP_PROXY", "http://p.example:3128")
    PlugChatSession("t", trust_env=True, insecure_http=True)


def test_a_variable_without_a_scheme_is_http(monkeypatch: pytest.MonkeyPatch) -> None:
    """As curl and others take it."""
    monkeypatch.setenv("HTTPS_PROXY", "p.example:3128")
    proxies = environment_proxies(insecure_http=True)
    assert isinstance(proxies, dict)
    assert {scheme: secret.value for scheme, secret in proxies.items()} == {"https": "http://p.example:3128"}


def test_which_base_url_goes_through_which(monkeypatch: pytest.MonkeyPatch) -> None:
    """By scheme, else that of all; not those of NO_PROXY, and not this machine."""
    monkeypatch.setenv("NO_PROXY", "inside.example,port.example:8443")
    monkeypatch.setenv("HTTPS_PROXY", "http://u:p@s.example:1")
    monkeypatch.setenv("ALL_PROXY", "http://all.example:2")
    both = environment_proxies(insecure_http=True)
    assert isinstance(both, dict)
    proxies = Proxies(environment=both)

    def host(base_url: str) -> str | None:
        found = proxies.for_url(base_url)
        return None if found is None else found.name

    assert host("https://x.example") == "s.example:1"
    assert host("http://x.example") == "all.example:2"
    assert host("https://port.example") == "s.example:1"
    for direct in (
        "https://api.inside.example",
        "https://port.example:8443",
        "https://localhost",
        "http://127.0.0.1:1",
    ):
        assert host(direct) is None
    assert Proxies(environment={"http": Secret("http://h.example:1")}).for_url("https://x.example") is None
    fixed = Proxies(Secret("http://fixed.example:1")).for_url("https://api.inside.example")
    assert fixed is not None, "NO_PROXY is of the environment, and so are its proxies"


def test_one_proxy_for_two_schemes_is_one() -> None:
    """So a wrong password is sent to it once."""
    same = Secret("http://u:p@one.example:1")
    proxies = Proxies(environment={"https": same, "http": Secret(same.value)})
    found = proxies.for_url("https://x.example")
    assert found is not None
    assert found is proxies.for_url("http://x.example") is proxies.at(found.url)


async def test_trust_env_is_the_injected_sessions_own_affair() -> None:
    """aiohttp has it as well."""
    async with aiohttp.ClientSession() as client:
        with pytest.raises(InvalidValueError, match="trust_env cannot be set on an injected client_session"):
            PlugChatSession("t", client_session=client, trust_env=True)


def test_trust_env_is_a_bool() -> None:
    """Another type is named."""
    value: Any = "yes"
    with pytest.raises(InvalidTypeError, match="trust_env must be of type bool"):
        PlugChatSession("t", trust_env=value)
