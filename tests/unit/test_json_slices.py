import codecs
import gc
import json
import sys
import time
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec import DecodeError, ValidationError

from plugchat_async import Chat, ResponseError, ResponseTooLargeError
from plugchat_async._http.decode import Decoded
from plugchat_async._http.decode_fast import FastLane
from plugchat_async._http.secret import Secret
from plugchat_async._internal import json_slices, lenient_json
from plugchat_async._internal.json_slices import CutError, TooLargeError, split_slices
from plugchat_async._internal.steps import finish
from plugchat_async.converter import converter

TOKEN = Secret("s3cr3t-t0ken")
MIB = 1024 * 1024


def split(body: bytes) -> tuple[str, list[bytes]]:
    """What is made of a body, and its elements."""
    try:
        return "", [bytes(element) for element in finish(split_slices(body))]
    except (CutError, TooLargeError, ValidationError, RecursionError) as error:
        return type(error).__name__, []
    except (DecodeError, ValueError):  # before msgspec 0.21 the first was none
        return "not JSON", []


def split_small(body: bytes, piece_bytes: int) -> tuple[str, list[bytes]]:
    """The same, in pieces of so many bytes."""
    with patch.object(json_slices, "PIECE_BYTES", piece_bytes):
        return split(body)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-99, 99) | st.text('a"\\{}[],: \ud83d\u00e7\n', max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text('b"}', max_size=3), inner, max_size=3),
    max_leaves=20,
)


@pytest.mark.slow
@settings(max_examples=500)
@given(st.lists(JSON, max_size=8), st.integers(2, 40), st.sampled_from([None, 0, 3]), st.data())
@example([], 2, None, None)
@example([{"a": 1}, {"b": [{"c": 2}, {"d": 3}]}], 8, 0, None)
@example([["\ud83d", {}]], 2, None, None)
def test_where_pieces_end_changes_nothing(rows: list[Any], piece: int, indent: int | None, data: Any) -> None:
    """In pieces of any size an array has the same elements, and what is cut off or broken is known as such."""
    body = json.dumps(rows, indent=indent).encode()
    if data is not None and data.draw(st.booleans()):
        place = data.draw(st.integers(0, len(body)))
        body = body[:place] + data.draw(st.sampled_from([b"", b'"', b",", b"]", b"}", b"NaN"])) + body[place + 1 :]
    if data is not None and data.draw(st.booleans()):
        body = body[: data.draw(st.integers(0, len(body)))]
    expected = split(body)
    found = split_small(body, piece)
    if expected[0] == "" or found[0] == "":
        # Only a body of more than a piece may hold a row of more than one.
        assert found in (expected, ("TooLargeError", []))
    else:
        # Both say so; of what is broken and cut off at once either may be said, and of a text that it is no array.
        no_array = "ValidationError" if body.startswith(b'"') else expected[0]
        assert found[0] in (expected[0], "TooLargeError", "CutError", "not JSON", no_array)


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (b"   []   ", ""),
        (codecs.BOM_UTF8 + b"  [1,2]", ""),
        (b'[1,"\\ud83d", NaN]', ""),
        (b'{"a":[1,2,3]}', "ValidationError"),
        (b'"a text that is long"', "ValidationError"),
        (b"<html></html>", "not JSON"),
        (b"          ", "not JSON"),
        (b"[1,2,3,4,5,]", "not JSON"),
        (b"[,1,2,3,4,5]", "not JSON"),
        (b"[1,2,   ,4,5]", "not JSON"),
        (b"[1,2,3,4] ,5", "not JSON"),
        (b"[1,2,3,4}    ", "not JSON"),
        (b"[1,2,tru,4]  ", "not JSON"),
        (b"[1,2,3,tru", "CutError"),
        (b"[1,2,3,trx5  ", "not JSON"),
        (b'[1,2,3,"abcdefg', "CutError"),
        (b'[1,2,3,"abcdef\\', "CutError"),
        (b'[1,2,3,"ab\\\\\\"cdef"]', ""),
        (b"[1,2,3,[4,[5,", "CutError"),
        (b"[" * 2000, "RecursionError"),
        (codecs.BOM_UTF8 + b" [" * 2000 + b"]" * 2000, "RecursionError"),
        (b"[" + b"[]," * 2000 + b"[]]", ""),
        (b'{"a":' + b"[" * 2000 + b"]" * 2000 + b"}", "ValidationError"),
    ],
    ids=repr,
)
def test_what_a_body_is_does_not_depend_on_its_size(body: bytes, found: str) -> None:
    """Long bodies are looked at piece by piece, and are what short ones are."""
    assert split_small(body, 3)[0] == found
    if found != "not JSON":
        assert split(body) == split_small(body, 3)


