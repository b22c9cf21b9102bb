"""export_many: a folder with a file for each account, which is gone on with after whatever ended it."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from plugchat_async import (
    Account,
    AccountExport,
    ExportSummary,
    InvalidTypeError,
    InvalidValueError,
    MissingExtraError,
    OutputError,
    PlugChatError,
    export_many,
    read_jsonl,
)
from plugchat_async.testing import Fault, PlugChatSimulator
from support.exports import FAILURES, MANIFEST, Style, account, entries, failures, ids, only, parts
from support.fakes import FakeTime, served
from support.traits import KNOWN_SERVER

HEADING = b'{"plugchat_export": 1, "format": "jsonl", "layout": "accounts", "limit": null, "id": "01234567"}\n'


def expected(sim: PlugChatSimulator, number: int) -> list[str]:
    """The ids of an account's chats, sorted: more rows of a person come after the others."""
    return sorted(chat.id for chat in sim._accounts[f"token-{number}"].chats)


def known(sim: PlugChatSimulator) -> Any:
    """Options for accounts of a server that is known, so that what is scripted is the whole list."""
    return {"base_url": sim.base_url, "server_traits": KNOWN_SERVER}


@pytest.mark.parametrize("style", ["jsonl", "csv", "parquet"])
async def test_each_account_has_its_file(tmp_path: Path, sim: PlugChatSimulator, style: Style) -> None:
    """Whole, named after it; a summary of all, and a line for each in the manifest. Empty accounts have one, too."""
    accounts = [account(number, sim, 7 * number) for number in range(12)]
    told: list[AccountExport] = []
    out = tmp_path / "made" / "on the way"
    summary = await export_many(accounts, out, format=style, concurrency=4, page_size=10, on_result=told.append)
    assert (summary.folder, summary.finished, summary.failed, summary.skipped) == (out, 12, 0, 0)
    assert (summary.chats, summary.unverified, summary.errors) == (7 * 66, 0, {})
    assert summary.elapsed > 0
    assert only(out) == sorted([MANIFEST, *(f"account {number}.{style}" for number in range(12))])
    for number in range(12):
        assert sorted(ids(out / f"account {number}.{style}")) == expected(sim, number)
    assert {(export.account, export.file, export.chats) for export in told} == {
        (f"account {number}", out / f"account {number}.{style}", 7 * number) for number in range(12)
    }
    lines = (out / MANIFEST).read_text().splitlines()
    heading = json.loads(lines[0])
    assert len(heading.pop("id")) == 8
    assert heading == {"plugchat_export": 1, "format": style, "layout": "accounts", "limit": None}
    assert {"file": f"account 3.{style}", "chats": {"account 3": 21}, "unverified": []} in entries(out)
    for entry in map(json.loads, lines[1:]):
        assert entry["size"] == (out / entry["file"]).stat().st_size
        assert re.fullmatch(r"[0-9a-f]{8}", entry["run"])
        assert datetime.now(UTC) - datetime.fromisoformat(entry["run_started"]) < timedelta(minutes=1)


async def test_failed_accounts_are_listed_and_leave_no_file(
    tmp_path: Path, sim: PlugChatSimulator, fake_time: FakeTime
) -> None:
    """Reason and hint; in the middle of an account, too. The next run tries them again, and only them."""
    accounts = [account(number, sim) for number in range(6)]
    sim.script(Fault.none(), Fault.status(401, body="no such token"), token="token-1")
    sim.script(*[Fault.status(503)] * 3, token="token-4")
    options: Any = {"page_size": 10, "clock": fake_time.clock}
    summary = await export_many(accounts, tmp_path, **options)
    assert (summary.finished, summary.failed) == (4, 2)
    assert summary.errors == {"AuthenticationError": 1, "ServerError": 1}
    listed = {line["account"]: line for line in failures(tmp_path)}
    assert set(listed) == {"account 1", "account 4"}
    first = listed["account 1"]
    assert (first["error"], first["status"], first["page"]) == ("AuthenticationError", 401, 2)
    assert "no such token" in first["message"]
    assert first["hint"].startswith("Check the token")
    assert "account 1.jsonl" not in only(tmp_path)
    asked = len(sim.requests)
    summary = await export_many(accounts, tmp_path, **options)
    assert (summary.finished, summary.failed, summary.skipped, summary.chats) == (2, 0, 4, 50)
    assert {request.headers["authorization"] for request in sim.requests[asked:]} == {"token-1", "token-4"}
    assert FAILURES not in only(tmp_path)
    for number in range(6):
        assert sorted(ids(tmp_path / f"account {number}.jsonl")) == expected(sim, number)


