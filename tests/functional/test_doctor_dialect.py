"""What the doctor tells of the gateway's own spelling: shapes and counts, and no value of a row."""

import json
import random
import re
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import strategies as st

from plugchat_async import InvalidTypeError
from plugchat_async.doctor import CHECKS, MAX_REQUESTS, Finding, Report, examine
from support.fakes import http
from support.gateway import CONNECTED, Gateway

TOKEN = "s3cret-t0ken"
NOT_FOUND = http(b"", status="404 Not Found")
# A page as it comes today, from the notes on the gateway.
TODAY: list[Any] = json.loads(
    """
[{"pinned":"true","messagesUnread":"0","unread":"2","lid":"111000000000001@lid","lastMessageTime":"1768497607000",
  "isGroupAnnouncement":false,"archived":"false","phone":"551190000001","name":"Ana","isGroup":false,"isMuted":"0",
  "isMarkedSpam":"false"},
 {"pinned":"false","messagesUnread":"0","unread":"0","lid":"111000000000001@lid","lastMessageTime":"0",
  "isGroupAnnouncement":false,"archived":"false","phone":"","name":"Ana","isGroup":false,"isMuted":"0",
  "isMarkedSpam":"false"},
 {"pinned":"false","messagesUnread":"0","unread":"0","about":"","lastMessageTime":"1757985737000",
  "isGroupAnnouncement":false,"archived":"false","phone":"120363000000000001-group","name":"Vendas","communityId":"",
  "isGroup":true,"isMuted":"0","isMarkedSpam":"false","muteEndTime":null,"ephemeralExpiration":0},
 {"lid":"111000000000002@lid","phone":"","unread":"0","isGroup":false,"archived":"true"}]
"""
)


async def examined(rows: Sequence[object] | bytes, status: bytes = http(CONNECTED), **options: Any) -> Report:
    """Examine an account that has these rows."""
    async with Gateway(rows, status) as server:
        report = await examine(TOKEN, base_url=server.base_url, **options)
    assert [finding.check for finding in report.findings] == list(CHECKS)
    assert report.requests == len(server.requests) < MAX_REQUESTS
    return report


def facts(finding: Finding) -> dict[str, object]:
    return {fact.name: fact.value for fact in finding.facts}


def rows_of_today(people: int, seed: int = 7) -> list[dict[str, object]]:
    """As many people as a measured account has, in its proportions: up to five rows of a lid, one has the phone."""
    rnd = random.Random(seed)
    rows: list[dict[str, object]] = []
    for number in range(people):
        lid, name = f"{111_000_000_000_000 + number}@lid", f"Nome {number}"
        for part in range(rnd.choice((1, 1, 2, 2, 5))):
            row: dict[str, object] = {"lid": lid, "phone": "", "name": name, "unread": "0", "pinned": "false"}
            row |= {"archived": "true" if rnd.random() < 0.1 else "false", "isGroup": False, "tags": []}
            if not part:
                row |= {"phone": f"55119{number:08d}", "lastMessageTime": str(1_768_497_607_000 - 60_000 * number)}
            elif rnd.random() < 0.7:
                row["lastMessageTime"] = rnd.choice((None, "", 0, "0"))
            rows.append(row)
    return rows


@pytest.mark.parametrize("rows", [TODAY, *(rows_of_today(people) for people in (1, 2, 3, 5, 8, 40, 332, 900))])
async def test_a_normal_answer_is_no_cause_for_alarm(rows: list[dict[str, object]]) -> None:
    """Rows without a phone or a time, several rows of a person, milliseconds: nothing is called wrong."""
    report = await examined(rows)
    assert {f.check for f in report.findings if f.status in ("warning", "failed")} == set()
    assert "Plug Chat's support" not in repr(report)
    assert report.finding("first_page").fact("page_0") == "page 1"
    assert report.finding("answer").fact("rows") == min(10, len(rows))