def test_a_large_row_is_read_if_it_is_valid() -> None:
    """It is parsed in one go; only what mends a row would take too long."""
    large = b'{"phone":"1","text":"%b"}' % (b"x" * json_slices.MAX_ELEMENT_BYTES)[: -MIB // 8]
    body = b'[%b,{"phone":"2"}]' % large
    assert split(body) == ("", [large, b'{"phone":"2"}'])
    assert split(body.replace(b"xxx", b"\\ud83d", 1)) == ("TooLargeError", [])
    assert split(body.replace(b"x", b"x" * 10)) == ("TooLargeError", [])


def test_brackets_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A row may hold hundreds of thousands of arrays, and a body many such rows."""
    body = array_of(b'{"phone":"1","x":[%b]}' % array_of(b"[]", 200), 2000)
    assert split_small(body, 100)[0] == ""
    monkeypatch.setattr(json_slices, "_MAX_STEPS", 100)
    assert split_small(body, 100)[0] == "TooLargeError"


def row_of(filling: bytes, size: int) -> bytes:
    return b'[{"phone":"1","x":"%b"}]' % (filling * (size // len(filling)))


def array_of(element: bytes, size: int = 15 * MIB) -> bytes:
    return b"[%b]" % b",".join([element] * (size // (len(element) + 1)))


BAD_VALUES = b'{"phone":"1","name":[],"unread":[],"messagesUnread":[],"pinned":[],"archived":[],"lastMessageTime":[]}'
# Each of these was, or might be, seconds of the event loop.
HOSTILE = {
    "backslashes and half an emoji": b'["%b\\ud83d"]' % (b"\\\\" * (7 * MIB)),
    "backslashes in a row": row_of(b"\\\\", 15 * MIB),
    "a million rows that are none": array_of(b'{"badd":12345}'),
    "millions of numbers": array_of(b"1"),
    "millions of arrays": array_of(b"[]"),
    "millions of arrays in one": b"[%b]" % array_of(b"[]"),
    "a million brackets in rows": array_of(b'{"phone":"1","x":[%b]}' % array_of(b"[]", 400_000)),
    "an array that is never closed": b"[{" + b"}" * (15 * MIB),
    "blanks": b" " * (15 * MIB),
    "one text": row_of(b"a", 15 * MIB),
    "a text without an end": b'[{"phone":"1","name":"' + b'\\"' * (7 * MIB),
    "rows of NaN": array_of(b'{"phone":"1","x":[%b1]}' % (b"NaN," * 7000), 4 * MIB),
    "rows of half emojis": array_of(b'{"phone":"1","x":"%b"}' % (b"\\ud83dx" * 4000), 4 * MIB),
    "a million tiny rows": array_of(b'{"phone":"1"}'),
    "bad values": array_of(BAD_VALUES, 2 * MIB),
    "rows that look like ends of rows": array_of(
        array_of(b'{"phone":"1"}', 65_000)[1:-1] + b',{"phone":"1","name":"%b"}' % (b"},{" * 16), 4 * MIB
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE)
def test_no_body_keeps_the_event_loop(body: bytes) -> None:
    """No step takes long, and all of them some seconds at most.

    Measured as CPU time, since the machine may be busy, and without the garbage collector, which goes through all
    objects of the test run.
    """
    steps = converter.decode_slices(body, TOKEN, Chat, "warn")
    worst, began = 0.0, time.thread_time()
    found: object = None
    gc.disable()
    try:
        while found is None:
            before = time.thread_time()
            try:
                next(steps)
            except StopIteration as end:
                found = end.value
            worst = max(worst, time.thread_time() - before)
    finally:
        gc.enable()
    assert isinstance(found, (Decoded, ResponseError))
    assert worst < 0.1  # a few milliseconds
    # What counts covered lines takes up to ten times as long as they do.
    assert time.thread_time() - began < (10.0 if sys.gettrace() is None else 40.0)


def test_small_objects_are_read_in_smaller_slices() -> None:
    """The fast lane takes a third of a microsecond for each, even if it has nothing in it."""
    body = b"[%b{}]" % (b"{}," * 60_000)
    with patch.object(FastLane, "read", autospec=True, side_effect=FastLane.read) as read:
        assert isinstance(finish(converter.decode_slices(body, TOKEN, Chat, "warn")), ResponseError)
    assert max(call.args[1].count(b"{") for call in read.call_args_list) <= 2 * 16 * 1024


def test_pieces_that_end_at_a_mark_are_pieces_all_the_same() -> None:
    """Short texts fill them exactly: half a megabyte of these is gone through with pauses."""
    body = b'["%b' % (b'"' * MIB)
    steps = split_slices(body)
    pauses = 0
    with pytest.raises(TooLargeError):
        while True:
            next(steps)
            pauses += 1
    assert pauses >= json_slices.MAX_ELEMENT_BYTES // json_slices.PIECE_BYTES - 2


def test_a_million_rows_are_an_error_of_its_own() -> None:
    """Before they are read."""
    steps = converter.decode_slices(HOSTILE["a million rows that are none"], TOKEN, Chat, "warn")
    error = finish(steps)
    assert isinstance(error, ResponseTooLargeError)
    assert str(error).startswith(
        "the body has more than 100,000 rows in 15,728,641 bytes. That is no list of Plug Chat's"
    )


def test_other_escapes_are_not_gone_through() -> None:
    """Of two bodies of backslashes, that with half an emoji is not mended at the price of each of them."""
    body = b'["%b\\ud83d\\ud83d\\ude00\\\\ud83d"]' % (b"\\\\" * 100_000)
    with patch.object(lenient_json, "_replace_lone", side_effect=lenient_json._replace_lone) as replaced:
        assert lenient_json.mend(body).endswith(b'\\\\\\\\\\ufffd\\ud83d\\ude00\\\\ud83d"]')
    assert replaced.call_count == 1
