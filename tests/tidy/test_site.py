"""The documentation as a site: it builds without a warning, its links lead somewhere, and reading
and searching it asks no other host for anything.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

pytestmark = pytest.mark.slow("the site is built")

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
BUILD = ["--quiet", "--fail-on-warning", "--keep-going", "--nitpicky"]
# What a browser fetches by itself, by tag; a link that a reader has to follow is none.
FETCHED = {"src", "srcset", "poster", "data"}
FETCHED_RELATIONS = {"stylesheet", "icon", "preload", "prefetch", "preconnect", "modulepreload"}
# In style sheets and scripts. Addresses that only name something (an XML namespace, a licence,
# a page in a comment) are not loaded.
LOADS = re.compile(
    r"""(?:url\(\s*|@import\s+|\bimport\s*\(?\s*|\bfrom\s+|fetch\(\s*|importScripts\(\s*"""
    r"""|\.(?:src|href)\s*=\s*|\bopen\(\s*["']\w+["']\s*,\s*)["'`]?(?:https?:)?//[^\s"'`)]+"""
)


@dataclass
class Page(HTMLParser):
    """What one page holds: anchors, links, what it fetches, and pictures without a description."""

    anchors: set[str] = field(default_factory=set)
    links: list[str] = field(default_factory=list)
    fetched: list[str] = field(default_factory=list)
    bare_pictures: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.anchors.update(given[name] for name in ("id", "name") if name in given)
        self.fetched += [given[name] for name in FETCHED if name in given]
        if "href" in given:
            is_fetched = tag == "link" and FETCHED_RELATIONS & set(given.get("rel", "").split())
            (self.fetched if is_fetched else self.links).append(given["href"])
        if tag == "img" and not given.get("alt"):
            self.bare_pictures.append(given.get("src", ""))


def read(path: Path) -> Page:
    page = Page()
    page.feed(path.read_text())
    return page


def build(source: Path, site: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "sphinx", *BUILD, "-d", str(site.with_name("doctrees"))]
    command += ["-c", str(source / "docs"), str(source), str(site)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("docs") / "site"
    done = build(ROOT, folder)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Page]:
    return {path: read(path) for path in site.rglob("*.html")}


def is_elsewhere(address: str) -> bool:
    return bool(urlsplit(address).netloc) and not address.startswith("data:")


def test_links_and_anchors_lead_somewhere(site: Path, pages: dict[Path, Page]) -> None:
    broken = []
    for path, page in pages.items():
        for link in page.links + page.fetched:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            anchor = unquote(parts.fragment)
            if not target.exists() or (
                anchor and target in pages and anchor not in pages[target].anchors
            ):
                broken.append(f"{path.relative_to(site)}: {link}")
    assert broken == [] and (site / "docs/index.html") in pages


def test_every_document_is_a_page_that_the_navigation_leads_to(pages: dict[Path, Page]) -> None:
    documents = {path.relative_to(ROOT) for path in DOCS.rglob("*.md")}
    (home,) = [(path, page) for path, page in pages.items() if path.match("docs/index.html")]
    reached, waiting = set(), [home[0]]
    while waiting:
        path = waiting.pop()
        if path in pages and path not in reached:
            reached.add(path)
            links = {urlsplit(link).path for link in pages[path].links}
            waiting += [Path(os.path.normpath(path.parent / link)) for link in links]
    root = home[0].parents[1]
    assert {
        document for document in documents if root / document.with_suffix(".html") not in reached
    } == set()


def test_nothing_is_fetched_from_another_host(site: Path, pages: dict[Path, Page]) -> None:
    fetched = {address for page in pages.values() for address in page.fetched}
    assert [address for address in fetched if is_elsewhere(address)] == []
    parts = [path for kind in ("css", "js", "svg", "html") for path in site.rglob(f"*.{kind}")]
    assert len(parts) > len(pages) + 5
    loads = {path.name: found for path in parts if (found := LOADS.findall(path.read_text()))}
    assert loads == {}


@pytest.mark.parametrize(
    ("text", "is_load"),
    [
        ("@font-face { src: url(https://fonts.example/a.woff2) }", True),
        ("@import 'https://example.com/a.css';", True),
        ('importScripts("//cdn.example/lunr.js")', True),
        ('script.src = "https://cdn.example/mermaid.js"', True),
        ("import x from 'https://cdn.example/x.js'", True),
        ("/* see https://example.com/licence */", False),
        ('xmlns="http://www.w3.org/2000/svg"', False),
        ("url(../fonts/own.woff2)", False),
    ],
)
def test_what_would_be_fetched_is_recognised(text: str, is_load: bool) -> None:
    assert bool(LOADS.search(text)) == is_load


def test_the_search_works_without_a_server(site: Path, pages: dict[Path, Page]) -> None:
    """Its index is a script of the site, which a browser runs from a file too, and knows words."""
    assert "../searchindex.js" in pages[site / "docs" / "index.html"].fetched or (
        "searchindex.js" in pages[site / "search.html"].fetched
    )
    index = (site / "searchindex.js").read_text()
    assert index.startswith("Search.setIndex(") and '"ganesha":' in index


def test_pictures_have_descriptions(pages: dict[Path, Page]) -> None:
    assert {
        path.name: page.bare_pictures for path, page in pages.items() if page.bare_pictures
    } == {}


@pytest.mark.parametrize(
    "source", sorted((DOCS / "pictures").glob("*.dot")), ids=lambda path: path.stem
)
def test_a_drawing_is_of_its_text(source: Path) -> None:
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    if f"<!-- {digest} -->" not in source.with_suffix(".svg").read_text():
        pytest.fail(f"{source.name} has changed: run `make pictures` and commit", pytrace=False)


def test_what_is_wrong_ends_the_build(tmp_path: Path) -> None:
    docs = tmp_path / "tree" / "docs"
    (docs / "site").mkdir(parents=True)
    (docs / "conf.py").write_bytes((DOCS / "conf.py").read_bytes())
    (docs / "other.md").write_text("# Other\n")
    index = docs / "index.md"
    index.write_text("# Home\n\n## Pages\n\n- [other](other.md)\n")
    done = build(docs.parent, tmp_path / "right")
    assert done.returncode == 0, done.stderr
    wrong = ["[a](gone.md)", "[a](other.md#no-anchor)", "![a](gone.svg)", "```{nonsense}\n```"]
    index.write_text("\n\n".join([index.read_text(), *wrong]))
    (docs / "orphan.md").write_text("# In no navigation\n")
    done = build(docs.parent, tmp_path / "wrong")
    told = ("gone", "no-anchor", "gone.svg", "nonsense", "orphan.md")
    assert done.returncode != 0 and [what for what in told if what not in done.stderr] == []
