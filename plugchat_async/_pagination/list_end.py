"""The end of a list: whether a page that is short, empty, or one that came before is the last one.

By the vendor's contract, a page with fewer chats than requested is the last one. These servers break it:

- Some cap `pageSize`: each page looks short. Such a page is as long as the longest page that the server ever had.
- Some hide rows after they have cut the page: short pages come in the middle.
- A gateway that has lost its phone for a moment answers with an empty list, or with a part of it.
- Past the end, some have an error such as 404, and some a page that came before.
- Some ignore `page`.

So what looks like the end is doubted until the server is known, see `ServerTraits`. What the checks need are requests
that walks can do without: if one fails, the contract is believed, but the walk is not verified.
"""

from collections.abc import Generator
from typing import Final, Literal

from attrs import define
from msgspec import Struct

from plugchat_async._pagination.server_traits import (
    ListMemory,
    honours,
    may_be_cut,
    record_cap,
    record_end,
    record_hidden_rows,
    record_refused,
    size_up_to,
)
from plugchat_async._pagination.walk_state import WalkState
from plugchat_async._pagination.walk_steps import CheckConnection, FetchPage, Step, chat_keys, key_of, rows_of
from plugchat_async._pagination.windows import next_window
from plugchat_async.errors import NotConnectedError, PageRepeatedError, PaginationError
from plugchat_async.models import Page
from plugchat_async.server_traits import ServerTraits

# No list is that long: a server that counts pages has nothing there.
FAR_PAGES: Final = 1_000_000
# Some servers refuse deep pages, but ignore `page` in near ones: at which repeat to probe once more, nearer.
_SECOND_LOOK: Final = 16
_NEAR_PAGES: Final = 1000
# In pages so small, all rows may be hidden.
_TINY: Final = 8
# How often the halves of a page are compared: those of a few chats may be the same if the list moves in between.
_MAX_HALVES: Final = 6
# How often a page may come back longer than before until it is taken as it is.
_MAX_LOOKS: Final = 3

EMPTY: Final = "the list is empty"
NOT_CHECKED: Final = "a short page is not known to be the end of the list: the request that checks it failed"
HIDDEN_ROWS: Final = "the server sends short pages in the middle of the list"
SHRUNK: Final = "the list became shorter while it was read: chats were deleted, or an answer had only a part of them"


class WalkStats(Struct):
    """The part of a `WalkReport` that the walkers count; see there."""

    pages: int = 0
    chats: int = 0
    duplicates: int = 0
    recovered: int = 0
    passes: int = 0
    verified: bool = False
    reason: str = ""


class WalkContext(Struct):
    """What a walker needs in addition to its state.

    Attributes:
        max_pages: The number of pages to read in one pass, at most.
        traits: What is known of the server.
        memory: What is known of the list.
        max_page_size: The largest page size to request, at least `page_size`.
        ahead: Whether pages may be prefetched.
        stats: What the walker counts.
    """

    max_pages: int
    traits: ServerTraits
    memory: ListMemory
    max_page_size: int
    ahead: bool
    stats: WalkStats


Verdict = Literal["end", "unproven", "more"] | Page
"""What a check says: "end", "more" pages follow, "unproven": it is taken for the end, but nothing shows that. A page:
the list goes on with it."""


