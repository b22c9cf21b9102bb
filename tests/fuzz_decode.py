"""A fuzz target: whatever a page's body is, the accelerator changes nothing of it: chats, or an error of ours.

    python tests/fuzz_decode.py -max_total_time=60 [corpus]

The options are libFuzzer's, whose last line says how many inputs were run ("Done ... runs"); what fails is written to a
file "crash-...", which may be given instead of a corpus to see it again. It needs `pip install atheris`. An input whose
first byte is odd, as that of the seeds is, is a body; any other one chooses how a page is built,
which goes deeper than bytes do by chance.
"""

import contextlib
import importlib
import json
import pickle
import re
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager
from datetime import UTC
from typing import Any
from unittest.mock import patch

from support import PAYLOADS


def _load_fuzzer() -> Any:
    """Give atheris, or end the program and say what is missing."""
    try:
        return importlib.import_module("atheris")
    except ImportError:
        sys.exit("the fuzzer is not installed: pip install atheris (CPython on Linux and macOS)")


def _observed() -> AbstractContextManager[object]:
    """Let the fuzzer see which branches are taken in what is imported within; only if this is the program."""
    if __name__ != "__main__":
        return contextlib.nullcontext()
    instrumented: AbstractContextManager[object] = _load_fuzzer().instrument_imports(include=["plugchat_async"])
    return instrumented


with _observed():
    from plugchat_async import Chat, DecodeError, NotAListError, NotJSONError, ResponseError
    from plugchat_async._http import decode as decoder
    from plugchat_async._http.decode_fast import fast_lane
    from plugchat_async._http.secret import Secret
    from plugchat_async._internal.json_slices import RefusedError, read_slices
    from plugchat_async._internal.steps import finish
    from plugchat_async.converter import converter

Answer = decoder.Decoded | ResponseError
# A copy reads without the accelerator.
SLOW = converter.copy()

# It looks like nothing that chance or the fuzzer makes.
TOKEN = Secret("tk-9f3c1d77-e2b8")
# A message shows 200 characters of a body, or ten problems of 60 characters each, with words around them.
_MAX_TEXT = 2500
# Hundreds of brackets that are opened one after the other.
_DEEP = re.compile(rb"(?:[\[{][^\[\]{}]*+){300}")


class DisagreementError(AssertionError):
    """The decoder did something that it promises not to do."""


def run_one(data: bytes) -> None:
    """Run one input of the fuzzer's. DisagreementError, or whatever comes out of the decoder, if it finds something."""
    check(body_of(data))


def check(body: bytes) -> None:
    """See what becomes of a body, with the accelerator and without, in slices, and written and read again."""
    answer = finish(converter.decode_slices(body, TOKEN, Chat, "warn"))
    slow = finish(SLOW.decode_slices(body, TOKEN, Chat, "warn"))
    strict = finish(converter.decode_slices(body, TOKEN, Chat, "raise"))
    # The parser's limit is that of Python's stack: what is nested that deeply depends on who reads it.
    if not _DEEP.search(body):
        quick = _fast(body)
        if quick is not None:
            _agree("the fast lane", decoder.Decoded(quick), "the converter", slow, body)
        _agree("the decoder", answer, "the converter", slow, body)
        _agree("the decoder", answer, "the decoder in small slices", _in_slices(body, len(body) % 61), body)
        _check_strict(strict, answer, body)
    if isinstance(answer, decoder.Decoded):
        _check_chats(answer, body)
    else:
        _check_error(answer, body)
    if isinstance(strict, ResponseError):
        _check_error(strict, body)


def _fast(body: bytes) -> tuple[Chat, ...] | None:
    lane = fast_lane(Chat)
    assert lane is not None
    try:
        return tuple(finish(read_slices(body, lane.read, decoder._SLICE_BYTES)))
    except RefusedError:
        return None


def _in_slices(body: bytes, slice_bytes: int) -> Answer:
    with patch.object(decoder, "_SLICE_BYTES", slice_bytes):
        return finish(converter.decode_slices(body, TOKEN, Chat, "warn"))


def _check_strict(strict: Answer, answer: Answer, body: bytes) -> None:
    """Where bad values are raised, there is an error if there is a problem, and else what there is anyway."""
    if not isinstance(answer, decoder.Decoded):
        if type(strict) is not type(answer):
            raise DisagreementError(f"told: {answer!r}\nraised: {strict!r}\nof {body!r}")
    elif not answer.problems:
        _agree("the decoder", answer, "the decoder that raises", strict, body)
    elif not isinstance(strict, DecodeError) or strict.problems != answer.problems:
        raise DisagreementError(f"told: {answer!r}\nraised: {strict!r}\nof {body!r}")


def _agree(one_name: str, one: Answer, other_name: str, other: Answer, body: bytes) -> None:
    # By their texts: True equals 1, and a time equals the same moment in another zone.
    if type(one) is not type(other) or repr(one) != repr(other):
        raise DisagreementError(f"{one_name}: {one!r}\n{other_name}: {other!r}\nof {body!r}")


