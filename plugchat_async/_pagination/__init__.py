"""In which order to ask for pages, and when to stop: one file a kind of walk. Nothing here does I/O."""

from plugchat_async._pagination.sequential import Ledger, Terms
from plugchat_async._pagination.server_traits import PageSizes
from plugchat_async._pagination.state import Consistency, Standing, StopOn, pack, unpack
from plugchat_async._pagination.steps import Deliver, Fetch, Peek, Step, Walk, advance
from plugchat_async._pagination.strategy import begin, walk

__all__ = [
    "Consistency",
    "Deliver",
    "Fetch",
    "Ledger",
    "PageSizes",
    "Peek",
    "Standing",
    "Step",
    "StopOn",
    "Terms",
    "Walk",
    "advance",
    "begin",
    "pack",
    "unpack",
    "walk",
]
