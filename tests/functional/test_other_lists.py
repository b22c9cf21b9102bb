"""Contacts and pending chats over HTTP, against the simulator: what holds for chats holds for them."""

import csv
import functools
import io
import json
import random
import re
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, cast
from zipfile import ZipFile

import attrs
import pyarrow.parquet as pq
import pytest

from plugchat_async import (
    CONTACTS,
    PENDING_CHATS,
    Account,
    Call,
    Chat,
    Contact,
    InvalidTypeError,
    InvalidValueError,
    NotConnectedError,
    PendingChat,
    PlugChatSession,
    ServerTraits,
    WalkReport,
    export_many,
    fetch_many,
    read_jsonl,
    to_arrow,
    to_polars,
    write_csv,
    write_jsonl,
    write_parquet,
    write_xlsx,
)
from plugchat_async.testing import Fault, PlugChatSimulator, Quirks
from support.fakes import FakeTime

Rows = Callable[[PlugChatSimulator], Sequence[Any]]

LISTS: list[tuple[Call[Any], Rows]] = [
    (CONTACTS, lambda sim: sim.contacts),
    (PENDING_CHATS, lambda sim: sim.pending_chats),
]
both = pytest.mark.parametrize(("call", "rows"), LISTS, ids=["contacts", "pending"])


def session(sim: PlugChatSimulator, **options: Any) -> PlugChatSession:
    return PlugChatSession(sim.token, base_url=sim.base_url, **options)


@pytest.mark.parametrize("dialect", ["gateway", "documented"])
async def test_both_lists_of_an_account(dialect: Any) -> None:
    """Typed, whole and in order, in both dialects."""
    async with PlugChatSimulator(300, contacts=250, seed=3, dialect=dialect) as sim, session(sim) as plugchat:
        contacts = await plugchat.list_contacts(50)
        assert contacts == list(sim.contacts) == [contact async for contact in plugchat.iter_contacts()]
        assert len(contacts) == 250
        assert {type(contact) for contact in contacts} == {Contact}
        pending = await plugchat.list_pending_chats(20)
        if dialect == "gateway":  # the page of 2021 knows no fractions of a second
            assert set(pending) == set(sim.pending_chats)  # further rows of one person come at the end
        assert sorted(chat.id for chat in pending) == sorted(chat.id for chat in sim.chats if chat.unread)
        assert {type(chat) for chat in pending} == {PendingChat}
        assert set(pending) == {chat async for chat in plugchat.iter_pending_chats()}
        assert {request.path for request in sim.requests} == {CONTACTS.path, PENDING_CHATS.path}


@both
@pytest.mark.parametrize(
    "quirks",
    [
        Quirks(max_page_size=30),
        Quirks(fixed_page_size=25),
        Quirks(refuse_page_size_above=40),
        Quirks(past_end="last"),
        Quirks(past_end="first"),
        Quirks(past_end="error"),
        Quirks(order="shuffled"),
        Quirks(order="oldest"),
        Quirks(hidden_share=0.05),
        Quirks(without_time="scattered", tie_size=5),
        Quirks(pinned=3),
        Quirks(content_type="refused"),
    ],
    ids=repr,
)
async def test_quirks(call: Call[Any], rows: Rows, quirks: Quirks) -> None:
    """Whatever the server does with pages, each item comes once."""
    async with PlugChatSimulator(400, contacts=180, seed=5, quirks=quirks) as sim, session(sim) as plugchat:
        found = await plugchat.walk(call, 40).to_list()
        expected = {(item.phone, item.lid, item.name) for item in rows(sim)}
        keys = [(item.phone, item.lid, item.name) for item in found]
        assert len(keys) == len(set(keys))
        if quirks.hidden_share:
            assert set(keys) < expected
            assert len(keys) > 0.8 * len(expected)
        else:
            assert set(keys) == expected


@both
async def test_rows_that_are_listed_twice(call: Call[Any], rows: Rows) -> None:
    """An equal row of one answer is one item; `plain` yields both."""
    async with PlugChatSimulator(200, seed=5, quirks=Quirks(duplicates=3)) as sim, session(sim) as plugchat:
        plain = await plugchat.walk(call, 1000, consistency="plain").to_list()
        assert len(plain) >= len(rows(sim)) + (3 if call == CONTACTS else 1)


