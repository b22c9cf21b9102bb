"""Files for spreadsheets: workbooks (.xlsx), and CSV as Excel opens it."""

import csv
import errno
import gc
import importlib
import os
import sys
import tracemalloc
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from tempfile import gettempdir
from typing import Any
from zipfile import ZipFile

import pytest
from hypothesis import HealthCheck, given, settings

from plugchat_async import (
    FOREVER,
    Chat,
    InvalidValueError,
    MissingExtraError,
    OutputError,
    PlugChatSession,
    export_many,
    write_csv,
    write_xlsx,
)
from plugchat_async.testing import PlugChatSimulator
from support.chats import ANY_CHAT, CHATS, TIME
from support.exports import MANIFEST, account, emptied, only

NUMBERS = ["5511999990000", "0800123", "+55 11 99999-0000", "1/2", "10:30", "(11)", "1E5", "12.5%"]


async def excel_rows(tmp_path: Path, chats: list[Chat]) -> list[list[str]]:
    await write_csv(chats, tmp_path / "x.csv", dialect="excel")
    with (tmp_path / "x.csv").open(encoding="utf-8-sig", newline="") as file:
        return list(csv.reader(file, delimiter=";"))


async def test_csv_for_excel_is_as_excel_has_it(tmp_path: Path) -> None:
    """UTF-8 by its mark, cells by semicolons, times of spreadsheets in UTC."""
    header, *rows = await excel_rows(
        tmp_path, [*CHATS, Chat("7", "a;b,c", last_message_time=datetime.min.replace(tzinfo=UTC))]
    )
    assert (tmp_path / "x.csv").read_bytes().startswith(b"\xef\xbb\xbfphone;name;unread;last_message_time;")
    assert header[0] == "phone"
    assert rows[0][:5] == ['="1"', "Ana 😀", "3", "2021-06-06 15:01:27", "true"]
    assert rows[1][1] == 'a "quoted", name\r\nof two lines'
    assert rows[4][-1] == "9999-12-31 23:59:59"
    assert rows[6][1:4] == ["a;b,c", "0", "0001-01-01 00:00:00"]


async def test_csv_for_excel_keeps_phones_and_formulas_texts(tmp_path: Path) -> None:
    """What looks like a number, a date or a time is a formula of a text, and nothing else is a formula."""
    names = [*NUMBERS, "Ana", "120363-group", '="1"', '1"&1', "=1+1", "@x", "", "+", "9" * 256, "1\n2"]
    _, *rows = await excel_rows(tmp_path, [Chat("x", name) for name in names])
    cells = [row[1] for row in rows]
    assert cells[: len(NUMBERS)] == [f'="{name}"' for name in NUMBERS]
    assert cells[len(NUMBERS) :] == [
        "Ana",
        "120363-group",
        '\'="1"',
        '1"&1',
        "'=1+1",
        "'@x",
        "",
        "'+",
        "9" * 256,
        "1\n2",
    ]


def of_another_zone() -> list[Chat]:
    """Chats that were made by hand: their times are not in UTC, or not anywhere."""
    zone = timezone(timedelta(hours=-3))
    time = datetime(2021, 6, 6, 12, 1, 27, tzinfo=zone)
    times = time, datetime.max.replace(tzinfo=zone), time.replace(tzinfo=None)
    return [Chat(str(number), last_message_time=time) for number, time in enumerate(times)]


async def test_csv_for_excel_has_times_in_utc_and_whole_numbers(tmp_path: Path) -> None:
    """Whatever zone they have; a spreadsheet would round a number of more than 15 digits."""
    _, *rows = await excel_rows(tmp_path, of_another_zone())
    assert [row[3] for row in rows] == ["2021-06-06 15:01:27", "9999-12-31 23:59:59", "2021-06-06 12:01:27"]
    _, *rows = await excel_rows(tmp_path, [Chat("1", unread=10**15 - 1), Chat("1", unread=10**15)])
    assert [row[2] for row in rows] == ["999999999999999", '="1000000000000000"']


