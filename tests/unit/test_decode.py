import codecs
import json
import re
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any
from unittest.mock import patch

import attrs
import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from plugchat_async import FOREVER, Chat, DecodeError, NotAListError, NotJSONError, ResponseError, ResponseTooLargeError
from plugchat_async._http import decode as decode_module
from plugchat_async._http.decode import Decoded, OnBadValue
from plugchat_async._http.decode_fast import fast_lane
from plugchat_async._http.decode_values import MAX_TIME, MIN_MILLISECONDS, time_from_epoch, wire_name
from plugchat_async._http.secret import Secret
from plugchat_async._internal import json_slices
from plugchat_async._internal import lenient_json as json_module
from plugchat_async._internal.json_slices import RefusedError, read_slices
from plugchat_async._internal.steps import finish
from plugchat_async.converter import WireConverter, converter
from support import PAYLOADS

TOKEN = Secret("1nEFbU3EktLnV7LIIzX")
VENDOR_EXAMPLE = (PAYLOADS / "vendor_example.json").read_bytes()
GATEWAY_PAGE = (PAYLOADS / "gateway_page.json").read_bytes()


def read(body: bytes, on_bad_value: OnBadValue = "warn", using: WireConverter = converter) -> Decoded | ResponseError:
    """What becomes of a body."""
    return finish(using.decode_slices(body, TOKEN, Chat, on_bad_value))


def decode(body: bytes) -> tuple[Chat, ...]:
    """The chats of a body in which nothing is wrong."""
    decoded = read(body)
    assert isinstance(decoded, Decoded), decoded
    assert not decoded.problems
    assert not decoded.unreadable
    return decoded.items


def refuse(body: bytes) -> ResponseError:
    """The error of a body that can't be read, or in which something is wrong."""
    error = read(body, "raise")
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


@pytest.mark.parametrize("nothing", [None, ""])
def test_only_a_phone_or_a_lid_is_required(nothing: object) -> None:
    """All other fields have a default; null and "" are as good as absent; unknown keys are ignored."""
    assert one() == Chat("1")
    nulls = dict.fromkeys(
        (
            *("name", "unread", "lastMessageTime", "isMuted", "isMarkedSpam", "profileThumbnail", "messagesUnread"),
            *("lid", "pinned", "archived", "isGroup", "isGroupAnnouncement", "muteEndTime"),
        ),
        nothing,
    )
    assert one(**nulls, extra={"deep": [1]}) == Chat("1")
    for phone in ({}, {"phone": nothing}):
        assert decode(json.dumps([{**nulls, **phone, "lid": "1@lid"}]).encode()) == (Chat(lid="1@lid"),)


NOON = datetime(2021, 6, 6, 15, 1, 27, tzinfo=UTC)
FLAGS_OF = [
    (name, attribute, spellings, value)
    for name, attribute in (
        ("isMuted", "is_muted"),
        ("isMarkedSpam", "is_marked_spam"),
        ("pinned", "is_pinned"),
        ("archived", "is_archived"),
        ("isGroup", "is_group"),
        ("isGroupAnnouncement", "is_group_announcement"),
    )
    for spellings, value in (
        (["1", 1, 1.0, True, "true", "True", "TRUE", "tRuE"], True),
        (["0", 0, 0.0, False, "false", "FALSE", "-0", -0.0], False),
    )
]


