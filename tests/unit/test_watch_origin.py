"""Which account a state is of, what it keeps of the server, and how short pages are learnt."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from attrs import evolve

from plugchat_async import AccountStatus, Chat, InvalidValueError, Page, WatchState
from plugchat_async._http.secret import Secret
from plugchat_async._http.token import TokenProvider, fingerprint
from plugchat_async.watch.options import WatchSettings
from plugchat_async.watch.origin import check_account, mark_account, restore_traits, save_traits
from plugchat_async.watch.snapshot import Snapshot
from plugchat_async.watch.state import unpack
from plugchat_async.watch.watcher import Watch, WatchDeps
from support.fakes import FakeTime

URL = "https://app.plugchat.com.br"


class Traits:
    """What the walks know of a server, and can be saved."""

    def __init__(self) -> None:
        self.known: dict[str, Any] = {}
        self.restored: dict[str, Any] | None = None

    def to_dict(self) -> dict[str, Any]:
        return dict(self.known)

    def update(self, known: dict[str, Any]) -> None:
        self.known |= known
        self.restored = known


def test_what_is_known_of_the_server_is_kept() -> None:
    """Saved if it is new, and passed on to the next session."""
    snapshot, traits = Snapshot(), Traits()
    restore_traits(snapshot, traits)
    save_traits(snapshot, traits)
    assert snapshot.traits == {}
    traits.known["caps"] = [50]
    snapshot.dirty = False
    save_traits(snapshot, traits)
    assert (snapshot.traits, snapshot.dirty) == ({"caps": [50]}, True)
    snapshot.dirty = False
    save_traits(snapshot, traits)
    assert not snapshot.dirty
    later = Traits()
    restore_traits(snapshot, later)
    assert later.known == {"caps": [50]}


def test_traits_that_can_not_be_saved_are_left_alone() -> None:
    """As of a session that does not save them."""
    snapshot = Snapshot(traits={"caps": [50]})
    restore_traits(snapshot, object())
    save_traits(snapshot, object())
    assert (snapshot.traits, snapshot.dirty) == ({"caps": [50]}, False)


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
    await provider.get(1.0)
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


class Doubting(Traits):
    """A short page proves nothing."""

    def may_be_capped(self, page: Page) -> bool:
        self.known["doubted"] = page.length
        return True


class ShortPages:
    """A server that caps pages, or leaves rows out of them after it has cut them."""

    def __init__(self, *, cap: int, hidden: int) -> None:
        time = datetime(2026, 1, 15, tzinfo=UTC)
        self.chats = [Chat(str(number), last_message_time=time - timedelta(seconds=number)) for number in range(90)]
        self.cap, self.hidden = cap, hidden
        self.asked: list[tuple[int, int]] = []
        self.walks = 0
        self.traits = Doubting()
        self.clock = FakeTime()

    async def fetch(self, number: int, size: int) -> Page:
        self.asked.append((number, size))
        rows = self.chats[(number - 1) * min(size, self.cap) : number * min(size, self.cap)]
        return Page(number, size, tuple(chat for chat in rows if int(chat.id) % 10 >= self.hidden), b"")

    async def walk(self) -> AsyncIterator[Page]:
        yield Page(1, 1000, tuple(chat for chat in self.chats if int(chat.id) % 10 >= self.hidden), b"")

    def watch(self, state: WatchState, max_polls: int = 6) -> Watch:
        clock = evolve(self.clock.clock, time=lambda: 1e9 + self.clock.now)

        class Walk:
            saw_unreadable = False

            def __init__(self, server: ShortPages) -> None:
                server.walks += 1
                self.pages = server.walk

            async def discard(self) -> None:
                """It holds nothing."""

        async def status() -> AccountStatus:
            return AccountStatus(connected=True)

        deps = WatchDeps(
            self.fetch, cast("Any", lambda _: Walk(self)), clock.sleep, cast("Any", self.traits), clock, status
        )
        return Watch(deps, WatchSettings(page_size=40, state=state, max_polls=max_polls))


@pytest.mark.parametrize(
    ("cap", "hidden", "sizes"),
    [
        (33, 0, [40, 33, 33, 33, 33, 33]),  # once the cap is known, pages of its size are full
        (1000, 1, [40, 36, 40, 40, 40, 40]),  # they are short again: it is no cap
        (33, 1, [40, 29, 40, 40, 40, 40]),
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


async def test_a_watch_restores_and_keeps_what_is_known_of_the_server() -> None:
    """Before its first request, and after each poll, with the state."""
    server, state = ShortPages(cap=33, hidden=0), WatchState()
    assert [event async for event in server.watch(state).events()] == []
    later, saved = ShortPages(cap=33, hidden=0), WatchState.loads(state.dumps())
    watch = later.watch(saved).events()
    later.chats = []
    assert later.traits.known == {}
    assert [event async for event in watch] == []
    assert (later.traits.restored, later.traits.known) == ({"doubted": 33}, {"doubted": 0})
    assert unpack(saved.dumps()).traits == {"doubted": 0}
    assert unpack(state.dumps()).traits == {"doubted": 33}


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
