"""How Sphinx makes a site of this repository's Markdown: `make docs`. Which pages there are, and in
which order, is in `index.md`."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

from pygments.lexers.special import TextLexer
from sphinx.application import Sphinx

project = "Abaca"
author = "the authors of Abaca"
html_title = "Abaca"
root_doc = "docs/index"
extensions = ["myst_parser", "sphinx.ext.autodoc"]
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
default_role = "code"  # docstrings are written with single backticks
nitpick_ignore_regex = [("py:.*", ".*")]  # types in signatures, most of which have no page
include_patterns = ["*.md", "docs/**"]
# README is GitHub's first page, index.md ours. Other folders are not even looked through.
ROOT = Path(__file__).parents[1]
exclude_patterns = ["README.md", "docs/site"]
exclude_patterns += [path.name for path in ROOT.iterdir() if path.is_dir() and path.name != "docs"]
# Headings get the anchors that they have elsewhere; a link to one that is not there is a warning.
myst_heading_anchors = 4

html_theme = "furo"
html_static_path: list[str] = []
html_extra_path = ["site"]  # index.html, which leads to docs/index.html
html_copy_source = False
html_show_sphinx = False
html_show_copyright = False

SECTION = re.compile(r"^## (.+)$", re.MULTILINE)
PAGE = re.compile(r"\]\(([\w./-]+)\.md\)")


def add_navigation(_app: Sphinx, document: str, source: list[str]) -> None:
    """The navigation is what `index.md` lists, section by section; below the list of decisions are
    those that it lists."""
    if document == root_doc:
        _start, *sections = SECTION.split(source[0])
        for caption, text in zip(sections[::2], sections[1::2], strict=True):
            source[0] += toctree(document, text, caption)
    elif document == "docs/adr/README":
        source[0] += toctree(document, source[0])


def toctree(document: str, text: str, caption: str = "") -> str:
    folder = posixpath.dirname(document)
    pages = [f"/{posixpath.normpath(posixpath.join(folder, page))}" for page in PAGE.findall(text)]
    return "\n".join(
        [
            "\n```{toctree}",
            ":hidden:",
            *([f":caption: {caption}"] if caption else []),
            "",
            *dict.fromkeys(pages),
            "```\n",
        ]
    )


def setup(app: Sphinx) -> None:
    app.add_lexer("haproxy", TextLexer)
    app.connect("source-read", add_navigation)
