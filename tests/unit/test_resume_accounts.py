"""A checkpoint is resumed with the account that it is of, and with no other one."""

import itertools
import pickle
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from plugchat_async import (
    Account,
    AccountResult,
    AuthenticationError,
    Chat,
    InvalidTypeError,
    InvalidValueError,
    PlugChatError,
    PlugChatSession,
    RetryPolicy,
    ServerError,
    fetch_many,
)
from plugchat_async._pagination.checkpoint import unpack
from plugchat_async.testing import Fault, PlugChatSimulator
from support.fakes import FakeTime
from support.packed import packed_walk

PATH = "/api/whatsapp/chats"


@pytest.fixture
async def sim() -> AsyncIterator[PlugChatSimulator]:
    """A simulator of the vendor's page: each chat has one row."""
    async with PlugChatSimulator(chats=250, seed=7, dialect="documented") as simulator:
        yield simulator


@pytest.fixture
async def other(sim: PlugChatSimulator) -> str:
    """The token of another account."""
    sim.add_account("another-token", 300, seed=8)
    return "another-token"


def session_of(sim: PlugChatSimulator, token: Any, fake_time: FakeTime | None = None) -> PlugChatSession:
    return PlugChatSession(token, base_url=sim.base_url, clock=(fake_time or FakeTime()).clock)


async def read(session: PlugChatSession, chats: int, **options: Any) -> tuple[list[Chat], str]:
    """Read some chats of a walk. Return them, and the checkpoint."""
    found: list[Chat] = []
    async with session.walk_chats(50, **options) as walk:
        async for chat in walk:
            found.append(chat)
            if len(found) == chats:
                break
        return found, walk.checkpoint


def function_of(token: str) -> Callable[[], str]:
    return lambda: token


def async_function_of(token: str) -> Callable[[], Awaitable[str]]:
    async def returned() -> str:
        return token

    return returned


KINDS = pytest.mark.parametrize("kind", [str, function_of, async_function_of])


@KINDS
@pytest.mark.parametrize("chats", [100, 120])  # at the end of a page, and in the middle of one
async def test_another_accounts_is_refused(sim: PlugChatSimulator, other: str, kind: Any, chats: int) -> None:
    """Before anything of it is yielded: not the rest of a page, and not as the chats of this account."""
    async with session_of(sim, kind(sim.token)) as ours, session_of(sim, kind(other)) as theirs:
        found, checkpoint = await read(ours, chats)
        before = len(sim.requests)
        with pytest.raises(InvalidValueError, match="checkpoint belongs to another account") as caught:
            async for chat in theirs.iter_chats(resume=checkpoint):
                raise AssertionError(chat)
        assert "`account`" in caught.value.hint
        assert caught.value.checkpoint is None
        assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
        assert len(sim.requests) - before == (0 if kind is str else 1)
        rest = await ours.list_chats(resume=checkpoint)
    async with session_of(sim, kind(sim.token)) as later:
        assert await later.list_chats(resume=checkpoint) == rest
    assert {chat.id for chat in found + rest} == {chat.id for chat in sim.chats}
    assert len(found) + len(rest) == len(sim.chats)


async def test_another_servers_is_refused(sim: PlugChatSimulator) -> None:
    """The same token there is of another account."""
    async with session_of(sim, sim.token) as ours:
        _, checkpoint = await read(ours, 100)
    async with (
        PlugChatSimulator(300, token=sim.token) as elsewhere,
        session_of(elsewhere, sim.token) as theirs,
    ):
        with pytest.raises(InvalidValueError, match="another account, or this account has a new token or base URL"):
            theirs.walk_chats(resume=checkpoint)


