"""What the doctor finds, against servers that misbehave; and that walks do what it says they do."""

import asyncio
import errno
import json
import re
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count
from typing import Any

import pytest
import trustme

from faults.matrix.peers import authority as matrix_authority
from faults.matrix.peers import expired, self_signed, server_tls, trust
from plugchat_async import (
    Clock,
    InvalidTypeError,
    InvalidValueError,
    MethodNotAllowedError,
    PageRepeatedError,
    PlugChatError,
    PlugChatSession,
    ServerTraits,
    UnexpectedStatusError,
    UnsupportedMediaTypeError,
    WalkReport,
)
from plugchat_async.doctor import CHECKS, MAX_REQUESTS, Finding, Report, examine
from plugchat_async.testing import Fault, PlugChatSimulator, Quirks
from support.fakes import FakeTime, RawServer, answering, http, what_frames_show
from support.proxies import BASE_URL, HOST, ConnectProxy, tls_of
from support.requests import requested_pages

APP, WWW = "https://app.plugchat.com.br", "https://www.plugchat.com.br"
TOKEN = "s3cret-t0ken"
# What is asked for a list of 250 chats that is as it should be.
QUIET = [(1, 10), (1, 10), (0, 10), (1, 5), (2, 5), (1_000_001, 10), (1, 100), (1, 1000), (2, 250)]


async def examined(
    chats: int = 250, *, faults: Sequence[Fault] = (), dialect: Any = "documented", **quirks: Any
) -> Report:
    """Examine a simulator with these quirks. Whatever it does, requests are few, and all of them GET.

    In the dialect "documented" each chat has a phone and a time, so that they can be counted.
    """
    async with PlugChatSimulator(chats, seed=7, token=TOKEN, dialect=dialect, quirks=Quirks(**quirks)) as sim:
        sim.script(*faults)
        report = await examine(TOKEN, base_url=sim.base_url)
    assert report.requests == len(sim.requests) <= 15 < MAX_REQUESTS
    assert {request.method for request in sim.requests} == {"GET"}
    assert [finding.check for finding in report.findings] == list(CHECKS)
    assert TOKEN not in repr(report)
    return report


def facts(finding: Finding) -> dict[str, object]:
    return {fact.name: fact.value for fact in finding.facts}


def statuses(report: Report) -> dict[str, str]:
    """What is not ok, but for TLS, which loopback has none of."""
    return {f.check: f.status for f in report.findings if f.status != "ok" and f.check != "tls"}


async def test_all_is_well() -> None:
    """With a server that keeps to the vendor's page each check is a tick, and what is asked is known."""
    async with PlugChatSimulator(250, seed=7) as sim:
        told: list[Finding] = []
        report = await examine(sim.token, base_url=sim.base_url, on_finding=told.append)
        assert requested_pages(sim) == QUIET
        assert [request.headers.get("content-type") for request in sim.requests[:3]] == [
            "application/json",
            None,
            "application/json",
        ]
        assert report.base_url == sim.base_url
    assert report.healthy
    assert statuses(report) == {}
    assert report.requests == len(QUIET) + 1
    assert 0 < report.elapsed < 60
    assert tuple(told) == report.findings
    assert report.finding("tls").status == "skipped"
    assert "without TLS" in report.finding("tls").found
    assert report.finding("page_size").fact("largest") == 1000
    with pytest.raises(KeyError):
        report.finding("page_size").fact("no such fact")
    with pytest.raises(KeyError):
        Report((), None, 0, 0.0).finding("page")


