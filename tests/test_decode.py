import codecs
import json
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest.mock import patch

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fakes import finish
from plugchat_async import Chat, DecodeError, NotAListError, NotJSONError, ResponseError
from plugchat_async import _decode as decode_module
from plugchat_async import _exact as exact_module
from plugchat_async._decode import decode_slices
from plugchat_async._secret import Secret

TOKEN = Secret("1nEFbU3EktLnV7LIIzX")
VENDOR_EXAMPLE = (Path(__file__).parent / "payloads" / "vendor_example.json").read_bytes()


@pytest.fixture(autouse=True)
def fresh_converter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test builds the converter, or what builds it when it is imported would be nobody's to test."""
    exact_module._spelling_of.cache_clear()


def read(body: bytes) -> tuple[Chat, ...] | ResponseError:
    """What becomes of a body."""
    return finish(decode_slices(body, TOKEN, Chat))


def decode(body: bytes) -> tuple[Chat, ...]:
    """The chats of a body that can be read."""
    chats = read(body)
    assert isinstance(chats, tuple), chats
    return chats


def refuse(body: bytes) -> ResponseError:
    """The error of a body that can't be read."""
    error = read(body)
    assert isinstance(error, ResponseError), error
    return error


def one(**fields: Any) -> Chat:
    """The one chat of a body, from its fields."""
    return decode(json.dumps([{"phone": "1", **fields}]).encode())[0]


def problems(*chats: object) -> list[str]:
    """What is wrong with a body that holds these chats."""
    error = refuse(json.dumps(chats).encode())
    assert isinstance(error, DecodeError)
    return [str(problem) for problem in error.problems]


def test_the_vendors_example_is_read() -> None:
    """Every field of the documented response, in the documented spelling."""
    first, second = decode(VENDOR_EXAMPLE)
    assert first == Chat(
        phone="5511999999999",
        name="Plug-suporte",
        unread=0,
        last_message_time=datetime(2021, 6, 6, 15, 1, 27, tzinfo=UTC),
        is_muted=False,
        is_marked_spam=False,
        profile_thumbnail=None,
        messages_unread=0,
    )
    assert second.name == "Plug-Team"
    assert second.profile_thumbnail is not None
    assert second.profile_thumbnail.startswith("https://pps.whatsapp.net/v/")


def test_only_the_phone_is_required() -> None:
    """All other fields have a default; null is as good as absent; unknown keys are ignored."""
    assert one() == Chat("1")
    nulls = dict.fromkeys(
        ("name", "unread", "lastMessageTime", "isMuted", "isMarkedSpam", "profileThumbnail", "messagesUnread")
    )
    assert one(**nulls, extra={"deep": [1]}) == Chat("1")


@pytest.mark.parametrize(
    ("field", "attribute", "spellings", "value"),
    [
        ("unread", "unread", ["12", 12, 12.0, "12.0"], 12),
        ("unread", "unread", ["-1", -1], -1),
        ("isMuted", "is_muted", ["1", 1, True, "true", "True"], True),
        ("isMuted", "is_muted", ["0", 0, False, "false", "FALSE"], False),
        ("isMarkedSpam", "is_marked_spam", ["true", True, "1", 1], True),
        ("isMarkedSpam", "is_marked_spam", ["false", False, "0", 0], False),
        (
            "lastMessageTime",
            "last_message_time",
            ["1622991687", 1622991687, 1622991687.0, "2021-06-06T15:01:27Z", "2021-06-06T12:01:27-03:00"],
            datetime(2021, 6, 6, 15, 1, 27, tzinfo=UTC),
        ),
        ("lastMessageTime", "last_message_time", ["1.5", 1.5], datetime(1970, 1, 1, 0, 0, 1, 500_000, tzinfo=UTC)),
        ("lastMessageTime", "last_message_time", ["0", 0], datetime(1970, 1, 1, tzinfo=UTC)),
        ("messagesUnread", "messages_unread", [3, "3"], 3),
        ("name", "name", ["null"], "null"),
        ("name", "name", [""], ""),
    ],
)
def test_each_spelling_is_read(field: str, attribute: str, spellings: list[object], value: object) -> None:
    """The table's types and the example's, and real booleans and numbers."""
    for spelling in spellings:
        read = getattr(one(**{field: spelling}), attribute)
        assert read == value
        assert type(read) is type(value)


