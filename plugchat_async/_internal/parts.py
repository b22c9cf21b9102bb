"""The temporary names of files that are being written, and those that killed processes have left."""

import os
import re
import socket
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from secrets import token_hex
from typing import Final

# File systems take names of 255 bytes; what is added to one here is less than 40.
_NAME_BYTES: Final = 200
# The temporary names that this process writes to now.
in_use: Final[set[str]] = set()
# Identifies this machine or container, among others that may share a folder.
_HOST: Final = sha256(socket.gethostname().encode()).hexdigest()[:8]
_PART: Final = re.compile(rf"\..*\.{_HOST}-([0-9]{{1,9}})-[0-9a-f]{{8}}\.part")


def temporary_name(target: Path, folder: Path | None = None) -> Path:
    """Return a hidden, unused name for the file that will be renamed to `target`.

    Args:
        target: The file.
        folder: The folder of the name (default None: that of `target`).
    """
    return (folder or target.parent) / f"{_prefix(target)}{os.getpid()}-{token_hex(4)}.part"


def _prefix(target: Path) -> str:
    """Return how the temporary names of a file begin."""
    name = target.name.encode(errors="surrogateescape")[:_NAME_BYTES].decode(errors="ignore")
    return f".{name}.{_HOST}-"


def remove_stale_parts(folder: Path, *, of: Path | None = None) -> None:
    """Remove the half-written files that killed processes of this machine have left in a folder.

    Args:
        folder: The folder.
        of: The file whose parts are removed (default None: those of all files).
    """
    prefix = "." if of is None else _prefix(of)
    with suppress(OSError):
        for name in os.listdir(folder):  # noqa: PTH208 - a third of the time, for each file that is written
            found = _PART.fullmatch(name) if name.startswith(prefix) else None
            if found is not None and name not in in_use and not _runs_elsewhere(int(found[1])):
                (folder / name).unlink(missing_ok=True)


def _runs_elsewhere(pid: int) -> bool:
    """Return whether another process has this number. Where that can't be known, True."""
    if pid == os.getpid():  # in a container each run may have the same
        return False
    if os.name != "posix":
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
