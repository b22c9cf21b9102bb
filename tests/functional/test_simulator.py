import asyncio
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from typing import Any, Literal

import aiohttp
import pytest
from attrs import evolve

from plugchat_async import (
    FOREVER,
    Chat,
    ConfigurationError,
    InvalidValueError,
    PlugChatSession,
    RetryPolicy,
    ServerError,
    UnexpectedStatusError,
    WalkReport,
)
from plugchat_async.converter import converter
from plugchat_async.testing import Fault, PlugChatSimulator, Quirks
from support.fakes import DOCUMENTED
from support.simulated import ask, assert_sorted, key_of, read

Dialect = Literal["gateway", "documented"]
Consistency = Literal["plain", "exact", "strict"]
DIALECTS: list[Dialect] = ["gateway", "documented"]


@DOCUMENTED
async def test_values_are_spelled_as_in_the_vendors_example(sim: PlugChatSimulator) -> None:
    """In the dialect of 2021: same keys in the same order, nearly everything a string."""
    status, chats, headers = await ask(sim)
    assert status == 200
    assert headers["Content-Type"] == "application/json; charset=utf-8"
    assert len(chats) == 5
    for chat in chats:
        assert list(chat) == [
            "name",
            "phone",
            "unread",
            "lastMessageTime",
            "isMuted",
            "isMarkedSpam",
            "profileThumbnail",
            "messagesUnread",
        ]
        assert chat["name"] is None or isinstance(chat["name"], str)
        assert re.fullmatch(r"\d+", chat["unread"])
        assert re.fullmatch(r"\d{10}", chat["lastMessageTime"])
        assert chat["isMuted"] in ("0", "1")
        assert chat["isMarkedSpam"] in ("true", "false")
        assert chat["profileThumbnail"] is None or chat["profileThumbnail"].startswith("https://pps.whatsapp.net/")
        assert chat["messagesUnread"] == 0


async def test_values_are_spelled_as_by_todays_gateway() -> None:
    """Texts for counts and most flags, milliseconds, phones or lids; the keys and what they hold differ by row."""
    shapes: dict[str, set[str]] = defaultdict(set)
    keys: Counter[str] = Counter()
    async with PlugChatSimulator(2000) as sim:
        _, rows, headers = await ask(sim, "page=1&pageSize=2000")
        size = int(headers["Content-Length"]) / 2000
    for row in rows:
        assert row.keys() <= KEYS
        assert row.keys() >= {"phone", "unread", "archived", "isGroup"}
        assert row["phone"] or row["lid"].endswith("@lid")
        keys.update(row.keys())
        for name in ("pinned", "archived", "isGroup", "isMuted", "isMarkedSpam", "unread", "lastMessageTime"):
            shapes[name].add(shape_of(row.get(name, "absent")))
        if row["phone"].endswith("-group"):
            assert {"about", "communityId", "muteEndTime", "ephemeralExpiration"} <= row.keys()
            assert "lid" not in row
    assert shapes == {
        "pinned": {"text", "boolean", "absent"},
        "archived": {"text"},
        "isGroup": {"boolean", "text"},
        "isMuted": {"0", "1", "absent"},
        "isMarkedSpam": {"text", "absent"},
        "unread": {"0", "1", "-1", "digits"},
        "lastMessageTime": {"13 digits", "number", "0", "number 0", "empty", "null", "absent"},
    }
    # Most rows have twelve keys or a few more; only a few have a picture.
    assert 250 < size < 285
    assert 12.5 < keys.total() / 2000 < 14.5
    assert 10 < keys["profileThumbnail"] < 100


# Those of a row of the gateway's that `Chat` knows, and others.
KEYS = {key for chat in PlugChatSimulator(5000).chats for key in converter.unstructure(chat)} | {
    "about",
    "notes",
    "tags",
    "communityId",
    "ephemeralExpiration",
}


def shape_of(value: object) -> str:
    match value:
        case bool():
            return "boolean"
        case None:
            return "null"
        case int():
            return "number" if value else "number 0"
        case "" | "0" | "1" | "-1" | "absent":
            return str(value) or "empty"
        case "true" | "false":
            return "text"
        case _:
            return "13 digits" if re.fullmatch(r"\d{13}", str(value)) else "digits"


async def test_pages_are_windows_of_one_list(sim: PlugChatSimulator) -> None:
    """Counted from 1; past the end there is nothing."""
    for page, expected in ((1, sim.chats[:100]), (3, sim.chats[200:]), (4, ())):
        _, chats, _ = await ask(sim, f"page={page}&pageSize=100")
        assert read(chats) == list(expected)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"])