MISBEHAVIOURS: list[tuple[dict[str, Any], str, str, str, str, dict[str, object]]] = [
    # What the server does; the check that finds it, its status, what it says and advises, and its facts.
    ({"ignore_page": True}, "page", "failed", "page=1 and page=2 return the same", "PageRep", {"honoured": False}),
    ({"first_page": 0}, "first_page", "failed", "count from 0", "miss the first page_size", {"number": 0}),
    ({"first_page": 0, "chats": 4}, "first_page", "failed", "count from 0", "miss", {"number": 0}),
    ({"first_page": 0, "chats": 1}, "first_page", "failed", "count from 0", "miss", {"number": 0}),
    ({"first_page": 0, "fixed_page_size": 20}, "first_page", "failed", "count from 0", "miss", {"number": 0}),
    ({"first_page": 0, "fixed_page_size": 1}, "first_page", "failed", "count from 0", "miss", {"number": 0}),
    ({"first_page": 0, "max_page_size": 7}, "first_page", "failed", "count from 0", "miss", {"number": 0}),
    ({"past_end": "error"}, "past_end", "ok", "is refused (the gateway says", "", {"empty": False}),
    ({"past_end": "first"}, "past_end", "warning", "returns the first page again", "multiple of", {"empty": False}),
    ({"past_end": "last"}, "past_end", "warning", "returns 10 chats", "multiple of page_size", {"empty": False}),
    ({"max_page_size": 33}, "page_size", "warning", "capped at 33", "page_size=33", {"cap": 33, "largest": 33}),
    ({"max_page_size": 7}, "page_size", "warning", "capped at 7", "page_size=7", {"cap": 7, "largest": 7}),
    ({"max_page_size": 50}, "page_size", "warning", "capped at 50", "page_size=50", {"cap": 50}),
    ({"max_page_size": 120, "chats": 500}, "page_size", "ok", "capped at 120", "page_size=120", {"cap": 120}),
    ({"max_page_size": 123, "chats": 500}, "page_size", "ok", "capped at 123", "page_size=123", {"cap": 123}),
    ({"fixed_page_size": 33}, "page_size", "warning", "ignored: pageSize=5 returns 33", "page_size=33", {"fixed": 33}),
    ({"fixed_page_size": 3}, "page_size", "warning", "ignored: pageSize=1 returns 3 ch", "page_size=3", {"fixed": 3}),
    ({"fixed_page_size": 50}, "page_size", "warning", "ignored", "page_size=50", {"fixed": 50}),
    ({"fixed_page_size": 150}, "page_size", "warning", "ignored", "page_size=150", {"fixed": 150}),
    ({"fixed_page_size": 400}, "page_size", "warning", "may be the whole list", "at least 250", {"fixed": None}),
    (
        {"refuse_page_size_above": 50},
        "page_size",
        "failed",
        "not 100: the gateway says: 'pageSize must be at most 50'",
        "default is 100",
        {"largest": 10},
    ),
    (
        {"refuse_page_size_above": 500},
        "page_size",
        "warning",
        "not 1000: the gateway says: 'pageSize must be at most 500'",
        "max_page_size=100",
        {"largest": 100},
    ),
    ({}, "short_pages", "ok", "pageSize=1000 returns 250 chats, and nothing follows", "", {"end": True}),
    ({"past_end": "error"}, "short_pages", "ok", "and nothing follows", "", {"end": True}),
    ({"past_end": "last"}, "short_pages", "ok", "and nothing follows", "", {"end": True}),
    ({"hidden_share": 0.05}, "short_pages", "warning", "others follow", "not verified", {"end": False}),
    ({"hidden_share": 0.02}, "short_pages", "warning", "others follow", "not verified", {"end": False}),
    ({"hidden_share": 0.01, "chats": 2500}, "short_pages", "warning", "others follow", "not ver", {"end": False}),
    ({"hidden_share": 0.3, "chats": 4}, "short_pages", "warning", "others follow", "not ver", {"end": False}),
    ({"max_page_size": 33}, "short_pages", "skipped", "no page was short", "", {"end": None}),
    ({"order": "oldest"}, "order", "warning", "the oldest is first", "it does not change", {"sorted": False}),
    (
        {"order": "shuffled"},
        "order",
        "warning",
        "are not sorted by time",
        "it does not change",
        {"sorted": False},
    ),
    ({"pinned": 2}, "order", "ok", "below 2 pinned on top", "", {"sorted": True, "pinned": 2}),
    ({"pinned": 4}, "order", "warning", "are not sorted by time", "it does not change", {"pinned": None}),
    (
        {"tie_size": 6, "chats": 240},
        "ties",
        "ok",
        "6 at most together",
        "",
        {"tied": 240, "largest": 6, "on_borders": 2},
    ),
    ({"tie_size": 60}, "ties", "ok", "60 at most together", "", {"largest": 60, "kept": True}),
    (
        {"tie_size": 60, "max_page_size": 100},
        "ties",
        "warning",
        "60 at most together",
        "above 120",
        {"largest": 60, "kept": True},
    ),
    (
        {"tie_size": 3, "reorder_ties": True},
        "ties",
        "warning",
        "order changes",
        "in one page of max_page_size.",
        {"kept": False, "on_borders": 2},
    ),
    (
        {"tie_size": 3, "reorder_ties": True, "max_page_size": 90},
        "ties",
        "warning",
        "order changes",
        '"strict", with a page_size above 6',
        {"kept": False, "on_borders": 0},
    ),
    ({"duplicates": 3}, "duplicates", "warning", "3 phones come twice", "yield each of them", {"phones": 3}),
    (
        {"content_type": "refused"},
        "content_type",
        "warning",
        "is refused: HTTP 415",
        "omit it automatically",
        {"accepted": False},
    ),
    ({"content_type": "ignored"}, "no_content_type", "ok", "is accepted, too", "", {"accepted": True}),
    ({}, "no_content_type", "ok", "is refused, as documented: HTTP 415", "removes it", {"accepted": False}),
    ({"method": "POST"}, "method", "failed", "HTTP 405", "The call is GET", {"allow": ("POST",)}),
    (
        {"max_requests": 5},
        "rate_limit",
        "failed",
        "answer 6 was HTTP 429, with Retry-After: 30 s",
        "Run this again",
        {},
    ),
    ({"max_requests": 50}, "rate_limit", "ok", "x-ratelimit-remaining: 41", "requests_per_second", {"limited": False}),
]


Window = Callable[[int, int], Sequence[int]]


def window(page: int, size: int) -> range:
    """What an honest server gives of 25 chats."""
    return range(25)[(page - 1) * size : page * size] if page else range(0)


