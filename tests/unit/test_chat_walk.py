"""ChatWalk over lists in memory: steps that are cancelled, checkpoints at any moment, and how a walk ends."""

import asyncio
import base64
import json
import zlib
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta
from itertools import count
from random import Random
from typing import Any, cast

import pytest
from attrs import define
from hypothesis import given
from hypothesis import strategies as st

from plugchat_async import (
    AccountStatus,
    Chat,
    ConsistencyError,
    InvalidValueError,
    NotConnectedError,
    OutputError,
    Page,
    PageLimitError,
    PaginationError,
    PlugChatError,
    ResponseError,
    ServerError,
    ServerTraits,
    SessionStateError,
    TokenError,
    UnexpectedStatusError,
    WalkReport,
)
from plugchat_async._http.urls import CHATS_PATH
from plugchat_async._pagination.chat_walk import LEFT, ChatWalk
from plugchat_async._pagination.options import WalkSettings
from plugchat_async._pagination.walk_state import Consistency
from support.moving import EPOCH, MovingList, PagesOf, Read, moving

KINDS: list[Consistency] = ["plain", "exact", "strict"]
NAMES = [str(name) for name in range(43)]


def served(read: Read, *, turns: int = 1) -> Callable[..., Awaitable[Page]]:
    """Answer after some turns of the event loop, each of which may be where a step is cancelled."""

    async def fetch(number: int, size: int) -> Page:
        for _ in range(turns):
            await asyncio.sleep(0)
        return read(number, size)

    return fetch


def walk_over(
    read: Read, page_size: int = 10, *, turns: int = 1, traits: ServerTraits | None = None, **options: Any
) -> ChatWalk:
    """Begin a walk over a server that is known, so that nothing is checked."""
    traits = traits or ServerTraits(longest_page=1000, short_pages="end", past_end="empty")
    return ChatWalk(PagesOf(served(read, turns=turns)), WalkSettings(page_size=page_size, **options), traits)


async def names_of(walk: ChatWalk, most: int | None = None) -> list[str]:
    """The names of the next chats."""
    names: list[str] = []
    while len(names) != most:
        try:
            names.append((await anext(walk)).id)
        except StopAsyncIteration:
            break
    return names


# Steps that are cancelled.


async def stepped(walk: ChatWalk, patience: int) -> str | None:
    """The name of the next chat: a step is cancelled after some turns of the event loop, and made again."""
    for longer in count():
        step = asyncio.ensure_future(anext(walk, None))
        for _ in range(patience + longer):
            await asyncio.sleep(0)
        if not step.done():
            step.cancel()
        await asyncio.wait((step,))
        if not step.cancelled():
            chat = step.result()
            return None if chat is None else chat.id
    raise AssertionError


@pytest.mark.parametrize("patience", [0, 1, 2, 3])
@pytest.mark.parametrize("prefetch", [0, 3])
@pytest.mark.parametrize("consistency", KINDS)
async def test_a_step_that_is_cancelled_loses_nothing(consistency: Consistency, prefetch: int, patience: int) -> None:
    """Wherever it waits: the next step continues, and the walk is as good as without."""
    walk = walk_over(MovingList(43).page, turns=3, consistency=consistency, prefetch=prefetch)
    names: list[str] = []
    while (name := await stepped(walk, patience)) is not None:
        names.append(name)
    assert names == NAMES
    assert walk.report.verified == (consistency != "plain")
    assert await anext(walk, None) is None


async def test_a_request_ahead_is_not_made_again_after_a_cancelled_step() -> None:
    """It is still in flight, and the next step takes its page."""
    asked: list[int] = []

    def read(number: int, size: int) -> Page:
        asked.append(number)
        return MovingList(43).page(number, size)

    walk = walk_over(read, turns=5, consistency="plain", prefetch=2)
    while await stepped(walk, 0) is not None:
        pass
    assert sorted(asked) == [1, 2, 3, 4, 5, 6]


