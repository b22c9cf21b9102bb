"""Windows: pages of other sizes than `page_size`, chosen so that they overlap. Pure arithmetic."""

from functools import lru_cache
from typing import Final

# Where pages are tiny, windows may have to be larger than them.
_TINY: Final = 32


def min_overlap(size: int) -> int:
    """Return the number of chats by which windows overlap: at least two, so that the times overlap, too."""
    return max(2, min(4, size // 8))


@lru_cache(maxsize=1024)
def next_window(end: int, size: int, overlap: int) -> tuple[int, int]:
    """Return page number and page size of the window that continues at a place of the list.

    It begins at least `overlap` places before `end`, and of all such windows it goes down farthest. It has at most
    `size` places, or as few more as are needed where `size` is tiny. (1, 0) if there is none.
    """
    start = max(0, end - overlap)
    best = (1, 0)
    for candidate in range(size, 0, -1):
        if start + candidate <= best[0] * best[1]:
            break
        number = start // candidate + 1
        if number * candidate > best[0] * best[1]:
            best = number, candidate
    while best[0] * best[1] <= end:
        size += 1
        if size > _TINY:
            return 1, 0
        best = start // size + 1, size
    return best
