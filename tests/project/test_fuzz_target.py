"""The fuzzer's target, run without the fuzzer: on its seeds, on bytes by chance, and on decoders that are wrong."""

import json
import runpy
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any
from unittest.mock import patch

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fuzz_decode as target
from plugchat_async import Chat, NotJSONError
from plugchat_async._http import decode as decoder
from plugchat_async._http.decode_fast import FastLane
from plugchat_async._internal.steps import finish
from plugchat_async.converter import converter
from support import PAYLOADS

SEEDS = sorted(PAYLOADS.iterdir())
EXAMPLE = (PAYLOADS / "vendor_example.json").read_bytes()
# What the target builds pages of.
PLANS = st.builds(bytes.__add__, st.integers(0, 127).map(lambda how: bytes([how * 2])), st.binary(max_size=200))


@pytest.mark.parametrize("seed", SEEDS, ids=lambda seed: seed.name)
def test_the_seeds_pass(seed: Path) -> None:
    """Each payload of the tests is a body as it stands, and the decoder keeps its promises for it."""
    data = seed.read_bytes()
    assert target.body_of(data) == data
    target.run_one(data)


@pytest.mark.slow
@settings(max_examples=500)
@given(st.binary(max_size=200) | PLANS)
def test_what_chance_makes_passes(data: bytes) -> None:
    """Bytes, and the pages that are built from them."""
    target.run_one(data)


@given(PLANS, st.integers(0, 10_000))
def test_a_cut_or_changed_seed_passes(plan: bytes, place: int) -> None:
    """A page that is built from bytes, put into the middle of the vendor's example."""
    place %= len(EXAMPLE)
    target.check(EXAMPLE[:place])
    target.check(EXAMPLE[:place] + target.body_of(plan) + EXAMPLE[place:])


@pytest.mark.slow
def test_built_pages_go_deep() -> None:
    """Enough of them are read by the fast lane, or by the converter, or refused for the values that they hold."""
    chance = Random(7)
    found: Counter[str] = Counter()
    for _ in range(1000):
        body = target.body_of(bytes([chance.randrange(128) * 2]) + chance.randbytes(60))
        if target._fast(body) is not None:
            found["fast"] += 1
        else:
            answer = finish(converter.decode_slices(body, target.TOKEN, Chat, "raise"))
            found[type(answer).__name__] += 1
    assert min(found[kind] for kind in ("fast", "Decoded", "DecodeError", "NotJSONError")) >= 20, found


def test_what_is_read_may_be_written() -> None:
    """The vendor's example, written by the target, holds the same values."""
    chats = converter.loads(EXAMPLE)
    rows = json.loads(target.written(chats))
    assert [row["phone"] for row in rows] == [chat.phone for chat in chats]
    assert converter.loads(target.written(chats)) == chats


def mislead(change: Callable[[tuple[Chat, ...]], tuple[Chat, ...]]) -> Any:
    """Let the fast lane change what it has read."""
    read = FastLane.read
    return patch.object(FastLane, "read", lambda lane, body: list(change(tuple(read(lane, body)))))


@pytest.mark.parametrize(
    "change",
    [
        lambda chats: chats[1:],
        lambda chats: chats[::-1],
        lambda chats: tuple(attrs.evolve(chat, unread=chat.unread + 1) for chat in chats),
        lambda chats: tuple(attrs.evolve(chat, is_muted=int(chat.is_muted)) for chat in chats),
        lambda chats: tuple(attrs.evolve(chat, last_message_time=None) for chat in chats),
    ],
    ids=["lost", "turned around", "another number", "another type", "another time"],
)
def test_a_planted_disagreement_is_reported(change: Callable[[tuple[Chat, ...]], tuple[Chat, ...]]) -> None:
    """A fast lane that reads something else than the converter does not pass, and the report shows the body."""
    with mislead(change), pytest.raises(target.DisagreementError, match="Plug-suporte"):
        target.run_one(EXAMPLE)


def test_a_slice_that_ends_elsewhere_is_reported() -> None:
    """A decoder that loses a chat only where it cuts a page does not pass."""
    body = json.dumps([{"phone": str(number)} for number in range(20)]).encode()
    with mislead(lambda chats: chats if len(chats) == 20 else chats[1:]), pytest.raises(target.DisagreementError):
        target.check(body)


def test_an_error_of_another_kind_is_reported() -> None:
    """What comes out of the decoder that is no error of its own comes out of the target, too."""
    with patch.object(decoder, "fast_lane", side_effect=KeyError("planted")), pytest.raises(KeyError, match="planted"):
        target.run_one(b"[]")


def test_a_body_nested_as_deeply_as_can_be_is_no_json() -> None:
    """Wherever the parser's limit is met, with something behind the list that makes it no JSON."""
    for depth in range(800, 1000):
        body = b"[" * depth + b"]" * depth + b"x"
        answer = finish(converter.decode_slices(body, target.TOKEN, Chat, "warn"))
        assert isinstance(answer, NotJSONError)


def test_the_command_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the fuzzer it ends at once, and says how to install it."""
    monkeypatch.setitem(sys.modules, "atheris", None)
    with pytest.raises(SystemExit, match="pip install atheris"):
        runpy.run_path(target.__file__, run_name="__main__")
