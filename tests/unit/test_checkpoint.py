"""A walk that failed goes on: nothing comes twice, nothing is lost."""

import base64
import json
import tracemalloc
import zlib
from collections import Counter
from datetime import UTC, datetime
from itertools import count
from random import Random
from typing import Any

import pytest
from attrs import asdict, evolve, fields
from hypothesis import given
from hypothesis import strategies as st

from plugchat_async import (
    Chat,
    InvalidValueError,
    Page,
    PageLimitError,
    PlugChatSession,
    ServerError,
    ServerTraits,
    WalkReport,
)
from plugchat_async._http.urls import CHATS_PATH
from plugchat_async._pagination.anchors import tail_of
from plugchat_async._pagination.checkpoint import VERSION, unpack
from plugchat_async._pagination.kept_chats import YieldedChats
from plugchat_async._pagination.options import WalkSettings
from plugchat_async._pagination.seen_keys import SeenKeys
from plugchat_async._pagination.walk_state import Consistency, PassState, WalkConfig, WalkState, WindowState
from plugchat_async.converter import converter
from plugchat_async.testing import Fault, PlugChatSimulator
from support.moving import MovingList, Read, Walked, begun, moving, page_of
from support.packed import packed_walk

FIVE = WalkState.at_start(WalkConfig(path=CHATS_PATH, page_size=5), ahead=False)
EVENTS = [(request, (kind, request * 7)) for request in range(1, 12) for kind in ("bump", "insert")]


def unpacked(text: str) -> WalkState:
    return unpack(text, CHATS_PATH)


def known() -> ServerTraits:
    """A server that is known to have nothing behind a short page."""
    return ServerTraits(longest_page=1000, short_pages="end", past_end="empty")


def failing(read: Read, at: int) -> Read:
    """Answer until a request fails, and the same one again if it is repeated."""
    requests = count()

    def read_or_fail(number: int, size: int) -> Page:
        if next(requests) == at:
            raise ServerError("down")
        return read(number, size)

    return read_or_fail


def walk_with_a_break(
    read: Read,
    consistency: Consistency,
    at: int,
    *,
    size: int = 5,
    ahead: int = 0,
    order: Random | None = None,
    traits: ServerTraits | None = None,
) -> tuple[Walked, bool]:
    """Walk, fail at a request, keep the checkpoint as text, and walk on. Also tells whether it failed.

    A check that fails does not end the walk.
    """
    first = begun(size, consistency, ahead=ahead, traits=traits)
    try:
        return first.run(failing(read, at), ahead=ahead, order=order), False
    except ServerError:
        second = Walked(unpacked(packed_walk(first.state)), first.traits, got=list(first.got))
        return second.run(read, ahead=ahead, order=order), True


@pytest.mark.parametrize("ahead", [0, 3])
@pytest.mark.parametrize("consistency", ["exact", "strict"])
def test_nothing_comes_twice_and_nothing_is_lost(consistency: Consistency, ahead: int) -> None:
    """Whichever request fails, in whichever pass, while the list moves on."""
    breaks = 0
    for at in count():
        listed = MovingList(43)
        walked, failed = walk_with_a_break(moving(listed, EVENTS), consistency, at, ahead=ahead, order=Random(at))
        assert walked.twice == 0
        assert walked.stats.verified or not failed
        assert listed.there <= set(walked.got) or not walked.stats.verified
        breaks += failed
        if not failed and len(walked.asked) <= at:
            break
    assert breaks > 10