async def test_a_page_that_is_cancelled_is_the_next_one() -> None:
    """For pages as for chats; the iterator is not over."""
    walk = walk_over(MovingList(43).page, turns=5)
    pages = walk.pages()
    numbers: list[int] = []
    while len(numbers) < 5:
        step = asyncio.ensure_future(anext(pages))
        for _ in range(1 + 3 * len(numbers) % 10):
            await asyncio.sleep(0)
        step.cancel()
        await asyncio.wait((step,))
        if not step.cancelled():
            numbers.append(step.result().number)
        else:
            numbers.append((await anext(pages)).number)
    assert numbers == [1, 2, 3, 4, 5]
    with pytest.raises(StopAsyncIteration):
        await anext(pages)


# Checkpoints.


@pytest.mark.parametrize("prefetch", [0, 3])
@pytest.mark.parametrize("consistency", KINDS)
async def test_a_checkpoint_is_right_at_any_moment(consistency: Consistency, prefetch: int) -> None:
    """After each chat, before the first one and after the last: the other walk yields the rest, and nothing twice."""
    for taken in range(44):
        walk = walk_over(MovingList(43).page, consistency=consistency, prefetch=prefetch)
        before = await names_of(walk, taken)
        checkpoint = walk.checkpoint
        await walk.aclose()
        assert walk.checkpoint == checkpoint
        resumed = walk_over(MovingList(43).page, resume=checkpoint, prefetch=prefetch)
        assert before + await names_of(resumed) == NAMES
        assert resumed.report.verified == (consistency != "plain")
        assert resumed.report.chats == 43 - taken


@pytest.mark.slow
@given(
    consistency=st.sampled_from(["exact", "strict"]),
    taken=st.integers(0, 60),
    chats=st.integers(0, 60),
    size=st.integers(4, 12),
    prefetch=st.integers(0, 4),
    seed=st.integers(0, 1000),
)
def test_a_checkpoint_of_a_list_that_moves(
    consistency: Consistency, taken: int, chats: int, size: int, prefetch: int, seed: int
) -> None:
    """Taken in the middle of a page, after which much happens: what is verified is so for both walks together."""
    chance = Random(seed)
    kinds = ("bump", "insert") if consistency == "exact" else ("bump", "insert", "delete")
    listed = MovingList(chats)

    def read(number: int, size: int) -> Page:
        for _ in range(chance.randrange(3)):
            listed.happen((chance.choice(kinds), chance.randrange(100)))
        return listed.page(number, size)

    async def walks() -> None:
        first = walk_over(read, size, consistency=consistency, prefetch=prefetch)
        got = await names_of(first, taken)
        await first.aclose()
        second = walk_over(read, size, resume=first.checkpoint, prefetch=prefetch)
        got += await names_of(second)
        assert len(got) == len(set(got))
        if second.report.verified:
            assert listed.there <= set(got)

    asyncio.run(walks())


async def test_a_checkpoint_of_a_capped_list_with_pages_ahead() -> None:
    """After the short first page, when nothing shows yet that it is a full one."""
    listed = MovingList(120)

    def capped(number: int, size: int) -> Page:
        return Page(number, size, listed.page(number, min(size, 50)).chats, b"")

    for prefetch in (0, 2):
        for taken in (49, 50, 51):
            traits = ServerTraits()
            walk = walk_over(capped, 100, prefetch=prefetch, traits=traits)
            before = await names_of(walk, taken)
            resumed = walk_over(capped, 100, resume=walk.checkpoint, prefetch=prefetch, traits=traits)
            assert before + await names_of(resumed) == [str(name) for name in range(120)]
            assert resumed.report.verified
            await walk.aclose()


async def test_a_checkpoint_in_a_step_that_waits() -> None:
    """It can be taken while another task waits for the next page."""
    walk = walk_over(MovingList(43).page, turns=10)
    before = await names_of(walk, 10)
    step = asyncio.ensure_future(anext(walk))
    await asyncio.sleep(0)
    checkpoint = walk.checkpoint
    assert before + await names_of(walk_over(MovingList(43).page, resume=checkpoint)) == NAMES
    assert (await step).id == "10"


