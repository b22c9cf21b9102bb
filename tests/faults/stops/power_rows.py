"""Rows of a loss of power: at any moment at which something was changed on the disk, with what may be there by then."""

import json
from collections.abc import Callable

import pytest

from faults.stops import bulk_rows, chats_rows, watch_rows
from faults.stops.cell import Ended, Place, Row, compared
from faults.stops.work import NONE, Work
from support.power import Disk, restore, states

NAME = "a loss of power"
# The event that the state did not yet cover.
AT_MOST_ONE = "0 missing, at most 1 doubled"
# How many states of the disk are tried, of those that there may be.
TRIED = 10
# Saves that a command leaves out while they take too much of its time.
PAUSES = ("plugchat_async.cli.checkpoint.SAVE_PAUSE", "plugchat_async.cli.watch._SAVE_PAUSE")


def power_lost(
    make: Callable[[Place], Work], run: Callable[[Work], tuple[int, str]], again: Callable[[Work], str], left: str
) -> Callable[[Place], Ended]:
    """Run a command whole, and go on from what a loss of power would have left of it."""

    def play(place: Place) -> Ended:
        work = make(place)
        work.prepare(None)
        if work.target is not None:
            work.target.touch()  # by the shell
        disk = Disk(work.folder)
        try:
            with pytest.MonkeyPatch.context() as patch:
                for name in PAUSES:
                    patch.setattr(name, 0)
                disk.watch(patch)
                code, said = run(work)
            assert code == 0, said
            found = states(disk)
            then: set[str] = set()
            for _, state in found[:: max(1, len(found) // TRIED)]:
                restore(state, work.folder)
                then.add(again(work))
        finally:
            disk.close()
        return Ended(None, "", left, " or ".join(sorted(then)))

    return play


def run_again(work: Work) -> str:
    return work.again()


def resumed(work: Work) -> str:
    """Run a walk with a checkpoint again, unless its end was reached and the checkpoint is gone."""
    assert isinstance(work, chats_rows.OntoFile)
    if work.left().startswith("250 lines") and not (work.folder / "c").exists():
        return work.compared()
    return work.again()


def again_without_names(work: Work) -> str:
    """Run an export again. Which accounts it fetches depends on the moment."""
    return work.again().rpartition(": ")[2]


def old_or_new(work: Work) -> str:
    """The same, of one that begins anew. Each account must have a whole file at each moment."""
    assert isinstance(work, bulk_rows.Restarted)
    left = work.left()
    assert left.count("the old") + left.count("the new") == len(bulk_rows.ACCOUNTS), left
    work.plain = work.arguments  # the first run may not have begun
    return again_without_names(work)


def watched_again(work: Work) -> str:
    """Poll once more. What was printed but is not covered by the state comes again."""
    assert isinstance(work, watch_rows.Watch)
    code, said = work.once()
    assert code == 0, said
    came = [str(json.loads(line)["chat"]["phone"]) for line in work.lines()]
    told = compared(came, [str(chat.phone) for chat in work.touched])
    return AT_MOST_ONE if told in (NONE, "0 missing, 1 doubled") else told


def poll_once(work: Work) -> tuple[int, str]:
    assert isinstance(work, watch_rows.Watch)
    return work.once()


def run_here(work: Work) -> tuple[int, str]:
    return work.place.run(*work.arguments)


def row(
    command: str,
    left: str,
    make: Callable[[Place], Work],
    run: Callable[[Work], tuple[int, str]],
    again: Callable[[Work], str],
    then: str = NONE,
) -> Row:
    return Row(command, NAME, power_lost(make, run, again, left), Ended(None, "", left, then))


POWER = [
    row(
        chats_rows.ONTO_FILE,
        "the lines that `c` covers, perhaps more and half a line",
        chats_rows.OntoFile,
        Work.append,
        resumed,
    ),
    row(
        chats_rows.TO_FILE,
        "the old `x.csv` or the new one, perhaps a hidden part",
        chats_rows.ToFile,
        run_here,
        run_again,
    ),
    row(
        bulk_rows.command("jsonl"),
        "whole files of the accounts that count as finished, perhaps hidden parts",
        bulk_rows.Bulk,
        run_here,
        again_without_names,
    ),
    row(
        bulk_rows.command("jsonl", " --restart"),
        "the old file or the new one of each account, perhaps hidden parts",
        bulk_rows.Restarted,
        run_here,
        old_or_new,
    ),
    row(
        watch_rows.ONTO_FILE,
        "the events that `s` covers, perhaps more and half a line",
        watch_rows.Watch,
        poll_once,
        watched_again,
        AT_MOST_ONE,
    ),
]
