"""The tests' own order: which folders there are, and what functional tests may import."""

import ast
from pathlib import Path

import pytest

import plugchat_async

PACKAGE = Path(plugchat_async.__file__).parent
TESTS = Path(__file__).parents[1]
CONTRIBUTING = TESTS.parent / "CONTRIBUTING.md"
FOLDERS = {"unit", "functional", "properties", "external", "faults", "project", "support"}
# Modules for users, and the command line as the program that they start. All else of the package is private.
PUBLIC = {
    "plugchat_async",
    *(f"plugchat_async.{name}" for name in ("session", "models", "errors", "converter", "watch", "bulk", "export")),
    *(f"plugchat_async.{name}" for name in ("doctor", "testing", "testing.pytest_plugin", "cli.app", "__main__")),
    *(f"plugchat_async.integrations.{name}" for name in ("fastapi", "dask", "opentelemetry")),
}
FUNCTIONAL = sorted((TESTS / "functional").glob("*.py"))


def is_private(name: str) -> bool:
    """Return whether a module or a name of the package is not for users."""
    module, _, last = name.rpartition(".")
    if name.partition(".")[0] != "plugchat_async" or name in PUBLIC:
        return False
    is_module = (PACKAGE.parent / name.replace(".", "/")).with_suffix(".py").exists()
    return module not in PUBLIC or is_module or (last.startswith("_") and not last.startswith("__"))


def private_imports(code: str) -> list[str]:
    """Return what is imported of the package and is private, wherever it is imported."""
    found: list[str] = []
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found += [f"{node.module}.{alias.name}" for alias in node.names]
    return sorted(filter(is_private, found))


@pytest.mark.parametrize("path", FUNCTIONAL, ids=lambda path: path.stem)
def test_functional_tests_import_nothing_private(path: Path) -> None:
    """They use the package as its users do; what needs a private name is a unit test."""
    assert private_imports(path.read_text("utf-8")) == []


@pytest.mark.parametrize(
    ("code", "private"),
    [
        ("from plugchat_async import Chat, __version__", []),
        ("from plugchat_async.cli import app", []),
        ("from plugchat_async.integrations import dask", []),
        ("import plugchat_async.doctor", []),
        ("import json, plugchat_async._http.wire", ["plugchat_async._http.wire"]),
        ("def f():\n    from plugchat_async.bulk.workers import x", ["plugchat_async.bulk.workers.x"]),
        ("from plugchat_async.cli import output", ["plugchat_async.cli.output"]),
        ("from plugchat_async.integrations.dask import _x", ["plugchat_async.integrations.dask._x"]),
        ("from plugchat_async import _http", ["plugchat_async._http"]),
        ("from plugchat_async.export import csv_and_json", ["plugchat_async.export.csv_and_json"]),
    ],
)
def test_a_private_import_is_seen(code: str, private: list[str]) -> None:
    """At the top and inside of functions, of a module and of a name."""
    assert private_imports(code) == private


def test_folders_are_known() -> None:
    """Each has its line in CONTRIBUTING.md, and modules of tests are in one of them."""
    assert {path.name for path in TESTS.iterdir() if path.is_dir() and not path.name.startswith("__")} == FOLDERS
    text = CONTRIBUTING.read_text("utf-8")
    assert [name for name in sorted(FOLDERS) if f"`tests/{name}/`" not in text] == []
    assert list(TESTS.glob("test_*.py")) == []
