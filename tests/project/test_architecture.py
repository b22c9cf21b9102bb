"""The house: imports point one way, the surface is small, nothing optional is loaded."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import plugchat_async

PACKAGE = Path(plugchat_async.__file__).parent

# Imports point one way: a part knows only parts of the lines above its own.
PARTS = [
    ["errors", "_error_details", "_optional_extras", "_pydantic_schema", "_client_schemas"],
    ["_internal"],
    ["models", "calls", "_items", "server_traits"],
    # The converter is what callers see of the decoding in _http.
    ["_http", "converter"],
    ["_pagination"],
    ["watch"],
    ["bulk"],
    ["session"],
    ["export"],
    ["doctor"],
    ["integrations"],
    ["testing"],
    ["cli"],
]
# Parts that do not know each other, though one of them stands above the other.
STRANGERS = [{"watch", "bulk"}, {"watch", "export"}, {"session", "export"}, {"doctor", "integrations"}]
# The surface, which only parts around the package take from.
USERS = {"cli", "testing", "__main__"}
MODULES = sorted(PACKAGE.rglob("*.py"))


def name_of(path: Path) -> str:
    relative = path.relative_to(PACKAGE).with_suffix("")
    parts = relative.parts[:-1] if relative.name == "__init__" and len(relative.parts) > 1 else relative.parts
    return ".".join(parts)


def part_of(module: str) -> str:
    return module.partition(".")[0]


def line_of(part: str) -> int:
    return next(number for number, parts in enumerate(PARTS) if part in parts)


PURE = {
    "models",
    "calls",
    "_items",
    "server_traits",
    "converter",
    "_client_schemas",
    "_pydantic_schema",
    *(f"_internal.{name}" for name in ("validation", "serialization", "lenient_json", "html")),
    *(f"_http.{name}" for name in ("secret", "urls", "request", "response", "retry", "request_repair")),
    *(f"_http.{name}" for name in ("decode", "decode_fast", "decode_values", "gateway_errors", "account_status")),
    *(f"_pagination.{name}" for name in ("walk_steps", "walk_state", "checkpoint", "options")),
    *(f"_pagination.{name}" for name in ("until_last_page", "plain", "exact", "strict", "strategy", "server_traits")),
    *(
        f"_pagination.{name}"
        for name in ("list_end", "page_cap", "page_numbers", "walk_context", "whole_answer", "windows")
    ),
    *(f"_pagination.{name}" for name in ("anchors", "order", "remember", "same_chat", "unconfirmed")),
    *(
        f"watch.{name}"
        for name in ("snapshot", "scan", "identity", "losses", "ordering", "copy_on_write", "tombstones")
    ),
    "bulk.names",
    *("export.csv_and_json", "export.people"),
}


def imports(path: Path) -> set[str]:
    """The modules that a file imports, wherever in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
    return found


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_point_one_way(path: Path) -> None:
    """A part knows only parts above it; inside of a part, Python itself refuses circles."""
    part = part_of(name_of(path))
    for module in imports(path):
        if part_of(module) != "plugchat_async" or part == "__init__":
            continue
        imported = part_of(module.removeprefix("plugchat_async").lstrip("."))
        if not imported:
            assert part in USERS, f"{name_of(path)} imports the package's surface"
        elif part != "__main__":
            assert imported == part or line_of(imported) <= line_of(part), f"{name_of(path)} imports {module}"
            assert {part, imported} not in STRANGERS, f"{name_of(path)} imports {module}"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_libraries_stay_in_their_rooms(path: Path) -> None:
    """aiohttp only where requests are sent or served, cattrs only where JSON is read, rich only on the command line."""
    name = name_of(path)
    rooms = {
        "aiohttp": {"_http", "session", "testing"},
        "aiolimiter": {"_http"},
        "cattrs": {"_http", "converter"},
        "msgspec": {"_internal", "models", "_items", "server_traits", "_http", "_pagination", "watch", "export"},
        "pyarrow": {"export", "integrations"},
        "polars": {"export"},
        "pandas": {"export"},
        "xlsxwriter": {"export"},
        "distributed": {"integrations"},
        "cyclopts": {"cli"},
        "rich": {"cli"},
        "uvloop": {"cli"},
        "fastapi": {"integrations"},
        "starlette": {"integrations"},
        "pydantic": {"integrations", "_pydantic_schema"},
        "pydantic_core": {"integrations", "_pydantic_schema"},
        "opentelemetry": {"integrations"},
        "pytest": {"testing"},
    }
    for module in imports(path):
        library = module.partition(".")[0]
        assert part_of(name) in rooms.get(library, {part_of(name)}), f"{name} imports {library}"


@pytest.mark.parametrize("name", sorted(PURE))
def test_pure_modules_do_not_wait_or_look_at_the_clock(name: str) -> None:
    """No await, no time, no randomness of their own."""
    [path] = [path for path in MODULES if name_of(path) == name]
    assert not imports(path) & {"asyncio", "time", "random", "aiohttp"}
    tree = ast.parse(path.read_text())
    assert not any(isinstance(node, ast.Await | ast.AsyncFunctionDef) for node in ast.walk(tree))


