"""Field tables: one newest view a resource, each field with the versions it lives in; and the fast loop that renders rows by them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from operator import itemgetter
from typing import Any, NamedTuple

Row = Mapping[str, Any]

# How much of a resource is shown; each holds what the one before it holds.
SUMMARY = 0  # the short list
DETAIL = 1  # the detailed list, and what is nested in another resource
SHOW = 2  # one resource by itself


class Field(NamedTuple):
    """One member of an answer. A member whose meaning changed with a version stands in two fields.

    `take`: the key in the domain's view (default: `name`), or a function of the view. `convert`: applied to what was taken.
    `since`, `until`: first and last minor version. `level`: the least view that shows it.
    `admin`: True, only administrators see it; False, only others do.
    """

    name: str
    take: str | Callable[[Row], Any] | None = None
    convert: Callable[[Any], Any] | None = None
    since: int = 0
    until: int | None = None
    level: int = DETAIL
    admin: bool | None = None

    def lives_in(self, version: int, level: int, is_admin: bool) -> bool:
        """Whether it is shown to such a caller in such a view."""
        last = version if self.until is None else self.until
        return self.since <= version <= last and self.level <= level and self.admin in (None, is_admin)

    def computed(self) -> Callable[[Row], Any] | None:
        """The function from the domain's view to the member's value; None when it is only picked."""
        take, convert = self.take, self.convert
        if convert is None:
            return take if callable(take) else None
        picked: Callable[[Row], Any] = take if callable(take) else itemgetter(take or self.name)
        return lambda row: convert(picked(row))


class _Plan:
    """The fields of a view at one version: most values are picked all at once, the others are computed one by one."""

    def __init__(self, fields: Sequence[Field]) -> None:
        self._computed = [(field.name, compute) for field in fields if (compute := field.computed()) is not None]
        picked = [field for field in fields if field.computed() is None]
        self._names = [field.name for field in picked]
        self._pick = _picker([str(field.take or field.name) for field in picked])

    def members_of(self, row: Row) -> dict[str, Any]:
        """One row as it goes over the wire."""
        members = dict(zip(self._names, self._pick(row), strict=True))
        for name, compute in self._computed:
            members[name] = compute(row)
        return members


def _picker(keys: Sequence[str]) -> Callable[[Row], Sequence[Any]]:
    """The values of these keys together (itemgetter would give a lone one bare)."""
    return itemgetter(*keys) if len(keys) > 1 else lambda row: [row[key] for key in keys]


class View:
    """A resource's field table."""

    def __init__(self, *fields: Field) -> None:
        self.fields = fields
        self._plans: dict[tuple[int, int, bool], _Plan] = {}

    def render(self, row: Row, version: int, *, level: int = SHOW, is_admin: bool = False) -> dict[str, Any]:
        """One resource as it goes over the wire."""
        return self._plan(version, level, is_admin).members_of(row)

    def render_all(self, rows: Iterable[Row], version: int, *, level: int = DETAIL, is_admin: bool = False) -> list[dict[str, Any]]:
        """A list of them."""
        members_of = self._plan(version, level, is_admin).members_of
        return [members_of(row) for row in rows]

    def _plan(self, version: int, level: int, is_admin: bool) -> _Plan:
        key = (version, level, is_admin)
        plan = self._plans.get(key)
        if plan is None:
            plan = self._plans[key] = _Plan([f for f in self.fields if f.lives_in(version, level, is_admin)])
        return plan


def timestamp(value: datetime | None) -> str | None:
    """`2026-08-21T11:05:00.000000`: microseconds always, never a zone; None until set."""
    return None if value is None else value.isoformat(timespec="microseconds")


def time_field(name: str, **how: Any) -> Field:
    """A field that is a point in time."""
    return Field(name, convert=timestamp, **how)


def constant(value: object) -> Callable[[Row], Any]:
    """For members that belong to the format but have no life here yet."""
    return lambda _row: value
