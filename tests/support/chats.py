"""Chats to write: some by hand, and any chat for properties."""

from datetime import UTC, datetime

from hypothesis import strategies as st

from plugchat_async import FOREVER, Chat

TIME = datetime(2021, 6, 6, 15, 1, 27, tzinfo=UTC)
CHATS = [
    Chat("1", "Ana 😀", 3, TIME, is_muted=True, profile_thumbnail="https://x.example/1.jpg", messages_unread=0),
    Chat("2", 'a "quoted", name\r\nof two lines', is_marked_spam=True),
    Chat("3"),
    Chat("4", "", 2**63 - 1, datetime(2021, 1, 1, 0, 0, 0, 123456, tzinfo=UTC), messages_unread=-(2**63)),
    Chat(None, "=1+1", lid="=5@lid", is_pinned=True, is_archived=False, is_group=False, muted_until=FOREVER),
    Chat("6-group", is_muted=True, is_group=True, is_group_announcement=True, muted_until=TIME),
]

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=10)
TIMES = st.datetimes(timezones=st.just(UTC))
FLAGS = st.none() | st.booleans()
ANY_CHAT = st.builds(
    Chat,
    phone=st.none() | TEXTS,
    name=st.none() | TEXTS,
    unread=st.integers(-(2**63), 2**63 - 1),
    last_message_time=st.none() | TIMES,
    is_muted=st.booleans(),
    is_marked_spam=st.booleans(),
    profile_thumbnail=st.none() | TEXTS,
    messages_unread=st.none() | st.integers(-(2**63), 2**63 - 1),
    lid=st.none() | TEXTS,
    is_pinned=FLAGS,
    is_archived=FLAGS,
    is_group=FLAGS,
    is_group_announcement=FLAGS,
    muted_until=st.none() | TIMES | st.just(FOREVER),
).filter(lambda chat: bool(chat.id))
