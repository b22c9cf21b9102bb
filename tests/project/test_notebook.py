"""The page "In a notebook" is true: its cells run in a kernel of Jupyter, in their order."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from plugchat_async.testing import Fault, PlugChatSimulator
from support.fakes import served
from support.pages import PROGRAMS

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")
pytest.importorskip("tqdm")

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
CELLS = [block.text for block in PROGRAMS if block.is_cell]


@pytest.fixture
def account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PlugChatSimulator]:
    """A simulator, the variables that lead to it, and a folder with a list of accounts."""
    with served(PlugChatSimulator(250, seed=7)) as sim:
        monkeypatch.setenv("PLUGCHAT_TOKEN", sim.token)
        monkeypatch.setenv("PLUGCHAT_BASE_URL", sim.base_url)
        monkeypatch.setenv("PYTHONPATH", str(ROOT))
        monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
        (tmp_path / "accounts.csv").write_text(f"name,token,base_url\nshop,{sim.token},{sim.base_url}\n")
        yield sim


def output_of(cell: Any, kind: str) -> str:
    """Return what a cell shows, as `text/html` or `text/plain`."""
    [text] = [output.data[kind] for output in cell.outputs if output.output_type == "execute_result"]
    return str(text)


@pytest.mark.timeout(120)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of Jupyter's own libraries
def test_the_cells_run(account: PlugChatSimulator, tmp_path: Path) -> None:
    """Lists and frames are tables; the bar counts; no output holds the token."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(text) for text in CELLS])
    client = nbclient.NotebookClient(
        notebook, timeout=60, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    )
    client.execute()
    fetched, selected, opened, _, frame, by_day, progress, accounts = notebook.cells
    for cell in (fetched, selected):
        assert "<table" in output_of(cell, "text/html")
        assert output_of(cell, "text/plain").endswith(" more]")
    assert "connected=True" in output_of(opened, "text/plain")
    assert "<table" in output_of(frame, "text/html")
    assert "2026-01-15" in output_of(by_day, "text/plain")
    assert output_of(progress, "text/plain") == "250"
    assert "250 chats" in "".join(output.text for output in progress.outputs if output.output_type == "stream")
    assert output_of(accounts, "text/plain") == "{'shop': 250}"
    assert account.token not in nbformat.writes(notebook)


@pytest.mark.timeout(120)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_session_outlives_an_interrupt(account: PlugChatSimulator, tmp_path: Path) -> None:
    """The square button ends the cell that waits; the next one uses the same session."""
    opened = "from plugchat_async import PlugChatSession\nplugchat = await PlugChatSession.from_env().open()"
    cells = [opened, "await plugchat.fetch_page(1, 100)", "len(await plugchat.list_chats())", "await plugchat.close()"]
    account.script(Fault.hang())
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(text) for text in cells])
    client = nbclient.NotebookClient(
        notebook,
        timeout=5,
        interrupt_on_timeout=True,
        allow_errors=True,
        kernel_name="python3",
        resources={"metadata": {"path": str(tmp_path)}},
    )
    client.execute()
    [error] = [output for output in notebook.cells[1].outputs if output.output_type == "error"]
    assert error.ename in {"CancelledError", "KeyboardInterrupt"}
    assert output_of(notebook.cells[2], "text/plain") == "250"
    assert not notebook.cells[3].outputs