@pytest.mark.parametrize(
    ("field", "attribute", "spellings", "value"),
    [
        ("phone", "phone", ["5511999999999", 5511999999999], "5511999999999"),
        ("lid", "lid", ["111000000000001@lid"], "111000000000001@lid"),
        ("unread", "unread", ["12", 12, 12.0, "12.0", "1.2e1"], 12),
        ("unread", "unread", ["1", 1, True], 1),
        # "Marked as unread": there is no message to count.
        ("unread", "unread", ["-1", -1, "0", 0, False, "null", ""], 0),
        ("messagesUnread", "messages_unread", [3, "3"], 3),
        ("messagesUnread", "messages_unread", ["", None, "null"], None),
        *FLAGS_OF,
        *[
            (name, name_of, ["", None, "null"], None)
            for name, name_of in (("pinned", "is_pinned"), ("isGroup", "is_group"))
        ],
        (
            "lastMessageTime",
            "last_message_time",
            [
                *("1622991687", 1622991687, 1622991687.0, "1622991687.0"),
                *("1622991687000", 1622991687000, "1622991687000.0"),
                *("1622991687000000", 1622991687000000),
                *("2021-06-06T15:01:27Z", "2021-06-06T12:01:27-03:00", "2021-06-06 15:01:27+00:00"),
                "2021-06-06t15:01:27.000000000z",
            ],
            NOON,
        ),
        ("lastMessageTime", "last_message_time", ["1.5", 1.5], datetime(1970, 1, 1, 0, 0, 1, 500_000, tzinfo=UTC)),
        (
            "lastMessageTime",
            "last_message_time",
            ["1622991687123", 1622991687123000, "2021-06-06T15:01:27.123Z"],
            NOON.replace(microsecond=123_000),
        ),
        # The borders between the units.
        ("lastMessageTime", "last_message_time", [99_999_999_999], datetime(5138, 11, 16, 9, 46, 39, tzinfo=UTC)),
        ("lastMessageTime", "last_message_time", [100_000_000_000], datetime(1973, 3, 3, 9, 46, 40, tzinfo=UTC)),
        (
            "lastMessageTime",
            "last_message_time",
            [99_999_999_999_999],
            datetime(5138, 11, 16, 9, 46, 39, 999_000, tzinfo=UTC),
        ),
        ("lastMessageTime", "last_message_time", [100_000_000_000_000], datetime(1973, 3, 3, 9, 46, 40, tzinfo=UTC)),
        (
            "lastMessageTime",
            "last_message_time",
            [253_402_300_799_999_999],
            datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
        ),
        ("lastMessageTime", "last_message_time", ["0", 0, 0.0, "", None, "null"], None),
        ("muteEndTime", "muted_until", ["1622991687000", 1622991687000], NOON),
        ("muteEndTime", "muted_until", [-1, "-1", -1.0], FOREVER),
        ("muteEndTime", "muted_until", ["0", 0, "", None], None),
        ("name", "name", ["null"], "null"),
        ("name", "name", ["7", 7], "7"),
        ("name", "name", ["", None], None),
        ("profileThumbnail", "profile_thumbnail", ["", None], None),
    ],
)
def test_each_spelling_is_read(field: str, attribute: str, spellings: list[object], value: object) -> None:
    """Those of the vendor's table, of its example, and of the gateway of today."""
    for spelling in spellings:
        read = getattr(one(**{field: spelling}), attribute)
        assert read == value, spelling
        assert type(read) is type(value)


def test_times_are_in_utc() -> None:
    """Whatever the offset was."""
    for spelling in (1622991687, "1622991687000", "2021-06-06T12:01:27-03:00", "2021-06-06T15:01:27+00:00"):
        time = one(lastMessageTime=spelling).last_message_time
        assert time is not None
        assert time.tzinfo is UTC


