"""Choose the walker for a walk, from its start or from a checkpoint."""

from plugchat_async._pagination.exact import AMBIGUOUS, passes
from plugchat_async._pagination.plain import plain
from plugchat_async._pagination.remember import Remembered
from plugchat_async._pagination.server_traits import size_up_to
from plugchat_async._pagination.strict import TOO_FAST, scan_windows
from plugchat_async._pagination.walk_context import EMPTY, WalkContext
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
    remembered = Remembered(state, context)
    if state.stage == "windows":
        failure = yield from scan_windows(state, context, remembered)
        stats.reason = failure
        if failure in ("", EMPTY):
            stats.verified = stats.verified or not failure
            return
        state.windows.failure = failure
        if failure in (TOO_FAST, AMBIGUOUS):
            return
        state.size = size_up_to(context.traits, state.config.page_size)
        state.begin_pass(None)
        state.stage = "passes"
    yield from passes(state, context, remembered)
    if state.config.consistency == "strict":
        stats.verified, stats.reason = False, state.windows.failure
