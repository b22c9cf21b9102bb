"""What keeps a token safe, besides that it is printed nowhere (test_secrets). SECURITY.md promises it."""

import importlib.metadata
import ssl
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from packaging.requirements import Requirement
from packaging.version import Version

import plugchat_async
from plugchat_async import (
    Account,
    InvalidTypeError,
    InvalidValueError,
    PlugChatSession,
    RedirectedError,
    SessionOptions,
    fetch_many,
)
from support.fakes import FakeTime, RawServer, answering, http

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_no_redirect_is_followed(status: int) -> None:
    """Neither to another server nor to the same one: the token goes where it was sent, and nowhere else."""
    async with RawServer(answering(http(b"[]"))) as target:
        for base_url in (target.base_url, "https://elsewhere.example", ""):
            redirect = http(b"", f"Location: {base_url}/api/whatsapp/chats", status=f"{status} Moved")
            async with (
                RawServer(answering(redirect)) as server,
                PlugChatSession("s3cret", base_url=server.base_url) as session,
            ):
                with pytest.raises(RedirectedError, match="make it the base_url") as caught:
                    await session.list_chats()
                assert caught.value.target == (base_url or server.base_url)
                assert len(server.requests) == 1
        assert target.connections == 0


def without_hostname() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    return context


def without_anything() -> ssl.SSLContext:
    context = without_hostname()
    context.verify_mode = ssl.CERT_NONE
    return context


@pytest.mark.parametrize(
    "make",
    [
        without_hostname,
        without_anything,
        lambda: ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER),
        lambda: ssl.create_default_context(ssl.Purpose.CLIENT_AUTH),
    ],
    ids=["no host name", "nothing", "a server's", "for clients"],
)
async def test_a_context_that_does_not_verify_is_refused(make: Any) -> None:
    """By the constructor and by fetch_many, before any I/O."""
    with pytest.raises(InvalidValueError, match="ssl_context must verify certificates"):
        PlugChatSession("s3cret", ssl_context=make())
    with pytest.raises(InvalidValueError, match="ssl_context must verify certificates"):
        async for _ in fetch_many([Account("a", "s3cret")], ssl_context=make()):
            raise AssertionError("nothing is fetched")


def test_verification_can_not_be_turned_off() -> None:
    """There is no `ssl=False`, nor anything else that is not a verifying context."""
    assert {name for name in SessionOptions.__optional_keys__ if "ssl" in name} == {"ssl_context"}
    off: Any = False
    with pytest.raises(InvalidTypeError, match="ssl_context"):
        PlugChatSession("s3cret", ssl_context=off)
    PlugChatSession("s3cret", ssl_context=ssl.create_default_context())


async def test_no_cookie_goes_from_one_request_to_another() -> None:
    """Nor from one account to another: a DNS name, since aiohttp's jar keeps none of an address."""
    async with RawServer(answering(http(b"[]", "Set-Cookie: account=a; Path=/"), close=False)) as server:
        assert "localhost" in server.base_url
        async with PlugChatSession("a", base_url=server.base_url) as session:
            await session.fetch_page(1, 10)
            await session.fetch_page(2, 10)
        accounts = [Account(name, name, server.base_url) for name in "bcd"]
        assert [result.error async for result in fetch_many(accounts, concurrency=1)] == [None] * 3
    # Of an empty list, the first page is asked for twice, and then the status.
    assert len(server.requests) == 2 + 3 * 3
    assert not any(b"cookie" in request.lower() for request in server.requests)


async def test_no_netrc_is_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine's own credentials for a host neither replace the token nor go beside it."""
    (tmp_path / "netrc").write_text("machine localhost login somebody password else")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    async with (
        RawServer(answering(http(b"[]"))) as server,
        PlugChatSession("s3cret", base_url=server.base_url) as session,
    ):
        await session.fetch_page(1, 10)
    assert server.requests[0].lower().count(b"authorization") == 1
    assert b"Authorization: s3cret\r\n" in server.requests[0]


async def test_a_token_goes_with_its_own_accounts_requests() -> None:
    """Though accounts share their connections."""
    async with RawServer(answering(http(b"[]"), close=False)) as server:
        accounts = [Account(name, f"token-{name}", f"{server.base_url}/of-{name}") for name in "abc"]
        options: dict[str, Any] = {"concurrency": 1, "clock": FakeTime().clock}
        assert [result.error async for result in fetch_many(accounts, **options)] == [None] * 3
    assert server.connections == 1
    # Of an empty list, the first page is asked for twice, and then the status.
    for name, request in zip("aaabbbccc", server.requests, strict=True):
        assert request.startswith(b"GET /of-%b/" % name.encode())
        assert b"Authorization: token-%b\r\n" % name.encode() in request


def test_no_aiohttp_with_known_holes() -> None:
    """GHSA-2g87-pp6c-29x5: until 3.14.3, answers can take memory and time without bound; 3.14.4 mends it."""
    [requirement] = [
        parsed
        for text in importlib.metadata.requires("plugchat-async") or []
        if (parsed := Requirement(text)).name == "aiohttp"
    ]
    assert requirement.marker is None
    assert not requirement.specifier.contains(Version("3.14.3"))
    assert requirement.specifier.contains(Version("3.14.4"))
    assert requirement.specifier.contains(Version(aiohttp.__version__))


def test_the_wheel_holds_the_package_and_nothing_else(tmp_path: Path) -> None:
    """No tests, no settings, no files that lie about, of which some may hold tokens."""
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", tmp_path, ROOT],
        check=True,
        capture_output=True,
    )
    [wheel] = tmp_path.glob("*.whl")
    name = f"plugchat_async-{plugchat_async.__version__}"
    package = {str(path.relative_to(ROOT)) for path in (ROOT / "plugchat_async").rglob("*.py")}
    about = {f"{name}.dist-info/{file}" for file in ("METADATA", "WHEEL", "RECORD", "entry_points.txt")}
    assert set(zipfile.ZipFile(wheel).namelist()) == {
        *package,
        *about,
        "plugchat_async/py.typed",
        f"{name}.dist-info/licenses/LICENSE",
    }