def test_the_public_surface_is_pinned() -> None:
    """A name that comes or goes is a decision."""
    assert plugchat_async.__all__ == sorted(plugchat_async.__all__, key=lambda name: (not name.isupper(), name))
    assert set(plugchat_async.__all__) == {
        "CHATS",
        "CONTACTS",
        "PENDING_CHATS",
        "AccessDeniedError",
        "Account",
        "AccountExport",
        "AccountResult",
        "AccountStatus",
        "Attempt",
        "AuthenticationError",
        "BulkOptions",
        "Call",
        "Chat",
        "ChatAdded",
        "ChatChanged",
        "ChatEvent",
        "ChatKind",
        "ChatRemoved",
        "ChatWalk",
        "WalkOptions",
        "ConfigurationError",
        "ConnectionFailedError",
        "ConsistencyError",
        "Contact",
        "DecodeError",
        "ExportOptions",
        "ExportSummary",
        "FOREVER",
        "InvalidTypeError",
        "InvalidValueError",
        "ItemList",
        "MethodNotAllowedError",
        "MissingExtraError",
        "NotAListError",
        "NotConnectedError",
        "NotJSONError",
        "OutputError",
        "Outage",
        "Page",
        "PageLimitError",
        "PageRepeatedError",
        "PaginationError",
        "PendingChat",
        "PlugChatError",
        "PlugChatSession",
        "Problem",
        "ProxyAuthenticationError",
        "RateLimitedError",
        "RedirectedError",
        "RequestOptions",
        "RequestTimeoutError",
        "ResponseError",
        "ResponseTooLargeError",
        "RetryPolicy",
        "ServerError",
        "ServerTraits",
        "ServiceError",
        "SessionOptions",
        "SessionStateError",
        "Clock",
        "TokenError",
        "UnexpectedStatusError",
        "UnsupportedMediaTypeError",
        "WalkReport",
        "WatchOptions",
        "WatchState",
        "__version__",
        "export_many",
        "fetch_many",
        "merge_people",
        "read_accounts",
        "read_jsonl",
        "to_arrow",
        "to_pandas",
        "to_polars",
        "write_csv",
        "write_jsonl",
        "write_parquet",
        "write_xlsx",
    }
    assert all(hasattr(plugchat_async, name) for name in plugchat_async.__all__)


def loaded_by(code: str) -> set[str]:
    """The modules that a process has loaded after `code`."""
    code = f"{code}\nimport sys; print(*sys.modules)"
    return set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())


def test_importing_the_package_loads_none_of_it() -> None:
    """Nor any library: pytest imports it in every project where the plugin is installed."""
    bare = loaded_by("import importlib, typing")
    assert loaded_by("import plugchat_async, plugchat_async.testing") - bare == {
        "plugchat_async",
        "plugchat_async.testing",
    }


def test_nothing_optional_is_imported() -> None:
    """A session comes without the command line's libraries, without a server, and without what many accounts need."""
    loaded = loaded_by("from plugchat_async import PlugChatSession")
    optional = {"cyclopts", "rich", "uvloop", "pydantic", "pydantic_core", "pyarrow", "polars", "distributed"}
    optional |= {"pandas", "xlsxwriter"}
    optional |= {"plugchat_async.testing", "plugchat_async.cli"}
    # What is needed now and then is loaded then.
    optional |= {"aiolimiter", "plugchat_async.bulk", "plugchat_async.export", "plugchat_async.export.accounts"}
    assert not optional & loaded


@pytest.mark.parametrize(
    "name", ["write_jsonl", "read_jsonl", "read_accounts", "Account", "merge_people", "WatchState"]
)
def test_what_sends_nothing_loads_no_aiohttp(name: str) -> None:
    """It takes a fifth of a second."""
    assert "aiohttp" not in loaded_by(f"from plugchat_async import {name}")


PACKAGES = ["plugchat_async", "plugchat_async.bulk", "plugchat_async.export", "plugchat_async.testing"]


@pytest.mark.parametrize("package", PACKAGES)
def test_what_is_loaded_later_is_there(package: str) -> None:
    """As if it had been loaded at once: by name, in `dir`, by a star and for pickles. It is looked for only once."""
    code = f"""
import pickle, {package} as package
assert not set(package.__all__) - {{"__version__"}} & set(vars(package))
assert not hasattr(package, "no_such_name")
for name in package.__all__:
    assert name in dir(package)
    thing = getattr(package, name)
    assert vars(package)[name] is thing
    # A union has no name of its own (since CPython 3.14 it is "Union"), nor has a Literal.
    no_names = ("__version__", "ChatEvent", "ChatKind", "CsvDialect", "FileFormat")
    assert name in no_names or getattr(thing, "__name__", name) == name
    assert pickle.loads(pickle.dumps(thing)) == thing
from {package} import *
assert not set(package.__all__) - set(globals())
"""
    subprocess.run([sys.executable, "-c", code], check=True)


PUBLIC = {part_of(name_of(path)) for path in MODULES if not name_of(path).startswith("_")} - {"cli"}


@pytest.mark.parametrize("module", sorted(PUBLIC))
def test_modules_are_attributes_of_the_package(module: str) -> None:
    """`import plugchat_async` is enough to use them, and `dir` lists them."""
    code = f"import plugchat_async\nassert '{module}' in dir(plugchat_async)\nassert plugchat_async.{module}.__doc__"
    assert f"plugchat_async.{module}" in loaded_by(code)


def test_modules_are_of_a_size() -> None:
    """Over ~350 lines a module wants splitting."""
    assert {name_of(path) for path in MODULES if len(path.read_text().splitlines()) > 350} == set()
