"""States as the texts that are saved."""

from collections.abc import Iterable

from attrs import AttrsInstance

from plugchat_async._internal.steps import finish
from plugchat_async._pagination.checkpoint import CheckpointPacker
from plugchat_async._pagination.walk_state import WalkState
from plugchat_async.watch.snapshot import Snapshot
from plugchat_async.watch.state_text import pack


def packed_walk(state: WalkState, pending: Iterable[AttrsInstance] = ()) -> str:
    """The checkpoint of a state that a test has made."""
    return CheckpointPacker(state).pack(pending)


def packed_snapshot(snapshot: Snapshot) -> str:
    return finish(pack(snapshot))
