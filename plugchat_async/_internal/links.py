"""Symbolic links: what is behind one, by the rule of Linux for folders that everybody may write to."""

import errno
import os
import stat
from pathlib import Path
from typing import Final

from plugchat_async.errors import OutputError

_MAX_LINKS: Final = 40  # as many as Linux follows


def resolve(path: Path) -> Path:
    """Return the path that is behind a link, or behind several, as the last one of `follow`."""
    return follow(path)[-1]


def follow(path: Path) -> list[Path]:
    """Return a path, and where each link leads: last the path that is no link, also if nothing is there.

    In a folder like /tmp, another user could put a link where a file will be written, and so choose what is replaced.
    Linux itself refuses to open such a link (fs.protected_symlinks), but not to read where it leads, and other systems
    don't refuse at all.

    Raises:
        OutputError: A link in a sticky folder that everybody may write to belongs neither to this process's user nor to
            the owner of the folder.
        OSError: There are too many links.
    """
    current, passed = path, [path]
    while len(passed) <= _MAX_LINKS:
        folder = Path(os.path.realpath(current.parent))
        entry = folder / current.name
        try:
            behind = os.readlink(entry)  # noqa: PTH115 - as Windows writes it, too
        except OSError:  # not a link, or not there
            return [*passed, entry]
        if os.name == "posix" and not _may_follow(folder, entry):
            raise OutputError(
                f"can't write {path}: {entry} is a link of another user, in a folder that everybody may write to",
                "Use a folder of your own, or the path that the link leads to.",
                path=str(path),
            )
        current = folder / behind
        passed.append(current)
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))


def _may_follow(folder: Path, link: Path) -> bool:
    mode = folder.stat().st_mode
    if not (mode & stat.S_ISVTX and mode & stat.S_IWOTH):
        return True
    return _owner_of(link) in (os.geteuid(), _owner_of(folder))


def _owner_of(path: Path) -> int:
    return path.lstat().st_uid