async def test_only_get_is_allowed(sim: PlugChatSimulator, method: str) -> None:
    """405 with Allow."""
    status, _, headers = await ask(sim, method=method)
    assert (status, headers["Allow"]) == (405, "GET")


@pytest.mark.parametrize("token", ["", "wrong", "Bearer simulated-token"])
async def test_the_raw_token_is_wanted(sim: PlugChatSimulator, token: str) -> None:
    """401 for any other Authorization, or none."""
    assert (await ask(sim, Authorization=token))[0] == 401


@pytest.mark.parametrize("content_type", ["", "text/plain", "application/jsonx"])
async def test_a_content_type_is_wanted(sim: PlugChatSimulator, content_type: str) -> None:
    """415, with the type that is accepted; parameters of the type don't matter."""
    status, _, headers = await ask(sim, **{"Content-Type": content_type})
    assert (status, headers["Accept"]) == (415, "application/json")
    assert (await ask(sim, **{"Content-Type": "application/json; charset=utf-8"}))[0] == 200


@pytest.mark.parametrize(
    "query",
    [
        "",
        "page=1",
        "pageSize=5",
        *[f"page={bad}&pageSize=5" for bad in ("0", "-1", "x", "1.5", "", "9" * 5000, "%D9%A1")],
        *[f"page=1&pageSize={bad}" for bad in ("0", "-1", "x")],
    ],
    ids=lambda query: query[:30],
)
async def test_both_parameters_are_wanted(sim: PlugChatSimulator, query: str) -> None:
    """400 if one is missing or no positive integer."""
    assert (await ask(sim, query))[0] == 400


async def test_requests_are_recorded(sim: PlugChatSimulator) -> None:
    """Also those that are refused."""
    await ask(sim, "page=2&pageSize=7")
    await ask(sim, "page=x", "POST", **{"X-Mine": "1"})
    first, second = sim.requests
    assert (first.method, first.path, first.page, first.page_size) == ("GET", "/api/whatsapp/chats", "2", "7")
    assert (second.method, second.page, second.page_size) == ("POST", "x", None)
    assert second.headers["x-mine"] == "1"


async def test_faults_are_one_a_request_in_order(sim: PlugChatSimulator) -> None:
    """After the script the simulator is honest again."""
    sim.script(Fault.status(418, headers={"X-Tea": "green"}, body='"short and stout"'), Fault.none())
    sim.script(Fault.answer('{"not": "a list"}'))
    answers = [await ask(sim) for _ in range(4)]
    assert [answer[0] for answer in answers] == [418, 200, 200, 200]
    assert answers[0][2]["X-Tea"] == "green"
    assert answers[2][1] == {"not": "a list"}
    assert len(answers[3][1]) == 5


@pytest.mark.parametrize("fault", [Fault.reset(), Fault.close(), Fault.truncate(), Fault.raw(b"\x16\x03\x01")])
async def test_faults_of_the_connection(sim: PlugChatSimulator, fault: Fault) -> None:
    """A plain client fails on each, and is served again afterwards."""
    sim.script(fault.always())  # aiohttp asks again on another connection
    with pytest.raises((aiohttp.ClientError, OSError)):
        await ask(sim)
    sim.script()
    assert (await ask(sim))[0] == 200


async def test_a_hang_ends_when_its_client_goes(sim: PlugChatSimulator) -> None:
    """No handler is left waiting."""
    sim.script(Fault.hang())
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await ask(sim)
    async with asyncio.timeout(5):
        while sim._runner is None or sim._runner.server is None or sim._runner.server.connections:
            await asyncio.sleep(0)


async def test_delay_and_latency_are_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """In seconds, before the answer."""
    slept: list[float] = []
    sleep = asyncio.sleep

    async def record(seconds: float) -> None:
        slept.append(seconds)
        await sleep(0)

    async with PlugChatSimulator(5, latency=0.5) as sim:
        monkeypatch.setattr("plugchat_async.testing.simulator.asyncio.sleep", record)
        sim.script(Fault.delay(3.0))
        assert (await ask(sim))[0] == 200
        assert (await ask(sim))[0] == 200
        monkeypatch.undo()
    assert [seconds for seconds in slept if seconds] == [0.5, 3.0, 0.5]


async def test_the_same_seed_makes_the_same_account() -> None:
    """And another one another."""
    assert PlugChatSimulator(50, seed=1).chats == PlugChatSimulator(50, seed=1).chats
    assert PlugChatSimulator(50, seed=1).chats != PlugChatSimulator(50, seed=2).chats


