"""Rows of contacts and pending chats: the accelerator changes nothing, and a bad value costs only itself."""

import json
from contextlib import suppress
from datetime import datetime
from typing import Any

import attrs
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from plugchat_async import Contact, PendingChat, Problem, ResponseError
from plugchat_async._http.decode_values import wire_name
from plugchat_async.converter import converter

SLOW = converter.copy()

TEXTS = st.none() | st.text(max_size=5) | st.integers() | st.sampled_from(["", "null", "\ud800"])
FLAGS = st.sampled_from(["0", "1", "true", "FALSE", 0, 1, True, False, 2, "yes", None, ""])
COUNTS = st.integers() | st.integers(-2, 20).map(str) | st.floats() | st.sampled_from([True, None, "", "null", "1e3"])
TIMES: st.SearchStrategy[object] = (
    st.integers(-(10**11), 10**18)
    | st.integers(0, 10**15).map(str)
    | st.sampled_from(["0", 0, None, "", "-1", "2021-06-06T12:00:00Z", "2021-06-06T12:00:00", [], {}])
)
CONTACTS = st.fixed_dictionaries(
    {"phone": TEXTS},
    optional=dict.fromkeys(("name", "short", "vname", "notify", "lid", "x"), TEXTS | FLAGS),
)
PENDING = st.fixed_dictionaries(
    {"phone": TEXTS},
    optional={
        "name": TEXTS,
        "lid": TEXTS,
        "profileThumbnail": TEXTS,
        "lastMessageTime": TIMES,
        "unreadMessagesCount": COUNTS,
        "isMarkedAsUnread": FLAGS,
        "isMuted": FLAGS,
    },
)
ROWS = st.tuples(st.just(Contact), st.lists(CONTACTS, max_size=4)) | st.tuples(
    st.just(PendingChat), st.lists(PENDING, max_size=4)
)


def read(body: bytes, item: type[Any], using: Any) -> str:
    """Return what becomes of a body, as text."""
    problems: list[Problem] = []
    try:
        return repr((using.loads(body, item, problems=problems), problems))
    except ResponseError as error:
        return repr(error)


@pytest.mark.slow
@settings(max_examples=300)
@given(ROWS)
@example((PendingChat, [{"phone": "1", "lastMessageTime": "2021-06-06T12:00:00+03:00"}]))
@example((PendingChat, [{"phone": "", "lid": "1@lid", "unreadMessagesCount": "-1", "isMuted": None}]))
@example((Contact, [{"phone": 5511, "short": ""}, {"lid": "1@lid"}, {"name": "x"}]))
def test_the_accelerator_changes_nothing(case: tuple[type[Any], list[dict[str, Any]]]) -> None:
    """With it and without it a body gives the same items and problems, or the same error."""
    item, rows = case
    body = json.dumps(rows).encode()
    assert read(body, item, converter) == read(body, item, SLOW)


def class_of_your_own(fields: dict[str, tuple[Any, list[Any]]]) -> type[Any]:
    """Return a class with a phone and other fields, by name: their type, and their default if they have one."""
    members = {
        name: attrs.field(type=kind, kw_only=True, **({"default": default[0]} if default else {}))
        for name, (kind, default) in fields.items()
    }
    return attrs.make_class("Mine", members, frozen=True)


NONE_OR: st.SearchStrategy[list[Any]] = st.just([None]) | st.just([])
OTHER_FIELDS: st.SearchStrategy[Any] = (
    st.tuples(st.sampled_from([str | None, int | None, bool | None, datetime | None]), NONE_OR)
    | st.tuples(st.just(str), st.sampled_from([[], [""]]))
    | st.tuples(st.just(int), st.sampled_from([[], [7]]))
    | st.tuples(st.just(bool), st.sampled_from([[], [True]]))
    | st.tuples(st.just(datetime), st.just([]))
)
PHONES: st.SearchStrategy[Any] = st.tuples(st.just(str | None), NONE_OR) | st.tuples(
    st.just(str), st.sampled_from([[], [""]])
)
NAMES = ["last_message_time", "muted_until", "is_pinned", "a_b", "rows"]
VALUES = TEXTS | FLAGS | COUNTS | TIMES


@pytest.mark.slow
@settings(max_examples=400)
@given(
    st.fixed_dictionaries({"phone": PHONES}, optional=dict.fromkeys(NAMES, OTHER_FIELDS) | {"lid": PHONES}),
    st.lists(
        st.fixed_dictionaries({}, optional={wire_name(name): VALUES for name in ("phone", "lid", *NAMES)}), max_size=4
    ),
)
@example({"phone": (str, [""])}, [{"phone": "1"}, {"phone": ""}, {}, {"phone": "2"}])
@example({"phone": (str, []), "a_b": (bool | None, []), "rows": (int, [7])}, [{"phone": "1", "aB": None, "rows": "x"}])
@example({"phone": (str, []), "muted_until": (datetime, [])}, [{"phone": "1", "muteEndTime": 0}] * 2)
@example(
    {"phone": (str, []), "muted_until": (datetime | None, [])}, [{"phone": "1", "muteEndTime": None}, {"phone": ""}]
)
@example({"phone": (str, []), "muted_until": (str | None, [None])}, [{"phone": "1", "muteEndTime": 5}])
def test_the_accelerator_changes_no_class_of_your_own(
    fields: dict[str, tuple[Any, list[Any]]], rows: list[dict[str, Any]]
) -> None:
    """Whatever types and defaults its fields have; and a value is of its field's type."""
    item = class_of_your_own(fields)
    body = json.dumps(rows).encode()
    assert read(body, item, converter) == read(body, item, SLOW)
    with suppress(ResponseError):
        for found in converter.loads(body, item, problems=[]):
            assert found.phone or getattr(found, "lid", None)
            for name, (kind, _) in fields.items():
                assert isinstance(getattr(found, name), kind)


@pytest.mark.slow
@settings(max_examples=300)
@given(ROWS, st.data())
def test_a_bad_value_costs_only_itself(case: tuple[type[Any], list[dict[str, Any]]], data: st.DataObject) -> None:
    """Whatever one field of one row holds, all rows with a phone are there, and its other fields are as before."""
    item, rows = case
    rows = [row | {"phone": f"55{number}"} for number, row in enumerate(rows)]
    before = converter.loads(json.dumps(rows).encode(), item, problems=[])
    assert len(before) == len(rows)
    if not rows:
        return
    odd = data.draw(st.integers(0, len(rows) - 1))
    names = [a.name for a in attrs.fields(item) if a.name not in ("phone", "lid")]
    name = data.draw(st.sampled_from(names))
    rows[odd] = rows[odd] | {wire_name(name): data.draw(st.lists(TEXTS, max_size=2) | TEXTS | st.just({"phone": "1"}))}
    after = converter.loads(json.dumps(rows).encode(), item, problems=[])
    assert [x for n, x in enumerate(after) if n != odd] == [x for n, x in enumerate(before) if n != odd]
    for other in set(names) - {name}:
        assert getattr(after[odd], other) == getattr(before[odd], other)
