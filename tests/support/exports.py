"""Accounts to export, and what an export has left in its folder."""

import csv
import json
from pathlib import Path
from typing import Any, Literal

import pyarrow.parquet as pq
from attrs import evolve

from plugchat_async import Account
from plugchat_async.testing import PlugChatSimulator

Style = Literal["jsonl", "csv", "parquet"]
MANIFEST, FAILURES = ".plugchat/manifest.ndjson", ".plugchat/failures.ndjson"


def account(number: int, sim: PlugChatSimulator, chats: int = 25) -> Account:
    sim.add_account(f"token-{number}", chats, seed=number)
    return Account(f"account {number}", f"token-{number}", sim.base_url)


def emptied(full: Account, sim: PlugChatSimulator) -> Account:
    """The same account, without chats from now on."""
    sim.add_account(f"{full.token}-emptied", 0)
    return evolve(full, token=f"{full.token}-emptied")


def only(folder: Path) -> list[str]:
    """The paths of all files in a folder, and in folders in it."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir())


def parts(folder: Path) -> list[str]:
    """The names of the files that are not complete."""
    return [path.name for path in folder.rglob(".*") if path.is_file()]


def rows(file: Path) -> list[dict[str, Any]]:
    """The chats in a file."""
    match file.suffix:
        case ".jsonl":
            return [json.loads(line) for line in file.read_text("utf-8").splitlines()]
        case ".csv":
            return list(csv.DictReader(file.read_text("utf-8").splitlines()))
        case _:
            return pq.read_table(file).to_pylist()


def ids(file: Path) -> list[str]:
    """The phone, else the lid, of each chat in a file."""
    return [row["phone"] or row["lid"] for row in rows(file)]


def entries(folder: Path) -> list[dict[str, Any]]:
    """The lines of the manifest after the first, without what differs in each run."""
    lines = [json.loads(line) for line in (folder / MANIFEST).read_text().splitlines()[1:]]
    return [{name: line[name] for name in line if name not in ("size", "run", "run_started")} for line in lines]


def failures(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / FAILURES).read_text().splitlines()]
