"""Load the modules of a package when their names are first used (PEP 562)."""

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def lazy_names(
    package: str, names: Mapping[str, tuple[str, ...]]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return `__getattr__` and `__dir__` of a package whose modules are loaded when they are needed.

    Args:
        package: The name of the package.
        names: The names of each module, by the name of the module in the package.
    """
    module_of = {name: module for module, found in names.items() for name in found}

    def get(name: str) -> Any:
        if name not in module_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        # Kept in the package, so that this is done once for each name.
        value = vars(sys.modules[package])[name] = getattr(import_module(f"{package}.{module_of[name]}"), name)
        return value

    def list_names() -> list[str]:
        return sorted({*vars(sys.modules[package]), *module_of})

    return get, list_names
