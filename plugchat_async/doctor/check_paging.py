"""Check paging, from pages of several numbers and sizes. Pure: results -> a finding."""

from collections import Counter
from typing import Final

from attrs import define, fields

from plugchat_async.doctor.findings import Finding, category_of, counted, failed, failed_by, ok, skipped, warning
from plugchat_async.doctor.prober import DEFAULT_SIZE, ProbeResult, describe
from plugchat_async.server_traits import ServerTraits


def check_page(one: ProbeResult, two: ProbeResult, far: ProbeResult | None = None) -> Finding:
    """Check whether `page` is honoured.

    Args:
        one: A page.
        two: The next page.
        far: A page far past any end; not needed if those two differ.
    """
    for result in (one, two):
        if result.error is not None:
            return failed_by("page", result.error, honoured=None)
    numbers = f"page={one.number} and page={two.number}"
    if differ(one, two) or (far is not None and far.error is None and not far.length):
        return ok("page", f"it is honoured: {numbers} differ", honoured=True)
    return failed(
        "page",
        f"it is not honoured: {numbers} return the same chats",
        "A walk would never end, so it ends with PageRepeatedError after the first page: check base_url and any cache "
        "in between (its key must hold the query); if they are right, report this to Plug Chat's support.",
        "answer",
        honoured=False,
    )


def overlap(one: ProbeResult, two: ProbeResult) -> bool:
    """Return whether two results have most chats in common. While the list changes, any two pages may share some."""
    # Rows of one person without a phone may be identical, so equal keys are counted.
    common = (Counter(one.keys) & Counter(two.keys)).total()
    return 2 * common > min(len(one.chats), len(two.chats))


def differ(one: ProbeResult, two: ProbeResult) -> bool:
    """Return whether the second of two neighbouring pages has other chats, or none."""
    return not two.length or follows(one, two)


def follows(one: ProbeResult, two: ProbeResult) -> bool:
    """Return whether the second of two neighbouring pages has chats, and other ones than the first."""
    return bool(two.length) and not overlap(one, two)


def begins_at_0(zero: ProbeResult, one: ProbeResult, within: ProbeResult) -> bool:
    """Return whether page 0 is the first one, given that pages 0 and 1 differ.

    Args:
        zero: Page 0.
        one: Page 1.
        within: Page 1 with half the size of page 0: if page 0 is the first one, its second half. If page 1 was
            empty, page 1 again, because its first chats may have arrived since.
    """
    if not one.length:
        return not within.length or not overlap(zero, within)
    if zero.length > 1 and within.length <= within.size:
        return overlap(zero, within)
    # The server does not send halves, so the times decide.
    before, after = ([t for chat in page.chats if (t := chat.last_message_time) is not None] for page in (zero, one))
    return bool(before and after) and min(before) >= max(after)


def check_past_end(far: ProbeResult, first: ProbeResult) -> Finding:
    """Check what a page far past the end is."""
    if far.is_no_page:
        found = f"page={far.number}, far past the end, is refused ({describe(far)}): walks take that for the end"
        return ok("past_end", found, empty=False)
    if far.error is not None:
        return warning(
            "past_end",
            f"page={far.number} is refused: {far.error.what_happened}",
            "If the page just past the end is refused like that, too, a walk fails with that error when the number of "
            "chats is a multiple of page_size: then use another page_size.",
            empty=False,
        )
    if not far.length:
        return ok("past_end", f"page={far.number} is empty, as a page past the end should be", empty=True)
    which = "the first page again" if overlap(first, far) else counted(far.length, "chat")
    return warning(
        "past_end",
        f"page={far.number}, far past the end, returns {which}",
        "If the number of chats is a multiple of page_size, a walk needs some requests more to find the end, and "
        'consistency="plain" yields the chats of a page twice.',
        empty=False,
    )


@define(eq=False)
class Sizes:
    """Pages of several sizes, and what follows the first one that was short.

    Attributes:
        asked: First pages, smallest size first, none of them empty.
        pages_differ: Whether `page` is honoured.
        refused: The result of a larger size that was refused, if one was.
        short: The first page that was short, if one was. It may be longer now, and no longer the last of `asked`.
        beyond: The page after that one, with its length as page size.
        has_hidden_rows: Whether rows follow that one, though it was not cut to a smaller size.
    """

    asked: list[ProbeResult]
    pages_differ: bool
    refused: ProbeResult | None = None
    short: ProbeResult | None = None
    beyond: ProbeResult | None = None
    has_hidden_rows: bool = False

    @property
    def largest(self) -> ProbeResult:
        """The page of the largest size."""
        return self.asked[-1]

    @property
    def raised(self) -> ProbeResult | None:
        """The first page that had more rows than requested, if one had."""
        return next((result for result in self.asked if result.length > result.size), None)

    @property
    def has_more(self) -> bool:
        """Whether the list is longer than its largest page."""
        if not self.pages_differ or self.has_hidden_rows:
            return False
        return self.largest.is_full or (self.beyond is not None and follows(self.largest, self.beyond))

    @property
    def cap(self) -> int | None:
        """The number of rows to which larger pages are cut, or None."""
        length = self.largest.length
        is_fixed = self.raised is not None and all(result.length == length for result in self.asked)
        if not self.has_more or (self.largest.is_full and not is_fixed):
            return None
        return length if is_fixed or self.raised is None else None


