"""The folder of an export: its files are the accounts' alone, and all bookkeeping is below `.plugchat/`."""

from pathlib import Path
from typing import Final

from plugchat_async._internal.files import flush_folder, output_errors
from plugchat_async._internal.links import resolve
from plugchat_async._internal.parts import remove_stale_parts
from plugchat_async.errors import OutputError

# Readers of whole folders skip names with a leading dot.
BOOKKEEPING: Final = ".plugchat"
# Their suffix differs from that of all files of chats, also for patterns such as `**/*.jsonl`.
MANIFEST: Final = f"{BOOKKEEPING}/manifest.ndjson"
FAILURES: Final = f"{BOOKKEEPING}/failures.ndjson"
# Where older versions had them.
OLDER_MANIFEST: Final = "_manifest.ndjson"
OLDER_FAILURES: Final = "failures.jsonl"


def make_folder(folder: Path, *, sync: bool) -> None:
    """Create the folder if it does not exist.

    Args:
        folder: The folder.
        sync: Whether a new folder is on disk afterwards.

    Raises:
        OutputError: It can't be created, or is behind another user's link in a folder like /tmp.
    """
    with output_errors(folder):
        target = resolve(folder)
        missing = [path for path in (target, *target.parents) if not path.exists()]
        target.mkdir(parents=True, exist_ok=True)
        for path in missing if sync else ():
            flush_folder(path.parent)


def make_bookkeeping(folder: Path, *, sync: bool) -> None:
    """Create `.plugchat` in the folder of an export if it does not exist.

    Args:
        folder: The folder, which exists.
        sync: Whether a new `.plugchat` is on disk afterwards.

    Raises:
        OutputError: It can't be created, or is a link or on another file system, so that no file in it could be renamed
            to one of the folder.
    """
    path = folder / BOOKKEEPING
    with output_errors(path):
        is_new = not resolve(path).exists()
        path.mkdir(exist_ok=True)
        if is_new and sync:
            flush_folder(folder)
        if path.is_symlink() or path.stat().st_dev != folder.stat().st_dev:
            raise OutputError(
                f"can't use {path}: it is a link, or on another file system than {folder}",
                "Remove the link or the mount, so that files can be renamed from there into the folder.",
                path=str(path),
            )


def parts_folder(folder: Path) -> Path:
    """Return where the files of an export are until they are complete."""
    return resolve(folder) / BOOKKEEPING


def remove_parts(folder: Path) -> None:
    """Remove the half-written files that killed processes have left, those of an older version included."""
    for path in (folder / BOOKKEEPING, folder):
        remove_stale_parts(path)
