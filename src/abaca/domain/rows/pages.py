"""Parts of long lists that follow each other, also while rows come and go: by age and id, where a list is in the order of age."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa

from abaca.values import Page

AGE = "created_at"


def part(query: sa.Select[Any], page: Page, order: sa.ColumnElement[Any], id_: sa.ColumnElement[str]) -> sa.Select[Any]:
    """The rows of `query` that the page wants, in its order. `order`: the column that it is sorted by; `id_` breaks ties."""
    ascending = page.sort_dir == "asc"
    if page.after is not None:
        created_at, last_id = page.after
        query = query.where((order > created_at if ascending else order < created_at) | ((order == created_at) & (id_ > last_id)))
    return query.order_by(order.asc() if ascending else order.desc(), id_).limit(page.limit).offset(page.offset)


def following(page: Page, count: int, last: Sequence[tuple[datetime, str]]) -> Page | None:
    """The page after one that had `count` rows; None when that was the last.

    `last`: (created_at, id) of its last row; empty when the list goes by something else, or by another time.
    """
    if page.limit is None or count < page.limit:
        return None
    if not last or page.sort_key not in (None, AGE):
        return msgspec.structs.replace(page, offset=page.offset + count)
    return msgspec.structs.replace(page, offset=0, after=last[0])
