"""Choose the walker for a walk, from its start or from a checkpoint."""

from plugchat_async._pagination.exact import pass_ahead, passes
from plugchat_async._pagination.plain import plain
from plugchat_async._pagination.strict import TOO_FAST, scan_windows
from plugchat_async._pagination.until_last_page import WalkContext
from plugchat_async._pagination.walk_state import WalkState
from plugchat_async._pagination.walk_steps import Walk


def walk(state: WalkState, context: WalkContext) -> Walk:
    """Continue a walk from its state. At its end, `context.stats` has whether no chat can have been missed.

    The state is true at each request, so that it is a checkpoint if the request fails.
    """
    stats = context.stats
    if state.stage == "pages":
        yield from plain(state, context)
        return
    if state.stage == "ahead":
        stats.verified = yield from pass_ahead(state, context)
        if stats.verified:
            return
        # The list moved, and pages were read in no known order. Windows need none, and can be prefetched, too.
        state.begin_pass(None)
        state.stage = "windows"
    if state.stage == "windows":
        state.windows.failure = yield from scan_windows(state, context)
        stats.verified, stats.reason = not state.windows.failure, state.windows.failure
        if not state.windows.failure or state.windows.failure == TOO_FAST:
            return
        state.begin_pass(None)
        state.stage = "passes"
    yield from passes(state, context)
    if state.config.consistency == "strict":
        stats.verified, stats.reason = False, state.windows.failure
