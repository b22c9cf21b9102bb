"""The state of a walk: all that it needs to continue, in this process or in another one."""

from collections.abc import Generator
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from attrs import define, field, frozen

from plugchat_async._pagination.kept_chats import YieldedChats
from plugchat_async._pagination.seen_keys import SeenKeys

Consistency = Literal["exact", "strict", "plain"]
StopOn = Literal["short", "empty"]
Stage = Literal["pages", "ahead", "passes", "windows"]

_Time = Annotated[datetime, msgspec.Meta(tz=True)] | None


@frozen(kw_only=True)
class WalkConfig:
    """How the caller wants the list to be read.

    Attributes:
        path: The path of the call that lists, below the base URL.
        consistency, page_size, stop_on, start_page: As for `PlugChatSession.walk_chats`.
        max_page_size: The same, 0 in checkpoints that do not have it.
    """

    path: str
    page_size: int
    consistency: Consistency = "exact"
    stop_on: StopOn = "short"
    start_page: int = 1
    max_page_size: int | None = 0


@define(kw_only=True)
class PassState:
    """What is known of the pass that is being read. Times are `last_message_time` of chats.

    Attributes:
        bound: The pass ends at chats that are older than this (None: at the end of the list).
        newest: A time that is not newer than any message that comes during the pass, see `safe_newest`.
        oldest: The oldest time at the end of a page.
        ordered: Whether all pages so far are sorted by time, and follow each other; chats without a time aside.
        countable: Whether all pages but the last were full.
        rows_read: The number of places of the list down to the end of the last page.
        copies: The number of rows that were equal to another row of their page.
    """

    bound: _Time = None
    newest: _Time = None
    oldest: _Time = None
    ordered: bool = True
    countable: bool = True
    rows_read: int = 0
    copies: int = 0


@define(kw_only=True)
class WindowState:
    """What is known of the windows that are being read, see `strict`.

    Attributes:
        position: The place in the list that the windows have come down to.
        overlap: The number of chats by which the next window overlaps, at least.
        tie_count: The number of rows at the end of the last window that the next one must begin with.
        oldest: The oldest time so far.
        tail: The last rows of the last window, see `tail_of`, of a walk that was resumed there.
        last_rows: The same rows as chats, with their keys, of a window that was read since. `tail_of` makes `tail` of
            them for a checkpoint.
        failure: Why windows prove nothing for this list, or "".
    """

    position: int = 0
    overlap: int = 0
    tie_count: int = 1
    oldest: _Time = None
    tail: list[tuple[str, _Time]] = field(factory=list[tuple[str, _Time]], repr=False)
    failure: str = ""
    last_rows: list[tuple[str, Any]] = field(factory=list[tuple[str, Any]], eq=False, repr=False)


@define(kw_only=True)
class WalkState:
    """The state of a walk, true at each request: it is the checkpoint if the request fails.

    Attributes:
        config: How the caller wants the list to be read.
        size: The number of chats to ask for: `page_size`, the cap of the server, or more once there is a doubt.
        stage: The walker that is at work.
        page: The page that is read next.
        passes: The number of passes that are done.
        seen: The keys of all chats that were read, see `key_of`. "plain" keeps none. A checkpoint has them in no order.
        several: For each key that several chats have, how many of them were read.
        delivered: The number of chats that these keys came from.
        labels: For each key, numbers that tell the chats of it that were yielded from others, see `label_of`. Of lists
            that are not long.
        other_names: For each key of which a row had a name that no chat of it had been yielded with until then, numbers
            that stand for these names, see `name_of`. Of lists that are not long, in `strict`.
        since: A time that is not newer than any message that came during the walk.
        scan: The pass that is being read.
        windows: The windows that are being read.
        old_keys: Whether `seen` has phones without lid and name, from a checkpoint of an older version.
        yielded: The chats that were yielded, of a list that is not long. A checkpoint has their labels.
        pending: Chats that were read, but not yet given to the caller. Filled in for a checkpoint only.
        salt: The key of `account`.
        account: The fingerprint of the account, see `account_mark`. None before the first answer, and in checkpoints
            of older versions.
    """

    config: WalkConfig
    size: int
    stage: Stage = "pages"
    page: int = 1
    passes: int = 0
    seen: SeenKeys = field(factory=SeenKeys)
    several: dict[str, int] = field(factory=dict[str, int], repr=False)
    delivered: int = 0
    labels: dict[str, list[int]] = field(factory=dict[str, list[int]], repr=False)
    other_names: dict[str, list[int]] = field(factory=dict[str, list[int]], repr=False)
    since: _Time = None
    scan: PassState = field(factory=PassState)
    windows: WindowState = field(factory=WindowState)
    old_keys: bool = False
    yielded: YieldedChats = field(factory=YieldedChats, repr=False)
    pending: list[dict[str, Any]] = field(factory=list[dict[str, Any]], repr=False)
    salt: str | None = None
    account: str | None = None

    @classmethod
    def at_start(cls, config: WalkConfig, *, ahead: bool) -> "WalkState":
        """Return the state of a walk that has not read anything.

        Args:
            config: How the list is to be read.
            ahead: Whether pages may be prefetched.
        """
        stage: Stage = "pages"
        if config.consistency == "strict":
            stage = "windows"
        elif config.consistency == "exact":
            stage = "ahead" if ahead else "passes"
        return cls(config=config, size=config.page_size, stage=stage, page=config.start_page)

    def begin_pass(self, bound: datetime | None) -> None:
        """Begin another pass."""
        self.since = self.since or self.scan.newest
        self.passes += 1
        self.scan.bound = bound
        self.restart_pass()

    def restart_pass(self) -> None:
        """Begin the same pass again."""
        self.page = 1
        self.scan = PassState(bound=self.scan.bound)
        self.windows = WindowState(overlap=self.windows.overlap, failure=self.windows.failure)

    def free(self) -> Generator[None]:
        """Free the keys of a long list in steps."""
        yield from self.seen.free()