def test_times_are_in_utc() -> None:
    """Whatever the offset was."""
    for spelling in (1622991687, "2021-06-06T12:01:27-03:00", "2021-06-06T15:01:27+00:00"):
        time = one(lastMessageTime=spelling).last_message_time
        assert time is not None
        assert time.tzinfo is UTC


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"phone": ""}, "phone: expected a non-empty string, got ''"),
        ({"phone": None}, "phone: expected a non-empty string, got null"),
        ({"phone": 5511999999999}, "phone: expected a non-empty string, got 5511999999999"),
        ({"name": 7}, "name: expected a string or null, got 7"),
        ({"unread": "many"}, "unread: expected an integer, got 'many'"),
        ({"unread": ""}, "unread: expected an integer, got ''"),
        ({"unread": True}, "unread: expected an integer, got true"),
        ({"unread": 1.5}, "unread: expected an integer, got 1.5"),
        ({"unread": []}, "unread: expected an integer, got []"),
        ({"lastMessageTime": "abc"}, "lastMessageTime: expected epoch seconds, got 'abc'"),
        ({"lastMessageTime": ""}, "lastMessageTime: expected epoch seconds, got ''"),
        ({"lastMessageTime": True}, "lastMessageTime: expected epoch seconds, got true"),
        ({"lastMessageTime": 1622991687000}, "lastMessageTime: expected epoch seconds, got 1622991687000"),
        ({"lastMessageTime": 253402300800}, "lastMessageTime: expected epoch seconds, got 253402300800"),
        (
            {"lastMessageTime": "2021-06-06T15:01:27"},
            "lastMessageTime: expected epoch seconds, got '2021-06-06T15:01:27'",
        ),
        (
            {"lastMessageTime": "0001-01-01T00:00:00+03:00"},
            "lastMessageTime: expected epoch seconds, got '0001-01-01T00:00:00+03:00'",
        ),
        ({"isMuted": 2}, "isMuted: expected 0 or 1, true or false, got 2"),
        ({"isMuted": "no"}, "isMuted: expected 0 or 1, true or false, got 'no'"),
        ({"isMarkedSpam": "2"}, "isMarkedSpam: expected true or false, 0 or 1, got '2'"),
        ({"isMarkedSpam": {}}, "isMarkedSpam: expected true or false, 0 or 1, got {}"),
        ({"profileThumbnail": False}, "profileThumbnail: expected a string or null, got false"),
        ({"messagesUnread": "x"}, "messagesUnread: expected an integer or null, got 'x'"),
    ],
)
def test_each_malformed_value_names_its_path(fields: dict[str, object], problem: str) -> None:
    """Index, the vendor's name of the field, what was expected, what came."""
    assert problems({"phone": "1"}, {"phone": "2", **fields}) == [f"chat 1, {problem}"]


def test_all_problems_are_told_in_order() -> None:
    """A chat that is none, a missing phone, and several bad fields of one chat."""
    assert problems(None, {"name": "x"}, {"phone": "1"}, {"phone": "2", "unread": "x", "isMuted": "y"}, [], "z") == [
        "chat 0: expected an object, got null",
        "chat 1, phone: expected a non-empty string, got nothing",
        "chat 3, unread: expected an integer, got 'x'",
        "chat 3, isMuted: expected 0 or 1, true or false, got 'y'",
        "chat 4: expected an object, got []",
        "chat 5: expected an object, got 'z'",
    ]


