"""The benchmarks' arithmetic, and the figures that are committed."""

import asyncio
import gc
import json
import statistics
import time
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, closing, nullcontext
from pathlib import Path
from typing import Any

import attrs
import pytest

from benchmarks import consistency, decode, growth, measured_page, responsiveness, waiting, watching
from benchmarks.__main__ import QUICK, RESULTS
from benchmarks.measure import PACKAGES, Result, Value, interleaved, load, ratios, spread
from benchmarks.plots import PICTURES
from benchmarks.responsiveness import WatchedLoop
from benchmarks.rows import body_of, body_with, by_time, pending_row_of, row_of, unread_of
from benchmarks.server import Lists, counts, running
from plugchat_async import Chat, PendingChat, PlugChatSession, WatchState
from plugchat_async._http.decode_fast import fast_lane
from plugchat_async._http.decode_values import wire_name
from plugchat_async._internal.json_slices import RefusedError
from plugchat_async._pagination.walk_steps import key_of
from plugchat_async.converter import converter

README = (Path(__file__).parents[2] / "README.md").read_text()


def test_contenders_take_turns() -> None:
    """In each round all of them, in their order."""
    said: list[str] = []

    def saying(name: str) -> int:
        said.append(name)
        return len(said)

    assert interleaved({"a": lambda: saying("a"), "b": lambda: saying("b")}, 2) == {"a": [1, 3], "b": [2, 4]}
    assert said == ["a", "b", "a", "b"]


def test_figures() -> None:
    """Ratios are those of one round; a spread is the median, the least and the most."""
    assert ratios([2.0, 9.0], [1.0, 3.0]) == [2.0, 3.0]
    assert spread("x", [5.0, 1.0, 2.0]) == {"x": 2.0, "x_min": 1.0, "x_max": 5.0}


def test_a_result_is_told_and_kept(tmp_path: Path) -> None:
    """As a table of aligned columns, and in a file, with what it was measured on."""
    columns = {"name": "contender", "us": "us", "note": "note"}
    result = Result(
        "some", "Some", "About.", columns, [{"name": "a", "us": 1234.5, "note": None}, {"name": "bc", "us": 2}]
    )
    assert result.text().splitlines() == [
        "Some",
        "contender     us  note",
        "a          1,234",
        "bc             2",
        "",
        "About.",
    ]
    result.save(tmp_path)
    assert load(tmp_path / "some.json") == result
    measured = json.loads((tmp_path / "some.json").read_text())["measured"]
    assert set(measured) == {"date", "processor", "cores", "system", "python", "packages"}
    assert set(measured["packages"]) == set(PACKAGES)


@pytest.mark.parametrize("name", QUICK)
def test_committed_figures_are_marked(name: str) -> None:
    """With the machine, the date and the versions; those that can be drawn are drawn."""
    told = json.loads((RESULTS / f"{name}.json").read_text())
    assert told["name"] == name
    assert told["rows"]
    assert all(told["measured"].values())
    assert (RESULTS / f"{name}.svg").exists() == (name in PICTURES)


def test_the_readme_shows_a_picture() -> None:
    """One that is there."""
    assert "benchmarks/results/walk.svg" in README


def test_rows_are_those_of_the_gateway() -> None:
    """In size, and in how many have no phone and no time; each is known by another key."""
    body = body_of(0, 1000)
    rows = json.loads(body)
    assert 250 < len(body) / len(rows) < 260
    assert sum(row["phone"] == "" for row in rows) == 520
    assert sum(row["lastMessageTime"] == "0" for row in rows) == 590
    assert {key for row in rows for key in row} == {wire_name(member.name) for member in attrs.fields(Chat)}
    assert len({key_of(chat) for chat in converter.loads(body)}) == len(rows)


