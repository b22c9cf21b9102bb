"""Watching what the gateway really sends: lists that are empty, partial, old or growing while nothing happens."""

from collections.abc import AsyncIterator, Iterable
from datetime import UTC, datetime, timedelta

import pytest
from attrs import evolve

from plugchat_async import (
    Chat,
    ChatAdded,
    ChatChanged,
    ChatEvent,
    ChatRemoved,
    NotConnectedError,
    Outage,
    PlugChatSession,
    RetryPolicy,
    WatchState,
)
from plugchat_async.testing import Fault, PlugChatSimulator, SimulatedAccount
from support.fakes import FakeTime

TIME = datetime(2026, 1, 15, tzinfo=UTC)


def chat(phone: str, seconds: int = 0, name: str | None = None) -> Chat:
    return Chat(phone, name or f"name of {phone}", last_message_time=TIME + timedelta(seconds=seconds))


A, B = chat("1", 90), chat("2", 80)
MANY = [chat(str(number), -number) for number in range(41)]


class Shown:
    """An account whose list is shown as it is told, and polled every 30 seconds with a restart."""

    def __init__(self, sim: PlugChatSimulator, session: PlugChatSession, clock: FakeTime) -> None:
        self.sim, self.session, self.clock = sim, session, clock
        self.state = WatchState()
        self.set_back = 0.0
        self.not_connected = 0  # how many polls have ended with this error

    def show(self, chats: Iterable[Chat]) -> None:
        rows = list(chats)
        window = lambda page, size: rows[(page - 1) * size : page * size]  # noqa: E731
        assert len(rows) <= len(self.sim.chats)
        setattr(self.sim._account, "window", window)  # noqa: B010 - it is a method

    async def poll(self, *lists: Iterable[Chat], times: int = 1) -> list[ChatEvent]:
        """Return the events of polls that see these lists, the last one `times` times."""
        found: list[ChatEvent] = []
        shown = list(lists)
        for chats in [*shown[:-1], *[shown[-1]] * times]:
            self.show(chats)
            try:
                found += [event async for event in self.session.watch_chats(state=self.state, max_polls=1)]
            except NotConnectedError:
                self.not_connected += 1
            self.state = WatchState.loads(self.state.dumps())
            self.clock.now += 30
        return found

    def status_requests(self) -> int:
        count = sum("status" in request.path for request in self.sim.requests)
        self.sim.requests.clear()
        return count


@pytest.fixture
async def shown() -> AsyncIterator[Shown]:
    clock = FakeTime()
    account: list[Shown] = []
    now = evolve(clock.clock, time=lambda: (TIME + timedelta(hours=1)).timestamp() + clock.now - account[0].set_back)
    async with (
        PlugChatSimulator(chats=100) as sim,
        PlugChatSession(sim.token, base_url=sim.base_url, clock=now, retry=RetryPolicy(attempts=1)) as session,
    ):
        account.append(Shown(sim, session, clock))
        yield account[0]


async def test_a_list_that_is_empty_for_two_polls_is_no_event(shown: Shown) -> None:
    """A phone that was lost for a minute: a bot must not greet every customer again."""
    assert await shown.poll([A], [], [], [A], [A]) == []
    assert shown.state.chats == (A,)


async def test_a_list_that_is_partial_for_a_poll_is_no_event(shown: Shown) -> None:
    """One answer proves nothing that the next one contradicts."""
    assert await shown.poll([A, B], [A], [A, B], [A], [A, B]) == []
    assert shown.state.chats == (A, B)


async def test_a_few_chats_are_removed_by_the_second_poll(shown: Shown) -> None:
    """Three of them, or a tenth of the list."""
    assert await shown.poll(MANY, MANY[4:]) == []
    assert await shown.poll(MANY[4:]) == [ChatRemoved(gone) for gone in reversed(MANY[:4])]
    await shown.poll(MANY[4:11])
    shown.state = WatchState()
    assert await shown.poll([A, B], [B], [B]) == [ChatRemoved(A)]
    assert shown.status_requests() == 0


@pytest.mark.parametrize("left", [0, 1, 36])
async def test_many_chats_are_removed_after_ten_minutes(shown: Shown, left: int) -> None:
    """All of them, or more than a tenth; the phone is asked for once, and where a list without chats is empty."""
    assert await shown.poll(MANY, MANY[:left], times=20) == []
    assert shown.status_requests() == (not left)
    assert await shown.poll(MANY[:left]) == [ChatRemoved(gone) for gone in reversed(MANY[left:])]
    assert shown.status_requests() == 1
    assert await shown.poll(MANY[:left]) == []
    assert shown.status_requests() == (not left)