def test_a_long_value_is_clipped_and_never_shows_the_token() -> None:
    """Sixty characters of a value; a token at the cut is replaced before the cut."""
    [problem] = problems({"phone": "1", "unread": "x" * 1000})
    assert len(problem) < 120
    for value in (TOKEN.value, "x" * 50 + TOKEN.value, {"echo": TOKEN.value}, TOKEN.value.upper(), TOKEN.value * 500):
        error = refuse(json.dumps([{"phone": "1", "unread": value}]).encode())
        assert "1nef" not in repr(error).lower()
        assert "1nef" not in str(error).lower()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" \n",
        b"<!doctype html><title>Login</title>",
        b"OK",
        b"NaN",
        b"[NaN]",
        b"[{'phone': '1'}]",
        b'[{"phone":"1"},]',
        b'[{"phone":"1"}] x',
        b'[{"phone":"1"}{"phone":"2"}]',
        b"[" * 100_000 + b"]" * 100_000,
        b'[{"phone":"1","x":' + b"[" * 100_000 + b"]" * 100_000 + b"}]",
        '[{"phone":"1"}]'.encode("utf-16"),
        b"\x1f\x8b\x08\x00",
    ],
    # Without backslashes: pytest escapes them again when it is run twice in a process.
    ids=lambda body: repr(body[:20]).replace("\\", ""),
)
def test_what_is_not_json_is_said_so(body: bytes) -> None:
    """HTML, text, broken JSON, too deep nesting: an excerpt, and the advice to look at base_url."""
    error = refuse(body)
    assert type(error) is NotJSONError
    assert not error.truncated
    assert error.message.startswith(("the body is not JSON: ", "the body is nested too deeply: '["))
    assert "base_url" in error.hint
    assert len(str(error)) < 500


@pytest.mark.parametrize("body", [b"{}", b'{"chats":[]}', b"null", b"true", b'"x"', b"7"])
def test_what_is_not_a_list_is_said_so(body: bytes) -> None:
    """An object around the list, or the service's own error, is never an empty page."""
    error = refuse(body)
    assert type(error) is NotAListError
    assert body.decode() in error.message


@given(st.integers(1, len(VENDOR_EXAMPLE.rstrip()) - 1))
def test_a_cut_list_is_known_as_such(length: int) -> None:
    """Wherever the body was cut, it is recognised, so that it can be asked for again."""
    error = refuse(VENDOR_EXAMPLE[:length])
    assert isinstance(error, NotJSONError)
    assert error.truncated
    assert str(error) == f"the JSON ends in the middle, after {length} bytes. The answer was cut: try again later."


@pytest.mark.parametrize(
    "document",
    [
        b'\n [{"phone":"1"}]',
        codecs.BOM_UTF8 + b'[{"phone":"1"}]',
        b'[{"phone":"1","x":[-1.25e-7,1E+9,-0.5]}]',
        rb'[{"phone":"1","name":"\ud83d \u00e7 \"x"}]',
        '[{"phone":"1","name":"ação 😀"}]'.encode(),
    ],
)
def test_a_list_is_cut_wherever_it_ends(document: bytes) -> None:
    """Behind a byte order mark, inside numbers, escapes and characters."""
    start = document.index(b"[") + 1
    for length in range(start, len(document)):
        error = refuse(document[:length])
        assert isinstance(error, NotJSONError)
        assert error.truncated, document[:length]


def test_a_page_of_problems_does_not_keep_the_event_loop() -> None:
    """A million bad items in two megabytes: a thousand of them are told, in well under the time for all."""
    error = refuse(b"[" + b"0," * 1_000_000 + b"0]")
    assert isinstance(error, DecodeError)
    assert exact_module.MOST_PROBLEMS <= len(error.problems) < exact_module.MOST_PROBLEMS + exact_module._SLICE
    assert error.message == f"at least {len(error.problems)} values can't be read"
    assert len(str(error)) < 1000


