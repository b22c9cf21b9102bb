"""A page as the gateway sends it today, through all that users see; and the vendor's own example of 2021."""

import csv
import json
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import attrs
import pyarrow.parquet as pq
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from pydantic import TypeAdapter

from plugchat_async import (
    FOREVER,
    Account,
    Chat,
    ChatAdded,
    PlugChatSession,
    WalkReport,
    WatchState,
    export_many,
    fetch_many,
    merge_people,
    read_jsonl,
    to_arrow,
    to_polars,
    write_csv,
    write_jsonl,
    write_parquet,
)
from plugchat_async.cli import app as cli
from plugchat_async.integrations.fastapi import ChatStream, PlugChatDep, plugchat_lifespan
from support import PAYLOADS
from support.fakes import served
from support.gateway import Gateway

PAGE = (PAYLOADS / "gateway_page.json").read_text("utf-8")
VENDOR_PAGE = (PAYLOADS / "vendor_example.json").read_text("utf-8")
ANA, AGAIN, TEAM, OTHER = CHATS = [
    Chat(
        "551190000001",
        "Ana",
        2,
        datetime(2026, 1, 15, 17, 20, 7, tzinfo=UTC),
        messages_unread=0,
        lid="111000000000001@lid",
        is_pinned=True,
        is_archived=False,
        is_group=False,
        is_group_announcement=False,
    ),
    Chat(
        None,
        "Ana",
        messages_unread=0,
        lid="111000000000001@lid",
        is_pinned=False,
        is_archived=False,
        is_group=False,
        is_group_announcement=False,
    ),
    Chat(
        "120363000000000001-group",
        "Vendas",
        0,
        datetime(2025, 9, 16, 1, 22, 17, tzinfo=UTC),
        messages_unread=0,
        is_pinned=False,
        is_archived=False,
        is_group=True,
        is_group_announcement=False,
    ),
    Chat(lid="111000000000002@lid", is_archived=True, is_group=False),
]
IDS = ["551190000001", "111000000000001@lid", "120363000000000001-group", "111000000000002@lid"]


TOKEN = "s3cret-token"


@pytest.fixture
async def gateway() -> AsyncIterator[Gateway]:
    """A service that has these rows."""
    async with Gateway(json.loads(PAGE)) as server:
        yield server


@pytest.fixture
async def plugchat(gateway: Gateway) -> AsyncIterator[PlugChatSession]:
    async with PlugChatSession(TOKEN, base_url=gateway.base_url, on_bad_value="raise") as session:
        yield session


@pytest.mark.parametrize("consistency", ["exact", "strict", "plain"])
@pytest.mark.parametrize("prefetch", [0, 2])
async def test_it_is_walked(plugchat: PlugChatSession, consistency: Any, prefetch: int) -> None:
    """Each row a chat, with no value that can't be read."""
    reports: list[WalkReport] = []
    options: Any = {"consistency": consistency, "prefetch": prefetch, "on_report": reports.append}
    assert await plugchat.list_chats(**options) == CHATS
    [report] = reports
    assert (report.chats, report.problems) == (4, 0)
    assert report.verified == (consistency != "plain")


async def test_its_other_keys_are_there(plugchat: PlugChatSession) -> None:
    """As the gateway sent them."""
    page = await plugchat.fetch_page(1, 100)
    assert (page.chats, page.is_short, page.problems) == (tuple(CHATS), True, ())
    assert page.rows == tuple(json.loads(PAGE))
    assert page.rows[2]["communityId"] == ""


async def test_it_is_exported(plugchat: PlugChatSession, tmp_path: Path) -> None:
    """In each format; lines are read back equal, and tables hold the same values."""
    assert await write_jsonl(plugchat.iter_chats(), tmp_path / "x.jsonl") == 4
    assert list(read_jsonl(tmp_path / "x.jsonl")) == CHATS
    assert await write_csv(plugchat.iter_chats(), tmp_path / "x.csv") == 4
    with (tmp_path / "x.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["phone"] or row["lid"] for row in rows] == IDS
    assert [row["last_message_time"] for row in rows] == ["2026-01-15T17:20:07Z", "", "2025-09-16T01:22:17Z", ""]
    assert await write_parquet(plugchat.iter_chats(), tmp_path / "x.parquet") == 4
    values = [attrs.asdict(chat) for chat in CHATS]
    assert pq.read_table(tmp_path / "x.parquet").to_pylist() == values
    assert to_arrow(CHATS).to_pylist() == values
    assert to_polars(CHATS).to_dicts() == values


async def test_it_is_watched(plugchat: PlugChatSession) -> None:
    """What is there is told once, by ids; nothing happens when it is read again, also from a saved state."""
    state = WatchState()
    events = [
        event async for event in plugchat.watch_chats(state=state, emit_existing=True, max_polls=1, interval=0.01)
    ]
    assert {event.chat.id for event in events if isinstance(event, ChatAdded)} == set(IDS)
    assert len(events) == 4
    again = WatchState.loads(state.dumps())
    assert [event async for event in plugchat.watch_chats(state=again, max_polls=2, interval=0.01)] == []


async def test_it_is_fetched_for_many_accounts(gateway: Gateway, tmp_path: Path) -> None:
    """As results, and into a folder, by rows and by people."""
    accounts = [Account(f"shop {number}", TOKEN, gateway.base_url) for number in range(2)]
    async for result in fetch_many(accounts, on_bad_value="raise"):
        assert result.chats == tuple(CHATS)
    summary = await export_many(accounts, tmp_path / "rows")
    assert (summary.finished, summary.chats, summary.problems, summary.unverified) == (2, 8, 0, 0)
    assert list(read_jsonl(tmp_path / "rows" / "shop 1.jsonl")) == CHATS
    assert (await export_many(accounts, tmp_path / "people", merge_people=True)).chats == 6
    assert list(read_jsonl(tmp_path / "people" / "shop 1.jsonl")) == merge_people(CHATS)


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gateway]:
    """The same service, for code with an event loop of its own."""
    server: Any = Gateway(json.loads(PAGE))
    with served(server):
        monkeypatch.setenv("PLUGCHAT_TOKEN", TOKEN)
        monkeypatch.setenv("PLUGCHAT_BASE_URL", server.base_url)
        yield server


