"""In which order to ask for pages, and when to stop: one file a kind of walk. Nothing here does I/O."""

from plugchat_async._pagination.sequential import WalkContext, WalkStats
from plugchat_async._pagination.server_traits import ServerTraits
from plugchat_async._pagination.state import Consistency, StopOn, WalkState, pack, unpack
from plugchat_async._pagination.steps import FetchPage, PeekPage, Step, Walk, YieldPage, advance
from plugchat_async._pagination.strategy import begin, walk

__all__ = [
    "Consistency",
    "FetchPage",
    "PeekPage",
    "ServerTraits",
    "Step",
    "StopOn",
    "Walk",
    "WalkContext",
    "WalkState",
    "WalkStats",
    "YieldPage",
    "advance",
    "begin",
    "pack",
    "unpack",
    "walk",
]
