"""Code as users write it. mypy and pyright check it; it is never run."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import datetime, timedelta
from typing import assert_type

import aiohttp
import polars as pl
import pyarrow as pa
from attrs import frozen
from pydantic import BaseModel, HttpUrl, SecretStr
from yarl import URL

from plugchat_async import (
    CHATS,
    CONTACTS,
    Account,
    Attempt,
    Call,
    Chat,
    ChatWalk,
    ConsistencyError,
    Contact,
    DecodeError,
    MethodNotAllowedError,
    Page,
    PendingChat,
    PlugChatError,
    PlugChatSession,
    Problem,
    RateLimitedError,
    RetryPolicy,
    ServerTraits,
    ServiceError,
    SessionOptions,
    WalkOptions,
    WalkReport,
    fetch_many,
    read_jsonl,
    to_arrow,
    to_polars,
    write_csv,
)
from plugchat_async.testing import Fault, PlugChatSimulator, Quirks, SimulatedRequest


async def walks(plugchat: PlugChatSession) -> None:
    """What the calls of a session give."""
    async for chat in plugchat.iter_chats(page_size=100, limit=10, stop_on="empty"):
        assert_type(chat, Chat)
        assert_type(chat.name, str | None)
        assert_type(chat.unread, int)
        assert_type(chat.last_message_time, datetime | None)
    async for page in plugchat.iter_pages(100, start_page=2, on_page=lambda page: page.number):
        assert_type(page, Page)
        assert_type(page.chats, tuple[Chat, ...])
        assert_type(page.raw, bytes)
        assert_type(page.is_short, bool)
    assert_type(await plugchat.fetch_page(1, 100), Page)
    assert_type(await plugchat.list_chats(), list[Chat])
    options: WalkOptions = {"prefetch": 4, "consistency": "strict", "max_page_size": None, "require_verified": True}
    assert_type(await plugchat.list_chats(50, **options), list[Chat])
    try:
        async for page in plugchat.iter_pages(resume="...", on_report=reported):
            assert_type(page.skipped, int)
    except ConsistencyError as error:
        assert_type(error.checkpoint, str | None)
        assert_type(error.reason, str)
    async with aclosing(plugchat.iter_chats()) as chats:
        assert_type(chats, AsyncGenerator[Chat, None])
        assert_type(await anext(chats), Chat)


@frozen
class Tag:
    """An item of a call that the package does not know."""

    phone: str
    last_message_time: datetime | None = None


async def other_lists(plugchat: PlugChatSession) -> None:
    """What the calls for other lists give."""
    async for contact in plugchat.iter_contacts(limit=10):
        assert_type(contact, Contact)
    assert_type(await plugchat.list_pending_chats(), list[PendingChat])
    walk = plugchat.walk(CONTACTS, 100, prefetch=2)
    assert_type(walk, ChatWalk[Contact])
    assert_type(await anext(walk), Contact)
    async for page in walk.pages():
        assert_type(page.items, tuple[Contact, ...])
    assert_type(await plugchat.walk(Call("/api/whatsapp/tags", Tag)).to_list(), list[Tag])
    assert_type(plugchat.walk_chats(), ChatWalk)
    assert_type(plugchat.walk(CHATS), ChatWalk)
    assert_type(await write_csv(plugchat.iter_contacts(), "contacts.csv", item=Contact), int)
    assert_type(await write_csv(plugchat.walk(CONTACTS), "contacts.csv", item=Contact), int)
    assert_type(next(read_jsonl("contacts.jsonl", item=Contact)), Contact)
    assert_type(next(read_jsonl("chats.jsonl")), Chat)


async def tables(plugchat: PlugChatSession) -> None:
    """A list becomes a table at once, a walk is awaited."""
    assert_type(to_polars([Chat("1")]), pl.DataFrame)
    assert_type(await to_polars(plugchat.iter_chats()), pl.DataFrame)
    assert_type(await to_arrow(plugchat.walk_chats()), pa.Table)
    assert_type(await to_arrow(plugchat.walk(CONTACTS), item=Contact), pa.Table)


def reported(report: WalkReport) -> None:
    """What a report holds."""
    assert_type(report.verified, bool)
    assert_type(report.elapsed, float)


async def sessions(client: aiohttp.ClientSession) -> None:
    """How sessions are made."""
    options: SessionOptions = {"timeout": 5, "retry": RetryPolicy(attempts=5), "client_session": client}
    async with PlugChatSession("token", **options) as plugchat:
        assert_type(plugchat, PlugChatSession)
        saved = plugchat.server_traits.to_dict()
    traits = ServerTraits.from_dict(saved)
    assert_type(traits, ServerTraits)
    assert_type(traits.max_page_size, int | None)
    assert_type(traits.longest_page, int)
    assert_type(PlugChatSession("token", server_traits=traits).server_traits, ServerTraits)
    assert_type(PlugChatSession.from_env(repair=False), PlugChatSession)
    assert_type(await PlugChatSession("token").open(), PlugChatSession)


class Settings(BaseModel):
    """The settings of a program, as pydantic reads them."""

    token: SecretStr
    base_url: HttpUrl | None = None
    proxy: SecretStr | None = None
    timeout: timedelta = timedelta(seconds=20)


def types_of_others(settings: Settings) -> None:
    """What a session takes as it is."""
    PlugChatSession(settings.token, base_url=settings.base_url, proxy=settings.proxy, timeout=settings.timeout)
    PlugChatSession(lambda: settings.token, base_url=URL("https://localhost"), timeout=aiohttp.ClientTimeout(total=5))
    Account("sales", settings.token, settings.base_url)
    fetch_many([Account("sales", "token", URL("https://localhost"))], base_url=settings.base_url)


def wrong_calls(plugchat: PlugChatSession, page: Page, chat: Chat) -> None:
    """What the type checkers must refuse: without an error here, the ignore is one."""
    plugchat.iter_chats(page_size="10")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    plugchat.iter_chats(stop_on="never")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    plugchat.iter_chats(max_page_size="1000")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    plugchat.iter_chats(consistency="exactly")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    PlugChatSession("token", ssl=False)  # type: ignore[call-arg] # pyright: ignore[reportCallIssue]
    chat.unread = 1  # type: ignore[misc] # pyright: ignore[reportAttributeAccessIssue]
    page.number = 1  # type: ignore[misc] # pyright: ignore[reportAttributeAccessIssue]


async def errors(plugchat: PlugChatSession) -> None:
    """What errors carry."""
    try:
        await plugchat.list_chats()
    except RateLimitedError as error:
        assert_type(error.retry_after, float | None)
    except MethodNotAllowedError as error:
        assert_type(error.allow, tuple[str, ...] | None)
    except DecodeError as error:
        assert_type(error.problems, tuple[Problem, ...])
    except (ServiceError, PlugChatError) as error:
        assert_type(error.status, int | None)
        assert_type(error.page, int | None)
        assert_type(error.attempts, tuple[Attempt, ...])
        assert_type(error.hint, str)
        assert_type(error.docs_url, str)
        assert_type(type(error).docs_url, str)


async def tests_of_users() -> None:
    """What the simulator gives."""
    async with PlugChatSimulator(chats=1000, seed=7, latency=0.0, quirks=Quirks(max_page_size=50)) as sim:
        assert_type(sim, PlugChatSimulator)
        assert_type(sim.base_url, str)
        assert_type(sim.token, str)
        assert_type(sim.requests, list[SimulatedRequest])
        assert_type(sim.chats, tuple[Chat, ...])
        sim.script(Fault.status(503), Fault.reset())
        assert_type(sim.receive_message("1"), Chat)
        assert_type(sim.new_chat(), Chat)
        assert_type(sim.delete_chat("1"), Chat)