async def test_nobody_is_removed_while_the_phone_is_not_connected(
    shown: Shown, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long that takes. It is asked for by each poll that would believe it."""
    some = MANY[:20]
    assert await shown.poll(MANY) == []
    with monkeypatch.context() as lost:
        lost.setattr(SimulatedAccount, "status", {"connected": False, "error": "You are not connected."})
        assert await shown.poll(some, times=25) == []
        assert shown.status_requests() == 5
        assert await shown.poll(MANY, times=2) == []
        assert await shown.poll(some, times=25) == []
    assert len(await shown.poll(some)) == len(MANY) - len(some)


async def test_a_list_that_is_empty_since_the_phone_is_lost_is_an_outage(shown: Shown) -> None:
    """It is told as one. The ten minutes begin when the phone is connected again, and the list is still empty."""
    assert await shown.poll(MANY) == []
    shown.sim.connected = False
    assert await shown.poll([], times=25) == []
    assert shown.not_connected == 25
    shown.sim.connected = True
    assert await shown.poll([], times=20) == []
    assert len(await shown.poll([])) == len(MANY)


async def test_a_watch_goes_on_while_the_phone_is_lost(shown: Shown) -> None:
    """It waits, and tells what has come when the phone is back."""
    assert await shown.poll(MANY) == []
    shown.sim.connected = False
    shown.show([])
    wrote = evolve(MANY[9], unread=1, last_message_time=TIME + timedelta(seconds=1))
    outages: list[Outage] = []

    def told(outage: Outage) -> None:
        outages.append(outage)
        if len(outages) == 3:
            shown.sim.connected = True
            shown.show([wrote, *MANY[:9], *MANY[10:]])

    watch = shown.session.watch_chats(state=shown.state, max_polls=20, on_outage=told)
    assert [event.chat async for event in watch] == [wrote]
    assert [type(outage.error) for outage in outages] == [NotConnectedError] * 3 + [type(None)]


async def test_a_watch_that_begins_while_the_phone_is_lost_tells_it(shown: Shown) -> None:
    """It would wait for its first chat for ever, and take all that the phone sends afterwards for new chats."""
    shown.sim.connected = False
    assert await shown.poll([], times=3) == []
    assert shown.not_connected == 3
    shown.sim.connected = True
    assert await shown.poll(MANY, times=2) == []
    assert shown.state.chats == tuple(MANY)


async def test_an_account_without_chats_may_lose_its_phone(shown: Shown) -> None:
    """The chat that comes when it is back is new."""
    assert await shown.poll([], times=2) == []
    shown.sim.connected = False
    assert await shown.poll([], times=2) == []
    assert shown.not_connected == 2
    shown.sim.connected = True
    new = chat("3", 3700)
    assert await shown.poll([new]) == [ChatAdded(new)]


async def test_time_alone_decides_where_no_status_is_to_be_had(shown: Shown) -> None:
    """As with a server that does not know the call."""
    await shown.poll(MANY, [], times=20)
    # The list comes first, then the status.
    shown.sim.script(Fault.answer("[]"), Fault.status(404))
    found = [event async for event in shown.session.watch_chats(state=shown.state, max_polls=1)]
    assert len(found) == len(MANY)


async def test_ten_minutes_begin_anew_when_chats_come_back(shown: Shown) -> None:
    """A phone that syncs again shows more and more; the last few are no small loss."""
    assert await shown.poll(MANY, MANY[:3], times=15) == []
    for more in (11, 26, 39):
        assert await shown.poll(MANY[:more], times=15) == []
    assert await shown.poll(MANY[:39], times=5) == []
    assert await shown.poll(MANY[:39]) == [ChatRemoved(gone) for gone in reversed(MANY[39:])]


async def test_a_clock_that_is_set_back_counts_from_then_on(shown: Shown) -> None:
    """Else it would last for as long as the clock is behind."""
    await shown.poll(MANY, [])
    shown.set_back = 1e6
    assert await shown.poll([], times=20) == []
    assert len(await shown.poll([])) == len(MANY)


async def test_who_comes_back_without_a_newer_message_is_not_new(shown: Shown) -> None:
    """They are known again. With a newer message, they have written."""
    assert len(await shown.poll(MANY, [], times=22)) == len(MANY)
    wrote = evolve(MANY[7], unread=1, last_message_time=TIME + timedelta(seconds=1))
    back = [wrote, *MANY[:7], evolve(MANY[8], unread=3), *MANY[9:]]
    assert await shown.poll(back) == [ChatAdded(wrote)]
    assert shown.state.chats == tuple(back)


async def test_a_removed_chat_that_writes_is_new(shown: Shown) -> None:
    """Also if others have written meanwhile."""
    assert await shown.poll([A, B], [A], [A]) == [ChatRemoved(B)]
    newer = chat("1", 200)
    back = chat("2", 100)
    assert await shown.poll([newer]) == [ChatChanged(A, newer, ("last_message_time",))]
    assert await shown.poll([newer, back]) == [ChatAdded(back)]


async def test_a_chat_that_is_older_than_it_was_is_believed_the_second_time(shown: Shown) -> None:
    """An answer of a replica that lags, or of a cache, takes nothing back. A last message that was deleted does."""
    older = chat("1", 10)
    assert await shown.poll([A, B], [B, older], [A, B], [B, older], [A, B]) == []
    assert await shown.poll([B, older]) == []
    assert shown.state.chats == (A, B)
    assert await shown.poll([B, older]) == [ChatChanged(A, older, ("last_message_time",))]
    assert await shown.poll([B, older]) == []


async def test_a_syncing_phone_s_old_chats_are_not_new(shown: Shown) -> None:
    """The list grows while the phone sends its history, the newest chats first. Who writes meanwhile is new."""
    assert await shown.poll(MANY[:1], MANY[:4], MANY[:17]) == []
    new = chat("5500", 3600)
    assert await shown.poll([new, *MANY[:17]]) == [ChatAdded(new)]
    assert await shown.poll([new, *MANY]) == []
    assert shown.state.chats == (new, *MANY)


async def test_a_phone_that_syncs_after_an_empty_list_has_no_new_chats(shown: Shown) -> None:
    """Neither if that was believed."""
    assert await shown.poll([], [], [], MANY[:17], MANY) == []
    new = chat("5500", 3700)
    assert await shown.poll([new, *MANY]) == [ChatAdded(new)]


async def test_a_history_that_comes_in_any_order_is_old(shown: Shown) -> None:
    """What was sent before the watch began, by the clock. A message from then on is new, also if it arrives late."""
    first = [chat("1", 3590), chat("2", 100), chat("3", 50)]
    between = [chat("4", 2000), chat("5", 700)]
    assert await shown.poll(first[1:], [*between, *first[1:]]) == []
    assert await shown.poll([first[0], *between, *first[1:]], times=2) == [ChatAdded(first[0])]
    newer, late = chat("6", 3700), chat("7", 3650)
    everybody = [first[0], *between, *first[1:]]
    assert await shown.poll([newer, *everybody]) == [ChatAdded(newer)]
    assert await shown.poll([newer, late, *everybody]) == [ChatAdded(late)]


async def test_rows_of_one_person_stay_apart(shown: Shown) -> None:
    """Of one lid, of one phone, with the same name or not: a list that stands still has no events."""
    others = [chat("7", -7), chat("8", -8)]
    rows = [
        chat("1", 50),
        chat("1", 40),
        chat("1", 30, name="another"),
        Chat(None, "Ana", last_message_time=TIME, lid="9@lid"),
        Chat(None, "Ana", lid="9@lid"),
        Chat(None, None, lid="9@lid"),
    ]
    assert await shown.poll([*rows, *others], [*others, *rows[::-1]], [*rows, *others]) == []
    assert set(shown.state.chats) == {*rows, *others}
    moved = evolve(rows[4], unread=1, last_message_time=TIME + timedelta(seconds=200))
    assert await shown.poll([moved, *rows[:4], rows[5], *others]) == [
        ChatChanged(rows[4], moved, ("unread", "last_message_time"))
    ]
    renamed = evolve(rows[2], name="a third")
    assert await shown.poll([moved, *rows[:2], renamed, rows[3], rows[5], *others]) == [
        ChatChanged(rows[2], renamed, ("name",))
    ]
    left = [moved, rows[1], renamed, rows[3], rows[5], *others]
    assert await shown.poll(left, left) == [ChatRemoved(rows[0])]


async def test_a_chat_whose_lid_becomes_known_is_the_same(shown: Shown) -> None:
    """And one whose lid is left out again."""
    with_lid = evolve(A, lid="1@lid")
    assert await shown.poll([A, B], [with_lid, B]) == [ChatChanged(A, with_lid, ("lid",))]
    assert await shown.poll([A, B]) == [ChatChanged(with_lid, A, ("lid",))]
