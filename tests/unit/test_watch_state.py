"""The state of a watch as text, and the options of a watch."""

import base64
import inspect
import json
import re
import zlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from attrs import evolve

from plugchat_async import (
    FOREVER,
    Chat,
    InvalidValueError,
    WatchOptions,
    WatchState,
)
from plugchat_async._internal.serialization import PackedText
from plugchat_async._internal.steps import finish
from plugchat_async.testing import PlugChatSimulator
from plugchat_async.watch.identity import OLDEST, identity_of
from plugchat_async.watch.losses import Missed
from plugchat_async.watch.options import WatchSettings
from plugchat_async.watch.snapshot import Snapshot
from plugchat_async.watch.state_text import unpack
from plugchat_async.watch.watcher import Watch
from support.packed import packed_snapshot


@pytest.fixture
async def sim() -> AsyncIterator[PlugChatSimulator]:
    """A simulator whose chats all have a time. What differs on today's gateway has tests of its own, further down."""
    async with PlugChatSimulator(chats=250, seed=7, dialect="documented") as simulator:
        yield simulator


def test_a_state_is_small(sim: PlugChatSimulator) -> None:
    """As small as its docstring says."""
    snapshot = Snapshot(chats={identity_of(chat): chat for chat in sim.chats}, complete=True)
    per_chat = len(packed_snapshot(snapshot)) / len(sim.chats)
    assert 60 < per_chat < 200
    bare = Snapshot(chats={identity_of(c): evolve(c, profile_thumbnail=None) for c in sim.chats})
    assert len(packed_snapshot(bare)) / len(sim.chats) < per_chat
    assert "60 to 200 bytes" in str(WatchState.dumps.__doc__)


def test_a_state_keeps_every_value() -> None:
    """All fields of a chat, whatever they are, and all that is known of the list."""
    time = datetime(2026, 1, 15, tzinfo=UTC)
    twins = [Chat("3", "Ana", 1, time), Chat("3", "Bia", 2, time)]
    chats = {
        "1\n": Chat("1"),
        "2\n": Chat("2", "ação 👩‍👩‍👧", 3, None, True, True, "https://x", 0),
        "3\n\n2": twins[1],
        "3\n": twins[0],
    }
    snapshot = Snapshot(
        chats=chats,
        complete=True,
        proven=True,
        since=time,
        covered=time,
        began=1.25,
        last_full_scan=1.5,
        missing={"1\n": Missed(2, 1.0, large=True), "3\n": Missed(1, 2.0, large=False)},
        partial={"2\n"},
        receded={"3\n\n2"},
        tombstones={"4\n": (time, 2.5), "5\n": (OLDEST, 3.5)},
        salt="5a17",
        account="token:abc",
        traits={"caps": [50]},
    )
    assert unpack(packed_snapshot(snapshot)) == snapshot
    state = WatchState.loads(packed_snapshot(snapshot))
    assert state.dumps() == packed_snapshot(snapshot)
    assert set(state.chats) == set(chats.values())


def test_what_is_not_about_a_known_chat_is_not_read() -> None:
    """Else a text that somebody has changed would fail later."""
    snapshot = Snapshot(missing={"1\n": Missed(2, 1.0, large=True)}, receded={"1\n"})
    read = unpack(packed_snapshot(snapshot))
    assert (read.missing, read.receded) == ({}, set())


def saved_v2(*rows: list[Any], **others: Any) -> str:
    """A state as version 2 saved it."""
    state = {"chats": rows, "begun": True, "bound": TIME, "swept": 1.5, "doubted": {}, "dated": [], **others}
    return PackedText(2).finish(msgspec.json.encode(state))


TIME = datetime(2026, 1, 15, tzinfo=UTC)


def row_of(phone: str | None, name: str | None, lid: str | None) -> list[Any]:
    return [phone, name, 2, TIME, False, False, None, None, lid, True, None, False, None, None]


def test_states_of_version_2_are_read() -> None:
    """Their chats were known by the phone, or the lid with the name. Since when chats are missing was not known."""
    rows = [row_of("1", "Ana", "1@lid"), row_of(None, "Bia", "2@lid"), row_of(None, None, "2@lid")]
    text = saved_v2(*rows, doubted={"1": 2}, dated=["1", "2@lid\n"])
    snapshot = unpack(text)
    assert list(reversed(snapshot.chats)) == ["1\n1@lid", "\n2@lid", "\n2@lid\n2"]
    assert [chat.name for chat in reversed(snapshot.chats.values())] == ["Ana", "Bia", None]
    assert (snapshot.complete, snapshot.since, snapshot.covered, snapshot.last_full_scan) == (True, TIME, TIME, 1.5)
    assert (snapshot.missing, snapshot.partial) == ({}, {"1\n1@lid", "\n2@lid\n2"})
    written = json.loads(zlib.decompress(base64.urlsafe_b64decode(packed_snapshot(snapshot))))
    assert written["version"] == 3
    assert unpack(packed_snapshot(snapshot)) == snapshot


def test_a_group_of_rows_stays_one_over_restarts() -> None:
    """A row that is read again is the same chat, though it stands elsewhere."""
    snapshot = unpack(saved_v2(row_of(None, "Bia", "2@lid"), row_of(None, None, "2@lid")))
    for _ in range(2):
        rows = list(reversed(snapshot.chats.values()))
        assert finish(snapshot.match((row, 1) for row in rows)).seen == snapshot.chats
        snapshot = unpack(packed_snapshot(snapshot))


def test_a_state_knows_all_fields() -> None:
    """Also of chats without a phone; one without an id is no state."""
    time = datetime(2026, 1, 15, tzinfo=UTC)
    known = Chat(None, "Ana", 2, time, lid="1@lid", is_archived=True, is_group=False, muted_until=FOREVER)
    assert unpack(packed_snapshot(Snapshot(chats={"\n1@lid": known}))).chats == {"\n1@lid": known}
    with pytest.raises(InvalidValueError, match="not a watch state"):
        unpack(packed_snapshot(Snapshot(chats={"": Chat()})))


def test_the_options_are_as_told() -> None:
    """The docstring names each one with its default, and no other."""
    parameters = inspect.signature(WatchSettings).parameters
    assert set(WatchOptions.__annotations__) == set(parameters)
    told = inspect.getdoc(WatchOptions)
    assert told is not None
    assert set(re.findall(r"^    (\w+): ", told, re.MULTILINE)) == set(parameters)
    for name in ("interval", "page_size", "full_scan_interval", "emit_existing", "max_polls"):
        assert re.search(rf"^    {name}: [^:]*\(default {parameters[name].default}\b", told, re.MULTILINE), name


def test_watching_is_loaded_when_it_is_used() -> None:
    """See also the test of what `import plugchat_async` loads."""
    assert Watch.__module__ == "plugchat_async.watch.watcher"
