"""Usage of quotas, and the refusal of what would exceed them, always in the transaction that makes
or removes what is counted.

The usage of a project is one row, changed and read in one statement: concurrent requests of a
project wait for each other there, so a limit is never exceeded. Rows are locked in this order:
share network, share group, group snapshot, shares by id with their instances, snapshots, usages
(project, user, share type; of several share types by id; of two projects by project id), pools. The
limits are in `quotas`.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection

from abaca.db.session import is_sqlite
from abaca.db.tables import quota_usages
from abaca.domain.capacity import quotas
from abaca.domain.capacity.quotas import Scope
from abaca.errors import OverQuota

COUNTED = tuple(column.name for column in quota_usages.c if not column.primary_key)


class Owner(NamedTuple):
    """Against whose quotas something is counted."""

    project_id: str
    user_id: str | None


def claim(
    conn: Connection,
    project_id: str,
    user_id: str | None,
    share_type_id: str | None = None,
    *,
    defaults: Mapping[str, int] | None,
    share_size: int | None = None,
    **deltas: int,
) -> None:
    """Add `deltas` (of COUNTED) to the usage of the project, its user and its share type, in two
    statements.

    `defaults`: the limits where none are set; None: no limits. `share_size`: the new size of the
    share, for per_share_gigabytes. Raises OverQuota.
    """
    used = _count(conn, _scopes(project_id, user_id, share_type_id), deltas)
    if defaults is None:
        return
    for scope, limits in quotas.limits_in_force(conn, list(used), defaults).items():
        largest = limits.get("per_share_gigabytes", -1)
        if share_size is not None and 0 <= largest < share_size:
            raise OverQuota(
                f"Requested share size {share_size} is larger than maximum allowed limit {largest}."
            )
        for resource, delta in deltas.items():
            limit, now = limits.get(resource, -1), used[scope][resource]
            if 0 <= limit < now:
                raise OverQuota(
                    f"Quota exceeded for {resource}{scope.spoken()}: {delta} asked for, "
                    f"{now - delta} of {limit} in use already."
                )


def release(
    conn: Connection,
    project_id: str,
    user_id: str | None,
    share_type_id: str | None = None,
    **amounts: int,
) -> None:
    """Subtract amounts, in one statement."""
    _count(
        conn,
        _scopes(project_id, user_id, share_type_id),
        {resource: -amount for resource, amount in amounts.items()},
    )


def move(
    conn: Connection,
    source: Owner,
    target: Owner,
    share_type_id: str | None = None,
    *,
    defaults: Mapping[str, int] | None,
    share_size: int | None = None,
    **amounts: int,
) -> None:
    """Count `amounts` against `target` and no longer against `source`, as `claim` and `release` do.

    The usage of the project with the lower id is changed first, whoever gives: two moves in
    opposite directions do not wait for each other. Raises OverQuota.
    """

    def take() -> None:
        release(conn, source.project_id, source.user_id, share_type_id, **amounts)

    def give() -> None:
        claim(
            conn,
            target.project_id,
            target.user_id,
            share_type_id,
            defaults=defaults,
            share_size=share_size,
            **amounts,
        )

    if source.project_id <= target.project_id:
        take()
        give()
    else:
        give()
        take()


def in_use(conn: Connection, scope: Scope, *, held: bool = False) -> dict[str, int]:
    """The usage of a scope; 0 where there is none. `held`: its row stays locked until the
    transaction ends."""
    query = sa.select(quota_usages).where(quotas.of_scope(quota_usages, scope))
    row = conn.execute(query.with_for_update() if held else query).mappings().one_or_none()
    return {resource: row[resource] if row else 0 for resource in COUNTED}


def forget_share_type(conn: Connection, share_type_id: str) -> None:
    """Delete usages and limits of a deleted share type."""
    quotas.forget_share_type(conn, share_type_id)
    conn.execute(sa.delete(quota_usages).where(quota_usages.c.share_type_id == share_type_id))


def _scopes(project_id: str, user_id: str | None, share_type_id: str | None) -> list[Scope]:
    """The project's scope first; every request uses this order, so that no two wait for each
    other."""
    scopes = [Scope(project_id=project_id)]
    scopes += [Scope(project_id=project_id, user_id=user_id)] if user_id else []
    return scopes + (
        [Scope(project_id=project_id, share_type_id=share_type_id)] if share_type_id else []
    )


def _count(
    conn: Connection, scopes: list[Scope], deltas: Mapping[str, int]
) -> dict[Scope, dict[str, Any]]:
    """Add the deltas to each scope's row, which is created if necessary; returns the new values.
    Never below 0."""
    values: dict[str, Any] = {
        f"first_{resource}": max(deltas.get(resource, 0), 0) for resource in COUNTED
    }
    values |= {f"delta_{resource}": delta for resource, delta in deltas.items()}
    values |= {
        f"{name}_{number}": value
        for number, scope in enumerate(scopes)
        for name, value in scope.columns().items()
    }
    rows = conn.execute(
        _counting(is_sqlite(conn), len(scopes), tuple(sorted(deltas))), values
    ).mappings()
    by_columns = {tuple(scope.columns().values()): scope for scope in scopes}
    return {
        by_columns[row["project_id"], row["user_id"], row["share_type_id"]]: dict(row)
        for row in rows
    }


@functools.cache
def _counting(on_sqlite: bool, scopes: int, resources: tuple[str, ...]) -> Any:
    """The statement, built once: with several VALUES it would be compiled each time."""
    table, key = quota_usages.c, [column.name for column in quota_usages.primary_key]
    rows = [
        sa.select(
            *[sa.bindparam(f"{name}_{number}", type_=table[name].type) for name in key],
            *[sa.bindparam(f"first_{name}", type_=table[name].type) for name in COUNTED],
        ).where(sa.true())  # else SQLite takes the ON of the upsert for that of a join
        for number in range(scopes)
    ]
    changes = {}
    for name in resources:
        changed = table[name] + sa.bindparam(f"delta_{name}", type_=table[name].type)
        changes[name] = sa.case((changed < 0, 0), else_=changed)
    insert = (
        (sqlite if on_sqlite else postgresql)
        .insert(quota_usages)
        .from_select([*key, *COUNTED], sa.union_all(*rows))
    )
    return insert.on_conflict_do_update(index_elements=key, set_=changes).returning(quota_usages)
