"""Chats that are kept for later: as bodies, which are read again only when they are needed."""

from collections.abc import Generator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugchat_async import Chat, Page
from plugchat_async._pagination.kept_chats import KeptPage, KeptRows, Reread, YieldedChats, kept
from plugchat_async._pagination.walk_steps import ordered_keys
from support.moving import Bodies

# Persons by number, with a number that tells their rows apart.
ROWS = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 2)), max_size=12)


class Counting(Bodies):
    """Counts how often a body is read again."""

    reads = 0

    def reread(self, raw: bytes) -> Generator[None, None, tuple[Chat, ...]]:
        self.reads += 1
        return super().reread(raw)


def page_of(bodies: Bodies, *chats: Chat, unreadable: tuple[str, ...] = ()) -> Page:
    return bodies.added(Page(1, 100, chats, b"", unreadable_keys=unreadable))


def kept_page(bodies: Bodies, *chats: Chat, reread: Reread | None = None) -> KeptPage:
    page = page_of(bodies, *chats)
    return kept(page, ordered_keys(page), reread)


def test_a_page_is_read_again_once() -> None:
    """When one of its chats is needed; its neighbours are there then."""
    bodies, yielded = Counting(), YieldedChats()
    ana, bia, carla = Chat("1"), Chat("2"), Chat("3")
    yielded.keep_page(kept_page(bodies, ana, bia, reread=bodies.reread))
    yielded.keep_page(kept_page(bodies, carla, reread=bodies.reread))
    assert yielded.of("4\n") == ()
    assert bodies.reads == 0
    assert yielded.of("1\n") == (ana,)
    assert yielded.of("2\n") == (bia,)
    assert bodies.reads == 1
    assert yielded.of("3\n") == (carla,)
    assert bodies.reads == 2


def test_chats_of_a_key_are_in_order() -> None:
    """The one of a page that was not read again comes first."""
    bodies, yielded = Bodies(), YieldedChats()
    rows = [Chat("1", "A"), Chat("1", "B"), Chat("1", "C")]
    yielded.keep_page(kept_page(bodies, rows[0], reread=bodies.reread))
    yielded.keep(["1\n", "1\n"], rows[1:])
    yielded.keep([], [])
    assert list(yielded.of("1\n")) == rows
    assert len(yielded.pages) == 2
    yielded.clear()
    assert yielded.of("1\n") == ()
    yielded.keep(["1\n"], rows[2:])
    assert list(yielded.of("1\n")) == rows[2:]


def test_rows_that_are_no_chats_are_not_kept() -> None:
    """Their keys are behind those of the chats."""
    bodies = Bodies()
    page = page_of(bodies, Chat("1"), unreadable=("?x",))
    for reread in (None, bodies.reread):
        found = kept(page, ordered_keys(page), reread)
        assert found.keys == ["1\n"]
        assert bool(found.raw) == (found.chats is None) == (reread is not None)
        assert list(found.read()) == [Chat("1")]
        assert found.chats == (Chat("1"),)
        assert found.raw == b""


def test_chats_are_compared_however_they_are_kept() -> None:
    """States of walks are compared in tests."""
    bodies = Bodies()
    as_body, as_chats, others = YieldedChats(), YieldedChats(), YieldedChats()
    as_body.keep_page(kept_page(bodies, Chat("1"), reread=bodies.reread))
    as_chats.keep(["1\n"], (Chat("1"),))
    others.keep(["1\n"], (Chat("1", "A"),))
    assert as_body == as_chats
    assert as_body != others
    assert as_body != 1


