"""Parts of the command line: progress, arguments, lines of text and JSON."""

import asyncio
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console
from rich.progress import Progress, TimeRemainingColumn

from plugchat_async import (
    FOREVER,
    AccountExport,
    Chat,
    ChatAdded,
    ChatChanged,
    ChatRemoved,
    Contact,
    PendingChat,
    PlugChatError,
)
from plugchat_async._internal.parts import temporary_name
from plugchat_async.cli import app as cli
from plugchat_async.cli.bulk import add_dask_value
from plugchat_async.cli.lists import contacts_table, pending_table
from plugchat_async.cli.progress import bulk_progress, waiting
from plugchat_async.cli.signals import StoppedError, ended_by_signals
from plugchat_async.cli.simulate import _serve
from plugchat_async.cli.terminal import marked_line, render_table
from plugchat_async.cli.watch import _line
from plugchat_async.export.csv_and_json import event_to_json, to_json
from plugchat_async.testing import PlugChatSimulator


class Terminal(io.StringIO):
    """A file that says that it is one."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("when", ["begins", "ends", "has been ended"])
def test_a_signal_leaves_the_cursor(monkeypatch: pytest.MonkeyPatch, when: str) -> None:
    """In whatever moment of a live line it comes: one that ends half would leave a terminal without a cursor."""
    shown = Terminal()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("plugchat_async.cli.progress.Console", lambda **_: Console(file=shown))
    show_cursor, end = Console.show_cursor, Progress.stop

    def show(console: Console, show: bool = True) -> bool:
        done = show_cursor(console, show)
        if not show and when == "begins":
            signal.raise_signal(signal.SIGTERM)
        return done

    def stop(display: Progress) -> None:
        if when == "ends":
            signal.raise_signal(signal.SIGTERM)
        end(display)

    monkeypatch.setattr(Console, "show_cursor", show)
    monkeypatch.setattr(Progress, "stop", stop)
    with pytest.raises(StoppedError), ended_by_signals(), waiting("a while"):
        if when == "has been ended":
            signal.raise_signal(signal.SIGTERM)
    hidden, visible = "\x1b[?25l", "\x1b[?25h"
    assert shown.getvalue().rfind(visible) > shown.getvalue().rfind(hidden) >= 0


def test_accounts_of_an_earlier_run_do_not_count_as_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is left, and how fast it goes, is said of the others."""
    monkeypatch.setattr("plugchat_async.cli.progress.Console", lambda **_: Console(file=Terminal()))
    made: list[Progress] = []

    def make(*columns: Any, **options: Any) -> Progress:
        made.append(Progress(*columns, **options))
        return made[0]

    monkeypatch.setattr("plugchat_async.cli.progress.Progress", make)
    with bulk_progress(10) as on_result:
        assert on_result is not None
        for _ in range(6):
            on_result(AccountExport("a", Path("a"), 5, skipped=True))
        on_result(AccountExport("b", Path("b"), 7))
        on_result(AccountExport("c", None, 0, PlugChatError("x")))
        [task] = made[0].tasks
        assert (task.total, task.completed, task.fields["failed"]) == (4, 2, 1)
        assert task.fields["rate"] > 0
        for _ in range(2):
            on_result(AccountExport("d", Path("d"), 7))
        assert task.finished
        task.finished_time = 11.0
        shown = [column.render(task) for column in made[0].columns if isinstance(column, TimeRemainingColumn)]
        assert [str(text) for text in shown] == ["0:00:00"], "it stands before the word left"