class Host(RawServer):
    """A server of 25 chats, of which it gives what `window` says, or one that answers each request in the same way."""

    def __init__(
        self, answer: bytes | None = None, *, window: Window = window, tls: ssl.SSLContext | None = None
    ) -> None:
        self._always = answer
        self._window = window
        super().__init__(self._handle, ssl_context=tls)

    async def _handle(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        found = re.search(rb"page=(\d+)&pageSize=(\d+)", self.requests[-1])
        if found is None:  # the account's status
            writer.write(http(b"", status="404 Not Found"))
            return
        chats = [
            {"phone": str(number), "lastMessageTime": 2_000_000_000 - number}
            for number in self._window(int(found[1]), int(found[2]))
        ]
        writer.write(self._always or http(json.dumps(chats).encode()))
        await writer.drain()


@pytest.mark.parametrize(
    ("quirks", "check", "status", "found", "advice", "measured"),
    MISBEHAVIOURS,
    ids=[f"{check} {quirks}" for quirks, check, *_ in MISBEHAVIOURS],
)
async def test_each_misbehaviour_is_found(
    quirks: dict[str, Any], check: Any, status: str, found: str, advice: str, measured: dict[str, object]
) -> None:
    """Check, status, words, advice and facts; and nothing else is called wrong."""
    report = await examined(**quirks)
    finding = report.finding(check)
    assert finding.status == status
    assert found in finding.found
    assert advice in finding.advice
    assert measured.items() <= facts(finding).items()
    assert (finding.category is not None) is (status == "failed")
    failures = [other for other in report.findings if other.status == "failed" and other.check != check]
    assert failures == []
    assert report.healthy is (status != "failed")


@pytest.mark.parametrize(
    ("misread", "check", "status", "found", "advice"),
    [
        # As where a list is cut by an index that may be negative.
        (lambda page, size: window(page, size) or range(25)[-size:], "first_page", "ok", "do not come before", ""),
        (lambda page, size: window(page, max(6, size)), "page_size", "warning", "pageSize=5 returned 6", "at least 6"),
    ],
    ids=["page 0 is the end", "a least size"],
)
async def test_misreadings_that_the_simulator_does_not_have(
    misread: Window, check: Any, status: str, found: str, advice: str
) -> None:
    """They are found, too."""
    async with Host(window=misread) as server:
        report = await examine(TOKEN, base_url=server.base_url)
    finding = report.finding(check)
    assert finding.status == status
    assert found in finding.found
    assert advice in finding.advice
    assert report.healthy


async def test_a_page_0_that_can_not_be_placed() -> None:
    """Pages 0 and 1 differ, but what would tell which is the first is not answered."""
    report = await examined(faults=[*[Fault.none()] * 3, Fault.status(503)], first_page=0)
    finding = report.finding("first_page")
    assert finding.status == "skipped"
    assert "page=0 and page=1 differ, and then: HTTP 503" in finding.found


async def test_requests_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever would be asked for after that is skipped, and says so."""
    monkeypatch.setattr("plugchat_async.doctor.prober.MAX_REQUESTS", 4)
    report = await examined()
    assert report.requests == 4
    assert report.finding("page").found == "that would take more than 4 requests"


@pytest.mark.parametrize("chats", [0, 1])
async def test_too_few_chats_to_tell(chats: int) -> None:
    """What can't be seen in an account without chats, or with one, is skipped, and nothing is called wrong."""
    report = await examined(chats)
    assert report.healthy
    skipped = {"page", "page_size", "short_pages", "people", "order", "ties", "duplicates"}
    skipped |= set() if chats else {"first_page", "times", "ids", "keys", "values"}
    assert statuses(report) == dict.fromkeys(skipped, "skipped")
    assert {report.finding(check).found for check in CHECKS if check in skipped} == {"too few chats to tell"}


@pytest.mark.parametrize("chats", [2, 3, 4, 9, 10, 11, 20, 99, 100, 101, 200, 1000, 1001])
async def test_any_number_of_chats_is_well(chats: int) -> None:
    """Also where the list ends with a full page of one of the sizes that are asked for."""
    # No page of a list that is longer than the largest one is short.
    skipped = {("short_pages", "skipped")} if chats >= 1000 else set[tuple[str, str]]()
    assert set(statuses(await examined(chats)).items()) == skipped
    # Of few chats too few have a time.
    unknown = set(statuses(await examined(chats, dialect="gateway")).items())
    assert unknown - skipped <= ({("order", "skipped"), ("ties", "skipped")} if chats < 10 else set())


@pytest.mark.parametrize(
    ("quirks", "check", "status", "known"),
    [
        ({"first_page": 0}, "first_page", "failed", {"number": 0, "page_0": "the first page"}),
        ({"first_page": 0, "fixed_page_size": 20}, "first_page", "failed", {"number": 0}),
        ({"ignore_page": True}, "page", "failed", {"honoured": False}),
        ({"max_page_size": 33}, "page_size", "warning", {"cap": 33}),
        ({"fixed_page_size": 33}, "page_size", "warning", {"fixed": 33}),
        ({"hidden_share": 0.05}, "short_pages", "warning", {"end": False}),
        ({"order": "oldest"}, "order", "warning", {"sorted": False}),
        ({"order": "shuffled"}, "order", "warning", {"sorted": False, "timeless_at": "mixed"}),
        ({"pinned": 2}, "order", "ok", {"sorted": True, "pinned_rows": 2, "pinned_at": "top"}),
        ({"tie_size": 6}, "ties", "ok", {"largest": 6, "kept": True}),
        ({"tie_size": 3, "reorder_ties": True}, "ties", "warning", {"kept": False}),
        ({"duplicates": 9}, "duplicates", "warning", {}),
    ],
)
async def test_misbehaviour_of_the_gateway_of_today(
    quirks: dict[str, Any], check: Any, status: str, known: dict[str, object]
) -> None:
    """It is found also where half of the rows have no phone, and more have no time; nothing else is called wrong."""
    report = await examined(**quirks, dialect="gateway")
    finding = report.finding(check)
    assert finding.status == status
    assert known.items() <= facts(finding).items()
    assert {f.check for f in report.findings if f.status == "failed" and f.check != check} == set()


@pytest.mark.parametrize("chats", [4, 7])
async def test_an_order_that_pinned_chats_may_make(chats: int) -> None:
    """Of seven chats three may be pinned: whether the rest is sorted by more than chance is not told."""
    finding = (await examined(chats, order="oldest")).finding("order")
    assert (finding.status, finding.found) == ("skipped", "too few chats to tell, since up to 3 may be pinned on top")


async def test_a_first_chat_that_comes_in_between() -> None:
    """Page 1 was empty, and page 0, which is the same one, is not: that alone is no counting from 0."""
    asked_for: list[int] = []

    def late(page: int, size: int) -> range:
        asked_for.append(page)
        return range(0 if len(asked_for) < 3 or page > 1 else 1)

    async with Host(window=late) as server:
        report = await examine(TOKEN, base_url=server.base_url)
    assert asked_for[:4] == [1, 1, 0, 1]
    assert report.healthy


async def test_a_page_that_repeats_once() -> None:
    """Chats that jump to the front push a page down to the next one: a second look tells that from a repeated page."""
    chats = list(range(25))
    asked_for: list[tuple[int, int]] = []

    def jumping(page: int, size: int) -> list[int]:
        asked_for.append((page, size))
        if asked_for.count((2, 5)) == 1 and page == 2:
            chats[:] = [*chats[-5:], *chats[:-5]]
        return chats[(page - 1) * size : page * size] or chats[:size]

    async with Host(window=jumping) as server:
        report = await examine(TOKEN, base_url=server.base_url)
    assert asked_for.count((2, 5)) == 2
    assert report.finding("page").status == "ok"


async def test_a_token_in_the_base_url() -> None:
    """As some paste it: it is taken out of all that is told."""
    async with Host() as server:
        report = await examine(TOKEN, base_url=f"{server.base_url}/{TOKEN}")
        redacted = f"{server.base_url}/***"
    assert TOKEN not in repr(report)
    assert report.base_url == report.finding("host").fact("use") == redacted


@pytest.mark.slow
@pytest.mark.parametrize(
    ("quirks", "wanted"),
    [
        ({}, set()),
        ({"past_end": "first"}, set()),
        ({"ignore_page": True}, {"page"}),
        ({"first_page": 0}, {"first_page"}),
        ({"max_page_size": 33}, set()),
        ({"fixed_page_size": 33}, set()),
    ],
)
async def test_a_moving_list_changes_no_verdict(quirks: dict[str, Any], wanted: set[str]) -> None:
    """Whether chats get messages, come or go between two requests: no false alarms, and none is missed.

    Of an account with a handful of chats, most of which move, less can be seen: there something may be missed.
    """
    for chats in (1, 2, 3, 5, 11, 50, 250):
        for seed in range(5):
            async with PlugChatSimulator(chats, seed=seed, quirks=Quirks(**quirks)) as sim:
                sim.traffic(bumps=0.3, inserts=0.05, deletes=0.05, seed=seed)
                report = await examine(sim.token, base_url=sim.base_url)
            failed = {finding.check for finding in report.findings if finding.status == "failed"}
            assert failed == wanted if chats >= 50 else failed <= wanted, (chats, seed, report)


# What a finding says that walks do, they do.


async def walked(
    chats: int = 250,
    page_size: int = 100,
    *,
    consistency: Any = "exact",
    stop_on: Any = "short",
    repair: bool = True,
    **quirks: Any,
) -> tuple[int, WalkReport]:
    """Walk over a simulator that has these quirks: how many chats were missed, and the report."""
    reports: list[WalkReport] = []
    async with (
        PlugChatSimulator(chats, seed=7, dialect="documented", quirks=Quirks(**quirks)) as sim,
        PlugChatSession(sim.token, base_url=sim.base_url, repair=repair, clock=FakeTime().clock) as session,
    ):
        found = await session.list_chats(page_size, consistency=consistency, stop_on=stop_on, on_report=reports.append)
        return len({chat.phone for chat in sim.listed_chats} - {chat.phone for chat in found}), reports[0]


@pytest.mark.parametrize(
    ("quirks", "options", "missed", "verified"),
    [
        ({"first_page": 0}, {}, 100, False),
        ({"max_page_size": 33}, {}, 0, True),
        ({"max_page_size": 33}, {"page_size": 33}, 0, True),
        ({"max_page_size": 33}, {"consistency": "strict"}, 0, True),
        ({"fixed_page_size": 33}, {}, 0, True),
        ({"fixed_page_size": 33}, {"page_size": 33}, 0, True),
        ({"fixed_page_size": 33}, {"page_size": 33, "consistency": "strict"}, 0, False),
        ({"fixed_page_size": 50}, {"page_size": 10}, 0, False),
        ({"fixed_page_size": 400}, {"page_size": 250}, 0, True),
        ({"hidden_share": 0.05}, {}, 0, True),  # one page holds them all
        ({"hidden_share": 0.05, "chats": 1200}, {}, 0, False),
        ({"hidden_share": 0.05}, {"consistency": "strict"}, 0, False),
        ({"hidden_share": 0.05}, {"consistency": "plain", "stop_on": "empty"}, 0, False),
        ({"past_end": "first", "chats": 200}, {"page_size": 99}, 0, True),
        ({"past_end": "first", "chats": 200}, {}, 0, True),
        ({"past_end": "last", "chats": 200}, {}, 0, True),
        ({"past_end": "error", "chats": 200}, {}, 0, True),
        ({"past_end": "error", "chats": 200}, {"consistency": "strict"}, 0, True),
        ({"refuse_page_size_above": 500}, {}, 0, True),
        ({"refuse_page_size_above": 500}, {"consistency": "strict"}, 0, True),
        ({"order": "oldest"}, {}, 0, True),
        ({"order": "shuffled"}, {"consistency": "strict"}, 0, True),
        ({"order": "shuffled", "chats": 1200}, {"consistency": "strict"}, 0, False),
        ({"tie_size": 60}, {"consistency": "strict"}, 0, True),
        ({"tie_size": 60, "max_page_size": 100}, {"consistency": "strict"}, 0, False),
        ({"tie_size": 60}, {"consistency": "strict", "page_size": 121}, 0, True),
        ({"tie_size": 8, "reorder_ties": True}, {"page_size": 33}, 0, True),
        ({"tie_size": 8, "reorder_ties": True, "max_page_size": 33}, {"page_size": 33}, 0, True),
        ({"duplicates": 3}, {}, 0, True),
        ({"content_type": "refused"}, {}, 0, True),
    ],
)
async def test_walks_do_what_the_advice_says(
    quirks: dict[str, Any], options: dict[str, Any], missed: int, verified: bool
) -> None:
    """They lose what it says is lost, and nothing where its advice is taken."""
    lost, report = await walked(**quirks, **options)
    assert (lost, report.verified) == (missed, verified)


@pytest.mark.parametrize(
    ("quirks", "error"),
    [
        ({"ignore_page": True}, PageRepeatedError),
        ({"refuse_page_size_above": 50}, UnexpectedStatusError),
        ({"content_type": "refused", "repair": False}, UnsupportedMediaTypeError),
        ({"method": "POST"}, MethodNotAllowedError),
    ],
)
async def test_walks_fail_as_the_advice_says(quirks: dict[str, Any], error: type[PlugChatError]) -> None:
    """With that error."""
    with pytest.raises(error):
        await walked(**quirks)


# What is learned about the server.

TRAITS: list[tuple[dict[str, Any], ServerTraits]] = [
    ({}, ServerTraits(longest_page=250, short_pages="end", past_end="empty", page_zero="error")),
    ({"chats": 1200}, ServerTraits(longest_page=1000, past_end="empty", page_zero="error")),
    ({"max_page_size": 33}, ServerTraits(max_page_size=33, longest_page=33, past_end="empty", page_zero="error")),
    ({"fixed_page_size": 33}, ServerTraits(max_page_size=33, longest_page=33, past_end="empty", page_zero="error")),
    (
        {"refuse_page_size_above": 500},
        ServerTraits(longest_page=100, refused_page_size=1000, past_end="empty", page_zero="error"),
    ),
    ({"hidden_share": 0.05}, ServerTraits(longest_page=245, short_pages="anywhere", past_end="empty")),
    ({"past_end": "error"}, ServerTraits(longest_page=250, short_pages="end", past_end="error")),
    ({"past_end": "last"}, ServerTraits(longest_page=250, short_pages="end", past_end="repeated")),
    ({"first_page": 0}, ServerTraits(longest_page=250, short_pages="end", past_end="empty", page_zero="first")),
    ({"ignore_page": True}, ServerTraits(longest_page=250)),
    ({"chats": 0}, ServerTraits(past_end="empty")),
]


@pytest.mark.parametrize(("quirks", "wanted"), TRAITS, ids=[str(quirks) for quirks, _ in TRAITS])
async def test_what_is_learned_about_the_server(quirks: dict[str, Any], wanted: ServerTraits) -> None:
    """It is a finding, in words and as facts, and what sessions take."""
    report = await examined(**quirks)
    known = {name: value for name, value in facts(report.finding("server_traits")).items() if value is not None}
    assert known == {name: value for name, value in report.server_traits.to_dict().items() if value is not None}
    wanted.page_zero = wanted.page_zero or "error"
    assert report.server_traits == wanted
    finding = report.finding("server_traits")
    assert finding.status == "ok"
    # The advice can be pasted.
    pasted = re.search(r"server_traits=(ServerTraits\(.*\))\.$", finding.advice)
    assert pasted is not None
    assert eval(pasted[1], {"ServerTraits": ServerTraits}) == wanted


@pytest.mark.parametrize(("page_0", "known"), [("first", "first"), ("empty", "empty")])
async def test_what_page_0_is(page_0: str, known: str) -> None:
    """Some servers have page 1 there, some nothing."""
    async with Host(window=lambda page, size: window(max(1, page) if page_0 == "first" else page, size)) as server:
        report = await examine(TOKEN, base_url=server.base_url)
    assert report.server_traits.page_zero == known


async def test_nothing_is_learned_from_a_server_that_fails() -> None:
    """An error that may pass says nothing about page 0, the end, or a size."""
    down = Fault.status(503)
    report = await examined(faults=[Fault.none(), Fault.none(), down, Fault.none(), Fault.none(), down, down])
    assert report.server_traits == ServerTraits(longest_page=10)
    report = await examined(faults=[Fault.status(401)])
    assert report.finding("server_traits").status == "skipped"
    assert report.server_traits == ServerTraits()


@pytest.mark.parametrize(
    ("quirks", "consistency"),
    [
        ({}, "exact"),
        ({}, "strict"),
        ({"max_page_size": 33}, "exact"),
        ({"max_page_size": 33}, "strict"),
        ({"refuse_page_size_above": 500}, "exact"),
    ],
)
async def test_a_session_that_is_told_asks_less(quirks: dict[str, Any], consistency: Any) -> None:
    """What the doctor has learned of one account is not found out again for another one."""
    requests: list[int] = []
    async with PlugChatSimulator(250, seed=7, dialect="documented", quirks=Quirks(**quirks)) as sim:
        other = sim.add_account("other", 150)
        report = await examine(sim.token, base_url=sim.base_url)
        for traits in (None, report.server_traits):
            before = len(sim.requests)
            async with PlugChatSession("other", base_url=sim.base_url, server_traits=traits) as session:
                assert await session.list_chats(consistency=consistency) == list(other.chats)
            requests.append(len(sim.requests) - before)
    assert requests[1] < requests[0]


# What is answered in another way.


@pytest.mark.parametrize(
    ("fault", "check", "found", "category"),
    [
        (Fault.status(401, body=f"no {TOKEN}"), "authorization", "HTTP 401 Unauthorized: 'no ***'", "configuration"),
        (Fault.status(403), "authorization", "HTTP 403", "configuration"),
        (
            Fault.status(400, body='{"error": "Instance not found"}'),
            "authorization",
            "the gateway says",
            "configuration",
        ),
        (Fault.status(403, body="<html>"), "answer", "refused by a firewall", "configuration"),
        (Fault.status(400, body='{"error": "192.0.2.1 not allowed"}'), "answer", "the gateway says", "configuration"),
        (Fault.answer('{"error": "You are not connected."}'), "answer", "the gateway says", "service"),
        (Fault.status(405), "method", "HTTP 405", "configuration"),
        (Fault.status(400, body="?"), "answer", "HTTP 400 Bad Request: '?'", "answer"),
        (Fault.answer("<html>"), "answer", "not JSON", "answer"),
        (Fault.answer("{}"), "answer", "not a JSON array", "answer"),
        (Fault.answer('[{"unread": "x"}]'), "answer", "neither a phone nor a lid", "answer"),
        (Fault.answer(" " * 2**24 + "[]"), "answer", "larger than 16777216 bytes", "answer"),
        (Fault.status(404), "host", "HTTP 404", "answer"),
        (
            Fault.status(302, headers={"Location": "https://x.example/"}),
            "host",
            "to https://x.example",
            "configuration",
        ),
        (Fault.status(500), "host", "HTTP 500", "service"),
        (Fault.close(), "host", "closed the connection", "service"),
        (Fault.truncate(), "host", "broke in the middle", "service"),
    ],
)
async def test_what_makes_the_rest_impossible(fault: Fault, check: Any, found: str, category: str) -> None:
    """It is told once, with what to do; what comes after it is skipped, and says why; nothing more is asked."""
    report = await examined(faults=[fault])
    finding = report.finding(check)
    assert (finding.status, finding.category) == ("failed", category)
    assert found in finding.found
    assert finding.advice
    assert [f.check for f in report.findings if f.status == "failed"] == [check]
    later = CHECKS[CHECKS.index(check) + 1 : CHECKS.index("latency")]
    # If it is the list that is refused, the phone may be the reason.
    asks_for_status = check == "answer"
    assert {report.finding(name).status for name in later if name != "phone" or not asks_for_status} == {"skipped"}
    assert all(report.finding(name).found for name in later)
    assert report.requests <= 2 + asks_for_status


async def test_415_in_either_way() -> None:
    """Where the request is refused with and without Content-Type, nothing else can be seen."""
    refused = Fault.status(415, headers={"Accept": "text/plain"})
    report = await examined(faults=[refused, refused])
    assert statuses(report)["authorization"] == "skipped"
    finding = report.finding("content_type")
    assert (finding.status, finding.category) == ("failed", "configuration")
    assert report.finding("no_content_type").status == "skipped"
    assert report.requests == 2


async def test_415_and_then_nothing() -> None:
    """That a request without it is not answered at all does not show that it is accepted."""
    report = await examined(faults=[Fault.status(415), Fault.reset(), Fault.reset()])
    assert [f.check for f in report.findings if f.status == "failed"] == ["content_type"]


async def test_a_refused_content_type_may_hide_a_refused_token() -> None:
    """The request without it tells."""
    report = await examined(faults=[Fault.status(415), Fault.status(401)])
    assert report.finding("authorization").status == "failed"
    assert report.requests == 2


@pytest.mark.parametrize(
    ("place", "check", "status", "found"),
    [
        (2, "no_content_type", "ok", "without Content-Type: HTTP 503"),
        (3, "first_page", "ok", "page=0 is refused (HTTP 503"),
        (4, "page", "failed", "HTTP 503"),
        (5, "page", "failed", "HTTP 503"),
        (6, "past_end", "warning", "page=1000001 is refused: HTTP 503"),
        (7, "page_size", "failed", "not 100: HTTP 503"),
        (8, "page_size", "warning", "not 1000: HTTP 503"),
        (9, "page_size", "failed", "HTTP 503"),
    ],
)
async def test_an_error_in_the_middle_is_its_checks_finding(place: int, check: Any, status: str, found: str) -> None:
    """The others are made nevertheless, and no request is repeated."""
    report = await examined(faults=[*[Fault.none()] * (place - 1), Fault.status(503)])
    finding = report.finding(check)
    assert finding.status == status
    assert found in finding.found
    assert finding.category == ("service" if status == "failed" else None)
    unknown = {"past_end", "page_size", "short_pages"} if check == "page" else {"short_pages"}
    assert statuses(report).keys() <= {check} | unknown
    assert report.requests <= len(QUIET) + 1


async def test_429_ends_the_asking() -> None:
    """Wherever it comes nothing is asked after it; what has come until then is looked at."""
    found: list[str] = []
    for place in range(1, len(QUIET) + 1):
        fault = Fault.status(429, headers={"Retry-After": "7", "RateLimit": f'"x";r=0;t=7;k={TOKEN}'})
        report = await examined(faults=[*[Fault.none()] * (place - 1), fault])
        assert report.requests == place
        finding = report.finding("rate_limit")
        assert (finding.status, finding.category) == ("failed", "service")
        assert facts(finding) == {
            "limited": True,
            "retry_after": 7.0,
            "headers": ("retry-after: 7", 'ratelimit: "x";r=0;t=7;k=***'),
        }
        assert {f.check for f in report.findings if f.status == "failed"} == {"rate_limit"}
        assert report.finding("order").status == ("ok" if place > 1 else "skipped")
        found.append(report.finding("page").status)
    assert found == ["skipped"] * 5 + ["ok"] * 4


@pytest.mark.parametrize(("value", "said"), [(None, "without Retry-After"), ("9" * 400, "without Retry-After")])
async def test_429_without_an_end(value: str | None, said: str) -> None:
    """No Retry-After, or one of more digits than a number has."""
    fault = Fault.status(429, headers={"Retry-After": value} if value else None)
    finding = (await examined(faults=[fault])).finding("rate_limit")
    assert said in finding.found
    assert finding.fact("retry_after") is None


async def test_a_service_that_falls_silent_is_not_asked_on() -> None:
    """Two requests without an answer are enough; on an idle connection, one is sent once more before that counts."""
    report = await examined(faults=[*[Fault.none()] * 3, *[Fault.close()] * 9])
    assert report.requests == 6
    assert report.finding("page").status == "failed"
    assert report.finding("past_end").found == "the service no longer answers"


async def test_a_closed_idle_connection_is_no_finding() -> None:
    """The server never saw that request: it is sent once more."""
    async with PlugChatSimulator(250) as sim:
        sim.script(*[Fault.none()] * 4, Fault.close())
        report = await examine(sim.token, base_url=sim.base_url)
    assert statuses(report) == {}
    assert requested_pages(sim) == [*QUIET[:4], *QUIET[4:5] * 2, *QUIET[5:]]
    assert report.requests == len(QUIET) + 2


async def test_times_that_are_missing() -> None:
    """A list can't be sorted by what is not there."""
    chats = [{"phone": str(number)} for number in range(10)]
    async with RawServer(answering(http(json.dumps(chats).encode()))) as server:
        report = await examine(TOKEN, base_url=server.base_url)
    assert report.finding("order").found == "10 of 10 chats have no last_message_time, so they can't be sorted by it"
    assert report.finding("ties").found == "there are chats without a time"


async def test_slow_answers() -> None:
    """Median and worst are told, by the clock that is given; half the timeout, or five seconds, is too slow."""
    for seconds, timeout, status in ((4.0, 30.0, "ok"), (5.5, 30.0, "warning"), (4.0, 7.0, "warning")):
        fake = FakeTime()
        ticks = count(0.0, seconds)
        source = Clock(monotonic=partial(next, ticks), time=fake.clock.time)
        async with PlugChatSimulator(250) as sim:
            report = await examine(sim.token, base_url=sim.base_url, timeout=timeout, clock=source)
        finding = report.finding("latency")
        assert finding.status == status
        assert facts(finding) == {"median": seconds, "worst": seconds, "answers": 9}
        assert ("timeout" in finding.advice) is (status == "warning")


async def test_a_timeout_is_the_hosts() -> None:
    """A server that says nothing is named, after so many seconds."""
    async with PlugChatSimulator(3) as sim:
        sim.script(Fault.hang())
        report = await examine(sim.token, base_url=sim.base_url, timeout=0.05)
    assert "no complete answer within 0.05 s" in report.finding("host").found
    assert report.finding("latency").status == "skipped"


# What is wrong before anything is sent.


@pytest.mark.parametrize("token", ["", "Bearer s3cret-t0ken", "s3cret-t0ken\n", 5])
async def test_a_token_that_can_not_be_sent(token: Any) -> None:
    """It is a finding; names and certificates are looked at, but nothing is asked."""
    async with PlugChatSimulator(3) as sim:
        report = await examine(token, base_url=sim.base_url)
        assert sim.requests == []
    finding = report.finding("token")
    assert (finding.status, finding.category) == ("failed", "configuration")
    assert "PLUGCHAT_TOKEN" in finding.advice
    assert "s3cret" not in repr(report)
    assert report.finding("dns").status == "ok"
    assert report.finding("host").found == "there is no valid token"
    assert report.finding("rate_limit").status == "skipped"
    assert report.requests == 0


async def test_a_base_url_that_is_none() -> None:
    """It is a finding, and all behind it is skipped."""
    report = await examine(TOKEN, base_url=f"http://x.example/{TOKEN}")
    finding = report.finding("base_url")
    assert (finding.status, finding.category) == ("failed", "configuration")
    assert "must be https" in finding.found
    assert TOKEN not in repr(report)
    assert {f.status for f in report.findings[2:]} == {"skipped"}
    assert report.base_url is None


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"timeout": 0}, InvalidValueError, "timeout must be"),
        ({"timeout": "5"}, InvalidTypeError, "timeout must be"),
        ({"on_finding": 5}, InvalidTypeError, "on_finding must be a plain function of a Finding"),
        ({"proxy": "socks://u:s3cret-t0ken@x"}, InvalidValueError, "proxy must begin"),
        ({"ssl_context": ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)}, InvalidValueError, "must verify"),
    ],
)
async def test_wrong_arguments_are_errors(options: dict[str, Any], error: type[Exception], said: str) -> None:
    """As the session's are, and no frame of ours holds the token."""
    with pytest.raises(error, match=said) as caught:
        await examine(TOKEN, **options)
    assert TOKEN not in what_frames_show(caught.value)