def test_how_many_values_are_bad_is_said() -> None:
    """If reading stopped at the thousandth, it is only known that they are no fewer."""
    most = exact_module.MOST_PROBLEMS
    # Then the thousandth is the last one of a slice.
    good = b'{"phone":"1"},' * (-most % exact_module._SLICE)
    for body, count in (
        (b"[0]", "1 value"),
        (b"[0,0]", "2 values"),
        (b"[" + b"0," * (most - 2) + b"0]", f"{most - 1} values"),
        (b"[" + good + b"0," * most + b"0]", f"at least {most} values"),
    ):
        assert refuse(body).message == f"{count} can't be read"


def test_problems_count_chats_across_slices() -> None:
    """The index is the page's, not the slice's."""
    chats: list[object] = [{"phone": "1"}] * 300
    chats[130] = chats[299] = 0
    assert [problem.partition(":")[0] for problem in problems(*chats)] == ["chat 130", "chat 299"]


def test_a_chat_nested_too_deeply_for_its_place_is_no_object() -> None:
    """Near the parser's limit the page may still be read where a chat is not."""
    for depth in range(900, 1100):
        answer = read(b'[{"phone":"1","x":' + b"[" * depth + b"]" * depth + b"}]")
        assert isinstance(answer, (tuple, ResponseError))
        if isinstance(answer, DecodeError):
            assert "expected an object" in str(answer)


def test_a_byte_order_mark_is_ignored() -> None:
    """RFC 8259, 8.1 allows it."""
    assert decode(codecs.BOM_UTF8 + b'[{"phone":"1"}]') == (Chat("1"),)


@pytest.mark.parametrize(
    ("spelled", "read"),
    [
        (r"Ana \ud83d\ude00", "Ana \U0001f600"),
        (r"Ana \ud83d", "Ana \ufffd"),
        (r"\ude00 Ana", "\ufffd Ana"),
        (r"\ud83d\ud83d\ude00", "\ufffd\U0001f600"),
        (r"\\ud83d \ud83d", "\\ud83d \ufffd"),
    ],
)
def test_half_an_emoji_does_not_hide_an_account(spelled: str, read: str) -> None:
    """A lone surrogate, left by a name that was cut, becomes the replacement character."""
    assert decode(f'[{{"phone":"1","name":"{spelled}"}}]'.encode())[0].name == read


def test_invalid_utf8_is_a_problem_of_its_field() -> None:
    """In a field that is read; in one that is not, it does not matter."""
    error = refuse(b'[{"phone":"1","name":"\xff"}]')
    assert isinstance(error, DecodeError)
    assert error.problems[0].field == "name"
    assert decode(b'[{"phone":"1","other":"\xff"}]') == (Chat("1"),)


def test_the_fast_lane_is_taken() -> None:
    """An ordinary page never reaches the exact lane."""
    assert fast(VENDOR_EXAMPLE) == decode(VENDOR_EXAMPLE)


def large_page(chats: int, **odd: Any) -> bytes:
    """A page of so many chats, with `odd` in the last one."""
    rows = [
        {"phone": str(i), "name": "},{", "unread": "1", "lastMessageTime": str(2 * 10**9 - i)} for i in range(chats)
    ]
    rows[-1] |= odd
    return json.dumps(rows).encode()


def pauses(body: bytes) -> int:
    """How often the caller may do something else while a body is read."""
    return sum(1 for _ in decode_slices(body, TOKEN, Chat))