@given(
    consistency=st.sampled_from(["exact", "strict"]),
    at=st.integers(0, 25),
    chats=st.integers(0, 60),
    size=st.integers(4, 12),  # smaller pages are outrun by a list that grows
    ahead=st.integers(0, 4),
    seed=st.integers(0, 1000),
    pause=st.integers(0, 30),
)
def test_nothing_comes_twice_and_nothing_is_lost_by_chance(
    consistency: Consistency, at: int, chats: int, size: int, ahead: int, seed: int, pause: int
) -> None:
    """Much may happen between the failure and the second walk."""
    chance = Random(seed)
    kinds = ("bump", "insert") if consistency == "exact" else ("bump", "insert", "delete")
    listed = MovingList(chats)
    requests = count()

    def read(number: int, size: int) -> Page:
        for _ in range(pause if next(requests) == at else chance.randrange(3)):
            listed.happen((chance.choice(kinds), chance.randrange(100)))
        return listed.page(number, size)

    walked, _ = walk_with_a_break(read, consistency, at, size=size, ahead=ahead, order=chance)
    assert walked.twice == 0
    if walked.stats.verified:
        assert listed.there <= set(walked.got)


def test_a_quiet_walk_goes_on_at_the_page_that_failed() -> None:
    """No page is asked for again, but the one."""
    kinds: list[Consistency] = ["plain", "exact"]
    for consistency in kinds:
        walked, _ = walk_with_a_break(MovingList(43).page, consistency, 3, traits=known())
        assert walked.asked == [(number, 5) for number in range(4, 10)]
        assert walked.got == [str(name) for name in range(43)]


def test_a_plain_walk_repeats_no_page() -> None:
    """What it had yielded is not asked for again; while the list moves it repeats chats, as it always does."""
    listed = MovingList(40)
    first = begun(10, "plain")
    with pytest.raises(ServerError):
        first.run(failing(listed.page, 2))
    listed.happen(("bump", 39))
    second = Walked(unpacked(packed_walk(first.state))).run(listed.page)
    assert second.asked == [(3, 10), (4, 10), (5, 10)]
    assert second.got == [str(name) for name in range(19, 39)]


@pytest.mark.parametrize("consistency", ["plain", "exact", "strict"])
@pytest.mark.parametrize("limit_only", [False, True])
def test_a_capped_walk_goes_on_in_pages_of_its_cap(consistency: Consistency, limit_only: bool) -> None:
    """The checks of the cap do not end it, and what follows is counted in those pages."""
    listed = MovingList(120)

    def capped(number: int, size: int) -> Page:
        page = listed.page(number, size if limit_only else min(size, 33))
        return Page(number, size, page.chats[:33], b"")

    for at in (4, 5, 6):
        walked, failed = walk_with_a_break(capped, consistency, at, size=100)
        assert failed
        assert walked.got[:33] == [str(name) for name in range(33)]
        assert sorted(walked.got) == sorted(listed.there)
        assert walked.stats.verified == (consistency != "plain")
        assert max(size for _, size in walked.asked) <= 33


def test_a_limit_can_be_raised() -> None:
    """PageLimitError has a checkpoint, too: it stands behind what was yielded."""
    first = begun(10, "exact", traits=known())
    with pytest.raises(PageLimitError):
        first.run(MovingList(45).page, max_pages=2)
    second = Walked(unpacked(packed_walk(first.state)), known(), got=first.got).run(MovingList(45).page)
    assert second.got == [str(name) for name in range(45)]
    assert second.asked == [(3, 10), (4, 10), (5, 10)]
    assert second.stats.verified


def test_the_last_request_that_failed_is_all_that_is_asked_again() -> None:
    """A prefetching walk counts what was seen, in whichever walk that was."""
    listed = MovingList(205)
    whole = begun(10, "exact", ahead=4, traits=known()).run(listed.page, ahead=4)
    walked, failed = walk_with_a_break(listed.page, "exact", len(whole.asked) - 1, size=10, ahead=4, traits=known())
    assert failed
    assert walked.stats.verified
    assert walked.asked[-1] == (21, 10)
    assert len(walked.asked) <= 3


