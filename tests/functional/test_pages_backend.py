"""`examples/pages_backend.py`: its pages make up the list, whatever the pages of the server are."""

import asyncio
import runpy
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from plugchat_async import PlugChatSession
from plugchat_async.testing import Fault, PlugChatSimulator, Quirks
from support.fakes import served
from support.rows import objects_of

EXAMPLE = Path(__file__).parents[2] / "examples" / "pages_backend.py"
COUNT = 230


def pages_of(monkeypatch: pytest.MonkeyPatch, sim: PlugChatSimulator, page_size: int) -> list[dict[str, Any]]:
    """Return all pages of the example, to the one that says that it is the last."""
    monkeypatch.setenv("PLUGCHAT_TOKEN", sim.token)
    monkeypatch.setenv("PLUGCHAT_BASE_URL", sim.base_url)
    pages: list[dict[str, Any]] = []
    with TestClient(runpy.run_path(str(EXAMPLE))["app"]) as client:
        while not pages or not pages[-1]["is_last"]:
            assert len(pages) <= COUNT
            answer = client.get("/chats", params={"page": len(pages) + 1, "page_size": page_size})
            assert answer.status_code == 200, answer.text
            pages.append(answer.json())
    return pages


@pytest.mark.parametrize(
    "quirks", [Quirks(), Quirks(max_page_size=50), Quirks(fixed_page_size=20)], ids=["as asked", "capped", "fixed"]
)
@pytest.mark.parametrize("page_size", [50, 100, 46])
def test_all_chats_are_on_the_pages(monkeypatch: pytest.MonkeyPatch, quirks: Quirks, page_size: int) -> None:
    """Each once, in the server's order; all pages are full but the last one, also if the list ends with a full page."""
    with served(PlugChatSimulator(COUNT, seed=7, quirks=quirks)) as sim:
        pages = pages_of(monkeypatch, sim, page_size)
        chats = objects_of(sim.chats)
    assert [chat for page in pages for chat in page["chats"]] == chats
    assert len(pages) == -(-COUNT // page_size)
    assert [len(page["chats"]) for page in pages[:-1]] == [page_size] * (len(pages) - 1)


def test_pages_of_the_server_would_not_do() -> None:
    """What the example is for: its server's first page looks like the last one."""

    async def first_page(sim: PlugChatSimulator) -> tuple[int, bool]:
        async with PlugChatSession(sim.token, base_url=sim.base_url) as plugchat:
            page = await plugchat.fetch_page(1, 100)
            return len(page.chats), page.is_short

    with served(PlugChatSimulator(COUNT, seed=7, quirks=Quirks(max_page_size=50))) as sim:
        assert asyncio.run(first_page(sim)) == (50, True)


def test_past_the_end_and_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page past the end is empty, and the last one; no accounts chats, neither; an error is a problem."""
    with served(PlugChatSimulator(COUNT, seed=7)) as sim, served(PlugChatSimulator(0)) as empty:
        monkeypatch.setenv("PLUGCHAT_TOKEN", sim.token)
        monkeypatch.setenv("PLUGCHAT_BASE_URL", sim.base_url)
        with TestClient(runpy.run_path(str(EXAMPLE))["app"]) as client:
            assert client.get("/chats?page=9").json() == {"page": 9, "chats": [], "is_last": True}
            assert client.get("/chats?page=0").status_code == 422
            sim.script(Fault.status(401))
            assert client.get("/chats").status_code == 502
        assert pages_of(monkeypatch, empty, 50) == [{"page": 1, "chats": [], "is_last": True}]
