"""A walk in one of its kinds, from its beginning or from a checkpoint."""

from plugchat_async._pagination.exact import pass_ahead, passes
from plugchat_async._pagination.plain import plain
from plugchat_async._pagination.sequential import WalkContext
from plugchat_async._pagination.state import WalkState
from plugchat_async._pagination.steps import Walk
from plugchat_async._pagination.strict import TOO_FAST, cover


def begin(state: WalkState, *, ahead: bool) -> None:
    """Say at which stage a new walk begins."""
    if state.consistency == "strict":
        state.stage = "cover"
    elif state.consistency == "exact":
        state.stage = "ahead" if ahead else "passes"


def walk(state: WalkState, context: WalkContext) -> Walk:
    """Walk on from where the walk stands. When it ends, the ledger says whether every chat is known to have been read.

    `standing` is kept true at each step, so that it is a checkpoint when a step fails.
    """
    stats = context.stats
    if state.stage == "pages":
        yield from plain(state, context)
        return
    if state.stage == "ahead":
        stats.verified = yield from pass_ahead(state, context)
        if stats.verified:
            return
        # The list moved, and pages were read in no known order. A cover needs none, and can be fetched ahead, too.
        state.begin_pass(None)
        state.stage = "cover"
    if state.stage == "cover":
        state.objection = yield from cover(state, context)
        stats.verified, stats.reason = not state.objection, state.objection
        if not state.objection or state.objection == TOO_FAST:
            return
        state.begin_pass(None)
        state.stage = "passes"
    yield from passes(state, context)
    if state.consistency == "strict":
        stats.verified, stats.reason = False, state.objection