def test_strict_goes_on_with_few_pages_at_a_time() -> None:
    """max_pages counts the windows of each walk; those after the first scan begin theirs anew."""
    listed = MovingList(60)
    walked = begun(10, "strict", traits=known())
    limits = [1, 2, 3, 20]
    while not walked.stats.verified:
        try:
            walked.run(listed.page, max_pages=limits.pop(0) if len(limits) > 1 else limits[0])
        except PageLimitError:
            walked = Walked(unpacked(packed_walk(walked.state)), walked.traits, got=walked.got)
    assert limits == [20]
    assert sorted(walked.got, key=int) == [str(name) for name in range(60)]


def test_prefetch_may_begin_when_a_walk_goes_on() -> None:
    """What was read in order counts as well."""
    first = begun(10, "exact")
    with pytest.raises(ServerError):
        first.run(failing(MovingList(205).page, 5))
    options = WalkSettings(page_size=1, resume=packed_walk(first.state), prefetch=4)
    second = Walked(options.state(CHATS_PATH), known(), got=first.got).run(MovingList(205).page, ahead=4)
    assert second.got == [str(name) for name in range(205)]
    assert second.stats.verified
    assert second.asked[:3] == [(6, 10), (7, 10), (8, 10)]


def test_max_pages_counts_what_a_walk_reads() -> None:
    """A walk that goes on has all of them before it."""
    kinds: list[Consistency] = ["plain", "exact"]
    for consistency in kinds:
        first = begun(1, consistency)
        with pytest.raises(PageLimitError):
            first.run(MovingList(100).page, max_pages=5)
        second = Walked(unpacked(packed_walk(first.state)))
        with pytest.raises(PageLimitError):
            second.run(MovingList(100).page, max_pages=5)
        assert second.got == [str(name) for name in range(5, 10)]


@pytest.mark.parametrize("consistency", ["plain", "exact"])
def test_a_check_of_a_walk_to_an_empty_page_may_fail(consistency: Consistency) -> None:
    """Whichever it is: the walk goes on to an empty page."""
    listed = MovingList(40)

    def hiding(number: int, size: int) -> Page:
        return Page(number, size, tuple(chat for chat in listed.page(number, size).chats if int(chat.id) % 4), b"")

    for at in range(1, 4):
        _, failed = walk_with_a_break(hiding, consistency, at, size=20)
        assert not failed
        empty = begun(20, consistency, stop_on="empty").run(failing(hiding, at))
        assert empty.got == [str(name) for name in range(40) if name % 4]
        assert not empty.stats.verified


# The text.


def test_a_checkpoint_keeps_all_of_a_standing() -> None:
    """Each field, times and all."""
    listed = MovingList(30)
    kinds: list[Consistency] = ["plain", "exact", "strict"]
    for consistency in kinds:
        for read in (moving(listed, EVENTS), lambda number, size: page_of(number, size, [("1", None)])):
            walked = begun(7, consistency)
            walked.run(read)
            state = unpacked(packed_walk(walked.state))
            yielded = Counter(key for page in walked.state.yielded.pages for key in page.keys)
            assert {key: len(labels) for key, labels in state.labels.items()} == yielded
            now = evolve(walked.state.windows, tail=tail_of(walked.state.windows))
            assert evolve(state, labels={}) == evolve(walked.state, yielded=YieldedChats(), windows=now)


@pytest.mark.parametrize(("consistency", "most"), [("plain", 160), ("exact", 9 * 10_000)])
def test_a_checkpoint_is_small(consistency: Consistency, most: int) -> None:
    """Nothing but where it stands for plain; some bytes a chat for the others, here real-looking phones."""
    state = WalkState.at_start(WalkConfig(path=CHATS_PATH, page_size=100, consistency=consistency), ahead=False)
    if consistency != "plain":
        chance = Random(1)
        state.seen.add([f"55{chance.randrange(11, 99)}9{chance.randrange(10**8):08}" for _ in range(10_000)])
    text = packed_walk(state)
    assert len(text) <= most
    assert text.isascii()
    assert json.loads(json.dumps(text)) == text


WHAT_TO_GIVE = "Pass the `checkpoint` of an error or of a walk unchanged, or leave out `resume` to start again."