async def test_a_limit_leaves_the_rest_to_the_checkpoint() -> None:
    """Of the page that it cuts, too; pages are cut as chats are."""
    walk = walk_over(MovingList(43).page, limit=25)
    assert await names_of(walk) == NAMES[:25]
    assert (walk.report.chats, walk.report.reason, walk.report.verified) == (25, LEFT, False)
    paged = walk_over(MovingList(43).page, limit=25)
    assert [len(page.chats) async for page in paged.pages()] == [10, 10, 5]
    for checkpoint in (walk.checkpoint, paged.checkpoint):
        resumed = walk_over(MovingList(43).page, resume=checkpoint, limit=10)
        assert await names_of(resumed) == NAMES[25:35]
        assert await names_of(walk_over(MovingList(43).page, resume=resumed.checkpoint)) == NAMES[35:]


async def test_chats_that_were_read_are_not_requested_again() -> None:
    """They are in the checkpoint, with all their fields."""
    asked: list[int] = []
    listed = [Chat(f"55{name}", f"name {name}", unread=name, lid=f"{name}@lid") for name in range(19)]

    def read(number: int, size: int) -> Page:
        asked.append(number)
        return Page(number, size, tuple(listed[(number - 1) * size : number * size]), b"")

    walk = walk_over(read)
    await names_of(walk, 3)
    resumed = walk_over(read, resume=walk.checkpoint)
    assert [await anext(resumed) for _ in range(7)] == listed[3:10]
    assert asked == [1]
    assert [chat async for chat in resumed] == listed[10:]
    assert asked == [1, 2]


def test_rows_that_are_not_chats_are_no_checkpoint() -> None:
    """As anything else that was changed by hand."""
    walk = walk_over(MovingList(1).page)
    text = zlib.decompress(base64.urlsafe_b64decode(walk.checkpoint)).decode()
    value = json.loads(text)
    value["value"]["pending"] = [{"phone": 5}]
    changed = base64.urlsafe_b64encode(zlib.compress(json.dumps(value).encode())).decode()
    with pytest.raises(InvalidValueError, match="resume is not a checkpoint"):
        walk_over(MovingList(1).page, resume=changed)


# An empty list.


@define
class Asked(PagesOf):
    """Pages whose status is counted, or can't be had."""

    error: PlugChatError | None = None
    status_requests: int = 0

    async def fetch_status(self) -> AccountStatus:
        self.status_requests += 1
        if self.error is not None:
            raise self.error
        return AccountStatus(bool(self.connected), error=None if self.connected else "You are not connected.")


def empty(*, connected: bool | None = None, error: PlugChatError | None = None) -> Asked:
    return Asked(served(MovingList(0).page), connected=connected, error=error)


def over(pages: PagesOf, **options: Any) -> ChatWalk:
    return ChatWalk(pages, WalkSettings(page_size=10, **options), ServerTraits())


@pytest.mark.parametrize("consistency", KINDS)
async def test_an_empty_account_of_a_connected_phone(consistency: Consistency) -> None:
    """The list is asked for twice, the status once; the report names what it is."""
    pages = empty(connected=True)
    walk = over(pages, consistency=consistency)
    assert await names_of(walk) == []
    assert pages.status_requests == 1
    report = walk.report
    assert (report.chats, report.reason, report.verified) == (0, "the list is empty", consistency != "plain")


@pytest.mark.parametrize("consistency", KINDS)
async def test_a_phone_that_is_not_connected_is_an_error_with_a_checkpoint(consistency: Consistency) -> None:
    """It has the gateway's words, and the walk can be resumed when the phone is connected again."""
    walk = over(empty(connected=False), consistency=consistency)
    with pytest.raises(NotConnectedError, match="not connected to WhatsApp: You are not connected") as caught:
        await anext(walk)
    assert walk.report.reason == "the walk failed: NotConnectedError"
    assert await names_of(walk_over(MovingList(43).page, resume=caught.value.checkpoint)) == NAMES


