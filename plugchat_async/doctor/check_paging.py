"""Check paging, from pages of several numbers and sizes. Pure: results -> a finding."""

from collections import Counter
from collections.abc import Sequence

from plugchat_async._pagination.server_traits import is_round
from plugchat_async.doctor.findings import Finding, category_of, counted, failed, failed_by, ok, skipped, warning
from plugchat_async.doctor.prober import DEFAULT_SIZE, ProbeResult


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
    """Check that a page far past the end is empty."""
    if far.error is not None:
        return warning(
            "past_end",
            f"page={far.number} is refused: {far.error.what_happened}",
            "If the page just past the end is refused, too, a walk fails with that error when the number of chats is a "
            "multiple of page_size: then use another page_size.",
            empty=False,
        )
    if not far.length:
        return ok("past_end", f"page={far.number} is empty, as a page past the end should be", empty=True)
    which = "the first page again" if overlap(first, far) else counted(far.length, "chat")
    return warning(
        "past_end",
        f"page={far.number}, far past the end, returns {which}",
        "If the number of chats is a multiple of page_size, a walk ends with PageRepeatedError after all chats, as if "
        "the server ignored `page`: then use another page_size.",
        empty=False,
    )


def check_page_size(
    asked: Sequence[ProbeResult], beyond: ProbeResult | None, refused: ProbeResult | None, *, pages_differ: bool
) -> Finding:
    """Check whether `pageSize` is honoured.

    Args:
        asked: First pages of several sizes, smallest first, none of them empty.
        beyond: The page after the last of them, with its length as page size, if that one was short.
        refused: The result of a larger size that was refused, if one was.
        pages_differ: Whether `page` is honoured.
    """
    largest = asked[-1]
    if beyond is not None and beyond.error is not None:
        return failed_by("page_size", beyond.error, largest=None, cap=None, fixed=None)
    length = largest.length
    has_more = pages_differ and (largest.is_full or (beyond is not None and follows(largest, beyond)))
    raised = next((result for result in asked if result.length > result.size), None)
    if raised is not None and all(result.length == length for result in asked):
        return _fixed(raised, length, has_more=has_more)
    if raised is not None:
        return warning(
            "page_size",
            f"a small one is not honoured: pageSize={raised.size} returned {counted(raised.length, 'chat')}",
            f"Use a page_size of at least {raised.length}; with a smaller one no walk is verified.",
            largest=largest.size,
            cap=None,
            fixed=None,
        )
    if not largest.is_full and has_more:
        return _capped(largest.size, length)
    if refused is not None:
        return _refused(largest.size, refused)
    return _honoured(largest, pages_differ=pages_differ)


def _honoured(largest: ProbeResult, *, pages_differ: bool) -> Finding:
    size, length = largest.size, largest.length
    if largest.is_full:
        found = f"it is honoured: pageSize={size} returns {counted(length, 'chat')}"
    elif pages_differ:
        found = f"it is honoured as far as can be seen: the list has {counted(length, 'chat')}"
    else:
        return skipped("page_size", "unknown whether there is a cap, since `page` may not be honoured")
    return ok("page_size", found, largest=size, cap=None, fixed=None)


def _refused(largest: int, refused: ProbeResult) -> Finding:
    assert refused.error is not None, "only refused requests get here"
    found = f"pageSize={largest} is honoured, but not {refused.size}: {refused.error.what_happened}"
    advice = f"Use a page_size below {refused.size}, such as {largest}; the server may have named the largest one."
    if largest >= DEFAULT_SIZE:
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
    advice = f'Use page_size={length}, and not consistency="strict": with a smaller one no walk is verified'
    if length < DEFAULT_SIZE and not is_round(length):
        return failed(
            "page_size",
            found,
            f"{advice}, and with a larger one (such as the default of {DEFAULT_SIZE}) a walk takes the first page for "
            "the whole list, and misses the rest.",
            "answer",
            largest=None,
            cap=None,
            fixed=length,
        )
    return warning("page_size", found, f"{advice}.", largest=None, cap=None, fixed=length)


def _capped(size: int, cap: int) -> Finding:
    found = f"it is capped at {cap}: pageSize={size} returns {counted(cap, 'chat')}, and more follow"
    if is_round(cap):
        advice = f"Walks detect a round cap with one extra request. Use page_size={cap} to save it."
        if cap >= DEFAULT_SIZE:
            return ok("page_size", found, advice, largest=cap, cap=cap, fixed=None)
        return warning("page_size", found, advice, largest=cap, cap=cap, fixed=None)
    advice = (
        f"Use a page_size of at most {cap}: with a larger one a walk takes the first page for the whole list, and "
        "misses the rest, since it detects only round caps."
    )
    if cap >= DEFAULT_SIZE:
        return warning("page_size", found, advice, largest=cap, cap=cap, fixed=None)
    advice += f" The default is {DEFAULT_SIZE}."
    return failed("page_size", found, advice, "answer", largest=cap, cap=cap, fixed=None)
