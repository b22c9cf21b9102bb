"""The documentation is true: it builds without a warning, its links lead somewhere, and all code that it shows runs.

Where a page's block is not run, `NOT_RUN` or `READ` says why.
"""

import ast
import doctest
import inspect
import os
import re
import signal
import subprocess
import sys
import tomllib
from collections.abc import Callable, Collection, Iterator, Mapping
from html.parser import HTMLParser
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit
from xml.etree import ElementTree as ET

import attrs
import pytest
import trustme

import plugchat_async
import terminal_svg
from plugchat_async import PlugChatError, errors, testing
from plugchat_async.testing import PlugChatSimulator
from support.fakes import served
from support.pages import BLOCKS, DOCS, PAGES, PROGRAMS, ROOT, Block, marked

# Whom the pages may name. Links are followed by `sphinx-build -b linkcheck`, which needs a network.
HOSTS = {
    "github.com",
    "keepachangelog.com",
    "mutmut.readthedocs.io",
    "opentelemetry.io",
    "plugchat-async.readthedocs.io",
    "semver.org",
    "www.plugchat.com.br",
    # Of the theme's footer.
    "pradyunsg.me",
}

# Languages of blocks that are no programs.
READ = {
    "text": "what a file holds, or a program prints",
    "ini": "a unit of systemd, which test_larger_program reads",
    "dockerfile": "which test_larger_program reads",
    "toml": "settings, which are parsed",
    "{grid}": "a directive of MyST, as all in braces; its text is the page's",
}
# Commands that are not run here: how they begin, and why.
NOT_RUN = {
    "python3 -m venv": "CI runs the README's",
    ". .venv/bin/activate": "it goes with that",
    "pip install": "it needs an index of packages; CI runs the README's",
    "export PLUGCHAT_TOKEN=...": "the token is the reader's",
    "unset PLUGCHAT_BASE_URL": "the reader's own account is elsewhere",
}
# What can't be used as it is shown, and what is used instead.
Stand = Callable[[PlugChatSimulator, Path], str]
STAND_INS: Mapping[str, Stand] = {
    "/run/secrets/plugchat": lambda _, folder: str(folder / "token"),
    # Dask's own, for the newest pandas.
    "import dask.dataframe": lambda *_: (
        "import warnings\n\nwarnings.filterwarnings('ignore', 'The inplace keyword')\nimport dask.dataframe"
    ),
    # The name of another container.
    "http://mock:8765": lambda sim, _: sim.base_url,
    # The simulator takes what is sent to a proxy, too.
    "127.0.0.1:3128": lambda sim, _: urlsplit(sim.base_url).netloc,
    # A watch has no end.
    "watch_chats(interval=30.0": lambda *_: "watch_chats(max_polls=3, interval=0.1",
    "watch_chats(state": lambda *_: "watch_chats(max_polls=3, interval=0.1, state",
    "watch_chats(on_outage": lambda *_: "watch_chats(max_polls=3, interval=0.1, on_outage",
}


# What is built


class Built(HTMLParser):
    """A page of the built site: where it leads, what can be led to, and what else it needs."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.sources: list[str] = []
        self.silent: list[str] = []
        self.language = ""
        self.feed(path.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.ids |= {given["id"] or ""} if "id" in given else set()
        if tag == "html":
            self.language = given.get("lang") or ""
        if tag == "a" and "href" in given:
            self.links.append(given["href"] or "")
        if tag == "link" and given.get("rel") != "canonical":
            self.sources.append(given.get("href") or "")
        if tag in {"script", "img", "iframe", "source"} and "src" in given:
            self.sources.append(given["src"] or "")
        if tag == "img" and not given.get("alt"):
            self.silent.append(given.get("src") or "")


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site. Warnings are errors."""
    out = tmp_path_factory.mktemp("site")
    options = ("-W", "-n", "--keep-going", "-q", "-b", "html", "-d", str(out / "trees"))
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", *options, str(DOCS), str(out / "html")],
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    if done.returncode or done.stderr:
        pytest.fail(done.stderr, pytrace=False)
    return out / "html"


