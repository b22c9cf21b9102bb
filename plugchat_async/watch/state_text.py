"""The text of a watch's state: ASCII, compressed, with a version. States of all earlier versions are read."""

from collections.abc import Generator
from datetime import datetime
from typing import Annotated, Any, Final

import msgspec

from plugchat_async._internal.serialization import PackedText, from_text
from plugchat_async.errors import InvalidValueError
from plugchat_async.models import Chat, values_of
from plugchat_async.watch.identity import NewKeys, identity_of
from plugchat_async.watch.losses import Missed
from plugchat_async.watch.snapshot import Snapshot

STATE_VERSION: Final = 3
# How many chats are packed at a time.
_CHATS_AT_ONCE: Final = 1000

# A chat as a row of its values: the eight fields of version 1, and the fields of today.
_AnyTime = Annotated[datetime, msgspec.Meta(tz=True)]
_Time = _AnyTime | None
_Flag = bool | None
_Phone = Annotated[str, msgspec.Meta(min_length=1)]
_RowV1 = tuple[_Phone, str | None, int, _Time, bool, bool, str | None, int | None]
_Row = tuple[
    str | None,
    str | None,
    int,
    _Time,
    bool,
    bool,
    str | None,
    int | None,
    str | None,
    _Flag,
    _Flag,
    _Flag,
    _Flag,
    _Time,
]
# The names of the fields in states of version 1 and 2, where they differ from those in `Snapshot`.
_NAMES_V2: Final = {"complete": "begun", "since": "bound", "last_full_scan": "swept", "partial": "dated"}


class _SavedV1(msgspec.Struct, kw_only=True, rename=_NAMES_V2):
    """A state of version 1. Which chats were missing is not read: when that began is not known."""

    complete: bool
    since: _Time
    last_full_scan: float | None
    chats: list[_RowV1]


class _SavedV2(msgspec.Struct, kw_only=True, rename=_NAMES_V2):
    complete: bool
    since: _Time
    last_full_scan: float | None
    chats: list[_Row]
    partial: set[str]


class _SavedRest(msgspec.Struct, kw_only=True):
    """A state of version 3 without its chats, and without those that are missing."""

    complete: bool
    proven: bool
    since: _Time
    covered: _Time
    began: float | None
    last_full_scan: float | None
    partial: set[str]
    receded: set[str]
    tombstones: dict[str, tuple[_AnyTime, float]]
    salt: str | None
    account: str | None
    traits: dict[str, Any] | None


class _Saved(_SavedRest, kw_only=True):
    """A state of version 3.

    Attributes:
        chats: The rows of all chats.
        keys: The keys of chats that are not `identity_of`, by their index in `chats`.
        missing: As in the snapshot.
    """

    chats: list[_Row]
    keys: dict[int, str]
    missing: dict[str, Missed]


def pack(snapshot: Snapshot) -> Generator[None, None, str]:
    """Return a snapshot as text for `unpack`, in steps of a few milliseconds.

    It is the snapshot of the first step, also if it changes between two steps.
    """
    saved = _SavedRest(
        complete=snapshot.complete,
        proven=snapshot.proven,
        since=snapshot.since,
        covered=snapshot.covered,
        began=snapshot.began,
        last_full_scan=snapshot.last_full_scan,
        partial=snapshot.partial,
        receded=snapshot.all_receded,
        tombstones=snapshot.tombstones,
        salt=snapshot.salt,
        account=snapshot.account,
        traits=snapshot.traits,
    )
    rest = msgspec.json.encode(saved)
    text = PackedText(STATE_VERSION)
    text.add(b'{"chats":[')
    other_keys: dict[int, str] = {}
    first = 0
    with snapshot.readers.read(snapshot.chats) as chats, snapshot.readers.read(snapshot.missing) as missing:
        yield
        while rows := chats.take(_CHATS_AT_ONCE):
            text.add((b"," if first else b"") + msgspec.json.encode([values_of(chat) for _, chat in rows])[1:-1])
            other_keys.update((place, key) for place, (key, chat) in enumerate(rows, first) if key != identity_of(chat))
            first += len(rows)
            yield
        text.add(b'],"missing":{')
        first = 0
        while missed := missing.take(_CHATS_AT_ONCE):
            text.add((b"," if first else b"") + msgspec.json.encode(dict(missed))[1:-1])
            first += len(missed)
            yield
    return text.finish(b'},"keys":' + msgspec.json.encode(other_keys) + b"," + rest[1:])


def unpack(text: str) -> Snapshot:
    """Return the snapshot of a text from `pack`, or from an older version of it.

    Raises:
        InvalidValueError: The text is not a state, or comes from a newer version of this package.
    """
    hint = "Pass the text exactly as `dumps` returned it, or start a watch without a state."
    kinds: dict[int, type[_SavedV1 | _SavedV2 | _Saved]] = {1: _SavedV1, 2: _SavedV2, STATE_VERSION: _Saved}
    saved = from_text(text, kinds, name="the text", what="a watch state", hint=hint)
    rows: list[Any] = [*saved.chats]
    chats = [Chat(*row) for row in rows]
    if not all(chat.id for chat in chats):
        raise InvalidValueError("the text is not a watch state", hint)
    if not isinstance(saved, _Saved):
        return _from_old(saved, chats)
    by_key = {saved.keys.get(index) or identity_of(chat): chat for index, chat in enumerate(chats)}
    snapshot = Snapshot(
        chats=dict(reversed(by_key.items())),
        complete=saved.complete,
        proven=saved.proven,
        since=saved.since,
        covered=saved.covered,
        began=saved.began,
        last_full_scan=saved.last_full_scan,
        partial=saved.partial,
        tombstones=saved.tombstones,
        salt=saved.salt,
        account=saved.account,
        traits=saved.traits,
    )
    # What is not about a known chat is of no use. Written are the last ones first, as the chats are.
    snapshot.missing = {key: missed for key, missed in reversed(saved.missing.items()) if key in snapshot.chats}
    snapshot.receded = saved.receded & snapshot.chats.keys()
    return snapshot


def _from_old(saved: _SavedV1 | _SavedV2, chats: list[Chat]) -> Snapshot:
    """Return the snapshot of a state in which a chat's key was its phone, or its lid with its name."""
    by_key: dict[str, Chat] = {}
    partial: set[str] = set()
    new = NewKeys((by_key,))
    for chat in chats:
        key = new.make(chat)
        by_key[key] = chat
        old_key = chat.phone or f"{chat.lid}\n{chat.name or ''}"
        if isinstance(saved, _SavedV1) or old_key in saved.partial:
            partial.add(key)
    return Snapshot(
        chats=dict(reversed(by_key.items())),
        complete=saved.complete,
        proven=saved.complete,
        since=saved.since,
        covered=saved.since,
        last_full_scan=saved.last_full_scan,
        partial=partial,
    )
