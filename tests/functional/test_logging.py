"""Loggers and their fields are as the guide tells, and the guide's programs run."""

import ast
import asyncio
import json
import logging
import os
import re
import subprocess
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import aclosing, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI

import plugchat_async
from plugchat_async import (
    Account,
    InvalidValueError,
    Page,
    PlugChatError,
    PlugChatSession,
    ServerError,
    WalkReport,
    WatchState,
    fetch_many,
)
from plugchat_async.cli import app as cli
from plugchat_async.doctor import examine
from plugchat_async.integrations.fastapi import add_problem_handlers
from plugchat_async.testing import Fault, PlugChatSimulator, Quirks
from support.fakes import FakeTime, served
from support.traits import KNOWN_SERVER

PACKAGE = Path(plugchat_async.__file__).parent
GUIDES = Path(__file__).parents[2] / "docs" / "how-to"
GUIDE = (GUIDES / "logging.md").read_text()
TOKEN = "s3cr3t-t0ken-that-nobody-may-see"


def rows(head: str) -> list[list[str]]:
    """The cells of the guide's table that begins with `head`."""
    table = GUIDE.partition(f"| {head} |")[2].partition("\n\n")[0]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in table.splitlines()[2:]]


class Kept(logging.Handler):
    """All records."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@pytest.fixture
def kept() -> Iterator[Kept]:
    handler = Kept()
    logger = logging.getLogger("plugchat_async")
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    yield handler
    logger.removeHandler(handler)
    logger.setLevel(logging.NOTSET)


def fields(record: logging.LogRecord) -> dict[str, Any]:
    return {name.removeprefix("plugchat_"): value for name, value in vars(record).items() if "plugchat_" in name}


class Scene:
    """A simulator and a session on it."""

    def __init__(self, sim: PlugChatSimulator, session: PlugChatSession) -> None:
        self.sim = sim
        self.session = session

    async def retry(self) -> None:
        self.sim.script(Fault.status(503, body=TOKEN))
        await self.session.fetch_page(2, 10)

    async def repair(self) -> None:
        self.sim.script(Fault.status(415, body=TOKEN), Fault.answer('[{"phone": "1"}]'))
        await self.session.fetch_page(1, 10)

    async def newer_token(self) -> None:
        tokens = iter(["old-token", self.sim.token, self.sim.token])
        async with PlugChatSession(lambda: next(tokens), base_url=self.sim.base_url) as session:
            await session.fetch_page(1, 10)

    async def unverified(self) -> None:
        # In a list in which some chats have no time, the walk would try much longer.
        async with (
            PlugChatSimulator(60, seed=7, dialect="documented") as sim,
            PlugChatSession(sim.token, base_url=sim.base_url) as session,
        ):
            sim.traffic(inserts=2.5, seed=1)
            await session.list_chats(5, max_page_size=None)

    async def bad_values(self) -> None:
        page = '[{"phone": "1", "unread": "many", "pinned": "maybe"}, {"name": "x"}, {"phone": "2"}]'
        self.sim.script(Fault.answer(page), token=TOKEN)
        accounts = [Account("Maria", TOKEN)]
        results = fetch_many(accounts, base_url=self.sim.base_url, server_traits=KNOWN_SERVER)
        assert [len(result.chats) async for result in results] == [2]

    async def bad_values_in_a_watch(self) -> None:
        self.sim.script(Fault.answer('[{"phone": "1", "unread": "x"}]'))
        assert [event async for event in self.session.watch_chats(max_polls=1)] == []

    async def hidden_rows(self) -> None:
        async with (
            PlugChatSimulator(250, seed=7, dialect="documented", quirks=Quirks(hidden_share=0.3)) as sim,
            PlugChatSession(sim.token, base_url=sim.base_url, clock=FakeTime().clock) as session,
        ):
            await session.list_chats(20)

    async def capped(self) -> None:
        async with (
            PlugChatSimulator(120, quirks=Quirks(max_page_size=50)) as sim,
            PlugChatSession(sim.token, base_url=sim.base_url) as session,
        ):
            await session.list_chats(100)

    async def failing_callback(self) -> None:
        def refuse(_: WalkReport) -> None:
            raise ZeroDivisionError

        await self.session.list_chats(100, limit=5, on_report=refuse)

    async def failed_account(self) -> None:
        accounts = [Account("Maria", "no-such-token", base_url=self.sim.base_url)]
        pages: AsyncGenerator[tuple[Account, Page], None] = fetch_many(accounts, stream=True)
        assert [page async for page in pages] == []

    async def accounts_that_fail_late(self) -> None:
        async def accounts() -> AsyncGenerator[Account, None]:
            yield Account("a", self.sim.token, base_url=self.sim.base_url)
            try:
                await asyncio.Event().wait()
            finally:
                raise ConnectionError

        async with aclosing(fetch_many(accounts(), concurrency=2)) as results:
            await anext(results)

    async def outage_of_a_watch(self) -> None:
        self.sim.script(*[Fault.status(503)] * 3)
        assert [event async for event in self.session.watch_chats(max_polls=2)] == []

    async def watch_of_an_unsorted_list(self) -> None:
        async with (
            PlugChatSimulator(50, quirks=Quirks(order="shuffled")) as sim,
            PlugChatSession(sim.token, base_url=sim.base_url) as session,
        ):
            assert [event async for event in session.watch_chats(max_polls=1, page_size=20)] == []

    async def damaged_state_of_a_watch(self) -> None:
        with TemporaryDirectory() as folder:
            path = Path(folder) / "state"
            for _ in range(2):
                WatchState().save(path)
            path.write_bytes(b"")
            WatchState.load(path)

    async def problems(self) -> None:
        app = FastAPI()
        add_problem_handlers(app)

        @app.get("/{kind}")
        async def fail(kind: str) -> None:
            raise ServerError("x", status=500) if kind == "theirs" else InvalidValueError("x")

        transport = httpx2.ASGITransport(app=app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://test") as client:
            for kind in ("theirs", "ours"):
                await client.get(f"/{kind}")

    async def doctor(self) -> None:
        await examine(TOKEN, base_url=self.sim.base_url)

    async def command(self) -> None:
        options = ["--token", TOKEN, "--base-url", self.sim.base_url, "-v"]
        assert await asyncio.to_thread(cli.run, ["status", *options]) == 0

    async def failing_telemetry(self) -> None:
        class Broken:
            def walk(self, **_: object) -> Any:
                raise ZeroDivisionError

            def page(self, number: int, size: int) -> Any:
                raise ZeroDivisionError

        async with PlugChatSession(self.sim.token, base_url=self.sim.base_url, telemetry=Broken()) as session:
            await session.list_chats(100)


SCENES: dict[str, Callable[[Scene], Awaitable[None]]] = {
    "retry": Scene.retry,
    "repair": Scene.repair,
    "newer token": Scene.newer_token,
    "unverified": Scene.unverified,
    "bad values": Scene.bad_values,
    "bad values in a watch": Scene.bad_values_in_a_watch,
    "capped": Scene.capped,
    "hidden rows": Scene.hidden_rows,
    "failing callback": Scene.failing_callback,
    "failed account": Scene.failed_account,
    "accounts that fail late": Scene.accounts_that_fail_late,
    "outage of a watch": Scene.outage_of_a_watch,
    "watch of an unsorted list": Scene.watch_of_an_unsorted_list,
    "damaged state of a watch": Scene.damaged_state_of_a_watch,
    "problems": Scene.problems,
    "doctor": Scene.doctor,
    "command": Scene.command,
    "failing telemetry": Scene.failing_telemetry,
}


async def play(name: str) -> None:
    """Play a scene."""
    async with (
        PlugChatSimulator(250, seed=7, token=TOKEN) as sim,
        PlugChatSession(TOKEN, base_url=sim.base_url, clock=FakeTime().clock, server_traits=KNOWN_SERVER) as session,
    ):
        with suppress(PlugChatError):
            await SCENES[name](Scene(sim, session))


@pytest.mark.slow
async def test_the_table_of_records_is_true(kept: Kept) -> None:
    """Each kind of record that is logged is in it with its fields, and each that is in it is logged."""
    for name in SCENES:
        await play(name)
    logged = {(record.name, record.levelname, frozenset(fields(record))) for record in kept.records}
    shown = {
        (logger.strip("`"), level, frozenset(re.findall(r"`(\w+)`", names)))
        for logger, level, _, names in rows("logger | level | when")
    }
    assert logged == shown


@pytest.mark.slow
async def test_the_table_of_fields_is_true(kept: Kept) -> None:
    """Each field is in it, of the type that is told, or None."""
    for name in SCENES:
        await play(name)
    told: dict[str, str] = {}
    for names, kind, _ in rows("field | type"):
        told |= dict.fromkeys(re.findall(r"`(\w+)`", names), kind)
    values = [item for record in kept.records for item in fields(record).items()]
    assert {name for name, _ in values} == set(told)
    for name, value in values:
        assert value is None or told[name] in ("", type(value).__name__)
    # So that a field that is always None is found out.
    assert {name for name, value in values if value is not None} == set(told)


async def test_what_a_retry_and_a_repair_say(kept: Kept) -> None:
    """All that is known."""
    await play("retry")
    await play("repair")
    retry, repair, repaired = (fields(record) for record in kept.records)
    assert retry == {
        "account": None,
        "page": 2,
        "page_size": 10,
        "attempt": 1,
        "error": "ServerError",
        "status": 503,
        "wait": 0.25,
        "repair": "",
    }
    assert repair == {
        **retry,
        "page": 1,
        "error": "UnsupportedMediaTypeError",
        "status": 415,
        "wait": 0.0,
        "repair": "no Content-Type",
    }
    assert repaired == {"account": None, "repair": "no Content-Type"}


async def test_records_say_whose_they_are(sim: PlugChatSimulator, kept: Kept) -> None:
    """Where many accounts are fetched."""
    sim.script(Fault.status(429, headers={"Retry-After": "0"}))
    async with aclosing(fetch_many([Account("Maria", sim.token, base_url=sim.base_url)])) as results:
        assert [len(result.chats) async for result in results] == [250]
    assert [(record.name, fields(record)["account"]) for record in kept.records] == [
        ("plugchat_async.http", "Maria"),
        ("plugchat_async.walk", "Maria"),
    ]


async def test_bad_values_are_warned_of_once_a_walk(kept: Kept) -> None:
    """With the first of them; the report counts them, and the text can't steer a terminal."""
    await play("bad values")
    warning, report = kept.records
    assert (warning.levelname, fields(warning)) == ("WARNING", {"account": "Maria", "page": 1})
    assert warning.getMessage().startswith("page 1, chat 0, unread: expected a count, got 'many'. Such values are")
    assert fields(report)["problems"] == 3


