"""Chats as the exports write them, for tests of what else writes them."""

import csv
import json
import re
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


def ids_in(style: str, out: str) -> list[str]:
    """The phone, else the lid, of each chat that was printed; of a table its column."""
    lines = out.splitlines()
    match style:
        case "table":
            return [re.split(r"│\s*", line)[2].strip() for line in lines if line.startswith("│")]
        case "csv":
            rows: list[dict[str, str]] = list(csv.DictReader(lines))
        case "json":
            rows = json.loads(out)
        case _:
            rows = [json.loads(line) for line in lines]
    return [row["phone"] or row["lid"] for row in rows]
