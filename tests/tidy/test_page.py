"""The files of the web page: what is of others is as they published it, and nothing is loaded from
elsewhere."""

from __future__ import annotations

import hashlib
import re
import tomllib
from pathlib import Path

import pytest

STATIC = Path(__file__).parents[2] / "src/abaca/api/page/static"
VENDOR = STATIC / "vendor"
MODULES = tomllib.loads((VENDOR / "vendored.toml").read_text())["module"]
OURS = [path for path in sorted(STATIC.rglob("*")) if path.is_file() and VENDOR not in path.parents]
LICENCES = {"MIT", "BSD-2-Clause", "BSD-3-Clause", "ISC", "Apache-2.0"}
LINES_MAX = 400
ADDRESS = re.compile(r"\b(?:https?:)?//[\w-]+(?:\.[\w-]+)+")
NAMESPACE = "http://www.w3.org/2000/svg"


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module["name"])
def test_a_module_of_others_is_as_it_was_published(module: dict[str, str]) -> None:
    assert hashlib.sha256((VENDOR / module["file"]).read_bytes()).hexdigest() == module["sha256"]
    assert module["licence"] in LICENCES
    first_words = {"MIT": "MIT License", "Apache-2.0": "Apache License"}[module["licence"]]
    assert first_words in (VENDOR / module["licence_text"]).read_text()
    assert re.fullmatch(r"\d+(\.\d+)+", module["version"])


def test_every_file_of_others_is_listed() -> None:
    listed = {name for module in MODULES for name in (module["file"], module["licence_text"])}
    assert {path.name for path in VENDOR.iterdir()} == {*listed, "vendored.toml"}


@pytest.mark.parametrize("path", OURS, ids=lambda path: path.name)
def test_a_file_of_ours_names_no_other_place_and_makes_no_markup_of_text(path: Path) -> None:
    text = path.read_text().replace(NAMESPACE, "")
    assert ADDRESS.findall(text) == []
    for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "dangerouslySetInnerHTML"):
        assert word not in text
    assert not re.search(r"\beval\(|new Function|document\.write", text)
    assert len(text.splitlines()) <= LINES_MAX


def test_both_languages_have_every_text_that_is_used() -> None:
    english, german = (
        re.findall(r"^  (\w+):", (STATIC / name).read_text(), re.MULTILINE)
        for name in ("text_en.js", "text_de.js")
    )
    assert english == german == sorted(set(english))
    used = {
        name
        for path in STATIC.glob("*.js")
        for name in re.findall(r"\bt\(\"(\w+)\"", path.read_text())
    }
    assert used and used <= set(english)