@define(eq=False, repr=False)
class EndChecks:
    """Checks what looks like the end of the list, for one pass over it.

    Attributes:
        state: The state of the walk. Its `page` is the one after the page in question.
        context: What the walk needs besides.
        by_contract: Whether only that is checked which breaks the contract: caps, repeated pages, an empty list.
    """

    _state: WalkState
    _context: WalkContext
    _by_contract: bool
    _looks: int = 0
    _first_repeat: int = 0

    def short(self, page: Page) -> Generator[Step, Page, Verdict]:
        """Check a page that has fewer rows than requested."""
        state, traits, memory = self._state, self._context.traits, self._context.memory
        if state.config.stop_on == "empty" or traits.short_pages == "anywhere":
            if page.number == 1 == state.config.start_page and may_be_cut(traits, page):
                return (yield from self._cut(page))
            return "more"
        if page.number == 1 == state.config.start_page:
            if memory.keys and memory.length == page.length and memory.keys == chat_keys(page):
                return "end"
            if memory.is_shorter(page.length) and self._looks < _MAX_LOOKS:
                again = yield from self._look_again(page)
                if again.length > page.length:
                    return again
            if may_be_cut(traits, page):
                return (yield from self._cut(page))
        if traits.short_pages == "end" or self._by_contract:
            return "end"
        return (yield from self._hidden_rows(page))

    def empty(self, page: Page, *, refused: bool) -> Generator[Step, Page, Verdict]:
        """Check a page without rows.

        Args:
            page: The page.
            refused: Whether the server said that it does not exist.
        """
        state, traits = self._state, self._context.traits
        if page.number == 1:
            return (yield from confirm_empty(state, self._context))
        if refused and (traits.past_end == "error" or self._by_contract):
            traits.past_end = "error"
            return "end"
        before = (page.number - 1) * page.size
        if self._by_contract or page.number == state.config.start_page or self._context.memory.length == before:
            return "end"
        if state.config.stop_on == "empty" or traits.short_pages == "anywhere":
            # The page after it shows whether it was empty for a moment, or all its rows are hidden.
            step = FetchPage(page.number + 1, page.size, resume_page=page.number, probe="check")
            beyond = yield step
            if beyond.length:
                state.page = page.number
                return (yield FetchPage(page.number, page.size, resume_page=page.number))
            return "unproven" if step.outcome == "failed" else "end"
        if whole_size(state, self._context) > before:
            return "unproven"  # a page with all rows will show it
        return (yield from self._overlapping(page, before, refused=refused))

    def repeated(self, page: Page, repeats: int) -> Generator[Step, Page, Verdict]:
        """Check a page that has no chats that are new.

        Small pages of a busy account may do that, too: only a page far past any end shows more.

        Args:
            page: The page.
            repeats: How many such pages there were.

        Raises:
            PageRepeatedError: The server ignores `page`.
        """
        traits = self._context.traits
        if repeats == 1:
            self._first_repeat = page.number
        if repeats not in (1, _SECOND_LOOK) and traits.past_end != "repeated":
            return "more"
        if repeats > 2 * _SECOND_LOOK:
            return "unproven"  # the list moves faster than it is read
        distance = FAR_PAGES if repeats == 1 else _NEAR_PAGES
        far = yield FetchPage(page.number + distance, page.size, resume_page=page.number, probe="check")
        rows = rows_of(page)
        if not far.length:
            return "more"
        if rows_of(far) != rows and (repeats == 1 or traits.past_end == "repeated"):
            # A list may be that long, but then it has other chats there; or the last page has moved.
            traits.past_end = "repeated"
            return "more"
        # If page 2 was another one than page 1, the pages are counted.
        counted = traits.past_end == "repeated" or self._first_repeat > 2
        if not counted and repeats > 1 and not rows_of(far) <= rows:
            return "more"
        if not counted and not (yield from _is_counted(page)):
            raise page_repeated(page, far)
        traits.past_end = "repeated"
        before = (page.number - 1) * page.size
        if self._by_contract:
            return "end"
        if whole_size(self._state, self._context) > before:
            return "unproven"
        return (yield from self._overlapping(page, before, refused=False))

    def _cut(self, page: Page) -> Generator[Step, Page, Verdict]:
        """Find out whether a short first page is a full one of a capped size."""
        state, traits = self._state, self._context.traits
        length, size = page.length, state.size
        # Pages of about this length: some servers cap the rows, but count the pages in the size that was asked for. A
        # walk that is resumed from here on continues in them, too, as if this page had been full.
        state.size, state.page = length, 2
        # From the last row on, so that it is not empty. One or two rows have no such page.
        step = FetchPage(2, length - 1 if length > 2 else length, resume_page=2, probe="check")
        following = yield step
        state.size = size
        if step.outcome == "failed":
            return "unproven"
        tail = page.chats[step.size :]
        if following.chats == tail and following.length == length - step.size:
            if size < _TINY and (yield from self._hides_rows(page)):
                again = yield from self._look_again(page)
                return again if again.length > length else self._hidden(page)
            record_end(traits, refused=step.outcome == "refused")
            return "end"
        if following.length == step.size and rows_of(following) <= rows_of(page):
            # Past the end, the server has an earlier page again, or it ignores `page`, or the list has moved.
            far = yield FetchPage(2 + FAR_PAGES, step.size, resume_page=2, probe="check")
            if far.length and not (yield from _is_counted(page)):
                raise page_repeated(page, far)
            if far.length and length <= 2:
                traits.past_end = "repeated"
                return "end" if (yield from self._hides_none(page)) else "unproven"
        again = yield from self._look_again(page)
        if again.length > length:
            return again
        if not _goes_on(following, page, again):
            if following.length and again.chats == page.chats:
                return self._hidden(page)  # it stands still, but its rows have other places
            # The list moves: only rows behind both pages show a cap.
            self._state.page = 1
            return again if again.length and self._looks < _MAX_LOOKS else "unproven"
        first = yield FetchPage(1, length, resume_page=2, probe="check")
        if first.length < length:
            return self._hidden(page)
        record_cap(traits, size, length)
        state.size, state.page = length, 2
        return "more"

    def _hides_none(self, page: Page) -> Generator[Step, Page, bool]:
        """Return whether a page of a larger size has no more rows than one or two."""
        size = max(page.length + 1, whole_size(self._state, self._context))
        return (yield FetchPage(1, size, resume_page=2, probe="check")).length == page.length

    def _hides_rows(self, page: Page) -> Generator[Step, Page, bool]:
        """Return whether rows follow a tiny page, though the next one is empty, since all its rows are hidden."""
        size = whole_size(self._state, self._context)
        if size > page.size:
            return (yield FetchPage(1, size, resume_page=2, probe="check")).length > page.length
        second = yield FetchPage(2, page.size, resume_page=2, probe="check")
        return not rows_of(second) <= rows_of(page)

    def _hidden_rows(self, page: Page) -> Generator[Step, Page, Verdict]:
        """Find out whether a short page is one in the middle. The server is known from then on."""
        state, traits = self._state, self._context.traits
        rows = (page.number - 1) * page.size + page.length
        if page.number > 1 and whole_size(state, self._context) > rows:
            return "unproven"  # a page with all rows will show it
        step = FetchPage(page.number + 1, page.size, resume_page=page.number + 1, probe="check")
        following = yield step
        if step.outcome == "failed":
            return "unproven"
        again = yield from self._look_again(page)
        if again.length > page.length:
            return again
        if not rows_of(following) <= rows_of(page):
            return self._hidden(page)
        self._state.page = page.number + 1
        record_end(traits, refused=step.outcome == "refused")
        return "end"

    def _hidden(self, page: Page) -> Verdict:
        record_hidden_rows(self._context.traits, page)
        self._state.page = page.number + 1
        return "more"

    def _look_again(self, page: Page) -> Generator[Step, Page, Page]:
        """Request a page again. If it is longer now, the walk continues with it."""
        self._looks += 1
        again = yield FetchPage(page.number, page.size, resume_page=page.number, probe="check")
        if again.length > page.length:
            self._state.page = page.number
        return again

    def _overlapping(self, page: Page, before: int, *, refused: bool) -> Generator[Step, Page, Verdict]:
        """Check an empty page with one that begins before it, so that it can't be empty."""
        number, size = next_window(before, page.size, 1)
        if not size:
            return "unproven"
        step = FetchPage(number, size, resume_page=page.number, probe="check")
        window = yield step
        end = (number - 1) * size + window.length
        if (window.length == size or end > before) and page.length:
            return "more"  # it is one of the list's pages, and was read before under another number
        if window.length == size or end > before:
            self._state.page = page.number
            return (yield FetchPage(page.number, page.size, resume_page=page.number, probe="exists"))
        if not window.length or end < before:
            return "unproven"
        if refused:
            self._context.traits.past_end = "error"
        return "end"


