"""Names of accounts, and the names of their files. Pure."""

import re
import unicodedata
from hashlib import sha256
from typing import Final

from plugchat_async.errors import InvalidValueError

# What some file system does not take. Leading dots and underscores hide files from readers of whole folders.
_UNSAFE: Final = re.compile(r'[\x00-\x1f\x7f"%*/:<>?\\|]|^[._]|[. ]$')
# Names that Windows keeps for devices, and that of the failures' file.
_RESERVED: Final = re.compile(r"(?:con|prn|aux|nul|com[0-9]|lpt[0-9])(?:\..*)?|failures", re.IGNORECASE)
# File systems take 255, suffixes included.
_BYTES: Final = 200


def file_name(name: str) -> str:
    """Give the name of an account's file, without its suffix: the account's, as far as file systems take it."""
    safe = _UNSAFE.sub(lambda found: f"%{ord(found[0]):02X}", name)
    if _RESERVED.fullmatch(safe):
        safe = f"%{ord(safe[0]):02X}{safe[1:]}"
    encoded = safe.encode()
    if len(encoded) <= _BYTES:
        return safe
    # The hash keeps apart what begins alike; elsewhere a "%" is followed by hexadecimal digits.
    return f"{encoded[: _BYTES - 18].decode(errors='ignore')}%~{sha256(name.encode()).hexdigest()[:16]}"


def name_key(name: str) -> str:
    """Give the same text for names that some file system takes for one.

    They differ in case, in how letters are composed, or in what is not seen: Unicode's canonical caseless matching
    (the standard's D145).
    """
    folded = unicodedata.normalize("NFD", unicodedata.normalize("NFD", name).casefold())
    return "".join(c for c in folded if unicodedata.category(c) != "Cf")


class AccountNames:
    """The names that were seen. It refuses one that was, or that some file system takes for one that was."""

    def __init__(self) -> None:
        self._seen: dict[str, str] = {}

    def add(self, name: object) -> None:
        """Note a name. InvalidValueError if it is none, or was noted before."""
        if not isinstance(name, str) or not name or name != name.encode(errors="replace").decode():
            raise InvalidValueError(f"{name!r} is no account's name", "Name each account by a text.")
        key = name_key(name)
        before = self._seen.get(key)
        if before is not None:
            both = f"two accounts named {name!r}" if before == name else f"accounts named {before!r} and {name!r}"
            raise InvalidValueError(f"there are {both}", "Give each account a name of its own.")
        self._seen[key] = name