TIME = "a time: epoch seconds, milliseconds or microseconds, or RFC 3339 with an offset"
FLAG = "true or false, 1 or 0"


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"phone": True}, "phone: expected a text, got true"),
        ({"phone": 1.5}, "phone: expected a text, got 1.5"),
        ({"phone": ["2"]}, 'phone: expected a text, got ["2"]'),
        ({"phone": 10**30}, f"phone: expected a text, got {10**30}"),
        ({"name": {}}, "name: expected a text, got {}"),
        ({"lid": False}, "lid: expected a text, got false"),
        ({"unread": "many"}, "unread: expected a count, got 'many'"),
        ({"unread": " "}, "unread: expected a count, got ' '"),
        ({"unread": -2}, "unread: expected a count, got -2"),
        ({"unread": 1.5}, "unread: expected a count, got 1.5"),
        ({"unread": []}, "unread: expected a count, got []"),
        ({"unread": 2**63}, f"unread: expected a count, got {2**63}"),
        ({"lastMessageTime": "abc"}, f"lastMessageTime: expected {TIME}, got 'abc'"),
        ({"lastMessageTime": True}, f"lastMessageTime: expected {TIME}, got true"),
        ({"lastMessageTime": -1}, f"lastMessageTime: expected {TIME}, got -1"),
        ({"lastMessageTime": 253402300800000000}, f"lastMessageTime: expected {TIME}, got 253402300800000000"),
        ({"lastMessageTime": "2021-06-06T15:01:27"}, f"lastMessageTime: expected {TIME}, got '2021-06-06T15:01:27'"),
        ({"lastMessageTime": "2021-02-30T15:01:27Z"}, f"lastMessageTime: expected {TIME}, got '2021-02-30T15:01:27Z'"),
        ({"lastMessageTime": "2021-W22-7T15:01:27Z"}, f"lastMessageTime: expected {TIME}, got '2021-W22-7T15:01:27Z'"),
        (
            {"lastMessageTime": "0001-01-01T00:00:00+03:00"},
            f"lastMessageTime: expected {TIME}, got '0001-01-01T00:00:00+03:00'",
        ),
        ({"muteEndTime": -2}, f"muteEndTime: expected {TIME}, got -2"),
        ({"isMuted": 2}, f"isMuted: expected {FLAG}, got 2"),
        ({"isMuted": "no"}, f"isMuted: expected {FLAG}, got 'no'"),
        ({"isMarkedSpam": "2"}, f"isMarkedSpam: expected {FLAG}, got '2'"),
        ({"isMarkedSpam": {}}, f"isMarkedSpam: expected {FLAG}, got {{}}"),
        ({"pinned": -1}, f"pinned: expected {FLAG}, got -1"),
        ({"profileThumbnail": False}, "profileThumbnail: expected a text, got false"),
        ({"messagesUnread": "x"}, "messagesUnread: expected a count, got 'x'"),
    ],
)
def test_each_malformed_value_names_its_path(fields: dict[str, object], problem: str) -> None:
    """Index, the vendor's name of the field, what was expected, what came. It costs no other value."""
    rows: list[object] = [{"phone": "1"}, {"phone": "2", "lid": "2@lid", "name": "Ana", "unread": 3, **fields}]
    assert problems(*rows) == [f"chat 1, {problem}"]
    decoded = read(json.dumps(rows).encode())
    assert isinstance(decoded, Decoded)
    assert [str(problem) for problem in decoded.problems] == [f"chat 1, {problem}"]
    [odd] = [a.name for a in attrs.fields(Chat) if wire_name(a.name) in fields]
    whole = Chat("2", "Ana", 3, lid="2@lid")
    default: Any = attrs.fields_dict(Chat)[odd].default
    assert decoded.items == (Chat("1"), attrs.evolve(whole, **{odd: default}))


def test_all_problems_are_told_in_order() -> None:
    """A row that is no object, one without an id, and several bad fields of one chat; all others are read."""
    rows = [None, {"name": "x"}, {"phone": "1"}, {"phone": "2", "unread": "x", "isMuted": "y"}, {"lid": "3"}, "z"]
    told = [
        "chat 0: expected an object, got null",
        "chat 1: expected a phone or a lid, got neither",
        "chat 3, unread: expected a count, got 'x'",
        "chat 3, isMuted: expected true or false, 1 or 0, got 'y'",
        "chat 5: expected an object, got 'z'",
    ]
    assert problems(*rows) == told
    decoded = read(json.dumps(rows).encode())
    assert isinstance(decoded, Decoded)
    assert [str(problem) for problem in decoded.problems] == told
    assert (decoded.items, len(decoded.unreadable), decoded.problem_count) == (
        (Chat("1"), Chat("2"), Chat(lid="3")),
        3,
        5,
    )
    assert len(set(decoded.unreadable)) == 3