async def test_closed_connections_do_not_make_it_ask_more() -> None:
    """Each second request meets a closed connection, and is sent once more: 16 requests all the same."""
    async with PlugChatSimulator(250) as sim:
        sim.script(*[Fault.none(), Fault.close()] * 30)
        report = await examine(sim.token, base_url=sim.base_url)
        assert report.requests <= MAX_REQUESTS
        assert len(sim.requests) <= MAX_REQUESTS


async def test_what_on_finding_raises_ends_it() -> None:
    """No request is sent after that."""

    def stop(finding: Finding) -> None:
        if finding.check == "host":
            raise BrokenPipeError

    async with PlugChatSimulator(3) as sim:
        with pytest.raises(BrokenPipeError):
            await examine(sim.token, base_url=sim.base_url, on_finding=stop)
        assert len(sim.requests) == 1


# Names and certificates.


Resolve = Callable[[dict[str, int]], None]


@pytest.fixture
async def resolve() -> AsyncIterator[Resolve]:
    """Let names lead to ports of this machine, whatever port is asked for. Others don't exist."""
    loop: Any = asyncio.get_running_loop()
    known: dict[str, int] = {}

    async def check_dns(host: Any, port: Any, **_: object) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        if name not in known:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", known[name]))]

    # An instance's attribute hides the class's method.
    loop.getaddrinfo = check_dns
    yield known.update
    vars(loop).pop("getaddrinfo")


