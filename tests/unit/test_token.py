"""Tokens: their check, and functions that return the newest one."""

import asyncio
import logging
import pickle
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from plugchat_async import (
    Account,
    AuthenticationError,
    Chat,
    Clock,
    ConfigurationError,
    InvalidTypeError,
    PlugChatError,
    PlugChatSession,
    RetryPolicy,
    TokenError,
    fetch_many,
)
from plugchat_async._http.secret import Secret
from plugchat_async._http.token import token_problem
from plugchat_async.testing import Fault, PlugChatSimulator, Quirks
from support.fakes import FakeTime

OLD, NEW = "0ld-t0ken-of-last-week", "n3w-t0ken-of-this-week"


class Vault:
    """Keeps a token, and counts how often it is asked for it."""

    def __init__(self, *tokens: str) -> None:
        self.tokens = list(tokens)
        self.asked = 0

    def __call__(self) -> str:
        self.asked += 1
        return self.tokens.pop(0) if len(self.tokens) > 1 else self.tokens[0]

    async def slowly(self) -> str:
        await asyncio.sleep(0)
        return self()


@pytest.fixture
async def rotating() -> Any:
    """A simulator of one account, of 25 chats, that takes two tokens."""
    async with PlugChatSimulator(25, token=NEW) as sim:
        sim.add_account(OLD, 25, seed=0)
        yield sim


def sent(sim: PlugChatSimulator) -> list[str]:
    return [request.headers["authorization"] for request in sim.requests]


@pytest.mark.parametrize("way", ["plain", "async"])
async def test_each_request_carries_the_newest_token(rotating: PlugChatSimulator, way: str) -> None:
    """The function is asked before each request, and a walk goes on with what it gives."""
    vault = Vault(OLD, OLD, NEW)
    function = vault if way == "plain" else vault.slowly
    async with PlugChatSession(function, base_url=rotating.base_url) as session:
        assert vault.asked == 0
        assert len(await session.list_chats(10, consistency="plain")) == 25
    assert sent(rotating) == [OLD, OLD, NEW]
    assert vault.asked == 3


async def test_a_refused_token_is_replaced_by_a_newer_one(fake_time: FakeTime) -> None:
    """It may have changed on the way: the page is asked for again at once, and it costs no attempt."""
    async with PlugChatSimulator(7, token=NEW) as sim:
        policy = RetryPolicy(attempts=1)
        options: dict[str, Any] = {"base_url": sim.base_url, "retry": policy, "clock": fake_time.clock}
        async with PlugChatSession(Vault(OLD, NEW), **options) as session:
            assert len(await session.list_chats(10)) == 7
    # The last one checks the first short page of the server.
    assert sent(sim) == [OLD, NEW, NEW]
    assert fake_time.sleeps == []


@pytest.mark.parametrize(("tokens", "requests"), [([OLD], 1), ([OLD, "0ther", "an0ther", "last"], 2)])
async def test_a_page_is_tried_with_one_newer_token(tokens: list[str], requests: int) -> None:
    """If there is none, or it is refused, too, that is an AuthenticationError."""
    async with (
        PlugChatSimulator(7, token=NEW) as sim,
        PlugChatSession(Vault(*tokens), base_url=sim.base_url) as session,
    ):
        with pytest.raises(AuthenticationError) as caught:
            await session.fetch_page(1, 10)
    assert len(sim.requests) == len(caught.value.attempts) == requests
    assert caught.value.status == 401


async def test_a_token_that_does_not_change_is_not_tried_again() -> None:
    """401 to a str is one request."""
    async with PlugChatSimulator(7, token=NEW) as sim, PlugChatSession(OLD, base_url=sim.base_url) as session:
        with pytest.raises(AuthenticationError):
            await session.fetch_page(1, 10)
        assert len(sim.requests) == 1


def failing() -> str:
    raise KeyError(NEW)


async def failing_later() -> str:
    await asyncio.sleep(0)
    raise TimeoutError(NEW)


