"""Lists: a query scoped by the caller, conditions by filter, orders by sort key; read in pages, and
counted.

Pages of long lists stay consistent while rows come and go, if the list is in order of age: by age
and id.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from abaca.db.json_pairs import HasPair
from abaca.db.session import dicts
from abaca.errors import Invalid
from abaca.values import Caller, Page

AGE = "created_at"

Rows = list[dict[str, Any]]
Column = sa.ColumnElement[Any]
Condition = Callable[[Any], sa.ColumnElement[bool]]
"""A filter: its value → what it wants of a row."""


def equal(columns: Mapping[str, Column]) -> dict[str, Condition]:
    """Filters by a whole value."""
    return {name: column.__eq__ for name, column in columns.items()}


def containing(columns: Mapping[str, Column]) -> dict[str, Condition]:
    """Filters by a part of a text: those named `name~`."""

    def part_of(column: Column) -> Condition:
        return lambda wanted: column.contains(wanted, autoescape=True)

    return {f"{name}~": part_of(column) for name, column in columns.items()}


def having_pairs(column: Column) -> Condition:
    """A filter by pairs in a JSON column; its value is a dict."""
    return lambda wanted: sa.and_(
        sa.true(), *[HasPair(column, key, text) for key, text in wanted.items()]
    )


def created(column: Column) -> dict[str, Condition]:
    """The filters by time of creation."""
    return {"created_since": column.__ge__, "created_before": column.__le__}


def among(column: Column, chosen: Callable[[Any], sa.Select[Any]]) -> Condition:
    """A filter by the result of another query."""
    return lambda wanted: column.in_(chosen(wanted))


@dataclass(frozen=True)
class Listing:
    """Rows of one kind, the newest first unless sorted otherwise; `id_` breaks ties.

    `noun`: their name in error messages. `select(caller, all_projects)`: the rows that a caller may
    see, of all projects or of the caller's. `view(conn, rows)`: what else belongs to rows, in a
    fixed number of statements.
    """

    noun: str
    select: Callable[[Caller, bool], sa.Select[Any]]
    id_: sa.ColumnElement[str]
    conditions: Mapping[str, Condition]
    sort_keys: Mapping[str, Column]
    view: Callable[[Connection, Rows], Rows] = lambda _conn, rows: rows

    def find(
        self,
        conn: Connection,
        caller: Caller,
        filters: Mapping[str, Any],
        page: Page,
        all_projects: bool = False,
    ) -> Rows:
        """The rows of a page. `filters`: values by the names of `conditions`. Raises Invalid for an
        unknown sort key."""
        return self.found(conn, self.select(caller, all_projects), filters, page)

    def count(
        self,
        conn: Connection,
        caller: Caller,
        filters: Mapping[str, Any],
        all_projects: bool = False,
    ) -> int:
        """How many rows `find` returns without a page."""
        return counted(conn, self.matching(self.select(caller, all_projects), filters))

    def found(
        self, conn: Connection, query: sa.Select[Any], filters: Mapping[str, Any], page: Page
    ) -> Rows:
        """As `find`, for a query that is already scoped."""
        order = sorted_by(self.noun, page, self.sort_keys)
        return self.view(
            conn, dicts(conn.execute(part(self.matching(query, filters), page, order, self.id_)))
        )

    def matching(self, query: sa.Select[Any], filters: Mapping[str, Any]) -> sa.Select[Any]:
        """The rows of `query` that match all filters."""
        return query.where(*[self.conditions[name](wanted) for name, wanted in filters.items()])


def sorted_by(noun: str, page: Page, sort_keys: Mapping[str, Column]) -> Column:
    """The sort column of a page. Raises Invalid for an unknown sort key."""
    key = page.sort_key or AGE
    if key not in sort_keys:
        raise Invalid(
            f"{noun} cannot be sorted by '{key}'. Known sort keys: {', '.join(sorted(sort_keys))}."
        )
    return sort_keys[key]


def counted(conn: Connection, query: sa.Select[Any]) -> int:
    """How many rows a query has."""
    return conn.scalar(sa.select(sa.func.count()).select_from(query.subquery())) or 0


def part(
    query: sa.Select[Any], page: Page, order: Column, id_: sa.ColumnElement[str]
) -> sa.Select[Any]:
    """The rows of `query` on the page, in its order. `order`: the sort column; `id_` breaks
    ties."""
    ascending = page.sort_dir == "asc"
    if page.after is not None:
        created_at, last_id = page.after
        query = query.where(
            (order > created_at if ascending else order < created_at)
            | ((order == created_at) & (id_ > last_id))
        )
    return (
        query.order_by(order.asc() if ascending else order.desc(), id_)
        .limit(page.limit)
        .offset(page.offset)
    )


def following(page: Page, count: int, last: Sequence[tuple[datetime, str]]) -> Page | None:
    """The page after one that had `count` rows; None after the last one.

    `last`: (created_at, id) of its last row; empty if the list has another order.
    """
    if page.limit is None or count < page.limit:
        return None
    if not last or page.sort_key not in (None, AGE):
        return msgspec.structs.replace(page, offset=page.offset + count)
    return msgspec.structs.replace(page, offset=0, after=last[0])
