"""JSON as servers really send it: forms that msgspec refuses although they are valid enough, and broken rows.

Pure.
"""

import codecs
import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

import msgspec
from msgspec import Raw

# What msgspec raises on input: DecodeError for syntax and types; UnicodeDecodeError, and ValueError for the year
# 10000, are ValueErrors; RecursionError for nested arrays.
REFUSALS: Final = (msgspec.DecodeError, ValueError, RecursionError)

decode_array = msgspec.json.Decoder(list[Raw]).decode
_decode_object = msgspec.json.Decoder(dict[str, Raw]).decode
_decode_any = msgspec.json.Decoder().decode

# msgspec has no error class of its own for it; a test holds this text to the installed version.
_TRUNCATED: Final = "Input data was truncated"


def split_array(body: bytes) -> list[Raw]:
    """Return the elements of a JSON array, each as its bytes.

    Raises:
        msgspec.DecodeError, ValueError, RecursionError: The body is not a JSON array.

    """
    try:
        return decode_array(body)
    except REFUSALS:
        return decode_array(mend(body))


def value_of(raw: bytes) -> Any:
    """Return a JSON value as a Python value, or its bytes if Python can't represent it.

    That is a number that is too long or too large, a text with broken UTF-8, or too many nested arrays.
    """
    try:
        return _decode_any(raw)
    except REFUSALS:
        return raw


def parse_rows(body: bytes) -> tuple[Mapping[str, Any], ...]:
    """Return the rows of a page's body, with all keys. A row that is not an object is an empty mapping."""
    return tuple(_parse_row(raw) for raw in split_array(body))


def _parse_row(raw: Raw) -> Mapping[str, Any]:
    try:
        return {key: value_of(bytes(value)) for key, value in _decode_object(raw).items()}
    except REFUSALS:
        return {}


def mend(data: bytes) -> bytes:
    """Return JSON without the forms that msgspec refuses although they are valid enough.

    A leading byte order mark may be ignored (RFC 8259, 8.1). A surrogate without its other half (8.2), the rest of an
    emoji in a name that was cut, becomes U+FFFD, the replacement character. NaN and the infinities, which some servers
    write though JSON does not have them, become texts.
    """
    data = data.removeprefix(codecs.BOM_UTF8)
    if any(name in data for name in _NO_NUMBERS) and data.lstrip().startswith(b"["):
        data = _quote_no_numbers(data)
    if not _SURROGATE.search(data):  # the search for the others is slower
        return data
    return _SURROGATES.sub(_replace_lone, data)


def _replace_lone(surrogates: re.Match[bytes]) -> bytes:
    return surrogates[1] + _PAIR_OR_LONE.sub(lambda found: found[1] or rb"\ufffd", surrogates[2])


def _quote_no_numbers(data: bytes) -> bytes:
    return b"".join([b'%b"%b"' % part if part[1] else part[0] for part in _UP_TO_NO_NUMBER.findall(data)])


_NO_NUMBERS: Final = (b"NaN", b"Infinity")
# Everything before it is consumed at once, and each byte is looked at once: texts to their end or the body's.
_UP_TO_NO_NUMBER: Final = re.compile(
    rb'((?:[^"NI\-]++|"(?:[^"\\]++|\\.)*+"?|N(?!aN)|I(?!nfinity)|-(?!Infinity))*+)(?:(NaN|-?Infinity)|\Z)', re.DOTALL
)
_SURROGATE: Final = re.compile(rb"\\u[dD][89a-fA-F]")
# Only surrogates are touched: a body may have megabytes of other escapes. Backslashes are counted from the first one of
# a run, so that an escaped backslash before a "u" is not taken for an escape.
_SURROGATES: Final = re.compile(rb"(?<!\\)((?:\\\\)*+)((?:\\u[dD][89a-fA-F][0-9a-fA-F]{2})++)")
_PAIR_OR_LONE: Final = re.compile(
    rb"(\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})|\\u[dD][89a-fA-F][0-9a-fA-F]{2}"
)


def is_cut(body: bytes) -> bool:
    """Return whether a body that can't be parsed is the beginning of a JSON array."""
    mended = mend(body)
    # After a sign, a point or an "e" the parser reports a missing digit, not a truncated body: so append one.
    return mended.lstrip().startswith(b"[") and _TRUNCATED in (_complaint(mended), _complaint(mended + b"0"))


def _complaint(text: bytes) -> str:
    complaint = ""
    # How deep is too deep depends on how deep the caller is.
    with suppress(RecursionError):
        try:
            decode_array(text)
        except msgspec.DecodeError as error:
            complaint = str(error)
    return complaint
