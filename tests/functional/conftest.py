"""What functional tests share: how walks doubt the end of a list, and rows of one person, are subjects of their own."""

from collections.abc import AsyncIterator

import pytest

from plugchat_async import PlugChatSession
from plugchat_async.testing import PlugChatSimulator
from support.fakes import FakeTime
from support.traits import KNOWN_SERVER


@pytest.fixture
async def sim(request: pytest.FixtureRequest) -> AsyncIterator[PlugChatSimulator]:
    """A simulator of the vendor's page: each chat has one row, so that a quiet list comes in its order."""
    async with PlugChatSimulator(chats=250, seed=7, dialect=getattr(request, "param", "documented")) as simulator:
        yield simulator


@pytest.fixture
async def plugchat(sim: PlugChatSimulator, fake_time: FakeTime) -> AsyncIterator[PlugChatSession]:
    """A session that knows its server, so that it asks for nothing but the pages."""
    async with PlugChatSession(
        sim.token, base_url=sim.base_url, clock=fake_time.clock, server_traits=KNOWN_SERVER
    ) as session:
        yield session
