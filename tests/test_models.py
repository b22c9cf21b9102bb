import copy
import pickle
from datetime import UTC, datetime

import attrs
import pytest

from plugchat_async import Chat, Page

CHAT = Chat("5511999999999", "Plug-suporte", 3, datetime(2021, 6, 6, tzinfo=UTC), is_muted=True)


def test_a_chat_is_a_frozen_value() -> None:
    """Equal by its fields, hashable, not to be changed, picklable."""
    assert Chat("5511999999999", "Plug-suporte", 3, datetime(2021, 6, 6, tzinfo=UTC), is_muted=True) == CHAT
    assert len({CHAT, copy.copy(CHAT)}) == 1
    assert pickle.loads(pickle.dumps(CHAT)) == CHAT
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        setattr(CHAT, "unread", 0)  # noqa: B010 - type checkers know that it is frozen
    assert not hasattr(CHAT, "__dict__")


@pytest.mark.parametrize(("count", "last"), [(0, True), (1, True), (2, False), (3, False)])
def test_a_short_page_is_the_last(count: int, last: bool) -> None:
    """Fewer chats than asked for; a server that sends more has not ended."""
    page = Page(1, 2, (CHAT,) * count, b"[]")
    assert page.is_last == last
    assert pickle.loads(pickle.dumps(page)) == page
    assert "raw=<2 bytes>" in repr(page)