async def test_a_contact_twice_comes_once() -> None:
    """Contacts have no time that would tell their rows apart."""
    async with PlugChatSimulator(200, seed=5, quirks=Quirks(duplicates=3)) as sim, session(sim) as plugchat:
        assert await plugchat.list_contacts(1000) == list(sim.contacts)


@both
async def test_faults_are_retried(call: Call[Any], rows: Rows) -> None:
    """As those of chats."""
    async with (
        PlugChatSimulator(300, seed=1, dialect="documented") as sim,
        session(sim, clock=FakeTime().clock) as plugchat,
    ):
        sim.script(Fault.status(503), Fault.reset(), Fault.none(), Fault.truncate())
        assert await plugchat.walk(call, 40).to_list() == list(rows(sim))


@both
async def test_the_phone_is_not_connected(call: Call[Any], rows: Rows) -> None:
    """An empty list is only believed if the phone is connected."""
    async with PlugChatSimulator(50, connected=False) as sim, session(sim) as plugchat:
        with pytest.raises(NotConnectedError):
            await plugchat.walk(call).to_list()
    assert len(rows(sim)) > 5


async def test_nothing_is_pending() -> None:
    """An empty list of a connected phone is verified: all is read."""
    reports: list[WalkReport] = []
    async with PlugChatSimulator(0) as sim, session(sim) as plugchat:
        assert await plugchat.list_pending_chats(on_report=reports.append) == []
    assert (reports[0].verified, reports[0].reason) == (True, "the list is empty")


async def test_contacts_that_move_are_read_once() -> None:
    """A new contact moves others down, and one that is renamed jumps over the reader: each comes once."""
    reports: list[WalkReport] = []
    async with PlugChatSimulator(0, contacts=300, seed=2) as sim, session(sim) as plugchat:
        await plugchat.list_contacts(50)
        before = sim.contacts

        def change(page: object) -> None:
            sim.new_contact()
            if len(moved) < 3:
                moved.append(sim.rename_contact(sim.contacts[-1 - 60 * len(moved)], "Aaron").id)

        moved: list[str] = []
        found = await plugchat.list_contacts(50, on_page=change, on_report=reports.append)
    ids = [contact.id for contact in found]
    assert len(ids) == len(set(ids))
    assert {contact.id for contact in before} <= set(ids)
    assert reports[0].verified


@pytest.mark.slow
@pytest.mark.parametrize("consistency", ["exact", "strict"])
async def test_a_long_list_of_contacts(consistency: Any) -> None:
    """Longer than an answer, and without times: each comes once, or the walk says that it is not verified."""
    verified = 0
    for seed in range(4):
        reports: list[WalkReport] = []
        async with (
            PlugChatSimulator(0, contacts=1300, seed=seed) as sim,
            session(sim) as plugchat,
        ):
            await plugchat.list_contacts(100)
            before = {contact.id for contact in sim.contacts}
            rename = functools.partial(_rename_one, sim, random.Random(seed))
            found = await plugchat.list_contacts(100, consistency=consistency, on_page=rename, on_report=reports.append)
        ids = [contact.id for contact in found]
        assert len(ids) == len(set(ids))
        assert before <= set(ids) or not reports[0].verified
        verified += reports[0].verified
    assert verified or consistency == "strict"


def _rename_one(sim: PlugChatSimulator, rnd: random.Random, _: object) -> None:
    sim.rename_contact(rnd.choice(sim.contacts), rnd.choice(("Aaron", "Mia", "Zeca")))


@pytest.mark.parametrize(("name", "short"), [("Mia Souza", "Mia"), ("  ", None), ("", None), (None, None)])
async def test_a_contact_is_renamed(name: str | None, short: str | None) -> None:
    """To any name, and its short form is the first word; it is listed so."""
    async with PlugChatSimulator(5) as sim, session(sim) as plugchat:
        renamed = sim.rename_contact(sim.contacts[2], name)
        assert (renamed.name, renamed.short) == (name, short)
        assert [contact.short async for contact in plugchat.iter_contacts() if contact.id == renamed.id] == [short]


