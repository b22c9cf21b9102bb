"""The keys of a long walk: each once, in their order, in parts that stay small."""

import gc
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugchat_async._internal.steps import finish
from plugchat_async._pagination import seen_keys
from plugchat_async._pagination.kept_chats import YieldedChats
from plugchat_async._pagination.seen_keys import SeenKeys, seen_keys_from

PAGES = st.lists(st.lists(st.integers(0, 30).map(str), max_size=8), max_size=8)


@given(pages=PAGES, part=st.integers(1, 12))
def test_it_is_a_set_in_order(pages: list[list[str]], part: int) -> None:
    """Whatever comes how often, and however small the parts are."""
    expected: dict[str, None] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(seen_keys, "_PART", part)
        found = SeenKeys()
        for keys in pages:
            known = set(keys) & expected.keys()
            assert found.known(keys) == known
            assert found.has_all(keys) == (known == set(keys))
            assert found.add(keys) == (len(set(keys) - known), known)
            expected |= dict.fromkeys(keys)
    assert list(found) == list(expected)
    assert len(found) == len(expected)
    assert all(key in found for key in expected)
    assert "other" not in found
    assert found == SeenKeys(reversed(list(expected)))
    assert found != SeenKeys([*expected, "other"])
    assert found != set(expected)
    assert max(map(len, found._parts)) <= part


@given(pages=PAGES, part=st.integers(1, 12), count=st.integers(0, 30))
def test_what_is_new_is_read_part_by_part(pages: list[list[str]], part: int, count: int) -> None:
    """From any place on, to the end."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(seen_keys, "_PART", part)
        found = SeenKeys(key for keys in pages for key in keys)
    new: list[str] = []
    while more := found.after(count + len(new)):
        assert len(more) <= part
        new += more
    assert new == list(found)[count:]


def test_a_garbage_collection_looks_at_no_key() -> None:
    """As it would at each key of a set."""
    found = SeenKeys(map(str, range(10)))
    gc.collect()
    tracks_all = gc.is_tracked(dict.fromkeys(["1"]))  # as CPython does from 3.14 on
    assert tracks_all or not any(map(gc.is_tracked, found._parts))


def test_all_parts_are_freed_in_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """The newest first, and no step frees more than there should be at a time."""
    monkeypatch.setattr(seen_keys, "_PART", 35)
    monkeypatch.setattr(seen_keys, "_FREE_AT_ONCE", 10)
    found = SeenKeys(map(str, range(100)))
    lengths = [100, *(len(found) for _ in found.free())]
    assert lengths[-1] <= 20
    assert all(0 < before - after <= 10 for before, after in pairwise(lengths))
    assert list(found) == list(map(str, range(lengths[-1])))
    finish(found.free())
    assert len(found) == lengths[-1]


def test_it_tells_no_key() -> None:
    """Keys are phone numbers."""
    assert repr(SeenKeys(["551", "552"])) == "<2 keys>"


def test_what_a_checkpoint_may_hold() -> None:
    """A list of texts, for the keys."""
    assert seen_keys_from(SeenKeys, ["1", "2"]) == SeenKeys("12")
    with pytest.raises(msgspec.ValidationError):
        seen_keys_from(SeenKeys, ["1", 2])
    with pytest.raises(ValueError, match="no checkpoint has it"):
        seen_keys_from(YieldedChats, [])
