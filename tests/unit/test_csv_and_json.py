import csv
import io
import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugchat_async import FOREVER, Chat, ChatChanged
from plugchat_async.export.csv_and_json import csv_header, event_to_json, from_json, to_csv, to_json

CHAT = Chat("5511999999999", "Ana 😀", 3, datetime(2021, 6, 6, 15, 1, 27, tzinfo=UTC), is_muted=True, messages_unread=0)


def test_json_has_our_names_and_rfc_3339_times() -> None:
    """One line, UTF-8 as it is."""
    assert to_json(CHAT) == (
        '{"phone":"5511999999999","name":"Ana 😀","unread":3,"last_message_time":"2021-06-06T15:01:27Z",'
        '"is_muted":true,"is_marked_spam":false,"profile_thumbnail":null,"messages_unread":0,"lid":null,'
        '"is_pinned":null,"is_archived":null,"is_group":null,"is_group_announcement":null,"muted_until":null}'
    )


def test_csv_has_the_same_columns() -> None:
    """None is empty, booleans and times are spelled as in JSON."""
    assert csv_header().split(",") == list(json.loads(to_json(CHAT)))
    assert to_csv(CHAT) == "5511999999999,Ana 😀,3,2021-06-06T15:01:27Z,true,false,,0,,,,,,"
    assert to_csv(Chat("1")) == "1,,0,,false,false,,,,,,,,"


def test_what_the_page_of_2021_did_not_know_comes_behind() -> None:
    """Programs that count columns from the left find the old eight where they were; a phone may be missing."""
    chat = Chat(lid="1@lid", is_pinned=True, is_archived=False, is_group=False, muted_until=FOREVER)
    assert csv_header().split(",")[8:] == [
        "lid",
        "is_pinned",
        "is_archived",
        "is_group",
        "is_group_announcement",
        "muted_until",
    ]
    assert to_csv(chat) == ",,0,,false,false,,,1@lid,true,false,false,,9999-12-31T23:59:59.999999Z"
    assert to_json(chat, "sales") == (
        '{"account":"sales","phone":null,"name":null,"unread":0,"last_message_time":null,"is_muted":false,'
        '"is_marked_spam":false,"profile_thumbnail":null,"messages_unread":null,"lid":"1@lid","is_pinned":true,'
        '"is_archived":false,"is_group":false,"is_group_announcement":null,'
        '"muted_until":"9999-12-31T23:59:59.999999Z"}'
    )


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n", "＝"])  # noqa: RUF001 - meant
def test_a_cell_that_could_be_a_formula_is_neutralised(start: str) -> None:
    """A name is another person's text: =HYPERLINK(…) must not run in a spreadsheet. Numbers stay numbers."""
    name = f"{start}HYPERLINK(1)"
    [row] = csv.reader(io.StringIO(to_csv(Chat(name, name, -1, lid=name)), newline=""))
    assert row[:3] == [f"'{name}", f"'{name}", "-1"]
    assert row[8] == f"'{name}"


@pytest.mark.parametrize("blank", [*" \u00a0\u3000\u200b\ufeff\u2060\u00ad\u202e\u2800\u3164\ufe0f\x00", " \u200b "])
@pytest.mark.parametrize("start", ["=", "＠"])  # noqa: RUF001 - meant
def test_a_formula_behind_what_can_not_be_seen_is_neutralised(blank: str, start: str) -> None:
    """Spreadsheets pass over it; a name in which the sign comes later is left as it is."""
    name = f"{blank}{start}HYPERLINK(1)"
    [row] = csv.reader(io.StringIO(to_csv(Chat("1", name)), newline=""))
    assert row[1] == f"'{name}"
    for fine in (blank, f"{blank}a{start}", f"a{blank}{start}", ""):
        [row] = csv.reader(io.StringIO(to_csv(Chat("1", fine)), newline=""))
        assert row[1] == fine


def test_a_line_is_one_to_all_programs() -> None:
    """`str.splitlines` splits at more than line ends; what is read back is the same."""
    name = "a\u2028b\u2029c\x85d\x0b\x0c\x1c\x1d\x1eã"
    old, new = Chat("1", name), Chat("2", name)
    for text in (to_json(new, name), event_to_json(ChatChanged(old, new, ("name",)))):
        assert text.splitlines() == [text]
        assert "ã" in text
    assert "a\\u2028b\\u2029c\\u0085d" in to_json(new)
    assert from_json(to_json(new), Chat) == new


@given(st.text(st.characters(exclude_categories=["Cs"])), st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_any_text_comes_back(name: str, phone: str) -> None:
    """Quotes, commas and line ends survive CSV and JSON, and no cell begins as a formula does."""
    chat = Chat(phone, name)
    [row] = csv.reader(io.StringIO(to_csv(chat), newline=""))
    assert row[1].removeprefix("'") == name.removeprefix("'")
    assert row[0].removeprefix("'") == phone.removeprefix("'")
    assert not row[1].startswith(("=", "+", "-", "@"))
    assert json.loads(to_json(chat))["name"] == name
    assert to_json(chat).splitlines() == [to_json(chat)]