def packed(*, version: object = VERSION, scan: object = None, windows: object = None, **changes: object) -> str:
    """A checkpoint, changed by hand: the state, its configuration, its pass and its windows."""
    of_its_own = ("seen", "yielded")  # classes that JSON does not know
    fields: dict[str, Any] = asdict(FIVE, filter=lambda a, _: a.name not in of_its_own)
    config = fields["config"] | {name: changes.pop(name) for name in list(changes) if name in fields["config"]}
    fields |= changes | {"config": config}
    fields |= {name: fields[name] | part for name, part in (("scan", scan), ("windows", windows)) if part}
    return base64.urlsafe_b64encode(zlib.compress(json.dumps({"version": version, "value": fields}).encode())).decode()


def test_a_changed_checkpoint_is_read_if_it_makes_sense() -> None:
    """The helper of the next test makes checkpoints."""
    assert unpacked(packed()) == FIVE


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "é",
        packed_walk(FIVE)[:-8],
        packed_walk(FIVE) + "\n",
        base64.urlsafe_b64encode(b"no zlib").decode(),
        base64.urlsafe_b64encode(zlib.compress(b"no JSON")).decode(),
        base64.urlsafe_b64encode(zlib.compress(b"[]")).decode(),
        base64.urlsafe_b64encode(zlib.compress(b'{"version": 1}')).decode(),
        packed(page_size=0),
        packed(page=-1),
        packed(max_page_size=-1),
        packed(size="5"),
        packed(consistency="exactly"),
        packed(scan={"newest": "2021-06-06T00:00:00"}),
        packed(seen=[5]),
        packed(seen="5"),
        packed(yielded=[]),
        packed(windows={"position": -1}),
        packed(windows={"overlap": -1}),
        packed(windows={"tie_count": 0}),
        packed(passes=-1),
        base64.urlsafe_b64encode(zlib.compress(b'{"version": 1, "value": ' + b"[" * 100_000)).decode(),
        base64.urlsafe_b64encode(zlib.compress(json.dumps({"version": 1}).encode()) + b"more").decode(),
        base64.urlsafe_b64encode(zlib.compress(b" " * 2**26)).decode(),
    ],
)
def test_what_is_no_checkpoint_is_refused(text: str) -> None:
    """With an error that says what to give."""
    with pytest.raises(InvalidValueError) as caught:
        unpacked(text)
    assert str(caught.value) == f"resume is not a checkpoint. {WHAT_TO_GIVE}"


@pytest.mark.parametrize(("version", "said"), [(4, "4"), (0, "0"), (None, "null"), (10**30, "1" + 19 * "0")])
def test_a_checkpoint_of_another_version_is_refused(version: int | None, said: str) -> None:
    """It names the version, the beginning of it if it is absurd."""
    with pytest.raises(InvalidValueError) as caught:
        unpacked(packed(version=version))
    assert str(caught.value) == f"resume is a checkpoint of version {said}. {WHAT_TO_GIVE}"


def test_a_checkpoint_of_another_call_is_refused() -> None:
    """It names both."""
    with pytest.raises(InvalidValueError) as caught:
        unpacked(packed(path="/api/whatsapp/contacts"))
    assert str(caught.value) == f"resume is a checkpoint of /api/whatsapp/contacts, not of {CHATS_PATH}. {WHAT_TO_GIVE}"
    assert unpack(packed(path="/x"), "/x").config.path == "/x"


@pytest.mark.slow
def test_a_text_that_would_grow_is_given_up_early() -> None:
    """A few kilobytes of zeros do not take gigabytes of memory."""
    text = base64.urlsafe_b64encode(zlib.compress(b'{"version": 1, "value": "' + b"0" * 2**28)).decode()
    tracemalloc.start()
    try:
        with pytest.raises(InvalidValueError, match="resume is not a checkpoint"):
            unpacked(text)
        assert tracemalloc.get_traced_memory()[1] < 2**27
    finally:
        tracemalloc.stop()