async def test_contacts_are_listed_by_name() -> None:
    """Those without a name last, also after a change; quirks turn the list around."""

    def place(contact: Contact) -> tuple[bool, str, str]:
        return contact.name is None, (contact.name or "").casefold(), contact.id

    for order in ("newest", "oldest"):
        async with PlugChatSimulator(contacts=50, quirks=Quirks(order=order)) as sim, session(sim) as plugchat:
            first, last = sim.contacts[0], sim.contacts[-1]
            renamed = sim.rename_contact(first, None)
            sim.rename_contact(last, "AAA")
            sim.new_contact()
            assert list(sim.contacts) == sorted(sim.contacts, key=place)
            assert sim.contacts[0].id == last.id
            assert renamed in sim.contacts[30:]
            found = await plugchat.list_contacts()
            assert found == list(sim.contacts if order == "newest" else sim.contacts[::-1])


async def test_a_contact_is_deleted() -> None:
    """The deleted one is in the list no more, and is unknown after that."""
    async with PlugChatSimulator(0, contacts=3) as sim, session(sim) as plugchat:
        gone = sim.delete_contact(sim.contacts[1].id)
        assert gone not in await plugchat.list_contacts()
        before = sim.contacts[0]
        sim.rename_contact(before, "Zeca")
        assert sim.delete_contact(before).name == "Zeca"  # found by its address, as a chat is
        assert len(sim.contacts) == 1
        with pytest.raises(KeyError):
            sim.delete_contact(gone)


async def test_lists_learn_apart() -> None:
    """That contacts honour a page's size does not mean that chats do: the first walk of each list doubts."""
    async with PlugChatSimulator(35) as sim:
        async with session(sim) as plugchat:
            await plugchat.list_chats(100)
        alone = len(sim.requests)
        async with session(sim) as plugchat:
            await plugchat.list_contacts(100)
            assert plugchat.server_traits == ServerTraits()
            both_lists = len(sim.requests)
            await plugchat.list_chats(100)
            assert len(sim.requests) - both_lists == alone
            known = len(sim.requests)
            await plugchat.list_contacts(100)
            assert len(sim.requests) == known + 1


@pytest.mark.parametrize("consistency", [None, "exact"])
async def test_a_pending_chat_is_read_in_the_loop(consistency: Any) -> None:
    """It leaves the list, and the others move up: by default none slips through between two pages, as in "exact"."""
    options: Any = {} if consistency is None else {"consistency": consistency}
    async with PlugChatSimulator(600, seed=4, dialect="documented") as sim, session(sim) as plugchat:
        await plugchat.list_pending_chats(20)
        before = {chat.id for chat in sim.pending_chats}
        found: set[str] = set()
        async for chat in plugchat.iter_pending_chats(20, **options):
            if not found:
                sim.mark_read(chat.id)
            found.add(chat.id)
        assert len(before - found) == (0 if consistency is None else 1)


async def test_all_pending_chats_are_read_in_the_loop() -> None:
    """A bot that answers each of them gets each of them."""
    async with PlugChatSimulator(600, seed=4, dialect="documented") as sim, session(sim) as plugchat:
        before = {chat.id for chat in sim.pending_chats}
        found: set[str] = set()
        async for chat in plugchat.iter_pending_chats(20):
            sim.mark_read(chat.id)
            found.add(chat.id)
        assert found == before
        assert await plugchat.list_pending_chats() == []


async def test_pending_chats_follow_the_chats() -> None:
    """A chat that is read leaves the list, one with a message comes to its front."""
    async with PlugChatSimulator(60, seed=4) as sim, session(sim) as plugchat:
        first, *_, last = await plugchat.list_pending_chats()
        read = next(chat for chat in sim.chats if chat.unread)
        sim.mark_read(read)
        new = sim.receive_message(sim.chats[-1])
        pending = await plugchat.list_pending_chats()
        assert first not in pending
        assert last in pending
        assert (pending[0].id, pending[0].unread_messages_count) == (new.id, new.unread)