def test_an_id_that_can_not_be_read_leaves_the_other() -> None:
    """A row is a chat as long as one of its two ids is one; if none is, each is told."""
    decoded = read(b'[{"phone":[],"lid":"1"},{"phone":"2","lid":{}},{"phone":[],"lid":{}}]')
    assert isinstance(decoded, Decoded)
    assert decoded.items == (Chat(lid="1"), Chat("2"))
    assert [str(problem) for problem in decoded.problems][2:] == [
        "chat 2, phone: expected a text, got []",
        "chat 2, lid: expected a text, got {}",
        "chat 2: expected a phone or a lid, got neither",
    ]


@pytest.mark.parametrize("on_bad_value", ["warn", "raise"])
@pytest.mark.parametrize(
    ("body", "is_page"),
    [
        (b"[{}]", False),
        (b'[{"name":"x"}]', False),
        (b'[{"phone":"1"},{},{}]', False),
        (b'[{"id":1,"title":"a post"},{"id":2}]', False),
        (b"[1,2,3]", False),
        (b'[{"phone":"1"},{}]', True),
        (b'[{"phone":"1"},{},{"phone":"2"}]', True),
        (b"[]", True),
    ],
)
def test_a_page_of_few_chats_is_none(body: bytes, is_page: bool, on_bad_value: OnBadValue) -> None:
    """If less than half of the rows, or not one, has a phone or a lid, the answer is something else than chats."""
    decoded = read(body, on_bad_value)
    if not is_page:
        assert isinstance(decoded, DecodeError)
        assert decoded.message.startswith("not a page of chats: of ")
        assert decoded.problems
    else:
        assert not str(decoded).startswith("this is no page")
        assert isinstance(decoded, Decoded) == (on_bad_value == "warn" or body == b"[]")


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
    assert (
        str(error) == f"the JSON ends in the middle, after {length} bytes. The response was cut off: try again later."
    )


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


@pytest.mark.slow
def test_a_page_of_problems_ends_early() -> None:
    """Of a hundred thousand rows that are none, no more are read than are told; that is known of the first ones."""
    body = b"[" + b"0," * 99_999 + b"0]"
    expected: list[tuple[OnBadValue, str, int]] = [
        ("raise", "at least 1000 values can't be read", 1000),
        ("warn", "not a page of chats: of 100000 rows, at least 1001 have neither a phone nor a lid", 1001),
    ]
    for on_bad_value, message, reads in expected:
        with patch.object(decode_module, "_digest_of", return_value="") as digest:
            error = read(body, on_bad_value)
        assert isinstance(error, DecodeError)
        assert (error.message, len(error.problems)) == (message, decode_module.MAX_PROBLEMS)
        assert digest.call_count == reads
        assert len(str(error)) < 1000


def test_bad_rows_among_many_good_ones_are_only_told() -> None:
    """More than a thousand of them, but fewer than half of those that were read until then."""
    rows = (b'{"phone":"1","unread":[]},{"phone":"2"},0,' * 1100)[:-1]
    decoded = read(b"[%b]" % rows)
    assert isinstance(decoded, Decoded)
    assert (len(decoded.items), len(decoded.unreadable)) == (2200, 1100)