def test_the_account_of_2021_is_as_real_ones_were() -> None:
    """People, groups, broadcast lists, emoji, unknown numbers, missing pictures; sorted by time; all phones differ."""
    chats = PlugChatSimulator(2000, seed=3, dialect="documented").chats
    times = [chat.last_message_time for chat in chats]
    assert times == sorted(times, key=lambda t: t.timestamp() if t else 0.0, reverse=True)
    assert len({chat.phone for chat in chats}) == 2000
    assert len(set(times)) < 2000
    kinds: list[Callable[[Chat], object]] = [
        lambda c: c.name is None,
        lambda c: "-" in c.id,
        lambda c: c.id.endswith("@broadcast"),
        lambda c: c.name and not c.name.isascii(),
        lambda c: c.profile_thumbnail is None,
        lambda c: c.is_muted,
        lambda c: c.is_marked_spam,
        lambda c: c.unread > 0,
    ]
    for kind in kinds:
        assert 10 < sum(bool(kind(chat)) for chat in chats) < 1900


@pytest.mark.parametrize("seed", [0, 7])
def test_the_account_is_as_a_measured_one(seed: int) -> None:
    """Who has no phone, no time, no name; persons' rows and ids; groups, archived and muted rows. All keys differ."""
    chats = PlugChatSimulator(5000, seed=seed).chats
    assert_sorted(chats)
    assert len({key_of(chat) for chat in chats}) == 5000
    rows = Counter(chat.lid for chat in chats if chat.lid)
    phones = Counter(chat.lid for chat in chats if chat.lid and chat.phone)
    mobiles = [chat.phone for chat in chats if chat.phone and chat.kind == "person"]
    assert {len(phone) for phone in mobiles} == {12, 13}
    assert len(set(mobiles)) == len(mobiles)
    assert max(rows.values()) == 5
    assert max(phones.values()) == 1
    measured = {
        "no phone": 0.53 - share(chats, lambda chat: chat.phone is None),
        "no time": 0.59 - share(chats, lambda chat: chat.last_message_time is None),
        "12 digits": 0.09 - sum(len(phone) == 12 for phone in mobiles) / len(mobiles),
        "rows of a person": (2.17 - rows.total() / len(rows)) / 5,
    }
    assert all(abs(difference) < 0.02 for difference in measured.values()), measured
    shares: dict[Callable[[Chat], object], tuple[float, float]] = {
        lambda c: c.name is None: (0.1, 0.3),
        lambda c: c.kind == "group": (0.015, 0.05),
        lambda c: c.kind in ("broadcast", "channel"): (0.005, 0.03),
        lambda c: c.is_group_announcement: (0.001, 0.01),
        lambda c: c.is_archived: (0.05, 0.12),
        lambda c: c.is_muted: (0.1, 0.2),
        lambda c: c.muted_until == FOREVER: (0.03, 0.12),
        lambda c: c.muted_until not in (None, FOREVER): (0.01, 0.06),
        lambda c: c.is_pinned is None: (0.01, 0.06),
        lambda c: c.is_pinned: (0.0, 0.0),
        lambda c: c.unread: (0.3, 0.6),
        lambda c: c.last_message_time and c.last_message_time.microsecond: (0.002, 0.02),
    }
    for number, (test, (least, most)) in enumerate(shares.items()):
        assert least <= share(chats, test) <= most, number


def share(chats: Sequence[Chat], test: Callable[[Chat], object]) -> float:
    return sum(bool(test(chat)) for chat in chats) / len(chats)


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("prefetch", [0, 3])
@pytest.mark.parametrize("consistency", ["exact", "plain", "strict"])
@pytest.mark.parametrize("page_size", [1, 7, 100, 1000])
async def test_a_walk_finds_the_simulators_chats(
    page_size: int, consistency: Consistency, prefetch: int, dialect: Dialect
) -> None:
    """Each row once, equal in all fields, whatever the seed; in order, but for more rows of a person."""
    for seed in range(3):
        async with (
            PlugChatSimulator(60 if page_size == 1 else 150, seed=seed, dialect=dialect) as sim,
            PlugChatSession(sim.token, base_url=sim.base_url, on_bad_value="raise") as session,
        ):
            reports: list[WalkReport] = []
            found = await session.list_chats(
                page_size, consistency=consistency, prefetch=prefetch, on_report=reports.append
            )
            assert Counter(found) == Counter(sim.chats)
            if dialect == "documented" or consistency == "plain":
                assert found == list(sim.chats)
            assert reports[0].problems == 0


