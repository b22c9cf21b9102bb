"""How Sphinx builds the documentation: sphinx-build -W -n --keep-going -b html docs docs/_build/html."""

import sys
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

from plugchat_async import __version__
from plugchat_async.errors import DOCS_URL

sys.path.insert(0, str(Path(__file__).parent / "_ext"))
# As if started by this name also when it is `python -m sphinx`: cyclopts shows what follows it in each command's usage.
sys.argv[0] = "sphinx-build"

project = "plugchat_async"
author = "the plugchat_async authors"
project_copyright = "2026, the plugchat_async authors"
version = release = __version__
language = "en"

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "sphinx_design",
    "cyclopts.sphinx_ext",
    "signatures",
    "links",
]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]
nitpicky = True
smartquotes = False  # an apostrophe after a piece of code would become an opening quote

# Names of Python and of other libraries: their inventories would have to be fetched, and a build needs no network.
nitpick_ignore_regex = [
    ("py:.*", r"(abc|asyncio|collections|contextlib|datetime|os|pathlib|ssl|types|typing)(\..*)?"),
    ("py:.*", r"(aiohttp|distributed|fastapi|opentelemetry|pa|pandas|pd|pl|polars|pyarrow|pytest|starlette)(\..*)?"),
    ("py:.*", r"(plugchat_async\.(converter|_items)\.)?(ItemT(_co)?|T)"),
    ("py:.*", r"[A-Za-z]+"),  # builtins, and parts of types such as "None" or "Path"
]

copybutton_selector = "div:not(.highlight-text) > div.highlight > pre"  # what a program prints is not to be run
copybutton_exclude = ".linenos, .gp, .go"  # prompts, and what is printed below a command

myst_enable_extensions = ["attrs_block", "colon_fence", "deflist"]
myst_heading_anchors = 3

default_role = "literal"  # docstrings have code in single backticks
napoleon_numpy_docstring = False
napoleon_use_ivar = True  # an attrs class's "Attributes:" become a list, and no entries of their own
napoleon_attr_annotations = False  # the signature has the types
autoclass_content = "both"  # the class's docstring, and the arguments of its constructor
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
python_display_short_literal_types = True
python_maximum_signature_line_length = 88
add_module_names = True
toc_object_entries_show_parents = "hide"

html_theme = "furo"
html_title = f"plugchat_async {__version__}"
html_baseurl = DOCS_URL
html_static_path = ["_static"]
html_css_files = ["docs.css"]
html_copy_source = False
html_show_sphinx = False
pygments_style = "default"
pygments_dark_style = "monokai"

linkcheck_anchors = False  # GitHub's pages make theirs with scripts


def _set_language(_app: Sphinx, name: str, _template: str, context: dict[str, Any], _tree: object) -> None:
    """Say of a page in Portuguese that it is: screen readers and search engines go by that."""
    if name.startswith("pt-br/"):
        context["language"] = "pt-BR"


def setup(app: Sphinx) -> None:
    """Connect what is this site's alone."""
    app.connect("html-page-context", _set_language)
