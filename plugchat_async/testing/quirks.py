"""How a simulator misbehaves, if it is told to: what it counts, cuts, sorts and refuses in its own way."""

import zlib
from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import groupby
from typing import Final, Literal

from attrs import evolve, frozen

from plugchat_async._internal.validation import check_choice, check_int, check_optional_int, check_type
from plugchat_async._pagination.steps import key_of
from plugchat_async.models import Chat
from plugchat_async.testing.account import SimulatedAccount

PastEnd = Literal["empty", "first", "last"]
Order = Literal["newest", "oldest", "shuffled"]
ContentType = Literal["required", "refused", "ignored"]
Method = Literal["GET", "POST"]

# Seconds that are to be waited for after too many requests.
RETRY_AFTER: Final = 30
_MOST: Final = 10**6


@frozen(kw_only=True)
class Quirks:
    """What is not as the vendor's page has it, or leaves open; `PlugChatSimulator` says what each option does.

    InvalidValueError and InvalidTypeError name one that is out of range.
    """

    first_page: int = 1
    max_page_size: int | None = None
    ignore_page_size: int | None = None
    refuse_page_size: int | None = None
    ignore_page: bool = False
    past_end: PastEnd = "empty"
    order: Order = "newest"
    pinned: int = 0
    ties: int = 1
    ties_move: bool = False
    twice: int = 0
    content_type: ContentType = "required"
    method: Method = "GET"
    rate_limit: int | None = None

    def __attrs_post_init__(self) -> None:
        check_int("first_page", self.first_page, minimum=0, maximum=1)
        for name in ("max_page_size", "ignore_page_size", "refuse_page_size"):
            check_optional_int(name, getattr(self, name), minimum=1)
        check_optional_int("rate_limit", self.rate_limit, minimum=0)
        check_choice("past_end", self.past_end, ("empty", "first", "last"))
        check_choice("order", self.order, ("newest", "oldest", "shuffled"))
        check_choice("content_type", self.content_type, ("required", "refused", "ignored"))
        check_choice("method", self.method, ("GET", "POST"))
        check_int("pinned", self.pinned, minimum=0, maximum=_MOST)
        check_int("ties", self.ties, minimum=1, maximum=_MOST)
        check_type("ties_move", self.ties_move, bool)
        check_int("twice", self.twice, minimum=0, maximum=_MOST)

    def window(self, account: SimulatedAccount, page: int, size: int, turn: int) -> Sequence[Chat]:
        """Give a page of an account. `turn`: a number that is another one for each answer."""
        size = size if self.ignore_page_size is None else self.ignore_page_size
        size = size if self.max_page_size is None else min(size, self.max_page_size)
        page += 1 - self.first_page
        listed = self._listed(account.chats, turn) if self._lists else None
        last = max(1, -(-len(account if listed is None else listed) // size))
        if self.ignore_page or (page > last and self.past_end == "first"):
            page = 1
        elif page > last and self.past_end == "last":
            page = last
        return account.window(page, size) if listed is None else listed[(page - 1) * size : page * size]

    @property
    def _lists(self) -> bool:
        """Whether chats are listed in another way than the account has them. To copy a large one takes its time."""
        return self.order != "newest" or self.ties > 1 or self.ties_move or self.pinned > 0 or self.twice > 0

    def _listed(self, chats: Sequence[Chat], turn: int) -> Sequence[Chat]:
        """Give all chats, which are sorted newest first, as they are listed."""
        if self.ties > 1:
            chats = list(self._tied(chats))
        if self.order == "oldest":
            chats = chats[::-1]
        elif self.order == "shuffled":
            # A chat keeps its place while others come and go.
            chats = sorted(chats, key=lambda chat: zlib.crc32(key_of(chat).encode()))
        if self.ties_move:
            chats = list(_rotated(chats, turn))
        if self.pinned:
            chats = self._with_pinned_on_top(chats)
        if self.twice:
            chats = [*(chat for chat in chats[: self.twice] for _ in range(2)), *chats[self.twice :]]
        return chats

    def _with_pinned_on_top(self, chats: Sequence[Chat]) -> Sequence[Chat]:
        if any(chat.is_pinned is not None for chat in chats):  # the account says which ones are
            return sorted(chats, key=lambda chat: not chat.is_pinned)
        return [*chats[-self.pinned :], *chats[: -self.pinned]]

    def _tied(self, chats: Sequence[Chat]) -> Iterator[Chat]:
        for index, chat in enumerate(chats):
            newest = chats[index - index % self.ties]
            yield evolve(chat, last_message_time=newest.last_message_time)


def _rotated(chats: Sequence[Chat], turn: int) -> Iterator[Chat]:
    def time(chat: Chat) -> datetime | None:
        return chat.last_message_time

    for _, run in groupby(chats, time):
        tied = list(run)
        by = turn % len(tied)
        yield from (*tied[by:], *tied[:by])
