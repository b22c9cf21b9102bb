"""Checkpoints: the state of a walk as a text, to resume it in this process or in another one."""

from collections import Counter
from collections.abc import Generator, Iterable
from datetime import datetime
from typing import Any, Final, Literal, TypeVar

import msgspec
from attrs import Attribute, AttrsInstance, asdict, define, evolve, field, fields, has

from plugchat_async._internal.serialization import PackedText, from_text
from plugchat_async._internal.steps import finish
from plugchat_async._pagination.anchors import tail_of
from plugchat_async._pagination.kept_chats import YieldedChats
from plugchat_async._pagination.same_chat import label_of
from plugchat_async._pagination.seen_keys import SeenKeys, seen_keys_from
from plugchat_async._pagination.walk_state import (
    Consistency,
    PassState,
    Stage,
    StopOn,
    WalkConfig,
    WalkState,
    WindowState,
)
from plugchat_async.errors import InvalidValueError

T = TypeVar("T")

VERSION = 3
# More of them would be packed better, by a tenth at the most, but keep the event loop.
_KEYS_AT_ONCE: Final = 2000
_LABELS_AT_ONCE: Final = 500
HINT = "Pass the `checkpoint` of an error or of a walk unchanged, or leave out `resume` to start again."


@define(eq=False, repr=False)
class CheckpointPacker:
    """Makes the checkpoints of a walk: texts that `unpack` reads, with some bytes for each chat that was seen.

    Of a long list, what was packed for one checkpoint is not packed again for the next one.

    Attributes:
        state: The state of the walk.
        _text: The keys that were packed. None: the list is short, and packing takes 90 kB or more.
        _packed: How many there are.
        _labels: The labels of chats that were yielded, by key.
        _labelled: How many pages of chats they are of.
    """

    _state: WalkState
    _text: PackedText | None = field(default=None, init=False)
    _packed: int = field(default=0, init=False)
    _labels: dict[str, list[int]] = field(factory=dict[str, list[int]], init=False)
    _labelled: int = field(default=0, init=False)

    def pack_keys(self) -> Generator[None, None, None]:
        """Pack the keys of a long list ahead, and find the labels, in steps of a few milliseconds."""
        seen = self._state.seen
        if self._text is None and len(seen) > _KEYS_AT_ONCE:
            self._text = _begin()
        while self._text is not None and (new := seen.after(begin := self._packed)):
            while self._packed - begin < len(new):  # another checkpoint may pack some of them meanwhile
                # Sorted, neighbours have the same first digits, and compress well.
                keys = sorted(new[self._packed - begin :][:_KEYS_AT_ONCE])
                self._text.add((b"," if self._packed else b"") + msgspec.json.encode(keys)[1:-1])
                self._packed += len(keys)
                yield
        yield from self._note_labels()

    def pack(self, pending: Iterable[AttrsInstance] = ()) -> str:
        """Return the checkpoint.

        Args:
            pending: Chats that were read, but not yielded.
        """
        finish(self.pack_keys())
        state, text = self._state, self._text
        if text is None:
            text = _begin()
            text.add(msgspec.json.encode(sorted(state.seen))[1:-1])
        rows = [msgspec.to_builtins(asdict(chat, recurse=False)) for chat in pending]
        labels = self._labels
        if state.labels:
            labels = {key: [*state.labels.get(key, ()), *labels.get(key, ())] for key in {*state.labels, *labels}}
        windows = evolve(state.windows, tail=tail_of(state.windows), last_rows=[])
        rest = evolve(state, pending=rows or state.pending, labels=labels, windows=windows)
        rest.yielded, rest.seen = YieldedChats(), SeenKeys()
        return text.finish(b"]," + msgspec.json.encode(_without_defaults(rest))[1:])

    def _note_labels(self) -> Generator[None, None, None]:
        pages = self._state.yielded.pages
        if not pages:
            self._labels.clear()  # the list is long
            self._labelled = 0
        made = 0
        while (number := self._labelled) < len(pages):
            page, labels = pages[number], list[int]()
            for chat in (yield from page.read_in_steps()):
                labels.append(label_of(chat))
                made += 1
                if made % _LABELS_AT_ONCE == 0:
                    yield
            if self._labelled == number:  # else another checkpoint has them
                self._labelled += 1
                for key, label in zip(page.keys, labels, strict=True):
                    self._labels.setdefault(key, []).append(label)


def _begin() -> PackedText:
    text = PackedText(VERSION)
    text.add(b'{"seen":[')
    return text