async def test_many_accounts() -> None:
    """`call` chooses what is fetched of each account."""
    async with PlugChatSimulator(30, contacts=40) as sim:
        other = sim.add_account("other-token", 20)
        accounts = [Account("a", sim.token, sim.base_url), Account("b", "other-token", sim.base_url)]
        results = {result.account.name: result async for result in fetch_many(accounts, call=CONTACTS)}
        assert results["a"].chats == cast("object", sim.contacts)
        assert results["b"].chats == cast("object", other.contacts)
        assert {request.path for request in sim.requests} == {CONTACTS.path}
        async for _, page in fetch_many(accounts, call=PENDING_CHATS, stream=True):
            assert {type(item).__name__ for item in page.items} == {"PendingChat"}
        # Strict by default, as in a session: a walk begins with a page that may hold all.
        first = next(request for request in sim.requests if request.path == PENDING_CHATS.path)
        assert first.page_size == "1000"
    with pytest.raises(InvalidTypeError, match="call must be of type plugchat_async.Call, got str"):
        fetch_many([], call=cast("Any", "/api/whatsapp/contacts"))


@both
@pytest.mark.parametrize("file_format", ["jsonl", "csv", "parquet"])
async def test_files(call: Call[Any], rows: Rows, file_format: Any, tmp_path: Path) -> None:
    """A file of each format has the fields of its items, an empty one too, and is read back the same."""
    columns = [field.name for field in attrs.fields(call.item)]
    write = {"jsonl": write_jsonl, "csv": write_csv, "parquet": write_parquet}[file_format]
    file, empty = tmp_path / f"list.{file_format}", tmp_path / f"empty.{file_format}"
    async with PlugChatSimulator(60, seed=1) as sim, session(sim) as plugchat:
        assert await write(plugchat.walk(call), file, item=call.item) == len(rows(sim))
        assert await write([], empty, item=call.item) == 0
        expected = rows(sim)
    match file_format:
        case "jsonl":
            assert set(read_jsonl(file, item=call.item)) == set(expected)
            assert empty.read_text() == ""
        case "csv":
            [header, *lines] = csv.reader(io.StringIO(file.read_text("utf-8"), newline=""))
            assert header == columns == empty.read_text().strip().split(",")
            assert sorted(line[0] for line in lines) == sorted(item.phone or "" for item in expected)
        case _:
            table = pq.read_table(file)
            assert table.column_names == columns == pq.read_table(empty).column_names
            assert {call.item(**row) for row in table.to_pylist()} == set(expected)
            assert table.equals(to_arrow([call.item(**row) for row in table.to_pylist()], item=call.item))


def _excel(phone: str | None) -> str:
    """Return a phone's cell in CSV for Excel: what looks like a number is a formula that is a text."""
    return f'="{phone}"' if phone and not re.search("[a-z]", phone) else phone or ""


@both
async def test_files_for_spreadsheets(call: Call[Any], rows: Rows, tmp_path: Path) -> None:
    """CSV for Excel and workbooks have the fields of the items, and phones as texts."""
    openpyxl: Any = pytest.importorskip("openpyxl")
    columns = [field.name for field in attrs.fields(call.item)]
    file, book, empty = tmp_path / "x.csv", tmp_path / "x.xlsx", tmp_path / "empty.csv"
    async with PlugChatSimulator(60, seed=1) as sim, session(sim) as plugchat:
        expected = rows(sim)
        assert await write_csv(plugchat.walk(call), file, dialect="excel", item=call.item) == len(expected)
        assert await write_xlsx(plugchat.walk(call), book, item=call.item) == len(expected)
    assert await write_csv([], empty, dialect="excel", item=call.item) == 0
    [header, *lines] = csv.reader(io.StringIO(file.read_text("utf-8-sig"), newline=""), delimiter=";")
    assert header == columns == empty.read_text("utf-8-sig").strip().split(";")
    assert sorted(line[0] for line in lines) == sorted(_excel(x.phone) for x in expected)
    workbook = openpyxl.load_workbook(book)
    assert workbook.sheetnames == ["contacts" if call is CONTACTS else "pending chats"]
    [titles, *cells] = workbook.active.values
    assert list(titles) == columns
    assert {row[0] for row in cells} == {item.phone for item in expected}


