"""A walk that failed goes on: nothing comes twice, nothing is lost."""

import base64
import json
import tracemalloc
import zlib
from itertools import count
from random import Random
from typing import Any

import pytest
from attrs import asdict, evolve
from hypothesis import given
from hypothesis import strategies as st

from plugchat_async import InvalidValueError, Page, PageLimitError, PlugChatSession, ServerError, WalkReport
from plugchat_async._http.urls import CHATS_PATH
from plugchat_async._pagination.checkpoint import VERSION, pack, unpack
from plugchat_async._pagination.options import WalkSettings
from plugchat_async._pagination.walk_state import Consistency, WalkConfig, WalkState
from plugchat_async.converter import converter
from plugchat_async.testing import Fault, PlugChatSimulator
from support.moving import MovingList, Read, Walked, begun, moving, page_of

FIVE = WalkState.at_start(WalkConfig(path=CHATS_PATH, page_size=5), ahead=False)
EVENTS = [(request, (kind, request * 7)) for request in range(1, 12) for kind in ("bump", "insert")]


def unpacked(text: str) -> WalkState:
    return unpack(text, CHATS_PATH)


def failing(read: Read, at: int) -> Read:
    """Answer until a request fails, and the same one again if it is repeated."""
    requests = count()

    def read_or_fail(number: int, size: int) -> Page:
        if next(requests) == at:
            raise ServerError("down")
        return read(number, size)

    return read_or_fail


def walk_with_a_break(
    read: Read, consistency: Consistency, at: int, *, size: int = 5, ahead: int = 0, order: Random | None = None
) -> tuple[Walked, bool]:
    """Walk, fail at a request, keep the checkpoint as text, and walk on. Also tells whether it failed."""
    first = begun(size, consistency, ahead=ahead)
    try:
        return first.run(failing(read, at), ahead=ahead, order=order), False
    except ServerError:
        second = Walked(unpacked(pack(first.state)), got=list(first.got))
        return second.run(read, ahead=ahead, order=order), True


@pytest.mark.parametrize("ahead", [0, 3])
@pytest.mark.parametrize("consistency", ["exact", "strict"])
def test_nothing_comes_twice_and_nothing_is_lost(consistency: Consistency, ahead: int) -> None:
    """Whichever request fails, in whichever pass, while the list moves on."""
    at = -1
    failed = True
    while failed:
        at += 1
        listed = MovingList(43)
        walked, failed = walk_with_a_break(moving(listed, EVENTS), consistency, at, ahead=ahead, order=Random(at))
        assert walked.twice == 0
        assert walked.stats.verified
        assert listed.there <= set(walked.got)
    assert at > 10


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
        walked, _ = walk_with_a_break(MovingList(43).page, consistency, 3)
        assert walked.asked == [(number, 5) for number in range(4, 10)]
        assert walked.got == [str(name) for name in range(43)]


def test_a_plain_walk_repeats_no_page() -> None:
    """What it had yielded is not asked for again; while the list moves it repeats chats, as it always does."""
    listed = MovingList(40)
    first = begun(10, "plain")
    with pytest.raises(ServerError):
        first.run(failing(listed.page, 2))
    listed.happen(("bump", 39))
    second = Walked(unpacked(pack(first.state))).run(listed.page)
    assert second.asked == [(3, 10), (4, 10), (5, 10)]
    assert second.got == [str(name) for name in range(19, 39)]


@pytest.mark.parametrize("consistency", ["plain", "exact", "strict"])
@pytest.mark.parametrize("limit_only", [False, True])
def test_a_capped_walk_goes_on_in_pages_of_its_cap(consistency: Consistency, limit_only: bool) -> None:
    """Also if it was the check of the cap that failed."""
    listed = MovingList(120)

    def capped(number: int, size: int) -> Page:
        page = listed.page(number, size if limit_only else min(size, 50))
        return Page(number, size, page.chats[:50], b"")

    for at in range(1, 4):
        walked, failed = walk_with_a_break(capped, consistency, at, size=100)
        assert walked.got[:50] == [str(name) for name in range(50)]
        assert sorted(walked.got) == sorted(listed.there)
        assert failed == (at < 3 or consistency == "strict")
        assert walked.stats.verified == (consistency != "plain")


def test_a_limit_can_be_raised() -> None:
    """PageLimitError has a checkpoint, too: it stands behind what was yielded."""
    first = begun(10, "exact")
    with pytest.raises(PageLimitError):
        first.run(MovingList(45).page, max_pages=2)
    second = Walked(unpacked(pack(first.state)), got=first.got).run(MovingList(45).page)
    assert second.got == [str(name) for name in range(45)]
    assert second.asked == [(3, 10), (4, 10), (5, 10)]
    assert second.stats.verified


def test_the_last_request_that_failed_is_all_that_is_asked_again() -> None:
    """A prefetching walk counts what was seen, in whichever walk that was."""
    listed = MovingList(205)
    whole = begun(10, "exact", ahead=4).run(listed.page, ahead=4)
    walked, failed = walk_with_a_break(listed.page, "exact", len(whole.asked) - 1, size=10, ahead=4)
    assert failed
    assert walked.stats.verified
    assert walked.asked[-1] == (21, 10)
    assert len(walked.asked) <= 3