def check_page_size(sizes: Sizes) -> Finding:
    """Check whether `pageSize` is honoured."""
    largest, beyond, raised = sizes.largest, sizes.beyond, sizes.raised
    if beyond is not None and beyond.error is not None and not beyond.is_no_page:
        return failed_by("page_size", beyond.error, largest=None, cap=None, fixed=None)
    length = largest.length
    if raised is not None and all(result.length == length for result in sizes.asked):
        return _fixed(raised, length, has_more=sizes.has_more)
    if raised is not None:
        return warning(
            "page_size",
            f"a small one is not honoured: pageSize={raised.size} returned {counted(raised.length, 'chat')}",
            f"Use a page_size of at least {raised.length}; with a smaller one no walk is verified.",
            largest=largest.size,
            cap=None,
            fixed=None,
        )
    if sizes.cap is not None:
        return _capped(largest.size, length)
    if sizes.refused is not None:
        return _refused(largest.size, sizes.refused)
    return _honoured(sizes)


def _honoured(sizes: Sizes) -> Finding:
    size, length = sizes.largest.size, sizes.largest.length
    if sizes.largest.is_full or sizes.has_hidden_rows:
        found = f"it is honoured: pageSize={size} returns {counted(length, 'chat')}"
    elif sizes.pages_differ:
        found = f"it is honoured as far as can be seen: the list has {counted(length, 'chat')}"
    else:
        return skipped("page_size", "unknown whether there is a cap, since `page` may not be honoured")
    return ok("page_size", found, largest=size, cap=None, fixed=None)


def _refused(largest: int, refused: ProbeResult) -> Finding:
    assert refused.error is not None, "only refused requests get here"
    found = f"pageSize={largest} is honoured, but not {refused.size}: {refused.error.what_happened}"
    advice = f"Use a page_size below {refused.size}, such as {largest}; the server may have named the largest one."
    if largest >= DEFAULT_SIZE:
        advice = (
            f"Walks then do without pages of {refused.size}, and need more requests. Use max_page_size={largest} to "
            "save the one that is refused; the server may have named the largest size."
        )
        return warning("page_size", found, advice, largest=largest, cap=None, fixed=None)
    advice += f" The default is {DEFAULT_SIZE}."
    return failed("page_size", found, advice, category_of(refused.error), largest=largest, cap=None, fixed=None)


def _fixed(raised: ProbeResult, length: int, *, has_more: bool) -> Finding:
    found = f"it is ignored: pageSize={raised.size} returns {counted(length, 'chat')}, as all others do"
    if not has_more:
        return warning(
            "page_size",
            f"{found}; that may be the whole list",
            f"Use a page_size of at least {length}; with a smaller one no walk is verified.",
            largest=None,
            cap=None,
            fixed=None,
        )
    advice = f'Use page_size={length}, and not consistency="strict": with a smaller one no walk is verified.'
    return warning("page_size", found, advice, largest=None, cap=None, fixed=length)


def _capped(size: int, cap: int) -> Finding:
    found = f"it is capped at {cap}: pageSize={size} returns {counted(cap, 'chat')}, and more follow"
    advice = (
        f"Walks detect that with a few requests, once a session. Use page_size={cap} or server_traits to save them."
    )
    make = ok if cap >= DEFAULT_SIZE else warning
    return make("page_size", found, advice, largest=cap, cap=cap, fixed=None)


def check_short_pages(sizes: Sizes) -> Finding:
    """Check whether a page with fewer rows than requested is the last one."""
    short, beyond = sizes.short, sizes.beyond
    if short is None or sizes.cap is not None or not sizes.pages_differ:
        return skipped("short_pages", "no page was short, so it is unknown whether a short one is the last", end=None)
    assert beyond is not None, "the page after a short one is requested"
    found = f"pageSize={short.size} returns {counted(short.length, 'chat')}"
    if sizes.has_hidden_rows:
        return warning(
            "short_pages",
            f"{found}, though others follow: the server leaves out rows of a page",
            "Walks notice that, and go on to an empty page; they find all chats, but are mostly not verified. With "
            'consistency="plain", use stop_on="empty".',
            end=False,
        )
    # A page that comes again is what comes past the end, since page 2 is not page 1 elsewhere.
    is_end = beyond.is_no_page if beyond.error is not None else not beyond.length or beyond.keys == short.keys
    if not is_end:
        return skipped("short_pages", f"{found}, and it is unknown what follows", end=None)
    return ok("short_pages", f"a short page is the last one: {found}, and nothing follows", end=True)


_IN_WORDS: Final[dict[str, str | dict[object, str]]] = {
    "max_page_size": "larger pages are cut to {}",
    "longest_page": "the longest page had {}",
    "refused_page_size": "pageSize={} is refused",
    "short_pages": {
        "end": "a short page is the last one",
        "anywhere": "short pages come in the middle of the list",
    },
    "past_end": {
        "empty": "pages past the end are empty",
        "error": "pages past the end are refused",
        "repeated": "past the end, earlier pages come again",
    },
    "page_zero": {"first": "page 0 is the first page", "empty": "page 0 is empty", "error": "page 0 is refused"},
}


def check_server_traits(traits: ServerTraits) -> Finding:
    """Show what was learned about the server, as sessions take it."""
    known = [(a.name, value) for a in fields(ServerTraits) if (value := getattr(traits, a.name)) != a.default]
    if not known:
        return skipped("server_traits", "nothing was learned about the server")
    told: list[str] = []
    for name, value in known:
        words = _IN_WORDS[name]
        shown = counted(value, "row") if name == "longest_page" else value
        told.append(words.format(shown) if isinstance(words, str) else words[value])
    arguments = ", ".join(f"{name}={value!r}" for name, value in known).replace("'", '"')
    advice = f"To save walks the requests that find this out: server_traits=ServerTraits({arguments})."
    return ok("server_traits", "; ".join(told), advice, **traits.to_dict())
