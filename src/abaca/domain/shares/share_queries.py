"""How shares are read: statements, filters and sort keys.

SQLAlchemy takes several times as long to build and compile a statement as the database takes to
answer it. So statements are built once and executed with parameters, including those of lists
without rare filters (ADR 0069).
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Container, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection, CursorResult

from abaca.db.session import Lookup
from abaca.db.tables import (
    availability_zones,
    share_export_locations,
    share_instances,
    share_type_extra_specs,
    share_types,
    shares,
)
from abaca.domain.rows.listings import (
    AGE,
    Condition,
    containing,
    having_pairs,
    part,
    sorted_by,
)
from abaca.domain.share_types.share_types import TENANT_VISIBLE
from abaca.domain.shares.share_instances import IS_ACTIVE
from abaca.values import Caller, Page

Conditions = Sequence[sa.ColumnElement[bool]]

_OF_SHARES: dict[str, sa.ColumnElement[Any]] = {
    "name": shares.c.display_name,
    "display_name": shares.c.display_name,
    "description": shares.c.display_description,
    "display_description": shares.c.display_description,
    "project_id": shares.c.project_id,
    "share_group_id": shares.c.share_group_id,
    "snapshot_id": shares.c.snapshot_id,
    "mount_point_name": shares.c.mount_point_name,
}
_COLUMNS: dict[str, sa.ColumnElement[Any]] = {
    **_OF_SHARES,
    "status": share_instances.c.status,
    "host": share_instances.c.host,
    "share_type_id": share_instances.c.share_type_id,
    "share_network_id": share_instances.c.share_network_id,
    "share_server_id": share_instances.c.share_server_id,
    "availability_zone": availability_zones.c.name,
}
_CONDITIONS: dict[str, Condition] = {
    **containing(
        {
            name: _COLUMNS[name]
            for name in ("name", "display_name", "description", "display_description")
        }
    ),
    "metadata": having_pairs(shares.c.metadata),
    "encryption_key_ref": lambda _wanted: sa.false(),  # no share has a key
}
_SORT_KEYS = {
    **_COLUMNS,
    **{
        name: shares.c[name]
        for name in ("id", "size", "share_proto", "created_at", "updated_at", "is_public")
    },
    "share_type": share_instances.c.share_type_id,
    "share_network": share_instances.c.share_network_id,
    "availability_zone_id": share_instances.c.availability_zone_id,
}
_INSTANCE_COLUMNS = ("status", "share_network_id", "share_server_id", "host", "progress")
_each = share_instances.alias("each_instance")
_rank = sa.case({"error": 2, "syncing": 1}, value=_each.c.access_rules_status, else_=0)
_worst = (
    sa.select(sa.func.max(_rank))
    .where(_each.c.share_id == shares.c.id)
    .correlate(shares)
    .scalar_subquery()
)
_ACCESS_RULES_STATUS = sa.case({2: "error", 1: "syncing"}, value=_worst, else_="active").label(
    "access_rules_status"
)
_HAS_INSTANCE = (share_instances.c.share_id == shares.c.id) & IS_ACTIVE
VERSION = {  # what a view is made of changes with one of these; zones do not change
    "updated_at": shares.c.updated_at,
    "instance_updated_at": share_instances.c.updated_at.label("instance_updated_at"),
    "type_updated_at": share_types.c.updated_at.label("type_updated_at"),
    "created_at": shares.c.created_at,  # never changes; it is what lists go by
}


def _select(*columns: Any) -> sa.Select[Any]:
    return (
        sa.select(*columns)
        .select_from(shares)
        .outerjoin(share_instances, _HAS_INSTANCE)
        .outerjoin(share_types, share_types.c.id == share_instances.c.share_type_id)
        .outerjoin(
            availability_zones, availability_zones.c.id == share_instances.c.availability_zone_id
        )
    )


# Each share has one active instance, so all joins could be inner ones. As outer joins they tell the
# database to begin with the shares, and are left out where no filter, no order and no column is
# about them.
_SHARES = _select(
    shares,
    share_instances.c.id.label("instance_id"),
    *[share_instances.c[name] for name in _INSTANCE_COLUMNS],
    _ACCESS_RULES_STATUS,
    share_instances.c.share_type_id.label("share_type"),
    share_types.c.name.label("share_type_name"),
    availability_zones.c.name.label("availability_zone"),
    VERSION["instance_updated_at"],
    VERSION["type_updated_at"],
)
_VERSIONS = _select(shares.c.id, *VERSION.values())
_IDS = (
    sa.select(shares.c.id)
    .select_from(shares)
    .outerjoin(share_instances, _HAS_INSTANCE)
    .outerjoin(
        availability_zones, availability_zones.c.id == share_instances.c.availability_zone_id
    )
)


def _one_for(query: sa.Select[Any], is_admin: bool, with_deferred: bool) -> sa.Select[Any]:
    query = query.where(shares.c.id == sa.bindparam("share_id"))
    if not is_admin:
        own = shares.c.project_id == sa.bindparam("project_id")
        query = query.where(sa.or_(own, shares.c.is_public))
    return query if with_deferred else query.where(shares.c.deletion_deferred_at.is_(None))


_WHO = tuple(itertools.product((False, True), repeat=2))
SHARE = {who: _one_for(_SHARES, *who) for who in _WHO}
"""One share, by whether an administrator asks, and whether deferred deletions are shown."""
VERSION_OF_SHARE = {who: Lookup(_one_for(_VERSIONS, *who)) for who in _WHO}
WITH_IDS = _SHARES.where(shares.c.id.in_(sa.bindparam("ids", expanding=True)))

_KEPT = 64  # statements of lists, and of counts; those that nobody asks for go first


class _Scope(NamedTuple):
    """What is part of the statement itself; everything else is a parameter."""

    is_own: bool  # they are the caller's project's, …
    or_public: bool  # … or public
    is_soft_deleted: bool
    with_deferred: bool  # with those whose deletion is deferred
    equal: tuple[str, ...]  # filters by a whole value


class Search:
    """Shares that match `filters`, as in `shares.find`."""

    def __init__(self, caller: Caller, filters: Mapping[str, Any], all_projects: bool) -> None:
        self._scope = _Scope(
            not (all_projects and caller.is_admin),
            bool(filters.get("is_public")),
            bool(filters.get("is_soft_deleted")),
            caller.is_shown_deferred,
            tuple(name for name in filters if name in _COLUMNS),
        )
        self._parameters = {name: filters[name] for name in self._scope.equal}
        if self._scope.is_own:
            self._parameters["callers_project"] = caller.project_id
        self._others = list(_others(caller, filters))

    def page(self, conn: Connection, page: Page) -> CursorResult[Any]:
        """Those of one page, in its order, with all columns of a view."""
        return conn.execute(_page(_SHARES, self._scope, self._others, page), self._parameters)

    def versions(self, conn: Connection, page: Page) -> Sequence[Sequence[Any]]:
        """The same shares as ids with the columns of VERSION."""
        if self._others or page.offset or page.after is not None:
            statement = _page(_VERSIONS, self._scope, self._others, page)
            return conn.execute(statement, self._parameters).all()
        return _first_page(self._scope, page).all(conn, self._parameters)

    def number(self, conn: Connection) -> int:
        """How many match."""
        if self._others:
            return conn.scalar(_count(self._scope, self._others), self._parameters) or 0
        row = _plain_count(self._scope).first(conn, self._parameters)
        return row[0] if row else 0


def is_by_network(page: Page, filters: Container[str]) -> bool:
    """Whether the page is ordered by the age of instances, which is that of their shares: it is in
    one index with the network."""
    return page.sort_key in (None, AGE) and "share_network_id" in filters


@functools.lru_cache(_KEPT)
def _first_page(scope: _Scope, page: Page) -> Lookup:
    return Lookup(_page(_VERSIONS, scope, [], page))


kept = _first_page.cache_info
"""How many statements of lists are kept, and the most that may be."""


@functools.lru_cache(_KEPT)
def _plain_count(scope: _Scope) -> Lookup:
    return Lookup(_count(scope, []))


def _count(scope: _Scope, others: Conditions) -> sa.Select[Any]:
    # SQLite leaves no join out of a count: it would look at the instance of every share
    is_joined = others or not _OF_SHARES.keys() >= set(scope.equal)
    what = _IDS if is_joined else sa.select(shares.c.id)
    return sa.select(sa.func.count()).select_from(_matching(what, scope, others).subquery())


def _page(what: sa.Select[Any], scope: _Scope, others: Conditions, page: Page) -> sa.Select[Any]:
    """`what`, a query on shares and joined tables, limited to one page of those that match, in its
    order."""
    column = sorted_by("Shares", page, _SORT_KEYS)
    if is_by_network(page, scope.equal):
        column = share_instances.c.created_at
    if page.after is not None:
        return part(_matching(what, scope, others), page, column, shares.c.id)
    order = (column.asc() if page.sort_dir == "asc" else column.desc(), shares.c.id)
    # an index gives the first page in its order
    if page.sort_key in (None, AGE) and not page.offset:
        # PostgreSQL plans a statement anew each time while it does not see how few rows are wanted.
        limit = (
            None if page.limit is None else sa.literal(page.limit, sa.Integer, literal_execute=True)
        )
        return _matching(what, scope, others).order_by(*order).limit(limit)
    # The page is found first, on as few tables as that takes, and only its rows are joined: deep
    # pages and other orders are cheap so.
    ids = (
        _matching(_IDS, scope, others)
        .order_by(*order)
        .limit(page.limit)
        .offset(page.offset)
        .subquery("page")
    )
    return what.join(ids, ids.c.id == shares.c.id).order_by(*order)


def _matching(query: sa.Select[Any], scope: _Scope, others: Conditions) -> sa.Select[Any]:
    """The shares that match, of a query on shares, their instances and zones."""
    if scope.is_own:
        own = shares.c.project_id == sa.bindparam("callers_project")
        query = query.where(sa.or_(own, shares.c.is_public) if scope.or_public else own)
    if not scope.with_deferred:
        query = query.where(shares.c.deletion_deferred_at.is_(None))
    deletion = shares.c.scheduled_to_be_deleted_at
    return query.where(
        deletion.is_not(None) if scope.is_soft_deleted else deletion.is_(None),
        *[_COLUMNS[name] == sa.bindparam(name) for name in scope.equal],
        *others,
    )


def _others(caller: Caller, filters: Mapping[str, Any]) -> Iterator[sa.ColumnElement[bool]]:
    """Conditions of the rarer filters."""
    for name, wanted in filters.items():
        if name in _CONDITIONS:
            yield _CONDITIONS[name](wanted)
        elif name == "extra_specs":
            # What others than administrators do not see they cannot look for, either.
            if not caller.is_admin and wanted.keys() - TENANT_VISIBLE:
                yield sa.false()
            for key, text in wanted.items():
                yield share_instances.c.share_type_id.in_(_types_with(key, text))
        elif name in ("export_location_id", "export_location_path"):
            table = share_export_locations
            having = sa.select(table.c.share_instance_id).where(
                (table.c.id if name.endswith("_id") else table.c.path) == wanted
            )
            having = having if caller.is_admin else having.where(~table.c.is_admin_only)
            yield share_instances.c.id.in_(having)


def _types_with(key: str, value: str) -> sa.Select[Any]:
    specs = share_type_extra_specs
    return sa.select(specs.c.share_type_id).where(
        specs.c.spec_key == key, sa.func.lower(specs.c.spec_value) == str(value).lower()
    )
