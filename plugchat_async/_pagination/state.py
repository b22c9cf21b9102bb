"""Where a walk stands: all that it must know to go on, in this process or in another."""

from datetime import datetime
from typing import Annotated, Literal

import msgspec
from attrs import define, field, fields

from plugchat_async._http.urls import CHATS_PATH
from plugchat_async._internal.serialization import from_text, to_text
from plugchat_async.errors import InvalidValueError

Consistency = Literal["exact", "strict", "plain"]
StopOn = Literal["short", "empty"]
Stage = Literal["pages", "ahead", "passes", "cover"]

CHECKPOINT_VERSION = 1

_Time = Annotated[datetime, msgspec.Meta(tz=True)] | None


@define(kw_only=True)
class WalkState:
    """Where a walk stands. Times are those of chats, `last_message_time`.

    consistency, page_size, stop_on, start_page: as the caller gave them. path: of the call that is walked.
    size: chats to ask for at a time: `page_size`, or the cap that the server has.
    stage: which walker is at work. number: the page that is read next. phase: how many passes are behind.
    seen: the keys of all chats that were delivered, see `key_of`; "plain" keeps none. delivered: how many chats they
    were, which is more if a page held the same key twice; unreadable rows are among them.

    Of the pass that is under way:
    bound: it ends at chats older than this (None: at the end of the list). newest: the newest time on its first page.
    oldest: the oldest time that ends one of its pages. repeated: a chat was read in two of its pages. ordered: nothing
    speaks against the list being sorted by time. countable: each page but the last was full. short: a page was not.
    places: how many chats were read.

    Of a cover:
    frontier: everything newer was read (None: nothing was). end: how many places of the list the windows went down.
    margin: by how many chats the next window overlaps at least. tied: how many chats at the end of the last window
    have its last time. objection: why there can be no cover.
    """

    consistency: Consistency
    page_size: int
    stop_on: StopOn = "short"
    start_page: int = 1
    path: str = CHATS_PATH
    size: int
    stage: Stage = "pages"
    number: int = 1
    phase: int = 0
    seen: set[str] = field(factory=set[str], repr=False)
    delivered: int = 0

    bound: _Time = None
    newest: _Time = None
    oldest: _Time = None
    repeated: bool = False
    ordered: bool = True
    countable: bool = True
    short: bool = False
    places: int = 0

    frontier: _Time = None
    end: int = 0
    margin: int = 0
    tied: int = 1
    objection: str = ""

    def begin_pass(self, bound: datetime | None) -> None:
        """Stand at the beginning of another pass."""
        self.phase += 1
        self.bound = bound
        self.restart_pass()

    def restart_pass(self) -> None:
        """Stand at the beginning of the pass again."""
        self.number = 1
        self.newest = self.oldest = self.frontier = None
        self.repeated = self.short = False
        self.ordered = self.countable = True
        self.end = self.places = 0
        self.tied = 1


def pack(state: WalkState) -> str:
    """Give a checkpoint: a text that `unpack` reads, some bytes for each chat that was seen."""
    told = {a.name: value for a in fields(WalkState) if (value := getattr(state, a.name)) != a.default}
    # Sorted, neighbours share their beginnings: that is what makes it small.
    told["seen"] = sorted(state.seen)
    return to_text(CHECKPOINT_VERSION, told)


def unpack(text: str, path: str = CHATS_PATH) -> WalkState:
    """Read a checkpoint of a call. InvalidValueError if it is none, or one of another call or of another version."""
    hint = "Give the `checkpoint` of an error as it was; without one, begin anew."
    state = from_text(text, {CHECKPOINT_VERSION: WalkState}, name="resume", what="a checkpoint", hint=hint)
    counted_from_1 = (state.page_size, state.size, state.number, state.start_page, state.tied)
    if min(counted_from_1) < 1 or min(state.phase, state.end, state.margin) < 0:
        raise InvalidValueError("resume is not a checkpoint", hint)
    if state.path != path:
        raise InvalidValueError(f"resume is a checkpoint of {state.path[:40]}, not of {path}", hint)
    return state
