"""Chats as the exports write them, for tests of what else writes them."""

import json
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from plugchat_async import Chat, write_jsonl
from support.fakes import run_apart


def lines_of(chats: Iterable[Chat]) -> str:
    """Return the text that `write_jsonl` writes."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / "chats.jsonl"
        run_apart(write_jsonl(chats, file))
        return file.read_text(encoding="utf-8")


def objects_of(chats: Iterable[Chat]) -> list[Any]:
    """Return the objects in these lines."""
    return [json.loads(line) for line in lines_of(chats).splitlines()]
