"""A backend with one session for all of its requests.

Try it on a simulated account:

    plugchat simulate --chats 500                   # in one terminal; it prints two lines with variables
    export PLUGCHAT_BASE_URL=... PLUGCHAT_TOKEN=... # in another one
    uvicorn fastapi_backend:app                     # in this folder
    curl http://127.0.0.1:8000/chats.ndjson

http://127.0.0.1:8000/docs shows its endpoints.
"""

from typing import Annotated

from fastapi import FastAPI, Query

from plugchat_async import Chat, merge_people
from plugchat_async.integrations.fastapi import (
    ChatStream,
    PlugChatDep,
    add_problem_handlers,
    plugchat_lifespan,
)

app = FastAPI(title="Chats", lifespan=plugchat_lifespan(timeout=10.0))
add_problem_handlers(app)


@app.get("/unread")
async def unread(plugchat: PlugChatDep) -> dict[str, int]:
    """Return the number of unread messages of each person and group that has any."""
    people = merge_people(await plugchat.list_chats(prefetch=4))
    return {chat.id: chat.unread for chat in people if chat.unread}


@app.get("/chats")
async def newest(plugchat: PlugChatDep, limit: Annotated[int, Query(ge=1, le=1000)] = 20) -> list[Chat]:
    """Return the chats with the newest messages."""
    return await plugchat.list_chats(limit=limit)


@app.get("/chats.ndjson", response_class=ChatStream)
async def every_chat(plugchat: PlugChatDep) -> ChatStream:
    """Stream all chats, one a line. At most two pages are in memory, however many chats there are."""
    return ChatStream(plugchat.iter_pages(prefetch=1))