def test_a_message_to_a_chat_without_a_time_gives_it_one() -> None:
    """It moves from the end of the list to the front."""
    sim = PlugChatSimulator(20)
    last = sim.chats[-1]
    assert last.last_message_time is None
    moved = sim.receive_message(last)
    assert sim.chats[0] == moved
    assert moved.last_message_time is not None
    assert_sorted(sim.chats)


def test_added_accounts_have_the_simulators_dialect() -> None:
    """Of 2021, no chat of theirs has a lid; today most have."""
    assert not [chat for chat in PlugChatSimulator(0, dialect="documented").add_account("b").chats if chat.lid]
    assert [chat for chat in PlugChatSimulator(0).add_account("b").chats if chat.lid]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_message_moves_its_chat_to_the_front(dialect: Dialect) -> None:
    """One more unread, a newer time than all others, nothing else changed."""
    sim = PlugChatSimulator(10, dialect=dialect)
    before = sim.chats
    moved = sim.receive_message(before[6])
    assert sim.chats == (moved, *before[:6], *before[7:])
    assert moved == evolve(before[6], unread=before[6].unread + 1, last_message_time=moved.last_message_time)
    newest = before[0].last_message_time
    assert newest is not None
    assert moved.last_message_time is not None
    assert moved.last_message_time > newest
    with pytest.raises(KeyError):
        sim.receive_message("nobody")


def test_chats_come_and_go() -> None:
    """A new one in front, a deleted one gone."""
    sim = PlugChatSimulator(10)
    before = sim.chats
    new = sim.new_chat()
    assert isinstance(new, Chat)
    assert new.id not in {chat.id for chat in before}
    assert sim.delete_chat(before[3]) == before[3]
    assert sim.chats == (new, *before[:3], *before[4:])
    with pytest.raises(KeyError):
        sim.delete_chat(before[3])


def test_a_chat_is_meant_by_its_id_or_by_itself() -> None:
    """Of several rows with one id the id means the first, and a `Chat` itself."""
    sim = PlugChatSimulator(100)
    first, second = next(
        rows
        for lid in dict.fromkeys(chat.lid for chat in sim.chats if chat.lid)
        if len(rows := [chat for chat in sim.chats if chat.id == lid]) == 2
    )
    assert sim.mark_read(second.id) == evolve(first, unread=0)
    assert sim.receive_message(second) == sim.chats[0]
    assert sim.delete_chat(sim.chats[0]).name == second.name
    assert sim.delete_chat(first.id).name == first.name
    with pytest.raises(KeyError):
        sim.delete_chat(first.id)
    with_phone = next(chat for chat in sim.chats if chat.phone)
    assert sim.mark_read(with_phone.id) == evolve(with_phone, unread=0)


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize(
    ("quirks", "pages"),
    [
        ({"max_page_size": 3}, {1: [0, 1, 2], 2: [3, 4, 5], 5: []}),
        ({"fixed_page_size": 6}, {1: [0, 1, 2, 3, 4, 5], 2: [6, 7, 8, 9], 3: []}),
        ({"fixed_page_size": 6, "max_page_size": 5}, {1: [0, 1, 2, 3, 4], 3: []}),
        ({"first_page": 0}, {0: [0, 1, 2, 3], 1: [4, 5, 6, 7], 2: [8, 9], 3: []}),
        ({"first_page": 0, "past_end": "last"}, {2: [8, 9], 9: [8, 9]}),
        ({"order": "oldest"}, {1: [9, 8, 7, 6], 3: [1, 0]}),
        ({"pinned": 2}, {1: [8, 9, 0, 1], 3: [6, 7]}),
        ({"duplicates": 2}, {1: [0, 0, 1, 1], 2: [2, 3, 4, 5], 3: [6, 7, 8, 9], 4: []}),
        ({"duplicates": 2, "past_end": "last"}, {4: [6, 7, 8, 9]}),
        ({"ignore_page": True}, {1: [0, 1, 2, 3], 2: [0, 1, 2, 3]}),
        ({"past_end": "first"}, {3: [8, 9], 4: [0, 1, 2, 3]}),
        ({"past_end": "last"}, {3: [8, 9], 9: [8, 9]}),
    ],
)
async def test_servers_that_page_wrongly(quirks: dict[str, Any], pages: dict[int, list[int]], dialect: Dialect) -> None:
    """What is counted, cut, sorted or served again in another way than the vendor's page has it."""
    async with PlugChatSimulator(10, dialect=dialect, quirks=Quirks(**quirks)) as sim:
        for page, indices in pages.items():
            _, chats, _ = await ask(sim, f"page={page}&pageSize=4")
            assert read(chats) == [sim.chats[i] for i in indices]


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_which_chats_are_pinned(dialect: Dialect) -> None:
    """The last one of the account, in whatever order the list is."""
    async with PlugChatSimulator(10, dialect=dialect, quirks=Quirks(order="shuffled", pinned=1)) as sim:
        _, chats, _ = await ask(sim, "page=1&pageSize=4")
        assert read(chats)[0] == sim.chats[9]