def test_a_checkpoint_without_a_version_is_refused() -> None:
    """Whatever else it holds."""
    with pytest.raises(InvalidValueError, match="a checkpoint of version null"):
        unpacked(base64.urlsafe_b64encode(zlib.compress(b'{"value": {}}')).decode())


def test_a_checkpoint_does_not_change_the_walk() -> None:
    """It can be taken at any time."""
    walked = begun(5, "exact")
    before = evolve(walked.state)
    packed_walk(walked.state)
    assert walked.state == before


# What a walk of "exact" in pages of 2 had when page 3 failed, of 7 chats, written before chats had lids.
OLD = (
    "eAFtjsFuwzAIht-FcyoFbOyY0x6ip1ZT5TpoipQlUZx2W6u--2gvu0xCCPi_H7jDVdc6zBMINnDN40VB7lDmqQ5106n8gIB-57JBA0v-0FMdboZQA3_FZn"
    "PDllyrVuOmy-dZVxBnkKqtPgJzwITcuYQ-7DAQpYShY6NfErnIXcT0dl7n3Jdcn_eYbeIwxI4SvfqEqY2WODp4b6DXcbD_tQfxdla_1HwC1BLu2mCxRy8c"
    "xbmD2eex_0_3rZB_6suYi_0v_vH4BZ_LTRg="
)


async def test_a_checkpoint_of_old_is_gone_on_with() -> None:
    """It holds phones alone: of a list that has lids today, no chat comes twice, and none is missed."""
    async with (
        PlugChatSimulator(7, seed=7, dialect="documented") as sim,
        PlugChatSession(sim.token, base_url=sim.base_url, server_traits=known()) as session,
    ):
        before = [chat.phone for chat in sim.chats[:4]]
        assert set(unpacked(OLD).seen) == set(before)
        rows = [converter.unstructure(evolve(chat, lid=f"{chat.phone}@lid")) for chat in sim.chats]
        sim.script(*[Fault.answer(json.dumps(page)) for page in (rows[4:6], rows[6:])])
        reports: list[WalkReport] = []
        rest = await session.list_chats(resume=OLD, on_report=reports.append)
        assert [chat.phone for chat in rest] == [chat.phone for chat in sim.chats[4:]]
        assert reports[0].verified


def test_a_checkpoint_of_version_2_is_read() -> None:
    """Keys were phones, or a lid with a name; windows begin again, since their last rows are not known."""
    value = {
        "config": {"path": CHATS_PATH, "page_size": 5, "consistency": "strict"},
        "size": 5,
        "stage": "windows",
        "page": 3,
        "seen": ["551", "a@lid\nAna", "a@lid\nBea", "b@lid\n", "552"],
        "delivered": 5,
        "scan": {"newest": "2021-06-06T00:00:00Z", "rows_read": 5},
        "windows": {"position": 8, "overlap": 2, "tie_count": 3, "failure": "odd"},
        "pending": [{"phone": "553"}],
    }
    state = unpacked(text_of(2, value))
    assert state.config.consistency == "strict"
    assert (state.size, state.stage, state.page, state.delivered) == (5, "windows", 3, 5)
    assert set(state.seen) == {"551", "552", "\na@lid", "\nb@lid"}
    assert state.several == {"\na@lid": 2}
    assert state.old_keys
    assert state.passes == 1
    assert state.scan.rows_read == 5
    assert state.windows == WindowState(failure="odd")
    assert state.pending == [{"phone": "553"}]
    assert unpacked(packed_walk(state)) == state


def test_a_checkpoint_of_version_2_that_read_pages_goes_on_in_them() -> None:
    """Its pass is the one that it was."""
    value = {"config": {"path": CHATS_PATH, "page_size": 5}, "size": 5, "stage": "passes", "page": 2, "seen": ["1"]}
    assert unpacked(text_of(2, value)).passes == 0
    assert unpacked(text_of(2, value | {"passes": 3})).passes == 3


