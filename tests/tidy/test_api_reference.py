"""The API reference, and the page that says who may do what, are what the code says now, and their
links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from abaca.api import access
from abaca.api.reference import page
from abaca.api.routing import ROUTES

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "api-reference.md"


def test_the_page_is_not_stale() -> None:
    pages = {PAGE: page(ROUTES), PAGE.with_name("api-access.md"): access.page(ROUTES)}
    stale = [
        str(path.relative_to(PAGE.parents[2]))
        for path, text in pages.items()
        if path.read_text() != text
    ]
    if stale:
        pytest.fail(
            f"{' and '.join(stale)}: not what the code says now. Run `make api-reference` and "
            "commit what it writes.",
            pytrace=False,
        )


def test_every_route_and_every_link_of_it_is_there() -> None:
    text = page(ROUTES)
    headings = [
        re.sub(r"[^\w -]", "", line.lstrip("# ").lower()).replace(" ", "-")
        for line in text.splitlines()
        if line.startswith("#")
    ]
    assert len(headings) == len(set(headings))
    assert set(re.findall(r"\]\(#([^)]+)\)", text)) <= set(headings)
    for route in ROUTES:
        assert f"`{route.method} {route.path}`" in text and (
            route.policy is None or f"`{route.policy}`" in text
        )