@pytest.mark.parametrize("odd", [{}, {"unread": None}], ids=["fast lane", "exact lane"])
def test_a_large_page_is_read_in_slices(odd: dict[str, object]) -> None:
    """Of ten thousand chats none is lost or changed, and the event loop has its turn every few hundred of them."""
    chats = decode(large_page(10_000, **odd))
    assert [chat.phone for chat in chats] == [str(i) for i in range(10_000)]
    assert {chat.name for chat in chats} == {"},{"}
    assert pauses(large_page(10_000, **odd)) >= (10_000 // 128 - 1 if odd else 2)
    assert pauses(large_page(100)) == 0


def test_a_page_of_more_than_two_slices_is_no_slice() -> None:
    """However little more it is."""
    body = b'[%b{"phone":"1"},{"phone":"2"}]' % (b" " * 2 * decode_module._SLICE_BYTES)
    assert pauses(body) > 0


@pytest.mark.parametrize("labels", [1, 3, 16, 40])
def test_chats_that_hold_objects_are_cut_between_them(labels: int) -> None:
    """A cut that falls into a chat is no end of a slice; only where they hold very many is the exact lane asked."""
    held = {"labels": [{"id": number} for number in range(labels)], "unread": "1"}
    rows = [{"phone": str(i), **held} for i in range(20_000 if labels < 16 else 5000)]
    with patch.object(exact_module, "decode_exactly", side_effect=AssertionError):
        if labels <= 16:
            assert len(decode(json.dumps(rows).encode())) == len(rows)
        else:
            with pytest.raises(AssertionError):
                decode(json.dumps(rows).encode())
    assert [chat.phone for chat in decode(json.dumps(rows).encode())] == [row["phone"] for row in rows]


def test_the_fast_lane_tries_so_many_cuts_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """In each chat anew: the first cuts fall into it, the next one is its end. There are no blanks to step over."""
    monkeypatch.setattr(decode_module, "_SLICE_BYTES", 1)
    for labels, quick in ((decode_module._MOST_MISSES + 1, True), (decode_module._MOST_MISSES + 2, False)):
        rows = [{"phone": str(i), "labels": [{"id": label} for label in range(labels)]} for i in range(3)]
        body = json.dumps(rows, separators=(",", ":")).encode()
        assert (fast(body) is not None) == quick
        assert decode(body) == tuple(Chat(str(i)) for i in range(3))


def test_the_parsers_words_for_a_cut_body_are_as_expected() -> None:
    """It has no error class for it."""
    with pytest.raises(msgspec.DecodeError) as caught:
        msgspec.json.decode(b"[")
    assert str(caught.value) == exact_module._TRUNCATED


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["0", "1", "-1", "true", "FALSE", "null", "1622991687", "1e3", "1.0", "1.5", "", "nan", "-0"])
    | st.datetimes().map(lambda d: d.isoformat())
    | st.datetimes(timezones=st.timezones()).map(lambda d: d.isoformat())
)
KEYS = st.sampled_from(
    ["phone", "name", "unread", "lastMessageTime", "isMuted", "isMarkedSpam", "profileThumbnail", "messagesUnread", "x"]
)
# Where a body may be cut into slices, and what only looks like it.
CUTS = st.lists(st.sampled_from(["},{", '"', "\\", "[{", "}]", "x", "} ,\n{"]), max_size=4).map("".join)
CHATS = st.dictionaries(KEYS, SCALARS | st.lists(SCALARS, max_size=2)) | SCALARS
ANYTHING = st.recursive(SCALARS, lambda c: st.lists(c, max_size=4) | st.dictionaries(KEYS | st.text(max_size=3), c))
NUMBERS = st.integers() | st.floats() | st.integers().map(str) | st.sampled_from(["1e3", "1.0", "-0", "null", "9" * 30])
FLAGS = st.sampled_from(["0", "1", "true", "false", "TRUE", 0, 1, True, False, 2, "yes"])
TIMES = (
    st.integers(-(10**11), 10**12)
    | st.floats()
    | st.sampled_from(["1622991687", "-1.5", "null", "2021-06-06T12:00:00Z"])
)
# Most of these are read by the fast lane, unlike what mere chance makes.
PLAUSIBLE = st.fixed_dictionaries(
    {"phone": st.text(max_size=5)},
    optional={
        "name": st.none() | st.text(max_size=5) | CUTS,
        "unread": NUMBERS,
        "lastMessageTime": st.none() | TIMES,
        "isMuted": FLAGS,
        "isMarkedSpam": FLAGS,
        "messagesUnread": st.none() | NUMBERS,
        "x": SCALARS | st.lists(st.fixed_dictionaries({"phone": CUTS}), max_size=3),
    },
)
BODIES = (
    st.binary(max_size=64)
    | st.lists(PLAUSIBLE, min_size=1, max_size=3).map(lambda v: json.dumps(v).encode())
    | st.lists(CHATS, max_size=4).map(lambda v: json.dumps(v).encode())
    | st.lists(CHATS, max_size=4).map(lambda v: json.dumps(v, ensure_ascii=False).encode("utf-8", "surrogatepass"))
    | ANYTHING.map(lambda v: json.dumps(v).encode())
)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """The vendor's example with a few bytes changed, cut out or put in."""
    body = bytearray(VENDOR_EXAMPLE)
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(body)))
        end = draw(st.integers(start, min(len(body), start + 6)))
        body[start:end] = draw(
            st.binary(max_size=4) | st.sampled_from([b'"', b"\\", b"0", b"1.0", b"null", b"{", b"]"])
        )
    return bytes(body)


