"""The house: imports point one way, the surface is small, nothing optional is loaded."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import plugchat_async

PACKAGE = Path(plugchat_async.__file__).parent

# Top to bottom: a module imports only from modules above it.
ORDER = [
    "_evidence",
    "_json",
    "_wire_values",
    "errors",
    "_extras",
    "models",
    "_people",
    "_arguments",
    "_names",
    "_formats",
    "_packing",
    "_secret",
    "_wire",
    "_fast_lane",
    "_decode",
    "converter",
    "_gateway_errors",
    "_account_status",
    "_retry",
    "_repair",
    "_walk.standing",
    "_walk.steps",
    "_walk.sizes",
    "_walk.pages",
    "_walk.plain",
    "_walk.exact",
    "_walk.strict",
    "_walk.walker",
    "_walk",
    "_source",
    "_files",
    "_manifest",
    "_ahead",
    "_alarm",
    "_token",
    "_failures",
    "_transport",
    "_limits",
    "_telemetry",
    "_page_work",
    "_exchange",
    "_commons",
    "_driver",
    "_snapshot",
    "_life",
    "watch",
    "_watcher",
    "session",
    "accounts",
    "_crew",
    "bulk",
    "_parquet",
    "export",
    "bulk_export",
    "integrations",
    "integrations.cluster",
    "integrations.dask",
    "integrations.problems",
    "integrations.chat_stream",
    "integrations.fastapi",
    "integrations.opentelemetry",
    "testing.dialects",
    "testing.people",
    "testing.account",
    "testing.faults",
    "testing.quirks",
    "testing.answers",
    "testing.simulator",
    "testing",
    "_doctor",
    "_doctor.findings",
    "_doctor.shapes",
    "_doctor.reach",
    "_doctor.probe",
    "_doctor.judge_rows",
    "_doctor.judge_chats",
    "_doctor.judge_paging",
    "_doctor.judge_phone",
    "_doctor.paging",
    "_doctor.examination",
    "doctor",
    "__init__",
    "testing.pytest_plugin",
    "console",
    "cli_progress",
    "demo",
    "cli_options",
    "cli_problems",
    "cli_bulk",
    "cli_doctor",
    "cli_simulate",
    "cli_status",
    "cli_watch",
    "cli",
    "__main__",
]
MODULES = sorted(PACKAGE.rglob("*.py"))


def name_of(path: Path) -> str:
    relative = path.relative_to(PACKAGE).with_suffix("")
    parts = relative.parts[:-1] if relative.name == "__init__" and len(relative.parts) > 1 else relative.parts
    return ".".join(parts)


PURE = [
    path
    for path in MODULES
    if name_of(path).partition(".")[0]
    in {
        "_arguments",
        "_names",
        "_formats",
        "_packing",
        "_secret",
        "_wire",
        "_json",
        "_wire_values",
        "_fast_lane",
        "_decode",
        "_people",
        "converter",
        "_gateway_errors",
        "_account_status",
        "models",
        "_retry",
        "_repair",
        "_walk",
    }
    | {"_snapshot"}
]


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
def test_imports_point_up(path: Path) -> None:
    """A module knows only those that stand above it."""
    name = name_of(path)
    for module in imports(path):
        if module.partition(".")[0] == "plugchat_async":
            imported = module.removeprefix("plugchat_async").lstrip(".") or "__init__"
            assert ORDER.index(imported) < ORDER.index(name), f"{name} imports {imported}"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_libraries_stay_in_their_rooms(path: Path) -> None:
    """aiohttp only where requests are sent or served, cattrs only where JSON is read, rich only on the command line."""
    name = name_of(path)
    rooms = {
        "aiohttp": {
            "_failures",
            "_transport",
            "_commons",
            "session",
            "testing.faults",
            "testing.answers",
            "testing.simulator",
        },
        "aiolimiter": {"_limits"},
        "cattrs": {"converter", "_decode"},
        "msgspec": {
            *(
                "_json",
                "_fast_lane",
                "_decode",
                "models",
                "_formats",
                "_packing",
                "_manifest",
                "_snapshot",
                "bulk_export",
            ),
            *("_walk.standing", "_walk.steps", "_walk.pages", "_retry", "_repair", "_transport"),
            "_gateway_errors",
        },
        "pyarrow": {"_parquet", "export", "integrations.dask"},
        "polars": {"export"},
        "distributed": {"integrations.cluster", "integrations.dask"},
        "cyclopts": {"cli", "cli_simulate", "cli_bulk", "cli_doctor", "cli_options", "cli_status", "cli_watch"},
        "rich": {"cli_progress", "console", "demo"},
        "uvloop": {"cli_options"},
        "fastapi": {"integrations.chat_stream", "integrations.fastapi", "integrations.problems"},
        "starlette": {"integrations.chat_stream", "integrations.fastapi", "integrations.problems"},
        "pydantic": {"integrations.fastapi"},
        "opentelemetry": {"integrations.opentelemetry"},
        "pytest": {"testing.pytest_plugin"},
    }
    for module in imports(path):
        library = module.partition(".")[0]
        assert name in rooms.get(library, {name}), f"{name} imports {library}"


@pytest.mark.parametrize("path", PURE, ids=name_of)
def test_pure_modules_do_not_wait_or_look_at_the_clock(path: Path) -> None:
    """No await, no time, no randomness of their own."""
    assert not imports(path) & {"asyncio", "time", "random", "aiohttp"}
    tree = ast.parse(path.read_text())
    assert not any(isinstance(node, ast.Await | ast.AsyncFunctionDef) for node in ast.walk(tree))


def test_the_public_surface_is_pinned() -> None:
    """A name that comes or goes is a decision."""
    assert plugchat_async.__all__ == sorted(plugchat_async.__all__, key=lambda name: (not name.isupper(), name))
    assert set(plugchat_async.__all__) == {
        "AccessDeniedError",
        "Account",
        "AccountExport",
        "AccountResult",
        "AccountStatus",
        "Attempt",
        "AuthenticationError",
        "BulkOptions",
        "Chat",
        "ChatAdded",
        "ChatChanged",
        "ChatEvent",
        "ChatKind",
        "ChatRemoved",
        "ChatsOptions",
        "ConfigurationError",
        "ConnectionFailedError",
        "ConsistencyError",
        "DecodeError",
        "ExportSummary",
        "FOREVER",
        "InvalidTypeError",
        "InvalidValueError",
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
        "PlugChatError",
        "PlugChatSession",
        "Problem",
        "RateLimitedError",
        "RedirectedError",
        "RequestTimeoutError",
        "ResponseError",
        "ResponseTooLargeError",
        "RetryPolicy",
        "ServerError",
        "ServiceError",
        "SessionOptions",
        "SessionStateError",
        "TimeSource",
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
        "to_polars",
        "write_csv",
        "write_jsonl",
        "write_parquet",
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
    optional = {"cyclopts", "rich", "uvloop", "pydantic", "pyarrow", "polars", "distributed"}
    optional |= {"plugchat_async.testing", "plugchat_async.cli"}
    # What is needed now and then is loaded then.
    optional |= {"aiolimiter", "plugchat_async.bulk", "plugchat_async.export", "plugchat_async.bulk_export"}
    assert not optional & loaded


@pytest.mark.parametrize("package", ["plugchat_async", "plugchat_async.testing"])
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
    # A union has no name, and none of its own when it is unpickled; a Literal has none of its own, either.
    assert name in ("__version__", "ChatKind") or getattr(thing, "__name__", name) == name
    assert pickle.loads(pickle.dumps(thing)) == thing
from {package} import *
assert not set(package.__all__) - set(globals())
"""
    subprocess.run([sys.executable, "-c", code], check=True)


# What a program has no use for: the command line's modules.
PROGRAM = {
    *("cli", "cli_bulk", "cli_doctor", "cli_options", "cli_problems", "cli_progress", "cli_simulate"),
    *("cli_status", "cli_watch", "console", "demo"),
}
PUBLIC = {name_of(path).partition(".")[0] for path in MODULES if not name_of(path).startswith("_")} - PROGRAM


@pytest.mark.parametrize("module", sorted(PUBLIC))
def test_modules_are_attributes_of_the_package(module: str) -> None:
    """`import plugchat_async` is enough to use them, and `dir` lists them."""
    code = f"import plugchat_async\nassert '{module}' in dir(plugchat_async)\nassert plugchat_async.{module}.__doc__"
    assert f"plugchat_async.{module}" in loaded_by(code)


def test_modules_are_of_a_size() -> None:
    """Over ~350 lines a module wants splitting."""
    assert {name_of(path) for path in MODULES if len(path.read_text().splitlines()) > 350} == set()
