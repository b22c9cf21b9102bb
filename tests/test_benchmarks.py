"""The benchmarks' arithmetic, and the figures that are committed."""

import json
from pathlib import Path

import pytest

from benchmarks.__main__ import QUICK, RESULTS
from benchmarks.measure import PACKAGES, Result, interleaved, load, ratios, spread
from benchmarks.plots import PICTURES

README = (Path(__file__).parent.parent / "README.md").read_text()


def test_contenders_take_turns() -> None:
    """In each round all of them, in their order."""
    said: list[str] = []

    def saying(name: str) -> int:
        said.append(name)
        return len(said)

    assert interleaved({"a": lambda: saying("a"), "b": lambda: saying("b")}, 2) == {"a": [1, 3], "b": [2, 4]}
    assert said == ["a", "b", "a", "b"]


def test_figures() -> None:
    """Ratios are those of one round; a spread is the median, the least and the most."""
    assert ratios([2.0, 9.0], [1.0, 3.0]) == [2.0, 3.0]
    assert spread("x", [5.0, 1.0, 2.0]) == {"x": 2.0, "x_min": 1.0, "x_max": 5.0}


def test_a_result_is_told_and_kept(tmp_path: Path) -> None:
    """As a table of aligned columns, and in a file, with what it was measured on."""
    columns = {"name": "contender", "us": "us", "note": "note"}
    result = Result(
        "some", "Some", "About.", columns, [{"name": "a", "us": 1234.5, "note": None}, {"name": "bc", "us": 2}]
    )
    assert result.text().splitlines() == [
        "Some",
        "contender     us  note",
        "a          1,234",
        "bc             2",
        "",
        "About.",
    ]
    result.save(tmp_path)
    assert load(tmp_path / "some.json") == result
    measured = json.loads((tmp_path / "some.json").read_text())["measured"]
    assert set(measured) == {"date", "processor", "cores", "system", "python", "packages"}
    assert set(measured["packages"]) == set(PACKAGES)


@pytest.mark.parametrize("name", QUICK)
def test_committed_figures_are_marked(name: str) -> None:
    """With the machine, the date and the versions; those that can be drawn are drawn."""
    told = json.loads((RESULTS / f"{name}.json").read_text())
    assert told["name"] == name
    assert told["rows"]
    assert all(told["measured"].values())
    assert (RESULTS / f"{name}.svg").exists() == (name in PICTURES)


def test_the_readme_shows_a_picture() -> None:
    """One that is there."""
    assert "benchmarks/results/walk.svg" in README
