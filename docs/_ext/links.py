"""Links names to the reference: `iter_chats` in a page, plugchat_async._http.retry.RetryPolicy in a type."""

import re

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util.nodes import make_refnode
from sphinx.util.typing import ExtensionMetadata

# Of other classes only the full name is a link: `status` is an error's attribute more often than `Fault.status`.
_SESSION = "plugchat_async.PlugChatSession"


def _find(env: BuildEnvironment, text: str) -> str | None:
    """Return the full name of the object that a piece of code names, with or without a call's arguments."""
    found = re.fullmatch(r"([A-Za-z_][\w.]*)(\(.*\))?", text, re.DOTALL)
    if found is None:
        return None
    # An alias is the place where a class is written.
    objects = {full: entry.objtype for full, entry in env.domains.python_domain.objects.items() if not entry.aliased}
    for full in (found[1], f"{_SESSION}.{found[1]}"):
        if full in objects:
            return full
    full_names = [
        full
        for full, kind in objects.items()
        if full.endswith(f".{found[1]}") and (kind in {"class", "data", "exception", "function"} or "." in found[1])
    ]
    return full_names[0] if len(full_names) == 1 else None


class LinkedNames(SphinxPostTransform):
    """Turns documented names in code into links, and addresses that are examples into text."""

    default_priority = 5
    formats = ("html",)

    def run(self, **_: object) -> None:
        """Go through a page."""
        for text in list(self.document.findall(nodes.Text)):
            if text.astext() == " -- ":  # between a parameter and its description
                text.parent.replace(text, nodes.Text(" – "))  # noqa: RUF001 - a dash
        for literal in list(self.document.findall(nodes.literal)):
            full = None if _is_taken(literal) else _find(self.env, literal.astext())
            if full is None:
                continue
            entry = self.env.domains.python_domain.objects[full]
            link = make_refnode(
                self.app.builder, self.env.current_document.docname, entry.docname, entry.node_id, literal.deepcopy()
            )
            literal.replace_self(link)
        for reference in list(self.document.findall(nodes.reference)):
            address = reference.get("refuri", "")
            if address == reference.astext() or address.startswith("mailto:"):  # an id such as 1@lid
                reference.replace_self(reference.children)


def _is_taken(node: nodes.Node) -> bool:
    """Return whether a node is in a link already, or where a link would be in the way."""
    taken = (nodes.reference, nodes.title, nodes.term, addnodes.pending_xref, addnodes.desc_signature)
    parent = node.parent
    while parent is not None:
        if isinstance(parent, taken):
            return True
        parent = parent.parent
    return False


def _from_private(
    app: Sphinx, env: BuildEnvironment, node: addnodes.pending_xref, text: nodes.TextElement
) -> nodes.reference | None:
    """Link the module where a class is defined to its public name: types are shown with the former."""
    target = str(node.get("reftarget", ""))
    if node.get("refdomain") != "py" or ("." in target and not target.startswith("plugchat_async.")):
        return None
    full = _find(env, target.rpartition(".")[2])
    if full is None:
        return None
    entry = env.domains.python_domain.objects[full]
    return make_refnode(app.builder, node["refdoc"], entry.docname, entry.node_id, text)


def setup(app: Sphinx) -> ExtensionMetadata:
    """Connect it."""
    app.add_post_transform(LinkedNames)
    app.connect("missing-reference", _from_private)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
