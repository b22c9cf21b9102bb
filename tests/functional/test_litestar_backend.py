"""`examples/litestar_backend.py`: chats as a list and as a stream, problems, and a valid OpenAPI document."""

import json
import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
from litestar.exceptions import LitestarException
from litestar.testing import TestClient
from openapi_spec_validator import validate

from plugchat_async import Chat
from plugchat_async.testing import Fault, PlugChatSimulator
from support.fakes import served
from support.rows import objects_of

EXAMPLE = Path(__file__).parents[2] / "examples" / "litestar_backend.py"
TOKEN = "s3cret-token"
# Typed loosely: what a test client gives is looked at as it is.
Client = Any


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[PlugChatSimulator]:
    with served(PlugChatSimulator(250, seed=7, token=TOKEN)) as sim:
        monkeypatch.setenv("PLUGCHAT_TOKEN", TOKEN)
        monkeypatch.setenv("PLUGCHAT_BASE_URL", sim.base_url)
        yield sim


@pytest.fixture
def client(account: PlugChatSimulator) -> Iterator[Client]:
    with TestClient(runpy.run_path(str(EXAMPLE))["app"]) as client:
        yield client


def test_chats_are_a_list_and_a_stream(client: Client, account: PlugChatSimulator) -> None:
    """As FastAPI sends them."""
    everything = objects_of(account.chats)
    assert client.get("/chats", params={"limit": 3}).json() == everything[:3]
    stream = client.get("/chats.ndjson")
    assert stream.headers["content-type"] == "application/x-ndjson"
    assert {Chat.from_dict(chat) for chat in map(json.loads, stream.text.splitlines())} == set(account.chats)
    assert len(stream.text.splitlines()) == len(account.chats)


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        (Fault.status(401), 502),
        (Fault.status(400, body='{"error": "You are not connected."}'), 503),
        (Fault.status(429, headers={"Retry-After": "3600"}), 429),
        (Fault.answer("{}"), 502),
    ],
)
@pytest.mark.parametrize("path", ["/chats", "/chats.ndjson"])
def test_errors_are_problems(
    client: Client,
    account: PlugChatSimulator,
    caplog: pytest.LogCaptureFixture,
    fault: Fault,
    status: int,
    path: str,
) -> None:
    """Without anything of the service or of the token; the log has the text."""
    account.script(fault)
    answer = client.get(path)
    assert (answer.status_code, answer.json()["status"]) == (status, status)
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json().keys() == {"type", "title", "status", "detail"}
    assert answer.headers.get("retry-after") == ("3600" if status == 429 else None)
    assert account.base_url not in answer.text
    assert any(record.name == "litestar_backend" or "GET" in record.getMessage() for record in caplog.records)
    assert TOKEN not in answer.text + caplog.text


def test_an_error_in_the_middle_is_no_end(client: Client, account: PlugChatSimulator) -> None:
    """The stream fails at the server, so that it closes the connection."""
    account.script(Fault.none(), Fault.status(401))
    with pytest.raises(LitestarException, match="after response started"):
        client.get("/chats.ndjson")


def test_its_document_is_valid(client: Client) -> None:
    """And has the fields of a chat, and what else an endpoint answers."""
    document = client.get("/schema/openapi.json").json()
    validate(document)
    assert list(document["components"]["schemas"]["Chat"]["properties"]) == [a.name for a in attrs.fields(Chat)]
    stream = document["paths"]["/chats.ndjson"]["get"]["responses"]
    chat = {"$ref": "#/components/schemas/Chat"}
    assert stream["200"]["content"].keys() == {"application/x-ndjson"}
    assert stream["200"]["content"]["application/x-ndjson"]["schema"] == chat
    for path in ("/chats", "/chats.ndjson"):
        responses = document["paths"][path]["get"]["responses"]
        assert responses.keys() >= {"429", "502", "503", "504"}
        assert responses["429"]["content"].keys() == {"application/problem+json"}
