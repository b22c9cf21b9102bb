"""Find out how the server counts and cuts pages, by requesting some, one after the other."""

from collections.abc import Awaitable, Callable
from typing import Final

from attrs import define, field

from plugchat_async._http.request import RequestTemplate
from plugchat_async._pagination.page_numbers import FAR_PAGES
from plugchat_async.doctor.check_order import check_duplicates, check_order, check_ties
from plugchat_async.doctor.check_paging import (
    Sizes,
    begins_at_0,
    check_page,
    check_page_size,
    check_past_end,
    check_server_traits,
    check_short_pages,
    differ,
    follows,
    overlap,
)
from plugchat_async.doctor.check_rows import check_ids, check_keys, check_people, check_times, check_values
from plugchat_async.doctor.findings import Check, Finding, failed, ok, skipped
from plugchat_async.doctor.prober import SAMPLE_SIZE, TOO_FEW, Prober, ProbeResult, describe
from plugchat_async.server_traits import ServerTraits

# The page sizes that are tried to find a cap.
_LARGER: Final = (100, 1000)


@define(eq=False, repr=False)
class PagingProber:
    """Makes the checks of paging, and then those of the rows that were received.

    Attributes:
        prober: Sends the requests.
        template: The request without page and size.
        traits: What was learned about the server.
    """

    prober: Prober
    template: RequestTemplate
    traits: ServerTraits = field(factory=ServerTraits, init=False)
    # The number of the first page, 1 or 0; None until it is known.
    _first: int | None = field(default=None, init=False)
    _first_finding: Finding | None = field(default=None, init=False)
    # Whether `page` is honoured.
    _pages_differ: bool = field(default=False, init=False)
    # Pages of several sizes; None until they were requested, or if that is not possible.
    _sizes: Sizes | None = field(default=None, init=False)

    def request_checks(self) -> tuple[tuple[Check, Callable[[], Awaitable[Finding]]], ...]:
        """Return the checks that send requests, in order. They raise StoppedError if no more requests are sent."""
        return (
            ("page", self._page),
            ("first_page", self._first_page),
            ("past_end", self._past_end),
            ("page_size", self._page_size),
            ("short_pages", self._short_pages),
            ("server_traits", self._server_traits),
        )

    def result_checks(self) -> tuple[tuple[Check, Callable[[], Finding]], ...]:
        """Return the checks of the results so far, in order."""
        return (
            ("times", lambda: check_times(self._largest())),
            ("ids", lambda: check_ids(self._largest())),
            ("people", lambda: check_people(self._largest())),
            ("keys", lambda: check_keys(self._largest(), self.prober.token)),
            ("values", lambda: check_values(self._largest())),
            ("order", lambda: check_order(self._largest())),
            ("ties", lambda: check_ties(self._largest(), self.prober.results, self._largest_size())),
            ("duplicates", lambda: check_duplicates(self.prober.results)),
        )

    async def _ask(self, number: int, size: int, *, again: bool = False) -> ProbeResult:
        return await self.prober.ask(self.template, number, size, again=again)

    async def _page(self) -> Finding:
        first, top = await self._top()
        half = min(SAMPLE_SIZE, top.length) // 2
        if not half:
            return skipped("page", TOO_FEW)
        one, two = await self._ask(first, half), await self._ask(first + 1, half)
        far: ProbeResult | None = None
        if one.error is None and two.error is None and not differ(one, two):
            # While the list changes, a small page may repeat, but hardly twice.
            one, two = await self._ask(first, half, again=True), await self._ask(first + 1, half, again=True)
            far = await self._far(first)
        finding = check_page(one, two, far)
        if half == 1 and far is not None and finding.status == "failed":
            # With two or three chats, the same one may be on both pages because it moved.
            finding = skipped("page", TOO_FEW)
        self._pages_differ = finding.status == "ok"
        return finding

    async def _top(self) -> tuple[int, ProbeResult]:
        """Return the number of the first page, 1 or 0, and the page."""
        one = await self._ask(1, SAMPLE_SIZE)
        if self._first is None:
            self._first, self._first_finding = await self._find_first(one)
        return self._first, (one if self._first else await self._ask(0, SAMPLE_SIZE))

    async def _find_first(self, one: ProbeResult) -> tuple[int, Finding]:
        zero = await self._ask(0, SAMPLE_SIZE)
        if zero.error is not None:
            self.traits.page_zero = "error" if zero.is_no_page else None
            return 1, ok(
                "first_page", f"pages count from 1: page=0 is refused ({describe(zero)})", number=1, page_0="refused"
            )
        if not zero.length:
            self.traits.page_zero = "empty"
            return 1, ok("first_page", "pages count from 1: page=0 is empty", number=1, page_0="empty")
        # While the list changes, the pages may have some chats in common.
        if one.length and overlap(zero, one):
            self.traits.page_zero = "first"
            found = "pages count from 1: page=0 returns the chats of page=1"
            return 1, ok("first_page", found, number=1, page_0="page 1")
        if one.length:
            within = await self._ask(1, max(1, zero.length // 2))
        else:
            within = await self._ask(1, SAMPLE_SIZE, again=True)
        if within.error is not None:
            return 1, skipped("first_page", f"page=0 and page=1 differ, and then: {describe(within)}")
        if not begins_at_0(zero, one, within):
            found = "pages count from 1: the chats of page=0 do not come before those of page=1"
            return 1, ok("first_page", found, number=1, page_0="another page")
        self.traits.page_zero = "first"
        return 0, failed(
            "first_page",
            "pages count from 0: page=0 returns the chats that come before those of page=1",
            "Walks begin at page=1: they miss the first page_size chats, the newest, without an error. Check "
            "base_url, and report this to Plug Chat's support and this project.",
            "answer",
            number=0,
            page_0="the first page",
        )

    async def _first_page(self) -> Finding:
        first, top = await self._top()
        if not top.length:
            return skipped("first_page", TOO_FEW)
        assert self._first_finding is not None, f"page {first} is known to be the first"
        return self._first_finding

    async def _far(self, first: int) -> ProbeResult:
        return await self._ask(first + FAR_PAGES, SAMPLE_SIZE)

    async def _past_end(self) -> Finding:
        first, top = await self._top()
        far = await self._far(first)
        if far.length and not self._pages_differ:
            return skipped("past_end", "unknown, since it is not known whether `page` is honoured")
        if far.error is None:
            self.traits.past_end = "repeated" if far.length else "empty"
        elif far.is_no_page:
            self.traits.past_end = "error"
        return check_past_end(far, top)

    async def _page_size(self) -> Finding:
        first, top = await self._top()
        half = min(SAMPLE_SIZE, top.length) // 2
        if not half:
            return skipped("page_size", TOO_FEW)
        sizes = Sizes([await self._ask(first, half), top], self._pages_differ)
        await self._read_sizes(sizes, first)
        self._sizes = sizes
        self.traits.max_page_size = sizes.cap
        if sizes.refused is not None and sizes.refused.is_no_page:
            self.traits.refused_page_size = sizes.refused.size
        return check_page_size(sizes)

    async def _read_sizes(self, sizes: Sizes, first: int) -> None:
        """Request larger pages until one is short, and what follows that one."""
        for size in _LARGER:
            if not sizes.largest.is_full:
                break
            larger = await self._ask(first, size)
            if larger.error is not None:
                sizes.refused = larger
                break
            sizes.asked.append(larger)
        if sizes.largest.is_full:
            return
        sizes.short = short = sizes.largest
        sizes.beyond = beyond = await self._ask(first + 1, short.length)
        if not beyond.length or not self._pages_differ:
            return
        if follows(short, beyond):
            await self._tell_cap_from_hidden_rows(sizes, first, short)
        elif beyond.length < short.length and sizes.raised is None:
            # All rows came on the first page, and yet there is a second one: some take a place, but do not come.
            again = await self._ask(first, short.size, again=True)
            sizes.has_hidden_rows = again.keys == short.keys

    async def _tell_cap_from_hidden_rows(self, sizes: Sizes, first: int, short: ProbeResult) -> None:
        """Request a page of another size, after one that was short though others follow it."""
        other = await self._ask(first, short.length if short.size == _LARGER[-1] else _LARGER[-1])
        if other.size < short.size:
            sizes.has_hidden_rows = 0 < other.length < other.size
        if other.length == short.length:
            return  # a cap
        # The list may have grown: then the page is longer now.
        again = await self._ask(first, short.size, again=True)
        if again.length > short.length:
            sizes.asked[-1] = again
        elif other.length > short.length and sizes.raised is None:
            sizes.has_hidden_rows = True
            sizes.asked.append(other)

    async def _short_pages(self) -> Finding:
        sizes = self._sizes
        if sizes is None:
            return skipped("short_pages", TOO_FEW)
        finding = check_short_pages(sizes)
        if finding.status != "skipped":
            self.traits.short_pages = "anywhere" if sizes.has_hidden_rows else "end"
        return finding

    async def _server_traits(self) -> Finding:
        self.traits.longest_page = max(min(result.length, result.size) for result in self.prober.results)
        return check_server_traits(self.traits)

    def _largest_size(self) -> int | None:
        """Return the number of rows of the largest page, None if that is the whole list."""
        sizes = self._sizes
        return None if sizes is None or not (sizes.largest.is_full or sizes.has_more) else sizes.largest.length

    def _largest(self) -> ProbeResult:
        """Return the first page with the most rows, the latest of equal ones."""
        first = 1 if self._first is None else self._first
        firsts = [result for result in self.prober.results if result.number == first]
        return max(reversed(firsts), key=lambda result: result.length)