def test_odd_rows_are_refused_by_the_fast_lane() -> None:
    """Each of them; the converter reads them, with no message to count."""
    lane = fast_lane(Chat)
    assert lane is not None
    usual, odd = body_of(0, 20), body_of(0, 20, odd=True)
    assert [attrs.evolve(chat, unread=0) for chat in lane.read(usual)] == list(converter.loads(odd))
    for row in json.loads(odd):
        with pytest.raises(RefusedError):
            lane.read_row(json.dumps(row).encode())


def test_rows_by_time() -> None:
    """All with a time, newest first, then those without; none is lost."""
    numbers = by_time(range(200))
    times = [chat.last_message_time for chat in converter.loads(body_with(map(row_of, numbers)))]
    known = [time for time in times if time is not None]
    assert times == [*sorted(known, reverse=True), *[None] * (200 - len(known))]
    assert len(known) == 82
    assert sorted(numbers) == list(range(200))


def test_pending_rows_are_the_unread_ones() -> None:
    """As the call for pending chats has them: the same persons and counts as in the list of chats."""
    unread = {(chat.id, chat.unread) for chat in converter.loads(body_of(0, 200)) if chat.unread}
    pending = body_with(map(pending_row_of, filter(unread_of, range(200))))
    rows = converter.structure(json.loads(pending), list[PendingChat])
    assert {(row.id, row.unread_messages_count) for row in rows} == unread
    assert len(rows) == len(unread) == 44


def test_the_server_waits_for_each_row() -> None:
    """Those that a page has, and of the list that the path and the token name."""
    lists = Lists(250, 0.5, 0.25)

    def asked(line: str, length: int | None = None) -> tuple[int, float]:
        answer, wait = lists.answer(line.encode(), length)
        return len(json.loads(answer.partition(b"\r\n\r\n")[2])), wait

    assert asked("GET /chats?page=1&pageSize=100") == (100, 25.5)
    assert asked("GET /chats?page=3&pageSize=100") == (50, 13.0)
    assert asked("GET /chats?page=4&pageSize=100") == (0, 0.5)
    assert asked("GET /chats?page=1&pageSize=100", 30) == (30, 8.0)
    assert asked("GET /get-pending-chats?page=1&pageSize=100") == (56, 14.5)


def test_accounts_of_one_server_have_their_own_lists() -> None:
    """Also if its list is sorted by time: that of an account with its own length is not."""
    lists = Lists(250, sorted=True)
    request = b"GET /chats?page=1&pageSize=100"
    for length, numbers in ((None, by_time(range(250))[:100]), (250, range(100)), (None, by_time(range(250))[:100])):
        answer, _ = lists.answer(request, length)
        assert answer.partition(b"\r\n\r\n")[2] == body_with(map(row_of, numbers))


async def test_the_server_counts_what_it_sends() -> None:
    """Requests, and bytes with those of the heads; tokens name their accounts' lengths."""
    with running(120) as base_url:
        assert counts(base_url) == (0, 0)
        async with PlugChatSession("own-7-of-30", base_url=base_url) as session:
            page = await session.fetch_page(1, 100)
        assert [chat.name for chat in page.chats][:1] == ["    7Ana 0"]
        assert page.length == 30
        requests, sent = counts(base_url)
        assert requests == 1
        assert len(body_of(0, 30)) < sent < len(body_of(0, 30)) + 100


def test_contenders_of_a_wait_must_read_the_same() -> None:
    """A job's figures are compared with those of the same state; one that reads something else ends the benchmark."""
    job = attrs.evolve(waiting.whole_list(30, 100), expected=None)
    with running(30) as base_url:
        rows = job.measured(base_url, 1)
        assert [(row["contender"], row["state"], row["requests"]) for row in rows if row["contender"] == "exact"] == [
            ("exact", "first", 2),
            ("exact", "known", 1),
        ]
        assert {row["faster"] for row in rows if row["contender"] == waiting.BY_HAND} == {1.0}
        wrong = attrs.evolve(job, contenders={**job.contenders, "other": waiting.unread(30).contenders["iter_chats"]})
        with pytest.raises(SystemExit, match="30 chats"):
            wrong.measured(base_url, 1)
        with pytest.raises(SystemExit, match="30 chats"):
            attrs.evolve(job, expected=waiting.same([])).measured(base_url, 1)


