"""`examples/fastapi_backend.py` under uvicorn, with real HTTP clients: also those that go away."""

import asyncio
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from plugchat_async import merge_people
from plugchat_async.testing import Fault, PlugChatSimulator
from support.fakes import served
from support.rows import lines_of, objects_of

EXAMPLES = Path(__file__).parents[2] / "examples"
TOKEN = "s3cret-token"


class Backend:
    """The example in a process of its own."""

    def __init__(self, process: asyncio.subprocess.Process, log: list[str]) -> None:
        self.process, self._log = process, log
        self.url = ""

    async def stop(self) -> None:
        """Tell it to stop, and wait until it has."""
        self.process.send_signal(signal.SIGTERM)
        await self.ended()

    async def ended(self) -> None:
        async with asyncio.timeout(30):
            await self.process.wait()

    @property
    def log(self) -> str:
        return "".join(self._log)


@asynccontextmanager
async def backend(account: PlugChatSimulator, *options: str) -> AsyncIterator[Backend]:
    """Run the example. It has to end by itself or when it is told to."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-X", "dev", "-W", "error", "-m", "uvicorn", "fastapi_backend:app", "--port", "0"),
        *options,
        cwd=EXAMPLES,
        env={
            **os.environ,
            "PLUGCHAT_TOKEN": account.token,
            "PLUGCHAT_BASE_URL": account.base_url,
            "PYTHONASYNCIODEBUG": "0",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    log: list[str] = []

    async def follow() -> None:
        assert process.stdout is not None
        async for line in process.stdout:
            log.append(line.decode())

    following = asyncio.create_task(follow())
    running = Backend(process, log)
    try:
        async with asyncio.timeout(30):
            while (found := re.search(r"running on (http://[\d.:]+)", running.log)) is None:
                assert process.returncode is None, running.log
                await asyncio.sleep(0.01)
        running.url = found[1]
        yield running
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        await following
    assert TOKEN not in running.log


@pytest.fixture
def account() -> Iterator[PlugChatSimulator]:
    with served(PlugChatSimulator(chats=2000, seed=7, token=TOKEN, dialect="documented")) as sim:
        yield sim


async def until_quiet(account: PlugChatSimulator) -> int:
    """Wait until no more requests come, and say how many there were."""
    count = -1
    while count != len(account.requests):
        count = len(account.requests)
        await asyncio.sleep(0.3)
    return count


@pytest.mark.slow
async def test_what_it_answers(account: PlugChatSimulator) -> None:
    """Each endpoint, its documentation, and problems as such."""
    async with backend(account) as running, aiohttp.ClientSession(running.url) as client:
        async with client.get("/unread") as answer:
            assert await answer.json() == {chat.id: chat.unread for chat in merge_people(account.chats) if chat.unread}
        async with client.get("/chats?limit=3") as answer:
            assert await answer.json() == objects_of(account.chats[:3])
        async with client.get("/chats?limit=0") as answer:
            assert answer.status == 422
        async with client.get("/chats.ndjson") as answer:
            assert answer.content_type == "application/x-ndjson"
            assert await answer.text() == lines_of(account.chats)
        async with client.get("/openapi.json") as answer:
            assert set((await answer.json())["paths"]) == {"/unread", "/chats", "/chats.ndjson"}
        for fault, status in (
            (Fault.status(401, body=TOKEN), 502),
            (Fault.status(405, headers={"Allow": "POST"}), 502),
            (Fault.status(429, headers={"Retry-After": "1000"}), 429),
        ):
            account.script(fault)
            async with client.get("/chats") as answer:
                assert (answer.status, answer.content_type) == (status, "application/problem+json")
                assert answer.headers.get("Retry-After") == ("1000" if status == 429 else None)
                assert TOKEN not in await answer.text()
        await running.stop()
    assert running.process.returncode in (0, -signal.SIGTERM)
    assert "Traceback" not in running.log


@pytest.mark.slow
async def test_a_client_that_goes_away_in_the_middle(account: PlugChatSimulator) -> None:
    """The walk ends: nothing more is asked for, and the next client is served."""
    account._latency = 0.05
    async with backend(account) as running:
        async with aiohttp.ClientSession(running.url) as client, client.get("/chats.ndjson") as answer:
            await answer.content.readline()
            answer.close()
        asked = await until_quiet(account)
        assert asked < 15
        async with aiohttp.ClientSession(running.url) as client, client.get("/chats?limit=1") as answer:
            assert answer.status == 200
        await running.stop()
    assert "Traceback" not in running.log


@pytest.mark.slow
async def test_a_client_that_goes_away_while_a_page_is_waited_for(account: PlugChatSimulator) -> None:
    """It is noticed at once: the request that waits for the service is given up."""
    async with backend(account) as running:
        account.script(Fault.none(), Fault.hang())
        async with aiohttp.ClientSession(running.url) as client, client.get("/chats.ndjson") as answer:
            await answer.content.readline()
            while len(account.requests) < 2:
                await asyncio.sleep(0.01)
            answer.close()
        # The hanging request ends with its client: so the backend can be stopped at once.
        await running.stop()
    assert "Traceback" not in running.log


@pytest.mark.slow
async def test_a_stop_during_a_stream_waits_for_its_end(account: PlugChatSimulator) -> None:
    """As servers do that are told to stop gracefully: all chats come, then the session is closed."""
    account._latency = 0.05
    async with backend(account) as running, aiohttp.ClientSession(running.url) as client:
        async with client.get("/chats.ndjson") as answer:
            await answer.content.readline()
            running.process.send_signal(signal.SIGTERM)
            rest = await answer.content.read()
        assert len(rest.splitlines()) == 2000 - 1
        await running.ended()
    assert "Traceback" not in running.log


@pytest.mark.slow
async def test_a_stop_that_does_not_wait_breaks_the_stream_off(account: PlugChatSimulator) -> None:
    """The client does not take it for the end of the list, and the process ends."""
    account.script(Fault.none(), Fault.hang())
    async with (
        backend(account, "--timeout-graceful-shutdown", "1") as running,
        aiohttp.ClientSession(running.url) as client,
    ):
        async with client.get("/chats.ndjson") as answer:
            await answer.content.readline()
            running.process.send_signal(signal.SIGTERM)
            with pytest.raises(aiohttp.ClientPayloadError):
                while await answer.content.readline():
                    """Those of the first page are there."""
        await running.ended()
    assert "Application shutdown complete" in running.log
    assert "Unclosed" not in running.log