def test_strict_goes_on_with_few_pages_at_a_time() -> None:
    """max_pages counts the pages of each walk."""
    listed = MovingList(60)
    state = begun(10, "strict").state
    walked = Walked(state)
    while not walked.stats.verified:
        try:
            walked.run(listed.page, max_pages=1)
        except PageLimitError:
            walked = Walked(unpacked(pack(walked.state)), got=walked.got)
    assert sorted(walked.got, key=int) == [str(name) for name in range(60)]


def test_prefetch_may_begin_when_a_walk_goes_on() -> None:
    """What was read in order counts as well."""
    first = begun(10, "exact")
    with pytest.raises(ServerError):
        first.run(failing(MovingList(205).page, 5))
    options = WalkSettings(page_size=1, resume=pack(first.state), prefetch=4)
    second = Walked(options.state(CHATS_PATH), got=first.got).run(MovingList(205).page, ahead=4)
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
        second = Walked(unpacked(pack(first.state)))
        with pytest.raises(PageLimitError):
            second.run(MovingList(100).page, max_pages=5)
        assert second.got == [str(name) for name in range(5, 10)]


@pytest.mark.parametrize("consistency", ["plain", "exact"])
def test_a_check_of_a_walk_to_an_empty_page_is_gone_on_from(consistency: Consistency) -> None:
    """Whichever of its requests failed."""
    listed = MovingList(40)

    def capped(number: int, size: int) -> Page:
        return Page(number, size, listed.page(number, size).chats[:10], b"")

    for at in range(1, 5):
        first = begun(20, consistency, stop_on="empty")
        with pytest.raises(ServerError):
            first.run(failing(capped, at))
        second = Walked(unpacked(pack(first.state)), got=first.got).run(capped)
        assert sorted(second.got, key=int) == [str(name) for name in range(40)]


# The text.


def test_a_checkpoint_keeps_all_of_a_standing() -> None:
    """Each field, times and all."""
    listed = MovingList(30)
    kinds: list[Consistency] = ["plain", "exact", "strict"]
    for consistency in kinds:
        for read in (moving(listed, EVENTS), lambda number, size: page_of(number, size, [("1", None)])):
            walked = begun(7, consistency)
            walked.run(read)
            assert unpacked(pack(walked.state)) == walked.state


@pytest.mark.parametrize(("consistency", "most"), [("plain", 160), ("exact", 9 * 10_000)])
def test_a_checkpoint_is_small(consistency: Consistency, most: int) -> None:
    """Nothing but where it stands for plain; some bytes a chat for the others, here real-looking phones."""
    state = WalkState.at_start(WalkConfig(path=CHATS_PATH, page_size=100, consistency=consistency), ahead=False)
    if consistency != "plain":
        chance = Random(1)
        state.seen = {f"55{chance.randrange(11, 99)}9{chance.randrange(10**8):08}" for _ in range(10_000)}
    text = pack(state)
    assert len(text) <= most
    assert text.isascii()
    assert json.loads(json.dumps(text)) == text


WHAT_TO_GIVE = "Pass the `checkpoint` of an error or of a walk unchanged, or leave out `resume` to start again."


def packed(*, version: object = VERSION, scan: object = None, windows: object = None, **changes: object) -> str:
    """A checkpoint, changed by hand: the state, its configuration, its pass and its windows."""
    fields: dict[str, Any] = asdict(FIVE) | {"seen": []}
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
        pack(FIVE)[:-8],
        pack(FIVE) + "\n",
        base64.urlsafe_b64encode(b"no zlib").decode(),
        base64.urlsafe_b64encode(zlib.compress(b"no JSON")).decode(),
        base64.urlsafe_b64encode(zlib.compress(b"[]")).decode(),
        base64.urlsafe_b64encode(zlib.compress(b'{"version": 1}')).decode(),
        packed(page_size=0),
        packed(page=-1),
        packed(size="5"),
        packed(consistency="exactly"),
        packed(scan={"newest": "2021-06-06T00:00:00"}),
        packed(seen=[5]),
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


@pytest.mark.parametrize(("version", "said"), [(3, "3"), (None, "null"), (10**30, "1" + 19 * "0")])
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
    pack(walked.state)
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
        PlugChatSession(sim.token, base_url=sim.base_url) as session,
    ):
        before = [chat.phone for chat in sim.chats[:4]]
        assert unpacked(OLD).seen == set(before)
        rows = [converter.unstructure(evolve(chat, lid=f"{chat.phone}@lid")) for chat in sim.chats]
        sim.script(*[Fault.answer(json.dumps(page)) for page in (rows[4:6], rows[6:])])
        reports: list[WalkReport] = []
        rest = await session.list_chats(resume=OLD, on_report=reports.append)
        assert [chat.phone for chat in rest] == [chat.phone for chat in sim.chats[4:]]
        assert reports[0].verified
