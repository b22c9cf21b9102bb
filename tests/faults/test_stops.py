"""Commands that are stopped: how each ends, what it leaves, and that the next run loses and doubles nothing."""

import signal
import sys
from pathlib import Path

import pytest
from attrs import evolve

from faults.stops import cell
from faults.stops.bulk_rows import Bulk
from faults.stops.cell import TOKEN, Ended, Row, Verdict, check, compared, files
from faults.stops.chats_rows import OntoFile, ToFile
from faults.stops.report import ROWS, lines, page
from faults.stops.work import TERM, stopped

PAGE = Path(__file__).parents[2] / "docs" / "when-things-stop.md"
VERDICTS: dict[str, Verdict] = {}

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc and /dev/full")


def verdict_on(row: Row) -> Verdict:
    """What came of a row, which is run once."""
    if row.id not in VERDICTS:
        VERDICTS[row.id] = check(row)
    return VERDICTS[row.id]


@pytest.mark.slow
@pytest.mark.timeout(60)
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_stop(row: Row) -> None:
    """The exit code and the line, the files that are left, and what the next run does are exact."""
    assert verdict_on(row).problems == []


def test_stops_have_names_of_their_own() -> None:
    """So that a report tells them apart."""
    assert len({row.id for row in ROWS}) == len(ROWS)


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_the_page_is_what_the_stops_say() -> None:
    """docs/when-things-stop.md is `python tests/fault_matrix.py --stops --markdown`."""
    assert PAGE.read_text("utf-8") == page([verdict_on(row) for row in ROWS])


def planted(ended: Ended) -> Row:
    return Row("plugchat x", "planted", lambda _: ended, Ended(1, "said", "left", "0 missing, 0 doubled"))


def test_what_differs_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """In each part of the outcome; a token in a message, and too much time."""
    monkeypatch.setattr(cell, "MAX_SECONDS", 0.0)
    verdict = check(planted(Ended(0, f"said {TOKEN}", "more", "3 missing, 0 doubled")))
    names = [problem.partition(":")[0] for problem in verdict.problems]
    assert names[:5] == ["code", "said", "left", "then", "it shows the token"]
    assert names[5].startswith("it took ")
    report = lines([verdict, evolve(verdict, problems=[])])
    assert [line[:4] for line in report if not line.startswith("        ")] == ["FAIL", "ok  ", "2 st"]
    assert report[-1] == "2 stops, 1 failed"


def test_what_is_lost_or_doubled_is_seen(tmp_path: Path) -> None:
    """Chats, and parts that others may read."""
    assert compared(["1", "2", "2"], ["1", "2", "3", "4"]) == "2 missing, 1 doubled"
    for name, mode in (("x", 0o644), (".y", 0o600), (".z", 0o644)):
        (tmp_path / name).touch()
        (tmp_path / name).chmod(mode)
    assert sorted(files(tmp_path).split(", ")) == ["`x`", "a hidden part", "a hidden part of mode 644"]


class Careless(OntoFile):
    """One whose checkpoint is deleted, as it once was."""

    def again(self) -> str:
        (self.folder / "c").unlink()
        return super().again()


class Forgetful(Bulk):
    """One whose manifest is of an account that has lost its file's end."""

    def again(self) -> str:
        (self.folder / "ana.jsonl").write_text("")
        return self.compared()


class Untidy(ToFile):
    """One of whose parts nobody sweeps."""

    def again(self) -> str:
        told = super().again()
        (self.folder / ".part").touch()
        return f"{told}; {files(self.folder, but=['x.csv'])}"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("work", "then"),
    [
        (Careless, "0 missing, 50 doubled"),
        (Forgetful, "1005 missing, 0 doubled"),
        (Untidy, "0 missing, 0 doubled; a hidden part of mode 644"),
    ],
)
def test_what_goes_wrong_is_seen(work: type[OntoFile], then: str) -> None:
    """In a real run that is stopped."""
    with cell.placed() as place:
        ended = stopped(work, TERM)(place)
    assert ended.code == 128 + signal.SIGTERM
    assert ended.then.startswith(then)
