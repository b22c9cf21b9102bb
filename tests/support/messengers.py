"""Stand-ins for Telegram and Discord on this machine: what a bot needs to start, and to send a message."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

OWNER, CHANNEL = 5, 7
TIME = "2026-11-27T12:00:00+00:00"


@asynccontextmanager
async def serving(app: web.Application) -> AsyncIterator[str]:
    """Serve it on a free port, and give its origin."""
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield f"127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


class Telegram:
    """It sends one message of the owner to the bot, `text`, and keeps what the bot writes."""

    def __init__(self, text: str) -> None:
        self.written: list[str] = []
        self._updates = [{"update_id": 1, "message": {**self._message(text), "entities": [self._command(text)]}}]
        self.app = web.Application()
        self.app.router.add_post("/bot{token}/{method}", self._answer)

    @staticmethod
    def _command(text: str) -> dict[str, Any]:
        return {"type": "bot_command", "offset": 0, "length": len(text)}

    @staticmethod
    def _message(text: str) -> dict[str, Any]:
        owner = {"id": OWNER, "is_bot": False, "first_name": "Ana"}
        chat = {"id": OWNER, "type": "private", "first_name": "Ana"}
        return {"message_id": 1, "date": 1, "chat": chat, "from": owner, "text": text}

    async def _answer(self, request: web.Request) -> web.Response:
        result: object = True
        match request.match_info["method"]:
            case "getMe":
                result = {"id": 42, "is_bot": True, "first_name": "shop", "username": "shop_bot"}
            case "getUpdates":
                result, self._updates = self._updates, []
                await asyncio.sleep(0 if result else 0.05)  # as a long poll would
            case "sendMessage":
                self.written.append(str((await request.post())["text"]))
                result = self._message(self.written[-1])
        return web.json_response({"ok": True, "result": result})


def reply(content: object) -> web.Response:
    """JSON whose type says nothing of a charset: discord.py knows only that."""
    return web.Response(body=json.dumps(content).encode(), content_type="application/json")


class Discord:
    """It lets a bot connect to no guild, and keeps what the bot writes."""

    def __init__(self) -> None:
        self.written: list[str] = []
        self._user = {"id": "42", "username": "shop", "discriminator": "0", "avatar": None, "bot": True}
        self.app = web.Application()
        self.app.router.add_get("/api/users/@me", self._me)
        self.app.router.add_get("/api/oauth2/applications/@me", self._application)
        self.app.router.add_post("/api/channels/{channel}/messages", self._send)
        self.app.router.add_get("/gateway", self._gateway)

    async def _me(self, _: web.Request) -> web.Response:
        return reply(self._user)

    async def _application(self, _: web.Request) -> web.Response:
        fields = {"id": "42", "name": "shop", "description": "", "icon": None, "verify_key": "", "flags": 0}
        more = {"bot_public": False, "bot_require_code_grant": False, "owner": self._user, "team": None}
        return reply({**fields, **more})

    async def _send(self, request: web.Request) -> web.Response:
        self.written.append((await request.json())["content"])
        lists = ("mentions", "mention_roles", "attachments", "embeds", "components")
        return reply(
            {
                **{name: [] for name in lists},
                **dict.fromkeys(("tts", "mention_everyone", "pinned"), False),
                "id": "1",
                "type": 0,
                "channel_id": request.match_info["channel"],
                "author": self._user,
                "content": self.written[-1],
                "timestamp": TIME,
                "edited_timestamp": None,
            }
        )

    async def _gateway(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_json({"op": 10, "d": {"heartbeat_interval": 45_000}})
        async for message in socket:
            if json.loads(message.data)["op"] == 2:  # "identify"
                ready = {"v": 10, "user": self._user, "guilds": [], "session_id": "1"}
                where = {"resume_gateway_url": f"ws://{request.host}/gateway", "application": {"id": "42", "flags": 0}}
                await socket.send_json({"op": 0, "t": "READY", "s": 1, "d": {**ready, **where}})
        return socket
