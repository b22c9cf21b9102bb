"""The vendor's other calls of the same contract need two files to change, as CONTRIBUTING.md tells: here they do."""

import json
from collections.abc import AsyncGenerator, Mapping
from pathlib import Path
from typing import Any, cast

import pytest
from attrs import evolve, frozen

from plugchat_async import (
    DecodeError,
    InvalidValueError,
    PlugChatSession,
    RateLimitedError,
    RetryPolicy,
    ServerError,
    ServerTraits,
    WalkReport,
)
from plugchat_async._pagination.options import WalkSettings
from plugchat_async._pagination.server_traits import ListMemory
from support.fakes import FakeTime, RawServer, answering, http
from support.requests import requested_targets

PATH = "/api/whatsapp/contacts"


@frozen
class Contact:
    """What the contacts' call might give."""

    phone: str
    name: str | None = None
    is_business: bool = False

    @property
    def last_message_time(self) -> None:
        """It is sorted by nothing that is known."""


class Session(PlugChatSession):
    """What the session would have."""

    def __init__(self, token: str, **options: Any) -> None:
        self.time = FakeTime()
        super().__init__(token, clock=self.time.clock, on_bad_value="raise", **options)
        self._contacts = self._fetcher.for_endpoint(PATH, Contact)
        self.contacts_traits = ServerTraits(longest_page=10, short_pages="end", past_end="empty")

    async def iter_contacts(self, options: WalkSettings) -> AsyncGenerator[Contact, None]:
        """As `iter_chats` does for chats."""
        async with self._walk(options, self._contacts, ListMemory(), self.contacts_traits) as walk:
            async for page in walk.pages():
                for contact in cast("tuple[Contact, ...]", page.chats):
                    yield contact


def answer(*rows: Mapping[str, object]) -> bytes:
    return http(json.dumps(rows).encode())


async def contacts_of(*pages: bytes, size: int) -> tuple[list[Contact], WalkReport, list[str]]:
    """Walk them: what came, the report, and what was asked for."""
    reports: list[WalkReport] = []
    options = WalkSettings(page_size=size, on_report=reports.append)
    async with RawServer(answering(*pages, close=False)) as server:
        async with Session("t0ken", base_url=server.base_url) as session:
            contacts = [contact async for contact in session.iter_contacts(options)]
        return contacts, reports[0], requested_targets(server)


async def test_another_call_is_walked() -> None:
    """With all that a walk of chats has: typed, in both lanes, verified by counting."""
    first = answer({"phone": "1", "name": "Ana", "isBusiness": "true"}, {"phone": "2", "name": None})
    contacts, report, requests = await contacts_of(first, answer({"phone": "3"}), size=2)
    assert contacts == [Contact("1", "Ana", True), Contact("2"), Contact("3")]
    assert report.verified
    assert requests == [f"{PATH}?page={number}&pageSize=2" for number in (1, 2)]


async def test_its_bad_values_are_told() -> None:
    """With the words of its own class, as is a field that must be there."""
    with pytest.raises(DecodeError) as caught:
        await contacts_of(answer({"phone": "1", "isBusiness": "perhaps"}, {"name": "x"}), size=5)
    told = [(problem.index, problem.field, problem.expected) for problem in caught.value.problems]
    assert told == [(0, "isBusiness", "true or false, 1 or 0"), (1, "phone", "a text")]


async def test_two_calls_share_limits() -> None:
    """What a 429 asks of one call holds for the other: it is the account's."""
    limited = http(b"", "Retry-After: 7", status="429 Too Many Requests")
    async with (
        RawServer(answering(limited, answer({"phone": "1"}), close=False)) as server,
        Session("t0ken", base_url=server.base_url, retry=RetryPolicy(attempts=1)) as session,
    ):
        with pytest.raises(RateLimitedError):
            await session.list_chats()
        assert [contact async for contact in session.iter_contacts(WalkSettings())] == [Contact("1")]
        assert sum(session.time.sleeps) >= 7


async def test_two_calls_learn_apart() -> None:
    """That contacts honour a page's size does not mean that chats do: that is checked."""
    contacts = answer(*[{"phone": str(number)} for number in range(10)])
    chats = answer(*[{"phone": str(number)} for number in range(5)])
    async with RawServer(
        answering(contacts, answer({"phone": "10"}), chats, answer({"phone": "4"}), close=False)
    ) as server:
        async with Session("t0ken", base_url=server.base_url) as session:
            assert len([contact async for contact in session.iter_contacts(WalkSettings(page_size=10))]) == 11
            assert len(await session.list_chats(10)) == 5
        assert requested_targets(server)[2:] == [
            f"/api/whatsapp/chats?{query}" for query in ("page=1&pageSize=10", "page=2&pageSize=4")
        ]


async def test_a_checkpoint_is_of_its_call() -> None:
    """It goes on with the call that it was of, and with no other."""
    pages = [answer({"phone": "1"}, {"phone": "2"}), *[http(b"", status="503 Service Unavailable")] * 3]
    options = WalkSettings(page_size=2)
    async with (
        RawServer(answering(*pages, answer({"phone": "3"}), close=False)) as server,
        Session("t0ken", base_url=server.base_url) as session,
    ):
        with pytest.raises(ServerError) as caught:
            [contact async for contact in session.iter_contacts(options)]
        checkpoint = caught.value.checkpoint
        with pytest.raises(InvalidValueError, match=f"is a checkpoint of {PATH}, not of /api/whatsapp/chats"):
            await session.list_chats(resume=checkpoint)
        rest = session.iter_contacts(evolve(options, resume=checkpoint))
        assert [contact async for contact in rest] == [Contact("3")]


def test_the_recipe_is_what_is_done_here() -> None:
    """CONTRIBUTING.md's line is this module's."""
    recipe = (Path(__file__).parents[2] / "CONTRIBUTING.md").read_text("utf-8")
    assert 'self._contacts = self._fetcher.for_endpoint("/api/whatsapp/contacts", Contact)' in recipe
    assert 'cast("tuple[Contact, ...]", page.chats)' in recipe
