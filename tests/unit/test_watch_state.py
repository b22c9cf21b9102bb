"""The state of a watch as text, and the options of a watch."""

import base64
import inspect
import json
import re
import zlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
from attrs import evolve

from plugchat_async import (
    FOREVER,
    Chat,
    InvalidValueError,
    WatchOptions,
    WatchState,
)
from plugchat_async._internal.serialization import to_text
from plugchat_async.testing import PlugChatSimulator
from plugchat_async.watch.options import WatchSettings
from plugchat_async.watch.snapshot import Snapshot
from plugchat_async.watch.state import pack, unpack
from plugchat_async.watch.watcher import Watch


@pytest.fixture
async def sim() -> AsyncIterator[PlugChatSimulator]:
    """A simulator whose chats all have a time. What differs on today's gateway has tests of its own, further down."""
    async with PlugChatSimulator(chats=250, seed=7, dialect="documented") as simulator:
        yield simulator


def test_a_state_is_small(sim: PlugChatSimulator) -> None:
    """As small as its docstring says."""
    snapshot = Snapshot(chats={chat.id: chat for chat in sim.chats}, complete=True)
    per_chat = len(pack(snapshot)) / len(sim.chats)
    assert 60 < per_chat < 200
    bare = Snapshot(chats={c.id: evolve(c, profile_thumbnail=None) for c in sim.chats})
    assert len(pack(bare)) / len(sim.chats) < per_chat
    assert "60 to 200 bytes" in str(WatchState.dumps.__doc__)


def test_a_state_keeps_every_value() -> None:
    """All fields of a chat, whatever they are."""
    chats = [
        Chat("1"),
        Chat("2", "ação 👩‍👩‍👧", 3, None, True, True, "https://x", 0),
    ]
    snapshot = Snapshot(chats={chat.id: chat for chat in chats}, last_full_scan=1.5, missing={"1": 2}, complete=True)
    state = WatchState.loads(pack(snapshot))
    assert state.chats == tuple(chats)
    assert state.dumps() == pack(snapshot)


def test_the_names_in_saved_states_stay() -> None:
    """States of version 2 that were saved with other names in this package are read, and written the same way."""
    time = datetime(2026, 1, 15, tzinfo=UTC)
    row = ["1", "Ana", 2, time, False, False, None, None, "1@lid", True, None, False, None, None]
    saved = {"chats": [row], "begun": True, "bound": time, "swept": 1.5, "doubted": {"1": 2}, "dated": ["1"]}
    snapshot = unpack(to_text(2, saved))
    assert (snapshot.complete, snapshot.since, snapshot.last_full_scan) == (True, time, 1.5)
    assert (snapshot.missing, snapshot.partial) == ({"1": 2}, {"1"})
    written = json.loads(zlib.decompress(base64.urlsafe_b64decode(pack(snapshot))))
    assert written["version"] == 2
    assert written["value"].keys() == saved.keys()
    assert unpack(pack(snapshot)) == snapshot


def test_a_state_knows_all_fields() -> None:
    """Also of chats without a phone; one without an id is no state."""
    time = datetime(2026, 1, 15, tzinfo=UTC)
    known = Chat(None, "Ana", 2, time, lid="1@lid", is_archived=True, is_group=False, muted_until=FOREVER)
    assert unpack(pack(Snapshot(chats={"\n1@lid": known}))).chats == {"\n1@lid": known}
    with pytest.raises(InvalidValueError, match="not a watch state"):
        unpack(pack(Snapshot(chats={"": Chat()})))


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
