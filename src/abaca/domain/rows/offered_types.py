"""Types that administrators offer to every project, or to some: who sees them, the projects that a
type which is not public is opened to, and the specs of each. Share types and share group types are
the kinds there are.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from abaca.db.session import lock_row
from abaca.errors import Conflict, Invalid, Missing
from abaca.values import Caller

_LONGEST = 255
_KEY = re.compile(r"[\w.:-]+")


@dataclass(frozen=True)
class KindOfType:
    """One kind of types: its name in messages and its tables. `key`: the column of `projects` and
    `specs` that says whose they are."""

    noun: str
    types: sa.Table
    projects: sa.Table
    specs: sa.Table
    key: str

    def open_to(self, caller: Caller) -> sa.ColumnElement[bool]:
        """SQL condition: the type is public, or opened to the caller's project."""
        opened = sa.select(self.projects.c[self.key]).where(
            self.projects.c.project_id == caller.project_id
        )
        return sa.or_(self.types.c.is_public.is_(True), self.types.c.id.in_(opened))

    def visible(self, caller: Caller) -> sa.Select[Any]:
        """The types that a caller sees: administrators see all."""
        query = sa.select(self.types)
        return query if caller.is_admin else query.where(self.open_to(caller))

    def missing(self, type_id: str) -> Missing:
        """The error for a type that is not there, or not to be seen."""
        return Missing(f"{self.noun.capitalize()} {type_id} could not be found.")

    def lock(self, conn: Connection, type_id: str) -> sa.Row[Any]:
        """The type's row, locked. Raises Missing."""
        row = lock_row(conn, self.types, type_id)
        if row is None:
            raise self.missing(type_id)
        return row

    def projects_of(self, conn: Connection, type_id: str) -> list[dict[str, str]]:
        """The projects that a type is opened to, as `key` and project_id. Raises Missing if the
        type does not exist, or is public and so has no list."""
        is_public = conn.scalar(sa.select(self.types.c.is_public).where(self.types.c.id == type_id))
        if is_public is None:
            raise self.missing(type_id)
        if is_public:
            raise Missing(f"Access list not available for public {self.noun}s.")
        table = self.projects
        query = sa.select(table).where(table.c[self.key] == type_id).order_by(table.c.project_id)
        return [dict(row) for row in conn.execute(query).mappings()]

    def open(self, conn: Connection, type_id: str, project_id: str) -> None:
        """Open a type to a project. Raises Missing, Conflict (public, or already open to it)."""
        self._lock_private(conn, type_id)
        if conn.execute(self._entry(sa.select(self.projects), type_id, project_id)).first():
            raise Conflict(
                f"{self.noun.capitalize()} access for {type_id} / {project_id} combination already "
                "exists."
            )
        conn.execute(sa.insert(self.projects).values({self.key: type_id, "project_id": project_id}))

    def close(self, conn: Connection, type_id: str, project_id: str) -> None:
        """Close a type to a project; what it has made of that type stays. Raises Missing (no such
        type or access), Conflict (public)."""
        self._lock_private(conn, type_id)
        if not conn.execute(self._entry(sa.delete(self.projects), type_id, project_id)).rowcount:
            raise Missing(
                f"{self.noun.capitalize()} access not found for {type_id} / {project_id} "
                "combination."
            )

    def specs_of(self, conn: Connection, type_ids: Collection[str]) -> dict[str, dict[str, str]]:
        """All specs of these types, by type, in order of their keys; in one statement."""
        table, found = self.specs, {type_id: dict[str, str]() for type_id in type_ids}
        query = sa.select(table).where(table.c[self.key].in_(type_ids)).order_by(table.c.spec_key)
        for spec in conn.execute(query).mappings():
            found[spec[self.key]][spec["spec_key"]] = spec["spec_value"]
        return found

    def set_specs(self, conn: Connection, type_id: str, specs: Mapping[str, str]) -> None:
        """Add specs to a type, whose row is locked, or change those that are there."""
        table = self.specs
        conn.execute(
            sa.delete(table).where(table.c[self.key] == type_id, table.c.spec_key.in_(specs))
        )
        self.add_specs(conn, type_id, specs)

    def add_specs(self, conn: Connection, type_id: str, specs: Mapping[str, str]) -> None:
        """Add specs to a type that has none of these."""
        rows = [
            {self.key: type_id, "spec_key": key, "spec_value": value}
            for key, value in specs.items()
        ]
        if rows:
            conn.execute(sa.insert(self.specs), rows)

    def delete_spec(self, conn: Connection, type_id: str, key: str) -> bool:
        """Delete one spec; whether it was there."""
        table = self.specs
        statement = sa.delete(table).where(table.c[self.key] == type_id, table.c.spec_key == key)
        return bool(conn.execute(statement).rowcount)

    def _lock_private(self, conn: Connection, type_id: str) -> None:
        if self.lock(conn, type_id).is_public:
            raise Conflict(
                f"Type access modification is not applicable to public {self.noun} {type_id}."
            )

    def _entry(self, statement: Any, type_id: str, project_id: str) -> Any:
        return statement.where(
            self.projects.c[self.key] == type_id, self.projects.c.project_id == project_id
        )


def check_spec(kind: str, key: str, value: str) -> None:
    """Raises Invalid for a key or value that no spec has. `kind`: as in `extra_spec`."""
    if not 0 < len(key) <= _LONGEST or not 0 < len(value) <= _LONGEST:
        raise Invalid(f"Invalid {kind}: keys and values have 1 to {_LONGEST} characters.")
    if not _KEY.fullmatch(key):
        raise Invalid(
            "Key names can only contain alphanumeric characters, underscores, periods, colons "
            "and hyphens."
        )
