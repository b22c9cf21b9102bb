"""What is said where a library is not installed that an extra brings."""

import sys
from importlib import import_module
from pathlib import Path

import pytest

from plugchat_async import MissingExtraError
from plugchat_async._optional_extras import needing

NEEDS = {
    "dask": ("distributed", "dask"),
    "dask.cluster": ("distributed", "dask"),
    "dask.export": ("distributed", "dask"),
    "dask.worker": ("distributed", "dask"),
    "fastapi": ("fastapi", "fastapi"),
    "opentelemetry": ("opentelemetry", "otel"),
    **dict.fromkeys(
        (
            *("fastapi.dependencies", "fastapi.encoders", "fastapi.lifespan", "fastapi.log"),
            *("fastapi.openapi", "fastapi.problems", "fastapi.stream"),
        ),
        ("fastapi", "fastapi"),
    ),
}


@pytest.mark.parametrize("name", NEEDS)
def test_each_integration_names_its_extra(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As it is imported; with an error that those who do without can catch as an ImportError."""
    library, extra = NEEDS[name]
    for loaded in [module for module in sys.modules if module.startswith("plugchat_async.integrations.")]:
        monkeypatch.delitem(sys.modules, loaded)
    for loaded in [module for module in sys.modules if module.partition(".")[0] == library]:
        monkeypatch.setitem(sys.modules, loaded, None)
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(ImportError) as caught:
        import_module(f"plugchat_async.integrations.{name}")
    assert isinstance(caught.value, MissingExtraError)
    assert f" needs {library}." in str(caught.value)
    assert str(caught.value).endswith(f"Install the extra: pip install 'plugchat-async[{extra}]'.")
    assert caught.value.__suppress_context__


def test_the_integrations_are_all_here() -> None:
    """Each module of them says what it needs."""
    folder = Path(import_module("plugchat_async.integrations").__path__[0])
    modules = {path.relative_to(folder).with_suffix("") for path in folder.rglob("*.py")}
    assert {".".join(module.parts).removesuffix("__init__").rstrip(".") for module in modules} - {""} == NEEDS.keys()


def test_other_failures_of_an_import_are_left_alone() -> None:
    """A library that is there, but broken, is nothing that an extra mends."""
    with pytest.raises(ImportError, match="^broken$") as caught, needing("x", "this"):
        raise ImportError("broken")
    assert not isinstance(caught.value, MissingExtraError)