@pytest.fixture(scope="session")
def built(site: Path) -> dict[Path, Built]:
    return {path: Built(path) for path in sorted(site.rglob("*.html"))}


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_it_builds_without_a_warning(site: Path) -> None:
    """Every page is there, under the address of its source."""
    assert all((site / page.relative_to(DOCS)).with_suffix(".html").exists() for page in PAGES)


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_every_link_leads_somewhere(built: Mapping[Path, Built]) -> None:
    """Within the site to a page that is there, and a place in it; else to a host that is known."""
    wrong: list[str] = []
    for path, page in built.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                if parts.scheme != "https" or parts.hostname not in HOSTS:
                    wrong.append(f"{path.name}: {link}")
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            there = built.get(target)
            if there is None or (parts.fragment and unquote(parts.fragment) not in there.ids):
                wrong.append(f"{path.name}: {link}")
    assert wrong == []


def test_every_link_has_a_text() -> None:
    """A repository's web page shows nothing of `[](page.md)`, which the site gives the page's title."""
    empty = re.compile(r"(?<!!)\[\s*\]\([^)]*\)")
    pages = [*PAGES, *ROOT.glob("*.md"), *(ROOT / "benchmarks").glob("*.md")]
    assert [(page.name, link) for page in pages for link in empty.findall(page.read_text("utf-8"))] == []


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_it_needs_no_network(built: Mapping[Path, Built]) -> None:
    """Scripts, styles and pictures are the site's own, and pictures have words for those who can't see them."""
    for path, page in built.items():
        assert [source for source in page.sources if urlsplit(source).netloc] == [], path.name
        assert page.silent == [], path.name
    for style in {path.parent for path in built}.pop().parent.rglob("*.css"):
        assert not re.search(r"@import|url\([\"']?https?:", style.read_text()), style.name


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_the_pages_in_portuguese_say_so(built: Mapping[Path, Built], site: Path) -> None:
    """Screen readers go by that."""
    said = {path.relative_to(site) for path, page in built.items() if page.language == "pt-BR"}
    assert said == {page.relative_to(DOCS).with_suffix(".html") for page in PAGES if page.parent.name == "pt-br"}


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_every_public_name_is_in_the_reference(built: Mapping[Path, Built]) -> None:
    """Under the name by which it is imported; where it is written is told nowhere."""
    names = {f"plugchat_async.{name}" for name in plugchat_async.__all__ if name != "__version__"}
    names |= {f"plugchat_async.testing.{name}" for name in testing.__all__}
    names |= {f"plugchat_async.doctor.{name}" for name in ("examine", "Report", "Finding", "Fact")}
    assert names - set().union(*(page.ids for page in built.values())) == set()
    for path in built:
        if path.parent.name == "reference":
            shown = re.sub(r"<[^>]*>", "", path.read_text())
            assert re.findall(r"plugchat_async\._\w+|<\w+ object|0x[0-9a-f]{6}", shown) == [], path.name


