"""The texts in Portuguese are true: they show the program's own messages, and the README is that in English.

`test_docs` runs the code of the pages and of the README.
"""

import ast
import asyncio
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import attrs
import pytest
import trustme

from faults.matrix.peers import server_tls
from plugchat_async import (
    ExportOptions,
    PlugChatError,
    PlugChatSession,
    RetryPolicy,
    SessionOptions,
    WalkOptions,
    WatchOptions,
    errors,
    export_many,
    read_accounts,
)
from plugchat_async._http.aiohttp_errors import translate
from plugchat_async._http.options import RequestSettings
from plugchat_async._http.request import RequestBuilder, RequestTemplate
from plugchat_async._http.secret import Secret
from plugchat_async.cli.options import require_token
from plugchat_async.session import TOKEN_VARIABLE
from support.fakes import RawServer, answering

ROOT = Path(__file__).parents[2]
PAGES = ROOT / "docs" / "pt-br"
ERRORS = (PAGES / "erros.md").read_text("utf-8")
ACCOUNTS = (PAGES / "muitas-contas.md").read_text("utf-8")
README = (ROOT / "README.pt-BR.md").read_text("utf-8")
IN_ENGLISH = (ROOT / "README.md").read_text("utf-8")

# A section for each error: its class, and beginnings of its messages to search for.
SECTIONS = re.findall(r"^## \d+\. [^\n]+\n\n`(\w+)`\n\n```text\n(.*?)```", ERRORS, re.DOTALL | re.MULTILINE)
MESSAGES = [(kind, line) for kind, lines in SECTIONS for line in lines.splitlines()]


async def without_a_certificate() -> PlugChatError:
    """Return the error of a session that does not know the server's CA."""
    async with (
        RawServer(answering(b"[]"), ssl_context=server_tls(trustme.CA())) as server,
        PlugChatSession("token", base_url=f"https://localhost:{server.port}") as session,
    ):
        with pytest.raises(PlugChatError) as caught:
            await session.list_chats()
    return caught.value


def misused() -> Iterator[PlugChatError]:
    """Yield errors that need no server."""
    for token in ("", "Bearer token", "token\n"):
        with pytest.raises(PlugChatError) as caught:
            PlugChatSession(token)
        yield caught.value
    with pytest.MonkeyPatch.context() as patch, pytest.raises(PlugChatError) as caught:
        patch.delenv(TOKEN_VARIABLE, raising=False)
        PlugChatSession.from_env()
    yield caught.value
    with pytest.raises(PlugChatError) as caught:
        require_token(None)
    yield caught.value
    request = RequestBuilder().build(RequestTemplate("https://x"), Secret("token"), 1, 100)
    yield translate(aiohttp.ClientConnectionError(), request)
    session = PlugChatSession("token")
    with pytest.raises(PlugChatError) as caught:
        asyncio.run(session.list_chats())
    yield caught.value
    with asyncio.Runner() as other:
        other.run(session.open())
        with pytest.raises(PlugChatError) as caught:
            asyncio.run(session.list_chats())
        other.run(session.close())
    yield caught.value


@pytest.fixture(scope="module")
def raised() -> set[tuple[str, str]]:
    """Return classes and texts of errors: those of the fault matrix, which a test holds to the code, and others."""
    matrix = (ROOT / "docs" / "what-happens-when.md").read_text("utf-8")
    found = set(re.findall(r"^\|.*?\| `(\w+)`: (.*?) \|", matrix, re.MULTILINE))
    others = [*misused(), asyncio.run(without_a_certificate())]
    return found | {(type(error).__name__, str(error)) for error in others}


def test_there_are_ten_errors() -> None:
    """Each has a section, with messages to search for."""
    assert len(dict(SECTIONS)) == len(SECTIONS) == len(re.findall(r"^## \d+\. ", ERRORS, re.MULTILINE)) == 10


@pytest.mark.parametrize(("kind", "message"), MESSAGES, ids=[message for _, message in MESSAGES])
def test_an_error_has_the_message_to_search_for(kind: str, message: str, raised: set[tuple[str, str]]) -> None:
    """It is in the text of an error of that class."""
    assert [text for name, text in raised if name == kind and message in text] != []


def test_no_error_is_left_out() -> None:
    """Each class is on the page, each family in its table and in that of the README, and what waiting does not mend."""
    kinds = [kind for kind in vars(errors).values() if inspect.isclass(kind) and issubclass(kind, PlugChatError)]
    assert [kind.__name__ for kind in kinds if f"`{kind.__name__}`" not in ERRORS] == []
    families = {kind.__name__ for kind in PlugChatError.__subclasses__()} | {"NotConnectedError"}
    for text in (ERRORS, README.partition("## Erros")[2]):
        rows = text.partition("|---|---|---|\n")[2].partition("\n\n")[0].splitlines()
        assert {name for row in rows for name in re.findall(r"`(\w+Error)`", row.split("|")[1])} == families