async def test_what_is_finished_is_not_fetched_again(tmp_path: Path, sim: PlugChatSimulator) -> None:
    """Unless its file is gone, or a fresh export is asked for."""
    accounts = [account(number, sim) for number in range(3)]
    told: list[AccountExport] = []
    await export_many(accounts, tmp_path)
    asked = len(sim.requests)
    summary = await export_many(accounts, tmp_path, on_result=told.append)
    assert len(sim.requests) == asked
    assert (summary.finished, summary.skipped, summary.chats) == (0, 3, 0)
    assert told == [
        AccountExport(f"account {number}", tmp_path / f"account {number}.jsonl", 25, verified=True, skipped=True)
        for number in range(3)
    ]
    (tmp_path / "account 1.jsonl").unlink()
    assert (await export_many(accounts, tmp_path)).finished == 1
    summary = await export_many(accounts, tmp_path, restart=True)
    assert (summary.finished, summary.skipped) == (3, 0)


async def test_a_fresh_export_replaces_the_files_of_the_one_before(tmp_path: Path, sim: PlugChatSimulator) -> None:
    """Of another format, too. An account that fails now has what it had; its next success replaces that."""
    accounts = [account(number, sim) for number in range(3)]
    (tmp_path / "notes.jsonl").touch()
    await export_many(accounts, tmp_path)
    sim.script(Fault.status(401), token="token-1")
    summary = await export_many(accounts, tmp_path, format="csv", restart=True)
    assert summary.failed == 1
    assert only(tmp_path) == [FAILURES, MANIFEST, "account 0.csv", "account 1.jsonl", "account 2.csv", "notes.jsonl"]
    assert (await export_many(accounts, tmp_path, format="csv")).finished == 1
    assert only(tmp_path) == [MANIFEST, *(f"account {number}.csv" for number in range(3)), "notes.jsonl"]


async def test_files_of_accounts_that_are_not_passed_stay(tmp_path: Path, sim: PlugChatSimulator) -> None:
    """Also when starting over, with some accounts or in another format, and they are told; unless `prune` is given."""
    accounts = [account(number, sim) for number in range(4)]
    first = await export_many(accounts, tmp_path)
    before = {file: (tmp_path / file).read_bytes() for file in only(tmp_path) if file != MANIFEST}
    assert (first.others, first.deleted) == (0, 0)
    for restart in (True, False, True):
        summary = await export_many(accounts[:1], tmp_path, restart=restart)
        assert (summary.finished, summary.skipped) == ((1, 0) if restart else (0, 1))
        assert (summary.others, summary.deleted) == (3, 0)
        assert {file: (tmp_path / file).read_bytes() for file in before} == before
    assert (await export_many(accounts[:2], tmp_path)).finished == 1  # they count as finished no more
    summary = await export_many(accounts[:1], tmp_path, format="csv", restart=True)
    assert (summary.others, summary.deleted) == (3, 0)
    assert only(tmp_path) == [MANIFEST, "account 0.csv", *(f"account {number}.jsonl" for number in (1, 2, 3))]
    summary = await export_many(accounts[:2], tmp_path, format="csv", prune=True)
    assert (summary.finished, summary.skipped, summary.others, summary.deleted) == (1, 1, 0, 2)
    assert only(tmp_path) == [MANIFEST, "account 0.csv", "account 1.csv"]
    summary = await export_many(accounts[1:2], tmp_path, format="csv", prune=True)
    assert (summary.skipped, summary.deleted) == (1, 1)
    assert only(tmp_path) == [MANIFEST, "account 1.csv"]
    assert (await export_many(accounts[:2], tmp_path, format="csv")).skipped == 1


async def test_a_run_that_ends_early_deletes_nothing(tmp_path: Path, sim: PlugChatSimulator) -> None:
    """It has not seen all accounts."""
    accounts = [account(number, sim) for number in range(3)]
    await export_many(accounts, tmp_path)
    before = only(tmp_path)

    def failing() -> Iterator[Account]:
        yield accounts[0]
        raise LookupError("the database is gone")

    with pytest.raises(LookupError):
        await export_many(failing(), tmp_path, prune=True, restart=True)
    assert only(tmp_path) == before