@pytest.mark.parametrize(
    ("arguments", "spelled"),
    [
        (["bulk", "a.csv", "--dask"], ["bulk", "a.csv", "--dask", "local"]),
        (["bulk", "--dask", "a.csv"], ["bulk", "--dask", "local", "a.csv"]),
        (["bulk", "--dask", "-o", "x"], ["bulk", "--dask", "local", "-o", "x"]),
        (["bulk", "--dask", "tcp://10.0.0.1:8786", "a"], ["bulk", "--dask", "tcp://10.0.0.1:8786", "a"]),
        (["bulk", "--dask", "host:8786"], ["bulk", "--dask", "host:8786"]),
        (["bulk", "--dask=host:8786"], ["bulk", "--dask=host:8786"]),
        (["chats"], ["chats"]),
    ],
)
def test_an_address_may_be_left_out(arguments: list[str], spelled: list[str]) -> None:
    """It is one if it looks like one."""
    assert add_dask_value(arguments) == spelled


TIME = datetime(2026, 1, 15, 17, 20, 7, tzinfo=UTC)


def test_what_a_change_says() -> None:
    """The new time, whether the picture is another, and else both values; a name can't steer the terminal."""
    old = Chat("1", "\x1b[2J", profile_thumbnail="a", is_muted=False)
    new = Chat("1", "\x1b[2J", profile_thumbnail="b", is_muted=True)
    line = _line(ChatChanged(old, new, ("last_message_time", "is_muted", "profile_thumbnail")))
    assert line.endswith("\ufffd[2J: last message unknown, muted, picture changed\n")


@pytest.mark.parametrize(
    ("end", "said"),
    [(FOREVER, "muted forever"), (None, "no end date for muting"), (TIME, "muted until 2026-01-15 17:20:07 UTC")],
)
def test_the_end_of_a_muting_as_text(end: datetime | None, said: str) -> None:
    """As people say it; who has no name is told by the id."""
    new = Chat(lid="7@lid", is_pinned=True, muted_until=end)
    line = _line(ChatChanged(Chat(lid="7@lid"), new, ("is_pinned", "muted_until")))
    assert line.endswith(f"7@lid: pinned, {said}\n")


@pytest.mark.parametrize(
    ("old", "new", "field", "said"),
    [
        (Chat("1", "Ana"), Chat("1"), "name", "no name"),
        (Chat("1"), Chat("1", "Ana"), "name", "name Ana"),
        (Chat("1", "Ana"), Chat("1", "Bia"), "name", "name Ana → Bia"),
        (Chat("1", is_muted=True), Chat("1"), "is_muted", "not muted"),
        (Chat("1"), Chat("1", is_marked_spam=True), "is_marked_spam", "marked as spam"),
        (Chat("1", is_pinned=True), Chat("1"), "is_pinned", "not known whether pinned"),
        (Chat("1"), Chat("1", is_archived=False), "is_archived", "not archived"),
        (Chat("1"), Chat("1", is_group=True), "is_group", "a group"),
        (Chat("1"), Chat("1", is_group_announcement=True), "is_group_announcement", "only admins can write"),
        (Chat("1", lid="2@lid"), Chat("1"), "lid", "no lid"),
        (Chat("1"), Chat("1", messages_unread=3), "messages_unread", "messages unread 3"),
    ],
)
def test_a_change_is_told_in_words(old: Chat, new: Chat, field: str, said: str) -> None:
    """Neither None nor True and False are shown."""
    assert _line(ChatChanged(old, new, (field,))).endswith(f": {said}\n")


def test_events_as_json() -> None:
    """What they are called, the chat as it is or was last, and of a change what it was."""
    old, new = Chat("1"), Chat("1", unread=2)
    assert json.loads(event_to_json(ChatAdded(new))) == {"event": "added", "chat": json.loads(to_json(new))}
    assert json.loads(event_to_json(ChatRemoved(old))) == {"event": "removed", "chat": json.loads(to_json(old))}
    assert json.loads(event_to_json(ChatChanged(old, new, ("unread",)))) == {
        "event": "changed",
        "fields": ["unread"],
        "chat": json.loads(to_json(new)),
        "old": json.loads(to_json(old)),
    }


