"""The vendor's page as OpenAPI: schemathesis holds the simulator to it, and it agrees with what our code knows."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from itertools import cycle
from pathlib import Path
from typing import Any

import attrs
import pytest
import yaml
from aiohttp import web

from plugchat_async import AccountStatus, Chat, Contact, PendingChat
from plugchat_async._http.decode_values import wire_name
from plugchat_async._http.request import JSON_TYPE, RequestTemplate
from plugchat_async._http.secret import Secret
from plugchat_async._http.urls import CHATS_PATH, DOCUMENTED_ORIGINS, STATUS_PATH
from plugchat_async.calls import CALLS
from plugchat_async.testing import Fault, PlugChatSimulator, SimulatedAccount
from plugchat_async.testing.dialects import DIALECTS, Dialect
from support import PAYLOADS
from support.fakes import served
from support.peers import PATIENCE, program

DESCRIPTION = Path(__file__).parents[1] / "support" / "openapi.yaml"
# The table of attributes on the vendor's page.
VENDORS_FIELDS = {
    "name": "string",
    "phone": "string",
    "unread": "string",
    "lastMessageTime": "string",
    "isMuted": "string",
    "isMarkedSpam": "boolean",
    "profileThumbnail": "string",
    "messagesUnread": "integer",
}

Change = Callable[[web.Response], web.Response]


class Changed(PlugChatSimulator):
    """A simulator whose answers with chats are changed on their way out, by their status."""

    def __init__(self, changes: Mapping[int, Change], dialect: Dialect) -> None:
        super().__init__(chats=20, seed=7, dialect=dialect)
        self._changes = changes

    def _answer(self, request: web.Request, account: SimulatedAccount | None, fault: Fault) -> web.Response:
        honest = super()._answer(request, account, fault)
        change = self._changes.get(honest.status) if request.path == CHATS_PATH else None
        return honest if change is None else change(honest)


def schemathesis(sim: PlugChatSimulator, folder: Path) -> tuple[int, str]:
    """Let schemathesis make requests of all kinds, right and wrong ones: its exit status and what it says."""
    # It stands in an environment of its own: niquests, which the benchmarks use, replaces the urllib3 that it needs.
    done = subprocess.run(
        [
            *(program("schemathesis"), "run", DESCRIPTION, "--url", sim.base_url),
            *("--header", f"Authorization: {sim.token}", "--checks", "all", "--mode", "all"),
            *("--phases", "examples,coverage,fuzzing", "--max-examples", "50", "--seed", "7"),
            *("--no-color", "--no-shrink", "--continue-on-failure"),
        ],
        check=False,
        cwd=folder,
        env={name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "COV"))},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=PATIENCE,
        encoding="utf-8",
    )
    sys.stdout.write(done.stdout)
    return done.returncode, done.stdout


@pytest.mark.external
@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_simulator_keeps_the_description(tmp_path: Path, dialect: Dialect) -> None:
    """Whatever is asked, and however wrongly: status, content type and body are as described."""
    with served(PlugChatSimulator(chats=250, seed=7, dialect=dialect)) as sim:
        status, said = schemathesis(sim, tmp_path)
    assert status == 0
    counts = re.search(r"(\d+) generated, (\d+) passed", said)
    assert counts is not None
    assert int(counts[1]) == int(counts[2]) >= 50
    # It did look at all that matters.
    assert {"GET", "POST", "DELETE"} <= {request.method for request in sim.requests}
    for header in ("authorization", "content-type"):
        assert {header in request.headers for request in sim.requests} == {True, False}
    for parameter in ("page", "page_size"):
        assert {getattr(request, parameter) for request in sim.requests} >= {None, "0", "1"}


def page_with(**fields: object) -> Change:
    """Give each chat these fields; those that are None are left out."""

    def change(honest: web.Response) -> web.Response:
        assert isinstance(honest.body, bytes)
        chats = [chat | fields for chat in json.loads(honest.body)]
        return web.json_response(
            [{k: v for k, v in chat.items() if k not in fields or v is not None} for chat in chats]
        )

    return change


def instead(status: int, body: object, **options: Any) -> Change:
    """Give this answer instead of the right one."""
    return lambda honest: web.json_response(body, status=status, **options)


@pytest.mark.external
@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_simulator_that_breaks_the_description_is_found_out(tmp_path: Path, dialect: Dialect) -> None:
    """In each of the ways in which it does: so that the right one passes means something."""
    in_turn = cycle(
        [
            page_with(phone=None),
            page_with(phone="", lid=None),
            page_with(archived="0"),
            page_with(unread=[]),
            page_with(isMuted="2"),
            page_with(lastMessageTime="yesterday"),
            instead(200, {"chats": []}),
            instead(200, [], content_type="text/json"),
            instead(206, []),
            instead(500, {"error": "oh"}),
            instead(400, {"error": "no"}),
        ]
    )

    def next_fault(honest: web.Response) -> web.Response:
        return next(in_turn)(honest)

    changes = {200: next_fault, **dict.fromkeys([400, 401, 405, 415], instead(200, []))}
    with served(Changed(changes, dialect)) as sim:
        status, said = schemathesis(sim, tmp_path)
    assert status == 1
    assert set(re.findall(r"^- ST\d+ (.*)", said, re.MULTILINE)) == {
        "Server error",
        "Undocumented status code",
        "Undocumented Content-Type",
        "Response violates schema",
        "Schema-violating request accepted",
        "Schema-valid request rejected",
        "Missing required header accepted",
        "Wrong response to undeclared method",
        "API accepts requests without authentication",
    }
    for schema_says in (
        '"phone" is a required property',
        "[] is not valid under any of the schemas",
        '"2" is not one of "0" or "1"',
        '"0" is not valid under any of the schemas',
        '"yesterday" is not valid under any of the schemas',
        "is not valid under any of the schemas listed in the 'anyOf'",
        '{"chats":[]} is not of type "array"',
    ):
        assert schema_says in said


@pytest.fixture(scope="module")
def description() -> Any:
    return yaml.safe_load(DESCRIPTION.read_text(encoding="utf-8"))


def test_the_description_names_the_documented_hosts_and_paths(description: Any) -> None:
    """Those that our code knows, in its order."""
    assert tuple(server["url"] for server in description["servers"]) == DOCUMENTED_ORIGINS
    assert list(description["paths"]) == [*(call.path for call in CALLS), STATUS_PATH]
    assert all(list(calls) == ["get"] for calls in description["paths"].values())


def test_the_description_asks_for_what_we_send(description: Any) -> None:
    """The token's header, the Content-Type and both parameters, and nothing else."""
    headers = RequestTemplate(DOCUMENTED_ORIGINS[0]).headers(Secret("s3cret"))
    scheme = description["components"]["securitySchemes"]["token"]
    assert (scheme["type"], scheme["in"]) == ("apiKey", "header")
    assert headers[scheme["name"]] == "s3cret"
    [of_chats, *of_others] = [description["paths"][call.path]["get"]["parameters"] for call in CALLS]
    assert all(others == of_chats for others in of_others)
    parameters = {p["name"]: p for p in of_chats}
    assert all(parameter["required"] for parameter in parameters.values())
    assert headers["Content-Type"] == parameters.pop("Content-Type")["schema"]["const"] == JSON_TYPE
    assert {name: (p["in"], p["schema"]["type"], p["schema"]["minimum"]) for name, p in parameters.items()} == {
        "page": ("query", "integer", 1),
        "pageSize": ("query", "integer", 1),
    }


