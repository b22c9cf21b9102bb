import html
import json
import subprocess
import sys
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rich.pretty import pretty_repr

from plugchat_async._http.secret import _ESCAPE, Secret, _spellings, _unescape

TOKEN = Secret("1nEFbU3EktLnV7LIIzX")


@pytest.mark.parametrize(
    "spelled",
    [
        'abc/DEF+ghi"JKL==',
        'ABC/def+GHI"jkl==',
        'abc/DEF+ghi\\"JKL==',
        'abc\\/DEF+ghi\\"JKL==',
        "abc%2FDEF%2bghi%22JKL%3D%3D",
        "abc/DEF+ghi&quot;JKL==",
    ],
)
def test_a_token_is_replaced_in_the_usual_spellings(spelled: str) -> None:
    """As it is, as JSON, URLs and HTML escape it, and in another case: what stands around it stays."""
    secret = Secret('abc/DEF+ghi"JKL==')
    assert secret.redact(f"no such token: {spelled}") == "no such token: ***"
    assert secret.redact(f'{{"error": "{spelled}"}}') == '{"error": "***"}'
    assert secret.redact(f"{spelled} is unknown") == "*** is unknown"


@pytest.mark.parametrize(
    "spelled",
    [
        "abc\\u002fDEF\\u002Bghi\\u0022JKL==",
        "abc&#47;DEF&#x2B;ghi&quot;JKL==",
        "abc%252FDEF%252Bghi",
        'abc/DEF+\r\n ghi"JKL==',
        'abc/D EF+ghi"JKL==',
        "abc/DEF+ghi",
        "abc/DEF+",
    ],
)
def test_a_text_is_not_shown_with_a_token_in_another_spelling(spelled: str) -> None:
    """Escaped in another way, escaped again, folded, or cut after eight characters."""
    secret = Secret('abc/DEF+ghi"JKL==')
    for text in (f"no such token: {spelled}", f'{{"error": "{spelled}"}}', f"{spelled} is unknown"):
        assert secret.redact(text) == "[redacted]"
    assert secret.redact(spelled[:7]) == spelled[:7]


def test_a_text_may_be_escaped_again_and_again() -> None:
    """Four times are undone; more are no server's way."""
    secret = Secret("abcdefghij")
    for times in range(4):
        assert secret.redact(f"%{'25' * times}61bcdefgh") == "[redacted]"
    assert secret.redact(f"%{'25' * 9}61") == f"%{'25' * 9}61"


def test_html_is_spelled_as_by_the_standard_library() -> None:
    """Whose module is not loaded for five names."""
    value = "".join(map(chr, range(0x20, 0x180)))
    assert html.escape(value) in _spellings(value)
    for name in ("amp", "lt", "gt", "quot", "apos", "QUOT", "apo\u017f"):  # the last one has a long s
        assert _ESCAPE.sub(_unescape, f"a&{name};b") == f"a{html.unescape(f'&{name};'.lower())}b"
    code = "import sys; from plugchat_async import PlugChatSession; sys.exit('html.entities' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)


def test_a_short_token_is_known_whole() -> None:
    """Fewer than eight characters are no reason to show them."""
    assert Secret("abc").redact("token abc, abcd, ab c, a-b-c") == "[redacted]"
    assert Secret("abc").redact("token abc, abcd, a-b-c") == "token ***, ***d, a-b-c"


def test_redaction_takes_no_time_on_hostile_text() -> None:
    """Backslashes in text and token, blanks, and a token of four kilobytes: linear, all of them."""
    for value in (TOKEN.value, "\\" * 20 + "zzzz", "a" * 4000):
        secret = Secret(value)
        for text in ("\\" * 4096, " " * 4096, "a" * 4096, "&#0" * 1300, value * 3):
            started = time.process_time()
            secret.redact(text)
            assert time.process_time() - started < 20.0  # a search that backtracks would take minutes