async def test_the_page_of_today() -> None:
    """Each of its peculiarities is counted."""
    report = await examined(TODAY)
    assert facts(report.finding("times")) == {
        "unit": "milliseconds",
        "type": "text",
        "seen": ("milliseconds: 2",),
        "missing": 2,
        "unreadable": 0,
    }
    assert facts(report.finding("ids")) == {
        "rows": 4,
        "no_phone": 2,
        "no_lid": 1,
        "no_id": 0,
        "phones": ("12 digits: 1", "ends in -group: 1"),
        "kinds": ("person: 3", "group: 1"),
    }
    assert facts(report.finding("people")) == {
        "lids": 2,
        "repeated": 1,
        "rows": 2,
        "most": 2,
        "phones": 1,
        "alike": 0,
    }
    keys = facts(report.finding("keys"))
    assert keys["unknown"] == ("about: empty text 1", "communityId: empty text 1", "ephemeralExpiration: number 1")
    assert keys["missing"] == ("profileThumbnail",)
    assert {"isGroup: boolean 4", "archived: text 4", "phone: text 2, empty text 2"} <= set(_texts(keys["known"]))
    assert (keys["rows"], keys["other_names"]) == (4, 0)
    assert facts(report.finding("values")) == {"problems": 0, "rows_left_out": 0, "seen": ()}
    assert facts(report.finding("phone")) == {
        "connected": True,
        "session": True,
        "smartphone_connected": True,
        "error": False,
    }


def _texts(value: object) -> tuple[str, ...]:
    assert isinstance(value, tuple)
    return value


MILLISECONDS = 1_768_497_607_000


@pytest.mark.parametrize(
    ("times", "unit", "type_", "seen", "missing"),
    [
        ([1_622_991_687, 1_622_991_686], "seconds", "number", ("seconds: 2",), 0),
        (["1622991687"], "seconds", "text", ("seconds: 1",), 0),
        ([MILLISECONDS, str(MILLISECONDS)], "milliseconds", "mixed", ("milliseconds: 2",), 0),
        ([MILLISECONDS * 1000], "microseconds", "number", ("microseconds: 1",), 0),
        (["2026-11-26T12:00:00Z", "2026-11-26T12:00:00-03:00"], "RFC 3339", "text", ("RFC 3339: 2",), 0),
        ([MILLISECONDS, 1_622_991_687], "mixed", "number", ("seconds: 1", "milliseconds: 1"), 0),
        ([None, "", 0, "0", "null", "NULL"], None, None, (), 6),
    ],
)
async def test_the_unit_of_times(
    times: list[object], unit: str | None, type_: str | None, seen: tuple[str, ...], missing: int
) -> None:
    """Units and types are told, also where they are mixed; what means that there is no message is counted apart."""
    report = await examined([{"phone": str(n), "lastMessageTime": time} for n, time in enumerate(times, 10)])
    finding = report.finding("times")
    assert facts(finding) == {"unit": unit, "type": type_, "seen": seen, "missing": missing, "unreadable": 0}
    assert finding.status == "ok"
    words = {"mixed": "they are mixed: 1 in seconds, 1 in milliseconds", None: "rows have no time"}
    assert (
        words.get(unit, f"they are in {unit}, as {'numbers and text' if type_ == 'mixed' else type_}s") in finding.found
    )
    assert f"{missing} of {len(times)} rows have no time" in finding.found


async def test_forms_of_ids() -> None:
    """A phone may be anything: only its form is told."""
    ids = ["5511900000001", "120363-group", "12@g.us", "1@broadcast", "1@newsletter", "7@lid", "55-15", "status", "a b"]
    report = await examined([{"phone": text} for text in ids])
    finding = report.finding("ids")
    assert finding.fact("phones") == (
        "13 digits: 1",
        "ends in -group: 1",
        "ends in @g.us: 1",
        "ends in @broadcast: 1",
        "ends in @newsletter: 1",
        "ends in @lid: 1",
        "digits-digits: 1",
        "a text of 6 letters: 1",
        "a text of 3 characters: 1",
    )
    assert finding.fact("no_lid") == len(ids)