async def test_a_name_is_the_accounts_wherever_it_is_asked(sim: PlugChatSimulator) -> None:
    """Through another proxy or on the vendor's other host, whatever its token is there."""
    async with session_of(sim, sim.token) as session:
        found, checkpoint = await read(session, 100, account="sales")
    async with (
        PlugChatSimulator(250, seed=7, token="new-token", dialect="documented") as moved,
        session_of(moved, moved.token) as session,
    ):
        rest = await session.list_chats(account="sales", resume=checkpoint)
    assert {chat.id for chat in found + rest} == {chat.id for chat in sim.chats}


async def test_a_refused_checkpoint_of_a_function_is_still_the_others(sim: PlugChatSimulator, other: str) -> None:
    """The walk that has failed gives it back as it was, with the chats that were not yielded."""
    async with session_of(sim, sim.token) as ours, session_of(sim, lambda: other) as theirs:
        _, checkpoint = await read(ours, 120)
        walk = theirs.walk_chats(resume=checkpoint)
        assert unpack(walk.checkpoint, PATH) == unpack(checkpoint, PATH)
        assert walk.report.chats == 0
        for _ in range(2):
            with pytest.raises(InvalidValueError, match="another account"):
                await walk.next_page()
        assert unpack(walk.checkpoint, PATH) == unpack(checkpoint, PATH)
        assert len(await ours.list_chats(resume=walk.checkpoint)) == len(sim.chats) - 120


@pytest.mark.parametrize("limit", [None, 10, 30, 45])
async def test_the_rest_of_a_page_comes_when_the_token_is_known(sim: PlugChatSimulator, limit: int | None) -> None:
    """First, and with the limit and the report as if it had come at once."""
    reports: list[list[Any]] = []
    for token in (sim.token, lambda: sim.token):
        async with session_of(sim, token) as session:
            _, checkpoint = await read(session, 120)
        async with session_of(sim, token) as session:
            walk = session.walk_chats(resume=checkpoint, limit=limit)
            pages = [page.chats async for page in walk.pages()]
            reports.append([pages, walk.report.chats, walk.report.verified])
    assert reports[0] == reports[1]
    assert len(reports[0][0][0]) == min(limit or 30, 30)


async def test_a_step_that_fails_before_the_token_is_known_keeps_the_rest(
    sim: PlugChatSimulator, fake_time: FakeTime
) -> None:
    """Its error has all that the checkpoint had."""
    async with session_of(sim, sim.token) as session:
        found, checkpoint = await read(session, 120)
    async with session_of(sim, lambda: sim.token, fake_time) as session:
        sim.script(*[Fault.status(503)] * 5)
        with pytest.raises(ServerError) as caught:
            await anext(session.iter_chats(resume=checkpoint))
        assert caught.value.checkpoint is not None
        rest = await session.list_chats(resume=caught.value.checkpoint)
    assert {chat.id for chat in found + rest} == {chat.id for chat in sim.chats}


async def test_a_token_may_change_within_a_session(sim: PlugChatSimulator) -> None:
    """Such as one that is made for each request. In another session, the account needs a name, once and for all."""
    numbers = itertools.count()

    def newest() -> str:
        token = f"token-{next(numbers)}"
        sim.add_account(token, 250, seed=7)
        return token

    async with session_of(sim, newest) as session:
        checkpoint: str | None = None
        for _ in range(3):
            _, checkpoint = await read(session, 60, resume=checkpoint)
    async with session_of(sim, newest) as session:
        with pytest.raises(InvalidValueError, match="another account"):
            await read(session, 1, resume=checkpoint)
        _, checkpoint = await read(session, 40, resume=checkpoint, account="mine")
        assert checkpoint is not None
    async with session_of(sim, newest) as session:
        for wrong in (None, "theirs"):
            with pytest.raises(InvalidValueError, match="another account"):
                await read(session, 1, resume=checkpoint, account=wrong)
        assert len(await session.list_chats(resume=checkpoint, account="mine")) == 250 - 3 * 60 - 40