def app(answer: bytes | None = None) -> Host:
    return Host(answer, tls=server_tls(matrix_authority(), "app.plugchat.com.br"))


def www(answer: bytes | None = None) -> Host:
    return Host(answer, tls=server_tls(matrix_authority(), "www.plugchat.com.br"))


async def documented(first: Host, second: Host, resolve: Resolve, base_url: str = APP, **options: Any) -> Report:
    """Examine with the two documented names leading to these."""
    async with first, second:
        resolve({"app.plugchat.com.br": first.port, "www.plugchat.com.br": second.port})
        return await examine(TOKEN, base_url=base_url, ssl_context=trust(matrix_authority()), **options)


async def test_both_documented_hosts_are_asked(resolve: Resolve) -> None:
    """Name, certificate and answer of each are told; the list is looked at where base_url says."""
    first, second = app(), www()
    report = await documented(first, second, resolve, WWW)
    assert report.healthy
    assert report.base_url == WWW
    checks = [(f.check, f.fact("host")) for f in report.findings if f.check in ("dns", "tls")]
    assert checks == [(check, f"{name}.plugchat.com.br") for check in ("dns", "tls") for name in ("www", "app")]
    tls = report.finding("tls")
    assert tls.fact("version") == "TLSv1.3"
    assert facts(report.finding("host")) == {"answering": (WWW, APP), "use": WWW}
    assert len(first.requests) == 1
    assert len(second.requests) == report.requests - 1
    assert all(TOKEN.encode() in request for request in first.requests + second.requests)


