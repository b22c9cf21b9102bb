"""Clip in messages what looks like a token: one that was put in the wrong place must not be shown. Pure."""

import re
from collections.abc import Collection, Generator, Sequence
from typing import Final

# As long as this is what may be a token.
_TOKEN_CHARS: Final = 20
# How much of it is shown, so that its place can be found.
_SHOWN_CHARS: Final = 4
# How much of it must be found: a message may have cut it off.
_FOUND_CHARS: Final = 12
# The shortest text that is taken for a token because of its place: a shorter one is in many words.
_MIN_CHARS: Final = 4
_SEPARATORS: Final = re.compile(r"[\s/\\]+")
# The user name and password of a URL, such as a proxy's.
_LOGIN: Final = re.compile(r"//[^\s/@\"']+@")
# The rest of it, without the punctuation of the message.
_REST: Final = r"[^\s/\\\"']*(?<![.,:;])"
# Spellings of the option for the token, and what is behind them.
_TOKEN_OPTION: Final = re.compile(r"(?:--tok(?:en)?|-t)=?(.*)", re.DOTALL | re.IGNORECASE)
# Hosts and files, and of a path also folders whose names are words and numbers.
_NAME: Final = re.compile(r".*\.[a-z]{2,7}", re.DOTALL)
_WORDS: Final = re.compile(r"(?:[A-Za-z]{0,19}[0-9]{0,19}[-_.])+[A-Za-z]{0,19}[0-9]{0,19}")


def clip_tokens(
    text: str, arguments: Sequence[str], token: str | None, options: Collection[str] = (), *, names: bool = False
) -> str:
    """Return a message about a command without the tokens that may be in its arguments.

    Args:
        text: The message.
        arguments: The command's arguments.
        token: The token in the environment, if there is one. It is taken out wherever it is.
        options: The names of all options, which are left as they are.
        names: Whether to leave what is rather the name of a host, a file or a folder, such as plugchat.example.com,
            all-chats-of-ana.jsonl and exports/november_2026_monday (default False).
    """
    text = _LOGIN.sub("//***@", text)
    given = set(_values_of_token(arguments)).difference(options)
    secrets = {secret for secret in (token, *given) if secret and len(secret) >= _MIN_CHARS}
    for secret in sorted(secrets, key=len, reverse=True):
        text = re.sub(re.escape(secret), "***", text, flags=re.IGNORECASE)
    found = {
        part
        for argument in arguments
        for part in _parts(argument)
        if len(part) >= _TOKEN_CHARS and not (names and _is_name(part, argument))
    }
    for part in sorted(found.difference(options), key=len, reverse=True):
        pattern = re.escape(part[:_FOUND_CHARS]) + _REST
        text = re.sub(pattern, f"{part[:_SHOWN_CHARS]}…", text, flags=re.IGNORECASE)
    return text


def _is_name(part: str, argument: str) -> bool:
    is_path = _SEPARATORS.search(argument) is not None and "://" not in argument
    return bool(_NAME.fullmatch(part) or (is_path and _WORDS.fullmatch(part)))


def _values_of_token(arguments: Sequence[str]) -> Generator[str]:
    """Yield what an option for the token was given."""
    for index, argument in enumerate(arguments):
        found = _TOKEN_OPTION.fullmatch(argument)
        if found is not None:
            yield found[1] or "".join(arguments[index + 1 : index + 2])


def _parts(argument: str) -> Generator[str]:
    """Yield what of an argument may be a token, also behind a dash and behind the name of an option."""
    for part in _SEPARATORS.split(argument):
        name, equals, value = part.partition("=")
        if part.startswith("-") and equals:
            yield name
            yield name.lstrip("-")
            yield value
        else:
            yield part
            yield part.lstrip("-")
            yield part.rpartition(".")[2]  # a message about a file's name may show its suffix only