def spelled(token: str, ways: list[int]) -> str:
    """A token as servers echo it: each character in one of these ways."""

    def character(c: str, way: int) -> str:
        spellings = [c, c.swapcase(), f"%{ord(c):02x}", f"\\u{ord(c):04X}", f"&#{ord(c)};", f"&#x{ord(c):x};"]
        spellings += [json.dumps(c)[1:-1], html.escape(c), json.dumps(html.escape(c))[1:-1], f"{c}\r\n "]
        return spellings[way % len(spellings)]

    return "".join(character(c, ways[place % len(ways)]) for place, c in enumerate(token))


TOKENS = st.text([chr(code) for code in range(33, 127)], min_size=1, max_size=30)
WAYS = st.lists(st.integers(0, 9), min_size=1, max_size=30)


# What could be taken for an escape itself: servers escape the whole of such a token in one way.
PLAIN_TOKENS = TOKENS.filter(lambda token: not set(token) & set("\\%&"))


def is_hidden(shown: str, token: str) -> bool:
    """Whether a text shows no token: `***`, or nothing of it."""
    return shown == "[redacted]" or ("***" in shown and token[:8].lower() not in shown.replace("***", "").lower())


@given(PLAIN_TOKENS, WAYS, st.sampled_from(["", "a ", "token=", '{"error":"', "<b>", "x" * 300]))
@example('say-"hello"', [8], "")
def test_no_spelling_shows_a_token(token: str, ways: list[int], before: str) -> None:
    """Whatever a server does to each character, and whatever stands before and behind."""
    text = f"{before}{spelled(token, ways)} ©©©"
    shown = Secret(token).redact(text)
    assert shown == "[redacted]" or (shown.endswith(" ©©©") and is_hidden(shown.removeprefix(before), token))


@given(TOKENS, st.integers(0, 9), st.sampled_from(["", "a ", '{"error":"', "<b>", "\\", "%", "&"]))
@example("a\\b", 3, "")
@example("100%25%", 2, "")
@example("%41%42%43", 0, "%")
def test_no_spelling_shows_a_token_that_looks_like_an_escape(token: str, way: int, before: str) -> None:
    """The whole of it is spelled in one way."""
    shown = Secret(token).redact(f"{before}{spelled(token, [way])} ©©©")
    assert shown == "[redacted]" or (shown.endswith(" ©©©") and is_hidden(shown.removeprefix(before), token))


@given(PLAIN_TOKENS, st.lists(PLAIN_TOKENS, max_size=3), WAYS)
def test_no_spelling_shows_a_former_token(token: str, former: list[str], ways: list[int]) -> None:
    """Of each one nothing is left, also if one is another's beginning."""
    secret = Secret(token, tuple(former))
    for value in (token, *former):
        assert is_hidden(secret.redact(f"({spelled(value, ways)})"), value)


@given(TOKENS, st.text(max_size=60))
def test_a_text_without_the_token_stays_as_it_is(token: str, text: str) -> None:
    """Where its first character is nowhere."""
    first = token.lstrip("\\")[:1].lower()
    if first and first not in text.lower() and not set(text) & set("\\%&"):
        assert Secret(token).redact(text) == text


def test_a_long_token_takes_no_longer_than_a_short_one() -> None:
    """Whether the text holds it or not."""
    for size in (20, 2000):
        value = "".join(chr(97 + place * 7 % 26) for place in range(size))
        started = time.process_time()
        assert Secret(value).redact(f"busy: {value} and {value.upper()}") == "busy: *** and ***"
        assert time.process_time() - started < 2.0


@given(PLAIN_TOKENS.filter(lambda token: len(token) > 8), WAYS, st.integers(8, 30))
def test_the_beginning_of_a_token_gives_it_away(token: str, ways: list[int], count: int) -> None:
    """What is cut off after eight characters or more is hidden, however it is spelled."""
    shown = Secret(token).redact(f'said "{spelled(token[:count], ways).rstrip()}" to nobody')
    assert is_hidden(shown, token)


def test_rich_does_not_show_it() -> None:
    """Which lists the fields of attrs classes, whatever their repr gives: so do its tracebacks with locals."""
    assert "s3cret" not in pretty_repr([Secret("s3cret-token", ("s3cret-former",))])
