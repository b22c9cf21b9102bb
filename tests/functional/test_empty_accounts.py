"""export_many and accounts that come back without chats, as they do while their phone is not connected."""

import sys
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from plugchat_async import Account, AccountExport, ExportSummary, InvalidTypeError, PlugChatError, export_many
from plugchat_async.testing import Fault, PlugChatSimulator
from support.exports import FAILURES, MANIFEST, Style, account, emptied, entries, failures, ids, only

STYLES = ("jsonl", "csv", "parquet")


@pytest.mark.parametrize("merge_people", [False, True])
@pytest.mark.parametrize("style", STYLES)
async def test_a_file_with_chats_is_not_replaced_by_one_without(
    tmp_path: Path, sim: PlugChatSimulator, style: Style, *, merge_people: bool
) -> None:
    """The account is kept: in its result, the summary, the manifest and the failures. The others are replaced."""
    accounts = [account(number, sim) for number in range(3)]
    options: dict[str, Any] = {"format": style, "merge_people": merge_people}
    await export_many(accounts, tmp_path, **options)
    file = tmp_path / f"account 1.{style}"
    before = file.read_bytes()
    accounts[1] = emptied(accounts[1], sim)
    told: list[AccountExport] = []
    summary = await export_many(accounts, tmp_path, **options, restart=True, on_result=told.append)
    assert file.read_bytes() == before
    assert (summary.finished, summary.failed, summary.skipped) == (2, 0, 0)
    assert (summary.kept, summary.empty, summary.unverified, summary.errors) == (1, 1, 0, {})
    assert summary.chats == sum(export.chats for export in told)
    [kept] = [export for export in told if export.kept]
    assert (kept.account, kept.file, kept.chats, kept.error, kept.verified) == ("account 1", file, 0, None, False)
    assert kept.report is not None
    assert {"file": file.name, "chats": {}, "unverified": [], "kept": ["account 1"]} in entries(tmp_path)
    [line] = failures(tmp_path)
    hint = line.pop("hint")
    assert line == {
        "account": "account 1",
        "error": "empty",
        "message": "empty, kept as it was",
        "status": None,
        "page": None,
    }
    assert "phone is connected" in hint
    assert "--allow-empty (allow_empty=True in Python)" in hint
    assert only(tmp_path) == sorted([MANIFEST, FAILURES, *(f"account {number}.{style}" for number in range(3))])


async def test_a_phone_that_is_not_connected_costs_no_chats(tmp_path: Path, sim: PlugChatSimulator) -> None:
    """Whether the walk reads an empty list, or finds out why it is empty."""
    phone = sim.add_account("t", 25)
    accounts = [Account("a", "t", sim.base_url)]
    await export_many(accounts, tmp_path)
    before = (tmp_path / "a.jsonl").read_bytes()
    phone.connected = False
    for restart in (True, False):
        summary = await export_many(accounts, tmp_path, restart=restart)
        assert summary.kept + summary.not_connected == 1
        assert len(failures(tmp_path)) == 1
        assert (tmp_path / "a.jsonl").read_bytes() == before


async def test_a_kept_account_is_asked_again(tmp_path: Path, sim: PlugChatSimulator) -> None:
    """By each run until it has chats again, and only it; it costs no further line in the manifest."""
    accounts = [account(number, sim) for number in range(2)]
    await export_many(accounts, tmp_path)
    away = [accounts[0], emptied(accounts[1], sim)]
    await export_many(away, tmp_path, restart=True)
    before = (tmp_path / MANIFEST).read_text()
    for _ in range(2):
        summary = await export_many(away, tmp_path)
        assert (summary.skipped, summary.kept, summary.finished) == (1, 1, 0)
        assert (tmp_path / MANIFEST).read_text() == before
        assert len(failures(tmp_path)) == 1
    summary = await export_many(accounts, tmp_path)
    assert (summary.skipped, summary.kept, summary.finished, summary.empty, summary.chats) == (1, 0, 1, 0, 25)
    assert FAILURES not in only(tmp_path)
    assert (await export_many(accounts, tmp_path)).skipped == 2


@pytest.mark.parametrize("restart", [False, True])
async def test_a_kept_file_outlives_a_failure(tmp_path: Path, sim: PlugChatSimulator, *, restart: bool) -> None:
    """The next run may be told in words that the phone is not connected."""
    full = account(1, sim)
    await export_many([full], tmp_path)
    before = (tmp_path / "account 1.jsonl").read_bytes()
    await export_many([emptied(full, sim)], tmp_path, restart=True)
    sim.script(Fault.status(400, body='{"error": "You are not connected."}'), token="token-1")
    summary = await export_many([full], tmp_path, restart=restart)
    assert (summary.failed, summary.not_connected) == (1, 1)
    assert (tmp_path / "account 1.jsonl").read_bytes() == before
    assert (await export_many([emptied(evolve(full, token="token-2"), sim)], tmp_path)).kept == 1
    assert (tmp_path / "account 1.jsonl").read_bytes() == before


