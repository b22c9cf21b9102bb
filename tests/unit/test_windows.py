"""Windows: page numbers and sizes that begin and end where they should."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugchat_async._pagination.windows import min_overlap, next_window

_TINY = 32


@pytest.mark.parametrize(("size", "overlap"), [(1, 2), (8, 2), (16, 2), (24, 3), (32, 4), (1000, 4)])
def test_the_least_overlap(size: int, overlap: int) -> None:
    """Two rows, up to four of large pages."""
    assert min_overlap(size) == overlap


@pytest.mark.parametrize(
    ("end", "size", "overlap", "window"),
    [
        (0, 10, 0, (1, 10)),
        (10, 10, 0, (2, 10)),
        (10, 10, 1, (2, 9)),
        (10, 10, 2, (2, 8)),
        (1000, 1000, 4, (2, 996)),
        (40, 10, 1, (5, 9)),
        (3, 1, 1, (2, 2)),
        (5, 10, 5, (1, 10)),
    ],
)
def test_windows(end: int, size: int, overlap: int, window: tuple[int, int]) -> None:
    """Of all that begin early enough, the one that goes down farthest."""
    assert next_window(end, size, overlap) == window


@given(st.integers(0, 3000), st.integers(1, 120), st.integers(0, 150))
def test_a_window_overlaps_and_goes_on(end: int, size: int, overlap: int) -> None:
    """It begins early enough, goes past the end, and is no larger than it must be; or there is none."""
    number, width = next_window(end, size, overlap)
    if width == 0:
        assert number == 1
        # Not even the largest window that is tried reaches from there past the end.
        largest = max(size, _TINY)
        start = max(0, end - overlap)
        assert (start // largest + 1) * largest <= end
        return
    assert number >= 1
    assert (number - 1) * width <= max(0, end - overlap)
    assert number * width > end
    assert width <= max(size, _TINY)


def test_there_is_none_if_too_many_rows_must_be_seen_twice() -> None:
    """As where a hundred chats have one time, in pages of ten."""
    assert next_window(200, 10, 100) == (1, 0)
