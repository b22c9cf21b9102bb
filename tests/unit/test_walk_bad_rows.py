"""Walks over lists with rows that can't be read: they take places, and prove as much and as little as others do."""

import json
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plugchat_async import Chat, Page
from plugchat_async._http.decode import Decoded
from plugchat_async._http.decode_values import wire_name
from plugchat_async._http.secret import Secret
from plugchat_async._internal.steps import finish
from plugchat_async._pagination.walk_state import Consistency
from plugchat_async.converter import converter
from support.moving import Read, walk_over

Row = dict[str, Any]
CONSISTENCIES: list[Consistency] = ["exact", "strict", "plain"]
NOBODY: Row = {"name": "nobody"}


def phone(number: int) -> str:
    """What no value that chance makes is."""
    return f"5511{number:06}"


def row(number: int) -> Row:
    """A row of today's list; those with small numbers are newer."""
    return {"phone": phone(number), "lid": f"{number}@lid", "lastMessageTime": str((2_000_000_000 - number) * 1000)}


def page_of(rows: Sequence[object], number: int, size: int) -> Page:
    """What is read of an answer with a page of these rows."""
    body = json.dumps(rows[(number - 1) * size : number * size]).encode()
    decoded = finish(converter.decode_slices(body, Secret("unused"), Chat, "warn"))
    assert isinstance(decoded, Decoded), decoded
    return Page(number, size, decoded.items, body, unreadable_keys=decoded.unreadable, problems=decoded.problems)


def serving(rows: Sequence[object], after: Callable[[int], object] = lambda _: None) -> Read:
    """Answer from a list; `after` is called after each answer, with how many there were."""
    answered = 0

    def read(number: int, size: int) -> Page:
        nonlocal answered
        page = page_of(rows, number, size)
        answered += 1
        after(answered)
        return page

    return read


@pytest.mark.parametrize("ahead", [0, 2])
@pytest.mark.parametrize("consistency", ["exact", "strict"])
@pytest.mark.parametrize("place", range(12))
def test_a_row_that_is_pushed_down_shows_that_a_chat_jumped(consistency: Consistency, ahead: int, place: int) -> None:
    """At the end of a page it is read again, as any other row would be: who jumped meanwhile is not missed."""
    rows = [row(number) for number in range(24)]
    rows.insert(place, NOBODY)

    def jump(answered: int) -> None:
        if answered == 1:
            rows.insert(0, rows.pop(16) | {"lastMessageTime": "2000000001000"})

    walked = walk_over(serving(rows, jump), 10, consistency, ahead=ahead, order=Random(7))
    assert set(walked.got) == {phone(number) for number in range(24)}
    assert walked.twice == 0


@pytest.mark.parametrize("ahead", [0, 4])
@pytest.mark.parametrize("consistency", CONSISTENCIES)
@pytest.mark.parametrize("place", [0, 5, 9, 10, 55, 93])
def test_one_row_costs_no_requests(consistency: Consistency, ahead: int, place: int) -> None:
    """A list that stands still is read with as many requests as if it could be read.

    Where windows overlap in it, each of the two scans takes two more, and drops what was prefetched.
    """
    rows = [row(number) for number in range(95)]
    clean = walk_over(serving(rows), 10, consistency, ahead=ahead)
    rows[place] = NOBODY
    walked = walk_over(serving(rows), 10, consistency, ahead=ahead)
    assert walked.got == [name for name in clean.got if name != phone(place)]
    assert len(walked.asked) <= len(clean.asked) + (2 * (2 + ahead) if consistency == "strict" else 0)
    assert walked.stats.verified == clean.stats.verified


ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=4)
    | st.sampled_from(["-1", "1e999", ""]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
)
KEYS = st.sampled_from(
    [wire_name(name) for name in ("phone", "lid", "name", "unread", "last_message_time", "is_pinned")]
)


@pytest.mark.slow
@settings(max_examples=200)
@given(
    st.dictionaries(st.integers(0, 23), st.tuples(KEYS, ANYTHING), max_size=6),
    st.sampled_from(CONSISTENCIES),
    st.sampled_from([0, 3]),
    st.integers(4, 30),
)
def test_a_walk_yields_every_other_chat(
    bad: dict[int, tuple[str, object]], consistency: Consistency, ahead: int, size: int
) -> None:
    """Whatever JSON fields of some rows hold, the other rows' chats come once each."""
    rows: list[Row] = [row(number) for number in range(24)]
    for place, (key, value) in bad.items():
        rows[place] |= {key: value}
    walked = walk_over(serving(rows), size, consistency, ahead=ahead)
    others = {phone(number) for number in range(24) if number not in bad}
    assert others <= set(walked.got)
    assert sum(name in others for name in walked.got) == len(others)