async def test_pinned_chats_say_so_and_stay_on_top() -> None:
    """Others say that they are not, or nothing; a message to one of them moves no other chat."""
    async with PlugChatSimulator(30, quirks=Quirks(pinned=2)) as sim:
        before = sim.chats
        top = [chat for chat in before if chat.is_pinned]
        assert top == list(before[-2:])
        sim.receive_message(before[0])
        sim.receive_message(top[1])
        _, chats, _ = await ask(sim, "page=1&pageSize=30")
        listed = read(chats)
        assert [chat.is_pinned for chat in listed[:2]] == [True, True]
        assert listed[2].lid == before[0].lid
        assert sorted(listed, key=repr) == sorted(sim.chats, key=repr)


async def test_an_empty_account_pages_too() -> None:
    """No chats on any page."""
    async with PlugChatSimulator(0, quirks=Quirks(past_end="last")) as sim:
        assert (await ask(sim, "page=7&pageSize=4"))[1] == []


async def test_a_simulator_runs_once(sim: PlugChatSimulator) -> None:
    """Entered again it says so."""
    with pytest.raises(RuntimeError, match="was started before"):
        await sim.__aenter__()


async def test_a_shuffled_list_keeps_its_order() -> None:
    """All chats, in an order of its own, in which they stay while another one gets a message."""
    async with PlugChatSimulator(50, quirks=Quirks(order="shuffled")) as sim:
        first = [key_of(chat) for chat in read((await ask(sim, "page=1&pageSize=50"))[1])]
        keys = [key_of(chat) for chat in sim.chats]
        assert first != keys
        assert sorted(first) == sorted(keys)
        sim.receive_message(sim.chats[30])
        assert [key_of(chat) for chat in read((await ask(sim, "page=1&pageSize=50"))[1])] == first


async def test_chats_of_the_same_time() -> None:
    """So many neighbours have the newest one's; if they are to move, they do in each answer, and no other chat does."""
    async with PlugChatSimulator(10, dialect="documented", quirks=Quirks(tie_size=4)) as sim:
        answers = [(await ask(sim, "page=1&pageSize=10"))[1] for _ in range(2)]
        assert answers[0] == answers[1]
        times = [chat.last_message_time for chat in sim.chats]
        expected = [time.timestamp() for time in (*[times[0]] * 4, *[times[4]] * 4, *[times[8]] * 2) if time]
        assert [int(chat["lastMessageTime"]) for chat in answers[0]] == expected
        phones = [chat.phone for chat in sim.chats]
        assert [chat["phone"] for chat in answers[0]] == phones
    async with PlugChatSimulator(10, dialect="documented", quirks=Quirks(tie_size=4, reorder_ties=True)) as sim:
        orders = [tuple(chat["phone"] for chat in (await ask(sim, "page=1&pageSize=10"))[1]) for _ in range(4)]
        assert len(set(orders)) == 4
        for order in orders:
            assert [set(order[:4]), set(order[4:8]), set(order[8:])] == [
                set(phones[:4]),
                set(phones[4:8]),
                set(phones[8:]),
            ]


async def test_pages_that_count_from_0_begin_there() -> None:
    """Page 0 is the first; still no other number is taken."""
    async with PlugChatSimulator(5, quirks=Quirks(first_page=0)) as sim:
        for bad in ("-1", "x", ""):
            assert (await ask(sim, f"page={bad}&pageSize=5"))[0] == 400
        assert (await ask(sim, "page=0&pageSize=0"))[0] == 400


async def test_a_page_size_that_is_refused() -> None:
    """400, and what is the most."""
    async with PlugChatSimulator(5, quirks=Quirks(refuse_page_size_above=3)) as sim:
        assert (await ask(sim, "page=1&pageSize=3"))[0] == 200
        assert (await ask(sim, "page=1&pageSize=4"))[:2] == (400, {"error": "pageSize must be at most 3"})


