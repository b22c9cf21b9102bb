"""Several accounts in a FastAPI application: a session for each, by its name or by the request's path."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI, WebSocket, WebSocketDisconnect
from fastapi.testclient import TestClient

from plugchat_async import Account, Chat, ConfigurationError, InvalidTypeError, PlugChatSession
from plugchat_async.integrations.fastapi import (
    PlugChatAccountDep,
    PlugChatDep,
    add_problem_handlers,
    get_plugchat_account,
    plugchat_account,
    plugchat_lifespan,
)
from plugchat_async.testing import Fault, PlugChatSimulator
from support.fakes import served, what_frames_show
from support.telemetries import Broken

SALES = "s3cret-sales"
SUPPORT = "s3cret-support"
CHATS = {"sales": 30, "support": 7}


@pytest.fixture
def simulator(monkeypatch: pytest.MonkeyPatch) -> Iterator[PlugChatSimulator]:
    """Two accounts on one server, to which the environment leads."""
    sim = PlugChatSimulator(chats=CHATS["sales"], seed=7, token=SALES)
    sim.add_account(SUPPORT, CHATS["support"], seed=1)
    with served(sim):
        monkeypatch.delenv("PLUGCHAT_TOKEN", raising=False)
        monkeypatch.setenv("PLUGCHAT_BASE_URL", sim.base_url)
        yield sim


def application(**lifespan: Any) -> FastAPI:
    app = FastAPI(lifespan=plugchat_lifespan(**lifespan))
    add_problem_handlers(app)

    @app.get("/support")
    async def support(plugchat: Annotated[PlugChatSession, Depends(plugchat_account("support"))]) -> int:
        return len(await plugchat.list_chats())

    @app.get("/accounts/{account}/count")  # noqa: FAST003 - the dependency takes it
    async def count(plugchat: PlugChatAccountDep) -> int:
        return len(await plugchat.list_chats())

    @app.get("/one")
    async def one(plugchat: PlugChatDep) -> int:
        return len(await plugchat.list_chats())

    @app.websocket("/accounts/{account}/socket")
    async def socket(websocket: WebSocket, plugchat: PlugChatAccountDep) -> None:
        await websocket.accept()
        await websocket.send_json(len(await plugchat.list_chats()))
        await websocket.close()

    return app


def in_each_form(sim: PlugChatSimulator) -> list[Any]:
    """Tokens, functions, accounts, and a function that gives them."""
    tokens = {"sales": SALES, "support": lambda: SUPPORT}
    accounts = {"sales": Account("another name", SALES, sim.base_url), "support": Account("support", SUPPORT)}
    return [tokens, accounts, lambda: tokens]


@pytest.mark.parametrize("form", [0, 1, 2])
def test_each_account_has_a_session_of_its_own(simulator: PlugChatSimulator, form: int) -> None:
    """By name, by path, and in a websocket; closed at the end."""
    app = application(accounts=in_each_form(simulator)[form])
    with TestClient(app) as client:
        assert client.get("/support").json() == CHATS["support"]
        for name, chats in CHATS.items():
            assert client.get(f"/accounts/{name}/count").json() == chats
            with client.websocket_connect(f"/accounts/{name}/socket") as websocket:
                assert websocket.receive_json() == chats
        sessions: dict[str, PlugChatSession] = app.state.plugchat_accounts
        assert all("open" in repr(session) for session in sessions.values())
    assert list(sessions) == list(CHATS)
    assert all("closed" in repr(session) for session in sessions.values())


def test_the_account_is_named(simulator: PlugChatSimulator, caplog: pytest.LogCaptureFixture) -> None:
    """In errors, in all log records, and so in telemetry: else nobody knows whose token was refused."""
    walks: list[object] = []

    class Names(Broken):
        def walk(self, **known: object) -> Any:
            walks.append(known["account"])
            return super().walk(**known)

    caplog.set_level(logging.DEBUG, "plugchat_async")
    app = application(accounts={"sales": SALES, "support": SUPPORT}, telemetry=Names())
    simulator.script(Fault.status(503), Fault.status(401), token=SUPPORT)
    with TestClient(app) as client:
        assert client.get("/support").status_code == 502
        assert client.get("/accounts/sales/count").status_code == 200
    problem = next(record for record in caplog.records if record.name == "plugchat_async.fastapi")
    assert vars(problem)["plugchat_account"] == "support"
    assert "account 'support'" in problem.getMessage()
    named = [(record.name, vars(record).get("plugchat_account")) for record in caplog.records]
    assert [name for logger, name in named if logger == "plugchat_async.http"] == ["support"]
    assert {name for logger, name in named if logger == "plugchat_async.walk"} == {"support", "sales"}
    assert walks == ["support", "sales"]


def test_an_unknown_account_is_not_found(simulator: PlugChatSimulator) -> None:
    """404 for a path, which a client chooses; what the code names is the code's fault."""
    with TestClient(application(accounts={"sales": SALES})) as client:
        answer = client.get("/accounts/nobody/count")
        assert answer.headers["content-type"] == "application/problem+json"
        problem = {"type": "about:blank", "title": "Not Found", "status": 404}
        assert answer.status_code == 404
        assert answer.json() == {**problem, "detail": "There is no account of this name."}
        assert client.get("/support").status_code == 500
        with pytest.raises(WebSocketDisconnect) as closed, client.websocket_connect("/accounts/nobody/socket"):
            pytest.fail("it was accepted")
        assert (closed.value.code, closed.value.reason) == (1008, "There is no account of this name.")
        parameters = client.get("/openapi.json").json()["paths"]["/accounts/{account}/count"]["get"]["parameters"]
    assert [(known["name"], known["in"], known["required"]) for known in parameters] == [("account", "path", True)]
    assert not simulator.requests