async def hanging() -> str:
    await asyncio.sleep(3600)
    return NEW


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (failing, "failed: KeyError in test_token.py, line "),
        (failing_later, "failed: TimeoutError in test_token.py, line "),
        (hanging, "took longer than 0.02 s"),
        (lambda: None, "returned an invalid token: token must be a str, got NoneType"),
        (lambda: f" {NEW}", "returned an invalid token: token contains spaces"),
        (lambda: f"Bearer {NEW}", "returned an invalid token: token begins with 'Bearer'"),
        (lambda _: NEW, "failed: TypeError in test_token.py, line "),
    ],
)
async def test_a_function_that_gives_no_token(
    rotating: PlugChatSimulator, function: Callable[..., Any], said: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A TokenError says why, and nothing that was given; nothing is sent, and the session goes on afterwards."""
    now = function

    def ask() -> Any:
        return now()

    caplog.set_level(logging.DEBUG, "plugchat_async")
    async with PlugChatSession(ask, base_url=rotating.base_url, timeout=0.02) as session:
        with pytest.raises(TokenError, match="the token callable") as caught:
            await session.list_chats(10)
        error = caught.value
        assert said in str(error)
        assert (error.page, error.page_size, error.attempts) == (1, 10, ())
        assert error.__cause__ is error.__context__ is None
        for text in (str(error), repr(error), str(pickle.loads(pickle.dumps(error))), caplog.text):
            assert NEW not in text
        assert rotating.requests == []
        now = Vault(NEW)
        assert len((await session.fetch_page(1, 25)).chats) == 25
    assert isinstance(error, ConfigurationError)


async def test_a_function_that_fails_ends_a_walk_where_it_can_go_on(rotating: PlugChatSimulator) -> None:
    """The error has a checkpoint, as others have."""
    tokens: Iterator[str] = iter([OLD])
    chats: list[Chat] = []
    async with PlugChatSession(lambda: next(tokens), base_url=rotating.base_url) as session:
        with pytest.raises(TokenError, match="StopIteration") as caught:
            async for chat in session.iter_chats(10):
                chats.append(chat)
        tokens = iter([NEW] * 9)
        assert caught.value.page == 2
        rest = [chat async for chat in session.iter_chats(10, resume=caught.value.checkpoint)]
    assert len(chats + rest) == 25
    assert {*chats, *rest} == set(rotating.chats)


async def test_the_function_is_asked_when_the_wait_is_over(rotating: PlugChatSimulator, fake_time: FakeTime) -> None:
    """A retry carries the token of its own time."""
    rotating.script(Fault.status(503), Fault.reset())
    options: dict[str, Any] = {"base_url": rotating.base_url, "clock": fake_time.clock}
    async with PlugChatSession(Vault(OLD, NEW), **options) as session:
        await session.fetch_page(1, 10)
    assert sent(rotating) == [OLD, NEW, NEW]


async def test_a_server_may_speak_of_the_former_token() -> None:
    """It is as secret as its successor."""
    async with (
        PlugChatSimulator(7, token=NEW) as sim,
        PlugChatSession(Vault(OLD, NEW), base_url=sim.base_url) as session,
    ):
        sim.script(Fault.none(), Fault.status(400, body=f"{OLD} has become {NEW}"))
        with pytest.raises(PlugChatError, match="has become") as caught:
            await session.fetch_page(1, 10)
    assert "'*** has become ***'" in str(caught.value)
    assert OLD not in repr(caught.value)


async def test_cancelling_while_the_function_is_asked(rotating: PlugChatSimulator) -> None:
    """The slot is free again, and a request that is made then works."""
    asked = asyncio.Event()
    answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def ask() -> str:
        asked.set()
        return await answer

    async with PlugChatSession(ask, base_url=rotating.base_url, max_concurrency=1) as session:
        task = asyncio.create_task(session.fetch_page(1, 10))
        await asked.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        answer = asyncio.get_running_loop().create_future()
        answer.set_result(NEW)
        assert (await session.fetch_page(1, 10)).number == 1


async def test_who_asks_at_the_same_time_is_not_cancelled_with_another(rotating: PlugChatSimulator) -> None:
    """A function may give all of them the same future: it is not cancelled with the first who does not want to wait."""
    refreshing: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    async with PlugChatSession(lambda: refreshing, base_url=rotating.base_url) as session:
        impatient, patient = (asyncio.create_task(session.fetch_page(1, size)) for size in (10, 20))
        await asyncio.sleep(0)
        impatient.cancel()
        with pytest.raises(asyncio.CancelledError):
            await impatient
        refreshing.set_result(NEW)
        assert len((await patient).chats) == 20


async def test_a_function_that_somebody_else_cancels(rotating: PlugChatSimulator) -> None:
    """That is no cancellation of who waits for it; of many accounts it is one's failure, and no other's."""
    gone: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    gone.cancel()
    accounts = [Account("gone", lambda: gone, rotating.base_url), Account("good", NEW, rotating.base_url)]
    results = {result.account.name: result async for result in fetch_many(accounts, page_size=10)}
    assert len(results["good"].chats) == 25
    with pytest.raises(TokenError, match="was cancelled by other code"):
        raise results["gone"].error or AssertionError


async def test_a_slow_function_lets_no_request_past_a_rate(rotating: PlugChatSimulator) -> None:
    """What waits for a token waits for its turn afterwards."""
    began = asyncio.get_running_loop().time()

    async def slowly() -> str:
        await asyncio.sleep(max(0.0, began + 0.1 - asyncio.get_running_loop().time()))
        return NEW

    async with PlugChatSession(slowly, base_url=rotating.base_url, requests_per_second=50) as session:
        await asyncio.gather(*(session.fetch_page(1, size) for size in range(1, 9)))
    # From when the token is there: seven intervals, but for the hundredth of a second that may go at once.
    assert asyncio.get_running_loop().time() - began >= 0.1 + 7 / 50 - 0.04


async def test_a_slow_function_lets_no_request_past_a_429(rotating: PlugChatSimulator, fake_time: FakeTime) -> None:
    """What another request was told meanwhile holds for this one, too."""
    asked, answer = asyncio.Event(), asyncio.Event()
    first = True

    async def slowly() -> str:
        nonlocal first
        if not first:
            asked.set()
            await answer.wait()
        first = False
        return NEW

    rotating.script(Fault.status(429, headers={"Retry-After": "5"}))
    times: list[tuple[int, float]] = []
    async with PlugChatSession(slowly, base_url=rotating.base_url, clock=fake_time.clock) as session:
        pages = [asyncio.create_task(session.fetch_page(number, 10)) for number in (1, 2)]
        for page in pages:
            page.add_done_callback(lambda page: times.append((page.result().number, fake_time.now)))
        await asked.wait()
        while not fake_time.sleeps:
            await asyncio.sleep(0)
        answer.set()
        await asyncio.gather(*pages)
    assert sorted(times) == [(1, 5.0), (2, 5.0)]
    assert len(rotating.requests) == 3


async def test_a_renewed_token_is_the_one_that_is_sent() -> None:
    """The function is asked once after the refusal; of both tokens none is shown, though each one is new."""
    vault = Vault(*(f"t0ken-number-{number}" for number in range(9)))
    async with (
        PlugChatSimulator(7, token=NEW) as sim,
        PlugChatSession(vault, base_url=sim.base_url) as session,
    ):
        sim.script(*[Fault.status(401, body=f"neither {vault.tokens[0]} nor {vault.tokens[1]}")] * 2)
        with pytest.raises(AuthenticationError, match=r"neither \*\*\* nor \*\*\*") as caught:
            await session.fetch_page(1, 10)
    assert vault.asked == 2
    assert sent(sim) == ["t0ken-number-0", "t0ken-number-1"]
    assert "t0ken" not in repr(caught.value)


async def test_tokens_of_several_changes_are_not_shown() -> None:
    """The last few."""
    vault = Vault("first-t0ken", "second-t0ken", "third-t0ken", "fourth-t0ken")
    async with (
        PlugChatSimulator(7, token=NEW) as sim,
        PlugChatSession(vault, base_url=sim.base_url) as session,
    ):
        sim.script(*[Fault.answer("[]")] * 3, Fault.status(400, body=" ".join(vault.tokens)))
        for number in (1, 2, 3):
            await session.fetch_page(number, 10)
        with pytest.raises(PlugChatError, match=r"'\*\*\* \*\*\* \*\*\* \*\*\*'"):
            await session.fetch_page(4, 10)


async def test_a_renewal_that_fails_leaves_the_refusal(fake_time: FakeTime) -> None:
    """The error is what the server said, with what became of the newer token."""
    tokens = iter([OLD])
    async with (
        PlugChatSimulator(7, token=NEW) as sim,
        PlugChatSession(lambda: next(tokens), base_url=sim.base_url) as session,
    ):
        with pytest.raises(
            AuthenticationError, match="there is no newer token: the token callable failed: StopIteration"
        ):
            await session.fetch_page(1, 10)


async def test_nothing_is_renewed_past_the_deadline(fake_time: FakeTime) -> None:
    """The page has had its time: the refusal is the error."""
    vault = Vault(OLD, NEW)
    ticks = iter([0.0] * 6 + [99.0] * 99)
    source = Clock(monotonic=lambda: next(ticks))
    async with (
        PlugChatSimulator(7, token=NEW) as sim,
        PlugChatSession(vault, base_url=sim.base_url, clock=source) as session,
    ):
        with pytest.raises(AuthenticationError):
            await session.fetch_page(1, 10)
    assert vault.asked == 1


async def test_a_failing_function_is_no_empty_page() -> None:
    """A walk that looks far ahead, and has no token for that, does not take it for the end of the list."""
    asked = 0

    def thrice() -> str:
        nonlocal asked
        asked += 1
        if asked == 3:
            raise KeyError
        return NEW

    async with (
        PlugChatSimulator(20, token=NEW, quirks=Quirks(ignore_page=True)) as sim,
        PlugChatSession(thrice, base_url=sim.base_url) as session,
    ):
        with pytest.raises(TokenError):
            await session.list_chats(10)


async def test_a_text_of_ones_own_class_is_sent_as_the_text_that_it_is(rotating: PlugChatSimulator) -> None:
    """What a class makes of `str` or `lower` changes nothing, be it given or given by a function."""

    class Shy(str):
        __slots__ = ()

        def __str__(self) -> str:
            return "***"

        def lower(self) -> str:
            raise KeyError(self)

    for token in (Shy(NEW), lambda: Shy(NEW)):
        async with PlugChatSession(token, base_url=rotating.base_url) as session:
            await session.fetch_page(1, 10)
    assert sent(rotating) == [NEW, NEW]


async def test_accounts_may_have_functions(rotating: PlugChatSimulator) -> None:
    """Of many accounts each may have a function; one that fails is that account's failure alone."""
    accounts = [
        Account("good", Vault(OLD, NEW), rotating.base_url),
        Account("bad", failing, rotating.base_url),
    ]
    results = {result.account.name: result async for result in fetch_many(accounts, page_size=10)}
    assert len(results["good"].chats) == 25
    error = results["bad"].error
    assert isinstance(error, TokenError)
    assert error.account == "bad"
    assert "Vault" not in repr(accounts[0])


def test_other_things_are_no_tokens() -> None:
    """The error says what may be given."""
    wrong: Any = b"bytes"
    with pytest.raises(InvalidTypeError, match="token must be a str, or a function that returns one, got bytes"):
        PlugChatSession(wrong)


def test_two_secrets_are_taken_out() -> None:
    """However each of them is spelled."""
    secret = Secret(NEW, (OLD,))
    assert secret.redact(f"{NEW.upper()} and {OLD}!") == "*** and ***!"
    assert secret.redact(f"{NEW.upper()} and {OLD.replace('-', '%2D')}!") == "[redacted]"
    assert repr(secret) == "***"


EMPTY = "token is empty. Copy the token from the Plug Chat panel."
BEARER = "token begins with 'Bearer'. Plug Chat takes the raw token: pass it without 'Bearer'."
BLANKS = (
    "token contains spaces, control characters or non-ASCII characters. "
    "Copy the token again: without spaces around it, accents or letters of other alphabets."
)


@pytest.mark.parametrize(
    ("token", "message"),
    [
        ("", EMPTY),
        (" s3cret", BLANKS),
        ("s3cret ", BLANKS),
        ("s3 cret", BLANKS),
        ("s3cret\r\n", BLANKS),
        ("s3cret\0", BLANKS),
        ("s3crét", BLANKS),
        ("Bearer s3cret", BEARER),
        ("bEARER s3cret", BEARER),
        (b"s3cret", "token must be a str, got bytes. Correct the argument."),
        (None, "token must be a str, got NoneType. Correct the argument."),
    ],
)
def test_bad_tokens_are_refused_without_being_shown(token: object, message: str) -> None:
    """The error says what is wrong and what to do, not what was given."""
    assert str(token_problem(token)) == message


def test_a_good_token_has_no_problem_and_prints_as_stars() -> None:
    """Whatever prints a Secret prints three stars."""
    token = Secret("1nEFbU3EktLnV7LIIzX")
    assert token_problem("1nEFbU3EktLnV7LIIzX") is None
    assert repr(token) == str(token) == f"{token}" == "***"
