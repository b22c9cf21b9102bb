"""What FastAPI does not know of an endpoint: the items of a ChatStream, and the problems that errors become."""

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from copy import deepcopy
from typing import Any, Final, get_args

from attrs import frozen
from fastapi import FastAPI, routing
from fastapi.encoders import jsonable_encoder
from pydantic import PydanticSchemaGenerationError, TypeAdapter

from plugchat_async.errors import PlugChatError
from plugchat_async.integrations.fastapi.dependencies import NO_ACCOUNT, UnknownAccountError, get_plugchat_account
from plugchat_async.integrations.fastapi.stream import ChatStream
from plugchat_async.session import PlugChatSession

_PROBLEM: Final = "PlugChatProblem"
_REFERENCE: Final = "#/components/schemas/"
_PROBLEM_SCHEMA: Final[Mapping[str, Any]] = {
    "type": "object",
    "title": _PROBLEM,
    "description": "Why the request could not be answered (RFC 9457).",
    "properties": {
        "type": {"type": "string", "format": "uri", "title": "Type", "description": "The error's documentation."},
        "title": {"type": "string", "title": "Title", "description": "What has happened."},
        "status": {"type": "integer", "title": "Status", "description": "The response's status."},
        "detail": {"type": "string", "title": "Detail", "description": "What can be done."},
    },
    "required": ["type", "title", "status", "detail"],
}
_PROBLEM_CONTENT: Final[Mapping[str, Any]] = {
    "application/problem+json": {"schema": {"$ref": f"{_REFERENCE}{_PROBLEM}"}}
}
_RETRY_AFTER: Final[Mapping[str, Any]] = {
    "Retry-After": {"description": "Seconds to wait, if they are known.", "schema": {"type": "integer"}}
}
_PROBLEMS: Final[Mapping[str, Mapping[str, Any]]] = {
    "429": {"description": "Plug Chat limits the number of requests.", "headers": _RETRY_AFTER},
    "502": {"description": "Plug Chat can't be reached, has failed, or has refused the request."},
    "503": {
        "description": "The account's phone is not connected to WhatsApp, or a service is not ready.",
        "headers": _RETRY_AFTER,
    },
    "504": {"description": "Plug Chat timed out."},
}


def describe(app: FastAPI) -> None:
    """Let the application's OpenAPI document describe streams of chats and, if they are handled, errors as problems."""
    if not isinstance(app.openapi, _DescribedDocument):
        app.openapi = _DescribedDocument(app, app.openapi)  # type: ignore[method-assign]


@frozen
class _DescribedDocument:
    """Stands in for the application's `openapi`, which keeps its document: to describe it again changes nothing."""

    app: FastAPI
    original: Callable[[], dict[str, Any]]

    def __call__(self) -> dict[str, Any]:
        document = self.original()
        handlers = self.app.exception_handlers
        handled = PlugChatError in handlers
        for route in _routes(self.app):
            for operation in _operations(document, route):
                stream = _stream_of(route)
                if stream is not None:
                    _describe_stream(document, operation, stream)
                calls = list(_dependencies(route.dependant))
                if get_plugchat_account in calls:
                    content = {"content": _PROBLEM_CONTENT} if UnknownAccountError in handlers else {}
                    operation["responses"].setdefault("404", {"description": NO_ACCOUNT, **deepcopy(content)})
                if handled and (stream is not None or any(map(_gives_session, calls))):
                    _describe_problems(document, operation)
        return document


def _routes(app: FastAPI) -> Iterator[Any]:
    """Return the routes of the application's endpoints, also of its routers."""
    routes: Iterable[Any] = app.routes
    # FastAPI used to copy a router's routes when it was included. Since then it has this function.
    if hasattr(routing, "iter_route_contexts"):
        routes = routing.iter_route_contexts(app.routes)
    return (route for route in routes if isinstance(getattr(route, "original_route", route), routing.APIRoute))


def _operations(document: Mapping[str, Any], route: Any) -> Iterator[dict[str, Any]]:
    path = document.get("paths", {}).get(route.path_format, {})
    return (path[method.lower()] for method in sorted(route.methods) if method.lower() in path)


def _stream_of(route: Any) -> type[ChatStream] | None:
    """Return the class of the stream that an endpoint returns, or None."""
    classes = (_returned(route.endpoint), route.response_class)
    return next((kind for kind in classes if _is_subclass(kind, ChatStream)), None)


def _is_subclass(value: object, wanted: type) -> bool:
    return isinstance(value, type) and issubclass(value, wanted)


def _returned(call: Callable[..., Any]) -> Any:
    """Return the annotation of what a function returns, or None."""
    with suppress(Exception):  # names that only a type checker knows
        return inspect.signature(call, eval_str=True).return_annotation
    return None


def _dependencies(dependant: Any) -> Iterator[Callable[..., Any]]:
    for inner in dependant.dependencies:
        yield inner.call
        yield from _dependencies(inner)


def _gives_session(call: Callable[..., Any]) -> bool:
    """Return whether a dependency is a session, also one that is opened for the request."""
    returned = _returned(call)
    return any(_is_subclass(kind, PlugChatSession) for kind in (returned, *get_args(returned)))


def _describe_stream(document: dict[str, Any], operation: dict[str, Any], stream: type[ChatStream]) -> None:
    """Replace FastAPI's schema of the response by that of its lines, as it describes streams of its own."""
    for status, response in operation["responses"].items():
        if status.startswith("2"):
            described = response.get("content", {}).get(stream.media_type, {})
            described = {name: value for name, value in described.items() if name != "schema"}
            item = _item_schema(document, stream.item)
            response["content"] = {stream.media_type: {**described, "itemSchema": item}}


def _item_schema(document: dict[str, Any], item: type[Any]) -> dict[str, Any]:
    """Return a reference to the schema of an item, or the schema itself if another one has its name."""
    try:
        adapter: TypeAdapter[Any] = TypeAdapter(item)
    except PydanticSchemaGenerationError:  # an attrs class of the caller's own call
        return {"type": "object", "title": item.__name__}
    # FastAPI leaves out what is null, such as defaults.
    schema: dict[str, Any] = jsonable_encoder(adapter.json_schema(mode="serialization"), exclude_none=True)
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    name: str = next((name for name, known in schemas.items() if known == schema), item.__name__)
    return {"$ref": f"{_REFERENCE}{name}"} if schemas.setdefault(name, schema) == schema else schema


def _describe_problems(document: dict[str, Any], operation: dict[str, Any]) -> None:
    """Add the problems, except for statuses that the application describes itself."""
    document.setdefault("components", {}).setdefault("schemas", {}).setdefault(_PROBLEM, deepcopy(_PROBLEM_SCHEMA))
    for status, described in _PROBLEMS.items():
        operation["responses"].setdefault(status, deepcopy({**described, "content": _PROBLEM_CONTENT}))