@both
async def test_tables_of_other_lists(call: Call[Any], rows: Rows) -> None:
    """A list or a walk becomes a table of the item's fields."""
    columns = [field.name for field in attrs.fields(call.item)]
    async with PlugChatSimulator(30, seed=1) as sim, session(sim) as plugchat:
        found = await plugchat.walk(call).to_list()
        assert set(found) == set(rows(sim))
        table = await to_arrow(plugchat.walk(call), item=call.item)
        assert table.equals(to_arrow(found, item=call.item))
        assert to_polars(found, item=call.item).columns == table.column_names == columns
        with pytest.raises(InvalidTypeError, match="chats must yield Chat, got"):
            await to_arrow(plugchat.walk(call))


async def test_a_file_of_chats_takes_no_contacts(tmp_path: Path) -> None:
    """The columns would be other ones."""
    with pytest.raises(InvalidTypeError, match="chats must yield Chat, got Contact") as caught:
        await write_csv([Contact("1")], tmp_path / "x.csv")
    assert caught.value.hint == "Pass item=Contact, the class of the items."
    wrong: list[Any] = ["Contact", int, Contact("1")]
    for item in wrong:
        for write in (write_jsonl, write_csv, write_xlsx, write_parquet):
            with pytest.raises(InvalidTypeError, match="item must be an attrs class, got "):
                await write([], tmp_path / "x", item=item)
        for to in (to_arrow, to_polars):
            with pytest.raises(InvalidTypeError, match="item must be an attrs class, got "):
                to([], item=item)
        with pytest.raises(InvalidTypeError, match="item must be an attrs class, got "):
            list(read_jsonl(tmp_path / "x", item=item))
    assert not list(tmp_path.iterdir())
    (tmp_path / "x.jsonl").write_text('{"name":"x"}\n')
    with pytest.raises(InvalidValueError, match="line 1 of .*: not a contact: there is neither a phone nor a lid"):
        list(read_jsonl(tmp_path / "x.jsonl", item=Contact))


@attrs.frozen
class Tagged:
    """An item with a field that is no column of a table."""

    phone: str
    tags: tuple[str, ...] = ()
    last_message_time: datetime | None = None


@attrs.frozen
class OnlyPhone:
    """An item with one field, which still is a row."""

    phone: str

    @property
    def last_message_time(self) -> None:
        """It has none."""


@attrs.frozen
class Customer(Contact):
    """A contact, and more than that."""

    number: int = 0


@pytest.mark.parametrize("file_format", ["jsonl", "csv", "parquet", "xlsx"])
async def test_a_file_has_the_columns_of_its_class(file_format: Any, tmp_path: Path) -> None:
    """Those of `item`, whatever its subclasses have besides: in each format the same."""
    write: Any = {"jsonl": write_jsonl, "csv": write_csv, "parquet": write_parquet, "xlsx": write_xlsx}[file_format]
    if file_format == "xlsx":
        pytest.importorskip("xlsxwriter")
    files = tmp_path / f"a.{file_format}", tmp_path / f"b.{file_format}"
    await write([Customer("1", "Ana", number=5), Contact("2")], files[0], item=Contact)
    await write([Contact("1", "Ana"), Contact("2")], files[1], item=Contact)
    if file_format == "parquet":
        assert pq.read_table(files[0]) == pq.read_table(files[1])
    elif file_format == "xlsx":
        sheets = [ZipFile(file).read("xl/worksheets/sheet1.xml") for file in files]
        assert sheets[0] == sheets[1]
    else:
        assert files[0].read_text() == files[1].read_text()