@given(rows=ROWS, cuts=st.lists(st.integers(0, 12)), other_cuts=st.lists(st.integers(0, 12)), change=st.integers(0, 20))
def test_passes_are_compared_page_by_page(
    rows: list[tuple[int, int]], cuts: list[int], other_cuts: list[int], change: int
) -> None:
    """In pages of any lengths, kept in any way: all pages are there if no row has changed, and none is missing."""
    bodies = Bodies()
    chats = [Chat(str(phone), str(name)) for phone, name in rows]
    changed = [Chat("9") if place == change else chat for place, chat in enumerate(chats)]
    last, same = KeptRows(), True
    for begin, end in windows(cuts, len(chats)):
        last.add(kept_page(bodies, *chats[begin:end], reread=bodies.reread if begin % 2 else None))
    for begin, end in windows(other_cuts, len(chats)):
        page = kept_page(bodies, *changed[begin:end], reread=bodies.reread)
        same = same and last.has_at(begin, page, changed[begin:end])
    assert same == (change >= len(chats))
    assert not last.has_at(len(chats), page_of_one := kept_page(bodies, Chat("9"), reread=bodies.reread), [Chat("9")])
    assert page_of_one.raw


def windows(cuts: list[int], length: int) -> list[tuple[int, int]]:
    """Return where pages begin and end."""
    places = sorted({0, length, *(cut for cut in cuts if cut < length)})
    return list(pairwise(places))


def test_an_equal_body_at_the_same_place_is_not_read_again() -> None:
    """A list that has not changed costs nothing."""
    bodies, rows = Counting(), KeptRows()
    pages = [(Chat("1"), Chat("2")), (Chat("3"),)]
    for chats in pages:
        rows.add(kept_page(bodies, *chats, reread=bodies.reread))
    for place, chats in ((0, pages[0]), (2, pages[1])):
        assert rows.has_at(place, kept_page(bodies, *chats, reread=bodies.reread), chats)
    assert bodies.reads == 0
    assert not rows.has_at(1, kept_page(bodies, *pages[1], reread=bodies.reread), pages[1])
    assert bodies.reads == 1


@given(rows=ROWS, cuts=st.lists(st.integers(0, 12)))
def test_keys_of_a_pass(rows: list[tuple[int, int]], cuts: list[int]) -> None:
    """However many rows have one, and wherever pages begin; no body is read for that."""
    bodies, found = Counting(), KeptRows()
    chats = [Chat(str(phone), str(name)) for phone, name in rows]
    for begin, end in windows(cuts, len(chats)):
        found.add(kept_page(bodies, *chats[begin:end], reread=bodies.reread))
    phones = [phone for phone, _ in rows]
    assert found.repeated_keys() == {f"{phone}\n" for phone in phones if phones.count(phone) > 1}
    assert found.count_keys() == len(set(phones))
    assert bodies.reads == 0


@pytest.mark.parametrize(
    ("raw", "problem_count", "is_body"),
    [(b"x" * 2048, 0, True), (b"x" * 2049, 0, False), (b"x", 1, False), (b"", 0, False)],
)
def test_a_body_that_is_large_or_slow_is_not_kept(raw: bytes, problem_count: int, is_body: bool) -> None:
    """One with keys that chats have not takes more memory than they, and one with odd values takes long to read."""
    chats = (Chat("1"), Chat("2"))
    page = Page(1, 100, chats, raw, problem_count=problem_count)
    found = kept(page, ordered_keys(page), Bodies().reread)
    assert (found.chats is None) == is_body
    assert found.raw == (raw if is_body else b"")


def test_a_page_that_was_refused_has_no_body() -> None:
    """The walk makes it itself, and there is nothing to read again."""
    yielded = YieldedChats()
    page = kept(Page(1, 100, (), b""), [], Bodies().reread)
    assert page.read() == ()
    yielded.keep_page(page)
    assert yielded.pages == []


@pytest.mark.parametrize("cut", [0, 1])
def test_an_empty_page_is_anywhere(cut: int) -> None:
    """It has no row that differs."""
    bodies, rows = Bodies(), KeptRows()
    rows.add(kept_page(bodies, Chat("1")))
    assert rows.has_at(cut, kept_page(bodies), ())
