"""Lists as callers ask for them: which parameters of the query filter, since which version and for
whom; pages and counts.

What is filtered and sorted by, and how: `domain.rows.listings`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

from sqlalchemy.engine import Connection

from abaca.api.call import Call
from abaca.api.declaration import PAGE
from abaca.api.wire import bodies
from abaca.api.wire.fields import DETAIL, View
from abaca.db.session import read
from abaca.values import Caller, Page

Row = dict[str, Any]
Find = Callable[[Connection, Caller, dict[str, Any], Page, bool], list[Row]]
Count = Callable[[Connection, Caller, dict[str, Any], bool], int]


class Filter(NamedTuple):
    """A parameter that a list is filtered by. `read`: its text → what the domain looks for; raises
    Invalid.

    `since`: the first minor version that knows it; before, it is ignored. `rule`: what callers must
    be permitted to filter (or sort) by it. `is_admins`: it is ignored of others than
    administrators.
    """

    name: str
    read: Callable[[str], Any] = str
    since: int = 0
    rule: str | None = None
    is_admins: bool = False


def texts(*names: str, since: int = 0, is_admins: bool = False) -> list[Filter]:
    """Filters whose values are looked for as they are."""
    return [Filter(name, since=since, is_admins=is_admins) for name in names]


def times(since: int = 0) -> list[Filter]:
    """The filters by the time of creation."""
    return [
        Filter(name, partial(bodies.day, name), since)
        for name in ("created_since", "created_before")
    ]


class Wanted(NamedTuple):
    """What a query asks for: values by filter; of all projects or of the caller's; with the number
    of all that there are."""

    filters: dict[str, Any]
    all_projects: bool
    counted: bool


@dataclass(frozen=True)
class ListQuery:
    """What the query of a list may hold. `all_projects`: the rule that permits to ask for those of
    all projects, by the parameter `all_projects_by`. `counted_since`: the first minor version that
    knows `with_count`."""

    filters: Sequence[Filter]
    all_projects: str | None = None
    all_projects_by: str = "all_tenants"
    counted_since: int | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Of all parameters."""
        more = [self.all_projects_by] if self.all_projects else []
        more += ["with_count"] if self.counted_since is not None else []
        return (*PAGE, *more, *(known.name for known in self.filters))

    def read(self, call: Call) -> Wanted:
        """What a call asks for. Raises Invalid, PolicyForbids."""
        query, filters = call.query, {}
        sort_key = query.get("sort_key")
        for name, read_value, since, rule, is_admins in self.filters:
            if rule is not None and (name in query or name == sort_key):  # order reveals it, too
                call.enforce(rule)
            if name in query and call.version >= since and (call.caller.is_admin or not is_admins):
                filters[name] = read_value(query[name])
        return Wanted(
            filters,
            self.all_projects is not None
            and call.wants_all_projects(self.all_projects, self.all_projects_by),
            self.counted_since is not None and call.wants_count(self.counted_since),
        )


def as_it_is(_call: Call, row: Row) -> Row:
    """Nothing is added to the row."""
    return row


def answer(
    call: Call,
    query: ListQuery,
    find: Find,
    member: str,
    view: View,
    *,
    level: int = DETAIL,
    count: Count | None = None,
    told: Callable[[Call, Row], Row] = as_it_is,
) -> dict[str, Any]:
    """The page that a call asks for, with what `told` adds to each row, and the number of all when
    it is asked for.

    `find`, `count`: those of a `Listing`.
    """
    page, wanted = call.page(), query.read(call)
    with read(call.engine) as conn:
        rows = find(conn, call.caller, wanted.filters, page, wanted.all_projects)
        total = (
            count(conn, call.caller, wanted.filters, wanted.all_projects)
            if count and wanted.counted
            else None
        )
    found = call.many(member, view, [told(call, row) for row in rows], page, level=level)
    return found if total is None else found | {"count": total}
