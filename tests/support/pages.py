"""The documentation's pages, and the blocks of code that they show."""

import re
from collections.abc import Collection, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(page for page in DOCS.rglob("*.md") if "_build" not in page.parts)
# `test_readme` runs the code of the README in English.
README_IN_PORTUGUESE = ROOT / "README.pt-BR.md"


class Block(NamedTuple):
    """A fenced block of a page."""

    page: Path
    number: int
    language: str
    text: str

    @property
    def id(self) -> str:
        return f"{self.page.relative_to(ROOT)}-{self.number}"

    @property
    def is_test_module(self) -> bool:
        return re.search(r"^ *(async )?def test_", self.text, re.MULTILINE) is not None

    @property
    def is_conftest(self) -> bool:
        return "@pytest.fixture" in self.text and not self.is_test_module

    @property
    def is_application(self) -> bool:
        return "app = FastAPI(" in self.text and not self.is_test_module

    @property
    def is_cell(self) -> bool:
        """Whether it is a cell of a notebook, which awaits at its top level."""
        return self.page.stem == "notebook"

    @property
    def is_service(self) -> bool:
        """Whether it runs until somebody stops it."""
        return self.page.stem == "larger-program"

    @property
    def is_program(self) -> bool:
        """Whether it is a program that runs by itself, and ends."""
        others = (self.is_test_module, self.is_conftest, self.is_application, self.is_cell, self.is_service)
        return self.language == "python" and not any(others)

    @property
    def missing(self) -> set[str]:
        """The libraries that it imports and that are not installed."""
        imported = re.findall(r"^(?:import|from) (\w+)", self.text, re.MULTILINE)
        return {library for library in imported if find_spec(library) is None}


def blocks_of(page: Path) -> Iterator[Block]:
    fences = re.finditer(r"^(`{3,}|:{3,})(\S+)[^\n]*\n(.*?)^\1$", page.read_text(), re.DOTALL | re.MULTILINE)
    for number, found in enumerate(fences, 1):
        yield Block(page, number, found[2], found[3])


BLOCKS = [block for page in [*PAGES, README_IN_PORTUGUESE] for block in blocks_of(page)]
PROGRAMS = [block for block in BLOCKS if block.language == "python"]


def marked(blocks: Collection[Block]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("block", blocks, ids=lambda block: block.id)
