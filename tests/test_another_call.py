"""The vendor's other calls of the same contract need a class and a path, as CONTRIBUTING.md tells."""

import json
from typing import Any

from attrs import field, frozen

from fakes import FakeTime, RawServer, answering, http
from plugchat_async import DecodeError, WalkReport
from plugchat_async._commons import Commons, RequestOptions
from plugchat_async._driver import Drive, WalkOptions
from plugchat_async._secret import Secret
from plugchat_async._walk import PageSizes
from plugchat_async.models import expects, laid_out_as_struct


@laid_out_as_struct
@frozen
class Contact:
    """What the contacts' call might give."""

    phone: str = field(metadata=expects("a string"))
    name: str | None = field(default=None, metadata=expects("a string or null"))
    is_business: bool = field(default=False, metadata=expects("true or false"))

    @property
    def last_message_time(self) -> None:
        """It is sorted by nothing that is known."""


async def contacts_of(*pages: bytes, size: int) -> tuple[list[Contact], WalkReport, list[str]]:
    """Walk them as a session walks chats: what came, the report, and what was asked for."""
    reports: list[WalkReport] = []
    contacts: list[Any] = []
    time_source = FakeTime().source
    commons = Commons(RequestOptions(time_source=time_source))
    async with RawServer(answering(*pages, close=False)) as server:
        transport = commons.transport()
        transport.open()
        exchange = commons.exchange(
            transport, Secret("t0ken"), server.base_url, path="/api/whatsapp/contacts", item=Contact
        )
        options = WalkOptions(page_size=size, on_report=reports.append)
        drive = Drive(
            options.standing(),
            options,
            fetch=exchange.fetch,
            sizes=PageSizes(),
            monotonic=time_source.monotonic,
        )
        try:
            while (page := await drive.next()) is not None:
                contacts += page.chats
        finally:
            await drive.close()
            await transport.close()
        return contacts, reports[0], [request.split()[1].decode() for request in server.requests]


def answer(*rows: dict[str, object]) -> bytes:
    return http(json.dumps(rows).encode())


async def test_another_call_is_walked() -> None:
    """With all that a walk of chats has: typed, in both lanes, verified by counting."""
    first = answer({"phone": "1", "name": "Ana", "isBusiness": "true"}, {"phone": "2", "name": None})
    contacts, report, asked = await contacts_of(first, answer({"phone": "3"}), size=2)
    assert contacts == [Contact("1", "Ana", True), Contact("2"), Contact("3")]
    assert report.verified
    assert asked == [f"/api/whatsapp/contacts?page={number}&pageSize=2" for number in (1, 2)]


async def test_its_bad_values_are_told() -> None:
    """With the words of its own class, as is a field that must be there."""
    try:
        await contacts_of(answer({"phone": "1", "isBusiness": "perhaps"}, {"name": "x"}), size=5)
    except DecodeError as error:
        told = [(problem.index, problem.field, problem.expected) for problem in error.problems]
        assert told == [(0, "isBusiness", "true or false"), (1, "phone", "a string")]
    else:
        raise AssertionError("it was read")
