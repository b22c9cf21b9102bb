"""Turns this project's docstrings into reStructuredText, and signatures into what a reader wants to see.

The docstrings are prose. What is more than that:

    page_size: chats to ask for at a time (default 100). An entry begins with names of the documented object: of its
        parameters, fields or options. More of them may follow behind a full stop. limit: how many to give at most.
    http.requests (counter): so does a name with dots, and behind it in brackets what it is.
    stop_on: lines in an entry that begin with a quoted value and a colon are its values.
        "short": such as this one.

        an_indented_block = "is an example"

    | a table | stands |
    |---|---|
    | between | bars |

Sections in the style of Google ("Args:", "Attributes:", "Raises:") are lists of entries, too; "Returns:" has a text.
`code` stands in single backticks. Names of public classes are code wherever they stand.
"""

import inspect
import re
import textwrap
from collections.abc import Collection, Iterator, Sequence
from itertools import pairwise
from typing import Any, is_typeddict

import attrs
from sphinx.application import Sphinx
from sphinx.pycode import ModuleAnalyzer
from sphinx.util.typing import ExtensionMetadata, stringify_annotation

import plugchat_async
import plugchat_async.testing
from plugchat_async import PlugChatError

# Names that can't be mistaken for a word: those with a capital inside.
CLASSES = frozenset(
    name
    for name in [*plugchat_async.__all__, *plugchat_async.testing.__all__]
    if re.fullmatch(r"[A-Z][a-z]+[A-Z]\w+", name)
)
_CODE = re.compile(rf"(\b(?:{'|'.join(sorted(CLASSES))})(?!\w)|\b[a-z]+://[\w.:/-]*\w)")
_DOTTED = re.compile(r"(\w+(?:\.\w+)+)( \([^)]*\)): ")
_SECTION = re.compile(r"(Args|Attributes|Returns|Raises):")
_VALUE = re.compile(r'("\w+")( \(default\))?: ')


def to_rst(lines: Sequence[str], names: Collection[str]) -> list[str]:
    """Turn a docstring, without its common indentation, into reStructuredText. `names`: what entries may begin with."""
    rst: list[str] = []
    for block in _blocks(lines):
        if _SECTION.fullmatch(block[0]):
            rst += _section(block)
        elif block[0].startswith(" "):
            rst += _example(block)
        elif block[0].startswith("|"):
            rst += _table(block)
        elif _entry_at(block[0], names):
            for entry in _entries(block, names):
                rst += _definition(entry)
        else:
            rst += [_inline(line) for line in block]
        rst.append("")
    return rst


def _section(block: Sequence[str]) -> list[str]:
    """Give a section: its title, and its entries below it, whose names are whatever comes before the first colon."""
    title, *lines = block[0], *textwrap.dedent("\n".join(block[1:])).splitlines()
    if title == "Returns:":
        return [f"**{title}** {_inline(' '.join(map(str.strip, lines)))}"]
    text = "\n".join(lines)
    names = {name for found in re.finditer(r"^(\w+(?:, \w+)*): ", text, re.MULTILINE) for name in found[1].split(", ")}
    rst = [f"**{title}**", ""]
    for entry in _entries(lines, names):
        rst += _definition(entry)
    return rst


def _blocks(lines: Sequence[str]) -> Iterator[list[str]]:
    """Give what blank lines separate; an example with blank lines inside is one block."""
    block: list[str] = []
    blank = 0
    for line in lines:
        if not line.strip():
            blank += 1
            continue
        goes_on = bool(block) and block[0].startswith(" ") and line.startswith(" ")
        if block and blank and not goes_on:
            yield block
            block = []
        elif goes_on:
            block += [""] * blank
        block.append(line)
        blank = 0
    if block:
        yield block


def _example(block: Sequence[str]) -> list[str]:
    """Give a block of code, as Python if it is."""
    code = textwrap.dedent("\n".join(block))
    try:
        compile(f"async def example():\n{textwrap.indent(code, '    ')}\n", "example", "exec")
        language = "python"
    except SyntaxError:
        language = "text"
    return [f".. code-block:: {language}", "", *textwrap.indent(code, "    ").splitlines()]


def _table(block: Sequence[str]) -> list[str]:
    """Give a table, whose second line separates its heading."""
    rst = [".. list-table::", "   :header-rows: 1", ""]
    for line in [block[0], *block[2:]]:
        cells = [_inline(cell.strip()) for cell in line.strip().strip("|").split("|")]
        rst += [f"   {'*' if index == 0 else ' '} - {cell}".rstrip() for index, cell in enumerate(cells)]
    return rst


def _entry_at(text: str, names: Collection[str]) -> re.Match[str] | None:
    """Give the names that a text begins with, if it is an entry."""
    found = re.match(r"(\w+(?:, \w+)*): ", text)
    return found if found and set(found[1].split(", ")) <= set(names) else _DOTTED.match(text)


def _entries(block: Sequence[str], names: Collection[str]) -> Iterator[list[str]]:
    """Give the entries of a block as lists of their sentences, those of values apart."""
    entry: list[str] = []
    for line in block:
        if _entry_at(line, names):
            if entry:
                yield from _split(entry, names)
            entry = [line]
        elif _VALUE.match(line.strip()):
            entry.append(line.strip())
        else:
            entry[-1] += f" {line.strip()}"
    yield from _split(entry, names)