async def test_people_in_several_rows() -> None:
    """A lid counts wherever it stands; rows that nothing tells apart are counted, too."""
    lid = "111@lid"
    rows: list[object] = [{"phone": "5511", "lid": lid}, {"lid": lid, "name": "A"}, {"lid": lid, "name": "A"}]
    rows += [{"phone": lid}, {"phone": "5512", "lid": "112@lid"}, {"phone": "5513"}]
    finding = (await examined(rows)).finding("people")
    assert facts(finding) == {"lids": 2, "repeated": 1, "rows": 4, "most": 4, "phones": 1, "alike": 2}
    assert (finding.status, finding.found) == ("ok", "1 of 2 lids comes in several rows, up to 4 of them")
    assert "merge_people" in finding.advice


async def test_a_lid_with_two_phones() -> None:
    """A phone of each is told; "0" is none. merge_people keeps them apart."""
    rows = [{"phone": "5511", "lid": "111@lid"}, {"phone": "5512", "lid": "111@lid"}, {"phone": "0", "lid": "111@lid"}]
    finding = (await examined(rows)).finding("people")
    assert (finding.status, finding.fact("phones")) == ("warning", 2)
    assert "keeps the rows of one lid with different phones apart" in finding.advice


async def test_a_phone_twice_is_not_a_person_in_several_rows() -> None:
    """Phones that come twice are told apart from lids that do."""
    rows = [{"phone": "1@lid"}, {"phone": "1@lid"}, {"lid": "2@lid"}, {"lid": "2@lid"}, {"phone": "5511"}]
    assert (await examined(rows)).finding("duplicates").status == "ok"
    finding = (await examined([*rows, {"phone": "5511"}])).finding("duplicates")
    assert (finding.status, finding.fact("phones")) == ("warning", 1)


async def test_names_of_keys_are_shown_if_they_look_like_such() -> None:
    """Names that may be a phone, a token or a text are only counted, and so are those beyond the first forty."""
    odd = ["55119000001x", "k551190000012", "two words", "ção", "x" * 41, "", "1st", TOKEN, "a-b", "A\x1b[2J"]
    row: dict[str, object] = {
        "phone": "5511",
        **dict.fromkeys(odd, 1),
        "notes": None,
        "tags": [],
        "sub": {},
        "v2_x": True,
    }
    finding = (await examined([row, {"phone": "5512", "notes": "x"}])).finding("keys")
    assert finding.fact("unknown") == (
        "notes: null 1, text 1",
        "sub: object 1",
        "tags: list 1",
        "v2_x: boolean 1",
    )
    assert finding.fact("other_names") == len(odd)
    assert "14 unknown: notes, sub, tags, v2_x, 10 others" in finding.found
    many = (await examined([{"phone": "5511", **{f"k{n}": 1 for n in range(41)}}])).finding("keys")
    assert many.found.endswith(", 1 other")


async def test_a_token_that_looks_like_a_name() -> None:
    """It is not shown as one."""
    async with Gateway([{"phone": "5511", "abcdefghToken": 1}]) as server:
        report = await examine("abcdefghToken", base_url=server.base_url)
    assert report.finding("keys").fact("other_names") == 1
    assert "abcdefgh" not in repr(report)