def test_the_description_knows_the_vendors_fields(description: Any) -> None:
    """Each one of the vendor's table, with the type that it has there among others; and each one that a Chat has."""
    chat = description["components"]["schemas"]["Chat"]
    types = {
        name: {t for s in field.get("oneOf", [field]) for t in _listed(s["type"])}
        for name, field in chat["properties"].items()
    }
    assert list(types)[: len(VENDORS_FIELDS)] == list(VENDORS_FIELDS)
    assert all(kind in types[name] for name, kind in VENDORS_FIELDS.items())
    assert {wire_name(field.name) for field in attrs.fields(Chat)} < types.keys()
    assert chat["required"] == ["phone"]


@pytest.mark.parametrize("item", [Contact, PendingChat])
def test_the_description_has_the_fields_of_other_items(description: Any, item: type[Any]) -> None:
    """All of them, and no other; with the example's."""
    schema = description["components"]["schemas"][item.__name__]
    assert schema["properties"].keys() == {wire_name(field.name) for field in attrs.fields(item)}
    [path] = [call.path for call in CALLS if call.item is item]
    content = description["paths"][path]["get"]["responses"]["200"]["content"][JSON_TYPE]
    assert content["schema"]["items"]["$ref"].endswith(f"/{item.__name__}")
    assert {key for row in content["examples"]["vendor"]["value"] for key in row} == schema["properties"].keys() - {
        "lid"
    }


def test_the_description_has_the_fields_of_a_status(description: Any) -> None:
    """Those that an AccountStatus has, of its types."""
    status = description["components"]["schemas"]["Status"]
    types = {name: field["type"] for name, field in status["properties"].items()}
    assert types == {
        "connected": "boolean",
        "session": "boolean",
        "smartphoneConnected": "boolean",
        "error": "string",
    }
    names = [field.name for field in attrs.fields(AccountStatus)]
    assert [re.sub("_([a-z])", lambda match: match[1].upper(), name) for name in names] == list(types)
    assert status["required"] == ["connected"]


def _listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def test_the_description_has_an_example_of_each_dialect(description: Any) -> None:
    """Word for word, and a page of today's gateway."""
    answers = description["paths"][CHATS_PATH]["get"]["responses"]
    examples = answers["200"]["content"][JSON_TYPE]["examples"]
    for name, file in (("vendor", "vendor_example.json"), ("gateway", "gateway_page.json")):
        payload = (PAYLOADS / file).read_text(encoding="utf-8")
        assert examples[name]["value"] == json.loads(payload)
    assert set(answers) == {"200", "400", "401", "405", "415"}