def test_the_limits_of_time_are_the_defaults() -> None:
    """Those of an attempt, and of a page."""
    [told] = re.findall(
        r"cada tentativa tem (\d+) segundos, e uma página inteira, .*?, tem (\d+)", " ".join(ERRORS.split())
    )
    [timeout] = [field.default for field in attrs.fields(RequestSettings) if field.name == "timeout"]
    assert [float(seconds) for seconds in told] == [timeout, RetryPolicy().deadline]


# What the callables take that running text shows with options.
TAKEN = {
    "PlugChatSession": {"token", *SessionOptions.__annotations__},
    "RetryPolicy": set(inspect.signature(RetryPolicy).parameters),
    "iter_chats": {"page_size", *WalkOptions.__annotations__},
    "watch_chats": set(WatchOptions.__annotations__),
    "export_many": {*inspect.signature(export_many).parameters, *ExportOptions.__annotations__},
}


def options_in(text: str) -> Iterator[tuple[str, str]]:
    """Yield callables and options of code in running text; "" for an option that stands alone."""
    for code in re.findall(r"(?<!`)`([^`\n]+)`(?!`)", re.sub(r"```.*?```", "", text, flags=re.DOTALL)):
        try:
            tree = ast.parse(code)
        except SyntaxError:
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Assign) and "(" not in code:  # not the result of a call
                yield "", ast.unparse(node.targets[0])
            elif isinstance(node, ast.Call):
                name = node.func.attr if isinstance(node.func, ast.Attribute) else ast.unparse(node.func)
                yield from ((name, keyword.arg or "") for keyword in node.keywords)


@pytest.mark.parametrize("page", [*sorted(PAGES.glob("*.md")), ROOT / "README.pt-BR.md"], ids=lambda page: page.name)
def test_options_in_running_text_are_taken(page: Path) -> None:
    """By the callable that is shown, or by any if none is. Nothing else runs this code."""
    known = {"": set[str]().union(*TAKEN.values()), **TAKEN}
    found = [*options_in(page.read_text("utf-8"))]
    assert found
    assert [(name, option) for name, option in found if option not in known[name]] == []


# A file for each message of the table.
FILES = {
    "line 2: not UTF-8": "name;token\nLoja São Paulo;a\n".encode("cp1252"),
    "line 1 does not name the columns name and token (or token_env)": b"nome;token\nLoja Centro;a\n",
    "line 3: 'Suporte': no token": b"name;token\nLoja Centro;a\nSuporte;\n",
    "line 3: 'Loja Centro' is also in line 2": b"name;token\nLoja Centro;a\nLoja Centro;b\n",
    "line 2: expected 2 cells, found 3": b"name;token\nLoja Centro;a;b\n",
}


@pytest.mark.parametrize("message", FILES)
def test_a_file_of_accounts_has_these_errors(message: str, tmp_path: Path) -> None:
    """The table has the message of each, and no other."""
    file = tmp_path / "contas.csv"
    file.write_bytes(FILES[message])
    with pytest.raises(PlugChatError, match=re.escape(message)):
        read_accounts(file)
    assert set(re.findall(r"^\| `(line [^`]+)` \|", ACCOUNTS, re.MULTILINE)) == FILES.keys()


def test_a_file_of_excel_is_read(tmp_path: Path) -> None:
    """With a byte order mark, and the semicolons that the page shows."""
    [shown] = re.findall(r"```text\n(name;token\n.*?)```", ACCOUNTS, re.DOTALL)
    (tmp_path / "contas.csv").write_text(shown, "utf-8-sig", newline="\r\n")
    assert [account.name for account in read_accounts(tmp_path / "contas.csv")] == ["Loja Centro", "Suporte"]


# The README


def programs(text: str) -> list[str]:
    """Return a text's programs without what is translated: their comments and texts."""
    found: list[str] = []
    for code in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        tree = ast.parse(code)
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                node.value = ""
        found.append(ast.dump(tree))
    return found


def test_the_readme_has_the_same_programs() -> None:
    """In the same order, but for texts."""
    assert programs(README) == programs(IN_ENGLISH) != []


def test_the_readmes_lead_to_each_other() -> None:
    """In their first lines."""
    assert "(README.pt-BR.md)" in IN_ENGLISH.splitlines()[0]
    assert "(README.md)" in README.splitlines()[0]


def test_the_readme_is_short_and_its_links_lead_somewhere() -> None:
    """As that in English; each page in Portuguese is linked."""
    assert len(README.splitlines()) <= 170
    links = {link for link in re.findall(r"\]\(([^)#]+)[^)]*\)", README) if "://" not in link}
    assert [link for link in links if not (ROOT / link).exists()] == []
    assert {f"docs/pt-br/{page.name}" for page in PAGES.glob("*.md")} <= links


def test_the_commands_are_those_of_the_readme() -> None:
    """No command is missing but the completion, which has its own in English."""
    named = re.findall(r"plugchat (\w+)", README.partition("## Linha de comando")[2].partition("```\n\n")[0])
    in_english = re.findall(r"plugchat (\w+)", IN_ENGLISH.partition("## Command line")[2].partition("```\n\n")[0])
    assert set(named) == set(in_english) - {"demo", "completion"}