@pytest.mark.parametrize(
    ("content_type", "given", "without", "other"),
    [("required", 200, 415, 415), ("refused", 415, 200, 415), ("ignored", 200, 200, 200)],
)
async def test_what_is_made_of_a_content_type(content_type: Any, given: int, without: int, other: int) -> None:
    """It is wanted, not wanted, or not looked at."""
    async with PlugChatSimulator(5, quirks=Quirks(content_type=content_type)) as sim:
        sent: tuple[dict[str, str], ...] = ({}, {"Content-Type": ""}, {"Content-Type": "text/plain"})
        assert [(await ask(sim, **headers))[0] for headers in sent] == [given, without, other]


async def test_another_method_than_get() -> None:
    """POST is answered, and GET is not allowed."""
    async with PlugChatSimulator(5, quirks=Quirks(method="POST")) as sim:
        status, _, headers = await ask(sim)
        assert (status, headers["Allow"]) == (405, "POST")
        assert len((await ask(sim, method="POST"))[1]) == 5


async def ask_status(sim: PlugChatSimulator, method: str = "GET", **headers: str) -> Any:
    """Ask for the status without the SDK: status, JSON."""
    sent = {"Authorization": sim.token, "Content-Type": "application/json", **headers}
    url = f"{sim.base_url}/api/whatsapp/status"
    async with aiohttp.ClientSession() as client, client.request(method, url, headers=sent) as answer:
        return answer.status, await answer.json()


async def test_a_connected_phone(sim: PlugChatSimulator) -> None:
    """Its status says so; the call wants what the call for chats wants, and is recorded."""
    connected = {"connected": True, "session": True, "smartphoneConnected": True}
    assert await ask_status(sim) == (200, connected)
    assert (await ask_status(sim, Authorization="other"))[0] == 401
    assert (await ask_status(sim, "POST"))[0] == 405
    assert (await ask_status(sim, **{"Content-Type": "text/plain"}))[0] == 415
    assert [(request.path, request.page) for request in sim.requests] == [("/api/whatsapp/status", None)] * 4


async def test_a_phone_that_is_not_connected() -> None:
    """The list is empty, with the status 200, until it is connected again; each account has a phone of its own."""
    async with PlugChatSimulator(5, connected=False) as sim:
        other = sim.add_account("other", 3)
        assert not sim.connected
        assert (await ask(sim))[:2] == (200, [])
        assert (await ask(sim, "page=0&pageSize=5"))[0] == 400
        assert await ask_status(sim) == (
            200,
            {"connected": False, "session": False, "smartphoneConnected": False, "error": "You are not connected."},
        )
        assert len((await ask(sim, Authorization=other.token))[1]) == 3
        sim.connected, other.connected = True, False
        assert len((await ask(sim))[1]) == 5
        assert (await ask(sim, Authorization=other.token))[1] == []
        assert len(sim.chats) == 5


async def test_a_limited_rate(sim: PlugChatSimulator) -> None:
    """So many answers, which count down; then 429, with a wait. Without a limit nothing tells of one."""
    async with PlugChatSimulator(5, quirks=Quirks(max_requests=2)) as limited:
        answers = [await ask(limited) for _ in range(4)]
    assert [status for status, _, _ in answers] == [200, 200, 429, 429]
    assert [headers["X-RateLimit-Remaining"] for _, _, headers in answers] == ["1", "0", "0", "0"]
    assert {headers["X-RateLimit-Limit"] for _, _, headers in answers} == {"2"}
    assert [headers.get("Retry-After") for _, _, headers in answers] == [None, None, "30", "30"]
    assert not [name for name in (await ask(sim))[2] if "limit" in name.lower()]


@pytest.mark.parametrize(
    "options",
    [
        {"chats": -1},
        {"port": 65536},
        {"latency": -1},
        {"connected": 1},
        {"dialect": "x"},
        {"quirks": {}},
    ],
)
def test_a_simulator_checks_its_arguments(options: dict[str, Any]) -> None:
    """As the session does."""
    with pytest.raises(ConfigurationError, match=next(iter(options))):
        PlugChatSimulator(**options)


