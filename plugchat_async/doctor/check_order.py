"""Check the order of the chats, and the server's latency and rate limit. Pure: results -> a finding."""

import math
import statistics
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime
from itertools import groupby
from typing import Final

from plugchat_async._pagination.order import MAX_PINNED
from plugchat_async.doctor.check_rows import is_lid
from plugchat_async.doctor.findings import Finding, Value, counted, failed, ok, skipped, warning
from plugchat_async.doctor.prober import DEFAULT_SIZE, TOO_FEW, ProbeResult
from plugchat_async.errors import RateLimitedError
from plugchat_async.models import Chat

# With fewer sorted chats after those that may be pinned, the order may be chance.
_MIN_SORTED: Final = 5
# A page that takes longer, in seconds, is called slow.
_SLOW: Final = 5.0

_UNSORTED_ADVICE: Final = (
    "A list that fits in one page of max_page_size (1,000) is read without loss all the same. A walk over a longer one "
    'finds every chat while it does not change; if it changes, the walk ends unverified, and with consistency="strict" '
    "always. Use require_verified=True if that matters, and walk while the account is quiet."
)


_TIMELESS_ADVICE: Final = (
    "Chats without messages have no time; that is normal. Walks that find no other proof compare the order of such "
    "rows instead of their times."
)


def check_order(first: ProbeResult) -> Finding:
    """Check whether the largest first page is sorted by time, newest first."""
    chats = first.chats
    if len(chats) < 2:
        return skipped("order", TOO_FEW)
    where = _positions(chats)
    times = [time for chat in chats if (time := chat.last_message_time) is not None]
    if len(chats) < MAX_PINNED + _MIN_SORTED and not times:
        return skipped("order", f"{TOO_FEW}: none of them has a time", **where)
    if not times:
        return warning(
            "order",
            f"{len(chats)} of {len(chats)} chats have no last_message_time, so they can't be sorted by it",
            _UNSORTED_ADVICE,
            sorted=False,
            pinned=None,
            **where,
        )
    pinned = _pinned(times)
    if pinned is None or (pinned and len(times) - pinned < _MIN_SORTED):
        if len(times) < MAX_PINNED + _MIN_SORTED:
            return skipped("order", f"{TOO_FEW}, since up to {MAX_PINNED} may be pinned on top", **where)
        if times == sorted(times):
            found = f"the {len(times)} chats of a page are sorted by time, but the oldest is first"
        elif _is_sorted_without_flagged(chats):
            found = (
                f"the {len(times)} chats of a page are not sorted by time; without those that are pinned or archived "
                "they are"
            )
        else:
            found = f"the {len(times)} chats of a page are not sorted by time"
        return warning("order", found + _in_words(where), _UNSORTED_ADVICE, sorted=False, pinned=None, **where)
    top = f", below {pinned} pinned on top" if pinned else ""
    are = "is" if len(times) == 1 else "are"
    found = f"{counted(len(times), 'chat')} {are} sorted by time, newest first{top}{_in_words(where)}"
    advice = _TIMELESS_ADVICE if len(times) < len(chats) else ""
    return ok("order", found, advice, sorted=True, pinned=pinned, **where)


def _pinned(times: list[datetime]) -> int | None:
    """Return the number of pinned chats on top of a sorted list; None if the list is not sorted."""
    for top in range(min(MAX_PINNED, len(times) - 1) + 1):
        if times[top:] == sorted(times[top:], reverse=True):
            return top
    return None


def _is_sorted_without_flagged(chats: Sequence[Chat]) -> bool:
    others = [chat for chat in chats if not chat.is_pinned and not chat.is_archived]
    times = [time for chat in others if (time := chat.last_message_time) is not None]
    return len(times) >= _MIN_SORTED and times == sorted(times, reverse=True)


_STANDING: Final[dict[str, Callable[[Chat], bool]]] = {
    "pinned": lambda chat: bool(chat.is_pinned),
    "archived": lambda chat: bool(chat.is_archived),
    "timeless": lambda chat: chat.last_message_time is None,
}


def _positions(chats: Sequence[Chat]) -> dict[str, Value]:
    """Return the number of rows that are pinned, archived, or without a time, and their positions in the list."""
    facts: dict[str, Value] = {}
    for name, is_one in _STANDING.items():
        marks = [is_one(chat) for chat in chats]
        facts |= {f"{name}_rows": sum(marks), f"{name}_at": _place(marks)}
    return facts


def _place(marks: Sequence[bool]) -> str | None:
    """Return the position of the marked rows in the list; None if no row is marked, or all are."""
    if not any(marks) or all(marks):
        return None
    top, bottom = marks.index(False), list(reversed(marks)).index(False)
    between = sum(marks) - top - bottom
    if between:
        return "mixed" if top or bottom else "among the others"
    if top and bottom:
        return "top and bottom"
    return "top" if top else "bottom"


def _in_words(where: dict[str, Value]) -> str:
    """Describe the positions in words, of those kinds that not all rows have."""
    words = {"pinned": "pinned", "archived": "archived", "timeless": "without a time"}
    parts = [
        f"{where[f'{name}_rows']} {word}: {where[f'{name}_at']}" for name, word in words.items() if where[f"{name}_at"]
    ]
    return f" ({'; '.join(parts)})" if parts else ""


