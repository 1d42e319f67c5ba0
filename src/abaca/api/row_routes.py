"""The routes that resources have in common whose rows callers name and describe: the lists, show,
PUT, DELETE, and an administrator's actions reset_status and force_delete."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import msgspec
from sqlalchemy.engine import Connection

from abaca.api.call import Call
from abaca.api.declaration import Route, Rule, Takes, action, many, one
from abaca.api.lists import ListQuery
from abaca.api.whole_lists import Part
from abaca.api.wire.bodies import Body
from abaca.api.wire.fields import DETAIL, SUMMARY, View
from abaca.api.wire.share_networks import ResetStatus
from abaca.db.session import begin, read
from abaca.domain.rows import listings
from abaca.domain.rows.listings import Listing
from abaca.errors import CallerError
from abaca.values import Caller, Page

Row = dict[str, Any]


class Noun(Protocol):
    """What a module of `domain` has for its rows; their ids come third."""

    LISTING: Listing

    def get(self, conn: Connection, caller: Caller, row_id: str, /) -> Row:
        """One row. Raises Missing."""

    def update(
        self, conn: Connection, caller: Caller, row_id: str, changes: dict[str, Any], /
    ) -> Row:
        """The row with these columns changed."""

    def delete(self, conn: Connection, caller: Caller, row_id: str, /) -> None:
        """Delete it, or have it deleted."""

    def reset_status(self, conn: Connection, caller: Caller, row_id: str, status: str, /) -> None:
        """Set its status by hand."""


class Names(NamedTuple):
    """What a resource's rows are called: the module that declares them; the URL of all, and the
    parameter in that of one; the members that hold one and all; the link to the next page."""

    module: str
    url: str
    parameter: str
    one: str
    many: str
    next_page: str


class Rules(NamedTuple):
    """Who may do what."""

    find: Rule
    show: Rule
    update: Rule
    delete: Rule


@dataclass(frozen=True)
class RowRoutes:
    """Handlers and routes of one kind of rows. `change`: the body of PUT, whose fields are columns;
    `missing`, `no_body`: what is raised without it."""

    noun: Noun
    names: Names
    view: View
    query: ListQuery
    change: type[Body]
    missing: type[CallerError]
    no_body: str

    @property
    def one_url(self) -> str:
        """The URL of one row."""
        return f"{self.names.url}/{{{self.names.parameter}}}"

    def usual(self, rules: Rules) -> list[Route]:
        """The lists, show, PUT and DELETE."""
        url, parameters, view = self.names.url, self.query.names, self.view
        shown = one(self.names.one, view)
        short = many(self.names.many, view, SUMMARY, self.names.next_page)
        full = many(self.names.many, view, links=self.names.next_page)
        changes = Takes(self.names.one, self.change)
        routes = [
            Route("GET", url, self.index, rules.find, gives=short, query=parameters),
            Route("GET", f"{url}/detail", self.detail, rules.find, gives=full, query=parameters),
            Route("GET", self.one_url, self.show, rules.show, gives=shown),
            Route("PUT", self.one_url, self.update, rules.update, changes, shown),
            Route("DELETE", self.one_url, self.delete, rules.delete, status=202),
        ]
        return [self._named(route) for route in routes]

    def reset_status_by(self, rule: Rule) -> Route:
        """The action reset_status."""
        return self._named(
            action(f"{self.one_url}/action", "reset_status", self.reset_status, rule, ResetStatus)
        )

    def force_delete_by(
        self, rule: Rule, force_delete: Callable[[Connection, Caller, str], None]
    ) -> Route:
        """The action force_delete. `force_delete`: the domain's."""

        def handle(call: Call, **ids: str) -> None:
            with begin(call.engine) as conn:
                force_delete(conn, call.caller, only(ids))

        handle.__name__ = "force_delete"
        return self._named(action(f"{self.one_url}/action", "force_delete", handle, rule))

    def reader(self, call: Call) -> Caller:
        """Who rows are shown to."""
        return call.caller

    def index(self, call: Call) -> Any:
        """GET …: ids, names and what else is short."""
        return self._list(call, SUMMARY)

    def detail(self, call: Call) -> Any:
        """GET …/detail"""
        return self._list(call, DETAIL)

    def show(self, call: Call, **ids: str) -> Row:
        """GET …/{id}"""
        with read(call.engine) as conn:
            return self.one(call, self.noun.get(conn, self.reader(call), only(ids)))

    def update(self, call: Call, **ids: str) -> Row:
        """PUT …/{id}: what is absent stays."""
        body = call.body(self.names.one, self.change, missing=self.missing(self.no_body))
        given = {name: getattr(body, name) for name in body.__struct_fields__}
        changes = {name: value for name, value in given.items() if value is not msgspec.UNSET}
        with begin(call.engine) as conn:
            return self.one(call, self.noun.update(conn, call.caller, only(ids), changes))

    def delete(self, call: Call, **ids: str) -> None:
        """DELETE …/{id}"""
        with begin(call.engine) as conn:
            self.noun.delete(conn, call.caller, only(ids))

    def reset_status(self, call: Call, **ids: str) -> None:
        """Action reset_status."""
        status = call.arguments(ResetStatus).status
        with begin(call.engine) as conn:
            self.noun.reset_status(conn, call.caller, only(ids), status)

    def one(self, call: Call, row: Row) -> Row:
        """The answer that shows one row."""
        return call.one(self.names.one, self.view, self._linked(call, row))

    def _list(self, call: Call, level: int) -> Any:
        listing, wanted = self.noun.LISTING, self.query.read(call)
        more = {}
        if wanted.counted:
            with read(call.engine) as conn:
                more["count"] = listing.count(
                    conn, self.reader(call), wanted.filters, wanted.all_projects
                )

        def fetch(page: Page) -> Part:
            with read(call.engine) as conn:
                rows = listing.find(
                    conn, self.reader(call), wanted.filters, page, wanted.all_projects
                )
            following = listings.following(
                page, len(rows), [(row["created_at"], row["id"]) for row in rows[-1:]]
            )
            shown = call.shown(self.view, [self._linked(call, row) for row in rows], level=level)
            return Part(shown, following)

        return call.listed(self.names.many, fetch, links=self.names.next_page, more=more)

    def _linked(self, call: Call, row: Row) -> Row:
        row["links"] = call.links(self.names.url.rpartition("/")[2], row["id"])
        return row

    def _named(self, route: Route) -> Route:
        return route._replace(module=self.names.module)


def only(ids: dict[str, str]) -> str:
    """The id in the URL of a route that has one."""
    (row_id,) = ids.values()
    return row_id
