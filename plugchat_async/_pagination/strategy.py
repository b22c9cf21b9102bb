"""A walk in one of its kinds, from its beginning or from a checkpoint."""

from plugchat_async._pagination.exact import pass_ahead, passes
from plugchat_async._pagination.plain import plain
from plugchat_async._pagination.sequential import Terms
from plugchat_async._pagination.state import Standing
from plugchat_async._pagination.steps import Walk
from plugchat_async._pagination.strict import TOO_FAST, cover


def begin(standing: Standing, *, ahead: bool) -> None:
    """Say at which stage a new walk begins."""
    if standing.consistency == "strict":
        standing.stage = "cover"
    elif standing.consistency == "exact":
        standing.stage = "ahead" if ahead else "passes"


def walk(standing: Standing, terms: Terms) -> Walk:
    """Walk on from where the walk stands. When it ends, the ledger says whether every chat is known to have been read.

    `standing` is kept true at each step, so that it is a checkpoint when a step fails.
    """
    ledger = terms.ledger
    if standing.stage == "pages":
        yield from plain(standing, terms)
        return
    if standing.stage == "ahead":
        ledger.verified = yield from pass_ahead(standing, terms)
        if ledger.verified:
            return
        # The list moved, and pages were read in no known order. A cover needs none, and can be fetched ahead, too.
        standing.begin_pass(None)
        standing.stage = "cover"
    if standing.stage == "cover":
        standing.objection = yield from cover(standing, terms)
        ledger.verified, ledger.reason = not standing.objection, standing.objection
        if not standing.objection or standing.objection == TOO_FAST:
            return
        standing.begin_pass(None)
        standing.stage = "passes"
    yield from passes(standing, terms)
    if standing.consistency == "strict":
        ledger.verified, ledger.reason = False, standing.objection
