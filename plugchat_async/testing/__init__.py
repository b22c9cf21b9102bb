"""What users test their own code with: an honest server in the process, and faults to script it with."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from plugchat_async.testing.account import SimulatedAccount
    from plugchat_async.testing.faults import Fault
    from plugchat_async.testing.simulator import PlugChatSimulator, SimulatedRequest

# Loaded when it is asked for, as in the package above: pytest imports this one with the plugin that is in it.
_HOME = {
    "Fault": "faults",
    "PlugChatSimulator": "simulator",
    "SimulatedAccount": "account",
    "SimulatedRequest": "simulator",
}

__all__ = ["Fault", "PlugChatSimulator", "SimulatedAccount", "SimulatedRequest"]


if not TYPE_CHECKING:  # with it, type checkers would believe in any name

    def __getattr__(name: str) -> Any:
        if name not in _HOME:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = globals()[name] = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
