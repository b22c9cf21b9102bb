"""FastAPI: one session for the application, injected into endpoints; errors as problem responses; chats as a stream.

app = FastAPI(lifespan=plugchat_lifespan())
add_problem_handlers(app)

@app.get("/chats.ndjson")
async def chats(plugchat: PlugChatDep) -> ChatStream:
    return ChatStream(plugchat.iter_pages())
"""

from plugchat_async._optional_extras import needing

with needing("fastapi", __name__):
    from plugchat_async.integrations.fastapi.dependencies import (
        PlugChatAccountDep,
        PlugChatDep,
        get_plugchat,
        get_plugchat_account,
        plugchat_account,
    )
    from plugchat_async.integrations.fastapi.encoders import add_encoders
    from plugchat_async.integrations.fastapi.lifespan import plugchat_lifespan
    from plugchat_async.integrations.fastapi.problems import add_problem_handlers
    from plugchat_async.integrations.fastapi.stream import BrokenStreamError, ChatStream

add_encoders()

__all__ = [
    "BrokenStreamError",
    "ChatStream",
    "PlugChatAccountDep",
    "PlugChatDep",
    "add_problem_handlers",
    "get_plugchat",
    "get_plugchat_account",
    "plugchat_account",
    "plugchat_lifespan",
]