def test_it_is_printed(account: Gateway, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """By `plugchat chats` as lines and as a table, by rows and by people, and `plugchat watch`; one warning."""
    monkeypatch.setenv("COLUMNS", "100")
    assert cli.run(["chats", "--on-bad-value", "raise"]) == 0
    assert [Chat.from_dict(json.loads(line)) for line in capsys.readouterr().out.splitlines()] == CHATS
    assert cli.run(["chats", "--merge-people", "--format", "table"]) == 0
    lines = [[cell.strip() for cell in line.split("│")[1:-1]] for line in capsys.readouterr().out.splitlines()]
    assert [cells for cells in lines if cells] == [
        ["Ana", "551190000001", "2", "2026-01-15 17:20", "pinned"],
        ["Vendas", "120363000000000001-group", "0", "2025-09-16 01:22", "group"],
        ["", "111000000000002@lid", "0", "", "archived"],
    ]
    assert cli.run(["watch", "--emit-existing", "--max-polls", "1"]) == 0
    out, err = capsys.readouterr()
    assert {Chat.from_dict(json.loads(line)["chat"]).id for line in out.splitlines()} == set(IDS)
    assert err == "warning: the list is not sorted by time: each poll reads all of it\n"


def test_it_is_bulk_fetched_by_the_command_line(
    account: Gateway, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Into Parquet."""
    (tmp_path / "accounts.csv").write_text(f"name,token\nshop,{TOKEN}\n")
    command = ["bulk", str(tmp_path / "accounts.csv"), "-o", str(tmp_path / "out"), "--format", "parquet"]
    assert cli.run(command) == 0
    rows = pq.read_table(tmp_path / "out" / "shop.parquet").to_pylist()
    assert rows == [{"account": "shop", **attrs.asdict(chat)} for chat in CHATS]
    assert capsys.readouterr().err == ""


def test_fastapi_answers_with_it(account: Gateway) -> None:
    """As a list, and as a stream, of chats with and without a phone."""
    app = FastAPI(lifespan=plugchat_lifespan())

    @app.get("/chats")
    async def chats(plugchat: PlugChatDep) -> list[Chat]:
        return await plugchat.list_chats()

    @app.get("/stream")
    async def stream(plugchat: PlugChatDep) -> ChatStream:
        return ChatStream(plugchat.iter_pages())

    with TestClient(app) as client:
        told = client.get("/chats").json()
        lines = client.get("/stream").text.splitlines()
        schema = client.get("/openapi.json").json()["components"]["schemas"]["Chat"]["properties"]
    assert told == [chat.to_dict() for chat in CHATS]
    assert [Chat.from_dict(json.loads(line)) for line in lines] == CHATS
    assert list(schema) == [a.name for a in attrs.fields(Chat)]
    assert all(of_field["description"] for of_field in schema.values())


def test_the_schema_holds_any_chat() -> None:
    """Without a phone, muted for ever: as JSON it is what an export has."""
    for chat in (*CHATS, Chat(lid="1@lid", is_muted=True, muted_until=FOREVER)):
        assert TypeAdapter(Chat).dump_python(chat, mode="json") == chat.to_dict()


@pytest.mark.parametrize("page_size", [1, 2, 100])
@pytest.mark.parametrize("consistency", ["exact", "strict", "plain"])
async def test_the_vendors_example_gives_both_of_its_chats(consistency: Any, page_size: int) -> None:
    """They have one phone, and two names: they are two chats, wherever a page ends."""
    async with (
        Gateway(json.loads(VENDOR_PAGE)) as server,
        PlugChatSession(TOKEN, base_url=server.base_url, on_bad_value="raise") as plugchat,
        plugchat.walk_chats(page_size, consistency=consistency) as walk,
    ):
        chats = await walk.to_list()
        assert walk.report.verified == (consistency != "plain")
    assert [(chat.id, chat.name, chat.unread) for chat in chats] == [
        ("5511999999999", "Plug-suporte", 0),
        ("5511999999999", "Plug-Team", 0),
    ]
