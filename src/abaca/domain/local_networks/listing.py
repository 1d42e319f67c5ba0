"""Parts of lists of local networks and of what belongs to them, as Neutron gives them: what matches
all filters, in the order of ids, after a marker."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa


def part(
    query: sa.Select[Any],
    table: sa.Table,
    column: Callable[[str], sa.ColumnElement[Any]],
    filters: Mapping[str, Sequence[Any]],
    limit: int | None,
    marker: str | None,
) -> sa.Select[Any]:
    """`query` of rows of `table`, narrowed. `filters`: the values that match, by the names that
    `column` knows."""
    query = query.where(*(column(name).in_(values) for name, values in filters.items()))
    if marker is not None:
        query = query.where(table.c.id > marker)
    return query.order_by(table.c.id).limit(limit)
