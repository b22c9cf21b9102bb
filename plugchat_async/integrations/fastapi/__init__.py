"""FastAPI: one session for the application, injected into endpoints; errors as problem responses; chats as a stream.

app = FastAPI(lifespan=plugchat_lifespan())
add_problem_handlers(app)

@app.get("/chats.ndjson")
async def chats(plugchat: PlugChatDep) -> ChatStream:
    return ChatStream(plugchat.iter_pages())
"""

from plugchat_async._optional_extras import needing

with needing("fastapi", __name__):
    from plugchat_async.integrations.fastapi.lifespan import PlugChatDep, get_plugchat, plugchat_lifespan
    from plugchat_async.integrations.fastapi.models import ChatModel
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
