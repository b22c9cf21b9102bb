"""Test code against a simulated Plug Chat server on this machine, with scripted faults."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from plugchat_async.testing.account import SimulatedAccount
    from plugchat_async.testing.faults import Fault
    from plugchat_async.testing.quirks import Quirks
    from plugchat_async.testing.simulator import PlugChatSimulator, SimulatedRequest

# Loaded on first use, as in `plugchat_async`: pytest imports this package in every run, because of the plugin in it.
_HOME = {
    "Fault": "faults",
    "PlugChatSimulator": "simulator",
    "Quirks": "quirks",
    "SimulatedAccount": "account",
    "SimulatedRequest": "simulator",
}

__all__ = ["Fault", "PlugChatSimulator", "Quirks", "SimulatedAccount", "SimulatedRequest"]


if not TYPE_CHECKING:  # type checkers would accept any name

    def __getattr__(name: str) -> Any:
        if name not in _HOME:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = globals()[name] = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
