"""What the members of the results mean, in the words that clients of an API read in its schema."""

from typing import Final

from plugchat_async._pydantic_schema import ClientSchema

_CHAT_NOW: Final = "The chat as it is now."

CHAT: Final = ClientSchema(
    "A chat of a WhatsApp account: a person, a group, a broadcast list, a channel, or the account's status.",
    {
        "phone": "The phone number, or the id of a group, broadcast list or channel; if null, see lid.",
        "name": "The name of the chat, or null.",
        "unread": "The number of unread messages.",
        "last_message_time": "The time of the last message, in UTC, or null if there is none yet.",
        "is_muted": "Whether the account's owner has muted the chat.",
        "is_marked_spam": "Whether the account's owner has marked the chat as spam.",
        "profile_thumbnail": "The URL of the chat's picture, or null. WhatsApp deletes the picture after 48 hours.",
        "messages_unread": "Discontinued; see unread.",
        "lid": "WhatsApp's other id of a person, or null. A chat without a phone has a lid.",
        "is_pinned": "Whether the chat is pinned, or null if that is not known.",
        "is_archived": "Whether the chat is archived, or null if that is not known.",
        "is_group": "Whether the chat is a group, or null if that is not known.",
        "is_group_announcement": "Whether only admins may write in the group, or null if that is not known.",
        "muted_until": "The end of the muting, in UTC; 9999-12-31T23:59:59.999999Z without an end; null if not muted.",
    },
)

PAGE: Final = ClientSchema(
    "A page of chats.",
    {
        "number": "The number of the page, from 1.",
        "size": "The number of chats that were requested.",
        "chats": "The chats, in the server's order.",
        "skipped": "The number of chats of this page that came on earlier pages and are left out here.",
        "problems": "The values that could not be read. In its chat such a value has its default.",
        "problem_count": "The number of values that could not be read, also of those that are not in problems.",
    },
    hidden={"raw": b"", "unreadable_keys": (), "raw_headers": (), "status": 200},
    variables={"ItemT": "Chat"},
)

PROBLEM: Final = ClientSchema(
    "A value of a page that could not be read.",
    {
        "index": "The index of the row on the page, from 0.",
        "field": "The gateway's name of the field, or an empty string for the row as a whole.",
        "expected": "What could be read, in words.",
        "got": "What came, shortened.",
        "item": "What the row should be, in words, such as chat or contact.",
    },
)

ACCOUNT_STATUS: Final = ClientSchema(
    "Whether an account's phone is connected to WhatsApp.",
    {
        "connected": "Whether the account is connected to WhatsApp. If not, its list of chats is empty.",
        "session": "Whether the gateway has a session for the account, or null if that is not known.",
        "smartphone_connected": "Whether the phone has a connection to the internet, or null if that is not known.",
        "error": "The gateway's own text about this state, or null.",
    },
)

WALK_REPORT: Final = ClientSchema(
    "How the list of chats was read, and whether it is proven that no chat was missed.",
    {
        "requests": "The number of pages that were requested.",
        "pages": "The number of pages that were read.",
        "chats": "The number of chats that were read, without those that were skipped.",
        "duplicates": "The number of chats that were read again and skipped.",
        "recovered": "The number of chats that had moved to the front of the list and were found there.",
        "passes": "The number of passes over the list or over its front.",
        "verified": "Whether it is proven that each chat that existed during the whole walk was read.",
        "reason": "Why it is not verified, or an empty string.",
        "elapsed": "The duration of the walk in seconds.",
        "problems": "The number of values that could not be read.",
    },
)

CHAT_ADDED: Final = ClientSchema(
    "A chat is new in the list.",
    {"event": "The kind of the event.", "chat": _CHAT_NOW},
    constants={"event": "added"},
)

CHAT_CHANGED: Final = ClientSchema(
    "A chat has changed.",
    {
        "event": "The kind of the event.",
        "fields": "The names of the members of the chat that differ.",
        "chat": _CHAT_NOW,
        "old": "The chat as it was before.",
    },
    attributes={"chat": "new"},
    constants={"event": "changed"},
)

CHAT_REMOVED: Final = ClientSchema(
    "A chat is no longer in the list.",
    {"event": "The kind of the event.", "chat": "The chat as it was last."},
    constants={"event": "removed"},
)

CONTACT: Final = ClientSchema(
    "A contact of a WhatsApp account.",
    {
        "phone": "The phone number, or null; see lid.",
        "name": "The full name in the phone's address book, or null.",
        "short": "The short name in the phone's address book, or null.",
        "vname": "The name of the contact's vCard, or null.",
        "notify": "The name that the contact has chosen in WhatsApp, or null.",
        "lid": "WhatsApp's other id of a person, or null.",
    },
)

PENDING_CHAT: Final = ClientSchema(
    "A chat with unread messages, or one that is marked as unread.",
    {
        "phone": "The phone number, or the id of a group; if null, see lid.",
        "name": "The name of the chat, or null.",
        "unread_messages_count": "The number of unread messages.",
        "is_marked_as_unread": "Whether the account's owner has marked the chat as unread.",
        "last_message_time": "The time of the last message, in UTC, or null.",
        "is_muted": "Whether the account's owner has muted the chat.",
        "profile_thumbnail": "The URL of the chat's picture, or null. WhatsApp deletes the picture after 48 hours.",
        "lid": "WhatsApp's other id of a person, or null.",
    },
)