def unpack(text: str, path: str) -> WalkState:
    """Return the state of a checkpoint.

    Args:
        text: What `pack` returned, now or with an older version of this package.
        path: The path of the call that is walked.

    Raises:
        InvalidValueError: The text is not a checkpoint, or it is one of another call or of a newer version.
    """
    kinds: dict[int, type[WalkState | _Version2 | _Version1]] = {VERSION: WalkState, 2: _Version2, 1: _Version1}
    found = from_text(text, kinds, name="resume", what="a checkpoint", hint=HINT, dec_hook=seen_keys_from)
    state = found if isinstance(found, WalkState) else found.upgraded()
    config, windows = state.config, state.windows
    counted_from_1 = (config.page_size, config.start_page, state.size, state.page, windows.tie_count)
    counted_from_0 = (config.max_page_size or 0, state.passes, windows.position, windows.overlap)
    if min(counted_from_1) < 1 or min(counted_from_0) < 0:
        raise InvalidValueError("resume is not a checkpoint", HINT)
    if config.path != path:
        raise InvalidValueError(f"resume is a checkpoint of {config.path[:40]}, not of {path}", HINT)
    windows.last_rows = []
    return state


def restored(state: WalkState, item: type[T]) -> tuple[T, ...]:
    """Return the pending chats of a checkpoint, and take them out of its state.

    Args:
        state: The state.
        item: The class of the chats.

    Raises:
        InvalidValueError: They are not chats.
    """
    rows, state.pending = state.pending, []
    try:
        return tuple(msgspec.convert(row, item) for row in rows)
    except msgspec.ValidationError:
        raise InvalidValueError("resume is not a checkpoint", HINT) from None


def _without_defaults(value: object) -> object:
    """Return the fields of an attrs object that differ from their defaults. That keeps checkpoints small."""
    kind: type[Any] = type(value)
    if not has(kind):
        return value
    parts = ((a, getattr(value, a.name)) for a in fields(kind))
    return {a.name: _without_defaults(part) for a, part in parts if part != _default(a)}


def _default(attribute: "Attribute[Any]") -> object:
    default: Any = attribute.default
    return default.factory() if hasattr(default, "factory") else default


@define(kw_only=True)
class _Version2:
    """A checkpoint as it was written before version 3. What it knew of times proves nothing today."""

    config: WalkConfig
    size: int
    stage: Stage = "pages"
    page: int = 1
    passes: int = 0
    seen: set[str] = field(factory=set[str])
    delivered: int = 0
    scan: PassState = field(factory=PassState)
    windows: WindowState = field(factory=WindowState)
    pending: list[dict[str, Any]] = field(factory=list[dict[str, Any]])

    def upgraded(self) -> WalkState:
        """Return it as a state of today. Windows begin again: their last rows are not known."""
        position = self.windows.position
        phones = {key for key in self.seen if "\n" not in key}
        # Rows without a phone had a key of lid and name.
        lids = Counter("\n" + key.partition("\n")[0] for key in self.seen - phones)
        return WalkState(
            config=self.config,
            size=self.size,
            stage=self.stage,
            page=self.page,
            passes=max(self.passes, 1) if position else self.passes,
            seen=SeenKeys([*phones, *lids]),
            several={key: count for key, count in lids.items() if count > 1},
            delivered=self.delivered,
            scan=self.scan,
            windows=WindowState(failure=self.windows.failure),
            old_keys=True,
            pending=self.pending,
        )


@define(kw_only=True)
class _Version1:
    """A checkpoint as it was written before version 2: one level, with other names."""

    consistency: Consistency
    page_size: int
    stop_on: StopOn = "short"
    start_page: int = 1
    path: str = "/api/whatsapp/chats"
    size: int
    stage: Literal["pages", "ahead", "passes", "cover"] = "pages"
    number: int = 1
    phase: int = 0
    seen: set[str] = field(factory=set[str])
    delivered: int = 0
    bound: datetime | None = None
    newest: datetime | None = None
    oldest: datetime | None = None
    ordered: bool = True
    countable: bool = True
    places: int = 0
    end: int = 0
    objection: str = ""

    def upgraded(self) -> WalkState:
        """Return it as a state of today."""
        return _Version2(
            config=WalkConfig(
                path=self.path,
                page_size=self.page_size,
                consistency=self.consistency,
                stop_on=self.stop_on,
                start_page=self.start_page,
            ),
            size=self.size,
            stage="windows" if self.stage == "cover" else self.stage,
            page=self.number,
            passes=self.phase,
            seen=self.seen,
            delivered=self.delivered,
            scan=PassState(
                bound=self.bound,
                newest=self.newest,
                oldest=self.oldest,
                ordered=self.ordered,
                countable=self.countable,
                rows_read=self.places,
            ),
            windows=WindowState(position=self.end, failure=self.objection),
        ).upgraded()
