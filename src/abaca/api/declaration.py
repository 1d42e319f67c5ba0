"""What a resource declares: its routes, each with its policy rule, its body, its answer and its
filters.

Each module of `resources` ends with its `RESOURCE`. Routing, the policy's defaults, the OpenAPI
document, the API reference and the page about access are derived from these (`routing`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from abaca.api.policy import ADMIN, CREATOR, MEMBER, READER
from abaca.api.wire.fields import DETAIL, SHOW, View
from abaca.api.wire.schemas import Schema

VERSIONED = "/v2/"  # routes below it have microversions
PAGE = ("limit", "offset", "sort_key", "sort_dir")
"""The query parameters of a list that comes in pages."""

Handler = Callable[..., Any]


class Rule(NamedTuple):
    """A policy rule and its default.

    `says`: what it permits, for a rule without a route; rules of routes are described by their
    requests.
    """

    name: str
    default: str
    says: str = ""


def reader(name: str, says: str = "") -> Rule:
    """A rule for every reader of the project."""
    return Rule(name, READER, says)


def member(name: str, says: str = "") -> Rule:
    """A rule for every member of the project."""
    return Rule(name, MEMBER, says)


def creator(name: str, says: str = "") -> Rule:
    """As `member`, and the credentials must name a project."""
    return Rule(name, CREATOR, says)


def admin(name: str, says: str = "") -> Rule:
    """A rule for administrators."""
    return Rule(name, ADMIN, says)


class Takes(NamedTuple):
    """A request body: its one member (empty: the content is not enclosed) and the type of the
    content; None: nothing."""

    member: str
    content: Any


class Gives(NamedTuple):
    """An answer: its one member (empty: the content is not enclosed), and in it a resource or a
    list of them, shown by `view` at `level`; or whatever `schema` says. `also`: a second name for
    the same member. `links`: the name of the link to the next page, if it is not derived from the
    member. `more`: further members."""

    member: str
    view: View | None = None
    level: int = SHOW
    is_list: bool = False
    schema: Schema | None = None
    also: str | None = None
    links: str | None = None
    more: Mapping[str, Schema] = {}


def one(member: str, view: View) -> Gives:
    """One resource."""
    return Gives(member, view)


def many(member: str, view: View, level: int = DETAIL, links: str | None = None) -> Gives:
    """A list of resources."""
    return Gives(member, view, level, is_list=True, links=links)


def plain(member: str, schema: Schema) -> Gives:
    """An answer that is not a resource."""
    return Gives(member, schema=schema)


class Route(NamedTuple):
    """One handler at one URL. `rule` None: open to everyone, without credentials. `since`, `until`:
    first and last minor version. `experimental_until`: up to that minor version the route is there
    only for requests with the header `microversions.EXPERIMENTAL_HEADER`.

    The handler gets the call and the path's parameters and returns what is encoded as JSON; None:
    no body; str: plain text. `action`: only for bodies whose one member has that name. `query`: the
    parameters that the handler reads. `module`: where it is declared; None: where its handler is.
    """

    method: str
    path: str
    handler: Handler
    rule: Rule | None
    takes: Takes | None = None
    gives: Gives | None = None
    query: Sequence[str] = ()
    since: int = 0
    until: int | None = None
    experimental_until: int | None = None
    status: int = 200
    action: str | None = None
    is_extension: bool = False
    module: str | None = None

    @property
    def name(self) -> str:
        """Module and function, as in `share_networks.create`."""
        module = self.module or self.handler.__module__.rpartition(".")[2]
        return f"{module}.{self.handler.__name__}"

    @property
    def policy(self) -> str | None:
        """The name of its rule."""
        return self.rule and self.rule.name

    def lives_in(self, version: int) -> bool:
        """Whether the route exists at that minor version."""
        return self.since <= version and (self.until is None or version <= self.until)

    def is_experimental_in(self, version: int) -> bool:
        """Whether only requests for experimental routes reach it at that minor version."""
        return self.experimental_until is not None and version <= self.experimental_until


def action(
    path: str,
    name: str,
    handler: Handler,
    rule: Rule,
    takes: Any = None,
    status: int = 202,
    **how: Any,
) -> Route:
    """The route of an action: `POST <path>` with the body `{"<name>": {…}}`. `takes`: the type of
    its arguments; None: none."""
    return Route("POST", path, handler, rule, Takes("", takes), status=status, action=name, **how)


def renamed(old: str, route: Route) -> list[Route]:
    """A route with another name up to 2.6: `old` is its URL or, for an action, its name."""
    before = route._replace(action=old) if route.action else route._replace(path=old)
    return [before._replace(until=6), route._replace(since=7)]


@dataclass(frozen=True)
class Resource:
    """A resource's routes, and further rules that its handlers check."""

    routes: Sequence[Route]
    rules: Sequence[Rule] = ()
