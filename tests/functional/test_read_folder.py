"""The folder of an export is read as a folder by the usual libraries: all chats, nothing else, phones as text."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import polars as pl
import pyarrow as pa
import pyarrow.csv
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from plugchat_async import FOREVER, Chat, export_many, to_polars, write_csv, write_jsonl, write_parquet, write_xlsx
from plugchat_async.testing import Fault, PlugChatSimulator
from support.chats import TIME
from support.exports import FAILURES, MANIFEST, Style, account, only

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:The inplace keyword"),  # Dask's, for the newest pandas
]

TEXT = {"phone": pl.String, "lid": pl.String}
Rows = list[tuple[str, Any]]


async def export(folder: Path, sim: PlugChatSimulator, style: Style) -> Rows:
    """Export two accounts, while a third one fails. Return the pairs of account and phone; a run was killed, too."""
    accounts = [account(number, sim, 30) for number in range(3)]
    sim.script(Fault.status(401), token="token-2")
    assert (await export_many(accounts, folder, format=style)).failed == 1
    part = folder / ".plugchat" / f".account 2.{style}.01234567-1-01234567.part"
    part.write_bytes(b'{"half')
    assert {FAILURES, MANIFEST, part.relative_to(folder).as_posix()} < set(only(folder))
    return in_order(
        (f"account {number}", chat.phone) for number in range(2) for chat in sim._accounts[f"token-{number}"].chats
    )


def in_order(rows: Any) -> Rows:
    """Rows sorted, with None for what each library has where there is nothing."""
    return sorted(((row[0], row[1] if isinstance(row[1], str) and row[1] else None) for row in rows), key=str)


def with_arrow(folder: Path, style: Style) -> Any:
    kinds = {name: pa.string() for name in TEXT}
    formats: dict[str, Any] = {
        "parquet": "parquet",
        "jsonl": "json",
        "csv": ds.CsvFileFormat(convert_options=pyarrow.csv.ConvertOptions(column_types=kinds)),
    }
    table = ds.dataset(folder, format=formats[style]).to_table()
    return zip(table["account"].to_pylist(), table["phone"].to_pylist(), strict=True)


def with_polars(folder: Path, style: Style) -> Any:
    read: dict[str, Callable[..., pl.DataFrame]] = {
        "parquet": pl.read_parquet,
        "jsonl": lambda files: pl.read_ndjson(files, schema={"account": pl.String, **to_polars([]).schema}),
        "csv": lambda files: pl.read_csv(files, schema_overrides=TEXT),
    }
    return read[style](folder / f"*.{style}").select("account", "phone").iter_rows()


def with_pandas(folder: Path, style: Style) -> Any:
    pd = pytest.importorskip("pandas")
    kinds = dict.fromkeys(TEXT, "string")
    if style == "parquet":
        frame = pd.read_parquet(folder)
    elif style == "jsonl":
        frame = pd.concat(pd.read_json(file, lines=True, dtype=kinds) for file in folder.glob("*.jsonl"))
    else:
        frame = pd.concat(pd.read_csv(file, dtype=kinds) for file in folder.glob("*.csv"))
    return zip(frame["account"], frame["phone"], strict=True)


def with_duckdb(folder: Path, style: Style) -> Any:
    duckdb = pytest.importorskip("duckdb")
    read = {
        "parquet": f"read_parquet('{folder}/*.parquet')",
        "jsonl": f"read_json('{folder}/**/*.jsonl')",  # also with all folders below
        "csv": f"read_csv('{folder}/*.csv', types={{'phone': 'VARCHAR', 'lid': 'VARCHAR'}})",
    }
    return duckdb.sql(f"SELECT account, phone FROM {read[style]}").fetchall()


def with_dask(folder: Path, style: Style) -> Any:
    pytest.importorskip("pandas")
    dd = pytest.importorskip("dask.dataframe")
    kinds = dict.fromkeys(TEXT, "string")
    if style == "parquet":
        frame = dd.read_parquet(folder)
    elif style == "jsonl":
        frame = dd.read_json(f"{folder}/*.jsonl", dtype=kinds)
    else:
        frame = dd.read_csv(f"{folder}/*.csv", dtype=kinds | {"profile_thumbnail": "string", "muted_until": "string"})
    found = frame[["account", "phone"]].compute(scheduler="synchronous")
    return zip(found["account"], found["phone"], strict=True)


READERS = [with_arrow, with_polars, with_pandas, with_duckdb, with_dask]


@pytest.mark.parametrize("style", ["parquet", "jsonl", "csv"])
@pytest.mark.parametrize("read", READERS, ids=lambda read: read.__name__)
async def test_a_folder_is_read_as_one(
    tmp_path: Path, sim: PlugChatSimulator, read: Callable[[Path, Style], Any], style: Style
) -> None:
    """Neither failed accounts nor half files are among its rows."""
    whole = await export(tmp_path / "out", sim, style)
    assert in_order(read(tmp_path / "out", style)) == whole


PAGE = Path(__file__).parents[2] / "docs/how-to/read-an-export.md"
PROGRAMS = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)


@attrs.frozen
class Row(Chat):
    """A row of an export."""

    account: str = ""


# What readers take for numbers, times or nothing, unless they are told.
NAMES = ("007", "NA", "null", "None", "nan", "N/A", "2021-01-01")
COLUMNS = ("account", "phone", "name", "lid")
WRITES: dict[str, Callable[..., Any]] = {
    "parquet": write_parquet,
    "jsonl": write_jsonl,
    "csv": write_csv,
    "xlsx": write_xlsx,
}


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.split()[1])
async def test_what_the_page_shows_reads_what_was_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], program: str
) -> None:
    """Also accounts without chats, chats without a name, a time or a phone before others, and digits as names."""
    for library in ("pandas", "duckdb", "dask.dataframe"):
        if f"import {library}" in program:
            pytest.importorskip(library)
    if "xlsx" in program:
        pytest.importorskip("openpyxl")
    chat = Row("0055", "Ana", 3, TIME, messages_unread=3, lid="012@lid", is_pinned=True, muted_until=FOREVER)
    accounts = {
        "a": [],
        "01": [*[Row("077", unread=1, account="01")] * 200, Row(lid="1@lid", account="01", unread=1)],
        "NA": [attrs.evolve(chat, name=name, account="NA") for name in NAMES],
        "2": [Row("88", "007", 2, lid="9", account="2")],
        "d": [],
    }
    for folder, style in {"out": "parquet", "lines": "jsonl", "cells": "csv", "books": "xlsx"}.items():
        (tmp_path / folder / ".plugchat").mkdir(parents=True)
        for name, chats in accounts.items():
            await WRITES[style](chats, tmp_path / folder / f"{name}.{style}", item=Row)
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(program, names)
    assert capfd.readouterr().out
    found = names["frame" if "frame" in names else "table"]
    columns = [name for name in COLUMNS if name in found.columns] if "frame" in names else table_columns(found)
    whole = {tuple(getattr(row, name) for name in columns) for rows in accounts.values() for row in rows}
    assert {tuple(map(value_of, row)) for row in rows_of(found, columns)} == whole


def table_columns(table: Any) -> list[str]:
    """The columns of a table of pyarrow or DuckDB that are looked at."""
    return [name for name in COLUMNS if name in (table.column_names if isinstance(table, pa.Table) else table.columns)]


def rows_of(table: Any, columns: list[str]) -> Any:
    """The rows of a table of any of the libraries."""
    if isinstance(table, pa.Table):
        return zip(*(table[name].to_pylist() for name in columns), strict=True)
    if isinstance(table, pl.DataFrame):
        return table.select(columns).iter_rows()
    if hasattr(table, "fetchall"):
        return table.project(", ".join(columns)).fetchall()
    if hasattr(table, "compute"):
        table = table.compute(scheduler="synchronous")
    return table[columns].itertuples(index=False)


def value_of(value: Any) -> Any:
    """A value, with None for what pandas has where there is nothing."""
    return value if isinstance(value, str) and value else None


async def test_a_folder_of_parquet_needs_no_pattern(tmp_path: Path, sim: PlugChatSimulator) -> None:
    """By pyarrow and DuckDB, too."""
    whole = await export(tmp_path / "out", sim, "parquet")
    table = pq.read_table(tmp_path / "out")
    assert in_order(zip(table["account"].to_pylist(), table["phone"].to_pylist(), strict=True)) == whole
    duckdb = pytest.importorskip("duckdb")
    assert in_order(duckdb.sql(f"SELECT account, phone FROM read_parquet('{tmp_path / 'out'}')").fetchall()) == whole
