"""Which part of a list is wanted: `limit`, `offset`, `sort_key`, `sort_dir`, and the link to the
next part."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any
from urllib.parse import urlencode

from abaca.errors import Invalid
from abaca.values import Page

_LARGEST = 2**62  # what both databases take as an offset


def is_paged(query: Mapping[str, str]) -> bool:
    """Whether a page of a list is requested, and not all of it (`limit=0` means all). Raises
    Invalid."""
    return _count(query, "limit") > 0


def read_page(query: Mapping[str, str], max_limit: int) -> Page:
    """The page asked for; its limit is always set, to `max_limit` at most. `limit=0` asks for as
    much as there may be. Raises Invalid.

    What may be sorted by, the domain knows.
    """
    limit = _count(query, "limit") or max_limit
    sort_key, sort_dir = query.get("sort_key"), query.get("sort_dir")
    if sort_dir is not None and sort_dir not in ("asc", "desc"):
        raise Invalid(f"Bad sort_dir '{sort_dir}': must be asc or desc.")
    return Page(
        limit=min(limit, max_limit),
        offset=_count(query, "offset"),
        sort_key=sort_key,
        sort_dir=sort_dir,
    )


def _count(query: Mapping[str, str], name: str) -> int:
    text = query.get(name)
    if text is None:
        return 0
    try:
        value = int(text)
    except ValueError:
        raise Invalid(f"{name} param must be an integer") from None
    if value < 0:
        raise Invalid(f"{name} param must be positive")
    return min(value, _LARGEST)


def next_links(
    url: str, query: Mapping[str, str], page: Page, items: Collection[Any]
) -> list[dict[str, str]]:
    """The link to the part after this one; empty when this one is not full. `url`: the list's,
    without query."""
    if page.limit is None or len(items) < page.limit:
        return []
    following = {**query, "limit": str(page.limit), "offset": str(page.offset + page.limit)}
    return [{"rel": "next", "href": f"{url}?{urlencode(following)}"}]
