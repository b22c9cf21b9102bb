"""The OpenAPI document of a FastAPI application: chats, streams of chats, and the problems that errors become."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Annotated, Any

import aiohttp
import attrs
import pytest
import uvicorn
from fastapi import APIRouter, Body, Depends, FastAPI
from fastapi.testclient import TestClient
from openapi_spec_validator import validate
from pydantic import BaseModel, TypeAdapter

from plugchat_async import (
    AccountStatus,
    Call,
    Chat,
    ChatAdded,
    ChatChanged,
    ChatEvent,
    ChatRemoved,
    Contact,
    Page,
    PendingChat,
    PlugChatSession,
    Problem,
    WalkReport,
)
from plugchat_async.integrations.fastapi import (
    ChatStream,
    PlugChatAccountDep,
    PlugChatDep,
    add_problem_handlers,
    plugchat_account,
    plugchat_lifespan,
)
from plugchat_async.testing import Fault, PlugChatSimulator
from support.fakes import served
from support.rows import lines_of, objects_of

if TYPE_CHECKING:
    from decimal import Decimal

CHAT = Chat("5511999999999", "Ana", 3)
VALUES = [
    CHAT,
    Contact("1", short="A"),
    PendingChat("1", is_muted=True),
    Page(1, 10, (CHAT,), b""),
    Problem(0, "unread", "a number", "'x'"),
    AccountStatus(connected=True),
    WalkReport(1, 2, 3, 4, 5, 6, verified=True, reason="", elapsed=0.5),
    ChatAdded(CHAT),
    ChatChanged(CHAT, CHAT, ("unread",)),
    ChatRemoved(CHAT),
]
FIELDS = [a.name for a in attrs.fields(Chat)]
PROBLEMS = {"429", "502", "503", "504"}


class Board(BaseModel):
    """A model of the application's own."""

    title: str
    chats: list[Chat]


@pytest.fixture
def account() -> Iterator[PlugChatSimulator]:
    with served(PlugChatSimulator(chats=30, seed=7)) as sim:
        yield sim


async def opened() -> AsyncIterator[PlugChatSession]:
    """A session that is opened for one request."""
    async with PlugChatSession("token") as session:
        yield session


def unknown() -> "Decimal":
    """Its annotation is known to type checkers only."""
    raise AssertionError("it is not called")


def application(account: PlugChatSimulator) -> FastAPI:  # noqa: C901 - it has an endpoint of each kind
    """An application that uses each class of ours in each way."""
    app = FastAPI(lifespan=plugchat_lifespan(account.token, base_url=account.base_url))
    add_problem_handlers(app)
    router = APIRouter(prefix="/routed")

    @app.get("/chats")
    @router.get("/chats")
    async def chats(plugchat: PlugChatDep) -> list[Chat]:
        return await plugchat.list_chats()

    @app.get("/untyped")
    async def untyped(plugchat: PlugChatDep):  # type: ignore[no-untyped-def]  # noqa: ANN202 - as many write it
        return {"newest": (await plugchat.list_chats(limit=1))[0], "page": await plugchat.fetch_page(1, 10)}

    @app.get("/any")
    async def any_(plugchat: PlugChatDep) -> dict[str, Any]:
        return {"status": await plugchat.fetch_status()}

    @app.get("/page")
    async def page(plugchat: PlugChatDep) -> Page:
        return await plugchat.fetch_page(1, 10)

    @app.get("/events")
    async def events() -> list[ChatEvent]:
        return [ChatRemoved(CHAT)]

    @app.get("/report")
    async def report(plugchat: PlugChatDep) -> WalkReport | None:
        async with plugchat.walk_chats() as walk:
            await walk.to_list()
            return walk.report

    @app.get("/status")
    async def status(plugchat: PlugChatDep) -> AccountStatus:
        return await plugchat.fetch_status()

    @app.get("/board")
    async def board(plugchat: PlugChatDep) -> Board:
        return Board(title="all", chats=await plugchat.list_chats())

    @app.post("/chats")
    async def take(chat: Chat) -> str:
        return f"{chat.id} {chat.kind}"

    @app.get("/stream", response_class=ChatStream)
    async def stream(plugchat: PlugChatDep) -> ChatStream:
        return ChatStream(plugchat.iter_pages())

    @router.get("/stream")
    async def unnamed(plugchat: PlugChatDep) -> ChatStream:
        return ChatStream(plugchat.iter_pages())

    @app.get("/opened")
    async def of_request(plugchat: Annotated[PlugChatSession, Depends(opened)]) -> list[Chat]:
        return await plugchat.list_chats()

    @app.get("/named")
    async def named(plugchat: Annotated[PlugChatSession, Depends(plugchat_account("sales"))]) -> list[Chat]:
        return await plugchat.list_chats()

    @app.get("/accounts/{account}/chats", responses={503: {"description": "My own."}})  # noqa: FAST003 - the dependency takes it
    async def by_path(plugchat: PlugChatAccountDep) -> list[Chat]:
        return await plugchat.list_chats()

    @app.get("/health", dependencies=[Depends(unknown)])
    async def health() -> str:
        return "ok"

    @app.get("/hidden", include_in_schema=False)
    async def hidden(plugchat: PlugChatDep) -> list[Chat]:
        return await plugchat.list_chats()

    app.include_router(router)
    return app