def _goes_on(following: Page, page: Page, again: Page) -> bool:
    """Return whether a page has rows that are behind those of page 1, which was read before and after it.

    A chat that got a message has another time now, but is no other row.
    """
    known = rows_of(page) | rows_of(again)
    keys = chat_keys(page) | chat_keys(again)
    newest = max((time for chat in page.chats if (time := chat.last_message_time) is not None), default=None)
    for chat in following.chats:
        time = chat.last_message_time
        jumped = time is not None and (newest is None or time > newest) and key_of(chat) in keys
        if not jumped and chat not in known:
            return True
    return any(key not in known for key in following.unreadable_keys)


def _is_counted(page: Page) -> Generator[Step, Page, bool]:
    """Return whether the server counts pages, if a page and the one after it are the same.

    Either there is nothing after it, and the server has it again, or the server ignores `page`. Then the halves of the
    page are the same, too, however often they are read.
    """
    if page.length == 1:
        return (yield from _is_second_counted(page))
    half = page.length // 2
    for _ in range(_MAX_HALVES):
        first = yield FetchPage(1, half, resume_page=page.number, probe="check")
        second = yield FetchPage(2, half, resume_page=page.number, probe="check")
        if rows_of(first) != rows_of(second):
            return True
    # If it has lost its second half, that was past the end.
    return (yield FetchPage(1, page.size, resume_page=page.number, probe="check")).length < 2 * half