@pytest.mark.parametrize(
    ("refusal", "status", "category", "advice"),
    [
        (http(b"", status="404 Not Found"), "failed", "answer", f"Use {WWW} as base_url."),
        (http(b"", status="401 Unauthorized"), "failed", "configuration", f"Use {WWW} as base_url."),
        (http(b"<html>"), "failed", "answer", f"Use {WWW} as base_url."),
        (http(b"", status="405 Method Not Allowed"), "warning", None, "Sessions switch to it automatically"),
    ],
)
async def test_the_other_documented_host_answers(
    resolve: Resolve, refusal: bytes, status: str, category: str | None, advice: str
) -> None:
    """That is the host's finding; all else is looked at there."""
    report = await documented(app(refusal), www(), resolve)
    finding = report.finding("host")
    assert (finding.status, finding.category) == (status, category)
    assert advice in finding.advice
    assert facts(finding) == {"answering": (WWW,), "use": WWW}
    assert report.base_url == WWW
    assert {f.check for f in report.findings if f.status == "failed"} == ({"host"} if category else set())
    assert report.finding("page").status == "ok"


async def test_the_other_documented_host_does_not_answer(resolve: Resolve) -> None:
    """It is told, and does no harm."""
    report = await documented(app(), www(http(b"", status="404 Not Found")), resolve)
    assert report.healthy
    assert "www.plugchat.com.br: HTTP 404" in report.finding("host").found
    assert report.base_url == APP