@pytest.mark.parametrize(
    "options",
    [
        {"max_page_size": 0},
        {"past_end": "x"},
        {"first_page": 2},
        {"ignore_page": 1},
        {"fixed_page_size": 0},
        {"refuse_page_size_above": 0},
        {"order": "x"},
        {"pinned": -1},
        {"tie_size": 0},
        {"duplicates": -1},
        {"content_type": "x"},
        {"method": "PUT"},
        {"max_requests": -1},
    ],
)
def test_quirks_check_their_values(options: dict[str, Any]) -> None:
    """As the session does."""
    with pytest.raises(ConfigurationError, match=next(iter(options))):
        Quirks(**options)


def test_a_simulator_that_does_not_run_says_so() -> None:
    """There is no URL before it listens, and leaving it unentered does no harm."""
    with pytest.raises(RuntimeError, match="not running"):
        _ = PlugChatSimulator().base_url


# Traffic.


async def test_traffic_between_requests(sim: PlugChatSimulator) -> None:
    """So many messages, new chats and deletions an interval, on average; the list stays sorted by time."""
    before = {key_of(chat): chat for chat in sim.chats}
    sim.traffic(bumps=3.0, inserts=1.0, deletes=0.5, seed=1)
    for _ in range(40):
        await ask(sim)
    after = {key_of(chat): chat for chat in sim.chats}
    assert_sorted(sim.chats)
    assert 25 <= len(after.keys() - before.keys()) <= 55
    assert 10 <= len(before.keys() - after.keys()) <= 30
    messages = sum(after[key].unread - before[key].unread for key in after.keys() & before.keys())
    assert 60 <= messages <= 160


async def test_traffic_is_reproducible() -> None:
    """The same seed makes the same things happen; rates may be fractions; nothing happens before the first request."""
    lists: list[tuple[Chat, ...]] = []
    for seed in (1, 1, 2):
        async with PlugChatSimulator(50) as sim:
            fresh = sim.chats
            sim.traffic(bumps=0.5, deletes=0.25, seed=seed)
            assert sim.chats == fresh
            _, chats, _ = await ask(sim, "page=1&pageSize=50")
            assert read(chats) == list(fresh)
            for _ in range(10):
                await ask(sim)
            lists.append(sim.chats)
    assert lists[0] == lists[1] != lists[2]


async def test_traffic_ends(sim: PlugChatSimulator) -> None:
    """The call without arguments ends it."""
    sim.traffic(bumps=5.0)
    await ask(sim)
    sim.traffic()
    chats = sim.chats
    await ask(sim)
    assert sim.chats == chats


async def test_traffic_by_the_clock() -> None:
    """An interval every so many seconds, also if it was chosen before the start; it ends with the simulator."""
    sim = PlugChatSimulator(20)
    sim.traffic(bumps=3.0, every=0.001)
    chats = sim.chats
    async with sim:
        while sim.chats == chats:
            await asyncio.sleep(0.001)
        sim.traffic(bumps=3.0)
        chats = sim.chats
        await asyncio.sleep(0.02)
        assert sim.chats == chats
        sim.traffic(bumps=3.0, every=0.001)
    await asyncio.sleep(0)
    chats = sim.chats
    await asyncio.sleep(0.02)
    assert sim.chats == chats


async def test_traffic_by_the_clock_is_the_loops() -> None:
    """Elsewhere there is nothing to run it; after the end it moves nothing."""
    sim = PlugChatSimulator(20)
    async with sim:
        with pytest.raises(RuntimeError, match="in the simulator's event loop"):
            await asyncio.to_thread(sim.traffic, bumps=3.0, every=0.001)
        await asyncio.to_thread(sim.traffic, bumps=3.0)
    sim.traffic(bumps=3.0, every=0.001)
    chats = sim.chats
    await asyncio.sleep(0.02)
    assert sim.chats == chats


async def test_traffic_on_an_empty_list() -> None:
    """Nothing to bump or delete."""
    async with PlugChatSimulator(0) as sim:
        sim.traffic(bumps=5.0, deletes=5.0)
        assert (await ask(sim))[1] == []
        sim.traffic(inserts=5.0)
        await ask(sim)
        await ask(sim)
        assert sim.chats


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bumps": -1}, "bumps must be a finite number of at least 0, got -1"),
        ({"inserts": float("nan")}, "inserts must be a finite number"),
        ({"deletes": 10_001}, "deletes must be at most 10000, got 10001"),
        ({"every": 0}, "every must be a finite number above 0, got 0"),
    ],
)
def test_traffic_says_what_is_wrong_with_its_arguments(options: dict[str, Any], message: str) -> None:
    """As everywhere."""
    with pytest.raises(InvalidValueError, match=message):
        PlugChatSimulator().traffic(**options)


