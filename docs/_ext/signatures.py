"""Shows signatures as one would write them, the keys of options, an error's fields, and what to do about an error."""

import inspect
import re
from typing import Any, is_typeddict

import attrs
from sphinx.application import Sphinx
from sphinx.pycode import ModuleAnalyzer
from sphinx.util.typing import ExtensionMetadata, stringify_annotation

from plugchat_async import PlugChatError

_HIDDEN: dict[str, list[str]] = {}


def _public(text: str) -> str:
    """Remove from types what a reader need not know: the modules of their classes, and constraints for msgspec."""
    text = re.sub(r"\bAnnotated\[([~\w.]+), (?:~?msgspec\.)?Meta\([^)]*\)\]", r"\1", text)
    return re.sub(r"~(?:\w+\.)+", "", text)


def _signature(
    _app: Sphinx, _what: str, _name: str, thing: object, _options: object, signature: str | None, returns: str | None
) -> tuple[str, str | None] | None:
    """Hide the constructors of errors, and the defaults that are objects."""
    if signature is None:
        return None
    if inspect.isclass(thing) and issubclass(thing, PlugChatError):
        return "", None
    signature = re.sub(r"\b(RetryPolicy|Clock)\([^)]*\)", r"\1()", signature)
    # Functions print as <function sleep>: the text says which ones they are.
    return _public(re.sub(r"= <[^,)]*>", "= ...", signature)), returns


def _types(fields: dict[str, Any]) -> list[str]:
    return [f"- ``{name}``: ``{_public(stringify_annotation(kind, 'smart'))}``" for name, kind in fields.items()]


def _hide_property(_app: Sphinx, what: str, name: str, _thing: object, _options: object, lines: list[str]) -> None:
    """Keep a property's docstring from Napoleon, which would take what is before its first colon for a type."""
    if what == "property":
        _HIDDEN[name], lines[:] = lines[:], []


def _docstring(_app: Sphinx, _what: str, name: str, thing: object, _options: object, lines: list[str]) -> None:
    """Add the keys of options, and the fields and the advice of errors."""
    lines += _HIDDEN.pop(name, [])
    if not inspect.isclass(thing):
        return
    if is_typeddict(thing):
        lines += ["", *_types(thing.__annotations__), ""]
    elif issubclass(thing, PlugChatError):
        inherited = set() if thing is PlugChatError else {field.name for field in attrs.fields(PlugChatError)}
        own = {field.name: field.type for field in attrs.fields(thing) if field.name not in inherited}
        if own:
            lines += ["", *_types(own)]
        lines += ["", f"**What to do:** {thing.advice}", ""]


def _hide_overloads(_app: Sphinx) -> None:
    """Show `fetch_many` once, as its docstring explains it."""
    analyzer = ModuleAnalyzer.for_module("plugchat_async.bulk.fetch")
    analyzer.analyze()
    analyzer.overloads.clear()


def setup(app: Sphinx) -> ExtensionMetadata:
    """Connect it."""
    app.connect("builder-inited", _hide_overloads)
    # Napoleon's priority is 500.
    app.connect("autodoc-process-docstring", _hide_property, priority=400)
    app.connect("autodoc-process-docstring", _docstring, priority=600)
    app.connect("autodoc-process-signature", _signature)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