@pytest.fixture
def app(account: PlugChatSimulator) -> FastAPI:
    return application(account)


@pytest.fixture
def document(app: FastAPI) -> Any:
    return app.openapi()


@pytest.mark.slow
def test_it_is_valid(document: Any) -> None:
    """With OpenAPI's own schema; `itemSchema`, which FastAPI uses too, is in its version 3.2."""
    validate({**document, "openapi": "3.2.0"})
    for path in ("/stream", "/routed/stream"):
        del document["paths"][path]
    assert document["openapi"].startswith("3.1")
    validate(document)


def test_the_classes_are_its_components(document: Any) -> None:
    """Once each; a chat that is sent has all members, one that is received need not."""
    schemas = document["components"]["schemas"]
    names = {"AccountStatus", "ChatRemoved", "Page", "PlugChatProblem", "Problem", "WalkReport", "Board"}
    assert names <= schemas.keys()
    assert schemas["Chat-Output"]["required"] == list(schemas["Chat-Output"]["properties"]) == FIELDS
    assert "required" not in schemas["Chat-Input"]
    [body] = document["paths"]["/chats"]["post"]["requestBody"]["content"].values()
    assert body == {"schema": {"$ref": "#/components/schemas/Chat-Input"}}


@pytest.mark.parametrize("path", ["/stream", "/routed/stream"])
def test_a_stream_has_chats_as_items(document: Any, path: str) -> None:
    """With and without `response_class`."""
    response = document["paths"][path]["get"]["responses"]["200"]
    assert response["content"] == {"application/x-ndjson": {"itemSchema": {"$ref": "#/components/schemas/Chat-Output"}}}


def test_a_stream_of_another_list_has_its_items(account: PlugChatSimulator) -> None:
    """Also those of an own call, of which only the name is known."""

    class ContactStream(ChatStream):
        item = Contact

    @attrs.frozen
    class Tag:
        phone: str
        last_message_time: None = None

    class TagStream(ChatStream):
        media_type = "application/jsonl"
        item = Tag

    app = FastAPI(lifespan=plugchat_lifespan(account.token, base_url=account.base_url))

    @app.get("/contacts", response_class=ChatStream)
    async def contacts(plugchat: PlugChatDep) -> ContactStream:
        return ContactStream(plugchat.iter_contacts())

    @app.get("/tags", response_class=TagStream)
    async def tags(plugchat: PlugChatDep):  # type: ignore[no-untyped-def]  # noqa: ANN202 - as many write it
        return TagStream(plugchat.walk(Call("/tags", Tag)))

    with TestClient(app) as client:
        paths = client.get("/openapi.json").json()["paths"]
    assert [paths[path]["get"]["responses"]["200"]["content"] for path in ("/contacts", "/tags")] == [
        {"application/x-ndjson": {"itemSchema": {"$ref": "#/components/schemas/Contact"}}},
        {"application/jsonl": {"itemSchema": {"type": "object", "title": "Tag"}}},
    ]


def test_a_streams_own_description_stays() -> None:
    """Such as an example, beside the schema of its lines."""
    app = FastAPI()
    own = {"description": "Mine.", "content": {"application/x-ndjson": {"example": "{}"}}}
    add_problem_handlers(app)

    @app.get("/stream", response_class=ChatStream, responses={200: own})
    async def stream(plugchat: PlugChatDep) -> ChatStream:
        return ChatStream(plugchat.iter_pages())

    response = app.openapi()["paths"]["/stream"]["get"]["responses"]["200"]
    items = {"$ref": "#/components/schemas/Chat"}
    assert response["description"] == "Mine."
    assert response["content"] == {"application/x-ndjson": {"example": "{}", "itemSchema": items}}


def test_streams_alone_have_a_schema_too(account: PlugChatSimulator) -> None:
    """Where nothing else has brought that of a chat, or an own class has its name; handlers are not needed."""

    class Chat(BaseModel):
        mine: str

    for own, expected in ((False, {"$ref": "#/components/schemas/Chat"}), (True, None)):
        app = FastAPI(lifespan=plugchat_lifespan(account.token, base_url=account.base_url))

        @app.get("/stream")
        async def stream(plugchat: PlugChatDep) -> ChatStream:
            return ChatStream(plugchat.iter_pages())

        if own:

            @app.get("/own")
            async def mine() -> Chat:
                return Chat(mine="yes")

        with TestClient(app) as client:
            document = client.get("/openapi.json").json()
            assert document == client.get("/openapi.json").json()
        responses = document["paths"]["/stream"]["get"]["responses"]
        assert responses.keys() == {"200"}
        items = responses["200"]["content"]["application/x-ndjson"]["itemSchema"]
        assert items == expected or (own and list(items["properties"]) == FIELDS)
        validate({**document, "openapi": "3.2.0"})