@pytest.mark.parametrize("error", [ServerError("down"), ResponseError("no status"), UnexpectedStatusError("HTTP 404")])
async def test_a_status_that_can_not_be_had_proves_nothing(error: PlugChatError) -> None:
    """Some gateways have none: the list is taken for empty, but that is not verified."""
    walk = over(empty(error=error))
    assert await names_of(walk) == []
    assert (walk.report.reason, walk.report.verified) == ("the list is empty", False)
    with pytest.raises(ConsistencyError, match="the walk is not verified: the list is empty"):
        await over(empty(error=error), require_verified=True).to_list()


@pytest.mark.parametrize("error", [SessionStateError("closed", "Open it."), TokenError("no token")])
async def test_errors_of_our_own_end_a_check(error: PlugChatError) -> None:
    """A session that is closed, or a token that can't be had, says nothing about the list."""
    with pytest.raises(type(error)):
        await over(empty(error=error)).to_list()

    async def read(number: int, size: int) -> Page:
        if number == 2:
            raise error
        return MovingList(5).page(number, size)

    walk = over(PagesOf(read))
    with pytest.raises(type(error)) as caught:
        async for _ in walk:
            pass
    assert caught.value.checkpoint == walk.checkpoint


@pytest.mark.parametrize("status", [400, 404, 410, 416, 422, 418])
async def test_what_fails_in_a_check_is_tolerated(status: int) -> None:
    """A page that does not exist is past the end; any other error leaves the end unproven."""

    async def read(number: int, size: int) -> Page:
        if number == 2:
            raise UnexpectedStatusError(f"HTTP {status}", status=status)
        return MovingList(1).page(number, size)

    walk = over(PagesOf(read))
    assert await names_of(walk) == ["0"]
    assert walk.report.verified == (status != 418)


# The largest page.


@pytest.mark.parametrize(
    ("options", "sizes"),
    [
        ({}, {10, 1000}),
        ({"max_page_size": 30}, {10, 30}),
        ({"max_page_size": 5}, {10}),
        ({"max_page_size": None}, {10, 9}),
        ({"limit": 20}, {10}),
        ({"limit": 1000}, {10, 1000}),
    ],
)
async def test_no_larger_page_is_requested_than_max_page_size(options: dict[str, Any], sizes: set[int]) -> None:
    """Nor than the limit: no chat beyond it is requested. A size below page_size means page_size."""
    asked: set[int] = set()
    listed = MovingList(25)

    def read(number: int, size: int) -> Page:
        asked.add(size)
        if len(asked) == 1 and number == 2:
            listed.happen(("bump", 22))
        return listed.page(number, size)

    walk = walk_over(read, **options)
    names = await names_of(walk)
    assert len(names) == min(25, options.get("limit") or 25)
    assert asked <= sizes
    assert max(asked) == max(sizes)


async def test_strict_begins_with_the_largest_page() -> None:
    """And with page_size where no larger one may be requested."""
    every: list[tuple[dict[str, Any], int]] = [
        ({}, 1000),
        ({"max_page_size": 30}, 30),
        ({"max_page_size": None}, 10),
        ({"limit": 5}, 10),
    ]
    for options, first in every:
        asked: list[int] = []

        def read(number: int, size: int, asked: list[int] = asked) -> Page:
            asked.append(size)
            return MovingList(25).page(number, size)

        assert len(await names_of(walk_over(read, consistency="strict", **options))) == options.get("limit", 25)
        assert asked[0] == first


async def test_a_capped_server_is_asked_for_its_cap_from_the_start() -> None:
    """It is known; a walk that begins in the middle, or is resumed, counts pages as it did."""
    asked: list[tuple[int, int]] = []

    def read(number: int, size: int) -> Page:
        asked.append((number, size))
        return MovingList(43).page(number, size)

    traits = ServerTraits(max_page_size=4, longest_page=4, short_pages="end")
    await names_of(walk_over(read, traits=traits))
    assert asked[0] == (1, 4)
    asked.clear()
    await names_of(walk_over(read, traits=traits, consistency="plain", start_page=2))
    assert asked[0] == (2, 10)


# A checkpoint between two pages.