async def test_files_of_a_class_of_your_own(tmp_path: Path) -> None:
    """Arrow needs a type for each column, JSON does not."""
    file = tmp_path / "list"
    await write_jsonl([Tagged("1", ("a",))], file, item=Tagged)
    assert file.read_text() == '{"phone":"1","tags":["a"],"last_message_time":null}\n'
    with pytest.raises(InvalidTypeError, match="Tagged.tags can't be a column"):
        to_arrow([], item=Tagged)
    await write_csv([OnlyPhone("1")], file, item=OnlyPhone)
    assert file.read_text() == "phone\n1\n"
    assert to_arrow([OnlyPhone("1")], item=OnlyPhone).to_pylist() == [{"phone": "1"}]
    await write_csv([OnlyPhone("1")], file, dialect="excel", item=OnlyPhone)
    assert file.read_bytes() == b'\xef\xbb\xbfphone\n"=""1"""\n'
    await write_jsonl([OnlyPhone("1")], file, item=OnlyPhone)
    assert list(read_jsonl(file, item=OnlyPhone)) == [OnlyPhone("1")]


@attrs.frozen
class Owned:
    """An item whose field has the name of a column of exports."""

    phone: str
    account: str | None = None
    last_message_time: datetime | None = None


async def test_an_export_has_one_column_account(tmp_path: Path) -> None:
    """A field of that name would be a second one, or hide it; files of one account have no such column."""
    with pytest.raises(InvalidValueError, match="Owned has a field `account`") as caught:
        await export_many([], tmp_path, call=Call("/x", Owned))
    assert caught.value.hint.startswith("Rename the field")
    assert not list(tmp_path.iterdir())
    await write_csv([Owned("1", "x")], tmp_path / "x.csv", item=Owned)
    assert (tmp_path / "x.csv").read_text() == "phone,account,last_message_time\n1,x,\n"


async def test_an_export(tmp_path: Path) -> None:
    """Its folder is of one call: a run with another is refused, and the same goes on."""
    async with PlugChatSimulator(30, contacts=40) as sim:
        accounts = [Account("a", sim.token, sim.base_url)]
        summary = await export_many(accounts, tmp_path, call=CONTACTS)
        assert (summary.finished, summary.chats) == (1, 40)
        lines = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text("utf-8").splitlines()]
        assert list(lines[0]) == ["account", "phone", "name", "short", "vname", "notify", "lid"]
        assert set(read_jsonl(tmp_path / "a.jsonl", item=Contact)) == set(sim.contacts)
        count = len(sim.requests)
        assert (await export_many(accounts, tmp_path, call=CONTACTS)).skipped == 1
        assert len(sim.requests) == count
        held = "holds all items of /api/whatsapp/contacts of each account as jsonl, .* would write all chats"
        with pytest.raises(InvalidValueError, match=held):
            await export_many(accounts, tmp_path)
        await export_many(accounts, tmp_path, restart=True)
        assert set(read_jsonl(tmp_path / "a.jsonl")) == set(sim.chats)
        with pytest.raises(InvalidValueError, match="holds all chats of each account as jsonl, .* for excel"):
            await export_many(accounts, tmp_path, call=CONTACTS, format="csv", dialect="excel")
        folder = tmp_path / "excel"
        await export_many(accounts, folder, call=CONTACTS, format="csv", dialect="excel")
        head = (folder / "a.csv").read_text("utf-8-sig").splitlines()[0]
        assert head == "account;phone;name;short;vname;notify;lid"
        held = "holds all items of /api/whatsapp/contacts of each account as csv for excel"
        with pytest.raises(InvalidValueError, match=held):
            await export_many(accounts, folder, call=CONTACTS, format="csv")
        mine = Call(CONTACTS.path, OnlyPhone)
        held = "holds all items of /api/whatsapp/contacts of each account .*/contacts as OnlyPhone of each"
        with pytest.raises(InvalidValueError, match=held):  # its columns are other ones
            await export_many(accounts, folder, call=mine, format="csv", dialect="excel")
        assert (await export_many(accounts, tmp_path / "mine", call=mine)).finished == 1
        same = Call(CONTACTS.path, Contact, consistency="strict")
        assert (await export_many(accounts, folder, call=same, format="csv", dialect="excel")).skipped == 1
        chats = Call("/api/whatsapp/chats", Chat, consistency="strict")
        assert (await export_many(accounts, tmp_path / "people", call=chats, merge_people=True)).finished == 1
        with pytest.raises(InvalidValueError, match="merge_people merges chats, not the items of another call"):
            await export_many(accounts, tmp_path, call=CONTACTS, merge_people=True)