async def test_neither_documented_host_answers(resolve: Resolve) -> None:
    """The one that was given is judged."""
    missing = http(b"", status="404 Not Found")
    report = await documented(app(missing), www(missing), resolve)
    assert report.finding("host").status == "failed"
    assert report.requests == 2


async def test_a_429_of_one_documented_host(resolve: Resolve) -> None:
    """The other one is then not asked."""
    second = www()
    report = await documented(app(http(b"", status="429 Too Many Requests")), second, resolve)
    assert second.requests == []
    assert report.requests == 1


@pytest.mark.parametrize("given", [APP, WWW])
async def test_a_documented_host_without_a_name(resolve: Resolve, given: str) -> None:
    """If it is the one that was given, that is a failure, and the other is the one to use."""
    async with app() as server:
        resolve({"app.plugchat.com.br": server.port})
        report = await examine(TOKEN, base_url=given, ssl_context=trust(matrix_authority()))
    dns = {str(f.fact("host")): f for f in report.findings if f.check == "dns"}
    lost = dns["www.plugchat.com.br"]
    assert lost.found == "www.plugchat.com.br can't be resolved: Name or service not known"
    assert dns["app.plugchat.com.br"].status == "ok"
    if given == APP:
        assert (lost.status, lost.category) == ("warning", None)
        assert report.healthy
    else:
        assert (lost.status, lost.category) == ("failed", "service")
        assert report.finding("host").advice == f"Use {APP} as base_url."
        assert report.finding("host").category == "service"
    assert report.base_url == APP
    assert report.finding("page").status == "ok"


async def test_no_name_no_tls_no_requests(resolve: Resolve) -> None:
    """Each check says why it was skipped."""
    report = await examine(TOKEN, base_url="https://nowhere.example")
    assert report.finding("dns").status == "failed"
    assert {f.status for f in report.findings[4:]} == {"skipped"}
    assert report.finding("tls").found == report.finding("page").found == "the host can't be reached"
    assert report.requests == 0