def test_a_page_of_too_many_bad_values_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each takes microseconds, and a small body may hold millions of them. So many as are allowed are only told."""
    monkeypatch.setattr(decode_module, "_MAX_BAD_VALUES", 20)
    rows = [b'{"phone":"1","unread":[],"name":[]}'] * 10
    assert isinstance(read(b"[%b]" % b",".join(rows)), Decoded)
    error = read(b"[%b]" % b",".join([*rows, b'{"phone":"1","unread":[]}']))
    assert isinstance(error, DecodeError)
    assert error.message == "at least 21 values can't be read"
    assert len(error.problems) == 21


def test_how_many_values_are_bad_is_said() -> None:
    """If reading stopped at the thousandth, it is only known that they are no fewer. A warning counts them all."""
    most = decode_module.MAX_PROBLEMS
    bad = b'{"phone":"1","unread":[]}'
    for bads, count in (
        (1, "1 value"),
        (2, "2 values"),
        (most - 1, f"{most - 1} values"),
        (most, f"at least {most} values"),
    ):
        body = b"[" + b",".join([bad] * bads) + b"]"
        assert refuse(body).message == f"{count} can't be read"
    decoded = read(b"[" + b",".join([bad] * (most + 7)) + b"]")
    assert isinstance(decoded, Decoded)
    assert (len(decoded.items), len(decoded.problems), decoded.problem_count) == (most + 7, most, most + 7)


def test_problems_count_chats_across_slices() -> None:
    """The index is the page's, not the slice's."""
    chats: list[object] = [{"phone": "1"}] * 300
    chats[130] = chats[299] = 0
    assert [problem.partition(":")[0] for problem in problems(*chats)] == ["chat 130", "chat 299"]


def test_a_chat_nested_too_deeply_for_its_place_is_no_object() -> None:
    """Near the parser's limit the page may still be read where a chat is not."""
    for depth in range(900, 1100):
        answer = read(b'[{"phone":"1","x":' + b"[" * depth + b"]" * depth + b"}]")
        assert isinstance(answer, (Decoded, ResponseError))
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
    assert str(error.problems[0]) == 'chat 0, name: expected a text, got "\ufffd"'
    assert decode(b'[{"phone":"1","other":"\xff"}]') == (Chat("1"),)


def test_the_fast_lane_is_taken() -> None:
    """An ordinary page is never read row by row, neither the vendor's example nor one of today's."""
    for body in (VENDOR_EXAMPLE, GATEWAY_PAGE):
        assert fast(body) == decode(body)


def test_an_odd_row_leaves_the_others_to_the_fast_lane() -> None:
    """Only the row that is spelled in an odd way is read by cattrs."""
    rows = [{"phone": str(number), "unread": "1"} for number in range(10)]
    rows[4]["unread"] = ""
    reads: list[int] = []
    read_slowly = decode_module._RowReader.read

    def noted(reader: Any, row: bytes, index: int) -> Any:
        reads.append(index)
        return read_slowly(reader, row, index)

    with patch.object(decode_module._RowReader, "read", noted):
        assert [chat.unread for chat in decode(json.dumps(rows).encode())] == [1, 1, 1, 1, 0, 1, 1, 1, 1, 1]
    assert reads == [4]


def large_page(chats: int, **odd: Any) -> bytes:
    """A page of so many chats, with `odd` in the last one."""
    rows = [
        {"phone": str(i), "name": "},{", "unread": "1", "lastMessageTime": str(2 * 10**9 - i)} for i in range(chats)
    ]
    rows[-1] |= odd
    return json.dumps(rows).encode()


def pauses(body: bytes) -> int:
    """How often the caller may do something else while a body is read."""
    return sum(1 for _ in converter.decode_slices(body, TOKEN, Chat, "warn"))


@pytest.mark.parametrize("odd", [{}, {"unread": None}], ids=["fast lane", "row by row"])
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


@pytest.mark.slow
@pytest.mark.parametrize("labels", [1, 3, 16, 40])
def test_chats_that_hold_objects_are_cut_between_them(labels: int) -> None:
    """A cut that falls into a chat is no end of a slice; only where they hold very many is it read row by row."""
    held = {"labels": [{"id": number} for number in range(labels)], "unread": "1"}
    rows = [{"phone": str(i), **held} for i in range(20_000 if labels < 16 else 5000)]
    with patch.object(decode_module, "_read_rows", side_effect=AssertionError):
        if labels <= 16:
            assert len(decode(json.dumps(rows).encode())) == len(rows)
        else:
            with pytest.raises(AssertionError):
                decode(json.dumps(rows).encode())
    assert [chat.phone for chat in decode(json.dumps(rows).encode())] == [row["phone"] for row in rows]


def test_the_fast_lane_tries_so_many_cuts_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """In each chat anew: the first cuts fall into it, the next one is its end."""
    monkeypatch.setattr(decode_module, "_SLICE_BYTES", 200)
    for labels, quick in ((json_slices._MAX_MISSES + 1, True), (json_slices._MAX_MISSES + 2, False)):
        held = {"text": "x" * 200, "labels": [{"id": label} for label in range(labels)]}
        rows = [{"phone": str(i), **held} for i in range(3)]
        body = json.dumps(rows, separators=(",", ":")).encode()
        assert (fast(body) is not None) == quick
        assert decode(body) == tuple(Chat(str(i)) for i in range(3))