@pytest.mark.parametrize("when", ["starting", "fetching"])
def test_a_cluster_of_the_command_is_ended_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str) -> None:
    """A signal waits until it has started; what its workers have begun to write is removed when they have ended."""
    dask = pytest.importorskip("plugchat_async.integrations.dask")
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    part = temporary_name(tmp_path / "x.parquet").name.replace(f"-{os.getpid()}-", f"-{ended.pid}-")
    done: list[str] = []

    @contextmanager
    def connected(_: str | None) -> Generator[object]:
        if when == "starting":
            signal.raise_signal(signal.SIGTERM)
        done.append("started")
        try:
            yield SimpleNamespace(nthreads=lambda: {"worker": 1})
        finally:
            (tmp_path / part).touch()
            done.append("ended")

    def fetch(*_: object, **options: object) -> None:
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr("plugchat_async.integrations.dask.cluster.connected", connected)
    monkeypatch.setattr(dask, "fetch_many_dask", fetch)
    (tmp_path / "a.csv").write_text("name,token\nana,s3cret-token\n")
    assert cli.run(["bulk", str(tmp_path / "a.csv"), "-o", str(tmp_path), "--dask"]) == 143
    assert done == ["started", "ended"]
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]


@pytest.mark.parametrize("digits", [15, 29, 60])
def test_tables_of_other_lists_fit(monkeypatch: pytest.MonkeyPatch, digits: int) -> None:
    """Into 80 columns, with whole borders; an id stays in one piece if it can, and no other word is broken."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm")
    phone, long = "1" * digits, "Comunicados da Administração " * 3
    terminal: Any = io.StringIO()
    terminal.isatty = lambda: True
    time = datetime(2021, 6, 6, 15, 1, tzinfo=UTC)
    pending = PendingChat(phone, long, 99999, is_marked_as_unread=True, last_message_time=time, is_muted=True)
    for table in (contacts_table([Contact(phone, long, None, long, long)]), pending_table([pending])):
        lines = re.sub(r"\x1b\[[0-9;]*m", "", render_table(table, terminal)).rstrip().splitlines()
        assert max(map(len, lines)) <= 80
        assert len({len(line) for line in lines if line[0] in "┏┡│└┃┌"}) == 1
        assert (phone in "".join(lines)) is (digits < 30)
    for whole in ("2021-06-06 15:01", "99999", "marked", "muted"):
        assert whole in "".join(lines)


@pytest.mark.parametrize(("host", "told"), [("0.0.0.0", True), ("::", True), ("127.0.0.1", False)])
async def test_who_serves_other_machines_is_told_its_address(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], host: str, told: bool
) -> None:
    """That of this machine is of no use there."""
    monkeypatch.setattr(socket, "gethostname", lambda: "builder")
    sim = PlugChatSimulator(1)
    serving = asyncio.create_task(_serve(sim, {}, None, (host, 0), "1 chat"))
    err = ""
    async with asyncio.timeout(30):
        while "press Ctrl-C" not in err:
            await asyncio.sleep(0.01)
            err += capsys.readouterr().err
    port = sim.base_url.rpartition(":")[2]
    serving.cancel()
    expected = f"listening on {host}: other machines use http://builder:{port}, and --insecure-http\n" if told else ""
    assert err == f"{expected}serving 1 chat; press Ctrl-C to stop\n"
    with pytest.raises(asyncio.CancelledError):
        await serving


@pytest.mark.parametrize("is_terminal", [True, False])
def test_what_is_too_long_for_a_line_stays_whole(monkeypatch: pytest.MonkeyPatch, is_terminal: bool) -> None:
    """So a URL can be copied. All else is broken between words, and nothing is in a pipe."""
    monkeypatch.setenv("COLUMNS", "40")
    url = f"https://127.0.0.1:9/{'long/' * 20}end"
    told = f"Use the service's own URL in place of {url}, and nothing else."
    out = Terminal() if is_terminal else io.StringIO()
    written = re.sub(r"\x1b\[[0-9;]*m", "", marked_line("what to do:", "bold", told, out))
    assert f" {url}," in written
    assert " ".join(written.split()) == f"what to do: {told}"
    assert len(written.splitlines()) == (4 if is_terminal else 1)