def exact(body: bytes) -> tuple[Chat, ...] | None:
    """What the exact lane alone makes of a body."""
    try:
        return finish(exact_module._read(body, exact_module._spelling_of(Chat)))
    except Exception:  # noqa: BLE001 - any refusal will do: it is compared with the fast lane's
        return None


def fast(body: bytes) -> tuple[Chat, ...] | None:
    """What the fast lane alone makes of a body: None if it refuses."""
    with suppress(decode_module._RefusedError):
        return finish(decode_module._read_fast(body, decode_module._decoder(Chat)))
    return None


@settings(max_examples=500)
@given(BODIES | mutated())
@example(VENDOR_EXAMPLE)
@example(b'[{"phone":"1","lastMessageTime":"2021-06-06T12:00:00+03:00"}]')
@example(b'[{"phone":"1","unread":1e999}]')
@example(b'[{"phone":"1","phone":"2","unread":"1"}]')
def test_the_lanes_agree(body: bytes) -> None:
    """What the fast lane reads, the exact lane reads alike; and nothing raises nothing, whatever the body."""
    quick = fast(body)
    if quick is not None:
        assert exact(body) == quick
        assert all(chat.last_message_time is None or chat.last_message_time.tzinfo is UTC for chat in quick)
    answer = read(body)
    assert isinstance(answer, (tuple, ResponseError))
    if quick is not None:
        assert answer == quick


@settings(max_examples=500)
@given(BODIES | mutated(), st.integers(0, 60), st.sampled_from([None, 0, 2]))
@example(VENDOR_EXAMPLE, 10, None)
@example(b'[{"phone":"1","name":"},{"},{"phone":"2"}]', 5, None)
@example(b'[{"phone":"1","x":[{"phone":"8"},{"phone":"9"}]},{"phone":"2"}]', 1, None)
@example(b'[{"phone":"1"},{"phone":"2"},{"phone":"3"}', 1, None)
@example(b'[{"phone":"1"},{"phone":"2"},]', 1, None)
def test_where_slices_end_changes_nothing(body: bytes, slice_bytes: int, indent: int | None) -> None:
    """Cut at any place where it may be cut, a body gives the same chats, or the same error, as in one piece."""
    with suppress(ValueError, RecursionError):
        body = json.dumps(json.loads(body), indent=indent).encode()
    whole = read(body)
    with patch.object(decode_module, "_SLICE_BYTES", slice_bytes):
        in_slices = read(body)
    assert repr(in_slices) == repr(whole)
    assert isinstance(in_slices, tuple) == isinstance(whole, tuple)