@pytest.mark.parametrize(("name", "value"), [("format", "csv"), ("limit", 5)])
async def test_another_kind_of_export_is_refused(tmp_path: Path, sim: PlugChatSimulator, name: str, value: Any) -> None:
    """A folder of both would be read as one."""
    accounts = [account(1, sim)]
    await export_many(accounts, tmp_path)
    before = only(tmp_path)
    with pytest.raises(InvalidValueError, match="already holds all chats of each account as jsonl, in a ") as caught:
        await export_many(accounts, tmp_path, **{name: value})
    what = "all chats of each account as csv" if name == "format" else "at most 5 chats of each account as jsonl"
    assert caught.value.message.endswith(f"; this run would write {what}, in a file for each account")
    assert "start over with --restart" in caught.value.hint
    assert only(tmp_path) == before


@pytest.mark.parametrize("torn", [b"", b'{"file": "account 9', b'{"file": "a.jsonl", "chats": {}, "unver\xff'])
async def test_a_torn_last_line_is_dropped(tmp_path: Path, sim: PlugChatSimulator, torn: bytes) -> None:
    """A killed process may leave one."""
    accounts = [account(number, sim) for number in range(2)]
    await export_many(accounts[:1], tmp_path)
    with (tmp_path / MANIFEST).open("ab") as file:
        file.write(torn)
    summary = await export_many(accounts, tmp_path)
    assert (summary.finished, summary.skipped) == (1, 1)
    assert len((tmp_path / MANIFEST).read_text().splitlines()) == 3


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (b"notes\n", 1),
        (b'{"plugchat_export": 2, "format": "jsonl", "layout": "accounts", "limit": null}\n', 1),
        (HEADING + b"[]\n", 2),
        (HEADING + b'{"file": "a", "chats": {}}\n{"file": "../../etc/passwd", "chats": {"a": 1}}\n', 3),
        (b"\xff\xfe\n", 1),
        *((HEADING + b'{"file": "%s", "chats": {"a": 1}}\n' % name, 2) for name in (b"", b"..", b"_manifest.ndjson")),
        (HEADING + b'{"file": "failures.jsonl", "chats": {"a": 1}}\n', 2),
    ],
)
async def test_what_is_no_manifest_is_refused(tmp_path: Path, sim: PlugChatSimulator, text: bytes, line: int) -> None:
    """It is not ours to write over, unless a fresh export is asked for."""
    (tmp_path / MANIFEST).parent.mkdir()
    (tmp_path / MANIFEST).write_bytes(text)
    with pytest.raises(InvalidValueError, match=f"line {line} of .* is not part of an export manifest"):
        await export_many([account(1, sim)], tmp_path)
    assert (tmp_path / MANIFEST).read_bytes() == text
    assert (await export_many([Account("a", "token-1", sim.base_url)], tmp_path, restart=True)).finished == 1


async def test_two_runs_do_not_write_into_one_folder(tmp_path: Path, sim: PlugChatSimulator) -> None:
    """The second one is told so, and the first one goes on."""
    accounts = [account(number, sim) for number in range(2)]
    sim.script(Fault.delay(0.3))
    first = asyncio.create_task(export_many(accounts, tmp_path))
    await asyncio.sleep(0.1)
    with pytest.raises(InvalidValueError, match="another run is exporting to"):
        await export_many(accounts, tmp_path)
    assert (await first).finished == 2


async def test_failures_are_on_the_disk_when_they_are_told(tmp_path: Path, sim: PlugChatSimulator) -> None:
    """As are finished accounts: whatever ends the process then, they are known."""
    told: list[tuple[bool, str]] = []

    def on_result(export: AccountExport) -> None:
        file = tmp_path / (FAILURES if export.error is not None else MANIFEST)
        told.append((export.error is None, file.read_text().splitlines()[-1]))

    sim.script(Fault.status(401), token="token-1")
    await export_many([account(0, sim), account(1, sim)], tmp_path, on_result=on_result, concurrency=1)
    assert sorted(ok for ok, _ in told) == [False, True]
    assert all(f'"account {0 if ok else 1}"' in line for ok, line in told)


