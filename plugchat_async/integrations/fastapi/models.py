"""The model of a chat for schemas of FastAPI."""

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field


class ChatModel(BaseModel):
    """The model of a `Chat`: with `response_model=list[ChatModel]`, an endpoint may return Chats."""

    model_config = ConfigDict(from_attributes=True)

    phone: str | None = Field(
        None, description="The phone number, or the id of a group, broadcast list or channel; if null, see lid."
    )
    name: str | None = Field(None, description="The name given to the chat, or null.")
    unread: int = Field(0, description="The number of unread messages.")
    last_message_time: datetime | None = Field(
        None, description="The time of the last message, in UTC, or null if there is none yet."
    )
    is_muted: bool = Field(False, description="Whether the account's owner has muted the chat.")  # noqa: FBT003 - pydantic's way
    is_marked_spam: bool = Field(False, description="Whether the account's owner has marked the chat as spam.")  # noqa: FBT003 - as above
    profile_thumbnail: str | None = Field(
        None, description="URL of the chat's picture. WhatsApp deletes the picture after 48 hours."
    )
    messages_unread: int | None = Field(None, description="Discontinued by the vendor; use `unread`.")
    lid: str | None = Field(
        None, description="WhatsApp's other id of a person, or null. A chat without a phone has a lid."
    )
    is_pinned: bool | None = Field(None, description="Whether the chat is pinned, or null if that is not known.")
    is_archived: bool | None = Field(None, description="Whether the chat is archived, or null.")
    is_group: bool | None = Field(None, description="Whether the chat is a group, or null.")
    is_group_announcement: bool | None = Field(None, description="Whether only admins may write in the group, or null.")
    muted_until: datetime | None = Field(
        None,
        description="The end of the muting, in UTC; 9999-12-31T23:59:59.999999Z if it has no end; null if not muted.",
    )
