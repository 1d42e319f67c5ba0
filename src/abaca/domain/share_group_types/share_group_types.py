"""Share group types and their group specs: which share types a group of shares may hold, and what
its pool must be able to do.

A view has id, name, is_public, group_specs (text to text), share_types (ids), created_at,
updated_at.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple
from uuid import uuid4

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.exc import IntegrityError

from abaca.db.session import dicts, utcnow
from abaca.db.tables import (
    share_group_type_projects,
    share_group_type_share_type_mappings,
    share_group_type_specs,
    share_group_types,
    share_groups,
)
from abaca.domain.rows.listings import Listing, Rows
from abaca.domain.rows.offered_types import KindOfType, check_spec
from abaca.errors import Conflict, Invalid, Missing
from abaca.values import Caller

KIND = KindOfType(
    noun="share group type",
    types=share_group_types,
    projects=share_group_type_projects,
    specs=share_group_type_specs,
    key="share_group_type_id",
)
_MAPPINGS = share_group_type_share_type_mappings


class GroupType(NamedTuple):
    """What a new group has to fit: the share types that it may hold, and what its pool must be able
    to do."""

    id: str
    share_type_ids: frozenset[str]
    specs: dict[str, str]


def create(
    conn: Connection,
    *,
    name: str,
    is_public: bool,
    share_type_ids: Collection[str],
    group_specs: Mapping[str, str],
) -> dict[str, Any]:
    """Make a type. Raises Invalid (group specs), Conflict (the name is taken), Missing (a share
    type was deleted meanwhile)."""
    check_specs(group_specs)
    type_id = str(uuid4())
    new = {"id": type_id, "name": name, "is_public": is_public, "created_at": utcnow()}
    try:
        conn.execute(sa.insert(share_group_types).values(new))
    except IntegrityError:
        raise Conflict(f"Share group type {name} already exists.") from None
    pairs = [{"share_group_type_id": type_id, "share_type_id": id_} for id_ in share_type_ids]
    try:
        conn.execute(sa.insert(_MAPPINGS), pairs)
    except IntegrityError:
        raise Missing(
            f"One of the share types {', '.join(share_type_ids)} no longer exists."
        ) from None
    KIND.add_specs(conn, type_id, group_specs)
    return _one(conn, sa.select(share_group_types), share_group_types.c.id == type_id, type_id)


def get(conn: Connection, caller: Caller, type_id: str) -> dict[str, Any]:
    """One type by id. Raises Missing, also for types that are neither public nor opened to the
    caller's project."""
    return _one(conn, KIND.visible(caller), share_group_types.c.id == type_id, type_id)


def get_by_name(conn: Connection, caller: Caller, name: str) -> dict[str, Any]:
    """One type by name. Raises Missing as `get` does."""
    return _one(conn, KIND.visible(caller), share_group_types.c.name == name, name)


def delete(conn: Connection, caller: Caller, type_id: str) -> None:
    """Delete a type. Raises Missing, Invalid (share groups use it)."""
    get(conn, caller, type_id)
    KIND.lock(conn, type_id)  # whoever makes a group of it is waited for
    groups = sa.select(share_groups.c.id).where(share_groups.c.share_group_type_id == type_id)
    if conn.execute(groups.limit(1)).first():
        raise Invalid(
            f"Share group type {type_id} is still in use: share groups of it are present."
        )
    conn.execute(sa.delete(share_group_types).where(share_group_types.c.id == type_id))


def hold(conn: Connection, caller: Caller, type_id: str) -> GroupType:
    """A type that the caller's project may use, for a new group: locked, so that it neither changes
    nor goes before the group is there. Raises Missing."""
    KIND.lock(conn, type_id)
    held = get(conn, caller, type_id)
    return GroupType(type_id, frozenset(held["share_types"]), held["group_specs"])


def set_specs(
    conn: Connection, caller: Caller, type_id: str, group_specs: Mapping[str, str]
) -> None:
    """Add group specs, or change those that are there. Raises Missing, Invalid."""
    get(conn, caller, type_id)
    KIND.lock(conn, type_id)
    check_specs(group_specs)
    KIND.set_specs(conn, type_id, group_specs)


def get_spec(conn: Connection, caller: Caller, type_id: str, key: str) -> str:
    """The value of one group spec. Raises Missing (type or key)."""
    specs: dict[str, str] = get(conn, caller, type_id)["group_specs"]
    if key not in specs:
        raise _no_spec(type_id, key)
    return specs[key]


def delete_spec(conn: Connection, caller: Caller, type_id: str, key: str) -> None:
    """Delete one group spec. Raises Missing (type or key)."""
    get(conn, caller, type_id)
    KIND.lock(conn, type_id)
    if not KIND.delete_spec(conn, type_id, key):
        raise _no_spec(type_id, key)


def check_specs(group_specs: Mapping[str, str]) -> None:
    """Raises Invalid for the first invalid key or value."""
    for key, value in group_specs.items():
        check_spec("group_spec", key, value)


def _no_spec(type_id: str, key: str) -> Missing:
    return Missing(f"Share group type {type_id} has no group spec with key {key}.")


def _one(
    conn: Connection, query: sa.Select[Any], condition: sa.ColumnElement[bool], named: str
) -> dict[str, Any]:
    rows = _views(conn, dicts(conn.execute(query.where(condition))))
    if not rows:
        raise KIND.missing(named)
    return rows[0]


def _views(conn: Connection, rows: Rows) -> Rows:
    """Rows with their group specs and share types, in two statements."""
    ids = [row["id"] for row in rows]
    specs, share_types = KIND.specs_of(conn, ids), defaultdict(list)
    query = sa.select(_MAPPINGS).where(_MAPPINGS.c.share_group_type_id.in_(ids))
    for pair in conn.execute(query.order_by(_MAPPINGS.c.share_type_id)):
        share_types[pair.share_group_type_id].append(pair.share_type_id)
    return [
        {**row, "group_specs": specs[row["id"]], "share_types": share_types[row["id"]]}
        for row in rows
    ]


def _having_specs(wanted: Mapping[str, str]) -> sa.ColumnElement[bool]:
    """SQL condition: the type has all of these specs."""
    table = share_group_type_specs.c
    with_them = (
        sa.select(table.share_group_type_id)
        .where(sa.tuple_(table.spec_key, table.spec_value).in_(list(wanted.items())))
        .group_by(table.share_group_type_id)
        .having(sa.func.count() == len(wanted))
    )
    return share_group_types.c.id.in_(with_them) if wanted else sa.true()


def _select(caller: Caller, every: bool) -> sa.Select[Any]:
    """`every`: those that are opened to other projects, too."""
    query = sa.select(share_group_types)
    return query if every else query.where(KIND.open_to(caller))


LISTING = Listing(
    noun="Share group types",
    select=_select,
    id_=share_group_types.c.id,
    conditions={
        "is_public": share_group_types.c.is_public.is_,
        "group_specs": _having_specs,
    },
    sort_keys={
        name: share_group_types.c[name]
        for name in ("id", "name", "is_public", "created_at", "updated_at")
    },
    view=_views,
)
"""The types that a caller sees; `all_projects` is for administrators only."""