async def test_a_checkpoint_while_pages_follow_each_other_without_a_request() -> None:
    """The last page of a pass has a chat, and confirms a second row of another one: the checkpoint has both."""

    def row(phone: str, time: int) -> Chat:
        return Chat(phone, last_message_time=EPOCH + timedelta(seconds=time))

    other = row("1", 5)
    rows = [row("1", 9), row("2", 8), other, row("3", 4), row("4", 1)]
    answers = 0

    def read(number: int, size: int) -> Page:
        nonlocal answers
        answers += 1
        if answers == 4:
            rows[-1] = row("5", 1)
        return Page(number, size, tuple(rows[(number - 1) * size : number * size]), b"")

    walk = walk_over(read, 2, max_page_size=None)
    chats = [await anext(walk) for _ in range(5)]
    assert [chat.phone for chat in chats] == ["1", "2", "3", "4", "5"]
    resumed = walk_over(read, 2, max_page_size=None, resume=walk.checkpoint)
    assert await resumed.to_list() == [other]
    assert await walk.to_list() == [other]


# Pages and chats.


async def test_pages_and_chats_continue_each_other() -> None:
    """The rest of a page is a page, and nothing comes twice."""
    walk = walk_over(MovingList(43).page)
    names = await names_of(walk, 13)
    page = await anext(walk.pages())
    assert (page.number, [chat.id for chat in page.chats]) == (2, NAMES[13:20])
    names += NAMES[13:20]
    names += await names_of(walk, 5)
    rest = await walk.to_list()
    assert names + [chat.id for chat in rest] == NAMES
    assert walk.report.verified


async def test_all_chats_as_a_list() -> None:
    """What is left of them, also if nothing is; the walk is over then."""
    walk = walk_over(MovingList(43).page)
    assert [chat.id for chat in await walk.to_list()] == NAMES
    assert repr(walk) == f"<ChatWalk {CHATS_PATH} closed>"
    read = walk_over(MovingList(43).page)
    assert await names_of(read) == NAMES
    assert [chat async for chat in read] == await read.to_list() == []


@pytest.mark.parametrize("close", ["to_list", "aclose", "with", "cancelled"])
async def test_a_closed_walk_is_not_taken_for_an_empty_list(close: str) -> None:
    """A second list, loop or file of it would be empty, and a file would replace the first one."""
    walk = walk_over(MovingList(43).page, turns=20)
    match close:
        case "to_list":
            await walk.to_list()
        case "aclose":
            assert await names_of(walk, 5) == NAMES[:5]
            await walk.aclose()
        case "with":
            async with walk:
                assert await names_of(walk, 5) == NAMES[:5]
        case _:
            reading = asyncio.create_task(walk.to_list())
            await asyncio.sleep(0)
            reading.cancel()
            await asyncio.wait([reading])
    for again in (lambda: aiter(walk), walk.pages, lambda: asyncio.ensure_future(walk.to_list())):
        with pytest.raises(SessionStateError, match="this walk was closed") as caught:
            await cast("Any", again)()
        assert "resume=walk.checkpoint" in caught.value.hint
    rest = await walk_over(MovingList(43).page, resume=walk.checkpoint).to_list()
    assert len(rest) == {"to_list": 0, "cancelled": 43}.get(close, 38)


async def test_a_walk_that_has_failed_and_was_closed_raises_its_error() -> None:
    """Again, not that it was closed."""
    walk = walk_over(failing_from(3))
    for _ in range(2):
        with pytest.raises(ServerError):
            await walk.to_list()


# How it ends.


@pytest.mark.parametrize("prefetch", [0, 3])
async def test_leaving_a_walk_ends_it(prefetch: int) -> None:
    """Requests ahead are cancelled, it is reported once, and there is nothing more."""
    reports: list[WalkReport] = []
    walk = walk_over(MovingList(43).page, turns=20, prefetch=prefetch, on_report=reports.append)
    assert repr(walk) == f"<ChatWalk {CHATS_PATH} new>"
    async with walk:
        async for chat in walk:
            assert chat.id == "0"
            break
        assert repr(walk) == f"<ChatWalk {CHATS_PATH} open>"
    assert len(asyncio.all_tasks()) == 1
    await walk.aclose()
    assert await anext(walk, None) is None
    assert reports == [walk.report]
    assert (walk.report.reason, walk.report.chats) == (LEFT, 1)