@pytest.mark.parametrize("chats", [25, 0])
async def test_a_file_that_was_not_written_down_is_kept_if_it_has_chats(
    tmp_path: Path, sim: PlugChatSimulator, chats: int
) -> None:
    """A run was killed between the two; now the account fails, until the service is up again."""
    accounts = [account(1, sim, chats)]
    await export_many(accounts, tmp_path)
    before = (tmp_path / "account 1.jsonl").read_bytes()
    (tmp_path / MANIFEST).write_bytes(HEADING)
    sim.script(*[Fault.status(401)] * 2)
    for _ in range(2):
        assert (await export_many(accounts, tmp_path)).failed == 1
        assert only(tmp_path) == [FAILURES, MANIFEST, *["account 1.jsonl"] * bool(chats)]
    assert not chats or (tmp_path / "account 1.jsonl").read_bytes() == before
    summary = await export_many(accounts, tmp_path)
    assert (summary.finished, summary.skipped, summary.chats) == (1, 0, chats)


async def test_a_failing_account_touches_no_file_that_is_not_ours(tmp_path: Path, sim: PlugChatSimulator) -> None:
    """There was no export before."""
    (tmp_path / "bad.jsonl").write_text("mine")
    assert (await export_many([Account("bad", "nobody's", sim.base_url)], tmp_path)).failed == 1
    assert (tmp_path / "bad.jsonl").read_text() == "mine"


async def test_a_fresh_export_removes_what_a_damaged_manifest_still_tells(
    tmp_path: Path, sim: PlugChatSimulator
) -> None:
    """Of the lines behind the damage, too."""
    accounts = [account(number, sim) for number in range(3)]
    for number in range(1, 4):
        await export_many(accounts[:number], tmp_path)
    lines = (tmp_path / MANIFEST).read_bytes().splitlines(keepends=True)
    (tmp_path / MANIFEST).write_bytes(b"".join([*lines[:2], b"?\n", *lines[3:]]))
    with pytest.raises(InvalidValueError, match="line 3 of"):
        await export_many(accounts, tmp_path)
    await export_many(accounts[:1], tmp_path, restart=True, prune=True)
    assert only(tmp_path) == [MANIFEST, "account 0.jsonl", "account 1.jsonl"]


async def test_what_the_limit_cuts_off_is_not_called_unverified(tmp_path: Path, sim: PlugChatSimulator) -> None:
    """It was asked for; a walk that proves nothing for another reason is."""
    accounts = [account(number, sim, 25) for number in range(2)]
    assert (await export_many(accounts, tmp_path / "a", limit=10)).unverified == 0
    summary = await export_many(accounts, tmp_path / "b", consistency="plain")
    assert summary.unverified == 2
    told: list[AccountExport] = []
    await export_many(accounts, tmp_path / "b", consistency="plain", on_result=told.append)
    assert [(export.skipped, export.verified) for export in told] == [(True, False)] * 2


# Names.


async def test_odd_names_have_files_of_their_own(tmp_path: Path, sim: PlugChatSimulator) -> None:
    """Whatever they are; and are known again."""
    sim.add_account("t", 5)
    names = ["a/b", "..", ".", "a\nb", "failures", "_manifest", "_manifest.ndjson", "%2E", "x" * 300, "con", "😀", " "]
    accounts = [Account(name, "t", sim.base_url) for name in names]
    assert (await export_many(accounts, tmp_path, concurrency=3)).finished == len(names)
    assert len(only(tmp_path)) == len(names) + 1
    assert (await export_many(accounts, tmp_path)).skipped == len(names)
    for path in tmp_path.glob("*.jsonl"):
        assert len(path.read_text().splitlines()) == 5


async def test_a_name_with_a_line_end_is_on_one_line(tmp_path: Path, sim: PlugChatSimulator) -> None:
    """As `str.splitlines` takes it, in all files of lines."""
    good, bad = (Account(f"{name}\x85\u2028\u2029", token, sim.base_url) for name, token in (("a", "t"), ("b", "none")))
    sim.add_account("t", 1)
    await export_many([good, bad], tmp_path)
    assert [line["account"] for line in failures(tmp_path)] == [bad.name]
    assert [line["chats"] for line in entries(tmp_path)] == [{good.name: 1}]
    [file] = set(only(tmp_path)) - {MANIFEST, FAILURES}
    assert [json.loads(line)["account"] for line in (tmp_path / file).read_text("utf-8").splitlines()] == [good.name]