def test_a_checkpoint_of_version_1_is_read() -> None:
    """One level, with other names."""
    value = {
        "consistency": "strict",
        "page_size": 7,
        "size": 5,
        "stage": "cover",
        "number": 4,
        "phase": 2,
        "seen": ["551"],
        "delivered": 1,
        "bound": "2021-06-05T00:00:00Z",
        "newest": "2021-06-06T00:00:00Z",
        "oldest": "2021-06-04T00:00:00Z",
        "ordered": False,
        "countable": False,
        "places": 9,
        "end": 12,
        "objection": "odd",
    }
    state = unpacked(text_of(1, value))
    assert state.config == WalkConfig(path=CHATS_PATH, page_size=7, consistency="strict")
    assert (state.size, state.stage, state.page, state.passes, state.delivered) == (5, "windows", 4, 2, 1)
    assert (state.scan.ordered, state.scan.countable, state.scan.rows_read) == (False, False, 9)
    assert [time.day for time in (state.scan.bound, state.scan.newest, state.scan.oldest) if time] == [5, 6, 4]
    assert state.windows == WindowState(failure="odd")
    assert set(state.seen) == {"551"}
    plain = unpacked(text_of(1, {"consistency": "plain", "page_size": 7, "size": 7, "stage": "pages", "number": 2}))
    assert (plain.stage, plain.page, plain.passes) == ("pages", 2, 0)


async def test_lids_of_old_are_not_yielded_again() -> None:
    """Rows with a lid alone, two of one person: the checkpoint counts them."""
    rows = [Chat(None, name, lid="a@lid") for name in ("Ana", "Bea", "Cleo")]
    value = {
        "config": {"path": CHATS_PATH, "page_size": 5},
        "size": 5,
        "stage": "passes",
        "seen": ["a@lid\nAna", "a@lid\nBea"],
        "delivered": 2,
    }
    walked = Walked(unpacked(text_of(2, value)), known())
    walked.run(lambda number, size: Page(number, size, tuple(rows[(number - 1) * size : number * size]), b""))
    assert [chat.name for page in walked.pages for chat in page.chats] == ["Cleo"]
    assert not walked.stats.verified  # it does not say what the two looked like


def text_of(version: int, value: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(zlib.compress(json.dumps({"version": version, "value": value}).encode())).decode()


def test_a_checkpoint_has_all_fields() -> None:
    """Each of them differs from its default, and comes back."""
    time = datetime(2021, 6, 6, 1, 2, 3, 456789, tzinfo=UTC)
    state = WalkState(
        config=WalkConfig(
            path=CHATS_PATH, page_size=5, consistency="strict", stop_on="empty", start_page=2, max_page_size=9
        ),
        size=7,
        stage="windows",
        page=3,
        passes=2,
        seen=SeenKeys(["1\n", "\na@lid"]),
        several={"1\n": 2},
        delivered=3,
        labels={"1\n": [7, 8]},
        other_names={"1\n": [9]},
        since=time,
        scan=PassState(bound=time, newest=time, oldest=time, ordered=False, countable=False, rows_read=4, copies=1),
        windows=WindowState(
            position=5,
            overlap=3,
            tie_count=2,
            oldest=time,
            tail=[("1\n", time), ("\na@lid", None)],
            failure="odd",
        ),
        old_keys=True,
        pending=[{"phone": "1"}],
        salt="salt",
        account="token:hash",
    )
    parts: list[Any] = [state, state.config, state.scan, state.windows]
    for part in parts:
        for a in fields(type(part)):
            default: Any = a.default
            if a.name in ("yielded", "last_rows"):  # what is made of them is in the text: labels, and `tail`
                continue
            assert getattr(part, a.name) != (default.factory() if hasattr(default, "factory") else default), a.name
    assert unpacked(packed_walk(state)) == state