def _is_second_counted(page: Page) -> Generator[Step, Page, bool]:
    """Return whether a server counts pages, if pages of one row are the same."""
    for _ in range(_MAX_HALVES):
        first = yield FetchPage(1, 2, resume_page=page.number, probe="check")
        second = yield FetchPage(2, 1, resume_page=page.number, probe="check")
        if first.length <= 1 or not rows_of(second) or rows_of(second) != frozenset([*first.chats][:1]):
            return True
    return False


def page_repeated(page: Page, far: Page) -> PageRepeatedError:
    """Return the error for a server that ignores `page`."""
    return PageRepeatedError(
        f"page {page.number} repeats an earlier page, and page {far.number} is not empty",
        page=page.number,
        page_size=page.size,
    )


def confirm_empty(state: WalkState, context: WalkContext) -> Generator[Step, Page, Verdict]:
    """Check an empty page 1: once more, and whether the phone is connected.

    Raises:
        NotConnectedError: It is not.
    """
    # In the largest size: of a small page, all rows may be hidden.
    for size in dict.fromkeys((whole_size(state, context), state.size)):
        step = FetchPage(1, size, resume_page=1, probe="check")
        again = yield step
        if again.length:
            state.page, state.size = 1, size
            return again
        if not step.outcome:
            break
    status = CheckConnection()
    yield status
    if status.connected is False:
        said = f": {status.error}" if status.error else ""
        raise NotConnectedError(f"the list is empty, and the phone is not connected to WhatsApp{said}")
    context.stats.reason = EMPTY
    return "end" if status.connected else "unproven"


def whole_size(state: WalkState, context: WalkContext) -> int:
    """Return the size of the page that may hold the whole list: more than `page_size`, or as many."""
    size = max(context.max_page_size, state.config.page_size)
    return size if honours(context.traits, size) else state.size


def refuse_size(state: WalkState, context: WalkContext, *, refused: bool) -> None:
    """Go on with pages of `page_size`, since a larger page has failed."""
    if refused:
        record_refused(context.traits, state.size)
    context.max_page_size = state.config.page_size
    state.size = size_up_to(context.traits, state.config.page_size)


def check_middle(page: Page, state: WalkState) -> Generator[Step, Page, None]:
    """Raise PaginationError if the server caps a page that is not the first."""
    # The pages before this one were counted in another size, so it is not the page that was meant.
    if state.config.stop_on == "empty":
        return
    length = page.length
    beyond = yield FetchPage(page.number + 1, page.size, resume_page=page.number + 1, probe="check")
    # A server that has page 1 again past the end may send more.
    if beyond.length <= length and not chat_keys(beyond) <= chat_keys(page):
        raise PaginationError(
            f"the server caps pageSize={page.size} to {length}: page {page.number} is not the requested one",
            f"Start at start_page=1, or use page_size={length} and count pages of that size.",
            page=page.number,
            page_size=length,
        )
