"""The lists that a simulator serves: an account's lists with the simulator's quirks, cut into pages."""

import zlib
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any, TypeAlias, TypeVar

from attrs import evolve

from plugchat_async.calls import CHATS, PENDING_CHATS, Call, Contact, PendingChat
from plugchat_async.models import Chat
from plugchat_async.testing.account import SimulatedAccount
from plugchat_async.testing.chance import chance
from plugchat_async.testing.chat_list import ListState
from plugchat_async.testing.contacts import pending_chats
from plugchat_async.testing.fake_chats import row_key
from plugchat_async.testing.quirks import Quirks

Row: TypeAlias = Chat | Contact | PendingChat
RowT = TypeVar("RowT")

# The share of the list in a response that is partial by `Quirks.partial_share`.
_PART = 0.5


def page_of(
    account: SimulatedAccount,
    page: int,
    size: int,
    quirks: Quirks,
    turn: int,
    *,
    share: float = 1.0,
    call: Call[Any] = CHATS,
) -> Sequence[Any] | None:
    """Return a page of one of an account's lists, None if there is an error instead.

    Args:
        account: The account.
        page: The requested page, counted from `quirks.first_page`.
        size: The requested page size.
        quirks: The quirks of the list.
        turn: A number that differs from response to response.
        share: The share of the list, from its top, that this response knows of. Default 1.0.
        call: The call for the list. Default: chats.
    """
    size = size if quirks.fixed_page_size is None else quirks.fixed_page_size
    size = size if quirks.max_page_size is None else min(size, quirks.max_page_size)
    page += 1 - quirks.first_page
    listed = _rows_to_serve(account, quirks, turn) if call == CHATS else _other_rows(account, call, quirks, turn)
    total = len(account) if listed is None else len(listed)
    if chance("partial", turn) < quirks.partial_share:
        share = min(share, _PART)
    total = int(total * share)
    last = max(1, -(-total // size))
    if page > last and quirks.past_end == "error" and not quirks.ignore_page:
        return None
    if chance("empty", turn) < quirks.empty_share:
        return ()
    if quirks.ignore_page or (page > last and quirks.past_end == "first"):
        page = 1
    elif page > last and quirks.past_end == "last":
        page = last
    rows: Sequence[Row] = account.window(page, size) if listed is None else listed[(page - 1) * size : page * size]
    return [chat for chat in rows[: max(0, total - (page - 1) * size)] if not _is_hidden(chat, quirks)]


def listed_chats(account: SimulatedAccount, quirks: Quirks) -> Sequence[Chat]:
    """Return the rows of all pages of an account's list as it is now."""
    return [chat for chat in _listed(account.state, quirks, 0) if not _is_hidden(chat, quirks)]


def _rows_to_serve(account: SimulatedAccount, quirks: Quirks, turn: int) -> Sequence[Chat] | None:
    """Return all rows, None if they are the account's: a large list need not be copied then."""
    if quirks.lagging_share:
        older = account.record_state(quirks.replica_lag)
        if chance("lagging", turn) < quirks.lagging_share:
            return _listed(older, quirks, turn)
    return _listed(account.state, quirks, turn) if account.has_pinned or _changes_the_list(quirks) else None


def _other_rows(account: SimulatedAccount, call: Call[Any], quirks: Quirks, turn: int) -> Sequence[Row]:
    """Return all rows of another list than that of chats. Contacts have no times, pins and older states."""
    if call == PENDING_CHATS:
        listed = _rows_to_serve(account, quirks, turn)
        return pending_chats(account.chat_list.chats if listed is None else listed)
    rows: Sequence[Contact] = account.contact_list.contacts
    if quirks.order == "oldest":
        rows = rows[::-1]
    elif quirks.order == "shuffled":
        rows = sorted(rows, key=lambda contact: zlib.crc32(row_key(contact).encode()))
    if quirks.duplicates:
        places = _places_of_duplicates(len(rows), quirks.duplicates, quirks.duplicate_distance)
        return _inserted(rows, [(at, rows[index]) for index, at in places])
    return rows


def _is_hidden(chat: Row, quirks: Quirks) -> bool:
    return quirks.hidden_share > 0 and chance("hidden", row_key(chat)) < quirks.hidden_share


def _changes_the_list(quirks: Quirks) -> bool:
    return (
        quirks.order != "newest"
        or quirks.without_time != "last"
        or quirks.archived != "listed"
        or quirks.tie_size > 1
        or quirks.reorder_ties
        or quirks.duplicates > 0
    )


def _listed(state: ListState, quirks: Quirks, turn: int) -> Sequence[Chat]:
    """Return an account's chats, which are sorted newest first, as they are listed."""
    chats = state.chats
    if quirks.tie_size > 1:
        chats = list(_tied(chats, quirks.tie_size))
    chats = _ordered(chats, quirks, state)
    if quirks.reorder_ties:
        chats = list(_rotated(chats, turn))
    chats = _with_marked_apart(chats, quirks, state)
    if quirks.duplicates:
        chats = _with_duplicates(chats, quirks.duplicates, quirks.duplicate_distance)
    return chats


def _ordered(chats: Sequence[Chat], quirks: Quirks, state: ListState) -> Sequence[Chat]:
    if quirks.without_time == "first":
        chats = sorted(chats, key=lambda chat: chat.last_message_time is not None)
    elif quirks.without_time == "scattered":
        chats = _scattered(chats, state)
    if quirks.order == "oldest":
        chats = chats[::-1]
    elif quirks.order == "shuffled":
        # By a hash of its key, a chat keeps its position while others come and go.
        chats = sorted(chats, key=lambda chat: zlib.crc32(row_key(chat).encode()))
    return chats


def _with_marked_apart(chats: Sequence[Chat], quirks: Quirks, state: ListState) -> Sequence[Chat]:
    """Put archived chats where the quirks want them, and pinned ones on top."""
    if state.archived and quirks.archived == "omitted":
        chats = [chat for chat in chats if row_key(chat) not in state.archived]
    elif state.archived and quirks.archived == "last":
        chats = sorted(chats, key=lambda chat: row_key(chat) in state.archived)
    if state.pinned:
        chats = sorted(chats, key=lambda chat: row_key(chat) not in state.pinned)
    return chats


def _tied(chats: Sequence[Chat], size: int) -> Iterator[Chat]:
    for index, chat in enumerate(chats):
        newest = chats[index - index % size]
        yield evolve(chat, last_message_time=newest.last_message_time)


def _scattered(chats: Sequence[Chat], state: ListState) -> Sequence[Chat]:
    """Put each chat without a time at a place between times, which it keeps while others move."""
    oldest, newest = state.oldest, state.newest
    if oldest is None or newest is None:
        return chats

    def place(chat: Chat) -> datetime:
        seconds = (newest - oldest).total_seconds()
        return chat.last_message_time or oldest + timedelta(seconds=seconds * chance("scattered", row_key(chat)))

    return sorted(chats, key=place, reverse=True)


def _rotated(chats: Sequence[Chat], turn: int) -> Iterator[Chat]:
    def time(chat: Chat) -> datetime | None:
        return chat.last_message_time

    for _, run in groupby(chats, time):
        tied = list(run)
        by = turn % len(tied)
        yield from (*tied[by:], *tied[:by])


def _with_duplicates(chats: Sequence[Chat], count: int, distance: int) -> Sequence[Chat]:
    places = _places_of_duplicates(len(chats), count, distance)
    return _inserted(
        chats, [(at, evolve(chats[index], last_message_time=chats[at].last_message_time)) for index, at in places]
    )


def _places_of_duplicates(total: int, count: int, distance: int) -> Iterator[tuple[int, int]]:
    """Yield the index of each row that is listed twice, and of the row that its second one is behind."""
    return ((index, min(index + distance, total) - 1) for index in range(min(count, total)))


def _inserted(rows: Sequence[RowT], others: Iterable[tuple[int, RowT]]) -> Sequence[RowT]:
    """Return rows with others behind those of some indices."""
    places = [*((index, 0, row) for index, row in enumerate(rows)), *((index, 1, row) for index, row in others)]
    return [row for _, _, row in sorted(places, key=lambda place: place[:2])]
