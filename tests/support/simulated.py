"""What tests of the simulator ask it, and how they read its answers."""

import json
from collections.abc import Sequence
from typing import Any

import aiohttp

from plugchat_async import Chat
from plugchat_async.converter import converter
from plugchat_async.testing import PlugChatSimulator


async def ask(sim: PlugChatSimulator, query: str = "page=1&pageSize=5", method: str = "GET", **headers: str) -> Any:
    """Ask without the SDK: status, JSON, headers."""
    sent = {"Authorization": sim.token, "Content-Type": "application/json", **headers}
    async with (
        aiohttp.ClientSession() as client,
        client.request(
            method,
            f"{sim.base_url}/api/whatsapp/chats?{query}",
            headers={name: value for name, value in sent.items() if value},
        ) as answer,
    ):
        return answer.status, await answer.json(content_type=None), answer.headers


def read(rows: Any) -> list[Chat]:
    """Read rows with the converter, which raises what it can't read."""
    return list(converter.loads(json.dumps(rows)))


def assert_sorted(chats: Sequence[Chat]) -> None:
    """Newest first, those without a time last."""
    times = [chat.last_message_time.timestamp() if chat.last_message_time else 0.0 for chat in chats]
    assert times == sorted(times, reverse=True)


def key_of(chat: Chat) -> str:
    """Return what identifies a row: a phone, else a lid and a name."""
    return chat.phone or f"{chat.lid} {chat.name}"
