"""Everything that a server, a network or a caller does wrong: one row each, and all that must hold afterwards."""

import asyncio
import logging
import os
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from faults.matrix import cell
from faults.matrix.cell import Row, Verdict, check
from faults.matrix.peers import HONEST, TOKEN, Peer, sends
from faults.matrix.report import ROWS, lines, page
from plugchat_async import ConnectionFailedError, PlugChatSession

PAGE = Path(__file__).parents[2] / "docs" / "what-happens-when.md"
VERDICTS: dict[str, Verdict] = {}
# Rows that take seconds, by the beginning of their names.
LARGE = ("1,000 accounts", "a page in a million chunks", "a page of 100,000 chats")


async def verdict_on(row: Row) -> Verdict:
    """What came of a row, which is run once."""
    if row.id not in VERDICTS:
        VERDICTS[row.id] = await check(row)
    return VERDICTS[row.id]


@pytest.mark.parametrize(
    "row",
    [pytest.param(row, id=row.id, marks=[pytest.mark.slow] if row.name.startswith(LARGE) else []) for row in ROWS],
)
async def test_row(row: Row) -> None:
    """The error and its text, requests, connections and waits are exact; no secret is seen; nothing is left behind."""
    assert (await verdict_on(row)).problems == []


def test_rows_have_names_of_their_own() -> None:
    """So that a report tells them apart."""
    assert len({row.id for row in ROWS}) == len(ROWS)


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_the_page_is_what_the_matrix_says() -> None:
    """docs/what-happens-when.md is `python tests/fault_matrix.py --markdown`."""
    assert PAGE.read_text() == page([await verdict_on(row) for row in ROWS])


def test_all_texts_say_how_many_faults_there_are() -> None:
    """README, changelog, documentation and CONTRIBUTING.md say the same number, and it is the matrix's, about."""
    texts = [PAGE.parent.parent / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "docs/index.md")]
    [number] = {int(told) for text in texts for told in re.findall(r"some (\d+) faults", text.read_text("utf-8"))}
    assert abs(number - len(ROWS)) <= 10


async def test_the_report_has_a_line_a_row_and_says_what_failed() -> None:
    """Whoever runs it sees what was checked."""
    good = await verdict_on(ROWS[0])
    bad = evolve(good, problems=["requests: 2 instead of 1"])
    first, second, problem, total = lines([good, bad])
    assert first.startswith("ok    Connecting: nobody listens ")
    assert second.startswith("FAIL  Connecting: nobody listens ")
    assert (problem.strip(), total) == ("requests: 2 instead of 1", "2 rows, 1 failed")


def honest(call: Callable[[PlugChatSession], Awaitable[object]], **changed: Any) -> Row:
    return Row("Planted", "", lambda: Peer(sends(HONEST, end="keep")), call=call, **changed)


KEPT: list[object] = []


async def leave_a_task(_: PlugChatSession) -> None:
    KEPT.append(asyncio.create_task(asyncio.sleep(60)))


async def leave_a_descriptor(_: PlugChatSession) -> None:
    KEPT.append(os.open("/dev/null", os.O_RDONLY))


async def show_the_token(_: PlugChatSession) -> None:
    raise ConnectionFailedError(f"refused: {TOKEN}")


async def say_nothing_to_do(_: PlugChatSession) -> None:
    error = ConnectionFailedError("refused")
    error.hint = ""
    raise error


async def log_the_token(_: PlugChatSession) -> None:
    logging.getLogger("plugchat_async.x").debug("it is %s", TOKEN)


async def leave_an_error(_: PlugChatSession) -> None:
    future = asyncio.get_running_loop().create_future()
    future.set_exception(ValueError("nobody looks"))


async def close_the_session(session: PlugChatSession) -> None:
    await session.close()


async def nothing(_: PlugChatSession) -> None:
    """The row expects more."""


@pytest.mark.parametrize(
    ("row", "problems"),
    [
        (honest(leave_a_task, requests=0, connections=0), ["tasks left"]),
        (honest(leave_a_descriptor, requests=0, connections=0), ["descriptors left"]),
        (
            honest(show_the_token, error=ConnectionFailedError, requests=0, connections=0),
            ["the error shows the token"],
        ),
        (
            honest(say_nothing_to_do, error=ConnectionFailedError, requests=0, connections=0),
            ["it does not say what to do"],
        ),
        (honest(log_the_token, requests=0, connections=0), ["the log shows the token"]),
        (honest(leave_an_error, requests=0, connections=0), ["not retrieved: Future exception was never retrieved"]),
        (honest(close_the_session, requests=0, connections=0), ["the session afterwards"]),
        (
            honest(nothing, error=ConnectionFailedError, says="x", gives=1, waits=(1.0,)),
            ["error", "it says '', without 'x'", "result", "requests", "connections", "waits"],
        ),
    ],
    ids=lambda value: value.call.__name__ if isinstance(value, Row) else "",
)
async def test_what_is_wrong_is_seen(row: Row, problems: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of the checks can fail."""
    monkeypatch.setattr(cell, "MAX_WAIT", 0.05)
    try:
        found = (await check(row)).problems
    finally:
        while KEPT:
            kept = KEPT.pop()
            if isinstance(kept, asyncio.Task):
                kept.cancel()
            else:
                os.close(int(str(kept)))
    assert [
        problem.partition(": ")[0] if ": " not in wanted else problem
        for problem, wanted in zip(found, problems, strict=True)
    ] == problems


async def test_a_row_that_takes_too_long_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time is bounded, too."""
    monkeypatch.setattr(cell, "MAX_SECONDS", 0.0)
    [problem] = (await check(honest(cell.first_page, gives=1))).problems
    assert problem.startswith("it took ")
