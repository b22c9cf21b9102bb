"""Which account a state is of, what it keeps of the server, and how short pages are learnt."""

from datetime import UTC, datetime, timedelta

import pytest
from attrs import evolve

from plugchat_async import AccountStatus, Chat, InvalidValueError, Page, WatchState
from plugchat_async._http.pauses import Pauses
from plugchat_async._http.secret import Secret
from plugchat_async._http.token import TokenProvider, fingerprint
from plugchat_async._pagination.chat_walk import ChatWalk
from plugchat_async._pagination.options import WalkSettings
from plugchat_async._pagination.server_traits import ListMemory
from plugchat_async.server_traits import ServerTraits
from plugchat_async.watch.deps import WatchDeps
from plugchat_async.watch.options import WatchSettings
from plugchat_async.watch.origin import check_account, mark_account, restore_traits, save_traits
from plugchat_async.watch.snapshot import Snapshot
from plugchat_async.watch.state_text import unpack
from plugchat_async.watch.watcher import Watch
from support.fakes import FakeTime
from support.moving import PagesOf

URL = "https://app.plugchat.com.br"


def test_what_is_known_of_the_server_is_kept() -> None:
    """Saved if it is new, and passed on to the next session."""
    snapshot, traits = Snapshot(), ServerTraits()
    restore_traits(snapshot, traits)
    save_traits(snapshot, traits)
    assert (snapshot.traits, snapshot.dirty) == (None, False)
    traits.max_page_size = 50
    save_traits(snapshot, traits)
    assert (snapshot.traits, snapshot.dirty) == (ServerTraits(max_page_size=50).to_dict(), True)
    snapshot.dirty = False
    save_traits(snapshot, traits)
    assert not snapshot.dirty
    later = ServerTraits(longest_page=7)
    restore_traits(snapshot, later)
    assert later == ServerTraits(max_page_size=50, longest_page=7)


def test_a_fingerprint_is_of_base_url_and_token() -> None:
    """With a key, so that nobody can try tokens at leisure; of a name, if there is one."""
    mine = fingerprint(Secret("t0ken"), URL, None, "key")
    assert mine is not None
    assert mine.startswith("token:")
    assert "t0ken" not in mine
    others = [
        fingerprint(Secret("t0ken"), URL, None, "another key"),
        fingerprint(Secret("t0ken"), URL + "/x", None, "key"),
        fingerprint(Secret("another"), URL, None, "key"),
        fingerprint(Secret("t0ken"), URL, "t0ken", "key"),
        fingerprint(Secret("t0ken"), URL, "a name", "key"),
    ]
    assert len({mine, *others}) == 6
    assert fingerprint(Secret("another"), URL, "a name", "key") == others[-1]
    assert fingerprint(Secret("a\ud800"), URL, None, "key") is not None


async def test_a_token_function_is_known_after_its_first_token() -> None:
    """It is not called for a fingerprint."""
    provider = TokenProvider(lambda: "t0ken")
    assert fingerprint(provider, URL, None, "key") is None
    assert fingerprint(provider, URL, "a name", "key") is not None
    await provider.get(1.0, Pauses())
    assert fingerprint(provider, URL, None, "key") == fingerprint(Secret("t0ken"), URL, None, "key")


def test_a_state_is_marked_once() -> None:
    """With a key of its own; a name takes the place of a token, and nothing takes the place of a name."""
    snapshot, other = Snapshot(), Snapshot()
    mark_account(snapshot, lambda _: None)
    assert (snapshot.salt, snapshot.account, snapshot.dirty) == (None, None, False)
    mark_account(snapshot, lambda key: f"token:{key}")
    mark_account(other, lambda key: f"token:{key}")
    assert snapshot.salt != other.salt
    assert snapshot.account == f"token:{snapshot.salt}"
    snapshot.dirty = False
    mark_account(snapshot, lambda key: f"token:{key}")
    assert not snapshot.dirty
    for same in (lambda key: f"token:{key}", lambda _: None, lambda _: "name:x"):
        check_account(snapshot, same)
    with pytest.raises(InvalidValueError, match=r"^state belongs to another account, .*pass a name of your own"):
        check_account(snapshot, lambda _: "token:another")
    mark_account(snapshot, lambda _: "name:x")
    for other_one in ("name:y", f"token:{snapshot.salt}"):
        with pytest.raises(InvalidValueError):
            check_account(snapshot, {str(snapshot.salt): other_one}.get)


