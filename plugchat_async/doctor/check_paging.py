"""What answers to pages of several numbers and sizes mean. Pure: answers -> a finding."""

from collections import Counter
from collections.abc import Sequence

from plugchat_async._pagination.server_traits import is_round
from plugchat_async.doctor.findings import Finding, blame_of, counted, failed, failed_by, ok, skipped, warning
from plugchat_async.doctor.probe import DEFAULT_SIZE, Answer


def judge_page(one: Answer, two: Answer, far: Answer | None = None) -> Finding:
    """Say whether `page` is honoured, from a page and the next one.

    far: one far past any end; not needed where those two differ.
    """
    for answer in (one, two):
        if answer.error is not None:
            return failed_by("page", answer.error, honoured=None)
    numbers = f"page={one.number} and page={two.number}"
    if differ(one, two) or (far is not None and far.error is None and not far.length):
        return ok("page", f"it is honoured: {numbers} differ", honoured=True)
    return failed(
        "page",
        f"it is not honoured: {numbers} bring the same chats",
        "A walk would never end, so it ends with PageRepeatedError after the first page: check base_url and any cache "
        "in between (its key must hold the query); if they are right, tell Plug Chat's support.",
        "answer",
        honoured=False,
    )


def overlap(one: Answer, two: Answer) -> bool:
    """Tell whether two answers hold the same page, more or less: a list that moves makes others share some chats."""
    # A row without a phone may be told from another of the same person by nothing: so they are counted.
    common = (Counter(one.keys) & Counter(two.keys)).total()
    return 2 * common > min(len(one.chats), len(two.chats))


def differ(one: Answer, two: Answer) -> bool:
    """Tell whether the second of two neighbouring pages is another one, or empty."""
    return not two.length or follows(one, two)


def follows(one: Answer, two: Answer) -> bool:
    """Tell whether the second of two neighbouring pages holds other chats than the first."""
    return bool(two.length) and not overlap(one, two)


def begins_at_0(zero: Answer, one: Answer, within: Answer) -> bool:
    """Tell whether page 0 is the first one, from what pages 0 and 1 bring, which is not the same.

    within: page 1 in pages half as large as page 0 is: if that is the first one, they lie within it. Where page 1 is
        empty, page 1 once more: its first chats may have come in between.
    """
    if not one.length:
        return not within.length or not overlap(zero, within)
    if zero.length > 1 and within.length <= within.size:
        return overlap(zero, within)
    # Halves can't be had: what is left are the times.
    before, after = ([t for chat in page.chats if (t := chat.last_message_time) is not None] for page in (zero, one))
    return bool(before and after) and min(before) >= max(after)


def judge_past_end(far: Answer, first: Answer) -> Finding:
    """Say what a page far past any end brings."""
    if far.error is not None:
        return warning(
            "past_end",
            f"page={far.number} is refused: {far.error.what_happened}",
            "If pages just past the end are refused, too, a walk fails with that error where the number of chats is a "
            "multiple of page_size: then use another page_size.",
            empty=False,
        )
    if not far.length:
        return ok("past_end", f"page={far.number} is empty, as a page past the end should be", empty=True)
    which = "the first page again" if overlap(first, far) else counted(far.length, "chat")
    return warning(
        "past_end",
        f"page={far.number}, far past the end, brings {which}",
        "Where the number of chats is a multiple of page_size, a walk takes this for a server that ignores `page`, and "
        "ends with PageRepeatedError after all chats: then use another page_size.",
        empty=False,
    )


def judge_page_size(
    asked: Sequence[Answer], beyond: Answer | None, refused: Answer | None, *, pages_differ: bool
) -> Finding:
    """Say whether `pageSize` is honoured.

    asked: first pages of several sizes, smallest first, none of them empty. beyond: the page after the last of them,
    in pages of its length, if it was short. refused: an answer to a larger size that is no page. pages_differ: whether
    `page` is honoured.
    """
    largest = asked[-1]
    if beyond is not None and beyond.error is not None:
        return failed_by("page_size", beyond.error, largest=None, cap=None, fixed=None)
    length = largest.length
    goes_on = pages_differ and (largest.is_full or (beyond is not None and follows(largest, beyond)))
    raised = next((answer for answer in asked if answer.length > answer.size), None)
    if raised is not None and all(answer.length == length for answer in asked):
        return _judge_fixed(raised, length, goes_on=goes_on)
    if raised is not None:
        return warning(
            "page_size",
            f"a small one is not honoured: pageSize={raised.size} brought {counted(raised.length, 'chat')}",
            f"Use a page_size of at least {raised.length}; with a smaller one no walk is verified.",
            largest=largest.size,
            cap=None,
            fixed=None,
        )
    if not largest.is_full and goes_on:
        return _judge_cap(largest.size, length)
    if refused is not None:
        return _judge_refused(largest.size, refused)
    return _judge_honoured(largest, pages_differ=pages_differ)


def _judge_honoured(largest: Answer, *, pages_differ: bool) -> Finding:
    size, length = largest.size, largest.length
    if largest.is_full:
        found = f"it is honoured: pageSize={size} brings {counted(length, 'chat')}"
    elif pages_differ:
        found = f"it is honoured, as far as can be told: the list has {counted(length, 'chat')}"
    else:
        return skipped(
            "page_size", "whether there is a cap can't be told, since it is not known that `page` is honoured"
        )
    return ok("page_size", found, largest=size, cap=None, fixed=None)


def _judge_refused(largest: int, refused: Answer) -> Finding:
    assert refused.error is not None, "it is no page"
    found = f"pageSize={largest} is honoured, but not {refused.size}: {refused.error.what_happened}"
    advice = f"Use a page_size below {refused.size}, such as {largest}; what the server says may name the largest one."
    if largest >= DEFAULT_SIZE:
        return warning("page_size", found, advice, largest=largest, cap=None, fixed=None)
    advice += f" The default is {DEFAULT_SIZE}."
    return failed("page_size", found, advice, blame_of(refused.error), largest=largest, cap=None, fixed=None)


def _judge_fixed(raised: Answer, length: int, *, goes_on: bool) -> Finding:
    found = f"it is ignored: pageSize={raised.size} brings {counted(length, 'chat')}, as all others do"
    if not goes_on:
        return warning(
            "page_size",
            f"{found}; that may be the whole list",
            f"Use a page_size of {length} at least; with a smaller one no walk is verified.",
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
            "the whole list, and loses the rest.",
            "answer",
            largest=None,
            cap=None,
            fixed=length,
        )
    return warning("page_size", found, f"{advice}.", largest=None, cap=None, fixed=length)


def _judge_cap(size: int, cap: int) -> Finding:
    found = f"it is capped at {cap}: pageSize={size} brings {counted(cap, 'chat')}, and more follow"
    if is_round(cap):
        advice = f"Walks recognise a round number, at the cost of one request. Use page_size={cap} to spare it."
        if cap >= DEFAULT_SIZE:
            return ok("page_size", found, advice, largest=cap, cap=cap, fixed=None)
        return warning("page_size", found, advice, largest=cap, cap=cap, fixed=None)
    advice = (
        f"Use a page_size of {cap} at most: with a larger one a walk takes the first page for the whole list, and "
        "loses the rest, since it takes only round numbers for a cap."
    )
    if cap >= DEFAULT_SIZE:
        return warning("page_size", found, advice, largest=cap, cap=cap, fixed=None)
    advice += f" The default is {DEFAULT_SIZE}."
    return failed("page_size", found, advice, "answer", largest=cap, cap=cap, fixed=None)