def test_contenders_of_a_wait_read_once_before() -> None:
    """So the server has prepared the responses that each of them needs."""
    opened: list[str] = []

    @asynccontextmanager
    async def contender(base_url: str) -> AsyncGenerator[Callable[[], Awaitable[list[Chat]]]]:
        opened.append("session")

        async def read() -> list[Chat]:
            opened.append("read")
            return []

        yield read

    job = waiting.Job("nothing", 0, 100, {waiting.BY_HAND: contender}, waiting.same)
    with running(0) as base_url:
        rows = job.measured(base_url, 2)
    assert [row["rounds"] for row in rows] == [2, 2]
    assert opened == ["session", "read", *["session", "read", "read"] * 2]


def test_growth_is_measured_with_prepared_responses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each case is run once before, apart from those of more accounts, whose responses are the same."""
    ran: Counter[tuple[object, ...]] = Counter()

    def in_a_process(_: str, *arguments: object) -> dict[str, float]:
        ran[arguments] += 1
        chats = (
            int(str(arguments[1])) if arguments[0] == "--walk" else int(str(arguments[2])) * growth.CHATS_OF_AN_ACCOUNT
        )
        return {"chats": chats, "seconds": 1.0, "cpu": 1.0, "peak": 1e6}

    monkeypatch.setattr(growth, "in_a_process", in_a_process)
    monkeypatch.setattr(growth, "running", lambda count: nullcontext(str(count)))
    rows = growth.measure(chats=(1000, 20_000), accounts=(1, 2200), rounds=2).rows
    assert ran.pop(("--accounts", str(growth.CHATS_OF_AN_ACCOUNT), 2200)) == 1
    assert len(ran) == len(rows) - 1 == 2 * len(growth.WALKS) + 1
    assert set(ran.values()) == {3}
    assert [row["rounds"] for row in rows] == [*[2] * 9, 1]


def test_the_limits_of_a_wait() -> None:
    """All requests and rows of the code by hand, spread over the slots, or those of one account in turn."""
    base: dict[str, Value] = {"contender": waiting.BY_HAND, "chats": 64_000, "requests": 640, "megabytes": 1.0}
    base |= {"seconds": 1.06, "seconds_min": 0.53, "seconds_max": 5.3, "faster": 1.0, "faster_min": 1.0}
    base |= {"faster_max": 1.0}
    busy, longest = waiting.limits([base, {"contender": "other"}], [3, 10_000, 500], 0.05)
    assert busy["seconds"] == busy["seconds_min"] == busy["seconds_max"] == pytest.approx(0.53)
    assert [busy["faster"], busy["faster_min"], busy["faster_max"]] == pytest.approx([2.0, 1.0, 10.0])
    assert longest["seconds"] == pytest.approx(101 * 0.05 + 0.3)
    assert longest["faster"] == pytest.approx(1.06 / 5.35)
    assert [(row["requests"], row["megabytes"]) for row in (busy, longest)] == [(640, None), (101, None)]


def test_lengths_of_accounts_are_always_the_same() -> None:
    """About as long as they should be: half of them below the median, and none above the longest."""
    lengths = waiting.lengths_of(1000)
    assert lengths == waiting.lengths_of(1000)
    assert 130 < statistics.median(lengths) < 170
    assert min(lengths) >= 1
    assert 5000 < max(lengths) <= waiting.LONGEST


def test_a_straight_line_has_no_residuals() -> None:
    """Wherever it starts; one point, points of one place, and none have a line, too."""
    points = [(x, 5.0 + 0.25 * x) for x in (1000.0, 10_000.0, 1_000_000.0)]
    assert growth.fit(points) == pytest.approx((5.0, 0.25))
    assert growth.residuals(points) == pytest.approx([0.0, 0.0, 0.0], abs=1e-6)
    assert growth.fit([(3.0, 7.0)]) == (7.0, 0.0)
    assert growth.fit([]) == (0.0, 0.0)


def test_residuals_are_relative() -> None:
    """Small values count as much as large ones: no other line has smaller squares of the relative residuals."""
    points = [(1.0, 2.0), (10.0, 10.0), (100.0, 110.0), (1000.0, 900.0)]
    start, slope = growth.fit(points)

    def squares(start: float, slope: float) -> float:
        return sum(((y - start - slope * x) / y) ** 2 for x, y in points)

    least = squares(start, slope)
    near = [(start + by, slope) for by in (-0.01, 0.01)] + [(start, slope + by) for by in (-0.001, 0.001)]
    assert all(squares(*line) > least for line in near)
    off = growth.residuals(points)
    assert off == pytest.approx([(y - start - slope * x) / y * 100 for x, y in points])
    assert off[0] is not None
    assert off[3] is not None
    assert off[2] is not None
    assert off[2] > 0 > off[3]


def test_a_curve_is_off_its_line() -> None:
    """One that grows with the square lies above its line at both ends, and below in the middle."""
    off = growth.residuals([(x, x * x) for x in (1.0, 2.0, 3.0)])
    assert [value is not None and value > 0 for value in off] == [True, False, True]


def test_rows_of_each_kind_have_their_own_line() -> None:
    """And each figure has its own. A figure of 0 is on no line."""
    rows: list[dict[str, Any]] = [
        {"of": of, "count": count, "seconds": factor * count, "cpu": factor * count + 1, "peak": peak}
        for of, factor in (("a", 2.0), ("b", 30.0))
        for count, peak in ((10, 0.0), (20, 4.0), (40, 4.0))
    ]
    growth.add_residuals(rows)
    assert [row["seconds_residual"] for row in rows] == pytest.approx([0.0] * 6, abs=1e-9)
    assert [row["cpu_residual"] for row in rows] == pytest.approx([0.0] * 6, abs=1e-9)
    assert [row["peak_residual"] for row in rows] == [None, 0.0, 0.0] * 2


def test_a_meter_notes_blocks() -> None:
    """The longest one since the last note: also that of a task which runs at the same time, and no older one."""
    loop, first, second = WatchedLoop(), watching.Costs(), watching.Costs()

    async def block() -> None:
        time.sleep(0.02)

    async def main() -> None:
        meter = watching.Meter(loop)
        await block()
        await meter.start()
        task = asyncio.create_task(block())
        await asyncio.sleep(0.01)
        await meter.note(first)
        await meter.note(second)
        await task

    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(main())
    assert first.block[0] >= 20
    assert first.wall[0] >= 20
    assert second.wall[0] < first.wall[0]
    assert second.block[0] < first.block[0]


async def test_opening_a_connection_is_no_cost_of_a_poll(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nor of a full scan: of each watch, the first poll is left out."""
    watches: list[int] = []

    async def watch(
        _: str, state: WatchState, polls: int, *, full_scan_interval: float, after: Callable[[], Awaitable[None]]
    ) -> None:
        watches.append(polls)
        for _number in range(polls):
            await after()

    async def note(_: watching.Meter, costs: watching.Costs) -> None:
        for noted in (costs.cpu, costs.wall, costs.block):
            noted.append(len(noted) + 1)

    monkeypatch.setattr(watching, "watch", watch)
    monkeypatch.setattr(watching.Meter, "note", note)
    with closing(WatchedLoop()) as loop:
        costs = await watching.costs_of(loop, "", 0, polls=3, scans=2, saves=1, folder=tmp_path)
    assert watches == [1, 4, 3]
    assert costs["poll"] == watching.Costs([2, 3, 4], [2, 3, 4], [2, 3, 4])
    assert costs["full scan"] == watching.Costs([2, 3], [2, 3], [2, 3])