def failing_from(request: int) -> Read:
    """A list whose server is down from a request on."""
    requests = count(1)

    def read(number: int, size: int) -> Page:
        if next(requests) >= request:
            raise ServerError("down")
        return MovingList(43).page(number, size)

    return read


async def test_after_an_error_a_walk_is_over() -> None:
    """Each further step raises the same error; it is no silent end. Its checkpoint and the error's are the same."""
    reports: list[WalkReport] = []
    walk = walk_over(failing_from(3), on_report=reports.append)
    names = await names_of(walk, 20)
    with pytest.raises(ServerError) as caught:
        await anext(walk)
    for _ in range(2):
        with pytest.raises(ServerError) as again:
            await anext(walk)
        assert again.value is caught.value
    assert [report.reason for report in reports] == ["the walk failed: ServerError"]
    assert caught.value.checkpoint == walk.checkpoint
    assert names + await names_of(walk_over(MovingList(43).page, resume=walk.checkpoint)) == NAMES


async def test_a_list_that_fails_has_no_checkpoint() -> None:
    """Its chats are lost."""
    with pytest.raises(ServerError) as caught:
        await walk_over(failing_from(3)).to_list()
    assert caught.value.checkpoint is None


async def test_too_many_pages_are_an_error_after_the_last_one() -> None:
    """The pages before it are yielded, and its checkpoint begins behind what was."""
    walk = walk_over(MovingList(43).page, max_pages=2)
    names = await names_of(walk, 15)
    resumed = walk_over(MovingList(43).page, resume=walk.checkpoint)
    assert names + await names_of(resumed) == NAMES
    assert await names_of(walk, 5) == NAMES[15:20]
    with pytest.raises(PageLimitError) as caught:
        await anext(walk)
    assert await names_of(walk_over(MovingList(43).page, resume=caught.value.checkpoint)) == NAMES[20:]


async def test_an_error_of_the_walk_itself_names_the_account() -> None:
    """Where there are many, as an error of a page does."""
    pages = PagesOf(served(MovingList(43).page), account="sales")
    with pytest.raises(PageLimitError, match="account 'sales'"):
        await ChatWalk(pages, WalkSettings(page_size=10, max_pages=2), ServerTraits()).to_list()


async def test_a_walk_that_must_be_verified_fails_at_its_end() -> None:
    """Each chat is yielded before, and it fails again if it is asked again."""
    reports: list[WalkReport] = []
    read = moving(MovingList(40), [(request, ("delete", 1)) for request in range(1, 50)])
    options: dict[str, Any] = {"require_verified": True, "on_report": reports.append}
    walk = walk_over(read, 4, consistency="strict", max_pages=50, stop_on="empty", **options)
    with pytest.raises(ConsistencyError) as caught:
        async for _ in walk:
            pass
    with pytest.raises(ConsistencyError) as again:
        await anext(walk)
    assert again.value is caught.value
    [report] = reports
    assert report == walk.report
    assert not report.verified


@pytest.mark.parametrize("callback", ["on_page", "on_report"])
async def test_a_callback_that_fails_ends_the_walk(callback: str) -> None:
    """With its error. What was not yielded is in the checkpoint."""

    def fail(_: object) -> None:
        raise ZeroDivisionError

    options: dict[str, Any] = {callback: fail}
    walk = walk_over(MovingList(5).page, **options)
    names: list[str] = []
    with pytest.raises(ZeroDivisionError):
        async for chat in walk:
            names.append(chat.id)
    with pytest.raises(ZeroDivisionError):
        await anext(walk)
    names += await names_of(walk_over(MovingList(5).page, resume=walk.checkpoint))
    assert names == NAMES[:5]


