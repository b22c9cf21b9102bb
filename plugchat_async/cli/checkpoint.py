"""The file of `--checkpoint`: where a failed walk can be resumed."""

import sys
from pathlib import Path

from plugchat_async import ConsistencyError, InvalidValueError, OutputError, PlugChatError
from plugchat_async._http.urls import CHATS_PATH
from plugchat_async._internal.files import write_private
from plugchat_async._pagination.checkpoint import unpack
from plugchat_async._pagination.walk_state import Consistency


def read_checkpoint(file: Path | None) -> str | None:
    """Return the checkpoint in a file, None if there is none.

    Raises:
        InvalidValueError: The file can't be read.
    """
    if file is None:
        return None
    if not file.parent.is_dir():
        raise InvalidValueError(f"no folder for the checkpoint {file}", "Use another path for --checkpoint.")
    try:
        if not file.exists():
            return None
        text = file.read_text("ascii").strip()
        unpack(text, CHATS_PATH)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not a checkpoint"
        raise InvalidValueError(
            f"can't read the checkpoint {file}: {reason}", "Use another path for --checkpoint."
        ) from None
    return text


def forget_checkpoint(file: Path | None) -> None:
    """Remove a checkpoint that is no longer valid."""
    if file is not None:
        file.unlink(missing_ok=True)


def save_checkpoint(error: PlugChatError, file: Path | None, consistency: Consistency) -> str:
    """Save the checkpoint of a failed walk, if there is one, and return a hint how to resume the walk.

    Args:
        error: The walk's error. All chats before it were written to stdout.
        file: The file of `--checkpoint`, if given.
        consistency: The walk's consistency.
    """
    if isinstance(error, ConsistencyError):
        forget_checkpoint(file)  # all chats were written
        return ""
    if file is not None and error.checkpoint is not None:
        forget_checkpoint(file)  # the earlier one is outdated
        sys.stdout.flush()  # if that fails, chats are lost that the checkpoint would skip
        try:
            write_private(file, error.checkpoint + "\n")  # it contains phones, lids and names
        except OutputError as problem:
            return f" The chats written so far are valid, but the checkpoint could not be saved: {problem.message}."
        return " Run the same command again to resume."
    if error.page is None or error.page == 1:
        return ""
    if consistency == "plain":
        return (
            " The chats written so far are valid; to resume, use "
            f"--consistency plain --start-page {error.page} --page-size {error.page_size}."
        )
    return " The chats written so far are valid; with --checkpoint FILE, a failed run can be resumed."