@pytest.mark.parametrize(("one", "other"), [("Ana", "Ana"), ("Ana", "ANA"), ("José", "Jose\u0301")])
async def test_names_that_collide_end_the_export(tmp_path: Path, sim: PlugChatSimulator, one: str, other: str) -> None:
    """One would take the other's place. What was finished before stays finished."""
    sim.add_account("t", 5)
    accounts = [Account(name, "t", sim.base_url) for name in ("Bia", one, "Caio", other)]
    with pytest.raises(InvalidValueError, match="there are (two )?accounts named"):
        await export_many(accounts, tmp_path, concurrency=1)
    assert "Bia.jsonl" in only(tmp_path)
    summary = await export_many(accounts[:3], tmp_path)
    assert summary.skipped >= 1
    assert summary.skipped + summary.finished == 3


# What goes wrong.


@pytest.mark.parametrize("style", ["jsonl", "csv", "parquet"])
async def test_values_that_could_not_be_read_are_counted(tmp_path: Path, sim: PlugChatSimulator, style: Style) -> None:
    """Of each account, in the summary, and in the manifest, from which the next run knows them; the rest is written."""
    accounts = [account(number, sim) for number in range(3)]
    row = '[{"phone":"1","unread":"99999999999999999999","pinned":"maybe"},{"name":"nobody"},{"phone":"2"}]'
    sim.script(Fault.answer(row), token="token-1")
    told: list[AccountExport] = []
    summary = await export_many(accounts, tmp_path, format=style, on_result=told.append, **known(sim))
    assert (summary.finished, summary.failed, summary.problems, summary.chats) == (3, 0, 3, 52)
    assert {export.account: export.problems for export in told} == {"account 0": 0, "account 1": 3, "account 2": 0}
    assert ids(tmp_path / f"account 1.{style}") == ["1", "2"]
    assert {entry["file"]: entry.get("problems") for entry in entries(tmp_path)} == {
        f"account 0.{style}": None,
        f"account 1.{style}": {"account 1": 3},
        f"account 2.{style}": None,
    }
    told.clear()
    summary = await export_many(accounts, tmp_path, format=style, on_result=told.append)
    assert (summary.skipped, summary.problems) == (3, 0)
    assert {export.account: export.problems for export in told} == {"account 0": 0, "account 1": 3, "account 2": 0}


async def test_a_bad_value_can_be_its_accounts_failure(tmp_path: Path, sim: PlugChatSimulator) -> None:
    """With on_bad_value="raise"."""
    accounts = [account(number, sim) for number in range(2)]
    sim.script(Fault.answer('[{"phone":"1","unread":"many"}]'), token="token-1")
    summary = await export_many(accounts, tmp_path, on_bad_value="raise")
    assert (summary.finished, summary.failed, summary.problems) == (1, 1, 0)
    assert summary.errors == {"DecodeError": 1}


PEOPLE = (
    '[{"phone":"","lid":"7@lid","name":"Ana","unread":"1"},{"phone":"120-group","name":"Team"},'
    '{"phone":"551190000007","lid":"7@lid","unread":"3"}]'
)


@pytest.mark.parametrize("style", ["jsonl", "csv", "parquet"])
async def test_one_chat_for_each_person(tmp_path: Path, sim: PlugChatSimulator, style: Style) -> None:
    """With the phone of the row that has it; accounts without chats have their file, too."""
    accounts = [account(number, sim, 0) for number in range(2)]
    sim.script(Fault.answer(PEOPLE), token="token-1")
    summary = await export_many(accounts, tmp_path, format=style, merge_people=True, **known(sim))
    assert (summary.finished, summary.chats, summary.unverified) == (2, 2, 0)
    assert ids(tmp_path / f"account 1.{style}") == ["551190000007", "120-group"]
    assert ids(tmp_path / f"account 0.{style}") == []


async def test_a_limit_counts_rows_of_people(tmp_path: Path, sim: PlugChatSimulator) -> None:
    """So fewer chats may be written; what the limit cuts off is not called unverified, nor is what it forbids."""
    accounts = [account(1, sim, 0)]
    for limit, chats in ((3, 2), (0, 0)):
        sim.script(Fault.answer(PEOPLE))
        summary = await export_many(accounts, tmp_path / str(limit), merge_people=True, limit=limit)
        assert (summary.chats, summary.unverified) == (chats, 0)
    summary = await export_many(accounts, tmp_path / "plain", merge_people=True, consistency="plain")
    assert summary.unverified == 1


