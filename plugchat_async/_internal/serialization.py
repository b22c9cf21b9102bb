"""Values as short texts that can be stored anywhere and read again: compressed JSON in base64. Pure."""

import base64
import binascii
import zlib
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

import msgspec

from plugchat_async.errors import InvalidValueError

T = TypeVar("T")

# How much a text may grow: phones and names compress to a third, and zeros to a thousandth.
_MAX_GROWTH: Final = 64
_MAX_SMALL: Final = 16 * 1024 * 1024


class PackedText:
    """A text that `from_text` reads, made of pieces: a long value needs no long step, and may grow.

    Args:
        version: The version of the value's format.
    """

    def __init__(self, version: int) -> None:
        # The fastest level: a sixth longer, in a third of the time.
        self._packing = zlib.compressobj(1)
        self._texts: list[str] = []
        self._left = b""  # what is not a multiple of three bytes, as base64 takes them
        self.add(b'{"version":%d,"value":' % version)

    def add(self, json: bytes) -> None:
        """Add a piece of the value's JSON."""
        packed = self._left + self._packing.compress(json)
        whole = len(packed) - len(packed) % 3
        self._left = packed[whole:]
        if whole:
            self._texts.append(_base64(packed[:whole]))

    def finish(self, json: bytes) -> str:
        """Return the text with the last piece. More may be added afterwards, instead of that."""
        packing = self._packing.copy()
        packed = self._left + packing.compress(json + b"}") + packing.flush()
        return "".join((*self._texts, _base64(packed)))


def _base64(packed: bytes) -> str:
    return base64.urlsafe_b64encode(packed).decode("ascii")


def from_text(
    text: str,
    kinds: Mapping[int, type[T]],
    *,
    name: str,
    what: str,
    hint: str,
    dec_hook: Callable[[type[Any], Any], Any] | None = None,
) -> T:
    """Return the value of a text.

    Args:
        text: The text.
        kinds: The class of the value, for each version that can be read.
        name: The name of the text, for the error.
        what: What the text should be, for the error.
        hint: The hint of the error.
        dec_hook: Makes the objects that msgspec does not know, as for `msgspec.json.decode` (default None: none).

    Raises:
        InvalidValueError: The text holds no such value, or one of an unknown version.
    """
    try:
        body = _decompress(base64.b64decode(text, altchars=b"-_", validate=True))
        found = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
        of_version = bytes(found.get("version", msgspec.Raw(b"null")))
        by_version = {str(version).encode(): kind for version, kind in kinds.items()}
        if of_version not in by_version:
            raise InvalidValueError(f"{name} is {what} of version {of_version.decode()[:20]}", hint)
        return msgspec.json.decode(found["value"], type=by_version[of_version], dec_hook=dec_hook)
    except (ValueError, KeyError, zlib.error, binascii.Error, msgspec.DecodeError, RecursionError) as error:
        if isinstance(error, InvalidValueError):
            raise
        raise InvalidValueError(f"{name} is not {what}", hint) from None


def _decompress(packed: bytes) -> bytes:
    """Return the decompressed bytes, or raise ValueError if they are too large, cut off, or followed by others."""
    unpacking = zlib.decompressobj()
    body = unpacking.decompress(packed, _MAX_SMALL + _MAX_GROWTH * len(packed))
    if not unpacking.eof or unpacking.unused_data:
        raise ValueError("too large, cut off, or followed by other bytes")
    return body