async def test_more_accounts_are_served_by_their_tokens(sim: PlugChatSimulator) -> None:
    """Each with its chats, its faults and its traffic; a fate for all goes to whoever comes first."""
    other = sim.add_account("other", 7, seed=3)
    assert other.token == "other"
    with pytest.raises(InvalidValueError, match="another account has that token"):
        sim.add_account("other")
    with pytest.raises(InvalidValueError, match="chats must be at least 0"):
        sim.add_account("third", -1)
    with pytest.raises(InvalidValueError, match="token is empty"):
        sim.add_account("")
    assert sim.add_account("fourth").chats != sim.add_account("fifth").chats
    async with (
        PlugChatSession(sim.token, base_url=sim.base_url, retry=RetryPolicy(attempts=1)) as first,
        PlugChatSession("other", base_url=sim.base_url, retry=RetryPolicy(attempts=1)) as second,
    ):
        assert await second.list_chats() == list(other.chats)
        sim.script(Fault.status(500), token="other")
        sim.script(Fault.status(418))
        with pytest.raises(UnexpectedStatusError):
            await first.fetch_page(1, 10)
        with pytest.raises(ServerError):
            await second.fetch_page(1, 10)
        assert (await second.fetch_page(1, 10)).chats == other.chats
        newest = other.receive_message(other.chats[-1])
        assert (await second.fetch_page(1, 1)).chats == (newest,)
        sim.traffic(inserts=3.0, seed=1)
        before = len(sim.chats), len(other.chats)
        for _ in range(5):
            await second.fetch_page(1, 1)
        assert len(sim.chats) == before[0]
        assert len(other.chats) > before[1]
        late = sim.add_account("late", 5)
        sim.traffic(inserts=3.0, every=0.01)
        await asyncio.sleep(0.1)
        assert len(late.chats) > 5
        assert len(sim.chats) > before[0]


async def statuses_of(sim: PlugChatSimulator, *pages: int, token: str | None = None) -> list[int]:
    """The statuses of requests for pages."""
    headers = {"Authorization": token or sim.token, "Content-Type": "application/json"}
    found: list[int] = []
    async with aiohttp.ClientSession(sim.base_url, headers=headers) as client:
        for page in pages:
            async with client.get("/api/whatsapp/chats", params={"page": page, "pageSize": 10}) as response:
                found.append(response.status)
    return found


async def test_a_fault_of_a_page() -> None:
    """It waits for a request for that page, of that account; the account's own comes first."""
    async with PlugChatSimulator(100) as sim:
        other = sim.add_account("other")
        sim.script(Fault.status(503), page=2)
        sim.script(Fault.status(502), page=2, token=other.token)
        sim.script(Fault.status(500), token=other.token)
        assert await statuses_of(sim, 2, 1, 2, 1, token=other.token) == [502, 500, 503, 200]
        assert await statuses_of(sim, 2) == [200]


async def test_a_fault_that_lasts() -> None:
    """Until the next call for the same page; after it no other can come."""
    async with PlugChatSimulator(100) as sim:
        sim.script(Fault.none(), Fault.status(503).always(), page=2)
        assert await statuses_of(sim, 2, 2, 1, 2, 2) == [200, 503, 200, 503, 503]
        sim.script(page=3)
        assert await statuses_of(sim, 2) == [503]
        sim.script(Fault.status(502), page=2)
        assert await statuses_of(sim, 2, 2) == [502, 200]
        sim.script(Fault.status(503).always())
        assert await statuses_of(sim, 1, 9) == [503, 503]
        sim.script()
        assert await statuses_of(sim, 1, 9) == [200, 200]
        with pytest.raises(InvalidValueError, match="would never happen"):
            sim.script(Fault.hang().always(), Fault.none())
        with pytest.raises(InvalidValueError, match="page must be at least 0"):
            sim.script(Fault.none(), page=-1)


@pytest.mark.parametrize(("host", "shown"), [("0.0.0.0", "127.0.0.1"), ("localhost", "localhost")])
async def test_a_simulator_listens_where_it_is_told(host: str, shown: str) -> None:
    """Other containers reach it on all addresses; its own base URL is one that works on this machine."""
    async with PlugChatSimulator(3, host=host) as sim, PlugChatSession(sim.token, base_url=sim.base_url) as session:
        assert sim.base_url.startswith(f"http://{shown}:")
        assert len(await session.list_chats()) == 3


def test_a_host_is_a_name_or_an_address() -> None:
    """Others are refused."""
    with pytest.raises(InvalidValueError, match="host is empty"):
        PlugChatSimulator(host="")
