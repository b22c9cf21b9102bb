"""Chats as tables: Arrow, pandas and Polars, from a list or from a walk; and as notebooks show them."""

import pickle
import sys
from collections.abc import AsyncIterator, Callable
from datetime import datetime, timedelta, timezone
from types import SimpleNamespace
from typing import Any, cast

import polars as pl
import pyarrow as pa
import pytest

from plugchat_async import (
    Chat,
    Contact,
    ExportSummary,
    InvalidTypeError,
    InvalidValueError,
    ItemList,
    MissingExtraError,
    Page,
    PendingChat,
    PlugChatSession,
    WalkReport,
    export_many,
    merge_people,
    to_arrow,
    to_pandas,
    to_polars,
)
from plugchat_async.doctor import Finding, Report
from plugchat_async.testing import Fault, PlugChatSimulator
from support.chats import CHATS

TO: list[Callable[[Any], Any]] = [to_arrow, to_pandas, to_polars]


@pytest.fixture(params=TO, ids=lambda to: to.__name__)
def to(request: pytest.FixtureRequest) -> Callable[[Any], Any]:
    if request.param is to_pandas:
        pytest.importorskip("pandas")
    found: Callable[[Any], Any] = request.param
    return found


def phones(table: Any) -> list[str]:
    return [str(phone) for phone in (table["phone"].to_pylist() if isinstance(table, pa.Table) else table["phone"])]


async def test_a_walk_becomes_a_table(
    to: Callable[[Any], Any], sim: PlugChatSimulator, plugchat: PlugChatSession
) -> None:
    """Awaited: from a generator, which is closed, from a walk and from any async iterable, as from a list."""
    wanted = phones(to(sim.chats))
    chats = plugchat.iter_chats(50)
    assert phones(await to(chats)) == wanted
    assert [chat async for chat in chats] == []
    walk = plugchat.walk_chats(50)
    assert phones(await to(walk)) == wanted
    assert walk.ended

    class Others:
        async def __aiter__(self) -> AsyncIterator[Chat]:
            for chat in CHATS[:2]:
                yield chat

    assert phones(await to(Others())) == ["1", "2"]


async def test_a_walk_that_fails_is_closed(
    to: Callable[[Any], Any], sim: PlugChatSimulator, plugchat: PlugChatSession
) -> None:
    """Its error comes, as does that of chats that do not fit."""
    sim.script(Fault.none(), Fault.status(401))
    walk = plugchat.walk_chats(10)
    with pytest.raises(Exception, match="401"):
        await to(walk)
    assert walk.ended
    with pytest.raises(InvalidValueError, match="a chat's unread or messages_unread has more than 64 bits"):
        to([Chat("1", unread=2**63)])
    pending = [PendingChat("1", unread_messages_count=2**63)]
    with pytest.raises(
        InvalidValueError, match="a pending chat's unread_messages_count has more than 64 bits"
    ) as caught:
        to_arrow(pending, item=PendingChat)
    assert caught.value.hint == "Leave that pending chat out, or write jsonl or csv instead."
    closed: list[bool] = []

    async def things_that_come() -> AsyncIterator[Any]:
        try:
            for thing in (Chat("1"), 5):
                yield thing
        finally:
            closed.append(True)

    coming = things_that_come()
    with pytest.raises(InvalidTypeError):
        await to(coming)
    assert closed == [True]
    things: Any = (thing for thing in [Chat("1"), 5])
    with pytest.raises(InvalidTypeError):
        to(things)
    assert things.gi_frame is None  # closed


async def test_what_is_no_chat_is_refused(to: Callable[[Any], Any]) -> None:
    """By an error of ours, at once or when it comes."""

    async def texts() -> AsyncIterator[Any]:
        yield "x"

    async def list_chats() -> Any:
        """Which somebody does not await."""

    forgotten: Any = list_chats()
    with pytest.raises(InvalidTypeError, match="chats must be an iterable or async .*, got coroutine") as caught:
        to(forgotten)
    forgotten.close()
    assert caught.value.hint == "Await it first: it comes from a call."
    pages: Any = [Page(1, 1, (), b"[]")]
    with pytest.raises(InvalidTypeError, match="chats must yield Chat, got Page") as caught:
        to(pages)
    assert caught.value.hint == "Pass the items themselves, such as plugchat.iter_chats() or a list of Chat."

    with pytest.raises(InvalidTypeError, match="chats must be an iterable or async iterable of Chat, got NoneType"):
        to(None)
    with pytest.raises(InvalidTypeError, match="chats must yield Chat, got str"):
        to([*CHATS, "x"])
    with pytest.raises(InvalidTypeError, match="chats must yield Chat, got str"):
        await to(texts())


