"""FastAPI: one session for the application, its injection, errors as problem responses, and chats as a stream.

app = FastAPI(lifespan=plugchat_lifespan())
add_problem_handlers(app)

@app.get("/chats.ndjson")
async def chats(plugchat: PlugChatDep) -> ChatStream:
    return ChatStream(plugchat.iter_pages())
"""

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from datetime import datetime
from typing import Annotated, Any, Final, TypeAlias, Unpack, cast

from attrs import field, frozen

from plugchat_async._extras import needing
from plugchat_async._http.options import SessionOptions
from plugchat_async._http.token import TokenFunction
from plugchat_async.errors import SessionStateError
from plugchat_async.session import PlugChatSession

with needing("fastapi", __name__):
    from fastapi import Depends, FastAPI
    from pydantic import BaseModel, ConfigDict, Field
    from starlette.requests import HTTPConnection

    from plugchat_async.integrations.fastapi.problems import add_problem_handlers
    from plugchat_async.integrations.fastapi.stream import BrokenStreamError, ChatStream

__all__ = [
    "BrokenStreamError",
    "ChatModel",
    "ChatStream",
    "PlugChatDep",
    "add_problem_handlers",
    "get_plugchat",
    "plugchat_lifespan",
]

# The name of the session in the application's state and in that of its lifespan.
_STATE: Final = "plugchat"

AppLifespan: TypeAlias = Callable[[FastAPI], AbstractAsyncContextManager[Mapping[str, Any] | None]]


def plugchat_lifespan(
    token: str | TokenFunction | None = None, *, lifespan: AppLifespan | None = None, **options: Unpack[SessionOptions]
) -> Callable[[FastAPI], AbstractAsyncContextManager[Mapping[str, Any]]]:
    """Give what `FastAPI(lifespan=...)` takes: it opens a session when the application starts, and closes it again.

    token: as for `PlugChatSession` (default None: PLUGCHAT_TOKEN, and PLUGCHAT_BASE_URL if it is set). It is looked at
        when the application starts, not when it is imported.
    lifespan: the application's own one (default None). It begins when the session is open, as `app.state.plugchat`,
        and ends before that is closed. The state that it yields is kept, but for a `plugchat`, which is the session.
    options: those of `PlugChatSession`.

    When the application starts: what `PlugChatSession` and `PlugChatSession.from_env` raise.
    """
    recipe = _Recipe(token, options)
    del token, options

    @asynccontextmanager
    async def run(app: FastAPI) -> AsyncGenerator[Mapping[str, Any]]:
        async with recipe.session() as session:
            before = getattr(app.state, _STATE, None)  # an application may be run twice at a time, as by tests
            app.state.plugchat = session
            try:
                # What comes with a lifespan's state is there in mounted applications and websockets, too.
                async with nullcontext() if lifespan is None else lifespan(app) as state:
                    yield {**(state or {}), _STATE: session}
            finally:
                app.state.plugchat = before

    return run


@frozen(repr=False)
class _Recipe:
    """How the session is made. Frames that tracebacks show hold this, not the token, nor a proxy's password."""

    token: str | TokenFunction | None = field(repr=False)
    options: SessionOptions = field(repr=False)

    def session(self) -> PlugChatSession:
        if self.token is None:
            return PlugChatSession.from_env(**self.options)
        return PlugChatSession(self.token, **self.options)


def get_plugchat(connection: HTTPConnection) -> PlugChatSession:
    """Give the application's session, for requests and websockets.

    It is what `PlugChatDep` depends on: tests put another in its place with `app.dependency_overrides[get_plugchat]`.
    SessionStateError if the application has none.
    """
    for state in (connection.state, connection.app.state):
        session = getattr(state, _STATE, None)
        if session is not None:
            return cast("PlugChatSession", session)
    raise SessionStateError(
        "the application has no Plug Chat session",
        "Make it with FastAPI(lifespan=plugchat_lifespan()), where applications are mounted that of the outermost one; "
        "in tests, use `with TestClient(app)`.",
    )


PlugChatDep = Annotated[PlugChatSession, Depends(get_plugchat)]


class ChatModel(BaseModel):
    """A Chat for FastAPI's schemas: with `response_model=list[ChatModel]` an endpoint may return Chats."""

    model_config = ConfigDict(from_attributes=True)

    phone: str | None = Field(
        None, description="The phone number, or the id of a group, broadcast list or channel; null: see lid."
    )
    name: str | None = Field(None, description="The name given to the chat, or null.")
    unread: int = Field(0, description="How many messages are unread.")
    last_message_time: datetime | None = Field(
        None, description="When the last message came or went, in UTC; null: there is none yet."
    )
    is_muted: bool = Field(False, description="Whether the account's owner has muted the chat.")  # noqa: FBT003 - pydantic's way
    is_marked_spam: bool = Field(False, description="Whether the account's owner has marked the chat as spam.")  # noqa: FBT003 - as above
    profile_thumbnail: str | None = Field(
        None, description="URL of the chat's picture. WhatsApp deletes the picture after 48 hours."
    )
    messages_unread: int | None = Field(None, description="Discontinued by the vendor; use `unread`.")
    lid: str | None = Field(
        None, description="WhatsApp's other id of a person, or null. Where there is no phone, there is a lid."
    )
    is_pinned: bool | None = Field(None, description="Whether the chat is pinned, or null if that is not known.")
    is_archived: bool | None = Field(None, description="Whether the chat is archived, or null.")
    is_group: bool | None = Field(None, description="Whether the chat is a group, or null.")
    is_group_announcement: bool | None = Field(None, description="Whether only admins may write in the group, or null.")
    muted_until: datetime | None = Field(
        None, description="The end of the muting, in UTC; 9999-12-31T23:59:59.999999Z: for ever; null: there is none."
    )
