"""How the server pages: which pages are asked for to see it, one after the other."""

from collections.abc import Awaitable, Callable
from typing import Final

from attrs import define, field

from plugchat_async._http.request import RequestTemplate
from plugchat_async._pagination.server_traits import FAR_PAGES
from plugchat_async.doctor.check_chats import judge_duplicates, judge_order, judge_ties
from plugchat_async.doctor.check_paging import (
    begins_at_0,
    differ,
    follows,
    judge_page,
    judge_page_size,
    judge_past_end,
    overlap,
)
from plugchat_async.doctor.check_rows import judge_ids, judge_keys, judge_people, judge_times, judge_values
from plugchat_async.doctor.findings import Check, Finding, failed, ok, skipped
from plugchat_async.doctor.probe import SAMPLE, TOO_FEW, Answer, Prober, outcome

# Sizes to ask for, to see whether there is a cap.
_LARGER: Final = (100, 1000)


@define(eq=False, repr=False)
class Paging:
    """Finds out how pages are counted and cut, and then looks at the chats that came.

    first: what the first page is called, 1 or 0; None as long as it is not known. differ: whether `page` is honoured.
    most: how many chats a page has at most, if that is known.
    """

    prober: Prober
    template: RequestTemplate
    _first: int | None = field(default=None, init=False)
    _about_first: Finding | None = field(default=None, init=False)
    _differ: bool = field(default=False, init=False)
    _most: int | None = field(default=None, init=False)

    def checks(self) -> tuple[tuple[Check, Callable[[], Awaitable[Finding]]], ...]:
        """Give the checks that ask, in order. They raise StoppedError if nothing is asked any more."""
        return (
            ("page", self._page),
            ("first_page", self._first_page),
            ("past_end", self._past_end),
            ("page_size", self._page_size),
        )

    def max_polls(self) -> tuple[tuple[Check, Callable[[], Finding]], ...]:
        """Give the checks that only look at what came, in order."""
        return (
            ("times", lambda: judge_times(self._largest())),
            ("ids", lambda: judge_ids(self._largest())),
            ("people", lambda: judge_people(self._largest())),
            ("keys", lambda: judge_keys(self._largest(), self.prober.token)),
            ("values", lambda: judge_values(self._largest())),
            ("order", lambda: judge_order(self._largest())),
            ("ties", lambda: judge_ties(self._largest(), self.prober.answers, self._most)),
            ("duplicates", lambda: judge_duplicates(self.prober.answers)),
        )

    async def _ask(self, number: int, size: int, *, again: bool = False) -> Answer:
        return await self.prober.ask(self.template, number, size, again=again)

    async def _page(self) -> Finding:
        first, top = await self._top()
        half = min(SAMPLE, top.length) // 2
        if not half:
            return skipped("page", TOO_FEW)
        one, two = await self._ask(first, half), await self._ask(first + 1, half)
        far: Answer | None = None
        if one.error is None and two.error is None and not differ(one, two):
            # A list that moves may make a small page come again, but hardly twice.
            one, two = await self._ask(first, half, again=True), await self._ask(first + 1, half, again=True)
            far = await self._far(first)
        finding = judge_page(one, two, far)
        if half == 1 and far is not None and finding.status == "failed":
            # Of two or three chats one that moves may be all that is seen.
            finding = skipped("page", TOO_FEW)
        self._differ = finding.status == "ok"
        return finding

    async def _top(self) -> tuple[int, Answer]:
        """Find out what the first page is called, 1 or 0, and give it."""
        one = await self._ask(1, SAMPLE)
        if self._first is None:
            self._first, self._about_first = await self._find_first(one)
        return self._first, (one if self._first else await self._ask(0, SAMPLE))

    async def _find_first(self, one: Answer) -> tuple[int, Finding]:
        zero = await self._ask(0, SAMPLE)
        if zero.error is not None:
            return 1, ok(
                "first_page", f"pages count from 1: page=0 is refused ({outcome(zero)})", number=1, page_0="refused"
            )
        if not zero.length:
            return 1, ok("first_page", "pages count from 1: page=0 is empty", number=1, page_0="empty")
        # On a list that moves they may have some chats in common.
        if one.length and overlap(zero, one):
            found = "pages count from 1: page=0 brings what page=1 brings"
            return 1, ok("first_page", found, number=1, page_0="page 1")
        if one.length:
            within = await self._ask(1, max(1, zero.length // 2))
        else:
            within = await self._ask(1, SAMPLE, again=True)
        if within.error is not None:
            return 1, skipped("first_page", f"page=0 and page=1 differ, and then: {outcome(within)}")
        if not begins_at_0(zero, one, within):
            found = "pages count from 1: what page=0 brings does not come before page=1"
            return 1, ok("first_page", found, number=1, page_0="another page")
        return 0, failed(
            "first_page",
            "pages count from 0: page=0 brings the chats that come before those of page=1",
            "Walks begin at page=1: they miss the first page_size chats, the newest, and nothing shows it. Check "
            "base_url, and tell Plug Chat's support and this project.",
            "answer",
            number=0,
            page_0="the first page",
        )

    async def _first_page(self) -> Finding:
        first, top = await self._top()
        if not top.length:
            return skipped("first_page", TOO_FEW)
        assert self._about_first is not None, f"page {first} is known to be the first"
        return self._about_first

    async def _far(self, first: int) -> Answer:
        return await self._ask(first + FAR_PAGES, SAMPLE)

    async def _past_end(self) -> Finding:
        first, top = await self._top()
        far = await self._far(first)
        if far.length and not self._differ:
            return skipped("past_end", "it can't be told, since it is not known that `page` is honoured")
        return judge_past_end(far, top)

    async def _page_size(self) -> Finding:
        first, top = await self._top()
        half = min(SAMPLE, top.length) // 2
        if not half:
            return skipped("page_size", TOO_FEW)
        asked = [await self._ask(first, half), top]
        refused: Answer | None = None
        for size in _LARGER:
            if asked[-1].is_full and refused is None:
                larger = await self._ask(first, size)
                if larger.error is None:
                    asked.append(larger)
                else:
                    refused = larger
        beyond: Answer | None = None
        if not asked[-1].is_full:
            beyond = await self._ask(first + 1, asked[-1].length)
            if follows(asked[-1], beyond):
                # It is capped, or has grown meanwhile: then it is longer now.
                asked[-1] = await self._grown(first, asked[-1])
        if asked[-1].is_full or (beyond is not None and follows(asked[-1], beyond)):
            self._most = asked[-1].length
        return judge_page_size(asked, beyond, refused, pages_differ=self._differ)

    async def _grown(self, first: int, before: Answer) -> Answer:
        """Ask for a first page again, and give it if it is longer now than it was."""
        now = await self._ask(first, before.size, again=True)
        return now if now.length > before.length else before

    def _largest(self) -> Answer:
        """Return the first page that holds most rows; of equals the newest."""
        first = 1 if self._first is None else self._first
        firsts = [answer for answer in self.prober.answers if answer.number == first]
        return max(reversed(firsts), key=lambda answer: answer.length)