def test_pandas_keeps_types_where_there_is_nothing() -> None:
    """A phone is a text, a count an integer, a flag a boolean; none of them a float or an object."""
    pd = pytest.importorskip("pandas")
    frame: Any = to_pandas(CHATS)
    assert {name: str(kind) for name, kind in frame.dtypes.items()} == {
        **dict.fromkeys(("phone", "name", "profile_thumbnail", "lid"), "string"),
        **dict.fromkeys(("unread", "messages_unread"), "Int64"),
        **dict.fromkeys(("last_message_time", "muted_until"), "datetime64[us, UTC]"),
        **dict.fromkeys(("is_muted", "is_marked_spam", "is_pinned", "is_archived", "is_group"), "boolean"),
        "is_group_announcement": "boolean",
    }
    assert list(frame.columns) == to_arrow(CHATS).column_names
    assert frame["unread"].tolist() == [chat.unread for chat in CHATS]
    assert frame["messages_unread"][3] == -(2**63)
    assert frame["phone"][0] == "1"
    assert frame["phone"][4] is pd.NA
    assert frame["muted_until"][4].year == 9999
    assert len(to_pandas([])) == 0


def test_pandas_is_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which the error names."""
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MissingExtraError, match="to_pandas needs pandas") as caught:
        to_pandas(CHATS)
    assert "plugchat-async[pandas]" in caught.value.hint


async def test_lists_are_shown_as_tables(plugchat: PlugChatSession) -> None:
    """Lists of items as they come from this package, and parts of them; they are lists, too."""
    found = cast("ItemList[Chat]", await plugchat.list_chats())
    assert type(found) is type(merge_people(CHATS)) is type(found[:2]) is ItemList
    assert isinstance(found[0], Chat)
    assert found == list(found)
    assert pickle.loads(pickle.dumps(found[:2])) == found[:2]
    shown = found._repr_html_() or ""
    assert shown.count("<tr>") == 61
    assert shown.endswith("<p>250 chats, the first 60 are shown</p>")
    # Made by hand, in another zone.
    chat = Chat("5", "<b>&", 2, datetime(2021, 6, 6, 12, 1, 27, tzinfo=timezone(timedelta(hours=-3))))
    assert ItemList([chat, Chat(lid="7@lid")])._repr_html_() == (
        "<table><thead><tr><th>name</th><th>id</th><th>kind</th><th>unread</th><th>last message time (UTC)</th></tr>"
        "</thead><tbody><tr><td>&lt;b&gt;&amp;</td><td>5</td><td>person</td><td>2</td><td>2021-06-06 15:01</td></tr>"
        "<tr><td></td><td>7@lid</td><td>person</td><td>0</td><td></td></tr></tbody></table><p>2 chats</p>"
    )


async def test_lists_of_other_items_are_shown_as_tables(sim: PlugChatSimulator, plugchat: PlugChatSession) -> None:
    """With the fields of their class, but for the picture's long URL. What has no fields is shown as a list is."""
    found = [await plugchat.list_contacts(), await plugchat.list_pending_chats()]
    shown = [cast("ItemList[Any]", items)._repr_html_() or "" for items in found]
    assert all(found)
    assert "<th>name</th><th>short</th><th>vname</th><th>notify</th><th>lid</th></tr>" in shown[0]
    assert "contacts" in shown[0]
    assert "<th>last message time (UTC)</th><th>is muted</th><th>lid</th></tr>" in shown[1]
    assert ItemList([Contact("5", "Ana")])._repr_html_() == (
        "<table><thead><tr><th>phone</th><th>name</th><th>short</th><th>vname</th><th>notify</th><th>lid</th></tr>"
        "</thead><tbody><tr><td>5</td><td>Ana</td><td></td><td></td><td></td><td></td></tr></tbody></table>"
        "<p>1 contact</p>"
    )
    mixed: ItemList[Any] = ItemList([Chat("5"), Contact("6", "Ana")])
    assert "<tr><td>Ana</td><td>6</td><td></td><td></td><td></td></tr>" in (mixed._repr_html_() or "")
    assert ItemList([1, 2])._repr_html_() is ItemList[Chat]()._repr_html_() is None


@pytest.mark.parametrize(("length", "text"), [(0, "[]"), (3, "[0, 1, 2]"), (5000, "[0, 1, 2, … 4,997 more]")])
def test_the_text_beside_a_table_is_short(length: int, text: str) -> None:
    """A notebook saves it: not a thousand names and phones that nobody sees. `repr` is that of a list."""
    printed: list[str] = []
    ItemList(range(length))._repr_pretty_(SimpleNamespace(text=printed.append), False)
    assert printed == [text]
    assert repr(ItemList(range(length))) == repr(list(range(length)))


async def test_reports_are_shown_as_tables(tmp_path: Any, sim: PlugChatSimulator, plugchat: PlugChatSession) -> None:
    """Of a walk and of an export, with all their fields; of a checkup, with all findings."""
    reports: list[WalkReport] = []
    await plugchat.list_chats(on_report=reports.append)
    shown = reports[0]._repr_html_()
    assert "<td>chats</td><td>250</td>" in shown
    assert "<td>verified</td><td>True</td>" in shown
    summary: ExportSummary = await export_many([], tmp_path)
    assert "<td>not_connected</td><td>0</td>" in summary._repr_html_()
    found = Finding("token", "warning", "a <b>", "Use &.")
    shown = Report((found,), None, 0, 0.0)._repr_html_()
    assert "<tr><td>token</td><td>warning</td><td>a &lt;b&gt;</td><td>Use &amp;.</td></tr>" in shown


def test_polars_has_the_same_columns_as_arrow() -> None:
    """Whatever it came from."""
    assert to_polars(iter(CHATS)).equals(pl.DataFrame(to_arrow(CHATS)))
