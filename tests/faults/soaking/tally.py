"""The tally: how walks end, what comes of them, and what is violated."""

import pickle
from collections import Counter
from collections.abc import Iterable
from typing import Any

from faults.soaking.accounts import MARK, Known
from faults.soaking.listening import traced
from faults.soaking.plants import Plants
from faults.soaking.walk import Walk
from plugchat_async import PlugChatError, SessionStateError
from plugchat_async._pagination.walk_state import Consistency


class Tally:
    """Counts walks and their ends, and notes what is violated."""

    def __init__(self, plants: Plants) -> None:
        self.plants = plants
        self.started = 0
        self.ended: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()
        self.under_way = self.most_under_way = 0
        self.chats = self.resumed = self.pages = 0
        self.stops: Counter[str] = Counter()
        self.violations: Counter[str] = Counter()
        # What is wrong with plain walks, by token: if the server refused a page, they took that for the end.
        self.doubts: dict[str, str] = {}

    def violated(self, what: str) -> None:
        self.violations[what] += 1

    def violated_by(self, several: Iterable[str]) -> None:
        for what in several:
            self.violated(what)

    def begin(self, known: Known, consistency: Consistency) -> Walk:
        self.started += 2 if self.plants.take("count") else 1
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        return Walk(known, consistency)

    def finish(self, walk: Walk, error: BaseException | None, *, cancelled: bool = False) -> None:
        """Count a walk, and check what came of it."""
        self.under_way -= 1
        end = self.end(walk, error, cancelled=cancelled)
        whole = end.startswith("whole")
        if whole and walk.verified and len(walk.keys) > 1 and self.plants.take("chat"):
            walk.keys.pop()
        self.ended[end] += 1
        self.resumed += whole and walk.resumed
        self.chats += len(walk.keys)
        walk.known.pages += sum(report.pages for report in walk.reports)
        wrong = walk.wrong(whole=whole)
        if wrong and whole and walk.is_plain_and_quiet:
            self.doubts[walk.known.spec.token] = wrong
        elif wrong:
            self.violated(wrong)

    def end(self, walk: Walk, error: BaseException | None, *, cancelled: bool) -> str:
        """Say how a walk has ended, and check that it was to end so."""
        if cancelled:
            if "cancelled" not in walk.told:
                self.violated("a walk was cancelled that nobody had cancelled")
            return "cancelled"
        if isinstance(error, PlugChatError):
            self.look_at(error)
            self.errors[type(error).__name__] += 1
            if not isinstance(error, SessionStateError):
                return "failed"
            if "closed" not in walk.told:
                self.violated("a session was closed that nobody had closed")
            return "closed"
        if error is not None:
            self.violated(f"a foreign error came out: {traced(error)}")
            return "foreign"
        if walk.left:
            return "left"
        return "whole" if walk.verified or walk.consistency == "plain" else "whole, unverified"

    def look_at(self, error: PlugChatError) -> None:
        if MARK in str(error) + repr(error) or MARK.encode() in pickle.dumps(error):
            self.violated(f"a token is in the text of {type(error).__name__}")

    def add_up(self, told: dict[str, Any], accounts: Iterable[Known]) -> None:
        """Compare what was counted with what the simulator has told."""
        for violation in told["violations"]:
            self.violated(violation)
        for token, wrong in self.doubts.items():
            if token not in told["refused"]:
                self.violated(wrong)
        if self.under_way or self.started != self.ended.total():
            self.violated(f"{self.started} walks began, and {self.ended.total()} ended")
        for known in accounts:
            self.pages += known.pages
            if known.pages > told["asked"].get(known.spec.token, 0):
                self.violated("walks read more pages of an account than were asked for")
