"""A backend with pages of its own: `?page=2&page_size=50`, right on every server.

Try it on a simulated account:

    plugchat simulate --chats 230                   # in one terminal; it prints two lines with variables
    export PLUGCHAT_BASE_URL=... PLUGCHAT_TOKEN=... # in another one
    uvicorn pages_backend:app                       # in this folder
    curl "http://127.0.0.1:8000/chats?page=2&page_size=100"
"""

from typing import Annotated

from fastapi import FastAPI, Query
from pydantic import BaseModel

from plugchat_async import Chat
from plugchat_async.integrations.fastapi import PlugChatDep, add_problem_handlers, plugchat_lifespan

app = FastAPI(title="Pages of chats", lifespan=plugchat_lifespan())
add_problem_handlers(app)


class ChatPage(BaseModel):
    """A page of chats, those with the newest messages first."""

    page: int
    chats: list[Chat]
    is_last: bool


@app.get("/chats")
async def chat_page(
    plugchat: PlugChatDep,
    page: Annotated[int, Query(ge=1, le=1000)] = 1,
    page_size: Annotated[int, Query(ge=1, le=100)] = 50,
) -> ChatPage:
    """Return one page of chats."""
    start, end = (page - 1) * page_size, page * page_size
    # The pages of Plug Chat's server are not these pages: it may cap their size, and a short one need not be the last.
    # A walk reckons with that. It reads one chat more than is shown, to learn whether there is one. "plain" keeps the
    # server's order, in which a list that is read again has the same pages if no message has come.
    chats = await plugchat.list_chats(limit=end + 1, consistency="plain", prefetch=4)
    return ChatPage(page=page, chats=chats[start:end], is_last=len(chats) <= end)