async def test_one_task_iterates_at_a_time() -> None:
    """A second one is refused, and does no harm."""
    walk = walk_over(MovingList(43).page, turns=5)
    step = asyncio.ensure_future(anext(walk))
    await asyncio.sleep(0)
    with pytest.raises(SessionStateError, match="another task is iterating this walk"):
        await anext(walk)
    assert (await step).id == "0"
    assert await names_of(walk) == NAMES[1:]


@pytest.mark.parametrize("turns", range(12))
@pytest.mark.parametrize("prefetch", [0, 1, 3])
async def test_another_task_may_close_a_walk(prefetch: int, turns: int) -> None:
    """Whenever it does: the step that waits ends the walk, and no request is in flight any more."""
    in_flight = 0

    async def fetch(number: int, size: int) -> Page:
        nonlocal in_flight
        in_flight += 1
        try:
            for _ in range(5):
                await asyncio.sleep(0)
            return MovingList(43).page(number, size)
        finally:
            in_flight -= 1

    reports: list[WalkReport] = []
    settings = WalkSettings(page_size=10, prefetch=prefetch, consistency="plain", on_report=reports.append)
    walk = ChatWalk(PagesOf(fetch), settings, ServerTraits())
    names = await names_of(walk, 10)
    step = asyncio.ensure_future(anext(walk, None))
    for _ in range(turns):
        await asyncio.sleep(0)
    await asyncio.gather(walk.aclose(), walk.aclose())
    assert in_flight == 0
    chat = await step
    names += [] if chat is None else [chat.id]
    assert await anext(walk, None) is None
    assert reports == [walk.report]
    assert walk.report.reason == LEFT
    assert names + await names_of(walk_over(MovingList(43).page, resume=walk.checkpoint)) == NAMES


async def test_a_walk_can_be_closed_within_its_own_step() -> None:
    """As by a function that gives the token: the step is the last one."""
    walks: list[ChatWalk] = []

    async def fetch(number: int, size: int) -> Page:
        if number == 2:
            await walks[0].aclose()
        return MovingList(43).page(number, size)

    walks.append(ChatWalk(PagesOf(fetch), WalkSettings(page_size=10), ServerTraits()))
    assert await names_of(walks[0]) == NAMES[:10]
    assert walks[0].report.reason == LEFT
    assert await names_of(walk_over(MovingList(43).page, resume=walks[0].checkpoint)) == NAMES[10:]


@pytest.mark.lazy
async def test_a_step_that_is_cancelled_as_its_walk_is_closed_is_cancelled() -> None:
    """The other task's wish does not take the place of its own."""
    walk = walk_over(MovingList(43).page, turns=50)
    step = asyncio.ensure_future(anext(walk, None))
    await asyncio.sleep(0)
    closing = asyncio.ensure_future(walk.aclose())
    await asyncio.sleep(0)
    step.cancel()
    await closing
    with pytest.raises(asyncio.CancelledError):
        await step


async def test_code_that_swallows_the_cancellation_of_a_closed_walk() -> None:
    """The step ends the walk all the same, its page is in the checkpoint, and its task is not cancelled."""

    async def stubborn(number: int, size: int) -> Page:
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(10)
        return MovingList(43).page(number, size)

    walk = ChatWalk(PagesOf(stubborn), WalkSettings(page_size=10), ServerTraits())

    async def step() -> int:
        assert await anext(walk, None) is None
        return cast("asyncio.Task[int]", asyncio.current_task()).cancelling()

    stepping = asyncio.ensure_future(step())
    await asyncio.sleep(0)
    await walk.aclose()
    assert await stepping == 0
    assert await names_of(walk_over(MovingList(43).page, resume=walk.checkpoint)) == NAMES


async def test_a_prefetched_request_that_other_code_cancels_is_made_again() -> None:
    """The step in which that shows is cancelled; the next one continues."""
    walk = walk_over(MovingList(43).page, turns=5, prefetch=2, consistency="plain")
    step = asyncio.ensure_future(anext(walk))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    for task in asyncio.all_tasks() - {step, asyncio.current_task()}:
        task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await step
    names: list[str] = []
    while len(names) < 43:
        with suppress(asyncio.CancelledError):
            names.append((await anext(walk)).id)
    assert names == NAMES


