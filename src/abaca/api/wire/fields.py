"""Field tables: one view per resource, of the newest version, each field with its versions; and the
fast loop that renders rows with them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from itertools import compress
from operator import itemgetter
from typing import Any, NamedTuple, cast

import msgspec

from abaca.api.wire.schemas import TEXT_OR_NULL, TIME, Schema

Row = Mapping[str, Any]

# How much of a resource is shown; each holds what the one before it holds.
SUMMARY = 0  # the short list
DETAIL = 1  # the detailed list, and what is nested in another resource
SHOW = 2  # one resource by itself


class Constant(NamedTuple):
    """A member of the format that always has the same value here."""

    value: Any


class Field(NamedTuple):
    """One member of an answer. A member whose meaning changed with a version is two fields.

    `take`: the key in the domain's view (default: `name`), a function of the view, or a constant.
    `convert`: applied to that value. `since`, `until`: first and last minor version. `level`: the
    least detailed view that has it. `admin`: True, only for administrators; False, only for others.
    `type`: of the value; a view: a list of such resources.
    """

    name: str
    take: str | Callable[[Row], Any] | Constant | None = None
    convert: Callable[[Any], Any] | None = None
    since: int = 0
    until: int | None = None
    level: int = DETAIL
    admin: bool | None = None
    type: Schema | View = TEXT_OR_NULL

    def lives_in(self, version: int, level: int, is_admin: bool) -> bool:
        """Whether such a caller sees the field in such a view."""
        last = version if self.until is None else self.until
        return (
            self.since <= version <= last and self.level <= level and self.admin in (None, is_admin)
        )


class Plan:
    """The fields of a view at one version, as a struct: most values are picked all at once, others
    are converted or computed one by one."""

    def __init__(self, fields: Sequence[Field]) -> None:
        keyed = [field for field in fields if field.take is None or isinstance(field.take, str)]
        picked = [field for field in keyed if field.convert is None]
        converted = [field for field in keyed if field.convert is not None]
        computed = [field for field in fields if callable(field.take)]
        constants = [field for field in fields if isinstance(field.take, Constant)]
        self._pick = _picker([_key(field) for field in picked])
        self._converted = [(_key(field), field.convert) for field in converted if field.convert]
        self._computed = [_computed(field) for field in computed]
        # The members' names need not be names in Python, hence `rename`; constants are defaults.
        # Without `gc`: rows hold no cycles.
        named = [
            (f"m{number}", field)
            for number, field in enumerate([*picked, *converted, *computed, *constants])
        ]
        members = [
            (name, Any, field.take.value) if isinstance(field.take, Constant) else (name, Any)
            for name, field in named
        ]
        self._struct = msgspec.defstruct(
            "Members", members, rename={name: field.name for name, field in named}, gc=False
        )

    def members_of(self, rows: Iterable[Row]) -> list[msgspec.Struct]:
        """The rows as they are sent."""
        make, pick, converted, computed = self._struct, self._pick, self._converted, self._computed
        return [
            make(
                *pick(row),
                *[convert(row[key]) for key, convert in converted],
                *[compute(row) for compute in computed],
            )
            for row in rows
        ]


def _key(field: Field) -> str:
    return str(field.take or field.name)


def _computed(field: Field) -> Callable[[Row], Any]:
    take, convert = cast(Callable[[Row], Any], field.take), field.convert
    return take if convert is None else lambda row: convert(take(row))


def _picker(keys: Sequence[str]) -> Callable[[Row], Sequence[Any]]:
    """The values of these keys together (itemgetter would give a lone one bare)."""
    return itemgetter(*keys) if len(keys) > 1 else lambda row: [row[key] for key in keys]


class View:
    """A resource's field table. `name`: the resource's name in the OpenAPI document."""

    def __init__(self, name: str, *fields: Field) -> None:
        self.name = name
        self.fields = fields
        self._plans: dict[tuple[int, int, bool], Plan] = {}
        # most versions bring nothing new to a resource
        self._by_fields: dict[tuple[bool, ...], Plan] = {}

    def plan(self, version: int, *, level: int, is_admin: bool) -> Plan:
        """How to show rows at a version. Versions that show the same share a plan."""
        key = (version, level, is_admin)
        plan = self._plans.get(key)
        if plan is None:
            alive = tuple(field.lives_in(version, level, is_admin) for field in self.fields)
            plan = self._by_fields.get(alive) or self._by_fields.setdefault(
                alive, Plan(list(compress(self.fields, alive)))
            )
            self._plans[key] = plan
        return plan

    def shown(
        self, rows: Iterable[Row], version: int, *, level: int, is_admin: bool
    ) -> list[msgspec.Struct]:
        """Rows for the encoder, as structs, which take half the time of dicts."""
        return self.plan(version, level=level, is_admin=is_admin).members_of(rows)

    def render_all(
        self, rows: Iterable[Row], version: int, *, level: int = DETAIL, is_admin: bool = False
    ) -> list[dict[str, Any]]:
        """Rows as dicts."""
        rendered: list[dict[str, Any]] = msgspec.to_builtins(
            self.shown(rows, version, level=level, is_admin=is_admin)
        )
        return rendered

    def render(
        self, row: Row, version: int, *, level: int = SHOW, is_admin: bool = False
    ) -> dict[str, Any]:
        """One resource as a dict."""
        return self.render_all([row], version, level=level, is_admin=is_admin)[0]


def timestamp(value: datetime | None) -> str | None:
    """`2026-08-21T11:05:00.000000`: microseconds always, never a zone; None until set."""
    return None if value is None else value.isoformat("T", "microseconds")


def time_field(name: str, **how: Any) -> Field:
    """A field that is a point in time."""
    return Field(name, convert=timestamp, type=TIME, **how)
