import copy
import gc
import inspect
import pickle
import typing
from datetime import UTC, datetime

import attrs
import cattrs
import pytest

from fakes import finish
from plugchat_async import Chat, Page
from plugchat_async._decode import decode_slices
from plugchat_async._secret import Secret

CHAT = Chat("5511999999999", "Plug-suporte", 3, datetime(2021, 6, 6, tzinfo=UTC), is_muted=True)


def test_a_chat_is_a_frozen_value() -> None:
    """Equal by its fields, hashable, not to be changed, picklable."""
    assert Chat("5511999999999", "Plug-suporte", 3, datetime(2021, 6, 6, tzinfo=UTC), is_muted=True) == CHAT
    assert len({CHAT, copy.copy(CHAT)}) == 1
    assert pickle.loads(pickle.dumps(CHAT)) == CHAT
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        setattr(CHAT, "unread", 0)  # noqa: B010 - type checkers know that it is frozen
    assert not hasattr(CHAT, "__dict__")


def test_a_chat_is_an_attrs_class() -> None:
    """All that attrs offers works on it, though it is laid out as a struct."""
    assert [a.name for a in attrs.fields(Chat)][:3] == ["phone", "name", "unread"]
    assert attrs.evolve(CHAT, unread=4) == Chat(CHAT.phone, CHAT.name, 4, CHAT.last_message_time, is_muted=True)
    assert Chat(**attrs.asdict(CHAT)) == CHAT
    assert Chat(*attrs.astuple(CHAT)) == CHAT
    assert Chat("5511999999999") != CHAT
    match CHAT:
        case Chat(phone, name, unread=3):
            assert (phone, name) == (CHAT.phone, CHAT.name)
        case _:
            pytest.fail("patterns do not match")
    assert repr(Chat("1")).startswith("Chat(phone='1', name=None, unread=0, last_message_time=None, is_muted=False,")
    assert inspect.getdoc(Chat) == (Chat.__doc__ or "").replace("\n    ", "\n").rstrip()
    assert (Chat.__module__, Chat.__qualname__) == ("plugchat_async.models", "Chat")
    with pytest.raises(TypeError, match="phone"):
        Chat(**attrs.asdict(CHAT, filter=attrs.filters.exclude("phone")))
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        delattr(CHAT, "unread")


def test_a_chat_has_plain_types() -> None:
    """What the JSON parser is told besides is no type to its users, nor to cattrs."""
    assert typing.get_type_hints(Chat)["phone"] is str
    assert typing.get_type_hints(Chat)["last_message_time"] == datetime | None
    assert cattrs.structure({"phone": "1", "unread": 2}, Chat) == Chat("1", unread=2)


def test_the_collector_has_no_work_with_chats() -> None:
    """A million of them are a million less to go through."""
    chats = finish(decode_slices(b'[{"phone":"1","name":"a","lastMessageTime":"1622991687"}]', Secret("unused"), Chat))
    assert isinstance(chats, tuple)
    assert not gc.is_tracked(chats[0])
    assert not gc.is_tracked(CHAT)


@pytest.mark.parametrize(("count", "last"), [(0, True), (1, True), (2, False), (3, False)])
def test_a_short_page_is_the_last(count: int, last: bool) -> None:
    """Fewer chats than asked for; a server that sends more has not ended."""
    page = Page(1, 2, (CHAT,) * count, b"[]")
    assert page.is_last == last
    assert pickle.loads(pickle.dumps(page)) == page
    assert "raw=<2 bytes>" in repr(page)