class ShortPages:
    """A server that caps pages, or leaves rows out of them after it has cut them."""

    def __init__(self, *, cap: int, hidden: int) -> None:
        time = datetime(2026, 1, 15, tzinfo=UTC)
        self.chats = [Chat(str(number), last_message_time=time - timedelta(seconds=number)) for number in range(90)]
        self.cap, self.hidden = cap, hidden
        self.asked: list[tuple[int, int]] = []
        self.walks = 0
        self.traits = ServerTraits()
        self.memory = ListMemory()
        self.clock = FakeTime()

    async def fetch(self, number: int, size: int) -> Page:
        rows = self.chats[(number - 1) * min(size, self.cap) : number * min(size, self.cap)]
        return Page(number, size, tuple(chat for chat in rows if int(chat.id) % 10 >= self.hidden), b"")

    async def poll(self, number: int, size: int) -> Page:
        self.asked.append((number, size))
        return await self.fetch(number, size)

    def walk(self, settings: WalkSettings) -> ChatWalk:
        self.walks += 1
        return ChatWalk(PagesOf(self.fetch, connected=True), settings, self.traits, self.memory)

    def watch(self, state: WatchState, max_polls: int = 6) -> Watch:
        clock = evolve(self.clock.clock, time=lambda: 1e9 + self.clock.now)

        async def status() -> AccountStatus:
            return AccountStatus(connected=True)

        deps = WatchDeps(self.poll, self.walk, clock.sleep, self.traits, clock, status)
        return Watch(deps, WatchSettings(page_size=40, state=state, max_polls=max_polls))


@pytest.mark.parametrize(
    ("cap", "hidden", "sizes"),
    [
        (33, 0, [40, 33, 33, 33, 33, 33]),  # once the cap is known, pages of its size are full
        (1000, 1, [40] * 6),  # they go on to one that ends with an older chat
        (33, 1, [40] * 6),
    ],
)
async def test_short_pages_with_more_behind_cost_a_request_a_poll(cap: int, hidden: int, sizes: list[int]) -> None:
    """Whatever their length is."""
    server = ShortPages(cap=cap, hidden=hidden)
    state = WatchState()
    assert [event async for event in server.watch(state).events()] == []
    assert [size for _, size in server.asked] == sizes
    assert server.walks <= 2
    assert len(state.chats) == 90 - 9 * hidden


async def test_rows_that_a_known_server_begins_to_hide_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """By full scans, whose pages are so large that walks do not notice. Nobody is missing. Once, it proves nothing."""
    server, state = ShortPages(cap=1000, hidden=0), WatchState()
    assert [event async for event in server.watch(state).events()] == []
    fetch = server.fetch

    async def without_last(number: int, size: int) -> Page:
        page = await fetch(number, size)
        return page if size > 40 else Page(number, size, page.chats[:-1], b"")

    monkeypatch.setattr(server, "fetch", without_last)
    server.asked.clear()
    for polls, walks in ((1, 1), (30, 3)):  # each watch begins anew; ten minutes later, the whole list is read
        server.walks = 0
        assert [event async for event in server.watch(state, polls).events()] == []
        assert server.walks == walks
    assert server.asked == [(1, 40)] * 31


async def test_a_watch_restores_and_keeps_what_is_known_of_the_server() -> None:
    """Before its first request, and after each poll, with the state."""
    server, state = ShortPages(cap=33, hidden=0), WatchState()
    server.traits.max_page_size = 33
    assert [event async for event in server.watch(state).events()] == []
    later, saved = ShortPages(cap=33, hidden=0), WatchState.loads(state.dumps())
    assert [event async for event in later.watch(saved).events()] == []
    assert later.traits.max_page_size == 33
    assert unpack(saved.dumps()).traits == later.traits.to_dict()


async def test_an_empty_account_is_believed_in_the_second_poll_though_a_short_page_proves_nothing() -> None:
    """So its first chats are new. In the first poll the list may only have been empty for a moment."""
    for polls, new in ((1, 32), (2, 90)):  # those of the last half minute are new in any case
        server, state = ShortPages(cap=1000, hidden=0), WatchState()
        chats, server.chats = server.chats, []
        for _ in range(polls):
            assert [event async for event in server.watch(state, max_polls=1).events()] == []
            server.clock.now += 30
        server.chats = chats
        assert len([event async for event in server.watch(state, max_polls=1).events()]) == new