def _split(entry: Sequence[str], names: Collection[str]) -> Iterator[list[str]]:
    """Part entries that stand one behind the other in a line."""
    first, *values = entry
    starts = [0, *(m.end() for m in re.finditer(r"\. ", first) if _entry_at(first[m.end() :], names)), len(first)]
    parts = [first[start:end].strip() for start, end in pairwise(starts)]
    for part in parts[:-1]:
        yield [part]
    yield [parts[-1], *values]


def _definition(entry: Sequence[str]) -> list[str]:
    """Give a name, or several, and below what is said of it."""
    dotted = _DOTTED.match(entry[0])
    found = dotted or re.match(r"([\w, ]+): ", entry[0])
    assert found, "entries begin with names"
    names = ", ".join(f"``{name}``" for name in found[1].split(", "))
    rst = [names + (dotted[2] if dotted else ""), f"    {_inline(entry[0][found.end() :])}", ""]
    rst += [f"    - {_inline(_VALUE.sub(_value_as_code, value, count=1))}" for value in entry[1:]]
    return [*rst, ""] if len(entry) > 1 else rst


def _value_as_code(found: re.Match[str]) -> str:
    return f"`{found[1]}`{found[2] or ''}: "


def _inline(text: str) -> str:
    """Give code and names as literals, and take from all else what reStructuredText would read into it."""
    parts: list[str] = []
    for index, part in enumerate(re.split(r"(?<!`)`([^`]+)`(?!`)", text)):
        # Names of classes are parts of their own, too, at odd places. So are addresses: of servers, not of pages.
        words = [part] if index % 2 else _CODE.split(part)
        for place, word in enumerate(words):
            if index % 2 or place % 2:
                parts.append(f"``{word}``")
            else:
                # A literal has to end before a word goes on: WalkReport's.
                glue = r"\ " if parts and re.match(r"[\w']", word) else ""
                parts.append(glue + re.sub(r"([*|\\@])|(?<=\w)(_)(?!\w)", r"\\\1\2", word))
    # "429. retry_after: …" would be the 429th item of a list.
    return re.sub(r"^(\d+|[A-Za-z])(?=[.)] )", r"\1\\", "".join(parts))


def _names_of(thing: object) -> set[str]:
    """The names that an object's docstring may explain: parameters, the keys of its options, fields."""
    names: set[str] = set()
    if inspect.isclass(thing) and attrs.has(thing):
        names |= {a.name for a in attrs.fields(thing)}
    if is_typeddict(thing):
        return names | set(thing.__annotations__)
    if not callable(thing):
        return names
    try:
        parameters = inspect.signature(thing).parameters.values()
    except ValueError:
        return names
    for parameter in parameters:
        names.add(parameter.name)
        names |= set(_keys(parameter.annotation))
    return names


def _keys(annotation: Any) -> Collection[str]:
    """The names of the options that `**options: Unpack[...]` stands for."""
    if isinstance(annotation, str):  # of a class that is loaded only when it is needed
        name = annotation.removeprefix("Unpack[").removesuffix("]")
        annotation = getattr(plugchat_async, name, None) if name in plugchat_async.__all__ else None
    else:
        annotation = next(iter(getattr(annotation, "__args__", ())), annotation)
    return annotation.__annotations__ if is_typeddict(annotation) else ()


def _typed(fields: dict[str, Any]) -> list[str]:
    """Give fields with their types, which their class's docstring explains."""
    return [f"- ``{name}``: ``{_public(stringify_annotation(kind, 'smart'))}``" for name, kind in fields.items()]


def _public(text: str) -> str:
    """Take from types what a reader need not know: where they are written, and what msgspec is told about them."""
    text = re.sub(r"\bAnnotated\[([~\w.]+), (?:~?msgspec\.)?Meta\([^)]*\)\]", r"\1", text)
    return re.sub(r"~(?:\w+\.)+", "", text)


def _process_docstring(_app: Sphinx, _what: str, _name: str, thing: object, _options: object, lines: list[str]) -> None:
    lines[:] = to_rst(lines, _names_of(thing))
    if not inspect.isclass(thing):
        return
    if is_typeddict(thing):
        lines += [*_typed(thing.__annotations__), ""]
    elif issubclass(thing, PlugChatError):
        inherited = set() if thing is PlugChatError else {a.name for a in attrs.fields(PlugChatError)}
        own = {a.name: a.type for a in attrs.fields(thing) if a.name not in inherited}
        if own:
            lines += ["Attributes:", "", *_typed(own), ""]
        lines += [f"**What to do:** {_inline(thing.advice)}", ""]


def _process_signature(
    _app: Sphinx, _what: str, _name: str, thing: object, _options: object, signature: str | None, returns: str | None
) -> tuple[str, str | None] | None:
    """Leave out what nobody would call, and show objects as one would write them."""
    if signature is None:
        return None
    if inspect.isclass(thing) and issubclass(thing, PlugChatError):
        return "", None
    signature = re.sub(r"\b(RetryPolicy|Clock)\([^)]*\)", r"\1()", signature)
    # Functions print as <function sleep>: the text says which ones they are.
    return _public(re.sub(r"= <[^,)]*>", "= ...", signature)), returns


def _forget_overloads(_app: Sphinx) -> None:
    """Show a function as its docstring explains it, once, not each of the ways in which types depend on each other."""
    analyzer = ModuleAnalyzer.for_module("plugchat_async.bulk")
    analyzer.analyze()
    analyzer.overloads.clear()


def setup(app: Sphinx) -> ExtensionMetadata:
    """Connect it."""
    app.connect("builder-inited", _forget_overloads)
    app.connect("autodoc-process-docstring", _process_docstring)
    app.connect("autodoc-process-signature", _process_signature)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