@pytest.mark.parametrize(
    ("lifespan", "path", "hint"),
    [
        ({"accounts": {"sales": SALES}}, "/support", "there is no account 'support', only 'sales'"),
        ({"accounts": {"sales": SALES}}, "/one", r"Use Depends(plugchat_account(name)) or PlugChatAccountDep"),
        ({"token": SALES}, "/support", "the application has no accounts"),
        ({"token": SALES}, "/accounts/sales/count", "Create them with FastAPI(lifespan=plugchat_lifespan(accounts="),
        ({"accounts": {}}, "/support", "there is no account 'support', only none"),
    ],
)
def test_a_wrong_dependency_says_which_is_right(
    simulator: PlugChatSimulator,
    caplog: pytest.LogCaptureFixture,
    lifespan: dict[str, Any],
    path: str,
    hint: str,
) -> None:
    """In the log."""
    with TestClient(application(**lifespan)) as client:
        assert client.get(path).status_code == 500
    assert hint in caplog.text
    assert "s3cret" not in caplog.text


def test_without_a_lifespan_it_is_said_what_to_do(caplog: pytest.LogCaptureFixture) -> None:
    """As for the one account."""
    answer = TestClient(application(accounts={})).get("/accounts/sales/count")
    assert answer.status_code == 500
    assert "FastAPI(lifespan=plugchat_lifespan(accounts={...}))" in caplog.text


def test_one_account_may_be_beside_the_named_ones(simulator: PlugChatSimulator) -> None:
    """And the application's own lifespan has them all."""
    seen: list[int] = []

    @asynccontextmanager
    async def own(app: FastAPI) -> AsyncGenerator[None]:
        seen.append(len(await app.state.plugchat_accounts["support"].list_chats()))
        yield

    app = application(token=SALES, base_url=simulator.base_url, accounts={"support": SUPPORT}, lifespan=own)
    with TestClient(app) as client:
        assert client.get("/one").json() == CHATS["sales"]
        assert client.get("/accounts/support/count").json() == CHATS["support"]
    assert seen == [CHATS["support"]]


def test_it_is_overridden_as_any_dependency() -> None:
    """By its name, of which two are equal, or by the function for all paths."""

    class Two:
        async def list_chats(self) -> list[Chat]:
            return [Chat("1"), Chat("2")]

    app = application(accounts={})
    app.dependency_overrides[plugchat_account("support")] = Two
    app.dependency_overrides[get_plugchat_account] = Two
    assert TestClient(app).get("/support").json() == 2
    assert TestClient(app).get("/accounts/any/count").json() == 2


@pytest.mark.parametrize(
    ("accounts", "named"),
    [
        (["sales"], None),
        ({1: SALES}, None),
        ({"sales": 5, "support": SUPPORT}, "sales"),
        ({"sales": SALES, "support": f"{SUPPORT}\n"}, "support"),
        ({"sales": Account("sales", SALES, "ftp://u:s3cret-pw@localhost")}, "sales"),
    ],
)
def test_wrong_accounts_end_the_start(accounts: Any, named: str | None) -> None:
    """With an error that says why and names the account, and no token in any frame."""
    lifespan: Callable[[FastAPI], Any] = plugchat_lifespan(accounts=accounts)
    del accounts

    async def run() -> None:
        async with lifespan(FastAPI()):
            pytest.fail("it has started")

    with pytest.raises(ConfigurationError) as caught:
        asyncio.run(run())
    assert isinstance(caught.value, InvalidTypeError | ValueError)
    assert caught.value.account == named
    assert "s3cret" not in what_frames_show(caught.value)


def test_all_are_closed_where_the_start_fails(simulator: PlugChatSimulator) -> None:
    """Here in the application's own lifespan."""
    sessions: list[PlugChatSession] = []

    @asynccontextmanager
    async def failing(app: FastAPI) -> AsyncGenerator[None]:
        sessions.extend(app.state.plugchat_accounts.values())
        if sessions:
            raise RuntimeError("mine")
        yield

    app = application(accounts={"sales": SALES, "support": SUPPORT}, lifespan=failing)
    with pytest.raises(RuntimeError, match="mine"), TestClient(app):
        pytest.fail("it has started")
    assert len(sessions) == 2
    assert all("closed" in repr(session) for session in sessions)
