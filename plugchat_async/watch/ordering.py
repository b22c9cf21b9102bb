"""The order of a watch's chats: by their last message, newest last. Pure."""

from collections.abc import Generator, Iterator, Mapping, Sequence
from heapq import merge

from plugchat_async._pagination.order import MAX_PINNED
from plugchat_async.models import Chat
from plugchat_async.watch.identity import ROWS_AT_ONCE, time_of


def sorted_by_time(chats: dict[str, Chat], seen: dict[str, Chat]) -> Generator[None, None, dict[str, Chat]]:
    """Return chats by key, newest message last, in steps. Usually they are sorted already.

    Pinned chats, which the list has on top with any time, may stay there: the next poll would put them there again.

    Args:
        chats: The chats.
        seen: Those that were read, in the order of the list: newest message first. It decides where times are equal.
    """
    keys = yield from _keys_in_order(chats, seen)
    times: list[float] = []  # datetimes are slower to compare
    in_place = True
    for number, (key, before) in enumerate(zip(keys, chats, strict=True), 1):
        if number % ROWS_AT_ONCE == 0:
            yield
        times.append(time_of(chats[key]).timestamp())
        may_be_pinned = number > len(keys) - MAX_PINNED
        in_place = in_place and key == before and (number == 1 or times[-2] <= times[-1] or may_be_pinned)
    if in_place:
        return chats
    found: dict[str, Chat] = {}
    for number, index in enumerate((yield from _sorted_indexes(times)), 1):
        if number % ROWS_AT_ONCE == 0:
            yield
        found[keys[index]] = chats[keys[index]]
    return found


def oldest_first(chats: Mapping[str, Chat], keys: Sequence[str]) -> Generator[None, None, Iterator[str]]:
    """Return keys of chats by the last message, oldest first, in steps. Where times are equal, their order stays.

    Args:
        chats: The chats. They may change before all keys are taken.
        keys: The keys.
    """
    times: list[float] = []
    for number, key in enumerate(keys, 1):
        if number % ROWS_AT_ONCE == 0:
            yield
        times.append(time_of(chats[key]).timestamp())
    return map(keys.__getitem__, (yield from _sorted_indexes(times)))


def _keys_in_order(chats: dict[str, Chat], seen: dict[str, Chat]) -> Generator[None, None, list[str]]:
    """Return the keys of the chats that were not read, then the others in the order of the list, newest last."""
    keys: list[str] = []
    if len(seen) < len(chats):
        for number, key in enumerate(chats, 1):
            if number % ROWS_AT_ONCE == 0:
                yield
            if key not in seen:
                keys.append(key)
    for number, key in enumerate(reversed(seen), 1):
        if number % ROWS_AT_ONCE == 0:
            yield
        keys.append(key)
    return keys


def _sorted_indexes(times: list[float]) -> Generator[None, None, Iterator[int]]:
    """Return the indexes of times, sorted by these. The times are sorted in runs, since to sort all is one long step.

    A list that is nearly sorted is one long run and some short ones, such as that of the pinned chats.
    """
    runs: list[list[int]] = []
    run: list[int] = []
    ascends = True
    for index, time in enumerate(times):
        if index % ROWS_AT_ONCE == ROWS_AT_ONCE - 1:
            yield
        follows = not run or times[index - 1] <= time
        if len(run) >= ROWS_AT_ONCE and not (ascends and follows):
            runs.append(run if ascends else sorted(run, key=times.__getitem__))
            run, ascends, follows = [], True, True
        ascends = ascends and follows
        run.append(index)
    runs.append(run if ascends else sorted(run, key=times.__getitem__))
    return merge(*runs, key=times.__getitem__)