def test_a_step_can_be_closed_while_it_waits() -> None:
    """As Python does with what is thrown away."""

    async def never(number: int, size: int) -> Page:
        await asyncio.Event().wait()
        raise AssertionError

    async def throw_away() -> None:
        walk = ChatWalk(PagesOf(never), WalkSettings(prefetch=2), ServerTraits())
        step = walk.__anext__()
        step.send(None)
        step.close()
        await walk.aclose()

    asyncio.run(throw_away())


async def test_a_capped_page_that_is_not_the_first_is_an_error_when_it_is_resumed() -> None:
    """It would mean other pages than those that were counted: nothing is yielded, and nothing left out silently."""
    listed = MovingList(400)

    def capped(number: int, size: int) -> Page:
        return Page(number, size, listed.page(number, min(size, 50)).chats, b"")

    traits = ServerTraits()
    walk = walk_over(capped, 100, consistency="plain", start_page=2, traits=traits)
    with pytest.raises(PaginationError, match="the server caps pageSize=100 to 50"):
        await anext(walk)
    with pytest.raises(PaginationError, match="the server caps pageSize=100 to 50"):
        await anext(walk_over(capped, 100, resume=walk.checkpoint, traits=traits))


async def test_an_error_of_ours_from_a_callback_ends_the_walk() -> None:
    """Each further step raises it; the page is in the checkpoint."""

    def fail(_: Page) -> None:
        raise OutputError("disk full")

    walk = walk_over(MovingList(43).page, on_page=fail)
    for _ in range(2):
        with pytest.raises(OutputError):
            await anext(walk)
    assert await names_of(walk_over(MovingList(43).page, resume=walk.checkpoint)) == NAMES


@pytest.mark.parametrize("prefetch", [0, 2])
async def test_a_list_that_nobody_got_stays_in_the_checkpoint(prefetch: int) -> None:
    """If reading it fails, or is cancelled."""
    walk = walk_over(failing_from(3), prefetch=prefetch)
    first = (await anext(walk)).id
    with pytest.raises(ServerError):
        await walk.to_list()
    assert [first, *await names_of(walk_over(MovingList(43).page, resume=walk.checkpoint))] == NAMES
    walk = walk_over(MovingList(43).page, turns=5, prefetch=prefetch)
    reading = asyncio.ensure_future(walk.to_list())
    for _ in range(12):
        await asyncio.sleep(0)
    reading.cancel()
    await asyncio.wait((reading,))
    assert await names_of(walk_over(MovingList(43).page, resume=walk.checkpoint)) == NAMES


async def test_a_page_of_a_checkpoint_has_no_rows() -> None:
    """They were not kept."""
    walk = walk_over(MovingList(43).page)
    await names_of(walk, 3)
    page = await anext(walk_over(MovingList(43).page, resume=walk.checkpoint).pages())
    assert [chat.id for chat in page.chats] == NAMES[3:10]
    assert list(page.rows) == []


async def test_a_report_at_any_moment() -> None:
    """It counts what was done, and says that the walk has not ended."""
    walk = walk_over(MovingList(43).page)
    assert walk.report == WalkReport(0, 0, 0, 0, 0, 0, False, "the walk has not ended", 0.0, 0)
    await names_of(walk, 12)
    assert (walk.report.requests, walk.report.pages, walk.report.chats) == (2, 2, 12)
    await names_of(walk)
    assert (walk.report.requests, walk.report.chats, walk.report.verified, walk.report.reason) == (5, 43, True, "")


@pytest.mark.parametrize("consistency", KINDS)
async def test_chats_that_could_not_be_used_are_put_back(consistency: Consistency) -> None:
    """The walk yields them again, and so does one that is resumed; the report does not count them meanwhile."""
    walk = walk_over(MovingList(43).page, consistency=consistency)
    page = await walk.next_page()
    assert page is not None
    walk.put_back(page.chats[3:])
    assert walk.report.chats == 3
    resumed = await names_of(walk_over(MovingList(43).page, resume=walk.checkpoint))
    assert await names_of(walk) == resumed == NAMES[3:]