async def test_what_a_bad_value_is_stays_on_its_line(sim: PlugChatSimulator, kept: Kept) -> None:
    """Whatever control characters it has."""
    sim.script(Fault.answer(json.dumps([{"phone": "1", "unread": "\x1b[2J\n\x9b\r"}])))
    async with PlugChatSession(sim.token, base_url=sim.base_url, server_traits=KNOWN_SERVER) as session:
        assert len(await session.list_chats(100)) == 1
    assert kept.records[0].getMessage().isprintable()


@pytest.mark.slow
async def test_no_record_holds_the_token(kept: Kept) -> None:
    """Neither its text nor a field, whatever the server echoes."""
    for name in SCENES:
        await play(name)
    for record in kept.records:
        assert TOKEN[:8] not in repr(vars(record)) + record.getMessage()


def test_a_module_has_one_logger_and_says_all_with_fields() -> None:
    """It is named for what users know, not for the module, which may move."""
    shown = {logger.strip("`") for logger, *_ in rows("logger | level | when")}
    named: set[str] = set()
    for path in PACKAGE.rglob("*.py"):
        tree = ast.parse(path.read_text())
        calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)]
        made = [call for call in calls if ast.unparse(call.func) == "logging.getLogger"]
        assert len(made) <= 1, path
        named |= {ast.literal_eval(call.args[0]) for call in made}
        for call in calls:
            if ast.unparse(call.func).startswith("logger.") and ast.unparse(call.func) != "logger.isEnabledFor":
                assert "extra" in {keyword.arg for keyword in call.keywords}, f"{path}:{call.lineno}"
    assert named == shown


