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
    """Give the full name of what a piece of code names, with or without a call's arguments."""
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
    """Makes links of code that is a documented name, and none of addresses that are examples."""

    default_priority = 5
    formats = ("html",)

    def run(self, **_: object) -> None:
        """Go through a page."""
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
            if address == reference.astext() and not address.startswith("https:"):
                reference.replace_self(reference.children)


def _is_taken(node: nodes.Node) -> bool:
    """Whether it stands where a link is already, or would be in the way."""
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
    """Lead from where a class is written to where it is public: types are shown with the former."""
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
