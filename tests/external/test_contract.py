"""What is sent and what comes of it, on aioresponses: URLs, queries, headers, and no request more."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from aioresponses import CallbackResult, aioresponses
from yarl import URL

from plugchat_async import (
    MethodNotAllowedError,
    PlugChatError,
    PlugChatSession,
    UnsupportedMediaTypeError,
)
from support import PAYLOADS
from support.fakes import FakeTime
from support.traits import KNOWN_SERVER

APP = "https://app.plugchat.com.br/api/whatsapp/chats"
WWW = "https://www.plugchat.com.br/api/whatsapp/chats"
EXAMPLE: list[dict[str, Any]] = json.loads((PAYLOADS / "vendor_example.json").read_text())


@pytest.fixture
def mock() -> Iterator[aioresponses]:
    with aioresponses() as mocked:
        yield mocked


@pytest.fixture
def session() -> PlugChatSession:
    return PlugChatSession("1nEFbU3EktLnV7LIIzX", clock=FakeTime().clock, server_traits=KNOWN_SERVER)


def sent(mock: aioresponses) -> list[tuple[str, str, dict[str, str]]]:
    """Method, URL and headers of all requests, in order."""
    calls = [
        (call.kwargs.get("_order", 0), method, str(url), dict(call.kwargs["headers"]))
        for (method, url), made in mock.requests.items()
        for call in made
    ]
    return [(method, url, headers) for _, method, url, headers in calls]


async def test_the_vendors_example_is_a_short_page(mock: aioresponses, session: PlugChatSession) -> None:
    """Two chats of a page of 100: one request, with the documented URL, parameters and headers."""
    mock.get(f"{APP}?page=1&pageSize=100", payload=EXAMPLE)
    async with session:
        chats = [chat async for chat in session.iter_chats()]
    assert [chat.name for chat in chats] == ["Plug-suporte", "Plug-Team"]
    [(method, url, headers)] = sent(mock)
    assert (method, url) == ("GET", f"{APP}?page=1&pageSize=100")
    assert headers["Authorization"] == "1nEFbU3EktLnV7LIIzX"
    assert headers["Content-Type"] == headers["Accept"] == "application/json"
    assert headers["User-Agent"].startswith("plugchat-async/")


async def test_pages_are_asked_for_until_one_is_short_and_no_more(mock: aioresponses, session: PlugChatSession) -> None:
    """Pages 1, 2 and 3 of two chats each; the fourth is not asked for."""
    for page, count in ((1, 2), (2, 2), (3, 1), (4, 2)):
        payload = [{**EXAMPLE[0], "phone": f"{page}-{i}"} for i in range(count)]
        mock.get(f"{APP}?page={page}&pageSize=2", payload=payload)
    async with session:
        chats = await session.list_chats(page_size=2)
    assert [chat.phone for chat in chats] == ["1-0", "1-1", "2-0", "2-1", "3-0"]
    assert [url for _, url, _ in sent(mock)] == [f"{APP}?page={page}&pageSize=2" for page in (1, 2, 3)]


async def test_an_exact_multiple_ends_with_an_empty_page(mock: aioresponses, session: PlugChatSession) -> None:
    """A full last page can't be told from others: one more request comes back empty, and one with all is right."""
    mock.get(f"{APP}?page=1&pageSize=2", payload=EXAMPLE)
    mock.get(f"{APP}?page=2&pageSize=2", payload=[])
    mock.get(f"{APP}?page=1&pageSize=1000", payload=EXAMPLE)
    async with session:
        assert len(await session.list_chats(page_size=2)) == 2
    assert len(sent(mock)) == 3


async def test_405_goes_to_the_other_documented_host(mock: aioresponses, session: PlugChatSession) -> None:
    """Repaired is two requests, and the repair is kept: the next page is one."""
    mock.get(f"{APP}?page=1&pageSize=2", status=405)
    mock.get(f"{WWW}?page=1&pageSize=2", payload=EXAMPLE)
    mock.get(f"{WWW}?page=2&pageSize=2", payload=EXAMPLE[:1])
    async with session:
        assert len(await session.list_chats(page_size=2, consistency="plain")) == 3
    assert [url for _, url, _ in sent(mock)] == [
        f"{APP}?page=1&pageSize=2",
        f"{WWW}?page=1&pageSize=2",
        f"{WWW}?page=2&pageSize=2",
    ]


async def test_405_from_both_hosts(mock: aioresponses, session: PlugChatSession) -> None:
    """Two requests, and an error that tells of both."""
    mock.get(f"{APP}?page=1&pageSize=2", status=405, headers={"Allow": "GET"}, body="app says no")
    mock.get(f"{WWW}?page=1&pageSize=2", status=405)
    async with session:
        with pytest.raises(MethodNotAllowedError, match="app says no") as caught:
            await session.list_chats(page_size=2)
    error = caught.value
    assert error.allow == ("GET",)
    assert [(a.url, a.outcome, a.repair) for a in error.attempts] == [
        (f"{APP}?page=1&pageSize=2", "405 Method Not Allowed", ""),
        (f"{WWW}?page=1&pageSize=2", "405 Method Not Allowed", "the other documented host"),
    ]
    assert error.docs_url.endswith("#plugchat_async.MethodNotAllowedError")


