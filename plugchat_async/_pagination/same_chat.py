"""Whether a row is a chat of its key that was yielded: all that can be told from what rows look like."""

from collections.abc import Sequence

from plugchat_async._pagination.checkpoint import label_of
from plugchat_async._pagination.walk_state import WalkState
from plugchat_async.models import Chat


def was_yielded(state: WalkState, row: Chat, key: str) -> bool:
    """Return whether a row is equal to a chat that was yielded, in this process or before the walk was resumed."""
    labels = state.labels.get(key, ())
    return row in state.yielded.get(key, ()) or (bool(labels) and label_of(row) in labels)


def may_be_another(row: Chat, yielded: Sequence[Chat]) -> bool:
    """Return whether a row is no later state of any chat that was yielded: it is older, or has another name."""
    time = row.last_message_time
    return bool(yielded) and not any(
        row == chat
        or (time == chat.last_message_time and getattr(row, "name", None) == getattr(chat, "name", None))
        or (time is not None and (chat.last_message_time is None or time > chat.last_message_time))
        for chat in yielded
    )


def likeness_of(row: Chat, chat: Chat) -> tuple[bool, bool, bool, bool]:
    """Return how like a row is to a chat: equal; of the same name and picture, and not older; of its time; of its name.

    A chat that got another name has the time that it had. One of the same name that is older is another chat, or the
    same one without its last message.
    """
    time, before = row.last_message_time, chat.last_message_time
    of_row, of_chat = ((getattr(x, "name", None), getattr(x, "profile_thumbnail", None)) for x in (row, chat))
    same_name = of_row == of_chat
    not_older = before is None or (time is not None and time >= before)
    return row == chat, same_name and not_older, time == before, same_name
