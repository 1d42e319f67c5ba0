"""Quotas: the limits of a project, of its users and of its share types. Usage is in `quota_usages`.

A project's limit is its own, otherwise that of quota class "default", otherwise that of the
configuration. Users and share types have the project's limits unless lower ones are set. -1: no
limit.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from abaca.db.session import upsert, utcnow
from abaca.db.tables import quota_classes, quotas
from abaca.errors import Invalid
from abaca.values import Value

DEFAULT_CLASS = "default"


class Scope(Value):
    """Whose limit or usage: a project's, or that of one of its users or share types."""

    project_id: str
    user_id: str | None = None
    share_type_id: str | None = None

    def columns(self) -> dict[str, str]:
        """As stored in the tables."""
        return {
            "project_id": self.project_id,
            "user_id": self.user_id or "",
            "share_type_id": self.share_type_id or "",
        }

    @property
    def is_project(self) -> bool:
        """Whether it is the whole project."""
        return not (self.user_id or self.share_type_id)

    def spoken(self) -> str:
        """For messages: whose it is; empty for the project itself."""
        return (
            f" of user {self.user_id}"
            if self.user_id
            else f" of share type {self.share_type_id}"
            if self.share_type_id
            else ""
        )


def of_scope(table: sa.Table, scope: Scope) -> Any:
    """SQL condition: the row is of exactly this scope."""
    return sa.and_(*[table.c[name] == value for name, value in scope.columns().items()])


def class_limits(conn: Connection, class_name: str, defaults: Mapping[str, int]) -> dict[str, int]:
    """The limits of a quota class, with the configuration's where it sets none."""
    rows = conn.execute(
        sa.select(quota_classes.c.resource, quota_classes.c.hard_limit).where(
            quota_classes.c.class_name == class_name
        )
    )
    return {**defaults, **{resource: limit for resource, limit in rows if resource in defaults}}


def limits_in_force(
    conn: Connection, scopes: Sequence[Scope], defaults: Mapping[str, int]
) -> dict[Scope, dict[str, int]]:
    """Scope → resource → limit, in one statement; for users and share types only the limits set for
    them."""
    limits: dict[Scope, dict[str, int]] = {
        scope: dict(defaults) if scope.is_project else {} for scope in scopes
    }
    by_columns = {tuple(scope.columns().values()): scope for scope in scopes}
    values = {
        f"{name}_{number}": value
        for number, scope in enumerate(scopes)
        for name, value in scope.columns().items()
    }
    rows = conn.execute(_limits(len(scopes)), values).all()
    for row in sorted(rows, key=lambda row: row.project_id != ""):
        wanted = (
            [by_columns[tuple(row[:3])]]
            if row.project_id
            else [scope for scope in scopes if scope.is_project]
        )
        for scope in wanted:
            limits[scope][row.resource] = row.hard_limit
    return limits


@functools.cache
def _limits(scopes: int) -> sa.Executable:
    """The limits of several scopes and of the default class, in one statement, built once."""
    key = ("project_id", "user_id", "share_type_id")
    default = sa.select(
        *[sa.literal("").label(name) for name in key],
        quota_classes.c.resource,
        quota_classes.c.hard_limit,
    )
    any_of_them = sa.or_(
        *[
            sa.and_(*[quotas.c[name] == sa.bindparam(f"{name}_{number}") for name in key])
            for number in range(scopes)
        ]
    )
    own = sa.select(*[quotas.c[name] for name in (*key, "resource", "hard_limit")]).where(
        any_of_them
    )
    return sa.union_all(default.where(quota_classes.c.class_name == DEFAULT_CLASS), own)


def limits(conn: Connection, scope: Scope, defaults: Mapping[str, int]) -> dict[str, int]:
    """All limits of a scope."""
    project = Scope(project_id=scope.project_id)
    found = limits_in_force(conn, [project, *([] if scope.is_project else [scope])], defaults)
    return {**found[project], **found[scope]}


def set_limits(
    conn: Connection,
    scope: Scope,
    wanted: Mapping[str, int],
    defaults: Mapping[str, int],
    used: Mapping[str, int] | None,
) -> None:
    """Set some limits. Raises Invalid for one below `used` (None: forced), or above the project's
    for one of its users or share types."""
    around = limits(conn, Scope(project_id=scope.project_id), defaults)
    for resource, limit in wanted.items():
        if used is not None and 0 <= limit < used.get(resource, 0):
            raise Invalid(
                f"Quota limit {limit} for {resource} must be greater than or equal to already "
                f"used {used[resource]}."
            )
        if used is not None and not scope.is_project and 0 <= around[resource] < limit:
            raise Invalid(
                f"Quota limit {limit} for {resource} must be less than or equal to the project's "
                f"{around[resource]}."
            )
    _store(conn, quotas, scope.columns(), wanted)


def set_class_limits(conn: Connection, class_name: str, wanted: Mapping[str, int]) -> None:
    """Set some limits of a quota class."""
    _store(conn, quota_classes, {"class_name": class_name}, wanted)


def forget_limits(conn: Connection, scope: Scope) -> None:
    """Restore the default limits; for a whole project, also those of its users and share types."""
    one = quotas.c.project_id == scope.project_id if scope.is_project else of_scope(quotas, scope)
    conn.execute(sa.delete(quotas).where(one))


def forget_share_type(conn: Connection, share_type_id: str) -> None:
    """Delete the limits of a deleted share type."""
    conn.execute(sa.delete(quotas).where(quotas.c.share_type_id == share_type_id))


def _store(
    conn: Connection, table: sa.Table, key: Mapping[str, str], wanted: Mapping[str, int]
) -> None:
    if not wanted:
        return
    now = utcnow()
    rows = [
        {**key, "resource": name, "hard_limit": limit, "created_at": now}
        for name, limit in sorted(wanted.items())
    ]
    statement = upsert(conn, table).values(rows)
    changes = {"hard_limit": statement.excluded.hard_limit, "updated_at": now}
    conn.execute(
        statement.on_conflict_do_update(index_elements=list(table.primary_key), set_=changes)
    )