async def test_a_dialect_is_one_of_csv(tmp_path: Path, sim: PlugChatSimulator) -> None:
    """For a file and for a folder, which has one of them."""
    wrong: Any = "tabs"
    with pytest.raises(InvalidValueError, match="dialect must be 'rfc4180' or 'excel', got 'tabs'"):
        await write_csv(CHATS, tmp_path / "x.csv", dialect=wrong)
    with pytest.raises(InvalidValueError, match="dialect must be"):
        await export_many([], tmp_path, format="csv", dialect=wrong)
    with pytest.raises(InvalidValueError, match="dialect='excel' is one of CSV, not of jsonl"):
        await export_many([], tmp_path, dialect="excel")
    assert only(tmp_path) == []
    accounts = [account(number, sim) for number in range(2)]
    await export_many(accounts[:1], tmp_path, format="csv", dialect="excel")
    assert (tmp_path / "account 0.csv").read_bytes().startswith(b"\xef\xbb\xbfaccount;phone;")
    assert '"dialect":"excel"' in (tmp_path / MANIFEST).read_text().splitlines()[0]
    with pytest.raises(InvalidValueError, match="already holds all chats of each account as csv for excel, in a file"):
        await export_many(accounts, tmp_path, format="csv")
    summary = await export_many(
        [emptied(accounts[0], sim), accounts[1]], tmp_path, format="csv", dialect="excel", restart=True
    )
    assert (summary.finished, summary.kept) == (1, 1)


# Workbooks.


@pytest.fixture
def openpyxl(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """What reads workbooks. Temporary files are where they can be seen."""
    pytest.importorskip("xlsxwriter")
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    return pytest.importorskip("openpyxl")


def sheet_rows(openpyxl: Any, file: Path) -> list[list[Any]]:
    book = openpyxl.load_workbook(file)
    assert book.sheetnames == ["chats"]
    unescape = importlib.import_module("openpyxl.utils.escape").unescape  # as Excel does
    values = [[cell.value for cell in row] for row in book["chats"].rows]
    return [[unescape(value) if isinstance(value, str) else value for value in row] for row in values]


async def test_a_workbook_has_texts_numbers_times_and_flags(openpyxl: Any, tmp_path: Path) -> None:
    """Each as itself: a phone is a text, and so is what looks like a formula or a link."""
    names = [*NUMBERS, "=1+1", "@x", "https://x.example", "_x0041_", "a\x01b", "a\nb", "  a ", "<&>", "\ufffe"]
    assert await write_xlsx([*CHATS, *(Chat("5511999990000", name) for name in names)], tmp_path / "x.xlsx") > 6
    header, *rows = sheet_rows(openpyxl, tmp_path / "x.xlsx")
    assert header[:4] == ["phone", "name", "unread", "last_message_time"]
    assert rows[0][:6] == ["1", "Ana 😀", 3, TIME.replace(tzinfo=None), True, False]
    assert rows[3][2:4] == [str(2**63 - 1), datetime(2021, 1, 1, tzinfo=UTC).replace(tzinfo=None)]
    assert rows[4][0] is None
    assert rows[4][1] == "=1+1"
    assert rows[4][-1] == FOREVER.replace(tzinfo=None, microsecond=0)
    assert [row[1] for row in rows[len(CHATS) :]] == names
    with ZipFile(tmp_path / "x.xlsx") as book:
        text = book.read("xl/worksheets/sheet1.xml")
        assert b"<f>" not in text
        assert b"hyperlink" not in text
    assert only(tmp_path / "tmp") == []
    sheet = openpyxl.load_workbook(tmp_path / "x.xlsx")["chats"]
    assert {sheet.cell(row, 1).data_type for row in (2, 3, 8)} == {"s"}
    assert sheet.freeze_panes == "A2"


async def test_a_workbook_has_times_in_utc(openpyxl: Any, tmp_path: Path) -> None:
    """Whatever zone they have."""
    await write_xlsx(of_another_zone(), tmp_path / "x.xlsx")
    _, *rows = sheet_rows(openpyxl, tmp_path / "x.xlsx")
    assert [str(row[3]) for row in rows] == ["2021-06-06 15:01:27", "9999-12-31 23:59:59", "2021-06-06 12:01:27"]


@pytest.mark.slow
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40)
@given(chat=ANY_CHAT)
async def test_a_workbook_holds_any_chat(openpyxl: Any, tmp_path: Path, chat: Chat) -> None:
    """Its texts are read back as they were; an empty one as nothing, and a line end as a reader of XML has it."""
    await write_xlsx([chat], tmp_path / "x.xlsx")
    _, row = sheet_rows(openpyxl, tmp_path / "x.xlsx")
    for index, text in ((0, chat.phone), (1, chat.name), (6, chat.profile_thumbnail), (8, chat.lid)):
        assert "\n".join((row[index] or "").splitlines()) == "\n".join((text or "").splitlines())