@pytest.mark.parametrize("style", STYLES)
async def test_an_empty_list_can_be_believed(tmp_path: Path, sim: PlugChatSimulator, style: Style) -> None:
    """With allow_empty: its file has no chats then, and the account is finished. So for one that was kept before."""
    full = [account(number, sim) for number in range(2)]
    await export_many(full, tmp_path, format=style)
    accounts = [emptied(each, sim) for each in full]
    await export_many(accounts[:1], tmp_path / "other", format=style)
    assert (await export_many([accounts[0], full[1]], tmp_path, format=style, restart=True)).kept == 1
    summary = await export_many([accounts[0]], tmp_path, format=style, allow_empty=True)
    assert (summary.finished, summary.empty, summary.kept, summary.skipped) == (1, 1, 0, 0)
    summary = await export_many(accounts, tmp_path, format=style, allow_empty=True, restart=True)
    assert (summary.finished, summary.empty, summary.kept) == (2, 2, 0)
    assert [ids(tmp_path / f"account {number}.{style}") for number in range(2)] == [[], []]
    assert FAILURES not in only(tmp_path)
    assert not any("kept" in entry for entry in entries(tmp_path)[2:])
    asked = len(sim.requests)
    summary = await export_many(accounts, tmp_path, format=style, allow_empty=True)
    assert (summary.skipped, summary.empty) == (2, 0)
    assert len(sim.requests) == asked
    with pytest.raises(InvalidTypeError, match="allow_empty must be"):
        await export_many(accounts, tmp_path, allow_empty=1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("style", STYLES)
async def test_an_account_that_never_had_chats_has_its_file_and_is_asked_again(
    tmp_path: Path, sim: PlugChatSimulator, style: Style
) -> None:
    """It is finished and counted as empty, for it may be new; but it may as well be one whose phone is away."""
    full = account(1, sim)
    empty = emptied(full, sim)
    for restart in (False, False, True):
        summary = await export_many([empty], tmp_path, format=style, restart=restart)
        assert (summary.finished, summary.empty, summary.kept, summary.skipped) == (1, 1, 0, 0)
        assert only(tmp_path) == [MANIFEST, f"account 1.{style}"]
        assert ids(tmp_path / f"account 1.{style}") == []
    assert (await export_many([full], tmp_path, format=style)).finished == 1
    assert len(ids(tmp_path / f"account 1.{style}")) == 25
    assert (await export_many([full], tmp_path, format=style)).skipped == 1


@pytest.mark.parametrize("style", STYLES)
async def test_a_file_is_kept_without_a_manifest(tmp_path: Path, sim: PlugChatSimulator, style: Style) -> None:
    """It was lost, or the run was killed before it recorded the file. From then on the manifest knows it."""
    full = account(1, sim)
    await export_many([full], tmp_path, format=style)
    file = tmp_path / f"account 1.{style}"
    before = file.read_bytes()
    (tmp_path / MANIFEST).unlink()
    assert (await export_many([emptied(full, sim)], tmp_path, format=style)).kept == 1
    assert file.read_bytes() == before
    sim.script(Fault.status(401), token="token-1")
    assert (await export_many([full], tmp_path, format=style)).failed == 1
    assert file.read_bytes() == before


@pytest.mark.parametrize("content", [b"PAR1 damaged", b"x"])
async def test_a_file_that_can_not_be_read_is_kept(tmp_path: Path, sim: PlugChatSimulator, content: bytes) -> None:
    """It may hold chats."""
    (tmp_path / "account 1.parquet").write_bytes(content)
    assert (await export_many([account(1, sim, 0)], tmp_path, format="parquet")).kept == 1
    assert (tmp_path / "account 1.parquet").read_bytes() == content


@pytest.mark.parametrize("style", STYLES)
async def test_a_file_of_no_bytes_is_not_kept(tmp_path: Path, sim: PlugChatSimulator, style: Style) -> None:
    """A machine that lost its power leaves such files."""
    (tmp_path / f"account 1.{style}").touch()
    summary = await export_many([account(1, sim, 0)], tmp_path, format=style)
    assert (summary.kept, summary.finished) == (0, 1)


async def test_a_limit_of_0_is_not_an_empty_list(tmp_path: Path, sim: PlugChatSimulator) -> None:
    """Nothing is read, as was asked for: it is finished, without chats, and not asked again."""
    accounts = [account(1, sim)]
    await export_many(accounts, tmp_path / "full")
    summary = await export_many(accounts, tmp_path / "full", limit=0, restart=True)
    assert (summary.finished, summary.empty, summary.kept) == (1, 0, 0)
    assert ids(tmp_path / "full" / "account 1.jsonl") == []
    asked = len(sim.requests)
    for restart, finished in ((False, 1), (False, 0), (True, 1)):
        summary = await export_many(accounts, tmp_path, limit=0, restart=restart)
        assert (summary.finished, summary.skipped) == (finished, 1 - finished)
        assert (summary.empty, summary.kept) == (0, 0)
    assert len(sim.requests) == asked


async def test_a_list_of_which_nothing_can_be_read_is_a_failure(tmp_path: Path, sim: PlugChatSimulator) -> None:
    """And not an empty account; when starting over, its file stays all the same."""
    accounts = [account(1, sim)]
    await export_many(accounts, tmp_path)
    sim.script(Fault.answer('[{"name":"nobody"}]'), token="token-1")
    told: list[AccountExport] = []
    summary = await export_many(accounts, tmp_path, restart=True, on_result=told.append)
    assert (summary.kept, summary.empty, summary.errors) == (0, 0, {"DecodeError": 1})
    assert [(export.report is None, export.empty) for export in told] == [(False, False)]
    assert len(ids(tmp_path / "account 1.jsonl")) == 25


# Starting over.


async def test_starting_over_keeps_each_file_until_its_new_one_is_complete(
    tmp_path: Path, sim: PlugChatSimulator
) -> None:
    """A run that ends early has replaced some; the next one goes on, without asking those again."""
    accounts = [account(number, sim) for number in range(3)]
    await export_many(accounts, tmp_path)
    before = only(tmp_path)

    def on_result(_: AccountExport) -> None:
        raise KeyError("mine")

    sim.script(Fault.hang(), token="token-1")
    with pytest.raises(KeyError, match="mine"):
        await export_many(accounts, tmp_path, restart=True, concurrency=1, on_result=on_result)
    assert only(tmp_path) == before
    summary = await export_many(accounts, tmp_path)
    assert (summary.skipped, summary.finished) == (1, 2)
    assert only(tmp_path) == before


async def test_starting_over_in_another_format(
    tmp_path: Path, sim: PlugChatSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old file goes when the new one is there. An empty account keeps it; what `prune` removes does not."""
    accounts = [account(number, sim) for number in range(4)]
    await export_many(accounts, tmp_path, format="parquet")
    away = [accounts[0], emptied(accounts[1], sim), account(4, sim, 0)]
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "plugchat_async.export.parquet", None)  # without its extra
        summary = await export_many(away, tmp_path, format="csv", restart=True, prune=True)
        assert (summary.finished, summary.kept, summary.empty, summary.deleted) == (2, 1, 2, 2)
    assert only(tmp_path) == [FAILURES, MANIFEST, "account 0.csv", "account 1.parquet", "account 4.csv"]
    assert (await export_many(away, tmp_path, format="csv")).kept == 1
    summary = await export_many(accounts[:2], tmp_path, format="csv")
    assert (summary.finished, summary.skipped) == (1, 1)
    assert only(tmp_path) == [MANIFEST, "account 0.csv", "account 1.csv", "account 4.csv"]


async def test_an_old_file_that_outlived_its_new_one_goes(tmp_path: Path, sim: PlugChatSimulator) -> None:
    """A run was killed between the two."""
    accounts = [account(1, sim)]
    await export_many(accounts, tmp_path, format="csv")
    header, line = (tmp_path / MANIFEST).read_text().splitlines()
    old = '{"file":"account 1.jsonl","chats":{},"unverified":[],"kept":["account 1"]}'
    (tmp_path / MANIFEST).write_text(f"{header}\n{old}\n{line}\n")
    (tmp_path / "account 1.jsonl").write_text("{}\n")
    assert (await export_many(accounts, tmp_path, format="csv")).skipped == 1
    assert only(tmp_path) == [MANIFEST, "account 1.csv"]


async def test_pruning_ends_with_the_files_of_its_accounts(tmp_path: Path, sim: PlugChatSimulator) -> None:
    """Those of accounts that are not asked for any more go at the end, but not in a run without `prune`."""
    accounts = [account(number, sim) for number in range(3)]
    await export_many(accounts, tmp_path)
    during: list[list[str]] = []

    def on_result(_: AccountExport) -> None:
        during.append(only(tmp_path))

    await export_many(accounts[:2], tmp_path, restart=True, prune=True, on_result=on_result)
    assert "account 2.jsonl" in during[-1]
    assert only(tmp_path) == [MANIFEST, "account 0.jsonl", "account 1.jsonl"]
    await export_many([emptied(each, sim) for each in accounts[:2]], tmp_path, restart=True)
    await export_many(accounts[:1], tmp_path)
    assert "account 1.jsonl" in only(tmp_path)


def test_a_summary_counts_empty_accounts() -> None:
    """Those that failed or were skipped are not among them: nothing was read of them."""
    summary = ExportSummary(Path("out"))
    summary.count(AccountExport("a", None, 0, PlugChatError("x")), limit=None)
    summary.count(AccountExport("b", Path("b"), 0, skipped=True), limit=None)
    assert (summary.empty, summary.kept) == (0, 0)
    assert not AccountExport("a", None, 0, PlugChatError("x")).empty


async def test_names_of_accounts_are_compared_as_file_systems_do(tmp_path: Path, sim: PlugChatSimulator) -> None:
    """The file of the one might be that of the other."""
    accounts = [account(1, sim)]
    await export_many(accounts, tmp_path)
    await export_many([Account("ACCOUNT 1", "token-1", sim.base_url)], tmp_path, restart=True)
    assert only(tmp_path) == [MANIFEST, "ACCOUNT 1.jsonl", "account 1.jsonl"]
