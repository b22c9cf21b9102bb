"""In which order to ask for pages, and when to stop: one file a kind of walk. Nothing here does I/O."""

from plugchat_async._walk.pages import Ledger, Terms
from plugchat_async._walk.sizes import PageSizes
from plugchat_async._walk.standing import Consistency, Standing, StopOn, pack, unpack
from plugchat_async._walk.steps import Deliver, Fetch, Peek, Step, Walk, advance
from plugchat_async._walk.walker import begin, walk

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
