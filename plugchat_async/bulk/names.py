"""Names of accounts and of their files. Pure."""

import re
import unicodedata
from hashlib import sha256
from typing import Final

from plugchat_async.errors import InvalidValueError

# Characters that some file system refuses, and leading dots and underscores, which hide files from readers of folders.
_UNSAFE: Final = re.compile(r'[\x00-\x1f\x7f"%*/:<>?\\|]|^[._]|[. ]$')
# The names of devices on Windows, and the name of the failure log of older versions.
_RESERVED: Final = re.compile(r"(?:con|prn|aux|nul|com[0-9]|lpt[0-9])(?:\..*)?|failures", re.IGNORECASE)
# File systems allow 255, suffixes included.
_MAX_BYTES: Final = 200


def file_name(name: str) -> str:
    """Return the name of an account's file without its suffix: the account's name, with unsafe characters escaped."""
    safe = _UNSAFE.sub(lambda found: f"%{ord(found[0]):02X}", name)
    if _RESERVED.fullmatch(safe):
        safe = f"%{ord(safe[0]):02X}{safe[1:]}"
    encoded = safe.encode()
    if len(encoded) <= _MAX_BYTES:
        return safe
    # The hash distinguishes names with the same start. No escape looks like "%~": those have hexadecimal digits.
    return f"{encoded[: _MAX_BYTES - 18].decode(errors='ignore')}%~{sha256(name.encode()).hexdigest()[:16]}"


def name_key(name: str) -> str:
    """Return a key that is equal for names that some file system does not distinguish.

    Such names differ in case, in the composition of letters, or in invisible characters: canonical caseless matching
    (D145 in the Unicode standard).
    """
    folded = unicodedata.normalize("NFD", unicodedata.normalize("NFD", name).casefold())
    return "".join(c for c in folded if unicodedata.category(c) != "Cf")


class AccountNames:
    """A set of names that differ on every file system."""

    def __init__(self) -> None:
        self._seen: dict[str, str] = {}

    def add(self, name: object) -> None:
        """Add a name.

        Raises:
            InvalidValueError: The name is not valid, or some file system does not distinguish it from an earlier one.
        """
        if not isinstance(name, str) or not name or name != name.encode(errors="replace").decode():
            raise InvalidValueError(f"invalid account name {name!r}", "Use a non-empty string.")
        key = name_key(name)
        before = self._seen.get(key)
        if before is not None:
            both = f"two accounts named {name!r}" if before == name else f"accounts named {before!r} and {name!r}"
            raise InvalidValueError(f"there are {both}", "Use a different name for each account.")
        self._seen[key] = name

    def __contains__(self, name: str) -> bool:
        """Return whether some file system does not distinguish a name from one of these."""
        return name_key(name) in self._seen