async def test_values_that_can_not_be_read() -> None:
    """Field, expectation, count and shape are told; the value is not."""
    rows: list[object] = [{"phone": str(n), "unread": text} for n, text in enumerate(("xyz", "abc", "a b"), 10)]
    rows += [{"phone": "20", "lastMessageTime": 1.5e300, "isMuted": 123456, "name": [1], "pinned": {"a": 1}}]
    rows += [{"phone": "21", "isMuted": 2**70, "lastMessageTime": True, "name": False}, {"name": "nobody"}, 7]
    report = await examined(rows)
    finding = report.finding("values")
    assert finding.status == "warning"
    assert (finding.fact("problems"), finding.fact("rows_left_out")) == (12, 2)
    seen = _texts(finding.fact("seen"))
    assert seen[0] == "unread: expected a count, got a text of 3 letters: 2"
    flag, time = (
        "true or false, 1 or 0",
        "a time: epoch seconds, milliseconds or microseconds, or RFC 3339 with an offset",
    )
    assert set(seen[1:]) == {
        "unread: expected a count, got a text of 3 characters: 1",
        f"lastMessageTime: expected {time}, got a number with a fraction or an exponent: 1",
        f"isMuted: expected {flag}, got a number of 6 digits: 1",
        "name: expected a text, got a list of 1: 1",
        f"pinned: expected {flag}, got an object of 1 keys: 1",
        f"isMuted: expected {flag}, got a number of many digits: 1",
        f"lastMessageTime: expected {time}, got a boolean: 1",
        "name: expected a text, got a boolean: 1",
        "row: expected a phone or a lid, got an object of 1 keys: 1",
        "row: expected an object, got a number of 1 digits: 1",
    }
    assert "xyz" not in repr(report)
    assert "nobody" not in repr(report)
    assert "on_bad_value" in finding.advice
    assert "5 of 7" in report.finding("answer").found
    assert report.finding("times").fact("unreadable") == 2
    assert report.finding("ids").fact("no_id") == 2
    assert report.healthy


async def test_a_value_that_python_does_not_have() -> None:
    """It has a shape, too: broken UTF-8, and more digits than Python reads."""
    page = b'[{"phone": "1", "name": "\xff\xff"}, {"phone": "2", "unread": %b}]' % (b"9" * 6000)
    report = await examined(http(page))
    seen = set(_texts(report.finding("values").fact("seen")))
    assert "name: expected a text, got a text that is not UTF-8: 1" in seen
    assert "unread: expected a count, got a value that Python does not have: 1" in seen


async def test_a_row_that_can_not_be_read_counts_for_the_page() -> None:
    """A page is full by its rows, so a row without an id hides no cap and no end."""
    rows: list[object] = [{"phone": str(n), "lastMessageTime": MILLISECONDS - n} for n in range(100, 350)]
    rows[3::10] = [{"name": "nobody"}] * len(rows[3::10])
    report = await examined(rows)
    assert {f.check for f in report.findings if f.status != "ok"} == {"tls", "values"}
    assert report.finding("page_size").found == "it is honoured as far as can be seen: the list has 250 chats"


@pytest.mark.parametrize(
    ("marks", "place"),
    [
        ("xx......", "top"),
        ("......xx", "bottom"),
        ("x......x", "top and bottom"),
        ("..x..x..", "among the others"),
        ("x..x....", "mixed"),
        ("........", None),
        ("xxxxxxxx", None),
    ],
)
@pytest.mark.parametrize("which", ["pinned", "archived", "timeless"])
async def test_where_rows_stand(which: str, marks: str, place: str | None) -> None:
    """Top, bottom or in between: of pinned and archived rows, and of those without a time."""
    rows: list[object] = []
    for number, mark in enumerate(marks):
        row: dict[str, object] = {"phone": str(number + 10), "lastMessageTime": MILLISECONDS - number}
        if mark == "x":
            row |= {"lastMessageTime": None} if which == "timeless" else {which: "true"}
        rows.append(row)
    finding = (await examined(rows)).finding("order")
    assert finding.fact(f"{which}_at") == place
    assert finding.fact(f"{which}_rows") == marks.count("x")
    if place:
        assert f": {place}" in finding.found
    if set(marks) == {".", "x"}:
        assert (finding.status, finding.fact("sorted")) == ("ok", True)
        assert ("no time" in finding.advice) is (which == "timeless")


async def test_an_order_that_pinned_and_archived_rows_break() -> None:
    """More than three on top are more than a walk allows for; that all others are sorted is told."""
    rows = [{"phone": str(10 + n), "lastMessageTime": MILLISECONDS - n} for n in range(30)]
    odd = [{"phone": str(60 + n), "lastMessageTime": 1_000_000_000 + n, "pinned": "true"} for n in range(4)]
    old = [{"phone": str(70 + n), "lastMessageTime": MILLISECONDS + n, "archived": "true"} for n in range(4)]
    finding = (await examined([*odd, *rows, *old])).finding("order")
    assert (finding.status, finding.fact("sorted")) == ("warning", False)
    assert "without those that are pinned or archived they are (4 pinned: top; 4 archived: bottom)" in finding.found
    assert "support" not in finding.advice