def _check_chats(answer: decoder.Decoded, body: bytes) -> None:
    chats = answer.items
    for chat in chats:
        times = [time for time in (chat.last_message_time, chat.muted_until) if time is not None]
        if not (type(chat) is Chat and chat.id and all(time.tzinfo is UTC for time in times)):
            raise DisagreementError(f"no chat should be {chat!r}, of {body!r}")
    for problem in answer.problems:
        if not str(problem).isprintable():
            raise DisagreementError(f"no text should be {str(problem)!r}, of {body!r}")
    again = finish(converter.decode_slices(written(chats), TOKEN, Chat, "raise"))
    _agree("decoded", decoder.Decoded(chats), "written and decoded again", again, body)


def _check_error(error: ResponseError, body: bytes) -> None:
    text = str(error)
    if type(error) not in (NotJSONError, NotAListError, DecodeError):
        raise DisagreementError(f"no error should be {error!r}, of {body!r}")
    if not text.isprintable() or len(text) > _MAX_TEXT:
        raise DisagreementError(f"no text should be {text!r}, of {body!r}")
    again = pickle.loads(pickle.dumps(error))
    if type(again) is not type(error) or (str(again), repr(again)) != (text, repr(error)):
        raise DisagreementError(f"{error!r} was {again!r} when it was unpickled, of {body!r}")


def written(chats: Sequence[Chat]) -> bytes:
    """Write chats as a page, as the gateway does."""
    return json.dumps([converter.unstructure(chat) for chat in chats], ensure_ascii=len(chats) % 2 == 0).encode()


# From the fuzzer's bytes to a page.

# fmt: off
_KEYS = (
    b"phone", b"name", b"unread", b"lastMessageTime", b"isMuted", b"isMarkedSpam", b"profileThumbnail",
    b"messagesUnread", b"lid", b"pinned", b"isGroup", b"muteEndTime",
    b"x", b"Phone", b"last_message_time", rb"\u0070hone", rb"un\u0072ead", b"",
)
# Where a large page may be cut into slices, and what only looks like it; escapes, halves of an emoji, other encodings.
_TEXTS = (
    b"", b"1", b"},{", b"}, {", b"[{", b"}]", rb"\"", rb"\\", rb"\/", rb"\n", rb"\u0000", rb"\ud83d\ude00",
    rb"\ud83d", rb"\ude00", rb"\uD83D\u0041", rb"\\ud83d", rb"\u00e7", b"\xc3\xa7", b"\xf0\x9f\x98\x80", b"\xff",
    b"\xed\xa0\x80", b"\xc0\x80", b"\x7f", b"\t", b"\x00", rb"\x", rb"\u12", b"'", b"null", b"NaN", b"</script>",
    TOKEN.value.encode(),
)
_NUMBERS = (
    b"0", b"1", b"-1", b"-0", b"2", b"1.0", b"-0.0", b"1.5", b"1e3", b"1E+2", b"15e-1", b"1e-400", b"1e999",
    b"01", b"+1", b".5", b"1.", b"-", b"0x1", b"1_0", b"NaN", b"Infinity", b"9007199254740993", b"1e22",
    b"9223372036854775807", b"9223372036854775808", b"18446744073709551616", b"-9223372036854775809",
    b"9" * 30, b"9" * 400, b"9" * 5000, b"0." + b"3" * 400, b"1622991687", b"1622991687.123456789", b" 1", b"1 ",
)
_TIMES = (
    b"253402300799", b"253402300800", b"-62135596800", b"-62135596801", b"253402300799.9999999", b"1e9", b"-1.5",
    b"1622991687000", b"1622991687123", b"1622991687123456", b"99999999999", b"100000000000", b"99999999999999",
    b"100000000000000", b"253402300799999999", b"253402300800000000", b"-2",
    b"0.0000004", b"0.0000005", b"2021-06-06T15:01:27Z", b"2021-06-06T12:01:27-03:00",
    b"2021-06-06t15:01:27z", b"2021-06-06 15:01:27Z", b"2021-06-06T15:01:27", b"2021-06-06", b"15:01:27Z",
    b"2021-06-06T15:01:27.123456789Z", b"2021-06-06T15:01:27.9999999Z", b"2021-06-06T23:59:60Z",
    b"9999-12-31T23:59:59.9999999Z", b"9999-12-31T23:59:59-00:01", b"0001-01-01T00:00:00+00:01",
    b"2021-06-06T24:00:00Z", b"2021-02-29T00:00:00Z", b"2021-06-06T15:01:27+00:00", b"2021-06-06T15:01:27-00:00",
    b"2021-06-06T15:01:27+23:59", b"2021-06-06T15:01:27+24:00", rb"2021-06-06T15:01:27\u002b03:00", b"0000-01-01",
)
_FLAGS = (b"true", b"false", b"TRUE", b"False", b"tRue", b"0", b"1", b"2", b"yes", b"", b"null", b" true", b"1.0")
_BLANKS = (b"", b"", b"", b" ", b"\n", b"\t\r\n ")
_ODDITIES = (
    b"", b"", b"", b"", b",", b"}", b"]", b"{", b'"', b"x", b"\x00", b"[]", b"\xef\xbb\xbf", b"\xff", b"null",
    b":", b"\x0b", b"\xc2\xa0", b"//\n", b"0", b'":"', b"\\", b"},{", b" ", b"[", b"1.0", b"-",
)
# fmt: on