async def test_what_a_sheet_has_no_room_for_is_refused(
    openpyxl: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A text that is too long or no text, and too many rows: nothing is left of the file."""
    for chats, message in (
        ([Chat("1", "😀" * 16_384)], "a cell has room for 32,767 characters"),
        ([Chat("1"), Chat("2", "\ud800")], "not valid Unicode"),
    ):
        with pytest.raises(InvalidValueError, match=message):
            await write_xlsx(chats, tmp_path / "x.xlsx")
    monkeypatch.setattr("plugchat_async.export.xlsx._MAX_ROWS", 10)
    with pytest.raises(InvalidValueError, match="a sheet has room for 9 chats"):
        await write_xlsx([Chat("1")] * 10, tmp_path / "x.xlsx")
    assert await write_xlsx([Chat("1")] * 9, tmp_path / "y.xlsx") == 9
    assert only(tmp_path) == ["y.xlsx"]


@pytest.mark.slow
async def test_a_full_disk_leaves_no_workbook(openpyxl: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither where it is to be, nor where its rows wait; the error has the reason."""

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    for name in ("tempfile.mkdtemp", "tempfile.mkstemp", "zipfile.ZipFile.write", "zipfile.ZipFile.__init__"):
        with monkeypatch.context() as patch:
            patch.setattr(name, full)
            with pytest.raises(OutputError, match="No space left on device"):
                await write_xlsx(CHATS, tmp_path / "x.xlsx")
        gc.collect()
        assert only(tmp_path) == [], name
    if Path("/dev/full").exists():
        with pytest.raises(OutputError, match="No space left on device"):
            await write_xlsx(CHATS, "/dev/full")
        gc.collect()
    assert only(tmp_path) == []


@pytest.mark.slow
async def test_the_rows_of_a_workbook_are_never_all_in_memory(openpyxl: Any, tmp_path: Path) -> None:
    """Four times the chats take no more of it."""

    def chats(count: int) -> Iterator[Chat]:
        return (Chat(str(number), f"name {number}") for number in range(count))

    async def peak(count: int) -> int:
        gc.collect()
        tracemalloc.start()
        await write_xlsx(chats(count), tmp_path / "x.xlsx")
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    await peak(10)
    small, large = await peak(2000), await peak(8000)
    assert large < 1.3 * small + 500_000


async def test_accounts_as_workbooks(openpyxl: Any, tmp_path: Path, sim: PlugChatSimulator) -> None:
    """Each its own; one with chats is kept when its list is empty."""
    out = tmp_path / "out"
    accounts = [account(number, sim, chats) for number, chats in enumerate((25, 0))]
    empty = emptied(accounts[0], sim)
    assert (await export_many(accounts, out, format="xlsx", page_size=10)).finished == 2
    assert only(out) == [MANIFEST, "account 0.xlsx", "account 1.xlsx"]
    header, *rows = sheet_rows(openpyxl, out / "account 0.xlsx")
    assert (header[0], len(rows), {row[0] for row in rows}) == ("account", 25, {"account 0"})
    summary = await export_many([empty, accounts[1]], out, format="xlsx", restart=True)
    assert (summary.finished, summary.kept) == (1, 1)
    (out / "account 0.xlsx").write_bytes(b"damaged")
    summary = await export_many([empty], out, format="xlsx")
    assert summary.kept == 1


async def test_a_walk_is_written_as_a_workbook(openpyxl: Any, tmp_path: Path, plugchat: PlugChatSession) -> None:
    """And nothing is left where temporary files are."""
    assert await write_xlsx(plugchat.iter_chats(), tmp_path / "x.xlsx") == 250
    assert only(tmp_path) == ["x.xlsx"]
    assert gettempdir() == str(tmp_path / "tmp")


async def test_workbooks_are_an_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which the error names."""
    monkeypatch.setitem(sys.modules, "xlsxwriter", None)
    with pytest.raises(MissingExtraError, match="xlsx needs xlsxwriter") as caught:
        await write_xlsx(CHATS, tmp_path / "x.xlsx")
    assert "plugchat-async[xlsx]" in caught.value.hint
    with pytest.raises(MissingExtraError):
        await export_many([], tmp_path, format="xlsx")
    assert only(tmp_path) == []
