import time

import pytest

from plugchat_async._secret import Secret

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
