import html
import json
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rich.pretty import pretty_repr

from plugchat_async._http.secret import Secret

TOKEN = Secret("1nEFbU3EktLnV7LIIzX")


@pytest.mark.parametrize(
    "spelled",
    [
        'abc/DEF+ghi"JKL==',
        'ABC/def+GHI"jkl==',
        'abc\\/DEF+ghi\\"JKL==',
        "abc\\u002fDEF\\u002Bghi\\u0022JKL==",
        "abc%2FDEF%2bghi%22JKL%3D%3D",
        "abc&#47;DEF&#x2B;ghi&quot;JKL==",
        'abc/DEF+\r\n ghi"JKL==',
        "abc/DEF+ghi",
        "abc/DEF+",
    ],
)
def test_a_token_is_known_in_every_spelling(spelled: str) -> None:
    """As it is, as JSON, URLs and HTML escape it, in another case, folded, and cut after eight characters."""
    secret = Secret('abc/DEF+ghi"JKL==')
    for text in (f"no such token: {spelled}", f'{{"error": "{spelled}"}}', f"{spelled} is unknown"):
        shown = secret.redact(text)
        assert "***" in shown
        assert "ghi" not in shown.lower()
        assert "def" not in shown.lower()
        assert "unknown" in shown or "unknown" not in text


def test_a_short_token_is_known_whole() -> None:
    """Fewer than eight characters are no reason to show them."""
    assert Secret("abc").redact("token abc, abcd, a b c") == "token ***, ***d, ***"


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


@given(TOKENS, WAYS, st.sampled_from(["", "a ", "token=", '{"error":"', "<b>", "\\", "%", "&", "x" * 300]))
@example("a\\b", [3], "")
@example('say-"hello"', [8], "")
@example("100%25%", [0, 2], "")
def test_no_spelling_shows_a_token(token: str, ways: list[int], before: str) -> None:
    """Whatever a server does to each character, and whatever stands before and behind."""
    shown = Secret(token).redact(f"{before}{spelled(token, ways)} ©©©")
    assert "***" in shown
    assert shown.endswith(" ©©©")
    assert len("".join(shown.split())) <= len("***©©©") + 3 * len(before)  # short ones may be in `before`, too


@given(TOKENS, st.lists(TOKENS, max_size=3), WAYS)
def test_no_spelling_shows_a_former_token(token: str, former: list[str], ways: list[int]) -> None:
    """Of each one nothing is left, also if one is another's beginning."""
    secret = Secret(token, tuple(former))
    for value in (token, *former):
        assert secret.redact(f"[{spelled(value, ways)}]").strip("[]* \r\n") == ""


@given(TOKENS, st.text(max_size=60))
def test_a_text_without_the_token_stays_as_it_is(token: str, text: str) -> None:
    """Where its first eight characters are nowhere."""
    if not any(token[:1].lower() == character.lower() for character in text) and not set(text) & set("\\%&"):
        assert Secret(token).redact(text) == text


def test_a_long_token_takes_no_longer_than_a_short_one() -> None:
    """Whether the text holds it or not: nothing is compiled for a token."""
    for size in (20, 2000):
        value = "".join(chr(97 + place * 7 % 26) for place in range(size))
        started = time.process_time()
        assert Secret(value).redact(f"busy: {value} and {value.upper()}") == "busy: *** and ***"
        assert time.process_time() - started < 2.0


@given(TOKENS.filter(lambda token: len(token) > 8), WAYS, st.integers(8, 30))
@example("000000\\\\0", [0], 8)
def test_the_beginning_of_a_token_gives_it_away(token: str, ways: list[int], count: int) -> None:
    """What is cut off after eight characters or more is hidden as far as it goes, however it is spelled."""
    shown = Secret(token).redact(f'said "{spelled(token[:count], ways).rstrip()}" to nobody')
    assert shown.startswith('said "***')
    left = shown.removeprefix('said "***').removesuffix(" to nobody")
    # A quote within it ends what hangs on its beginning, as it ends a word; the beginning is hidden in any case.
    assert left == '"' or any(mark in token[8:count] for mark in "\"'<>") or any(way % 10 == 9 for way in ways)


def test_rich_does_not_show_it() -> None:
    """Which lists the fields of attrs classes, whatever their repr gives: so do its tracebacks with locals."""
    assert "s3cret" not in pretty_repr([Secret("s3cret-token", ("s3cret-former",))])
