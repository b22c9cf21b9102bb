"""What users test their own code with: an honest server in the process, and faults to script it with."""

from plugchat_async.testing.account import SimulatedAccount
from plugchat_async.testing.faults import Fault
from plugchat_async.testing.simulator import PlugChatSimulator, SimulatedRequest

__all__ = ["Fault", "PlugChatSimulator", "SimulatedAccount", "SimulatedRequest"]
