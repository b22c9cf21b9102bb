"""What tests with other programs share: each chat has one row, so that a quiet list comes in its order."""

from collections.abc import AsyncIterator

import pytest

from plugchat_async.testing import PlugChatSimulator


@pytest.fixture
async def sim() -> AsyncIterator[PlugChatSimulator]:
    """A simulator of the vendor's page."""
    async with PlugChatSimulator(chats=250, seed=7, dialect="documented") as simulator:
        yield simulator
