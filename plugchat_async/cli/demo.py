"""The walks of `plugchat demo`: over a simulated account that is quiet, or busy."""

import sys
import time
from collections import Counter

from attrs import frozen
from rich.table import Column, Table

from plugchat_async import PlugChatSession, WalkReport
from plugchat_async._pagination.walk_state import Consistency
from plugchat_async._pagination.walk_steps import key_of
from plugchat_async.cli.output import chats_table
from plugchat_async.cli.progress import waiting
from plugchat_async.cli.terminal import render_table
from plugchat_async.session import TOKEN_VARIABLE
from plugchat_async.testing import Fault, PlugChatSimulator

# The average numbers of messages and of new chats between two requests.
_BUMPS, _INSERTS = 2.0, 0.2


async def show_quiet(chats: int, *, seed: int, page_size: int) -> None:
    """Fetch all chats, and print the requests and the chats."""
    async with PlugChatSimulator(chats, seed=seed) as sim:
        sim.script(Fault.status(503))
        async with PlugChatSession(sim.token, base_url=sim.base_url) as session:
            started = time.perf_counter()
            found = await session.list_chats(page_size)
            seconds = time.perf_counter() - started
        if Counter(found) != Counter(sim.chats):  # more rows of one person may come at the end
            raise AssertionError("the demo's chats are not the simulator's")
        lines = [f"A simulated account with {len(sim.chats)} chats at {sim.base_url}. The requests:"]
        for number, request in enumerate(sim.requests, 1):
            scripted = " (answered 503 on purpose, retried)" if number == 1 else ""
            query = "" if request.page is None else f"?page={request.page}&pageSize={request.page_size}"
            lines.append(f"  {request.method} {request.path}{query}{scripted}")
        shown = found[:10]
        lines.append(render_table(chats_table(shown), sys.stdout).rstrip())
        unread = sum(chat.unread for chat in found)
        lines.append(
            f"{len(found)} chats, {unread} unread messages, {len(sim.requests)} requests, {seconds:.2f} s.\n"
            f"The table shows the first {len(shown)}."
        )
    lines.append(f"With your own token: {TOKEN_VARIABLE}=... plugchat chats")
    sys.stdout.write("\n".join(lines) + "\n")


@frozen
class _Outcome:
    """The result of a walk over a changing list."""

    missed: int
    twice: int
    report: WalkReport


async def show_busy(chats: int, *, seed: int, page_size: int) -> None:
    """Walk over the same changing list with each consistency, and print the results side by side."""
    columns = ("requests", "chats", "missed", "twice", "recovered")
    table = Table("consistency", *(Column(name, justify="right") for name in columns), "verified")
    reasons: list[str] = []
    kinds: tuple[Consistency, ...] = ("plain", "exact", "strict")
    for consistency in kinds:
        with waiting(f"{consistency}: reading a list that changes"):
            outcome = await _walk_over_busy(chats, seed, page_size, consistency)
        report = outcome.report
        numbers = (report.requests, report.chats, outcome.missed, outcome.twice, report.recovered)
        table.add_row(consistency, *map(str, numbers), "yes" if report.verified else "no")
        if not report.verified:
            reasons.append(f"{consistency} is not verified: {report.reason}.\n")
    sys.stdout.write(
        f"An account with {chats} chats is read in pages of {page_size}. Between two requests,\n"
        f"{_BUMPS:g} chats get a message on average, and {_INSERTS:g} are new. Missed chats existed for the\n"
        f"whole walk, but were not found. Each chat has a time, as in the vendor's page\n"
        f"of 2021: if some have none, walks can prove less.\n"
        f"{render_table(table, sys.stdout)}{''.join(reasons)}"
    )


async def _walk_over_busy(chats: int, seed: int, page_size: int, consistency: Consistency) -> _Outcome:
    async with (
        # If some chats have no time, as in the gateway's lists, no walk can verify a changing list.
        PlugChatSimulator(chats, seed=seed, dialect="documented") as sim,
        PlugChatSession(sim.token, base_url=sim.base_url) as session,
    ):
        existing = {key_of(chat) for chat in sim.chats}
        sim.traffic(bumps=_BUMPS, inserts=_INSERTS, seed=seed)
        walk = session.walk_chats(page_size, consistency=consistency)
        found = Counter(key_of(chat) for chat in await walk.to_list())
    return _Outcome(len(existing - found.keys()), found.total() - len(found), walk.report)