@pytest.mark.parametrize(
    ("status", "found", "known"),
    [
        (http(CONNECTED), "it is connected to WhatsApp", {"connected": True, "error": False}),
        (http(b'{"connected": "TRUE", "session": 1}'), "it is connected", {"session": True, "connected": True}),
        (http(b'\xef\xbb\xbf{"connected":1,"error":"ok"}'), "it is connected", {"connected": True, "error": True}),
    ],
)
async def test_a_phone_that_is_connected(status: bytes, found: str, known: dict[str, object]) -> None:
    """In any spelling of the flags."""
    finding = (await examined(TODAY, status)).finding("phone")
    assert finding.status == "ok"
    assert found in finding.found
    assert known.items() <= facts(finding).items()


@pytest.mark.parametrize(
    ("status", "why"),
    [
        (NOT_FOUND, "HTTP 404 Not Found"),
        (http(b"", status="405 Method Not Allowed"), "HTTP 405 Method Not Allowed"),
        (http(b"x", status="500 Internal Server Error"), "HTTP 500"),
        (http(b"[]"), "the answer is not a status"),
        (http(b"<html>"), "the answer is not a status"),
        (http(b"{}"), "the answer is not a status"),
        (http(b'{"connected": "perhaps"}'), "the answer is not a status"),
        (http(b'{"session": true}'), "the answer is not a status"),
        (http(b'{"error": "no"}'), "the answer is not a status"),
        (http(b" " * 2**24 + b"{}"), "the answer is not a status"),
        (b"?", "valid HTTP"),
    ],
)
async def test_a_gateway_that_does_not_tell(status: bytes, why: str) -> None:
    """That is no fault, neither of the phone nor of the list."""
    report = await examined(TODAY, status)
    finding = report.finding("phone")
    assert finding.status == "skipped"
    assert finding.found.startswith("unknown: ")
    assert why in finding.found
    assert finding.fact("connected") is None
    assert report.healthy


async def test_a_status_that_is_limited() -> None:
    """A 429 ends the asking there, too, and is told."""
    report = await examined(TODAY, http(b"", "Retry-After: 9", status="429 Too Many Requests"))
    assert report.finding("rate_limit").fact("retry_after") == 9.0
    assert report.finding("phone").found == "unknown: HTTP 429 Too Many Requests"


DISCONNECTED = http(b'{"connected": false, "error": "You are not\\u001b[2J connected."}')


async def test_an_empty_list_of_a_phone_that_is_not_connected() -> None:
    """It is no empty account, and both findings say so; the phone's is the failure."""
    report = await examined([], DISCONNECTED)
    answer, phone = report.finding("answer"), report.finding("phone")
    assert (answer.status, phone.status, phone.category) == ("warning", "failed", "service")
    assert "the account may have chats" in answer.found
    assert "Reconnect the phone in the Plug Chat panel" in phone.advice
    assert "You are not" in phone.found
    assert "\x1b" not in phone.found
    assert phone.fact("error") is True
    assert [f.check for f in report.findings if f.status == "failed"] == ["phone"]


async def test_an_empty_list_of_a_connected_phone() -> None:
    """The account has no chats, or not yet."""
    answer = (await examined([])).finding("answer")
    assert answer.status == "ok"
    assert "the phone is connected" in answer.found
    assert "one by one" in answer.advice


@pytest.mark.parametrize("status", [NOT_FOUND, http(b"", status="429 Too Many Requests")])
async def test_an_empty_list_of_an_unknown_phone(status: bytes) -> None:
    """What it may mean is told."""
    answer = (await examined([], status)).finding("answer")
    assert answer.status == "ok"
    assert "is not known" in answer.found
    assert "while it is not, the list is empty" in answer.advice


@pytest.mark.parametrize("code", ["200 OK", "400 Bad Request", "403 Forbidden"])
async def test_a_status_that_is_refused_for_it(code: str) -> None:
    """A gateway that refuses to tell because the phone is not connected has told it."""
    report = await examined([], http(b'{"error": "You need to be connected"}', status=code))
    assert report.finding("phone").status == "failed"
    assert report.finding("answer").status == "warning"