def test_only_work_counts_as_a_block(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither opening the session nor closing it."""

    @asynccontextmanager
    async def slow_session(*_: Any, **__: Any) -> AsyncGenerator[None]:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, WatchedLoop)
        loop.longest = 1e6
        yield
        loop.longest = 1e6

    async def work(_: PlugChatSession, loop: WatchedLoop) -> None:
        loop.longest = 1000.0

    monkeypatch.setattr(responsiveness, "PlugChatSession", slow_session)
    try:
        assert responsiveness.longest_block("", work) == 1e6
    finally:
        gc.unfreeze()


@pytest.mark.parametrize("name", decode.contenders())
def test_contenders_read_the_same_chats(name: str) -> None:
    """Each decoder that is measured reads what ours reads."""
    body = body_of(0, 200)
    found = decode.contenders()[name](body)
    assert [decode.as_chat(row) for row in found] == list(decode.read(body))


@pytest.mark.parametrize("time", ['""', "0", '"0"', "null", "1768497607000", '"1768497607123"', '"1622991687"'])
def test_pydantic_has_our_rules(time: str) -> None:
    """Its model reads each spelling of a time, of a missing phone and of a muting without an end."""
    body = f'[{{"phone":"","lid":"1@lid","lastMessageTime":{time},"muteEndTime":-1}}]'.encode()
    assert [decode.as_chat(row) for row in decode.contenders()["pydantic v2"](body)] == list(decode.read(body))


@pytest.mark.slow
def test_walks_over_all_kinds_of_lists() -> None:
    """Each cell has its walks; on a list that moves plain paging misses chats, and strict, on one answer, does not."""
    rows = consistency.measure(walks=4, accounts=10).rows
    cells = {(row["group"], row["list"], row["mode"]): row for row in rows}
    assert len(cells) == len(rows)
    names = [kind.name for kind in consistency.KINDS]
    for variant in consistency.VARIANTS:
        for mode in consistency.USUAL:
            assert [row["list"] for row in rows if (row["group"], row["mode"]) == (variant, mode)] == names
            assert all(cells[variant, name, mode]["walks"] == 4 for name in names)
            assert cells[variant, "nothing moves", mode]["missed"] == 0
    burst = [cells["short", "bursts of 20", mode] for mode in ("plain", "exact", "strict")]
    assert [row["missed"] == 0 for row in burst] == [False, True, True]
    assert [row["verified"] for row in burst] == [0, 100, 100]


async def test_what_a_walk_missed_and_doubled_is_counted() -> None:
    """Only chats that were there at each request count, and rows of one person are told apart."""
    bursts = next(kind for kind in consistency.KINDS if kind.name == "bursts of 20")
    walked = [await consistency.walk_once(bursts, "plain", seed, chats=150) for seed in range(5)]
    assert sum(outcome.missed for outcome in walked) > 0
    assert sum(outcome.doubled for outcome in walked) > 0
    persons = consistency.Kind(name="", dialect="gateway")
    quiet = await consistency.walk_once(persons, "plain", 1, chats=150)
    assert (quiet.missed, quiet.doubled, quiet.least, quiet.report.chats) == (0, 0, 8, 150)


def test_the_measured_guarantees_are_the_committed_figures() -> None:
    """The page is written from them; a cell that is wrong says so."""
    result = load(RESULTS / "consistency.json")
    assert measured_page.PAGE.read_text("utf-8") == measured_page.page(result)
    row = next(row for row in result.rows if row["mode"] == "exact")
    spoilt = attrs.evolve(result, rows=[{**row, "wrong": 3} if one is row else one for one in result.rows])
    assert ", 3 wrong," in measured_page.page(spoilt)
