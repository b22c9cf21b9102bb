"""The ways in which a simulator departs from the vendor's page: how it counts, cuts, sorts and refuses."""

import zlib
from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import groupby
from typing import Final, Literal

from attrs import evolve, frozen

from plugchat_async._internal.validation import check_choice, check_int, check_optional_int, check_type
from plugchat_async._pagination.walk_steps import key_of
from plugchat_async.models import Chat
from plugchat_async.testing.account import SimulatedAccount

PastEnd = Literal["empty", "first", "last"]
Order = Literal["newest", "oldest", "shuffled"]
ContentType = Literal["required", "refused", "ignored"]
Method = Literal["GET", "POST"]

# The Retry-After of requests over the limit, in seconds.
RETRY_AFTER: Final = 30
_MAX_CHATS: Final = 10**6


@frozen(kw_only=True)
class Quirks:
    """The ways in which a `PlugChatSimulator` departs from the vendor's page. By default there are none.

        PlugChatSimulator(1000, quirks=Quirks(max_page_size=50))

    Attributes:
        first_page: The number of the first page, 1 or 0. Default 1.
        max_page_size: The cap on `pageSize`; larger pages are cut without an error. Default None: no cap.
        fixed_page_size: The size of every page, whatever `pageSize` is requested. Default None: as requested.
        refuse_page_size_above: The largest accepted `pageSize`; 400 for larger ones. Default None: all are accepted.
        ignore_page: Return the first page for each request. Default False.
        past_end: The content of a page past the end: "empty", or the "first" or "last" page again. Default "empty".
        order: The order of the list: "newest" first, "oldest" first, or "shuffled". Default "newest".
        pinned: The number of chats from the end of the list that are on top of it. In the dialect "gateway" they are
            chosen once, and their `is_pinned` is True. Default 0.
        tie_size: The number of neighbouring chats that have the same `last_message_time`. Default 1.
        reorder_ties: Change the order of chats with the same time from response to response. Default False.
        duplicates: The number of chats from the top of the list that are listed twice. Default 0.
        content_type: Whether Content-Type: application/json is "required", "refused" or "ignored". Default "required".
        method: The allowed method, "GET" or "POST". Default "GET".
        max_requests: The number of requests that are answered, of all accounts; later ones get 429 with Retry-After:
            30. All responses then have X-RateLimit-Limit and X-RateLimit-Remaining. Default None: no limit.

    Raises:
        InvalidValueError: A value is out of range.
        InvalidTypeError: A value has the wrong type.
    """

    first_page: int = 1
    max_page_size: int | None = None
    fixed_page_size: int | None = None
    refuse_page_size_above: int | None = None
    ignore_page: bool = False
    past_end: PastEnd = "empty"
    order: Order = "newest"
    pinned: int = 0
    tie_size: int = 1
    reorder_ties: bool = False
    duplicates: int = 0
    content_type: ContentType = "required"
    method: Method = "GET"
    max_requests: int | None = None

    def __attrs_post_init__(self) -> None:
        check_int("first_page", self.first_page, minimum=0, maximum=1)
        for name in ("max_page_size", "fixed_page_size", "refuse_page_size_above"):
            check_optional_int(name, getattr(self, name), minimum=1)
        check_optional_int("max_requests", self.max_requests, minimum=0)
        check_type("ignore_page", self.ignore_page, bool)
        check_choice("past_end", self.past_end, ("empty", "first", "last"))
        check_choice("order", self.order, ("newest", "oldest", "shuffled"))
        check_choice("content_type", self.content_type, ("required", "refused", "ignored"))
        check_choice("method", self.method, ("GET", "POST"))
        check_int("pinned", self.pinned, minimum=0, maximum=_MAX_CHATS)
        check_int("tie_size", self.tie_size, minimum=1, maximum=_MAX_CHATS)
        check_type("reorder_ties", self.reorder_ties, bool)
        check_int("duplicates", self.duplicates, minimum=0, maximum=_MAX_CHATS)


def page_of(account: SimulatedAccount, page: int, size: int, quirks: Quirks, turn: int) -> Sequence[Chat]:
    """Return a page of an account's list.

    Args:
        account: The account.
        page: The requested page, counted from `quirks.first_page`.
        size: The requested page size.
        quirks: The quirks of the list.
        turn: A number that differs from response to response.
    """
    size = size if quirks.fixed_page_size is None else quirks.fixed_page_size
    size = size if quirks.max_page_size is None else min(size, quirks.max_page_size)
    page += 1 - quirks.first_page
    listed = _listed(account.chats, quirks, turn) if _changes_the_list(quirks) else None
    last = max(1, -(-len(account if listed is None else listed) // size))
    if quirks.ignore_page or (page > last and quirks.past_end == "first"):
        page = 1
    elif page > last and quirks.past_end == "last":
        page = last
    return account.window(page, size) if listed is None else listed[(page - 1) * size : page * size]


def _changes_the_list(quirks: Quirks) -> bool:
    """Return whether the list differs from the account's. If not, a large one need not be copied."""
    return (
        quirks.order != "newest"
        or quirks.tie_size > 1
        or quirks.reorder_ties
        or quirks.pinned > 0
        or quirks.duplicates > 0
    )


def _listed(chats: Sequence[Chat], quirks: Quirks, turn: int) -> Sequence[Chat]:
    """Return the account's chats, which are sorted newest first, as they are listed."""
    if quirks.tie_size > 1:
        chats = list(_tied(chats, quirks.tie_size))
    if quirks.order == "oldest":
        chats = chats[::-1]
    elif quirks.order == "shuffled":
        # By a hash of its key, a chat keeps its position while others come and go.
        chats = sorted(chats, key=lambda chat: zlib.crc32(key_of(chat).encode()))
    if quirks.reorder_ties:
        chats = list(_rotated(chats, turn))
    if quirks.pinned:
        chats = _with_pinned_on_top(chats, quirks.pinned)
    if quirks.duplicates:
        twice = quirks.duplicates
        chats = [*(chat for chat in chats[:twice] for _ in range(2)), *chats[twice:]]
    return chats


def _with_pinned_on_top(chats: Sequence[Chat], count: int) -> Sequence[Chat]:
    if any(chat.is_pinned is not None for chat in chats):  # the account has chosen them
        return sorted(chats, key=lambda chat: not chat.is_pinned)
    return [*chats[-count:], *chats[:-count]]


def _tied(chats: Sequence[Chat], size: int) -> Iterator[Chat]:
    for index, chat in enumerate(chats):
        newest = chats[index - index % size]
        yield evolve(chat, last_message_time=newest.last_message_time)


def _rotated(chats: Sequence[Chat], turn: int) -> Iterator[Chat]:
    def time(chat: Chat) -> datetime | None:
        return chat.last_message_time

    for _, run in groupby(chats, time):
        tied = list(run)
        by = turn % len(tied)
        yield from (*tied[by:], *tied[:by])