@pytest.mark.parametrize("error", [UnicodeError("label too long"), OSError()])
async def test_a_name_that_is_none(error: Exception) -> None:
    """IDNA's errors, and those without words."""
    loop: Any = asyncio.get_running_loop()

    async def fail(*_: object, **__: object) -> Any:
        raise error

    loop.getaddrinfo = fail
    try:
        report = await examine(TOKEN, base_url="https://nowhere.example")
    finally:
        vars(loop).pop("getaddrinfo")
    assert report.finding("dns").found == "nowhere.example can't be resolved: it is not a host name"


async def test_a_resolver_that_does_not_answer() -> None:
    """It is waited for as long as the timeout is."""
    loop: Any = asyncio.get_running_loop()

    async def hang(*_: object, **__: object) -> Any:
        await asyncio.Event().wait()

    loop.getaddrinfo = hang
    try:
        report = await examine(TOKEN, base_url="https://nowhere.example", timeout=0.05)
    finally:
        vars(loop).pop("getaddrinfo")
    assert report.finding("dns").found == "nowhere.example can't be resolved: no answer within 0.05 s"
    assert report.elapsed < 5


@pytest.mark.parametrize(
    ("tls", "said"),
    [
        (expired, "certificate has expired"),
        (self_signed, "self-signed certificate"),
        (lambda: server_tls(trustme.CA(), "localhost"), "certificate"),
        (lambda: server_tls(matrix_authority(), "other.example"), "Hostname mismatch"),
    ],
    ids=["expired", "self-signed", "unknown authority", "other host"],
)
async def test_a_certificate_that_does_not_verify(tls: Callable[[], ssl.SSLContext], said: str) -> None:
    """What is wrong with it is told, and no token is sent."""
    async with Host(tls=tls()) as server:
        report = await examine(TOKEN, base_url=server.base_url, ssl_context=trust(matrix_authority()))
        assert server.requests == []
    finding = report.finding("tls")
    assert (finding.status, finding.category) == ("failed", "service")
    assert finding.found.startswith("localhost: ")
    assert said in finding.found
    assert "ssl_context" in finding.advice
    assert report.requests == 0


@pytest.mark.parametrize(("days", "status"), [(13, "warning"), (14, "ok")])
async def test_a_certificate_that_ends_soon(days: int, status: str) -> None:
    """It is a warning two weeks before."""
    now = datetime(2030, 1, 1, tzinfo=UTC)
    # OpenSSL verifies by the real clock: the certificate is good for long, and `now` is close to its end.
    tls = server_tls(matrix_authority(), "localhost", not_after=now + timedelta(days=days, hours=1))
    source = Clock(time=now.timestamp)
    async with Host(tls=tls) as server:
        report = await examine(TOKEN, base_url=server.base_url, ssl_context=trust(matrix_authority()), clock=source)
    finding = report.finding("tls")
    assert (finding.status, finding.fact("days_left")) == (status, days)
    assert f"valid for another {days} days" in finding.found
    assert report.healthy


async def test_a_server_without_tls() -> None:
    """http on the port of https."""
    async with RawServer(answering(http(b"", status="400 Bad Request"))) as server:
        url = server.base_url.replace("http://", "https://")
        writing = answering(http(b"", status="400 Bad Request"))

        async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(1)
            await writing(reader, writer)

        talker = await asyncio.start_server(plain, "127.0.0.1", 0)
        async with talker:
            port = talker.sockets[0].getsockname()[1]
            report = await examine(TOKEN, base_url=url.replace(str(server.port), str(port)))
    finding = report.finding("tls")
    assert "the TLS handshake failed: wrong version number" in finding.found
    assert "may not speak TLS" in finding.advice


@pytest.mark.parametrize(
    ("happens", "said"),
    [
        (ConnectionRefusedError(), "the connection was refused"),
        (ConnectionResetError(), "the connection was lost during the TLS handshake"),
        (OSError(101, "Network is unreachable"), "the server can't be reached"),
        (OSError(errno.EMFILE, "Too many open files"), "this process has too many open files"),
        (TimeoutError(), "no connection within 30 s"),
    ],
)
async def test_a_server_that_can_not_be_reached(monkeypatch: pytest.MonkeyPatch, happens: Exception, said: str) -> None:
    """In which way, and what to do."""

    async def fail(*_: object, **__: object) -> Any:
        raise happens

    monkeypatch.setattr("plugchat_async.doctor.network.asyncio.open_connection", fail)
    report = await examine(TOKEN, base_url="https://127.0.0.1:1")
    assert report.finding("tls").found == f"127.0.0.1: {said}"
    assert report.finding("tls").advice
    assert ("limit of open files" in report.finding("tls").advice) == ("files" in said)
    assert report.requests == 0


async def test_a_name_that_can_not_be_resolved_for_want_of_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the name nor the DNS is to blame."""

    async def fail(*_: object, **__: object) -> Any:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", fail)
    finding = (await examine(TOKEN, base_url="https://plugchat.example")).finding("dns")
    assert finding.found == "plugchat.example can't be resolved: this process has too many open files"
    assert "limit of open files" in finding.advice


async def test_nobody_listens() -> None:
    """A refused connection is the handshake's finding with https, and the host's with http."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        for scheme, check in (("https", "tls"), ("http", "host")):
            report = await examine(TOKEN, base_url=f"{scheme}://127.0.0.1:{port}")
            finding = next(f for f in report.findings if f.status == "failed")
            assert (finding.check, finding.category) == (check, "service")
            assert "the connection was refused" in finding.found


async def test_through_a_proxy() -> None:
    """Requests go through it, and it sees to names and certificates; its password is shown nowhere."""
    served, trusting = tls_of(matrix_authority())
    async with (
        RawServer(answering(http(b"[]")), ssl_context=served) as server,
        ConnectProxy(server.port, credentials=f"u:{TOKEN}") as proxy,
    ):
        url = proxy.url(f"u:{TOKEN}")
        report = await examine(TOKEN, base_url=BASE_URL, proxy=url, ssl_context=trusting)
        wrong = await examine(TOKEN, base_url=BASE_URL, proxy=proxy.url(f"u:x{TOKEN}"), ssl_context=trusting)
        assert {head.split(" HTTP")[0] for head in proxy.heads} == {f"CONNECT {HOST}:443"}
        assert proxy.refused == 1
    failure = next(finding for finding in wrong.findings if finding.status == "failed")
    assert failure.category == "configuration"
    assert "refuses the user name or password" in failure.found
    assert "proxy option" in failure.advice
    assert TOKEN not in repr(wrong)
    assert report.healthy
    assert report.finding("dns").status == report.finding("tls").status == "skipped"
    assert TOKEN not in repr(report)