async def test_a_folder_holds_merged_people_or_rows(tmp_path: Path, sim: PlugChatSimulator) -> None:
    """One is not gone on with as the other; a merged one goes on as itself, and can be begun anew."""
    accounts = [account(number, sim) for number in range(2)]
    await export_many(accounts[:1], tmp_path, merge_people=True)
    assert json.loads((tmp_path / MANIFEST).read_text().splitlines()[0])["merge_people"] is True
    with pytest.raises(InvalidValueError, match=r"holds all chats of each account \(one chat for each person\) as "):
        await export_many(accounts, tmp_path)
    summary = await export_many(accounts, tmp_path, merge_people=True)
    assert (summary.finished, summary.skipped) == (1, 1)
    assert (await export_many(accounts, tmp_path, restart=True)).finished == 2
    with pytest.raises(InvalidTypeError, match="merge_people must be"):
        await export_many(accounts, tmp_path, merge_people=1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("style", ["jsonl", "csv"])
async def test_an_export_of_an_older_version_is_gone_on_with(
    tmp_path: Path, sim: PlugChatSimulator, style: Style
) -> None:
    """What it had finished stays as it is, in its eight columns; what is left is written in today's."""
    accounts = [account(number, sim) for number in range(2)]
    heading = f'{{"plugchat_export":1,"format":"{style}","layout":"accounts","limit":null,"id":"01234567"}}'
    entry = f'{{"file":"account 0.{style}","chats":{{"account 0":1}},"unverified":[]}}'
    (tmp_path / "_manifest.ndjson").write_text(f"{heading}\n{entry}\n")
    old = OLD_FILES[style]
    (tmp_path / f"account 0.{style}").write_text(old)
    summary = await export_many(accounts, tmp_path, format=style)
    assert (summary.finished, summary.skipped) == (1, 1)
    assert (tmp_path / f"account 0.{style}").read_text() == old
    assert ids(tmp_path / f"account 0.{style}") == ["1"]
    assert sorted(ids(tmp_path / f"account 1.{style}")) == expected(sim, 1)
    if style == "jsonl":
        assert [chat.id for path in sorted(tmp_path.glob("*.jsonl")) for chat in read_jsonl(path)] == [
            "1",
            *(chat.id for chat in sim._accounts["token-1"].chats),
        ]


OLD_FILES = {
    "csv": "account,phone,name,unread,last_message_time,is_muted,is_marked_spam,profile_thumbnail,messages_unread\n"
    "account 0,1,,0,,false,false,,\n",
    "jsonl": '{"account":"account 0","phone":"1","name":null,"unread":0,"last_message_time":null,"is_muted":false,'
    '"is_marked_spam":false,"profile_thumbnail":null,"messages_unread":null}\n',
}


@pytest.mark.slow
@pytest.mark.parametrize("style", ["jsonl", "csv", "parquet"])
async def test_a_full_disk_ends_it_and_keeps_what_is_finished(
    tmp_path: Path, sim: PlugChatSimulator, style: Style
) -> None:
    """No half file, a clear error; when there is room again, it goes on."""
    sim.add_account("t", 300)
    code = """
import asyncio, resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
limit = int(sys.argv[4])
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
from plugchat_async import Account, OutputError, export_many
accounts = [Account(f"a{n}", "t", sys.argv[1], ) for n in range(20)]
big = Account("big", "simulated-token", sys.argv[1])
try:
    export = export_many([*accounts[:10], big, *accounts[10:]], sys.argv[2], format=sys.argv[3], concurrency=2)
    asyncio.run(export, debug=False)  # whose word on a slow machine would stand where errors are looked for
except OutputError as error:
    print(error)
"""
    with served(PlugChatSimulator(6000, dialect="documented")) as big:
        big.add_account("t", 30)
        arguments = [sys.executable, "-X", "dev", "-W", "error", "-c", code, big.base_url, str(tmp_path), style]
        done = await asyncio.to_thread(
            subprocess.run, [*arguments, "30000"], capture_output=True, text=True, timeout=50, check=False
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert "can't write" in done.stdout
        assert "File too large" in done.stdout
        assert "Check the folder" in done.stdout
        names = only(tmp_path)
        assert not parts(tmp_path)
        assert f"big.{style}" not in names
        finished = [name for name in names if name.startswith("a")]
        assert len(finished) >= 9
        assert {len(ids(tmp_path / name)) for name in finished} == {30}
        done = await asyncio.to_thread(
            subprocess.run, [*arguments, "30000000"], capture_output=True, text=True, timeout=50, check=False
        )
        assert (done.returncode, done.stderr, done.stdout) == (0, "", "")
    assert len(ids(tmp_path / f"big.{style}")) == 6000
    assert len(only(tmp_path)) == 22


async def test_a_folder_that_can_not_be_written(tmp_path: Path) -> None:
    """A file in its place, or above it: nothing is fetched."""
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "below", "a\0b"):
        with pytest.raises(OutputError, match="can't write") as caught:
            await export_many([Account("a", "b")], folder)
        assert "Check the folder" in str(caught.value)
    (tmp_path / "out" / MANIFEST).mkdir(parents=True)
    with pytest.raises(OutputError, match="Is a directory"):
        await export_many([Account("a", "b")], tmp_path / "out")
    (tmp_path / "out2" / FAILURES).mkdir(parents=True)
    with pytest.raises(OutputError):
        await export_many([Account("a", "b")], tmp_path / "out2")


async def test_cancelling_leaves_no_half_file(tmp_path: Path, sim: PlugChatSimulator) -> None:
    """And what was finished is kept."""
    accounts = [account(number, sim, 30 if number < 5 else 700) for number in range(10)]
    for number in range(5, 10):
        sim.script(Fault.none(), Fault.hang(), token=f"token-{number}")
    exporting = asyncio.create_task(export_many(accounts, tmp_path, page_size=600, concurrency=6))
    while len(parts(tmp_path)) < 5 or len(entries(tmp_path)) < 5:
        await asyncio.sleep(0.01)
    exporting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await exporting
    assert only(tmp_path) == [MANIFEST, *(f"account {number}.jsonl" for number in range(5))]
    summary = await export_many(accounts, tmp_path)
    assert (summary.skipped, summary.finished) == (5, 5)


@pytest.mark.parametrize("how", ["raised", "asked for"])
async def test_on_result_can_cancel_it(tmp_path: Path, sim: PlugChatSimulator, how: str) -> None:
    """As it could cancel any function that calls it. What is finished stays so."""
    told: list[str] = []

    def on_result(export: AccountExport) -> None:
        told.append(export.account)
        if how == "raised":
            raise asyncio.CancelledError
        task = asyncio.current_task()
        assert task is not None
        task.cancel()

    accounts = [account(number, sim) for number in range(60)]
    exporting = asyncio.create_task(export_many(accounts, tmp_path, concurrency=1, on_result=on_result))
    await asyncio.wait([exporting], timeout=30)
    assert exporting.cancelled()
    assert len(told) < len(accounts)
    assert set(told) <= {name for entry in entries(tmp_path) for name in entry["chats"]}
    assert not parts(tmp_path)


async def test_what_on_result_raises_ends_it(tmp_path: Path, sim: PlugChatSimulator) -> None:
    """As it is; the account that it was told of is finished."""

    def on_result(_: AccountExport) -> None:
        raise KeyError("mine")

    accounts = [account(number, sim) for number in range(4)]
    with pytest.raises(KeyError, match="mine"):
        await export_many(accounts, tmp_path, on_result=on_result)
    assert (await export_many(accounts, tmp_path)).skipped >= 1


@pytest.mark.slow
@pytest.mark.parametrize("signal_", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
async def test_a_killed_export_goes_on(tmp_path: Path, signal_: signal.Signals) -> None:
    """Each account whole, once, and nothing hidden left."""
    code = """
import asyncio, sys
from plugchat_async import Account, ServerTraits, export_many
accounts = [Account(f"a{n}", f"t{n}") for n in range(40)]
known = {"base_url": sys.argv[1], "server_traits": ServerTraits(longest_page=1000, short_pages="end")}
print(asyncio.run(export_many(accounts, sys.argv[2], concurrency=4, page_size=20, **known)).finished)
"""
    with served(PlugChatSimulator(1, latency=0.01, dialect="documented")) as sim:
        for number in range(40):
            sim.add_account(f"t{number}", 70, seed=number)
        arguments = [sys.executable, "-c", code, sim.base_url, str(tmp_path)]
        for _ in range(2):
            with subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
                before = len(sim.requests)
                while len(sim.requests) < before + 40:
                    await asyncio.sleep(0.005)
                process.send_signal(signal_)
        # By another name of the host, which tells its requests from what a killed run had already sent.
        arguments[3] = sim.base_url.replace("127.0.0.1", "localhost")
        done = await asyncio.to_thread(
            subprocess.run, arguments, capture_output=True, text=True, timeout=50, check=True
        )
        finished = int(done.stdout)
        assert 0 < finished < 40
        assert sum(asked.headers["host"].startswith("localhost") for asked in sim.requests) == 4 * finished
        assert only(tmp_path) == sorted([MANIFEST, *(f"a{number}.jsonl" for number in range(40))])
        for number in range(40):
            expected = [chat.id for chat in sim._accounts[f"t{number}"].chats]
            assert ids(tmp_path / f"a{number}.jsonl") == expected


@pytest.mark.parametrize(
    "options",
    [
        {"format": "xml"},
        {"restart": 1},
        {"prune": 1},
        {"concurrency": 0},
        {"on_result": 3},
        {"page_size": 0},
        {"proxy": "x"},
    ],
)
async def test_wrong_options_are_refused_before_anything_is_written(tmp_path: Path, options: dict[str, Any]) -> None:
    """The folder is not made either."""
    with pytest.raises((InvalidValueError, InvalidTypeError)):
        await export_many([], tmp_path / "out", **options)
    five: Any = 5
    mistyped: Any = {"restrat": True}
    with pytest.raises(InvalidTypeError, match="none of ExportOptions. Did you mean restart?"):
        await export_many([], tmp_path / "out", **mistyped)
    with pytest.raises(InvalidTypeError):
        await export_many(five, tmp_path / "out")
    assert only(tmp_path) == []


async def test_parquet_without_pyarrow_is_refused_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the command that installs it."""
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtraError, match="Parquet needs pyarrow"):
        await export_many([], tmp_path / "out", format="parquet")
    assert only(tmp_path) == []


async def test_a_secret_is_in_no_file(tmp_path: Path, sim: PlugChatSimulator, fake_time: FakeTime) -> None:
    """Not in the failures, though the server echoes it."""
    token = "s3cr3t-t0ken-that-nobody-may-see"
    sim.script(Fault.status(401, body=f"no such token: {token}"))
    accounts = [Account("a", token, sim.base_url), Account("b", f"Bearer {token}", sim.base_url)]
    await export_many(accounts, tmp_path, clock=fake_time.clock)
    assert len(failures(tmp_path)) == 2
    for name in only(tmp_path):
        assert token not in (tmp_path / name).read_text()


@pytest.mark.parametrize("status", [200, 400, 401, 403, 404])
async def test_each_refusal_is_counted_by_its_class(
    tmp_path: Path, sim: PlugChatSimulator, fake_time: FakeTime, status: int
) -> None:
    """Phones that are not connected are counted apart; each account costs one request and leaves no file."""
    classes = {
        "your client-token is not configured": "AuthenticationError",
        "Instance not found": "AuthenticationError",
        "203.0.113.9 not allowed": "AccessDeniedError",
        "You need to be connected": "NotConnectedError",
        "You are not connected.": "NotConnectedError",
        "You need to restore the session.": "NotConnectedError",
        "Does not work in multi device version": "NotAListError" if status == 200 else "UnexpectedStatusError",
    }
    accounts: list[Account] = []
    for number, text in enumerate(classes):
        sim.add_account(f"token-{number}", 3)
        sim.script(Fault.status(status, body=json.dumps({"error": text})), token=f"token-{number}")
        accounts.append(Account(text, f"token-{number}", sim.base_url))
    summary = await export_many(accounts, tmp_path, clock=fake_time.clock)
    assert (summary.finished, summary.failed, summary.not_connected) == (0, 7, 3)
    assert summary.errors == Counter(classes.values())
    assert {line["account"]: line["error"] for line in failures(tmp_path)} == classes
    assert all(line["message"].startswith(f"the gateway says: '{line['account']}'") for line in failures(tmp_path))
    assert len(sim.requests) == 7


def test_a_summary_prints_plainly() -> None:
    """Its numbers and names."""
    summary = ExportSummary(Path("out"))
    summary.count(AccountExport("a", None, 0, PlugChatError("x")), limit=None)
    assert "failed=1" in repr(summary)
    assert os.fspath(summary.folder) == "out"
