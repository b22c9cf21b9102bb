"""prism, a mock server that knows nothing but openapi.yaml: it checks our requests, and answers the vendor's way."""

import json
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from plugchat_async import (
    AuthenticationError,
    Chat,
    Contact,
    MethodNotAllowedError,
    PageRepeatedError,
    PendingChat,
    PlugChatError,
    PlugChatSession,
    UnexpectedStatusError,
    UnsupportedMediaTypeError,
    WalkReport,
)
from plugchat_async._http.request import RequestTemplate
from plugchat_async._http.secret import Secret
from plugchat_async._http.urls import CHATS_PATH
from support.fakes import FakeTime
from support.peers import prism
from support.traits import KNOWN_SERVER

pytestmark = pytest.mark.external

DESCRIPTION = Path(__file__).parents[1] / "support" / "openapi.yaml"
TOKEN = "s3cret-t0ken"
EXAMPLE = (
    Chat(
        phone="5511999999999",
        name="Plug-suporte",
        last_message_time=datetime(2021, 6, 6, 15, 1, 27, tzinfo=UTC),
        messages_unread=0,
    ),
    Chat(
        phone="5511999999999",
        name="Plug-Team",
        last_message_time=datetime(2021, 6, 6, 14, 41, 43, tzinfo=UTC),
        profile_thumbnail=(
            "https://pps.whatsapp.net/v/t61.24694-24/170931400_212202650511993_3423338295209291992_n.jpg"
            "?ccb=11-4&oh=4b96b3bf7114122667f80d021b194f2c&oe=60C179E2"
        ),
        messages_unread=0,
    ),
)


@pytest.fixture(scope="module")
def base_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with prism(DESCRIPTION, tmp_path_factory.mktemp("prism")) as url:
        yield url


@asynccontextmanager
async def preferring(base_url: str, status: int, *, repair: bool = True) -> AsyncGenerator[PlugChatSession]:
    """A session through an aiohttp session whose headers ask prism for a status."""
    async with (
        aiohttp.ClientSession(headers={"Prefer": f"code={status}"}) as client,
        PlugChatSession(
            TOKEN, base_url=base_url, client_session=client, repair=repair, clock=FakeTime().clock
        ) as session,
    ):
        yield session


async def ask(base_url: str, headers: Mapping[str, str], query: str, method: str = "GET") -> tuple[int, list[Any]]:
    """Send a request of any kind: gives the status, and what prism finds wrong with it."""
    async with (
        aiohttp.ClientSession(skip_auto_headers={"Content-Type"}) as client,
        client.request(method, f"{base_url}{CHATS_PATH}?{query}", headers=headers) as answer,
    ):
        return answer.status, json.loads(answer.headers.get("sl-violations", "[]"))


async def test_a_page_of_the_vendors_example(base_url: str) -> None:
    """Our request passes prism's validation, and its answer is read as the two chats that it is."""
    async with PlugChatSession(TOKEN, base_url=base_url) as session:
        page = await session.fetch_page(1, 2)
    assert page.chats == EXAMPLE
    assert not page.is_short


async def test_pages_of_the_other_lists(base_url: str) -> None:
    """Our requests pass prism's validation there, too, and its examples are read."""
    async with PlugChatSession(TOKEN, base_url=base_url) as session:
        contacts = await session.list_contacts(2, limit=2)
        pending = await session.list_pending_chats(1, max_page_size=1, limit=1)
    assert contacts == [
        Contact("5511999999999", "Ana Souza", "Ana", "Ana S.", "aninha"),
        Contact("5511988888888", notify="Bruno"),
    ]
    time = datetime(2021, 6, 6, 15, 1, 27, tzinfo=UTC)
    assert pending == [PendingChat("5511999999999", "Ana Souza", 2, last_message_time=time)]


async def test_nothing_is_wrong_with_our_request(base_url: str) -> None:
    """prism names no violation in the headers that all requests carry."""
    headers = RequestTemplate(base_url).headers(Secret(TOKEN))
    assert await ask(base_url, headers, "page=1&pageSize=100") == (200, [])