@pytest.mark.slow
def test_nothing_is_configured() -> None:
    """A library leaves handlers and levels to the program."""
    code = """
import logging, plugchat_async, plugchat_async.bulk
for name in ["plugchat_async", *(name for name in logging.root.manager.loggerDict if "plugchat" in name)]:
    logger = logging.getLogger(name)
    assert (logger.handlers, logger.level, logger.propagate) == ([], logging.NOTSET, True)
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def run(code: str) -> tuple[str, str]:
    """Run a guide's program against a simulator, and give what it prints to stdout and stderr."""
    with served(PlugChatSimulator(250, seed=7)) as sim:
        sim.script(Fault.status(503))
        environment = {**os.environ, "PLUGCHAT_TOKEN": sim.token, "PLUGCHAT_BASE_URL": sim.base_url}
        command = [sys.executable, "-W", "error", "-c", code]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60, check=True)
    return done.stdout, done.stderr


def programs(guide: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (GUIDES / guide).read_text(), re.DOTALL)


@pytest.mark.slow
def test_the_guides_programs() -> None:
    """The first prints texts, the second lines of JSON with the fields."""
    plain, as_json = programs("logging.md")
    out, err = run(plain)
    assert out == "250 chats\n"
    assert [line.split(" ")[2:4] for line in err.splitlines()] == [
        ["INFO", "plugchat_async.http:"],
        ["DEBUG", "plugchat_async.walk:"],
    ]
    out, err = run(as_json)
    assert out == "250 chats\n"
    retry, report = (json.loads(line) for line in err.splitlines())
    assert (retry["logger"], retry["plugchat_status"]) == ("plugchat_async.http", 503)
    assert (report["level"], report["plugchat_chats"]) == ("DEBUG", 250)


@pytest.mark.slow
def test_the_telemetry_guides_program() -> None:
    """It prints spans and metrics."""
    [program] = programs("telemetry.md")
    out, err = run(program)
    assert err == ""
    assert "250 chats\n" in out
    for name in ("plugchat.walk", "GET /api/whatsapp/chats", "http.request.resend_count", "plugchat.retries"):
        assert f'"{name}"' in out