CLASSES = [
    kind for kind in vars(errors).values() if inspect.isclass(kind) and issubclass(kind, PlugChatError)
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_an_errors_address_leads_to_what_to_do(kind: type[PlugChatError], site: Path) -> None:
    """Its entry is in the built page, and says what the error itself says."""
    path, _, anchor = kind.docs_url.removeprefix(errors.DOCS_URL).partition("#")
    page = (site / path).read_text()
    entry = page.partition(f'id="{anchor}">')[2].partition('<dt class="sig')[0]
    told = " ".join(re.sub(r"<[^>]*>", "", entry).split())
    assert f"What to do: {kind.advice.replace('`', '')}".replace("&", "&amp;") in told


def test_the_architecture_in_contributing_is_the_tree() -> None:
    """It has each folder and each public module of the package, and no other."""
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    picture = text.partition("## Architecture")[2].partition("```\n")[2].partition("```")[0]
    package = ROOT / "plugchat_async"
    there = {f"{path.name}/" for path in package.iterdir() if (path / "__init__.py").exists()}
    there |= {path.name for path in package.glob("[!_]*.py")}
    assert set(re.findall(r"^  (\S+)", picture, re.MULTILINE)) == there


def test_all_paths_that_contributors_are_sent_to_are_there() -> None:
    """Those of the package and of the tests, and the modules of the table of mutants; no class is laid out as once."""
    for page in ("CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "benchmarks/README.md"):
        text = (ROOT / page).read_text("utf-8")
        named = re.findall(r"`((?:plugchat_async|tests|benchmarks|docs|examples)/[\w/.-]+)`", text)
        for cell in re.findall(r"^\| (`_[^|]+)\|", text, re.MULTILINE):
            named += [f"plugchat_async/{name}" for name in re.findall(r"`([\w/]+)`", cell)]
        assert [name for name in named if not (ROOT / name).exists() and not (ROOT / f"{name}.py").exists()] == [], page
        assert not re.search("laid_out|as a msgspec struct", text)


# The modules of walks, but for those whose texts are errors and log messages.
WALKERS = [
    path
    for path in sorted((ROOT / "plugchat_async" / "_pagination").glob("*.py"))
    if path.stem not in {"checkpoint", "options", "walk_reporter"}
]


def reasons() -> set[str]:
    """All texts that `WalkReport.reason` may have, or how they begin: constants, assigned or returned."""
    found: set[str] = set()
    for path in WALKERS:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            match node:
                case ast.Return(value=value):
                    pass
                case ast.Assign(targets=[ast.Attribute(attr="reason" | "_ending") | ast.Name()], value=value):
                    pass
                case ast.AnnAssign(target=ast.Name(), value=value):
                    pass
                case _:
                    continue
            if isinstance(value, ast.JoinedStr):
                value = value.values[0]
            if isinstance(value, ast.Constant) and isinstance(value.value, str) and value.value.count(" ") > 2:
                found.add(value.value)
    return found


def test_every_reason_is_explained() -> None:
    """The table of the guarantees has each text of `WalkReport.reason`, and no other."""
    section = (DOCS / "guarantees.md").read_text("utf-8").partition("| `reason` |")[2].partition("\n\n")[0]
    shown = [row.split("|")[1].strip() for row in section.splitlines()[2:]]
    known = reasons() | {"the walk failed", 'consistency="plain" proves nothing'}
    assert len(known) > 12
    assert [reason for reason in known if not any(row.startswith(reason.strip()) for row in shown)] == []
    assert [row for row in shown if not any(row.startswith(reason.strip(": ")) for reason in known)] == []


@pytest.mark.parametrize("name", ["jump", "overview", "whole"])
def test_drawings_say_what_they_show(name: str) -> None:
    """They have a title and a description, and the page's colours, also in the dark; nothing is outside of them."""
    text = (DOCS / "_static" / f"{name}.svg").read_text("utf-8")
    root = ET.fromstring(text)
    namespace = "{http://www.w3.org/2000/svg}"
    title, description = (root.find(f"{namespace}{tag}") for tag in ("title", "desc"))
    assert title is not None
    assert description is not None
    assert root.get("aria-labelledby") == f"{title.get('id')} {description.get('id')}"
    assert f"@media (prefers-color-scheme: dark) {{ svg.{name}:root" in text
    assert f"svg.{name}" in (DOCS / "_static" / "docs.css").read_text("utf-8")
    width, height = map(float, (root.get("viewBox") or "").split()[2:])
    for rect in root.iter(f"{namespace}rect"):
        x, y, wide, high = (float(rect.get(key, "0")) for key in ("x", "y", "width", "height"))
        assert x + wide <= width
        assert y + high <= height
    for line in root.iter(f"{namespace}text"):
        assert len(line.text or "") <= (64 if line.get("class") == "small" else 55)


@pytest.mark.slow
def test_the_recording_is_what_the_command_prints() -> None:
    """docs/_static/demo.svg is `python tests/terminal_svg.py`. It fits into 80 columns, and loads nothing."""
    drawing = terminal_svg.drawing_of(terminal_svg.recorded())
    assert (DOCS / "_static" / "demo.svg").read_text("utf-8") == drawing
    root = ET.fromstring(drawing)
    width, height = map(float, (root.get("viewBox") or "").split()[2:])
    for row in root.iter("{http://www.w3.org/2000/svg}text"):
        assert float(row.get("y", "0")) < height
        for piece in row:
            assert float(piece.get("x", "0")) + float(piece.get("textLength", "0")) <= width
    assert "url(" not in drawing


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_the_first_page_leads_to_the_pages_and_code_can_be_copied(built: Mapping[Path, Built], site: Path) -> None:
    """Its cards are links as a whole; each page loads the button; what happens when stands under Reference."""
    first = (site / "index.html").read_text("utf-8")
    cards = re.findall(r'class="[^"]*sd-stretched-link[^"]*" href="([^"]*)"', first)
    assert len(cards) > 12
    assert ":link" not in first
    for name in ("larger-program", "notebook", "disconnected"):
        assert f"how-to/{name}.html" in cards
    assert 'class="demo"' in first
    assert 'class="overview"' in first
    for path, page in built.items():
        assert [source for source in page.sources if "copybutton.js" in source], path.name
    reference = first.partition(">Reference</span>")[2].partition('<p class="caption"')[0]
    assert "what-happens-when.html" in reference
    assert "when-things-stop.html" in reference


def test_the_page_in_portuguese_has_all_fields_and_the_new_errors() -> None:
    """A reader of that page alone meets no field that it does not tell of."""
    page = (DOCS / "pt-br" / "index.md").read_text("utf-8")
    names = [field.name for field in attrs.fields(plugchat_async.Chat)]
    names += ["id", "kind", "merge_people", "NotConnectedError", "AccessDeniedError"]
    assert [name for name in names if f"`{name}`" not in page] == []


# What is shown


def test_every_block_is_run_or_read() -> None:
    """No language is passed over in silence, and the files that pages include show no programs."""
    run = {"python", "console", "sh"}
    assert {block.language for block in BLOCKS if not block.language.startswith("{")} <= run | READ.keys()
    for name in ("CHANGELOG.md", "SECURITY.md", "CONTRIBUTING.md"):
        assert "```python" not in (ROOT / name).read_text()
    shown = "\n".join(block.text for block in BLOCKS)
    assert [text for text in [*NOT_RUN, *STAND_INS] if text not in shown] == []


@pytest.fixture
def sim() -> Iterator[PlugChatSimulator]:
    """An account in which something happens, for programs that watch it, and another one."""
    simulator = PlugChatSimulator(250, seed=7)
    simulator.add_account("second", 30, seed=1)
    with served(simulator):
        yield simulator


@pytest.fixture
def folder(sim: PlugChatSimulator, tmp_path: Path) -> Path:
    """A folder with the files that programs read, and the commands that pages name."""
    accounts = [("shop", sim.token), ("support", "second")]
    lines = ["name,token,base_url", *(f"{name},{token},{sim.base_url}" for name, token in accounts)]
    (tmp_path / "accounts.csv").write_text("\n".join(lines))
    # As a Brazilian Excel saves it: a byte order mark, semicolons.
    sheet = f"name;token\r\nLoja Centro;{sim.token}\r\nSuporte São Paulo;second\r\n"
    (tmp_path / "contas.csv").write_text(sheet, "utf-8-sig", newline="")
    (tmp_path / "token").write_text(f"{sim.token}\n")
    trustme.CA().cert_pem.write_to_path(tmp_path / "company.pem")
    for name, arguments in (("python", ""), ("plugchat", "-m plugchat_async")):
        command = tmp_path / "bin" / name
        command.parent.mkdir(exist_ok=True)
        command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -X dev -W error {arguments} "$@"\n')
        command.chmod(0o755)
    return tmp_path


@pytest.fixture
def environment(sim: PlugChatSimulator, folder: Path) -> dict[str, str]:
    """The variables that lead to both."""
    return {
        **os.environ,
        "PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "PLUGCHAT_TOKEN": sim.token,
        "SALES_TOKEN": "second",
        "SUPPORT_TOKEN": sim.token,
        "PLUGCHAT_BASE_URL": sim.base_url,
        "PYTHONPATH": str(ROOT),
        "COLUMNS": "100",
    }


def usable(text: str, sim: PlugChatSimulator, folder: Path) -> str:
    """The text with what stands in for what can't be used."""
    for shown, used in STAND_INS.items():
        text = text.replace(shown, used(sim, folder))
    return text


def run(command: Collection[str], environment: Mapping[str, str], folder: Path) -> str:
    """Run a command, which must end well, and give what it prints."""
    done = subprocess.run(
        list(command),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
        cwd=folder,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.mark.slow
@marked([block for block in PROGRAMS if block.is_program])
def test_a_program_runs(block: Block, sim: PlugChatSimulator, folder: Path, environment: dict[str, str]) -> None:
    """As it is shown, in a process of its own, warnings being errors; it prints something, and no complaint."""
    if block.page.stem == "read-an-export":
        read_what_is_written(block, environment, folder)
    (folder / "program.py").write_text(usable(block.text, sim, folder))
    if "watch_chats" in block.text:
        sim.traffic(bumps=3.0)
    printed = run(["python", "program.py"], environment, folder)
    assert "Traceback" not in printed
    assert printed or "print" not in block.text or "file=out" in block.text
    assert sim.requests or "PlugChatSimulator(" in block.text


def read_what_is_written(block: Block, environment: Mapping[str, str], folder: Path) -> None:
    """Run the command that is shown last before a program, which reads what that has written."""
    if block.missing:
        pytest.skip(f"needs {', '.join(block.missing)}")
    consoles = [other for other in BLOCKS if other.page == block.page and other.language == "console"]
    [command] = commands_of([other for other in consoles if other.number < block.number][-1])
    run(["bash", "-c", command.text], environment, folder)


@pytest.mark.slow
@marked([block for block in PROGRAMS if block.is_application])
def test_an_application_answers(block: Block, folder: Path, environment: dict[str, str]) -> None:
    """It starts, and what it offers without parameters is there."""
    client = """
from fastapi.testclient import TestClient
with TestClient(app) as client:
    for path, operations in app.openapi()["paths"].items():
        answer = client.get(path)
        assert answer.status_code == 200, answer.text
        assert answer.text
"""
    (folder / "program.py").write_text(block.text + client)
    assert run(["python", "program.py"], environment, folder) == ""


@pytest.mark.slow
def test_test_modules_pass(folder: Path, environment: dict[str, str]) -> None:
    """Each with the settings and the conftest.py that pages give, and none is skipped but for a missing library."""
    blocks = [block for block in PROGRAMS if block.is_test_module and not block.missing]
    [conftest] = [block.text for block in PROGRAMS if block.is_conftest]
    (folder / "conftest.py").write_text(conftest)
    for number, block in enumerate(blocks):
        (folder / f"test_{number}.py").write_text(block.text)
    settings = [tomllib.loads(block.text) for block in BLOCKS if block.language == "toml"]
    [options] = [found["tool"]["pytest"]["ini_options"] for found in settings if "pytest" in found["tool"]]
    (folder / "pytest.ini").write_text("[pytest]\n" + "".join(f"{key} = {value}\n" for key, value in options.items()))
    tests = sum(len(re.findall(r"^ *(?:async )?def test_", block.text, re.MULTILINE)) for block in blocks)
    own = {name: value for name, value in environment.items() if not name.startswith(("PLUGCHAT_", "PYTEST_"))}
    printed = run(["python", "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:cov"], own, folder)
    assert f"{tests} passed in " in printed, printed


class Command(NamedTuple):
    """A command of a block, and what is shown below it."""

    text: str
    shown: str


def commands_of(block: Block) -> list[Command]:
    if block.language == "sh":
        return [Command(line, "") for line in block.text.splitlines() if line.strip()]
    parts = re.split(r"^\$ (.*)\n?", block.text, flags=re.MULTILINE)
    assert parts[0] == "", "a block begins with a command"
    return [Command(*pair) for pair in zip(parts[1::2], parts[2::2], strict=True)]


@pytest.mark.slow
@marked([block for block in BLOCKS if block.language in {"console", "sh"}])
def test_commands_run(block: Block, sim: PlugChatSimulator, folder: Path, environment: dict[str, str]) -> None:
    """They end well, and print what is shown; "...", ports and seconds may be anything."""
    before = [other for other in PROGRAMS if other.page == block.page and other.number < block.number]
    checker = doctest.OutputChecker()
    for command in commands_of(block):
        if command.text.startswith(tuple(NOT_RUN)):
            continue
        if exported := re.match(r"export (\w+)=(\S+)$", command.text):
            environment[exported[1]] = exported[2]
            continue
        if file := re.match(r"python (\w+\.py)$", command.text):  # the program that is shown above it
            (folder / file[1]).write_text(usable(before[-1].text, sim, folder))
        if command.text.startswith("plugchat simulate"):
            printed = until_it_serves(command.text, environment, folder)
        else:
            endless = "plugchat watch" in command.text and "--max-polls" not in command.text
            text = command.text.replace("plugchat watch", "plugchat watch --max-polls 1") if endless else command.text
            printed = run(["bash", "-c", text], environment, folder)
        if command.shown.strip():
            wanted, got = (re.sub(r":\d{4,5}\b|\b\d+\.\d\d s\b", "...", text) for text in (command.shown, printed))
            flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
            assert checker.check_output(wanted, got, flags), f"{command.text}: {got}"


def until_it_serves(text: str, environment: dict[str, str], folder: Path) -> str:
    """Start a simulator, on any port, and end it as a reader would when it has said where it is."""
    # Output to a file is kept back until it fills a buffer, but for what is flushed.
    process = subprocess.Popen(
        ["bash", "-c", "exec " + text.replace("plugchat simulate", "plugchat simulate --port 0")],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
        cwd=folder,
    )
    assert process.stdout is not None
    printed = ""
    for line in process.stdout:
        printed += line
        if "Ctrl-C" in line:
            break
    process.send_signal(signal.SIGINT)
    rest, _ = process.communicate(timeout=30)
    assert (process.returncode, rest) == (0, ""), printed + rest
    return printed
