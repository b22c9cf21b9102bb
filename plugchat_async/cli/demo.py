"""`plugchat demo`: the main job on a simulated account, quiet or busy."""

import sys
import time
from collections import Counter

from attrs import frozen
from rich.table import Column, Table

from plugchat_async import PlugChatSession, WalkReport
from plugchat_async._pagination.state import Consistency
from plugchat_async._pagination.steps import key_of
from plugchat_async.cli.output import chats_table, drawn
from plugchat_async.session import TOKEN_VARIABLE
from plugchat_async.testing import Fault, PlugChatSimulator

# Chats that get a message, and new ones, from one request to the next.
_BUMPS, _INSERTS = 2.0, 0.2


async def show_quiet(chats: int, *, seed: int, page_size: int) -> None:
    """Fetch all chats, and print what was asked for and what came."""
    async with PlugChatSimulator(chats, seed=seed) as sim:
        sim.script(Fault.status(503))
        async with PlugChatSession(sim.token, base_url=sim.base_url) as session:
            started = time.perf_counter()
            found = await session.list_chats(page_size)
            seconds = time.perf_counter() - started
        if found != list(sim.chats):
            raise AssertionError("the demo's chats are not the simulator's")
        lines = [f"A simulated account with {len(sim.chats)} chats at {sim.base_url}. What was asked for:"]
        for number, request in enumerate(sim.requests, 1):
            scripted = " (answered 503 on purpose, then retried)" if number == 1 else ""
            lines.append(
                f"  {request.method} {request.path}?page={request.page}&pageSize={request.page_size}{scripted}"
            )
        shown = found[:10]
        lines.append(drawn(chats_table(shown), sys.stdout).rstrip())
        unread = sum(chat.unread for chat in found)
        lines.append(
            f"{len(found)} chats, {unread} unread messages, {len(sim.requests)} requests, {seconds:.2f} s. "
            f"The table shows the first {len(shown)}."
        )
    lines.append(f"With a token of your own: {TOKEN_VARIABLE}=... plugchat chats")
    sys.stdout.write("\n".join(lines) + "\n")


@frozen
class _Outcome:
    """What a walk over a moving list brought."""

    missed: int
    twice: int
    report: WalkReport


async def show_busy(chats: int, *, seed: int, page_size: int) -> None:
    """Walk over the same moving list in each consistency, and print what was missed, side by side."""
    columns = ("requests", "chats", "missed", "twice", "late finds", "seconds")
    table = Table("consistency", *(Column(name, justify="right") for name in columns), "verified")
    kinds: tuple[Consistency, ...] = ("plain", "exact", "strict")
    for consistency in kinds:
        outcome = await _walk_busily(chats, seed, page_size, consistency)
        report = outcome.report
        numbers = (report.requests, report.chats, outcome.missed, outcome.twice, report.recovered)
        verified = "yes" if report.verified else f"no: {report.reason}"
        table.add_row(consistency, *map(str, numbers), f"{report.elapsed:.2f}", verified)
    sys.stdout.write(
        f"An account with {chats} chats is read {page_size} at a time. From one request to the next, on average,\n"
        f"{_BUMPS:g} chats get a message and {_INSERTS:g} are new. Missed are chats that were there all the time.\n"
        f"Each chat has a time, as on the vendor's page of 2021: where some have none, walks can prove less.\n"
        f"{drawn(table, sys.stdout)}"
    )


async def _walk_busily(chats: int, seed: int, page_size: int, consistency: Consistency) -> _Outcome:
    reports: list[WalkReport] = []
    async with (
        # Where some chats have no time, as in the gateway's lists, no walk can verify a list that moves.
        PlugChatSimulator(chats, seed=seed, dialect="documented") as sim,
        PlugChatSession(sim.token, base_url=sim.base_url) as session,
    ):
        there = {key_of(chat) for chat in sim.chats}
        sim.traffic(bumps=_BUMPS, inserts=_INSERTS, seed=seed)
        walk = session.iter_chats(page_size, consistency=consistency, on_report=reports.append)
        found = Counter([key_of(chat) async for chat in walk])
    return _Outcome(len(there - found.keys()), found.total() - len(found), reports[0])