@pytest.mark.parametrize(("status", "requests"), [(401, 2), (404, 2), (500, 4), (503, 4)])
async def test_what_the_other_host_says_does_not_replace_the_405(
    mock: aioresponses, session: PlugChatSession, status: int, requests: int
) -> None:
    """The host that was asked for refused the method: that is the error. What may pass at the other one is retried."""
    mock.get(f"{APP}?page=1&pageSize=2", status=405)
    mock.get(f"{WWW}?page=1&pageSize=2", status=status, repeat=True)
    async with session:
        with pytest.raises(MethodNotAllowedError) as caught:
            await session.list_chats(page_size=2)
    assert len(caught.value.attempts) == len(sent(mock)) == requests
    assert caught.value.url == f"{APP}?page=1&pageSize=2"


async def test_405_whose_allow_rules_get_out_is_one_request(mock: aioresponses, session: PlugChatSession) -> None:
    """Nothing to repair."""
    mock.get(f"{APP}?page=1&pageSize=2", status=405, headers={"Allow": "POST, HEAD"})
    async with session:
        with pytest.raises(MethodNotAllowedError) as caught:
            await session.list_chats(page_size=2)
    assert caught.value.allow == ("POST", "HEAD")
    assert len(sent(mock)) == 1


async def test_415_goes_without_content_type(mock: aioresponses, session: PlugChatSession) -> None:
    """Repaired is two requests, the second without the header, and so is every later one."""
    url = f"{APP}?page=1&pageSize=3"

    def gateway(_: URL, **kwargs: Any) -> CallbackResult:
        if "Content-Type" in kwargs["headers"]:
            return CallbackResult(status=415, headers={"Accept": "*/*"})
        return CallbackResult(body=json.dumps(EXAMPLE))

    mock.get(url, callback=gateway, repeat=True)
    async with session:
        await session.fetch_page(1, 3)
        assert ["Content-Type" in headers for _, _, headers in sent(mock)] == [True, False]
        await session.fetch_page(1, 3)
        assert ["Content-Type" in headers for _, _, headers in sent(mock)] == [True, False, False]


async def test_415_that_stays(mock: aioresponses, session: PlugChatSession) -> None:
    """Two requests, and an error that tells what was sent and what the server takes."""
    mock.get(f"{APP}?page=1&pageSize=2", status=415, headers={"Accept": "application/xml"}, repeat=True)
    async with session:
        with pytest.raises(UnsupportedMediaTypeError) as caught:
            await session.list_chats(page_size=2)
    error = caught.value
    assert (error.sent_content_type, error.accept) == (None, "application/xml")
    assert [(a.content_type, a.repair) for a in error.attempts] == [
        ("application/json", ""),
        (None, "no Content-Type"),
    ]
    assert len(sent(mock)) == 2


async def test_a_405_may_hide_a_415(mock: aioresponses, session: PlugChatSession) -> None:
    """The other host wants no Content-Type: both repairs together work, in three requests."""
    mock.get(f"{APP}?page=1&pageSize=3", status=405)

    def www(_: URL, **kwargs: Any) -> CallbackResult:
        if "Content-Type" in kwargs["headers"]:
            return CallbackResult(status=415)
        return CallbackResult(body=json.dumps(EXAMPLE))

    mock.get(f"{WWW}?page=1&pageSize=3", callback=www, repeat=True)
    async with session:
        assert len(await session.list_chats(page_size=3)) == 2
        assert len(sent(mock)) == 3
        await session.list_chats(page_size=3)
        assert len(sent(mock)) == 4


@pytest.mark.parametrize("status", [405, 415])
async def test_repairs_can_be_turned_off(mock: aioresponses, status: int) -> None:
    """repair=False is one request."""
    mock.get(f"{APP}?page=1&pageSize=2", status=status, repeat=True)
    async with PlugChatSession("1nEFbU3EktLnV7LIIzX", repair=False) as session:
        with pytest.raises(PlugChatError):
            await session.list_chats(page_size=2)
    assert len(sent(mock)) == 1


async def test_each_repair_is_logged(
    mock: aioresponses, session: PlugChatSession, caplog: pytest.LogCaptureFixture
) -> None:
    """At WARNING: what is tried, and that it is kept."""
    mock.get(f"{APP}?page=1&pageSize=3", status=405)
    mock.get(f"{WWW}?page=1&pageSize=3", payload=EXAMPLE)
    async with session:
        await session.list_chats(page_size=3)
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING"]
    assert "trying the other documented host" in caplog.messages[0]
    assert caplog.messages[1] == "repaired by the other documented host: kept for this session"