def check_ties(first: ProbeResult, results: Sequence[ProbeResult], cap: int | None) -> Finding:
    """Check how many chats have the same time as a neighbour, and whether these keep their order.

    Args:
        first: The largest first page.
        results: All results.
        cap: The number of chats on the largest page, None if that is the whole list.
    """
    size = DEFAULT_SIZE if cap is None else min(cap, DEFAULT_SIZE)
    times = [chat.last_message_time for chat in first.chats]
    timed = len(times) - times.count(None)
    if timed < 2:
        return skipped("ties", TOO_FEW if len(times) < 2 else "there are chats without a time")
    groups = [count for time, run in groupby(times) if time is not None and (count := len(list(run))) > 1]
    borders = sum(times[place - 1] == times[place] is not None for place in range(size, len(times), size))
    largest = max(groups, default=1)
    kept = _keep_their_order(results)
    found = f"of {timed} chats {sum(groups)} have the same time as a neighbour"
    facts: dict[str, Value] = {"tied": sum(groups), "largest": largest, "on_borders": borders, "kept": kept}
    if groups:
        found += f", {largest} at most together"
        found += f", {counted(borders, 'time')} across a border of pages of {size}" if borders else ""
    if not kept:
        found += "; their order changes from answer to answer"
        advice = "If a page ends between two of them, walks read the list once more, in one page of max_page_size."
        if cap is not None:
            advice += (
                f' A walk over a list of more than {cap} chats may end unverified: use consistency="strict", with a '
                f"page_size above {2 * largest}."
            )
        return warning("ties", found, advice, **facts)
    if cap is not None and largest * 2 > cap:
        return warning(
            "ties",
            found,
            'If the list changes, a walk may end unverified, and consistency="strict" can\'t overlap its pages: use a '
            f"page_size above {2 * largest}.",
            **facts,
        )
    return ok("ties", found, "", **facts)


def _keep_their_order(results: Sequence[ProbeResult]) -> bool:
    """Return whether chats of the same time have the same order in all results."""
    known: dict[datetime | None, tuple[str, ...]] = {}
    for result in results:
        for time, run in groupby(result.chats, lambda chat: chat.last_message_time):
            # Rows without a phone may be identical rows of one person.
            tied = tuple(chat.phone for chat in run if chat.phone is not None)
            before = known.get(time, ())
            if not _agree(before, tied):
                return False
            known[time] = max(before, tied, key=len)
    return True


def _agree(one: tuple[str, ...], two: tuple[str, ...]) -> bool:
    common = set(one) & set(two)
    first, second = (dict.fromkeys(phone for phone in phones if phone in common) for phones in (one, two))
    return list(first) == list(second)


def check_duplicates(results: Sequence[ProbeResult]) -> Finding:
    """Check whether a page contains a phone twice. Several rows of one person are the subject of `check_people`."""
    if max((len(result.chats) for result in results), default=0) < 2:
        return skipped("duplicates", TOO_FEW)
    most = max(_repeated(result) for result in results)
    if most:
        return warning(
            "duplicates",
            f"{counted(most, 'phone')} {'comes' if most == 1 else 'come'} twice in one answer",
            "Walks take the rows of one answer that differ for different chats, and yield each of them: distinguish "
            "them by their other fields, and report this to Plug Chat's support.",
            phones=most,
        )
    return ok("duplicates", "no phone comes twice in one answer", phones=0)


def _repeated(result: ProbeResult) -> int:
    phones = Counter(chat.phone for chat in result.chats if chat.phone is not None and not is_lid(chat.phone))
    return sum(count > 1 for count in phones.values())


def check_latency(results: Sequence[ProbeResult], timeout: float) -> Finding:
    """Check how long answers took."""
    answered = [result for result in results if result.status is not None]
    if not answered:
        return skipped("latency", "nothing was answered")
    median = statistics.median(result.seconds for result in answered)
    worst = max(answered, key=lambda result: result.seconds)
    found = (
        f"{median:.3f} s is the median of {counted(len(answered), 'answer')}, and {worst.seconds:.3f} s the worst "
        f"(page={worst.number}, pageSize={worst.size})"
    )
    facts: dict[str, Value] = {"median": round(median, 6), "worst": round(worst.seconds, 6), "answers": len(answered)}
    if worst.seconds > timeout / 2 or median > _SLOW:
        return warning(
            "latency",
            found,
            f"Requests time out after {timeout:g} s: use smaller pages, or a longer timeout; `prefetch` fetches pages "
            "in advance.",
            **facts,
        )
    return ok("latency", found, "", **facts)


def check_rate_limit(results: Sequence[ProbeResult]) -> Finding:
    """Check for rate limits: 429, and headers."""
    if all(result.status is None for result in results):
        return skipped("rate_limit", "nothing was answered")
    seen: dict[str, str] = {}
    for result in results:
        seen.update(result.rate_headers)
    headers = tuple(f"{name}: {value}" for name, value in seen.items())
    shown = f" ({'; '.join(headers)})" if headers else ""
    limited = next((result.error for result in results if isinstance(result.error, RateLimitedError)), None)
    if limited is not None:
        wait = limited.retry_after
        if wait is not None and math.isinf(wait):  # more digits than a float can have
            wait = None
        waiting = "without Retry-After" if wait is None else f"with Retry-After: {wait:g} s"
        count = sum(result.status is not None for result in results)
        return failed(
            "rate_limit",
            f"answer {count} was HTTP 429, {waiting}{shown}",
            "Run this again later. Sessions wait automatically, for at most 60 s; with requests_per_second they stay "
            "below the limit.",
            "service",
            limited=True,
            retry_after=wait,
            headers=headers,
        )
    if headers:
        return ok(
            "rate_limit",
            f"no 429, but headers about a limit{shown}",
            "Set requests_per_second of sessions below it.",
            limited=False,
            retry_after=None,
            headers=headers,
        )
    return ok(
        "rate_limit",
        f"none seen in {counted(len(results), 'request')} for pages",
        limited=False,
        retry_after=None,
        headers=(),
    )