class _Chooser:
    """Takes decisions from bytes. When they are used up, it takes the first of all choices."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._place = 0

    def below(self, count: int) -> int:
        if self._place >= len(self._data):
            return 0
        self._place += 1
        return self._data[self._place - 1] % count

    def among(self, choices: Sequence[bytes]) -> bytes:
        return choices[self.below(len(choices))]

    def some(self, count: int) -> bytes:
        start, self._place = self._place, self._place + count
        return self._data[start : self._place]


def body_of(data: bytes) -> bytes:
    """Give the body that an input stands for."""
    if not data or data[0] % 2:
        return data
    how, chooser = data[0] // 2, _Chooser(data[1:])
    odd, times = how & 1 == 1, how >> 1 & 7
    rows = [_row(chooser, odd=odd) for _ in range(1 + chooser.below(6))]
    if times == 7 and sum(map(len, rows)) < 1000:  # long enough for several slices of the exact lane
        rows *= 40
    body = b"[" + (b"," + chooser.among(_BLANKS)).join(rows) + b"]"
    match how >> 4:
        case 5:
            body = b"\xef\xbb\xbf" + body
        case 6:  # a piece of it is replaced
            start = chooser.below(256) * len(body) // 256
            body = body[:start] + chooser.among(_ODDITIES) + body[start + chooser.below(8) :]
        case 7:  # it is cut
            body = body[: chooser.below(256) * len(body) // 256]
        case _:
            """It stays as it is."""
    return body


def _row(chooser: _Chooser, *, odd: bool) -> bytes:
    if odd and chooser.below(32) == 31:
        return _value(chooser, b"x", odd=True)
    keys = [b"phone"] * (not odd or chooser.below(32) != 31)
    keys += [_KEYS[chooser.below(len(_KEYS) if odd else 13)] for _ in range(chooser.below(8))]
    blank = chooser.among(_BLANKS) if odd else b""
    return b"{" + b",".join(b'"%b":%b%b' % (key, blank, _value(chooser, key, odd=odd)) for key in keys) + b"}"


def _value(chooser: _Chooser, key: bytes, *, odd: bool) -> bytes:
    if odd and chooser.below(16) == 15:
        key = b"x"
    match key:
        case b"phone" | b"name" | b"profileThumbnail" | b"lid":
            return b'"%b"' % _text(chooser, odd=odd)
        case b"unread" | b"messagesUnread":
            return _maybe_quoted(chooser, chooser.among(_NUMBERS) if chooser.below(2) else _digits(chooser))
        case b"lastMessageTime" | b"muteEndTime":
            return _maybe_quoted(chooser, chooser.among(_TIMES) if chooser.below(2) else _digits(chooser))
        case b"isMuted" | b"isMarkedSpam" | b"pinned" | b"isGroup":
            return _maybe_quoted(chooser, chooser.among(_FLAGS if odd else _FLAGS[:7]))
        case _:
            return _anything(chooser)


def _text(chooser: _Chooser, *, odd: bool) -> bytes:
    # Most of what is odd is no JSON, which hides all else.
    choices = _TEXTS if odd and chooser.below(8) == 7 else _TEXTS[: 19 if odd else 12]
    text = b"".join(chooser.among(choices) for _ in range(chooser.below(5)))
    return text + chooser.some(chooser.below(4)) if odd and chooser.below(16) == 15 else (b"" if odd else b"1") + text


def _digits(chooser: _Chooser) -> bytes:
    sign, point = chooser.among((b"", b"-")), chooser.below(16)
    number = str(int.from_bytes(chooser.some(1 + chooser.below(6)))).encode()
    return sign + (number[:point] + b"." + number[point:] if 0 < point < len(number) else number)


def _maybe_quoted(chooser: _Chooser, value: bytes) -> bytes:
    return b'"%b"' % value if chooser.below(3) else value


def _anything(chooser: _Chooser) -> bytes:
    if chooser.below(2):
        return b"null"
    # The parser's limit is near a thousand, less the frames that are under way.
    depth = (0, 1, 2, 3, 100, 1030, 5000, 960 + chooser.below(40))[chooser.below(8)]
    inside = chooser.among(
        (b"null", b"true", b"{}", b"[]", b'{"phone":"8"},{"phone":"9"}', b"0", b'""', b"NaN", b'"},{"')
    )
    if depth % 2:
        return b'{"x":[' * depth + inside + b"]}" * depth
    return b"[" * depth + inside + b"]" * depth


def main(arguments: Sequence[str]) -> None:
    """Fuzz until libFuzzer's options say that it is enough."""
    atheris = _load_fuzzer()
    seeds = ",".join(str(path) for path in sorted(PAYLOADS.iterdir()))
    # Large enough for pages of some slices, small enough for thousands of them a second.
    atheris.Setup([arguments[0], f"-seed_inputs={seeds}", "-max_len=2048", *arguments[1:]], run_one)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv)