@pytest.mark.parametrize(
    ("without", "query", "status", "where", "code"),
    [
        ("Content-Type", "page=1&pageSize=2", 400, ["request", "header"], "required"),
        ("Authorization", "page=1&pageSize=2", 401, ["request"], 401),
        (None, "page=0&pageSize=2", 400, ["request", "query", "page"], "minimum"),
        (None, "page=1&pageSize=0", 400, ["request", "query", "pagesize"], "minimum"),
        (None, "page=one&pageSize=2", 400, ["request", "query", "page"], "type"),
        (None, "page=1", 400, ["request", "query"], "required"),
        (None, "pageSize=2", 400, ["request", "query"], "required"),
    ],
)
async def test_prism_refuses_what_the_description_does_not_allow(
    base_url: str, without: str | None, query: str, status: int, where: list[str], code: str | int
) -> None:
    """So that it lets ours pass means something: each thing that we send is one that it looks at."""
    headers = RequestTemplate(base_url).headers(Secret(TOKEN))
    if without is not None:
        del headers[without]
    got, violations = await ask(base_url, headers, query)
    assert got == status
    assert [(violation["location"], violation["code"]) for violation in violations] == [(where, code)]


async def test_prism_refuses_another_method(base_url: str) -> None:
    """The path is known, POST is not: 405."""
    headers = RequestTemplate(base_url).headers(Secret(TOKEN))
    assert (await ask(base_url, headers, "page=1&pageSize=2", "POST"))[0] == 405


async def test_method_not_allowed(base_url: str) -> None:
    """The documented 405 is its error, with what the answer says."""
    async with preferring(base_url, 405) as session:
        with pytest.raises(MethodNotAllowedError, match="HTTP 405 Method Not Allowed") as caught:
            await session.fetch_page(1, 2)
    assert len(caught.value.attempts) == 1
    assert TOKEN not in f"{caught.value} {caught.value!r}"


async def test_unsupported_media_type(base_url: str) -> None:
    """The documented 415 is its error, and says which Content-Type was sent."""
    async with preferring(base_url, 415, repair=False) as session:
        with pytest.raises(UnsupportedMediaTypeError, match="HTTP 415 Unsupported Media Type") as caught:
            await session.fetch_page(1, 2)
    assert caught.value.sent_content_type == "application/json"
    assert len(caught.value.attempts) == 1


async def test_what_the_repair_of_415_sends(base_url: str) -> None:
    """The second request goes out without Content-Type, as prism's refusal of it shows, and there is no third."""
    async with preferring(base_url, 415) as session:
        with pytest.raises(UnsupportedMediaTypeError) as caught:
            await session.fetch_page(1, 2)
    outcomes = [(attempt.content_type, attempt.outcome, attempt.repair) for attempt in caught.value.attempts]
    assert outcomes == [
        ("application/json", "415 Unsupported Media Type", ""),
        (None, "400 Bad Request", "no Content-Type"),
    ]
    assert TOKEN not in f"{caught.value} {caught.value!r}"


@pytest.mark.parametrize(("status", "kind"), [(400, UnexpectedStatusError), (401, AuthenticationError)])
async def test_the_other_statuses(base_url: str, status: int, kind: type[PlugChatError]) -> None:
    """Each is its error after one request, and quotes what was answered."""
    async with preferring(base_url, status) as session:
        with pytest.raises(kind, match=f"the gateway says: .* .HTTP {status} ") as caught:
            await session.fetch_page(1, 2)
    assert (caught.value.status, len(caught.value.attempts)) == (status, 1)


@pytest.mark.parametrize("prefetch", [0, 4])
async def test_a_walk_of_full_pages(base_url: str, prefetch: int) -> None:
    """prism's page 2 is its page 1 again: the walk says so instead of going on for ever."""
    chats: list[Chat] = []
    async with PlugChatSession(TOKEN, base_url=base_url) as session:
        with pytest.raises(PageRepeatedError):
            async for chat in session.iter_chats(page_size=2, prefetch=prefetch):
                chats.append(chat)
    assert tuple(chats) == EXAMPLE


@pytest.mark.parametrize("prefetch", [0, 4])
async def test_a_walk_of_a_short_page(base_url: str, prefetch: int) -> None:
    """Two chats of the hundred that were asked for are all there are."""
    reports: list[WalkReport] = []
    async with PlugChatSession(TOKEN, base_url=base_url, server_traits=KNOWN_SERVER) as session:
        chats = await session.list_chats(page_size=100, prefetch=prefetch, on_report=reports.append)
    assert tuple(chats) == EXAMPLE
    assert (reports[0].pages, reports[0].verified) == (1, True)