def test_the_parsers_words_for_a_cut_body_are_as_expected() -> None:
    """It has no error class for it."""
    with pytest.raises(msgspec.DecodeError) as caught:
        msgspec.json.decode(b"[")
    assert str(caught.value) == json_module._TRUNCATED


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
KEYS = st.sampled_from([*(wire_name(a.name) for a in attrs.fields(Chat)), "x"])
# Where a body may be cut into slices, and what only looks like it.
CUTS = st.lists(st.sampled_from(["},{", '"', "\\", "[{", "}]", "x", "} ,\n{"]), max_size=4).map("".join)
CHATS = st.dictionaries(KEYS, SCALARS | st.lists(SCALARS, max_size=2)) | SCALARS
ANYTHING = st.recursive(SCALARS, lambda c: st.lists(c, max_size=4) | st.dictionaries(KEYS | st.text(max_size=3), c))
NUMBERS = st.integers() | st.floats() | st.integers().map(str) | st.sampled_from(["1e3", "1.0", "-0", "null", "9" * 30])
FLAGS = st.sampled_from(["0", "1", "true", "false", "TRUE", 0, 1, True, False, 2, "yes"])
TIMES = (
    st.integers(-(10**11), 10**18)
    | st.integers(0, 10**15).map(str)
    | st.floats()
    | st.sampled_from(["1622991687", "1768497607000", 0, "0", "-1", "-1.5", "null", "2021-06-06T12:00:00Z"])
)
# Most of these are read by the fast lane, unlike what mere chance makes.
PLAUSIBLE = st.fixed_dictionaries(
    {"phone": st.text(max_size=5)},
    optional={
        "lid": st.none() | st.text(max_size=5),
        "pinned": FLAGS,
        "isGroup": FLAGS,
        "muteEndTime": st.none() | TIMES,
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


SLOW = converter.copy()


def fast(body: bytes) -> tuple[Chat, ...] | None:
    """What the fast lane alone makes of a body: None if it refuses."""
    lane = fast_lane(Chat)
    assert lane is not None
    with suppress(RefusedError):
        return tuple(finish(read_slices(body, lane.read, decode_module._SLICE_BYTES)))
    return None


@pytest.mark.slow
@settings(max_examples=500)
@given(BODIES | mutated(), st.sampled_from(["warn", "raise"]))
@example(VENDOR_EXAMPLE, "warn")
@example(GATEWAY_PAGE, "raise")
@example(b'[{"phone":"1","lastMessageTime":"2021-06-06T12:00:00+03:00"}]', "warn")
@example(b'[{"phone":"1","unread":1e999}]', "warn")
@example(b'[{"phone":"1","phone":"2","unread":"1"}]', "warn")
def test_the_accelerator_changes_nothing(body: bytes, on_bad_value: OnBadValue) -> None:
    """With the fast lane and without it a body gives the same chats, problems or error; and nothing raises, ever."""
    answer = read(body, on_bad_value)
    assert repr(read(body, on_bad_value, SLOW)) == repr(answer)
    assert isinstance(answer, (Decoded, ResponseError))
    if isinstance(answer, Decoded):
        times = [time for chat in answer.items for time in (chat.last_message_time, chat.muted_until)]
        assert all(time is None or time.tzinfo is UTC for time in times)
        assert all(chat.id for chat in answer.items)
        assert {type(chat) for chat in answer.items} <= {Chat}


@pytest.mark.slow
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


@pytest.mark.slow
@settings(max_examples=300)
@given(st.lists(PLAUSIBLE, min_size=3, max_size=5), st.integers(0, 2), KEYS, ANYTHING)
def test_any_value_in_any_field_costs_no_other_chat(
    rows: list[dict[str, Any]], odd: int, key: str, value: object
) -> None:
    """Whatever JSON one field of one row holds, every other chat is read as if it were not there."""
    rows = [row | {"phone": f"55{number}"} for number, row in enumerate(rows)]
    before = read(json.dumps(rows).encode())
    assert isinstance(before, Decoded)
    rows[odd] = rows[odd] | {key: value}
    after = read(json.dumps(rows).encode())
    assert isinstance(after, Decoded), after
    others = [chat for number, chat in enumerate(before.items) if number != odd]
    rest = list(after.items)
    if len(rest) == len(before.items):
        changed = rest.pop(odd)
        names = {a.name for a in attrs.fields(Chat) if wire_name(a.name) != key}
        assert all(getattr(changed, name) == getattr(before.items[odd], name) for name in names)
    assert rest == others


HOSTILE = [
    ("a year beyond 9999", {"lastMessageTime": "10000-01-01T00:00:00Z"}, 1),
    ("a number of 6,000 digits", {"unread": "RAW" + "9" * 6000}, 1),
    ("a text of 6,000 digits", {"unread": "9" * 6000}, 1),
    ("a time of 6,000 digits", {"lastMessageTime": "RAW" + "1" * 6000}, 1),
    ("a phone of 6,000 digits", {"lid": "RAW" + "9" * 6000}, 1),
    ("an infinite number", {"unread": "RAW1e999"}, 1),
    ("a lone surrogate", {"name": "\ud83d"}, 0),
    ("25,000 unknown keys", {f"key{number}": number for number in range(25_000)}, 0),
    ("a deep value", {"unread": [[[[[[[[["x"]]]]]]]]]}, 1),
]


@pytest.mark.parametrize(("fields", "count"), [row[1:] for row in HOSTILE], ids=[row[0] for row in HOSTILE])
def test_hostile_values_are_problems_or_values(fields: dict[str, object], count: int) -> None:
    """They end in bounded time, and the other chat of the page is read."""
    body = json.dumps([{"phone": "1", **fields}, {"phone": "2"}]).replace('"RAW', "")
    body = re.sub(r"(9{6000}|1{6000}|1e999)\"", r"\1", body) if "RAW" in str(fields)[:400] else body
    decoded = read(body.encode())
    assert isinstance(decoded, Decoded)
    assert [chat.phone for chat in decoded.items] == ["1", "2"]
    assert decoded.problem_count == count
    assert all(str(problem).isprintable() and len(str(problem)) < 200 for problem in decoded.problems)


@pytest.mark.parametrize("bare", ["NaN", "Infinity", "-Infinity"])
def test_what_is_no_number_costs_only_itself(bare: str) -> None:
    """JSON has no such value, but some servers write it; within a text it stays what it is, escapes and all."""
    text = f'NaN, "{bare}" \\'
    rows = f'[{{"phone":"1","unread":{bare},"name":{json.dumps(text)}}},{{"phone":"2","x":[{bare}]}}]'
    decoded = read(rows.encode())
    assert isinstance(decoded, Decoded)
    assert decoded.items == (Chat("1", text), Chat("2"))
    assert [str(problem) for problem in decoded.problems] == [f"chat 0, unread: expected a count, got '{bare}'"]


def test_texts_without_an_end_are_looked_at_once() -> None:
    """Two megabytes of escaped quotes around a NaN are refused in linear time."""
    assert isinstance(read(b"[NaN," + b'\\"' * 1_000_000), ResponseTooLargeError)


@given(
    st.lists(
        st.none()
        | st.integers(0, MAX_TIME)
        | st.integers(MIN_MILLISECONDS - 2, MIN_MILLISECONDS + 2)
        | st.integers(2**33 * 1000 - 2, 2**33 * 1000 + 2)
        | st.integers(1_500_000_000_000, 1_900_000_000_000)
    )
)
def test_a_pages_times_are_those_of_each_value(numbers: list[int | None]) -> None:
    """To the microsecond, although msgspec makes them of quotients."""
    body = json.dumps([{"phone": "1", "lastMessageTime": number} for number in numbers]).encode()
    times = [chat.last_message_time for chat in decode(body)]
    assert times == [time_from_epoch(number) if number else None for number in numbers]