@pytest.mark.parametrize(
    "path",
    ["/chats", "/routed/chats", "/stream", "/routed/stream", "/opened", "/named", "/accounts/{account}/chats"],
)
def test_problems_are_described_where_they_can_come(document: Any, path: str) -> None:
    """For each endpoint with a session, however it comes by it."""
    responses = document["paths"][path]["get"]["responses"]
    assert responses.keys() >= PROBLEMS
    for status in PROBLEMS - ({"503"} if "{account}" in path else set()):
        assert responses[status]["content"] == {
            "application/problem+json": {"schema": {"$ref": "#/components/schemas/PlugChatProblem"}}
        }
        assert responses[status]["description"]
    assert "Retry-After" in responses["429"]["headers"]


def test_other_endpoints_stay_as_they_are(document: Any) -> None:
    """Those without a session; and a status that the application describes itself."""
    assert document["paths"]["/health"]["get"]["responses"].keys() == {"200"}
    assert "/hidden" not in document["paths"]
    described = document["paths"]["/accounts/{account}/chats"]["get"]["responses"]
    assert described["503"] == {"description": "My own."}
    assert described["404"]["description"] == "There is no account of this name."
    assert described["404"]["content"] == described["429"]["content"]


def test_an_own_document_is_described_too(app: FastAPI) -> None:
    """As FastAPI's documentation makes one; and twice is once."""
    original = app.openapi

    def own() -> dict[str, Any]:
        return original() | {"x-own": True}

    app.openapi = own  # type: ignore[method-assign]
    add_problem_handlers(app)
    add_problem_handlers(app)
    assert app.openapi()["x-own"] is True
    assert app.openapi()["paths"]["/chats"]["get"]["responses"].keys() >= PROBLEMS


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_each_class_is_returned_without_a_type_and_received_as_a_body(value: Any) -> None:
    """Received with `Body()` in each case."""
    app = FastAPI()

    @app.get("/")
    async def give():  # type: ignore[no-untyped-def]  # noqa: ANN202 - as many write it
        return {"values": [value]}

    async def take(received: Any) -> str:
        assert received == value
        return "taken"

    take.__annotations__["received"] = Annotated[type(value), Body()]
    app.post("/")(take)
    client = TestClient(app)
    [given] = client.get("/").json()["values"]
    assert TypeAdapter[Any](type(value)).validate_python(given) == value
    assert client.post("/", json=given).json() == "taken"


def test_an_endpoint_chooses_members() -> None:
    """What it leaves out is not sent."""
    app = FastAPI()

    @app.get("/", response_model_exclude={"chats": {"__all__": {"name"}}})
    async def give() -> Page:
        return Page(1, 10, (CHAT,), b"")

    [chat] = TestClient(app).get("/").json()["chats"]
    assert list(chat) == [name for name in FIELDS if name != "name"]


def test_the_problem_that_comes_is_the_one_described(app: FastAPI, account: PlugChatSimulator) -> None:
    """Its members are those of the schema."""
    schema = app.openapi()["components"]["schemas"]["PlugChatProblem"]
    account.script(Fault.status(401))
    with TestClient(app) as client:
        problem = client.get("/chats")
    assert str(problem.status_code) in PROBLEMS
    assert list(problem.json()) == schema["required"] == list(schema["properties"])


@pytest.mark.slow
async def test_a_client_reads_it_from_uvicorn(account: PlugChatSimulator) -> None:
    """Over a real connection, each endpoint sends what its schema says."""
    config = uvicorn.Config(application(account), port=0, log_level="error")
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    try:
        async with asyncio.timeout(30):
            while not server.started:
                await asyncio.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        async with asyncio.timeout(30), aiohttp.ClientSession(f"http://127.0.0.1:{port}") as client:

            async def read(path: str) -> Any:
                async with client.get(path) as answer:
                    assert answer.status == 200, await answer.text()
                    return await answer.json()

            everything = objects_of(account.chats)
            assert await read("/chats") == await read("/routed/chats") == everything
            assert await read("/board") == {"title": "all", "chats": everything}
            page = await read("/page")
            assert page["chats"] == everything[:10]
            untyped = await read("/untyped")
            assert untyped["page"] == page
            assert Chat.from_dict(untyped["newest"]) == account.chats[0]
            assert (await read("/report"))["chats"] == 30
            assert (await read("/status"))["connected"] is True
            assert (await read("/any"))["status"] == await read("/status")
            assert await read("/events") == [{"event": "removed", "chat": CHAT.to_dict()}]
            async with client.get("/stream") as stream:
                assert await stream.text() == lines_of(account.chats)
            async with client.post("/chats", json=everything[0]) as taken:
                assert await taken.json() == f"{account.chats[0].id} {account.chats[0].kind}"
            async with client.post("/chats", json={"name": "Ana"}) as refused:
                assert refused.status == 422
                assert "there is neither a phone nor a lid" in await refused.text()
            document = await read("/openapi.json")
        validate({**document, "openapi": "3.2.0"})
    finally:
        server.should_exit = True
        async with asyncio.timeout(30):
            await serving