async def test_a_token_that_was_refused_marks_nothing(sim: PlugChatSimulator) -> None:
    """The right one may resume what the wrong one began."""
    async with session_of(sim, "wrong") as session:
        with pytest.raises(AuthenticationError) as caught:
            await anext(session.iter_chats())
    checkpoint = caught.value.checkpoint
    assert checkpoint is not None
    assert unpack(checkpoint, PATH).account is None
    async with session_of(sim, sim.token) as session:
        assert len(await session.list_chats(resume=checkpoint)) == len(sim.chats)


async def test_checkpoints_without_a_mark_are_of_any_account(sim: PlugChatSimulator) -> None:
    """As older versions wrote them. What comes after has a mark, without the token."""
    async with session_of(sim, sim.token) as session:
        _, checkpoint = await read(session, 100)
        state = unpack(checkpoint, PATH)
        state.salt = state.account = None
        found, checkpoint = await read(session, 100, resume=packed_walk(state))
    assert len(found) == 100
    state = unpack(checkpoint, PATH)
    assert str(state.account).startswith("token:")
    assert sim.token not in repr(state)


@pytest.mark.parametrize("account", [None, "token:x"])
async def test_a_mark_that_no_walk_has_set_is_refused(sim: PlugChatSimulator, account: str | None) -> None:
    """Its key is longer than the hash takes."""
    async with session_of(sim, sim.token) as session:
        _, checkpoint = await read(session, 100)
        state = unpack(checkpoint, PATH)
        state.salt, state.account = "é" * 33, account
        with pytest.raises(InvalidValueError, match="checkpoint has no valid mark of its account"):
            session.walk_chats(resume=packed_walk(state))


@pytest.mark.parametrize(
    ("first", "second", "largest"), [(None, 1000, 10), (60, 1000, 60), (1000, 60, 60), (1000, None, 10), (60, 80, 60)]
)
async def test_a_resumed_walk_requests_no_larger_pages(
    sim: PlugChatSimulator, first: int | None, second: int | None, largest: int
) -> None:
    """Than the walk that it continues, and than it may itself."""
    sim.add_account("small", 35)
    sim.traffic(bumps=1.0, seed=5)
    async with session_of(sim, "small") as session:
        async with session.walk_chats(10, max_page_size=first) as walk:
            await anext(walk)
        asked = len(sim.requests)
        await session.list_chats(resume=walk.checkpoint, max_page_size=second)
    assert max(int(request.page_size or 0) for request in sim.requests[asked:]) == largest


@pytest.mark.parametrize(("wrong", "error"), [("", InvalidValueError), (5, InvalidTypeError)])
async def test_a_name_that_is_none_is_refused(sim: PlugChatSimulator, wrong: Any, error: type[PlugChatError]) -> None:
    """At once."""
    async with session_of(sim, sim.token) as session:
        with pytest.raises(error, match="account"):
            session.walk_chats(account=wrong)


async def test_a_failed_account_of_many_is_resumed_with_its_token_alone(sim: PlugChatSimulator, other: str) -> None:
    """Its pages were streamed; the rest comes in a session."""
    failed: list[PlugChatError] = []
    for token in (sim.token, other):
        sim.script(Fault.none(), Fault.status(500), token=token)
    accounts = [Account("ours", sim.token, sim.base_url), Account("theirs", other, sim.base_url)]
    count = Counter[str]()

    def on_result(result: AccountResult) -> None:
        assert result.error is not None
        failed.append(result.error)

    retry = RetryPolicy(attempts=1)
    async for account, page in fetch_many(accounts, stream=True, on_result=on_result, page_size=50, retry=retry):
        count[account.name] += len(page.chats)
    [checkpoint] = [error.checkpoint for error in failed if error.account == "ours"]
    async with session_of(sim, other) as theirs:
        with pytest.raises(InvalidValueError, match="another account"):
            theirs.walk_chats(resume=checkpoint)
    async with session_of(sim, sim.token) as ours:
        assert count["ours"] + len(await ours.list_chats(resume=checkpoint)) == len(sim.chats)