async def test_a_list_of_a_phone_that_is_not_connected() -> None:
    """Chats come nevertheless: that is a warning."""
    report = await examined(TODAY, http(b'{"connected": "false"}'))
    finding = report.finding("phone")
    assert (finding.status, finding.found) == ("warning", "it is not connected to WhatsApp")
    assert report.healthy


async def test_a_phone_that_is_offline() -> None:
    """The account may be connected without it."""
    finding = (await examined(TODAY, http(b'{"connected": true, "smartphoneConnected": "0"}'))).finding("phone")
    assert (finding.status, finding.fact("smartphone_connected")) == ("warning", False)


async def test_a_refused_list_and_the_phone() -> None:
    """Where the list is refused, the phone is asked for: it may be the reason."""
    async with Gateway(http(b'{"error": "no"}', status="400 Bad Request"), DISCONNECTED) as server:
        report = await examine(TOKEN, base_url=server.base_url)
        assert [path for path in server.paths if "?" not in path] == ["/api/whatsapp/status"]
    assert {f.check for f in report.findings if f.status == "failed"} == {"answer", "phone"}


async def test_the_status_is_asked_for_as_the_list_is() -> None:
    """The same token and Content-Type, once, and no page."""
    async with Gateway(TODAY) as server:
        await examine(TOKEN, base_url=f"{server.base_url}/gateway")
    [request] = [request for request in server.requests if b"/status" in request]
    assert request.startswith(b"GET /gateway/api/whatsapp/status HTTP/1.1\r\n")
    assert f"Authorization: {TOKEN}".encode() in request
    assert b"Content-Type: application/json" in request


async def test_a_status_counts_for_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is asked after the last request that is allowed, whichever it is for."""
    monkeypatch.setattr("plugchat_async.doctor.prober.MAX_REQUESTS", 3)
    report = await examined([], DISCONNECTED)
    assert report.requests == 3
    assert report.finding("past_end").found == "that would take more than 3 requests"
    assert report.finding("phone").status == "failed"


# What is shown to anybody.

NAME, PHONE, LID, TAG, SAID = "Zulmira", "5511987654321", "111222333444555@lid", "Freguesa-VIP", "Ligue para Zulmira"


words = st.sampled_from([NAME, PHONE, int(PHONE), LID, TAG, SAID, TOKEN, f"{SAID} {PHONE}", f"<b>{NAME}", f"{TOKEN}\n"])
values = st.recursive(
    words | st.none() | st.booleans() | st.integers(0, 9), lambda v: st.lists(v, max_size=2), max_leaves=3
)
key_names = st.sampled_from(["phone", "lid", "name", "lastMessageTime", "unread", "isMuted", "pinned", "notes"])
keys = key_names | st.sampled_from([PHONE, LID, TAG, SAID, TOKEN, f"k{PHONE}", f"x {NAME}"])


async def test_quotes_are_shown_to_who_asks() -> None:
    """By default findings quote the server, as one who looks for a fault needs it."""
    refusal = http(b'{"error": "something else"}', status="400 Bad Request")
    wrong: Any = 1
    assert "something else" in (await examined(refusal)).finding("answer").found
    with pytest.raises(InvalidTypeError, match="quotes must be of type bool"):
        await examine(TOKEN, quotes=wrong)


async def test_one_is_told_in_the_singular() -> None:
    """A list of one row, or with one row that can't be read, has no "1 rows"."""
    for rows in ([{"phone": "1", "lastMessageTime": MILLISECONDS}], [{"phone": "1"}, {"phone": "2"}, {"name": "x"}]):
        report = await examined(rows)
        told = " ".join(f"{finding.found} {finding.advice}" for finding in report.findings)
        nouns = "rows|chats|values|lids|phones|answers|requests|other kinds"
        assert re.findall(rf"(?<!of )\b1 (?:{nouns})\b|\b1 row (?:are|have)\b", told) == []
