"""Servers in memory that end their lists in their own ways."""

from collections.abc import Callable, Iterable, Sequence

from plugchat_async import Chat, Page, ServerError, UnexpectedStatusError
from support.moving import Read

# Gives the ids of a page.
Ids = Callable[[int, int], Sequence[int]]


def answering(ids: Ids) -> Read:
    """Answer with chats of these ids."""
    return lambda number, size: Page(number, size, tuple(Chat(str(i)) for i in ids(number, size)), b"")


def honest(total: int) -> Ids:
    """A server that does what was agreed."""
    return lambda page, size: range(total)[(page - 1) * size : page * size]


def capped(total: int, cap: int) -> Ids:
    """A server that takes a larger pageSize for its cap, in limit and offset."""
    return lambda page, size: honest(total)(page, min(size, cap))


def limit_only(total: int, cap: int) -> Ids:
    """A server that caps the number of rows, but not the offset."""
    return lambda page, size: honest(total)(page, size)[:cap]


def hiding(total: int, hidden: Iterable[int]) -> Ids:
    """A server that leaves rows out after it has cut a page."""
    out = set(hidden)
    return lambda page, size: [i for i in honest(total)(page, size) if i not in out]


def ending(ids: Ids, total: int, past_end: Callable[[int], int]) -> Ids:
    """A server that has another page, by its number, past the end."""

    def read(page: int, size: int) -> Sequence[int]:
        last = max(1, -(-total // size))
        return ids(page if page <= last else past_end(last), size)

    return read


def refusing(ids: Ids, total: int) -> Read:
    """A server that answers pages past the end with 404."""
    answer = answering(ids)

    def read(number: int, size: int) -> Page:
        if number > max(1, -(-total // size)):
            raise UnexpectedStatusError("HTTP 404", status=404)
        return answer(number, size)

    return read


def failing_at(read: Read, *requests: int) -> Read:
    """A server that is down at these requests, counted from 0."""
    count = -1

    def answer(number: int, size: int) -> Page:
        nonlocal count
        count += 1
        if count in requests:
            raise ServerError("down")
        return read(number, size)

    return answer


def in_turn(*answers: Read | Ids | int) -> Read:
    """Another server for each request, the last one for all that follow. A number is the length of an honest list."""
    left = list(answers)

    def read(number: int, size: int) -> Page:
        answer = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(answer, int):
            answer = honest(answer)
        page = answer(number, size)
        return page if isinstance(page, Page) else Page(number, size, tuple(Chat(str(i)) for i in page), b"")

    return read
